//! `swapmeet host`: a tracker from this program, the same as `swapmeet-tracker serve`.

use std::{error::Error as _, path::Path};

use clap::Args;
use tracker::{Config, Ready, ServeArgs, StartError};

use super::{
    context::Context,
    log, out,
    talk::{Ended, Outcome},
};
use crate::engine::api::{Failure, FailureKind};

#[derive(Debug, Args)]
pub(super) struct Host {
    #[command(flatten)]
    serve: ServeArgs,
}

impl Host {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        log::start_on_stderr(&tracker::config::log_filter(context.globals.verbose))?;
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let announce = move |told: Ready| {
            // The other end waits as long as the tracker runs.
            let _gone = ready.send(told);
        };
        let interrupt = context.interrupt.clone();
        let running = run_tracker(self.serve, announce, async move { interrupt.first().await });
        let mut running = std::pin::pin!(running);
        tokio::select! {
            biased;
            Ok(told) = is_ready => match print_ready(context, &told) {
                // Who started us may have stopped reading: the tracker is still wanted.
                Ok(()) | Err(Ended::ClosedPipe) => running.await,
                failed => failed,
            },
            ended = &mut running => ended,
        }
    }
}

/// Runs a tracker on a free port of the loopback address, with everything in this folder.
pub(super) async fn run_in_place(
    data: &Path,
    ready: impl FnOnce(&str) + Send + 'static,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Outcome {
    let serve = ServeArgs {
        data: Some(data.to_owned()),
        listen: Some("127.0.0.1:0".to_owned()),
        registration: Some("open".to_owned()),
        ..ServeArgs::default()
    };
    run_tracker(serve, |told| ready(&told.link), shutdown).await
}

/// Runs a tracker on a thread and a runtime of its own, as it likes it.
async fn run_tracker(
    serve: ServeArgs,
    ready: impl FnOnce(Ready) + Send + 'static,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Outcome {
    let config = Config::load(&serve).map_err(|error| failure(&error.into()))?;
    let failed =
        |error: &dyn std::fmt::Display| Ended::unexpected("tracker", format!("could not start the tracker: {error}"));
    let runtime = tracker::runtime().map_err(|error| failed(&error))?;
    let running = tokio::task::spawn_blocking(move || runtime.block_on(tracker::run(config, ready, shutdown)));
    running.await.map_err(|error| failed(&error))?.map_err(|error| failure(&error).into())
}

fn print_ready(context: &mut Context, ready: &Ready) -> Outcome {
    context.out.bytes(tracker::cli::ready_line(ready).as_bytes())?;
    context.out.bytes(b"\n")?;
    context.out.flush()
}

fn failure(error: &StartError) -> Failure {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        message = format!("{message}: {source}");
        cause = source.source();
    }
    let kind =
        if error.exit_code() == FailureKind::Usage.exit_code() { FailureKind::Usage } else { FailureKind::Unexpected };
    Failure::new(kind, "tracker", out::clean(&message), "see swapmeet host --help")
}
