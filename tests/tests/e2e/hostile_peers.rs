//! Strangers and members that break the protocol, at the tracker's port and at a member's. Whatever they send, the
//! process lives, its memory stays bounded, and the others go on.

use std::{net::UdpSocket, time::Duration};

use quinn::{Connection, Endpoint};
use rand::{Rng, SeedableRng, rngs::StdRng};
use shared::{
    id::{BlobHash, DeviceId, FileId},
    limits,
    wire::{
        codec,
        grant::SignedGrant,
        peer::{FetchFrame, Open, Want},
        tracker::{Answer, Request},
    },
};
use tests::{
    PATIENCE, Running, corpus,
    member::{number, text},
    wire::{Link, Puppet, ask, dial_tracker, endpoint, read_frame, write_frame},
};

use crate::get::Pair;

#[test]
fn nonsense_at_the_trackers_port_ends_streams_and_nothing_else() {
    let pair = Pair::start();
    let link = Link::parse(&pair.tracker.link).unwrap();
    block_on(async {
        let endpoint = endpoint(None).unwrap();
        let connection = dial_tracker(&endpoint, &link).await.unwrap();
        let puppet = Puppet::register(&link, "mallory").await.unwrap();
        for connection in [&connection, &puppet.tracker] {
            for nonsense in nonsense(61) {
                poke(connection, &nonsense).await;
            }
        }
        // Requests that are well formed and out of order: before the sign-in, and fetching with nothing granted.
        for request in [
            Request::Members { after: None },
            Request::Status,
            Request::SignOut,
            Request::Renew,
            Request::Changes { since: u64::MAX },
            Request::Locate { files: vec![FileId([1; 16]); 1000] },
            Request::SignInKey { device: DeviceId([3; 16]), proof: vec![0; 64] },
        ] {
            let answer = ask(&connection, &request).await;
            assert!(!matches!(answer, Ok(Answer::Done | Answer::SignedIn(_))), "{request:?} got {answer:?}");
        }
    });
    assert_unharmed(&pair, pair.tracker.process(), TRACKER_MEMORY_MAX);
}

#[test]
fn nonsense_at_a_members_port_ends_streams_and_nothing_else() {
    let pair = Pair::start();
    let link = Link::parse(&pair.tracker.link).unwrap();
    let (device, address) = alices_device(&pair);
    block_on(async {
        let puppet = Puppet::register(&link, "mallory").await.unwrap();
        let connection = puppet.dial(address, device).await.unwrap();
        for nonsense in nonsense(62) {
            poke(&connection, &nonsense).await;
        }
        for frames in out_of_order() {
            let opened = tokio::time::timeout(PATIENCE, connection.open_bi()).await.expect("a stream is free");
            let Ok((mut send, mut recv)) = opened else {
                // Closing the whole connection is a fair answer too.
                break;
            };
            let _refused = send.write_all(&frames).await;
            let _refused = send.finish();
            // Until the member has answered or refused.
            let _answer = recv.read_to_end(1 << 20).await;
        }
        assert!(puppet.dial(address, device).await.is_ok(), "the member still says hello");
    });
    assert_unharmed(&pair, pair.engine.as_ref().unwrap().process(), MEMBER_MEMORY_MAX);
}

#[test]
fn a_member_that_is_not_the_one_that_was_meant_refuses() {
    let pair = Pair::start();
    let link = Link::parse(&pair.tracker.link).unwrap();
    let (_device, address) = alices_device(&pair);
    block_on(async {
        let puppet = Puppet::register(&link, "mallory").await.unwrap();
        assert!(puppet.dial(address, DeviceId([9; 16])).await.is_err());
    });
}

#[test]
fn without_a_grant_nothing_is_served() {
    let pair = Pair::start();
    let original = pair.alice.write("guarded.bin", corpus::bytes(63, 50_000));
    let shared = pair.alice.run(&["share", original.to_str().unwrap(), "--to", "bob"]).ok().one("file");
    let blob: BlobHash = text(&shared, "hash").parse().unwrap();
    let link = Link::parse(&pair.tracker.link).unwrap();
    let (device, address) = alices_device(&pair);
    block_on(async {
        let puppet = Puppet::register(&link, "mallory").await.unwrap();
        let connection = puppet.dial(address, device).await.unwrap();
        let forged = SignedGrant { body: vec![1; 60], signature: vec![2; 64] };
        for grant in [None, Some(forged)] {
            let (mut send, mut recv) = connection.open_bi().await.unwrap();
            write_frame(&mut send, &Open::Fetch).await.unwrap();
            if let Some(grant) = grant {
                // A member may cut us off at the grant already.
                let _cut_off = write_frame(&mut send, &FetchFrame::Grant(grant)).await;
            }
            let _cut_off = write_frame(&mut send, &FetchFrame::Want(Want { blob, size: 50_000, groups: vec![] })).await;
            let _cut_off = send.finish();
            let answer = recv.read_to_end(1 << 20).await.unwrap_or_default();
            assert!(answer.len() < 1000, "{} bytes came without a grant", answer.len());
        }
    });
}

#[test]
fn opening_streams_and_stalling_keeps_nobody_else_out() {
    let pair = Pair::start();
    let link = Link::parse(&pair.tracker.link).unwrap();
    let (device, address) = alices_device(&pair);
    block_on(async {
        let mut puppets = Vec::new();
        let mut stalled = Vec::new();
        for index in 0..20 {
            let puppet = Puppet::register(&link, &format!("staller {index}")).await.unwrap();
            let member = puppet.dial(address, device).await.unwrap();
            for connection in [&puppet.tracker, &member] {
                // As many as the other side allows: then opening one more waits.
                while let Ok(Ok((mut send, recv))) =
                    tokio::time::timeout(Duration::from_millis(200), connection.open_bi()).await
                {
                    // Half a length: the rest never comes.
                    send.write_all(&[7, 0]).await.unwrap();
                    stalled.push((send, recv));
                    assert!(stalled.len() < 20_000, "streams are not limited");
                }
            }
            puppets.push((puppet, member));
        }
        tokio::task::block_in_place(|| assert_unharmed(&pair, pair.tracker.process(), TRACKER_MEMORY_MAX));
    });
    assert_unharmed(&pair, pair.engine.as_ref().unwrap().process(), MEMBER_MEMORY_MAX);
}

#[test]
fn a_flood_of_connections_is_survived() {
    let pair = Pair::start();
    let link = Link::parse(&pair.tracker.link).unwrap();
    let (_device, address) = alices_device(&pair);
    block_on(async {
        let mut connections = Vec::new();
        for _ in 0..8 {
            let endpoint = endpoint(None).unwrap();
            let dials = (0..100).map(|_| dial_tracker(&endpoint, &link));
            let dialled: Vec<_> = join_all(dials).await;
            connections.push((endpoint.clone(), dialled));
            // At a member's port a stranger has no certificate to show.
            let strangers = (0..50).map(|_| stranger_dials(&endpoint, &link, address));
            for accepted in join_all(strangers).await {
                assert!(!accepted, "a stranger was accepted by a member");
            }
        }
        tokio::task::block_in_place(|| assert_unharmed(&pair, pair.tracker.process(), TRACKER_MEMORY_MAX));
    });
    assert_unharmed(&pair, pair.engine.as_ref().unwrap().process(), MEMBER_MEMORY_MAX);
}

#[test]
fn random_datagrams_are_ignored() {
    let pair = Pair::start();
    let (_device, address) = alices_device(&pair);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut random = StdRng::seed_from_u64(64);
    for round in 0..20_000u32 {
        let mut datagram = vec![0; random.random_range(1..1400)];
        random.fill(&mut datagram[..]);
        if round % 2 == 0 && datagram.len() > 5 {
            // The look of a QUIC version 1 Initial.
            datagram[..5].copy_from_slice(&[0xc3, 0, 0, 0, 1]);
        }
        let target = if round % 4 < 2 { address } else { pair.tracker.address };
        // A full socket buffer drops it, as a network would.
        let _dropped = socket.send_to(&datagram, target);
    }
    assert_unharmed(&pair, pair.tracker.process(), TRACKER_MEMORY_MAX);
    assert_unharmed(&pair, pair.engine.as_ref().unwrap().process(), MEMBER_MEMORY_MAX);
}

/// Runs a scenario that speaks the protocol itself.
pub(crate) fn block_on<T>(scenario: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let result = runtime.block_on(async { tokio::time::timeout(PATIENCE * 2, scenario).await });
    result.expect("the scenario hangs")
}

/// The device and address of Alice's engine.
fn alices_device(pair: &Pair) -> (DeviceId, std::net::SocketAddr) {
    let device = text(&pair.alice.run(&["whoami"]).ok().one("account"), "device").parse().unwrap();
    let port = number(&pair.alice.run(&["status"]).ok().one("status"), "port");
    (device, std::net::SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap())))
}

/// The process lives within its memory, and Bob still gets what Alice shares.
fn assert_unharmed(pair: &Pair, process: &Running, memory_max: u64) {
    assert!(process.alive(), "it has died");
    assert!(process.memory_peak() < memory_max, "{} bytes of memory", process.memory_peak());
    let mut random = rand::rng();
    let original =
        pair.alice.write(&format!("still {}.bin", random.random::<u32>()), corpus::bytes(random.random(), 300_000));
    let id = pair.alice.share(&[&original], &[]);
    let transfer = pair.get(&id);
    pair.assert_got(&transfer, &original);
}

/// What a stream may begin with instead of a frame.
fn nonsense(seed: u64) -> Vec<Vec<u8>> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut all = vec![
        vec![],
        vec![0],
        vec![0, 0, 0, 0],
        u32::MAX.to_le_bytes().to_vec(),
        [&(limits::REQUEST_BYTES_MAX as u32 + 1).to_le_bytes()[..], &vec![0; 100_000]].concat(),
        // A length that is not kept.
        [&1000u32.to_le_bytes()[..], &[1; 10]].concat(),
        // A good request with something behind it.
        [codec::encode(&Request::Status, 1000).unwrap(), vec![1, 2, 3]].concat(),
        // A variant of some other century.
        [&2u32.to_le_bytes()[..], &[0xff, 0x7f]].concat(),
        // A vector that says it holds more than the frame.
        [&6u32.to_le_bytes()[..], &[8, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat(),
    ];
    for _ in 0..200 {
        let length = random.random_range(0..600);
        let mut body = vec![0; length];
        random.fill(&mut body[..]);
        let announced = if random.random_bool(0.8) { u32::try_from(length).unwrap() } else { random.random() };
        all.push([&announced.to_le_bytes()[..], &body].concat());
    }
    all
}

/// Frames that are fine by themselves and make no sense in this order or amount.
fn out_of_order() -> Vec<Vec<u8>> {
    let frame = |message: &FetchFrame| codec::encode(message, limits::PEER_FRAME_BYTES_MAX).unwrap();
    let open = codec::encode(&Open::Fetch, 100).unwrap();
    let want = |size, groups| frame(&FetchFrame::Want(Want { blob: BlobHash([5; 32]), size, groups }));
    let grant = frame(&FetchFrame::Grant(SignedGrant { body: vec![0; 20_000], signature: vec![] }));
    vec![
        [open.clone(), open.clone()].concat(),
        want(10, vec![]),
        [open.clone(), want(10, vec![])].concat(),
        [open.clone(), want(u64::MAX, vec![(0, u64::MAX)])].concat(),
        [open.clone(), want(1 << 40, vec![(5, 5), (9, 3), (0, 1)])].concat(),
        [open.clone(), want(1 << 40, vec![(0, 1); 4000])].concat(),
        [open.clone(), vec![want(1, vec![]); 5000].concat()].concat(),
        [open, vec![grant; 200].concat()].concat(),
    ]
}

/// Sends some bytes on a new stream and waits until the other side has done with them.
async fn poke(connection: &Connection, bytes: &[u8]) {
    let opened = tokio::time::timeout(PATIENCE, connection.open_bi()).await.expect("a stream is free");
    let Ok((mut send, mut recv)) = opened else { return };
    let _refused = send.write_all(bytes).await;
    let _refused = send.finish();
    let _answer: Result<Answer, _> = read_frame(&mut recv, limits::REPLY_BYTES_MAX).await;
}

async fn stranger_dials(endpoint: &Endpoint, link: &Link, member: std::net::SocketAddr) -> bool {
    let wrong_door = Link { address: member, ..*link };
    match tokio::time::timeout(Duration::from_secs(10), dial_tracker(endpoint, &wrong_door)).await {
        Ok(Ok(connection)) => ask(&connection, &Request::Status).await.is_ok(),
        Ok(Err(_)) | Err(_) => false,
    }
}

async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = futures.map(Box::pin).collect();
    let mut results = Vec::with_capacity(all.len());
    for future in &mut all {
        results.push(future.await);
    }
    results
}

/// Generous: what matters is that memory does not grow with what strangers send.
const TRACKER_MEMORY_MAX: u64 = 400 << 20;
const MEMBER_MEMORY_MAX: u64 = 400 << 20;
