//! `swapmeet rescan`: looks for changed, new and missing shared files.

use clap::Args;
use serde::Serialize;

use super::{
    context::Context,
    out::{Cell, Column, Record},
    progress::ProgressFrom,
    talk::{Ended, Outcome},
};
use crate::engine::api::{Command, Rescanned, Update};

#[derive(Debug, Args)]
pub(super) struct Rescan {
    #[command(flatten)]
    progress: ProgressFrom,
}

impl Rescan {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let mut progress = self.progress.start(&context.globals);
        let mut reply = context.call(Command::Rescan).await?;
        let mut found = None;
        while let Some(update) = reply.next().await? {
            match update {
                Update::Hashing(hashing) => progress.hashing(&hashing),
                Update::Rescanned(rescanned) => found = Some(rescanned),
                _ => (),
            }
        }
        drop(progress);
        let found = found.ok_or_else(|| Ended::unexpected("no_answer", "the engine did not say what it found"))?;
        context.out.card(&RescanRecord::from(found))
    }
}

#[derive(Debug, Serialize)]
struct RescanRecord {
    added: u64,
    changed: u64,
    missing: u64,
    unchanged: u64,
}

impl From<Rescanned> for RescanRecord {
    fn from(found: Rescanned) -> Self {
        Self { added: found.added, changed: found.changed, missing: found.missing, unchanged: found.unchanged }
    }
}

impl Record for RescanRecord {
    fn kind(&self) -> &'static str {
        "rescan"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] =
            &[Column::text("ADDED"), Column::text("CHANGED"), Column::text("MISSING"), Column::text("UNCHANGED")];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        [self.added, self.changed, self.missing, self.unchanged].map(Cell::Count).to_vec()
    }
}
