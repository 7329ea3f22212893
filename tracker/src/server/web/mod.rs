//! The web port, for members whose network lets no UDP through: HTTPS with a certificate of the tracker's own authority.
//!
//! A connection makes one request and makes it soon. The one that matters turns it into a tunnel (RFC 9298) that leads
//! to this tracker and nowhere else; from then on it is an endpoint with the other end as its only address, whose QUIC
//! connections are admitted, signed in and served like all others.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::SystemTime,
};

use certs::{Authority, SigningKey};
use hyper::{
    body::Incoming as Body,
    server::conn::http1,
    service::service_fn,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use shared::{
    limits::{SHUTDOWN, TRACKER_ANONYMOUS, WEB_ACCEPT_PAUSE, WEB_HEAD_BYTES_MAX, WEB_HEADERS_MAX, WEB_REQUEST},
    net::{self, tunnel::Tunnel},
    wire::{TRACKER_ALPN, WEB_ALPN},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, interval_at, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::{Server, Way};

mod crowd;
mod reply;

use crowd::Crowd;
use reply::Reply;

/// The listening sockets of the web port, and what newcomers meet there.
pub struct WebPort {
    listeners: Vec<TcpListener>,
    configs: RwLock<Configs>,
    key: SigningKey,
    crowd: Arc<Mutex<Crowd>>,
}

/// What a new connection is served with.
#[derive(Clone)]
struct Configs {
    tls: TlsAcceptor,
    quic: quinn::ServerConfig,
}

/// Why there is no web port.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// It cannot be listened on.
    #[error("could not listen")]
    Listen(#[from] io::Error),
    /// The certificate cannot be made.
    #[error("its certificate could not be made")]
    Certs(#[from] certs::CertsError),
    /// The certificate does not fit QUIC.
    #[error("its certificate does not fit QUIC")]
    Quic(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
}

impl std::fmt::Debug for WebPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebPort").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

impl Configs {
    fn new(authority: &Authority, now: SystemTime) -> Result<Self, WebError> {
        let tls = authority.tracker_server_config(&[WEB_ALPN], now)?;
        let quic = authority.tracker_server_config(&[TRACKER_ALPN], now)?;
        Ok(Self { tls: TlsAcceptor::from(Arc::new(tls)), quic: net::endpoint::tunnelled_tracker_server(quic)? })
    }
}

impl WebPort {
    /// Listens on these addresses, of which only the first must work.
    ///
    /// # Errors
    /// See [`WebError`].
    pub fn open(addresses: &[SocketAddr], authority: &Authority) -> Result<Self, WebError> {
        let mut listeners = Vec::new();
        for address in addresses {
            match net::endpoint::listen(*address).and_then(TcpListener::from_std) {
                Ok(listener) => listeners.push(listener),
                Err(error) if listeners.is_empty() => return Err(error.into()),
                Err(error) => tracing::info!(%address, %error, "the web port does without this address"),
            }
        }
        let configs = RwLock::new(Configs::new(authority, SystemTime::now())?);
        Ok(Self { listeners, configs, key: authority.grant_key().clone(), crowd: Arc::default() })
    }

    /// The first address that it listens on.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listeners.first()?.local_addr().ok()
    }

    /// Shows a fresh certificate to whoever connects from now on.
    ///
    /// # Errors
    /// When it cannot be made; then the present one stays.
    pub fn renew(&self, authority: &Authority) -> Result<(), WebError> {
        let fresh = Configs::new(authority, SystemTime::now())?;
        *self.configs.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    fn configs(&self) -> Configs {
        self.configs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes connections until dropped; `tasks` sees them to their end.
    pub(super) async fn accept(self: Arc<Self>, server: Arc<Server>, tasks: TaskTracker) {
        let mut loops = JoinSet::new();
        for index in 0..self.listeners.len() {
            let (web, server, tasks) = (self.clone(), server.clone(), tasks.clone());
            loops.spawn(async move {
                let Some(listener) = web.listeners.get(index) else { return };
                loop {
                    match listener.accept().await {
                        Ok((stream, address)) => web.admit(&server, stream, address, &tasks),
                        Err(error) => {
                            tracing::warn!(%error, "a connection to the web port could not be taken");
                            tokio::time::sleep(WEB_ACCEPT_PAUSE).await;
                        }
                    }
                }
            });
        }
        // They end only by being dropped. A web port that panicked must not take UDP with it.
        while loops.join_next().await.is_some() {}
        std::future::pending::<()>().await;
    }

    fn admit(self: &Arc<Self>, server: &Arc<Server>, stream: TcpStream, address: SocketAddr, tasks: &TaskTracker) {
        let address = shared::reach::canonical(address);
        if !crowd(&self.crowd).enter(address.ip()) {
            // Closing is the answer: a handshake to say more would cost what there is none left of.
            return;
        }
        let place = Place { crowd: self.crowd.clone(), address: address.ip(), is_settled: false };
        let span = tracing::info_span!("web", %address);
        tasks.spawn(converse(self.clone(), server.clone(), stream, address, place).instrument(span));
    }
}

/// A counted connection; its end is counted too, however it ends.
struct Place {
    crowd: Arc<Mutex<Crowd>>,
    address: IpAddr,
    is_settled: bool,
}

impl Place {
    fn settle(&mut self) {
        self.is_settled = true;
        crowd(&self.crowd).settle(self.address);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        crowd(&self.crowd).leave(self.address, self.is_settled);
    }
}

fn crowd(crowd: &Mutex<Crowd>) -> MutexGuard<'_, Crowd> {
    crowd.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn converse(web: Arc<WebPort>, server: Arc<Server>, stream: TcpStream, address: SocketAddr, mut place: Place) {
    let Configs { tls, quic } = web.configs();
    let tunnel = tokio::select! {
        tunnel = receive(&tls, stream) => tunnel,
        () = server.stop.cancelled() => None,
    };
    let Some(tunnel) = tunnel else { return };
    place.settle();
    tracing::debug!("a tunnel begins");
    if let Err(error) = serve_tunnel(&web, &server, tunnel, quic, address).await {
        tracing::warn!(%error, "a tunnel could not be served");
    }
    tracing::debug!("a tunnel ended");
}

/// Shakes hands and answers one request. `Some`: it asked for a tunnel, and this is it.
async fn receive(tls: &TlsAcceptor, stream: TcpStream) -> Option<Upgraded> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small datagrams may be delayed");
    }
    let stream = match timeout(WEB_REQUEST, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the handshake failed");
            return None;
        }
        Err(_) => {
            tracing::debug!("the handshake took too long");
            return None;
        }
    };
    match timeout(WEB_REQUEST, answer(stream)).await {
        Ok(tunnel) => tunnel,
        Err(_) => {
            tracing::debug!("the request took too long");
            None
        }
    }
}

/// One request and its answer. Nothing that is sent along with a request is read.
async fn answer(stream: TlsStream<TcpStream>) -> Option<Upgraded> {
    let upgrade: Mutex<Option<OnUpgrade>> = Mutex::default();
    let service = service_fn(|mut request: hyper::Request<Body>| {
        let reply = Reply::to(&request);
        tracing::debug!(method = %request.method(), ?reply, "web request");
        if reply == Reply::Tunnel {
            *upgrade.lock().unwrap_or_else(PoisonError::into_inner) = Some(hyper::upgrade::on(&mut request));
        }
        std::future::ready(Ok::<_, Infallible>(reply.response()))
    });
    let served = http1::Builder::new()
        .keep_alive(false)
        .auto_date_header(false)
        .max_buf_size(WEB_HEAD_BYTES_MAX)
        .max_headers(WEB_HEADERS_MAX)
        .timer(TokioTimer::new())
        .header_read_timeout(WEB_REQUEST)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a request ended early");
        return None;
    }
    let upgrade = upgrade.lock().unwrap_or_else(PoisonError::into_inner).take();
    upgrade?.await.inspect_err(|error| tracing::debug!(%error, "no tunnel came of it")).ok()
}

/// Serves the QUIC connections in a tunnel until it ends, nobody uses it, or the tracker stops.
async fn serve_tunnel(
    web: &WebPort,
    server: &Arc<Server>,
    stream: Upgraded,
    quic: quinn::ServerConfig,
    address: SocketAddr,
) -> io::Result<()> {
    let local: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let (socket, work) = Tunnel::over(TokioIo::new(stream), SocketAddr::new(local, 0), address);
    let endpoint = net::endpoint::tunnelled(socket, Some(quic), &web.key)?;
    let mut work = JoinSet::from_iter([work]);
    let connections = TaskTracker::new();
    let mut patience = interval_at(Instant::now() + TRACKER_ANONYMOUS, TRACKER_ANONYMOUS);
    loop {
        tokio::select! {
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => server.admit(incoming, Way::Tunnel, &connections),
                None => break,
            },
            Some(ended) = work.join_next() => {
                tracing::debug!(?ended, "the stream of a tunnel ended");
                break;
            }
            _ = patience.tick() => if endpoint.open_connections() == 0 {
                tracing::debug!("nobody uses this tunnel");
                break;
            },
            () = server.stop.cancelled() => break,
        }
    }
    // Connections end by themselves when the tracker stops or the stream is gone.
    let parting = async {
        connections.close();
        connections.wait().await;
        endpoint.close(0u32.into(), b"bye");
        endpoint.wait_idle().await;
        // The other end hangs up once it has heard the goodbye; the end of the stream could overtake that.
        while work.join_next().await.is_some() {}
    };
    if timeout(SHUTDOWN / 2, parting).await.is_err() {
        tracing::debug!("a tunnel is cut that did not end in time");
    }
    Ok(())
}
