//! `swapmeet invite`: invitations to the tracker, for its administrators.

use std::time::Duration;

use clap::{Args, Subcommand};
use shared::limits::INVITE_USES_MAX;

use super::{context::Context, record::InviteRecord, span, talk::Outcome};
use crate::engine::api::{AccountCommand, Command, Update};

#[derive(Debug, Args)]
pub(super) struct Invite {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a code; it and the join link with it are shown once
    New(New),
    /// The codes that can still be used, by how they begin
    Ls,
    /// Make a code worthless
    Revoke {
        /// The code, or how it begins
        code: String,
    },
}

#[derive(Debug, Args)]
struct New {
    /// Registrations that it allows
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(INVITE_USES_MAX)))]
    uses: u32,
    /// How long it is good for, like 12h or 7d [default: until revoked]
    #[arg(long, value_name = "TIME", value_parser = span::parse)]
    expires: Option<Duration>,
}

impl Invite {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        match self.what {
            Some(What::New(new)) => {
                let life_s = new.expires.map(|life| life.as_secs());
                let command = AccountCommand::Invite { uses: new.uses, life_s };
                for update in context.ask(Command::Account(command)).await? {
                    if let Update::Invite(invite) = update {
                        context.out.card(&InviteRecord::from(invite))?;
                    }
                }
                Ok(())
            }
            None | Some(What::Ls) => {
                let updates = context.ask(Command::Account(AccountCommand::Invites)).await?;
                let mut table = context.out.table::<InviteRecord>();
                for update in updates {
                    if let Update::Invite(invite) = update {
                        table.push(&InviteRecord::from(invite))?;
                    }
                }
                table.finish()
            }
            Some(What::Revoke { code }) => {
                context.ask(Command::Account(AccountCommand::RevokeInvite { code })).await?;
                Ok(())
            }
        }
    }
}
