//! From what was seen to what it means. Pure.

use std::net::SocketAddr;

use shared::{
    limits::{CLOCK_DOUBTFUL, CLOCK_WRONG, DATAGRAM_SMALL, RTT_LONG},
    wire::reach::Mapping,
};

use crate::engine::api::{Finding, Health};

/// What was seen.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// This machine's clock, milliseconds since 1970.
    pub(super) now_ms: i64,
    /// Who is signed in, for people.
    pub(super) account: Option<String>,
    /// `host:port` of the tracker, for people. `None`: there is none to look at.
    pub(super) tracker: Option<String>,
    /// Why its name leads nowhere.
    pub(super) unresolved: Option<String>,
    /// The web port that was tried.
    pub(super) web_port: Option<u16>,
    /// Addresses of this machine on the way there.
    pub(super) local: Vec<SocketAddr>,
    /// The tracker over UDP, or why not.
    pub(super) udp: Option<Result<Met, String>>,
    /// The tracker over HTTPS, or why not.
    pub(super) https: Option<Result<Met, String>>,
    /// How the NAT on the way maps this device's port.
    pub(super) mapping: Option<Mapping>,
    /// Whether the tracker relays as far as is known, or why not; `None`: nobody is signed in.
    pub(super) relay: Option<Result<(), String>>,
    /// End of this device's certificate, milliseconds since 1970.
    pub(super) certificate_ends_ms: Option<i64>,
}

/// A tracker that was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) address: SocketAddr,
    pub(super) program: String,
    /// Where it sees this device.
    pub(super) observed: SocketAddr,
    pub(super) rtt_ms: u64,
    /// Bytes of the largest datagram that gets through; `None`: not looked at.
    pub(super) datagram: Option<u16>,
    pub(super) clock_ahead_ms: i64,
}

/// What it means, in the order in which things depend on each other.
pub(super) fn of(facts: &Facts) -> Vec<Finding> {
    let mut found = vec![account(facts)];
    let Some(tracker) = &facts.tracker else { return found };
    if let Some(why) = &facts.unresolved {
        let hint = "check the name in the join link, and this machine's name service";
        found.push(finding("tracker", Health::Bad, why.clone(), hint));
        return found;
    }
    let udp = facts.udp.as_ref().and_then(|udp| udp.as_ref().ok());
    let https = facts.https.as_ref().and_then(|https| https.as_ref().ok());
    found.push(match udp.or(https) {
        Some(met) => finding("tracker", Health::Ok, format!("{tracker} runs {}", met.program), ""),
        None => {
            let text = format!("{tracker} cannot be reached, neither over UDP nor over HTTPS");
            finding("tracker", Health::Bad, text, "check that it runs, and this machine's network")
        }
    });
    found.extend([
        over_udp(facts, tracker, https.is_some()),
        over_https(facts, udp.is_some()),
        round_trip(udp.or(https)),
        datagram(udp),
        clock(udp.or(https)),
        certificate(facts),
        addresses(facts, udp.or(https)),
    ]);
    found.extend([nat(facts.mapping), relay(facts)]);
    found
}

fn account(facts: &Facts) -> Finding {
    match (&facts.account, &facts.tracker) {
        (Some(name), _) => finding("account", Health::Ok, format!("signed in as {name}"), ""),
        (None, Some(_)) => finding("account", Health::Warn, "nobody is signed in at this tracker", SIGN_IN),
        (None, None) => finding("account", Health::Warn, "nobody is signed in on this device", SIGN_IN),
    }
}

fn nat(mapping: Option<Mapping>) -> Finding {
    match mapping.unwrap_or(Mapping::Unknown) {
        Mapping::Unknown => {
            let text = "which kind of address translation is on the way is not known";
            finding("nat", Health::Unknown, text, "it is found out while this device is signed in over UDP")
        }
        Mapping::Open => finding("nat", Health::Ok, "no address translation is on the way", ""),
        Mapping::Independent => {
            let text = "a NAT on the way keeps one port for all: members behind most other NATs are reached directly";
            finding("nat", Health::Ok, text, "")
        }
        Mapping::Symmetric => {
            let text = "a symmetric NAT is on the way: it takes another port for each destination";
            let hint = "members behind restricted NATs are relayed; SWAPMEET_MAP_PORT=1 asks the router to let them in instead";
            finding("nat", Health::Warn, text, hint)
        }
    }
}

fn relay(facts: &Facts) -> Finding {
    match &facts.relay {
        None => finding("relay", Health::Unknown, "whether the tracker relays is not known", SIGN_IN),
        Some(Ok(())) => finding("relay", Health::Ok, "the tracker has not refused to relay", ""),
        Some(Err(why)) => {
            let hint = "members who cannot be reached directly serve nothing meanwhile; ask whoever runs the tracker";
            finding("relay", Health::Warn, format!("the tracker does not relay now: {why}"), hint)
        }
    }
}

fn over_udp(facts: &Facts, tracker: &str, https_works: bool) -> Finding {
    match &facts.udp {
        Some(Ok(met)) => finding("udp", Health::Ok, format!("the tracker answers over UDP at {}", met.address), ""),
        Some(Err(why)) if https_works => {
            let text = format!(
                "UDP to the tracker is blocked: files come over HTTPS, as the tracker's copies or relayed by it ({why})"
            );
            let hint = format!("let UDP to {tracker} out of your network; it is tried again by itself");
            finding("udp", Health::Warn, text, &hint)
        }
        Some(Err(why)) => {
            let hint = format!("check that the tracker runs and that UDP to {tracker} gets through");
            finding("udp", Health::Bad, format!("the tracker does not answer over UDP: {why}"), &hint)
        }
        None => finding("udp", Health::Unknown, "UDP was not tried", ""),
    }
}

fn over_https(facts: &Facts, udp_works: bool) -> Finding {
    match &facts.https {
        Some(Ok(met)) => finding("https", Health::Ok, format!("the tracker answers over HTTPS at {}", met.address), ""),
        Some(Err(why)) => {
            let port = facts.web_port.map_or_else(|| "its web port".to_owned(), |port| format!("TCP port {port}"));
            let text = format!("the tracker does not answer over HTTPS: {why}");
            let hint = format!(
                "only needed where UDP is blocked; the tracker opens it with --web, beside {port} of its firewall"
            );
            finding("https", if udp_works { Health::Warn } else { Health::Bad }, text, &hint)
        }
        None => finding("https", Health::Unknown, "HTTPS was not tried", ""),
    }
}

fn round_trip(met: Option<&Met>) -> Finding {
    let Some(Met { rtt_ms, .. }) = met else { return unmet("round_trip", "the round trip") };
    let text = format!("a round trip to the tracker takes {rtt_ms} ms");
    if u128::from(*rtt_ms) <= RTT_LONG.as_millis() {
        return finding("round_trip", Health::Ok, text, "");
    }
    finding("round_trip", Health::Warn, text, "listings and searches will feel slow; files do not travel this way")
}

fn datagram(udp: Option<&Met>) -> Finding {
    match udp.and_then(|met| met.datagram) {
        None => unmet("datagram", "the size of datagrams"),
        Some(size) if size > DATAGRAM_SMALL => {
            finding("datagram", Health::Ok, format!("datagrams of {size} bytes get through"), "")
        }
        Some(size) => finding(
            "datagram",
            Health::Warn,
            format!("only datagrams of {size} bytes get through"),
            "a tunnel or a small MTU is on the way; transfers cost more work than they could",
        ),
    }
}

fn clock(met: Option<&Met>) -> Finding {
    let Some(Met { clock_ahead_ms, .. }) = met else { return unmet("clock", "the difference of the clocks") };
    let difference = u128::from(clock_ahead_ms.unsigned_abs());
    let seconds = difference as f64 / 1000.0;
    let which = if *clock_ahead_ms >= 0 { "behind" } else { "ahead of" };
    let hint = "set this machine's clock, or the tracker's: certificates are valid by it";
    if difference >= CLOCK_WRONG.as_millis() {
        let text = format!("this machine's clock is {seconds:.0} s {which} the tracker's: connections will fail");
        return finding("clock", Health::Bad, text, hint);
    }
    let text = format!("this machine's clock is {seconds:.1} s {which} the tracker's");
    if difference >= CLOCK_DOUBTFUL.as_millis() {
        return finding("clock", Health::Warn, text, hint);
    }
    finding("clock", Health::Ok, text, "")
}

fn certificate(facts: &Facts) -> Finding {
    let Some(ends_ms) = facts.certificate_ends_ms else {
        return finding("certificate", Health::Unknown, "this device has no certificate at the moment", "");
    };
    let left_s = ends_ms.saturating_sub(facts.now_ms) / 1000;
    if left_s <= 0 {
        let text = "this device's certificate is over: members do not let it in";
        return finding("certificate", Health::Bad, text, "it is renewed when the tracker is reached");
    }
    let text = format!("this device's certificate is valid for another {} h {} min", left_s / 3600, left_s / 60 % 60);
    finding("certificate", Health::Ok, text, "")
}

fn addresses(facts: &Facts, met: Option<&Met>) -> Finding {
    let own: Vec<String> = facts.local.iter().map(SocketAddr::to_string).collect();
    let own = if own.is_empty() { "an unknown address".to_owned() } else { own.join(", ") };
    let Some(met) = met else {
        return finding("addresses", Health::Unknown, format!("this device is at {own}"), "");
    };
    let seen = met.observed;
    let translated =
        if facts.local.iter().any(|local| local.ip() == seen.ip()) { "" } else { ", by address translation" };
    finding("addresses", Health::Ok, format!("this device is at {own}; the tracker sees it at {seen}{translated}"), "")
}

fn unmet(id: &str, what: &str) -> Finding {
    finding(id, Health::Unknown, format!("{what} could not be looked at"), "")
}

fn finding(id: &str, state: Health, text: impl Into<String>, hint: &str) -> Finding {
    Finding { id: id.to_owned(), state, text: text.into(), hint: hint.to_owned() }
}

const SIGN_IN: &str =
    "swapmeet register NAME --tracker LINK makes an account, swapmeet login NAME --tracker LINK uses one";

#[cfg(test)]
mod tests {
    use super::*;

    fn met() -> Met {
        Met {
            address: "192.0.2.1:7443".parse().unwrap(),
            program: "swapmeet-tracker/0".to_owned(),
            observed: "203.0.113.5:50000".parse().unwrap(),
            rtt_ms: 12,
            datagram: Some(1452),
            clock_ahead_ms: 40,
        }
    }

    fn healthy() -> Facts {
        Facts {
            now_ms: 1_000_000,
            account: Some("alice".to_owned()),
            tracker: Some("tracker.example.org:7443".to_owned()),
            web_port: Some(7443),
            local: vec!["10.0.0.2:50000".parse().unwrap()],
            udp: Some(Ok(met())),
            https: Some(Ok(Met { datagram: None, ..met() })),
            mapping: Some(Mapping::Independent),
            relay: Some(Ok(())),
            certificate_ends_ms: Some(1_000_000 + 3_600_000),
            ..Facts::default()
        }
    }

    fn one(facts: &Facts, id: &str) -> Finding {
        of(facts).into_iter().find(|finding| finding.id == id).unwrap_or_else(|| panic!("nothing about {id}"))
    }

    fn worst(facts: &Facts) -> Health {
        of(facts).iter().map(|finding| finding.state).max().unwrap()
    }

    #[test]
    fn where_all_is_well_nothing_has_a_hint() {
        let found = of(&healthy());
        assert!(found.iter().all(|finding| finding.state <= Health::Unknown && finding.hint.is_empty()), "{found:?}");
        assert!(one(&healthy(), "addresses").text.contains("by address translation"));
    }

    #[test]
    fn blocked_udp_is_told_and_is_no_disaster() {
        let facts = Facts { udp: Some(Err("192.0.2.1:7443 does not answer".to_owned())), ..healthy() };
        let udp = one(&facts, "udp");
        assert_eq!(udp.state, Health::Warn);
        assert!(udp.text.contains("UDP to the tracker is blocked") && udp.hint.contains("tracker.example.org:7443"));
        assert_eq!(one(&facts, "tracker").state, Health::Ok);
        assert_eq!(one(&facts, "datagram").state, Health::Unknown);
        assert_eq!(worst(&facts), Health::Warn);
    }

    #[test]
    fn a_tracker_without_a_web_port_is_only_a_warning() {
        let facts = Facts { https: Some(Err("connection refused".to_owned())), ..healthy() };
        assert_eq!(one(&facts, "https").state, Health::Warn);
        assert_eq!(worst(&facts), Health::Warn);
    }

    #[test]
    fn a_tracker_that_does_not_answer_at_all_is_bad() {
        let facts = Facts { udp: Some(Err("silent".to_owned())), https: Some(Err("silent".to_owned())), ..healthy() };
        for id in ["tracker", "udp", "https"] {
            assert_eq!(one(&facts, id).state, Health::Bad, "{id}");
        }
        let lost = Facts { unresolved: Some("no such host".to_owned()), ..healthy() };
        assert_eq!(one(&lost, "tracker").state, Health::Bad);
    }

    #[test]
    fn a_wrong_clock_is_told_with_its_direction() {
        let at = |clock_ahead_ms| one(&Facts { udp: Some(Ok(Met { clock_ahead_ms, ..met() })), ..healthy() }, "clock");
        let seconds = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap();
        assert_eq!(at(900).state, Health::Ok);
        let slow = at(seconds(CLOCK_DOUBTFUL));
        assert!(slow.state == Health::Warn && slow.text.contains("behind"), "{slow:?}");
        let fast = at(-seconds(CLOCK_WRONG));
        assert!(fast.state == Health::Bad && fast.text.contains("ahead"), "{fast:?}");
    }

    #[test]
    fn small_datagrams_and_an_ended_certificate_are_noticed() {
        let facts = Facts { udp: Some(Ok(Met { datagram: Some(1200), ..met() })), ..healthy() };
        assert_eq!(one(&facts, "datagram").state, Health::Warn);
        let facts = Facts { certificate_ends_ms: Some(5), ..healthy() };
        assert_eq!(one(&facts, "certificate").state, Health::Bad);
    }

    #[test]
    fn without_an_account_or_a_link_there_is_only_that_to_say() {
        let found = of(&Facts::default());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].state, Health::Warn);
    }
}
