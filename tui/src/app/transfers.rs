//! The transfers as the screen keeps them: rows, their recent speeds, and the order of each view.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
};

use super::{
    filter::{FilterMatcher, Subject},
    index::SortBy,
    pane::Pane,
};
use crate::engine::api::{Direction, Priority, TransferPage, TransferRow, TransferState};

/// A transfer and what was seen of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Transfer {
    pub row: TransferRow,
    /// Bytes per second, one sample a second, newest last.
    pub speeds: VecDeque<u64>,
    /// The highest sample.
    pub peak: u64,
}

impl Transfer {
    /// Average speed so far, bytes per second.
    #[must_use]
    pub fn average(&self) -> u64 {
        let fetched = self.row.bytes_peer + self.row.bytes_copy + self.row.bytes_relay;
        fetched.saturating_mul(1000).checked_div(self.row.elapsed_ms).unwrap_or(0)
    }

    /// Done in percent; an empty file is done when it is done.
    #[must_use]
    pub fn percent(&self) -> u8 {
        if self.row.size == 0 {
            return if self.row.state == TransferState::Done { 100 } else { 0 };
        }
        let share = u128::from(self.row.done) * 100 / u128::from(self.row.size);
        u8::try_from(share.min(100)).unwrap_or(100)
    }

    /// Its place in the queue: those that matter more first, then those that came first.
    #[must_use]
    pub const fn queue_key(&self) -> (Reverse<Priority>, i64, i64) {
        (Reverse(self.row.priority), self.row.place, self.row.created_ms)
    }

    /// Whether it needs the engine to go on.
    #[must_use]
    pub const fn unfinished(&self) -> bool {
        use TransferState as S;
        match self.row.state {
            S::Queued | S::Waiting | S::Running | S::Finishing => true,
            S::Paused | S::Done | S::Failed | S::Cancelled => false,
        }
    }
}

/// The views of the transfers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    #[default]
    Active,
    Queued,
    Uploads,
    Done,
    Failed,
}

impl View {
    /// In the order of the views row.
    pub const ALL: [Self; 5] = [Self::Active, Self::Queued, Self::Uploads, Self::Done, Self::Failed];

    /// As written in the views row.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Queued => "Queued",
            Self::Uploads => "Uploads",
            Self::Done => "Done",
            Self::Failed => "Failed",
        }
    }

    /// The view that a transfer belongs to.
    #[must_use]
    pub const fn of(row: &TransferRow) -> Self {
        use TransferState as S;
        match (row.direction, row.state) {
            (Direction::Up, _) => Self::Uploads,
            (Direction::Down, S::Running | S::Finishing | S::Paused | S::Waiting) => Self::Active,
            (Direction::Down, S::Queued) => Self::Queued,
            (Direction::Down, S::Done) => Self::Done,
            (Direction::Down, S::Failed | S::Cancelled) => Self::Failed,
        }
    }
}

/// All transfers.
#[derive(Debug, Clone, PartialEq)]
pub struct Transfers {
    pub all: BTreeMap<String, Transfer>,
    pub view: View,
    pub pane: Pane<String>,
    /// Ids, in the order of the view.
    pub order: Vec<String>,
    /// Items being fetched: file and folder ids.
    pub fetching: BTreeSet<String>,
    /// When speeds were last noted.
    sampled_ms: i64,
    /// When the order was last made.
    ordered_ms: i64,
    /// Whether the order is out of date.
    stale: bool,
}

impl Default for Transfers {
    fn default() -> Self {
        Self {
            all: BTreeMap::new(),
            view: View::default(),
            pane: Pane::new(SortBy::Added),
            order: Vec::new(),
            fetching: BTreeSet::new(),
            sampled_ms: 0,
            ordered_ms: 0,
            stale: false,
        }
    }
}

impl Transfers {
    /// Takes in what changed. Returns the ids that have just finished.
    pub fn apply(&mut self, page: TransferPage) -> Vec<String> {
        if page.restart {
            self.all.clear();
        }
        for id in page.removed {
            self.all.remove(&id);
        }
        let mut finished = Vec::new();
        for row in page.changed {
            let was = self.all.get(&row.id).map(|old| old.row.state);
            if was.is_some_and(|was| was != TransferState::Done) && row.state == TransferState::Done {
                finished.push(row.id.clone());
            }
            match self.all.get_mut(&row.id) {
                Some(known) => {
                    known.peak = known.peak.max(row.speed);
                    known.row = row;
                }
                None => {
                    let peak = row.speed;
                    self.all.insert(row.id.clone(), Transfer { row, speeds: VecDeque::new(), peak });
                }
            }
        }
        let fetching = self.all.values().filter(|t| t.row.direction == Direction::Down && t.unfinished());
        self.fetching = fetching.map(|t| t.row.item.clone()).collect();
        self.stale = true;
        finished
    }

    /// How many transfers a view has.
    #[must_use]
    pub fn count(&self, view: View) -> usize {
        self.all.values().filter(|transfer| View::of(&transfer.row) == view).count()
    }

    /// Running and waiting ones, both ways: what a quit would interrupt.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.all.values().filter(|transfer| transfer.unfinished()).count()
    }

    /// The transfer in line `at` of the view.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<&Transfer> {
        self.all.get(self.order.get(at)?)
    }

    /// The transfer under the cursor.
    #[must_use]
    pub fn selected(&self) -> Option<&Transfer> {
        self.get(self.pane.list.cursor)
    }

    /// Goes to another view.
    pub fn show(&mut self, view: View) {
        if self.view != view {
            self.view = view;
            self.pane.list = super::list::List::default();
            self.pane.marks.clear();
            self.arrange_now();
        }
    }

    /// Notes speeds once a second. Says whether anything changed.
    pub fn sample(&mut self, now: i64) -> bool {
        if now < self.sampled_ms + SAMPLE_MS {
            return false;
        }
        self.sampled_ms = now;
        let mut changed = false;
        for transfer in self.all.values_mut().filter(|t| t.row.state == TransferState::Running) {
            if transfer.speeds.len() == SAMPLES_MAX {
                transfer.speeds.pop_front();
            }
            transfer.speeds.push_back(transfer.row.speed);
            transfer.peak = transfer.peak.max(transfer.row.speed);
            changed = true;
        }
        changed
    }

    /// When the next speed is to be noted.
    #[must_use]
    pub fn next_sample(&self) -> Option<i64> {
        let running = self.all.values().any(|t| t.row.state == TransferState::Running);
        running.then_some(self.sampled_ms + SAMPLE_MS)
    }

    /// When an order that is out of date is to be made again: at most once a second, and not under the fingers of
    /// who has just pressed a key.
    #[must_use]
    pub fn next_order(&self, pressed_ms: i64) -> Option<i64> {
        self.stale.then(|| (self.ordered_ms + SAMPLE_MS).max(pressed_ms + HANDS_OFF_MS))
    }

    /// Brings the order up to date: members of the view at once, their order when it is due.
    pub fn settle(&mut self, now: i64, pressed_ms: i64) {
        if !self.stale {
            return;
        }
        let due = self.next_order(pressed_ms).is_some_and(|at| at <= now);
        let belongs = |id: &String| self.all.get(id).is_some_and(|t| View::of(&t.row) == self.view);
        let same = self.order.len() == self.wanted().count() && self.order.iter().all(belongs);
        if due || !same {
            self.ordered_ms = now;
            self.arrange_now();
        }
    }

    /// Makes the order again; the cursor follows its transfer.
    pub fn arrange_now(&mut self) {
        use std::cmp::Ordering;
        let selected = self.order.get(self.pane.list.cursor).cloned();
        let mut rows: Vec<(&Transfer, u32)> = self.wanted().collect();
        let (sort, reverse) = (self.pane.sort, self.pane.reverse);
        rows.sort_by(|(a, a_score), (b, b_score)| {
            let newest_first = || Reverse(a.row.created_ms).cmp(&Reverse(b.row.created_ms));
            let by_column = match sort {
                SortBy::Match => b_score.cmp(a_score),
                SortBy::Name => a.row.name.to_lowercase().cmp(&b.row.name.to_lowercase()),
                SortBy::Size => b.row.size.cmp(&a.row.size),
                SortBy::Progress => b.percent().cmp(&a.percent()),
                SortBy::Speed => b.row.speed.cmp(&a.row.speed),
                SortBy::Left => a.row.eta_s.unwrap_or(u64::MAX).cmp(&b.row.eta_s.unwrap_or(u64::MAX)),
                SortBy::Owner => a.row.owner.to_lowercase().cmp(&b.row.owner.to_lowercase()),
                SortBy::Added if self.view == View::Queued => a.queue_key().cmp(&b.queue_key()),
                SortBy::Added | SortBy::Sources | SortBy::Status | SortBy::Shares => newest_first(),
                SortBy::FromThem | SortBy::ToThem => Ordering::Equal,
            };
            let by_column = if reverse { by_column.reverse() } else { by_column };
            by_column.then_with(|| a.row.id.cmp(&b.row.id))
        });
        let order: Vec<String> = rows.into_iter().map(|(transfer, _)| transfer.row.id.clone()).collect();
        self.order = order;
        if let Some(at) = selected.and_then(|id| self.order.iter().position(|other| *other == id)) {
            self.pane.list.follow(at);
        }
        self.stale = false;
        self.pane.marks.retain(|id| self.all.contains_key(id));
    }

    fn wanted(&self) -> impl Iterator<Item = (&Transfer, u32)> {
        let mut matcher = FilterMatcher::new();
        self.all.values().filter(|transfer| View::of(&transfer.row) == self.view).filter_map(move |transfer| {
            let subject = Subject {
                text: &transfer.row.name,
                name: &transfer.row.name,
                size: transfer.row.size,
                owner: &transfer.row.owner,
                have: Some(transfer.row.state == TransferState::Done),
                online: transfer.row.speed > 0,
            };
            Some((transfer, self.pane.finder.filter.score(&subject, &mut matcher)?))
        })
    }
}

/// Time between two samples of speed, milliseconds.
const SAMPLE_MS: i64 = 1_000;
/// Samples kept: the last minute.
const SAMPLES_MAX: usize = 60;
/// Time after a key in which rows do not move, milliseconds.
const HANDS_OFF_MS: i64 = 2_000;
