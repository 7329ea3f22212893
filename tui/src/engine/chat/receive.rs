//! What comes: opened, noted, then acknowledged. What cannot be read is noted as that, once.

use std::sync::Arc;

use quinn::Connection;
use shared::{
    id::MessageId,
    limits::{MESSAGE_OLD, MESSAGES_NAMED_MAX},
    show::show_line,
    wire::message::{Delivery, MessageAnswer, MessageRequest},
};

use super::{
    Arrived, ask,
    envelope::{self, Content, Reader, Unreadable},
    rooms::Room,
    tell,
};
use crate::engine::{
    api::{EventKind, Failure, MessageState},
    core::Core,
    failure,
    session::Online,
    state::NewMessage,
};

/// Works off what arrives on a connection.
pub(super) async fn run(core: &Arc<Core>, online: &Online) -> Result<(), Failure> {
    loop {
        let Arrived { deliveries, delivered, missed } = core.chat.take_arrived();
        if missed {
            fetch(core, online).await?;
            core.chat.in_step.send_replace(true);
        } else if !deliveries.is_empty() {
            let deliveries: Vec<Delivery> = deliveries.into();
            take_in(core, online, &deliveries).await?;
        }
        note_delivered(core, delivered).await?;
        core.chat.news.notified().await;
    }
}

/// Takes all that waits at the tracker, and asks how far own messages have come.
async fn fetch(core: &Arc<Core>, online: &Online) -> Result<(), Failure> {
    let mut after = 0;
    loop {
        let MessageAnswer::Waiting { messages, more } =
            ask(&online.connection, MessageRequest::Waiting { after }).await?
        else {
            return Err(failure::bad_answer());
        };
        // A page that leads nowhere would be asked for again for ever.
        let last = messages.iter().map(|message| message.place).max().unwrap_or(after);
        let leads_on = more && last > after;
        take_in(core, online, &messages).await?;
        after = last;
        if !leads_on {
            break;
        }
    }
    let sent = core.state.undelivered_messages(MESSAGES_NAMED_MAX).await.map_err(failure::unexpected)?;
    if sent.is_empty() {
        return Ok(());
    }
    match ask(&online.connection, MessageRequest::Delivered { messages: sent }).await? {
        MessageAnswer::Delivered { messages } => note_delivered(core, messages).await,
        _ => Err(failure::bad_answer()),
    }
}

async fn take_in(core: &Arc<Core>, online: &Online, deliveries: &[Delivery]) -> Result<(), Failure> {
    let mut noted = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        noted.push(read(core, online, delivery).await?);
    }
    for row in core.state.note_messages(&noted).await.map_err(failure::unexpected)? {
        if !row.mine {
            core.hub.event(EventKind::MessageReceived { message: Box::new(row.clone()) });
        }
        tell(core, row);
    }
    acknowledge(&online.connection, deliveries.iter().map(|delivery| delivery.header.id).collect()).await
}

async fn acknowledge(connection: &Connection, messages: Vec<MessageId>) -> Result<(), Failure> {
    for part in messages.chunks(MESSAGES_NAMED_MAX) {
        let MessageAnswer::Done = ask(connection, MessageRequest::Acknowledge { messages: part.to_vec() }).await?
        else {
            return Err(failure::bad_answer());
        };
    }
    Ok(())
}

/// A message as it is noted, readable or not.
async fn read(core: &Core, online: &Online, delivery: &Delivery) -> Result<NewMessage, Failure> {
    let me = &online.account;
    let header = &delivery.header;
    let owner = core.state.owner_of_device(header.device).await.map_err(failure::unexpected)?;
    let opened = if owner.is_some_and(|owner| owner != header.from) {
        Err(Unreadable::OtherMember)
    } else if delivery.at_ms.saturating_sub(header.written_ms) > MESSAGE_OLD_MS {
        Err(Unreadable::TooOld)
    } else {
        envelope::open(Reader { account: me.id, device: me.device, key: &core.chat.key }, delivery)
    };
    let mine = header.from == me.id;
    let room = match header.to {
        None => Room::Everyone,
        Some(to) if mine => Room::With(to),
        Some(_) => Room::With(header.from),
    };
    let sender = show_line(&delivery.from_name, NAME_GRAPHEMES);
    let receiver = delivery.to_name.as_ref().map(|name| show_line(name, NAME_GRAPHEMES));
    let room_name = if mine { receiver.clone() } else { Some(sender.clone()) }.filter(|_| room != Room::Everyone);
    let (text, unreadable) = match opened {
        Ok(Content::Text(text)) => (text, false),
        Err(why) => {
            tracing::warn!(message = %header.id, %why, "a message cannot be read");
            (format!("a message from {sender} that this device cannot read: {why}"), true)
        }
    };
    let state = if mine { MessageState::Sent } else { MessageState::Received };
    let at_ms = delivery.at_ms;
    Ok(NewMessage {
        id: header.id,
        room,
        room_name,
        sender,
        receiver,
        mine,
        text,
        at_ms,
        state,
        unread: !mine,
        unreadable,
    })
}

async fn note_delivered(core: &Core, messages: Vec<MessageId>) -> Result<(), Failure> {
    for id in messages {
        let moved = core.state.message_moved(id, MessageState::Delivered, None, "").await;
        if let Some(row) = moved.map_err(failure::unexpected)? {
            tell(core, row);
        }
    }
    Ok(())
}

/// Names are 32 characters long at most; a tracker that says otherwise gets no more of the screen.
const NAME_GRAPHEMES: usize = 64;
const MESSAGE_OLD_MS: i64 = MESSAGE_OLD.as_millis() as i64;
