//! Where a transfer's small files lie until they get their names: a hidden folder beside them, with a folder for every
//! few files, because file systems search short folders fastest. Blocking work.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, PoisonError},
};

use shared::{
    content::{Layout, ParentNode},
    limits::STAGING_FOLDER_FILES,
    transfer::{
        jail::{EntryKind, Folder, Jail, JailError, finish_metadata},
        lane::Sink,
    },
};

use super::{
    PART_SUFFIX, Transfer,
    land::{self, Homes, Landed},
    work::jail_failure,
};
use crate::engine::{api::Failure, state::PlannedFile};

/// The folder where the small files of a transfer wait. Clones share it.
#[derive(Debug, Clone)]
pub struct Staging {
    root: Folder,
    /// The folder used last, with its number: files mostly come in order.
    last: Arc<Mutex<Option<(u64, Folder)>>>,
}

impl Staging {
    /// Opens the staging folder of a transfer and makes it if it is missing.
    pub fn open(jail: &Jail, transfer: &Transfer) -> Result<Self, JailError> {
        Ok(Self { root: jail.root().child(&name_of(transfer))?, last: Arc::default() })
    }

    /// Sorts files into those that an earlier attempt left complete, and the others.
    pub fn sort_out(&self, files: Vec<PlannedFile>) -> Result<(Vec<PlannedFile>, Vec<PlannedFile>), JailError> {
        if self.root.is_new() {
            return Ok((Vec::new(), files));
        }
        let (mut complete, mut missing) = (Vec::new(), Vec::new());
        for file in files {
            let (folder, name) = self.place_of(file.position)?;
            if !folder.is_new() && land::lies_there(&folder, &name, &file).unwrap_or(false) {
                // The kill may have come between its last byte and these.
                note_metadata(&folder.open_existing(&name)?, file.modified_ms, file.executable);
                complete.push(file);
            } else {
                missing.push(file);
            }
        }
        Ok((complete, missing))
    }

    /// Takes the bytes of a file as they are verified.
    pub fn sink(&self, file: &PlannedFile, layout: Layout) -> Box<dyn Sink> {
        Box::new(SmallSink {
            staging: self.clone(),
            position: file.position,
            modified_ms: file.modified_ms,
            executable: file.executable,
            layout,
            written: 0,
            file: None,
        })
    }

    /// Puts a whole file there that was found elsewhere.
    pub fn put(&self, file: &PlannedFile, layout: Layout, data: &[u8]) -> io::Result<()> {
        self.sink(file, layout).write(0..layout.groups(), data, &[])
    }

    /// Gives files that are durable their names.
    pub fn name_all(&self, jail: &Jail, staged: &[PlannedFile]) -> Result<Vec<Landed>, Failure> {
        // What is written meanwhile lies in other folders.
        let staging = Self { root: self.root.clone(), last: Arc::default() };
        let mut landed = Vec::with_capacity(staged.len());
        let mut homes = Homes::new(jail);
        for file in staged {
            let (folder, number) = staging.place_of(file.position).map_err(jail_failure)?;
            let (home, wanted) = homes.of(file).map_err(jail_failure)?;
            let name = land::publish(&folder, &number, &home, wanted).map_err(jail_failure)?;
            landed.push(Landed::new(file, &home, name));
        }
        Ok(landed)
    }

    /// Makes everything written to its file system durable.
    pub fn sync(&self) -> Result<(), JailError> {
        self.root.sync_filesystem()
    }

    /// Where a file waits, and the name that it has there.
    fn place_of(&self, position: u64) -> Result<(Folder, String), JailError> {
        let number = position / STAGING_FOLDER_FILES;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = match &*last {
            Some((open, folder)) if *open == number => folder.clone(),
            _ => {
                let folder = self.root.child(&number.to_string())?;
                last.insert((number, folder)).1.clone()
            }
        };
        Ok((folder, position.to_string()))
    }
}

/// Removes what an unfinished transfer left behind.
pub fn discard(jail: &Jail, transfer: &Transfer) -> Result<(), JailError> {
    let (root, name) = (jail.root(), name_of(transfer));
    if !root.exists(&name)? {
        return Ok(());
    }
    clear(&root.child(&name)?)?;
    root.remove_empty_child(&name)
}

/// Removes files and folders of files below a folder that is ours alone. Anything else there makes its own removal fail,
/// which is told.
fn clear(staging: &Folder) -> Result<(), JailError> {
    for name in staging.names()? {
        // Mostly its files have their names by now.
        if staging.remove_empty_child(&name).is_ok() {
            continue;
        }
        if staging.stat(&name)?.is_some_and(|entry| entry.kind == EntryKind::Folder) {
            let folder = staging.child(&name)?;
            for file in folder.names()? {
                folder.remove(&file)?;
            }
            staging.remove_empty_child(&name)?;
        } else {
            staging.remove(&name)?;
        }
    }
    Ok(())
}

/// `.16ab….swapmeet-part`
fn name_of(transfer: &Transfer) -> String {
    format!(".{}{PART_SUFFIX}", transfer.text_id())
}

/// Some file systems hold neither times nor modes; the content matters more.
fn note_metadata(file: &File, modified_ms: i64, executable: bool) {
    if let Err(error) = finish_metadata(file, modified_ms, executable) {
        tracing::debug!(%error, "a file keeps no modification time or mode here");
    }
}

/// Writes one small file under its number.
struct SmallSink {
    staging: Staging,
    position: u64,
    modified_ms: i64,
    executable: bool,
    layout: Layout,
    written: u64,
    file: Option<File>,
}

impl SmallSink {
    fn create(&self) -> Result<File, JailError> {
        let (folder, name) = self.staging.place_of(self.position)?;
        match folder.create_new(&name, 0o666) {
            Err(JailError::Taken { .. }) => {
                // A try that broke off left its half.
                folder.remove(&name)?;
                folder.create_new(&name, 0o666)
            }
            created => created,
        }
    }
}

impl Sink for SmallSink {
    fn tells_whole(&self) -> bool {
        false
    }

    fn write(&mut self, groups: Range<u64>, data: &[u8], _parents: &[(u64, ParentNode)]) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.create().map_err(io::Error::other)?,
        };
        file.write_all_at(data, self.layout.bytes_of(&groups).start)?;
        self.written += groups.end - groups.start;
        if self.written == self.layout.groups() {
            note_metadata(&file, self.modified_ms, self.executable);
        }
        self.file = Some(file);
        Ok(())
    }
}
