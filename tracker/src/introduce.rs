//! How two devices that cannot dial each other come together. Pure: time, addresses and tokens come in.
//!
//! Nobody is aimed at a stranger: a candidate is an address that the tracker sees, or a local one between devices on
//! one network; and how often a device is introduced is bounded for who asks, who is asked, and the pair.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use shared::{
    id::DeviceId,
    limits::{
        ADDRESSES_MAX, INTRODUCTION_MARGIN, INTRODUCTION_START_MAX, INTRODUCTIONS_ASKED_MAX, INTRODUCTIONS_OF_PAIR_MAX,
        INTRODUCTIONS_TAKEN_MAX, INTRODUCTIONS_WINDOW, MEETING_WAIT, MEETINGS_MAX,
    },
    reach::{is_local, same_place},
    wire::reach::{Mapping, Rendezvous, Role, Token},
};

/// What the tracker knows of one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// The device.
    pub device: DeviceId,
    /// Where it is seen: the address of its connection first, then that of its other family.
    pub seen: Vec<SocketAddr>,
    /// Where it says it is.
    pub announced: Vec<SocketAddr>,
    /// How its NAT maps, as far as its connection goes.
    pub mapping: Mapping,
    /// Its distance: a round trip.
    pub rtt: Duration,
}

/// Why it makes no sense to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Hopeless {
    /// One has IPv4 alone, the other IPv6 alone.
    #[error("the two devices have no kind of address in common")]
    NoCommonFamily,
    /// Neither side knows the port that the other will come from.
    #[error("both devices are behind NATs that give each destination another port")]
    BothSymmetric,
}

/// Addresses at which `asker` may try to reach `side`, best first: local ones on one network, IPv6, then IPv4.
#[must_use]
pub fn candidates(side: &Side, asker: &Side) -> Vec<SocketAddr> {
    let here = neighbours(side, asker);
    let local = side.announced.iter().filter(|address| here && is_local(address.ip()));
    let mut seen: Vec<&SocketAddr> = side.seen.iter().filter(|address| has_family(asker, **address)).collect();
    seen.sort_by_key(|address| address.is_ipv4());
    let mut candidates = Vec::new();
    for address in local.chain(seen) {
        if candidates.len() < ADDRESSES_MAX && !candidates.contains(address) {
            candidates.push(*address);
        }
    }
    candidates
}

/// Whether both are seen on one network.
#[must_use]
pub fn neighbours(one: &Side, other: &Side) -> bool {
    one.seen.iter().any(|at| other.seen.iter().any(|there| same_place(at.ip(), there.ip())))
}

/// What each of two devices is told: the first asked for it.
///
/// # Errors
/// When theory denies it.
pub fn plan(one: &Side, other: &Side) -> Result<(Rendezvous, Rendezvous), Hopeless> {
    let (of_one, of_other) = (candidates(one, other), candidates(other, one));
    if of_one.is_empty() || of_other.is_empty() {
        return Err(Hopeless::NoCommonFamily);
    }
    let symmetric = (one.mapping == Mapping::Symmetric, other.mapping == Mapping::Symmetric);
    let by_ipv6 = of_one.iter().any(SocketAddr::is_ipv6) && of_other.iter().any(SocketAddr::is_ipv6);
    if symmetric == (true, true) && !by_ipv6 && !neighbours(one, other) {
        return Err(Hopeless::BothSymmetric);
    }
    // The port that a symmetric NAT gives its packets is known to nobody before they arrive: that side dials.
    let one_dials = match symmetric {
        (true, false) => true,
        (false, true) => false,
        (true, true) | (false, false) => one.device < other.device,
    };
    let role = |dials| if dials { Role::Dial } else { Role::Await };
    let (start_one, start_other) = common_start(one.rtt, other.rtt);
    Ok((
        Rendezvous { role: role(one_dials), candidates: of_other, start_in_ms: start_one },
        Rendezvous { role: role(!one_dials), candidates: of_one, start_in_ms: start_other },
    ))
}

/// Waits, in milliseconds from the arrival of a message sent now, that end at one moment.
fn common_start(one: Duration, other: Duration) -> (u32, u32) {
    let bounded = |rtt: Duration| (rtt / 2).min(INTRODUCTION_START_MAX - INTRODUCTION_MARGIN);
    let (one, other) = (bounded(one), bounded(other));
    let start = one.max(other) + INTRODUCTION_MARGIN;
    let ms = |wait: Duration| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
    (ms(start - one), ms(start - other))
}

fn has_family(side: &Side, address: SocketAddr) -> bool {
    side.seen.iter().any(|seen| seen.is_ipv4() == address.is_ipv4())
}

/// How many introductions there were of late.
#[derive(Debug, Default)]
pub struct Pace {
    since: Option<Instant>,
    asked: BTreeMap<DeviceId, u32>,
    taken: BTreeMap<DeviceId, u32>,
    pairs: BTreeMap<(DeviceId, DeviceId), u32>,
}

impl Pace {
    /// Counts an introduction. `Err`: there were too many; time until it may be asked for again.
    ///
    /// # Errors
    /// See above.
    pub fn count(&mut self, asker: DeviceId, other: DeviceId, now: Instant) -> Result<(), Duration> {
        let since = *self.since.get_or_insert(now);
        let Some(rest) = INTRODUCTIONS_WINDOW.checked_sub(now.duration_since(since)).filter(|rest| !rest.is_zero())
        else {
            *self = Self { since: Some(now), ..Self::default() };
            return self.count(asker, other, now);
        };
        let pair = (asker.min(other), asker.max(other));
        let of = |counts: &BTreeMap<DeviceId, u32>, device| counts.get(&device).copied().unwrap_or(0);
        if of(&self.asked, asker) >= INTRODUCTIONS_ASKED_MAX
            || of(&self.taken, other) >= INTRODUCTIONS_TAKEN_MAX
            || self.pairs.get(&pair).is_some_and(|count| *count >= INTRODUCTIONS_OF_PAIR_MAX)
        {
            return Err(rest);
        }
        *self.asked.entry(asker).or_default() += 1;
        *self.taken.entry(other).or_default() += 1;
        *self.pairs.entry(pair).or_default() += 1;
        Ok(())
    }
}

/// Meetings from fresh sockets: each side comes with its token, and `W` is how the first one is told.
#[derive(Debug)]
pub struct Meetings<W> {
    open: BTreeMap<Token, Meeting<W>>,
}

#[derive(Debug)]
struct Meeting<W> {
    /// The token of the other side.
    other: Token,
    /// This side, as it is known without the fresh socket.
    side: Side,
    waiter: Option<W>,
    until: Instant,
}

/// Someone came to a meeting.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival<W> {
    /// There is no such meeting, or no more.
    Unknown,
    /// The other side has not come yet.
    Waits,
    /// Both are there, the one that came last first.
    Both(Side, Side, W),
}

impl<W> Default for Meetings<W> {
    fn default() -> Self {
        Self { open: BTreeMap::new() }
    }
}

impl<W> Meetings<W> {
    /// A meeting of two, by their tokens. `false`: there are too many.
    pub fn arrange(&mut self, one: (Token, Side), other: (Token, Side), now: Instant) -> bool {
        self.open.retain(|_, meeting| meeting.until > now);
        if self.open.len() + 2 > 2 * MEETINGS_MAX {
            return false;
        }
        let until = now + MEETING_WAIT * 2;
        let meeting = |other, side| Meeting { other, side, waiter: None, until };
        self.open.insert(one.0, meeting(other.0, one.1));
        self.open.insert(other.0, meeting(one.0, other.1));
        true
    }

    /// Someone came from a fresh socket that is seen at `address`, at this distance.
    pub fn arrive(&mut self, token: Token, address: SocketAddr, rtt: Duration, waiter: W, now: Instant) -> Arrival<W> {
        let Some(meeting) = self.open.get_mut(&token).filter(|meeting| meeting.until > now) else {
            return Arrival::Unknown;
        };
        // The fresh socket alone counts: the others are what the first attempt failed with.
        meeting.side = Side { seen: vec![address], announced: Vec::new(), rtt, ..meeting.side.clone() };
        meeting.waiter = Some(waiter);
        let other = meeting.other;
        if self.open.get(&other).is_none_or(|meeting| meeting.waiter.is_none()) {
            return Arrival::Waits;
        }
        let (Some(this), Some(Meeting { side, waiter: Some(first), .. })) =
            (self.open.remove(&token), self.open.remove(&other))
        else {
            return Arrival::Unknown;
        };
        Arrival::Both(this.side, side, first)
    }

    /// Someone no longer waits.
    pub fn leave(&mut self, token: Token) {
        if let Some(meeting) = self.open.remove(&token) {
            self.open.remove(&meeting.other);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn side(number: u8, seen: &[&str], mapping: Mapping) -> Side {
        Side {
            device: DeviceId([number; 16]),
            seen: seen.iter().map(|text| at(text)).collect(),
            announced: vec![at("10.0.0.2:5"), at("192.0.2.99:5")],
            mapping,
            rtt: Duration::from_millis(40),
        }
    }

    const FIRST: &str = "203.0.113.10:1";
    const SECOND: &str = "203.0.113.20:2";

    #[test]
    fn the_side_behind_a_symmetric_nat_dials_and_otherwise_the_lower_device() {
        use Mapping::{Independent, Open, Symmetric, Unknown};
        for (one, other, one_dials) in [
            (Symmetric, Independent, true),
            (Independent, Symmetric, false),
            (Symmetric, Unknown, true),
            (Open, Symmetric, false),
            (Independent, Open, true),
            (Unknown, Independent, true),
        ] {
            let (first, second) = (side(1, &[FIRST], one), side(2, &[SECOND], other));
            let (told, told_other) = plan(&first, &second).unwrap();
            assert_eq!(told.role == Role::Dial, one_dials, "{one:?} {other:?}");
            assert_ne!(told.role, told_other.role);
            // Whoever asks, the roles stay.
            assert_eq!(plan(&second, &first).unwrap().0.role, told_other.role);
        }
    }

    #[test]
    fn two_symmetric_nats_are_hopeless_except_on_one_network_or_by_ipv6() {
        let symmetric = |number, seen: &[&str]| side(number, seen, Mapping::Symmetric);
        assert_eq!(plan(&symmetric(1, &[FIRST]), &symmetric(2, &[SECOND])), Err(Hopeless::BothSymmetric));
        assert!(plan(&symmetric(1, &[FIRST]), &symmetric(2, &["203.0.113.10:9"])).is_ok());
        let (one, other) = (&[FIRST, "[2001:db8:1::1]:1"], &[SECOND, "[2001:db8:2::1]:1"]);
        assert!(plan(&symmetric(1, one), &symmetric(2, other)).is_ok());
        let ipv6 = side(2, &["[2001:db8:2::1]:1"], Mapping::Open);
        assert_eq!(plan(&side(1, &[FIRST], Mapping::Open), &ipv6), Err(Hopeless::NoCommonFamily));
    }

    #[test]
    fn candidates_are_local_ones_of_a_neighbour_then_ipv6_then_ipv4_and_never_what_is_only_claimed() {
        let (one, six) = (side(1, &[FIRST, "[2001:db8:1::1]:1"], Mapping::Independent), "[2001:db8:2::1]:1");
        let far = side(2, &[SECOND, six], Mapping::Independent);
        assert_eq!(candidates(&far, &one), [at(six), at(SECOND)]);
        let near = side(2, &["203.0.113.10:9"], Mapping::Independent);
        assert_eq!(candidates(&near, &one), [at("10.0.0.2:5"), at("203.0.113.10:9")]);
        let only_four = side(1, &[FIRST], Mapping::Independent);
        assert_eq!(candidates(&far, &only_four), [at(SECOND)]);
    }

    proptest! {
        #[test]
        fn both_begin_at_one_moment_whatever_their_distances(one in 0u64..10_000, other in 0u64..10_000) {
            let (one, other) = (Duration::from_millis(one), Duration::from_millis(other));
            let (first, second) = common_start(one, other);
            let limit = u32::try_from(INTRODUCTION_START_MAX.as_millis()).unwrap();
            prop_assert!(first <= limit && second <= limit);
            if one.max(other) < INTRODUCTION_START_MAX {
                let begins = |rtt: Duration, wait: u32| rtt.as_millis() / 2 + u128::from(wait);
                prop_assert!(begins(one, first).abs_diff(begins(other, second)) <= 1);
            }
        }
    }

    #[test]
    fn nobody_is_introduced_without_end() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let device = |number: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.to_le_bytes());
            DeviceId(id)
        };
        for _ in 0..INTRODUCTIONS_OF_PAIR_MAX {
            assert_eq!(pace.count(device(1), device(2), now), Ok(()));
        }
        // The other direction is the same pair.
        assert!(pace.count(device(2), device(1), now).is_err());
        for number in INTRODUCTIONS_OF_PAIR_MAX..INTRODUCTIONS_ASKED_MAX {
            assert_eq!(pace.count(device(1), device(100 + number), now), Ok(()));
        }
        assert!(pace.count(device(1), device(3), now).is_err());
        for number in INTRODUCTIONS_OF_PAIR_MAX..INTRODUCTIONS_TAKEN_MAX {
            assert_eq!(pace.count(device(1000 + number), device(2), now), Ok(()));
        }
        assert!(pace.count(device(4), device(2), now).is_err());
        assert_eq!(pace.count(device(1), device(2), now + INTRODUCTIONS_WINDOW), Ok(()));
    }

    #[test]
    fn a_meeting_is_complete_when_both_have_come_in_time() {
        let (mut meetings, now) = (Meetings::default(), Instant::now());
        let (one, other) = (side(1, &[FIRST], Mapping::Unknown), side(2, &[SECOND], Mapping::Unknown));
        assert!(meetings.arrange(([1; 16], one), ([2; 16], other), now));
        let rtt = Duration::from_millis(10);
        assert_eq!(meetings.arrive([3; 16], at(FIRST), rtt, "nobody", now), Arrival::Unknown);
        assert_eq!(meetings.arrive([1; 16], at("203.0.113.10:77"), rtt, "first", now), Arrival::Waits);
        let Arrival::Both(last, first, "first") = meetings.arrive([2; 16], at(SECOND), rtt, "last", now) else {
            panic!("both are there");
        };
        assert_eq!((last.device, last.seen), (DeviceId([2; 16]), vec![at(SECOND)]));
        assert_eq!((first.device, first.seen), (DeviceId([1; 16]), vec![at("203.0.113.10:77")]));
        assert_eq!(meetings.arrive([1; 16], at(FIRST), rtt, "again", now), Arrival::Unknown);
        assert!(meetings.open.is_empty());
    }

    #[test]
    fn a_meeting_that_nobody_comes_to_is_forgotten() {
        let (mut meetings, now) = (Meetings::<()>::default(), Instant::now());
        let sides = || (side(1, &[FIRST], Mapping::Unknown), side(2, &[SECOND], Mapping::Unknown));
        let (one, other) = sides();
        assert!(meetings.arrange(([1; 16], one), ([2; 16], other), now));
        let late = now + MEETING_WAIT * 2;
        assert_eq!(meetings.arrive([1; 16], at(FIRST), Duration::ZERO, (), late), Arrival::Unknown);
        let (one, other) = sides();
        assert!(meetings.arrange(([3; 16], one), ([4; 16], other), late));
        assert_eq!(meetings.open.len(), 2);
        meetings.leave([3; 16]);
        assert!(meetings.open.is_empty());
    }
}
