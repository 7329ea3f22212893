//! Which copies are wanted, pending, stored or to be deleted. A copy lives as long as a file wants it.

use std::collections::BTreeMap;

use shared::{
    id::{AccountId, BlobHash, DeviceId, FileId},
    limits::{COPIES_WAITING_MAX, COPY_PAGE_MAX},
};
use sqlx::{Row, SqliteConnection};

use super::{
    Result, effects, fact,
    locks::{closed, locks_it},
    me,
    rows::{self, COPY_PENDING, COPY_STORED, COPY_UNWANTED, HIDDEN},
    set_fact,
};
use crate::store::{Caller, CopyEnd, Effects, Kept, PendingCopy, StoreError, Withdrawn};

pub(super) async fn keep(tx: &mut SqliteConnection, caller: &Caller, files: &[FileId], now_ms: i64) -> Result<Kept> {
    let me = me(tx, caller).await?;
    let ids = rows::hex_list(files.iter().map(|file| file.as_bytes().as_slice()));
    let found = sqlx::query(
        "SELECT f.no, f.id, f.blob, f.size, f.copy, f.visibility FROM files f
         WHERE f.owner = $1 AND f.id IN (SELECT unhex(value) FROM json_each($2)) ORDER BY f.no",
    )
    .bind(me.account)
    .bind(&ids)
    .fetch_all(&mut *tx)
    .await?;
    let mut kept = Kept { count: found.len() as u64, ..Kept::default() };
    let mut changed = Vec::new();
    for row in &found {
        let (blob, size) = (rows::blob_hash(row, "blob")?, rows::count(row, "size")?);
        effects::want(tx, blob, size, now_ms).await?;
        let copy = sqlx::query("SELECT state, size FROM copies WHERE blob = $1")
            .bind(rows::bytes(blob.as_bytes()))
            .fetch_one(&mut *tx)
            .await?;
        let stored = copy.try_get::<i64, _>("state")? == COPY_STORED;
        if stored && rows::count(&copy, "size")? != size {
            // The stored copy is verified, so this file's size is wrong, and a copy of it cannot exist.
            kept.count -= 1;
            continue;
        }
        if stored {
            kept.stored.push(rows::file_id(row, "id")?);
        }
        if !row.try_get::<bool, _>("copy")? {
            changed.push((row.try_get("no")?, row.try_get::<i64, _>("visibility")? < HIDDEN));
        }
        kept.effects.copies_wanted |= !stored;
    }
    kept.effects.seq = set_copy(tx, true, &changed).await?;
    let waiting: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM copies WHERE state = 0").fetch_one(tx).await?;
    if waiting > i64::try_from(COPIES_WAITING_MAX).unwrap_or(i64::MAX) {
        return Err(StoreError::TooManyCopies(COPIES_WAITING_MAX));
    }
    Ok(kept)
}

pub(super) async fn drop(tx: &mut SqliteConnection, caller: &Caller, files: &[FileId]) -> Result<Withdrawn> {
    let me = me(tx, caller).await?;
    let found = sqlx::query(
        "SELECT no, blob, visibility FROM files
         WHERE owner = $1 AND copy = 1 AND id IN (SELECT unhex(value) FROM json_each($2)) ORDER BY no",
    )
    .bind(me.account)
    .bind(rows::hex_list(files.iter().map(|file| file.as_bytes().as_slice())))
    .fetch_all(&mut *tx)
    .await?;
    let mut changed = Vec::new();
    let mut blobs = Vec::new();
    for row in &found {
        changed.push((row.try_get("no")?, row.try_get::<i64, _>("visibility")? < HIDDEN));
        blobs.push(rows::blob_hash(row, "blob")?);
    }
    let seq = set_copy(tx, false, &changed).await?;
    let released = effects::release(tx, blobs).await?;
    Ok(Withdrawn { count: found.len() as u64, effects: Effects { seq, released, ..Effects::default() } })
}

/// A request for which a copy was left is over: the copy goes, unless another such request needs it or the owner has
/// asked for it.
pub(super) async fn drop_left(tx: &mut SqliteConnection, file: FileId) -> Result<Effects> {
    let needed: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM items WHERE file = $1 AND copied = 1 AND state < 2)")
            .bind(rows::bytes(file.as_bytes()))
            .fetch_one(&mut *tx)
            .await?;
    if needed {
        return Ok(Effects::default());
    }
    let found = sqlx::query("SELECT no, blob, visibility FROM files WHERE id = $1 AND copy = 1")
        .bind(rows::bytes(file.as_bytes()))
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = found else { return Ok(Effects::default()) };
    let listed = row.try_get::<i64, _>("visibility")? < HIDDEN;
    let seq = set_copy(tx, false, &[(row.try_get("no")?, listed)]).await?;
    let released = effects::release(tx, [rows::blob_hash(&row, "blob")?]).await?;
    Ok(Effects { seq, released, ..Effects::default() })
}

/// The owner wants these copies for good: the end of a request no longer takes them away.
pub(super) async fn keep_for_good(tx: &mut SqliteConnection, files: &[FileId]) -> Result<()> {
    sqlx::query("UPDATE items SET copied = 0 WHERE copied = 1 AND file IN (SELECT unhex(value) FROM json_each($1))")
        .bind(rows::hex_list(files.iter().map(|file| file.as_bytes().as_slice())))
        .execute(tx)
        .await?;
    Ok(())
}

/// Sets whether these files want a copy, and moves the listed ones (`true`) in the feed.
async fn set_copy(tx: &mut SqliteConnection, wanted: bool, files: &[(i64, bool)]) -> Result<Option<u64>> {
    if files.is_empty() {
        return Ok(None);
    }
    sqlx::query("UPDATE files SET copy = $1 WHERE no IN (SELECT value FROM json_each($2))")
        .bind(wanted)
        .bind(rows::number_list(files.iter().map(|(no, _)| *no)))
        .execute(&mut *tx)
        .await?;
    touch(tx, files).await
}

/// Moves listed files (`true`) to the end of the feed, because how they look changed.
async fn touch(tx: &mut SqliteConnection, files: &[(i64, bool)]) -> Result<Option<u64>> {
    let listed: Vec<i64> = files.iter().filter(|(_, listed)| *listed).map(|(no, _)| *no).collect();
    if listed.is_empty() {
        return Ok(None);
    }
    let before = fact(tx, "seq").await?;
    sqlx::query(
        "UPDATE files SET seq = $1 + 1 + (SELECT key FROM json_each($2) WHERE value = files.no)
         WHERE no IN (SELECT value FROM json_each($2))",
    )
    .bind(before)
    .bind(rows::number_list(listed.iter().copied()))
    .execute(&mut *tx)
    .await?;
    let after = before + i64::try_from(listed.len()).unwrap_or(0);
    set_fact(tx, "seq", after).await?;
    Ok(Some(after.unsigned_abs()))
}

pub(super) async fn pending(
    connection: &mut SqliteConnection,
    after: Option<&PendingCopy>,
) -> Result<Vec<PendingCopy>> {
    let (asked_ms, blob) =
        after.map_or((i64::MIN, Vec::new()), |copy| (copy.asked_ms, rows::bytes(copy.blob.as_bytes())));
    let found = sqlx::query(
        "SELECT blob, size, asked_ms FROM copies WHERE state = 0 AND (asked_ms, blob) > ($1, $2)
         ORDER BY asked_ms, blob LIMIT $3",
    )
    .bind(asked_ms)
    .bind(blob)
    .bind(COPY_PAGE_MAX)
    .fetch_all(&mut *connection)
    .await?;
    let mut copies = Vec::new();
    let mut place = BTreeMap::new();
    for row in &found {
        let blob = rows::blob_hash(row, "blob")?;
        place.insert(blob, copies.len());
        copies.push(PendingCopy {
            blob,
            size: rows::count(row, "size")?,
            asked_ms: row.try_get("asked_ms")?,
            devices: Vec::new(),
        });
    }
    let holders = sqlx::query(
        "SELECT DISTINCT f.blob AS blob, d.id AS device FROM files f
         JOIN copies c ON c.blob = f.blob AND c.size = f.size
         JOIN devices d ON d.account = f.owner AND d.active = 1
             AND (d.no = f.device OR d.no IN (SELECT h.device FROM holders h WHERE h.file = f.no))
         WHERE f.copy = 1 AND f.blob IN (SELECT unhex(value) FROM json_each($1))",
    )
    .bind(rows::hex_list(place.keys().map(|blob| blob.as_bytes().as_slice())))
    .fetch_all(connection)
    .await?;
    for row in &holders {
        if let Some(place) = place.get(&rows::blob_hash(row, "blob")?) {
            copies[*place].devices.push(rows::device_id(row, "device")?);
        }
    }
    Ok(copies)
}

pub(super) async fn unwanted(connection: &mut SqliteConnection) -> Result<Vec<BlobHash>> {
    sqlx::query("SELECT blob FROM copies WHERE state = 2 ORDER BY asked_ms LIMIT $1")
        .bind(COPY_PAGE_MAX)
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| rows::blob_hash(row, "blob"))
        .collect()
}

pub(super) async fn deleted(tx: &mut SqliteConnection, blob: BlobHash) -> Result<()> {
    sqlx::query("DELETE FROM copies WHERE blob = $1 AND state = $2")
        .bind(rows::bytes(blob.as_bytes()))
        .bind(COPY_UNWANTED)
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn stored(tx: &mut SqliteConnection, blob: BlobHash) -> Result<CopyEnd> {
    let wanted = sqlx::query("UPDATE copies SET state = $2 WHERE blob = $1 AND state = $3")
        .bind(rows::bytes(blob.as_bytes()))
        .bind(COPY_STORED)
        .bind(COPY_PENDING)
        .execute(&mut *tx)
        .await?;
    if wanted.rows_affected() == 0 {
        return Ok(CopyEnd::default());
    }
    let (numbers, files) = waiting_files(tx, blob).await?;
    Ok(CopyEnd { files, seq: touch(tx, &numbers).await? })
}

pub(super) async fn failed(tx: &mut SqliteConnection, blob: BlobHash) -> Result<CopyEnd> {
    let (numbers, files) = waiting_files(tx, blob).await?;
    let seq = set_copy(tx, false, &numbers).await?;
    // Files that claim another size wanted the copy too; one of them may be right.
    let other_size: Option<i64> = sqlx::query_scalar("SELECT size FROM files WHERE blob = $1 AND copy = 1 LIMIT 1")
        .bind(rows::bytes(blob.as_bytes()))
        .fetch_optional(&mut *tx)
        .await?;
    match other_size {
        Some(size) => {
            sqlx::query("UPDATE copies SET size = $2, state = $3 WHERE blob = $1")
                .bind(rows::bytes(blob.as_bytes()))
                .bind(size)
                .bind(COPY_PENDING)
                .execute(tx)
                .await?;
        }
        None => {
            effects::release(tx, [blob]).await?;
        }
    }
    Ok(CopyEnd { files, seq })
}

/// The files that a copy of the size in question is for: row numbers with whether they are listed, ids with owners.
async fn waiting_files(
    tx: &mut SqliteConnection,
    blob: BlobHash,
) -> Result<(Vec<(i64, bool)>, Vec<(FileId, AccountId)>)> {
    let found = sqlx::query(
        "SELECT f.no, f.id AS id, f.visibility, a.id AS owner FROM files f JOIN accounts a ON a.no = f.owner
         JOIN copies c ON c.blob = f.blob AND c.size = f.size WHERE f.copy = 1 AND f.blob = $1 ORDER BY f.no",
    )
    .bind(rows::bytes(blob.as_bytes()))
    .fetch_all(tx)
    .await?;
    let mut numbers = Vec::new();
    let mut files = Vec::new();
    for row in &found {
        numbers.push((row.try_get("no")?, row.try_get::<i64, _>("visibility")? < HIDDEN));
        files.push((rows::file_id(row, "id")?, rows::account_id(row, "owner")?));
    }
    Ok((numbers, files))
}

pub(super) async fn copy_for(
    connection: &mut SqliteConnection,
    device: DeviceId,
    blob: BlobHash,
) -> Result<Option<u64>> {
    // Whoever knows the id of a hidden file may fetch it; the grant says that the asker did.
    sqlx::query(concat!(
        "SELECT c.size AS size FROM copies c JOIN devices d ON d.id = $1 AND d.active = 1
         WHERE c.blob = $2 AND c.state = 1 AND EXISTS (
             SELECT 1 FROM files f WHERE f.blob = c.blob AND f.size = c.size
             AND NOT EXISTS (SELECT 1 FROM apart x WHERE x.one = d.account AND x.other = f.owner) AND (
                 f.visibility IN (0, 3) OR f.owner = d.account OR (f.visibility = 2 AND EXISTS (
                     SELECT 1 FROM people p WHERE p.file = f.no AND p.account = d.account))
                 OR (f.visibility IN (1, 2) AND EXISTS (SELECT 1 FROM approvals v WHERE v.account = d.account
                     AND v.owner = f.owner AND (v.file = f.no OR (v.file = 0 AND f.visibility = 1))))
                 OR (f.visibility = 4 AND EXISTS (SELECT 1 FROM items i
                     WHERE i.parcel = -f.realm - (1 << 40) AND i.to_account = d.account AND i.state < 2)))
             AND NOT",
        closed!("d.account", "d.no"),
        ")",
    ))
    .bind(rows::bytes(device.as_bytes()))
    .bind(rows::bytes(blob.as_bytes()))
    .fetch_optional(connection)
    .await?
    .map(|row| rows::count(&row, "size"))
    .transpose()
}

pub(super) async fn stored_among(connection: &mut SqliteConnection, blobs: &[BlobHash]) -> Result<Vec<BlobHash>> {
    sqlx::query("SELECT blob FROM copies WHERE state = 1 AND blob IN (SELECT unhex(value) FROM json_each($1))")
        .bind(rows::hex_list(blobs.iter().map(|blob| blob.as_bytes().as_slice())))
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| rows::blob_hash(row, "blob"))
        .collect()
}

pub(super) async fn stored_page(
    connection: &mut SqliteConnection,
    after: Option<BlobHash>,
) -> Result<Vec<(BlobHash, u64)>> {
    sqlx::query("SELECT blob, size FROM copies WHERE state = 1 AND blob > $1 ORDER BY blob LIMIT $2")
        .bind(after.map_or(Vec::new(), |blob| rows::bytes(blob.as_bytes())))
        .bind(COPY_PAGE_MAX)
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| Ok((rows::blob_hash(row, "blob")?, rows::count(row, "size")?)))
        .collect()
}

pub(super) async fn lost(tx: &mut SqliteConnection, blob: BlobHash, now_ms: i64) -> Result<()> {
    sqlx::query("UPDATE copies SET state = $2, asked_ms = $3 WHERE blob = $1 AND state = $4")
        .bind(rows::bytes(blob.as_bytes()))
        .bind(COPY_PENDING)
        .bind(now_ms)
        .bind(COPY_STORED)
        .execute(&mut *tx)
        .await?;
    let (numbers, _) = waiting_files(tx, blob).await?;
    touch(tx, &numbers).await?;
    Ok(())
}
