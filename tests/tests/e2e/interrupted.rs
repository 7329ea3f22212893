//! Whatever is cut off goes on where it stopped, and never looks complete before it is.

use std::{fs, path::Path};

use rustix::process::Signal;
use serde_json::Value;
use tests::{
    Member, Running, corpus,
    member::{number, record, text},
    tree,
};

use crate::get::Pair;

#[test]
fn a_receiver_killed_in_the_middle_resumes() {
    let pair = Pair::start();
    let original = pair.alice.desk().join("large.bin");
    corpus::large_file(&original, 21, SIZE);
    let id = pair.alice.share(&[&original], &[]);
    let engine = pair.bob.engine();
    let mut watch = pair.bob.start(&["transfers", "watch"]);
    let get = pair.bob.start(&["get", &id]);
    let seen = progress(&mut watch, SIZE / 4);
    engine.kill();
    drop((watch, get));
    assert_no_final_file(&pair.bob, "large.bin");
    let transfer = pair.get(&id);
    pair.assert_got(&transfer, &original);
    assert!(number(&transfer, "bytes_peer") <= SIZE + SIZE / 20, "at most 5 % came twice: {transfer}");
    assert!(number(&transfer, "bytes_peer") + seen > SIZE / 2, "{transfer}");
}

#[test]
fn a_get_without_an_engine_that_is_killed_resumes() {
    let pair = Pair::start();
    let original = pair.alice.desk().join("large.bin");
    corpus::large_file(&original, 22, SIZE);
    let id = pair.alice.share(&[&original], &[]);
    let mut get = pair.bob.start(&["get", &id]);
    // Without an engine that lasts, the command runs its own, and others may watch it.
    let mut watch = watch_transfers(&pair.bob, &get);
    progress(&mut watch, SIZE / 4);
    get.kill();
    drop(watch);
    assert_no_final_file(&pair.bob, "large.bin");
    let transfer = pair.get(&id);
    pair.assert_got(&transfer, &original);
}

#[test]
fn ctrl_c_ends_with_130_and_leaves_what_is_needed_to_resume() {
    let pair = Pair::start();
    let original = pair.alice.desk().join("large.bin");
    corpus::large_file(&original, 23, SIZE);
    let id = pair.alice.share(&[&original], &[]);
    let get = pair.bob.start(&["get", &id]);
    let mut watch = watch_transfers(&pair.bob, &get);
    let seen = progress(&mut watch, SIZE / 4);
    get.signal(Signal::INT);
    let ended = get.finish();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert_no_final_file(&pair.bob, "large.bin");
    let transfer = pair.get(&id);
    pair.assert_got(&transfer, &original);
    let fetched = number(&transfer, "bytes_peer");
    assert!(fetched <= SIZE + SIZE / 20, "{fetched} bytes of {SIZE} after {seen} were there");
}

#[test]
fn a_sender_killed_in_the_middle_is_waited_for() {
    let mut pair = Pair::start();
    let original = pair.alice.desk().join("large.bin");
    corpus::large_file(&original, 24, SIZE);
    let id = pair.alice.share(&[&original], &[]);
    let _bobs_engine = pair.bob.engine();
    let mut watch = pair.bob.start(&["transfers", "watch"]);
    let mut get = pair.bob.start(&["get", &id, "--wait"]);
    progress(&mut watch, SIZE / 4);
    pair.engine.take().unwrap().kill();
    pair.engine = Some(pair.alice.engine());
    let transfer = transfer_record(&mut get);
    assert_eq!(get.finish().code, Some(0));
    pair.assert_got(&transfer, &original);
    assert!(number(&transfer, "bytes_peer") <= SIZE + SIZE / 20, "at most 5 % came twice: {transfer}");
}

#[test]
fn a_tracker_killed_in_the_middle_does_not_disturb_the_members() {
    let mut pair = Pair::start();
    let original = pair.alice.desk().join("large.bin");
    corpus::large_file(&original, 25, SIZE);
    let id = pair.alice.share(&[&original], &[]);
    let _bobs_engine = pair.bob.engine();
    let mut watch = pair.bob.start(&["transfers", "watch"]);
    let mut get = pair.bob.start(&["get", &id, "--wait"]);
    progress(&mut watch, SIZE / 8);
    pair.tracker.kill();
    let transfer = transfer_record(&mut get);
    assert_eq!(get.finish().code, Some(0));
    pair.assert_got(&transfer, &original);
}

#[test]
fn a_folder_killed_in_the_middle_resumes_without_fetching_files_again() {
    let pair = Pair::start();
    let folder = pair.alice.desk().join("many");
    corpus::small_files(&folder, 26, 3000, 60_000);
    pair.alice.share(&[&folder], &[]);
    let size: u64 = tree::files(&folder).iter().map(|(_, size)| size).sum();
    let engine = pair.bob.engine();
    let mut watch = pair.bob.start(&["transfers", "watch"]);
    let get = pair.bob.start(&["get", "alice/many"]);
    progress(&mut watch, size / 4);
    engine.kill();
    drop((watch, get));
    let transfer = pair.get("alice/many");
    pair.assert_got(&transfer, &folder);
    let fetched = number(&transfer, "bytes_peer");
    assert!(fetched <= size + size / 20, "{fetched} bytes fetched of {size}");
}

#[test]
fn a_paused_transfer_stands_still_until_it_is_resumed_and_a_cancelled_one_leaves_nothing() {
    let pair = Pair::start();
    let original = pair.alice.desk().join("large.bin");
    corpus::large_file(&original, 27, SIZE);
    let id = pair.alice.share(&[&original], &[]);
    let _bobs_engine = pair.bob.engine();
    let mut watch = pair.bob.start(&["transfers", "watch"]);
    pair.bob.run(&["get", &id, "--detach"]).ok();
    progress(&mut watch, SIZE / 8);
    let transfer = pair.bob.run(&["transfers", "ls"]).ok().one("transfer");
    let transfer = text(&transfer, "id");
    let paused = pair.bob.run(&["transfers", "pause", &transfer]).ok().one("transfer");
    assert_eq!(text(&paused, "state"), "paused");
    pair.bob.run(&["transfers", "resume", &transfer]).ok();
    watch.line("the end", |line| record(line).is_some_and(|record| record["state"] == "done"));
    tree::assert_same(&original, &pair.bob.downloads().join("large.bin"));

    let second = pair.alice.desk().join("second.bin");
    corpus::large_file(&second, 28, SIZE);
    let id = pair.alice.share(&[&second], &[]);
    pair.bob.run(&["get", &id, "--detach"]).ok();
    progress(&mut watch, SIZE / 8);
    let running = pair.bob.run(&["transfers", "ls"]).ok().records();
    let running = running.iter().find(|record| record["name"] == "second.bin").unwrap();
    pair.bob.run(&["transfers", "cancel", &text(running, "id")]).ok();
    watch.line("its cancellation", |line| record(line).is_some_and(|record| record["state"] == "cancelled"));
    let left: Vec<_> = tree::files(&pair.bob.downloads()).into_iter().map(|(path, _)| path).collect();
    assert_eq!(left, [Path::new("large.bin")], "a cancelled transfer leaves nothing behind");
}

/// Watches the transfers of a device whose engine belongs to another command, once that engine is there.
fn watch_transfers(member: &Member, owner: &Running) -> Running {
    while member.run(&["engine", "status"]).code != 0 {
        assert!(owner.alive(), "the command that runs the engine ended");
    }
    member.start(&["transfers", "watch"])
}

/// Waits until this many bytes of something are verified, and says how many are.
fn progress(watch: &mut Running, bytes: u64) -> u64 {
    let mut seen = 0;
    watch.line("enough progress", |line| {
        seen = record(line)
            .filter(|record| record["state"] == "running")
            .and_then(|record| record["done"].as_u64())
            .unwrap_or(0);
        seen >= bytes
    });
    seen
}

fn transfer_record(get: &mut Running) -> Value {
    let line = get.line("the transfer record", |line| record(line).is_some_and(|record| record["type"] == "transfer"));
    record(&line).unwrap()
}

fn assert_no_final_file(member: &Member, name: &str) {
    let path = member.downloads().join(name);
    assert!(fs::symlink_metadata(&path).is_err(), "{} is there before it is complete", path.display());
}

const SIZE: u64 = 600 << 20;
