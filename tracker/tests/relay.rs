//! Relayed streams over a real tracker: who gets one, what becomes of its ends, and that nobody in between can read it.

#![expect(clippy::unwrap_used, reason = "a test may end where something is not as it should be")]

mod support;

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use certs::PeerCredentials;
use quinn::{ReadError, ReadToEndError, RecvStream};
use shared::{
    content::Layout,
    id::DeviceId,
    limits::{PEER_FRAME_BYTES_MAX, RELAY_ASKS_AT_ONCE, REPLY_BYTES_MAX, REQUEST_BYTES_MAX},
    net::{
        Outgoing, frame, number,
        sealed::{self, Carrier, Duplex, SealError},
    },
    transfer::{
        clock::TrackerClock,
        fetch::fetch_blob,
        lane::{Lane, Order},
        partial::{BootId, Partial, PartialFiles},
        serve::{Gate, serve},
    },
    wire::{
        Code, PEER_ALPN, Refusal,
        grant::Source,
        peer::{Open, RelayedAnswer},
        tracker::{Answer, Located, Request, SignedIn},
    },
};
use support::{Client, Shelf, Tracker, content, entry, hash, soon};
use tempfile::tempdir;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Asks for a relay.
async fn ask(client: &Client, device: DeviceId) -> (Answer, Outgoing, RecvStream) {
    soon(async {
        let (send, mut recv) = client.connection.open_bi().await.unwrap();
        let mut send = Outgoing::new(send);
        frame::send(&mut send, &Request::Relay { device }, REQUEST_BYTES_MAX).await.unwrap();
        let answer = frame::receive(&mut recv, REPLY_BYTES_MAX).await.unwrap();
        (answer, send, recv)
    })
    .await
}

async fn refused(client: &Client, device: DeviceId) -> Refusal {
    match ask(client, device).await.0 {
        Answer::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// Takes the relayed stream that the tracker opens, and says this to it.
async fn taken(client: &Client, answer: RelayedAnswer) -> (DeviceId, Outgoing, RecvStream) {
    soon(async {
        let (send, mut recv) = client.connection.accept_bi().await.unwrap();
        let mut send = Outgoing::new(send);
        let open = frame::receive(&mut recv, PEER_FRAME_BYTES_MAX).await.unwrap();
        let Open::Relayed { from } = open else { panic!("{open:?}") };
        frame::send(&mut send, &answer, PEER_FRAME_BYTES_MAX).await.unwrap();
        (from, send, recv)
    })
    .await
}

/// Two members and a stream between them.
struct Joined {
    near: (Outgoing, RecvStream),
    far: (Outgoing, RecvStream),
}

async fn join(asker: &Client, source: &Client) -> Joined {
    let (asked, (from, send, recv)) = tokio::join!(ask(asker, source.device()), taken(source, RelayedAnswer::Accepted));
    assert_eq!((asked.0, from), (Answer::Done, asker.device()));
    Joined { near: (asked.1, asked.2), far: (send, recv) }
}

fn credentials(client: &Client, signed_in: &SignedIn) -> PeerCredentials {
    PeerCredentials::new(&client.key, signed_in.certificate.clone().into(), signed_in.authority.clone().into()).unwrap()
}

/// A carrier that keeps what it carries: just what the tracker has in its hands.
#[derive(Debug)]
struct Recorded {
    inner: Duplex,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Carrier for Recorded {
    fn reset(&mut self, code: Code) {
        self.inner.reset(code);
    }

    fn stop(&mut self, code: Code) {
        self.inner.stop(code);
    }

    fn leave(&mut self) {
        self.inner.leave();
    }
}

impl AsyncRead for Recorded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        self.seen.lock().unwrap().extend(&buffer.filled()[before..]);
        read
    }
}

impl AsyncWrite for Recorded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.seen.lock().unwrap().extend(&bytes[..count]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_file_comes_over_the_tracker_which_cannot_read_it() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, anna_in) = Client::register(&tracker, "Anna").await;
    let (ben, ben_in) = Client::register(&tracker, "Ben").await;
    let words = b"nobody but Ben and Anna may read these words. ";
    let file: Bytes = words.iter().cycle().take(900_000).copied().collect();
    let files = anna.publish(vec![entry("letter.txt", &file, None)]).await;
    let Answer::Located(Located { grant, .. }) = ben.ask(Request::Locate { files: vec![files[0].id] }).await else {
        panic!("not located")
    };

    let Joined { near, far } = join(&ben, &anna).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let near = Recorded { inner: Duplex::new(near.0, near.1), seen: seen.clone() };
    let client = credentials(&ben, &ben_in).client_config(PEER_ALPN).unwrap();
    let server = credentials(&anna, &anna_in).server_config(PEER_ALPN).unwrap();
    let (dialled, accepted) = tokio::join!(
        sealed::dial(near, client, anna.device()),
        sealed::accept(Duplex::new(far.0, far.1), server, ben.device()),
    );
    let ((mut send, recv), (source_send, mut source_recv, who)) = (dialled.unwrap(), accepted.unwrap());
    assert_eq!(who.account, ben_in.account.0);
    soon(send.send(&Open::Fetch, PEER_FRAME_BYTES_MAX)).await.unwrap();
    assert_eq!(soon(source_recv.receive::<Open>(PEER_FRAME_BYTES_MAX)).await.unwrap(), Open::Fetch);
    let gate = Gate::Grants {
        device: ben.device(),
        source: Source::Device(anna.device()),
        key: anna_in.grant_key,
        clock: Arc::new(TrackerClock::new(tracker::handler::now_ms, 0)),
    };
    let serving = tokio::spawn(serve(source_send, source_recv, gate, Arc::new(Shelf(vec![file.clone()]))));

    let temporary = || tempfile::tempfile().unwrap();
    let parts = PartialFiles { data: temporary(), tree: temporary(), log: temporary() };
    let layout = Layout::new(file.len() as u64).unwrap();
    let (partial, _) = Partial::open(layout, hash(&file), parts, BootId::current()).unwrap();
    let partial = Arc::new(partial);
    let lane = Lane::start(send, recv);
    assert!(lane.order(Order::Grant(grant)).await);
    soon(fetch_blob(lane, partial.clone())).await.unwrap();
    assert!(partial.is_complete());
    soon(serving).await.unwrap().unwrap();

    tracker.stop().await;
    let (seen, name) = (seen.lock().unwrap(), hash(&file));
    assert!(seen.len() > file.len(), "everything went over the tracker");
    assert!(!seen.windows(12).any(|window| window == &words[..12]), "words of the file lie open");
    assert!(!seen.windows(32).any(|window| window == name.0), "the file's name lies open");
}

#[tokio::test]
async fn a_device_that_is_not_the_one_meant_is_found_out_by_either_end() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, anna_in) = Client::register(&tracker, "Anna").await;
    let (ben, ben_in) = Client::register(&tracker, "Ben").await;
    let (mallory, mallory_in) = Client::register(&tracker, "Mallory").await;

    // Mallory asks and shows a certificate that is good, but not that of the device which the tracker names.
    let Joined { near, far } = join(&mallory, &anna).await;
    let (_, accepted) = tokio::join!(
        sealed::dial(
            Duplex::new(near.0, near.1),
            credentials(&ben, &ben_in).client_config(PEER_ALPN).unwrap(),
            anna.device(),
        ),
        sealed::accept(
            Duplex::new(far.0, far.1),
            credentials(&anna, &anna_in).server_config(PEER_ALPN).unwrap(),
            mallory.device(),
        ),
    );
    assert!(matches!(accepted, Err(SealError::OtherDevice)), "{accepted:?}");

    // Somebody else than Anna answers at the far end.
    let Joined { near, far } = join(&ben, &anna).await;
    let (dialled, _) = tokio::join!(
        sealed::dial(
            Duplex::new(near.0, near.1),
            credentials(&ben, &ben_in).client_config(PEER_ALPN).unwrap(),
            anna.device(),
        ),
        sealed::accept(
            Duplex::new(far.0, far.1),
            credentials(&mallory, &mallory_in).server_config(PEER_ALPN).unwrap(),
            ben.device(),
        ),
    );
    assert!(matches!(dialled, Err(SealError::OtherDevice)), "{dialled:?}");
    tracker.stop().await;
}

#[tokio::test]
async fn who_may_not_relay_is_told_why() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let stranger = Client::connect(&tracker).await;
    assert_eq!(refused(&stranger, anna.device()).await.code, Code::Unauthenticated);
    assert_eq!(refused(&anna, anna.device()).await.code, Code::BadRequest);
    let away = refused(&anna, DeviceId([7; 16])).await;
    assert_eq!((away.code, away.detail.contains("not connected")), (Code::Unavailable, true), "{away}");
    // Somebody who takes none.
    let (ben, _) = Client::register(&tracker, "Ben").await;
    let no = RelayedAnswer::Refused(Refusal::new(Code::RateLimited, "busy"));
    let ((answer, ..), _) = tokio::join!(ask(&anna, ben.device()), taken(&ben, no));
    let Answer::Refused(refusal) = answer else { panic!("{answer:?}") };
    assert_eq!((refusal.code, refusal.detail.contains("busy")), (Code::Unavailable, true));
    // Asking all the time ends too, and for the asker alone.
    let mut last = away;
    for _ in 0..RELAY_ASKS_AT_ONCE * 2 {
        last = refused(&anna, DeviceId([7; 16])).await;
    }
    assert_eq!((last.code, last.detail.contains("try again in")), (Code::RateLimited, true), "{last}");
    drop(join(&ben, &anna).await);
    tracker.stop().await;
}

#[tokio::test]
async fn a_tracker_that_does_not_relay_says_what_else_to_do() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start_with(data.path(), |flags| flags.relay = Some("off".into())).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let (ben, _) = Client::register(&tracker, "Ben").await;
    let refusal = refused(&ben, anna.device()).await;
    assert_eq!((refusal.code, refusal.detail.contains("leave a copy")), (Code::Forbidden, true), "{refusal}");
    tracker.stop().await;
}

#[tokio::test]
async fn the_end_of_the_days_bytes_ends_a_relay_with_its_code() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start_with(data.path(), |flags| flags.relay_bytes_per_day = Some("64K".into())).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let (ben, _) = Client::register(&tracker, "Ben").await;
    let Joined { near: (_send, mut recv), far: (mut source_send, mut source_recv) } = join(&ben, &anna).await;
    // Both directions count, and the source learns of it too.
    let sending = async { while source_send.write_all(&content(1, 1000)).await.is_ok() {} };
    let (_, read) = soon(async { tokio::join!(sending, recv.read_to_end(1_000_000)) }).await;
    let ended = ReadError::Reset(number(Code::RateLimited));
    assert_eq!(read, Err(ReadToEndError::Read(ended.clone())));
    assert_eq!(soon(source_recv.read_to_end(10)).await, Err(ReadToEndError::Read(ended)));
    let refusal = refused(&ben, anna.device()).await;
    assert_eq!((refusal.code, refusal.detail.contains("00:00 UTC")), (Code::RateLimited, true), "{refusal}");
    // Anna has bytes of her own.
    drop(join(&anna, &ben).await);
    tracker.stop().await;
}

#[tokio::test]
async fn every_kind_of_end_is_passed_on_as_it_is() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let (ben, _) = Client::register(&tracker, "Ben").await;

    let Joined { near: (mut send, mut recv), far: (mut source_send, mut source_recv) } = join(&ben, &anna).await;
    send.write_all(b"question").await.unwrap();
    send.finish();
    assert_eq!(soon(source_recv.read_to_end(100)).await.unwrap(), b"question");
    // One direction has ended; the other goes on.
    let answer = content(3, 5_000_000);
    let answering = async {
        source_send.write_all(&answer).await.unwrap();
        source_send.finish();
    };
    let (_, read) = soon(async { tokio::join!(answering, recv.read_to_end(10_000_000)) }).await;
    assert!(read.unwrap() == answer);

    let Joined { near: (_send, mut recv), far: (source_send, _source_recv) } = join(&ben, &anna).await;
    source_send.reset(Code::Changed);
    let reset = ReadError::Reset(number(Code::Changed));
    assert_eq!(soon(recv.read_to_end(100)).await, Err(ReadToEndError::Read(reset)));

    let Joined { near: (_send, mut recv), far: (source_send, _source_recv) } = join(&ben, &anna).await;
    recv.stop(number(Code::TooLarge)).unwrap();
    assert_eq!(soon(source_send.stopped()).await, Ok(Some(number(Code::TooLarge))));
    tracker.stop().await;
}

#[tokio::test]
async fn a_relay_ends_with_the_sign_in_of_either_end_and_with_the_tracker() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let (ben, _) = Client::register(&tracker, "Ben").await;
    let (carl, _) = Client::register(&tracker, "Carl").await;
    let (dora, _) = Client::register(&tracker, "Dora").await;

    let mut by_asker = join(&ben, &anna).await;
    assert_eq!(ben.ask(Request::SignOut).await, Answer::Done);
    let signed_out = ReadError::Reset(number(Code::Unauthenticated));
    assert_eq!(soon(by_asker.far.1.read_to_end(10)).await, Err(ReadToEndError::Read(signed_out)));

    let mut by_source = join(&carl, &anna).await;
    assert_eq!(anna.ask(Request::SignOut).await, Answer::Done);
    let left = ReadError::Reset(number(Code::Unavailable));
    assert_eq!(soon(by_source.near.1.read_to_end(10)).await, Err(ReadToEndError::Read(left)));

    let mut by_tracker = join(&carl, &dora).await;
    tracker.stop().await;
    assert!(soon(by_tracker.near.1.read_to_end(10)).await.is_err());
}
