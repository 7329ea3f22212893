//! The connection to the tracker: signs in by the device's key, stays, comes back after a loss, and tells what changed.

mod online;
mod repeat;
mod replica;
mod udp;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use certs::PeerCredentials;
use quinn::Connection;
use rand::Rng;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use shared::{
    id::{AccountId, DeviceId},
    limits::{CERTIFICATE_RENEW, RECONNECT_MAX, RECONNECT_MIN, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, REQUEST_READ},
    net::{self, Outgoing, endpoint, frame},
    show::show_line,
    transfer::{
        clock::TrackerClock,
        serve::{Gate, serve_paced},
    },
    wire::{
        Code, PEER_ALPN, SIGN_IN_CONTEXT,
        peer::Open,
        tracker::{Answer, Event, NewDevice, Request, SignedIn},
    },
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::timeout,
};

pub use self::online::Online;
pub use super::dial::dial;
use super::{
    api::{self, Direction, Failure, FailureKind, PathKind},
    chat,
    core::{Core, now_ms, uptime_ms},
    dial::{self, Greeted, Way},
    failure, holdings, inbox,
    limits::Party,
    link::TrackerLink,
    peers::path_of,
    people,
    reach::{self, probe},
    relay,
};

/// Program and version, as told to others.
pub const PROGRAM: &str = concat!("swapmeet ", env!("CARGO_PKG_VERSION"));

/// Who is signed in on this device, as remembered between runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedAccount {
    pub tracker: String,
    pub id: AccountId,
    pub name: String,
    pub device: DeviceId,
}

/// How the connection stands.
#[derive(Debug, Clone)]
pub enum Phase {
    SignedOut,
    Connecting,
    Online(Arc<Online>),
    Offline { cause: Failure, retry_ms: Option<i64>, tries: u32 },
}

/// The session as the rest of the engine sees it.
#[derive(Debug)]
pub struct Session {
    phase: watch::Sender<Phase>,
    /// The account changed, or somebody wants a try now.
    poke: Notify,
    /// This device may be on another network.
    moved: Notify,
    /// Somebody wants UDP to be tried now, where it is blocked.
    udp_again: Notify,
    /// The newest sign-in, also after its connection was lost: certificate and grant key stay good for a while.
    newest: Mutex<Option<Arc<Online>>>,
    /// Whether the replica of the index agrees with the tracker's, as far as told on this connection.
    pub in_step: watch::Sender<bool>,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Connecting),
            poke: Notify::new(),
            moved: Notify::new(),
            udp_again: Notify::new(),
            newest: Mutex::default(),
            in_step: watch::Sender::new(false),
        }
    }
}

impl Session {
    /// How the connection stands, and how it changes.
    pub fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Looks at the account again, or tries the tracker now; where it is reached over HTTPS, UDP.
    pub fn poke(&self) {
        self.poke.notify_one();
        self.udp_again.notify_waiters();
    }

    /// Whether other members can be reached directly, as far as known: not where UDP is blocked.
    pub fn reaches_members(&self) -> bool {
        self.newest().is_none_or(|online| online.way == Way::Udp)
    }

    /// Waits until this device is on another network.
    pub async fn has_moved(&self) {
        self.moved.notified().await;
    }

    /// This device is on another network: the tracker shall hear of it, over a new connection if the old one is dead.
    pub fn moved(&self) {
        self.moved.notify_one();
        if self.current().is_none() {
            self.poke.notify_one();
        }
    }

    /// The account changed: whatever connection there is belongs to the past.
    pub fn restart(&self) {
        if let Some(online) = self.current() {
            online.connection.close(0u32.into(), b"bye");
        }
        self.phase.send_replace(Phase::Connecting);
        self.poke.notify_one();
    }

    /// The signed-in connection, if there is one now.
    pub fn current(&self) -> Option<Arc<Online>> {
        match &*self.phase.borrow() {
            Phase::Online(online) => Some(online.clone()),
            Phase::SignedOut | Phase::Connecting | Phase::Offline { .. } => None,
        }
    }

    /// Lets go of every connection.
    fn forget(&self) {
        self.phase.send_replace(Phase::Connecting);
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The newest sign-in, whether its connection still stands or not.
    pub fn newest(&self) -> Option<Arc<Online>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The signed-in connection; waits for a try that is under way, and begins one when there is none.
    pub async fn online(&self) -> Result<Arc<Online>, Failure> {
        let mut phase = self.phase.subscribe();
        let mut poked_at = None;
        loop {
            match &*phase.borrow_and_update() {
                Phase::Online(online) => return Ok(online.clone()),
                Phase::SignedOut => return Err(failure::signed_out()),
                Phase::Connecting => {}
                Phase::Offline { cause, retry_ms, tries } => match poked_at {
                    Some(before) if before != *tries => return Err(failure::offline(cause)),
                    Some(_) => {}
                    None if retry_ms.is_none() => {
                        return Err(Failure { message: cause.message.clone(), ..failure::signed_out() });
                    }
                    // The first try after the start answers for itself.
                    None if *tries == 1 && self.newest().is_none() => return Err(failure::offline(cause)),
                    None => {
                        poked_at = Some(*tries);
                        self.poke.notify_one();
                    }
                },
            }
            if phase.changed().await.is_err() {
                return Err(failure::unreachable("the engine is stopping"));
            }
        }
    }

    /// The tracker's clock as far as it is known, milliseconds since 1970.
    pub fn tracker_ms(&self) -> i64 {
        self.newest().map_or_else(now_ms, |online| online.tracker_ms())
    }

    /// Asks the tracker. Whoever finds the connection dead, as after a restart of the tracker, asks over the next one.
    pub async fn ask(&self, request: &Request) -> Result<Answer, Failure> {
        let online = self.online().await?;
        match ask(&online.connection, request).await {
            Err(failure)
                if failure.kind == FailureKind::Unreachable
                    && online.connection.close_reason().is_some()
                    && repeat::may_be_asked_twice(request) =>
            {
                let is_past = |phase: &Phase| !matches!(phase, Phase::Online(now) if Arc::ptr_eq(now, &online));
                if self.phase.subscribe().wait_for(is_past).await.is_err() {
                    return Err(failure);
                }
                ask(&self.online().await?.connection, request).await
            }
            answer => answer,
        }
    }
}

impl Phase {
    /// As faces see it.
    pub fn connection(&self) -> api::Connection {
        match self {
            Self::SignedOut => api::Connection::SignedOut,
            Self::Connecting => api::Connection::Connecting,
            Self::Online(online) => api::Connection::Online {
                rtt_ms: u32::try_from(online.connection.rtt().as_millis()).unwrap_or(u32::MAX),
                https: online.way == Way::Https,
            },
            Self::Offline { cause, retry_ms, tries } => {
                api::Connection::Offline { cause: cause.message.clone(), retry_ms: *retry_ms, tries: *tries }
            }
        }
    }
}

/// One request on a stream of its own.
pub async fn ask(connection: &Connection, request: &Request) -> Result<Answer, Failure> {
    let lost = |cause: &str| failure::unreachable(cause);
    let (send, mut recv) = connection.open_bi().await.map_err(|error| lost(&error.to_string()))?;
    let mut send = Outgoing::new(send);
    frame::send(&mut send, request, REQUEST_BYTES_MAX).await.map_err(|error| lost(&error.to_string()))?;
    send.finish();
    // Answers may take as long as a queue of password hashes; the connection's own idle time bounds a dead tracker.
    let answer = timeout(REQUEST_READ * 3, frame::receive(&mut recv, REPLY_BYTES_MAX)).await;
    match answer {
        Ok(Ok(Answer::Refused(refusal))) => Err(failure::refused(&refusal)),
        Ok(Ok(Answer::Wait { seconds })) => Err(failure::wait(seconds)),
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(lost(&error.to_string())),
        Err(_) => Err(Failure::new(
            FailureKind::Timeout,
            "tracker_timeout",
            "the tracker did not answer in time",
            "try again; it may be busy",
        )),
    }
}

/// What a device shows to be enrolled on this connection.
pub fn new_device(core: &Core, connection: &Connection) -> Result<NewDevice, Failure> {
    let exported = net::exported(connection).map_err(failure::unexpected)?;
    let proof = core.key.sign(&[shared::wire::ENROL_CONTEXT, &exported].concat()).to_vec();
    Ok(NewDevice { key: core.key.public(), proof, label: host_label() })
}

fn host_label() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    show_line(&name, shared::limits::DEVICE_LABEL_BYTES_MAX / 4)
}

/// Keeps the session until the engine stops.
pub async fn run(core: Arc<Core>) {
    keep(&core).await;
    // A tunnel lasts as long as somebody holds a connection in it.
    core.session.forget();
}

async fn keep(core: &Arc<Core>) {
    let session = &core.session;
    let mut tries = 0;
    let mut begun: Option<Box<Back>> = None;
    loop {
        let account: Option<SavedAccount> = match core.state.setting("account").await {
            Ok(account) => account,
            Err(error) => {
                tracing::error!(%error, "the account cannot be read");
                None
            }
        };
        let Some(account) = account else {
            (tries, begun) = (0, None);
            session.phase.send_replace(Phase::SignedOut);
            core.hub.account(None);
            tokio::select! {
                () = session.poke.notified() => continue,
                () = core.stop.cancelled() => return,
            }
        };
        // Not where somebody signed in elsewhere meanwhile.
        let before = begun.take().filter(|back| back.before.account == account);
        if tries == 0 && before.is_none() {
            session.phase.send_replace(Phase::Connecting);
        }
        let ended = tokio::select! {
            ended = hold(core, account, before, &mut tries) => ended,
            () = core.stop.cancelled() => {
                if let Some(online) = session.current() {
                    // Zero is a goodbye: the tracker shows us offline at once.
                    online.connection.close(0u32.into(), b"bye");
                }
                return;
            }
        };
        let ended = match ended {
            Ended::Lost(failure) => failure,
            Ended::BackToUdp(back) => {
                tracing::info!("UDP gets through to the tracker again");
                begun = Some(back);
                continue;
            }
        };
        tries += 1;
        if tries == SOCKETS_REPLACED_AT && !core.peers.any_live() {
            core.endpoints.replace();
        }
        let wait = match &ended {
            // Signed out elsewhere: nothing to retry.
            failure if failure.kind == FailureKind::SignIn => None,
            _ => Some(backoff(tries)),
        };
        let retry_ms = wait.map(|wait| now_ms() + i64::try_from(wait.as_millis()).unwrap_or(0));
        session.phase.send_replace(Phase::Offline { cause: ended, retry_ms, tries });
        core.members_went_dark();
        tokio::select! {
            () = tokio::time::sleep(wait.unwrap_or(Duration::MAX)) => {}
            () = session.poke.notified() => {}
            () = core.stop.cancelled() => return,
        }
    }
}

/// The try before which the sockets are replaced: a NAT may hold on to a mapping that leads nowhere.
const SOCKETS_REPLACED_AT: u32 = 2;

/// Doubling from the first wait to the longest, with jitter so that a tracker's members do not return all at once.
fn backoff(tries: u32) -> Duration {
    let doubled = RECONNECT_MIN.saturating_mul(1 << (tries - 1).min(16)).min(RECONNECT_MAX);
    doubled.mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// How a connection ended.
enum Ended {
    Lost(Failure),
    /// It is over HTTPS, and the tracker has answered over UDP.
    BackToUdp(Box<Back>),
}

/// A better connection, and the one that serves until it does.
struct Back {
    greeted: Greeted,
    before: Arc<Online>,
}

/// One connection from dialling to its end. `begun`: it was dialled already.
async fn hold(core: &Arc<Core>, account: SavedAccount, begun: Option<Box<Back>>, tries: &mut u32) -> Ended {
    let (greeted, before) = match begun {
        Some(back) => (Some(back.greeted), Some(back.before)),
        None => (None, None),
    };
    let signed_in = sign_in(core, account, greeted).await;
    let online = match signed_in {
        Ok(online) => Arc::new(online),
        Err(failure) => {
            leave(before.as_deref());
            return Ended::Lost(failure);
        }
    };
    *tries = 0;
    let former = core.session.newest.lock().unwrap_or_else(PoisonError::into_inner).replace(online.clone());
    if let Some(former) = former {
        // It may have been set while this device was away.
        core.catalog.clock_moved(online.clock.ahead_ms().saturating_sub(former.clock.ahead_ms()));
    }
    core.session.phase.send_replace(Phase::Online(online.clone()));
    leave(before.as_deref());
    core.hub.account(Some(core.account_row(&online.account)));
    // Another network, perhaps: who was out of reach from the last one may be reachable from here.
    core.relays.look_again(None);
    tracing::info!(way = ?online.way, rtt_ms = online.connection.rtt().as_millis(), "signed in at the tracker");
    let mut tasks: JoinSet<Failure> = JoinSet::new();
    tasks.spawn(follow(core.clone(), online.clone()));
    tasks.spawn(serve_tracker(core.clone(), online.clone()));
    tasks.spawn(renew(core.clone(), online.clone()));
    let lost = online.connection.closed();
    let ended = tokio::select! {
        error = lost => Ended::Lost(failure::closed(&error)),
        Some(ended) = tasks.join_next() => Ended::Lost(ended.unwrap_or_else(failure::unexpected)),
        greeted = udp::back(core, &online), if online.way == Way::Https => {
            Ended::BackToUdp(Box::new(Back { greeted, before: online.clone() }))
        }
    };
    if let Ended::Lost(_) = &ended {
        leave(Some(&online));
    }
    tasks.shutdown().await;
    ended
}

/// Says goodbye on a connection.
fn leave(online: Option<&Online>) {
    if let Some(online) = online {
        online.connection.close(0u32.into(), b"bye");
    }
}

async fn sign_in(core: &Arc<Core>, account: SavedAccount, greeted: Option<Greeted>) -> Result<Online, Failure> {
    let link: TrackerLink = account.tracker.parse()?;
    let greeted = match greeted {
        Some(greeted) => {
            dial::note_way(core, &link, greeted.way).await;
            greeted
        }
        None => dial(core, &link).await?,
    };
    let exported = net::exported(&greeted.connection).map_err(failure::unexpected)?;
    let proof = core.key.sign(&[SIGN_IN_CONTEXT, &exported].concat()).to_vec();
    let request = Request::SignInKey { device: account.device, proof };
    let Answer::SignedIn(signed_in) = ask(&greeted.connection, &request).await? else {
        return Err(failure::bad_answer());
    };
    let credentials = credentials(core, &signed_in)?;
    let tls = credentials.server_config(PEER_ALPN).map_err(failure::unexpected)?;
    core.endpoints.serve(endpoint::peer_server(tls).map_err(failure::unexpected)?);
    Ok(Online {
        connection: greeted.connection,
        way: greeted.way,
        account,
        grant_key: signed_in.grant_key,
        credentials,
        certificate_ends_ms: AtomicI64::new(signed_in.certificate_ends_ms),
        observed: greeted.welcome.observed,
        registration: greeted.welcome.registration,
        clock: Arc::new(TrackerClock::new(uptime_ms, greeted.ahead_ms)),
    })
}

fn credentials(core: &Core, signed_in: &SignedIn) -> Result<PeerCredentials, Failure> {
    let certificate = CertificateDer::from(signed_in.certificate.clone());
    let authority = CertificateDer::from(signed_in.authority.clone());
    PeerCredentials::new(&core.key, certificate, authority).map_err(failure::unexpected)
}

/// A fresh certificate while the connection lasts.
async fn renew(core: Arc<Core>, online: Arc<Online>) -> Failure {
    loop {
        tokio::time::sleep(CERTIFICATE_RENEW).await;
        let renewed = match ask(&online.connection, &Request::Renew).await {
            Ok(Answer::SignedIn(signed_in)) => {
                online.certificate_ends_ms.store(signed_in.certificate_ends_ms, Ordering::Relaxed);
                let certificate = CertificateDer::from(signed_in.certificate);
                online.credentials.replace_certificate(certificate).map_err(failure::unexpected)
            }
            Ok(_) => Err(failure::bad_answer()),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = renewed {
            tracing::warn!(%failure, "the certificate could not be renewed");
            core.hub.notice(api::NoticeLevel::Warning, &failure.message, &failure.hint);
        }
    }
}

/// Streams that the tracker opens: it takes copies of what this device shares, or relays what another device takes.
async fn serve_tracker(core: Arc<Core>, online: Arc<Online>) -> Failure {
    let mut serving = JoinSet::new();
    let lan = path_of(&online.connection, false) == PathKind::Lan;
    let pace = core.limits.pace(Direction::Up, Party::Tracker, lan);
    loop {
        let (send, mut recv) = match online.connection.accept_bi().await {
            Ok(streams) => streams,
            Err(error) => return failure::closed(&error),
        };
        while serving.try_join_next().is_some() {}
        let (core, online, pace) = (core.clone(), online.clone(), pace.clone());
        serving.spawn(async move {
            let opened = frame::receive_within(&mut recv, REQUEST_BYTES_MAX, REQUEST_READ).await;
            match opened {
                Ok(Open::Fetch) => {
                    let catalog = core.catalog.clone();
                    if let Err(error) = serve_paced(Outgoing::new(send), recv, Gate::Tracker, catalog, &*pace).await {
                        tracing::debug!(%error, "the tracker's fetch ended early");
                    }
                }
                Ok(Open::Relayed { from }) => relay::serve_relayed(&core, &online, send, recv, from).await,
                Ok(Open::Hello(_) | Open::Watch(_) | Open::Channel(_)) => Outgoing::new(send).reset(Code::BadRequest),
                Err(error) => tracing::debug!(%error, "the tracker opened a stream without a meaning"),
            }
        });
    }
}

/// Tells the tracker where this device is, follows its events and keeps everything in step.
async fn follow(core: Arc<Core>, online: Arc<Online>) -> Failure {
    match follow_until_lost(&core, &online).await {
        Ok(()) => failure::unreachable("the tracker ended the stream of events"),
        Err(failure) => failure,
    }
}

async fn follow_until_lost(core: &Arc<Core>, online: &Arc<Online>) -> Result<(), Failure> {
    let connection = &online.connection;
    core.reach.looked_at(false);
    probe::announce(core, connection).await?;
    let lost = |error: &dyn std::fmt::Display| failure::unreachable(&error.to_string());
    let (send, mut recv) = connection.open_bi().await.map_err(|error| lost(&error))?;
    let mut send = Outgoing::new(send);
    frame::send(&mut send, &Request::Subscribe, REQUEST_BYTES_MAX).await.map_err(|error| lost(&error))?;
    send.finish();
    let answer: Answer = frame::receive(&mut recv, REPLY_BYTES_MAX).await.map_err(|error| lost(&error))?;
    match answer {
        Answer::Done => {}
        Answer::Refused(refusal) => return Err(failure::refused(&refusal)),
        _ => return Err(failure::bad_answer()),
    }
    let moved = Notify::new();
    moved.notify_one();
    let announce = async {
        holdings::announce(core.clone(), online.clone()).await;
        std::future::pending::<Result<(), Failure>>().await
    };
    let link: TrackerLink = online.account.tracker.parse()?;
    let publish = async {
        dial::learn_ways(core, &link, connection).await;
        core.library.publish_pending(core).await;
        std::future::pending::<Result<(), Failure>>().await
    };
    tokio::try_join!(
        hear(core, connection, &mut recv, &moved),
        replica::keep_in_step(core, connection, &moved),
        inbox::keep_in_step(core, connection),
        probe::keep_announced(core, online),
        people::keep_attended(core, connection),
        publish,
        announce,
        chat::keep(core, online)
    )?;
    Ok(())
}

/// Acts on the tracker's events until they end.
async fn hear(
    core: &Arc<Core>,
    connection: &Connection,
    recv: &mut quinn::RecvStream,
    moved: &Notify,
) -> Result<(), Failure> {
    core.load_members(connection).await?;
    loop {
        let event = frame::receive(recv, REPLY_BYTES_MAX).await;
        match event.map_err(|error| failure::unreachable(&error.to_string()))? {
            Event::IndexMoved { .. } => moved.notify_one(),
            Event::Member(member) => core.member_changed(member),
            Event::Revoked { blobs } => core.catalog.revoke(&blobs, core.session.tracker_ms()),
            Event::CopyStored { file } => core.copy_ended(file, None),
            Event::CopyFailed { file, refusal } => core.copy_ended(file, Some(refusal)),
            Event::Introduced(introduction) => reach::answer(core, introduction),
            Event::Resync => {
                core.load_members(connection).await?;
                core.copies_unknown();
                core.inbox.moved.notify_one();
                core.chat.look();
                moved.notify_one();
            }
            // Only running downloads hold anything.
            Event::SourcesMoved { .. } => core.transfers.poke(),
            Event::DevicesRevoked { devices } => core.peers.revoke(devices),
            Event::InboxMoved { .. } => core.inbox.moved.notify_one(),
            Event::Message(event) => core.chat.hear(event),
            Event::People(event) => people::hear(core, event).await,
            Event::GrantsWithdrawn { before_ms } => core.catalog.revoke_all(before_ms),
            Event::ClockSet { now_ms } => {
                if let Some(online) = core.session.newest() {
                    core.catalog.clock_moved(online.clock.set(now_ms));
                }
            }
            Event::SignedOut { refusal } => {
                return Err(Failure { message: show_line(&refusal.detail, 200), ..failure::signed_out() });
            }
        }
    }
}
