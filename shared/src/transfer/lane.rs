//! The fetching side of one fetch stream: jobs go in, verified groups go to their sinks, events come out.
//!
//! Three parts share a lane: one sends wants, one takes packets off the stream, and a thread of its own verifies and
//! writes, so that neither hashing nor the disk ever holds up the network. Everything between them is bounded.

mod events;
mod pieces;

use std::{collections::VecDeque, io, ops::Range, sync::Arc};

use bytes::Bytes;
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use self::{
    events::Events,
    pieces::{Pieces, Starved},
};
use super::pace::{self, Pace, Unlimited};
use crate::{
    content::{CheckError, Checker, GroupSet, Layout, ParentNode, Step, TreeStep},
    id::BlobHash,
    limits::{
        BATCH_WANTS_IN_FLIGHT_MAX, FETCH_BATCHES_WAITING_MAX, FETCH_PIECES_MAX, GROUP_BYTES, LANE_EVENTS_MAX,
        PEER_FRAME_BYTES_MAX, READ_BLOCK_BYTES, VERIFIED_WAIT,
    },
    net::{
        Receiving, Sending,
        frame::{ReceiveError, SendError},
    },
    wire::{
        Code, Refusal,
        codec::{self, FrameError, LENGTH_BYTES},
        grant::SignedGrant,
        peer::{FetchFrame, FetchReply, Queued, Want},
    },
};

/// Where verified groups go. Called on the lane's own thread; may block on the disk.
pub trait Sink: Send {
    /// Takes consecutive groups with the tree nodes that proved them (offset in the tree file and bytes).
    ///
    /// # Errors
    /// When they cannot be written; that ends the lane.
    fn write(&mut self, groups: Range<u64>, data: &[u8], parents: &[(u64, ParentNode)]) -> io::Result<()>;

    /// Whether a blob that was written in one piece is told as verified, besides being told as done. In a batch of
    /// thousands of small files one event for each is enough.
    fn tells_whole(&self) -> bool {
        true
    }

    /// Takes the top of a tree that was asked for: its nodes (offset in the tree file and bytes), and the hashes of the
    /// subtrees below.
    ///
    /// # Errors
    /// When it cannot be written; that ends the lane.
    fn take_tree(&mut self, parents: &[(u64, ParentNode)], subtrees: Vec<(Range<u64>, [u8; 32])>) -> io::Result<()> {
        debug_assert!(parents.is_empty() && subtrees.is_empty(), "a tree that nobody asked for");
        Ok(())
    }
}

/// One want with the place its bytes go to.
pub struct Job {
    /// The caller's number for it.
    pub id: u64,
    /// The content.
    pub blob: BlobHash,
    /// Its arithmetic.
    pub layout: Layout,
    /// What is wanted of it. Not empty.
    pub groups: GroupSet,
    /// Not the groups themselves but the top of the tree over them, down to this height: at most
    /// [`TREE_NODES_MAX`](crate::limits::TREE_NODES_MAX) subtrees.
    pub tree: Option<u8>,
    /// Where it goes.
    pub sink: Box<dyn Sink>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("id", &self.id).field("blob", &self.blob).finish_non_exhaustive()
    }
}

/// What to send next.
#[derive(Debug)]
pub enum Order {
    /// Allows the jobs that follow.
    Grant(SignedGrant),
    /// One more job.
    Job(Job),
}

/// What happened on a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneEvent {
    /// Groups of a job are verified and written.
    Verified {
        /// The job.
        job: u64,
        /// The groups.
        groups: Range<u64>,
        /// Their bytes.
        bytes: u64,
    },
    /// All of a job is verified and written.
    Done {
        /// The job.
        job: u64,
    },
    /// The source does not serve it.
    Refused {
        /// The job.
        job: u64,
        /// Why.
        refusal: Refusal,
    },
    /// The source serves others first. Told again while that lasts.
    Queued {
        /// The job.
        job: u64,
        /// Where it stands in line.
        queued: Queued,
    },
}

/// Why a lane ended before its jobs.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The source sent something that an honest source never sends.
    #[error("the source misbehaved: {0}")]
    Misbehaved(#[from] PeerMisbehaved),
    /// The source gave up.
    #[error("the source stopped ({})", .0.map_or("unknown code", Code::name))]
    Reset(Option<Code>),
    /// The connection is lost.
    #[error("the connection is lost")]
    Lost,
    /// This side cannot write.
    #[error("could not write: {0}")]
    Disk(#[source] io::Error),
    /// This side stopped the lane.
    #[error("stopped")]
    Stopped,
}

/// What a source did wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerMisbehaved {
    /// Bytes that are not those of the blob.
    #[error("wrong bytes: {0}")]
    WrongBytes(#[from] CheckError),
    /// The stream ended, as if complete, before everything wanted had come.
    #[error("it ended the stream too early")]
    ShortStream,
    /// A frame that is too large or cannot be decoded.
    #[error("a frame that cannot be read: {0}")]
    BadFrame(#[from] FrameError),
}

/// A running lane. Dropping it stops it.
#[derive(Debug)]
pub struct Lane {
    orders: Option<mpsc::Sender<Order>>,
    events: mpsc::Receiver<Vec<LaneEvent>>,
    /// Those of the last receipt that were not read yet.
    arrived: VecDeque<LaneEvent>,
    stop: CancellationToken,
    task: Option<JoinHandle<Result<(), LaneError>>>,
}

impl Lane {
    /// Runs a lane on a stream whose opening frame has been sent, without limits.
    #[must_use]
    pub fn start(send: impl Into<Sending>, recv: impl Into<Receiving>) -> Self {
        Self::start_paced(send, recv, Unlimited::pace())
    }

    /// The same within limits: what arrives is taken off the stream only as fast as it may, and the network holds the
    /// source to that.
    #[must_use]
    pub fn start_paced(send: impl Into<Sending>, recv: impl Into<Receiving>, pace: Arc<dyn Pace>) -> Self {
        let (orders, orders_in) = mpsc::channel(BATCH_WANTS_IN_FLIGHT_MAX);
        let (events_out, events) = mpsc::channel(LANE_EVENTS_MAX);
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(send.into(), recv.into(), pace, orders_in, events_out, stop.clone()));
        Self { orders: Some(orders), events, arrived: VecDeque::new(), stop, task: Some(task) }
    }

    /// Hands in one more order; waits while too many are under way. `false`: the lane has ended. Safe to cancel
    /// before it returns; the order is lost then.
    pub async fn order(&self, order: Order) -> bool {
        match &self.orders {
            Some(orders) => orders.send(order).await.is_ok(),
            None => false,
        }
    }

    /// Hands in one more order if there is room; gives it back otherwise.
    ///
    /// # Errors
    /// The order, when there is no room or the lane has ended.
    pub fn try_order(&self, order: Order) -> Result<(), Order> {
        match &self.orders {
            Some(orders) => orders.try_send(order).map_err(mpsc::error::TrySendError::into_inner),
            None => Err(order),
        }
    }

    /// Stops the lane; what was verified before stays.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// No more orders: the lane ends by itself after the last one.
    pub fn finish(&mut self) {
        self.orders = None;
    }

    /// The next event; `None` when the lane has ended. Safe to cancel.
    pub async fn event(&mut self) -> Option<LaneEvent> {
        if self.arrived.is_empty() {
            self.arrived.extend(self.events.recv().await?);
        }
        self.arrived.pop_front()
    }

    /// How the lane ended. Events that were not read by now are lost.
    ///
    /// # Errors
    /// Why it ended before its jobs.
    pub async fn outcome(&mut self) -> Result<(), LaneError> {
        self.orders = None;
        // A verifier that waits for its reader would never end.
        while self.events.recv().await.is_some() {}
        match self.task.take() {
            Some(task) => task.await.unwrap_or(Err(LaneError::Stopped)),
            None => Ok(()),
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn run(
    mut send: Sending,
    mut recv: Receiving,
    pace: Arc<dyn Pace>,
    orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<Vec<LaneEvent>>,
    stop: CancellationToken,
) -> Result<(), LaneError> {
    let (jobs_out, jobs) = mpsc::channel(BATCH_WANTS_IN_FLIGHT_MAX);
    let (pieces_out, pieces) = mpsc::channel(FETCH_BATCHES_WAITING_MAX);
    let mut verifying = tokio::task::spawn_blocking(move || verify(jobs, Pieces::new(pieces), Events::new(events)));
    let mut network_end = None;
    let mut verified = None;
    let mut all_asked = false;
    {
        let asking = send_orders(&mut send, orders, jobs_out, &stop, &mut all_asked);
        let network = async { tokio::try_join!(asking, pump(&mut recv, &*pace, pieces_out)).map(|_| ()) };
        tokio::pin!(network);
        // The verifier is through when all jobs are done; the network may then still wait for the source's goodbye.
        while verified.is_none() {
            tokio::select! {
                biased;
                result = &mut verifying => verified = Some(result.unwrap_or(Err(LaneError::Stopped))),
                () = stop.cancelled() => break,
                result = &mut network, if network_end.is_none() => network_end = Some(result),
            }
        }
    }
    // The channels are closed now, so the thread ends after what it has.
    let verified = match verified {
        Some(verified) => verified,
        None => verifying.await.unwrap_or(Err(LaneError::Stopped)).and(Err(LaneError::Stopped)),
    };
    let error = match (verified, network_end) {
        // A network that failed may have had orders that the verifier never heard of.
        (Ok(()), Some(Err(cause))) if !all_asked => cause,
        (Ok(()), _) => {
            send.finish().await;
            return Ok(());
        }
        // A verifier that only starved knows less than the network that starved it.
        (Err(LaneError::Misbehaved(PeerMisbehaved::ShortStream) | LaneError::Stopped), Some(Err(cause))) => cause,
        (Err(LaneError::Misbehaved(PeerMisbehaved::ShortStream)), None) if stop.is_cancelled() => LaneError::Stopped,
        (Err(error), _) => error,
    };
    send.reset(Code::Cancelled);
    recv.stop(Code::Cancelled);
    Err(error)
}

/// Sends grants and wants, and tells the verifier what will come. Finishes the sending half after the last.
async fn send_orders(
    send: &mut Sending,
    mut orders: mpsc::Receiver<Order>,
    jobs: mpsc::Sender<Job>,
    stop: &CancellationToken,
    all_asked: &mut bool,
) -> Result<(), LaneError> {
    let mut frames = Vec::new();
    while let Some(first) = orders.recv().await {
        // What waits goes together: a packet for each want of a small file would cost more than the file.
        let mut next = Some(first);
        while let Some(order) = next {
            let (frame, job) = match order {
                Order::Grant(grant) => (FetchFrame::Grant(grant), None),
                Order::Job(job) => {
                    let whole = job.groups.count() == job.layout.groups();
                    let groups = if whole { Vec::new() } else { job.groups.to_wire() };
                    let want = Want { blob: job.blob, size: job.layout.size(), groups };
                    let frame = match job.tree {
                        None => FetchFrame::Want(want),
                        Some(height) => FetchFrame::WantTree { want, height },
                    };
                    (frame, Some(job))
                }
            };
            if let Some(job) = job
                && jobs.send(job).await.is_err()
            {
                // The verifier has ended and will say why.
                return Ok(());
            }
            let frame = codec::encode(&frame, PEER_FRAME_BYTES_MAX).map_err(SendError::from)?;
            frames.extend(frame);
            next = if frames.len() < PEER_FRAME_BYTES_MAX { orders.try_recv().ok() } else { None };
        }
        send.write_all(&frames).await?;
        frames.clear();
    }
    // A stopped lane gives no more orders either, but what it leaves is no good end.
    if stop.is_cancelled() {
        return Err(LaneError::Stopped);
    }
    *all_asked = true;
    // The source finishes its side when it sees that nothing more is wanted.
    send.end().await;
    Ok(())
}

/// Takes packets off the stream as they come, or as fast as they may.
async fn pump(recv: &mut Receiving, pace: &dyn Pace, pieces: mpsc::Sender<Vec<Bytes>>) -> Result<(), LaneError> {
    loop {
        let mut batch = vec![Bytes::new(); FETCH_PIECES_MAX];
        match recv.read_chunks(&mut batch).await {
            Ok(Some(count)) => batch.truncate(count),
            Ok(None) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        while !batch.is_empty() {
            let passed = pace.pass(pace::length(&batch)).await;
            if pieces.send(pace::take(&mut batch, passed)).await.is_err() {
                return Ok(());
            }
        }
    }
}

impl From<ReceiveError> for LaneError {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Reset(code) => Self::Reset(code),
            ReceiveError::Frame(error) => PeerMisbehaved::from(error).into(),
            ReceiveError::Ended | ReceiveError::Short => PeerMisbehaved::ShortStream.into(),
            ReceiveError::Timeout | ReceiveError::Lost(_) => Self::Lost,
        }
    }
}

impl From<SendError> for LaneError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Stopped(code) => Self::Reset(code),
            SendError::Frame(_) | SendError::Lost(_) => Self::Lost,
        }
    }
}

/// The lane's thread: reads replies, verifies, writes.
fn verify(mut jobs: mpsc::Receiver<Job>, mut pieces: Pieces, mut events: Events) -> Result<(), LaneError> {
    let verified = verify_jobs(&mut jobs, &mut pieces, &mut events);
    // What was verified counts, however the lane ends.
    let told = events.flush();
    verified.and(told)
}

fn verify_jobs(jobs: &mut mpsc::Receiver<Job>, pieces: &mut Pieces, events: &mut Events) -> Result<(), LaneError> {
    let mut block = Block::new();
    loop {
        let job = match jobs.try_recv() {
            Ok(job) => Some(job),
            Err(_) => {
                events.flush()?;
                jobs.blocking_recv()
            }
        };
        let Some(mut job) = job else { return Ok(()) };
        if pieces.would_wait(LENGTH_BYTES) {
            events.flush()?;
        }
        match answer(&job, pieces, events)? {
            Some(refusal) => events.tell(LaneEvent::Refused { job: job.id, refusal })?,
            None if job.tree.is_some() => {
                verify_tree(&mut job, pieces)?;
                events.tell(LaneEvent::Done { job: job.id })?;
            }
            None => {
                let result = verify_job(&mut job, pieces, &mut block, events);
                // What was right before the fault is kept.
                let kept = block.write(&mut job, events);
                result.and(kept)?;
                events.tell(LaneEvent::Done { job: job.id })?;
            }
        }
    }
}

/// The source's last word on a want: why it refuses it, if it does.
fn answer(job: &Job, pieces: &mut Pieces, events: &mut Events) -> Result<Option<Refusal>, LaneError> {
    loop {
        match pieces.reply()? {
            FetchReply::Serving => return Ok(None),
            FetchReply::Refused(refusal) => return Ok(Some(refusal)),
            FetchReply::Queued(queued) => events.tell(LaneEvent::Queued { job: job.id, queued })?,
        }
    }
}

fn verify_job(job: &mut Job, pieces: &mut Pieces, block: &mut Block, events: &mut Events) -> Result<(), LaneError> {
    let chunks = job.layout.chunks(&job.groups);
    let layout = job.layout;
    let mut checker = Checker::new(job.blob);
    for step in layout.steps(&chunks) {
        match step {
            Step::Parent { offset, is_root, left, right } => {
                let mut node = [0; 64];
                pieces.fill(&mut node)?;
                checker.parent(&node, is_root, left, right).map_err(PeerMisbehaved::from)?;
                block.parents.push((offset, node));
            }
            Step::Group { group, bytes, is_root } => {
                let follows = block.groups.end == group && block.data.len() as u64 + bytes as u64 <= READ_BLOCK_BYTES;
                let waits = pieces.would_wait(bytes);
                if !follows || (waits && block.is_worth_writing()) {
                    block.write(job, events)?;
                    block.groups = group..group;
                    block.begun = Instant::now();
                }
                if waits {
                    events.flush()?;
                }
                let start = block.data.len();
                let checked = match pieces.append(&mut block.data, bytes) {
                    Ok(()) => checker.group(group, &block.data[start..], is_root).map_err(PeerMisbehaved::from),
                    Err(Starved) => Err(PeerMisbehaved::ShortStream),
                };
                if let Err(error) = checked {
                    block.data.truncate(start);
                    return Err(error.into());
                }
                block.groups.end = group + 1;
            }
        }
    }
    Ok(())
}

/// Reads the top of a tree. How much that is follows from what was asked.
fn verify_tree(job: &mut Job, pieces: &mut Pieces) -> Result<(), LaneError> {
    let mut checker = Checker::new(job.blob);
    let (mut parents, mut subtrees) = (Vec::new(), Vec::new());
    for step in job.layout.tree_steps(&job.groups, job.tree.unwrap_or(0)) {
        match step {
            TreeStep::Parent { offset, is_root, left, right } => {
                let mut node = [0; 64];
                pieces.fill(&mut node)?;
                checker.parent(&node, is_root, left, right).map_err(PeerMisbehaved::from)?;
                parents.push((offset, node));
            }
            TreeStep::Subtree { groups } => {
                subtrees.push((groups, checker.subtree().map_err(PeerMisbehaved::from)?));
            }
        }
    }
    job.sink.take_tree(&parents, subtrees).map_err(LaneError::Disk)
}

/// Verified groups that are written together.
struct Block {
    groups: Range<u64>,
    begun: Instant,
    data: Vec<u8>,
    parents: Vec<(u64, ParentNode)>,
}

impl Block {
    fn new() -> Self {
        Self { groups: 0..0, begun: Instant::now(), data: Vec::new(), parents: Vec::new() }
    }

    /// Large enough, or old enough: a slow source must not look like a silent one.
    fn is_worth_writing(&self) -> bool {
        self.data.len() as u64 >= READ_BLOCK_BYTES / 4 || self.begun.elapsed() >= VERIFIED_WAIT
    }

    fn write(&mut self, job: &mut Job, events: &mut Events) -> Result<(), LaneError> {
        let groups = std::mem::take(&mut self.groups);
        if groups.is_empty() {
            // Parents alone wait for the group that they lead to.
            return Ok(());
        }
        debug_assert!(self.data.len() as u64 <= READ_BLOCK_BYTES.max(GROUP_BYTES));
        let written = job.sink.write(groups.clone(), &self.data, &self.parents);
        let bytes = self.data.len() as u64;
        self.data.clear();
        self.parents.clear();
        written.map_err(LaneError::Disk)?;
        let whole = groups.end - groups.start == job.layout.groups();
        if whole && !job.sink.tells_whole() {
            return Ok(());
        }
        events.tell(LaneEvent::Verified { job: job.id, groups, bytes })
    }
}
