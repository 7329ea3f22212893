//! Giving a share another name. It is noted first; whatever ends this program, the next one goes on with it.

use std::sync::Arc;

use shared::{
    id::FileId,
    limits::PUBLISH_ENTRIES_MAX,
    name::FileName,
    show::show_line,
    wire::tracker::{Answer, FileEntry, Item, Request},
};

use super::{Library, row_of};
use crate::engine::{
    api::{Failure, FailureKind},
    core::Core,
    failure,
    state::ShareRecord,
};

impl Library {
    /// Gives something that is shared as a whole another name in the index. Ids and links of files stay. Returns its files.
    pub async fn rename(&self, core: &Arc<Core>, item: &Item, name: &str) -> Result<Vec<FileEntry>, Failure> {
        FileName::parse(name).map_err(|error| bad_name(name, &error.to_string()))?;
        let _scanning = self.scanning.lock().await;
        self.finish_renaming(core).await?;
        let shares = core.state.shares().await.map_err(failure::unexpected)?;
        let record = self.whole_share(core, &shares, item).await?;
        if record.name == name {
            return self.publish(core, &record, true).await;
        }
        if let Some(other) = shares.iter().find(|other| other.name == name) {
            return Err(taken(name, other));
        }
        core.state.set_renaming(record.id, Some(name)).await.map_err(failure::unexpected)?;
        self.carry_out(core, record, name).await
    }

    /// The share that is this file or folder.
    async fn whole_share(&self, core: &Core, shares: &[ShareRecord], item: &Item) -> Result<ShareRecord, Failure> {
        let (path, folder) = match item {
            Item::File(file) => (&file.path, false),
            Item::Folder(folder) => (&folder.path, true),
        };
        if path.contains('/') {
            return Err(within_a_share(path));
        }
        let mut found = shares.iter().filter(|record| record.name == *path && record.folder == folder);
        let record = found.next().ok_or_else(super::edit::elsewhere)?.clone();
        if let Item::File(file) = item {
            let files = core.state.files_of(record.id).await.map_err(failure::unexpected)?;
            if files.iter().all(|here| here.file != Some(file.id)) {
                return Err(super::edit::elsewhere());
            }
        }
        Ok(record)
    }

    /// Goes on with what was begun before. Nothing else may be told of a share until it is through.
    pub(super) async fn finish_renaming(&self, core: &Arc<Core>) -> Result<(), Failure> {
        for (id, name) in core.state.renamings().await.map_err(failure::unexpected)? {
            let shares = core.state.shares().await.map_err(failure::unexpected)?;
            if let Some(record) = shares.into_iter().find(|record| record.id == id) {
                self.carry_out(core, record, &name).await?;
            }
        }
        Ok(())
    }

    /// Where the tracker refuses the name, all is as before.
    async fn carry_out(&self, core: &Arc<Core>, record: ShareRecord, name: &str) -> Result<Vec<FileEntry>, Failure> {
        match move_files(core, &record, name).await {
            Ok(files) => {
                self.take_name(core, record, name).await?;
                Ok(files)
            }
            Err(failure) if failure.kind == FailureKind::Unreachable || failure.kind == FailureKind::Timeout => {
                Err(failure)
            }
            Err(failure) => {
                core.state.set_renaming(record.id, Some(&record.name)).await.map_err(failure::unexpected)?;
                move_files(core, &record, &record.name).await?;
                core.state.set_renaming(record.id, None).await.map_err(failure::unexpected)?;
                Err(failure)
            }
        }
    }

    async fn take_name(&self, core: &Arc<Core>, record: ShareRecord, name: &str) -> Result<(), Failure> {
        core.state.rename_share(record.id, &record.name, name).await.map_err(failure::unexpected)?;
        if record.name == name {
            return Ok(());
        }
        let renamed = ShareRecord { name: name.to_owned(), ..record.clone() };
        let files = core.state.files_of(record.id).await.map_err(failure::unexpected)?;
        // The new places first: whoever fetches meanwhile notices nothing.
        core.catalog.add(&renamed, &files);
        core.catalog.remove(record.id, |path| is_below(&record.name, path));
        self.set_row(core, row_of(&renamed, &files, self.state_of(record.id)));
        Ok(())
    }
}

/// Tells the tracker. What stands there already stays there, so this may be told twice.
async fn move_files(core: &Core, record: &ShareRecord, name: &str) -> Result<Vec<FileEntry>, Failure> {
    let known = core.state.files_of(record.id).await.map_err(failure::unexpected)?;
    let moved = |path: &str| format!("{name}{}", path.strip_prefix(&record.name).unwrap_or(path));
    let moves: Vec<(FileId, String)> =
        known.into_iter().filter_map(|file| Some((file.file?, moved(&file.path)))).collect();
    let mut all = Vec::new();
    for batch in moves.chunks(PUBLISH_ENTRIES_MAX) {
        let Answer::Published { files } = core.session.ask(&Request::Rename { files: batch.to_vec() }).await? else {
            return Err(failure::bad_answer());
        };
        all.extend(files);
    }
    Ok(all)
}

/// Whether a path is the share of this name, or below it.
fn is_below(name: &str, path: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn bad_name(name: &str, why: &str) -> Failure {
    Failure::new(
        FailureKind::Usage,
        "bad_name",
        format!("'{}' is no name: {why}", show_line(name, 80)),
        "choose another name",
    )
}

fn taken(name: &str, other: &ShareRecord) -> Failure {
    Failure::new(
        FailureKind::Conflict,
        "name_taken",
        format!("you already share {} under the name '{}'", super::shown(&other.local), show_line(name, 80)),
        "choose another name, or unshare the other one first",
    )
}

fn within_a_share(path: &str) -> Failure {
    Failure::new(
        FailureKind::Refused,
        "within_a_share",
        format!(
            "{} is within a shared folder, where everything has the name that it has on the disk",
            show_line(path, 200)
        ),
        "rename it there; the index follows by itself",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_begins_alike_is_another_share() {
        assert!(is_below("films", "films") && is_below("films", "films/a/b"));
        assert!(!is_below("films", "films 2") && !is_below("films", "film"));
    }
}
