//! Who may connect. Pure: counts in, verdicts out.
//!
//! A packet costs its sender nothing and may carry somebody else's address, so beyond a number of handshakes in
//! progress, and wherever an address is about to be counted out, newcomers first prove their address by a retry.

use std::{collections::HashMap, net::IpAddr};

use shared::{
    limits::{
        TRACKER_CONNECTIONS_MAX, TRACKER_CONNECTIONS_PER_ADDRESS_MAX, TRACKER_HANDSHAKES_FREE, TRACKER_HANDSHAKES_MAX,
    },
    reach::source,
};

/// Connections and handshakes that there are.
#[derive(Debug, Default)]
pub struct Admission {
    connections: usize,
    handshakes: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// What to do with a newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Shake hands. It is counted until [`Admission::leave`].
    Accept,
    /// It shall prove its address first.
    Retry,
    /// Tell it that there is no room.
    Refuse,
    /// Spend nothing on it.
    Ignore,
}

impl Admission {
    /// Decides about a newcomer, and counts it when it is accepted. `proven`: its address is.
    pub fn judge(&mut self, address: IpAddr, proven: bool) -> Verdict {
        let source = source(address);
        if self.connections + self.handshakes >= TRACKER_CONNECTIONS_MAX {
            return Verdict::Refuse;
        }
        if self.handshakes >= TRACKER_HANDSHAKES_MAX {
            return Verdict::Ignore;
        }
        let crowded = self.by_address.get(&source).is_some_and(|n| *n >= TRACKER_CONNECTIONS_PER_ADDRESS_MAX);
        if !proven && (crowded || self.handshakes >= TRACKER_HANDSHAKES_FREE) {
            return Verdict::Retry;
        }
        if crowded {
            return Verdict::Refuse;
        }
        self.handshakes += 1;
        *self.by_address.entry(source).or_default() += 1;
        Verdict::Accept
    }

    /// The handshake of an accepted one is over.
    pub fn established(&mut self) {
        self.handshakes = self.handshakes.saturating_sub(1);
        self.connections += 1;
    }

    /// An accepted one is gone. `established`: its handshake had ended.
    pub fn leave(&mut self, address: IpAddr, established: bool) {
        let count = if established { &mut self.connections } else { &mut self.handshakes };
        *count = count.saturating_sub(1);
        let source = source(address);
        if let Some(count) = self.by_address.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_address.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    fn settle(admission: &mut Admission, from: IpAddr) {
        assert_eq!(admission.judge(from, true), Verdict::Accept);
        admission.established();
    }

    #[test]
    fn a_flood_of_handshakes_makes_newcomers_prove_themselves_and_then_ignores_them() {
        let mut admission = Admission::default();
        for n in 0..TRACKER_HANDSHAKES_FREE {
            assert_eq!(admission.judge(at(n as u32), false), Verdict::Accept);
        }
        assert_eq!(admission.judge(at(1), false), Verdict::Retry);
        for n in TRACKER_HANDSHAKES_FREE..TRACKER_HANDSHAKES_MAX {
            assert_eq!(admission.judge(at(n as u32), true), Verdict::Accept);
        }
        assert_eq!(admission.judge(at(1), true), Verdict::Ignore);
        admission.leave(at(0), false);
        assert_eq!(admission.judge(at(1), true), Verdict::Accept);
    }

    #[test]
    fn a_full_tracker_refuses_until_someone_leaves() {
        let mut admission = Admission::default();
        for n in 0..TRACKER_CONNECTIONS_MAX {
            settle(&mut admission, at(n as u32));
        }
        assert_eq!(admission.judge(at(1), true), Verdict::Refuse);
        admission.leave(at(5), true);
        assert_eq!(admission.judge(at(1), true), Verdict::Accept);
    }

    #[test]
    fn one_address_cannot_take_all_places_and_a_forged_one_locks_nobody_out() {
        let mut admission = Admission::default();
        for _ in 0..TRACKER_CONNECTIONS_PER_ADDRESS_MAX {
            settle(&mut admission, at(1));
        }
        assert_eq!(admission.judge(at(1), false), Verdict::Retry);
        assert_eq!(admission.judge(at(1), true), Verdict::Refuse);
        assert_eq!(admission.judge(at(2), false), Verdict::Accept);
    }

    #[test]
    fn everyone_leaving_leaves_nothing_behind() {
        let mut admission = Admission::default();
        settle(&mut admission, at(1));
        assert_eq!(admission.judge(at(2), true), Verdict::Accept);
        admission.leave(at(1), true);
        admission.leave(at(2), false);
        assert!(admission.by_address.is_empty());
        assert_eq!((admission.connections, admission.handshakes), (0, 0));
    }
}
