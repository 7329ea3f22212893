//! How long someone who keeps giving wrong passwords has to wait. Pure: time comes in.
//!
//! Counted for each account **and** address, so that nobody can lock out a member from elsewhere. Signing in by a
//! device's key is not counted at all. The counts outlive the tracker in its store; here time is the steady clock's, and
//! only what is [recalled](Attempts::recall) was measured by the one on the wall.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use shared::limits::{SIGN_IN_DELAY_MAX, SIGN_IN_DELAY_MIN, SIGN_IN_FORGET, SIGN_IN_FREE_TRIES, SIGN_IN_SOURCES_MAX};

/// Wrong passwords by account key and address.
#[derive(Debug, Default)]
pub struct Attempts {
    policy: Patience,
    failures: BTreeMap<(String, IpAddr), Failures>,
}

/// How patient the tracker is with wrong passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Wrong ones before a delay begins.
    pub free_tries: u32,
    /// The first delay; it doubles with each further one.
    pub delay: Duration,
    /// The longest delay.
    pub delay_max: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { free_tries: SIGN_IN_FREE_TRIES, delay: SIGN_IN_DELAY_MIN, delay_max: SIGN_IN_DELAY_MAX }
    }
}

impl Patience {
    /// Time after which wrong passwords are forgotten: the longest delay has then passed in any case.
    #[must_use]
    pub fn memory(&self) -> Duration {
        SIGN_IN_FORGET.max(self.delay_max.saturating_mul(2))
    }
}

/// Wrong passwords for one account from one address, as they outlive a tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guesses {
    /// What makes the account's name unique; nobody needs to have it.
    pub name_key: String,
    /// Where they came from.
    pub address: IpAddr,
    /// How many.
    pub count: u32,
    /// When the last one was, in milliseconds since 1970.
    pub last_ms: i64,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Attempts {
    /// None so far.
    #[must_use]
    pub const fn new(policy: Patience) -> Self {
        Self { policy, failures: BTreeMap::new() }
    }

    /// Takes up what an earlier tracker wrote down. By a clock that was turned back since then no time has passed: the
    /// wait begins anew, and is not longer than it was.
    pub fn recall(&mut self, guesses: Vec<Guesses>, now: Instant, now_ms: i64) {
        for Guesses { name_key, address, count, last_ms } in guesses.into_iter().take(SIGN_IN_SOURCES_MAX) {
            let ago = Duration::from_millis(u64::try_from(now_ms.saturating_sub(last_ms)).unwrap_or(0));
            if ago < self.policy.memory() {
                let last = now.checked_sub(ago).unwrap_or(now);
                self.failures.insert((name_key, address), Failures { count, last });
            }
        }
    }

    /// Time to wait before the next try is looked at. `None`: now.
    #[must_use]
    pub fn wait(&self, name_key: &str, address: IpAddr, now: Instant) -> Option<Duration> {
        let failures = self.failures.get(&(name_key.to_owned(), address))?;
        let doublings = failures.count.checked_sub(self.policy.free_tries)?;
        let delay = self.policy.delay.saturating_mul(1 << doublings.min(16)).min(self.policy.delay_max);
        delay.checked_sub(now.duration_since(failures.last)).filter(|rest| !rest.is_zero())
    }

    /// A try begins: it counts as a failure until [`Self::succeeded`] or [`Self::forgive`], so that many at once count
    /// too. Gives when the one before was.
    pub fn begin(&mut self, name_key: &str, address: IpAddr, now: Instant) -> Option<Instant> {
        if self.failures.len() >= SIGN_IN_SOURCES_MAX {
            self.forget_old(now);
        }
        let memory = self.policy.memory();
        let failures = self.failures.entry((name_key.to_owned(), address)).or_insert(Failures { count: 0, last: now });
        if now.duration_since(failures.last) >= memory {
            failures.count = 0;
        }
        let before = (failures.count > 0).then_some(failures.last);
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
        before
    }

    /// The try that began at `now` was right, and tells nothing about the others: whoever knows one file's password may
    /// be guessing another's.
    pub fn forgive(&mut self, name_key: &str, address: IpAddr, now: Instant, before: Option<Instant>) {
        let key = (name_key.to_owned(), address);
        let Some(failures) = self.failures.get_mut(&key) else { return };
        failures.count = failures.count.saturating_sub(1);
        if failures.count == 0 {
            self.failures.remove(&key);
        } else if let Some(before) = before.filter(|_| failures.last == now) {
            failures.last = before;
        }
    }

    /// How many wrong ones count now, to be written down.
    #[must_use]
    pub fn count(&self, name_key: &str, address: IpAddr) -> Option<u32> {
        self.failures.get(&(name_key.to_owned(), address)).map(|failures| failures.count)
    }

    /// The password was right. Tells whether there were wrong ones before it, which may be written down.
    pub fn succeeded(&mut self, name_key: &str, address: IpAddr) -> bool {
        self.failures.remove(&(name_key.to_owned(), address)).is_some_and(|failures| failures.count > 1)
    }

    fn forget_old(&mut self, now: Instant) {
        let memory = self.policy.memory();
        self.failures.retain(|_, failures| now.duration_since(failures.last) < memory);
        if self.failures.len() >= SIGN_IN_SOURCES_MAX {
            // A flood from everywhere: forgetting is better than growing, and the hashing limit still holds.
            self.failures.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn after(failures: u32) -> (Attempts, Instant) {
        let now = Instant::now();
        let mut attempts = Attempts::default();
        for _ in 0..failures {
            attempts.begin("anna", HERE, now);
        }
        (attempts, now)
    }

    #[test]
    fn the_first_tries_are_free_and_the_next_wait_longer_each_time() {
        let (attempts, now) = after(SIGN_IN_FREE_TRIES - 1);
        assert_eq!(attempts.wait("anna", HERE, now), None);
        let waits: Vec<_> =
            (0..3).map(|more| after(SIGN_IN_FREE_TRIES + more)).map(|(a, now)| a.wait("anna", HERE, now)).collect();
        assert_eq!(waits, [Some(SIGN_IN_DELAY_MIN), Some(SIGN_IN_DELAY_MIN * 2), Some(SIGN_IN_DELAY_MIN * 4)]);
        let (attempts, now) = after(1000);
        assert_eq!(attempts.wait("anna", HERE, now), Some(SIGN_IN_DELAY_MAX));
    }

    #[test]
    fn wrong_passwords_of_long_ago_do_not_count() {
        let (mut attempts, now) = after(1000);
        let later = now + SIGN_IN_FORGET;
        attempts.begin("anna", HERE, later);
        assert_eq!(attempts.wait("anna", HERE, later), None);
    }

    #[test]
    fn a_tracker_may_be_less_patient() {
        let policy = Patience { free_tries: 1, delay: Duration::from_secs(60), delay_max: Duration::from_secs(90) };
        let (mut attempts, now) = (Attempts::new(policy), Instant::now());
        for wait in [60, 90, 90] {
            attempts.begin("anna", HERE, now);
            assert_eq!(attempts.wait("anna", HERE, now), Some(Duration::from_secs(wait)));
        }
    }

    #[test]
    fn the_wait_ends_by_itself() {
        let (attempts, now) = after(SIGN_IN_FREE_TRIES);
        assert_eq!(attempts.wait("anna", HERE, now + SIGN_IN_DELAY_MIN), None);
    }

    #[test]
    fn a_stranger_elsewhere_does_not_lock_the_member_out() {
        let (attempts, now) = after(100);
        assert_eq!(attempts.wait("anna", THERE, now), None);
        assert_eq!(attempts.wait("ben", HERE, now), None);
    }

    #[test]
    fn the_right_password_forgets_the_wrong_ones() {
        let (mut attempts, now) = after(100);
        attempts.succeeded("anna", HERE);
        assert_eq!(attempts.wait("anna", HERE, now), None);
    }

    #[test]
    fn one_right_password_forgives_itself_and_nothing_else() {
        let (mut attempts, now) = after(SIGN_IN_FREE_TRIES);
        let later = now + SIGN_IN_DELAY_MIN;
        let before = attempts.begin("anna", HERE, later);
        attempts.forgive("anna", HERE, later, before);
        assert_eq!(attempts.wait("anna", HERE, later), None);
        attempts.begin("anna", HERE, later);
        assert_eq!(attempts.wait("anna", HERE, later), Some(SIGN_IN_DELAY_MIN * 2));
        let (mut attempts, now) = after(0);
        let before = attempts.begin("anna", HERE, now);
        attempts.forgive("anna", HERE, now, before);
        assert!(attempts.failures.is_empty());
    }

    #[test]
    fn a_flood_of_names_does_not_grow_without_bound() {
        let (mut attempts, now) = after(0);
        for name in 0..SIGN_IN_SOURCES_MAX * 2 {
            attempts.begin(&name.to_string(), HERE, now);
            assert!(attempts.failures.len() <= SIGN_IN_SOURCES_MAX);
        }
    }

    fn guesses(count: u32, last_ms: i64) -> Vec<Guesses> {
        vec![Guesses { name_key: "anna".into(), address: HERE, count, last_ms }]
    }

    #[test]
    fn a_wait_goes_on_where_it_was_when_the_tracker_stopped() {
        let (mut attempts, now) = after(0);
        attempts.recall(guesses(SIGN_IN_FREE_TRIES + 1, 1_000), now, 5_000);
        assert_eq!(attempts.wait("anna", HERE, now), Some(SIGN_IN_DELAY_MIN * 2 - Duration::from_secs(4)));
        assert_eq!(attempts.wait("anna", THERE, now), None);
        attempts.begin("anna", HERE, now);
        assert_eq!(attempts.count("anna", HERE), Some(SIGN_IN_FREE_TRIES + 2));
    }

    #[test]
    fn a_clock_that_was_turned_back_makes_no_wait_longer_and_one_turned_forward_forgets() {
        let (mut attempts, now) = after(0);
        attempts.recall(guesses(SIGN_IN_FREE_TRIES, 900_000_000), now, 5_000);
        assert_eq!(attempts.wait("anna", HERE, now), Some(SIGN_IN_DELAY_MIN));
        let (mut attempts, now) = after(0);
        attempts.recall(guesses(1000, 0), now, i64::MAX);
        assert_eq!((attempts.wait("anna", HERE, now), attempts.count("anna", HERE)), (None, None));
    }

    #[test]
    fn only_wrong_ones_before_a_right_one_are_worth_forgetting() {
        let (mut attempts, now) = after(0);
        attempts.begin("anna", HERE, now);
        assert!(!attempts.succeeded("anna", HERE));
        attempts.recall(guesses(1, 0), now, 0);
        attempts.begin("anna", HERE, now);
        assert!(attempts.succeeded("anna", HERE));
        assert_eq!(attempts.count("anna", HERE), None);
    }
}
