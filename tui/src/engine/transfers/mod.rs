//! Transfers into this device: the queue, what each one stands at, and who may act on it.

pub mod batch;
pub mod delta;
pub mod known;
pub mod land;
pub mod large;
pub mod local;
pub mod order;
pub mod part;
pub mod plan;
pub mod protected;
pub mod repair;
pub mod row;
pub mod single;
pub mod source;
pub mod staging;
pub mod stream;
pub mod way;
pub mod work;
pub mod worker;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use rand::Rng;
use shared::{
    id::DeviceId,
    limits::{STREAM_KEPT, TRANSFERS_AT_ONCE_MAX, TRANSFERS_REMEMBERED_MAX},
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use order::Entry;
pub use plan::{folder_files, list, queue_given, resolve, start};
pub use row::Transfer;

use super::{
    api::{Direction, Failure, FailureKind, QueuePlace, Rank, Steer, Target, TransferPage, TransferRow, TransferState},
    core::{Core, now_ms, pause},
    failure,
    limits::Party,
};

/// Ends the names of files and folders that are still arriving.
pub const PART_SUFFIX: &str = ".swapmeet-part";
/// Ends the name that a damaged file gets when it was repaired.
pub const DAMAGED_SUFFIX: &str = ".swapmeet-bad";

/// All transfers of this profile.
#[derive(Debug, Default)]
pub struct Transfers {
    all: Mutex<BTreeMap<i64, Arc<Transfer>>>,
    removed: Mutex<BTreeSet<String>>,
    /// What was told about uploads, so that their ends are told too.
    uploads: Mutex<HashMap<DeviceId, Told>>,
    /// Something may be startable.
    wake: Notify,
    /// Held while a reader of a stream comes or goes.
    streaming: tokio::sync::Mutex<()>,
}

/// What was told about an upload: its id, its bytes, and where it stands in line.
type Told = (String, u64, Option<QueuePlace>);

/// What a person wants of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Run,
    Pause,
    Cancel,
    /// Back to the queue: others matter more.
    GiveWay,
}

/// How one attempt at a transfer ended before it was done.
#[derive(Debug)]
pub enum Halt {
    /// A person, or the engine's end.
    Wished,
    /// No source delivers now.
    Waiting {
        reason: String,
        /// Nobody who has it is there, as far as the tracker knows.
        no_source: bool,
    },
    /// It is complete, and nobody who knows its password is here.
    Locked,
    /// It will not get better by itself.
    Failed(Failure),
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            // Without the tracker, or a sign-in, it waits for them.
            FailureKind::Unreachable | FailureKind::Timeout | FailureKind::SignIn => {
                Self::Waiting { reason: failure.message, no_source: false }
            }
            FailureKind::Interrupted => Self::Wished,
            FailureKind::Unexpected
            | FailureKind::Usage
            | FailureKind::NotFound
            | FailureKind::Transfer
            | FailureKind::Refused
            | FailureKind::Conflict => Self::Failed(failure),
        }
    }
}

impl Transfers {
    fn all(&self) -> MutexGuard<'_, BTreeMap<i64, Arc<Transfer>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The transfer of this number.
    pub fn get(&self, id: i64) -> Option<Arc<Transfer>> {
        self.all().get(&id).cloned()
    }

    /// Sources may have come: what waits tries again.
    pub fn poke(&self) {
        for transfer in self.all().values() {
            if transfer.state() == TransferState::Waiting {
                transfer.set_state(TransferState::Queued, "");
            }
            transfer.look_again.notify_one();
        }
        self.wake.notify_one();
    }

    /// Every transfer as faces see it, oldest first.
    pub fn rows(&self) -> Vec<TransferRow> {
        let mut rows: Vec<_> = self.all().values().map(|transfer| transfer.row()).collect();
        rows.sort_by_key(|row| (row.created_ms, row.place));
        rows
    }

    /// Running or waiting for something.
    pub fn active_count(&self) -> u64 {
        self.all().values().filter(|transfer| transfer.is_active()).count() as u64
    }

    /// What changed since the last call, with speeds of now.
    pub fn take_changes(&self, now_ms: i64) -> TransferPage {
        let changed = self.all().values().filter_map(|transfer| transfer.take_change(now_ms)).collect();
        let removed = std::mem::take(&mut *self.removed.lock().unwrap_or_else(PoisonError::into_inner));
        TransferPage { restart: false, changed, removed: removed.into_iter().collect() }
    }

    /// Tells the changes of uploads too. Returns those that are over, with their bytes.
    pub fn take_upload_changes(&self, core: &Core, page: &mut TransferPage) -> Vec<(DeviceId, u64)> {
        let mut over = Vec::new();
        let mut told = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        for (device, upload) in core.catalog.uploads() {
            let id = format!("up{:.14}", device.to_string());
            let line = place_in_line(core, device);
            let idle = upload.last.elapsed() > UPLOAD_IDLE && line.is_none();
            let before = told.get(&device).map(|(_, bytes, line)| (*bytes, *line));
            if idle {
                page.removed.push(id);
                told.remove(&device);
                core.catalog.forget_upload(device);
                over.push((device, upload.bytes));
            } else if before != Some((upload.bytes, line)) {
                page.changed.push(row::upload_row(core, device, &id, &upload, line));
                told.insert(device, (id, upload.bytes, line));
            }
        }
        over
    }

    /// The transfers that a person means: all that `how` applies to, or those of these ids or prefixes.
    pub fn find(&self, ids: &[String]) -> Result<Vec<Arc<Transfer>>, Failure> {
        let all = self.all();
        if ids.is_empty() {
            return Ok(all.values().cloned().collect());
        }
        ids.iter()
            .map(|id| {
                let mut matching =
                    all.values().filter(|transfer| !id.is_empty() && transfer.text_id().starts_with(id.as_str()));
                match (matching.next(), matching.next()) {
                    (Some(transfer), None) => Ok(transfer.clone()),
                    (Some(_), Some(_)) => Err(Failure::new(
                        FailureKind::Usage,
                        "ambiguous",
                        format!("several transfers begin with {}", shared::show::show_line(id, 40)),
                        "give more digits of the id",
                    )),
                    (None, _) => Err(Failure::new(
                        FailureKind::NotFound,
                        "no_transfer",
                        format!("there is no transfer {}", shared::show::show_line(id, 40)),
                        "`swapmeet transfers ls` shows them",
                    )),
                }
            })
            .collect()
    }
}

/// Where the member of a device stands in line for an upload slot here.
fn place_in_line(core: &Core, device: DeviceId) -> Option<QueuePlace> {
    let place = core.limits.place_of(Party::Member(core.peers.member_of(device)?))?;
    Some(QueuePlace { position: place.position, wait_s: Some(place.wait.as_secs()) })
}

/// An upload counts as over when nothing was taken for this long.
const UPLOAD_IDLE: Duration = Duration::from_secs(3);
/// How often what waits tries again by itself.
const WAITING_RETRY: Duration = Duration::from_secs(10);

/// Reads the transfers of earlier runs; what was under way goes on.
pub async fn load(core: &Arc<Core>) -> Result<(), Failure> {
    let stored = core.state.transfers().await.map_err(failure::unexpected)?;
    let finished = stored.iter().filter(|stored| !stored.active).count();
    let mut forget = finished.saturating_sub(TRANSFERS_REMEMBERED_MAX);
    for stored in stored {
        // A stream that was cut off near its end may lie somewhere; it goes with its age.
        if !stored.active && forget > 0 && stored.plan.target != Target::Stream {
            forget -= 1;
            core.state.remove_transfer(stored.id).await.map_err(failure::unexpected)?;
            continue;
        }
        let transfer = Transfer::stored(stored);
        if transfer.plan.target == Target::Stream {
            let row = transfer.row();
            let age_ms = u128::try_from(now() - row.created_ms).unwrap_or(0);
            if age_ms > STREAM_KEPT.as_millis() {
                work::discard(core, &transfer).await;
                core.state.remove_transfer(transfer.id).await.map_err(failure::unexpected)?;
                continue;
            }
            if transfer.is_active() {
                transfer.rest();
            }
        }
        core.transfers.all().insert(transfer.id, transfer);
    }
    Ok(())
}

/// Runs what is queued until the engine stops.
pub async fn run(core: Arc<Core>) {
    let mut running = JoinSet::new();
    loop {
        start_queued(&core, &mut running);
        tokio::select! {
            () = pause(WAITING_RETRY, &core.transfers.wake) => {}
            Some(ended) = running.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a transfer ended abnormally");
                }
                continue;
            }
            () = core.stop.cancelled() => break,
        }
        for transfer in core.transfers.all().values() {
            if transfer.state() == TransferState::Waiting {
                transfer.set_state(TransferState::Queued, "");
            }
        }
    }
    // Each sees the stop by itself and stores where it stands.
    while running.join_next().await.is_some() {}
}

fn start_queued(core: &Arc<Core>, running: &mut JoinSet<()>) {
    let all: Vec<Arc<Transfer>> = core.transfers.all().values().cloned().collect();
    let startable = all.iter().filter(|transfer| transfer.is_startable());
    // Whoever reads a stream waits for it: faces and their calls are bounded.
    let (streams, others): (Vec<_>, Vec<_>) = startable.partition(|transfer| transfer.plan.target == Target::Stream);
    let mut queued: Vec<Entry> = others.into_iter().map(|transfer| transfer.entry()).collect();
    order::sort(&mut queued);
    let free = TRANSFERS_AT_ONCE_MAX.saturating_sub(all.iter().filter(|transfer| has_place(transfer)).count());
    let waiting = queued.split_off(free.min(queued.len()));
    if !waiting.is_empty() {
        make_room(&all, &waiting);
    }
    let queued = queued.into_iter().filter_map(|entry| core.transfers.get(entry.id));
    for transfer in streams.into_iter().cloned().chain(queued) {
        transfer.set_state(TransferState::Running, "looking for sources");
        transfer.attempting.store(true, Ordering::Relaxed);
        running.spawn(attempt(core.clone(), transfer));
    }
}

/// Whether it runs in one of the places that transfers wait for. A stream has one of its own.
fn has_place(transfer: &Transfer) -> bool {
    transfer.attempting.load(Ordering::Relaxed) && transfer.plan.target != Target::Stream
}

/// Sends transfers back to the queue for which others that matter more have to wait.
fn make_room(all: &[Arc<Transfer>], waiting: &[Entry]) {
    let attempting = || all.iter().filter(|transfer| has_place(transfer));
    let running: Vec<Entry> = attempting().filter(|t| t.wish() == Wish::Run).map(|t| t.entry()).collect();
    let leaving = attempting().filter(|transfer| transfer.wish() != Wish::Run).count();
    for id in order::to_give_way(&running, leaving, waiting) {
        if let Some(transfer) = attempting().find(|transfer| transfer.id == id) {
            transfer.give_way();
        }
    }
}

async fn attempt(core: Arc<Core>, transfer: Arc<Transfer>) {
    let ended = tokio::select! {
        ended = work::run(&core, &transfer) => ended,
        () = transfer.wished_away() => Err(Halt::Wished),
        () = core.stop.cancelled() => Err(Halt::Wished),
    };
    if !matches!(ended, Err(Halt::Waiting { .. })) {
        core.catalog.holdings.end(transfer.id);
    }
    transfer.settle_sources();
    match ended {
        Ok(()) => transfer.finish(TransferState::Done, "", None),
        Err(Halt::Waiting { reason, no_source }) => {
            transfer.no_source.store(no_source, Ordering::Relaxed);
            transfer.set_state(TransferState::Waiting, &reason);
        }
        Err(Halt::Locked) => {
            transfer.set_wish(Wish::Pause);
            transfer.set_state(TransferState::Paused, protected::LOCKED);
        }
        Err(Halt::Failed(failure)) => {
            let reason = failure.message.clone();
            transfer.finish(TransferState::Failed, &reason, Some(failure));
        }
        Err(Halt::Wished) => match transfer.wish() {
            Wish::Run => transfer.set_state(TransferState::Queued, ""),
            Wish::Pause if transfer.is_unread() => transfer.set_state(TransferState::Paused, row::NOT_READ),
            Wish::Pause => transfer.set_state(TransferState::Paused, "paused by you"),
            Wish::Cancel => {
                work::discard(&core, &transfer).await;
                transfer.finish(TransferState::Cancelled, "cancelled by you", None);
            }
            Wish::GiveWay => transfer.set_state(TransferState::Queued, "made room for what matters more"),
        },
    }
    transfer.takes_turn_again();
    transfer.attempting.store(false, Ordering::Relaxed);
    store(&core, &transfer).await;
    transfer.note_attempt();
    core.inbox.wake.notify_one();
    core.wishes.wake.notify_one();
}

/// Stores how a transfer stands.
async fn store(core: &Core, transfer: &Transfer) {
    let row = transfer.row();
    if let Err(error) = core.state.update_transfer(transfer.id, transfer.is_active(), &row).await {
        tracing::error!(%error, "a transfer's state could not be stored");
    }
}

/// Stores where running transfers stand.
pub async fn store_running(core: &Core, changed: &[TransferRow]) {
    for row in changed.iter().filter(|row| row.state == TransferState::Running && row.direction == Direction::Down) {
        let Ok(id) = i64::from_str_radix(&row.id, 16) else { continue };
        if let Err(error) = core.state.update_running(id, row).await {
            tracing::warn!(%error, "a running transfer's state could not be stored");
        }
    }
}

/// Acts on transfers; returns those that it applied to.
pub async fn steer(core: &Arc<Core>, ids: &[String], how: Steer) -> Result<Vec<TransferRow>, Failure> {
    let mut rows = Vec::new();
    for transfer in core.transfers.find(ids)? {
        let state = transfer.state();
        let active = transfer.is_active();
        let applies = match how {
            Steer::Pause => active && state != TransferState::Paused,
            Steer::Resume => state == TransferState::Paused && !transfer.is_unread(),
            // Without ids only what is under way is cancelled.
            Steer::Cancel => active,
            Steer::Retry => {
                matches!(state, TransferState::Failed | TransferState::Cancelled | TransferState::Waiting)
                    && !transfer.is_unread()
            }
            Steer::Clear => !active && (transfer.plan.target != Target::Stream || transfer.is_unread()),
            Steer::Rank(_) => active && !ids.is_empty(),
        };
        if !applies {
            if !ids.is_empty() {
                rows.push(transfer.row());
            }
            continue;
        }
        match how {
            Steer::Pause => quit(core, &transfer, Wish::Pause).await,
            Steer::Cancel => quit(core, &transfer, Wish::Cancel).await,
            Steer::Rank(rank) => move_to(core, transfer.id, rank).await,
            Steer::Resume | Steer::Retry => {
                transfer.again();
                store(core, &transfer).await;
                core.transfers.wake.notify_one();
            }
            Steer::Clear => {
                if transfer.is_unread() {
                    work::discard(core, &transfer).await;
                }
                core.state.remove_transfer(transfer.id).await.map_err(failure::unexpected)?;
                core.transfers.all().remove(&transfer.id);
                let mut removed = core.transfers.removed.lock().unwrap_or_else(PoisonError::into_inner);
                removed.insert(transfer.text_id());
            }
        }
        rows.push(transfer.row());
    }
    Ok(rows)
}

/// Gives a transfer another place in the queue, which may move others too.
async fn move_to(core: &Arc<Core>, id: i64, rank: Rank) {
    let all: Vec<Arc<Transfer>> = core.transfers.all().values().filter(|other| other.is_active()).cloned().collect();
    for entry in order::moved(all.iter().map(|transfer| transfer.entry()).collect(), id, rank) {
        let Some(transfer) = all.iter().find(|transfer| transfer.id == entry.id) else { continue };
        transfer.change(|row| (row.priority, row.place) = (entry.priority, entry.place));
        store(core, transfer).await;
    }
    core.transfers.wake.notify_one();
}

/// Makes a transfer stop and waits until it has.
async fn quit(core: &Arc<Core>, transfer: &Arc<Transfer>, wish: Wish) {
    let mut attempts = transfer.attempts();
    transfer.set_wish(wish);
    if transfer.attempting.load(Ordering::Relaxed) {
        // Ends with the engine at the latest.
        let _ended = attempts.changed().await;
        return;
    }
    core.catalog.holdings.end(transfer.id);
    match wish {
        Wish::Cancel => {
            work::discard(core, transfer).await;
            transfer.finish(TransferState::Cancelled, "cancelled by you", None);
        }
        Wish::Pause => transfer.set_state(TransferState::Paused, "paused by you"),
        Wish::Run | Wish::GiveWay => {}
    }
    store(core, transfer).await;
    core.inbox.wake.notify_one();
}

/// A transfer's number that no other one has.
fn fresh_id(core: &Core) -> i64 {
    let all = core.transfers.all();
    loop {
        let id = rand::rng().random_range(1..i64::MAX);
        if !all.contains_key(&id) {
            return id;
        }
    }
}

/// The last place in the queue that is taken.
fn last_place(core: &Core) -> i64 {
    core.transfers.all().values().map(|transfer| transfer.entry().place).max().unwrap_or(0)
}

/// Puts a transfer into the queue.
fn enqueue(core: &Core, transfer: Arc<Transfer>) {
    core.transfers.all().insert(transfer.id, transfer);
    core.transfers.wake.notify_one();
}

/// How many attempts have ended.
type Attempts = watch::Receiver<u64>;

/// The time now, for rows.
fn now() -> i64 {
    now_ms()
}
