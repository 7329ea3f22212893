//! `swapmeet uncopy`: removes the tracker's copies of own files.

use clap::Args;

use super::{context::Context, talk::Outcome, unshare::print_count};
use crate::engine::api::Command;

#[derive(Debug, Args)]
pub(super) struct Uncopy {
    /// Ids, unique prefixes of at least 4 characters, MEMBER/path or links
    #[arg(required = true, value_name = "ID")]
    items: Vec<String>,
}

impl Uncopy {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        print_count(context, Command::Uncopy { items: self.items }, "uncopied").await
    }
}
