//! The main job: what one member shares, another gets, directly and identical.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration, time::SystemTime};

use serde_json::Value;
use tests::{
    Engine, Member, Tracker, corpus,
    member::{number, text},
    tree,
};

/// Alice shares with her engine running, Bob has an account.
pub(crate) struct Pair {
    pub(crate) tracker: Tracker,
    pub(crate) alice: Member,
    pub(crate) engine: Option<Engine>,
    pub(crate) bob: Member,
}

impl Pair {
    pub(crate) fn start() -> Self {
        let tracker = Tracker::start();
        let alice = Member::new(&tracker, "alice");
        let bob = Member::new(&tracker, "bob");
        let engine = Some(alice.engine());
        Self { tracker, alice, engine, bob }
    }

    /// Bob gets an item, and the record of its transfer comes back.
    pub(crate) fn get(&self, item: &str) -> Value {
        self.bob.run(&["get", item]).ok().one("transfer")
    }

    /// Bob has what lies at `original`, byte for byte.
    pub(crate) fn assert_got(&self, transfer: &Value, original: &Path) {
        tree::assert_same(original, Path::new(&text(transfer, "path")));
        assert!(Path::new(&text(transfer, "path")).starts_with(self.bob.downloads()), "{transfer}");
    }
}

#[test]
fn a_shared_file_arrives_directly_and_identical() {
    let pair = Pair::start();
    let original = pair.alice.write("notes.bin", corpus::bytes(1, 3_000_000));
    fs::set_permissions(&original, fs::Permissions::from_mode(0o755)).unwrap();
    corpus::set_modified(&original, SystemTime::UNIX_EPOCH + Duration::from_millis(1_234_567_890_123));
    let shared = pair.alice.run(&["share", original.to_str().unwrap()]).ok().one("file");
    let transfer = pair.get(&text(&shared, "id"));
    pair.assert_got(&transfer, &original);
    assert_eq!(text(&transfer, "name"), "notes.bin");
    assert_eq!(text(&transfer, "hash"), tree::hash(&original));
    assert_eq!(text(&shared, "hash"), text(&transfer, "hash"));
    assert_eq!(number(&transfer, "size"), 3_000_000);
    assert_eq!(number(&transfer, "bytes_peer"), 3_000_000, "all of it came from the owner: {transfer}");
    for nothing in ["bytes_copy", "bytes_relay", "bytes_local"] {
        assert_eq!(number(&transfer, nothing), 0, "{transfer}");
    }
    assert!(transfer["elapsed_ms"].is_u64(), "{transfer}");
    let source = &transfer["sources"][0];
    assert_eq!((text(source, "member"), text(source, "kind")), ("alice".to_owned(), "peer".to_owned()));
    assert!(["direct", "lan"].contains(&text(source, "path").as_str()), "{source}");
    assert_eq!(number(source, "bytes"), 3_000_000);
    assert!(
        !fs::read_dir(pair.bob.downloads()).unwrap().any(|entry| {
            let name = entry.unwrap().file_name();
            name.to_string_lossy() != "notes.bin"
        }),
        "nothing but the file is left in the download folder"
    );
}

#[test]
fn sizes_around_the_edges_of_a_group_arrive_identical() {
    let pair = Pair::start();
    for size in [0, 1, 1023, 1024, 1025, 16_383, 16_384, 16_385, 32_768, 1_048_575, 1_048_576, 1_048_577] {
        pair.alice.write(&format!("sizes/{size}"), corpus::bytes(size as u64, size));
    }
    let folder = pair.alice.desk().join("sizes");
    pair.alice.share(&[&folder], &[]);
    let transfer = pair.get("alice/sizes");
    pair.assert_got(&transfer, &folder);
    // The same one by one, where nothing travels in a batch with others.
    for size in [0, 1, 16_384, 16_385, 1_048_577] {
        let target = pair.bob.desk().join(format!("one {size}"));
        pair.bob.run(&["get", &format!("alice/sizes/{size}"), "-o", target.to_str().unwrap()]).ok();
        tree::assert_same(&folder.join(size.to_string()), &target);
    }
}

#[test]
fn a_folder_keeps_its_shape_its_times_and_its_executable_bits() {
    let pair = Pair::start();
    let folder = pair.alice.desk().join("project");
    corpus::small_files(&folder, 3, 2000, 6000);
    let deep: std::path::PathBuf = (0..40).map(|level| format!("level {level}")).collect();
    pair.alice.write(&format!("project/{}/bottom", deep.display()), "deep");
    pair.alice.share(&[&folder], &[]);
    let transfer = pair.get("alice/project");
    pair.assert_got(&transfer, &folder);
    let bytes: u64 = tree::files(&folder).iter().map(|(_, size)| size).sum();
    assert_eq!(number(&transfer, "size"), bytes);
    assert!(number(&transfer, "bytes_peer") <= bytes, "nothing was fetched twice: {transfer}");
}

#[test]
fn a_file_that_is_there_is_never_replaced() {
    let pair = Pair::start();
    let original = pair.alice.write("report.final.txt", "from alice");
    let id = pair.alice.share(&[&original], &[]);
    fs::create_dir_all(pair.bob.downloads()).unwrap();
    fs::write(pair.bob.downloads().join("report.final.txt"), "bob's own").unwrap();
    let transfer = pair.get(&id);
    assert_eq!(text(&transfer, "path"), pair.bob.downloads().join("report.final (1).txt").display().to_string());
    assert_eq!(fs::read_to_string(pair.bob.downloads().join("report.final.txt")).unwrap(), "bob's own");
    assert_eq!(fs::read_to_string(pair.bob.downloads().join("report.final (1).txt")).unwrap(), "from alice");
}

#[test]
fn what_is_already_there_is_not_fetched_again() {
    let pair = Pair::start();
    let original = pair.alice.write("big.bin", corpus::bytes(5, 5_000_000));
    let id = pair.alice.share(&[&original], &[]);
    pair.get(&id);
    let again = pair.get(&id);
    assert_eq!(number(&again, "bytes_peer") + number(&again, "bytes_copy"), 0, "nothing travels twice: {again}");
    pair.assert_got(&again, &original);
}

#[test]
fn a_target_names_a_folder_a_file_or_stdout() {
    let pair = Pair::start();
    let original = pair.alice.write("poem.txt", "roses\n");
    let id = pair.alice.share(&[&original], &[]);
    let folder = pair.bob.desk();
    pair.bob.run(&["get", &id, "-o", folder.to_str().unwrap()]).ok();
    tree::assert_same(&original, &folder.join("poem.txt"));
    let file = folder.join("renamed.txt");
    pair.bob.run(&["get", &id, "-o", file.to_str().unwrap()]).ok();
    tree::assert_same(&original, &file);
    let piped = pair.bob.run_plain(&["get", &id, "-o", "-"]).ok();
    assert_eq!(piped.stdout, "roses\n", "the file and nothing else is on stdout");
}

#[test]
fn a_file_is_named_by_its_id_a_prefix_its_path_or_its_link() {
    let pair = Pair::start();
    let original = pair.alice.write("named.txt", "found");
    let shared = pair.alice.run(&["share", original.to_str().unwrap()]).ok().one("file");
    let id = text(&shared, "id");
    for name in [&id, &id[..8], "alice/named.txt", &text(&shared, "link")] {
        let info = pair.bob.run(&["info", name]).ok();
        assert_eq!(text(&info.records()[0], "id"), id, "{info}");
    }
}

#[test]
fn two_files_with_the_same_bytes_are_both_there() {
    let pair = Pair::start();
    for name in ["twins/one", "twins/two", "twins/below/three"] {
        pair.alice.write(name, corpus::bytes(8, 100_000));
    }
    let folder = pair.alice.desk().join("twins");
    pair.alice.share(&[&folder], &[]);
    let transfer = pair.get("alice/twins");
    pair.assert_got(&transfer, &folder);
}

#[test]
fn verify_compares_a_local_file_with_what_it_should_be() {
    let pair = Pair::start();
    let original = pair.alice.write("truth.txt", "truth");
    let id = pair.alice.share(&[&original], &[]);
    let path = text(&pair.get(&id), "path");
    pair.bob.run(&["verify", &path, &id]).ok();
    pair.bob.run(&["verify", &path, &format!("b3:{}", tree::hash(&original))]).ok();
    fs::write(&path, "lies!").unwrap();
    pair.bob.run(&["verify", &path, &id]).fails(6);
}
