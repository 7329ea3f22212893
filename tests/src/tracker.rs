//! A real tracker on a free port of 127.0.0.1, with its data in a temporary folder.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{self, Running};

/// How a tracker is started, and started again.
#[derive(Debug, Clone, Default)]
struct How {
    /// Arguments for `serve`.
    arguments: Vec<String>,
    /// A network namespace.
    room: Option<String>,
    /// Of its environment.
    variables: Vec<(String, String)>,
}

/// A tracker that runs. Ended on drop; its folder goes with it.
#[derive(Debug)]
pub struct Tracker {
    running: Option<Running>,
    /// The join link that it printed.
    pub link: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its web port, as a URL.
    pub web: Option<String>,
    how: How,
    folder: TempDir,
}

impl Tracker {
    /// Starts one over an empty folder.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with more arguments for `serve`.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_at(How { arguments: owned(arguments), ..How::default() }, "127.0.0.1:0")
    }

    /// Starts one with variables in its environment.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn start_under(variables: &[(String, String)]) -> Self {
        Self::start_at(How { variables: variables.to_vec(), ..How::default() }, "127.0.0.1:0")
    }

    /// Starts one in a network namespace.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn start_within(room: &str, listen: &str, arguments: &[&str]) -> Self {
        let how = How { arguments: owned(arguments), room: Some(room.to_owned()), ..How::default() };
        Self::start_at(how, listen)
    }

    fn start_at(how: How, listen: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let (running, ready) = serve(&how, folder.path(), listen);
        let Ready { link, address, web } = ready;
        Self { running: Some(running), link, address, web, how, folder }
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Its process.
    ///
    /// # Panics
    /// While it is down.
    #[must_use]
    pub fn process(&self) -> &Running {
        self.running.as_ref().expect("the tracker is up")
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        drop(self.running.take());
    }

    /// Ends it with SIGTERM and returns its exit code.
    ///
    /// # Panics
    /// While it is down, or when it does not end.
    pub fn stop(&mut self) -> Option<i32> {
        self.running.take().expect("the tracker is up").stop().code
    }

    /// Starts it again over the same data, at the same address.
    ///
    /// # Panics
    /// When it does not become ready, or has another identity than before.
    pub fn restart(&mut self) {
        self.kill();
        let (running, ready) = serve(&self.how, self.folder.path(), &self.address.to_string());
        assert_eq!(ready.link, self.link, "a restarted tracker is the same tracker");
        self.running = Some(running);
    }

    /// Runs `swapmeet-tracker --json` with these arguments beside it, over its data, and returns what it printed.
    ///
    /// # Panics
    /// When it does not end well.
    #[must_use]
    pub fn administer(&self, arguments: &[&str]) -> Vec<Value> {
        let mut command = program::command_within(self.how.room.as_deref(), "swapmeet-tracker", self.folder.path());
        let ended = Running::start(command.arg("--json").args(arguments).arg("--data").arg(self.data()), b"").finish();
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
        ended.stdout.lines().map(|line| serde_json::from_str(line).expect("one JSON object in a line")).collect()
    }

    /// The fingerprint in its join link.
    ///
    /// # Panics
    /// When the link has none.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        self.link.split_once('#').expect("a join link ends with the fingerprint").1
    }
}

struct Ready {
    link: String,
    address: SocketAddr,
    web: Option<String>,
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|&argument| argument.to_owned()).collect()
}

fn serve(How { arguments, room, variables }: &How, folder: &Path, listen: &str) -> (Running, Ready) {
    let mut command = program::command_within(room.as_deref(), "swapmeet-tracker", folder);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command.args(["serve", "--data"]).arg(folder.join("data")).args(["--listen", listen]);
    // Only scenarios about it need a web port.
    if !arguments.iter().any(|argument| argument == "--web") {
        command.args(["--web", "off"]);
    }
    command.args(arguments);
    let mut running = Running::start(&mut command, b"");
    let line = running.line("the word ready", |_| true);
    let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in the ready line {line:?}"));
    assert_eq!((ready["v"].as_u64(), ready["type"].as_str()), (Some(1), Some("ready")), "{line}");
    let text = |field: &str| ready[field].as_str().unwrap_or_else(|| panic!("no {field} in {line}")).to_owned();
    let address = text("listen").parse().expect("listen is an address");
    let web = ready["web"].as_str().map(str::to_owned);
    (running, Ready { link: text("link"), address, web })
}
