//! Two endpoints with our own settings and certificates on one virtual network.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use certs::{Authority, PeerCredentials, PeerIdentity, SigningKey, tracker_client_config};
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, ServerConfig, TokioRuntime};

use super::{HostId, Path, VirtualNet};
use crate::{
    id::DeviceId,
    net::endpoint::{self, Congestion},
    wire::{PEER_ALPN, PEER_NAME, TRACKER_ALPN, TRACKER_NAME},
};

/// Who dials whom, with keys and certificates that several runs share: they differ a little in size. What quinn learns
/// in a run (tokens of addresses) is not among them.
pub(crate) struct Settings {
    client: rustls::ClientConfig,
    server: rustls::ServerConfig,
    kind: Kind,
    keys: [SigningKey; 2],
}

#[derive(Clone, Copy)]
enum Kind {
    Members,
    Tracker,
}

impl Settings {
    /// A device dials another one.
    pub(crate) fn of_members() -> Self {
        let authority = authority();
        let client = device(&authority).client_config(PEER_ALPN).unwrap();
        let server = device(&authority).server_config(PEER_ALPN).unwrap();
        Self { client, server, kind: Kind::Members, keys: keys() }
    }

    /// A device dials its tracker.
    pub(crate) fn of_tracker() -> Self {
        let authority = authority();
        let (client, _) = tracker_client_config(authority.fingerprint(), TRACKER_ALPN).unwrap();
        let server = authority.tracker_server_config(&[TRACKER_ALPN], now()).unwrap();
        Self { client, server, kind: Kind::Tracker, keys: keys() }
    }

    fn client(&self) -> ClientConfig {
        let tls = self.client.clone();
        match self.kind {
            Kind::Members => endpoint::peer_client(tls).unwrap(),
            Kind::Tracker => endpoint::tracker_client(tls).unwrap(),
        }
    }

    fn server(&self) -> ServerConfig {
        let tls = self.server.clone();
        match self.kind {
            Kind::Members => endpoint::peer_server(tls).unwrap(),
            Kind::Tracker => endpoint::tracker_server(tls).unwrap(),
        }
    }

    const fn name(&self) -> &'static str {
        match self.kind {
            Kind::Members => PEER_NAME,
            Kind::Tracker => TRACKER_NAME,
        }
    }
}

/// A side that dials and one that answers. In tests of transfers the first one fetches.
pub(crate) struct Pair {
    pub(crate) net: VirtualNet,
    pub(crate) near: HostId,
    pub(crate) far: HostId,
    pub(crate) dialling: Endpoint,
    answering: Endpoint,
    client: ClientConfig,
    name: &'static str,
}

impl Pair {
    /// Two hosts with this path between them.
    pub(crate) fn new(settings: &Settings, seed: u64, path: Path) -> Self {
        let net = VirtualNet::new(seed, path);
        let [near, far] = ["192.0.2.1:4001", "198.51.100.1:4002"].map(|address| net.host(address.parse().unwrap()));
        let endpoint = |host: HostId, server: Option<ServerConfig>, key: &SigningKey| {
            let mut config = endpoint::endpoint_config(key).unwrap();
            let mut rng = [0; 32];
            rng[..8].copy_from_slice(&seed.to_le_bytes());
            config.rng_seed(Some(rng));
            let runtime = Arc::new(TokioRuntime);
            Endpoint::new_with_abstract_socket(config, server, net.socket(host), runtime).unwrap()
        };
        let dialling = endpoint(near, None, &settings.keys[0]);
        let answering = endpoint(far, Some(settings.server()), &settings.keys[1]);
        Self { net, near, far, dialling, answering, client: settings.client(), name: settings.name() }
    }

    /// Dials an address as the engine does, with a deadline.
    pub(crate) async fn dial(
        &self,
        address: SocketAddr,
        deadline: Duration,
    ) -> Option<Result<Connection, ConnectionError>> {
        self.dial_with(&self.client, address, deadline).await
    }

    async fn dial_with(
        &self,
        client: &ClientConfig,
        address: SocketAddr,
        deadline: Duration,
    ) -> Option<Result<Connection, ConnectionError>> {
        let dialling = self.dialling.connect_with(client.clone(), address, self.name).unwrap();
        tokio::time::timeout(deadline, dialling).await.ok()
    }

    /// A connection's two ends: the dialling one, the answering one.
    pub(crate) async fn connect(&self) -> (Connection, Connection) {
        self.connect_with(&self.client).await
    }

    /// A connection whose dialling end sends by this.
    pub(crate) async fn connect_controlled_by(&self, congestion: Congestion) -> (Connection, Connection) {
        let mut client = self.client.clone();
        client.transport_config(Arc::new(endpoint::peer_settings(congestion)));
        self.connect_with(&client).await
    }

    async fn connect_with(&self, client: &ClientConfig) -> (Connection, Connection) {
        let dialling = self.dial_with(client, self.net.address(self.far), Duration::from_secs(30));
        let answering = async { self.answering.accept().await.unwrap().await.unwrap() };
        let (dialled, answered) = tokio::join!(dialling, answering);
        (dialled.expect("it was not answered in time").unwrap(), answered)
    }

    /// Answers whoever dials, for ever.
    pub(crate) async fn answer(&self) {
        let mut answered = Vec::new();
        while let Some(incoming) = self.answering.accept().await {
            answered.push(incoming.await);
        }
    }

    /// The path of both directions from a time on.
    pub(crate) fn path_at(&self, time: Duration, path: Path) {
        self.net.path_at(time, self.near, self.far, path);
    }
}

/// Plays a test with several seeds, or with the one in `VIRTUAL_NET_SEED`, each on a clock of its own.
pub(crate) fn with_seeds(play: impl AsyncFn(u64)) {
    let seeds = match std::env::var("VIRTUAL_NET_SEED") {
        Ok(seed) => vec![seed.parse().expect("VIRTUAL_NET_SEED is a number")],
        Err(_) => vec![1, 2, 3],
    };
    for seed in seeds {
        let test = std::thread::current().name().unwrap_or("virtual_net").to_owned();
        println!("seed {seed}; again: VIRTUAL_NET_SEED={seed} cargo test -p shared {test}");
        on_paused_clock(play(seed));
    }
}

/// Runs on a paused clock that tokio moves, so without threads. A test that never ends would keep it moving for ever.
pub(crate) fn on_paused_clock<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { tokio::time::timeout(TEST_MAX, test).await }).expect("the test does not come to an end")
}

/// Virtual time after which a test has failed.
const TEST_MAX: Duration = Duration::from_secs(2 * 3600);

fn keys() -> [SigningKey; 2] {
    [(); 2].map(|()| SigningKey::generate().unwrap())
}

fn authority() -> Authority {
    Authority::open(tempfile::tempdir().unwrap().path(), now()).unwrap()
}

fn device(authority: &Authority) -> PeerCredentials {
    let key = SigningKey::generate().unwrap();
    let who = PeerIdentity { account: [7; 16], device: DeviceId::of_key(&key.public()).0 };
    let certificate = authority.issue_device(&key.public(), &who, now(), Duration::from_secs(3600)).unwrap();
    PeerCredentials::new(&key, certificate, authority.certificate().clone()).unwrap()
}

fn now() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "certificates are checked against the real time")]
    SystemTime::now()
}
