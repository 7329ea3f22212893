//! How rows become words of the domain. The SQL pieces that several queries share live here too.

use std::collections::HashMap;

use data_encoding::HEXLOWER;
use serde::Deserialize;
use shared::{
    id::{AccountId, BlobHash, DeviceId, FileId, FolderId, MessageId},
    limits::{PAGE_BYTES_MAX, PAGE_ENTRIES_MAX},
    wire::tracker::{CopyState, FileEntry, FolderEntry, Item, Visibility},
};
use sqlx::{
    Row, Sqlite, SqliteConnection,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{Me, Result};
use crate::store::StoreError;

/// A query for [`files`]: the rows that come from [`file_tables`] behind `$rest`, as one text of JSON. Rows that sqlx hands
/// over one by one, column by column, cost several times what SQLite needs to find them.
macro_rules! select_files {
    ($($rest:expr),+ $(,)?) => {
        concat!(
            "SELECT '[' || group_concat(item) || ']' FROM (
                 SELECT json_array(f.no, lower(hex(f.id)), f.owner, lower(hex(a.id)), a.name, f.path, f.fold,
                     lower(hex(f.blob)), f.size, f.modified_ms, f.executable, f.visibility, f.note, f.version,
                     f.shared_ms, f.copy, c.state, f.seq, f.lock IS NOT NULL) AS item
                 FROM",
            file_tables!(),
            $($rest),+,
            ")"
        )
    };
}
/// The tables behind [`select_files`].
macro_rules! file_tables {
    () => {
        " files f JOIN accounts a ON a.no = f.owner
          LEFT JOIN claims c ON f.copy = 1 AND c.blob = f.blob AND c.account = f.owner AND c.size = f.size "
    };
}
/// Who is hidden from the account numbered `$1`. SQLite reads it once for a statement; for most it is empty.
macro_rules! hidden_from_me {
    () => {
        " (SELECT other FROM apart WHERE one = $1) "
    };
}
/// Whether the account numbered `$1` may list the file.
macro_rules! listed {
    () => {
        concat!(
            " ((f.visibility < 2 OR (f.visibility = 2 AND (f.owner = $1
               OR EXISTS (SELECT 1 FROM people p WHERE p.file = f.no AND p.account = $1)))) AND f.owner NOT IN",
            hidden_from_me!(),
            ") "
        )
    };
}
/// Whether the account numbered `$1` may fetch the file because of a request, an offer or a standing yes. What is in a
/// parcel lies in a realm below -2^40 that tells its number.
macro_rules! approved {
    () => {
        concat!(
            " ((EXISTS (SELECT 1 FROM approvals v WHERE v.account = $1 AND v.owner = f.owner
                   AND (v.file = f.no OR (v.file = 0 AND f.visibility = 1)))
               OR (f.visibility = 4 AND (f.owner = $1 OR EXISTS (SELECT 1 FROM items i
                   WHERE i.parcel = -f.realm - (1 << 40) AND i.to_account = $1 AND i.state < 2))))
               AND f.owner NOT IN",
            hidden_from_me!(),
            ") "
        )
    };
}
/// Whether an account, given by its number, may fetch the file without asking, as far as it is not hidden by its id.
macro_rules! fetchable_by {
    ($account:literal) => {
        concat!(
            " ((f.visibility = 0 OR (f.visibility < 3 AND f.owner = ",
            $account,
            ") OR (f.visibility = 2 AND EXISTS (SELECT 1 FROM people p WHERE p.file = f.no AND p.account = ",
            $account,
            ")) OR (f.visibility IN (1, 2) AND EXISTS (SELECT 1 FROM approvals v WHERE v.account = ",
            $account,
            " AND v.owner = f.owner AND (v.file = f.no OR (v.file = 0 AND f.visibility = 1)))))
               AND f.owner NOT IN (SELECT other FROM apart WHERE one = ",
            $account,
            ")) "
        )
    };
}
/// Everything that a [`FolderEntry`] needs, for the account numbered `$1` and the further viewer `$2` (0 for none).
macro_rules! folder_columns {
    () => {
        "d.no AS no, d.id AS id, a.id AS owner_id, a.name AS owner_name, d.path AS path, d.fold AS fold,
         (SELECT SUM(k.files) FROM folder_counts k WHERE k.folder = d.no AND k.viewer IN (0, $1, $2)) AS files,
         (SELECT SUM(k.bytes) FROM folder_counts k WHERE k.folder = d.no AND k.viewer IN (0, $1, $2)) AS bytes "
    };
}
/// The tables behind [`folder_columns`].
macro_rules! folder_tables {
    () => {
        " folders d JOIN accounts a ON a.no = d.owner "
    };
}
/// Whether the viewers of [`folder_columns`] see anything in the folder.
macro_rules! folder_seen {
    () => {
        concat!(
            " (EXISTS (SELECT 1 FROM folder_counts k WHERE k.folder = d.no AND k.viewer IN (0, $1, $2))
               AND d.owner NOT IN",
            hidden_from_me!(),
            ") "
        )
    };
}
pub(super) use {
    approved, fetchable_by, file_tables, folder_columns, folder_seen, folder_tables, hidden_from_me, listed,
    select_files,
};

/// Numbers of `files.visibility`.
pub(super) const PUBLIC: i64 = 0;
pub(super) const ASK: i64 = 1;
pub(super) const PEOPLE: i64 = 2;
pub(super) const HIDDEN: i64 = 3;
/// In a parcel: for those to whom it is offered.
pub(super) const OFFERED: i64 = 4;

/// `files.realm` of what is in the parcel of this number: nobody else's.
pub(super) const fn parcel_realm(parcel: i64) -> i64 {
    -(1 << 40) - parcel
}

/// Numbers of `copies.state`.
pub(super) const COPY_PENDING: i64 = 0;
pub(super) const COPY_STORED: i64 = 1;
pub(super) const COPY_UNWANTED: i64 = 2;

/// `claims.state` of what does not count yet.
pub(super) const CLAIM_PENDING: i64 = 0;

// Values of `accounts.role`.
pub(super) const ROLE_MEMBER: i64 = 0;
pub(super) const ROLE_ADMIN: i64 = 1;

/// A byte string as a value to bind.
pub(super) fn bytes(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

/// Byte strings for `IN (SELECT unhex(value) FROM json_each($n))`.
pub(super) fn hex_list<'a>(items: impl IntoIterator<Item = &'a [u8]>) -> String {
    let quoted: Vec<String> = items.into_iter().map(|item| format!("\"{}\"", HEXLOWER.encode(item))).collect();
    format!("[{}]", quoted.join(","))
}

/// Numbers for `IN (SELECT value FROM json_each($n))`.
pub(super) fn number_list(items: impl IntoIterator<Item = i64>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(","))
}

/// Texts for `IN (SELECT value FROM json_each($n))`.
pub(super) fn text_list<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    serde_json::Value::from(items.into_iter().collect::<Vec<_>>()).to_string()
}

macro_rules! id_column {
    ($name:ident, $type:ident) => {
        pub(super) fn $name(row: &SqliteRow, column: &'static str) -> Result<$type> {
            $type::from_slice(row.try_get(column)?).ok_or(StoreError::Corrupt(column))
        }
    };
}
id_column!(account_id, AccountId);
id_column!(device_id, DeviceId);
id_column!(file_id, FileId);
id_column!(folder_id, FolderId);
id_column!(blob_hash, BlobHash);
id_column!(message_id, MessageId);

/// A count or size.
pub(super) fn count(row: &SqliteRow, column: &'static str) -> Result<u64> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|_| StoreError::Corrupt(column))
}

pub(super) fn copy_state(wanted: bool, state: Option<i64>) -> CopyState {
    match (wanted, state) {
        (false, _) => CopyState::Absent,
        (true, Some(COPY_STORED)) => CopyState::Stored,
        (true, _) => CopyState::Pending,
    }
}

/// The files that a query made by [`select_files`] finds, in its order. Only the caller's own name their people.
pub(super) async fn files(
    connection: &mut SqliteConnection,
    me: Me,
    query: Query<'_, Sqlite, SqliteArguments>,
) -> Result<Vec<FileRow>> {
    let found = query.fetch_one(&mut *connection).await?;
    let mut files = json_rows::<FileColumns>(found.try_get(0)?, "files")?
        .into_iter()
        .map(FileRow::try_from)
        .collect::<Result<Vec<_>>>()?;
    name_people(connection, me, &mut files).await?;
    Ok(files)
}

/// Rows that a query put together as `'[' || group_concat(json_array(…)) || ']'`; nothing where there were none.
pub(super) fn json_rows<'a, T: Deserialize<'a>>(text: Option<&'a str>, what: &'static str) -> Result<Vec<T>> {
    text.map_or(Ok(Vec::new()), |text| serde_json::from_str(text).map_err(|_| StoreError::Corrupt(what)))
}

/// The columns of [`select_files`], in their order.
#[derive(Debug, Deserialize)]
struct FileColumns {
    no: i64,
    id: FileId,
    owner_no: i64,
    owner: AccountId,
    owner_name: String,
    path: String,
    fold: String,
    blob: BlobHash,
    size: u64,
    modified_ms: i64,
    executable: i64,
    visibility: i64,
    note: String,
    version: u32,
    shared_ms: i64,
    copy: i64,
    copy_state: Option<i64>,
    seq: i64,
    protected: i64,
}

impl TryFrom<FileColumns> for FileRow {
    type Error = StoreError;

    fn try_from(columns: FileColumns) -> Result<Self> {
        let visibility = match columns.visibility {
            PUBLIC => Visibility::Public,
            ASK => Visibility::Ask,
            // Whoever is offered a file is among those whom it is for.
            PEOPLE | OFFERED => Visibility::People(Vec::new()),
            HIDDEN => Visibility::Hidden,
            _ => return Err(StoreError::Corrupt("visibility")),
        };
        let entry = FileEntry {
            id: columns.id,
            owner: columns.owner,
            owner_name: columns.owner_name,
            path: columns.path,
            blob: columns.blob,
            size: columns.size,
            modified_ms: columns.modified_ms,
            executable: columns.executable != 0,
            visibility,
            protected: columns.protected != 0,
            version: columns.version,
            note: columns.note,
            shared_ms: columns.shared_ms,
            copy: copy_state(columns.copy != 0, columns.copy_state),
        };
        Ok(Self { no: columns.no, owner_no: columns.owner_no, fold: columns.fold, seq: columns.seq, entry })
    }
}

/// A file and what its queries go on with.
#[derive(Debug)]
pub(super) struct FileRow {
    pub(super) no: i64,
    pub(super) owner_no: i64,
    pub(super) fold: String,
    pub(super) seq: i64,
    pub(super) entry: FileEntry,
}

impl FileRow {
    /// Whether lists show it to whoever may know of it.
    pub(super) const fn is_listed(&self) -> bool {
        self.seq > 0
    }

    fn text_bytes(&self) -> usize {
        self.entry.path.len() + self.entry.note.len() + self.entry.owner_name.len()
    }
}

/// A folder out of [`folder_columns`].
pub(super) fn folder(row: &SqliteRow) -> Result<FolderRow> {
    let entry = FolderEntry {
        id: folder_id(row, "id")?,
        owner: account_id(row, "owner_id")?,
        owner_name: row.try_get("owner_name")?,
        path: row.try_get("path")?,
        files: count(row, "files")?,
        bytes: count(row, "bytes")?,
    };
    Ok(FolderRow { no: row.try_get("no")?, fold: row.try_get("fold")?, entry })
}

/// A folder and what its queries go on with.
#[derive(Debug)]
pub(super) struct FolderRow {
    pub(super) no: i64,
    pub(super) fold: String,
    pub(super) entry: FolderEntry,
}

impl From<FolderRow> for Item {
    fn from(row: FolderRow) -> Self {
        Self::Folder(row.entry)
    }
}

/// Writes the named people into the caller's own files; others' lists stay empty.
async fn name_people(connection: &mut SqliteConnection, me: Me, files: &mut [FileRow]) -> Result<()> {
    let own: Vec<i64> = files
        .iter()
        .filter(|file| file.owner_no == me.account && matches!(file.entry.visibility, Visibility::People(_)))
        .map(|file| file.no)
        .collect();
    if own.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(
        "SELECT p.file AS file, a.id AS account FROM people p JOIN accounts a ON a.no = p.account
         WHERE p.file IN (SELECT value FROM json_each($1)) ORDER BY a.name_key",
    )
    .bind(number_list(own))
    .fetch_all(connection)
    .await?;
    let mut named: HashMap<i64, Vec<AccountId>> = HashMap::new();
    for row in &rows {
        named.entry(row.try_get("file")?).or_default().push(account_id(row, "account")?);
    }
    for file in files {
        if let Visibility::People(people) = &mut file.entry.visibility {
            *people = named.remove(&file.no).unwrap_or_default();
        }
    }
    Ok(())
}

/// Fills a page until it holds as many rows or bytes of text as a reply may.
#[derive(Debug)]
pub(super) struct Budget {
    entries: usize,
    bytes: usize,
}

impl Budget {
    pub(super) const fn page() -> Self {
        Self::of(PAGE_ENTRIES_MAX)
    }

    pub(super) const fn of(entries: usize) -> Self {
        Self { entries, bytes: PAGE_BYTES_MAX }
    }

    /// Takes one more file, or says that the page is full. The first one always fits.
    pub(super) fn take_file(&mut self, file: &FileRow) -> bool {
        self.take(file.text_bytes())
    }

    /// Takes one more folder.
    pub(super) fn take_folder(&mut self, folder: &FolderRow) -> bool {
        self.take(folder.entry.path.len() + folder.entry.owner_name.len())
    }

    /// Takes one more row without text.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let (Some(entries), Some(rest)) = (self.entries.checked_sub(1), self.bytes.checked_sub(bytes)) else {
            return false;
        };
        (self.entries, self.bytes) = (entries, rest);
        true
    }
}
