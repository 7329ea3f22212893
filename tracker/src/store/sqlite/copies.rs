//! Which copies are wanted, pending, stored or to be deleted, and who claims them. A copy lives as long as a file wants it,
//! and so does a claim.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use shared::{
    id::{AccountId, BlobHash, DeviceId, FileId},
    limits::{COPIES_WAITING_MAX, COPY_PAGE_MAX},
};
use sqlx::{Row, SqliteConnection};

use super::{
    Result, SqliteStore, effects, fact,
    locks::{closed, locks_it},
    me,
    rows::{self, CLAIM_PENDING, COPY_PENDING, COPY_STORED, COPY_UNWANTED, HIDDEN},
    set_fact,
};
use crate::store::{Caller, CopyEnd, CopyStore, Effects, Kept, PendingCopy, StoreError, Withdrawn};

#[async_trait]
impl CopyStore for SqliteStore {
    async fn keep_copies(&self, caller: &Caller, files: &[FileId], now_ms: i64) -> Result<Kept> {
        let mut tx = self.write().await?;
        let kept = keep(&mut tx, caller, files, now_ms).await?;
        keep_for_good(&mut tx, files).await?;
        tx.commit().await?;
        Ok(kept)
    }

    async fn drop_copies(&self, caller: &Caller, files: &[FileId]) -> Result<Withdrawn> {
        let mut tx = self.write().await?;
        let dropped = drop(&mut tx, caller, files).await?;
        tx.commit().await?;
        Ok(dropped)
    }

    async fn pending_copies(&self, after: Option<&PendingCopy>) -> Result<Vec<PendingCopy>> {
        pending(&mut *self.read().await?, after).await
    }

    async fn pending_claims(&self, blob: BlobHash) -> Result<Vec<(AccountId, u64)>> {
        pending_claims(&mut *self.read().await?, blob).await
    }

    async fn unwanted_copies(&self) -> Result<Vec<BlobHash>> {
        unwanted(&mut *self.read().await?).await
    }

    async fn copy_deleted(&self, blob: BlobHash) -> Result<()> {
        let mut tx = self.write().await?;
        deleted(&mut tx, blob).await?;
        Ok(tx.commit().await?)
    }

    async fn copy_stored(&self, copy: &PendingCopy) -> Result<CopyEnd> {
        let mut tx = self.write().await?;
        let end = stored(&mut tx, copy).await?;
        tx.commit().await?;
        Ok(end)
    }

    async fn copy_failed(&self, copy: &PendingCopy) -> Result<CopyEnd> {
        let mut tx = self.write().await?;
        let end = failed(&mut tx, copy).await?;
        tx.commit().await?;
        Ok(end)
    }

    async fn copy_for(&self, device: DeviceId, blob: BlobHash) -> Result<Option<u64>> {
        allowed_size(&mut *self.read().await?, device, blob).await
    }

    async fn stored_among(&self, blobs: &[BlobHash]) -> Result<Vec<BlobHash>> {
        stored_of(&mut *self.read().await?, blobs).await
    }

    async fn stored_copies(&self, after: Option<BlobHash>) -> Result<Vec<(BlobHash, u64)>> {
        stored_page(&mut *self.read().await?, after).await
    }

    async fn copy_lost(&self, blob: BlobHash, now_ms: i64) -> Result<()> {
        let mut tx = self.write().await?;
        lost(&mut tx, blob, now_ms).await?;
        Ok(tx.commit().await?)
    }
}

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
        let verified: Option<i64> = sqlx::query_scalar("SELECT size FROM copies WHERE blob = $1 AND state = $2")
            .bind(rows::bytes(blob.as_bytes()))
            .bind(COPY_STORED)
            .fetch_optional(&mut *tx)
            .await?;
        if verified.is_some_and(|verified| verified.unsigned_abs() != size) {
            // The stored copy is verified, so this file's size is wrong, and a copy of it cannot exist.
            kept.count -= 1;
            continue;
        }
        let stored = effects::want(tx, me.account, (blob, size), now_ms).await?;
        if stored {
            kept.stored.push(rows::file_id(row, "id")?);
        }
        if !row.try_get::<bool, _>("copy")? {
            changed.push((row.try_get("no")?, row.try_get::<i64, _>("visibility")? < HIDDEN));
        }
        kept.effects.copies_wanted |= !stored;
    }
    kept.effects.seq = set_copy(tx, true, &changed).await?;
    let waiting: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM claims WHERE state = 0").fetch_one(tx).await?;
    if waiting > i64::try_from(COPIES_WAITING_MAX).unwrap_or(i64::MAX) {
        return Err(StoreError::TooManyCopies(COPIES_WAITING_MAX));
    }
    Ok(kept)
}

async fn drop(tx: &mut SqliteConnection, caller: &Caller, files: &[FileId]) -> Result<Withdrawn> {
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
    let effects = Effects { seq, ..effects::release(tx, blobs).await? };
    Ok(Withdrawn { count: found.len() as u64, effects })
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
    Ok(Effects { seq, ..released })
}

/// The owner wants these copies for good: the end of a request no longer takes them away.
async fn keep_for_good(tx: &mut SqliteConnection, files: &[FileId]) -> Result<()> {
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

async fn pending(connection: &mut SqliteConnection, after: Option<&PendingCopy>) -> Result<Vec<PendingCopy>> {
    let (asked_ms, blob, account, size) = after.map_or((i64::MIN, Vec::new(), Vec::new(), 0), |copy| {
        let account = rows::bytes(copy.account.as_bytes());
        (copy.asked_ms, rows::bytes(copy.blob.as_bytes()), account, i64::try_from(copy.size).unwrap_or(i64::MAX))
    });
    let found = sqlx::query(
        "SELECT k.blob AS blob, k.size AS size, k.asked_ms AS asked_ms, a.id AS account, c.state = 1 AS stored
         FROM claims k JOIN copies c ON c.blob = k.blob AND c.state < 2 JOIN accounts a ON a.no = k.account
         WHERE k.state = 0 AND (k.asked_ms, k.blob, k.account, k.size)
             > ($1, $2, COALESCE((SELECT no FROM accounts WHERE id = $3), 0), $4)
         ORDER BY k.asked_ms, k.blob, k.account, k.size LIMIT $5",
    )
    .bind(asked_ms)
    .bind(blob)
    .bind(account)
    .bind(size)
    .bind(COPY_PAGE_MAX)
    .fetch_all(&mut *connection)
    .await?;
    let mut copies = Vec::new();
    let mut place = BTreeMap::new();
    for row in &found {
        let (blob, size, account) =
            (rows::blob_hash(row, "blob")?, rows::count(row, "size")?, rows::account_id(row, "account")?);
        place.insert((blob, size, account), copies.len());
        let (asked_ms, stored) = (row.try_get("asked_ms")?, row.try_get("stored")?);
        copies.push(PendingCopy { blob, size, asked_ms, account, stored, devices: Vec::new() });
    }
    let blobs: BTreeSet<BlobHash> = place.keys().map(|(blob, ..)| *blob).collect();
    let holders = sqlx::query(
        "SELECT DISTINCT f.blob AS blob, f.size AS size, a.id AS account, d.id AS device
         FROM files f JOIN accounts a ON a.no = f.owner JOIN devices d ON d.account = f.owner AND d.active = 1
             AND (d.no = f.device OR d.no IN (SELECT h.device FROM holders h WHERE h.file = f.no))
         WHERE f.copy = 1 AND f.blob IN (SELECT unhex(value) FROM json_each($1))",
    )
    .bind(rows::hex_list(blobs.iter().map(|blob| blob.as_bytes().as_slice())))
    .fetch_all(connection)
    .await?;
    for row in &holders {
        let claim = (rows::blob_hash(row, "blob")?, rows::count(row, "size")?, rows::account_id(row, "account")?);
        if let Some(place) = place.get(&claim) {
            copies[*place].devices.push(rows::device_id(row, "device")?);
        }
    }
    Ok(copies)
}

async fn pending_claims(connection: &mut SqliteConnection, blob: BlobHash) -> Result<Vec<(AccountId, u64)>> {
    sqlx::query(
        "SELECT a.id AS account, k.size AS size FROM claims k JOIN accounts a ON a.no = k.account
         WHERE k.blob = $1 AND k.state = $2 ORDER BY a.no, k.size",
    )
    .bind(rows::bytes(blob.as_bytes()))
    .bind(CLAIM_PENDING)
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| Ok((rows::account_id(row, "account")?, rows::count(row, "size")?)))
    .collect()
}

async fn unwanted(connection: &mut SqliteConnection) -> Result<Vec<BlobHash>> {
    sqlx::query("SELECT blob FROM copies WHERE state = 2 ORDER BY asked_ms LIMIT $1")
        .bind(COPY_PAGE_MAX)
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| rows::blob_hash(row, "blob"))
        .collect()
}

async fn deleted(tx: &mut SqliteConnection, blob: BlobHash) -> Result<()> {
    sqlx::query("DELETE FROM copies WHERE blob = $1 AND state = $2")
        .bind(rows::bytes(blob.as_bytes()))
        .bind(COPY_UNWANTED)
        .execute(tx)
        .await?;
    Ok(())
}

async fn stored(tx: &mut SqliteConnection, copy: &PendingCopy) -> Result<CopyEnd> {
    let wanted = sqlx::query("UPDATE copies SET state = $2, size = $3 WHERE blob = $1 AND state < $4")
        .bind(rows::bytes(copy.blob.as_bytes()))
        .bind(COPY_STORED)
        .bind(i64::try_from(copy.size).unwrap_or(i64::MAX))
        .bind(COPY_UNWANTED)
        .execute(&mut *tx)
        .await?;
    let proved = sqlx::query(
        "UPDATE claims SET state = 1 WHERE blob = $1 AND size = $2 AND state = 0
         AND account = (SELECT no FROM accounts WHERE id = $3)",
    )
    .bind(rows::bytes(copy.blob.as_bytes()))
    .bind(i64::try_from(copy.size).unwrap_or(i64::MAX))
    .bind(rows::bytes(copy.account.as_bytes()))
    .execute(&mut *tx)
    .await?;
    if wanted.rows_affected() == 0 || proved.rows_affected() == 0 {
        return Ok(CopyEnd::default());
    }
    let mut claimants: Vec<i64> = sqlx::query_scalar("SELECT no FROM accounts WHERE id = $1")
        .bind(rows::bytes(copy.account.as_bytes()))
        .fetch_all(&mut *tx)
        .await?;
    claimants.extend(effects::settle(tx, copy.blob, None).await?);
    let (numbers, files) = files_of(tx, copy.blob, copy.size, &claimants).await?;
    Ok(CopyEnd { files, seq: touch(tx, &numbers).await? })
}

async fn failed(tx: &mut SqliteConnection, copy: &PendingCopy) -> Result<CopyEnd> {
    let claimant: Vec<i64> = sqlx::query_scalar(
        "SELECT a.no FROM claims k JOIN accounts a ON a.no = k.account
         WHERE k.blob = $1 AND k.size = $2 AND k.state = 0 AND a.id = $3",
    )
    .bind(rows::bytes(copy.blob.as_bytes()))
    .bind(i64::try_from(copy.size).unwrap_or(i64::MAX))
    .bind(rows::bytes(copy.account.as_bytes()))
    .fetch_all(&mut *tx)
    .await?;
    // What others claim stays: they may have it, or be right about its size.
    let (numbers, files) = files_of(tx, copy.blob, copy.size, &claimant).await?;
    let seq = set_copy(tx, false, &numbers).await?;
    effects::release(tx, [copy.blob]).await?;
    Ok(CopyEnd { files, seq })
}

/// The files of these members that want a copy of a content: row numbers with whether they are listed, ids with owners.
async fn files_of(
    tx: &mut SqliteConnection,
    blob: BlobHash,
    size: u64,
    accounts: &[i64],
) -> Result<(Vec<(i64, bool)>, Vec<(FileId, AccountId)>)> {
    let found = sqlx::query(
        "SELECT f.no, f.id AS id, f.visibility, a.id AS owner FROM files f JOIN accounts a ON a.no = f.owner
         WHERE f.copy = 1 AND f.blob = $1 AND f.size = $2 AND f.owner IN (SELECT value FROM json_each($3)) ORDER BY f.no",
    )
    .bind(rows::bytes(blob.as_bytes()))
    .bind(i64::try_from(size).unwrap_or(i64::MAX))
    .bind(rows::number_list(accounts.iter().copied()))
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

async fn allowed_size(connection: &mut SqliteConnection, device: DeviceId, blob: BlobHash) -> Result<Option<u64>> {
    // Whoever knows the id of a hidden file may fetch it; the grant says that the asker did.
    sqlx::query(concat!(
        "SELECT c.size AS size FROM copies c JOIN devices d ON d.id = $1 AND d.active = 1
         WHERE c.blob = $2 AND c.state = 1 AND EXISTS (
             SELECT 1 FROM files f JOIN claims k ON k.blob = f.blob AND k.account = f.owner AND k.size = f.size
             WHERE f.blob = c.blob AND f.size = c.size AND f.copy = 1 AND k.state = 1
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

async fn stored_of(connection: &mut SqliteConnection, blobs: &[BlobHash]) -> Result<Vec<BlobHash>> {
    sqlx::query("SELECT blob FROM copies WHERE state = 1 AND blob IN (SELECT unhex(value) FROM json_each($1))")
        .bind(rows::hex_list(blobs.iter().map(|blob| blob.as_bytes().as_slice())))
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| rows::blob_hash(row, "blob"))
        .collect()
}

async fn stored_page(connection: &mut SqliteConnection, after: Option<BlobHash>) -> Result<Vec<(BlobHash, u64)>> {
    sqlx::query("SELECT blob, size FROM copies WHERE state = 1 AND blob > $1 ORDER BY blob LIMIT $2")
        .bind(after.map_or(Vec::new(), |blob| rows::bytes(blob.as_bytes())))
        .bind(COPY_PAGE_MAX)
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| Ok((rows::blob_hash(row, "blob")?, rows::count(row, "size")?)))
        .collect()
}

async fn lost(tx: &mut SqliteConnection, blob: BlobHash, now_ms: i64) -> Result<()> {
    sqlx::query("UPDATE copies SET state = $2, asked_ms = $3 WHERE blob = $1 AND state = $4")
        .bind(rows::bytes(blob.as_bytes()))
        .bind(COPY_PENDING)
        .bind(now_ms)
        .bind(COPY_STORED)
        .execute(&mut *tx)
        .await?;
    let lost: Vec<(i64, i64)> =
        sqlx::query_as("UPDATE claims SET state = 0, asked_ms = $2 WHERE blob = $1 RETURNING account, size")
            .bind(rows::bytes(blob.as_bytes()))
            .bind(now_ms)
            .fetch_all(&mut *tx)
            .await?;
    for (account, size) in lost {
        let (numbers, _) = files_of(tx, blob, size.unsigned_abs(), &[account]).await?;
        touch(tx, &numbers).await?;
    }
    Ok(())
}
