//! The two halves of a channel's stream: one task reads frames as fast as may be heard, one writes them and lets hear that
//! it is there.

use std::time::Instant;

use shared::{
    limits::{CHANNEL_BURST, CHANNEL_PAUSE, CHANNEL_PING, CHANNEL_SILENCE, PEER_FRAME_BYTES_MAX},
    net::{
        Receiving, Sending,
        frame::{ReceiveError, SendError},
    },
    wire::channel::ChannelFrame,
};
use tokio::{
    sync::mpsc,
    time::{sleep_until, timeout},
};

/// Why nothing more is heard.
#[derive(Debug, thiserror::Error)]
pub(super) enum Deaf {
    /// The stream ended, well or badly.
    #[error(transparent)]
    Ended(#[from] ReceiveError),
    /// Nothing came for too long, not even a ping.
    #[error("nothing has come for {} s", CHANNEL_SILENCE.as_secs())]
    Silent,
}

/// Reads to the end of the stream, or until nobody listens. Who hears slowly holds up whoever speaks.
pub(super) async fn hear(mut recv: Receiving, heard: mpsc::Sender<ChannelFrame>) -> Deaf {
    let mut patience = Patience::default();
    loop {
        let at = patience.next(Instant::now());
        if at > Instant::now() {
            sleep_until(at.into()).await;
        }
        match timeout(CHANNEL_SILENCE, recv.receive(PEER_FRAME_BYTES_MAX)).await {
            Ok(Ok(ChannelFrame::Ping)) => {}
            Ok(Ok(frame)) => {
                if heard.send(frame).await.is_err() {
                    return Deaf::Ended(ReceiveError::Ended);
                }
            }
            Ok(Err(error)) => return Deaf::Ended(error),
            Err(_) => return Deaf::Silent,
        }
    }
}

/// Writes what it is given, and a ping where that is long nothing; ends the stream well when nothing more can come.
pub(super) async fn speak(mut send: Sending, mut frames: mpsc::Receiver<ChannelFrame>) -> Result<(), SendError> {
    loop {
        match timeout(CHANNEL_PING, frames.recv()).await {
            Ok(Some(frame)) => send.send(&frame, PEER_FRAME_BYTES_MAX).await?,
            Ok(None) => break,
            Err(_) => send.send(&ChannelFrame::Ping, PEER_FRAME_BYTES_MAX).await?,
        }
    }
    send.finish().await;
    Ok(())
}

/// How many frames are heard: some in a row, then one in each [`CHANNEL_PAUSE`]. Time comes in.
#[derive(Debug, Default)]
struct Patience {
    /// When a full rest would be over.
    rested: Option<Instant>,
}

impl Patience {
    /// One more shall be heard. Tells when; a time that is over means at once.
    fn next(&mut self, now: Instant) -> Instant {
        let rested = self.rested.map_or(now, |rested| rested.max(now)) + CHANNEL_PAUSE;
        self.rested = Some(rested);
        rested.checked_sub(CHANNEL_PAUSE * CHANNEL_BURST).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_frames_are_heard_at_once_and_a_flood_slowly() {
        let now = Instant::now() + CHANNEL_PAUSE * (2 * CHANNEL_BURST);
        let mut patience = Patience::default();
        for _ in 0..CHANNEL_BURST {
            assert!(patience.next(now) <= now);
        }
        assert_eq!(patience.next(now), now + CHANNEL_PAUSE);
        assert_eq!(patience.next(now), now + CHANNEL_PAUSE * 2);
        let later = now + CHANNEL_PAUSE * (2 * CHANNEL_BURST);
        for _ in 0..CHANNEL_BURST {
            assert!(patience.next(later) <= later);
        }
        assert!(patience.next(later) > later);
    }
}
