//! Notices when the machine's clock is set, and tells the members: grants are dated by it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use shared::{
    limits::{CLOCK_JUMP, CLOCK_LOOK},
    wire::tracker::Event,
};
use tokio_util::sync::CancellationToken;

use crate::{
    events::{Events, Target},
    handler::now_ms,
};

/// How far the clock on the wall is ahead of one that nobody sets. Pure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ahead(i64);

impl Ahead {
    fn of(wall_ms: i64, passed: Duration) -> Self {
        Self(wall_ms.saturating_sub(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Whether the clock was set since `before`: what a clock drifts in a day is less.
    fn is_another_than(self, before: Self) -> bool {
        u128::from(self.0.abs_diff(before.0)) >= CLOCK_JUMP.as_millis()
    }
}

/// Tells the members whenever the clock was set, until stopped.
pub async fn watch(events: Arc<Events>, stop: CancellationToken) {
    let began = Instant::now();
    let ahead = || Ahead::of(now_ms(), began.elapsed());
    let mut known = ahead();
    let mut look = tokio::time::interval(CLOCK_LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => {}
        }
        let now = ahead();
        if now.is_another_than(known) {
            tracing::info!(by_ms = now.0.saturating_sub(known.0), "the clock of this machine was set");
            events.send(Target::Everyone, Event::ClockSet { now_ms: now_ms() });
            known = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_on_as_it_did_was_not_set() {
        let at = |wall_ms, seconds| Ahead::of(wall_ms, Duration::from_secs(seconds));
        let before = at(1_000_000, 10);
        assert!(!at(1_050_000, 60).is_another_than(before));
        assert!(!at(1_050_900, 60).is_another_than(before), "it drifts");
        assert!(at(4_650_000, 60).is_another_than(before), "an hour ahead");
        assert!(at(0, 60).is_another_than(before), "back to the beginning");
    }
}
