//! How large datagrams become, and what makes them small again.

use super::*;
use crate::limits::DATAGRAM_BYTES_MAX;

/// A line on which twenty megabytes take twenty seconds.
fn line() -> Path {
    Path { bytes_per_second: Some(1_000_000), ..Path::of(ms(20)) }
}

/// Ends of a connection over a path that carries datagrams of so many bytes, after some traffic each way.
async fn settled(pair: &Pair) -> (Connection, Connection) {
    let (near, far) = pair.connect().await;
    // Each size that does not pass costs three probes, one at a time.
    for _ in 0..40 {
        send(&far, &near, 30_000).await.unwrap();
        send(&near, &far, 30_000).await.unwrap();
    }
    (near, far)
}

#[test]
fn datagrams_grow_to_what_the_path_carries() {
    let loopback = usize::from(u16::MAX);
    for settings in [Settings::of_members(), Settings::of_tracker()] {
        for carries in [1200, 1232, 1280, 1400, Path::ETHERNET_BYTES, 1472, 4000, 8952, loopback] {
            on_paused_clock(async {
                let path = Path { datagram_bytes_max: carries, ..Path::of(ms(10)) };
                let pair = Pair::new(&settings, 1, path);
                let ends = settled(&pair).await;
                let most = carries.min(usize::from(DATAGRAM_BYTES_MAX));
                for end in [ends.0, ends.1] {
                    let found = usize::from(end.stats().path.current_mtu);
                    // Discovery ends when both next steps are smaller than 20 bytes.
                    assert!(found <= most && found + 40 > most, "{found} on a path that carries {carries}");
                }
            });
        }
    }
}

#[test]
fn plain_loss_leaves_datagrams_large() {
    let settings = Settings::of_members();
    for loss in [0.01, 0.05] {
        for bytes_per_second in [Some(12_500_000), None] {
            with_seeds(async |seed| {
                let pair = Pair::new(&settings, seed, Path { loss, bytes_per_second, ..Path::of(ms(10)) });
                let (near, far) = settled(&pair).await;
                send(&far, &near, 32 * MIB).await.unwrap();
                let path = far.stats().path;
                println!("{loss}: {} lost of {}", path.lost_packets, path.sent_packets);
                assert!(path.lost_packets > 200);
                assert_eq!(path.black_holes_detected, 0, "loss was taken for a black hole");
                assert!(path.current_mtu > 1400, "{} bytes", path.current_mtu);
            });
        }
    }
}

#[test]
fn loss_that_looks_like_a_black_hole_makes_datagrams_small_for_seconds_only() {
    let settings = Settings::of_members();
    with_seeds(async |seed| {
        let path = Path { loss: 0.15, bytes_per_second: Some(12_500_000), ..Path::of(ms(10)) };
        let pair = Pair::new(&settings, seed, path);
        let (near, far) = settled(&pair).await;
        // Now and then only small ones come through, until that is noticed, but not until larger ones are tried again.
        for second in [4, 12, 20].map(secs) {
            let begun = pair.net.now() + second;
            pair.path_at(begun, Path { datagram_bytes_max: 1200, ..path });
            pair.path_at(begun + ms(1_500), path);
        }
        let end = pair.net.now() + secs(32);
        while pair.net.now() < end {
            send(&far, &near, MIB).await.unwrap();
        }
        let found = far.stats().path;
        println!("{} black holes, {} bytes", found.black_holes_detected, found.current_mtu);
        assert!(found.black_holes_detected > 0, "what this is about");
        assert!(found.current_mtu > 1300, "{} bytes", found.current_mtu);
    });
}

#[test]
fn a_full_queue_and_a_cut_leave_datagrams_large() {
    let line = Path { bytes_per_second: Some(2_000_000), ..Path::of(ms(20)) };
    let queues = [20_000, 200_000, 2_000_000].map(|queue_bytes| (Path { queue_bytes, ..line }, None));
    let cuts = [500, 3_000, 12_000].map(|cut_ms| (line, Some(ms(cut_ms))));
    let settings = Settings::of_members();
    for (path, cut) in queues.into_iter().chain(cuts) {
        on_paused_clock(async {
            let pair = Pair::new(&settings, 1, path);
            let (near, far) = pair.connect().await;
            if let Some(cut) = cut {
                pair.path_at(secs(3), path.cut());
                pair.path_at(secs(3) + cut, path);
            }
            send(&far, &near, 10 * MIB).await.unwrap();
            let path = far.stats().path;
            assert_eq!(path.black_holes_detected, 0);
            // Behind a long queue, discovery takes its time.
            assert!(path.current_mtu > 1300, "{} bytes", path.current_mtu);
        });
    }
}

/// The sending end of a line on which datagrams become small after three seconds; when that was noticed, and how long
/// twenty megabytes took.
async fn through_a_hole(pair: &Pair, congestion: Congestion, carries: usize) -> (Connection, Duration, Duration) {
    let (near, far) = pair.connect_controlled_by(congestion).await;
    pair.path_at(secs(3), Path { datagram_bytes_max: carries, ..line() });
    let begun = pair.net.now();
    let noticing = async {
        while near.stats().path.black_holes_detected == 0 {
            pair.net.reach(pair.net.now() + ms(10)).await;
        }
        pair.net.now() - secs(3)
    };
    let (sent, noticed) = tokio::join!(send(&near, &far, 20 * MIB), noticing);
    sent.unwrap();
    let took = pair.net.now() - begun;
    println!("{congestion:?}, {carries} bytes: noticed after {noticed:?}, took {took:?}");
    (near, noticed, took)
}

#[test]
fn a_path_that_stops_carrying_large_datagrams_is_survived() {
    let settings = Settings::of_members();
    for (carries, found) in [(1200, 1200..=1200), (1300, 1281..=1300)] {
        with_seeds(async |seed| {
            let pair = Pair::new(&settings, seed, line());
            let (_, cubic_noticed, cubic_took) = through_a_hole(&pair, Congestion::Cubic, carries).await;
            let pair = Pair::new(&settings, seed, line());
            let (near, noticed, took) = through_a_hole(&pair, Congestion::Model, carries).await;
            assert!(noticed < secs(2) && noticed < cubic_noticed * 3 / 2, "{noticed:?}, Cubic {cubic_noticed:?}");
            assert!(took < secs(25) && took < cubic_took * 11 / 10, "{took:?}, Cubic {cubic_took:?}");
            // Seconds later the larger ones were tried again, so what the path still carries was found.
            let path = near.stats().path;
            assert_eq!(path.black_holes_detected, 1);
            assert!(found.contains(&path.current_mtu), "{} bytes", path.current_mtu);
        });
    }
}

#[test]
fn datagrams_grow_again_after_the_path_has_healed() {
    let settings = Settings::of_members();
    with_seeds(async |seed| {
        let pair = Pair::new(&settings, seed, line());
        let (near, far) = pair.connect().await;
        pair.path_at(secs(3), Path { datagram_bytes_max: 1200, ..line() });
        pair.path_at(secs(20), line());
        send(&far, &near, 15 * MIB).await.unwrap();
        assert_eq!(far.stats().path.black_holes_detected, 1);
        assert_eq!(far.stats().path.current_mtu, 1200);
        // It was sought too early, so it is once more.
        pair.net.reach(secs(75)).await;
        send(&far, &near, 5 * MIB).await.unwrap();
        assert!(far.stats().path.current_mtu > 1400);
    });
}
