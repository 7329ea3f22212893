//! What goes: closed once, sealed to the devices that there are, and shown to the tracker until it keeps it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use shared::{
    id::{AccountId, DeviceId},
    limits::{MESSAGE_DEVICES_MAX, MESSAGE_RETRY, MESSAGE_SEAL_TRIES_MAX, MESSAGE_SEALS_MAX, MESSAGE_TARGETS_MAX},
    wire::message::{DeviceKeys, Header, MessageAnswer, MessageRequest, Seal, Sending},
};

use super::{
    Target, ask,
    envelope::{Content, Envelope},
    locked,
    rooms::{Fate, Judgement, fate_by_answer, fate_by_failure, judge},
    tell,
};
use crate::engine::{
    api::{Failure, FailureKind, MessageState, NoticeLevel},
    core::Core,
    failure,
    session::Online,
    state::WaitingMessage,
};

/// Sends what waits, in order, whenever something is written.
pub(super) async fn run(core: &Arc<Core>, online: &Online) -> Result<(), Failure> {
    loop {
        let Some(message) = core.state.waiting_messages(1).await.map_err(failure::unexpected)?.pop() else {
            core.chat.written.notified().await;
            continue;
        };
        let fate = match send(core, online, &message).await {
            Ok(fate) => fate,
            Err(failure) => match fate_by_failure(&failure) {
                Some(fate) => fate,
                None => return Err(failure),
            },
        };
        let (state, at_ms, why, wait) = match fate {
            Fate::Sent { at_ms } => (MessageState::Sent, Some(at_ms), String::new(), None),
            Fate::Failed { why } => (MessageState::Failed, None, why, None),
            Fate::Later { wait_ms, why } => (MessageState::Waiting, None, why, Some(Duration::from_millis(wait_ms))),
            Fate::SealAgain => {
                let why = "devices come and go too fast".to_owned();
                (MessageState::Waiting, None, why, Some(MESSAGE_RETRY))
            }
        };
        let moved = core.state.message_moved(message.id, state, at_ms, &why).await.map_err(failure::unexpected)?;
        if let Some(row) = moved {
            tell(core, row);
        }
        if let Some(wait) = wait {
            // What is written meanwhile waits behind this one: it is the same tracker that wants a pause.
            tokio::time::sleep(wait).await;
        }
    }
}

async fn send(core: &Arc<Core>, online: &Online, message: &WaitingMessage) -> Result<Fate, Failure> {
    let envelope = match &message.envelope {
        Some(envelope) => envelope.clone(),
        None => close(core, online, message).await?,
    };
    let to = message.room.account();
    for _ in 0..MESSAGE_SEAL_TRIES_MAX {
        let targets = targets(core, online, to).await?;
        match show(online, &envelope, &targets).await? {
            Fate::SealAgain => drop(locked(&core.chat.targets).remove(&to)),
            fate => return Ok(fate),
        }
    }
    Ok(Fate::SealAgain)
}

/// Closes a message and keeps the envelope, so that the next try shows the same.
async fn close(core: &Core, online: &Online, message: &WaitingMessage) -> Result<Envelope, Failure> {
    let header = Header {
        id: message.id,
        from: online.account.id,
        device: online.account.device,
        to: message.room.account(),
        written_ms: online.tracker_ms(),
    };
    let key = *certs::fresh().map_err(failure::unexpected)?;
    let content = Content::Text(message.text.clone());
    let envelope = Envelope::close(&core.key, key, header, &content)
        .ok_or_else(|| Failure::new(FailureKind::Usage, "too_long", "the message is too long", "send it in parts"))?;
    core.state.keep_envelope(&envelope).await.map_err(failure::unexpected)?;
    Ok(envelope)
}

/// Shows a message to the tracker, in as many parts as its seals take.
async fn show(online: &Online, envelope: &Envelope, targets: &Arc<Vec<Target>>) -> Result<Fate, Failure> {
    let seals = seal_all(envelope, targets).await?;
    let mut parts: Vec<Vec<Seal>> = seals.chunks(MESSAGE_SEALS_MAX).map(<[Seal]>::to_vec).collect();
    // Also a message that nobody else could read is shown: the tracker says what is wrong.
    let last = parts.pop().unwrap_or_default();
    for (seals, last) in parts.into_iter().map(|seals| (seals, false)).chain([(last, true)]) {
        let Envelope { header, body, signature, .. } = envelope.clone();
        let sending = Sending { header, body, signature, seals, last };
        match ask(&online.connection, MessageRequest::Send(sending)).await? {
            MessageAnswer::More if !last => {}
            answer => return fate_by_answer(&answer).ok_or_else(failure::bad_answer),
        }
    }
    Err(failure::bad_answer())
}

async fn seal_all(envelope: &Envelope, targets: &Arc<Vec<Target>>) -> Result<Vec<Seal>, Failure> {
    let (envelope, targets) = (envelope.clone(), targets.clone());
    // Some thousands of devices are some tenths of a second of work.
    let sealing = tokio::task::spawn_blocking(move || {
        targets.iter().map(|(device, sealing)| envelope.seal_to(*device, sealing)).collect::<Option<Vec<Seal>>>()
    });
    sealing.await.map_err(failure::unexpected)?.ok_or_else(forged)
}

/// The devices that a message to this member, or to everyone, is sealed to.
async fn targets(core: &Core, online: &Online, to: Option<AccountId>) -> Result<Arc<Vec<Target>>, Failure> {
    if let Some(known) = locked(&core.chat.targets).get(&to) {
        return Ok(known.clone());
    }
    let keys = keys(online, to).await?;
    let known = core.state.device_keys().await.map_err(failure::unexpected)?;
    let known: Known = known.into_iter().map(|(device, account, sealing)| (device, (account, sealing))).collect();
    let (keys, known, judged) = judge_all(keys, known).await?;
    let mut targets = Vec::with_capacity(keys.len());
    let mut news = Vec::new();
    for (keys, judged) in keys.iter().zip(judged) {
        let (device, is_news) = match judged {
            Judgement::Known(device) => (device, false),
            Judgement::New(device) => {
                let others = known.values().any(|(account, _)| *account == keys.account);
                if to == Some(keys.account) && others {
                    announce(core, keys.account, "signed in on a device that this one did not know before");
                }
                (device, true)
            }
            Judgement::Changed(device) => {
                announce(core, keys.account, "has a new key for messages on one of their devices");
                (device, true)
            }
            Judgement::Wrong => return Err(forged()),
        };
        if is_news {
            news.push((device, keys.account, keys.sealing));
        }
        targets.push((device, keys.sealing));
    }
    core.state.note_device_keys(&news).await.map_err(failure::unexpected)?;
    let targets = Arc::new(targets);
    let mut cached = locked(&core.chat.targets);
    if cached.len() >= MESSAGE_TARGETS_MAX {
        cached.clear();
    }
    cached.insert(to, targets.clone());
    Ok(targets)
}

/// What was known of devices: their members and keys.
type Known = HashMap<DeviceId, (AccountId, [u8; 32])>;

/// Holds keys against what was known. Some thousands of signatures are some tenths of a second of work.
async fn judge_all(keys: Vec<DeviceKeys>, known: Known) -> Result<(Vec<DeviceKeys>, Known, Vec<Judgement>), Failure> {
    let judging = tokio::task::spawn_blocking(move || {
        let judged = keys.iter().map(|keys| judge(keys, |device| known.get(&device).copied())).collect();
        (keys, known, judged)
    });
    judging.await.map_err(failure::unexpected)
}

async fn keys(online: &Online, to: Option<AccountId>) -> Result<Vec<DeviceKeys>, Failure> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let MessageAnswer::Keys { keys, next } = ask(&online.connection, MessageRequest::Keys { to, after }).await?
        else {
            return Err(failure::bad_answer());
        };
        if let Some(to) = to
            && keys.iter().any(|keys| keys.account != to && keys.account != online.account.id)
        {
            return Err(forged());
        }
        all.extend(keys);
        // A tracker that names more devices than a group has is not believed.
        if next.is_none() || next <= after || all.len() > MESSAGE_DEVICES_MAX {
            return Ok(all);
        }
        after = next;
    }
}

fn announce(core: &Core, account: AccountId, what: &str) {
    let name = core.member_name(account).unwrap_or_else(|| "a member".to_owned());
    let text = format!("{} {what}", shared::show::show_line(&name, 64));
    core.hub.notice(NoticeLevel::Warning, &text, "ask them whether that is so");
}

fn forged() -> Failure {
    Failure::new(
        FailureKind::Refused,
        "forged_key",
        "the tracker names a key that does not belong to the receiver's device: nothing was sent",
        "ask whoever runs the tracker",
    )
}
