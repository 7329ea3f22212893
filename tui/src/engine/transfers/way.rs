//! The way to a member's device: direct where that works, else relayed, and back to direct as soon as it opens.

use std::{sync::Arc, time::Instant};

use quinn::Connection;
use shared::{
    id::FileId,
    limits::{COPY_AFTER, RELAY_AFTER},
    net::peer_of,
    transfer::lane::Lane,
    wire::tracker::PeerSource,
};
use tokio::{
    task::JoinError,
    time::{sleep_until, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::source;
use crate::engine::{
    api::{Direction, PathKind},
    core::Core,
    limits::Party,
    peers::{self, PeerError},
    relay,
};

/// An open lane and how it runs.
#[derive(Debug)]
pub struct Way {
    pub lane: Lane,
    pub path: PathKind,
    pub rtt_ms: Option<u32>,
    pub better: Better,
    /// Why it is no better one, for people.
    pub why: String,
}

/// A direct way to a device that is relayed now: tried in the background until it opens.
#[derive(Debug, Default)]
pub struct Better(Option<AbortOnDropHandle<()>>);

impl Better {
    /// Resolves when the device is reached directly; never for one that already is.
    pub async fn opened(&mut self) {
        if let Some(trying) = &mut self.0
            && trying.await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }

    /// Whether the device is reached directly by now.
    pub fn is_open(&self) -> bool {
        self.0.as_ref().is_some_and(AbortOnDropHandle::is_finished)
    }
}

/// A direct connection that is being made.
type Dial = AbortOnDropHandle<Result<Connection, PeerError>>;

/// Opens a lane to a device. A direct connection has a head start; the first that opens is taken.
pub async fn to(core: &Arc<Core>, peer: &PeerSource, file: FileId) -> Result<Way, String> {
    let device = peer.device;
    if core.peers.live(core, device).is_none() && core.relays.is_relayed(device, Instant::now()) {
        match relay::lane(core, peer).await {
            Ok(lane) => return Ok(relayed(core, peer, file, lane, None, "no direct way was found lately")),
            Err(error) => tracing::debug!(%device, %error, "no relay either"),
        }
    }
    let mut dial = dial(core, peer);
    let mut why = match timeout(RELAY_AFTER, &mut dial).await {
        Ok(dialled) => match direct(core, peer, dialled).await {
            Ok(way) => return Ok(way),
            Err(why) => Some(why),
        },
        Err(_) => None,
    };
    let mut lane = std::pin::pin!(relay::lane(core, peer));
    let mut unrelayed = None;
    loop {
        tokio::select! {
            dialled = &mut dial, if why.is_none() => match direct(core, peer, dialled).await {
                Ok(way) => return Ok(way),
                Err(error) => why = Some(error),
            },
            opened = &mut lane, if unrelayed.is_none() => match opened {
                Ok(lane) => {
                    core.relays.note_relayed(peer, Instant::now());
                    return Ok(match why {
                        Some(why) => relayed(core, peer, file, lane, None, &why),
                        None => relayed(core, peer, file, lane, Some(dial), "a direct way takes long"),
                    });
                }
                Err(error) => unrelayed = Some(error),
            },
            else => break,
        }
    }
    let (why, unrelayed) = (why.unwrap_or_default(), unrelayed.map(|error| error.to_string()).unwrap_or_default());
    Err(format!("{why}, and not relayed: {unrelayed}"))
}

fn dial(core: &Arc<Core>, peer: &PeerSource) -> Dial {
    let (core, peer) = (core.clone(), peer.clone());
    AbortOnDropHandle::new(tokio::spawn(async move { core.peers.connect(&core, &peer).await }))
}

async fn direct(
    core: &Core,
    peer: &PeerSource,
    dialled: Result<Result<Connection, PeerError>, JoinError>,
) -> Result<Way, String> {
    let connection = dialled.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let path = core.peers.path_kind(peer.device, &connection);
    let pace = core.limits.pace(Direction::Down, Party::Member(peer.account), path == PathKind::Lan);
    let lane = peers::lane(&connection, pace).await.map_err(|error| error.to_string())?;
    if let Some((_, device)) = peer_of(&connection) {
        core.relays.note_direct(device);
    }
    let rtt_ms = u32::try_from(connection.rtt().as_millis()).ok();
    Ok(Way { lane, path, rtt_ms, better: Better::default(), why: String::new() })
}

fn relayed(core: &Arc<Core>, peer: &PeerSource, file: FileId, lane: Lane, dial: Option<Dial>, why: &str) -> Way {
    let trying = AbortOnDropHandle::new(tokio::spawn(open_directly(core.clone(), peer.clone(), file, dial)));
    Way { lane, path: PathKind::Relay, rtt_ms: None, better: Better(Some(trying)), why: why.to_owned() }
}

/// Ends when there is a direct connection to the device. `dial`: one that is being made already.
async fn open_directly(core: Arc<Core>, mut peer: PeerSource, file: FileId, mut dial: Option<Dial>) {
    let device = peer.device;
    loop {
        if let Some(dial) = dial.take() {
            match dial.await {
                Ok(Ok(_)) => break,
                Ok(Err(error)) => tracing::debug!(%device, %error, "still relayed"),
                Err(error) => tracing::warn!(%device, %error, "a dial ended abnormally"),
            }
        }
        let changed = core.relays.changes();
        if core.peers.live(&core, device).is_some() {
            break;
        }
        let Some(next) = core.relays.next_try(device) else {
            // Somebody had reached it directly, but not for long.
            core.relays.note_relayed(&peer, Instant::now());
            continue;
        };
        tokio::select! {
            () = sleep_until(next.into()) => {}
            () = changed => continue,
        }
        if !core.relays.begin_try(device, Instant::now()) {
            continue;
        }
        // It may be somewhere else by now.
        if let Ok(Ok(located)) = timeout(COPY_AFTER, source::locate(&core, vec![file])).await
            && let Some(there) = located.peers.into_iter().find(|there| there.device == device)
        {
            peer = there;
        }
        dial = Some(self::dial(&core, &peer));
    }
    core.relays.note_direct(device);
}
