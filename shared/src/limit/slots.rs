//! Upload slots: so many members are served at a time, the others stand in line.
//!
//! A member, not a stream, holds a slot or stands in line, so that many streams are no advantage. Whoever holds a slot
//! keeps it for a turn, bounded in bytes and time, when others wait, and then goes to the end of the line; all streams
//! of a member go on together. A turn ends between two wants: what has begun to be sent is sent to its end, unless it
//! takes so long that whoever waits has to be protected from it.
//!
//! Turns are of different lengths for that, so the line is ordered by time served: start-time fair queueing (Goyal, Vin
//! and Cheng, 1996), with the time that a slot was held as the length of a packet. Whoever comes for the first time stands
//! behind those who wait already, and whoever leaves and comes back has won nothing.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use crate::limits::{SLOT_OVERSTAY, SLOT_REST, SLOT_TURN, SLOT_TURN_BYTES};

/// One want that needs a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim(u64);

/// How a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is served now.
    Served,
    /// Its member stands in line.
    Waits(Place),
}

/// A place in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// 1 is the next one to be served.
    pub position: u32,
    /// How long it will take, by the turns before.
    pub wait: Duration,
}

/// The slots and the line of members `M`.
#[derive(Debug)]
pub struct Slots<M> {
    /// Members served at a time; `None`: all.
    most: Option<usize>,
    holders: BTreeMap<M, Holder>,
    /// Who waits, next first, with their start tags.
    line: VecDeque<(Duration, M)>,
    /// What those have had who had more than the others: their next turn does not start before.
    finished: BTreeMap<M, Duration>,
    /// The highest start tag of anybody who was let in: virtual time.
    time: Duration,
    claims: BTreeMap<Claim, (M, Phase)>,
    next_claim: u64,
    /// How long turns last, as an average over the last ones.
    turn: Option<Duration>,
}

#[derive(Debug)]
struct Holder {
    /// The start tag of this turn.
    start: Duration,
    since: Instant,
    bytes: u64,
    /// When the turn is over, if others wait then.
    over_at: Instant,
    /// Since when nothing of theirs is served.
    rests_since: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waits,
    Served,
}

impl<M: Ord + Copy> Slots<M> {
    /// So many slots; `None`: everybody is served at once.
    #[must_use]
    pub const fn new(most: Option<usize>) -> Self {
        Self {
            most,
            holders: BTreeMap::new(),
            line: VecDeque::new(),
            finished: BTreeMap::new(),
            time: Duration::ZERO,
            claims: BTreeMap::new(),
            next_claim: 0,
            turn: None,
        }
    }

    /// Another number of slots. Nobody is thrown out for it: who has a slot too many leaves it after this want.
    pub fn set_most(&mut self, now: Instant, most: Option<usize>) {
        self.most = most;
        self.settle(now);
    }

    /// Asks for a slot for one want.
    pub fn claim(&mut self, now: Instant, member: M) -> Claim {
        self.next_claim += 1;
        let claim = Claim(self.next_claim);
        self.claims.insert(claim, (member, Phase::Waits));
        if !self.holders.contains_key(&member) && !self.line.iter().any(|(_, other)| *other == member) {
            self.queue(member);
        }
        self.settle(now);
        claim
    }

    /// How a claim stands; `None` after its release.
    #[must_use]
    pub fn standing(&self, now: Instant, claim: Claim) -> Option<Standing> {
        let (member, phase) = self.claims.get(&claim)?;
        Some(match phase {
            Phase::Served => Standing::Served,
            // A holder whose turn is over stands behind everybody.
            Phase::Waits => {
                Standing::Waits(self.place(now, *member).unwrap_or_else(|| self.place_at(now, self.line.len())))
            }
        })
    }

    /// Where a member stands in line, if it does.
    #[must_use]
    pub fn place(&self, now: Instant, member: M) -> Option<Place> {
        let index = self.line.iter().position(|(_, other)| *other == member)?;
        Some(self.place_at(now, index))
    }

    /// Bytes were served for a claim. `false`: it goes on for so long beyond its turn that it has to end now.
    pub fn served(&mut self, now: Instant, claim: Claim, bytes: u64) -> bool {
        let others_wait = !self.line.is_empty();
        let Some(holder) = self.claims.get(&claim).and_then(|(member, _)| self.holders.get_mut(member)) else {
            return true;
        };
        holder.bytes = holder.bytes.saturating_add(bytes);
        if holder.bytes >= SLOT_TURN_BYTES {
            holder.over_at = holder.over_at.min(now);
        }
        !others_wait || now < holder.over_at + SLOT_OVERSTAY
    }

    /// A claim is over, served or not.
    pub fn release(&mut self, now: Instant, claim: Claim) {
        let Some((member, _)) = self.claims.remove(&claim) else { return };
        if !self.claims.values().any(|(other, _)| *other == member) {
            self.line.retain(|(_, other)| *other != member);
        }
        if !self.is_served(member)
            && let Some(holder) = self.holders.get_mut(&member)
        {
            holder.rests_since = Some(now);
        }
        self.settle(now);
    }

    /// When to call [`Slots::settle`], if nothing else happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.line.is_empty() {
            return None;
        }
        self.holders.values().filter_map(|holder| holder.rests_since).map(|since| since + SLOT_REST).min()
    }

    /// Lets go of slots that are not used or whose turn is over, and gives free ones to whoever is next. Says whether
    /// anything changed.
    pub fn settle(&mut self, now: Instant) -> bool {
        let mut changed = false;
        if let Some((next, _)) = self.line.front().copied() {
            // Who has had less than the next one in line goes on with another turn.
            for holder in self.holders.values_mut().filter(|holder| holder.is_over(now) && holder.tag(now) < next) {
                let start = holder.tag(now);
                *holder = Holder { rests_since: holder.rests_since, ..Holder::new(start, now) };
            }
        }
        let leaving: Vec<M> =
            self.holders.iter().filter(|(_, holder)| self.leaves(holder, now)).map(|(m, _)| *m).collect();
        for member in leaving {
            let Some(holder) = self.holders.remove(&member) else { continue };
            changed = true;
            let took = now.saturating_duration_since(holder.since);
            self.finished.insert(member, holder.tag(now));
            self.turn = Some(self.turn.map_or(took, |known| (known * 3 + took) / 4));
            if self.claims.values().any(|(other, _)| *other == member) {
                self.queue(member);
            }
        }
        while self.has_room()
            && let Some((start, next)) = self.line.pop_front()
        {
            changed = true;
            self.time = self.time.max(start);
            // Whoever has had no more than the others starts with them anyway.
            let time = self.time;
            self.finished.retain(|_, had| *had > time);
            self.holders.insert(next, Holder::new(start, now));
        }
        let others_wait = !self.line.is_empty();
        for (member, phase) in self.claims.values_mut().filter(|(_, phase)| *phase == Phase::Waits) {
            let Some(holder) = self.holders.get_mut(member) else { continue };
            if !(others_wait && holder.is_over(now)) {
                holder.rests_since = None;
                *phase = Phase::Served;
                changed = true;
            }
        }
        changed
    }

    /// Members served now, and members in line.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.holders.values().filter(|holder| holder.rests_since.is_none()).count(), self.line.len())
    }

    /// Puts a member into the line.
    fn queue(&mut self, member: M) {
        let start = self.finished.get(&member).copied().unwrap_or_default().max(self.time);
        let behind = self.line.iter().position(|(other, _)| *other > start).unwrap_or(self.line.len());
        self.line.insert(behind, (start, member));
    }

    /// Whether a holder has to make room: it is between two wants, and has had its turn or does nothing with it.
    fn leaves(&self, holder: &Holder, now: Instant) -> bool {
        let Some(since) = holder.rests_since else { return false };
        let too_many = self.most.is_some_and(|most| self.holders.len() > most);
        let unused = now.saturating_duration_since(since) >= SLOT_REST;
        unused || (!self.line.is_empty() && (too_many || holder.is_over(now)))
    }

    fn has_room(&self) -> bool {
        self.most.is_none_or(|most| self.holders.len() < most.max(1))
    }

    fn is_served(&self, member: M) -> bool {
        self.claims.values().any(|(other, phase)| *other == member && *phase == Phase::Served)
    }

    fn place_at(&self, now: Instant, index: usize) -> Place {
        let position = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let slots = u32::try_from(self.most.unwrap_or(1).max(1)).unwrap_or(u32::MAX);
        let turn = self.turn.unwrap_or(SLOT_TURN).min(SLOT_TURN);
        // Everybody who is served ends at a moment of their own, so a slot becomes free every `turn / slots`.
        let first =
            self.holders.values().map(|holder| turn.saturating_sub(now.saturating_duration_since(holder.since))).min();
        Place { position, wait: first.unwrap_or_default() + turn * (position - 1) / slots }
    }
}

impl Holder {
    fn new(start: Duration, now: Instant) -> Self {
        Self { start, since: now, over_at: now + SLOT_TURN, bytes: 0, rests_since: None }
    }

    /// What they have had by now.
    fn tag(&self, now: Instant) -> Duration {
        self.start + now.saturating_duration_since(self.since)
    }

    fn is_over(&self, now: Instant) -> bool {
        now >= self.over_at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;
    use crate::limit::tests::epoch;

    const MIB: u64 = 1 << 20;

    fn position<M: Ord + Copy>(slots: &Slots<M>, now: Instant, claim: Claim) -> Option<u32> {
        match slots.standing(now, claim).unwrap() {
            Standing::Served => None,
            Standing::Waits(place) => Some(place.position),
        }
    }

    #[test]
    fn without_a_number_of_slots_nobody_waits() {
        let (now, mut slots) = (epoch(), Slots::new(None));
        let claims: Vec<Claim> = (0..1000).map(|member| slots.claim(now, member)).collect();
        assert!(claims.iter().all(|claim| slots.standing(now, *claim) == Some(Standing::Served)));
    }

    #[test]
    fn the_line_is_in_order_of_coming_and_moves_up() {
        let (now, mut slots) = (epoch(), Slots::new(Some(1)));
        let [a, b, c] = ['a', 'b', 'c'].map(|member| slots.claim(now, member));
        assert_eq!([a, b, c].map(|claim| position(&slots, now, claim)), [None, Some(1), Some(2)]);
        slots.release(now, a);
        assert_eq!(slots.next_deadline(), Some(now + SLOT_REST), "a slot is kept for the next want for a moment");
        let later = now + SLOT_REST;
        assert!(slots.settle(later));
        assert_eq!([b, c].map(|claim| position(&slots, later, claim)), [None, Some(1)]);
    }

    #[test]
    fn whoever_leaves_the_line_makes_it_shorter() {
        let (now, mut slots) = (epoch(), Slots::new(Some(1)));
        let [_a, b, c] = ['a', 'b', 'c'].map(|member| slots.claim(now, member));
        slots.release(now, b);
        assert_eq!(position(&slots, now, c), Some(1));
        assert_eq!(slots.standing(now, b), None);
    }

    #[test]
    fn many_streams_of_one_member_take_one_slot_and_one_place() {
        let (now, mut slots) = (epoch(), Slots::new(Some(1)));
        let first = [slots.claim(now, 'a'), slots.claim(now, 'a')];
        assert!(first.iter().all(|claim| position(&slots, now, *claim).is_none()));
        let second = [slots.claim(now, 'b'), slots.claim(now, 'b'), slots.claim(now, 'b')];
        let third = slots.claim(now, 'c');
        assert!(second.iter().all(|claim| position(&slots, now, *claim) == Some(1)));
        assert_eq!(position(&slots, now, third), Some(2));
    }

    #[test]
    fn a_slot_is_kept_from_want_to_want_until_its_turn_is_over() {
        let (start, mut slots) = (epoch(), Slots::new(Some(1)));
        let mut a = slots.claim(start, 'a');
        let b = slots.claim(start, 'b');
        let mut now = start;
        while now < start + SLOT_TURN {
            assert!(slots.served(now, a, MIB));
            slots.release(now, a);
            a = slots.claim(now, 'a');
            assert_eq!((position(&slots, now, a), position(&slots, now, b)), (None, Some(1)));
            now += Duration::from_secs(1);
        }
        slots.release(now, a);
        let a = slots.claim(now, 'a');
        assert_eq!((position(&slots, now, a), position(&slots, now, b)), (Some(1), None));
    }

    #[test]
    fn a_turn_is_bounded_in_bytes_too_and_the_next_want_goes_to_the_end_of_the_line() {
        let (now, mut slots) = (epoch(), Slots::new(Some(1)));
        let [a, b, c] = ['a', 'b', 'c'].map(|member| slots.claim(now, member));
        // The next want is asked for before the last one has ended.
        let next = slots.claim(now, 'a');
        assert!(slots.served(now, a, SLOT_TURN_BYTES));
        slots.release(now, next);
        let next = slots.claim(now, 'a');
        assert_eq!(position(&slots, now, next), Some(3), "its turn is over, so it stands behind all others");
        slots.release(now, a);
        assert_eq!([b, c, next].map(|claim| position(&slots, now, claim)), [None, Some(1), Some(2)]);
    }

    #[test]
    fn nobody_has_to_go_while_nobody_waits() {
        let (start, mut slots) = (epoch(), Slots::new(Some(1)));
        let a = slots.claim(start, 'a');
        let late = start + 10 * SLOT_TURN;
        assert!(slots.served(late, a, 10 * SLOT_TURN_BYTES));
        slots.release(late, a);
        let a = slots.claim(late, 'a');
        assert_eq!(position(&slots, late, a), None);
    }

    #[test]
    fn a_want_that_never_ends_is_ended_when_others_wait() {
        let (start, mut slots) = (epoch(), Slots::new(Some(1)));
        let a = slots.claim(start, 'a');
        let end = start + SLOT_TURN + SLOT_OVERSTAY;
        assert!(slots.served(end, a, 1), "nobody waits");
        let b = slots.claim(end, 'b');
        assert!(!slots.served(end, a, 1));
        slots.release(end, a);
        assert_eq!(position(&slots, end, b), None);
    }

    #[test]
    fn more_slots_let_more_in_at_once_and_fewer_throw_nobody_out() {
        let (now, mut slots) = (epoch(), Slots::new(Some(1)));
        let [a, b, c] = ['a', 'b', 'c'].map(|member| slots.claim(now, member));
        slots.set_most(now, Some(2));
        assert_eq!([a, b, c].map(|claim| position(&slots, now, claim)), [None, None, Some(1)]);
        slots.set_most(now, Some(1));
        assert_eq!([a, b, c].map(|claim| position(&slots, now, claim)), [None, None, Some(1)]);
        slots.release(now, b);
        assert_eq!([a, c].map(|claim| position(&slots, now, claim)), [None, Some(1)]);
        slots.set_most(now, None);
        assert_eq!(position(&slots, now, c), None);
    }

    #[test]
    fn the_wait_grows_with_the_place_and_shrinks_with_the_slots() {
        let (start, mut slots) = (epoch(), Slots::new(Some(2)));
        for member in 0..8 {
            slots.claim(start, member);
        }
        let wait = |slots: &Slots<i32>, now, member| slots.place(now, member).unwrap().wait;
        assert_eq!(wait(&slots, start, 2), SLOT_TURN);
        assert_eq!(wait(&slots, start, 4), SLOT_TURN * 2);
        assert_eq!(wait(&slots, start + SLOT_TURN / 2, 2), SLOT_TURN / 2);
    }

    /// Members who always want more: everybody gets turns, and as many as anybody else.
    fn turns_go_round(seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let most = random.random_range(1..=4_usize);
        let members = random.random_range(1..=10_u8);
        let mut slots = Slots::new(Some(most));
        let start = epoch();
        // Each member has one want of some length after the other, on one or more streams.
        let mut streams: Vec<(u8, Duration, Claim, Option<Instant>)> = Vec::new();
        for member in 0..members {
            for _ in 0..random.random_range(1..=3) {
                let length = Duration::from_millis(random.random_range(200..4_000));
                streams.push((member, length, slots.claim(start, member), None));
            }
        }
        let mut served: BTreeMap<u8, Duration> = BTreeMap::new();
        let (mut now, end) = (start, start + SLOT_TURN * 60);
        let step = Duration::from_millis(100);
        while now < end {
            let mut active = std::collections::BTreeSet::new();
            for (member, length, claim, until) in &mut streams {
                if slots.standing(now, *claim) != Some(Standing::Served) {
                    continue;
                }
                active.insert(*member);
                let until = *until.get_or_insert(now + *length);
                assert!(slots.served(now, *claim, 1000), "seed {seed}");
                if now >= until {
                    slots.release(now, *claim);
                    *claim = slots.claim(now, *member);
                }
            }
            for (_, _, claim, until) in &mut streams {
                if until.is_some_and(|until| now >= until) || slots.standing(now, *claim) != Some(Standing::Served) {
                    *until = None;
                }
            }
            let (holding, _) = slots.counts();
            assert!(holding <= most, "{holding} of {most} slots (seed {seed})");
            for member in active {
                *served.entry(member).or_default() += step;
            }
            now += step;
            slots.settle(now);
        }
        let all: Duration = served.values().sum();
        for member in 0..members {
            let own = served.get(&member).copied().unwrap_or_default();
            let fair = all / u32::from(members);
            assert!(
                own * 10 >= fair * 8,
                "member {member} was served for {own:?} of {fair:?} (seed {seed}): {served:?}"
            );
        }
    }

    #[test]
    fn everybody_gets_as_long_a_turn_as_anybody() {
        for seed in 0..40 {
            turns_go_round(seed);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// The same with seeds that nobody chose: to replay one, put it into the range above.
        #[test]
        fn everybody_gets_as_long_a_turn_whatever_the_seed(seed in any::<u64>()) {
            turns_go_round(seed);
        }
    }
}
