//! `swapmeet ls`: the index, one place at a time.

use clap::Args;

use super::{
    context::Context,
    record::EntryRecord,
    talk::{Ended, Outcome},
};
use crate::engine::api::{Command, Failure, FailureKind, Update};

#[derive(Debug, Args)]
pub(super) struct Ls {
    /// A folder; without it the top
    #[arg(default_value = "", hide_default_value = true)]
    path: String,
    /// Only names that match this
    filter: Option<String>,
    /// Only own files
    #[arg(long)]
    mine: bool,
    /// Only files of this member
    #[arg(long, value_name = "MEMBER", conflicts_with = "mine")]
    of: Option<String>,
}

impl Ls {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let filtered = self.filter.is_some();
        let list = Command::List { member: self.of, mine: self.mine, path: self.path, filter: self.filter };
        let count = print_entries(context, list).await?;
        if filtered && count == 0 { Err(nothing_found()) } else { Ok(()) }
    }
}

/// Runs a command that tells files and folders, prints them and returns how many there were.
pub(super) async fn print_entries(context: &mut Context, command: Command) -> Result<u64, Ended> {
    let mut reply = context.call(command).await?;
    let mut table = context.out.table::<EntryRecord>();
    let mut count = 0;
    while let Some(update) = reply.next().await? {
        let entry = match update {
            Update::File(file) => EntryRecord::from(file),
            Update::Folder(folder) => EntryRecord::from(folder),
            _ => continue,
        };
        table.push(&entry)?;
        count += 1;
    }
    table.finish()?;
    Ok(count)
}

/// No match.
pub(super) fn nothing_found() -> Ended {
    Failure::new(FailureKind::NotFound, "nothing_found", "nothing matches", "try fewer or shorter words").into()
}
