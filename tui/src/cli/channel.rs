//! `swapmeet chat channel`: a private channel, held by this command from the invitation to the end.
//!
//! Lines of stdin are said; those that begin with a slash are commands of the channel. The end of stdin leaves, once what
//! was taken is here. The channel itself lives in the engine and ends with this command, however that ends.

use std::{
    collections::BTreeSet,
    future::poll_fn,
    io::{self, BufRead as _, Read as _},
    path::{Path, PathBuf},
    pin::Pin,
    task::Poll,
};

use clap::Args;
use shared::{
    id::ItemId,
    limits::{CHANNEL_INVITE_LIFE, CHANNEL_TEXT_BYTES_MAX},
    name::FoldKey,
    show::show_line,
};
use tokio::sync::mpsc;

use super::{
    context::Context,
    get::target,
    record::{ChannelFileRecord, ChannelMessageRecord, ChannelRecord, ItemRecord},
    talk::{Ended, Outcome},
};
use crate::engine::{
    api::{
        ChannelCommand, ChannelFileState, ChannelLineRow, ChannelRow, ChannelState, Command, Failure, FailureKind,
        InboxCommand, ItemKind, ItemRow, ItemState, PathKind, Target, Update,
    },
    client::Client,
};

#[derive(Debug, Args)]
pub(super) struct Channel {
    /// The member
    member: String,
}

impl Channel {
    /// Answers an invitation of the member that waits, else invites.
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let mut lines = Lines::of_stdin();
        let Some(item) = waiting_invitation(context, &self.member).await? else {
            let id = ItemId(rand::random()).to_string();
            let life_s = context.globals.timeout.map(|timeout| timeout.as_secs().max(1));
            let open = ChannelCommand::Open { id: id.clone(), member: self.member, life_s };
            return hold(context, open, id, lines).await;
        };
        if is_yes(context, &item, &mut lines).await? {
            return hold(context, ChannelCommand::Join { item: item.id.clone() }, item.id, lines).await;
        }
        let decline = InboxCommand::Decline { items: vec![item.id], word: String::new() };
        super::inbox::print_items(context, Command::Inbox(decline)).await
    }
}

/// Accepts this invitation and holds the channel.
pub(super) async fn join(context: &mut Context, item: String) -> Outcome {
    hold(context, ChannelCommand::Join { item: item.clone() }, item, Lines::of_stdin()).await
}

/// The newest invitation of a member that waits for an answer.
async fn waiting_invitation(context: &mut Context, member: &str) -> Result<Option<ItemRow>, Ended> {
    let key = FoldKey::of(member);
    let updates = context.ask(Command::Inbox(InboxCommand::List { all: false })).await?;
    let items =
        updates.into_iter().filter_map(|update| if let Update::Item(item) = update { Some(*item) } else { None });
    let waits = |item: &ItemRow| item.kind == ItemKind::Channel && item.incoming && item.state == ItemState::Waiting;
    Ok(items.into_iter().find(|item| waits(item) && FoldKey::of(&item.from) == key))
}

/// Asks until the answer is a clear one.
async fn is_yes(context: &mut Context, item: &ItemRow, lines: &mut Lines) -> Result<bool, Ended> {
    if context.globals.yes {
        return Ok(true);
    }
    let from = show_line(&item.from, 40);
    if context.globals.no_input {
        let hint = format!("answer with --yes, or `swapmeet inbox accept {0}` or `decline {0}`", &item.id[..8]);
        return Err(Ended::usage(format!("{from} invites you to a private channel, and nobody can be asked"), hint));
    }
    if context.out.is_json() {
        context.out.line(&ItemRecord::from(item.clone()))?;
    }
    loop {
        context.talk.note(&format!("{from} invites you to a private channel. Accept? y or n"));
        let line = tokio::select! {
            line = lines.next() => line,
            () = context.interrupt.first() => return Err(Ended::interrupted()),
        };
        match line.map(|line| line.map(|text| text.trim().to_lowercase())) {
            Some(Ok(answer)) if matches!(&*answer, "y" | "yes") => return Ok(true),
            Some(Ok(answer)) if matches!(&*answer, "n" | "no") => return Ok(false),
            Some(_) => {}
            None => return Err(Ended::usage("the invitation was not answered", "it waits in `swapmeet inbox`")),
        }
    }
}

/// Holds a channel to its end.
async fn hold(context: &mut Context, command: ChannelCommand, id: String, lines: Lines) -> Outcome {
    let client = context.client().await?;
    let mut updates = client.call(Command::Channel(command)).await;
    let mut held = Held {
        context,
        client,
        id,
        lines,
        pending: None,
        taking: None,
        open: false,
        over: false,
        fetching: BTreeSet::new(),
    };
    let interrupt = held.context.interrupt.clone();
    let mut leaving = None;
    loop {
        if held.open && held.over && leaving.is_none() && held.pending.is_none() && held.fetching.is_empty() {
            leaving = Some(Leaving::InOrder);
            held.ask(ChannelCommand::Leave { channel: held.id.clone() });
        }
        tokio::select! {
            update = updates.next() => match update {
                Ok(Some(Update::Channel(row))) => held.show(row)?,
                Ok(Some(Update::ChannelLine(line))) => held.show_line(*line)?,
                Ok(Some(_)) => {}
                Ok(None) if leaving == Some(Leaving::Interrupted) => return Err(left()),
                Ok(None) => return Ok(()),
                Err(failure) => return Err(failure.into()),
            },
            failed = answered(&mut held.pending) => {
                held.pending = None;
                let taken = held.taking.take();
                match (failed, leaving) {
                    (Some(failure), None) => {
                        held.context.talk.complain(&failure);
                        if let Some(number) = taken {
                            held.fetching.remove(&number);
                        }
                    }
                    // It had not begun, or is over: there is nothing to leave.
                    (Some(_), Some(Leaving::Interrupted)) => return Err(left()),
                    (Some(_), Some(Leaving::InOrder)) | (None, _) => {}
                }
            }
            line = held.lines.next(), if held.open && !held.over && held.pending.is_none() => match line {
                Some(Ok(line)) => held.obey(&line),
                Some(Err(failure)) => held.context.talk.complain(&failure),
                None => held.over = true,
            },
            () = interrupt.first(), if leaving.is_none() => {
                leaving = Some(Leaving::Interrupted);
                held.over = true;
                held.ask(ChannelCommand::Leave { channel: held.id.clone() });
            }
        }
    }
}

/// Why this side leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    InOrder,
    Interrupted,
}

fn left() -> Ended {
    let hint = "`swapmeet chat channel MEMBER` invites anew";
    Failure::new(FailureKind::Interrupted, "interrupted", "left the private channel", hint).into()
}

/// A call about the channel that runs beside the one that holds it.
type Pending = Pin<Box<dyn Future<Output = Option<Failure>>>>;

/// Waits for the answer to what was asked last; never, where nothing was.
async fn answered(pending: &mut Option<Pending>) -> Option<Failure> {
    poll_fn(|cx| match pending {
        Some(pending) => pending.as_mut().poll(cx),
        None => Poll::Pending,
    })
    .await
}

/// A channel that this command holds.
struct Held<'a> {
    context: &'a mut Context,
    client: Client,
    id: String,
    lines: Lines,
    pending: Option<Pending>,
    /// The line whose file is being asked for.
    taking: Option<u64>,
    open: bool,
    /// Nothing more is said.
    over: bool,
    /// Lines whose files are being fetched.
    fetching: BTreeSet<u64>,
}

impl Held<'_> {
    fn ask(&mut self, command: ChannelCommand) {
        let client = self.client.clone();
        self.pending = Some(Box::pin(async move { client.ask(Command::Channel(command)).await.err() }));
    }

    /// Carries out one line of stdin.
    fn obey(&mut self, line: &str) {
        let channel = self.id.clone();
        match parse(line) {
            Ok(Order::Nothing) => {}
            Ok(Order::Say(text)) => self.ask(ChannelCommand::Say { channel, text }),
            Ok(Order::Offer(path)) => self.ask(ChannelCommand::Offer { channel, path }),
            Ok(Order::Take(number, target)) => {
                self.fetching.insert(number);
                self.taking = Some(number);
                self.ask(ChannelCommand::Take { channel, number, target });
            }
            Ok(Order::Leave) => {
                self.fetching.clear();
                self.over = true;
            }
            Err(failure) => self.context.talk.complain(&failure),
        }
    }

    fn show(&mut self, row: ChannelRow) -> Outcome {
        // Where both have invited each other, it is the other one's invitation that became the channel.
        self.id.clone_from(&row.id);
        let talk = &self.context.talk;
        let with = show_line(&row.with, 40);
        match row.state {
            ChannelState::Inviting => {
                let minutes = CHANNEL_INVITE_LIFE.as_secs() / 60;
                talk.note(&format!("{with} is invited and has {minutes} minutes to answer; Ctrl-C takes it back"));
            }
            ChannelState::Connecting => talk.note("accepted; the devices look for each other"),
            ChannelState::Open => {
                self.open = true;
                let how = match row.path.map(PathKind::word) {
                    Some("relay") => "relayed by the tracker, which cannot read it".to_owned(),
                    Some(word) => format!("straight between the two devices ({word})"),
                    None => String::new(),
                };
                talk.note(&format!("private channel with {with}, {how}; nothing of it is kept here or at the tracker"));
                talk.note(&format!("key words: {}", row.words.join(" ")));
                talk.note(&format!("let {with} read theirs to you: if they differ, somebody is in between"));
                talk.note("/offer PATH, /take N [DIR], /leave; everything else is said");
            }
            ChannelState::Ended => {
                (self.open, self.over) = (false, true);
                talk.note(&format!("the channel is over: {}", row.reason));
            }
        }
        if self.context.out.is_terminal() {
            return Ok(());
        }
        self.context.out.line(&ChannelRecord::from(row))
    }

    fn show_line(&mut self, line: ChannelLineRow) -> Outcome {
        if let Some(file) = line.file.as_ref().filter(|_| !line.mine) {
            match file.state {
                ChannelFileState::Fetching => drop(self.fetching.insert(line.number)),
                ChannelFileState::Offered | ChannelFileState::Fetched | ChannelFileState::Failed => {
                    self.fetching.remove(&line.number);
                }
            }
        }
        // Who types sees what they typed.
        let typed = self.context.out.is_terminal() && line.mine && line.file.is_none();
        match ChannelFileRecord::of(&line) {
            Some(file) => self.context.out.line(&file),
            None if typed => Ok(()),
            None => self.context.out.line(&ChannelMessageRecord::from(line)),
        }
    }
}

/// What a line of stdin asks for.
#[derive(Debug, PartialEq, Eq)]
enum Order {
    Nothing,
    Say(String),
    Offer(PathBuf),
    Take(u64, Target),
    Leave,
}

/// A slash begins a command; two begin text with one.
fn parse(line: &str) -> Result<Order, Failure> {
    let line = line.trim();
    let Some(command) = line.strip_prefix('/') else {
        return Ok(if line.is_empty() { Order::Nothing } else { Order::Say(line.to_owned()) });
    };
    if command.starts_with('/') {
        return Ok(Order::Say(command.to_owned()));
    }
    let usage = |message: &str| {
        let hint = "/offer PATH, /take N [DIR], /leave; // begins text with a slash";
        Failure::new(FailureKind::Usage, "usage", message, hint)
    };
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let rest = rest.trim();
    match name {
        "offer" if rest.is_empty() => Err(usage("which file?")),
        "offer" => {
            let path = std::path::absolute(rest).map_err(|error| usage(&format!("no path: {error}")))?;
            Ok(Order::Offer(path))
        }
        "take" => {
            let (number, place) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let number = number.parse().map_err(|_| usage("the number of the line that offers the file is needed"))?;
            let place = place.trim();
            let place = place.strip_prefix("-o").map_or(place, str::trim_start);
            let place = (!place.is_empty()).then(|| Path::new(place));
            match target(place, 1) {
                Ok(target) => Ok(Order::Take(number, target)),
                Err(Ended::Failed(failure)) => Err(failure),
                Err(Ended::ClosedPipe) => Err(usage("no place")),
            }
        }
        "leave" if rest.is_empty() => Ok(Order::Leave),
        _ => Err(usage("a line that begins with a slash is a command")),
    }
}

/// The lines of stdin, read by a thread of its own.
struct Lines(mpsc::Receiver<Result<String, Failure>>);

impl Lines {
    fn of_stdin() -> Self {
        let (lines, receiver) = mpsc::channel(1);
        // Blocked in reading, it ends with the process.
        std::thread::spawn(move || {
            let mut stdin = io::stdin().lock();
            while let Some(line) = next_line(&mut stdin) {
                if lines.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self(receiver)
    }

    /// The next line; `None` at the end. Safe to cancel.
    async fn next(&mut self) -> Option<Result<String, Failure>> {
        self.0.recv().await
    }
}

/// Reads a line of bounded length; `None` at the end, or where nothing can be read.
fn next_line(from: &mut impl io::BufRead) -> Option<Result<String, Failure>> {
    let mut line = Vec::new();
    let most = CHANNEL_TEXT_BYTES_MAX as u64 + LINE_SPARE;
    let read = from.by_ref().take(most).read_until(b'\n', &mut line).ok()?;
    if read == 0 {
        return None;
    }
    if line.last() != Some(&b'\n') && read as u64 == most {
        from.skip_until(b'\n').ok()?;
        let message = format!("a line in a channel may have {CHANNEL_TEXT_BYTES_MAX} bytes");
        return Some(Err(Failure::new(FailureKind::Usage, "too_long", message, "offer it as a file")));
    }
    let text = String::from_utf8(line);
    Some(text.map_err(|_| Failure::new(FailureKind::Usage, "not_text", "a line is not UTF-8", "offer it as a file")))
}

/// What a line may have beside its text: its end, a command, some space.
const LINE_SPARE: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_begins_a_command_and_two_begin_text() {
        assert_eq!(parse(" hello \n").unwrap(), Order::Say("hello".to_owned()));
        assert_eq!(parse("\n").unwrap(), Order::Nothing);
        assert_eq!(parse("//etc is a folder").unwrap(), Order::Say("/etc is a folder".to_owned()));
        assert_eq!(parse("/leave").unwrap(), Order::Leave);
        assert_eq!(parse("/offer /a b/c").unwrap(), Order::Offer("/a b/c".into()));
        assert_eq!(parse("/take 3").unwrap(), Order::Take(3, Target::Downloads));
        let place = Target::Folder("/tmp".into());
        assert_eq!(parse("/take 3 /tmp/").unwrap(), Order::Take(3, place.clone()));
        assert_eq!(parse("/take 3 -o /tmp").unwrap(), Order::Take(3, place));
        for wrong in ["/offer", "/take", "/take x", "/leave now", "/quit"] {
            assert_eq!(parse(wrong).unwrap_err().code, "usage", "{wrong}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_or_no_text_is_passed_over() {
        let long = "x".repeat(2 * CHANNEL_TEXT_BYTES_MAX);
        let bytes = [long.as_bytes(), b"\nshort\n\xff\nlast"].concat();
        let mut from = bytes.as_slice();
        assert_eq!(next_line(&mut from).unwrap().unwrap_err().code, "too_long");
        assert_eq!(next_line(&mut from).unwrap().unwrap(), "short\n");
        assert_eq!(next_line(&mut from).unwrap().unwrap_err().code, "not_text");
        assert_eq!(next_line(&mut from).unwrap().unwrap(), "last");
        assert!(next_line(&mut from).is_none());
    }
}
