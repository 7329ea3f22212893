//! The source side of a fetch stream: wants in, verified encodings out.

use std::{ops::Range, sync::Arc};

use bao_tree::ChunkRanges;
use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesOrdered};
use tokio::{sync::mpsc, time::timeout};

use super::{
    clock::TrackerClock,
    content::{Catalog, Content},
    pace::{self, Pace, Turn, Unlimited},
};
use crate::{
    content::{GroupSet, Layout, Step, TreeStep},
    id::{BlobHash, DeviceId},
    limits::{
        GRANTS_HELD_MAX, PEER_FRAME_BYTES_MAX, READ_BLOCK_BYTES, SERVE_HELPING_BYTES_MAX, SERVE_HELPING_FILES_MAX,
        SERVE_LOOKAHEAD_MAX, SERVE_LUMP_BYTES_MAX, SERVE_STALL, SMALL_FILE_BYTES_MAX, WANT_RANGES_MAX,
    },
    net::{
        Receiving, Sending,
        frame::{ReceiveError, SendError},
    },
    wire::{
        Code, Refusal, codec,
        grant::{Grant, SignedGrant, Source},
        peer::{FetchFrame, FetchReply, Want},
    },
};

/// What a source asks for before it serves.
#[derive(Debug, Clone)]
pub enum Gate {
    /// The other end is the tracker, which needs no grant.
    Tracker,
    /// The other end is this device; each blob needs a grant signed with this key, unless the catalog itself gives it.
    Grants {
        /// Who asks, by its certificate or its session.
        device: DeviceId,
        /// Who serves: what grants must name.
        source: Source,
        /// The tracker's grant key.
        key: [u8; 32],
        /// What grants are dated by.
        clock: Arc<TrackerClock>,
    },
}

/// Why a fetch stream ended before its fetcher was through.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// What came from the fetcher was wrong.
    #[error("could not read what is wanted: {0}")]
    Receive(#[from] ReceiveError),
    /// The fetcher left, or the connection did.
    #[error("could not send: {0}")]
    Send(#[from] SendError),
    /// The content stopped being servable in the middle.
    #[error("stopped serving: {0}")]
    Refused(Refusal),
    /// The fetcher took nothing for too long.
    #[error("the fetcher takes nothing")]
    Stalled,
    /// One want took so long that whoever waits for a slot had to be protected from it.
    #[error("one want outlasted its turn")]
    Overstayed,
}

/// Serves one fetch stream to its end, without limits. Dropping the future resets the stream.
///
/// # Errors
/// See [`ServeError`]; the stream is reset with a fitting code.
pub async fn serve(
    send: impl Into<Sending>,
    recv: impl Into<Receiving>,
    gate: Gate,
    catalog: Arc<dyn Catalog>,
) -> Result<(), ServeError> {
    serve_paced(send, recv, gate, catalog, &Unlimited).await
}

/// The same within limits: every byte waits until it may pass, and every want of a large file for its turn.
/// Small files pass by the line: each is over at once, and a line would cost more than it spares.
///
/// # Errors
/// See [`ServeError`]; the stream is reset with a fitting code.
pub async fn serve_paced(
    send: impl Into<Sending>,
    recv: impl Into<Receiving>,
    gate: Gate,
    catalog: Arc<dyn Catalog>,
    pace: &dyn Pace,
) -> Result<(), ServeError> {
    let (mut send, mut recv) = (send.into(), recv.into());
    let (wants, wanted) = mpsc::channel(SERVE_HELPING_FILES_MAX);
    let asker = gate.asker();
    let mut out = Out { send: &mut send, pace };
    let result = tokio::try_join!(
        read_wants(&mut recv, gate, &*catalog, wants),
        answer(&mut out, catalog.clone(), asker, wanted)
    );
    match result {
        Ok(_) => {
            send.finish().await;
            Ok(())
        }
        Err(error) => {
            let code = error.code();
            send.reset(code);
            recv.stop(code);
            Err(error)
        }
    }
}

impl Gate {
    const fn asker(&self) -> Option<DeviceId> {
        match self {
            Self::Tracker => None,
            Self::Grants { device, .. } => Some(*device),
        }
    }
}

impl ServeError {
    const fn code(&self) -> Code {
        match self {
            Self::Receive(ReceiveError::Frame(_)) => Code::BadRequest,
            Self::Refused(refusal) => refusal.code,
            Self::Overstayed => Code::RateLimited,
            Self::Receive(_) | Self::Send(_) | Self::Stalled => Code::Cancelled,
        }
    }
}

/// A want that may be answered, or why not.
type Wanted = Result<Allowed, Refusal>;

#[derive(Debug, Clone)]
struct Allowed {
    want: Want,
    layout: Layout,
    groups: GroupSet,
    /// Only the top of the tree, down to this height.
    tree: Option<u8>,
}

/// What goes out of a blob, in order.
fn steps_of<'a>(
    layout: Layout,
    groups: &'a GroupSet,
    chunks: &'a ChunkRanges,
    tree: Option<u8>,
) -> Box<dyn Iterator<Item = Step> + Send + 'a> {
    let Some(height) = tree else { return Box::new(layout.steps(chunks)) };
    Box::new(layout.tree_steps(groups, height).filter_map(|step| match step {
        TreeStep::Parent { offset, is_root, left, right } => Some(Step::Parent { offset, is_root, left, right }),
        TreeStep::Subtree { .. } => None,
    }))
}

async fn read_wants(
    recv: &mut Receiving,
    gate: Gate,
    catalog: &dyn Catalog,
    wants: mpsc::Sender<Wanted>,
) -> Result<(), ServeError> {
    let mut grants: Vec<Grant> = Vec::new();
    loop {
        let frame = match recv.receive(PEER_FRAME_BYTES_MAX).await {
            Ok(frame) => frame,
            Err(ReceiveError::Ended) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let wanted = match frame {
            FetchFrame::Grant(signed) => {
                let Gate::Grants { device, key, .. } = &gate else { continue };
                match signed.check(key, *device) {
                    Ok(grant) => {
                        if grants.len() == GRANTS_HELD_MAX {
                            grants.remove(0);
                        }
                        grants.push(grant);
                    }
                    Err(error) => tracing::debug!(%device, %error, "a grant was refused"),
                }
                continue;
            }
            FetchFrame::Want(want) => allow(&gate, catalog, &grants, want, None),
            FetchFrame::WantTree { want, height } => allow(&gate, catalog, &grants, want, Some(height)),
        };
        if wants.send(wanted).await.is_err() {
            return Ok(());
        }
    }
}

impl Gate {
    /// Whether one grant, told with the question, allows a blob now.
    pub(super) fn allows(&self, catalog: &dyn Catalog, signed: &SignedGrant, blob: &BlobHash) -> bool {
        match self {
            Self::Tracker => true,
            Self::Grants { device, source, key, clock } => match signed.check(key, *device) {
                Ok(grant) => grant.allows(blob, *source) && counts(&grant, blob, catalog, clock.now_ms()),
                Err(error) => {
                    tracing::debug!(%device, %error, "a grant was refused");
                    false
                }
            },
        }
    }
}

fn allow(gate: &Gate, catalog: &dyn Catalog, grants: &[Grant], want: Want, tree: Option<u8>) -> Wanted {
    if let Gate::Grants { device, source, clock, .. } = gate
        && !catalog.gives(&want.blob, *device)
    {
        check_grants(grants, &want, *source, catalog, clock.now_ms())?;
    }
    check_want(want, tree)
}

/// Whether a grant that names a blob and its source still counts: its time is not over, and nothing was decided anew since.
fn counts(grant: &Grant, blob: &BlobHash, catalog: &dyn Catalog, now_ms: i64) -> bool {
    grant.holds_at(now_ms) && catalog.decided_anew(blob).is_none_or(|since| grant.given_ms() >= since)
}

/// A download may take longer than a grant lives: then a new one helps, and the answer says so.
fn check_grants(
    grants: &[Grant],
    want: &Want,
    source: Source,
    catalog: &dyn Catalog,
    now_ms: i64,
) -> Result<(), Refusal> {
    let mut allowing = grants.iter().filter(|grant| grant.allows(&want.blob, source)).peekable();
    if allowing.peek().is_none() {
        return Err(Refusal::new(Code::Forbidden, "no grant for this file from here"));
    }
    if !allowing.any(|grant| counts(grant, &want.blob, catalog, now_ms)) {
        return Err(Refusal::new(Code::Unavailable, "the grant has ended; ask the tracker for a new one"));
    }
    Ok(())
}

fn check_want(want: Want, tree: Option<u8>) -> Wanted {
    let layout = Layout::new(want.size).map_err(|error| Refusal::new(Code::TooLarge, error.to_string()))?;
    if want.groups.len() > WANT_RANGES_MAX {
        return Err(Refusal::new(Code::TooLarge, "too many ranges in one want"));
    }
    let groups = want
        .groups_in(layout)
        .ok_or_else(|| Refusal::new(Code::BadRequest, "the ranges are not ascending ranges inside the file"))?;
    Ok(Allowed { want, layout, groups, tree })
}

/// Wants that are prepared together: refused ones, small files, or one large file.
struct Helping {
    wanted: Vec<Wanted>,
    bytes: u64,
}

impl Helping {
    const fn new() -> Self {
        Self { wanted: Vec::new(), bytes: 0 }
    }

    fn add(&mut self, wanted: Wanted) {
        self.bytes = self.bytes.saturating_add(size_of(&wanted));
        self.wanted.push(wanted);
    }

    /// Whether this one may still join. A large file comes alone, since it is read while it is sent.
    fn has_room_for(&self, wanted: &Wanted) -> bool {
        let bytes = self.bytes.saturating_add(size_of(wanted));
        self.wanted.is_empty() || (self.wanted.len() < SERVE_HELPING_FILES_MAX && bytes <= SERVE_HELPING_BYTES_MAX)
    }
}

fn size_of(wanted: &Wanted) -> u64 {
    wanted.as_ref().map_or(0, |allowed| allowed.want.size)
}

/// An answer that is ready to be sent, or one whose data is read while it is sent.
enum Prepared {
    Refused(Refusal),
    Whole { blob: BlobHash, pieces: Vec<Bytes>, bytes: u64 },
    Large { allowed: Allowed, content: Arc<dyn Content> },
}

/// The sending half of a stream with the limits that hold for it.
struct Out<'a> {
    send: &'a mut Sending,
    pace: &'a dyn Pace,
}

impl Out<'_> {
    /// Sends the first of some pieces as soon as they may go; returns their bytes, zero when there are none.
    async fn first_of(&mut self, pieces: &mut Vec<Bytes>) -> Result<u64, ServeError> {
        let bytes = pace::length(pieces).min(SERVE_LUMP_BYTES_MAX);
        if bytes == 0 {
            return Ok(0);
        }
        let passed = self.pace.pass(bytes).await;
        self.at_once(&mut pace::take(pieces, passed)).await?;
        Ok(passed)
    }

    /// Sends pieces as fast as they may go.
    async fn all_of(&mut self, mut pieces: Vec<Bytes>) -> Result<(), ServeError> {
        while self.first_of(&mut pieces).await? > 0 {}
        Ok(())
    }

    /// Sends pieces that may go.
    async fn at_once(&mut self, pieces: &mut [Bytes]) -> Result<(), ServeError> {
        match timeout(SERVE_STALL, self.send.write_all_chunks(pieces)).await {
            Ok(sent) => sent.map_err(ServeError::from),
            Err(_) => Err(ServeError::Stalled),
        }
    }

    /// Waits for a turn, and tells the fetcher meanwhile where it stands.
    async fn turn(&mut self) -> Result<Box<dyn Turn>, ServeError> {
        let mut turn = self.pace.turn();
        while let Some(queued) = turn.come().await {
            let news = codec::encode(&FetchReply::Queued(queued), PEER_FRAME_BYTES_MAX).map_err(SendError::from)?;
            self.at_once(&mut [news.into()]).await?;
        }
        Ok(turn)
    }
}

async fn answer(
    out: &mut Out<'_>,
    catalog: Arc<dyn Catalog>,
    asker: Option<DeviceId>,
    mut wanted: mpsc::Receiver<Wanted>,
) -> Result<(), ServeError> {
    let serving = Bytes::from(codec::encode(&FetchReply::Serving, PEER_FRAME_BYTES_MAX).map_err(SendError::from)?);
    // Small files are opened and read while earlier ones are sent.
    let mut preparing = FuturesOrdered::new();
    // What did not fit into the last helping.
    let mut over: Option<Wanted> = None;
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            next = next_wanted(&mut over, &mut wanted), if open && preparing.len() < SERVE_LOOKAHEAD_MAX => match next {
                Some(first) => {
                    let mut helping = Helping::new();
                    helping.add(first);
                    while let Ok(next) = wanted.try_recv() {
                        if !helping.has_room_for(&next) {
                            over = Some(next);
                            break;
                        }
                        helping.add(next);
                    }
                    preparing.push_back(prepare(catalog.clone(), asker, helping));
                }
                None => open = false,
            },
            Some(prepared) = preparing.next(), if !preparing.is_empty() => {
                serve_helping(out, &catalog, asker, &serving, prepared).await?;
            }
            else => return Ok(()),
        }
    }
}

/// The next want, in order. Safe to cancel.
async fn next_wanted(over: &mut Option<Wanted>, wanted: &mut mpsc::Receiver<Wanted>) -> Option<Wanted> {
    match over.take() {
        Some(wanted) => Some(wanted),
        None => wanted.recv().await,
    }
}

async fn serve_helping(
    out: &mut Out<'_>,
    catalog: &Arc<dyn Catalog>,
    asker: Option<DeviceId>,
    serving: &Bytes,
    helping: Vec<Prepared>,
) -> Result<(), ServeError> {
    let mut small = Vec::new();
    let mut sent = Vec::new();
    for prepared in helping {
        match prepared {
            Prepared::Refused(refusal) => {
                let frame = codec::encode(&FetchReply::Refused(refusal), PEER_FRAME_BYTES_MAX);
                small.push(frame.map_err(SendError::from)?.into());
            }
            Prepared::Whole { blob, pieces, bytes } => {
                small.push(serving.clone());
                small.extend(pieces);
                sent.push((blob, bytes));
            }
            Prepared::Large { allowed: Allowed { want: Want { blob, .. }, layout, groups, tree }, content } => {
                out.all_of(std::mem::take(&mut small)).await?;
                // The top of a tree is over at once, as a small file is.
                let mut turn = if tree.is_some() { Unlimited.turn() } else { out.turn().await? };
                let mut pieces = vec![serving.clone()];
                let chunks = layout.chunks(&groups);
                let mut blocks = Blocks { steps: steps_of(layout, &groups, &chunks, tree).peekable() };
                // The next block is read while this one is sent.
                let mut next = blocks.next().map(|block| tokio::spawn(read_block(content.clone(), layout, block)));
                while let Some(reading) = next.take() {
                    let read = reading.await.map_err(|_| internal())?;
                    let (block, mut bytes) = read.map_err(ServeError::Refused)?;
                    next = blocks.next().map(|block| tokio::spawn(read_block(content.clone(), layout, block)));
                    pieces.extend(block);
                    loop {
                        let passed = out.first_of(&mut pieces).await?;
                        if passed == 0 {
                            break;
                        }
                        // The tree around the data is not counted.
                        let data = passed.min(bytes);
                        bytes -= data;
                        catalog.sent(blob, asker, data);
                        if !turn.sent(data) {
                            return Err(ServeError::Overstayed);
                        }
                    }
                }
            }
        }
    }
    out.all_of(small).await?;
    for (blob, bytes) in sent {
        catalog.sent(blob, asker, bytes);
    }
    Ok(())
}

fn internal() -> ServeError {
    ServeError::Refused(Refusal::new(Code::Internal, "a read ended abnormally"))
}

async fn prepare(catalog: Arc<dyn Catalog>, asker: Option<DeviceId>, helping: Helping) -> Vec<Prepared> {
    let wants: Vec<Want> = helping.wanted.iter().flatten().map(|allowed| allowed.want.clone()).collect();
    let opened = match &wants[..] {
        [one] if one.size > SMALL_FILE_BYTES_MAX => vec![catalog.open(one, asker).await],
        [] => Vec::new(),
        small => catalog.open_small(small, asker).await,
    };
    let mut opened = opened.into_iter();
    let mut prepared = Vec::with_capacity(helping.wanted.len());
    for wanted in helping.wanted {
        prepared.push(match wanted {
            Ok(allowed) => {
                let content = opened.next().unwrap_or_else(|| Err(Refusal::new(Code::Internal, "it was not opened")));
                prepare_one(allowed, content).await
            }
            Err(refusal) => Prepared::Refused(refusal),
        });
    }
    prepared
}

async fn prepare_one(allowed: Allowed, opened: Result<Arc<dyn Content>, Refusal>) -> Prepared {
    let Allowed { want, layout, groups, tree } = &allowed;
    let content = match opened {
        Ok(content) if content.size() == want.size => content,
        Ok(_) => return Prepared::Refused(Refusal::new(Code::NotFound, "no file of this size and hash")),
        Err(refusal) => return Prepared::Refused(refusal),
    };
    if want.size > SMALL_FILE_BYTES_MAX {
        return Prepared::Large { allowed, content };
    }
    let chunks = layout.chunks(groups);
    let blocks = Blocks { steps: steps_of(*layout, groups, &chunks, *tree).peekable() };
    let (mut pieces, mut bytes) = (Vec::new(), 0);
    for block in blocks {
        match read_block(content.clone(), *layout, block).await {
            Ok((block_pieces, block_bytes)) => {
                pieces.extend(block_pieces);
                bytes += block_bytes;
            }
            Err(refusal) => return Prepared::Refused(refusal),
        }
    }
    Prepared::Whole { blob: want.blob, pieces, bytes }
}

/// Steps of a block: those of a megabyte of groups with all their parents, and some.
const STEPS_TOGETHER_MAX: usize = 1024;

/// Cuts the steps of an encoding into blocks of about a megabyte of data.
struct Blocks<I: Iterator<Item = Step>> {
    steps: std::iter::Peekable<I>,
}

impl<I: Iterator<Item = Step>> Iterator for Blocks<I> {
    type Item = Vec<Step>;

    fn next(&mut self) -> Option<Vec<Step>> {
        let (mut block, mut data_bytes) = (Vec::new(), 0);
        while let Some(step) = self.steps.peek() {
            // The top of a tree is nodes alone.
            if block.len() >= STEPS_TOGETHER_MAX {
                break;
            }
            if let Step::Group { bytes, .. } = step {
                if data_bytes + *bytes as u64 > READ_BLOCK_BYTES {
                    break;
                }
                data_bytes += *bytes as u64;
            }
            block.extend(self.steps.next());
        }
        (!block.is_empty()).then_some(block)
    }
}

/// Reads what a block of steps needs in as few reads as possible and cuts it into pieces in sending order.
async fn read_block(content: Arc<dyn Content>, layout: Layout, block: Vec<Step>) -> Result<(Vec<Bytes>, u64), Refusal> {
    let mut data = Runs::default();
    let mut tree = Runs::default();
    for step in &block {
        match *step {
            Step::Parent { offset, .. } => tree.add(offset..offset + 64),
            Step::Group { group, .. } => data.add(layout.bytes_of(&(group..group + 1))),
        }
    }
    let mut data_bytes = Vec::with_capacity(data.ranges.len());
    for range in &data.ranges {
        data_bytes.push(content.data(range.clone()).await?);
    }
    let mut tree_bytes = Vec::with_capacity(tree.ranges.len());
    for range in &tree.ranges {
        tree_bytes.push(content.tree(range.clone()).await?);
    }
    let mut pieces: Vec<Bytes> = Vec::with_capacity(block.len());
    let mut sent = 0;
    for step in &block {
        let (runs, read, range) = match *step {
            Step::Parent { offset, .. } => (&tree, &tree_bytes, offset..offset + 64),
            Step::Group { group, .. } => (&data, &data_bytes, layout.bytes_of(&(group..group + 1))),
        };
        let piece = runs.cut(read, &range).ok_or_else(|| Refusal::new(Code::Internal, "a block is incomplete"))?;
        if matches!(step, Step::Group { .. }) {
            sent += piece.len() as u64;
        }
        if !piece.is_empty() {
            pieces.push(piece);
        }
    }
    Ok((pieces, sent))
}

/// Ranges in ascending order of first need, merged where one follows the other.
#[derive(Default)]
struct Runs {
    ranges: Vec<Range<u64>>,
}

impl Runs {
    fn add(&mut self, range: Range<u64>) {
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.ranges.push(range),
        }
    }

    fn cut(&self, read: &[Bytes], range: &Range<u64>) -> Option<Bytes> {
        let at = self.ranges.iter().position(|run| run.start <= range.start && range.end <= run.end)?;
        let start = (range.start - self.ranges[at].start) as usize;
        let length = (range.end - range.start) as usize;
        let bytes = read.get(at)?;
        (start + length <= bytes.len()).then(|| bytes.slice(start..start + length))
    }
}
