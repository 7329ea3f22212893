//! From complete and verified to its final name: durable first, named then, nothing ever replaced. Blocking work.

use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64},
};

use shared::{
    id::{BlobHash, FileId},
    transfer::{
        hash::hash_file,
        jail::{EntryKind, Folder, Jail, JailError, Stamp},
    },
};

use crate::engine::state::PlannedFile;

/// A file with its final name.
#[derive(Debug, Clone)]
pub struct Landed {
    pub position: u64,
    pub file: FileId,
    pub name: String,
    pub blob: BlobHash,
    pub local: PathBuf,
    pub stamp: Option<Stamp>,
}

impl Landed {
    /// A planned file that lies there under this name.
    pub fn new(file: &PlannedFile, folder: &Folder, name: String) -> Self {
        let (local, stamp) = (folder.path().join(&name), stamp_of(folder, &name));
        Self { position: file.position, file: file.file, name, blob: file.blob, local, stamp }
    }
}

/// The folder that a planned file belongs into, and its name there.
pub fn home_of<'a>(jail: &Jail, file: &'a PlannedFile) -> Result<(Folder, &'a str), JailError> {
    match file.path.rsplit_once('/') {
        Some((folders, name)) => Ok((jail.folder(folders.split('/'))?, name)),
        None => Ok((jail.root(), &file.path)),
    }
}

/// Opens the folders of many files; files of one folder that follow one another share its handle.
#[derive(Debug)]
pub struct Homes<'a> {
    jail: &'a Jail,
    last: Option<(String, Folder)>,
}

impl<'a> Homes<'a> {
    /// For files below this folder.
    pub fn new(jail: &'a Jail) -> Self {
        Self { jail, last: None }
    }

    /// The folder that a planned file belongs into, and its name there.
    pub fn of<'f>(&mut self, file: &'f PlannedFile) -> Result<(Folder, &'f str), JailError> {
        let (folders, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        if let Some((last, folder)) = &self.last
            && last == folders
        {
            return Ok((folder.clone(), name));
        }
        let (folder, name) = home_of(self.jail, file)?;
        self.last = Some((folders.to_owned(), folder.clone()));
        Ok((folder, name))
    }
}

/// Gives a complete file its name: the wanted one, or a numbered one where that is taken.
pub fn publish(from: &Folder, temporary: &str, to: &Folder, wanted: &str) -> Result<String, JailError> {
    match from.publish(temporary, to, wanted) {
        Ok(()) => Ok(wanted.to_owned()),
        Err(JailError::Taken { .. }) => from.publish_numbered(temporary, to, wanted),
        Err(error) => Err(error),
    }
}

/// Whether exactly this content lies at its place already: fetched before, or just before a kill.
pub fn lies_there(folder: &Folder, name: &str, file: &PlannedFile) -> io::Result<bool> {
    let entry = folder.stat(name).map_err(io::Error::other)?;
    if !entry.is_some_and(|entry| entry.kind == EntryKind::File && entry.bytes == file.size) {
        return Ok(false);
    }
    // Read-only files can be compared too.
    let opened = File::open(folder.path().join(name))?;
    let hash = hash_file(&opened, file.size, None, &AtomicU64::new(0), &AtomicBool::new(false));
    Ok(hash.is_ok_and(|hash| hash == file.blob))
}

/// The state of a file that just got its name.
pub fn stamp_of(folder: &Folder, name: &str) -> Option<Stamp> {
    folder.stamp(name).ok().flatten()
}
