//! Blocking: two members see nothing of each other, in any program, at once and after restarts, and nobody is told.

use serde_json::Value;
use tests::{
    Member, Screen, Tracker, corpus,
    member::{number, record, text},
};

/// A member as another one sees it.
fn seen(viewer: &Member, name: &str) -> Value {
    let members = viewer.run(&["members"]).ok().records();
    members.into_iter().find(|member| member["name"] == name).unwrap_or_else(|| panic!("{name} is in the list"))
}

/// Whether a member is there, its files and devices, and whether it is blocked.
fn state(member: &Value) -> (bool, u64, u64, bool) {
    let blocked = member["blocked"].as_bool().unwrap();
    (member["status"] != "offline", number(member, "shares"), number(member, "devices"), blocked)
}

/// The paths of all files that a member finds.
fn found(member: &Member) -> Vec<String> {
    let hits = member.run(&["search", "file"]).ok().records();
    let mut paths: Vec<String> =
        hits.iter().map(|file| format!("{}/{}", text(file, "owner"), text(file, "path"))).collect();
    paths.sort_unstable();
    paths
}

#[test]
fn a_blocked_member_and_the_blocker_find_nothing_of_each_other_and_nobody_is_told() {
    let mut tracker = Tracker::start();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| Member::new(&tracker, name));
    let mut ids = Vec::new();
    for member in [&alice, &bob, &carol] {
        ids.push(member.share(&[&member.write("file.txt", &member.name)], &[]));
    }
    let engines = [alice.engine(), bob.engine(), carol.engine()];
    assert_eq!(state(&seen(&bob, "alice")), (true, 1, 1, false));
    bob.run(&["get", &ids[0]]).ok();

    alice.run(&["block", "nobody"]).fails(4);
    alice.run(&["block", "alice"]).fails(2);
    let blocked = alice.run(&["block", "bob"]).ok().one("member");
    assert_eq!(state(&blocked), (false, 0, 0, true));
    alice.run(&["block", "bob"]).ok();

    let look = |bob_engine_runs: bool| {
        // To Bob Alice looks as if she had left with her files; he is not told that she blocked him.
        assert_eq!(state(&seen(&bob, "alice")), (false, 0, 0, false));
        assert_eq!(state(&seen(&alice, "bob")), (false, 0, 0, true));
        assert_eq!(found(&alice), ["alice/file.txt", "carol/file.txt"]);
        assert_eq!(found(&bob), ["bob/file.txt", "carol/file.txt"]);
        assert_eq!(found(&carol), ["alice/file.txt", "bob/file.txt", "carol/file.txt"]);
        for (member, id) in [(&bob, &ids[0]), (&alice, &ids[1])] {
            member.run(&["info", id]).fails(4);
            member.run(&["get", id, "-o", "again/"]).fails(4);
        }
        assert!(bob.run(&["ls", "alice"]).ok().records().is_empty());
        if bob_engine_runs {
            assert_eq!(state(&seen(&carol, "bob")), (true, 1, 1, false));
        }
    };
    look(true);
    let last_seen = seen(&bob, "alice")["last_seen"].clone();
    for engine in engines {
        engine.stop();
    }
    tracker.restart();
    look(false);
    // What Alice does is no news to Bob, and what comes next is.
    let _bob = bob.engine();
    let mut events = bob.start(&["events"]);
    let carols = carol.engine();
    events.line("carol", |line| line.contains("\"carol\"") && !line.contains("\"offline\""));
    let alices = alice.engine();
    alices.stop();
    carols.stop();
    let mut told = Vec::new();
    events.line("carol offline", |line| {
        told.push(line.to_owned());
        line.contains("\"carol\"") && line.contains("\"offline\"")
    });
    assert!(!told.iter().any(|line| line.contains("alice")), "{told:#?}");
    assert_eq!(seen(&bob, "alice")["last_seen"], last_seen, "she was not here since");

    let unblocked = alice.run(&["unblock", "bob"]).ok().one("member");
    assert_eq!(state(&unblocked), (true, 1, 1, false));
    assert_eq!(found(&bob), ["alice/file.txt", "bob/file.txt", "carol/file.txt"]);
    assert_eq!(found(&alice).len(), 3);
    let _alice = alice.engine();
    bob.run(&["get", &ids[0], "-o", "again/"]).ok();
}

#[test]
fn a_block_ends_transfers_between_the_two_at_once_in_both_directions() {
    const SIZE: u64 = 64 << 20;
    let tracker = Tracker::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Member::new(&tracker, name));
    for (member, seed) in [(&alice, 91), (&bob, 92)] {
        let film = member.desk().join(format!("{}.bin", member.name));
        corpus::large_file(&film, seed, SIZE);
        member.share(&[&film], &[]);
        member.run(&["limit", "up", "1MiB", "--lan"]).ok();
    }
    let _engines = [alice.engine(), bob.engine()];
    let gets = [alice.start(&["get", "bob/bob.bin"]), bob.start(&["get", "alice/alice.bin"])];
    for member in [&alice, &bob] {
        let mut watch = member.start(&["transfers", "watch"]);
        watch.line("progress", |line| {
            record(line).is_some_and(|record| {
                record["direction"] == "down" && record["bytes_peer"].as_u64().is_some_and(|bytes| bytes > 0)
            })
        });
    }
    alice.run(&["block", "bob"]).ok();
    for get in gets {
        let ended = get.finish();
        assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    }
    for member in [&alice, &bob] {
        let rows = member.run(&["transfers", "ls"]).ok().records();
        let down = rows.iter().find(|row| row["direction"] == "down").unwrap();
        assert!(number(down, "done") < SIZE, "{down}");
    }
}

#[test]
fn the_screen_blocks_with_a_key_after_saying_what_follows_and_both_screens_show_it_at_once() {
    let tracker = Tracker::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Member::new(&tracker, name));
    for member in [&alice, &bob] {
        member.share(&[&member.write(&format!("of-{}.txt", member.name), "x")], &[]);
    }
    let (hers, his) = (Screen::client(100, 30, &alice), Screen::client(100, 30, &bob));
    hers.wait_for("of-bob.txt");
    his.wait_for("of-alice.txt");
    hers.type_text("4");
    hers.wait_for("bob");
    hers.type_text("/bob");
    hers.keys(&["Enter"]);
    hers.wait_for("b block");
    hers.type_text("b");
    let asked = hers.wait_for("Block bob?");
    assert!(asked.contains("Nobody is told"), "{asked}");
    hers.type_text("y");
    hers.wait_for("bob is blocked");
    his.wait_until("no file of Alice", |shown| !shown.contains("of-alice.txt"));
    hers.type_text("1");
    hers.wait_until("no file of Bob", |shown| !shown.contains("of-bob.txt") && shown.contains("of-alice.txt"));
    hers.type_text("4");
    hers.wait_for("Blocked 1");
    hers.type_text("b");
    hers.wait_for("no longer blocked");
    his.wait_for("of-alice.txt");
    hers.type_text("1");
    hers.wait_for("of-bob.txt");
}
