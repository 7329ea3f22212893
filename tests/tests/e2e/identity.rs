//! Who is who: pinning, keys, and presence.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use tests::{
    Engine, Member, PATIENCE, Running, Tracker,
    member::{PASSWORD, text},
};

#[test]
fn a_tracker_with_another_identity_is_refused_with_both_values_shown() {
    let tracker = Tracker::start();
    let impostor = Tracker::start();
    let link = tracker.link.replace(&tracker.address.to_string(), &impostor.address.to_string());
    let mut stranger = Member::stranger(&impostor, "alice");
    stranger.link = link;
    let output = stranger.register("alice", PASSWORD);
    assert!([3, 8].contains(&output.code), "{output}");
    let error = output.error();
    let said = format!("{} {}", text(&error, "message"), text(&error, "hint")).replace(['-', ':', ' '], "");
    for fingerprint in [tracker.fingerprint(), impostor.fingerprint()] {
        assert!(said.contains(&fingerprint.replace('-', "")), "{fingerprint} is not shown: {output}");
    }
}

#[test]
fn a_member_stays_signed_in_by_key_after_everything_restarted() {
    let mut tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    let before = text(&alice.run(&["whoami"]).ok().one("account"), "device");
    assert_eq!(tracker.stop(), Some(0));
    tracker.restart();
    let status = alice.run(&["status"]).ok().one("status");
    assert_eq!(text(&status, "connection"), "online");
    assert_eq!(text(&alice.run(&["whoami"]).ok().one("account"), "device"), before);
}

#[test]
fn who_signed_out_needs_the_password_again() {
    let tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    alice.run(&["logout"]).ok();
    alice.run(&["ls"]).fails(3);
    alice.run_with_input(&["login", "alice", "--tracker", &tracker.link, "--password-stdin"], PASSWORD.as_bytes()).ok();
    alice.run(&["ls"]).ok();
}

#[test]
fn keys_are_readable_by_their_owner_only() {
    let tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    for folder in [tracker.data(), alice.home().join("state")] {
        let mut keys = 0;
        for (path, _) in tests::tree::files(&folder) {
            let bytes = fs::read(folder.join(&path)).unwrap();
            let secret = bytes.windows(12).any(|window| window == b"PRIVATE KEY-");
            if secret {
                keys += 1;
                let mode = fs::metadata(folder.join(&path)).unwrap().permissions().mode() & 0o777;
                assert_eq!(mode, 0o600, "{}", path.display());
            }
        }
        assert!(keys > 0, "no key below {}", folder.display());
    }
}

#[test]
fn who_leaves_is_offline_at_once() {
    let tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    let bob = Member::new(&tracker, "bob");
    let mut watch = Watch::start(&bob);
    let engine = alice.engine();
    watch.wait_for("alice", "away");
    let stopped = Instant::now();
    engine.stop();
    watch.wait_for("alice", "offline");
    assert!(stopped.elapsed() < Duration::from_secs(25), "a goodbye is not waited out like a silence");
}

#[test]
fn who_is_killed_is_offline_within_45_seconds() {
    let tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    let bob = Member::new(&tracker, "bob");
    let mut watch = Watch::start(&bob);
    let engine = alice.engine();
    watch.wait_for("alice", "away");
    let killed = Instant::now();
    engine.kill();
    watch.wait_for("alice", "offline");
    assert!(killed.elapsed() < Duration::from_secs(45), "it took {:?}", killed.elapsed());
}

#[test]
fn a_closed_tracker_registers_nobody() {
    let tracker = Tracker::start_with(&["--registration", "closed"]);
    let output = Member::stranger(&tracker, "alice").register("alice", PASSWORD);
    assert!([3, 8].contains(&output.code), "{output}");
}

#[test]
fn guessing_a_password_does_not_lock_out_the_device_that_is_signed_in() {
    let tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    let stranger = Member::stranger(&tracker, "x");
    for _ in 0..6 {
        let output = stranger
            .run_with_input(&["login", "alice", "--tracker", &tracker.link, "--password-stdin"], b"wrong guess");
        assert!([3, 8].contains(&output.code), "{output}");
    }
    alice.run(&["ls"]).ok();
}

/// A member's view of who comes and goes.
struct Watch<'a> {
    member: &'a Member,
    _engine: Engine,
    events: Running,
}

impl<'a> Watch<'a> {
    fn start(member: &'a Member) -> Self {
        let engine = member.engine();
        Self { member, _engine: engine, events: member.start(&["events", "--type", "member_changed"]) }
    }

    /// Looks whenever something changed.
    fn wait_for(&mut self, name: &str, status: &str) {
        let deadline = Instant::now() + PATIENCE;
        while status_of(self.member, name) != status {
            assert!(Instant::now() < deadline, "{name} is not {status}");
            let _news = self.events.next_line(Duration::from_secs(1));
        }
    }
}

fn status_of(member: &Member, name: &str) -> String {
    let members = member.run(&["members"]).ok().records();
    let found = members.iter().find(|record| record["name"] == name).unwrap();
    text(found, "status")
}
