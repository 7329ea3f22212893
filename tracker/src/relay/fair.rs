//! Whose bytes are relayed next, and when: a fair share of one rate for every member. Pure: time comes in.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queuing", SIGCOMM 1996) below a token bucket. What
//! waits is served in the order of its start tag: the bytes that its member has been given before, but never less than
//! where everyone is now, so that nobody saves up a share by being quiet. Sizes of steps do not matter, and many
//! relays of one member get no more than one.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use shared::{id::AccountId, limits::RELAY_BURST};

/// Number of a step that waits. Never reused.
pub type TurnNo = u64;

/// The steps that wait, and how far everyone is.
#[derive(Debug)]
pub struct Fair {
    /// Bytes a second.
    rate: u64,
    /// Bytes that may go now; below zero by what the last step took beyond.
    tokens: i64,
    filled: Instant,
    /// What was left over then, in billionths of a byte.
    spare: u128,
    /// Where everyone is, in bytes: the start tag of the step served last.
    position: u64,
    /// Where each member's next step begins.
    members: BTreeMap<AccountId, u64>,
    /// By start tag.
    waiting: BTreeMap<(u64, TurnNo), Step>,
    next: TurnNo,
}

/// Bytes of a member that want to go on.
#[derive(Debug, Clone, Copy)]
struct Step {
    member: AccountId,
    bytes: u64,
}

impl Fair {
    /// Nobody waits; `rate` bytes go in a second, at least one.
    #[must_use]
    pub fn new(rate: u64, now: Instant) -> Self {
        let rate = rate.max(1);
        let mut fair = Self {
            rate,
            tokens: 0,
            filled: now,
            spare: 0,
            position: 0,
            members: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next: 1,
        };
        fair.tokens = fair.burst();
        fair
    }

    /// A member's relay wants to move some bytes on.
    pub fn ask(&mut self, member: AccountId, bytes: u64) -> TurnNo {
        let turn = self.next;
        self.next += 1;
        let start = self.members.get(&member).copied().unwrap_or(0).max(self.position);
        self.members.insert(member, start.saturating_add(bytes));
        self.waiting.insert((start, turn), Step { member, bytes });
        turn
    }

    /// The steps whose turn has come, in their order.
    pub fn take(&mut self, now: Instant) -> Vec<TurnNo> {
        self.fill(now);
        let mut turns = Vec::new();
        while self.tokens > 0
            && let Some(((start, turn), step)) = self.waiting.pop_first()
        {
            self.tokens = self.tokens.saturating_sub_unsigned(step.bytes);
            self.position = start;
            turns.push(turn);
        }
        let position = self.position;
        self.members.retain(|_, next| *next > position);
        turns
    }

    /// When the next turn comes; `None` while nobody waits.
    #[must_use]
    pub fn next_turn(&self) -> Option<Instant> {
        self.waiting.first_key_value()?;
        let missing = u128::from(1i64.saturating_sub(self.tokens).max(0).unsigned_abs()) * NANOS;
        let nanos = missing.saturating_sub(self.spare).div_ceil(u128::from(self.rate));
        Some(self.filled + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// A step is no longer wanted; its member pays nothing for it.
    pub fn forget(&mut self, turn: TurnNo) {
        let Some(place) = self.waiting.keys().find(|(_, waiting)| *waiting == turn).copied() else { return };
        if let Some(step) = self.waiting.remove(&place)
            && let Some(next) = self.members.get_mut(&step.member)
        {
            *next = next.saturating_sub(step.bytes);
        }
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled);
        let fresh = elapsed.as_nanos() * u128::from(self.rate) + self.spare;
        let bytes = u64::try_from(fresh / NANOS).unwrap_or(u64::MAX);
        self.tokens = self.tokens.saturating_add_unsigned(bytes).min(self.burst());
        self.spare = if self.tokens == self.burst() { 0 } else { fresh % NANOS };
        self.filled = self.filled.max(now);
    }

    fn burst(&self) -> i64 {
        let bytes = u128::from(self.rate) * RELAY_BURST.as_nanos() / NANOS;
        i64::try_from(bytes).unwrap_or(i64::MAX).max(1)
    }
}

const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member(n: u8) -> AccountId {
        AccountId([n; 16])
    }

    /// Relays that always want their next step at once: the member of each and the size of its steps.
    struct Busy {
        fair: Fair,
        relays: Vec<(u8, u64)>,
        now: Instant,
        begun: Instant,
        turns: BTreeMap<TurnNo, usize>,
        served: Vec<u64>,
    }

    impl Busy {
        fn new(rate: u64, relays: &[(u8, u64)]) -> Self {
            let now = Instant::now();
            let mut busy = Self {
                fair: Fair::new(rate, now),
                relays: relays.to_vec(),
                now,
                begun: now,
                turns: BTreeMap::new(),
                served: vec![0; relays.len()],
            };
            for relay in 0..relays.len() {
                busy.ask(relay);
            }
            busy
        }

        /// The same when what may go at once has gone: before, nobody has to wait for anybody.
        fn without_burst(rate: u64, relays: &[(u8, u64)]) -> Self {
            let mut busy = Self::new(rate, relays);
            busy.run_for(Duration::ZERO);
            busy.served.fill(0);
            busy
        }

        fn ask(&mut self, relay: usize) {
            let (who, bytes) = self.relays[relay];
            let turn = self.fair.ask(member(who), bytes);
            self.turns.insert(turn, relay);
        }

        fn run_for(&mut self, time: Duration) {
            let end = self.now + time;
            loop {
                for turn in self.fair.take(self.now) {
                    let relay = self.turns.remove(&turn).unwrap();
                    self.served[relay] += self.relays[relay].1;
                    self.ask(relay);
                }
                let next = self.fair.next_turn().unwrap();
                // Whoever asked since then may have their turn at once.
                assert!(next >= self.now && (next > self.now || self.fair.tokens > 0), "a turn has not been given");
                if next > end {
                    self.now = end;
                    return;
                }
                self.now = next;
            }
        }

        fn of_member(&self, who: u8) -> u64 {
            self.relays.iter().zip(&self.served).filter(|((owner, _), _)| *owner == who).map(|(_, bytes)| bytes).sum()
        }
    }

    #[test]
    fn small_steps_get_as_much_as_large_ones() {
        let mut busy = Busy::without_burst(1_000_000, &[(1, 1_200), (2, 100_000)]);
        busy.run_for(Duration::from_secs(20));
        let (small, large) = (busy.served[0], busy.served[1]);
        assert!(small.abs_diff(large) <= 200_000, "{small} and {large}");
    }

    #[test]
    fn many_relays_of_one_member_get_no_more_than_one_of_another() {
        let mut busy = Busy::without_burst(1_000_000, &[(1, 5_000), (1, 5_000), (1, 5_000), (1, 5_000), (2, 5_000)]);
        busy.run_for(Duration::from_secs(10));
        assert!(busy.of_member(1).abs_diff(busy.of_member(2)) <= 50_000);
        assert!(busy.served.iter().all(|bytes| *bytes > 1_000_000), "none of them starves: {:?}", busy.served);
    }

    #[test]
    fn a_newcomer_gets_its_share_at_once_and_no_more() {
        let mut busy = Busy::new(1_000_000, &[(1, 10_000)]);
        busy.run_for(Duration::from_secs(10));
        busy.relays.push((2, 10_000));
        busy.served.push(0);
        busy.ask(1);
        let before = busy.served[0];
        busy.run_for(Duration::from_secs(2));
        assert!((busy.served[0] - before).abs_diff(busy.served[1]) <= 30_000);
    }

    #[test]
    fn who_leaves_is_not_waited_for() {
        let now = Instant::now();
        let mut fair = Fair::new(1000, now);
        fair.ask(member(1), 1_000_000);
        assert_eq!(fair.take(now).len(), 1);
        let gone = fair.ask(member(1), 1);
        let stays = fair.ask(member(2), 1);
        fair.forget(gone);
        let then = fair.next_turn().unwrap();
        assert_eq!(fair.take(then), [stays]);
        assert_eq!(fair.next_turn(), None);
    }

    #[test]
    fn who_gave_a_step_up_has_not_paid_for_it() {
        let now = Instant::now();
        let mut fair = Fair::new(1000, now);
        fair.ask(member(2), 1_000);
        assert_eq!(fair.take(now).len(), 1);
        let gone = fair.ask(member(1), 1_000_000);
        fair.forget(gone);
        let (first, second) = (fair.ask(member(1), 10), fair.ask(member(2), 10));
        let then = now + Duration::from_secs(10);
        assert_eq!(fair.take(then), [first, second]);
    }

    proptest! {
        #[test]
        fn the_rate_is_used_in_full_and_never_exceeded(
            rate in 10_000u64..20_000_000,
            relays in proptest::collection::vec((1u8..5, 1_000u64..200_000), 1..12),
        ) {
            let mut busy = Busy::new(rate, &relays);
            busy.run_for(Duration::from_millis(500));
            let allowed = rate / 2 + busy.fair.burst().unsigned_abs();
            let largest = relays.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
            let served: u64 = busy.served.iter().sum();
            prop_assert!(served <= allowed + largest, "{served} of {allowed} in {:?}", busy.now - busy.begun);
            prop_assert!(served + largest + 1 >= rate / 2, "{served} of {}", rate / 2);
        }

        #[test]
        fn members_differ_by_no_more_than_their_steps(
            rate in 1_000_000u64..20_000_000,
            relays in proptest::collection::vec((1u8..4, 1_000u64..100_000), 2..10),
        ) {
            let mut busy = Busy::without_burst(rate, &relays);
            busy.run_for(Duration::from_millis(500));
            let steps: u64 = relays.iter().map(|(_, bytes)| *bytes).sum();
            let present = (1..4).filter(|who| relays.iter().any(|(member, _)| member == who));
            let shares: Vec<u64> = present.map(|who| busy.of_member(who)).collect();
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            prop_assert!(most - least <= 2 * steps, "{shares:?}");
        }
    }
}
