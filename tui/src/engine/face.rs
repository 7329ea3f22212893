//! A face's way to the engine of its profile: attached to the one that runs, else running one in this process.
//!
//! One engine runs per profile, whoever holds the lock. When it ends while other faces are in the middle of calls, they
//! find or become the next one and send those calls again, unseen by their callers. So a call may repeat updates that
//! were delivered already, and what counts how much it did (`Update::Count`, `Update::Rescanned`) may count only what
//! the first engine had left to do. The one exception is `Command::Stop`: the engine is meant to end, and so do all
//! calls.

use std::{
    mem,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use shared::limits::{ENGINE_FOUND, ENGINE_RETRY_MAX, ENGINE_RETRY_MIN, FACE_LEAVE};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    api::{Failure, FailureKind},
    client::{Call, Client},
    core::Engine,
    local::{Bound, Connection, End, Lock, Server, Unattached},
};
use crate::profile::Profile;

/// A face's hold on the engine. Dropped without [`Face::close`], it lets go in the background.
#[derive(Debug)]
pub struct Face {
    client: Client,
    options: FaceOptions,
    attached: Arc<AtomicBool>,
    leaving: DropGuard,
    supervisor: JoinHandle<()>,
}

/// How a face wants to be treated.
#[derive(Debug, Default, Clone)]
pub struct FaceOptions {
    /// How long its caller waits for things to move; kept for the caller.
    pub timeout: Option<Duration>,
}

impl Face {
    /// Attaches to the engine that runs, or runs one in this process, to which others may attach.
    ///
    /// # Errors
    /// When the profile cannot be used, the engine does not let this face in, or does not start.
    pub async fn open(profile: &Profile, options: FaceOptions) -> Result<Self, Failure> {
        Self::open_with(profile, options, start_engine()).await
    }

    /// Attaches to the engine that runs.
    ///
    /// # Errors
    /// Kind `NotFound`, code `no_engine`, when none runs; otherwise like [`Face::open`].
    pub async fn attach(profile: &Profile) -> Result<Self, Failure> {
        prepare(profile)?;
        match Connection::open(profile).await {
            Ok(connection) => Ok(Self::over(Link::Attached(connection), profile, FaceOptions::default(), None)),
            Err(Unattached::NoEngine) => Err(no_engine()),
            Err(Unattached::Failed(failure)) => Err(failure),
        }
    }

    /// The client to make calls with. Its clones end with this face.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether the engine runs in another process now.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Relaxed)
    }

    /// What it was opened with.
    #[must_use]
    pub fn options(&self) -> &FaceOptions {
        &self.options
    }

    /// Lets go of the engine. An own one first waits a few seconds for short calls of other faces, then stops; other
    /// faces with longer calls go on in an engine of their own.
    pub async fn close(self) {
        drop(self.leaving);
        if let Err(error) = self.supervisor.await {
            tracing::error!(%error, "the face's hold on the engine failed");
        }
    }

    async fn open_with(profile: &Profile, options: FaceOptions, start: Start) -> Result<Self, Failure> {
        prepare(profile)?;
        let link = match find(profile).await? {
            Found::Engine(connection) => Link::Attached(*connection),
            Found::Nobody(lock) => Link::Hosting(Host::start(profile, lock, &start).await?),
        };
        Ok(Self::over(link, profile, options, Some(start)))
    }

    fn over(link: Link, profile: &Profile, options: FaceOptions, start: Option<Start>) -> Self {
        let (client, calls) = Client::channel();
        let attached = Arc::new(AtomicBool::new(link.is_attached()));
        let leaving = CancellationToken::new();
        let supervisor =
            Supervisor { profile: profile.clone(), start, calls, leaving: leaving.clone(), attached: attached.clone() };
        let supervisor = tokio::spawn(supervisor.run(link));
        Self { client, options, attached, leaving: leaving.drop_guard(), supervisor }
    }
}

/// Runs the engine of a profile until `shutdown` or `Command::Stop`. `ready` is called once faces can attach.
///
/// # Errors
/// Kind `Conflict`, code `engine_running`, when one runs already; otherwise when the engine does not start.
pub async fn run_engine(
    profile: &Profile,
    ready: impl FnOnce(),
    shutdown: impl Future<Output = ()>,
) -> Result<(), Failure> {
    run_engine_with(profile, ready, shutdown, start_engine()).await
}

async fn run_engine_with(
    profile: &Profile,
    ready: impl FnOnce(),
    shutdown: impl Future<Output = ()>,
    start: Start,
) -> Result<(), Failure> {
    prepare(profile)?;
    let mut shutdown = pin!(shutdown);
    let lock = tokio::select! {
        () = &mut shutdown => return Ok(()),
        lock = lock_alone(profile) => lock?,
    };
    let host = Host::start(profile, lock, &start).await?;
    ready();
    tokio::select! {
        () = shutdown => host.leave().await,
        () = host.running.stopping.cancelled() => host.stop().await,
    }
    Ok(())
}

/// The lock, where no engine runs that answers (even if only to turn a face away).
async fn lock_alone(profile: &Profile) -> Result<Lock, Failure> {
    let running = || {
        let hint = "swapmeet engine status shows it, swapmeet engine stop ends it";
        Failure::new(FailureKind::Conflict, "engine_running", "an engine of this profile runs already", hint)
    };
    match find(profile).await {
        Ok(Found::Nobody(lock)) => Ok(lock),
        Ok(Found::Engine(_)) => Err(running()),
        Err(failure) if matches!(failure.kind, FailureKind::Refused | FailureKind::Timeout) => Err(running()),
        Err(failure) => Err(failure),
    }
}

/// Keeps a face's calls going, over one engine after another.
struct Supervisor {
    profile: Profile,
    /// How to run an engine; `None` for a face that only ever attaches.
    start: Option<Start>,
    calls: mpsc::Receiver<Call>,
    leaving: CancellationToken,
    attached: Arc<AtomicBool>,
}

/// Where the calls go.
enum Link {
    Attached(Connection),
    Hosting(Host),
}

impl Link {
    fn is_attached(&self) -> bool {
        matches!(self, Self::Attached(_))
    }
}

impl Supervisor {
    /// Ends when the face leaves or its engine was told to stop: calls that are left then end as `engine_gone`.
    async fn run(mut self, mut link: Link) {
        let mut unfinished = Vec::new();
        loop {
            self.attached.store(link.is_attached(), Ordering::Relaxed);
            let connection = match link {
                Link::Hosting(host) => return self.host(host, unfinished).await,
                Link::Attached(connection) => connection,
            };
            unfinished = match connection.carry(unfinished, &mut self.calls, &self.leaving).await {
                End::Left => return,
                End::Told(failure, calls) => return End::end_calls(calls, &failure),
                End::Lost(calls) => calls,
            };
            link = match self.next_link(&mut unfinished).await {
                Some(next) => next,
                None => return,
            };
        }
    }

    async fn host(&mut self, host: Host, unfinished: Vec<Call>) {
        for call in unfinished {
            host.running.client.pass(call).await;
        }
        loop {
            tokio::select! {
                biased;
                () = host.running.stopping.cancelled() => return host.stop().await,
                () = self.leaving.cancelled() => return host.leave().await,
                call = self.calls.recv() => match call {
                    Some(call) => host.running.client.pass(call).await,
                    None => return host.leave().await,
                },
            }
        }
    }

    /// The next engine, as soon as a call needs one. `None`: the face leaves, or may not run one.
    async fn next_link(&mut self, unfinished: &mut Vec<Call>) -> Option<Link> {
        let start = self.start.clone()?;
        loop {
            unfinished.retain(|call| !call.updates.is_closed());
            if unfinished.is_empty() {
                tokio::select! {
                    () = self.leaving.cancelled() => return None,
                    call = self.calls.recv() => unfinished.push(call?),
                }
            }
            tracing::info!(calls = unfinished.len(), "the engine was lost; looking for the next");
            let found = tokio::select! {
                () = self.leaving.cancelled() => return None,
                found = find(&self.profile) => found,
            };
            // Not given up half-way by a face that leaves: what has started must be stopped in order.
            let link = match found {
                Ok(Found::Engine(connection)) => Ok(Link::Attached(*connection)),
                Ok(Found::Nobody(lock)) => Host::start(&self.profile, lock, &start).await.map(Link::Hosting),
                Err(failure) => Err(failure),
            };
            match link {
                Ok(link) => return Some(link),
                Err(failure) => End::end_calls(mem::take(unfinished), &failure),
            }
        }
    }
}

/// Who runs the engine of a profile.
enum Found {
    Engine(Box<Connection>),
    /// Nobody, and with this lock nobody else will.
    Nobody(Lock),
}

/// Finds the running engine or the right to run one. While one starts or ends there may be neither for a moment.
async fn find(profile: &Profile) -> Result<Found, Failure> {
    let deadline = Instant::now() + ENGINE_FOUND;
    let mut pause = ENGINE_RETRY_MIN;
    loop {
        match Connection::open(profile).await {
            Ok(connection) => return Ok(Found::Engine(Box::new(connection))),
            Err(Unattached::Failed(failure)) => return Err(failure),
            Err(Unattached::NoEngine) => (),
        }
        match Lock::try_take(profile) {
            Ok(Some(lock)) => return Ok(Found::Nobody(lock)),
            Ok(None) => (),
            Err(error) => return Err(unusable("lock", &error)),
        }
        if Instant::now() + pause > deadline {
            let hint = "it may be ending: try again in a moment, or see its log";
            let message = "the engine of this profile lets nobody attach";
            return Err(Failure::new(FailureKind::Timeout, "engine_silent", message, hint));
        }
        // A lock that becomes free is no event one could wait for and still give up. A starting engine is: it can be
        // connected to at once, and greets when it is ready.
        sleep(pause).await;
        pause = (pause * 2).min(ENGINE_RETRY_MAX);
    }
}

/// An engine in this process, with the socket that others attach to.
struct Host {
    running: Running,
    server: Server,
    lock: Lock,
}

impl Host {
    async fn start(profile: &Profile, lock: Lock, start: &Start) -> Result<Self, Failure> {
        let bound = Bound::bind(profile, &lock).map_err(|error| unusable("socket", &error))?;
        let running = start(profile.clone()).await?;
        let server = bound.serve(running.client.clone());
        Ok(Self { running, server, lock })
    }

    /// Ends while the others may go on: their calls wait for the next engine.
    async fn leave(mut self) {
        let stopping = self.running.stopping.clone();
        tokio::select! {
            () = stopping.cancelled() => return self.stop().await,
            waited = timeout(FACE_LEAVE, self.server.brief_calls_ended()) => {
                if waited.is_err() {
                    tracing::debug!("other faces' calls are left to the next engine");
                }
            }
        }
        self.server.begin_hand_over();
        (self.running.stop)().await;
        // First the lock, then the connections: their loss is what tells the others to take over.
        drop(self.lock);
        self.server.end().await;
    }

    /// Ends because it was told to: for everybody.
    async fn stop(mut self) {
        self.server.begin_stop();
        (self.running.stop)().await;
        self.server.end().await;
        drop(self.lock);
    }
}

/// An engine that has started.
struct Running {
    client: Client,
    /// Cancelled when it was told to stop.
    stopping: CancellationToken,
    stop: Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>,
}

/// How an engine is started.
type Start = Arc<dyn Fn(Profile) -> BoxFuture<'static, Result<Running, Failure>> + Send + Sync>;

fn start_engine() -> Start {
    Arc::new(|profile| {
        Box::pin(async move {
            let (engine, client) = Engine::start(&profile).await?;
            let stopping = engine.stopping();
            Ok(Running { client, stopping, stop: Box::new(|| Box::pin(engine.stop())) })
        })
    })
}

fn prepare(profile: &Profile) -> Result<(), Failure> {
    profile.prepare().map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        let hint = "choose a place with SWAPMEET_HOME=DIR";
        Failure::new(FailureKind::Unexpected, "profile", format!("{error}{cause}"), hint)
    })
}

fn unusable(what: &str, error: &std::io::Error) -> Failure {
    let message = format!("could not make the {what} of this profile: {error}");
    Failure::new(FailureKind::Unexpected, what, message, "choose a place with SWAPMEET_HOME=DIR")
}

fn no_engine() -> Failure {
    Failure::new(FailureKind::NotFound, "no_engine", "no engine is running", "swapmeet engine run starts one")
}

#[cfg(test)]
mod tests;
