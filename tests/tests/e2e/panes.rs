//! Inbox and chat in the screen: two people answer and write to each other with keys alone.

use std::time::Instant;

use serde_json::Value;
use tests::{
    Member, PATIENCE, Screen, Tracker, corpus,
    member::{record, text},
    tree,
};

use crate::get::Pair;

/// Waits until a member sees an item in this state.
fn wait_for_state(member: &Member, id: &str, state: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let items = member.run(&["inbox", "ls", "--all"]).ok().records();
        match items.into_iter().find(|item| item["id"] == id) {
            Some(item) if item["state"] == state => return item,
            last => assert!(Instant::now() < deadline, "not {state}: {last:?}"),
        }
    }
}

#[test]
fn an_offer_is_looked_at_accepted_in_part_and_lands() {
    let pair = Pair::start();
    let folder = pair.alice.desk().join("photos");
    for (seed, name) in [(31, "one.bin"), (32, "two.bin"), (33, "three.bin")] {
        pair.alice.write(&format!("photos/{name}"), corpus::bytes(seed, 3000));
    }
    let screen = Screen::client(80, 24, &pair.bob);
    screen.wait_for("online");
    let offer = text(&pair.alice.run(&["offer", folder.to_str().unwrap(), "bob"]).ok().one("item"), "id");
    screen.wait_for("alice offers you photos/ (3 files)");
    screen.wait_for("3 Inbox(1!)");
    screen.type_text("3");
    screen.wait_for("a accept");
    screen.type_text("a");
    let shown = screen.wait_until("the files, the room and the target", |shown| {
        shown.matches("[x] photos/").count() == 3 && shown.contains(" free)") && shown.contains("t: another folder")
    });
    let left_out = shown.lines().find(|line| line.contains("> [x] photos/")).unwrap();
    let left_out = left_out.split_once("photos/").unwrap().1.split_whitespace().next().unwrap().to_owned();
    screen.type_text(" ");
    screen.wait_for("2 of 3 files");
    screen.type_text("y");
    wait_for_state(&pair.alice, &offer, "fulfilled");
    let target = pair.bob.downloads().join("photos");
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name();
        if name.to_str() == Some(left_out.as_str()) {
            assert!(!target.join(name).exists(), "what was left out came");
        } else {
            tree::assert_same(&folder.join(&name), &target.join(&name));
        }
    }
    screen.type_text("]]");
    screen.wait_for("fulfilled");
    screen.type_text("q");
    screen.wait_for("[script ended: 0]");
}

#[test]
fn requests_are_approved_declined_with_a_word_and_made_in_the_screen() {
    let pair = Pair::start();
    let original = pair.alice.write("plan.bin", corpus::bytes(32, 300_000));
    pair.alice.share(&[&original], &["--visibility", "ask"]);
    let bob = Screen::client(80, 24, &pair.bob);
    bob.wait_for("plan.bin");
    bob.type_text("d");
    bob.wait_for("alice decides who fetches");
    bob.type_text("for the talk");
    bob.keys(&["Enter"]);
    let alice = Screen::client(80, 24, &pair.alice);
    alice.wait_for("3 Inbox(1!)");
    alice.type_text("3");
    alice.wait_for("the note: \"for the talk\"");
    alice.type_text("a");
    alice.wait_for("Let bob fetch it?");
    alice.type_text("y");
    bob.wait_until("the file", |_| pair.bob.downloads().join("plan.bin").exists());
    tree::assert_same(&original, &pair.bob.downloads().join("plan.bin"));
    alice.wait_for("Nothing waits for you.");

    bob.type_text(":request --of alice the raw tapes");
    bob.keys(&["Enter"]);
    alice.wait_for("bob asks you: \"the raw tapes\"");
    alice.type_text("x");
    alice.wait_for("Decline what bob sent?");
    alice.type_text("not before Friday");
    alice.keys(&["Enter"]);
    bob.type_text("3]]");
    bob.wait_for("declined");
    bob.type_text("g");
    bob.wait_for("the answer: \"not before Friday\"");
    // It was said when it came; what comes after it takes its place in the row, so it is read in the log.
    bob.type_text("!");
    bob.wait_for("alice declines: \"not before Friday\"");
}

#[test]
fn a_message_goes_from_screen_to_screen_and_back_and_hostile_text_is_shown_as_marks() {
    let tracker = Tracker::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Member::new(&tracker, name));
    let left = Screen::client(80, 24, &alice);
    left.wait_for("online");
    let right = Screen::client(80, 24, &bob);
    right.wait_for("online");
    left.type_text("4/bob");
    left.keys(&["Enter"]);
    left.wait_until("bob, alone", |shown| shown.contains("> bob") && !shown.contains("alice (you)"));
    left.type_text("m");
    left.wait_for("write >");
    left.type_text("the rushes");
    left.keys(&["M-Enter"]);
    left.type_text("are up");
    left.keys(&["C-j"]);
    left.type_text("at last");
    left.keys(&["Enter"]);
    let shown = right.wait_for("message from alice");
    assert!(!shown.contains("rushes"), "a notice tells nothing of it: {shown}");
    right.wait_for("5 Chat(1)");
    right.type_text("5");
    right.wait_until("the message, in three lines, as new", |shown| {
        ["the rushes", "are up", "at last", " new "].iter().all(|wanted| shown.contains(wanted))
    });
    left.wait_for("delivered");
    // Read after a while at its end, and counted no longer.
    right.wait_until("nothing unread", |shown| shown.contains("5 Chat]"));
    right.type_text("ithanks");
    right.keys(&["Enter"]);
    left.wait_for("thanks");
    right.keys(&["Escape"]);
    left.keys(&["Escape"]);
    left.wait_for("i write");
    bob.run(&["chat", "send", "alice", "\u{1b}[31mred\u{202e}evil"]).ok();
    let shown = left.wait_for("U+202E");
    assert!(shown.contains("ESC") && !shown.contains('\u{202e}') && !shown.contains('\u{1b}'), "{shown}");
    for screen in [&left, &right] {
        screen.type_text("q");
        screen.wait_for("[script ended: 0]");
    }
}

#[test]
fn the_bell_rings_when_nobody_looks() {
    let tracker = Tracker::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Member::new(&tracker, name));
    let mut follow = bob.start(&["chat", "follow"]);
    let screen = Screen::start(80, 24, &bob, "SWAPMEET_NOTICES=bell \"$SWAPMEET\"");
    screen.wait_for("online");
    alice.run(&["chat", "send", "bob", "while you look"]).ok();
    screen.wait_for("message from alice");
    assert_eq!(screen.show("#{window_bell_flag}"), "0");
    // What a terminal says when its window loses the focus.
    screen.keys(&["-H", "1b", "5b", "4f"]);
    alice.run(&["chat", "broadcast", "while you do not"]).ok();
    follow.line("the message", |line| record(line).is_some_and(|record| record["text"] == "while you do not"));
    screen.wait_until("the bell", |_| screen.show("#{window_bell_flag}") == "1");
    screen.type_text("q");
    screen.wait_for("[script ended: 0]");
}
