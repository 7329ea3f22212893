//! What a transfer lacks and this device holds already, under another name: taken from there, checked like anything that
//! is fetched. Who asks for a certain source gets that source.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use shared::{
    content::{Layout, tree_of},
    id::BlobHash,
    limits::{GRANT_BLOBS_MAX, SMALL_FILE_BYTES_MAX},
    name::IndexPath,
    transfer::{
        content::{SmallContent, read_range},
        jail::open_shared,
        local,
        partial::Partial,
    },
};

use super::{Halt, Transfer, part::disk_failure, staging::Staging, work::disk};
use crate::engine::{
    api::{From, TransferState},
    core::Core,
    failure,
    state::PlannedFile,
};

/// Where a content may lie.
#[derive(Debug, Clone)]
pub struct Place {
    root: PathBuf,
    relative: Option<String>,
}

impl Place {
    /// What lies there now, whatever that is.
    pub fn open(&self) -> Option<File> {
        let relative = match &self.relative {
            Some(text) => Some(IndexPath::parse(text).ok()?),
            None => None,
        };
        let opened = open_shared(&self.root, relative.as_ref());
        opened.inspect_err(|error| tracing::debug!(%error, "what was here is no longer")).ok().map(|(file, _)| file)
    }
}

type Places = HashMap<BlobHash, Vec<Place>>;

/// The places of contents that this device has: shared ones first, then fetched ones.
async fn places_of(core: &Core, blobs: &[BlobHash]) -> Result<Places, Halt> {
    let mut places = Places::new();
    for blob in blobs {
        let shared = core.catalog.places(blob).into_iter();
        let shared = shared.map(|(root, relative)| Place {
            root: Path::to_owned(&root),
            relative: relative.map(|relative| str::to_owned(&relative)),
        });
        places.entry(*blob).or_default().extend(shared);
    }
    for part in blobs.chunks(GRANT_BLOBS_MAX) {
        for (blob, local) in core.state.fetched_places(part).await.map_err(failure::unexpected)? {
            places.entry(blob).or_default().push(Place { root: local, relative: None });
        }
    }
    Ok(places)
}

/// The places of one content.
pub async fn places_of_one(core: &Core, blob: &BlobHash) -> Result<Vec<Place>, Halt> {
    let mut places = places_of(core, &[*blob]).await?;
    Ok(places.remove(blob).unwrap_or_default())
}

/// Stages the small files that this device has elsewhere. Gives these, and those that it has not.
pub async fn take_small(
    core: &Core,
    transfer: &Transfer,
    staging: &Staging,
    files: Vec<PlannedFile>,
) -> Result<(Vec<PlannedFile>, Vec<PlannedFile>), Halt> {
    let (known, mut missing): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| core.has_blob(&file.blob));
    if known.is_empty() || transfer.plan.from != From::Any {
        missing.extend(known);
        missing.sort_unstable_by_key(|file| file.position);
        return Ok((Vec::new(), missing));
    }
    let blobs: Vec<BlobHash> = known.iter().map(|file| file.blob).collect();
    let places = places_of(core, &blobs).await?;
    let staging = staging.clone();
    // Work on the disk goes on when the attempt is cut off: the next attempt waits for it.
    let lock = transfer.landing.clone().lock_owned().await;
    let (taken, gone) = disk(move || {
        let _lock = lock;
        let (mut taken, mut gone) = (Vec::new(), Vec::new());
        for file in known {
            match places.get(&file.blob).and_then(|places| read_small(places, &file)) {
                Some((layout, data)) => {
                    staging.put(&file, layout, &data).map_err(disk_failure)?;
                    taken.push(file);
                }
                None => gone.push(file),
            }
        }
        Ok((taken, gone))
    })
    .await?;
    missing.extend(gone);
    missing.sort_unstable_by_key(|file| file.position);
    if !taken.is_empty() {
        let bytes: u64 = taken.iter().map(|file| file.size).sum();
        transfer.change(|row| row.bytes_local += bytes);
        transfer.log(&format!("{} of the files are on this machine already", taken.len()));
    }
    Ok((taken, missing))
}

/// Of files with equal content only the first is fetched: gives these, and the others, which follow when it is there.
pub fn set_aside_repeats(transfer: &Transfer, files: Vec<PlannedFile>) -> (Vec<PlannedFile>, Vec<PlannedFile>) {
    if transfer.plan.from != From::Any {
        return (files, Vec::new());
    }
    let mut seen = HashSet::with_capacity(files.len());
    // An empty file costs no more than a look for another.
    files.into_iter().partition(|file| file.size == 0 || seen.insert(file.blob))
}

fn read_small(places: &[Place], file: &PlannedFile) -> Option<(Layout, bytes::Bytes)> {
    debug_assert!(file.size <= SMALL_FILE_BYTES_MAX);
    let layout = Layout::new(file.size).ok()?;
    places.iter().find_map(|place| {
        let data = read_range(&place.open()?, &(0..file.size)).ok()?;
        SmallContent::verified(data.clone(), file.blob).map(|_| (layout, data))
    })
}

/// Fills the partial file of a large file from where this device has its content.
pub async fn fill_large(
    core: &Core,
    transfer: &Arc<Transfer>,
    file: &PlannedFile,
    partial: &Arc<Partial>,
) -> Result<(), Halt> {
    if partial.is_complete() || !core.has_blob(&file.blob) || transfer.plan.from != From::Any {
        return Ok(());
    }
    let places = places_of_one(core, &file.blob).await?;
    let tree = core.catalog.tree_path(&file.blob);
    transfer.set_state(TransferState::Running, "taking it from this machine");
    let (filling, partial) = (transfer.clone(), partial.clone());
    // As above; this ends at its next block.
    let file = file.clone();
    let lock = transfer.landing.clone().lock_owned().await;
    let stop = StopOnDrop::default();
    let stopped = stop.flag();
    let brought = disk(move || {
        let _lock = lock;
        let mut brought = 0;
        let mut count = |bytes| {
            brought += bytes;
            filling.change(|row| {
                row.done += bytes;
                row.bytes_local += bytes;
            });
            filling.stream.ready(partial.prefix_bytes());
            !stopped.load(Ordering::Relaxed)
        };
        // The tree of a small file is kept nowhere.
        if file.size <= SMALL_FILE_BYTES_MAX {
            if let Some((layout, data)) = read_small(&places, &file) {
                let had = partial.have_bytes();
                let tree = tree_of(&data, 0, true);
                partial.write(0..layout.groups(), &data, &tree.nodes().collect::<Vec<_>>()).map_err(disk_failure)?;
                count(file.size - had);
            }
            return Ok(brought);
        }
        let Ok(tree) = File::open(tree) else { return Ok(0) };
        for data in places.iter().filter_map(Place::open) {
            local::fill(&partial, &partial.layout().all(), &data, &tree, &mut count).map_err(disk_failure)?;
            if partial.is_complete() || stopped.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(brought)
    })
    .await?;
    drop(stop);
    if brought > 0 {
        transfer.log("found on this machine");
    }
    Ok(())
}

/// Says so when it goes.
#[derive(Debug, Default)]
pub struct StopOnDrop(Arc<AtomicBool>);

impl StopOnDrop {
    /// Set once it has gone.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
