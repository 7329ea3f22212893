//! Limits and order: rates that hold, shares that are fair, a line for upload slots, and a queue that can be moved.
//!
//! Loopback counts as the same network, where limits hold only when that is asked for: hence `--lan` everywhere.

use std::{collections::BTreeSet, path::PathBuf};

use serde_json::Value;
use tests::{
    Engine, Member, Running, corpus,
    member::{number, record, text},
    tree,
};

use crate::get::Pair;

const MIB: u64 = 1 << 20;

/// A large file that Alice shares: its path and id.
fn share(pair: &Pair, name: &str, seed: u64, bytes: u64) -> (PathBuf, String) {
    let original = pair.alice.desk().join(name);
    corpus::large_file(&original, seed, bytes);
    let id = pair.alice.share(&[&original], &[]);
    (original, id)
}

/// The record of a transfer of this name, as it stands now.
fn transfer(member: &Member, name: &str) -> Value {
    let output = member.run(&["transfers", "ls"]).ok();
    let found = output.records().into_iter().find(|record| record["name"] == name);
    found.unwrap_or_else(|| panic!("no transfer of {name}: {output}"))
}

/// Waits until a watched transfer is as wanted.
fn until(watch: &mut Running, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
    let line =
        watch.line(what, |line| record(line).is_some_and(|record| record["type"] == "transfer" && wanted(&record)));
    record(&line).unwrap()
}

fn is(record: &Value, name: &str, state: &str) -> bool {
    record["name"] == name && record["state"] == state
}

/// The limit of this kind for everybody.
fn limit(member: &Member, what: &str) -> Value {
    let output = member.run(&["limit"]).ok();
    let records = output.records();
    let found =
        records.iter().find(|record| record["what"] == what && record["member"].is_null() && record["at"].is_null());
    found.unwrap_or_else(|| panic!("no limit {what}: {output}")).clone()
}

#[test]
fn a_limited_upload_takes_its_time() {
    let pair = Pair::start();
    let (original, id) = share(&pair, "slow.bin", 81, 3 * MIB);
    pair.alice.run(&["limit", "up", "1MiB", "--lan"]).ok();
    let got = pair.get(&id);
    pair.assert_got(&got, &original);
    // At most a quarter of a second's worth passes at once.
    assert!(number(&got, "elapsed_ms") >= 2_700, "{got}");
}

#[test]
fn small_files_are_limited_too() {
    let pair = Pair::start();
    let folder = pair.alice.desk().join("small");
    corpus::small_files(&folder, 82, 300, 20_000);
    pair.alice.share(&[&folder], &[]);
    let bytes: u64 = tree::files(&folder).iter().map(|(_, size)| size).sum();
    pair.alice.run(&["limit", "up", "1MiB", "--lan"]).ok();
    let got = pair.get("alice/small");
    pair.assert_got(&got, &folder);
    let least_ms = bytes.saturating_sub(MIB / 4) * 1000 / MIB;
    assert!(number(&got, "elapsed_ms") >= least_ms, "{bytes} bytes in {got}");
}

#[test]
fn a_download_limit_is_kept_by_whoever_fetches_and_outlives_the_command_that_set_it() {
    let pair = Pair::start();
    let (original, id) = share(&pair, "slow.bin", 83, 3 * MIB);
    pair.bob.run(&["limit", "down", "1MiB", "--lan"]).ok();
    let got = pair.get(&id);
    pair.assert_got(&got, &original);
    assert!(number(&got, "elapsed_ms") >= 2_700, "{got}");
}

#[test]
fn on_the_same_network_nothing_is_limited_unless_asked() {
    let pair = Pair::start();
    // At this rate it would take longer than anybody waits here.
    pair.alice.run(&["limit", "up", "10k"]).ok();
    let (original, id) = share(&pair, "lan.bin", 84, 8 * MIB);
    pair.assert_got(&pair.get(&id), &original);
}

#[test]
fn a_new_limit_holds_at_once_for_what_runs() {
    let pair = Pair::start();
    let (original, id) = share(&pair, "freed.bin", 85, 16 * MIB);
    pair.alice.run(&["limit", "up", "100k", "--lan"]).ok();
    let _engine = pair.bob.engine();
    let mut watch = pair.bob.start(&["transfers", "watch"]);
    pair.bob.run(&["get", &id, "--detach"]).ok();
    until(&mut watch, "its first bytes", |record| number(record, "done") > 0);
    // 160 seconds would be left.
    let told = pair.alice.run(&["limit", "up", "0"]).ok();
    assert!(told.records().iter().all(|record| record["rate"].is_null()), "{told}");
    until(&mut watch, "its end", |record| is(record, "freed.bin", "done"));
    tree::assert_same(&original, &pair.bob.downloads().join("freed.bin"));
}

#[test]
fn two_receivers_share_a_limit_fairly_however_much_one_of_them_asks_for() {
    let pair = Pair::start();
    let carol = Member::new(&pair.tracker, "carol");
    let ids: Vec<String> =
        (0..3).map(|number| share(&pair, &format!("{number}.bin"), 90 + number, 24 * MIB).1).collect();
    pair.alice.run(&["limit", "up", "2MiB", "--lan"]).ok();
    let engines = [pair.bob.engine(), carol.engine()];
    let mut watches = [&pair.bob, &carol].map(|member| member.start(&["transfers", "watch"]));
    pair.bob.run(&["get", &ids[0], &ids[1], "--detach"]).ok();
    carol.run(&["get", &ids[2], "--detach"]).ok();
    for watch in &mut watches {
        until(watch, "the first bytes", |record| number(record, "done") > 0);
    }
    let done = |member: &Member| -> u64 {
        let records = member.run(&["transfers", "ls"]).ok().records();
        records.iter().map(|record| number(record, "done")).sum()
    };
    let before = [done(&pair.bob), done(&carol)];
    let goal = number(&transfer(&carol, "2.bin"), "done") + 4 * MIB;
    until(&mut watches[1], "more bytes", |record| number(record, "done") >= goal);
    let [bob, carol] = [done(&pair.bob) - before[0], done(&carol) - before[1]];
    assert!(bob * 2 >= carol && carol * 2 >= bob, "bob, with two files, got {bob} and carol {carol} in the same time");
    drop(engines);
}

#[test]
fn a_member_with_a_limit_of_its_own_does_not_slow_down_the_others() {
    let pair = Pair::start();
    let carol = Member::new(&pair.tracker, "carol");
    let (original, id) = share(&pair, "both.bin", 86, 12 * MIB);
    pair.alice.run(&["limit", "up", "200k", "--member", "BOB", "--lan"]).ok();
    let _engine: Engine = pair.bob.engine();
    let mut watch = pair.bob.start(&["transfers", "watch"]);
    pair.bob.run(&["get", &id, "--detach"]).ok();
    until(&mut watch, "its first bytes", |record| number(record, "done") > 0);
    carol.run(&["get", &id]).ok();
    tree::assert_same(&original, &carol.downloads().join("both.bin"));
    let slow = transfer(&pair.bob, "both.bin");
    assert_eq!(text(&slow, "state"), "running");
    assert!(number(&slow, "done") < 12 * MIB, "{slow}");
    let told = pair.alice.run(&["limit"]).ok();
    let own = told.records().into_iter().find(|record| record["member"] == "bob");
    assert_eq!(own.map(|record| number(&record, "rate")), Some(200_000), "{told}");
}

#[test]
fn with_one_slot_the_second_receiver_stands_in_line_and_then_gets_its_file() {
    let pair = Pair::start();
    let carol = Member::new(&pair.tracker, "carol");
    // Two files: who fetches the same one would get it from the first receiver too.
    let (taken, taken_id) = share(&pair, "taken.bin", 86, 8 * MIB);
    let (original, id) = share(&pair, "wanted.bin", 87, 8 * MIB);
    pair.alice.run(&["limit", "slots", "1", "--lan"]).ok();
    pair.alice.run(&["limit", "up", "2MiB", "--lan"]).ok();
    let _engines = [pair.bob.engine(), carol.engine()];
    let mut uploads = pair.alice.start(&["transfers", "watch"]);
    let mut first = pair.bob.start(&["transfers", "watch"]);
    let mut second = carol.start(&["transfers", "watch"]);
    pair.bob.run(&["get", &taken_id, "--detach"]).ok();
    until(&mut first, "its first bytes", |record| number(record, "done") > 0);
    // It does not give up although nothing comes: it is told that it is being waited for.
    let get = carol.start(&["get", &id]);
    let waits = until(&mut second, "a place in line", |record| {
        record["sources"].as_array().unwrap().iter().any(|source| source["queue_position"] == 1)
    });
    let source = &waits["sources"][0];
    assert!(text(source, "doing").contains("1st in line"), "{waits}");
    assert!(source["queue_wait_s"].is_u64() && text(&waits, "reason") == "queued: 1st at alice", "{waits}");
    until(&mut uploads, "the line", |record| is(record, "wanted.bin", "queued") && record["owner"] == "carol");
    assert_eq!(number(&limit(&pair.alice, "slots"), "waiting"), 1);
    until(&mut first, "its end", |record| is(record, "taken.bin", "done"));
    assert_eq!(get.finish().code, Some(0));
    tree::assert_same(&taken, &pair.bob.downloads().join("taken.bin"));
    tree::assert_same(&original, &carol.downloads().join("wanted.bin"));
    assert_eq!(number(&limit(&pair.alice, "slots"), "waiting"), 0);
}

#[test]
fn limits_outlive_the_engine_and_the_account() {
    let mut pair = Pair::start();
    pair.alice.run(&["limit", "up", "2M"]).ok();
    pair.alice.run(&["limit", "up", "500k", "--at", "00:00-24:00,mon-sun", "--lan"]).ok();
    pair.alice.run(&["limit", "down", "1.5MiB", "--member", "bob", "--at", "22:00-06:00,mon-fri"]).ok();
    let before = pair.alice.run(&["limit", "slots", "3"]).ok().records();
    pair.engine.take().unwrap().kill();
    let _engine = pair.alice.engine();
    assert_eq!(pair.alice.run(&["limit"]).ok().records(), before);
    let told: Vec<(String, u64, bool)> = before
        .iter()
        .filter(|record| record["what"] == "up")
        .map(|record| {
            (record["at"].as_str().unwrap_or("always").to_owned(), number(record, "rate"), record["in_force"] == true)
        })
        .collect();
    let expected = [("always", 2_000_000, false), ("00:00-24:00", 500_000, true)];
    assert_eq!(told, expected.map(|(at, rate, holds)| (at.to_owned(), rate, holds)));
    pair.alice.run(&["logout"]).ok();
    assert_eq!(number(&limit(&pair.alice, "up"), "rate"), 2_000_000);
    let back = pair.alice.run(&["limit", "up", "default", "--at", "00:00-24:00"]).ok();
    assert_eq!(back.records().iter().filter(|record| record["what"] == "up").count(), 1, "{back}");
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let pair = Pair::start();
    for words in ["up fast", "up 10", "sideways 2M", "up 2M --at noon", "slots many", "slots 1000"] {
        let arguments: Vec<&str> = std::iter::once("limit").chain(words.split(' ')).collect();
        pair.alice.run(&arguments).fails(2);
    }
    pair.alice.run(&["limit", "up", "2M", "--member", "nobody"]).fails(4);
}

#[test]
fn what_matters_more_begins_first_and_others_make_room_for_it() {
    let pair = Pair::start();
    let names = ["a.bin", "b.bin", "c.bin", "d.bin", "e.bin"];
    let ids: Vec<String> = names.iter().zip(0..).map(|(name, seed)| share(&pair, name, 60 + seed, 4 * MIB).1).collect();
    pair.alice.run(&["limit", "up", "300k", "--lan"]).ok();
    let engine = pair.bob.engine();
    let mut watch = pair.bob.start(&["transfers", "watch"]);
    for id in &ids {
        pair.bob.run(&["get", id, "--detach"]).ok();
    }
    until(&mut watch, "the third to run", |record| is(record, "c.bin", "running"));
    let id = |name: &str| text(&transfer(&pair.bob, name), "id");
    let state = |name: &str| text(&transfer(&pair.bob, name), "state");
    assert_eq!((state("d.bin"), state("e.bin")), ("queued".to_owned(), "queued".to_owned()));
    // The last one first: the third goes back to the queue for it.
    pair.bob.run(&["transfers", "prio", &id("e.bin"), "high"]).ok();
    until(&mut watch, "the last one to run", |record| is(record, "e.bin", "running"));
    assert_eq!((state("c.bin"), state("d.bin")), ("queued".to_owned(), "queued".to_owned()));
    // The order of those that wait outlives the engine.
    pair.bob.run(&["transfers", "prio", &id("d.bin"), "+1"]).ok();
    // Whoever is attached would run the engine that follows.
    drop(watch);
    engine.stop();
    let _engine = pair.bob.engine();
    let mut watch = pair.bob.start(&["transfers", "watch"]);
    until(&mut watch, "the one that matters to run", |record| {
        is(record, "e.bin", "running") && record["priority"] == "high"
    });
    pair.bob.run(&["transfers", "cancel", &id("e.bin")]).ok();
    until(&mut watch, "the one that was moved to run", |record| is(record, "d.bin", "running"));
    assert_eq!(state("c.bin"), "queued");
    pair.alice.run(&["limit", "up", "0"]).ok();
    let mut done = BTreeSet::new();
    until(&mut watch, "the ends of all", |record| {
        if record["state"] == "done" {
            done.insert(text(record, "name"));
        }
        done.len() == 4
    });
    for name in ["a.bin", "b.bin", "c.bin", "d.bin"] {
        tree::assert_same(&pair.alice.desk().join(name), &pair.bob.downloads().join(name));
    }
}
