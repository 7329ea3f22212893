//! What members decide about each other, and what they see of each other beyond [`super::tracker::MemberEntry`].
//!
//! # Blocking
//! Two members of whom one has blocked the other are apart: neither sees the other's presence, files, searches, sources
//! or introductions. Nobody is told. To the blocked one the blocker stays in the list of members, offline, last seen
//! when the block began, without files; that is how somebody looks who just left and took the files along. To vanish
//! would say more: a name that is gone from the list but still taken can only mean a block. The blocker sees the blocked
//! one in the same way, and knows from [`PeopleEvent::Blocks`] that it can be undone.

use serde::{Deserialize, Serialize};

use super::tracker::{MemberEntry, Presence};
use crate::id::{AccountId, DeviceId};

/// What a member asks about others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeopleRequest {
    /// The two are hidden from each other from now on. Answered with [`super::tracker::Answer::Members`]: the other one
    /// as the asker sees it now.
    Block {
        /// The other member's name.
        member: String,
    },
    /// Takes a block back. The two stay hidden while the other one has blocked the asker. Answered like `Block`.
    Unblock {
        /// The other member's name.
        member: String,
    },
    /// Whether somebody is at the keyboard of this device. A device that never says so is taken for one with somebody
    /// there. Answered with `Done`.
    Attend {
        /// Whether somebody is.
        here: bool,
    },
    /// The members, their presence and that of each of their devices. Answered with [`PeopleAnswer::Seen`].
    Seen {
        /// Goes on behind this name.
        after: Option<String>,
    },
}

/// What the tracker answers about others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeopleAnswer {
    /// To [`PeopleRequest::Seen`].
    Seen {
        /// By name, at most [`crate::limits::SEEN_PAGE_MAX`].
        members: Vec<MemberSeen>,
        /// Ask again with this to go on.
        next: Option<String>,
    },
}

/// A member with its devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberSeen {
    /// The member.
    pub entry: MemberEntry,
    /// Its enrolled devices; none of those who are hidden from the asker.
    pub devices: Vec<DeviceSeen>,
}

/// A device as other members see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSeen {
    /// The device.
    pub device: DeviceId,
    /// Whether it is connected, with somebody at its keyboard.
    pub presence: Presence,
    /// As [`MemberEntry::last_seen_ms`], of this device.
    pub last_seen_ms: Option<i64>,
}

/// What the tracker tells a member about others by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeopleEvent {
    /// All members whom this one has blocked. Told after `Subscribe` and whenever it changes: connections with them end,
    /// and what their devices were granted is not served.
    Blocks {
        /// At most [`crate::limits::BLOCKS_MAX`].
        members: Vec<AccountId>,
    },
}
