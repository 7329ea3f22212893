//! The engine's UDP sockets, for the tracker and for members alike.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use certs::SigningKey;
use quinn::Endpoint;
use shared::net::endpoint;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// The engine's sockets: one for each address family that this machine has.
#[derive(Debug)]
pub struct Endpoints {
    v4: Endpoint,
    v6: Option<Endpoint>,
    /// Tunnels to the tracker, where UDP is blocked.
    tunnels: TaskTracker,
}

impl Endpoints {
    /// Binds free ports.
    pub fn bind(key: &SigningKey) -> std::io::Result<Self> {
        let v4 = endpoint::endpoint(endpoint::bind((Ipv4Addr::UNSPECIFIED, 0).into())?, None, key)?;
        let v6 =
            endpoint::bind((Ipv6Addr::UNSPECIFIED, 0).into()).and_then(|socket| endpoint::endpoint(socket, None, key));
        if let Err(error) = &v6 {
            tracing::debug!(%error, "no IPv6 on this machine");
        }
        Ok(Self { v4, v6: v6.ok(), tunnels: TaskTracker::new() })
    }

    /// The endpoint for an address's family.
    pub fn for_address(&self, address: SocketAddr) -> Option<&Endpoint> {
        match address {
            SocketAddr::V4(_) => Some(&self.v4),
            SocketAddr::V6(_) => self.v6.as_ref(),
        }
    }

    /// All endpoints.
    pub fn all(&self) -> impl Iterator<Item = &Endpoint> {
        std::iter::once(&self.v4).chain(self.v6.as_ref())
    }

    /// From now on members may connect.
    pub fn serve(&self, config: quinn::ServerConfig) {
        for endpoint in self.all() {
            endpoint.set_server_config(Some(config.clone()));
        }
    }

    /// The IPv4 port.
    pub fn port(&self) -> u16 {
        self.v4.local_addr().map_or(0, |address| address.port())
    }

    /// The address of this machine on the way to `remote`, with our port.
    pub async fn local_addresses(&self, remote: SocketAddr) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        // Connecting a UDP socket sends nothing; it only asks the kernel for the route.
        let unspecified: IpAddr = match remote {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let routed = async {
            let socket = tokio::net::UdpSocket::bind((unspecified, 0)).await?;
            socket.connect(remote).await?;
            socket.local_addr()
        };
        match routed.await {
            Ok(local) => {
                let port = self.for_address(remote).and_then(|endpoint| endpoint.local_addr().ok());
                addresses.extend(port.map(|port| SocketAddr::new(local.ip(), port.port())));
            }
            Err(error) => tracing::debug!(%error, "no route to the tracker to learn the local address from"),
        }
        addresses
    }

    /// Runs the work of a tunnel until it ends.
    pub fn carry(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tunnels.spawn(work);
    }

    /// Says goodbye to everyone and waits a moment for it to arrive.
    pub async fn close(&self) {
        for endpoint in self.all() {
            endpoint.close(0u32.into(), b"bye");
        }
        for endpoint in self.all() {
            if timeout(Duration::from_secs(1), endpoint.wait_idle()).await.is_err() {
                tracing::debug!("a connection did not say goodbye in time");
            }
        }
        self.tunnels.close();
        if timeout(Duration::from_secs(1), self.tunnels.wait()).await.is_err() {
            tracing::debug!("a tunnel did not end in time");
        }
    }
}
