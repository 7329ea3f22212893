//! Messages: sent when the tracker is there, fetched, opened and noted when they come.
//!
//! Owns what of a message the tracker may know ([`envelope`]) and when it is sent and acknowledged. Nothing is
//! acknowledged before it is noted for good, and a message keeps its id and envelope until the tracker has said that it
//! keeps it: so whatever is lost or killed in between, each message is there once.

mod commands;
pub mod envelope;
mod receive;
pub mod rooms;
mod send;

use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use certs::SealingKey;
use quinn::Connection;
use shared::{
    id::{AccountId, DeviceId, MessageId},
    limits::MESSAGES_ARRIVING_MAX,
    wire::{
        message::{Delivery, MessageAnswer, MessageEvent, MessageRequest, key_statement},
        tracker::{Answer, Request},
    },
};
use tokio::sync::{Notify, watch};

pub(super) use commands::carry_out;

use super::{
    api::{Failure, MessageRow, NoticeLevel, RoomRow, Update},
    core::Core,
    failure,
    session::{self, Online},
};

/// What the engine keeps of messages beside the database.
#[derive(Debug)]
pub struct Chat {
    key: SealingKey,
    arrived: Mutex<Arrived>,
    /// Something arrived.
    news: Notify,
    /// Something is to be sent.
    written: Notify,
    rooms_changed: AtomicBool,
    /// Whether this connection has brought what waited at the tracker.
    in_step: watch::Sender<bool>,
    /// Devices that messages to a member, or to everyone, are sealed to, as of the last look.
    targets: Mutex<HashMap<Option<AccountId>, Arc<Vec<Target>>>>,
}

/// A device that messages are sealed to, and its key.
type Target = (DeviceId, [u8; 32]);

/// What the tracker told and nobody has worked off yet.
#[derive(Debug, Default)]
struct Arrived {
    deliveries: VecDeque<Delivery>,
    delivered: Vec<MessageId>,
    /// Something may have been missed: ask for all that waits.
    missed: bool,
}

impl Chat {
    /// With the key that others seal to.
    #[must_use]
    pub fn new(key: SealingKey) -> Self {
        Self {
            key,
            arrived: Mutex::default(),
            news: Notify::new(),
            written: Notify::new(),
            rooms_changed: AtomicBool::new(false),
            in_step: watch::Sender::new(false),
            targets: Mutex::default(),
        }
    }

    /// The tracker tells something about messages.
    pub fn hear(&self, event: MessageEvent) {
        let mut arrived = locked(&self.arrived);
        match event {
            MessageEvent::Arrived(delivery) if arrived.deliveries.len() < MESSAGES_ARRIVING_MAX => {
                arrived.deliveries.push_back(*delivery);
            }
            // It waits at the tracker too.
            MessageEvent::Arrived(_) => arrived.missed = true,
            MessageEvent::Delivered { messages } => arrived.delivered.extend(messages),
        }
        drop(arrived);
        self.news.notify_one();
    }

    /// Something may have been missed.
    pub fn look(&self) {
        locked(&self.arrived).missed = true;
        self.news.notify_one();
    }

    /// Whether rooms changed since the last call.
    pub fn take_change(&self) -> bool {
        self.rooms_changed.swap(false, Ordering::Relaxed)
    }

    fn take_arrived(&self) -> Arrived {
        mem::take(&mut *locked(&self.arrived))
    }
}

/// Sends and receives for as long as a connection lasts.
///
/// # Errors
/// When the connection is lost. Whatever else goes wrong with messages ends neither it nor what runs over it.
pub async fn keep(core: &Arc<Core>, online: &Arc<Online>) -> Result<(), Failure> {
    let _step = Step(&core.chat.in_step);
    locked(&core.chat.targets).clear();
    let Err(failure) = exchange(core, online).await else { return Ok(()) };
    if rooms::fate_by_failure(&failure).is_none() {
        return Err(failure);
    }
    // Nobody waits for what will not come.
    core.chat.in_step.send_replace(true);
    if failure.code == "unsupported" {
        tracing::info!("this tracker knows no messages");
    } else {
        tracing::error!(%failure, "messages stop until the next connection");
        core.hub.notice(NoticeLevel::Error, &format!("messages have stopped: {}", failure.message), &failure.hint);
    }
    std::future::pending().await
}

async fn exchange(core: &Arc<Core>, online: &Arc<Online>) -> Result<(), Failure> {
    publish_key(core, &online.connection).await?;
    core.chat.look();
    core.chat.written.notify_one();
    tokio::try_join!(receive::run(core, online), send::run(core, online))?;
    Ok(())
}

/// A connection that may be in step; its end is the end of that.
struct Step<'a>(&'a watch::Sender<bool>);

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

/// Tells the tracker the key that others seal to for this device.
pub async fn publish_key(core: &Core, connection: &Connection) -> Result<(), Failure> {
    let key = core.chat.key.public();
    let proof = core.key.sign(&key_statement(&key)).to_vec();
    match ask(connection, MessageRequest::PublishKey { key, proof }).await? {
        MessageAnswer::Done => Ok(()),
        _ => Err(failure::bad_answer()),
    }
}

async fn ask(connection: &Connection, request: MessageRequest) -> Result<MessageAnswer, Failure> {
    match session::ask(connection, &Request::Message(request)).await? {
        Answer::Message(answer) => Ok(answer),
        _ => Err(failure::bad_answer()),
    }
}

/// The rooms as faces see them, in their order.
pub async fn room_rows(core: &Core) -> Result<Vec<RoomRow>, Failure> {
    let mut rooms = core.state.rooms().await.map_err(failure::unexpected)?;
    rooms::arrange(&mut rooms);
    Ok(rooms)
}

/// Tells whoever watches that a message is new or has come further.
fn tell(core: &Core, row: MessageRow) {
    core.chat.rooms_changed.store(true, Ordering::Relaxed);
    core.hub.tell(Update::Message(Box::new(row)));
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
