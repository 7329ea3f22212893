//! Messages: what was said, how far it has come, and what of it waits for the tracker.

use shared::{
    id::{AccountId, DeviceId, MessageId},
    limits::{MESSAGES_READ_MAX, MESSAGES_REMEMBERED_MAX},
};
use sqlx::{Connection as _, Row, Sqlite, SqliteConnection, Transaction, pool::PoolConnection, sqlite::SqliteRow};

use super::{State, StateError, unreadable};
use crate::engine::{
    api::{MessageRow, MessageState, RoomName, RoomRow},
    chat::{envelope::Envelope, rooms::Room},
};

/// A message to be noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    pub id: MessageId,
    pub room: Room,
    /// The other member of the room, by name.
    pub room_name: Option<String>,
    pub sender: String,
    pub receiver: Option<String>,
    pub mine: bool,
    pub text: String,
    pub at_ms: i64,
    pub state: MessageState,
    pub unread: bool,
    /// The text says why it cannot be read.
    pub unreadable: bool,
}

/// An own message that waits for the tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingMessage {
    pub id: MessageId,
    pub room: Room,
    pub text: String,
    /// As it was shown to the tracker before, if it was.
    pub envelope: Option<Envelope>,
}

/// The messages that a face wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// `None`: all rooms.
    pub room: Option<Room>,
    pub unread: bool,
    /// Only what was said before this one.
    pub before: Option<MessageId>,
    /// The newest of them, so many.
    pub limit: u32,
}

impl State {
    /// Notes messages for good, also against a power loss, before anybody is told that they are here. Gives those that
    /// were not known.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn note_messages(&self, messages: &[NewMessage]) -> Result<Vec<MessageRow>, StateError> {
        let mut connection = self.pool.acquire().await?;
        sqlx::query("PRAGMA synchronous = FULL").execute(&mut *connection).await?;
        let noted = note(&mut connection, messages).await;
        sqlx::query("PRAGMA synchronous = NORMAL").execute(&mut *connection).await?;
        noted
    }

    /// Own messages that wait for the tracker, in the order in which they were written, at most `limit`.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn waiting_messages(&self, limit: u32) -> Result<Vec<WaitingMessage>, StateError> {
        let rows = sqlx::query(
            "SELECT m.id, m.room, m.text, e.envelope FROM message m LEFT JOIN envelope e ON e.message = m.no
             WHERE m.state = 0 ORDER BY m.no LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let envelope: Option<&[u8]> = row.try_get(3)?;
                Ok(WaitingMessage {
                    id: message_id(row.try_get(0)?)?,
                    room: room_of(row.try_get(1)?)?,
                    text: row.try_get(2)?,
                    envelope: envelope.map(postcard::from_bytes).transpose()?,
                })
            })
            .collect()
    }

    /// How many own messages wait for the tracker.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn waiting_count(&self) -> Result<u32, StateError> {
        Ok(sqlx::query_scalar("SELECT COUNT(*) FROM message WHERE state = 0").fetch_one(&self.pool).await?)
    }

    /// Keeps how a message was closed, until the tracker has it.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn keep_envelope(&self, envelope: &Envelope) -> Result<(), StateError> {
        sqlx::query(
            "INSERT INTO envelope (message, envelope) SELECT no, $2 FROM message WHERE id = $1
             ON CONFLICT (message) DO UPDATE SET envelope = excluded.envelope",
        )
        .bind(&envelope.header.id.0[..])
        .bind(postcard::to_stdvec(envelope)?)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// An own message has come this far. Gives it, unless it was as far before.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn message_moved(
        &self,
        id: MessageId,
        state: MessageState,
        at_ms: Option<i64>,
        reason: &str,
    ) -> Result<Option<MessageRow>, StateError> {
        let mut tx = self.pool.begin().await?;
        // What is delivered is not merely sent again.
        let moved = sqlx::query(
            "UPDATE message SET state = $2, at_ms = COALESCE($3, at_ms), reason = $4
             WHERE id = $1 AND mine = 1 AND (state <> $2 OR reason <> $4) AND NOT (state = 2 AND $2 <> 2)",
        )
        .bind(&id.0[..])
        .bind(number_of(state))
        .bind(at_ms)
        .bind(reason)
        .execute(&mut *tx)
        .await?;
        if state != MessageState::Waiting {
            let done = "DELETE FROM envelope WHERE message IN (SELECT no FROM message WHERE id = $1)";
            sqlx::query(done).bind(&id.0[..]).execute(&mut *tx).await?;
        }
        let row = if moved.rows_affected() == 0 { None } else { one(&mut tx, id).await? };
        tx.commit().await?;
        Ok(row)
    }

    /// A message.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn message(&self, id: MessageId) -> Result<Option<MessageRow>, StateError> {
        one(&mut *self.pool.acquire().await?, id).await
    }

    /// Messages, oldest first.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn read_messages(&self, reading: &Reading) -> Result<Vec<MessageRow>, StateError> {
        macro_rules! select {
            ($which:literal) => {
                concat!(
                    "SELECT * FROM message WHERE gone = 0 AND ",
                    $which,
                    " AND (unread = 1 OR $2 = 0)
                     AND ($3 IS NULL OR (at_ms, id) < (SELECT b.at_ms, b.id FROM message b WHERE b.id = $3))
                     ORDER BY at_ms DESC, id DESC LIMIT $4"
                )
            };
        }
        // Each of the two has an index that gives its order.
        let rows = sqlx::query(if reading.room.is_some() { select!("room = $1") } else { select!("$1 IS NULL") })
            .bind(reading.room.map(|room| room.key().to_vec()))
            .bind(reading.unread)
            .bind(reading.before.map(|before| before.0.to_vec()))
            .bind(reading.limit.min(MESSAGES_READ_MAX))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().rev().map(row_of).collect()
    }

    /// Own messages to one member that the tracker has and no device of the receiver, as far as known; the newest.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn undelivered_messages(&self, limit: usize) -> Result<Vec<MessageId>, StateError> {
        let rows = sqlx::query("SELECT id FROM message WHERE state = 1 AND room <> x'' ORDER BY no DESC LIMIT $1")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| message_id(row.try_get(0)?)).collect()
    }

    /// A person has seen a room up to a message. Tells whether that changed anything.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn messages_seen(&self, room: Room, up_to: MessageId) -> Result<bool, StateError> {
        let seen = sqlx::query(
            "UPDATE message SET unread = 0 WHERE room = $1 AND unread = 1
             AND (at_ms, id) <= (SELECT b.at_ms, b.id FROM message b WHERE b.id = $2)",
        )
        .bind(room.key())
        .bind(&up_to.0[..])
        .execute(&self.pool)
        .await?;
        Ok(seen.rows_affected() > 0)
    }

    /// The rooms, in no order; that of everyone is always among them.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn rooms(&self) -> Result<Vec<RoomRow>, StateError> {
        let rows = sqlx::query(
            "SELECT r.room, r.name, r.muted, r.draft,
                 (SELECT COUNT(*) FROM message m WHERE m.room = r.room AND m.unread = 1),
                 (SELECT MAX(m.at_ms) FROM message m WHERE m.room = r.room AND m.gone = 0)
             FROM (SELECT room, name, muted, draft FROM room
                   UNION ALL SELECT x'', '', 0, '' WHERE NOT EXISTS (SELECT 1 FROM room WHERE room = x'')) r",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let room = room_of(row.try_get(0)?)?;
                Ok(RoomRow {
                    room: match room {
                        Room::Everyone => RoomName::Everyone,
                        Room::With(_) => RoomName::Member(row.try_get(1)?),
                    },
                    account: room.account(),
                    muted: row.try_get(2)?,
                    draft: row.try_get(3)?,
                    unread: row.try_get::<i64, _>(4)?.unsigned_abs(),
                    last_ms: row.try_get(5)?,
                })
            })
            .collect()
    }

    /// Whether a room makes itself noticed.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn mute_room(&self, room: Room, name: &str, muted: bool) -> Result<(), StateError> {
        let mut tx = self.pool.begin().await?;
        name_room(&mut tx, room, name).await?;
        sqlx::query("UPDATE room SET muted = $2 WHERE room = $1")
            .bind(room.key())
            .bind(muted)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// What was typed in a room and not sent.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn draft(&self, room: Room, name: &str, text: &str) -> Result<(), StateError> {
        let mut tx = self.pool.begin().await?;
        name_room(&mut tx, room, name).await?;
        sqlx::query("UPDATE room SET draft = $2 WHERE room = $1").bind(room.key()).bind(text).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// The devices that messages were sealed to: their members and keys.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn device_keys(&self) -> Result<Vec<(DeviceId, AccountId, [u8; 32])>, StateError> {
        let rows = sqlx::query("SELECT device, account, sealing FROM device_key").fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let device = DeviceId::from_slice(row.try_get(0)?).ok_or_else(|| unreadable("a device id"))?;
                let account = AccountId::from_slice(row.try_get(1)?).ok_or_else(|| unreadable("a member id"))?;
                let sealing = row.try_get::<&[u8], _>(2)?.try_into().map_err(|_| unreadable("a key"))?;
                Ok((device, account, sealing))
            })
            .collect()
    }

    /// The member that a device belongs to, if messages were sealed to it.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn owner_of_device(&self, device: DeviceId) -> Result<Option<AccountId>, StateError> {
        let row = sqlx::query("SELECT account FROM device_key WHERE device = $1").bind(&device.0[..]);
        let Some(row) = row.fetch_optional(&self.pool).await? else { return Ok(None) };
        AccountId::from_slice(row.try_get(0)?).map(Some).ok_or_else(|| unreadable("a member id"))
    }

    /// Remembers keys of devices.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn note_device_keys(&self, keys: &[(DeviceId, AccountId, [u8; 32])]) -> Result<(), StateError> {
        let mut tx = self.pool.begin().await?;
        for (device, account, sealing) in keys {
            sqlx::query(
                "INSERT INTO device_key (device, account, sealing) VALUES ($1, $2, $3)
                 ON CONFLICT (device) DO UPDATE SET sealing = excluded.sealing",
            )
            .bind(&device.0[..])
            .bind(&account.0[..])
            .bind(&sealing[..])
            .execute(&mut *tx)
            .await?;
        }
        Ok(tx.commit().await?)
    }
}

async fn note(connection: &mut PoolConnection<Sqlite>, messages: &[NewMessage]) -> Result<Vec<MessageRow>, StateError> {
    let mut tx = connection.begin().await?;
    let mut new = Vec::new();
    for message in messages {
        let noted = sqlx::query(
            "INSERT INTO message (id, room, sender, receiver, mine, text, at_ms, state, reason, unread, unreadable)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', $9, $10) ON CONFLICT (id) DO NOTHING",
        )
        .bind(&message.id.0[..])
        .bind(message.room.key())
        .bind(&message.sender)
        .bind(&message.receiver)
        .bind(message.mine)
        .bind(&message.text)
        .bind(message.at_ms)
        .bind(number_of(message.state))
        .bind(message.unread)
        .bind(message.unreadable)
        .execute(&mut *tx)
        .await?;
        if noted.rows_affected() == 0 {
            continue;
        }
        name_room(&mut tx, message.room, message.room_name.as_deref().unwrap_or_default()).await?;
        new.extend(one(&mut tx, message.id).await?);
    }
    for room in rooms_in(messages) {
        forget_oldest(&mut tx, room).await?;
    }
    tx.commit().await?;
    Ok(new)
}

fn rooms_in(messages: &[NewMessage]) -> Vec<Room> {
    let mut rooms: Vec<Room> = messages.iter().map(|message| message.room).collect();
    rooms.sort_unstable();
    rooms.dedup();
    rooms
}

/// Forgets what was said first, where a room holds more than is remembered.
async fn forget_oldest(tx: &mut Transaction<'_, Sqlite>, room: Room) -> Result<(), StateError> {
    sqlx::query(
        "UPDATE message SET gone = 1, text = '', unread = 0 WHERE room = $1 AND gone = 0 AND state <> 0 AND (at_ms, id) <= (
             SELECT at_ms, id FROM message WHERE room = $1 AND gone = 0
             ORDER BY at_ms DESC, id DESC LIMIT 1 OFFSET $2)",
    )
    .bind(room.key())
    .bind(MESSAGES_REMEMBERED_MAX)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Remembers a room, and what it is called now.
async fn name_room(tx: &mut Transaction<'_, Sqlite>, room: Room, name: &str) -> Result<(), StateError> {
    sqlx::query("INSERT INTO room (room, name) VALUES ($1, $2) ON CONFLICT (room) DO UPDATE SET name = excluded.name")
        .bind(room.key())
        .bind(name)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn one(connection: &mut SqliteConnection, id: MessageId) -> Result<Option<MessageRow>, StateError> {
    let row = sqlx::query("SELECT * FROM message WHERE id = $1 AND gone = 0").bind(&id.0[..]);
    row.fetch_optional(connection).await?.as_ref().map(row_of).transpose()
}

fn row_of(row: &SqliteRow) -> Result<MessageRow, StateError> {
    let mine: bool = row.try_get("mine")?;
    let (from, to): (String, Option<String>) = (row.try_get("sender")?, row.try_get("receiver")?);
    let room = match (room_of(row.try_get("room")?)?, mine) {
        (Room::Everyone, _) => RoomName::Everyone,
        (Room::With(_), true) => RoomName::Member(to.clone().unwrap_or_default()),
        (Room::With(_), false) => RoomName::Member(from.clone()),
    };
    Ok(MessageRow {
        id: message_id(row.try_get("id")?)?.to_string(),
        room,
        from,
        to,
        mine,
        text: row.try_get("text")?,
        at_ms: row.try_get("at_ms")?,
        state: state_of(row.try_get("state")?)?,
        reason: row.try_get("reason")?,
        unread: row.try_get("unread")?,
        item: None,
        unreadable: row.try_get("unreadable")?,
    })
}

fn message_id(bytes: &[u8]) -> Result<MessageId, StateError> {
    MessageId::from_slice(bytes).ok_or_else(|| unreadable("a message id"))
}

fn room_of(key: &[u8]) -> Result<Room, StateError> {
    Room::of_key(key).ok_or_else(|| unreadable("a room"))
}

const fn number_of(state: MessageState) -> i64 {
    match state {
        MessageState::Waiting => 0,
        MessageState::Sent => 1,
        MessageState::Delivered => 2,
        MessageState::Failed => 3,
        MessageState::Received => 4,
    }
}

fn state_of(number: i64) -> Result<MessageState, StateError> {
    Ok(match number {
        0 => MessageState::Waiting,
        1 => MessageState::Sent,
        2 => MessageState::Delivered,
        3 => MessageState::Failed,
        4 => MessageState::Received,
        _ => return Err(unreadable("the state of a message")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEN: Room = Room::With(AccountId([2; 16]));

    async fn fresh() -> (State, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (State::open(&folder.path().join("state.db")).await.unwrap(), folder)
    }

    fn id(n: u32) -> MessageId {
        let mut id = [0; 16];
        id[12..].copy_from_slice(&n.to_be_bytes());
        MessageId(id)
    }

    fn message(n: u32, room: Room, mine: bool) -> NewMessage {
        let other = (room == BEN).then(|| "ben".to_owned());
        NewMessage {
            id: id(n),
            room,
            room_name: other.clone(),
            sender: if mine { "anna".into() } else { "ben".into() },
            receiver: if mine { other } else { (room == BEN).then(|| "anna".to_owned()) },
            mine,
            text: format!("text {n}"),
            at_ms: i64::from(n),
            state: if mine { MessageState::Waiting } else { MessageState::Received },
            unread: !mine,
            unreadable: false,
        }
    }

    async fn texts(state: &State, reading: Reading) -> Vec<String> {
        state.read_messages(&reading).await.unwrap().into_iter().map(|row| row.text).collect()
    }

    fn all() -> Reading {
        Reading { room: None, unread: false, before: None, limit: 100 }
    }

    #[tokio::test]
    async fn a_message_that_comes_twice_is_noted_once() {
        let (state, _folder) = fresh().await;
        assert_eq!(state.note_messages(&[message(1, BEN, false)]).await.unwrap().len(), 1);
        let again = state.note_messages(&[message(1, BEN, false), message(2, BEN, false)]).await.unwrap();
        assert_eq!(again.iter().map(|row| row.text.as_str()).collect::<Vec<_>>(), ["text 2"]);
        assert_eq!(texts(&state, all()).await, ["text 1", "text 2"]);
        let row = &again[0];
        assert_eq!((&row.room, row.to.as_deref(), row.unread), (&RoomName::Member("ben".into()), Some("anna"), true));
    }

    #[tokio::test]
    async fn messages_are_read_in_their_order_page_by_page() {
        let (state, _folder) = fresh().await;
        let said: Vec<_> = [4, 2, 5, 1, 3].map(|n| message(n, if n == 3 { Room::Everyone } else { BEN }, false)).into();
        state.note_messages(&said).await.unwrap();
        assert_eq!(texts(&state, all()).await, ["text 1", "text 2", "text 3", "text 4", "text 5"]);
        let with_ben = Reading { room: Some(BEN), limit: 2, ..all() };
        assert_eq!(texts(&state, with_ben.clone()).await, ["text 4", "text 5"]);
        assert_eq!(texts(&state, Reading { before: Some(id(4)), ..with_ben }).await, ["text 1", "text 2"]);
        assert!(state.messages_seen(BEN, id(2)).await.unwrap());
        assert!(!state.messages_seen(BEN, id(2)).await.unwrap());
        assert_eq!(texts(&state, Reading { unread: true, ..all() }).await, ["text 3", "text 4", "text 5"]);
        let mut rooms = state.rooms().await.unwrap();
        rooms.sort_by_key(|room| room.last_ms);
        let told: Vec<_> = rooms.iter().map(|room| (room.account, room.unread, room.last_ms)).collect();
        assert_eq!(told, [(None, 1, Some(3)), (BEN.account(), 2, Some(5))]);
    }

    #[tokio::test]
    async fn what_waits_goes_in_the_order_in_which_it_was_written_and_never_back() {
        let (state, _folder) = fresh().await;
        for n in [9, 3, 6] {
            state.note_messages(&[message(n, BEN, true)]).await.unwrap();
        }
        let waiting = async || -> Vec<MessageId> {
            state.waiting_messages(10).await.unwrap().into_iter().map(|message| message.id).collect()
        };
        assert_eq!(waiting().await, [id(9), id(3), id(6)]);
        let moved = state.message_moved(id(9), MessageState::Sent, Some(77), "").await.unwrap().unwrap();
        assert_eq!((moved.state, moved.at_ms), (MessageState::Sent, 77));
        assert_eq!(waiting().await, [id(3), id(6)]);
        assert_eq!(state.undelivered_messages(5).await.unwrap(), [id(9)]);
        assert!(state.message_moved(id(9), MessageState::Delivered, None, "").await.unwrap().is_some());
        for state_before in [MessageState::Sent, MessageState::Delivered] {
            assert!(state.message_moved(id(9), state_before, None, "").await.unwrap().is_none());
        }
        assert_eq!(state.message(id(9)).await.unwrap().unwrap().state, MessageState::Delivered);
        assert_eq!(state.waiting_count().await.unwrap(), 2);
    }

    #[tokio::test]
    async fn an_envelope_is_kept_until_the_tracker_has_the_message() {
        let (state, _folder) = fresh().await;
        state.note_messages(&[message(1, BEN, true)]).await.unwrap();
        let header = shared::wire::message::Header {
            id: id(1),
            from: AccountId([1; 16]),
            device: DeviceId([1; 16]),
            to: BEN.account(),
            written_ms: 5,
        };
        let signer = certs::SigningKey::generate().unwrap();
        let content = crate::engine::chat::envelope::Content::Text("x".into());
        let envelope = Envelope::close(&signer, [1; 32], header, &content).unwrap();
        state.keep_envelope(&envelope).await.unwrap();
        assert_eq!(state.waiting_messages(9).await.unwrap()[0].envelope.as_ref(), Some(&envelope));
        state.message_moved(id(1), MessageState::Failed, None, "why").await.unwrap();
        state.message_moved(id(1), MessageState::Waiting, None, "").await.unwrap();
        assert_eq!(state.waiting_messages(9).await.unwrap()[0].envelope, None);
    }

    #[tokio::test]
    async fn a_room_remembers_so_many_messages_and_knows_the_forgotten_ones_again() {
        let (state, _folder) = fresh().await;
        let many: Vec<_> = (0..MESSAGES_REMEMBERED_MAX + 5).map(|n| message(n, BEN, false)).collect();
        state.note_messages(&many).await.unwrap();
        assert!(state.message(id(4)).await.unwrap().is_none());
        assert!(state.message(id(5)).await.unwrap().is_some());
        assert!(state.note_messages(&[message(1, BEN, false)]).await.unwrap().is_empty());
        assert_eq!(state.rooms().await.unwrap().iter().map(|room| room.unread).max(), Some(10_000));
    }

    #[tokio::test]
    async fn drafts_and_mutes_stay_with_their_room() {
        let (state, _folder) = fresh().await;
        state.draft(BEN, "ben", "half a sent").await.unwrap();
        state.mute_room(Room::Everyone, "", true).await.unwrap();
        state.note_messages(&[message(1, BEN, false)]).await.unwrap();
        let rooms = state.rooms().await.unwrap();
        assert_eq!(rooms.len(), 2);
        for room in rooms {
            let draft = if room.account.is_some() { "half a sent" } else { "" };
            assert_eq!((room.muted, room.draft.as_str()), (room.account.is_none(), draft));
        }
    }
}
