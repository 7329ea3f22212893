//! What this device serves: its shared files, opened in place and checked against the state they were hashed in.

use std::{
    collections::HashMap,
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Instant,
};

use async_trait::async_trait;
use bytes::Bytes;
use shared::{
    content::Layout,
    id::{BlobHash, DeviceId},
    limits::{CLOCK_SKEW, GRANT_LIFE, SMALL_FILE_BYTES_MAX, SMALL_READERS_MAX},
    name::IndexPath,
    transfer::{
        content::{self, ArrivingContent, Content, FileContent, Held, SmallContent, read_range},
        jail::{SharedFiles, Stamp},
    },
    wire::{Code, Refusal, peer::Want},
};
use tokio::sync::{Notify, Semaphore};

use super::{
    holdings::{Holding, Holdings, What},
    state::{ShareRecord, SharedFile},
};
use crate::profile::Profile;

mod given;

use given::Given;

/// The number of no share: of what is served without being shared.
const NO_SHARE: i64 = 0;

type Served = HashMap<BlobHash, Vec<Servable>>;

/// The served contents.
#[derive(Debug)]
pub struct Catalog {
    trees: Arc<Path>,
    sealed: PathBuf,
    served: Arc<Mutex<Served>>,
    /// What is served beside the shares.
    pub holdings: Arc<Holdings>,
    /// What others may have without a grant.
    pub given: Given,
    uploads: Mutex<HashMap<DeviceId, Upload>>,
    /// When it was decided anew who may have a blob, by the tracker's clock.
    decided: Mutex<HashMap<BlobHash, i64>>,
    /// The same for every blob.
    all_decided: AtomicI64,
    /// Small files are read by a few threads: the allocator keeps what each of them once had.
    readers: Semaphore,
    /// Bytes sent since the last look.
    pub sent: AtomicU64,
    /// A served file was found changed: the library should look.
    pub changed: Notify,
}

/// A place where a content lies.
#[derive(Debug, Clone)]
struct Servable {
    share: i64,
    path: Arc<str>,
    root: Arc<Path>,
    relative: Option<Arc<str>>,
    stamp: Stamp,
    /// Set for those who opened it before it was revoked.
    revoked: Arc<AtomicBool>,
}

/// What one device took lately.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The path in the index of what it took last.
    pub path: Arc<str>,
    /// Bytes since the upload began.
    pub bytes: u64,
    /// How many of them were relayed.
    pub relayed: u64,
    /// Whether the last of them were.
    pub is_relayed: bool,
    pub began: Instant,
    pub last: Instant,
}

impl Catalog {
    /// An empty catalog of a profile.
    pub fn new(profile: &Profile) -> Self {
        Self {
            trees: profile.state.join("trees").into(),
            sealed: profile.state.join("sealed"),
            served: Arc::default(),
            holdings: Arc::default(),
            given: Given::default(),
            uploads: Mutex::default(),
            decided: Mutex::default(),
            all_decided: AtomicI64::new(i64::MIN),
            readers: Semaphore::new(SMALL_READERS_MAX),
            sent: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    /// Where the tree of a content lies.
    pub fn tree_path(&self, blob: &BlobHash) -> PathBuf {
        tree_below(&self.trees, blob)
    }

    /// Where the encrypted forms of protected files lie.
    pub fn sealed_folder(&self) -> &Path {
        &self.sealed
    }

    /// Serves these files of a share; of a protected one only what is encrypted.
    pub fn add(&self, share: &ShareRecord, files: &[SharedFile]) {
        let root: Arc<Path> = share.local.as_path().into();
        let mut served = self.served();
        for file in files.iter().filter(|file| file.sealed.is_some() == share.protected) {
            let (root, relative, stamp) = match &file.sealed {
                Some(sealed) => (self.sealed.join(&sealed.name).into(), None, sealed.stamp),
                None => (root.clone(), file.relative.as_deref().map(Into::into), file.stamp),
            };
            let servable = Servable {
                share: share.id,
                path: file.path.as_str().into(),
                root,
                relative,
                stamp,
                revoked: Arc::default(),
            };
            served.entry(file.blob).or_default().push(servable);
        }
    }

    /// No longer serves the files of a share for which `gone` says so.
    pub fn remove(&self, share: i64, gone: impl Fn(&str) -> bool) {
        self.served().retain(|_, places| {
            places.retain(|place| place.share != share || !gone(&place.path));
            !places.is_empty()
        });
    }

    /// Whether this content is shared from here.
    pub fn holds(&self, blob: &BlobHash) -> bool {
        self.served().contains_key(blob)
    }

    /// Where this content is shared from: the place of the share, and the path below it where that is a folder.
    pub fn places(&self, blob: &BlobHash) -> Vec<(Arc<Path>, Option<Arc<str>>)> {
        let served = self.served();
        let places = served.get(blob).into_iter().flatten();
        places.map(|place| (place.root.clone(), place.relative.clone())).collect()
    }

    /// Grants given before are withdrawn: running transfers of these end at their next block. What is still shared is
    /// served again to whoever asks anew.
    pub fn revoke(&self, blobs: &[BlobHash], tracker_ms: i64) {
        let mut decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        // What was given before is over by itself in a while.
        let memory_ms = i64::try_from((GRANT_LIFE + CLOCK_SKEW * 2).as_millis()).unwrap_or(i64::MAX);
        decided.retain(|_, at| tracker_ms.saturating_sub(*at) < memory_ms);
        decided.extend(blobs.iter().map(|blob| (*blob, tracker_ms)));
        drop(decided);
        let mut served = self.served();
        for blob in blobs {
            self.holdings.revoke(blob);
            if let Some(places) = served.get_mut(blob) {
                for place in places {
                    place.revoked.store(true, Ordering::Relaxed);
                    place.revoked = Arc::default();
                }
            }
        }
    }

    /// No grant counts that was given before this time, whatever it is for: what runs ends at its next block, and begins
    /// again under a new one. Hearing the same again changes nothing.
    pub fn revoke_all(&self, tracker_ms: i64) {
        if self.all_decided.fetch_max(tracker_ms, Ordering::AcqRel) >= tracker_ms {
            return;
        }
        for places in self.served().values_mut() {
            for place in places {
                place.revoked.store(true, Ordering::Relaxed);
                place.revoked = Arc::default();
            }
        }
        self.holdings.revoke_all();
    }

    /// The tracker's clock was moved by this many milliseconds, and with it what is dated by it.
    pub fn clock_moved(&self, by_ms: i64) {
        for decided in self.decided.lock().unwrap_or_else(PoisonError::into_inner).values_mut() {
            *decided = decided.saturating_add(by_ms);
        }
        let moved = |at: i64| (at > i64::MIN).then(|| at.saturating_add(by_ms));
        // Nothing to do where nothing was decided.
        let _unchanged = self.all_decided.fetch_update(Ordering::AcqRel, Ordering::Acquire, moved);
    }

    /// Who takes what now, by device.
    pub fn uploads(&self) -> Vec<(DeviceId, Upload)> {
        let uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.iter().map(|(device, upload)| (*device, upload.clone())).collect()
    }

    /// Forgets an upload that is over.
    pub fn forget_upload(&self, device: DeviceId) {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner).remove(&device);
    }

    fn served(&self) -> MutexGuard<'_, Served> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn know(&self, want: &Want) -> Result<Known, Refusal> {
        let mut places = self.served().get(&want.blob).cloned().unwrap_or_default();
        if let Some(Holding { path, what: What::Landed { local, stamp }, revoked }) = self.holdings.get(&want.blob) {
            places.push(Servable { share: NO_SHARE, path, root: local, relative: None, stamp, revoked });
        }
        if places.is_empty() {
            return Err(Refusal::new(Code::NotFound, "this device does not share that file"));
        }
        let layout = Layout::new(want.size).map_err(|error| Refusal::new(Code::TooLarge, error.to_string()))?;
        Ok(Known { blob: want.blob, layout, trees: self.trees.clone(), places })
    }

    /// Opens what is still arriving here; `None` when it is here whole, or not at all.
    fn open_arriving(&self, want: &Want, asker: Option<DeviceId>) -> Option<Result<Arc<dyn Content>, Refusal>> {
        if self.holds(&want.blob) {
            return None;
        }
        let Holding { path, what: What::Arriving(partial), revoked } = self.holdings.get(&want.blob)? else {
            return None;
        };
        let content = partial.upgrade().and_then(|partial| ArrivingContent::of(partial, want));
        Some(match content {
            Some(content) => {
                if let Some(asker) = asker {
                    self.note_upload(asker, &path);
                }
                Ok(self.revocable(Arc::new(content), want.blob, revoked))
            }
            None => Err(Refusal::new(Code::Unavailable, "that part is not here yet")),
        })
    }

    /// Opens what is given to an asker.
    fn open_given(&self, want: &Want, asker: Option<DeviceId>) -> Option<Arc<dyn Content>> {
        let asker = asker?;
        let (name, content) = self.given.open(want, asker)?;
        self.note_upload(asker, &name);
        Some(content)
    }

    fn revocable(&self, content: Arc<dyn Content>, blob: BlobHash, revoked: Arc<AtomicBool>) -> Arc<dyn Content> {
        Arc::new(Revocable { content, blob, served: self.served.clone(), holdings: self.holdings.clone(), revoked })
    }

    /// Bytes went out to an asker, relayed or not.
    pub fn count(&self, asker: Option<DeviceId>, bytes: u64, is_relayed: bool) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(upload) = asker.and_then(|asker| uploads.get_mut(&asker)) {
            upload.bytes += bytes;
            upload.relayed += if is_relayed { bytes } else { 0 };
            upload.is_relayed = is_relayed;
            upload.last = Instant::now();
        }
    }

    fn note_upload(&self, asker: DeviceId, path: &Arc<str>) {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let begin = || Upload { path: path.clone(), bytes: 0, relayed: 0, is_relayed: false, began: now, last: now };
        uploads.entry(asker).or_insert_with(begin).path = path.clone();
    }
}

#[async_trait]
impl content::Catalog for Catalog {
    async fn open(&self, want: &Want, asker: Option<DeviceId>) -> Result<Arc<dyn Content>, Refusal> {
        if let Some(given) = self.open_given(want, asker) {
            return Ok(given);
        }
        if let Some(arriving) = self.open_arriving(want, asker) {
            return arriving;
        }
        let mut opened = self.open_small(std::slice::from_ref(want), asker).await;
        opened.pop().unwrap_or_else(|| Err(Refusal::new(Code::Internal, "the file could not be opened")))
    }

    async fn open_small(&self, wants: &[Want], asker: Option<DeviceId>) -> Vec<Result<Arc<dyn Content>, Refusal>> {
        if let Some(given) = wants.iter().map(|want| self.open_given(want, asker)).collect::<Option<Vec<_>>>() {
            return given.into_iter().map(Ok).collect();
        }
        let known: Vec<Result<Known, Refusal>> = wants.iter().map(|want| self.know(want)).collect();
        if let (Some(asker), Some(first)) = (asker, known.iter().flatten().next()) {
            self.note_upload(asker, &first.places[0].path);
        }
        // Never closed, so there is always a turn.
        let _turn = self.readers.acquire().await;
        // One thread reads them all: waking one for each would cost more than the reading.
        let opened = tokio::task::spawn_blocking(move || {
            let mut files = SharedFiles::default();
            known.into_iter().map(|known| known.map(|known| known.open(&mut files))).collect::<Vec<_>>()
        });
        let opened = match opened.await {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(%error, "opening shared files ended abnormally");
                let refused = || Err(Refusal::new(Code::Internal, "the file could not be opened"));
                return wants.iter().map(|_| refused()).collect();
            }
        };
        let found = opened.into_iter().zip(wants).map(|(opened, want)| {
            let Some((content, revoked)) = opened? else {
                self.holdings.forget(&want.blob);
                self.changed.notify_one();
                return Err(Refusal::new(Code::Changed, "the file changed since it was shared"));
            };
            Ok(self.revocable(content, want.blob, revoked))
        });
        found.collect()
    }

    fn gives(&self, blob: &BlobHash, asker: DeviceId) -> bool {
        self.given.holds(blob, asker)
    }

    fn decided_anew(&self, blob: &BlobHash) -> Option<i64> {
        let all = Some(self.all_decided.load(Ordering::Acquire)).filter(|at| *at > i64::MIN);
        self.decided.lock().unwrap_or_else(PoisonError::into_inner).get(blob).copied().max(all)
    }

    fn having(&self, blob: &BlobHash) -> Option<Held> {
        if self.holds(blob) {
            return Some(Held::Whole);
        }
        match self.holdings.get(blob)?.what {
            What::Landed { .. } => Some(Held::Whole),
            What::Arriving(partial) => Some(Held::Arriving(partial)),
        }
    }

    fn sent(&self, _blob: BlobHash, asker: Option<DeviceId>, bytes: u64) {
        self.count(asker, bytes, false);
    }
}

/// A wanted blob with the places where it may lie. At least one.
struct Known {
    blob: BlobHash,
    layout: Layout,
    trees: Arc<Path>,
    places: Vec<Servable>,
}

impl Known {
    /// Opens the first place that still holds what was hashed there.
    fn open(&self, files: &mut SharedFiles) -> Option<(Arc<dyn Content>, Arc<AtomicBool>)> {
        self.places.iter().find_map(|place| {
            let content = open_place(place, self.layout, self.blob, &self.trees, files)?;
            Some((content, place.revoked.clone()))
        })
    }
}

/// A content that ends when it is no longer shared.
#[derive(Debug)]
struct Revocable {
    content: Arc<dyn Content>,
    blob: BlobHash,
    served: Arc<Mutex<Served>>,
    holdings: Arc<Holdings>,
    revoked: Arc<AtomicBool>,
}

impl Revocable {
    fn is_served(&self) -> bool {
        let is_shared = self.served.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&self.blob);
        !self.revoked.load(Ordering::Relaxed) && (is_shared || self.holdings.get(&self.blob).is_some())
    }
}

#[async_trait]
impl Content for Revocable {
    fn size(&self) -> u64 {
        self.content.size()
    }

    async fn data(&self, range: Range<u64>) -> Result<Bytes, Refusal> {
        if !self.is_served() {
            return Err(Refusal::new(Code::Forbidden, "the file is no longer shared"));
        }
        self.content.data(range).await
    }

    async fn tree(&self, range: Range<u64>) -> Result<Bytes, Refusal> {
        self.content.tree(range).await
    }
}

/// Where the tree of a content lies below the folder of all trees.
pub fn tree_below(trees: &Path, blob: &BlobHash) -> PathBuf {
    let name = blob.to_string();
    trees.join(&name[..2]).join(name)
}

/// Opens one place if it still holds what was hashed there.
fn open_place(
    place: &Servable,
    layout: Layout,
    blob: BlobHash,
    trees: &Path,
    files: &mut SharedFiles,
) -> Option<Arc<dyn Content>> {
    let relative = match &place.relative {
        Some(text) => Some(IndexPath::parse(text).ok()?),
        None => None,
    };
    let (file, stamp) = files
        .open(&place.root, relative.as_ref())
        .inspect_err(|error| tracing::debug!(%error, "a shared file cannot be opened"))
        .ok()?;
    if stamp != place.stamp || stamp.size != layout.size() {
        return None;
    }
    if layout.size() <= SMALL_FILE_BYTES_MAX {
        let data: Bytes = read_range(&file, &(0..layout.size())).ok()?;
        return SmallContent::verified(data, blob).map(|content| Arc::new(content) as Arc<dyn Content>);
    }
    let tree = File::open(tree_below(trees, &blob))
        .inspect_err(|error| tracing::warn!(%error, "a hash tree is missing"))
        .ok()?;
    Some(Arc::new(FileContent::new(layout, file, stamp, tree)))
}
