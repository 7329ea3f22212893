//! What is tried, in which order and when; and what is not tried again. Pure: time and addresses come in.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use shared::{
    id::DeviceId,
    limits::{
        INTRODUCE_AFTER_MAX, INTRODUCE_AFTER_MIN, PUNCH_LIFE, PUNCH_STEP, PUNCH_STEP_FIRST, PUNCHES_FIRST,
        SIMULTANEOUS, VERDICT_LIFE, VERDICTS_MAX,
    },
    reach::{is_local, same_place},
};

/// The addresses of a device that are dialled, best first: local ones of a device on this network, IPv6, IPv4.
///
/// The first address is the one of the device's connection to the tracker. Local addresses are what the device claims
/// itself: only on one network do they lead to it and not to somebody else.
pub fn dialled(addresses: &[SocketAddr], own_seen: &[IpAddr]) -> Vec<SocketAddr> {
    let seen_here = |address: &SocketAddr| own_seen.iter().any(|own| same_place(*own, address.ip()));
    let here = addresses.iter().any(seen_here);
    let mut dialled: Vec<SocketAddr> = Vec::new();
    for (position, address) in addresses.iter().enumerate() {
        // A tracker on the local network sees local addresses: the one it sees is no claim.
        if (position == 0 || here || !is_local(address.ip())) && !dialled.contains(address) {
            dialled.push(*address);
        }
    }
    let claimed = |address: &SocketAddr| is_local(address.ip()) && Some(address) != addresses.first();
    dialled.sort_by_key(|address| (!is_local(address.ip()), claimed(address), address.is_ipv4()));
    dialled
}

/// How long plain dialling has the field for itself, before an introduction is asked for.
pub fn introduce_after(tracker_rtt: Duration, candidates: usize) -> Duration {
    if candidates > 1 {
        return INTRODUCE_AFTER_MAX;
    }
    // A handshake and a hello are two round trips; the member may be twice as far as the tracker.
    (tracker_rtt * 4).clamp(INTRODUCE_AFTER_MIN, INTRODUCE_AFTER_MAX)
}

/// When packets that open a NAT are sent, from the common start.
pub fn punches() -> impl Iterator<Item = Duration> {
    let first = (0..PUNCHES_FIRST).map(|count| PUNCH_STEP_FIRST * count);
    let then = (0..).map(|count| PUNCH_STEP_FIRST * PUNCHES_FIRST + PUNCH_STEP * count);
    first.chain(then).take_while(|at| *at < PUNCH_LIFE)
}

/// One of the connections between this device and another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// When it was made.
    pub at: Instant,
    /// Whether this device dialled it.
    pub dialled_here: bool,
}

/// Which of several connections of a pair is used. The newest, because an old one may be dead without anyone's
/// knowledge; of those that were made at the same time both ends choose the one that the lower device dialled.
pub fn preferred(connections: &[Made], this: DeviceId, other: DeviceId) -> Option<usize> {
    let newest = connections.iter().map(|made| made.at).max()?;
    let rank = |made: &Made| {
        let fresh = newest.duration_since(made.at) <= SIMULTANEOUS;
        (fresh, fresh && made.dialled_here == (this < other), made.at)
    };
    (0..connections.len()).max_by_key(|index| rank(&connections[*index]))
}

/// Pairs that tried everything and did not meet.
#[derive(Debug, Default)]
pub struct Verdicts {
    known: BTreeMap<DeviceId, Verdict>,
}

#[derive(Debug)]
struct Verdict {
    addresses: Vec<SocketAddr>,
    own_seen: Vec<IpAddr>,
    why: String,
    until: Instant,
}

impl Verdicts {
    /// Why a device at these addresses is not tried from here now.
    pub fn against(
        &self,
        device: DeviceId,
        addresses: &[SocketAddr],
        own_seen: &[IpAddr],
        now: Instant,
    ) -> Option<&str> {
        let verdict = self.known.get(&device)?;
        let same = verdict.addresses == addresses && verdict.own_seen == own_seen;
        (same && now < verdict.until).then_some(verdict.why.as_str())
    }

    /// Everything was tried while both were there.
    pub fn note(
        &mut self,
        device: DeviceId,
        addresses: Vec<SocketAddr>,
        own_seen: Vec<IpAddr>,
        why: String,
        now: Instant,
    ) {
        self.known.retain(|_, verdict| now < verdict.until);
        if self.known.len() >= VERDICTS_MAX {
            self.known.pop_first();
        }
        self.known.insert(device, Verdict { addresses, own_seen, why, until: now + VERDICT_LIFE });
    }

    /// This device is on another network: nothing of it counts any more.
    pub fn clear(&mut self) {
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOW: DeviceId = DeviceId([1; 16]);
    const HIGH: DeviceId = DeviceId([2; 16]);

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn check(addresses: &[&str], own_seen: &[&str], expected: &[&str]) {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|text| at(text)).collect();
        let own_seen: Vec<IpAddr> = own_seen.iter().map(|text| text.parse().unwrap()).collect();
        let expected: Vec<SocketAddr> = expected.iter().map(|text| at(text)).collect();
        assert_eq!(dialled(&addresses, &own_seen), expected);
    }

    #[test]
    fn local_addresses_come_first_and_only_on_one_network() {
        let told = ["203.0.113.1:5", "[2001:db8:2::1]:5", "192.168.1.2:5"];
        check(&told, &["203.0.113.1"], &["192.168.1.2:5", "[2001:db8:2::1]:5", "203.0.113.1:5"]);
        check(&told, &["198.51.100.7"], &["[2001:db8:2::1]:5", "203.0.113.1:5"]);
        check(&told, &[], &["[2001:db8:2::1]:5", "203.0.113.1:5"]);
        check(&told, &["198.51.100.7", "2001:db8:2::9"], &["192.168.1.2:5", "[2001:db8:2::1]:5", "203.0.113.1:5"]);
        // The tracker is on this network itself.
        check(&["192.168.1.2:5"], &["192.168.7.7"], &["192.168.1.2:5"]);
        check(&["192.168.1.2:5", "[fd00::2]:5"], &["192.168.1.2"], &["192.168.1.2:5", "[fd00::2]:5"]);
        check(&["127.0.0.1:5", "127.0.0.1:5"], &["127.0.0.1"], &["127.0.0.1:5"]);
    }

    #[test]
    fn an_introduction_waits_for_as_long_as_a_plain_dial_usually_takes() {
        assert_eq!(introduce_after(Duration::from_millis(1), 1), INTRODUCE_AFTER_MIN);
        assert_eq!(introduce_after(Duration::from_millis(100), 1), Duration::from_millis(400));
        assert_eq!(introduce_after(Duration::from_secs(5), 1), INTRODUCE_AFTER_MAX);
        assert_eq!(introduce_after(Duration::from_millis(1), 2), INTRODUCE_AFTER_MAX);
    }

    #[test]
    fn packets_that_open_a_nat_are_dense_at_first_and_few_in_all() {
        let moments: Vec<Duration> = punches().collect();
        assert_eq!(moments[0], Duration::ZERO);
        assert!(moments.is_sorted() && moments.iter().all(|at| *at < PUNCH_LIFE));
        assert_eq!(moments[1] - moments[0], PUNCH_STEP_FIRST);
        assert!(moments.windows(2).all(|pair| pair[1] - pair[0] <= PUNCH_STEP));
        assert!(moments.len() < 40, "{}", moments.len());
    }

    #[test]
    fn of_two_connections_made_at_once_the_lower_device_s_stays_and_else_the_newest() {
        let now = Instant::now();
        let (old, fresh) = (now, now + SIMULTANEOUS * 2);
        let made = |at, dialled_here| Made { at, dialled_here };
        assert_eq!(preferred(&[made(now, true), made(now, false)], LOW, HIGH), Some(0));
        assert_eq!(preferred(&[made(now, true), made(now, false)], HIGH, LOW), Some(1));
        // The other side came back; what was there before is not believed.
        assert_eq!(preferred(&[made(old, true), made(fresh, false)], LOW, HIGH), Some(1));
        assert_eq!(preferred(&[], LOW, HIGH), None);
    }

    proptest! {
        #[test]
        fn both_ends_choose_the_same_of_two_that_were_made_at_once(first in 0u64..8000, second in 0u64..8000) {
            // Each end may have seen them in another order.
            let now = Instant::now();
            let at = |ms| now + Duration::from_millis(ms);
            let low = [Made { at: at(first), dialled_here: true }, Made { at: at(second), dialled_here: false }];
            let high = [Made { at: at(second), dialled_here: false }, Made { at: at(first), dialled_here: true }];
            // Index 0 at the lower end and index 0 at the higher one are what the lower one dialled.
            prop_assert_eq!(preferred(&low, LOW, HIGH), preferred(&high, HIGH, LOW));
        }
    }

    #[test]
    fn a_verdict_holds_for_a_while_between_the_same_two_networks() {
        let (mut verdicts, now) = (Verdicts::default(), Instant::now());
        let (there, here) = (vec![at("203.0.113.1:5")], vec![IpAddr::from([198, 51, 100, 7])]);
        verdicts.note(HIGH, there.clone(), here.clone(), "no way".to_owned(), now);
        assert_eq!(verdicts.against(HIGH, &there, &here, now), Some("no way"));
        assert_eq!(verdicts.against(HIGH, &[at("203.0.113.1:6")], &here, now), None);
        assert_eq!(verdicts.against(HIGH, &there, &[], now), None);
        assert_eq!(verdicts.against(LOW, &there, &here, now), None);
        assert_eq!(verdicts.against(HIGH, &there, &here, now + VERDICT_LIFE), None);
        verdicts.clear();
        assert_eq!(verdicts.against(HIGH, &there, &here, now), None);
    }

    #[test]
    fn verdicts_do_not_pile_up() {
        let (mut verdicts, now) = (Verdicts::default(), Instant::now());
        for number in 0..VERDICTS_MAX as u128 * 2 {
            verdicts.note(DeviceId(number.to_be_bytes()), Vec::new(), Vec::new(), String::new(), now);
        }
        assert_eq!(verdicts.known.len(), VERDICTS_MAX);
    }
}
