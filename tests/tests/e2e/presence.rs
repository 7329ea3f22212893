//! Presence: online, away, offline, for members and their devices; and what an unkind world makes of it.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;
use tests::{
    Member, PATIENCE, Screen, Tracker, corpus,
    member::{PASSWORD, text},
};

/// A member as another one sees it.
fn seen(viewer: &Member, name: &str) -> Value {
    let members = viewer.run(&["members"]).ok().records();
    members.into_iter().find(|member| member["name"] == name).unwrap_or_else(|| panic!("{name} is in the list"))
}

/// The status of a member's devices that are there.
fn connected(member: &Value) -> Vec<String> {
    let devices = member["device_list"].as_array().unwrap();
    let mut states: Vec<String> =
        devices.iter().map(|device| text(device, "status")).filter(|status| status != "offline").collect();
    states.sort_unstable();
    states
}

#[test]
fn a_screen_is_online_until_its_keys_rest_and_again_with_the_next_and_a_seed_box_is_away() {
    let tracker = Tracker::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Member::new(&tracker, name));
    let _bob = bob.engine();
    let _alice = alice.engine();
    assert_eq!(text(&seen(&bob, "alice"), "status"), "away");
    let mut watch = bob.start(&["events"]);
    let mut hears = |status: &str| {
        watch.line(&format!("alice {status}"), |line| {
            line.contains("\"alice\"") && line.contains(&format!("\"{status}\""))
        });
    };
    let screen = Screen::start(100, 30, &alice, "SWAPMEET_AWAY_AFTER=3s \"$SWAPMEET\"");
    screen.wait_for("online");
    hears("online");
    assert_eq!(connected(&seen(&bob, "alice")), ["online"]);
    hears("away");
    screen.wait_for("online, away");
    assert!(seen(&bob, "alice")["last_seen"].is_string(), "it is known when she was there");
    screen.keys(&["Down"]);
    hears("online");
    screen.type_text(":away");
    screen.keys(&["Enter"]);
    hears("away");
    screen.type_text(":back");
    screen.keys(&["Enter"]);
    hears("online");
    // A second device where nobody sits changes nothing; when the first one leaves, it does.
    let laptop = alice.second_device(&tracker);
    let _laptop = laptop.engine();
    hears("away");
    screen.keys(&["Down"]);
    hears("online");
    screen.type_text("q");
    hears("away");
    assert_eq!(connected(&seen(&bob, "alice")), ["away", "away"]);
}

#[test]
fn a_stopped_laptop_goes_and_comes_back_and_a_killed_one_goes_without_a_ghost() {
    let tracker = Tracker::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Member::new(&tracker, name));
    let _bob = bob.engine();
    let mut watch = bob.start(&["events"]);
    let mut hears = |status: &str| {
        watch.line(&format!("alice {status}"), |line| {
            line.contains("\"alice\"") && line.contains(&format!("\"{status}\""))
        });
    };
    let engine = alice.engine();
    hears("away");
    let stopped = Instant::now();
    engine.process().signal(Signal::STOP);
    hears("offline");
    assert!(stopped.elapsed() < Duration::from_secs(50), "it took {:?}", stopped.elapsed());
    assert_eq!(connected(&seen(&bob, "alice")), Vec::<String>::new());
    engine.process().signal(Signal::CONT);
    hears("away");
    assert_eq!(connected(&seen(&bob, "alice")), ["away"], "one session, not two");
    engine.kill();
    hears("offline");
    let gone = seen(&bob, "alice");
    assert_eq!((connected(&gone), gone["devices"].as_u64()), (Vec::new(), Some(0)));
    // Whoever came and went is among those who were here.
    let since = |time: &str| -> Vec<String> {
        let members = bob.run(&["members", "--since", time]).ok().records();
        members.iter().map(|member| text(member, "name")).collect()
    };
    assert!(since("1h").contains(&"alice".to_owned()));
}

#[test]
fn a_clock_that_jumps_makes_no_ghost_and_cuts_nobody_off() {
    let tracker = Tracker::start();
    let [mut alice, bob] = ["alice", "bob"].map(|name| Member::new(&tracker, name));
    let clock = alice.home().join("clock");
    let variables = clock_at(&clock).into_iter().map(|(name, value)| (leak(name), leak(value)));
    alice.variables.extend(variables);
    let _engines = [alice.engine(), bob.engine()];
    for (round, jump) in ["+3h", "-3h", "+0"].into_iter().enumerate() {
        set(&clock, jump);
        let name = format!("written at {jump}.bin");
        let original = alice.write(&name, corpus::bytes(round as u64, 400_000));
        let id = alice.share(&[&original], &[]);
        let transfer = bob.run(&["get", &id]).ok().one("transfer");
        assert_eq!(fs::read(text(&transfer, "path")).unwrap(), fs::read(&original).unwrap());
        let back =
            bob.share(&[&bob.write(&format!("answer to {name}"), corpus::bytes(round as u64 + 9, 400_000))], &[]);
        alice.run(&["get", &back]).ok();
        let asked = format!("is it {jump}");
        bob.run(&["chat", "send", "alice", &asked]).ok();
        let deadline = Instant::now() + PATIENCE;
        while !alice.run(&["chat", "read", "bob"]).ok().stdout.contains(&asked) {
            assert!(Instant::now() < deadline, "no message at {jump}");
        }
        let there = seen(&bob, "alice");
        assert_eq!((connected(&there), there["devices"].as_u64()), (vec!["away".to_owned()], Some(1)), "{there}");
    }
}

#[test]
fn a_tracker_whose_clock_is_set_gives_grants_that_count() {
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("clock");
    let tracker = Tracker::start_under(&clock_at(&clock));
    let [alice, bob] = ["alice", "bob"].map(|name| Member::new(&tracker, name));
    let _engine = alice.engine();
    let narrowed = alice.share(&[&alice.write("narrowed.bin", corpus::bytes(1, 400_000))], &[]);
    // Further ahead than ten minutes certificates of newcomers would not be valid yet.
    for (round, jump) in ["+9m", "-20m", "+0"].into_iter().enumerate() {
        // What is decided anew about who may fetch is dated by the tracker's clock too.
        let to = if round % 2 == 0 { "bob" } else { "bob,alice" };
        alice.run(&["edit", &narrowed, "--to", "alice"]).ok();
        alice.run(&["edit", &narrowed, "--to", to]).ok();
        set(&clock, jump);
        let original = alice.write(&format!("at {jump}.bin"), corpus::bytes(round as u64 + 20, 400_000));
        let id = alice.share(&[&original], &[]);
        let transfer = bob.run(&["get", &id]).ok().one("transfer");
        assert_eq!(fs::read(text(&transfer, "path")).unwrap(), fs::read(&original).unwrap());
        bob.run(&["get", &narrowed, "--from", "peer", "-o", &format!("again {jump}.bin")]).ok();
    }
}

/// What shows a program the clock in a file. Only the one on the wall; the one that counts up is the kernel's.
fn clock_at(file: &Path) -> [(String, String); 4] {
    fs::write(file, "+0").unwrap();
    [
        ("LD_PRELOAD", faketime()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}

/// Sets such a clock, in one step.
fn set(file: &Path, to: &str) {
    let next = file.with_extension("next");
    fs::write(&next, to).unwrap();
    fs::rename(&next, file).unwrap();
}

/// The library that shows a program another clock. `tests/run` installs it.
fn faketime() -> String {
    let of_this_machine = fs::read_dir("/usr/lib").unwrap().flatten();
    let library = of_this_machine.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let found = library.into_iter().find(|path| path.exists());
    found.expect("the Debian package faketime is installed").display().to_string()
}

/// For the variables of a member, which live as long as the test.
fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

#[test]
fn who_was_here_is_known_after_the_tracker_was_killed_too() {
    let mut tracker = Tracker::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Member::new(&tracker, name));
    let stranger = Member::new(&tracker, "carol");
    let engine = alice.engine();
    assert_eq!(text(&seen(&bob, "alice"), "status"), "away");
    engine.kill();
    tracker.kill();
    tracker.restart();
    let alice = seen(&bob, "alice");
    assert_eq!(text(&alice, "status"), "offline");
    assert!(alice["last_seen"].is_string(), "{alice}");
    drop(stranger);
}

#[test]
fn a_device_that_was_not_used_for_long_signs_in_by_password_and_is_told_why() {
    let mut tracker = Tracker::start_with(&["--sign-out-after", "1s"]);
    let alice = Member::new(&tracker, "alice");
    // A restart takes longer than the time that a device may be away.
    let registered = Instant::now();
    loop {
        tracker.restart();
        if registered.elapsed() > Duration::from_secs(2) {
            break;
        }
    }
    let failure = alice.run(&["ls"]).fails(3);
    assert!(text(&failure, "message").contains("was not used for 1 second or more"), "{failure}");
    let input = PASSWORD.as_bytes();
    alice.run_with_input(&["login", "alice", "--tracker", &tracker.link, "--password-stdin"], input).ok();
}
