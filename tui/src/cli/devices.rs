//! `swapmeet devices`: where the account is signed in, and signing out there.

use clap::{Args, Subcommand};

use super::{context::Context, record::DeviceRecord, talk::Outcome, unshare::print_count};
use crate::engine::api::{self, AccountCommand, Command, Update};

#[derive(Debug, Args)]
pub(super) struct Devices {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The devices of the account, this one first
    Ls,
    /// Sign devices out: their connections and transfers end at once
    Revoke(Revoke),
}

#[derive(Debug, Args)]
struct Revoke {
    /// Ids, unique prefixes of at least 4 characters, or names of devices
    #[arg(required_unless_present = "others", value_name = "ID")]
    devices: Vec<String>,
    /// Every device but this one
    #[arg(long, conflicts_with = "devices")]
    others: bool,
}

impl Devices {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        match self.what {
            None | Some(What::Ls) => {
                let updates = context.ask(Command::Account(AccountCommand::Devices)).await?;
                let mut table = context.out.table::<DeviceRecord>();
                for update in updates {
                    if let Update::Device(device) = update {
                        table.push(&DeviceRecord::from(device))?;
                    }
                }
                table.finish()
            }
            Some(What::Revoke(revoke)) => {
                let which = if revoke.others { api::Devices::Others } else { api::Devices::Named(revoke.devices) };
                print_count(context, Command::Account(AccountCommand::Revoke(which)), "revoked").await
            }
        }
    }
}
