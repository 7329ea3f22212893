//! The command line as scripts rely on it: exit codes, records, pipes.

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use tests::{
    Member, Running, Tracker, corpus,
    member::{PASSWORD, record, text},
    program, tree,
};

use crate::get::Pair;

#[test]
fn usage_errors_exit_2_and_are_records_too() {
    let tracker = Tracker::start();
    let member = Member::stranger(&tracker, "nobody");
    for arguments in [
        &["fly"][..],
        &["get"],
        &["share"],
        &["share", "a", "--visibility", "secret"],
        &["get", "abcd", "--from", "heaven"],
        &["status", "--timeout", "soon"],
        &["register", "x"],
        &["get", "abcd", "--no-such-option"],
    ] {
        member.run(arguments).fails(2);
        assert_eq!(member.run_plain(arguments).code, 2, "{arguments:?}");
    }
}

#[test]
fn without_a_terminal_and_a_command_there_is_usage_and_2() {
    let tracker = Tracker::start();
    let output = Member::stranger(&tracker, "nobody").run_plain(&[]);
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("Usage") && output.stdout.is_empty(), "{output}");
}

#[test]
fn who_is_not_signed_in_is_told_so_with_3() {
    let tracker = Tracker::start();
    let member = Member::stranger(&tracker, "nobody");
    for arguments in
        [&["ls"][..], &["search", "x"], &["members"], &["get", "abcdef"], &["whoami"], &["status"], &["info", "abcdef"]]
    {
        member.run(arguments).fails(3);
    }
}

#[test]
fn a_wrong_password_and_an_unknown_name_get_the_same_answer() {
    let tracker = Tracker::start();
    let _alice = Member::new(&tracker, "alice");
    let stranger = Member::stranger(&tracker, "x");
    let login = |name: &str| {
        stranger.run_with_input(&["login", name, "--tracker", &tracker.link, "--password-stdin"], b"not the password")
    };
    let wrong = login("alice").fails(3);
    let unknown = login("nobody here").fails(3);
    assert_eq!(wrong["code"], unknown["code"]);
    assert_eq!(
        text(&wrong, "message").replace("alice", "NAME"),
        text(&unknown, "message").replace("nobody here", "NAME")
    );
}

#[test]
fn a_taken_name_is_9_and_a_bad_one_2_or_8() {
    let tracker = Tracker::start();
    let _alice = Member::new(&tracker, "alice");
    let stranger = Member::stranger(&tracker, "x");
    stranger.register("alice", "another password").fails(9);
    stranger.register("ALICE", "another password").fails(9);
    for (name, password) in [("b", PASSWORD), ("new\nline", PASSWORD), ("carol", "short")] {
        let output = stranger.register(name, password);
        assert!([2, 8].contains(&output.code), "{output}");
        output.error();
    }
}

#[test]
fn an_unreachable_tracker_is_7() {
    let mut tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    tracker.stop();
    let late = Member::stranger(&tracker, "late");
    late.register("late", PASSWORD).fails(7);
    for arguments in [&["search", "x"][..], &["members"]] {
        alice.run(arguments).fails(7);
    }
}

#[test]
fn what_does_not_exist_is_4() {
    let pair = Pair::start();
    for arguments in [
        &["get", "00000000000000000000000000000000"][..],
        &["info", "00000000"],
        &["get", "alice/nothing"],
        &["get", "nobody/nothing"],
        &["unshare", "00000000000000000000000000000000"],
        &["verify", "/nonexistent/file"],
        &["share", "/nonexistent/file"],
    ] {
        pair.bob.run(arguments).fails(4);
    }
}

#[test]
fn every_line_of_json_is_a_record() {
    let pair = Pair::start();
    let folder = pair.alice.desk().join("things");
    corpus::small_files(&folder, 41, 20, 2000);
    pair.alice.share(&[&folder], &["--copy"]);
    pair.get("alice/things");
    for arguments in [
        &["ls"][..],
        &["ls", "alice/things"],
        &["search", "file"],
        &["info", "alice/things/folder 000/file 00003.dat"],
        &["members"],
        &["status"],
        &["whoami"],
        &["transfers"],
        &["transfers", "ls"],
        &["rescan"],
        &["config"],
        &["verify", "things"],
    ] {
        let output = pair.alice.run(arguments);
        assert!(output.code == 0 || !output.stderr.is_empty(), "{output}");
        output.records();
        for line in output.stderr.lines() {
            assert!(record(line).is_some(), "{line:?} on stderr of {output}");
        }
    }
}

#[test]
fn a_pipe_gets_one_record_per_line_without_colour_header_or_bars() {
    let pair = Pair::start();
    let folder = pair.alice.desk().join("things");
    corpus::small_files(&folder, 42, 5, 2_000_000);
    let shared = pair.alice.run_plain(&["share", folder.to_str().unwrap()]).ok();
    let got = pair.bob.run_plain(&["get", "alice/things"]).ok();
    let listed = pair.bob.run_plain(&["ls", "alice/things/folder 000"]).ok();
    assert_eq!(listed.stdout.lines().count(), 5, "no header: {listed}");
    for output in [shared, got, listed] {
        for line in output.stdout.lines() {
            assert!(line.contains('\t'), "{line:?} of {output}");
        }
        for text in [&output.stdout, &output.stderr] {
            assert!(!text.contains('\x1b') && !text.contains('\r'), "{output}");
        }
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let pair = Pair::start();
    let folder = pair.alice.desk().join("things");
    corpus::small_files(&folder, 43, 3000, 10);
    pair.alice.share(&[&folder], &[]);
    for mode in [&[][..], &["--json"]] {
        let mut command = pair.bob.command(mode);
        command.args(["search", "file"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut first = String::new();
        BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let status = child.wait().unwrap();
        assert!(first.contains("file"), "{first:?}");
        assert!(!said.contains("panic") && !said.to_lowercase().contains("broken pipe"), "{said}");
        assert_eq!(status.code(), Some(0), "{said}");
    }
}

#[test]
fn nobody_is_asked_when_stdin_is_closed() {
    let tracker = Tracker::start();
    let member = Member::stranger(&tracker, "alice");
    let mut command = member.command(&["register", "alice", "--tracker", &tracker.link]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_password_comes_from_a_command_too_and_appears_nowhere() {
    let tracker = Tracker::start();
    let member = Member::stranger(&tracker, "alice");
    let mut command = member.command(&["--json", "-vv", "register", "alice", "--tracker", &tracker.link]);
    let ended = Running::start(command.env("SWAPMEET_PASSWORD_CMD", format!("echo '{PASSWORD}'")), b"").finish();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains(PASSWORD) && !ended.stdout.contains(PASSWORD));
    for folder in [member.home().to_owned(), tracker.data()] {
        for (path, _) in tree::files(&folder) {
            let bytes = std::fs::read(folder.join(&path)).unwrap();
            let found = bytes.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes());
            assert!(!found, "the password is in {}", path.display());
        }
    }
}

#[test]
fn a_sample_holds_the_integers_in_order() {
    let tracker = Tracker::start();
    let member = Member::stranger(&tracker, "x");
    assert_eq!(member.run_plain(&["sample", "3"]).ok().stdout, "1\n2\n3\n");
    let path = member.desk().join("numbers");
    member.run(&["sample", "100000", "-o", path.to_str().unwrap()]).ok();
    let lines: Vec<String> = std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect();
    assert_eq!((lines.len(), lines[99_999].as_str()), (100_000, "100000"));
}

#[test]
fn completions_and_the_manual_are_printed() {
    let tracker = Tracker::start();
    let member = Member::stranger(&tracker, "x");
    for shell in ["bash", "zsh", "fish"] {
        assert!(member.run_plain(&["completions", shell]).ok().stdout.contains("swapmeet"));
    }
    assert!(member.run_plain(&["man"]).ok().stdout.contains("swapmeet"));
    assert!(member.run_plain(&["--version"]).ok().stdout.starts_with("swapmeet "));
}

#[test]
fn the_tracker_tells_its_link_its_settings_and_its_counts() {
    let pair = Pair::start();
    let original = pair.alice.write("counted.bin", corpus::bytes(44, 1000));
    pair.alice.share(&[&original], &["--copy"]);
    let data = pair.tracker.data();
    let tracker = |arguments: &[&str]| {
        let mut command = program::command("swapmeet-tracker", pair.bob.home());
        Running::start(command.args(arguments), b"").finish()
    };
    let link = tracker(&["link", "--data", data.to_str().unwrap()]);
    assert_eq!(link.code, Some(0), "{}", link.stderr);
    assert!(link.stdout.contains(pair.tracker.fingerprint()), "{}", link.stdout);
    let status = tracker(&["status", "--json", "--data", data.to_str().unwrap()]);
    assert_eq!(status.code, Some(0), "{}", status.stderr);
    let status = record(status.stdout.trim()).unwrap();
    assert_eq!(
        (status["members"].as_u64(), status["files"].as_u64(), status["copies"].as_u64()),
        (Some(2), Some(1), Some(1))
    );
    let config = tracker(&["config"]);
    assert!(config.code == Some(0) && config.stdout.contains("listen"), "{}{}", config.stdout, config.stderr);
    assert_eq!(tracker(&["fly"]).code, Some(2));
    assert_eq!(tracker(&["serve", "--listen", "nowhere"]).code, Some(2));
}

#[test]
fn the_headless_demo_checks_every_byte_and_cleans_up_after_itself() {
    let tracker = Tracker::start();
    let member = Member::stranger(&tracker, "x");
    let temporary = member.desk();
    let mut command = member.command(&["demo", "--headless", "--json"]);
    let ended = Running::start(command.env("TMPDIR", &temporary), b"").finish();
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.lines().count() > 0);
    for line in ended.stdout.lines() {
        assert!(record(line).is_some(), "{line:?}");
    }
    let left: Vec<_> = std::fs::read_dir(&temporary).unwrap().collect();
    assert!(left.is_empty(), "{left:?} is left");
    assert_eq!(processes_below(&temporary), Vec::<String>::new(), "processes are left");
}

/// Processes of ours that have a file or their working directory below this folder.
fn processes_below(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let links = std::fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
        let open =
            links.filter_map(|link| std::fs::read_link(link.path()).ok()).any(|target| target.starts_with(folder));
        if open {
            found.push(std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default().replace('\0', " "));
        }
    }
    found
}
