//! `swapmeet inbox`: requests and offers that wait, both ways, and what to answer by itself.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::{
    context::Context,
    get::{follow, print, target},
    progress::ProgressFrom,
    record::{ItemRecord, OfferedRecord, RuleRecord},
    share::in_place,
    talk::{Ended, Outcome},
    unshare::print_count,
};
use crate::{
    app::filter::parse_size,
    engine::api::{self, Command, InboxCommand, ItemKind, RuleKind, RuleRow, Update},
};

#[derive(Debug, Args)]
pub(super) struct Inbox {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// What waits, both ways
    Ls {
        /// Also what is over
        #[arg(long)]
        all: bool,
    },
    /// One item, with the files of an offer
    Show {
        /// Its id, or a unique prefix of at least 4 characters
        #[arg(value_name = "ID")]
        item: String,
    },
    /// Say yes: an offer is fetched, a request approved or answered, a private channel opened
    Accept(Accept),
    /// Say no, or take back a yes
    Decline {
        /// Ids, or unique prefixes of at least 4 characters
        #[arg(required = true, value_name = "ID")]
        items: Vec<String>,
        /// A word for the other
        #[arg(long, value_name = "TEXT", default_value = "")]
        word: String,
    },
    /// Take back a request or an offer
    Cancel {
        /// Ids, or unique prefixes of at least 4 characters
        #[arg(required = true, value_name = "ID")]
        items: Vec<String>,
    },
    /// What is answered by itself
    #[command(subcommand)]
    Rule(Rule),
}

#[derive(Debug, Args)]
struct Accept {
    /// Ids, or unique prefixes of at least 4 characters
    #[arg(required = true, value_name = "ID")]
    items: Vec<String>,
    /// Approve every later request of this member for a file too
    #[arg(long)]
    always: bool,
    /// Of an offer only these files or folders
    #[arg(long, value_name = "PATH,…", value_delimiter = ',')]
    only: Vec<String>,
    /// Where to put the files of an offer
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// The file that answers a request in words: a path, which is shared hidden for it, or an own shared one
    #[arg(long, value_name = "PATH or ID")]
    with: Option<String>,
    /// Do not wait for the files of an offer; the engine goes on in the background
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    progress: ProgressFrom,
}

#[derive(Debug, Subcommand)]
enum Rule {
    /// The rules
    Ls,
    /// Answer a member by itself
    Set {
        /// Whom
        #[arg(value_name = "MEMBER")]
        member: String,
        /// How
        #[arg(value_enum)]
        rule: Answer,
        /// Accept offers only up to this size, like 500m or 2g
        #[arg(long, value_name = "SIZE", value_parser = size)]
        up_to: Option<u64>,
    },
    /// Ask again for every offer and request of a member
    Rm {
        /// Whose
        #[arg(value_name = "MEMBER")]
        member: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Answer {
    /// Their offers are accepted
    Accept,
    /// Their offers are declined
    Decline,
    /// Their requests for files are approved
    Approve,
}

/// A size as people write it.
pub(super) fn size(text: &str) -> Result<u64, String> {
    parse_size(text).ok_or_else(|| format!("{text:?} is not a size: write 500m or 2g"))
}

impl Inbox {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let command = match self.what {
            None => InboxCommand::List { all: false },
            Some(What::Ls { all }) => InboxCommand::List { all },
            Some(What::Show { item }) => return show(context, item).await,
            Some(What::Accept(accept)) => return accept.run(context).await,
            Some(What::Decline { items, word }) => InboxCommand::Decline { items, word },
            Some(What::Cancel { items }) => InboxCommand::Cancel { items },
            Some(What::Rule(rule)) => return rule.run(context).await,
        };
        print_items(context, Command::Inbox(command)).await
    }
}

impl Accept {
    async fn run(self, context: &mut Context) -> Outcome {
        if let [item] = &self.items[..]
            && let Some(channel) = channel_named(context, item).await?
        {
            return super::channel::join(context, channel).await;
        }
        let target = target(self.output.as_deref(), self.items.len().max(2))?;
        let with = match self.with {
            Some(text) if Path::new(&text).exists() => Some(in_place(Path::new(&text))?.to_string_lossy().into_owned()),
            other => other,
        };
        let accept =
            api::Accept { items: self.items, always: self.always, only: self.only, target, with, detach: self.detach };
        if self.detach {
            super::engine::lasting(context).await?;
        }
        let mut progress = self.progress.start(&context.globals);
        let mut reply = context.call(Command::Inbox(InboxCommand::Accept(accept))).await?;
        let (transfers, items, ended) = follow(&mut reply, &mut progress).await;
        drop(progress);
        let mut table = context.out.table::<ItemRecord>();
        for item in items {
            table.push(&ItemRecord::from(item))?;
        }
        table.finish()?;
        if !transfers.is_empty() {
            print(&mut context.out, transfers)?;
        }
        ended
    }
}

impl Rule {
    async fn run(self, context: &mut Context) -> Outcome {
        let command = match self {
            Self::Ls => InboxCommand::Rules,
            Self::Rm { member } => {
                return print_count(context, Command::Inbox(InboxCommand::RemoveRule { member }), "removed").await;
            }
            Self::Set { rule, up_to: Some(_), .. } if rule != Answer::Accept => {
                return Err(Ended::usage("--up-to is about accepting offers", "leave it out"));
            }
            Self::Set { member, rule, up_to } => {
                let what = match rule {
                    Answer::Accept => RuleKind::AcceptOffers { up_to },
                    Answer::Decline => RuleKind::DeclineOffers,
                    Answer::Approve => RuleKind::Approve,
                };
                InboxCommand::SetRule(RuleRow { member, what })
            }
        };
        let updates = context.ask(Command::Inbox(command)).await?;
        let mut table = context.out.table::<RuleRecord>();
        for update in updates {
            if let Update::Rule(rule) = update {
                table.push(&RuleRecord::from(rule))?;
            }
        }
        table.finish()
    }
}

/// The id of an invitation to a private channel, which whoever accepts it holds.
async fn channel_named(context: &mut Context, item: &str) -> Result<Option<String>, Ended> {
    let updates = context.ask(Command::Inbox(InboxCommand::Show { item: item.to_owned() })).await?;
    Ok(updates.into_iter().find_map(|update| match update {
        Update::Item(item) if item.kind == ItemKind::Channel && item.incoming => Some(item.id),
        _ => None,
    }))
}

async fn show(context: &mut Context, item: String) -> Outcome {
    let updates = context.ask(Command::Inbox(InboxCommand::Show { item })).await?;
    let mut offered = Vec::new();
    for update in updates {
        match update {
            Update::Item(item) => context.out.card(&ItemRecord::from(*item))?,
            Update::Offered(file) => offered.push(OfferedRecord::from(file)),
            _ => (),
        }
    }
    if offered.is_empty() {
        return Ok(());
    }
    let mut table = context.out.table::<OfferedRecord>();
    for file in offered {
        table.push(&file)?;
    }
    table.finish()
}

/// Runs a command that tells of items, and prints them.
pub(super) async fn print_items(context: &mut Context, command: Command) -> Outcome {
    let updates = context.ask(command).await?;
    let mut table = context.out.table::<ItemRecord>();
    for update in updates {
        if let Update::Item(item) = update {
            table.push(&ItemRecord::from(*item))?;
        }
    }
    table.finish()
}
