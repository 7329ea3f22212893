//! Moving about: cursors, tabs, views, folders, and the marks and order of lists.

use crate::{
    app::{
        Effect, State, Tab, chat,
        chat::Room,
        files::{self, Place},
        filter::Filter,
        inbox,
        index::{Item, ItemKey, SortBy},
        layer::{Act, Choice, Layer, Menu, Page},
        list::{List, Step},
        members, transfers,
    },
    engine::api::{ItemKind, ItemRow},
};

impl State {
    /// Pages through a conversation, or goes through what is on top.
    pub(in crate::app) fn step_or_page(&mut self, step: Step, effects: &mut Vec<Effect>) {
        if !self.page_talk(step, effects) {
            self.step(step);
        }
    }

    pub(in crate::app) fn step(&mut self, step: Step) {
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
            Some(Layer::Take(_)) => return self.step_offered(step),
            Some(Layer::Dialog(_) | Layer::Share(_) | Layer::Prompt(_)) | None => {}
        }
        let (len, height) = (self.list_len(), usize::from(self.areas().list.height));
        self.list_mut().step(step, len, height);
    }

    pub(in crate::app) fn show_tab(&mut self, tab: Tab) {
        self.finder_mut().editing = false;
        self.stop_writing();
        if tab == Tab::Chat && self.tab != tab {
            let waits = |item: &&ItemRow| item.kind == ItemKind::Offer && inbox::waits(item);
            let offers = self.inbox.all.iter().filter(waits).map(|item| (item.id.clone(), Room::of(&item.from)));
            self.chat.show_news(offers.collect());
        }
        self.tab = tab;
        self.layers.retain(|layer| !matches!(layer, Layer::Page(_)));
    }

    pub(in crate::app) fn turn_tab(&mut self, by: usize) {
        let at = Tab::ALL.iter().position(|tab| *tab == self.tab).unwrap_or(0);
        self.show_tab(Tab::ALL[(at + by) % Tab::ALL.len()]);
    }

    pub(in crate::app) fn view_number(&self) -> (usize, usize) {
        let at = match self.tab {
            Tab::Files => files::View::ALL.iter().position(|view| *view == self.files.view),
            Tab::Transfers => transfers::View::ALL.iter().position(|view| *view == self.transfers.view),
            Tab::Inbox => inbox::View::ALL.iter().position(|view| *view == self.inbox.view),
            Tab::Members => members::View::ALL.iter().position(|view| *view == self.members.view),
            Tab::Chat => chat::View::ALL.iter().position(|view| *view == self.chat.view),
        };
        let len = match self.tab {
            Tab::Files => files::View::ALL.len(),
            Tab::Transfers => transfers::View::ALL.len(),
            Tab::Inbox => inbox::View::ALL.len(),
            Tab::Members => members::View::ALL.len(),
            Tab::Chat => chat::View::ALL.len(),
        };
        (at.unwrap_or(0), len)
    }

    pub(in crate::app) fn turn_view(&mut self, forward: bool) {
        let (at, len) = self.view_number();
        self.show_view((at + if forward { 1 } else { len - 1 }) % len);
    }

    pub(in crate::app) fn show_view(&mut self, number: usize) {
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
            Tab::Inbox => {
                let Some(view) = inbox::View::ALL.get(number) else { return };
                self.inbox.show(*view);
            }
            Tab::Members => {
                let Some(view) = members::View::ALL.get(number) else { return };
                self.members.view = *view;
                self.members.pane.list = List::default();
                self.members.arrange();
            }
            Tab::Chat => {
                let Some(view) = chat::View::ALL.get(number) else { return };
                self.show_rooms(*view);
            }
        }
    }

    pub(in crate::app) fn open(&mut self, effects: &mut Vec<Effect>) {
        match self.tab {
            Tab::Members => self.member_files(),
            Tab::Inbox => self.open_item(),
            Tab::Chat if self.at_card() => self.open_card(effects),
            Tab::Chat => self.open_room(),
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

    pub(in crate::app) fn opens_folder(&self) -> bool {
        match self.files.at_shares() {
            true => self.files.selected_share().is_some_and(|share| share.folder),
            false => matches!(self.files.selected(), Some(Item::Folder(_))),
        }
    }

    pub(in crate::app) fn go_in(&mut self) {
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
        browse.pane.finder.filter = Filter::default();
        browse.go(Some(Place { owner, path }), None, now);
    }

    pub(in crate::app) fn go_out(&mut self) {
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

    pub(in crate::app) fn member_files(&mut self) {
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
        public.pane.finder.filter = Filter::default();
        public.go(Some(place), None, now);
    }

    pub(in crate::app) fn next_need(&mut self) {
        if self.inbox.waiting() > 0 && self.tab != Tab::Inbox {
            self.show_tab(Tab::Inbox);
            self.inbox.show(inbox::View::ForMe);
        } else if self.chat.unread() > 0 && self.tab != Tab::Chat {
            self.show_tab(Tab::Chat);
            self.chat.pane.list = List::default();
        } else if self.transfers.count(transfers::View::Failed) > 0 {
            self.show_tab(Tab::Transfers);
            self.transfers.show(transfers::View::Failed);
        } else if self.messages.unseen() > 0 {
            self.open_log();
        } else {
            self.messages.success(self.now, "nothing needs you now");
        }
    }

    pub(in crate::app) fn mark(&mut self) {
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
            Tab::Inbox | Tab::Members | Tab::Chat => {
                self.messages.warn(now, "these are acted on one by one");
                return;
            }
        }
        self.step(Step::Down);
    }

    pub(in crate::app) fn mark_range(&mut self) {
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
            Tab::Files | Tab::Inbox | Tab::Members | Tab::Chat => {
                self.messages.warn(self.now, "these are acted on one by one");
                return;
            }
        };
        if !marked {
            self.messages.success(self.now, "range begins here: move, then v again marks it");
        }
    }

    pub(in crate::app) fn mark_invert(&mut self) {
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
            Tab::Files | Tab::Inbox | Tab::Members | Tab::Chat => {
                self.messages.warn(self.now, "these are acted on one by one");
            }
        }
    }

    pub(in crate::app) fn sort_columns(&self) -> &'static [(char, SortBy)] {
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
            Tab::Inbox => &[
                ('a', SortBy::Added),
                ('n', SortBy::Name),
                ('o', SortBy::Owner),
                ('s', SortBy::Size),
                ('p', SortBy::Status),
            ],
            Tab::Members => &[
                ('p', SortBy::Status),
                ('n', SortBy::Name),
                ('s', SortBy::Shares),
                ('f', SortBy::FromThem),
                ('t', SortBy::ToThem),
            ],
            Tab::Chat => &[],
        }
    }

    pub(in crate::app) fn open_sort_menu(&mut self) {
        let (now, _) = self.sort();
        let columns = self.sort_columns();
        if columns.is_empty() {
            self.messages.warn(self.now, ROOMS_ORDER);
            return;
        }
        let choices = columns.iter().map(|(key, sort)| Choice::new(*key, sort.title(), Act::Sort(*sort))).collect();
        let mut menu = Menu { title: "Sort by".to_owned(), choices, list: List::default() };
        menu.list.cursor = columns.iter().position(|(_, sort)| *sort == now).unwrap_or(0);
        self.layers.push(Layer::Menu(menu));
    }

    pub(in crate::app) fn sort_by(&mut self, sort: SortBy) {
        if !self.sort_columns().iter().any(|(_, column)| *column == sort) {
            self.messages.warn(self.now, "this list is not sorted by that");
            return;
        }
        let (before, reverse) = self.sort();
        self.set_sort(sort, before == sort && !reverse);
    }

    pub(in crate::app) fn turn_sort(&mut self) {
        if self.sort_columns().is_empty() {
            self.messages.warn(self.now, ROOMS_ORDER);
            return;
        }
        let (sort, reverse) = self.sort();
        self.set_sort(sort, !reverse);
    }

    pub(in crate::app) fn set_sort(&mut self, sort: SortBy, reverse: bool) {
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
            Tab::Inbox => {
                (self.inbox.pane.sort, self.inbox.pane.reverse) = (sort, reverse);
                self.inbox.arrange();
            }
            Tab::Members => {
                (self.members.pane.sort, self.members.pane.reverse) = (sort, reverse);
                self.members.arrange();
            }
            // Its order is what is new.
            Tab::Chat => {}
        }
    }
}

/// Why rooms are not sorted otherwise.
const ROOMS_ORDER: &str = "rooms stand in their order: what is unread first, then what was said last";
/// A page of details is never longer.
const PAGE_LINES_MAX: usize = 1_000;
