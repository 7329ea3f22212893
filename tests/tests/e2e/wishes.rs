//! Standing searches: what appears is told once, or fetched, also after the engine was off.

use std::{fs, path::Path, time::Instant};

use serde_json::Value;
use tests::{
    Member, PATIENCE, Running, Tracker, corpus,
    member::{number, record, text},
};

/// The standing search of a member.
fn wish(member: &Member, id: &str) -> Value {
    member.run(&["wish", "show", id]).ok().one("wish")
}

/// Names of the files that matched, sorted.
fn matched(member: &Member, id: &str) -> Vec<String> {
    let records = member.run(&["wish", "show", id]).ok().records();
    let files = records.iter().filter(|record| record["type"] == "file");
    let mut names: Vec<String> = files.map(|file| text(file, "name")).collect();
    names.sort();
    names
}

/// The next match that is told.
fn next_match(events: &mut Running) -> Value {
    record(&events.line("a match", |_| true)).unwrap()
}

fn file_name(event: &Value) -> String {
    assert_eq!(event["type"], "wish_matched", "{event}");
    text(&event["file"], "name")
}

fn wait_for_content(path: &Path, content: &[u8]) {
    let deadline = Instant::now() + PATIENCE;
    while fs::read(path).ok().as_deref() != Some(content) {
        assert!(Instant::now() < deadline, "{} does not come", path.display());
        std::thread::yield_now();
    }
}

#[test]
fn what_appears_is_told_once_also_when_it_appeared_while_the_engine_was_off() {
    let tracker = Tracker::start();
    let (alice, bob) = (Member::new(&tracker, "alice"), Member::new(&tracker, "bob"));
    let share = |name: &str, seed| alice.share(&[&alice.write(name, corpus::bytes(seed, 1000))], &[]);
    share("ubuntu-old.iso", 1);
    let made = bob.run(&["wish", "add", "Ubuntu", "ext:iso"]).ok().one("wish");
    assert_eq!((number(&made, "known"), number(&made, "matches")), (1, 0), "{made}");
    let id = text(&made, "id");
    assert_eq!(bob.run(&["wish", "add", "ubuntu ext:ISO"]).fails(9)["code"], "wish_exists");
    bob.run(&["wish", "add", "!beta"]).fails(2);
    bob.run(&["wish", "add", "ubuntu", "--up-to", "1g"]).fails(2);
    bob.run(&["wish", "show", "ffffffffffffffff"]).fails(4);

    let engine = bob.engine();
    let mut events = bob.start(&["events", "--type", "wish_matched"]);
    share("other.iso", 2);
    share("ubuntu.txt", 3);
    bob.share(&[&bob.write("ubuntu-mine.iso", corpus::bytes(4, 1000))], &[]);
    share("isos/ubuntu-new.iso", 5);
    let event = next_match(&mut events);
    assert_eq!((file_name(&event), text(&event, "wish")), ("ubuntu-new.iso".into(), id.clone()));
    assert!(event["transfer"].is_null(), "{event}");
    drop(events);
    engine.kill();

    // A new version of what was told, and of what was there before; the same content once more; and something new.
    share("isos/ubuntu-new.iso", 6);
    share("ubuntu-old.iso", 7);
    share("ubuntu-again.iso", 5);
    share("ubuntu-third.iso", 8);
    let mut events = bob.start(&["events", "--type", "wish_matched"]);
    assert_eq!(file_name(&next_match(&mut events)), "ubuntu-third.iso");
    drop(events);
    assert_eq!(matched(&bob, &id), ["ubuntu-new.iso", "ubuntu-third.iso"]);
    assert_eq!((number(&wish(&bob, &id), "matches"), number(&wish(&bob, &id), "new")), (2, 0));
    bob.run(&["wish", "rm", &id[..6]]).ok();
    bob.run(&["wish", "rm", &id]).fails(4);
    assert!(bob.run(&["wish"]).ok().records().is_empty());
}

#[test]
fn what_may_be_fetched_is_fetched_and_the_rest_is_told() {
    let tracker = Tracker::start();
    let (alice, bob) = (Member::new(&tracker, "alice"), Member::new(&tracker, "bob"));
    let _engines = [alice.engine(), bob.engine()];
    let id = text(&bob.run(&["wish", "add", "nightly", "--fetch", "--up-to", "1m"]).ok().one("wish"), "id");
    let mut events = bob.start(&["events", "--type", "wish_matched"]);
    let (first, second) = (corpus::bytes(1, 300_000), corpus::bytes(2, 200_000));
    alice.share(&[&alice.write("nightly.bin", &first)], &[]);
    let event = next_match(&mut events);
    assert_eq!((file_name(&event), event["transfer"].is_string()), ("nightly.bin".into(), true), "{event}");
    wait_for_content(&bob.downloads().join("nightly.bin"), &first);
    // A new version is fetched too, and replaces nothing.
    alice.share(&[&alice.write("nightly.bin", &second)], &[]);
    next_match(&mut events);
    wait_for_content(&bob.downloads().join("nightly (1).bin"), &second);

    alice.share(&[&alice.write("nightly-large.bin", corpus::bytes(3, 2_000_000))], &[]);
    let large = next_match(&mut events);
    alice.share(&[&alice.write("nightly-asked.bin", corpus::bytes(4, 1000))], &["--visibility", "ask"]);
    let asked = next_match(&mut events);
    for (event, name, why) in [(large, "nightly-large.bin", "larger"), (asked, "nightly-asked.bin", "asked")] {
        assert_eq!((file_name(&event), event["transfer"].is_null()), (name.into(), true), "{event}");
        assert!(text(&event, "reason").contains(why), "{event}");
        assert!(!bob.downloads().join(name).exists());
    }
    assert_eq!(number(&wish(&bob, &id), "wanted"), 0);
}

#[test]
fn files_of_blocked_members_and_hidden_ones_are_no_match_and_another_account_has_no_wishes() {
    let tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    let (bob, carol) = (Member::new(&tracker, "bob"), Member::new(&tracker, "carol"));
    let id = text(&bob.run(&["wish", "add", "tape"]).ok().one("wish"), "id");
    bob.run(&["block", "alice"]).ok();
    let _engine = bob.engine();
    let mut events = bob.start(&["events", "--type", "wish_matched"]);
    alice.share(&[&alice.write("tape-1.wav", corpus::bytes(1, 1000))], &[]);
    carol.share(&[&carol.write("tape-2.wav", corpus::bytes(2, 1000))], &["--visibility", "hidden"]);
    carol.share(&[&carol.write("tape-3.wav", corpus::bytes(3, 1000))], &[]);
    assert_eq!(file_name(&next_match(&mut events)), "tape-3.wav");
    assert_eq!(matched(&bob, &id), ["tape-3.wav"]);
    bob.run(&["unblock", "alice"]).ok();
    assert_eq!(file_name(&next_match(&mut events)), "tape-1.wav");
    bob.run(&["logout"]).ok();
    assert!(bob.run(&["wish"]).ok().records().is_empty());
}
