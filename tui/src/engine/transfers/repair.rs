//! Repairing a file where it lies: what is right in it is taken over, the rest is fetched beside it, and only then it
//! makes room. The damaged file stays, under another name.

use std::{
    fs::File,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use shared::{
    limits::NAME_BYTES_MAX,
    transfer::{
        delta::Delta,
        hash::hash_padded,
        jail::{Folder, JailError, Stamp, finish_metadata, open_shared},
        local,
        partial::Partial,
    },
};

use super::{
    DAMAGED_SUFFIX, Halt, Transfer, delta,
    land::Landed,
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

/// Takes over what is right in a damaged file. Where the right hash tree is not here, sources are asked about it.
pub async fn salvage(
    core: &Arc<Core>,
    transfer: &Arc<Transfer>,
    file: &PlannedFile,
    partial: &Arc<Partial>,
    damaged: &Arc<Damaged>,
    sidecar: &Sidecar,
) -> Result<(), Halt> {
    if partial.is_complete() {
        return Ok(());
    }
    transfer.set_state(TransferState::Running, "looking for what is damaged");
    let tree = core.catalog.tree_path(&file.blob);
    if let Some(tree) = disk(move || Ok(File::open(tree).ok())).await? {
        take_over(transfer, partial, damaged, tree).await?;
    } else if partial.layout().groups() > 1 {
        // As if it were an older version, whose tree is made now.
        let own_tree = own_tree(transfer, partial, damaged, sidecar).await?;
        let data = damaged.file.try_clone().map_err(disk_failure)?;
        let delta = Delta::new(partial.layout(), data, own_tree, partial.clone());
        if let Some(delta) = delta::compare(core, transfer, file, partial, delta).await? {
            delta::take(transfer, partial, delta).await?;
        }
    }
    transfer.log("took over what is right in the damaged file");
    Ok(())
}

/// The damaged file's own hash tree, in the layout of the right content.
async fn own_tree(
    transfer: &Transfer,
    partial: &Partial,
    damaged: &Arc<Damaged>,
    sidecar: &Sidecar,
) -> Result<File, Halt> {
    let (size, damaged, path) = (partial.layout().size(), damaged.clone(), sidecar.own_tree());
    let stop = StopOnDrop::default();
    let stopped = stop.flag();
    let lock = transfer.landing.clone().lock_owned().await;
    disk(move || {
        let _lock = lock;
        let tree = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let tree = tree.map_err(disk_failure)?;
        // It is found by nobody else, and goes with its last handle.
        std::fs::remove_file(&path).map_err(disk_failure)?;
        hash_padded(&damaged.file, size, &tree, &AtomicU64::new(0), &stopped).map_err(failure::unexpected)?;
        Ok(tree)
    })
    .await
}

/// Writes what is right in the damaged file, as the right tree proves, into the new one.
async fn take_over(
    transfer: &Arc<Transfer>,
    partial: &Arc<Partial>,
    damaged: &Arc<Damaged>,
    tree: File,
) -> Result<(), Halt> {
    let (counting, partial, damaged) = (transfer.clone(), partial.clone(), damaged.clone());
    let stop = StopOnDrop::default();
    let stopped = stop.flag();
    let lock = transfer.landing.clone().lock_owned().await;
    disk(move || {
        let _lock = lock;
        let filled = local::fill(&partial, &partial.layout().all(), &damaged.file, &tree, |bytes| {
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
    Ok((Landed::new(file, folder, name.to_owned()), aside))
}

/// `name.swapmeet-bad`, within what a file system holds.
fn aside(name: &str) -> String {
    let mut end = name.len().min(NAME_BYTES_MAX - DAMAGED_SUFFIX.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{DAMAGED_SUFFIX}", &name[..end])
}
