//! What a command works with: its options, its output, the profile and the engine, opened when first needed.

use std::{env, path::PathBuf, time::Duration};

use tokio::time::Instant;

use super::{
    Globals,
    interrupt::Interrupt,
    log,
    out::Out,
    talk::{Ended, Outcome, Talk},
};
use crate::{
    engine::{
        api::{Command, Connection, Failure, FailureKind, Status, TransferState, Update},
        client::{Client, Updates},
        face::{Face, FaceOptions},
    },
    profile::{Profile, ProfileError},
};

/// Everything around one command.
pub(super) struct Context {
    pub(super) globals: Globals,
    pub(super) out: Out,
    pub(super) talk: Talk,
    pub(super) interrupt: Interrupt,
    face: Option<Face>,
}

impl Context {
    pub(super) fn new(globals: Globals, interrupt: Interrupt) -> Self {
        let (out, talk) = (Out::stdout(&globals), Talk::new(&globals));
        Self { globals, out, talk, interrupt, face: None }
    }

    /// The profile that was chosen.
    pub(super) fn profile(&self) -> Result<Profile, Ended> {
        let home = env::var_os("SWAPMEET_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        Profile::locate(home.as_deref(), self.globals.profile.as_deref()).map_err(profile_failure)
    }

    /// The profile, with its folders and its log made.
    pub(super) fn prepared_profile(&self) -> Result<Profile, Ended> {
        let profile = self.profile()?;
        profile.prepare().map_err(profile_failure)?;
        log::start(&profile, self.globals.verbose)?;
        Ok(profile)
    }

    /// The engine: the one that runs, else one of our own.
    pub(super) async fn client(&mut self) -> Result<Client, Ended> {
        if self.face.is_none() {
            let profile = self.prepared_profile()?;
            self.face = Some(Face::open(&profile, FaceOptions { timeout: self.globals.timeout }).await?);
        }
        self.face.as_ref().map(|face| face.client().clone()).ok_or_else(|| Ended::unexpected("face", "no engine"))
    }

    /// The engine that runs already; `None` if there is none.
    pub(super) async fn running_client(&mut self) -> Result<Option<Client>, Ended> {
        if self.face.is_none() {
            match Face::attach(&self.prepared_profile()?).await {
                Ok(face) => self.face = Some(face),
                Err(failure) if failure.kind == FailureKind::NotFound => return Ok(None),
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(self.face.as_ref().map(|face| face.client().clone()))
    }

    /// Whether the engine lives in another process.
    pub(super) fn is_attached(&self) -> bool {
        self.face.as_ref().is_some_and(Face::is_attached)
    }

    /// Begins a call that gives up after the time from `--timeout`.
    pub(super) async fn call(&mut self, command: Command) -> Result<Reply, Ended> {
        let client = self.client().await?;
        // Our own engine gives up by itself at that time, and knows better what it waited for.
        let grace = if self.is_attached() { Duration::ZERO } else { OWN_ENGINE_GRACE };
        let patience = self.globals.timeout.map(|timeout| timeout.saturating_add(grace));
        Ok(Reply::begin(client, command, patience).await)
    }

    /// Runs a call to its end.
    pub(super) async fn ask(&mut self, command: Command) -> Result<Vec<Update>, Ended> {
        let mut reply = self.call(command).await?;
        let mut updates = Vec::new();
        while let Some(update) = reply.next().await? {
            updates.push(update);
        }
        Ok(updates)
    }

    /// How the engine stands, at once.
    pub(super) async fn status(&mut self) -> Result<Status, Ended> {
        let updates = self.ask(Command::Status).await?;
        let status = updates
            .into_iter()
            .find_map(|update| if let Update::Status(status) = update { Some(*status) } else { None });
        status.ok_or_else(|| Ended::unexpected("no_answer", "the engine did not say how it stands"))
    }

    /// Leaves the engine; one of our own stops in order.
    pub(super) async fn close(mut self) -> Outcome {
        if let Some(face) = self.face.take() {
            face.close().await;
        }
        self.out.flush()
    }
}

/// The answers to one call, with a limit on silence.
pub(super) struct Reply {
    updates: Updates,
    client: Client,
    patience: Option<Duration>,
    deadline: Option<Instant>,
}

impl Reply {
    async fn begin(client: Client, command: Command, patience: Option<Duration>) -> Self {
        let updates = client.call(command).await;
        let mut reply = Self { updates, client, patience, deadline: None };
        reply.extend();
        reply
    }

    /// The next update, or `None` at the good end of the call. Safe to cancel.
    pub(super) async fn next(&mut self) -> Result<Option<Update>, Ended> {
        let Some(deadline) = self.deadline else { return Ok(self.updates.next().await?) };
        let Ok(update) = tokio::time::timeout_at(deadline, self.updates.next()).await else {
            return Err(self.gave_up().await.into());
        };
        let update = update?;
        if update.as_ref().is_some_and(is_progress) {
            self.extend();
        }
        Ok(update)
    }

    fn extend(&mut self) {
        self.deadline = self.patience.and_then(|patience| Instant::now().checked_add(patience));
    }

    /// Says what was waited for in vain: the tracker, if the engine has no connection to it.
    async fn gave_up(&self) -> Failure {
        let asked = tokio::time::timeout(ASK_WHY, self.client.ask(Command::Status)).await;
        let updates = asked.ok().and_then(Result::ok).unwrap_or_default();
        let offline = updates.iter().any(|update| {
            matches!(update, Update::Status(status)
                if matches!(status.connection, Connection::Offline { .. } | Connection::Connecting))
        });
        if offline {
            let hint = "see swapmeet status; the engine goes on trying";
            return Failure::new(
                FailureKind::Unreachable,
                "unreachable",
                "the tracker could not be reached in time",
                hint,
            );
        }
        let hint = "run the command again, or give it more time with --timeout";
        Failure::new(FailureKind::Timeout, "timeout", "nothing moved for the time given", hint)
    }
}

/// A transfer that only waits is no progress.
fn is_progress(update: &Update) -> bool {
    let Update::Transfer(transfer) = update else { return true };
    !matches!(transfer.state, TransferState::Waiting | TransferState::Queued | TransferState::Paused)
}

fn profile_failure(error: ProfileError) -> Ended {
    let hint = "choose a place with SWAPMEET_HOME=DIR";
    let kind = match error {
        ProfileError::NoHome | ProfileError::BadName(_) => FailureKind::Usage,
        ProfileError::Make { .. } => FailureKind::Unexpected,
    };
    let mut message = error.to_string();
    if let Some(cause) = std::error::Error::source(&error) {
        message = format!("{message}: {cause}");
    }
    Failure::new(kind, "profile", message, hint).into()
}

/// Time that an own engine has beyond `--timeout` to say by itself what it waited for.
const OWN_ENGINE_GRACE: Duration = Duration::from_secs(2);
/// Time to learn why nothing moved.
const ASK_WHY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::client::{Answer, Call};

    /// An engine that answers nothing but how it stands.
    fn silent_engine(connection: Connection) -> Client {
        let (client, mut calls) = Client::channel();
        tokio::spawn(async move {
            let mut unanswered = Vec::new();
            while let Some(Call { command, updates }) = calls.recv().await {
                if command == Command::Status {
                    let status = Update::Status(Box::new(status(connection.clone())));
                    updates.send(Answer::Update(status)).await.unwrap();
                    updates.send(Answer::Done(Ok(()))).await.unwrap();
                } else {
                    unanswered.push(updates);
                }
            }
        });
        client
    }

    fn status(connection: Connection) -> Status {
        Status {
            version: String::new(),
            pid: 1,
            account: None,
            connection,
            port: 1,
            shares: 0,
            active: 0,
            tracker: None,
            downloads: PathBuf::new(),
        }
    }

    async fn exit_code_of_silence(connection: Connection) -> u8 {
        let client = silent_engine(connection);
        let mut reply = Reply::begin(client, Command::Members, Some(Duration::ZERO)).await;
        match reply.next().await {
            Err(Ended::Failed(failure)) => failure.kind.exit_code(),
            _ => panic!("it did not give up"),
        }
    }

    #[tokio::test]
    async fn silence_is_blamed_on_the_tracker_where_there_is_no_connection() {
        let offline = Connection::Offline { cause: "no route".to_owned(), retry_ms: None, tries: 3 };
        assert_eq!(exit_code_of_silence(offline).await, 7);
        assert_eq!(exit_code_of_silence(Connection::Connecting).await, 7);
        assert_eq!(exit_code_of_silence(Connection::Online { rtt_ms: 1, https: false }).await, 5);
    }

    #[tokio::test]
    async fn without_a_time_limit_an_answer_is_waited_for() {
        let (client, mut calls) = Client::channel();
        tokio::spawn(async move {
            let Call { updates, .. } = calls.recv().await.unwrap();
            updates.send(Answer::Update(Update::Count(3))).await.unwrap();
            updates.send(Answer::Done(Ok(()))).await.unwrap();
        });
        let mut reply = Reply::begin(client, Command::Rescan, None).await;
        assert!(matches!(reply.next().await, Ok(Some(Update::Count(3)))));
        assert!(matches!(reply.next().await, Ok(None)));
    }

    #[tokio::test]
    async fn an_engine_that_goes_away_is_an_error_and_no_end() {
        let (client, calls) = Client::channel();
        drop(calls);
        let mut reply = Reply::begin(client, Command::Rescan, None).await;
        assert!(matches!(reply.next().await, Err(Ended::Failed(_))));
    }
}
