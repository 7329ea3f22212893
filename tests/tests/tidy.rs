//! House rules that a compiler does not know, over every file of the repository.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the repository has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

#[test]
fn no_file_holds_two_ideas() {
    let long: Vec<String> = sources("rs")
        .into_iter()
        .filter(|(path, _)| !is_test(path))
        .map(|(path, text)| (lines_of_code(&text), path))
        .filter(|(lines, path)| *lines > LINES_MAX && !LONG_FILES.contains(&path.as_str()))
        .map(|(lines, path)| format!("{path} has {lines} lines"))
        .collect();
    assert_none(&long, "split them by idea");
}

#[test]
fn nothing_is_left_for_later() {
    let words = ["todo!", "unimplemented!", concat!("FIX", "ME"), concat!("XX", "X:"), "dbg!("];
    assert_none(&lines_with(&sources("rs"), &words), "finish it");
}

#[test]
fn no_path_of_any_ones_machine_is_written_down() {
    let places = [concat!("/", "work", "/"), concat!("/", "root", "/."), concat!("/Us", "ers/")];
    assert_none(&lines_with(&everything(), &places), "name a place relative to the repository");
}

#[test]
fn no_test_sleeps() {
    let tests: Vec<_> = sources("rs")
        .into_iter()
        .map(|(path, text)| {
            let tests = if path.starts_with("tests/") || is_test(&path) {
                text
            } else {
                text.split_once("#[cfg(test)]\nmod tests {").map(|(_, tests)| tests.to_owned()).unwrap_or_default()
            };
            (path, tests)
        })
        .collect();
    assert_none(&lines_with(&tests, &[concat!("sleep", "(")]), "wait for the event");
}

#[test]
fn lints_are_expected_with_a_reason_and_not_allowed() {
    let sources = sources("rs");
    assert_none(
        &lines_with(&sources, &[concat!("#[al", "low("), concat!("#![al", "low(")]),
        "use #[expect(..., reason)]",
    );
    let ignored: Vec<String> = lines_with(&sources, &[concat!("#[ig", "nore]")]);
    assert_none(&ignored, "an ignored test says why");
}

#[test]
fn limits_live_in_one_place() {
    let found: Vec<String> = sources("rs")
        .iter()
        .filter(|(path, _)| !path.starts_with("tests/") && !is_limits(path))
        .flat_map(|(path, text)| {
            text.lines()
                .filter(|line| line.starts_with("pub const ") && (line.contains("_MAX:") || line.contains("_MIN:")))
                .map(move |line| format!("{path}: {line}"))
        })
        .collect();
    assert_none(&found, "a bound that others see belongs into shared/src/limits");
}

fn is_limits(path: &str) -> bool {
    path == "shared/src/limits.rs" || path.starts_with("shared/src/limits/")
}

#[test]
fn every_limit_says_why() {
    let limits: Vec<(String, String)> = sources("rs").into_iter().filter(|(path, _)| is_limits(path)).collect();
    assert!(limits.len() > 1, "the limits are not where they were: {}", limits.len());
    let bare: Vec<String> = limits
        .iter()
        .flat_map(|(path, text)| text.lines().zip(text.lines().skip(1)).map(move |pair| (path, pair)))
        .filter(|(_, (before, line))| line.starts_with("pub const ") && !before.starts_with("///"))
        .map(|(path, (_, line))| format!("{path}: {line}"))
        .collect();
    assert_none(&bare, "say its reason");
}

#[test]
fn migrations_are_numbered_without_gaps() {
    for folder in migration_folders() {
        let mut names: Vec<String> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| Path::new(name).extension().is_some_and(|extension| extension == "sql"));
        names.sort();
        for (index, name) in names.iter().enumerate() {
            let number = name.split('_').next().and_then(|number| number.parse().ok());
            assert_eq!(number, Some(index + 1), "{} in {}", name, folder.display());
        }
    }
}

#[test]
fn a_migration_that_was_released_never_changes() {
    // Releases are tags; before the first one there is nothing to keep.
    let Some(tag) = git(&["describe", "--tags", "--abbrev=0", "--match", "v*"]) else { return };
    for folder in migration_folders() {
        let folder = folder.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let changed = git(&["diff", "--name-only", "--diff-filter=MDR", tag.trim(), "--", &folder]).unwrap_or_default();
        assert!(changed.is_empty(), "changed since {}: {changed}", tag.trim());
    }
}

#[test]
fn every_snapshot_was_looked_at() {
    let waiting: Vec<String> = walk(&root()).into_iter().filter(|path| path.ends_with(".snap.new")).collect();
    assert_none(&waiting, "accept or reject it");
}

#[test]
fn no_private_key_is_committed() {
    let marks = [
        concat!("BEGIN PRIV", "ATE KEY"),
        concat!("BEGIN RSA PRIV", "ATE KEY"),
        concat!("BEGIN OPENSSH PRIV", "ATE KEY"),
    ];
    assert_none(&lines_with(&everything(), &marks), "keys are made at run time");
}

#[test]
fn a_crate_depends_only_downwards() {
    let manifest = |name: &str| fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
    let depends = |name: &str, on: &str| {
        manifest(name)
            .lines()
            .any(|line| line.starts_with(&format!("{on}.workspace")) || line.starts_with(&format!("{on} = ")))
    };
    for (name, never) in [
        ("certs", &["shared", "seal", "tracker", "tui", "tests"][..]),
        ("shared", &["seal", "tracker", "tui", "tests"]),
        ("seal", &["certs", "tracker", "tui", "tests"]),
        ("tracker", &["seal", "tui", "tests"]),
        ("tui", &["tests"]),
    ] {
        for on in never {
            assert!(!depends(name, on), "{name} depends on {on}");
        }
    }
}

#[test]
fn the_pure_cores_know_no_runtime() {
    let sources = sources("rs");
    let pure: Vec<_> = sources
        .into_iter()
        .filter(|(path, _)| !is_test(path))
        .filter(|(path, _)| {
            [
                "shared/src/content/",
                "shared/src/download/",
                "shared/src/limit/",
                "shared/src/name/",
                "shared/src/wire/",
                "tui/src/app/",
                "tui/src/engine/library/edits.rs",
                "shared/src/reach.rs",
                "tui/src/engine/chat/envelope.rs",
                "tui/src/engine/chat/rooms.rs",
                "shared/src/inbox.rs",
                "shared/src/words.rs",
                "tui/src/engine/inbox/decide.rs",
                "tui/src/engine/wishes/matching.rs",
            ]
            .iter()
            .any(|room| path.starts_with(room))
        })
        .collect();
    let impure = ["tokio::", "quinn::", "std::fs::", "std::net::Udp", "SystemTime::now", "Instant::now", "rand::rng()"];
    assert_none(&lines_with(&pure, &impure), "pure code takes these as arguments");
}

/// Files that are long for a reason.
const LONG_FILES: [&str; 3] = [
    // The bytes of every message.
    "shared/src/wire/golden.rs",
    // The engine's interface and the tracker's messages: lists of plain data, read side by side.
    "tui/src/engine/api.rs",
    "shared/src/wire/tracker.rs",
];

const LINES_MAX: usize = 600;

/// Whether a file of a crate holds nothing but tests.
fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("tests.rs")
}

/// Lines of a file without the tests at its end.
fn lines_of_code(text: &str) -> usize {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text).lines().count()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn migration_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = walk(&root())
        .iter()
        .filter(|path| path.ends_with(".sql"))
        .filter_map(|path| root().join(path).parent().map(Path::to_owned))
        .collect();
    folders.sort();
    folders.dedup();
    folders
}

/// Paths of the repository's files, relative to its root.
fn walk(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if entry.file_type().unwrap().is_dir() {
                if name != "target" && name != ".git" {
                    open.push(path);
                }
            } else if let Some(path) = path.strip_prefix(root).unwrap().to_str() {
                found.push(path.to_owned());
            }
        }
    }
    found.sort();
    found
}

fn sources(extension: &str) -> Vec<(String, String)> {
    everything().into_iter().filter(|(path, _)| path.ends_with(&format!(".{extension}"))).collect()
}

fn everything() -> Vec<(String, String)> {
    let root = root();
    let text = |path: String| fs::read_to_string(root.join(&path)).ok().map(|text| (path, text));
    walk(&root).into_iter().filter_map(text).collect()
}

fn lines_with(files: &[(String, String)], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| path != "tests/tests/tidy.rs") {
        for (index, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{path}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    found
}

fn assert_none(found: &[String], advice: &str) {
    assert!(found.is_empty(), "{advice}:\n{}", found.join("\n"));
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).current_dir(root()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
