//! Accounts: sign-in that holds, recovery, devices that are signed out, invitations, locked members.

use std::{process::Command, time::Instant};

use serde_json::Value;
use tests::{
    Member, Output, PATIENCE, Running, Screen, Tracker, corpus,
    member::{PASSWORD, number, record, text},
};

const NEW_PASSWORD: &str = "another long one";

fn login(device: &Member, name: &str, password: &str) -> Output {
    device.run_with_input(&["login", name, "--tracker", &device.link, "--password-stdin"], password.as_bytes())
}

fn recover(device: &Member, name: &str, code: &str, password: &str) -> Output {
    let input = format!("{code}\n{password}\n");
    device.run_with_input(&["recover", name, "--tracker", &device.link, "--password-stdin"], input.as_bytes())
}

/// Waits until the engine of a device says this of its connection.
fn wait_for_connection(device: &Member, wanted: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = device.run(&["status"]).one("status");
        if text(&status, "connection") == wanted {
            return status;
        }
        assert!(Instant::now() < deadline, "not {wanted}: {status}");
    }
}

/// Waits until the engine of a member has ended its connections with a device that was signed out.
fn lets_go(member: &Member) {
    let mut log = Running::start(Command::new("tail").args(["-n", "+1", "-F"]).arg(member.log()), b"");
    log.line("a connection that ends", |line| line.contains("a device was signed out: its connections end"));
}

#[test]
fn a_forgotten_password_is_reset_by_the_recovery_code_once() {
    let tracker = Tracker::start();
    let alice = Member::stranger(&tracker, "alice");
    let code = text(&alice.register("alice", PASSWORD).ok().one("recovery"), "code");
    let phone = Member::stranger(&tracker, "alice");
    let wrong = format!("{}{}", if code.starts_with('a') { 'b' } else { 'a' }, &code[1..]);
    recover(&phone, "alice", &format!("{wrong}x"), NEW_PASSWORD).fails(2);
    assert_eq!(recover(&phone, "alice", &wrong, NEW_PASSWORD).fails(3)["code"], "unauthenticated");
    assert_eq!(recover(&phone, "nobody", &code, NEW_PASSWORD).fails(3)["code"], "unauthenticated");
    let recovered = recover(&phone, "alice", &code.to_uppercase().replace('-', " "), NEW_PASSWORD).ok();
    assert_eq!(text(&recovered.one("account"), "name"), "alice");
    let next = text(&recovered.one("recovery"), "code");
    assert_ne!(next, code);
    // Whoever was signed in stays so; the old password and the used code are worth nothing.
    alice.run(&["ls"]).ok();
    let other = Member::stranger(&tracker, "alice");
    recover(&other, "alice", &code, PASSWORD).fails(3);
    login(&other, "alice", PASSWORD).fails(3);
    login(&other, "alice", NEW_PASSWORD).ok();
}

#[test]
fn a_password_an_address_and_a_recovery_code_are_changed_by_who_knows_the_password() {
    let tracker = Tracker::start();
    let alice = Member::stranger(&tracker, "alice");
    let first = text(&alice.register("alice", PASSWORD).ok().one("recovery"), "code");
    let laptop = alice.second_device(&tracker);
    let change = |old: &str, new: &str| {
        alice.run_with_input(&["password", "--password-stdin"], format!("{old}\n{new}\n").as_bytes())
    };
    assert_eq!(change("not the password", NEW_PASSWORD).fails(3)["code"], "unauthenticated");
    change(PASSWORD, "short").fails(2);
    change(PASSWORD, NEW_PASSWORD).ok();
    laptop.run(&["ls"]).ok();
    login(&Member::stranger(&tracker, "x"), "alice", PASSWORD).fails(3);

    let email = |arguments: &[&str], password: &str| {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--password-stdin"]).collect();
        alice.run_with_input(&arguments, password.as_bytes())
    };
    email(&["email", "alice@example.org"], PASSWORD).fails(3);
    email(&["email", "no address"], NEW_PASSWORD).fails(2);
    email(&["email", "alice@example.org"], NEW_PASSWORD).ok();
    assert_eq!(tracker.administer(&["member", "ls"])[0]["email"], "alice@example.org");
    email(&["email", "--none"], NEW_PASSWORD).ok();
    assert!(tracker.administer(&["member", "ls"])[0]["email"].is_null());

    let made = alice.run_with_input(&["password", "--recovery", "--password-stdin"], NEW_PASSWORD.as_bytes()).ok();
    let second = text(&made.one("recovery"), "code");
    let stranger = Member::stranger(&tracker, "alice");
    recover(&stranger, "alice", &first, PASSWORD).fails(3);
    recover(&stranger, "alice", &second, PASSWORD).ok();
}

#[test]
fn a_device_that_is_signed_out_is_cut_off_in_the_middle_of_a_transfer() {
    const SIZE: u64 = 64 << 20;
    let tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    let original = alice.desk().join("film.bin");
    corpus::large_file(&original, 71, SIZE);
    let id = alice.share(&[&original], &[]);
    alice.run(&["limit", "up", "2MiB", "--lan"]).ok();
    let _seeder = alice.engine();

    let bob = Member::new(&tracker, "bob");
    let stolen = bob.second_device(&tracker);
    let device = text(&stolen.run(&["whoami"]).ok().one("account"), "device");
    let _engine = stolen.engine();
    let _get = stolen.start(&["get", &id]);
    let mut watch = stolen.start(&["transfers", "watch"]);
    watch.line("progress", |line| record(line).is_some_and(|record| number(&record, "bytes_peer") > 0));

    let here = bob.run(&["devices"]).ok();
    let devices: Vec<_> = here.records().into_iter().filter(|record| record["type"] == "device").collect();
    let states: Vec<_> = devices.iter().map(|device| (&device["here"], &device["online"])).collect();
    assert_eq!(states, [(&Value::Bool(true), &Value::Bool(true)), (&Value::Bool(false), &Value::Bool(true))]);
    let count = bob.run(&["devices", "revoke", &device[..8]]).ok().one("revoked");
    assert_eq!(number(&count, "count"), 1);

    wait_for_connection(&stolen, "offline");
    let done = || {
        let rows = stolen.run(&["transfers", "ls"]).ok().records();
        rows.iter().find(|row| row["type"] == "transfer").map(|row| number(row, "done"))
    };
    // Nothing comes any more, and nobody takes the device back by its key.
    let after = done();
    assert!(after.is_some_and(|done| done < SIZE), "{after:?}");
    stolen.run(&["ls"]).fails(3);
    assert_eq!(done(), after);
    bob.run(&["devices", "revoke", &device[..8]]).fails(4);
    // With the password it counts again, and goes on where it was cut off.
    login(&stolen, "bob", PASSWORD).ok();
    alice.run(&["limit", "up", "0", "--lan"]).ok();
    let transfer = stolen.run_within(PATIENCE, &["get", &id], b"").ok().one("transfer");
    assert_eq!(number(&transfer, "size"), SIZE);
}

#[test]
fn wrong_passwords_have_to_wait_while_everybody_else_goes_on() {
    let tracker = Tracker::start_with(&["--sign-in-free-tries", "3", "--sign-in-delay", "40s"]);
    let alice = Member::new(&tracker, "alice");
    let bob = Member::new(&tracker, "bob");
    let stranger = Member::stranger(&tracker, "x");
    let told: Vec<Value> = (0..3).map(|_| login(&stranger, "alice", "a wrong guess").fails(3)).collect();
    let unknown = login(&stranger, "nobody here", "a wrong guess").fails(3);
    for error in &told {
        assert_eq!(error, &unknown, "an unknown name answers like a wrong password");
    }
    // Also the right one is not looked at now.
    let error = login(&stranger, "alice", PASSWORD).fails(3);
    assert_eq!(error["code"], "wait");
    let wait = number(&error, "wait_s");
    assert!((1..=40).contains(&wait), "{error}");
    // Who is signed in is not locked out, nor is anybody else at the same address.
    alice.run(&["ls"]).ok();
    login(&stranger, "bob", PASSWORD).ok();
    drop(bob);
}

#[test]
fn whoever_guessed_before_the_tracker_restarted_waits_on() {
    let mut tracker = Tracker::start_with(&["--sign-in-free-tries", "3", "--sign-in-delay", "10m"]);
    let alice = Member::new(&tracker, "alice");
    let (stranger, bob) = (Member::stranger(&tracker, "x"), Member::new(&tracker, "bob"));
    for guesses in 1..=3 {
        assert_eq!(login(&stranger, "alice", "a wrong guess").fails(3)["code"], "unauthenticated", "{guesses}");
    }
    login(&stranger, "bob", "a wrong guess").fails(3);
    tracker.restart();
    let error = login(&stranger, "alice", PASSWORD).fails(3);
    assert_eq!(error["code"], "wait");
    assert!((1..=600).contains(&number(&error, "wait_s")), "{error}");
    // Who was wrong once has two tries left, and none counts after the right one.
    login(&stranger, "bob", "a wrong guess").fails(3);
    login(&stranger, "bob", PASSWORD).ok();
    tracker.restart();
    for _ in 0..2 {
        assert_eq!(login(&stranger, "bob", "a wrong guess").fails(3)["code"], "unauthenticated");
    }
    login(&stranger, "bob", PASSWORD).ok();
    alice.run(&["ls"]).ok();
    drop(bob);
}

#[test]
fn an_administrator_invites_from_a_device_of_its_own() {
    let tracker = Tracker::start_with(&["--registration", "invite"]);
    let first = &tracker.administer(&["invite", "new"])[0];
    let mut alice = Member::stranger(&tracker, "alice");
    alice.register("alice", PASSWORD).fails(8);
    alice.link = tracker.link.replace('#', &format!("?invite={}#", text(first, "code")));
    alice.register("alice", PASSWORD).ok();
    alice.run(&["invite", "new"]).fails(8);
    let _nothing = tracker.administer(&["member", "role", "alice", "admin"]);

    let invite = alice.run(&["invite", "new", "--uses", "1", "--expires", "1h"]).ok().one("invite");
    let mut bob = Member::stranger(&tracker, "bob");
    bob.link = text(&invite, "link");
    bob.register("bob", PASSWORD).ok();
    let mut carol = Member::stranger(&tracker, "carol");
    carol.link = text(&invite, "link");
    carol.register("carol", PASSWORD).fails(8);

    let another = alice.run(&["invite", "new"]).ok().one("invite");
    let code = text(&another, "code");
    let listed = alice.run(&["invite", "ls"]).ok().records();
    let listed: Vec<_> = listed.iter().filter(|record| record["type"] == "invite").collect();
    assert_eq!(listed.len(), 1, "a used invitation is not listed: {listed:?}");
    assert!(!text(listed[0], "code").contains(&code), "a code is shown once");
    assert!(listed[0]["link"].is_null());
    alice.run(&["invite", "revoke", &code[..4]]).ok();
    alice.run(&["invite", "revoke", &code[..4]]).fails(4);
    carol.link = text(&another, "link");
    carol.register("carol", PASSWORD).fails(8);
    bob.run(&["invite", "ls"]).fails(8);
}

#[test]
fn a_locked_member_is_signed_out_and_gets_the_answer_of_a_wrong_password() {
    let tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    let id = alice.share(&[&alice.write("small.bin", corpus::bytes(73, 300_000))], &[]);
    let _seeder = alice.engine();
    let bob = Member::new(&tracker, "bob");
    let _engine = bob.engine();
    bob.run(&["get", &id]).ok();
    let _nothing = tracker.administer(&["member", "lock", "bob"]);
    wait_for_connection(&bob, "offline");
    lets_go(&alice);
    let other = Member::stranger(&tracker, "bob");
    let right = login(&other, "bob", PASSWORD).fails(3);
    assert_eq!(right, login(&other, "bob", "a wrong guess").fails(3));
    let _nothing = tracker.administer(&["member", "unlock", "bob"]);
    login(&other, "bob", PASSWORD).ok();
}

#[test]
fn the_screen_counts_down_a_wait_shows_a_recovery_code_and_signs_devices_out() {
    let tracker = Tracker::start_with(&["--sign-in-free-tries", "1", "--sign-in-delay", "30s"]);
    let alice = Member::new(&tracker, "alice");
    let laptop = alice.second_device(&tracker);
    let stranger = Member::stranger(&tracker, "alice");
    let screen = Screen::client(80, 24, &stranger);
    screen.wait_for("Sign in");
    screen.type_text(&tracker.link);
    screen.keys(&["Tab"]);
    // Of a name of its own: guesses from one address count for one account.
    screen.type_text("carol");
    screen.keys(&["Tab"]);
    screen.type_text("a wrong guess");
    screen.keys(&["Enter"]);
    screen.wait_for("the name or the password is wrong");
    screen.keys(&["Enter"]);
    let told = |text: &str| {
        let (_, rest) = text.split_once("looked at in ")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok()
    };
    let first = told(&screen.wait_until("a wait", |text| told(text).is_some())).unwrap();
    screen.wait_until("a shorter wait", |text| told(text).is_some_and(|left| left < first));
    drop(screen);

    let there = Screen::client(80, 24, &laptop);
    there.wait_for("online");
    let screen = Screen::client(80, 24, &alice);
    screen.wait_for("online");
    screen.type_text(":devices");
    screen.keys(&["Enter"]);
    screen.wait_for("Devices (2)");
    screen.keys(&["Down", "Enter"]);
    screen.wait_for("Sign out this device");
    screen.type_text("y");
    screen.wait_for("is signed out");
    there.wait_for("signed out: this device");
    there.wait_for("Sign in");
    drop(there);
    laptop.run(&["ls"]).fails(3);
    screen.type_text(":recovery-code");
    screen.keys(&["Enter"]);
    screen.wait_for("New recovery code");
    screen.type_text(PASSWORD);
    screen.keys(&["Enter"]);
    screen.wait_for("It resets a forgotten password");
}

#[test]
fn other_members_let_go_of_a_device_that_is_signed_out() {
    let tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    let original = alice.write("small.bin", corpus::bytes(72, 300_000));
    let id = alice.share(&[&original], &[]);
    let _seeder = alice.engine();
    let bob = Member::new(&tracker, "bob");
    let stolen = bob.second_device(&tracker);
    let _engine = stolen.engine();
    stolen.run(&["get", &id]).ok();
    bob.run(&["devices", "revoke", "--others"]).ok();
    lets_go(&alice);
    let here = bob.run(&["devices"]).ok().records();
    assert_eq!(here.iter().filter(|record| record["type"] == "device").count(), 1);
}
