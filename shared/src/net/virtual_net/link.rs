//! What one direction of a path does to datagrams. Pure: time, sizes and chance come in, arrivals go out.

use std::time::Duration;

use rand::{Rng, rngs::StdRng};

/// How one direction of a path behaves. The default carries everything at once and whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Path {
    /// Time from one end to the other.
    pub delay: Duration,
    /// The most that is added to the delay of a datagram, evenly spread; datagrams overtake each other by it.
    pub jitter: Duration,
    /// Share of datagrams that are lost.
    pub loss: f64,
    /// Share of datagrams that arrive twice.
    pub duplicates: f64,
    /// Share of datagrams that arrive with a wrong bit, as if the checksum had missed it.
    pub corruption: f64,
    /// Speed of the slowest line.
    pub bytes_per_second: Option<u64>,
    /// Bytes that wait before that line; what finds no room is dropped.
    pub queue_bytes: u64,
    /// Largest datagram that passes, in bytes of UDP payload. Larger ones vanish without a word.
    pub datagram_bytes_max: usize,
    /// Nothing passes at all.
    pub dead: bool,
}

impl Path {
    /// Ethernet without jumbo frames: 1,500 bytes less the headers of IPv6 and UDP.
    pub const ETHERNET_BYTES: usize = 1452;

    /// A path of this delay that carries what Ethernet carries.
    #[must_use]
    pub fn of(delay: Duration) -> Self {
        Self { delay, datagram_bytes_max: Self::ETHERNET_BYTES, ..Self::default() }
    }

    /// The same path, cut.
    #[must_use]
    pub const fn cut(self) -> Self {
        Self { dead: true, ..self }
    }
}

impl Default for Path {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            duplicates: 0.0,
            corruption: 0.0,
            bytes_per_second: None,
            queue_bytes: 256 * 1024,
            datagram_bytes_max: usize::from(u16::MAX),
            dead: false,
        }
    }
}

/// What became of the datagrams sent in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams that were sent.
    pub sent: u64,
    /// Datagrams that arrive, second copies included.
    pub arrived: u64,
    /// Bytes that arrive.
    pub arrived_bytes: u64,
    /// The largest that arrives.
    pub arrived_bytes_max: usize,
    /// Datagrams lost by chance.
    pub lost: u64,
    /// Datagrams that came when nothing passed.
    pub cut: u64,
    /// Datagrams that were too large.
    pub too_large: u64,
    /// Datagrams that found the queue full.
    pub overflowed: u64,
    /// Second copies.
    pub duplicated: u64,
    /// Datagrams with a wrong bit.
    pub corrupted: u64,
    /// Datagrams that arrive before one that was sent earlier.
    pub overtaking: u64,
}

/// One direction between two hosts.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) path: Path,
    pub(super) counts: Counts,
    /// When the slowest line has sent all it holds.
    free_at: Duration,
    /// The latest arrival so far.
    latest: Duration,
}

/// A datagram that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) at: Duration,
    /// The bit that is wrong.
    pub(super) wrong_bit: Option<usize>,
}

impl Link {
    pub(super) fn new(path: Path) -> Self {
        Self { path, ..Self::default() }
    }

    /// Takes a datagram of so many bytes. Times are since the network began.
    pub(super) fn carry(&mut self, now: Duration, bytes: usize, chance: &mut StdRng) -> Vec<Arrival> {
        self.counts.sent += 1;
        let path = self.path;
        // Chance is asked equally often for every datagram, so that what happens to one does not change another's luck.
        let [lost, twice, wrong] =
            [path.loss, path.duplicates, path.corruption].map(|share| chance.random::<f64>() < share);
        let late = [(); 2].map(|()| path.jitter.mul_f64(chance.random()));
        let wrong_bit = chance.random_range(0..bytes.max(1) * 8);
        if path.dead {
            self.counts.cut += 1;
            return Vec::new();
        }
        if bytes > path.datagram_bytes_max {
            self.counts.too_large += 1;
            return Vec::new();
        }
        let Some(left_at) = self.pass_line(now, bytes) else {
            self.counts.overflowed += 1;
            return Vec::new();
        };
        if lost {
            self.counts.lost += 1;
            return Vec::new();
        }
        self.counts.duplicated += u64::from(twice);
        self.counts.corrupted += u64::from(wrong);
        let copies = if twice { 2 } else { 1 };
        let wrong_bit = wrong.then_some(wrong_bit);
        late[..copies].iter().map(|late| self.arrive(left_at + path.delay + *late, bytes, wrong_bit)).collect()
    }

    /// When the datagram has passed the slowest line; nothing if it finds no room before it.
    fn pass_line(&mut self, now: Duration, bytes: usize) -> Option<Duration> {
        let Some(speed) = self.path.bytes_per_second else { return Some(now) };
        let begins = self.free_at.max(now);
        let waiting_bytes = (begins - now).as_secs_f64() * speed as f64;
        if waiting_bytes + bytes as f64 > self.path.queue_bytes as f64 {
            return None;
        }
        self.free_at = begins + Duration::from_secs_f64(bytes as f64 / speed as f64);
        Some(self.free_at)
    }

    fn arrive(&mut self, at: Duration, bytes: usize, wrong_bit: Option<usize>) -> Arrival {
        self.counts.arrived += 1;
        self.counts.arrived_bytes += bytes as u64;
        self.counts.arrived_bytes_max = self.counts.arrived_bytes_max.max(bytes);
        self.counts.overtaking += u64::from(at < self.latest);
        self.latest = self.latest.max(at);
        Arrival { at, wrong_bit }
    }
}
