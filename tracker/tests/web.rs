//! The web port: tunnels for members without UDP, and what strangers may send there.

#![expect(clippy::unwrap_used, reason = "a test may end where something is not as it should be")]

mod support;

use std::{net::SocketAddr, sync::Arc};

use certs::{Authority, Fingerprint, SigningKey, tracker_client_config};
use quinn::{Connection, ConnectionError, Endpoint};
use rustls::pki_types::ServerName;
use shared::{
    limits::{PEER_FRAME_BYTES_MAX, REQUEST_BYTES_MAX, WEB_HEAD_BYTES_MAX, WEB_NEWCOMERS_PER_ADDRESS_MAX},
    net::{self, Outgoing, frame, tunnel::Tunnel},
    wire::{
        Code, TRACKER_ALPN, TRACKER_NAME, TUNNEL_PATH, WEB_ALPN,
        grant::SignedGrant,
        peer::{FetchFrame, FetchReply, Want},
        tracker::{Answer, Event, Located, LocatedFile, Presence, Request, SignedIn, Ways},
    },
};
use support::{Client, content, entry, hash, soon};
use tempfile::tempdir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

type Tls = TlsStream<TcpStream>;

async fn start(data: &std::path::Path) -> support::Tracker {
    support::Tracker::start_with(data, |flags| flags.web = Some("127.0.0.1:0".into())).await
}

fn web(tracker: &support::Tracker) -> SocketAddr {
    tracker.ready.web.unwrap()
}

/// A TCP connection from this address of the loopback network.
async fn knock(tracker: &support::Tracker, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    soon(socket.connect(web(tracker))).await.unwrap()
}

async fn shake(stream: TcpStream, pin: Fingerprint) -> std::io::Result<Tls> {
    let (tls, _) = tracker_client_config(pin, WEB_ALPN).unwrap();
    let name = ServerName::try_from(TRACKER_NAME).unwrap();
    soon(TlsConnector::from(Arc::new(tls)).connect(name, stream)).await
}

async fn connect(tracker: &support::Tracker) -> Tls {
    shake(knock(tracker, "127.0.0.1").await, tracker.fingerprint()).await.unwrap()
}

/// Reads to the end of the connection, however it ends.
async fn rest(stream: &mut Tls) -> String {
    let mut bytes = Vec::new();
    // A server that has not read everything resets the connection; what came before counts.
    drop(soon(stream.read_to_end(&mut bytes)).await);
    String::from_utf8(bytes).unwrap()
}

/// Sends this and reads what comes back until the connection ends.
async fn answer_to(tracker: &support::Tracker, request: &[u8]) -> String {
    let mut stream = connect(tracker).await;
    // Where the answer comes before all of it was read, writing fails.
    drop(soon(stream.write_all(request)).await);
    rest(&mut stream).await
}

fn upgrade() -> String {
    format!(
        "GET {TUNNEL_PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: connect-udp\r\nCapsule-Protocol: ?1\r\n\r\n"
    )
}

async fn tunnel(tracker: &support::Tracker, from: &str) -> Tls {
    let mut stream = shake(knock(tracker, from).await, tracker.fingerprint()).await.unwrap();
    soon(stream.write_all(upgrade().as_bytes())).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.to_ascii_lowercase().contains("upgrade: connect-udp"), "{head}");
    stream
}

fn over(stream: Tls, tracker: &support::Tracker) -> Endpoint {
    let (socket, work) = Tunnel::over(stream, "127.0.0.1:9".parse().unwrap(), web(tracker));
    tokio::spawn(work);
    net::endpoint::tunnelled(socket, None, &SigningKey::generate().unwrap()).unwrap()
}

async fn dial(
    tracker: &support::Tracker,
    endpoint: &Endpoint,
    pin: Fingerprint,
) -> Result<Connection, ConnectionError> {
    let (tls, _) = tracker_client_config(pin, TRACKER_ALPN).unwrap();
    let config = net::endpoint::tunnelled_tracker_client(tls).unwrap();
    soon(endpoint.connect_with(config, web(tracker), TRACKER_NAME).unwrap()).await
}

/// A device whose network has no UDP.
async fn connect_from(tracker: &support::Tracker, from: &str, key: SigningKey) -> Client {
    let endpoint = over(tunnel(tracker, from).await, tracker);
    let connection = dial(tracker, &endpoint, tracker.fingerprint()).await.unwrap();
    Client { connection, endpoint, key }
}

async fn register(tracker: &support::Tracker, from: &str, name: &str) -> (Client, SignedIn) {
    let client = connect_from(tracker, from, SigningKey::generate().unwrap()).await;
    let answer = client.ask(client.register_request(name, None)).await;
    let Answer::SignedIn(signed_in) = answer else { panic!("{answer:?}") };
    (client, signed_in)
}

/// Somebody else is served as if nothing were the matter.
async fn all_is_well(tracker: &support::Tracker, name: &str) {
    let (honest, _) = register(tracker, "127.0.0.77", name).await;
    assert_eq!(honest.publish(vec![entry("a", b"a", None)]).await.len(), 1);
}

/// Fetches a whole blob from the tracker.
async fn fetch_copy(client: &Client, grant: SignedGrant, data: &[u8]) -> Result<Vec<u8>, Code> {
    soon(async {
        let (send, mut recv) = client.connection.open_bi().await.unwrap();
        let mut send = Outgoing::new(send);
        frame::send(&mut send, &Request::Fetch, REQUEST_BYTES_MAX).await.unwrap();
        frame::send(&mut send, &FetchFrame::Grant(grant), PEER_FRAME_BYTES_MAX).await.unwrap();
        let want = Want { blob: hash(data), size: data.len() as u64, groups: Vec::new() };
        frame::send(&mut send, &FetchFrame::Want(want), PEER_FRAME_BYTES_MAX).await.unwrap();
        send.finish();
        match frame::receive::<FetchReply>(&mut recv, PEER_FRAME_BYTES_MAX).await.unwrap() {
            FetchReply::Queued(queued) => panic!("copies have no line: {queued:?}"),
            FetchReply::Serving => Ok(recv.read_to_end(1 << 24).await.unwrap()),
            FetchReply::Refused(refusal) => Err(refusal.code),
        }
    })
    .await
}

async fn locate(client: &Client, file: shared::id::FileId) -> Located {
    match client.ask(Request::Locate { files: vec![file] }).await {
        Answer::Located(located) => located,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_member_without_udp_is_served_like_any_other() {
    let data = tempdir().unwrap();
    let tracker = start(data.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let (ben, _) = register(&tracker, "127.0.0.1", "Ben").await;
    let mut told = ben.subscribe().await;
    let bytes = content(3, 15_000);
    let _shelf = anna.serve_to_tracker(vec![bytes.clone()]);
    let file = anna.publish(vec![entry("small", &bytes, None)]).await.remove(0);
    anna.ask(Request::KeepCopy { files: vec![file.id] }).await;
    // Ben hears of the index, and of the stored copy by another move of it.
    let located = loop {
        told.until(|event| matches!(event, Event::IndexMoved { .. }).then_some(())).await;
        let located = locate(&ben, file.id).await;
        if matches!(located.files[..], [LocatedFile::Found { copy: true, .. }]) {
            break located;
        }
    };
    assert_eq!(fetch_copy(&ben, located.grant, &bytes).await.unwrap(), bytes);
    // The device comes back by its key, through another tunnel.
    let again = connect_from(&tracker, "127.0.0.1", ben.key.clone()).await;
    assert!(matches!(again.ask(again.key_request()).await, Answer::SignedIn(_)));
    // The older connection of the device is closed, as over UDP.
    let ConnectionError::ApplicationClosed(close) = soon(ben.connection.closed()).await else { panic!("not closed") };
    assert_eq!(close.error_code, net::number(Code::Conflict));
    tracker.stop().await;
}

#[tokio::test]
async fn the_tracker_takes_copies_through_a_tunnel() {
    let data = tempdir().unwrap();
    let tracker = start(data.path()).await;
    let (ben, _) = register(&tracker, "127.0.0.1", "Ben").await;
    let mut told = ben.subscribe().await;
    let bytes = content(5, 500_000);
    let _shelf = ben.serve_to_tracker(vec![bytes.clone()]);
    let file = ben.publish(vec![entry("large", &bytes, None)]).await.remove(0);
    ben.ask(Request::KeepCopy { files: vec![file.id] }).await;
    told.until(|event| matches!(event, Event::CopyStored { file: stored } if *stored == file.id).then_some(())).await;
    tracker.stop().await;
}

#[tokio::test]
async fn who_comes_through_a_tunnel_is_online_and_a_source_without_an_address() {
    let data = tempdir().unwrap();
    let tracker = start(data.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let (ben, signed_in) = register(&tracker, "127.0.0.1", "Ben").await;
    let file = ben.publish(vec![entry("a", b"abc", None)]).await.remove(0);
    let located = locate(&anna, file.id).await;
    let addresses: Vec<_> = located.peers.iter().map(|peer| peer.addresses.as_slice()).collect();
    assert_eq!(addresses, [&[]], "{located:?}");
    let mut told = anna.subscribe().await;
    let Answer::Members { members, .. } = anna.ask(Request::Members { after: None }).await else { panic!() };
    let shown = members.iter().find(|member| member.account == signed_in.account).unwrap();
    assert_eq!(shown.presence, Presence::Online);
    // The end of the stream is noticed at once, not after a silence.
    ben.endpoint.close(0u32.into(), b"");
    drop(ben);
    told.until(|event| match event {
        Event::Member(member) => (member.account == signed_in.account && member.devices == 0).then_some(()),
        _ => None,
    })
    .await;
    tracker.stop().await;
}

#[tokio::test]
async fn a_grant_of_somebody_else_is_worth_nothing_in_a_tunnel() {
    let data = tempdir().unwrap();
    let tracker = start(data.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let (mallory, _) = register(&tracker, "127.0.0.1", "Mallory").await;
    let file = anna.publish(vec![entry("a", b"abc", None)]).await.remove(0);
    let stolen = locate(&anna, file.id).await.grant;
    assert_eq!(fetch_copy(&mallory, stolen, b"abc").await, Err(Code::Forbidden));
    let stranger = connect_from(&tracker, "127.0.0.1", SigningKey::generate().unwrap()).await;
    assert_eq!(stranger.refused(Request::Ways).await.code, Code::Unauthenticated);
    tracker.stop().await;
}

#[tokio::test]
async fn another_authority_is_refused_at_both_handshakes() {
    let data = tempdir().unwrap();
    let tracker = start(data.path()).await;
    let elsewhere = tempdir().unwrap();
    let other = Authority::open(elsewhere.path(), std::time::SystemTime::now()).unwrap().fingerprint();
    assert!(shake(knock(&tracker, "127.0.0.1").await, other).await.is_err());
    let endpoint = over(tunnel(&tracker, "127.0.0.1").await, &tracker);
    assert!(dial(&tracker, &endpoint, other).await.is_err());
    all_is_well(&tracker, "Anna").await;
    tracker.stop().await;
}

#[tokio::test]
async fn members_are_told_the_web_port_and_the_link_names_it() {
    let data = tempdir().unwrap();
    let tracker = start(data.path()).await;
    let port = web(&tracker).port();
    assert!(tracker.ready.link.contains(&format!("/?web={port}#")), "{}", tracker.ready.link);
    let (anna, _) = Client::register(&tracker, "Anna").await;
    assert_eq!(anna.ask(Request::Ways).await, Answer::Ways(Ways { web: Some(port) }));
    tracker.stop().await;

    let beside = support::Tracker::start(data.path()).await;
    // Something else may have that port; then the tracker goes on without.
    if let Some(web) = beside.ready.web {
        assert_eq!(web, beside.ready.listen);
        assert!(!beside.ready.link.contains("web="), "{}", beside.ready.link);
    }
    beside.stop().await;
    let off = support::Tracker::start_with(data.path(), |flags| flags.web = Some("off".into())).await;
    assert_eq!(off.ready.web, None);
    off.stop().await;
}

#[tokio::test]
async fn a_taken_address_is_an_error_where_it_was_asked_for() {
    let data = tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let flags = tracker::ServeArgs {
        data: Some(data.path().into()),
        listen: Some("127.0.0.1:0".into()),
        web: Some(taken.local_addr().unwrap().to_string()),
        ..tracker::ServeArgs::default()
    };
    let ended = tracker::run(tracker::Config::load(&flags).unwrap(), |_| {}, std::future::pending()).await;
    assert!(matches!(ended, Err(tracker::StartError::Listen { .. })), "{ended:?}");
}

#[tokio::test]
async fn whoever_looks_with_a_browser_gets_one_plain_line() {
    let data = tempdir().unwrap();
    let tracker = start(data.path()).await;
    let page = answer_to(&tracker, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("Swapmeet"), "{page}");
    for header in ["content-security-policy", "x-content-type-options: nosniff", "cache-control: no-store"] {
        assert!(page.to_ascii_lowercase().contains(header), "{page}");
    }
    let head = answer_to(&tracker, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    for (request, status) in [
        ("GET /admin HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405),
        ("GET / HTTP/1.0\r\n\r\n", 200),
    ] {
        let answer = answer_to(&tracker, request.as_bytes()).await;
        let expected = format!(" {status} ");
        assert!(answer.lines().next().is_some_and(|line| line.contains(&expected)), "{request}: {answer}");
    }
    tracker.stop().await;
}

#[tokio::test]
async fn requests_that_are_none_are_turned_away_one_by_one() {
    let data = tempdir().unwrap();
    let tracker = start(data.path()).await;
    let huge = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(2 * WEB_HEAD_BYTES_MAX));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(1000));
    for request in [huge.as_bytes(), many.as_bytes(), b"\0\x01\x02garbage\r\n\r\n"] {
        let answer = answer_to(&tracker, request).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    // A body of any size is not read.
    let endless = format!(
        "POST {TUNNEL_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n{}",
        "b".repeat(100_000)
    );
    let answer = answer_to(&tracker, endless.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 405 "), "{answer}");
    // One request a connection, however many are sent.
    let piped = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50);
    let answer = answer_to(&tracker, piped.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    // A tunnel to somewhere else.
    let elsewhere = upgrade().replace(TRACKER_NAME, "192.0.2.1");
    assert!(answer_to(&tracker, elsewhere.as_bytes()).await.starts_with("HTTP/1.1 403 "));
    all_is_well(&tracker, "Anna").await;
    tracker.stop().await;
}

#[tokio::test]
async fn something_else_than_tls_and_something_else_than_datagrams_end_the_connection() {
    let data = tempdir().unwrap();
    let tracker = start(data.path()).await;
    let mut plain = knock(&tracker, "127.0.0.1").await;
    soon(plain.write_all(b"GET / HTTP/1.1\r\n\r\n")).await.unwrap();
    let mut bytes = Vec::new();
    drop(soon(plain.read_to_end(&mut bytes)).await);
    assert!(!bytes.starts_with(b"HTTP"));
    let mut garbage = tunnel(&tracker, "127.0.0.1").await;
    // A datagram of a gigabyte.
    soon(garbage.write_all(&[0, 0xbf, 0xff, 0xff, 0xff])).await.unwrap();
    rest(&mut garbage).await;
    all_is_well(&tracker, "Anna").await;
    tracker.stop().await;
}

#[tokio::test]
async fn who_dawdles_holds_a_bounded_number_of_places_for_a_bounded_time() {
    let data = tempdir().unwrap();
    let tracker = start(data.path()).await;
    let mut held = Vec::new();
    for _ in 0..WEB_NEWCOMERS_PER_ADDRESS_MAX - 1 {
        held.push(knock(&tracker, "127.0.0.2").await);
    }
    // One shakes hands, and then sends its request byte by byte.
    let mut slow = shake(knock(&tracker, "127.0.0.2").await, tracker.fingerprint()).await.unwrap();
    soon(slow.write_all(b"GET / HT")).await.unwrap();
    let mut one_more = knock(&tracker, "127.0.0.2").await;
    assert_eq!(soon(one_more.read(&mut [0; 1])).await.unwrap_or(0), 0, "no more from this address");
    all_is_well(&tracker, "Anna").await;
    // All of them are let go by the tracker.
    rest(&mut slow).await;
    for mut stream in held {
        assert_eq!(soon(stream.read(&mut [0; 1])).await.unwrap_or(0), 0);
    }
    drop(soon(shake(knock(&tracker, "127.0.0.2").await, tracker.fingerprint())).await.unwrap());
    tracker.stop().await;
}

#[tokio::test]
async fn a_tracker_that_stops_says_goodbye_in_tunnels_too() {
    let data = tempdir().unwrap();
    let tracker = start(data.path()).await;
    let (ben, _) = register(&tracker, "127.0.0.1", "Ben").await;
    tracker.stop().await;
    let ConnectionError::ApplicationClosed(close) = soon(ben.connection.closed()).await else { panic!("not told") };
    assert_eq!(close.error_code, 0u32.into());
}
