//! Messages: the keys that they are sealed to, what is sent, what waits, what is delivered.

use std::{collections::BTreeMap, sync::PoisonError, time::Duration};

use shared::{
    id::MessageId,
    limits::{MESSAGE_BODY_BYTES_MAX, MESSAGE_SEAL_BYTES, MESSAGE_SEALS_MAX, MESSAGES_NAMED_MAX},
    wire::{
        message::{Delivery, MessageAnswer, MessageEvent, MessageRequest, Sending, key_statement},
        tracker::Event,
    },
};

use super::{Ctx, Error, Moment, at_most};
use crate::{
    events::Target,
    flood::Audience,
    store::{Caller, Mail, Mailed, Posted, StoreError},
};

/// Answers what a device asks about messages.
///
/// # Errors
/// When the request makes no sense, breaks a limit, or the store fails.
pub async fn message(ctx: &Ctx, caller: Caller, request: MessageRequest, now: Moment) -> Result<MessageAnswer, Error> {
    match request {
        MessageRequest::PublishKey { key, proof } => publish_key(ctx, &caller, key, proof).await,
        MessageRequest::Keys { to, after } => {
            let (keys, next) = ctx.store.message_keys(&caller, to, after).await?;
            Ok(MessageAnswer::Keys { keys, next })
        }
        MessageRequest::Send(sending) => send(ctx, caller, sending, now).await,
        MessageRequest::Waiting { after } => {
            let (messages, more) = ctx.store.waiting_messages(&caller, after).await?;
            Ok(MessageAnswer::Waiting { messages, more })
        }
        MessageRequest::Acknowledge { messages } => acknowledge(ctx, caller, messages).await,
        MessageRequest::Delivered { messages } => {
            at_most("messages", messages.len(), MESSAGES_NAMED_MAX)?;
            Ok(MessageAnswer::Delivered { messages: ctx.store.delivered_among(&caller, &messages).await? })
        }
    }
}

async fn publish_key(ctx: &Ctx, caller: &Caller, key: [u8; 32], proof: Vec<u8>) -> Result<MessageAnswer, Error> {
    let device = ctx.store.find_device(caller.device).await?.ok_or(StoreError::SignedOut)?;
    if !certs::verify(&device.key, &key_statement(&key), &proof) {
        return Err(Error::Bad("the key for messages is not signed by this device".into()));
    }
    ctx.store.publish_message_key(caller, key, proof).await?;
    Ok(MessageAnswer::Done)
}

async fn send(ctx: &Ctx, caller: Caller, sending: Sending, now: Moment) -> Result<MessageAnswer, Error> {
    check(&caller, &sending)?;
    let audience = if sending.header.to.is_some() { Audience::Member } else { Audience::Everyone };
    let admitted =
        ctx.flood.lock().unwrap_or_else(PoisonError::into_inner).admit(caller.account, audience, now.instant);
    if let Err(wait) = admitted {
        return Ok(MessageAnswer::TooMany { wait_ms: millis_up(wait) });
    }
    Ok(match ctx.mailroom.carry(Mail::Send { caller, sending }).await? {
        Mailed::Kept { at_ms, news } => {
            if let Some(posted) = news {
                tell(ctx, *posted);
            }
            MessageAnswer::Sent { at_ms }
        }
        Mailed::More => MessageAnswer::More,
        Mailed::DevicesMissing(devices) => MessageAnswer::DevicesMissing { devices },
        Mailed::Delivered(_) => return Err(StoreError::NotWritten.into()),
    })
}

/// What can be said of a message without the database.
fn check(caller: &Caller, sending: &Sending) -> Result<(), Error> {
    let Sending { header, body, signature, seals, .. } = sending;
    at_most("bytes of a message", body.len(), MESSAGE_BODY_BYTES_MAX)?;
    at_most("devices of a message", seals.len(), MESSAGE_SEALS_MAX)?;
    let bad = |what: &str| Err(Error::Bad(what.to_owned()));
    if header.from != caller.account || header.device != caller.device {
        return bad("the message says that somebody else sends it");
    }
    if header.to == Some(caller.account) {
        return bad("the message is for its sender");
    }
    if body.is_empty() || signature.len() != 64 || seals.iter().any(|seal| seal.sealed.len() != MESSAGE_SEAL_BYTES) {
        return bad("the message is not sealed as messages are");
    }
    Ok(())
}

/// Hands a message to the devices that are there; for the others it waits.
fn tell(ctx: &Ctx, posted: Posted) {
    let Posted { delivery, seals } = posted;
    ctx.events.send_each(seals.into_iter().map(|seal| (seal.device, seal.sealed)), |sealed| {
        Event::Message(MessageEvent::Arrived(Box::new(Delivery { sealed, ..delivery.clone() })))
    });
}

async fn acknowledge(ctx: &Ctx, caller: Caller, messages: Vec<MessageId>) -> Result<MessageAnswer, Error> {
    at_most("messages", messages.len(), MESSAGES_NAMED_MAX)?;
    let Mailed::Delivered(delivered) = ctx.mailroom.carry(Mail::Acknowledge { caller, messages }).await? else {
        return Err(StoreError::NotWritten.into());
    };
    let mut by_sender: BTreeMap<_, Vec<MessageId>> = BTreeMap::new();
    for (sender, message) in delivered {
        by_sender.entry(sender).or_default().push(message);
    }
    for (sender, messages) in by_sender {
        ctx.events.send(Target::Account(sender), Event::Message(MessageEvent::Delivered { messages }));
    }
    Ok(MessageAnswer::Done)
}

/// Whole milliseconds, of which none is too early.
fn millis_up(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}
