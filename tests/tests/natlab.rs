//! Members behind NATs of every kind, over the real programs: the path taken is the best that theory allows, and the
//! file is identical. Runs as root in network namespaces; elsewhere each test says that it was skipped.

use std::path::Path;

use serde_json::Value;
use tests::{
    Engine, Member, Tracker, corpus,
    lab::{self, Family, Lab, Nat, Place},
    member::{number, record, text},
    tree,
};

/// Bytes of the file of most tests: some slices, and more than a window.
const SIZE: u64 = 3_000_000;

/// The path where nothing goes directly.
const DENIED: &str = "relay";

/// One row of the table: the fetcher's NAT, the owner's NAT, how late each wire is, and the path that theory allows.
macro_rules! pairs {
    ($($name:ident: $fetcher:ident, $owner:ident, $late_ms:literal => $path:expr;)+) => {
        $(
            #[test]
            fn $name() {
                meet(Nat::$fetcher, Nat::$owner, $late_ms, $path);
            }
        )+
    };
}

pairs! {
    open_from_open: Open, Open, 0 => "direct";
    open_from_full_cone: Open, FullCone, 0 => "direct";
    open_from_address_restricted: Open, AddressRestricted, 0 => "punched";
    open_from_port_restricted: Open, PortRestricted, 0 => "punched";
    open_from_symmetric: Open, Symmetric, 0 => "punched";
    open_from_no_udp_over_a_long_way: Open, NoUdp, 20 => DENIED;
    full_cone_from_open: FullCone, Open, 0 => "direct";
    full_cone_from_full_cone: FullCone, FullCone, 0 => "direct";
    full_cone_from_address_restricted: FullCone, AddressRestricted, 0 => "punched";
    full_cone_from_port_restricted_over_a_long_way: FullCone, PortRestricted, 40 => "punched";
    full_cone_from_symmetric_over_a_long_way: FullCone, Symmetric, 25 => "punched";
    full_cone_from_no_udp: FullCone, NoUdp, 0 => DENIED;
    address_restricted_from_open: AddressRestricted, Open, 0 => "direct";
    address_restricted_from_full_cone_over_a_long_way: AddressRestricted, FullCone, 10 => "direct";
    address_restricted_from_address_restricted: AddressRestricted, AddressRestricted, 0 => "punched";
    address_restricted_from_port_restricted: AddressRestricted, PortRestricted, 0 => "punched";
    address_restricted_from_symmetric: AddressRestricted, Symmetric, 0 => "punched";
    address_restricted_from_no_udp: AddressRestricted, NoUdp, 0 => DENIED;
    port_restricted_from_open: PortRestricted, Open, 0 => "direct";
    port_restricted_from_full_cone: PortRestricted, FullCone, 0 => "direct";
    port_restricted_from_address_restricted: PortRestricted, AddressRestricted, 0 => "punched";
    port_restricted_from_port_restricted: PortRestricted, PortRestricted, 0 => "punched";
    port_restricted_from_symmetric_over_a_long_way: PortRestricted, Symmetric, 15 => DENIED;
    port_restricted_from_no_udp: PortRestricted, NoUdp, 0 => DENIED;
    symmetric_from_open: Symmetric, Open, 0 => "direct";
    symmetric_from_full_cone: Symmetric, FullCone, 0 => "direct";
    symmetric_from_address_restricted_over_a_long_way: Symmetric, AddressRestricted, 25 => "punched";
    symmetric_from_port_restricted: Symmetric, PortRestricted, 0 => DENIED;
    symmetric_from_symmetric: Symmetric, Symmetric, 0 => DENIED;
    symmetric_from_no_udp: Symmetric, NoUdp, 0 => DENIED;
    no_udp_from_open: NoUdp, Open, 0 => DENIED;
    no_udp_from_full_cone: NoUdp, FullCone, 0 => DENIED;
    no_udp_from_address_restricted: NoUdp, AddressRestricted, 0 => DENIED;
    no_udp_from_port_restricted: NoUdp, PortRestricted, 0 => DENIED;
    no_udp_from_symmetric: NoUdp, Symmetric, 0 => DENIED;
    no_udp_from_no_udp: NoUdp, NoUdp, 0 => DENIED;
    port_restricted_from_port_restricted_over_a_long_way: PortRestricted, PortRestricted, 30 => "punched";
}

/// A laboratory with a tracker, an owner who shares a file, and somebody who wants it.
struct Meeting {
    // The programs go first, and the network that they are in last.
    _owners_engine: Engine,
    _fetchers_engine: Engine,
    owner: Member,
    fetcher: Member,
    _tracker: Tracker,
    lab: Lab,
}

impl Meeting {
    fn of(lab: Lab, family: Family, fetcher: Place, owner: Place) -> Self {
        let tracker = lab.tracker(family);
        Self::at(lab, tracker, fetcher, owner)
    }

    fn at(lab: Lab, tracker: Tracker, fetcher: Place, owner: Place) -> Self {
        let owner = lab.member(owner, &tracker, "olga");
        let fetcher = lab.member(fetcher, &tracker, "finn");
        let (_owners_engine, _fetchers_engine) = (owner.engine(), fetcher.engine());
        Self { _owners_engine, _fetchers_engine, owner, fetcher, _tracker: tracker, lab }
    }

    /// Shares a file and gets it, byte for byte, all of it by this path.
    fn exchange(&self, path: &str) {
        let original = self.owner.write("reel.bin", corpus::bytes(7, usize::try_from(SIZE).expect("it is small")));
        let id = self.owner.share(&[&original], &[]);
        let transfer = self.fetcher.run(&["get", &id]).ok().one("transfer");
        tree::assert_same(&original, Path::new(&text(&transfer, "path")));
        assert_eq!(paths(&transfer), [path], "{transfer}\n{}", self.logs());
        let field = if path == DENIED { "bytes_relay" } else { "bytes_peer" };
        assert_eq!(number(&transfer, field), SIZE, "{transfer}");
    }

    /// What the engines noted, for whoever looks for a fault.
    fn logs(&self) -> String {
        let log = |member: &Member| {
            let file = member.log();
            format!("{}: {}", file.display(), std::fs::read_to_string(&file).unwrap_or_default())
        };
        format!("{}\n{}", log(&self.fetcher), log(&self.owner))
    }
}

fn paths(transfer: &Value) -> Vec<String> {
    let sources = transfer["sources"].as_array().expect("a transfer has sources");
    sources.iter().map(|source| text(source, "path")).collect()
}

/// Whether there can be no laboratory; says so.
fn skipped() -> bool {
    let missing = lab::missing();
    if let Some(why) = &missing {
        eprintln!("SKIPPED: no NAT laboratory here: {why}");
    }
    missing.is_some()
}

fn meet(fetcher: Nat, owner: Nat, late_ms: u32, path: &str) {
    if skipped() {
        return;
    }
    let lab = Lab::new(fetcher, owner, late_ms);
    let tracker = lab.tracker_with(Family::V4, &["--web", "203.0.113.1:7443"]);
    Meeting::at(lab, tracker, Place::A, Place::B).exchange(path);
}

#[test]
fn two_behind_one_nat_find_each_other_on_their_own_network() {
    for nat in [Nat::PortRestricted, Nat::Symmetric] {
        if !skipped() {
            Meeting::of(Lab::new(nat, Nat::Open, 0), Family::V4, Place::A, Place::A2).exchange("lan");
        }
    }
}

#[test]
fn ipv6_is_reached_directly_where_no_firewall_is_and_by_introduction_where_one_is() {
    for (nat, path) in [(Nat::Open, "direct"), (Nat::PortRestricted, "punched")] {
        if !skipped() {
            Meeting::of(Lab::new(nat, nat, 0), Family::V6, Place::A, Place::B).exchange(path);
        }
    }
}

#[test]
fn a_router_that_is_asked_to_lets_members_in_whom_it_would_keep_out() {
    if skipped() {
        return;
    }
    // Without that, these two are relayed.
    let lab = Lab::new(Nat::Symmetric, Nat::PortRestricted, 0);
    let mut router = lab.obliging_router();
    let tracker = lab.tracker(Family::V4);
    let mut owner = lab.stranger(Place::B, &tracker, "olga");
    owner.variables.push(("SWAPMEET_MAP_PORT", "1"));
    owner.register("olga", tests::member::PASSWORD).ok();
    let fetcher = lab.member(Place::A, &tracker, "finn");
    let (_owners_engine, _fetchers_engine) = (owner.engine(), fetcher.engine());
    router.line("an open port", |line| line.starts_with("opened "));
    router.line("the same port again", |line| line.starts_with("renewed "));
    let meeting = Meeting { _owners_engine, _fetchers_engine, owner, fetcher, _tracker: tracker, lab };
    meeting.exchange("direct");
    meeting.owner.run(&["engine", "stop"]).ok();
    router.line("a closed port", |line| line.starts_with("closed "));
}

#[test]
fn a_nat_that_an_early_packet_confuses_is_passed_by_fresh_sockets() {
    if !skipped() {
        // The relay would be quicker than two attempts.
        let lab = Lab::new(Nat::PortRestrictedNoisy, Nat::PortRestrictedNoisy, 30);
        let tracker = lab.tracker_with(Family::V4, &["--relay", "off"]);
        Meeting::at(lab, tracker, Place::A, Place::B).exchange("punched");
    }
}

#[test]
fn two_that_fetch_from_each_other_at_once_both_get_what_they_want() {
    if skipped() {
        return;
    }
    let nat = Nat::PortRestricted;
    let meeting = Meeting::of(Lab::new(nat, nat, 10), Family::V4, Place::A, Place::B);
    let pairs = [(&meeting.owner, &meeting.fetcher, 31), (&meeting.fetcher, &meeting.owner, 32)];
    let shared = pairs.map(|(from, to, seed)| {
        let original = from.write("reel.bin", corpus::bytes(seed, usize::try_from(SIZE).expect("it is small")));
        let id = from.share(&[&original], &[]);
        (to, original, id)
    });
    // Both dial, and both are introduced, before either knows of the other's try.
    let gets = shared.each_ref().map(|(to, _, id)| to.start(&["get", id]));
    for ((_, original, _), get) in shared.iter().zip(gets) {
        let ended = get.finish();
        assert_eq!(ended.code, Some(0), "{}\n{}", ended.stderr, meeting.logs());
        let transfer = ended.stdout.lines().filter_map(record).find(|record| record["type"] == "transfer");
        let transfer = transfer.expect("a get tells its transfer");
        tree::assert_same(original, Path::new(&text(&transfer, "path")));
        // Two dials that cross open both NATs without an introduction.
        let path = paths(&transfer);
        assert!(path == ["punched"] || path == ["direct"], "{transfer}\n{}", meeting.logs());
    }
}

#[test]
fn without_udp_the_tracker_is_out_of_reach_and_that_is_said() {
    if skipped() {
        return;
    }
    let lab = Lab::new(Nat::NoUdp, Nat::Open, 0);
    let tracker = lab.tracker(Family::V4);
    let cut_off = lab.stranger(Place::A, &tracker, "finn");
    let error = cut_off.register("finn", tests::member::PASSWORD).fails(7);
    assert!(text(&error, "message").contains("203.0.113.1"), "{error}");
}

#[test]
fn without_udp_a_copy_still_comes_over_https() {
    if skipped() {
        return;
    }
    let lab = Lab::new(Nat::NoUdp, Nat::Open, 0);
    let tracker = lab.tracker_with(Family::V4, &["--web", "203.0.113.1:7443"]);
    let owner = lab.member(Place::B, &tracker, "olga");
    let fetcher = lab.member(Place::A, &tracker, "finn");
    let _engine = owner.engine();
    let original = owner.write("reel.bin", corpus::bytes(7, usize::try_from(SIZE).expect("it is small")));
    let id = owner.share(&[&original], &["--copy"]);
    let transfer = fetcher.run(&["get", &id]).ok().one("transfer");
    tree::assert_same(&original, Path::new(&text(&transfer, "path")));
    assert_eq!((number(&transfer, "bytes_copy"), paths(&transfer)), (SIZE, vec!["copy".to_owned()]), "{transfer}");
}

#[test]
fn a_running_download_survives_that_either_side_gets_another_address() {
    if skipped() {
        return;
    }
    for (moving, fetcher, owner) in [
        ("a", Nat::PortRestricted, Nat::PortRestricted),
        ("b", Nat::PortRestricted, Nat::PortRestricted),
        ("a", Nat::Open, Nat::FullCone),
    ] {
        let meeting = Meeting::of(Lab::new(fetcher, owner, 10), Family::V4, Place::A, Place::B);
        let original = meeting.owner.desk().join("film.bin");
        corpus::large_file(&original, 21, FILM);
        let id = meeting.owner.share(&[&original], &[]);
        let mut watch = meeting.fetcher.start(&["transfers", "watch"]);
        let mut get = meeting.fetcher.start(&["get", &id]);
        progress(&mut watch, FILM / 16);
        meeting.lab.move_client(moving);
        let moved = std::time::Instant::now();
        // What was on its way when the address went may still come in.
        let before = progress(&mut watch, FILM / 16);
        progress(&mut watch, before + 4_000_000);
        eprintln!("{moving} moved; bytes came again after {} ms", moved.elapsed().as_millis());
        let is_transfer = |line: &str| record(line).is_some_and(|record| record["type"] == "transfer");
        let transfer = record(&get.line("the transfer record", is_transfer)).expect("it is a record");
        tree::assert_same(&original, Path::new(&text(&transfer, "path")));
        assert!(number(&transfer, "elapsed_ms") > 0, "{}", meeting.logs());
    }
}

#[test]
fn a_pulled_cable_is_seen_by_the_others_and_leaves_no_ghost_when_it_is_back() {
    if skipped() {
        return;
    }
    let lab = Lab::new(Nat::PortRestricted, Nat::PortRestricted, 0);
    let tracker = lab.tracker(Family::V4);
    let alice = lab.member(Place::A, &tracker, "alice");
    let bob = lab.member(Place::B, &tracker, "bob");
    let _bob = bob.engine();
    let mut events = bob.start(&["events"]);
    let mut hears = |status: &str| {
        events.line(&format!("alice {status}"), |line| {
            line.contains("\"alice\"") && line.contains(&format!("\"{status}\""))
        });
    };
    let _alice = alice.engine();
    let original = alice.write("notes.bin", corpus::bytes(22, 200_000));
    let id = alice.share(&[&original], &[]);
    hears("away");
    lab.unplug("a");
    hears("offline");
    let devices = || {
        let members = bob.run(&["members"]).ok().records();
        members.iter().find(|member| member["name"] == "alice").map(|alice| number(alice, "devices"))
    };
    assert_eq!(devices(), Some(0));
    lab.plug("a");
    hears("away");
    assert_eq!(devices(), Some(1), "one session, not two");
    let transfer = bob.run(&["get", &id]).ok().one("transfer");
    tree::assert_same(&original, Path::new(&text(&transfer, "path")));
}

/// Bytes of a file that takes a while.
const FILM: u64 = 48 * 1024 * 1024;

/// Waits until the transfer has this many bytes, and returns how many it has.
fn progress(watch: &mut tests::Running, bytes: u64) -> u64 {
    let done = |line: &str| record(line).and_then(|record| record["done"].as_u64()).unwrap_or(0);
    done(&watch.line("more bytes", |line| done(line) >= bytes))
}
