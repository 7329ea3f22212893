//! The command line of `swapmeet-tracker`: stdout is data, stderr is talk.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;

use crate::{StartError, config};

mod admin;
mod invite;
mod member;
mod serve;

pub use serve::ready_line;

/// The tracker of a Swapmeet group: accounts, index, presence and stored copies.
#[derive(Debug, Parser)]
#[command(name = "swapmeet-tracker", version, arg_required_else_help = true)]
struct Cli {
    /// One JSON object per line, errors too
    #[arg(long, global = true)]
    json: bool,
    /// Say more in the log (twice: everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the tracker. An empty data folder becomes a working tracker
    Serve(config::ServeArgs),
    /// Prints the link that members join with
    Link(config::ServeArgs),
    /// Prints every setting with its default, as a file to begin with
    Config,
    /// Prints counts, also while the tracker runs
    Status(config::ServeArgs),
    /// Invitation codes for `--registration invite`
    Invite(invite::InviteArgs),
    /// Accounts: who there is, administrators, locking
    Member(member::MemberArgs),
}

/// Why a command ended badly.
#[derive(Debug)]
struct Failure {
    exit: u8,
    code: &'static str,
    message: String,
    hint: &'static str,
}

impl Failure {
    fn new(exit: u8, code: &'static str, message: impl Into<String>, hint: &'static str) -> Self {
        Self { exit, code, message: message.into(), hint }
    }

    /// Something that should not happen.
    fn unexpected(what: &str, error: &dyn std::error::Error) -> Self {
        Self::new(1, "unexpected", format!("{what}: {}", chain(error)), "run again with -v for more")
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let (code, hint) = match &error {
            StartError::Config(_) => ("bad_configuration", "see `swapmeet-tracker config` for what is possible"),
            StartError::AlreadyRunning(_) => ("already_running", "stop it first, or give this one another --data"),
            StartError::Data { .. } => ("bad_data_folder", "give a folder that this user may write with --data"),
            StartError::Listen { .. } => ("cannot_listen", "choose another address or port with --listen or --web"),
            StartError::Certs(_)
            | StartError::Store(_)
            | StartError::Blobs(_)
            | StartError::Web(_)
            | StartError::Serve(_) => ("unexpected", "run again with -v for more"),
        };
        Self { exit: error.exit_code(), code, message: chain(&error), hint }
    }
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let usage = error.use_stderr();
            // A closed pipe is no reason to fail.
            drop(error.print());
            return ExitCode::from(if usage { 2 } else { 0 });
        }
    };
    start_log(cli.verbose);
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure, cli.json);
            ExitCode::from(failure.exit)
        }
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    match &cli.command {
        Command::Serve(flags) => serve::serve(flags),
        Command::Link(flags) => admin::link(flags, cli.json),
        Command::Config => print(config::COMMENTED_DEFAULTS.trim_end()),
        Command::Status(flags) => admin::status(flags, cli.json),
        Command::Invite(args) => invite::run(args, cli.json),
        Command::Member(args) => member::run(args, cli.json),
    }
}

fn start_log(verbose: u8) {
    let filter = EnvFilter::try_new(config::log_filter(verbose)).unwrap_or_else(|_| EnvFilter::new("info"));
    // A second start in one process (tests) keeps the first.
    let _already = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .try_init();
}

/// Prints a line of data. A closed pipe ends quietly.
fn print(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::unexpected("could not write", &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn print_json(value: &Value) -> Result<(), Failure> {
    print(&value.to_string())
}

fn report(failure: &Failure, as_json: bool) {
    let Failure { exit, code, message, hint } = failure;
    let mut err = io::stderr().lock();
    let written = if as_json {
        let error = json!({"v": 1, "type": "error", "code": code, "exit": exit, "message": message, "hint": hint});
        writeln!(err, "{error}")
    } else {
        writeln!(err, "error: {message}\n  {hint}")
    };
    // Where stderr is gone, the exit code has to do.
    drop(written);
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.ends_with(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}

/// Runs something short on a runtime of its own.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    crate::runtime().map_err(|error| Failure::unexpected("could not start", &error))?.block_on(work)
}
