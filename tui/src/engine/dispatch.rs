//! Commands in, updates out: one function for each command.

mod edit;
pub(super) mod get;
mod stream;
mod unlock;
mod watch;

use std::sync::Arc;

use shared::{
    id::FileId,
    limits::PUBLISH_ENTRIES_MAX,
    wire::tracker::{Answer, FileEntry, Item, List, Request},
};
use tokio::sync::{broadcast::error::RecvError, mpsc};

use super::{
    account,
    api::{Command, Failure, FailureKind, FileRow, FolderRow, Hashing, Share, Status, TrackerInfo, Update},
    channel, chat,
    client::{Answer as Reply, Call},
    core::{Core, or_stop},
    doctor, failure, inbox, limits, link,
    link::TrackerLink,
    people, session, transfers, wishes,
};

/// Where a call's updates go. A face that left makes every further update fail with `Gone`.
#[derive(Debug, Clone)]
pub(super) struct Out(mpsc::Sender<Reply>);

impl Out {
    pub(super) async fn send(&self, update: Update) -> Result<(), Failure> {
        self.0.send(Reply::Update(update)).await.map_err(|_| gone())
    }

    /// Tells something that a slow face may miss.
    pub(super) fn hint(&self, update: Update) {
        let _missed = self.0.try_send(Reply::Update(update));
    }
}

fn gone() -> Failure {
    Failure::new(FailureKind::Interrupted, "gone", "the face has left", "")
}

/// Runs one call to its end.
pub async fn run(core: Arc<Core>, call: Call) {
    let Call { command, updates } = call;
    let out = Out(updates.clone());
    let work = carry_out(&core, command, &out);
    let ended = tokio::select! {
        ended = or_stop(&core, work) => ended.and_then(std::convert::identity),
        // A face that left needs no answer.
        () = updates.closed() => return,
    };
    let _left = updates.send(Reply::Done(ended)).await;
}

async fn carry_out(core: &Arc<Core>, command: Command, out: &Out) -> Result<(), Failure> {
    match command {
        Command::Status => status(core, out).await,
        Command::Probe { tracker } => probe(core, &tracker, out).await,
        Command::Register { tracker, name, password, email, invite } => {
            account::register(core, account::NewAccount { tracker, name, password, email, invite }, out).await
        }
        Command::Login { tracker, name, password } => account::login(core, &tracker, name, password, out).await,
        Command::Recover { tracker, name, code, password } => {
            account::recover(core, &tracker, name, (code, password), out).await
        }
        Command::Logout => account::logout(core).await,
        Command::Account(command) => account::carry_out(core, command, out).await,
        Command::Share(share) => publish(core, &share, out).await,
        Command::Unshare { items } => {
            let files = own_files(core, &items).await?;
            let ids: Vec<FileId> = files.iter().map(|file| file.id).collect();
            let count = core.library.unshare(core, &ids).await?;
            out.send(Update::Count(count)).await
        }
        Command::Edit(edit) => edit::edit(core, edit, out).await,
        Command::Rescan => {
            core.session.online().await?;
            let found = core.library.rescan(core, &|hashing| out.hint(Update::Hashing(hashing))).await?;
            out.send(Update::Rescanned(found)).await
        }
        Command::Copy { items, wait } => copy(core, &items, wait, out).await,
        Command::Uncopy { items } => {
            let files = own_files(core, &items).await?;
            let mut dropped = 0;
            for batch in files.chunks(PUBLISH_ENTRIES_MAX) {
                let files = batch.iter().map(|file| file.id).collect();
                let Answer::Count(count) = core.session.ask(&Request::DropCopy { files }).await? else {
                    return Err(failure::bad_answer());
                };
                dropped += count;
            }
            out.send(Update::Count(dropped)).await
        }
        Command::List { member, mine, path, filter } => list(core, member, mine, path, filter, out).await,
        Command::Search { query, limit } => search(core, &query, limit, out).await,
        Command::Info { item } => info(core, &item, out).await,
        Command::Get(get) => get::fetch(core, &get, out).await,
        Command::Stream { item, from, wait, opens } => {
            stream::follow(core, transfers::stream::Wanted { item: &item, from, wait, opens }, out).await
        }
        Command::Unlock { items, password, hold } => unlock::unlock(core, &items, password, hold).await,
        Command::Reading { reader, at, enough } => {
            transfers::stream::note(core, reader, transfers::stream::Reading { at, enough })
        }
        Command::Known { path } => match transfers::known::at(core, &path).await? {
            Some(known) => out.send(Update::Known(known)).await,
            None => Ok(()),
        },
        Command::Verify(what) => {
            let verified = transfers::known::verify(core, what).await?;
            out.send(Update::Verified(verified)).await
        }
        Command::Transfers { watch } => transfers(core, watch, out).await,
        Command::Steer { transfers, how } => {
            for row in transfers::steer(core, &transfers, how).await? {
                out.send(Update::Transfer(Box::new(row))).await?;
            }
            Ok(())
        }
        Command::Limit { change } => {
            if let Some(change) = change {
                limits::change(core, &change).await?;
            }
            out.send(Update::Limits(core.limits.view())).await
        }
        Command::Members => people::members(core, out).await,
        Command::People(command) => people::carry_out(core, command, out).await,
        Command::Watch => watch::everything(core, out).await,
        Command::Events => watch::events(core, out).await,
        Command::Reconnect => {
            core.session.poke();
            Ok(())
        }
        Command::Doctor { tracker } => {
            let link = tracker.map(|text| text.parse::<TrackerLink>()).transpose()?;
            for finding in doctor::examine(core, link).await {
                out.send(Update::Finding(finding)).await?;
            }
            Ok(())
        }
        Command::Stop => {
            core.stop.cancel();
            Ok(())
        }
        Command::Inbox(command) => inbox::carry_out(core, command, out).await,
        Command::Chat(command) => chat::carry_out(core, command, out).await,
        Command::Wish(command) => wishes::carry_out(core, command, out).await,
        Command::Channel(command) => channel::carry_out(core, command, out).await,
    }
}

async fn status(core: &Arc<Core>, out: &Out) -> Result<(), Failure> {
    // A connection that is being made says more in a moment; one that fails is told as it is.
    let online = core.session.online().await.ok();
    let tracker = match &online {
        Some(online) => tracker_info(online).await.ok(),
        None => None,
    };
    let account = match core.account().await {
        Ok(account) => Some(core.account_row(&account)),
        Err(_) => None,
    };
    let connection = core.session.watch().borrow().connection();
    out.send(Update::Status(Box::new(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        account,
        connection,
        port: core.endpoints.port(),
        shares: core.library.file_count(),
        active: core.transfers.active_count(),
        tracker,
        downloads: core.profile.downloads.clone(),
    })))
    .await
}

async fn tracker_info(online: &session::Online) -> Result<TrackerInfo, Failure> {
    let link: TrackerLink = online.account.tracker.parse()?;
    let Answer::Status(status) = session::ask(&online.connection, &Request::Status).await? else {
        return Err(failure::bad_answer());
    };
    Ok(TrackerInfo {
        address: link.address,
        fingerprint: link.fingerprint.to_string(),
        program: shared::show::show_line(&status.program, 80),
        registration: online.registration,
        members: Some(status.members),
        online: Some(status.online),
        files: Some(status.files),
        bytes: Some(status.bytes),
        copies: Some(status.copies),
        copy_bytes: Some(status.copy_bytes),
    })
}

async fn probe(core: &Arc<Core>, tracker: &str, out: &Out) -> Result<(), Failure> {
    let link: TrackerLink = tracker.parse()?;
    let greeted = session::dial(core, &link).await?;
    greeted.connection.close(0u32.into(), b"bye");
    out.send(Update::Tracker(TrackerInfo {
        address: link.address,
        fingerprint: link.fingerprint.to_string(),
        program: shared::show::show_line(&greeted.welcome.program, 80),
        registration: greeted.welcome.registration,
        members: None,
        online: None,
        files: None,
        bytes: None,
        copies: None,
        copy_bytes: None,
    }))
    .await
}

async fn publish(core: &Arc<Core>, share: &Share, out: &Out) -> Result<(), Failure> {
    if share.as_name.is_some() && share.paths.len() != 1 {
        return Err(Failure::new(
            FailureKind::Usage,
            "one_path",
            "one name cannot stand for several paths",
            "share one path with --as",
        ));
    }
    if share.dry_run {
        let previews = core.library.preview(share).await?;
        let files: u64 = previews.iter().map(|preview| preview.files.len() as u64).sum();
        let bytes: u64 = previews.iter().flat_map(|preview| &preview.files).map(|(_, size, _)| size).sum();
        for preview in previews {
            tell_preview(core, preview, out).await?;
        }
        let total = Hashing { files_done: 0, files, bytes_done: 0, bytes, current: String::new() };
        return out.send(Update::Hashing(total)).await;
    }
    core.session.online().await?;
    let mut stored = Vec::new();
    for path in &share.paths {
        let shared = core.library.share(core, path, share, &|hashing| out.hint(Update::Hashing(hashing))).await?;
        for trouble in &shared.troubles {
            core.hub.notice(super::api::NoticeLevel::Warning, trouble, "");
        }
        stored.push(shared);
    }
    if share.copy {
        let ids: Vec<FileId> = stored.iter().flat_map(|shared| &shared.files).map(|file| file.id).collect();
        keep_copies(core, &ids, true).await?;
    }
    for shared in stored {
        if shared.record.folder {
            out.send(Update::Folder(folder_of(core, &shared.record.name, &shared.files)?)).await?;
        }
        for mut file in shared.files {
            if share.copy {
                file.copy = shared::wire::tracker::CopyState::Stored;
            }
            out.send(Update::File(core.file_row(&file))).await?;
        }
    }
    Ok(())
}

/// A folder that this device has just shared.
fn folder_of(core: &Core, name: &str, files: &[FileEntry]) -> Result<FolderRow, Failure> {
    let account = core.hub.current_account().ok_or_else(failure::signed_out)?;
    let id = shared::id::FolderId::of_path(account.id, name).to_string();
    Ok(FolderRow {
        link: core.link_to("folder", &id),
        id,
        name: name.to_owned(),
        path: name.to_owned(),
        owner: account.name,
        files: files.len() as u64,
        size: files.iter().map(|file| file.size).sum(),
        mine: true,
    })
}

async fn tell_preview(core: &Core, preview: super::library::Preview, out: &Out) -> Result<(), Failure> {
    let owner = core.hub.current_account().map(|account| account.name).unwrap_or_default();
    if preview.folder {
        out.send(Update::Folder(FolderRow {
            id: String::new(),
            name: preview.name.clone(),
            path: preview.name.clone(),
            owner: owner.clone(),
            files: preview.files.len() as u64,
            size: preview.files.iter().map(|(_, size, _)| size).sum(),
            mine: true,
            link: String::new(),
        }))
        .await?;
    }
    for (path, size, modified_ms) in preview.files {
        out.send(Update::File(FileRow {
            id: FileId([0; 16]),
            name: super::rows::name_of(&path).to_owned(),
            path,
            size,
            hash: shared::id::BlobHash([0; 32]),
            visibility: String::new(),
            protected: false,
            version: 0,
            owner: owner.clone(),
            note: String::new(),
            copy: shared::wire::tracker::CopyState::Absent,
            modified_ms,
            shared_ms: 0,
            mine: true,
            have: true,
            available: true,
            link: String::new(),
        }))
        .await?;
    }
    Ok(())
}

/// The files that items name, which must be the caller's own.
async fn own_files(core: &Arc<Core>, items: &[String]) -> Result<Vec<FileEntry>, Failure> {
    let mut files = Vec::new();
    for item in items {
        match transfers::resolve(core, link::parse_item(item)?).await? {
            Item::File(file) => files.push(file),
            Item::Folder(folder) => files.extend(transfers::folder_files(core, folder.id).await?),
        }
    }
    let me = core.my_id();
    if files.iter().any(|file| Some(file.owner) != me) {
        return Err(not_yours());
    }
    Ok(files)
}

fn not_yours() -> Failure {
    Failure::new(
        FailureKind::Refused,
        "not_yours",
        "only the owner can do that",
        "name files of your own; `swapmeet ls --mine` shows them",
    )
}

async fn copy(core: &Arc<Core>, items: &[String], wait: bool, out: &Out) -> Result<(), Failure> {
    let files = own_files(core, items).await?;
    let ids: Vec<FileId> = files.iter().map(|file| file.id).collect();
    keep_copies(core, &ids, wait).await?;
    for id in ids {
        if let Item::File(file) = transfers::resolve(core, shared::wire::tracker::Reference::File(id)).await? {
            out.send(Update::File(core.file_row(&file))).await?;
        }
    }
    Ok(())
}

/// Asks for copies and waits until all are stored.
pub(super) async fn keep_copies(core: &Arc<Core>, ids: &[FileId], wait: bool) -> Result<(), Failure> {
    let mut news = core.copies();
    for batch in ids.chunks(PUBLISH_ENTRIES_MAX) {
        let Answer::Count(_) = core.session.ask(&Request::KeepCopy { files: batch.to_vec() }).await? else {
            return Err(failure::bad_answer());
        };
    }
    if !wait {
        return Ok(());
    }
    let mut pending: std::collections::BTreeSet<FileId> = ids.iter().copied().collect();
    // Some may be stored already, for instance because another file has the same content.
    pending = still_pending(core, pending).await?;
    while !pending.is_empty() {
        match news.recv().await {
            Ok(end) => match (end.file, end.refusal) {
                (Some(file), None) => drop(pending.remove(&file)),
                (Some(file), Some(refusal)) if pending.contains(&file) => return Err(failure::refused(&refusal)),
                (Some(_), Some(_)) => {}
                (None, _) => pending = still_pending(core, pending).await?,
            },
            Err(RecvError::Lagged(_)) => pending = still_pending(core, pending).await?,
            Err(RecvError::Closed) => return Err(failure::unreachable("the engine is stopping")),
        }
    }
    Ok(())
}

async fn still_pending(
    core: &Arc<Core>,
    files: std::collections::BTreeSet<FileId>,
) -> Result<std::collections::BTreeSet<FileId>, Failure> {
    let mut pending = std::collections::BTreeSet::new();
    for file in files {
        let item = transfers::resolve(core, shared::wire::tracker::Reference::File(file)).await?;
        if !matches!(item, Item::File(entry) if entry.copy == shared::wire::tracker::CopyState::Stored) {
            pending.insert(file);
        }
    }
    Ok(pending)
}

async fn tell_item(core: &Core, item: &Item, out: &Out) -> Result<(), Failure> {
    match item {
        Item::File(file) => out.send(Update::File(core.file_row(file))).await,
        Item::Folder(folder) => out.send(Update::Folder(core.folder_row(folder))).await,
    }
}

async fn list(
    core: &Arc<Core>,
    member: Option<String>,
    mine: bool,
    path: String,
    filter: Option<String>,
    out: &Out,
) -> Result<(), Failure> {
    let filter = filter.map(|filter| filter.to_lowercase());
    // Where no member is named, a path begins with one.
    let (member, path) = match (&member, path.split_once('/')) {
        (None, Some((first, rest))) if !mine => (Some(first.to_owned()), rest.trim_matches('/').to_owned()),
        (None, None) if !mine && !path.is_empty() => (Some(path), String::new()),
        _ => (member, path.trim_matches('/').to_owned()),
    };
    let mut after = None;
    loop {
        let request = Request::List(List { member: member.clone(), mine, path: path.clone(), after });
        let Answer::Listing { items, next } = core.session.ask(&request).await? else {
            return Err(failure::bad_answer());
        };
        core.know_members().await;
        for item in &items {
            let item_path = match item {
                Item::File(file) => &file.path,
                Item::Folder(folder) => &folder.path,
            };
            if filter.as_ref().is_none_or(|filter| item_path.to_lowercase().contains(filter)) {
                tell_item(core, item, out).await?;
            }
        }
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn search(core: &Arc<Core>, query: &str, limit: u32, out: &Out) -> Result<(), Failure> {
    let mut offset = 0;
    while offset < limit {
        let request = Request::Search { query: query.to_owned(), offset };
        let Answer::Hits { files, more } = core.session.ask(&request).await? else {
            return Err(failure::bad_answer());
        };
        core.know_members().await;
        for file in files.iter().take((limit - offset) as usize) {
            out.send(Update::File(core.file_row(file))).await?;
        }
        offset += u32::try_from(files.len()).unwrap_or(limit);
        if !more || files.is_empty() {
            break;
        }
    }
    Ok(())
}

async fn info(core: &Arc<Core>, item: &str, out: &Out) -> Result<(), Failure> {
    match transfers::resolve(core, link::parse_item(item)?).await? {
        Item::Folder(folder) => out.send(Update::Folder(core.folder_row(&folder))).await,
        Item::File(file) => {
            let Answer::Detail(detail) = core.session.ask(&Request::Inspect { file: file.id }).await? else {
                return Err(failure::bad_answer());
            };
            out.send(Update::Detail(Box::new(core.detail(&detail)))).await
        }
    }
}

async fn transfers(core: &Arc<Core>, watch: bool, out: &Out) -> Result<(), Failure> {
    let mut news = core.hub.listen();
    for row in core.transfers.rows() {
        out.send(Update::Transfer(Box::new(row))).await?;
    }
    if !watch {
        return Ok(());
    }
    loop {
        match news.recv().await {
            Ok(Update::Transfers(page)) => {
                for row in page.changed {
                    out.send(Update::Transfer(Box::new(row))).await?;
                }
            }
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => {
                for row in core.transfers.rows() {
                    out.send(Update::Transfer(Box::new(row))).await?;
                }
            }
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}
