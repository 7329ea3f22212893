//! Presence with its effects: when someone comes or goes, the others are told and the time is written down.
//!
//! Changes gather for a moment, so that a thousand members who reconnect at once are one query and one round of
//! messages.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use shared::{
    id::{AccountId, BlobHash, DeviceId, FileId},
    limits::{EVENTS_GATHER, PAGE_ENTRIES_MAX, SEEN_NOTED},
    wire::{
        reach::Token,
        tracker::{Event, MemberEntry, Presence as Shown},
    },
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    events::{Events, Target},
    handler::{self, now_ms},
    holdings::{Content, Held, Holder, Holdings},
    presence::{ConnectionNo, Presence, Seen, Session},
    store::{Apart, Store, StoreError},
};

/// Presence, and what has changed since the members were told.
#[derive(Debug, Default)]
pub struct Roster {
    presence: Mutex<Presence>,
    holdings: Mutex<Holdings>,
    news: Mutex<News>,
    changed: Notify,
    /// What was told last of devices that are signed out.
    told: tokio::sync::Mutex<Option<Event>>,
}

#[derive(Debug, Default)]
struct News {
    members: BTreeSet<AccountId>,
    /// Connected until now, or from now on.
    seen: BTreeSet<DeviceId>,
    index: Option<u64>,
    revoked: bool,
}

impl News {
    fn is_empty(&self) -> bool {
        self.members.is_empty() && self.seen.is_empty() && self.index.is_none() && !self.revoked
    }
}

impl Roster {
    /// A device signed in. Returns the older connection that it replaces.
    pub fn arrive(&self, device: DeviceId, account: AccountId, connection: ConnectionNo) -> Option<ConnectionNo> {
        let replaced = self.presence().arrive(device, account, connection);
        // What it said on another connection is over; it says it again.
        self.holdings().forget(device);
        self.news().seen.insert(device);
        self.member_changed(account);
        replaced
    }

    /// A signed-in connection ended.
    pub fn leave(&self, device: DeviceId, account: AccountId, connection: ConnectionNo) {
        if self.presence().leave(device, connection) {
            self.holdings().forget(device);
            self.news().seen.insert(device);
            self.member_changed(account);
        }
    }

    /// A device says where it can be reached.
    pub fn announce(&self, device: DeviceId, connection: ConnectionNo, addresses: Vec<SocketAddr>) {
        self.presence().announce(device, connection, addresses);
    }

    /// Somebody came to the keyboard of a device, or left it.
    pub fn attend(&self, device: DeviceId, account: AccountId, connection: ConnectionNo, here: bool, now_ms: i64) {
        if self.presence().attend(device, connection, here, now_ms) {
            self.member_changed(account);
        }
    }

    /// A connected device holds these contents. Gives the others that hold what it did not hold before.
    pub fn hold(&self, device: DeviceId, account: AccountId, held: Held) -> BTreeMap<DeviceId, Vec<BlobHash>> {
        // Not for one who left meanwhile.
        let presence = self.presence();
        if presence.session(device).is_none() {
            return BTreeMap::new();
        }
        self.holdings().set(device, account, held)
    }

    /// Who holds a content without sharing it.
    #[must_use]
    pub fn holders(&self, content: &Content) -> Vec<Holder> {
        self.holdings().of(content).collect()
    }

    /// Who holds one of these contents without sharing it, each with what it holds.
    #[must_use]
    pub fn holders_among(&self, blobs: &BTreeSet<BlobHash>) -> Vec<(DeviceId, BlobHash)> {
        let holdings = self.holdings();
        blobs.iter().flat_map(|blob| holdings.of_blob(*blob).map(|device| (device, *blob))).collect()
    }

    /// The files that connected devices hold without sharing them, with their contents.
    #[must_use]
    pub fn held(&self) -> BTreeMap<FileId, BlobHash> {
        self.holdings().files().collect()
    }

    /// Others see this member differently now.
    pub fn member_changed(&self, account: AccountId) {
        self.news().members.insert(account);
        self.changed.notify_one();
    }

    /// The index moved to this sequence number.
    pub fn index_moved(&self, seq: u64) {
        let mut news = self.news();
        news.index = news.index.max(Some(seq));
        drop(news);
        self.changed.notify_one();
    }

    /// Devices were signed out.
    pub fn revoked(&self) {
        self.news().revoked = true;
        self.changed.notify_one();
    }

    /// A device was enrolled, which may have been signed out before: then it counts again.
    pub fn enrolled(&self) {
        self.revoked();
    }

    /// The connected devices.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceId> {
        self.presence().devices().collect()
    }

    /// Whether a device is connected.
    #[must_use]
    pub fn is_online(&self, device: DeviceId) -> bool {
        self.presence().session(device).is_some()
    }

    /// A device got a ticket for the second port.
    pub fn expect_probe(&self, device: DeviceId, connection: ConnectionNo, ticket: Token) {
        self.presence().expect_probe(device, connection, ticket);
    }

    /// The second port saw a device.
    pub fn seen(&self, device: DeviceId, connection: ConnectionNo, seen: Seen) {
        self.presence().seen(device, connection, seen);
    }

    /// Devices of a member that are connected.
    #[must_use]
    pub fn devices_of(&self, account: AccountId) -> usize {
        self.presence().devices_of(account)
    }

    /// The session of a connected device.
    #[must_use]
    pub fn session(&self, device: DeviceId) -> Option<Session> {
        self.presence().session(device).cloned()
    }

    /// Members with a device connected.
    #[must_use]
    pub fn members_online(&self) -> usize {
        self.presence().members()
    }

    /// Completes entries of the store by who is connected.
    pub fn complete(&self, members: &mut [MemberEntry]) {
        let presence = self.presence();
        for member in members {
            let standing = presence.standing(member.account);
            member.devices = u32::try_from(standing.devices).unwrap_or(u32::MAX);
            member.presence = standing.presence;
            if standing.presence == Shown::Away {
                member.last_seen_ms = standing.left_ms;
            }
        }
    }

    /// Tells the members what changed, until stopped. What is left is written down before it returns.
    pub async fn run(&self, store: Arc<dyn Store>, events: Arc<Events>, stop: CancellationToken) {
        let mut note = tokio::time::interval(SEEN_NOTED);
        note.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.changed.notified() => {}
                _ = note.tick() => self.note_connected(),
            }
            tokio::time::sleep(EVENTS_GATHER).await;
            self.tell(&*store, &events).await;
        }
        self.note_connected();
        self.tell(&*store, &events).await;
    }

    /// Whoever is connected is seen now: after a crash nobody else would know.
    fn note_connected(&self) {
        let online: Vec<DeviceId> = self.presence().devices().collect();
        self.news().seen.extend(online);
    }

    async fn tell(&self, store: &dyn Store, events: &Events) {
        let news = std::mem::take(&mut *self.news());
        if news.is_empty() {
            return;
        }
        if let Err(error) = self.tell_of(store, events, &news).await {
            tracing::error!(error = &error as &dyn std::error::Error, "changes of presence could not be written down");
        }
    }

    async fn tell_of(&self, store: &dyn Store, events: &Events, news: &News) -> Result<(), StoreError> {
        if news.revoked {
            self.tell_revoked(store, events).await?;
        }
        if let Some(seq) = news.index {
            events.send(Target::Everyone, Event::IndexMoved { seq });
        }
        if !news.seen.is_empty() {
            let seen: Vec<DeviceId> = news.seen.iter().copied().collect();
            store.note_seen(&seen, now_ms()).await?;
        }
        let accounts: Vec<AccountId> = news.members.iter().copied().collect();
        for page in accounts.chunks(PAGE_ENTRIES_MAX) {
            let mut members = store.members_by_id(page).await?;
            self.complete(&mut members);
            // From the changed ones' side: the relation is the same in both directions, and mostly empty.
            let mut apart: BTreeMap<AccountId, BTreeSet<AccountId>> = BTreeMap::new();
            for Apart { viewer, hidden, .. } in store.apart_from(page).await? {
                apart.entry(viewer).or_default().insert(hidden);
            }
            for member in members {
                let hidden = apart.remove(&member.account).unwrap_or_default();
                events.send_but(&hidden, Event::Member(member));
            }
        }
        Ok(())
    }

    /// Tells which devices' certificates no longer count, if that is news.
    async fn tell_revoked(&self, store: &dyn Store, events: &Events) -> Result<(), StoreError> {
        let event = handler::devices::revoked(store, now_ms()).await?;
        let mut told = self.told.lock().await;
        if told.as_ref() != Some(&event) {
            events.send(Target::Everyone, event.clone());
            *told = Some(event);
        }
        Ok(())
    }

    fn holdings(&self) -> MutexGuard<'_, Holdings> {
        self.holdings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn presence(&self) -> MutexGuard<'_, Presence> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
