//! Lanes over bad paths, in virtual time: what arrives, what is kept, what is told.

use std::{sync::Arc, time::Duration};

use quinn::Connection;

use super::meeting::*;
use crate::{
    content::GroupSet,
    limits::{PEER_FRAME_BYTES_MAX, PEER_IDLE, SERVE_STALL, SOURCE_STALL},
    net::{
        Outgoing, frame,
        virtual_net::{
            Change, Path, in_virtual_time,
            pair::{Pair, Settings},
        },
    },
    transfer::{
        fetch::{FetchError, fetch_blob},
        lane::{Lane, LaneError},
        serve::{Gate, ServeError, serve},
    },
    wire::peer::Open,
};

const MIB: usize = 1024 * 1024;
/// A file of some blocks, whose last group is not full.
const LARGE: usize = 5 * MIB + 3;

/// A file that does not fit into what a source sends ahead.
const HUGE: usize = 12 * MIB;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A path on which the large file takes five seconds.
fn line() -> Path {
    Path { bytes_per_second: Some(1_000_000), ..Path::of(ms(20)) }
}

/// Fetches what is missing over one new stream of a connection; how both sides ended.
async fn fetch(
    (near, far): &(Connection, Connection),
    shelf: &Arc<Shelf>,
    arriving: &Arriving,
) -> (Result<(), FetchError>, Result<(), ServeError>) {
    let fetching = async {
        let (send, recv) = near.open_bi().await.unwrap();
        let mut send = Outgoing::new(send);
        frame::send(&mut send, &Open::Fetch, PEER_FRAME_BYTES_MAX).await.unwrap();
        fetch_blob(Lane::start(send, recv), arriving.partial.clone()).await
    };
    let serving = async {
        let (send, mut recv) = far.accept_bi().await.unwrap();
        assert_eq!(frame::receive::<Open>(&mut recv, PEER_FRAME_BYTES_MAX).await.unwrap(), Open::Fetch);
        serve(Outgoing::new(send), recv, Gate::Tracker, shelf.clone()).await
    };
    tokio::join!(fetching, serving)
}

/// What a source sends for the rest of a file.
fn rest_of(arriving: &Arriving) -> (GroupSet, u64) {
    let layout = arriving.partial.layout();
    let missing = arriving.right_groups().missing_in(0..layout.groups());
    let bytes = layout.bytes_in(&missing);
    (missing, bytes)
}

#[test]
fn a_lane_brings_a_file_whole_through_any_weather() {
    let of = Path::of(ms(25));
    let settings = Settings::of_members();
    for (name, path, length) in [
        ("1 % loss", Path { loss: 0.01, ..of }, LARGE),
        ("5 % loss", Path { loss: 0.05, ..of }, 2 * MIB),
        ("15 % loss", Path { loss: 0.15, ..of }, MIB),
        ("reordering", Path { jitter: ms(40), ..of }, MIB),
        ("duplicates", Path { duplicates: 0.5, ..of }, LARGE),
        ("wrong bits", Path { corruption: 0.03, ..of }, 2 * MIB),
    ] {
        in_virtual_time(async {
            let pair = Pair::new(&settings, 1, path);
            let (shelf, data) = (Shelf::new(), bytes(length));
            shelf.file(&data);
            let arriving = Arriving::of(&data);
            let (fetched, served) = fetch(&pair.connect().await, &shelf, &arriving).await;
            println!("{name}: {:?}, {:?}", pair.net.now(), pair.net.counts(pair.far, pair.near));
            fetched.unwrap();
            served.unwrap();
            assert!(arriving.partial.is_complete());
            assert_eq!(rest_of(&arriving).1, 0);
            assert_eq!(shelf.sent_bytes(), length as u64);
        })
        .unwrap();
    }
}

#[test]
fn a_slow_source_does_not_look_like_a_silent_one() {
    // A group takes two seconds, and datagrams end where groups do not.
    let path = Path { bytes_per_second: Some(8_000), ..Path::of(ms(20)) };
    in_virtual_time(async {
        let pair = Pair::new(&Settings::of_members(), 1, path);
        let (shelf, data) = (Shelf::new(), bytes(MIB / 4));
        shelf.file(&data);
        let arriving = Arriving::of(&data);
        let (fetched, served) = fetch(&pair.connect().await, &shelf, &arriving).await;
        fetched.unwrap();
        served.unwrap();
        assert!(pair.net.now() > SOURCE_STALL * 3, "{:?}", pair.net.now());
        assert_eq!(rest_of(&arriving).1, 0);
    })
    .unwrap();
}

#[test]
fn a_short_cut_is_survived_by_the_lane_itself() {
    in_virtual_time(async {
        let pair = Pair::new(&Settings::of_members(), 1, line());
        let (shelf, data) = (Shelf::new(), bytes(LARGE));
        shelf.file(&data);
        let arriving = Arriving::of(&data);
        pair.path_at(secs(2), line().cut());
        pair.path_at(secs(5), line());
        let (fetched, served) = fetch(&pair.connect().await, &shelf, &arriving).await;
        fetched.unwrap();
        served.unwrap();
        assert_eq!(rest_of(&arriving).1, 0);
        assert_eq!(shelf.sent_bytes(), LARGE as u64);
    })
    .unwrap();
}

#[test]
fn a_lane_whose_path_dies_keeps_what_was_verified_and_the_next_one_fetches_only_the_rest() {
    in_virtual_time(async {
        let pair = Pair::new(&Settings::of_members(), 1, line());
        let (shelf, data) = (Shelf::new(), bytes(HUGE));
        shelf.file(&data);
        let arriving = Arriving::of(&data);
        pair.path_at(secs(3), line().cut());
        let ends = pair.connect().await;
        let (fetched, served) = fetch(&ends, &shelf, &arriving).await;
        assert!(matches!(fetched, Err(FetchError::Stalled)), "{fetched:?}");
        assert!(matches!(served, Err(ServeError::Send(_) | ServeError::Receive(_))), "{served:?}");
        let (missing, rest_bytes) = rest_of(&arriving);
        assert!(!missing.is_empty() && rest_bytes < (HUGE - MIB) as u64, "{rest_bytes} bytes are missing");

        pair.net.set_path(pair.near, pair.far, line());
        let again = Shelf::new();
        again.file(&data);
        let (fetched, served) = fetch(&pair.connect().await, &again, &arriving).await;
        fetched.unwrap();
        served.unwrap();
        assert!(arriving.partial.is_complete());
        assert_eq!((rest_of(&arriving).1, again.sent_bytes()), (0, rest_bytes));
    })
    .unwrap();
}

#[test]
fn a_lane_that_is_told_nothing_of_its_dead_path_stalls_long_before_the_connection_ends() {
    in_virtual_time(async {
        let pair = Pair::new(&Settings::of_members(), 1, line());
        let (shelf, data) = (Shelf::new(), bytes(HUGE));
        shelf.file(&data);
        let arriving = Arriving::of(&data);
        pair.path_at(secs(3), line().cut());
        let ends = pair.connect().await;
        let fetching = async {
            let (send, recv) = ends.0.open_bi().await.unwrap();
            let mut send = Outgoing::new(send);
            frame::send(&mut send, &Open::Fetch, PEER_FRAME_BYTES_MAX).await.unwrap();
            let fetched = fetch_blob(Lane::start(send, recv), arriving.partial.clone()).await;
            (fetched, pair.net.now())
        };
        let serving = async {
            let (send, mut recv) = ends.1.accept_bi().await.unwrap();
            assert_eq!(frame::receive::<Open>(&mut recv, PEER_FRAME_BYTES_MAX).await.unwrap(), Open::Fetch);
            let served = serve(Outgoing::new(send), recv, Gate::Tracker, shelf.clone()).await;
            (served, pair.net.now())
        };
        let ((fetched, stalled_at), (served, ended_at)) = tokio::join!(fetching, serving);
        assert!(matches!(fetched, Err(FetchError::Stalled)), "{fetched:?}");
        assert!(stalled_at > secs(3) && stalled_at < secs(3) + SOURCE_STALL + secs(1), "{stalled_at:?}");
        // The source waits neither for ever nor for a reader that it cannot reach.
        served.unwrap_err();
        assert!(ended_at < secs(3) + PEER_IDLE + secs(1) && ended_at < secs(3) + SERVE_STALL, "{ended_at:?}");
    })
    .unwrap();
}

#[test]
fn a_lane_lives_on_when_its_fetcher_moves() {
    for settings in [Settings::of_members(), Settings::of_tracker()] {
        in_virtual_time(async {
            let pair = Pair::new(&settings, 1, line());
            let (shelf, data) = (Shelf::new(), bytes(LARGE));
            shelf.file(&data);
            let arriving = Arriving::of(&data);
            let address = "203.0.113.7:5000".parse().unwrap();
            pair.net.at(secs(3), Change::Move { host: pair.near, address });
            let ends = pair.connect().await;
            let (fetched, served) = fetch(&ends, &shelf, &arriving).await;
            fetched.unwrap();
            served.unwrap();
            assert_eq!((rest_of(&arriving).1, ends.1.remote_address()), (0, address));
            assert_eq!(shelf.sent_bytes(), LARGE as u64);
        })
        .unwrap();
    }
}

#[test]
fn a_source_that_moves_is_lost_to_its_lane_and_goes_on_from_where_it_is_now() {
    in_virtual_time(async {
        let pair = Pair::new(&Settings::of_members(), 1, line());
        let (shelf, data) = (Shelf::new(), bytes(HUGE));
        shelf.file(&data);
        let arriving = Arriving::of(&data);
        let address = "203.0.113.7:5000".parse().unwrap();
        pair.net.at(secs(3), Change::Move { host: pair.far, address });
        let ends = pair.connect().await;
        let (fetched, served) = fetch(&ends, &shelf, &arriving).await;
        // Whoever dialled takes datagrams only from the address that it dialled (RFC 9000, section 9).
        assert!(matches!(fetched, Err(FetchError::Stalled | FetchError::Lane(LaneError::Lost))), "{fetched:?}");
        served.unwrap_err();
        let (missing, rest_bytes) = rest_of(&arriving);
        assert!(!missing.is_empty() && rest_bytes < HUGE as u64);

        let again = Shelf::new();
        again.file(&data);
        assert_eq!(pair.net.address(pair.far), address);
        let (fetched, served) = fetch(&pair.connect().await, &again, &arriving).await;
        fetched.unwrap();
        served.unwrap();
        assert_eq!((rest_of(&arriving).1, again.sent_bytes()), (0, rest_bytes));
    })
    .unwrap();
}
