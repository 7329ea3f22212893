//! Devices: which keys sign in to which account.

use shared::{
    id::{AccountId, DeviceId},
    limits::{DEVICES_PER_ACCOUNT_MAX, REVOKED_TOLD_MAX},
    wire::account::DeviceEntry,
};
use sqlx::{Row, SqliteConnection};

use super::{Me, Result, rows};
use crate::store::{Caller, DeviceKey, EnrolledDevice, StoreError};

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
         ON CONFLICT (id) DO UPDATE SET active = 1, revoked_ms = NULL, label = excluded.label,
             last_seen_ms = excluded.created_ms",
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
        "SELECT d.key AS key, a.id AS account, a.name AS name, a.locked AS locked,
             COALESCE(d.last_seen_ms, d.created_ms) AS seen_ms
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
            seen_ms: row.try_get("seen_ms")?,
        })
    })
    .transpose()
}

pub(super) async fn revoke(
    tx: &mut SqliteConnection,
    me: Me,
    devices: &[DeviceId],
    now_ms: i64,
) -> Result<Vec<DeviceId>> {
    sqlx::query(
        "UPDATE devices SET active = 0, revoked_ms = $3
         WHERE account = $1 AND active = 1 AND id IN (SELECT unhex(value) FROM json_each($2)) RETURNING id",
    )
    .bind(me.account)
    .bind(hex_list(devices))
    .bind(now_ms)
    .fetch_all(tx)
    .await?
    .iter()
    .map(|row| rows::device_id(row, "id"))
    .collect()
}

pub(super) async fn revoked(connection: &mut SqliteConnection, since_ms: i64) -> Result<Vec<DeviceId>> {
    sqlx::query(
        "SELECT id FROM (
             SELECT id, revoked_ms FROM devices WHERE active = 0 AND revoked_ms >= $1
             UNION ALL
             SELECT d.id, a.locked_ms FROM devices d JOIN accounts a ON a.no = d.account
             WHERE a.locked = 1 AND d.active = 1 AND a.locked_ms >= $1
         ) ORDER BY revoked_ms DESC LIMIT $2",
    )
    .bind(since_ms)
    .bind(i64::try_from(REVOKED_TOLD_MAX).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| rows::device_id(row, "id"))
    .collect()
}

pub(super) async fn enrolled_among(connection: &mut SqliteConnection, devices: &[DeviceId]) -> Result<Vec<DeviceId>> {
    sqlx::query(
        "SELECT d.id AS id FROM devices d JOIN accounts a ON a.no = d.account
         WHERE d.active = 1 AND a.locked = 0 AND d.id IN (SELECT unhex(value) FROM json_each($1))",
    )
    .bind(hex_list(devices))
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| rows::device_id(row, "id"))
    .collect()
}

pub(super) async fn of_account(connection: &mut SqliteConnection, me: Me) -> Result<Vec<DeviceEntry>> {
    sqlx::query("SELECT id, label, created_ms, last_seen_ms FROM devices WHERE account = $1 AND active = 1 ORDER BY no")
        .bind(me.account)
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| {
            Ok(DeviceEntry {
                device: rows::device_id(row, "id")?,
                label: row.try_get("label")?,
                enrolled_ms: row.try_get("created_ms")?,
                last_seen_ms: row.try_get("last_seen_ms")?,
                online: false,
            })
        })
        .collect()
}

pub(super) async fn of_accounts(
    connection: &mut SqliteConnection,
    accounts: &[AccountId],
) -> Result<Vec<(AccountId, DeviceId, Option<i64>)>> {
    sqlx::query(
        "SELECT a.id AS account, d.id AS device, d.last_seen_ms AS last_seen_ms
         FROM json_each($1) w CROSS JOIN accounts a ON a.id = unhex(w.value)
         JOIN devices d ON d.account = a.no AND d.active = 1 ORDER BY a.no, d.no",
    )
    .bind(rows::hex_list(accounts.iter().map(|account| account.as_bytes().as_slice())))
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| Ok((rows::account_id(row, "account")?, rows::device_id(row, "device")?, row.try_get("last_seen_ms")?)))
    .collect()
}

pub(super) async fn note_narrowed(tx: &mut SqliteConnection, devices: &[DeviceId], now_ms: i64) -> Result<()> {
    sqlx::query("UPDATE devices SET narrowed_ms = $2 WHERE id IN (SELECT unhex(value) FROM json_each($1))")
        .bind(hex_list(devices))
        .bind(now_ms)
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn narrowed(connection: &mut SqliteConnection, device: DeviceId) -> Result<Option<i64>> {
    let found: Option<Option<i64>> = sqlx::query_scalar("SELECT narrowed_ms FROM devices WHERE id = $1")
        .bind(rows::bytes(device.as_bytes()))
        .fetch_optional(connection)
        .await?;
    Ok(found.flatten())
}

fn hex_list(devices: &[DeviceId]) -> String {
    rows::hex_list(devices.iter().map(|device| device.as_bytes().as_slice()))
}

pub(super) async fn note_seen(tx: &mut SqliteConnection, devices: &[DeviceId], now_ms: i64) -> Result<()> {
    let ids = hex_list(devices);
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
