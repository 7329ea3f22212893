//! `get -o -`: verified bytes in order as they arrive, whatever the reader, the sources and the programs do meanwhile.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process},
};
use serde_json::Value;
use tests::{
    Member, PATIENCE, Tracker, corpus,
    member::{number, record, text},
    source::{Blob, Manner, Source},
    tree,
    wire::{Link, Puppet},
};

use crate::get::Pair;

#[test]
fn a_stream_is_the_file_itself_and_its_record_goes_to_stderr() {
    let pair = Pair::start();
    for size in [0, 1, 16_384, 16_385, 5_000_000] {
        let bytes = corpus::bytes(size as u64, size);
        let id = pair.alice.share(&[&pair.alice.write(&format!("{size}.bin"), &bytes)], &[]);
        let streamed = Piped::start(&pair.bob, &[&id]).finish();
        assert_eq!(streamed.code, Some(0), "{}", streamed.stderr);
        assert!(streamed.stdout == bytes, "{size}: {} bytes came", streamed.stdout.len());
        let transfer = streamed.transfer();
        assert_eq!((number(&transfer, "size"), text(&transfer, "path")), (size as u64, "-".to_owned()), "{transfer}");
        assert_eq!(number(&transfer, "bytes_peer"), size as u64, "{transfer}");
        assert_nothing_left(&pair.bob);
    }
}

#[test]
fn what_is_verified_is_read_while_the_rest_is_still_missing() {
    let scene = Scene::start(Manner::FirstWant);
    let mut piped = Piped::start(&scene.bob, &[&scene.source.file, "--wait"]);
    assert!(piped.read(FIRST) == scene.bytes[..FIRST], "the first bytes are the first of the file");
    assert!(piped.is_running());
}

#[test]
fn a_reader_that_takes_nothing_holds_up_nothing_but_itself() {
    let pair = Pair::start();
    let id = share_large(&pair, 41);
    let engine = pair.bob.engine();
    let mut watch = pair.bob.start(&["transfers", "watch"]);
    let mut piped = Piped::start(&pair.bob, &[&id]);
    let mut streamed = piped.read(10_000);
    watch.line("all of it on disk", |line| record(line).is_some_and(|record| record["state"] == "done"));
    assert!(engine.process().memory_peak() < MEMORY_MAX, "{} bytes", engine.process().memory_peak());
    let rest = piped.finish();
    streamed.extend(rest.stdout);
    assert_eq!(rest.code, Some(0), "{}", rest.stderr);
    assert_same(&pair.alice.desk().join("large.bin"), &streamed);
    assert_nothing_left(&pair.bob);
}

#[test]
fn a_reader_that_has_enough_ends_the_command_quietly_and_nothing_is_left() {
    let pair = Pair::start();
    let id = share_large(&pair, 42);
    let beginning = &corpus_beginning(&pair)[..10];
    // With an engine of its own, and with one that runs.
    let mut engine = None;
    for _ in 0..2 {
        let ended = shell(&pair.bob, &id, "head -c 10");
        assert_eq!((ended.code, &ended.stdout[..]), (Some(0), beginning), "{}", ended.stderr);
        assert_eq!(ended.stderr, "", "nothing is said");
        assert_nothing_left(&pair.bob);
        engine = engine.or_else(|| Some(pair.bob.engine()));
    }
    // The same where no further byte comes that could tell.
    let scene = Scene::start(Manner::FirstWant);
    let ended = shell(&scene.bob, &scene.source.file, "head -c 100000 >/dev/null");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_nothing_left(&scene.bob);
}

#[test]
fn an_interrupted_stream_goes_on_where_it_stopped() {
    let pair = Pair::start();
    let id = share_large(&pair, 43);
    let _engine = pair.bob.engine();
    let mut watch = pair.bob.start(&["transfers", "watch"]);
    let mut piped = Piped::start(&pair.bob, &[&id]);
    piped.read(1 << 20);
    watch.line("a part of it", |line| {
        record(line).is_some_and(|record| record["done"].as_u64().is_some_and(|done| done > SIZE / 8))
    });
    let ended = piped.interrupt();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    let streamed = Piped::start(&pair.bob, &[&id]).finish();
    assert_eq!(streamed.code, Some(0), "{}", streamed.stderr);
    assert_same(&pair.alice.desk().join("large.bin"), &streamed.stdout);
    let fetched = number(&streamed.transfer(), "bytes_peer");
    assert!(fetched <= SIZE + SIZE / 20, "at most 5 % came twice: {fetched}");
    assert_nothing_left(&pair.bob);
}

#[test]
fn a_stream_survives_the_engine_that_fetches_it() {
    let pair = Pair::start();
    let id = share_large(&pair, 44);
    let engine = pair.bob.engine();
    let mut piped = Piped::start(&pair.bob, &[&id]);
    let mut streamed = piped.read(1 << 20);
    engine.kill();
    let rest = piped.finish();
    assert_eq!(rest.code, Some(0), "{}", rest.stderr);
    streamed.extend(rest.stdout);
    assert_same(&pair.alice.desk().join("large.bin"), &streamed);
    assert_nothing_left(&pair.bob);
}

#[test]
fn a_source_that_is_gone_in_the_middle_is_replaced_by_the_copy() {
    let scene = Scene::start(Manner::FirstWant);
    scene.runtime.block_on(scene.source.copy()).unwrap();
    let streamed = Piped::start(&scene.bob, &[&scene.source.file]).finish();
    assert_eq!(streamed.code, Some(0), "{}", streamed.stderr);
    assert!(streamed.stdout == scene.bytes);
    let transfer = streamed.transfer();
    assert!(number(&transfer, "bytes_peer") > 0 && number(&transfer, "bytes_copy") > 0, "{transfer}");
}

#[test]
fn two_versions_are_never_mixed() {
    let scene = Scene::start(Manner::FirstWant);
    let mut piped = Piped::start(&scene.bob, &[&scene.source.file, "--wait"]);
    let mut streamed = piped.read(FIRST);
    let newer = Blob::new(corpus::bytes(52, STREAM));
    scene.runtime.block_on(scene.source.puppet.publish(vec![newer.entry("film.bin")])).unwrap();
    let rest = piped.finish();
    assert_eq!(rest.code, Some(6), "{}", rest.stderr);
    assert_eq!(text(&rest.error(), "code"), "changed", "{}", rest.stderr);
    streamed.extend(rest.stdout);
    assert!(streamed.len() < STREAM && streamed == scene.bytes[..streamed.len()], "only bytes of the first version");
}

#[test]
fn a_source_that_lies_ends_the_stream_before_its_wrong_bytes() {
    let at = 3 << 20;
    let scene = Scene::start(Manner::WrongByte(at));
    let ended = Piped::start(&scene.bob, &[&scene.source.file]).finish();
    assert_eq!(ended.code, Some(6), "{}", ended.stderr);
    assert!(ended.stdout.len() <= at && ended.stdout == scene.bytes[..ended.stdout.len()]);
}

#[test]
fn several_files_follow_one_another_and_a_folder_is_refused() {
    let pair = Pair::start();
    let first = pair.alice.write("box/first.txt", "first\n");
    let second = pair.alice.write("second.txt", "second\n");
    let ids = [pair.alice.share(&[&first], &[]), pair.alice.share(&[&second], &[])];
    let both = Piped::start(&pair.bob, &[&ids[0], &ids[1]]).finish();
    assert_eq!((both.code, &both.stdout[..]), (Some(0), &b"first\nsecond\n"[..]), "{}", both.stderr);
    pair.alice.share(&[&pair.alice.desk().join("box")], &[]);
    for arguments in [&["alice/box"][..], &[&ids[1], "alice/box"], &[&ids[1], "--detach"]] {
        let ended = Piped::start(&pair.bob, arguments).finish();
        assert_eq!((ended.code, ended.stdout.len()), (Some(2), 0), "{arguments:?}: {}", ended.stderr);
    }
    assert_nothing_left(&pair.bob);
}

#[test]
fn what_this_machine_has_already_streams_from_there() {
    let mut pair = Pair::start();
    for size in [20_000, 5_000_000] {
        let original = pair.alice.write(&format!("{size}.bin"), corpus::bytes(45, size));
        let id = pair.alice.share(&[&original], &[]);
        // Alice herself has it too, as what she shares.
        let own = Piped::start(&pair.alice, &[&id]).finish();
        assert_eq!(number(&own.transfer(), "bytes_local"), size as u64, "{}", own.stderr);
        assert_same(&original, &own.stdout);
        pair.get(&id);
        pair.engine.take().unwrap().stop();
        let streamed = Piped::start(&pair.bob, &[&id]).finish();
        assert_eq!(number(&streamed.transfer(), "bytes_local"), size as u64, "{}", streamed.stderr);
        assert_same(&original, &streamed.stdout);
        pair.engine = Some(pair.alice.engine());
    }
}

#[test]
fn two_readers_of_one_file_both_get_all_of_it() {
    let pair = Pair::start();
    let id = share_large(&pair, 46);
    let _engine = pair.bob.engine();
    let mut slow = Piped::start(&pair.bob, &[&id]);
    let mut streamed = slow.read(1 << 20);
    let fast = Piped::start(&pair.bob, &[&id]).finish();
    let original = pair.alice.desk().join("large.bin");
    assert_eq!(fast.code, Some(0), "{}", fast.stderr);
    assert_same(&original, &fast.stdout);
    let rest = slow.finish();
    streamed.extend(rest.stdout);
    assert_eq!(rest.code, Some(0), "{}", rest.stderr);
    assert_same(&original, &streamed);
    assert_nothing_left(&pair.bob);
}

#[test]
fn a_file_that_has_no_room_here_is_refused_before_its_first_byte() {
    let scene = Scene::with_size(Manner::Honest, 1 << 50);
    let ended = Piped::start(&scene.bob, &[&scene.source.file]).finish();
    assert_eq!((ended.code, ended.stdout.len()), (Some(6), 0), "{}", ended.stderr);
    assert_eq!(text(&ended.error(), "code"), "disk_full", "{}", ended.stderr);
}

#[test]
fn an_archive_is_unpacked_as_it_comes() {
    let pair = Pair::start();
    let folder = pair.alice.desk().join("papers");
    corpus::small_files(&folder, 47, 50, 20_000);
    let archive = pair.alice.desk().join("papers.tar");
    let made = Command::new("tar")
        .args(["--format=posix", "-cf"])
        .arg(&archive)
        .arg("-C")
        .arg(pair.alice.desk())
        .arg("papers")
        .status();
    assert!(made.unwrap().success());
    let id = pair.alice.share(&[&archive], &[]);
    let ended = shell(&pair.bob, &id, "tar x");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    tree::assert_same(&folder, &pair.bob.home().join("papers"));
}

/// Mallory serves one file in a certain manner, and Bob has an account.
struct Scene {
    bob: Member,
    source: Source,
    bytes: Vec<u8>,
    runtime: tokio::runtime::Runtime,
    _tracker: Tracker,
}

impl Scene {
    fn start(manner: Manner) -> Self {
        Self::with_size(manner, STREAM as u64)
    }

    fn with_size(manner: Manner, said: u64) -> Self {
        let tracker = Tracker::start();
        let bob = Member::new(&tracker, "bob");
        let bytes = corpus::bytes(51, STREAM);
        let blob = Blob::new(bytes.clone());
        let mut entry = blob.entry("film.bin");
        entry.size = said;
        // Mallory serves as long as this runs.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let source = runtime.block_on(async {
            let mallory = Puppet::register(&Link::parse(&tracker.link).unwrap(), "mallory").await.unwrap();
            Source::publish(mallory, &blob, entry, manner, Manner::Honest).await.unwrap()
        });
        Self { bob, source, bytes, runtime, _tracker: tracker }
    }
}

/// A `get -o -` whose output is read here as it comes. Killed and awaited on drop.
struct Piped {
    child: Child,
    stdout: ChildStdout,
    stderr: PathBuf,
}

/// How it ended.
struct Streamed {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

impl Piped {
    fn start(member: &Member, arguments: &[&str]) -> Self {
        let mut command = member.command(&["--json", "--no-input", "get", "-o", "-"]);
        Self::run(member, command.args(arguments))
    }

    fn run(member: &Member, command: &mut Command) -> Self {
        let stderr = tempfile::Builder::new().tempfile_in(member.home()).unwrap().into_temp_path().keep().unwrap();
        let file = File::create(&stderr).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        Self { child, stdout, stderr }
    }

    /// The next so many bytes.
    fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            let more = self.some(count - bytes.len());
            assert!(!more.is_empty(), "the stream ended: {}", fs::read_to_string(&self.stderr).unwrap());
            bytes.extend(more);
        }
        bytes
    }

    /// What comes next, at most so many bytes; nothing at the end.
    fn some(&mut self, most: usize) -> Vec<u8> {
        let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
        let mut fds = [PollFd::new(&self.stdout, PollFlags::IN)];
        assert_eq!(poll(&mut fds, Some(&patience)), Ok(1), "{}", fs::read_to_string(&self.stderr).unwrap());
        let mut block = vec![0; most.min(1 << 16)];
        let count = self.stdout.read(&mut block).unwrap();
        block.truncate(count);
        block
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ctrl-C; what it still writes is read.
    fn interrupt(self) -> Streamed {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        self.finish()
    }

    /// Reads to the end.
    fn finish(mut self) -> Streamed {
        let mut stdout = Vec::new();
        loop {
            let more = self.some(1 << 16);
            if more.is_empty() {
                break;
            }
            stdout.extend(more);
        }
        let code = self.child.wait().unwrap().code();
        Streamed { code, stdout, stderr: fs::read_to_string(&self.stderr).unwrap() }
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Streamed {
    fn record(&self, kind: &str) -> Value {
        let mut records = self.stderr.lines().filter_map(record);
        records.find(|record| record["type"] == kind).unwrap_or_else(|| panic!("no {kind}: {}", self.stderr))
    }

    fn transfer(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.record("transfer")
    }

    fn error(&self) -> Value {
        self.record("error")
    }
}

/// A `get -o -` in a pipe; the code is that of the get.
fn shell(member: &Member, item: &str, reader: &str) -> Streamed {
    let get = member.command(&["--no-input", "get", "-q", "-o", "-", item]);
    let mut command = Command::new("bash");
    command.args(["-c", &format!("\"$@\" | {reader}; exit ${{PIPESTATUS[0]}}"), "pipe"]);
    command.arg(get.get_program()).args(get.get_args()).current_dir(member.home()).env_clear();
    command.envs(get.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Piped::run(member, &mut command).finish()
}

/// Shares a large file of Alice's.
fn share_large(pair: &Pair, seed: u64) -> String {
    let original = pair.alice.desk().join("large.bin");
    corpus::large_file(&original, seed, SIZE);
    pair.alice.share(&[&original], &[])
}

fn corpus_beginning(pair: &Pair) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    File::open(pair.alice.desk().join("large.bin")).unwrap().read_exact(&mut bytes).unwrap();
    bytes
}

fn assert_same(original: &Path, streamed: &[u8]) {
    assert_eq!(fs::metadata(original).unwrap().len(), streamed.len() as u64);
    assert!(fs::read(original).unwrap() == streamed, "the bytes are those of {}", original.display());
}

/// Nothing lies where downloads go, hidden or not, once the engine has put things in order.
fn assert_nothing_left(member: &Member) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left: Vec<_> = fs::read_dir(member.downloads()).into_iter().flatten().collect();
        let partials: Vec<_> = fs::read_dir(member.home().join("state/partials")).into_iter().flatten().collect();
        if left.is_empty() && partials.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left behind: {left:?} {partials:?}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Some slices of work.
/// Bytes that a source of which nothing is known is asked for first.
const FIRST: usize = 256 << 10;
const STREAM: usize = 24 << 20;
const SIZE: u64 = 300 << 20;
const MEMORY_MAX: u64 = 64 << 20;
