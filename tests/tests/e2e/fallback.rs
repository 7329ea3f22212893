//! When the owner is away: the tracker's copy, in the middle of a file too; and what happens without one.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Instant};

use serde_json::Value;
use tests::{
    PATIENCE, Running, corpus,
    member::{number, record, text},
};

use crate::get::Pair;

#[test]
fn the_copy_serves_when_the_owner_is_away() {
    let mut pair = Pair::start();
    let original = pair.alice.write("kept.bin", corpus::bytes(11, 2_500_000));
    let id = pair.alice.share(&[&original], &["--copy"]);
    pair.engine.take().unwrap().kill();
    let transfer = pair.get(&id);
    pair.assert_got(&transfer, &original);
    assert_eq!(number(&transfer, "bytes_copy"), 2_500_000, "{transfer}");
    // The killed owner may still be listed, with nothing to its name: its silence is noticed later.
    let served = transfer["sources"].as_array().unwrap().iter().find(|source| number(source, "bytes") > 0).unwrap();
    assert_eq!(text(served, "kind"), "copy", "{transfer}");
}

#[test]
fn a_folder_is_served_by_its_copies() {
    let mut pair = Pair::start();
    let folder = pair.alice.desk().join("album");
    corpus::small_files(&folder, 12, 150, 40_000);
    pair.alice.share(&[&folder], &["--copy"]);
    pair.engine.take().unwrap().stop();
    let transfer = pair.get("alice/album");
    pair.assert_got(&transfer, &folder);
    assert_eq!(number(&transfer, "bytes_peer"), 0, "{transfer}");
}

#[test]
fn the_copy_takes_over_in_the_middle_of_a_file() {
    let mut pair = Pair::start();
    let original = pair.alice.desk().join("film.bin");
    corpus::large_file(&original, 13, SIZE);
    let id = pair.alice.share(&[&original], &["--copy"]);
    let mut get = pair.bob.start(&["get", &id, "--progress", "json"]);
    wait_for_progress(&pair, SIZE / 8);
    pair.engine.take().unwrap().kill();
    let line = get.line("the transfer record", |line| record(line).is_some_and(|record| record["type"] == "transfer"));
    let ended = get.finish();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let transfer = record(&line).unwrap();
    pair.assert_got(&transfer, &original);
    let (peer, copy) = (number(&transfer, "bytes_peer"), number(&transfer, "bytes_copy"));
    assert!(peer > 0 && copy > 0, "both served a part: {transfer}");
    assert!(peer + copy <= SIZE + SIZE / 20, "at most 5 % came twice: {transfer}");
}

#[test]
fn only_the_kind_of_source_that_was_asked_for_serves() {
    let mut pair = Pair::start();
    let original = pair.alice.write("either.bin", corpus::bytes(14, 200_000));
    let id = pair.alice.share(&[&original], &["--copy"]);
    let from_copy = pair.bob.run(&["get", &id, "--from", "copy"]).ok().one("transfer");
    assert_eq!((number(&from_copy, "bytes_peer"), number(&from_copy, "bytes_copy")), (0, 200_000));
    pair.engine.take().unwrap().stop();
    let target = pair.bob.desk().join("again.bin");
    pair.bob.run(&["get", &id, "--from", "peer", "-o", target.to_str().unwrap()]).fails(4);
    assert!(!target.exists());
}

#[test]
fn without_any_source_a_get_says_so() {
    let mut pair = Pair::start();
    let original = pair.alice.write("alone.bin", corpus::bytes(15, 100_000));
    let id = pair.alice.share(&[&original], &[]);
    pair.engine.take().unwrap().stop();
    pair.bob.run(&["get", &id]).fails(4);
}

#[test]
fn a_waiting_get_goes_on_when_the_owner_comes_back() {
    let mut pair = Pair::start();
    let original = pair.alice.write("later.bin", corpus::bytes(16, 1_500_000));
    let id = pair.alice.share(&[&original], &[]);
    pair.engine.take().unwrap().stop();
    let _bobs_engine = pair.bob.engine();
    let get = waiting_get(&pair, &id);
    pair.engine = Some(pair.alice.engine());
    pair.assert_got(&got(get), &original);
}

#[test]
fn a_file_that_changed_while_it_was_waited_for_comes_in_its_new_form() {
    for size in [20_000, 2_000_000] {
        let mut pair = Pair::start();
        let original = pair.alice.write("draft.bin", corpus::bytes(19, size));
        let id = pair.alice.share(&[&original], &[]);
        pair.engine.take().unwrap().stop();
        let _bobs_engine = pair.bob.engine();
        let get = waiting_get(&pair, &id);
        fs::write(&original, corpus::bytes(20, size + 1)).unwrap();
        fs::set_permissions(&original, fs::Permissions::from_mode(0o755)).unwrap();
        pair.engine = Some(pair.alice.engine());
        // Content, modification time and executable bit are the new ones.
        pair.assert_got(&got(get), &original);
    }
}

#[test]
fn a_dropped_copy_is_gone() {
    let mut pair = Pair::start();
    let original = pair.alice.write("short lived.bin", corpus::bytes(17, 50_000));
    let id = pair.alice.share(&[&original], &["--copy"]);
    pair.alice.run(&["uncopy", &id]).ok();
    pair.engine.take().unwrap().stop();
    pair.bob.run(&["get", &id]).fails(4);
}

#[test]
fn a_copy_asked_for_later_is_stored_too() {
    let mut pair = Pair::start();
    let original = pair.alice.write("afterthought.bin", corpus::bytes(18, 3_000_000));
    let id = pair.alice.share(&[&original], &[]);
    let copied = pair.alice.run(&["copy", &id]).ok().one("file");
    assert_eq!(text(&copied, "copy"), "stored", "{copied}");
    pair.engine.take().unwrap().stop();
    let transfer = pair.get(&id);
    pair.assert_got(&transfer, Path::new(&original));
}

#[test]
fn what_came_for_a_copy_that_nobody_claims_any_more_goes() {
    let pair = Pair::start();
    let bytes = corpus::bytes(19, 24 << 20);
    let hers = pair.alice.write("hers.bin", &bytes);
    pair.alice.share(&[&hers], &["--visibility", "hidden", "--copy"]);
    // Bob may not fetch hers, so his own comes once more; and he goes when a part of it is there.
    let his = pair.bob.write("his.bin", &bytes);
    pair.bob.run(&["limit", "up", "1MiB", "--lan"]).ok();
    let engine = pair.bob.engine();
    let id = pair.bob.share(&[&his], &[]);
    let copying = pair.bob.start(&["copy", &id]);
    let parts = || fs::read_dir(pair.tracker.data().join("incoming")).unwrap().count();
    until("a part of bob's", || pair.bob.run(&["status"]).code == 0 && parts() > 0);
    engine.kill();
    drop(copying);
    let tablet = pair.bob.second_device(&pair.tracker);
    tablet.run(&["uncopy", &id]).ok();
    until("the end of that part", || tablet.run(&["ls"]).code == 0 && parts() == 0);
}

/// Waits until this holds; asking takes its time.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "no sign of {what}");
    }
}

/// A get of Bob's that waits for a source.
fn waiting_get(pair: &Pair, id: &str) -> Running {
    let mut watch = pair.bob.start(&["transfers", "watch"]);
    let get = pair.bob.start(&["get", id, "--wait"]);
    watch.line("a waiting transfer", |line| record(line).is_some_and(|record| record["state"] == "waiting"));
    get
}

/// Waits for the good end of a get and returns its record.
fn got(mut get: Running) -> Value {
    let line = get.line("the transfer record", |line| record(line).is_some_and(|record| record["type"] == "transfer"));
    assert_eq!(get.finish_within(PATIENCE).code, Some(0));
    record(&line).unwrap()
}

/// Waits until Bob has verified this many bytes of something.
fn wait_for_progress(pair: &Pair, bytes: u64) {
    let mut watch = pair.bob.start(&["transfers", "watch"]);
    watch.line("enough progress", |line| {
        record(line).is_some_and(|record| record["done"].as_u64().is_some_and(|done| done >= bytes))
    });
}

const SIZE: u64 = 400 << 20;
