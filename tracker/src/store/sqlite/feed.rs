//! The feed of changes: present files and tombstones, merged by sequence number, as far as the caller may see them.
//!
//! Where a page goes on is a sequence number and, above it, how often the caller came apart from others or together
//! with them: after each time nothing that it knows can be relied on, and the feed begins anew.

use shared::{
    limits::PAGE_ENTRIES_MAX,
    wire::tracker::{Change, Changes},
};
use sqlx::{Row, SqliteConnection};

use super::{
    Result, fact, me,
    rows::{self, Budget, file_tables, hidden_from_me, listed, select_files},
};
use crate::store::Caller;

/// Bits of a sequence number: a million changes a second for twelve days.
const SEQ_BITS: u32 = 40;
/// Views that can be told apart; whoever comes back after exactly so many partings was away for very long.
const VIEWS: u64 = 1 << (u64::BITS - SEQ_BITS);

pub(super) async fn changes(connection: &mut SqliteConnection, caller: &Caller, since: u64) -> Result<Changes> {
    let me = me(connection, caller).await?;
    let partings: i64 = sqlx::query_scalar("SELECT partings FROM accounts WHERE no = $1")
        .bind(me.account)
        .fetch_one(&mut *connection)
        .await?;
    let view = partings.unsigned_abs() % VIEWS;
    let newest = fact(connection, "seq").await?;
    let horizon = fact(connection, "horizon").await?;
    let (same_view, since) = (since == 0 || since >> SEQ_BITS == view, since % (1 << SEQ_BITS));
    let since = i64::try_from(since).unwrap_or(i64::MAX);
    if !same_view || since > newest || (since > 0 && since < horizon) {
        return Ok(Changes { changes: Vec::new(), next: 0, more: true, restart: true });
    }
    let limit = i64::try_from(PAGE_ENTRIES_MAX + 1).unwrap_or(i64::MAX);
    let present = sqlx::query(select_files!("WHERE f.seq > $2 AND", listed!(), "ORDER BY f.seq LIMIT $3"))
        .bind(me.account)
        .bind(since)
        .bind(limit);
    let present = rows::files(connection, me, present).await?;
    let gone = sqlx::query("SELECT seq, id FROM gone WHERE seq > $2 AND viewer IN (0, $1) ORDER BY seq LIMIT $3")
        .bind(me.account)
        .bind(since)
        .bind(limit)
        .fetch_all(&mut *connection)
        .await?;

    let mut budget = Budget::page();
    let mut changes = Vec::new();
    let mut last = since;
    let mut present = present.into_iter().peekable();
    let mut gone = gone.iter().peekable();
    let more = loop {
        let gone_seq = gone.peek().map(|row| row.try_get::<i64, _>("seq")).transpose()?.unwrap_or(i64::MAX);
        let fits = match present.peek() {
            Some(file) if file.seq < gone_seq => budget.take_file(file),
            None if gone_seq == i64::MAX => break false,
            Some(_) | None => budget.take(0),
        };
        if !fits {
            break true;
        }
        if let Some(file) = present.next_if(|file| file.seq < gone_seq) {
            last = file.seq;
            changes.push(Change::Present(file.entry));
        } else if let Some(row) = gone.next() {
            last = gone_seq;
            changes.push(Change::Gone(rows::file_id(row, "id")?));
        }
    };
    let next = if more { last } else { newest };
    Ok(Changes { changes, next: next.unsigned_abs() | view << SEQ_BITS, more, restart: false })
}
