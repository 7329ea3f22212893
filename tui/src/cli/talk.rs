//! What goes to stderr: notes and errors; and how a command ends.

use std::{
    env,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use serde::Serialize;

use super::{Globals, When, out};
use crate::engine::api::{Failure, FailureKind};

/// The result of a command.
pub(super) type Outcome = Result<(), Ended>;

/// Why a command ended before its natural end.
#[derive(Debug)]
pub(super) enum Ended {
    /// Nobody reads the output any more: quiet, and no failure.
    ClosedPipe,
    /// It failed.
    Failed(Failure),
}

impl Ended {
    /// A failure of this program rather than of what it was asked.
    pub(super) fn unexpected(code: &str, message: impl Into<String>) -> Self {
        Self::Failed(Failure::new(FailureKind::Unexpected, code, message, ""))
    }

    /// The command line makes no sense.
    pub(super) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed(Failure::new(FailureKind::Usage, "usage", message, hint))
    }

    /// Ctrl-C.
    pub(super) fn interrupted() -> Self {
        Self::Failed(Failure::new(
            FailureKind::Interrupted,
            "interrupted",
            "interrupted",
            "run the command again: transfers go on where they stopped",
        ))
    }

    /// A local file could not be read or written.
    pub(super) fn file(doing: &str, path: &std::path::Path, error: &io::Error) -> Self {
        let path = out::clean(&path.to_string_lossy());
        let failure = match error.kind() {
            io::ErrorKind::NotFound => {
                let message = format!("could not {doing} {path}: there is no such file");
                Failure::new(FailureKind::NotFound, "no_such_file", message, "check the name")
            }
            io::ErrorKind::AlreadyExists => {
                let message = format!("{path} is there already, and nothing is ever replaced");
                Failure::new(FailureKind::Conflict, "file_exists", message, "choose another name")
            }
            _ => Failure::new(FailureKind::Unexpected, "file", format!("could not {doing} {path}: {error}"), ""),
        };
        Self::Failed(failure)
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Writing the output failed.
impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ClosedPipe;
        }
        Self::unexpected("output", format!("could not write the output: {error}"))
    }
}

/// Writes to stderr. A stderr that is closed is no reason to fail, so errors of writing to it are dropped here, once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Talk {
    json: bool,
    quiet: bool,
    color: bool,
}

impl Talk {
    pub(super) fn new(globals: &Globals) -> Self {
        Self { json: globals.json, quiet: globals.quiet, color: use_color(globals.color, io::stderr().is_terminal()) }
    }

    /// Says something in passing; `text` is our own or cleaned already.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            say(text);
        }
    }

    /// Says that something did not work; the command may go on.
    pub(super) fn complain(self, failure: &Failure) {
        if self.json {
            say(&error_json(failure));
        } else {
            say(&error_text(failure, self.color));
        }
    }

    /// Reports how the command ended.
    pub(super) fn end(self, outcome: Outcome) -> ExitCode {
        match outcome {
            Ok(()) | Err(Ended::ClosedPipe) => ExitCode::SUCCESS,
            Err(Ended::Failed(failure)) => {
                self.complain(&failure);
                ExitCode::from(failure.kind.exit_code())
            }
        }
    }
}

/// One line on stderr.
pub(super) fn say(text: &str) {
    let mut line = text.to_owned();
    line.push('\n');
    // Where stderr is closed there is nobody to tell.
    let _closed = io::stderr().write_all(line.as_bytes());
}

/// Whether to use colour on a stream.
pub(super) fn use_color(when: When, terminal: bool) -> bool {
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto => terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}

#[derive(Serialize)]
struct ErrorRecord<'a> {
    code: &'a str,
    exit: u8,
    message: &'a str,
    hint: &'a str,
    /// Seconds until it is worth trying again.
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_s: Option<u64>,
}

/// A failure for programs, one line.
pub(super) fn error_json(failure: &Failure) -> String {
    let record = ErrorRecord {
        code: &failure.code,
        exit: failure.kind.exit_code(),
        message: &failure.message,
        hint: &failure.hint,
        wait_s: failure.wait_s,
    };
    out::json_line("error", &record)
}

fn error_text(failure: &Failure, color: bool) -> String {
    let (start, end) = if color { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    let mut text = format!("{start}error:{end} {}", failure.message);
    if !failure.hint.is_empty() {
        text.push_str("\n  ");
        text.push_str(&failure.hint);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_for_programs_is_one_line_with_its_exit_code() {
        let failure = Failure::new(FailureKind::Conflict, "name_taken", "the name \"bob\"\nis taken", "choose another");
        assert_eq!(
            error_json(&failure),
            r#"{"v":1,"type":"error","code":"name_taken","exit":9,"message":"the name \"bob\"\nis taken","hint":"choose another"}"#
        );
    }

    #[test]
    fn an_error_for_people_says_what_to_do_next() {
        let failure = Failure::new(FailureKind::SignIn, "signed_out", "nobody is signed in", "swapmeet login NAME");
        assert_eq!(error_text(&failure, false), "error: nobody is signed in\n  swapmeet login NAME");
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let ended = Ended::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(ended, Ended::ClosedPipe));
    }

    #[test]
    fn colour_is_chosen_by_flag_then_by_the_terminal() {
        assert!(use_color(When::Always, false));
        assert!(!use_color(When::Never, true));
        assert!(!use_color(When::Auto, false));
    }
}
