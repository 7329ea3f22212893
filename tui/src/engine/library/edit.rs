//! Changing who sees what is shared already, and the remark beside it. It outlives rescans, restarts and new versions.

use std::{collections::HashSet, sync::Arc};

use shared::wire::tracker::{FileEntry, FolderEntry};

use super::{
    Library,
    edits::{Change, Decisions, covers},
};
use crate::engine::{
    api::{Failure, FailureKind, Share},
    core::Core,
    failure,
    state::{ShareRecord, SharedFile},
};

impl Library {
    /// Decides anew for one file.
    pub async fn edit_file(
        &self,
        core: &Arc<Core>,
        file: &FileEntry,
        change: &Change,
    ) -> Result<Vec<FileEntry>, Failure> {
        let _scanning = self.scanning.lock().await;
        self.finish_renaming(core).await?;
        for record in core.state.shares().await.map_err(failure::unexpected)? {
            let files = core.state.files_of(record.id).await.map_err(failure::unexpected)?;
            if let Some(here) = files.iter().find(|here| here.file == Some(file.id)) {
                let path = here.path.clone();
                return self.edit(core, record, files, &path, change).await;
            }
        }
        Err(elsewhere())
    }

    /// Decides anew for all files of a folder, and for those that come later.
    pub async fn edit_folder(
        &self,
        core: &Arc<Core>,
        folder: &FolderEntry,
        change: &Change,
    ) -> Result<Vec<FileEntry>, Failure> {
        let _scanning = self.scanning.lock().await;
        self.finish_renaming(core).await?;
        let path = format!("{}/", folder.path);
        let shares = core.state.shares().await.map_err(failure::unexpected)?;
        let holds = |record: &ShareRecord| record.folder && covers(&format!("{}/", record.name), &path);
        let record = shares.into_iter().find(holds).ok_or_else(elsewhere)?;
        let files = core.state.files_of(record.id).await.map_err(failure::unexpected)?;
        self.edit(core, record, files, &path, change).await
    }

    /// What is decided is noted first, with the files as not yet published under it: whatever ends this program, the
    /// next one tells the tracker. Where the tracker refuses, all is as before.
    async fn edit(
        &self,
        core: &Arc<Core>,
        record: ShareRecord,
        files: Vec<SharedFile>,
        path: &str,
        change: &Change,
    ) -> Result<Vec<FileEntry>, Failure> {
        let edits = core.state.edits(record.id).await.map_err(failure::unexpected)?;
        let mut decisions = Decisions::of(&record, edits.clone());
        decisions.change(&record.name, path, change);
        let edited =
            ShareRecord { audience: decisions.audience.clone(), note: decisions.note.clone(), ..record.clone() };
        let concerned: Vec<SharedFile> = files.into_iter().filter(|file| covers(path, &file.path)).collect();
        let due: Vec<SharedFile> = concerned.iter().map(|file| SharedFile { file: None, ..file.clone() }).collect();
        keep(core, &edited, &decisions.edits, &due).await?;
        match self.publish(core, &edited, false).await {
            Ok(published) => {
                let paths: HashSet<&str> = concerned.iter().map(|file| file.path.as_str()).collect();
                Ok(published.into_iter().filter(|file| paths.contains(file.path.as_str())).collect())
            }
            Err(failure) if failure.kind == FailureKind::Unreachable || failure.kind == FailureKind::Timeout => {
                Err(failure)
            }
            Err(failure) => {
                keep(core, &record, &edits, &concerned).await?;
                Err(failure)
            }
        }
    }
}

/// Notes what holds for a share, and files of it.
async fn keep(
    core: &Core,
    record: &ShareRecord,
    edits: &[crate::engine::state::Edit],
    files: &[SharedFile],
) -> Result<(), Failure> {
    core.state.put_share(record).await.map_err(failure::unexpected)?;
    core.state.set_edits(record.id, edits).await.map_err(failure::unexpected)?;
    core.state.put_files(record.id, files).await.map_err(failure::unexpected)
}

/// Sharing anew with an audience or a remark decides for all of it.
pub(super) async fn overrule(core: &Core, record: &ShareRecord, share: &Share) -> Result<(), Failure> {
    let edits = core.state.edits(record.id).await.map_err(failure::unexpected)?;
    let mut decisions = Decisions::of(record, edits);
    let path = if record.folder { format!("{}/", record.name) } else { record.name.clone() };
    let change = Change { audience: share.audience.clone(), note: share.note.clone() };
    decisions.change(&record.name, &path, &change);
    core.state.set_edits(record.id, &decisions.edits).await.map_err(failure::unexpected)
}

pub(super) fn elsewhere() -> Failure {
    Failure::new(
        FailureKind::Refused,
        "other_device",
        "it is not shared from this device",
        "run `swapmeet edit` on the device that shares it; `swapmeet info` names that",
    )
}
