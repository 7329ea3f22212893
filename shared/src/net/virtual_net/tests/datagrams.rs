//! How large datagrams become, and what makes them small again.

use super::*;
use crate::limits::DATAGRAM_BYTES_MAX;

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
    for loss in [0.01, 0.05, 0.15] {
        with_seeds(async |seed| {
            let pair = Pair::new(&settings, seed, Path { loss, ..Path::of(ms(10)) });
            let (near, far) = pair.connect().await;
            send(&far, &near, 8 * MIB).await.unwrap();
            let path = far.stats().path;
            println!("{loss}: {} lost of {}", path.lost_packets, path.sent_packets);
            assert!(path.lost_packets > 40);
            assert_eq!(path.black_holes_detected, 0, "loss was taken for a black hole");
            assert!(path.current_mtu > 1400, "{} bytes", path.current_mtu);
        });
    }
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

#[test]
fn a_path_that_stops_carrying_large_datagrams_is_survived() {
    let path = Path { bytes_per_second: Some(1_000_000), ..Path::of(ms(20)) };
    let settings = Settings::of_members();
    with_seeds(async |seed| {
        let pair = Pair::new(&settings, seed, path);
        let (near, far) = pair.connect().await;
        let narrow = Path { datagram_bytes_max: 1300, ..path };
        pair.path_at(secs(3), narrow);
        let begun = pair.net.now();
        send(&far, &near, 20 * MIB).await.unwrap();
        let took = pair.net.now() - begun;
        println!("{took:?}, {:?}", pair.net.counts(pair.far, pair.near));
        assert_eq!(far.stats().path.black_holes_detected, 1);
        assert!(far.stats().path.current_mtu <= 1300);
        assert!(took < secs(30), "{took:?}");
        // A minute later the larger ones are tried again, so what the path still carries is found.
        pair.net.reach(pair.net.now() + secs(70)).await;
        send(&far, &near, 5 * MIB).await.unwrap();
        let found = far.stats().path.current_mtu;
        assert!((1281..=1300).contains(&found), "{found}");
    });
}

#[test]
fn datagrams_grow_again_after_the_path_has_healed() {
    let path = Path { bytes_per_second: Some(1_000_000), ..Path::of(ms(20)) };
    let settings = Settings::of_members();
    with_seeds(async |seed| {
        let pair = Pair::new(&settings, seed, path);
        let (near, far) = pair.connect().await;
        pair.path_at(secs(3), Path { datagram_bytes_max: 1200, ..path });
        pair.path_at(secs(20), path);
        send(&far, &near, 30 * MIB).await.unwrap();
        assert_eq!(far.stats().path.black_holes_detected, 1);
        assert_eq!(far.stats().path.current_mtu, 1200);
        pair.net.reach(secs(70)).await;
        send(&far, &near, 5 * MIB).await.unwrap();
        assert!(far.stats().path.current_mtu > 1400);
    });
}
