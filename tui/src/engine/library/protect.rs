//! Protected files: encrypted into a folder of the engine's own and served from there. What lies in the user's folders
//! is only read.

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use seal::{Password, Prover};
use shared::{
    id::BlobHash,
    limits::{LOCK_SALT_BYTES, PROTECTED_AT_ONCE_MAX, SCAN_TROUBLES_MAX, TICK},
    show::show_line,
    transfer::jail::{Stamp, open_shared},
    wire::protected::{Lock, Stretch},
};

use super::{Library, OnProgress, StopOnDrop, difference::index_path, shown, walk};
use crate::engine::{
    api::{Failure, FailureKind},
    core::Core,
    failure,
    scan::{self, Found, Progress},
    state::{Sealed, ShareRecord, SharedFile},
};

/// Encrypts one share after the other.
struct Sealer {
    root: PathBuf,
    folder: PathBuf,
    password: Password,
    lock: Lock,
}

/// Files that were encrypted, and what was passed over, with the reason.
type Done = (Vec<SharedFile>, Vec<String>);

impl Library {
    /// Encrypts the files of a share. Those that change meanwhile or cannot be read are left out, with the reason.
    pub(super) async fn protect(
        &self,
        core: &Arc<Core>,
        record: &ShareRecord,
        password: Password,
        on_progress: OnProgress<'_>,
    ) -> Result<Done, Failure> {
        let walked = walk(record).await?;
        if walked.files.len() > PROTECTED_AT_ONCE_MAX {
            return Err(Failure::new(
                FailureKind::Usage,
                "too_many_files",
                format!(
                    "{} files lie below {}; at most {PROTECTED_AT_ONCE_MAX} are protected at a time",
                    walked.files.len(),
                    shown(&record.local)
                ),
                "put them into an archive, or share folders of it one by one",
            ));
        }
        let (count, bytes) = (walked.files.len() as u64, walked.files.iter().map(|found| found.stamp.size).sum());
        let progress = Arc::new(Progress::default());
        let _stop = StopOnDrop(progress.clone());
        let (core_in, record_in, progress_in) = (core.clone(), record.clone(), progress.clone());
        let mut work = tokio::task::spawn_blocking(move || {
            let sealer = Sealer::new(&core_in, &record_in.local, password)?;
            Ok(sealer.all(&core_in, &record_in, walked.files, &progress_in))
        });
        let mut timer = tokio::time::interval(TICK);
        let ended: io::Result<Done> = loop {
            tokio::select! {
                done = &mut work => break done.map_err(failure::unexpected)?,
                _ = timer.tick() => on_progress(progress.hashing(count, bytes)),
                () = core.stop.cancelled() => return Err(failure::unreachable("the engine is stopping")),
            }
        };
        let (sealed, mut troubles) = ended.map_err(failure::unexpected)?;
        troubles.extend(walked.troubles);
        Ok((sealed, troubles))
    }
}

impl Sealer {
    fn new(core: &Core, root: &Path, password: Password) -> io::Result<Self> {
        let folder = core.catalog.sealed_folder().to_owned();
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        // One salt for all: whoever knows the password proves it once for a folder.
        let salt: [u8; LOCK_SALT_BYTES] = rand::random();
        let key = Prover::derive(&password, &salt)?.public();
        Ok(Self { root: root.to_owned(), folder, password, lock: Lock { stretch: Stretch::Argon2id, salt, key } })
    }

    fn all(&self, core: &Core, record: &ShareRecord, files: Vec<Found>, progress: &Progress) -> Done {
        let (mut sealed, mut troubles) = (Vec::new(), Vec::new());
        for found in files {
            if progress.stop.load(Ordering::Relaxed) {
                break;
            }
            match self.one(core, record, &found, progress) {
                Ok(file) => sealed.push(file),
                Err(error) if troubles.len() < SCAN_TROUBLES_MAX => {
                    let path = index_path(&record.name, &found);
                    troubles.push(format!("{}: {error}", show_line(&path, 200)));
                }
                Err(_) => {}
            }
            progress.files.fetch_add(1, Ordering::Relaxed);
        }
        (sealed, troubles)
    }

    /// Encrypts one file. Its name is for good from the beginning: a hash belongs to a state, which a rename changes.
    fn one(&self, core: &Core, record: &ShareRecord, found: &Found, progress: &Progress) -> io::Result<SharedFile> {
        let (file, stamp) = open_shared(&self.root, found.relative.as_ref()).map_err(io::Error::other)?;
        let name = BlobHash(rand::random()).to_string();
        let path = self.folder.join(&name);
        let unfinished = Unfinished(Some(&path));
        let out = private(&path)?;
        let plain = seal::seal(&self.password, &file, &out, &mut |bytes| {
            progress.bytes.fetch_add(bytes, Ordering::Relaxed);
            !progress.stop.load(Ordering::Relaxed)
        })?;
        if Stamp::of(&file)? != stamp {
            return Err(io::Error::other("it changed while it was read; share it again"));
        }
        out.sync_all()?;
        File::open(&self.folder)?.sync_all()?;
        let (sealed_stamp, blob) =
            scan::hash_sealed(&path, Stamp::of(&out)?, &core.catalog).map_err(io::Error::other)?;
        unfinished.keep();
        Ok(SharedFile {
            path: index_path(&record.name, found),
            relative: found.relative.as_ref().map(|relative| relative.as_str().to_owned()),
            blob,
            stamp,
            executable: found.executable,
            file: None,
            sealed: Some(Sealed { name, stamp: sealed_stamp, lock: self.lock, plain: BlobHash(plain.hash) }),
        })
    }
}

/// A new file that only its owner reads.
fn private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Removes what was begun, unless it is kept.
struct Unfinished<'a>(Option<&'a Path>);

impl Unfinished<'_> {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.map(fs::remove_file) {
            tracing::debug!(%error, "half of an encrypted file waits for the next start to go");
        }
    }
}

/// What a look at a protected share cannot put in order by itself: there is no password here. What was shared stays as
/// it is, whole and encrypted; what is new stays at home.
pub(super) fn out_of_date(record: &ShareRecord, known: &[SharedFile], changed: &[Found]) -> Vec<String> {
    let before: HashMap<&str, &SharedFile> = known.iter().map(|file| (file.path.as_str(), file)).collect();
    let changed = changed.iter().map(|found| {
        let path = index_path(&record.name, found);
        let name = show_line(&path, 200);
        match before.get(path.as_str()) {
            Some(file) if file.sealed.is_some() => {
                format!("{name} changed since it was protected, and others still get what it was; {AGAIN}")
            }
            Some(_) | None => format!("{name} is not protected and not shared yet; {AGAIN}"),
        }
    });
    let open = known.iter().filter(|file| file.sealed.is_none());
    let open = open.map(|file| format!("{} is not protected and not served; {AGAIN}", show_line(&file.path, 200)));
    changed.chain(open).take(SCAN_TROUBLES_MAX).collect()
}

const AGAIN: &str = "share it again with --protect";

/// Removes encrypted forms that no share has. Nothing may be encrypted meanwhile.
pub(super) async fn sweep(core: &Core) -> Result<(), Failure> {
    let names = core.state.sealed_names().await.map_err(failure::unexpected)?;
    let folder = core.catalog.sealed_folder().to_owned();
    let swept = tokio::task::spawn_blocking(move || -> io::Result<()> {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if !entry.file_name().to_str().is_some_and(|name| names.contains(name)) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    });
    swept.await.map_err(failure::unexpected)?.map_err(failure::unexpected)
}

/// A protected share is not made open by leaving a word out.
pub(super) fn stays_protected(record: &ShareRecord) -> Failure {
    Failure::new(
        FailureKind::Conflict,
        "protected",
        format!("'{}' is protected by a password", show_line(&record.name, 80)),
        "share it again with --protect, or unshare it first",
    )
}
