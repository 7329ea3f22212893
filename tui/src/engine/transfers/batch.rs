//! Many small files: fetched on one stream without a round trip each, made durable and named together.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use shared::{
    content::Layout,
    id::{DeviceId, FileId},
    limits::{
        BATCH_BYTES_IN_FLIGHT_MAX, BATCH_FILES_MAX, BATCH_WANTS_IN_FLIGHT_MAX, COPY_AFTER, GRANT_BLOBS_MAX,
        LANDING_BYTES_MAX, LANDING_BYTES_MIN, LANDING_FILES_MAX, LANDING_FILES_MIN, LOCATE_AGAIN, REPLANS_MAX,
        SMALL_FILE_BYTES_MAX, SOURCE_STALL,
    },
    show::show_line,
    transfer::{
        jail::Jail,
        lane::{Job, LaneError, LaneEvent, Order},
    },
    wire::{Code, Refusal, grant::SignedGrant},
};
use tokio::{task::JoinHandle, time::timeout};

use super::{
    Halt, Transfer,
    land::Landed,
    large::nobody,
    local,
    source::{self, Ahead, Opened, Source, Sources},
    staging::{self, Staging},
    work::{disk, jail_failure, note, refused_file, replan},
};
use crate::engine::{
    api::{Failure, FailureKind, TransferState},
    core::{Core, pause},
    state::PlannedFile,
};

/// Fetches small files to their places. Returns those that grew large meanwhile. `ahead`: what is known of the first.
pub async fn fetch(
    core: &Arc<Core>,
    transfer: &Arc<Transfer>,
    jail: &Jail,
    files: Vec<PlannedFile>,
    ahead: Option<Ahead>,
) -> Result<Vec<PlannedFile>, Halt> {
    let (jail_in, transfer_in) = (jail.clone(), transfer.clone());
    let (staging, mut complete, files) = disk(move || {
        let staging = Staging::open(&jail_in, &transfer_in).map_err(jail_failure)?;
        let (complete, missing) = staging.sort_out(files).map_err(jail_failure)?;
        Ok((staging, complete, missing))
    })
    .await?;
    let (taken, files) = local::take_small(core, transfer, &staging, files).await?;
    complete.extend(taken);
    let (files, repeats) = local::set_aside_repeats(transfer, files);
    let mut batch = Batch {
        core,
        transfer,
        jail,
        staging,
        landing: None,
        staged: Vec::new(),
        staged_bytes: 0,
        named: Vec::new(),
        grown: Vec::new(),
        refused: Vec::new(),
        banned: HashSet::new(),
        missed: HashMap::new(),
        last_why: String::new(),
    };
    // What a kill left complete only needs its name; it counts as what it was fetched as.
    batch.stage_found(complete);
    let files_in_all = transfer.row().files;
    let mut ended = batch.fetch_all(files, ahead).await;
    // What arrived gets its names, however the rest ended.
    let mut landed = batch.land_all().await;
    if !repeats.is_empty() && ended.is_ok() && landed.is_ok() {
        ended = batch.fetch_repeats(repeats).await;
        landed = batch.land_all().await;
    }
    let Batch { grown, refused, staging, named, .. } = batch;
    let seal = seal(core, transfer, staging, named);
    let (jail, clearing) = (jail.clone(), transfer.clone());
    let (sealed, cleared) = tokio::join!(seal, disk(move || staging::discard(&jail, &clearing).map_err(jail_failure)));
    ended.and(landed).and(sealed).and(cleared)?;
    match &refused[..] {
        [] => Ok(grown),
        [(_, refusal)] if refused.len() as u64 == files_in_all => Err(Halt::Failed(refused_file(refusal))),
        [(first, refusal), ..] => {
            let failure = refused_file(refusal);
            let name = show_line(&first.path, 100);
            let message = format!("{} of the files were refused, such as {name}: {}", refused.len(), failure.message);
            Err(Halt::Failed(Failure { message, ..failure }))
        }
    }
}

/// Makes the names durable that files were given, and notes them.
async fn seal(core: &Core, transfer: &Transfer, staging: Staging, named: Vec<Landed>) -> Result<(), Halt> {
    if named.is_empty() {
        return Ok(());
    }
    disk(move || staging.sync().map_err(jail_failure)).await?;
    note(core, transfer, named).await
}

/// Runs a fetch with something beside it that only a good end is worth waiting for.
async fn beside<T>(
    fetch: impl Future<Output = Result<(), Halt>>,
    other: impl Future<Output = Option<T>>,
) -> (Result<(), Halt>, Option<T>) {
    tokio::pin!(fetch, other);
    tokio::select! {
        ended = &mut fetch => {
            let answer = if ended.is_ok() { other.await } else { None };
            (ended, answer)
        }
        answer = &mut other => (fetch.await, answer),
    }
}

struct Batch<'a> {
    core: &'a Arc<Core>,
    transfer: &'a Arc<Transfer>,
    jail: &'a Jail,
    staging: Staging,
    landing: Option<JoinHandle<Result<Vec<Landed>, Halt>>>,
    /// Complete and verified, not yet named.
    staged: Vec<PlannedFile>,
    staged_bytes: u64,
    /// Named, durable with the next flush.
    named: Vec<Landed>,
    grown: Vec<PlannedFile>,
    /// Files that the tracker does not let us have.
    refused: Vec<(PlannedFile, Refusal)>,
    /// Sources that lied.
    banned: HashSet<Option<DeviceId>>,
    /// Which sources did not serve which file.
    missed: HashMap<u64, HashSet<Option<DeviceId>>>,
    last_why: String,
}

/// What one source is to bring.
struct Share {
    source: Source,
    /// Whether somebody else has each of the files too.
    others: bool,
    files: Vec<PlannedFile>,
}

impl Share {
    const fn of(source: Source) -> Self {
        Self { source, others: true, files: Vec::new() }
    }
}

/// How a lane with some files ended.
struct Round {
    left: Vec<PlannedFile>,
    progress: bool,
}

impl Batch<'_> {
    /// Fetches files in chunks. `ahead`: what is known of the first.
    async fn fetch_all(&mut self, files: Vec<PlannedFile>, mut ahead: Option<Ahead>) -> Result<(), Halt> {
        let core = self.core;
        let mut left: VecDeque<PlannedFile> = files.into();
        // The first bytes shall not wait for many answers of the tracker.
        let mut most = GRANT_BLOBS_MAX;
        while !left.is_empty() {
            let chunk: Vec<PlannedFile> = left.drain(..left.len().min(most)).collect();
            most = BATCH_FILES_MAX;
            let next: Vec<FileId> = left.iter().take(most).map(|file| file.file).collect();
            let located = ahead.take().and_then(|ahead| ahead.about(&chunk));
            // While these come, the tracker is asked about the next.
            let ended;
            (ended, ahead) = beside(self.fetch_chunk(chunk, located), Ahead::ask(core, &next)).await;
            ended?;
        }
        Ok(())
    }

    /// Takes files from those of equal content that have landed, and fetches what is not there after all.
    async fn fetch_repeats(&mut self, repeats: Vec<PlannedFile>) -> Result<(), Halt> {
        seal(self.core, self.transfer, self.staging.clone(), std::mem::take(&mut self.named)).await?;
        let (taken, missing) = local::take_small(self.core, self.transfer, &self.staging, repeats).await?;
        self.stage_found(taken);
        self.fetch_all(missing, None).await
    }

    /// These are complete without having been fetched now.
    fn stage_found(&mut self, found: Vec<PlannedFile>) {
        let bytes: u64 = found.iter().map(|file| file.size).sum();
        self.transfer.change(|row| row.done += bytes);
        self.staged_bytes += bytes;
        self.staged.extend(found);
    }

    /// Fetches some files. `located`: what the tracker said about them, if it was asked before.
    async fn fetch_chunk(
        &mut self,
        mut files: Vec<PlannedFile>,
        mut located: Option<Vec<Sources>>,
    ) -> Result<(), Halt> {
        let (mut idle_rounds, mut replans) = (0u32, 0);
        while !files.is_empty() {
            let mut known = match located.take() {
                Some(located) => located,
                None => source::locate_all(self.core, &files.iter().map(|file| file.file).collect::<Vec<_>>()).await?,
            };
            let grants: Vec<SignedGrant> = known.iter().map(|sources| sources.grant.clone()).collect();
            let mut answers = Vec::with_capacity(files.len());
            for (part, sources) in known.iter_mut().enumerate() {
                answers.extend(std::mem::take(&mut sources.files).into_iter().map(|file| (part, file)));
            }
            let mut groups: BTreeMap<Option<DeviceId>, Share> = BTreeMap::new();
            let mut waiting = Vec::new();
            let mut none_known = false;
            let replans_before = replans;
            for (file, (part, located)) in files.drain(..).zip(&answers) {
                match located.found() {
                    // The others come all the same; what is missing is told at the end.
                    Err(refusal) => self.refused.push((file, refusal.clone())),
                    Ok(found) if found.blob != file.blob => {
                        replans += 1;
                        let new = source::renewed(self.core, &file).await?;
                        replan(self.core, self.transfer, &file, &new).await?;
                        self.missed.remove(&file.position);
                        if new.size > SMALL_FILE_BYTES_MAX { self.grown.push(new) } else { waiting.push(new) }
                    }
                    Ok(found) => {
                        let missed = self.missed.get(&file.position);
                        let copy_failed =
                            self.banned.contains(&None) || missed.is_some_and(|missed| missed.contains(&None));
                        let all = known[*part].of(self.core, found, self.transfer.plan.from, copy_failed);
                        none_known |= all.is_empty();
                        let mut able = all.into_iter().filter(|source| {
                            let device = source.device();
                            !self.banned.contains(&device) && missed.is_none_or(|missed| !missed.contains(&device))
                        });
                        match able.next() {
                            Some(source) => {
                                let share = groups.entry(source.device()).or_insert_with(|| Share::of(source));
                                share.others &= able.next().is_some();
                                share.files.push(file);
                            }
                            None => waiting.push(file),
                        }
                    }
                }
            }
            // Who fails at a file is passed over for it next time, until nobody is left to try.
            let nobody_left = groups.is_empty() && replans == replans_before;
            let mut progress = false;
            for share in groups.into_values() {
                let round = self.fetch_from(share, &grants).await?;
                progress |= round.progress;
                waiting.extend(round.left);
            }
            files = waiting;
            if files.is_empty() {
                break;
            }
            if progress {
                idle_rounds = 0;
            }
            if replans > REPLANS_MAX as usize * GRANT_BLOBS_MAX {
                return Err(Halt::Waiting { reason: "the files keep changing".to_owned(), no_source: false });
            }
            if nobody_left {
                idle_rounds += 1;
                self.rest(&files, none_known, idle_rounds).await?;
            }
        }
        Ok(())
    }

    /// Nothing came in a round: gives up when nobody is there, else tries everyone again after a while.
    async fn rest(&mut self, files: &[PlannedFile], none_known: bool, idle_rounds: u32) -> Result<(), Halt> {
        let Some(first) = files.first() else { return Ok(()) };
        if none_known && self.missed.is_empty() {
            return Err(Halt::Waiting {
                reason: nobody(first, &self.last_why, self.transfer.plan.from),
                no_source: true,
            });
        }
        if !self.banned.is_empty() && idle_rounds > 3 {
            return Err(Halt::Failed(Failure::new(
                FailureKind::Transfer,
                "no_honest_source",
                format!("no source delivers these files: {}", self.last_why),
                "tell the owner; retry when another source is there",
            )));
        }
        if idle_rounds > 5 {
            return Err(Halt::Waiting {
                reason: nobody(first, &self.last_why, self.transfer.plan.from),
                no_source: none_known,
            });
        }
        self.missed.clear();
        pause(LOCATE_AGAIN * 2u32.pow(idle_rounds.min(3)), &self.transfer.look_again).await;
        Ok(())
    }

    /// Fetches files from one source as far as it delivers.
    async fn fetch_from(&mut self, share: Share, grants: &[SignedGrant]) -> Result<Round, Halt> {
        let Share { source, others, files } = share;
        let source = &source;
        let Some(first) = files.first().map(|file| file.file) else {
            return Ok(Round { left: files, progress: false });
        };
        let Opened { mut lane, place, better } = match source::open(self.core, self.transfer, source, first).await {
            Ok(opened) => opened,
            Err(why) => {
                self.note_trouble(source, &why);
                self.miss(source, &files);
                return Ok(Round { left: files, progress: false });
            }
        };
        self.transfer.set_state(TransferState::Running, "");
        let mut queue: VecDeque<PlannedFile> = files.into();
        let mut flying: HashMap<u64, PlannedFile> = HashMap::new();
        let (mut refused, mut later) = (Vec::new(), Vec::new());
        let (mut flying_bytes, mut received) = (0, 0);
        let mut silent = Duration::ZERO;
        let mut open = true;
        for grant in grants {
            open &= lane.order(Order::Grant(grant.clone())).await;
        }
        let trouble = loop {
            // What is under way still comes as before; the rest is asked for on the better way.
            let moves = better.is_open();
            while open
                && !moves
                && flying.len() < BATCH_WANTS_IN_FLIGHT_MAX / 2
                && (flying_bytes < BATCH_BYTES_IN_FLIGHT_MAX || flying.is_empty())
                && let Some(file) = queue.pop_front()
            {
                let job = self.job(&file)?;
                match lane.try_order(Order::Job(job)) {
                    Ok(()) => {
                        flying_bytes += file.size;
                        flying.insert(file.position, file);
                    }
                    Err(_full) => {
                        queue.push_front(file);
                        break;
                    }
                }
            }
            if flying.is_empty() && (queue.is_empty() || moves || !open) {
                lane.finish();
                open = false;
            }
            match timeout(COPY_AFTER, lane.event()).await {
                Ok(Some(LaneEvent::Verified { .. })) => {}
                Ok(Some(LaneEvent::Queued { queued, .. })) => self.transfer.stands_in_line(place, queued),
                Ok(Some(LaneEvent::Done { job })) => {
                    if let Some(file) = flying.remove(&job) {
                        flying_bytes -= file.size;
                        received += file.size;
                        self.transfer.received(place, file.size);
                        self.core.hub.down.fetch_add(file.size, std::sync::atomic::Ordering::Relaxed);
                        self.stage(file).await?;
                    }
                }
                Ok(Some(LaneEvent::Refused { job, refusal })) => {
                    if let Some(file) = flying.remove(&job) {
                        flying_bytes -= file.size;
                        self.last_why = format!("{} refused: {}", source.name(), show_line(&refusal.detail, 100));
                        // Who served until now may only want the next grant.
                        let again = refusal.code == Code::Unavailable && received > 0;
                        if again { later.push(file) } else { refused.push(file) }
                    }
                }
                Ok(None) => break lane.outcome().await.err(),
                Err(_) => {
                    silent += COPY_AFTER;
                    // Who has not said a word yet may be gone; later, our own disk may be what takes its time.
                    let is_over = silent >= SOURCE_STALL || (others && received == 0);
                    if is_over || self.has_moved(source, flying.values().next()).await {
                        if let Some(device) = source.device() {
                            self.core.peers.abandon(device);
                        }
                        lane.stop();
                        break Some(LaneError::Lost);
                    }
                    continue;
                }
            }
            silent = Duration::ZERO;
        };
        if let Some(account) = source.account() {
            self.core.add_exchanged(account, received, 0).await;
        }
        self.transfer.source_does(place, "");
        self.miss(source, &refused);
        let mut left: Vec<PlannedFile> = flying.into_values().chain(queue).collect();
        self.blame(source, trouble, &left)?;
        left.extend(refused.into_iter().chain(later));
        Ok(Round { left, progress: received > 0 })
    }

    /// Whether a silent source is, by what the tracker says of one of its files, somewhere else by now.
    async fn has_moved(&self, source: &Source, file: Option<&PlannedFile>) -> bool {
        let (Source::Peer(silent) | Source::Holder(silent), Some(file)) = (source, file) else { return false };
        // Without the tracker nobody knows; the source may go on meanwhile.
        let located = timeout(COPY_AFTER, source::locate(self.core, vec![file.file])).await;
        let Ok(Ok(located)) = located else { return false };
        located.peers.iter().any(|peer| peer.device == silent.device && source::has_moved(self.core, peer))
    }

    /// Draws the conclusions from the end of a lane.
    fn blame(&mut self, source: &Source, trouble: Option<LaneError>, left: &[PlannedFile]) -> Result<(), Halt> {
        match trouble {
            None => {}
            Some(LaneError::Disk(error)) => {
                return Err(Halt::Failed(Failure::new(
                    FailureKind::Transfer,
                    "disk",
                    format!("could not write: {error}"),
                    "check the disk, then retry; what is there is kept",
                )));
            }
            Some(LaneError::Misbehaved(fault)) => {
                tracing::warn!(source = ?source.device(), %fault, "a source misbehaved");
                self.note_trouble(source, &format!("dropped: {fault}"));
                self.banned.insert(source.device());
            }
            Some(error @ (LaneError::Reset(_) | LaneError::Lost | LaneError::Stopped)) => {
                self.note_trouble(source, &error.to_string());
                self.miss(source, left);
            }
        }
        Ok(())
    }

    fn note_trouble(&mut self, source: &Source, why: &str) {
        self.last_why = format!("{} {why}", source.name());
        self.transfer.log(&format!("{}: {why}", source.name()));
    }

    fn miss(&mut self, source: &Source, files: &[PlannedFile]) {
        for file in files {
            self.missed.entry(file.position).or_default().insert(source.device());
        }
    }

    fn job(&self, file: &PlannedFile) -> Result<Job, Halt> {
        let layout = Layout::new(file.size).map_err(|error| Halt::Failed(crate::engine::failure::unexpected(error)))?;
        let sink = self.staging.sink(file, layout);
        Ok(Job { id: file.position, blob: file.blob, layout, groups: layout.all(), tree: None, sink })
    }

    /// One more file is complete; enough of them get their names together.
    async fn stage(&mut self, file: PlannedFile) -> Result<(), Halt> {
        self.staged_bytes += file.size;
        self.staged.push(file);
        let idle = self.landing.as_ref().is_none_or(JoinHandle::is_finished);
        let worth_it = self.staged_bytes >= LANDING_BYTES_MIN || self.staged.len() >= LANDING_FILES_MIN;
        let too_many = self.staged_bytes >= LANDING_BYTES_MAX || self.staged.len() >= LANDING_FILES_MAX;
        if too_many || (worth_it && idle) {
            self.begin_landing().await?;
        }
        Ok(())
    }

    /// Lands what is staged beside the fetch; one landing at a time.
    async fn begin_landing(&mut self) -> Result<(), Halt> {
        self.end_landing().await?;
        let (staged, before) = (std::mem::take(&mut self.staged), std::mem::take(&mut self.named));
        self.staged_bytes = 0;
        // A pause does not stop a landing: whoever comes after it waits for its end.
        let lock = self.transfer.landing.clone().lock_owned().await;
        let (core, transfer) = (self.core.clone(), self.transfer.clone());
        let (jail, staging) = (self.jail.clone(), self.staging.clone());
        self.landing = Some(tokio::spawn(async move {
            let landed = land_together(&core, &transfer, jail, staging, staged, before).await;
            drop(lock);
            landed
        }));
        Ok(())
    }

    /// Waits for the landing under way.
    async fn end_landing(&mut self) -> Result<(), Halt> {
        if let Some(landing) = self.landing.take() {
            self.named = landing.await.map_err(crate::engine::failure::unexpected)??;
        }
        Ok(())
    }

    /// Everything staged gets its name.
    async fn land_all(&mut self) -> Result<(), Halt> {
        if !self.staged.is_empty() {
            self.begin_landing().await?;
        }
        self.end_landing().await
    }
}

/// Makes what is staged durable and names it. That also makes the names durable that were given `before`.
async fn land_together(
    core: &Core,
    transfer: &Transfer,
    jail: Jail,
    staging: Staging,
    staged: Vec<PlannedFile>,
    before: Vec<Landed>,
) -> Result<Vec<Landed>, Halt> {
    let durable = staging.clone();
    disk(move || durable.sync().map_err(jail_failure)).await?;
    let naming = disk(move || staging.name_all(&jail, &staged));
    let (named, noted) = tokio::join!(naming, note(core, transfer, before));
    noted.and(named)
}
