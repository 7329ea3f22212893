//! Blocks, and what two members see of each other because of them. The pieces of SQL that hide files stand in
//! [`super::rows`].

use shared::{id::AccountId, limits::BLOCKS_MAX};
use sqlx::{Row, SqliteConnection};

use super::{Me, Result, fact, rows};
use crate::store::{Apart, Block, Moved, Parting, StoreError};

pub(super) async fn account_named(connection: &mut SqliteConnection, name_key: &str) -> Result<Option<AccountId>> {
    sqlx::query("SELECT id FROM accounts WHERE name_key = $1")
        .bind(name_key)
        .fetch_optional(connection)
        .await?
        .map(|row| rows::account_id(&row, "id"))
        .transpose()
}

pub(super) async fn block(tx: &mut SqliteConnection, me: Me, block: Block) -> Result<Parting> {
    let Some(other) = number(tx, block.member).await? else { return Ok(Parting::default()) };
    let before = apart(tx, me.account, other).await?;
    let blocked: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM blocks WHERE blocker = $1 AND blocked <> $2")
        .bind(me.account)
        .bind(other)
        .fetch_one(&mut *tx)
        .await?;
    if usize::try_from(blocked).unwrap_or(usize::MAX) >= BLOCKS_MAX {
        return Err(StoreError::TooManyBlocks(BLOCKS_MAX));
    }
    // Whoever is connected is seen now; of the others the last time counts.
    let made = sqlx::query(
        "INSERT INTO blocks (blocker, blocked, blocker_seen_ms, blocked_seen_ms) VALUES ($1, $2,
             COALESCE($3, (SELECT last_seen_ms FROM accounts WHERE no = $1)),
             COALESCE($4, (SELECT last_seen_ms FROM accounts WHERE no = $2)))
         ON CONFLICT DO NOTHING",
    )
    .bind(me.account)
    .bind(other)
    .bind(block.own_seen_ms)
    .bind(block.its_seen_ms)
    .execute(&mut *tx)
    .await?;
    let moved = if before { None } else { Some(part(tx, me.account, other).await?) };
    Ok(Parting { changed: made.rows_affected() > 0, moved })
}

pub(super) async fn unblock(tx: &mut SqliteConnection, me: Me, member: AccountId) -> Result<Parting> {
    let Some(other) = number(tx, member).await? else { return Ok(Parting::default()) };
    let gone = sqlx::query("DELETE FROM blocks WHERE blocker = $1 AND blocked = $2")
        .bind(me.account)
        .bind(other)
        .execute(&mut *tx)
        .await?;
    let changed = gone.rows_affected() > 0;
    let together = changed && !apart(tx, me.account, other).await?;
    let moved = if together { Some(part(tx, me.account, other).await?) } else { None };
    Ok(Parting { changed, moved })
}

/// Two members see each other differently from now on: the feed of both begins anew.
async fn part(tx: &mut SqliteConnection, one: i64, other: i64) -> Result<Moved> {
    sqlx::query("UPDATE accounts SET partings = partings + 1 WHERE no IN ($1, $2)")
        .bind(one)
        .bind(other)
        .execute(&mut *tx)
        .await?;
    let seq = fact(tx, "seq").await?.unsigned_abs();
    let narrowed = sqlx::query("SELECT DISTINCT blob FROM files WHERE owner IN ($1, $2) AND copy = 1")
        .bind(one)
        .bind(other)
        .fetch_all(tx)
        .await?
        .iter()
        .map(|row| rows::blob_hash(row, "blob"))
        .collect::<Result<_>>()?;
    Ok(Moved { seq, narrowed })
}

pub(super) async fn blocked(connection: &mut SqliteConnection, account: AccountId) -> Result<Vec<AccountId>> {
    sqlx::query(
        "SELECT o.id AS id FROM blocks b JOIN accounts a ON a.no = b.blocker JOIN accounts o ON o.no = b.blocked
         WHERE a.id = $1 ORDER BY o.name_key",
    )
    .bind(rows::bytes(account.as_bytes()))
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| rows::account_id(row, "id"))
    .collect()
}

pub(super) async fn apart_from(connection: &mut SqliteConnection, viewers: &[AccountId]) -> Result<Vec<Apart>> {
    // Where both have blocked each other, the first block tells what was seen last.
    sqlx::query(
        "SELECT v.id AS viewer, o.id AS hidden, MIN(x.other_seen_ms) AS seen_ms
         FROM json_each($1) w CROSS JOIN accounts v ON v.id = unhex(w.value)
         CROSS JOIN apart x ON x.one = v.no CROSS JOIN accounts o ON o.no = x.other
         GROUP BY v.no, o.no",
    )
    .bind(rows::hex_list(viewers.iter().map(|account| account.as_bytes().as_slice())))
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| {
        Ok(Apart {
            viewer: rows::account_id(row, "viewer")?,
            hidden: rows::account_id(row, "hidden")?,
            seen_ms: row.try_get("seen_ms")?,
        })
    })
    .collect()
}

pub(super) async fn are_apart(connection: &mut SqliteConnection, one: AccountId, other: AccountId) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM accounts a JOIN accounts o ON o.id = $2
             JOIN apart x ON x.one = a.no AND x.other = o.no WHERE a.id = $1)",
    )
    .bind(rows::bytes(one.as_bytes()))
    .bind(rows::bytes(other.as_bytes()))
    .fetch_one(connection)
    .await?)
}

pub(super) async fn apart(connection: &mut SqliteConnection, one: i64, other: i64) -> Result<bool> {
    Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM apart x WHERE x.one = $1 AND x.other = $2)")
        .bind(one)
        .bind(other)
        .fetch_one(connection)
        .await?)
}

async fn number(connection: &mut SqliteConnection, account: AccountId) -> Result<Option<i64>> {
    Ok(sqlx::query_scalar("SELECT no FROM accounts WHERE id = $1")
        .bind(rows::bytes(account.as_bytes()))
        .fetch_optional(connection)
        .await?)
}
