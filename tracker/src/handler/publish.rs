//! Putting files into the index and taking them out.

use std::collections::HashSet;

use shared::{
    id::FileId,
    limits::{FILE_BYTES_MAX, NOTE_BYTES_MAX, PEOPLE_MAX, PUBLISH_ENTRIES_MAX},
    name::{FoldKey, IndexPath},
    wire::tracker::{Audience as Asked, FileEntry, PublishEntry},
};

use super::{Ctx, Error, Moment, account::member_name, apply, at_most};
use crate::store::{Audience, Caller, Publication};

/// Puts files into the index, or new versions of them; all or none.
///
/// # Errors
/// When an entry breaks a rule or another device of the member holds the path.
pub async fn publish(
    ctx: &Ctx,
    caller: &Caller,
    entries: Vec<PublishEntry>,
    now: Moment,
) -> Result<Vec<FileEntry>, Error> {
    at_most("entries in one request", entries.len(), PUBLISH_ENTRIES_MAX)?;
    let mut paths = HashSet::new();
    let mut checked = Vec::with_capacity(entries.len());
    for entry in entries {
        let publication = check(caller, entry)?;
        if !paths.insert(publication.fold.clone()) {
            return Err(Error::Bad("a path occurs twice in one request".to_owned()));
        }
        checked.push(publication);
    }
    let published = ctx.store.publish(caller, checked, now.ms()).await?;
    apply(ctx, caller, published.effects);
    Ok(published.files)
}

/// Takes the caller's files out of the index.
///
/// # Errors
/// When there are too many at once.
pub async fn withdraw(ctx: &Ctx, caller: &Caller, files: &[FileId]) -> Result<u64, Error> {
    at_most("files in one request", files.len(), PUBLISH_ENTRIES_MAX)?;
    let withdrawn = ctx.store.withdraw(caller, files).await?;
    apply(ctx, caller, withdrawn.effects);
    Ok(withdrawn.count)
}

/// Takes those of the caller's files out of the index that have no copy. Returns those that stay.
///
/// # Errors
/// When there are too many at once.
pub async fn vanish(ctx: &Ctx, caller: &Caller, files: &[FileId]) -> Result<Vec<FileId>, Error> {
    at_most("files in one request", files.len(), PUBLISH_ENTRIES_MAX)?;
    let vanished = ctx.store.vanish(caller, files).await?;
    apply(ctx, caller, vanished.effects);
    Ok(vanished.kept)
}

fn check(caller: &Caller, entry: PublishEntry) -> Result<Publication, Error> {
    let path = IndexPath::parse(&entry.path).map_err(|error| Error::Name { what: "a path".to_owned(), error })?;
    if entry.size > FILE_BYTES_MAX {
        return Err(Error::TooMuch { what: "bytes of a file", most: FILE_BYTES_MAX });
    }
    if let Some(note) = &entry.note {
        at_most("bytes of a note", note.len(), NOTE_BYTES_MAX)?;
    }
    // Two files may differ only in case, as on the owner's disk; only searching looks past that.
    let fold = entry.path.clone();
    let owner = FoldKey::of(&caller.name);
    let note = FoldKey::of(entry.note.as_deref().unwrap_or_default());
    Ok(Publication {
        fresh_id: FileId(rand::random()),
        search_text: format!("{}\n{}\n{}", path.fold_key().as_str(), owner.as_str(), note.as_str()),
        path: entry.path,
        fold,
        blob: entry.blob,
        size: entry.size,
        modified_ms: entry.modified_ms,
        executable: entry.executable,
        audience: entry.audience.map(audience).transpose()?,
        note: entry.note,
    })
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
