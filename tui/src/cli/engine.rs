//! `swapmeet engine`: the background engine of this profile. `run` in the foreground is a headless seed box.

use std::{
    env,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use clap::{Args, Subcommand};
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command as Process},
};

use super::{
    context::Context,
    out::{Cell, Column, Record},
    talk::{Ended, Outcome},
};
use crate::{
    engine::{
        api::{Command, Failure, FailureKind},
        client::Client,
        face,
    },
    profile::Profile,
};

#[derive(Debug, Args)]
pub(super) struct Engine {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run it in the foreground until stopped
    Run(Run),
    /// Whether one runs; also without a verb
    Status,
    /// Stop it; transfers resume at the next start
    Stop,
}

#[derive(Debug, Args)]
struct Run {
    /// Leave the terminal: go on when it closes
    #[arg(long, hide = true)]
    leave_terminal: bool,
    /// Stop when stdin ends, which also happens when the program that started us dies
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

impl Engine {
    /// Whether it is the one that runs until stopped.
    pub(super) fn is_run(&self) -> bool {
        matches!(self.verb, Some(Verb::Run(_)))
    }

    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        match self.verb {
            Some(Verb::Run(run)) => run.run(context).await,
            None | Some(Verb::Status) => status(context).await,
            Some(Verb::Stop) => stop(context).await,
        }
    }
}

impl Run {
    async fn run(self, context: &mut Context) -> Outcome {
        if self.leave_terminal {
            // Fails only for a leader of its own group, which has no terminal to leave.
            let _leader_already = rustix::process::setsid();
        }
        let profile = context.prepared_profile()?;
        let interrupt = context.interrupt.clone();
        let shutdown = async move {
            tokio::select! {
                () = interrupt.first() => (),
                () = stdin_ended(), if self.until_stdin_ends => (),
            }
        };
        let record = EngineRecord::running(&profile, std::process::id());
        let mut announced = Ok(());
        face::run_engine(&profile, || announced = context.out.card(&record), shutdown).await?;
        match announced {
            // Who started us may have stopped reading: the engine was still wanted.
            Err(Ended::ClosedPipe) => Ok(()),
            announced => announced,
        }
    }
}

async fn status(context: &mut Context) -> Outcome {
    if context.running_client().await?.is_none() {
        let profile = context.profile()?;
        context.out.card(&EngineRecord::stopped(&profile))?;
        return Err(not_running().into());
    }
    let status = context.status().await?;
    let record = EngineRecord::running(&context.profile()?, status.pid);
    context.out.card(&record)
}

async fn stop(context: &mut Context) -> Outcome {
    let client = context.running_client().await?.ok_or_else(not_running)?;
    let profile = context.profile()?;
    match client.ask(Command::Stop).await {
        Ok(_) => (),
        // It may be gone before its answer arrived.
        Err(failure) if failure.code == crate::engine::client::engine_gone().code => (),
        Err(failure) => return Err(failure.into()),
    }
    let lock = profile.lock();
    let released = tokio::task::spawn_blocking(move || wait_for_release(&lock));
    let patience = context.globals.timeout.unwrap_or(STOP_PATIENCE);
    match tokio::time::timeout(patience, released).await {
        Ok(Ok(Ok(()))) => context.out.card(&EngineRecord::stopped(&profile)),
        Ok(Ok(Err(error))) => Err(Ended::file("watch", &profile.lock(), &error)),
        Ok(Err(error)) => Err(Ended::unexpected("stop", error.to_string())),
        Err(_) => Err(Failure::new(
            FailureKind::Timeout,
            "timeout",
            "the engine has not stopped in time",
            "see swapmeet engine status",
        )
        .into()),
    }
}

/// Waits until the engine has let go of its lock: then it is gone and everything is on disk.
fn wait_for_release(lock: &Path) -> io::Result<()> {
    match File::open(lock) {
        Ok(file) => file.lock_shared(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The engine of this profile that goes on after this command, started if there is none.
pub(super) async fn lasting(context: &mut Context) -> Result<Client, Ended> {
    if let Some(client) = context.running_client().await? {
        return Ok(client);
    }
    start_in_background(context).await?;
    context.running_client().await?.ok_or_else(|| not_running().into())
}

async fn start_in_background(context: &Context) -> Outcome {
    let mut process = Process::new(own_program()?);
    process.args(["--profile", &context.profile()?.name, "engine", "run", "--json", "--leave-terminal"]);
    process.stdin(Stdio::null());
    is_ready(&mut spawn(&mut process)?).await
}

/// The file of this program, to be run again.
pub(super) fn own_program() -> Result<PathBuf, Ended> {
    env::current_exe().map_err(|error| not_started(&error))
}

/// Starts a process that runs an engine.
pub(super) fn spawn(process: &mut Process) -> Result<Child, Ended> {
    process.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|error| not_started(&error))
}

/// Waits until a started engine says that it is there.
pub(super) async fn is_ready(engine: &mut Child) -> Outcome {
    let (stdout, stderr) = (engine.stdout.take(), engine.stderr.take());
    let first_line = async {
        let mut line = String::new();
        match stdout {
            Some(stdout) => BufReader::new(stdout).take(LINE_BYTES_MAX).read_line(&mut line).await.map(|_| line),
            None => Ok(line),
        }
    };
    let line = tokio::time::timeout(START_PATIENCE, first_line).await.map_err(|_| not_started(&"it takes too long"))?;
    if !line.map_err(|error| not_started(&error))?.is_empty() {
        return Ok(());
    }
    let mut said = String::new();
    if let Some(stderr) = stderr {
        stderr.take(LINE_BYTES_MAX).read_to_string(&mut said).await.map_err(|error| not_started(&error))?;
    }
    let why = serde_json::from_str::<serde_json::Value>(said.lines().next().unwrap_or_default())
        .ok()
        .and_then(|error| error["message"].as_str().map(str::to_owned));
    Err(not_started(&why.unwrap_or_else(|| "it ended at once; see its log".to_owned())))
}

fn not_started(why: &dyn std::fmt::Display) -> Ended {
    Ended::unexpected("engine_start", format!("could not start the engine: {why}"))
}

/// Ends when stdin does. Reads and drops what comes before.
async fn stdin_ended() {
    let mut stdin = tokio::io::stdin();
    let mut block = [0; 256];
    // An error is an end, too.
    while stdin.read(&mut block).await.is_ok_and(|count| count > 0) {}
}

fn not_running() -> Failure {
    Failure::new(FailureKind::NotFound, "no_engine", "no engine is running", "swapmeet engine run starts one")
}

/// The engine of a profile, as a process.
#[derive(Debug, Serialize)]
struct EngineRecord {
    state: &'static str,
    pid: Option<u32>,
    profile: String,
    socket: String,
}

impl EngineRecord {
    fn running(profile: &Profile, pid: u32) -> Self {
        Self { state: "running", pid: Some(pid), ..Self::stopped(profile) }
    }

    fn stopped(profile: &Profile) -> Self {
        let socket = profile.socket().to_string_lossy().into_owned();
        Self { state: "stopped", pid: None, profile: profile.name.clone(), socket }
    }
}

impl Record for EngineRecord {
    fn kind(&self) -> &'static str {
        "engine"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] =
            &[Column::text("STATE"), Column::text("PID"), Column::text("PROFILE"), Column::text("SOCKET")];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        let pid = self.pid.map_or(Cell::Empty, |pid| Cell::Count(pid.into()));
        vec![self.state.into(), pid, self.profile.as_str().into(), self.socket.as_str().into()]
    }
}

/// Time a background engine may take until it answers.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// Time a stopping engine may take.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of the first line of an engine that starts.
const LINE_BYTES_MAX: u64 = 64 * 1024;
