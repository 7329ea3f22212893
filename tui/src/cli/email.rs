//! `swapmeet email`: the address by which the tracker's administrator reaches a member. Nobody else sees it.

use clap::Args;

use super::{
    context::Context,
    secret::{Ask, PasswordFrom},
    talk::Outcome,
};
use crate::engine::api::{AccountCommand, Command};

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(super) struct Email {
    /// The new address
    #[arg(group = "what")]
    address: Option<String>,
    /// Keep no address
    #[arg(long, group = "what")]
    none: bool,
    #[command(flatten)]
    password: PasswordFrom,
}

impl Email {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let password = self.password.get(&context.globals, Ask::Once).await?;
        context.ask(Command::Account(AccountCommand::Email { password, email: self.address })).await?;
        Ok(())
    }
}
