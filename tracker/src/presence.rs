//! Who is connected. Pure: connections are numbers, and nothing here reads a clock or a socket.
//!
//! Invariant: a device has at most one session, and an account is listed exactly while a device of it has one.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use shared::{
    id::{AccountId, DeviceId},
    wire::{
        reach::{Mapping, Token},
        tracker::Presence as Shown,
    },
};

/// Number of a connection since the tracker started. Never reused.
pub type ConnectionNo = u64;

/// Sessions by device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presence {
    sessions: BTreeMap<DeviceId, Session>,
    members: BTreeMap<AccountId, BTreeSet<DeviceId>>,
}

/// A signed-in device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its member.
    pub account: AccountId,
    /// The connection that it is signed in on.
    pub connection: ConnectionNo,
    /// Addresses that it says it can be reached at.
    pub announced: Vec<SocketAddr>,
    /// What it shows at the second port.
    pub ticket: Option<Token>,
    /// What was seen of it there.
    pub seen: Seen,
    /// Whether somebody is at its keyboard.
    pub here: bool,
    /// When somebody was there last, milliseconds since 1970, if anybody was and left.
    pub left_ms: Option<i64>,
    /// Whether it has said who is there.
    attended: bool,
}

impl Session {
    /// Its presence.
    #[must_use]
    pub const fn presence(&self) -> Shown {
        if self.here { Shown::Online } else { Shown::Away }
    }
}

/// What the devices of a member come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Devices connected.
    pub devices: usize,
    /// Online while somebody is at the keyboard of one.
    pub presence: Shown,
    /// While away: when somebody was at one last, if that is known.
    pub left_ms: Option<i64>,
}

/// What the second port saw of a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its address of the family that its connection is not of.
    pub other: Option<SocketAddr>,
    /// How its NAT maps, and the address of its connection when that was found out.
    pub mapping: Option<(SocketAddr, Mapping)>,
}

impl Presence {
    /// A device signed in. Returns the older connection that it takes the place of: the device is never refused as
    /// "already there" by a connection that died without a word.
    pub fn arrive(&mut self, device: DeviceId, account: AccountId, connection: ConnectionNo) -> Option<ConnectionNo> {
        let before = self.sessions.get(&device).filter(|before| before.account == account);
        // Whoever comes back over another connection has not moved from the chair.
        let (here, left_ms, attended) =
            before.map_or((true, None, false), |before| (before.here, before.left_ms, before.attended));
        let session = Session {
            account,
            connection,
            announced: Vec::new(),
            ticket: None,
            seen: Seen::default(),
            here,
            left_ms,
            attended,
        };
        let replaced = self.sessions.insert(device, session);
        if let Some(before) = &replaced {
            self.forget_member(before.account, device);
        }
        self.members.entry(account).or_default().insert(device);
        replaced.map(|before| before.connection)
    }

    /// A connection of a device ended. Says whether it was the device's session: the end of a replaced one means
    /// nothing.
    pub fn leave(&mut self, device: DeviceId, connection: ConnectionNo) -> bool {
        let Some(session) = self.sessions.get(&device).filter(|session| session.connection == connection) else {
            return false;
        };
        let account = session.account;
        self.sessions.remove(&device);
        self.forget_member(account, device);
        true
    }

    /// A device says where it can be reached.
    pub fn announce(&mut self, device: DeviceId, connection: ConnectionNo, addresses: Vec<SocketAddr>) {
        if let Some(session) = self.session_on(device, connection) {
            session.announced = addresses;
        }
    }

    /// Somebody came to the keyboard of a device, or left it. Says whether that is news.
    pub fn attend(&mut self, device: DeviceId, connection: ConnectionNo, here: bool, now_ms: i64) -> bool {
        let Some(session) = self.session_on(device, connection).filter(|session| session.here != here) else {
            return false;
        };
        session.here = here;
        // A device that begins by saying that nobody is there never had anybody.
        session.left_ms = (!here && session.attended).then_some(now_ms);
        session.attended = true;
        true
    }

    /// A device got a ticket for the second port. Older ones are worth nothing any more, and what was seen before may
    /// have been on another network.
    pub fn expect_probe(&mut self, device: DeviceId, connection: ConnectionNo, ticket: Token) {
        if let Some(session) = self.session_on(device, connection) {
            session.ticket = Some(ticket);
            session.seen = Seen::default();
        }
    }

    /// The second port saw a device.
    pub fn seen(&mut self, device: DeviceId, connection: ConnectionNo, seen: Seen) {
        if let Some(session) = self.session_on(device, connection) {
            session.seen = seen;
        }
    }

    fn session_on(&mut self, device: DeviceId, connection: ConnectionNo) -> Option<&mut Session> {
        self.sessions.get_mut(&device).filter(|session| session.connection == connection)
    }

    /// The session of a device.
    #[must_use]
    pub fn session(&self, device: DeviceId) -> Option<&Session> {
        self.sessions.get(&device)
    }

    /// Devices of an account that are connected.
    #[must_use]
    pub fn devices_of(&self, account: AccountId) -> usize {
        self.members.get(&account).map_or(0, BTreeSet::len)
    }

    /// What the devices of an account come to.
    #[must_use]
    pub fn standing(&self, account: AccountId) -> Standing {
        let devices = self.members.get(&account);
        let sessions = || devices.into_iter().flatten().filter_map(|device| self.sessions.get(device));
        Standing {
            devices: devices.map_or(0, BTreeSet::len),
            presence: match sessions().map(|session| session.here).max() {
                Some(true) => Shown::Online,
                Some(false) => Shown::Away,
                None => Shown::Offline,
            },
            left_ms: sessions().filter_map(|session| session.left_ms).max(),
        }
    }

    /// Accounts with a device connected.
    #[must_use]
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// All connected devices.
    pub fn devices(&self) -> impl Iterator<Item = DeviceId> {
        self.sessions.keys().copied()
    }

    fn forget_member(&mut self, account: AccountId, device: DeviceId) {
        if let Some(devices) = self.members.get_mut(&account) {
            devices.remove(&device);
            if devices.is_empty() {
                self.members.remove(&account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANNA: AccountId = AccountId([1; 16]);
    const BEN: AccountId = AccountId([2; 16]);
    const LAPTOP: DeviceId = DeviceId([1; 16]);
    const PHONE: DeviceId = DeviceId([2; 16]);

    #[test]
    fn a_member_is_online_while_one_device_is() {
        let mut presence = Presence::default();
        presence.arrive(LAPTOP, ANNA, 1);
        presence.arrive(PHONE, ANNA, 2);
        assert_eq!(presence.devices_of(ANNA), 2);
        assert!(presence.leave(LAPTOP, 1));
        assert_eq!((presence.devices_of(ANNA), presence.members()), (1, 1));
        assert!(presence.leave(PHONE, 2));
        assert_eq!((presence.devices_of(ANNA), presence.members()), (0, 0));
    }

    #[test]
    fn a_newer_connection_of_a_device_takes_over_and_the_end_of_the_older_means_nothing() {
        let mut presence = Presence::default();
        assert_eq!(presence.arrive(LAPTOP, ANNA, 1), None);
        assert_eq!(presence.arrive(LAPTOP, ANNA, 2), Some(1));
        assert!(!presence.leave(LAPTOP, 1));
        assert_eq!(presence.devices_of(ANNA), 1);
    }

    #[test]
    fn a_device_that_moves_to_another_account_leaves_the_first() {
        let mut presence = Presence::default();
        presence.arrive(LAPTOP, ANNA, 1);
        presence.arrive(LAPTOP, BEN, 2);
        assert_eq!((presence.devices_of(ANNA), presence.devices_of(BEN)), (0, 1));
    }

    #[test]
    fn only_the_current_connection_announces_addresses() {
        let mut presence = Presence::default();
        presence.arrive(LAPTOP, ANNA, 1);
        presence.arrive(LAPTOP, ANNA, 2);
        let address = "192.0.2.1:9".parse().unwrap();
        presence.announce(LAPTOP, 1, vec![address]);
        assert!(presence.session(LAPTOP).unwrap().announced.is_empty());
        presence.announce(LAPTOP, 2, vec![address]);
        assert_eq!(presence.session(LAPTOP).unwrap().announced, [address]);
    }

    #[test]
    fn a_member_is_online_while_somebody_is_at_one_device_and_away_while_nobody_is_at_any() {
        let mut presence = Presence::default();
        let shown = |presence: &Presence| {
            let standing = presence.standing(ANNA);
            (standing.presence, standing.left_ms)
        };
        assert_eq!(shown(&presence), (Shown::Offline, None));
        presence.arrive(LAPTOP, ANNA, 1);
        presence.arrive(PHONE, ANNA, 2);
        assert!(presence.attend(PHONE, 2, false, 10));
        assert_eq!(shown(&presence), (Shown::Online, None), "somebody is at the laptop");
        assert!(presence.attend(LAPTOP, 1, false, 20));
        assert!(!presence.attend(LAPTOP, 1, false, 30), "that is known");
        assert!(!presence.attend(LAPTOP, 9, true, 30), "an older connection says nothing");
        assert_eq!(shown(&presence).0, Shown::Away);
        assert!(presence.attend(LAPTOP, 1, true, 40));
        assert!(presence.attend(LAPTOP, 1, false, 50));
        assert_eq!(shown(&presence), (Shown::Away, Some(50)));
        // A new connection of the same device changes nothing about who sits there.
        presence.arrive(LAPTOP, ANNA, 3);
        assert_eq!(shown(&presence), (Shown::Away, Some(50)));
        presence.leave(LAPTOP, 3);
        assert_eq!(shown(&presence), (Shown::Away, None), "at the phone nobody ever was");
        presence.leave(PHONE, 2);
        assert_eq!(shown(&presence), (Shown::Offline, None));
    }

    proptest! {
        #[test]
        fn members_and_sessions_always_agree(
            steps in proptest::collection::vec((any::<bool>(), 0u8..4, 0u8..3, 0u64..6), 0..60)
        ) {
            let mut presence = Presence::default();
            for (arrives, device, account, connection) in steps {
                let (device, account) = (DeviceId([device; 16]), AccountId([account; 16]));
                if arrives {
                    presence.arrive(device, account, connection);
                } else {
                    presence.leave(device, connection);
                }
                let mut by_account: BTreeMap<AccountId, BTreeSet<DeviceId>> = BTreeMap::new();
                for (device, session) in &presence.sessions {
                    by_account.entry(session.account).or_default().insert(*device);
                }
                prop_assert_eq!(&by_account, &presence.members);
            }
        }
    }
}
