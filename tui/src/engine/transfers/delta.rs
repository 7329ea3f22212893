//! A new version of a file of which an older one is here: what did not change is taken from that one.

use std::{
    fs::File,
    sync::{Arc, atomic::Ordering},
};

use shared::{
    content::Layout,
    limits::{SOURCE_STALL, VERSIONS_COMPARED_MAX},
    transfer::{
        delta::{Delta, TreeSink},
        lane::{Job, Lane, LaneEvent, Order},
        partial::Partial,
    },
    wire::tracker::{Answer, FileDetail, Request, VersionEntry},
};
use tokio::time::timeout;

use super::{
    Halt, Transfer,
    local::{self, StopOnDrop},
    part::disk_failure,
    source::{self, Opened},
    work::disk,
};
use crate::engine::{
    api::{From, TransferState},
    core::Core,
    state::PlannedFile,
};

/// Fills a partial file from older versions that are here. Whatever is in the way, the file is fetched as ever.
pub async fn fill(
    core: &Arc<Core>,
    transfer: &Arc<Transfer>,
    file: &PlannedFile,
    partial: &Arc<Partial>,
) -> Result<(), Halt> {
    if partial.have_bytes() > 0 || transfer.plan.from != From::Any {
        return Ok(());
    }
    for version in older_versions(core, file).await {
        let Some(delta) = open(core, &version, partial).await? else { continue };
        transfer.set_state(TransferState::Running, "comparing it with the version here");
        let Some(delta) = compare(core, transfer, file, partial, delta).await? else { continue };
        let brought = take(transfer, partial, delta).await?;
        if brought > 0 {
            transfer.log(&format!("took what did not change from version {}", version.version));
            break;
        }
    }
    Ok(())
}

/// Versions that may be here, newest first.
async fn older_versions(core: &Core, file: &PlannedFile) -> Vec<VersionEntry> {
    if core.state.is_first_version(file.file, file.blob).await.is_ok_and(|is_first| is_first) {
        return Vec::new();
    }
    match core.session.ask(&Request::Inspect { file: file.file }).await {
        Ok(Answer::Detail(FileDetail { versions, .. })) => {
            let here = versions.into_iter().filter(|version| version.blob != file.blob && core.has_blob(&version.blob));
            here.take(VERSIONS_COMPARED_MAX).collect()
        }
        Ok(_) => Vec::new(),
        Err(failure) => {
            tracing::debug!(%failure, "older versions are not known");
            Vec::new()
        }
    }
}

/// An older version beside the new one, if it still lies here with its tree.
async fn open(core: &Core, version: &VersionEntry, partial: &Arc<Partial>) -> Result<Option<Delta>, Halt> {
    let Ok(layout) = Layout::new(version.size) else { return Ok(None) };
    let places = local::places_of_one(core, &version.blob).await?;
    let (tree, partial) = (core.catalog.tree_path(&version.blob), partial.clone());
    disk(move || {
        let data = places.iter().find_map(local::Place::open);
        let tree = File::open(tree).inspect_err(|error| tracing::debug!(%error, "an older version has no tree")).ok();
        Ok(data.zip(tree).map(|(data, tree)| Delta::new(layout, data, tree, partial)))
    })
    .await
}

/// Asks sources for the tree until it is known what is equal; `None` when nobody tells.
pub async fn compare(
    core: &Arc<Core>,
    transfer: &Arc<Transfer>,
    file: &PlannedFile,
    partial: &Arc<Partial>,
    mut delta: Delta,
) -> Result<Option<Delta>, Halt> {
    let sources = source::locate(core, vec![file.file]).await?;
    let Some(Ok(found)) = sources.files.first().map(|located| located.found()) else { return Ok(None) };
    if found.blob != file.blob {
        return Ok(None);
    }
    for source in sources.of(core, found, transfer.plan.from, false) {
        let Ok(Opened { mut lane, .. }) = source::open(core, transfer, &source, file.file).await else { continue };
        if !lane.order(Order::Grant(sources.grant.clone())).await {
            continue;
        }
        loop {
            let Some((groups, height)) = delta.question() else { return Ok(Some(delta)) };
            let (sink, told) = TreeSink::new(partial.clone());
            let job = Job {
                id: 0,
                blob: file.blob,
                layout: partial.layout(),
                groups: groups.clone(),
                tree: Some(height),
                sink: Box::new(sink),
            };
            if !lane.order(Order::Job(job)).await || !is_answered(&mut lane).await {
                break;
            }
            let Ok(subtrees) = told.await else { break };
            delta = disk(move || {
                delta.answer(&groups, &subtrees).map_err(disk_failure)?;
                Ok(delta)
            })
            .await?;
        }
        tracing::debug!(source = ?source.device(), "a source does not tell its tree");
    }
    Ok(None)
}

async fn is_answered(lane: &mut Lane) -> bool {
    loop {
        match timeout(SOURCE_STALL, lane.event()).await {
            Ok(Some(LaneEvent::Done { .. })) => return true,
            Ok(Some(LaneEvent::Queued { .. } | LaneEvent::Verified { .. })) => {}
            Ok(Some(LaneEvent::Refused { .. }) | None) | Err(_) => return false,
        }
    }
}

/// Takes what is equal. Gives its bytes.
pub async fn take(transfer: &Arc<Transfer>, partial: &Arc<Partial>, delta: Delta) -> Result<u64, Halt> {
    let (filling, partial) = (transfer.clone(), partial.clone());
    // Work on the disk goes on when the attempt is cut off: the next attempt waits for it. This ends at its next block.
    let lock = transfer.landing.clone().lock_owned().await;
    let stop = StopOnDrop::default();
    let stopped = stop.flag();
    let brought = disk(move || {
        let _lock = lock;
        let mut brought = 0;
        let taken = delta.take(|bytes| {
            brought += bytes;
            filling.change(|row| {
                row.done += bytes;
                row.bytes_local += bytes;
            });
            filling.stream.ready(partial.prefix_bytes());
            !stopped.load(Ordering::Relaxed)
        });
        taken.map_err(disk_failure)?;
        Ok(brought)
    })
    .await?;
    drop(stop);
    Ok(brought)
}
