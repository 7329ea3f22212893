//! The QUIC side: accepts connections, gives each a task, and each stream of it a task. They come over UDP or, where
//! that is blocked, through tunnels of the web port; beyond [`web`] it makes no difference.
//!
//! Everything runs well on a current-thread runtime, which is what the program uses: handshakes and small requests are
//! twice as fast there as on several threads, and disk, database and password hashing have threads of their own.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use certs::SigningKey;
use quinn::{Endpoint, Incoming};
use shared::{limits::SHUTDOWN, net};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

mod admission;
mod connection;
mod dispatch;
pub mod probe;
mod relay;
mod sessions;
pub mod web;

pub use admission::{Admission, Verdict};
pub use sessions::Sessions;
pub use web::WebPort;

use crate::handler::Ctx;

/// How a connection reaches the tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As it should be: others can be told its address.
    Udp,
    /// In a tunnel through the web port.
    Tunnel,
}

/// What all connections share.
#[derive(Debug)]
pub struct Server {
    ctx: Arc<Ctx>,
    sessions: Arc<Sessions>,
    admission: Arc<Mutex<Admission>>,
    connections: AtomicU64,
    requests: AtomicU64,
    stop: CancellationToken,
}

impl Server {
    /// A server that has not accepted anyone yet.
    #[must_use]
    pub fn new(ctx: Arc<Ctx>, sessions: Arc<Sessions>, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            ctx,
            sessions,
            admission: Arc::default(),
            connections: AtomicU64::new(1),
            requests: AtomicU64::new(1),
            stop,
        })
    }

    /// Accepts connections on these endpoints and the web port until stopped, and then sees the connections off.
    ///
    /// # Errors
    /// When an endpoint dies: its socket failed.
    pub async fn run(self: Arc<Self>, endpoints: Vec<Endpoint>, web: Option<Arc<WebPort>>) -> io::Result<()> {
        let tasks = TaskTracker::new();
        let mut acceptors = tokio::task::JoinSet::new();
        for endpoint in &endpoints {
            acceptors.spawn(self.clone().accept(endpoint.clone(), tasks.clone()));
        }
        if let Some(web) = web {
            acceptors.spawn(web.accept(self.clone(), tasks.clone()));
        }
        let dead = tokio::select! {
            () = self.stop.cancelled() => false,
            _ = acceptors.join_next() => !self.stop.is_cancelled(),
        };
        self.stop.cancel();
        acceptors.shutdown().await;
        tasks.close();
        if tokio::time::timeout(SHUTDOWN, tasks.wait()).await.is_err() {
            tracing::warn!(left = tasks.len(), "connections are cut that did not end in time");
        }
        for endpoint in &endpoints {
            endpoint.close(0u32.into(), b"the tracker stops");
        }
        for endpoint in &endpoints {
            // The goodbyes still have to leave; who does not answer them is not waited for.
            let _unanswered = tokio::time::timeout(SHUTDOWN / 5, endpoint.wait_idle()).await;
        }
        if dead { Err(io::Error::other("the UDP socket failed")) } else { Ok(()) }
    }

    async fn accept(self: Arc<Self>, endpoint: Endpoint, tasks: TaskTracker) {
        while let Some(incoming) = endpoint.accept().await {
            self.admit(incoming, Way::Udp, &tasks);
        }
    }

    fn admit(self: &Arc<Self>, incoming: Incoming, way: Way, tasks: &TaskTracker) {
        let address = incoming.remote_address();
        let verdict = self.admission().judge(address.ip(), incoming.remote_address_validated());
        match verdict {
            Verdict::Accept => {
                let place = Place { admission: self.admission.clone(), address: address.ip(), established: false };
                let number = self.connections.fetch_add(1, Ordering::Relaxed);
                let span = tracing::info_span!("conn", number);
                tracing::debug!(parent: &span, %address, "connection");
                tasks.spawn(connection::run(self.clone(), incoming, way, place, number).instrument(span));
            }
            Verdict::Retry => {
                if let Err(error) = incoming.retry() {
                    tracing::debug!(%error, "a retry was not possible");
                }
            }
            Verdict::Refuse => incoming.refuse(),
            Verdict::Ignore => incoming.ignore(),
        }
    }

    fn admission(&self) -> std::sync::MutexGuard<'_, Admission> {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }
}

/// A counted connection; its end is counted too, however it ends.
#[derive(Debug)]
struct Place {
    admission: Arc<Mutex<Admission>>,
    address: IpAddr,
    established: bool,
}

impl Place {
    fn establish(&mut self) {
        self.established = true;
        self.admission.lock().unwrap_or_else(PoisonError::into_inner).established();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner).leave(self.address, self.established);
    }
}

/// An endpoint on this address that serves with this TLS configuration. The key is the tracker's own.
///
/// # Errors
/// When the address cannot be bound or the configuration does not fit QUIC.
pub fn endpoint(address: SocketAddr, tls: rustls::ServerConfig, key: &SigningKey) -> io::Result<Endpoint> {
    let server = net::endpoint::tracker_server(tls).map_err(io::Error::other)?;
    net::endpoint::endpoint(net::endpoint::bind(address)?, Some(server), key)
}
