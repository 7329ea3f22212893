//! A running program: its lines, its end, and the certainty that it does not outlive its owner.

use std::{
    env,
    ffi::OsStr,
    fmt, fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    param::clock_ticks_per_second,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

/// How long anything may take before a scenario gives up. Generous: a loaded machine is slow, not wrong.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A program that runs. Killed and awaited on drop.
pub struct Running {
    name: String,
    child: Child,
    handle: OwnedFd,
    /// Of a program that is still to hear something.
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    seen: String,
    readers: Vec<JoinHandle<()>>,
    stderr: Receiver<Vec<u8>>,
}

/// How a program ended, and what it said.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Everything on stdout that was not taken by [`Running::line`] is here too.
    pub stdout: String,
    /// Everything on stderr.
    pub stderr: String,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("name", &self.name).field("pid", &self.pid()).finish_non_exhaustive()
    }
}

impl Running {
    /// Starts a program whose stdin holds `input` and then ends.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(command: &mut Command, input: &[u8]) -> Self {
        let mut running = Self::start_listening(command);
        let (mut stdin, input) = (running.stdin.take().expect("stdin is piped"), input.to_vec());
        running.readers.push(std::thread::spawn(move || {
            // A program that does not read its input closes it; that is its right.
            let _closed = stdin.write_all(&input);
        }));
        running
    }

    /// Starts a program that is told more later, by [`Running::say`].
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_listening(command: &mut Command) -> Self {
        let name = describe(command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {name}: {error}"));
        let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).expect("a running child has a handle");
        let (stdout, lines) = mpsc::channel();
        let (stderr, errors) = mpsc::channel();
        let out = child.stdout.take().expect("stdout is piped");
        let mut err = child.stderr.take().expect("stderr is piped");
        let stdin = child.stdin.take();
        let readers = vec![
            std::thread::spawn(move || {
                let mut out = BufReader::new(out);
                let mut line = Vec::new();
                while out.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                    if stdout.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                        // Nobody listens any more; the program must still be able to write.
                        let _drained = io::copy(&mut out, &mut io::sink());
                        return;
                    }
                    line.clear();
                }
            }),
            std::thread::spawn(move || {
                let mut text = Vec::new();
                let _until_the_end = err.read_to_end(&mut text);
                let _nobody_asks = stderr.send(text);
            }),
        ];
        Self { name, child, handle, stdin, stdout: lines, seen: String::new(), readers, stderr: errors }
    }

    /// Writes a line to its stdin.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("it was started to listen");
        writeln!(stdin, "{line}").expect("it listens");
    }

    /// Ends its stdin.
    pub fn hush(&mut self) {
        self.stdin = None;
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line on stdout that satisfies `wanted` and returns it without its end.
    ///
    /// # Panics
    /// When the program ends or [`PATIENCE`] runs out before it.
    pub fn line(&mut self, what: &str, mut wanted: impl FnMut(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.stdout.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    let line = line.trim_end_matches('\n');
                    if wanted(line) {
                        return line.to_owned();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{}: no line with {what} came; it said:\n{}", self.name, self.seen)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let ended = self.reap();
                    panic!(
                        "{} ended ({:?}) before a line with {what}; stdout:\n{}\nstderr:\n{}",
                        self.name, ended.code, ended.stdout, ended.stderr
                    )
                }
            }
        }
    }

    /// Waits at most `patience` for the next line on stdout; `None` when none comes or the program ended.
    pub fn next_line(&mut self, patience: Duration) -> Option<String> {
        let line = self.stdout.recv_timeout(patience).ok()?;
        self.seen.push_str(&line);
        Some(line.trim_end_matches('\n').to_owned())
    }

    /// Waits at most `patience` for the end; `false` while it still runs.
    #[must_use]
    pub fn ended_within(&self, patience: Duration) -> bool {
        let timeout = Timespec {
            tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(patience.subsec_nanos()),
        };
        let mut fds = [PollFd::new(&self.handle, PollFlags::IN)];
        poll(&mut fds, Some(&timeout)).is_ok_and(|ready| ready > 0)
    }

    /// Whether it runs.
    #[must_use]
    pub fn alive(&self) -> bool {
        !self.ended_within(Duration::ZERO)
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When it has not ended within `patience`.
    #[must_use]
    pub fn finish_within(mut self, patience: Duration) -> Ended {
        if !self.ended_within(patience) {
            self.kill();
            let ended = self.reap();
            panic!(
                "{} did not end within {patience:?}; stdout:\n{}\nstderr:\n{}",
                self.name, ended.stdout, ended.stderr
            );
        }
        self.reap()
    }

    /// Waits for the end with the usual [`PATIENCE`].
    #[must_use]
    pub fn finish(self) -> Ended {
        self.finish_within(PATIENCE)
    }

    /// Sends a signal. Nothing happens when it has ended already.
    pub fn signal(&self, signal: Signal) {
        let _gone = pidfd_send_signal(&self.handle, signal);
    }

    /// Ends it the hard way (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _status = self.child.wait();
    }

    /// Asks it to end (SIGTERM) and waits for that.
    #[must_use]
    pub fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.finish()
    }

    /// The most memory it ever held (`VmHWM`), in bytes.
    #[must_use]
    pub fn memory_peak(&self) -> u64 {
        status_kib(self.pid(), "VmHWM:") * 1024
    }

    /// The memory that it holds now (`VmRSS`), in bytes.
    #[must_use]
    pub fn memory_now(&self) -> u64 {
        status_kib(self.pid(), "VmRSS:") * 1024
    }

    /// The seconds that its threads have computed so far.
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds(&self.pid().to_string())
    }

    fn reap(&mut self) -> Ended {
        let code = self.child.wait().ok().and_then(|status| status.code());
        // Children of the program may hold its pipes open; what they write is nobody's business here.
        let stderr = self.stderr.recv_timeout(Duration::from_secs(5)).unwrap_or_default();
        let mut stdout = std::mem::take(&mut self.seen);
        while let Ok(line) = self.stdout.recv_timeout(Duration::from_secs(5)) {
            stdout.push_str(&line);
        }
        Ended { code, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        for reader in self.readers.drain(..) {
            if reader.is_finished() {
                let _panicked = reader.join();
            }
        }
    }
}

/// The path of a program of this workspace, built beside the one that runs now.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let here = env::current_exe().expect("the running program has a path");
    here.ancestors().skip(1).take(3).map(|folder| folder.join(name)).find(|path| path.is_file()).unwrap_or_else(|| {
        panic!("{name} is not built: run `cargo build -p tui -p tracker` with the profile of this test first")
    })
}

/// A command for one of this workspace's programs, in an environment of its own below `home`.
#[must_use]
pub fn command(name: &str, home: &Path) -> Command {
    command_within(None, name, home)
}

/// The same, in a network namespace of this name.
#[must_use]
pub fn command_within(room: Option<&str>, name: &str, home: &Path) -> Command {
    let mut command = match room {
        Some(room) => crate::lab::within(room, program(name), &[]),
        None => Command::new(program(name)),
    };
    command.env_clear().envs(environment(home)).current_dir(home);
    command
}

/// The environment of a program whose home is `home`: the same on every machine.
#[must_use]
pub fn environment(home: &Path) -> Vec<(String, String)> {
    let path = env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".to_owned());
    let mut environment = vec![
        ("PATH".to_owned(), path),
        ("HOME".to_owned(), home.display().to_string()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("TERM".to_owned(), "dumb".to_owned()),
    ];
    // Only for whoever looks for a fault by hand.
    for name in ["SWAPMEET_LOG", "RUST_LOG", "RUST_BACKTRACE"] {
        if let Ok(value) = env::var(name) {
            environment.push((name.to_owned(), value));
        }
    }
    environment
}

/// The seconds that the threads of a process have computed so far; 0 when there is none. It is a process id, or `self`.
#[must_use]
pub fn cpu_seconds(process: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name before them, in parentheses, may hold anything. The times in user and in kernel mode follow 11 others.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    ticks as f64 / clock_ticks_per_second() as f64
}

fn describe(command: &Command) -> String {
    let name = |text: &OsStr| text.to_string_lossy().into_owned();
    let program = Path::new(command.get_program()).file_name().map(name).unwrap_or_default();
    let arguments: Vec<String> = command.get_args().map(name).collect();
    format!("`{program} {}`", arguments.join(" "))
}

fn status_kib(pid: u32, field: &str) -> u64 {
    proc_field(&format!("/proc/{pid}/status"), field)
}

fn proc_field(file: &str, field: &str) -> u64 {
    fs::read_to_string(file)
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, input: &[u8]) -> Running {
        Running::start(Command::new("sh").args(["-c", script]), input)
    }

    #[test]
    fn lines_are_waited_for_and_kept() {
        let mut running = shell("echo one; echo two; echo three; echo oops >&2; exit 4", b"");
        assert_eq!(running.line("two", |line| line == "two"), "two");
        let ended = running.finish();
        assert_eq!(
            (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
            (Some(4), "one\ntwo\nthree\n", "oops\n")
        );
    }

    #[test]
    fn input_arrives_and_ends() {
        assert_eq!(shell("cat", b"some input").finish().stdout, "some input");
    }

    #[test]
    fn a_killed_program_is_gone() {
        let mut running = shell("exec tail -f /dev/null", b"");
        assert!(running.alive());
        running.kill();
        assert!(!running.alive());
        assert_eq!(running.finish().code, None);
    }

    #[test]
    #[should_panic(expected = "before a line with hope")]
    fn a_program_that_ends_without_the_line_is_a_failure() {
        shell("echo despair", b"").line("hope", |line| line == "hope");
    }
}
