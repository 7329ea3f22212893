//! `swapmeet unshare`: takes own files and folders out of the index. The local files stay.

use clap::Args;

use super::{
    context::Context,
    record::CountRecord,
    talk::{Ended, Outcome},
};
use crate::engine::api::{Command, Update};

#[derive(Debug, Args)]
pub(super) struct Unshare {
    /// Ids, unique prefixes of at least 4 characters, MEMBER/path or links
    #[arg(required = true, value_name = "ID")]
    items: Vec<String>,
}

impl Unshare {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        print_count(context, Command::Unshare { items: self.items }, "unshared").await
    }
}

/// Runs a command that ends with a count, and prints it.
pub(super) async fn print_count(context: &mut Context, command: Command, kind: &'static str) -> Outcome {
    let updates = context.ask(command).await?;
    let count = updates.iter().find_map(|update| if let Update::Count(count) = update { Some(*count) } else { None });
    let count = count.ok_or_else(|| Ended::unexpected("no_answer", "the engine did not say what it did"))?;
    context.out.card(&CountRecord { kind, count })
}
