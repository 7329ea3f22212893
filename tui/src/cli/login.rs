//! `swapmeet login`: signs this device in.

use clap::Args;

use super::{
    context::Context,
    record::AccountRecord,
    secret::{Ask, PasswordFrom},
    talk::{Ended, Outcome},
};
use crate::engine::api::{Command, Update};

#[derive(Debug, Args)]
pub(super) struct Login {
    /// The account's name
    name: String,
    /// The tracker's join link, swapmeet://…
    #[arg(long, value_name = "LINK", env = "SWAPMEET_TRACKER")]
    tracker: String,
    #[command(flatten)]
    password: PasswordFrom,
}

impl Login {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let password = self.password.get(&context.globals, Ask::Once).await?;
        enrol(context, Command::Login { tracker: self.tracker, name: self.name, password }).await
    }
}

/// Runs a command that ends with this device signed in, and prints the account.
pub(super) async fn enrol(context: &mut Context, command: Command) -> Outcome {
    let updates = context.ask(command).await?;
    let account =
        updates.into_iter().find_map(|update| if let Update::Account(account) = update { account } else { None });
    let account = account.ok_or_else(|| Ended::unexpected("no_answer", "the engine did not say who is signed in"))?;
    context.out.card(&AccountRecord::from(account))
}
