//! What keys, clicks and commands do.

mod account;
mod cards;
mod channel;
mod chat;
mod edit;
mod files;
mod inbox;
mod limits;
mod moving;
mod people;
mod popups;
mod prompts;
mod take;
mod transfers;
mod verify;
mod wishes;

use crate::{
    app::{
        Effect, Purpose, State, Tab, Target,
        gate::{About, Gate, Kind},
        keys::{self, Action, Key},
        layer::{Act, Layer},
        list::Step,
    },
    engine::api::Rank,
};

pub(in crate::app) use self::edit::to_fewer;
pub use self::{chat::text_width, files::expand_home, limits::sentence as limit_sentence};

impl State {
    pub(in crate::app) fn on_key(&mut self, key: Key, effects: &mut Vec<Effect>) {
        self.pressed_ms = self.now;
        self.touch();
        if key != Key::Ctrl('c') {
            self.quit_armed_until = 0;
        }
        if let Key::Char(letter) = key
            && let Some(act) = self.popup_choice(letter)
        {
            self.layers.pop();
            self.act(act, effects);
            return;
        }
        if let Some(action) = keys::lookup(&self.contexts(), key) {
            self.perform(action, effects);
            return;
        }
        match key {
            Key::Char(c) if self.typing().is_some() => self.type_text(c.encode_utf8(&mut [0; 4]), effects),
            Key::Char(' ') if self.gate.is_some() && self.layers.is_empty() => self.perform(Action::Accept, effects),
            key => {
                let label = key.label();
                self.messages.warn(self.now, format!("{label} does nothing here; ? or F1 lists the keys"));
            }
        }
    }

    /// What this letter chooses in the popup on top.
    pub(in crate::app) fn popup_choice(&self, letter: char) -> Option<Act> {
        let choices = match self.layers.last()? {
            Layer::Dialog(dialog) => &dialog.choices,
            Layer::Menu(menu) => &menu.choices,
            Layer::Palette(_)
            | Layer::Log(_)
            | Layer::Page(_)
            | Layer::Share(_)
            | Layer::Prompt(_)
            | Layer::Take(_) => return None,
        };
        choices.iter().find(|choice| choice.key == letter).map(|choice| choice.act.clone())
    }

    pub(in crate::app) fn on_click(&mut self, target: Target, twice: bool, effects: &mut Vec<Effect>) {
        self.pressed_ms = self.now;
        self.touch();
        match target {
            Target::Tab(tab) => self.perform(tab.action(), effects),
            Target::View(number) => self.show_view(number),
            Target::Sort(sort) => self.sort_by(sort),
            Target::Line(line) => {
                let (len, height) = (self.list_len(), usize::from(self.areas().list.height));
                self.finder_mut().editing = false;
                self.stop_writing();
                let list = self.list_mut();
                list.cursor = line;
                list.settle(len, height);
                if twice {
                    self.perform(Action::Open, effects);
                }
            }
            Target::Action(action) => self.perform(action, effects),
            Target::Choice(number) => match self.layers.last_mut() {
                Some(Layer::Dialog(dialog)) if number < dialog.choices.len() => {
                    dialog.focus = number;
                    self.perform(Action::Accept, effects);
                }
                Some(Layer::Menu(menu)) if number < menu.choices.len() => {
                    menu.list.cursor = number;
                    self.perform(Action::Accept, effects);
                }
                Some(Layer::Palette(palette)) => {
                    palette.list.cursor = number;
                    if twice {
                        self.perform(Action::Accept, effects);
                    }
                }
                Some(_) | None => {}
            },
            Target::Card(number) => {
                let Some(id) = self.cards().get(number).map(|(id, _)| id.clone()) else { return };
                self.stop_writing();
                self.chat.card = Some(id);
                if twice {
                    self.open_card(effects);
                }
            }
            Target::Part(part) => {
                if let Some(gate) = &mut self.gate {
                    gate.focus = part;
                    if part.is_button() {
                        self.perform(Action::Accept, effects);
                    }
                }
            }
        }
    }

    pub(in crate::app) fn perform(&mut self, action: Action, effects: &mut Vec<Effect>) {
        match action {
            Action::Download => self.download(effects),
            Action::Open => self.open(effects),
            Action::In => self.go_in(),
            Action::Out => self.go_out(),
            Action::Mark if self.taking() => self.choose_offered(),
            Action::MarkInvert if self.taking() => self.invert_offered(),
            Action::Mark => self.mark(),
            Action::MarkRange => self.mark_range(),
            Action::MarkInvert => self.mark_invert(),
            Action::Filter => self.finder_mut().editing = true,
            Action::SortMenu => self.open_sort_menu(),
            Action::SortReverse => self.turn_sort(),
            Action::CopyMenu => self.open_copy_menu(),
            Action::ShareAdd => self.open_sharing("", effects),
            Action::Unshare => self.ask_unshare(),
            Action::Edit => self.ask_edit(),
            Action::Rescan => self.rescan(effects),
            Action::KeepCopy => self.keep_copy(effects),
            Action::Verify => self.verify(effects),
            Action::Undo => self.undo(effects),
            Action::Pause => self.pause(effects),
            Action::PauseAll => self.pause_all(effects),
            Action::Cancel => self.ask_cancel(),
            Action::Retry => self.retry(effects),
            Action::Raise => self.rank(Rank::Raise, effects),
            Action::Lower => self.rank(Rank::Lower, effects),
            Action::MoveUp => self.rank(Rank::Forward(1), effects),
            Action::MoveDown => self.rank(Rank::Forward(-1), effects),
            Action::Limit => self.type_limit(),
            Action::Forget => self.forget(effects),
            Action::ForgetAll => self.forget_all(effects),
            Action::OpenFile | Action::OpenFolder if self.at_card() => self.open_card_file(action, effects),
            Action::OpenFile => self.open_file(effects),
            Action::OpenFolder => self.open_folder(effects),
            Action::SayYes if self.at_card() => self.accept_card(effects),
            Action::SayYes => self.say_yes(effects),
            Action::SayNo if self.at_card() && !self.taking() => self.refuse_card(),
            Action::SayNo => self.say_no(),
            Action::SayNever => self.say_never(),
            Action::TakeBack => self.ask_take_back(),
            Action::Rules => self.ask_rules(effects),
            Action::Take => self.take(effects),
            Action::TakeTo => self.edit_folder(effects),
            Action::Offer => self.offer(effects),
            Action::Request => self.type_command("request --of "),
            Action::Wish => self.type_command("wish add "),
            Action::Wishes => self.ask_wishes(effects),
            Action::Unblock => self.type_command("unblock "),
            Action::Write => self.write(),
            Action::WriteTo => self.write_to(),
            Action::Send => self.send(effects),
            Action::NewLine => self.type_text("\n", effects),
            Action::Resend => self.resend(effects),
            Action::Mute => self.mute(effects),
            Action::Cards => self.enter_cards(),
            Action::Channel => self.channel_here(effects),
            Action::Leave => self.ask_leave(),
            Action::MemberFiles => self.member_files(),
            Action::Block => self.block(effects),
            Action::Away => self.turn_away(),
            Action::ShowFiles => self.show_tab(Tab::Files),
            Action::ShowTransfers => self.show_tab(Tab::Transfers),
            Action::ShowInbox => self.show_tab(Tab::Inbox),
            Action::ShowMembers => self.show_tab(Tab::Members),
            Action::ShowChat => self.show_tab(Tab::Chat),
            Action::NextTab => self.turn_tab(1),
            Action::PreviousTab => self.turn_tab(Tab::ALL.len() - 1),
            Action::NextView => self.turn_view(true),
            Action::PreviousView => self.turn_view(false),
            Action::Down => self.step_or_page(Step::Down, effects),
            Action::Up => self.step_or_page(Step::Up, effects),
            Action::PageDown => self.step_or_page(Step::PageDown, effects),
            Action::PageUp => self.step_or_page(Step::PageUp, effects),
            Action::First => self.step_or_page(Step::First, effects),
            Action::Last => self.step_or_page(Step::Last, effects),
            Action::NextNeed => self.next_need(),
            Action::MessageLog => self.open_log(),
            Action::Zoom => self.zoom(),
            Action::Mouse => self.turn_mouse(effects),
            Action::Reconnect => self.reconnect(effects),
            Action::Doctor => self.call_doctor(effects),
            Action::SignIn => self.open_gate(Kind::SignIn),
            Action::Register => self.open_gate(Kind::Register),
            Action::SignOut => self.ask_sign_out(),
            Action::Recover => self.open_gate(Kind::Recover),
            Action::ChangePassword => self.open_account_gate(Kind::Password),
            Action::NewCode => self.open_account_gate(Kind::NewCode),
            Action::ChangeEmail => self.open_account_gate(Kind::Email),
            Action::Devices => self.ask_devices(effects),
            Action::Invite => self.make_invite(effects),
            Action::Invites => self.ask_invites(effects),
            Action::Commands => self.open_palette(false),
            Action::Help => self.open_palette(true),
            Action::Back => self.back(effects),
            Action::Quit => self.quit(effects),
            Action::QuitNow => self.quit_now(effects),
            Action::Suspend => effects.push(Effect::Suspend),
            Action::Redraw => effects.push(Effect::Redraw),
            Action::Accept => self.accept(effects),
            Action::NextField => self.next_field(true),
            Action::PreviousField => self.next_field(false),
            Action::Complete if self.writing() => self.complete_name(),
            Action::Complete => self.complete(effects),
            Action::CursorLeft
            | Action::CursorRight
            | Action::CursorStart
            | Action::CursorEnd
            | Action::EraseBack
            | Action::EraseForward
            | Action::EraseWord
            | Action::EraseLine => self.edit(action, effects),
        }
    }

    /// Does what an answer says.
    pub(in crate::app) fn act(&mut self, act: Act, effects: &mut Vec<Effect>) {
        match act {
            Act::Close => {}
            Act::Sort(sort) => self.sort_by(sort),
            Act::Copy { what, text } => effects.push(Effect::Copy { what, text }),
            Act::Call { command, purpose } => {
                let fetching = matches!(purpose, Purpose::Get { .. });
                self.call(command, purpose, effects);
                if fetching && self.tab == Tab::Files {
                    self.files.browse_mut().0.pane.marks.clear();
                }
            }
            Act::Calls(calls) => {
                self.layers.retain(|layer| !matches!(layer, Layer::Take(_)));
                for (command, purpose) in calls {
                    self.call(command, purpose, effects);
                }
            }
            Act::Ask(dialog) => self.layers.push(Layer::Dialog(*dialog)),
            Act::Paste(text) => self.type_text(&text, effects),
            Act::Choose(menu) => self.layers.push(Layer::Menu(*menu)),
            Act::Prompt(prompt) => self.layers.push(Layer::Prompt(prompt)),
            Act::Join { item, with } => self.join_channel(&item, &with, effects),
            Act::Leave(call) => self.leave_channel(call, effects),
            Act::CloseRoom(call) => self.chat.close_channel(call),
            Act::Offer { room, paths } => self.offer_in(&room, paths, effects),
            Act::Protect(share) => self.gate = Some(Gate::of_files(About::Share(*share), self.now)),
            Act::Quit(leaving) => effects.push(Effect::Quit(leaving)),
        }
    }
}
