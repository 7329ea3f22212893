//! Reading files again: whether they are as they should be, and mending what is not.

use shared::{limits::GROUP_BYTES, show::show};

use crate::{
    app::{
        Effect, Purpose, State, Tab, format,
        index::Item,
        layer::{Act, Choice, Dialog, Layer},
    },
    engine::api::{Command, Get, Target, TransferState, Verified, Verify},
};

impl State {
    pub(in crate::app) fn verify(&mut self, effects: &mut Vec<Effect>) {
        let chosen = match self.tab {
            Tab::Files if self.files.at_shares() => match self.files.selected_share() {
                Some(share) if share.folder => Err("go in and choose one file: l opens the folder"),
                Some(share) => Ok((show(&share.name), Verify::At(share.local.clone()))),
                None => Err(NOTHING),
            },
            Tab::Files => match self.files.selected() {
                Some(Item::File(row)) if row.mine || row.have => Ok((show(row.name()), Verify::Content(row.hash))),
                Some(Item::File(_)) => Err("it is not on this device: d fetches it, and verifies what comes"),
                Some(Item::Folder(_)) => Err("go in and choose one file: l opens the folder"),
                None => Err(NOTHING),
            },
            Tab::Transfers => match self.transfers.selected().map(|transfer| &transfer.row) {
                Some(row) if row.folder => Err("a folder is verified file by file, in the files"),
                Some(row) if row.state == TransferState::Done => Ok((show(&row.name), Verify::At(row.path.clone()))),
                Some(_) => Err("what is not complete yet is verified as it comes"),
                None => Err(NOTHING),
            },
            Tab::Inbox | Tab::Members | Tab::Chat => Err(NOTHING),
        };
        match chosen {
            Ok((name, what)) => {
                self.messages.success(self.now, format!("reading {name} again…"));
                self.call(Command::Verify(what), Purpose::Verify { name }, effects);
            }
            Err(why) => self.messages.warn(self.now, why),
        }
    }

    /// A file was read: all is well, or a repair is offered.
    pub(in crate::app) fn verified(&mut self, name: &str, verified: Verified) {
        if verified.is_sound() {
            let text = format!("{name} is as it should be: all {} verified", format::bytes(verified.size));
            self.messages.success(self.now, text);
            return;
        }
        let mut lines = vec![show(&verified.path.to_string_lossy())];
        match &verified.bad {
            Some(bad) => {
                let wrong: u64 = bad.iter().map(|[start, end]| end.saturating_sub(*start)).sum();
                let groups: u64 = bad.iter().map(|[start, end]| end.saturating_sub(*start).div_ceil(GROUP_BYTES)).sum();
                let parts = format::plural(groups, "part", "parts");
                lines.push(format!(
                    "{} of {} are wrong, in {parts}.",
                    format::bytes(wrong),
                    format::bytes(verified.size)
                ));
            }
            None => lines.push("Its content is another one; where it differs is not known here.".to_owned()),
        }
        lines.push("A repair fetches only what is wrong. The file as it is now is kept".to_owned());
        lines.push("beside it, as .swapmeet-bad.".to_owned());
        let get = Get { target: Target::File(verified.path), repair: true, detach: true, ..Get::default() };
        let says = format!("repairing {name}");
        let purpose = Purpose::Get { ids: Vec::new(), says, get: Box::new(get.clone()) };
        let act = Act::Call { command: Command::Get(get), purpose };
        let choices = vec![Choice::new('n', "leave it", Act::Close), Choice::new('y', "repair it", act)];
        self.layers.push(Layer::Dialog(Dialog::new(format!("{name} is damaged"), lines, choices)));
    }
}

const NOTHING: &str = "there is no file under the cursor";
