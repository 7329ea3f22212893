//! Offers from here, and the files of offers to here.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use shared::{
    id::{FileId, FolderId, ItemId, ParcelId},
    limits::PEOPLE_MAX,
    name::{FileName, FoldKey},
    show::show_line,
    wire::{
        inbox::{InboxAnswer, InboxRequest, ItemEntry, PackEntry, Receiver, What},
        tracker::{Answer, FileEntry, FolderEntry, Item, Request},
    },
};

use super::{ask, locked};
use crate::engine::{
    api::{Failure, FailureKind, Get, Offer},
    core::Core,
    dispatch::keep_copies,
    failure,
    library::OnProgress,
    state::{Errand, ParcelRecord, ShareRecord, SharedFile},
    transfers::{self, Transfer},
};

/// Serves again what was offered before the engine stopped.
pub(super) async fn load(core: &Core) -> Result<(), Failure> {
    for parcel in core.state.parcels().await.map_err(failure::unexpected)? {
        let files = core.state.parcel_files(parcel.no).await.map_err(failure::unexpected)?;
        serve(core, &parcel, &files);
        if !parcel.sent {
            locked(&core.inbox.left_over).insert(parcel.no);
        }
    }
    Ok(())
}

fn serve(core: &Core, parcel: &ParcelRecord, files: &[SharedFile]) {
    core.catalog.add(&served_as(parcel), files);
    locked(&core.inbox.parcels).insert(-parcel.no);
}

/// Parcels are served like shares, under numbers that no share has.
fn served_as(parcel: &ParcelRecord) -> ShareRecord {
    ShareRecord {
        id: -parcel.no,
        name: parcel.name.clone(),
        local: parcel.local.clone(),
        folder: parcel.folder,
        audience: None,
        note: None,
        protected: false,
    }
}

/// Offers one file or folder of this device.
pub(super) async fn offer(
    core: &Arc<Core>,
    path: &Path,
    offer: &Offer,
    to: &[String],
    on_progress: OnProgress<'_>,
) -> Result<Vec<ItemEntry>, Failure> {
    let (record, files) = core.library.read_for_offer(core, path, on_progress).await?;
    let mut offered = offered_before(core, &record, &files, to).await?;
    let is_new = |name: &&String| !offered.iter().any(|item| is_to(item, name));
    let receivers: Vec<(ItemId, &String)> =
        to.iter().filter(is_new).map(|name| (ItemId(rand::random()), name)).collect();
    if receivers.is_empty() {
        return Ok(offered);
    }
    let mut parcel = ParcelRecord {
        no: 0,
        id: ParcelId(rand::random()),
        name: record.name.clone(),
        local: record.local.clone(),
        folder: record.folder,
        items: receivers.iter().map(|(item, _)| *item).collect(),
        sent: false,
    };
    parcel.no = core.state.add_parcel(&parcel, &files).await.map_err(failure::unexpected)?;
    serve(core, &parcel, &files);
    match send(core, &parcel, &files, &receivers, offer).await {
        Ok(items) => {
            core.state.parcel_sent(parcel.no).await.map_err(failure::unexpected)?;
            offered.extend(items);
            Ok(offered)
        }
        Err(failure) => {
            // Where the answer was lost the tracker may have it: the next look at what it knows decides.
            if failure.kind != FailureKind::Unreachable {
                forget(core, &parcel).await?;
            }
            Err(failure)
        }
    }
}

/// The open offers of the same file or folder, with the same content, to these members.
async fn offered_before(
    core: &Core,
    record: &ShareRecord,
    files: &[SharedFile],
    to: &[String],
) -> Result<Vec<ItemEntry>, Failure> {
    let mut before: Vec<ItemEntry> = Vec::new();
    for parcel in core.state.parcels().await.map_err(failure::unexpected)? {
        if (&parcel.local, &parcel.name) != (&record.local, &record.name) {
            continue;
        }
        let open = parcel.items.iter().filter_map(|item| core.inbox.get(*item)).filter(|item| item.state.is_open());
        let open: Vec<ItemEntry> = open.filter(|item| to.iter().any(|name| is_to(item, name))).collect();
        if open.is_empty() || !holds(&core.state.parcel_files(parcel.no).await.map_err(failure::unexpected)?, files) {
            continue;
        }
        before.extend(open);
    }
    Ok(before)
}

/// Whether a parcel holds these files and nothing else.
fn holds(parcel: &[SharedFile], files: &[SharedFile]) -> bool {
    let contents =
        |files: &[SharedFile]| files.iter().map(|file| (file.path.clone(), file.blob)).collect::<BTreeMap<_, _>>();
    contents(parcel) == contents(files)
}

fn is_to(item: &ItemEntry, name: &str) -> bool {
    item.to_name.as_deref().is_some_and(|to| FoldKey::of(to) == FoldKey::of(name))
}

async fn send(
    core: &Arc<Core>,
    parcel: &ParcelRecord,
    files: &[SharedFile],
    receivers: &[(ItemId, &String)],
    offer: &Offer,
) -> Result<Vec<ItemEntry>, Failure> {
    let mut ids: Vec<FileId> = Vec::new();
    for batch in crate::engine::library::batches_of(files, &served_as(parcel)) {
        let entries = batch.iter().map(pack_entry).collect();
        let request = Request::Inbox(InboxRequest::Pack { parcel: parcel.id, entries });
        let Answer::Inbox(InboxAnswer::Packed { files }) = core.session.ask(&request).await? else {
            return Err(failure::bad_answer());
        };
        ids.extend(files);
    }
    if offer.copy {
        keep_copies(core, &ids, true).await?;
    }
    let mut items = Vec::new();
    for part in receivers.chunks(PEOPLE_MAX) {
        let to = part.iter().map(|(item, name)| Receiver { item: *item, name: (*name).clone() }).collect();
        let (text, life_s) = (offer.text.clone(), offer.life_s);
        items.extend(
            ask(core, InboxRequest::Offer { parcel: parcel.id, name: parcel.name.clone(), to, text, life_s }).await?,
        );
    }
    Ok(items)
}

fn pack_entry(file: &SharedFile) -> PackEntry {
    PackEntry {
        path: file.path.clone(),
        blob: file.blob,
        size: file.stamp.size,
        modified_ms: file.stamp.modified_ns.div_euclid(1_000_000),
        executable: file.executable,
    }
}

/// Lets go of parcels whose offers are all over, and of those that the tracker never got.
pub(super) async fn tidy(core: &Core) -> Result<(), Failure> {
    for parcel in core.state.parcels().await.map_err(failure::unexpected)? {
        let known: Vec<ItemEntry> = parcel.items.iter().filter_map(|item| core.inbox.get(*item)).collect();
        if known.is_empty() {
            // Left by an engine that was killed before the tracker had it: whoever wanted it offers it again.
            if !parcel.sent && core.inbox.is_left_over(parcel.no) {
                forget(core, &parcel).await?;
            }
            continue;
        }
        if known.iter().all(|item| !item.state.is_open()) {
            forget(core, &parcel).await?;
        } else if !parcel.sent {
            core.state.parcel_sent(parcel.no).await.map_err(failure::unexpected)?;
        }
    }
    Ok(())
}

async fn forget(core: &Core, parcel: &ParcelRecord) -> Result<(), Failure> {
    core.state.remove_parcel(parcel.no).await.map_err(failure::unexpected)?;
    core.catalog.remove(-parcel.no, |_| true);
    locked(&core.inbox.parcels).remove(&-parcel.no);
    Ok(())
}

/// The files of an offer, by path.
pub(super) async fn files(core: &Core, item: ItemId) -> Result<Vec<FileEntry>, Failure> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let request = Request::Inbox(InboxRequest::Files { item, after });
        let Answer::Inbox(InboxAnswer::Files { files, next }) = core.session.ask(&request).await? else {
            return Err(failure::bad_answer());
        };
        all.extend(files);
        after = next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// Queues the files of an accepted offer, or those of them that were chosen.
pub(super) async fn fetch(
    core: &Arc<Core>,
    item: &ItemEntry,
    name: &str,
    errand: &Errand,
) -> Result<Arc<Transfer>, Failure> {
    let mut files = files(core, item.id).await?;
    if !errand.only.is_empty() {
        files.retain(|file| errand.only.iter().any(|wanted| covers(wanted, &file.path)));
    }
    // The offering device's tracker checked the name; what lies below it is checked as every path is.
    FileName::parse(name).map_err(|error| refused(name, &error.to_string()))?;
    if files.iter().any(|file| !covers(name, &file.path)) {
        return Err(refused(name, "it holds files beside what it says it is"));
    }
    let is_file = matches!(&files[..], [only] if only.path == name);
    let offered = match (&files[..], is_file) {
        ([], _) => return Err(refused(name, "none of its files is offered any more")),
        ([only], true) => Item::File(only.clone()),
        _ => Item::Folder(FolderEntry {
            id: FolderId(item.id.0),
            owner: item.from,
            owner_name: item.from_name.clone(),
            path: name.to_owned(),
            files: files.len() as u64,
            bytes: files.iter().map(|file| file.size).sum(),
        }),
    };
    let plan = Get { items: vec![item.id.to_string()], target: errand.target.clone(), wait: true, ..Get::default() };
    transfers::queue_given(core, plan, &offered, &files).await
}

/// Whether a path was chosen: itself, or a folder above it.
pub(super) fn covers(wanted: &str, path: &str) -> bool {
    path.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn refused(name: &str, why: &str) -> Failure {
    let name = show_line(name, 80);
    Failure::new(FailureKind::Refused, "bad_offer", format!("the offer '{name}' cannot be fetched: {why}"), "")
}

/// What a row of an offer is about, for those who look closer.
pub(super) const fn is_offer(item: &ItemEntry) -> bool {
    matches!(item.what, What::Offer { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_folder_covers_what_is_below_it_and_nothing_beside_it() {
        assert!(covers("photos/day1", "photos/day1/a.jpg"));
        assert!(covers("photos/a.jpg", "photos/a.jpg"));
        assert!(!covers("photos/day1", "photos/day10/a.jpg"));
    }
}
