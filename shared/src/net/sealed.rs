//! A stream that somebody else carries, sealed by the two ends' own TLS 1.3 (RFC 8446): whoever carries it can neither
//! read nor change it, and cannot end it so that it looks complete.
//!
//! Both ends show their device certificates. One end is the dialer (TLS client), the other the acceptor, and each
//! checks that it speaks with the device it means. A half that ends without the other end's goodbye (`close_notify`)
//! has not ended well.

use std::{
    fmt,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use certs::PeerIdentity;
use quinn::RecvStream;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::{
    Outgoing, Receiving, Sending,
    frame::{ReceiveError, SendError},
    peer_in,
    stream::{receive_error, send_error},
};
use crate::{
    id::DeviceId,
    limits::{HELLO, SEALED_READ_BYTES},
    wire::{Code, PEER_NAME},
};

/// What carries a sealed stream in both directions.
pub trait Carrier: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin + 'static {
    /// Gives up sending.
    fn reset(&mut self, code: Code);
    /// Gives up reading.
    fn stop(&mut self, code: Code);
    /// All was sent and the end told: dropping this changes nothing any more.
    fn leave(&mut self);
}

/// Both halves of a stream on a connection.
#[derive(Debug)]
pub struct Duplex {
    send: Outgoing,
    recv: RecvStream,
}

impl Duplex {
    /// Puts the halves together.
    #[must_use]
    pub const fn new(send: Outgoing, recv: RecvStream) -> Self {
        Self { send, recv }
    }
}

impl Carrier for Duplex {
    fn reset(&mut self, code: Code) {
        self.send.give_up(code);
    }

    fn stop(&mut self, code: Code) {
        // The sender may have ended the stream already; then there is nothing left to stop.
        drop(self.recv.stop(code.number().into()));
    }

    fn leave(&mut self) {
        self.send.leave();
    }
}

impl AsyncRead for Duplex {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.recv), cx, buffer)
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut *self.send), cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut *self.send), cx)
    }
}

/// Why a stream was not sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The other end shows no good certificate, refuses ours, or whoever carries the stream meddles with it.
    #[error("could not agree with the other device: {0}")]
    Handshake(#[source] io::Error),
    /// The other end is not who it should be.
    #[error("another device answered")]
    OtherDevice,
    /// It took too long.
    #[error("the other device did not answer in time")]
    Timeout,
}

/// Seals a stream towards a device that accepts it.
///
/// The acceptor checks our certificate only after this has returned: what it thinks of it shows when it is read from.
///
/// # Errors
/// See [`SealError`].
pub async fn dial(
    carrier: impl Carrier,
    tls: rustls::ClientConfig,
    device: DeviceId,
) -> Result<(Sending, Receiving), SealError> {
    let name = ServerName::try_from(PEER_NAME).map_err(|error| SealError::Handshake(io::Error::other(error)))?;
    let carrier: Box<dyn Carrier> = Box::new(carrier);
    let sealing = TlsConnector::from(Arc::new(tls)).connect(name, carrier);
    let tls = timeout(HELLO, sealing).await.map_err(|_| SealError::Timeout)?.map_err(SealError::Handshake)?;
    halves(tls.into(), device).map(|(send, recv, _)| (send, recv))
}

/// Seals a stream that a device dials. Says too which member it belongs to.
///
/// # Errors
/// See [`SealError`].
pub async fn accept(
    carrier: impl Carrier,
    tls: rustls::ServerConfig,
    device: DeviceId,
) -> Result<(Sending, Receiving, PeerIdentity), SealError> {
    let carrier: Box<dyn Carrier> = Box::new(carrier);
    let sealing = TlsAcceptor::from(Arc::new(tls)).accept(carrier);
    let tls = timeout(HELLO, sealing).await.map_err(|_| SealError::Timeout)?.map_err(SealError::Handshake)?;
    halves(tls.into(), device)
}

type Tls = TlsStream<Box<dyn Carrier>>;

fn halves(mut tls: Tls, device: DeviceId) -> Result<(Sending, Receiving, PeerIdentity), SealError> {
    let shown = tls.get_ref().1.peer_certificates().and_then(peer_in);
    let Some((who, _)) = shown.filter(|(_, shown)| *shown == device) else {
        let (carrier, _) = tls.get_mut();
        carrier.reset(Code::BadRequest);
        carrier.stop(Code::BadRequest);
        return Err(SealError::OtherDevice);
    };
    let shared = Arc::new(Shared(Mutex::new(tls)));
    let send = SealedSend { shared: shared.clone(), ended: false };
    let recv = SealedReceive { shared, buffer: BytesMut::new(), ended: false };
    Ok((Sending::Sealed(send), Receiving::Sealed(recv), who))
}

/// The stream, held for the time of one poll by either half.
struct Shared(Mutex<Tls>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Tls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared(…)")
    }
}

/// The sending half of a sealed stream. Dropped before it is finished it is reset.
#[derive(Debug)]
pub struct SealedSend {
    shared: Arc<Shared>,
    /// Reset, or finished.
    ended: bool,
}

impl SealedSend {
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        self.write_all_chunks(&mut [Bytes::copy_from_slice(bytes)]).await
    }

    pub(super) async fn write_all_chunks(&mut self, mut pieces: &mut [Bytes]) -> Result<(), SendError> {
        loop {
            // Many pieces share a record, so that nodes of a tree do not travel in one each.
            while pieces.first().is_some_and(Bytes::is_empty) {
                pieces = &mut pieces[1..];
            }
            if pieces.is_empty() {
                return self.flush().await;
            }
            let written = poll_fn(|cx| {
                let slices: Vec<IoSlice<'_>> = pieces.iter().take(SLICES).map(|piece| IoSlice::new(piece)).collect();
                Pin::new(&mut *self.shared.lock()).poll_write_vectored(cx, &slices)
            });
            let mut written = written.await.map_err(send_error)?;
            if written == 0 {
                return Err(SendError::Lost(io::ErrorKind::WriteZero.into()));
            }
            for piece in pieces.iter_mut() {
                let part = written.min(piece.len());
                piece.advance(part);
                written -= part;
                if written == 0 {
                    break;
                }
            }
        }
    }

    async fn flush(&self) -> Result<(), SendError> {
        poll_fn(|cx| Pin::new(&mut *self.shared.lock()).poll_flush(cx)).await.map_err(send_error)
    }

    /// Says goodbye; nothing more can be sent.
    pub(super) async fn end(&mut self) {
        let ended = poll_fn(|cx| Pin::new(&mut *self.shared.lock()).poll_shutdown(cx)).await;
        if let Err(error) = ended {
            // The reader sees by itself that the goodbye is missing.
            tracing::trace!(%error, "a sealed stream was ended by the other side first");
        }
    }

    pub(super) async fn finish(mut self) {
        self.end().await;
        self.ended = true;
        self.shared.lock().get_mut().0.leave();
    }

    pub(super) fn reset(mut self, code: Code) {
        self.give_up(code);
    }

    fn give_up(&mut self, code: Code) {
        if !std::mem::replace(&mut self.ended, true) {
            self.shared.lock().get_mut().0.reset(code);
        }
    }
}

impl Drop for SealedSend {
    fn drop(&mut self) {
        self.give_up(Code::Cancelled);
    }
}

/// Pieces handed over together: as many as fill a record or two.
const SLICES: usize = 64;

/// The receiving half of a sealed stream. Dropped before its end it is stopped.
#[derive(Debug)]
pub struct SealedReceive {
    shared: Arc<Shared>,
    /// Opened bytes that were not taken yet.
    buffer: BytesMut,
    /// Nothing more comes, or nothing more is wanted.
    ended: bool,
}

impl SealedReceive {
    /// What has arrived; `None` after the sender's goodbye. Safe to cancel.
    pub(super) async fn next_piece(&mut self) -> Result<Option<Bytes>, ReceiveError> {
        if self.buffer.is_empty() && !self.read().await? {
            return Ok(None);
        }
        Ok(Some(self.buffer.split().freeze()))
    }

    /// Fills `target` as far as bytes come before the sender's goodbye, and says how far.
    pub(super) async fn fill(&mut self, target: &mut [u8]) -> Result<usize, ReceiveError> {
        let mut filled = 0;
        while filled < target.len() {
            if self.buffer.is_empty() && !self.read().await? {
                break;
            }
            let part = self.buffer.len().min(target.len() - filled);
            self.buffer.copy_to_slice(&mut target[filled..filled + part]);
            filled += part;
        }
        Ok(filled)
    }

    async fn read(&mut self) -> Result<bool, ReceiveError> {
        if self.ended {
            return Ok(false);
        }
        self.buffer.reserve(SEALED_READ_BYTES);
        let read = Reader(&self.shared).read_buf(&mut self.buffer).await.map_err(receive_error)?;
        self.ended = read == 0;
        Ok(read > 0)
    }

    pub(super) fn stop(&mut self, code: Code) {
        if !std::mem::replace(&mut self.ended, true) {
            self.shared.lock().get_mut().0.stop(code);
        }
    }
}

impl Drop for SealedReceive {
    fn drop(&mut self) {
        self.stop(Code::Cancelled);
    }
}

struct Reader<'a>(&'a Shared);

impl AsyncRead for Reader<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_read(cx, buffer)
    }
}
