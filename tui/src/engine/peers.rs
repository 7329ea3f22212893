//! Connections between this device and others: dialling, accepting, one connection for each device.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use quinn::{Connection, Incoming};
use shared::{
    id::{AccountId, DeviceId},
    limits::{
        HELLO, PEER_CONNECTIONS_MAX, PEER_DIAL, PEER_DIAL_STAGGER, PEER_FRAME_BYTES_MAX, REQUEST_READ,
        SERVED_STREAMS_MAX,
    },
    net::{self, Outgoing, endpoint, frame},
    transfer::{
        lane::Lane,
        serve::{Gate, serve},
    },
    wire::{
        Code, PEER_ALPN, PEER_NAME, Refusal,
        peer::{Hello, HelloAnswer, Open},
        tracker::PeerSource,
    },
};
use tokio::{
    sync::{Mutex as AsyncMutex, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

use super::{
    api::PathKind,
    core::{Core, now_ms},
    session::{Online, PROGRAM},
};

/// The open connections to other devices.
#[derive(Debug)]
pub struct Peers {
    open: Mutex<HashMap<DeviceId, Connection>>,
    /// One dial to a device at a time.
    dialling: Mutex<HashMap<DeviceId, Arc<AsyncMutex<()>>>>,
    /// Which member a device that fetches from here belongs to.
    members: Mutex<HashMap<DeviceId, AccountId>>,
    serving: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Default for Peers {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            dialling: Mutex::default(),
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
    /// Somebody else answered.
    #[error("another device answered at its address")]
    OtherDevice,
    /// It does not want to talk.
    #[error("refused: {0}")]
    Refused(String),
    /// Nobody but the tracker can be reached from here.
    #[error("cannot be reached: UDP is blocked here")]
    UdpBlocked,
    /// This device has no certificate now.
    #[error("this device is not signed in")]
    SignedOut,
}

impl Peers {
    fn open(&self) -> MutexGuard<'_, HashMap<DeviceId, Connection>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn live(&self, device: DeviceId) -> Option<Connection> {
        self.open().get(&device).filter(|connection| connection.close_reason().is_none()).cloned()
    }

    /// Remembers nothing of a connection that has ended.
    fn forget(&self, device: DeviceId, ended: &Connection) {
        let mut open = self.open();
        if open.get(&device).is_some_and(|connection| connection.stable_id() == ended.stable_id()) {
            open.remove(&device);
        }
        let mut dialling = self.dialling.lock().unwrap_or_else(PoisonError::into_inner);
        dialling.retain(|_, turn| Arc::strong_count(turn) > 1);
    }

    /// The next connect dials anew, though a connection is open: nothing comes over it.
    pub fn abandon(&self, device: DeviceId) {
        self.open().remove(&device);
    }

    /// The member that a device belongs to, as its certificate said.
    pub fn member_of(&self, device: DeviceId) -> Option<AccountId> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).get(&device).copied()
    }

    /// A connection to a device: an open one, or the first address that answers.
    pub async fn connect(&self, core: &Arc<Core>, source: &PeerSource) -> Result<Connection, PeerError> {
        let turn = {
            let mut dialling = self.dialling.lock().unwrap_or_else(PoisonError::into_inner);
            dialling.entry(source.device).or_default().clone()
        };
        let _turn = turn.lock().await;
        if let Some(connection) = self.live(source.device) {
            return Ok(connection);
        }
        let online = core.session.newest().ok_or(PeerError::SignedOut)?;
        if !core.session.reaches_members() {
            return Err(PeerError::UdpBlocked);
        }
        let mut attempts = FuturesUnordered::new();
        for (index, address) in reasonable(&source.addresses, online.observed).into_iter().enumerate() {
            let online = online.clone();
            attempts.push(async move {
                // The next address joins only when the ones before it take their time.
                sleep(PEER_DIAL_STAGGER * u32::try_from(index).unwrap_or(0)).await;
                let result = timeout(PEER_DIAL, dial(core, &online, address, source.device)).await;
                result.unwrap_or_else(|_| Err(PeerError::Unreachable(address.to_string())))
            });
        }
        let mut error = PeerError::Unreachable("any address".to_owned());
        while let Some(result) = attempts.next().await {
            match result {
                Ok(connection) => {
                    self.open().insert(source.device, connection.clone());
                    // The other side may use the same connection for what it wants from here.
                    self.tasks.spawn(serve_streams(core.clone(), connection.clone(), source.device));
                    return Ok(connection);
                }
                Err(failed) => error = failed,
            }
        }
        Err(error)
    }
}

/// How a connection runs, for people.
pub fn path_kind(connection: &Connection) -> PathKind {
    let ip = connection.remote_address().ip().to_canonical();
    let local = match ip {
        std::net::IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        std::net::IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    if local { PathKind::Lan } else { PathKind::Direct }
}

/// The first address is the one that the tracker sees; of those that the device claims itself only local ones are
/// dialled, and only when it comes from the same place as we do, so that nobody is aimed at a stranger.
fn reasonable(addresses: &[SocketAddr], own_observed: SocketAddr) -> Vec<SocketAddr> {
    let Some((observed, claimed)) = addresses.split_first() else { return Vec::new() };
    let same_place = observed.ip() == own_observed.ip();
    let claimed = claimed.iter().filter(|address| {
        let local = match address.ip() {
            std::net::IpAddr::V4(ip) => ip.is_private() || ip.is_loopback(),
            std::net::IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback(),
        };
        same_place && local && *address != observed
    });
    std::iter::once(observed).chain(claimed).copied().collect()
}

async fn dial(core: &Core, online: &Online, address: SocketAddr, device: DeviceId) -> Result<Connection, PeerError> {
    let unreachable = |error: &dyn std::fmt::Display| {
        tracing::debug!(%address, %device, %error, "a device was not reached");
        PeerError::Unreachable(address.to_string())
    };
    let tls = online.credentials.client_config(PEER_ALPN).map_err(|error| unreachable(&error))?;
    let config = endpoint::peer_client(tls).map_err(|error| unreachable(&error))?;
    let endpoint = core.endpoints.for_address(address).ok_or_else(|| unreachable(&"no socket of that family"))?;
    let connecting = endpoint.connect_with(config, address, PEER_NAME).map_err(|error| unreachable(&error))?;
    let connection = connecting.await.map_err(|error| unreachable(&error))?;
    if net::peer_of(&connection).is_none_or(|(_, reached)| reached != device) {
        net::close(&connection, Code::BadRequest);
        return Err(PeerError::OtherDevice);
    }
    // Only its answer tells that it has checked our certificate.
    let (send, mut recv) = connection.open_bi().await.map_err(|error| unreachable(&error))?;
    let mut send = Outgoing::new(send);
    let hello = Open::Hello(Hello { program: PROGRAM.to_owned(), expects: device });
    frame::send(&mut send, &hello, PEER_FRAME_BYTES_MAX).await.map_err(|error| unreachable(&error))?;
    send.finish();
    let answer = frame::receive_within(&mut recv, PEER_FRAME_BYTES_MAX, HELLO).await;
    match answer.map_err(|error| unreachable(&error))? {
        HelloAnswer::Accepted { .. } => Ok(connection),
        HelloAnswer::Refused(refusal) => Err(PeerError::Refused(shared::show::show_line(&refusal.detail, 200))),
    }
}

/// Opens a fetch stream on a connection to a device.
pub async fn lane(connection: &Connection) -> Result<Lane, PeerError> {
    let lost = |error: &dyn std::fmt::Display| PeerError::Unreachable(error.to_string());
    let (send, recv) = connection.open_bi().await.map_err(|error| lost(&error))?;
    let mut send = Outgoing::new(send);
    frame::send(&mut send, &Open::Fetch, PEER_FRAME_BYTES_MAX).await.map_err(|error| lost(&error))?;
    Ok(Lane::start(send, recv))
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
                    let stop = core.stop.clone();
                    tokio::select! {
                        () = converse(core, incoming) => {}
                        () = stop.cancelled() => {}
                    }
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

async fn converse(core: Arc<Core>, incoming: Incoming) {
    let connection = match timeout(HELLO, async { incoming.await }).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::debug!(%error, "a handshake failed"),
        Err(_) => return tracing::debug!("a handshake took too long"),
    };
    let Some((who, device)) = net::peer_of(&connection) else {
        return net::close(&connection, Code::Unauthenticated);
    };
    let greeted = timeout(HELLO, greet(&core, &connection)).await;
    if !matches!(greeted, Ok(Some(()))) {
        return net::close(&connection, Code::BadRequest);
    }
    core.peers.members.lock().unwrap_or_else(PoisonError::into_inner).insert(device, AccountId(who.account));
    core.peers.open().insert(device, connection.clone());
    serve_streams(core, connection, device).await;
}

/// Serves the streams that a member opens, until its connection or the engine ends.
async fn serve_streams(core: Arc<Core>, connection: Connection, device: DeviceId) {
    let serving = TaskTracker::new();
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
        let Ok(permit) = core.peers.serving.clone().try_acquire_owned() else {
            send.reset(Code::RateLimited);
            continue;
        };
        let core = core.clone();
        serving.spawn(async move {
            let _permit = permit;
            let opened = frame::receive_within(&mut recv, PEER_FRAME_BYTES_MAX, REQUEST_READ).await;
            match (opened, core.session.newest()) {
                (Ok(Open::Fetch), Some(online)) => {
                    let gate = Gate::Grants { device, key: online.grant_key, now_ms, ahead_ms: online.clock_ahead_ms };
                    let served = tokio::select! {
                        served = serve(send, recv, gate, core.catalog.clone()) => served,
                        () = core.stop.cancelled() => return,
                    };
                    if let Err(error) = served {
                        tracing::debug!(%device, %error, "a fetch ended early");
                    }
                }
                // Grants cannot be checked while nobody is signed in.
                (Ok(Open::Fetch), None) => send.reset(Code::Unavailable),
                (Ok(Open::Hello(_)), _) => send.reset(Code::BadRequest),
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
