//! Who may connect to the web port. Pure: counts in, verdicts out.
//!
//! A TCP connection has proven its address, so counting by address is enough. Newcomers, who cost a handshake and may
//! never make a request, are counted apart: many of them leave room for those who are served.

use std::{collections::HashMap, net::IpAddr};

use shared::{
    limits::{WEB_CONNECTIONS_MAX, WEB_CONNECTIONS_PER_ADDRESS_MAX, WEB_NEWCOMERS_MAX, WEB_NEWCOMERS_PER_ADDRESS_MAX},
    reach::source,
};

/// Connections that there are, newcomers among them.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    here: Count,
    by_address: HashMap<IpAddr, Count>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    all: usize,
    new: usize,
}

impl Crowd {
    /// Whether a newcomer may stay; it is counted until [`Crowd::leave`] then.
    pub(super) fn enter(&mut self, address: IpAddr) -> bool {
        let full = self.here.all >= WEB_CONNECTIONS_MAX || self.here.new >= WEB_NEWCOMERS_MAX;
        let of_address = self.by_address.get(&source(address)).copied().unwrap_or_default();
        let crowded =
            of_address.all >= WEB_CONNECTIONS_PER_ADDRESS_MAX || of_address.new >= WEB_NEWCOMERS_PER_ADDRESS_MAX;
        if full || crowded {
            return false;
        }
        for count in [&mut self.here, self.by_address.entry(source(address)).or_default()] {
            count.all += 1;
            count.new += 1;
        }
        true
    }

    /// A newcomer is being served.
    pub(super) fn settle(&mut self, address: IpAddr) {
        self.here.new = self.here.new.saturating_sub(1);
        if let Some(count) = self.by_address.get_mut(&source(address)) {
            count.new = count.new.saturating_sub(1);
        }
    }

    /// A connection is gone. `is_settled`: it was being served.
    pub(super) fn leave(&mut self, address: IpAddr, is_settled: bool) {
        if !is_settled {
            self.settle(address);
        }
        self.here.all = self.here.all.saturating_sub(1);
        if let Some(count) = self.by_address.get_mut(&source(address)) {
            count.all = count.all.saturating_sub(1);
            if *count == Count::default() {
                self.by_address.remove(&source(address));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: usize) -> IpAddr {
        IpAddr::V4((n as u32).into())
    }

    #[test]
    fn newcomers_of_one_address_leave_room_for_others() {
        let mut crowd = Crowd::default();
        for _ in 0..WEB_NEWCOMERS_PER_ADDRESS_MAX {
            assert!(crowd.enter(at(1)));
        }
        assert!(!crowd.enter(at(1)));
        assert!(crowd.enter(at(2)));
        crowd.leave(at(1), false);
        assert!(crowd.enter(at(1)));
    }

    #[test]
    fn newcomers_of_many_addresses_do_not_take_the_places_of_those_who_are_served() {
        let mut crowd = Crowd::default();
        for n in 0..WEB_NEWCOMERS_MAX {
            assert!(crowd.enter(at(n)));
        }
        assert!(!crowd.enter(at(WEB_NEWCOMERS_MAX)));
        crowd.settle(at(0));
        assert!(crowd.enter(at(WEB_NEWCOMERS_MAX)), "who is served is no newcomer");
    }

    #[test]
    fn a_full_port_takes_nobody_until_someone_leaves() {
        let mut crowd = Crowd::default();
        for n in 0..WEB_CONNECTIONS_MAX {
            assert!(crowd.enter(at(n / WEB_CONNECTIONS_PER_ADDRESS_MAX)));
            crowd.settle(at(n / WEB_CONNECTIONS_PER_ADDRESS_MAX));
        }
        assert!(!crowd.enter(at(9_999)));
        crowd.leave(at(0), true);
        assert!(crowd.enter(at(9_999)));
        assert!(!crowd.enter(at(9_998)));
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let mut crowd = Crowd::default();
        for _ in 0..WEB_CONNECTIONS_PER_ADDRESS_MAX {
            assert!(crowd.enter(at(1)));
            crowd.settle(at(1));
        }
        assert!(!crowd.enter(at(1)));
        assert!(crowd.enter(at(2)));
    }

    #[test]
    fn everyone_leaving_leaves_nothing_behind() {
        let mut crowd = Crowd::default();
        assert!(crowd.enter(at(1)) && crowd.enter(at(2)));
        crowd.settle(at(1));
        crowd.leave(at(1), true);
        crowd.leave(at(2), false);
        assert!(crowd.by_address.is_empty());
        assert_eq!(crowd.here, Count::default());
    }
}
