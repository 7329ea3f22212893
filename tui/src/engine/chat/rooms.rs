//! What is said of rooms and messages without a database: what a room is, in which order rooms stand, what becomes of a
//! message when the tracker answers. Pure.

use shared::{
    id::{AccountId, DeviceId},
    limits::{MESSAGE_RETRY, MESSAGE_TEXT_BYTES_MAX},
    wire::message::{DeviceKeys, MessageAnswer},
};

use super::envelope::owner_of;
use crate::engine::api::{Failure, FailureKind, RoomName, RoomRow};

/// A room as this device keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Room {
    /// Every member.
    Everyone,
    /// One other member.
    With(AccountId),
}

impl Room {
    /// As it stands in the database.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Everyone => &[],
            Self::With(account) => account.as_bytes(),
        }
    }

    /// Back from the database.
    #[must_use]
    pub fn of_key(key: &[u8]) -> Option<Self> {
        if key.is_empty() { Some(Self::Everyone) } else { AccountId::from_slice(key).map(Self::With) }
    }

    /// The one that this room is shared with.
    #[must_use]
    pub const fn account(&self) -> Option<AccountId> {
        match self {
            Self::Everyone => None,
            Self::With(account) => Some(*account),
        }
    }
}

/// Puts rooms into the order in which people want them: those with something unread first, then the newest.
pub fn arrange(rooms: &mut [RoomRow]) {
    let name = |room: &RoomRow| match &room.room {
        RoomName::Everyone => String::new(),
        RoomName::Member(name) => name.to_lowercase(),
    };
    rooms.sort_by_cached_key(|room| (room.unread == 0, std::cmp::Reverse(room.last_ms), name(room)));
}

/// A text as it is sent: without blanks around it.
///
/// # Errors
/// When nothing is left of it, or too much.
pub fn worth_sending(text: &str) -> Result<&str, Failure> {
    let text = text.trim();
    let refuse = |code, message: String, hint| Err(Failure::new(FailureKind::Usage, code, message, hint));
    if text.is_empty() {
        return refuse("empty", "there is nothing in the message".to_owned(), "write something");
    }
    if text.len() > MESSAGE_TEXT_BYTES_MAX {
        let message = format!("the message has {} bytes, and may have {MESSAGE_TEXT_BYTES_MAX}", text.len());
        return refuse("too_long", message, "send it in parts, or share it as a file");
    }
    Ok(text)
}

/// What becomes of a message that was shown to the tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The tracker keeps it since then.
    Sent { at_ms: i64 },
    /// It will not be sent by itself.
    Failed { why: String },
    /// It is tried again after a while.
    Later { wait_ms: u64, why: String },
    /// It is sealed anew, to the devices that there are now.
    SealAgain,
}

/// What follows from the answer to the last part of a message.
#[must_use]
pub fn fate_by_answer(answer: &MessageAnswer) -> Option<Fate> {
    match answer {
        MessageAnswer::Sent { at_ms } => Some(Fate::Sent { at_ms: *at_ms }),
        MessageAnswer::DevicesMissing { .. } => Some(Fate::SealAgain),
        MessageAnswer::TooMany { wait_ms } => {
            let why = format!("rate_limited: too many messages; it is sent in {} s", wait_ms.div_ceil(1000));
            Some(Fate::Later { wait_ms: *wait_ms, why })
        }
        MessageAnswer::Done
        | MessageAnswer::More
        | MessageAnswer::Keys { .. }
        | MessageAnswer::Waiting { .. }
        | MessageAnswer::Delivered { .. } => None,
    }
}

/// What follows from a failure to ask. `None`: the connection is lost, and the message waits for the next one.
#[must_use]
pub fn fate_by_failure(failure: &Failure) -> Option<Fate> {
    let why = failure.message.clone();
    match failure.code.as_str() {
        "tracker_unreachable" | "tracker_timeout" | "unauthenticated" | "signed_out" => None,
        "rate_limited" | "internal" => {
            let wait_ms = u64::try_from(MESSAGE_RETRY.as_millis()).unwrap_or(u64::MAX);
            Some(Fate::Later { wait_ms, why })
        }
        _ => Some(Fate::Failed { why }),
    }
}

/// What is to be thought of the keys of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// They are as they were.
    Known(DeviceId),
    /// The device was not known before.
    New(DeviceId),
    /// The device says that it has another key now.
    Changed(DeviceId),
    /// They are forged, or the device was another member's.
    Wrong,
}

/// Compares the keys that the tracker names with what was known of the device: its member and its key.
#[must_use]
pub fn judge(keys: &DeviceKeys, known: impl Fn(DeviceId) -> Option<(AccountId, [u8; 32])>) -> Judgement {
    let Some(device) = owner_of(keys) else { return Judgement::Wrong };
    match known(device) {
        None => Judgement::New(device),
        Some((account, _)) if account != keys.account => Judgement::Wrong,
        Some((_, sealing)) if sealing != keys.sealing => Judgement::Changed(device),
        Some(_) => Judgement::Known(device),
    }
}

#[cfg(test)]
mod tests {
    use certs::{SealingKey, SigningKey};
    use shared::wire::{Code, Refusal, message::key_statement};

    use super::*;
    use crate::engine::failure;

    fn room(name: &str, unread: u64, last_ms: Option<i64>) -> RoomRow {
        let room = if name == "#all" { RoomName::Everyone } else { RoomName::Member(name.to_owned()) };
        RoomRow { room, account: None, unread, muted: false, last_ms, draft: String::new() }
    }

    #[test]
    fn unread_rooms_come_first_and_then_the_newest() {
        let mut rooms = vec![
            room("quiet", 0, None),
            room("#all", 0, Some(5)),
            room("old", 3, Some(1)),
            room("new", 1, Some(9)),
            room("Also quiet", 0, None),
            room("recent", 0, Some(7)),
        ];
        arrange(&mut rooms);
        let names: Vec<_> = rooms
            .iter()
            .map(|room| match &room.room {
                RoomName::Everyone => "#all",
                RoomName::Member(name) => name,
            })
            .collect();
        assert_eq!(names, ["new", "old", "recent", "#all", "Also quiet", "quiet"]);
    }

    #[test]
    fn a_text_is_trimmed_and_bounded() {
        assert_eq!(worth_sending("  a b\n").unwrap(), "a b");
        for blank in ["", " \n\t "] {
            assert_eq!(worth_sending(blank).unwrap_err().code, "empty");
        }
        let most = "x".repeat(MESSAGE_TEXT_BYTES_MAX);
        assert_eq!(worth_sending(&format!(" {most} ")).unwrap(), most);
        assert_eq!(worth_sending(&format!("{most}x")).unwrap_err().kind, FailureKind::Usage);
    }

    #[test]
    fn only_a_lost_connection_leaves_a_message_as_it_is() {
        let refused = |code| failure::refused(&Refusal::new(code, "so"));
        assert_eq!(fate_by_failure(&failure::unreachable("x")), None);
        assert_eq!(fate_by_failure(&failure::signed_out()), None);
        assert!(matches!(fate_by_failure(&refused(Code::Internal)), Some(Fate::Later { .. })));
        assert!(matches!(fate_by_failure(&refused(Code::RateLimited)), Some(Fate::Later { .. })));
        // The receiver has no device: a refusal, though it says that something is unavailable.
        assert_eq!(fate_by_failure(&refused(Code::Unavailable)), Some(Fate::Failed { why: "so".into() }));
        assert_eq!(fate_by_failure(&refused(Code::NotFound)), Some(Fate::Failed { why: "so".into() }));
        assert_eq!(fate_by_answer(&MessageAnswer::Sent { at_ms: 4 }), Some(Fate::Sent { at_ms: 4 }));
        assert_eq!(fate_by_answer(&MessageAnswer::DevicesMissing { devices: 1 }), Some(Fate::SealAgain));
        assert_eq!(fate_by_answer(&MessageAnswer::Done), None);
    }

    #[test]
    fn keys_are_held_against_what_was_known() {
        let (signing, sealing) = (SigningKey::generate().unwrap(), SealingKey::generate().unwrap());
        let account = AccountId([1; 16]);
        let keys = DeviceKeys {
            account,
            signing: signing.public(),
            sealing: sealing.public(),
            proof: signing.sign(&key_statement(&sealing.public())).to_vec(),
        };
        let device = DeviceId::of_key(&signing.public());
        assert_eq!(judge(&keys, |_| None), Judgement::New(device));
        assert_eq!(judge(&keys, |_| Some((account, sealing.public()))), Judgement::Known(device));
        assert_eq!(judge(&keys, |_| Some((account, [1; 32]))), Judgement::Changed(device));
        assert_eq!(judge(&keys, |_| Some((AccountId([2; 16]), sealing.public()))), Judgement::Wrong);
        assert_eq!(judge(&DeviceKeys { proof: vec![0; 64], ..keys }, |_| None), Judgement::Wrong);
    }

    #[test]
    fn a_room_reads_back() {
        for room in [Room::Everyone, Room::With(AccountId([3; 16]))] {
            assert_eq!(Room::of_key(room.key()), Some(room));
        }
        assert_eq!(Room::of_key(&[1, 2]), None);
    }
}
