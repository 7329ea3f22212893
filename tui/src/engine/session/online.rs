//! A signed-in connection, and what came with it.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicI64},
};

use certs::PeerCredentials;
use quinn::Connection;
use shared::{
    id::DeviceId,
    transfer::{clock::TrackerClock, serve::Gate},
    wire::{grant::Source, tracker::Registration},
};

use super::SavedAccount;
use crate::engine::dial::Way;

/// A connection that is signed in.
#[derive(Debug)]
pub struct Online {
    pub connection: Connection,
    pub way: Way,
    pub account: SavedAccount,
    /// Key that grants are signed with.
    pub grant_key: [u8; 32],
    /// For connections to members.
    pub credentials: PeerCredentials,
    /// When the certificate in them ends, milliseconds since 1970.
    pub certificate_ends_ms: AtomicI64,
    pub observed: SocketAddr,
    pub registration: Registration,
    /// The tracker's clock, beside this machine's uptime.
    pub clock: Arc<TrackerClock>,
}

impl Online {
    /// The tracker's clock now, milliseconds since 1970. Whoever sets the clock of this machine does not change it.
    pub fn tracker_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// What lets a device fetch from `here`: grants that name both, by the tracker's clock.
    pub fn gate(&self, device: DeviceId, here: DeviceId) -> Gate {
        Gate::Grants { device, source: Source::Device(here), key: self.grant_key, clock: self.clock.clone() }
    }
}
