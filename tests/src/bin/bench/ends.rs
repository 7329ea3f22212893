//! Where the programs run that a measurement is about, and how those are started that are not ours.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use tests::{PATIENCE, Running, lab};

/// The two ends of a path: network namespaces, or this machine's own network for both.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    /// The namespace of who has the file.
    pub(crate) server: Option<String>,
    /// The namespace of who wants it.
    pub(crate) client: Option<String>,
    /// Where the server listens.
    pub(crate) address: String,
}

impl Ends {
    /// Both on loopback.
    pub(crate) fn here() -> Self {
        Self { server: None, client: None, address: "127.0.0.1".to_owned() }
    }

    /// A command at the server's end.
    pub(crate) fn serving(&self, program: &str) -> Command {
        within(self.server.as_deref(), program)
    }

    /// A command at the client's end.
    pub(crate) fn fetching(&self, program: &str) -> Command {
        within(self.client.as_deref(), program)
    }
}

fn within(room: Option<&str>, program: &str) -> Command {
    room.map_or_else(|| Command::new(program), |room| lab::within(room, program, &[]))
}

/// Starts a program that serves, and waits for a line with this in it on stdout or stderr, which is returned too.
pub(crate) fn serve(command: &Command, ready: &str) -> Result<(Running, String)> {
    let mut joined = Command::new("sh");
    joined.args(["-c", "exec \"$@\" 2>&1", "sh"]).arg(command.get_program()).args(command.get_args());
    joined.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        joined.current_dir(folder);
    }
    let mut server = Running::start(&mut joined, b"");
    let deadline = Instant::now() + READY;
    while let Some(line) = server.next_line(deadline.saturating_duration_since(Instant::now())) {
        if line.contains(ready) {
            return Ok((server, line));
        }
    }
    server.kill();
    bail!("{} does not serve: {}", command.get_program().display(), server.finish().stdout.trim())
}

/// Seconds of a command and of making what it wrote durable, as the measured program does.
pub(crate) fn timed(command: &mut Command, written: &Path) -> Result<f64> {
    let name = command.get_program().display().to_string();
    ensure!(is_installed(&name), "{name} is not installed");
    let start = Instant::now();
    let running = Running::start(command, b"");
    ensure!(running.ended_within(PATIENCE), "{name} does not come to its end");
    let ended = running.finish();
    ensure!(ended.code == Some(0), "{name} failed: {}", ended.stderr.trim());
    let synced = Command::new("sync").arg("-f").arg(written).status()?;
    ensure!(synced.success(), "sync -f failed");
    Ok(start.elapsed().as_secs_f64())
}

/// Bytes that a command wrote to a file, and the seconds that it took; after `patience` it is ended.
pub(crate) fn within_patience(command: &mut Command, written: &Path, patience: Duration) -> Result<(u64, f64)> {
    let start = Instant::now();
    let running = Running::start(command, b"");
    let has_ended = running.ended_within(patience);
    let (bytes, seconds) = (fs::metadata(written).map_or(0, |metadata| metadata.len()), start.elapsed().as_secs_f64());
    if has_ended {
        let ended = running.finish();
        ensure!(ended.code == Some(0), "{} failed: {}", command.get_program().display(), ended.stderr);
    }
    Ok((bytes, seconds))
}

/// A port of 127.0.0.1 that is free now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Whether a program can be started.
pub(crate) fn is_installed(program: &str) -> bool {
    Command::new("sh").args(["-c", "command -v \"$0\" >&2", program]).output().is_ok_and(|found| found.status.success())
}

/// What was written before shall not be written during the measurement.
pub(crate) fn settle() {
    rustix::fs::sync();
}

/// A server on this machine has long begun to serve then.
const READY: Duration = Duration::from_secs(60);
