//! Looking at shared files on disk: what is there, what changed, and the hash of what did. Blocking work.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rayon::prelude::*;
use shared::{
    content::Layout,
    id::BlobHash,
    limits::{SCAN_TROUBLES_MAX, SMALL_FILE_BYTES_MAX},
    name::IndexPath,
    show::show_line,
    transfer::{
        hash::{HashError, hash_file},
        jail::{JailError, Stamp, open_shared},
    },
};

use super::{
    api::Hashing,
    catalog::Catalog,
    transfers::{DAMAGED_SUFFIX, PART_SUFFIX},
};

/// A file found below a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Below a shared folder; `None` for a shared file.
    pub relative: Option<IndexPath>,
    pub stamp: Stamp,
    pub executable: bool,
}

/// A walk through a share.
#[derive(Debug, Default)]
pub struct Walk {
    /// By path.
    pub files: Vec<Found>,
    /// What was passed over, with the reason; the first few.
    pub troubles: Vec<String>,
    /// How much was passed over in all.
    pub passed_over: u64,
    /// Some of it could not be read, so what is missing here may be there.
    pub unreadable: bool,
}

impl Walk {
    fn trouble(&mut self, path: &Path, why: impl std::fmt::Display) {
        self.passed_over += 1;
        if self.troubles.len() < SCAN_TROUBLES_MAX {
            self.troubles.push(format!("{}: {why}", show_line(&path.to_string_lossy(), 200)));
        }
    }
}

/// Everything that can be shared below `root`, or `root` itself when it is a file. Follows no links.
///
/// # Errors
/// When `root` is not there or neither a file nor a folder.
pub fn walk(root: &Path, folder: bool) -> io::Result<Walk> {
    let mut walk = Walk::default();
    if !folder {
        let (file, stamp) = open_shared(root, None).map_err(io::Error::other)?;
        let executable = is_executable(&file.metadata()?);
        walk.files.push(Found { relative: None, stamp, executable });
        return Ok(walk);
    }
    if !fs::metadata(root)?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is not a folder any more"));
    }
    let entries = ignore::WalkBuilder::new(root)
        .standard_filters(false)
        .follow_links(false)
        // A download under way is nobody's file yet, and what was repaired is not offered in its damaged form.
        .filter_entry(|entry| {
            let name = entry.file_name().as_encoded_bytes();
            ![PART_SUFFIX, DAMAGED_SUFFIX].iter().any(|suffix| name.ends_with(suffix.as_bytes()))
        })
        .build();
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                walk.unreadable = true;
                walk.trouble(root, error);
                continue;
            }
        };
        let path = entry.path();
        let Some(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            continue;
        }
        if !kind.is_file() {
            let what = if kind.is_symlink() { "a symbolic link" } else { "not a regular file" };
            walk.trouble(path, format_args!("{what}, not shared"));
            continue;
        }
        let relative = path.strip_prefix(root).map_err(io::Error::other)?;
        match (IndexPath::from_os(relative), entry.metadata()) {
            (Ok(relative), Ok(metadata)) => walk.files.push(Found {
                relative: Some(relative),
                stamp: Stamp::of_metadata(&metadata),
                executable: is_executable(&metadata),
            }),
            (Err(error), _) => walk.trouble(path, error),
            (_, Err(error)) => {
                walk.unreadable = true;
                walk.trouble(path, error);
            }
        }
    }
    walk.files.sort_by(|a, b| a.relative.cmp(&b.relative));
    Ok(walk)
}

fn is_executable(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0
}

/// Counts of hashing under way, read by whoever shows progress.
#[derive(Debug, Default)]
pub struct Progress {
    pub files: AtomicU64,
    pub bytes: AtomicU64,
    pub stop: AtomicBool,
    pub current: Mutex<String>,
}

impl Progress {
    /// As faces see it, of `files` files with `bytes` bytes in all.
    pub fn hashing(&self, files: u64, bytes: u64) -> Hashing {
        Hashing {
            files_done: self.files.load(Ordering::Relaxed),
            files,
            bytes_done: self.bytes.load(Ordering::Relaxed),
            bytes,
            current: show_line(&self.current.lock().unwrap_or_else(PoisonError::into_inner), 80),
        }
    }
}

/// A file with its content's hash.
#[derive(Debug, Clone)]
pub struct Hashed {
    pub found: Found,
    pub blob: BlobHash,
}

/// Hashes files on all cores and leaves the trees of large ones in the catalog's folder. Files that change meanwhile or
/// cannot be read are left out, with the reason.
pub fn hash_all(root: &Path, files: Vec<Found>, catalog: &Catalog, progress: &Progress) -> (Vec<Hashed>, Vec<String>) {
    let troubles = Mutex::new(Vec::new());
    let hashed = files
        .into_par_iter()
        .filter_map(|found| match hash_one(root, &found, catalog, progress) {
            Ok((stamp, blob)) => {
                progress.files.fetch_add(1, Ordering::Relaxed);
                Some(Hashed { found: Found { stamp, ..found }, blob })
            }
            Err(error) => {
                let name =
                    found.relative.as_ref().map_or_else(|| root.to_string_lossy().into_owned(), |r| r.as_str().into());
                let mut troubles = troubles.lock().unwrap_or_else(PoisonError::into_inner);
                if troubles.len() < SCAN_TROUBLES_MAX {
                    troubles.push(format!("{}: {error}", show_line(&name, 200)));
                }
                None
            }
        })
        .collect();
    (hashed, troubles.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Hashes an encrypted form, which nobody else touches.
pub fn hash_sealed(path: &Path, stamp: Stamp, catalog: &Catalog) -> Result<(Stamp, BlobHash), Trouble> {
    let found = Found { relative: None, stamp, executable: false };
    hash_one(path, &found, catalog, &Progress::default())
}

/// Why a file was not hashed.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error(transparent)]
    Open(#[from] JailError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error("it changed while it was read; it will be looked at again")]
    Changed,
    #[error("its hash tree cannot be kept: {0}")]
    Tree(#[source] io::Error),
}

fn hash_one(root: &Path, found: &Found, catalog: &Catalog, progress: &Progress) -> Result<(Stamp, BlobHash), Trouble> {
    let (file, stamp) = open_shared(root, found.relative.as_ref())?;
    if let Some(relative) = &found.relative
        && let Ok(mut current) = progress.current.try_lock()
    {
        relative.name().clone_into(&mut current);
    }
    let large = stamp.size > SMALL_FILE_BYTES_MAX;
    let spool = large.then(|| TreeSpool::new(catalog)).transpose().map_err(Trouble::Tree)?;
    let out = spool.as_ref().map(|spool| spool.file.as_file());
    let blob = hash_file(&file, stamp.size, out, &progress.bytes, &progress.stop)?;
    if Stamp::of(&file).map_err(HashError::Read)? != stamp {
        return Err(Trouble::Changed);
    }
    if let Some(spool) = spool {
        spool.keep(catalog, blob, stamp.size).map_err(Trouble::Tree)?;
    }
    Ok((stamp, blob))
}

/// A tree on its way to its place.
struct TreeSpool {
    file: tempfile::NamedTempFile,
}

impl TreeSpool {
    fn new(catalog: &Catalog) -> io::Result<Self> {
        let folder = trees_root(catalog);
        fs::create_dir_all(&folder)?;
        Ok(Self { file: tempfile::NamedTempFile::new_in(folder)? })
    }

    fn keep(self, catalog: &Catalog, blob: BlobHash, size: u64) -> io::Result<()> {
        debug_assert_eq!(self.file.as_file().metadata()?.len(), Layout::new(size).map_or(0, Layout::tree_bytes));
        let path = catalog.tree_path(&blob);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        // The tree is made again when it is lost; a wrong one is noticed by whoever fetches.
        self.file.persist(&path)?;
        Ok(())
    }
}

fn trees_root(catalog: &Catalog) -> PathBuf {
    let path = catalog.tree_path(&BlobHash([0; 32]));
    path.ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
}
