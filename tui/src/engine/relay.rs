//! Relayed streams: through the tracker to a device that cannot be reached otherwise, sealed so that the tracker cannot
//! read them; and the serving of those that come in.
//!
//! Also remembers which devices are reached that way, and when a direct connection to each is worth another try.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use quinn::{Connection, RecvStream, SendStream};
use shared::{
    id::{AccountId, BlobHash, DeviceId},
    limits::{
        DIRECT_AGAIN_CHANGED, DIRECT_AGAIN_MAX, DIRECT_AGAIN_MIN, PEER_FRAME_BYTES_MAX, RELAY_ASK_AGAIN, RELAY_OPEN,
        REPLY_BYTES_MAX, REQUEST_BYTES_MAX, REQUEST_READ,
    },
    net::{
        Outgoing, Receiving, Sending, frame,
        sealed::{self, Duplex, SealError},
    },
    show::show_line,
    transfer::{
        content::{self, Content, Held},
        serve::serve_paced,
    },
    wire::{
        Code, PEER_ALPN, Refusal,
        channel::OpenChannel,
        peer::{Open, RelayedAnswer, Want},
        tracker::{Answer, PeerSource, Request},
    },
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit},
    time::timeout,
};

use super::{
    api::{Direction, PathKind},
    catalog::Catalog,
    channel::{self, Guest},
    core::Core,
    limits::Party,
    session::Online,
};

/// What is known of relays.
#[derive(Debug, Default)]
pub struct Relays {
    ways: Mutex<HashMap<DeviceId, Way>>,
    declined: Mutex<Option<Declined>>,
    changed: Notify,
}

/// A device that is reached by relay.
#[derive(Debug)]
struct Way {
    account: AccountId,
    addresses: Vec<SocketAddr>,
    again: Again,
}

/// When a direct connection is tried again. Pure: time comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Again {
    tried: Instant,
    next: Instant,
    pause: Duration,
}

impl Again {
    /// One try has just failed.
    fn after(now: Instant) -> Self {
        Self { tried: now, next: now + DIRECT_AGAIN_MIN, pause: DIRECT_AGAIN_MIN }
    }

    /// One more try begins; the pauses grow.
    fn try_now(&mut self, now: Instant) {
        self.pause = (self.pause * 2).min(DIRECT_AGAIN_MAX);
        (self.tried, self.next) = (now, now + self.pause);
    }

    /// Something is different: a try is worth it soon.
    fn changed(&mut self, now: Instant) {
        self.pause = DIRECT_AGAIN_MIN;
        self.next = self.next.min(now.max(self.tried + DIRECT_AGAIN_CHANGED));
    }
}

/// The tracker does not relay, as it said on this connection.
#[derive(Debug)]
struct Declined {
    connection: usize,
    until: Instant,
    why: String,
}

/// Why there is no relayed stream.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Relays need the tracker.
    #[error("the tracker is not connected")]
    Offline,
    /// The tracker said no.
    #[error("{0}")]
    Declined(String),
    /// The tracker did not answer as it should.
    #[error("the tracker did not answer: {0}")]
    Lost(String),
    /// The other device did not.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl Relays {
    fn ways(&self) -> MutexGuard<'_, HashMap<DeviceId, Way>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a direct connection to a device failed so lately that a relay comes first.
    pub fn is_relayed(&self, device: DeviceId, now: Instant) -> bool {
        self.ways().get(&device).is_some_and(|way| way.again.next > now)
    }

    /// A device is not reached directly now.
    pub fn note_relayed(&self, peer: &PeerSource, now: Instant) {
        let mut ways = self.ways();
        // Nobody tries any more what is long overdue.
        ways.retain(|_, way| way.again.next + DIRECT_AGAIN_MAX > now);
        ways.entry(peer.device).or_insert_with(|| Way {
            account: peer.account,
            addresses: peer.addresses.clone(),
            again: Again::after(now),
        });
    }

    /// A device is reached directly.
    pub fn note_direct(&self, device: DeviceId) {
        self.ways().remove(&device);
    }

    /// When a direct connection is worth a try. `None`: it is not known to need one.
    pub fn next_try(&self, device: DeviceId) -> Option<Instant> {
        self.ways().get(&device).map(|way| way.again.next)
    }

    /// Takes the next try upon oneself, if its time has come.
    pub fn begin_try(&self, device: DeviceId, now: Instant) -> bool {
        let mut ways = self.ways();
        let due = ways.get_mut(&device).filter(|way| way.again.next <= now);
        due.map(|way| way.again.try_now(now)).is_some()
    }

    /// Where these devices are now: who has moved may be reachable.
    pub fn located(&self, peers: &[PeerSource]) {
        let mut moved = false;
        {
            let mut ways = self.ways();
            for peer in peers {
                if let Some(way) = ways.get_mut(&peer.device).filter(|way| way.addresses != peer.addresses) {
                    way.addresses.clone_from(&peer.addresses);
                    way.again.changed(Instant::now());
                    moved = true;
                }
            }
        }
        if moved {
            self.changed.notify_waiters();
        }
    }

    /// A member's devices, or everybody's as seen from here, may be reachable now.
    pub fn look_again(&self, member: Option<AccountId>) {
        for way in self.ways().values_mut() {
            if member.is_none_or(|member| member == way.account) {
                way.again.changed(Instant::now());
            }
        }
        self.changed.notify_waiters();
    }

    /// Tells when a try may be due earlier than was thought, or needless.
    pub fn changes(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    fn declined(&self) -> MutexGuard<'_, Option<Declined>> {
        self.declined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the tracker said not long ago on this connection.
    pub fn known_to_decline(&self, online: &Online) -> Result<(), RelayError> {
        let declined = self.declined();
        let fresh = declined
            .as_ref()
            .filter(|declined| declined.connection == online.connection.stable_id() && declined.until > Instant::now());
        fresh.map_or(Ok(()), |declined| Err(RelayError::Declined(declined.why.clone())))
    }

    fn note_declined(&self, online: &Online, refusal: &Refusal) -> RelayError {
        let why = show_line(&refusal.detail, 200);
        // What the tracker is set up to, or does not know, will be so for a while.
        if matches!(refusal.code, Code::Forbidden | Code::Unsupported) {
            let connection = online.connection.stable_id();
            *self.declined() = Some(Declined { connection, until: Instant::now() + RELAY_ASK_AGAIN, why: why.clone() });
        }
        RelayError::Declined(why)
    }
}

/// A stream to a device, through the tracker, with its first frame.
pub async fn open(core: &Core, peer: &PeerSource, first: &Open) -> Result<(Sending, Receiving), RelayError> {
    let device = peer.device;
    let online = core.session.current().ok_or(RelayError::Offline)?;
    core.relays.known_to_decline(&online)?;
    let lost = |error: &dyn std::fmt::Display| RelayError::Lost(error.to_string());
    // The tracker waits for the other device in between.
    let asked = timeout(RELAY_OPEN * 2, ask(&online.connection, device)).await;
    let (answer, send, recv) = asked.map_err(|_| lost(&"not in time"))?.map_err(|error| lost(&error))?;
    match answer {
        Answer::Done => {}
        Answer::Refused(refusal) => return Err(core.relays.note_declined(&online, &refusal)),
        _ => return Err(lost(&"it gave another answer")),
    }
    let tls = online.credentials.client_config(PEER_ALPN).map_err(|error| lost(&error))?;
    let (mut send, recv) = sealed::dial(Duplex::new(send, recv), tls, device).await?;
    send.send(first, PEER_FRAME_BYTES_MAX).await.map_err(|error| lost(&error))?;
    Ok((send, recv))
}

async fn ask(connection: &Connection, device: DeviceId) -> Result<(Answer, Outgoing, RecvStream), String> {
    let (send, mut recv) = connection.open_bi().await.map_err(|error| error.to_string())?;
    let mut send = Outgoing::new(send);
    let request = Request::Relay { device };
    frame::send(&mut send, &request, REQUEST_BYTES_MAX).await.map_err(|error| error.to_string())?;
    let answer = frame::receive(&mut recv, REPLY_BYTES_MAX).await.map_err(|error| error.to_string())?;
    Ok((answer, send, recv))
}

/// Serves a stream that the tracker relays from a device, to its end.
pub async fn serve_relayed(core: &Arc<Core>, online: &Online, send: SendStream, recv: RecvStream, from: DeviceId) {
    let mut send = Outgoing::new(send);
    if core.peers.is_revoked(from) {
        return send.reset(Code::Unauthenticated);
    }
    let permit = core.peers.place_to_serve();
    let answer = match &permit {
        Some(_) => RelayedAnswer::Accepted,
        None => RelayedAnswer::Refused(Refusal::new(Code::RateLimited, "it serves as many as it can")),
    };
    if let Err(error) = frame::send(&mut send, &answer, PEER_FRAME_BYTES_MAX).await {
        return tracing::debug!(%from, %error, "a relayed stream was gone before it began");
    }
    let Some(permit) = permit else { return send.finish() };
    let served = tokio::select! {
        served = serve_sealed(core, online, Duplex::new(send, recv), from, permit) => served,
        () = core.stop.cancelled() => return,
    };
    if let Err(why) = served {
        tracing::debug!(%from, why, "a relayed stream ended early");
    }
}

async fn serve_sealed(
    core: &Arc<Core>,
    online: &Online,
    carrier: Duplex,
    from: DeviceId,
    permit: OwnedSemaphorePermit,
) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let tls = online.credentials.server_config(PEER_ALPN).map_err(|error| text(&error))?;
    let (send, mut recv, who) = sealed::accept(carrier, tls, from).await.map_err(|error| text(&error))?;
    core.peers.note_member(from, AccountId(who.account));
    let member = AccountId(who.account);
    if core.peers.is_blocked(member) {
        send.reset(Code::Unavailable);
        return Err("its member is blocked".to_owned());
    }
    let (send, opening) = opened(send, &mut recv).await?;
    if let Some(opening) = opening {
        // Two people talk as long as they like: no place of those that are served.
        drop(permit);
        let guest = Guest { account: member, device: from, path: PathKind::Relay };
        channel::knock(core, guest, send, recv, opening).await;
        return Ok(());
    }
    let gate = online.gate(from, core.device());
    let catalog = Arc::new(Relayed(core.catalog.clone()));
    let pace = core.limits.pace(Direction::Up, Party::Member(member), false);
    tokio::select! {
        served = serve_paced(send, recv, gate, catalog, &*pace) => served.map_err(|error| text(&error)),
        () = core.peers.until_blocked(member) => Err("its member was blocked".to_owned()),
    }
}

/// Only files and private channels are relayed.
async fn opened(send: Sending, recv: &mut Receiving) -> Result<(Sending, Option<OpenChannel>), String> {
    match timeout(REQUEST_READ, recv.receive::<Open>(PEER_FRAME_BYTES_MAX)).await {
        Ok(Ok(Open::Fetch)) => Ok((send, None)),
        Ok(Ok(Open::Channel(opening))) => Ok((send, Some(opening))),
        Ok(Ok(Open::Hello(_) | Open::Watch(_) | Open::Relayed { .. })) => {
            send.reset(Code::BadRequest);
            Err("it begins with something that is not relayed".to_owned())
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("nothing came".to_owned()),
    }
}

/// What this device serves, counted as relayed.
#[derive(Debug)]
struct Relayed(Arc<Catalog>);

#[async_trait]
impl content::Catalog for Relayed {
    async fn open(&self, want: &Want, asker: Option<DeviceId>) -> Result<Arc<dyn Content>, Refusal> {
        content::Catalog::open(&*self.0, want, asker).await
    }

    fn gives(&self, blob: &BlobHash, asker: DeviceId) -> bool {
        content::Catalog::gives(&*self.0, blob, asker)
    }

    async fn open_small(&self, wants: &[Want], asker: Option<DeviceId>) -> Vec<Result<Arc<dyn Content>, Refusal>> {
        content::Catalog::open_small(&*self.0, wants, asker).await
    }

    fn decided_anew(&self, blob: &BlobHash) -> Option<i64> {
        self.0.decided_anew(blob)
    }

    fn having(&self, blob: &BlobHash) -> Option<Held> {
        self.0.having(blob)
    }

    fn sent(&self, _blob: BlobHash, asker: Option<DeviceId>, bytes: u64) {
        self.0.count(asker, bytes, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(device: u8, address: &str) -> PeerSource {
        PeerSource {
            device: DeviceId([device; 16]),
            account: AccountId([device; 16]),
            member: "anna".to_owned(),
            addresses: vec![address.parse().expect("an address")],
        }
    }

    #[test]
    fn the_pauses_between_tries_grow_and_end_growing() {
        let now = Instant::now();
        let mut again = Again::after(now);
        let mut pauses = vec![again.next - now];
        for _ in 0..4 {
            let next = again.next;
            again.try_now(next);
            pauses.push(again.next - next);
        }
        assert_eq!(pauses.iter().map(Duration::as_secs).collect::<Vec<_>>(), [60, 120, 240, 300, 300]);
    }

    #[test]
    fn a_change_is_worth_a_try_at_once_but_a_storm_of_changes_is_not() {
        let now = Instant::now();
        let mut again = Again::after(now);
        let later = now + Duration::from_secs(30);
        again.changed(later);
        assert_eq!(again.next, later);
        again.try_now(later);
        again.changed(later + Duration::from_secs(1));
        assert_eq!(again.next, later + DIRECT_AGAIN_CHANGED);
        // A change never puts off what is due already.
        again.changed(later + Duration::from_secs(100));
        assert_eq!(again.next, later + DIRECT_AGAIN_CHANGED);
    }

    #[test]
    fn one_of_several_takes_a_try_that_is_due() {
        let relays = Relays::default();
        let (anna, now) = (peer(1, "192.0.2.1:7"), Instant::now());
        relays.note_relayed(&anna, now);
        assert!(relays.is_relayed(anna.device, now) && !relays.begin_try(anna.device, now));
        let due = relays.next_try(anna.device).expect("it is relayed");
        assert!(relays.begin_try(anna.device, due) && !relays.begin_try(anna.device, due));
        relays.note_direct(anna.device);
        assert_eq!(relays.next_try(anna.device), None);
    }

    #[tokio::test]
    async fn a_device_at_another_address_is_tried_soon() {
        let relays = Relays::default();
        let before = Instant::now().checked_sub(DIRECT_AGAIN_CHANGED).expect("the clock is not new");
        relays.note_relayed(&peer(1, "192.0.2.1:7"), before);
        relays.note_relayed(&peer(2, "192.0.2.2:7"), before);
        let told = relays.changes();
        relays.located(&[peer(1, "192.0.2.9:7"), peer(2, "192.0.2.2:7"), peer(3, "192.0.2.3:7")]);
        timeout(Duration::from_secs(30), told).await.expect("who waits is told");
        let now = Instant::now();
        assert!(relays.begin_try(DeviceId([1; 16]), now));
        assert!(!relays.begin_try(DeviceId([2; 16]), now), "who has not moved waits");
    }
}
