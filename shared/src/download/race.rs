//! The endgame: when nothing is left to hand out, idle sources help the slowest ones.
//!
//! A source serves its slices from the front, so an idle faster one takes groups from the back: as many as let both
//! end at the same time. These groups are then requested of two. As each group is verified, the other side's rest
//! shrinks; a slice of which nothing is left is cancelled, and so is one whose whole rest a faster source is already
//! bringing, or whose next groups it has just brought.
//!
//! An idle source that has something of such a slice but not its end would make the slow one send its part in vain. If
//! the slice is much too large for the slow one by what is known now, what is left of it is handed out anew.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use super::{Action, CopyRule, Download, SliceId, Source, SourceId, SourceKind, sets};
use crate::{
    content::GroupSet,
    limits::{
        GROUP_BYTES, RACE_CHECK, RACE_COST_PERMILLE, RACE_REST_MIN, SLICE_BYTES, SLICE_BYTES_MIN, SLICE_WORK,
        WANT_RANGES_MAX,
    },
};

/// Work of a slow source that another could take over.
struct Rest {
    /// How long it would take its source.
    time: Duration,
    /// Groups of it that nobody else was asked for and the helper has, in serving order, slice by slice.
    slices: Vec<GroupSet>,
    /// Bytes per second of its source.
    speed: u64,
    /// Whether its source has not delivered for a moment.
    is_silent: bool,
}

impl Rest {
    /// How many groups a helper should take so that both end at the same time, given that it begins later.
    fn part_for(&self, helper_speed: u64, response: Duration) -> u64 {
        let total: u64 = self.slices.iter().map(GroupSet::count).sum();
        let gone = u128::from(self.speed) * response.as_millis() / 1000 / u128::from(GROUP_BYTES);
        let shared = u128::from(total).saturating_sub(gone);
        let (own, both) = (u128::from(helper_speed.max(1)), u128::from(helper_speed.max(1)) + u128::from(self.speed));
        u64::try_from(shared * own / both).unwrap_or(total).clamp(1, SLICE_BYTES / GROUP_BYTES)
    }
}

impl Download {
    /// Lets idle sources take over tails, the fastest first.
    pub(super) fn race(&mut self, now: Instant) {
        // Between two looks nothing changes but time.
        if self.raced_at.is_some_and(|at| now < at + RACE_CHECK) {
            return;
        }
        self.raced_at = Some(now);
        let mut idle = self.idle_sources(now);
        idle.sort_by_key(|id| (std::cmp::Reverse(self.sources.get(id).and_then(|source| source.speed(now))), *id));
        for id in idle {
            if self.slices_of(id).next().is_some() {
                continue;
            }
            if let Some(groups) = self.tail_for(id, now) {
                self.request(now, id, groups);
            } else if let Some(slice) = self.oversized_for(id, now) {
                self.take_back(slice);
                self.assign(now);
            }
        }
    }

    fn take_back(&mut self, slice: SliceId) {
        if let Some(known) = self.slices.get(&slice) {
            self.actions.push_back(Action::Cancel { source: known.source, slice });
        }
        self.free(slice);
    }

    /// A slice much larger than its source would get by its speed now, of which the helper has something, though not
    /// its end: what is left of it is better handed out anew.
    fn oversized_for(&self, helper: SourceId, now: Instant) -> Option<SliceId> {
        let helper_has = self.sources.get(&helper)?.have();
        let sizes = self.slices.iter().filter(|(_, slice)| slice.source != helper).filter_map(|(number, slice)| {
            let source = self.sources.get(&slice.source)?;
            let speed = source.speed(now).or_else(|| (!source.is_prompt(now)).then_some(0))?;
            let right = (speed.saturating_mul(SLICE_WORK.as_millis() as u64) / 1000).max(SLICE_BYTES_MIN);
            let left = self.layout.bytes_in(&slice.left);
            let helps = || !sets::intersection(&self.unraced(*number), helper_has).is_empty();
            (left > 2 * right && helps()).then_some((left / right, *number))
        });
        sizes.max().map(|(_, number)| number)
    }

    /// Whether somebody with nothing or little to do may soon take over from somebody slow.
    pub(super) fn may_race(&self, now: Instant) -> bool {
        !self.slices.is_empty() && (!self.idle_sources(now).is_empty() || self.may_hurry(now))
    }

    /// Usable sources without work.
    fn idle_sources(&self, now: Instant) -> Vec<SourceId> {
        self.helpers(now, 1)
    }

    /// Usable sources with fewer slices than this; the copy only if it may work.
    pub(super) fn helpers(&self, now: Instant, slices: usize) -> Vec<SourceId> {
        let is_peer = |source: &Source| source.kind() == SourceKind::Peer;
        let spares_copies = self.copies == CopyRule::Spare
            && self.sources.values().any(|source| is_peer(source) && source.is_prompt(now));
        self.sources
            .iter()
            .filter(|(_, source)| source.is_usable() && source.slices().len() < slices)
            .filter(|(_, source)| is_peer(source) || !spares_copies)
            .map(|(id, _)| *id)
            .collect()
    }

    /// The groups that an idle source should take from the one that needs longest, if that is worth it.
    fn tail_for(&self, helper: SourceId, now: Instant) -> Option<GroupSet> {
        let source = self.sources.get(&helper)?;
        let (own_speed, response) = (source.speed(now), source.response());
        let others_end = self.time_for_missing(now);
        let may_cost = self.may_race_cost_more();
        let rest = self
            .sources
            .keys()
            .filter(|id| **id != helper)
            .filter_map(|id| self.rest_of(*id, helper, now))
            .filter(|rest| rest.time >= others_end + RACE_REST_MIN + 2 * response)
            .filter(|rest| own_speed.is_none_or(|own| own > rest.speed))
            .filter(|rest| may_cost || rest.is_silent)
            .max_by_key(|rest| rest.time)?;
        // Not measured yet: assumed to be as fast as the other.
        let part = rest.part_for(own_speed.unwrap_or(rest.speed), response);
        let mut tail = GroupSet::new();
        for slice in rest.slices.iter().rev() {
            let room = WANT_RANGES_MAX - tail.ranges().len();
            tail.extend(&sets::last(slice, part - tail.count(), room));
        }
        (!tail.is_empty()).then_some(tail)
    }

    /// Whether what races brought twice, and may still bring, is little against the blob.
    fn may_race_cost_more(&self) -> bool {
        let asked: u64 = self.slices.values().map(|slice| slice.left.count()).sum();
        let in_races = (asked - self.in_flight().count()) * GROUP_BYTES;
        // Both ends of a race come to meet each other: of what both were asked for, little comes twice.
        (self.twice + in_races / 4) * 1000 <= self.layout.size() * RACE_COST_PERMILLE
    }

    /// How long those who work need for what nobody was asked for yet: whoever ends before holds up nobody.
    fn time_for_missing(&self, now: Instant) -> Duration {
        let missing = self.layout.bytes_in(&self.missing);
        let busy = self.sources.values().filter(|source| !source.slices().is_empty());
        let speeds = busy.filter_map(|source| source.speed(now));
        match (missing, speeds.sum::<u64>()) {
            (0, _) | (_, 0) => Duration::ZERO,
            (missing, speed) => Duration::from_millis(missing.saturating_mul(1000) / speed),
        }
    }

    /// What is left to do for a source that is measured or silent, and not about to end anyway.
    fn rest_of(&self, id: SourceId, helper: SourceId, now: Instant) -> Option<Rest> {
        let (source, helper_has) = (self.sources.get(&id)?, self.sources.get(&helper)?.have());
        let silence = now.saturating_duration_since(source.silent_since()?);
        // Nothing came yet for so long that nothing may come at all.
        let speed = source.speed(now).or_else(|| (!source.is_prompt(now)).then_some(0))?;
        let left: u64 = self.slices_of(id).map(|(_, slice)| self.layout.bytes_in(&slice.left)).sum();
        let by_speed = Duration::from_millis(left.saturating_mul(1000).checked_div(speed).unwrap_or(u64::MAX));
        let time = by_speed.max(silence);
        // Only the end of a slice: its source would go on sending what is brought from its middle.
        let tail = |slice| sets::common_tail(&self.unraced(slice), helper_has);
        let slices: Vec<_> = self.slices_of(id).map(|(slice, _)| tail(slice)).collect();
        slices.iter().any(|groups| !groups.is_empty()).then_some(Rest {
            time,
            slices,
            speed,
            is_silent: !source.is_prompt(now),
        })
    }

    /// What only this slice was asked for.
    pub(super) fn unraced(&self, slice: SliceId) -> GroupSet {
        let Some(own) = self.slices.get(&slice) else { return GroupSet::new() };
        let mut groups = own.left.clone();
        for (other, rival) in &self.slices {
            if *other != slice {
                groups.subtract(&rival.left);
            }
        }
        groups
    }

    /// Cancels those of the `beaten` slices, given with the group that was next in them, whose source will be behind
    /// for good: `ahead`, of a faster source, has just brought `groups` before they did, and these were next in them or
    /// their whole rest is also under way in `ahead`.
    pub(super) fn cancel_overtaken(
        &mut self,
        now: Instant,
        ahead: (SourceId, SliceId),
        groups: &Range<u64>,
        beaten: &[(SliceId, u64)],
    ) {
        for (id, front) in beaten {
            let Some(loser) = self.slices.get(id) else { continue };
            let is_under_way =
                self.slices.get(&ahead.1).is_some_and(|winner| sets::is_inside(&loser.left, &winner.left));
            let is_overtaken = groups.contains(front) || is_under_way;
            if is_overtaken && self.is_faster(ahead.0, loser.source, now) {
                self.take_back(*id);
            }
        }
    }

    fn is_faster(&self, one: SourceId, other: SourceId, now: Instant) -> bool {
        let speed = |id| self.sources.get(&id).and_then(|source| source.speed(now));
        speed(one).is_some_and(|one| speed(other).is_none_or(|other| one >= other))
    }
}
