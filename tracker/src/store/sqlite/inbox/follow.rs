//! What follows for items from what happens elsewhere: blocks, files that open or go, time.

use shared::{
    id::{AccountId, FileId, ItemId},
    inbox::{Matter, State, Wanted},
    limits::ITEM_KEPT,
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{Aftermath, EVERYONE, Parties, end, items, parcels};
use crate::store::{
    Caller, Done, Effects,
    sqlite::{Me, Result, blocks, me, rows, sources},
};

/// Items that one look at the clock ends at most; the next look follows at once.
const EXPIRED_AT_ONCE: i64 = 200;
/// The word of an item that ends because its file does.
const UNSHARED: &str = "the file is no longer shared";

/// Files open: requests that waited for their owner's yes need none any more where the asker may fetch by now.
pub(in crate::store::sqlite) async fn now_open(tx: &mut SqliteConnection, files: &[FileId]) -> Result<Effects> {
    let waiting = sqlx::query(
        "SELECT i.no, i.from_account, i.to_account, f.no AS file FROM items i JOIN files f ON f.id = i.file
         WHERE i.state = 0 AND i.matter = $1 AND i.file IN (SELECT unhex(value) FROM json_each($2))",
    )
    .bind(items::number(Matter::Request(Wanted::Approval)))
    .bind(hex_list(files))
    .fetch_all(&mut *tx)
    .await?;
    let mut after = Aftermath::default();
    for row in &waiting {
        need_no_yes(tx, &mut after, row).await?;
    }
    told_by(tx, after).await
}

/// A member's requests are approved by themselves from now on: those that wait need no yes any more.
pub(super) async fn standing_yes(
    tx: &mut SqliteConnection,
    after: &mut Aftermath,
    owner: i64,
    account: i64,
) -> Result<()> {
    let waiting = sqlx::query(
        "SELECT i.no, i.from_account, i.to_account, f.no AS file FROM items i JOIN files f ON f.id = i.file
         WHERE i.state = 0 AND i.matter = $1 AND i.from_account = $2 AND i.to_account = $3",
    )
    .bind(items::number(Matter::Request(Wanted::Approval)))
    .bind(account)
    .bind(owner)
    .fetch_all(&mut *tx)
    .await?;
    for row in &waiting {
        need_no_yes(tx, after, row).await?;
    }
    Ok(())
}

/// A request that waited for a yes waits for a source alone, if the asker may fetch.
async fn need_no_yes(tx: &mut SqliteConnection, after: &mut Aftermath, row: &SqliteRow) -> Result<()> {
    let parties = Parties { from: row.try_get("from_account")?, to: row.try_get("to_account")? };
    let asker = Me { account: parties.from, device: 0 };
    if !sources::is_open_to(tx, asker, row.try_get("file")?).await? {
        return Ok(());
    }
    let seq = after.next_seq(tx, &parties).await?;
    sqlx::query("UPDATE items SET matter = $2, seq = $3 WHERE no = $1")
        .bind(row.try_get::<i64, _>("no")?)
        .bind(items::number(Matter::Request(Wanted::Source)))
        .bind(seq)
        .execute(tx)
        .await?;
    Ok(())
}

/// Files are about to leave the index: nothing comes of what was asked about them.
pub(in crate::store::sqlite) async fn close_for(
    tx: &mut SqliteConnection,
    files: &[FileId],
    now_ms: i64,
) -> Result<Effects> {
    let open = sqlx::query_scalar::<_, Vec<u8>>(
        "SELECT id FROM items WHERE state < 2 AND file IN (SELECT unhex(value) FROM json_each($1))",
    )
    .bind(hex_list(files))
    .fetch_all(&mut *tx)
    .await?;
    let mut after = Aftermath::default();
    for id in open.iter().filter_map(|id| ItemId::from_slice(id)) {
        let Some(row) = items::find(tx, id).await? else { continue };
        // Whoever answered words with a file takes the yes back with it.
        let state = match row.matter {
            Matter::Request(Wanted::Word | Wanted::Board) => State::Declined,
            Matter::Request(Wanted::Source | Wanted::Approval) | Matter::Offer | Matter::Channel => State::Cancelled,
        };
        end(tx, &mut after, &row, state, UNSHARED, now_ms).await?;
    }
    told_by(tx, after).await
}

/// What follows beside the items, with who is to be told.
pub(super) async fn told_by(tx: &mut SqliteConnection, after: Aftermath) -> Result<Effects> {
    let Done { told, effects, .. } = after.done(tx, None, &[]).await?;
    Ok(Effects { told, ..effects })
}

fn hex_list(files: &[FileId]) -> String {
    rows::hex_list(files.iter().map(|file| file.as_bytes().as_slice()))
}

/// Two members see each other again: what one of them asked of or offered to the other meanwhile counts as new to both.
pub(super) async fn show_again(tx: &mut SqliteConnection, caller: &Caller, member: AccountId) -> Result<Done> {
    let me = me(tx, caller).await?;
    let mut after = Aftermath::default();
    let other: Option<i64> = sqlx::query_scalar("SELECT no FROM accounts WHERE id = $1")
        .bind(rows::bytes(member.as_bytes()))
        .fetch_optional(&mut *tx)
        .await?;
    let Some(other) = other else { return after.done(tx, Some(me), &[]).await };
    if blocks::apart(tx, me.account, other).await? {
        return after.done(tx, Some(me), &[]).await;
    }
    let between = sqlx::query(
        "SELECT no, from_account FROM items WHERE state < 2
         AND ((from_account = $1 AND to_account IN ($2, $3)) OR (from_account = $2 AND to_account IN ($1, $3)))
         ORDER BY no",
    )
    .bind(me.account)
    .bind(other)
    .bind(EVERYONE)
    .fetch_all(&mut *tx)
    .await?;
    for row in &between {
        let from: i64 = row.try_get("from_account")?;
        // What is to everyone is news to these two alone.
        let parties = Parties { from, to: if from == other { me.account } else { other } };
        let seq = after.next_seq(tx, &parties).await?;
        sqlx::query("UPDATE items SET seq = $2 WHERE no = $1")
            .bind(row.try_get::<i64, _>("no")?)
            .bind(seq)
            .execute(&mut *tx)
            .await?;
    }
    after.done(tx, Some(me), &[]).await
}

pub(super) async fn cancel_to(
    tx: &mut SqliteConnection,
    caller: &Caller,
    member: AccountId,
    now_ms: i64,
) -> Result<Done> {
    let me = me(tx, caller).await?;
    let open = sqlx::query_scalar::<_, Vec<u8>>(
        "SELECT i.id FROM items i JOIN accounts a ON a.no = i.to_account
         WHERE i.from_account = $1 AND i.state < 2 AND a.id = $2",
    )
    .bind(me.account)
    .bind(rows::bytes(member.as_bytes()))
    .fetch_all(&mut *tx)
    .await?;
    let mut after = Aftermath::default();
    for id in open.iter().filter_map(|id| ItemId::from_slice(id)) {
        if let Some(row) = items::find(tx, id).await? {
            end(tx, &mut after, &row, State::Cancelled, "", now_ms).await?;
        }
    }
    after.done(tx, Some(me), &[]).await
}

pub(super) async fn expire(tx: &mut SqliteConnection, now_ms: i64) -> Result<(Done, Option<i64>)> {
    let over = sqlx::query_scalar::<_, Vec<u8>>(
        "SELECT id FROM items WHERE state < 2 AND expires_ms <= $1 ORDER BY expires_ms LIMIT $2",
    )
    .bind(now_ms)
    .bind(EXPIRED_AT_ONCE)
    .fetch_all(&mut *tx)
    .await?;
    let mut after = Aftermath::default();
    for id in over.iter().filter_map(|id| ItemId::from_slice(id)) {
        if let Some(row) = items::find(tx, id).await? {
            end(tx, &mut after, &row, State::Expired, "", now_ms).await?;
        }
    }
    let kept_ms = i64::try_from(ITEM_KEPT.as_millis()).unwrap_or(i64::MAX);
    sqlx::query("DELETE FROM items WHERE state > 1 AND changed_ms < $1")
        .bind(now_ms.saturating_sub(kept_ms))
        .execute(&mut *tx)
        .await?;
    parcels::clear(tx, &mut after, now_ms).await?;
    let next: Option<i64> =
        sqlx::query_scalar("SELECT MIN(expires_ms) FROM items WHERE state < 2").fetch_one(&mut *tx).await?;
    Ok((after.done(tx, None, &[]).await?, next))
}
