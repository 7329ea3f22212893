//! Names as people and attackers choose them: kept whole on disk, harmless on screen, and never leading outside.

use std::{fs, path::Path};

use shared::{id::BlobHash, wire::tracker::PublishEntry};
use tests::{
    Member, Tracker, corpus,
    member::text,
    source::Blob,
    tree,
    wire::{Link, Puppet},
};

use crate::{get::Pair, hostile_peers::block_on};

#[test]
fn unusual_names_arrive_as_they_are() {
    let pair = Pair::start();
    let folder = pair.alice.desk().join("odd");
    for name in [
        "two  spaces and a tab-less end ",
        "-rf",
        "--json",
        "日本語のファイル名.flac",
        "e\u{301}t\u{e9}.txt",
        "👩‍👩‍👧 family.jpg",
        "quote\"s 'and' `ticks` $HOME %s",
        "CON",
        "nul.txt",
        "semi;colon&and|pipe",
        ".hidden",
        "trailing dot.",
        "photo\u{202e}gpj.exe",
        "a:stream",
    ] {
        pair.alice.write(&format!("odd/{name}"), corpus::bytes(name.len() as u64, 5000));
    }
    pair.alice.write(&format!("odd/{}", "n".repeat(255)), "the longest");
    pair.alice.share(&[&folder], &[]);
    let transfer = pair.get("alice/odd");
    pair.assert_got(&transfer, &folder);
}

#[test]
fn names_that_differ_only_in_case_or_form_do_not_swallow_each_other() {
    let pair = Pair::start();
    let folder = pair.alice.desk().join("clash");
    for name in ["Foo.txt", "foo.txt", "\u{e9}.txt", "e\u{301}.txt"] {
        pair.alice.write(&format!("clash/{name}"), name);
    }
    pair.alice.share(&[&folder], &[]);
    let transfer = pair.get("alice/clash");
    let got = text(&transfer, "path");
    let mut contents: Vec<String> = tree::files(got.as_ref())
        .iter()
        .map(|(path, _)| fs::read_to_string(Path::new(&got).join(path)).unwrap())
        .collect();
    contents.sort();
    assert_eq!(contents, ["Foo.txt", "e\u{301}.txt", "foo.txt", "\u{e9}.txt"], "four files went, four came");
}

#[test]
fn names_with_control_characters_never_reach_a_terminal() {
    let pair = Pair::start();
    let folder = pair.alice.desk().join("traps");
    pair.alice.write("traps/fine.txt", "fine");
    for name in ["esc\x1b[31mred", "two\nlines", "bell\x07", "c1\u{9b}31m"] {
        pair.alice.write(&format!("traps/{name}"), "trap");
    }
    let shared = pair.alice.run_plain(&["share", folder.to_str().unwrap()]);
    assert_eq!(shared.code, 0, "the rest of the folder is shared: {shared}");
    for output in [shared, pair.bob.run_plain(&["ls", "alice/traps"]), pair.bob.run_plain(&["search", "traps"])] {
        for (stream, text) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            let control = text.chars().find(|c| c.is_control() && !['\n', '\t'].contains(c));
            assert_eq!(control, None, "on {stream} of {output}");
        }
    }
    pair.bob.run(&["get", "alice/traps"]).ok();
    assert!(pair.bob.downloads().join("traps/fine.txt").exists());
}

#[test]
fn a_path_that_leads_outside_is_refused_by_the_tracker() {
    let tracker = Tracker::start();
    let link = Link::parse(&tracker.link).unwrap();
    block_on(async {
        let puppet = Puppet::register(&link, "mallory").await.unwrap();
        for path in [
            "../outside",
            "a/../../outside",
            "/etc/passwd",
            "a//b",
            "a/./b",
            "..",
            ".",
            "",
            "a/",
            "a\\..\\..\\b",
            "nul\0byte",
            "line\nbreak",
            "esc\x1b[2J",
        ] {
            let entry = PublishEntry { path: path.to_owned(), ..entry("x") };
            let answer = puppet.publish(vec![entry]).await;
            assert!(answer.is_err(), "{path:?} was published");
        }
        let deep = vec!["d"; 65].join("/");
        let long = "n".repeat(256);
        for path in [deep, long] {
            assert!(puppet.publish(vec![entry(&path)]).await.is_err(), "{} bytes were published", path.len());
        }
        assert!(puppet.publish(vec![entry("fine/path")]).await.is_ok());
    });
}

#[test]
fn a_file_and_a_folder_of_the_same_name_both_arrive() {
    let pair = Pair::start();
    let original = pair.alice.write("same", "a file");
    let id = pair.alice.share(&[&original], &[]);
    fs::create_dir_all(pair.bob.downloads().join("same")).unwrap();
    let transfer = pair.get(&id);
    assert_eq!(fs::read_to_string(text(&transfer, "path")).unwrap(), "a file");
    assert!(pair.bob.downloads().join("same").is_dir());
}

#[test]
fn a_link_in_the_download_folder_is_not_followed() {
    let pair = Pair::start();
    pair.alice.write("album/song.txt", "song");
    pair.alice.share(&[&pair.alice.desk().join("album")], &[]);
    let elsewhere = pair.bob.desk().join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::create_dir_all(pair.bob.downloads()).unwrap();
    std::os::unix::fs::symlink(&elsewhere, pair.bob.downloads().join("album")).unwrap();
    let output = pair.bob.run(&["get", "alice/album"]);
    assert_eq!(tree::files(&elsewhere), [], "nothing was written through the link: {output}");
}

#[test]
fn names_of_members_may_hold_spaces_and_letters_of_any_script() {
    let tracker = Tracker::start();
    for (name, same) in [("Anna Lena", "anna lena"), ("Ångström", "ångström"), ("Дмитрий", "дмитрий"), ("田中", "田中")]
    {
        let member = Member::new(&tracker, name);
        assert_eq!(text(&member.run(&["whoami"]).ok().one("account"), "name"), name);
        Member::stranger(&tracker, same).register(same, "another password").fails(9);
    }
}

#[test]
fn a_name_that_only_looks_like_another_is_refused() {
    let tracker = Tracker::start();
    let _alice = Member::new(&tracker, "alice");
    // The first letter is Cyrillic.
    let output = Member::stranger(&tracker, "x").register("\u{430}lice", "another password");
    assert!([2, 8, 9].contains(&output.code), "{output}");
}

fn entry(path: &str) -> PublishEntry {
    let blob = Blob::new(b"bytes".to_vec());
    assert_ne!(blob.hash(), BlobHash([0; 32]));
    blob.entry(path)
}
