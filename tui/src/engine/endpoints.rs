//! The engine's UDP sockets, for the tracker and for members alike.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use certs::SigningKey;
use quinn::Endpoint;
use shared::{
    limits::{ADDRESSES_MAX, FRESH_SOCKETS_MAX},
    net::endpoint,
    reach::is_local,
};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// The engine's sockets: one for each address family that this machine has, and fresh ones for second attempts.
#[derive(Debug)]
pub struct Endpoints {
    v4: Door,
    v6: Option<Door>,
    fresh: Mutex<Vec<Door>>,
    key: SigningKey,
    server: Mutex<Option<quinn::ServerConfig>>,
    /// Tunnels to the tracker, where UDP is blocked.
    tunnels: TaskTracker,
}

/// A socket: its endpoint, and a second handle by which packets leave that are none of the endpoint's.
#[derive(Debug, Clone)]
pub struct Door {
    endpoint: Endpoint,
    socket: Arc<Mutex<UdpSocket>>,
}

impl Door {
    fn open(unspecified: IpAddr, server: Option<quinn::ServerConfig>, key: &SigningKey) -> io::Result<Self> {
        let socket = endpoint::bind((unspecified, 0).into())?;
        let second = socket.try_clone()?;
        let endpoint = endpoint::endpoint(socket, server, key)?;
        Ok(Self { endpoint, socket: Arc::new(Mutex::new(second)) })
    }

    /// The endpoint on the socket.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends a packet from the socket, around the endpoint.
    pub fn send(&self, packet: &[u8], to: SocketAddr) -> io::Result<()> {
        locked(&self.socket).send_to(packet, to).map(drop)
    }

    /// Goes on with the same socket as if it were new: whoever is connected hears from us at once, so that it learns
    /// an address that has changed.
    fn refresh(&self) -> io::Result<()> {
        let again = locked(&self.socket).try_clone()?;
        self.endpoint.rebind(again)
    }

    /// Goes on with another socket.
    fn replace(&self) -> io::Result<()> {
        let unspecified = self.endpoint.local_addr()?.ip();
        let socket = endpoint::bind((unspecified, 0).into())?;
        let second = socket.try_clone()?;
        self.endpoint.rebind(socket)?;
        *locked(&self.socket) = second;
        Ok(())
    }

    fn is_ipv4(&self) -> bool {
        self.endpoint.local_addr().is_ok_and(|address| address.is_ipv4())
    }

    fn is_unused(&self) -> bool {
        // One handle is the list's: nobody is about to use it.
        Arc::strong_count(&self.socket) == 1 && self.endpoint.open_connections() == 0
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Endpoints {
    /// Binds free ports.
    pub fn bind(key: &SigningKey) -> io::Result<Self> {
        let v4 = Door::open(Ipv4Addr::UNSPECIFIED.into(), None, key)?;
        let v6 = Door::open(Ipv6Addr::UNSPECIFIED.into(), None, key);
        if let Err(error) = &v6 {
            tracing::debug!(%error, "no IPv6 on this machine");
        }
        Ok(Self {
            v4,
            v6: v6.ok(),
            fresh: Mutex::default(),
            key: key.clone(),
            server: Mutex::default(),
            tunnels: TaskTracker::new(),
        })
    }

    /// The socket for an address's family.
    pub const fn door(&self, address: SocketAddr) -> Option<&Door> {
        match address {
            SocketAddr::V4(_) => Some(&self.v4),
            SocketAddr::V6(_) => self.v6.as_ref(),
        }
    }

    /// The endpoint for an address's family.
    pub fn for_address(&self, address: SocketAddr) -> Option<&Endpoint> {
        self.door(address).map(Door::endpoint)
    }

    fn doors(&self) -> impl Iterator<Item = &Door> {
        std::iter::once(&self.v4).chain(self.v6.as_ref())
    }

    /// All endpoints, without those of second attempts.
    pub fn all(&self) -> impl Iterator<Item = &Endpoint> {
        self.doors().map(Door::endpoint)
    }

    /// From now on members may connect.
    pub fn serve(&self, config: quinn::ServerConfig) {
        for endpoint in self.all() {
            endpoint.set_server_config(Some(config.clone()));
        }
        *locked(&self.server) = Some(config);
    }

    /// A socket that no NAT knows yet, of the family of `towards`. It lives for as long as a connection on it.
    pub fn fresh(&self, towards: SocketAddr) -> io::Result<Door> {
        let unspecified = match towards.ip().to_canonical() {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let mut fresh = locked(&self.fresh);
        fresh.retain(|door| !door.is_unused());
        if fresh.len() >= FRESH_SOCKETS_MAX {
            return Err(io::Error::other("too many connections came by second attempts"));
        }
        let door = Door::open(unspecified, locked(&self.server).clone(), &self.key)?;
        fresh.push(door.clone());
        Ok(door)
    }

    /// The network changed: every connection that we dialled tells the other end where we are now. `gone`: the address
    /// that we were at; its sockets are replaced, because a NAT may still hold their ports for that address. With
    /// them go the connections that others dialled, which could not live on anyway.
    pub fn refresh(&self, gone: Option<IpAddr>) {
        let fresh = locked(&self.fresh).clone();
        for door in self.doors().chain(&fresh) {
            let is_gone = gone.is_some_and(|gone| door.is_ipv4() == gone.is_ipv4());
            let refreshed = if is_gone { door.replace() } else { door.refresh() };
            if let Err(error) = refreshed {
                tracing::warn!(%error, "a socket could not be refreshed");
            }
        }
    }

    /// Leaves the sockets for others: something on the way may hold the old ones to be what they no longer are.
    pub fn replace(&self) {
        for door in self.doors() {
            if let Err(error) = door.replace() {
                tracing::warn!(%error, "a socket could not be replaced");
            }
        }
    }

    /// The IPv4 port.
    pub fn port(&self) -> u16 {
        self.v4.endpoint.local_addr().map_or(0, |address| address.port())
    }

    /// The addresses of this machine with our ports, the one on the way to `remote` first. `interfaces`: those that
    /// the machine's interfaces have.
    pub async fn local_addresses(&self, remote: SocketAddr, interfaces: &[IpAddr]) -> Vec<SocketAddr> {
        let routed = routed(remote).await;
        if let Err(error) = &routed {
            tracing::debug!(%error, "no route to the tracker to learn the local address from");
        }
        // Of the others the global ones are of no use: nobody dials what is only claimed.
        let others = interfaces.iter().copied().filter(|ip| is_local(*ip) && !ip.is_loopback());
        let mut addresses = Vec::new();
        for ip in routed.into_iter().chain(others) {
            let endpoint = self.for_address(SocketAddr::new(ip, 0));
            let Some(port) = endpoint.and_then(|endpoint| endpoint.local_addr().ok()) else { continue };
            let address = SocketAddr::new(ip, port.port());
            if addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }

    /// Runs the work of a tunnel until it ends.
    pub fn carry(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tunnels.spawn(work);
    }

    /// Says goodbye to everyone and waits a moment for it to arrive.
    pub async fn close(&self) {
        let fresh = std::mem::take(&mut *locked(&self.fresh));
        for door in self.doors().chain(&fresh) {
            door.endpoint.close(0u32.into(), b"bye");
        }
        for door in self.doors().chain(&fresh) {
            if timeout(Duration::from_secs(1), door.endpoint.wait_idle()).await.is_err() {
                tracing::debug!("a connection did not say goodbye in time");
            }
        }
        self.tunnels.close();
        if timeout(Duration::from_secs(1), self.tunnels.wait()).await.is_err() {
            tracing::debug!("a tunnel did not end in time");
        }
    }
}

/// The address that packets to `remote` leave from.
pub async fn routed(remote: SocketAddr) -> io::Result<IpAddr> {
    // Connecting a UDP socket sends nothing; it only asks the kernel for the route.
    let unspecified: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = tokio::net::UdpSocket::bind((unspecified, 0)).await?;
    socket.connect(remote).await?;
    Ok(socket.local_addr()?.ip())
}
