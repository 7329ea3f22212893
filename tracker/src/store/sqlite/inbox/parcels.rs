//! Files that are offered together: rows of `files` that no list shows, for those to whom they are offered.

use shared::{
    id::{BlobHash, FileId, ItemId, ParcelId},
    limits::{PAGE_ENTRIES_MAX, PARCEL_DRAFT_LIFE, PARCEL_FILES_MAX},
    wire::{inbox::PackEntry, tracker::FileEntry},
};
use sqlx::{Row, SqliteConnection};

use super::{Aftermath, items};
use crate::store::{
    Effects, StoreError,
    sqlite::{
        Me, Result,
        effects::{Ledger, Weight},
        publish,
        rows::{self, Budget, OFFERED, file_tables, parcel_realm, select_files},
    },
};

/// A parcel.
#[derive(Debug)]
pub(super) struct ParcelRow {
    pub(super) no: i64,
    pub(super) files: i64,
    pub(super) bytes: u64,
    /// The content of the only file.
    pub(super) only_blob: Option<BlobHash>,
}

/// A parcel of the caller's.
pub(super) async fn find(tx: &mut SqliteConnection, me: Me, id: ParcelId) -> Result<Option<ParcelRow>> {
    let row = sqlx::query("SELECT no, files, bytes, owner FROM parcels WHERE id = $1")
        .bind(rows::bytes(id.as_bytes()))
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    if row.try_get::<i64, _>("owner")? != me.account {
        return Err(StoreError::UnknownItem);
    }
    let (no, files) = (row.try_get("no")?, row.try_get("files")?);
    let only: Option<Vec<u8>> = match files {
        1 => {
            sqlx::query_scalar("SELECT blob FROM files WHERE realm = $1 AND visibility = 4 LIMIT 1")
                .bind(parcel_realm(no))
                .fetch_optional(tx)
                .await?
        }
        _ => None,
    };
    let only_blob = only.as_deref().and_then(BlobHash::from_slice);
    Ok(Some(ParcelRow { no, files, bytes: rows::count(&row, "bytes")?, only_blob }))
}

pub(super) async fn pack(
    tx: &mut SqliteConnection,
    me: Me,
    id: ParcelId,
    entries: Vec<(PackEntry, FileId)>,
    now_ms: i64,
) -> Result<(Vec<FileId>, Effects)> {
    let no = match find(tx, me, id).await? {
        Some(parcel) => parcel.no,
        None => sqlx::query("INSERT INTO parcels (id, owner, created_ms) VALUES ($1, $2, $3)")
            .bind(rows::bytes(id.as_bytes()))
            .bind(me.account)
            .bind(now_ms)
            .execute(&mut *tx)
            .await?
            .last_insert_rowid(),
    };
    let offered: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM items WHERE parcel = $1)")
        .bind(no)
        .fetch_one(&mut *tx)
        .await?;
    let mut ledger = Ledger::open(tx, me.account).await?;
    let mut ids = Vec::with_capacity(entries.len());
    for (entry, fresh) in entries {
        let known = sqlx::query("SELECT id, blob, size FROM files WHERE owner = $1 AND realm = $2 AND fold = $3")
            .bind(me.account)
            .bind(parcel_realm(no))
            .bind(&entry.path)
            .fetch_optional(&mut *tx)
            .await?;
        if let Some(known) = known {
            if rows::blob_hash(&known, "blob")? != entry.blob || rows::count(&known, "size")? != entry.size {
                return Err(StoreError::NotNow("the parcel holds other content under this path".to_owned()));
            }
            ids.push(rows::file_id(&known, "id")?);
            continue;
        }
        if offered {
            // Whoever got the offer saw what is in it.
            return Err(StoreError::NotNow("the parcel is offered already".to_owned()));
        }
        ledger.add(&Weight { viewers: &[-me.device], folders: &[], size: entry.size });
        insert(tx, me, no, &entry, fresh, now_ms).await?;
        ids.push(fresh);
    }
    publish::check_limit(tx, me, ledger.growth()).await?;
    ledger.write(tx, now_ms).await?;
    let files: i64 = sqlx::query_scalar(
        "UPDATE parcels SET files = (SELECT COUNT(*) FROM files WHERE realm = $2 AND visibility = 4),
                bytes = (SELECT COALESCE(SUM(size), 0) FROM files WHERE realm = $2 AND visibility = 4)
         WHERE no = $1 RETURNING files",
    )
    .bind(no)
    .bind(parcel_realm(no))
    .fetch_one(tx)
    .await?;
    if files.unsigned_abs() > PARCEL_FILES_MAX {
        return Err(StoreError::TooMany { what: "files of one offer", most: PARCEL_FILES_MAX });
    }
    Ok((ids, Effects::default()))
}

async fn insert(
    tx: &mut SqliteConnection,
    me: Me,
    parcel: i64,
    entry: &PackEntry,
    id: FileId,
    now_ms: i64,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO files (id, owner, device, realm, parent, path, fold, blob, size, modified_ms, executable,
         visibility, note, version, shared_ms, copy, seq) VALUES
         ($1, $2, $3, $4, -1, $5, $5, $6, $7, $8, $9, $10, '', 1, $11, 0, 0)",
    )
    .bind(rows::bytes(id.as_bytes()))
    .bind(me.account)
    .bind(me.device)
    .bind(parcel_realm(parcel))
    .bind(&entry.path)
    .bind(rows::bytes(entry.blob.as_bytes()))
    .bind(i64::try_from(entry.size).unwrap_or(i64::MAX))
    .bind(entry.modified_ms)
    .bind(entry.executable)
    .bind(OFFERED)
    .bind(now_ms)
    .execute(tx)
    .await?;
    Ok(())
}

/// A page of the files of an offer, by path.
pub(super) async fn files(
    connection: &mut SqliteConnection,
    me: Me,
    item: ItemId,
    after: Option<&str>,
) -> Result<(Vec<FileEntry>, Option<String>)> {
    let row = items::find(connection, item).await?.ok_or(StoreError::UnknownItem)?;
    let (Some(_), Some(parcel)) = (row.party(me), row.parcel) else { return Err(StoreError::UnknownItem) };
    let query = sqlx::query(select_files!(
        "WHERE f.realm = $2 AND f.visibility = 4 AND f.fold > $3 AND $1 > 0 ORDER BY f.fold LIMIT $4"
    ))
    .bind(me.account)
    .bind(parcel_realm(parcel))
    .bind(after.unwrap_or_default())
    .bind(i64::try_from(PAGE_ENTRIES_MAX + 1).unwrap_or(i64::MAX));
    let mut budget = Budget::page();
    let mut files: Vec<FileEntry> = Vec::new();
    for file in rows::files(connection, me, query).await? {
        if !budget.take_file(&file) {
            let next = files.last().map(|file| file.path.clone());
            return Ok((files, next));
        }
        files.push(file.entry);
    }
    Ok((files, None))
}

/// What runs of this parcel must be asked for anew.
pub(super) async fn revoke(tx: &mut SqliteConnection, after: &mut Aftermath, parcel: i64) -> Result<()> {
    let files = ids(tx, parcel).await?;
    publish::revoke(tx, after.effects(), &files).await
}

/// A parcel is over: its files are for nobody any more.
pub(super) async fn unpack(tx: &mut SqliteConnection, after: &mut Aftermath, parcel: i64) -> Result<()> {
    revoke(tx, after, parcel).await?;
    let owner: i64 =
        sqlx::query_scalar("SELECT owner FROM parcels WHERE no = $1").bind(parcel).fetch_one(&mut *tx).await?;
    let mut ledger = Ledger::open(tx, owner).await?;
    let gone =
        sqlx::query("DELETE FROM files WHERE realm = $1 AND visibility = 4 RETURNING no, blob, size, device, copy")
            .bind(parcel_realm(parcel))
            .fetch_all(&mut *tx)
            .await?;
    for row in &gone {
        let device: i64 = row.try_get("device")?;
        ledger.remove(&Weight { viewers: &[-device], folders: &[], size: rows::count(row, "size")? });
        if row.try_get::<bool, _>("copy")? {
            ledger.release_copy(rows::blob_hash(row, "blob")?);
        }
    }
    let numbers = gone.iter().map(|row| Ok(row.try_get("no")?)).collect::<Result<Vec<i64>>>()?;
    sqlx::query("DELETE FROM holders WHERE file IN (SELECT value FROM json_each($1))")
        .bind(rows::number_list(numbers))
        .execute(&mut *tx)
        .await?;
    let ended = ledger.write(tx, 0).await?;
    after.effects().absorb(ended);
    Ok(())
}

async fn ids(tx: &mut SqliteConnection, parcel: i64) -> Result<Vec<FileId>> {
    sqlx::query("SELECT id FROM files WHERE realm = $1 AND visibility = 4")
        .bind(parcel_realm(parcel))
        .fetch_all(tx)
        .await?
        .iter()
        .map(|row| rows::file_id(row, "id"))
        .collect()
}

/// Forgets parcels that were never offered, and those whose offers are forgotten.
pub(super) async fn clear(tx: &mut SqliteConnection, after: &mut Aftermath, now_ms: i64) -> Result<()> {
    let life_ms = i64::try_from(PARCEL_DRAFT_LIFE.as_millis()).unwrap_or(i64::MAX);
    let left: Vec<i64> = sqlx::query_scalar(
        "SELECT no FROM parcels WHERE created_ms < $1 AND NOT EXISTS (SELECT 1 FROM items i WHERE i.parcel = parcels.no)",
    )
    .bind(now_ms.saturating_sub(life_ms))
    .fetch_all(&mut *tx)
    .await?;
    for parcel in left {
        unpack(tx, after, parcel).await?;
        sqlx::query("DELETE FROM parcels WHERE no = $1").bind(parcel).execute(&mut *tx).await?;
    }
    Ok(())
}
