//! What keys, clicks and commands do.

use std::path::{Path, PathBuf};

use shared::{id::FolderId, limits::UNASKED_FILES_MAX, show::show, wire::tracker::CopyState};

use super::{
    CallId, Effect, Leaving, Purpose, State, Tab, Target, Undo,
    files::{self, Place},
    format,
    gate::{Gate, Kind, Part, Probe},
    index::{Item, ItemKey, Row, SortBy},
    keys::{self, Action, Context, Key},
    layer::{Act, Choice, Dialog, Layer, Menu, Page, Palette, Sharing},
    layout::Shape,
    list::{List, Step},
    members, transfers,
};
use crate::engine::api::{Command, Direction, FileRow, FolderRow, Get, Share, ShareRow, Steer, TransferState};

impl State {
    pub(super) fn on_key(&mut self, key: Key, effects: &mut Vec<Effect>) {
        self.pressed_ms = self.now;
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
    fn popup_choice(&self, letter: char) -> Option<Act> {
        let choices = match self.layers.last()? {
            Layer::Dialog(dialog) => &dialog.choices,
            Layer::Menu(menu) => &menu.choices,
            Layer::Palette(_) | Layer::Log(_) | Layer::Page(_) | Layer::Share(_) => return None,
        };
        choices.iter().find(|choice| choice.key == letter).map(|choice| choice.act.clone())
    }

    pub(super) fn on_click(&mut self, target: Target, twice: bool, effects: &mut Vec<Effect>) {
        self.pressed_ms = self.now;
        match target {
            Target::Tab(tab) => self.perform(tab.action(), effects),
            Target::View(number) => self.show_view(number),
            Target::Sort(sort) => self.sort_by(sort),
            Target::Line(line) => {
                let (len, height) = (self.list_len(), usize::from(self.areas().list.height));
                self.finder_mut().editing = false;
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
            Target::Part(part) => {
                if let Some(gate) = &mut self.gate {
                    gate.focus = part;
                    if matches!(part, Part::Reveal | Part::Submit | Part::Other | Part::Offline) {
                        self.perform(Action::Accept, effects);
                    }
                }
            }
        }
    }

    fn perform(&mut self, action: Action, effects: &mut Vec<Effect>) {
        match action {
            Action::Download => self.download(effects),
            Action::Open => self.open(),
            Action::In => self.go_in(),
            Action::Out => self.go_out(),
            Action::Mark => self.mark(),
            Action::MarkRange => self.mark_range(),
            Action::MarkInvert => self.mark_invert(),
            Action::Filter => self.finder_mut().editing = true,
            Action::SortMenu => self.open_sort_menu(),
            Action::SortReverse => self.turn_sort(),
            Action::CopyMenu => self.open_copy_menu(),
            Action::ShareAdd => self.open_sharing("", effects),
            Action::Unshare => self.ask_unshare(),
            Action::Rescan => self.rescan(effects),
            Action::KeepCopy => self.keep_copy(effects),
            Action::Undo => self.undo(effects),
            Action::Pause => self.pause(effects),
            Action::PauseAll => self.pause_all(effects),
            Action::Cancel => self.ask_cancel(),
            Action::Retry => self.retry(effects),
            Action::Forget => self.forget(effects),
            Action::ForgetAll => self.forget_all(effects),
            Action::OpenFile => self.open_file(effects),
            Action::OpenFolder => self.open_folder(effects),
            Action::MemberFiles => self.member_files(),
            Action::ShowFiles => self.show_tab(Tab::Files),
            Action::ShowTransfers => self.show_tab(Tab::Transfers),
            Action::ShowMembers => self.show_tab(Tab::Members),
            Action::NextTab => self.turn_tab(1),
            Action::PreviousTab => self.turn_tab(Tab::ALL.len() - 1),
            Action::NextView => self.turn_view(true),
            Action::PreviousView => self.turn_view(false),
            Action::Down => self.step(Step::Down),
            Action::Up => self.step(Step::Up),
            Action::PageDown => self.step(Step::PageDown),
            Action::PageUp => self.step(Step::PageUp),
            Action::First => self.step(Step::First),
            Action::Last => self.step(Step::Last),
            Action::NextNeed => self.next_need(),
            Action::MessageLog => self.open_log(),
            Action::Zoom => self.zoom(),
            Action::Mouse => self.turn_mouse(effects),
            Action::Reconnect => self.reconnect(effects),
            Action::SignIn => self.open_gate(Kind::SignIn),
            Action::Register => self.open_gate(Kind::Register),
            Action::SignOut => self.ask_sign_out(),
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
    fn act(&mut self, act: Act, effects: &mut Vec<Effect>) {
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
            Act::Quit(leaving) => effects.push(Effect::Quit(leaving)),
        }
    }

    // Moving about

    fn step(&mut self, step: Step) {
        let page = usize::from(self.size.1.saturating_sub(4)).max(1);
        match self.layers.last_mut() {
            Some(Layer::Palette(palette)) => {
                let len = palette.listed().len();
                palette.list.step(step, len, page);
                return;
            }
            Some(Layer::Menu(menu)) => {
                let len = menu.choices.len();
                menu.list.step(step, len, len);
                return;
            }
            Some(Layer::Log(list)) => {
                list.step(step, self.messages.log().len(), page);
                return;
            }
            Some(Layer::Page(shown)) => {
                shown.top = match step {
                    Step::Down => shown.top.saturating_add(1),
                    Step::Up => shown.top.saturating_sub(1),
                    Step::PageDown => shown.top.saturating_add(page),
                    Step::PageUp => shown.top.saturating_sub(page),
                    Step::First => 0,
                    // The view stops at the last line.
                    Step::Last => PAGE_LINES_MAX,
                }
                .min(PAGE_LINES_MAX);
                return;
            }
            Some(Layer::Dialog(_) | Layer::Share(_)) | None => {}
        }
        let (len, height) = (self.list_len(), usize::from(self.areas().list.height));
        self.list_mut().step(step, len, height);
    }

    fn show_tab(&mut self, tab: Tab) {
        self.finder_mut().editing = false;
        self.tab = tab;
        self.layers.retain(|layer| !matches!(layer, Layer::Page(_)));
    }

    fn turn_tab(&mut self, by: usize) {
        let at = Tab::ALL.iter().position(|tab| *tab == self.tab).unwrap_or(0);
        self.show_tab(Tab::ALL[(at + by) % Tab::ALL.len()]);
    }

    fn view_number(&self) -> (usize, usize) {
        let at = match self.tab {
            Tab::Files => files::View::ALL.iter().position(|view| *view == self.files.view),
            Tab::Transfers => transfers::View::ALL.iter().position(|view| *view == self.transfers.view),
            Tab::Members => members::View::ALL.iter().position(|view| *view == self.members.view),
        };
        let len = match self.tab {
            Tab::Files => files::View::ALL.len(),
            Tab::Transfers => transfers::View::ALL.len(),
            Tab::Members => members::View::ALL.len(),
        };
        (at.unwrap_or(0), len)
    }

    fn turn_view(&mut self, forward: bool) {
        let (at, len) = self.view_number();
        self.show_view((at + if forward { 1 } else { len - 1 }) % len);
    }

    fn show_view(&mut self, number: usize) {
        self.finder_mut().editing = false;
        match self.tab {
            Tab::Files => {
                let Some(view) = files::View::ALL.get(number) else { return };
                self.files.view = *view;
                // An empty search is there to be typed into.
                let search = &mut self.files.search.browse.pane.finder;
                search.editing = *view == files::View::Search && search.field.is_empty();
            }
            Tab::Transfers => {
                let Some(view) = transfers::View::ALL.get(number) else { return };
                self.transfers.show(*view);
            }
            Tab::Members => {
                let Some(view) = members::View::ALL.get(number) else { return };
                self.members.view = *view;
                self.members.pane.list = List::default();
                self.members.arrange();
            }
        }
    }

    fn open(&mut self) {
        match self.tab {
            Tab::Members => self.member_files(),
            Tab::Transfers if self.transfers.selected().is_none() => {
                self.messages.warn(self.now, "there is no transfer here to open");
            }
            Tab::Transfers => self.layers.push(Layer::Page(Page::default())),
            Tab::Files if self.opens_folder() => self.go_in(),
            Tab::Files if self.list_len() == 0 => {
                self.messages.warn(self.now, "there is nothing here to open");
            }
            Tab::Files => self.layers.push(Layer::Page(Page::default())),
        }
    }

    fn opens_folder(&self) -> bool {
        match self.files.at_shares() {
            true => self.files.selected_share().is_some_and(|share| share.folder),
            false => matches!(self.files.selected(), Some(Item::Folder(_))),
        }
    }

    fn go_in(&mut self) {
        let now = self.now;
        if self.files.at_shares() {
            let name = self.files.selected_share().filter(|share| share.folder).map(|share| share.name.clone());
            match (name, self.me().map(|me| me.name.clone())) {
                (Some(name), Some(me)) => {
                    let place = Place { owner: me.as_str().into(), path: name.as_str().into() };
                    self.files.mine.go(Some(place), None, now);
                }
                (None, _) => self.messages.warn(now, "only folders can be entered; Enter shows the details"),
                (_, None) => self.messages.warn(now, "sign in to see what is in the folder"),
            }
            return;
        }
        let Some(Item::Folder(folder)) = self.files.selected() else {
            self.messages.warn(now, "only folders can be entered; Enter shows the details");
            return;
        };
        let place = Place { owner: folder.owner.clone(), path: (*folder.path).into() };
        let (owner, path) = (place.owner.clone(), place.path.clone());
        if self.files.view == files::View::Search {
            self.files.view = files::View::Public;
        }
        let (browse, _) = self.files.browse_mut();
        browse.pane.finder.field.clear();
        browse.pane.finder.filter = super::filter::Filter::default();
        browse.go(Some(Place { owner, path }), None, now);
    }

    fn go_out(&mut self) {
        let now = self.now;
        let at_search = self.files.view == files::View::Search;
        let me = self.me().map(|me| me.name.clone());
        let mine = self.files.view == files::View::Mine;
        let (browse, _) = self.files.browse_mut();
        let Some(place) = browse.place.clone().filter(|_| !at_search) else {
            self.messages.warn(now, "this is the top");
            return;
        };
        let key = ItemKey::Folder { owner: place.owner.clone(), path: place.path.clone() };
        let parent = place.path.rsplit_once('/').map(|(parent, _)| parent);
        let shares_above = mine && me.as_deref() == Some(&*place.owner) && parent.is_none();
        let up = match parent {
            Some(parent) => Some(Place { owner: place.owner.clone(), path: parent.into() }),
            None => None,
        };
        browse.go(up, (!shares_above).then_some(key), now);
    }

    fn member_files(&mut self) {
        let Some(member) = self.members.selected() else {
            self.messages.warn(self.now, "there is no member under the cursor");
            return;
        };
        let place = Place { owner: member.name.as_str().into(), path: "".into() };
        self.show_tab(Tab::Files);
        self.files.view = files::View::Public;
        let now = self.now;
        let public = &mut self.files.public;
        public.pane.finder.field.clear();
        public.pane.finder.filter = super::filter::Filter::default();
        public.go(Some(place), None, now);
    }

    fn next_need(&mut self) {
        if self.transfers.count(transfers::View::Failed) > 0 {
            self.show_tab(Tab::Transfers);
            self.transfers.show(transfers::View::Failed);
        } else if self.messages.unseen() > 0 {
            self.open_log();
        } else {
            self.messages.success(self.now, "nothing needs you now");
        }
    }

    // Marks, order, filter

    fn mark(&mut self) {
        let now = self.now;
        match self.tab {
            Tab::Files if self.files.at_shares() => {
                self.messages.warn(now, "shares are acted on one by one");
                return;
            }
            Tab::Files => {
                let Some(key) = self.files.selected().map(|item| item.key()) else { return };
                self.files.browse_mut().0.pane.toggle(key);
            }
            Tab::Transfers => {
                let Some(id) = self.transfers.selected().map(|transfer| transfer.row.id.clone()) else { return };
                self.transfers.pane.toggle(id);
            }
            Tab::Members => {
                self.messages.warn(now, "members are acted on one by one");
                return;
            }
        }
        self.step(Step::Down);
    }

    fn mark_range(&mut self) {
        let marked = match self.tab {
            Tab::Files if !self.files.at_shares() => {
                let (browse, index) = match self.files.view {
                    files::View::Public => (&mut self.files.public, &self.files.index),
                    files::View::Mine => (&mut self.files.mine, &self.files.index),
                    files::View::Search => (&mut self.files.search.browse, &self.files.search.hits),
                };
                let order = &browse.order;
                let key_at = |at: usize| Some(index.item(*order.get(at)?)?.key());
                browse.pane.range(key_at)
            }
            Tab::Transfers => {
                let order = &self.transfers.order;
                self.transfers.pane.range(|at| order.get(at).cloned())
            }
            Tab::Files | Tab::Members => {
                self.messages.warn(self.now, "these are acted on one by one");
                return;
            }
        };
        if !marked {
            self.messages.success(self.now, "range begins here: move, then v again marks it");
        }
    }

    fn mark_invert(&mut self) {
        match self.tab {
            Tab::Files if !self.files.at_shares() => {
                let (browse, index) = self.files.browse();
                let keys: Vec<ItemKey> =
                    browse.order.iter().filter_map(|entry| Some(index.item(*entry)?.key())).collect();
                self.files.browse_mut().0.pane.invert(keys.into_iter());
            }
            Tab::Transfers => {
                let ids = self.transfers.order.clone();
                self.transfers.pane.invert(ids.into_iter());
            }
            Tab::Files | Tab::Members => self.messages.warn(self.now, "these are acted on one by one"),
        }
    }

    fn sort_columns(&self) -> &'static [(char, SortBy)] {
        match self.tab {
            Tab::Files if self.files.at_shares() => &[('n', SortBy::Name), ('s', SortBy::Size), ('f', SortBy::Shares)],
            Tab::Files if self.files.view == files::View::Search => &[
                ('m', SortBy::Match),
                ('n', SortBy::Name),
                ('s', SortBy::Size),
                ('v', SortBy::Sources),
                ('o', SortBy::Owner),
                ('a', SortBy::Added),
            ],
            Tab::Files => &[
                ('n', SortBy::Name),
                ('s', SortBy::Size),
                ('v', SortBy::Sources),
                ('o', SortBy::Owner),
                ('a', SortBy::Added),
            ],
            Tab::Transfers => &[
                ('a', SortBy::Added),
                ('n', SortBy::Name),
                ('s', SortBy::Size),
                ('p', SortBy::Progress),
                ('v', SortBy::Speed),
                ('l', SortBy::Left),
                ('o', SortBy::Owner),
            ],
            Tab::Members => &[
                ('p', SortBy::Status),
                ('n', SortBy::Name),
                ('s', SortBy::Shares),
                ('f', SortBy::FromThem),
                ('t', SortBy::ToThem),
            ],
        }
    }

    fn open_sort_menu(&mut self) {
        let (now, _) = self.sort();
        let columns = self.sort_columns();
        let choices = columns.iter().map(|(key, sort)| Choice::new(*key, sort.title(), Act::Sort(*sort))).collect();
        let mut menu = Menu { title: "Sort by".to_owned(), choices, list: List::default() };
        menu.list.cursor = columns.iter().position(|(_, sort)| *sort == now).unwrap_or(0);
        self.layers.push(Layer::Menu(menu));
    }

    fn sort_by(&mut self, sort: SortBy) {
        if !self.sort_columns().iter().any(|(_, column)| *column == sort) {
            self.messages.warn(self.now, "this list is not sorted by that");
            return;
        }
        let (before, reverse) = self.sort();
        self.set_sort(sort, before == sort && !reverse);
    }

    fn turn_sort(&mut self) {
        let (sort, reverse) = self.sort();
        self.set_sort(sort, !reverse);
    }

    fn set_sort(&mut self, sort: SortBy, reverse: bool) {
        let now = self.now;
        match self.tab {
            Tab::Files if self.files.at_shares() => {
                (self.files.share_pane.sort, self.files.share_pane.reverse) = (sort, reverse);
                self.files.arrange_shares();
            }
            Tab::Files => {
                let (browse, _) = self.files.browse_mut();
                (browse.pane.sort, browse.pane.reverse) = (sort, reverse);
                browse.refresh(now);
            }
            Tab::Transfers => {
                (self.transfers.pane.sort, self.transfers.pane.reverse) = (sort, reverse);
                self.transfers.arrange_now();
            }
            Tab::Members => {
                (self.members.pane.sort, self.members.pane.reverse) = (sort, reverse);
                self.members.arrange();
            }
        }
    }

    // Files

    /// Marked items, or the one under the cursor.
    fn chosen(&self) -> Vec<ItemKey> {
        let (browse, _) = self.files.browse();
        if browse.pane.marks.is_empty() {
            self.files.selected().map(|item| item.key()).into_iter().collect()
        } else {
            browse.pane.marks.iter().cloned().collect()
        }
    }

    /// The name by which the engine knows an item.
    pub(super) fn item_name(&self, key: &ItemKey) -> String {
        match key {
            ItemKey::File(id) => id.to_string(),
            ItemKey::Folder { owner, path } => {
                let owner_id = self.members.all.iter().find(|member| *member.name == **owner).map(|member| member.id);
                let owner_id = owner_id.or_else(|| self.me().filter(|me| *me.name == **owner).map(|me| me.id));
                owner_id.map_or_else(|| format!("{owner}/{path}"), |id| FolderId::of_path(id, path).to_string())
            }
        }
    }

    /// Whether the item is being fetched now.
    #[must_use]
    pub fn fetching(&self, key: &ItemKey) -> bool {
        !self.transfers.fetching.is_empty() && self.transfers.fetching.contains(&self.item_name(key))
    }

    fn download(&mut self, effects: &mut Vec<Effect>) {
        let (_, index) = self.files.browse();
        let chosen = self.chosen();
        let (mut files, mut bytes, mut had, mut going, mut wanted) = (0, 0_u64, 0, 0, Vec::new());
        let mut name = String::new();
        for key in &chosen {
            match index.find(key).and_then(|entry| index.item(entry)) {
                Some(Item::File(row)) if row.have => had += 1,
                Some(_) if self.fetching(key) => going += 1,
                Some(Item::File(row)) => {
                    (files, bytes) = (files + 1, bytes.saturating_add(row.size));
                    name = show(row.name());
                    wanted.push(key);
                }
                Some(Item::Folder(folder)) if folder.mine => had += 1,
                Some(Item::Folder(folder)) => {
                    (files, bytes) = (files + folder.files, bytes.saturating_add(folder.size));
                    name = format!("{}/", show(folder.name()));
                    wanted.push(key);
                }
                None => {}
            }
        }
        let reason = match (chosen.len(), had) {
            (0, _) => Some("there is nothing under the cursor to fetch"),
            (1, 1) => Some("you have it already"),
            (1, _) if going == 1 => Some("it is being fetched already: 2 shows how far it is"),
            (all, had) if all == had => Some("you have all of them already"),
            (all, had) if all == had + going => Some("you have them or fetch them already"),
            _ if wanted.is_empty() => Some("they are no longer in the index"),
            _ => None,
        };
        if let Some(reason) = reason {
            self.messages.warn(self.now, reason);
            return;
        }
        let what = match wanted.len() {
            1 => name,
            some => format!("{} items", format::count(some as u64)),
        };
        let sum = if files == 1 {
            format::bytes(bytes)
        } else {
            format!("{}, {}", format::files(files), format::bytes(bytes))
        };
        let items = wanted.into_iter().map(|key| self.item_name(key)).collect();
        let command = Command::Get(Get { items, detach: true, wait: true, ..Get::default() });
        let purpose = Purpose::Get { ids: Vec::new(), says: format!("fetching {what} ({sum})") };
        if files > UNASKED_FILES_MAX {
            let lines = vec![format!("{what}: {sum}"), self.target_line()];
            let choices = vec![
                Choice::new('n', "not now", Act::Close),
                Choice::new('y', "fetch them", Act::Call { command, purpose }),
            ];
            self.layers.push(Layer::Dialog(Dialog::new("Fetch so many files?", lines, choices)));
            return;
        }
        self.act(Act::Call { command, purpose }, effects);
    }

    fn target_line(&self) -> String {
        let downloads = self.downloads.as_ref().map(|path| self.tilde(path));
        downloads.map_or_else(|| "They go to the download folder.".to_owned(), |path| format!("They go to {path}."))
    }

    /// A local path with the home folder as `~`, cleaned.
    #[must_use]
    pub fn tilde(&self, path: &Path) -> String {
        let inside = self.setup.home.as_deref().and_then(|home| path.strip_prefix(home).ok());
        match inside {
            Some(rest) if rest.as_os_str().is_empty() => "~".to_owned(),
            Some(rest) => format!("~/{}", show(&rest.to_string_lossy())),
            None => show(&path.to_string_lossy()),
        }
    }

    pub(super) fn open_sharing(&mut self, path: &str, effects: &mut Vec<Effect>) {
        if self.me().is_none() {
            self.messages.warn(self.now, "sign in first: `:` sign-in");
            return;
        }
        let start = if path.is_empty() { "~/" } else { path };
        self.layers.push(Layer::Share(Sharing::new(start)));
        effects.push(Effect::Complete { typed: expand_home(start, self.setup.home.as_deref()) });
    }

    fn complete(&mut self, effects: &mut Vec<Effect>) {
        let home = self.setup.home.clone();
        let Some(Layer::Share(sharing)) = self.layers.last_mut() else { return };
        let Some(first) = sharing.suggestions.first() else {
            self.messages.warn(self.now, "no path begins so");
            return;
        };
        let common = sharing.suggestions.iter().fold(first.as_str(), |common, other| common_start(common, other));
        let typed = expand_home(sharing.field.text(), home.as_deref());
        let next = if common.len() > typed.len() { common.to_owned() } else { first.clone() };
        sharing.field.set(&next);
        effects.push(Effect::Complete { typed: next });
    }

    fn count_share(&mut self, effects: &mut Vec<Effect>) {
        let home = self.setup.home.clone();
        let Some(Layer::Share(sharing)) = self.layers.last_mut() else { return };
        if sharing.call.is_some() {
            return;
        }
        let path = PathBuf::from(expand_home(sharing.field.text(), home.as_deref()));
        if !path.is_absolute() {
            sharing.trouble = Some("write the whole path, beginning with / or ~".to_owned());
            return;
        }
        (sharing.files, sharing.bytes, sharing.folder, sharing.trouble) = (0, 0, false, None);
        let share = Share { paths: vec![path], dry_run: true, ..Share::default() };
        sharing.share = Some(share.clone());
        let call = self.call(Command::Share(share), Purpose::Count, effects);
        if let Some(Layer::Share(sharing)) = self.layers.last_mut() {
            sharing.call = Some(call);
        }
    }

    fn ask_unshare(&mut self) {
        let Some(me) = self.me().map(|me| me.name.clone()) else {
            self.messages.warn(self.now, "sign in first: `:` sign-in");
            return;
        };
        let (items, what, files) = if self.files.at_shares() {
            let Some(share) = self.files.selected_share() else {
                self.messages.warn(self.now, "there is no share under the cursor; a shares something");
                return;
            };
            (vec![self.share_name(share, &me)], show(&share.name), share.files)
        } else {
            let (_, index) = self.files.browse();
            let chosen = self.chosen();
            let files =
                chosen.iter().filter_map(|key| index.find(key)).filter_map(|entry| index.item(entry)).map(|item| {
                    match item {
                        Item::File(_) => 1,
                        Item::Folder(folder) => folder.files,
                    }
                });
            let files: u64 = files.sum();
            let what = match self.files.selected() {
                Some(Item::File(row)) if chosen.len() == 1 => show(row.name()),
                Some(Item::Folder(folder)) if chosen.len() == 1 => format!("{}/", show(folder.name())),
                _ => format!("{} items", format::count(chosen.len() as u64)),
            };
            if chosen.is_empty() {
                self.messages.warn(self.now, "there is nothing under the cursor to unshare");
                return;
            }
            (chosen.iter().map(|key| self.item_name(key)).collect(), what, files)
        };
        let lines = vec![
            format!("{what}: {}", format::files(files)),
            "Members no longer see or fetch it, and running uploads of it stop.".to_owned(),
            "The tracker's copies of it go. Your own files stay as they are.".to_owned(),
        ];
        let act = Act::Call { command: Command::Unshare { items }, purpose: Purpose::Unshare { name: what } };
        let choices = vec![Choice::new('n', "keep sharing", Act::Close), Choice::new('y', "unshare", act)];
        self.layers.push(Layer::Dialog(Dialog::new("Unshare?", lines, choices)));
    }

    fn share_name(&self, share: &ShareRow, me: &str) -> String {
        if share.folder {
            self.item_name(&ItemKey::Folder { owner: me.into(), path: share.name.as_str().into() })
        } else {
            format!("{me}/{}", share.name)
        }
    }

    fn rescan(&mut self, effects: &mut Vec<Effect>) {
        if self.calls.values().any(|purpose| *purpose == Purpose::Rescan) {
            self.messages.warn(self.now, "the shares are being looked through already");
            return;
        }
        self.call(Command::Rescan, Purpose::Rescan, effects);
        self.messages.success(self.now, "looking through the shares…");
    }

    fn keep_copy(&mut self, effects: &mut Vec<Effect>) {
        let Some(me) = self.me().map(|me| me.name.clone()) else {
            self.messages.warn(self.now, "sign in first: `:` sign-in");
            return;
        };
        let folder_menu = |items: Vec<String>| Menu {
            title: "Copies on the tracker".to_owned(),
            choices: vec![
                Choice::new(
                    'k',
                    "keep a copy of every file in it",
                    Act::Call { command: Command::Copy { items: items.clone(), wait: false }, purpose: Purpose::Copy },
                ),
                Choice::new(
                    'd',
                    "drop the copies of it",
                    Act::Call { command: Command::Uncopy { items }, purpose: Purpose::Uncopy },
                ),
            ],
            list: List::default(),
        };
        if self.files.at_shares() {
            match self.files.selected_share() {
                Some(share) => {
                    let menu = folder_menu(vec![self.share_name(share, &me)]);
                    self.layers.push(Layer::Menu(menu));
                }
                None => self.messages.warn(self.now, "there is no share under the cursor; a shares something"),
            }
            return;
        }
        match self.files.selected() {
            None => self.messages.warn(self.now, "there is nothing under the cursor"),
            Some(Item::File(row)) if !row.mine => {
                let text = format!("only {} can keep a copy of it on the tracker", show(&row.owner));
                self.messages.warn(self.now, text);
            }
            Some(Item::Folder(folder)) if !folder.mine => {
                let text = format!("only {} can keep copies of it on the tracker", show(&folder.owner));
                self.messages.warn(self.now, text);
            }
            Some(item @ Item::Folder(_)) => {
                let menu = folder_menu(vec![self.item_name(&item.key())]);
                self.layers.push(Layer::Menu(menu));
            }
            Some(Item::File(row)) => {
                let items = vec![row.id.to_string()];
                let (command, purpose) = match row.copy {
                    CopyState::Absent => (Command::Copy { items, wait: false }, Purpose::Copy),
                    CopyState::Pending | CopyState::Stored => (Command::Uncopy { items }, Purpose::Uncopy),
                };
                self.call(command, purpose, effects);
            }
        }
    }

    // Transfers

    fn chosen_transfers(&self) -> Vec<String> {
        if self.transfers.pane.marks.is_empty() {
            self.transfers.selected().map(|transfer| transfer.row.id.clone()).into_iter().collect()
        } else {
            self.transfers.pane.marks.iter().cloned().collect()
        }
    }

    fn named(&self, ids: &[String]) -> String {
        match ids {
            [id] => self.transfers.all.get(id).map_or_else(String::new, |transfer| show(&transfer.row.name)),
            many => format::plural(many.len() as u64, "transfer", "transfers"),
        }
    }

    fn steer(&mut self, ids: Vec<String>, how: Steer, says: String, undo: Option<Steer>, effects: &mut Vec<Effect>) {
        if ids.is_empty() {
            self.messages.warn(self.now, "there is no transfer under the cursor");
            return;
        }
        let undo = undo.map(|how| (ids.clone(), how));
        self.call(Command::Steer { transfers: ids, how }, Purpose::Steer { says, undo }, effects);
        self.transfers.pane.marks.clear();
    }

    fn pause(&mut self, effects: &mut Vec<Effect>) {
        let ids = self.chosen_transfers();
        let paused = |id: &String| self.transfers.all.get(id).is_some_and(|t| t.row.state == TransferState::Paused);
        let name = self.named(&ids);
        if ids.iter().all(paused) {
            self.steer(ids, Steer::Resume, format!("{name} goes on"), Some(Steer::Pause), effects);
        } else {
            self.steer(ids, Steer::Pause, format!("{name} paused"), Some(Steer::Resume), effects);
        }
    }

    fn pause_all(&mut self, effects: &mut Vec<Effect>) {
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

    fn ask_cancel(&mut self) {
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

    fn retry(&mut self, effects: &mut Vec<Effect>) {
        let ids = self.chosen_transfers();
        let says = format!("trying {} again", self.named(&ids));
        self.steer(ids, Steer::Retry, says, None, effects);
    }

    fn forget(&mut self, effects: &mut Vec<Effect>) {
        let ids = self.chosen_transfers();
        let says = format!("{} taken off the list; the files stay", self.named(&ids));
        self.steer(ids, Steer::Clear, says, None, effects);
    }

    fn forget_all(&mut self, effects: &mut Vec<Effect>) {
        let ids = self.transfers.order.clone();
        let says = format!("{} taken off the list; the files stay", self.named(&ids));
        self.steer(ids, Steer::Clear, says, None, effects);
    }

    fn open_file(&mut self, effects: &mut Vec<Effect>) {
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

    fn open_folder(&mut self, effects: &mut Vec<Effect>) {
        match self.transfers.selected().and_then(|transfer| transfer.row.path.parent()) {
            Some(folder) => effects.push(Effect::Open { path: folder.to_owned() }),
            None => self.messages.warn(self.now, "there is no transfer under the cursor"),
        }
    }

    fn undo(&mut self, effects: &mut Vec<Effect>) {
        match self.undo.take() {
            Some(Undo { ids, how, .. }) => {
                let says = format!("taken back: {}", self.named(&ids));
                self.call(Command::Steer { transfers: ids, how }, Purpose::Steer { says, undo: None }, effects);
            }
            None => self.messages.warn(self.now, "there is nothing to take back"),
        }
    }

    // Popups

    fn open_copy_menu(&mut self) {
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
            Tab::Members => self
                .members
                .selected()
                .map(|member| vec![copy('n', "name", "name", show(&member.name)), json(serde_json::to_string(member))]),
        };
        match choices {
            Some(choices) => {
                self.layers.push(Layer::Menu(Menu { title: "Copy".to_owned(), choices, list: List::default() }));
            }
            None => self.messages.warn(self.now, "there is nothing under the cursor to copy"),
        }
    }

    fn open_palette(&mut self, help: bool) {
        if matches!(self.layers.last(), Some(Layer::Palette(_))) {
            return;
        }
        let palette = Palette::new(help, self.contexts());
        self.layers.push(Layer::Palette(palette));
    }

    fn open_log(&mut self) {
        self.messages.seen();
        self.layers.push(Layer::Log(List::default()));
    }

    fn open_gate(&mut self, kind: Kind) {
        let me = self.me().map(|me| (me.tracker.clone(), me.name.clone()));
        let (tracker, user) = me.unwrap_or_else(|| (self.setup.tracker_hint.clone(), self.setup.account_hint.clone()));
        self.gate = Some(Gate::new(kind, &tracker, &user, self.now));
    }

    fn ask_sign_out(&mut self) {
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

    fn zoom(&mut self) {
        self.zoom = !self.zoom;
        if self.areas_for(self.size).shape < Shape::Strip {
            self.messages.success(self.now, "the list has the whole screen already");
        }
    }

    fn turn_mouse(&mut self, effects: &mut Vec<Effect>) {
        self.mouse = !self.mouse;
        effects.push(Effect::Mouse(self.mouse));
        let text =
            if self.mouse { "the mouse works here again" } else { "the mouse selects text now; % takes it back" };
        self.messages.success(self.now, text);
    }

    fn reconnect(&mut self, effects: &mut Vec<Effect>) {
        if self.watch_again.is_some() && !self.calls.values().any(|purpose| *purpose == Purpose::Watch) {
            self.watch(effects);
        } else {
            self.call(Command::Reconnect, Purpose::Reconnect, effects);
        }
        self.messages.success(self.now, "trying the tracker now");
    }

    fn next_field(&mut self, forward: bool) {
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

    fn edit(&mut self, action: Action, effects: &mut Vec<Effect>) {
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

    fn accept(&mut self, effects: &mut Vec<Effect>) {
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
                self.layers.pop();
                if chosen.here {
                    self.perform(chosen.action, effects);
                } else {
                    self.perform_elsewhere(chosen.action, chosen.context, effects);
                }
            }
            Some(Layer::Share(_)) => self.count_share(effects),
            Some(Layer::Log(_) | Layer::Page(_)) => {}
            None if self.gate.is_some() => self.press_in_gate(effects),
            None => self.keep_filter(effects),
        }
    }

    /// A command of another place was chosen: goes there. What acts on the item under the cursor is then left to a key
    /// press, because that item has only now come into view.
    fn perform_elsewhere(&mut self, action: Action, context: Context, effects: &mut Vec<Effect>) {
        let place = match context {
            Context::Files | Context::Public => Some((Tab::Files, Some(0))),
            Context::Mine => Some((Tab::Files, Some(1))),
            Context::Search => Some((Tab::Files, Some(2))),
            Context::Transfers => Some((Tab::Transfers, None)),
            Context::Active => Some((Tab::Transfers, Some(0))),
            Context::Done => Some((Tab::Transfers, Some(3))),
            Context::Failed => Some((Tab::Transfers, Some(4))),
            Context::Members => Some((Tab::Members, None)),
            Context::Always
            | Context::Panes
            | Context::Page
            | Context::Typing
            | Context::Filter
            | Context::Form
            | Context::Share
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
        if matches!(action, Action::ShareAdd | Action::Rescan) {
            self.perform(action, effects);
        } else {
            let key = keys::key_of(&self.contexts(), action).map(Key::label).unwrap_or_default();
            self.messages
                .success(self.now, format!("{}: {key} does it here, for what is under the cursor", action.name()));
        }
    }

    fn keep_filter(&mut self, effects: &mut Vec<Effect>) {
        self.finder_mut().editing = false;
        if self.tab == Tab::Files && self.files.view == files::View::Search && self.files.search.due.is_some() {
            self.files.search.due = Some(self.now);
            self.settle_search(effects);
        }
    }

    fn press_in_gate(&mut self, effects: &mut Vec<Effect>) {
        let Some(gate) = &mut self.gate else { return };
        let last_field = gate
            .parts()
            .iter()
            .rfind(|part| !matches!(part, Part::Reveal | Part::Submit | Part::Other | Part::Offline));
        match gate.focus {
            Part::Reveal => gate.reveal = !gate.reveal,
            Part::Other => gate.turn(),
            Part::Offline => self.gate = None,
            focus if focus == Part::Submit || last_field == Some(&focus) => self.submit(effects),
            _ => gate.step(true),
        }
    }

    fn submit(&mut self, effects: &mut Vec<Effect>) {
        let Some(gate) = &mut self.gate else { return };
        if gate.call.is_some() {
            return;
        }
        gate.tried = true;
        gate.failure = None;
        if let Some(wrong) = gate.parts().iter().find(|part| gate.trouble(**part).is_some()) {
            gate.focus = *wrong;
            return;
        }
        let command = gate.command();
        let new = gate.kind == Kind::Register;
        let call = self.call(command, Purpose::Enter { new }, effects);
        if let Some(gate) = &mut self.gate {
            gate.call = Some(call);
        }
    }

    /// Closes what is on top, then clears, then says what `q` does.
    fn back(&mut self, effects: &mut Vec<Effect>) {
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
                (None, Kind::Register) => gate.turn(),
                (None, Kind::SignIn) => {
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
                Tab::Members => self.members.pane.marks.clear(),
            }
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

    fn quit(&mut self, effects: &mut Vec<Effect>) {
        if self.layers.pop().is_some() {
            return;
        }
        let running = self.transfers.unfinished();
        let stop = Leaving { stop_engine: true, unfinished: running };
        let leave = Leaving { stop_engine: false, unfinished: running };
        if running == 0 {
            effects.push(Effect::Quit(Leaving { stop_engine: !self.setup.engine_is_separate, unfinished: 0 }));
            return;
        }
        let mut choices = vec![Choice::new('n', "stay", Act::Close)];
        if self.setup.engine_is_separate {
            choices.push(Choice::new('b', "leave them to the background engine", Act::Quit(leave)));
        }
        choices.push(Choice::new('s', "stop, resume next time", Act::Quit(stop)));
        let lines = vec![
            format!("{} under way.", format::plural(running as u64, "transfer is", "transfers are")),
            "Nothing that was fetched is lost.".to_owned(),
        ];
        self.layers.push(Layer::Dialog(Dialog::new("Quit?", lines, choices)));
    }

    fn quit_now(&mut self, effects: &mut Vec<Effect>) {
        if self.now < self.quit_armed_until {
            let leaving = self.leaving(!self.setup.engine_is_separate);
            effects.push(Effect::Quit(leaving));
            return;
        }
        self.quit_armed_until = self.now + QUIT_ARMED_MS;
        self.messages.warn(self.now, "C-c again quits now; transfers resume next time");
    }
}

impl SortBy {
    /// The column's name.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Name => "name",
            Self::Size => "size",
            Self::Sources => "sources",
            Self::Owner => "owner",
            Self::Added => "added",
            Self::Progress => "progress",
            Self::Speed => "speed",
            Self::Left => "time left",
            Self::Status => "status",
            Self::Shares => "files",
            Self::FromThem => "from them",
            Self::ToThem => "to them",
        }
    }
}

impl Row {
    /// The row as the engine told it.
    #[must_use]
    pub fn to_wire(&self) -> FileRow {
        FileRow {
            id: self.id,
            name: self.name().to_owned(),
            path: self.path.to_string(),
            size: self.size,
            hash: self.hash,
            visibility: self.audience.to_string(),
            protected: self.protected,
            version: self.version,
            owner: self.owner.to_string(),
            note: self.note.as_deref().unwrap_or_default().to_owned(),
            copy: self.copy,
            modified_ms: self.modified_ms,
            shared_ms: self.shared_ms,
            mine: self.mine,
            have: self.have,
            available: self.available,
            link: self.link(),
        }
    }
}

/// Puts the home folder in place of a leading `~`.
#[must_use]
pub fn expand_home(text: &str, home: Option<&Path>) -> String {
    match (text.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            format!("{}{rest}", home.to_string_lossy())
        }
        _ => text.to_owned(),
    }
}

fn common_start<'a>(one: &'a str, other: &str) -> &'a str {
    let same = one.char_indices().zip(other.chars()).take_while(|((_, a), b)| a == b);
    let end = same.last().map_or(0, |((at, c), _)| at + c.len_utf8());
    &one[..end]
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
/// Time in which the second Ctrl-C quits, milliseconds.
const QUIT_ARMED_MS: i64 = 2_000;
/// Columns of a value shown in the copy menu.
const COPY_PREVIEW: usize = 44;
/// A page of details is never longer.
const PAGE_LINES_MAX: usize = 1_000;
