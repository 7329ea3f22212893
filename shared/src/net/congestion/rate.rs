//! What a path shows of itself: how fast it delivers, and how long a round trip takes.
//!
//! Delivery rates are sampled as draft-ietf-ccwg-bbr describes (section 4.1, after draft-cheng-iccrg-delivery-rate-
//! estimation): a sample covers about one round trip and is the slower of how fast packets left and were confirmed, so
//! that confirmations which arrive in clumps do not look like a fast path.

use std::{collections::VecDeque, time::Duration};

use crate::limits::{CONGESTION_SENDS_LIFE, CONGESTION_SENDS_MAX};

/// A moment, as time since the connection's controller was made.
pub(super) type Moment = Duration;

/// What was known when packets left.
#[derive(Debug, Clone, Copy)]
struct Departure {
    at: Moment,
    delivered: u64,
    delivered_at: Moment,
    first_sent: Moment,
    app_limited: bool,
}

/// One measurement, from one confirmation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    /// Time from sending to confirmation of the newest packet in it.
    pub(super) rtt: Duration,
    /// Bytes per second, unless the measurement was too short to mean anything.
    pub(super) rate: Option<f64>,
    /// The application had less to send than the path would have taken.
    pub(super) app_limited: bool,
    /// Bytes confirmed before the newest packet left: it is of a new round if that covers the last round's end.
    pub(super) delivered_before: u64,
}

/// Measures delivery rates from departures and confirmations.
#[derive(Debug, Clone, Default)]
pub(super) struct Sampler {
    departures: VecDeque<Departure>,
    delivered: u64,
    delivered_at: Moment,
    first_sent: Moment,
    /// Until this many bytes are delivered, the application left the path idle.
    app_limited_until: u64,
    /// Departures closer together than this count from the first of them.
    spacing: Duration,
    /// When the newest packet of the confirmation being read had left.
    newest: Option<Moment>,
}

impl Sampler {
    pub(super) const fn delivered(&self) -> u64 {
        self.delivered
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.departures.len()
    }

    /// Packets left together. `idle` says that none were under way.
    pub(super) fn on_sent(&mut self, now: Moment, idle: bool) {
        if idle {
            self.first_sent = now;
            self.delivered_at = now;
        }
        if self.departures.back().is_some_and(|last| now < last.at + self.spacing) {
            return;
        }
        // What is confirmed so late was lost long ago, or needs no confirmation, and an idle connection needs no memory.
        let old = (self.spacing * SPACINGS * 16).max(CONGESTION_SENDS_LIFE);
        while self.departures.front().is_some_and(|first| first.at + old < now) {
            self.departures.pop_front();
        }
        if self.departures.len() >= CONGESTION_SENDS_MAX {
            // Every second one is enough: what left later counts from the entry before.
            let mut keep = false;
            self.departures.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.departures.push_back(Departure {
            at: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent: self.first_sent,
            app_limited: self.app_limited_until > self.delivered,
        });
    }

    /// One packet of a confirmation.
    pub(super) fn on_ack(&mut self, sent: Moment, bytes: u64) {
        self.delivered += bytes;
        self.newest = self.newest.max(Some(sent));
    }

    /// A confirmation is complete. The application is limited if it has nothing to send though it may.
    pub(super) fn on_end_acks(&mut self, now: Moment, in_flight: u64, app_limited: bool) -> Option<Sample> {
        let sent = self.newest.take()?;
        if app_limited {
            self.app_limited_until = self.delivered + in_flight.max(1);
        }
        // The last entry that is not younger speaks for the packet; older ones have nothing more to say.
        let later = self.departures.partition_point(|departure| departure.at <= sent);
        let index = later.checked_sub(1)?;
        self.departures.drain(..index);
        let departure = *self.departures.front()?;

        let interval = sent.saturating_sub(departure.first_sent).max(now.saturating_sub(departure.delivered_at));
        let delivered = self.delivered - departure.delivered;
        self.first_sent = sent;
        self.delivered_at = now;
        let rtt = now.saturating_sub(sent);
        self.spacing = rtt / SPACINGS;
        let rate = (!interval.is_zero()).then(|| delivered as f64 / interval.as_secs_f64());
        let app_limited = app_limited || departure.app_limited;
        Some(Sample { rtt, rate, app_limited, delivered_before: departure.delivered })
    }
}

/// Departures that are told apart in one round trip.
const SPACINGS: u32 = 48;

/// The largest value of this and the last period.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Highest {
    last: f64,
    current: f64,
}

impl Highest {
    pub(super) const fn get(&self) -> f64 {
        self.last.max(self.current)
    }

    pub(super) const fn note(&mut self, value: f64) {
        self.current = self.current.max(value);
    }

    /// Begins a new period: what was before the last one is forgotten.
    pub(super) const fn turn(&mut self) {
        self.last = self.current;
        self.current = 0.0;
    }
}
