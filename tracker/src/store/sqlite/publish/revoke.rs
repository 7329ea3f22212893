//! Who serves files for which grants no longer count.

use super::*;

/// The devices whose share of a file narrowed: what runs under older grants must be asked for anew.
pub(super) async fn revoked_by(tx: &mut SqliteConnection, plans: &[Plan]) -> Result<Vec<(DeviceId, BlobHash)>> {
    let narrowed: BTreeMap<i64, BlobHash> = plans
        .iter()
        .filter_map(|plan| match plan {
            Plan::Changed { before, after } if before.narrows_to(after) => Some((before.no, before.blob)),
            Plan::Changed { .. } | Plan::New(_) | Plan::Unchanged(_) => None,
        })
        .collect();
    let mut revoked = Vec::new();
    for (device, file) in holders_of(tx, &narrowed.keys().copied().collect::<Vec<_>>()).await? {
        if let Some(blob) = narrowed.get(&file) {
            revoked.push((device, *blob));
        }
    }
    Ok(revoked)
}

/// Whoever serves these files, and the tracker, must be asked anew for what runs.
pub(in crate::store::sqlite) async fn revoke(
    tx: &mut SqliteConnection,
    effects: &mut Effects,
    files: &[FileId],
) -> Result<()> {
    let found = sqlx::query("SELECT no, blob, copy FROM files WHERE id IN (SELECT unhex(value) FROM json_each($1))")
        .bind(rows::hex_list(files.iter().map(|file| file.as_bytes().as_slice())))
        .fetch_all(&mut *tx)
        .await?;
    let mut blobs: BTreeMap<i64, BlobHash> = BTreeMap::new();
    for row in &found {
        let blob = rows::blob_hash(row, "blob")?;
        blobs.insert(row.try_get("no")?, blob);
        if row.try_get("copy")? {
            effects.narrowed.push(blob);
        }
    }
    for (device, file) in holders_of(tx, &blobs.keys().copied().collect::<Vec<_>>()).await? {
        effects.revoked.extend(blobs.get(&file).map(|blob| (device, *blob)));
    }
    Ok(())
}

/// Enrolled devices that share these files, as (device, file).
pub(super) async fn holders_of(tx: &mut SqliteConnection, files: &[i64]) -> Result<Vec<(DeviceId, i64)>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query(
        "SELECT d.id AS device, f.no AS file FROM files f JOIN devices d ON d.no = f.device AND d.active = 1
         WHERE f.no IN (SELECT value FROM json_each($1))
         UNION SELECT d.id, h.file FROM holders h JOIN devices d ON d.no = h.device AND d.active = 1
         WHERE h.file IN (SELECT value FROM json_each($1))",
    )
    .bind(rows::number_list(files.iter().copied()))
    .fetch_all(tx)
    .await?
    .iter()
    .map(|row| Ok((rows::device_id(row, "device")?, row.try_get("file")?)))
    .collect()
}
