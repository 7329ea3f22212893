//! What faces ask about the account itself, and what they are told.

use serde::{Deserialize, Serialize};
use shared::id::DeviceId;

use super::Secret;

/// What to do about the account of this device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountCommand {
    /// Gives it another password.
    Password { old: Secret, new: Secret },
    /// Gives it another e-mail address, or none.
    Email { password: Secret, email: Option<String> },
    /// A new recovery code in place of the one before: one [`super::Update::Recovery`].
    Recovery { password: Secret },
    /// Its devices: [`super::Update::Device`]s, this one first.
    Devices,
    /// Signs devices out, wherever they are: one [`super::Update::Count`].
    Revoke(Devices),
    /// A new invitation to the tracker, for administrators: one [`super::Update::Invite`] with its code. It ends after
    /// so many seconds, if ever.
    Invite { uses: u32, life_s: Option<u64> },
    /// The invitations that can still be used, for administrators: [`super::Update::Invite`]s.
    Invites,
    /// Makes an invitation worthless, by its code or how that begins, for administrators.
    RevokeInvite { code: String },
}

/// Which devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Devices {
    /// These, by id, a unique prefix of one, or their label where one device has it.
    Named(Vec<String>),
    /// All but this one.
    Others,
}

/// A device of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRow {
    pub id: DeviceId,
    /// Its word for people, as another device gave it.
    pub label: String,
    /// Whether it is this one.
    pub here: bool,
    pub online: bool,
    /// Milliseconds since 1970.
    pub enrolled_ms: i64,
    /// Milliseconds since 1970.
    pub last_seen_ms: Option<i64>,
}

/// An invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteRow {
    /// How the code begins.
    pub hint: String,
    /// The code, once, when it is made.
    pub code: Option<Secret>,
    /// The join link with the code in it, once, when it is made.
    pub link: Option<Secret>,
    /// Registrations left.
    pub uses_left: u32,
    /// Milliseconds since 1970.
    pub ends_ms: Option<i64>,
}
