//! `swapmeet recover`: signs this device in where the password is forgotten, by the recovery code.

use clap::Args;

use super::{context::Context, login, secret::PasswordFrom, talk::Outcome};
use crate::engine::api::Command;

#[derive(Debug, Args)]
pub(super) struct Recover {
    /// The account's name
    name: String,
    /// The tracker's join link, swapmeet://…
    #[arg(long, value_name = "LINK", env = "SWAPMEET_TRACKER")]
    tracker: String,
    /// With --password-stdin: the first line is the recovery code, the second the new password
    #[command(flatten)]
    password: PasswordFrom,
}

impl Recover {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let [code, password] = self.password.get_two(&context.globals, "Recovery code: ").await?;
        login::enrol(context, Command::Recover { tracker: self.tracker, name: self.name, code, password }).await
    }
}
