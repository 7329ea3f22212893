//! The files pane: the replica of the index, and three ways to look at it.

use std::{collections::BTreeSet, sync::Arc};

use shared::id::FileId;

use super::{
    CallId,
    index::{Arrange, Arranged, Entry, Index, Item, ItemKey, SortBy},
    list::List,
    pane::Pane,
};
use crate::engine::api::{Detail, Failure, Hashing, IndexPage, ShareRow};

/// The views of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    #[default]
    Public,
    Mine,
    Search,
}

impl View {
    /// In the order of the views row.
    pub const ALL: [Self; 3] = [Self::Public, Self::Mine, Self::Search];

    /// As written in the views row.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Public => "Public",
            Self::Mine => "Mine",
            Self::Search => "Search",
        }
    }
}

/// A folder that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub owner: Arc<str>,
    /// Empty for all that the member shares.
    pub path: Arc<str>,
}

/// One way to look at an index.
#[derive(Debug, Clone, PartialEq)]
pub struct Browse {
    pub pane: Pane<ItemKey>,
    /// `None`: the top.
    pub place: Option<Place>,
    pub order: Vec<Entry>,
    /// Microseconds that choosing and ordering took.
    pub took_us: u64,
    /// Number of the last arrangement asked for.
    generation: u64,
    /// Whether it is still being made.
    pending: bool,
    /// Whether its outcome is no longer wanted.
    discard: bool,
    /// When to ask for a new one.
    due: Option<i64>,
    arranged_ms: i64,
    /// What the cursor shall find again.
    anchor: Option<ItemKey>,
}

impl Browse {
    fn new(sort: SortBy) -> Self {
        Self {
            pane: Pane::new(sort),
            place: None,
            order: Vec::new(),
            took_us: 0,
            generation: 0,
            pending: false,
            discard: false,
            due: None,
            arranged_ms: 0,
            anchor: None,
        }
    }

    /// The person asked for something else: arrange as soon as possible.
    pub const fn refresh(&mut self, now: i64) {
        self.due = Some(now);
    }

    /// Nothing of it is shown, so nothing is due.
    pub(super) const fn rest(&mut self) {
        self.due = None;
    }

    /// The index changed by itself: arrange at most once a second.
    fn refresh_later(&mut self, now: i64) {
        let due = now.max(self.arranged_ms + REARRANGE_MS);
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
    }

    /// Opens a folder, or the top. The cursor goes to `anchor`.
    pub fn go(&mut self, place: Option<Place>, anchor: Option<ItemKey>, now: i64) {
        self.place = place;
        self.order.clear();
        self.pane.list = List::default();
        self.pane.range = None;
        self.anchor = anchor;
        self.discard = self.pending;
        self.refresh(now);
    }

    /// The arrangement to ask for now, with its number.
    pub(super) fn poll(
        &mut self,
        index: &Index,
        flat: bool,
        online: &Arc<BTreeSet<String>>,
        now: i64,
    ) -> Option<(u64, Arrange)> {
        if self.pending || self.due.is_none_or(|due| due > now) {
            return None;
        }
        // A folder that is not in the index (any more) shows nothing, not everything.
        let number = |place: &Place| index.folder_at(&place.owner, &place.path).unwrap_or(u32::MAX);
        let place = self.place.as_ref().map(number);
        self.due = None;
        self.pending = true;
        self.generation += 1;
        let filter = if flat { super::filter::Filter::default() } else { self.pane.finder.filter.clone() };
        let sort = match self.pane.sort {
            SortBy::Name if filter.ranked => SortBy::Match,
            sort => sort,
        };
        let wanted = Arrange { place, flat, filter, sort, reverse: self.pane.reverse, online: online.clone() };
        Some((self.generation, wanted))
    }

    /// Takes in an arrangement. Says whether it was wanted.
    pub(super) fn arranged(
        &mut self,
        index: &Index,
        generation: u64,
        arranged: Arranged,
        took_us: u64,
        now: i64,
    ) -> bool {
        if generation != self.generation || !self.pending {
            return false;
        }
        self.pending = false;
        if std::mem::take(&mut self.discard) {
            self.refresh(now);
            return false;
        }
        let selected = self.order.get(self.pane.list.cursor).copied();
        self.order = arranged.order;
        self.took_us = took_us;
        self.arranged_ms = now;
        // The start of a list is a place of its own: whoever has not moved stays there.
        let moved = self.pane.list.cursor > 0 || self.anchor.is_some();
        let entry = self.anchor.take().map_or(selected, |key| index.find(&key)).filter(|_| moved);
        if let Some(at) = entry.and_then(|entry| self.order.iter().position(|other| *other == entry)) {
            self.pane.list.follow(at);
        }
        true
    }

    /// Shows hits in the order in which they came, unless another order is wanted. Says whether it is this one.
    pub(super) fn settle_ranked(&mut self, ranked: &[Entry]) -> bool {
        let as_they_came = self.pane.sort == SortBy::Match;
        if as_they_came && self.due.take().is_some() {
            self.order = ranked.to_vec();
            if self.pane.reverse {
                self.order.reverse();
            }
        }
        as_they_came
    }

    /// The item in line `at`.
    #[must_use]
    pub fn item<'a>(&self, index: &'a Index, at: usize) -> Option<Item<'a>> {
        index.item(*self.order.get(at)?)
    }

    /// The item under the cursor.
    #[must_use]
    pub fn selected<'a>(&self, index: &'a Index) -> Option<Item<'a>> {
        self.item(index, self.pane.list.cursor)
    }

    /// Whether the list is still being made.
    #[must_use]
    pub const fn busy(&self) -> bool {
        self.pending || self.due.is_some()
    }

    fn next_change(&self) -> Option<i64> {
        self.due.filter(|_| !self.pending)
    }
}

/// The search at the tracker.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    pub browse: Browse,
    pub hits: Arc<Index>,
    /// When to ask the tracker for what is typed.
    pub due: Option<i64>,
    /// The running question.
    pub call: Option<CallId>,
    /// What the hits answer; empty: nothing was asked.
    pub answered: String,
    pub failure: Option<Failure>,
    /// Hits in the order in which they came: best first.
    pub ranked: Vec<Entry>,
}

/// Details of the file on which the cursor rests.
#[derive(Debug, Clone, PartialEq)]
pub struct Looked {
    pub key: ItemKey,
    /// When to ask for them; `None`: asked.
    pub due: Option<i64>,
    pub call: Option<CallId>,
    pub detail: Option<Box<Detail>>,
    /// Why there are none.
    pub failure: Option<Failure>,
}

/// Everything of the files pane.
#[derive(Debug, Clone, PartialEq)]
pub struct Files {
    pub view: View,
    pub index: Arc<Index>,
    /// A replica being received anew while the old one is still shown.
    incoming: Option<Box<Index>>,
    /// Whether the whole index has arrived once.
    pub loaded: bool,
    /// When the replica last agreed with the tracker, milliseconds since 1970.
    pub as_of_ms: Option<i64>,
    pub public: Browse,
    /// The inside of a shared folder; at its top the shares are shown.
    pub mine: Browse,
    pub search: Search,
    pub shares: Vec<ShareRow>,
    /// The list of shares.
    pub share_pane: Pane<String>,
    /// Lines of the list of shares.
    pub share_order: Vec<usize>,
    pub hashing: Option<Hashing>,
    pub looked: Option<Looked>,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            view: View::Public,
            index: Arc::default(),
            incoming: None,
            loaded: false,
            as_of_ms: None,
            public: Browse::new(SortBy::Name),
            mine: Browse::new(SortBy::Name),
            search: Search {
                browse: Browse::new(SortBy::Match),
                hits: Arc::default(),
                due: None,
                call: None,
                answered: String::new(),
                failure: None,
                ranked: Vec::new(),
            },
            shares: Vec::new(),
            share_pane: Pane::new(SortBy::Name),
            share_order: Vec::new(),
            hashing: None,
            looked: None,
        }
    }
}

impl Files {
    /// Takes in a page of the index.
    pub fn apply(&mut self, page: IndexPage, now: i64) {
        if page.restart && !self.index.is_empty() {
            self.incoming = Some(Box::default());
        }
        {
            let index = match &mut self.incoming {
                Some(incoming) => &mut **incoming,
                None => Arc::make_mut(&mut self.index),
            };
            for row in page.present {
                index.put(row);
            }
            for id in &page.gone {
                index.take(id);
            }
        }
        if page.as_of_ms.is_some() {
            self.as_of_ms = page.as_of_ms;
        }
        if !page.more {
            self.loaded = true;
            if let Some(incoming) = self.incoming.take() {
                self.swap(*incoming, now);
            }
        }
        self.public.refresh_later(now);
        self.mine.refresh_later(now);
    }

    /// These are on this device from now on.
    pub fn note_fetched(&mut self, files: &[FileId], now: i64) {
        for index in [&mut self.index, &mut self.search.hits] {
            // Not copied, where a worker looks at it, for what it does not hold.
            if files.iter().any(|id| index.holds(id)) {
                Arc::make_mut(index).note_fetched(files);
            }
        }
        if let Some(incoming) = &mut self.incoming {
            incoming.note_fetched(files);
        }
        self.public.refresh_later(now);
        self.mine.refresh_later(now);
    }

    /// Somebody came or went: lists that look at that are made again.
    pub fn sources_changed(&mut self, now: i64) {
        self.public.refresh_later(now);
        self.mine.refresh_later(now);
    }

    /// Puts a new replica in place of the old one. Slots change, so the cursors are found again by key.
    fn swap(&mut self, index: Index, now: i64) {
        for browse in [&mut self.public, &mut self.mine] {
            let anchor = browse.selected(&self.index).map(|item| item.key());
            let top = browse.pane.list;
            browse.go(browse.place.clone(), anchor, now);
            browse.pane.list = top;
        }
        self.index = Arc::new(index);
    }

    /// Takes in the shares of this device.
    pub fn apply_shares(&mut self, shares: Vec<ShareRow>) {
        self.shares = shares;
        self.arrange_shares();
    }

    /// Orders the shares.
    pub fn arrange_shares(&mut self) {
        use super::filter::{FilterMatcher, Subject};
        let selected = self
            .share_order
            .get(self.share_pane.list.cursor)
            .and_then(|at| self.shares.get(*at))
            .map(|s| s.name.clone());
        let mut matcher = FilterMatcher::new();
        let filter = &self.share_pane.finder.filter;
        let keep = |at: &usize| {
            let share = &self.shares[*at];
            let subject = Subject {
                text: &share.name,
                name: &share.name,
                size: share.size,
                owner: "",
                have: Some(true),
                online: true,
            };
            filter.score(&subject, &mut matcher).is_some()
        };
        let mut order: Vec<usize> = (0..self.shares.len()).filter(keep).collect();
        let name = |at: &usize| self.shares[*at].name.to_lowercase();
        match self.share_pane.sort {
            SortBy::Size => order.sort_by_key(|at| std::cmp::Reverse(self.shares[*at].size)),
            SortBy::Shares => order.sort_by_key(|at| std::cmp::Reverse(self.shares[*at].files)),
            _ => order.sort_by_key(name),
        }
        if self.share_pane.reverse {
            order.reverse();
        }
        self.share_order = order;
        let again = selected.and_then(|name| self.share_order.iter().position(|at| self.shares[*at].name == name));
        if let Some(at) = again {
            self.share_pane.list.follow(at);
        }
    }

    /// The share under the cursor.
    #[must_use]
    pub fn selected_share(&self) -> Option<&ShareRow> {
        self.shares.get(*self.share_order.get(self.share_pane.list.cursor)?)
    }

    /// Whether the list of shares is shown, rather than files of the index.
    #[must_use]
    pub const fn at_shares(&self) -> bool {
        matches!(self.view, View::Mine) && self.mine.place.is_none()
    }

    /// What is shown, with the index it looks at.
    #[must_use]
    pub fn browse(&self) -> (&Browse, &Index) {
        match self.view {
            View::Public => (&self.public, &self.index),
            View::Mine => (&self.mine, &self.index),
            View::Search => (&self.search.browse, &self.search.hits),
        }
    }

    /// What is shown, to be changed, with the index it looks at.
    pub fn browse_mut(&mut self) -> (&mut Browse, &Index) {
        match self.view {
            View::Public => (&mut self.public, &self.index),
            View::Mine => (&mut self.mine, &self.index),
            View::Search => (&mut self.search.browse, &self.search.hits),
        }
    }

    /// The item under the cursor; not in the list of shares.
    #[must_use]
    pub fn selected(&self) -> Option<Item<'_>> {
        if self.at_shares() {
            return None;
        }
        let (browse, index) = self.browse();
        browse.selected(index)
    }

    pub(super) fn next_change(&self) -> Option<i64> {
        [self.public.next_change(), self.mine.next_change(), self.search.due, self.looked.as_ref().and_then(|l| l.due)]
            .into_iter()
            .flatten()
            .min()
    }
}

/// Time between two arrangements that nobody asked for, milliseconds.
const REARRANGE_MS: i64 = 1_000;
