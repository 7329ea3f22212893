//! The way to a member's device: direct where that works, else relayed, and back to direct as soon as it opens.

use std::{sync::Arc, time::Instant};

use shared::{
    id::FileId,
    limits::COPY_AFTER,
    transfer::lane::Lane,
    wire::{peer::Open, tracker::PeerSource},
};
use tokio::time::{sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::source;
use crate::engine::{
    api::{Direction, PathKind},
    core::Core,
    limits::Party,
    reach::streams::{self, Dial, Opened, Route},
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

/// Opens a lane to a device, by the first way that works.
pub async fn to(core: &Arc<Core>, peer: &PeerSource, file: FileId) -> Result<Way, String> {
    let Opened { send, recv, route } = streams::open(core, peer, &Open::Fetch).await?;
    let party = Party::Member(peer.account);
    match route {
        Route::Direct(connection) => {
            let path = core.peers.path_kind(peer.device, &connection);
            let pace = core.limits.pace(Direction::Down, party, path == PathKind::Lan);
            let rtt_ms = u32::try_from(connection.rtt().as_millis()).ok();
            let lane = Lane::start_paced(send, recv, pace);
            Ok(Way { lane, path, rtt_ms, better: Better::default(), why: String::new() })
        }
        Route::Relayed { dial, why } => {
            let lane = Lane::start_paced(send, recv, core.limits.pace(Direction::Down, party, false));
            let trying = AbortOnDropHandle::new(tokio::spawn(open_directly(core.clone(), peer.clone(), file, dial)));
            Ok(Way { lane, path: PathKind::Relay, rtt_ms: None, better: Better(Some(trying)), why })
        }
    }
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
        dial = Some(streams::dial(&core, &peer));
    }
    core.relays.note_direct(device);
}
