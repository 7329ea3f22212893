//! A link in virtual time, and flows over it that send as quinn does. Only for tests.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

use super::{cubic::Cubic, model::Model};

/// Bytes of one packet on the link and of what congestion control counts of it.
const PACKET: u64 = 1452;
const OVERHEAD: u64 = 28;
/// Time that a receiver waits for a second packet before it confirms one.
const ACK_DELAY_MAX: Duration = Duration::from_millis(25);

/// How a link behaves. Bytes and seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) bits: f64,
    pub(super) rtt: Duration,
    pub(super) queue: f64,
    pub(super) loss: f64,
    /// Confirmations wait until this time is over and arrive together.
    pub(super) clump: Duration,
}

impl Link {
    /// A link with a queue of so many bandwidth-delay products.
    pub(super) fn new(megabits: f64, rtt_ms: u64, queue: f64, loss: f64) -> Self {
        let rtt = Duration::from_millis(rtt_ms);
        let bits = megabits * 1e6;
        Self { bits, rtt, queue: queue * bits / 8.0 * rtt.as_secs_f64(), loss, clump: Duration::ZERO }
    }
}

/// xorshift64*, so that a seed replays.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[derive(Debug)]
pub(super) enum Brain {
    Ours(Box<Model>),
    /// CUBIC as in RFC 9438: slow start, then its window.
    Theirs {
        cubic: Option<Cubic>,
        slow: f64,
        cut: Duration,
    },
}

impl Brain {
    pub(super) fn ours() -> Self {
        Self::Ours(Box::new(Model::new(PACKET as u16)))
    }

    pub(super) const fn cubic() -> Self {
        Self::Theirs { cubic: None, slow: 10.0, cut: Duration::ZERO }
    }

    fn window(&self) -> u64 {
        match self {
            Self::Ours(model) => model.window(),
            Self::Theirs { cubic, slow, .. } => (cubic.map_or(*slow, |cubic| cubic.packets()) * PACKET as f64) as u64,
        }
    }
}

/// One sender with its receiver, in the measure of what quinn does: its loss detection and its pacing.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) brain: Brain,
    /// Bytes per second that the application has to send, at most.
    supply: f64,
    produced: f64,
    produced_at: Duration,
    number: u64,
    unacked: BTreeMap<u64, Duration>,
    largest: Option<u64>,
    in_flight: u64,
    smoothed: Option<Duration>,
    tokens: f64,
    filled_at: Duration,
    sent_at: Duration,
    pub(super) sent: u64,
    delivered: u64,
    pub(super) overflowed: u64,
    app_limited: bool,
}

impl Flow {
    fn new(brain: Brain, begins: Duration) -> Self {
        Self {
            brain,
            supply: f64::INFINITY,
            produced: 0.0,
            produced_at: begins,
            number: 0,
            unacked: BTreeMap::new(),
            largest: None,
            in_flight: 0,
            smoothed: None,
            tokens: 10.0 * PACKET as f64,
            filled_at: begins,
            sent_at: begins,
            sent: 0,
            delivered: 0,
            overflowed: 0,
            app_limited: false,
        }
    }

    /// From now on the application has so many bytes per second to send.
    pub(super) const fn limit(&mut self, now: Duration, supply: f64) {
        self.supply = supply;
        self.produced = 0.0;
        self.produced_at = now;
    }

    /// Share of the packets sent that found the queue full.
    pub(super) fn overflow(&self) -> f64 {
        self.overflowed as f64 / self.sent.max(1) as f64
    }

    fn rtt(&self) -> Duration {
        self.smoothed.unwrap_or(Duration::from_millis(100))
    }

    /// Packets that may leave now, and when to look again.
    fn poll(&mut self, now: Duration) -> (u64, Option<Duration>) {
        let window = self.brain.window();
        let rtt = self.rtt().as_secs_f64();
        let capacity = (window as f64 * 0.002 / rtt).clamp(10.0 * PACKET as f64, 256.0 * PACKET as f64);
        let rate = window as f64 * 1.25 / rtt;
        self.tokens = (self.tokens + (now - self.filled_at).as_secs_f64() * rate).min(capacity);
        self.filled_at = now;
        if self.supply.is_finite() {
            self.produced += (now - self.produced_at).as_secs_f64() * self.supply;
            self.produced_at = now;
        }
        let mut count = 0;
        self.app_limited = false;
        while self.in_flight + (count + 1) * PACKET < window && count < 10 {
            if self.supply.is_finite() && self.produced < PACKET as f64 {
                self.app_limited = count == 0;
                return (count, Some(now + Duration::from_secs_f64(PACKET as f64 / self.supply)));
            }
            if self.tokens < PACKET as f64 {
                let wait = (capacity - self.tokens) / rate;
                return (count, Some(now + Duration::from_secs_f64(wait.max(1e-6))));
            }
            self.tokens -= PACKET as f64;
            if self.supply.is_finite() {
                self.produced -= PACKET as f64;
            }
            count += 1;
        }
        (count, (count == 10).then_some(now))
    }

    fn on_acks(&mut self, now: Duration, numbers: &[u64]) {
        let mut newest = None;
        let app_limited = self.app_limited;
        for number in numbers {
            let Some(sent) = self.unacked.remove(number) else { continue };
            self.in_flight -= PACKET;
            newest = newest.max(Some(sent));
            self.largest = self.largest.max(Some(*number));
            let rtt = self.rtt();
            match &mut self.brain {
                Brain::Ours(model) => model.on_ack(now, sent, PACKET),
                Brain::Theirs { .. } if app_limited => {}
                Brain::Theirs { cubic: Some(cubic), cut, .. } if sent > *cut => cubic.on_ack(now, 1.0, rtt),
                Brain::Theirs { cubic: None, slow, .. } => *slow += 1.0,
                Brain::Theirs { .. } => {}
            }
        }
        if let Brain::Ours(model) = &mut self.brain {
            model.on_end_acks(now, self.in_flight, app_limited);
        }
        if let Some(sent) = newest {
            let rtt = now - sent;
            self.smoothed = Some(self.smoothed.map_or(rtt, |smoothed| (smoothed * 7 + rtt) / 8));
        }
        self.find_lost(now);
    }

    fn find_lost(&mut self, now: Duration) {
        let Some(largest) = self.largest else { return };
        let late = self.rtt() * 9 / 8;
        let lost: Vec<(u64, Duration)> = self
            .unacked
            .range(..largest)
            .filter(|(number, sent)| **number + 3 <= largest || now - **sent >= late)
            .map(|(number, sent)| (*number, *sent))
            .collect();
        let Some((_, sent)) = lost.last().copied() else { return };
        for (number, _) in &lost {
            self.unacked.remove(number);
        }
        let bytes = lost.len() as u64 * PACKET;
        self.in_flight -= bytes;
        match &mut self.brain {
            Brain::Ours(model) => model.on_loss(now, sent, bytes, false),
            Brain::Theirs { cubic, slow, cut } => {
                if sent > *cut {
                    *cut = now;
                    cubic.get_or_insert_with(|| Cubic::new(now, *slow)).on_loss(now, 2.0);
                }
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive(usize, u64),
    Confirm(usize),
    Confirmed(usize, Vec<u64>),
    Wake(usize),
}

/// A link with its flows, in virtual time.
#[derive(Debug)]
pub(super) struct World {
    pub(super) link: Link,
    pub(super) flows: Vec<Flow>,
    pub(super) now: Duration,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    order: u64,
    free_at: Duration,
    dice: Dice,
    arrived: Vec<Vec<u64>>,
    pending: Vec<bool>,
    wake_at: Vec<Option<Duration>>,
}

impl World {
    pub(super) fn new(link: Link, seed: u64) -> Self {
        Self {
            link,
            flows: Vec::new(),
            now: Duration::ZERO,
            events: BinaryHeap::new(),
            order: 0,
            free_at: Duration::ZERO,
            dice: Dice(seed | 1),
            arrived: Vec::new(),
            pending: Vec::new(),
            wake_at: Vec::new(),
        }
    }

    pub(super) fn with(mut self, brain: Brain, begins: Duration) -> Self {
        let index = self.flows.len();
        self.flows.push(Flow::new(brain, begins));
        self.arrived.push(Vec::new());
        self.pending.push(false);
        self.wake_at.push(None);
        self.wake(index, begins);
        self
    }

    fn push(&mut self, at: Duration, event: Event) {
        self.order += 1;
        self.events.push(Reverse((at, self.order, event)));
    }

    fn wake(&mut self, flow: usize, at: Duration) {
        if self.wake_at[flow].is_none_or(|already| at < already || already < self.now) {
            self.wake_at[flow] = Some(at);
            self.push(at, Event::Wake(flow));
        }
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, until: Duration) {
        while let Some(Reverse((at, _, _))) = self.events.peek() {
            if *at > until {
                break;
            }
            let Some(Reverse((at, _, event))) = self.events.pop() else { break };
            self.now = at;
            match event {
                Event::Wake(flow) => {
                    if self.wake_at[flow] == Some(at) {
                        self.wake_at[flow] = None;
                    }
                    let idle = self.flows[flow].rtt() * 3;
                    if !self.flows[flow].unacked.is_empty() && at - self.flows[flow].sent_at > idle {
                        // A probe timeout: two packets leave whatever the window says.
                        self.depart(flow, 2);
                    }
                    self.drive(flow);
                }
                Event::Arrive(flow, number) => {
                    self.flows[flow].delivered += 1;
                    self.arrived[flow].push(number);
                    if self.arrived[flow].len() >= 2 && self.link.clump.is_zero() {
                        self.confirm(flow);
                    } else if !self.pending[flow] {
                        self.pending[flow] = true;
                        let wait = if self.link.clump.is_zero() { ACK_DELAY_MAX } else { self.link.clump };
                        self.push(at + wait, Event::Confirm(flow));
                    }
                }
                Event::Confirm(flow) => {
                    self.pending[flow] = false;
                    self.confirm(flow);
                }
                Event::Confirmed(flow, numbers) => {
                    self.flows[flow].on_acks(at, &numbers);
                    self.drive(flow);
                }
            }
        }
        self.now = until;
    }

    fn confirm(&mut self, flow: usize) {
        let numbers = std::mem::take(&mut self.arrived[flow]);
        if !numbers.is_empty() {
            self.push(self.now + self.link.rtt / 2, Event::Confirmed(flow, numbers));
        }
    }

    fn drive(&mut self, flow: usize) {
        let (count, again) = self.flows[flow].poll(self.now);
        if count > 0 {
            self.depart(flow, count);
        }
        if let Some(at) = again {
            self.wake(flow, at);
        } else {
            let at = self.now + self.flows[flow].rtt() * 4;
            if self.wake_at[flow].is_none() {
                self.wake(flow, at);
            }
        }
    }

    fn depart(&mut self, index: usize, count: u64) {
        let now = self.now;
        let flow = &mut self.flows[index];
        if let Brain::Ours(model) = &mut flow.brain {
            model.on_sent(now, count * PACKET);
        }
        flow.sent_at = now;
        let first = flow.number;
        flow.number += count;
        flow.sent += count;
        flow.in_flight += count * PACKET;
        for number in first..first + count {
            self.flows[index].unacked.insert(number, now);
            self.free_at = self.free_at.max(now);
            let queued = (self.free_at - now).as_secs_f64() * self.link.bits / 8.0;
            if queued + (PACKET + OVERHEAD) as f64 > self.link.queue + (PACKET + OVERHEAD) as f64 {
                self.flows[index].overflowed += 1;
                continue;
            }
            self.free_at += Duration::from_secs_f64((PACKET + OVERHEAD) as f64 * 8.0 / self.link.bits);
            if self.dice.roll() >= self.link.loss {
                let at = self.free_at + self.link.rtt / 2;
                self.push(at, Event::Arrive(index, number));
            }
        }
    }

    /// Packets that each flow's receiver has.
    pub(super) fn delivered(&self) -> Vec<u64> {
        self.flows.iter().map(|flow| flow.delivered).collect()
    }

    /// Shares of the link that flows got since `before`.
    pub(super) fn shares(&self, before: &[u64], lasted: Duration) -> Vec<f64> {
        let held = self.link.bits / 8.0 * lasted.as_secs_f64();
        let bytes = |packets: u64| (packets * (PACKET + OVERHEAD)) as f64;
        self.flows.iter().zip(before).map(|(flow, before)| bytes(flow.delivered - before) / held).collect()
    }

    /// What waits in the queue, in bandwidth-delay products.
    pub(super) fn queued(&self) -> f64 {
        self.free_at.saturating_sub(self.now).as_secs_f64() / self.link.rtt.as_secs_f64()
    }
}
