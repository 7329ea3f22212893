//! Ed25519 keys: what a device is known by, and what the tracker signs with.

use std::{fmt, path::Path, sync::Arc};

use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    CertsError,
    secret_file::{self, Found, Secrecy},
    tls,
};

/// An Ed25519 key (RFC 8032). Cloning shares it.
#[derive(Clone)]
pub struct SigningKey(Arc<Material>);

struct Material {
    pair: Ed25519KeyPair,
    public: [u8; 32],
    pkcs8: Zeroizing<Vec<u8>>,
}

impl SigningKey {
    /// Opens the key in a file, and makes one if there is none.
    ///
    /// # Errors
    /// When the file can be read by other users, does not hold a key, or cannot be read or made.
    pub fn open(path: &Path) -> Result<Self, CertsError> {
        if let Some(key) = Self::load(path)? {
            return Ok(key);
        }
        let key = Self::generate()?;
        if secret_file::create(path, key.to_pem()?.as_bytes())? {
            return Ok(key);
        }
        // Another process was faster: its key counts.
        Self::load(path)?.ok_or_else(|| CertsError::NotAKey { path: path.to_owned() })
    }

    /// Opens the key in a file, if there is one.
    pub(crate) fn load(path: &Path) -> Result<Option<Self>, CertsError> {
        let not_a_key = || CertsError::NotAKey { path: path.to_owned() };
        let pem = match secret_file::read(path, Secrecy::Secret)? {
            Found::Absent => return Ok(None),
            Found::Unsuitable => return Err(not_a_key()),
            Found::Bytes(pem) => pem,
        };
        let mut der = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|_| not_a_key())?;
        let pkcs8 = Zeroizing::new(der.secret_pkcs8_der().to_vec());
        der.zeroize();
        Self::from_pkcs8(pkcs8).map(Some).ok_or_else(not_a_key)
    }

    /// Makes a new key in memory.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn generate() -> Result<Self, CertsError> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| CertsError::Random)?;
        Self::from_pkcs8(Zeroizing::new(document.as_ref().to_vec())).ok_or(CertsError::Random)
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.public
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.0.pair.sign(message).as_ref());
        signature
    }

    /// A secret that is the same whenever it is asked of this key for this purpose, and tells nothing about the key or
    /// its other secrets. Ed25519 signatures are deterministic (RFC 8032), and nobody is ever given this one.
    #[must_use]
    pub fn derive(&self, purpose: &'static str) -> [u8; 32] {
        let own = Zeroizing::new(self.sign(b"swapmeet derived secrets"));
        let secret = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*own), purpose.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(secret.as_ref());
        bytes
    }

    /// This key as rustls uses it.
    pub(crate) fn for_tls(&self) -> Result<Arc<dyn rustls::sign::SigningKey>, CertsError> {
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.0.pkcs8.to_vec()));
        Ok(tls::provider().key_provider.load_private_key(der)?)
    }

    #[cfg(test)]
    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.0.pkcs8
    }

    fn from_pkcs8(pkcs8: Zeroizing<Vec<u8>>) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).ok()?;
        let public = pair.public_key().as_ref().try_into().ok()?;
        Some(Self(Arc::new(Material { pair, public, pkcs8 })))
    }

    fn to_pem(&self) -> Result<Zeroizing<String>, CertsError> {
        let mut pair = rcgen::KeyPair::try_from(self.0.pkcs8.as_slice())?;
        let pem = Zeroizing::new(pair.serialize_pem());
        pair.zeroize();
        Ok(pem)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// Whether `signature` is the holder's of this public key over `message` (Ed25519, RFC 8032).
#[must_use]
pub fn verify(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
}

/// A public key as rcgen writes it into a certificate.
pub(crate) struct CertifiedPublic(pub(crate) [u8; 32]);

impl rcgen::PublicKeyData for CertifiedPublic {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

/// A key as rcgen signs certificates with it.
pub(crate) struct IssuingKey(pub(crate) SigningKey);

impl rcgen::PublicKeyData for IssuingKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0.0.public
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl rcgen::SigningKey for IssuingKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.0.sign(message).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_then_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.key");
        let made = SigningKey::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(SigningKey::open(&path).unwrap().public(), made.public());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.key");
        let made = SigningKey::open(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o660, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = SigningKey::open(&path).unwrap_err();
            assert!(matches!(error, CertsError::ReadableByOthers { mode: found, .. } if found == mode), "{error}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(SigningKey::open(&path).unwrap().public(), made.public());
    }

    #[test]
    fn a_file_that_is_no_key_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.key");
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
        for content in ["", "no key", &other, &"x".repeat(1 << 20)] {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(SigningKey::open(&path), Err(CertsError::NotAKey { .. })));
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
    }

    #[test]
    fn processes_that_make_the_key_at_once_agree_on_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.key");
        let open = || SigningKey::open(&path).unwrap().public();
        let keys: Vec<[u8; 32]> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn only_the_signature_of_this_key_over_this_message_counts() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let signature = key.sign(b"message");
        assert!(verify(&key.public(), b"message", &signature));
        assert!(!verify(&other.public(), b"message", &signature));
        assert!(!verify(&key.public(), b"massage", &signature));
        assert!(!verify(&key.public(), b"message", &signature[..63]));
    }

    #[test]
    fn a_derived_secret_depends_on_key_and_purpose_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.key");
        let made = SigningKey::open(&path).unwrap();
        let opened = SigningKey::open(&path).unwrap();
        assert_eq!(made.derive("one"), opened.derive("one"));
        assert_ne!(made.derive("one"), made.derive("two"));
        assert_ne!(made.derive("one"), SigningKey::generate().unwrap().derive("one"));
    }

    #[test]
    fn a_key_prints_nothing_of_itself() {
        assert_eq!(format!("{:?}", SigningKey::generate().unwrap()), "SigningKey(…)");
    }
}
