//! Datagrams that are lost, late, doubled or wrong.

use super::*;

/// What a bad path is, how many bytes go over it, and when they must be there.
struct Weather {
    name: &'static str,
    path: Path,
    bytes: usize,
    within: Duration,
}

fn weather() -> Vec<Weather> {
    let of = Path::of(ms(25));
    let row = |name, path, bytes, within| Weather { name, path, bytes, within };
    vec![
        row("1 % loss", Path { loss: 0.01, ..of }, 2 * MIB, secs(20)),
        row("5 % loss", Path { loss: 0.05, ..of }, 2 * MIB, secs(40)),
        row("15 % loss", Path { loss: 0.15, ..of }, MIB, secs(60)),
        row("reordering", Path { jitter: ms(25), ..of }, MIB, secs(60)),
        row("heavy reordering", Path { jitter: ms(200), ..of }, MIB, secs(120)),
        row("duplicates", Path { duplicates: 0.5, ..of }, 4 * MIB, secs(5)),
        row("wrong bits", Path { corruption: 0.05, ..of }, MIB, secs(40)),
        row("everything", Path { loss: 0.03, jitter: ms(20), duplicates: 0.1, corruption: 0.02, ..of }, MIB, secs(60)),
    ]
}

#[test]
fn a_transfer_arrives_whole_through_any_weather() {
    let settings = Settings::of_members();
    for Weather { name, path, bytes, within } in weather() {
        with_seeds(async |seed| {
            let pair = Pair::new(&settings, seed, path);
            let (near, far) = pair.connect().await;
            let begun = pair.net.now();
            send(&far, &near, bytes).await.unwrap();
            let took = pair.net.now() - begun;
            let counts = pair.net.counts(pair.far, pair.near);
            println!("{name}: {bytes} bytes in {took:?}, {counts:?}");
            assert!(took < within, "{name}: it took {took:?}");
            assert_eq!((near.close_reason(), far.close_reason()), (None, None), "{name}");
        });
    }
}
