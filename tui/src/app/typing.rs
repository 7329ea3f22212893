//! Text being typed or pasted, and what follows from it.

use crate::app::{
    Effect, State, Tab, act, field, files, filter,
    gate::{self, Gate},
    layer::Layer,
    list::List,
};

impl State {
    pub(in crate::app) fn on_paste(&mut self, text: &str, effects: &mut Vec<Effect>) {
        self.pressed_ms = self.now;
        self.touch();
        if self.weigh_paste(text, effects) {
            return;
        }
        if self.writing() {
            self.paste_into_message(text, effects);
            return;
        }
        if self.typing().is_some() {
            self.type_text(text, effects);
            return;
        }
        let path = text.trim().trim_matches(['\'', '"']);
        let path = path.strip_prefix("file://").unwrap_or(path);
        if self.layers.is_empty() && self.gate.is_none() && path.starts_with('/') && !path.contains('\n') {
            self.open_sharing(&path.replace("\\ ", " "), effects);
        } else {
            self.messages.warn(self.now, "nothing here takes text; `/` filters, and a pasted path can be shared");
        }
    }

    /// The text field that keys go to.
    pub(in crate::app) fn typing(&mut self) -> Option<&mut field::Field> {
        if !self.layers.is_empty() {
            return match self.layers.last_mut() {
                Some(Layer::Palette(palette)) => Some(&mut palette.field),
                Some(Layer::Share(sharing)) => Some(&mut sharing.field),
                Some(Layer::Prompt(prompt)) => Some(&mut prompt.field),
                Some(Layer::Take(taking)) => taking.editing.then_some(&mut taking.folder),
                Some(Layer::Dialog(_) | Layer::Menu(_) | Layer::Log(_) | Layer::Page(_)) | None => None,
            };
        }
        if self.gate.is_some() {
            return self.gate.as_mut().and_then(Gate::field_mut);
        }
        if self.writing() {
            return self.chat.draft_mut();
        }
        let finder = self.finder_mut();
        finder.editing.then_some(&mut finder.field)
    }

    /// Whether keys go to a message.
    pub(in crate::app) fn writing(&self) -> bool {
        self.tab == Tab::Chat && self.chat.writing && self.layers.is_empty() && self.gate.is_none()
    }

    pub(in crate::app) fn type_text(&mut self, text: &str, effects: &mut Vec<Effect>) {
        let Some(field) = self.typing() else { return };
        if !field.insert(text) {
            self.messages.warn(self.now, "that is longer than this field takes; the rest was left out");
        }
        self.typed(effects);
    }

    /// What is typed has changed.
    pub(in crate::app) fn typed(&mut self, effects: &mut Vec<Effect>) {
        let now = self.now;
        match self.layers.last_mut() {
            Some(Layer::Palette(palette)) => {
                palette.list = List::default();
                return;
            }
            Some(Layer::Share(sharing)) => {
                sharing.trouble = None;
                let typed = sharing.field.text().to_owned();
                if let Some(call) = sharing.call.take() {
                    self.forget_call(call, effects);
                }
                effects.push(Effect::Complete { typed: act::expand_home(&typed, self.setup.home.as_deref()) });
                return;
            }
            Some(Layer::Prompt(_)) => return self.prompt_typed(effects),
            Some(Layer::Take(_)) => return self.folder_typed(effects),
            Some(Layer::Dialog(_) | Layer::Menu(_) | Layer::Log(_) | Layer::Page(_)) => return,
            None => {}
        }
        if let Some(gate) = &mut self.gate {
            gate.failure = None;
            if gate.focus == gate::Part::Tracker {
                gate.tracker_changed(now);
            }
            return;
        }
        if self.writing() {
            return self.message_typed();
        }
        self.filter_changed();
    }

    pub(in crate::app) fn filter_changed(&mut self) {
        let now = self.now;
        let searching = self.tab == Tab::Files && self.files.view == files::View::Search;
        let finder = self.finder_mut();
        let wait = if finder.field.is_empty() { 0 } else { SEARCH_AFTER_MS };
        if !searching {
            finder.filter = filter::Filter::parse(finder.field.text());
        }
        match self.tab {
            Tab::Files if searching => self.files.search.due = Some(now + wait),
            Tab::Files if self.files.at_shares() => self.files.arrange_shares(),
            Tab::Files => {
                let (browse, _) = self.files.browse_mut();
                browse.pane.list = List::default();
                browse.refresh(now);
            }
            Tab::Transfers => self.transfers.arrange_now(),
            Tab::Inbox => self.inbox.arrange(),
            Tab::Members => self.members.arrange(),
            Tab::Chat => self.chat.arrange(),
        }
    }

    pub(in crate::app) fn on_completed(&mut self, typed: &str, paths: Vec<String>) {
        let home = self.setup.home.clone();
        let (field, suggestions) = match self.layers.last_mut() {
            Some(Layer::Share(sharing)) => (&sharing.field, &mut sharing.suggestions),
            Some(Layer::Prompt(prompt)) => (&prompt.field, &mut prompt.suggestions),
            Some(Layer::Take(taking)) => (&taking.folder, &mut taking.suggestions),
            _ => return,
        };
        if act::expand_home(field.text(), home.as_deref()) == typed {
            *suggestions = paths;
        }
    }
}

/// Quiet time after typing before the tracker is asked, milliseconds.
const SEARCH_AFTER_MS: i64 = 250;
