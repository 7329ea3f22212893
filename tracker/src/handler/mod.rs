//! What happens for each request: one async function each, that knows neither quinn nor SQL.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use certs::Authority;
use shared::{
    id::{BlobHash, DeviceId},
    limits::GRANT_BLOBS_MAX,
    name::NameError,
    wire::tracker::{Event, Registration, Ways},
};

use crate::{
    attempts::{Attempts, Patience},
    copies::Copies,
    events::{Events, Target},
    flood::Flood,
    introduce::{Hopeless, Meetings, Pace},
    mail::Mailroom,
    passwords::{PasswordError, Passwords},
    relay::{Declined, Relays},
    roster::Roster,
    store::{Caller, Effects, Store, StoreError},
};

pub mod account;
pub mod browse;
pub mod copy;
pub mod devices;
pub mod hold;
pub mod inbox;
pub mod introduce;
pub mod invites;
pub mod locate;
pub mod members;
pub mod message;
pub mod people;
pub mod protected;
pub mod publish;

/// What handlers work with.
#[derive(Debug)]
pub struct Ctx {
    /// The tracker's memory.
    pub store: Arc<dyn Store>,
    /// Certificates and grants.
    pub authority: Authority,
    /// Who is connected.
    pub roster: Arc<Roster>,
    /// Who listens.
    pub events: Arc<Events>,
    /// The addresses that connections come from.
    pub live: Arc<dyn Live>,
    /// Stored copies.
    pub copies: Arc<Copies>,
    /// Relayed streams.
    pub relays: Arc<Relays>,
    /// Password hashing.
    pub passwords: Passwords,
    /// Where messages are handed in.
    pub mailroom: Mailroom,
    /// How many messages members have sent.
    pub flood: Mutex<Flood>,
    /// Wrong passwords.
    pub attempts: Mutex<Attempts>,
    /// How patient the tracker is with them.
    pub patience: Patience,
    /// Who may make an account.
    pub registration: Registration,
    /// How long a device may stay away before it must sign in by password again; `None`: for ever.
    pub sign_out_after: Option<Duration>,
    /// Ways to this tracker besides the one of the join link.
    pub ways: Ways,
    /// When the tracker started.
    pub started: Instant,
    /// The second port, if there is one.
    pub probe_port: Option<u16>,
    /// How often devices were introduced.
    pub pace: Mutex<Pace>,
    /// Meetings from fresh sockets.
    pub meetings: Mutex<Meetings<introduce::Teller>>,
    /// When requests and offers end by themselves.
    pub deadlines: inbox::Deadlines,
}

/// The connections, as far as handlers need them.
pub trait Live: fmt::Debug + Send + Sync {
    /// The UDP address that a connected device is seen at now. `None`: it is not connected, or in a tunnel, where
    /// nobody but the tracker reaches it. So it is online for the members, and no source.
    fn observed(&self, device: DeviceId) -> Option<SocketAddr>;

    /// How far away it is: a round trip.
    fn rtt(&self, device: DeviceId) -> Option<Duration>;

    /// Ends the connection of a device that is signed out.
    fn sign_out(&self, device: DeviceId);
}

/// The other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where it comes from.
    pub address: SocketAddr,
    /// What proofs on this connection cover.
    pub exported: [u8; 32],
}

/// The time of a request.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// For waiting times.
    pub instant: Instant,
    /// For certificates and rows.
    pub wall: SystemTime,
}

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn ms(&self) -> i64 {
        millis(self.wall)
    }
}

/// Milliseconds since 1970, now.
#[must_use]
pub fn now_ms() -> i64 {
    millis(SystemTime::now())
}

fn millis(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Name and version of this program.
pub const PROGRAM: &str = concat!("swapmeet-tracker/", env!("CARGO_PKG_VERSION"));

/// Why a request was not carried out. What the asker learns of it is decided in [`crate::refuse`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
    /// See [`PasswordError`].
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A certificate could not be made.
    #[error("a certificate could not be made")]
    Certs(#[from] certs::CertsError),
    /// A name or path breaks a rule.
    #[error("{what}: {error}")]
    Name {
        /// Which one.
        what: String,
        /// Which rule.
        error: NameError,
    },
    /// The request makes no sense.
    #[error("{0}")]
    Bad(String),
    /// More than a limit allows.
    #[error("{what}: at most {most}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much there may be.
        most: u64,
    },
    /// Nobody is signed in on this connection.
    #[error("sign in first")]
    NotSignedIn,
    /// Somebody is signed in on this connection.
    #[error("this connection is signed in already; sign out first")]
    SignedInAlready,
    /// The name or the password is wrong, or the device is not enrolled. It is not said which.
    #[error("{0}")]
    WrongSignIn(&'static str),
    /// Whoever is signed in gave another password than the account's.
    #[error("the password is wrong")]
    WrongPassword,
    /// Whoever asks for a protected file gave another password than its.
    #[error("the file's password is wrong")]
    WrongFilePassword,
    /// Only administrators may.
    #[error("only administrators of this tracker can do that")]
    NotAdmin,
    /// An administrator locked the account.
    #[error("the account is locked")]
    Locked,
    /// The device was not connected for so long that its key no longer signs in.
    #[error("this device was not used for {after} or more, so it is signed out; sign in with the password")]
    SignedOutByTime {
        /// How long a device may stay away.
        after: String,
    },
    /// Too many wrong passwords.
    #[error("too many wrong passwords; try again in {seconds} s")]
    Wait {
        /// Until a try is looked at.
        seconds: u64,
    },
    /// Nobody may register.
    #[error("this tracker takes no new members")]
    RegistrationClosed,
    /// Registering needs an invitation.
    #[error("registration needs an invitation code")]
    InviteNeeded,
    /// There is no such thing, or none for this asker.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Theory denies that two devices meet.
    #[error(transparent)]
    Hopeless(#[from] Hopeless),
    /// A device was introduced too often.
    #[error("too many introductions; try again in {seconds} s")]
    IntroducedTooOften {
        /// Until there may be another one.
        seconds: u64,
    },
    /// The tracker does not know how.
    #[error("{0}")]
    Unsupported(&'static str),
    /// See [`Declined`].
    #[error(transparent)]
    Relay(#[from] Declined),
    /// The other end of a relay is not connected, or does not answer.
    #[error("that device is not connected now")]
    Away,
    /// The other end of a relay does not want it.
    #[error("that device takes no relayed stream now: {0}")]
    NotTaken(String),
}

/// Carries out what follows from a change of the index.
fn apply(ctx: &Ctx, caller: &Caller, effects: Effects) {
    if effects.shares_changed {
        ctx.roster.member_changed(caller.account);
    }
    apply_effects(ctx, effects);
}

/// What follows for everyone but the caller.
fn apply_effects(ctx: &Ctx, effects: Effects) {
    if let Some(seq) = effects.seq {
        ctx.roster.index_moved(seq);
    }
    inbox::tell(ctx, effects.told);
    tell_revoked(ctx, effects.revoked);
    ctx.copies.revoke(effects.narrowed);
    if !effects.released.is_empty() || !effects.unclaimed.is_empty() || effects.copies_wanted {
        ctx.copies.revoke(effects.released);
        ctx.copies.tidy_later(effects.unclaimed);
        ctx.copies.look();
    }
}

/// Grants for these contents no longer count at these devices, nor at those that hold them without sharing them.
fn tell_revoked(ctx: &Ctx, mut revoked: Vec<(DeviceId, BlobHash)>) {
    let blobs = revoked.iter().map(|(_, blob)| *blob).collect();
    revoked.extend(ctx.roster.holders_among(&blobs));
    revoked.sort_unstable();
    revoked.dedup();
    for of_device in revoked.chunk_by(|one, other| one.0 == other.0) {
        for part in of_device.chunks(GRANT_BLOBS_MAX) {
            let blobs = part.iter().map(|(_, blob)| *blob).collect();
            ctx.events.send(Target::Device(part[0].0), Event::Revoked { blobs });
        }
    }
}

/// Refuses a list that is longer than its limit.
fn at_most(what: &'static str, length: usize, most: usize) -> Result<(), Error> {
    if length > most { Err(Error::TooMuch { what, most: most as u64 }) } else { Ok(()) }
}
