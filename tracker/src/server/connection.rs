//! One connection: its handshake, its sign-in, its streams.

use std::{
    any::Any,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};

use quinn::{Connection, Incoming, RecvStream, SendStream};
use shared::{
    limits::{TRACKER_ANONYMOUS, TRACKER_HANDSHAKE},
    net,
    wire::Code,
};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Place, Server, Way, dispatch};
use crate::{handler::Peer, presence::ConnectionNo, store::Caller};

/// A connection and who is signed in on it. Its end ends the session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) server: Arc<Server>,
    pub(super) connection: Connection,
    pub(super) number: ConnectionNo,
    way: Way,
    exported: [u8; 32],
    caller: RwLock<Option<SignedIn>>,
    /// Held while someone signs in, so that two sign-ins on one connection come one after the other.
    pub(super) signing_in: tokio::sync::Mutex<()>,
}

impl Session {
    /// The other end, with the address that it has now.
    pub(super) fn peer(&self) -> Peer {
        Peer { address: self.address(), exported: self.exported }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    /// Who is signed in.
    pub(super) fn caller(&self) -> Option<Caller> {
        self.signed_in().map(|signed_in| signed_in.caller)
    }

    /// Who is signed in, and what ends with it.
    pub(super) fn signed_in(&self) -> Option<SignedIn> {
        self.caller.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A device signed in here. An older connection of it is closed.
    pub(super) fn begin(&self, caller: Caller) {
        let (device, account) = (caller.device, caller.account);
        let over = CancellationToken::new();
        let signed_in = SignedIn { caller, over: over.clone() };
        *self.caller.write().unwrap_or_else(PoisonError::into_inner) = Some(signed_in);
        let older = self.server.sessions.insert(device, self.number, self.connection.clone(), over, self.way);
        self.server.ctx.roster.arrive(device, account, self.number);
        if let Some(older) = older.filter(|older| older.stable_id() != self.connection.stable_id()) {
            net::close(&older, Code::Conflict);
        }
        // It is the copies' turn: the device may have what is waited for.
        self.server.ctx.copies.look();
    }

    /// The device is no longer signed in here.
    pub(super) fn end(&self) {
        let signed_in = self.caller.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(SignedIn { caller, over }) = signed_in {
            over.cancel();
            self.server.sessions.remove(caller.device, self.number);
            self.server.ctx.roster.leave(caller.device, caller.account, self.number);
        }
    }
}

/// A sign-in that lasts until the device signs out or the connection ends.
#[derive(Debug, Clone)]
pub(super) struct SignedIn {
    pub(super) caller: Caller,
    /// Long-running streams end with it.
    pub(super) over: CancellationToken,
}

/// Ends the session when the connection's task ends, however it ends.
struct EndOf(Arc<Session>);

impl Drop for EndOf {
    fn drop(&mut self) {
        self.0.end();
    }
}

pub(super) async fn run(server: Arc<Server>, incoming: Incoming, way: Way, mut place: Place, number: ConnectionNo) {
    let Some(connection) = handshake(incoming).await else { return };
    place.establish();
    let Ok(exported) = net::exported(&connection) else { return };
    let session = Arc::new(Session {
        server: server.clone(),
        connection: connection.clone(),
        number,
        way,
        exported,
        caller: RwLock::new(None),
        signing_in: tokio::sync::Mutex::new(()),
    });
    let _end = EndOf(session.clone());
    let mut streams = JoinSet::new();
    let mut patience = std::pin::pin!(tokio::time::sleep(TRACKER_ANONYMOUS));
    let cause = loop {
        tokio::select! {
            stream = connection.accept_bi() => match stream {
                Ok((send, recv)) => begin_stream(&mut streams, &session, send, recv),
                Err(cause) => break cause.to_string(),
            },
            stream = connection.accept_uni() => match stream {
                // Nothing is sent to a tracker that way; a stopped stream gives its memory back.
                Ok(mut stream) => drop(stream.stop(net::number(Code::Unsupported))),
                Err(cause) => break cause.to_string(),
            },
            Some(ended) = streams.join_next() => report(ended),
            () = &mut patience => {
                if session.caller().is_none() {
                    net::close(&connection, Code::Unauthenticated);
                    break "nobody signed in".to_owned();
                }
                patience.as_mut().reset(tokio::time::Instant::now() + TRACKER_ANONYMOUS);
            }
            () = server.stop.cancelled() => {
                connection.close(0u32.into(), b"the tracker stops");
                break "the tracker stops".to_owned();
            }
        }
    };
    streams.shutdown().await;
    tracing::debug!(cause, "connection ended");
}

async fn handshake(incoming: Incoming) -> Option<Connection> {
    let connecting = incoming.accept().inspect_err(|error| tracing::debug!(%error, "not accepted")).ok()?;
    match tokio::time::timeout(TRACKER_HANDSHAKE, connecting).await {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err(error)) => {
            tracing::debug!(%error, "the handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!("the handshake took too long");
            None
        }
    }
}

fn begin_stream(streams: &mut JoinSet<()>, session: &Arc<Session>, send: SendStream, recv: RecvStream) {
    streams.spawn(tracing::Instrument::instrument(
        dispatch::stream(session.clone(), send, recv),
        tracing::Span::current(),
    ));
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(fault = panic_text(&*error.into_panic()), "a stream's task panicked");
    }
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words")
}
