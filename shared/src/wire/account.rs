//! What a member keeps of an account: its password, its recovery code, its devices; and invitations to new ones.

use serde::{Deserialize, Serialize};

use super::tracker::{NewDevice, Password};
use crate::id::DeviceId;

/// A new password for somebody who has forgotten the old one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recover {
    /// The member's name.
    pub name: String,
    /// The recovery code, as typed. It is used up by this.
    pub code: Password,
    /// The new password.
    pub password: Password,
    /// The device that is enrolled with it.
    pub device: NewDevice,
}

/// A device of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceEntry {
    /// The device.
    pub device: DeviceId,
    /// Its word for people.
    pub label: String,
    /// When it was enrolled first, milliseconds since 1970.
    pub enrolled_ms: i64,
    /// When it was connected last, milliseconds since 1970.
    pub last_seen_ms: Option<i64>,
    /// Whether it is connected now.
    pub online: bool,
}

/// An invitation, without its code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteEntry {
    /// How the code begins.
    pub hint: String,
    /// Registrations left.
    pub uses_left: u32,
    /// When it ends, milliseconds since 1970; `None`: never.
    pub ends_ms: Option<i64>,
}
