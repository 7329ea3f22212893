//! Stored copies: fetched from their owners' devices, served to whoever holds a grant, deleted when nobody wants them.
//!
//! What is wanted stands in the store, so it survives restarts. One task looks at it whenever something may have changed
//! and does what can be done now; a blob is worked on by one job at a time, so that storing and deleting never meet. A
//! copy counts as stored only after its objects are durable, and its row goes only after its objects.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
    fs::{self, File, OpenOptions},
    io,
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture};
use quinn::RecvStream;
use shared::{
    content::Layout,
    id::{AccountId, BlobHash, DeviceId},
    limits::{COPIES_AT_ONCE_MAX, COPY_PAGE_MAX, COPY_RETRY, COPY_TRIES_MAX},
    net::Outgoing,
    transfer::{
        clock::TrackerClock,
        content::{Catalog, Content},
        fetch::{FetchError, fetch_blob},
        lane::{Lane, LaneError},
        partial::{BootId, Partial, PartialFiles},
        serve::{Gate, serve},
    },
    wire::{Code, Refusal, grant::Source, peer::Want, tracker::Event},
};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    blobs::{BlobError, BlobStore},
    events::{Events, Target},
    handler::now_ms,
    roster::Roster,
    store::{CopyEnd, PendingCopy, Store, StoreError},
};

/// The tracker's copies.
#[derive(Debug)]
pub struct Copies {
    store: Arc<dyn Store>,
    blobs: BlobStore,
    incoming: PathBuf,
    changed: Notify,
    /// Contents of which something may have arrived for a claim that has ended.
    untidy: Mutex<BTreeSet<BlobHash>>,
    served: Mutex<HashMap<BlobHash, Weak<AtomicBool>>>,
}

/// Reaching into a device that is connected.
pub trait Reach: fmt::Debug + Send + Sync {
    /// A fetch stream to the device. `None`: it is not connected.
    fn fetch_from(&self, device: DeviceId) -> BoxFuture<'_, Option<Lane>>;
    /// Whether the device is connected.
    fn is_here(&self, device: DeviceId) -> bool;
}

/// Why a copy is not there yet.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error("the size is impossible")]
    Layout(#[from] shared::content::LayoutError),
    #[error("the partial file failed")]
    File(#[from] io::Error),
    #[error("a disk job ended abnormally")]
    Task(#[from] tokio::task::JoinError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("the device left")]
    Left,
}

/// How a job ended.
#[derive(Debug)]
enum Outcome {
    Stored,
    /// The devices were there, but it did not work.
    Failed(CopyError),
    /// No device was there to the end: no fault of anyone.
    Interrupted,
}

impl Copies {
    /// Copies in a blob store, arriving through partial files in the folder `incoming`.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(store: Arc<dyn Store>, blobs: BlobStore, incoming: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&incoming)?;
        Ok(Self { store, blobs, incoming, changed: Notify::new(), untidy: Mutex::default(), served: Mutex::default() })
    }

    /// Something may be done now that could not be done before.
    pub fn look(&self) {
        self.changed.notify_one();
    }

    /// Claims to these contents have ended: what arrived for them goes, once somebody looks.
    pub fn tidy_later(&self, blobs: impl IntoIterator<Item = BlobHash>) {
        self.untidy.lock().unwrap_or_else(PoisonError::into_inner).extend(blobs);
    }

    /// Running streams of these blobs end: what they were allowed is no longer so.
    pub fn revoke(&self, blobs: Vec<BlobHash>) {
        let mut served = self.served();
        for blob in blobs {
            if let Some(revoked) = served.remove(&blob).and_then(|revoked| revoked.upgrade()) {
                revoked.store(true, Ordering::Release);
            }
        }
    }

    /// Serves copies on a stream of a member's device, to its end.
    pub async fn serve(self: &Arc<Self>, send: Outgoing, recv: RecvStream, device: DeviceId, key: [u8; 32]) {
        let clock = Arc::new(TrackerClock::new(now_ms, 0));
        let gate = Gate::Grants { device, source: Source::Copy, key, clock };
        if let Err(error) = serve(send, recv, gate, self.clone()).await {
            tracing::debug!(%error, "a fetch of copies ended early");
        }
    }

    /// Fetches and deletes copies until stopped.
    pub async fn run(
        self: Arc<Self>,
        roster: Arc<Roster>,
        events: Arc<Events>,
        reach: Arc<dyn Reach>,
        stop: CancellationToken,
    ) {
        if let Err(error) = self.sweep().await {
            tracing::error!(error = &error as &dyn std::error::Error, "the stored copies could not be checked");
        }
        let mut work = Work {
            copies: self,
            roster,
            events,
            reach,
            jobs: JoinSet::new(),
            busy: HashSet::new(),
            late: HashMap::new(),
        };
        loop {
            if let Err(error) = work.begin_what_can_be_done().await {
                tracing::error!(error = &error as &dyn std::error::Error, "the queue of copies could not be read");
            }
            let retry = work.next_retry();
            tokio::select! {
                () = stop.cancelled() => break,
                () = work.copies.changed.notified() => {}
                Some(ended) = work.jobs.join_next() => match ended {
                    Ok((copy, outcome)) => work.end(copy, outcome).await,
                    Err(error) => tracing::error!(%error, "a copy's task ended abnormally"),
                },
                () = async { tokio::time::sleep_until(retry.unwrap_or_else(Instant::now).into()).await }, if retry.is_some() => {}
            }
        }
        // Partial files go on at the next start.
        work.jobs.shutdown().await;
    }

    /// Makes rows and objects agree after a crash: objects without a stored row go, rows without an object are fetched
    /// again, partial files that nobody waits for go.
    async fn sweep(&self) -> Result<(), SweepError> {
        let mut listed = self.blobs.list().chunks(usize::try_from(COPY_PAGE_MAX).unwrap_or(1));
        while let Some(chunk) = listed.next().await {
            let found = chunk.into_iter().collect::<Result<BTreeSet<_>, _>>()?;
            let found: Vec<BlobHash> = found.into_iter().collect();
            let stored: HashSet<BlobHash> = self.store.stored_among(&found).await?.into_iter().collect();
            for orphan in found.iter().filter(|blob| !stored.contains(blob)) {
                tracing::info!("an object without a stored copy is deleted");
                self.blobs.delete(*orphan).await?;
            }
        }
        let mut after = None;
        loop {
            let page = self.store.stored_copies(after).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            for (blob, size) in page {
                let whole = match Layout::new(size) {
                    Ok(layout) => self.blobs.holds(blob, layout).await?,
                    Err(_) => false,
                };
                if !whole {
                    tracing::warn!("a stored copy is missing and will be fetched again");
                    self.store.copy_lost(blob, now_ms()).await?;
                }
            }
        }
        Ok(self.sweep_incoming().await?)
    }

    async fn sweep_incoming(&self) -> Result<(), StoreError> {
        let mut pending = HashSet::new();
        let mut after = None;
        loop {
            let mut page = self.store.pending_copies(after.as_ref()).await?;
            pending.extend(page.iter().map(|copy| partial_name(copy.blob, copy.account, copy.size)));
            after = page.pop();
            if after.is_none() {
                break;
            }
        }
        let Ok(entries) = fs::read_dir(&self.incoming) else { return Ok(()) };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !is_of(&name, &pending)
                && let Err(error) = fs::remove_file(entry.path())
            {
                tracing::warn!(%error, "a partial file could not be removed");
            }
        }
        Ok(())
    }

    fn served(&self) -> MutexGuard<'_, HashMap<BlobHash, Weak<AtomicBool>>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What ends the serving of a blob. Forgets those that nobody is served any more.
    fn revocation(&self, blob: BlobHash) -> Arc<AtomicBool> {
        let mut served = self.served();
        if let Some(revoked) = served.get(&blob).and_then(Weak::upgrade) {
            return revoked;
        }
        served.retain(|_, revoked| revoked.strong_count() > 0);
        let revoked = Arc::new(AtomicBool::new(false));
        served.insert(blob, Arc::downgrade(&revoked));
        revoked
    }

    /// What comes from one member is apart from what comes from another: each claim is proved by the whole content.
    fn partial_path(&self, copy: &PendingCopy, kind: &str) -> PathBuf {
        self.incoming.join(format!("{}.{kind}", partial_name(copy.blob, copy.account, copy.size)))
    }

    /// Fetches one copy from the first of these devices that delivers, and stores it.
    async fn fetch(&self, copy: &PendingCopy, devices: &[DeviceId], reach: &dyn Reach) -> Outcome {
        let mut failure = None;
        for device in devices {
            match self.fetch_from(copy, *device, reach).await {
                Ok(()) => return Outcome::Stored,
                Err(CopyError::Left) => {}
                Err(error) => {
                    tracing::debug!(%device, error = &error as &dyn std::error::Error, "a device did not deliver");
                    if reach.is_here(*device) {
                        failure = Some(error);
                    }
                }
            }
        }
        failure.map_or(Outcome::Interrupted, Outcome::Failed)
    }

    async fn fetch_from(&self, copy: &PendingCopy, device: DeviceId, reach: &dyn Reach) -> Result<(), CopyError> {
        let lane = reach.fetch_from(device).await.ok_or(CopyError::Left)?;
        let layout = Layout::new(copy.size)?;
        let paths = ["data", "tree", "log"].map(|kind| self.partial_path(copy, kind));
        let blob = copy.blob;
        let (partial, resumed) = on_disk(move || {
            let [data, tree, log] = paths;
            let files = PartialFiles { data: open(data)?, tree: open(tree)?, log: open(log)? };
            Partial::open(layout, blob, files, BootId::current())
        })
        .await?;
        tracing::debug!(size = copy.size, have = resumed.have, "fetching a copy");
        let partial = Arc::new(partial);
        let fetched = fetch_blob(lane, partial.clone()).await;
        let flushing = partial.clone();
        on_disk(move || flushing.flush()).await?;
        fetched?;
        if copy.stored {
            return Ok(());
        }
        let (data, tree) = (partial.data().try_clone()?, partial.tree().try_clone()?);
        self.blobs.put(copy.blob, layout, Arc::new(data), Arc::new(tree)).await?;
        Ok(())
    }

    /// Removes what arrived of a content but for these claims.
    async fn remove_partials(&self, blob: BlobHash, kept: &[(AccountId, u64)]) {
        let (incoming, prefix) = (self.incoming.clone(), format!("{blob}."));
        let kept: HashSet<String> = kept.iter().map(|(account, size)| partial_name(blob, *account, *size)).collect();
        let removed = on_disk(move || {
            for entry in fs::read_dir(incoming)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with(&prefix) && !is_of(&name, &kept) {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        });
        if let Err(error) = removed.await {
            tracing::warn!(error = &error as &dyn std::error::Error, "a partial file could not be removed");
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// What the one task that works on copies holds.
struct Work {
    copies: Arc<Copies>,
    roster: Arc<Roster>,
    events: Arc<Events>,
    reach: Arc<dyn Reach>,
    jobs: JoinSet<(PendingCopy, Outcome)>,
    busy: HashSet<BlobHash>,
    /// Claims that failed: how often, and when they are tried again.
    late: HashMap<(BlobHash, AccountId), (u32, Instant)>,
}

impl Work {
    async fn begin_what_can_be_done(&mut self) -> Result<(), StoreError> {
        self.delete_unwanted().await?;
        self.tidy().await?;
        let now = Instant::now();
        let mut after = None;
        while self.jobs.len() < COPIES_AT_ONCE_MAX {
            let page = self.copies.store.pending_copies(after.as_ref()).await?;
            let Some(last) = page.last().cloned() else { break };
            after = Some(last);
            for copy in page {
                if self.jobs.len() < COPIES_AT_ONCE_MAX {
                    self.begin(copy, now);
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, copy: PendingCopy, now: Instant) {
        let waits = self.late.get(&(copy.blob, copy.account)).is_some_and(|(_, retry)| *retry > now);
        if waits || self.busy.contains(&copy.blob) {
            return;
        }
        let devices: Vec<DeviceId> =
            copy.devices.iter().copied().filter(|device| self.roster.is_online(*device)).collect();
        if devices.is_empty() {
            return;
        }
        self.busy.insert(copy.blob);
        let (copies, reach) = (self.copies.clone(), self.reach.clone());
        self.jobs.spawn(async move {
            let outcome = copies.fetch(&copy, &devices, &*reach).await;
            (copy, outcome)
        });
    }

    async fn delete_unwanted(&mut self) -> Result<(), StoreError> {
        loop {
            let mut unwanted = self.copies.store.unwanted_copies().await?;
            unwanted.retain(|blob| !self.busy.contains(blob));
            if unwanted.is_empty() {
                return Ok(());
            }
            for blob in unwanted {
                if let Err(error) = self.copies.blobs.delete(blob).await {
                    // The row stays, and with it the memory of the object.
                    tracing::error!(error = &error as &dyn std::error::Error, "a copy could not be deleted");
                    return Ok(());
                }
                self.copies.remove_partials(blob, &[]).await;
                self.late.retain(|(late, _), _| *late != blob);
                self.copies.store.copy_deleted(blob).await?;
            }
        }
    }

    /// Removes what arrived for claims that have ended. What is being worked on waits for that to end.
    async fn tidy(&mut self) -> Result<(), StoreError> {
        let mut untidy = std::mem::take(&mut *self.copies.untidy.lock().unwrap_or_else(PoisonError::into_inner));
        while let Some(blob) = untidy.pop_first() {
            if self.busy.contains(&blob) {
                self.copies.tidy_later([blob]);
                continue;
            }
            match self.copies.store.pending_claims(blob).await {
                Ok(claims) => self.copies.remove_partials(blob, &claims).await,
                Err(error) => {
                    untidy.insert(blob);
                    self.copies.tidy_later(untidy);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn end(&mut self, copy: PendingCopy, outcome: Outcome) {
        self.busy.remove(&copy.blob);
        let ended = match outcome {
            Outcome::Stored => self.stored(&copy).await,
            Outcome::Failed(error) => self.failed(&copy, &error).await,
            Outcome::Interrupted => Ok(()),
        };
        if let Err(error) = ended {
            tracing::error!(error = &error as &dyn std::error::Error, "the end of a copy could not be written down");
        }
    }

    async fn stored(&mut self, copy: &PendingCopy) -> Result<(), StoreError> {
        let CopyEnd { files, seq } = self.copies.store.copy_stored(copy).await?;
        // Others' claims may count with this one. Whoever hears of it finds nothing left over.
        self.copies.tidy_later([copy.blob]);
        let tidied = self.tidy().await;
        self.late.remove(&(copy.blob, copy.account));
        tracing::debug!(files = files.len(), "a copy is stored");
        for (file, owner) in files {
            self.events.send(Target::Account(owner), Event::CopyStored { file });
        }
        self.moved(seq);
        tidied
    }

    async fn failed(&mut self, copy: &PendingCopy, error: &CopyError) -> Result<(), StoreError> {
        let claim = (copy.blob, copy.account);
        let tries = self.late.get(&claim).map_or(0, |(tries, _)| *tries) + 1;
        let refusal = error.refusal();
        if refusal.code.retry_helps() && tries < COPY_TRIES_MAX {
            self.late.insert(claim, (tries, Instant::now() + COPY_RETRY));
            return Ok(());
        }
        self.late.remove(&claim);
        let CopyEnd { files, seq } = self.copies.store.copy_failed(copy).await?;
        self.copies.tidy_later([copy.blob]);
        let tidied = self.tidy().await;
        for (file, owner) in files {
            self.events.send(Target::Account(owner), Event::CopyFailed { file, refusal: refusal.clone() });
        }
        self.moved(seq);
        tidied
    }

    fn moved(&self, seq: Option<u64>) {
        if let Some(seq) = seq {
            self.roster.index_moved(seq);
        }
    }

    fn next_retry(&self) -> Option<Instant> {
        let now = Instant::now();
        self.late.values().map(|(_, retry)| *retry).filter(|retry| *retry > now).min()
    }
}

impl CopyError {
    /// What the owner is told.
    fn refusal(&self) -> Refusal {
        match self {
            Self::Fetch(FetchError::Refused(refusal)) => refusal.clone(),
            Self::Layout(error) => Refusal::new(Code::TooLarge, error.to_string()),
            // Asking the same device again would bring the same bytes.
            Self::Fetch(FetchError::Lane(LaneError::Misbehaved(fault))) => {
                Refusal::new(Code::BadRequest, format!("the device sent something else than the file: {fault}"))
            }
            Self::Fetch(FetchError::Lane(_) | FetchError::Stalled) | Self::Left => {
                Refusal::new(Code::Unavailable, self.to_string())
            }
            Self::File(_) | Self::Task(_) | Self::Blob(_) => {
                Refusal::new(Code::Unavailable, "the tracker could not write the copy")
            }
        }
    }
}

/// What the files of a claim that is being fetched begin with.
fn partial_name(blob: BlobHash, account: AccountId, size: u64) -> String {
    format!("{blob}.{account}.{size}")
}

/// Whether a file is of one of these claims.
fn is_of(file: &str, claims: &HashSet<String>) -> bool {
    file.rsplit_once('.').is_some_and(|(claim, _)| claims.contains(claim))
}

fn open(path: PathBuf) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, CopyError> {
    Ok(tokio::task::spawn_blocking(work).await??)
}

#[async_trait]
impl Catalog for Copies {
    fn decided_anew(&self, _blob: &BlobHash) -> Option<i64> {
        // Whoever opens a copy is checked against what is decided now.
        None
    }

    async fn open(&self, want: &Want, asker: Option<DeviceId>) -> Result<Arc<dyn Content>, Refusal> {
        // Registered before the check: a revocation in between is not missed.
        let revoked = self.revocation(want.blob);
        let asker = asker.ok_or_else(|| Refusal::new(Code::Unauthenticated, "sign in first"))?;
        let size = self.store.copy_for(asker, want.blob).await.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "a copy could not be looked up");
            Refusal::new(Code::Internal, "the tracker failed; its log says why")
        })?;
        let size = size.ok_or_else(|| Refusal::new(Code::NotFound, "the tracker has no copy of this for you"))?;
        Ok(Arc::new(StoredCopy { blob: want.blob, size, blobs: self.blobs.clone(), revoked }))
    }
}

/// A copy that is being served.
#[derive(Debug)]
struct StoredCopy {
    blob: BlobHash,
    size: u64,
    blobs: BlobStore,
    revoked: Arc<AtomicBool>,
}

impl StoredCopy {
    fn still_allowed(&self) -> Result<(), Refusal> {
        if self.revoked.load(Ordering::Acquire) {
            return Err(Refusal::new(Code::Forbidden, "it is no longer shared"));
        }
        Ok(())
    }
}

#[async_trait]
impl Content for StoredCopy {
    fn size(&self) -> u64 {
        self.size
    }

    async fn data(&self, range: Range<u64>) -> Result<Bytes, Refusal> {
        self.still_allowed()?;
        self.blobs.data(self.blob, range).await.map_err(unreadable)
    }

    async fn tree(&self, range: Range<u64>) -> Result<Bytes, Refusal> {
        self.still_allowed()?;
        self.blobs.tree(self.blob, range).await.map_err(unreadable)
    }
}

fn unreadable(error: BlobError) -> Refusal {
    tracing::warn!(error = &error as &dyn std::error::Error, "a stored copy could not be read");
    Refusal::new(Code::Unavailable, "the tracker's copy cannot be read")
}
