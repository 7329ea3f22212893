//! The tracker's clock as a source knows it: grants are dated by it.

use std::sync::atomic::{AtomicI64, Ordering};

/// A clock of this machine that nobody sets, and how far the tracker's is ahead of it.
#[derive(Debug)]
pub struct TrackerClock {
    here_ms: fn() -> i64,
    ahead_ms: AtomicI64,
}

impl TrackerClock {
    /// `here_ms`: milliseconds since whenever.
    #[must_use]
    pub const fn new(here_ms: fn() -> i64, ahead_ms: i64) -> Self {
        Self { here_ms, ahead_ms: AtomicI64::new(ahead_ms) }
    }

    /// Milliseconds since 1970 by the tracker's clock.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        (self.here_ms)().saturating_add(self.ahead_ms())
    }

    /// How far the tracker's clock is ahead of the one here, in milliseconds.
    #[must_use]
    pub fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Relaxed)
    }

    /// The tracker's clock was set and stands at this time now. Returns by how many milliseconds it was moved.
    pub fn set(&self, now_ms: i64) -> i64 {
        let ahead_ms = now_ms.saturating_sub((self.here_ms)());
        ahead_ms.saturating_sub(self.ahead_ms.swap(ahead_ms, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_says_by_how_much_and_goes_on_from_there() {
        let clock = TrackerClock::new(|| 1_000, 500);
        assert_eq!(clock.now_ms(), 1_500);
        assert_eq!((clock.set(3_600_000), clock.now_ms()), (3_598_500, 3_600_000));
        assert_eq!((clock.set(100), clock.now_ms()), (-3_599_900, 100));
    }
}
