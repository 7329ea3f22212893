//! Small files that must be whole or absent: keys and the authority's certificate.
//!
//! A file is written under another name, made durable and then renamed without ever replacing one that is there, so
//! that an end at any moment leaves the old state or the new one.

use std::{
    fs::{DirBuilder, File, Permissions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::CertsError;

/// What a read found.
pub(crate) enum Found {
    /// The file's bytes.
    Bytes(Zeroizing<Vec<u8>>),
    /// There is no such file.
    Absent,
    /// There is something, but no small regular file.
    Unsuitable,
}

/// Whether others may read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrecy {
    /// A file that other users can read is refused.
    Secret,
    /// Anyone may read it.
    Public,
}

/// Reads a whole file of at most [`FILE_BYTES_MAX`].
pub(crate) fn read(path: &Path, secrecy: Secrecy) -> Result<Found, CertsError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Absent),
        Err(error) => return Err(CertsError::io(path)(error)),
    };
    // Asked of the open file, so that nobody can put another one there in between.
    let metadata = file.metadata().map_err(CertsError::io(path))?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Ok(Found::Unsuitable);
    }
    let mode = metadata.mode() & 0o777;
    if secrecy == Secrecy::Secret && mode & 0o077 != 0 {
        return Err(CertsError::ReadableByOthers { path: path.to_owned(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize));
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(CertsError::io(path))?;
    Ok(Found::Bytes(bytes))
}

/// Puts a new file there, readable by its owner alone. Returns false, and changes nothing, when there is one already.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<bool, CertsError> {
    let folder = folder_of(path);
    let error = || CertsError::io(path);
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(&folder)
        .map_err(error())?;
    file.write_all(bytes).map_err(error())?;
    file.as_file().sync_all().map_err(error())?;
    match file.persist_noclobber(path) {
        Ok(_) => {}
        Err(failed) if failed.error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        Err(failed) => return Err(error()(failed.error)),
    }
    sync_folder(&folder)?;
    Ok(true)
}

/// Makes a folder that only its owner can enter. One that is there stays as it is.
pub(crate) fn create_folder(path: &Path) -> Result<(), CertsError> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(CertsError::io(path))?;
    sync_folder(&folder_of(path))
}

fn sync_folder(path: &Path) -> Result<(), CertsError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(CertsError::io(path))
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A key or certificate takes less than one KiB; more is something else.
const FILE_BYTES_MAX: u64 = 16 * 1024;
