//! Files protected by a password: encrypted where they are shared, opened where they are fetched, and proofs that
//! somebody knows the password of one.
//!
//! A protected file is an [age](https://age-encryption.org/v1) file for one passphrase, which the `age` tool opens too.
//! Its proof key is made from the same password in another way (Argon2id with a salt of its own), so that neither tells
//! anything about the other: whoever checks proofs holds a public key and sees signatures, never the password.
//!
//! Of the format only this one kind is written and read, in `age.rs`: the crate of that name does much more, and brings
//! some 130 others with it.

mod age;

use std::{
    fmt,
    io::{self, Read, Write},
};

use argon2::{Algorithm, Argon2, Params, Version};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use shared::limits::{LOCK_SALT_BYTES, PROOF_MEMORY_KIB, PROOF_PASSES};
use zeroize::Zeroizing;

/// A file's password: never printed, and wiped from memory when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// The password as typed.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What a file holds that was sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain {
    /// BLAKE3 of it.
    pub hash: [u8; 32],
    /// How much there is.
    pub bytes: u64,
}

/// Why a file was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is encrypted with another password.
    #[error("the password is wrong")]
    WrongPassword,
    /// It is no file of this kind, or not what was sealed.
    #[error("it is not a file that a password opens, or it is damaged")]
    Damaged,
    /// It asks for more work than anybody should do.
    #[error("opening it would take more memory than is reasonable")]
    TooMuchWork,
    /// It could not be read, or what is in it not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Encrypts what is read. `on_bytes` hears how much came since it was called last; where it answers no, this ends with
/// [`io::ErrorKind::Interrupted`].
///
/// # Errors
/// When reading or writing fails, or it is to end.
pub fn seal(
    password: &Password,
    plain: impl Read,
    cipher: impl Write,
    on_bytes: &mut dyn FnMut(u64) -> bool,
) -> io::Result<Plain> {
    age::seal(password, plain, cipher, &mut Watched::new(on_bytes))
}

/// Decrypts what is read; every piece is checked before it is written, and a file that is cut short is noticed at its
/// end. `on_bytes` as with [`seal`].
///
/// # Errors
/// When the password is wrong, the file is not as it was sealed, or reading or writing fails.
pub fn open(
    password: &Password,
    cipher: impl Read,
    plain: impl Write,
    on_bytes: &mut dyn FnMut(u64) -> bool,
) -> Result<Plain, OpenError> {
    age::open(password, cipher, plain, &mut Watched::new(on_bytes))
}

/// What passes between the two forms of a file.
pub(crate) struct Watched<'a> {
    hasher: blake3::Hasher,
    bytes: u64,
    on_bytes: &'a mut dyn FnMut(u64) -> bool,
}

impl<'a> Watched<'a> {
    fn new(on_bytes: &'a mut dyn FnMut(u64) -> bool) -> Self {
        Self { hasher: blake3::Hasher::new(), bytes: 0, on_bytes }
    }

    pub(crate) fn passed(&mut self, plain: &[u8]) -> io::Result<()> {
        self.hasher.update(plain);
        self.bytes += plain.len() as u64;
        if (self.on_bytes)(plain.len() as u64) { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
    }

    pub(crate) fn end(&self) -> Plain {
        Plain { hash: *self.hasher.finalize().as_bytes(), bytes: self.bytes }
    }
}

/// Shows that somebody knows a password, without showing it.
pub struct Prover(Ed25519KeyPair);

impl Prover {
    /// Made of a password and a file's salt. Takes a good part of a second and 64 MiB.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn derive(password: &Password, salt: &[u8; LOCK_SALT_BYTES]) -> io::Result<Self> {
        let params = Params::new(PROOF_MEMORY_KIB, PROOF_PASSES, 1, Some(32)).map_err(io::Error::other)?;
        let mut seed = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.as_bytes(), salt, &mut *seed)
            .map_err(io::Error::other)?;
        Ed25519KeyPair::from_seed_unchecked(&*seed).map(Self).map_err(|error| io::Error::other(error.to_string()))
    }

    /// What proofs are checked with.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        let mut public = [0; 32];
        public.copy_from_slice(self.0.public_key().as_ref());
        public
    }

    /// A proof that is worth nothing for any other message (Ed25519, RFC 8032).
    #[must_use]
    pub fn prove(&self, message: &[u8]) -> [u8; 64] {
        let mut proof = [0; 64];
        proof.copy_from_slice(self.0.sign(message).as_ref());
        proof
    }
}

impl fmt::Debug for Prover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prover(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    fn sealed(plain: &[u8]) -> Vec<u8> {
        let mut cipher = Vec::new();
        let sealed = seal(&password("open sesame"), plain, &mut cipher, &mut |_| true).unwrap();
        assert_eq!(sealed, Plain { hash: *blake3::hash(plain).as_bytes(), bytes: plain.len() as u64 });
        cipher
    }

    fn opened(cipher: &[u8], with: &str) -> Result<Vec<u8>, OpenError> {
        let mut plain = Vec::new();
        open(&password(with), cipher, &mut plain, &mut |_| true).map(|_| plain)
    }

    #[test]
    fn what_was_sealed_is_opened_by_its_password_alone() {
        let plain: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
        let cipher = sealed(&plain);
        assert!(!cipher.windows(64).any(|window| window == &plain[..64]));
        assert_eq!(opened(&cipher, "open sesame").unwrap(), plain);
        assert!(matches!(opened(&cipher, "open sesam"), Err(OpenError::WrongPassword)));
        assert!(matches!(opened(&cipher, ""), Err(OpenError::WrongPassword)));
        // The same again is other bytes.
        assert_ne!(sealed(&plain), cipher);
    }

    #[test]
    fn an_empty_file_can_be_protected() {
        assert_eq!(opened(&sealed(b""), "open sesame").unwrap(), b"");
    }

    #[test]
    fn a_file_that_was_changed_or_cut_short_is_noticed() {
        let cipher = sealed(&[7; 150_000]);
        let mut changed = cipher.clone();
        changed[100_000] ^= 1;
        assert!(matches!(opened(&changed, "open sesame"), Err(OpenError::Damaged)));
        assert!(matches!(opened(&cipher[..cipher.len() - 1], "open sesame"), Err(OpenError::Damaged)));
        // At a piece's end nothing is torn, and yet something is missing.
        let header = cipher.len() - (150_000 + 3 * 16);
        assert!(matches!(opened(&cipher[..header + 65_552], "open sesame"), Err(OpenError::Damaged)));
        assert!(matches!(opened(b"no age file at all", "open sesame"), Err(OpenError::Damaged)));
        assert!(matches!(opened(&[b'a'; 100_000], "open sesame"), Err(OpenError::Damaged)));
    }

    #[test]
    fn a_header_that_asks_for_too_much_work_is_refused() {
        let text = b"age-encryption.org/v1\n-> scrypt rF0/NwblUHHTpgQgRpe5CQ 30\ngUjEymFKMVXQEKdMMHL24oYexjE3TIC0O0zGSqJ2aUY\n--- IY7sVgtpHNj9TgM5vPh2Dd0BXBkEbPuYyfO3bRzmKZU\n0123456789abcdef";
        assert!(matches!(opened(text, "open sesame"), Err(OpenError::TooMuchWork)));
    }

    #[test]
    fn it_ends_when_it_is_told_to() {
        let stopped = seal(&password("x"), &[0; 300_000][..], io::sink(), &mut |_| false);
        assert_eq!(stopped.unwrap_err().kind(), io::ErrorKind::Interrupted);
    }

    #[test]
    fn a_proof_is_of_one_password_one_salt_and_one_message() {
        let prover = Prover::derive(&password("open sesame"), &[1; 16]).unwrap();
        let check = |message: &[u8], proof: &[u8]| {
            ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, prover.public())
                .verify(message, proof)
                .is_ok()
        };
        assert!(check(b"a", &prover.prove(b"a")));
        assert!(!check(b"b", &prover.prove(b"a")));
        let others = [("open sesame", [2; 16]), ("open sesam", [1; 16])];
        for (text, salt) in others {
            let other = Prover::derive(&password(text), &salt).unwrap();
            assert!(!check(b"a", &other.prove(b"a")));
        }
        assert_eq!(format!("{prover:?} {:?}", password("open sesame")), "Prover(…) Password(…)");
    }
}
