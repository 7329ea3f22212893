//! What is known of one source: what it has, how fast it is, since when it is silent.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{SliceId, SourceKind, sets};
use crate::{
    content::{GroupSet, Layout},
    limits::{
        COPY_AFTER, RESPONSE_GUESS, SOURCE_RANGES_MAX, SOURCE_STALL, SPEED_MEASURE_MIN, SPEED_STEP, SPEED_WINDOW,
    },
};

/// A source as others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceView {
    /// What it is.
    pub kind: SourceKind,
    /// Bytes that it brought since it joined, verified.
    pub bytes_verified: u64,
    /// Slices that it works on or is about to.
    pub slices: usize,
    /// Bytes per second over the last seconds; zero while it has no work.
    pub speed: u64,
    /// Since when it has had work and brought nothing; `None` without work.
    pub silent_since: Option<Instant>,
    /// When it was given up because it was silent for too long.
    pub stalled_since: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Source {
    kind: SourceKind,
    /// `None` is everything.
    have: Option<GroupSet>,
    bytes_verified: u64,
    meter: Meter,
    /// Time from its last order out of idleness to the first bytes.
    response: Option<Duration>,
    awaits_first_bytes: bool,
    /// In the order in which they were asked.
    slices: Vec<SliceId>,
    /// Present while it has work.
    silent_since: Option<Instant>,
    /// When it last said that it serves others first. Gone with its next bytes.
    queued_at: Option<Instant>,
    stalled_since: Option<Instant>,
}

impl Source {
    pub(super) fn new(kind: SourceKind, have: Option<GroupSet>, layout: Layout) -> Self {
        Self {
            kind,
            have: part_of(layout, have),
            bytes_verified: 0,
            meter: Meter::new(),
            response: None,
            awaits_first_bytes: false,
            slices: Vec::new(),
            silent_since: None,
            queued_at: None,
            stalled_since: None,
        }
    }

    pub(super) const fn kind(&self) -> SourceKind {
        self.kind
    }

    pub(super) const fn have(&self) -> Option<&GroupSet> {
        self.have.as_ref()
    }

    pub(super) fn describe(&mut self, kind: SourceKind, have: Option<GroupSet>, layout: Layout) {
        self.kind = kind;
        self.have = part_of(layout, have);
    }

    pub(super) fn gain(&mut self, more: &GroupSet, layout: Layout) {
        if let Some(mut have) = self.have.take() {
            have.extend(more);
            self.have = part_of(layout, Some(have));
        }
    }

    /// Whether it may get work.
    pub(super) const fn is_usable(&self) -> bool {
        self.stalled_since.is_none()
    }

    pub(super) fn has_any_of(&self, groups: &GroupSet) -> bool {
        self.have.as_ref().map_or(!groups.is_empty(), |have| sets::overlap(have, groups))
    }

    /// The slices that it works on or is about to, in the order in which they were asked.
    pub(super) fn slices(&self) -> &[SliceId] {
        &self.slices
    }

    /// A slice is no longer its work.
    pub(super) fn end(&mut self, slice: SliceId) {
        self.slices.retain(|known| *known != slice);
    }

    /// It has this work now.
    pub(super) fn begin(&mut self, now: Instant, slice: SliceId) {
        self.slices.push(slice);
        if self.silent_since.is_none() {
            self.silent_since = Some(now);
            self.awaits_first_bytes = true;
            self.meter.begin(now);
        }
    }

    /// It has no work any more.
    pub(super) fn rest(&mut self, now: Instant) {
        self.queued_at = None;
        if self.silent_since.take().is_some() {
            self.meter.end(now);
        }
    }

    /// It serves others first: no reason to give it up, and none to wait for it.
    pub(super) fn wait_in_line(&mut self, now: Instant) {
        if self.silent_since.is_some() {
            self.queued_at = Some(now);
        }
    }

    pub(super) fn brought(&mut self, now: Instant, bytes: u64) {
        self.bytes_verified += bytes;
        if self.queued_at.take().is_some() {
            // Standing in line says nothing about its speed.
            self.awaits_first_bytes = false;
            self.meter.begin(now);
        }
        if let Some(since) = self.silent_since.replace(now) {
            if std::mem::take(&mut self.awaits_first_bytes) {
                self.response = Some(now.saturating_duration_since(since));
            }
            self.meter.add(now, bytes);
        } else {
            // What arrives of a cancelled slice is no work.
            self.silent_since = None;
        }
    }

    pub(super) fn give_up(&mut self, now: Instant) {
        self.stalled_since = Some(now);
    }

    /// Bytes that it brought since it joined.
    pub(super) const fn bytes_verified(&self) -> u64 {
        self.bytes_verified
    }

    /// When it will have been silent for too long.
    pub(super) fn stalls_at(&self) -> Option<Instant> {
        let heard = self.queued_at.max(self.silent_since);
        heard.filter(|_| self.is_usable()).map(|heard| heard + SOURCE_STALL)
    }

    /// When it will have been silent for so long that others help.
    pub(super) fn quiet_at(&self) -> Option<Instant> {
        self.silent_since.filter(|_| self.is_usable()).map(|since| since + COPY_AFTER)
    }

    /// Whether it delivers, or has not had the time to.
    pub(super) fn is_prompt(&self, now: Instant) -> bool {
        self.is_usable() && self.queued_at.is_none() && self.quiet_at().is_none_or(|quiet| now < quiet)
    }

    pub(super) const fn silent_since(&self) -> Option<Instant> {
        self.silent_since
    }

    /// Bytes per second while it works, or when it last did; `None` when too little is known.
    pub(super) fn speed(&self, now: Instant) -> Option<u64> {
        self.meter.speed(now)
    }

    /// Time that it takes to bring the first bytes of new work.
    pub(super) fn response(&self) -> Duration {
        self.response.unwrap_or(RESPONSE_GUESS)
    }

    pub(super) fn view(&self, now: Instant) -> SourceView {
        SourceView {
            kind: self.kind,
            bytes_verified: self.bytes_verified,
            slices: self.slices.len(),
            speed: self.silent_since.and_then(|_| self.speed(now)).unwrap_or(0),
            silent_since: self.silent_since,
            stalled_since: self.stalled_since,
        }
    }
}

/// What a source has, in few enough ranges; a part that is everything is `None`.
fn part_of(layout: Layout, have: Option<GroupSet>) -> Option<GroupSet> {
    let have = have.filter(|have| !have.contains_all(&(0..layout.groups())))?;
    Some(if have.ranges().len() <= SOURCE_RANGES_MAX {
        have
    } else {
        have.ranges().take(SOURCE_RANGES_MAX).fold(GroupSet::new(), |mut kept, range| {
            kept.insert(range.clone());
            kept
        })
    })
}

/// Speed over the last seconds of work. Idle time does not count: nobody is slow for having nothing to do.
#[derive(Debug)]
struct Meter {
    /// When the present work began.
    begun: Option<Instant>,
    /// What arrived lately: the start of a step of time and the bytes in it.
    steps: VecDeque<(Instant, u64)>,
    /// The speed of the work before.
    before: Option<u64>,
}

impl Meter {
    const fn new() -> Self {
        Self { begun: None, steps: VecDeque::new(), before: None }
    }

    fn begin(&mut self, now: Instant) {
        self.begun = Some(now);
        self.steps.clear();
    }

    fn add(&mut self, now: Instant, bytes: u64) {
        match self.steps.back_mut() {
            Some((start, sum)) if now < *start + SPEED_STEP => *sum += bytes,
            Some(_) | None => self.steps.push_back((now, bytes)),
        }
        while self.steps.front().is_some_and(|(start, _)| *start + SPEED_WINDOW < now) {
            self.steps.pop_front();
        }
    }

    fn end(&mut self, now: Instant) {
        self.before = self.speed(now);
        self.begun = None;
        self.steps.clear();
    }

    fn speed(&self, now: Instant) -> Option<u64> {
        let Some(begun) = self.begun else { return self.before };
        let elapsed = now.saturating_duration_since(begun).min(SPEED_WINDOW);
        let recent = self.steps.iter().filter(|(start, _)| *start + SPEED_WINDOW >= now);
        let bytes: u64 = recent.map(|(_, bytes)| bytes).sum();
        // The first bytes take a round trip and a slow start: until some came, silence says little.
        let says_nothing = elapsed < SPEED_MEASURE_MIN || (bytes == 0 && elapsed < SPEED_WINDOW);
        if says_nothing {
            return self.before;
        }
        Some(bytes.saturating_mul(1000) / (elapsed.as_millis() as u64).max(1))
    }
}
