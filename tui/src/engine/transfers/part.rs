//! The partial file of one large file on disk: begun, finished, removed. Blocking work.

use shared::{
    content::Layout,
    transfer::{
        jail::{Folder, Jail, finish_metadata},
        partial::{BootId, Partial, PartialFiles},
    },
};

use super::{
    PART_SUFFIX, Transfer,
    land::{self, Landed},
    work::jail_failure,
};
use crate::engine::{
    api::{Failure, FailureKind},
    core::Core,
    failure,
    state::PlannedFile,
};

/// Where the tree and the have-log of a partial file lie.
#[derive(Debug, Clone)]
pub struct Sidecar {
    tree: std::path::PathBuf,
    log: std::path::PathBuf,
}

impl Sidecar {
    /// Of a file of a transfer.
    pub fn of(core: &Core, transfer: &Transfer, file: &PlannedFile) -> Self {
        let folder = core.profile.state.join("partials");
        let stem = format!("{}-{}", transfer.text_id(), file.position);
        Self { tree: folder.join(format!("{stem}.tree")), log: folder.join(format!("{stem}.log")) }
    }

    /// Where the tree of a damaged file is made.
    pub fn own_tree(&self) -> std::path::PathBuf {
        self.tree.with_extension("own")
    }
}

/// `name.1a2b3c4d.swapmeet-part`, within what a file system holds.
pub fn part_name(name: &str, file: &PlannedFile) -> String {
    let tail = format!(".{:.8}{PART_SUFFIX}", file.blob.to_string());
    let mut end = name.len().min(shared::limits::NAME_BYTES_MAX - tail.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{tail}", &name[..end])
}

/// Opens what there is of a file, or begins it.
pub fn open(jail: &Jail, file: &PlannedFile, sidecar: &Sidecar) -> Result<(Partial, Folder, String), Failure> {
    let layout = Layout::new(file.size).map_err(failure::unexpected)?;
    let (folder, name) = land::home_of(jail, file).map_err(jail_failure)?;
    let part = part_name(name, file);
    let data = if folder.exists(&part).map_err(jail_failure)? {
        folder.open_existing(&part)
    } else {
        let free = folder.free_bytes().map_err(jail_failure)?;
        if free < file.size {
            return Err(Failure::new(
                FailureKind::Transfer,
                "disk_full",
                format!("{} bytes are needed and {free} are free", file.size),
                "make room or choose another folder with -o, then retry",
            ));
        }
        folder.create_new(&part, 0o666)
    };
    let data = data.map_err(jail_failure)?;
    let side = |path: &std::path::Path| {
        std::fs::create_dir_all(path.parent().unwrap_or(path))?;
        std::fs::File::options().read(true).write(true).create(true).truncate(false).open(path)
    };
    let files = PartialFiles {
        data,
        tree: side(&sidecar.tree).map_err(disk_failure)?,
        log: side(&sidecar.log).map_err(disk_failure)?,
    };
    let (partial, resumed) = Partial::open(layout, file.blob, files, BootId::current()).map_err(disk_failure)?;
    if resumed.rechecked > 0 {
        tracing::info!(groups = resumed.rechecked, "verified again what the last shutdown may have lost");
    }
    Ok((partial, folder, part))
}

/// Makes a complete file durable and gives it its name.
pub fn finish(
    partial: &Partial,
    folder: &Folder,
    part_name: &str,
    file: &PlannedFile,
    sidecar: &Sidecar,
    tree: &std::path::Path,
) -> Result<Landed, Failure> {
    if let Err(error) = finish_metadata(partial.data(), file.modified_ms, file.executable) {
        // Some file systems hold neither times nor modes; the content matters more.
        tracing::info!(%error, "the file keeps no modification time or mode here");
    }
    partial.data().sync_all().map_err(disk_failure)?;
    let wanted = file.path.rsplit('/').next().unwrap_or(&file.path);
    let name = land::publish(folder, part_name, folder, wanted).map_err(jail_failure)?;
    folder.sync().map_err(jail_failure)?;
    keep_tree(sidecar, tree);
    Ok(Landed::new(file, folder, name))
}

/// Of a file that has its name, keeps the hash tree: with it this device can serve the file, or tell what is wrong with
/// it, without fetching anything.
pub fn keep_tree(sidecar: &Sidecar, tree: &std::path::Path) {
    let kept =
        tree.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::rename(&sidecar.tree, tree));
    if let Err(error) = kept {
        tracing::debug!(%error, "the hash tree was not kept");
    }
    if let Err(error) = std::fs::remove_file(&sidecar.log) {
        tracing::debug!(%error, "a have-log was left behind");
    }
}

/// Removes a partial file with all that belongs to it.
pub fn remove(folder: &Folder, part_name: &str, sidecar: &Sidecar) -> Result<(), Failure> {
    folder.remove(part_name).map_err(jail_failure)?;
    for path in [&sidecar.tree, &sidecar.log] {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(disk_failure(error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// The disk refuses.
pub fn disk_failure(error: std::io::Error) -> Failure {
    Failure::new(
        FailureKind::Transfer,
        "disk",
        format!("could not write: {error}"),
        "check the disk, then retry; what is there is kept",
    )
}
