//! Readers that do not read.

use quinn::SendStream;
use tokio::time::timeout;

use super::*;
use crate::limits::{CONNECTION_WINDOW_BYTES, SEND_WINDOW_BYTES, STREAM_WINDOW_BYTES, TRACKER_STREAM_WINDOW_BYTES};

/// Writes until nothing is taken any more. How much was.
async fn fill(send: &mut SendStream, data: &[u8]) -> usize {
    let mut written = 0;
    while written < data.len()
        && let Ok(result) = timeout(secs(60), send.write(&data[written..])).await
    {
        written += result.unwrap();
    }
    written
}

#[test]
fn a_reader_that_does_not_read_bounds_what_is_held_for_it() {
    for (settings, window) in [
        (Settings::of_members(), u64::from(STREAM_WINDOW_BYTES)),
        (Settings::of_tracker(), u64::from(TRACKER_STREAM_WINDOW_BYTES)),
    ] {
        on_paused_clock(async {
            let pair = Pair::new(&settings, 1, Path::of(ms(10)));
            // The side that answers has the windows in question.
            let (near, far) = pair.connect().await;
            let (mut send, _recv) = near.open_bi().await.unwrap();
            let data: Vec<u8> = (0..24 * MIB).map(byte).collect();
            let written = fill(&mut send, &data).await;
            assert!(written as u64 <= window + SEND_WINDOW_BYTES, "{written} bytes were taken");
            let arrived = pair.net.counts(pair.near, pair.far).arrived_bytes;
            assert!(arrived >= window && arrived < window + window / 10, "{arrived} bytes came");
            // Nothing is lost by waiting.
            let (_send, mut recv) = far.accept_bi().await.unwrap();
            let rest = async {
                send.write_all(&data[written..]).await.unwrap();
                send.finish().unwrap();
            };
            let (read, ()) = tokio::join!(recv.read_to_end(data.len()), rest);
            assert!(read.unwrap() == data);
        });
    }
}

#[test]
fn many_unread_streams_share_one_bound_and_make_room_when_they_are_given_up() {
    on_paused_clock(async {
        let pair = Pair::new(&Settings::of_members(), 1, Path::of(ms(10)));
        let (near, far) = pair.connect().await;
        let data = vec![7; 4 * MIB];
        let mut streams = Vec::new();
        for _ in 0..8 {
            let mut stream = near.open_bi().await.unwrap();
            fill(&mut stream.0, &data).await;
            streams.push(stream);
        }
        let arrived = pair.net.counts(pair.near, pair.far).arrived_bytes;
        let window = u64::from(CONNECTION_WINDOW_BYTES);
        assert!(arrived < window + window / 10, "{arrived} bytes came");
        // Whoever gives up makes room for the others, at either end.
        for (mut send, _recv) in streams {
            send.reset(0u32.into()).unwrap();
        }
        for _ in 0..8 {
            drop(far.accept_bi().await.unwrap());
        }
        send(&near, &far, 2 * MIB).await.unwrap();
    });
}
