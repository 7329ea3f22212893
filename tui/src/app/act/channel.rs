//! Private channels: inviting, accepting, what is told of them, taking what is offered in them, leaving.

use shared::{name::FoldKey, show::show};

use crate::{
    app::{
        CallId, Effect, Purpose, State, Tab,
        act::chat::CHANNEL_OVER,
        card::Stage,
        channel::Channel,
        chat::{Room, Talk},
        format, inbox,
        layer::{Act, Choice, Dialog, Layer},
    },
    engine::api::{
        ChannelCommand, ChannelLineRow, ChannelRow, ChannelState, Command, Failure, FailureKind, ItemKind, ItemRow,
        LineState, NoticeLevel, RoomName, Target,
    },
};

impl State {
    /// Invites whom the place is about.
    pub(in crate::app) fn channel_here(&mut self, effects: &mut Vec<Effect>) {
        let member = match self.tab {
            Tab::Members => self.members.selected().map(|member| member.name.clone()),
            Tab::Chat => match self.chat.selected() {
                Some(Room::Kept(RoomName::Everyone)) | None => None,
                Some(room) => Some(self.chat.name(room)),
            },
            Tab::Files | Tab::Transfers | Tab::Inbox => None,
        };
        match member {
            Some(member) => self.begin_channel(&member, effects),
            None => self.type_command("channel "),
        }
    }

    /// Invites a member, answers an invitation of theirs, or goes to the channel that there is.
    pub(in crate::app) fn begin_channel(&mut self, member: &str, effects: &mut Vec<Effect>) {
        let key = FoldKey::of(member);
        let is_them = |name: &str| FoldKey::of(name) == key;
        let Some(me) = self.me().map(|me| me.name.clone()) else {
            self.messages.warn(self.now, "sign in first: `:` sign-in");
            return;
        };
        if is_them(&me) {
            self.messages.warn(self.now, "this is you: a channel is for two");
            return;
        }
        let live = self.chat.channels.iter().find(|channel| channel.is_live() && is_them(&channel.row.with));
        if let Some(call) = live.map(|channel| channel.call) {
            self.messages.success(self.now, "there is a private channel already: this is it");
            self.go_to_channel(call);
            return;
        }
        let invites = |item: &&ItemRow| item.kind == ItemKind::Channel && inbox::waits(item) && is_them(&item.from);
        if let Some(item) = self.inbox.all.iter().find(invites).cloned() {
            self.layers.push(Layer::Dialog(invitation(&item)));
            return;
        }
        let id = self.fresh_id();
        let member = self.members.all.iter().find(|row| is_them(&row.name)).map_or(member, |row| &row.name).to_owned();
        let open = ChannelCommand::Open { id: id.clone(), member: member.clone(), life_s: None };
        let call = self.call(Command::Channel(open), Purpose::Channel, effects);
        self.add_channel(Channel::new(call, &id, &member, false));
    }

    /// An id unlike every other, without anything random in here. Nobody who has seen one knows the next.
    fn fresh_id(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("swapmeet 2026-11 ids that a screen chooses");
        hasher.update(&self.setup.seed.to_le_bytes()).update(&self.next_call.to_le_bytes());
        hasher.finalize().as_bytes()[..ID_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Accepts an invitation: the channel lives as long as this call.
    pub(in crate::app) fn join_channel(&mut self, item: &str, with: &str, effects: &mut Vec<Effect>) {
        let join = ChannelCommand::Join { item: item.to_owned() };
        let call = self.call(Command::Channel(join), Purpose::Channel, effects);
        self.add_channel(Channel::new(call, item, with, true));
    }

    fn add_channel(&mut self, channel: Channel) {
        let call = channel.call;
        self.chat.channels.insert(0, channel);
        self.go_to_channel(call);
    }

    fn go_to_channel(&mut self, call: CallId) {
        self.stop_writing();
        self.layers.retain(|layer| !matches!(layer, Layer::Page(_)));
        self.tab = Tab::Chat;
        let room = Room::Private(call);
        self.chat.go_to(room.clone());
        self.chat.open = true;
        if self.chat.talk.as_ref().is_none_or(|talk| talk.room != room) {
            (self.chat.talk, self.chat.card) = (Some(Talk::new(room, self.now)), None);
        }
    }

    /// What a yes to an invitation means.
    pub(in crate::app) fn ask_join(&mut self, item: &ItemRow) {
        self.layers.push(Layer::Dialog(invitation(item)));
    }

    /// The engine tells how a channel stands.
    pub(in crate::app) fn on_channel(&mut self, call: CallId, row: ChannelRow, effects: &mut Vec<Effect>) {
        let now = self.now;
        let before = self.lines_below();
        let Some(channel) = self.chat.channel_mut(call) else { return };
        let was = channel.row.state;
        channel.apply(row, now);
        let (state, with) = (channel.row.state, channel.row.with.clone());
        if was != state {
            let text = match state {
                ChannelState::Open => format!("the private channel with {} is open", show(&with)),
                ChannelState::Ended => format!("the private channel with {} has ended", show(&with)),
                ChannelState::Inviting | ChannelState::Connecting => String::new(),
            };
            if !text.is_empty() {
                self.messages.say(now, NoticeLevel::Success, text.clone(), "5 shows it");
                self.notify(&with, text, effects);
            }
        }
        self.after_channel(call, before);
    }

    /// Something was said in a channel, or what was said came further.
    pub(in crate::app) fn on_channel_line(&mut self, call: CallId, row: ChannelLineRow, effects: &mut Vec<Effect>) {
        let looking = self.looking_at(&Room::Private(call));
        let before = self.lines_below();
        let (theirs, from) = (row.state == LineState::Received, row.from.clone());
        let id = crate::app::channel::line_id(&row);
        let Some(channel) = self.chat.channel_mut(call) else { return };
        let is_news = channel.put(row) && theirs;
        let begins = is_news && channel.unread == 0 && !looking;
        channel.unread += u64::from(is_news);
        if is_news {
            let text = format!("message from {} in private", show(&from));
            if !looking {
                self.messages.say(self.now, NoticeLevel::Success, text.clone(), "5 shows it");
            }
            self.notify(&from, text, effects);
        }
        if let Some(talk) = self.chat.talk.as_mut().filter(|talk| begins && talk.room == Room::Private(call)) {
            talk.new_from = Some(id);
        }
        self.after_channel(call, before);
    }

    /// Lines of the conversation, where it is read further back.
    fn lines_below(&self) -> Option<usize> {
        self.chat.talk.as_ref().filter(|talk| talk.back > 0).map(|_| self.talk_len())
    }

    /// What is read stays where it is.
    fn after_channel(&mut self, call: CallId, before: Option<usize>) {
        let more = before.map(|before| self.talk_len().saturating_sub(before));
        if let (Some(more), Some(talk)) = (more, &mut self.chat.talk)
            && talk.room == Room::Private(call)
        {
            talk.back += more;
        }
    }

    /// The call that held a channel is over.
    pub(in crate::app) fn channel_ended(&mut self, call: CallId, result: Result<(), Failure>) {
        let now = self.now;
        let Some(channel) = self.chat.channel_mut(call) else { return };
        let was_live = channel.is_live();
        let reason = result.err().map(|failure| failure.message);
        channel.end(reason.as_deref(), now);
        let with = show(&channel.row.with);
        if self.chat.writing && self.chat.talk.as_ref().is_some_and(|talk| talk.room == Room::Private(call)) {
            self.stop_writing();
        }
        if let (true, Some(reason)) = (was_live, reason) {
            let text = format!("no private channel with {with}: {}", show(&reason));
            self.messages.say(now, NoticeLevel::Warning, text, "");
        }
    }

    /// Why nothing can be said in a channel now.
    pub(in crate::app) fn not_open(&self, call: CallId) -> Option<&'static str> {
        match self.chat.channel(call).map(|channel| channel.row.state) {
            Some(ChannelState::Open) => None,
            Some(ChannelState::Inviting) => Some("nobody has accepted yet; what is typed stays until then"),
            Some(ChannelState::Connecting) => {
                Some("the two devices look for each other; what is typed stays until then")
            }
            Some(ChannelState::Ended) | None => Some(CHANNEL_OVER),
        }
    }

    /// What says something in a channel.
    pub(in crate::app) fn saying(&self, call: CallId, text: String) -> ChannelCommand {
        let channel = self.chat.channel(call).map(|channel| channel.row.id.clone()).unwrap_or_default();
        ChannelCommand::Say { channel, text }
    }

    /// Asks whether to leave the channel under the cursor, or to close the room of one that is over.
    pub(in crate::app) fn ask_leave(&mut self) {
        let Some(Room::Private(call)) = self.chat.selected() else {
            self.messages.warn(self.now, "only a private channel is left; M lets a room keep quiet");
            return;
        };
        let Some(channel) = self.chat.channel(*call) else { return };
        let (with, call) = (show(&channel.row.with), *call);
        let (title, lines, yes, act) = match channel.row.state {
            ChannelState::Ended => (
                "Close the room?".to_owned(),
                vec![
                    format!("What you and {with} said is kept nowhere else: it is gone then."),
                    "Files that were taken stay.".to_owned(),
                ],
                "close it",
                Act::CloseRoom(call),
            ),
            ChannelState::Inviting | ChannelState::Connecting => (
                format!("Take the invitation of {with} back?"),
                vec![format!("{with} sees that it is over.")],
                "take it back",
                Act::Leave(call),
            ),
            ChannelState::Open => (
                format!("Leave the private channel with {with}?"),
                vec![
                    format!("It ends for both; {with} sees that you left. What moves in it stops."),
                    "What was said stays in this room until you close it or the screen.".to_owned(),
                ],
                "leave",
                Act::Leave(call),
            ),
        };
        let choices = vec![Choice::new('n', "stay", Act::Close), Choice::new('y', yes, act)];
        self.layers.push(Layer::Dialog(Dialog::new(title, lines, choices)));
    }

    /// Leaves a channel, or takes the invitation back. Its call ends then.
    pub(in crate::app) fn leave_channel(&mut self, call: CallId, effects: &mut Vec<Effect>) {
        let Some(id) =
            self.chat.channel(call).filter(|channel| channel.is_live()).map(|channel| channel.row.id.clone())
        else {
            return;
        };
        self.call(Command::Channel(ChannelCommand::Leave { channel: id }), Purpose::Leave { channel: call }, effects);
    }

    /// The engine was asked to end a channel, and knew none: nobody waits for it any more.
    pub(in crate::app) fn not_left(&mut self, call: CallId, failure: &Failure, effects: &mut Vec<Effect>) {
        self.forget_call(call, effects);
        let reason = (failure.kind != FailureKind::NotFound).then_some(failure.message.as_str());
        let now = self.now;
        if let Some(channel) = self.chat.channel_mut(call) {
            channel.end(reason, now);
        }
    }

    /// Asks whether to take a file that is offered in the channel that is shown.
    pub(in crate::app) fn ask_take_line(&mut self, id: &str, stage: &Stage) {
        let Some(channel) = self.chat.shown_channel() else { return };
        let line = channel.line(id).filter(|line| !line.mine);
        let Some((line, file)) = line.and_then(|line| Some((line, line.file.as_ref()?))) else {
            self.messages.warn(self.now, "this is what you offer");
            return;
        };
        if !matches!(stage, Stage::ForMe | Stage::Failed(_)) || !channel.is_open() {
            let why = if channel.is_open() { "it is taken already" } else { CHANNEL_OVER };
            self.messages.warn(self.now, why);
            return;
        }
        let (name, with) = (show(&file.name), show(&channel.row.with));
        let mut lines = Vec::new();
        if name != file.name {
            lines.push("! its name holds characters that hide or disguise something".to_owned());
        }
        lines.push(format!("{name}, {}", format::bytes(file.size)));
        lines.push("It comes straight from the other device into your downloads.".to_owned());
        let (channel, number) = (channel.row.id.clone(), line.number);
        let command = Command::Channel(ChannelCommand::Take { channel, number, target: Target::Downloads });
        let purpose = Purpose::People { says: format!("fetching {name}") };
        let choices =
            vec![Choice::new('n', "not now", Act::Close), Choice::new('y', "take it", Act::Call { command, purpose })];
        self.layers.push(Layer::Dialog(Dialog::new(format!("Take what {with} offers?"), lines, choices)));
    }
}

/// Bytes of an id.
const ID_BYTES: usize = 16;

fn invitation(item: &ItemRow) -> Dialog {
    let who = inbox::who(item);
    let lines = vec![
        "Lines and files go straight between your two devices, and nothing of".to_owned(),
        "it is kept, here or at the tracker. Both see the same key words.".to_owned(),
        "It ends when one of you leaves it or quits.".to_owned(),
    ];
    let join = Act::Join { item: item.id.clone(), with: item.from.clone() };
    let choices = vec![
        Choice::new('n', "not now", Act::Close),
        Choice::new('y', "accept", join),
        Choice::new('x', "decline", Act::Prompt(Box::new(super::inbox::decline_prompt(item)))),
        Choice::new('X', format!("decline and block {who}"), Act::Ask(Box::new(super::inbox::ask_block(item)))),
    ];
    Dialog::new(format!("Open a private channel with {who}?"), lines, choices)
}
