//! Reaching somebody over a bad path.

use super::*;
use crate::limits::{PEER_DIAL, TRACKER_DIAL};

/// Both kinds of connection, and how long the engine dials one address.
fn kinds() -> [(Settings, Duration); 2] {
    [(Settings::of_members(), PEER_DIAL), (Settings::of_tracker(), TRACKER_DIAL)]
}

#[test]
fn a_handshake_takes_one_round_trip() {
    for (settings, deadline) in kinds() {
        for round_trip in [ms(2), ms(100), ms(600)] {
            on_paused_clock(async {
                let pair = Pair::new(&settings, 1, Path::of(round_trip / 2));
                let (near, _far) = pair.connect().await;
                assert!(pair.net.now() < round_trip * 2 + ms(10) && pair.net.now() < deadline, "{:?}", pair.net.now());
                assert_eq!(near.close_reason(), None);
            });
        }
    }
}

#[test]
fn most_dials_succeed_over_long_and_lossy_paths() {
    const DIALS: u64 = 100;
    for (settings, deadline) in kinds() {
        for (loss, least) in [(0.02, 98), (0.05, 95), (0.1, 90), (0.2, 75)] {
            for round_trip in [ms(20), ms(100), ms(300), ms(600)] {
                let mut took = Vec::new();
                for seed in 0..DIALS {
                    on_paused_clock(async {
                        let pair = Pair::new(&settings, seed, Path { loss, ..Path::of(round_trip / 2) });
                        let dialled = tokio::select! {
                            biased;
                            dialled = pair.dial(pair.net.address(pair.far), deadline) => dialled,
                            () = pair.answer() => None,
                        };
                        if let Some(Ok(_)) = dialled {
                            took.push(pair.net.now());
                        }
                    });
                }
                took.sort();
                let (median, last) = (took.get(took.len() / 2), took.last());
                println!("{loss} {round_trip:?}: {} of {DIALS}, median {median:?}, last {last:?}", took.len());
                assert!(took.len() >= least, "{} of {DIALS} at {loss} and {round_trip:?}", took.len());
            }
        }
    }
}

#[test]
fn a_dead_address_costs_one_deadline_and_leaves_nothing() {
    for (settings, deadline) in kinds() {
        on_paused_clock(async {
            let pair = Pair::new(&settings, 1, Path::of(ms(20)).cut());
            let dialled = pair.dial(pair.net.address(pair.far), deadline).await;
            assert!(dialled.is_none(), "{dialled:?}");
            assert_eq!(pair.net.now(), deadline);
            pair.dialling.wait_idle().await;
            assert!(pair.net.now() < deadline + secs(20), "{:?}", pair.net.now());
            // Whoever owns the address now is hardly bothered.
            let sent = pair.net.counts(pair.near, pair.far).sent;
            assert!(sent <= 12, "{sent} datagrams to somebody who does not answer");
        });
    }
}
