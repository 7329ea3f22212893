//! The network itself, and its clock.

use std::net::SocketAddr;

use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
    time::{Instant, timeout},
};

use super::*;
use crate::net::virtual_net::{Counts, host::Host, in_virtual_time, link::Link};

/// All that can be seen of one run: its end, and what became of the datagrams of each direction.
fn run_of(settings: &Settings, seed: u64) -> (Duration, u64, [Counts; 2]) {
    let path = Path {
        jitter: ms(7),
        loss: 0.03,
        duplicates: 0.02,
        corruption: 0.02,
        bytes_per_second: Some(1_000_000),
        queue_bytes: 50_000,
        ..Path::of(ms(20))
    };
    on_paused_clock(async {
        let pair = Pair::new(settings, seed, path);
        let (near, far) = pair.connect().await;
        send(&far, &near, MIB / 2).await.unwrap();
        let net = &pair.net;
        (net.now(), net.sent(), [net.counts(pair.near, pair.far), net.counts(pair.far, pair.near)])
    })
}

#[test]
fn the_same_seed_gives_the_same_run_to_the_datagram() {
    let settings = Settings::of_members();
    for seed in 1..4 {
        let first = run_of(&settings, seed);
        assert_eq!(first, run_of(&settings, seed), "seed {seed}");
        assert_ne!(first, run_of(&settings, seed + 100), "seed {seed}");
    }
}

#[test]
fn a_line_takes_its_time_and_drops_what_its_queue_cannot_hold() {
    let path = Path { bytes_per_second: Some(1_000), queue_bytes: 250, ..Path::of(ms(10)) };
    let (mut link, mut chance) = (Link::new(path), StdRng::seed_from_u64(1));
    let arrivals: Vec<Vec<u64>> = (0..4)
        .map(|_| link.carry(secs(1), 100, &mut chance).iter().map(|one| one.at.as_millis() as u64).collect())
        .collect();
    assert_eq!(arrivals, [vec![1110], vec![1210], vec![], vec![]]);
    // A tenth of a second later there is room for one more.
    assert_eq!(link.carry(ms(1100), 100, &mut chance).first().map(|one| one.at), Some(ms(1310)));
    assert_eq!((link.counts.sent, link.counts.arrived, link.counts.overflowed), (5, 3, 2));
}

#[test]
fn every_fault_happens_as_often_as_it_was_asked_for() {
    let path = Path { loss: 0.1, duplicates: 0.2, corruption: 0.3, jitter: ms(50), ..Path::of(ms(10)) };
    let (mut link, mut chance) = (Link::new(path), StdRng::seed_from_u64(1));
    for number in 0..10_000 {
        link.carry(ms(number), 100, &mut chance);
    }
    let near = |count: u64, share: f64| assert!((count as f64 - share * 1e4).abs() < 200.0, "{count} is not {share}");
    near(link.counts.lost, 0.1);
    near(link.counts.duplicated, 0.9 * 0.2);
    near(link.counts.corrupted, 0.9 * 0.3);
    assert!(link.counts.overtaking > 5_000);
    assert_eq!(link.counts.arrived, 10_000 - link.counts.lost + link.counts.duplicated);
    link.path = path.cut();
    assert!(link.carry(secs(20), 100, &mut chance).is_empty());
    link.path = Path { datagram_bytes_max: 99, ..Path::default() };
    assert!(link.carry(secs(20), 100, &mut chance).is_empty());
    assert_eq!((link.counts.cut, link.counts.too_large), (1, 1));
}

#[test]
fn a_nat_forgets_who_is_silent_and_gives_it_another_port() {
    let address: SocketAddr = "192.0.2.1:4001".parse().unwrap();
    let mut host = Host::new(address);
    host.put_behind_nat(secs(30));
    assert!(!host.answers_to(address, secs(0)), "nobody gets in before something went out");
    assert_eq!(host.leaving(secs(0)), address);
    assert!(host.answers_to(address, ms(29_999)));
    assert!(!host.answers_to(address, secs(30)));
    assert_eq!(host.leaving(secs(29)), address);
    assert_eq!(host.leaving(secs(59)), "192.0.2.1:4002".parse().unwrap());
    assert!(!host.answers_to(address, secs(59)));
    assert_eq!(host.moves, 1);
}

#[test]
fn changes_happen_in_their_order_at_their_time() {
    on_paused_clock(async {
        let pair = Pair::new(&Settings::of_members(), 1, Path::of(ms(10)));
        pair.path_at(secs(3), Path::of(ms(10)));
        pair.path_at(secs(1), Path::of(ms(10)).cut());
        let mut passed = Vec::new();
        for second in 0..5 {
            pair.net.reach(secs(second)).await;
            let before = pair.net.counts(pair.near, pair.far).arrived;
            pair.net.send(pair.near, pair.net.address(pair.far), b"hello");
            passed.push(pair.net.counts(pair.near, pair.far).arrived - before);
        }
        assert_eq!(passed, [1, 0, 0, 1, 1]);
    });
}

#[test]
fn the_clock_stands_still_while_a_thread_works() {
    let hashed = in_virtual_time(async {
        let work = spawn_blocking(|| blake3::hash(&vec![7; 32 * MIB]));
        timeout(ms(1), work).await
    });
    assert!(hashed.unwrap().is_ok(), "time went on while a thread was at work");
}

#[test]
fn the_clock_goes_on_while_a_thread_waits() {
    let (heard, took) = in_virtual_time(async {
        let (send, mut receive) = mpsc::channel(1);
        let (answer, answered) = oneshot::channel();
        let thread = spawn_blocking(move || answer.send(receive.blocking_recv()));
        let begun = Instant::now();
        assert!(timeout(secs(60), std::future::pending::<()>()).await.is_err());
        send.send("a word").await.unwrap();
        let heard = answered.await.unwrap();
        thread.await.unwrap().unwrap();
        (heard, begun.elapsed())
    })
    .unwrap();
    assert_eq!(heard, Some("a word"));
    assert!(took >= secs(60) && took < secs(61), "{took:?}");
}
