//! Where a host can be reached: its address, or what a NAT made of it. Pure: time comes in.

use std::{net::SocketAddr, time::Duration};

/// A NAT with one mapping, which ends after a time without outgoing datagrams; the next one gets another port. Whoever
/// knows the mapping gets in while it lasts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nat {
    forgets_after: Duration,
    last_out: Option<Duration>,
}

/// One host.
#[derive(Debug)]
pub(super) struct Host {
    /// What its own socket believes.
    pub(super) local: SocketAddr,
    /// What others see.
    seen: SocketAddr,
    nat: Option<Nat>,
    /// How often others saw another address.
    pub(super) moves: u64,
}

impl Host {
    pub(super) const fn new(local: SocketAddr) -> Self {
        Self { local, seen: local, nat: None, moves: 0 }
    }

    pub(super) const fn put_behind_nat(&mut self, forgets_after: Duration) {
        self.nat = Some(Nat { forgets_after, last_out: None });
    }

    /// Gives it another address towards others. Its own socket learns nothing of it.
    pub(super) fn move_to(&mut self, address: SocketAddr) {
        self.moves += u64::from(self.seen != address);
        self.seen = address;
    }

    /// The source address of a datagram that leaves now.
    pub(super) fn leaving(&mut self, now: Duration) -> SocketAddr {
        if let Some(nat) = &mut self.nat {
            let forgotten = nat.last_out.is_some_and(|last| now - last >= nat.forgets_after);
            nat.last_out = Some(now);
            if forgotten {
                self.seen.set_port(self.seen.port().wrapping_add(1));
                self.moves += 1;
            }
        }
        self.seen
    }

    /// Whether a datagram to this address gets in now.
    pub(super) fn answers_to(&self, address: SocketAddr, now: Duration) -> bool {
        let mapped = self.nat.is_none_or(|nat| nat.last_out.is_some_and(|last| now - last < nat.forgets_after));
        self.seen == address && mapped
    }

    pub(super) const fn seen(&self) -> SocketAddr {
        self.seen
    }
}
