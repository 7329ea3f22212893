//! `swapmeet edit`: changes who sees what is shared already, its name, and the remark beside it.

use clap::Args;

use super::{
    context::Context,
    record::EntryRecord,
    share::{Level, audience},
    talk::{Ended, Outcome},
};
use crate::engine::api::{self, Command, Update};

#[derive(Debug, Args)]
pub(super) struct Edit {
    /// Own files and folders: ids, unique prefixes of at least 4 characters, MEMBER/path or links; of a folder all files
    /// in it, and those that come later
    #[arg(required = true, value_name = "ID")]
    items: Vec<String>,
    /// Who sees it: everyone, everyone but fetching needs consent, named people, or whoever has the link
    #[arg(long, value_enum, value_name = "LEVEL")]
    visibility: Option<Level>,
    /// Members that may see and fetch it; means --visibility people
    #[arg(long, value_name = "MEMBER,…", value_delimiter = ',')]
    to: Vec<String>,
    /// A remark that others see; an empty one takes it away
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Another name in the index, for one file or folder that was shared as a whole; ids and links of files stay
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

impl Edit {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let audience = audience(self.visibility, self.to)?;
        if audience.is_none() && self.note.is_none() && self.name.is_none() {
            return Err(Ended::usage("there is nothing to change", "give --visibility, --to, --note or --name"));
        }
        if self.name.is_some() && self.items.len() > 1 {
            return Err(Ended::usage("one name is for one file or folder", "name them one by one"));
        }
        let edit = api::Edit { items: self.items, audience, note: self.note, name: self.name };
        let updates = context.ask(Command::Edit(edit)).await?;
        let mut table = context.out.table::<EntryRecord>();
        for update in updates {
            if let Update::File(file) = update {
                table.push(&EntryRecord::from(file))?;
            }
        }
        table.finish()
    }
}
