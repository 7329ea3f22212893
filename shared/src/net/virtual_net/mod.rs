//! A network in memory, in virtual time: quinn runs over it as over UDP, and a test says what becomes of datagrams.
//!
//! A path between two hosts has two directions, each with its delay, jitter, loss, duplicates, wrong bits, speed, queue
//! and largest datagram. Paths change and hosts move at times that are set beforehand, so that a run depends on
//! nothing but its seed. Time is tokio's paused clock: it goes on when nothing else can happen, and ten minutes of
//! silence cost a moment. Where threads take part, [`in_virtual_time`] moves it.
//!
//! Datagrams arrive on whole milliseconds, which is how fine tokio's timers are.

mod clock;
mod host;
mod link;
mod socket;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::time::Instant;

pub use self::{
    clock::in_virtual_time,
    link::{Counts, Path},
    socket::VirtualSocket,
};
use self::{
    host::Host,
    link::Link,
    socket::{Datagram, Inbox},
};

/// A host of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(usize);

/// What happens at a time.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    /// One direction is different from now on.
    Way {
        /// From this host.
        from: HostId,
        /// To that one.
        to: HostId,
        /// How it behaves.
        path: Path,
    },
    /// A host is seen at another address, as when its NAT forgets or its provider renumbers. The old one is dead.
    Move {
        /// The host.
        host: HostId,
        /// Where it is seen.
        address: SocketAddr,
    },
}

/// The network. Clones are the same one.
#[derive(Debug, Clone)]
pub struct VirtualNet(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    begun: Instant,
    chance: StdRng,
    /// Datagrams so far, which orders those that arrive at once.
    number: u64,
    /// Datagrams to addresses where nobody is.
    astray: u64,
    path: Path,
    links: BTreeMap<(HostId, HostId), Link>,
    hosts: Vec<(Host, Arc<Inbox>)>,
    changes: BTreeMap<(Duration, usize), Change>,
}

impl VirtualNet {
    /// A network without hosts, whose paths behave like this one as long as nothing else is said. Call it inside of a
    /// runtime with a paused clock.
    #[must_use]
    pub fn new(seed: u64, path: Path) -> Self {
        Self(Arc::new(Mutex::new(State {
            begun: Instant::now(),
            chance: StdRng::seed_from_u64(seed),
            number: 0,
            astray: 0,
            path,
            links: BTreeMap::new(),
            hosts: Vec::new(),
            changes: BTreeMap::new(),
        })))
    }

    /// One more host, at this address.
    #[must_use]
    pub fn host(&self, address: SocketAddr) -> HostId {
        let mut state = self.state();
        state.hosts.push((Host::new(address), Arc::default()));
        HostId(state.hosts.len() - 1)
    }

    /// The host's socket, for one endpoint.
    #[must_use]
    pub fn socket(&self, host: HostId) -> Arc<VirtualSocket> {
        let inbox = self.state().hosts[host.0].1.clone();
        Arc::new(VirtualSocket::new(self.clone(), host, inbox))
    }

    /// Puts a host behind a NAT that forgets it when it sends nothing for so long.
    pub fn put_behind_nat(&self, host: HostId, forgets_after: Duration) {
        self.state().hosts[host.0].0.put_behind_nat(forgets_after);
    }

    /// Sets both directions.
    pub fn set_path(&self, one: HostId, other: HostId, path: Path) {
        self.set_way(one, other, path);
        self.set_way(other, one, path);
    }

    /// Sets one direction.
    pub fn set_way(&self, from: HostId, to: HostId, path: Path) {
        self.state().make(Change::Way { from, to, path });
    }

    /// Notes what will happen, at a time since the network began. It happens before the first datagram at or after it.
    pub fn at(&self, time: Duration, change: Change) {
        let mut state = self.state();
        let number = state.changes.len();
        state.changes.insert((time, number), change);
    }

    /// Notes how both directions will be from a time on.
    pub fn path_at(&self, time: Duration, one: HostId, other: HostId, path: Path) {
        self.at(time, Change::Way { from: one, to: other, path });
        self.at(time, Change::Way { from: other, to: one, path });
    }

    /// Time since the network began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.state().now()
    }

    /// Waits for a time since the network began.
    pub async fn reach(&self, time: Duration) {
        let begun = self.state().begun;
        tokio::time::sleep_until(begun + time).await;
    }

    /// The address at which others see a host.
    #[must_use]
    pub fn address(&self, host: HostId) -> SocketAddr {
        self.state().current().hosts[host.0].0.seen()
    }

    /// How often others have seen another address of a host.
    #[must_use]
    pub fn moves(&self, host: HostId) -> u64 {
        self.state().current().hosts[host.0].0.moves
    }

    /// What became of the datagrams from one host to another.
    #[must_use]
    pub fn counts(&self, from: HostId, to: HostId) -> Counts {
        self.state().links.get(&(from, to)).map_or_else(Counts::default, |link| link.counts)
    }

    /// Datagrams that all hosts sent together, those to nobody included.
    #[must_use]
    pub fn sent(&self) -> u64 {
        let state = self.state();
        state.links.values().map(|link| link.counts.sent).sum::<u64>() + state.astray
    }

    /// Datagrams to addresses where nobody is.
    #[must_use]
    pub fn astray(&self) -> u64 {
        self.state().astray
    }

    fn local_address(&self, host: HostId) -> SocketAddr {
        self.state().hosts[host.0].0.local
    }

    fn send(&self, from: HostId, to: SocketAddr, bytes: &[u8]) {
        let mut state = self.state();
        let arrivals = state.current().carry(from, to, bytes);
        drop(state);
        for (inbox, datagram) in arrivals {
            inbox.push(datagram);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The state after all that should have happened by now.
    fn current(&mut self) -> &mut Self {
        let now = self.now();
        while let Some(next) = self.changes.first_entry()
            && next.key().0 <= now
        {
            let change = next.remove();
            self.make(change);
        }
        self
    }

    fn make(&mut self, change: Change) {
        match change {
            Change::Way { from, to, path } => self.link(from, to).path = path,
            Change::Move { host, address } => self.hosts[host.0].0.move_to(address),
        }
    }

    fn link(&mut self, from: HostId, to: HostId) -> &mut Link {
        let path = self.path;
        self.links.entry((from, to)).or_insert_with(|| Link::new(path))
    }

    fn carry(&mut self, from: HostId, to: SocketAddr, bytes: &[u8]) -> Vec<(Arc<Inbox>, Datagram)> {
        let now = self.now();
        let source = self.hosts[from.0].0.leaving(now);
        let Some(target) = self.hosts.iter().position(|(host, _)| host.answers_to(to, now)) else {
            self.astray += 1;
            return Vec::new();
        };
        // A generator of its own for each datagram keeps the luck of one direction apart from the traffic of another.
        let mut chance = StdRng::seed_from_u64(self.chance.random());
        let arrivals = self.link(from, HostId(target)).carry(now, bytes.len(), &mut chance);
        let mut datagrams = Vec::with_capacity(arrivals.len());
        for arrival in arrivals {
            let mut bytes = bytes.to_vec();
            if let Some(bit) = arrival.wrong_bit {
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            self.number += 1;
            let due = self.begun + arrival.at;
            let datagram = Datagram { due, number: self.number, from: source, bytes };
            datagrams.push((self.hosts[target].1.clone(), datagram));
        }
        datagrams
    }
}

#[cfg(test)]
pub(crate) mod pair;
#[cfg(test)]
mod tests;
