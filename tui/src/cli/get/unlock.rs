//! The password of protected files: asked for once, when the engine says that it is needed.

use seal::Password;

use crate::{
    cli::{
        context::Context,
        secret::{Ask, PasswordFrom},
        talk::{Ended, Outcome},
    },
    engine::{
        api::{Command, Secret},
        transfers::protected::PASSWORD_NEEDED,
    },
};

/// What is known of the password so far.
pub(super) struct Unlocking<'a> {
    from: &'a PasswordFrom,
    known: Option<Secret>,
    tries: u32,
}

/// An engine that takes over from another knows no password, and says so again.
const TRIES_MAX: u32 = 5;

impl<'a> Unlocking<'a> {
    pub(super) const fn new(from: &'a PasswordFrom) -> Self {
        Self { from, known: None, tries: 0 }
    }

    /// Whether a password changes how this ended.
    pub(super) fn helps(&self, ended: &Ended) -> bool {
        matches!(ended, Ended::Failed(failure) if failure.code == PASSWORD_NEEDED) && self.tries < TRIES_MAX
    }

    /// Asks for the password, unless it is known, and proves it.
    pub(super) async fn unlock(&mut self, context: &mut Context, items: &[String], hold: bool) -> Outcome {
        self.tries += 1;
        let password = match self.known.clone() {
            Some(password) => password,
            None => self.from.get(&context.globals, Ask::Once).await?,
        };
        let items = items.to_vec();
        context.ask(Command::Unlock { items, password: password.clone(), hold }).await?;
        self.known = Some(password);
        Ok(())
    }

    /// The password that was proved.
    pub(super) fn password(&self) -> Option<Password> {
        self.known.as_ref().map(|secret| Password::new(secret.0.clone()))
    }
}
