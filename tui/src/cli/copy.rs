//! `swapmeet copy`: leaves copies of own files on the tracker, and waits until they are there.

use clap::Args;

use super::{context::Context, record::EntryRecord, talk::Outcome};
use crate::engine::api::{Command, Update};

#[derive(Debug, Args)]
pub(super) struct Copy {
    /// Ids, unique prefixes of at least 4 characters, MEMBER/path or links
    #[arg(required = true, value_name = "ID")]
    items: Vec<String>,
}

impl Copy {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let mut reply = context.call(Command::Copy { items: self.items, wait: true }).await?;
        let mut table = context.out.table::<EntryRecord>();
        while let Some(update) = reply.next().await? {
            match update {
                Update::File(file) => table.push(&EntryRecord::from(file))?,
                Update::Folder(folder) => table.push(&EntryRecord::from(folder))?,
                _ => (),
            }
        }
        table.finish()
    }
}
