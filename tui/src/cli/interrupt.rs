//! Ctrl-C and its relatives: the first one ends the command in order, the second one at once.

use std::process;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{
    secret,
    talk::{Ended, Outcome},
};
use crate::engine::api::FailureKind;

/// Tells when the program is asked to stop, by SIGINT, SIGTERM or SIGHUP.
#[derive(Debug, Clone)]
pub(super) struct Interrupt {
    first: CancellationToken,
}

impl Interrupt {
    /// Takes these signals over. Works on a thread of its own: a second one ends even a program that is stuck.
    pub(super) fn listen() -> Result<Self, Ended> {
        let first = CancellationToken::new();
        let listen = |kind| {
            signal(kind).map_err(|error| Ended::unexpected("signals", format!("could not listen for signals: {error}")))
        };
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut terminate = listen(SignalKind::terminate())?;
        let mut hangup = listen(SignalKind::hangup())?;
        let told = first.clone();
        // Lives exactly as long as the runtime: there is nothing to put in order.
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => (),
                    _ = terminate.recv() => (),
                    _ = hangup.recv() => (),
                }
                if told.is_cancelled() {
                    secret::restore_terminal();
                    process::exit(i32::from(FailureKind::Interrupted.exit_code()));
                }
                told.cancel();
            }
        });
        Ok(Self { first })
    }

    /// Waits for the first one.
    pub(super) async fn first(&self) {
        self.first.cancelled().await;
    }

    /// Fails as interrupted if the first one came.
    pub(super) fn check(&self) -> Outcome {
        if self.first.is_cancelled() { Err(Ended::interrupted()) } else { Ok(()) }
    }
}
