//! The folder that received files cannot leave, and the only way in which shared files are opened.
//!
//! Owns directory handles, not path strings: every component is opened relative to the handle of the one above and never
//! through a symbolic link, so whatever happens on disk between two calls, a file lands below the root or nowhere.
//! Publishing never replaces anything: the kernel decides, in one step, whether a name is free. Never decides which
//! files are wanted, and never looks at their content. All calls block; they belong on worker threads.

mod listing;
mod replace;
mod served;

use std::{
    fs::{DirBuilder, File},
    io,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::fs::DirBuilderExt as _,
    },
    path::{Path, PathBuf},
    sync::{Arc, MutexGuard},
};

use listing::{Claim, Handle, Kept, Listing};
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_OMIT},
    io::Errno,
};
pub use served::{SharedFiles, Stamp, open_shared};

use crate::{
    limits::{NUMBERED_MAX, PATH_BYTES_MAX},
    name::{FileName, NameError, numbered},
    show::{show, show_line},
};

/// An opened folder below which received files are written.
#[derive(Debug, Clone)]
pub struct Jail {
    root: Folder,
}

impl Jail {
    /// Opens the folder at `root`, and makes it if it is missing. How it is reached is its owner's choice: links count.
    ///
    /// # Errors
    /// When it cannot be made or opened, or is no folder.
    pub fn open(root: &Path) -> Result<Self, JailError> {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE.bits()).create(root).map_err(|source| {
            if source.kind() == io::ErrorKind::AlreadyExists {
                return JailError::NotFolder { path: root.to_owned() };
            }
            JailError::of_io("make the folder", root, source)
        })?;
        let fd = open_chosen_folder(root)?;
        Ok(Self { root: Folder::of_handle(fd, root.to_owned(), Arc::default())? })
    }

    /// The root itself.
    #[must_use]
    pub fn root(&self) -> Folder {
        self.root.clone()
    }

    /// The folder at `path` below the root, made one by one where it is missing. An empty path is the root.
    ///
    /// # Errors
    /// When a component is no name, is a symbolic link or no folder, or cannot be made or opened.
    pub fn folder<Name: AsRef<str>>(&self, path: impl IntoIterator<Item = Name>) -> Result<Folder, JailError> {
        path.into_iter().try_fold(self.root(), |folder, name| folder.child(name.as_ref()))
    }
}

/// An opened folder inside a [`Jail`]. Cheap to clone; clones are the same handle.
#[derive(Debug, Clone)]
pub struct Folder {
    handle: Arc<Handle>,
    path: PathBuf,
    kept: Arc<Kept>,
    is_new: bool,
}

impl Folder {
    /// Where the folder was when it was opened: for messages, never to open anything.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder `name` in this one, made if it is missing.
    ///
    /// # Errors
    /// When `name` is no name, is taken by a symbolic link or a file, or the folder cannot be made or opened.
    pub fn child(&self, name: &str) -> Result<Self, JailError> {
        let path = self.place(name)?;
        let mut is_new = false;
        let fd = match open_folder(self.fd(), name, &path) {
            Err(JailError::Missing { .. }) => {
                match rustix::fs::mkdirat(self.fd(), name, FOLDER_MODE) {
                    Ok(()) => is_new = true,
                    // Another worker may have been faster; what it made is opened with the same care.
                    Err(Errno::EXIST) => {}
                    Err(errno) => return Err(JailError::of("make the folder", &path, errno)),
                }
                self.note(name);
                open_folder(self.fd(), name, &path)?
            }
            opened => opened?,
        };
        Ok(Self { is_new, ..Self::of_handle(fd, path, self.kept.clone())? })
    }

    /// Whether this handle was got by making the folder: nothing was in it then.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.is_new
    }

    /// A new folder `wanted`, `wanted (1)` and so on: the first whose name is free, and that name.
    ///
    /// # Errors
    /// When `wanted` is no name, every number is taken, or the folder cannot be made.
    pub fn new_child_numbered(&self, wanted: &str) -> Result<(String, Self), JailError> {
        let name = self.first_free(wanted, |name| {
            rustix::fs::mkdirat(self.fd(), name, FOLDER_MODE)
                .map_err(|errno| JailError::of("make the folder", &self.path.join(name), errno))
        })?;
        let folder = self.child(&name)?;
        Ok((name, folder))
    }

    /// Makes the file `name`, which must not exist in any form, and opens it to read and write.
    ///
    /// `mode` is reduced by the umask, and never makes a file executable.
    ///
    /// # Errors
    /// [`JailError::Taken`] when there is something of that name, a dangling link included; or when it cannot be made.
    pub fn create_new(&self, name: &str, mode: u32) -> Result<File, JailError> {
        let path = self.place(name)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.fd(), name, flags, Mode::from_raw_mode(mode & READ_WRITE_BITS))
            .map_err(|errno| JailError::of("make", &path, errno))?;
        self.note(name);
        Ok(File::from(fd))
    }

    /// Opens the regular file `name` to read and write.
    ///
    /// # Errors
    /// When it is missing, a symbolic link, anything but a regular file, or cannot be opened.
    pub fn open_existing(&self, name: &str) -> Result<File, JailError> {
        let path = self.place(name)?;
        open_regular(self.fd(), Path::new(name), &path, OFlags::RDWR).map(|(file, _)| file)
    }

    /// Gives the file `temporary` of this folder its final name in `to`, in one step and never replacing anything.
    ///
    /// # Errors
    /// [`JailError::Taken`] when there is something of that name; or when the file system refuses. Then the file keeps
    /// its temporary name.
    pub fn publish(&self, temporary: &str, to: &Self, name: &str) -> Result<(), JailError> {
        self.place(temporary)?;
        to.place(name)?;
        self.move_into(temporary, to, name)?;
        to.note(name);
        Ok(())
    }

    /// Publishes as `wanted`, `wanted (1)` and so on: the first name that is free, which is returned. A name that
    /// differs only in case or composition from one in the folder is not free.
    ///
    /// # Errors
    /// When a name is none, every number is taken, or the file system refuses. Then the file keeps its temporary name.
    pub fn publish_numbered(&self, temporary: &str, to: &Self, wanted: &str) -> Result<String, JailError> {
        self.place(temporary)?;
        to.first_free(wanted, |name| self.move_into(temporary, to, name))
    }

    /// Whether there is anything of that name, a dangling link included.
    ///
    /// # Errors
    /// When `name` is no name or the folder cannot be read.
    pub fn exists(&self, name: &str) -> Result<bool, JailError> {
        Ok(self.stat(name)?.is_some())
    }

    /// What there is of that name, links not followed.
    ///
    /// # Errors
    /// When `name` is no name or the folder cannot be read.
    pub fn stat(&self, name: &str) -> Result<Option<Entry>, JailError> {
        let path = self.place(name)?;
        match rustix::fs::statat(self.fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Entry {
                kind: EntryKind::of(FileType::from_raw_mode(stat.st_mode)),
                bytes: u64::try_from(stat.st_size).unwrap_or(0),
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(JailError::of("look at", &path, errno)),
        }
    }

    /// The state of the file `name`, if it is there and regular.
    ///
    /// # Errors
    /// When `name` is no name or the folder cannot be read.
    pub fn stamp(&self, name: &str) -> Result<Option<Stamp>, JailError> {
        let path = self.place(name)?;
        match rustix::fs::statat(self.fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if EntryKind::of(FileType::from_raw_mode(stat.st_mode)) == EntryKind::File => {
                Ok(Some(Stamp::of_stat(&stat)))
            }
            Ok(_) | Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(JailError::of("look at", &path, errno)),
        }
    }

    /// The names in this folder, in no order. What is not UTF-8 was not put there by us and is left out.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>, JailError> {
        let failed = |errno| JailError::of("list", &self.path, errno);
        let mut names = Vec::new();
        for entry in Dir::read_from(self.fd()).map_err(failed)? {
            if let Ok(name) = entry.map_err(failed)?.file_name().to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Removes the file or link `name`. One that is already gone is as good as removed.
    ///
    /// # Errors
    /// When `name` is no name, is a folder, or cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), JailError> {
        self.unlink(name, AtFlags::empty())
    }

    /// Removes the empty folder `name`. One that is already gone is as good as removed.
    ///
    /// # Errors
    /// When `name` is no name, is no folder, is not empty, or cannot be removed.
    pub fn remove_empty_child(&self, name: &str) -> Result<(), JailError> {
        self.unlink(name, AtFlags::REMOVEDIR)
    }

    /// Makes the names in this folder durable.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&self) -> Result<(), JailError> {
        rustix::fs::fsync(self.fd()).map_err(|errno| JailError::of("make durable", &self.path, errno))
    }

    /// Makes everything durable that was written to this folder's file system: for a batch of many small files.
    ///
    /// # Errors
    /// When the disk fails, now or since it was last asked.
    pub fn sync_filesystem(&self) -> Result<(), JailError> {
        rustix::fs::syncfs(self.fd()).map_err(|errno| JailError::of("make durable", &self.path, errno))
    }

    /// Bytes that can still be written here.
    ///
    /// # Errors
    /// When the file system does not tell.
    pub fn free_bytes(&self) -> Result<u64, JailError> {
        let room = rustix::fs::fstatvfs(self.fd()).map_err(|errno| JailError::of("measure", &self.path, errno))?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    }

    fn of_handle(fd: OwnedFd, path: PathBuf, kept: Arc<Kept>) -> Result<Self, JailError> {
        let stat = rustix::fs::fstat(&fd).map_err(|errno| JailError::of(OPEN_FOLDER, &path, errno))?;
        let handle = kept.share(Handle::new(fd, (stat.st_dev, stat.st_ino)));
        Ok(Self { handle, path, kept, is_new: false })
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.handle.fd()
    }

    /// Checks that `name` is one component, and tells where it lies for messages.
    fn place(&self, name: &str) -> Result<PathBuf, JailError> {
        match FileName::parse(name) {
            Ok(_) => Ok(self.path.join(name)),
            Err(source) => Err(JailError::Name { name: name.to_owned(), source }),
        }
    }

    fn move_into(&self, temporary: &str, to: &Self, name: &str) -> Result<(), JailError> {
        let moved = match rustix::fs::renameat_with(self.fd(), temporary, to.fd(), name, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => self.link_into(temporary, to, name),
            renamed => renamed,
        };
        moved.map_err(|errno| match errno {
            // A folder that was removed while it was open says the same as a temporary file that is gone.
            Errno::NOENT if self.exists(temporary).unwrap_or(false) => JailError::Missing { path: to.path.clone() },
            Errno::NOENT => JailError::Missing { path: self.path.join(temporary) },
            _ => JailError::of("publish", &to.path.join(name), errno),
        })?;
        self.handle.listing().forget(temporary);
        Ok(())
    }

    /// The same where a file system cannot rename without replacing: a link never replaces anything either.
    fn link_into(&self, temporary: &str, to: &Self, name: &str) -> Result<(), Errno> {
        rustix::fs::linkat(self.fd(), temporary, to.fd(), name, AtFlags::empty())?;
        rustix::fs::unlinkat(self.fd(), temporary, AtFlags::empty())
    }

    /// Runs `take` with `wanted`, `wanted (1)` and so on until it does not find the name taken.
    fn first_free(&self, wanted: &str, take: impl Fn(&str) -> Result<(), JailError>) -> Result<String, JailError> {
        let path = self.place(wanted)?;
        let first_number = self.listing()?.next_number(wanted);
        for number in std::iter::once(0).chain(first_number..=NUMBERED_MAX) {
            let name = if number == 0 { wanted.to_owned() } else { numbered(wanted, number) };
            if !self.claim(&name)? {
                continue;
            }
            match take(&name) {
                Ok(()) => {
                    self.handle.listing().numbers_used(wanted, number);
                    return Ok(name);
                }
                Err(JailError::Taken { .. }) => {}
                Err(error) => {
                    self.handle.listing().forget(&name);
                    return Err(error);
                }
            }
        }
        Err(JailError::Taken { path })
    }

    /// Whether `name` may be tried. From now on it counts as taken, so that two workers cannot claim two spellings of it.
    fn claim(&self, name: &str) -> Result<bool, JailError> {
        let claim = self.listing()?.claim(name);
        match claim {
            Claim::New => Ok(true),
            Claim::SameSpelling => Ok(!self.exists(name)?),
            Claim::OtherSpelling => Ok(false),
        }
    }

    /// The listing, read from disk at the first use.
    fn listing(&self) -> Result<MutexGuard<'_, Listing>, JailError> {
        let mut listing = self.handle.listing();
        if !listing.is_read {
            listing.read(self.fd()).map_err(|errno| JailError::of("list", &self.path, errno))?;
        }
        Ok(listing)
    }

    /// Notes a name that was taken without asking the listing.
    fn note(&self, name: &str) {
        let mut listing = self.handle.listing();
        if listing.is_read {
            listing.claim(name);
        }
    }

    fn unlink(&self, name: &str, flags: AtFlags) -> Result<(), JailError> {
        let path = self.place(name)?;
        match rustix::fs::unlinkat(self.fd(), name, flags) {
            Ok(()) | Err(Errno::NOENT) => {
                self.handle.listing().forget(name);
                Ok(())
            }
            Err(errno) => Err(JailError::of("remove", &path, errno)),
        }
    }
}

/// Something in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of its content, where it is a file.
    pub bytes: u64,
}

/// What a name in a folder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, wherever it leads.
    Symlink,
    /// A pipe, socket or device.
    Special,
}

impl EntryKind {
    fn of(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Folder,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Self::Special,
        }
    }
}

/// Gives a received file the modification time (milliseconds since 1970) and the one permission that travel with it.
///
/// Who may read it may run it if the sharer's could be run; other bits are never taken over.
///
/// # Errors
/// When the file system refuses, as some do that hold neither; the content is not affected.
pub fn finish_metadata(file: &File, modified_ms: i64, executable: bool) -> io::Result<()> {
    let mode = rustix::fs::fstat(file)?.st_mode & PERMISSION_BITS;
    let readable = mode & READ_BITS;
    let wanted = (mode & READ_WRITE_BITS) | if executable { readable >> 2 } else { 0 };
    if wanted != mode {
        rustix::fs::fchmod(file, Mode::from_raw_mode(wanted))?;
    }
    let modified = Timespec { tv_sec: modified_ms.div_euclid(1000), tv_nsec: modified_ms.rem_euclid(1000) * 1_000_000 };
    let unchanged = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    rustix::fs::futimens(file, &Timestamps { last_access: unchanged, last_modification: modified })?;
    Ok(())
}

/// Why something in or below a folder could not be done. Names and paths are shown cleaned.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// The name is not one component of a path.
    #[error("{} is no name for a file", show(.name))]
    Name {
        /// The name as it came.
        name: String,
        /// The rule it breaks.
        source: NameError,
    },
    /// There is something of that name already.
    #[error("{} is there already", shown(.path))]
    Taken {
        /// Where it lies.
        path: PathBuf,
    },
    /// There is nothing of that name.
    #[error("{} does not exist", shown(.path))]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A symbolic link stands in the way.
    #[error("{} is a symbolic link", shown(.path))]
    Symlink {
        /// Where the link lies.
        path: PathBuf,
    },
    /// Something else stands where a folder is needed.
    #[error("{} is not a folder", shown(.path))]
    NotFolder {
        /// Where it lies.
        path: PathBuf,
    },
    /// A folder, pipe, socket or device stands where a file is needed.
    #[error("{} is not a regular file", shown(.path))]
    NotRegular {
        /// Where it lies.
        path: PathBuf,
    },
    /// The disk or the quota is full.
    #[error("no space is left for {}", shown(.path))]
    DiskFull {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file system is mounted read-only.
    #[error("{} lies on a read-only file system", shown(.path))]
    ReadOnly {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else.
    #[error("the system refuses to {action} {}", shown(.path))]
    Io {
        /// What was tried.
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl JailError {
    fn of(action: &'static str, path: &Path, errno: Errno) -> Self {
        let path = path.to_owned();
        match errno {
            Errno::EXIST => Self::Taken { path },
            Errno::NOENT => Self::Missing { path },
            Errno::LOOP => Self::Symlink { path },
            Errno::NOTDIR => Self::NotFolder { path },
            Errno::ISDIR => Self::NotRegular { path },
            Errno::NOSPC | Errno::DQUOT => Self::DiskFull { path, source: errno.into() },
            Errno::ROFS => Self::ReadOnly { path, source: errno.into() },
            _ => Self::Io { action, path, source: errno.into() },
        }
    }

    fn of_io(action: &'static str, path: &Path, source: io::Error) -> Self {
        match Errno::from_io_error(&source) {
            Some(errno) => Self::of(action, path, errno),
            None => Self::Io { action, path: path.to_owned(), source },
        }
    }
}

fn shown(path: &Path) -> String {
    show_line(&path.to_string_lossy(), PATH_BYTES_MAX)
}

/// Opens a folder that its owner named: how it is reached is the owner's choice.
fn open_chosen_folder(path: &Path) -> Result<OwnedFd, JailError> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| JailError::of(OPEN_FOLDER, path, errno))
}

fn open_folder(above: BorrowedFd<'_>, name: &str, path: &Path) -> Result<OwnedFd, JailError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(above, name, flags, Mode::empty()) {
        Ok(fd) => Ok(fd),
        // The kernel says "not a folder" of a link too.
        Err(Errno::NOTDIR | Errno::LOOP) if is_link(above, name) => Err(JailError::Symlink { path: path.to_owned() }),
        Err(errno) => Err(JailError::of(OPEN_FOLDER, path, errno)),
    }
}

/// Opens `name`, whose last component is not followed, if it is a regular file.
fn open_regular(folder: BorrowedFd<'_>, name: &Path, path: &Path, access: OFlags) -> Result<(File, Stamp), JailError> {
    // Looked at first, since merely opening some devices does something; and again once it is open, since only the
    // handle cannot be exchanged any more. Not blocking matters for a pipe that is put there in between.
    let failed = |errno| JailError::of("open", path, errno);
    let before = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    require_regular(before.st_mode, path)?;
    let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(folder, name, flags, Mode::empty()).map_err(failed)?;
    let opened = rustix::fs::fstat(&fd).map_err(failed)?;
    require_regular(opened.st_mode, path)?;
    Ok((File::from(fd), Stamp::of_stat(&opened)))
}

fn require_regular(mode: u32, path: &Path) -> Result<(), JailError> {
    match EntryKind::of(FileType::from_raw_mode(mode)) {
        EntryKind::File => Ok(()),
        EntryKind::Symlink => Err(JailError::Symlink { path: path.to_owned() }),
        EntryKind::Folder | EntryKind::Special => Err(JailError::NotRegular { path: path.to_owned() }),
    }
}

fn is_link(folder: BorrowedFd<'_>, name: &str) -> bool {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

const OPEN_FOLDER: &str = "open the folder";
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o755);
const PERMISSION_BITS: u32 = 0o7777;
const READ_WRITE_BITS: u32 = 0o666;
const READ_BITS: u32 = 0o444;

#[cfg(test)]
mod tests;
