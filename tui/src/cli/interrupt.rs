//! Ctrl-C and its relatives: the first one ends the command in order, the second one at once.

use std::{
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{secret, talk::Ended};
use crate::engine::api::FailureKind;

/// Tells when the program is asked to stop, by SIGINT, SIGTERM or SIGHUP.
#[derive(Debug, Clone)]
pub(super) struct Interrupt {
    first: CancellationToken,
    patient: Arc<AtomicBool>,
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
        let patient = Arc::new(AtomicBool::new(false));
        let (told, is_patient) = (first.clone(), patient.clone());
        // Lives exactly as long as the runtime: there is nothing to put in order.
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => (),
                    _ = terminate.recv() => (),
                    _ = hangup.recv() => (),
                }
                if told.is_cancelled() && !is_patient.load(Ordering::Relaxed) {
                    secret::restore_terminal();
                    process::exit(i32::from(FailureKind::Interrupted.exit_code()));
                }
                told.cancel();
            }
        });
        Ok(Self { first, patient })
    }

    /// Waits for the first one.
    pub(super) async fn first(&self) {
        self.first.cancelled().await;
    }

    /// From now on a second one is overheard: what is put in order then takes little time and must be done.
    pub(super) fn be_patient(&self) {
        self.patient.store(true, Ordering::Relaxed);
    }
}
