//! What is in the index, who sees it, and what happens when it changes.

use std::{fs, os::unix::fs::symlink, process::Command};

use tests::{
    Member, corpus,
    member::{number, record, text},
    tree,
};

use crate::get::Pair;

#[test]
fn everyone_finds_a_public_file_by_listing_and_by_searching() {
    let pair = Pair::start();
    let original = pair.alice.write("Field Recordings/Morning Chorus.flac", corpus::bytes(31, 10_000));
    pair.alice.share(&[original.parent().unwrap()], &["--note", "blackbirds at dawn"]);
    let listed = pair.bob.run(&["ls"]).ok().one("folder");
    assert_eq!((text(&listed, "name"), text(&listed, "owner")), ("Field Recordings".to_owned(), "alice".to_owned()));
    assert_eq!(number(&listed, "files"), 1);
    for query in ["chorus", "MORN flac", "recordings", "alice chorus", "blackbird"] {
        let words: Vec<&str> = ["search"].into_iter().chain(query.split(' ')).collect();
        let found = pair.bob.run(&words).ok().one("file");
        assert_eq!(text(&found, "name"), "Morning Chorus.flac", "{query}");
    }
    pair.bob.run(&["search", "nightingale"]).fails(4);
}

#[test]
fn a_changed_file_becomes_a_new_version() {
    let pair = Pair::start();
    let original = pair.alice.write("draft.txt", "first");
    let id = pair.alice.share(&[&original], &[]);
    fs::write(&original, "second, and longer").unwrap();
    pair.alice.run(&["rescan"]).ok();
    let info = pair.bob.run(&["info", &id]).ok().one("file");
    assert_eq!(number(&info, "version"), 2, "{info}");
    assert_eq!(text(&info, "hash"), tree::hash(&original));
    assert_eq!(info["versions"].as_array().unwrap().len(), 2, "{info}");
    let transfer = pair.get(&id);
    pair.assert_got(&transfer, &original);
}

#[test]
fn a_file_that_changed_unnoticed_is_never_served_under_its_old_hash() {
    let pair = Pair::start();
    let original = pair.alice.write("moving.bin", corpus::bytes(32, 400_000));
    let id = pair.alice.share(&[&original], &[]);
    let old = text(&pair.bob.run(&["info", &id]).ok().one("file"), "hash");
    // The same size, and times put back: only looking closely helps.
    let modified = fs::metadata(&original).unwrap().modified().unwrap();
    fs::write(&original, corpus::bytes(33, 400_000)).unwrap();
    corpus::set_modified(&original, modified);
    let output = pair.bob.run(&["get", &id]);
    if output.code == 0 {
        let transfer = output.one("transfer");
        assert_ne!(text(&transfer, "hash"), old, "the new bytes have a new hash: {transfer}");
        pair.assert_got(&transfer, &original);
    } else {
        assert!([4, 6, 8].contains(&output.code), "{output}");
        assert!(!pair.bob.downloads().join("moving.bin").exists());
    }
}

#[test]
fn a_file_that_changed_is_got_in_its_new_form() {
    let pair = Pair::start();
    let original = pair.alice.write("growing.log", corpus::bytes(34, 100_000));
    let id = pair.alice.share(&[&original], &[]);
    let mut events = pair.bob.start(&["events", "--type", "file_shared"]);
    pair.bob.run(&["status"]).ok();
    fs::write(&original, corpus::bytes(35, 150_000)).unwrap();
    pair.alice.run(&["rescan"]).ok();
    events.line("the new version", |line| {
        record(line).is_some_and(|record| record["file"]["version"] == 2 && record["file"]["id"] == id)
    });
    let transfer = pair.get(&id);
    assert_eq!(number(&transfer, "size"), 150_000);
    pair.assert_got(&transfer, &original);
}

#[test]
fn a_folder_whose_drive_is_away_stays_in_the_index() {
    let pair = Pair::start();
    let folder = pair.alice.desk().join("drive");
    corpus::small_files(&folder, 34, 20, 5_000);
    pair.alice.share(&[&folder], &[]);
    let away = pair.alice.desk().join("unmounted");
    fs::rename(&folder, &away).unwrap();
    for mount_point in [false, true] {
        if mount_point {
            fs::create_dir(&folder).unwrap();
        }
        let rescanned = pair.alice.run(&["rescan"]).ok().one("rescan");
        assert_eq!(number(&rescanned, "missing"), 20, "{rescanned}");
        assert_eq!(number(&pair.bob.run(&["ls"]).ok().one("folder"), "files"), 20);
    }
    fs::remove_dir(&folder).unwrap();
    fs::rename(&away, &folder).unwrap();
    let rescanned = pair.alice.run(&["rescan"]).ok().one("rescan");
    assert_eq!((number(&rescanned, "missing"), number(&rescanned, "unchanged")), (0, 20), "{rescanned}");
    let transfer = pair.get("alice/drive");
    pair.assert_got(&transfer, &folder);
}

#[test]
fn of_files_gone_from_the_disk_those_with_a_copy_stay() {
    let pair = Pair::start();
    let copied = pair.alice.write("project/copied.bin", corpus::bytes(35, 300_000));
    let plain = pair.alice.write("project/plain.bin", corpus::bytes(36, 300_000));
    let small = pair.alice.write("project/small.txt", "still here");
    let hash = tree::hash(&copied);
    pair.alice.share(&[copied.parent().unwrap()], &[]);
    pair.alice.run(&["copy", "alice/project/copied.bin"]).ok();
    fs::remove_file(&copied).unwrap();
    fs::remove_file(&plain).unwrap();
    pair.alice.run(&["rescan"]).ok();
    pair.bob.run(&["info", "alice/project/plain.bin"]).fails(4);
    let transfer = pair.get("alice/project/copied.bin");
    assert_eq!(number(&transfer, "bytes_copy"), 300_000, "{transfer}");
    assert_eq!(tree::hash(&pair.bob.downloads().join("copied.bin")), hash);
    let transfer = pair.get("alice/project/small.txt");
    pair.assert_got(&transfer, &small);
    // The owner's own word ends it.
    pair.alice.run(&["unshare", "alice/project/copied.bin"]).ok();
    pair.bob.run(&["info", "alice/project/copied.bin"]).fails(4);
}

#[test]
fn links_pipes_and_what_they_point_to_are_not_shared() {
    let pair = Pair::start();
    pair.alice.write("outside/secret.txt", "secret");
    let folder = pair.alice.desk().join("inside");
    pair.alice.write("inside/plain.txt", "plain");
    symlink(pair.alice.desk().join("outside/secret.txt"), folder.join("link to file")).unwrap();
    symlink(pair.alice.desk().join("outside"), folder.join("link to folder")).unwrap();
    assert!(Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap().success());
    let output = pair.alice.run(&["share", folder.to_str().unwrap()]);
    assert_eq!(output.code, 0, "{output}");
    let shared: Vec<String> =
        output.records().iter().filter(|record| record["type"] == "file").map(|record| text(record, "path")).collect();
    assert_eq!(shared, ["inside/plain.txt"]);
    let transfer = pair.get("alice/inside");
    let got: Vec<_> = tree::files(text(&transfer, "path").as_ref());
    assert_eq!(got.len(), 1, "{got:?}");
}

#[test]
fn a_file_replaced_by_a_link_is_not_served() {
    let pair = Pair::start();
    let secret = pair.alice.write("secret.txt", "secret!!");
    let original = pair.alice.write("plain.txt", "plain...");
    let id = pair.alice.share(&[&original], &[]);
    fs::remove_file(&original).unwrap();
    symlink(&secret, &original).unwrap();
    let output = pair.bob.run(&["get", &id]);
    assert!([4, 6, 8].contains(&output.code), "{output}");
    assert_eq!(tree::files(pair.bob.home()).iter().filter(|(path, _)| path.ends_with("plain.txt")).count(), 0);
}

#[test]
fn what_is_unshared_is_gone_for_everyone() {
    let pair = Pair::start();
    let original = pair.alice.write("regret.txt", "oh no");
    let id = pair.alice.share(&[&original], &["--copy"]);
    pair.bob.run(&["info", &id]).ok();
    assert_eq!(number(&pair.alice.run(&["unshare", &id]).ok().records()[0], "count"), 1);
    let output = pair.bob.run(&["get", &id]);
    assert!([4, 8].contains(&output.code), "{output}");
    pair.bob.run(&["search", "regret"]).fails(4);
    assert_eq!(fs::read_to_string(&original).unwrap(), "oh no", "the local file is left alone");
}

#[test]
fn only_the_owner_takes_a_file_out() {
    let pair = Pair::start();
    let original = pair.alice.write("mine.txt", "mine");
    let id = pair.alice.share(&[&original], &[]);
    let code = pair.bob.run(&["unshare", &id]).code;
    assert!([4, 8].contains(&code), "ended with {code}");
    pair.bob.run(&["info", &id]).ok();
}

#[test]
fn a_hidden_file_is_found_by_its_whole_id_only() {
    let pair = Pair::start();
    let original = pair.alice.write("quiet.txt", "psst");
    let shared = pair.alice.run(&["share", original.to_str().unwrap(), "--visibility", "hidden"]).ok().one("file");
    let id = text(&shared, "id");
    assert_eq!(text(&shared, "visibility"), "hidden");
    assert_eq!(pair.bob.run(&["ls"]).ok().records().len(), 0);
    pair.bob.run(&["search", "quiet"]).fails(4);
    for name in [&id[..31], "alice/quiet.txt"] {
        pair.bob.run(&["info", name]).fails(4);
    }
    let transfer = pair.get(&id);
    pair.assert_got(&transfer, &original);
    let by_link = pair.bob.run(&["info", &text(&shared, "link")]).ok().one("file");
    assert_eq!(text(&by_link, "id"), id);
}

#[test]
fn a_hidden_file_is_not_listed_even_to_its_owner_on_another_device() {
    let pair = Pair::start();
    let original = pair.alice.write("quiet.txt", "psst");
    pair.alice.share(&[&original], &["--visibility", "hidden"]);
    let second = pair.alice.second_device(&pair.tracker);
    for command in [&["ls"][..], &["ls", "--mine"]] {
        assert_eq!(second.run(command).ok().records().len(), 0, "{command:?}");
    }
    second.run(&["search", "quiet"]).fails(4);
}

#[test]
fn a_file_for_named_people_exists_for_nobody_else() {
    let pair = Pair::start();
    let carol = Member::new(&pair.tracker, "carol");
    let original = pair.alice.write("for bob.txt", "dear bob");
    let shared = pair.alice.run(&["share", original.to_str().unwrap(), "--to", "bob"]).ok().one("file");
    let id = text(&shared, "id");
    assert_eq!(text(&shared, "visibility"), "people");
    let transfer = pair.get(&id);
    pair.assert_got(&transfer, &original);
    assert_eq!(carol.run(&["ls"]).ok().records().len(), 0);
    carol.run(&["search", "bob"]).fails(4);
    for command in ["info", "get"] {
        let output = carol.run(&[command, &id]);
        assert!([4, 8].contains(&output.code), "{output}");
    }
    assert_eq!(tree::files(carol.home()).iter().filter(|(path, _)| path.ends_with("for bob.txt")).count(), 0);
}

#[test]
fn a_narrowed_share_is_still_served_to_those_it_names() {
    let pair = Pair::start();
    let carol = Member::new(&pair.tracker, "carol");
    let original = pair.alice.write("draft.bin", corpus::bytes(37, 700_000));
    let id = pair.alice.share(&[&original], &[]);
    carol.run(&["get", &id]).ok();
    pair.alice.share(&[&original], &["--to", "bob"]);
    let target = carol.desk().join("again.bin");
    let refused = carol.run(&["get", &id, "-o", target.to_str().unwrap()]);
    assert!([4, 8].contains(&refused.code) && !target.exists(), "{refused}");
    let transfer = pair.get(&id);
    pair.assert_got(&transfer, &original);
    assert_eq!(number(&transfer, "bytes_peer"), 700_000, "{transfer}");
}

#[test]
fn a_file_that_needs_asking_is_listed_and_not_served() {
    let pair = Pair::start();
    let original = pair.alice.write("ask me.txt", "perhaps");
    let id = pair.alice.share(&[&original], &["--visibility", "ask"]);
    assert_eq!(text(&pair.bob.run(&["ls"]).ok().one("file"), "id"), id);
    pair.bob.run(&["get", &id]).fails(8);
}

#[test]
fn one_account_on_two_devices_shares_and_fetches_on_both() {
    let pair = Pair::start();
    let second = pair.alice.second_device(&pair.tracker);
    let _second_engine = second.engine();
    let here = pair.alice.write("from the first.txt", "one");
    let there = second.write("from the second.txt", "two");
    let first_id = pair.alice.share(&[&here], &[]);
    let second_id = second.share(&[&there], &[]);
    for (id, original) in [(&first_id, &here), (&second_id, &there)] {
        pair.assert_got(&pair.get(id), original);
    }
    let between = second.run(&["get", &first_id]).ok().one("transfer");
    assert_eq!(number(&between, "bytes_peer"), 3, "{between}");
    let members = pair.bob.run(&["members"]).ok().records();
    let alice = members.iter().find(|member| member["name"] == "alice").unwrap();
    assert_eq!((number(alice, "devices"), number(alice, "shares")), (2, 2), "{alice}");
}

#[test]
fn a_listing_knows_from_its_first_line_who_is_there() {
    let mut pair = Pair::start();
    pair.alice.share(&[&pair.alice.write("there.txt", "there")], &[]);
    let available = |pair: &Pair| {
        let listed = pair.bob.run(&["ls", "alice"]).ok().one("file");
        let found = pair.bob.run(&["search", "there"]).ok().one("file");
        [listed["available"].as_bool(), found["available"].as_bool()]
    };
    assert_eq!(available(&pair), [Some(true); 2]);
    pair.engine.take().unwrap().stop();
    assert_eq!(available(&pair), [Some(false); 2]);
}

#[test]
fn a_dry_run_changes_nothing() {
    let pair = Pair::start();
    let original = pair.alice.write("maybe.txt", "maybe");
    let would_be = pair.alice.run(&["share", "--dry-run", original.to_str().unwrap()]).ok().one("file");
    assert_eq!((text(&would_be, "path"), number(&would_be, "size")), ("maybe.txt".to_owned(), 5));
    for unknown in ["id", "hash", "visibility", "version", "link", "shared"] {
        assert!(would_be[unknown].is_null(), "{would_be}");
    }
    assert_eq!(pair.alice.run(&["ls"]).ok().records().len(), 0);
}

#[test]
fn stdin_is_shared_under_a_name() {
    let pair = Pair::start();
    let shared = pair.alice.run_with_input(&["share", "-", "--as", "piped.txt"], b"from a pipe").ok().one("file");
    assert_eq!(text(&shared, "name"), "piped.txt");
    let transfer = pair.get(&text(&shared, "id"));
    assert_eq!(fs::read_to_string(text(&transfer, "path")).unwrap(), "from a pipe");
}
