//! Repairing a file where it lies: what is right in it is taken over, the rest is fetched beside it, and only then it
//! makes room. The damaged file stays, under another name.

use std::{
    fs::File,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use shared::{
    id::BlobHash,
    limits::NAME_BYTES_MAX,
    transfer::{
        hash::hash_padded,
        jail::{Folder, JailError, Stamp, finish_metadata, open_shared},
        local,
        partial::Partial,
    },
};

use super::{
    DAMAGED_SUFFIX, Halt, Transfer,
    land::{self, Landed},
    large,
    local::StopOnDrop,
    part::{Sidecar, disk_failure, keep_tree},
    work::{disk, jail_failure},
};
use crate::engine::{
    api::{Failure, FailureKind, TransferState},
    core::Core,
    failure,
    state::PlannedFile,
};

/// A file that is to be repaired, as it was found.
#[derive(Debug)]
pub struct Damaged {
    file: File,
    stamp: Stamp,
}

impl Damaged {
    /// Opens it. `None`: it has moved out of the way already, where a kill came before the repaired one took its place.
    pub fn open(folder: &Folder, file: &PlannedFile, partial: &Partial) -> Result<Option<Self>, Failure> {
        match open_shared(&folder.path().join(name_of(file)), None) {
            Ok((file, stamp)) => Ok(Some(Self { file, stamp })),
            Err(JailError::Missing { .. }) if partial.is_complete() => Ok(None),
            Err(error) => Err(not_there(&error)),
        }
    }
}

/// Only a file that is there can be repaired.
pub fn check(path: &Path) -> Result<(), Failure> {
    open_shared(path, None).map(drop).map_err(|error| not_there(&error))
}

fn not_there(error: &JailError) -> Failure {
    Failure::new(
        FailureKind::NotFound,
        "no_such_file",
        format!("this cannot be repaired: {error}"),
        "name a regular file that is there; to fetch it anew, leave out --repair",
    )
}

fn name_of(file: &PlannedFile) -> &str {
    file.path.rsplit('/').next().unwrap_or(&file.path)
}

/// Takes over what is right in a damaged file. Where the right hash tree is not here, some groups are fetched that tell.
/// Gives the new content, where the index has another by now.
pub async fn salvage(
    core: &Arc<Core>,
    transfer: &Arc<Transfer>,
    file: &PlannedFile,
    partial: &Arc<Partial>,
    damaged: &Arc<Damaged>,
    sidecar: &Sidecar,
) -> Result<Option<PlannedFile>, Halt> {
    if partial.is_complete() {
        return Ok(None);
    }
    transfer.set_state(TransferState::Running, "looking for what is damaged");
    let tree = core.catalog.tree_path(&file.blob);
    let tree = disk(move || Ok(File::open(tree).ok())).await?;
    let own = match &tree {
        Some(_) => None,
        None => Some(own_tree(transfer, file, partial, damaged, sidecar).await?),
    };
    while let Some((own_tree, root)) = &own {
        let (partial_in, own_in, root) = (partial.clone(), own_tree.clone(), *root);
        let asked = disk(move || local::likeness(&partial_in, &own_in, root).map_err(disk_failure)).await?;
        let mut missing = asked;
        missing.subtract(&partial.have());
        if missing.is_empty() {
            break;
        }
        if let Some(replaced) = large::drive(core, transfer, file, partial, Some(&missing)).await? {
            return Ok(Some(replaced));
        }
    }
    take_over(transfer, partial, damaged, tree).await?;
    Ok(None)
}

/// The damaged file's own hash tree, in the layout of the right content, and its root.
async fn own_tree(
    transfer: &Transfer,
    file: &PlannedFile,
    partial: &Partial,
    damaged: &Arc<Damaged>,
    sidecar: &Sidecar,
) -> Result<(Arc<File>, BlobHash), Halt> {
    let (size, damaged, path) = (partial.layout().size(), damaged.clone(), sidecar.own_tree());
    debug_assert_eq!(size, file.size);
    let stop = StopOnDrop::default();
    let stopped = stop.flag();
    let lock = transfer.landing.clone().lock_owned().await;
    disk(move || {
        let _lock = lock;
        let tree = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let tree = tree.map_err(disk_failure)?;
        // It is found by nobody else, and goes with its last handle.
        std::fs::remove_file(&path).map_err(disk_failure)?;
        let root =
            hash_padded(&damaged.file, size, &tree, &AtomicU64::new(0), &stopped).map_err(failure::unexpected)?;
        Ok((Arc::new(tree), root))
    })
    .await
}

/// Writes what is right in the damaged file into the new one. Without the right tree, the nodes that are known prove it.
async fn take_over(
    transfer: &Arc<Transfer>,
    partial: &Arc<Partial>,
    damaged: &Arc<Damaged>,
    tree: Option<File>,
) -> Result<(), Halt> {
    let (counting, partial, damaged) = (transfer.clone(), partial.clone(), damaged.clone());
    let stop = StopOnDrop::default();
    let stopped: Arc<AtomicBool> = stop.flag();
    let lock = transfer.landing.clone().lock_owned().await;
    disk(move || {
        let _lock = lock;
        let tree = tree.as_ref().unwrap_or_else(|| partial.tree());
        let filled = local::fill(&partial, &partial.layout().all(), &damaged.file, tree, |bytes| {
            counting.change(|row| {
                row.done += bytes;
                row.bytes_local += bytes;
            });
            !stopped.load(Ordering::Relaxed)
        });
        filled.map_err(disk_failure)
    })
    .await?;
    drop(stop);
    transfer.log("took over what is right in the damaged file");
    Ok(())
}

/// Puts a complete file in the place of the damaged one, which gets another name: `name.swapmeet-bad`, numbered where
/// that is taken. Returns that name too.
pub fn finish(
    partial: &Partial,
    folder: &Folder,
    part_name: &str,
    file: &PlannedFile,
    damaged: &Damaged,
    sidecar: &Sidecar,
    tree: &Path,
) -> Result<(Landed, String), Failure> {
    let name = name_of(file);
    let permissions = damaged.file.metadata().map_err(disk_failure)?.permissions();
    let kept_its_look = partial
        .data()
        .set_permissions(permissions)
        .and_then(|()| finish_metadata(partial.data(), file.modified_ms, file.executable));
    if let Err(error) = kept_its_look {
        // Some file systems hold neither times nor modes; the content matters more.
        tracing::info!(%error, "the file keeps no modification time or mode here");
    }
    partial.data().sync_all().map_err(disk_failure)?;
    if folder.stamp(name).map_err(jail_failure)? != Some(damaged.stamp) {
        return Err(Failure::new(
            FailureKind::Conflict,
            "changed",
            "the file changed while it was being repaired, and was left alone",
            "run the command again when nothing writes to it; what was fetched is kept",
        ));
    }
    let aside = folder.replace(part_name, name, &aside(name)).map_err(jail_failure)?;
    folder.sync().map_err(jail_failure)?;
    keep_tree(sidecar, tree);
    let landed = Landed {
        position: file.position,
        name: name.to_owned(),
        blob: file.blob,
        local: folder.path().join(name),
        stamp: land::stamp_of(folder, name),
    };
    Ok((landed, aside))
}

/// `name.swapmeet-bad`, within what a file system holds.
fn aside(name: &str) -> String {
    let mut end = name.len().min(NAME_BYTES_MAX - DAMAGED_SUFFIX.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{DAMAGED_SUFFIX}", &name[..end])
}
