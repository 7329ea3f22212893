//! What both ends know about addresses: which are local, who is on one network, how a NAT maps. Pure.

use std::net::{IpAddr, SocketAddr};

use crate::wire::reach::Mapping;

/// `::ffff:192.0.2.1` is the IPv4 address that it means.
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// What counts as one address where tries are counted: an IPv4 address, or an IPv6 network of the size that a household
/// gets.
#[must_use]
pub fn source(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

/// Whether an address means something on its own network alone (RFC 1918, RFC 4193, RFC 6598, loopback).
#[must_use]
pub fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || (ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback(),
    }
}

/// Whether two devices that are seen at these addresses are on one network: behind one IPv4 address, or in one IPv6
/// network of the size that a household gets.
#[must_use]
pub fn same_place(one: IpAddr, other: IpAddr) -> bool {
    match (one.to_canonical(), other.to_canonical()) {
        (IpAddr::V4(one), IpAddr::V4(other)) => one == other,
        (IpAddr::V6(one), IpAddr::V6(other)) => one.to_bits() >> 64 == other.to_bits() >> 64,
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// How the NAT of a device maps (RFC 4787, section 4.1), by how the same socket is seen at two ports of the tracker.
#[must_use]
pub fn mapping(seen_at_one: SocketAddr, seen_at_other: SocketAddr, own: &[SocketAddr]) -> Mapping {
    let (one, other) = (canonical(seen_at_one), canonical(seen_at_other));
    if one != other {
        Mapping::Symmetric
    } else if own.iter().any(|own| canonical(*own) == one) {
        Mapping::Open
    } else {
        Mapping::Independent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_one_ipv6_network_count_as_one_address() {
        let near: IpAddr = "2001:db8:0:1::5".parse().unwrap();
        assert_eq!(source(near), source("2001:db8:0:1:ffff::6".parse().unwrap()));
        assert_ne!(source(near), source("2001:db8:0:2::5".parse().unwrap()));
        assert_eq!(source("::ffff:192.0.2.1".parse().unwrap()), source("192.0.2.1".parse().unwrap()));
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn local_addresses_are_told_from_those_that_lead_through_the_world() {
        for local in ["10.1.2.3", "192.168.0.9", "100.64.0.1", "127.0.0.1", "::1", "fd00::1", "::ffff:10.0.0.1"] {
            assert!(is_local(local.parse().unwrap()), "{local}");
        }
        for global in ["192.0.2.1", "100.128.0.1", "172.32.0.1", "2001:db8::1", "169.254.1.1", "fe80::1"] {
            assert!(!is_local(global.parse().unwrap()), "{global}");
        }
    }

    #[test]
    fn neighbours_are_behind_one_address_or_in_one_ipv6_network() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8:0:1::5", "2001:db8:0:1:9::6", true),
            ("2001:db8:0:1::5", "2001:db8:0:2::5", false),
            ("192.0.2.1", "2001:db8::1", false),
        ] {
            assert_eq!(same_place(one.parse().unwrap(), other.parse().unwrap()), same, "{one} {other}");
        }
    }

    #[test]
    fn a_nat_is_known_by_what_two_ports_see() {
        let own = [at("10.0.1.2:5000"), at("198.51.100.7:5000")];
        assert_eq!(mapping(at("203.0.113.1:5000"), at("203.0.113.1:5000"), &own), Mapping::Independent);
        assert_eq!(mapping(at("203.0.113.1:5000"), at("203.0.113.1:5001"), &own), Mapping::Symmetric);
        assert_eq!(mapping(at("203.0.113.1:5000"), at("203.0.113.2:5000"), &own), Mapping::Symmetric);
        assert_eq!(mapping(at("[::ffff:198.51.100.7]:5000"), at("198.51.100.7:5000"), &own), Mapping::Open);
    }
}
