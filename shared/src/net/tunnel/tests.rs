use std::time::{Duration, SystemTime};

use certs::{Authority, SigningKey, tracker_client_config};
use quinn::{Connection, Endpoint};
use tempfile::TempDir;
use tokio::{
    io::{DuplexStream, duplex},
    task::JoinHandle,
};

use super::*;
use crate::{
    limits::DATAGRAM_BYTES_MAX,
    net::{endpoint, exported},
    wire::{TRACKER_ALPN, TRACKER_NAME},
};

/// Guards against a test that would never end.
async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future).await.expect("it comes to an end")
}

const DEVICE: &str = "192.0.2.7:50000";
const TRACKER: &str = "192.0.2.1:7443";

fn at(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

fn now() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "certificates are checked against the real time")]
    SystemTime::now()
}

/// One end of a tunnel.
struct End {
    endpoint: Endpoint,
    work: JoinHandle<Result<(), TunnelError>>,
}

fn key() -> SigningKey {
    SigningKey::generate().expect("there are random numbers")
}

fn device_end(stream: DuplexStream) -> End {
    let (socket, work) = Tunnel::over(stream, at(DEVICE), at(TRACKER));
    let endpoint = endpoint::tunnelled(socket, None, &key()).expect("it has an address");
    End { endpoint, work: tokio::spawn(work) }
}

fn tracker_end(stream: DuplexStream, authority: &Authority) -> End {
    let tls = authority.tracker_server_config(&[TRACKER_ALPN], now()).expect("the authority works");
    let server = endpoint::tunnelled_tracker_server(tls).expect("it fits QUIC");
    let (socket, work) = Tunnel::over(stream, at(TRACKER), at(DEVICE));
    let endpoint = endpoint::tunnelled(socket, Some(server), &key()).expect("it has an address");
    End { endpoint, work: tokio::spawn(work) }
}

/// A device and a tracker that are connected through a tunnel.
struct Met {
    device_end: End,
    tracker_end: End,
    device: Connection,
    tracker: Connection,
    _folder: TempDir,
}

async fn meet(pipe_bytes: usize) -> Met {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let authority = Authority::open(folder.path(), now()).expect("the authority can be made");
    let (one, other) = duplex(pipe_bytes);
    let (device_end, tracker_end) = (device_end(one), tracker_end(other, &authority));
    let (tls, _) = tracker_client_config(authority.fingerprint(), TRACKER_ALPN).expect("rustls can be set up");
    let client = endpoint::tunnelled_tracker_client(tls).expect("it fits QUIC");
    let dialling = device_end.endpoint.connect_with(client, at(TRACKER), TRACKER_NAME).expect("it is the only address");
    let accepting = async { tracker_end.endpoint.accept().await.expect("the endpoint works").await };
    let (device, tracker) = within(async { tokio::join!(dialling, accepting) }).await;
    let (device, tracker) = (device.expect("it is the right tracker"), tracker.expect("it shakes hands"));
    Met { device_end, tracker_end, device, tracker, _folder: folder }
}

#[tokio::test]
async fn a_connection_through_a_tunnel_is_one_like_any_other() {
    let met = meet(10_000).await;
    assert_eq!(met.tracker.remote_address(), at(DEVICE));
    assert_eq!(exported(&met.device).expect("keys are there"), exported(&met.tracker).expect("keys are there"));
    assert_eq!(met.device.stats().path.current_mtu, DATAGRAM_BYTES_MAX);
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let sending = async {
        let (mut send, mut recv) = met.device.open_bi().await.expect("a stream is allowed");
        send.write_all(&sent).await.expect("it is read");
        send.finish().expect("it was not finished");
        recv.read_to_end(sent.len()).await.expect("it comes back")
    };
    let echoing = async {
        let (mut send, mut recv) = met.tracker.accept_bi().await.expect("a stream comes");
        let bytes = recv.read_to_end(sent.len()).await.expect("it comes whole");
        send.write_all(&bytes).await.expect("it is read");
        send.finish().expect("it was not finished");
    };
    let (back, ()) = within(async { tokio::join!(sending, echoing) }).await;
    assert!(back == sent, "every byte came back");
    assert_eq!(met.device.stats().path.lost_packets, 0);
}

#[tokio::test]
async fn the_end_of_the_stream_ends_the_connections_at_once() {
    let met = meet(10_000).await;
    met.device_end.work.abort();
    within(met.device.closed()).await;
    within(met.tracker.closed()).await;
    assert!(within(met.tracker_end.work).await.expect("it does not panic").is_err());
}

#[tokio::test]
async fn an_endpoint_that_is_done_says_goodbye_and_ends_the_tunnel() {
    let Met { device_end, tracker_end, device, tracker, _folder } = meet(10_000).await;
    // Asked for only later, the end of the endpoint would be the newer reason.
    let closed = tokio::spawn(async move { tracker.closed().await });
    tokio::task::yield_now().await;
    device.close(7u32.into(), b"bye");
    drop(device);
    within(device_end.endpoint.wait_idle()).await;
    drop(device_end.endpoint);
    within(device_end.work).await.expect("it does not panic").expect("this is a good end");
    let ended = within(closed).await.expect("it does not panic");
    let quinn::ConnectionError::ApplicationClosed(close) = ended else { panic!("the goodbye was lost: {ended}") };
    assert_eq!(close.error_code, 7u32.into());
    let ended = within(tracker_end.work).await.expect("it does not panic");
    assert!(matches!(ended, Err(TunnelError::Closed)), "{ended:?}");
}

#[tokio::test]
async fn who_reads_nothing_is_sent_a_bounded_amount() {
    let (one, _unread) = duplex(1000);
    let (socket, work) = Tunnel::over(one, at(DEVICE), at(TRACKER));
    let work = tokio::spawn(work);
    let contents = vec![0; 60_000];
    let transmit = Transmit {
        destination: at(TRACKER),
        ecn: None,
        contents: &contents,
        segment_size: Some(usize::from(DATAGRAM_BYTES_MAX)),
        src_ip: None,
    };
    let mut poller = socket.clone().create_io_poller();
    let mut taken = 0;
    while std::future::poll_fn(|cx| Poll::Ready(poller.as_mut().poll_writable(cx).is_ready())).await {
        socket.try_send(&transmit).expect("there is room");
        taken += contents.len();
        tokio::task::yield_now().await;
    }
    // One amount may be on its way while the next one gathers.
    assert!(taken <= 2 * (TUNNEL_AHEAD_BYTES + contents.len()), "{taken}");
    assert_eq!(socket.try_send(&transmit).expect_err("it is full").kind(), io::ErrorKind::WouldBlock);
    work.abort();
}

/// Writes what there is room for at once.
async fn write_now(stream: &mut DuplexStream, bytes: &[u8]) -> Option<usize> {
    std::future::poll_fn(|cx| match Pin::new(&mut *stream).poll_write(cx, bytes) {
        Poll::Ready(count) => Poll::Ready(Some(count.expect("the other end is there"))),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn what_nobody_takes_is_not_read() {
    let (one, mut other) = duplex(1000);
    let (socket, work) = Tunnel::over(one, at(DEVICE), at(TRACKER));
    let work = tokio::spawn(work);
    let mut flood = BytesMut::new();
    capsule::put(&mut flood, &[0; 1200]);
    let (mut written, mut stuck) = (0, 0);
    // All of this runs on one thread: whoever could go on has done so after a few turns.
    while stuck < 100 {
        match write_now(&mut other, &flood).await {
            Some(count) => (written, stuck) = (written + count, 0),
            None => stuck += 1,
        }
        assert!(written < 4 * TUNNEL_AHEAD_BYTES, "the flood goes on");
        tokio::task::yield_now().await;
    }
    let state = socket.pipe.state();
    assert!(state.arrived_bytes < TUNNEL_AHEAD_BYTES + TUNNEL_READ_BYTES, "{}", state.arrived_bytes);
    work.abort();
}

#[tokio::test]
async fn something_else_than_datagrams_ends_the_tunnel() {
    let (one, mut other) = duplex(1000);
    let (_socket, work) = Tunnel::over(one, at(DEVICE), at(TRACKER));
    let work = tokio::spawn(work);
    other.write_all(&[0, 0xbf, 0xff, 0xff, 0xff]).await.expect("it is read");
    let ended = within(work).await.expect("it does not panic");
    assert!(matches!(ended, Err(TunnelError::Capsule(_))), "{ended:?}");
}
