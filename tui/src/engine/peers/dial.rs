//! Dialling a device, and saying hello to it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use quinn::{Connection, Endpoint};
use shared::{
    id::DeviceId,
    limits::{HELLO, PEER_DIAL, PEER_FRAME_BYTES_MAX},
    net::{self, Outgoing, endpoint, frame},
    wire::{
        Code, PEER_ALPN, PEER_NAME,
        peer::{Hello, HelloAnswer, Open},
    },
};
use tokio::time::{sleep, timeout};

use super::{PeerError, serve_streams};
use crate::engine::{
    core::Core,
    session::{Online, PROGRAM},
};

/// Dials a device at these addresses, each a while after the one before it; the first that answers is taken.
pub(in crate::engine) async fn dial_any(
    core: &Arc<Core>,
    online: &Online,
    device: DeviceId,
    addresses: &[SocketAddr],
    stagger: Duration,
    from: Option<&Endpoint>,
) -> Result<Connection, PeerError> {
    let mut attempts = FuturesUnordered::new();
    for (index, address) in addresses.iter().copied().enumerate() {
        attempts.push(async move {
            // The next address joins only when the ones before it take their time.
            sleep(stagger * u32::try_from(index).unwrap_or(0)).await;
            let result = timeout(PEER_DIAL, dial(core, online, address, device, from)).await;
            result.unwrap_or_else(|_| Err(PeerError::Unreachable(address.to_string())))
        });
    }
    let mut error = PeerError::Unreachable("any address".to_owned());
    while let Some(result) = attempts.next().await {
        match result {
            Ok(connection) => return Ok(connection),
            Err(failed) => error = failed,
        }
    }
    Err(error)
}

async fn dial(
    core: &Arc<Core>,
    online: &Online,
    address: SocketAddr,
    device: DeviceId,
    from: Option<&Endpoint>,
) -> Result<Connection, PeerError> {
    let unreachable = |error: &dyn std::fmt::Display| {
        tracing::debug!(%address, %device, %error, "a device was not reached");
        PeerError::Unreachable(address.to_string())
    };
    let tls = online.credentials.client_config(PEER_ALPN).map_err(|error| unreachable(&error))?;
    let config = endpoint::peer_client(tls).map_err(|error| unreachable(&error))?;
    let endpoint = from.or_else(|| core.endpoints.for_address(address));
    let endpoint = endpoint.ok_or_else(|| unreachable(&"no socket of that family"))?;
    let connecting = endpoint.connect_with(config, address, PEER_NAME).map_err(|error| unreachable(&error))?;
    let connection = connecting.await.map_err(|error| unreachable(&error))?;
    if net::peer_of(&connection).is_none_or(|(_, reached)| reached != device) {
        net::close(&connection, Code::BadRequest);
        return Err(PeerError::OtherDevice);
    }
    // From here on the other end may count on this connection, as when both dial at once: it is not given up half-way,
    // though whoever asked for it may have stopped waiting.
    let (core, stop) = (core.clone(), core.stop.clone());
    let begun = core.clone().peers.tasks.spawn(async move {
        tokio::select! {
            begun = timeout(HELLO, begin(core, connection, device)) => begun.ok(),
            () = stop.cancelled() => None,
        }
    });
    match begun.await {
        Ok(Some(begun)) => begun,
        Ok(None) => Err(unreachable(&"it says no hello")),
        Err(error) => Err(unreachable(&error)),
    }
}

/// Says hello on a connection that was dialled, and keeps it.
async fn begin(core: Arc<Core>, connection: Connection, device: DeviceId) -> Result<Connection, PeerError> {
    let unreachable = |error: &dyn std::fmt::Display| {
        tracing::debug!(%device, %error, "a device was met and said no hello");
        PeerError::Unreachable(connection.remote_address().to_string())
    };
    // Only its answer tells that it has checked our certificate.
    let (send, mut recv) = connection.open_bi().await.map_err(|error| unreachable(&error))?;
    let mut send = Outgoing::new(send);
    let hello = Open::Hello(Hello { program: PROGRAM.to_owned(), expects: device });
    frame::send(&mut send, &hello, PEER_FRAME_BYTES_MAX).await.map_err(|error| unreachable(&error))?;
    send.finish();
    let answer = frame::receive(&mut recv, PEER_FRAME_BYTES_MAX).await;
    match answer.map_err(|error| unreachable(&error))? {
        HelloAnswer::Accepted { .. } => {}
        HelloAnswer::Refused(refusal) => {
            return Err(PeerError::Refused(shared::show::show_line(&refusal.detail, 200)));
        }
    }
    core.peers.adopt(&core, device, &connection, true);
    // The other side may use the same connection for what it wants from here.
    core.peers.tasks.spawn(serve_streams(core.clone(), connection.clone(), device));
    Ok(connection)
}
