//! Programs that hand one file from person to person with a code, sendme and croc: each in a network namespace of its
//! own, where it reaches nobody else. That takes root.

use std::{
    cell::RefCell,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use tests::{PATIENCE, Running, lab::Room};

use crate::ends::{Ends, is_installed, serve, timed};

/// A namespace with a network card that leads nowhere, because these programs look for one; both ends are in it.
#[derive(Debug)]
struct Alone {
    // It outlives what runs in it.
    _room: Room,
    ends: Ends,
}

impl Alone {
    fn new() -> Result<Self> {
        let room = Room::new("alone").map_err(|error| anyhow!("there is no network namespace: {error}"))?;
        for arguments in [
            &["link", "add", "card", "type", "veth", "peer", "name", "wall"][..],
            &["link", "set", "wall", "up"],
            &["addr", "add", "10.78.0.1/24", "dev", "card"],
            &["link", "set", "card", "up"],
            &["route", "add", "default", "dev", "card"],
        ] {
            room.ip(arguments).map_err(|error| anyhow!("{error}"))?;
        }
        let name = Some(room.name.clone());
        let ends = Ends { server: name.clone(), client: name, address: "10.78.0.1".to_owned() };
        Ok(Self { _room: room, ends })
    }
}

/// `sendme send`, which goes on offering one file. Ended on drop.
#[derive(Debug)]
pub(crate) struct Sendme {
    _server: Running,
    program: String,
    ticket: String,
    alone: Alone,
    _folder: tempfile::TempDir,
}

impl Sendme {
    pub(crate) fn start(file: &Path) -> Result<Self> {
        let program = beside_or_installed("sendme")?;
        let (alone, folder) = (Alone::new()?, tempfile::tempdir()?);
        let mut command = alone.ends.serving(&program);
        command.args(["send", "--relay", "disabled", "--ticket-type", "addresses"]).arg(file);
        // It keeps its store where it is started.
        command.current_dir(folder.path());
        let (server, line) = serve(&command, "sendme receive ")?;
        let ticket = line.split("sendme receive ").nth(1).and_then(|rest| rest.split_whitespace().next());
        let ticket = ticket.context("sendme said no ticket")?.to_owned();
        Ok(Self { _server: server, program, ticket, alone, _folder: folder })
    }

    pub(crate) fn fetch(&self, file: &Path, to: &Path) -> Result<f64> {
        fs::create_dir(to)?;
        let mut command = self.alone.ends.fetching(&self.program);
        command.args(["receive", "--relay", "disabled", &self.ticket]).current_dir(to);
        let seconds = timed(&mut command, to)?;
        whole(file, to)?;
        Ok(seconds)
    }
}

/// croc's relay, which each transfer takes. Ended on drop.
#[derive(Debug)]
pub(crate) struct Croc {
    relay: RefCell<Running>,
    alone: Alone,
}

impl Croc {
    pub(crate) fn start() -> Result<Self> {
        ensure!(is_installed("croc"), "croc is not installed: this system has no package of that name");
        let alone = Alone::new()?;
        let (relay, _line) = serve(alone.ends.serving("croc").args(["--debug", "relay"]), "starting TCP server")?;
        Ok(Self { relay: RefCell::new(relay), alone })
    }

    /// Sends and fetches with a code, which goes through the environment, since others may read command lines.
    pub(crate) fn fetch(&self, more: &[&str], file: &Path, to: &Path) -> Result<f64> {
        fs::create_dir(to)?;
        let croc = |command: &mut Command| {
            command.env("CROC_SECRET", CODE).args(["--yes", "--ignore-stdin", "--relay", "10.78.0.1:9009"]).args(more);
        };
        // What the relay said of the transfer before.
        while self.relay.borrow_mut().next_line(Duration::ZERO).is_some() {}
        let mut send = self.alone.ends.serving("croc");
        croc(&mut send);
        let _sender = Running::start(send.args(["send", "--no-local"]).arg(file), b"");
        // The sender is at the relay, and waits for the other.
        while !self.relay.borrow_mut().next_line(PATIENCE).context("nobody came to croc's relay")?.contains("has 1") {}
        let mut receive = self.alone.ends.fetching("croc");
        croc(receive.current_dir(to));
        let seconds = timed(&mut receive, to)?;
        whole(file, to)?;
        Ok(seconds)
    }
}

/// Asserts that the file arrived, by its name and size.
fn whole(file: &Path, to: &Path) -> Result<()> {
    let name = file.file_name().context("the file has no name")?;
    let arrived = fs::metadata(to.join(name)).context("nothing arrived")?.len();
    ensure!(arrived == fs::metadata(file)?.len(), "only {arrived} bytes arrived");
    Ok(())
}

/// A program in the folder that `tests/bench` builds others in, or wherever it is installed.
fn beside_or_installed(name: &str) -> Result<String> {
    let built = env::var_os("BENCH_OTHERS").map(|folder| PathBuf::from(folder).join("bin").join(name));
    // It is started elsewhere, where a relative path leads nowhere.
    let built = built.and_then(|path| path.canonicalize().ok()).and_then(|path| path.to_str().map(str::to_owned));
    if built.is_none() {
        ensure!(is_installed(name), "{name} is not installed");
    }
    Ok(built.unwrap_or_else(|| name.to_owned()))
}

/// What both sides of croc know.
const CODE: &str = "1234-correct-horse-battery";
