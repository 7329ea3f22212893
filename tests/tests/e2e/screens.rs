//! The screen as a person has it: in a terminal, with keys, at any size, and gone without a trace.

use std::{fs, os::unix::fs::FileExt};

use rustix::process::{Pid, Signal, kill_process};
use tests::{Member, PATIENCE, Screen, Tracker, corpus, member::PASSWORD, tree};

use crate::get::Pair;

#[test]
fn from_the_first_start_to_the_first_verified_file() {
    let pair = Pair::start();
    let original = pair.alice.write("welcome.bin", corpus::bytes(81, 2_000_000));
    pair.alice.share(&[&original], &[]);
    let carol = Member::stranger(&pair.tracker, "carol");
    let screen = Screen::client(80, 24, &carol);
    screen.wait_for("racker");
    register(&screen, &pair.tracker, "carol");
    screen.wait_for("welcome.bin");
    screen.type_text("d");
    screen.type_text("2");
    screen.wait_until("a finished transfer", |_| carol.downloads().join("welcome.bin").exists());
    tree::assert_same(&original, &carol.downloads().join("welcome.bin"));
    screen.wait_for("Done 1");
    screen.type_text("1");
    screen.wait_for("you have it, complete and verified");
    screen.type_text("q");
    screen.wait_for("[script ended: 0]");
}

#[test]
fn a_damaged_file_is_found_and_mended_with_two_keys() {
    let pair = Pair::start();
    let original = pair.alice.write("reel.bin", corpus::bytes(83, 3_000_000));
    let id = pair.alice.share(&[&original], &[]);
    pair.bob.run(&["get", &id]).ok();
    let fetched = pair.bob.downloads().join("reel.bin");
    let damage = fs::OpenOptions::new().write(true).open(&fetched).unwrap();
    damage.write_all_at(b"damage", 1_000_000).unwrap();
    let screen = Screen::client(80, 24, &pair.bob);
    screen.wait_until("the file, on this device", |shown| shown.contains("reel.bin") && shown.contains("online"));
    screen.type_text("V");
    let shown = screen.wait_for("reel.bin is damaged");
    assert!(shown.contains("in 1 part"), "{shown}");
    screen.type_text("y");
    screen.wait_until("the repaired file", |_| tree::hash(&fetched) == tree::hash(&original));
    screen.wait_until("the end of the dialog", |shown| !shown.contains("is damaged"));
    screen.type_text("V");
    screen.wait_for("as it should be");
    screen.type_text("q");
    screen.wait_for("[script ended: 0]");
}

#[test]
fn every_size_down_to_the_smallest_shows_the_files() {
    let pair = Pair::start();
    pair.alice.write("shown.bin", corpus::bytes(82, 1000));
    pair.alice.share(&[&pair.alice.desk().join("shown.bin")], &[]);
    let screen = Screen::client(120, 36, &pair.bob);
    screen.wait_for("shown.bin");
    for (columns, rows) in [(80, 24), (60, 20), (40, 12), (200, 60), (120, 36)] {
        screen.resize(columns, rows);
        let shown = screen.wait_until(&format!("the file at {columns}x{rows}"), |shown| {
            shown.contains("shown.bin") && shown.lines().count() <= rows.into()
        });
        assert!(shown.lines().all(|line| line.chars().count() <= columns.into()), "{shown}");
    }
    screen.resize(32, 6);
    screen.wait_for("too small");
    screen.resize(80, 24);
    screen.wait_for("shown.bin");
    screen.type_text("?");
    screen.wait_until("help", |shown| shown.to_lowercase().contains("download"));
    screen.keys(&["Escape"]);
    screen.type_text("q");
    screen.wait_for("[script ended: 0]");
}

#[test]
fn a_lost_tracker_is_said_and_counted_down_and_its_return_too() {
    let mut pair = Pair::start();
    let screen = Screen::client(120, 36, &pair.bob);
    screen.wait_for("online");
    pair.tracker.kill();
    screen.wait_until("the countdown", |shown| shown.contains("OFFLINE") && shown.contains("retry in"));
    pair.tracker.restart();
    screen.type_text("R");
    screen.wait_until("online again", |shown| shown.contains("online") && !shown.contains("OFFLINE"));
    screen.type_text("q");
    screen.wait_for("[script ended: 0]");
}

#[test]
fn the_terminal_is_as_before_after_every_way_out() {
    let pair = Pair::start();
    for (way, end) in
        [("q", End::Key("q")), ("SIGTERM", End::Signal(Signal::TERM)), ("SIGHUP", End::Signal(Signal::HUP))]
    {
        let before = pair.bob.home().join("stty before");
        let after = pair.bob.home().join("stty after");
        let script = format!(
            "stty -a > '{}'; SWAPMEET_TEST_PANIC=key \"$SWAPMEET\" & echo $! > pid; fg 2>/dev/null || wait; stty -a > '{}'",
            before.display(),
            after.display()
        );
        let screen = Screen::start(80, 24, &pair.bob, &format!("set -m; cd '{}'; {script}", pair.bob.home().display()));
        screen.wait_for("online");
        assert_eq!(screen.show("#{alternate_on}"), "1", "{way}");
        match end {
            End::Key("C-c") => screen.keys(&["C-c", "C-c"]),
            End::Key(key) => screen.keys(&[key]),
            End::Signal(signal) => {
                let pid: i32 = fs::read_to_string(pair.bob.home().join("pid")).unwrap().trim().parse().unwrap();
                kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
            }
        }
        let shown = screen.wait_for("[script ended");
        assert_eq!(shown.contains("asked for by SWAPMEET_TEST_PANIC"), way == "a panic", "{way}: {shown}");
        assert_eq!(fs::read_to_string(&before).unwrap(), fs::read_to_string(&after).unwrap(), "after {way}");
        for flag in ["#{alternate_on}", "#{mouse_any_flag}"] {
            assert_eq!(screen.show(flag), "0", "{flag} after {way}");
        }
        assert_eq!(screen.show("#{cursor_flag}"), "1", "the cursor is back after {way}");
    }
}

#[test]
fn a_window_that_closes_takes_the_program_with_it() {
    let pair = Pair::start();
    let pid_file = pair.bob.home().join("pid");
    let screen = Screen::start(80, 24, &pair.bob, &format!("echo $$ > '{}'; exec \"$SWAPMEET\"", pid_file.display()));
    screen.wait_for("online");
    let pid: i32 = fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
    let handle =
        rustix::process::pidfd_open(Pid::from_raw(pid).unwrap(), rustix::process::PidfdFlags::empty()).unwrap();
    drop(screen);
    let patience = rustix::event::Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
    let mut fds = [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut fds, Some(&patience)), Ok(1), "the program outlives its window");
}

#[test]
fn hostile_names_are_shown_as_marks() {
    let pair = Pair::start();
    pair.alice.write("photo\u{202e}gpj.exe", "not a photo");
    pair.alice.share(&[&pair.alice.desk().join("photo\u{202e}gpj.exe")], &[]);
    let screen = Screen::client(120, 36, &pair.bob);
    let shown = screen.wait_for("U+202E");
    assert!(!shown.contains('\u{202e}'), "{shown}");
    screen.type_text("q");
    screen.wait_for("[script ended: 0]");
}

#[test]
fn the_screen_without_a_tracker_opens_anyway() {
    let mut pair = Pair::start();
    pair.alice.write("remembered.bin", corpus::bytes(83, 1000));
    pair.alice.share(&[&pair.alice.desk().join("remembered.bin")], &[]);
    let first = Screen::client(80, 24, &pair.bob);
    first.wait_for("remembered.bin");
    first.type_text("q");
    first.wait_for("[script ended: 0]");
    pair.tracker.kill();
    let screen = Screen::client(120, 36, &pair.bob);
    screen.wait_until("the list and the state", |shown| shown.contains("OFFLINE") && shown.contains("remembered.bin"));
    screen.type_text("q");
    screen.wait_for("[script ended: 0]");
}

#[test]
fn the_demo_shows_life_and_cleans_up() {
    let tracker = Tracker::start();
    let member = Member::stranger(&tracker, "x");
    let temporary = member.desk();
    let script = format!("TMPDIR='{}' \"$SWAPMEET\" demo", temporary.display());
    let screen = Screen::start(120, 36, &member, &script);
    screen.wait_for("online");
    screen.type_text("q");
    screen.wait_for("[script ended: 0]");
    let left: Vec<_> = fs::read_dir(&temporary).unwrap().collect();
    assert!(left.is_empty(), "{left:?} is left");
}

enum End {
    Key(&'static str),
    Signal(Signal),
}

/// Fills in the registration form as a person does: the tracker's link, then name, password and password again.
fn register(screen: &Screen, tracker: &Tracker, name: &str) {
    screen.type_text(&tracker.link);
    if !screen.capture().contains("Create account") {
        // The button below the other fields leads there.
        screen.keys(&["Tab"; 5]);
        screen.keys(&["Enter"]);
        screen.wait_for("Create account");
    } else {
        screen.keys(&["Tab"]);
    }
    screen.type_text(name);
    screen.keys(&["Tab", "Tab"]);
    screen.type_text(PASSWORD);
    screen.keys(&["Tab"]);
    screen.type_text(PASSWORD);
    screen.keys(&["Tab", "Tab", "Enter"]);
    screen.wait_for("It resets a forgotten password");
    screen.keys(&["Enter"]);
}
