//! Connections between this device and others: dialling, accepting, one connection for each device.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use quinn::{Connection, Incoming, RecvStream};
use shared::{
    id::{AccountId, DeviceId},
    limits::{
        ALIVE_WAIT, HELLO, PEER_CONNECTIONS_MAX, PEER_FRAME_BYTES_MAX, REQUEST_READ, SERVED_STREAMS_MAX, SPARE_IDLE,
    },
    net::{self, Outgoing, frame},
    reach::is_local,
    transfer::{serve::serve_paced, watch},
    wire::{
        Code, Refusal,
        peer::{HelloAnswer, Open, Watch},
        tracker::PeerSource,
    },
};
use tokio::{
    sync::{Mutex as AsyncMutex, Notify, OwnedSemaphorePermit, Semaphore, watch as watch_of},
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

mod blocks;
mod dial;

pub(super) use dial::dial_any;

use super::{
    api::{Direction, PathKind},
    channel::{self, Guest},
    core::Core,
    limits::Party,
    reach::{
        self,
        order::{self, Made},
    },
    session::PROGRAM,
};

/// The open connections to other devices.
#[derive(Debug)]
pub struct Peers {
    open: Mutex<HashMap<DeviceId, Vec<Link>>>,
    /// A connection was added.
    arrived: Notify,
    /// One dial to a device at a time.
    dialling: Mutex<HashMap<DeviceId, Arc<AsyncMutex<()>>>>,
    /// Devices that were signed out while their certificates last.
    revoked: Mutex<HashSet<DeviceId>>,
    /// Members whom this one has blocked.
    blocked: watch_of::Sender<BTreeSet<AccountId>>,
    /// Which member a device that fetches from here belongs to.
    members: Mutex<HashMap<DeviceId, AccountId>>,
    serving: Arc<Semaphore>,
    tasks: TaskTracker,
}

/// A connection to another device. Two that dial each other may have two for a while.
#[derive(Debug)]
struct Link {
    connection: Connection,
    made: Made,
    path: PathKind,
}

impl Link {
    fn is_alive(&self) -> bool {
        self.connection.close_reason().is_none()
    }
}

impl Default for Peers {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            arrived: Notify::new(),
            dialling: Mutex::default(),
            revoked: Mutex::default(),
            blocked: watch_of::Sender::default(),
            members: Mutex::default(),
            serving: Arc::new(Semaphore::new(SERVED_STREAMS_MAX)),
            tasks: TaskTracker::new(),
        }
    }
}

/// Why a device was not reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// No address of it answered.
    #[error("cannot be reached at {0}")]
    Unreachable(String),
    /// It cannot be dialled, and an introduction came to nothing.
    #[error("cannot be reached directly: {0}")]
    Apart(String),
    /// Somebody else answered.
    #[error("another device answered at its address")]
    OtherDevice,
    /// It does not want to talk.
    #[error("refused: {0}")]
    Refused(String),
    /// Nobody but the tracker can be reached from here.
    #[error("cannot be reached directly: UDP is blocked here")]
    UdpBlocked,
    /// The tracker knows no address of it, since it is connected over HTTPS.
    #[error("cannot be reached directly: UDP is blocked where it is")]
    UdpBlockedThere,
    /// This device has no certificate now.
    #[error("this device is not signed in")]
    SignedOut,
}

impl Peers {
    fn open(&self) -> MutexGuard<'_, HashMap<DeviceId, Vec<Link>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs something that ends when the engine does.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// Of the connections to a device the one that is used.
    fn with_link<T>(&self, core: &Core, device: DeviceId, look: impl FnOnce(&Link) -> T) -> Option<T> {
        let open = self.open();
        let alive: Vec<&Link> = open.get(&device)?.iter().filter(|link| link.is_alive()).collect();
        let made: Vec<Made> = alive.iter().map(|link| link.made).collect();
        order::preferred(&made, core.device(), device).map(|index| look(alive[index]))
    }

    pub(super) fn live(&self, core: &Core, device: DeviceId) -> Option<Connection> {
        self.with_link(core, device, |link| link.connection.clone())
    }

    /// How the open connection to a device runs.
    pub fn live_path(&self, core: &Core, device: DeviceId) -> Option<PathKind> {
        self.with_link(core, device, |link| link.path)
    }

    /// How a connection to a device runs, for people.
    pub fn path_kind(&self, device: DeviceId, connection: &Connection) -> PathKind {
        let open = self.open();
        let links = open.get(&device).map(Vec::as_slice).unwrap_or_default();
        let link = links.iter().find(|link| link.connection.stable_id() == connection.stable_id());
        link.map_or_else(|| path_of(connection, false), |link| link.path)
    }

    /// Whether a device is by now somewhere else than where the open connection to it leads, as after a restart.
    pub fn has_moved(&self, core: &Core, peer: &PeerSource) -> bool {
        let moved = |link: &Link| {
            let remote = link.connection.remote_address();
            let there = |address: &SocketAddr| {
                // By introduction a device may come from a port that the tracker does not see.
                let port = link.path == PathKind::Punched || address.port() == remote.port();
                port && address.ip().to_canonical() == remote.ip().to_canonical()
            };
            !peer.addresses.iter().any(there)
        };
        self.with_link(core, peer.device, moved).unwrap_or(false)
    }

    /// Whether any connection to a device is open.
    pub fn any_live(&self) -> bool {
        self.open().values().flatten().any(Link::is_alive)
    }

    /// A new connection to a device, which said hello.
    fn adopt(&self, core: &Arc<Core>, device: DeviceId, connection: &Connection, dialled_here: bool) {
        let path = path_of(connection, core.reach.is_introduced(device));
        let made = Made { at: Instant::now(), dialled_here };
        let mut open = self.open();
        let links = open.entry(device).or_default();
        let older: Vec<Connection> =
            links.iter().filter(|link| link.is_alive()).map(|link| link.connection.clone()).collect();
        links.push(Link { connection: connection.clone(), made, path });
        drop(open);
        // Whoever is revoked after this look finds it among the open ones.
        if self.is_revoked(device) {
            return net::close(connection, Code::Unauthenticated);
        }
        if self.part_if_blocked(connection) {
            return;
        }
        self.arrived.notify_waiters();
        if !older.is_empty() && dialled_here {
            self.tasks.spawn(close_when_spare(core.clone(), connection.clone(), device));
        }
        // One of the two sides saw a need for a new one: what runs over a dead one shall not wait for its idle time.
        for older in older {
            self.tasks.spawn(close_if_dead(core.clone(), older));
        }
    }

    /// These devices are signed out, and no others: connections with them end.
    pub fn revoke(&self, devices: Vec<DeviceId>) {
        let devices: HashSet<DeviceId> = devices.into_iter().collect();
        *self.revoked.lock().unwrap_or_else(PoisonError::into_inner) = devices.clone();
        let open = self.open();
        for (device, links) in open.iter().filter(|(device, _)| devices.contains(device)) {
            tracing::info!(%device, "a device was signed out: its connections end");
            for link in links {
                net::close(&link.connection, Code::Unauthenticated);
            }
        }
    }

    /// Whether a device was signed out.
    pub fn is_revoked(&self, device: DeviceId) -> bool {
        self.revoked.lock().unwrap_or_else(PoisonError::into_inner).contains(&device)
    }

    /// Waits until there is a connection to a device.
    async fn arrival(&self, core: &Core, device: DeviceId) -> Connection {
        self.arrival_of(|| self.live(core, device)).await
    }

    /// Waits until there is a connection to a device that was made after `since`.
    pub(super) async fn arrival_after(&self, device: DeviceId, since: Instant) -> Connection {
        let newer = |link: &&Link| link.is_alive() && link.made.at >= since;
        let find = || self.open().get(&device)?.iter().find(newer).map(|link| link.connection.clone());
        self.arrival_of(find).await
    }

    async fn arrival_of(&self, find: impl Fn() -> Option<Connection>) -> Connection {
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            // From here on no arrival is missed.
            arrived.as_mut().enable();
            if let Some(connection) = find() {
                return connection;
            }
            arrived.await;
        }
    }

    /// Remembers nothing of a connection that has ended.
    fn forget(&self, device: DeviceId, ended: &Connection) {
        let mut open = self.open();
        if let Some(links) = open.get_mut(&device) {
            links.retain(|link| link.connection.stable_id() != ended.stable_id());
            if links.is_empty() {
                open.remove(&device);
            }
        }
        let mut dialling = self.dialling.lock().unwrap_or_else(PoisonError::into_inner);
        dialling.retain(|_, turn| Arc::strong_count(turn) > 1);
    }

    /// The next connect dials anew, though a connection is open: nothing comes over it.
    pub fn abandon(&self, device: DeviceId) {
        self.open().remove(&device);
    }

    /// Room for one more stream to serve, as long as it is held.
    pub fn place_to_serve(&self) -> Option<OwnedSemaphorePermit> {
        self.serving.clone().try_acquire_owned().ok()
    }

    /// A device belongs to this member, as its certificate says.
    pub fn note_member(&self, device: DeviceId, account: AccountId) {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).insert(device, account);
    }

    /// Closes the connections that others made to an address that is not ours any more: nothing can be sent on them.
    /// Returns whose they were.
    pub fn drop_stranded(&self, addresses: &[IpAddr]) -> Vec<DeviceId> {
        let mut stranded = Vec::new();
        for (device, links) in &*self.open() {
            for link in links.iter().filter(|link| link.is_alive()) {
                let bound_to = link.connection.local_ip().map(|ip| ip.to_canonical());
                if bound_to.is_some_and(|ip| !addresses.contains(&ip)) {
                    net::close(&link.connection, Code::Unavailable);
                    stranded.push(*device);
                }
            }
        }
        stranded.dedup();
        stranded
    }

    /// Makes sure of the connections that this device dialled, after a change of its network: where the other end's NAT
    /// does not let it in from a new address, the two are introduced again.
    pub fn confirm_dialled(&self, core: &Arc<Core>) {
        for (device, links) in &*self.open() {
            for link in links.iter().filter(|link| link.made.dialled_here && link.is_alive()) {
                let (core, device, connection) = (core.clone(), *device, link.connection.clone());
                self.tasks.spawn(async move {
                    if close_if_dead(core.clone(), connection).await {
                        reach::meet_again(&core, device);
                    }
                });
            }
        }
    }

    /// The member that a device belongs to, as its certificate said.
    pub fn member_of(&self, device: DeviceId) -> Option<AccountId> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).get(&device).copied()
    }

    /// A connection to a device: an open one, or the first way that works.
    pub async fn connect(&self, core: &Arc<Core>, source: &PeerSource) -> Result<Connection, PeerError> {
        let turn = {
            let mut dialling = self.dialling.lock().unwrap_or_else(PoisonError::into_inner);
            dialling.entry(source.device).or_default().clone()
        };
        let _turn = turn.lock().await;
        let online = core.session.newest().ok_or(PeerError::SignedOut)?;
        if !core.session.reaches_members() {
            return Err(PeerError::UdpBlocked);
        }
        let reach = async {
            if source.addresses.is_empty() {
                return Err(PeerError::UdpBlockedThere);
            }
            reach::reach(core, &online, source).await
        };
        tokio::select! {
            biased;
            // It may be the other side that gets through.
            connection = self.arrival(core, source.device) => Ok(connection),
            reached = reach => reached,
        }
    }
}

/// How a connection runs, by where it leads.
pub fn path_of(connection: &Connection, introduced: bool) -> PathKind {
    let ip = connection.remote_address().ip().to_canonical();
    let on_link = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    if is_local(ip) || on_link {
        PathKind::Lan
    } else if introduced {
        PathKind::Punched
    } else {
        PathKind::Direct
    }
}

/// Closes the spare one of two connections of a pair, once nothing has run on it for a while.
async fn close_when_spare(core: Arc<Core>, connection: Connection, device: DeviceId) {
    let streamed = || {
        let stats = connection.stats();
        stats.frame_rx.stream + stats.frame_tx.stream
    };
    let mut before = streamed();
    loop {
        tokio::select! {
            () = sleep(SPARE_IDLE) => {}
            _ = connection.closed() => return,
            () = core.stop.cancelled() => return,
        }
        let used = core.peers.live(&core, device).map(|live| live.stable_id());
        if used == Some(connection.stable_id()) {
            return;
        }
        let now = streamed();
        if now == before {
            return connection.close(0u32.into(), b"spare");
        }
        before = now;
    }
}

/// Closes a connection that may be dead, unless its other end answers: what waits for something on it goes on over
/// another one. Says whether it did.
async fn close_if_dead(core: Arc<Core>, connection: Connection) -> bool {
    let before = connection.stats().udp_rx.datagrams;
    let ask = async {
        // A stream that is reset at once asks for nothing, but the other end confirms that it came.
        if let Ok((send, _recv)) = connection.open_bi().await {
            Outgoing::new(send).reset(Code::Cancelled);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = sleep(ALIVE_WAIT.max(connection.rtt() * 3)) => {}
        () = ask => {}
        _ = connection.closed() => return false,
        () = core.stop.cancelled() => return false,
    }
    let is_silent = connection.stats().udp_rx.datagrams == before;
    if is_silent {
        net::close(&connection, Code::Unavailable);
    }
    is_silent
}

/// Opens a stream on a connection to a device, with its first frame.
pub async fn open(connection: &Connection, first: &Open) -> Result<(Outgoing, RecvStream), PeerError> {
    let lost = |error: &dyn std::fmt::Display| PeerError::Unreachable(error.to_string());
    let (send, recv) = connection.open_bi().await.map_err(|error| lost(&error))?;
    let mut send = Outgoing::new(send);
    frame::send(&mut send, first, PEER_FRAME_BYTES_MAX).await.map_err(|error| lost(&error))?;
    Ok((send, recv))
}

/// Asks on a connection to a device what it has of a blob.
pub async fn watch(connection: &Connection, watch: Watch) -> Result<RecvStream, PeerError> {
    let (send, recv) = open(connection, &Open::Watch(watch)).await?;
    send.finish();
    Ok(recv)
}

/// Accepts connections of members until the engine stops.
pub async fn accept(core: Arc<Core>) {
    let tasks = core.peers.tasks.clone();
    let connections = Arc::new(Semaphore::new(PEER_CONNECTIONS_MAX));
    let mut loops = FuturesUnordered::new();
    for endpoint in core.endpoints.all() {
        let (tasks, connections, core, endpoint) = (tasks.clone(), connections.clone(), core.clone(), endpoint.clone());
        loops.push(async move {
            while let Some(incoming) = endpoint.accept().await {
                let Ok(permit) = connections.clone().try_acquire_owned() else {
                    incoming.refuse();
                    continue;
                };
                // A forged sender address costs us nothing before it has answered.
                if !incoming.remote_address_validated() && connections.available_permits() < PEER_CONNECTIONS_MAX / 2 {
                    if let Err(error) = incoming.retry() {
                        tracing::debug!(%error, "a newcomer could not be asked to retry");
                    }
                    continue;
                }
                let core = core.clone();
                tasks.spawn(async move {
                    let _permit = permit;
                    converse_until_stop(core, incoming).await;
                });
            }
        });
    }
    tokio::select! {
        () = async { while loops.next().await.is_some() {} } => {}
        () = core.stop.cancelled() => {}
    }
    tasks.close();
    tasks.wait().await;
}

/// Accepts a connection on a socket of a second attempt.
pub(super) fn spawn_converse(core: &Arc<Core>, incoming: Incoming) {
    core.peers.tasks.spawn(converse_until_stop(core.clone(), incoming));
}

async fn converse_until_stop(core: Arc<Core>, incoming: Incoming) {
    let stop = core.stop.clone();
    tokio::select! {
        () = converse(core, incoming) => {}
        () = stop.cancelled() => {}
    }
}

async fn converse(core: Arc<Core>, incoming: Incoming) {
    let connection = match timeout(HELLO, async { incoming.await }).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::debug!(%error, "a handshake failed"),
        Err(_) => return tracing::debug!("a handshake took too long"),
    };
    let Some((who, device)) = net::peer_of(&connection) else {
        return net::close(&connection, Code::Unauthenticated);
    };
    if core.peers.part_if_blocked(&connection) {
        return;
    }
    let greeted = timeout(HELLO, greet(&core, &connection)).await;
    if !matches!(greeted, Ok(Some(()))) {
        return net::close(&connection, Code::BadRequest);
    }
    core.peers.note_member(device, AccountId(who.account));
    core.peers.adopt(&core, device, &connection, false);
    // Who was relayed until now goes on over this.
    core.relays.look_again(Some(AccountId(who.account)));
    serve_streams(core, connection, device).await;
}

/// Serves the streams that a member opens, until its connection or the engine ends.
async fn serve_streams(core: Arc<Core>, connection: Connection, device: DeviceId) {
    let serving = TaskTracker::new();
    // Who the other end is was checked when the connection was made.
    let Some((who, _)) = net::peer_of(&connection) else { return };
    let party = Party::Member(AccountId(who.account));
    let pace = core.limits.pace(Direction::Up, party, path_of(&connection, false) == PathKind::Lan);
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept_bi() => accepted,
            () = core.stop.cancelled() => break,
        };
        let (send, mut recv) = match accepted {
            Ok(streams) => streams,
            Err(error) => {
                tracing::debug!(%device, %error, "a member's connection ended");
                break;
            }
        };
        let send = Outgoing::new(send);
        let Some(permit) = core.peers.place_to_serve() else {
            send.reset(Code::RateLimited);
            continue;
        };
        let (core, pace, connection) = (core.clone(), pace.clone(), connection.clone());
        serving.spawn(async move {
            let opened = frame::receive_within(&mut recv, PEER_FRAME_BYTES_MAX, REQUEST_READ).await;
            match (opened, core.session.newest()) {
                (Ok(Open::Fetch), Some(online)) => {
                    let _permit = permit;
                    let gate = online.gate(device, core.device());
                    let served = tokio::select! {
                        served = serve_paced(send, recv, gate, core.catalog.clone(), &*pace) => served,
                        () = core.stop.cancelled() => return,
                    };
                    if let Err(error) = served {
                        tracing::debug!(%device, %error, "a fetch ended early");
                    }
                }
                (Ok(Open::Watch(watched)), Some(online)) => {
                    // It costs next to nothing, and may last as long as a download: no place of those that are served.
                    drop(permit);
                    let gate = online.gate(device, core.device());
                    tokio::select! {
                        () = watch::tell(send, &gate, core.catalog.clone(), watched) => {}
                        () = core.stop.cancelled() => {}
                    }
                }
                (Ok(Open::Channel(opening)), Some(_)) => {
                    // As a watch: it lasts as long as two people talk.
                    drop(permit);
                    let path = core.peers.path_kind(device, &connection);
                    let guest = Guest { account: AccountId(who.account), device, path };
                    channel::knock(&core, guest, send.into(), recv.into(), opening).await;
                }
                // Grants cannot be checked while nobody is signed in.
                (Ok(Open::Fetch | Open::Watch(_) | Open::Channel(_)), None) => send.reset(Code::Unavailable),
                (Ok(Open::Hello(_) | Open::Relayed { .. }), _) => send.reset(Code::BadRequest),
                (Err(error), _) => {
                    tracing::debug!(%device, %error, "a stream without a meaning");
                    send.reset(Code::BadRequest);
                }
            }
        });
    }
    serving.close();
    serving.wait().await;
    core.peers.forget(device, &connection);
}

/// The dialer's first stream.
async fn greet(core: &Core, connection: &Connection) -> Option<()> {
    let (send, mut recv) = connection.accept_bi().await.ok()?;
    let mut send = Outgoing::new(send);
    let open: Open = frame::receive(&mut recv, PEER_FRAME_BYTES_MAX).await.ok()?;
    let Open::Hello(hello) = open else { return None };
    let answer = if hello.expects == core.device() {
        HelloAnswer::Accepted { program: PROGRAM.to_owned() }
    } else {
        HelloAnswer::Refused(Refusal::new(Code::NotFound, "this is another device"))
    };
    let accepted = matches!(answer, HelloAnswer::Accepted { .. });
    frame::send(&mut send, &answer, PEER_FRAME_BYTES_MAX).await.ok()?;
    send.finish();
    accepted.then_some(())
}
