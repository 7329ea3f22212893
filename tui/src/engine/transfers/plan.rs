//! From what a person asked to a list of files with their places.

use std::{path::PathBuf, sync::Arc};

use shared::{
    id::FolderId,
    name::{IndexPath, Platform},
    show::show_line,
    wire::tracker::{Answer, FileEntry, FolderEntry, Item, Reference, Request},
};

use super::{PART_SUFFIX, Transfer, enqueue, fresh_id, known, last_place, now, protected, repair, source::Ahead};
use crate::engine::{
    api::{Direction, Failure, FailureKind, From, Get, Priority, Target, TransferRow, TransferState},
    core::Core,
    failure, link,
    rows::name_of,
    state::{PlannedFile, StoredTransfer},
};

/// Where a transfer's files go: paths of its files are below this folder.
pub fn base_of(core: &Core, plan: &Get) -> PathBuf {
    match &plan.target {
        Target::Downloads => core.profile.downloads.clone(),
        Target::Folder(folder) => folder.clone(),
        Target::File(file) => file.parent().map(PathBuf::from).unwrap_or_default(),
        // Where there is room for downloads there is room for this; nothing of it is to be seen.
        Target::Stream => core.profile.downloads.join(stream_folder(plan)),
    }
}

/// Named by what is fetched, so that the next call finds it again: `.16ab….any.swapmeet-part`
fn stream_folder(plan: &Get) -> String {
    let item = plan.items.first().map_or("", String::as_str);
    let from = match plan.from {
        From::Any => "any",
        From::Peer => "peer",
        From::Copy => "copy",
    };
    format!(".{item}.{from}{PART_SUFFIX}")
}

/// Queues what was asked: one transfer for each item. What is under way already is joined, not doubled.
pub async fn start(core: &Arc<Core>, get: &Get) -> Result<Vec<Arc<Transfer>>, Failure> {
    if let (true, Target::File(path)) = (get.repair, &get.target) {
        repair::check(path)?;
    }
    if get.repair && get.items.is_empty() {
        let named = Get { items: vec![known::item_at(core, &get.target).await?], ..get.clone() };
        return Box::pin(start(core, &named)).await;
    }
    if get.items.is_empty() {
        return Err(Failure::new(FailureKind::Usage, "no_item", "nothing was named to fetch", "name an id"));
    }
    let mut listed = Vec::new();
    for item in &get.items {
        let (item, files) = list(core, item).await?;
        protected::check(core, get, &files)?;
        listed.push((item, files));
    }
    let mut transfers = Vec::new();
    for (item, files) in listed {
        let plan = Get { items: vec![item_id(&item)], ..get.clone() };
        if matches!(plan.target, Target::File(_)) && (get.items.len() > 1 || matches!(item, Item::Folder(_))) {
            return Err(Failure::new(
                FailureKind::Usage,
                "one_file_only",
                "one file name cannot hold several files",
                "give a folder with -o",
            ));
        }
        match joined(core, &plan, &files) {
            Some(transfer) => transfers.push(transfer),
            None => transfers.push(queue(core, plan, &item, &files).await?),
        }
    }
    Ok(transfers)
}

/// The item with all of its files.
pub async fn list(core: &Core, text: &str) -> Result<(Item, Vec<FileEntry>), Failure> {
    let item = resolve(core, link::parse_item(text)?).await?;
    let files = match &item {
        Item::File(file) => vec![file.clone()],
        Item::Folder(folder) => folder_files(core, folder.id).await?,
    };
    Ok((item, files))
}

/// What a reference names.
pub async fn resolve(core: &Core, reference: Reference) -> Result<Item, Failure> {
    let Reference::File(id) = reference else { return ask(core, reference).await };
    match ask(core, Reference::File(id)).await {
        // The ids of files and folders look alike.
        Err(failure) if failure.kind == FailureKind::NotFound => ask(core, Reference::Folder(FolderId(id.0))).await,
        answer => answer,
    }
}

async fn ask(core: &Core, reference: Reference) -> Result<Item, Failure> {
    let Answer::Listing { items, .. } = core.session.ask(&Request::Resolve(reference)).await? else {
        return Err(failure::bad_answer());
    };
    items.into_iter().next().ok_or_else(failure::bad_answer)
}

/// All files below a folder.
pub async fn folder_files(core: &Core, folder: FolderId) -> Result<Vec<FileEntry>, Failure> {
    let mut files = Vec::new();
    let mut after = None;
    loop {
        let Answer::Listing { items, next } = core.session.ask(&Request::FolderFiles { folder, after }).await? else {
            return Err(failure::bad_answer());
        };
        files.extend(items.into_iter().filter_map(|item| match item {
            Item::File(file) => Some(file),
            Item::Folder(_) => None,
        }));
        after = next;
        if after.is_none() {
            return Ok(files);
        }
    }
}

fn item_id(item: &Item) -> String {
    match item {
        Item::File(file) => file.id.to_string(),
        Item::Folder(folder) => folder.id.to_string(),
    }
}

/// A transfer of the same item to the same place that is not over, or that stopped short of its end.
fn joined(core: &Core, plan: &Get, files: &[FileEntry]) -> Option<Arc<Transfer>> {
    let all = core.transfers.all();
    let transfer = all.values().find(|transfer| {
        let unfinished = transfer.is_active() || transfer.state() == TransferState::Failed;
        let row = transfer.row();
        unfinished
            && transfer.plan.items == plan.items
            && transfer.plan.target == plan.target
            && transfer.plan.from == plan.from
            && transfer.plan.repair == plan.repair
            && transfer.plan.raw == plan.raw
            && row.files == files.len() as u64
    })?;
    if !transfer.attempting.load(std::sync::atomic::Ordering::Relaxed) {
        transfer.again();
        core.transfers.wake.notify_one();
    }
    Some(transfer.clone())
}

/// Queues files that are given, as those of an offer. What is under way already is joined, not doubled.
pub async fn queue_given(
    core: &Arc<Core>,
    plan: Get,
    item: &Item,
    files: &[FileEntry],
) -> Result<Arc<Transfer>, Failure> {
    match joined(core, &plan, files) {
        Some(transfer) => Ok(transfer),
        None => queue(core, plan, item, files).await,
    }
}

pub(super) async fn queue(
    core: &Arc<Core>,
    plan: Get,
    item: &Item,
    files: &[FileEntry],
) -> Result<Arc<Transfer>, Failure> {
    let planned = place(&plan, item, files)?;
    let base = base_of(core, &plan);
    let id = fresh_id(core);
    let mut row = row_of(id, last_place(core) + 1, &base, item, &planned);
    if plan.target == Target::Stream {
        row.path = PathBuf::from(STDOUT);
    }
    let stored = StoredTransfer { id, active: true, plan: plan.clone(), row: row.clone() };
    // Whether it begins at once; a queue of many would hold the plans of them all.
    let begins = !core.transfers.all().values().any(|other| other.is_active());
    let ahead = async { if begins { Ahead::prepare(core, &planned, plan.from).await } else { None } };
    let (added, ahead) = tokio::join!(core.state.add_transfer(&stored, &planned), ahead);
    added.map_err(failure::unexpected)?;
    let transfer = Transfer::new(id, plan, row);
    if begins {
        transfer.keep_plan(planned, ahead);
    }
    enqueue(core, transfer.clone());
    Ok(transfer)
}

/// Where a stream goes, as people write it.
const STDOUT: &str = "-";

/// Gives every file its checked place below the base.
fn place(plan: &Get, item: &Item, files: &[FileEntry]) -> Result<Vec<PlannedFile>, Failure> {
    // Everything above the item's own name stays behind.
    let cut = match item {
        Item::File(file) => file.path.len() - name_of(&file.path).len(),
        Item::Folder(folder) => folder.path.len() - name_of(&folder.path).len(),
    };
    files
        .iter()
        .zip(0..)
        .map(|(file, position)| {
            let path = match &plan.target {
                Target::File(path) => {
                    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
                }
                Target::Downloads | Target::Folder(_) | Target::Stream => {
                    let path = file.path.get(cut..).unwrap_or_default();
                    if plan.raw && file.protected { format!("{path}.age") } else { path.to_owned() }
                }
            };
            let path = IndexPath::parse(&path).map_err(|error| bad_path(&path, &error.to_string()))?;
            Ok(PlannedFile {
                position,
                file: file.id,
                blob: file.blob,
                path: path.local_path(Platform::HERE).as_str().to_owned(),
                size: file.size,
                modified_ms: file.modified_ms,
                executable: file.executable,
                protected: file.protected,
                landed: None,
            })
        })
        .collect()
}

fn bad_path(path: &str, why: &str) -> Failure {
    Failure::new(
        FailureKind::Refused,
        "bad_path",
        format!("'{}' cannot be stored here: {why}", show_line(path, 100)),
        "give it another name with -o FILE",
    )
}

fn row_of(id: i64, place: i64, base: &std::path::Path, item: &Item, files: &[PlannedFile]) -> TransferRow {
    let (name, owner, folder, hash) = match item {
        Item::File(FileEntry { path, owner_name, blob, .. }) => (name_of(path), owner_name, false, Some(*blob)),
        Item::Folder(FolderEntry { path, owner_name, .. }) => (name_of(path), owner_name, true, None),
    };
    let top = files.first().and_then(|file| file.path.split('/').next()).unwrap_or(name);
    TransferRow {
        id: format!("{id:016x}"),
        direction: Direction::Down,
        name: name.to_owned(),
        item: item_id(item),
        owner: owner.clone(),
        folder,
        files: files.len() as u64,
        files_done: 0,
        state: TransferState::Queued,
        reason: String::new(),
        size: files.iter().map(|file| file.size).sum(),
        done: 0,
        speed: 0,
        eta_s: None,
        path: base.join(top),
        hash,
        bytes_peer: 0,
        bytes_copy: 0,
        bytes_relay: 0,
        bytes_local: 0,
        sources: Vec::new(),
        map: Vec::new(),
        log: Vec::new(),
        created_ms: now(),
        finished_ms: None,
        elapsed_ms: 0,
        failure: None,
        damaged: None,
        priority: Priority::Normal,
        place,
    }
}
