//! Menus, forms, the list of commands, and closing what is on top.

use shared::show::{show, show_text};

use crate::{
    app::{
        CallId, Effect, Leaving, Purpose, State, Tab, files, format,
        gate::{About, Gate, Kind, Part, Probe},
        index::Item,
        keys::{self, Action, Context, Key},
        layer::{Act, Choice, Dialog, Layer, Menu, Palette, Sharing},
        layout::Shape,
        list::List,
    },
    engine::api::{Command, Finding, FolderRow, Health},
};

impl State {
    pub(in crate::app) fn open_copy_menu(&mut self) {
        let copy = |key, label: &str, what, text: String| {
            let preview = format::cut_middle(&text, COPY_PREVIEW, "…");
            Choice::new(key, format!("{label:<6} {preview}"), Act::Copy { what, text })
        };
        let json = |value: Result<String, serde_json::Error>| {
            // Rows are plain structs with string keys; serialising them cannot fail.
            let text = value.unwrap_or_default();
            Choice::new('j', "row as JSON", Act::Copy { what: "row", text })
        };
        let choices = match self.tab {
            Tab::Files if self.files.at_shares() => self.files.selected_share().map(|share| {
                vec![
                    copy('n', "name", "name", show(&share.name)),
                    copy('p', "path", "path", share.local.to_string_lossy().into_owned()),
                    json(serde_json::to_string(share)),
                ]
            }),
            Tab::Files => self.files.selected().map(|item| match item {
                Item::File(row) => vec![
                    copy('n', "name", "name", show(row.name())),
                    copy('p', "path", "path", show(&format!("{}/{}", row.owner, row.path))),
                    copy('h', "hash", "hash", format!("b3:{}", row.hash)),
                    copy('l', "link", "link", show(&row.link())),
                    json(serde_json::to_string(&row.to_wire())),
                ],
                Item::Folder(folder) => {
                    let id = self.item_name(&item.key());
                    let row = FolderRow {
                        id: id.clone(),
                        name: folder.name().to_owned(),
                        path: folder.path.to_string(),
                        owner: folder.owner.to_string(),
                        files: folder.files,
                        size: folder.size,
                        mine: folder.mine,
                        link: String::new(),
                    };
                    vec![
                        copy('n', "name", "name", show(folder.name())),
                        copy('p', "path", "path", show(&format!("{}/{}", folder.owner, folder.path))),
                        copy('i', "id", "id", id),
                        json(serde_json::to_string(&row)),
                    ]
                }
            }),
            Tab::Transfers => self.transfers.selected().map(|transfer| {
                let row = &transfer.row;
                let mut choices = vec![
                    copy('n', "name", "name", show(&row.name)),
                    copy('p', "path", "path", show(&row.path.to_string_lossy())),
                    copy('i', "id", "id", show(&row.id)),
                ];
                choices.extend(row.hash.map(|hash| copy('h', "hash", "hash", format!("b3:{hash}"))));
                choices.push(json(serde_json::to_string(row)));
                choices
            }),
            Tab::Inbox => self.inbox.selected().map(|item| {
                vec![
                    copy('n', "name", "name", show(&item.name)),
                    copy('i', "id", "id", item.id.clone()),
                    copy('t', "text", "text", show_text(&item.text)),
                    json(serde_json::to_string(item)),
                ]
            }),
            Tab::Members => self
                .members
                .selected()
                .map(|member| vec![copy('n', "name", "name", show(&member.name)), json(serde_json::to_string(member))]),
            Tab::Chat if self.chat.shown_channel().is_some() => self.chat.shown_channel().map(|channel| {
                let text = channel.lines().rev().find(|line| line.file.is_none()).map(|line| show_text(&line.text));
                let mut choices = vec![copy('w', "words", "key words", channel.row.words.join(" "))];
                choices.extend(text.map(|text| copy('t', "text", "text", text)));
                choices.push(copy('n', "name", "name", show(&channel.row.with)));
                choices
            }),
            Tab::Chat => self.chat.talk.as_ref().and_then(|talk| {
                let last = talk.messages.last()?;
                Some(vec![
                    copy('t', "text", "text", show_text(&last.text)),
                    copy('n', "name", "name", show(&last.from)),
                    json(serde_json::to_string(last)),
                ])
            }),
        };
        match choices {
            Some(choices) => {
                self.layers.push(Layer::Menu(Menu { title: "Copy".to_owned(), choices, list: List::default() }));
            }
            None => self.messages.warn(self.now, "there is nothing under the cursor to copy"),
        }
    }

    pub(in crate::app) fn open_palette(&mut self, help: bool) {
        if matches!(self.layers.last(), Some(Layer::Palette(_))) {
            return;
        }
        let palette = Palette::new(help, self.contexts());
        self.layers.push(Layer::Palette(palette));
    }

    pub(in crate::app) fn open_log(&mut self) {
        self.messages.seen();
        self.layers.push(Layer::Log(List::default()));
    }

    pub(in crate::app) fn open_gate(&mut self, kind: Kind) {
        let me = self.me().map(|me| (me.tracker.clone(), me.name.clone()));
        let (tracker, user) = me.unwrap_or_else(|| (self.setup.tracker_hint.clone(), self.setup.account_hint.clone()));
        self.gate = Some(Gate::new(kind, &tracker, &user, self.now));
    }

    /// A form about the account that is signed in.
    pub(in crate::app) fn open_account_gate(&mut self, kind: Kind) {
        if self.me().is_none() {
            self.messages.warn(self.now, "nobody is signed in");
            return;
        }
        self.open_gate(kind);
    }

    pub(in crate::app) fn ask_sign_out(&mut self) {
        let Some(me) = self.me() else {
            self.messages.warn(self.now, "nobody is signed in");
            return;
        };
        let lines = vec![
            format!("{} on this device", show(&me.name)),
            "Your shares can no longer be fetched from here, and transfers stop.".to_owned(),
            "Signing in again needs the password.".to_owned(),
        ];
        let act = Act::Call { command: Command::Logout, purpose: Purpose::SignOut };
        let choices = vec![Choice::new('n', "stay signed in", Act::Close), Choice::new('y', "sign out", act)];
        self.layers.push(Layer::Dialog(Dialog::new("Sign out?", lines, choices)));
    }

    pub(in crate::app) fn zoom(&mut self) {
        if self.tab == Tab::Chat {
            self.messages.success(self.now, "rooms and conversation share the whole screen already");
            return;
        }
        self.zoom = !self.zoom;
        if self.areas_for(self.size).shape < Shape::Strip {
            self.messages.success(self.now, "the list has the whole screen already");
        }
    }

    pub(in crate::app) fn turn_mouse(&mut self, effects: &mut Vec<Effect>) {
        self.mouse = !self.mouse;
        effects.push(Effect::Mouse(self.mouse));
        let text =
            if self.mouse { "the mouse works here again" } else { "the mouse selects text now; % takes it back" };
        self.messages.success(self.now, text);
    }

    pub(in crate::app) fn reconnect(&mut self, effects: &mut Vec<Effect>) {
        if self.watch_again.is_some() && !self.calls.values().any(|purpose| *purpose == Purpose::Watch) {
            self.watch(effects);
        } else {
            self.call(Command::Reconnect, Purpose::Reconnect, effects);
        }
        self.messages.success(self.now, "trying the tracker now");
    }

    pub(in crate::app) fn call_doctor(&mut self, effects: &mut Vec<Effect>) {
        self.messages.success(self.now, "looking at network and tracker");
        self.call(Command::Doctor { tracker: None }, Purpose::Doctor { found: Vec::new() }, effects);
    }

    /// What the doctor found: what wants attention in full, the rest by name.
    pub(in crate::app) fn show_findings(&mut self, found: &[Finding]) {
        let names = |state: Health| {
            let names = found.iter().filter(|finding| finding.state == state);
            names.map(|finding| finding.id.replace('_', " ")).collect::<Vec<_>>().join(", ")
        };
        let mut lines = Vec::new();
        for finding in found.iter().filter(|finding| matches!(finding.state, Health::Warn | Health::Bad)) {
            let word = if finding.state == Health::Bad { "bad" } else { "warning" };
            lines.push(format!("{word}: {}", show(&finding.text)));
            if !finding.hint.is_empty() {
                lines.push(format!("  {}", show(&finding.hint)));
            }
            lines.push(String::new());
        }
        for (word, state) in [("well", Health::Ok), ("not known", Health::Unknown)] {
            let names = names(state);
            if !names.is_empty() {
                lines.push(format!("{word}: {names}"));
            }
        }
        let choices = vec![Choice::new('c', "close", Act::Close)];
        self.layers.push(Layer::Dialog(Dialog::new("Doctor", lines, choices)));
    }

    pub(in crate::app) fn next_field(&mut self, forward: bool) {
        match self.layers.last_mut() {
            Some(Layer::Dialog(dialog)) => {
                let len = dialog.choices.len();
                dialog.focus = (dialog.focus + if forward { 1 } else { len - 1 }) % len;
            }
            Some(_) => {}
            None => {
                if let Some(gate) = &mut self.gate {
                    gate.step(forward);
                }
            }
        }
    }

    pub(in crate::app) fn edit(&mut self, action: Action, effects: &mut Vec<Effect>) {
        if let (Some(gate), true) = (&mut self.gate, self.layers.is_empty())
            && gate.field_mut().is_none()
        {
            // On a button the arrows go from button to button.
            match action {
                Action::CursorLeft => gate.step(false),
                Action::CursorRight => gate.step(true),
                _ => self.messages.warn(self.now, "there is no text here; Tab goes to the fields"),
            }
            return;
        }
        let Some(field) = self.typing() else { return };
        match action {
            Action::CursorLeft => field.left(),
            Action::CursorRight => field.right(),
            Action::CursorStart => field.start(),
            Action::CursorEnd => field.end(),
            Action::EraseBack => field.erase_back(),
            Action::EraseForward => field.erase_forward(),
            Action::EraseWord => field.erase_word(),
            _ => field.clear(),
        }
        if !matches!(action, Action::CursorLeft | Action::CursorRight | Action::CursorStart | Action::CursorEnd) {
            self.typed(effects);
        }
    }

    pub(in crate::app) fn accept(&mut self, effects: &mut Vec<Effect>) {
        match self.layers.last() {
            Some(Layer::Dialog(dialog)) => {
                let act = dialog.choices[dialog.focus].act.clone();
                self.layers.pop();
                self.act(act, effects);
            }
            Some(Layer::Menu(menu)) => {
                let act = menu.choices[menu.list.cursor].act.clone();
                self.layers.pop();
                self.act(act, effects);
            }
            Some(Layer::Palette(palette)) => {
                let Some(chosen) = palette.listed().into_iter().nth(palette.list.cursor) else {
                    self.messages.warn(self.now, "no command is called so");
                    return;
                };
                if palette.field.text().trim() == "back" && self.attention.by_hand {
                    self.layers.pop();
                    return self.turn_away();
                }
                if let Some((action, typed)) = palette.typed().map(|(action, typed)| (action, typed.to_owned())) {
                    return match action {
                        Action::Limit => self.set_limit(&typed, effects),
                        Action::Channel => self.channel_typed(&typed, effects),
                        action => self.run_typed(action, &typed, effects),
                    };
                }
                self.layers.pop();
                if chosen.here {
                    self.perform(chosen.action, effects);
                } else {
                    self.perform_elsewhere(chosen.action, chosen.context, effects);
                }
            }
            Some(Layer::Share(_)) => self.count_share(effects),
            Some(Layer::Prompt(_)) => self.accept_prompt(effects),
            Some(Layer::Take(_)) => self.leave_folder(effects),
            Some(Layer::Log(_) | Layer::Page(_)) => {}
            None if self.gate.is_some() => self.press_in_gate(effects),
            None => self.keep_filter(effects),
        }
    }

    /// A command of another place was chosen: goes there. What acts on the item under the cursor is then left to a key
    /// press, because that item has only now come into view.
    pub(in crate::app) fn perform_elsewhere(&mut self, action: Action, context: Context, effects: &mut Vec<Effect>) {
        let place = match context {
            Context::Files | Context::Public => Some((Tab::Files, Some(0))),
            Context::Mine => Some((Tab::Files, Some(1))),
            Context::Search => Some((Tab::Files, Some(2))),
            Context::Transfers => Some((Tab::Transfers, None)),
            Context::Active => Some((Tab::Transfers, Some(0))),
            Context::Done => Some((Tab::Transfers, Some(3))),
            Context::Failed => Some((Tab::Transfers, Some(4))),
            Context::ForMe => Some((Tab::Inbox, Some(0))),
            Context::Sent => Some((Tab::Inbox, Some(1))),
            Context::Inbox => Some((Tab::Inbox, None)),
            Context::Members => Some((Tab::Members, None)),
            Context::Chat | Context::Card => Some((Tab::Chat, None)),
            Context::Always
            | Context::Panes
            | Context::Page
            | Context::Writing
            | Context::Typing
            | Context::Filter
            | Context::Form
            | Context::Share
            | Context::Prompt
            | Context::Take
            | Context::Folder
            | Context::Dialog
            | Context::Menu
            | Context::Palette
            | Context::Log => None,
        };
        let panes_open = self.layers.is_empty() && self.gate.is_none();
        let (Some((tab, view)), true) = (place, panes_open) else {
            self.messages.warn(self.now, format!("{} works in: {}", action.name(), context.name()));
            return;
        };
        self.show_tab(tab);
        if let Some(view) = view {
            self.show_view(view);
        }
        if matches!(action, Action::ShareAdd | Action::Rescan | Action::Rules) {
            self.perform(action, effects);
        } else {
            let key = keys::key_of(&self.contexts(), action).map(Key::label).unwrap_or_default();
            self.messages
                .success(self.now, format!("{}: {key} does it here, for what is under the cursor", action.name()));
        }
    }

    pub(in crate::app) fn keep_filter(&mut self, effects: &mut Vec<Effect>) {
        self.finder_mut().editing = false;
        if self.tab == Tab::Files && self.files.view == files::View::Search && self.files.search.due.is_some() {
            self.files.search.due = Some(self.now);
            self.settle_search(effects);
        }
    }

    pub(in crate::app) fn press_in_gate(&mut self, effects: &mut Vec<Effect>) {
        let Some(gate) = &mut self.gate else { return };
        let last_field = gate.parts().iter().rfind(|part| !part.is_button());
        match gate.focus {
            Part::Reveal => gate.reveal = !gate.reveal,
            Part::Other => gate.turn(),
            Part::Forgot => gate.turn_to(Kind::Recover),
            Part::Offline => self.gate = None,
            focus if focus == Part::Submit || last_field == Some(&focus) => self.submit(effects),
            _ => gate.step(true),
        }
    }

    pub(in crate::app) fn submit(&mut self, effects: &mut Vec<Effect>) {
        let Some(gate) = &mut self.gate else { return };
        if gate.call.is_some() || gate.waits_until.is_some() {
            return;
        }
        gate.tried = true;
        gate.failure = None;
        if let Some(wrong) = gate.parts().iter().find(|part| gate.trouble(**part).is_some()) {
            gate.focus = *wrong;
            return;
        }
        let command = gate.command();
        let purpose = match gate.kind {
            Kind::Register => Purpose::Enter { new: true },
            Kind::SignIn | Kind::Recover => Purpose::Enter { new: false },
            Kind::Password => Purpose::Account { says: "the password is changed".to_owned() },
            Kind::NewCode => Purpose::Account { says: "the recovery code before is worthless now".to_owned() },
            Kind::Email => Purpose::Account { says: "the e-mail address is changed".to_owned() },
            Kind::Unlock => match gate.about.clone() {
                Some(About::Fetch { get, says }) => Purpose::Unlock { get: Box::new(get), says },
                Some(About::Share(_)) | None => return,
            },
            Kind::Protect => {
                // It takes its time, which the list shows.
                self.gate = None;
                self.call(command, Purpose::Share { files: 0 }, effects);
                return;
            }
        };
        let call = self.call(command, purpose, effects);
        if let Some(gate) = &mut self.gate {
            gate.call = Some(call);
        }
    }

    /// Closes what is on top, then clears, then says what `q` does.
    pub(in crate::app) fn back(&mut self, effects: &mut Vec<Effect>) {
        if matches!(self.layers.last(), Some(Layer::Take(taking)) if taking.editing) {
            return self.leave_folder(effects);
        }
        if let Some(layer) = self.layers.pop() {
            if let Layer::Share(Sharing { call: Some(call), .. }) = layer {
                self.forget_call(call, effects);
            }
            return;
        }
        if let Some(gate) = &mut self.gate {
            let call: Option<CallId> = gate.call.take();
            let probe = match gate.probe {
                Probe::Asking(call) => Some(call),
                Probe::Idle | Probe::Due(_) | Probe::Known(_) | Probe::Failed(_) => None,
            };
            match (call, gate.kind) {
                // The attempt may still succeed in the engine; what it tells is then shown.
                (Some(_), _) => self.messages.warn(self.now, "no longer waiting for the tracker's answer"),
                (None, Kind::Register | Kind::Recover) => gate.turn(),
                (None, Kind::SignIn | Kind::Password | Kind::NewCode | Kind::Email | Kind::Unlock | Kind::Protect) => {
                    self.gate = None;
                    if let Some(probe) = probe {
                        self.forget_call(probe, effects);
                    }
                    if self.me().is_none() {
                        self.messages.success(self.now, "not signed in; `:` sign-in brings the form back");
                    }
                }
            }
            return;
        }
        if self.writing() {
            self.stop_writing();
            return;
        }
        if self.at_card() {
            self.chat.card = None;
            return;
        }
        let finder = self.finder_mut();
        if finder.editing || !finder.field.is_empty() {
            let was_empty = finder.field.is_empty();
            finder.editing = false;
            finder.field.clear();
            if !was_empty {
                self.filter_changed();
            }
            return;
        }
        if self.marked() > 0 {
            match self.tab {
                Tab::Files => self.files.browse_mut().0.pane.marks.clear(),
                Tab::Transfers => self.transfers.pane.marks.clear(),
                Tab::Inbox => self.inbox.pane.marks.clear(),
                Tab::Members => self.members.pane.marks.clear(),
                Tab::Chat => self.chat.pane.marks.clear(),
            }
            return;
        }
        if self.tab == Tab::Chat && self.chat.talk.as_ref().is_some_and(|talk| talk.back > 0) {
            self.scroll_talk(isize::MAX / 2, effects);
            return;
        }
        if self.tab == Tab::Chat && self.chat.open && self.areas().shape == Shape::Pocket {
            self.chat.open = false;
            return;
        }
        if self.messages.dismiss(self.now) {
            return;
        }
        if self.tip {
            self.tip = false;
            return;
        }
        if self.tab == Tab::Files && self.files.browse().0.place.is_some() {
            self.go_out();
            return;
        }
        self.messages.success(self.now, "nothing is open here; q quits");
    }

    pub(in crate::app) fn quit(&mut self, effects: &mut Vec<Effect>) {
        if self.layers.pop().is_some() {
            return;
        }
        let running = self.transfers.unfinished();
        let channels = self.chat.channels.iter().filter(|channel| channel.is_live()).count();
        let stop = Leaving { stop_engine: true, unfinished: running };
        let leave = Leaving { stop_engine: false, unfinished: running };
        if running == 0 && channels == 0 {
            effects.push(Effect::Quit(Leaving { stop_engine: !self.setup.engine_is_separate, unfinished: 0 }));
            return;
        }
        let mut choices = vec![Choice::new('n', "stay", Act::Close)];
        let mut lines = Vec::new();
        if channels > 0 {
            let channels = format::plural(channels as u64, "private channel ends", "private channels end");
            lines.push(format!("{channels}, and what was said there is gone."));
        }
        if running == 0 {
            let quit = Leaving { stop_engine: !self.setup.engine_is_separate, unfinished: 0 };
            choices.push(Choice::new('y', "quit", Act::Quit(quit)));
        } else {
            lines.push(format!("{} under way.", format::plural(running as u64, "transfer is", "transfers are")));
            lines.push("Nothing that was fetched is lost.".to_owned());
            if self.setup.engine_is_separate {
                choices.push(Choice::new('b', "leave them to the background engine", Act::Quit(leave)));
            }
            choices.push(Choice::new('s', "stop, resume next time", Act::Quit(stop)));
        }
        self.layers.push(Layer::Dialog(Dialog::new("Quit?", lines, choices)));
    }

    pub(in crate::app) fn quit_now(&mut self, effects: &mut Vec<Effect>) {
        if self.now < self.quit_armed_until {
            let leaving = self.leaving(!self.setup.engine_is_separate);
            effects.push(Effect::Quit(leaving));
            return;
        }
        self.quit_armed_until = self.now + QUIT_ARMED_MS;
        self.messages.warn(self.now, "C-c again quits now; transfers resume next time");
    }
}

/// Time in which the second Ctrl-C quits, milliseconds.
const QUIT_ARMED_MS: i64 = 2_000;
/// Columns of a value shown in the copy menu.
const COPY_PREVIEW: usize = 44;
