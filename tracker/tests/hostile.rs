//! What a stranger or a broken client may send to the tracker's port. It ends their stream or connection; everyone else
//! goes on.

#![expect(clippy::unwrap_used, reason = "a test may end where something is not as it should be")]

mod support;

use certs::tracker_client_config;
use quinn::{RecvStream, SendStream};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use shared::{
    limits::{
        ADDRESSES_MAX, GRANT_BLOBS_MAX, NOTE_BYTES_MAX, PUBLISH_ENTRIES_MAX, REPLY_BYTES_MAX, REQUEST_BYTES_MAX,
        TRACKER_BIDI_STREAMS_MAX,
    },
    net::{endpoint::tracker_client, frame},
    wire::{
        Code, PEER_ALPN, TRACKER_NAME,
        codec::{LENGTH_BYTES, encode},
        tracker::{Answer, List, Request},
    },
};
use support::{Client, Tracker, content, entry, soon};
use tempfile::tempdir;

/// Somebody else is served as if nothing were the matter.
async fn all_is_well(tracker: &Tracker, name: &str) {
    let (honest, _) = Client::register(tracker, name).await;
    assert_eq!(honest.publish(vec![entry("a", b"a", None)]).await.len(), 1);
    let list = Request::List(List { member: None, mine: true, path: String::new(), after: None });
    assert!(matches!(honest.ask(list).await, Answer::Listing { items, .. } if items.len() == 1));
}

async fn open(client: &Client, bytes: &[u8]) -> (SendStream, RecvStream) {
    soon(async {
        let (mut send, recv) = client.connection.open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        (send, recv)
    })
    .await
}

/// Sends these bytes as a whole stream and reads what comes back.
async fn answer_to(client: &Client, bytes: &[u8]) -> Option<Answer> {
    let (mut send, mut recv) = open(client, bytes).await;
    drop(send.finish());
    soon(frame::receive(&mut recv, REPLY_BYTES_MAX)).await.ok()
}

fn code(answer: Option<Answer>) -> Option<Code> {
    match answer {
        Some(Answer::Refused(refusal)) => Some(refusal.code),
        Some(_) | None => None,
    }
}

#[tokio::test]
async fn frames_that_are_none_are_refused_one_by_one() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (mallory, _) = Client::register(&tracker, "Mallory").await;
    let huge = u32::MAX.to_le_bytes();
    assert_eq!(code(answer_to(&mallory, &huge).await), Some(Code::TooLarge));
    let above = u32::try_from(REQUEST_BYTES_MAX + 1).unwrap().to_le_bytes();
    assert_eq!(code(answer_to(&mallory, &above).await), Some(Code::TooLarge));
    let good = encode(&Request::Status, REQUEST_BYTES_MAX).unwrap();
    let long = encode(&Request::Search { query: "abc".into(), offset: 0 }, REQUEST_BYTES_MAX).unwrap();
    assert_eq!(code(answer_to(&mallory, &long[..long.len() - 1]).await), Some(Code::BadRequest));
    assert_eq!(code(answer_to(&mallory, &long[..LENGTH_BYTES - 1]).await), Some(Code::BadRequest));
    let mut trailing = long.clone();
    trailing[0] += 1;
    trailing.push(0);
    assert_eq!(code(answer_to(&mallory, &trailing).await), Some(Code::Unsupported));
    assert_eq!(code(answer_to(&mallory, &[1, 0, 0, 0, 200]).await), Some(Code::Unsupported));
    assert_eq!(answer_to(&mallory, &[]).await, None);
    assert!(matches!(answer_to(&mallory, &good).await, Some(Answer::Status(_))), "the connection goes on");
    all_is_well(&tracker, "Anna").await;
    tracker.stop().await;
}

#[tokio::test]
async fn random_requests_get_an_answer_or_none_and_harm_nobody() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (mallory, _) = Client::register(&tracker, "Mallory").await;
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..300 {
        let mut bytes = vec![0; random.random_range(0..200)];
        random.fill(&mut bytes[..]);
        let mut framed = u32::try_from(bytes.len()).unwrap().to_le_bytes().to_vec();
        if let Some(first) = bytes.first_mut() {
            // Mostly real variants with nonsense inside. Signing out would end the test.
            *first =
                [0, 1, 2, 3, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21][random.random_range(0..20)];
        }
        framed.extend(bytes);
        drop(answer_to(&mallory, &framed).await);
    }
    all_is_well(&tracker, "Anna").await;
    tracker.stop().await;
}

#[tokio::test]
async fn streams_that_stall_hold_up_only_their_own_connection() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let mallory = Client::connect(&tracker).await;
    let mut held = Vec::new();
    for _ in 0..TRACKER_BIDI_STREAMS_MAX {
        held.push(open(&mallory, &[9, 0]).await);
    }
    let one_more = mallory.connection.open_bi();
    let waits = futures_util::FutureExt::now_or_never(one_more);
    assert!(waits.is_none(), "no more streams than allowed");
    all_is_well(&tracker, "Anna").await;
    // Streams given up make room for others; the library tells of it once an eighth is free.
    for (mut send, _) in held.drain(..4) {
        send.reset(0u32.into()).unwrap();
    }
    assert!(matches!(mallory.ask(Request::Hello { program: "x".into() }).await, Answer::Welcome(_)));
    tracker.stop().await;
}

#[tokio::test]
async fn more_than_the_limits_is_refused() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (mallory, _) = Client::register(&tracker, "Mallory").await;
    let many: Vec<_> = (0..=PUBLISH_ENTRIES_MAX).map(|n| entry(&format!("f{n}"), b"x", None)).collect();
    let mut noted = entry("noted", b"x", None);
    noted.note = Some("x".repeat(NOTE_BYTES_MAX + 1));
    let mut huge = entry("huge", b"x", None);
    huge.size = u64::MAX;
    let file = shared::id::FileId([1; 16]);
    for request in [
        Request::Publish { entries: many },
        Request::Publish { entries: vec![noted] },
        Request::Publish { entries: vec![huge] },
        Request::Withdraw { files: vec![file; PUBLISH_ENTRIES_MAX + 1] },
        Request::KeepCopy { files: vec![file; PUBLISH_ENTRIES_MAX + 1] },
        Request::Locate { files: vec![file; GRANT_BLOBS_MAX + 1] },
        Request::Announce { addresses: vec!["192.0.2.1:1".parse().unwrap(); ADDRESSES_MAX + 1] },
        Request::Search { query: "x".repeat(300), offset: 0 },
        Request::Search { query: "abc ".repeat(17), offset: 0 },
        Request::Search { query: "a b c d e".into(), offset: 0 },
    ] {
        assert_eq!(mallory.refused(request.clone()).await.code, Code::TooLarge, "{request:?}");
    }
    for path in ["", "/etc/passwd", "../up", "a//b", "a/../b", "a\\b", "a\0b", &"d/".repeat(100), &"x".repeat(5000)] {
        let request = Request::Publish { entries: vec![entry(path, b"x", None)] };
        assert_eq!(mallory.refused(request).await.code, Code::BadRequest, "{path}");
    }
    let twice = Request::Publish { entries: vec![entry("same", b"x", None), entry("same", b"y", None)] };
    assert_eq!(mallory.refused(twice).await.code, Code::BadRequest);
    let after = Some("nonsense".to_owned());
    let list = Request::List(List { member: None, mine: false, path: String::new(), after });
    assert_eq!(mallory.refused(list).await.code, Code::BadRequest);
    tracker.stop().await;
}

#[tokio::test]
async fn the_largest_honest_pages_fit_their_replies() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let mut ids = Vec::new();
    for part in 0..6 {
        let mut entries: Vec<_> = (0..120)
            .map(|n| entry(&format!("{part:03}{n:03}{}", format!("/{}", "p".repeat(200)).repeat(15)), b"x", None))
            .collect();
        for entry in &mut entries[..40] {
            entry.note = Some("n".repeat(NOTE_BYTES_MAX));
        }
        ids.extend(anna.publish(entries).await.into_iter().map(|file| file.id));
    }
    let Answer::Hits { files, more } = anna.ask(Request::Search { query: "ppp".into(), offset: 0 }).await else {
        panic!()
    };
    assert!(!files.is_empty() && more);
    let mut since = 0;
    let mut seen = 0;
    loop {
        let Answer::Changes(page) = anna.ask(Request::Changes { since }).await else { panic!() };
        (since, seen) = (page.next, seen + page.changes.len());
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, ids.len());
    assert!(matches!(anna.ask(Request::Locate { files: ids }).await, Answer::Located(_)));
    tracker.stop().await;
}

#[tokio::test]
async fn a_listener_that_never_reads_holds_up_nobody() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (mallory, _) = Client::register(&tracker, "Mallory").await;
    let _deaf = mallory.subscribe().await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    for n in 0..50 {
        anna.publish(vec![entry(&format!("f{n}"), &content(n, 10), None)]).await;
    }
    all_is_well(&tracker, "Ben").await;
    tracker.stop().await;
}

#[tokio::test]
async fn a_client_that_came_back_is_not_kept_out_by_its_own_ghost() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, signed_in) = Client::register(&tracker, "Anna").await;
    let key = anna.key.clone();
    anna.vanish();
    let back = Client::connect_as(&tracker, key).await;
    assert!(matches!(back.ask(back.key_request()).await, Answer::SignedIn(_)));
    let Answer::Members { members, .. } = back.ask(Request::Members { after: None }).await else { panic!() };
    assert_eq!((members[0].account, members[0].devices), (signed_in.account, 1));
    tracker.stop().await;
}

#[tokio::test]
async fn noise_on_the_port_and_other_protocols_are_not_let_in() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut random = StdRng::seed_from_u64(11);
    for length in 0..500 {
        let mut packet = vec![0; 1 + length * 2];
        random.fill(&mut packet[..]);
        if length % 2 == 0 {
            packet[0] |= 0xc0;
        }
        socket.send_to(&packet, tracker.address()).unwrap();
    }
    let fingerprint = tracker.ready.link.rsplit_once('#').unwrap().1.parse().unwrap();
    let (tls, _) = tracker_client_config(fingerprint, PEER_ALPN).unwrap();
    let endpoint = support::endpoint();
    let connecting = endpoint.connect_with(tracker_client(tls).unwrap(), tracker.address(), TRACKER_NAME).unwrap();
    assert!(soon(connecting).await.is_err());
    all_is_well(&tracker, "Anna").await;
    tracker.stop().await;
}
