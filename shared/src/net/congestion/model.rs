//! Decides how much may be in flight. Pure: time comes in, a window goes out.
//!
//! The model of a path is its bandwidth (the most it delivered lately) and its round trip without queues. Their product
//! is what the path itself holds; more only waits in a queue. Random loss says nothing about either, so it is not
//! answered. The phases follow BBR (draft-ietf-ccwg-bbr): startup, then cruising with regular probing up (is there
//! more?) and down (what is the round trip without our own queue?). Two things differ:
//!
//! - quinn paces by the window, at 5/4 of it per round trip, so the window alone is the control.
//! - If the queue stays when ours has left it, then somebody else fills it. Who held to the model would starve, or
//!   starve them, so as long as that lasts the window follows CUBIC (RFC 9438). Copa does alike (Arun and Balakrishnan,
//!   NSDI 2018, section 2.2).
//!
//! A short queue is empty whenever this flow looks, so there only loss tells of others; then the window follows CUBIC
//! as well, for longer each time that it is found again.
//!
//! Loss that is neither the path's own nor explained by a full queue lowers a ceiling, as in BBR's second version.

use std::time::Duration;

use super::{
    cubic::{Cubic, KEPT},
    rate::{Highest, Moment, Sample, Sampler},
};
use crate::limits::{
    CONGESTION_CRUISE, CONGESTION_HOLES_MAX, CONGESTION_HOST_DELAY, CONGESTION_PACKETS_MIN, CONGESTION_PACKETS_START,
    CONGESTION_ROUND_TRIP_LIFE, CONGESTION_STARTUP_PACKETS_MAX,
};

/// In startup: twice what was delivered in the last round, as in slow start. Also the bound at all times.
const GAIN_MAX: f64 = 2.0;
/// Cruising keeps a little more than the path holds, so that late confirmations do not leave it idle,
const GAIN_CRUISE: f64 = 1.1;
/// and the square root of that in packets, times this: the less a flow has, the more it is against the others, so
/// that flows which share a path come to have the same (as in FAST TCP, Wei and others, 2006).
const ROOM: f64 = 2.0;
/// Probing for bandwidth, for two rounds and as many as bring more.
const GAIN_UP: f64 = 1.3;
/// Probing for the round trip: the path is not full, so a queue that is left is not ours.
const GAIN_DOWN: f64 = 0.85;
/// The same when no short round trip was seen for long: room for several flows of this kind to see it.
const GAIN_DEEP: f64 = 0.5;
/// Sharing a queue, never less than what this flow's rate needs without one: less is no share, but what is left when
/// busy hosts and random loss look like a full queue.
const GAIN_SHARED_MIN: f64 = 1.0;
/// The same where the queue is too short to be seen: what this flow had lately may be more than its share.
const GAIN_CROWDED_MIN: f64 = 0.5;
/// Growth of the bandwidth in one round that makes it worth to go on growing.
const GROWTH: f64 = 1.1;
/// The same in startup.
const GROWTH_STARTUP: f64 = 1.25;
/// Rounds without growth after which the path is full.
const FULL_ROUNDS: u32 = 3;
/// Share of packets lost beyond the path's own loss that shows that there is too much in flight.
const EXCESS_LOSS: f64 = 0.02;
/// Loss that is still believed to be the path's own.
const OWN_LOSS_MAX: f64 = 0.25;
/// Loss that ends startup, where the path's own is not known.
const STARTUP_LOSS: f64 = 0.3;
/// Loss below which a path counts as one without.
const OWN_LOSS_NONE: f64 = 0.000_5;
/// Turns of sharing a short queue after which it is tried whether the others are still there. Each time they are, it
/// takes twice as long to the next try, up to this.
const CROWD_TURNS_MAX: u32 = 16;
/// Own loss up to which losses while cruising tell of others, who fill a short queue.
const CROWD_OWN_LOSS: f64 = 0.001;
/// Packets of which that share is known.
const OWN_LOSS_SAMPLE: f64 = 20.0;
/// Packets that all count alike for it, so that a small flow comes to know it too.
const OWN_LOSS_KEPT: f64 = 80.0;
/// Part of what came through that is tried next, when there was too much in flight.
const CEILING_KEPT: f64 = 0.97;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Grows by what is confirmed, until nothing comes faster.
    Startup,
    /// Holds what the model says.
    Cruise,
    /// Tries more, for as many rounds as that brings more.
    Up { rounds: u32 },
    /// Leaves the queue.
    Down { stage: Stage, deep: bool },
    /// Shares a full queue.
    Contend,
}

/// How far a probe for the round trip is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// More is in flight than there should be.
    Falling,
    /// What left before is still being confirmed.
    Settling,
    /// What is seen now is the path without this flow's queue.
    Judging,
}

/// What happened in the current round trip.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    /// Bytes delivered when it began: it ends when a packet is confirmed that left later.
    ends_at: u64,
    acked: u64,
    /// Bytes confirmed together just now.
    newly: u64,
    lost: u64,
    /// The shortest time from sending to confirmation.
    rtt: Option<Duration>,
    /// Not only because the application had little to send.
    measured: bool,
}

/// What is known about one path, and what follows from it. Rates are in bytes per second, windows in bytes.
#[derive(Debug, Clone)]
pub(super) struct Model {
    mtu: u64,
    sampler: Sampler,
    /// The most that was delivered in this and the last cycle of probing.
    bandwidth: Highest,
    /// The shortest round trip, and when it was last seen.
    round_trip: Option<(Duration, Moment)>,
    /// The longest round trips, as the least of each round, so that a single late confirmation does not count.
    queued: Highest,
    round: Round,
    phase: Phase,
    /// When the phase began.
    since: Moment,
    cycle: u64,
    in_flight: u64,
    /// Bandwidth at the last growth, and rounds since.
    full: (f64, u32),
    /// More than this in flight was lost.
    ceiling: f64,
    /// Bytes lost, and all bytes, while the queue was empty of ours, the older ones weighing less.
    own_loss: (f64, f64),
    /// Bytes that were confirmed at once beyond what the bandwidth explains (draft-ietf-ccwg-bbr, section 5.5.9).
    clumps: Highest,
    /// Since when that is counted, and what was confirmed since.
    clump: (Moment, u64),
    /// Rounds in a longer queue than this flow makes by itself.
    long_rounds: u32,
    /// Signs of others in a queue that is too short to be seen.
    crowd: Crowd,
    /// The window among flows that fill the queue, as long as there are any.
    cubic: Option<Cubic>,
    /// When the window was last made smaller: losses of packets from before are answered already.
    changed_at: Moment,
    /// Datagrams have become smaller just now: what is told lost next was too large for the path.
    shrunk: bool,
    /// This cycle saw more than what the application had little of.
    measured: bool,
    /// Packets as long as little is known.
    start: u64,
    window: u64,
}

/// What shows that others, too, fill a queue that is too short to be seen in the round trip: cruising loses more than
/// the path does by itself.
#[derive(Debug, Clone, Copy, Default)]
struct Crowd {
    /// Bytes lost, and all bytes, since cruising began.
    lost: f64,
    all: f64,
    /// Times that the queue was shared when that was last found, and that it still will be.
    turns: u32,
    left: u32,
}

impl Phase {
    const DOWN: Self = Self::Down { stage: Stage::Falling, deep: false };
}

impl Model {
    pub(super) fn new(mtu: u16) -> Self {
        let mtu = u64::from(mtu);
        Self {
            mtu,
            sampler: Sampler::default(),
            bandwidth: Highest::default(),
            round_trip: None,
            queued: Highest::default(),
            round: Round::default(),
            phase: Phase::Startup,
            since: Moment::ZERO,
            cycle: 0,
            in_flight: 0,
            full: (0.0, 0),
            ceiling: f64::INFINITY,
            own_loss: (0.0, 0.0),
            clumps: Highest::default(),
            clump: (Moment::ZERO, 0),
            long_rounds: 0,
            crowd: Crowd::default(),
            cubic: None,
            changed_at: Moment::ZERO,
            shrunk: false,
            measured: false,
            start: CONGESTION_PACKETS_START,
            window: CONGESTION_PACKETS_START * mtu,
        }
    }

    pub(super) const fn window(&self) -> u64 {
        self.window
    }

    pub(super) const fn initial_window(&self) -> u64 {
        CONGESTION_PACKETS_START * self.mtu
    }

    #[cfg(test)]
    pub(super) const fn phase(&self) -> Phase {
        self.phase
    }

    /// Bytes per second that the path is believed to carry.
    pub(super) const fn bandwidth(&self) -> f64 {
        self.bandwidth.get()
    }

    pub(super) fn on_mtu(&mut self, mtu: u16) {
        self.shrunk = u64::from(mtu) < self.mtu;
        self.mtu = u64::from(mtu);
        self.window = self.window.max(CONGESTION_PACKETS_MIN * self.mtu);
    }

    pub(super) fn on_sent(&mut self, now: Moment, bytes: u64) {
        self.sampler.on_sent(now, self.in_flight == 0);
        self.in_flight += bytes;
    }

    pub(super) fn on_ack(&mut self, now: Moment, sent: Moment, bytes: u64) {
        self.sampler.on_ack(sent, bytes);
        self.round.acked += bytes;
        self.round.newly += bytes;
        self.in_flight = self.in_flight.saturating_sub(bytes);
        if self.phase == Phase::Contend
            && let (Some(cubic), Some((rtt, _))) = (&mut self.cubic, self.round_trip)
            && self.in_flight >= self.window / 2
        {
            cubic.on_ack(now, bytes as f64 / self.mtu as f64, rtt);
        }
        if self.phase == Phase::Startup {
            self.window += bytes;
        }
    }

    /// The packets confirmed together are told.
    pub(super) fn on_end_acks(&mut self, now: Moment, in_flight: u64, app_limited: bool) {
        self.in_flight = in_flight;
        let Some(sample) = self.sampler.on_end_acks(now, in_flight, app_limited) else { return };
        self.learn(now, sample);
        if sample.delivered_before >= self.round.ends_at {
            self.end_round(now);
        }
        self.advance(now);
        self.set_window();
    }

    /// Packets are lost, the newest of which left at `sent`; none when the path marked some instead (RFC 9000, 13.4).
    pub(super) fn on_loss(&mut self, now: Moment, sent: Moment, bytes: u64, persistent: bool) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
        // What left before the last change of the window tells nothing about the window of now.
        if sent > self.changed_at {
            self.round.lost += bytes;
        }
        let shrunk = std::mem::take(&mut self.shrunk);
        if persistent {
            self.restart(now);
        } else if shrunk {
            self.resume(now);
        } else if self.phase == Phase::Contend && sent > self.changed_at {
            // On a path that loses by itself, a round must show that this is more.
            let full = self.queue_is_full() && self.own_loss() < OWN_LOSS_NONE;
            if bytes == 0 || full || self.crowd.left > 0 {
                self.cut(now);
            }
        } else if self.phase == Phase::Cruise
            && sent > self.since
            && self.round.rtt.is_some_and(|rtt| rtt > self.expected_rtt())
        {
            self.contend(now);
            self.cut(now);
        } else if bytes == 0 && sent > self.changed_at {
            self.lower_ceiling(now, 1.0 - KEPT);
        }
        self.set_window();
    }

    fn learn(&mut self, now: Moment, sample: Sample) {
        let near = self.tolerance() / 2;
        self.round_trip = Some(match self.round_trip {
            Some((least, at)) if sample.rtt > least => (least, if sample.rtt <= least + near { now } else { at }),
            Some(_) | None => (sample.rtt, now),
        });
        self.round.rtt = Some(self.round.rtt.map_or(sample.rtt, |least| least.min(sample.rtt)));
        if let Some(rate) = sample.rate
            && (!sample.app_limited || rate > self.bandwidth.get())
        {
            self.bandwidth.note(rate);
        }
        self.round.measured |= !sample.app_limited;
        self.measured |= !sample.app_limited;
        self.note_clump(now);
    }

    fn note_clump(&mut self, now: Moment) {
        let newly = std::mem::take(&mut self.round.newly);
        let (begun, acked) = self.clump;
        let explained = self.bandwidth.get() * now.saturating_sub(begun).as_secs_f64();
        let (begun, acked, explained) =
            if acked as f64 <= explained { (now, newly, 0.0) } else { (begun, acked + newly, explained) };
        self.clump = (begun, acked);
        self.clumps.note((acked as f64 - explained).min(self.window as f64));
    }

    fn end_round(&mut self, now: Moment) {
        let round = self.round;
        self.round = Round { ends_at: self.sampler.delivered(), rtt: None, ..Round::default() };
        let Some(rtt) = round.rtt else { return };
        self.queued.note(rtt.as_secs_f64());
        let grown = self.grown(round.measured);
        let loss = round.lost as f64 / (round.lost + round.acked).max(1) as f64;
        let expected = (self.own_loss() * 1.5 + EXCESS_LOSS) * (round.lost + round.acked) as f64 / self.mtu as f64;
        let excess = round.lost as f64 / self.mtu as f64 > expected + 3.0 * expected.sqrt().max(1.0);
        match self.phase {
            Phase::Startup => {
                // A whole round in a queue means that the path is full (as in HyStart++, RFC 9406).
                let queued = rtt > self.round_trip() * 3 / 2 + CONGESTION_HOST_DELAY * 2;
                if queued || self.full.1 >= FULL_ROUNDS || (round.lost > 16 * self.mtu && loss > STARTUP_LOSS) {
                    self.enter(now, Phase::DOWN);
                }
            }
            Phase::Cruise => {
                self.crowd.lost += round.lost as f64;
                self.crowd.all += (round.lost + round.acked) as f64;
                if self.is_crowded() {
                    self.crowd.turns = (self.crowd.turns * 2).clamp(2, CROWD_TURNS_MAX);
                    self.crowd.left = self.crowd.turns;
                    self.contend(now);
                    self.cut(now);
                    return;
                }
                if excess {
                    self.lower_ceiling(now, loss);
                }
                self.long_rounds = if rtt > self.expected_rtt() { self.long_rounds + 1 } else { 0 };
                if self.long_rounds >= 2 {
                    self.enter(now, Phase::DOWN);
                }
            }
            Phase::Up { rounds } => {
                if excess {
                    self.lower_ceiling(now, loss);
                    self.enter(now, Phase::DOWN);
                } else if rounds >= 2 && !grown {
                    self.ceiling = f64::INFINITY;
                    self.enter(now, Phase::DOWN);
                } else {
                    self.ceiling *= GAIN_UP;
                    self.phase = Phase::Up { rounds: rounds + 1 };
                }
            }
            Phase::Down { stage: Stage::Judging, deep } => {
                if deep {
                    self.round_trip = Some((rtt, now));
                }
                self.judge(now, rtt, round);
            }
            Phase::Down { stage: Stage::Settling, deep } => {
                self.phase = Phase::Down { stage: Stage::Judging, deep };
            }
            Phase::Down { stage: Stage::Falling, .. } => {}
            Phase::Contend => {
                if excess {
                    self.cut(now);
                }
            }
        }
    }

    /// A round after the queue should be empty of ours: what is left is somebody else's.
    fn judge(&mut self, now: Moment, rtt: Duration, round: Round) {
        self.crowd.left = self.crowd.left.saturating_sub(1);
        if rtt <= self.round_trip() + self.tolerance() {
            let (lost, all) = self.own_loss;
            let kept = if all > OWN_LOSS_KEPT * self.mtu as f64 { 0.75 } else { 1.0 };
            self.own_loss = (lost * kept + round.lost as f64, all * kept + (round.lost + round.acked) as f64);
            if self.own_loss() >= CROWD_OWN_LOSS {
                self.crowd.left = 0;
            }
            if self.crowd.left > 0 {
                self.enter(now, Phase::Contend);
            } else {
                self.cubic = None;
                self.enter(now, Phase::Cruise);
            }
        } else {
            self.contend(now);
        }
        if self.measured {
            self.clumps.turn();
            self.bandwidth.turn();
            self.queued.turn();
            self.measured = false;
        }
    }

    fn contend(&mut self, now: Moment) {
        self.ceiling = f64::INFINITY;
        let packets = self.cruise_window() / self.mtu as f64;
        self.cubic.get_or_insert_with(|| Cubic::new(now, packets));
        self.enter(now, Phase::Contend);
    }

    /// Whether the bandwidth grew in this round.
    fn grown(&mut self, measured: bool) -> bool {
        let bandwidth = self.bandwidth.get();
        let growth = if self.phase == Phase::Startup { GROWTH_STARTUP } else { GROWTH };
        let grown = bandwidth >= self.full.0 * growth;
        if grown {
            self.full = (bandwidth, 0);
        } else if measured {
            self.full.1 += 1;
        }
        grown
    }

    fn advance(&mut self, now: Moment) {
        let elapsed = now.saturating_sub(self.since);
        match self.phase {
            // With a queue there is nothing to be found by adding to it.
            Phase::Cruise if elapsed >= self.cruise() && self.long_rounds > 0 => self.enter(now, Phase::DOWN),
            Phase::Cruise if elapsed >= self.cruise() => {
                self.crowd.turns /= 2;
                self.enter(now, Phase::Up { rounds: 0 });
            }
            Phase::Contend if elapsed >= self.cruise() * 2 => {
                self.enter(now, Phase::DOWN);
            }
            Phase::Down { stage: Stage::Falling, deep } if self.in_flight <= self.window + self.mtu => {
                self.phase = Phase::Down { stage: Stage::Settling, deep };
                self.changed_at = now;
                self.round = Round { ends_at: self.sampler.delivered(), ..Round::default() };
            }
            Phase::Startup | Phase::Cruise | Phase::Contend | Phase::Up { .. } | Phase::Down { .. } => {}
        }
    }

    fn enter(&mut self, now: Moment, phase: Phase) {
        let expired = self.round_trip.is_some_and(|(_, at)| now.saturating_sub(at) > CONGESTION_ROUND_TRIP_LIFE);
        self.phase = match phase {
            Phase::Down { stage, .. } => Phase::Down { stage, deep: expired },
            Phase::Startup | Phase::Cruise | Phase::Up { .. } | Phase::Contend => phase,
        };
        if matches!(phase, Phase::Cruise | Phase::Contend) {
            self.cycle += 1;
        }
        self.full = (self.bandwidth.get(), 0);
        (self.crowd.lost, self.crowd.all) = (0.0, 0.0);
        self.long_rounds = 0;
        self.since = now;
    }

    /// Everything was lost for long: what was known about the path is not true any more.
    fn restart(&mut self, now: Moment) {
        self.bandwidth = Highest::default();
        self.queued = Highest::default();
        self.round_trip = None;
        self.clumps = Highest::default();
        self.cubic = None;
        self.ceiling = f64::INFINITY;
        self.own_loss = (0.0, 0.0);
        self.start = CONGESTION_PACKETS_MIN;
        self.window = self.start * self.mtu;
        self.enter(now, Phase::Startup);
    }

    /// What was lost was too large, not too much, and while it was lost nothing was learnt: tries what is known, and
    /// from there on grows as in the beginning.
    fn resume(&mut self, now: Moment) {
        self.cubic = None;
        self.ceiling = f64::INFINITY;
        self.own_loss = (0.0, 0.0);
        self.changed_at = now;
        self.round = Round { ends_at: self.sampler.delivered(), ..Round::default() };
        self.window = (self.product() as u64).max(CONGESTION_PACKETS_START * self.mtu);
        self.enter(now, Phase::Startup);
    }

    fn cut(&mut self, now: Moment) {
        self.changed_at = now;
        let least = match self.crowd.left {
            0 => GAIN_SHARED_MIN * self.product() / (1.0 - self.own_loss()) / self.mtu as f64,
            _ => GAIN_CROWDED_MIN * self.product() / self.mtu as f64,
        };
        if let Some(cubic) = &mut self.cubic {
            cubic.on_loss(now, least);
        }
    }

    /// What came through is what fits.
    fn lower_ceiling(&mut self, now: Moment, loss: f64) {
        self.changed_at = now;
        self.ceiling = self.window as f64 * (1.0 - loss) / (1.0 - self.own_loss()) * CEILING_KEPT;
    }

    fn set_window(&mut self) {
        let product = self.product();
        let most = GAIN_MAX * product + self.spare();
        let own = 1.0 - self.own_loss();
        let wanted = match self.phase {
            Phase::Startup => (self.window as f64).min((CONGESTION_STARTUP_PACKETS_MAX * self.mtu) as f64),
            Phase::Cruise => self.cruise_window(),
            Phase::Up { .. } => (GAIN_UP * product / own + self.spare()).min(self.ceiling),
            Phase::Down { deep: false, .. } => GAIN_DOWN * product.min(self.ceiling),
            Phase::Down { deep: true, .. } => GAIN_DEEP * product.min(self.ceiling),
            Phase::Contend => self.cubic.map_or(product, |cubic| cubic.packets() * self.mtu as f64),
        };
        let least = if self.phase == Phase::Startup { self.start } else { CONGESTION_PACKETS_MIN } * self.mtu;
        self.window = (wanted.min(most).min(self.hole_bound()) as u64).max(least);
    }

    fn cruise_window(&self) -> f64 {
        let product = self.product();
        let room = ROOM * (product * self.mtu as f64).sqrt();
        ((GAIN_CRUISE * product + room) / (1.0 - self.own_loss()) + self.spare()).min(self.ceiling)
    }

    /// Holes that a receiver keeps for one stream are limited, and a lost packet may be one.
    fn hole_bound(&self) -> f64 {
        let loss = self.own_loss();
        CONGESTION_HOLES_MAX as f64 * self.mtu as f64 * (1.0 - loss) / loss.max(0.001)
    }

    /// Share of packets that the path loses without being full.
    fn own_loss(&self) -> f64 {
        let (lost, all) = self.own_loss;
        if all < OWN_LOSS_SAMPLE * self.mtu as f64 { 0.0 } else { (lost / all).min(OWN_LOSS_MAX) }
    }

    /// Whether cruising loses more than the path by itself could. Both are known from few losses only.
    fn is_crowded(&self) -> bool {
        let mtu = self.mtu as f64;
        let (lost, all) = (self.own_loss.0 / mtu, self.own_loss.1 / mtu);
        let most = (lost + 2.0 * lost.sqrt() + 3.0) / all.max(OWN_LOSS_SAMPLE) * self.crowd.all / mtu;
        self.own_loss() < CROWD_OWN_LOSS && self.crowd.lost / mtu > most + 3.0 * most.sqrt()
    }

    /// What the path itself holds, in bytes.
    fn product(&self) -> f64 {
        self.bandwidth.get() * self.round_trip().as_secs_f64()
    }

    /// What is not on the path but in the hosts: confirmations that wait for each other, and scheduling.
    fn spare(&self) -> f64 {
        self.clumps.get().max(self.bandwidth.get() * CONGESTION_HOST_DELAY.as_secs_f64())
    }

    fn round_trip(&self) -> Duration {
        self.round_trip.map_or(Duration::ZERO, |(least, _)| least)
    }

    /// Longer round trips than without a queue by this much are still without one.
    fn tolerance(&self) -> Duration {
        self.round_trip() / 16 + CONGESTION_HOST_DELAY
    }

    /// The longest round trip that this flow alone would cause while cruising.
    fn expected_rtt(&self) -> Duration {
        let alone = self.cruise_window() * (1.0 - self.own_loss()) / self.bandwidth.get().max(1.0);
        Duration::from_secs_f64(alone * 1.15) + CONGESTION_HOST_DELAY
    }

    /// Whether packets wait about as long as they ever did lately.
    fn queue_is_full(&self) -> bool {
        let least = self.round_trip().as_secs_f64();
        let longest = self.queued.get();
        let rtt = self.round.rtt.map_or(longest, |rtt| rtt.as_secs_f64());
        rtt >= least + (longest - least) / 2.0
    }

    /// Time from one probe to the next. It differs from cycle to cycle by the golden ratio, so that flows which began
    /// together do not probe together for ever.
    fn cruise(&self) -> Duration {
        let turn = (self.cycle as f64 * 0.618_033_988_75).fract();
        CONGESTION_CRUISE.mul_f64(1.0 + turn / 2.0).max(self.round_trip() * 10)
    }
}
