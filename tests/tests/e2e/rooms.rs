//! Rooms of the chat in the screen: cards of what is offered in a conversation, and private channels.

use rustix::process::{Pid, Signal, kill_process};
use tests::{Member, Screen, Tracker, corpus, tree};

use crate::channels::holds;

struct Two {
    tracker: Tracker,
    alice: Member,
    bob: Member,
}

impl Two {
    fn new() -> Self {
        let tracker = Tracker::start();
        let [alice, bob] = ["alice", "bob"].map(|name| Member::new(&tracker, name));
        Self { tracker, alice, bob }
    }

    /// Both look at their screens.
    fn screens(&self) -> (Screen, Screen) {
        let alice = Screen::client(120, 36, &self.alice);
        let bob = Screen::client(80, 24, &self.bob);
        for screen in [&alice, &bob] {
            screen.wait_for("online");
        }
        // Each knows the other.
        alice.wait_for("4 Members (2)");
        bob.wait_for("4 Members(2)");
        (alice, bob)
    }
}

/// Goes to the conversation with a member.
fn go_to(screen: &Screen, member: &str) {
    screen.type_text(&format!("4/{member}"));
    screen.keys(&["Enter"]);
    screen.wait_until("the member, alone", |shown| shown.contains(&format!("> {member}")) && !shown.contains("(you)"));
    screen.type_text("m");
    screen.wait_for("write >");
}

/// Quits, once what was sent is no longer counted as under way.
fn leave(screen: &Screen) {
    screen.wait_until("no transfer under way", |shown| !shown.contains("Transfers (") && !shown.contains("Xfer("));
    screen.type_text("q");
    screen.wait_for("[script ended: 0]");
}

#[test]
fn a_file_dropped_into_a_conversation_is_a_card_on_both_sides_and_lands() {
    let two = Two::new();
    let original = two.alice.write("the film.mkv", corpus::bytes(41, 3_000_000));
    let (alice, bob) = two.screens();
    go_to(&alice, "bob");
    // What is no path of something that is there stays text.
    alice.paste("/no/such/film.mkv");
    alice.wait_for("write > /no/such/film.mkv");
    alice.keys(&["C-u"]);
    alice.paste(&format!("'{}' ", original.display()));
    alice.wait_for("Offer the film.mkv (2.86 MiB) to bob?");
    alice.type_text("y");
    alice.wait_for("waiting: bob has not answered");

    bob.wait_for("alice offers you the film.mkv");
    bob.type_text("5");
    bob.wait_until("the room with a card", |shown| {
        shown.contains("[file] the film.mkv  2.86 MiB") && shown.contains("waits for your answer")
    });
    bob.type_text("l");
    bob.wait_for("a accept");
    bob.keys(&["Enter"]);
    bob.wait_for("Accept");
    bob.wait_until("the file and the room there is", |shown| shown.contains("[x]") && shown.contains(" free)"));
    bob.type_text("y");
    bob.wait_for("done: verified and here");
    alice.wait_for("done: bob has it");
    tree::assert_same(&original, &two.bob.downloads().join("the film.mkv"));

    // Another way to say it, and a no to it.
    let second = two.alice.write("second.bin", corpus::bytes(42, 5_000));
    alice.keys(&["Escape"]);
    alice.type_text(&format!(":offer {}", second.display()));
    alice.keys(&["Enter"]);
    bob.wait_for("[file] second.bin");
    bob.type_text("j");
    bob.wait_for("x decline");
    bob.type_text("x");
    bob.wait_for("Decline what alice sent?");
    bob.type_text("not that one");
    bob.keys(&["Enter"]);
    bob.wait_for("declined by you: \"not that one\"");
    alice.wait_for("declined by bob: \"not that one\"");
    assert!(!two.bob.downloads().join("second.bin").exists());
    bob.keys(&["Escape"]);
    leave(&bob);
    leave(&alice);
}

/// The key words that a screen shows.
fn key_words(screen: &Screen) -> String {
    let shown = screen.wait_for("key words: ");
    // Beside the rooms, on as many lines as they need.
    let beside = shown.lines().map(|line| line.split_once('│').map_or(line, |(_, right)| right)).collect::<Vec<_>>();
    let words = beside.join(" ");
    let words = words.split_once("key words: ").unwrap().1.split_whitespace().take(6).collect::<Vec<_>>();
    assert!(words.iter().all(|word| word.len() > 2 && word.chars().all(|c| c.is_ascii_lowercase())), "{words:?}");
    words.join(" ")
}

/// Alice invites bob, who accepts in the inbox.
fn open(alice: &Screen, bob: &Screen) {
    alice.type_text(":channel bob");
    alice.keys(&["Enter"]);
    alice.wait_for("bob is invited");
    bob.wait_for("alice invites you to a private channel");
    bob.type_text("3");
    bob.wait_for("a accept");
    bob.type_text("a");
    bob.wait_for("Open a private channel with alice?");
    bob.type_text("y");
    for screen in [alice, bob] {
        screen.wait_for("encrypted · kept nowhere");
    }
    assert_eq!(key_words(alice), key_words(bob));
}

#[test]
fn two_screens_talk_in_private_and_hand_each_other_a_file_and_one_leaves() {
    let two = Two::new();
    let original = two.bob.write("tapes.bin", corpus::bytes(43, 2_000_000));
    let (alice, bob) = two.screens();
    open(&alice, &bob);
    alice.wait_for("bob (private)");
    alice.type_text("ithe unmistakable word");
    alice.keys(&["Enter"]);
    alice.wait_for("delivered");
    bob.wait_for("the unmistakable word");
    bob.type_text("iheard");
    bob.keys(&["Enter"]);
    alice.wait_for("heard");
    // A draft is kept nowhere either.
    alice.type_text("an unmistakable thought");
    alice.keys(&["Escape"]);

    bob.paste(&format!("file://{}", original.display()));
    bob.wait_for("Offer tapes.bin (1.91 MiB) to alice?");
    bob.type_text("y");
    alice.wait_for("[file] tapes.bin");
    alice.type_text("l");
    alice.keys(&["Enter"]);
    alice.wait_for("Take what bob offers?");
    alice.type_text("y");
    alice.wait_for("done: verified and here");
    bob.wait_for("done: alice has it");
    tree::assert_same(&original, &two.alice.downloads().join("tapes.bin"));
    for place in [two.tracker.data(), two.alice.home().join("state"), two.bob.home().join("state")] {
        assert!(!holds(&place, "unmistakable"), "{} holds what was said", place.display());
    }

    bob.keys(&["Escape"]);
    bob.type_text("x");
    bob.wait_for("Leave the private channel with alice?");
    bob.type_text("y");
    bob.wait_for("The channel has ended: left.");
    alice.wait_for("The channel has ended: bob left.");
    alice.keys(&["Escape"]);
    alice.type_text("x");
    alice.wait_for("Close the room?");
    alice.type_text("y");
    alice.wait_until("no private room", |shown| !shown.contains("(private)"));
    leave(&alice);
    leave(&bob);
}

#[test]
fn a_no_a_quit_and_a_kill_each_end_a_channel_with_a_clear_line() {
    let two = Two::new();
    let (alice, bob) = two.screens();
    alice.type_text(":channel bob");
    alice.keys(&["Enter"]);
    bob.wait_for("alice invites you to a private channel");
    bob.type_text("3x");
    bob.wait_for("Decline what alice sent?");
    bob.keys(&["Enter"]);
    alice.wait_for("The channel has ended: bob declined.");
    bob.wait_until("nothing to answer any more", |shown| !shown.contains("alice invites you"));

    open(&alice, &bob);
    bob.type_text("q");
    bob.wait_for("1 private channel ends");
    bob.type_text("y");
    bob.wait_for("[script ended: 0]");
    alice.wait_for("The channel has ended: bob left.");

    // Over the engine in the background, whose end is that of the channel.
    let engine = two.bob.engine();
    let bob = Screen::client(80, 24, &two.bob);
    bob.wait_for("online");
    open(&alice, &bob);
    kill_process(Pid::from_raw(engine.pid().try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
    alice.wait_for("bob is gone without a goodbye");
    bob.wait_for("The channel has ended");
    leave(&alice);
}
