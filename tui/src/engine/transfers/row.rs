//! One transfer: what faces see of it, its speeds, its log, and what a person wants of it.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use shared::{
    id::DeviceId,
    limits::{PLAN_KEPT_MAX, TRANSFER_LOG_LINES_MAX},
    show::show_line,
    wire::peer::Queued,
};
use tokio::sync::{Notify, watch};

use super::{Attempts, Wish, now, order::Entry, source::Ahead, stream::Stream};
use crate::engine::{
    api::{
        Direction, Failure, Get, LogLine, PathKind, Priority, QueuePlace, SourceKind, Target, TransferRow,
        TransferSource, TransferState, ordinal,
    },
    catalog::Upload,
    core::Core,
    rows::name_of,
    state::{PlannedFile, StoredTransfer},
};

/// Why the transfer of a stream stands still.
pub const NOT_READ: &str = "its reader left; `swapmeet get -o -` goes on with it";
/// Speeds are averages over this long.
const SPEED_WINDOW_MS: i64 = 3000;

/// A transfer into this device.
#[derive(Debug)]
pub struct Transfer {
    pub id: i64,
    pub plan: Get,
    inner: Mutex<Inner>,
    /// What was planned a moment ago, for the first attempt.
    planned: Mutex<Option<Kept>>,
    wish: watch::Sender<Wish>,
    ended: watch::Sender<u64>,
    /// An attempt is under way.
    pub attempting: AtomicBool,
    /// Held while complete files get their names, which goes on when an attempt is cut off.
    pub landing: Arc<tokio::sync::Mutex<()>>,
    /// The last attempt found nobody who has it.
    pub no_source: AtomicBool,
    /// Somebody came: look for sources now.
    pub look_again: Notify,
    /// What can be read of it while it arrives.
    pub stream: Stream,
    dirty: AtomicBool,
}

/// A plan of a moment ago.
#[derive(Debug)]
pub struct Kept {
    pub files: Vec<PlannedFile>,
    /// What is known of its first small files.
    pub ahead: Option<Ahead>,
}

#[derive(Debug)]
struct Inner {
    row: TransferRow,
    total: Rate,
    sources: Vec<Rate>,
    since_ms: i64,
}

/// Bytes over the last seconds.
#[derive(Debug, Default)]
struct Rate {
    samples: VecDeque<(i64, u64)>,
}

impl Rate {
    fn speed(&mut self, now_ms: i64, bytes: u64) -> u64 {
        self.samples.push_back((now_ms, bytes));
        while self.samples.len() > 2 && self.samples[1].0 <= now_ms - SPEED_WINDOW_MS {
            self.samples.pop_front();
        }
        let Some(&(then, before)) = self.samples.front() else { return 0 };
        let elapsed = (now_ms - then).max(1) as u64;
        bytes.saturating_sub(before) * 1000 / elapsed
    }
}

impl Transfer {
    /// A new transfer, queued.
    pub fn new(id: i64, plan: Get, row: TransferRow) -> Arc<Self> {
        let sources = row.sources.iter().map(|_| Rate::default()).collect();
        Arc::new(Self {
            id,
            plan,
            inner: Mutex::new(Inner { row, total: Rate::default(), sources, since_ms: now() }),
            planned: Mutex::default(),
            wish: watch::Sender::new(Wish::Run),
            ended: watch::Sender::new(0),
            attempting: AtomicBool::new(false),
            landing: Arc::default(),
            no_source: AtomicBool::new(false),
            look_again: Notify::new(),
            stream: Stream::default(),
            dirty: AtomicBool::new(true),
        })
    }

    /// Keeps what was just planned, unless it is much, so that the first attempt need not read it back.
    pub fn keep_plan(&self, files: Vec<PlannedFile>, ahead: Option<Ahead>) {
        if files.len() <= PLAN_KEPT_MAX {
            *self.planned.lock().unwrap_or_else(PoisonError::into_inner) = Some(Kept { files, ahead });
        }
    }

    /// The kept plan, once.
    pub fn take_plan(&self) -> Option<Kept> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// One of an earlier run: what was running then is queued now.
    pub fn stored(stored: StoredTransfer) -> Arc<Self> {
        let StoredTransfer { id, plan, mut row, .. } = stored;
        // Whoever gave something stays named, also where the engine has moved to another process.
        row.sources.retain(|source| source.bytes > 0);
        for source in &mut row.sources {
            (source.speed, source.rtt_ms, source.queue) = (0, None, None);
            source.doing.clear();
        }
        row.speed = 0;
        row.eta_s = None;
        if matches!(row.state, TransferState::Running | TransferState::Finishing | TransferState::Waiting) {
            row.state = TransferState::Queued;
        }
        let paused = row.state == TransferState::Paused;
        let transfer = Self::new(id, plan, row);
        if paused {
            transfer.wish.send_replace(Wish::Pause);
        }
        transfer
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id as people type it.
    pub fn text_id(&self) -> String {
        format!("{:016x}", self.id)
    }

    /// What faces see.
    pub fn row(&self) -> TransferRow {
        self.inner().row.clone()
    }

    /// Where it stands.
    pub fn state(&self) -> TransferState {
        self.inner().row.state
    }

    /// Its place in the queue.
    pub fn entry(&self) -> Entry {
        let row = &self.inner().row;
        Entry { id: self.id, priority: row.priority, place: row.place, created_ms: row.created_ms }
    }

    /// Not yet done, failed or cancelled.
    pub fn is_active(&self) -> bool {
        !matches!(self.state(), TransferState::Done | TransferState::Failed | TransferState::Cancelled)
    }

    /// Waits for its turn.
    pub fn is_startable(&self) -> bool {
        self.state() == TransferState::Queued && self.wish() == Wish::Run && !self.attempting.load(Ordering::Relaxed)
    }

    /// Changes what faces see.
    pub fn change(&self, change: impl FnOnce(&mut TransferRow)) {
        change(&mut self.inner().row);
        self.dirty.store(true, Ordering::Relaxed);
    }

    /// Sets where it stands and why.
    pub fn set_state(&self, state: TransferState, reason: &str) {
        self.change(|row| {
            row.state = state;
            reason.clone_into(&mut row.reason);
        });
    }

    /// It is over.
    pub fn finish(&self, state: TransferState, reason: &str, failure: Option<Failure>) {
        let now_ms = now();
        let mut inner = self.inner();
        let since_ms = std::mem::replace(&mut inner.since_ms, now_ms);
        let row = &mut inner.row;
        row.elapsed_ms += u64::try_from(now_ms - since_ms).unwrap_or(0);
        row.state = state;
        reason.clone_into(&mut row.reason);
        row.failure = failure;
        row.finished_ms = Some(now_ms);
        row.speed = 0;
        row.eta_s = None;
        row.map.clear();
        drop(inner);
        self.dirty.store(true, Ordering::Relaxed);
    }

    /// Adds a line to its log; the text may hold names of others.
    pub fn log(&self, text: &str) {
        let line = LogLine { at_ms: now(), text: show_line(text, 200) };
        self.change(|row| {
            if row.log.len() == TRANSFER_LOG_LINES_MAX {
                row.log.remove(0);
            }
            row.log.push(line);
        });
    }

    /// The work begins: time counts from here.
    pub fn begin(&self) {
        self.inner().since_ms = now();
    }

    /// What a person wants.
    pub fn wish(&self) -> Wish {
        *self.wish.borrow()
    }

    /// A person wants something else.
    pub fn set_wish(&self, wish: Wish) {
        self.wish.send_replace(wish);
    }

    /// Others matter more: it is to go back to the queue, unless a person wants something else of it.
    pub fn give_way(&self) {
        self.wish.send_if_modified(|wish| {
            let runs = *wish == Wish::Run;
            if runs {
                *wish = Wish::GiveWay;
            }
            runs
        });
    }

    /// Resolves when a person wants it to stop, or others matter more.
    pub async fn wished_away(&self) {
        let mut wish = self.wish.subscribe();
        // The sender lives as long as this transfer.
        let _closed = wish.wait_for(|wish| *wish != Wish::Run).await;
    }

    /// It made room, and may run again when its turn comes.
    pub fn takes_turn_again(&self) {
        self.wish.send_if_modified(|wish| {
            let gave_way = *wish == Wish::GiveWay;
            if gave_way {
                *wish = Wish::Run;
            }
            gave_way
        });
    }

    /// From the beginning of the queue again.
    pub fn again(&self) {
        self.wish.send_replace(Wish::Run);
        self.change(|row| {
            row.state = TransferState::Queued;
            row.reason.clear();
            row.failure = None;
            row.finished_ms = None;
        });
    }

    /// Somebody wants it again, whatever became of it.
    pub fn go_on(&self) {
        if self.attempting.load(Ordering::Relaxed) {
            self.set_wish(Wish::Run);
        } else {
            self.again();
        }
    }

    /// Nobody reads it any more: it stands still until somebody does.
    pub fn rest(&self) {
        self.set_wish(Wish::Pause);
        if !self.attempting.load(Ordering::Relaxed) {
            self.set_state(TransferState::Paused, NOT_READ);
        }
    }

    /// Whether it is one for readers that nobody reads.
    pub fn is_unread(&self) -> bool {
        self.plan.target == Target::Stream && self.stream.needed_next().is_none()
    }

    /// Tells when attempts end.
    pub fn attempts(&self) -> Attempts {
        self.ended.subscribe()
    }

    /// An attempt has ended.
    pub fn note_attempt(&self) {
        self.ended.send_modify(|ended| *ended += 1);
    }

    /// A source joins the picture; returns its place.
    pub fn add_source(&self, source: TransferSource) -> usize {
        let mut inner = self.inner();
        let place =
            inner.row.sources.iter().position(|known| known.device == source.device && known.kind == source.kind);
        let place = match place {
            Some(place) => {
                let bytes = inner.row.sources[place].bytes;
                inner.row.sources[place] = TransferSource { bytes, ..source };
                place
            }
            None => {
                inner.row.sources.push(source);
                inner.sources.push(Rate::default());
                inner.row.sources.len() - 1
            }
        };
        drop(inner);
        self.dirty.store(true, Ordering::Relaxed);
        place
    }

    /// What a source does now.
    pub fn source_does(&self, place: usize, doing: &str) {
        self.change(|row| {
            if let Some(source) = row.sources.get_mut(place) {
                leaves_line(source, &mut row.reason);
                doing.clone_into(&mut source.doing);
            }
        });
    }

    /// What a source does now, and how far away it is where that is known.
    pub fn describe_source(&self, place: usize, rtt_ms: Option<u32>, doing: &str) {
        self.change(|row| {
            if let Some(source) = row.sources.get_mut(place) {
                source.rtt_ms = rtt_ms.or(source.rtt_ms);
                if source.queue.is_none() {
                    doing.clone_into(&mut source.doing);
                }
            }
        });
    }

    /// A source serves others first.
    pub fn stands_in_line(&self, place: usize, queued: Queued) {
        let queue = QueuePlace { position: queued.position, wait_s: queued.wait_ms.map(|wait| wait.div_ceil(1000)) };
        self.change(|row| {
            let others_serve =
                row.sources.iter().enumerate().any(|(other, source)| other != place && source.doing == SENDING);
            let Some(source) = row.sources.get_mut(place) else { return };
            source.queue = Some(queue);
            source.doing = queue.sentence();
            if !others_serve {
                row.reason = in_line(source, queue);
            }
        });
    }

    /// Verified bytes came from a source.
    pub fn received(&self, place: usize, bytes: u64) {
        self.change(|row| {
            row.done += bytes;
            if let Some(source) = row.sources.get_mut(place) {
                if source.queue.is_some() {
                    leaves_line(source, &mut row.reason);
                    SENDING.clone_into(&mut source.doing);
                }
                source.bytes += bytes;
                match source.kind {
                    SourceKind::Copy => row.bytes_copy += bytes,
                    SourceKind::Peer if source.path == PathKind::Relay => row.bytes_relay += bytes,
                    SourceKind::Peer => row.bytes_peer += bytes,
                }
            }
        });
    }

    /// No source does anything for it now.
    pub fn settle_sources(&self) {
        self.change(|row| {
            row.speed = 0;
            row.eta_s = None;
            for source in &mut row.sources {
                source.speed = 0;
                leaves_line(source, &mut row.reason);
                if source.doing == SENDING {
                    source.doing.clear();
                }
            }
        });
    }

    /// The row with the speeds of now, if it changed or moves.
    pub fn take_change(&self, now_ms: i64) -> Option<TransferRow> {
        let dirty = self.dirty.swap(false, Ordering::Relaxed);
        let mut inner = self.inner();
        if !dirty && inner.row.speed == 0 {
            return None;
        }
        let Inner { row, total, sources, since_ms } = &mut *inner;
        let running = matches!(row.state, TransferState::Running | TransferState::Finishing);
        if running {
            row.elapsed_ms += u64::try_from(now_ms - *since_ms).unwrap_or(0);
            *since_ms = now_ms;
            row.speed = total.speed(now_ms, row.bytes_peer + row.bytes_copy + row.bytes_relay);
            let left = row.size.saturating_sub(row.done);
            row.eta_s = (row.speed > 0).then(|| left / row.speed);
            for (source, rate) in row.sources.iter_mut().zip(sources) {
                source.speed = rate.speed(now_ms, source.bytes);
            }
        } else {
            *since_ms = now_ms;
        }
        Some(row.clone())
    }
}

/// What a source does while bytes come from it.
pub const SENDING: &str = "sending";

fn in_line(source: &TransferSource, queue: QueuePlace) -> String {
    let who = source.member.as_ref().map_or_else(|| "the tracker".to_owned(), |member| show_line(member, 40));
    format!("queued: {} at {who}", ordinal(queue.position))
}

/// A source has something else to say than where this device stands in line.
fn leaves_line(source: &mut TransferSource, reason: &mut String) {
    if let Some(queue) = source.queue.take() {
        source.doing.clear();
        if *reason == in_line(source, queue) {
            reason.clear();
        }
    }
}

/// Someone takes files from here, as a row beside the downloads.
pub fn upload_row(core: &Core, device: DeviceId, id: &str, upload: &Upload, line: Option<QueuePlace>) -> TransferRow {
    let member = core.peers.member_of(device).and_then(|account| core.member_name(account));
    let elapsed = upload.began.elapsed();
    let speed = match line {
        Some(_) => 0,
        None => (upload.bytes as f64 / elapsed.as_secs_f64().max(0.2)) as u64,
    };
    let direct = || core.peers.live_path(core, device).unwrap_or(PathKind::Direct);
    let path = if upload.is_relayed { PathKind::Relay } else { direct() };
    TransferRow {
        id: id.to_owned(),
        direction: Direction::Up,
        name: name_of(&upload.path).to_owned(),
        item: String::new(),
        owner: member.clone().unwrap_or_default(),
        folder: false,
        files: 1,
        files_done: 0,
        state: if line.is_some() { TransferState::Queued } else { TransferState::Running },
        reason: line.map(|line| line.sentence()).unwrap_or_default(),
        size: 0,
        done: upload.bytes,
        speed,
        eta_s: None,
        path: PathBuf::from(upload.path.as_ref()),
        hash: None,
        bytes_peer: upload.bytes.saturating_sub(upload.relayed),
        bytes_copy: 0,
        bytes_relay: upload.relayed,
        bytes_local: 0,
        sources: vec![TransferSource {
            member,
            device: Some(device),
            kind: SourceKind::Peer,
            path,
            bytes: upload.bytes,
            speed,
            rtt_ms: None,
            doing: line.map_or_else(|| "taking".to_owned(), |line| line.sentence()),
            queue: line,
        }],
        map: Vec::new(),
        log: Vec::new(),
        created_ms: now() - i64::try_from(elapsed.as_millis()).unwrap_or(0),
        finished_ms: None,
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(0),
        failure: None,
        damaged: None,
        priority: Priority::Normal,
        place: 0,
    }
}
