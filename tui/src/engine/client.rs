//! How a face talks to the engine: attached over the local socket to one that runs, or to its own.

use tokio::sync::mpsc;

use super::api::{Command, Failure, FailureKind, Update};

/// A face's end. Cheap to clone; calls run side by side.
#[derive(Debug, Clone)]
pub struct Client {
    calls: mpsc::Sender<Call>,
}

/// A command on its way to an engine, with the place its updates go to.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub command: Command,
    /// Updates, then the end. Dropped by the face that is no longer interested.
    pub updates: mpsc::Sender<Answer>,
}

/// An item of a call's stream of answers.
#[derive(Debug)]
pub enum Answer {
    /// One more update.
    Update(Update),
    /// The call is over.
    Done(Result<(), Failure>),
}

/// The answers to one call.
#[derive(Debug)]
pub struct Updates {
    receiver: mpsc::Receiver<Answer>,
}

impl Client {
    /// A client whose calls arrive at the returned receiver.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Call>) {
        let (calls, receiver) = mpsc::channel(shared::limits::FACES_MAX);
        (Self { calls }, receiver)
    }

    /// Begins a call. Dropping the returned stream ends the face's interest in it.
    pub async fn call(&self, command: Command) -> Updates {
        let (updates, receiver) = mpsc::channel(shared::limits::UPDATES_WAITING_MAX);
        // Where the engine is gone, the sender in the lost call is dropped and the stream ends with that failure.
        let _gone = self.calls.send(Call { command, updates }).await;
        Updates { receiver }
    }

    /// Passes a call on; its updates go where they went before. Where the engine is gone, the call ends as lost.
    pub(super) async fn pass(&self, call: Call) {
        // The lost call is dropped with the error, which ends it.
        let _gone = self.calls.send(call).await;
    }

    /// Runs a call to its end and returns all its updates.
    ///
    /// # Errors
    /// The failure that ended it.
    pub async fn ask(&self, command: Command) -> Result<Vec<Update>, Failure> {
        let mut updates = self.call(command).await;
        let mut all = Vec::new();
        while let Some(update) = updates.next().await? {
            all.push(update);
        }
        Ok(all)
    }
}

impl Updates {
    /// The next update, or `None` at the good end of the call. Safe to cancel.
    ///
    /// # Errors
    /// The failure that ended the call.
    pub async fn next(&mut self) -> Result<Option<Update>, Failure> {
        match self.receiver.recv().await {
            Some(Answer::Update(update)) => Ok(Some(update)),
            Some(Answer::Done(Ok(()))) => Ok(None),
            Some(Answer::Done(Err(failure))) => Err(failure),
            None => Err(engine_gone()),
        }
    }
}

/// The engine ended in the middle of a call.
#[must_use]
pub fn engine_gone() -> Failure {
    Failure::new(
        FailureKind::Unexpected,
        "engine_gone",
        "the engine stopped before it answered",
        "run the command again; transfers go on where they stopped",
    )
}
