//! `swapmeet info`: everything about one file, or a folder.

use clap::Args;

use super::{
    context::Context,
    record::{DetailRecord, EntryRecord},
    talk::{Ended, Outcome},
};
use crate::engine::api::{Command, Update};

#[derive(Debug, Args)]
pub(super) struct Info {
    /// Id, unique prefix of at least 4 characters, MEMBER/path or link
    #[arg(value_name = "ID")]
    item: String,
}

impl Info {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        for update in context.ask(Command::Info { item: self.item }).await? {
            match update {
                Update::Detail(detail) => return context.out.card(&DetailRecord::from(*detail)),
                Update::Folder(folder) => return context.out.card(&EntryRecord::from(folder)),
                _ => (),
            }
        }
        Err(Ended::unexpected("no_answer", "the engine did not say anything about it"))
    }
}
