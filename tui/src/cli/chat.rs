//! `swapmeet chat`: messages to a member or to everyone.
//!
//! A message is noted first and sent by the engine. Where the tracker cannot be reached, it waits: with an engine in the
//! background the command ends well and says so; without one nobody would send it until the next command, so it ends
//! with the exit code of a tracker out of reach, and the message is kept all the same.

use std::{collections::BTreeMap, io::Read as _};

use clap::{Args, Subcommand};
use shared::{
    id::MessageId,
    limits::{MESSAGE_TEXT_BYTES_MAX, MESSAGES_READ_MAX},
};

use super::{
    channel::Channel,
    context::Context,
    record::{EVERYONE, MessageRecord},
    talk::{Ended, Outcome},
};
use crate::engine::{
    api::{ChatCommand, Command, Failure, FailureKind, MessageRow, MessageState, RoomName, Update},
    client::engine_gone,
};

#[derive(Debug, Args)]
pub(super) struct Chat {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Send a message to a member; it waits for those who are away
    Send(Send),
    /// Send a message to every member
    Broadcast(Broadcast),
    /// What was said; marks it as read
    Read(Read),
    /// Every message from now on, until interrupted
    Follow,
    /// A private channel with a member: straight between the two devices, and kept nowhere
    Channel(Channel),
}

#[derive(Debug, Args)]
struct Send {
    /// The member
    member: String,
    /// The message; - reads stdin
    text: String,
}

#[derive(Debug, Args)]
struct Broadcast {
    /// The message; - reads stdin
    text: String,
}

#[derive(Debug, Args)]
struct Read {
    /// Only what was said with this member; #all is what was said to everyone
    member: Option<String>,
    /// Only what was not read yet
    #[arg(long)]
    unread: bool,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = READ_USUALLY)]
    last: u32,
}

impl Chat {
    /// Whether it holds a private channel, and has a goodbye to say.
    pub(super) const fn is_channel(&self) -> bool {
        matches!(self.what, What::Channel(_))
    }

    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        match self.what {
            What::Send(Send { member, text }) => send(context, room_typed(member), text).await,
            What::Broadcast(Broadcast { text }) => send(context, RoomName::Everyone, text).await,
            What::Read(read) => read.run(context).await,
            What::Follow => follow(context).await,
            What::Channel(channel) => channel.run(context).await,
        }
    }
}

fn room_typed(member: String) -> RoomName {
    if member == EVERYONE { RoomName::Everyone } else { RoomName::Member(member) }
}

async fn send(context: &mut Context, room: RoomName, text: String) -> Outcome {
    let text = if text == "-" { from_stdin().await? } else { text };
    let id = MessageId(rand::random()).to_string();
    let mut updates = context.ask(chat(ChatCommand::SendOnce { id, room, text })).await?;
    let row = messages(&mut updates).next();
    let mut row = row.ok_or_else(|| Ended::unexpected("no_answer", "the engine did not say what it noted"))?;
    // From here on the message is kept, whatever happens to this command.
    let mut reply = context.call(chat(ChatCommand::Wait { id: row.id.clone() })).await?;
    while let Some(update) = reply.next().await? {
        if let Update::Message(news) = update {
            row = *news;
            if row.state == MessageState::Waiting && !row.reason.is_empty() {
                context.talk.note(&shared::show::show_line(&row.reason, 200));
            }
        }
    }
    let (state, reason) = (row.state, row.reason.clone());
    context.out.card(&MessageRecord::from(row))?;
    match state {
        MessageState::Failed => {
            Err(Failure::new(FailureKind::Refused, "not_sent", shared::show::show_line(&reason, 300), "").into())
        }
        MessageState::Waiting if context.is_attached() => {
            context.talk.note("the tracker cannot be reached: the engine sends it when it is there");
            Ok(())
        }
        MessageState::Waiting => {
            let message = "the tracker cannot be reached: the message waits";
            let hint = "the next command sends it, or `swapmeet engine run`, as soon as the tracker is there";
            Err(Failure::new(FailureKind::Unreachable, "waiting", message, hint).into())
        }
        MessageState::Sent | MessageState::Delivered | MessageState::Received => Ok(()),
    }
}

impl Read {
    async fn run(self, context: &mut Context) -> Outcome {
        let room = self.member.map(room_typed);
        let limit = self.last.min(MESSAGES_READ_MAX);
        // An engine of our own has just begun: what waits at the tracker is not here yet.
        context.ask(chat(ChatCommand::Settle)).await?;
        let command = ChatCommand::Read { room, unread: self.unread, before: None, limit };
        let mut updates = context.ask(chat(command)).await?;
        let mut seen = BTreeMap::new();
        let mut table = context.out.table::<MessageRecord>();
        for row in messages(&mut updates) {
            if row.unread {
                seen.insert(row.room.clone(), row.id.clone());
            }
            table.push(&MessageRecord::from(row))?;
        }
        table.finish()?;
        context.out.flush()?;
        for (room, up_to) in seen {
            context.ask(chat(ChatCommand::Seen { room, up_to })).await?;
        }
        Ok(())
    }
}

async fn follow(context: &mut Context) -> Outcome {
    let mut updates = context.client().await?.call(chat(ChatCommand::Follow)).await;
    while let Some(update) = updates.next().await? {
        if let Update::Message(row) = update {
            context.out.line(&MessageRecord::from(*row))?;
        }
    }
    Err(Ended::from(engine_gone()))
}

const fn chat(command: ChatCommand) -> Command {
    Command::Chat(command)
}

fn messages(updates: &mut Vec<Update>) -> impl Iterator<Item = MessageRow> {
    updates.drain(..).filter_map(|update| if let Update::Message(row) = update { Some(*row) } else { None })
}

/// All of stdin, as far as a message may hold it.
async fn from_stdin() -> Result<String, Ended> {
    let most = MESSAGE_TEXT_BYTES_MAX as u64 + 1024;
    let read = tokio::task::spawn_blocking(move || {
        let mut text = Vec::new();
        std::io::stdin().lock().take(most).read_to_end(&mut text).map(|_| text)
    });
    let text = read.await.map_err(|error| Ended::unexpected("stdin", error.to_string()))?;
    let text = text.map_err(|error| Ended::unexpected("stdin", format!("could not read stdin: {error}")))?;
    String::from_utf8(text).map_err(|_| Ended::usage("the message is not UTF-8", "send text, or share it as a file"))
}

/// What fits into a terminal or two.
const READ_USUALLY: u32 = 200;
