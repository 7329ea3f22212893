//! Identifiers: newtypes that cannot be confused with each other, written as lower-case hexadecimal.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Text that is not an identifier of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct ParseIdError {
    text: String,
    expected: &'static str,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $len:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The bytes of this identifier.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Reads an identifier out of a byte string of exactly the right length.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Some(Self(bytes.try_into().ok()?))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        // Digits where people read, bytes on the wire.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if !deserializer.is_human_readable() {
                    return Ok(Self(Deserialize::deserialize(deserializer)?));
                }
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let error = || ParseIdError { text: text.chars().take(80).collect(), expected: $expected };
                let mut bytes = [0; $len];
                if text.len() != 2 * bytes.len() {
                    return Err(error());
                }
                HEXLOWER.decode_mut(text.as_bytes(), &mut bytes).map_err(|_| error())?;
                Ok(Self(bytes))
            }
        }
    };
}

identifier!(
    /// A person on one tracker. Random, given by the tracker, never reused.
    AccountId, 16, "an account id"
);
identifier!(
    /// One installation of the client: the first 16 bytes of the BLAKE3 hash of its public key.
    DeviceId, 16, "a device id"
);
identifier!(
    /// A file of the index. Random, so that the id of a hidden file is also its unguessable link.
    FileId, 16, "a file id"
);
identifier!(
    /// A folder of the index, derived from its owner and path.
    FolderId, 16, "a folder id"
);
identifier!(
    /// A request, an offer or an invitation. Random, given by whoever begins it.
    ItemId, 16, "the id of a request or an offer"
);
identifier!(
    /// Files that are offered together. Random, given by whoever packs them.
    ParcelId, 16, "a parcel id"
);
identifier!(
    /// Content: the BLAKE3 hash of its bytes. Two files with the same bytes are one blob.
    BlobHash, 32, "a BLAKE3 hash"
);

identifier!(
    /// A message. Random, chosen by its sender, so that one sent again after a lost answer is the same message.
    MessageId, 16, "a message id"
);

impl DeviceId {
    /// The id that belongs to a device's public key.
    #[must_use]
    pub fn of_key(public_key: &[u8; 32]) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&blake3::hash(public_key).as_bytes()[..16]);
        Self(id)
    }
}

impl FolderId {
    /// The id of the folder at `path` among the files of `owner`.
    #[must_use]
    pub fn of_path(owner: AccountId, path: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("swapmeet folder id 1");
        hasher.update(owner.as_bytes()).update(path.as_bytes());
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        Self(id)
    }
}

impl BlobHash {
    /// Prefix of a hash where other kinds of text are possible too (`b3:9f2c…`).
    pub const PREFIX: &'static str = "b3:";

    /// Reads a hash with or without its `b3:` prefix.
    ///
    /// # Errors
    /// When the rest is not 64 lower-case hexadecimal digits.
    pub fn parse_prefixed(text: &str) -> Result<Self, ParseIdError> {
        text.strip_prefix(Self::PREFIX).unwrap_or(text).parse()
    }
}

impl From<blake3::Hash> for BlobHash {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_what_it_prints() {
        let id = FileId([0xa5; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn text_of_the_wrong_length_or_alphabet_is_refused() {
        for text in ["", "a5", "zz", &"A5".repeat(16), &"a5".repeat(17)] {
            assert!(text.parse::<FileId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_hash_reads_with_and_without_its_prefix() {
        let hash = BlobHash::from(blake3::hash(b"x"));
        assert_eq!(BlobHash::parse_prefixed(&hash.to_string()), Ok(hash));
        assert_eq!(BlobHash::parse_prefixed(&format!("b3:{hash}")), Ok(hash));
    }
}
