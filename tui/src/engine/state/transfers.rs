//! Transfers into this device, with their files.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use shared::id::{BlobHash, FileId};
use sqlx::Row;

use super::{State, StateError, signed};
use crate::engine::api::{Get, TransferRow};

/// One file of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Its place in the transfer.
    pub position: u64,
    /// The file in the index.
    pub file: FileId,
    /// The content.
    pub blob: BlobHash,
    /// Path below the target folder, checked.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Modification time, milliseconds since 1970.
    pub modified_ms: i64,
    /// Whether it may be executed.
    pub executable: bool,
    /// Whether the content is encrypted with a password.
    pub protected: bool,
    /// The name it got, once it is there.
    pub landed: Option<String>,
}

/// A [`PlannedFile`] as it is stored: position, file, blob, path, size, time, and flags.
type Columns<Path> = (u64, FileId, BlobHash, Path, u64, i64, u8);

impl PlannedFile {
    fn columns(&self) -> Columns<&str> {
        let flags = u8::from(self.executable) * EXECUTABLE + u8::from(self.protected) * PROTECTED;
        (self.position, self.file, self.blob, &self.path, self.size, self.modified_ms, flags)
    }

    fn of_columns((position, file, blob, path, size, modified_ms, flags): Columns<String>) -> Self {
        let (executable, protected) = (flags & EXECUTABLE != 0, flags & PROTECTED != 0);
        Self { position, file, blob, path, size, modified_ms, executable, protected, landed: None }
    }
}

/// Flags of a stored file.
const EXECUTABLE: u8 = 1;
const PROTECTED: u8 = 2;
/// Files in one row of a plan.
const PLAN_PAGE_FILES: usize = 1000;

/// A transfer as it was left.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTransfer {
    /// Its number.
    pub id: i64,
    /// Not yet done, failed or cancelled.
    pub active: bool,
    /// What was asked.
    pub plan: Get,
    /// What the faces saw last.
    pub row: TransferRow,
}

impl State {
    /// Adds a transfer with its files.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn add_transfer(&self, stored: &StoredTransfer, files: &[PlannedFile]) -> Result<(), StateError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("INSERT INTO transfer (id, active, plan, row) VALUES ($1, $2, $3, $4)")
            .bind(stored.id)
            .bind(stored.active)
            .bind(serde_json::to_string(&stored.plan)?)
            .bind(serde_json::to_string(&stored.row)?)
            .execute(&mut *tx)
            .await?;
        for page in files.chunks(PLAN_PAGE_FILES) {
            let first = page.first().map_or(0, |file| file.position);
            sqlx::query("INSERT INTO plan_page (transfer, first, files) VALUES ($1, $2, $3)")
                .bind(stored.id)
                .bind(signed(first))
                .bind(serde_json::to_string(&page.iter().map(PlannedFile::columns).collect::<Vec<_>>())?)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    /// Stores how a transfer stands.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn update_transfer(&self, id: i64, active: bool, row: &TransferRow) -> Result<(), StateError> {
        sqlx::query("UPDATE transfer SET active = $2, row = $3 WHERE id = $1")
            .bind(id)
            .bind(active)
            .bind(serde_json::to_string(row)?)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Stores how a running transfer stands, unless it has ended meanwhile.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn update_running(&self, id: i64, row: &TransferRow) -> Result<(), StateError> {
        sqlx::query("UPDATE transfer SET row = $2 WHERE id = $1 AND active")
            .bind(id)
            .bind(serde_json::to_string(row)?)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// These files of a transfer are there, under these names.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn mark_landed(&self, id: i64, landed: &[(u64, String)]) -> Result<(), StateError> {
        sqlx::query("INSERT INTO landed_page (transfer, files) VALUES ($1, $2)")
            .bind(id)
            .bind(serde_json::to_string(landed)?)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Another content for a file that changed before it was fetched.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn replan_file(&self, id: i64, file: &PlannedFile) -> Result<(), StateError> {
        sqlx::query("INSERT OR REPLACE INTO replanned (transfer, position, file) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(signed(file.position))
            .bind(serde_json::to_string(&file.columns())?)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// All transfers, oldest first.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn transfers(&self) -> Result<Vec<StoredTransfer>, StateError> {
        let rows =
            sqlx::query("SELECT id, active, plan, row FROM transfer ORDER BY rowid").fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let (plan, last): (&str, &str) = (row.try_get(2)?, row.try_get(3)?);
                Ok(StoredTransfer {
                    id: row.try_get(0)?,
                    active: row.try_get(1)?,
                    plan: serde_json::from_str(plan)?,
                    row: serde_json::from_str(last)?,
                })
            })
            .collect()
    }

    /// The files of a transfer, in order.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn planned_files(&self, id: i64) -> Result<Vec<PlannedFile>, StateError> {
        let mut tx = self.pool.begin().await?;
        let mut files = BTreeMap::new();
        let mut pages =
            sqlx::query_scalar::<_, String>("SELECT files FROM plan_page WHERE transfer = $1").bind(id).fetch(&mut *tx);
        while let Some(page) = pages.try_next().await? {
            let page: Vec<Columns<String>> = serde_json::from_str(&page)?;
            files.extend(page.into_iter().map(|columns| (columns.0, PlannedFile::of_columns(columns))));
        }
        drop(pages);
        let mut replanned =
            sqlx::query_scalar::<_, String>("SELECT file FROM replanned WHERE transfer = $1").bind(id).fetch(&mut *tx);
        while let Some(file) = replanned.try_next().await? {
            let columns: Columns<String> = serde_json::from_str(&file)?;
            files.insert(columns.0, PlannedFile::of_columns(columns));
        }
        drop(replanned);
        let mut landed =
            sqlx::query_scalar::<_, String>("SELECT files FROM landed_page WHERE transfer = $1 ORDER BY id")
                .bind(id)
                .fetch(&mut *tx);
        while let Some(page) = landed.try_next().await? {
            for (position, name) in serde_json::from_str::<Vec<(u64, String)>>(&page)? {
                if let Some(file) = files.get_mut(&position) {
                    file.landed = Some(name);
                }
            }
        }
        drop(landed);
        tx.commit().await?;
        Ok(files.into_values().collect())
    }

    /// Forgets a transfer.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn remove_transfer(&self, id: i64) -> Result<(), StateError> {
        sqlx::query("DELETE FROM transfer WHERE id = $1").bind(id).execute(&self.pool).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use sqlx::{SqlitePool, migrate::Migrator, sqlite::SqliteConnectOptions};
    use tempfile::TempDir;

    use super::*;
    use crate::engine::api::{Direction, From, Priority, Target, TransferState};

    fn file(position: u64) -> PlannedFile {
        PlannedFile {
            position,
            file: FileId([(position % 251) as u8; 16]),
            blob: BlobHash([3; 32]),
            path: format!("a folder/\"{position}\" ü.bin"),
            size: position * 1000,
            modified_ms: -5,
            executable: position == 1,
            protected: position % 3 == 1,
            landed: None,
        }
    }

    fn transfer(id: i64) -> StoredTransfer {
        let plan = Get {
            items: vec!["0123".to_owned()],
            target: Target::Downloads,
            from: From::Any,
            detach: false,
            wait: false,
            repair: false,
            raw: false,
        };
        let row = TransferRow {
            id: format!("{id:016x}"),
            direction: Direction::Down,
            name: "a folder".to_owned(),
            item: "0123".to_owned(),
            owner: "alice".to_owned(),
            folder: true,
            files: 2500,
            files_done: 0,
            state: TransferState::Queued,
            reason: String::new(),
            size: 1,
            done: 0,
            speed: 0,
            eta_s: None,
            path: "a folder".into(),
            hash: None,
            bytes_peer: 0,
            bytes_copy: 0,
            bytes_relay: 0,
            bytes_local: 0,
            sources: Vec::new(),
            map: Vec::new(),
            log: Vec::new(),
            created_ms: 0,
            finished_ms: None,
            elapsed_ms: 0,
            failure: None,
            damaged: None,
            priority: Priority::Normal,
            place: 0,
        };
        StoredTransfer { id, active: true, plan, row }
    }

    #[tokio::test]
    async fn a_plan_of_many_files_is_read_back_with_what_changed_and_what_landed() {
        let dir = TempDir::new().unwrap();
        let state = State::open(&dir.path().join("state.db")).await.unwrap();
        let mut files: Vec<PlannedFile> = (0..2500).map(file).collect();
        state.add_transfer(&transfer(7), &files).await.unwrap();
        state.add_transfer(&transfer(8), &files[..3]).await.unwrap();
        files[1200] = PlannedFile { blob: BlobHash([9; 32]), size: 1, executable: true, ..files[1200].clone() };
        state.replan_file(7, &files[1200]).await.unwrap();
        state.mark_landed(7, &[(5, "five".to_owned()), (2499, "last (1)".to_owned())]).await.unwrap();
        state.mark_landed(7, &[(6, "six".to_owned()), (5, "five again".to_owned())]).await.unwrap();
        for (place, name) in [(5, "five again"), (6, "six"), (2499, "last (1)")] {
            files[place].landed = Some(name.to_owned());
        }
        assert_eq!(state.planned_files(7).await.unwrap(), files);
        assert_eq!(state.planned_files(8).await.unwrap(), (0..3).map(file).collect::<Vec<_>>());
        state.remove_transfer(7).await.unwrap();
        assert_eq!(state.planned_files(7).await.unwrap(), []);
        assert_eq!(state.planned_files(8).await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_transfer_that_an_earlier_version_left_goes_on() {
        let dir = TempDir::new().unwrap();
        let (path, first) = (dir.path().join("state.db"), dir.path().join("migrations"));
        fs::create_dir(&first).unwrap();
        let begin = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/0001_begin.sql");
        fs::copy(begin, first.join("0001_begin.sql")).unwrap();
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        Migrator::new(first).await.unwrap().run(&pool).await.unwrap();
        sqlx::query("INSERT INTO transfer VALUES (7, 1, '{}', '{}')").execute(&pool).await.unwrap();
        // It knew no files with a password.
        let mut files: Vec<PlannedFile> =
            (0..1500).map(|position| PlannedFile { protected: false, ..file(position) }).collect();
        for file in &files {
            sqlx::query("INSERT INTO transfer_file VALUES (7, $1, $2, $3, $4, $5, $6, $7)")
                .bind(signed(file.position))
                .bind(&file.file.0[..])
                .bind(&file.blob.0[..])
                .bind(&file.path)
                .bind(signed(file.size))
                .bind(file.modified_ms)
                .bind(file.executable)
                .execute(&pool)
                .await
                .unwrap();
        }
        sqlx::query("INSERT INTO landed VALUES (7, 1001, 'there')").execute(&pool).await.unwrap();
        pool.close().await;
        files[1001].landed = Some("there".to_owned());
        let state = State::open(&path).await.unwrap();
        assert_eq!(state.planned_files(7).await.unwrap(), files);
    }
}
