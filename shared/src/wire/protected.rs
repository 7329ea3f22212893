//! Files that are protected by a password.
//!
//! The content of such a file is encrypted by its owner; what the index names, sources serve and copies hold is the
//! encrypted form. Beside it lies a [`Lock`]: a public key whose private half is made of the password. Whoever wants a
//! grant for the content first proves that it knows the password, by signing [`proof_message`] with that key: worth
//! nothing on another connection, for another file, or to whoever checks it. The tracker remembers for a device which
//! locks it has opened, so that a fetch goes on after a restart of either without asking anybody anew. Wrong proofs are
//! counted like wrong passwords, and answered with [`super::tracker::Answer::Wait`] when there were too many.
//!
//! A lock guards a content, not only a file: who publishes the same bytes later, under whatever name, does not open them
//! for anybody.

use serde::{Deserialize, Serialize};

use super::tracker::PublishEntry;
use crate::{id::FileId, limits::LOCK_SALT_BYTES};

/// What a device signs to prove that it knows a file's password, before the exported bytes and the file's id.
pub const FILE_PASSWORD_CONTEXT: &[u8] = b"swapmeet file password 1\0";

/// What is signed for a file on a connection.
#[must_use]
pub fn proof_message(exported: &[u8; 32], file: FileId) -> Vec<u8> {
    [FILE_PASSWORD_CONTEXT, exported, file.as_bytes()].concat()
}

/// What a device asks about protected files. Inside [`super::tracker::Request::Protected`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProtectedRequest {
    /// As [`super::tracker::Request::Publish`], of files that are encrypted. Answered with
    /// [`super::tracker::Answer::Published`].
    Publish {
        /// At most [`crate::limits::PUBLISH_ENTRIES_MAX`]; all or none.
        entries: Vec<ProtectedEntry>,
    },
    /// What must be proved for files that the asker may otherwise fetch. Answered with [`ProtectedAnswer::Locks`].
    Locks {
        /// At most [`crate::limits::GRANT_BLOBS_MAX`].
        files: Vec<FileId>,
    },
    /// The asker knows the password of what locks this file. Answered with `Done`.
    Prove {
        /// The file.
        file: FileId,
        /// The salt of the lock that is proved.
        salt: [u8; LOCK_SALT_BYTES],
        /// 64 bytes: Ed25519 over [`proof_message`].
        proof: Vec<u8>,
    },
}

/// What the tracker answers about them. Inside [`super::tracker::Answer::Protected`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProtectedAnswer {
    /// To `Locks`.
    Locks {
        /// In the order of the files; `None`: nothing is to be proved, or there is no such file.
        locks: Vec<Option<Locked>>,
    },
}

/// One protected file to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtectedEntry {
    /// The file; its content is the encrypted one.
    pub entry: PublishEntry,
    /// What is to be proved for it.
    pub lock: Lock,
}

/// How a proof of a password is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lock {
    /// How the key is made of the password.
    pub stretch: Stretch,
    /// What else it is made of: random.
    pub salt: [u8; LOCK_SALT_BYTES],
    /// Ed25519 public key. The tracker alone knows it: who has it can try passwords without asking anybody.
    pub key: [u8; 32],
}

/// How a key is made of a password and a salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stretch {
    /// Argon2id (RFC 9106) with [`crate::limits::PROOF_MEMORY_KIB`], [`crate::limits::PROOF_PASSES`], one lane, 32 bytes:
    /// the seed of an Ed25519 key.
    Argon2id,
}

/// What is to be proved for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locked {
    /// How the key is made of the password.
    pub stretch: Stretch,
    /// What else it is made of.
    pub salt: [u8; LOCK_SALT_BYTES],
    /// Whether the asker may fetch it already: it is its own, or it has proved this before.
    pub open: bool,
}
