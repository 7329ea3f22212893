//! Passwords of protected files between the moment that somebody gives them and the one that the files are there. They
//! are in memory only, and wiped when they are let go.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use seal::Password;
use shared::{id::BlobHash, limits::PASSWORDS_HELD_MAX};

/// The passwords that are needed soon, by content.
#[derive(Debug, Default)]
pub struct Passwords(Mutex<VecDeque<(BlobHash, Password)>>);

impl Passwords {
    /// Remembers one. Where there are too many, the oldest is asked for again.
    pub fn hold(&self, blob: BlobHash, password: &Password) {
        let mut held = self.held();
        held.retain(|(other, _)| *other != blob);
        if held.len() >= PASSWORDS_HELD_MAX {
            held.pop_front();
        }
        held.push_back((blob, password.clone()));
    }

    /// The password of a content, if it is known.
    pub fn of(&self, blob: &BlobHash) -> Option<Password> {
        self.held().iter().find(|(other, _)| other == blob).map(|(_, password)| password.clone())
    }

    /// It is not needed any more.
    pub fn forget(&self, blob: &BlobHash) {
        self.held().retain(|(other, _)| other != blob);
    }

    fn held(&self) -> MutexGuard<'_, VecDeque<(BlobHash, Password)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_held_until_they_are_forgotten_and_never_too_many() {
        let passwords = Passwords::default();
        let blob = |n: usize| BlobHash(*blake3::hash(&n.to_le_bytes()).as_bytes());
        let password = |text: &str| Password::new(text.to_owned());
        for n in 0..=PASSWORDS_HELD_MAX {
            passwords.hold(blob(n), &password("old"));
        }
        assert_eq!(passwords.of(&blob(0)), None);
        passwords.hold(blob(7), &password("new"));
        assert_eq!(passwords.of(&blob(7)), Some(password("new")));
        passwords.forget(&blob(7));
        assert_eq!(passwords.of(&blob(7)), None);
        assert_eq!(passwords.held().len(), PASSWORDS_HELD_MAX - 1);
    }
}
