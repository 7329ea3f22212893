//! Protected files: the encrypted forms that lie here, and what was opened.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use shared::{id::BlobHash, transfer::jail::Stamp, wire::protected::Lock};
use sqlx::Row;

use super::{State, StateError, files::blob_of, signed, unsigned};

/// The encrypted form of a shared file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Its name in the folder of them.
    pub name: String,
    /// Its state when it was hashed.
    pub stamp: Stamp,
    /// What is to be proved for it.
    pub lock: Lock,
    /// The hash of the file itself, which stays here.
    pub plain: BlobHash,
}

/// What was in an encrypted content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Its hash.
    pub plain: BlobHash,
    /// Bytes.
    pub size: u64,
}

impl State {
    /// The names of all encrypted forms that belong to a share.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn sealed_names(&self) -> Result<HashSet<String>, StateError> {
        let rows = sqlx::query("SELECT sealed FROM shared_file WHERE sealed IS NOT NULL").fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let sealed: Sealed = serde_json::from_str(row.try_get(0)?)?;
                Ok(sealed.name)
            })
            .collect()
    }

    /// An encrypted content was opened.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn put_opened(&self, blob: BlobHash, opened: Opened) -> Result<(), StateError> {
        sqlx::query("INSERT OR REPLACE INTO opened (blob, plain, size) VALUES ($1, $2, $3)")
            .bind(&blob.0[..])
            .bind(&opened.plain.0[..])
            .bind(signed(opened.size))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The encrypted contents of which this device has what was in them.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn opened_blobs(&self) -> Result<Vec<BlobHash>, StateError> {
        let rows = sqlx::query("SELECT blob FROM opened WHERE plain IN (SELECT blob FROM fetched)")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| blob_of(row.try_get(0)?)).collect()
    }

    /// What was in those of these contents that were opened here.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn opened(&self, blobs: &[BlobHash]) -> Result<HashMap<BlobHash, Opened>, StateError> {
        let rows =
            sqlx::query("SELECT blob, plain, size FROM opened WHERE blob IN (SELECT unhex(value) FROM json_each($1))")
                .bind(serde_json::to_string(blobs)?)
                .fetch_all(&self.pool)
                .await?;
        rows.iter()
            .map(|row| {
                let opened = Opened { plain: blob_of(row.try_get(1)?)?, size: unsigned(row.try_get(2)?) };
                Ok((blob_of(row.try_get(0)?)?, opened))
            })
            .collect()
    }
}
