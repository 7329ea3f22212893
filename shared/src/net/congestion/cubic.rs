//! The window of CUBIC (RFC 9438), for a link shared with flows that fill its queue.

use std::time::Duration;

use super::rate::Moment;

/// Part of the window that is kept at a loss (RFC 9438, section 4.6).
pub(super) const KEPT: f64 = 0.7;
/// Steepness of the growth, in packets per cubic second (section 5.1).
const STEEPNESS: f64 = 0.4;

/// A window that grows by time since the last loss.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cubic {
    /// Packets.
    window: f64,
    /// Packets that were in flight when the queue was last full.
    plateau: f64,
    /// What the growth of Reno would have reached by now, which is the least that is fair (section 4.3).
    friendly: f64,
    since: Moment,
    /// Seconds from `since` to the plateau.
    climb: f64,
}

impl Cubic {
    pub(super) const fn new(now: Moment, packets: f64) -> Self {
        Self { window: packets, plateau: packets, friendly: packets, since: now, climb: 0.0 }
    }

    pub(super) const fn packets(&self) -> f64 {
        self.window
    }

    /// Packets were confirmed.
    pub(super) fn on_ack(&mut self, now: Moment, packets: f64, rtt: Duration) {
        let ahead = (now.saturating_sub(self.since) + rtt).as_secs_f64() - self.climb;
        let target = (STEEPNESS * ahead.powi(3) + self.plateau).clamp(self.window, self.window * 1.5);
        self.window += (target - self.window) / self.window * packets;
        self.friendly += 3.0 * (1.0 - KEPT) / (1.0 + KEPT) * packets / self.window;
        self.window = self.window.max(self.friendly);
    }

    /// The queue was full. The window stays above `least` packets.
    pub(super) fn on_loss(&mut self, now: Moment, least: f64) {
        // Fast convergence (section 4.7): who has less than before leaves room to a newcomer.
        self.plateau = if self.window < self.plateau { self.window * (1.0 + KEPT) / 2.0 } else { self.window };
        self.window = (self.window * KEPT).max(least).max(2.0);
        self.friendly = self.window;
        self.since = now;
        self.climb = ((self.plateau - self.window).max(0.0) / STEEPNESS).cbrt();
    }
}
