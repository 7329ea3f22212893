//! Private channels: text and files straight between two devices. Nothing of one is kept, here or at the tracker.
//!
//! `meet` brings the two together, from the invitation to the key words; `talk` holds the open channel; `pipes` moves
//! its frames, and `files` what is offered in it. A channel belongs to the call of the face that began it, and ends with
//! that.

mod commands;
mod files;
mod meet;
mod pipes;
mod talk;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use shared::{
    id::{AccountId, DeviceId, ItemId},
    limits::{CHANNEL_GREETING, CHANNELS_MAX, PEER_FRAME_BYTES_MAX},
    net::{Receiving, Sending},
    wire::{
        Code, Refusal,
        channel::{ChannelFrame, OpenChannel},
    },
};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

pub(super) use self::commands::carry_out;
use self::talk::Wish;
use super::{
    api::{Failure, FailureKind, PathKind},
    core::Core,
};

/// The channels of this device: those that wait for their guest, and those that are open.
#[derive(Debug, Default)]
pub struct Channels(Mutex<HashMap<ItemId, Room>>);

/// One of them.
#[derive(Debug)]
struct Room {
    /// Who may come, and how they are let in; `None` for a room that nobody is to come to.
    door: Option<(AccountId, mpsc::Sender<Arrival>)>,
    /// What its person wants, once it is open.
    wishes: Option<mpsc::Sender<Wish>>,
    leave: CancellationToken,
}

/// Who is at the other end of a stream, as its certificate says.
#[derive(Debug, Clone, Copy)]
pub struct Guest {
    pub account: AccountId,
    pub device: DeviceId,
    pub path: PathKind,
}

/// A guest at the door.
#[derive(Debug)]
struct Arrival {
    guest: Guest,
    send: Sending,
    recv: Receiving,
    opening: OpenChannel,
}

impl Arrival {
    /// Sends them away.
    async fn refuse(mut self, why: Refusal) {
        let frame = ChannelFrame::Refused(why);
        match timeout(CHANNEL_GREETING, self.send.send(&frame, PEER_FRAME_BYTES_MAX)).await {
            Ok(Ok(())) => self.send.finish().await,
            Ok(Err(error)) => tracing::debug!(%error, "a guest had left before it was refused"),
            Err(_) => self.send.reset(Code::Cancelled),
        }
    }
}

/// Somebody opens a channel: those who are waited for are let in, and nobody else learns who is waited for.
pub async fn knock(core: &Core, guest: Guest, send: Sending, recv: Receiving, opening: OpenChannel) {
    let arrival = Arrival { guest, send, recv, opening };
    let door = core.channels.door(arrival.opening.item, guest.account);
    let refused = match door {
        Some(door) => door.try_send(arrival).err().map(mpsc::error::TrySendError::into_inner),
        None => Some(arrival),
    };
    if let Some(arrival) = refused {
        tracing::debug!(device = %guest.device, "nobody waits for this guest");
        arrival.refuse(Refusal::new(Code::NotFound, "nobody waits here for that channel any more")).await;
    }
}

/// Who was signed in here is not any more: their channels end.
pub fn forget(core: &Core) {
    for room in core.channels.rooms().values() {
        room.leave.cancel();
    }
}

impl Channels {
    fn rooms(&self) -> MutexGuard<'_, HashMap<ItemId, Room>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a room, which is given back when the returned hold is dropped.
    fn enter(&self, core: &Arc<Core>, id: ItemId, leave: &CancellationToken) -> Result<Hold, Failure> {
        let mut rooms = self.rooms();
        if rooms.len() >= CHANNELS_MAX {
            let message = format!("{CHANNELS_MAX} private channels are open already");
            return Err(Failure::new(FailureKind::Refused, "too_many_channels", message, "leave one of them first"));
        }
        match rooms.entry(id) {
            Entry::Occupied(_) => {
                let message = "this channel is open already, in another program of this device";
                Err(Failure::new(FailureKind::Conflict, "channel_open", message, "go on there"))
            }
            Entry::Vacant(vacant) => {
                vacant.insert(Room { door: None, wishes: None, leave: leave.clone() });
                Ok(Hold { core: core.clone(), id })
            }
        }
    }

    fn door(&self, id: ItemId, account: AccountId) -> Option<mpsc::Sender<Arrival>> {
        let rooms = self.rooms();
        let (expected, door) = rooms.get(&id)?.door.as_ref()?;
        (*expected == account).then(|| door.clone())
    }

    fn room<T>(&self, id: &str, look: impl FnOnce(&Room) -> Option<T>) -> Result<T, Failure> {
        let rooms = self.rooms();
        let room = id.parse().ok().and_then(|id: ItemId| rooms.get(&id));
        room.and_then(look).ok_or_else(|| {
            let hint = "`swapmeet chat channel MEMBER` begins one";
            Failure::new(FailureKind::NotFound, "no_channel", "this private channel is not open", hint)
        })
    }
}

/// A room that is taken.
#[derive(Debug)]
struct Hold {
    core: Arc<Core>,
    id: ItemId,
}

impl Hold {
    /// This member may come.
    fn await_guest(&self, account: AccountId) -> mpsc::Receiver<Arrival> {
        let (door, arrivals) = mpsc::channel(1);
        if let Some(room) = self.core.channels.rooms().get_mut(&self.id) {
            room.door = Some((account, door));
        }
        arrivals
    }

    /// The two have met: nobody else comes, and what the person wants is heard.
    fn open(&self) -> mpsc::Receiver<Wish> {
        let (wishes, wished) = mpsc::channel(1);
        if let Some(room) = self.core.channels.rooms().get_mut(&self.id) {
            (room.door, room.wishes) = (None, Some(wishes));
        }
        wished
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.core.channels.rooms().remove(&self.id);
        self.core.catalog.given.end(self.id);
    }
}
