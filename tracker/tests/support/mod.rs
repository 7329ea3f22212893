//! A tracker in this process and clients that speak to it over real QUIC on the loopback.

#![expect(dead_code, clippy::unwrap_used, reason = "each test program uses a part of it")]

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use certs::{Fingerprint, SigningKey, tracker_client_config};
use quinn::{Connection, Endpoint, RecvStream};
use shared::{
    content::tree_of,
    id::{BlobHash, DeviceId},
    limits::{PEER_FRAME_BYTES_MAX, REPLY_BYTES_MAX, REQUEST_BYTES_MAX},
    net::{self, Outgoing, frame},
    transfer::{
        content::{Catalog, Content, SmallContent},
        serve::{Gate, serve},
    },
    wire::{
        Code, ENROL_CONTEXT, Refusal, SIGN_IN_CONTEXT, TRACKER_ALPN, TRACKER_NAME,
        peer::{Open, Want},
        tracker::{
            Answer, Audience, Event, FileEntry, NewDevice, Password, PublishEntry, Register, Request, SignInPassword,
            SignedIn,
        },
    },
};
use tokio::{sync::oneshot, task::JoinHandle};
use tracker::{Config, Ready, ServeArgs};

/// Nothing here takes longer unless it hangs.
const HANG: Duration = Duration::from_secs(30);

/// Waits, but not for ever.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, work).await.expect("this hangs")
}

/// A running tracker.
#[derive(Debug)]
pub(crate) struct Tracker {
    pub(crate) ready: Ready,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), tracker::StartError>>,
}

impl Tracker {
    pub(crate) async fn start(data: &Path) -> Self {
        Self::start_with(data, |_| {}).await
    }

    pub(crate) async fn start_with(data: &Path, change: impl FnOnce(&mut ServeArgs)) -> Self {
        let mut flags =
            ServeArgs { data: Some(data.into()), listen: Some("127.0.0.1:0".into()), ..ServeArgs::default() };
        change(&mut flags);
        let config = Config::load(&flags).unwrap();
        let (told, ready) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let task =
            tokio::spawn(tracker::run(
                config,
                move |ready| told.send(ready).unwrap(),
                async move { drop(stopped.await) },
            ));
        Self { ready: soon(ready).await.unwrap(), stop, task }
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        soon(self.task).await.unwrap().unwrap();
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.ready.listen
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.ready.link.rsplit_once('#').unwrap().1.parse().unwrap()
    }
}

/// An endpoint for clients.
pub(crate) fn endpoint() -> Endpoint {
    let socket = net::endpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    net::endpoint::endpoint(socket, None, &SigningKey::generate().unwrap()).unwrap()
}

/// A connection to a tracker, and the key of the device behind it.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) connection: Connection,
    pub(crate) endpoint: Endpoint,
    pub(crate) key: SigningKey,
}

impl Client {
    pub(crate) async fn connect(tracker: &Tracker) -> Self {
        Self::connect_as(tracker, SigningKey::generate().unwrap()).await
    }

    pub(crate) async fn connect_as(tracker: &Tracker, key: SigningKey) -> Self {
        let endpoint = endpoint();
        let (tls, _) = tracker_client_config(tracker.fingerprint(), &[TRACKER_ALPN].concat()).unwrap();
        let config = net::endpoint::tracker_client(tls).unwrap();
        let connecting = endpoint.connect_with(config, tracker.address(), TRACKER_NAME).unwrap();
        let connection = soon(connecting).await.unwrap();
        Self { connection, endpoint, key }
    }

    /// Connects and registers.
    pub(crate) async fn register(tracker: &Tracker, name: &str) -> (Self, SignedIn) {
        let client = Self::connect(tracker).await;
        let answer = client.ask(client.register_request(name, None)).await;
        let Answer::SignedIn(signed_in) = answer else { panic!("{answer:?}") };
        (client, signed_in)
    }

    pub(crate) fn register_request(&self, name: &str, invite: Option<&str>) -> Request {
        Request::Register(Register {
            name: name.into(),
            password: Password("correct horse".into()),
            email: None,
            invite: invite.map(str::to_owned),
            device: self.new_device(),
        })
    }

    pub(crate) fn sign_in_request(&self, name: &str, password: &str) -> Request {
        Request::SignInPassword(SignInPassword {
            name: name.into(),
            password: Password(password.into()),
            device: self.new_device(),
        })
    }

    pub(crate) fn key_request(&self) -> Request {
        let proof = self.key.sign(&[SIGN_IN_CONTEXT, &net::exported(&self.connection).unwrap()].concat());
        Request::SignInKey { device: self.device(), proof: proof.to_vec() }
    }

    pub(crate) fn new_device(&self) -> NewDevice {
        let proof = self.key.sign(&[ENROL_CONTEXT, &net::exported(&self.connection).unwrap()].concat());
        NewDevice { key: self.key.public(), proof: proof.to_vec(), label: "test".into() }
    }

    pub(crate) fn device(&self) -> DeviceId {
        DeviceId::of_key(&self.key.public())
    }

    /// One request, one answer.
    pub(crate) async fn ask(&self, request: Request) -> Answer {
        soon(async {
            let (send, mut recv) = self.connection.open_bi().await.unwrap();
            let mut send = Outgoing::new(send);
            frame::send(&mut send, &request, REQUEST_BYTES_MAX).await.unwrap();
            send.finish();
            frame::receive(&mut recv, REPLY_BYTES_MAX).await.unwrap()
        })
        .await
    }

    /// One request that is refused.
    pub(crate) async fn refused(&self, request: Request) -> Refusal {
        match self.ask(request).await {
            Answer::Refused(refusal) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub(crate) async fn publish(&self, entries: Vec<PublishEntry>) -> Vec<FileEntry> {
        match self.ask(Request::Publish { entries }).await {
            Answer::Published { files } => files,
            other => panic!("{other:?}"),
        }
    }

    /// Listens to events.
    pub(crate) async fn subscribe(&self) -> Listener {
        soon(async {
            let (send, recv) = self.connection.open_bi().await.unwrap();
            let mut send = Outgoing::new(send);
            frame::send(&mut send, &Request::Subscribe, REQUEST_BYTES_MAX).await.unwrap();
            send.finish();
            let mut listener = Listener { recv };
            let answer: Answer = frame::receive(&mut listener.recv, REPLY_BYTES_MAX).await.unwrap();
            assert_eq!(answer, Answer::Done);
            listener
        })
        .await
    }

    /// Serves these blobs to the tracker from now on.
    pub(crate) fn serve_to_tracker(&self, blobs: Vec<Bytes>) -> JoinHandle<()> {
        let connection = self.connection.clone();
        let shelf = Arc::new(Shelf(blobs));
        tokio::spawn(async move {
            while let Ok((send, mut recv)) = connection.accept_bi().await {
                let shelf = shelf.clone();
                tokio::spawn(async move {
                    let open: Open = frame::receive(&mut recv, PEER_FRAME_BYTES_MAX).await.unwrap();
                    assert_eq!(open, Open::Fetch);
                    // A tracker that has what it wants stops the stream.
                    drop(serve(Outgoing::new(send), recv, Gate::Tracker, shelf).await);
                });
            }
        })
    }

    /// Disappears without a goodbye.
    pub(crate) fn vanish(self) {
        // Rebinding elsewhere leaves the tracker with a silent peer.
        let nowhere = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        self.endpoint.rebind(nowhere).unwrap();
        std::mem::forget(self);
    }
}

/// A stream of events.
#[derive(Debug)]
pub(crate) struct Listener {
    recv: RecvStream,
}

impl Listener {
    pub(crate) async fn next(&mut self) -> Event {
        soon(frame::receive(&mut self.recv, REPLY_BYTES_MAX)).await.unwrap()
    }

    /// Reads until the tracker ends the stream.
    pub(crate) async fn until_cut(mut self) {
        while soon(frame::receive::<Event>(&mut self.recv, REPLY_BYTES_MAX)).await.is_ok() {}
    }

    /// Waits for the first event that fits.
    pub(crate) async fn until<T>(&mut self, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(&self.next().await) {
                return found;
            }
        }
    }
}

/// Blobs that a device serves.
#[derive(Debug)]
pub(crate) struct Shelf(pub(crate) Vec<Bytes>);

#[async_trait]
impl Catalog for Shelf {
    fn decided_anew(&self, _blob: &BlobHash) -> Option<i64> {
        None
    }

    async fn open(&self, want: &Want, _asker: Option<DeviceId>) -> Result<Arc<dyn Content>, Refusal> {
        let found = self.0.iter().find_map(|data| SmallContent::verified(data.clone(), want.blob));
        match found {
            Some(content) => Ok(Arc::new(content)),
            None => Err(Refusal::new(Code::NotFound, "not on this shelf")),
        }
    }
}

/// Bytes that differ by their seed.
pub(crate) fn content(seed: u8, length: usize) -> Bytes {
    (0..length).map(|n| seed.wrapping_add((n % 251) as u8)).collect()
}

/// An entry for this content.
pub(crate) fn entry(path: &str, data: &[u8], audience: Option<Audience>) -> PublishEntry {
    PublishEntry {
        path: path.into(),
        blob: hash(data),
        size: data.len() as u64,
        modified_ms: 1_700_000_000_000,
        executable: false,
        audience,
        note: None,
    }
}

pub(crate) fn hash(data: &[u8]) -> BlobHash {
    tree_of(data, 0, true).blob()
}
