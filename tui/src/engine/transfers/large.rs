//! One large file: the download machine decides, this task carries it out over lanes and disk.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use shared::{
    content::{GroupSet, Layout},
    download::{Action, Download, Input, Leaving, SliceId, SourceId},
    id::{AccountId, DeviceId},
    limits::{
        COPY_AFTER, GRANT_RENEW, GRANT_RENEW_AGAIN, GROUP_BYTES, LOCATE_AGAIN, LOOK_AGAIN, MAP_CELLS, NEWS_WAITING_MAX,
        PARTS_PATIENCE,
    },
    show::show_line,
    transfer::{
        fetch::PartialSink,
        lane::{Job, LaneError, LaneEvent, Order},
        partial::Partial,
    },
    wire::{Code, Refusal, grant::SignedGrant},
};
use tokio::{
    sync::{mpsc, mpsc::error::TrySendError},
    task::{JoinHandle, JoinSet},
    time::{sleep_until, timeout},
};

use super::{
    Halt, Transfer,
    part::disk_failure,
    row::SENDING,
    source::{self, Source},
    stream,
    work::refused_file,
    worker::{Ending, News, Work, Worker},
};
use crate::engine::{
    api::{Failure, FailureKind, From, IN_FLIGHT, NOBODY_HAS, TransferState},
    core::Core,
    failure,
    state::PlannedFile,
};

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
    /// The newest one.
    grant: Option<SignedGrant>,
    /// When the last byte came, or the last look for sources found somebody new.
    moved: Instant,
    /// When unreachable sources may be tried again.
    resting: BTreeMap<Option<DeviceId>, Instant>,
    /// When a new grant is asked for.
    renew_at: Instant,
    durable: Option<JoinHandle<()>>,
    mapped: Instant,
    /// The group that a reader of the stream needs next.
    reader: Option<u64>,
    last_why: String,
    /// Bytes of each member, to be noted at the end.
    received: BTreeMap<AccountId, u64>,
    /// Where each source's bytes are counted, also after it left: what it had verified before still comes in.
    places: BTreeMap<SourceId, (usize, Option<AccountId>)>,
}

/// Runs the machine until the file is whole (`None`), replaced by another content, or stuck.
pub(super) async fn drive(
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
        machine: Download::new(partial.layout(), partial.have()).spread(rand::random()),
        core,
        transfer,
        file,
        partial,
        workers: BTreeMap::new(),
        tasks: JoinSet::new(),
        news_in,
        next_source: 0,
        banned: HashSet::new(),
        grant: None,
        moved: Instant::now(),
        resting: BTreeMap::new(),
        renew_at: Instant::now() + GRANT_RENEW,
        durable: None,
        mapped: Instant::now(),
        reader: None,
        last_why: String::new(),
        received: BTreeMap::new(),
        places: BTreeMap::new(),
    };
    let mut attempts = 0;
    let mut locate_at = Instant::now();
    // Somebody came: who that is, is asked at this time.
    let mut look_at: Option<Instant> = None;
    let mut looked = Instant::now();
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
            (look_at, looked) = (None, Instant::now());
            locate_at = Instant::now() + LOCATE_AGAIN * 2u32.pow(attempts.min(3));
        }
        driver.follow_reader();
        if driver.act() {
            break Ok(None);
        }
        let deadline = driver.machine.next_deadline().unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
        let deadline = if needs_sources { deadline.min(locate_at) } else { deadline };
        let look = look_at.unwrap_or(deadline);
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
                // In a storm of arrivals one look serves many.
                look_at.get_or_insert_with(|| (looked + LOOK_AGAIN).max(Instant::now()));
            }
            () = sleep_until(look.into()), if look_at.is_some() => {
                (look_at, looked) = (None, Instant::now());
                match driver.find_more().await {
                    Ok(None) => {}
                    Ok(Some(replaced)) => break Ok(Some(replaced)),
                    Err(halt) => break Err(halt),
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
        let [located] = &sources.files[..] else { return Err(failure::bad_answer().into()) };
        let found = located.found().map_err(|refusal| Halt::Failed(refused_file(refusal)))?;
        if found.blob != self.file.blob {
            return self.replaced().await;
        }
        self.grant = Some(sources.grant.clone());
        let now = Instant::now();
        self.resting.retain(|_, until| *until > now);
        let copy_failed = self.banned.contains(&None) || self.resting.contains_key(&None);
        let all = sources.of(self.core, found, self.transfer.plan.from, copy_failed);
        let none_known = all.is_empty();
        self.drop_moved(&all);
        let usable = all.into_iter().filter(|source| {
            let device = source.device();
            let working = self.workers.values().any(|worker| worker.source.device() == device);
            !working && !self.banned.contains(&device) && !self.resting.contains_key(&device)
        });
        let usable: Vec<Source> = usable.collect();
        if !usable.is_empty() {
            self.moved = now;
        }
        if usable.is_empty() && self.resting.is_empty() && (self.workers.is_empty() || self.nobody_gains(now)) {
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
                reason: nobody(self.file, &self.last_why, self.transfer.plan.from),
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

    /// The index has another content by now, which is fetched instead: unless somebody reads this one, whose bytes must
    /// not be followed by those of another. That goes on as long as somebody serves it.
    async fn replaced(&mut self) -> Result<Option<PlannedFile>, Halt> {
        if !self.transfer.stream.is_read() {
            self.transfer.log("the file changed; fetching its new version");
            return Ok(Some(source::renewed(self.core, self.file).await?));
        }
        if self.workers.is_empty() {
            return Err(Halt::Failed(stream::changed(self.file)));
        }
        self.transfer.log("the file changed; going on with the version that is being read");
        Ok(None)
    }

    /// Lets go of silent sources that can now be found somewhere else.
    fn drop_moved(&mut self, located: &[Source]) {
        for source in located {
            let (Source::Peer(peer) | Source::Holder(peer)) = source else { continue };
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

    /// Whether all who are here lack what is missing, as this device does, and have for long: then they wait for each
    /// other.
    fn nobody_gains(&self, now: Instant) -> bool {
        self.machine.is_starved()
            && now.duration_since(self.moved) >= PARTS_PATIENCE
            && self.workers.values().all(|worker| matches!(worker.source, Source::Holder(_)) && worker.place.is_some())
    }

    fn employ(&mut self, source: Source, grant: SignedGrant) {
        self.next_source += 1;
        let id = SourceId(self.next_source);
        let (worker, orders) = Worker::new(source.clone());
        let work = Work {
            core: self.core.clone(),
            transfer: self.transfer.clone(),
            file: self.file.clone(),
            layout: self.partial.layout(),
            source,
            grant,
            id,
            news: self.news_in.clone(),
        };
        self.tasks.spawn(work.run(orders));
        self.workers.insert(id, worker);
    }

    /// A source's lane is one stream: what is no longer wanted of it ends with the lane. For the rest it begins anew.
    fn begin_anew(&mut self, id: SourceId) {
        let Some(source) = self.workers.get(&id).map(|worker| worker.source.clone()) else { return };
        self.dismiss(id, "another source was faster", Duration::ZERO);
        if let Some(grant) = self.grant.clone()
            && !self.machine.is_finished()
        {
            self.employ(source, grant);
        }
    }

    /// Tells the machine what a reader of the stream needs next.
    fn follow_reader(&mut self) {
        let at = self.transfer.stream.needed_next().map(|byte| byte / GROUP_BYTES);
        if at != self.reader {
            self.reader = at;
            self.machine.handle(Instant::now(), Input::Reader { at });
        }
    }

    /// Carries out what the machine decides. `true`: every group is there.
    fn act(&mut self) -> bool {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Finished => return true,
                Action::Fetch { source, slice, groups } => self.give(source, slice, groups),
                Action::Cancel { source, .. } => self.begin_anew(source),
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
            tree: None,
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
                let (kind, have) = worker.source.at_joining();
                self.transfer.set_state(TransferState::Running, "");
                self.machine.handle(now, Input::Joined { source: id, kind, have });
            }
            News::Has(Some(have)) => {
                if let Some(known) = &mut worker.have {
                    known.extend(&have);
                }
                self.machine.handle(now, Input::Gained { source: id, have });
            }
            News::Has(None) => {
                worker.have = None;
                let (kind, _) = worker.source.at_joining();
                self.machine.handle(now, Input::Joined { source: id, kind, have: None });
            }
            News::Event(LaneEvent::Queued { queued, .. }) => {
                worker.place.inspect(|place| self.transfer.stands_in_line(*place, queued));
                self.machine.handle(now, Input::Queued { source: id });
            }
            News::Event(LaneEvent::Done { .. } | LaneEvent::Verified { .. }) => {}
            News::Event(LaneEvent::Refused { refusal, .. }) => self.left(id, Ending::Refused(refusal))?,
            News::Ended(ending) => self.left(id, ending)?,
        }
        Ok(())
    }

    /// Groups are verified and written.
    fn count(&mut self, now: Instant, source: SourceId, slice: SliceId, groups: Range<u64>, bytes: u64) {
        self.moved = now;
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
        self.transfer.stream.ready(self.partial.prefix_bytes());
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
            Ending::Moved => {
                // Employed again at once, whether others work or not.
                self.transfer.look_again.notify_one();
                self.renew_at = Instant::now();
                ("reached directly now".to_owned(), Leaving::Lost, Some(Duration::ZERO))
            }
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

    /// What each source does, or why it does nothing, and how far away it is.
    fn describe_sources(&self) {
        for (id, worker) in &self.workers {
            let Some((place, view)) = worker.place.zip(self.machine.source(*id)) else { continue };
            let doing = match (&worker.source, view.slices) {
                (_, slices) if slices > 0 => SENDING,
                (Source::Copy, _) => "spared while members deliver",
                (Source::Holder(_), _) => "has nothing yet that is missing here",
                (Source::Peer(_), _) => "nothing is left to ask it for",
            };
            let connection = worker.source.device().and_then(|device| self.core.peers.live(self.core, device));
            let rtt_ms = connection.and_then(|connection| u32::try_from(connection.rtt().as_millis()).ok());
            self.transfer.describe_source(place, rtt_ms, doing);
        }
    }

    /// What is missing here and at everybody who is here.
    fn nobody_has(&self) -> GroupSet {
        let mut missing = self.machine.have().missing_in(0..self.partial.layout().groups());
        let mut here = self.workers.values().filter(|worker| worker.place.is_some()).peekable();
        if here.peek().is_none() {
            return GroupSet::new();
        }
        for worker in here {
            match &worker.have {
                Some(have) => missing.subtract(have),
                None => return GroupSet::new(),
            }
        }
        missing
    }

    fn draw_map(&mut self, now: Instant) {
        if now.duration_since(self.mapped) < shared::limits::TICK {
            return;
        }
        self.mapped = now;
        let layout = self.partial.layout();
        let map = map_of(layout, self.machine.have(), &self.machine.in_flight(), &self.nobody_has());
        self.transfer.change(|row| row.map = map);
        self.describe_sources();
    }
}

/// The file in equal parts: see [`TransferRow::map`](crate::engine::api::TransferRow::map).
fn map_of(layout: Layout, have: &GroupSet, in_flight: &GroupSet, nobody_has: &GroupSet) -> Vec<u8> {
    let cells = (layout.groups()).min(MAP_CELLS as u64);
    (0..cells)
        .map(|cell| {
            let range = cell * layout.groups() / cells..(cell + 1) * layout.groups() / cells;
            let held = have.within(range.clone()).count();
            let total = range.end - range.start;
            match () {
                () if nobody_has.overlaps(&range) => NOBODY_HAS,
                () if held < total && in_flight.overlaps(&range) => IN_FLIGHT,
                () => (held * 8 / total.max(1)) as u8,
            }
        })
        .collect()
}

/// Why nobody serves a file now, for people.
pub fn nobody(file: &PlannedFile, last_why: &str, from: From) -> String {
    let name = show_line(crate::engine::rows::name_of(&file.path), 80);
    let known = if last_why.is_empty() { String::new() } else { format!(" ({last_why})") };
    match from {
        From::Any => format!("nobody who has {name} is online{known}, and the tracker has no copy"),
        From::Peer => format!("nobody who has {name} is online{known}"),
        From::Copy => format!("the tracker has no copy of {name}{known}"),
    }
}
