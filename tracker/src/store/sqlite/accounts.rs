//! Accounts, invitations, members and counts.

use shared::{
    id::AccountId,
    limits::{INVITES_MAX, PAGE_ENTRIES_MAX},
    wire::tracker::{MemberEntry, Presence, TrackerStatus},
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{Me, Result, rows};
use crate::store::{AccountRow, Administered, Caller, Invite, Login, NewAccount, Recovery, StoreError, WhichInvite};

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
    super::devices::enrol(tx, account.id, account.device, now_ms).await
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

pub(super) async fn set_password(tx: &mut SqliteConnection, me: Me, old_hash: &str, new_hash: &str) -> Result<()> {
    let set = sqlx::query("UPDATE accounts SET password = $3 WHERE no = $1 AND password = $2")
        .bind(me.account)
        .bind(old_hash)
        .bind(new_hash)
        .execute(tx)
        .await?;
    if set.rows_affected() == 0 { Err(StoreError::PasswordMoved) } else { Ok(()) }
}

pub(super) async fn set_email(tx: &mut SqliteConnection, me: Me, email: Option<String>) -> Result<()> {
    sqlx::query("UPDATE accounts SET email = $2 WHERE no = $1").bind(me.account).bind(email).execute(tx).await?;
    Ok(())
}

pub(super) async fn set_recovery(tx: &mut SqliteConnection, me: Me, hash: [u8; 32]) -> Result<()> {
    sqlx::query("UPDATE accounts SET recovery = $2 WHERE no = $1")
        .bind(me.account)
        .bind(rows::bytes(&hash))
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn recover(tx: &mut SqliteConnection, recovery: Recovery, now_ms: i64) -> Result<Option<Caller>> {
    let found = sqlx::query("SELECT id FROM accounts WHERE name_key = $1 AND recovery = $2 AND locked = 0")
        .bind(&recovery.name_key)
        .bind(rows::bytes(&recovery.code))
        .fetch_optional(&mut *tx)
        .await?;
    let Some(found) = found else { return Ok(None) };
    let account = rows::account_id(&found, "id")?;
    sqlx::query("UPDATE accounts SET password = $2, recovery = NULL WHERE id = $1")
        .bind(rows::bytes(account.as_bytes()))
        .bind(&recovery.password_hash)
        .execute(&mut *tx)
        .await?;
    super::devices::enrol(tx, account, recovery.device, now_ms).await.map(Some)
}

pub(super) async fn is_admin(connection: &mut SqliteConnection, me: Me) -> Result<bool> {
    let role: i64 =
        sqlx::query_scalar("SELECT role FROM accounts WHERE no = $1").bind(me.account).fetch_one(connection).await?;
    Ok(role == rows::ROLE_ADMIN)
}

pub(super) async fn all(connection: &mut SqliteConnection) -> Result<Vec<AccountRow>> {
    sqlx::query(
        "SELECT name, email, role, locked, files, created_ms, last_seen_ms,
         (SELECT COUNT(*) FROM devices d WHERE d.account = a.no AND d.active = 1) AS devices
         FROM accounts a ORDER BY name_key",
    )
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| {
        Ok(AccountRow {
            name: row.try_get("name")?,
            email: row.try_get("email")?,
            admin: row.try_get::<i64, _>("role")? == rows::ROLE_ADMIN,
            locked: row.try_get("locked")?,
            devices: rows::count(row, "devices")?,
            files: rows::count(row, "files")?,
            created_ms: row.try_get("created_ms")?,
            last_seen_ms: row.try_get("last_seen_ms")?,
        })
    })
    .collect()
}

pub(super) async fn administer(
    tx: &mut SqliteConnection,
    name_key: &str,
    change: Administered,
    now_ms: i64,
) -> Result<bool> {
    let done = match change {
        Administered::Locked(locked) => {
            sqlx::query("UPDATE accounts SET locked = $2, locked_ms = $3 WHERE name_key = $1")
                .bind(name_key)
                .bind(locked)
                .bind(locked.then_some(now_ms))
        }
        Administered::Admin(admin) => {
            let role = if admin { rows::ROLE_ADMIN } else { rows::ROLE_MEMBER };
            sqlx::query("UPDATE accounts SET role = $2 WHERE name_key = $1").bind(name_key).bind(role)
        }
    };
    Ok(done.execute(tx).await?.rows_affected() > 0)
}

pub(super) async fn create_invite(
    tx: &mut SqliteConnection,
    invite: Invite,
    hash: [u8; 32],
    now_ms: i64,
) -> Result<()> {
    sqlx::query("DELETE FROM invites WHERE uses_left = 0 OR ends_ms <= $1").bind(now_ms).execute(&mut *tx).await?;
    let there: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM invites").fetch_one(&mut *tx).await?;
    if usize::try_from(there).unwrap_or(usize::MAX) >= INVITES_MAX {
        return Err(StoreError::TooManyInvites(INVITES_MAX));
    }
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

pub(super) async fn revoke_invite(tx: &mut SqliteConnection, which: &WhichInvite) -> Result<u64> {
    let gone = match which {
        WhichInvite::Hash(hash) => sqlx::query("DELETE FROM invites WHERE hash = $1").bind(rows::bytes(hash)),
        WhichInvite::Hint(hint) => {
            let alike: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM invites WHERE hint = $1")
                .bind(hint)
                .fetch_one(&mut *tx)
                .await?;
            if alike > 1 {
                return Ok(u64::try_from(alike).unwrap_or(u64::MAX));
            }
            sqlx::query("DELETE FROM invites WHERE hint = $1").bind(hint)
        }
    };
    Ok(gone.execute(tx).await?.rows_affected())
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
