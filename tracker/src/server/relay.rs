//! Relayed streams: two members' streams spliced into one. What is inside is sealed by the two ends; here it is only
//! moved, and an end of one side is told to the other as it is.

use std::sync::Arc;

use bytes::Bytes;
use quinn::{Connection, ReadError, RecvStream, VarInt, WriteError};
use shared::{
    id::{AccountId, DeviceId},
    limits::{PEER_FRAME_BYTES_MAX, RELAY_IDLE, RELAY_OPEN, RELAY_PIECES_MAX},
    net::{self, Outgoing, frame},
    wire::{
        Code, Refusal,
        peer::{Open, RelayedAnswer},
        tracker::Answer,
    },
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    connection::{Session, SignedIn},
    dispatch::reply,
};
use crate::{
    handler::{Error, Moment},
    refuse,
    relay::{Ask, Declined, Partings, Relay},
};

/// Relays this stream to a device, to the end of either.
pub(super) async fn relay(session: &Arc<Session>, mut send: Outgoing, recv: RecvStream, to: DeviceId, number: u64) {
    let begun = begin(session, to).await;
    let answer = match &begun {
        Ok(_) => Answer::Done,
        Err(error) => Answer::Refused(refuse::refuse(error, number)),
    };
    let sent = reply(&mut send, &answer, number).await;
    match begun {
        Ok(begun) if sent => begun.run(Half::new(send, recv)).await,
        Err(error) if sent => {
            tracing::debug!(%error, "no relay");
            send.finish();
        }
        Ok(_) | Err(_) => {}
    }
}

/// A relay whose far end has agreed.
struct Begun {
    relay: Relay,
    asker: SignedIn,
    source: Half,
    source_over: CancellationToken,
    source_account: AccountId,
    partings: Partings,
}

async fn begin(session: &Arc<Session>, to: DeviceId) -> Result<Begun, Error> {
    let asker = session.signed_in().ok_or(Error::NotSignedIn)?;
    let server = &session.server;
    let ask = Ask { account: asker.caller.account, asker: asker.caller.device, source: to };
    let relay = server.ctx.relays.begin(ask, Moment::now().instant)?;
    // Listening begins before the look: no block is missed in between.
    let partings = server.ctx.relays.partings();
    let source_account = server.ctx.roster.session(to).ok_or(Error::Away)?.account;
    if server.ctx.store.are_apart(asker.caller.account, source_account).await? {
        return Err(Error::Away);
    }
    let (connection, source_over) = server.sessions.signed_in(to).ok_or(Error::Away)?;
    let from = asker.caller.device;
    let reached = timeout(RELAY_OPEN, reach(&connection, from)).await;
    let source = reached.unwrap_or(None).ok_or(Error::Away)?;
    Ok(Begun { relay, asker, source: source?, source_over, source_account, partings })
}

/// Asks a device to take a relayed stream. `None`: it does not answer.
async fn reach(connection: &Connection, from: DeviceId) -> Option<Result<Half, Error>> {
    let (send, mut recv) = connection.open_bi().await.ok()?;
    let mut send = Outgoing::new(send);
    frame::send(&mut send, &Open::Relayed { from }, PEER_FRAME_BYTES_MAX).await.ok()?;
    match frame::receive(&mut recv, PEER_FRAME_BYTES_MAX).await.ok()? {
        RelayedAnswer::Accepted => Some(Ok(Half::new(send, recv))),
        RelayedAnswer::Refused(Refusal { detail, .. }) => Some(Err(Error::NotTaken(detail))),
    }
}

impl Begun {
    async fn run(self, mut near: Half) {
        let Self { relay, asker, source: mut far, source_over, source_account, mut partings } = self;
        let moving = async {
            let forth = pump(&relay, &mut near.recv, &mut far.send);
            let back = pump(&relay, &mut far.recv, &mut near.send);
            tokio::try_join!(forth, back).map(|_| ())
        };
        let ended = tokio::select! {
            ended = moving => ended,
            () = idle(&relay) => Err(End::Idle),
            () = asker.over.cancelled() => Err(End::SignedOut),
            () = source_over.cancelled() => Err(End::Left),
            () = partings.of(asker.caller.account, source_account) => Err(End::Left),
        };
        let moved = relay.moved();
        match ended {
            Ok(()) => tracing::debug!(moved, "a relay ended"),
            Err(end) => {
                tracing::debug!(moved, %end, "a relay was ended");
                for mut half in [near, far] {
                    half.give_up(end.code());
                }
            }
        }
    }
}

/// One member's stream.
struct Half {
    /// Until its end is told.
    send: Option<Outgoing>,
    recv: RecvStream,
}

impl Half {
    fn new(send: Outgoing, recv: RecvStream) -> Self {
        // A member's requests and events come before what is relayed.
        if let Err(error) = send.set_priority(BEHIND) {
            tracing::trace!(%error, "a stream that is gone needs no priority");
        }
        Self { send: Some(send), recv }
    }

    fn give_up(&mut self, code: Code) {
        if let Some(send) = self.send.take() {
            send.reset(code);
        }
        // It may have ended by itself; then there is nothing left to stop.
        drop(self.recv.stop(net::number(code)));
    }
}

const BEHIND: i32 = -1;

/// Why a relay ends as a whole.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error(transparent)]
    Declined(#[from] Declined),
    #[error("nothing moves")]
    Idle,
    #[error("the asker signed out")]
    SignedOut,
    #[error("the source signed out")]
    Left,
    #[error("a connection is lost")]
    Lost,
}

impl End {
    const fn code(&self) -> Code {
        match self {
            Self::Declined(_) => Code::RateLimited,
            Self::SignedOut => Code::Unauthenticated,
            Self::Left | Self::Lost => Code::Unavailable,
            Self::Idle => Code::Cancelled,
        }
    }
}

/// Moves one direction until it ends. A reader who is slow holds up its writer: a handful of packets is all that waits
/// here. `Ok`: the end was told to the other side.
async fn pump(relay: &Relay, from: &mut RecvStream, to: &mut Option<Outgoing>) -> Result<(), End> {
    let Some(send) = to else { return Ok(()) };
    let mut stopped = std::pin::pin!(send.stopped());
    let mut pieces = vec![Bytes::new(); RELAY_PIECES_MAX];
    loop {
        let read = tokio::select! {
            read = from.read_chunks(&mut pieces) => read,
            stopped = &mut stopped => return match stopped {
                Ok(code) => stop(from, code),
                Err(_) => Err(End::Lost),
            },
        };
        let count = match read {
            Ok(Some(count)) => count,
            Ok(None) => {
                if let Some(send) = to.take() {
                    send.finish();
                }
                return Ok(());
            }
            Err(ReadError::Reset(code)) => {
                if let Some(mut send) = to.take() {
                    // It may have been stopped; then its reader knows.
                    drop(quinn::SendStream::reset(&mut send, code));
                }
                return Ok(());
            }
            Err(_) => return Err(End::Lost),
        };
        let bytes: usize = pieces[..count].iter().map(Bytes::len).sum();
        relay.pass(bytes as u64).await?;
        let Some(send) = to else { return Ok(()) };
        match send.write_all_chunks(&mut pieces[..count]).await {
            Ok(()) => {}
            Err(WriteError::Stopped(code)) => return stop(from, Some(code)),
            Err(_) => return Err(End::Lost),
        }
    }
}

/// The reader wants no more: its writer is told so.
fn stop(from: &mut RecvStream, code: Option<VarInt>) -> Result<(), End> {
    // It may have ended by itself; then there is nothing left to stop.
    drop(from.stop(code.unwrap_or_else(|| net::number(Code::Cancelled))));
    Ok(())
}

/// Ends when nothing has moved for a while.
async fn idle(relay: &Relay) {
    let mut moved = None;
    while moved != Some(relay.moved()) {
        moved = Some(relay.moved());
        tokio::time::sleep(RELAY_IDLE).await;
    }
}
