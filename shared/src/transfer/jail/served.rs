//! Shared files, opened where they lie. Never follows a link below a share's root, never waits for a pipe or device.

use std::{
    fs::{File, Metadata},
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, OFlags, Stat};
use serde::{Deserialize, Serialize};

use super::{JailError, open_chosen_folder, open_folder, open_regular};
use crate::name::IndexPath;

/// The state of a file's content as far as a file system tells it. Two equal stamps are the same content.
///
/// The time of the last change of the inode is part of it, since programs can set the modification time back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Bytes of the content.
    pub size: u64,
    /// Modification time, nanoseconds since 1970.
    pub modified_ns: i64,
    /// Inode number.
    pub inode: u64,
    /// Number of the device that holds the inode.
    pub device: u64,
    /// Time of the last change of content or attributes, nanoseconds since 1970.
    pub changed_ns: i64,
}

impl Stamp {
    /// The stamp of an open file.
    ///
    /// # Errors
    /// When the file system does not tell.
    pub fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|metadata| Self::of_metadata(&metadata))
    }

    /// The stamp that the system tells of a file.
    pub(super) fn of_stat(stat: &Stat) -> Self {
        Self {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
            inode: stat.st_ino,
            device: stat.st_dev,
            changed_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec.cast_signed()),
        }
    }

    /// The stamp that a file's metadata hold.
    #[must_use]
    pub fn of_metadata(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            inode: metadata.ino(),
            device: metadata.dev(),
            changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Opens a shared file to read: `root` itself, or the file at `relative` below it.
///
/// Below the root no symbolic link is followed, and neither is a root that is a file. Never waits for a pipe or device.
///
/// # Errors
/// When it is missing, not a regular file, behind a link, or cannot be opened.
pub fn open_shared(root: &Path, relative: Option<&IndexPath>) -> Result<(File, Stamp), JailError> {
    SharedFiles::default().open(root, relative)
}

/// Opens several shared files; those of one folder that follow one another share its handle. To be used for a moment
/// only: a folder that moves away meanwhile is still the one that was opened.
#[derive(Debug, Default)]
pub struct SharedFiles {
    last: Option<OpenFolder>,
}

#[derive(Debug)]
struct OpenFolder {
    path: PathBuf,
    handle: OwnedFd,
}

impl SharedFiles {
    /// See [`open_shared`].
    ///
    /// # Errors
    /// See [`open_shared`].
    pub fn open(&mut self, root: &Path, relative: Option<&IndexPath>) -> Result<(File, Stamp), JailError> {
        match relative {
            None => open_regular(CWD, root, root, OFlags::RDONLY),
            Some(relative) => self.open_below(root, relative),
        }
    }

    fn open_below(&mut self, root: &Path, relative: &IndexPath) -> Result<(File, Stamp), JailError> {
        let mut components = relative.components();
        let name = components.next_back().unwrap_or_default();
        let path = root.join(relative.as_str());
        let above = path.parent().unwrap_or(root);
        let folder = match &self.last {
            Some(last) if last.path == above => last,
            _ => {
                let handle = walk_down(root, components)?;
                self.last.insert(OpenFolder { path: above.to_owned(), handle })
            }
        };
        open_regular(folder.handle.as_fd(), Path::new(name), &path, OFlags::RDONLY)
    }
}

fn walk_down<'a>(root: &Path, folders: impl Iterator<Item = &'a str>) -> Result<OwnedFd, JailError> {
    let mut path = root.to_owned();
    let mut folder = open_chosen_folder(root)?;
    for component in folders {
        path.push(component);
        folder = open_folder(folder.as_fd(), component, &path)?;
    }
    Ok(folder)
}

/// Saturates in the year 2262, which only a forged time reaches.
const fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}
