//! Requests and offers: looking at them, answering, taking back, and beginning new ones.

use shared::{
    limits::{ITEM_TEXT_BYTES_MAX, PATH_BYTES_MAX, QUERY_BYTES_MAX},
    show::show,
};

use crate::{
    app::{
        CallId, Effect, Purpose, State, Tab,
        chat::Room,
        format,
        inbox::{self, Looked, other, sentence, what, who},
        index::Item,
        layer::{Act, Choice, Dialog, Layer, Menu, Page},
        list::List,
        prompt::{Prompt, Then},
        words::rule_sentence,
    },
    engine::api::{
        self, Accept, Command, Failure, InboxCommand, ItemKind, ItemRow, ItemState, NoticeLevel, OfferedRow,
        PeopleCommand, RoomName, RuleRow,
    },
};

impl State {
    /// The engine tells of the items.
    pub(in crate::app) fn on_inbox(&mut self, items: Vec<ItemRow>, effects: &mut Vec<Effect>) {
        self.tell_answers(&items);
        let news = self.inbox.apply(items);
        self.add_offered_rooms();
        if let Some(item) = news.first() {
            let others = match news.len() {
                1 => String::new(),
                more => format!(", and {} more", more - 1),
            };
            let size = if item.size > 0 { format!(", {}", format::bytes(item.size)) } else { String::new() };
            let text = format!("{}{size}{others}", sentence(item));
            self.messages.say(self.now, NoticeLevel::Success, text, "3 shows it");
        }
        for item in news {
            let text = format!("{} from {}", inbox::kind(&item), who(&item));
            self.notify(&item.from, text, effects);
        }
    }

    /// With whom something was offered has a room, where its card is.
    fn add_offered_rooms(&mut self) {
        let mut members: Vec<String> = Vec::new();
        for name in self.inbox.all.iter().filter(|item| item.kind == ItemKind::Offer).filter_map(other) {
            if !members.iter().any(|member| member == name) {
                members.push(name.to_owned());
            }
        }
        self.chat.apply_offered(members);
    }

    /// Says what others answered to what this member asked or offered.
    fn tell_answers(&mut self, items: &[ItemRow]) {
        for item in items.iter().filter(|item| !item.incoming) {
            let before = self.inbox.all.iter().find(|before| before.id == item.id).map(|before| before.state);
            // What was answered before it was heard of here waited until then.
            let before = before.or_else(|| self.inbox.loaded.then_some(ItemState::Waiting));
            let verb = match (before, item.state) {
                (Some(ItemState::Waiting), ItemState::Accepted) => "accepts",
                (Some(ItemState::Waiting | ItemState::Accepted), ItemState::Declined) => "declines",
                _ => continue,
            };
            let word = if item.word.is_empty() { String::new() } else { format!("\"{}\", ", show(&item.word)) };
            let text = format!("{} {verb}: {word}{}", who(item), what(item));
            self.messages.say(self.now, NoticeLevel::Success, text, "3 shows it");
        }
    }

    pub(in crate::app) fn on_offered(&mut self, call: CallId, file: OfferedRow) {
        if let Some(looked) = self.inbox.looked.as_mut().filter(|looked| looked.call == Some(call)) {
            looked.files.push(file);
        }
    }

    pub(in crate::app) fn offered_ended(&mut self, call: CallId, result: Result<(), Failure>) {
        if let Some(looked) = self.inbox.looked.as_mut().filter(|looked| looked.call == Some(call)) {
            looked.call = None;
            looked.failure = result.err();
        }
    }

    /// Asks for the files of the offer that is looked at.
    pub(in crate::app) fn settle_offered(&mut self, effects: &mut Vec<Effect>) {
        let wanted = match self.layers.last() {
            Some(Layer::Take(taking)) => Some(taking.item.id.clone()),
            _ if self.tab == Tab::Inbox => {
                let offers = |item: &&ItemRow| item.kind == ItemKind::Offer && item.state.is_open();
                self.inbox.selected().filter(offers).map(|item| item.id.clone())
            }
            _ => None,
        };
        if self.inbox.looked.as_ref().map(|looked| &looked.id) != wanted.as_ref() {
            if let Some(call) = self.inbox.looked.take().and_then(|looked| looked.call) {
                self.forget_call(call, effects);
            }
            let due = Some(self.now + LOOK_AFTER_MS);
            self.inbox.looked = wanted.map(|id| Looked { id, due, call: None, files: Vec::new(), failure: None });
        }
        let is_due = |looked: &&Looked| looked.due.is_some_and(|due| due <= self.now);
        if let Some(item) = self.inbox.looked.as_ref().filter(is_due).map(|looked| looked.id.clone()) {
            let call = self.call(Command::Inbox(InboxCommand::Show { item }), Purpose::Offered, effects);
            if let Some(looked) = &mut self.inbox.looked {
                (looked.due, looked.call, looked.failure) = (None, Some(call), None);
                looked.files.clear();
            }
        }
    }

    pub(in crate::app) fn open_item(&mut self) {
        match self.inbox.selected() {
            Some(_) => self.layers.push(Layer::Page(Page::default())),
            None => self.messages.warn(self.now, "there is nothing here to open"),
        }
    }

    fn item_for(&mut self, act: api::Act, why_not: &str) -> Option<ItemRow> {
        let item = self.item_here().cloned();
        match item {
            Some(item) if item.acts.contains(&act) => Some(item),
            Some(item) => {
                let reason = if item.reason.is_empty() { why_not } else { &item.reason };
                self.messages.warn(self.now, reason);
                None
            }
            None => {
                self.messages.warn(self.now, "there is no request or offer under the cursor");
                None
            }
        }
    }

    /// Shows what a yes means, and asks for it.
    pub(in crate::app) fn say_yes(&mut self, effects: &mut Vec<Effect>) {
        let Some(item) = self.item_for(api::Act::Accept, "this needs no yes") else { return };
        self.close_page();
        match item.kind {
            ItemKind::Offer => self.open_taking(item, effects),
            ItemKind::Request if item.name.is_empty() => self.ask_answer(item, effects),
            ItemKind::Request => {
                self.layers.push(Layer::Dialog(Self::approval(&item)));
            }
            ItemKind::Channel => self.ask_join(&item),
        }
    }

    fn approval(item: &ItemRow) -> Dialog {
        let (who, name) = (who(item), what(item));
        let mut lines = Vec::new();
        if inbox::is_hazard(item) {
            lines.push("! a name here holds characters that hide or disguise something".to_owned());
        }
        let size = if item.size > 0 { format!(", {}", format::bytes(item.size)) } else { String::new() };
        lines.push(format!("{name}{size}"));
        if !item.text.is_empty() {
            lines.push(format!("{who} wrote: \"{}\"", show(&item.text)));
        }
        lines.push(String::new());
        lines.push(format!("Once: {who} may fetch this file, until the request ends."));
        lines.push(format!("Always: {who} may fetch every file that needs your consent."));
        let yes = |always| {
            let says = match always {
                true => format!("{who} may fetch whatever needs your consent; :rules shows and removes it"),
                false => format!("{who} may fetch {name}"),
            };
            let accept = Accept { items: vec![item.id.clone()], always, detach: true, ..Accept::default() };
            Act::Call { command: Command::Inbox(InboxCommand::Accept(accept)), purpose: Purpose::People { says } }
        };
        let choices = vec![
            Choice::new('n', "not now", Act::Close),
            Choice::new('y', "once", yes(false)),
            Choice::new('w', "always", yes(true)),
            Choice::new('x', "decline", Act::Prompt(Box::new(decline_prompt(item)))),
            Choice::new('X', format!("decline and block {who}"), Act::Ask(Box::new(ask_block(item)))),
        ];
        Dialog::new(format!("Let {who} fetch it?"), lines, choices)
    }

    fn ask_answer(&mut self, item: ItemRow, effects: &mut Vec<Effect>) {
        let who = who(&item);
        let lines = vec![format!("{who} wrote: \"{}\"", show(&item.text)), "The file that answers it:".to_owned()];
        let then = Then::Answer { item: item.id, who: who.clone() };
        let prompt = Prompt::new(format!("Answer {who}"), lines, "path ", PATH_BYTES_MAX, then);
        self.open_prompt(prompt, "~/", effects);
    }

    /// Asks for a word, and declines.
    pub(in crate::app) fn say_no(&mut self) {
        let item = match self.layers.last() {
            Some(Layer::Take(taking)) => Some(taking.item.clone()),
            _ => self.item_for(api::Act::Decline, "nobody says no to this for the others: leave it"),
        };
        let Some(item) = item else { return };
        self.close_page();
        self.layers.retain(|layer| !matches!(layer, Layer::Take(_)));
        self.layers.push(Layer::Prompt(Box::new(decline_prompt(&item))));
    }

    /// Asks whether to decline and block.
    pub(in crate::app) fn say_never(&mut self) {
        let item = match self.layers.last() {
            Some(Layer::Take(taking)) => Some(taking.item.clone()),
            _ => self.item_for(api::Act::Decline, "b in 4 Members blocks a member"),
        };
        let Some(item) = item else { return };
        self.close_page();
        self.layers.push(Layer::Dialog(ask_block(&item)));
    }

    /// Asks whether to take back what was asked or offered.
    pub(in crate::app) fn ask_take_back(&mut self) {
        let Some(item) = self.item_for(api::Act::Cancel, "this is over already") else { return };
        self.close_page();
        let lines = vec![
            format!("{}.", sentence(&item)),
            format!("{} sees that you took it back, and can no longer fetch or answer.", who(&item)),
        ];
        let command = Command::Inbox(InboxCommand::Cancel { items: vec![item.id.clone()] });
        let act = Act::Call { command, purpose: Purpose::People { says: format!("taken back: {}", what(&item)) } };
        let choices = vec![Choice::new('n', "leave it", Act::Close), Choice::new('y', "take it back", act)];
        self.layers.push(Layer::Dialog(Dialog::new("Take it back?", lines, choices)));
    }

    /// Asks for the standing answers.
    pub(in crate::app) fn ask_rules(&mut self, effects: &mut Vec<Effect>) {
        self.call(Command::Inbox(InboxCommand::Rules), Purpose::Rules { found: Vec::new() }, effects);
    }

    /// Shows the standing answers; choosing one asks whether to remove it.
    pub(in crate::app) fn show_rules(&mut self, found: &[RuleRow]) {
        if found.is_empty() {
            let text = "nothing is answered by itself; `:` inbox rule set bob accept --up-to 2g begins it";
            self.messages.success(self.now, text);
            return;
        }
        let choices = ('a'..='z').zip(found).map(|(key, rule)| {
            let says = format!("nothing of {} is answered by itself any more", show(&rule.member));
            let command = Command::Inbox(InboxCommand::RemoveRule { member: rule.member.clone() });
            let act = Act::Call { command, purpose: Purpose::People { says } };
            let lines = vec![
                format!("{}.", rule_sentence(rule)),
                format!("Without it you are asked again, for every rule about {}.", show(&rule.member)),
            ];
            let choices = vec![Choice::new('n', "keep it", Act::Close), Choice::new('y', "remove it", act)];
            Choice::new(key, rule_sentence(rule), Act::Ask(Box::new(Dialog::new("Remove this rule?", lines, choices))))
        });
        let choices = choices.collect();
        let title = "Answered by itself; choosing one removes it".to_owned();
        self.layers.push(Layer::Menu(Menu { title, choices, list: List::default() }));
    }

    /// Offers what is under the cursor to somebody, or something to the member under it.
    pub(in crate::app) fn offer(&mut self, effects: &mut Vec<Effect>) {
        let Some(me) = self.me().map(|me| me.name.clone()) else {
            self.messages.warn(self.now, "sign in first: `:` sign-in");
            return;
        };
        let (items, name) = match self.tab {
            Tab::Members => {
                match self.members.selected() {
                    Some(member) if member.me => self.messages.warn(self.now, "this is you"),
                    Some(member) => {
                        let room = Room::of(&member.name);
                        self.offer_path(room, effects);
                    }
                    None => self.messages.warn(self.now, "there is no member under the cursor"),
                }
                return;
            }
            Tab::Files if self.files.at_shares() => match self.files.selected_share() {
                Some(share) => (vec![Self::share_name(share, &me)], show(&share.name)),
                None => (Vec::new(), String::new()),
            },
            Tab::Files => match self.files.selected() {
                Some(Item::File(row)) if row.mine => (vec![row.id.to_string()], show(row.name())),
                Some(item @ Item::Folder(folder)) if folder.mine => {
                    (vec![Self::asked_name(&item.key())], format!("{}/", show(folder.name())))
                }
                Some(_) => {
                    self.messages.warn(self.now, "only what is yours can be offered: ] goes to Mine");
                    return;
                }
                None => (Vec::new(), String::new()),
            },
            Tab::Chat => {
                match self.chat.selected().cloned() {
                    Some(room) if room != Room::Kept(RoomName::Everyone) => self.offer_path(room, effects),
                    Some(_) | None => self.type_command("offer "),
                }
                return;
            }
            Tab::Transfers | Tab::Inbox => {
                self.type_command("offer ");
                return;
            }
        };
        if items.is_empty() {
            self.messages.warn(self.now, "there is nothing under the cursor; `:` offer PATH MEMBER offers anything");
            return;
        }
        let lines = vec![format!("{name} is offered to those named here, and to nobody else.")];
        let then = Then::OfferTo { items, paths: Vec::new(), name: name.clone() };
        let prompt = Prompt::new(format!("Offer {name}"), lines, "to ", QUERY_BYTES_MAX, then);
        self.open_prompt(prompt, "", effects);
    }

    fn offer_path(&mut self, room: Room, effects: &mut Vec<Effect>) {
        let who = show(&self.chat.name(&room));
        if let Room::Private(call) = room
            && let Some(why) = self.not_open(call)
        {
            self.messages.warn(self.now, why);
            return;
        }
        let what = if matches!(room, Room::Private(_)) { "A file" } else { "A file or folder" };
        let lines = vec![format!("{what} of this machine, for {who} alone. It stays where it is.")];
        let title = format!("Offer {who} something");
        let prompt = Prompt::new(title, lines, "path ", PATH_BYTES_MAX, Then::OfferPath { room });
        self.open_prompt(prompt, "~/", effects);
    }

    /// Asks for files whose owner decides who fetches them.
    pub(in crate::app) fn ask_for(&mut self, items: Vec<String>, name: String, owner: &str, effects: &mut Vec<Effect>) {
        let lines = vec![
            format!("{} decides who fetches {name}. The note goes with the request.", show(owner)),
            "It is fetched by itself as soon as it may be.".to_owned(),
        ];
        let then = Then::Request { items, name: name.clone() };
        let prompt = Prompt::new(format!("Ask for {name}?"), lines, "note ", ITEM_TEXT_BYTES_MAX, then);
        self.open_prompt(prompt, "", effects);
    }

    /// Takes away the page of details, before something is asked about what it shows.
    fn close_page(&mut self) {
        self.layers.retain(|layer| !matches!(layer, Layer::Page(_)));
    }
}

pub(in crate::app) fn decline_prompt(item: &ItemRow) -> Prompt {
    let who = who(item);
    let lines = vec![format!("{}.", sentence(item)), format!("{who} is told, and what you write here:")];
    let then = Then::Decline { item: item.id.clone(), who: who.clone() };
    Prompt::new(format!("Decline what {who} sent?"), lines, "word ", ITEM_TEXT_BYTES_MAX, then)
}

pub(in crate::app) fn ask_block(item: &ItemRow) -> Dialog {
    let who = who(item);
    let lines = vec![
        format!("{}. It is declined.", sentence(item)),
        "Neither of you sees the other any more: who is there, files, messages,".to_owned(),
        "offers. Transfers between you end at once. Nobody is told of the block.".to_owned(),
    ];
    let decline = Command::Inbox(InboxCommand::Decline { items: vec![item.id.clone()], word: String::new() });
    let member = other(item).unwrap_or_default().to_owned();
    let calls = vec![
        (decline, Purpose::People { says: "declined".to_owned() }),
        (
            Command::People(PeopleCommand::Block { member }),
            Purpose::People { says: format!("{who} is blocked; b in 4 Members takes it back") },
        ),
    ];
    let choices = vec![
        Choice::new('n', "do not", Act::Close),
        Choice::new('y', format!("decline and block {who}"), Act::Calls(calls)),
    ];
    Dialog::new(format!("Decline and block {who}?"), lines, choices)
}

/// Time that the cursor rests on an offer before its files are asked for, milliseconds.
const LOOK_AFTER_MS: i64 = 150;
