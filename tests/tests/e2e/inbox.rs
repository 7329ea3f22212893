//! Requests and offers: who asks, who answers, what follows, and that nothing is lost when somebody goes.

use std::{fs, path::Path, time::Instant};

use serde_json::Value;
use tests::{
    Member, PATIENCE, Tracker, corpus,
    member::{number, text},
};

/// The items of a member, those that are over too.
fn items(member: &Member) -> Vec<Value> {
    member.run(&["inbox", "ls", "--all"]).ok().records()
}

/// Waits until a member sees an item in this state.
fn wait_for_state(member: &Member, id: &str, state: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = items(member).into_iter().find(|item| item["id"] == id);
        match found {
            Some(item) if item["state"] == state => return item,
            last => assert!(Instant::now() < deadline, "not {state}: {last:?}"),
        }
    }
}

/// Waits until a file of this content lies at a place.
fn wait_for_file(path: &Path, original: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while !path.exists() {
        assert!(Instant::now() < deadline, "{} does not come", path.display());
        std::thread::yield_now();
    }
    assert_eq!(fs::read(path).unwrap(), fs::read(original).unwrap());
}

fn only(records: &[Value]) -> &Value {
    assert_eq!(records.len(), 1, "{records:?}");
    &records[0]
}

#[test]
fn an_ask_file_is_approved_once_and_comes_by_itself() {
    let tracker = Tracker::start();
    let (alice, bob, carol) = three(&tracker);
    let _engines = [alice.engine(), bob.engine()];
    let original = alice.write("plan.bin", corpus::bytes(1, 300_000));
    let id = alice.share(&[&original], &["--visibility", "ask"]);
    assert_eq!(bob.run(&["get", &id]).fails(8)["code"], "forbidden");
    let asked = bob.run(&["request", &id, "--note", "for the talk"]).ok().one("item");
    assert_eq!((text(&asked, "state"), text(&asked, "direction")), ("waiting".into(), "out".into()));
    // Asking again is no second request.
    assert_eq!(bob.run(&["request", &id]).ok().one("item")["id"], asked["id"]);
    let request = text(&asked, "id");
    let incoming = wait_for_state(&alice, &request, "waiting");
    assert_eq!((text(&incoming, "from"), text(&incoming, "text")), ("bob".into(), "for the talk".into()));
    assert!(items(&carol).is_empty(), "nobody else sees it");
    // It is nobody else's to answer.
    bob.run(&["inbox", "accept", &request]).fails(9);
    carol.run(&["inbox", "accept", &request]).fails(4);
    alice.run(&["inbox", "accept", &request]).ok();
    wait_for_file(&bob.downloads().join("plan.bin"), &original);
    wait_for_state(&alice, &request, "fulfilled");
    // Once is once.
    fs::remove_file(bob.downloads().join("plan.bin")).unwrap();
    assert_eq!(carol.run(&["get", &id]).fails(8)["code"], "forbidden");
}

#[test]
fn a_declined_request_tells_why_and_always_is_always() {
    let tracker = Tracker::start();
    let (alice, bob, _) = three(&tracker);
    let _engines = [alice.engine(), bob.engine()];
    let first = alice.write("first.bin", corpus::bytes(2, 10_000));
    let second = alice.write("second.bin", corpus::bytes(3, 10_000));
    let ids = [&first, &second].map(|path| alice.share(&[path], &["--visibility", "ask"]));
    let request = text(&bob.run(&["request", &ids[0]]).ok().one("item"), "id");
    alice.run(&["inbox", "decline", &request, "--word", "not before Friday"]).ok();
    assert_eq!(text(&wait_for_state(&bob, &request, "declined"), "word"), "not before Friday");
    alice.run(&["inbox", "accept", &request]).fails(9);
    let again = text(&bob.run(&["request", &ids[0]]).ok().one("item"), "id");
    assert_ne!(again, request);
    alice.run(&["inbox", "accept", &again, "--always"]).ok();
    wait_for_file(&bob.downloads().join("first.bin"), &first);
    bob.run(&["get", &ids[1]]).ok();
    let rules = alice.run(&["inbox", "rule", "ls"]).ok().records();
    assert_eq!((text(only(&rules), "member"), text(only(&rules), "rule")), ("bob".into(), "approve".into()));
    assert_eq!(number(&alice.run(&["inbox", "rule", "rm", "bob"]).ok().one("removed"), "count"), 1);
    alice.run(&["inbox", "rule", "rm", "bob"]).fails(4);
    let target = bob.desk().join("third.bin");
    bob.run(&["get", &ids[1], "-o", target.to_str().unwrap(), "--from", "peer"]).fails(8);
}

#[test]
fn a_folder_is_asked_for_file_by_file_and_one_yes_for_always_answers_all() {
    let tracker = Tracker::start();
    let (alice, bob, _) = three(&tracker);
    let _engines = [alice.engine(), bob.engine()];
    let names = ["album/one.bin", "album/two.bin", "album/more/three.bin"];
    let originals: Vec<_> =
        names.iter().zip(11..).map(|(name, seed)| alice.write(name, corpus::bytes(seed, 20_000))).collect();
    alice.share(&[&alice.desk().join("album")], &["--visibility", "ask"]);
    let asked = bob.run(&["request", "alice/album"]).ok().records();
    assert_eq!(asked.len(), names.len(), "{asked:?}");
    // Asking again begins nothing.
    let again = bob.run(&["request", "alice/album"]).ok().records();
    assert_eq!(
        again.iter().map(|item| &item["id"]).collect::<Vec<_>>(),
        asked.iter().map(|i| &i["id"]).collect::<Vec<_>>()
    );
    alice.run(&["inbox", "accept", &text(&asked[0], "id"), "--always"]).ok();
    for (name, original) in names.iter().zip(&originals) {
        wait_for_file(&bob.downloads().join(name), original);
    }
    for item in &asked {
        wait_for_state(&alice, &text(item, "id"), "fulfilled");
    }
    assert_eq!(bob.run(&["request", "alice/album"]).fails(9)["code"], "nothing_missing");
}

#[test]
fn a_request_ends_with_its_file_and_fires_when_the_file_opens() {
    let tracker = Tracker::start();
    let (alice, bob, _) = three(&tracker);
    let _engines = [alice.engine(), bob.engine()];
    let (first, second) =
        (alice.write("a.bin", corpus::bytes(21, 9000)), alice.write("b.bin", corpus::bytes(22, 9000)));
    let ids = [&first, &second].map(|path| alice.share(&[path], &["--visibility", "ask"]));
    let requests = [0, 1].map(|n| text(&bob.run(&["request", &ids[n]]).ok().one("item"), "id"));
    alice.run(&["edit", &ids[0], "--visibility", "public"]).ok();
    wait_for_file(&bob.downloads().join("a.bin"), &first);
    wait_for_state(&alice, &requests[0], "fulfilled");
    alice.run(&["unshare", &ids[1]]).ok();
    assert_eq!(text(&wait_for_state(&bob, &requests[1], "cancelled"), "word"), "the file is no longer shared");
}

#[test]
fn a_get_without_a_source_is_a_request_that_fires_when_the_owner_is_back() {
    let mut tracker = Tracker::start();
    let (alice, bob, _) = three(&tracker);
    let original = alice.write("later.bin", corpus::bytes(4, 200_000));
    let id = alice.share(&[&original], &[]);
    let _bob = bob.engine();
    let failed = bob.run(&["get", &id]).fails(4);
    assert!(text(&failed, "hint").contains("inbox"), "{failed}");
    let request = text(only(&items(&bob)), "id");
    tracker.restart();
    let _alice = alice.engine();
    wait_for_file(&bob.downloads().join("later.bin"), &original);
    wait_for_state(&alice, &request, "fulfilled");
}

#[test]
fn two_who_are_never_there_together_meet_through_a_copy_that_goes_away() {
    let tracker = Tracker::start();
    let (alice, bob, _) = three(&tracker);
    let original = alice.write("never.bin", corpus::bytes(5, 200_000));
    let id = alice.share(&[&original], &[]);
    bob.run(&["get", &id]).fails(4);
    let request = text(only(&items(&bob)), "id");
    let engine = alice.engine();
    let deadline = Instant::now() + PATIENCE;
    while alice.run(&["info", &id]).ok().records()[0]["copy"] != "stored" {
        assert!(Instant::now() < deadline, "no copy is left");
    }
    engine.stop();
    let _bob = bob.engine();
    wait_for_file(&bob.downloads().join("never.bin"), &original);
    wait_for_state(&bob, &request, "fulfilled");
    assert_eq!(bob.run(&["info", &id]).ok().records()[0]["copy"], "none");
}

#[test]
fn a_wish_on_the_board_is_fulfilled_by_whoever_has_it() {
    let tracker = Tracker::start();
    let (alice, bob, carol) = three(&tracker);
    let _engines = [alice.engine(), bob.engine(), carol.engine()];
    let wish = text(&alice.run(&["request", "--anyone", "the raw tapes"]).ok().one("item"), "id");
    assert_eq!(text(&wait_for_state(&bob, &wish, "waiting"), "text"), "the raw tapes");
    let tapes = carol.write("tapes.bin", corpus::bytes(6, 50_000));
    carol.run(&["inbox", "accept", &wish]).fails(2);
    carol.run(&["inbox", "accept", &wish, "--with", tapes.to_str().unwrap()]).ok();
    wait_for_file(&alice.downloads().join("tapes.bin"), &tapes);
    let seen_by_bob = wait_for_state(&bob, &wish, "fulfilled");
    assert!(seen_by_bob["file"].is_null(), "what answered it is between the two: {seen_by_bob}");
    assert!(bob.run(&["ls"]).ok().records().is_empty(), "nothing of it is listed");
    let asked = text(&alice.run(&["request", "--of", "bob", "your notes"]).ok().one("item"), "id");
    bob.run(&["inbox", "decline", &asked, "--word", "lost them"]).ok();
    assert_eq!(text(&wait_for_state(&alice, &asked, "declined"), "word"), "lost them");
}

#[test]
fn an_offer_is_seen_before_it_is_taken_and_taken_whole_or_in_part() {
    let tracker = Tracker::start();
    let (alice, bob, carol) = three(&tracker);
    let _engines = [alice.engine(), bob.engine(), carol.engine()];
    let folder = alice.desk().join("photos");
    corpus::small_files(&folder, 7, 5, 3000);
    let offers = alice.run(&["offer", folder.to_str().unwrap(), "bob", "carol"]).ok().records();
    assert_eq!(offers.len(), 2);
    let to = |name: &str| text(offers.iter().find(|offer| offer["to"] == name).unwrap(), "id");
    let (to_bob, to_carol) = (to("bob"), to("carol"));
    let seen = wait_for_state(&bob, &to_bob, "waiting");
    assert_eq!((number(&seen, "files"), text(&seen, "name")), (5, "photos".into()));
    let shown = bob.run(&["inbox", "show", &to_bob]).ok().records();
    let paths: Vec<String> =
        shown.iter().filter(|record| record["type"] == "offered").map(|file| text(file, "path")).collect();
    assert_eq!(paths.len(), 5);
    assert!(carol.run(&["inbox", "accept", &to_bob]).fails(4)["code"] == "no_item");
    bob.run(&["inbox", "accept", &to_bob, "--only", &paths[0]]).ok();
    assert_eq!(fs::read_dir(bob.downloads().join("photos")).unwrap().count(), 1);
    for member in [&alice, &bob] {
        assert_eq!(text(&wait_for_state(member, &to_bob, "fulfilled"), "word"), "1 of 5 files");
    }
    let taken = carol.run(&["inbox", "accept", &to_carol]).ok().one("transfer");
    assert_eq!(number(&taken, "size"), number(&seen, "size"));
    wait_for_state(&alice, &to_carol, "fulfilled");
    assert!(bob.run(&["ls"]).ok().records().is_empty(), "an offer is in no list");
}

#[test]
fn a_cancelled_or_declined_offer_is_really_over() {
    let tracker = Tracker::start();
    let (alice, bob, _) = three(&tracker);
    let _engines = [alice.engine(), bob.engine()];
    let original = alice.write("secret.bin", corpus::bytes(8, 20_000));
    let path = original.to_str().unwrap();
    let cancelled = text(&alice.run(&["offer", path, "bob"]).ok().one("item"), "id");
    alice.run(&["inbox", "cancel", &cancelled]).ok();
    assert_eq!(bob.run(&["inbox", "accept", &cancelled]).fails(9)["code"], "conflict");
    let declined = text(&alice.run(&["offer", path, "bob"]).ok().one("item"), "id");
    bob.run(&["inbox", "decline", &declined]).ok();
    wait_for_state(&alice, &declined, "declined");
    bob.run(&["inbox", "accept", &declined]).fails(9);
    assert!(!bob.downloads().join("secret.bin").exists());
    let short = text(&alice.run(&["offer", path, "bob", "--expires", "1s"]).ok().one("item"), "id");
    wait_for_state(&bob, &short, "expired");
    bob.run(&["inbox", "accept", &short]).fails(9);
}

#[test]
fn an_offer_with_a_copy_waits_for_who_is_away_over_restarts_of_everything() {
    let mut tracker = Tracker::start();
    let (alice, bob, _) = three(&tracker);
    let original = alice.write("gift.bin", corpus::bytes(9, 400_000));
    let offer = text(&alice.run(&["offer", original.to_str().unwrap(), "bob", "--copy"]).ok().one("item"), "id");
    tracker.restart();
    let taken = bob.run(&["inbox", "accept", &offer]).ok().one("transfer");
    assert_eq!(number(&taken, "bytes_copy"), 400_000);
    wait_for_file(&bob.downloads().join("gift.bin"), &original);
    wait_for_state(&alice, &offer, "fulfilled");
}

#[test]
fn standing_answers_take_and_refuse_offers_by_themselves() {
    let tracker = Tracker::start();
    let (alice, bob, carol) = three(&tracker);
    let _engines = [alice.engine(), bob.engine(), carol.engine()];
    bob.run(&["inbox", "rule", "set", "alice", "accept", "--up-to", "1m"]).ok();
    bob.run(&["inbox", "rule", "set", "carol", "decline"]).ok();
    let small = alice.write("small.bin", corpus::bytes(10, 5000));
    let offer = text(&alice.run(&["offer", small.to_str().unwrap(), "bob"]).ok().one("item"), "id");
    wait_for_state(&alice, &offer, "fulfilled");
    wait_for_file(&bob.downloads().join("small.bin"), &small);
    let junk = carol.write("junk.bin", corpus::bytes(11, 5000));
    let junk = text(&carol.run(&["offer", junk.to_str().unwrap(), "bob"]).ok().one("item"), "id");
    wait_for_state(&carol, &junk, "declined");
    let large = alice.write("large.bin", corpus::bytes(12, 2_000_000));
    let large = text(&alice.run(&["offer", large.to_str().unwrap(), "bob"]).ok().one("item"), "id");
    wait_for_state(&bob, &large, "waiting");
}

fn three(tracker: &Tracker) -> (Member, Member, Member) {
    (Member::new(tracker, "alice"), Member::new(tracker, "bob"), Member::new(tracker, "carol"))
}
