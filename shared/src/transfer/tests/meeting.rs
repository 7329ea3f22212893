//! Two devices that meet over real QUIC on loopback, and what they serve and receive.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    future::Future,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use certs::{Authority, PeerCredentials, PeerIdentity, SigningKey};
use quinn::{Connection, Endpoint, RecvStream};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::{
    content::{GroupSet, Layout, ParentNode, Step, tree_of},
    id::{BlobHash, DeviceId},
    limits::PEER_FRAME_BYTES_MAX,
    net::{
        Outgoing, Receiving, Sending, endpoint, frame,
        sealed::{self, Carrier, SealError},
    },
    transfer::{
        clock::TrackerClock,
        content::{Catalog, Content, FileContent, SmallContent},
        hash::hash_file,
        jail::Stamp,
        lane::{Job, Lane, LaneError, LaneEvent, Order, Sink},
        partial::{BootId, Partial, PartialFiles},
        serve::{Gate, ServeError, serve},
    },
    wire::{
        Code, PEER_ALPN, PEER_NAME, Refusal, codec,
        grant::{Grant, SignedGrant, Source},
        peer::{FetchReply, Open, Want},
    },
};

/// The tracker's clock in these tests.
pub(super) const NOW_MS: i64 = 1_000_000_000;

/// Guards against a test that would never end.
pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it does not come to an end")
}

/// Bytes without a pattern that a mistake could hide behind.
pub(super) fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}

// Devices

/// Two devices of one tracker with a connection between them.
pub(super) struct Meeting {
    _folder: TempDir,
    authority: Authority,
    endpoints: [Endpoint; 2],
    /// The source's end.
    pub(super) source: Connection,
    /// The fetcher's end.
    pub(super) fetcher: Connection,
    /// The fetcher.
    pub(super) device: DeviceId,
    /// The source.
    pub(super) source_device: DeviceId,
    /// What the source and the fetcher show.
    credentials: [PeerCredentials; 2],
}

impl Meeting {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path(), now()).unwrap();
        let (source_credentials, source_device) = device(&authority);
        let (fetcher_credentials, device) = device(&authority);
        let server = endpoint::peer_server(source_credentials.server_config(PEER_ALPN).unwrap()).unwrap();
        let client = endpoint::peer_client(fetcher_credentials.client_config(PEER_ALPN).unwrap()).unwrap();
        let bind = || endpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let source_endpoint = endpoint::endpoint(bind(), Some(server), &SigningKey::generate().unwrap()).unwrap();
        let fetcher_endpoint = endpoint::endpoint(bind(), None, &SigningKey::generate().unwrap()).unwrap();
        let address = source_endpoint.local_addr().unwrap();
        let dialling = fetcher_endpoint.connect_with(client, address, PEER_NAME).unwrap();
        let accepting = async { source_endpoint.accept().await.unwrap().await.unwrap() };
        let (fetcher, source) = within(async { tokio::join!(dialling, accepting) }).await;
        let endpoints = [source_endpoint, fetcher_endpoint];
        let credentials = [source_credentials, fetcher_credentials];
        let fetcher = fetcher.unwrap();
        Self { _folder: folder, authority, endpoints, source, fetcher, device, source_device, credentials }
    }

    /// What the source asks the fetcher for.
    pub(super) fn gate(&self) -> Gate {
        let (_, device) = crate::net::peer_of(&self.source).unwrap();
        let source = Source::Device(self.source_device);
        let clock = Arc::new(TrackerClock::new(|| NOW_MS, 0));
        Gate::Grants { device, source, key: self.authority.grant_key().public(), clock }
    }

    pub(super) fn grant(&self, blobs: &[BlobHash]) -> SignedGrant {
        self.sign(&self.granting(self.device, NOW_MS + 60_000, blobs))
    }

    /// A device may fetch these from the source.
    pub(super) fn granting(&self, device: DeviceId, expires_ms: i64, blobs: &[BlobHash]) -> Grant {
        let sources = ([self.source_device].into(), false);
        Grant::new(device, expires_ms, &blobs.iter().map(|blob| (*blob, sources.clone())).collect())
    }

    pub(super) fn sign(&self, grant: &Grant) -> SignedGrant {
        grant.sign(|bytes| self.authority.grant_key().sign(bytes))
    }

    /// Opens a fetch stream from the fetcher, and takes it at the source.
    pub(super) async fn stream(&self) -> ((Outgoing, RecvStream), (Outgoing, RecvStream)) {
        let (send, recv) = within(self.fetcher.open_bi()).await.unwrap();
        let mut send = Outgoing::new(send);
        frame::send(&mut send, &Open::Fetch, PEER_FRAME_BYTES_MAX).await.unwrap();
        let (source_send, mut source_recv) = within(self.source.accept_bi()).await.unwrap();
        assert_eq!(within(frame::receive::<Open>(&mut source_recv, 1024)).await.unwrap(), Open::Fetch);
        ((send, recv), (Outgoing::new(source_send), source_recv))
    }

    /// Seals a stream of these two ends, if the fetcher finds `source` there and the source `fetcher`.
    pub(super) async fn seal(
        &self,
        ends: (impl Carrier, impl Carrier),
        (source, fetcher): (DeviceId, DeviceId),
    ) -> (Result<Halves, SealError>, Result<Halves, SealError>) {
        let server = self.credentials[0].server_config(PEER_ALPN).unwrap();
        let client = self.credentials[1].client_config(PEER_ALPN).unwrap();
        let accepting = async { sealed::accept(ends.1, server, fetcher).await.map(|(send, recv, _)| (send, recv)) };
        within(async { tokio::join!(sealed::dial(ends.0, client, source), accepting) }).await
    }

    /// A lane to a source that serves this catalog, sealed over these two ends.
    pub(super) async fn sealed_lane(
        &self,
        ends: (impl Carrier, impl Carrier),
        catalog: &Arc<Shelf>,
    ) -> (Lane, JoinHandle<Result<(), ServeError>>) {
        let (near, far) = self.seal(ends, (self.source_device, self.device)).await;
        let ((send, recv), (source_send, source_recv)) = (near.unwrap(), far.unwrap());
        let serving = tokio::spawn(serve(source_send, source_recv, self.gate(), catalog.clone()));
        (Lane::start(send, recv), serving)
    }

    /// A lane to a source that serves this catalog.
    pub(super) async fn lane(&self, gate: Gate, catalog: &Arc<Shelf>) -> (Lane, JoinHandle<Result<(), ServeError>>) {
        let ((send, recv), (source_send, source_recv)) = self.stream().await;
        let serving = tokio::spawn(serve(source_send, source_recv, gate, catalog.clone()));
        (Lane::start(send, recv), serving)
    }

    /// A lane to a source that does what the test wants.
    pub(super) async fn lane_to<F>(
        &self,
        behave: impl FnOnce(Outgoing, RecvStream) -> F,
    ) -> (Lane, JoinHandle<F::Output>)
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let ((send, recv), (source_send, source_recv)) = self.stream().await;
        (Lane::start(send, recv), tokio::spawn(behave(source_send, source_recv)))
    }

    /// Ends without anything left behind.
    pub(super) async fn end(self) {
        for endpoint in &self.endpoints {
            endpoint.close(0u32.into(), b"");
        }
        for endpoint in &self.endpoints {
            within(endpoint.wait_idle()).await;
        }
    }
}

/// Both halves of a stream.
pub(super) type Halves = (Sending, Receiving);

fn device(authority: &Authority) -> (PeerCredentials, DeviceId) {
    let key = SigningKey::generate().unwrap();
    let device = DeviceId::of_key(&key.public());
    let who = PeerIdentity { account: [7; 16], device: device.0 };
    let certificate = authority.issue_device(&key.public(), &who, now(), Duration::from_secs(3600)).unwrap();
    (PeerCredentials::new(&key, certificate, authority.certificate().clone()).unwrap(), device)
}

fn now() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "certificates are checked against the real time")]
    SystemTime::now()
}

// The source

type Opened = Result<Arc<dyn Content>, Refusal>;

/// What a source serves: bytes in memory, files, refusals.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    contents: Mutex<BTreeMap<BlobHash, Opened>>,
    sent: Mutex<Vec<(BlobHash, Option<DeviceId>, u64)>>,
    decided: Mutex<BTreeMap<BlobHash, i64>>,
}

impl Shelf {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    fn put(&self, blob: BlobHash, content: Opened) {
        self.contents.lock().unwrap().insert(blob, content);
    }

    /// Puts small content here.
    pub(super) fn small(&self, data: &[u8]) -> BlobHash {
        let blob = tree_of(data, 0, true).blob();
        let content = SmallContent::verified(Bytes::copy_from_slice(data), blob).unwrap();
        self.put(blob, Ok(Arc::new(content)));
        blob
    }

    /// Puts a file here that lies on the disk.
    pub(super) fn file(&self, data: &[u8]) -> BlobHash {
        let (blob, content, _) = on_disk(data);
        self.put(blob, Ok(Arc::new(content)));
        blob
    }

    /// Puts a file here that somebody changes while its block at `position` is read.
    pub(super) fn file_changed_at(&self, data: &[u8], position: u64) -> BlobHash {
        let (blob, content, file) = on_disk(data);
        self.put(blob, Ok(Arc::new(Meddled { content, file, position })));
        blob
    }

    /// Content that is refused.
    pub(super) fn refused(&self, blob: BlobHash, refusal: Refusal) {
        self.put(blob, Err(refusal));
    }

    /// Who may have a blob was decided anew at this time.
    pub(super) fn decide_anew(&self, blob: BlobHash, at_ms: i64) {
        self.decided.lock().unwrap().insert(blob, at_ms);
    }

    /// Bytes that went out.
    pub(super) fn sent_bytes(&self) -> u64 {
        self.sent.lock().unwrap().iter().map(|(_, _, bytes)| bytes).sum()
    }

    /// To whom bytes went out.
    pub(super) fn askers(&self) -> Vec<Option<DeviceId>> {
        let askers: BTreeSet<_> = self.sent.lock().unwrap().iter().map(|(_, asker, _)| *asker).collect();
        askers.into_iter().collect()
    }
}

#[async_trait]
impl Catalog for Shelf {
    async fn open(&self, want: &Want, _asker: Option<DeviceId>) -> Opened {
        let found = self.contents.lock().unwrap().get(&want.blob).cloned();
        found.unwrap_or_else(|| Err(Refusal::new(Code::NotFound, "nothing here")))
    }

    fn decided_anew(&self, blob: &BlobHash) -> Option<i64> {
        self.decided.lock().unwrap().get(blob).copied()
    }

    fn sent(&self, blob: BlobHash, asker: Option<DeviceId>, bytes: u64) {
        self.sent.lock().unwrap().push((blob, asker, bytes));
    }
}

fn on_disk(data: &[u8]) -> (BlobHash, FileContent, File) {
    let (file, tree) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    file.write_all_at(data, 0).unwrap();
    let size = data.len() as u64;
    let blob = hash_file(&file, size, Some(&tree), &AtomicU64::new(0), &AtomicBool::new(false)).unwrap();
    let layout = Layout::new(size).unwrap();
    let content = FileContent::new(layout, file.try_clone().unwrap(), Stamp::of(&file).unwrap(), tree);
    (blob, content, file)
}

/// A file that is written to while it is served.
#[derive(Debug)]
struct Meddled {
    content: FileContent,
    file: File,
    position: u64,
}

#[async_trait]
impl Content for Meddled {
    fn size(&self) -> u64 {
        self.content.size()
    }

    async fn data(&self, range: Range<u64>) -> Result<Bytes, Refusal> {
        if range.contains(&self.position) {
            self.file.write_all_at(b"changed", self.position).unwrap();
            self.file.write_all_at(b"longer", self.content.size()).unwrap();
        }
        self.content.data(range).await
    }

    async fn tree(&self, range: Range<u64>) -> Result<Bytes, Refusal> {
        self.content.tree(range).await
    }
}

/// What an honest source sends for a want, the reply's frame included.
pub(super) fn honest_answer(data: &[u8], groups: &GroupSet) -> Vec<u8> {
    let mut answer = codec::encode(&FetchReply::Serving, PEER_FRAME_BYTES_MAX).unwrap();
    for part in encoding(data, groups) {
        answer.extend(part.1);
    }
    answer
}

/// The steps of an encoding and their bytes.
pub(super) fn encoding(data: &[u8], groups: &GroupSet) -> Vec<(Step, Vec<u8>)> {
    let layout = Layout::new(data.len() as u64).unwrap();
    let tree = tree_of(data, 0, true);
    let chunks = layout.chunks(groups);
    let bytes_of = |step| match step {
        Step::Parent { offset, .. } => tree.parents[offset as usize..offset as usize + 64].to_vec(),
        Step::Group { group, .. } => {
            let bytes = layout.bytes_of(&(group..group + 1));
            data[bytes.start as usize..bytes.end as usize].to_vec()
        }
    };
    layout.steps(&chunks).map(|step| (step, bytes_of(step))).collect()
}

// The fetcher

/// Received bytes at their places.
#[derive(Debug, Clone, Default)]
pub(super) struct Received(Arc<Mutex<(GroupSet, Vec<u8>)>>);

impl Received {
    pub(super) fn groups(&self) -> GroupSet {
        self.0.lock().unwrap().0.clone()
    }

    pub(super) fn data(&self) -> Vec<u8> {
        self.0.lock().unwrap().1.clone()
    }
}

impl Sink for Received {
    fn write(&mut self, groups: Range<u64>, data: &[u8], _parents: &[(u64, ParentNode)]) -> io::Result<()> {
        let mut received = self.0.lock().unwrap();
        let start = (groups.start * crate::limits::GROUP_BYTES) as usize;
        let end = start + data.len();
        if received.1.len() < end {
            received.1.resize(end, 0);
        }
        received.1[start..end].copy_from_slice(data);
        received.0.insert(groups);
        Ok(())
    }
}

/// A disk that takes nothing.
#[derive(Debug)]
pub(super) struct FullDisk;

impl Sink for FullDisk {
    fn write(&mut self, _: Range<u64>, _: &[u8], _: &[(u64, ParentNode)]) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
}

/// A job for a part of a blob, and where its bytes will be.
pub(super) fn job(id: u64, blob: BlobHash, size: usize, groups: Option<GroupSet>) -> (Order, Received) {
    let received = Received::default();
    let layout = Layout::new(size as u64).unwrap();
    let groups = groups.unwrap_or_else(|| layout.all());
    (Order::Job(Job { id, blob, layout, groups, tree: None, sink: Box::new(received.clone()) }), received)
}

/// Gives all orders, and collects what happens until the lane ends.
pub(super) async fn play(mut lane: Lane, orders: Vec<Order>) -> (Vec<LaneEvent>, Result<(), LaneError>) {
    within(async {
        for order in orders {
            assert!(lane.order(order).await, "the lane takes nothing");
        }
        lane.finish();
        let mut events = Vec::new();
        while let Some(event) = lane.event().await {
            events.push(event);
        }
        (events, lane.outcome().await)
    })
    .await
}

/// A partial file of a blob, in files without a name.
pub(super) struct Arriving {
    pub(super) partial: Arc<Partial>,
    data: Vec<u8>,
}

impl Arriving {
    pub(super) fn of(data: &[u8]) -> Self {
        let file = || tempfile::tempfile().unwrap();
        let files = PartialFiles { data: file(), tree: file(), log: file() };
        let layout = Layout::new(data.len() as u64).unwrap();
        let (partial, _) = Partial::open(layout, tree_of(data, 0, true).blob(), files, BootId([1; 16])).unwrap();
        Self { partial: Arc::new(partial), data: data.to_vec() }
    }

    /// The groups that count, which are checked against the original bytes.
    pub(super) fn right_groups(&self) -> GroupSet {
        let have = self.partial.have();
        for range in have.ranges() {
            let bytes = self.partial.layout().bytes_of(range);
            let mut found = vec![0; (bytes.end - bytes.start) as usize];
            self.partial.data().read_exact_at(&mut found, bytes.start).unwrap();
            assert!(found == self.data[bytes.start as usize..bytes.end as usize], "wrong bytes count in {range:?}");
        }
        have
    }
}

/// Counts what a lane reports as verified for one job.
pub(super) fn verified_of(events: &[LaneEvent], id: u64) -> (GroupSet, u64) {
    let (mut all, mut sum) = (GroupSet::new(), 0);
    for event in events {
        if let LaneEvent::Verified { job, groups, bytes } = event
            && *job == id
        {
            all.insert(groups.clone());
            sum += bytes;
        }
    }
    (all, sum)
}

/// The kinds of what happened, without progress.
pub(super) fn ends(events: &[LaneEvent]) -> Vec<(u64, Option<Code>)> {
    let end = |event: &LaneEvent| match event {
        LaneEvent::Verified { .. } | LaneEvent::Queued { .. } => None,
        LaneEvent::Done { job } => Some((*job, None)),
        LaneEvent::Refused { job, refusal } => Some((*job, Some(refusal.code))),
    };
    events.iter().filter_map(end).collect()
}

/// A flag that a source waits for, so that tests need no time.
pub(super) type Signal = Arc<tokio::sync::Notify>;
