//! Putting files into the index and taking them out.

use std::collections::{BTreeSet, HashSet};

use shared::{
    id::{DeviceId, FileId},
    limits::{CLOCK_SKEW, FILE_BYTES_MAX, GRANT_LIFE, NOTE_BYTES_MAX, PEOPLE_MAX, PUBLISH_ENTRIES_MAX},
    name::{FoldKey, IndexPath},
    wire::{
        protected::Lock,
        tracker::{Audience as Asked, Event, FileEntry, PublishEntry},
    },
};

use super::{Ctx, Error, Moment, account::member_name, apply, at_most, now_ms};
use crate::store::{Audience, Caller, Effects, Publication, Renaming, Store, StoreError};

/// Puts files into the index, or new versions of them; all or none.
///
/// # Errors
/// When an entry breaks a rule or another device of the member holds the path.
pub async fn publish(
    ctx: &Ctx,
    caller: &Caller,
    entries: Vec<(PublishEntry, Option<Lock>)>,
    now: Moment,
) -> Result<Vec<FileEntry>, Error> {
    at_most("entries in one request", entries.len(), PUBLISH_ENTRIES_MAX)?;
    let mut paths = HashSet::new();
    let mut checked = Vec::with_capacity(entries.len());
    for (entry, lock) in entries {
        let publication = check(caller, entry, lock)?;
        if !paths.insert(publication.fold.clone()) {
            return Err(Error::Bad("a path occurs twice in one request".to_owned()));
        }
        checked.push(publication);
    }
    let published = ctx.store.publish(caller, checked, now.ms()).await?;
    note_narrowed(ctx, &published.effects).await?;
    apply(ctx, caller, published.effects);
    Ok(published.files)
}

/// Gives the caller's files other paths.
///
/// # Errors
/// When a path breaks a rule or is taken, or another device of the member shares the file.
pub async fn rename(ctx: &Ctx, caller: &Caller, files: Vec<(FileId, String)>) -> Result<Vec<FileEntry>, Error> {
    at_most("files in one request", files.len(), PUBLISH_ENTRIES_MAX)?;
    let mut seen = (HashSet::new(), HashSet::new());
    let mut checked = Vec::with_capacity(files.len());
    for (file, path) in files {
        let parsed = IndexPath::parse(&path).map_err(|error| Error::Name { what: "a path".to_owned(), error })?;
        if !seen.0.insert(file) || !seen.1.insert(path.clone()) {
            return Err(Error::Bad("a file or a path occurs twice in one request".to_owned()));
        }
        checked.push(Renaming { file, search_text: search_text(&parsed, caller, ""), fold: path.clone(), path });
    }
    let published = ctx.store.rename(caller, checked).await?;
    apply(ctx, caller, published.effects);
    Ok(published.files)
}

/// Takes the caller's files out of the index.
///
/// # Errors
/// When there are too many at once.
pub async fn withdraw(ctx: &Ctx, caller: &Caller, files: &[FileId], now: Moment) -> Result<u64, Error> {
    at_most("files in one request", files.len(), PUBLISH_ENTRIES_MAX)?;
    let withdrawn = ctx.store.withdraw(caller, files, now.ms()).await?;
    note_narrowed(ctx, &withdrawn.effects).await?;
    apply(ctx, caller, withdrawn.effects);
    Ok(withdrawn.count)
}

/// Takes those of the caller's files out of the index that have no copy. Returns those that stay.
///
/// # Errors
/// When there are too many at once.
pub async fn vanish(ctx: &Ctx, caller: &Caller, files: &[FileId], now: Moment) -> Result<Vec<FileId>, Error> {
    at_most("files in one request", files.len(), PUBLISH_ENTRIES_MAX)?;
    let vanished = ctx.store.vanish(caller, files, now.ms()).await?;
    note_narrowed(ctx, &vanished.effects).await?;
    apply(ctx, caller, vanished.effects);
    Ok(vanished.kept)
}

/// Writes down whose grants were withdrawn: a source that is not connected now hears it when it comes back. The time is
/// that after the change, so that no grant by the old rules is younger.
async fn note_narrowed(ctx: &Ctx, effects: &Effects) -> Result<(), Error> {
    let mut devices: BTreeSet<DeviceId> = effects.revoked.iter().map(|(device, _)| *device).collect();
    if devices.is_empty() {
        return Ok(());
    }
    let blobs = effects.revoked.iter().map(|(_, blob)| *blob).collect();
    devices.extend(ctx.roster.holders_among(&blobs).into_iter().map(|(device, _)| device));
    Ok(ctx.store.note_narrowed(&Vec::from_iter(devices), now_ms()).await?)
}

/// What a device is told of that when it begins to listen, if grants from before may still be about.
///
/// # Errors
/// When the store fails.
pub async fn withdrawn(store: &dyn Store, device: DeviceId, now_ms: i64) -> Result<Option<Event>, StoreError> {
    let memory_ms = i64::try_from((GRANT_LIFE + CLOCK_SKEW * 2).as_millis()).unwrap_or(i64::MAX);
    let before_ms = store.narrowed(device).await?.filter(|at| now_ms.saturating_sub(*at) < memory_ms);
    // By a clock that was turned back since, it would be in the future.
    Ok(before_ms.map(|before_ms| Event::GrantsWithdrawn { before_ms: before_ms.min(now_ms) }))
}

fn check(caller: &Caller, entry: PublishEntry, lock: Option<Lock>) -> Result<Publication, Error> {
    let path = IndexPath::parse(&entry.path).map_err(|error| Error::Name { what: "a path".to_owned(), error })?;
    if entry.size > FILE_BYTES_MAX {
        return Err(Error::TooMuch { what: "bytes of a file", most: FILE_BYTES_MAX });
    }
    if let Some(note) = &entry.note {
        at_most("bytes of a note", note.len(), NOTE_BYTES_MAX)?;
    }
    // Two files may differ only in case, as on the owner's disk; only searching looks past that.
    let fold = entry.path.clone();
    Ok(Publication {
        fresh_id: FileId(rand::random()),
        search_text: search_text(&path, caller, entry.note.as_deref().unwrap_or_default()),
        path: entry.path,
        fold,
        blob: entry.blob,
        size: entry.size,
        modified_ms: entry.modified_ms,
        executable: entry.executable,
        audience: entry.audience.map(audience).transpose()?,
        note: entry.note,
        lock,
    })
}

/// What a file is searched by.
fn search_text(path: &IndexPath, caller: &Caller, note: &str) -> String {
    let (owner, note) = (FoldKey::of(&caller.name), FoldKey::of(note));
    format!("{}\n{}\n{}", path.fold_key().as_str(), owner.as_str(), note.as_str())
}

fn audience(asked: Asked) -> Result<Audience, Error> {
    Ok(match asked {
        Asked::Public => Audience::Public,
        Asked::Ask => Audience::Ask,
        Asked::Hidden => Audience::Hidden,
        Asked::People(names) => {
            at_most("people for one file", names.len(), PEOPLE_MAX)?;
            let people = names
                .into_iter()
                .map(|typed| Ok((member_name("a member's name", &typed)?.key().as_str().to_owned(), typed)))
                .collect::<Result<_, Error>>()?;
            Audience::People(people)
        }
    })
}
