//! The way to the tracker where UDP is blocked: a tunnel through its web port, in which QUIC goes on as ever.

use std::{net::SocketAddr, sync::Arc};

use hyper::{
    Request, StatusCode,
    client::conn::http1,
    header::{CONNECTION, HOST, UPGRADE},
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use quinn::Endpoint;
use rustls::pki_types::ServerName;
use shared::{
    limits::{HELLO, TRACKER_DIAL, WEB_HEAD_BYTES_MAX},
    net::{endpoint, tunnel::Tunnel},
    wire::{TRACKER_NAME, TUNNEL_PATH, TUNNEL_PROTOCOL, WEB_ALPN},
};
use tokio::{
    net::TcpStream,
    time::{error::Elapsed, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{core::Core, link::TrackerLink};

/// Why there is no tunnel, for people.
#[derive(Debug, thiserror::Error)]
pub enum NoTunnel {
    /// Nothing answers, or not in time.
    #[error("{0} does not answer")]
    Silent(SocketAddr),
    /// The connection could not be made or broke.
    #[error("{address}: {cause}")]
    Broken { address: SocketAddr, cause: String },
    /// Somebody else is there: a hotel's sign-in page, a firewall that reads along, or another server.
    #[error("{address} is another server: it shows {presented}, the link says {pinned}")]
    OtherServer { address: SocketAddr, presented: certs::Fingerprint, pinned: certs::Fingerprint },
    /// It has no tunnels.
    #[error("{address} opens no tunnel ({status})")]
    Refused { address: SocketAddr, status: StatusCode },
}

/// An endpoint whose only way is a tunnel to this address of the tracker's web port. The tunnel lasts as long as the
/// endpoint has a connection.
pub async fn open(core: &Core, link: &TrackerLink, address: SocketAddr) -> Result<Endpoint, NoTunnel> {
    let broken = |cause: &dyn std::fmt::Display| NoTunnel::Broken { address, cause: cause.to_string() };
    let silent = |_: Elapsed| NoTunnel::Silent(address);
    let stream = timeout(TRACKER_DIAL, TcpStream::connect(address)).await.map_err(silent)?;
    let stream = stream.map_err(|error| broken(&error))?;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small datagrams may be delayed");
    }
    let local = stream.local_addr().map_err(|error| broken(&error))?;
    let (tls, seen) = certs::tracker_client_config(link.fingerprint, WEB_ALPN).map_err(|error| broken(&error))?;
    let name = ServerName::try_from(TRACKER_NAME).map_err(|error| broken(&error))?;
    let shaken = timeout(TRACKER_DIAL, TlsConnector::from(Arc::new(tls)).connect(name, stream)).await;
    let stream = match shaken.map_err(silent)? {
        Ok(stream) => stream,
        Err(error) => {
            let other = seen.get().filter(|presented| *presented != link.fingerprint);
            return Err(other.map_or_else(
                || broken(&error),
                |presented| NoTunnel::OtherServer { address, presented, pinned: link.fingerprint },
            ));
        }
    };
    let upgraded = timeout(HELLO, upgrade(stream)).await.map_err(silent)?;
    let stream = match upgraded.map_err(|error| broken(&error))? {
        Ok(stream) => stream,
        Err(status) => return Err(NoTunnel::Refused { address, status }),
    };
    let (socket, work) = Tunnel::over(TokioIo::new(stream), local, address);
    let endpoint = endpoint::tunnelled(socket, None, &core.key).map_err(|error| broken(&error))?;
    core.endpoints.carry(async move {
        if let Err(error) = work.await {
            tracing::debug!(%address, %error, "a tunnel to the tracker ended");
        }
    });
    Ok(endpoint)
}

/// Turns the connection into a tunnel, or says what the server answered instead.
async fn upgrade(stream: TlsStream<TcpStream>) -> Result<Result<Upgraded, StatusCode>, hyper::Error> {
    let handshake = http1::Builder::new().max_buf_size(WEB_HEAD_BYTES_MAX).handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await?;
    let mut request = Request::new(String::new());
    *request.uri_mut() = hyper::Uri::from_static(TUNNEL_PATH);
    for (name, value) in [
        (HOST, TRACKER_NAME),
        (CONNECTION, "upgrade"),
        (UPGRADE, TUNNEL_PROTOCOL),
        (hyper::header::HeaderName::from_static("capsule-protocol"), "?1"),
    ] {
        request.headers_mut().insert(name, hyper::header::HeaderValue::from_static(value));
    }
    let asking = async move {
        // The sender is dropped with the answer: there is one request.
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Err(response.status()));
        }
        hyper::upgrade::on(response).await.map(Ok)
    };
    // Who answers hands the connection over only while it is driven. Its own end says nothing that the answer does not.
    let (_driven, answer) = tokio::join!(connection.with_upgrades(), asking);
    answer
}
