//! What this device shares: publishing in place, keeping the index in step with the disk.

mod difference;
mod edit;
mod edits;
mod offer;
mod protect;
mod rename;
mod watch;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use seal::Password;
use shared::{
    id::FileId,
    limits::{PUBLISH_ENTRIES_MAX, TICK},
    name::FileName,
    show::show_line,
    wire::tracker::{Answer, FileEntry, Request},
};
use tokio::sync::{Mutex as AsyncMutex, Notify};

pub use self::watch::watch;
use self::{
    difference::{Difference, batches, compare, index_path, note, publish_request},
    edits::Decisions,
};
pub use self::{edits::Change, offer::batches_of};
use super::{
    api::{Failure, FailureKind, Hashing, NoticeLevel, Rescanned, Share, ShareRow, ShareState},
    core::Core,
    failure,
    scan::{self, Found, Hashed, Progress},
    state::{ShareRecord, SharedFile},
};

/// The shares of this device.
#[derive(Debug, Default)]
pub struct Library {
    rows: Mutex<BTreeMap<i64, ShareRow>>,
    /// One scan at a time: two would hash the same files twice.
    scanning: AsyncMutex<()>,
    /// The set of watched places changed.
    rewatch: Notify,
    publishing: AsyncMutex<()>,
}

/// Who is shown the progress of hashing; may leave some of it out.
pub type OnProgress<'a> = &'a (dyn Fn(Hashing) + Send + Sync);

/// What sharing a path came to.
#[derive(Debug)]
pub struct Shared {
    pub record: ShareRecord,
    pub files: Vec<FileEntry>,
    pub troubles: Vec<String>,
}

/// What would be shared.
#[derive(Debug)]
pub struct Preview {
    pub name: String,
    pub folder: bool,
    pub files: Vec<(String, u64, i64)>,
    pub troubles: Vec<String>,
}

impl Library {
    /// Reads the shares of earlier runs.
    pub async fn load(&self, core: &Core) -> Result<(), Failure> {
        for record in core.state.shares().await.map_err(failure::unexpected)? {
            let files = core.state.files_of(record.id).await.map_err(failure::unexpected)?;
            core.catalog.add(&record, &files);
            self.set_row(core, row_of(&record, &files, ShareState::Ready));
        }
        protect::sweep(core).await
    }

    /// The shares as faces see them.
    pub fn rows(&self) -> Vec<ShareRow> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Files shared in all.
    pub fn file_count(&self) -> u64 {
        self.rows().iter().map(|row| row.files).sum()
    }

    /// How a share was when it was last looked at.
    fn state_of(&self, share: i64) -> ShareState {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.get(&share).map_or(ShareState::Ready, |row| row.state.clone())
    }

    fn set_row(&self, core: &Core, (id, row): (i64, ShareRow)) {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).insert(id, row);
        core.hub.shares_changed.store(true, Ordering::Relaxed);
    }

    /// What sharing these paths would publish.
    pub async fn preview(&self, share: &Share) -> Result<Vec<Preview>, Failure> {
        let mut all = Vec::new();
        for path in &share.paths {
            let record = record_of(path, share)?;
            let walked = walk(&record).await?;
            let files = walked
                .files
                .iter()
                .map(|found| (index_path(&record.name, found), found.stamp.size, found.stamp.modified_ns / 1_000_000));
            all.push(Preview {
                name: record.name.clone(),
                folder: record.folder,
                files: files.collect(),
                troubles: walked.troubles,
            });
        }
        Ok(all)
    }

    /// Shares one path: hashes what is new, notes it, publishes it.
    pub async fn share(
        &self,
        core: &Arc<Core>,
        path: &Path,
        share: &Share,
        on_progress: OnProgress<'_>,
    ) -> Result<Shared, Failure> {
        let mut record = record_of(path, share)?;
        let _scanning = self.scanning.lock().await;
        self.finish_renaming(core).await?;
        let known = core.state.shares().await.map_err(failure::unexpected)?;
        check_overlap(&known, &record)?;
        if let Some(before) = known.iter().find(|before| before.name == record.name) {
            record.audience = record.audience.or_else(|| before.audience.clone());
            record.note = record.note.or_else(|| before.note.clone());
            if before.protected && share.protect.is_none() {
                return Err(protect::stays_protected(before));
            }
        }
        let sealed = match &share.protect {
            Some(secret) => {
                record.protected = true;
                let password = Password::new(secret.0.clone());
                Some(self.protect(core, &record, password, on_progress).await?)
            }
            None => None,
        };
        record.id = core.state.put_share(&record).await.map_err(failure::unexpected)?;
        core.state.include_all(record.id).await.map_err(failure::unexpected)?;
        if share.audience.is_some() || share.note.is_some() {
            edit::overrule(core, &record, share).await?;
        }
        let mut troubles = match sealed {
            Some((sealed, troubles)) => {
                self.take_in(core, &record, &sealed).await?;
                troubles
            }
            None => Vec::new(),
        };
        troubles.extend(self.look(core, &record, on_progress).await?.1);
        self.rewatch.notify_one();
        // Also what is published already: it may have a new audience or note now, and the answer shows all of it.
        let files = self.publish(core, &record, true).await?;
        if files.is_empty() && !troubles.is_empty() {
            return Err(Failure::new(
                FailureKind::NotFound,
                "nothing_to_share",
                format!("nothing in {} can be shared: {}", shown(path), troubles.join("; ")),
                "check that the files are readable and regular files",
            ));
        }
        Ok(Shared { record, files, troubles })
    }

    /// Looks at all shares for changes and publishes them.
    pub async fn rescan(&self, core: &Arc<Core>, on_progress: OnProgress<'_>) -> Result<Rescanned, Failure> {
        let mut total = Rescanned { added: 0, changed: 0, missing: 0, unchanged: 0 };
        let _scanning = self.scanning.lock().await;
        self.finish_renaming(core).await?;
        for record in core.state.shares().await.map_err(failure::unexpected)? {
            match self.look(core, &record, on_progress).await {
                Ok((found, _)) => {
                    total.added += found.added;
                    total.changed += found.changed;
                    total.missing += found.missing;
                    total.unchanged += found.unchanged;
                }
                Err(failure) => {
                    tracing::info!(%failure, "a share cannot be looked at");
                    total.missing += self.mark(core, &record, ShareState::Missing);
                }
            }
            self.publish(core, &record, false).await?;
        }
        Ok(total)
    }

    /// Publishes what was noted while the tracker was away, then looks for changes made meanwhile.
    pub async fn publish_pending(&self, core: &Arc<Core>) {
        let looked = self.rescan(core, &|_| {}).await;
        if let Err(failure) = looked {
            tracing::info!(%failure, "shares are not in step yet");
            if failure.kind == FailureKind::Conflict || failure.kind == FailureKind::Usage {
                core.hub.notice(NoticeLevel::Error, &failure.message, &failure.hint);
            }
        }
    }

    fn mark(&self, core: &Core, record: &ShareRecord, state: ShareState) -> u64 {
        let row = self.rows.lock().unwrap_or_else(PoisonError::into_inner).get(&record.id).cloned();
        let Some(row) = row else { return 0 };
        let files = row.files;
        if row.state != state {
            self.set_row(core, (record.id, ShareRow { state, ..row }));
        }
        files
    }

    /// Brings the notes about one share in step with the disk. Returns what was found, and what was passed over.
    async fn look(
        &self,
        core: &Arc<Core>,
        record: &ShareRecord,
        on_progress: OnProgress<'_>,
    ) -> Result<(Rescanned, Vec<String>), Failure> {
        let known = core.state.files_of(record.id).await.map_err(failure::unexpected)?;
        let mut walked = walk(record).await?;
        let excluded = core.state.excluded(record.id).await.map_err(failure::unexpected)?;
        if !excluded.is_empty() {
            walked.files.retain(|found| !excluded.contains(&index_path(&record.name, found)));
        }
        let Some(difference) = compare(record, &known, walked) else {
            let error = std::io::Error::other("the folder is empty, as if its drive were not there");
            return Err(missing(&record.local, &error));
        };
        let Difference { keep, mut hash, mut added, gone, mut troubles } = difference;
        if record.protected {
            troubles.extend(protect::out_of_date(record, &known, &hash));
            (hash, added) = (Vec::new(), 0);
        }
        let changed = hash.len() as u64 - added;
        if !hash.is_empty() {
            self.set_row(core, row_of(record, &known, ShareState::Hashing));
        }
        let (hashed, more_troubles) = self.hash(core, record, hash, on_progress).await?;
        troubles.extend(more_troubles);
        let before: HashMap<&str, &SharedFile> = known.iter().map(|file| (file.path.as_str(), file)).collect();
        let noted: Vec<SharedFile> = hashed.into_iter().map(|hashed| note(record, &before, hashed)).collect();
        self.take_in(core, record, &noted).await?;
        let mut missing = 0;
        if !gone.is_empty() {
            let (count, staying) = self.forget(core, record, gone).await?;
            missing = count;
            troubles.extend(staying.iter().map(|path| {
                format!(
                    "{} is gone from here; its copy on the tracker stays until you unshare it",
                    show_line(path, 200)
                )
            }));
        }
        let files = core.state.files_of(record.id).await.map_err(failure::unexpected)?;
        let state = match troubles.first() {
            Some(first) => ShareState::Trouble(first.clone()),
            None => ShareState::Ready,
        };
        self.set_row(core, row_of(record, &files, state));
        let found = Rescanned { added, changed, missing, unchanged: keep };
        Ok((found, troubles))
    }

    /// Files were hashed or encrypted: from now on this is what is shared under their paths.
    async fn take_in(&self, core: &Core, record: &ShareRecord, files: &[SharedFile]) -> Result<(), Failure> {
        core.state.put_files(record.id, files).await.map_err(failure::unexpected)?;
        let replaced: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        core.catalog.remove(record.id, |path| replaced.contains(path));
        core.catalog.add(record, files);
        if record.protected { protect::sweep(core).await } else { Ok(()) }
    }

    async fn hash(
        &self,
        core: &Arc<Core>,
        record: &ShareRecord,
        files: Vec<Found>,
        on_progress: OnProgress<'_>,
    ) -> Result<(Vec<Hashed>, Vec<String>), Failure> {
        if files.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let (count, bytes) = (files.len() as u64, files.iter().map(|found| found.stamp.size).sum());
        let progress = Arc::new(Progress::default());
        // A face that leaves, or an engine that stops, also stops the threads.
        let _stop = StopOnDrop(progress.clone());
        let (catalog, root, shown_by) = (core.catalog.clone(), record.local.clone(), progress.clone());
        let mut work = tokio::task::spawn_blocking(move || scan::hash_all(&root, files, &catalog, &progress));
        let mut timer = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                done = &mut work => return done.map_err(failure::unexpected),
                _ = timer.tick() => on_progress(shown_by.hashing(count, bytes)),
                () = core.stop.cancelled() => return Err(failure::unreachable("the engine is stopping")),
            }
        }
    }

    /// Tells the tracker which files are gone from the disk, and forgets them. Returns the paths of those that stay in the
    /// index for their copies: such a copy may be the last one there is, and only its owner's word takes it away.
    async fn forget(
        &self,
        core: &Arc<Core>,
        record: &ShareRecord,
        gone: Vec<SharedFile>,
    ) -> Result<(u64, Vec<String>), Failure> {
        let ids: Vec<FileId> = gone.iter().filter_map(|file| file.file).collect();
        let kept = vanish(core, &ids).await?;
        let (staying, leaving): (Vec<_>, Vec<_>) =
            gone.into_iter().partition(|file| file.file.is_some_and(|id| kept.contains(&id)));
        let leaving: Vec<String> = leaving.into_iter().map(|file| file.path).collect();
        core.state.remove_files(record.id, &leaving).await.map_err(failure::unexpected)?;
        let count = leaving.len() as u64;
        let leaving: HashSet<String> = leaving.into_iter().collect();
        core.catalog.remove(record.id, |path| leaving.contains(path));
        if record.protected {
            protect::sweep(core).await?;
        }
        Ok((count, staying.into_iter().map(|file| file.path).collect()))
    }

    /// Publishes the files of a share that are not, or all of them. Returns all of its files that are in the index.
    async fn publish(&self, core: &Arc<Core>, record: &ShareRecord, all: bool) -> Result<Vec<FileEntry>, Failure> {
        let _publishing = self.publishing.lock().await;
        let edits = core.state.edits(record.id).await.map_err(failure::unexpected)?;
        let decisions = Decisions::of(record, edits);
        let files = core.state.files_of(record.id).await.map_err(failure::unexpected)?;
        let wanted: Vec<SharedFile> = files.into_iter().filter(|file| all || file.file.is_none()).collect();
        // Of a protected share nothing goes out that is not encrypted.
        let wanted = wanted.into_iter().filter(|file| file.sealed.is_some() == record.protected).collect();
        let mut published = Vec::new();
        for batch in batches(wanted, &decisions) {
            let Answer::Published { files } = core.session.ask(&publish_request(&decisions, &batch)).await? else {
                return Err(failure::bad_answer());
            };
            if files.len() != batch.len() {
                return Err(failure::bad_answer());
            }
            let noted: Vec<SharedFile> = batch
                .into_iter()
                .zip(&files)
                .map(|(file, entry)| SharedFile { file: Some(entry.id), ..file })
                .collect();
            core.state.put_files(record.id, &noted).await.map_err(failure::unexpected)?;
            published.extend(files);
        }
        Ok(published)
    }

    /// Takes own files out of the index; a share without files is forgotten.
    pub async fn unshare(&self, core: &Arc<Core>, files: &[FileId]) -> Result<u64, Failure> {
        let _scanning = self.scanning.lock().await;
        let count = withdraw(core, files).await?;
        let wanted: HashSet<FileId> = files.iter().copied().collect();
        for record in core.state.shares().await.map_err(failure::unexpected)? {
            let known = core.state.files_of(record.id).await.map_err(failure::unexpected)?;
            let (gone, kept): (Vec<_>, Vec<_>) =
                known.into_iter().partition(|file| file.file.is_some_and(|id| wanted.contains(&id)));
            if gone.is_empty() {
                continue;
            }
            let paths: Vec<String> = gone.into_iter().map(|file| file.path).collect();
            core.state.remove_files(record.id, &paths).await.map_err(failure::unexpected)?;
            let excluded = paths.clone();
            let paths: HashSet<String> = paths.into_iter().collect();
            core.catalog.remove(record.id, |path| paths.contains(path));
            if record.protected {
                protect::sweep(core).await?;
            }
            if kept.is_empty() {
                core.state.remove_share(record.id).await.map_err(failure::unexpected)?;
                self.rows.lock().unwrap_or_else(PoisonError::into_inner).remove(&record.id);
                core.hub.shares_changed.store(true, Ordering::Relaxed);
                self.rewatch.notify_one();
            } else {
                core.state.exclude(record.id, &excluded).await.map_err(failure::unexpected)?;
                self.set_row(core, row_of(&record, &kept, ShareState::Ready));
            }
        }
        Ok(count)
    }
}

struct StopOnDrop(Arc<Progress>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

async fn walk(record: &ShareRecord) -> Result<scan::Walk, Failure> {
    let (root, folder) = (record.local.clone(), record.folder);
    let walked = tokio::task::spawn_blocking(move || scan::walk(&root, folder)).await.map_err(failure::unexpected)?;
    walked.map_err(|error| missing(&record.local, &error))
}

fn missing(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        FailureKind::NotFound,
        "no_such_path",
        format!("{} cannot be shared: {error}", shown(path)),
        "name a file or folder that is there and readable; links are not followed",
    )
}

fn shown(path: &Path) -> String {
    show_line(&path.to_string_lossy(), 200)
}

/// A share of this path, checked.
fn record_of(path: &Path, share: &Share) -> Result<ShareRecord, Failure> {
    let kind = std::fs::symlink_metadata(path).map_err(|error| missing(path, &error))?.file_type();
    if !kind.is_dir() && !kind.is_file() {
        let error = std::io::Error::other("it is a link or a special file");
        return Err(missing(path, &error));
    }
    // The way to it may lead through links, which is the user's own choice; itself it is none.
    let local = path.canonicalize().map_err(|error| missing(path, &error))?;
    let name = match &share.as_name {
        Some(name) => name.clone(),
        None => match local.file_name().and_then(std::ffi::OsStr::to_str) {
            Some(name) => name.to_owned(),
            None => return Err(bad_name(path, "its name is not UTF-8; give one with --as")),
        },
    };
    FileName::parse(&name).map_err(|error| bad_name(path, &error.to_string()))?;
    Ok(ShareRecord {
        id: 0,
        name,
        local,
        folder: kind.is_dir(),
        audience: share.audience.clone(),
        note: share.note.clone(),
        protected: false,
    })
}

fn bad_name(path: &Path, why: &str) -> Failure {
    Failure::new(
        FailureKind::Usage,
        "bad_name",
        format!("{} cannot be shared: {why}", shown(path)),
        "choose another name with --as",
    )
}

/// One name stands for one place.
fn check_overlap(known: &[ShareRecord], record: &ShareRecord) -> Result<(), Failure> {
    let other = known.iter().find(|before| before.name == record.name && before.local != record.local);
    let Some(other) = other else { return Ok(()) };
    // A file that moved, or whose old place is gone, may take its name along.
    if !other.local.exists() {
        return Ok(());
    }
    Err(Failure::new(
        FailureKind::Conflict,
        "name_taken",
        format!("you already share {} under the name '{}'", shown(&other.local), show_line(&record.name, 80)),
        "choose another name with --as, or unshare the other one first",
    ))
}

async fn withdraw(core: &Core, files: &[FileId]) -> Result<u64, Failure> {
    let mut count = 0;
    for batch in files.chunks(PUBLISH_ENTRIES_MAX) {
        let Answer::Count(gone) = core.session.ask(&Request::Withdraw { files: batch.to_vec() }).await? else {
            return Err(failure::bad_answer());
        };
        count += gone;
    }
    Ok(count)
}

/// Tells which own files are gone from the disk. Returns those that stay in the index.
async fn vanish(core: &Core, files: &[FileId]) -> Result<HashSet<FileId>, Failure> {
    let mut kept = HashSet::new();
    for batch in files.chunks(PUBLISH_ENTRIES_MAX) {
        let Answer::Kept { files } = core.session.ask(&Request::Vanish { files: batch.to_vec() }).await? else {
            return Err(failure::bad_answer());
        };
        kept.extend(files);
    }
    Ok(kept)
}

fn row_of(record: &ShareRecord, files: &[SharedFile], state: ShareState) -> (i64, ShareRow) {
    let row = ShareRow {
        name: record.name.clone(),
        local: record.local.clone(),
        folder: record.folder,
        files: files.len() as u64,
        size: files.iter().map(|file| file.stamp.size).sum(),
        state,
    };
    (record.id, row)
}
