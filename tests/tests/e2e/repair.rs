//! Damaged files: `verify` names what is wrong in them, `get --repair` fetches just that, and nothing that was there is
//! lost.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tests::{
    corpus,
    member::{number, record, text},
    tree,
};

use crate::get::Pair;

/// What happens to a file, how, and how many groups it costs.
type Damage = (&'static str, fn(&File, u64), u64);

#[test]
fn three_wrong_bytes_are_named_and_three_groups_are_fetched() {
    let scene = Scene::start(100 << 20);
    let wrong = [3, 4000, 6399];
    scene.flip(&wrong);
    let ranges: Vec<Value> = wrong.iter().map(|group| json!([group * GROUP, (group + 1) * GROUP])).collect();
    // What was fetched is known; so is what its ID says.
    for arguments in [&[][..], &[scene.id.as_str()]] {
        let output = scene.verify(arguments);
        let error = output.clone().fails(6);
        let verify = output.one("verify");
        assert_eq!((&verify["match"], &verify["bad"]), (&json!(false), &json!(ranges)), "{verify}");
        assert!(text(&error, "hint").contains("--repair"), "{error}");
    }
    let damaged = fs::read(&scene.path).unwrap();
    let transfer = scene.repair(&scene.id);
    assert_eq!(number(&transfer, "bytes_peer"), 3 * GROUP, "{transfer}");
    assert_eq!(number(&transfer, "bytes_local"), scene.size - 3 * GROUP, "{transfer}");
    assert!(fs::read(text(&transfer, "damaged")).unwrap() == damaged, "the damaged file is kept as it was");
    scene.verify(&[&scene.id]).ok();
}

#[test]
fn a_fetched_file_is_repaired_without_its_id() {
    let scene = Scene::start(5_000_000);
    fs::set_permissions(&scene.path, fs::Permissions::from_mode(0o640)).unwrap();
    scene.flip(&[7]);
    let output = scene.pair.bob.run(&["get", "--repair", scene.path.to_str().unwrap()]).ok();
    assert_eq!(number(&output.one("transfer"), "bytes_peer"), GROUP, "{output}");
    scene.assert_repaired();
    assert_eq!(fs::metadata(&scene.path).unwrap().permissions().mode() & 0o777, 0o640, "who may read it stays");
}

#[test]
fn what_is_missing_too_much_or_a_hole_is_repaired() {
    let scene = Scene::start(20 << 20);
    let all = scene.size / GROUP;
    let damages: [Damage; 4] = [
        ("truncated", |file, size| file.set_len(size - 10 * GROUP - 1).unwrap(), 11),
        ("longer", |file, size| file.write_all_at(b"more", size).unwrap(), 0),
        ("a hole", |file, size| punch(file, size / 2, 5), 5),
        ("empty", |file, _| file.set_len(0).unwrap(), all),
    ];
    for (what, damage, groups) in damages {
        damage(&scene.open(), scene.size);
        let verify = scene.verify(&[&scene.id]);
        verify.clone().fails(6);
        let bad = verify.one("verify")["bad"].as_array().unwrap().len();
        assert_eq!(bad, 1, "{what}: {verify}");
        let transfer = scene.repair(&scene.id);
        assert_eq!(number(&transfer, "bytes_peer"), groups * GROUP, "{what}: {transfer}");
    }
    let kept = damaged_files(&scene.path);
    assert_eq!(kept.len(), damages.len(), "each damaged form has a name of its own: {kept:?}");
}

#[test]
fn without_the_right_hash_tree_here_a_source_is_asked_for_it() {
    let scene = Scene::start(100 << 20);
    // A device that never fetched it, with a copy from elsewhere.
    let carol = scene.pair.bob.second_device(&scene.pair.tracker);
    let copy = carol.desk().join("copy.bin");
    scene.flip(&[3, 4, 5000]);
    fs::copy(&scene.path, &copy).unwrap();
    let verify = carol.run(&["verify", copy.to_str().unwrap(), &scene.id]);
    verify.clone().fails(6);
    assert_eq!(verify.one("verify")["bad"], Value::Null, "{verify}");
    let transfer = carol.run(&["get", &scene.id, "--repair", copy.to_str().unwrap()]).ok().one("transfer");
    let counted = (number(&transfer, "bytes_peer"), number(&transfer, "bytes_local"));
    assert_eq!(counted, (3 * GROUP, scene.size - 3 * GROUP), "{transfer}");
    tree::assert_same(&scene.original, &copy);
    // By now the tree is here.
    File::options().write(true).open(&copy).unwrap().write_all_at(b"damaged", 9 * GROUP).unwrap();
    let verify = carol.run(&["verify", copy.to_str().unwrap()]);
    assert_eq!(verify.one("verify")["bad"], json!([[9 * GROUP, 10 * GROUP]]), "{verify}");
}

#[test]
fn small_files_are_repaired_too() {
    for size in [1, 16_384, 16_385, 300_000] {
        let scene = Scene::start(size);
        scene.open().write_all_at(b"?", size / 2).unwrap();
        let transfer = scene.repair(&scene.id);
        assert!(number(&transfer, "bytes_peer") <= size.min(GROUP), "{transfer}");
    }
}

#[test]
fn a_repair_that_is_killed_leaves_the_damaged_file_as_it_was() {
    let scene = Scene::start(300 << 20);
    let other = corpus::bytes(9, 1 << 20);
    let file = scene.open();
    for megabyte in 20..290 {
        file.write_all_at(&other, megabyte << 20).unwrap();
    }
    let before = tree::hash(&scene.path);
    let engine = scene.pair.bob.engine();
    let mut watch = scene.pair.bob.start(&["transfers", "watch"]);
    let get = scene.pair.bob.start(&["get", &scene.id, "--repair", scene.path.to_str().unwrap()]);
    watch.line("enough progress", |line| {
        record(line).is_some_and(|record| {
            record["state"] == "running" && record["bytes_peer"].as_u64().is_some_and(|bytes| bytes > 50 << 20)
        })
    });
    engine.kill();
    drop((watch, get));
    assert_eq!(tree::hash(&scene.path), before, "it is as it was");
    assert!(damaged_files(&scene.path).is_empty());
    let transfer = scene.repair(&scene.id);
    let fetched = number(&transfer, "bytes_peer");
    assert!(fetched <= (270 << 20) + scene.size / 20, "at most 5 % came twice: {transfer}");
}

#[test]
fn a_file_that_is_right_is_left_alone() {
    let scene = Scene::start(3_000_000);
    let before = fs::metadata(&scene.path).unwrap().modified().unwrap();
    let transfer = scene.pair.bob.run(&["get", &scene.id, "--repair", scene.path.to_str().unwrap()]).ok();
    let transfer = transfer.one("transfer");
    assert_eq!((number(&transfer, "bytes_peer"), &transfer["damaged"]), (0, &Value::Null), "{transfer}");
    assert_eq!(fs::metadata(&scene.path).unwrap().modified().unwrap(), before);
    assert!(damaged_files(&scene.path).is_empty());
}

#[test]
fn what_cannot_be_repaired_is_refused_and_nothing_is_made() {
    let scene = Scene::start(20_000);
    let desk = scene.pair.bob.desk();
    let stranger = scene.pair.bob.write("stranger.bin", "nobody's");
    let link = desk.join("link.bin");
    symlink(&scene.path, &link).unwrap();
    let absent = desk.join("absent/file.bin");
    let repair = |arguments: &[&str]| scene.pair.bob.run(&[&["get", "--repair"], arguments].concat());
    for path in [&absent, &link, &desk] {
        repair(&[path.to_str().unwrap(), &scene.id]).fails(4);
    }
    let error = repair(&[stranger.to_str().unwrap()]).fails(4);
    assert!(text(&error, "hint").contains("ID"), "{error}");
    repair(&[stranger.to_str().unwrap(), &scene.id, &scene.id]).fails(2);
    assert_eq!(tree::files(&desk).len(), 1, "{:?}", tree::files(&desk));
    assert_eq!(fs::read_to_string(&stranger).unwrap(), "nobody's");
}

#[test]
fn a_shared_file_is_compared_with_what_is_shared() {
    let scene = Scene::start(20_000);
    let verify = scene.pair.alice.run(&["verify", scene.original.to_str().unwrap()]).ok().one("verify");
    assert_eq!((&verify["match"], &verify["bad"]), (&json!(true), &json!([])), "{verify}");
    let other = scene.pair.alice.write("other.bin", "nobody knows");
    let verify = scene.pair.alice.run(&["verify", other.to_str().unwrap()]).ok().one("verify");
    assert_eq!((&verify["match"], &verify["bad"]), (&Value::Null, &Value::Null), "{verify}");
}

/// Bob fetched a file of Alice's.
struct Scene {
    pair: Pair,
    id: String,
    original: PathBuf,
    path: PathBuf,
    size: u64,
}

impl Scene {
    fn start(size: u64) -> Self {
        let pair = Pair::start();
        let original = pair.alice.desk().join("film.bin");
        corpus::large_file(&original, size, size);
        let id = pair.alice.share(&[&original], &[]);
        let path = PathBuf::from(text(&pair.get(&id), "path"));
        Self { pair, id, original, path, size }
    }

    fn open(&self) -> File {
        File::options().read(true).write(true).open(&self.path).unwrap()
    }

    /// Makes one byte in each of these groups another.
    fn flip(&self, groups: &[u64]) {
        let file = self.open();
        for group in groups {
            let mut byte = [0];
            file.read_exact_at(&mut byte, group * GROUP + 77).unwrap();
            file.write_all_at(&[byte[0] ^ 1], group * GROUP + 77).unwrap();
        }
    }

    fn verify(&self, expected: &[&str]) -> tests::Output {
        self.pair.bob.run(&[&["verify", self.path.to_str().unwrap()], expected].concat())
    }

    /// Repairs the file, which is the right one then.
    fn repair(&self, item: &str) -> Value {
        let output = self.pair.bob.run(&["get", item, "--repair", self.path.to_str().unwrap()]).ok();
        self.assert_repaired();
        let transfer = output.one("transfer");
        assert_eq!(text(&transfer, "path"), self.path.to_str().unwrap(), "{transfer}");
        transfer
    }

    fn assert_repaired(&self) {
        tree::assert_same(&self.original, &self.path);
        let parts = tree::files(self.path.parent().unwrap());
        assert!(!parts.iter().any(|(path, _)| path.to_string_lossy().ends_with("part")), "left behind: {parts:?}");
    }
}

/// The files beside one that are its damaged forms.
fn damaged_files(path: &Path) -> Vec<PathBuf> {
    let files = tree::files(path.parent().unwrap());
    files.into_iter().map(|(path, _)| path).filter(|path| path.to_string_lossy().ends_with(".swapmeet-bad")).collect()
}

fn punch(file: &File, at: u64, groups: u64) {
    let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(file, flags, at, groups * GROUP).unwrap();
}

const GROUP: u64 = 16 * 1024;
