//! Steering transfers and opening what they brought.

use std::path::Path;

use shared::show::show;

use crate::{
    app::{
        Effect, Purpose, State, Undo, format,
        keys::Action,
        layer::{Act, Choice, Dialog, Layer},
    },
    engine::api::{Command, Direction, Steer, TransferState},
};

impl State {
    pub(in crate::app) fn chosen_transfers(&self) -> Vec<String> {
        if self.transfers.pane.marks.is_empty() {
            self.transfers.selected().map(|transfer| transfer.row.id.clone()).into_iter().collect()
        } else {
            self.transfers.pane.marks.iter().cloned().collect()
        }
    }

    pub(in crate::app) fn named(&self, ids: &[String]) -> String {
        match ids {
            [id] => self.transfers.all.get(id).map_or_else(String::new, |transfer| show(&transfer.row.name)),
            many => format::plural(many.len() as u64, "transfer", "transfers"),
        }
    }

    pub(in crate::app) fn steer(
        &mut self,
        ids: Vec<String>,
        how: Steer,
        says: String,
        undo: Option<Steer>,
        effects: &mut Vec<Effect>,
    ) {
        if ids.is_empty() {
            self.messages.warn(self.now, "there is no transfer under the cursor");
            return;
        }
        let undo = undo.map(|how| (ids.clone(), how));
        self.call(Command::Steer { transfers: ids, how }, Purpose::Steer { says, undo }, effects);
        self.transfers.pane.marks.clear();
    }

    pub(in crate::app) fn pause(&mut self, effects: &mut Vec<Effect>) {
        let ids = self.chosen_transfers();
        let paused = |id: &String| self.transfers.all.get(id).is_some_and(|t| t.row.state == TransferState::Paused);
        let name = self.named(&ids);
        if ids.iter().all(paused) {
            self.steer(ids, Steer::Resume, format!("{name} goes on"), Some(Steer::Pause), effects);
        } else {
            self.steer(ids, Steer::Pause, format!("{name} paused"), Some(Steer::Resume), effects);
        }
    }

    pub(in crate::app) fn pause_all(&mut self, effects: &mut Vec<Effect>) {
        let down = |state: fn(&TransferState) -> bool| -> Vec<String> {
            let all = self.transfers.all.values().filter(|t| t.row.direction == Direction::Down && state(&t.row.state));
            all.map(|t| t.row.id.clone()).collect()
        };
        let going =
            down(|state| matches!(state, TransferState::Running | TransferState::Queued | TransferState::Waiting));
        let paused = down(|state| *state == TransferState::Paused);
        if !going.is_empty() {
            let says = format!("{} paused", self.named(&going));
            self.steer(going, Steer::Pause, says, Some(Steer::Resume), effects);
        } else if !paused.is_empty() {
            let says = format!("{} going on", self.named(&paused));
            self.steer(paused, Steer::Resume, says, Some(Steer::Pause), effects);
        } else {
            self.messages.warn(self.now, "there is no transfer to pause");
        }
    }

    pub(in crate::app) fn ask_cancel(&mut self) {
        let ids = self.chosen_transfers();
        if ids.is_empty() {
            self.messages.warn(self.now, "there is no transfer under the cursor");
            return;
        }
        let fetched: u64 = ids.iter().filter_map(|id| self.transfers.all.get(id)).map(|t| t.row.done).sum();
        let name = self.named(&ids);
        let lines = vec![
            name.clone(),
            format!("{} fetched so far will be removed; finished files stay.", format::bytes(fetched)),
            "p pauses instead and keeps them.".to_owned(),
        ];
        let purpose = Purpose::Steer { says: format!("{name} cancelled"), undo: None };
        let act = Act::Call { command: Command::Steer { transfers: ids, how: Steer::Cancel }, purpose };
        let choices = vec![Choice::new('n', "go on", Act::Close), Choice::new('y', "cancel it", act)];
        self.layers.push(Layer::Dialog(Dialog::new("Cancel for good?", lines, choices)));
    }

    pub(in crate::app) fn retry(&mut self, effects: &mut Vec<Effect>) {
        let ids = self.chosen_transfers();
        let says = format!("trying {} again", self.named(&ids));
        self.steer(ids, Steer::Retry, says, None, effects);
    }

    pub(in crate::app) fn forget(&mut self, effects: &mut Vec<Effect>) {
        let ids = self.chosen_transfers();
        let says = format!("{} taken off the list; the files stay", self.named(&ids));
        self.steer(ids, Steer::Clear, says, None, effects);
    }

    pub(in crate::app) fn forget_all(&mut self, effects: &mut Vec<Effect>) {
        let ids = self.transfers.order.clone();
        let says = format!("{} taken off the list; the files stay", self.named(&ids));
        self.steer(ids, Steer::Clear, says, None, effects);
    }

    pub(in crate::app) fn open_file(&mut self, effects: &mut Vec<Effect>) {
        let Some(transfer) = self.transfers.selected() else {
            self.messages.warn(self.now, "there is no transfer under the cursor");
            return;
        };
        let path = transfer.row.path.clone();
        let name = show(&transfer.row.name);
        if transfer.row.state != TransferState::Done {
            self.messages.warn(self.now, "only a complete and verified file is opened");
        } else if name != transfer.row.name || runs(&path) {
            let text = format!("{name} may run as a program: O opens its folder, decide there");
            self.messages.warn(self.now, text);
        } else {
            effects.push(Effect::Open { path });
        }
    }

    /// Opens what came by the chosen card, or the folder in which it lies.
    pub(in crate::app) fn open_card_file(&mut self, action: Action, effects: &mut Vec<Effect>) {
        let Some(path) = self.card_path() else {
            self.messages.warn(self.now, "only what is complete and verified here is opened");
            return;
        };
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if action == Action::OpenFolder {
            effects.extend(path.parent().map(|folder| Effect::Open { path: folder.to_owned() }));
        } else if show(&name) != name || runs(&path) {
            let text = format!("{} may run as a program: O opens its folder, decide there", show(&name));
            self.messages.warn(self.now, text);
        } else {
            effects.push(Effect::Open { path });
        }
    }

    pub(in crate::app) fn open_folder(&mut self, effects: &mut Vec<Effect>) {
        match self.transfers.selected().and_then(|transfer| transfer.row.path.parent()) {
            Some(folder) => effects.push(Effect::Open { path: folder.to_owned() }),
            None => self.messages.warn(self.now, "there is no transfer under the cursor"),
        }
    }

    pub(in crate::app) fn undo(&mut self, effects: &mut Vec<Effect>) {
        match self.undo.take() {
            Some(Undo { ids, how, .. }) => {
                let says = format!("taken back: {}", self.named(&ids));
                self.call(Command::Steer { transfers: ids, how }, Purpose::Steer { says, undo: None }, effects);
            }
            None => self.messages.warn(self.now, "there is nothing to take back"),
        }
    }
}

/// Whether opening a file of this name may run it.
fn runs(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    extension.is_none_or(|extension| RUNNABLE.contains(&extension.as_str()))
}

/// Extensions that usual programs run or hand to an interpreter. A name without extension may be a program too.
const RUNNABLE: [&str; 28] = [
    "appimage", "bash", "bat", "bin", "cmd", "com", "csh", "deb", "desktop", "exe", "hta", "jar", "js", "jse", "lnk",
    "msi", "pif", "pl", "ps1", "py", "rb", "reg", "rpm", "run", "scr", "sh", "vbs", "wsf",
];
