//! A terminal of its own (tmux with its own server) in which a program runs as for a person.

use std::{
    fs,
    io::Read,
    path::PathBuf,
    process::Command,
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    member::Member,
    program::{PATIENCE, environment, program},
};

/// A window that shows a program. Its server and everything in it ends on drop.
#[derive(Debug)]
pub struct Screen {
    folder: TempDir,
    changed: Receiver<()>,
}

impl Screen {
    /// Opens a window of this size in which a shell runs `script` and then stays open.
    ///
    /// The script finds the client's program as `$SWAPMEET`. When it ends, the window says `[script ended: CODE]`.
    ///
    /// # Panics
    /// When tmux cannot be started.
    #[must_use]
    pub fn start(columns: u16, rows: u16, member: &Member, script: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("screen-").tempdir().expect("a temporary folder can be made");
        let script_path = folder.path().join("script");
        fs::write(&script_path, format!("{script}\necho \"[script ended: $?]\"\nexec cat\n"))
            .expect("a script is written");
        let (tick, changed) = mpsc::sync_channel(1);
        let screen = Self { folder, changed };
        let size = (columns.to_string(), rows.to_string());
        let mut command = screen.tmux(&["new-session", "-d", "-x", &size.0, "-y", &size.1]);
        for (name, value) in environment(member.home()).into_iter().filter(|(name, _)| name != "TERM") {
            command.args(["-e", &format!("{name}={value}")]);
        }
        command.args(["-e", &format!("SWAPMEET_HOME={}", member.home().display())]);
        command.args(["-e", &format!("SWAPMEET={}", program("swapmeet").display())]);
        command.arg(format!("exec sh '{}'", script_path.display()));
        run(&mut command);
        screen.watch(tick);
        screen
    }

    /// Opens a window in which the screen of this member's client runs.
    #[must_use]
    pub fn client(columns: u16, rows: u16, member: &Member) -> Self {
        Self::start(columns, rows, member, "\"$SWAPMEET\"")
    }

    /// What the window shows.
    #[must_use]
    pub fn capture(&self) -> String {
        run(&mut self.tmux(&["capture-pane", "-p"]))
    }

    /// Waits until the window shows this text, and returns all of it.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_until(&format!("{text:?}"), |screen| screen.contains(text))
    }

    /// Waits until what the window shows is as wanted, and returns it.
    ///
    /// # Panics
    /// When that does not happen.
    pub fn wait_until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.capture();
            if wanted(&shown) {
                return shown;
            }
            assert!(Instant::now() < deadline, "the screen does not show {what}; it shows:\n{shown}");
            // A change wakes us. The timeout only covers what was drawn before the watch began.
            let _changed_or_not = self.changed.recv_timeout(Duration::from_millis(500));
        }
    }

    /// Presses keys by their tmux names (`Enter`, `Tab`, `C-c`, `q`).
    pub fn keys(&self, keys: &[&str]) {
        run(self.tmux(&["send-keys"]).args(keys));
    }

    /// Types text letter by letter.
    pub fn type_text(&self, text: &str) {
        run(&mut self.tmux(&["send-keys", "-l", text]));
    }

    /// Pastes text, as a terminal does with what is dropped on it.
    pub fn paste(&self, text: &str) {
        run(&mut self.tmux(&["set-buffer", "--", text]));
        run(&mut self.tmux(&["paste-buffer", "-p"]));
    }

    /// Gives the window another size.
    pub fn resize(&self, columns: u16, rows: u16) {
        run(&mut self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]));
    }

    /// The value of a tmux format, such as `#{alternate_on}`.
    #[must_use]
    pub fn show(&self, format: &str) -> String {
        run(&mut self.tmux(&["display-message", "-p", format])).trim_end().to_owned()
    }

    /// A file in the window's own folder, for its script to write.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn watch(&self, tick: mpsc::SyncSender<()>) {
        let pipe = self.file("changes");
        run(Command::new("mkfifo").arg(&pipe));
        run(&mut self.tmux(&["pipe-pane", &format!("exec cat > '{}'", pipe.display())]));
        std::thread::spawn(move || {
            let Ok(mut changes) = fs::File::open(pipe) else { return };
            let mut block = [0; 4096];
            while changes.read(&mut block).is_ok_and(|n| n > 0) {
                // Full means that a change is already waiting to be looked at.
                if let Err(mpsc::TrySendError::Disconnected(())) = tick.try_send(()) {
                    return;
                }
            }
        });
    }

    fn tmux(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.env_remove("TMUX").env("LANG", "C.UTF-8");
        command.arg("-S").arg(self.folder.path().join("tmux.sock")).args(["-f", "/dev/null", "-u"]).args(arguments);
        command
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _gone = self.tmux(&["kill-server"]).output();
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("could not run {command:?}: {error}"));
    assert!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
