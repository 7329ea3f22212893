//! The lock of a profile: who holds it runs the engine. It ends with its process, however that ends.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
};

use crate::profile::Profile;

/// The right to run the engine of a profile, until dropped.
#[derive(Debug)]
pub(in crate::engine) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock; `None` while somebody else holds it.
    ///
    /// # Errors
    /// When the file cannot be opened, or its file system knows no locks.
    pub(in crate::engine) fn try_take(profile: &Profile) -> io::Result<Option<Self>> {
        // The file stays when the engine ends: removing it would let two engines lock two files of that name.
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(profile.lock())?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}
