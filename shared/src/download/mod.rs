//! Decides which groups of one blob are asked of whom. Never touches disk, network or clock: inputs go in with the
//! time, actions come out.
//!
//! A group is **missing** (nobody is asked for it), **requested** (part of one source's slice, or in the endgame of
//! two sources' slices), or **held** (verified and on disk): always one of these and only one.
//!
//! **Who.** Members come first. The tracker's copy gets new work only while no member that could serve a missing group
//! delivers: none is here, or all have been silent for a moment; what it was already asked for, it may end. A caller in
//! a hurry lets it work [beside the members](CopyRule::Beside).
//!
//! **How much.** Slices of a second or two by the measured speed of each source, smaller towards the end so that all
//! sources end together (`assign.rs`).
//!
//! **In which order.** What a reader needs next comes first (`reader.rs`). Then, if every source has everything, upwards
//! from the place where [`Download::spread`] begins, and around; if some have only parts, what the fewest of these have,
//! and among equally rare groups in the order of [`Download::spread`] (`order.rs`).
//!
//! **Twice.** When nothing is left for an idle source, it takes over the tail of the slowest one (`race.rs`); when a
//! reader would have to wait for a slow source, a faster one is asked too (`reader.rs`). No group is asked of three.
//!
//! The caller calls [`Download::handle`], then drains [`Download::poll_action`], and calls again with
//! [`Input::Tick`] at [`Download::next_deadline`].

mod assign;
mod order;
mod race;
mod reader;
mod sets;
mod source;
#[cfg(test)]
mod swarm;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    time::Instant,
};

pub use self::source::SourceView;
use self::{order::Spread, source::Source};
use crate::{
    content::{GroupSet, Layout},
    limits::{GROUP_BYTES, RACE_CHECK, SLICE_BYTES, WANT_RANGES_MAX},
};

/// A source of the blob, by the caller's number. A source that left may come back under its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u64);

/// Groups asked of one source at once, by the machine's number, which it gives only once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SliceId(pub u64);

/// Who serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceKind {
    /// A member's device.
    Peer,
    /// The tracker's stored copy, which is spared as long as members serve.
    Copy,
}

/// When the tracker's copy gets work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CopyRule {
    /// Only while no member delivers: the tracker's line belongs to everybody, and members are enough. For downloads
    /// that nobody waits for.
    #[default]
    Spare,
    /// Always, as if it were a member: for somebody who reads along or waits while the members are slow.
    Beside,
}

/// Why a source is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// It cannot be reached; it may join again.
    Lost,
    /// It does not serve this blob. It gets no more work, even if it joins again.
    Refused,
    /// It sent what no honest source sends. It gets no more work, even if it joins again.
    Misbehaved,
}

/// What the machine is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A source is there. One that is there already describes itself anew.
    Joined {
        /// Which.
        source: SourceId,
        /// What it is.
        kind: SourceKind,
        /// What it has; `None` is everything.
        have: Option<GroupSet>,
    },
    /// A source has more now.
    Gained {
        /// Which.
        source: SourceId,
        /// What came in addition.
        have: GroupSet,
    },
    /// A source is gone. Whatever of its slices is not verified is free again.
    Left {
        /// Which.
        source: SourceId,
        /// Why.
        why: Leaving,
    },
    /// A source that was asked serves others first, and says so again and again. It keeps its slices, is not given up as
    /// silent while it does, and counts as one that delivers nothing: others and the copy help.
    Queued {
        /// Which.
        source: SourceId,
    },
    /// Groups are verified and on disk. They count, also when their slice was cancelled or their source has left.
    Verified {
        /// Who sent them.
        source: SourceId,
        /// As part of which slice.
        slice: SliceId,
        /// Which groups.
        groups: Range<u64>,
        /// Bytes of them.
        bytes: u64,
    },
    /// Time went by.
    Tick,
    /// Somebody reads the blob from front to back while it arrives, and needs this group next. `None`: nobody reads
    /// any more. May be told as often as the reader moves.
    Reader {
        /// The first group that was not read yet.
        at: Option<u64>,
    },
    /// The tracker's copy gets work by this rule from now on. What it was asked for already, it may end.
    Copies(CopyRule),
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask this source for these groups: never empty, at most [`SLICE_BYTES`] and [`WANT_RANGES_MAX`] ranges.
    /// The slices of one source are to be served in the order in which they are asked for.
    Fetch {
        /// Whom.
        source: SourceId,
        /// The number of this work.
        slice: SliceId,
        /// What.
        groups: GroupSet,
    },
    /// What is left of this slice is no longer wanted from this source: somebody else was, or will be, faster. It
    /// does not count among the source's slices any more, so new ones may be asked at once; what comes of it until it
    /// has ended is wasted. The source's other slices stay wanted: a caller that can only end them all together
    /// answers with [`Input::Left`] and lets the source join again.
    Cancel {
        /// Whose.
        source: SourceId,
        /// Which.
        slice: SliceId,
    },
    /// This source had work and nothing of it was verified for [`SOURCE_STALL`](crate::limits::SOURCE_STALL): all its
    /// slices are free for others. To be closed and answered with [`Input::Left`]; it gets no work until it joins
    /// again.
    Stalled {
        /// Which.
        source: SourceId,
    },
    /// Every group is held. Comes exactly once, as the last action.
    Finished,
}

/// The state of one blob's download.
#[derive(Debug)]
pub struct Download {
    layout: Layout,
    held: GroupSet,
    missing: GroupSet,
    sources: BTreeMap<SourceId, Source>,
    /// Sources that get no more work.
    shunned: BTreeSet<SourceId>,
    slices: BTreeMap<SliceId, Slice>,
    /// Bytes that were verified though they were held already.
    twice: u64,
    next_slice: u64,
    actions: VecDeque<Action>,
    is_finished: bool,
    /// When it was last told something.
    now: Option<Instant>,
    spread: Spread,
    copies: CopyRule,
    /// What a reader needs next.
    reader: Option<u64>,
    /// When idle sources were last compared with slow ones, unless something has changed since.
    raced_at: Option<Instant>,
}

/// Groups that one source was asked for.
#[derive(Debug)]
struct Slice {
    source: SourceId,
    /// What is not yet held of it. Not empty.
    left: GroupSet,
    /// The end of its last group: a source serves in ascending order.
    end: u64,
}

impl Download {
    /// A download of which these groups are there already.
    #[must_use]
    pub fn new(layout: Layout, have: GroupSet) -> Self {
        let held = have.within(0..layout.groups());
        let missing = held.missing_in(0..layout.groups());
        let mut download = Self {
            layout,
            held,
            missing,
            sources: BTreeMap::new(),
            shunned: BTreeSet::new(),
            slices: BTreeMap::new(),
            twice: 0,
            next_slice: 0,
            actions: VecDeque::new(),
            is_finished: false,
            now: None,
            spread: Spread::ascending(layout.groups()),
            copies: CopyRule::default(),
            reader: None,
            raced_at: None,
        };
        download.finish_if_whole();
        download
    }

    /// Fetches equally rare groups in an order that follows from this seed instead of from the front, and begins at a
    /// place that follows from it where all sources have everything. Each download of a swarm is to have a seed of its own, so that they fetch different groups
    /// and have something for each other. The order is one of areas of a MiB or more; within, it is ascending.
    #[must_use]
    pub fn spread(mut self, seed: u64) -> Self {
        self.spread = Spread::seeded(self.layout.groups(), seed);
        self
    }

    /// Takes note of something. Time never runs backwards: an earlier `now` counts as the latest one known.
    pub fn handle(&mut self, now: Instant, input: Input) {
        let now = self.now.map_or(now, |known| known.max(now));
        self.now = Some(now);
        match input {
            Input::Joined { source, kind, have } => self.join(source, kind, have),
            Input::Gained { source, have } => self.gain(source, &have),
            Input::Left { source, why } => self.leave(source, why),
            Input::Queued { source } => {
                if let Some(source) = self.sources.get_mut(&source) {
                    source.wait_in_line(now);
                }
            }
            Input::Verified { source, slice, groups, bytes } => self.hold(now, source, slice, groups, bytes),
            Input::Tick => self.raced_at = None,
            Input::Reader { at } => self.reader = at,
            Input::Copies(rule) => self.copies = rule,
        }
        self.give_up_stalled(now);
        self.hurry(now);
        self.assign(now);
        self.race(now);
        self.rest_idle(now);
        self.finish_if_whole();
        self.assert_invariant();
    }

    /// The next thing to do, in order. To be drained after each [`Download::handle`], and once after
    /// [`Download::new`].
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call `handle` with [`Input::Tick`], if nothing else happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.is_finished {
            return None;
        }
        let stall = self.sources.values().filter_map(Source::stalls_at).min();
        // Until then silence changes nothing; from then on others may help.
        let quiet =
            self.sources.values().filter_map(Source::quiet_at).filter(|at| self.now.is_none_or(|now| *at > now));
        let race = self.now.filter(|now| self.may_race(*now)).map(|now| self.raced_at.unwrap_or(now) + RACE_CHECK);
        stall.into_iter().chain(quiet).chain(race).min()
    }

    /// The groups that are held.
    #[must_use]
    pub const fn have(&self) -> &GroupSet {
        &self.held
    }

    /// The groups that somebody was asked for.
    #[must_use]
    pub fn in_flight(&self) -> GroupSet {
        let mut groups = GroupSet::new();
        for slice in self.slices.values() {
            groups.extend(&slice.left);
        }
        groups
    }

    /// Whether every group is held.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// Whether nobody is here who could bring anything that is not held yet.
    #[must_use]
    pub fn is_starved(&self) -> bool {
        let wanted = self.held.missing_in(0..self.layout.groups());
        !self.is_finished && !self.sources.values().any(|source| source.is_usable() && source.has_any_of(&wanted))
    }

    /// Whether everybody who is here has work and has been silent for a moment: others should be looked for.
    #[must_use]
    pub fn is_quiet(&self, now: Instant) -> bool {
        let mut here = self.sources.values().filter(|source| source.is_usable()).peekable();
        !self.is_finished && here.peek().is_some() && here.all(|source| !source.is_prompt(now))
    }

    /// How a source does; `None` when it is not here.
    #[must_use]
    pub fn source(&self, id: SourceId) -> Option<SourceView> {
        Some(self.sources.get(&id)?.view(self.now?))
    }

    fn join(&mut self, id: SourceId, kind: SourceKind, have: Option<GroupSet>) {
        if self.shunned.contains(&id) {
            return;
        }
        let have = have.map(|have| have.within(0..self.layout.groups()));
        self.raced_at = None;
        match self.sources.get_mut(&id) {
            Some(source) => source.describe(kind, have, self.layout),
            None => {
                self.sources.insert(id, Source::new(kind, have, self.layout));
            }
        }
    }

    fn gain(&mut self, id: SourceId, have: &GroupSet) {
        if let Some(source) = self.sources.get_mut(&id) {
            source.gain(&have.within(0..self.layout.groups()), self.layout);
            self.raced_at = None;
        }
    }

    fn leave(&mut self, id: SourceId, why: Leaving) {
        match why {
            Leaving::Lost => {}
            Leaving::Refused | Leaving::Misbehaved => {
                self.shunned.insert(id);
            }
        }
        self.free_slices_of(id);
        self.sources.remove(&id);
    }

    fn hold(&mut self, now: Instant, source: SourceId, slice: SliceId, groups: Range<u64>, bytes: u64) {
        let groups = groups.start..groups.end.min(self.layout.groups());
        if groups.is_empty() {
            return;
        }
        self.twice += self.held.within(groups.clone()).count() * GROUP_BYTES;
        self.held.insert(groups.clone());
        self.missing.remove(groups.clone());
        if let Some(source) = self.sources.get_mut(&source) {
            source.brought(now, bytes);
        }
        // What comes of a cancelled slice says nothing about those who work.
        let is_live = self.slices.contains_key(&slice);
        let (mut emptied, mut beaten) = (Vec::new(), Vec::new());
        for (id, known) in &mut self.slices {
            if known.left.overlapping(&groups).len() == 0 {
                continue;
            }
            let front = known.left.ranges().next().map_or(0, |range| range.start);
            known.left.remove(groups.clone());
            if known.left.is_empty() {
                // Its own last group ends a slice by itself; every other end has to be told to its source.
                emptied.push((*id, *id == slice && groups.end >= known.end));
            } else if is_live && *id != slice {
                beaten.push((*id, front));
            }
        }
        if !emptied.is_empty() {
            self.raced_at = None;
        }
        for (id, ended_by_itself) in emptied {
            let Some(ended) = self.forget(id) else { continue };
            if !ended_by_itself {
                self.actions.push_back(Action::Cancel { source: ended.source, slice: id });
            }
        }
        self.cancel_overtaken(now, (source, slice), &groups, &beaten);
    }

    fn give_up_stalled(&mut self, now: Instant) {
        let is_due = |source: &Source| source.stalls_at().is_some_and(|deadline| deadline <= now);
        let stalled: Vec<_> = self.sources.iter().filter(|(_, source)| is_due(source)).map(|(id, _)| *id).collect();
        for id in stalled {
            self.free_slices_of(id);
            if let Some(source) = self.sources.get_mut(&id) {
                source.give_up(now);
                self.actions.push_back(Action::Stalled { source: id });
            }
        }
    }

    fn request(&mut self, now: Instant, id: SourceId, groups: GroupSet) {
        debug_assert!(!groups.is_empty() && groups.ranges().len() <= WANT_RANGES_MAX);
        debug_assert!(groups.count() * GROUP_BYTES <= SLICE_BYTES);
        let slice = SliceId(self.next_slice);
        self.next_slice += 1;
        if let Some(source) = self.sources.get_mut(&id) {
            source.begin(now, slice);
        }
        let end = groups.ranges().last().map_or(0, |range| range.end);
        self.slices.insert(slice, Slice { source: id, left: groups.clone(), end });
        self.actions.push_back(Action::Fetch { source: id, slice, groups });
    }

    fn rest_idle(&mut self, now: Instant) {
        for source in self.sources.values_mut().filter(|source| source.slices().is_empty()) {
            source.rest(now);
        }
    }

    fn slices_of(&self, id: SourceId) -> impl DoubleEndedIterator<Item = (SliceId, &Slice)> {
        let numbers = self.sources.get(&id).into_iter().flat_map(Source::slices);
        numbers.filter_map(move |number| Some((*number, self.slices.get(number)?)))
    }

    fn forget(&mut self, slice: SliceId) -> Option<Slice> {
        let forgotten = self.slices.remove(&slice)?;
        if let Some(source) = self.sources.get_mut(&forgotten.source) {
            source.end(slice);
        }
        Some(forgotten)
    }

    /// Nothing more is wanted of this source: neither what it was asked for, nor what it is about to be.
    fn free_slices_of(&mut self, id: SourceId) {
        self.actions.retain(|action| match action {
            Action::Fetch { source, .. } | Action::Cancel { source, .. } | Action::Stalled { source } => *source != id,
            Action::Finished => true,
        });
        let slices: Vec<_> = self.slices_of(id).map(|(slice, _)| slice).collect();
        for slice in slices {
            self.free(slice);
        }
    }

    /// Takes a slice back: what is left of it is missing, except for what somebody else was asked for too.
    fn free(&mut self, slice: SliceId) {
        let Some(freed) = self.forget(slice) else { return };
        let mut free = freed.left;
        for other in self.slices.values() {
            free.subtract(&other.left);
        }
        self.missing.extend(&free);
        self.raced_at = None;
    }

    fn finish_if_whole(&mut self) {
        if !self.is_finished && self.held.count() == self.layout.groups() {
            self.is_finished = true;
            self.actions.push_back(Action::Finished);
        }
    }

    fn assert_invariant(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        let requested = self.in_flight();
        let mut all = requested.clone();
        all.extend(&self.missing);
        all.extend(&self.held);
        let sum = requested.count() + self.missing.count() + self.held.count();
        assert!(all == self.layout.all() && sum == self.layout.groups(), "a group is in no state or in two");
        assert!(sets::deepest_overlap(self.slices.values().map(|slice| &slice.left)) <= 2, "three sources race");
        for slice in self.slices.values() {
            assert!(
                !slice.left.is_empty() && self.sources.contains_key(&slice.source),
                "a slice without work or owner"
            );
        }
        let known: usize = self.sources.values().map(|source| source.slices().len()).sum();
        assert_eq!(known, self.slices.len(), "a source's slices are not those of the download");
        for id in self.sources.keys() {
            let slices = self.slices_of(*id).map(|(_, slice)| &slice.left);
            assert!(sets::deepest_overlap(slices) <= 1, "a source races against itself");
        }
    }
}
