//! A host's socket as quinn sees it.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{HostId, VirtualNet};

/// Datagrams that quinn may hand over in one go, as it does with a kernel that splits them.
const SEGMENTS_MAX: usize = 10;

/// A socket of one host. It sends always: what a path cannot take is lost on the path.
#[derive(Debug)]
pub struct VirtualSocket {
    net: VirtualNet,
    host: HostId,
    inbox: Arc<Inbox>,
}

impl VirtualSocket {
    pub(super) const fn new(net: VirtualNet, host: HostId, inbox: Arc<Inbox>) -> Self {
        Self { net, host, inbox }
    }
}

impl AsyncUdpSocket for VirtualSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for datagram in transmit.contents.chunks(segment) {
            self.net.send(self.host, transmit.destination, datagram);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.inbox.poll(context, buffers, meta).map(Ok)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.net.local_address(self.host))
    }

    fn max_transmit_segments(&self) -> usize {
        SEGMENTS_MAX
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A datagram on its way, ordered by its arrival and then by its number.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Datagram {
    pub(super) due: Instant,
    pub(super) number: u64,
    pub(super) from: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

/// What is on its way to a host.
#[derive(Debug, Default)]
pub(super) struct Inbox(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    datagrams: BinaryHeap<Reverse<Datagram>>,
    timer: Option<Pin<Box<Sleep>>>,
    reader: Option<Waker>,
}

impl Inbox {
    pub(super) fn push(&self, datagram: Datagram) {
        let mut waiting = self.lock();
        waiting.datagrams.push(Reverse(datagram));
        let reader = waiting.reader.take();
        drop(waiting);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Hands out what is due, as many as there are buffers.
    fn poll(&self, context: &mut Context<'_>, buffers: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> Poll<usize> {
        let mut waiting = self.lock();
        loop {
            let mut count = 0;
            let now = Instant::now();
            for (buffer, meta) in buffers.iter_mut().zip(meta.iter_mut()) {
                let Some(datagram) = waiting.due(now) else { break };
                // What does not fit is cut off, as a kernel does.
                let length = datagram.bytes.len().min(buffer.len());
                buffer[..length].copy_from_slice(&datagram.bytes[..length]);
                *meta = RecvMeta::default();
                (meta.addr, meta.len, meta.stride) = (datagram.from, length, length);
                count += 1;
            }
            if count > 0 {
                return Poll::Ready(count);
            }
            ready!(waiting.poll_next(context));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn due(&mut self, now: Instant) -> Option<Datagram> {
        if self.datagrams.peek()?.0.due > now {
            return None;
        }
        self.datagrams.pop().map(|Reverse(datagram)| datagram)
    }

    /// Ready when the next datagram is due.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.reader = Some(context.waker().clone());
        let Some(Reverse(next)) = self.datagrams.peek() else { return Poll::Pending };
        let due = next.due;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(context)
    }
}
