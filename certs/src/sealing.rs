//! X25519 keys that others seal small secrets to, so that one device alone can open them.
//!
//! The construction is HPKE (RFC 9180) in base mode, one message for each encapsulation:
//! DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. Base mode says nothing about the sender, so whatever is
//! sealed is signed beside it.

use std::{fmt, path::Path, sync::Arc};

use hpke::{
    Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    kem::X25519HkdfSha256,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::{
    CertsError,
    secret_file::{self, Found, Secrecy},
};

/// Bytes that sealing adds: the encapsulated key and the tag.
pub const SEAL_OVERHEAD_BYTES: usize = ENCAPSULATED_BYTES + 16;

const ENCAPSULATED_BYTES: usize = 32;

type Kem = X25519HkdfSha256;

/// The private half, of one device. Cloning shares it.
#[derive(Clone)]
pub struct SealingKey(Arc<Pair>);

struct Pair {
    private: <Kem as hpke::Kem>::PrivateKey,
    public: [u8; 32],
}

/// A seal that does not open: for another key, for another purpose, or changed on the way. It is not said which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it was not sealed for this key and purpose")]
pub struct DoesNotOpen;

impl SealingKey {
    /// Opens the key in a file, and makes one if there is none.
    ///
    /// # Errors
    /// When the file can be read by other users, does not hold a key, or cannot be read or made.
    pub fn open(path: &Path) -> Result<Self, CertsError> {
        if let Some(key) = Self::load(path)? {
            return Ok(key);
        }
        let secret = fresh()?;
        let text = Zeroizing::new(data_encoding::HEXLOWER.encode(&*secret));
        if secret_file::create(path, text.as_bytes())? {
            return Self::from_secret(&*secret).ok_or(CertsError::Random);
        }
        // Another process was faster: its key counts.
        Self::load(path)?.ok_or_else(|| CertsError::NotASealingKey { path: path.to_owned() })
    }

    fn load(path: &Path) -> Result<Option<Self>, CertsError> {
        let not_a_key = || CertsError::NotASealingKey { path: path.to_owned() };
        let text = match secret_file::read(path, Secrecy::Secret)? {
            Found::Absent => return Ok(None),
            Found::Unsuitable => return Err(not_a_key()),
            Found::Bytes(text) => text,
        };
        let secret = Zeroizing::new(data_encoding::HEXLOWER.decode(text.trim_ascii()).map_err(|_| not_a_key())?);
        Self::from_secret(&secret).map(Some).ok_or_else(not_a_key)
    }

    /// Makes a new key in memory.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn generate() -> Result<Self, CertsError> {
        Self::from_secret(&*fresh()?).ok_or(CertsError::Random)
    }

    /// What others seal to.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.public
    }

    /// What was sealed for this key under the same `context`.
    ///
    /// # Errors
    /// See [`DoesNotOpen`].
    pub fn unseal(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let (encapsulated, text) = sealed.split_at_checked(ENCAPSULATED_BYTES).ok_or(DoesNotOpen)?;
        let encapsulated = <Kem as hpke::Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| DoesNotOpen)?;
        let private = &self.0.private;
        hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeR::Base,
            private,
            &encapsulated,
            context,
            text,
            b"",
        )
        .map(Zeroizing::new)
        .map_err(|_| DoesNotOpen)
    }

    fn from_secret(secret: &[u8]) -> Option<Self> {
        let private = <Kem as hpke::Kem>::PrivateKey::from_bytes(secret).ok()?;
        let public = Kem::sk_to_pk(&private).to_bytes().into();
        Some(Self(Arc::new(Pair { private, public })))
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(…)")
    }
}

/// Seals a secret so that only the holder of the other half of `public` opens it, under the same `context`. `None`: the
/// public key is none that a device could have.
#[must_use]
pub fn seal(public: &[u8; 32], secret: &[u8], context: &[u8]) -> Option<Vec<u8>> {
    let public = <Kem as hpke::Kem>::PublicKey::from_bytes(public).ok()?;
    let (encapsulated, text) =
        hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, Kem>(&OpModeS::Base, &public, context, secret, b"")
            .ok()?;
    Some([encapsulated.to_bytes().as_slice(), &text].concat())
}

/// 32 bytes that nobody else knows.
///
/// # Errors
/// When the system gives no random numbers.
pub fn fresh() -> Result<Zeroizing<[u8; 32]>, CertsError> {
    let mut bytes = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(&mut *bytes).map_err(|_| CertsError::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn only_the_key_and_the_context_that_were_meant_open_a_seal() {
        let (key, other) = (SealingKey::generate().unwrap(), SealingKey::generate().unwrap());
        let sealed = seal(&key.public(), b"secret", b"context").unwrap();
        assert_eq!(sealed.len(), 6 + SEAL_OVERHEAD_BYTES);
        assert_eq!(key.unseal(&sealed, b"context").unwrap().as_slice(), b"secret");
        assert_eq!(other.unseal(&sealed, b"context").unwrap_err(), DoesNotOpen);
        assert_eq!(key.unseal(&sealed, b"another").unwrap_err(), DoesNotOpen);
        for length in [0, 1, 31, 32, 47, sealed.len() - 1] {
            assert_eq!(key.unseal(&sealed[..length], b"context").unwrap_err(), DoesNotOpen, "{length}");
        }
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert_eq!(key.unseal(&changed, b"context").unwrap_err(), DoesNotOpen, "{index}");
        }
    }

    #[test]
    fn no_two_seals_of_one_secret_are_alike() {
        let key = SealingKey::generate().unwrap();
        assert_ne!(seal(&key.public(), b"secret", b""), seal(&key.public(), b"secret", b""));
    }

    #[test]
    fn nothing_is_sealed_to_a_key_that_gives_every_sender_the_same_secret() {
        assert_eq!(seal(&[0; 32], b"secret", b""), None);
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_then_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("message.key");
        let made = SealingKey::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(SealingKey::open(&path).unwrap().public(), made.public());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(SealingKey::open(&path), Err(CertsError::ReadableByOthers { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "no key").unwrap();
        assert!(matches!(SealingKey::open(&path), Err(CertsError::NotASealingKey { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "no key");
    }

    #[test]
    fn a_key_prints_nothing_of_itself() {
        assert_eq!(format!("{:?}", SealingKey::generate().unwrap()), "SealingKey(…)");
    }
}
