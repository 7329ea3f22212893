//! Passwords: Argon2id with the library's defaults (19 MiB, 2 passes), off the runtime's threads, a few at a time.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use shared::limits::{PASSWORD_HASHES_AT_ONCE_MAX, PASSWORD_HASHES_WAITING_MAX};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Computes and checks password hashes.
#[derive(Debug)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    unknown: OnceLock<String>,
}

/// Why a password was neither hashed nor checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many wait already.
    #[error("too many people are signing in; try again in a moment")]
    Busy,
    /// The hash in the database is not one of ours, or there is no memory.
    #[error("the password could not be hashed: {0}")]
    Hash(String),
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(PASSWORD_HASHES_AT_ONCE_MAX)),
            waiting: AtomicUsize::new(0),
            unknown: OnceLock::new(),
        }
    }
}

impl Passwords {
    /// Hashes a new password with a random salt, in PHC form.
    ///
    /// # Errors
    /// When too many wait.
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<String, PasswordError> {
        self.in_turn(move || {
            let salt: [u8; 16] = rand::random();
            hash_with(password.as_bytes(), &salt, &Params::default())
        })
        .await
    }

    /// Whether the password belongs to the hash. Without a hash (no such account) the answer is no, at the same cost.
    ///
    /// # Errors
    /// When too many wait, or the hash is not one of ours.
    pub async fn verify(&self, password: Zeroizing<String>, hash: Option<String>) -> Result<bool, PasswordError> {
        let known = hash.is_some();
        let hash = match hash {
            Some(hash) => hash,
            None => self.hash_of_nobody()?,
        };
        let matches = self.in_turn(move || verify(password.as_bytes(), &hash)).await?;
        Ok(matches && known)
    }

    /// A hash with the parameters of new ones, whose password nobody knows.
    fn hash_of_nobody(&self) -> Result<String, PasswordError> {
        if let Some(hash) = self.unknown.get() {
            return Ok(hash.clone());
        }
        let salt: [u8; 16] = rand::random();
        let output: [u8; Params::DEFAULT_OUTPUT_LEN] = rand::random();
        let hash = to_phc(&salt, &output, &Params::default())?;
        Ok(self.unknown.get_or_init(|| hash).clone())
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _place = Place::take(&self.waiting)?;
        let turn = self.turns.clone().acquire_owned().await.map_err(failed)?;
        // The turn travels with the work: a caller that gives up does not make room for one more hash.
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        })
        .await
        .map_err(failed)?
    }
}

/// One of the places for waiting.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Result<Self, PasswordError> {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let place = Self(waiting);
        if before < PASSWORD_HASHES_WAITING_MAX + PASSWORD_HASHES_AT_ONCE_MAX {
            Ok(place)
        } else {
            Err(PasswordError::Busy)
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn failed(error: impl std::fmt::Display) -> PasswordError {
    PasswordError::Hash(error.to_string())
}

fn hash_with(password: &[u8], salt: &[u8], params: &Params) -> Result<String, PasswordError> {
    to_phc(salt, &raw_hash(password, salt, params, Params::DEFAULT_OUTPUT_LEN)?, params)
}

fn to_phc(salt: &[u8], output: &[u8], params: &Params) -> Result<String, PasswordError> {
    Ok(PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(params).map_err(failed)?,
        salt: Some(Salt::new(salt).map_err(failed)?),
        hash: Some(Output::new(output).map_err(failed)?),
    }
    .to_string())
}

fn verify(password: &[u8], hash: &str) -> Result<bool, PasswordError> {
    let hash = PasswordHash::new(hash).map_err(failed)?;
    let params = Params::try_from(&hash).map_err(failed)?;
    let (Some(salt), Some(expected)) = (hash.salt, hash.hash) else {
        return Err(PasswordError::Hash("a part is missing".to_owned()));
    };
    let computed = raw_hash(password, salt.as_ref(), &params, expected.len())?;
    // Outputs compare in constant time.
    Ok(Output::new(&computed).map_err(failed)? == expected)
}

fn raw_hash(password: &[u8], salt: &[u8], params: &Params, length: usize) -> Result<Vec<u8>, PasswordError> {
    let blocks = params.block_count();
    // An allocation above 32 MiB is given back to the system at once by common allocators; a smaller one would stay with
    // the process. Only the part in use is touched.
    let mut memory: Vec<Block> = Vec::with_capacity(blocks.max(RETURNED_BYTES / Block::SIZE));
    memory.resize(blocks, Block::default());
    let mut output = vec![0; length];
    Argon2::new(Algorithm::Argon2id, Version::default(), params.clone())
        .hash_password_into_with_memory(password, salt, &mut output, &mut memory)
        .map_err(failed)?;
    Ok(output)
}

const RETURNED_BYTES: usize = 33 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use argon2::password_hash::{PasswordHasher, PasswordVerifier};

    use super::*;

    fn secret(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let passwords = Passwords::default();
        let hash = passwords.hash(secret("pass word with ünïcode")).await.unwrap();
        assert!(passwords.verify(secret("pass word with ünïcode"), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(secret("pass word with unicode"), Some(hash)).await.unwrap());
    }

    #[tokio::test]
    async fn nobody_knows_the_password_of_an_unknown_account() {
        assert!(!Passwords::default().verify(secret("anything"), None).await.unwrap());
    }

    #[tokio::test]
    async fn hashes_are_the_librarys_own_format() {
        let passwords = Passwords::default();
        let ours = passwords.hash(secret("secret")).await.unwrap();
        assert!(ours.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{ours}");
        Argon2::default().verify_password(b"secret", &PasswordHash::new(&ours).unwrap()).unwrap();
        let theirs = Argon2::default().hash_password(b"secret").unwrap().to_string();
        assert!(passwords.verify(secret("secret"), Some(theirs)).await.unwrap());
    }

    #[tokio::test]
    async fn who_comes_when_too_many_wait_is_told_to_come_back() {
        let passwords = Passwords::default();
        passwords.waiting.store(PASSWORD_HASHES_WAITING_MAX + PASSWORD_HASHES_AT_ONCE_MAX, Ordering::Relaxed);
        assert!(matches!(passwords.hash(secret("secret")).await, Err(PasswordError::Busy)));
    }
}
