//! How a password reaches the program: a prompt without echo, the first line of stdin, or a command's output. Never an
//! argument, which every other user of the machine could read.

use std::{
    env,
    io::{self, IsTerminal, Read, Write},
    process::Stdio,
    sync::{Mutex, PoisonError},
};

use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::process::Command;
use zeroize::Zeroizing;

use super::{
    Globals,
    talk::{Ended, say},
};
use crate::engine::api::Secret;

/// Where the password comes from.
#[derive(Debug, Args)]
pub(super) struct PasswordFrom {
    /// Read the password from the first line of stdin (where two secrets are needed, from the first two)
    #[arg(long)]
    password_stdin: bool,
}

/// Whether a new password is chosen, which is asked for twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Once,
    Twice,
}

impl PasswordFrom {
    /// Whether it is on stdin.
    pub(super) const fn is_stdin(&self) -> bool {
        self.password_stdin
    }

    /// Gets the password: from stdin or `SWAPMEET_PASSWORD_CMD` if that is asked for, else from the person.
    pub(super) async fn get(&self, globals: &Globals, ask: Ask) -> Result<Secret, Ended> {
        if self.password_stdin {
            return on_thread(|| first_line(io::stdin())).await;
        }
        if let Some(command) = env::var_os("SWAPMEET_PASSWORD_CMD").filter(|command| !command.is_empty()) {
            return from_command(&command).await;
        }
        may_ask(globals)?;
        ask_for("Password: ", ask).await
    }

    /// Gets what is known and the new password: from the first two lines of stdin or of the output of
    /// `SWAPMEET_PASSWORD_CMD`, else from the person.
    pub(super) async fn get_two(&self, globals: &Globals, known: &'static str) -> Result<[Secret; 2], Ended> {
        if self.password_stdin {
            return on_thread(|| Ok([first_line(io::stdin())?, first_line(io::stdin())?])).await;
        }
        if let Some(command) = env::var_os("SWAPMEET_PASSWORD_CMD").filter(|command| !command.is_empty()) {
            let bytes = output_of(&command).await?;
            let mut lines = bytes.as_slice();
            return Ok([first_line(&mut lines)?, first_line(&mut lines)?]);
        }
        may_ask(globals)?;
        Ok([ask_for(known, Ask::Once).await?, ask_for("New password: ", Ask::Twice).await?])
    }
}

fn may_ask(globals: &Globals) -> Result<(), Ended> {
    if globals.no_input || !io::stdin().is_terminal() {
        return Err(Ended::usage(
            "a password is needed and nobody can be asked",
            "pass it on stdin with --password-stdin, or set SWAPMEET_PASSWORD_CMD",
        ));
    }
    Ok(())
}

async fn ask_for(question: &'static str, ask: Ask) -> Result<Secret, Ended> {
    let secret = on_thread(|| prompt(question)).await?;
    if ask == Ask::Twice && on_thread(|| prompt("Once more: ")).await? != secret {
        return Err(Ended::usage("the two passwords differ", "run the command again"));
    }
    Ok(secret)
}

/// Puts the terminal back as it was before a prompt hid what is typed. Does nothing at other times.
pub(super) fn restore_terminal() {
    let before = BEFORE_PROMPT.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        // A terminal that is gone needs no restoring.
        let _gone = tcsetattr(io::stdin(), OptionalActions::Flush, &before);
        say("");
    }
}

/// Settings of the terminal while a prompt hides what is typed.
static BEFORE_PROMPT: Mutex<Option<Termios>> = Mutex::new(None);

fn prompt(question: &str) -> Result<Secret, Ended> {
    let no_terminal =
        |error: rustix::io::Errno| Ended::unexpected("terminal", format!("could not hide what is typed: {error}"));
    let before = tcgetattr(io::stdin()).map_err(no_terminal)?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    hidden.local_modes.insert(LocalModes::ICANON | LocalModes::ISIG);
    *BEFORE_PROMPT.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
    let secret = tcsetattr(io::stdin(), OptionalActions::Flush, &hidden).map_err(no_terminal).and_then(|()| {
        let mut stderr = io::stderr();
        stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush())?;
        first_line(io::stdin())
    });
    restore_terminal();
    secret
}

async fn from_command(command: &std::ffi::OsStr) -> Result<Secret, Ended> {
    first_line(output_of(command).await?.as_slice())
}

async fn output_of(command: &std::ffi::OsStr) -> Result<Zeroizing<Vec<u8>>, Ended> {
    let failed = |what: String| Ended::usage(format!("SWAPMEET_PASSWORD_CMD {what}"), "run it by hand to see why");
    let output = Command::new("sh")
        .arg("-c")
        .arg(command)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| failed(format!("could not be run: {error}")))?;
    let bytes = Zeroizing::new(output.stdout);
    if !output.status.success() {
        return Err(failed(format!("failed: {}", output.status)));
    }
    Ok(bytes)
}

/// Runs something that blocks where it cannot hold up anything else.
async fn on_thread<T: Send + 'static>(read: impl FnOnce() -> Result<T, Ended> + Send + 'static) -> Result<T, Ended> {
    tokio::task::spawn_blocking(read).await.map_err(|error| Ended::unexpected("prompt", error.to_string()))?
}

/// The first line without its end; spaces belong to a password.
fn first_line(mut from: impl Read) -> Result<Secret, Ended> {
    let unreadable = |what: &str| Ended::usage(format!("the password could not be read: {what}"), "");
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX + 1));
    let mut byte = [0];
    // Byte by byte: what follows the line on stdin belongs to someone else.
    loop {
        match from.read(&mut byte) {
            Ok(0) if line.is_empty() => return Err(unreadable("there is none")),
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) if line.len() >= LINE_BYTES_MAX => return Err(unreadable("it is too long")),
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(unreadable(&error.to_string())),
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    let text = std::str::from_utf8(&line).map_err(|_| unreadable("it is not UTF-8"))?;
    Ok(Secret(text.to_owned()))
}

/// Bytes of a line that may hold a password: the longest one and its line end.
const LINE_BYTES_MAX: usize = shared::limits::PASSWORD_BYTES_MAX + 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Option<String> {
        first_line(bytes).ok().map(|secret| secret.0)
    }

    #[test]
    fn a_password_keeps_its_spaces_and_loses_one_line_end() {
        assert_eq!(read(b" two words \nrest").as_deref(), Some(" two words "));
        assert_eq!(read(b"windows\r\n").as_deref(), Some("windows"));
        assert_eq!(read(b"a\r\r\n").as_deref(), Some("a\r"));
        assert_eq!(read(b"no end").as_deref(), Some("no end"));
    }

    #[test]
    fn no_line_too_long_a_line_and_broken_text_are_refused() {
        assert_eq!(read(b""), None);
        assert_eq!(read(&[b'x'; LINE_BYTES_MAX + 1]), None);
        assert_eq!(read(b"\xff\n"), None);
    }

    #[test]
    fn what_follows_the_line_stays_for_others() {
        let mut stdin: &[u8] = b"secret\nfile";
        first_line(&mut stdin).unwrap();
        assert_eq!(stdin, b"file");
    }

    #[tokio::test]
    async fn a_command_gives_its_first_line() {
        assert_eq!(from_command("printf 'a b\\nc'".as_ref()).await.unwrap().0, "a b");
        assert!(from_command("exit 3".as_ref()).await.is_err());
    }
}
