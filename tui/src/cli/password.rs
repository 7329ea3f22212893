//! `swapmeet password`: another password for the account, or another recovery code.

use clap::Args;

use super::{
    context::Context,
    login,
    secret::{Ask, PasswordFrom},
    talk::{Outcome, Talk},
};
use crate::engine::api::{AccountCommand, Command, Devices};

#[derive(Debug, Args)]
pub(super) struct Password {
    /// Make a new recovery code, which takes the place of the one before; the password stays
    #[arg(long, conflicts_with = "sign_out_others")]
    recovery: bool,
    /// Sign out every other device of the account too
    #[arg(long)]
    sign_out_others: bool,
    #[command(flatten)]
    password: PasswordFrom,
}

impl Password {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        if self.recovery {
            let password = self.password.get(&context.globals, Ask::Once).await?;
            let updates = context.ask(Command::Account(AccountCommand::Recovery { password })).await?;
            return login::print_recovery(context, updates);
        }
        let [old, new] = self.password.get_two(&context.globals, "Current password: ").await?;
        context.ask(Command::Account(AccountCommand::Password { old, new })).await?;
        let talk = Talk::new(&context.globals);
        talk.note("the password is changed; every device that was signed in still is");
        if self.sign_out_others {
            context.ask(Command::Account(AccountCommand::Revoke(Devices::Others))).await?;
            talk.note("every other device is signed out");
        }
        Ok(())
    }
}
