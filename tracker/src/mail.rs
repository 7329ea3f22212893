//! The one way by which messages and acknowledgements reach the database: whatever comes while one commit is under way
//! goes into the next together, so that a disk that takes a few milliseconds for each carries hundreds a second.

use std::{sync::Arc, time::Duration};

use shared::limits::{MAIL_BATCH_MAX, MAIL_WAITING_MAX, MESSAGE_LIFE, MESSAGE_SWEEP};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    handler::now_ms,
    store::{Mail, Mailed, Store, StoreError},
};

/// Where mail is handed in.
#[derive(Debug, Clone)]
pub struct Mailroom(mpsc::Sender<Letter>);

/// What was handed in and is not written down yet.
#[derive(Debug)]
pub struct Pending(mpsc::Receiver<Letter>);

#[derive(Debug)]
struct Letter {
    mail: Mail,
    answer: oneshot::Sender<Result<Mailed, StoreError>>,
}

impl Mailroom {
    /// A mailroom, and what [`run`] works off.
    #[must_use]
    pub fn new() -> (Self, Pending) {
        let (send, pending) = mpsc::channel(MAIL_WAITING_MAX);
        (Self(send), Pending(pending))
    }

    /// Waits until it is written down.
    ///
    /// # Errors
    /// When it was refused, or could not be written down.
    pub async fn carry(&self, mail: Mail) -> Result<Mailed, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Letter { mail, answer }).await.map_err(|_| StoreError::NotWritten)?;
        answered.await.map_err(|_| StoreError::NotWritten)?
    }
}

/// Writes mail down until stopped, and then what is left. Forgets messages whose time is over.
pub async fn run(mut pending: Pending, store: Arc<dyn Store>, stop: CancellationToken) {
    let mut sweep = tokio::time::interval(MESSAGE_SWEEP);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut letters = Vec::with_capacity(MAIL_BATCH_MAX);
    loop {
        tokio::select! {
            biased;
            count = pending.0.recv_many(&mut letters, MAIL_BATCH_MAX) => match count {
                0 => return,
                _ => write(&*store, &mut letters).await,
            },
            _ = sweep.tick() => forget_old(&*store).await,
            () = stop.cancelled() => pending.0.close(),
        }
    }
}

async fn write(store: &dyn Store, letters: &mut Vec<Letter>) {
    let (batch, answers): (Vec<Mail>, Vec<_>) = letters.drain(..).map(|letter| (letter.mail, letter.answer)).unzip();
    match store.mail(batch, now_ms()).await {
        Ok(mailed) => {
            for (answer, mailed) in answers.into_iter().zip(mailed) {
                // Whoever asked may be gone; what was written down counts.
                let _gone = answer.send(mailed);
            }
        }
        // Whoever waits learns it by the end of their answer.
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "messages could not be written down");
        }
    }
}

async fn forget_old(store: &dyn Store) {
    match store.forget_messages(now_ms() - millis(MESSAGE_LIFE)).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "messages were forgotten: their time is over"),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "old messages could not be forgotten");
        }
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
