//! Requests and offers on this device: what the tracker tells of them, what a person does about them, and what the
//! engine does by itself (`keep`, as `decide` rules).

mod commands;
mod decide;
mod keep;
mod parcel;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use quinn::Connection;
use shared::{
    id::{AccountId, ItemId},
    inbox::{Party, State},
    limits::ITEM_KEPT,
    wire::{
        inbox::{InboxAnswer, InboxRequest, ItemEntry, What},
        tracker::{Answer, Request},
    },
};
use tokio::sync::Notify;

pub(super) use self::commands::{carry_out, find, in_step};
pub use self::keep::{ask_for, fetched, run};
use super::{
    api::{EventKind, Failure, FailureKind, ItemRow},
    core::{Core, now_ms},
    failure,
    rows::name_of,
    session,
    state::Errand,
};

/// The items that this device knows of.
#[derive(Debug, Default)]
pub struct Inbox {
    items: Mutex<BTreeMap<ItemId, ItemEntry>>,
    errands: Mutex<BTreeMap<ItemId, Errand>>,
    /// Since when members with something waiting are away, by this device's clock.
    away: Mutex<HashMap<AccountId, i64>>,
    /// What is served of offers: the numbers that their parcels have among the shares.
    parcels: Mutex<BTreeSet<i64>>,
    /// Parcels, by number, of which it was not known at the start whether the tracker has them.
    left_over: Mutex<BTreeSet<i64>>,
    /// All that the tracker knew since the start is known here.
    in_step: AtomicBool,
    /// One item at a time becomes a transfer: two would fetch it twice.
    fetching: tokio::sync::Mutex<()>,
    /// Something happened that the keeper may have to act on.
    pub wake: Notify,
    /// The tracker has news of items.
    pub moved: Notify,
    /// Items changed since faces were told.
    pub changed: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inbox {
    fn get(&self, id: ItemId) -> Option<ItemEntry> {
        locked(&self.items).get(&id).cloned()
    }

    fn all(&self) -> Vec<ItemEntry> {
        locked(&self.items).values().cloned().collect()
    }

    /// Where an item stands, as far as this device knows.
    pub(super) fn state(&self, id: ItemId) -> Option<State> {
        locked(&self.items).get(&id).map(|item| item.state)
    }

    /// An invitation of a member to a private channel that waits for an answer.
    pub(super) fn invitation_of(&self, member: AccountId) -> Option<ItemEntry> {
        let waits =
            |item: &ItemEntry| item.what == What::Channel && item.state == State::Waiting && item.from == member;
        locked(&self.items).values().find(|item| waits(item)).cloned()
    }

    /// What the other wrote with the end of an item.
    pub(super) fn word(&self, id: ItemId) -> String {
        locked(&self.items).get(&id).map(|item| item.word.clone()).unwrap_or_default()
    }

    fn errand(&self, id: ItemId) -> Option<Errand> {
        locked(&self.errands).get(&id).cloned()
    }

    /// Takes something on, durably.
    async fn take_on(&self, core: &Core, id: ItemId, errand: Errand) -> Result<(), Failure> {
        core.state.put_errand(id, &errand).await.map_err(failure::unexpected)?;
        locked(&self.errands).insert(id, errand);
        Ok(())
    }

    /// Whether a parcel was left by an engine before this one, and the tracker has been asked since.
    fn is_left_over(&self, parcel: i64) -> bool {
        self.in_step.load(Ordering::Relaxed) && locked(&self.left_over).contains(&parcel)
    }

    /// Notes items as they are now.
    fn note(&self, items: &[ItemEntry]) {
        locked(&self.items).extend(items.iter().map(|item| (item.id, item.clone())));
        self.changed.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }
}

/// Who is signed in here is somebody else now, or nobody.
pub fn forget(core: &Core) {
    for offered in std::mem::take(&mut *locked(&core.inbox.parcels)) {
        core.catalog.remove(offered, |_| true);
    }
    locked(&core.inbox.items).clear();
    locked(&core.inbox.errands).clear();
    locked(&core.inbox.away).clear();
    locked(&core.inbox.left_over).clear();
    core.inbox.in_step.store(false, Ordering::Relaxed);
    core.inbox.changed.store(true, Ordering::Relaxed);
}

/// Forgets items and what was to be done for them, but not what is served.
fn forget_known(core: &Core) {
    locked(&core.inbox.items).clear();
    locked(&core.inbox.errands).clear();
}

/// Reads what was known when the engine stopped last.
pub async fn load(core: &Core) -> Result<(), Failure> {
    let items = core.state.inbox_items().await.map_err(failure::unexpected)?;
    let kept_ms = i64::try_from(ITEM_KEPT.as_millis()).unwrap_or(i64::MAX);
    let is_old = |item: &ItemEntry| !item.state.is_open() && item.changed_ms < now_ms().saturating_sub(kept_ms);
    let (old, kept): (Vec<_>, Vec<_>) = items.into_iter().partition(is_old);
    let old: Vec<ItemId> = old.iter().map(|item| item.id).collect();
    core.state.forget_items(&old).await.map_err(failure::unexpected)?;
    *locked(&core.inbox.errands) = core.state.errands().await.map_err(failure::unexpected)?.into_iter().collect();
    core.inbox.note(&kept);
    parcel::load(core).await
}

/// Pulls what changed at the tracker, whenever it has, for as long as the connection lasts.
pub async fn keep_in_step(core: &Arc<Core>, connection: &Connection) -> Result<(), Failure> {
    loop {
        pull(core, connection).await?;
        core.inbox.moved.notified().await;
    }
}

async fn pull(core: &Core, connection: &Connection) -> Result<(), Failure> {
    let mut since: u64 = core.state.setting("inbox_next").await.map_err(failure::unexpected)?.unwrap_or(0);
    loop {
        let request = Request::Inbox(InboxRequest::Changes { since });
        let Answer::Inbox(InboxAnswer::Changes { items, next, more }) = session::ask(connection, &request).await?
        else {
            return Err(failure::bad_answer());
        };
        if next < since {
            // The tracker was restored from a backup: what it does not know any more is not there any more.
            let known: Vec<ItemId> = core.inbox.all().iter().map(|item| item.id).collect();
            core.state.forget_items(&known).await.map_err(failure::unexpected)?;
            core.state.put_inbox(&[], 0).await.map_err(failure::unexpected)?;
            forget_known(core);
            since = 0;
            continue;
        }
        core.state.put_inbox(&items, next).await.map_err(failure::unexpected)?;
        note(core, &items);
        since = next;
        if !more {
            core.inbox.in_step.store(true, Ordering::Relaxed);
            return Ok(());
        }
    }
}

/// Notes items, and tells whoever follows events of those that are new or moved on.
fn note(core: &Core, items: &[ItemEntry]) {
    let moved: Vec<&ItemEntry> = items.iter().filter(|item| core.inbox.state(item.id) != Some(item.state)).collect();
    // Whoever hears of it finds it noted.
    core.inbox.note(items);
    for item in moved {
        core.hub.event(EventKind::ItemChanged { item: Box::new(row(core, item)) });
    }
}

/// Asks the tracker, and notes the items that it answers with.
pub(super) async fn ask(core: &Core, request: InboxRequest) -> Result<Vec<ItemEntry>, Failure> {
    let Answer::Inbox(InboxAnswer::Items { items }) = core.session.ask(&Request::Inbox(request)).await? else {
        return Err(failure::bad_answer());
    };
    note(core, &items);
    Ok(items)
}

/// All items as faces see them, newest first.
pub fn rows(core: &Core) -> Vec<ItemRow> {
    let mut items = core.inbox.all();
    items.retain(|item| !core.peers.is_blocked(item.from));
    items.sort_by_key(|item| std::cmp::Reverse((item.created_ms, item.id)));
    items.iter().map(|item| row(core, item)).collect()
}

/// An item as faces see it.
pub fn row(core: &Core, item: &ItemEntry) -> ItemRow {
    let me = core.my_id();
    let party = if Some(item.from) == me { Party::From } else { Party::To };
    let (file, name, files, size, hash) = match &item.what {
        What::Request { file, path, size, blob, .. } => {
            (file.map(|file| file.to_string()), name_of(path).to_owned(), u64::from(file.is_some()), *size, *blob)
        }
        What::Offer { name, files, size, blob, .. } => (None, name.clone(), *files, *size, *blob),
        What::Channel => (None, String::new(), 0, 0, None),
    };
    let matter = decide::matter(item);
    ItemRow {
        id: item.id.to_string(),
        kind: matter.kind(),
        incoming: party == Party::To,
        from: item.from_name.clone(),
        to: item.to.is_some().then(|| item.to_name.clone()).flatten(),
        file,
        name,
        files,
        size,
        hash,
        text: item.text.clone(),
        word: item.word.clone(),
        state: item.state,
        reason: decide::reason(item, party),
        acts: matter.acts(item.state, party),
        created_ms: item.created_ms,
        expires_ms: item.expires_ms,
        changed_ms: item.changed_ms,
        transfer: core.inbox.errand(item.id).and_then(|errand| errand.transfer),
    }
}

/// The item that somebody means: by its id or a unique prefix of it.
fn named(core: &Core, text: &str) -> Result<ItemEntry, Failure> {
    let items = core.inbox.all();
    let shown = shared::show::show_line(text, 40);
    if text.len() < PREFIX_CHARS_MIN {
        let message = format!("'{shown}' is too short for the id of an item");
        return Err(Failure::new(FailureKind::Usage, "short_id", message, "give at least 4 digits of the id"));
    }
    let mut matching = items.into_iter().filter(|item| item.id.to_string().starts_with(text));
    match (matching.next(), matching.next()) {
        (Some(item), None) => Ok(item),
        (Some(_), Some(_)) => {
            let message = format!("several items begin with {shown}");
            Err(Failure::new(FailureKind::Usage, "ambiguous", message, "give more digits of the id"))
        }
        (None, _) => {
            let message = format!("there is no request or offer {shown}");
            Err(Failure::new(FailureKind::NotFound, "no_item", message, "`swapmeet inbox ls --all` shows them"))
        }
    }
}

/// Digits by which an item can be named.
const PREFIX_CHARS_MIN: usize = 4;
