//! A member with one device: a home folder, an account, and the real `swapmeet` at their fingertips.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    program::{self, Ended, PATIENCE, Running},
    tracker::Tracker,
};

/// The password of every member here.
pub const PASSWORD: &str = "correct horse battery";

/// A member's device.
#[derive(Debug)]
pub struct Member {
    /// The account's name.
    pub name: String,
    /// The join link of the tracker.
    pub link: String,
    /// The network namespace that its programs run in, if not this one.
    room: Option<String>,
    /// Variables that its programs see beside the usual ones.
    pub variables: Vec<(&'static str, &'static str)>,
    folder: TempDir,
}

/// What a command answered.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit code; a signal counts as -1.
    pub code: i32,
    /// What it printed as data.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
    command: String,
}

/// `engine run` of a member. Killed on drop.
#[derive(Debug)]
pub struct Engine {
    running: Running,
}

impl Member {
    /// Registers an account of this name at the tracker.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn new(tracker: &Tracker, name: &str) -> Self {
        let member = Self::stranger(tracker, name);
        member.register(name, PASSWORD).ok();
        member
    }

    /// A device of someone who has no account yet.
    ///
    /// # Panics
    /// When no folder can be made.
    #[must_use]
    pub fn stranger(tracker: &Tracker, name: &str) -> Self {
        Self::stranger_within(None, tracker, name)
    }

    /// The same, with programs that run in a network namespace.
    ///
    /// # Panics
    /// When no folder can be made.
    #[must_use]
    pub fn stranger_within(room: Option<String>, tracker: &Tracker, name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("swapmeet-").tempdir().expect("a temporary folder can be made");
        Self { name: name.to_owned(), link: tracker.link.clone(), room, variables: Vec::new(), folder }
    }

    /// Registers an account of this name from within a network namespace.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn new_in(tracker: &Tracker, name: &str, namespace: &str) -> Self {
        let member = Self { room: Some(namespace.to_owned()), ..Self::stranger(tracker, name) };
        member.register(name, PASSWORD).ok();
        member
    }

    /// Another device of the same account.
    ///
    /// # Panics
    /// When the sign-in fails.
    #[must_use]
    pub fn second_device(&self, tracker: &Tracker) -> Self {
        let device = Self { room: self.room.clone(), ..Self::stranger(tracker, &self.name) };
        device
            .run_with_input(&["login", &self.name, "--tracker", &tracker.link, "--password-stdin"], PASSWORD.as_bytes())
            .ok();
        device
    }

    /// `register` with this name and password.
    #[must_use]
    pub fn register(&self, name: &str, password: &str) -> Output {
        self.run_with_input(&["register", name, "--tracker", &self.link, "--password-stdin"], password.as_bytes())
    }

    /// The folder that everything of this device is under.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.folder.path()
    }

    /// Where its programs note what they do.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.home().join("state/swapmeet.log")
    }

    /// Where its downloads go.
    #[must_use]
    pub fn downloads(&self) -> PathBuf {
        self.home().join("downloads")
    }

    /// A folder beside the program's own, for files to share.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn desk(&self) -> PathBuf {
        let desk = self.home().join("desk");
        fs::create_dir_all(&desk).expect("a folder can be made");
        desk
    }

    /// Writes a file on the desk and returns its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.desk().join(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder can be made");
        fs::write(&path, bytes).unwrap_or_else(|error| panic!("could not write {}: {error}", path.display()));
        path
    }

    /// `swapmeet` with these arguments, on this device, not started.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program::command_within(self.room.as_deref(), "swapmeet", self.home());
        command.env("SWAPMEET_HOME", self.home()).envs(self.variables.iter().copied()).args(arguments);
        command
    }

    /// Starts `swapmeet --json` with these arguments.
    #[must_use]
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(&["--json", "--no-input"]).args(arguments), b"")
    }

    /// Starts `swapmeet --json` with these arguments, to be told more later.
    #[must_use]
    pub fn start_listening(&self, arguments: &[&str]) -> Running {
        Running::start_listening(self.command(&["--json"]).args(arguments))
    }

    /// Runs `swapmeet --json` with these arguments to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with_input(arguments, b"")
    }

    /// The same with something on stdin.
    #[must_use]
    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        self.run_within(PATIENCE, arguments, input)
    }

    /// The same with a deadline of its own.
    #[must_use]
    pub fn run_within(&self, patience: Duration, arguments: &[&str], input: &[u8]) -> Output {
        let running = Running::start(self.command(&["--json", "--no-input"]).args(arguments), input);
        Output::new(arguments, running.finish_within(patience))
    }

    /// Runs `swapmeet` without `--json`, as in a pipe.
    #[must_use]
    pub fn run_plain(&self, arguments: &[&str]) -> Output {
        Output::new(arguments, Running::start(&mut self.command(arguments), b"").finish())
    }

    /// Shares paths and returns the id of the first file (or folder) shared.
    ///
    /// # Panics
    /// When that fails.
    pub fn share(&self, paths: &[&Path], options: &[&str]) -> String {
        let paths: Vec<&str> = paths.iter().map(|path| path.to_str().expect("a path of a test is UTF-8")).collect();
        let mut arguments = vec!["share"];
        arguments.extend(options);
        arguments.push("--");
        arguments.extend(paths);
        let output = self.run_within(PATIENCE * 10, &arguments, b"").ok();
        let records = output.records();
        let folder = records.iter().find(|record| record["type"] == "folder");
        let first = folder.or_else(|| records.iter().find(|record| record["type"] == "file"));
        text(first.unwrap_or_else(|| panic!("nothing was shared: {output:?}")), "id")
    }

    /// Runs the engine of this device and waits until it is online.
    ///
    /// # Panics
    /// When it does not come online.
    #[must_use]
    pub fn engine(&self) -> Engine {
        let engine = self.engine_offline();
        let status = self.run(&["status"]).ok().one("status");
        assert_eq!((text(&status, "connection"), number(&status, "pid")), ("online".to_owned(), engine.pid().into()));
        engine
    }

    /// Runs the engine of this device and waits until it serves its socket.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn engine_offline(&self) -> Engine {
        let mut running = self.start(&["engine", "run"]);
        running.line("the engine's record", |line| record(line).is_some_and(|record| record["type"] == "engine"));
        Engine { running }
    }
}

impl Output {
    fn new(arguments: &[&str], ended: Ended) -> Self {
        let command = format!("swapmeet {}", arguments.join(" "));
        Self { code: ended.code.unwrap_or(-1), stdout: ended.stdout, stderr: ended.stderr, command }
    }

    /// This output, of a command that had to end well.
    ///
    /// # Panics
    /// When the exit code is not 0.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self}");
        self
    }

    /// This output, of a command that had to fail in this way, with its error record.
    ///
    /// # Panics
    /// When the exit code or the record says something else.
    pub fn fails(self, code: i32) -> Value {
        assert_eq!(self.code, code, "{self}");
        let error = self.error();
        assert_eq!(error["exit"].as_i64(), Some(i64::from(code)), "{self}");
        error
    }

    /// The records on stdout.
    ///
    /// # Panics
    /// When a line is not an object with `v` and `type`.
    pub fn records(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| record(line).unwrap_or_else(|| panic!("not a record: {line:?}\n{self}")))
            .collect()
    }

    /// The only record of this type.
    ///
    /// # Panics
    /// When there is none, or more than one.
    pub fn one(&self, kind: &str) -> Value {
        let mut records: Vec<Value> = self.records().into_iter().filter(|record| record["type"] == kind).collect();
        assert_eq!(records.len(), 1, "one {kind} record was expected\n{self}");
        records.remove(0)
    }

    /// The error record on stderr.
    ///
    /// # Panics
    /// When there is none, or it lacks a field.
    pub fn error(&self) -> Value {
        let error = self.stderr.lines().filter_map(record).rfind(|record| record["type"] == "error");
        let error = error.unwrap_or_else(|| panic!("no error record\n{self}"));
        for field in ["code", "message", "hint"] {
            assert!(error[field].is_string(), "no {field} in the error record\n{self}");
        }
        error
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` ended with {}\nstdout:\n{}\nstderr:\n{}", self.command, self.code, self.stdout, self.stderr)
    }
}

impl Engine {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Its process.
    #[must_use]
    pub const fn process(&self) -> &Running {
        &self.running
    }

    /// Ends it with SIGKILL.
    pub fn kill(mut self) {
        self.running.kill();
    }

    /// Ends it with SIGTERM, as a service manager does.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn stop(self) {
        self.running.signal(Signal::TERM);
        let ended = self.running.finish();
        assert_eq!(ended.code, Some(0), "a stopped engine ends well\n{}", ended.stderr);
    }
}

/// A line of `--json` output: an object with `v` 1 and a `type`.
#[must_use]
pub fn record(line: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(line).ok()?;
    (value["v"] == 1 && value["type"].is_string()).then_some(value)
}

/// The text in a field of a record.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn text(record: &Value, field: &str) -> String {
    record[field].as_str().unwrap_or_else(|| panic!("no text in the field {field} of {record}")).to_owned()
}

/// The number in a field of a record.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn number(record: &Value, field: &str) -> u64 {
    record[field].as_u64().unwrap_or_else(|| panic!("no number in the field {field} of {record}"))
}
