//! A member of the demonstration: an engine in a process of its own, spoken to over its socket.

use std::{path::PathBuf, process::Stdio, time::Duration};

use tokio::process::{Child, Command as Process};

use super::stage::{prepared, register, within};
use crate::{
    cli::{
        engine,
        talk::{Ended, Outcome},
    },
    engine::{
        api::{Command, Failure, FailureKind, FileRow, Share, Update},
        client::Client,
        face::Face,
    },
};

/// A member with its process. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct Member {
    name: &'static str,
    home: PathBuf,
    engine: Child,
    face: Option<Face>,
    /// Where what it shares lies.
    pub(super) shared: PathBuf,
}

impl Member {
    /// Starts the engine's process.
    pub(super) fn spawn(name: &'static str, home: PathBuf) -> Result<Self, Ended> {
        let mut process = Process::new(engine::own_program()?);
        process.args(["engine", "run", "--json", "--until-stdin-ends"]).env("SWAPMEET_HOME", &home);
        // Its stdin ends with us, whatever happens to us: it cannot be left behind.
        process.stdin(Stdio::piped()).kill_on_drop(true).process_group(0);
        let engine = engine::spawn(&mut process)?;
        Ok(Self { name, engine, face: None, shared: home.join("shared"), home })
    }

    /// Waits for the engine and makes an account.
    pub(super) async fn enter(&mut self, tracker: String) -> Outcome {
        engine::is_ready(&mut self.engine).await?;
        let face = Face::attach(&prepared(&self.home)?).await?;
        within_patience(face.client().ask(register(self.name, tracker))).await?;
        self.face = Some(face);
        Ok(())
    }

    /// The member's engine.
    pub(super) fn client(&self) -> Result<&Client, Failure> {
        let absent = || Failure::new(FailureKind::Unexpected, "demo", format!("{} is not there", self.name), "");
        self.face.as_ref().map(Face::client).ok_or_else(absent)
    }

    /// Shares something and returns the files that came of it.
    pub(super) async fn share(&self, share: Share) -> Result<Vec<FileRow>, Failure> {
        let updates = within_patience(self.client()?.ask(Command::Share(share))).await?;
        Ok(updates
            .into_iter()
            .filter_map(|update| if let Update::File(file) = update { Some(file) } else { None })
            .collect())
    }

    /// Ends the process in order; one that does not end is killed.
    pub(super) async fn stop(mut self) {
        self.leave().await;
        drop(self.engine.stdin.take());
        within(self.engine.wait()).await;
        // Fails only where it has ended already.
        let _ended = self.engine.kill().await;
    }

    /// Ends the process without a chance to say goodbye.
    pub(super) async fn kill(mut self) -> Outcome {
        let killed = self.engine.kill().await;
        self.leave().await;
        killed.map_err(|error| Ended::unexpected("demo", format!("could not end a process: {error}")))
    }

    async fn leave(&mut self) {
        if let Some(face) = self.face.take() {
            within(face.close()).await;
        }
    }
}

/// Gives a step as long as a slow machine needs, and no longer.
pub(super) async fn within_patience<T>(step: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(STEP, step).await.unwrap_or_else(|_| {
        Err(Failure::new(
            FailureKind::Timeout,
            "timeout",
            "a step took too long",
            "try again on a machine that is less busy",
        ))
    })
}

/// Time for one step.
const STEP: Duration = Duration::from_secs(120);
