//! The tracker: it knows who the members are, what they share, who is online and what is waiting. Never in the way of
//! bytes that can go direct.
//!
//! [`run`] is the whole program; the binary, `swapmeet host`, `swapmeet demo` and the tests call it. Below it
//! [`server`] speaks QUIC and knows no SQL, [`handler`] knows neither, and [`store`] knows no connection.
//! [`presence`], [`attempts`] and the rules of [`relay`] are pure: time and numbers come in, decisions go out.
#![warn(clippy::wildcard_enum_match_arm)]

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use certs::{Authority, CertsError};
use quinn::Endpoint;
use shared::{
    limits::{ADMINISTRATION_LOOK, TRACKER_CERTIFICATE_RENEW},
    net,
    wire::{PROBE_ALPN, TRACKER_ALPN, tracker::Ways},
};
use tokio::{runtime::Handle, task::JoinSet};
use tokio_util::sync::CancellationToken;

pub mod attempts;
pub mod blobs;
pub mod cli;
pub mod clock;
pub mod code;
pub mod config;
pub mod copies;
pub mod events;
pub mod flood;
pub mod handler;
pub mod holdings;
pub mod introduce;
pub mod mail;
pub mod passwords;
pub mod presence;
pub mod refuse;
pub mod relay;
pub mod roster;
pub mod server;
pub mod store;

pub use config::{Config, ConfigError, ServeArgs};

use attempts::{Attempts, Patience};
use blobs::{BlobError, BlobStore};
use config::{Listen, Probe, Web};
use copies::Copies;
use handler::Ctx;
use mail::Mailroom;
use relay::Relays;
use roster::Roster;
use server::{Server, Sessions, WebPort, web::WebError};
use store::{SqliteStore, Store, StoreError};

/// What there is to know of a tracker that accepts connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its web port, if it has one.
    pub web: Option<SocketAddr>,
    /// What members join with.
    pub link: String,
}

/// Why a tracker does not run (any more).
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings make no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another tracker works in the folder.
    #[error("another tracker already runs in {0}")]
    AlreadyRunning(PathBuf),
    /// The data folder cannot be used.
    #[error("could not use {path}")]
    Data {
        /// Which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("could not listen on {address}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The authority cannot be used.
    #[error("could not open the tracker's keys")]
    Certs(#[from] CertsError),
    /// The database cannot be used.
    #[error("could not open the database")]
    Store(#[from] StoreError),
    /// The blob folder cannot be used.
    #[error("could not open the folder of stored copies")]
    Blobs(#[from] BlobError),
    /// The web port cannot be opened.
    #[error("could not open the web port")]
    Web(#[from] WebError),
    /// The socket failed while the tracker ran.
    #[error("the tracker stopped serving")]
    Serve(#[source] io::Error),
}

impl StartError {
    /// The exit code of a program that ends so: settings and places that cannot be used are the caller's to mend.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::AlreadyRunning(_) | Self::Data { .. } | Self::Listen { .. } => 2,
            Self::Certs(_) | Self::Store(_) | Self::Blobs(_) | Self::Web(_) | Self::Serve(_) => 1,
        }
    }
}

/// Runs a tracker until `shutdown` ends, then lets it end in order. `ready` is called once, when it accepts connections.
///
/// # Errors
/// See [`StartError`].
pub async fn run(
    config: Config,
    ready: impl FnOnce(Ready),
    shutdown: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let _lock = lock(&config.data)?;
    let authority = Authority::open(&config.data.join(AUTHORITY), SystemTime::now())?;
    let endpoints = listen(&config, &authority)?;
    let probes = listen_for_probes(&config, &authority, &endpoints)?;
    let probe_port = probes.first().and_then(|endpoint| endpoint.local_addr().ok()).map(|address| address.port());
    let web = open_web(&config, &endpoints, &authority)?.map(Arc::new);
    let told = tell(&config, &endpoints, web.as_deref(), &authority.fingerprint().to_string());
    let store = Arc::new(SqliteStore::open(&config.database).await?);
    let blobs = BlobStore::in_folder(&config.blobs)?;
    let copies = Copies::new(store.clone(), blobs, config.data.join("incoming"))
        .map_err(|source| StartError::Data { path: config.data.clone(), source })?;

    let sessions = Arc::new(Sessions::default());
    let (mailroom, pending) = Mailroom::new();
    let ctx = Arc::new(Ctx {
        store: store.clone(),
        authority,
        roster: Arc::new(Roster::default()),
        events: Arc::default(),
        live: sessions.clone(),
        copies: Arc::new(copies),
        relays: Arc::new(Relays::new(config.relay)),
        passwords: passwords::Passwords::default(),
        mailroom,
        flood: Mutex::default(),
        attempts: Mutex::new(recall_attempts(&*store, config.patience).await?),
        patience: config.patience,
        registration: config.registration,
        sign_out_after: config.sign_out_after,
        ways: Ways { web: told.as_ref().ok().and_then(web_port_of_members) },
        started: Instant::now(),
        probe_port,
        pace: Mutex::default(),
        meetings: Mutex::default(),
        deadlines: handler::inbox::Deadlines::default(),
    });
    // The order of stopping: connections first, then what they work with, then the database.
    let (stop_serving, stop_working) = (CancellationToken::new(), CancellationToken::new());
    let mut workers = JoinSet::new();
    workers.spawn({
        let (ctx, stop) = (ctx.clone(), stop_working.clone());
        async move { ctx.roster.run(ctx.store.clone(), ctx.events.clone(), stop).await }
    });
    workers.spawn({
        let (ctx, stop) = (ctx.clone(), stop_working.clone());
        async move { ctx.events.run(stop).await }
    });
    workers.spawn({
        let (ctx, stop) = (ctx.clone(), stop_working.clone());
        ctx.copies.clone().run(ctx.roster.clone(), ctx.events.clone(), sessions.clone(), stop)
    });
    workers.spawn(renew_certificate(ctx.clone(), endpoints.clone(), TRACKER_ALPN, web.clone(), stop_working.clone()));
    workers.spawn(renew_certificate(ctx.clone(), probes.clone(), PROBE_ALPN, None, stop_working.clone()));
    workers.spawn_blocking({
        let (runtime, store, stop) = (Handle::current(), store.clone(), stop_working.clone());
        // A message takes many steps of the database: on a thread of their own none of them waits for the network's.
        move || runtime.block_on(mail::run(pending, store, stop))
    });
    workers.spawn(clock::watch(ctx.events.clone(), stop_working.clone()));
    workers.spawn(watch_administration(ctx.clone(), stop_working.clone()));
    workers.spawn(handler::inbox::end_items(ctx.clone(), stop_working.clone()));
    workers.spawn(server::probe::run(ctx.clone(), probes, stop_working.clone()));

    let serving = Server::new(ctx, sessions, stop_serving.clone()).run(endpoints.clone(), web);
    let mut serving = std::pin::pin!(serving);
    let served = match told {
        Ok(told) => {
            tracing::info!(listen = %told.listen, web = ?told.web, "the tracker is ready");
            ready(told);
            tokio::select! {
                served = &mut serving => served,
                () = shutdown => {
                    tracing::info!("the tracker stops");
                    stop_serving.cancel();
                    serving.await
                }
            }
            .map_err(StartError::Serve)
        }
        Err(error) => Err(error),
    };
    stop_working.cancel();
    while let Some(ended) = workers.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a task ended abnormally");
        }
    }
    store.close().await;
    served
}

/// The wrong passwords that trackers before this one counted.
async fn recall_attempts(store: &dyn Store, patience: Patience) -> Result<Attempts, StoreError> {
    let now_ms = handler::now_ms();
    let mut attempts = Attempts::new(patience);
    attempts.recall(store.recall_guesses(now_ms, patience.memory()).await?, Instant::now(), now_ms);
    Ok(attempts)
}

/// Folder of the authority within the data folder.
const AUTHORITY: &str = "authority";
/// File that names the link of the tracker that ran last.
const LINK: &str = "link";
/// File that is locked while a tracker runs.
const LOCK: &str = "tracker.lock";

/// Locks the data folder, making it where there is none.
fn lock(data: &Path) -> Result<File, StartError> {
    let trouble = |source| StartError::Data { path: data.into(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(trouble)?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(data.join(LOCK))
        .map_err(trouble)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::AlreadyRunning(data.into())),
        Err(TryLockError::Error(source)) => Err(trouble(source)),
    }
}

fn listen(config: &Config, authority: &Authority) -> Result<Vec<Endpoint>, StartError> {
    let open = |address: SocketAddr| open(authority, address, TRACKER_ALPN);
    match config.listen {
        Listen::At(address) => Ok(vec![open(address)?]),
        Listen::Everywhere(port) => {
            let mut endpoints = vec![open(SocketAddr::from(([0, 0, 0, 0], port)))?];
            match open(SocketAddr::from(([0; 8], port))) {
                Ok(endpoint) => endpoints.push(endpoint),
                Err(error) => tracing::info!(%error, "the tracker has no IPv6"),
            }
            Ok(endpoints)
        }
    }
}

fn open(authority: &Authority, address: SocketAddr, alpn: &[u8]) -> Result<Endpoint, StartError> {
    let tls = authority.tracker_server_config(&[alpn], SystemTime::now())?;
    server::endpoint(address, tls, authority.grant_key()).map_err(|source| StartError::Listen { address, source })
}

/// The second port, the same at every address that is listened on.
fn listen_for_probes(
    config: &Config,
    authority: &Authority,
    endpoints: &[Endpoint],
) -> Result<Vec<Endpoint>, StartError> {
    let mut addresses = endpoints.iter().filter_map(|endpoint| endpoint.local_addr().ok());
    let (Some(first), false) = (addresses.next(), config.probe == Probe::Off) else { return Ok(Vec::new()) };
    let at = |address: SocketAddr, port| open(authority, SocketAddr::new(address.ip(), port), PROBE_ALPN);
    let opened = match config.probe {
        Probe::At(port) => at(first, port)?,
        Probe::Next | Probe::Off => {
            // Behind a port that the system picked, the next one may be about to be picked for somebody else.
            let is_picked = matches!(config.listen, Listen::At(address) if address.port() == 0);
            let next = first.port().checked_add(1).filter(|_| !is_picked).map(|port| at(first, port));
            match next {
                Some(Ok(endpoint)) => endpoint,
                Some(Err(_)) | None => at(first, 0)?,
            }
        }
    };
    let port = opened.local_addr().map_or(0, |address| address.port());
    let mut probes = vec![opened];
    for address in addresses {
        match at(address, port) {
            Ok(endpoint) => probes.push(endpoint),
            Err(error) => tracing::info!(%error, "the second port is not there for every address"),
        }
    }
    Ok(probes)
}

/// The web port, where there is to be one.
fn open_web(config: &Config, endpoints: &[Endpoint], authority: &Authority) -> Result<Option<WebPort>, StartError> {
    match config.web {
        Web::Off => Ok(None),
        Web::At(address) => match WebPort::open(&[address], authority) {
            Ok(web) => Ok(Some(web)),
            Err(WebError::Listen(source)) => Err(StartError::Listen { address, source }),
            Err(error) => Err(error.into()),
        },
        Web::Beside => {
            let addresses: Vec<SocketAddr> =
                endpoints.iter().filter_map(|endpoint| endpoint.local_addr().ok()).collect();
            match WebPort::open(&addresses, authority) {
                Ok(web) => Ok(Some(web)),
                Err(WebError::Listen(error)) => {
                    tracing::warn!(%error, "there is no web port: members without UDP cannot come; see --web");
                    Ok(None)
                }
                Err(error) => Err(error.into()),
            }
        }
    }
}

/// Finds out what to tell, and leaves the link where `link` and `status` find it.
fn tell(
    config: &Config,
    endpoints: &[Endpoint],
    web: Option<&WebPort>,
    fingerprint: &str,
) -> Result<Ready, StartError> {
    let trouble = |source| StartError::Data { path: config.data.clone(), source };
    let Some(first) = endpoints.first() else {
        return Err(trouble(io::Error::other("nothing to listen on")));
    };
    let listen = first.local_addr().map_err(trouble)?;
    let web = web.and_then(WebPort::address);
    let link = link(config, listen, web.map(|web| web.port()), fingerprint);
    fs::write(config.data.join(LINK), &link).map_err(trouble)?;
    Ok(Ready { listen, web: web.map(config::reachable), link })
}

/// The join link. The web port stands in it where it is another than that of UDP.
fn link(config: &Config, listen: SocketAddr, web: Option<u16>, fingerprint: &str) -> String {
    let host = config.public.clone().unwrap_or_else(|| config::reachable(listen).to_string());
    let web = web.filter(|port| *port != listen.port()).map(|port| format!("?web={port}")).unwrap_or_default();
    format!("swapmeet://{host}/{web}#{fingerprint}")
}

/// The web port as members reach it: where it has the number of the UDP port here, it has that of the link there.
fn web_port_of_members(ready: &Ready) -> Option<u16> {
    let web = ready.web?.port();
    let of_link = || ready.link.strip_prefix("swapmeet://")?.split('/').next()?.rsplit_once(':')?.1.parse().ok();
    if web == ready.listen.port() { of_link() } else { Some(web) }
}

/// Puts a fresh server certificate in place long before the old one ends.
async fn renew_certificate(
    ctx: Arc<Ctx>,
    endpoints: Vec<Endpoint>,
    alpn: &[u8],
    web: Option<Arc<WebPort>>,
    stop: CancellationToken,
) {
    let mut every = tokio::time::interval(TRACKER_CERTIFICATE_RENEW);
    every.tick().await;
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        for endpoint in &endpoints {
            match ctx.authority.tracker_server_config(&[alpn], SystemTime::now()) {
                Ok(tls) => match net::endpoint::tracker_server(tls) {
                    Ok(server) => endpoint.set_server_config(Some(server)),
                    Err(error) => tracing::error!(%error, "the server's certificate could not be renewed"),
                },
                Err(error) => tracing::error!(%error, "the server's certificate could not be renewed"),
            }
        }
        if let Some(Err(error)) = web.as_ref().map(|web| web.renew(&ctx.authority)) {
            tracing::error!(%error, "the web port's certificate could not be renewed");
        }
    }
}

/// Acts on what administration does to accounts while the tracker runs, which other processes write down.
async fn watch_administration(ctx: Arc<Ctx>, stop: CancellationToken) {
    let mut every = tokio::time::interval(ADMINISTRATION_LOOK);
    let mut known = None;
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        let looked = async {
            let changes = ctx.store.outside_changes().await?;
            if known.is_some_and(|known| known != changes) {
                handler::devices::enforce(&ctx).await?;
            }
            known = Some(changes);
            Ok::<_, StoreError>(())
        };
        if let Err(error) = looked.await {
            tracing::error!(error = &error as &dyn std::error::Error, "could not look at what administration did");
        }
    }
}

/// A runtime as the tracker likes it: the network on one thread, blocking work on a bounded number of others.
///
/// # Errors
/// When the system gives no threads.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(shared::limits::TRACKER_BLOCKING_THREADS_MAX)
        .thread_keep_alive(Duration::from_secs(2))
        .build()
}
