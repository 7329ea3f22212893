//! The rows of items.

use shared::{
    id::{BlobHash, FileId, ItemId, ParcelId},
    inbox::{Matter, Party, State, Wanted},
    limits::ITEMS_PAGE_MAX,
    wire::inbox::{InboxAnswer, ItemEntry, What},
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{Aftermath, EVERYONE, Parties};
use crate::store::{
    Caller, NewItem, StoreError,
    sqlite::{Me, Result, fact, rows},
};

/// Everything that [`entry`] needs.
macro_rules! item_entries {
    ($rest:literal) => {
        concat!(
            "SELECT i.no, i.id, i.matter, i.state, i.from_account, i.to_account, i.answered_by, i.from_device, i.file,
                    i.name, i.size, i.blob, i.text, i.word, i.copied, i.created_ms, i.expires_ms, i.changed_ms, i.seq,
                    a.id AS from_id, a.name AS from_name, t.id AS to_id, t.name AS to_name,
                    p.id AS parcel_id, COALESCE(p.files, 0) AS files
             FROM items i JOIN accounts a ON a.no = i.from_account
             LEFT JOIN accounts t ON t.no = CASE i.to_account WHEN 0 THEN i.answered_by ELSE i.to_account END
             LEFT JOIN parcels p ON p.no = i.parcel ",
            $rest
        )
    };
}

/// An item as decisions need it.
#[derive(Debug)]
pub(super) struct ItemRow {
    pub(super) no: i64,
    pub(super) matter: Matter,
    pub(super) state: State,
    pub(super) parties: Parties,
    pub(super) answered_by: Option<i64>,
    pub(super) file: Option<FileId>,
    pub(super) parcel: Option<i64>,
    pub(super) size: u64,
    pub(super) copied: bool,
    pub(super) expires_ms: i64,
}

impl ItemRow {
    /// Who the caller is to it.
    pub(super) const fn party(&self, me: Me) -> Option<Party> {
        if self.parties.from == me.account {
            Some(Party::From)
        } else if self.parties.to == me.account || self.parties.to == EVERYONE {
            Some(Party::To)
        } else {
            None
        }
    }
}

/// What a new item is about.
#[derive(Debug)]
pub(super) struct NewRow {
    pub(super) matter: Matter,
    pub(super) file: Option<FileId>,
    pub(super) parcel: Option<i64>,
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) blob: Option<BlobHash>,
}

pub(super) const fn number(matter: Matter) -> i64 {
    match matter {
        Matter::Request(Wanted::Source) => 0,
        Matter::Request(Wanted::Approval) => 1,
        Matter::Request(Wanted::Word) => 2,
        Matter::Request(Wanted::Board) => 3,
        Matter::Offer => 4,
        Matter::Channel => 5,
    }
}

fn matter(number: i64) -> Result<Matter> {
    Ok(match number {
        0 => Matter::Request(Wanted::Source),
        1 => Matter::Request(Wanted::Approval),
        2 => Matter::Request(Wanted::Word),
        3 => Matter::Request(Wanted::Board),
        4 => Matter::Offer,
        5 => Matter::Channel,
        _ => return Err(StoreError::Corrupt("matter")),
    })
}

pub(super) const fn state_number(state: State) -> i64 {
    match state {
        State::Waiting => 0,
        State::Accepted => 1,
        State::Fulfilled => 2,
        State::Declined => 3,
        State::Cancelled => 4,
        State::Expired => 5,
    }
}

fn state(number: i64) -> Result<State> {
    Ok(match number {
        0 => State::Waiting,
        1 => State::Accepted,
        2 => State::Fulfilled,
        3 => State::Declined,
        4 => State::Cancelled,
        5 => State::Expired,
        _ => return Err(StoreError::Corrupt("state")),
    })
}

/// The number of an item that the caller began with this id before.
///
/// # Errors
/// When somebody else did.
pub(super) async fn begun(tx: &mut SqliteConnection, me: Me, id: ItemId) -> Result<Option<i64>> {
    let row = sqlx::query("SELECT no, from_account FROM items WHERE id = $1")
        .bind(rows::bytes(id.as_bytes()))
        .fetch_optional(tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    if row.try_get::<i64, _>("from_account")? != me.account {
        return Err(StoreError::UnknownItem);
    }
    Ok(Some(row.try_get("no")?))
}

pub(super) async fn begin(
    tx: &mut SqliteConnection,
    after: &mut Aftermath,
    caller: &Caller,
    parties: Parties,
    row: NewRow,
    new: &NewItem,
) -> Result<i64> {
    let seq = after.next_seq(tx, &parties).await?;
    let inserted = sqlx::query(
        "INSERT INTO items (id, matter, from_account, from_device, to_account, file, parcel, name, size, blob, text,
         created_ms, expires_ms, changed_ms, seq) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $12, $14)",
    )
    .bind(rows::bytes(new.id.as_bytes()))
    .bind(number(row.matter))
    .bind(parties.from)
    .bind(rows::bytes(caller.device.as_bytes()))
    .bind(parties.to)
    .bind(row.file.map(|file| rows::bytes(file.as_bytes())))
    .bind(row.parcel)
    .bind(row.name)
    .bind(i64::try_from(row.size).unwrap_or(i64::MAX))
    .bind(row.blob.map(|blob| rows::bytes(blob.as_bytes())))
    .bind(&new.text)
    .bind(new.now_ms)
    .bind(new.expires_ms)
    .bind(seq)
    .execute(tx)
    .await?;
    Ok(inserted.last_insert_rowid())
}

pub(super) async fn find(tx: &mut SqliteConnection, id: ItemId) -> Result<Option<ItemRow>> {
    let row = sqlx::query(
        "SELECT no, matter, state, from_account, to_account, answered_by, file, parcel, size, copied, expires_ms
         FROM items WHERE id = $1",
    )
    .bind(rows::bytes(id.as_bytes()))
    .fetch_optional(tx)
    .await?;
    row.map(|row| {
        Ok(ItemRow {
            no: row.try_get("no")?,
            matter: matter(row.try_get("matter")?)?,
            state: state(row.try_get("state")?)?,
            parties: Parties { from: row.try_get("from_account")?, to: row.try_get("to_account")? },
            answered_by: row.try_get("answered_by")?,
            file: row.try_get::<Option<&[u8]>, _>("file")?.and_then(FileId::from_slice),
            parcel: row.try_get("parcel")?,
            size: rows::count(&row, "size")?,
            copied: row.try_get("copied")?,
            expires_ms: row.try_get("expires_ms")?,
        })
    })
    .transpose()
}

/// Whether the one who began it is hidden from the caller, and the item with them.
pub(super) async fn is_hidden(tx: &mut SqliteConnection, me: Me, row: &ItemRow) -> Result<bool> {
    let hidden = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM apart WHERE one = $1 AND other = $2)");
    Ok(hidden.bind(me.account).bind(row.parties.from).fetch_one(tx).await?)
}

/// The items of these numbers as the caller sees them, in this order.
pub(super) async fn named(tx: &mut SqliteConnection, me: Me, numbers: &[i64]) -> Result<Vec<ItemEntry>> {
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query(item_entries!("JOIN json_each($1) w ON w.value = i.no ORDER BY w.key"))
        .bind(rows::number_list(numbers.iter().copied()))
        .fetch_all(tx)
        .await?
        .iter()
        .map(|row| entry(row, me))
        .collect()
}

/// What changed. Of members who are hidden from each other only what is over: it may have been taken back because of that.
pub(super) async fn changes(connection: &mut SqliteConnection, me: Me, since: u64) -> Result<InboxAnswer> {
    let newest = fact(connection, "inbox_seq").await?;
    let found = sqlx::query(item_entries!(
        "WHERE i.no IN (SELECT no FROM items WHERE from_account = $1 AND seq > $2
                        UNION SELECT no FROM items WHERE to_account IN ($1, 0) AND seq > $2
                            AND (state > 1 OR from_account NOT IN (SELECT other FROM apart WHERE one = $1)))
         ORDER BY i.seq LIMIT $3"
    ))
    .bind(me.account)
    .bind(i64::try_from(since).unwrap_or(i64::MAX))
    .bind(i64::try_from(ITEMS_PAGE_MAX).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    let more = found.len() == ITEMS_PAGE_MAX;
    let next = match found.last() {
        Some(last) if more => rows::count(last, "seq")?,
        Some(_) | None => newest.unsigned_abs(),
    };
    let items = found.iter().map(|row| entry(row, me)).collect::<Result<_>>()?;
    Ok(InboxAnswer::Changes { items, next, more })
}

fn entry(row: &SqliteRow, me: Me) -> Result<ItemEntry> {
    let is_named = |column| {
        let no: Option<i64> = row.try_get(column)?;
        Ok::<bool, StoreError>(no == Some(me.account))
    };
    let is_between = is_named("from_account")? || is_named("to_account")? || is_named("answered_by")?;
    let blob = row.try_get::<Option<&[u8]>, _>("blob")?.and_then(BlobHash::from_slice);
    let size = rows::count(row, "size")?;
    let name: String = row.try_get("name")?;
    let what = match matter(row.try_get("matter")?)? {
        // What somebody else's wish was answered with is not for everyone.
        Matter::Request(wanted) if !is_between => {
            What::Request { wanted, file: None, path: String::new(), size: 0, blob: None, copy: false }
        }
        Matter::Request(wanted) => What::Request {
            wanted,
            file: row.try_get::<Option<&[u8]>, _>("file")?.and_then(FileId::from_slice),
            path: name,
            size,
            blob,
            copy: row.try_get("copied")?,
        },
        Matter::Offer => What::Offer {
            parcel: row
                .try_get::<Option<&[u8]>, _>("parcel_id")?
                .and_then(ParcelId::from_slice)
                .ok_or(StoreError::Corrupt("parcel"))?,
            name,
            files: rows::count(row, "files")?,
            size,
            blob,
        },
        Matter::Channel => What::Channel,
    };
    let to: i64 = row.try_get("to_account")?;
    Ok(ItemEntry {
        id: ItemId::from_slice(row.try_get("id")?).ok_or(StoreError::Corrupt("item"))?,
        what,
        from: rows::account_id(row, "from_id")?,
        from_name: row.try_get("from_name")?,
        from_device: rows::device_id(row, "from_device")?,
        to: if to == EVERYONE { None } else { Some(rows::account_id(row, "to_id")?) },
        to_name: row.try_get("to_name")?,
        text: row.try_get("text")?,
        word: row.try_get("word")?,
        state: state(row.try_get("state")?)?,
        created_ms: row.try_get("created_ms")?,
        expires_ms: row.try_get("expires_ms")?,
        changed_ms: row.try_get("changed_ms")?,
    })
}
