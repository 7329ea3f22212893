//! What each node of a swarm has, how fast its line is, and what it will do to the others.

use std::ops::Range;

use rand::{Rng, rngs::StdRng};

use crate::{content::GroupSet, download::SourceKind};

pub(super) const MIB: u64 = 1024 * 1024;
pub(super) const SECOND_US: u64 = 1_000_000;
const ALWAYS: Range<u64> = 0..u64::MAX;
/// Bytes per second of a line that never is the bottleneck.
const UNLIMITED: u64 = 1 << 40;

#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) kind: SourceKind,
    /// What it has at the beginning; `None` is everything.
    pub(super) have: Option<GroupSet>,
    /// Whether it downloads, serving what it has verified. Others only serve.
    pub(super) downloads: bool,
    /// Whether it gets more of the blob in some way that is not simulated.
    pub(super) grows: bool,
    /// Bytes per second.
    pub(super) up: u64,
    pub(super) down: u64,
    /// Time of a packet from it to the middle of the net, or back.
    pub(super) delay_us: u64,
    /// Groups of a thousand that have to be sent again.
    pub(super) loss_permille: u64,
    /// When it is there.
    pub(super) present: Vec<Range<u64>>,
    /// When it sends nothing although it is there.
    pub(super) silent: Vec<Range<u64>>,
    /// Whether it goes without a word, so that others find out by its silence.
    pub(super) vanishes: bool,
    /// How many groups it sends before the first wrong one.
    pub(super) lies_after: Option<u64>,
    pub(super) refuses: bool,
}

impl Plan {
    /// A member who has everything, stays and serves, and never downloads.
    pub(super) fn honest(rng: &mut StdRng, up: Range<f64>) -> Self {
        Self {
            kind: SourceKind::Peer,
            have: None,
            downloads: false,
            grows: false,
            up: between(rng, up),
            down: UNLIMITED,
            delay_us: rng.random_range(500..75_000),
            loss_permille: 0,
            present: Vec::from_iter([ALWAYS]),
            silent: Vec::new(),
            vanishes: false,
            lies_after: None,
            refuses: false,
        }
    }

    /// A source that may do anything.
    pub(super) fn wild(rng: &mut StdRng, groups: u64) -> Self {
        let mut plan = Self::honest(rng, 20e3..30e6);
        if rng.random_bool(0.2) {
            plan.kind = SourceKind::Copy;
        }
        if rng.random_bool(0.4) {
            plan.have = Some(some_groups(rng, groups));
            plan.grows = rng.random_bool(0.7);
        }
        if rng.random_bool(0.5) {
            plan.present = moments(rng);
            plan.vanishes = rng.random_bool(0.3);
        }
        if rng.random_bool(0.3) {
            plan.silent = moments(rng);
        }
        if rng.random_bool(0.3) {
            plan.loss_permille = rng.random_range(1..100);
        }
        if rng.random_bool(0.15) {
            plan.lies_after = Some(rng.random_range(0..200));
        }
        plan.refuses = rng.random_bool(0.05);
        plan
    }

    /// The one who fetches.
    pub(super) fn downloader(have: GroupSet) -> Self {
        Self {
            kind: SourceKind::Peer,
            have: Some(have),
            downloads: true,
            grows: false,
            up: UNLIMITED,
            down: UNLIMITED,
            delay_us: 0,
            loss_permille: 0,
            present: Vec::from_iter([ALWAYS]),
            silent: Vec::new(),
            vanishes: false,
            lies_after: None,
            refuses: false,
        }
    }

    /// One of many who fetch and serve at once, and stay.
    pub(super) fn member(rng: &mut StdRng, up: Range<f64>, down: Range<f64>) -> Self {
        let (up, down) = (between(rng, up), between(rng, down));
        Self { up, down: down.max(up), delay_us: rng.random_range(500..75_000), ..Self::downloader(GroupSet::new()) }
    }
}

/// A number whose magnitude is as likely to be small as large.
fn between(rng: &mut StdRng, range: Range<f64>) -> u64 {
    rng.random_range(range.start.ln()..=range.end.ln()).exp() as u64
}

pub(super) fn some_groups(rng: &mut StdRng, groups: u64) -> GroupSet {
    let mut some = GroupSet::new();
    for _ in 0..rng.random_range(0..40) {
        let start = rng.random_range(0..groups);
        some.insert(start..(start + rng.random_range(1..=groups.div_ceil(8))).min(groups));
    }
    some
}

pub(super) fn moments(rng: &mut StdRng) -> Vec<Range<u64>> {
    let mut at = 0;
    let mut ranges = Vec::new();
    for _ in 0..rng.random_range(1..5) {
        let start = at + rng.random_range(0..20 * SECOND_US);
        at = start + rng.random_range(1..40 * SECOND_US);
        ranges.push(start..at);
    }
    ranges
}
