//! `swapmeet offer`: pushes a file or folder at members, who accept or decline.

use std::{path::Path, time::Duration};

use clap::Args;

use super::{context::Context, progress::ProgressFrom, record::ItemRecord, share::in_place, span, talk::Outcome};
use crate::engine::api::{self, Command, InboxCommand, Update};

#[derive(Debug, Args)]
pub(super) struct Offer {
    /// A file or folder, or one that is shared from here: its id, a unique prefix of at least 4 characters, MEMBER/path or
    /// link
    #[arg(value_name = "PATH or ID")]
    what: String,
    /// To whom
    #[arg(required_unless_present = "all", value_name = "MEMBER")]
    to: Vec<String>,
    /// To every member
    #[arg(long, conflicts_with = "to")]
    all: bool,
    /// Also leave a copy on the tracker, and wait until it is there: then this device may leave
    #[arg(long)]
    copy: bool,
    /// A word with it
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// How long it waits, like 12h or 7d [default: 30d]
    #[arg(long, value_name = "TIME", value_parser = span::parse)]
    expires: Option<Duration>,
    #[command(flatten)]
    progress: ProgressFrom,
}

impl Offer {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let mut offer = api::Offer {
            to: self.to,
            everyone: self.all,
            text: self.note,
            copy: self.copy,
            life_s: self.expires.map(|life| life.as_secs()),
            ..api::Offer::default()
        };
        match in_place(Path::new(&self.what)) {
            Ok(path) => offer.paths.push(path),
            // What is no path here may be an item.
            Err(_) if api_item(&self.what) => offer.items.push(self.what),
            Err(ended) => return Err(ended),
        }
        let mut progress = self.progress.start(&context.globals);
        let mut reply = context.call(Command::Inbox(InboxCommand::Offer(offer))).await?;
        let mut table = context.out.table::<ItemRecord>();
        while let Some(update) = reply.next().await? {
            match update {
                Update::Hashing(hashing) => progress.hashing(&hashing),
                Update::Item(item) => table.push(&ItemRecord::from(*item))?,
                _ => (),
            }
        }
        drop(progress);
        table.finish()
    }
}

/// Whether a text can name something in the index.
fn api_item(text: &str) -> bool {
    !Path::new(text).is_absolute() && crate::engine::link::parse_item(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_no_path() {
        assert!(api_item("0123456789abcdef0123456789abcdef"));
        assert!(!api_item("/no/such/file"));
    }
}
