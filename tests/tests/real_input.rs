//! Real amounts: a folder of this machine with ten thousand files and more, a file of gigabytes, and `kill -9` of
//! everybody at random moments.
//!
//! `REAL_INPUT=full` gives the kills the whole amounts and ten seeds each; `REAL_INPUT_SEEDS=7,8` replays chosen ones.

#![expect(clippy::unwrap_used, reason = "what cannot be set up has failed")]

use std::{
    collections::HashSet,
    env,
    fs::{self, File},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use tests::{
    Engine, Member, PATIENCE, Running, Tracker, corpus,
    member::{number, record, text},
    tree,
};

#[test]
fn a_folder_of_ten_thousand_files_arrives_identical() {
    let real = real_folder();
    let bytes: u64 = real.files.iter().sum();
    println!("{}: {} files, {bytes} bytes", real.path.display(), real.files.len());
    assert!(real.files.len() >= 10_000 && bytes >= 500 << 20);
    arrives_identical(&real.path);
}

#[test]
fn a_file_of_two_gibibytes_arrives_identical() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.bin");
    corpus::large_file(&path, 91, 2 << 30);
    arrives_identical(&path);
}

#[test]
fn a_sparse_file_of_fifty_gibibytes_arrives_identical_and_stays_sparse() {
    let Some(place) = Roomy::find() else {
        return println!("SKIPPED: no place with {} bytes free, and no right to mount one", Roomy::BYTES);
    };
    let sent = place.path().join("sparse.bin");
    let edges = [0, (4 << 30) - 9, (16 << 30) + 12_345, SPARSE_BYTES - 100_000];
    let file = File::create(&sent).unwrap();
    file.set_len(SPARSE_BYTES).unwrap();
    for (seed, at) in (95..).zip(edges) {
        file.write_all_at(&corpus::bytes(seed, 100_000), at).unwrap();
    }
    let tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    let bob = Member::new(&tracker, "bob");
    let _engine = alice.engine();
    let id = alice.share(&[&sent], &[]);
    let got = place.path().join("got.bin");
    let get = ["get", &id, "-o", got.to_str().unwrap()];
    let transfer = bob.run_within(LONG, &get, b"").ok().one("transfer");
    assert_eq!(number(&transfer, "bytes_peer"), SPARSE_BYTES, "{transfer}");
    assert_eq!(fs::metadata(&got).unwrap().len(), SPARSE_BYTES);
    let taken = fs::metadata(&got).unwrap().blocks() * 512;
    assert!(taken <= 64 << 20, "{taken} bytes are taken on the disk");
    // What is not zero is compared; that the rest is zero its size on the disk says.
    let got = File::open(&got).unwrap();
    for at in edges {
        let (mut ours, mut theirs) = (vec![0; 100_000], vec![0; 100_000]);
        file_of(&sent).read_exact_at(&mut ours, at).unwrap();
        got.read_exact_at(&mut theirs, at).unwrap();
        assert!(ours == theirs, "at {at}");
    }
}

#[test]
fn a_folder_of_two_hundred_thousand_tiny_files_arrives_identical() {
    let made = tempfile::tempdir().unwrap();
    let path = made.path().join("tiny");
    fs::create_dir(&path).unwrap();
    for number in 0..200_000u32 {
        // One in a hundred is empty, and none is like another.
        let text = if number % 100 == 0 { String::new() } else { format!("{number} of many\n") };
        fs::write(path.join(format!("{number:06}.txt")), text).unwrap();
    }
    arrives_identical(&path);
}

#[test]
fn a_file_survives_kills_of_the_receiver() {
    survives_kills(Victim::Receiver, &large_file());
}

#[test]
fn a_file_survives_kills_of_the_sender() {
    survives_kills(Victim::Sender, &large_file());
}

#[test]
fn a_file_survives_kills_of_the_tracker() {
    survives_kills(Victim::Tracker, &large_file());
}

#[test]
fn a_folder_survives_kills_of_the_receiver() {
    survives_kills(Victim::Receiver, &many_files());
}

#[test]
fn a_folder_survives_kills_of_the_sender() {
    survives_kills(Victim::Sender, &many_files());
}

#[test]
fn a_folder_survives_kills_of_the_tracker() {
    survives_kills(Victim::Tracker, &many_files());
}

fn arrives_identical(path: &Path) {
    let tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    let bob = Member::new(&tracker, "bob");
    let _engine = alice.engine();
    let id = alice.share(&[path], &[]);
    let transfer = bob.run_within(LONG, &["get", &id], b"").ok().one("transfer");
    let got = PathBuf::from(text(&transfer, "path"));
    assert_same(path, &got);
    let size = number(&transfer, "size");
    assert!(number(&transfer, "bytes_peer") <= size, "nothing came twice: {transfer}");
}

const SPARSE_BYTES: u64 = (50 << 30) + 77;

fn file_of(path: &Path) -> File {
    File::open(path).unwrap()
}

/// A folder on a file system that has room for a huge file, if only in numbers.
struct Roomy {
    folder: TempDir,
    mounted: bool,
}

impl Roomy {
    const BYTES: u64 = 2 * SPARSE_BYTES + (1 << 30);

    fn find() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let free = rustix::fs::statvfs(folder.path()).unwrap();
        if free.f_bavail * free.f_frsize >= Self::BYTES {
            return Some(Self { folder, mounted: false });
        }
        let size = format!("size={}", Self::BYTES);
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        mount.is_ok_and(|mount| mount.status.success()).then_some(Self { folder, mounted: true })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Roomy {
    fn drop(&mut self) {
        if self.mounted {
            let unmount = Command::new("umount").arg("-l").arg(self.folder.path()).status();
            assert!(unmount.is_ok_and(|status| status.success()), "{} stays mounted", self.folder.path().display());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Receiver,
    Sender,
    Tracker,
}

/// What is shared, and the folder that holds it where it was made for this.
struct Item {
    path: PathBuf,
    _made: Option<TempDir>,
}

/// Alice shares once; for every seed somebody new gets it, and the victim is killed at a moment that the seed chooses.
fn survives_kills(victim: Victim, item: &Item) {
    let mut stage = Stage::open(&item.path);
    for seed in seeds() {
        println!("{victim:?}, seed {seed}: replay with REAL_INPUT_SEEDS={seed}");
        stage.play(victim, seed, &item.path);
    }
}

struct Stage {
    tracker: Tracker,
    alice: Member,
    sender: Option<Engine>,
    id: String,
    size: u64,
    /// Bytes of it that nobody can do without: equal files are fetched once.
    distinct: u64,
}

impl Stage {
    fn open(path: &Path) -> Self {
        let tracker = Tracker::start();
        let alice = Member::new(&tracker, "alice");
        let sender = Some(alice.engine());
        let id = alice.share(&[path], &[]);
        let size = tree::files(path).iter().map(|(_, size)| size).sum();
        Self { tracker, alice, sender, id, size, distinct: distinct_bytes(path) }
    }

    fn play(&mut self, victim: Victim, seed: u64, original: &Path) {
        let mut random = StdRng::seed_from_u64(seed);
        let receiver = Member::new(&self.tracker, &format!("receiver {seed}"));
        let mut engine = Some(receiver.engine());
        let mut get = receiver.start(&["get", &self.id, "--wait"]);
        for _ in 0..random.random_range(1..=2) {
            let moment = random.random_range(self.size / 20..self.size * 9 / 10);
            if !reached(&receiver, moment) {
                break;
            }
            match victim {
                Victim::Receiver => {
                    engine.take().expect("the receiver runs").kill();
                    drop(get);
                    engine = Some(receiver.engine());
                    get = receiver.start(&["get", &self.id, "--wait"]);
                }
                Victim::Sender => {
                    self.sender.take().expect("the sender runs").kill();
                    self.sender = Some(self.alice.engine());
                }
                Victim::Tracker => {
                    self.tracker.kill();
                    self.tracker.restart();
                }
            }
        }
        let line =
            get.line("the transfer record", |line| record(line).is_some_and(|record| record["type"] == "transfer"));
        assert_eq!(get.finish().code, Some(0));
        let transfer = record(&line).expect("just seen");
        assert_same(original, Path::new(&text(&transfer, "path")));
        let received = number(&transfer, "bytes_peer") + number(&transfer, "bytes_copy");
        let fetched = match victim {
            // The receiver lived through it and counted everything.
            Victim::Sender => {
                assert!(received + number(&transfer, "bytes_local") >= self.size, "{transfer}");
                received
            }
            // What a killed receiver had counted is lost; the sender lived and counted what it sent.
            Victim::Receiver | Victim::Tracker => self.sent_to(&receiver.name),
        };
        println!("fetched {fetched}, counted by the receiver {received}, size {}", self.size);
        assert!(fetched >= self.distinct, "the measure is wrong: {fetched} bytes of {}", self.distinct);
        assert!(fetched <= self.size + self.size / 20, "{fetched} bytes were fetched of {}: {transfer}", self.size);
        drop(engine);
    }

    /// Bytes that Alice's device has sent to a member, who has all of it. They are counted once an upload is over.
    fn sent_to(&self, name: &str) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.alice.run(&["members"]);
            // The first question after the tracker was killed may find the old connection dead.
            assert!([0, 7].contains(&answer.code), "{answer}");
            let members = if answer.code == 0 { answer.records() } else { Vec::new() };
            let sent = members.iter().find(|member| member["name"] == name).map_or(0, |to| number(to, "to_them"));
            if sent >= self.distinct {
                return sent;
            }
            assert!(Instant::now() < deadline, "only {sent} bytes were sent to {name}");
        }
    }
}

/// Bytes of the different contents of a file or folder.
fn distinct_bytes(path: &Path) -> u64 {
    let mut seen = HashSet::new();
    let files = tree::files(path);
    files.iter().filter(|(file, _)| seen.insert(tree::hash(&tree::below(path, file)))).map(|(_, size)| size).sum()
}

/// Waits until this many bytes are verified; `false` when the transfer ended before that was seen.
fn reached(receiver: &Member, bytes: u64) -> bool {
    let mut watch: Running = receiver.start(&["transfers", "watch"]);
    let mut reached = false;
    watch.line("enough progress", |line| {
        let Some(record) = record(line).filter(|record| record["type"] == "transfer") else { return false };
        reached = record["state"] == "running" && record["done"].as_u64().is_some_and(|done| done >= bytes);
        reached || record["state"] == "done" || record["state"] == "finishing"
    });
    reached
}

fn assert_same(original: &Path, got: &Path) {
    tree::assert_same(original, got);
    let diff = Command::new("diff").args(["-r", "--no-dereference"]).args([original, got]).output().unwrap();
    let said = String::from_utf8_lossy(&diff.stdout);
    assert!(diff.status.success() && said.is_empty(), "diff -r says:\n{said}");
}

/// A folder as people have them.
struct Real {
    path: PathBuf,
    files: Vec<u64>,
    _made: Option<TempDir>,
}

fn real_folder() -> Real {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
    let sysroot = PathBuf::from(String::from_utf8(sysroot.stdout).unwrap().trim());
    let cargo =
        env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let candidates = [Some(sysroot.join("share/doc")), cargo.map(|cargo| cargo.join("registry/src"))];
    for path in candidates.into_iter().flatten().filter(|path| path.is_dir()) {
        let files: Vec<u64> = tree::files(&path).into_iter().map(|(_, size)| size).collect();
        if files.len() >= 10_000 && files.iter().sum::<u64>() >= 500 << 20 {
            return Real { path, files, _made: None };
        }
    }
    println!("no folder of this machine is large enough: one is made");
    let made = tempfile::tempdir().unwrap();
    let path = made.path().join("made");
    corpus::small_files(&path, 92, 14_000, 90_000);
    let files = tree::files(&path).into_iter().map(|(_, size)| size).collect();
    Real { path, files, _made: Some(made) }
}

fn large_file() -> Item {
    let made = tempfile::tempdir().unwrap();
    let path = made.path().join("large.bin");
    corpus::large_file(&path, 93, if *FULL { 2 << 30 } else { 768 << 20 });
    Item { path, _made: Some(made) }
}

fn many_files() -> Item {
    if *FULL {
        let real = real_folder();
        return Item { path: real.path, _made: real._made };
    }
    let made = tempfile::tempdir().unwrap();
    let path = made.path().join("many");
    corpus::small_files(&path, 94, 12_000, 60_000);
    Item { path, _made: Some(made) }
}

fn seeds() -> Vec<u64> {
    match env::var("REAL_INPUT_SEEDS") {
        Ok(seeds) => seeds.split(',').map(|seed| seed.parse().expect("seeds are numbers")).collect(),
        Err(_) => (1..=if *FULL { 10 } else { 3 }).collect(),
    }
}

static FULL: LazyLock<bool> = LazyLock::new(|| env::var("REAL_INPUT").is_ok_and(|size| size == "full"));

/// For sharing and fetching gigabytes with unoptimised programs on a small machine.
const LONG: Duration = Duration::from_secs(PATIENCE.as_secs() * 10);
