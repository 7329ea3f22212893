//! What faces ask about other members.

use serde::{Deserialize, Serialize};
use shared::id::DeviceId;

use super::MemberStatus;

/// What to do about another member, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeopleCommand {
    /// Hides the two from each other: one [`super::Update::Member`].
    Block { member: String },
    /// Takes that back: one [`super::Update::Member`].
    Unblock { member: String },
    /// Somebody is at the keyboard of this screen, for as long as the call lasts: nothing is answered, and it ends when
    /// the face drops it.
    Attend,
}

/// A device of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberDeviceRow {
    pub device: DeviceId,
    pub status: MemberStatus,
    /// Milliseconds since 1970.
    pub last_seen_ms: Option<i64>,
}
