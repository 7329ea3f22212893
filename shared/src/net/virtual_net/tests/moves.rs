//! Addresses that change under a connection.

use std::net::SocketAddr;

use super::*;
use crate::limits::{PEER_IDLE, PEER_KEEP_ALIVE};

fn elsewhere(port: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 7], port))
}

/// A line on which eight megabytes take eight seconds.
fn line() -> Path {
    Path { bytes_per_second: Some(1_000_000), ..Path::of(ms(20)) }
}

fn kinds() -> [Settings; 2] {
    [Settings::of_members(), Settings::of_tracker()]
}

#[test]
fn a_dialling_side_that_moves_takes_its_connection_along() {
    for settings in kinds() {
        for towards_it in [true, false] {
            on_paused_clock(async {
                let pair = Pair::new(&settings, 1, line());
                let (near, far) = pair.connect().await;
                for number in 0..4 {
                    let address = elsewhere(5000 + number);
                    pair.net.at(secs(2 + u64::from(number)), Change::Move { host: pair.near, address });
                }
                let (from, to) = if towards_it { (&far, &near) } else { (&near, &far) };
                send(from, to, 8 * MIB).await.unwrap();
                assert!(pair.net.now() < secs(11), "{:?}", pair.net.now());
                assert_eq!((pair.net.moves(pair.near), far.remote_address()), (4, elsewhere(5003)));
            });
        }
    }
}

#[test]
fn a_silent_dialling_side_that_moves_is_heard_of_with_its_next_keep_alive() {
    for settings in kinds() {
        on_paused_clock(async {
            let pair = Pair::new(&settings, 1, line());
            let (near, far) = pair.connect().await;
            pair.net.at(secs(3), Change::Move { host: pair.near, address: elsewhere(5000) });
            pair.net.reach(secs(4)).await;
            send(&far, &near, 1000).await.unwrap();
            assert!(pair.net.now() < secs(4) + PEER_KEEP_ALIVE, "{:?}", pair.net.now());
            assert_eq!(far.remote_address(), elsewhere(5000));
        });
    }
}

#[test]
fn a_dialling_side_with_a_new_socket_loses_nothing() {
    for settings in kinds() {
        on_paused_clock(async {
            let pair = Pair::new(&settings, 1, line());
            let (near, far) = pair.connect().await;
            let moving = async {
                pair.net.reach(secs(3)).await;
                let host = pair.net.host(elsewhere(5000));
                pair.dialling.rebind_abstract(pair.net.socket(host)).unwrap();
            };
            let (sent, ()) = tokio::join!(send(&far, &near, 8 * MIB), moving);
            sent.unwrap();
            assert!(pair.net.now() < secs(11), "{:?}", pair.net.now());
            assert_eq!(far.remote_address(), elsewhere(5000));
        });
    }
}

#[test]
fn an_answering_side_that_moves_is_lost() {
    on_paused_clock(async {
        let pair = Pair::new(&Settings::of_members(), 1, line());
        let (near, far) = pair.connect().await;
        pair.net.at(secs(3), Change::Move { host: pair.far, address: elsewhere(5000) });
        // Whoever dialled takes datagrams only from the address that it dialled (RFC 9000, section 9).
        assert_eq!(send(&far, &near, 8 * MIB).await, Err(ConnectionError::TimedOut));
        // What had left before still arrives, from a queue of up to a quarter of a second.
        assert!(pair.net.now() < secs(3) + ms(300) + PEER_KEEP_ALIVE + PEER_IDLE, "{:?}", pair.net.now());
        // It is reached again at its new address.
        let (near, far) = pair.connect().await;
        send(&far, &near, MIB).await.unwrap();
    });
}
