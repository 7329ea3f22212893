//! The engine: what its parts share, and how it starts and stops.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use certs::{SealingKey, SigningKey};
use quinn::Connection;
use rustix::time::{ClockId, clock_gettime};
use shared::{
    id::{AccountId, BlobHash, DeviceId, FileId},
    limits::{PAGE_ENTRIES_MAX, SHUTDOWN, TICK},
    name::{MemberName, NameKey},
    wire::{
        Refusal,
        tracker::{Answer, Change, Changes, FileEntry, MemberEntry, Presence, Request},
    },
};
use tokio::{
    sync::{broadcast, mpsc, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    api::{Account, EventKind, Failure, FailureKind, IndexPage, TransferPage, Update},
    attention::Attention,
    catalog::Catalog,
    channel::Channels,
    chat::{self, Chat},
    client::{Call, Client},
    dispatch,
    endpoints::Endpoints,
    failure,
    hub::Hub,
    inbox::{self, Inbox},
    library::Library,
    limits::{self, Limits},
    link::TrackerLink,
    network,
    passwords::Passwords,
    peers::{self, Peers},
    people,
    reach::Reach,
    relay::Relays,
    session::{self, SavedAccount, Session},
    state::{IndexChanges, State},
    transfers::{self, Transfers},
    wishes::{self, Wishes},
};
use crate::profile::Profile;

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds since this machine started, its sleep included. Nobody sets this clock, so it does not jump.
pub fn uptime_ms() -> i64 {
    let passed = clock_gettime(ClockId::Boottime);
    passed.tv_sec.saturating_mul(1000).saturating_add(passed.tv_nsec / 1_000_000)
}

/// What the engine's parts share.
#[derive(Debug)]
pub struct Core {
    pub profile: Profile,
    pub state: State,
    pub key: SigningKey,
    pub endpoints: Endpoints,
    pub session: Session,
    pub hub: Hub,
    pub library: Library,
    pub catalog: Arc<Catalog>,
    pub peers: Peers,
    pub relays: Relays,
    pub reach: Reach,
    pub transfers: Transfers,
    pub limits: Arc<Limits>,
    pub inbox: Inbox,
    pub chat: Chat,
    pub wishes: Wishes,
    pub channels: Channels,
    pub attention: Arc<Attention>,
    pub passwords: Passwords,
    pub stop: CancellationToken,
    members: Mutex<BTreeMap<AccountId, MemberEntry>>,
    members_known: watch::Sender<bool>,
    fetched: Mutex<HashSet<BlobHash>>,
    /// Encrypted contents of which the device has what was in them.
    opened: Mutex<HashSet<BlobHash>>,
    exchanged: Mutex<HashMap<AccountId, (u64, u64)>>,
    copies: broadcast::Sender<CopyEnd>,
}

/// A copy that was asked for ended well or badly; `None` as file: some may have, ask again.
#[derive(Debug, Clone)]
pub struct CopyEnd {
    pub file: Option<FileId>,
    pub refusal: Option<Refusal>,
}

/// A running engine: owns all of its tasks.
#[derive(Debug)]
pub struct Engine {
    core: Arc<Core>,
    tasks: TaskTracker,
}

impl Engine {
    /// Starts the engine of a profile, whose lock the caller holds.
    ///
    /// # Errors
    /// When the profile cannot be read, or no socket can be bound.
    pub async fn start(profile: &Profile) -> Result<(Self, Client), Failure> {
        profile.prepare().map_err(failure::unexpected)?;
        let key = SigningKey::open(&profile.state.join("device.key")).map_err(failure::unexpected)?;
        let sealing = SealingKey::open(&profile.state.join("message.key")).map_err(failure::unexpected)?;
        let state = State::open(&profile.state.join("state.db")).await.map_err(failure::unexpected)?;
        let fetched = state.fetched_blobs().await.map_err(failure::unexpected)?.into_iter().collect();
        let opened = state.opened_blobs().await.map_err(failure::unexpected)?.into_iter().collect();
        let exchanged = state.exchanged().await.map_err(failure::unexpected)?;
        let limits = limits::load(&state).await?;
        let catalog = Arc::new(Catalog::new(profile));
        let core = Arc::new(Core {
            profile: profile.clone(),
            endpoints: Endpoints::bind(&key).map_err(failure::unexpected)?,
            session: Session::default(),
            hub: Hub::default(),
            library: Library::default(),
            peers: Peers::default(),
            relays: Relays::default(),
            reach: Reach::default(),
            transfers: Transfers::default(),
            limits,
            inbox: Inbox::default(),
            chat: Chat::new(sealing),
            wishes: Wishes::default(),
            channels: Channels::default(),
            attention: Arc::default(),
            passwords: Passwords::default(),
            stop: CancellationToken::new(),
            members: Mutex::default(),
            members_known: watch::Sender::new(false),
            fetched: Mutex::new(fetched),
            opened: Mutex::new(opened),
            exchanged: Mutex::new(exchanged.into_iter().map(|(id, from, to)| (id, (from, to))).collect()),
            copies: broadcast::Sender::new(1024),
            catalog,
            state,
            key,
        });
        let blocked: Option<BTreeSet<AccountId>> =
            core.state.setting(people::BLOCKS).await.map_err(failure::unexpected)?;
        core.peers.block(blocked.unwrap_or_default());
        core.library.load(&core).await?;
        inbox::load(&core).await?;
        wishes::load(&core).await?;
        transfers::load(&core).await?;
        let (client, calls) = Client::channel();
        let tasks = TaskTracker::new();
        tasks.spawn(session::run(core.clone()));
        tasks.spawn(peers::accept(core.clone()));
        tasks.spawn(network::run(core.clone()));
        tasks.spawn(transfers::run(core.clone()));
        tasks.spawn(inbox::run(core.clone()));
        tasks.spawn(wishes::run(core.clone()));
        tasks.spawn(super::library::watch(core.clone()));
        tasks.spawn(tick(core.clone()));
        tasks.spawn(take_calls(core.clone(), calls, tasks.clone()));
        tasks.close();
        Ok((Self { core, tasks }, client))
    }

    /// Cancelled when the engine is to stop.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.core.stop.clone()
    }

    /// Stops: transfers resume at the next start.
    pub async fn stop(self) {
        self.core.stop.cancel();
        if timeout(SHUTDOWN, self.tasks.wait()).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
        super::reach::mapped::close(&self.core).await;
        self.core.endpoints.close().await;
        self.core.state.close().await;
    }
}

async fn take_calls(core: Arc<Core>, mut calls: mpsc::Receiver<Call>, tasks: TaskTracker) {
    loop {
        tokio::select! {
            call = calls.recv() => match call {
                Some(call) => drop(tasks.spawn(dispatch::run(core.clone(), call))),
                None => return,
            },
            () = core.stop.cancelled() => return,
        }
    }
}

/// Tells the faces, a few times a second, what has changed; says nothing when nothing has.
async fn tick(core: Arc<Core>) {
    let mut timer = tokio::time::interval(TICK);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut quiet = true;
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            () = core.stop.cancelled() => return,
        }
        let mut changed = core.transfers.take_changes(now_ms());
        for (device, bytes) in core.transfers.take_upload_changes(&core, &mut changed) {
            if let Some(account) = core.peers.member_of(device) {
                core.add_exchanged(account, 0, bytes).await;
            }
        }
        core.hub.up.fetch_add(core.catalog.sent.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        // What a kill leaves behind still tells where the bytes came from.
        transfers::store_running(&core, &changed.changed).await;
        if !core.hub.is_heard() {
            continue;
        }
        if !changed.changed.is_empty() || !changed.removed.is_empty() {
            for row in &changed.changed {
                core.hub.event(EventKind::TransferChanged { transfer: Box::new(row.clone()) });
            }
            core.hub.tell(Update::Transfers(TransferPage { restart: false, ..changed }));
        }
        if core.hub.members_changed.swap(false, Ordering::Relaxed) {
            core.hub.tell(Update::Members(core.member_rows()));
        }
        if core.hub.shares_changed.swap(false, Ordering::Relaxed) {
            core.hub.tell(Update::Shares(core.library.rows()));
        }
        if core.inbox.changed.swap(false, Ordering::Relaxed) {
            core.hub.tell(Update::Inbox(inbox::rows(&core)));
        }
        if let Some(limits) = core.limits.take_change() {
            core.hub.tell(Update::Limits(limits));
        }
        if core.chat.take_change() {
            match chat::room_rows(&core).await {
                Ok(rooms) => core.hub.tell(Update::Rooms(rooms)),
                Err(failure) => tracing::error!(%failure, "the rooms cannot be read"),
            }
        }
        let traffic = core.hub.take_traffic(TICK.as_secs_f64());
        let silent = traffic.down == 0 && traffic.up == 0;
        if !(silent && quiet) {
            core.hub.tell(Update::Traffic(traffic));
        }
        quiet = silent;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    /// The signed-in member.
    pub fn my_id(&self) -> Option<AccountId> {
        self.hub.current_account().map(|account| account.id)
    }

    /// An account as faces see it.
    pub fn account_row(&self, account: &SavedAccount) -> Account {
        Account { id: account.id, name: account.name.clone(), device: account.device, tracker: account.tracker.clone() }
    }

    /// The link to an item on the tracker; empty while signed out.
    pub fn link_to(&self, kind: &str, id: &str) -> String {
        let link = self.hub.current_account().and_then(|account| account.tracker.parse::<TrackerLink>().ok());
        link.map(|link| link.to_item(kind, id)).unwrap_or_default()
    }

    /// Whether this device has a content, complete and verified.
    pub fn has_blob(&self, blob: &BlobHash) -> bool {
        locked(&self.fetched).contains(blob) || self.catalog.holds(blob)
    }

    /// This device now has these contents.
    pub fn note_fetched(&self, files: impl IntoIterator<Item = (FileId, BlobHash)>) {
        let (files, blobs): (Vec<FileId>, Vec<BlobHash>) = files.into_iter().unzip();
        locked(&self.fetched).extend(blobs);
        self.hub.tell(Update::Fetched(files));
    }

    /// What was in this encrypted content lies here.
    pub fn note_opened(&self, blob: BlobHash) {
        locked(&self.opened).insert(blob);
    }

    /// Whether this device has what is in a file of the index.
    pub fn has(&self, entry: &FileEntry) -> bool {
        self.has_blob(&entry.blob) || (entry.protected && locked(&self.opened).contains(&entry.blob))
    }

    /// Whether a member has a device connected.
    pub fn is_online(&self, account: AccountId) -> bool {
        locked(&self.members).get(&account).is_some_and(|member| member.presence != Presence::Offline)
    }

    /// A member's name.
    pub fn member_name(&self, account: AccountId) -> Option<String> {
        locked(&self.members).get(&account).map(|member| member.name.clone())
    }

    /// The member with this name, and how it is written.
    pub fn member_called(&self, key: &NameKey) -> Option<(AccountId, String)> {
        let members = locked(&self.members);
        let called = |member: &&MemberEntry| MemberName::parse(&member.name).is_ok_and(|name| name.key() == *key);
        members.values().find(called).map(|member| (member.account, member.name.clone()))
    }

    /// Bytes exchanged with a member: from them, to them.
    pub fn exchanged_with(&self, account: AccountId) -> (u64, u64) {
        locked(&self.exchanged).get(&account).copied().unwrap_or_default()
    }

    /// Counts bytes exchanged with a member.
    pub async fn add_exchanged(&self, account: AccountId, from_them: u64, to_them: u64) {
        {
            let mut exchanged = locked(&self.exchanged);
            let entry = exchanged.entry(account).or_default();
            entry.0 += from_them;
            entry.1 += to_them;
        }
        self.hub.members_changed.store(true, Ordering::Relaxed);
        if let Err(error) = self.state.add_exchanged(account, from_them, to_them).await {
            tracing::warn!(%error, "bytes exchanged could not be noted");
        }
    }

    /// The members, online first.
    pub fn member_rows(&self) -> Vec<super::api::MemberRow> {
        let members: Vec<MemberEntry> = locked(&self.members).values().cloned().collect();
        let mut rows: Vec<_> = members.iter().map(|member| self.member_row(member)).collect();
        rows.sort_by_cached_key(|row| (row.status as u8, row.name.to_lowercase()));
        rows
    }

    /// Reads the whole list of members.
    pub async fn load_members(&self, connection: &Connection) -> Result<(), Failure> {
        let mut all = BTreeMap::new();
        let mut after = None;
        loop {
            let Answer::Members { members, next } = session::ask(connection, &Request::Members { after }).await? else {
                return Err(failure::bad_answer());
            };
            all.extend(members.into_iter().map(|member| (member.account, member)));
            after = next;
            if after.is_none() {
                break;
            }
        }
        self.set_members(all.into_values());
        Ok(())
    }

    /// Waits until the tracker has told who is there; without a connection nobody is known to be.
    pub async fn know_members(&self) {
        let Some(online) = self.session.current() else { return };
        let mut known = self.members_known.subscribe();
        tokio::select! {
            // This engine holds the other end.
            _known = known.wait_for(|known| *known) => {}
            _ended = online.connection.closed() => {}
        }
    }

    /// These are the members, and there are no others.
    pub fn set_members(&self, all: impl Iterator<Item = MemberEntry>) {
        *locked(&self.members) = all.map(|member| (member.account, member)).collect();
        self.members_known.send_replace(true);
        self.inbox.wake.notify_one();
        self.hub.members_changed.store(true, Ordering::Relaxed);
        self.transfers.poke();
    }

    /// A member came, went or changed.
    pub fn member_changed(&self, member: MemberEntry) {
        let row = self.member_row(&member);
        self.relays.look_again(Some(member.account));
        let before = locked(&self.members).insert(member.account, member);
        self.hub.members_changed.store(true, Ordering::Relaxed);
        self.hub.event(EventKind::MemberChanged { member: row });
        if before.is_none_or(|before| before.presence == Presence::Offline) {
            self.transfers.poke();
        }
        self.inbox.wake.notify_one();
    }

    /// Without the tracker nobody's presence is known.
    pub fn members_went_dark(&self) {
        self.members_known.send_replace(false);
        for member in locked(&self.members).values_mut() {
            member.presence = Presence::Offline;
            member.devices = 0;
        }
        self.hub.members_changed.store(true, Ordering::Relaxed);
    }

    /// Stores a page of changes and tells the faces.
    pub async fn apply_changes(&self, page: Changes) -> Result<(), Failure> {
        let (present, gone) = last_of_each(page.changes);
        {
            let _gate = self.wishes.gate.lock().await;
            let matches = wishes::find(self, &present);
            let (restart, next, now_ms) = (page.restart, page.next, now_ms());
            let changes = IndexChanges { restart, present: &present, gone: &gone, next, matches: &matches, now_ms };
            let full = self.state.apply_index(&changes).await.map_err(failure::unexpected)?;
            self.wishes.note_full(full);
        }
        for entry in &present {
            self.hub.event(EventKind::FileShared { file: Box::new(self.file_row(entry)) });
        }
        for id in &gone {
            self.hub.event(EventKind::FileGone { id: *id });
        }
        self.hub.tell(Update::Index(IndexPage {
            restart: page.restart,
            present: present.iter().map(|entry| self.file_row(entry)).collect(),
            gone,
            more: page.more,
            as_of_ms: Some(now_ms()),
        }));
        Ok(())
    }

    /// A page of the replica behind `after`, which moves on.
    pub async fn index_page(&self, restart: bool, after: &mut Option<FileId>) -> Result<IndexPage, Failure> {
        let page = self.state.index_page(*after, PAGE_ENTRIES_MAX as u32).await.map_err(failure::unexpected)?;
        *after = page.last().map(|entry| entry.id).or(*after);
        Ok(IndexPage {
            restart,
            present: page.iter().map(|entry| self.file_row(entry)).collect(),
            gone: Vec::new(),
            more: page.len() == PAGE_ENTRIES_MAX,
            as_of_ms: self.session.current().map(|_| now_ms()),
        })
    }

    /// News of copies on the tracker.
    pub fn copies(&self) -> broadcast::Receiver<CopyEnd> {
        self.copies.subscribe()
    }

    /// The tracker told how a copy ended.
    pub fn copy_ended(&self, file: FileId, refusal: Option<Refusal>) {
        match &refusal {
            None => self.hub.event(EventKind::CopyStored { id: file }),
            Some(refusal) => {
                let message = shared::show::show_line(&refusal.detail, 200);
                self.hub.event(EventKind::CopyFailed { id: file, message });
            }
        }
        // Nobody may be waiting for it.
        let _nobody = self.copies.send(CopyEnd { file: Some(file), refusal });
    }

    /// News of copies may have been lost.
    pub fn copies_unknown(&self) {
        let _nobody = self.copies.send(CopyEnd { file: None, refusal: None });
    }

    /// The account of this device, or what to do without one.
    pub async fn account(&self) -> Result<SavedAccount, Failure> {
        let saved: Option<SavedAccount> = self.state.setting("account").await.map_err(failure::unexpected)?;
        saved.ok_or_else(failure::signed_out)
    }

    /// A device's id as this engine's own.
    pub fn device(&self) -> DeviceId {
        DeviceId::of_key(&self.key.public())
    }
}

/// Waits for something, but not beyond the engine's end.
pub async fn or_stop<T>(core: &Core, work: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::select! {
        value = work => Ok(value),
        () = core.stop.cancelled() => Err(Failure::new(
            FailureKind::Interrupted, "stopping", "the engine is stopping", "run the command again",
        )),
    }
}

/// A wait that ends early when `wake` is told.
pub async fn pause(length: Duration, wake: &tokio::sync::Notify) {
    // The timer is the event here: a time after which something is tried again.
    let _woken = timeout(length, wake.notified()).await;
}

/// What is there and what is gone after these changes, told in their order: of several about a file the last one counts.
/// What becomes visible to fewer goes for everyone, and comes again for those few.
fn last_of_each(changes: Vec<Change>) -> (Vec<FileEntry>, Vec<FileId>) {
    let mut told = HashSet::new();
    let (mut present, mut gone) = (Vec::new(), Vec::new());
    for change in changes.into_iter().rev() {
        match change {
            Change::Present(entry) if told.insert(entry.id) => present.push(entry),
            Change::Gone(id) if told.insert(id) => gone.push(id),
            Change::Present(_) | Change::Gone(_) => {}
        }
    }
    present.reverse();
    gone.reverse();
    (present, gone)
}

#[cfg(test)]
mod tests {
    use shared::wire::tracker::{CopyState, Visibility};

    use super::*;

    fn entry(id: u8, version: u32) -> FileEntry {
        FileEntry {
            id: FileId([id; 16]),
            owner: AccountId([1; 16]),
            owner_name: "bob".into(),
            path: "a".into(),
            blob: BlobHash([2; 32]),
            size: 1000,
            modified_ms: 0,
            executable: false,
            visibility: Visibility::Public,
            protected: false,
            version,
            note: String::new(),
            shared_ms: 0,
            copy: CopyState::Absent,
        }
    }

    #[test]
    fn of_several_changes_of_a_file_the_last_one_counts() {
        let changes = vec![
            Change::Present(entry(1, 1)),
            Change::Gone(FileId([2; 16])),
            Change::Present(entry(3, 1)),
            Change::Gone(FileId([1; 16])),
            Change::Present(entry(2, 2)),
            Change::Present(entry(3, 2)),
        ];
        let (present, gone) = last_of_each(changes);
        assert_eq!(present, [entry(2, 2), entry(3, 2)]);
        assert_eq!(gone, [FileId([1; 16])]);
    }
}
