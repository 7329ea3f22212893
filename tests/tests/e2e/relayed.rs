//! Members who cannot reach each other: the tracker relays, both are told, and a direct way is taken when it opens.

use serde_json::Value;
use tests::{
    Engine, Member, Running, Tracker, corpus,
    member::{number, record, text},
    net::Islands,
    tree,
};

/// Alice shares on one island with her engine running, Bob is on the other. Between them is only the tracker.
struct Apart {
    alice: Member,
    bob: Member,
    engine: Engine,
    tracker: Tracker,
    islands: Islands,
}

impl Apart {
    /// `None`: such a network cannot be made here.
    fn start(arguments: &[&str]) -> Option<Self> {
        let islands = Islands::new()?;
        let tracker = Tracker::start_within(&islands.tracker(), Islands::LISTEN, arguments);
        let alice = Member::new_in(&tracker, "alice", &islands.member(0));
        let bob = Member::new_in(&tracker, "bob", &islands.member(1));
        let engine = alice.engine();
        Some(Self { alice, bob, engine, tracker, islands })
    }

    fn got(get: &mut Running) -> Value {
        let ended =
            get.line("the transfer record", |line| record(line).is_some_and(|record| record["type"] == "transfer"));
        record(&ended).unwrap()
    }
}

/// Waits until so many bytes have come over the relay.
fn relayed(watch: &mut Running, bytes: u64) {
    watch.line("relayed bytes", |line| {
        record(line).is_some_and(|record| record["bytes_relay"].as_u64().is_some_and(|relayed| relayed >= bytes))
    });
}

fn path_of(transfer: &Value) -> String {
    text(&transfer["sources"][0], "path")
}

#[test]
fn members_without_a_way_between_them_are_relayed_and_both_see_it() {
    let Some(apart) = Apart::start(&[]) else { return };
    let large = apart.alice.write("large.bin", corpus::bytes(31, 3_000_000));
    let folder = apart.alice.desk().join("small");
    corpus::small_files(&folder, 32, 60, 20_000);
    apart.alice.share(&[&large, &folder], &[]);
    let mut uploads = apart.alice.start(&["transfers", "watch"]);

    let transfer = apart.bob.run(&["get", "alice/large.bin"]).ok().one("transfer");
    tree::assert_same(&large, text(&transfer, "path").as_ref());
    assert_eq!(path_of(&transfer), "relay", "{transfer}");
    assert_eq!(number(&transfer, "bytes_relay"), 3_000_000, "{transfer}");
    assert_eq!((number(&transfer, "bytes_peer"), number(&transfer, "bytes_copy")), (0, 0), "{transfer}");
    let upload = uploads.line("the upload", |line| {
        record(line).is_some_and(|record| record["direction"] == "up" && record["bytes_relay"].as_u64() > Some(0))
    });
    assert_eq!(path_of(&record(&upload).unwrap()), "relay", "{upload}");

    let transfer = apart.bob.run(&["get", "alice/small"]).ok().one("transfer");
    tree::assert_same(&folder, text(&transfer, "path").as_ref());
    assert_eq!(number(&transfer, "bytes_relay"), number(&transfer, "size"), "{transfer}");
}

#[test]
fn an_interrupted_relay_resumes() {
    let Some(apart) = Apart::start(&["--relay-rate", "40M"]) else { return };
    let original = apart.alice.desk().join("large.bin");
    corpus::large_file(&original, 33, SIZE);
    let id = apart.alice.share(&[&original], &[]);
    let engine = apart.bob.engine();
    let mut watch = apart.bob.start(&["transfers", "watch"]);
    let get = apart.bob.start(&["get", &id]);
    relayed(&mut watch, SIZE / 4);
    engine.kill();
    drop((watch, get));

    // This time the source leaves in the middle, and comes back.
    let _engine = apart.bob.engine();
    let mut watch = apart.bob.start(&["transfers", "watch"]);
    let mut get = apart.bob.start(&["get", &id, "--wait"]);
    relayed(&mut watch, SIZE / 2);
    apart.engine.kill();
    let _alices = apart.alice.engine();
    let transfer = Apart::got(&mut get);
    tree::assert_same(&original, text(&transfer, "path").as_ref());
    let came = number(&transfer, "bytes_relay");
    assert!(came <= SIZE + SIZE / 10, "at most a tenth came twice: {transfer}");
    assert_eq!((number(&transfer, "bytes_peer"), path_of(&transfer).as_str()), (0, "relay"), "{transfer}");
}

#[test]
fn a_relayed_transfer_moves_to_the_direct_way_when_that_opens() {
    let Some(apart) = Apart::start(&["--relay-rate", "3M"]) else { return };
    let original = apart.alice.desk().join("large.bin");
    corpus::large_file(&original, 34, SIZE);
    let id = apart.alice.share(&[&original], &[]);
    let _engine = apart.bob.engine();
    let mut watch = apart.bob.start(&["transfers", "watch"]);
    let mut get = apart.bob.start(&["get", &id]);
    relayed(&mut watch, 1);
    apart.islands.join();
    // Another device of hers comes: her addresses may have changed.
    let _second = apart.alice.second_device(&apart.tracker);
    let transfer = Apart::got(&mut get);
    tree::assert_same(&original, text(&transfer, "path").as_ref());
    let (relayed, direct) = (number(&transfer, "bytes_relay"), number(&transfer, "bytes_peer"));
    assert!(relayed > 0 && direct > relayed, "most came directly: {transfer}");
    assert!(relayed + direct <= SIZE + SIZE / 20, "nothing verified was thrown away: {transfer}");
    assert_ne!(path_of(&transfer), "relay", "{transfer}");
}

const SIZE: u64 = 200 << 20;
