//! A token bucket: so many bytes a second, and after a rest a little more at once.

use std::time::{Duration, Instant};

use crate::limits::{LIMIT_BURST, LIMIT_LUMP, LIMIT_LUMP_BYTES_MAX, LIMIT_LUMP_BYTES_MIN};

/// Lets bytes pass at a rate. What was not used in the last moment may be caught up on, and no more.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Bytes per second. Not zero.
    rate: u64,
    /// Billionths of a byte that may pass now, so that no rate is rounded away however often it is looked at.
    level: u128,
    filled: Instant,
}

impl Bucket {
    /// An empty bucket: who sets a limit does not expect a burst first.
    #[must_use]
    pub fn new(now: Instant, rate: u64) -> Self {
        Self { rate: rate.max(1), level: 0, filled: now }
    }

    /// Another rate from now on.
    pub fn set_rate(&mut self, now: Instant, rate: u64) {
        if self.rate != rate.max(1) {
            self.fill(now);
            self.rate = rate.max(1);
            self.level = self.level.min(self.capacity());
        }
    }

    /// Counts the time that went by.
    pub fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled);
        self.filled = self.filled.max(now);
        self.level = (self.level + u128::from(self.rate) * elapsed.as_nanos()).min(self.capacity());
    }

    /// Bytes that may pass, as of the last [`Bucket::fill`].
    #[must_use]
    pub fn level(&self) -> u64 {
        u64::try_from(self.level / BILLION).unwrap_or(u64::MAX)
    }

    /// These bytes pass: at most [`Bucket::level`].
    pub fn take(&mut self, bytes: u64) {
        self.level = self.level.saturating_sub(u128::from(bytes) * BILLION);
    }

    /// These bytes did not pass after all.
    pub fn give_back(&mut self, bytes: u64) {
        self.level = (self.level + u128::from(bytes) * BILLION).min(self.capacity());
    }

    /// When so many bytes may pass, at most a lump of the rate.
    #[must_use]
    pub fn ready_at(&self, bytes: u64) -> Instant {
        let missing = (u128::from(bytes) * BILLION).saturating_sub(self.level);
        let nanos = missing.div_ceil(u128::from(self.rate));
        self.filled + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn capacity(&self) -> u128 {
        u128::from(most_at_once(self.rate)) * BILLION
    }
}

/// Bytes that pass together at a rate: a moment's worth, so that a rate is smooth and sharing it costs little.
pub(super) fn lump(rate: u64) -> u64 {
    worth(rate, LIMIT_LUMP).clamp(LIMIT_LUMP_BYTES_MIN, LIMIT_LUMP_BYTES_MAX)
}

/// Bytes that may ever pass at once at a rate: the burst after a rest.
pub(super) fn most_at_once(rate: u64) -> u64 {
    worth(rate, LIMIT_BURST).max(2 * lump(rate))
}

fn worth(rate: u64, time: Duration) -> u64 {
    u64::try_from(u128::from(rate) * time.as_millis() / 1000).unwrap_or(u64::MAX)
}

const BILLION: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limit::tests::epoch;

    #[test]
    fn a_rate_is_kept_however_often_it_is_looked_at() {
        let start = epoch();
        let mut bucket = Bucket::new(start, 1_000);
        let mut passed = 0;
        for millis in 0..10_000 {
            bucket.fill(start + Duration::from_millis(millis));
            let now = bucket.level();
            bucket.take(now);
            passed += now;
        }
        assert_eq!(passed, 9_999);
    }

    #[test]
    fn a_rest_earns_a_moment_and_no_more() {
        let start = epoch();
        let mut bucket = Bucket::new(start, 1_000_000);
        assert_eq!(bucket.level(), 0);
        bucket.fill(start + Duration::from_secs(3600));
        assert_eq!(bucket.level(), 250_000);
        bucket.take(250_000);
        assert_eq!(bucket.ready_at(100_000), start + Duration::from_secs(3600) + Duration::from_millis(100));
    }

    #[test]
    fn a_new_rate_holds_from_the_moment_it_is_set() {
        let start = epoch();
        let mut bucket = Bucket::new(start, 1_000_000);
        bucket.set_rate(start + Duration::from_millis(100), 10_000_000);
        assert_eq!(bucket.level(), 100_000);
        bucket.fill(start + Duration::from_millis(200));
        assert_eq!(bucket.level(), 1_100_000);
    }

    proptest! {
        /// In no stretch of time does more pass than the rate allows plus one burst.
        #[test]
        fn no_stretch_of_time_sees_more_than_rate_and_burst(
            rate in 1_u64..200_000_000,
            steps in prop::collection::vec((0_u64..3_000, 0_u64..4_000_000), 1..60),
        ) {
            let start = epoch();
            let (mut now, mut bucket) = (start, Bucket::new(start, rate));
            let mut passed = vec![(Duration::ZERO, 0)];
            for (millis, wanted) in steps {
                now += Duration::from_millis(millis);
                bucket.fill(now);
                let taken = wanted.min(bucket.level());
                bucket.take(taken);
                passed.push((now - start, taken));
            }
            for from in 0..passed.len() {
                let sum: u64 = passed[from..].iter().map(|(_, bytes)| bytes).sum();
                let span = now - start - passed[from].0;
                let allowed = u128::from(rate) * span.as_nanos() / BILLION + u128::from(most_at_once(rate)) + 1;
                prop_assert!(u128::from(sum) <= allowed, "{sum} in {span:?} at {rate}");
            }
        }

        /// Whoever waits until a bucket says that it is ready finds it ready.
        #[test]
        fn ready_means_ready(rate in 1_u64..200_000_000, bytes in 1_u64..8_000) {
            let start = epoch();
            let mut bucket = Bucket::new(start, rate);
            let bytes = bytes.min(most_at_once(rate));
            bucket.fill(bucket.ready_at(bytes));
            prop_assert!(bucket.level() >= bytes);
        }
    }
}
