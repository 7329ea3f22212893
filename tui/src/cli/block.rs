//! `swapmeet block` and `unblock`: hiding from another member, and taking that back.

use clap::Args;

use super::{context::Context, record::MemberRecord, talk::Outcome};
use crate::engine::api::{Command, PeopleCommand, Update};

#[derive(Debug, Args)]
pub(super) struct Block {
    /// The member's name
    member: String,
}

impl Block {
    /// Neither sees the other from now on; nobody is told.
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        tell(context, PeopleCommand::Block { member: self.member }).await
    }

    /// Takes it back.
    pub(super) async fn undo(self, context: &mut Context) -> Outcome {
        tell(context, PeopleCommand::Unblock { member: self.member }).await
    }
}

async fn tell(context: &mut Context, command: PeopleCommand) -> Outcome {
    let updates = context.ask(Command::People(command)).await?;
    let mut table = context.out.table::<MemberRecord>();
    for update in updates {
        if let Update::Member(member) = update {
            table.push(&MemberRecord::from(member))?;
        }
    }
    table.finish()
}
