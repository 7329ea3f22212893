//! Paths that go dead, and connections on which nothing happens.

use super::*;
use crate::limits::{PEER_IDLE, PEER_KEEP_ALIVE, TRACKER_IDLE, TRACKER_KEEP_ALIVE};

/// What a loaded line and the probes before giving up add to a deadline.
const SLACK: Duration = secs(1);

/// A line on which a queue builds up under load.
fn line(delay: Duration) -> Path {
    Path { bytes_per_second: Some(1_000_000), ..Path::of(delay) }
}

/// When each end of a connection learned that it is over, counted from a time.
async fn noticed(pair: &Pair, near: &Connection, far: &Connection, since: Duration) -> [Duration; 2] {
    let end = async |one: &Connection| {
        assert_eq!(one.closed().await, ConnectionError::TimedOut);
        pair.net.now() - since
    };
    let (near, far) = tokio::join!(end(near), end(far));
    [near, far]
}

#[test]
fn a_dead_path_is_noticed_by_both_ends() {
    // An end that keeps the connection alive hears of its end after a keep-alive without an answer.
    for (settings, keep_alive, idle) in [
        (Settings::of_members(), PEER_KEEP_ALIVE, PEER_IDLE),
        (Settings::of_tracker(), TRACKER_KEEP_ALIVE, TRACKER_IDLE),
    ] {
        for cut_at in [ms(5_000), ms(9_990), ms(10_010), ms(15_000), ms(19_000)] {
            for bytes in [0, 40 * MIB] {
                on_paused_clock(async {
                    let path = line(ms(20));
                    let pair = Pair::new(&settings, 1, path);
                    let (near, far) = pair.connect().await;
                    pair.path_at(cut_at, path.cut());
                    let sending = async {
                        if bytes > 0 {
                            assert_eq!(send(&far, &near, bytes).await, Err(ConnectionError::TimedOut));
                        }
                    };
                    let ([near, far], ()) = tokio::join!(noticed(&pair, &near, &far, cut_at), sending);
                    println!("{bytes} bytes, cut at {cut_at:?}: {near:?}, {far:?}");
                    assert!(near < keep_alive + idle + SLACK, "the dialling end took {near:?}");
                    assert!(far < keep_alive + idle + SLACK, "the answering end took {far:?}");
                });
            }
        }
    }
}

#[test]
fn a_path_that_is_dead_in_one_direction_is_noticed_too() {
    on_paused_clock(async {
        let pair = Pair::new(&Settings::of_members(), 1, line(ms(20)));
        let (near, far) = pair.connect().await;
        let change = Change::Way { from: pair.far, to: pair.near, path: line(ms(20)).cut() };
        pair.net.at(secs(15), change);
        let [near, far] = noticed(&pair, &near, &far, secs(15)).await;
        assert!(near < PEER_KEEP_ALIVE + PEER_IDLE + SLACK, "{near:?}");
        // The other end hears the deaf one until that one gives up.
        assert!(far < near + PEER_KEEP_ALIVE + PEER_IDLE + SLACK, "{far:?}");
    });
}

#[test]
fn a_device_that_vanishes_is_gone_from_its_tracker_in_time_whatever_it_is_sent() {
    const PROMISED: Duration = secs(45);
    let settings = Settings::of_tracker();
    for told_after in [1, 5, 10, 15, 20, 22, 25, 27, 29].map(secs) {
        on_paused_clock(async {
            let pair = Pair::new(&settings, 1, Path::of(ms(20)));
            let (near, far) = pair.connect().await;
            pair.path_at(secs(115), Path::of(ms(20)).cut());
            pair.net.reach(secs(115) + told_after).await;
            let told = far.open_bi().await;
            if let Ok((mut send, _recv)) = told {
                drop(send.write_all(b"news").await);
                let [_, far] = noticed(&pair, &near, &far, secs(115)).await;
                println!("told after {told_after:?}: {far:?}");
                assert!(far < PROMISED, "told after {told_after:?}, it took {far:?}");
            }
        });
    }
}

#[test]
fn a_short_cut_leaves_the_connection_alive() {
    let cuts = [1, 3, 6, 10, 14];
    for settings in [Settings::of_members(), Settings::of_tracker()] {
        for delay in [ms(5), ms(20), ms(300)] {
            for cut in cuts.map(secs) {
                on_paused_clock(async {
                    let pair = Pair::new(&settings, 1, line(delay));
                    let (near, far) = pair.connect().await;
                    pair.path_at(secs(3), line(delay).cut());
                    pair.path_at(secs(3) + cut, line(delay));
                    let (sent, silence) = tokio::join!(send(&far, &near, 8 * MIB), silence(&pair, secs(3)));
                    sent.unwrap();
                    // Probes come at doubled intervals, so that the last one may be as late as the cut was long.
                    println!("{delay:?}, cut of {cut:?}: silent for {silence:?}");
                    assert!(silence < cut * 2 + SLACK, "{delay:?}, cut of {cut:?}: silent for {silence:?}");
                });
            }
        }
    }
}

/// For how long nothing arrives at the near end from a cut on; what was on its way then does not count.
async fn silence(pair: &Pair, cut_at: Duration) -> Duration {
    let arrived = || pair.net.counts(pair.far, pair.near).arrived;
    pair.net.reach(cut_at).await;
    let before = arrived();
    while arrived() == before {
        pair.net.reach(pair.net.now() + ms(10)).await;
    }
    pair.net.now() - cut_at
}

#[test]
fn keep_alives_hold_an_idle_device_at_its_nat() {
    let settings = Settings::of_tracker();
    with_seeds(async |seed| {
        let pair = Pair::new(&settings, seed, Path { loss: 0.05, ..Path::of(ms(40)) });
        pair.net.put_behind_nat(pair.near, secs(30));
        let (device, tracker) = pair.connect().await;
        let address = tracker.remote_address();
        pair.net.reach(secs(20 * 60)).await;
        // What the tracker has to tell comes through at once.
        let told_at = pair.net.now();
        send(&tracker, &device, 100).await.unwrap();
        assert!(pair.net.now() - told_at < secs(2));
        assert_eq!((pair.net.moves(pair.near), tracker.remote_address()), (0, address));
        let datagrams = pair.net.counts(pair.near, pair.far).sent;
        assert!(datagrams < 20 * 60 / 10 * 2 + 100, "{datagrams} datagrams are too many for silence");
    });
}

#[test]
fn an_idle_device_whose_nat_forgets_sooner_than_it_speaks_is_found_again_each_time() {
    let settings = Settings::of_tracker();
    with_seeds(async |seed| {
        let pair = Pair::new(&settings, seed, Path::of(ms(40)));
        pair.net.put_behind_nat(pair.near, secs(5));
        let (device, tracker) = pair.connect().await;
        pair.net.reach(secs(5 * 60)).await;
        assert!(pair.net.moves(pair.near) > 20, "{} moves", pair.net.moves(pair.near));
        let told_at = pair.net.now();
        send(&tracker, &device, 100).await.unwrap();
        assert!(pair.net.now() - told_at < TRACKER_KEEP_ALIVE + SLACK);
        assert_eq!((device.close_reason(), tracker.close_reason()), (None, None));
    });
}
