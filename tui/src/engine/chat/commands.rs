//! What faces ask about messages.

use std::sync::{Arc, atomic::Ordering};

use shared::{
    id::MessageId,
    limits::{MESSAGE_DRAFT_BYTES_MAX, MESSAGES_READ_MAX, MESSAGES_WAITING_MAX},
    name::MemberName,
    show::show_line,
};
use tokio::sync::broadcast::error::RecvError;

use super::{
    room_rows,
    rooms::{Room, worth_sending},
    tell,
};
use crate::engine::{
    api::{ChatCommand, Failure, FailureKind, MessageRow, MessageState, RoomName, Update},
    core::Core,
    dispatch::Out,
    failure,
    session::Phase,
    state::{NewMessage, Reading},
};

/// Carries out one command.
pub(in crate::engine) async fn carry_out(core: &Arc<Core>, command: ChatCommand, out: &Out) -> Result<(), Failure> {
    core.account().await?;
    match command {
        ChatCommand::Send { room, text } => send(core, MessageId(rand::random()), &room, &text, out).await,
        ChatCommand::Retry { id } => retry(core, &id, out).await,
        ChatCommand::Rooms => out.send(Update::Rooms(room_rows(core).await?)).await,
        ChatCommand::Read { room, unread, before, limit } => {
            let room = match room {
                Some(room) => Some(room_named(core, &room).await?.0),
                None => None,
            };
            let before = before.map(|id| message_named(&id)).transpose()?;
            let reading = Reading { room, unread, before, limit: limit.min(MESSAGES_READ_MAX) };
            for row in core.state.read_messages(&reading).await.map_err(failure::unexpected)? {
                out.send(message(row)).await?;
            }
            Ok(())
        }
        ChatCommand::Seen { room, up_to } => {
            let (room, _) = room_named(core, &room).await?;
            let up_to = message_named(&up_to)?;
            if core.state.messages_seen(room, up_to).await.map_err(failure::unexpected)? {
                core.chat.rooms_changed.store(true, Ordering::Relaxed);
            }
            Ok(())
        }
        ChatCommand::Mute { room, muted } => {
            let (room, name) = room_named(core, &room).await?;
            core.state.mute_room(room, &name.unwrap_or_default(), muted).await.map_err(failure::unexpected)?;
            core.chat.rooms_changed.store(true, Ordering::Relaxed);
            Ok(())
        }
        ChatCommand::Draft { room, text } => {
            if text.len() > MESSAGE_DRAFT_BYTES_MAX {
                let message = format!("a draft may have {MESSAGE_DRAFT_BYTES_MAX} bytes");
                return Err(Failure::new(FailureKind::Usage, "too_long", message, "keep it in a file"));
            }
            let (room, name) = room_named(core, &room).await?;
            core.state.draft(room, &name.unwrap_or_default(), &text).await.map_err(failure::unexpected)
        }
        ChatCommand::Follow => follow(core, out).await,
        ChatCommand::Wait { id } => wait(core, message_named(&id)?, out).await,
        ChatCommand::Settle => settle(core).await,
        ChatCommand::SendOnce { id, room, text } => send(core, message_named(&id)?, &room, &text, out).await,
    }
}

async fn send(core: &Arc<Core>, id: MessageId, room: &RoomName, text: &str, out: &Out) -> Result<(), Failure> {
    // Asked before, perhaps of an engine that is no more.
    if let Some(row) = core.state.message(id).await.map_err(failure::unexpected)?.filter(|row| row.mine) {
        return out.send(message(row)).await;
    }
    let text = worth_sending(text)?.to_owned();
    let me = core.account().await?;
    let (room, room_name) = room_named(core, room).await?;
    if room.account() == Some(me.id) {
        return Err(Failure::new(FailureKind::Usage, "yourself", "that is you", "name another member"));
    }
    if core.state.waiting_count().await.map_err(failure::unexpected)? >= MESSAGES_WAITING_MAX {
        let message = format!("{MESSAGES_WAITING_MAX} messages wait for the tracker already");
        return Err(Failure::new(FailureKind::Refused, "too_many", message, "wait until the tracker is there"));
    }
    let new = NewMessage {
        id,
        room,
        room_name: room_name.clone(),
        sender: me.name,
        receiver: room_name,
        mine: true,
        text,
        at_ms: core.session.tracker_ms(),
        state: MessageState::Waiting,
        unread: false,
        unreadable: false,
    };
    for row in core.state.note_messages(&[new]).await.map_err(failure::unexpected)? {
        tell(core, row.clone());
        core.chat.written.notify_one();
        out.send(message(row)).await?;
    }
    Ok(())
}

async fn retry(core: &Core, id: &str, out: &Out) -> Result<(), Failure> {
    let id = message_named(id)?;
    let row = core.state.message(id).await.map_err(failure::unexpected)?.ok_or_else(no_message)?;
    if row.state != MessageState::Failed {
        return Err(Failure::new(FailureKind::Conflict, "not_failed", "that message has not failed", ""));
    }
    let moved = core.state.message_moved(id, MessageState::Waiting, None, "").await.map_err(failure::unexpected)?;
    if let Some(row) = moved {
        tell(core, row.clone());
        core.chat.written.notify_one();
        out.send(message(row)).await?;
    }
    Ok(())
}

/// Every message from now on.
async fn follow(core: &Core, out: &Out) -> Result<(), Failure> {
    let mut news = core.hub.listen();
    loop {
        match news.recv().await {
            Ok(update @ Update::Message(_)) => out.send(update).await?,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => {
                let newest = Reading { room: None, unread: false, before: None, limit: MISSED };
                for row in core.state.read_messages(&newest).await.map_err(failure::unexpected)? {
                    out.send(message(row)).await?;
                }
            }
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

/// Messages told again to a face that fell behind.
const MISSED: u32 = 200;

/// A message whenever something about it changes, until the tracker has it, or it failed, or the tracker cannot be reached
/// now.
async fn wait(core: &Core, id: MessageId, out: &Out) -> Result<(), Failure> {
    let mut news = core.hub.listen();
    let mut phase = core.session.watch();
    // Begins a try where there is no connection, and waits for its end.
    let reachable = core.session.online().await.is_ok();
    let mut told = None;
    loop {
        let row = core.state.message(id).await.map_err(failure::unexpected)?.ok_or_else(no_message)?;
        let lost = matches!(*phase.borrow_and_update(), Phase::SignedOut | Phase::Offline { .. });
        let settled = row.state != MessageState::Waiting || !reachable || lost;
        let name = row.id.clone();
        if told.as_ref() != Some(&row) {
            told = Some(row.clone());
            out.send(message(row)).await?;
        }
        if settled {
            return Ok(());
        }
        tokio::select! {
            changed = phase.changed() => changed.map_err(|_| failure::unreachable("the engine is stopping"))?,
            news = next_of(&mut news, &name) => news?,
        }
    }
}

/// Waits for the first look of this connection at what waits.
async fn settle(core: &Core) -> Result<(), Failure> {
    let stopping = |_| failure::unreachable("the engine is stopping");
    let mut phase = core.session.watch();
    let mut in_step = core.chat.in_step.subscribe();
    if core.session.online().await.is_err() {
        return Ok(());
    }
    loop {
        let online = matches!(*phase.borrow_and_update(), Phase::Online(_));
        if !online || *in_step.borrow_and_update() {
            return Ok(());
        }
        tokio::select! {
            changed = phase.changed() => changed.map_err(stopping)?,
            changed = in_step.changed() => changed.map_err(stopping)?,
        }
    }
}

/// Waits for news of a message.
async fn next_of(news: &mut tokio::sync::broadcast::Receiver<Update>, id: &str) -> Result<(), Failure> {
    loop {
        match news.recv().await {
            Ok(Update::Message(row)) if row.id == id => return Ok(()),
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return Ok(()),
            Err(RecvError::Closed) => return Err(failure::unreachable("the engine is stopping")),
        }
    }
}

/// The room that a person means, and the name of the member in it.
async fn room_named(core: &Core, room: &RoomName) -> Result<(Room, Option<String>), Failure> {
    let RoomName::Member(typed) = room else { return Ok((Room::Everyone, None)) };
    let no_member = || {
        let message = format!("there is no member '{}'", show_line(typed, 80));
        Failure::new(FailureKind::NotFound, "no_member", message, "`swapmeet members` shows who is there")
    };
    let Ok(name) = MemberName::parse(typed) else { return Err(no_member()) };
    let key = name.key();
    let found = |(account, name)| (Room::With(account), Some(name));
    if let Some(member) = core.member_called(&key) {
        return Ok(found(member));
    }
    // Without the tracker, those are known whom something was said with.
    for row in core.state.rooms().await.map_err(failure::unexpected)? {
        if let (RoomName::Member(name), Some(account)) = (row.room, row.account)
            && MemberName::parse(&name).is_ok_and(|name| name.key() == key)
        {
            return Ok((Room::With(account), Some(name)));
        }
    }
    let online = core.session.online().await?;
    core.load_members(&online.connection).await?;
    core.member_called(&key).map(found).ok_or_else(no_member)
}

fn message_named(id: &str) -> Result<MessageId, Failure> {
    id.parse().map_err(|_| no_message())
}

fn no_message() -> Failure {
    Failure::new(FailureKind::NotFound, "no_message", "there is no such message on this device", "")
}

fn message(row: MessageRow) -> Update {
    Update::Message(Box::new(row))
}
