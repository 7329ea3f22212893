//! Shared files with the state that their hash belongs to, and fetched files.

use std::{
    collections::HashSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use shared::{
    id::{BlobHash, FileId},
    transfer::jail::Stamp,
    wire::tracker::Audience,
};
use sqlx::{QueryBuilder, Row, sqlite::SqliteRow};

use super::{ROWS_AT_ONCE, Sealed, State, StateError, signed, unreadable, unsigned};

/// A file or folder that this device shares, as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareRecord {
    /// Number in this database.
    pub id: i64,
    /// First component of its files' paths in the index, or the file's path.
    pub name: String,
    /// Where it lies.
    pub local: PathBuf,
    /// A folder with files below, or one file.
    pub folder: bool,
    /// Who shall see new files; `None`: public.
    pub audience: Option<Audience>,
    /// The remark for new files.
    pub note: Option<String>,
    /// Whether its files are encrypted with a password.
    pub protected: bool,
}

/// One file of a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedFile {
    /// Path in the index.
    pub path: String,
    /// Path below a shared folder; `None` for a shared file.
    pub relative: Option<String>,
    /// Its content when it had this stamp.
    pub blob: BlobHash,
    /// The state that the hash belongs to.
    pub stamp: Stamp,
    /// Whether it may be executed.
    pub executable: bool,
    /// Its id, once this content is published.
    pub file: Option<FileId>,
    /// Its encrypted form, where it is protected: `blob` is the hash of that.
    pub sealed: Option<Sealed>,
}

impl SharedFile {
    /// Bytes of what is served.
    #[must_use]
    pub fn served_bytes(&self) -> u64 {
        self.sealed.as_ref().map_or(self.stamp.size, |sealed| sealed.stamp.size)
    }
}

impl State {
    /// All shares.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn shares(&self) -> Result<Vec<ShareRecord>, StateError> {
        let rows = sqlx::query("SELECT id, name, local, folder, audience, note, protected FROM share ORDER BY name")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| {
                let audience: Option<String> = row.try_get(4)?;
                Ok(ShareRecord {
                    id: row.try_get(0)?,
                    name: row.try_get(1)?,
                    local: path_of(row.try_get(2)?),
                    folder: row.try_get(3)?,
                    audience: audience.map(|text| serde_json::from_str(&text)).transpose()?,
                    note: row.try_get(5)?,
                    protected: row.try_get(6)?,
                })
            })
            .collect()
    }

    /// Adds a share, or updates the one of this name; returns its number.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn put_share(&self, share: &ShareRecord) -> Result<i64, StateError> {
        let audience = share.audience.as_ref().map(serde_json::to_string).transpose()?;
        let row = sqlx::query(
            "INSERT INTO share (name, local, folder, audience, note, protected) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (name) DO UPDATE SET local = $2, folder = $3, audience = $4, note = $5, protected = $6 \
             RETURNING id",
        )
        .bind(&share.name)
        .bind(share.local.as_os_str().as_bytes())
        .bind(share.folder)
        .bind(audience)
        .bind(&share.note)
        .bind(share.protected)
        .fetch_one(&self.pool)
        .await?;
        Ok(row.try_get(0)?)
    }

    /// Forgets a share and its files.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn remove_share(&self, id: i64) -> Result<(), StateError> {
        sqlx::query("DELETE FROM share WHERE id = $1").bind(id).execute(&self.pool).await?;
        Ok(())
    }

    /// The files of a share.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn files_of(&self, share: i64) -> Result<Vec<SharedFile>, StateError> {
        let rows = sqlx::query(
            "SELECT path, relative, blob, size, modified_ns, inode, device, changed_ns, executable, file, sealed \
             FROM shared_file WHERE share = $1 ORDER BY path",
        )
        .bind(share)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(shared_file).collect()
    }

    /// Adds or updates files of a share.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn put_files(&self, share: i64, files: &[SharedFile]) -> Result<(), StateError> {
        let mut tx = self.pool.begin().await?;
        for part in files.chunks(ROWS_AT_ONCE) {
            let sealed = part.iter().map(|file| file.sealed.as_ref().map(serde_json::to_string).transpose());
            let sealed = sealed.collect::<Result<Vec<Option<String>>, _>>()?;
            let mut insert = QueryBuilder::new(
                "INSERT INTO shared_file \
                 (share, path, relative, blob, size, modified_ns, inode, device, changed_ns, executable, file, \
                 sealed) ",
            );
            insert.push_values(part.iter().zip(sealed), |mut row, (file, sealed)| {
                row.push_bind(share)
                    .push_bind(&file.path)
                    .push_bind(&file.relative)
                    .push_bind(file.blob.0.to_vec())
                    .push_bind(signed(file.stamp.size))
                    .push_bind(file.stamp.modified_ns)
                    .push_bind(file.stamp.inode.cast_signed())
                    .push_bind(file.stamp.device.cast_signed())
                    .push_bind(file.stamp.changed_ns)
                    .push_bind(file.executable)
                    .push_bind(file.file.map(|id| id.0.to_vec()))
                    .push_bind(sealed);
            });
            insert.push(
                " ON CONFLICT (share, path) DO UPDATE SET relative = excluded.relative, blob = excluded.blob, \
                 size = excluded.size, modified_ns = excluded.modified_ns, inode = excluded.inode, \
                 device = excluded.device, changed_ns = excluded.changed_ns, executable = excluded.executable, \
                 file = excluded.file, sealed = excluded.sealed",
            );
            insert.build().execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// The paths of a share that were taken out of the index one by one.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn excluded(&self, share: i64) -> Result<HashSet<String>, StateError> {
        let rows = sqlx::query("SELECT path FROM excluded WHERE share = $1").bind(share).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Takes paths of a share out, so that a rescan does not bring them back.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn exclude(&self, share: i64, paths: &[String]) -> Result<(), StateError> {
        let mut tx = self.pool.begin().await?;
        for path in paths {
            sqlx::query("INSERT INTO excluded (share, path) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(share)
                .bind(path)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    /// Everything below the share counts again.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn include_all(&self, share: i64) -> Result<(), StateError> {
        sqlx::query("DELETE FROM excluded WHERE share = $1").bind(share).execute(&self.pool).await?;
        Ok(())
    }

    /// Forgets files of a share.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn remove_files(&self, share: i64, paths: &[String]) -> Result<(), StateError> {
        let mut tx = self.pool.begin().await?;
        for path in paths {
            sqlx::query("DELETE FROM shared_file WHERE share = $1 AND path = $2")
                .bind(share)
                .bind(path)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    /// A complete, verified file lies here in this state.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn put_fetched(&self, files: &[(BlobHash, PathBuf, Stamp)]) -> Result<(), StateError> {
        // In the order of the table: each of its pages is touched once.
        let mut files: Vec<_> = files.iter().collect();
        files.sort_unstable_by_key(|(blob, ..)| *blob);
        let mut tx = self.pool.begin().await?;
        for part in files.chunks(ROWS_AT_ONCE) {
            let mut insert =
                QueryBuilder::new("INSERT INTO fetched (blob, local, size, modified_ns, inode, device, changed_ns) ");
            insert.push_values(part, |mut row, (blob, local, stamp)| {
                row.push_bind(blob.0.to_vec())
                    .push_bind(local.as_os_str().as_bytes())
                    .push_bind(signed(stamp.size))
                    .push_bind(stamp.modified_ns)
                    .push_bind(stamp.inode.cast_signed())
                    .push_bind(stamp.device.cast_signed())
                    .push_bind(stamp.changed_ns);
            });
            insert.push(
                " ON CONFLICT (blob, local) DO UPDATE SET size = excluded.size, modified_ns = excluded.modified_ns, \
                 inode = excluded.inode, device = excluded.device, changed_ns = excluded.changed_ns",
            );
            insert.build().execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// The contents that were fetched to this device.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn fetched_blobs(&self) -> Result<Vec<BlobHash>, StateError> {
        let rows = sqlx::query("SELECT DISTINCT blob FROM fetched").fetch_all(&self.pool).await?;
        rows.iter().map(|row| blob_of(row.try_get(0)?)).collect()
    }

    /// Where contents of these were fetched to. They may be gone or changed by now.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn fetched_places(&self, blobs: &[BlobHash]) -> Result<Vec<(BlobHash, PathBuf)>, StateError> {
        let rows = sqlx::query(
            "SELECT blob, local FROM fetched WHERE blob IN (SELECT unhex(value) FROM json_each($1)) ORDER BY changed_ns",
        )
        .bind(serde_json::to_string(blobs)?)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok((blob_of(row.try_get(0)?)?, path_of(row.try_get(1)?)))).collect()
    }

    /// The content that was fetched to a place last, and its size.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn fetched_at(&self, local: &Path) -> Result<Option<(BlobHash, u64)>, StateError> {
        let row = sqlx::query("SELECT blob, size FROM fetched WHERE local = $1 ORDER BY changed_ns DESC LIMIT 1")
            .bind(local.as_os_str().as_bytes())
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| Ok((blob_of(row.try_get(0)?)?, unsigned(row.try_get(1)?)))).transpose()
    }

    /// The file of a share at this path below it; `None` for a share that is one file.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn shared_at(&self, share: i64, relative: Option<&str>) -> Result<Option<SharedFile>, StateError> {
        let row = sqlx::query(
            "SELECT path, relative, blob, size, modified_ns, inode, device, changed_ns, executable, file, sealed \
             FROM shared_file WHERE share = $1 AND relative IS $2",
        )
        .bind(share)
        .bind(relative)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(shared_file).transpose()
    }

    /// Whether this content was fetched to this place, and the state that the file had then.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn fetched_stamp(&self, blob: BlobHash, local: &Path) -> Result<Option<Stamp>, StateError> {
        let row = sqlx::query(
            "SELECT size, modified_ns, inode, device, changed_ns FROM fetched WHERE blob = $1 AND local = $2",
        )
        .bind(&blob.0[..])
        .bind(local.as_os_str().as_bytes())
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| stamp_at(&row, 0)).transpose()
    }
}

fn shared_file(row: &SqliteRow) -> Result<SharedFile, StateError> {
    let file: Option<&[u8]> = row.try_get(9)?;
    let sealed: Option<&str> = row.try_get(10)?;
    Ok(SharedFile {
        path: row.try_get(0)?,
        relative: row.try_get(1)?,
        blob: blob_of(row.try_get(2)?)?,
        stamp: stamp_at(row, 3)?,
        executable: row.try_get(8)?,
        file: file.and_then(FileId::from_slice),
        sealed: sealed.map(serde_json::from_str).transpose()?,
    })
}

fn stamp_at(row: &SqliteRow, first: usize) -> Result<Stamp, StateError> {
    Ok(Stamp {
        size: unsigned(row.try_get(first)?),
        modified_ns: row.try_get(first + 1)?,
        inode: row.try_get::<i64, _>(first + 2)?.cast_unsigned(),
        device: row.try_get::<i64, _>(first + 3)?.cast_unsigned(),
        changed_ns: row.try_get(first + 4)?,
    })
}

pub(super) fn blob_of(bytes: &[u8]) -> Result<BlobHash, StateError> {
    BlobHash::from_slice(bytes).ok_or_else(|| unreadable("a hash"))
}

fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}
