//! What a look at the disk found against what is noted, and how it is told to the tracker: plain calls.

use std::collections::HashMap;

use shared::{
    limits::{PUBLISH_ENTRIES_MAX, REQUEST_BYTES_MAX},
    wire::{
        protected::{ProtectedEntry, ProtectedRequest},
        tracker::{Audience, PublishEntry, Request},
    },
};

use super::edits::Decisions;
use crate::engine::{
    scan::{Found, Hashed, Walk},
    state::{ShareRecord, SharedFile},
};

/// What one look at a share found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// Files that are as noted.
    pub(super) keep: u64,
    /// Files to hash, new and changed.
    pub(super) hash: Vec<Found>,
    /// How many of these are new.
    pub(super) added: u64,
    /// Noted files that are gone from the disk.
    pub(super) gone: Vec<SharedFile>,
    /// What could not be shared, and why.
    pub(super) troubles: Vec<String>,
}

/// Where a file of a share stands in the index.
pub(super) fn index_path(name: &str, found: &Found) -> String {
    match &found.relative {
        Some(relative) => format!("{name}/{}", relative.as_str()),
        None => name.to_owned(),
    }
}

/// Compares the disk with what is noted. `None`: the folder is empty though files of it are noted. That is what the
/// mount point of a drive looks like that is not there; whoever emptied it on purpose can unshare it.
pub(super) fn compare(record: &ShareRecord, known: &[SharedFile], walked: Walk) -> Option<Difference> {
    if record.folder && walked.files.is_empty() && !known.is_empty() {
        return None;
    }
    let mut before: HashMap<&str, &SharedFile> = known.iter().map(|file| (file.path.as_str(), file)).collect();
    let mut difference = Difference { troubles: walked.troubles, ..Difference::default() };
    for found in walked.files {
        match before.remove(index_path(&record.name, &found).as_str()) {
            Some(file) if file.stamp == found.stamp && file.executable == found.executable => difference.keep += 1,
            Some(_) => difference.hash.push(found),
            None => {
                difference.added += 1;
                difference.hash.push(found);
            }
        }
    }
    if !walked.unreadable {
        // What cannot be seen is not gone.
        difference.gone = before.into_values().cloned().collect();
    }
    Some(difference)
}

/// A hashed file as it is noted. The same content keeps its id: only the stamp moved.
pub(super) fn note(record: &ShareRecord, before: &HashMap<&str, &SharedFile>, hashed: Hashed) -> SharedFile {
    let path = index_path(&record.name, &hashed.found);
    let same = before.get(path.as_str()).filter(|file| {
        file.blob == hashed.blob
            && file.executable == hashed.found.executable
            && file.stamp.modified_ns == hashed.found.stamp.modified_ns
    });
    SharedFile {
        file: same.and_then(|file| file.file),
        path,
        relative: hashed.found.relative.map(|relative| relative.as_str().to_owned()),
        blob: hashed.blob,
        stamp: hashed.found.stamp,
        executable: hashed.found.executable,
        sealed: None,
    }
}

/// Files as they are published: all of them encrypted, or none.
pub(super) fn publish_request(decisions: &Decisions, files: &[SharedFile]) -> Request {
    let sealed = files.iter().map(|file| file.sealed.as_ref().map(|sealed| (file, sealed.lock)));
    match sealed.collect::<Option<Vec<_>>>() {
        Some(sealed) if !sealed.is_empty() => {
            let entry = |(file, lock)| ProtectedEntry { entry: publish_entry(decisions, file), lock };
            let entries = sealed.into_iter().map(entry).collect();
            Request::Protected(ProtectedRequest::Publish { entries })
        }
        _ => Request::Publish { entries: files.iter().map(|file| publish_entry(decisions, file)).collect() },
    }
}

/// A noted file as it is published.
fn publish_entry(decisions: &Decisions, file: &SharedFile) -> PublishEntry {
    PublishEntry {
        path: file.path.clone(),
        blob: file.blob,
        size: file.served_bytes(),
        modified_ms: file.stamp.modified_ns.div_euclid(1_000_000),
        executable: file.executable,
        audience: decisions.audience(&file.path).cloned(),
        note: decisions.note(&file.path).cloned(),
    }
}

/// Requests stay below their limit in entries and in bytes.
pub(super) fn batches(files: Vec<SharedFile>, decisions: &Decisions) -> Vec<Vec<SharedFile>> {
    let people = |path: &str| match decisions.audience(path) {
        Some(Audience::People(names)) => names.iter().map(|name| name.len() + 4).sum(),
        _ => 0,
    };
    let mut all: Vec<Vec<SharedFile>> = Vec::new();
    let mut bytes = 0;
    for file in files {
        let note = decisions.note(&file.path).map_or(0, String::len);
        let cost = 160 + people(&file.path) + note + file.path.len();
        match all.last_mut() {
            Some(batch) if batch.len() < PUBLISH_ENTRIES_MAX && bytes + cost < REQUEST_BYTES_MAX * 3 / 4 => {
                bytes += cost;
                batch.push(file);
            }
            _ => {
                bytes = cost;
                all.push(vec![file]);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use shared::{id::BlobHash, name::IndexPath, transfer::jail::Stamp};

    use super::*;

    fn stamp(size: u64) -> Stamp {
        Stamp { size, modified_ns: 1, inode: 1, device: 1, changed_ns: 1 }
    }

    fn found(path: &str, size: u64) -> Found {
        Found { relative: Some(IndexPath::parse(path).unwrap()), stamp: stamp(size), executable: false }
    }

    fn noted(path: &str, size: u64) -> SharedFile {
        SharedFile {
            file: None,
            path: format!("rushes/{path}"),
            relative: Some(path.to_owned()),
            blob: BlobHash([1; 32]),
            stamp: stamp(size),
            executable: false,
            sealed: None,
        }
    }

    fn rushes() -> ShareRecord {
        let local = "/rushes".into();
        ShareRecord {
            id: 1,
            name: "rushes".to_owned(),
            local,
            folder: true,
            audience: None,
            note: None,
            protected: false,
        }
    }

    #[test]
    fn new_changed_and_gone_files_are_told_apart() {
        let known = [noted("a", 1), noted("b", 1), noted("c", 1)];
        let walked = Walk { files: vec![found("a", 1), found("b", 2), found("d", 1)], ..Walk::default() };
        let difference = compare(&rushes(), &known, walked).unwrap();
        assert_eq!((difference.keep, difference.added), (1, 1));
        assert_eq!(difference.hash, [found("b", 2), found("d", 1)]);
        assert_eq!(difference.gone, [noted("c", 1)]);
    }

    #[test]
    fn what_cannot_be_seen_is_not_gone() {
        let walked = Walk { files: vec![found("a", 1)], unreadable: true, ..Walk::default() };
        let difference = compare(&rushes(), &[noted("a", 1), noted("sub/b", 1)], walked).unwrap();
        assert!(difference.gone.is_empty());
    }

    #[test]
    fn an_empty_mount_point_takes_nothing_out_of_the_index() {
        assert_eq!(compare(&rushes(), &[noted("a", 1)], Walk::default()), None);
        assert_eq!(compare(&rushes(), &[], Walk::default()), Some(Difference::default()));
    }
}
