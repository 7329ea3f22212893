//! `swapmeet search`: finds files by name, path, owner and note.

use clap::Args;
use shared::limits::SEARCH_HITS_MAX;

use super::{
    context::Context,
    ls::{nothing_found, print_entries},
    talk::Outcome,
};
use crate::engine::api::Command;

#[derive(Debug, Args)]
pub(super) struct Search {
    /// Words that all have to occur
    #[arg(required = true, value_name = "QUERY")]
    query: Vec<String>,
    /// At most so many, best first
    #[arg(long, value_name = "N", default_value_t = SEARCH_HITS_MAX as u32)]
    limit: u32,
}

impl Search {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let search = Command::Search { query: self.query.join(" "), limit: self.limit };
        if print_entries(context, search).await? == 0 { Err(nothing_found()) } else { Ok(()) }
    }
}
