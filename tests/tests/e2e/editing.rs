//! Changing who sees what is shared: it holds for lists, grants and transfers at once, and outlives rescans, restarts
//! and new versions.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;
use tests::{
    Member, Running, Screen, corpus,
    member::{record, text},
};

use crate::get::Pair;

const SIZE: u64 = 48 << 20;

fn edit(owner: &Member, item: &str, options: &[&str]) -> Vec<Value> {
    let arguments = [&["edit", item], options].concat();
    let records = owner.run(&arguments).ok().records();
    records.into_iter().filter(|record| record["type"] == "file").collect()
}

fn finds(member: &Member, id: &str) -> bool {
    let output = member.run(&["info", id]);
    assert!([0, 4].contains(&output.code), "{output}");
    output.code == 0
}

/// A download by Bob that has begun and will not be over soon.
fn begun(pair: &Pair, id: &str) -> Running {
    let get = pair.bob.start(&["get", id]);
    let mut watch = pair.bob.start(&["transfers", "watch"]);
    watch.line("progress", |line| {
        record(line).is_some_and(|record| record["state"] == "running" && record["bytes_peer"].as_u64() > Some(0))
    });
    get
}

#[test]
fn whoever_may_no_longer_fetch_a_file_stops_in_the_middle_whatever_it_was_and_becomes() {
    let pair = Pair::start();
    let _bob = pair.bob.engine();
    pair.alice.run(&["limit", "up", "1MiB", "--lan"]).ok();
    let levels = ["public", "ask", "people", "hidden"];
    for (number, before) in levels.into_iter().enumerate().filter(|(_, before)| *before != "ask") {
        for after in levels.into_iter().filter(|after| *after != before && *after != "public") {
            let film = pair.alice.desk().join(format!("{before} to {after}.bin"));
            corpus::large_file(&film, number as u64 * 10 + after.len() as u64, SIZE);
            let options: &[&str] = match before {
                "people" => &["--to", "bob"],
                level => &["--visibility", level],
            };
            let id = pair.alice.share(&[&film], options);
            let get = begun(&pair, &id);
            let options: &[&str] = match after {
                "people" => &["--to", "alice"],
                level => &["--visibility", level],
            };
            let edited = edit(&pair.alice, &id, options);
            assert_eq!(text(&edited[0], "visibility"), after);
            // What Bob had not fetched by then he does not get.
            let ended = get.finish();
            assert!([Some(4), Some(8)].contains(&ended.code), "{before} to {after}: {:?} {}", ended.code, ended.stderr);
        }
    }
}

#[test]
fn what_is_narrowed_to_named_members_stays_on_their_screens() {
    let pair = Pair::start();
    let path = pair.alice.write("cut 3.bin", "the third cut");
    let id = pair.alice.share(&[&path], &[]);
    let screen = Screen::client(80, 24, &pair.bob);
    screen.wait_for("every member sees it");
    edit(&pair.alice, &id, &["--to", "bob", "--note", "for your eyes"]);
    screen.wait_for("for your eyes");
    edit(&pair.alice, &id, &["--visibility", "ask"]);
    screen.wait_until("a question", |shown| shown.contains("cut 3.bin") && shown.contains("owner agrees"));
    edit(&pair.alice, &id, &["--to", "bob"]);
    screen.wait_until("the file, for bob", |shown| shown.contains("cut 3.bin") && !shown.contains("owner agrees"));
    let other = pair.alice.write("cut 4.bin", "the fourth cut");
    pair.alice.share(&[&other], &[]);
    screen.wait_until("both", |shown| shown.contains("cut 3.bin") && shown.contains("cut 4.bin"));
}

#[test]
fn a_wider_audience_stops_nobody() {
    let pair = Pair::start();
    let _bob = pair.bob.engine();
    pair.alice.run(&["limit", "up", "4MiB", "--lan"]).ok();
    let film = pair.alice.desk().join("film.bin");
    corpus::large_file(&film, 5, 16 << 20);
    let id = pair.alice.share(&[&film], &["--to", "bob"]);
    let get = begun(&pair, &id);
    edit(&pair.alice, &id, &["--visibility", "public", "--note", "for all"]);
    assert_eq!(get.finish().code, Some(0));
    assert_eq!(text(&pair.bob.run(&["info", &id]).ok().one("file"), "note"), "for all");
}

#[test]
fn an_edited_file_stays_as_it_was_decided_through_rescans_restarts_and_new_versions() {
    let mut pair = Pair::start();
    let folder = pair.alice.desk().join("box");
    for name in ["open.txt", "closed.txt", "inner/one.txt"] {
        pair.alice.write(&format!("box/{name}"), name);
    }
    pair.alice.share(&[&folder], &["--visibility", "public"]);
    let closed = text(&pair.alice.run(&["info", "alice/box/closed.txt"]).ok().one("file"), "id");
    let hidden = text(&edit(&pair.alice, &closed, &["--visibility", "hidden"])[0], "id");
    assert_ne!(hidden, closed, "the id before was known to others");
    assert_eq!(edit(&pair.alice, "alice/box/inner", &["--to", "alice", "--note", "mine"]).len(), 1);

    let check = |pair: &Pair| {
        assert!(!finds(&pair.bob, "alice/box/closed.txt"));
        assert!(!finds(&pair.bob, "alice/box/inner"));
        assert!(finds(&pair.bob, "alice/box/open.txt"));
        assert!(finds(&pair.bob, &hidden), "its link works");
    };
    check(&pair);
    for (name, content) in
        [("closed.txt", "closed, again"), ("inner/one.txt", "one, again"), ("inner/two.txt", "later")]
    {
        fs::write(folder.join(name), content).unwrap();
    }
    pair.alice.run(&["rescan"]).ok();
    check(&pair);
    pair.engine.take().unwrap().stop();
    pair.engine = Some(pair.alice.engine());
    fs::write(folder.join("closed.txt"), "closed, a third time").unwrap();
    pair.alice.run(&["rescan"]).ok();
    check(&pair);
    let inner = pair.alice.run(&["ls", "alice/box/inner", "--mine"]);
    drop(inner);
    let two = pair.alice.run(&["info", "alice/box/inner/two.txt"]).ok().one("file");
    assert_eq!((text(&two, "visibility"), text(&two, "note")), ("people".to_owned(), "mine".to_owned()));
    // The folder as a whole decides anew for all of it, also for what was hidden.
    edit(&pair.alice, "alice/box", &["--visibility", "public"]);
    assert!(finds(&pair.bob, "alice/box/closed.txt") && finds(&pair.bob, "alice/box/inner/two.txt"));
    assert!(!finds(&pair.bob, &hidden) || finds(&pair.bob, "alice/box/closed.txt"));
}

#[test]
fn a_hidden_file_is_in_no_list_count_search_or_event_and_its_owner_ends_it_by_its_link() {
    let pair = Pair::start();
    let secret = pair.alice.write("secret-file.txt", "nobody sees it");
    let id = pair.alice.share(&[&secret], &[]);
    let _bob = pair.bob.engine();
    let mut events = pair.bob.start(&["events"]);
    let edited = edit(&pair.alice, &id, &["--visibility", "hidden"]);
    let link = text(&edited[0], "link");
    let hidden = text(&edited[0], "id");
    edit(&pair.alice, &link, &["--note", "still hidden"]);
    let marker = pair.alice.share(&[&pair.alice.write("marker.txt", "marker")], &[]);
    let mut told = Vec::new();
    events.line("the marker", |line| {
        told.push(line.to_owned());
        line.contains(&marker)
    });
    assert!(!told.iter().any(|line| line.contains(&hidden) || line.contains("still hidden")), "{told:#?}");
    let phone = pair.alice.second_device(&pair.tracker);
    for member in [&pair.bob, &phone] {
        assert_eq!(member.run(&["search", "secret"]).code, 4);
        assert!(!member.run(&["ls", "alice"]).stdout.contains("secret"));
        let members = member.run(&["members"]).ok().records();
        let alice = members.iter().find(|member| member["name"] == "alice").unwrap();
        assert_eq!(alice["shares"], 1, "the marker alone");
    }
    pair.bob.run(&["get", &link]).ok();
    // Who is not its owner changes nothing; its owner does, by the link.
    assert_eq!(pair.bob.run(&["edit", &link, "--visibility", "public"]).code, 8);
    for name in ["alice/secret-file.txt", &hidden[..8]] {
        pair.alice.run(&["info", name]).ok();
        pair.bob.run(&["info", name]).fails(4);
        phone.run(&["info", name]).fails(4);
    }
    edit(&pair.alice, "alice/secret-file.txt", &["--note", "hidden, and known to its owner"]);
    pair.alice.run(&["unshare", &link]).ok();
    assert!(!finds(&pair.bob, &link));
    pair.bob.run(&["get", &link, "-o", "again/"]).fails(4);
}

#[test]
fn what_cannot_be_decided_changes_nothing() {
    let pair = Pair::start();
    let id = pair.alice.share(&[&pair.alice.write("file.txt", "x")], &["--note", "as it was"]);
    pair.alice.run(&["edit", &id]).fails(2);
    pair.alice.run(&["edit", &id, "--visibility", "people"]).fails(2);
    pair.alice.run(&["edit", &id, "--to", "nobody"]).fails(4);
    pair.bob.run(&["edit", &id, "--visibility", "hidden"]).fails(8);
    pair.alice.second_device(&pair.tracker).run(&["edit", &id, "--visibility", "hidden"]).fails(8);
    pair.alice.run(&["rescan"]).ok();
    let file = pair.bob.run(&["info", &id]).ok().one("file");
    assert_eq!((text(&file, "visibility"), text(&file, "note")), ("public".to_owned(), "as it was".to_owned()));
}

#[test]
fn a_renamed_file_and_a_renamed_folder_keep_their_ids_their_links_and_who_fetches_them() {
    let mut pair = Pair::start();
    let film = pair.alice.desk().join("film.bin");
    corpus::large_file(&film, 301, SIZE);
    let folder = pair.alice.desk().join("rushes");
    for n in 0..5 {
        pair.alice.write(&format!("rushes/{n}.bin"), corpus::bytes(302 + n, 4_000));
    }
    let id = pair.alice.share(&[&film], &["--note", "first cut"]);
    pair.alice.run(&["share", folder.to_str().unwrap(), "--visibility", "ask"]).ok();
    let below = |member: &Member, name: &str| {
        let mut files: Vec<(String, String)> = member
            .run(&["ls", name])
            .ok()
            .records()
            .iter()
            .map(|file| (text(file, "id"), text(file, "path")))
            .collect();
        files.sort();
        files
    };
    let before = below(&pair.bob, "alice/rushes");
    assert_eq!(before.len(), 5);

    // In the middle of a download.
    let _bob = pair.bob.engine();
    pair.alice.run(&["limit", "up", "8MiB", "--lan"]).ok();
    let get = begun(&pair, &id);
    let renamed = edit(&pair.alice, &id, &["--name", "the film.bin"]);
    assert_eq!((text(&renamed[0], "id"), text(&renamed[0], "path")), (id.clone(), "the film.bin".to_owned()));
    assert_eq!((text(&renamed[0], "note"), text(&renamed[0], "visibility")), ("first cut".into(), "public".into()));
    pair.alice.run(&["limit", "up", "0", "--lan"]).ok();
    assert_eq!(get.finish().code, Some(0));
    assert_eq!(fs::read(pair.bob.downloads().join("film.bin")).unwrap(), fs::read(&film).unwrap());
    assert_eq!(pair.bob.run(&["search", "the film"]).ok().records().len(), 1);
    assert_eq!(pair.bob.run(&["info", "alice/film.bin"]).code, 4, "nothing has that name now");

    let edited = edit(&pair.alice, "alice/rushes", &["--name", "dailies", "--visibility", "public"]);
    assert_eq!(edited.len(), 5);
    assert!(edited.iter().all(|file| text(file, "visibility") == "public"));
    let moved = |name: &str| -> Vec<(String, String)> {
        before.iter().map(|(id, path)| (id.clone(), path.replacen("rushes", name, 1))).collect()
    };
    assert_eq!(below(&pair.bob, "alice/dailies"), moved("dailies"));
    assert_eq!(pair.bob.run(&["ls", "alice/rushes"]).code, 4);
    // What comes later comes under the new name, and what was decided holds for it.
    fs::write(folder.join("later.txt"), "later").unwrap();
    pair.alice.run(&["rescan"]).ok();
    assert!(below(&pair.bob, "alice/dailies").iter().any(|(_, path)| path == "dailies/later.txt"));

    // It outlives the engine, and nothing else may have the name.
    pair.engine.take().unwrap().kill();
    pair.engine = Some(pair.alice.engine());
    pair.alice.run(&["rescan"]).ok();
    assert_eq!(below(&pair.bob, "alice/dailies").len(), 6);
    assert_eq!(pair.alice.run(&["edit", "alice/dailies", "--name", "the film.bin"]).fails(9)["code"], "name_taken");
    let within = text(&pair.alice.run(&["info", "alice/dailies/later.txt"]).ok().records()[0], "id");
    assert_eq!(pair.alice.run(&["edit", &within, "--name", "x"]).fails(8)["code"], "within_a_share");
    assert_eq!(pair.alice.run(&["edit", &id, "--name", "a/b"]).fails(2)["code"], "bad_name");
    let transfer = pair.bob.run(&["get", &before[0].0]).ok().one("transfer");
    assert_eq!(transfer["state"], "done");
}

#[test]
fn a_renaming_that_is_cut_short_is_finished_by_the_next_engine() {
    let mut pair = Pair::start();
    let folder = pair.alice.desk().join("rushes");
    for n in 0..5 {
        pair.alice.write(&format!("rushes/{n}.bin"), corpus::bytes(312 + n, 4_000));
    }
    pair.alice.run(&["share", folder.to_str().unwrap()]).ok();
    // The tracker goes away between the question and the answer, and the engine with it.
    pair.tracker.process().signal(Signal::STOP);
    let waiting = pair.alice.start(&["edit", "alice/rushes", "--name", "dailies", "--timeout", "2s"]);
    assert_ne!(waiting.finish().code, Some(0));
    pair.engine.take().unwrap().kill();
    pair.tracker.process().signal(Signal::CONT);
    pair.engine = Some(pair.alice.engine());
    pair.alice.run(&["rescan"]).ok();
    let names = |member: &Member| -> Vec<String> {
        member.run(&["ls", "alice"]).ok().records().iter().map(|item| text(item, "name")).collect()
    };
    let seen = names(&pair.bob);
    assert!(seen == ["dailies"] || seen == ["rushes"], "one of both, and all of it: {seen:?}");
    assert_eq!(pair.bob.run(&["ls", &format!("alice/{}", seen[0])]).ok().records().len(), 5);
    pair.alice.run(&["edit", &format!("alice/{}", seen[0]), "--name", "takes"]).ok();
    assert_eq!(names(&pair.bob), ["takes"]);
}
