//! Messages: they wait for those who are away, arrive once whatever is killed in between, and only their readers can
//! read them.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;
use tests::{
    Member, PATIENCE, Running, Tracker,
    member::{record, text},
};

/// The messages that a device knows, oldest first, by who said what.
fn said(member: &Member, arguments: &[&str]) -> Vec<(String, String)> {
    let mut all = vec!["chat", "read"];
    all.extend(arguments);
    let records = member.run(&all).ok().records();
    records.iter().map(|record| (text(record, "from"), text(record, "text"))).collect()
}

fn send(from: &Member, to: &str, message: &str) -> Value {
    from.run(&["chat", "send", to, message]).ok().one("message")
}

/// Runs `chat follow` and waits until it follows: from then on nothing is missed.
fn follow(member: &Member) -> Running {
    member.start(&["chat", "follow"])
}

/// Waits for a message with this text, in a state.
fn told(follow: &mut Running, wanted: &str, state: &str) -> Value {
    let line = follow.line(&format!("{wanted:?} {state}"), |line| {
        record(line).is_some_and(|record| record["text"] == wanted && record["state"] == state)
    });
    record(&line).expect("it is a record")
}

/// Waits until a device knows a message.
fn arrives(member: &Member, wanted: &str) {
    let mut events = member.start(&["events", "--type", "message_received"]);
    let deadline = Instant::now() + PATIENCE;
    // It may have come before the events began.
    while !said(member, &[]).iter().any(|(_, text)| text == wanted) {
        assert!(Instant::now() < deadline, "{wanted:?} did not come");
        let _whichever = events.next_line(Duration::from_secs(2));
    }
}

/// Whether any file of the tracker holds these bytes.
fn tracker_holds(tracker: &Tracker, needle: &str) -> bool {
    fn search(folder: &Path, needle: &[u8]) -> bool {
        fs::read_dir(folder).expect("the tracker's folder").flatten().any(|entry| {
            let path = entry.path();
            if path.is_dir() {
                return search(&path, needle);
            }
            let bytes = fs::read(&path).unwrap_or_default();
            bytes.windows(needle.len()).any(|window| window == needle)
        })
    }
    search(&tracker.data(), needle.as_bytes())
}

fn pair(from: &str, text: &str) -> (String, String) {
    (from.to_owned(), text.to_owned())
}

#[test]
fn a_message_waits_for_a_member_who_is_away_over_a_restart_of_the_tracker_and_nobody_else_can_read_it() {
    let mut tracker = Tracker::start();
    let (alice, bob, carol) =
        (Member::new(&tracker, "alice"), Member::new(&tracker, "bob"), Member::new(&tracker, "carol"));
    let sent = send(&alice, "Bob", "  meet me at the unmistakable place \n");
    assert_eq!(
        (text(&sent, "state"), text(&sent, "room"), text(&sent, "to")),
        ("sent".into(), "bob".into(), "bob".into())
    );
    assert_eq!(text(&sent, "text"), "meet me at the unmistakable place");
    assert!(!tracker_holds(&tracker, "unmistakable"), "the tracker holds the text");
    tracker.restart();
    assert!(!tracker_holds(&tracker, "unmistakable"), "the tracker holds the text");

    let waiting = bob.run(&["chat", "read", "--unread"]).ok().one("message");
    assert_eq!((&waiting["id"], text(&waiting, "room")), (&sent["id"], "alice".into()));
    assert_eq!((text(&waiting, "state"), &waiting["unread"]), ("received".into(), &Value::Bool(true)));
    assert!(said(&bob, &["--unread"]).is_empty(), "what was printed is read");
    assert_eq!(said(&bob, &["alice"]), [pair("alice", "meet me at the unmistakable place")]);
    assert!(said(&carol, &[]).is_empty());
    // What was sent is delivered now, also for a sender that was away meanwhile.
    let mine = alice.run(&["chat", "read", "bob"]).ok().one("message");
    assert_eq!((text(&mine, "state"), &mine["id"]), ("delivered".into(), &sent["id"]));
    assert!(!tracker_holds(&tracker, "unmistakable"), "the tracker holds the text");
}

#[test]
fn members_talk_over_their_engines_and_everyone_hears_a_broadcast() {
    let tracker = Tracker::start();
    let (alice, bob, carol) =
        (Member::new(&tracker, "alice"), Member::new(&tracker, "bob"), Member::new(&tracker, "carol"));
    let (_a, _b, _c) = (alice.engine(), bob.engine(), carol.engine());
    send(&alice, "bob", "one");
    arrives(&bob, "one");
    send(&bob, "alice", "two");
    arrives(&alice, "two");
    alice.run(&["chat", "broadcast", "to all of you"]).ok();
    for member in [&bob, &carol] {
        arrives(member, "to all of you");
    }
    assert_eq!(said(&carol, &[]), [pair("alice", "to all of you")]);
    assert_eq!(said(&bob, &["alice"]), [pair("alice", "one"), pair("bob", "two")]);
    assert_eq!(said(&bob, &["#all"]), [pair("alice", "to all of you")]);
    // Nobody sees the conversation of others.
    assert_eq!(said(&alice, &["bob"]), said(&bob, &["alice"]));
    assert!(!tracker_holds(&tracker, "to all of you"));
}

#[test]
fn each_device_of_a_member_has_the_whole_conversation() {
    let tracker = Tracker::start();
    let (alice, bob) = (Member::new(&tracker, "alice"), Member::new(&tracker, "bob"));
    let (laptop, phone) = (alice.second_device(&tracker), bob.second_device(&tracker));
    send(&alice, "bob", "question");
    assert_eq!(said(&bob, &[]), [pair("alice", "question")]);
    send(&bob, "alice", "answer");
    let conversation = [pair("alice", "question"), pair("bob", "answer")];
    for device in [&alice, &bob, &laptop, &phone] {
        assert_eq!(said(device, &[]), conversation, "{}", device.name);
    }
    // On the laptop, too, the question is alice's own and has arrived.
    let own = laptop.run(&["chat", "read", "bob", "--last", "2"]).ok().records();
    assert_eq!((&own[0]["mine"], text(&own[0], "state")), (&Value::Bool(true), "delivered".into()));
    // A device that comes later knows nothing of before, and all from then on.
    let tablet = bob.second_device(&tracker);
    assert!(said(&tablet, &[]).is_empty());
    send(&alice, "bob", "more");
    assert_eq!(said(&tablet, &[]), [pair("alice", "more")]);
    // What is sealed to a device that is signed out is not waited for.
    let lost = text(&phone.run(&["whoami"]).ok().one("account"), "device");
    bob.run(&["devices", "revoke", &lost]).ok();
    assert_eq!(text(&send(&alice, "bob", "still here"), "state"), "sent");
}

#[test]
fn what_is_written_while_the_tracker_is_away_is_sent_once_it_is_back() {
    let mut tracker = Tracker::start();
    let (alice, bob) = (Member::new(&tracker, "alice"), Member::new(&tracker, "bob"));
    send(&alice, "bob", "zero");
    tracker.stop();
    // Without an engine in the background nobody would send it: the exit code says so, and the message is kept.
    let alone = alice.run(&["chat", "send", "bob", "one"]);
    assert_eq!(text(&alone.one("message"), "state"), "waiting");
    alone.fails(7);
    let engine = alice.engine_offline();
    let waits = send(&alice, "bob", "two");
    assert_eq!(text(&waits, "state"), "waiting");
    alice.run(&["chat", "send", "nobody", "hello"]).fails(7);
    // Neither a killed engine nor a restarted one loses or doubles anything.
    engine.kill();
    let engine = alice.engine_offline();
    send(&alice, "bob", "three");
    let mut followed = follow(&alice);
    tracker.restart();
    arrives_all(&bob, &["zero", "one", "two", "three"]);
    told(&mut followed, "three", "delivered");
    engine.stop();
    assert_eq!(said(&alice, &["bob"]).len(), 4);
}

/// Waits until a device knows just these messages of alice, in this order.
fn arrives_all(member: &Member, wanted: &[&str]) {
    let _engine = member.engine();
    if let Some(last) = wanted.last() {
        arrives(member, last);
    }
    let texts: Vec<String> = said(member, &["alice"]).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, wanted);
}

#[test]
fn a_kill_between_any_two_steps_neither_loses_nor_doubles_a_message() {
    let mut tracker = Tracker::start();
    let (alice, bob) = (Member::new(&tracker, "alice"), Member::new(&tracker, "bob"));
    let mut wanted = Vec::new();
    for round in 0..4 {
        let receiver = bob.engine();
        let sender = alice.engine();
        for n in 0..4 {
            let message = format!("{round}.{n}");
            send(&alice, "bob", &message);
            wanted.push(message);
        }
        // This one is under way when something is cut off, in another order each time. Its command goes on: where its
        // engine is gone it runs one itself.
        let message = format!("{round}.last");
        let sending = alice.start(&["chat", "send", "bob", &message]);
        wanted.push(message);
        match round {
            0 => {
                receiver.kill();
                sender.stop();
            }
            1 => {
                sender.kill();
                receiver.stop();
            }
            2 => {
                tracker.kill();
                receiver.kill();
                tracker.restart();
                sender.stop();
            }
            _ => {
                sender.kill();
                receiver.kill();
            }
        }
        let _sent_or_waiting = sending.finish_within(PATIENCE);
    }
    let (_sender, _receiver) = (alice.engine(), bob.engine());
    send(&alice, "bob", "end");
    wanted.push("end".to_owned());
    arrives(&bob, "end");
    let known = |member: &Member, room: &str| -> Vec<String> {
        let mut texts: Vec<String> = said(member, &[room]).into_iter().map(|(_, text)| text).collect();
        texts.sort();
        texts
    };
    let (at_alice, at_bob) = (known(&alice, "bob"), known(&bob, "alice"));
    assert_eq!(at_alice, at_bob, "what one has sent the other has, once");
    wanted.sort();
    assert_eq!(at_bob, wanted);
}

#[test]
fn one_who_floods_has_to_wait_and_nobody_else_notices() {
    let tracker = Tracker::start();
    let (alice, bob, carol) =
        (Member::new(&tracker, "alice"), Member::new(&tracker, "bob"), Member::new(&tracker, "carol"));
    let (_a, _c) = (alice.engine(), carol.engine());
    let mut followed = follow(&alice);
    send(&alice, "carol", "first");
    let flood: Vec<Running> = (0..14).map(|n| alice.start(&["chat", "broadcast", &format!("flood {n}")])).collect();
    let slowed = followed.line("a message that has to wait", |line| {
        record(line).is_some_and(|record| record["state"] == "waiting" && record["reason"].is_string())
    });
    let slowed = record(&slowed).expect("it is a record");
    assert!(text(&slowed, "reason").contains("rate_limited"), "{slowed}");
    assert_eq!(text(&send(&carol, "bob", "I notice nothing"), "state"), "sent");
    assert!(said(&bob, &["carol"]).contains(&pair("carol", "I notice nothing")));
    // They are sent by themselves when their time comes, and their commands wait for that.
    told(&mut followed, &text(&slowed, "text"), "sent");
    for sending in flood {
        let ended = sending.finish_within(PATIENCE);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    assert_eq!(said(&bob, &["#all"]).len(), 14);
}

#[test]
fn hostile_text_arrives_as_it_was_and_does_nothing() {
    let tracker = Tracker::start();
    let (alice, bob) = (Member::new(&tracker, "alice"), Member::new(&tracker, "bob"));
    let hostile = "\u{1b}]0;owned\u{7}\u{1b}[2J red \u{202e}gnp.exe\u{2066} \u{9b}31m\r\nsecond\tline {\"v\":1}";
    let piped = alice.run_with_input(&["chat", "send", "bob", "-"], hostile.as_bytes()).ok();
    assert_eq!(text(&piped.one("message"), "text"), hostile);
    assert_eq!(said(&bob, &[]), [pair("alice", hostile)]);
    let plain = bob.run_plain(&["chat", "read"]);
    assert_eq!(plain.stdout.lines().count(), 1, "{:?}", plain.stdout);
    let acts = plain.stdout.chars().filter(|c| !matches!(c, '\t' | '\n')).any(shared::show::is_hidden);
    assert!(!acts, "{:?}", plain.stdout);
    // Nothing is sent that is nothing, or too much, or for nobody.
    assert_eq!(
        alice.run_with_input(&["chat", "send", "bob", "-"], "x".repeat(10_000).as_bytes()).fails(2)["code"],
        "too_long"
    );
    assert_eq!(alice.run(&["chat", "send", "bob", &"ä".repeat(10_000)]).fails(2)["code"], "too_long");
    alice.run(&["chat", "send", "bob", " \n "]).fails(2);
    assert_eq!(alice.run(&["chat", "send", "nobody here", "hello"]).fails(4)["code"], "no_member");
    alice.run(&["chat", "send", "\u{1b}[31m", "hello"]).fails(4);
    alice.run(&["chat", "send", "alice", "hello"]).fails(2);
    let most = "y".repeat(4096);
    assert_eq!(text(&send(&alice, "bob", &most), "state"), "sent");
    assert!(said(&bob, &["--unread"]).contains(&pair("alice", &most)));
    let stranger = Member::stranger(&tracker, "x");
    stranger.run(&["chat", "send", "bob", "hello"]).fails(3);
    stranger.run(&["chat", "read"]).fails(3);
}

#[test]
fn the_key_for_messages_is_readable_by_its_owner_alone_and_no_log_tells_a_text() {
    use std::os::unix::fs::PermissionsExt as _;
    let tracker = Tracker::start();
    let (alice, bob) = (Member::new(&tracker, "alice"), Member::new(&tracker, "bob"));
    send(&alice, "bob", "unmistakable words");
    assert_eq!(said(&bob, &[]).len(), 1);
    let key = alice.home().join("state/message.key");
    assert_eq!(fs::metadata(&key).expect("there is a key").permissions().mode() & 0o777, 0o600);
    for member in [&alice, &bob] {
        let log = fs::read_to_string(member.log()).unwrap_or_default();
        assert!(!log.contains("unmistakable"), "{log}");
    }
}
