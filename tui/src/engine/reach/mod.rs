//! How another device is reached: dialled where it is seen, else introduced by the tracker, so that both NATs open at
//! the same moment; from the usual sockets first, then once from fresh ones.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use crab_nat::PortMapping;
use quinn::{Connection, Endpoint};
use shared::{
    id::DeviceId,
    limits::{
        ADDRESSES_MAX, INTRODUCTION_START_MAX, INTRODUCTIONS_AT_ONCE_MAX, PEER_DIAL_STAGGER, PROBE_WAIT, PUNCH_BYTES,
        PUNCH_LIFE, REQUEST_READ,
    },
    reach::canonical,
    wire::{
        Code,
        reach::{Attempt, Introduction, Mapping, Rendezvous, Role, Way},
        tracker::{Answer, PeerSource, Request},
    },
};
use tokio::{
    sync::{Mutex as AsyncMutex, Semaphore, watch},
    time::{sleep, sleep_until, timeout},
};

pub mod mapped;
pub mod order;
pub mod probe;
pub mod streams;

use super::{
    api::{Failure, FailureKind},
    core::Core,
    endpoints::Door,
    peers::{self, PeerError},
    session::{self, Online},
};
use order::Verdicts;

/// What this engine knows about reaching others.
#[derive(Debug)]
pub struct Reach {
    seen: Mutex<Seen>,
    verdicts: Mutex<Verdicts>,
    /// When this device was introduced to others lately.
    introduced: Mutex<HashMap<DeviceId, Instant>>,
    places: Semaphore,
    /// The port that the router opened for this device.
    mapped: AsyncMutex<Option<PortMapping>>,
    /// The tracker's second port; 0: unknown.
    probe_port: AtomicU16,
    /// Whether the tracker has had its look at this device, as far as it will.
    looked_at: watch::Sender<bool>,
}

/// How this device is seen from outside.
#[derive(Debug, Clone, Default)]
struct Seen {
    addresses: Vec<SocketAddr>,
    mapping: Option<Mapping>,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            seen: Mutex::default(),
            verdicts: Mutex::default(),
            introduced: Mutex::default(),
            places: Semaphore::new(INTRODUCTIONS_AT_ONCE_MAX),
            mapped: AsyncMutex::default(),
            probe_port: AtomicU16::new(0),
            looked_at: watch::Sender::new(false),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reach {
    /// The tracker saw this device at an address, and concluded how its NAT maps.
    pub fn note_seen(&self, address: SocketAddr, mapping: Option<Mapping>) {
        let address = canonical(address);
        let mut seen = locked(&self.seen);
        seen.addresses.retain(|other| other.is_ipv4() != address.is_ipv4());
        seen.addresses.push(address);
        seen.mapping = mapping.or(seen.mapping);
    }

    /// The tracker's second port.
    pub fn note_probe_port(&self, port: Option<u16>) {
        self.probe_port.store(port.unwrap_or(0), Ordering::Relaxed);
    }

    /// The tracker has yet to look at this device, or has looked.
    pub fn looked_at(&self, yes: bool) {
        self.looked_at.send_replace(yes);
    }

    /// Waits until the tracker has looked at this device: before, it gives the roles by guess.
    async fn wait_until_looked_at(&self) {
        let mut looked_at = self.looked_at.subscribe();
        if timeout(PROBE_WAIT, looked_at.wait_for(|yes| *yes)).await.is_err() {
            tracing::debug!("the tracker has not looked at this device yet");
        }
    }

    /// This device is on another network now.
    pub fn moved(&self) {
        *locked(&self.seen) = Seen::default();
        locked(&self.verdicts).clear();
        self.looked_at(false);
    }

    /// The IPv4 address that this device is seen at.
    fn seen_over_ipv4(&self) -> Option<SocketAddr> {
        locked(&self.seen).addresses.iter().copied().find(SocketAddr::is_ipv4)
    }

    /// How this device's NAT maps.
    pub fn mapping(&self) -> Mapping {
        locked(&self.seen).mapping.unwrap_or(Mapping::Unknown)
    }

    /// The addresses that this device is seen at.
    fn own_seen(&self, online: &Online) -> Vec<IpAddr> {
        let seen = locked(&self.seen);
        if seen.addresses.is_empty() {
            return vec![online.observed.ip()];
        }
        seen.addresses.iter().map(SocketAddr::ip).collect()
    }

    /// Whether what is made now between this device and another one owes to an introduction. A dial that began before
    /// it gets through by it too, and may be done after one that followed it.
    pub fn is_introduced(&self, device: DeviceId) -> bool {
        locked(&self.introduced).get(&device).is_some_and(|at| at.elapsed() < INTRODUCTION_LIFE)
    }

    fn note_introduced(&self, device: DeviceId) {
        let mut introduced = locked(&self.introduced);
        introduced.retain(|_, at| at.elapsed() < INTRODUCTION_LIFE);
        introduced.insert(device, Instant::now());
    }
}

/// How long two devices may take to meet after they were introduced.
const INTRODUCTION_LIFE: Duration = INTRODUCTION_START_MAX.saturating_add(PUNCH_LIFE);

/// Reaches a device by the first way that works.
pub async fn reach(core: &Arc<Core>, online: &Arc<Online>, source: &PeerSource) -> Result<Connection, PeerError> {
    let own_seen = core.reach.own_seen(online);
    let verdict = locked(&core.reach.verdicts)
        .against(source.device, &source.addresses, &own_seen, Instant::now())
        .map(str::to_owned);
    if let Some(why) = verdict {
        return Err(PeerError::Apart(why));
    }
    let addresses = order::dialled(&source.addresses, &own_seen);
    let patience = order::introduce_after(online.connection.rtt(), addresses.len());
    let mut direct = std::pin::pin!(peers::dial_any(core, online, source.device, &addresses, PEER_DIAL_STAGGER, None));
    let failed = match timeout(patience, &mut direct).await {
        Ok(Ok(connection)) => return Ok(connection),
        Ok(Err(refused @ PeerError::Refused(_))) => return Err(refused),
        Ok(Err(failed)) => Some(failed),
        Err(_) => None,
    };
    let mut introduced = std::pin::pin!(introduced(core, source.device));
    let missed = match failed {
        Some(failed) => introduced.await.map_err(|missed| (missed, Some(failed))),
        None => tokio::select! {
            reached = &mut introduced => reached.map_err(|missed| (missed, None)),
            dialled = &mut direct => match dialled {
                Ok(connection) => Ok(connection),
                Err(failed) => introduced.await.map_err(|missed| (missed, Some(failed))),
            },
        },
    };
    match missed {
        Ok(connection) => Ok(connection),
        Err((Missed::Apart { why, proven }, _)) => {
            if proven {
                let (device, addresses) = (source.device, source.addresses.clone());
                locked(&core.reach.verdicts).note(device, addresses, own_seen, why.clone(), Instant::now());
            }
            Err(PeerError::Apart(why))
        }
        Err((Missed::NotIntroduced, Some(failed))) => Err(failed),
        Err((Missed::NotIntroduced, None)) => direct.await,
    }
}

/// Why an introduction came to nothing.
#[derive(Debug)]
enum Missed {
    /// The tracker did not introduce: it is away, the other device is, or there were too many.
    NotIntroduced,
    /// They did not meet. `proven`: both were there, or theory denies it.
    Apart { why: String, proven: bool },
}

/// Asks for an introduction, and for another one from fresh sockets when the first comes to nothing.
async fn introduced(core: &Arc<Core>, device: DeviceId) -> Result<Connection, Missed> {
    let mut why = String::new();
    core.reach.wait_until_looked_at().await;
    for attempt in [Attempt::First, Attempt::FreshSockets] {
        let Some(online) = core.session.current() else { return Err(Missed::NotIntroduced) };
        let introduction = match ask(&online, device, attempt).await {
            Ok(introduction) => introduction,
            // Theory denies it, whatever else is tried.
            Err(failure) if failure.code == Code::Unavailable.name() => {
                return Err(Missed::Apart { why: failure.message, proven: true });
            }
            Err(failure) => {
                tracing::debug!(%device, ?attempt, %failure, "not introduced");
                let first = attempt == Attempt::First;
                return Err(if first { Missed::NotIntroduced } else { Missed::Apart { why, proven: false } });
            }
        };
        match follow(core, &online, introduction).await {
            Ok(connection) => return Ok(connection),
            Err(missed) => {
                tracing::debug!(%device, ?attempt, ?missed, "an introduction came to nothing");
                if let Missed::Apart { proven: true, .. } = missed {
                    return Err(missed);
                }
                if let Missed::Apart { why: newer, .. } = missed {
                    why = newer;
                }
            }
        }
    }
    Err(Missed::Apart { why, proven: false })
}

async fn ask(online: &Online, device: DeviceId, attempt: Attempt) -> Result<Introduction, Failure> {
    match timeout(REQUEST_READ, session::ask(&online.connection, &Request::Introduce { device, attempt })).await {
        Ok(Ok(Answer::Introduced(introduction))) if introduction.device == device => Ok(introduction),
        Ok(Ok(_)) => Err(super::failure::bad_answer()),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(Failure::new(FailureKind::Timeout, "tracker_timeout", "the tracker does not answer", "")),
    }
}

/// Another device asked to meet this one.
pub fn answer(core: &Arc<Core>, introduction: Introduction) {
    let core = core.clone();
    core.clone().peers.spawn(async move {
        let Ok(_place) = core.reach.places.try_acquire() else {
            return tracing::debug!(device = %introduction.device, "too many introductions at a time");
        };
        let Some(online) = core.session.current() else { return };
        let device = introduction.device;
        tokio::select! {
            met = follow(&core, &online, introduction) => match met {
                Ok(_) => tracing::debug!(%device, "met a device that asked for it"),
                Err(missed) => tracing::debug!(%device, ?missed, "an introduction came to nothing"),
            },
            () = core.stop.cancelled() => {}
        }
    });
}

/// A device that was connected to this one cannot know where it has gone: it is looked up, from here.
pub fn meet_again(core: &Arc<Core>, device: DeviceId) {
    let core = core.clone();
    core.clone().peers.spawn(async move {
        let Ok(_place) = core.reach.places.try_acquire() else { return };
        tokio::select! {
            met = introduced(&core, device) => match met {
                Ok(_) => tracing::debug!(%device, "met a device again after a change of the network"),
                Err(missed) => tracing::debug!(%device, ?missed, "not met again after a change of the network"),
            },
            () = core.stop.cancelled() => {}
        }
    });
}

/// Does this device's part of an introduction.
async fn follow(core: &Arc<Core>, online: &Arc<Online>, introduction: Introduction) -> Result<Connection, Missed> {
    let device = introduction.device;
    core.reach.note_introduced(device);
    let token = match introduction.way {
        Way::Here(rendezvous) => return meet(core, online, device, &rendezvous, None).await,
        Way::FreshSockets { token } => token,
    };
    let apart = |why: &dyn std::fmt::Display| Missed::Apart { why: why.to_string(), proven: false };
    let fresh = core.endpoints.fresh(online.connection.remote_address()).map_err(|error| apart(&error))?;
    let port = core.reach.probe_port.load(Ordering::Relaxed);
    let rendezvous = probe::meet(online, fresh.endpoint(), port, token).await.map_err(|failure| apart(&failure))?;
    let met = meet(core, online, device, &rendezvous, Some(&fresh)).await;
    // What came by it stays; nothing new is let in.
    fresh.endpoint().set_server_config(None);
    met.map_err(|missed| match missed {
        // The other device was there, and it did not work from any socket.
        Missed::Apart { why, .. } => Missed::Apart { why, proven: true },
        Missed::NotIntroduced => missed,
    })
}

/// Dials or opens the NAT at the common moment, until a connection with the device is there.
async fn meet(
    core: &Arc<Core>,
    online: &Arc<Online>,
    device: DeviceId,
    rendezvous: &Rendezvous,
    from: Option<&Door>,
) -> Result<Connection, Missed> {
    // The other side asks because what there was of connections does not work for it.
    let since = Instant::now();
    let candidates = &rendezvous.candidates[..rendezvous.candidates.len().min(ADDRESSES_MAX)];
    sleep(Duration::from_millis(rendezvous.start_in_ms.into()).min(INTRODUCTION_START_MAX)).await;
    let part = async {
        match rendezvous.role {
            Role::Dial => {
                let endpoint = from.map(Door::endpoint);
                let dialled = peers::dial_any(core, online, device, candidates, Duration::ZERO, endpoint);
                if let Ok(connection) = dialled.await {
                    return connection;
                }
            }
            Role::Await => punch(core, candidates, from).await,
        }
        std::future::pending().await
    };
    let accepting = async {
        match from.map(Door::endpoint) {
            Some(endpoint) => accept(core, endpoint).await,
            None => std::future::pending().await,
        }
    };
    let met = async {
        tokio::select! {
            connection = core.peers.arrival_after(device, since) => connection,
            connection = part => connection,
            () = accepting => std::future::pending().await,
        }
    };
    let missed =
        || Missed::Apart { why: "no packet gets through between its network and this one".to_owned(), proven: false };
    timeout(PUNCH_LIFE, met).await.map_err(|_| missed())
}

async fn accept(core: &Arc<Core>, endpoint: &Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        peers::spawn_converse(core, incoming);
    }
}

/// Sends packets that nobody answers, so that this side's NAT lets in what comes from these addresses.
async fn punch(core: &Core, candidates: &[SocketAddr], from: Option<&Door>) {
    let start = tokio::time::Instant::now();
    for at in order::punches() {
        sleep_until(start + at).await;
        for candidate in candidates {
            let door = from.or_else(|| core.endpoints.door(*candidate));
            if let Some(door) = door
                && let Err(error) = door.send(&[0; PUNCH_BYTES], *candidate)
            {
                tracing::trace!(%candidate, %error, "a packet to open the NAT was not sent");
            }
        }
    }
}
