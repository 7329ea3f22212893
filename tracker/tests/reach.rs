//! The second port and introductions, over real QUIC.

#![expect(clippy::unwrap_used, reason = "a test that gets no answer has failed")]

mod support;

use std::net::SocketAddr;

use certs::tracker_client_config;
use quinn::Endpoint;
use shared::{
    id::DeviceId,
    limits::{INTRODUCTIONS_OF_PAIR_MAX, PROBE_FRAME_BYTES_MAX},
    net::{self, Outgoing, frame},
    wire::{
        Code, PROBE_ALPN, TRACKER_NAME,
        reach::{Attempt, Introduction, Mapping, ProbeAnswer, ProbeRequest, Rendezvous, Role, Token, Way},
        tracker::{Answer, Event, Request},
    },
};
use support::{Client, Listener, Tracker, endpoint, soon};

/// One question at the second port, from this socket.
async fn probe(tracker: &Tracker, endpoint: &Endpoint, port: u16, request: ProbeRequest) -> ProbeAnswer {
    let (tls, _) = tracker_client_config(tracker.fingerprint(), PROBE_ALPN).unwrap();
    let config = net::endpoint::tracker_client(tls).unwrap();
    let address = SocketAddr::new(tracker.address().ip(), port);
    let connection = soon(endpoint.connect_with(config, address, TRACKER_NAME).unwrap()).await.unwrap();
    let (send, mut recv) = soon(connection.open_bi()).await.unwrap();
    let mut send = Outgoing::new(send);
    frame::send(&mut send, &request, PROBE_FRAME_BYTES_MAX).await.unwrap();
    send.finish();
    let answer = soon(frame::receive(&mut recv, PROBE_FRAME_BYTES_MAX)).await.unwrap();
    connection.close(0u32.into(), b"");
    answer
}

async fn ticket(client: &Client) -> (u16, Token) {
    match client.ask(Request::Ticket).await {
        Answer::Ticket { port: Some(port), ticket } => (port, ticket),
        other => panic!("{other:?}"),
    }
}

async fn observe(tracker: &Tracker, client: &Client, from: &Endpoint) -> ProbeAnswer {
    let (port, ticket) = ticket(client).await;
    probe(tracker, from, port, ProbeRequest::Observe { device: client.device(), ticket }).await
}

async fn introduce(client: &Client, device: DeviceId, attempt: Attempt) -> Introduction {
    match client.ask(Request::Introduce { device, attempt }).await {
        Answer::Introduced(introduction) => introduction,
        other => panic!("{other:?}"),
    }
}

async fn heard(listener: &mut Listener) -> Introduction {
    listener
        .until(|event| match event {
            Event::Introduced(introduction) => Some(introduction.clone()),
            _ => None,
        })
        .await
}

fn here(introduction: Introduction) -> Rendezvous {
    match introduction.way {
        Way::Here(rendezvous) => rendezvous,
        Way::FreshSockets { .. } => panic!("{introduction:?}"),
    }
}

#[tokio::test]
async fn a_device_learns_how_its_nat_maps() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = Tracker::start(folder.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let own = anna.endpoint.local_addr().unwrap();
    let seen = |mapping| ProbeAnswer::Observed { address: own, mapping };
    assert_eq!(observe(&tracker, &anna, &anna.endpoint).await, seen(Mapping::Independent));
    anna.ask(Request::Announce { addresses: vec![own] }).await;
    assert_eq!(observe(&tracker, &anna, &anna.endpoint).await, seen(Mapping::Open));
    // Another socket looks like another port of the same NAT.
    let ProbeAnswer::Observed { mapping, .. } = observe(&tracker, &anna, &endpoint()).await else { panic!() };
    assert_eq!(mapping, Mapping::Symmetric);

    let (port, old) = ticket(&anna).await;
    ticket(&anna).await;
    let request = ProbeRequest::Observe { device: anna.device(), ticket: old };
    let answer = probe(&tracker, &anna.endpoint, port, request).await;
    assert!(matches!(answer, ProbeAnswer::Refused(refusal) if refusal.code == Code::Unauthenticated));
    tracker.stop().await;
}

#[tokio::test]
async fn two_devices_are_introduced_with_opposite_roles_and_only_the_addresses_that_the_tracker_sees() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = Tracker::start(folder.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let (ben, _) = Client::register(&tracker, "Ben").await;
    // A stranger's address is nothing that anybody is aimed at.
    ben.ask(Request::Announce { addresses: vec!["192.0.2.1:53".parse().unwrap()] }).await;
    let mut ben_hears = ben.subscribe().await;

    let to_anna = introduce(&anna, ben.device(), Attempt::First).await;
    let to_ben = heard(&mut ben_hears).await;
    assert_eq!((to_anna.device, to_ben.device), (ben.device(), anna.device()));
    let (to_anna, to_ben) = (here(to_anna), here(to_ben));
    assert_eq!(to_anna.candidates, [ben.endpoint.local_addr().unwrap()]);
    assert_eq!(to_ben.candidates, [anna.endpoint.local_addr().unwrap()]);
    let anna_dials = anna.device() < ben.device();
    assert_eq!((to_anna.role == Role::Dial, to_ben.role == Role::Dial), (anna_dials, !anna_dials));

    // Behind a symmetric NAT it is that side that dials.
    observe(&tracker, &ben, &endpoint()).await;
    assert_eq!(here(introduce(&anna, ben.device(), Attempt::First).await).role, Role::Await);
    observe(&tracker, &ben, &ben.endpoint).await;
    observe(&tracker, &anna, &endpoint()).await;
    assert_eq!(here(introduce(&anna, ben.device(), Attempt::First).await).role, Role::Dial);
    tracker.stop().await;
}

#[tokio::test]
async fn introductions_are_for_members_that_are_there_and_not_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = Tracker::start(folder.path()).await;
    let stranger = Client::connect(&tracker).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let (ben, _) = Client::register(&tracker, "Ben").await;
    let request = |device| Request::Introduce { device, attempt: Attempt::First };
    assert_eq!(stranger.refused(request(anna.device())).await.code, Code::Unauthenticated);
    assert_eq!(stranger.refused(Request::Ticket).await.code, Code::Unauthenticated);
    assert_eq!(anna.refused(request(anna.device())).await.code, Code::BadRequest);
    assert_eq!(anna.refused(request(stranger.device())).await.code, Code::NotFound);
    for _ in 0..INTRODUCTIONS_OF_PAIR_MAX {
        introduce(&anna, ben.device(), Attempt::First).await;
    }
    assert_eq!(anna.refused(request(ben.device())).await.code, Code::RateLimited);
    tracker.stop().await;
}

#[tokio::test]
async fn a_second_attempt_meets_from_fresh_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = Tracker::start(folder.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let (ben, _) = Client::register(&tracker, "Ben").await;
    let mut ben_hears = ben.subscribe().await;
    let (port, _) = ticket(&anna).await;
    let token_of = |introduction: Introduction| match introduction.way {
        Way::FreshSockets { token } => token,
        Way::Here(_) => panic!("{introduction:?}"),
    };
    let for_anna = token_of(introduce(&anna, ben.device(), Attempt::FreshSockets).await);
    let for_ben = token_of(heard(&mut ben_hears).await);
    let (anna_fresh, ben_fresh) = (endpoint(), endpoint());
    let meet = |token| ProbeRequest::Meet { token };
    let (to_anna, to_ben) = tokio::join!(
        probe(&tracker, &anna_fresh, port, meet(for_anna)),
        probe(&tracker, &ben_fresh, port, meet(for_ben)),
    );
    let (ProbeAnswer::Met(to_anna), ProbeAnswer::Met(to_ben)) = (to_anna, to_ben) else { panic!() };
    assert_eq!(to_anna.candidates, [ben_fresh.local_addr().unwrap()]);
    assert_eq!(to_ben.candidates, [anna_fresh.local_addr().unwrap()]);
    assert_ne!(to_anna.role, to_ben.role);

    // A token is good for one meeting, and who comes alone is told so.
    let ProbeAnswer::Refused(refusal) = probe(&tracker, &anna_fresh, port, meet(for_anna)).await else { panic!() };
    assert_eq!(refusal.code, Code::NotFound);
    let alone = token_of(introduce(&anna, ben.device(), Attempt::FreshSockets).await);
    let ProbeAnswer::Refused(refusal) = probe(&tracker, &anna_fresh, port, meet(alone)).await else { panic!() };
    assert_eq!(refusal.code, Code::Unavailable);
    tracker.stop().await;
}

#[tokio::test]
async fn a_tracker_without_a_second_port_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = Tracker::start_with(folder.path(), |flags| flags.probe = Some("off".into())).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let (ben, _) = Client::register(&tracker, "Ben").await;
    assert!(matches!(anna.ask(Request::Ticket).await, Answer::Ticket { port: None, .. }));
    here(introduce(&anna, ben.device(), Attempt::First).await);
    let request = Request::Introduce { device: ben.device(), attempt: Attempt::FreshSockets };
    assert_eq!(anna.refused(request).await.code, Code::Unsupported);
    tracker.stop().await;
}
