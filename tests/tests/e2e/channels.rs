//! Private channels: invited, accepted with a clear answer, straight between two devices, kept nowhere, and over when
//! either side is.

use std::{fs, path::Path, time::Instant};

use rustix::process::Signal;
use serde_json::Value;
use shared::{
    id::{BlobHash, DeviceId, ItemId},
    limits,
    wire::{
        channel::{ChannelFrame, OpenChannel},
        peer::{FetchFrame, Open, Want},
    },
};
use tests::{
    Member, PATIENCE, Running, Tracker, corpus,
    member::{number, record, text},
    net::Islands,
    wire::{Link, Puppet, read_frame, write_frame},
};

/// Waits for a record of a kind of which more is true.
fn told(running: &mut Running, kind: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
    let mut fits = |line: &str| record(line).filter(|record| record["type"] == kind && wanted(record));
    let line = running.line(kind, |line| fits(line).is_some());
    record(&line).unwrap()
}

/// Waits until a channel is open, or whatever else.
fn state(running: &mut Running, state: &str) -> Value {
    told(running, "channel", |channel| channel["state"] == state)
}

fn heard(running: &mut Running, wanted: &str) {
    told(running, "channel_message", |message| message["text"] == wanted && message["mine"] == false);
}

fn delivered(running: &mut Running, wanted: &str) {
    told(running, "channel_message", |message| message["text"] == wanted && message["state"] == "delivered");
}

/// Waits for a file of the other side in a state.
fn file(running: &mut Running, mine: bool, state: &str) -> Value {
    told(running, "channel_file", |file| file["mine"] == mine && file["state"] == state)
}

/// Alice invites Bob, who accepts.
fn opened(alice: &Member, bob: &Member) -> (Running, Running) {
    let mut inviting = alice.start_listening(&["chat", "channel", "bob"]);
    state(&mut inviting, "inviting");
    let mut accepting = bob.start_listening(&["--yes", "chat", "channel", "alice"]);
    let (here, there) = (state(&mut inviting, "open"), state(&mut accepting, "open"));
    assert_eq!(here["words"], there["words"]);
    (inviting, accepting)
}

fn ends_with(running: Running, code: i32) {
    let ended = running.finish();
    assert_eq!(ended.code, Some(code), "stdout:\n{}\nstderr:\n{}", ended.stdout, ended.stderr);
}

/// Waits until a member sees an item in this state.
fn wait_for_item(member: &Member, id: &str, state: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let items = member.run(&["inbox", "ls", "--all"]).ok().records();
        let found = items.iter().find(|item| item["id"] == id);
        if found.is_some_and(|item| item["state"] == state) {
            return;
        }
        assert!(Instant::now() < deadline, "not {state}: {found:?}");
    }
}

/// Whether any file below a folder holds these bytes.
pub(crate) fn holds(folder: &Path, needle: &str) -> bool {
    fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return holds(&path, needle);
        }
        let bytes = fs::read(&path).unwrap_or_default();
        bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
    })
}

fn two(tracker: &Tracker) -> (Member, Member) {
    (Member::new(tracker, "alice"), Member::new(tracker, "bob"))
}

#[test]
fn two_members_talk_and_hand_each_other_a_file_and_nothing_of_it_is_kept() {
    let tracker = Tracker::start();
    let (alice, bob) = two(&tracker);
    let mut inviting = alice.start_listening(&["chat", "channel", "bob"]);
    let id = text(&state(&mut inviting, "inviting"), "id");
    let mut accepting = bob.start_listening(&["chat", "channel", "alice"]);
    assert_eq!(told(&mut accepting, "item", |_| true)["id"], id);
    // Only a clear answer is one.
    for unclear in ["", "maybe", "yes please", "ny"] {
        accepting.say(unclear);
    }
    accepting.say("Y");
    let (here, there) = (state(&mut inviting, "open"), state(&mut accepting, "open"));
    assert_eq!(here["words"].as_array().map(Vec::len), Some(6), "{here}");
    assert_eq!((&here["words"], &here["id"]), (&there["words"], &there["id"]));
    assert_eq!((text(&here, "with"), text(&there, "with")), ("bob".into(), "alice".into()));
    assert!(here["path"] != "relay" && there["path"] != "relay", "{here} {there}");

    inviting.say("the unmistakable word");
    heard(&mut accepting, "the unmistakable word");
    delivered(&mut inviting, "the unmistakable word");
    accepting.say("//heard \u{1b}[31m");
    heard(&mut inviting, "/heard \u{1b}[31m");

    let original = alice.write("unmistakable.bin", corpus::bytes(21, 3_000_000));
    inviting.say(&format!("/offer {}", original.display()));
    let offered = file(&mut accepting, false, "offered");
    assert_eq!((number(&offered, "size"), text(&offered, "name")), (3_000_000, "unmistakable.bin".into()));
    accepting.say(&format!("/take {}", number(&offered, "number")));
    let fetched = file(&mut accepting, false, "fetched");
    assert_eq!(fs::read(text(&fetched, "path")).unwrap(), fs::read(&original).unwrap());
    assert_eq!(text(&fetched, "path"), bob.downloads().join("unmistakable.bin").to_string_lossy());
    file(&mut inviting, true, "fetched");
    // Small and empty ones too, the other way, into a folder.
    for (name, bytes) in [("small.txt", "few bytes"), ("empty", "")] {
        accepting.say(&format!("/offer {}", bob.write(name, bytes).display()));
        let offered = file(&mut inviting, false, "offered");
        inviting.say(&format!("/take {} -o {}/", number(&offered, "number"), alice.home().join("taken").display()));
        assert_eq!(fs::read_to_string(text(&file(&mut inviting, false, "fetched"), "path")).unwrap(), bytes);
    }
    wait_for_item(&alice, &id, "fulfilled");
    for place in [tracker.data(), alice.home().join("state"), bob.home().join("state")] {
        assert!(!holds(&place, "unmistakable"), "{} holds what was said", place.display());
    }
    accepting.say("/leave");
    assert_eq!(text(&state(&mut inviting, "ended"), "reason"), "bob left");
    ends_with(accepting, 0);
    ends_with(inviting, 0);
    let parts = fs::read_dir(bob.downloads()).unwrap().count();
    assert_eq!(parts, 1, "nothing but the file is left");
}

#[test]
fn a_no_a_silence_and_a_change_of_mind_each_end_the_invitation() {
    let tracker = Tracker::start();
    let (alice, bob) = two(&tracker);
    let invite = |arguments: &[&str]| {
        let mut inviting = alice.start_listening(&[arguments, &["chat", "channel", "bob"]].concat());
        let id = text(&state(&mut inviting, "inviting"), "id");
        (inviting, id)
    };
    let (inviting, id) = invite(&[]);
    bob.run(&["chat", "channel", "alice"]).fails(2);
    let mut asked = bob.start_listening(&["chat", "channel", "alice"]);
    asked.say("no");
    ends_with(asked, 0);
    ends_with(inviting, 8);
    wait_for_item(&bob, &id, "declined");

    let (inviting, id) = invite(&[]);
    bob.run(&["inbox", "decline", &id, "--word", "not today"]).ok();
    let ended = inviting.finish();
    assert!(ended.code == Some(8) && ended.stderr.contains("not today"), "{}", ended.stderr);

    let (inviting, id) = invite(&["--timeout", "5s"]);
    ends_with(inviting, 5);
    wait_for_item(&bob, &id, "expired");
    bob.run(&["inbox", "accept", &id]).fails(9);

    let (inviting, id) = invite(&[]);
    inviting.signal(Signal::INT);
    ends_with(inviting, 130);
    wait_for_item(&bob, &id, "cancelled");

    // Who was killed cannot take it back: who accepts then learns it.
    let (mut inviting, id) = invite(&[]);
    inviting.kill();
    let ended = bob.run(&["inbox", "accept", &id]);
    assert!(matches!(ended.code, 4 | 6 | 8), "{ended}");
    alice.run(&["chat", "channel", "nobody"]).fails(4);
    alice.run(&["chat", "channel", "alice"]).fails(2);
}

#[test]
fn who_is_killed_or_leaves_ends_the_channel_for_the_other() {
    let tracker = Tracker::start();
    let (alice, bob) = two(&tracker);
    // A command in front of an engine of its own: nobody is left to say goodbye.
    let (inviting, mut accepting) = opened(&alice, &bob);
    accepting.kill();
    ends_with(inviting, 5);
    let (mut inviting, accepting) = opened(&alice, &bob);
    inviting.kill();
    ends_with(accepting, 5);
    // A command that is attached: its engine says goodbye for it.
    let _engines = [alice.engine(), bob.engine()];
    let (mut inviting, mut accepting) = opened(&alice, &bob);
    accepting.kill();
    assert_eq!(text(&state(&mut inviting, "ended"), "reason"), "bob left");
    ends_with(inviting, 0);
    let (inviting, accepting) = opened(&alice, &bob);
    inviting.signal(Signal::TERM);
    ends_with(inviting, 130);
    ends_with(accepting, 0);
    // The end of stdin waits for what was taken, and leaves.
    let (mut inviting, mut accepting) = opened(&alice, &bob);
    let original = alice.write("late.bin", corpus::bytes(22, 2_000_000));
    inviting.say(&format!("/offer {}", original.display()));
    let offered = file(&mut accepting, false, "offered");
    accepting.say(&format!("/take {}", number(&offered, "number")));
    accepting.hush();
    ends_with(accepting, 0);
    ends_with(inviting, 0);
    assert_eq!(fs::read(bob.downloads().join("late.bin")).unwrap(), fs::read(&original).unwrap());
}

#[test]
fn two_who_invite_each_other_at_once_meet() {
    let tracker = Tracker::start();
    let (alice, bob) = two(&tracker);
    let mut ones = alice.start_listening(&["--yes", "chat", "channel", "bob"]);
    let mut others = bob.start_listening(&["--yes", "chat", "channel", "alice"]);
    let (here, there) = (state(&mut ones, "open"), state(&mut others, "open"));
    assert_eq!((&here["words"], &here["id"]), (&there["words"], &there["id"]));
    ones.hush();
    ends_with(ones, 0);
    ends_with(others, 0);
}

#[test]
fn a_channel_goes_on_without_the_tracker() {
    let mut tracker = Tracker::start();
    let (alice, bob) = two(&tracker);
    let (mut inviting, mut accepting) = opened(&alice, &bob);
    tracker.kill();
    inviting.say("still there?");
    heard(&mut accepting, "still there?");
    let original = bob.write("without.bin", corpus::bytes(23, 500_000));
    accepting.say(&format!("/offer {}", original.display()));
    let offered = file(&mut inviting, false, "offered");
    inviting.say(&format!("/take {}", number(&offered, "number")));
    let fetched = file(&mut inviting, false, "fetched");
    assert_eq!(fs::read(text(&fetched, "path")).unwrap(), fs::read(&original).unwrap());
    inviting.say("/leave");
    ends_with(inviting, 0);
    ends_with(accepting, 0);
}

#[test]
fn a_third_member_can_neither_open_a_channel_nor_fetch_what_is_offered_in_it() {
    let tracker = Tracker::start();
    let (alice, bob) = two(&tracker);
    let link = Link::parse(&tracker.link).unwrap();
    let _engine = alice.engine();
    let device: DeviceId = text(&alice.run(&["whoami"]).ok().one("account"), "device").parse().unwrap();
    let port = number(&alice.run(&["status"]).ok().one("status"), "port");
    let address = ([127, 0, 0, 1], u16::try_from(port).unwrap()).into();
    let mut inviting = alice.start_listening(&["chat", "channel", "bob"]);
    let id: ItemId = text(&state(&mut inviting, "inviting"), "id").parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mallory = runtime.block_on(async { Puppet::register(&link, "mallory").await.unwrap() });
    let refused = |item: ItemId| {
        runtime.block_on(async {
            let connection = mallory.dial(address, device).await.unwrap();
            let (mut send, mut recv) = connection.open_bi().await.unwrap();
            write_frame(&mut send, &Open::Channel(OpenChannel { item, commitment: [7; 32] })).await.unwrap();
            let answer: ChannelFrame = read_frame(&mut recv, limits::PEER_FRAME_BYTES_MAX).await.unwrap();
            assert!(matches!(answer, ChannelFrame::Refused(_)), "{answer:?}");
        });
    };
    // Whether somebody is waited for or nobody: it looks the same.
    refused(id);
    refused(ItemId([9; 16]));
    let mut accepting = bob.start_listening(&["--yes", "chat", "channel", "alice"]);
    assert_eq!(state(&mut inviting, "open")["words"], state(&mut accepting, "open")["words"]);
    refused(id);
    let original = alice.write("guarded.bin", corpus::bytes(24, 50_000));
    inviting.say(&format!("/offer {}", original.display()));
    let offered = file(&mut accepting, false, "offered");
    let blob: BlobHash = text(&offered, "hash").parse().unwrap();
    runtime.block_on(async {
        let connection = mallory.dial(address, device).await.unwrap();
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        write_frame(&mut send, &Open::Fetch).await.unwrap();
        write_frame(&mut send, &FetchFrame::Want(Want { blob, size: 50_000, groups: vec![] })).await.unwrap();
        send.finish().unwrap();
        let answer = recv.read_to_end(1 << 20).await.unwrap_or_default();
        assert!(answer.len() < 1000, "{} bytes came", answer.len());
    });
    accepting.say(&format!("/take {}", number(&offered, "number")));
    file(&mut accepting, false, "fetched");
    inviting.hush();
    ends_with(inviting, 0);
    ends_with(accepting, 0);
}

#[test]
fn between_two_without_a_way_the_tracker_relays_what_it_cannot_read() {
    let Some(islands) = Islands::new() else { return };
    let tracker = Tracker::start_within(&islands.tracker(), Islands::LISTEN, &[]);
    let alice = Member::new_in(&tracker, "alice", &islands.member(0));
    let bob = Member::new_in(&tracker, "bob", &islands.member(1));
    let mut inviting = alice.start_listening(&["chat", "channel", "bob"]);
    state(&mut inviting, "inviting");
    let mut accepting = bob.start_listening(&["--yes", "chat", "channel", "alice"]);
    let (here, there) = (state(&mut inviting, "open"), state(&mut accepting, "open"));
    assert_eq!((&here["path"], &there["path"]), (&"relay".into(), &"relay".into()));
    assert_eq!(here["words"], there["words"]);
    inviting.say("across the unmistakable water");
    heard(&mut accepting, "across the unmistakable water");
    let original = bob.write("over.bin", corpus::bytes(25, 400_000));
    accepting.say(&format!("/offer {}", original.display()));
    let offered = file(&mut inviting, false, "offered");
    inviting.say(&format!("/take {}", number(&offered, "number")));
    let fetched = file(&mut inviting, false, "fetched");
    assert_eq!(fs::read(text(&fetched, "path")).unwrap(), fs::read(&original).unwrap());
    assert!(!holds(&tracker.data(), "unmistakable"), "the tracker holds what was said");
    inviting.hush();
    ends_with(inviting, 0);
    ends_with(accepting, 0);
    assert!(!has_parts(&bob), "no part is left");
}

/// Whether a part of a file lies among a member's downloads.
fn has_parts(member: &Member) -> bool {
    let Ok(entries) = fs::read_dir(member.downloads()) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().ends_with(".swapmeet-part"))
}
