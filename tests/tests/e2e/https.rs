//! UDP blocked: what the tracker has still comes, over HTTPS, and is verified the same way.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use tests::{
    Engine, Member, PATIENCE, Tracker, UdpGate, corpus,
    member::{PASSWORD, number, record, text},
    tree,
};

/// Alice is reached over UDP. Between Bob and the tracker there is a firewall.
struct Office {
    tracker: Tracker,
    gate: UdpGate,
    alice: Member,
    engine: Option<Engine>,
    bob: Member,
}

impl Office {
    fn start() -> Self {
        Self::at(Tracker::start_with(&["--web", "127.0.0.1:0"]))
    }

    fn at(tracker: Tracker) -> Self {
        let gate = UdpGate::closed(tracker.address);
        let alice = Member::new(&tracker, "alice");
        let mut bob = Member::stranger(&tracker, "bob");
        bob.link = link_through(&tracker.link, tracker.address, gate.address);
        bob.register("bob", PASSWORD).ok();
        let engine = Some(alice.engine());
        Self { tracker, gate, alice, engine, bob }
    }

    /// What Bob's doctor finds: states and texts by name.
    fn doctor(&self) -> BTreeMap<String, (String, String)> {
        let found = self.bob.run(&["doctor"]).ok().records();
        let found = found.iter().filter(|record| record["type"] == "finding");
        found.map(|finding| (text(finding, "id"), (text(finding, "state"), text(finding, "text")))).collect()
    }

    /// The object in which the tracker keeps a copy.
    fn stored(&self, original: &Path) -> PathBuf {
        let hash = tree::hash(original);
        let name = hash.strip_prefix("b3:").unwrap_or(&hash);
        self.tracker.data().join("blobs").join(&name[..2]).join(name)
    }

    /// Turns a bit in the middle of a copy.
    fn spoil(&self, original: &Path) {
        let stored = self.stored(original);
        let mut bytes = fs::read(&stored).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&stored, bytes).unwrap();
    }
}

/// The join link with another UDP port, behind the firewall.
fn link_through(link: &str, tracker: SocketAddr, gate: SocketAddr) -> String {
    assert!(link.contains("?web="), "a web port of its own is part of the link: {link}");
    link.replace(&tracker.to_string(), &gate.to_string())
}

#[test]
fn a_stored_copy_comes_over_https_and_the_doctor_says_so() {
    let office = Office::start();
    let original = office.alice.write("kept.bin", corpus::bytes(31, 2_500_000));
    let id = office.alice.share(&[&original], &["--copy"]);
    let status = office.bob.run(&["status"]).ok().one("status");
    assert_eq!((text(&status, "connection"), text(&status, "via")), ("online".to_owned(), "https".to_owned()));
    // Alice is online, and cannot be reached from here.
    let transfer = office.bob.run(&["get", &id]).ok().one("transfer");
    tree::assert_same(&original, Path::new(&text(&transfer, "path")));
    assert_eq!((number(&transfer, "bytes_copy"), number(&transfer, "bytes_peer")), (2_500_000, 0), "{transfer}");
    let source = &transfer["sources"][0];
    assert_eq!((text(source, "kind"), text(source, "path")), ("copy".to_owned(), "copy".to_owned()), "{transfer}");

    let found = office.doctor();
    assert_eq!(found["udp"].0, "warn", "{found:?}");
    assert!(found["udp"].1.contains("UDP to the tracker is blocked"), "{found:?}");
    for well in ["tracker", "https", "account", "clock", "certificate"] {
        assert_eq!(found[well].0, "ok", "{well}: {found:?}");
    }
}

#[test]
fn a_folder_of_small_files_comes_over_https_too() {
    let office = Office::start();
    let folder = office.alice.desk().join("album");
    corpus::small_files(&folder, 32, 150, 40_000);
    office.alice.share(&[&folder], &["--copy"]);
    let transfer = office.bob.run(&["get", "alice/album"]).ok().one("transfer");
    tree::assert_same(&folder, Path::new(&text(&transfer, "path")));
    assert_eq!(number(&transfer, "bytes_peer"), 0, "{transfer}");
}

#[test]
fn without_a_copy_what_a_member_has_is_relayed_in_either_direction() {
    let office = Office::start();
    let _engine = office.bob.engine();
    for (from, to, seed) in [(&office.alice, &office.bob, 36), (&office.bob, &office.alice, 37)] {
        let original = from.write("only here.bin", corpus::bytes(seed, 2_500_000));
        let id = from.share(&[&original], &[]);
        let transfer = to.run(&["get", &id]).ok().one("transfer");
        tree::assert_same(&original, Path::new(&text(&transfer, "path")));
        assert_eq!(number(&transfer, "bytes_relay"), 2_500_000, "{transfer}");
        assert_eq!(text(&transfer["sources"][0], "path"), "relay", "{transfer}");
    }
}

#[test]
fn without_a_copy_and_a_relay_a_get_says_that_udp_is_blocked() {
    let office = Office::at(Tracker::start_with(&["--web", "127.0.0.1:0", "--relay", "off"]));
    let original = office.alice.write("only here.bin", corpus::bytes(33, 100_000));
    let id = office.alice.share(&[&original], &[]);
    let error = office.bob.run(&["get", &id]).fails(4);
    assert!(text(&error, "message").contains("UDP is blocked here"), "{error}");
}

#[test]
fn what_is_shared_over_https_reaches_others_as_a_copy() {
    let office = Office::start();
    let original = office.bob.write("from the office.bin", corpus::bytes(34, 1_500_000));
    let id = office.bob.share(&[&original], &["--copy"]);
    let transfer = office.alice.run(&["get", &id]).ok().one("transfer");
    tree::assert_same(&original, Path::new(&text(&transfer, "path")));
    assert_eq!(number(&transfer, "bytes_copy"), 1_500_000, "{transfer}");
}

#[test]
fn a_killed_get_over_https_goes_on_where_it_stopped() {
    let office = Office::start();
    let original = office.alice.desk().join("film.bin");
    corpus::large_file(&original, 35, SIZE);
    let id = office.alice.share(&[&original], &["--copy"]);
    let engine = office.bob.engine();
    let get = office.bob.start(&["get", &id]);
    let mut watch = office.bob.start(&["transfers", "watch"]);
    watch.line("enough progress", |line| {
        record(line).is_some_and(|record| record["done"].as_u64().is_some_and(|done| done >= SIZE / 8))
    });
    drop((get, watch));
    engine.kill();
    let transfer = office.bob.run_within(PATIENCE * 2, &["get", &id], b"").ok().one("transfer");
    tree::assert_same(&original, Path::new(&text(&transfer, "path")));
    let again = number(&transfer, "bytes_copy");
    assert!(again <= SIZE + SIZE / 20, "at most 5 % came twice: {transfer}");
}

#[test]
fn a_wrong_byte_in_a_stored_copy_is_noticed_over_https() {
    let mut office = Office::start();
    let original = office.alice.write("rotten.bin", corpus::bytes(36, 2_000_000));
    let id = office.alice.share(&[&original], &["--copy"]);
    office.spoil(&original);
    // With Alice there, her file would come instead.
    drop(office.engine.take());
    office.bob.run(&["get", &id]).fails(6);
    assert!(!office.bob.downloads().join("rotten.bin").exists(), "nothing wrong gets the name");
}

#[test]
fn a_member_makes_up_for_a_stored_copy_that_is_wrong() {
    let office = Office::start();
    for (name, size) in [("small.bin", 90_000), ("large.bin", 2_000_000)] {
        let original = office.alice.write(name, corpus::bytes(38, size));
        let id = office.alice.share(&[&original], &["--copy"]);
        office.spoil(&original);
        let transfer = office.bob.run(&["get", &id]).ok().one("transfer");
        tree::assert_same(&original, Path::new(&text(&transfer, "path")));
        assert!(number(&transfer, "bytes_relay") > 0, "{transfer}");
    }
}

#[test]
fn udp_is_taken_back_when_it_gets_through_again() {
    let office = Office::start();
    let original = office.alice.write("direct.bin", corpus::bytes(37, 300_000));
    let id = office.alice.share(&[&original], &[]);
    let _engine = office.bob.engine();
    let mut events = office.bob.start(&["events", "--type", "connection"]);
    office.gate.open();
    events.line("the way back", |line| record(line).is_some_and(|record| record["via"] == "udp"));
    let transfer = office.bob.run(&["get", &id]).ok().one("transfer");
    tree::assert_same(&original, Path::new(&text(&transfer, "path")));
    assert_eq!(number(&transfer, "bytes_peer"), 300_000, "{transfer}");
    let found = office.doctor();
    assert!(["udp", "https", "datagram"].iter().all(|well| found[*well].0 == "ok"), "{found:?}");
}

#[test]
fn udp_that_is_blocked_in_the_middle_is_replaced() {
    let mut office = Office::start();
    office.gate.open();
    let original = office.alice.write("still.bin", corpus::bytes(38, 400_000));
    let id = office.alice.share(&[&original], &["--copy"]);
    office.engine.take().unwrap().stop();
    let _engine = office.bob.engine();
    let mut events = office.bob.start(&["events", "--type", "connection"]);
    office.gate.close();
    events.line("the other way", |line| record(line).is_some_and(|record| record["via"] == "https"));
    let transfer = office.bob.run(&["get", &id]).ok().one("transfer");
    tree::assert_same(&original, Path::new(&text(&transfer, "path")));
}

#[test]
fn the_doctor_tells_a_dead_tracker_from_blocked_udp() {
    let mut office = Office::start();
    office.tracker.kill();
    let output = office.bob.run(&["doctor"]);
    assert_eq!(text(&output.clone().fails(7), "code"), "tracker_unreachable");
    let states: Vec<(String, String)> =
        output.records().iter().map(|finding| (text(finding, "id"), text(finding, "state"))).collect();
    for id in ["tracker", "udp", "https"] {
        assert!(states.contains(&(id.to_owned(), "bad".to_owned())), "{output}");
    }
    // People get the same in sentences.
    let plain = office.bob.run_plain(&["doctor"]);
    assert_eq!(plain.code, 7, "{plain}");
    assert!(plain.stdout.contains("cannot be reached, neither over UDP nor over HTTPS"), "{plain}");
}

#[test]
fn a_tracker_has_its_web_port_beside_udp_unless_told_otherwise() {
    let tracker = Tracker::start_with(&["--web", "off"]);
    assert_eq!(tracker.web, None);
    let tracker = Tracker::start_with(&["--web", "127.0.0.1:0"]);
    assert!(tracker.web.as_ref().is_some_and(|web| web.starts_with("https://127.0.0.1:")), "{:?}", tracker.web);
}

const SIZE: u64 = 300 << 20;
