//! Stored copies by content: `ab/abcdef…` holds the bytes, `ab/abcdef….tree` the hash tree, in any object store.
//!
//! The tree is written first and the bytes second, so an object of bytes is a whole copy. Nothing is written under a hash
//! that the bytes do not have.

use std::{fs::File, ops::Range, path::Path as FsPath, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload, local::LocalFileSystem, path::Path};
use shared::{content::Layout, id::BlobHash, limits::BLOB_PART_BYTES, transfer::content::read_range};

/// Objects named by what they hold.
#[derive(Debug, Clone)]
pub struct BlobStore {
    objects: Arc<dyn ObjectStore>,
}

/// Why a copy could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The object store failed.
    #[error("the blob store failed")]
    Store(#[from] object_store::Error),
    /// The file to be stored could not be read, or the folder not be made.
    #[error("a file could not be read or made")]
    File(#[from] std::io::Error),
    /// The bytes are not what they are called.
    #[error("the bytes do not match the hash {0}")]
    Mismatch(BlobHash),
    /// A read ended abnormally.
    #[error("a read ended abnormally")]
    Task(#[from] tokio::task::JoinError),
}

impl BlobStore {
    /// Objects in a local folder, which is made where there is none.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn in_folder(folder: &FsPath) -> Result<Self, BlobError> {
        std::fs::create_dir_all(folder)?;
        let objects = LocalFileSystem::new_with_prefix(folder)?.with_automatic_cleanup(true).with_fsync(true);
        Ok(Self { objects: Arc::new(objects) })
    }

    /// Objects in a store of any kind.
    #[must_use]
    pub fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects }
    }

    /// Stores a blob out of two files, durably.
    ///
    /// # Errors
    /// When the bytes do not match the hash; then nothing is stored.
    pub async fn put(&self, blob: BlobHash, layout: Layout, data: Arc<File>, tree: Arc<File>) -> Result<(), BlobError> {
        if layout.tree_bytes() > 0 {
            self.put_parts(&tree_path(blob), tree, layout.tree_bytes(), None).await?;
        }
        self.put_parts(&data_path(blob), data, layout.size(), Some(blob)).await
    }

    /// Writes a file as one object, in parts where it is large. The object appears only if the bytes have the hash.
    async fn put_parts(
        &self,
        path: &Path,
        file: Arc<File>,
        size: u64,
        expected: Option<BlobHash>,
    ) -> Result<(), BlobError> {
        let part_bytes = BLOB_PART_BYTES as u64;
        let mut hasher = blake3::Hasher::new();
        if size <= part_bytes {
            let part = read_part(&file, 0..size, &mut hasher).await?;
            check(expected, &hasher)?;
            self.objects.put(path, PutPayload::from(part)).await?;
            return Ok(());
        }
        let mut upload = self.objects.put_multipart(path).await?;
        let mut start = 0;
        while start < size {
            let end = (start + part_bytes).min(size);
            let written = match read_part(&file, start..end, &mut hasher).await {
                Ok(part) => upload.put_part(PutPayload::from(part)).await.map_err(BlobError::from),
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                upload.abort().await?;
                return Err(error);
            }
            start = end;
        }
        if let Err(error) = check(expected, &hasher) {
            upload.abort().await?;
            return Err(error);
        }
        upload.complete().await?;
        Ok(())
    }

    /// Bytes of a blob.
    ///
    /// # Errors
    /// When they are not there.
    pub async fn data(&self, blob: BlobHash, range: Range<u64>) -> Result<Bytes, BlobError> {
        self.read(&data_path(blob), range).await
    }

    /// Bytes of a blob's hash tree.
    ///
    /// # Errors
    /// When they are not there.
    pub async fn tree(&self, blob: BlobHash, range: Range<u64>) -> Result<Bytes, BlobError> {
        self.read(&tree_path(blob), range).await
    }

    async fn read(&self, path: &Path, range: Range<u64>) -> Result<Bytes, BlobError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        Ok(self.objects.get_range(path, range).await?)
    }

    /// Deletes a blob; one that is not there is deleted already.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete(&self, blob: BlobHash) -> Result<(), BlobError> {
        for path in [data_path(blob), tree_path(blob)] {
            match self.objects.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Whether a whole blob of this layout is there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn holds(&self, blob: BlobHash, layout: Layout) -> Result<bool, BlobError> {
        let data = self.has(&data_path(blob), layout.size()).await?;
        let tree = layout.tree_bytes() == 0 || self.has(&tree_path(blob), layout.tree_bytes()).await?;
        Ok(data && tree)
    }

    async fn has(&self, path: &Path, size: u64) -> Result<bool, BlobError> {
        match self.objects.head(path).await {
            Ok(meta) => Ok(meta.size == size),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// All blobs of which there is an object, whole or in part. May name one twice.
    pub fn list(&self) -> impl Stream<Item = Result<BlobHash, BlobError>> {
        self.objects
            .list(None)
            .map_err(BlobError::from)
            .try_filter_map(|meta| async move {
                let name = meta.location.filename().unwrap_or_default();
                Ok(name.strip_suffix(TREE_SUFFIX).unwrap_or(name).parse().ok())
            })
            .boxed()
    }
}

async fn read_part(file: &Arc<File>, range: Range<u64>, hasher: &mut blake3::Hasher) -> Result<Bytes, BlobError> {
    let (file, mut hashing) = (file.clone(), std::mem::take(hasher));
    let (part, hashed) = tokio::task::spawn_blocking(move || {
        let part = read_range(&file, &range)?;
        hashing.update(&part);
        Ok::<_, std::io::Error>((part, hashing))
    })
    .await??;
    *hasher = hashed;
    Ok(part)
}

fn check(expected: Option<BlobHash>, hasher: &blake3::Hasher) -> Result<(), BlobError> {
    match expected {
        Some(blob) if BlobHash::from(hasher.finalize()) != blob => Err(BlobError::Mismatch(blob)),
        Some(_) | None => Ok(()),
    }
}

const TREE_SUFFIX: &str = ".tree";

fn data_path(blob: BlobHash) -> Path {
    let name = blob.to_string();
    Path::from(format!("{}/{name}", &name[..2]))
}

fn tree_path(blob: BlobHash) -> Path {
    let name = blob.to_string();
    Path::from(format!("{}/{name}{TREE_SUFFIX}", &name[..2]))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use object_store::memory::InMemory;
    use shared::content::tree_of;

    use super::*;

    fn file(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    }

    fn stores() -> (Vec<BlobStore>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let stores = vec![BlobStore::in_folder(folder.path()).unwrap(), BlobStore::new(Arc::new(InMemory::new()))];
        (stores, folder)
    }

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n % 251) as u8).collect()
    }

    async fn put(store: &BlobStore, data: &[u8]) -> (BlobHash, Layout) {
        let layout = Layout::new(data.len() as u64).unwrap();
        let tree = tree_of(data, 0, true);
        let blob = tree.blob();
        store.put(blob, layout, file(data), file(&tree.parents)).await.unwrap();
        (blob, layout)
    }

    #[tokio::test]
    async fn what_is_stored_is_read_back_by_ranges_and_gone_when_deleted() {
        let (stores, _folder) = stores();
        for store in stores {
            for data in [bytes(0), bytes(1), bytes(100_000), bytes(BLOB_PART_BYTES * 2 + 5)] {
                let (blob, layout) = put(&store, &data).await;
                assert!(store.holds(blob, layout).await.unwrap());
                let size = data.len() as u64;
                assert_eq!(store.data(blob, size / 3..size).await.unwrap(), data[data.len() / 3..]);
                assert_eq!(store.tree(blob, 0..layout.tree_bytes()).await.unwrap(), tree_of(&data, 0, true).parents);
                let listed: Vec<BlobHash> = store.list().map(Result::unwrap).collect().await;
                assert!(listed.iter().all(|listed| *listed == blob) && !listed.is_empty());
                store.delete(blob).await.unwrap();
                store.delete(blob).await.unwrap();
                assert!(!store.holds(blob, layout).await.unwrap());
                assert!(store.data(blob, 0..size.max(1)).await.is_err());
            }
        }
    }

    #[tokio::test]
    async fn bytes_are_never_stored_under_a_hash_that_they_do_not_have() {
        let (stores, _folder) = stores();
        for store in stores {
            for length in [10, BLOB_PART_BYTES + 10] {
                let (data, blob) = (bytes(length), BlobHash([7; 32]));
                let layout = Layout::new(length as u64).unwrap();
                let tree = file(&tree_of(&data, 0, true).parents);
                let refused = store.put(blob, layout, file(&data), tree).await;
                assert!(matches!(refused, Err(BlobError::Mismatch(_))));
                assert!(!store.holds(blob, layout).await.unwrap());
            }
        }
    }
}
