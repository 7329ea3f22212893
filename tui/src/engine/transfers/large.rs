//! One large file: the download machine decides, this task carries it out over lanes and disk.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use shared::{
    content::{GroupSet, Layout},
    download::{Action, Download, Input, Leaving, SliceId, SourceId, SourceKind},
    id::{AccountId, DeviceId},
    limits::{
        COPY_AFTER, GRANT_RENEW, GRANT_RENEW_AGAIN, LOCATE_AGAIN, MAP_CELLS, NEWS_WAITING_MAX, SLICES_IN_FLIGHT_MAX,
    },
    show::show_line,
    transfer::{
        fetch::PartialSink,
        jail::Jail,
        lane::{Job, LaneError, LaneEvent, Order},
        partial::Partial,
    },
    wire::{Code, Refusal, grant::SignedGrant, tracker::LocatedFile},
};
use tokio::{
    sync::{mpsc, mpsc::error::TrySendError},
    task::{JoinHandle, JoinSet},
    time::{sleep_until, timeout},
};

use super::{
    Halt, Transfer,
    land::{self, Landed},
    local,
    part::{self, Sidecar, disk_failure, part_name},
    source::{self, Source},
    work::{disk, jail_failure, refused_file},
};
use crate::engine::{
    api::{Failure, FailureKind, From, TransferState},
    core::Core,
    failure,
    state::PlannedFile,
};

/// What came of one large file.
#[derive(Debug)]
pub enum Fetched {
    Landed(Landed),
    /// The index has another content for it now.
    Replaced(PlannedFile),
}

/// Fetches one large file to its place.
pub async fn fetch(
    core: &Arc<Core>,
    transfer: &Arc<Transfer>,
    jail: &Jail,
    file: &PlannedFile,
) -> Result<Fetched, Halt> {
    let (jail_in, file_in) = (jail.clone(), file.clone());
    let sidecar = Sidecar::of(core, transfer, file);
    let sidecar_in = sidecar.clone();
    let (partial, folder, part_name) = disk(move || part::open(&jail_in, &file_in, &sidecar_in)).await?;
    let partial = Arc::new(partial);
    let had = partial.have_bytes();
    transfer.change(|row| row.done += had);
    if had > 0 {
        transfer.log(&format!("resumes at {}%", had * 100 / file.size.max(1)));
    }
    local::fill_large(core, transfer, file, &partial).await?;
    let ended = drive(core, transfer, file, &partial).await;
    let flushing = partial.clone();
    disk(move || flushing.flush().map_err(disk_failure)).await?;
    match ended {
        Ok(None) => {
            transfer.set_state(TransferState::Finishing, "making it durable");
            let file = file.clone();
            let tree = core.catalog.tree_path(&file.blob);
            let landed = disk(move || part::finish(&partial, &folder, &part_name, &file, &sidecar, &tree)).await?;
            Ok(Fetched::Landed(landed))
        }
        Ok(Some(replaced)) => {
            let done = partial.have_bytes();
            drop(partial);
            disk(move || part::remove(&folder, &part_name, &sidecar)).await?;
            transfer.change(|row| row.done = row.done.saturating_sub(done));
            Ok(Fetched::Replaced(replaced))
        }
        Err(halt) => {
            // The next attempt counts what is there anew.
            let have = partial.have_bytes();
            transfer.change(|row| row.done = row.done.saturating_sub(have));
            Err(halt)
        }
    }
}

/// Removes what a large file that is no longer wanted left behind.
pub fn discard(core: &Core, transfer: &Transfer, jail: &Jail, file: &PlannedFile) -> Result<(), Failure> {
    let (folder, name) = land::home_of(jail, file).map_err(jail_failure)?;
    part::remove(&folder, &part_name(name, file), &Sidecar::of(core, transfer, file))
}

/// What a source's task tells.
enum News {
    Joined { place: usize },
    Event(LaneEvent),
    Ended(Ending),
}

/// How a source's task ended.
enum Ending {
    Unreachable(String),
    Refused(Refusal),
    Lane(LaneError),
    Idle,
}

/// A source at work.
struct Worker {
    source: Source,
    orders: mpsc::Sender<Order>,
    place: Option<usize>,
}

struct Driver<'a> {
    core: &'a Arc<Core>,
    transfer: &'a Arc<Transfer>,
    file: &'a PlannedFile,
    partial: &'a Arc<Partial>,
    machine: Download,
    workers: BTreeMap<SourceId, Worker>,
    tasks: JoinSet<()>,
    news_in: mpsc::Sender<(SourceId, News)>,
    next_source: u64,
    /// Devices (`None`: the copy) that lied or refused: not asked again for this file.
    banned: HashSet<Option<DeviceId>>,
    /// When unreachable sources may be tried again.
    resting: BTreeMap<Option<DeviceId>, Instant>,
    /// When a new grant is asked for.
    renew_at: Instant,
    durable: Option<JoinHandle<()>>,
    mapped: Instant,
    last_why: String,
    /// Bytes of each member, to be noted at the end.
    received: BTreeMap<AccountId, u64>,
    /// Where each source's bytes are counted, also after it left: what it had verified before still comes in.
    places: BTreeMap<SourceId, (usize, Option<AccountId>)>,
}

/// Runs the machine until the file is whole (`None`), replaced by another content, or stuck.
async fn drive(
    core: &Arc<Core>,
    transfer: &Arc<Transfer>,
    file: &PlannedFile,
    partial: &Arc<Partial>,
) -> Result<Option<PlannedFile>, Halt> {
    if partial.is_complete() {
        return Ok(None);
    }
    let (news_in, mut news) = mpsc::channel(NEWS_WAITING_MAX);
    let mut driver = Driver {
        machine: Download::new(partial.layout(), partial.have()),
        core,
        transfer,
        file,
        partial,
        workers: BTreeMap::new(),
        tasks: JoinSet::new(),
        news_in,
        next_source: 0,
        banned: HashSet::new(),
        resting: BTreeMap::new(),
        renew_at: Instant::now() + GRANT_RENEW,
        durable: None,
        mapped: Instant::now(),
        last_why: String::new(),
        received: BTreeMap::new(),
        places: BTreeMap::new(),
    };
    let mut attempts = 0;
    let mut locate_at = Instant::now();
    let ended = loop {
        let is_starved = driver.machine.is_starved();
        // Who is silent may be somewhere else by now, and others may be there.
        let needs_sources = is_starved || driver.machine.is_quiet(Instant::now());
        if needs_sources && Instant::now() >= locate_at {
            let found = if is_starved { driver.find_sources().await } else { driver.find_more().await };
            match found {
                Ok(None) => {}
                Ok(Some(replaced)) => break Ok(Some(replaced)),
                Err(halt) => break Err(halt),
            }
            attempts += 1;
            locate_at = Instant::now() + LOCATE_AGAIN * 2u32.pow(attempts.min(3));
        }
        if driver.act() {
            break Ok(None);
        }
        let deadline = driver.machine.next_deadline().unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
        let deadline = if needs_sources { deadline.min(locate_at) } else { deadline };
        tokio::select! {
            Some((id, news)) = news.recv() => {
                if matches!(news, News::Event(LaneEvent::Verified { .. })) {
                    attempts = 0;
                }
                if let Err(halt) = driver.hear(id, news) {
                    break Err(halt);
                }
            }
            () = sleep_until(driver.renew_at.into()), if !driver.workers.is_empty() => {
                match driver.find_more().await {
                    Ok(None) => {}
                    Ok(Some(replaced)) => break Ok(Some(replaced)),
                    Err(halt) => break Err(halt),
                }
            }
            () = sleep_until(deadline.into()) => driver.machine.handle(Instant::now(), Input::Tick),
            () = transfer.look_again.notified() => {
                driver.resting.clear();
                locate_at = Instant::now();
                // A member who came back is better than the copy.
                if !driver.machine.is_starved() && driver.only_copy_works() {
                    match driver.find_more().await {
                        Ok(None) => {}
                        Ok(Some(replaced)) => break Ok(Some(replaced)),
                        Err(halt) => break Err(halt),
                    }
                }
            }
        }
    };
    driver.tasks.shutdown().await;
    for (account, bytes) in std::mem::take(&mut driver.received) {
        core.add_exchanged(account, bytes, 0).await;
    }
    if let Some(durable) = driver.durable.take()
        && let Err(error) = durable.await
    {
        tracing::warn!(%error, "a flush ended abnormally");
    }
    ended
}

impl Driver<'_> {
    /// As [`Self::find_sources`], while somebody works, who goes on without the tracker as long as the grant lasts: waits
    /// for it only for a moment, since news of the workers wait meanwhile.
    async fn find_more(&mut self) -> Result<Option<PlannedFile>, Halt> {
        self.renew_at = Instant::now() + GRANT_RENEW_AGAIN;
        match timeout(COPY_AFTER, self.find_sources()).await {
            Err(_) | Ok(Err(Halt::Waiting { .. })) => Ok(None),
            Ok(found) => found,
        }
    }

    /// Asks the tracker for sources, sets those to work that are new, and gives the others the new grant.
    async fn find_sources(&mut self) -> Result<Option<PlannedFile>, Halt> {
        let sources = source::locate(self.core, vec![self.file.file]).await?;
        self.renew_at = Instant::now() + GRANT_RENEW;
        let (peers, copy) = match &sources.files[..] {
            [LocatedFile::Found { blob, peers, copy, .. }] => {
                if *blob != self.file.blob {
                    self.transfer.log("the file changed; fetching its new version");
                    return Ok(Some(source::renewed(self.core, self.file).await?));
                }
                (peers.clone(), *copy)
            }
            [LocatedFile::Refused { refusal, .. }] => return Err(Halt::Failed(refused_file(refusal))),
            _ => return Err(failure::bad_answer().into()),
        };
        let all = sources.of(self.core, &peers, copy, self.transfer.plan.from);
        let none_known = all.is_empty();
        let now = Instant::now();
        self.resting.retain(|_, until| *until > now);
        self.drop_moved(&all);
        let usable = all.into_iter().filter(|source| {
            let device = source.device();
            let working = self.workers.values().any(|worker| worker.source.device() == device);
            !working && !self.banned.contains(&device) && !self.resting.contains_key(&device)
        });
        let usable: Vec<Source> = usable.collect();
        if usable.is_empty() && self.workers.is_empty() && self.resting.is_empty() {
            if !none_known {
                // Everyone who has it lied or refused.
                return Err(Halt::Failed(Failure::new(
                    FailureKind::Transfer,
                    "no_honest_source",
                    format!("no source delivers this file: {}", self.last_why),
                    "tell the owner; retry when another source is there",
                )));
            }
            return Err(Halt::Waiting {
                reason: nobody(self.core, self.file, &self.last_why, self.transfer.plan.from),
                no_source: true,
            });
        }
        for worker in self.workers.values() {
            if let Err(error) = worker.orders.try_send(Order::Grant(sources.grant.clone())) {
                // It has ended, or is so far behind that its refusal will ask for a new grant.
                tracing::debug!(%error, "a source did not take a new grant");
            }
        }
        for source in usable {
            self.employ(source, sources.grant.clone());
        }
        Ok(None)
    }

    /// Lets go of silent sources that can now be found somewhere else.
    fn drop_moved(&mut self, located: &[Source]) {
        for source in located {
            let Source::Peer(peer) = source else { continue };
            let silent = self.workers.iter().find(|(id, worker)| {
                let view = self.machine.source(**id);
                let is_silent =
                    view.and_then(|view| view.silent_since).is_some_and(|since| since.elapsed() >= COPY_AFTER);
                is_silent && worker.source.device() == Some(peer.device)
            });
            if let Some((id, _)) = silent
                && source::has_moved(self.core, peer)
            {
                let id = *id;
                self.core.peers.abandon(peer.device);
                self.dismiss(id, "is reached at another address now", Duration::ZERO);
            }
        }
    }

    fn only_copy_works(&self) -> bool {
        self.workers.values().all(|worker| matches!(worker.source, Source::Copy))
    }

    fn employ(&mut self, source: Source, grant: SignedGrant) {
        self.next_source += 1;
        let id = SourceId(self.next_source);
        // Slices, and a grant in between.
        let (orders, orders_in) = mpsc::channel(SLICES_IN_FLIGHT_MAX * 2 + 1);
        let task = run_source(
            self.core.clone(),
            self.transfer.clone(),
            source.clone(),
            grant,
            orders_in,
            id,
            self.news_in.clone(),
        );
        self.tasks.spawn(task);
        self.workers.insert(id, Worker { source, orders, place: None });
    }

    /// Carries out what the machine decides. `true`: every group is there.
    fn act(&mut self) -> bool {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Finished => return true,
                Action::Fetch { source, slice, groups } => self.give(source, slice, groups),
                // A source's lane is one stream: what is no longer wanted of it ends with the lane.
                Action::Cancel { source, .. } => self.dismiss(source, "another source was faster", Duration::ZERO),
                Action::Stalled { source } => {
                    if let Some(device) = self.workers.get(&source).and_then(|worker| worker.source.device()) {
                        self.core.peers.abandon(device);
                    }
                    self.dismiss(source, "sends nothing", Duration::from_secs(20));
                }
            }
        }
        false
    }

    fn give(&mut self, source: SourceId, slice: SliceId, groups: GroupSet) {
        let Some(worker) = self.workers.get(&source) else { return };
        let job = Job {
            id: slice.0,
            blob: self.file.blob,
            layout: self.partial.layout(),
            groups,
            sink: Box::new(PartialSink(self.partial.clone())),
        };
        match worker.orders.try_send(Order::Job(job)) {
            Ok(()) => {}
            // Its task has ended and its news is on the way.
            Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(_)) => self.dismiss(source, "does not keep up", Duration::from_secs(5)),
        }
    }

    fn dismiss(&mut self, id: SourceId, why: &str, rest: Duration) {
        let Some(worker) = self.workers.remove(&id) else { return };
        if let Some(place) = worker.place {
            self.transfer.source_does(place, why);
        }
        if !rest.is_zero() {
            self.transfer.log(&format!("{}: {why}", worker.source.name()));
            self.resting.insert(worker.source.device(), Instant::now() + rest);
            why.clone_into(&mut self.last_why);
        }
        // Dropping its orders ends its task, and with it the lane.
        self.machine.handle(Instant::now(), Input::Left { source: id, why: Leaving::Lost });
    }

    fn hear(&mut self, id: SourceId, news: News) -> Result<(), Halt> {
        let now = Instant::now();
        if let News::Event(LaneEvent::Verified { job, groups, bytes }) = news {
            self.count(now, id, SliceId(job), groups, bytes);
            return Ok(());
        }
        let Some(worker) = self.workers.get_mut(&id) else { return Ok(()) };
        match news {
            News::Joined { place } => {
                worker.place = Some(place);
                self.places.insert(id, (place, worker.source.account()));
                let kind = match worker.source {
                    Source::Peer(_) => SourceKind::Peer,
                    Source::Copy => SourceKind::Copy,
                };
                self.transfer.set_state(TransferState::Running, "");
                self.machine.handle(now, Input::Joined { source: id, kind, have: None });
            }
            News::Event(LaneEvent::Done { .. } | LaneEvent::Verified { .. }) => {}
            News::Event(LaneEvent::Refused { refusal, .. }) => self.left(id, Ending::Refused(refusal))?,
            News::Ended(ending) => self.left(id, ending)?,
        }
        Ok(())
    }

    /// Groups are verified and written.
    fn count(&mut self, now: Instant, source: SourceId, slice: SliceId, groups: Range<u64>, bytes: u64) {
        let fresh = !self.machine.have().contains_all(&groups);
        self.machine.handle(now, Input::Verified { source, slice, groups, bytes });
        if let Some((place, account)) = self.places.get(&source) {
            if fresh {
                self.transfer.received(*place, bytes);
                self.core.hub.down.fetch_add(bytes, Ordering::Relaxed);
            }
            if let Some(account) = account {
                *self.received.entry(*account).or_default() += bytes;
            }
        }
        self.keep_durable();
        self.draw_map(now);
    }

    fn has_delivered(&self, id: SourceId) -> bool {
        self.machine.source(id).is_some_and(|source| source.bytes_verified > 0)
    }

    /// A source is gone: blamed, banned or given a rest, as its end says.
    fn left(&mut self, id: SourceId, ending: Ending) -> Result<(), Halt> {
        let Some(worker) = self.workers.remove(&id) else { return Ok(()) };
        let device = worker.source.device();
        let name = worker.source.name();
        let (why, leaving, rest) = match ending {
            Ending::Unreachable(why) => (why, Leaving::Lost, Some(Duration::from_secs(4))),
            // Such as for an ended grant: whoever was here until now is asked again at once, with a new one.
            Ending::Refused(Refusal { code: Code::Unavailable, detail }) if self.has_delivered(id) => {
                (show_line(&detail, 100), Leaving::Lost, Some(Duration::ZERO))
            }
            Ending::Refused(refusal) => {
                let why = format!("refused: {}", show_line(&refusal.detail, 100));
                let again = refusal.code.retry_helps();
                (why, if again { Leaving::Lost } else { Leaving::Refused }, again.then_some(Duration::from_secs(2)))
            }
            Ending::Lane(LaneError::Misbehaved(fault)) => {
                tracing::warn!(source = ?device, %fault, "a source misbehaved");
                (format!("dropped: {fault}"), Leaving::Misbehaved, None)
            }
            Ending::Lane(LaneError::Disk(error)) => return Err(Halt::Failed(disk_failure(error))),
            Ending::Lane(LaneError::Reset(Some(Code::Changed | Code::NotFound | Code::Forbidden))) => {
                ("no longer serves this file".to_owned(), Leaving::Lost, Some(Duration::from_secs(1)))
            }
            Ending::Lane(error @ (LaneError::Reset(_) | LaneError::Lost | LaneError::Stopped)) => {
                (error.to_string(), Leaving::Lost, Some(Duration::from_secs(1)))
            }
            Ending::Idle => ("done".to_owned(), Leaving::Lost, Some(Duration::from_secs(1))),
        };
        if let Some(place) = worker.place {
            self.transfer.source_does(place, &why);
        }
        self.transfer.log(&format!("{name}: {why}"));
        self.last_why = format!("{name} {why}");
        match rest {
            Some(rest) => drop(self.resting.insert(device, Instant::now() + rest)),
            None => drop(self.banned.insert(device)),
        }
        self.machine.handle(Instant::now(), Input::Left { source: id, why: leaving });
        Ok(())
    }

    /// Every few hundred megabytes what arrived is made durable beside the transfer.
    fn keep_durable(&mut self) {
        let busy = self.durable.as_ref().is_some_and(|task| !task.is_finished());
        if busy || !self.partial.wants_durability() {
            return;
        }
        let partial = self.partial.clone();
        self.durable = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = partial.make_durable() {
                // The last flush before the file gets its name decides; this one only saves work after power loss.
                tracing::warn!(%error, "a flush in the middle failed");
            }
        }));
    }

    fn draw_map(&mut self, now: Instant) {
        if now.duration_since(self.mapped) < shared::limits::TICK {
            return;
        }
        self.mapped = now;
        let map = map_of(self.partial.layout(), self.machine.have(), &self.machine.in_flight());
        self.transfer.change(|row| row.map = map);
    }
}

/// The file in equal parts: 0 (nothing) to 8 (all verified), 9 in flight.
fn map_of(layout: Layout, have: &GroupSet, in_flight: &GroupSet) -> Vec<u8> {
    let cells = (layout.groups()).min(MAP_CELLS as u64);
    (0..cells)
        .map(|cell| {
            let range = cell * layout.groups() / cells..(cell + 1) * layout.groups() / cells;
            let held = have.within(range.clone()).count();
            let total = range.end - range.start;
            if held < total && !in_flight.within(range).is_empty() { 9 } else { (held * 8 / total.max(1)) as u8 }
        })
        .collect()
}

/// Why nobody serves a file now, for people.
pub fn nobody(core: &Core, file: &PlannedFile, last_why: &str, from: From) -> String {
    let name = show_line(crate::engine::rows::name_of(&file.path), 80);
    let known = if last_why.is_empty() { String::new() } else { format!(" ({last_why})") };
    if !core.session.reaches_members() && from != From::Copy {
        let blocked = "UDP is blocked here: only copies on the tracker can be fetched";
        return format!("{blocked}, and it has none of {name}{known}");
    }
    match from {
        From::Any => format!("nobody who has {name} is online{known}, and the tracker has no copy"),
        From::Peer => format!("nobody who has {name} is online{known}"),
        From::Copy => format!("the tracker has no copy of {name}{known}"),
    }
}

async fn run_source(
    core: Arc<Core>,
    transfer: Arc<Transfer>,
    source: Source,
    grant: SignedGrant,
    mut orders: mpsc::Receiver<Order>,
    id: SourceId,
    news: mpsc::Sender<(SourceId, News)>,
) {
    let ending = match source::open(&core, &transfer, &source).await {
        Err(why) => Ending::Unreachable(why),
        Ok((mut lane, place)) => {
            // The receiver is gone when the transfer has ended; then so does this task.
            if news.send((id, News::Joined { place })).await.is_err() || !lane.order(Order::Grant(grant)).await {
                return;
            }
            loop {
                tokio::select! {
                    order = orders.recv() => match order {
                        Some(order) => {
                            if !lane.order(order).await {
                                break ended(lane.outcome().await);
                            }
                        }
                        None => {
                            lane.stop();
                            // What was verified before it stopped still counts.
                            while let Some(event) = lane.event().await {
                                if news.send((id, News::Event(event))).await.is_err() {
                                    return;
                                }
                            }
                            break Ending::Idle;
                        }
                    },
                    event = lane.event() => match event {
                        Some(event) => {
                            if news.send((id, News::Event(event))).await.is_err() {
                                return;
                            }
                        }
                        None => break ended(lane.outcome().await),
                    },
                }
            }
        }
    };
    let _transfer_over = news.send((id, News::Ended(ending))).await;
}

fn ended(outcome: Result<(), LaneError>) -> Ending {
    match outcome {
        Ok(()) => Ending::Idle,
        Err(error) => Ending::Lane(error),
    }
}
