//! Other members: blocking them, and taking that back.

use shared::show::show;

use crate::{
    app::{
        Effect, Purpose, State,
        layer::{Act, Choice, Dialog, Layer},
    },
    engine::api::{Command, MemberRow, PeopleCommand},
};

impl State {
    /// Asks whether to block the member under the cursor, or takes a block back.
    pub(in crate::app) fn block(&mut self, effects: &mut Vec<Effect>) {
        match self.members.selected().cloned() {
            Some(member) if member.me => self.messages.warn(self.now, "this is you"),
            Some(member) if member.blocked => {
                let says = format!("{} is no longer blocked", show(&member.name));
                let command = Command::People(PeopleCommand::Unblock { member: member.name });
                self.call(command, Purpose::People { says }, effects);
            }
            Some(member) => self.layers.push(Layer::Dialog(ask_block(&member))),
            None => self.messages.warn(self.now, "there is no member under the cursor"),
        }
    }
}

fn ask_block(member: &MemberRow) -> Dialog {
    let name = show(&member.name);
    let lines = vec![
        "Neither of you sees the other any more: who is there, files, searches.".to_owned(),
        format!("To {name} you look as if you had left and taken your files along."),
        "Transfers between you end at once; nothing goes between you until you".to_owned(),
        "take it back. Nobody is told.".to_owned(),
    ];
    let command = Command::People(PeopleCommand::Block { member: member.name.clone() });
    let act = Act::Call { command, purpose: Purpose::People { says: format!("{name} is blocked") } };
    let choices = vec![Choice::new('n', "do not", Act::Close), Choice::new('y', "block", act)];
    Dialog::new(format!("Block {name}?"), lines, choices)
}
