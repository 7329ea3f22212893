//! `swapmeet transfers`: the queue.

use clap::{Args, Subcommand};

use super::{
    context::Context,
    record::TransferRecord,
    talk::{Ended, Outcome},
};
use crate::engine::api::{Command, Rank, Steer, Update};

#[derive(Debug, Args)]
pub(super) struct Transfers {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// What runs, waits and ended; also without a verb
    Ls,
    /// Every change, until interrupted
    Watch,
    /// Stop for now, keep what there is
    Pause(Which),
    /// Go on
    Resume(Which),
    /// Stop for good and remove the partial file; finished files stay
    Cancel(Which),
    /// Try failed ones again
    Retry(Which),
    /// Give it another place in the queue
    Prio(Prio),
}

#[derive(Debug, Args)]
struct Prio {
    /// Id of a transfer, or a unique prefix
    #[arg(value_name = "TRANSFER")]
    transfer: String,
    /// high, normal, low; first, last; +N or -N: so many places sooner or later
    #[arg(value_name = "PRIORITY", value_parser = Rank::parse, allow_hyphen_values = true)]
    rank: Rank,
}

#[derive(Debug, Args)]
struct Which {
    /// Ids of transfers, or unique prefixes
    #[arg(value_name = "TRANSFER", required_unless_present = "all", conflicts_with = "all")]
    transfers: Vec<String>,
    /// All that it applies to
    #[arg(long)]
    all: bool,
}

impl Transfers {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        match self.verb {
            None | Some(Verb::Ls) => list(context).await,
            Some(Verb::Watch) => watch(context).await,
            Some(Verb::Pause(which)) => steer(context, which, Steer::Pause).await,
            Some(Verb::Resume(which)) => steer(context, which, Steer::Resume).await,
            Some(Verb::Cancel(which)) => steer(context, which, Steer::Cancel).await,
            Some(Verb::Retry(which)) => steer(context, which, Steer::Retry).await,
            Some(Verb::Prio(Prio { transfer, rank })) => {
                let which = Which { transfers: vec![transfer], all: false };
                steer(context, which, Steer::Rank(rank)).await
            }
        }
    }
}

async fn list(context: &mut Context) -> Outcome {
    print_transfers(context, Command::Transfers { watch: false }).await
}

async fn steer(context: &mut Context, which: Which, how: Steer) -> Outcome {
    print_transfers(context, Command::Steer { transfers: which.transfers, how }).await
}

async fn print_transfers(context: &mut Context, command: Command) -> Outcome {
    let mut reply = context.call(command).await?;
    let mut table = context.out.table::<TransferRecord>();
    while let Some(update) = reply.next().await? {
        if let Update::Transfer(transfer) = update {
            table.push(&TransferRecord::from(*transfer))?;
        }
    }
    table.finish()
}

async fn watch(context: &mut Context) -> Outcome {
    let mut updates = context.client().await?.call(Command::Transfers { watch: true }).await;
    while let Some(update) = updates.next().await? {
        if let Update::Transfer(transfer) = update {
            context.out.line(&TransferRecord::from(*transfer))?;
        }
    }
    Err(Ended::from(crate::engine::client::engine_gone()))
}
