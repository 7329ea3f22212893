//! How much of a line a sender takes, beside others and beside loss.

use tokio::time::timeout;

use super::*;

/// A line of so many megabits per second with a round trip of 50 ms, and so many round trips of queue.
fn line(megabits: u64, queue: f64, loss: f64) -> Path {
    let bytes_per_second = megabits * 125_000;
    let queue_bytes = (bytes_per_second as f64 * 0.05 * queue) as u64;
    Path { bytes_per_second: Some(bytes_per_second), queue_bytes, loss, ..Path::of(ms(25)) }
}

/// What one sender made of a line.
#[derive(Debug)]
struct Use {
    /// Share of the line that brought what was sent.
    share: f64,
    /// Share of its datagrams that found the queue full.
    own_loss: f64,
}

/// Sends so many bytes over a new connection, beginning with its handshake.
async fn use_of(pair: &Pair, path: Path, congestion: Congestion, length: usize) -> Use {
    let (near, far) = pair.connect_controlled_by(congestion).await;
    send(&near, &far, length).await.unwrap();
    let counts = pair.net.counts(pair.near, pair.far);
    let carried = path.bytes_per_second.unwrap() as f64 * pair.net.now().as_secs_f64();
    Use { share: length as f64 / carried, own_loss: counts.overflowed as f64 / counts.sent as f64 }
}

/// Sends for ever.
async fn flood(from: &Connection, to: &Connection) {
    let (mut send, _recv) = from.open_bi().await.unwrap();
    let data = vec![7; 64 * 1024];
    let writing = async {
        loop {
            send.write_all(&data).await.unwrap();
        }
    };
    let reading = async {
        let (_send, mut recv) = to.accept_bi().await.unwrap();
        while recv.read_chunk(64 * 1024, true).await.unwrap().is_some() {}
    };
    tokio::join!(writing, reading);
}

#[test]
fn a_lossy_line_is_used_where_cubic_hardly_moves() {
    let settings = Settings::of_members();
    for (loss, share_min) in [(0.01, 0.8), (0.05, 0.75)] {
        let path = line(100, 1.0, loss);
        with_seeds(async |seed| {
            let pair = Pair::new(&settings, seed, path);
            let ours = use_of(&pair, path, Congestion::Model, 60 * MIB).await;
            println!("loss {loss}: {ours:?}");
            assert!(ours.share >= share_min && ours.own_loss < 0.05, "{ours:?} at {loss}");
        });
        let cubic = on_paused_clock(async {
            let pair = Pair::new(&settings, 1, path);
            use_of(&pair, path, Congestion::Cubic, 5 * MIB).await
        });
        println!("loss {loss}, Cubic: {cubic:?}");
        assert!(cubic.share < 0.1, "what the comparison is for: {cubic:?}");
    }
}

#[test]
fn a_clean_line_is_used_and_hardly_overrun() {
    let settings = Settings::of_members();
    for (megabits, queue) in [(100, 1.0), (100, 4.0), (20, 0.5)] {
        let path = line(megabits, queue, 0.0);
        with_seeds(async |seed| {
            let pair = Pair::new(&settings, seed, path);
            let ours = use_of(&pair, path, Congestion::Model, 120 * MIB).await;
            println!("{megabits} Mbit/s, queue {queue}: {ours:?}");
            assert!(ours.share >= 0.9 && ours.own_loss < 0.05, "{ours:?}");
        });
    }
}

#[test]
fn beside_cubic_neither_starves() {
    let settings = Settings::of_members();
    for (first, second) in [(Congestion::Model, Congestion::Cubic), (Congestion::Cubic, Congestion::Model)] {
        // In a queue too short to be seen, loss alone tells of the other: Cubic got 0.26 to 0.40 of the line there.
        for (queue, share_min) in [(0.25, 0.2), (1.0, 0.35), (2.0, 0.35)] {
            let path = line(40, queue, 0.0);
            with_seeds(async |seed| {
                let pair = Pair::new(&settings, seed, path);
                let one = pair.connect_controlled_by(first).await;
                assert!(timeout(secs(5), flood(&one.0, &one.1)).await.is_err());
                let other = pair.connect_controlled_by(second).await;
                let both = async { tokio::join!(flood(&one.0, &one.1), flood(&other.0, &other.1)) };
                tokio::pin!(both);
                assert!(timeout(secs(10), &mut both).await.is_err());
                let bytes = || [&one.1, &other.1].map(|end| end.stats().udp_rx.bytes);
                let before = bytes();
                assert!(timeout(secs(90), &mut both).await.is_err());
                let after = bytes();
                let line = path.bytes_per_second.unwrap() as f64 * 90.0;
                let shares = [0, 1].map(|flow| (after[flow] - before[flow]) as f64 / line);
                println!("{first:?} and then {second:?}, queue {queue}: {shares:.2?}");
                assert!(shares.iter().all(|share| *share >= share_min), "{first:?} and then {second:?}: {shares:.2?}");
            });
        }
    }
}

#[test]
fn loss_over_a_large_path_leaves_no_more_holes_than_a_stream_bears() {
    let settings = Settings::of_members();
    for loss in [0.02, 0.15] {
        let path = line(1_000, 1.0, loss);
        with_seeds(async |seed| {
            let pair = Pair::new(&settings, seed, path);
            // A receiver that has too many closes the connection.
            let ours = use_of(&pair, path, Congestion::Model, 100 * MIB).await;
            println!("loss {loss}: {ours:?}");
        });
    }
}
