//! `swapmeet request`: asks for files that cannot be fetched now, or for something that is not shared.

use std::time::Duration;

use clap::Args;

use super::{
    context::Context,
    inbox::print_items,
    span,
    talk::{Ended, Outcome},
};
use crate::engine::api::{Command, InboxCommand};

#[derive(Debug, Args)]
pub(super) struct Request {
    /// Files and folders that are shared: ids, unique prefixes of at least 4 characters, MEMBER/path or links; of a folder
    /// every file that is not here. With --of or --anyone: what is wanted, in words
    #[arg(required = true, value_name = "ID or TEXT")]
    what: Vec<String>,
    /// Ask this member for something that is not shared
    #[arg(long, value_name = "MEMBER", conflicts_with = "anyone")]
    of: Option<String>,
    /// Ask everyone for something that is not shared
    #[arg(long)]
    anyone: bool,
    /// A word with a request for files
    #[arg(long, value_name = "TEXT", default_value = "", conflicts_with_all = ["of", "anyone"])]
    note: String,
    /// How long it waits, like 12h or 7d [default: 30d]
    #[arg(long, value_name = "TIME", value_parser = span::parse)]
    expires: Option<Duration>,
}

impl Request {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let life_s = self.expires.map(|life| life.as_secs());
        let command = if self.of.is_some() || self.anyone {
            let text = self.what.join(" ");
            if text.trim().is_empty() {
                return Err(Ended::usage("nothing was asked for", "say what is wanted"));
            }
            InboxCommand::RequestText { of: self.of, text, life_s }
        } else {
            InboxCommand::RequestFiles { items: self.what, text: self.note, life_s }
        };
        print_items(context, Command::Inbox(command)).await
    }
}
