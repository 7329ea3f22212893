//! Who gets which of the missing groups.

use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

use super::{CopyRule, Download, Source, SourceId, SourceKind, order, sets};
use crate::{
    content::GroupSet,
    limits::{
        GROUP_BYTES, SLICE_BYTES, SLICE_BYTES_MIN, SLICE_QUEUED, SLICE_START_BYTES, SLICE_WORK, SLICE_WORK_MIN,
        SLICES_IN_FLIGHT_MAX, WANT_RANGES_MAX,
    },
};

impl Download {
    /// Hands out what is missing, to everybody who can do with more.
    pub(super) fn assign(&mut self, now: Instant) {
        while let Some((source, groups)) = self.next_assignment(now) {
            self.missing.subtract(&groups);
            self.request(now, source, groups);
        }
    }

    /// Whoever has the least to do is served first, so that the first work is spread; among these the fastest.
    fn next_assignment(&self, now: Instant) -> Option<(SourceId, GroupSet)> {
        let has_work_for = |source: &Source| source.is_usable() && source.has_any_of(&self.missing);
        let has_room = |id: SourceId, source: &Source| match source.slices().len() {
            0 => true,
            some if some < SLICES_IN_FLIGHT_MAX => !self.is_busy_for_long(id, source, now),
            _ => false,
        };
        let mut able: Vec<_> =
            self.sources.iter().filter(|(id, source)| has_room(**id, source) && has_work_for(source)).collect();
        if able.is_empty() {
            return None;
        }
        let workers: Vec<_> = self.sources.values().filter(|source| has_work_for(source)).collect();
        let spares_copies = self.copies == CopyRule::Spare
            && workers.iter().any(|source| source.kind() == SourceKind::Peer && source.is_prompt(now));
        let may_work = |source: &Source| source.kind() == SourceKind::Peer || !spares_copies;
        able.retain(|(_, source)| may_work(source));
        let (id, source) =
            able.into_iter().min_by_key(|(id, source)| (source.slices().len(), Reverse(source.speed(now)), **id))?;
        let workers: Vec<_> = workers.into_iter().filter(|source| may_work(source)).collect();
        Some((*id, self.choose(*id, source, now, &workers)))
    }

    /// Whether a source has enough to do for the time being: what it is asked for later is chosen by what is known then.
    fn is_busy_for_long(&self, id: SourceId, source: &Source, now: Instant) -> bool {
        let left: u64 = self.slices_of(id).map(|(_, slice)| self.layout.bytes_in(&slice.left)).sum();
        source
            .speed(now)
            .is_some_and(|speed| left.saturating_mul(1000) > speed.saturating_mul(SLICE_QUEUED.as_millis() as u64))
    }

    /// Which of the missing groups this source gets. The one place that knows an order of groups.
    fn choose(&self, id: SourceId, source: &Source, now: Instant, workers: &[&Source]) -> GroupSet {
        let bytes = self.slice_bytes(source, now, &Workers::of(workers, now));
        if let Some(groups) = self.choose_for_reader(id, bytes, now) {
            return groups;
        }
        self.choose_from(&self.missing, source, bytes)
    }

    /// Which of these missing groups this source gets when nobody reads them.
    pub(super) fn choose_from(&self, missing: &GroupSet, source: &Source, bytes: u64) -> GroupSet {
        let groups = (bytes / GROUP_BYTES).max(1);
        let parts: Vec<_> = self.sources.values().filter(|other| other.is_usable()).filter_map(Source::have).collect();
        if parts.is_empty() {
            let upwards = missing.within(self.spread.start()..self.layout.groups());
            let next = if upwards.is_empty() { missing } else { &upwards };
            return sets::first_common(next, None, groups, WANT_RANGES_MAX);
        }
        order::rarest(missing, source.have(), &parts, &self.spread, groups, WANT_RANGES_MAX)
    }

    /// A second or two of work, but of the rest only half of this source's share where several work: the slices
    /// shrink towards the end and nobody is left alone with a large one. They stay long against a round trip.
    fn slice_bytes(&self, source: &Source, now: Instant, workers: &Workers) -> u64 {
        let speed = source.speed(now);
        let of_work = |time: Duration| speed.map(|speed| speed.saturating_mul(time.as_millis() as u64) / 1000);
        let most = of_work(SLICE_WORK).unwrap_or_else(|| workers.trial_bytes(source));
        let least = of_work(SLICE_WORK_MIN).unwrap_or(0).max(SLICE_BYTES_MIN);
        let share = workers.share_of(source, now, self.layout.bytes_in(&self.missing));
        most.min(share).max(least).min(SLICE_BYTES)
    }
}

/// Those among whom the missing groups are shared out.
struct Workers {
    count: u64,
    measured: u64,
    speed_sum: u64,
}

impl Workers {
    fn of(sources: &[&Source], now: Instant) -> Self {
        let mut workers = Self { count: 0, measured: 0, speed_sum: 0 };
        for source in sources {
            workers.count += 1;
            if let Some(speed) = source.speed(now) {
                workers.measured += 1;
                workers.speed_sum += speed;
            }
        }
        workers
    }

    /// For a source that was not measured yet: as much as it has brought, and little where the others are slow too.
    fn trial_bytes(&self, source: &Source) -> u64 {
        let start = source.bytes_verified().max(SLICE_START_BYTES);
        let average = self.speed_sum.checked_div(self.measured);
        let of_work = average.map(|speed| speed.saturating_mul(SLICE_WORK.as_millis() as u64) / 1000);
        of_work.map_or(start, |bytes| bytes.min(start))
    }

    /// Half of a source's part of `bytes` by its speed; one that was not measured yet counts as an average one.
    fn share_of(&self, source: &Source, now: Instant, bytes: u64) -> u64 {
        if self.count <= 1 {
            return bytes;
        }
        let average = self.speed_sum.checked_div(self.measured).unwrap_or(1).max(1);
        let total = self.speed_sum + average * (self.count - self.measured);
        let own = source.speed(now).unwrap_or(average);
        let share = u128::from(bytes) * u128::from(own) / u128::from(total.max(1)) / 2;
        u64::try_from(share).unwrap_or(bytes)
    }
}
