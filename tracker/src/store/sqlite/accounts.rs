//! Accounts, devices, invitations, members and counts.

use shared::{
    id::{AccountId, DeviceId},
    limits::{DEVICES_PER_ACCOUNT_MAX, PAGE_ENTRIES_MAX},
    wire::tracker::{MemberEntry, Presence, TrackerStatus},
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{Result, rows};
use crate::store::{Caller, DeviceKey, EnrolledDevice, Invite, Login, NewAccount, StoreError};

pub(super) async fn create(tx: &mut SqliteConnection, account: NewAccount, now_ms: i64) -> Result<Caller> {
    let twin = sqlx::query("SELECT name, name_key FROM accounts WHERE name_key = $1 OR skeleton = $2 LIMIT 1")
        .bind(&account.name_key)
        .bind(&account.skeleton)
        .fetch_optional(&mut *tx)
        .await?;
    if let Some(twin) = twin {
        let taken = twin.try_get::<String, _>("name_key")? == account.name_key;
        return Err(if taken { StoreError::NameTaken } else { StoreError::LooksLike(twin.try_get("name")?) });
    }
    if let Some(code) = account.invite {
        consume_invite(tx, code, now_ms).await?;
    }
    sqlx::query(
        "INSERT INTO accounts (id, name, name_key, skeleton, email, password, created_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(rows::bytes(account.id.as_bytes()))
    .bind(&account.name)
    .bind(&account.name_key)
    .bind(&account.skeleton)
    .bind(&account.email)
    .bind(&account.password_hash)
    .bind(now_ms)
    .execute(&mut *tx)
    .await?;
    enrol(tx, account.id, account.device, now_ms).await
}

async fn consume_invite(tx: &mut SqliteConnection, code: [u8; 32], now_ms: i64) -> Result<()> {
    let used = sqlx::query(
        "UPDATE invites SET uses_left = uses_left - 1
         WHERE hash = $1 AND uses_left > 0 AND (ends_ms IS NULL OR ends_ms > $2)",
    )
    .bind(rows::bytes(&code))
    .bind(now_ms)
    .execute(&mut *tx)
    .await?;
    if used.rows_affected() == 0 { Err(StoreError::BadInvite) } else { Ok(()) }
}

pub(super) async fn find_login(connection: &mut SqliteConnection, name_key: &str) -> Result<Option<Login>> {
    sqlx::query("SELECT id, password, locked FROM accounts WHERE name_key = $1")
        .bind(name_key)
        .fetch_optional(connection)
        .await?
        .map(|row| {
            Ok(Login {
                account: rows::account_id(&row, "id")?,
                password_hash: row.try_get("password")?,
                locked: row.try_get("locked")?,
            })
        })
        .transpose()
}

pub(super) async fn enrol(
    tx: &mut SqliteConnection,
    account: AccountId,
    device: DeviceKey,
    now_ms: i64,
) -> Result<Caller> {
    let owner = sqlx::query("SELECT no, name FROM accounts WHERE id = $1")
        .bind(rows::bytes(account.as_bytes()))
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(StoreError::SignedOut)?;
    let owner_no: i64 = owner.try_get("no")?;
    let id = rows::bytes(device.id.as_bytes());
    // What the device shared for another account stays with that account, without this device as its source.
    sqlx::query("DELETE FROM devices WHERE id = $1 AND account <> $2")
        .bind(id.clone())
        .bind(owner_no)
        .execute(&mut *tx)
        .await?;
    let others: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM devices WHERE account = $1 AND active = 1 AND id <> $2")
        .bind(owner_no)
        .bind(id.clone())
        .fetch_one(&mut *tx)
        .await?;
    if usize::try_from(others).unwrap_or(usize::MAX) >= DEVICES_PER_ACCOUNT_MAX {
        return Err(StoreError::TooManyDevices(DEVICES_PER_ACCOUNT_MAX));
    }
    sqlx::query(
        "INSERT INTO devices (id, key, account, label, created_ms) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO UPDATE SET active = 1, label = excluded.label",
    )
    .bind(id)
    .bind(rows::bytes(&device.key))
    .bind(owner_no)
    .bind(&device.label)
    .bind(now_ms)
    .execute(&mut *tx)
    .await?;
    Ok(Caller { account, name: owner.try_get("name")?, device: device.id })
}

pub(super) async fn find_device(connection: &mut SqliteConnection, device: DeviceId) -> Result<Option<EnrolledDevice>> {
    sqlx::query(
        "SELECT d.key AS key, a.id AS account, a.name AS name, a.locked AS locked
         FROM devices d JOIN accounts a ON a.no = d.account WHERE d.id = $1 AND d.active = 1",
    )
    .bind(rows::bytes(device.as_bytes()))
    .fetch_optional(connection)
    .await?
    .map(|row| {
        let key: &[u8] = row.try_get("key")?;
        Ok(EnrolledDevice {
            caller: Caller { account: rows::account_id(&row, "account")?, name: row.try_get("name")?, device },
            key: key.try_into().map_err(|_| StoreError::Corrupt("key"))?,
            locked: row.try_get("locked")?,
        })
    })
    .transpose()
}

pub(super) async fn forget_device(tx: &mut SqliteConnection, device: DeviceId) -> Result<()> {
    sqlx::query("UPDATE devices SET active = 0 WHERE id = $1").bind(rows::bytes(device.as_bytes())).execute(tx).await?;
    Ok(())
}

pub(super) async fn note_seen(tx: &mut SqliteConnection, devices: &[DeviceId], now_ms: i64) -> Result<()> {
    let ids = rows::hex_list(devices.iter().map(|device| device.as_bytes().as_slice()));
    sqlx::query("UPDATE devices SET last_seen_ms = $2 WHERE id IN (SELECT unhex(value) FROM json_each($1))")
        .bind(&ids)
        .bind(now_ms)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "UPDATE accounts SET last_seen_ms = $2 WHERE no IN
         (SELECT account FROM devices WHERE id IN (SELECT unhex(value) FROM json_each($1)))",
    )
    .bind(&ids)
    .bind(now_ms)
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn create_invite(
    tx: &mut SqliteConnection,
    invite: Invite,
    hash: [u8; 32],
    now_ms: i64,
) -> Result<()> {
    sqlx::query("DELETE FROM invites WHERE uses_left = 0 OR ends_ms <= $1").bind(now_ms).execute(&mut *tx).await?;
    sqlx::query("INSERT INTO invites (hash, hint, uses_left, created_ms, ends_ms) VALUES ($1, $2, $3, $4, $5)")
        .bind(rows::bytes(&hash))
        .bind(&invite.hint)
        .bind(invite.uses_left)
        .bind(now_ms)
        .bind(invite.ends_ms)
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn list_invites(connection: &mut SqliteConnection, now_ms: i64) -> Result<Vec<Invite>> {
    sqlx::query(
        "SELECT hint, uses_left, ends_ms FROM invites
         WHERE uses_left > 0 AND (ends_ms IS NULL OR ends_ms > $1) ORDER BY created_ms, hint",
    )
    .bind(now_ms)
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| {
        Ok(Invite {
            hint: row.try_get("hint")?,
            uses_left: row.try_get("uses_left")?,
            ends_ms: row.try_get("ends_ms")?,
        })
    })
    .collect()
}

pub(super) async fn revoke_invite(tx: &mut SqliteConnection, hash: [u8; 32]) -> Result<bool> {
    let gone = sqlx::query("DELETE FROM invites WHERE hash = $1").bind(rows::bytes(&hash)).execute(tx).await?;
    Ok(gone.rows_affected() > 0)
}

pub(super) async fn names(
    connection: &mut SqliteConnection,
    accounts: &[AccountId],
) -> Result<Vec<(AccountId, String)>> {
    sqlx::query("SELECT id, name FROM accounts WHERE id IN (SELECT unhex(value) FROM json_each($1))")
        .bind(rows::hex_list(accounts.iter().map(|account| account.as_bytes().as_slice())))
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| Ok((rows::account_id(row, "id")?, row.try_get("name")?)))
        .collect()
}

pub(super) async fn members(
    connection: &mut SqliteConnection,
    after: Option<&str>,
) -> Result<(Vec<MemberEntry>, Option<String>)> {
    let found = sqlx::query(
        "SELECT id, name, name_key, last_seen_ms, shares FROM accounts WHERE name_key > $1 ORDER BY name_key LIMIT $2",
    )
    .bind(after.unwrap_or(""))
    .bind(i64::try_from(PAGE_ENTRIES_MAX + 1).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    let page = &found[..found.len().min(PAGE_ENTRIES_MAX)];
    let next = match page.last() {
        Some(last) if page.len() < found.len() => Some(last.try_get("name_key")?),
        Some(_) | None => None,
    };
    Ok((page.iter().map(member).collect::<Result<_>>()?, next))
}

pub(super) async fn members_by_id(
    connection: &mut SqliteConnection,
    accounts: &[AccountId],
) -> Result<Vec<MemberEntry>> {
    sqlx::query(
        "SELECT id, name, last_seen_ms, shares FROM accounts WHERE id IN (SELECT unhex(value) FROM json_each($1))",
    )
    .bind(rows::hex_list(accounts.iter().map(|account| account.as_bytes().as_slice())))
    .fetch_all(connection)
    .await?
    .iter()
    .map(member)
    .collect()
}

fn member(row: &SqliteRow) -> Result<MemberEntry> {
    Ok(MemberEntry {
        account: rows::account_id(row, "id")?,
        name: row.try_get("name")?,
        presence: Presence::Offline,
        last_seen_ms: row.try_get("last_seen_ms")?,
        shares: rows::count(row, "shares")?,
        devices: 0,
    })
}

pub(super) async fn status(connection: &mut SqliteConnection) -> Result<TrackerStatus> {
    let index = sqlx::query(
        "SELECT COUNT(*) AS members, COALESCE(SUM(listed_files), 0) AS files, COALESCE(SUM(listed_bytes), 0) AS bytes
         FROM accounts",
    )
    .fetch_one(&mut *connection)
    .await?;
    let copies = sqlx::query("SELECT COUNT(*) AS copies, COALESCE(SUM(size), 0) AS bytes FROM copies WHERE state = $1")
        .bind(rows::COPY_STORED)
        .fetch_one(connection)
        .await?;
    Ok(TrackerStatus {
        program: String::new(),
        uptime_s: 0,
        members: rows::count(&index, "members")?,
        online: 0,
        files: rows::count(&index, "files")?,
        bytes: rows::count(&index, "bytes")?,
        copies: rows::count(&copies, "copies")?,
        copy_bytes: rows::count(&copies, "bytes")?,
    })
}
