//! Who gets which of the missing groups.

use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

use super::{Download, Source, SourceId, SourceKind, sets};
use crate::{
    content::GroupSet,
    limits::{
        GROUP_BYTES, SLICE_BYTES, SLICE_BYTES_MIN, SLICE_START_BYTES, SLICE_TRIAL_BYTES, SLICE_WORK, SLICE_WORK_MIN,
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
        if self.missing.is_empty() {
            return None;
        }
        let copies_are_spared = self.sources.values().any(|source| {
            source.kind() == SourceKind::Peer && source.is_prompt(now) && source.has_any_of(&self.missing)
        });
        let mut able: Vec<_> = self
            .sources
            .iter()
            .filter(|(_, source)| source.is_usable() && source.has_any_of(&self.missing))
            .filter(|(_, source)| source.kind() == SourceKind::Peer || !copies_are_spared)
            .collect();
        let workers = Workers::of(able.iter().map(|(_, source)| *source), now);
        able.retain(|(id, _)| self.slices_of(**id).count() < SLICES_IN_FLIGHT_MAX);
        let (id, source) = able
            .into_iter()
            .min_by_key(|(id, source)| (self.slices_of(**id).count(), Reverse(source.speed(now)), **id))?;
        Some((*id, self.choose(source, now, &workers)))
    }

    /// Which of the missing groups this source gets. The one place that knows an order of groups.
    fn choose(&self, source: &Source, now: Instant, workers: &Workers) -> GroupSet {
        let groups = (self.slice_bytes(source, now, workers) / GROUP_BYTES).max(1);
        sets::first_common(&self.missing, source.have(), groups, WANT_RANGES_MAX)
    }

    /// A second or two of work, but of the rest only half of this source's share where several work: the slices
    /// shrink towards the end and nobody is left alone with a large one. They stay long against a round trip.
    fn slice_bytes(&self, source: &Source, now: Instant, workers: &Workers) -> u64 {
        let speed = source.speed(now);
        let of_work = |time: Duration| speed.map(|speed| speed.saturating_mul(time.as_millis() as u64) / 1000);
        let most =
            of_work(SLICE_WORK).unwrap_or(if workers.count <= 1 { SLICE_START_BYTES } else { SLICE_TRIAL_BYTES });
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
    fn of<'a>(sources: impl Iterator<Item = &'a Source>, now: Instant) -> Self {
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
