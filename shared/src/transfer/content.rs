//! What can be served: blobs with ranged reads of their data and of their hash tree.

use std::{
    fmt::Debug,
    fs::File,
    ops::Range,
    os::unix::fs::FileExt,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{buffers::Buffers, jail::Stamp, partial::Partial};
use crate::{
    content::{Layout, tree_of},
    id::{BlobHash, DeviceId},
    limits::SMALL_FILE_BYTES_MAX,
    wire::{Code, Refusal, peer::Want},
};

/// One blob that can be served, in whole or in part.
#[async_trait]
pub trait Content: Send + Sync + Debug {
    /// Bytes of the blob.
    fn size(&self) -> u64;

    /// Bytes of the data. The range is inside the blob and at most a read block long.
    ///
    /// # Errors
    /// When they cannot be served (any more); the fetcher is told.
    async fn data(&self, range: Range<u64>) -> Result<Bytes, Refusal>;

    /// Bytes of the hash tree (parents in pre-order).
    ///
    /// # Errors
    /// When they cannot be served (any more); the fetcher is told.
    async fn tree(&self, range: Range<u64>) -> Result<Bytes, Refusal>;
}

/// Who can open blobs for a fetcher.
#[async_trait]
pub trait Catalog: Send + Sync + Debug {
    /// Opens what is wanted. That the asker may have it by its grant is checked before; anything else is checked here.
    ///
    /// # Errors
    /// Why it is not served.
    async fn open(&self, want: &Want, asker: Option<DeviceId>) -> Result<Arc<dyn Content>, Refusal>;

    /// Opens several small blobs at once, each as [`Catalog::open`] would; the answers in the order of the wants.
    async fn open_small(&self, wants: &[Want], asker: Option<DeviceId>) -> Vec<Result<Arc<dyn Content>, Refusal>> {
        let mut opened = Vec::with_capacity(wants.len());
        for want in wants {
            opened.push(self.open(want, asker).await);
        }
        opened
    }

    /// Whether this side itself lets this device have a blob, without the tracker's word: one that it offers it in a
    /// private channel.
    fn gives(&self, _blob: &BlobHash, _asker: DeviceId) -> bool {
        false
    }

    /// Grants for a blob that were given before this time count no more, milliseconds since 1970 by the tracker's clock:
    /// who may have it was decided anew then.
    fn decided_anew(&self, blob: &BlobHash) -> Option<i64>;

    /// What this side has of a blob, for who wants to know how it grows. `None`: nothing.
    fn having(&self, _blob: &BlobHash) -> Option<Held> {
        None
    }

    /// Bytes of a blob went out to an asker.
    fn sent(&self, _blob: BlobHash, _asker: Option<DeviceId>, _bytes: u64) {}
}

/// What a side has of a blob.
#[derive(Debug, Clone)]
pub enum Held {
    /// All of it.
    Whole,
    /// It is still arriving. Not kept by whoever asks: it ends with the download.
    Arriving(Weak<Partial>),
}

/// A small blob, whole in memory. Its tree is made from the bytes, so that what is served was just verified.
#[derive(Debug)]
pub struct SmallContent {
    data: Bytes,
    tree: Bytes,
}

impl SmallContent {
    /// A blob of at most [`SMALL_FILE_BYTES_MAX`] bytes, if the bytes are those of `blob`.
    #[must_use]
    pub fn verified(data: Bytes, blob: BlobHash) -> Option<Self> {
        if data.len() as u64 > SMALL_FILE_BYTES_MAX {
            return None;
        }
        let tree = tree_of(&data, 0, true);
        (tree.blob() == blob).then(|| Self { data, tree: tree.parents.into() })
    }
}

#[async_trait]
impl Content for SmallContent {
    fn size(&self) -> u64 {
        self.data.len() as u64
    }

    async fn data(&self, range: Range<u64>) -> Result<Bytes, Refusal> {
        slice(&self.data, range)
    }

    async fn tree(&self, range: Range<u64>) -> Result<Bytes, Refusal> {
        slice(&self.tree, range)
    }
}

fn slice(bytes: &Bytes, range: Range<u64>) -> Result<Bytes, Refusal> {
    let inside = range.start <= range.end && range.end <= bytes.len() as u64;
    if !inside {
        return Err(Refusal::new(Code::Internal, "a range outside the content"));
    }
    Ok(bytes.slice(range.start as usize..range.end as usize))
}

/// A blob in a local file with its tree in another. The file must stay as it was: that is checked at every read.
#[derive(Debug)]
pub struct FileContent {
    layout: Layout,
    data: Arc<File>,
    stamp: Stamp,
    tree: Arc<File>,
}

impl FileContent {
    /// A file that had this stamp when its tree was made.
    #[must_use]
    pub fn new(layout: Layout, data: File, stamp: Stamp, tree: File) -> Self {
        Self { layout, data: Arc::new(data), stamp, tree: Arc::new(tree) }
    }
}

#[async_trait]
impl Content for FileContent {
    fn size(&self) -> u64 {
        self.layout.size()
    }

    async fn data(&self, range: Range<u64>) -> Result<Bytes, Refusal> {
        let (file, stamp) = (self.data.clone(), self.stamp);
        on_disk(move || {
            let bytes = read_range(&file, &range)?;
            // A change while the bytes were read shows in the stamp afterwards.
            if Stamp::of(&file)? != stamp {
                return Ok(None);
            }
            Ok(Some(bytes))
        })
        .await?
        .ok_or_else(|| Refusal::new(Code::Changed, "the file changed since it was shared"))
    }

    async fn tree(&self, range: Range<u64>) -> Result<Bytes, Refusal> {
        let file = self.tree.clone();
        on_disk(move || read_range(&file, &range)).await
    }
}

/// Reads a range of a file.
///
/// # Errors
/// When the file ends before the range does, or cannot be read.
pub fn read_range(file: &File, range: &Range<u64>) -> std::io::Result<Bytes> {
    static BUFFERS: Buffers = Buffers::new();
    BUFFERS.fill((range.end - range.start) as usize, |buffer| file.read_exact_at(buffer, range.start))
}

/// A blob that is still arriving, served as far as it is there.
#[derive(Debug)]
pub struct ArrivingContent(Arc<Partial>);

impl ArrivingContent {
    /// What there is of a want, if that is all of it.
    #[must_use]
    pub fn of(partial: Arc<Partial>, want: &Want) -> Option<Self> {
        let layout = partial.layout();
        let groups = want.groups_in(layout)?;
        let fits = layout.size() == want.size && partial.blob() == want.blob;
        (fits && groups.ranges().all(|range| partial.have().contains_all(range))).then_some(Self(partial))
    }
}

#[async_trait]
impl Content for ArrivingContent {
    fn size(&self) -> u64 {
        self.0.layout().size()
    }

    async fn data(&self, range: Range<u64>) -> Result<Bytes, Refusal> {
        let partial = self.0.clone();
        on_disk(move || read_range(partial.data(), &range)).await
    }

    async fn tree(&self, range: Range<u64>) -> Result<Bytes, Refusal> {
        let partial = self.0.clone();
        on_disk(move || read_range(partial.tree(), &range)).await
    }
}

async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T, Refusal> {
    let result = tokio::task::spawn_blocking(work).await;
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a served file cannot be read");
            Err(Refusal::new(Code::Changed, "the file can no longer be read"))
        }
        Err(error) => {
            tracing::error!(%error, "a read ended abnormally");
            Err(Refusal::new(Code::Internal, "the file could not be read"))
        }
    }
}
