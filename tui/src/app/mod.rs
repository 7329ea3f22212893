//! The screen without a screen: what it knows ([`State`]), what happens to it ([`Event`]), and what it wants done
//! ([`Effect`]). [`update`] is the only way from one state to the next; it never waits, reads no clock and touches
//! nothing outside. `view` draws a state, `screen` carries effects out.

pub mod act;
pub mod attention;
pub mod card;
pub mod channel;
pub mod chat;
pub mod dropped;
mod event;
pub mod field;
pub mod files;
pub mod filter;
pub mod format;
pub mod gate;
mod hear;
pub mod inbox;
pub mod index;
pub mod keys;
pub mod layer;
pub mod layout;
pub mod list;
pub mod members;
pub mod messages;
pub mod notices;
pub mod pane;
pub mod prompt;
mod settle;
pub mod timeline;
pub mod transfers;
mod typing;
pub mod words;

#[cfg(test)]
pub(crate) mod sample;

use std::{collections::BTreeMap, path::PathBuf};

use jiff::tz::TimeZone;
use shared::show::show;

use crate::{
    app::{
        attention::Attention,
        chat::Chat,
        files::Files,
        gate::{Gate, Probe},
        inbox::Inbox,
        index::SortBy,
        keys::{Action, Context},
        layer::Layer,
        layout::{Areas, Wishes},
        list::List,
        members::Members,
        messages::Messages,
        notices::{Notices, Told},
        pane::Finder,
        transfers::Transfers,
    },
    engine::api::{Account, Command, Connection, Limits, NoticeLevel, Steer, Traffic, TransferState},
};

pub use self::event::{Effect, Event, Leaving, Purpose, Target, Which};

/// Number of a call to the engine. Answers to numbers that are no longer awaited are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// The tabs, in their order. Later ones slot in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tab {
    Files,
    Transfers,
    Inbox,
    Members,
    Chat,
}

impl Tab {
    /// In the order of the tabs row.
    pub const ALL: [Self; 5] = [Self::Files, Self::Transfers, Self::Inbox, Self::Members, Self::Chat];

    /// The action that goes there; its first key is the tab's number.
    #[must_use]
    pub const fn action(self) -> Action {
        match self {
            Self::Files => Action::ShowFiles,
            Self::Transfers => Action::ShowTransfers,
            Self::Inbox => Action::ShowInbox,
            Self::Members => Action::ShowMembers,
            Self::Chat => Action::ShowChat,
        }
    }

    /// As written in the tabs row.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Files => "Files",
            Self::Transfers => "Transfers",
            Self::Inbox => "Inbox",
            Self::Members => "Members",
            Self::Chat => "Chat",
        }
    }
}

impl Tab {
    /// The same where there is little room.
    #[must_use]
    pub const fn short(self) -> &'static str {
        match self {
            Self::Transfers => "Xfer",
            Self::Files | Self::Inbox | Self::Members | Self::Chat => self.title(),
        }
    }
}

/// What is fixed when the screen opens.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// Columns and rows.
    pub size: (u16, u16),
    /// Milliseconds since 1970.
    pub now: i64,
    pub zone: TimeZone,
    /// Plain ASCII instead of box drawing and symbols.
    pub ascii: bool,
    /// Colours besides bold, underline and reverse.
    pub color: bool,
    /// Whether the engine goes on when the screen closes.
    pub engine_is_separate: bool,
    /// For `~` in paths.
    pub home: Option<PathBuf>,
    /// What the sign-in form begins with: a join link and a name.
    pub tracker_hint: String,
    pub account_hint: String,
    /// Time without a key press after which nobody counts as here, milliseconds; 0: never.
    pub away_after_ms: i64,
    /// How somebody is told who does not look.
    pub notices: Notices,
    /// What no other screen has: names that are made here begin with it.
    pub seed: u128,
}

/// Everything the screen knows. Plain data.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub setup: Setup,
    /// Columns and rows of the window.
    pub size: (u16, u16),
    /// The last tick, milliseconds since 1970.
    pub now: i64,
    /// Whether the window has the focus.
    pub focused: bool,
    /// Grows with every visible change.
    pub revision: u64,
    pub connection: Connection,
    /// `None`: not known yet. `Some(None)`: signed out.
    pub account: Option<Option<Account>>,
    pub traffic: Traffic,
    pub downloads: Option<PathBuf>,
    pub tab: Tab,
    pub files: Files,
    pub transfers: Transfers,
    pub inbox: Inbox,
    pub members: Members,
    pub chat: Chat,
    pub attention: Attention,
    pub limits: Limits,
    pub gate: Option<Gate>,
    /// What lies over the panes, the topmost last.
    pub layers: Vec<Layer>,
    pub messages: Messages,
    /// Whether the three-line tip is shown under an empty or new index.
    pub tip: bool,
    /// Whether the list has the whole screen.
    pub zoom: bool,
    /// Whether mouse events come to us.
    pub mouse: bool,
    told: Told,
    undo: Option<Undo>,
    calls: BTreeMap<CallId, Purpose>,
    next_call: u64,
    /// When a key was last pressed.
    pressed_ms: i64,
    /// Until when a second Ctrl-C quits.
    quit_armed_until: i64,
    /// When to ask the engine again to be kept up to date, and how often that failed.
    watch_again: Option<(i64, u32)>,
}

/// What can be taken back, and until when.
#[derive(Debug, Clone, PartialEq)]
struct Undo {
    until: i64,
    ids: Vec<String>,
    how: Steer,
}

/// The first state, and what it wants done at once.
#[must_use]
pub fn start(setup: Setup) -> (State, Vec<Effect>) {
    let mut state = State {
        size: setup.size,
        now: setup.now,
        setup,
        focused: true,
        revision: 0,
        connection: Connection::Connecting,
        account: None,
        traffic: Traffic::default(),
        downloads: None,
        tab: Tab::Files,
        files: Files::default(),
        transfers: Transfers::default(),
        inbox: Inbox::default(),
        members: Members::default(),
        chat: Chat::default(),
        attention: Attention::default(),
        limits: Limits::default(),
        gate: None,
        layers: Vec::new(),
        messages: Messages::default(),
        tip: false,
        zoom: false,
        mouse: true,
        told: Told::default(),
        undo: None,
        calls: BTreeMap::new(),
        next_call: 0,
        pressed_ms: 0,
        quit_armed_until: 0,
        watch_again: None,
    };
    let mut effects = Vec::new();
    state.call(Command::Watch, Purpose::Watch, &mut effects);
    state.call(Command::Status, Purpose::Status, &mut effects);
    state.touch();
    state.settle_attention(&mut effects);
    (state, effects)
}

/// Takes in one event.
pub fn update(state: &mut State, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    if !matches!(event, Event::Tick(_)) {
        state.revision += 1;
    }
    match event {
        Event::Tick(now) => state.on_tick(now, &mut effects),
        Event::Key(key) => state.on_key(key, &mut effects),
        Event::Paste(text) => state.on_paste(&text, &mut effects),
        Event::Resize(width, height) => state.size = (width, height),
        Event::Focus(focused) => state.focused = focused,
        Event::Click { target, twice } => state.on_click(target, twice, &mut effects),
        Event::Wheel(lines) => state.on_wheel(lines, &mut effects),
        Event::Update { call, update } => state.on_update(call, *update, &mut effects),
        Event::Ended { call, result } => state.on_ended(call, result, &mut effects),
        Event::Arranged { which, generation, arranged, took_us } => {
            state.on_arranged(which, generation, arranged, took_us);
        }
        Event::Weighed { room, text, found } => state.on_weighed(room, &text, found, &mut effects),
        Event::Completed { typed, paths } => state.on_completed(&typed, paths),
        Event::Surveyed(survey) => state.on_surveyed(survey),
        Event::Copied { what, way: Ok(way) } => state.messages.success(state.now, format!("{what} copied {way}")),
        Event::Copied { what, way: Err(why) } => {
            state.messages.say(state.now, NoticeLevel::Error, format!("could not copy the {what}: {why}"), "");
        }
        Event::NotOpened { path, why } => {
            let text = format!("could not open {}: {why}", show(&path.to_string_lossy()));
            state.messages.say(state.now, NoticeLevel::Error, text, "");
        }
        Event::Terminate => {
            let leaving = state.leaving(!state.setup.engine_is_separate);
            effects.push(Effect::Quit(leaving));
        }
        Event::NotSuspended => {
            state.messages.warn(state.now, "there is no shell below this window to go back to");
        }
    }
    state.settle(&mut effects);
    effects
}

impl State {
    /// The parts of the window for its present size.
    #[must_use]
    pub fn areas(&self) -> Areas {
        self.areas_for(self.size)
    }

    /// The parts of a window of this size.
    #[must_use]
    pub fn areas_for(&self, size: (u16, u16)) -> Areas {
        layout::areas(size.0, size.1, self.wishes())
    }

    fn wishes(&self) -> Wishes {
        let tip = self.tip && self.tab == Tab::Files;
        Wishes { tab: self.tab, place: self.has_place(), zoom: self.zoom, tip, detail: self.list_len() > 0 }
    }

    /// Whether there is an open folder or a filter to show above the list.
    #[must_use]
    pub fn has_place(&self) -> bool {
        let finder = self.finder();
        let searching = self.tab == Tab::Files && self.files.view == files::View::Search;
        let inside = self.tab == Tab::Files && !searching && self.files.browse().0.place.is_some();
        searching || inside || finder.editing || !finder.field.is_empty()
    }

    /// The filter of the list that is shown.
    #[must_use]
    pub fn finder(&self) -> &Finder {
        match self.tab {
            Tab::Files if self.files.at_shares() => &self.files.share_pane.finder,
            Tab::Files => &self.files.browse().0.pane.finder,
            Tab::Transfers => &self.transfers.pane.finder,
            Tab::Inbox => &self.inbox.pane.finder,
            Tab::Members => &self.members.pane.finder,
            Tab::Chat => &self.chat.pane.finder,
        }
    }

    fn finder_mut(&mut self) -> &mut Finder {
        match self.tab {
            Tab::Files if self.files.at_shares() => &mut self.files.share_pane.finder,
            Tab::Files => &mut self.files.browse_mut().0.pane.finder,
            Tab::Transfers => &mut self.transfers.pane.finder,
            Tab::Inbox => &mut self.inbox.pane.finder,
            Tab::Members => &mut self.members.pane.finder,
            Tab::Chat => &mut self.chat.pane.finder,
        }
    }

    /// Sort column and direction of the list that is shown.
    #[must_use]
    pub fn sort(&self) -> (SortBy, bool) {
        match self.tab {
            Tab::Files if self.files.at_shares() => (self.files.share_pane.sort, self.files.share_pane.reverse),
            Tab::Files => {
                let pane = &self.files.browse().0.pane;
                let sort =
                    if pane.sort == SortBy::Name && pane.finder.filter.ranked { SortBy::Match } else { pane.sort };
                (sort, pane.reverse)
            }
            Tab::Transfers => (self.transfers.pane.sort, self.transfers.pane.reverse),
            Tab::Inbox => (self.inbox.pane.sort, self.inbox.pane.reverse),
            Tab::Members => (self.members.pane.sort, self.members.pane.reverse),
            Tab::Chat => (self.chat.pane.sort, self.chat.pane.reverse),
        }
    }

    /// Items of the list that is shown.
    #[must_use]
    pub fn list_len(&self) -> usize {
        match self.tab {
            Tab::Files if self.files.at_shares() => self.files.share_order.len(),
            Tab::Files => self.files.browse().0.order.len(),
            Tab::Transfers => self.transfers.order.len(),
            Tab::Inbox => self.inbox.order.len(),
            Tab::Members => self.members.order.len(),
            Tab::Chat => self.chat.order.len(),
        }
    }

    /// Cursor and scroll of the list that is shown.
    #[must_use]
    pub fn list(&self) -> List {
        match self.tab {
            Tab::Files if self.files.at_shares() => self.files.share_pane.list,
            Tab::Files => self.files.browse().0.pane.list,
            Tab::Transfers => self.transfers.pane.list,
            Tab::Inbox => self.inbox.pane.list,
            Tab::Members => self.members.pane.list,
            Tab::Chat => self.chat.pane.list,
        }
    }

    fn list_mut(&mut self) -> &mut List {
        match self.tab {
            Tab::Files if self.files.at_shares() => &mut self.files.share_pane.list,
            Tab::Files => &mut self.files.browse_mut().0.pane.list,
            Tab::Transfers => &mut self.transfers.pane.list,
            Tab::Inbox => &mut self.inbox.pane.list,
            Tab::Members => &mut self.members.pane.list,
            Tab::Chat => &mut self.chat.pane.list,
        }
    }

    /// Marked items of the list that is shown.
    #[must_use]
    pub fn marked(&self) -> usize {
        match self.tab {
            Tab::Files if self.files.at_shares() => self.files.share_pane.marks.len(),
            Tab::Files => self.files.browse().0.pane.marks.len(),
            Tab::Transfers => self.transfers.pane.marks.len(),
            Tab::Inbox => self.inbox.pane.marks.len(),
            Tab::Members => self.members.pane.marks.len(),
            Tab::Chat => self.chat.pane.marks.len(),
        }
    }

    /// The account, when signed in.
    #[must_use]
    pub fn me(&self) -> Option<&Account> {
        self.account.as_ref()?.as_ref()
    }

    /// The contexts in force, nearest first.
    #[must_use]
    pub fn contexts(&self) -> Vec<Context> {
        match self.layers.last() {
            Some(Layer::Dialog(_)) => return vec![Context::Dialog, Context::Always],
            Some(Layer::Menu(_)) => return vec![Context::Menu, Context::Always],
            Some(Layer::Palette(_)) => return vec![Context::Palette, Context::Typing, Context::Always],
            Some(Layer::Log(_)) => return vec![Context::Log, Context::Always],
            Some(Layer::Share(_)) => return vec![Context::Share, Context::Typing, Context::Always],
            Some(Layer::Prompt(_)) => return vec![Context::Prompt, Context::Typing, Context::Always],
            Some(Layer::Take(taking)) if taking.editing => {
                return vec![Context::Folder, Context::Typing, Context::Always];
            }
            Some(Layer::Take(_)) => return vec![Context::Take, Context::Always],
            Some(Layer::Page(_)) => {
                let mut stack = vec![Context::Page];
                stack.extend(self.pane_contexts());
                stack.push(Context::Always);
                return stack;
            }
            None => {}
        }
        if self.gate.is_some() {
            return vec![Context::Form, Context::Typing, Context::Always];
        }
        if self.tab == Tab::Chat && self.chat.writing {
            return vec![Context::Writing, Context::Typing, Context::Always];
        }
        if self.finder().editing {
            return vec![Context::Filter, Context::Typing, Context::Always];
        }
        let mut stack = self.pane_contexts();
        stack.extend([Context::Panes, Context::Always]);
        stack
    }

    fn pane_contexts(&self) -> Vec<Context> {
        use transfers::View as T;
        match (self.tab, self.files.view, self.transfers.view) {
            (Tab::Files, files::View::Public, _) => vec![Context::Public, Context::Files],
            (Tab::Files, files::View::Mine, _) => vec![Context::Mine, Context::Files],
            (Tab::Files, files::View::Search, _) => vec![Context::Search, Context::Files],
            (Tab::Transfers, _, T::Active | T::Queued) => vec![Context::Active, Context::Transfers],
            (Tab::Transfers, _, T::Uploads) => vec![Context::Transfers],
            (Tab::Transfers, _, T::Done) => vec![Context::Done, Context::Transfers],
            (Tab::Transfers, _, T::Failed) => vec![Context::Failed, Context::Transfers],
            (Tab::Inbox, ..) => match self.inbox.view {
                inbox::View::ForMe => vec![Context::ForMe, Context::Inbox],
                inbox::View::Sent => vec![Context::Sent, Context::Inbox],
                inbox::View::History => vec![Context::Inbox],
            },
            (Tab::Members, ..) => vec![Context::Members],
            (Tab::Chat, ..) if self.at_card() => vec![Context::Card, Context::Chat],
            (Tab::Chat, ..) => vec![Context::Chat],
        }
    }

    /// When something changes by itself, milliseconds since 1970: until then nothing needs to be drawn.
    #[must_use]
    pub fn next_wake(&self) -> Option<i64> {
        let next_second = |until: i64| (until > self.now).then(|| until - (until - self.now - 1) / 1000 * 1000);
        let retry = match &self.connection {
            Connection::Offline { retry_ms: Some(at), .. } => next_second(*at),
            Connection::Offline { retry_ms: None, .. }
            | Connection::SignedOut
            | Connection::Connecting
            | Connection::Online { .. } => None,
        };
        let probe = self.gate.as_ref().and_then(|gate| match gate.probe {
            Probe::Due(at) => Some(at),
            Probe::Idle | Probe::Asking(_) | Probe::Known(_) | Probe::Failed(_) => None,
        });
        let wait = self.gate.as_ref().and_then(|gate| next_second(gate.waits_until?));
        let minute = Some((self.now.div_euclid(60_000) + 1) * 60_000);
        let watch = self.watch_again.map(|(at, _)| at);
        [
            retry,
            probe,
            wait,
            minute,
            watch,
            self.away_at().filter(|_| !self.is_away()),
            self.messages.next_change(),
            self.files.next_change(),
            self.transfers.next_sample(),
            self.transfers.next_order(self.pressed_ms),
            self.inbox.looked.as_ref().and_then(|looked| looked.due),
            self.chat.draft_due,
            self.chat.talk.as_ref().and_then(|talk| talk.due),
            self.chat.talk.as_ref().and_then(|talk| talk.seen_due),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The window's title.
    #[must_use]
    pub fn title(&self) -> String {
        match self.transfers.unfinished() {
            0 => "swapmeet".to_owned(),
            some if self.traffic.down == 0 => format!("swapmeet ({some})"),
            some => format!("swapmeet ↓{} ({some})", format::speed_short(self.traffic.down)),
        }
    }

    /// Progress of all downloads together, in percent, while there are some.
    #[must_use]
    pub fn progress(&self) -> Option<u8> {
        let running = self.transfers.all.values().filter(|t| t.row.state == TransferState::Running);
        let running = running.filter(|t| t.row.direction == crate::engine::api::Direction::Down);
        let (done, size) = running
            .fold((0_u128, 0_u128), |(done, size), t| (done + u128::from(t.row.done), size + u128::from(t.row.size)));
        u8::try_from((done * 100).checked_div(size)?.min(100)).ok()
    }

    /// Whether numbers on screen are moving.
    #[must_use]
    pub const fn live(&self) -> bool {
        self.traffic.down > 0 || self.traffic.up > 0
    }

    fn leaving(&self, stop_engine: bool) -> Leaving {
        Leaving { stop_engine, unfinished: self.transfers.unfinished() }
    }

    fn call(&mut self, command: Command, purpose: Purpose, effects: &mut Vec<Effect>) -> CallId {
        let call = CallId(self.next_call);
        self.next_call += 1;
        self.calls.insert(call, purpose);
        effects.push(Effect::Call { call, command });
        call
    }

    fn forget_call(&mut self, call: CallId, effects: &mut Vec<Effect>) {
        if self.calls.remove(&call).is_some() {
            effects.push(Effect::Drop { call });
        }
    }

    fn on_wheel(&mut self, lines: isize, effects: &mut Vec<Effect>) {
        let (len, height) = (self.list_len(), usize::from(self.areas().list.height));
        let page = usize::from(self.size.1.saturating_sub(4)).max(1);
        let talking = self.tab == Tab::Chat && self.talk_area().is_some();
        match self.layers.last_mut() {
            Some(Layer::Palette(palette)) => {
                let len = palette.listed().len();
                palette.list.scroll(lines, len, page);
            }
            Some(Layer::Log(list)) => list.scroll(lines, self.messages.log().len(), page),
            Some(Layer::Page(page)) => page.top = page.top.saturating_add_signed(lines),
            Some(Layer::Take(_)) => self.scroll_offered(lines),
            Some(Layer::Dialog(_) | Layer::Menu(_) | Layer::Share(_) | Layer::Prompt(_)) => {}
            None if self.gate.is_some() => {}
            None if talking => self.scroll_talk(lines, effects),
            None => self.list_mut().scroll(lines, len, height),
        }
    }
}
