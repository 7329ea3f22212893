//! What should lie at a place of this device: what is shared from there, or was fetched to it.

use std::path::{Path, PathBuf};

use shared::{id::BlobHash, limits::PAGE_ENTRIES_MAX, show::show_line, wire::tracker::Item};

use super::resolve;
use crate::engine::{
    api::{Failure, FailureKind, KnownRow, Target, Verified, Verify},
    core::Core,
    failure, link, verify,
};

/// What is known of a place, which is given as an absolute path.
pub async fn at(core: &Core, path: &Path) -> Result<Option<KnownRow>, Failure> {
    let canonical = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if let Some(known) = shared_at(core, &canonical).await? {
        return Ok(Some(known));
    }
    for place in [path, &canonical] {
        if let Some((hash, size)) = core.state.fetched_at(place).await.map_err(failure::unexpected)? {
            let known = KnownRow { hash, size, item: None };
            return Ok(Some(KnownRow { item: item_of(core, place, &known).await?, ..known }));
        }
    }
    Ok(None)
}

async fn shared_at(core: &Core, path: &Path) -> Result<Option<KnownRow>, Failure> {
    for share in core.state.shares().await.map_err(failure::unexpected)? {
        let Ok(below) = path.strip_prefix(&share.local) else { continue };
        let Some(below) = below.to_str() else { continue };
        let relative = share.folder.then_some(below);
        if let Some(file) = core.state.shared_at(share.id, relative).await.map_err(failure::unexpected)? {
            if let Some(sealed) = &file.sealed {
                // What lies there is not what the index has.
                return Ok(Some(KnownRow { hash: sealed.plain, size: file.stamp.size, item: None }));
            }
            let item = file.file.map(|id| id.to_string());
            return Ok(Some(KnownRow { hash: file.blob, size: file.stamp.size, item }));
        }
    }
    Ok(None)
}

/// The file of the index that was fetched to a place, or any other with the same content.
async fn item_of(core: &Core, place: &Path, known: &KnownRow) -> Result<Option<String>, Failure> {
    let rows = core.transfers.rows();
    let fetched = rows.into_iter().rfind(|row| row.hash == Some(known.hash) && row.path == place);
    if let Some(row) = fetched {
        return Ok(Some(row.item));
    }
    let mut after = None;
    loop {
        let page = core.state.index_page(after, PAGE_ENTRIES_MAX as u32).await.map_err(failure::unexpected)?;
        if let Some(entry) = page.iter().find(|entry| entry.blob == known.hash) {
            return Ok(Some(entry.id.to_string()));
        }
        if page.len() < PAGE_ENTRIES_MAX {
            return Ok(None);
        }
        after = page.last().map(|entry| entry.id);
    }
}

/// Reads a file of this device and compares it with what it should be.
pub async fn verify(core: &Core, what: Verify) -> Result<Verified, Failure> {
    let path = match what {
        Verify::At(path) => path,
        Verify::Content(blob) => match place_of(core, blob).await? {
            Some(path) => path,
            None => return Err(not_known("this device does not have it", "fetch it; what is fetched is verified")),
        },
    };
    let name = show_line(&path.to_string_lossy(), 200);
    let Some(expected) = at(core, &path).await? else {
        let message = format!("{name} was not fetched by this profile and is not shared from it");
        return Err(not_known(&message, "`swapmeet verify PATH ID` compares it with any file of the index"));
    };
    let should = verify::Expected { hash: expected.hash, size: Some(expected.size) };
    let trees = core.profile.state.join("trees");
    let examined = verify::examine(path.clone(), Some(should), trees).await.map_err(|error| {
        let hint = "look whether it is still there and may be read";
        Failure::new(FailureKind::Transfer, "unreadable", format!("{name} cannot be read: {error}"), hint)
    })?;
    Ok(Verified { path, size: examined.size, hash: examined.hash, expected, bad: examined.bad })
}

/// Where this device has a content: where it is shared from, else where it was fetched to and still lies.
async fn place_of(core: &Core, blob: BlobHash) -> Result<Option<PathBuf>, Failure> {
    if let Some((root, below)) = core.catalog.places(&blob).into_iter().next() {
        return Ok(Some(below.map_or_else(|| root.to_path_buf(), |below| root.join(&*below))));
    }
    let places = core.state.fetched_places(&[blob]).await.map_err(failure::unexpected)?;
    Ok(places.into_iter().rev().map(|(_, path)| path).find(|path| path.exists()))
}

fn not_known(message: &str, hint: &str) -> Failure {
    Failure::new(FailureKind::NotFound, "not_known", message, hint)
}

/// The file of the index that should lie at a target.
pub async fn item_at(core: &Core, target: &Target) -> Result<String, Failure> {
    let Target::File(path) = target else {
        return Err(Failure::new(FailureKind::Usage, "no_file", "no file was named to repair", "get --repair FILE"));
    };
    let name = show_line(&path.to_string_lossy(), 200);
    let Some(KnownRow { hash, item, .. }) = at(core, path).await? else {
        let message = format!("{name} was not fetched by this profile and is not shared from it");
        return Err(not_known(&message, "name what it should be: get ID --repair PATH"));
    };
    let Some(item) = item else {
        let message = format!("nobody shares any more what {name} should be");
        return Err(not_known(&message, "`swapmeet search` may find it under another name: get ID --repair PATH"));
    };
    match resolve(core, link::parse_item(&item)?).await? {
        // What is protected is another content than what was in it; it is told apart where it is to be fetched.
        Item::File(entry) if entry.blob == hash || entry.protected => Ok(item),
        Item::File(_) | Item::Folder(_) => Err(Failure::new(
            FailureKind::Conflict,
            "other_version",
            format!("there is a newer version of {name}, and nothing of the one that was here"),
            format!("to have the newer one in its place: get {item} --repair PATH"),
        )),
    }
}
