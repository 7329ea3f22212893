//! `swapmeet wish`: standing searches, which tell of new matches or fetch them.

use clap::{Args, Subcommand};

use super::{
    context::Context,
    inbox::size,
    record::{EntryRecord, WishRecord},
    talk::Outcome,
    unshare::print_count,
};
use crate::engine::api::{Command, Update, WishCommand};

#[derive(Debug, Args)]
pub(super) struct Wish {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The standing searches
    Ls,
    /// Look for something from now on: `swapmeet events`, the screen and `wish show` tell of files that appear
    Add {
        /// Words that all have to occur, as in `search`; also user:NAME, ext:EXT, and !WORD for what must not occur
        #[arg(required = true, value_name = "QUERY")]
        query: Vec<String>,
        /// Fetch what appears into the downloads, new versions too; what cannot just be fetched is told instead
        #[arg(long)]
        fetch: bool,
        /// Fetch files only up to this size, like 500m or 2g
        #[arg(long, value_name = "SIZE", value_parser = size, requires = "fetch")]
        up_to: Option<u64>,
    },
    /// One of them with what matched it, newest first
    Show {
        /// Its id, or a unique prefix of at least 4 characters
        #[arg(value_name = "ID")]
        wish: String,
    },
    /// Look for it no longer; what is being fetched goes on
    Rm {
        /// Its id, or a unique prefix of at least 4 characters
        #[arg(value_name = "ID")]
        wish: String,
    },
}

impl Wish {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        match self.what {
            None | Some(What::Ls) => {
                let updates = context.ask(Command::Wish(WishCommand::List)).await?;
                let mut table = context.out.table::<WishRecord>();
                for update in updates {
                    if let Update::Wish(wish) = update {
                        table.push(&WishRecord::from(wish))?;
                    }
                }
                table.finish()
            }
            Some(What::Add { query, fetch, up_to }) => {
                let query = query.join(" ");
                print_wish(context, WishCommand::Add { query, fetch, up_to }).await
            }
            Some(What::Show { wish }) => print_wish(context, WishCommand::Show { wish }).await,
            Some(What::Rm { wish }) => {
                print_count(context, Command::Wish(WishCommand::Remove { wish }), "removed").await
            }
        }
    }
}

/// Prints one standing search, and its matches where those are told.
async fn print_wish(context: &mut Context, command: WishCommand) -> Outcome {
    let updates = context.ask(Command::Wish(command)).await?;
    let mut files = Vec::new();
    for update in updates {
        match update {
            Update::Wish(wish) => context.out.card(&WishRecord::from(wish))?,
            Update::File(file) => files.push(EntryRecord::from(file)),
            _ => (),
        }
    }
    if files.is_empty() {
        return Ok(());
    }
    let mut table = context.out.table::<EntryRecord>();
    for file in files {
        table.push(&file)?;
    }
    table.finish()
}
