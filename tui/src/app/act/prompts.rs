//! A line that is asked for: typed, completed, and what becomes of it. And commands with words of their own.

use std::path::{Path, PathBuf};

use shared::{show::show, wire::tracker::Audience};

use crate::{
    app::{
        Effect, Purpose, State, Tab,
        chat::Room,
        keys::Action,
        layer::{Layer, Palette},
        prompt::{Completes, Edited, Prompt, Then},
        words::{self, path_typed},
    },
    engine::api::{Accept, Command, Edit, InboxCommand, Offer, RoomName, Share},
};

impl State {
    pub(in crate::app) fn open_prompt(&mut self, mut prompt: Prompt, begin: &str, effects: &mut Vec<Effect>) {
        prompt.field.set(begin);
        self.layers.push(Layer::Prompt(Box::new(prompt)));
        self.prompt_typed(effects);
    }

    /// What is typed in the prompt has changed.
    pub(in crate::app) fn prompt_typed(&mut self, effects: &mut Vec<Effect>) {
        let home = self.setup.home.clone();
        let Some(Layer::Prompt(prompt)) = self.layers.last_mut() else { return };
        prompt.trouble = None;
        let typed = prompt.field.text();
        match prompt.completes {
            Completes::Nothing => {}
            Completes::Paths => effects.push(Effect::Complete { typed: super::expand_home(typed, home.as_deref()) }),
            Completes::Members => {
                let begun = last_name(typed).to_lowercase();
                let others = self.members.all.iter().filter(|member| !member.me && !member.blocked);
                let fitting = others.filter(|member| member.name.to_lowercase().starts_with(&begun));
                prompt.suggestions = fitting.map(|member| member.name.clone()).take(NAMES_SUGGESTED).collect();
            }
        }
    }

    /// Completes what is typed in the prompt or as the folder of an offer.
    pub(in crate::app) fn complete_prompt(&mut self, effects: &mut Vec<Effect>) {
        let home = self.setup.home.clone();
        let (field, suggestions) = match self.layers.last_mut() {
            Some(Layer::Prompt(prompt)) if prompt.completes == Completes::Members => {
                let Some(name) = prompt.suggestions.first().cloned() else {
                    self.messages.warn(self.now, "no member is called so");
                    return;
                };
                let kept = prompt.field.text().len() - last_name(prompt.field.text()).len();
                let text = format!("{}{name}", &prompt.field.text()[..kept]);
                prompt.field.set(&text);
                self.prompt_typed(effects);
                return;
            }
            Some(Layer::Prompt(prompt)) => (&mut prompt.field, &prompt.suggestions),
            Some(Layer::Take(taking)) => (&mut taking.folder, &taking.suggestions),
            _ => return,
        };
        match super::files::completed(field.text(), suggestions, home.as_deref()) {
            Some(next) => {
                field.set(&next);
                effects.push(Effect::Complete { typed: next });
            }
            None => self.messages.warn(self.now, "nothing begins so"),
        }
    }

    /// Does what the prompt is for.
    pub(in crate::app) fn accept_prompt(&mut self, effects: &mut Vec<Effect>) {
        let home = self.setup.home.clone();
        let Some(Layer::Prompt(prompt)) = self.layers.last_mut() else { return };
        let text = prompt.field.text().trim().to_owned();
        let made = match prompt.then.clone() {
            Then::Decline { item, who } => {
                let command = InboxCommand::Decline { items: vec![item], word: text };
                Ok((Command::Inbox(command), format!("declined; {who} is told")))
            }
            Then::Answer { item, who } if !text.is_empty() => {
                let with = path_typed(&text, home.as_deref()).map_or(text, |path| path.to_string_lossy().into_owned());
                let accept = Accept { items: vec![item], with: Some(with), detach: true, ..Accept::default() };
                Ok((Command::Inbox(InboxCommand::Accept(accept)), format!("answered; {who} fetches it")))
            }
            Then::Request { items, name } => {
                let says = format!("asked for {name}; 3 shows what becomes of it");
                Ok((Command::Inbox(InboxCommand::RequestFiles { items, text, life_s: None }), says))
            }
            Then::OfferPath { room } => match path_typed(&text, home.as_deref()) {
                Some(path) if path != Path::new("/") && !path.as_os_str().is_empty() => {
                    self.layers.pop();
                    return self.offer_in(&room, vec![path], effects);
                }
                Some(_) | None => Err("write the whole path, beginning with / or ~"),
            },
            Then::OfferTo { items, paths, name } => {
                let to = names_in(&text);
                let says = format!("{name} is offered to {}; 3 shows what becomes of it", show(&to.join(", ")));
                match to.is_empty() {
                    true => Err("name at least one member"),
                    false => {
                        let offer = Offer { items, paths, to, ..Offer::default() };
                        Ok((Command::Inbox(InboxCommand::Offer(offer)), says))
                    }
                }
            }
            Then::ShareTo { share, name } => {
                let people = names_in(&text);
                let says = format!("{name}: {} see it, and nobody else", show(&people.join(", ")));
                match people.is_empty() {
                    true => Err("name at least one member"),
                    false => Ok((Command::Share(Share { audience: Some(Audience::People(people)), ..*share }), says)),
                }
            }
            Then::Edit { items, name, what } => edited(items, &name, what, text),
            Then::Answer { .. } => Err("name the file that answers it"),
        };
        match made {
            Ok((command, says)) => {
                self.layers.pop();
                if matches!(command, Command::Inbox(InboxCommand::Offer(_))) {
                    self.messages.success(self.now, "reading what is offered…");
                }
                let purpose = match &command {
                    Command::Share(_) => Purpose::Share { files: 0 },
                    _ => Purpose::People { says },
                };
                self.call(command, purpose, effects);
            }
            Err(why) => prompt.trouble = Some(why.to_owned()),
        }
    }

    /// Opens the line of commands with the first word of a command typed already.
    pub(in crate::app) fn type_command(&mut self, first: &str) {
        let mut palette = Palette::new(false, self.contexts());
        palette.field.set(first);
        self.layers.push(Layer::Palette(palette));
    }

    /// Carries out a command with words of its own.
    pub(in crate::app) fn run_typed(&mut self, action: Action, text: &str, effects: &mut Vec<Effect>) {
        match words::parse(action, text, self.setup.home.as_deref()) {
            Ok(wish) => {
                self.layers.pop();
                self.call(wish.command, wish.purpose, effects);
            }
            Err(why) => match self.offered_here(action, text) {
                Some((room, path)) => {
                    self.layers.pop();
                    self.offer_in(&room, vec![path], effects);
                }
                None => self.messages.warn(self.now, why),
            },
        }
    }

    /// What is offered without saying to whom, in a conversation with one member.
    fn offered_here(&self, action: Action, text: &str) -> Option<(Room, PathBuf)> {
        let room = self.chat.talk.as_ref().map(|talk| &talk.room).filter(|_| self.tab == Tab::Chat)?;
        let fits = match room {
            Room::Private(call) => self.not_open(*call).is_none(),
            Room::Kept(room) => *room != RoomName::Everyone,
        };
        let path = words::only_path(text, self.setup.home.as_deref())?;
        (fits && action == Action::Offer).then(|| (room.clone(), path))
    }

    /// Invites the member named.
    pub(in crate::app) fn channel_typed(&mut self, text: &str, effects: &mut Vec<Effect>) {
        match words::member(text) {
            Ok(member) => {
                self.layers.pop();
                self.begin_channel(&member, effects);
            }
            Err(why) => self.messages.warn(self.now, why),
        }
    }
}

/// The names in a list with commas.
fn names_in(text: &str) -> Vec<String> {
    text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// What changes about a share, and what is said of it then.
fn edited(items: Vec<String>, name: &str, what: Edited, text: String) -> Result<(Command, String), &'static str> {
    let (edit, says) = match what {
        Edited::People => {
            let people = names_in(&text);
            if people.is_empty() {
                return Err("name at least one member");
            }
            let says = format!("{name}: {} see it now, and nobody else", show(&people.join(", ")));
            (Edit { audience: Some(Audience::People(people)), ..Edit::default() }, says)
        }
        Edited::Note => (Edit { note: Some(text), ..Edit::default() }, format!("{name}: the remark is changed")),
        Edited::Name if text.is_empty() => return Err("write the new name"),
        Edited::Name => {
            let says = format!("{name} is called {} now", show(&text));
            (Edit { name: Some(text), ..Edit::default() }, says)
        }
    };
    Ok((Command::Edit(Edit { items, ..edit }), says))
}

/// What is typed behind the last comma.
fn last_name(typed: &str) -> &str {
    typed.rsplit(',').next().unwrap_or(typed).trim_start()
}

/// Names of members suggested at a time.
const NAMES_SUGGESTED: usize = 8;
