//! What every list of the screen has: a cursor, a filter, a sort column and marks.

use std::collections::BTreeSet;

use shared::limits::QUERY_BYTES_MAX;

use super::{field::Field, filter::Filter, index::SortBy, list::List};

/// The controls of one list whose items are named by `K`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pane<K> {
    pub list: List,
    pub finder: Finder,
    pub sort: SortBy,
    pub reverse: bool,
    pub marks: BTreeSet<K>,
    /// Where a range of marks was begun.
    pub range: Option<usize>,
}

/// A filter being typed or in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Finder {
    pub field: Field,
    /// Whether keys go to the field.
    pub editing: bool,
    pub filter: Filter,
}

impl<K: Ord + Clone> Pane<K> {
    /// An untouched list sorted by `sort`.
    #[must_use]
    pub fn new(sort: SortBy) -> Self {
        Self {
            list: List::default(),
            finder: Finder { field: Field::new(QUERY_BYTES_MAX), editing: false, filter: Filter::default() },
            sort,
            reverse: false,
            marks: BTreeSet::new(),
            range: None,
        }
    }

    /// Marks or unmarks one item.
    pub fn toggle(&mut self, key: K) {
        if !self.marks.remove(&key) {
            self.marks.insert(key);
        }
    }

    /// Begins a range at the cursor, or marks the one begun. Says whether it marked.
    pub fn range(&mut self, key_at: impl Fn(usize) -> Option<K>) -> bool {
        let Some(from) = self.range.take() else {
            self.range = Some(self.list.cursor);
            return false;
        };
        let (low, high) = (from.min(self.list.cursor), from.max(self.list.cursor));
        self.marks.extend((low..=high).filter_map(key_at));
        true
    }

    /// Marks what is not marked and unmarks what is, among `shown`.
    pub fn invert(&mut self, shown: impl Iterator<Item = K>) {
        let all: BTreeSet<K> = shown.collect();
        self.marks = all.difference(&self.marks).cloned().collect();
    }
}
