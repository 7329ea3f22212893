//! Transfers into this device, with their files.

use shared::id::{BlobHash, FileId};
use sqlx::{QueryBuilder, Row};

use super::{ROWS_AT_ONCE, State, StateError, files::blob_of, signed, unreadable, unsigned};
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
    /// The name it got, once it is there.
    pub landed: Option<String>,
}

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
        for part in files.chunks(ROWS_AT_ONCE) {
            let mut insert = QueryBuilder::new(
                "INSERT INTO transfer_file (transfer, position, file, blob, path, size, modified_ms, executable) ",
            );
            insert.push_values(part, |mut row, file| {
                row.push_bind(stored.id)
                    .push_bind(signed(file.position))
                    .push_bind(file.file.0.to_vec())
                    .push_bind(file.blob.0.to_vec())
                    .push_bind(&file.path)
                    .push_bind(signed(file.size))
                    .push_bind(file.modified_ms)
                    .push_bind(file.executable);
            });
            insert.build().execute(&mut *tx).await?;
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
        let mut tx = self.pool.begin().await?;
        for part in landed.chunks(ROWS_AT_ONCE) {
            let mut insert = QueryBuilder::new("INSERT INTO landed (transfer, position, name) ");
            insert.push_values(part, |mut row, (position, name)| {
                row.push_bind(id).push_bind(signed(*position)).push_bind(name);
            });
            insert.push(" ON CONFLICT (transfer, position) DO UPDATE SET name = excluded.name");
            insert.build().execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Another content for a file that changed before it was fetched.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn replan_file(&self, id: i64, file: &PlannedFile) -> Result<(), StateError> {
        sqlx::query(
            "UPDATE transfer_file SET blob = $3, size = $4, modified_ms = $5, executable = $6 \
             WHERE transfer = $1 AND position = $2",
        )
        .bind(id)
        .bind(signed(file.position))
        .bind(&file.blob.0[..])
        .bind(signed(file.size))
        .bind(file.modified_ms)
        .bind(file.executable)
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
        let rows = sqlx::query(
            "SELECT position, file, blob, path, size, modified_ms, executable, name \
             FROM transfer_file LEFT JOIN landed USING (transfer, position) WHERE transfer = $1 ORDER BY position",
        )
        .bind(id)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(PlannedFile {
                    position: unsigned(row.try_get(0)?),
                    file: FileId::from_slice(row.try_get(1)?).ok_or_else(|| unreadable("a file id"))?,
                    blob: blob_of(row.try_get(2)?)?,
                    path: row.try_get(3)?,
                    size: unsigned(row.try_get(4)?),
                    modified_ms: row.try_get(5)?,
                    executable: row.try_get(6)?,
                    landed: row.try_get(7)?,
                })
            })
            .collect()
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
