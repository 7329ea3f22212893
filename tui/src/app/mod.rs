//! The screen without a screen: what it knows ([`State`]), what happens to it ([`Event`]), and what it wants done
//! ([`Effect`]). [`update`] is the only way from one state to the next; it never waits, reads no clock and touches
//! nothing outside. `view` draws a state, `screen` carries effects out.

pub mod act;
pub mod field;
pub mod files;
pub mod filter;
pub mod format;
pub mod gate;
pub mod index;
pub mod keys;
pub mod layer;
pub mod layout;
pub mod list;
pub mod members;
pub mod messages;
pub mod pane;
pub mod transfers;

#[cfg(test)]
pub(crate) mod sample;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use jiff::tz::TimeZone;
use shared::{limits::SEARCH_HITS_MAX, show::show};

use self::{
    files::{Files, Looked},
    gate::{Gate, Kind, Probe},
    index::{Arrange, Arranged, Index, Item, SortBy},
    keys::{Action, Context, Key},
    layer::{Act, Choice, Dialog, Layer},
    layout::{Areas, Shape, Wishes},
    list::List,
    members::Members,
    messages::Messages,
    pane::Finder,
    transfers::Transfers,
};
use crate::engine::api::{
    Account, Command, Connection, Failure, FailureKind, NoticeLevel, Share, Steer, Traffic, TransferState, Update,
};

/// Number of a call to the engine. Answers to numbers that are no longer awaited are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// The tabs, in their order. Later ones slot in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tab {
    Files,
    Transfers,
    Members,
}

impl Tab {
    /// In the order of the tabs row.
    pub const ALL: [Self; 3] = [Self::Files, Self::Transfers, Self::Members];

    /// The action that goes there; its first key is the tab's number.
    #[must_use]
    pub const fn action(self) -> Action {
        match self {
            Self::Files => Action::ShowFiles,
            Self::Transfers => Action::ShowTransfers,
            Self::Members => Action::ShowMembers,
        }
    }

    /// As written in the tabs row.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Files => "Files",
            Self::Transfers => "Transfers",
            Self::Members => "Members",
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
    pub members: Members,
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

/// What a running call is for.
#[derive(Debug, Clone, PartialEq)]
pub enum Purpose {
    Watch,
    Status,
    Probe,
    /// Signing in or registering; `new`: registering.
    Enter {
        new: bool,
    },
    SignOut,
    Search,
    Look,
    /// Fetching; its transfers can be taken back for a while.
    Get {
        ids: Vec<String>,
        says: String,
    },
    /// Steering; `says` when it worked.
    Steer {
        says: String,
        undo: Option<(Vec<String>, Steer)>,
    },
    /// Counting what would be shared.
    Count,
    Share {
        files: u64,
    },
    Unshare {
        name: String,
    },
    Copy,
    Uncopy,
    Rescan,
    Reconnect,
}

/// What can be taken back, and until when.
#[derive(Debug, Clone, PartialEq)]
struct Undo {
    until: i64,
    ids: Vec<String>,
    how: Steer,
}

/// How the screen ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    /// Whether the engine shall stop too.
    pub stop_engine: bool,
    /// Transfers that were running or waiting.
    pub unfinished: usize,
}

/// What can be clicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Tab(Tab),
    /// Number of a view in the views row.
    View(usize),
    Sort(SortBy),
    /// Number of an item in the list.
    Line(usize),
    /// A hint.
    Action(Action),
    /// Number of an answer in a dialog or menu, or of a line in the list of commands.
    Choice(usize),
    Part(gate::Part),
}

/// Which list an arrangement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Which {
    Public,
    Mine,
    Search,
}

/// What happens.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It is this late, milliseconds since 1970. Comes before every batch of other events.
    Tick(i64),
    Key(Key),
    Paste(String),
    Resize(u16, u16),
    Focus(bool),
    Click {
        target: Target,
        twice: bool,
    },
    /// Lines down, or up where negative.
    Wheel(isize),
    Update {
        call: CallId,
        update: Box<Update>,
    },
    Ended {
        call: CallId,
        result: Result<(), Failure>,
    },
    Arranged {
        which: Which,
        generation: u64,
        arranged: Arranged,
        took_us: u64,
    },
    /// Paths that `typed` may go on with.
    Completed {
        typed: String,
        paths: Vec<String>,
    },
    /// Something was copied, and how; or why not.
    Copied {
        what: &'static str,
        way: Result<&'static str, String>,
    },
    /// Opening a file or folder failed.
    NotOpened {
        path: PathBuf,
        why: String,
    },
    /// The terminal or the system asks us to go.
    Terminate,
    /// There is no shell to go back to.
    NotSuspended,
}

/// What the screen wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Call {
        call: CallId,
        command: Command,
    },
    /// The call is no longer of interest.
    Drop {
        call: CallId,
    },
    /// Choose and order; answered by [`Event::Arranged`].
    Arrange {
        which: Which,
        generation: u64,
        index: Arc<Index>,
        wanted: Arrange,
    },
    /// Find paths that begin so; answered by [`Event::Completed`].
    Complete {
        typed: String,
    },
    Copy {
        what: &'static str,
        text: String,
    },
    Open {
        path: PathBuf,
    },
    Mouse(bool),
    Suspend,
    Redraw,
    Quit(Leaving),
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
        members: Members::default(),
        gate: None,
        layers: Vec::new(),
        messages: Messages::default(),
        tip: false,
        zoom: false,
        mouse: true,
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
        Event::Wheel(lines) => state.on_wheel(lines),
        Event::Update { call, update } => state.on_update(call, *update, &mut effects),
        Event::Ended { call, result } => state.on_ended(call, result, &mut effects),
        Event::Arranged { which, generation, arranged, took_us } => {
            state.on_arranged(which, generation, arranged, took_us);
        }
        Event::Completed { typed, paths } => state.on_completed(&typed, paths),
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
            Tab::Members => &self.members.pane.finder,
        }
    }

    fn finder_mut(&mut self) -> &mut Finder {
        match self.tab {
            Tab::Files if self.files.at_shares() => &mut self.files.share_pane.finder,
            Tab::Files => &mut self.files.browse_mut().0.pane.finder,
            Tab::Transfers => &mut self.transfers.pane.finder,
            Tab::Members => &mut self.members.pane.finder,
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
            Tab::Members => (self.members.pane.sort, self.members.pane.reverse),
        }
    }

    /// Items of the list that is shown.
    #[must_use]
    pub fn list_len(&self) -> usize {
        match self.tab {
            Tab::Files if self.files.at_shares() => self.files.share_order.len(),
            Tab::Files => self.files.browse().0.order.len(),
            Tab::Transfers => self.transfers.order.len(),
            Tab::Members => self.members.order.len(),
        }
    }

    /// Cursor and scroll of the list that is shown.
    #[must_use]
    pub fn list(&self) -> List {
        match self.tab {
            Tab::Files if self.files.at_shares() => self.files.share_pane.list,
            Tab::Files => self.files.browse().0.pane.list,
            Tab::Transfers => self.transfers.pane.list,
            Tab::Members => self.members.pane.list,
        }
    }

    fn list_mut(&mut self) -> &mut List {
        match self.tab {
            Tab::Files if self.files.at_shares() => &mut self.files.share_pane.list,
            Tab::Files => &mut self.files.browse_mut().0.pane.list,
            Tab::Transfers => &mut self.transfers.pane.list,
            Tab::Members => &mut self.members.pane.list,
        }
    }

    /// Marked items of the list that is shown.
    #[must_use]
    pub fn marked(&self) -> usize {
        match self.tab {
            Tab::Files if self.files.at_shares() => self.files.share_pane.marks.len(),
            Tab::Files => self.files.browse().0.pane.marks.len(),
            Tab::Transfers => self.transfers.pane.marks.len(),
            Tab::Members => self.members.pane.marks.len(),
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
            (Tab::Members, ..) => vec![Context::Members],
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
        let minute = Some((self.now.div_euclid(60_000) + 1) * 60_000);
        let watch = self.watch_again.map(|(at, _)| at);
        [
            retry,
            probe,
            minute,
            watch,
            self.messages.next_change(),
            self.files.next_change(),
            self.transfers.next_sample(),
            self.transfers.next_order(self.pressed_ms),
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

    fn on_tick(&mut self, now: i64, effects: &mut Vec<Effect>) {
        let before = self.now;
        self.now = now;
        let counting = matches!(self.connection, Connection::Offline { retry_ms: Some(_), .. });
        let mut changed = before.div_euclid(60_000) != now.div_euclid(60_000);
        changed |= counting && before.div_euclid(1000) != now.div_euclid(1000);
        changed |= self.messages.expire(now);
        changed |= self.transfers.sample(now);
        if self.undo.as_ref().is_some_and(|undo| undo.until <= now) {
            self.undo = None;
        }
        if let Some((at, _)) = self.watch_again
            && at <= now
        {
            self.watch(effects);
            changed = true;
        }
        self.revision += u64::from(changed);
    }

    fn watch(&mut self, effects: &mut Vec<Effect>) {
        if let Some((_, tries)) = &mut self.watch_again {
            // Not to be repeated until this call has ended; the number of tries is kept.
            self.watch_again = Some((i64::MAX, *tries));
        }
        self.connection = Connection::Connecting;
        self.call(Command::Watch, Purpose::Watch, effects);
    }

    fn on_paste(&mut self, text: &str, effects: &mut Vec<Effect>) {
        self.pressed_ms = self.now;
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
    fn typing(&mut self) -> Option<&mut field::Field> {
        if !self.layers.is_empty() {
            return match self.layers.last_mut() {
                Some(Layer::Palette(palette)) => Some(&mut palette.field),
                Some(Layer::Share(sharing)) => Some(&mut sharing.field),
                Some(Layer::Dialog(_) | Layer::Menu(_) | Layer::Log(_) | Layer::Page(_)) | None => None,
            };
        }
        if self.gate.is_some() {
            return self.gate.as_mut().and_then(Gate::field_mut);
        }
        let finder = self.finder_mut();
        finder.editing.then_some(&mut finder.field)
    }

    fn type_text(&mut self, text: &str, effects: &mut Vec<Effect>) {
        let Some(field) = self.typing() else { return };
        if !field.insert(text) {
            self.messages.warn(self.now, "that is longer than this field takes; the rest was left out");
        }
        self.typed(effects);
    }

    /// What is typed has changed.
    fn typed(&mut self, effects: &mut Vec<Effect>) {
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
        self.filter_changed();
    }

    fn filter_changed(&mut self) {
        let now = self.now;
        let searching = self.tab == Tab::Files && self.files.view == files::View::Search;
        let finder = self.finder_mut();
        if !searching {
            finder.filter = filter::Filter::parse(finder.field.text());
        }
        match self.tab {
            Tab::Files if searching => self.files.search.due = Some(now + SEARCH_AFTER_MS),
            Tab::Files if self.files.at_shares() => self.files.arrange_shares(),
            Tab::Files => {
                let (browse, _) = self.files.browse_mut();
                browse.pane.list = List::default();
                browse.refresh(now);
            }
            Tab::Transfers => self.transfers.arrange_now(),
            Tab::Members => self.members.arrange(),
        }
    }

    fn on_completed(&mut self, typed: &str, paths: Vec<String>) {
        let home = self.setup.home.clone();
        if let Some(Layer::Share(sharing)) = self.layers.last_mut()
            && act::expand_home(sharing.field.text(), home.as_deref()) == typed
        {
            sharing.suggestions = paths;
        }
    }

    fn on_arranged(&mut self, which: Which, generation: u64, arranged: Arranged, took_us: u64) {
        let now = self.now;
        let files = &mut self.files;
        let (browse, index) = match which {
            Which::Public => (&mut files.public, &files.index),
            Which::Mine => (&mut files.mine, &files.index),
            Which::Search => (&mut files.search.browse, &files.search.hits),
        };
        browse.arranged(index, generation, arranged, took_us, now);
    }

    fn on_wheel(&mut self, lines: isize) {
        let (len, height) = (self.list_len(), usize::from(self.areas().list.height));
        let page = usize::from(self.size.1.saturating_sub(4)).max(1);
        match self.layers.last_mut() {
            Some(Layer::Palette(palette)) => {
                let len = palette.listed().len();
                palette.list.scroll(lines, len, page);
            }
            Some(Layer::Log(list)) => list.scroll(lines, self.messages.log().len(), page),
            Some(Layer::Page(page)) => page.top = page.top.saturating_add_signed(lines),
            Some(Layer::Dialog(_) | Layer::Menu(_) | Layer::Share(_)) => {}
            None if self.gate.is_some() => {}
            None => self.list_mut().scroll(lines, len, height),
        }
    }

    fn on_update(&mut self, call: CallId, update: Update, effects: &mut Vec<Effect>) {
        let Some(purpose) = self.calls.get(&call).cloned() else { return };
        let now = self.now;
        match (purpose, update) {
            (_, Update::Connection(connection)) => self.on_connection(connection),
            (purpose, Update::Account(account)) => self.on_account(account, &purpose, effects),
            (_, Update::Index(page)) => self.files.apply(page, now),
            (_, Update::Shares(shares)) => self.files.apply_shares(shares),
            (_, Update::Members(members)) => {
                if self.members.apply(members) {
                    self.files.sources_changed(now);
                }
            }
            (_, Update::Transfers(page)) => {
                for id in self.transfers.apply(page) {
                    self.announce(&id);
                }
            }
            (_, Update::Traffic(traffic)) => self.traffic = traffic,
            (_, Update::Notice(notice)) => self.messages.notice(now, notice),
            (Purpose::Status, Update::Status(status)) => self.downloads = Some(status.downloads),
            (Purpose::Probe, Update::Tracker(info)) => {
                if let Some(gate) = &mut self.gate
                    && gate.probe == Probe::Asking(call)
                {
                    gate.probe = Probe::Known(info);
                }
            }
            (Purpose::Search, Update::File(file)) => {
                let search = &mut self.files.search;
                let entry = Arc::make_mut(&mut search.hits).put(file);
                search.ranked.push(entry);
                if search.browse.pane.sort == SortBy::Match {
                    search.browse.order.push(entry);
                } else {
                    search.browse.refresh(now);
                }
            }
            (Purpose::Look, Update::Detail(detail)) => {
                if let Some(looked) = &mut self.files.looked
                    && looked.call == Some(call)
                {
                    looked.detail = Some(detail);
                }
            }
            (Purpose::Get { .. } | Purpose::Steer { .. }, Update::Transfer(row)) => {
                if let Some(Purpose::Get { ids, .. }) = self.calls.get_mut(&call)
                    && !ids.contains(&row.id)
                {
                    ids.push(row.id);
                }
            }
            (Purpose::Count, Update::Hashing(total)) => self.counted(total.files, total.bytes, true),
            (Purpose::Count, Update::Folder(folder)) => self.counted(folder.files, folder.size, true),
            (Purpose::Count, Update::File(file)) => self.counted(1, file.size, false),
            (Purpose::Share { files }, Update::File(_)) => {
                self.calls.insert(call, Purpose::Share { files: files + 1 });
            }
            (Purpose::Unshare { name }, Update::Count(count)) => {
                let text = format!("{name} is out of the index ({}); nothing on disk changed", format::files(count));
                self.messages.success(now, text);
            }
            (Purpose::Uncopy, Update::Count(count)) => {
                let copies = format::plural(count, "copy", "copies");
                self.messages.success(now, format!("{copies} on the tracker dropped"));
            }
            (Purpose::Rescan | Purpose::Share { .. }, Update::Hashing(hashing)) => {
                self.files.hashing = Some(hashing);
            }
            (Purpose::Rescan, Update::Rescanned(found)) => {
                let text = format!(
                    "looked through: {} new, {} changed, {} missing, {} as before",
                    format::count(found.added),
                    format::count(found.changed),
                    format::count(found.missing),
                    format::count(found.unchanged)
                );
                self.messages.success(now, text);
            }
            (Purpose::Watch, Update::Hashing(hashing)) => self.files.hashing = Some(hashing),
            // The rest of what these calls tell is of no use to the screen.
            (_, _) => {}
        }
    }

    fn counted(&mut self, files: u64, bytes: u64, folder: bool) {
        if let Some(Layer::Share(sharing)) = self.layers.last_mut() {
            // A folder names its own sum; the files in it may follow and must not be counted twice.
            if folder {
                (sharing.folder, sharing.files, sharing.bytes) = (true, files, bytes);
            } else if !sharing.folder {
                sharing.files += files;
                sharing.bytes = sharing.bytes.saturating_add(bytes);
            }
        }
    }

    fn announce(&mut self, id: &str) {
        let Some(transfer) = self.transfers.all.get(id) else { return };
        let row = &transfer.row;
        if row.direction == crate::engine::api::Direction::Down {
            let took = format::seconds(row.elapsed_ms.div_ceil(1000));
            let text = format!("{} finished and verified ({} in {took})", show(&row.name), format::bytes(row.size));
            self.messages.success(self.now, text);
        }
    }

    fn on_connection(&mut self, connection: Connection) {
        let was_offline = matches!(self.connection, Connection::Offline { .. });
        match &connection {
            Connection::Online { .. } => {
                self.watch_again = None;
                if was_offline {
                    self.messages.success(self.now, "back online");
                }
            }
            Connection::Offline { cause, .. } if !was_offline => {
                let text = format!("the tracker is out of reach: {}", show(cause));
                let hint = "files stay browsable, running transfers go on; R tries again now";
                self.messages.say(self.now, NoticeLevel::Warning, text, hint);
            }
            Connection::Offline { .. } | Connection::SignedOut | Connection::Connecting => {}
        }
        self.connection = connection;
    }

    fn on_account(&mut self, account: Option<Account>, purpose: &Purpose, effects: &mut Vec<Effect>) {
        let before = self.account.replace(account.clone());
        match account {
            Some(account) => {
                let entering = self.gate.as_ref().and_then(|gate| gate.call);
                // A form opened on purpose while signed in stays until it is used or closed.
                if entering.is_some() || before != Some(Some(account.clone())) {
                    self.gate = None;
                }
                if matches!(purpose, Purpose::Enter { .. }) {
                    self.messages.success(self.now, format!("signed in as {}", show(&account.name)));
                    self.call(Command::Status, Purpose::Status, effects);
                }
                if matches!(purpose, Purpose::Enter { new: true }) {
                    self.tip = true;
                    self.tab = Tab::Files;
                }
            }
            // At the start, and when the account goes; not again after somebody chose to work offline.
            None if before.as_ref().is_none_or(Option::is_some) => {
                let (tracker, user) = (self.setup.tracker_hint.clone(), self.setup.account_hint.clone());
                self.gate = Some(Gate::new(Kind::SignIn, &tracker, &user, self.now));
            }
            None => {}
        }
    }

    fn on_ended(&mut self, call: CallId, result: Result<(), Failure>, effects: &mut Vec<Effect>) {
        let Some(purpose) = self.calls.remove(&call) else { return };
        let now = self.now;
        match (purpose, result) {
            (Purpose::Watch, result) => self.watch_ended(result),
            (Purpose::Status | Purpose::Reconnect, Ok(())) => {}
            (Purpose::Status, Err(failure)) => self.messages.fail(now, "ask the engine", &failure),
            (Purpose::Reconnect, Err(failure)) => self.messages.fail(now, "reach the tracker", &failure),
            (Purpose::Probe, result) => {
                if let Some(gate) = &mut self.gate
                    && gate.probe == Probe::Asking(call)
                {
                    gate.probe = match result {
                        Ok(()) => Probe::Idle,
                        Err(failure) => Probe::Failed(failure),
                    };
                }
            }
            (Purpose::Enter { .. }, result) => {
                if let Some(gate) = &mut self.gate
                    && gate.call == Some(call)
                {
                    gate.call = None;
                    match result {
                        Ok(()) => self.gate = None,
                        Err(failure) => gate.failure = Some(failure),
                    }
                }
            }
            (Purpose::SignOut, Ok(())) => self.messages.success(now, "signed out on this device"),
            (Purpose::SignOut, Err(failure)) => self.messages.fail(now, "sign out", &failure),
            (Purpose::Search, result) => {
                let search = &mut self.files.search;
                if search.call == Some(call) {
                    search.call = None;
                    // That nothing was found is said in the list, not as an error.
                    search.failure = result.err().filter(|failure| failure.kind != FailureKind::NotFound);
                }
            }
            (Purpose::Look, result) => {
                if let (Some(looked), Err(failure)) = (&mut self.files.looked, result)
                    && looked.call == Some(call)
                {
                    looked.call = None;
                    looked.failure = Some(failure);
                }
            }
            (Purpose::Get { ids, says }, Ok(())) => {
                self.offer_undo(&says, ids, Steer::Cancel);
            }
            (Purpose::Get { .. }, Err(failure)) => self.messages.fail(now, "fetch", &failure),
            (Purpose::Steer { says, undo }, Ok(())) => match undo {
                Some((ids, how)) => self.offer_undo(&says, ids, how),
                None => self.messages.success(now, says),
            },
            (Purpose::Steer { .. }, Err(failure)) => self.messages.fail(now, "do that", &failure),
            (Purpose::Count, result) => self.count_ended(call, result),
            (Purpose::Share { files }, Ok(())) => {
                self.files.hashing = None;
                self.messages.success(now, format!("shared {}", format::files(files)));
            }
            (Purpose::Share { .. }, Err(failure)) => {
                self.files.hashing = None;
                self.messages.fail(now, "share", &failure);
            }
            (Purpose::Unshare { .. } | Purpose::Uncopy, Ok(())) => {}
            (Purpose::Unshare { .. }, Err(failure)) => self.messages.fail(now, "unshare", &failure),
            (Purpose::Uncopy, Err(failure)) => self.messages.fail(now, "drop the copy", &failure),
            (Purpose::Copy, Ok(())) => self.messages.success(now, "the tracker fetches a copy from this device"),
            (Purpose::Copy, Err(failure)) => self.messages.fail(now, "leave a copy on the tracker", &failure),
            (Purpose::Rescan, result) => {
                self.files.hashing = None;
                if let Err(failure) = result {
                    self.messages.fail(now, "look through the shares", &failure);
                }
            }
        }
        let _unused = effects;
    }

    fn watch_ended(&mut self, result: Result<(), Failure>) {
        let tries = self.watch_again.map_or(0, |(_, tries)| tries);
        let cause = result.err().map_or_else(|| "the engine has ended".to_owned(), |failure| failure.message);
        let wait = WATCH_AGAIN_MS << tries.min(5);
        let at = self.now + wait;
        self.watch_again = Some((at, tries + 1));
        self.traffic = Traffic::default();
        if tries == 0 {
            let text = format!("lost the engine: {cause}");
            self.messages.say(
                self.now,
                NoticeLevel::Error,
                text,
                "R asks it again; q quits, transfers resume at the next start",
            );
        }
        self.connection = Connection::Offline { cause, retry_ms: Some(at), tries: tries + 1 };
    }

    fn count_ended(&mut self, call: CallId, result: Result<(), Failure>) {
        let Some(Layer::Share(sharing)) = self.layers.last_mut() else { return };
        if sharing.call != Some(call) {
            return;
        }
        sharing.call = None;
        let share = match (result, sharing.share.take()) {
            (Err(failure), _) => {
                sharing.trouble = Some(failure.message);
                return;
            }
            (Ok(()), None) => return,
            (Ok(()), Some(share)) => Share { dry_run: false, ..share },
        };
        let (files, bytes) = (sharing.files, sharing.bytes);
        let path = share.paths.first().map(|path| show(&path.to_string_lossy())).unwrap_or_default();
        let lines = vec![
            path,
            format!("{}, {}", format::files(files), format::bytes(bytes)),
            String::new(),
            "Every member can see and fetch them. They stay where they are;".to_owned(),
            "x in this list takes them out again.".to_owned(),
        ];
        let yes = Act::Call { command: Command::Share(share), purpose: Purpose::Share { files: 0 } };
        let choices = vec![Choice::new('n', "not now", Act::Close), Choice::new('y', "share", yes)];
        self.layers.pop();
        self.layers.push(Layer::Dialog(Dialog::new("Share this?", lines, choices)));
    }

    fn offer_undo(&mut self, says: &str, ids: Vec<String>, how: Steer) {
        let text = if ids.is_empty() { says.to_owned() } else { format!("{says}  ·  u undo") };
        self.undo = (!ids.is_empty()).then_some(Undo { until: self.now + UNDO_MS, ids, how });
        self.messages.success(self.now, text);
    }

    /// After every event: scrolls lists into view and asks for what is due.
    fn settle(&mut self, effects: &mut Vec<Effect>) {
        self.transfers.settle(self.now, self.pressed_ms);
        let (len, height) = (self.list_len(), usize::from(self.areas().list.height));
        self.list_mut().settle(len, height);
        self.settle_arrangements(effects);
        self.settle_search(effects);
        self.settle_look(effects);
        if let Some(gate) = &self.gate
            && let Probe::Due(at) = gate.probe
            && at <= self.now
        {
            let tracker = gate.tracker.text().trim().to_owned();
            let call = self.call(Command::Probe { tracker }, Purpose::Probe, effects);
            if let Some(gate) = &mut self.gate {
                gate.probe = Probe::Asking(call);
            }
        }
        if let Some(hashing) = &self.files.hashing
            && hashing.files_done >= hashing.files
            && !self.calls.values().any(|purpose| matches!(purpose, Purpose::Rescan | Purpose::Share { .. }))
        {
            self.files.hashing = None;
        }
    }

    fn settle_arrangements(&mut self, effects: &mut Vec<Effect>) {
        let online = self.members.online.clone();
        let now = self.now;
        let files = &mut self.files;
        let lists = [
            (Which::Public, &mut files.public, &files.index, false),
            (Which::Mine, &mut files.mine, &files.index, false),
            (Which::Search, &mut files.search.browse, &files.search.hits, true),
        ];
        for (which, browse, index, flat) in lists {
            if which == Which::Mine && browse.place.is_none() {
                // The shares are shown instead; opening one asks anew.
                browse.rest();
                continue;
            }
            if which == Which::Search && browse.settle_ranked(&files.search.ranked) {
                continue;
            }
            if let Some((generation, wanted)) = browse.poll(index, flat, &online, now) {
                effects.push(Effect::Arrange { which, generation, index: index.clone(), wanted });
            }
        }
    }

    fn settle_search(&mut self, effects: &mut Vec<Effect>) {
        if self.files.search.due.is_none_or(|due| due > self.now) {
            return;
        }
        let query = self.files.search.browse.pane.finder.field.text().trim().to_owned();
        if let Some(call) = self.files.search.call.take() {
            self.forget_call(call, effects);
        }
        let search = &mut self.files.search;
        search.due = None;
        search.failure = None;
        search.answered.clone_from(&query);
        search.hits = Arc::default();
        search.ranked.clear();
        search.browse.go(None, None, self.now);
        if query.is_empty() {
            return;
        }
        let limit = u32::try_from(SEARCH_HITS_MAX).unwrap_or(u32::MAX);
        let call = self.call(Command::Search { query, limit }, Purpose::Search, effects);
        self.files.search.call = Some(call);
    }

    fn settle_look(&mut self, effects: &mut Vec<Effect>) {
        let page = matches!(self.layers.last(), Some(Layer::Page(_)));
        let wanted = self.tab == Tab::Files && (page || self.areas().shape >= Shape::Strip);
        let key = match self.files.selected() {
            Some(item @ Item::File(_)) if wanted => Some(item.key()),
            Some(Item::File(_) | Item::Folder(_)) | None => None,
        };
        if self.files.looked.as_ref().map(|looked| &looked.key) != key.as_ref() {
            if let Some(call) = self.files.looked.take().and_then(|looked| looked.call) {
                self.forget_call(call, effects);
            }
            let due = self.now + LOOK_AFTER_MS;
            self.files.looked = key.map(|key| Looked { key, due: Some(due), call: None, detail: None, failure: None });
        }
        let due = |looked: &Looked| looked.due.is_some_and(|due| due <= self.now);
        if let Some(looked) = self.files.looked.as_ref().filter(|looked| due(looked)) {
            let item = self.item_name(&looked.key);
            let call = self.call(Command::Info { item }, Purpose::Look, effects);
            if let Some(looked) = &mut self.files.looked {
                (looked.due, looked.call) = (None, Some(call));
            }
        }
    }
}

/// Quiet time after typing before the tracker is asked, milliseconds.
const SEARCH_AFTER_MS: i64 = 250;
/// Time that the cursor rests on a file before its sources are asked for, milliseconds.
const LOOK_AFTER_MS: i64 = 150;
/// Time in which the last act can be taken back, milliseconds.
const UNDO_MS: i64 = 10_000;
/// First wait before an engine that went away is asked again, milliseconds; doubled from try to try.
const WATCH_AGAIN_MS: i64 = 1_000;
