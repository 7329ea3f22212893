//! What one profile remembers between runs, in its own SQLite. Each method is one transaction.

mod edits;
mod files;
mod inbox;
mod messages;
mod protected;
mod renaming;
mod transfers;
mod wishes;

use std::{collections::BTreeSet, path::Path};

use serde::{Serialize, de::DeserializeOwned};
use shared::{
    id::{AccountId, BlobHash, FileId},
    limits::{DATABASE_LOG_PAGES, DATABASE_ROWS_AHEAD},
    wire::tracker::FileEntry,
};
use sqlx::{
    QueryBuilder, Row, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

pub use edits::Edit;
pub use files::{ShareRecord, SharedFile};
pub use inbox::{Errand, ParcelRecord};
pub use messages::{NewMessage, Reading, WaitingMessage};
pub use protected::{Opened, Sealed};
pub use transfers::{PlannedFile, StoredTransfer};
pub use wishes::{Match, MatchState, Tally, WishRecord};

/// Why the state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// SQLite says no.
    #[error("the profile's database: {0}")]
    Database(#[from] sqlx::Error),
    /// The database was made by a newer program, or is damaged.
    #[error("the profile's database has another shape: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A stored value cannot be read back.
    #[error("the profile's database holds something unreadable: {0}")]
    Unreadable(String),
}

impl From<serde_json::Error> for StateError {
    fn from(error: serde_json::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<postcard::Error> for StateError {
    fn from(error: postcard::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// A page of changes of the index.
#[derive(Debug, Clone, Copy)]
pub struct IndexChanges<'a> {
    /// Forget what was known before.
    pub restart: bool,
    /// Files that are new or changed.
    pub present: &'a [FileEntry],
    /// Files that are gone.
    pub gone: &'a [FileId],
    /// Where the changes go on.
    pub next: u64,
    /// What of the files matches standing searches.
    pub matches: &'a [Match],
    /// The time.
    pub now_ms: i64,
}

/// The database of a profile. One connection: one engine writes at a time, and SQLite has one writer anyway.
#[derive(Debug, Clone)]
pub struct State {
    pool: SqlitePool,
}

impl State {
    /// Opens or makes the database.
    ///
    /// # Errors
    /// When it cannot be opened or belongs to a newer program.
    pub async fn open(path: &Path) -> Result<Self, StateError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .row_buffer_size(DATABASE_ROWS_AHEAD)
            .pragma("wal_autocheckpoint", DATABASE_LOG_PAGES.to_string());
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        sqlx::migrate!("./migrations").run(&pool).await?;
        Ok(Self { pool })
    }

    /// Closes the database.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A setting, or `None`.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn setting<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StateError> {
        let row = sqlx::query("SELECT value FROM setting WHERE key = $1").bind(key).fetch_optional(&self.pool).await?;
        let Some(row) = row else { return Ok(None) };
        let text: String = row.try_get(0)?;
        Ok(Some(serde_json::from_str(&text)?))
    }

    /// Stores a setting.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn set<T: Serialize + Sync>(&self, key: &str, value: &T) -> Result<(), StateError> {
        let text = serde_json::to_string(value)?;
        sqlx::query("INSERT INTO setting (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2")
            .bind(key)
            .bind(text)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Forgets a setting.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn unset(&self, key: &str) -> Result<(), StateError> {
        sqlx::query("DELETE FROM setting WHERE key = $1").bind(key).execute(&self.pool).await?;
        Ok(())
    }

    /// Forgets everything that belongs to an account; fetched files and limits stay known.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn forget_account(&self) -> Result<(), StateError> {
        let mut tx = self.pool.begin().await?;
        // How much of the line may be used does not depend on who is signed in.
        let settings = "DELETE FROM setting WHERE key <> 'limits'";
        for statement in [
            settings,
            "DELETE FROM replica",
            "UPDATE shared_file SET file = NULL",
            "DELETE FROM inbox_item",
            "DELETE FROM errand",
            "DELETE FROM parcel",
            "DELETE FROM offer_rule",
            "DELETE FROM message",
            "DELETE FROM room",
            "DELETE FROM device_key",
            "DELETE FROM wish",
        ] {
            sqlx::query(statement).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Applies changes of the index to the replica, and notes what of them matches standing searches. Gives those that
    /// can remember no more.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn apply_index(&self, page: &IndexChanges<'_>) -> Result<BTreeSet<i64>, StateError> {
        let IndexChanges { restart, present, gone, next, matches, now_ms } = *page;
        let mut tx = self.pool.begin().await?;
        if restart {
            sqlx::query("DELETE FROM replica").execute(&mut *tx).await?;
        }
        for part in present.chunks(ROWS_AT_ONCE) {
            let rows = part.iter().map(|entry| Ok((entry.id.0.to_vec(), postcard::to_stdvec(entry)?)));
            let rows: Vec<(Vec<u8>, Vec<u8>)> = rows.collect::<Result<_, StateError>>()?;
            let mut insert = QueryBuilder::new("INSERT INTO replica (file, row) ");
            insert.push_values(rows, |mut values, (file, row)| {
                values.push_bind(file).push_bind(row);
            });
            insert.push(" ON CONFLICT (file) DO UPDATE SET row = excluded.row");
            insert.build().execute(&mut *tx).await?;
        }
        for file in gone {
            sqlx::query("DELETE FROM replica WHERE file = $1").bind(&file.0[..]).execute(&mut *tx).await?;
        }
        sqlx::query(
            "INSERT INTO setting (key, value) VALUES ('index_next', $1) ON CONFLICT (key) DO UPDATE SET value = $1",
        )
        .bind(next.to_string())
        .execute(&mut *tx)
        .await?;
        let full = wishes::note_matches(&mut tx, matches, now_ms).await?;
        tx.commit().await?;
        Ok(full)
    }

    /// A page of the replica behind `after`, at most `limit` rows.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn index_page(&self, after: Option<FileId>, limit: u32) -> Result<Vec<FileEntry>, StateError> {
        let after = after.map(|id| id.0.to_vec()).unwrap_or_default();
        let rows = sqlx::query("SELECT row FROM replica WHERE file > $1 ORDER BY file LIMIT $2")
            .bind(after)
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Ok(postcard::from_bytes(row.try_get::<&[u8], _>(0)?)?)).collect()
    }

    /// Whether the replica knows a content as the first one of its file. The replica may be behind: of a newer content it
    /// knows nothing.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn is_first_version(&self, file: FileId, blob: BlobHash) -> Result<bool, StateError> {
        let row = sqlx::query("SELECT row FROM replica WHERE file = $1").bind(&file.0[..]);
        let Some(row) = row.fetch_optional(&self.pool).await? else { return Ok(false) };
        let entry: FileEntry = postcard::from_bytes(row.try_get::<&[u8], _>(0)?)?;
        Ok(entry.blob == blob && entry.version == 1)
    }

    /// Counts bytes exchanged with a member.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn add_exchanged(&self, member: AccountId, from_them: u64, to_them: u64) -> Result<(), StateError> {
        sqlx::query(
            "INSERT INTO exchanged (member, from_them, to_them) VALUES ($1, $2, $3) \
             ON CONFLICT (member) DO UPDATE SET from_them = from_them + $2, to_them = to_them + $3",
        )
        .bind(&member.0[..])
        .bind(signed(from_them))
        .bind(signed(to_them))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Bytes exchanged with each member: from them, to them.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn exchanged(&self) -> Result<Vec<(AccountId, u64, u64)>, StateError> {
        let rows = sqlx::query("SELECT member, from_them, to_them FROM exchanged").fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let member = AccountId::from_slice(row.try_get(0)?).ok_or_else(|| unreadable("a member id"))?;
                Ok((member, unsigned(row.try_get(1)?), unsigned(row.try_get(2)?)))
            })
            .collect()
    }
}

/// The setting that holds the limits.
pub const LIMITS: &str = "limits";
/// Rows of one statement: SQLite binds at most 32,766 values.
const ROWS_AT_ONCE: usize = 500;

fn unreadable(what: &str) -> StateError {
    StateError::Unreadable(what.to_owned())
}

/// SQLite has signed integers only; sizes stay below 2⁵⁶.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
