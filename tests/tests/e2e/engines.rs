//! One engine per profile, and the faces that attach to it.

use std::{fs, os::unix::fs::PermissionsExt};

use tests::{
    Member, Tracker, corpus,
    member::{number, record, text},
    tree,
};

use crate::get::Pair;

#[test]
fn commands_attach_to_the_engine_that_runs() {
    let pair = Pair::start();
    let engine = pair.engine.as_ref().unwrap();
    for _ in 0..3 {
        let status = pair.alice.run(&["status"]).ok().one("status");
        assert_eq!(number(&status, "pid"), u64::from(engine.pid()));
    }
    let own = pair.bob.run(&["status"]).ok().one("status");
    assert_ne!(number(&own, "pid"), u64::from(engine.pid()));
}

#[test]
fn the_local_socket_is_for_its_owner_only() {
    let pair = Pair::start();
    let state = pair.alice.home().join("state");
    let mode = |path: &std::path::Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state.join("engine.sock")), 0o600);
    assert_eq!(mode(&state), 0o700);
}

#[test]
fn a_second_engine_of_a_profile_is_refused() {
    let pair = Pair::start();
    pair.alice.run(&["engine", "run"]).fails(9);
    assert!(pair.engine.as_ref().unwrap().process().alive());
}

#[test]
fn two_commands_at_once_without_an_engine_both_end_well() {
    let tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    let all: Vec<_> = (0..6).map(|_| alice.start(&["ls"])).collect();
    for command in all {
        let ended = command.finish();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}

#[test]
fn an_engine_that_was_killed_leaves_nothing_in_the_way() {
    let mut pair = Pair::start();
    pair.engine.take().unwrap().kill();
    pair.alice.run(&["engine", "status"]).fails(4);
    pair.alice.run(&["ls"]).ok();
    let again = pair.alice.engine();
    again.stop();
}

#[test]
fn an_engine_stops_when_asked() {
    let mut pair = Pair::start();
    pair.alice.run(&["engine", "stop"]).ok();
    let engine = pair.engine.take().unwrap();
    assert!(engine.process().ended_within(tests::PATIENCE));
    assert_ne!(pair.alice.run(&["engine", "status"]).code, 0);
}

#[test]
fn a_detached_get_goes_on_after_its_command() {
    let pair = Pair::start();
    let original = pair.alice.write("detached.bin", corpus::bytes(51, 3_000_000));
    let id = pair.alice.share(&[&original], &[]);
    let _engine = pair.bob.engine();
    let mut watch = pair.bob.start(&["transfers", "watch"]);
    pair.bob.run(&["get", &id, "--detach"]).ok();
    watch.line("its end", |line| record(line).is_some_and(|record| record["state"] == "done"));
    tree::assert_same(&original, &pair.bob.downloads().join("detached.bin"));
}

#[test]
fn an_engine_without_a_tracker_waits_for_it_and_comes_back() {
    let mut tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    let engine = alice.engine();
    let mut events = alice.start(&["events", "--type", "connection"]);
    tracker.kill();
    events.line("offline", |line| record(line).is_some_and(|record| record["state"] == "offline"));
    tracker.restart();
    events.line("online again", |line| record(line).is_some_and(|record| record["state"] == "online"));
    let status = alice.run(&["status"]).ok().one("status");
    assert_eq!(number(&status, "pid"), u64::from(engine.pid()));
    assert_eq!(text(&status, "connection"), "online");
}

#[test]
fn shares_are_served_again_after_a_restart_without_hashing_them_again() {
    let mut pair = Pair::start();
    let original = pair.alice.write("lasting.bin", corpus::bytes(52, 2_000_000));
    let id = pair.alice.share(&[&original], &[]);
    pair.engine.take().unwrap().stop();
    pair.engine = Some(pair.alice.engine());
    let transfer = pair.get(&id);
    pair.assert_got(&transfer, &original);
    let rescan = pair.alice.run(&["rescan"]).ok();
    assert_eq!(number(&rescan.records()[0], "unchanged"), 1, "{rescan}");
}
