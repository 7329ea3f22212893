//! The members as the screen keeps them.

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc};

use super::{
    filter::{FilterMatcher, Subject},
    index::SortBy,
    pane::Pane,
};
use crate::engine::api::{MemberRow, MemberStatus};

/// All members of the tracker.
#[derive(Debug, Clone, PartialEq)]
pub struct Members {
    pub all: Vec<MemberRow>,
    pub pane: Pane<String>,
    /// Lines of the list.
    pub order: Vec<usize>,
    /// Names of those who are there, shared with workers.
    pub online: Arc<BTreeSet<String>>,
    pub view: View,
}

/// The views of the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    #[default]
    All,
    Online,
    Blocked,
}

impl View {
    /// In the order of the views row.
    pub const ALL: [Self; 3] = [Self::All, Self::Online, Self::Blocked];

    /// As written in the views row.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::Online => "Online",
            Self::Blocked => "Blocked",
        }
    }
}

impl Default for Members {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            pane: Pane::new(SortBy::Status),
            order: Vec::new(),
            online: Arc::default(),
            view: View::default(),
        }
    }
}

impl Members {
    /// Takes in the members. Says whether somebody came or went.
    pub fn apply(&mut self, members: Vec<MemberRow>) -> bool {
        self.all = members;
        let here = self.all.iter().filter(|member| member.status != MemberStatus::Offline);
        let online: BTreeSet<String> = here.map(|member| member.name.clone()).collect();
        let changed = *self.online != online;
        if changed {
            self.online = Arc::new(online);
        }
        self.arrange();
        changed
    }

    /// The member in line `at`.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<&MemberRow> {
        self.all.get(*self.order.get(at)?)
    }

    /// The member under the cursor.
    #[must_use]
    pub fn selected(&self) -> Option<&MemberRow> {
        self.get(self.pane.list.cursor)
    }

    /// How many members a view has.
    #[must_use]
    pub fn count(&self, view: View) -> usize {
        match view {
            View::All => self.all.len(),
            View::Online => self.online.len(),
            View::Blocked => self.all.iter().filter(|member| member.blocked).count(),
        }
    }

    /// Makes the order again; the cursor follows its member.
    pub fn arrange(&mut self) {
        let selected = self.selected().map(|member| member.id);
        let mut matcher = FilterMatcher::new();
        let keep = |at: &usize| {
            let member = &self.all[*at];
            let online = member.status != MemberStatus::Offline;
            let subject =
                Subject { text: &member.name, name: &member.name, size: 0, owner: &member.name, have: None, online };
            let in_view = match self.view {
                View::All => true,
                View::Online => online,
                View::Blocked => member.blocked,
            };
            in_view && self.pane.finder.filter.score(&subject, &mut matcher).is_some()
        };
        let mut order: Vec<usize> = (0..self.all.len()).filter(keep).collect();
        order.sort_by_cached_key(|at| {
            let member = &self.all[*at];
            let (presence, number) = match self.pane.sort {
                SortBy::Shares => (0, member.shares),
                SortBy::FromThem => (0, member.from_them),
                SortBy::ToThem => (0, member.to_them),
                SortBy::Status => (presence(member.status), 0),
                _ => (0, 0),
            };
            (presence, Reverse(number), member.name.to_lowercase())
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

const fn presence(status: MemberStatus) -> u8 {
    match status {
        MemberStatus::Online => 0,
        MemberStatus::Away => 1,
        MemberStatus::Offline => 2,
    }
}
