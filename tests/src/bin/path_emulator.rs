//! A path between two TUN devices that has a rate, a length, a queue and loss, for kernels that come without netem.
//!
//! The devices are its stdin and its stdout: `tests/lab/tun.py` opens them, since that takes an ioctl. Each direction is
//! a [`Link`], which reads no clock. It ends when one of the devices is gone, and prints on stderr what each direction,
//! beginning with the one from stdin, carried and dropped.

use std::{
    collections::VecDeque,
    io,
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::Parser;
use rand::{Rng, SeedableRng, rngs::StdRng};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    stdio,
};
use serde::Serialize;

#[derive(Debug, Clone, Parser)]
struct Path {
    /// Megabits of packets each second, in each direction
    #[arg(long)]
    rate: f64,
    /// Milliseconds from one end to the other
    #[arg(long)]
    delay: f64,
    /// Packets in a hundred that get lost
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// Bytes that wait in front of each direction; what comes on top of them is dropped
    #[arg(long)]
    queue: f64,
}

fn main() -> Result<()> {
    let path = Path::parse();
    let mut links = [1, 2].map(|seed| Link::new(&path, seed, Instant::now()));
    carry([stdio::stdin(), stdio::stdout()], &mut links)?;
    eprintln!("{}", serde_json::to_string(&links.map(|link| link.counts))?);
    Ok(())
}

/// Carries packets both ways until a device is gone.
fn carry(ends: [BorrowedFd<'_>; 2], links: &mut [Link; 2]) -> io::Result<()> {
    let mut packet = vec![0; PACKET_BYTES_MAX];
    loop {
        let mut is_idle = true;
        for (from, link) in links.iter_mut().enumerate() {
            for _ in 0..PACKETS_AT_ONCE {
                match rustix::io::read(ends[from], &mut packet) {
                    Ok(bytes) => link.send(Instant::now(), &packet[..bytes]),
                    Err(Errno::AGAIN) => break,
                    Err(Errno::BADFD | Errno::IO | Errno::NODEV) => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
                is_idle = false;
            }
            while let Some(packet) = link.arrived(Instant::now()) {
                // A device that is full or gone loses packets, as a wire does.
                let _lost = rustix::io::write(ends[1 - from], &packet);
                is_idle = false;
            }
        }
        if is_idle {
            wait(ends, links.iter().filter_map(Link::next_arrival).min())?;
        }
    }
}

/// Waits for a packet at either end, or until one on its way arrives.
fn wait(ends: [BorrowedFd<'_>; 2], arrival: Option<Instant>) -> io::Result<()> {
    let timeout = arrival.map(|arrival| {
        let left = arrival.saturating_duration_since(Instant::now());
        Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
    });
    let mut fds = ends.each_ref().map(|end| PollFd::new(end, PollFlags::IN));
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// One direction.
#[derive(Debug)]
struct Link {
    bytes_per_second: f64,
    delay: Duration,
    /// The share of packets that get lost.
    loss: f64,
    /// How long the last byte of a full queue waits.
    queue: Duration,
    /// When everything that was accepted has left the queue.
    free_at: Instant,
    under_way: VecDeque<(Instant, Vec<u8>)>,
    random: StdRng,
    counts: Counts,
}

/// What became of the packets.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
struct Counts {
    packets: u64,
    bytes: u64,
    /// Lost by chance.
    lost: u64,
    /// Dropped because the queue was full.
    overflowed: u64,
}

impl Link {
    fn new(path: &Path, seed: u64, now: Instant) -> Self {
        let bytes_per_second = path.rate * 1e6 / 8.0;
        Self {
            bytes_per_second,
            delay: Duration::from_secs_f64(path.delay / 1e3),
            loss: path.loss / 100.0,
            queue: Duration::from_secs_f64(path.queue / bytes_per_second),
            free_at: now,
            under_way: VecDeque::new(),
            random: StdRng::seed_from_u64(seed),
            counts: Counts::default(),
        }
    }

    /// Takes a packet, or drops it. A lost one took its time on the wire too.
    fn send(&mut self, now: Instant, packet: &[u8]) {
        self.counts.packets += 1;
        self.counts.bytes += packet.len() as u64;
        self.free_at = self.free_at.max(now);
        if self.free_at - now > self.queue {
            self.counts.overflowed += 1;
            return;
        }
        self.free_at += Duration::from_secs_f64(packet.len() as f64 / self.bytes_per_second);
        if self.random.random_bool(self.loss) {
            self.counts.lost += 1;
            return;
        }
        self.under_way.push_back((self.free_at + self.delay, packet.to_owned()));
    }

    /// The next packet that is at the other end by now.
    fn arrived(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.under_way.pop_front_if(|(arrival, _)| *arrival <= now).map(|(_, packet)| packet)
    }

    fn next_arrival(&self) -> Option<Instant> {
        self.under_way.front().map(|(arrival, _)| *arrival)
    }
}

const PACKET_BYTES_MAX: usize = 1 << 16;

/// Packets read from one device before those that arrived are written.
const PACKETS_AT_ONCE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 MB a second, 10 ms, a queue of 10 packets of 1,000 bytes.
    fn link(loss: f64, now: Instant) -> Link {
        Link::new(&Path { rate: 8.0, delay: 10.0, loss, queue: 9_500.0 }, 1, now)
    }

    fn drained(link: &mut Link, now: Instant) -> usize {
        std::iter::from_fn(|| link.arrived(now)).count()
    }

    #[test]
    fn packets_leave_at_the_rate_and_arrive_after_the_delay() {
        let start = Instant::now();
        let mut link = link(0.0, start);
        for _ in 0..3 {
            link.send(start, &[0; 1000]);
        }
        let arrived: Vec<usize> = [10, 11, 12, 13, 14]
            .map(|ms| drained(&mut link, start + Duration::from_millis(ms) + Duration::from_micros(1)))
            .into();
        assert_eq!(arrived, [0, 1, 1, 1, 0]);
    }

    #[test]
    fn what_does_not_fit_into_the_queue_is_dropped() {
        let start = Instant::now();
        let mut link = link(0.0, start);
        for _ in 0..100 {
            link.send(start, &[0; 1000]);
        }
        assert_eq!(drained(&mut link, start + Duration::from_secs(1)), 10);
        assert_eq!(link.counts, Counts { packets: 100, bytes: 100_000, lost: 0, overflowed: 90 });
    }

    #[test]
    fn the_wanted_share_gets_lost() {
        let start = Instant::now();
        let mut link = link(10.0, start);
        for millisecond in 1..=10_000 {
            link.send(start + Duration::from_millis(millisecond), &[0; 100]);
        }
        assert!((900..1100).contains(&link.counts.lost), "{:?}", link.counts);
    }
}
