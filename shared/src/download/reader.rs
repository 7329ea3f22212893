//! Somebody reads the blob from front to back while it arrives: what is read next comes first.
//!
//! The fastest source gets the next groups. A slower one begins where the faster ones will not have come by the time
//! that it delivers, so nothing that is read soon waits for it. Slices ahead of the reader are short. When groups are
//! about to be read and their source turns out to be late, a faster one is asked for them too.

use std::{
    cmp::Reverse,
    ops::Range,
    time::{Duration, Instant},
};

use super::{Download, SliceId, SourceId, sets};
use crate::{
    content::GroupSet,
    limits::{
        GROUP_BYTES, RACE_REST_MIN, READ_AHEAD_BYTES, READ_SLICE_WORK, READ_URGENT_BYTES, SLICE_BYTES_MIN,
        SLICE_START_BYTES, SLICES_IN_FLIGHT_MAX, WANT_RANGES_MAX,
    },
};

impl Download {
    /// What a source that can do with `bytes` gets while somebody reads; `None` when it makes no difference to the
    /// reader.
    pub(super) fn choose_for_reader(&self, id: SourceId, bytes: u64, now: Instant) -> Option<GroupSet> {
        let source = self.sources.get(&id)?;
        let window = self.ahead_of_reader()?;
        let near = self.missing.within(window.clone());
        if !source.has_any_of(&near) {
            return None;
        }
        let most = source.speed(now).map_or(SLICE_START_BYTES / 2, |speed| bytes_in(speed, READ_SLICE_WORK));
        let most = most.max(SLICE_BYTES_MIN);
        let groups = (bytes.min(most) / GROUP_BYTES).max(1);
        let others = self.by_faster_ones(id, groups * GROUP_BYTES, &near, now);
        let beyond = sets::beyond_first(&near, source.have(), others);
        if !beyond.is_empty() {
            return Some(sets::first_common(&beyond, None, groups, WANT_RANGES_MAX));
        }
        let far = near.missing_in(0..self.layout.groups());
        let far = sets::intersection(&self.missing, Some(&far));
        if source.has_any_of(&far) {
            return Some(self.choose_from(&far, source, bytes));
        }
        // All that is left is read soon: the end of it leaves the reader the most time.
        Some(sets::last(&sets::intersection(&near, source.have()), groups, WANT_RANGES_MAX))
    }

    /// Asks faster sources for what the reader is about to need and others will be late with.
    pub(super) fn hurry(&mut self, now: Instant) {
        if self.ahead_of_reader().is_none() {
            return;
        }
        let mut helpers = self.helpers(now, SLICES_IN_FLIGHT_MAX);
        helpers.sort_by_key(|id| (Reverse(self.sources.get(id).and_then(|source| source.speed(now))), *id));
        for id in helpers {
            if let Some(groups) = self.late_for(id, now) {
                self.request(now, id, groups);
            }
        }
    }

    /// Whether somebody could still be asked for more while somebody reads.
    pub(super) fn may_hurry(&self, now: Instant) -> bool {
        self.ahead_of_reader().is_some() && !self.helpers(now, SLICES_IN_FLIGHT_MAX).is_empty()
    }

    /// The groups that are to come before all others.
    fn ahead_of_reader(&self) -> Option<Range<u64>> {
        let end = self.layout.groups();
        let at = self.reader.filter(|at| *at < end)?;
        Some(at..end.min(at.saturating_add(READ_AHEAD_BYTES / GROUP_BYTES)))
    }

    /// How many of the groups that a source might get faster ones can bring before it brings `bytes`.
    fn by_faster_ones(&self, id: SourceId, bytes: u64, near: &GroupSet, now: Instant) -> u64 {
        let Some(source) = self.sources.get(&id) else { return 0 };
        let own_speed = source.speed(now);
        let time = own_speed.map(|speed| source.response() + time_for(self.queued(id) + bytes, speed));
        let may_work = self.helpers(now, SLICES_IN_FLIGHT_MAX + 1);
        let faster = may_work.into_iter().filter(|other| *other != id).filter_map(|other| {
            let speed = self.sources.get(&other).filter(|source| source.has_any_of(near))?.speed(now)?;
            let is_faster = own_speed.is_none_or(|own| (speed, Reverse(other)) > (own, Reverse(id)));
            is_faster.then_some((other, speed))
        });
        let groups = faster.map(|(other, speed)| match time {
            // Nobody knows when it delivers.
            None => u64::MAX,
            Some(time) => bytes_in(speed, time).saturating_sub(self.queued(other)) / GROUP_BYTES,
        });
        groups.fold(0, u64::saturating_add)
    }

    /// Groups that the reader needs soon, of the source that will be the latest with them, if this one brings them
    /// much earlier.
    fn late_for(&self, helper: SourceId, now: Instant) -> Option<GroupSet> {
        let source = self.sources.get(&helper)?;
        let (speed, window) = (source.speed(now)?, self.ahead_of_reader()?);
        let next = self.held.missing_in(window).ranges().next()?.start;
        let urgent = next..next + READ_URGENT_BYTES / GROUP_BYTES;
        let parts = self.slices.iter().filter(|(_, slice)| slice.source != helper).filter_map(|(number, slice)| {
            let part = sets::intersection(&self.unraced(*number).within(urgent.clone()), source.have());
            let end = part.ranges().last()?.end;
            let own_time = source.response() + time_for(self.queued(helper) + self.layout.bytes_in(&part), speed);
            let time = self.time_until(*number, slice.source, end, now);
            (time > RACE_REST_MIN + 2 * own_time).then_some((time, part))
        });
        let (_, part) = parts.max_by_key(|(time, _)| *time)?;
        Some(part)
    }

    /// How long a source will need until it has brought a slice up to this group.
    fn time_until(&self, number: SliceId, id: SourceId, end: u64, now: Instant) -> Duration {
        let Some(source) = self.sources.get(&id) else { return Duration::MAX };
        let before = self.slices_of(id).take_while(|(earlier, _)| *earlier < number);
        let before: u64 = before.map(|(_, slice)| self.layout.bytes_in(&slice.left)).sum();
        let own = self.slices.get(&number).map_or(0, |slice| self.layout.bytes_in(&slice.left.within(0..end)));
        let silence = source.silent_since().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        match source.speed(now) {
            Some(speed) => time_for(before + own, speed).max(silence),
            // Not measured yet: it is given as long as it has taken already.
            None => silence,
        }
    }

    fn queued(&self, id: SourceId) -> u64 {
        self.slices_of(id).map(|(_, slice)| self.layout.bytes_in(&slice.left)).sum()
    }
}

fn bytes_in(speed: u64, time: Duration) -> u64 {
    let bytes = u128::from(speed) * time.as_millis() / 1000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn time_for(bytes: u64, speed: u64) -> Duration {
    // A source that brings nothing is late for every reader.
    let millis = bytes.saturating_mul(1000).checked_div(speed).unwrap_or(A_LONG_TIME_MS);
    Duration::from_millis(millis.min(A_LONG_TIME_MS))
}

/// Longer than any reader waits; sums of such times do not overflow.
const A_LONG_TIME_MS: u64 = 1000 * 3600 * 24 * 365;
