//! UDP sockets, QUIC endpoints and transport settings, with the reasons for each number in `limits`.

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::Arc,
};

use certs::SigningKey;
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, MtuDiscoveryConfig, ServerConfig, TokioRuntime, TransportConfig, VarInt,
    congestion::CubicConfig,
    crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig},
};
use quinn_proto::HashedConnectionIdGenerator;
use socket2::{Domain, Protocol, Socket, Type};

use super::{congestion::ModelConfig, tunnel::Tunnel};
use crate::limits::{
    CONNECTION_WINDOW_BYTES, DATAGRAM_BYTES_MAX, DATAGRAM_RETRY, DATAGRAM_SEARCH, PEER_IDLE, PEER_KEEP_ALIVE,
    PEER_STREAMS_MAX, ROUND_TRIP_GUESS, SEND_WINDOW_BYTES, SOCKET_BUFFER_BYTES, STREAM_WINDOW_BYTES,
    TRACKER_BIDI_STREAMS_MAX, TRACKER_HANDSHAKES_MAX, TRACKER_IDLE, TRACKER_KEEP_ALIVE, TRACKER_STREAM_WINDOW_BYTES,
    TRACKER_UNI_STREAMS_MAX, TUNNEL_INCOMING_MAX, WEB_NEWCOMERS_MAX,
};

/// A UDP socket for an endpoint: large buffers, IPv6 sockets for IPv6 alone.
///
/// # Errors
/// When the address cannot be bound.
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // The kernel grants what its own limit allows; less costs speed, not correctness.
    for result in [socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES), socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)] {
        if let Err(error) = result {
            tracing::debug!(%error, "socket buffers stay at the system's size");
        }
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A TCP socket that listens: IPv6 sockets for IPv6 alone.
///
/// # Errors
/// When the address cannot be bound.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of an earlier run that still linger do not hold up the next one.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(WEB_NEWCOMERS_MAX as i32)?;
    Ok(socket.into())
}

/// An endpoint on this socket, with or without a server side.
///
/// # Errors
/// When the runtime refuses the socket.
pub fn endpoint(socket: UdpSocket, server: Option<ServerConfig>, key: &SigningKey) -> io::Result<Endpoint> {
    Endpoint::new(endpoint_config(key)?, server, socket, Arc::new(TokioRuntime))
}

/// Settings of an endpoint, whatever its socket is.
///
/// The key is the device's or tracker's own, the same in every run. Connection ids and stateless resets (RFC 9000,
/// section 10.3) come from it, so that who still talks to an earlier run learns at once that it is over.
///
/// # Errors
/// When quinn takes no datagrams of [`DATAGRAM_BYTES_MAX`].
pub fn endpoint_config(key: &SigningKey) -> io::Result<EndpointConfig> {
    let reset = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key.derive("quic stateless resets"));
    let ids = key.derive("quic connection ids");
    let ids = u64::from_le_bytes([ids[0], ids[1], ids[2], ids[3], ids[4], ids[5], ids[6], ids[7]]);
    let mut config = EndpointConfig::new(Arc::new(reset));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    config.max_udp_payload_size(DATAGRAM_BYTES_MAX).map_err(io::Error::other)?;
    Ok(config)
}

/// An endpoint at one end of a tunnel, else as [`endpoint`].
///
/// # Errors
/// When the tunnel has no address.
pub fn tunnelled(tunnel: Arc<Tunnel>, server: Option<ServerConfig>, key: &SigningKey) -> io::Result<Endpoint> {
    Endpoint::new_with_abstract_socket(endpoint_config(key)?, server, tunnel, Arc::new(TokioRuntime))
}

/// Settings of the tracker's side: small windows and few streams, because the limit is the memory of an idle member.
#[must_use]
pub fn tracker_transport() -> Arc<TransportConfig> {
    Arc::new(tracker_settings())
}

fn tracker_settings() -> TransportConfig {
    let mut transport = transport(Congestion::wanted());
    transport
        .max_idle_timeout(TRACKER_IDLE.try_into().ok())
        .max_concurrent_bidi_streams(TRACKER_BIDI_STREAMS_MAX.into())
        .max_concurrent_uni_streams(TRACKER_UNI_STREAMS_MAX.into())
        .stream_receive_window(VarInt::from_u32(TRACKER_STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES);
    transport
}

/// Settings of a device's connection to its tracker.
#[must_use]
pub fn device_transport() -> Arc<TransportConfig> {
    Arc::new(device_settings())
}

fn device_settings() -> TransportConfig {
    let mut transport = bulk_transport(Congestion::wanted());
    transport.max_idle_timeout(TRACKER_IDLE.try_into().ok()).keep_alive_interval(Some(TRACKER_KEEP_ALIVE));
    transport
}

/// The same in a tunnel, which carries the largest datagrams from the first to the last.
fn in_tunnel(mut transport: TransportConfig) -> Arc<TransportConfig> {
    transport.initial_mtu(DATAGRAM_BYTES_MAX).min_mtu(DATAGRAM_BYTES_MAX).mtu_discovery_config(None);
    Arc::new(transport)
}

/// Settings between two devices.
#[must_use]
pub fn peer_transport() -> Arc<TransportConfig> {
    Arc::new(peer_settings(Congestion::wanted()))
}

/// The same with a congestion control of one's choice.
pub(crate) fn peer_settings(congestion: Congestion) -> TransportConfig {
    let mut discovery = discovery();
    discovery.interval(DATAGRAM_SEARCH);
    let mut transport = bulk_transport(congestion);
    transport
        .mtu_discovery_config(Some(discovery))
        .max_idle_timeout(PEER_IDLE.try_into().ok())
        .keep_alive_interval(Some(PEER_KEEP_ALIVE));
    transport
}

/// What decides how much may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Congestion {
    /// A model of the path ([`super::congestion`]).
    Model,
    /// Loss, as in TCP: Cubic.
    Cubic,
}

impl Congestion {
    /// The model, unless the variable `SWAPMEET_CONGESTION` is `cubic`.
    fn wanted() -> Self {
        match std::env::var_os("SWAPMEET_CONGESTION") {
            Some(wanted) if wanted == "cubic" => Self::Cubic,
            Some(_) | None => Self::Model,
        }
    }
}

/// What all connections have in common.
fn transport(congestion: Congestion) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport.mtu_discovery_config(Some(discovery())).datagram_receive_buffer_size(None).initial_rtt(ROUND_TRIP_GUESS);
    match congestion {
        Congestion::Model => transport.congestion_controller_factory(Arc::new(ModelConfig)),
        Congestion::Cubic => transport.congestion_controller_factory(Arc::new(CubicConfig::default())),
    };
    transport
}

fn discovery() -> MtuDiscoveryConfig {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(DATAGRAM_BYTES_MAX).black_hole_cooldown(DATAGRAM_RETRY);
    discovery
}

fn bulk_transport(congestion: Congestion) -> TransportConfig {
    let mut transport = transport(congestion);
    transport
        .max_concurrent_bidi_streams(PEER_STREAMS_MAX.into())
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES);
    transport
}

/// The server side of the tracker's endpoint: bounded in handshakes that have not begun.
///
/// # Errors
/// When the TLS configuration has no cipher for QUIC.
pub fn tracker_server(tls: rustls::ServerConfig) -> Result<ServerConfig, NoInitialCipherSuite> {
    let mut server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    server
        .transport_config(tracker_transport())
        .max_incoming(TRACKER_HANDSHAKES_MAX)
        .incoming_buffer_size(64 * 1024)
        .incoming_buffer_size_total(8 * 1024 * 1024);
    Ok(server)
}

/// The server side of the tracker's end of a tunnel, which one device comes through.
///
/// # Errors
/// When the TLS configuration has no cipher for QUIC.
pub fn tunnelled_tracker_server(tls: rustls::ServerConfig) -> Result<ServerConfig, NoInitialCipherSuite> {
    let mut server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    server
        .transport_config(in_tunnel(tracker_settings()))
        .max_incoming(TUNNEL_INCOMING_MAX)
        .incoming_buffer_size(64 * 1024)
        .incoming_buffer_size_total(256 * 1024)
        .migration(false);
    Ok(server)
}

/// The server side of a device's endpoint.
///
/// # Errors
/// When the TLS configuration has no cipher for QUIC.
pub fn peer_server(tls: rustls::ServerConfig) -> Result<ServerConfig, NoInitialCipherSuite> {
    let mut server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    server
        .transport_config(peer_transport())
        .max_incoming(64)
        .incoming_buffer_size(64 * 1024)
        .incoming_buffer_size_total(1024 * 1024);
    Ok(server)
}

/// The client side towards a tracker.
///
/// # Errors
/// When the TLS configuration has no cipher for QUIC.
pub fn tracker_client(tls: rustls::ClientConfig) -> Result<ClientConfig, NoInitialCipherSuite> {
    let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    client.transport_config(device_transport());
    Ok(client)
}

/// The client side towards a tracker at the other end of a tunnel.
///
/// # Errors
/// When the TLS configuration has no cipher for QUIC.
pub fn tunnelled_tracker_client(tls: rustls::ClientConfig) -> Result<ClientConfig, NoInitialCipherSuite> {
    let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    client.transport_config(in_tunnel(device_settings()));
    Ok(client)
}

/// The client side towards a member.
///
/// # Errors
/// When the TLS configuration has no cipher for QUIC.
pub fn peer_client(tls: rustls::ClientConfig) -> Result<ClientConfig, NoInitialCipherSuite> {
    let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    client.transport_config(peer_transport());
    Ok(client)
}
