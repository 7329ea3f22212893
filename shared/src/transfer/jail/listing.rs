//! What is known of the names in a folder, so that spellings of one name are noticed without asking the disk each time.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher as _, RandomState},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::{fs::Dir, io::Errno};

use crate::{limits::LISTINGS_KEPT_MAX, name::FoldKey};

/// A directory handle with what is known of the names in it.
#[derive(Debug)]
pub(super) struct Handle {
    /// Device and inode. Unique while the handle is open, because an inode in use is not given away.
    identity: (u64, u64),
    fd: OwnedFd,
    listing: Mutex<Listing>,
}

impl Handle {
    pub(super) fn new(fd: OwnedFd, identity: (u64, u64)) -> Self {
        Self { identity, fd, listing: Mutex::default() }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(super) fn listing(&self) -> MutexGuard<'_, Listing> {
        // Every method leaves the listing usable, so a panic elsewhere in a worker does not spoil it.
        self.listing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handles that stay open for a while, so that a folder opened again for every file is listed only once.
#[derive(Debug, Default)]
pub(super) struct Kept(pub(super) Mutex<VecDeque<Arc<Handle>>>);

impl Kept {
    /// The handle that is already open on the same folder, or this one. The latest stands first.
    pub(super) fn share(&self, handle: Handle) -> Arc<Handle> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|other| other.identity == handle.identity).and_then(|at| kept.remove(at));
        let handle = known.unwrap_or_else(|| Arc::new(handle));
        kept.push_front(handle.clone());
        // One that a folder still uses must stay, or two listings of that folder would not know of each other.
        while kept.len() > LISTINGS_KEPT_MAX
            && let Some(unused) = kept.iter().rposition(|other| Arc::strong_count(other) == 1)
        {
            kept.remove(unused);
        }
        handle
    }
}

/// The names in a folder by their hashes: 10,000 files cost a few hundred KiB, and the kernel has the last word anyway.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) is_read: bool,
    /// From the folded name to the name as it is spelled.
    taken: HashMap<u64, u64>,
    /// From a wanted name to the number to begin with, or many files of one name would each try all numbers before.
    next: HashMap<u64, u32>,
    hashes: RandomState,
}

/// What a listing knows of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// Nothing; now it is noted.
    New,
    /// It was there, or was about to be.
    SameSpelling,
    /// Another spelling of it is there.
    OtherSpelling,
}

impl Listing {
    pub(super) fn read(&mut self, folder: BorrowedFd<'_>) -> Result<(), Errno> {
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy();
            if name != "." && name != ".." {
                self.claim(&name);
            }
        }
        self.is_read = true;
        Ok(())
    }

    pub(super) fn claim(&mut self, name: &str) -> Claim {
        let (key, spelling) = (self.key(name), self.hashes.hash_one(name));
        match self.taken.get(&key) {
            Some(&other) if other == spelling => Claim::SameSpelling,
            Some(_) => Claim::OtherSpelling,
            None => {
                self.taken.insert(key, spelling);
                Claim::New
            }
        }
    }

    pub(super) fn forget(&mut self, name: &str) {
        let key = self.key(name);
        if self.taken.get(&key) == Some(&self.hashes.hash_one(name)) {
            self.taken.remove(&key);
        }
    }

    pub(super) fn next_number(&self, wanted: &str) -> u32 {
        self.next.get(&self.key(wanted)).copied().unwrap_or(1)
    }

    pub(super) fn numbers_used(&mut self, wanted: &str, number: u32) {
        if number > 0 {
            self.next.insert(self.key(wanted), number + 1);
        }
    }

    fn key(&self, name: &str) -> u64 {
        self.hashes.hash_one(FoldKey::of(name))
    }
}
