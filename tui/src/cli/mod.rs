//! The command line: one file per command, each thin: parse, ask the engine, print records.
//!
//! Owns what a command prints and how it exits. Never decides anything about sharing or fetching: that is the
//! engine's, which every command reaches by [`crate::engine::api`], like the screen does.

mod block;
mod channel;
mod chat;
mod completions;
mod config;
mod context;
mod copy;
#[cfg(feature = "host")]
mod demo;
mod devices;
mod doctor;
mod edit;
mod email;
mod engine;
mod events;
mod get;
#[cfg(feature = "host")]
mod host;
mod inbox;
mod info;
mod interrupt;
mod invite;
mod keys;
mod limit;
mod log;
mod login;
mod logout;
mod ls;
mod man;
mod members;
mod offer;
mod out;
mod password;
mod progress;
mod record;
mod recover;
mod register;
mod request;
mod rescan;
mod sample;
mod screen;
mod search;
mod secret;
mod share;
mod status;
mod talk;
mod transfers;
mod uncopy;
mod unshare;
mod usage;
mod verify;
mod whoami;
mod wish;

use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal},
    process::ExitCode,
    time::Duration,
};

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};

use self::{
    context::Context,
    interrupt::Interrupt,
    talk::{Ended, Outcome, Talk},
};
use crate::engine::api::span;

/// Runs the program with the process's arguments and says how it ends.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage::report(&error, &arguments),
    };
    let Some(verb) = cli.verb.or_else(Verb::screen_on_terminals) else {
        return usage::no_command(&Cli::command(), cli.globals.json);
    };
    prepare_process();
    let talk = Talk::new(&cli.globals);
    // One thread for the network is the fastest way to run an endpoint; hashing and the disk have threads of their own.
    let runtime =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(BLOCKING_THREADS_MAX).enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(run(verb, cli.globals));
            // A thread may still be blocked reading a terminal or a pipe: it must not hold up the end.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(Ended::unexpected("runtime", format!("could not start: {error}"))),
    };
    secret::restore_terminal();
    talk.end(outcome)
}

/// Carries out one command.
async fn run(verb: Verb, globals: Globals) -> Outcome {
    let interrupt = Interrupt::listen()?;
    let mut context = Context::new(globals, interrupt.clone());
    let ended = if verb.stops_by_itself() {
        verb.run(&mut context).await
    } else {
        tokio::select! {
            biased;
            ended = verb.run(&mut context) => ended,
            () = interrupt.first() => Err(Ended::interrupted()),
        }
    };
    let closed = context.close().await;
    ended.and(closed)
}

/// Swapmeet: a group's own file exchange.
///
/// Without a command: the full-screen client. Data goes to stdout, talk to stderr; in a pipe one tab-separated
/// record per line, with --json one JSON object per line.
#[derive(Debug, Parser)]
#[command(name = "swapmeet", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// Options that every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
struct Globals {
    /// One JSON object per line on stdout, and errors as JSON on stderr
    #[arg(long, global = true)]
    json: bool,
    /// No talk on stderr but errors
    #[arg(short, long, global = true)]
    quiet: bool,
    /// More talk on stderr; twice for every detail
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Answer yes where something would be asked
    #[arg(long, global = true)]
    yes: bool,
    /// Never ask anything; fail instead
    #[arg(long, global = true)]
    no_input: bool,
    /// Give up when nothing moves for this long (30s, 15m, 1h, 7d)
    #[arg(long, global = true, value_name = "TIME", value_parser = span::parse)]
    timeout: Option<Duration>,
    /// Use another profile: an account of its own beside the default one
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// Colour on terminals
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    color: When,
    /// Only ASCII in what this program draws
    #[arg(long, global = true)]
    ascii: bool,
}

/// When to use something that only terminals understand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum When {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The full-screen client, which has no name of its own.
    #[command(skip)]
    Screen,
    /// Try everything: a tracker and two lively members in a temporary place
    #[cfg(feature = "host")]
    Demo(demo::Demo),
    /// Run a tracker from this program
    #[cfg(feature = "host")]
    Host(Box<host::Host>),
    /// Make an account on a tracker, with this device
    Register(register::Register),
    /// Sign this device in to an account
    Login(login::Login),
    /// Forget the account on this device
    Logout,
    /// Who is signed in
    Whoami,
    /// Change the account's password, or make a new recovery code
    Password(password::Password),
    /// Sign this device in by the recovery code, where the password is forgotten
    Recover(recover::Recover),
    /// Change the address by which the tracker's administrator reaches you
    Email(email::Email),
    /// The account's devices, and signing them out
    Devices(devices::Devices),
    /// Invitations to the tracker, for its administrators
    Invite(invite::Invite),
    /// One call of health: account, connection, tracker, shares, transfers
    Status,
    /// Examine terminal, network and tracker, and say what to do where something is wrong
    Doctor(doctor::Doctor),
    /// Publish files and folders in place
    Share(share::Share),
    /// Take own files and folders out of the index
    Unshare(unshare::Unshare),
    /// Change who sees own files and folders, and the remark beside them
    Edit(edit::Edit),
    /// Look for changed, new and missing shared files
    Rescan(rescan::Rescan),
    /// Leave copies of own files on the tracker
    Copy(copy::Copy),
    /// Remove copies of own files from the tracker
    Uncopy(uncopy::Uncopy),
    /// The files and folders of the index
    Ls(ls::Ls),
    /// Find files by name, path, owner and note
    Search(search::Search),
    /// Everything about one file
    Info(info::Info),
    /// Fetch and verify files and folders
    Get(get::Get),
    /// BLAKE3 of a local file, compared with what it should be
    Verify(verify::Verify),
    /// The queue of transfers
    Transfers(transfers::Transfers),
    /// How fast bytes may go, and how many members are served at a time
    Limit(limit::Limit),
    /// Ask for files that cannot be fetched now, or for something that nobody shares
    Request(request::Request),
    /// Push a file or folder at members, who accept or decline
    Offer(offer::Offer),
    /// Requests and offers that wait, both ways
    Inbox(inbox::Inbox),
    /// Standing searches: tell of files that appear, or fetch them
    Wish(wish::Wish),
    /// Who is there
    Members(members::Members),
    /// Messages to a member or to everyone
    Chat(chat::Chat),
    /// Hide from a member: neither sees the other's presence, files or searches, and nobody is told
    Block(block::Block),
    /// Take a block back
    Unblock(block::Block),
    /// Everything that happens, until interrupted
    Events(events::Events),
    /// The background engine of this profile
    Engine(engine::Engine),
    /// A file of the integers 1 to N, one a line, to try things with
    Sample(sample::Sample),
    /// Settings and places in effect
    Config,
    /// The keys of the screen
    Keys,
    /// Completions for a shell
    Completions(completions::Completions),
    /// The manual page
    Man(man::Man),
}

impl Verb {
    /// The screen, if there is a terminal on both sides for it.
    fn screen_on_terminals() -> Option<Self> {
        (io::stdin().is_terminal() && io::stdout().is_terminal()).then_some(Self::Screen)
    }

    /// Whether the command watches for the interruption itself, because it has things to put in order.
    fn stops_by_itself(&self) -> bool {
        match self {
            #[cfg(feature = "host")]
            Self::Demo(_) | Self::Host(_) => true,
            Self::Screen => true,
            Self::Engine(engine) => engine.is_run(),
            Self::Chat(chat) => chat.is_channel(),
            _ => false,
        }
    }

    async fn run(self, context: &mut Context) -> Outcome {
        match self {
            Self::Screen => screen::run(context).await,
            #[cfg(feature = "host")]
            Self::Demo(demo) => demo.run(context).await,
            #[cfg(feature = "host")]
            Self::Host(host) => host.run(context).await,
            Self::Register(register) => register.run(context).await,
            Self::Login(login) => login.run(context).await,
            Self::Logout => logout::run(context).await,
            Self::Whoami => whoami::run(context).await,
            Self::Password(password) => password.run(context).await,
            Self::Recover(recover) => recover.run(context).await,
            Self::Email(email) => email.run(context).await,
            Self::Devices(devices) => devices.run(context).await,
            Self::Invite(invite) => invite.run(context).await,
            Self::Status => status::run(context).await,
            Self::Doctor(doctor) => doctor.run(context).await,
            Self::Share(share) => share.run(context).await,
            Self::Unshare(unshare) => unshare.run(context).await,
            Self::Edit(edit) => edit.run(context).await,
            Self::Rescan(rescan) => rescan.run(context).await,
            Self::Copy(copy) => copy.run(context).await,
            Self::Uncopy(uncopy) => uncopy.run(context).await,
            Self::Ls(ls) => ls.run(context).await,
            Self::Search(search) => search.run(context).await,
            Self::Info(info) => info.run(context).await,
            Self::Get(get) => get.run(context).await,
            Self::Verify(verify) => verify.run(context).await,
            Self::Transfers(transfers) => transfers.run(context).await,
            Self::Limit(limit) => limit.run(context).await,
            Self::Request(request) => request.run(context).await,
            Self::Offer(offer) => offer.run(context).await,
            Self::Inbox(inbox) => inbox.run(context).await,
            Self::Wish(wish) => wish.run(context).await,
            Self::Members(members) => members.run(context).await,
            Self::Chat(chat) => chat.run(context).await,
            Self::Block(block) => block.run(context).await,
            Self::Unblock(block) => block.undo(context).await,
            Self::Events(events) => events.run(context).await,
            Self::Engine(engine) => engine.run(context).await,
            Self::Sample(sample) => sample.run(context).await,
            Self::Config => config::run(context),
            Self::Keys => keys::run(context),
            Self::Completions(completions) => completions.run(context),
            Self::Man(man) => man.run(context),
        }
    }
}

/// What the whole process needs before anything runs.
fn prepare_process() {
    // Only the first caller in a process installs it; a test may have done so before.
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    // Every connection and open file counts. Where the system refuses, the limits of the engine still hold.
    let _refused = rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum },
    );
}

/// Threads that may block at a time. Each fetch stream keeps one; reads and everything else share the rest.
const BLOCKING_THREADS_MAX: usize = 64;

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 unexpected, 2 usage or configuration, 3 not signed in, \
4 nothing found, 5 timeout, 6 transfer failed or content does not match, 7 tracker unreachable, 8 refused, \
9 conflict, 130 interrupted.";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_grammar_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_work_before_and_after_the_command() {
        for line in ["swapmeet --json --timeout 15m status", "swapmeet status --timeout 15m --json"] {
            let cli = parse(line).unwrap();
            assert!(cli.globals.json, "{line}");
            assert_eq!(cli.globals.timeout, Some(Duration::from_secs(900)), "{line}");
        }
    }

    #[test]
    fn options_of_later_versions_are_unknown_rather_than_ignored() {
        for line in ["swapmeet edit x --owner bob", "swapmeet get x --to bob"] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn every_command_of_the_contract_exists() {
        for line in [
            "demo --headless --json",
            "host",
            "keys --json",
            "register alice --tracker L",
            "login alice --tracker L",
            "logout",
            "whoami",
            "password",
            "password --recovery",
            "recover alice --tracker L",
            "email a@b",
            "email --none",
            "devices",
            "devices ls",
            "devices revoke abcd",
            "request abcd",
            "request --of bob the raw tapes",
            "request --anyone the raw tapes",
            "offer x bob",
            "offer x bob carol --copy",
            "inbox",
            "inbox ls --json",
            "inbox accept abcd",
            "inbox decline abcd --word later",
            "inbox cancel abcd",
            "inbox rule set bob accept --up-to 2g",
            "devices revoke --others",
            "invite",
            "invite new --uses 3 --expires 7d",
            "invite ls",
            "invite revoke abcd",
            "status",
            "doctor",
            "doctor --tracker L",
            "share a b --to bob,carol --note n --copy --dry-run",
            "unshare abcd",
            "rescan",
            "copy abcd",
            "uncopy abcd",
            "ls",
            "ls bob/photos --of bob jpg",
            "search two words",
            "info abcd",
            "get abcd -o - --from copy --wait",
            "get abcd --detach",
            "get abcd --repair f",
            "get --repair f",
            "verify file",
            "verify file b3:00",
            "transfers",
            "transfers ls",
            "transfers watch",
            "transfers pause abcd",
            "transfers resume abcd",
            "transfers cancel abcd",
            "transfers retry abcd",
            "transfers prio abcd high",
            "transfers prio abcd -2",
            "limit",
            "limit up 2M",
            "limit down 0 --member bob --at 08:00-18:00,mon-fri --lan",
            "limit slots 4",
            "wish",
            "wish ls",
            "wish add two words --fetch --up-to 2g",
            "wish show abcd",
            "wish rm abcd",
            "members --online --since 1h",
            "chat send bob hello",
            "chat send bob -",
            "chat broadcast hello",
            "chat read",
            "chat read #all --unread",
            "chat follow",
            "chat channel bob",
            "events --type file_shared",
            "engine",
            "engine run",
            "engine status",
            "engine stop",
            "sample 10 -o f",
            "config",
            "completions bash",
            "man",
        ] {
            assert!(
                parse(&format!("swapmeet {line}")).is_ok(),
                "{line}: {:?}",
                parse(&format!("swapmeet {line}")).err()
            );
        }
    }
}
