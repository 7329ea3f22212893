//! Who may relay, how many at a time, and how many bytes a day. Pure: time comes in, and relays are numbers.
//!
//! The member who asked pays for both directions. What was used is forgotten when a day (UTC) ends, and with the
//! tracker's process.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use shared::{
    id::{AccountId, DeviceId},
    limits::{RELAY_ACCOUNTS_MAX, RELAY_ASK_EVERY, RELAY_ASKS_AT_ONCE, RELAYS_MAX, RELAYS_PER_DEVICE_MAX},
};

/// Number of a relay since the tracker started. Never reused.
pub type RelayNo = u64;

/// What runs, what was used, and who asked lately.
#[derive(Debug)]
pub struct Quota {
    bytes_per_day: Option<u64>,
    next: RelayNo,
    running: BTreeMap<RelayNo, Running>,
    day: i64,
    used: BTreeMap<AccountId, u64>,
    asked: BTreeMap<AccountId, Asked>,
}

/// The two ends of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Running {
    asker: DeviceId,
    source: DeviceId,
}

/// Questions of a member: `spent` of them count at `since`, fewer as time goes by.
#[derive(Debug, Clone, Copy)]
struct Asked {
    spent: Duration,
    since: Instant,
}

/// Who wants a relay to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// The member who pays.
    pub account: AccountId,
    /// The member's device.
    pub asker: DeviceId,
    /// The device at the other end.
    pub source: DeviceId,
}

/// Why there is no relay, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// The tracker does not relay at all.
    #[error("this tracker does not relay; make one of the two devices reachable, or leave a copy on the tracker")]
    Off,
    /// Nothing lies between a device and itself.
    #[error("a device needs no relay to itself")]
    Itself,
    /// One member asks all the time.
    #[error("too many relays asked for; try again in {seconds} s")]
    TooOften {
        /// Until the next one may be asked for.
        seconds: u64,
    },
    /// The tracker, or one of the two devices, has as many as it may.
    #[error("too many relays run now; try again when one of them has ended")]
    TooMany,
    /// The day's bytes are used up.
    #[error("the {limit} bytes that you may relay in a day are used up; more from 00:00 UTC")]
    Spent {
        /// Bytes of a day.
        limit: u64,
    },
}

impl Quota {
    /// Nothing was relayed so far; `None` as bytes a day: any number.
    #[must_use]
    pub const fn new(bytes_per_day: Option<u64>) -> Self {
        Self { bytes_per_day, next: 1, running: BTreeMap::new(), day: 0, used: BTreeMap::new(), asked: BTreeMap::new() }
    }

    /// A relay begins, unless there is a reason against it.
    ///
    /// # Errors
    /// See [`Declined`].
    pub fn begin(&mut self, ask: Ask, now: Instant, wall_ms: i64) -> Result<RelayNo, Declined> {
        if ask.asker == ask.source {
            return Err(Declined::Itself);
        }
        self.ask(ask.account, now)?;
        self.charge(ask.account, 0, wall_ms)?;
        let of = |device: DeviceId| {
            self.running.values().filter(move |relay| relay.asker == device || relay.source == device).count()
        };
        if self.running.len() >= RELAYS_MAX
            || of(ask.asker) >= RELAYS_PER_DEVICE_MAX
            || of(ask.source) >= RELAYS_PER_DEVICE_MAX
        {
            return Err(Declined::TooMany);
        }
        let number = self.next;
        self.next += 1;
        self.running.insert(number, Running { asker: ask.asker, source: ask.source });
        Ok(number)
    }

    /// A relay is over.
    pub fn end(&mut self, number: RelayNo) {
        self.running.remove(&number);
    }

    /// Bytes that are about to be relayed for a member.
    ///
    /// # Errors
    /// When the day has none left.
    pub fn charge(&mut self, account: AccountId, bytes: u64, wall_ms: i64) -> Result<(), Declined> {
        let day = wall_ms.div_euclid(DAY_MS);
        if day != self.day {
            self.day = day;
            self.used.clear();
        }
        let Some(limit) = self.bytes_per_day else { return Ok(()) };
        if self.used.len() >= RELAY_ACCOUNTS_MAX && !self.used.contains_key(&account) {
            return Err(Declined::TooMany);
        }
        let used = self.used.entry(account).or_default();
        let after = used.saturating_add(bytes);
        // What is too much for the rest of the day ends the day, or every relay would begin anew for a few bytes.
        let is_spent = *used >= limit || after > limit;
        *used = after.min(limit);
        if is_spent { Err(Declined::Spent { limit }) } else { Ok(()) }
    }

    /// Relays that run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Counts a question: some may come at once, then one at a time.
    fn ask(&mut self, account: AccountId, now: Instant) -> Result<(), Declined> {
        let rest = |asked: &Asked| asked.spent.saturating_sub(now.saturating_duration_since(asked.since));
        self.asked.retain(|_, asked| !rest(asked).is_zero());
        let spent = self.asked.get(&account).map_or(Duration::ZERO, rest);
        let allowed = RELAY_ASK_EVERY * (RELAY_ASKS_AT_ONCE - 1);
        if let Some(wait) = spent.checked_sub(allowed).filter(|wait| !wait.is_zero()) {
            return Err(Declined::TooOften { seconds: wait.as_secs() + 1 });
        }
        self.asked.insert(account, Asked { spent: spent + RELAY_ASK_EVERY, since: now });
        Ok(())
    }
}

const DAY_MS: i64 = 24 * 3600 * 1000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn account(n: u8) -> AccountId {
        AccountId([n; 16])
    }

    fn ask(account_no: u8, asker: u8, source: u8) -> Ask {
        Ask { account: account(account_no), asker: DeviceId([asker; 16]), source: DeviceId([source; 16]) }
    }

    /// Each question comes long after the one before.
    struct Calm(Quota, Instant);

    impl Calm {
        fn begin(&mut self, ask: Ask) -> Result<RelayNo, Declined> {
            self.1 += RELAY_ASK_EVERY;
            self.0.begin(ask, self.1, 0)
        }
    }

    fn calm(bytes_per_day: Option<u64>) -> Calm {
        Calm(Quota::new(bytes_per_day), Instant::now())
    }

    #[test]
    fn neither_end_has_more_relays_than_it_may() {
        let mut quota = calm(None);
        for n in 0..RELAYS_PER_DEVICE_MAX as u8 {
            quota.begin(ask(1, 1, 100 + n)).unwrap();
        }
        assert_eq!(quota.begin(ask(1, 1, 200)), Err(Declined::TooMany));
        let mut last = 0;
        for n in 0..RELAYS_PER_DEVICE_MAX as u8 {
            last = quota.begin(ask(2, 2 + n, 250)).unwrap();
        }
        assert_eq!(quota.begin(ask(3, 99, 250)), Err(Declined::TooMany));
        quota.0.end(last);
        quota.begin(ask(3, 99, 250)).unwrap();
    }

    #[test]
    fn the_tracker_has_no_more_relays_than_it_may() {
        let mut quota = calm(None);
        for n in 0..RELAYS_MAX as u8 {
            quota.begin(ask(n, n, 100 + n)).unwrap();
        }
        assert_eq!(quota.begin(ask(98, 98, 99)), Err(Declined::TooMany));
        assert_eq!(quota.0.running(), RELAYS_MAX);
    }

    #[test]
    fn nobody_is_relayed_to_themselves() {
        assert_eq!(calm(None).begin(ask(1, 7, 7)), Err(Declined::Itself));
    }

    #[test]
    fn the_bytes_of_a_day_end_and_come_again() {
        let mut quota = calm(Some(100));
        assert_eq!(quota.0.charge(account(1), 60, 5), Ok(()));
        assert_eq!(quota.0.charge(account(1), 41, DAY_MS - 1), Err(Declined::Spent { limit: 100 }));
        assert_eq!(quota.0.charge(account(1), 1, DAY_MS - 1), Err(Declined::Spent { limit: 100 }));
        assert_eq!(quota.begin(ask(1, 1, 2)), Err(Declined::Spent { limit: 100 }));
        quota.begin(ask(2, 3, 4)).expect("another member has bytes of their own");
        assert_eq!(quota.0.charge(account(1), 100, DAY_MS), Ok(()));
    }

    #[test]
    fn who_asks_all_the_time_waits_and_others_do_not() {
        let now = Instant::now();
        let mut quota = Quota::new(None);
        let allowed =
            (0..100).take_while(|_| quota.begin(ask(1, 1, 2), now, 0) != Err(Declined::TooOften { seconds: 1 }));
        assert_eq!(allowed.count(), RELAY_ASKS_AT_ONCE as usize);
        quota.begin(ask(2, 3, 4), now, 0).expect("somebody else's questions do not count");
        let later = now + RELAY_ASK_EVERY;
        assert_ne!(quota.begin(ask(1, 1, 2), later, 0), Err(Declined::TooOften { seconds: 1 }));
        assert!(matches!(quota.begin(ask(1, 1, 2), later, 0), Err(Declined::TooOften { .. })));
        quota.ask(account(9), later + RELAY_ASK_EVERY * 100).unwrap();
        assert_eq!(quota.asked.len(), 1, "who has been quiet is forgotten");
    }

    proptest! {
        #[test]
        fn a_day_never_gives_more_than_its_bytes(charges in proptest::collection::vec((1u8..4, 0u64..1000, 0i64..3), 0..300)) {
            let mut quota = Quota::new(Some(5000));
            let mut granted: BTreeMap<(u8, i64), u64> = BTreeMap::new();
            let mut day = 0;
            for (who, bytes, days) in charges {
                day += days;
                if quota.charge(account(who), bytes, day * DAY_MS).is_ok() {
                    *granted.entry((who, day)).or_default() += bytes;
                }
            }
            prop_assert!(granted.values().all(|bytes| *bytes <= 5000));
        }
    }
}
