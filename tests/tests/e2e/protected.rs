//! Files with a password: who gets at them and who does not, what lies where, and what the `age` tool says to it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use rustix::process::Signal;
use serde_json::Value;
use tests::{
    Member, PATIENCE, Running, Screen, Tracker, corpus,
    member::{Output, PASSWORD, number, text},
};

const KEY: &str = "open sesame, please";

/// Shares a file with a password; gives its record.
fn protect(member: &Member, path: &Path, options: &[&str]) -> Value {
    let mut arguments = vec!["share", "--protect", "--password-stdin"];
    arguments.extend(options);
    arguments.push(path.to_str().unwrap());
    member.run_with_input(&arguments, format!("{KEY}\n").as_bytes()).ok().one("file")
}

/// `get` with a password on stdin.
fn get(member: &Member, arguments: &[&str], password: &str) -> Output {
    let arguments = [&["get", "--password-stdin"], arguments].concat();
    member.run_with_input(&arguments, format!("{password}\n").as_bytes())
}

/// Every file below a folder that holds these bytes.
fn holding(folder: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path, bytes));
        } else if fs::read(&path).is_ok_and(|all| all.windows(bytes.len()).any(|window| window == bytes)) {
            found.push(path);
        }
    }
    found
}

/// Opens a file with the `age` tool, which asks for passphrases on a terminal only: `script` gives it one.
fn age_opens(encrypted: &Path, plain: &Path) {
    let command = format!("age -d -o {} {}", plain.display(), encrypted.display());
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &command, "/dev/null"]);
    let ended = Running::start(&mut script, format!("{KEY}\n").as_bytes()).finish();
    assert_eq!(ended.code, Some(0), "age: {}{}", ended.stdout, ended.stderr);
}

#[test]
fn the_password_opens_it_and_without_it_nothing_moves() {
    let tracker = Tracker::start();
    let (alice, bob) = (Member::new(&tracker, "alice"), Member::new(&tracker, "bob"));
    let bytes = corpus::bytes(1, 3_000_000);
    let original = alice.write("plan.bin", &bytes);
    let shared = protect(&alice, &original, &["--copy"]);
    let (id, hash) = (text(&shared, "id"), text(&shared, "hash"));
    assert_eq!((shared["protected"].as_bool(), text(&shared, "name")), (Some(true), "plan.bin".into()));
    assert_ne!(hash, blake3::hash(&bytes).to_string(), "the index names what is encrypted");
    assert!(number(&shared, "size") > 3_000_000);
    assert_eq!(bob.run(&["ls"]).ok().one("file")["protected"], true);
    let _engine = alice.engine();

    let refused = bob.run(&["get", &id]).fails(2);
    assert!(text(&refused, "message").contains("password"), "{refused}");
    let wrong = get(&bob, &[&id], "open sesame").fails(8);
    assert_eq!(
        (text(&wrong, "code"), text(&wrong, "message")),
        ("wrong_password".into(), "the file's password is wrong".into())
    );
    // The account's own is another one.
    get(&bob, &[&id], PASSWORD).fails(8);
    assert!(fs::read_dir(bob.downloads()).map_or(true, |mut found| found.next().is_none()), "nothing was begun");
    assert!(bob.run(&["transfers"]).ok().records().is_empty());

    let transfer = get(&bob, &[&id], KEY).ok().one("transfer");
    let fetched = bob.downloads().join("plan.bin");
    assert_eq!(fs::read(&fetched).unwrap(), bytes);
    assert_eq!(text(&transfer, "path"), fetched.to_str().unwrap());
    assert_eq!(text(&transfer, "hash"), blake3::hash(&bytes).to_string());
    let left: Vec<_> = fs::read_dir(bob.downloads()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["plan.bin"], "the encrypted form is gone");
    bob.run(&["verify", fetched.to_str().unwrap()]).ok();
    // It is there already, whatever is asked again.
    get(&bob, &[&id], KEY).ok();
    assert!(!bob.downloads().join("plan (1).bin").exists());
    alice.run(&["verify", original.to_str().unwrap()]).ok();

    // Where what lies: nothing of the file or of its password is anywhere but with the two.
    let piece = &bytes[1_000_000..1_000_064];
    assert!(holding(&tracker.data(), piece).is_empty());
    assert_eq!(holding(&alice.home().join("state"), piece), Vec::<PathBuf>::new());
    for folder in [&*tracker.data(), alice.home(), bob.home()] {
        assert_eq!(holding(folder, KEY.as_bytes()), Vec::<PathBuf>::new());
    }
    assert!(holding(&tracker.data(), blake3::hash(&bytes).as_bytes()).is_empty());
}

#[test]
fn what_raw_leaves_is_opened_by_the_age_tool() {
    let tracker = Tracker::start();
    let (alice, bob) = (Member::new(&tracker, "alice"), Member::new(&tracker, "bob"));
    let _engine = alice.engine();
    for (name, size) in [("small.txt", 5_000), ("large.bin", 2_500_000), ("empty", 0)] {
        let bytes = corpus::bytes(2, size);
        let id = text(&protect(&alice, &alice.write(name, &bytes), &[]), "id");
        bob.run(&["get", "--raw", &id]).fails(2);
        if size > 1_000_000 {
            // Not for each of them: five wrong ones would have to wait.
            get(&bob, &["--raw", &id], "wrong").fails(8);
        }
        get(&bob, &["--raw", &id], KEY).ok();
        let (encrypted, opened) = (bob.downloads().join(format!("{name}.age")), bob.desk().join(name));
        age_opens(&encrypted, &opened);
        // The tool makes no file where there is nothing to write.
        assert!(opened.exists() || size == 0, "{name}");
        assert_eq!(fs::read(&opened).unwrap_or_default(), bytes, "{name}");
        // Once proved, it is not asked for again: what is encrypted is no secret of this device any more.
        let streamed = bob.command(&["get", "--raw", "-q", &id, "-o", "-"]).output().unwrap();
        assert_eq!(streamed.stdout, fs::read(&encrypted).unwrap(), "{name}");
        let mut asked = bob.command(&["get", "-q", &id, "-o", "-"]);
        let streamed = asked.env("SWAPMEET_PASSWORD_CMD", format!("echo '{KEY}'")).output().unwrap();
        assert_eq!(streamed.stdout, bytes, "{name}: {}", String::from_utf8_lossy(&streamed.stderr));
        let streamed = asked.env("SWAPMEET_PASSWORD_CMD", "echo wrong").output().unwrap();
        assert_eq!((streamed.status.code(), streamed.stdout.len()), (Some(8), 0));
    }
}

#[test]
fn no_way_leads_around_the_password() {
    let tracker = Tracker::start();
    let (alice, bob, mallory) =
        (Member::new(&tracker, "alice"), Member::new(&tracker, "bob"), Member::new(&tracker, "mallory"));
    let _engine = alice.engine();
    let bytes = corpus::bytes(3, 2_000_000);
    let hidden = protect(&alice, &alice.write("hidden.bin", &bytes), &["--visibility", "hidden", "--copy"]);
    // A link is enough to know of it, and not to have it.
    let link = text(&hidden, "link");
    for from in ["any", "peer", "copy"] {
        mallory.run(&["get", "--from", from, &link]).fails(2);
        get(&mallory, &["--raw", "--from", from, &link], "guessed").fails(8);
    }
    get(&bob, &[&link], KEY).ok();
    assert_eq!(fs::read(bob.downloads().join("hidden.bin")).unwrap(), bytes);
    // Sharing it again without the word does not open it, and an offer of it is none.
    let named = alice.desk().join("hidden.bin");
    assert_eq!(alice.run(&["share", named.to_str().unwrap()]).fails(9)["code"], "protected");
    assert_eq!(alice.run(&["offer", &text(&hidden, "id"), "mallory"]).fails(8)["code"], "protected");
    // Whoever passes on the encrypted form passes on its lock.
    get(&bob, &["--raw", &link, "-o", bob.desk().join("again.bin").to_str().unwrap()], KEY).ok();
    let again = bob.share(&[&bob.desk().join("again.bin")], &["--copy"]);
    mallory.run(&["get", &again]).fails(2);
    get(&mallory, &[&again], "guessed").fails(8);
    let target = mallory.desk().join("opened.age");
    get(&mallory, &[&again, "-o", target.to_str().unwrap()], KEY).ok();
}

#[test]
fn guessing_is_slowed_while_others_are_served_and_whatever_restarts() {
    let mut tracker = Tracker::start();
    let (alice, bob, mallory) =
        (Member::new(&tracker, "alice"), Member::new(&tracker, "bob"), Member::new(&tracker, "mallory"));
    let _engine = alice.engine();
    let id = text(&protect(&alice, &alice.write("plan.bin", corpus::bytes(4, 20_000)), &[]), "id");
    let own = text(&protect(&mallory, &mallory.write("own.bin", corpus::bytes(5, 1_000)), &[]), "id");
    for _ in 0..5 {
        get(&mallory, &[&id], "guessed").fails(8);
    }
    let slowed = get(&mallory, &[&id], KEY).fails(8);
    assert_eq!(text(&slowed, "code"), "wait");
    assert!((1..=11).contains(&number(&slowed, "wait_s")), "{slowed}");
    // A password of one's own forgives nothing, and signing in is another matter.
    get(&mallory, &[&own], KEY).fails(8);
    let _second = mallory.second_device(&tracker);
    get(&bob, &[&id], KEY).ok();
    tracker.restart();
    let deadline = Instant::now() + PATIENCE;
    let slowed = loop {
        let output = get(&mallory, &[&id], "guessed");
        if output.code == 8 {
            break output.fails(8);
        }
        assert!([5, 7].contains(&output.code) && Instant::now() < deadline, "{output}");
    };
    assert_eq!(text(&slowed, "code"), "wait", "the tracker has forgotten");
}

#[test]
fn a_fetch_goes_on_after_kills_and_waits_for_its_password() {
    let tracker = Tracker::start();
    let (alice, bob) = (Member::new(&tracker, "alice"), Member::new(&tracker, "bob"));
    let bytes = corpus::bytes(6, 24_000_000);
    let engine = alice.engine();
    let id = text(&protect(&alice, &alice.write("long.bin", &bytes), &[]), "id");
    alice.run(&["limit", "up", "6M", "--lan"]).ok();
    let first = bob.engine();
    get(&bob, &["--detach", &id], KEY).ok();
    let some = |least: u64| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let transfer = bob.run(&["transfers"]).ok().one("transfer");
            if number(&transfer, "done") > least {
                return transfer;
            }
            assert!(Instant::now() < deadline, "{transfer}");
        }
    };
    some(2_000_000);
    first.kill();
    // Nobody remembers the password; what is encrypted comes without it.
    let second = bob.engine();
    alice.run(&["limit", "up", "0", "--lan"]).ok();
    let deadline = Instant::now() + PATIENCE;
    let waiting = loop {
        let transfer = bob.run(&["transfers"]).ok().one("transfer");
        if transfer["state"] == "paused" {
            break transfer;
        }
        assert!(Instant::now() < deadline, "{transfer}");
    };
    assert!(text(&waiting, "reason").contains("waiting for its password"), "{waiting}");
    assert!(!bob.downloads().join("long.bin").exists());
    engine.stop();
    second.kill();
    // All of it is here: nobody is needed any more but who knows the password.
    let _third = bob.engine();
    get(&bob, &[&id], "wrong").fails(8);
    let transfer = get(&bob, &[&id], KEY).ok().one("transfer");
    assert_eq!(transfer["id"], waiting["id"]);
    assert_eq!(fs::read(bob.downloads().join("long.bin")).unwrap(), bytes);
    assert_eq!(fs::read_dir(bob.downloads()).unwrap().count(), 1);
}

#[test]
fn two_sources_and_a_copy_serve_what_is_encrypted() {
    let tracker = Tracker::start();
    let (alice, bob, carol) =
        (Member::new(&tracker, "alice"), Member::new(&tracker, "bob"), Member::new(&tracker, "carol"));
    let bytes = corpus::bytes(7, 30_000_000);
    let at_alice = alice.engine();
    let id = text(&protect(&alice, &alice.write("big.bin", &bytes), &["--copy"]), "id");
    let _at_bob = bob.engine();
    get(&bob, &["--raw", &id], KEY).ok();
    for member in [&alice, &bob] {
        member.run(&["limit", "up", "8M", "--lan"]).ok();
    }
    let transfer = get(&carol, &["--from", "peer", &id], KEY).ok().one("transfer");
    let from: Vec<String> =
        transfer["sources"].as_array().unwrap().iter().map(|source| text(source, "member")).collect();
    assert!(from.contains(&"alice".to_owned()) && from.contains(&"bob".to_owned()), "{transfer}");
    assert_eq!(fs::read(carol.downloads().join("big.bin")).unwrap(), bytes);
    at_alice.stop();
    let away = carol.desk().join("away.bin");
    let transfer = get(&carol, &["--from", "copy", &id, "-o", away.to_str().unwrap()], KEY).ok().one("transfer");
    assert!(number(&transfer, "bytes_copy") > 30_000_000, "{transfer}");
    assert_eq!(fs::read(&away).unwrap(), bytes);
}

#[test]
fn what_changes_on_the_disk_stays_at_home_until_it_is_protected_again() {
    let tracker = Tracker::start();
    let (alice, bob) = (Member::new(&tracker, "alice"), Member::new(&tracker, "bob"));
    let _engine = alice.engine();
    let old = corpus::bytes(8, 400_000);
    let plan = alice.write("rushes/plan.bin", &old);
    alice.write("rushes/notes.txt", "first");
    let folder = alice.desk().join("rushes");
    let share = ["share", "--protect", "--password-stdin", folder.to_str().unwrap()];
    alice.run_with_input(&share, KEY.as_bytes()).ok();
    let new = corpus::bytes(9, 500_000);
    fs::write(&plan, &new).unwrap();
    alice.write("rushes/secret.txt", "not for anybody yet");
    alice.run(&["rescan"]).ok();
    assert_eq!(bob.run(&["ls", "alice/rushes"]).ok().records().len(), 2, "what is new is not shared in the open");
    get(&bob, &["alice/rushes"], KEY).ok();
    assert_eq!(fs::read(bob.downloads().join("rushes/plan.bin")).unwrap(), old);
    alice.run_with_input(&share, KEY.as_bytes()).ok();
    let sealed = || fs::read_dir(alice.home().join("state/sealed")).unwrap().count();
    assert_eq!(sealed(), 3, "older forms are gone");
    get(&bob, &["alice/rushes", "-o", bob.desk().join("again/").to_str().unwrap()], KEY).ok();
    assert_eq!(fs::read(bob.desk().join("again/rushes/plan.bin")).unwrap(), new);
    assert_eq!(fs::read(bob.desk().join("again/rushes/secret.txt")).unwrap(), b"not for anybody yet");
    alice.run(&["unshare", "alice/rushes"]).ok();
    assert_eq!(sealed(), 0);
    assert_eq!(fs::read(&plan).unwrap(), new, "the owner's own file is as it was");
}

#[test]
fn an_engine_that_is_stopped_in_the_middle_leaves_a_share_that_can_be_made_again() {
    let tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    let engine = alice.engine();
    let path = alice.write("long.bin", corpus::bytes(10, 40_000_000));
    let mut sharing = alice.command(&["share", "--protect", "-q", path.to_str().unwrap()]);
    sharing.env("SWAPMEET_PASSWORD_CMD", format!("echo '{KEY}'"));
    let sharing = Running::start(&mut sharing, b"");
    let sealed = alice.home().join("state/sealed");
    let deadline = Instant::now() + PATIENCE;
    while fs::read_dir(&sealed).map_or(0, Iterator::count) == 0 {
        assert!(Instant::now() < deadline, "nothing is encrypted");
        std::thread::yield_now();
    }
    engine.kill();
    sharing.signal(Signal::TERM);
    drop(sharing);
    let _engine = alice.engine();
    assert_eq!(fs::read_dir(&sealed).map_or(0, Iterator::count), 0, "half of it is gone");
    assert!(alice.run(&["ls", "--mine"]).ok().records().is_empty());
}

#[test]
fn the_screen_shares_with_a_password_and_asks_for_it_before_it_fetches() {
    let tracker = Tracker::start();
    let (alice, bob) = (Member::new(&tracker, "alice"), Member::new(&tracker, "bob"));
    let bytes = corpus::bytes(9, 300_000);
    alice.write("plan.bin", &bytes);
    let left = Screen::client(80, 24, &alice);
    left.wait_for("online");
    left.type_text("]a");
    left.wait_for("~/");
    // From the member's home on, where its desk is.
    left.type_text("desk/plan.bin");
    left.keys(&["Enter"]);
    left.wait_for("Share this?");
    left.type_text("p");
    left.wait_for("Share with a password");
    left.type_text(KEY);
    left.keys(&["Tab"]);
    left.type_text(KEY);
    left.keys(&["Enter"]);
    let right = Screen::client(80, 24, &bob);
    right.wait_for("plan.bin");
    right.type_text("d");
    right.wait_for("Protected: its password");
    right.type_text("a wrong guess");
    right.keys(&["Enter"]);
    right.wait_for("password is wrong");
    assert!(!bob.downloads().join("plan.bin").exists());
    // The wrong one is still in the field.
    right.keys(&["C-u"]);
    right.type_text(KEY);
    right.keys(&["Enter"]);
    let got = bob.downloads().join("plan.bin");
    right.wait_until("the file", |_| got.exists());
    assert!(fs::read(got).unwrap() == bytes, "the plaintext, under its name");
    assert!(holding(&tracker.data(), &bytes[..64]).is_empty(), "the tracker has none of it");
    right.wait_for("you have it, complete and verified");
    right.type_text("2");
    right.wait_for("Done 1");
    right.type_text("q");
    right.wait_for("[script ended: 0]");
    let again = Screen::client(80, 24, &bob);
    again.wait_for("you have it, complete and verified");
}
