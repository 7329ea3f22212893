//! `swapmeet register`: makes an account with this device.

use clap::Args;

use super::{
    context::Context,
    login,
    secret::{Ask, PasswordFrom},
    talk::Outcome,
};
use crate::engine::api::Command;

#[derive(Debug, Args)]
pub(super) struct Register {
    /// The name that others will see; may hold spaces
    name: String,
    /// The tracker's join link, swapmeet://…
    #[arg(long, value_name = "LINK", env = "SWAPMEET_TRACKER")]
    tracker: String,
    /// Where a lost password could be reset
    #[arg(long)]
    email: Option<String>,
    /// Invitation, where the tracker asks for one
    #[arg(long, value_name = "CODE")]
    invite: Option<String>,
    #[command(flatten)]
    password: PasswordFrom,
}

impl Register {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let password = self.password.get(&context.globals, Ask::Twice).await?;
        let (tracker, name, email, invite) = (self.tracker, self.name, self.email, self.invite);
        login::enrol(context, Command::Register { tracker, name, password, email, invite }).await
    }
}
