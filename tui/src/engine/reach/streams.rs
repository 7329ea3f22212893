//! A stream to a member's device: on a direct connection where that works, else through the tracker.

use std::{sync::Arc, time::Instant};

use quinn::Connection;
use shared::{
    limits::RELAY_AFTER,
    net::{Receiving, Sending},
    wire::{peer::Open, tracker::PeerSource},
};
use tokio::{task::JoinError, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::engine::{
    core::Core,
    peers::{self, PeerError},
    relay,
};

/// An open stream, whose first frame has been sent.
#[derive(Debug)]
pub struct Opened {
    pub send: Sending,
    pub recv: Receiving,
    pub route: Route,
}

/// How a stream runs.
#[derive(Debug)]
pub enum Route {
    /// On this connection.
    Direct(Connection),
    /// Through the tracker. `dial`: a direct connection that is still being made; `why`, for people, it is not there.
    Relayed { dial: Option<Dial>, why: String },
}

/// A direct connection that is being made.
pub type Dial = AbortOnDropHandle<Result<Connection, PeerError>>;

/// Opens a stream to a device. A direct connection has a head start; the first way that opens is taken. The error is for
/// people.
pub async fn open(core: &Arc<Core>, peer: &PeerSource, first: &Open) -> Result<Opened, String> {
    let device = peer.device;
    if core.peers.live(core, device).is_none() && core.relays.is_relayed(device, Instant::now()) {
        match relay::open(core, peer, first).await {
            Ok(halves) => return Ok(relayed(halves, None, "no direct way was found lately".to_owned())),
            Err(error) => tracing::debug!(%device, %error, "no relay either"),
        }
    }
    let mut dial = dial(core, peer);
    let mut why = match timeout(RELAY_AFTER, &mut dial).await {
        Ok(dialled) => match direct(core, peer, dialled, first).await {
            Ok(opened) => return Ok(opened),
            Err(why) => Some(why),
        },
        Err(_) => None,
    };
    let mut halves = std::pin::pin!(relay::open(core, peer, first));
    let mut unrelayed = None;
    loop {
        tokio::select! {
            dialled = &mut dial, if why.is_none() => match direct(core, peer, dialled, first).await {
                Ok(opened) => return Ok(opened),
                Err(error) => why = Some(error),
            },
            opened = &mut halves, if unrelayed.is_none() => match opened {
                Ok(halves) => {
                    core.relays.note_relayed(peer, Instant::now());
                    return Ok(match why {
                        Some(why) => relayed(halves, None, why),
                        None => relayed(halves, Some(dial), "a direct way takes long".to_owned()),
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

/// Begins to make a direct connection to a device.
pub fn dial(core: &Arc<Core>, peer: &PeerSource) -> Dial {
    let (core, peer) = (core.clone(), peer.clone());
    AbortOnDropHandle::new(tokio::spawn(async move { core.peers.connect(&core, &peer).await }))
}

async fn direct(
    core: &Core,
    peer: &PeerSource,
    dialled: Result<Result<Connection, PeerError>, JoinError>,
    first: &Open,
) -> Result<Opened, String> {
    let connection = dialled.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let (send, recv) = peers::open(&connection, first).await.map_err(|error| error.to_string())?;
    core.relays.note_direct(peer.device);
    Ok(Opened { send: send.into(), recv: recv.into(), route: Route::Direct(connection) })
}

fn relayed((send, recv): (Sending, Receiving), dial: Option<Dial>, why: String) -> Opened {
    Opened { send, recv, route: Route::Relayed { dial, why } }
}
