//! Messages: what was sent, and what of it waits for which device.

use std::collections::BTreeSet;

use async_trait::async_trait;
use data_encoding::HEXLOWER;
use shared::{
    id::{AccountId, DeviceId, MessageId},
    limits::{MESSAGE_KEYS_MAX, MESSAGES_KEPT_MAX, MESSAGES_PAGE_MAX},
    wire::message::{Delivery, DeviceKeys, Header, Seal, Sending},
};
use sqlx::{Acquire as _, Row, SqliteConnection, sqlite::SqliteRow};

use super::{Me, Result, SqliteStore, me, rows};
use crate::store::{Caller, Mail, Mailed, MessageStore, Posted, StoreError};

/// The devices that messages are sealed to, but for the device `$1`: signed in, with a key, of nobody who is locked.
macro_rules! devices_with_keys {
    () => {
        " devices d JOIN message_devices k ON k.device = d.no JOIN accounts a ON a.no = d.account
          WHERE d.active = 1 AND a.locked = 0 AND d.no <> $1 "
    };
}
/// Of them a page of keys behind the id `$2`.
macro_rules! select_keys {
    ($whose:literal) => {
        concat!(
            "SELECT d.id AS device, d.key AS signing, a.id AS account, k.sealing AS sealing, k.proof AS proof FROM",
            devices_with_keys!(),
            "AND d.id > $2 AND ",
            $whose,
            " ORDER BY d.id LIMIT $3"
        )
    };
}
/// Of them the number of those that have no seal of the message `$2`, without the accounts in `$3`.
macro_rules! count_missing {
    ($whose:literal) => {
        concat!(
            "SELECT COUNT(*) FROM",
            devices_with_keys!(),
            "AND NOT EXISTS (SELECT 1 FROM message_seals s WHERE s.device = d.no AND s.message = $2)
             AND d.account NOT IN (SELECT value FROM json_each($3)) AND ",
            $whose
        )
    };
}

#[async_trait]
impl MessageStore for SqliteStore {
    async fn publish_message_key(&self, caller: &Caller, key: [u8; 32], proof: Vec<u8>) -> Result<()> {
        if is_published(&mut *self.read().await?, caller, &key, &proof).await? {
            return Ok(());
        }
        let mut tx = self.write().await?;
        let me = me(&mut tx, caller).await?;
        sqlx::query(
            "INSERT INTO message_devices (device, sealing, proof) VALUES ($1, $2, $3)
             ON CONFLICT (device) DO UPDATE SET sealing = excluded.sealing, proof = excluded.proof",
        )
        .bind(me.device)
        .bind(rows::bytes(&key))
        .bind(proof)
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    async fn message_keys(
        &self,
        caller: &Caller,
        to: Option<AccountId>,
        after: Option<DeviceId>,
    ) -> Result<(Vec<DeviceKeys>, Option<DeviceId>)> {
        keys(&mut *self.read().await?, caller, to, after).await
    }

    async fn mail(&self, batch: Vec<Mail>, now_ms: i64) -> Result<Vec<Result<Mailed>>> {
        let mut tx = self.write().await?;
        let mut done = Vec::with_capacity(batch.len());
        for mail in batch {
            let mut one = tx.begin().await?;
            let mailed = match mail {
                Mail::Send { caller, sending } => send(&mut one, &caller, sending, now_ms).await,
                Mail::Acknowledge { caller, messages } => acknowledge(&mut one, &caller, &messages).await,
            };
            match mailed {
                Ok(_) => one.commit().await?,
                Err(_) => one.rollback().await?,
            }
            done.push(mailed);
        }
        tx.commit().await?;
        Ok(done)
    }

    async fn waiting_messages(&self, caller: &Caller, after: u64) -> Result<(Vec<Delivery>, bool)> {
        waiting(&mut *self.read().await?, caller, after).await
    }

    async fn delivered_among(&self, caller: &Caller, messages: &[MessageId]) -> Result<Vec<MessageId>> {
        let mut tx = self.read().await?;
        let me = me(&mut tx, caller).await?;
        sqlx::query(
            "SELECT id FROM messages
             WHERE sender = $1 AND delivered = 1 AND id IN (SELECT unhex(value) FROM json_each($2))",
        )
        .bind(me.account)
        .bind(hex_list(messages))
        .fetch_all(&mut *tx)
        .await?
        .iter()
        .map(|row| rows::message_id(row, "id"))
        .collect()
    }

    async fn forget_messages(&self, before_ms: i64) -> Result<u64> {
        let mut tx = self.write().await?;
        let gone = sqlx::query("DELETE FROM messages WHERE at_ms < $1").bind(before_ms).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(gone.rows_affected())
    }
}

async fn is_published(
    connection: &mut SqliteConnection,
    caller: &Caller,
    key: &[u8; 32],
    proof: &[u8],
) -> Result<bool> {
    let me = me(connection, caller).await?;
    let known = sqlx::query("SELECT 1 FROM message_devices WHERE device = $1 AND sealing = $2 AND proof = $3")
        .bind(me.device)
        .bind(rows::bytes(key))
        .bind(rows::bytes(proof))
        .fetch_optional(connection)
        .await?;
    Ok(known.is_some())
}

async fn keys(
    connection: &mut SqliteConnection,
    caller: &Caller,
    to: Option<AccountId>,
    after: Option<DeviceId>,
) -> Result<(Vec<DeviceKeys>, Option<DeviceId>)> {
    let me = me(connection, caller).await?;
    let receiver = match to {
        Some(to) => Some(account_no(connection, to).await?),
        None => None,
    };
    // Also of who is apart from the caller, who could tell by the difference: those seals are thrown away.
    let found = sqlx::query(match receiver {
        Some(_) => select_keys!("d.account IN ($4, $5)"),
        None => select_keys!("$4 IS NULL AND $5 IS NOT NULL"),
    })
    .bind(me.device)
    .bind(after.map(|after| rows::bytes(after.as_bytes())).unwrap_or_default())
    .bind(i64::try_from(MESSAGE_KEYS_MAX + 1).unwrap_or(i64::MAX))
    .bind(receiver)
    .bind(me.account)
    .fetch_all(connection)
    .await?;
    let page = &found[..found.len().min(MESSAGE_KEYS_MAX)];
    let next = match page.last() {
        Some(last) if page.len() < found.len() => Some(rows::device_id(last, "device")?),
        Some(_) | None => None,
    };
    Ok((page.iter().map(device_keys).collect::<Result<_>>()?, next))
}

fn device_keys(row: &SqliteRow) -> Result<DeviceKeys> {
    Ok(DeviceKeys {
        account: rows::account_id(row, "account")?,
        signing: key(row, "signing")?,
        sealing: key(row, "sealing")?,
        proof: row.try_get("proof")?,
    })
}

/// What there is of a message that was sent before, or in parts.
struct Begun {
    no: i64,
    at_ms: i64,
    complete: bool,
}

/// Whom a message is for.
enum Audience {
    Everyone,
    Member { no: i64, name: String },
}

impl Audience {
    const fn member(&self) -> Option<i64> {
        match self {
            Self::Everyone => None,
            Self::Member { no, .. } => Some(*no),
        }
    }
}

// Each statement is a way to the database's thread and back: what one can say is not asked by two.
async fn send(tx: &mut SqliteConnection, caller: &Caller, sending: Sending, now_ms: i64) -> Result<Mailed> {
    let me = me(tx, caller).await?;
    let begun = match begun(tx, me, &sending).await? {
        Some(Begun { at_ms, complete: true, .. }) => return Ok(Mailed::Kept { at_ms, news: None }),
        begun => begun.map(|begun| begun.no),
    };
    let (audience, apart) = audience(tx, me, sending.header.to).await?;
    let receiver = audience.member();
    let no = match begun {
        Some(no) => no,
        None => begin(tx, me, receiver, &sending, now_ms).await?,
    };
    keep_seals(tx, me, receiver, no, &sending.seals, &apart).await?;
    if !sending.last {
        return Ok(Mailed::More);
    }
    let missing = missing(tx, me, receiver, no, &apart).await?;
    if missing > 0 {
        return Ok(Mailed::DevicesMissing(missing));
    }
    let (seals, accounts) = seals(tx, no).await?;
    // Somebody who is apart must not be told from somebody who is there.
    if let Some(receiver) = receiver
        && !apart.contains(&receiver)
        && !accounts.contains(&receiver)
    {
        return Err(StoreError::NoDevice);
    }
    let (at_ms, signing) = complete(tx, no, now_ms, seals.is_empty()).await?;
    let delivery = Delivery {
        place: u64::try_from(no).map_err(|_| StoreError::Corrupt("no"))?,
        header: sending.header,
        from_name: caller.name.clone(),
        to_name: match audience {
            Audience::Everyone => None,
            Audience::Member { name, .. } => Some(name),
        },
        signing,
        at_ms,
        body: sending.body,
        signature: sending.signature,
        sealed: Vec::new(),
    };
    Ok(Mailed::Kept { at_ms, news: Some(Box::new(Posted { delivery, seals })) })
}

/// Whom a message of this member is for, and who of them is apart from it: what one of those says never reaches the
/// other, who is not told. Everything that passes between members asks here.
async fn audience(tx: &mut SqliteConnection, me: Me, to: Option<AccountId>) -> Result<(Audience, BTreeSet<i64>)> {
    let Some(to) = to else {
        let others =
            sqlx::query_scalar("SELECT other FROM apart WHERE one = $1").bind(me.account).fetch_all(tx).await?;
        return Ok((Audience::Everyone, others.into_iter().collect()));
    };
    let row = sqlx::query(
        "SELECT a.no AS no, a.name AS name,
             EXISTS (SELECT 1 FROM apart p WHERE p.one = $2 AND p.other = a.no) AS apart
         FROM accounts a WHERE a.id = $1",
    )
    .bind(rows::bytes(to.as_bytes()))
    .bind(me.account)
    .fetch_optional(tx)
    .await?
    .ok_or_else(|| StoreError::UnknownMember(to.to_string()))?;
    let no = row.try_get("no")?;
    let apart = row.try_get::<bool, _>("apart")?.then_some(no);
    Ok((Audience::Member { no, name: row.try_get("name")? }, apart.into_iter().collect()))
}

async fn begun(tx: &mut SqliteConnection, me: Me, sending: &Sending) -> Result<Option<Begun>> {
    let row = sqlx::query("SELECT no, sender, device, at_ms, body, complete FROM messages WHERE id = $1")
        .bind(rows::bytes(sending.header.id.as_bytes()))
        .fetch_optional(tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    if row.try_get::<i64, _>("sender")? != me.account {
        return Err(StoreError::MessageTaken);
    }
    let complete: bool = row.try_get("complete")?;
    // Seals of one key beside a body under another would be worth nothing to anybody.
    if !complete
        && (rows::device_id(&row, "device")? != sending.header.device
            || row.try_get::<Option<&[u8]>, _>("body")? != Some(&sending.body))
    {
        return Err(StoreError::MessageTaken);
    }
    Ok(Some(Begun { no: row.try_get("no")?, at_ms: row.try_get("at_ms")?, complete }))
}

async fn begin(
    tx: &mut SqliteConnection,
    me: Me,
    receiver: Option<i64>,
    sending: &Sending,
    now_ms: i64,
) -> Result<i64> {
    let written = sqlx::query(
        "INSERT INTO messages (id, sender, receiver, device, signing, written_ms, at_ms, body, signature)
         SELECT $1, $2, $3, d.id, d.key, $4, $5, $6, $7 FROM devices d
         WHERE d.no = $8 AND (SELECT COUNT(*) FROM messages WHERE sender = $2 AND body IS NOT NULL) < $9",
    )
    .bind(rows::bytes(sending.header.id.as_bytes()))
    .bind(me.account)
    .bind(receiver)
    .bind(sending.header.written_ms)
    .bind(now_ms)
    .bind(rows::bytes(&sending.body))
    .bind(rows::bytes(&sending.signature))
    .bind(me.device)
    .bind(i64::try_from(MESSAGES_KEPT_MAX).unwrap_or(i64::MAX))
    .execute(tx)
    .await?;
    match written.rows_affected() {
        0 => Err(StoreError::TooManyMessages(MESSAGES_KEPT_MAX)),
        _ => Ok(written.last_insert_rowid()),
    }
}

/// Keeps those of the seals that count. One that is there stays.
async fn keep_seals(
    tx: &mut SqliteConnection,
    me: Me,
    receiver: Option<i64>,
    message: i64,
    seals: &[Seal],
    apart: &BTreeSet<i64>,
) -> Result<()> {
    let listed: Vec<[String; 2]> =
        seals.iter().map(|seal| [HEXLOWER.encode(seal.device.as_bytes()), HEXLOWER.encode(&seal.sealed)]).collect();
    let listed = serde_json::to_string(&listed).map_err(|_| StoreError::Corrupt("seals"))?;
    sqlx::query(
        "INSERT OR IGNORE INTO message_seals (device, message, sealed)
         SELECT d.no, $1, unhex(j.value ->> 1) FROM json_each($2) j JOIN devices d ON d.id = unhex(j.value ->> 0)
         WHERE d.active = 1 AND d.no <> $3 AND ($4 IS NULL OR d.account IN ($4, $5))
         AND d.account NOT IN (SELECT value FROM json_each($6))",
    )
    .bind(message)
    .bind(listed)
    .bind(me.device)
    .bind(receiver)
    .bind(me.account)
    .bind(rows::number_list(apart.iter().copied()))
    .execute(tx)
    .await?;
    Ok(())
}

/// How many devices that should get a message have no seal.
async fn missing(
    tx: &mut SqliteConnection,
    me: Me,
    receiver: Option<i64>,
    message: i64,
    apart: &BTreeSet<i64>,
) -> Result<u32> {
    let missing: i64 = sqlx::query_scalar(match receiver {
        Some(_) => count_missing!("d.account IN ($4, $5)"),
        None => count_missing!("$4 IS NULL AND $5 IS NOT NULL"),
    })
    .bind(me.device)
    .bind(message)
    .bind(rows::number_list(apart.iter().copied()))
    .bind(receiver)
    .bind(me.account)
    .fetch_one(tx)
    .await?;
    u32::try_from(missing).map_err(|_| StoreError::Corrupt("seals"))
}

/// The seals of a message, and the accounts that they are for.
async fn seals(tx: &mut SqliteConnection, message: i64) -> Result<(Vec<Seal>, BTreeSet<i64>)> {
    let found = sqlx::query(
        "SELECT d.id AS device, d.account AS account, s.sealed AS sealed
         FROM message_seals s JOIN devices d ON d.no = s.device WHERE s.message = $1",
    )
    .bind(message)
    .fetch_all(tx)
    .await?;
    let seal = |row| Ok(Seal { device: rows::device_id(row, "device")?, sealed: row.try_get("sealed")? });
    let accounts = found.iter().map(|row| row.try_get("account")).collect::<std::result::Result<_, _>>()?;
    Ok((found.iter().map(seal).collect::<Result<_>>()?, accounts))
}

/// The message has come: gives its time, which is another than that of every message before, and its sender's key.
async fn complete(tx: &mut SqliteConnection, message: i64, now_ms: i64, unread: bool) -> Result<(i64, [u8; 32])> {
    let row = sqlx::query(
        "UPDATE messages SET complete = 1,
             at_ms = MAX($2, COALESCE((SELECT MAX(o.at_ms) + 1 FROM messages o WHERE o.no <> $1), $2)),
             body = CASE WHEN $3 THEN NULL ELSE body END, signature = CASE WHEN $3 THEN NULL ELSE signature END
         WHERE no = $1 RETURNING at_ms, signing",
    )
    .bind(message)
    .bind(now_ms)
    .bind(unread)
    .fetch_one(tx)
    .await?;
    Ok((row.try_get("at_ms")?, key(&row, "signing")?))
}

async fn acknowledge(tx: &mut SqliteConnection, caller: &Caller, messages: &[MessageId]) -> Result<Mailed> {
    let me = me(tx, caller).await?;
    let taken = sqlx::query(
        "DELETE FROM message_seals WHERE device = $1 AND message IN (
             SELECT no FROM messages WHERE complete = 1 AND id IN (SELECT unhex(value) FROM json_each($2))
         ) RETURNING message",
    )
    .bind(me.device)
    .bind(hex_list(messages))
    .fetch_all(&mut *tx)
    .await?;
    let taken = taken.iter().map(|row| row.try_get(0)).collect::<std::result::Result<Vec<i64>, _>>()?;
    let taken = rows::number_list(taken);
    let delivered = sqlx::query(
        "UPDATE messages SET delivered = 1
         WHERE no IN (SELECT value FROM json_each($1)) AND receiver = $2 AND delivered = 0
         RETURNING id, (SELECT a.id FROM accounts a WHERE a.no = sender) AS sender",
    )
    .bind(&taken)
    .bind(me.account)
    .fetch_all(&mut *tx)
    .await?;
    sqlx::query(
        "UPDATE messages SET body = NULL, signature = NULL WHERE no IN (SELECT value FROM json_each($1))
         AND NOT EXISTS (SELECT 1 FROM message_seals s WHERE s.message = messages.no)",
    )
    .bind(&taken)
    .execute(tx)
    .await?;
    let delivered = delivered.iter().map(|row| Ok((rows::account_id(row, "sender")?, rows::message_id(row, "id")?)));
    Ok(Mailed::Delivered(delivered.collect::<Result<_>>()?))
}

async fn waiting(connection: &mut SqliteConnection, caller: &Caller, after: u64) -> Result<(Vec<Delivery>, bool)> {
    let me = me(connection, caller).await?;
    let found = sqlx::query(
        "SELECT m.no AS no, m.id AS id, a.id AS sender, a.name AS sender_name, r.id AS receiver,
             r.name AS receiver_name, m.device AS device, m.signing AS signing, m.written_ms AS written_ms,
             m.at_ms AS at_ms, m.body AS body, m.signature AS signature, s.sealed AS sealed
         FROM message_seals s JOIN messages m ON m.no = s.message JOIN accounts a ON a.no = m.sender
         LEFT JOIN accounts r ON r.no = m.receiver
         WHERE s.device = $1 AND s.message > $2 AND m.complete = 1 AND m.body IS NOT NULL
         ORDER BY s.message LIMIT $3",
    )
    .bind(me.device)
    .bind(i64::try_from(after).unwrap_or(i64::MAX))
    .bind(i64::try_from(MESSAGES_PAGE_MAX + 1).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    let page = &found[..found.len().min(MESSAGES_PAGE_MAX)];
    Ok((page.iter().map(delivery).collect::<Result<_>>()?, page.len() < found.len()))
}

fn delivery(row: &SqliteRow) -> Result<Delivery> {
    let receiver: Option<&[u8]> = row.try_get("receiver")?;
    let to = receiver.map(|id| AccountId::from_slice(id).ok_or(StoreError::Corrupt("receiver"))).transpose()?;
    Ok(Delivery {
        place: rows::count(row, "no")?,
        header: Header {
            id: rows::message_id(row, "id")?,
            from: rows::account_id(row, "sender")?,
            device: rows::device_id(row, "device")?,
            to,
            written_ms: row.try_get("written_ms")?,
        },
        from_name: row.try_get("sender_name")?,
        to_name: row.try_get("receiver_name")?,
        signing: key(row, "signing")?,
        at_ms: row.try_get("at_ms")?,
        body: row.try_get("body")?,
        signature: row.try_get("signature")?,
        sealed: row.try_get("sealed")?,
    })
}

async fn account_no(connection: &mut SqliteConnection, account: AccountId) -> Result<i64> {
    sqlx::query_scalar("SELECT no FROM accounts WHERE id = $1")
        .bind(rows::bytes(account.as_bytes()))
        .fetch_optional(connection)
        .await?
        .ok_or_else(|| StoreError::UnknownMember(account.to_string()))
}

fn key(row: &SqliteRow, column: &'static str) -> Result<[u8; 32]> {
    row.try_get::<&[u8], _>(column)?.try_into().map_err(|_| StoreError::Corrupt(column))
}

fn hex_list(messages: &[MessageId]) -> String {
    rows::hex_list(messages.iter().map(|message| message.as_bytes().as_slice()))
}
