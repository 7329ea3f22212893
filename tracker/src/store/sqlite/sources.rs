//! Who has what: permissions, devices and copies behind a file.

use std::collections::BTreeMap;

use shared::{
    id::{AccountId, BlobHash, DeviceId, FileId},
    wire::tracker::{CopyState, FileDetail, SourceEntry, VersionEntry},
};
use sqlx::{Row, SqliteConnection};

use super::{
    Me, Result, browse,
    locks::{closed, locks_it},
    me,
    rows::{self, ASK, HIDDEN, OFFERED, PEOPLE, PUBLIC, approved, fetchable_by, hidden_from_me, listed},
};
use crate::store::{Caller, StoreError, Whereabouts};

/// Devices that share a content, and whether a copy of it is stored.
#[derive(Debug, Default, Clone)]
struct Sources {
    devices: BTreeMap<DeviceId, AccountId>,
    copy: bool,
}

/// What one file that was asked for is: its place in the question, blob, size, visibility, whether it is the asker's
/// own, whether the asker is among its people, whether a request or an offer lets the asker have it, and whether a
/// password is to be proved first.
type Asked = (usize, BlobHash, u64, i64, i64, i64, i64, i64);

pub(super) async fn locate(
    connection: &mut SqliteConnection,
    caller: &Caller,
    files: &[FileId],
) -> Result<Vec<Whereabouts>> {
    let me = me(connection, caller).await?;
    let found = sqlx::query(concat!(
        "SELECT '[' || group_concat(json_array(w.key, lower(hex(f.blob)), f.size, f.visibility, f.owner = $1,
             EXISTS (SELECT 1 FROM people p WHERE p.file = f.no AND p.account = $1), f.visibility > 0 AND",
        approved!(),
        ",",
        closed!("$1", "$3"),
        ")) || ']' FROM json_each($2) w CROSS JOIN files f ON f.id = unhex(w.value) AND f.owner NOT IN",
        hidden_from_me!(),
    ))
    .bind(me.account)
    .bind(rows::hex_list(files.iter().map(|file| file.as_bytes().as_slice())))
    .bind(me.device)
    .fetch_one(&mut *connection)
    .await?;
    let mut whereabouts: Vec<Whereabouts> = files.iter().map(|file| Whereabouts::Unknown(*file)).collect();
    let mut allowed = Vec::new();
    for (place, blob, size, visibility, own, named, approved, closed) in
        rows::json_rows::<Asked>(found.try_get(0)?, "files")?
    {
        let (Some(file), Some(answer)) = (files.get(place), whereabouts.get_mut(place)) else { continue };
        let may = match visibility {
            PUBLIC | HIDDEN => true,
            PEOPLE => own != 0 || named != 0 || approved != 0,
            OFFERED => approved != 0,
            ASK if own != 0 || approved != 0 => true,
            ASK => {
                *answer = Whereabouts::MustAsk(*file);
                false
            }
            _ => return Err(StoreError::Corrupt("visibility")),
        };
        if may && closed != 0 {
            *answer = Whereabouts::Closed(*file);
        } else if may {
            allowed.push((place, *file, blob, size));
        }
    }
    let asked: Vec<FileId> = allowed.iter().map(|(_, file, ..)| *file).collect();
    let sources = sources_of(connection, me, &asked).await?;
    for ((place, file, blob, size), Sources { devices, copy }) in allowed.into_iter().zip(sources) {
        whereabouts[place] = Whereabouts::Allowed { file, blob, size, devices: devices.into_iter().collect(), copy };
    }
    Ok(whereabouts)
}

/// The sources of these files' contents that the caller may use: the files themselves, which it may have, and shares of
/// the same content that are open to it. A member who lies about the size is no source for the others. In the order of
/// the files.
async fn sources_of(connection: &mut SqliteConnection, me: Me, files: &[FileId]) -> Result<Vec<Sources>> {
    let mut sources = vec![Sources::default(); files.len()];
    // One row for each source, not for each file: most files of a request have the same.
    let found = sqlx::query(concat!(
        "SELECT d.id AS device, a.id AS account, u.copied AS copied, '[' || group_concat(u.place) || ']' AS places
         FROM (SELECT w.key AS place, f.no AS no, f.owner AS owner, f.device AS device,
                   f.copy = 1 AND EXISTS (SELECT 1 FROM claims c WHERE c.blob = f.blob AND c.account = f.owner
                       AND c.size = f.size AND c.state = 1)
                       AS copied
               FROM json_each($2) w CROSS JOIN files o ON o.id = unhex(w.value)
               CROSS JOIN files f ON f.blob = o.blob AND f.size = o.size
               WHERE f.no = o.no OR",
        fetchable_by!("$1"),
        ") u JOIN accounts a ON a.no = u.owner
         LEFT JOIN devices d ON d.account = u.owner AND d.active = 1
             AND (d.no = u.device OR EXISTS (SELECT 1 FROM holders h WHERE h.file = u.no AND h.device = d.no))
         GROUP BY a.no, d.no, u.copied"
    ))
    .bind(me.account)
    .bind(rows::hex_list(files.iter().map(|file| file.as_bytes().as_slice())))
    .fetch_all(connection)
    .await?;
    for row in &found {
        let copied: bool = row.try_get("copied")?;
        let device = match row.try_get::<Option<&[u8]>, _>("device")? {
            Some(_) => Some((rows::device_id(row, "device")?, rows::account_id(row, "account")?)),
            None => None,
        };
        for place in rows::json_rows::<usize>(row.try_get("places")?, "places")? {
            let Some(entry) = sources.get_mut(place) else { continue };
            entry.copy |= copied;
            entry.devices.extend(device);
        }
    }
    Ok(sources)
}

/// Whether the caller may fetch a listed file without anybody's yes.
pub(super) async fn is_open_to(connection: &mut SqliteConnection, me: Me, file: i64) -> Result<bool> {
    let open = concat!("SELECT EXISTS (SELECT 1 FROM files f WHERE f.no = $2 AND", fetchable_by!("$1"), ")");
    Ok(sqlx::query_scalar(open).bind(me.account).bind(file).fetch_one(connection).await?)
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
