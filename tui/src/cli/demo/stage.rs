//! Where the demonstration plays: a temporary folder, a tracker in this process, alice and bob in their own, and you.

use std::{future::Future, path::PathBuf, time::Duration};

use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::member::Member;
use crate::{
    cli::{
        host, log,
        talk::{Ended, Outcome},
    },
    engine::{
        api::{Command, Secret},
        client::Client,
        face::{Face, FaceOptions},
    },
    profile::Profile,
};

/// Everything that has to be put away in the end.
#[derive(Debug)]
pub(super) struct Stage {
    place: TempDir,
    tracker: Option<Tracker>,
    alice: Option<Member>,
    bob: Option<Member>,
    you: Option<Face>,
}

#[derive(Debug)]
struct Tracker {
    link: String,
    stop: CancellationToken,
    task: JoinHandle<Outcome>,
}

impl Stage {
    /// An empty stage. The log of this process lies on it, too.
    pub(super) fn empty(verbose: u8) -> Result<Self, Ended> {
        let place = tempfile::Builder::new().prefix("swapmeet-demo-").tempdir();
        let place =
            place.map_err(|error| Ended::unexpected("demo", format!("could not make a temporary place: {error}")))?;
        let stage = Self { place, tracker: None, alice: None, bob: None, you: None };
        let profile = stage.profile("you")?;
        log::start(&profile, verbose)?;
        Ok(stage)
    }

    /// Starts a tracker on a free port of the loopback address.
    pub(super) async fn open_tracker(&mut self) -> Outcome {
        let data = self.place.path().join("tracker");
        let stop = CancellationToken::new();
        let (ready, is_ready) = oneshot::channel();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let announce = move |link: &str| {
                // Nobody waits any more when the demonstration is over before it began.
                let _over = ready.send(link.to_owned());
            };
            host::run_in_place(&data, announce, stopped.cancelled_owned()).await
        });
        let tracker = self.tracker.insert(Tracker { link: String::new(), stop, task });
        match is_ready.await {
            Ok(link) => {
                tracker.link = link;
                Ok(())
            }
            // It ended before it was ready: it knows why.
            Err(_) => {
                let ended = (&mut tracker.task).await.map_err(|error| Ended::unexpected("demo", error.to_string()))?;
                self.tracker = None;
                ended.and_then(|()| Err(Ended::unexpected("demo", "the tracker stopped at once")))
            }
        }
    }

    /// Starts alice and bob, and gives each of the three an account.
    pub(super) async fn open_members(&mut self) -> Outcome {
        let link = self.tracker.as_ref().map(|tracker| tracker.link.clone());
        let link = link.ok_or_else(|| Ended::unexpected("demo", "there is no tracker"))?;
        // Kept here from the first moment: whatever happens now, closing the stage ends their processes.
        let alice = self.alice.insert(Member::spawn("alice", self.place.path().join("alice"))?);
        let bob = self.bob.insert(Member::spawn("bob", self.place.path().join("bob"))?);
        let (alice, bob) = tokio::join!(alice.enter(link.clone()), bob.enter(link.clone()));
        alice.and(bob)?;
        let you = Face::open(&self.profile("you")?, FaceOptions::default()).await?;
        let client = self.you.insert(you).client().clone();
        client.ask(register("you", link)).await?;
        Ok(())
    }

    /// The one who shares most.
    pub(super) fn alice(&self) -> Result<&Member, Ended> {
        self.alice.as_ref().ok_or_else(|| Ended::unexpected("demo", "alice is not there"))
    }

    /// Another one.
    pub(super) fn bob(&self) -> Result<&Member, Ended> {
        self.bob.as_ref().ok_or_else(|| Ended::unexpected("demo", "bob is not there"))
    }

    /// The engine of whoever looks on.
    pub(super) fn you(&self) -> Result<&Client, Ended> {
        self.you.as_ref().map(Face::client).ok_or_else(|| Ended::unexpected("demo", "you are not there"))
    }

    /// Takes alice away without a word.
    pub(super) async fn kill_alice(&mut self) -> Outcome {
        let alice = self.alice.take().ok_or_else(|| Ended::unexpected("demo", "alice is not there"))?;
        alice.kill().await
    }

    /// A folder for what somebody writes.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Ends everything and removes the place. Takes a bounded time.
    pub(super) async fn close(mut self) -> Outcome {
        if let Some(you) = self.you.take() {
            within(you.close()).await;
        }
        for member in [self.alice.take(), self.bob.take()].into_iter().flatten() {
            member.stop().await;
        }
        if let Some(tracker) = self.tracker.take() {
            tracker.stop.cancel();
            within(tracker.task).await;
        }
        let path = self.place.path().to_owned();
        self.place.close().map_err(|error| Ended::file("remove", &path, &error))
    }

    fn profile(&self, name: &str) -> Result<Profile, Ended> {
        prepared(&self.place.path().join(name))
    }
}

/// Waits for something that stops, but not for ever: nobody watches any more.
pub(super) async fn within<T>(stopping: impl Future<Output = T>) {
    let _too_late = tokio::time::timeout(STOP, stopping).await;
}

/// The profile whose home this is.
pub(super) fn prepared(home: &std::path::Path) -> Result<Profile, Ended> {
    let failed = |error: crate::profile::ProfileError| Ended::unexpected("demo", error.to_string());
    let profile = Profile::locate(Some(home), None).map_err(failed)?;
    profile.prepare().map_err(failed)?;
    Ok(profile)
}

/// Makes an account with a password that nobody needs again.
pub(super) fn register(name: &str, tracker: String) -> Command {
    let password = Secret(data_encoding::HEXLOWER.encode(&rand::random::<[u8; 16]>()));
    Command::Register { tracker, name: name.to_owned(), password, email: None, invite: None }
}

/// Time that each part may take to stop in order.
const STOP: Duration = Duration::from_secs(5);
