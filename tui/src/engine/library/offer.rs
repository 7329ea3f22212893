//! Reading files for an offer: like for a share, but nothing is published or watched.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use shared::wire::tracker::Item;

use super::{Decisions, Library, OnProgress, batches, note, record_of, shown, walk};
use crate::engine::{
    api::{Failure, FailureKind, NoticeLevel, Share},
    core::Core,
    failure,
    state::{ShareRecord, SharedFile},
};

impl Library {
    /// Reads and hashes what is to be offered.
    pub async fn read_for_offer(
        &self,
        core: &Arc<Core>,
        path: &Path,
        on_progress: OnProgress<'_>,
    ) -> Result<(ShareRecord, Vec<SharedFile>), Failure> {
        let record = record_of(path, &Share::default())?;
        let walked = walk(&record).await?;
        let mut troubles = walked.troubles;
        let (hashed, more) = self.hash(core, &record, walked.files, on_progress).await?;
        troubles.extend(more);
        let files: Vec<SharedFile> = hashed.into_iter().map(|hashed| note(&record, &HashMap::new(), hashed)).collect();
        if files.is_empty() {
            return Err(Failure::new(
                FailureKind::NotFound,
                "nothing_to_offer",
                format!("nothing in {} can be offered: {}", shown(path), troubles.join("; ")),
                "check that the files are readable and regular files",
            ));
        }
        for trouble in &troubles {
            core.hub.notice(NoticeLevel::Warning, trouble, "");
        }
        Ok((record, files))
    }

    /// Where an own shared file or folder lies on this device.
    pub async fn local_of(&self, core: &Core, item: Item) -> Result<PathBuf, Failure> {
        let path = match &item {
            Item::File(file) => &file.path,
            Item::Folder(folder) => &folder.path,
        };
        for record in core.state.shares().await.map_err(failure::unexpected)? {
            let is_in = path.strip_prefix(&record.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            if record.protected && is_in {
                return Err(Failure::new(
                    FailureKind::Refused,
                    "protected",
                    format!("'{}' is protected by a password, and an offer is not", shared::show::show_line(path, 100)),
                    "send its link and the password; to hand over the file without one, offer it by its path",
                ));
            }
            if *path == record.name {
                return Ok(record.local);
            }
            let Some(below) = path.strip_prefix(&record.name).and_then(|rest| rest.strip_prefix('/')) else { continue };
            let is_below = |file: &SharedFile| {
                let relative = file.relative.as_deref().and_then(|relative| relative.strip_prefix(below));
                relative.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let files = core.state.files_of(record.id).await.map_err(failure::unexpected)?;
            if files.iter().any(is_below) {
                return Ok(record.local.join(below));
            }
        }
        Err(Failure::new(
            FailureKind::NotFound,
            "not_here",
            format!("'{}' is not shared from this device", shared::show::show_line(path, 100)),
            "offer it by its path, or from the device that shares it",
        ))
    }
}

/// Files in parts that a request holds.
pub fn batches_of(files: &[SharedFile], record: &ShareRecord) -> Vec<Vec<SharedFile>> {
    batches(files.to_vec(), &Decisions::of(record, Vec::new()))
}
