//! Requests and offers as the screen keeps them.

use std::{cmp::Reverse, collections::BTreeSet};

use shared::show::{has_hidden, show};

use super::{
    CallId,
    filter::{FilterMatcher, Subject},
    format,
    index::SortBy,
    list::List,
    pane::Pane,
};
use crate::engine::api::{Act, Failure, ItemKind, ItemRow, ItemState, OfferedRow};

/// All requests and offers of this member.
#[derive(Debug, Clone, PartialEq)]
pub struct Inbox {
    /// Newest first, as the engine tells them.
    pub all: Vec<ItemRow>,
    /// Whether the engine has told of them.
    pub loaded: bool,
    pub view: View,
    pub pane: Pane<String>,
    /// Lines of the list.
    pub order: Vec<usize>,
    /// What is known of the files of the offer under the cursor.
    pub looked: Option<Looked>,
}

/// The files of an offer, as far as they are known.
#[derive(Debug, Clone, PartialEq)]
pub struct Looked {
    /// Of the item.
    pub id: String,
    /// When they are asked for.
    pub due: Option<i64>,
    pub call: Option<CallId>,
    pub files: Vec<OfferedRow>,
    pub failure: Option<Failure>,
}

impl Looked {
    /// Whether all of them are here.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.due.is_none() && self.call.is_none() && self.failure.is_none()
    }
}

/// The views of the inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    #[default]
    ForMe,
    Sent,
    History,
}

impl View {
    /// In the order of the views row.
    pub const ALL: [Self; 3] = [Self::ForMe, Self::Sent, Self::History];

    /// As written in the views row.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::ForMe => "For me",
            Self::Sent => "Sent",
            Self::History => "History",
        }
    }

    /// The view that an item belongs to.
    #[must_use]
    pub const fn of(item: &ItemRow) -> Self {
        match (item.state.is_open(), item.incoming) {
            (true, true) => Self::ForMe,
            (true, false) => Self::Sent,
            (false, _) => Self::History,
        }
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            loaded: false,
            view: View::default(),
            pane: Pane::new(SortBy::Added),
            order: Vec::new(),
            looked: None,
        }
    }
}

impl Inbox {
    /// Takes in the items. Returns those that have just begun to wait for an answer.
    pub fn apply(&mut self, items: Vec<ItemRow>) -> Vec<ItemRow> {
        let known: BTreeSet<&str> = self.all.iter().map(|item| item.id.as_str()).collect();
        let is_news = |item: &&ItemRow| self.loaded && waits(item) && !known.contains(item.id.as_str());
        let news = items.iter().filter(is_news).cloned().collect();
        let selected = self.selected().map(|item| item.id.clone());
        self.all = items;
        self.loaded = true;
        self.arrange_around(selected);
        news
    }

    /// The item in line `at`.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<&ItemRow> {
        self.all.get(*self.order.get(at)?)
    }

    /// The item under the cursor.
    #[must_use]
    pub fn selected(&self) -> Option<&ItemRow> {
        self.get(self.pane.list.cursor)
    }

    /// How many items a view has.
    #[must_use]
    pub fn count(&self, view: View) -> usize {
        self.all.iter().filter(|item| View::of(item) == view).count()
    }

    /// How many items wait for an answer of this member.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.all.iter().filter(|item| waits(item)).count()
    }

    /// Goes to another view.
    pub fn show(&mut self, view: View) {
        if self.view != view {
            self.view = view;
            self.pane.list = List::default();
            self.arrange();
        }
    }

    /// Makes the order again; the cursor follows its item.
    pub fn arrange(&mut self) {
        let selected = self.selected().map(|item| item.id.clone());
        self.arrange_around(selected);
    }

    fn arrange_around(&mut self, selected: Option<String>) {
        let mut matcher = FilterMatcher::new();
        let keep = |at: &usize| {
            let item = &self.all[*at];
            let (what, who) = (what(item), who(item));
            let subject = Subject {
                text: &format!("{who} {what}"),
                name: &item.name,
                size: item.size,
                owner: &who,
                have: None,
                online: false,
            };
            View::of(item) == self.view && self.pane.finder.filter.score(&subject, &mut matcher).is_some()
        };
        let mut order: Vec<usize> = (0..self.all.len()).filter(keep).collect();
        order.sort_by_cached_key(|at| {
            let item = &self.all[*at];
            let (text, number) = match self.pane.sort {
                SortBy::Name => (what(item).to_lowercase(), 0),
                SortBy::Owner => (who(item).to_lowercase(), 0),
                SortBy::Status => (item.state.word().to_owned(), 0),
                SortBy::Size => (String::new(), item.size),
                _ => (String::new(), 0),
            };
            (text, Reverse(number), Reverse(item.created_ms), item.id.clone())
        });
        if self.pane.reverse {
            order.reverse();
        }
        self.order = order;
        let again = selected.and_then(|id| self.order.iter().position(|at| self.all[*at].id == id));
        if let Some(at) = again {
            self.pane.list.follow(at);
        }
    }
}

/// Whether an item waits for this member's answer. A wish on the board waits for anybody's.
#[must_use]
pub fn waits(item: &ItemRow) -> bool {
    item.incoming && item.state == ItemState::Waiting && item.to.is_some() && item.acts.contains(&Act::Accept)
}

/// The other member's name, as it came; `None`: everyone.
#[must_use]
pub fn other(item: &ItemRow) -> Option<&str> {
    if item.incoming { Some(&item.from) } else { item.to.as_deref() }
}

/// The other one, for people.
#[must_use]
pub fn who(item: &ItemRow) -> String {
    other(item).map_or_else(|| "everyone".to_owned(), show)
}

/// What kind of thing it is, in a word.
#[must_use]
pub const fn kind(item: &ItemRow) -> &'static str {
    match item.kind {
        ItemKind::Request => "request",
        ItemKind::Offer => "offer",
        ItemKind::Channel => "channel",
    }
}

/// What it is about, for people.
#[must_use]
pub fn what(item: &ItemRow) -> String {
    let name = show(&item.name);
    match (item.kind, item.name.is_empty()) {
        (ItemKind::Channel, _) => "a private channel".to_owned(),
        (_, true) => format!("\"{}\"", show(&item.text)),
        (ItemKind::Offer, false) if item.files > 1 => format!("{name}/ ({})", format::files(item.files)),
        (_, false) => name,
    }
}

/// What it is, in a sentence without its end.
#[must_use]
pub fn sentence(item: &ItemRow) -> String {
    let (who, what) = (who(item), what(item));
    match (item.kind, item.incoming) {
        (ItemKind::Offer, true) => format!("{who} offers you {what}"),
        (ItemKind::Offer, false) => format!("you offer {who} {what}"),
        (ItemKind::Request, true) if item.name.is_empty() && item.to.is_none() => {
            format!("{who} asks everyone: {what}")
        }
        (ItemKind::Request, true) if item.name.is_empty() => format!("{who} asks you: {what}"),
        (ItemKind::Request, true) => format!("{who} asks for your {what}"),
        (ItemKind::Request, false) if item.name.is_empty() => format!("you ask {who}: {what}"),
        (ItemKind::Request, false) => format!("you ask {who} for {what}"),
        (ItemKind::Channel, true) => format!("{who} invites you to {what}"),
        (ItemKind::Channel, false) => format!("you invite {who} to {what}"),
    }
}

/// Whether its name, or the other's, holds what disguises something.
#[must_use]
pub fn is_hazard(item: &ItemRow) -> bool {
    has_hidden(&item.name) || has_hidden(&item.from) || item.to.as_deref().is_some_and(has_hidden)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::sample;

    #[test]
    fn items_are_in_the_view_where_they_are_looked_for() {
        let mut inbox = Inbox::default();
        assert!(inbox.apply(sample::items()).is_empty(), "what waited before is no news");
        assert_eq!(View::ALL.map(|view| inbox.count(view)), [4, 2, 2]);
        assert_eq!(inbox.waiting(), 3, "the wish on the board waits for anybody");
    }

    #[test]
    fn what_comes_later_is_news_once() {
        let mut inbox = Inbox::default();
        let items = sample::items();
        inbox.apply(items[1..].to_vec());
        let news = inbox.apply(items.clone());
        assert_eq!(news.iter().map(|item| item.id.as_str()).collect::<Vec<_>>(), [items[0].id.as_str()]);
        assert!(inbox.apply(items).is_empty());
    }

    #[test]
    fn the_cursor_follows_its_item() {
        let mut inbox = Inbox::default();
        let items = sample::items();
        inbox.apply(items[1..].to_vec());
        inbox.pane.list.cursor = 1;
        let before = inbox.selected().map(|item| item.id.clone());
        inbox.apply(items);
        assert_eq!(inbox.selected().map(|item| item.id.clone()), before);
        assert_eq!(inbox.pane.list.cursor, 2);
    }
}
