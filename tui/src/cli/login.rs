//! `swapmeet login`: signs this device in.

use clap::Args;

use super::{
    context::Context,
    record::{AccountRecord, RecoveryRecord},
    secret::{Ask, PasswordFrom},
    talk::{Ended, Outcome, Talk},
};
use crate::engine::api::{Command, Secret, Update};

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
    let (mut account, mut code) = (None, None);
    for update in context.ask(command).await? {
        match update {
            Update::Account(found) => account = found,
            Update::Recovery(found) => code = Some(found),
            _ => {}
        }
    }
    let account = account.ok_or_else(|| Ended::unexpected("no_answer", "the engine did not say who is signed in"))?;
    context.out.card(&AccountRecord::from(account))?;
    match code {
        Some(code) => tell_recovery(context, code),
        None => Ok(()),
    }
}

/// Prints the recovery code that a command brought.
pub(super) fn print_recovery(context: &mut Context, updates: Vec<Update>) -> Outcome {
    let mut codes =
        updates.into_iter().filter_map(|update| if let Update::Recovery(code) = update { Some(code) } else { None });
    let code = codes.next().ok_or_else(|| Ended::unexpected("no_answer", "the engine did not say the code"))?;
    context.out.card(&RecoveryRecord::from(code))
}

/// Tells the recovery code of an account beside the account: for programs as a record, for people with what it is for.
fn tell_recovery(context: &mut Context, code: Secret) -> Outcome {
    if context.out.is_json() {
        return context.out.card(&RecoveryRecord::from(code));
    }
    let text = format!("recovery code: {}\n  keep it: it is shown once, and resets a forgotten password", code.0);
    Talk::new(&context.globals).note(&text);
    Ok(())
}
