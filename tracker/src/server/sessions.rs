//! The connections of signed-in devices.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use quinn::Connection;
use shared::{
    id::DeviceId,
    limits::{PEER_FRAME_BYTES_MAX, REQUEST_READ},
    net::{self, Outgoing, frame},
    transfer::lane::Lane,
    wire::{Code, peer::Open},
};

use tokio_util::sync::CancellationToken;

use super::Way;
use crate::{copies::Reach, handler::Live, presence::ConnectionNo};

/// Connections by device: the newest of each.
#[derive(Debug, Default)]
pub struct Sessions {
    connections: Mutex<HashMap<DeviceId, Signed>>,
}

/// A connection that a device is signed in on.
#[derive(Debug, Clone)]
struct Signed {
    number: ConnectionNo,
    connection: Connection,
    over: CancellationToken,
    way: Way,
}

impl Sessions {
    /// A device signed in on a connection, until `over`. Returns the older connection of the device.
    pub fn insert(
        &self,
        device: DeviceId,
        number: ConnectionNo,
        connection: Connection,
        over: CancellationToken,
        way: Way,
    ) -> Option<Connection> {
        self.lock().insert(device, Signed { number, connection, over, way }).map(|older| older.connection)
    }

    /// A connection ended or signed out.
    pub fn remove(&self, device: DeviceId, number: ConnectionNo) {
        let mut connections = self.lock();
        if connections.get(&device).is_some_and(|signed| signed.number == number) {
            connections.remove(&device);
        }
    }

    /// The connection of a device.
    #[must_use]
    pub fn connection(&self, device: DeviceId) -> Option<Connection> {
        self.lock().get(&device).map(|signed| signed.connection.clone())
    }

    /// The connection of a device, and what ends when the device is no longer signed in there.
    #[must_use]
    pub fn signed_in(&self, device: DeviceId) -> Option<(Connection, CancellationToken)> {
        self.lock().get(&device).map(|signed| (signed.connection.clone(), signed.over.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DeviceId, Signed>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live for Sessions {
    fn observed(&self, device: DeviceId) -> Option<SocketAddr> {
        let connections = self.lock();
        let reached = connections.get(&device).filter(|signed| signed.way == Way::Udp);
        reached.map(|signed| signed.connection.remote_address())
    }

    fn rtt(&self, device: DeviceId) -> Option<Duration> {
        self.connection(device).map(|connection| connection.rtt())
    }

    fn sign_out(&self, device: DeviceId) {
        let signed = self.lock().get(&device).cloned();
        if let Some(signed) = signed {
            signed.over.cancel();
            net::close(&signed.connection, Code::Unauthenticated);
        }
    }
}

impl Reach for Sessions {
    fn fetch_from(&self, device: DeviceId) -> BoxFuture<'_, Option<Lane>> {
        async move {
            let connection = self.connection(device)?;
            // A device that allows no more streams now is as good as gone.
            let (send, recv) = tokio::time::timeout(REQUEST_READ, connection.open_bi()).await.ok()?.ok()?;
            let mut send = Outgoing::new(send);
            frame::send(&mut send, &Open::Fetch, PEER_FRAME_BYTES_MAX).await.ok()?;
            Some(Lane::start(send, recv))
        }
        .boxed()
    }

    fn is_here(&self, device: DeviceId) -> bool {
        self.connection(device).is_some_and(|connection| connection.close_reason().is_none())
    }
}
