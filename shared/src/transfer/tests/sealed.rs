//! Serving and fetching over streams that somebody else carries: as over a direct connection, and whoever carries them
//! reads nothing, changes nothing, and cannot end them so that they look complete.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, ReadHalf, WriteHalf, split},
    task::JoinHandle,
};

use super::{LARGE, meeting::*};
use crate::{
    content::GroupSet,
    id::DeviceId,
    net::{
        Outgoing,
        frame::ReceiveError,
        sealed::{Carrier, Duplex, SealError},
    },
    transfer::{
        fetch::{FetchError, PartialSink, fetch_blob},
        lane::{Job, LaneError, Order},
        serve::ServeError,
    },
    wire::Code,
};

/// One end of a carrier made of memory.
#[derive(Debug)]
struct Memory(DuplexStream);

impl Carrier for Memory {
    fn reset(&mut self, _code: Code) {}
    fn stop(&mut self, _code: Code) {}
    fn leave(&mut self) {}
}

impl AsyncRead for Memory {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Memory {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// What a carrier does with the bytes from the source: it gets their position in the stream, and ends it with `false`.
type Meddle = fn(u64, &mut [u8]) -> bool;

/// Somebody between two devices who keeps a record.
struct Between {
    seen: Arc<Mutex<Vec<u8>>>,
    _tasks: [JoinHandle<()>; 2],
}

impl Between {
    /// The fetcher's and the source's end, and who is between them.
    fn new(meddle: Meddle) -> ((Memory, Memory), Self) {
        let (near, near_between) = tokio::io::duplex(3000);
        let (far, far_between) = tokio::io::duplex(3000);
        let (near_read, near_write) = split(near_between);
        let (far_read, far_write) = split(far_between);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let forth = tokio::spawn(carry(near_read, far_write, |_, _| true, seen.clone()));
        let back = tokio::spawn(carry(far_read, near_write, meddle, seen.clone()));
        ((Memory(near), Memory(far)), Self { seen, _tasks: [forth, back] })
    }
}

async fn carry(
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    meddle: Meddle,
    seen: Arc<Mutex<Vec<u8>>>,
) {
    let (mut position, mut piece) = (0, [0; 1000]);
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        seen.lock().unwrap().extend(&piece[..count]);
        if !meddle(position, &mut piece[..count]) || to.write_all(&piece[..count]).await.is_err() {
            break;
        }
        position += count as u64;
    }
    drop(to.shutdown().await);
}

impl Meeting {
    /// Both ends of a stream on the connection.
    async fn duplex(&self) -> (Duplex, Duplex) {
        let ((send, recv), (source_send, source_recv)) = self.stream().await;
        (Duplex::new(send, recv), Duplex::new(source_send, source_recv))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_stream_brings_files_as_a_direct_one_does() {
    let meeting = Meeting::new().await;
    let (shelf, data) = (Shelf::new(), bytes(LARGE));
    let (large, small) = (shelf.file(&data), shelf.small(b"small"));
    let (lane, serving) = meeting.sealed_lane(meeting.duplex().await, &shelf).await;
    let (order, received) = job(1, large, data.len(), None);
    let (next, small_received) = job(2, small, 5, None);
    let (part, part_received) = job(3, large, data.len(), Some(GroupSet::from_range(7..9)));
    let grant = Order::Grant(meeting.grant(&[large, small]));
    let (events, outcome) = play(lane, vec![grant, order, next, part]).await;
    outcome.unwrap();
    assert_eq!(ends(&events), [(1, None), (2, None), (3, None)]);
    assert!(received.data() == data && small_received.data() == b"small");
    assert_eq!(part_received.groups(), GroupSet::from_range(7..9));
    within(serving).await.unwrap().unwrap();
    assert_eq!(shelf.askers(), [Some(meeting.device)]);
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_carries_a_sealed_stream_cannot_read_it() {
    let meeting = Meeting::new().await;
    let shelf = Shelf::new();
    let line = b"the same words in every line of the file\n";
    let data = line.repeat(20_000);
    let blob = shelf.small(&data);
    let (ends, between) = Between::new(|_, _| true);
    let (lane, serving) = meeting.sealed_lane(ends, &shelf).await;
    let (order, received) = job(1, blob, data.len(), None);
    play(lane, vec![Order::Grant(meeting.grant(&[blob])), order]).await.1.unwrap();
    assert!(received.data() == data);
    within(serving).await.unwrap().unwrap();
    meeting.end().await;
    let seen = between.seen.lock().unwrap();
    assert!(seen.len() > data.len());
    assert!(!seen.windows(8).any(|window| window == &line[..8]), "words of the file are there to read");
    assert!(!seen.windows(32).any(|window| window == blob.0), "the name of the file is there to read");
}

/// What becomes of a fetch whose carrier does this.
async fn fetch_through(meddle: Meddle) -> (LaneError, ServeError, u64) {
    let meeting = Meeting::new().await;
    let (shelf, data) = (Shelf::new(), bytes(LARGE));
    let blob = shelf.file(&data);
    let (ends, _between) = Between::new(meddle);
    let (mut lane, serving) = meeting.sealed_lane(ends, &shelf).await;
    let arriving = Arriving::of(&data);
    assert!(lane.order(Order::Grant(meeting.grant(&[blob]))).await);
    let sink = Box::new(PartialSink(arriving.partial.clone()));
    let layout = arriving.partial.layout();
    assert!(lane.order(Order::Job(Job { id: 1, blob, layout, groups: layout.all(), tree: None, sink })).await);
    // The fetcher could still ask for more: rustls, built for debugging, panics at a changed byte after its own goodbye.
    while within(lane.event()).await.is_some() {}
    let error = within(lane.outcome()).await.expect_err("it looks complete");
    let served = within(serving).await.unwrap().unwrap_err();
    let right = arriving.right_groups().count();
    meeting.end().await;
    (error, served, right)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_its_carrier_ends_is_lost_and_nobody_is_blamed() {
    let (error, _, right) = fetch_through(|position, _| position < 3_000_000).await;
    assert!(matches!(error, LaneError::Lost), "{error:?}");
    assert!(right > 100 && right < 200, "what came before the end counts: {right}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_its_carrier_changes_is_lost_and_nobody_is_blamed() {
    let flip: Meddle = |position, piece| {
        if (1_000_000..1_001_000).contains(&position) {
            piece[0] ^= 1;
        }
        true
    };
    let (error, served, right) = fetch_through(flip).await;
    assert!(matches!(error, LaneError::Lost), "{error:?}");
    assert!(matches!(served, ServeError::Receive(ReceiveError::Lost(_)) | ServeError::Send(_)), "{served:?}");
    assert!(right < 64, "nothing behind the change counts: {right}");
}

#[tokio::test(flavor = "multi_thread")]
async fn either_end_finds_out_another_device() {
    let meeting = Meeting::new().await;
    let (right, wrong) = ((meeting.source_device, meeting.device), DeviceId([9; 16]));
    let (dialled, accepted) = meeting.seal(meeting.duplex().await, (wrong, right.1)).await;
    assert!(matches!(dialled, Err(SealError::OtherDevice)), "{dialled:?}");
    drop(accepted);
    let (dialled, accepted) = meeting.seal(meeting.duplex().await, (right.0, wrong)).await;
    assert!(matches!(accepted, Err(SealError::OtherDevice)), "{accepted:?}");
    // The dialer hears of it where it reads.
    let (_send, mut recv) = dialled.unwrap();
    let heard = within(recv.receive::<u8>(100)).await;
    assert!(matches!(heard, Err(ReceiveError::Reset(Some(Code::BadRequest)))), "{heard:?}");
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reason_of_a_sealed_source_that_gives_up_arrives() {
    let meeting = Meeting::new().await;
    let (shelf, data) = (Shelf::new(), bytes(LARGE));
    let blob = shelf.file_changed_at(&data, 3 * 1024 * 1024);
    let (lane, serving) = meeting.sealed_lane(meeting.duplex().await, &shelf).await;
    let arriving = Arriving::of(&data);
    assert!(lane.order(Order::Grant(meeting.grant(&[blob]))).await);
    let end = within(fetch_blob(lane, arriving.partial.clone())).await;
    assert!(matches!(end, Err(FetchError::Lane(LaneError::Reset(Some(Code::Changed))))), "{end:?}");
    within(serving).await.unwrap().unwrap_err();
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_half_of_a_sealed_stream_is_no_end() {
    let meeting = Meeting::new().await;
    let (near, far) = meeting.seal(meeting.duplex().await, (meeting.source_device, meeting.device)).await;
    let ((mut send, recv), (source_send, mut source_recv)) = (near.unwrap(), far.unwrap());
    send.write_all(b"he").await.unwrap();
    drop(send);
    let heard = within(source_recv.receive::<u8>(100)).await;
    assert!(matches!(heard, Err(ReceiveError::Reset(Some(Code::Cancelled)))), "{heard:?}");
    drop((recv, source_send));
    // A stream that ends below, without the goodbye inside, has not ended well either.
    let ((send, recv), (source_send, source_recv)) = meeting.stream().await;
    let (unsealed, ends) = tee(send, Duplex::new(source_send, source_recv), recv);
    let (near, far) = meeting.seal(ends, (meeting.source_device, meeting.device)).await;
    let (_near, (_source_send, mut source_recv)) = (near.unwrap(), far.unwrap());
    unsealed.lock().unwrap().take().unwrap().finish();
    let heard = within(source_recv.receive::<u8>(100)).await;
    assert!(matches!(heard, Err(ReceiveError::Lost(_))), "{heard:?}");
    meeting.end().await;
}

/// A carrier whose sending half somebody else can finish.
type Unsealed = Arc<Mutex<Option<Outgoing>>>;

#[derive(Debug)]
struct Tee {
    send: Unsealed,
    recv: quinn::RecvStream,
}

fn tee(send: Outgoing, far: Duplex, recv: quinn::RecvStream) -> (Unsealed, (Tee, Duplex)) {
    let send = Arc::new(Mutex::new(Some(send)));
    (send.clone(), (Tee { send, recv }, far))
}

impl Carrier for Tee {
    fn reset(&mut self, _code: Code) {}
    fn stop(&mut self, _code: Code) {}
    fn leave(&mut self) {}
}

impl AsyncRead for Tee {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.recv), cx, buffer)
    }
}

impl AsyncWrite for Tee {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.send.lock().unwrap().as_mut() {
            Some(send) => AsyncWrite::poll_write(Pin::new(&mut **send), cx, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
