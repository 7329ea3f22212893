//! QUIC where UDP does not get through: its datagrams travel in capsules on one byte stream, and an endpoint takes that
//! stream for its socket. So a connection through a tunnel is a connection like any other.
//!
//! Nothing is lost or reordered on the way: who sends too fast waits, and who does not read is not read from.

use std::{
    collections::VecDeque,
    fmt::Debug,
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf},
    sync::Notify,
    time::timeout,
};

use super::capsule::{self, CapsuleError, Capsules};
use crate::limits::{
    TUNNEL_AHEAD_BYTES, TUNNEL_DATAGRAMS_AT_ONCE, TUNNEL_IDLE, TUNNEL_READ_BYTES, TUNNEL_SEGMENTS_MAX, TUNNEL_WRITE,
};

/// The socket of an endpoint at one end of a tunnel. The other end is its only remote address.
#[derive(Debug)]
pub struct Tunnel {
    local: SocketAddr,
    remote: SocketAddr,
    pipe: Arc<Pipe>,
}

/// Why a tunnel ended.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// The stream failed.
    #[error("the stream broke: {0}")]
    Stream(#[from] io::Error),
    /// The other end closed it.
    #[error("the other end closed it")]
    Closed,
    /// Nothing came for too long.
    #[error("nothing came for too long")]
    Silent,
    /// The other end takes nothing.
    #[error("the other end takes nothing")]
    Stuck,
    /// What came were no datagrams.
    #[error("something else than datagrams came: {0}")]
    Capsule(#[from] CapsuleError),
}

impl Tunnel {
    /// A socket over this stream between two addresses of one family, and the work that moves its datagrams. The work
    /// ends when the stream does, or when the socket was dropped and what it sent is out; the socket fails then.
    pub fn over<S>(
        stream: S,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> (Arc<Self>, impl Future<Output = Result<(), TunnelError>> + Send + use<S>)
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let pipe = Arc::new(Pipe::default());
        let work = carry(stream, EndOf(pipe.clone()));
        (Arc::new(Self { local, remote, pipe }), work)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.pipe.state().abandoned = true;
        self.pipe.to_send.notify_one();
    }
}

/// What the socket and the stream share.
#[derive(Debug, Default)]
struct Pipe {
    state: Mutex<State>,
    /// There is something to send, or nobody will send any more.
    to_send: Notify,
    /// Received datagrams were taken.
    has_room: Notify,
}

#[derive(Debug, Default)]
struct State {
    arrived: VecDeque<Bytes>,
    arrived_bytes: usize,
    outgoing: BytesMut,
    receiver: Option<Waker>,
    senders: Vec<Waker>,
    /// Datagrams were taken, which their connections may not have read yet.
    handed_on: bool,
    /// The stream is over.
    over: bool,
    /// The socket is gone.
    abandoned: bool,
}

impl Pipe {
    /// A lock held for a moment only; a panic elsewhere leaves queues that are still good.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be sent now. `None`: nobody will send any more.
    async fn outgoing(&self) -> Option<Bytes> {
        loop {
            let (bytes, waiting) = {
                let mut state = self.state();
                if state.outgoing.is_empty() && state.abandoned {
                    return None;
                }
                (state.outgoing.split().freeze(), std::mem::take(&mut state.senders))
            };
            waiting.into_iter().for_each(Waker::wake);
            if !bytes.is_empty() {
                return Some(bytes);
            }
            self.to_send.notified().await;
        }
    }

    async fn room(&self) {
        while self.state().arrived_bytes >= TUNNEL_AHEAD_BYTES {
            self.has_room.notified().await;
        }
    }

    fn deliver(&self, datagrams: Vec<Bytes>) {
        let mut state = self.state();
        state.arrived_bytes += datagrams.iter().map(Bytes::len).sum::<usize>();
        state.arrived.extend(datagrams);
        let waiting = state.receiver.take();
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

/// Fails the socket when the stream's work ends, however it ends.
struct EndOf(Arc<Pipe>);

impl Drop for EndOf {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.over = true;
        let waiting: Vec<Waker> = state.receiver.take().into_iter().chain(std::mem::take(&mut state.senders)).collect();
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}

async fn carry<S>(stream: S, end: EndOf) -> Result<(), TunnelError>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let pipe = &*end.0;
    let (read, write) = tokio::io::split(stream);
    tokio::select! {
        ended = send(pipe, write) => ended,
        ended = receive(pipe, read) => ended,
    }
}

async fn send<S: AsyncWrite>(pipe: &Pipe, mut write: WriteHalf<S>) -> Result<(), TunnelError> {
    while let Some(bytes) = pipe.outgoing().await {
        let written = async {
            write.write_all(&bytes).await?;
            write.flush().await
        };
        timeout(TUNNEL_WRITE, written).await.map_err(|_| TunnelError::Stuck)??;
    }
    timeout(TUNNEL_WRITE, write.shutdown()).await.map_err(|_| TunnelError::Stuck)??;
    Ok(())
}

async fn receive<S: AsyncRead>(pipe: &Pipe, mut read: ReadHalf<S>) -> Result<(), TunnelError> {
    let mut capsules = Capsules::default();
    loop {
        pipe.room().await;
        capsules.received.reserve(TUNNEL_READ_BYTES);
        let count = timeout(TUNNEL_IDLE, read.read_buf(&mut capsules.received)).await;
        if count.map_err(|_| TunnelError::Silent)?? == 0 {
            return Err(TunnelError::Closed);
        }
        let mut datagrams = Vec::new();
        while let Some(datagram) = capsules.take()? {
            datagrams.push(datagram);
        }
        if !datagrams.is_empty() {
            pipe.deliver(datagrams);
        }
    }
}

impl AsyncUdpSocket for Tunnel {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Room(self.pipe.clone()))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let mut state = self.pipe.state();
        if state.over {
            // The receiving side tells the endpoint.
            return Ok(());
        }
        if state.outgoing.len() >= TUNNEL_AHEAD_BYTES {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for datagram in transmit.contents.chunks(segment) {
            capsule::put(&mut state.outgoing, datagram);
        }
        drop(state);
        self.pipe.to_send.notify_one();
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.pipe.state();
        let mut count = 0;
        for (buffer, meta) in bufs.iter_mut().zip(meta).take(TUNNEL_DATAGRAMS_AT_ONCE) {
            let Some(datagram) = state.arrived.pop_front() else { break };
            state.arrived_bytes -= datagram.len();
            // Longer ones than an endpoint takes were refused before they arrived.
            let length = datagram.len().min(buffer.len());
            buffer[..length].copy_from_slice(&datagram[..length]);
            *meta = RecvMeta { addr: self.remote, len: length, stride: length.max(1), ecn: None, dst_ip: None };
            count += 1;
        }
        if count > 0 {
            state.handed_on = true;
            drop(state);
            self.pipe.has_room.notify_one();
            return Poll::Ready(Ok(count));
        }
        if state.over && std::mem::take(&mut state.handed_on) {
            // The end would overtake a goodbye that came last: connections read what they got in their next turn.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if state.over {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        state.receiver = Some(cx.waker().clone());
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn max_transmit_segments(&self) -> usize {
        TUNNEL_SEGMENTS_MAX
    }
}

/// Tells a connection when it may send.
#[derive(Debug)]
struct Room(Arc<Pipe>);

impl UdpPoller for Room {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state();
        if state.over || state.outgoing.len() < TUNNEL_AHEAD_BYTES {
            return Poll::Ready(Ok(()));
        }
        if !state.senders.iter().any(|waiting| waiting.will_wake(cx.waker())) {
            state.senders.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
