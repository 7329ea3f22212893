use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    thread,
};

use rustix::fs::CWD;
use tempfile::TempDir;

use super::*;
use crate::{
    limits::LISTINGS_KEPT_MAX,
    name::{FoldKey, IndexPath},
};

/// A jail in `downloads`, beside an `outside` folder with a file that must stay as it is.
struct Place {
    dir: TempDir,
    jail: Jail,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/secret"), "secret").unwrap();
        let jail = Jail::open(&dir.path().join("downloads")).unwrap();
        Self { dir, jail }
    }

    fn downloads(&self) -> PathBuf {
        self.dir.path().join("downloads")
    }

    fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    /// Writes `content` to a temporary file of the root.
    fn temporary(&self, content: &str) -> &'static str {
        let root = self.jail.root();
        root.remove("temporary").unwrap();
        io::Write::write_all(&mut root.create_new("temporary", 0o666).unwrap(), content.as_bytes()).unwrap();
        "temporary"
    }

    fn publish_numbered(&self, wanted: &str, content: &str) -> String {
        let root = self.jail.root();
        root.publish_numbered(self.temporary(content), &root, wanted).unwrap()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.downloads().join(path)).unwrap()
    }

    fn assert_outside_untouched(&self) {
        let names: Vec<_> = fs::read_dir(self.outside()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["secret"]);
        assert_eq!(fs::read_to_string(self.outside().join("secret")).unwrap(), "secret");
        let mut beside: Vec<_> =
            fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        beside.sort();
        assert_eq!(beside, ["downloads", "outside"]);
    }
}

/// Names that led out of the folder in programs like this one, and others of their kind. Names are only ever added.
const ESCAPES: [&str; 18] = [
    "",
    ".",
    "..",
    "/",
    "../outside",
    "../../etc/passwd",
    "..\\outside",
    "a/../../outside",
    "a\\..\\..\\outside",
    "/etc/passwd",
    "//server/share",
    "\\\\server\\share",
    "C:\\Windows",
    "a/b",
    "a//b",
    "a\0b",
    "a\nb",
    "\u{1b}]8;;x\u{7}",
];

#[test]
fn the_names_of_a_folder_are_those_of_its_handle_wherever_it_moves() {
    let place = Place::new();
    let folder = place.jail.folder(["a"]).unwrap();
    drop(folder.create_new("file", 0o666).unwrap());
    folder.child("below").unwrap();
    fs::rename(place.downloads().join("a"), place.downloads().join("moved")).unwrap();
    fs::create_dir(place.downloads().join("a")).unwrap();
    let mut names = folder.names().unwrap();
    names.sort();
    assert_eq!(names, ["below", "file"]);
}

#[test]
fn no_name_leads_out_of_the_folder() {
    let place = Place::new();
    let root = place.jail.root();
    let temporary = place.temporary("x");
    for name in ESCAPES {
        let results = [
            root.child(name).err(),
            root.new_child_numbered(name).err(),
            root.create_new(name, 0o666).err(),
            root.open_existing(name).err(),
            root.publish(temporary, &root, name).err(),
            root.publish(name, &root, "fine").err(),
            root.publish_numbered(temporary, &root, name).err(),
            root.remove(name).err(),
            root.remove_empty_child(name).err(),
            root.stat(name).err(),
            place.jail.folder(["a", name]).err(),
        ];
        for (call, error) in results.iter().enumerate() {
            assert!(matches!(error, Some(JailError::Name { .. })), "{name:?}, call {call}: {error:?}");
        }
        assert!(IndexPath::parse(name).is_err() || ["a/b"].contains(&name), "{name:?}");
    }
    place.assert_outside_untouched();
}

#[test]
fn a_link_in_the_way_is_refused_wherever_it_stands() {
    let place = Place::new();
    let root = place.jail.root();
    symlink(place.outside(), place.downloads().join("link")).unwrap();
    symlink("..", place.downloads().join("up")).unwrap();
    symlink("/nowhere", place.downloads().join("dangling")).unwrap();
    symlink(place.outside().join("secret"), place.downloads().join("file")).unwrap();
    for name in ["link", "up", "dangling", "file"] {
        let path = place.downloads().join(name);
        let is_link = |error: JailError| matches!(error, JailError::Symlink { path: at } if at == path);
        assert!(is_link(root.child(name).unwrap_err()), "{name}");
        assert!(is_link(place.jail.folder([name, "deeper"]).unwrap_err()), "{name}");
        assert!(is_link(root.open_existing(name).unwrap_err()), "{name}");
        assert!(matches!(root.create_new(name, 0o666), Err(JailError::Taken { .. })), "{name}");
        assert_eq!(root.stat(name).unwrap().map(|entry| entry.kind), Some(EntryKind::Symlink));
    }
    place.assert_outside_untouched();
}

#[test]
fn a_parent_exchanged_for_a_link_between_two_calls_leads_nowhere() {
    let place = Place::new();
    let folder = place.jail.folder(["a", "b"]).unwrap();
    fs::rename(place.downloads().join("a"), place.downloads().join("moved")).unwrap();
    symlink(place.outside(), place.downloads().join("a")).unwrap();

    // The handle still means the folder that was opened, and a new walk meets the link.
    folder.create_new("file", 0o666).unwrap();
    assert!(place.downloads().join("moved/b/file").exists());
    assert!(matches!(place.jail.folder(["a", "b"]), Err(JailError::Symlink { .. })));
    place.assert_outside_untouched();
}

#[test]
fn a_parent_exchanged_all_the_time_never_lets_a_file_out() {
    let place = Place::new();
    let (real, spare) = (place.downloads().join("a"), place.downloads().join("spare"));
    fs::create_dir(&real).unwrap();
    symlink(place.outside(), &spare).unwrap();
    thread::scope(|scope| {
        let exchange = scope.spawn(|| {
            for _ in 0..2000 {
                rustix::fs::renameat_with(CWD, &real, CWD, &spare, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let mut written = 0;
        while !exchange.is_finished() {
            match place.jail.folder(["a"]) {
                Ok(folder) => {
                    folder.create_new(&format!("file {written}"), 0o666).unwrap();
                    written += 1;
                }
                Err(JailError::Symlink { .. } | JailError::NotFolder { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    });
    place.assert_outside_untouched();
}

#[test]
fn the_root_may_be_a_link_and_is_made_when_missing() {
    let place = Place::new();
    let link = place.downloads().join("chosen");
    fs::create_dir(place.downloads().join("real")).unwrap();
    symlink("real", &link).unwrap();
    Jail::open(&link).unwrap().root().create_new("file", 0o666).unwrap();
    assert!(place.downloads().join("real/file").exists());

    Jail::open(&place.downloads().join("x/y/z")).unwrap();
    assert!(place.downloads().join("x/y/z").is_dir());
    let file = place.outside().join("secret");
    assert!(matches!(Jail::open(&file), Err(JailError::NotFolder { .. })));
    assert!(matches!(Jail::open(&file.join("below")), Err(JailError::NotFolder { .. })));
}

#[test]
fn folders_are_made_on_the_way_and_found_again() {
    let place = Place::new();
    place.jail.folder(["a", "b", "c"]).unwrap().create_new("one", 0o666).unwrap();
    place.jail.folder(["a", "b", "c"]).unwrap().create_new("two", 0o666).unwrap();
    assert!(place.downloads().join("a/b/c/two").exists());
    assert_eq!(place.jail.folder::<&str>([]).unwrap().path(), place.downloads());

    fs::write(place.downloads().join("file"), "").unwrap();
    assert!(matches!(place.jail.folder(["file"]), Err(JailError::NotFolder { .. })));
}

#[test]
fn a_folder_removed_meanwhile_is_made_anew() {
    let place = Place::new();
    for _ in 0..3 {
        let root = place.jail.root();
        let folder = place.jail.folder(["a"]).unwrap();
        let published = root.publish_numbered(place.temporary("x"), &folder, "name").unwrap();
        assert_eq!(published, "name");
        fs::remove_dir_all(place.downloads().join("a")).unwrap();
    }
}

#[test]
fn a_taken_name_is_never_replaced_whatever_took_it() {
    let place = Place::new();
    let root = place.jail.root();
    fs::write(place.downloads().join("file"), "old").unwrap();
    fs::create_dir(place.downloads().join("folder")).unwrap();
    symlink("/nowhere", place.downloads().join("dangling")).unwrap();
    symlink(place.outside().join("secret"), place.downloads().join("link")).unwrap();
    let temporary = place.temporary("new");
    for name in ["file", "folder", "dangling", "link"] {
        assert!(matches!(root.publish(temporary, &root, name), Err(JailError::Taken { .. })), "{name}");
        assert_eq!(root.link_into(temporary, &root, name), Err(Errno::EXIST), "{name}");
        assert!(root.exists(temporary).unwrap());
    }
    assert_eq!(place.read("file"), "old");
    assert!(place.downloads().join("folder").is_dir());
    assert_eq!(fs::read_link(place.downloads().join("dangling")).unwrap(), Path::new("/nowhere"));
    for name in ["file", "folder", "dangling", "link"] {
        assert_eq!(place.publish_numbered(name, "new"), format!("{name} (1)"));
    }
    place.assert_outside_untouched();
}

#[test]
fn publishing_moves_between_folders_and_leaves_no_temporary_name() {
    let place = Place::new();
    let (parts, folder) = (place.jail.folder([".parts"]).unwrap(), place.jail.folder(["a"]).unwrap());
    parts.create_new("1", 0o600).unwrap();
    parts.publish("1", &folder, "file").unwrap();
    assert!(!parts.exists("1").unwrap());
    assert!(folder.exists("file").unwrap());
    parts.remove("1").unwrap();
    parts.sync().unwrap();
    folder.sync_filesystem().unwrap();
    assert!(folder.free_bytes().unwrap() > 0);
    place.jail.root().remove_empty_child(".parts").unwrap();
    assert!(!place.jail.root().exists(".parts").unwrap());
}

#[test]
fn without_rename_that_keeps_its_hands_off_a_link_does_it() {
    let place = Place::new();
    let root = place.jail.root();
    root.link_into(place.temporary("x"), &root, "file").unwrap();
    assert_eq!(place.read("file"), "x");
    assert!(!root.exists("temporary").unwrap());
}

#[test]
fn publishing_what_is_not_there_says_so() {
    let place = Place::new();
    let root = place.jail.root();
    let error = root.publish_numbered("gone", &root, "file").unwrap_err();
    assert!(matches!(&error, JailError::Missing { path } if path.ends_with("gone")), "{error:?}");
    assert_eq!(place.publish_numbered("file", "x"), "file");
}

#[test]
fn a_folder_that_is_gone_is_told_from_a_file_that_is() {
    let place = Place::new();
    let folder = place.jail.folder(["a"]).unwrap();
    fs::remove_dir(place.downloads().join("a")).unwrap();
    let temporary = place.temporary("kept");
    let error = place.jail.root().publish_numbered(temporary, &folder, "file").unwrap_err();
    assert!(matches!(&error, JailError::Missing { path } if path.ends_with("a")), "{error:?}");
    assert_eq!(place.read(temporary), "kept");
}

#[test]
fn numbers_go_up_and_the_extension_stays() {
    let place = Place::new();
    for expected in ["a.tar.gz", "a (1).tar.gz", "a (2).tar.gz"] {
        assert_eq!(place.publish_numbered("a.tar.gz", expected), expected);
        assert_eq!(place.read(expected), expected);
    }
}

#[test]
fn names_that_differ_in_case_or_composition_are_a_clash() {
    let place = Place::new();
    fs::write(place.downloads().join("There"), "").unwrap();
    for (wanted, expected) in [
        ("there", "there (1)"),
        ("Foo", "Foo"),
        ("foo", "foo (1)"),
        ("FOO", "FOO (2)"),
        ("caf\u{e9}", "caf\u{e9}"),
        ("cafe\u{301}", "cafe\u{301} (1)"),
    ] {
        assert_eq!(place.publish_numbered(wanted, wanted), expected);
        assert_eq!(place.read(expected), wanted);
    }
}

#[test]
fn a_clash_is_seen_across_handles_of_one_folder() {
    let place = Place::new();
    let root = place.jail.root();
    let (one, other) = (place.jail.folder(["a"]).unwrap(), place.jail.folder(["a"]).unwrap());
    assert_eq!(root.publish_numbered(place.temporary("1"), &one, "Foo").unwrap(), "Foo");
    assert_eq!(root.publish_numbered(place.temporary("2"), &other, "foo").unwrap(), "foo (1)");
    root.publish(place.temporary("3"), &one, "Bar").unwrap();
    assert_eq!(root.publish_numbered(place.temporary("4"), &other, "bar").unwrap(), "bar (1)");
}

#[test]
fn a_name_that_was_freed_is_used_again() {
    let place = Place::new();
    assert_eq!(place.publish_numbered("file", "1"), "file");
    assert_eq!(place.publish_numbered("file", "2"), "file (1)");
    fs::remove_file(place.downloads().join("file")).unwrap();
    assert_eq!(place.publish_numbered("file", "3"), "file");
    place.jail.root().remove("file").unwrap();
    assert_eq!(place.publish_numbered("File", "4"), "File");
}

#[test]
fn a_folder_that_exists_gets_a_number_too() {
    let place = Place::new();
    let root = place.jail.root();
    assert_eq!(root.new_child_numbered("photos").unwrap().0, "photos");
    let (name, folder) = root.new_child_numbered("Photos").unwrap();
    assert_eq!(name, "Photos (1)");
    folder.create_new("file", 0o666).unwrap();
    assert!(place.downloads().join("Photos (1)/file").exists());
}

#[test]
fn ten_thousand_files_fit_one_folder() {
    let place = Place::new();
    let root = place.jail.root();
    for number in 0..10_000 {
        let folder = place.jail.folder(["many"]).unwrap();
        root.create_new("part", 0o666).unwrap();
        // Every second one meets a name that is taken.
        root.publish_numbered("part", &folder, &format!("file {}", number / 2)).unwrap();
    }
    assert_eq!(fs::read_dir(place.downloads().join("many")).unwrap().count(), 10_000);
}

#[test]
fn many_files_of_one_name_are_all_kept() {
    let place = Place::new();
    for number in 0..1000 {
        place.publish_numbered(if number % 2 == 0 { "same.txt" } else { "SAME.txt" }, "x");
    }
    assert_eq!(fs::read_dir(place.downloads()).unwrap().count(), 1000);
}

#[test]
fn workers_that_publish_the_same_name_at_once_lose_nothing() {
    let place = Place::new();
    thread::scope(|scope| {
        for worker in 0..4 {
            let root = place.jail.root();
            scope.spawn(move || {
                for number in 0..50 {
                    let part = format!("part {worker} {number}");
                    root.create_new(&part, 0o666).unwrap();
                    root.publish_numbered(&part, &root, if worker % 2 == 0 { "Name" } else { "name" }).unwrap();
                }
            });
        }
    });
    let mut folded: Vec<_> = fs::read_dir(place.downloads())
        .unwrap()
        .map(|entry| FoldKey::of(&entry.unwrap().file_name().to_string_lossy()))
        .collect();
    assert_eq!(folded.len(), 200);
    folded.sort();
    folded.dedup();
    assert_eq!(folded.len(), 200);
}

#[test]
fn listings_are_kept_within_their_limit() {
    let place = Place::new();
    for number in 0..3 * LISTINGS_KEPT_MAX {
        place.jail.folder([format!("folder {number}")]).unwrap();
    }
    assert!(place.jail.root.kept.0.lock().unwrap().len() <= LISTINGS_KEPT_MAX);
}

#[test]
fn only_regular_files_are_opened_to_resume() {
    let place = Place::new();
    let root = place.jail.root();
    root.child("folder").unwrap();
    rustix::fs::mkfifoat(CWD, place.downloads().join("pipe"), Mode::from_raw_mode(0o666)).unwrap();
    for name in ["folder", "pipe"] {
        assert!(matches!(root.open_existing(name), Err(JailError::NotRegular { .. })), "{name}");
    }
    assert!(matches!(root.open_existing("missing"), Err(JailError::Missing { .. })));
    let temporary = place.temporary("kept");
    assert_eq!(io::read_to_string(root.open_existing(temporary).unwrap()).unwrap(), "kept");
    assert!(matches!(root.create_new(temporary, 0o666), Err(JailError::Taken { .. })));
}

#[test]
fn a_received_file_gets_its_time_and_may_be_run_only_if_it_could_be() {
    let place = Place::new();
    let root = place.jail.root();
    for (name, created, executable, expected) in [
        ("program", 0o640, true, 0o750),
        ("document", 0o640, false, 0o640),
        ("private", 0o600, true, 0o700),
        ("forged", 0o7777, false, 0o666),
    ] {
        let file = root.create_new(name, created).unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o7111, 0, "{name}");
        file.set_permissions(fs::Permissions::from_mode(created)).unwrap();
        for modified_ms in [1_700_000_000_123, -1] {
            finish_metadata(&file, modified_ms, executable).unwrap();
            let metadata = file.metadata().unwrap();
            assert_eq!(metadata.mode() & 0o7777, expected, "{name}");
            assert_eq!(metadata.mtime() * 1000 + metadata.mtime_nsec() / 1_000_000, modified_ms);
        }
    }
}

#[test]
fn shared_files_are_served_below_their_root_only() {
    let place = Place::new();
    let share = place.downloads();
    fs::create_dir(share.join("sub")).unwrap();
    fs::write(share.join("sub/file"), "content").unwrap();
    symlink(place.outside().join("secret"), share.join("link")).unwrap();
    symlink(place.outside(), share.join("out")).unwrap();
    symlink("sub", share.join("inner")).unwrap();
    rustix::fs::mkfifoat(CWD, share.join("pipe"), Mode::from_raw_mode(0o666)).unwrap();
    let open = |path: &str| open_shared(&share, Some(&IndexPath::parse(path).unwrap()));

    let (file, stamp) = open("sub/file").unwrap();
    assert_eq!(stamp.size, 7);
    assert_eq!(io::read_to_string(file).unwrap(), "content");
    for path in ["link", "out/secret", "inner/file"] {
        assert!(matches!(open(path), Err(JailError::Symlink { .. })), "{path}");
    }
    for path in ["pipe", "sub"] {
        assert!(matches!(open(path), Err(JailError::NotRegular { .. })), "{path}");
    }
    assert!(matches!(open("sub/file/below"), Err(JailError::NotFolder { .. })));
    assert!(matches!(open("gone"), Err(JailError::Missing { .. })));

    let alone = |name: &str| open_shared(&share.join(name), None);
    assert!(alone("sub/file").is_ok());
    assert!(matches!(alone("link"), Err(JailError::Symlink { .. })));
    assert!(matches!(alone("pipe"), Err(JailError::NotRegular { .. })));
    assert!(matches!(open_shared(Path::new("/dev/null"), None), Err(JailError::NotRegular { .. })));
}

#[test]
fn a_stamp_tells_a_changed_size_and_an_exchanged_file() {
    let place = Place::new();
    let path = place.downloads().join("file");
    fs::write(&path, "one").unwrap();
    let (file, before) = open_shared(&path, None).unwrap();
    assert_eq!(Stamp::of(&file).unwrap(), before);
    assert_eq!(Stamp::of_metadata(&fs::metadata(&path).unwrap()), before);

    fs::write(&path, "longer").unwrap();
    assert_ne!(Stamp::of(&file).unwrap().size, before.size);

    fs::write(place.downloads().join("other"), "one").unwrap();
    fs::rename(place.downloads().join("other"), &path).unwrap();
    assert_ne!(open_shared(&path, None).unwrap().1.inode, before.inode);
}

#[test]
fn errors_name_the_place_without_raw_text() {
    let place = Place::new();
    let error = place.jail.root().child("\u{1b}[31m").unwrap_err();
    assert_eq!(error.to_string(), "‹ESC›[31m is no name for a file");
    let error = place.jail.root().open_existing("a\u{202e}b").unwrap_err();
    assert!(error.to_string().ends_with("/a‹U+202E›b does not exist"), "{error}");
}

#[test]
fn a_full_or_read_only_disk_is_told_from_other_faults() {
    let path = Path::new("file");
    assert!(matches!(JailError::of("write", path, Errno::NOSPC), JailError::DiskFull { .. }));
    assert!(matches!(JailError::of("write", path, Errno::DQUOT), JailError::DiskFull { .. }));
    assert!(matches!(JailError::of("write", path, Errno::ROFS), JailError::ReadOnly { .. }));
    assert!(matches!(JailError::of("write", path, Errno::IO), JailError::Io { .. }));
}
