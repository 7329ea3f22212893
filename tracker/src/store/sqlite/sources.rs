//! Who has what: permissions, devices and copies behind a file.

use std::collections::{BTreeMap, HashMap};

use shared::{
    id::{AccountId, BlobHash, DeviceId, FileId},
    wire::tracker::{CopyState, FileDetail, SourceEntry, VersionEntry},
};
use sqlx::{Row, SqliteConnection};

use super::{
    Me, Result, browse, me,
    rows::{self, ASK, HIDDEN, PEOPLE, PUBLIC, listed},
};
use crate::store::{Caller, StoreError, Whereabouts};

/// Whether the account numbered `$1` may fetch the file without asking. Of hidden files only those asked by id count.
macro_rules! fetchable {
    () => {
        " (f.visibility = 0 OR (f.visibility < 3 AND f.owner = $1)
           OR (f.visibility = 2 AND EXISTS (SELECT 1 FROM people p WHERE p.file = f.no AND p.account = $1))) "
    };
}

/// A content of this size: a member who lies about the size is no source for the others.
type Content = (BlobHash, u64);

/// Devices that share a content, and whether a copy of it is stored.
#[derive(Debug, Default)]
struct Sources {
    devices: BTreeMap<DeviceId, AccountId>,
    copy: bool,
}

pub(super) async fn locate(
    connection: &mut SqliteConnection,
    caller: &Caller,
    files: &[FileId],
) -> Result<Vec<Whereabouts>> {
    let me = me(connection, caller).await?;
    let found = sqlx::query(
        "SELECT f.id, f.blob, f.size, f.visibility, f.owner = $1 AS own,
                EXISTS (SELECT 1 FROM people p WHERE p.file = f.no AND p.account = $1) AS named
         FROM files f WHERE f.id IN (SELECT unhex(value) FROM json_each($2))",
    )
    .bind(me.account)
    .bind(rows::hex_list(files.iter().map(|file| file.as_bytes().as_slice())))
    .fetch_all(&mut *connection)
    .await?;
    let mut allowed: HashMap<FileId, Content> = HashMap::new();
    let mut must_ask = Vec::new();
    for row in &found {
        let id = rows::file_id(row, "id")?;
        let own: bool = row.try_get("own")?;
        let may = match row.try_get("visibility")? {
            PUBLIC | HIDDEN => true,
            PEOPLE => own || row.try_get("named")?,
            ASK if own => true,
            ASK => {
                must_ask.push(id);
                false
            }
            _ => return Err(StoreError::Corrupt("visibility")),
        };
        if may {
            allowed.insert(id, (rows::blob_hash(row, "blob")?, rows::count(row, "size")?));
        }
    }
    let sources = sources_of(connection, me, &allowed).await?;
    let whereabouts = |file: &FileId| match allowed.get(file) {
        Some(content) => {
            let sources = sources.get(content);
            Whereabouts::Allowed {
                file: *file,
                blob: content.0,
                size: content.1,
                devices: sources.iter().flat_map(|found| found.devices.iter().map(|(d, a)| (*d, *a))).collect(),
                copy: sources.is_some_and(|found| found.copy),
            }
        }
        None if must_ask.contains(file) => Whereabouts::MustAsk(*file),
        None => Whereabouts::Unknown(*file),
    };
    Ok(files.iter().map(whereabouts).collect())
}

/// The sources of these contents that the caller may use: shares that are open to it, and the files asked by id.
async fn sources_of(
    connection: &mut SqliteConnection,
    me: Me,
    files: &HashMap<FileId, Content>,
) -> Result<HashMap<Content, Sources>> {
    let found = sqlx::query(concat!(
        "WITH usable AS (
             SELECT f.no, f.blob, f.size, f.device, f.owner, f.copy FROM files f
             WHERE f.blob IN (SELECT unhex(value) FROM json_each($2))
             AND (f.id IN (SELECT unhex(value) FROM json_each($3)) OR ",
        fetchable!(),
        ")),
         held AS (
             SELECT blob, size, device, owner, copy FROM usable
             UNION SELECT u.blob, u.size, h.device, u.owner, u.copy FROM usable u JOIN holders h ON h.file = u.no)
         SELECT DISTINCT held.blob AS blob, held.size AS size, d.id AS device, a.id AS account,
                (held.copy = 1 AND c.state = 1) AS copied
         FROM held JOIN accounts a ON a.no = held.owner
         LEFT JOIN devices d ON d.no = held.device AND d.account = held.owner AND d.active = 1
         LEFT JOIN copies c ON c.blob = held.blob AND c.size = held.size"
    ))
    .bind(me.account)
    .bind(rows::hex_list(files.values().map(|(blob, _)| blob.as_bytes().as_slice())))
    .bind(rows::hex_list(files.keys().map(|file| file.as_bytes().as_slice())))
    .fetch_all(connection)
    .await?;
    let mut sources: HashMap<Content, Sources> = HashMap::new();
    for row in &found {
        let content = (rows::blob_hash(row, "blob")?, rows::count(row, "size")?);
        let entry = sources.entry(content).or_default();
        entry.copy |= row.try_get::<Option<bool>, _>("copied")?.unwrap_or(false);
        if row.try_get::<Option<&[u8]>, _>("device")?.is_some() {
            entry.devices.insert(rows::device_id(row, "device")?, rows::account_id(row, "account")?);
        }
    }
    Ok(sources)
}

pub(super) async fn inspect(
    connection: &mut SqliteConnection,
    caller: &Caller,
    file: FileId,
) -> Result<Option<FileDetail>> {
    let me = me(connection, caller).await?;
    let Some(row) = browse::file_row(connection, me, file).await? else { return Ok(None) };
    let found = sqlx::query(concat!(
        "SELECT DISTINCT d.id AS device, a.name AS member FROM files f JOIN accounts a ON a.no = f.owner
         JOIN devices d ON d.account = f.owner AND d.active = 1
             AND (d.no = f.device OR d.no IN (SELECT h.device FROM holders h WHERE h.file = f.no))
         WHERE f.blob = $2 AND f.size = $3 AND (f.id = $4 OR",
        listed!(),
        ") ORDER BY a.name_key, d.no LIMIT 100"
    ))
    .bind(me.account)
    .bind(rows::bytes(row.entry.blob.as_bytes()))
    .bind(i64::try_from(row.entry.size).unwrap_or(i64::MAX))
    .bind(rows::bytes(file.as_bytes()))
    .fetch_all(&mut *connection)
    .await?;
    let mut sources = found
        .iter()
        .map(|source| {
            Ok(SourceEntry::Device {
                member: source.try_get("member")?,
                device: rows::device_id(source, "device")?,
                online: false,
                have: row.entry.size,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    if row.entry.copy == CopyState::Stored {
        sources.push(SourceEntry::Copy { have: row.entry.size });
    }
    let mut versions = vec![VersionEntry {
        version: row.entry.version,
        blob: row.entry.blob,
        size: row.entry.size,
        shared_ms: row.entry.shared_ms,
    }];
    let older =
        sqlx::query("SELECT version, blob, size, shared_ms FROM versions WHERE file = $1 ORDER BY version DESC")
            .bind(row.no)
            .fetch_all(connection)
            .await?;
    for version in &older {
        versions.push(VersionEntry {
            version: version.try_get("version")?,
            blob: rows::blob_hash(version, "blob")?,
            size: rows::count(version, "size")?,
            shared_ms: version.try_get("shared_ms")?,
        });
    }
    Ok(Some(FileDetail { entry: row.entry, sources, versions }))
}
