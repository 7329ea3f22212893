//! Sources that lie, dawdle or break off: their bytes are refused, they are named, and the next source serves.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;
use tests::{
    Member, PATIENCE, Tracker, corpus,
    member::{number, text},
    source::{Blob, Manner, Source},
    tree,
    wire::{Link, Puppet},
};

use crate::hostile_peers::block_on;

#[test]
fn an_honest_source_of_another_make_is_understood() {
    for size in [0, 5, 16_384, 16_385, 5_000_000] {
        let Scene { transfer, .. } = play(size, Manner::Honest, Copy::None).transfer();
        assert_eq!(number(&transfer, "bytes_peer"), size as u64, "{transfer}");
    }
}

#[test]
fn a_wrong_byte_is_refused_and_the_copy_serves_instead() {
    let Scene { transfer, .. } = play(4_000_000, Manner::WrongByte(2_000_000), Copy::Honest).transfer();
    let copy = number(&transfer, "bytes_copy");
    assert!(copy > 1_000_000, "{transfer}");
    assert!(copy + number(&transfer, "bytes_peer") <= 4_000_000 + 200_000, "good groups were kept: {transfer}");
}

#[test]
fn noise_is_refused_and_the_copy_serves_instead() {
    for size in [100, 16_384, 3_000_000] {
        let Scene { transfer, .. } = play(size, Manner::Noise, Copy::Honest).transfer();
        // A blob of one group comes as its bytes alone, which this manner leaves as they are.
        let expected = if size <= 16_384 { 0 } else { size as u64 };
        assert_eq!(number(&transfer, "bytes_copy"), expected, "{transfer}");
    }
}

#[test]
fn a_wrong_byte_in_a_small_file_is_refused() {
    let Scene { transfer, .. } = play(500, Manner::WrongByte(250), Copy::Honest).transfer();
    assert_eq!((number(&transfer, "bytes_peer"), number(&transfer, "bytes_copy")), (0, 500), "{transfer}");
}

#[test]
fn a_source_that_breaks_off_is_replaced() {
    for manner in [Manner::Half, Manner::HangsUp, Manner::Refuses, Manner::Babbles] {
        let Scene { transfer, .. } = play(4_000_000, manner, Copy::Honest).transfer();
        assert!(number(&transfer, "bytes_copy") >= 1_900_000, "{manner:?}: {transfer}");
    }
}

#[test]
fn a_download_that_outlives_its_grant_goes_on_with_the_next() {
    // Several slices, of which each grant is good for one.
    let Scene { transfer, .. } = play(4_000_000, Manner::OneWant, Copy::None).transfer();
    assert_eq!(number(&transfer, "bytes_peer"), 4_000_000, "{transfer}");
}

#[test]
fn a_source_that_says_nothing_or_too_little_is_replaced() {
    for manner in [Manner::Silent, Manner::Slow] {
        let Scene { transfer, .. } = play(2_000_000, manner, Copy::Honest).transfer();
        assert_eq!(number(&transfer, "bytes_copy"), 2_000_000, "{manner:?}: {transfer}");
    }
}

#[test]
fn a_lying_source_without_another_is_named_and_nothing_looks_complete() {
    for manner in [Manner::WrongByte(1000), Manner::Noise] {
        let scene = play(1_000_000, manner, Copy::None);
        let error = scene.output.clone().fails(6);
        let said = format!("{} {}", text(&error, "message"), text(&error, "hint"));
        assert!(said.contains("mallory"), "the source is named: {error}");
        assert!(!scene.bob.downloads().join("bait.bin").exists());
    }
}

#[test]
fn a_size_that_is_not_the_blobs_is_refused() {
    let scene = play_with_size(1_000_000, 999_000, Manner::Honest, Copy::None);
    assert!([6, 8].contains(&scene.output.code), "{}", scene.output);
    assert!(!scene.bob.downloads().join("bait.bin").exists());
}

#[test]
fn the_tracker_refuses_a_copy_whose_bytes_are_wrong() {
    let tracker = Tracker::start();
    let link = Link::parse(&tracker.link).unwrap();
    block_on(async {
        for (index, manner) in [Manner::WrongByte(400_000), Manner::WrongByte(0), Manner::Noise].into_iter().enumerate()
        {
            let blob = Blob::new(corpus::bytes(71 + index as u64, SIZE));
            let puppet = Puppet::register(&link, &format!("mallory {index}")).await.unwrap();
            let source = Source::publish(puppet, &blob, blob.entry("bait.bin"), Manner::Refuses, manner).await.unwrap();
            assert!(source.copy().await.is_err(), "{manner:?} was stored");
        }
    });
    // The owner is told first and the bytes go next; a tracker that ends instead has not cleaned up.
    let deadline = Instant::now() + PATIENCE;
    // The database and its log are no place for them, and grow with other things.
    let is_database = |path: &Path| path.to_str().is_some_and(|path| path.starts_with("tracker.db"));
    let left = || -> Vec<_> {
        let files = tree::files(&tracker.data()).into_iter();
        files.filter(|(path, size)| *size >= SIZE as u64 && !is_database(path)).collect()
    };
    while !left().is_empty() {
        assert!(Instant::now() < deadline, "bytes of refused copies are left: {:?}", left());
        assert!(!tracker.process().ended_within(Duration::from_millis(20)), "the tracker ended");
    }
}

#[test]
fn the_tracker_serves_the_copy_that_it_verified() {
    let tracker = Tracker::start();
    let bob = Member::new(&tracker, "bob");
    let link = Link::parse(&tracker.link).unwrap();
    let blob = Blob::new(corpus::bytes(74, SIZE));
    let file = block_on(async {
        let puppet = Puppet::register(&link, "alice").await.unwrap();
        let source =
            Source::publish(puppet, &blob, blob.entry("kept.bin"), Manner::Refuses, Manner::Honest).await.unwrap();
        source.copy().await.unwrap();
        source.file.clone()
    });
    let transfer = bob.run(&["get", &file]).ok().one("transfer");
    assert_eq!(number(&transfer, "bytes_copy"), SIZE as u64, "{transfer}");
}

const SIZE: usize = 800_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copy {
    None,
    Honest,
}

/// What happened when Bob got a file from Mallory.
struct Scene {
    bob: Member,
    output: tests::Output,
    transfer: Value,
    original: Vec<u8>,
    _tracker: Tracker,
}

impl Scene {
    /// The transfer, which ended well, with the true bytes.
    fn transfer(mut self) -> Self {
        self.transfer = self.output.clone().ok().one("transfer");
        let got = std::fs::read(text(&self.transfer, "path")).unwrap();
        assert!(got == self.original, "the bytes are the true ones");
        self
    }
}

fn play(size: usize, manner: Manner, copy: Copy) -> Scene {
    play_with_size(size, size as u64, manner, copy)
}

/// Mallory publishes a blob of `size` bytes as if it had `said` bytes, and serves it in this manner.
fn play_with_size(size: usize, said: u64, manner: Manner, copy: Copy) -> Scene {
    let tracker = Tracker::start();
    let bob = Member::new(&tracker, "bob");
    let link = Link::parse(&tracker.link).unwrap();
    let original = corpus::bytes(size as u64, size);
    let blob = Blob::new(original.clone());
    let mut entry = blob.entry("bait.bin");
    entry.size = said;
    let output = block_on(async {
        let mallory = Puppet::register(&link, "mallory").await.unwrap();
        let source = Source::publish(mallory, &blob, entry, manner, Manner::Honest).await.unwrap();
        if copy == Copy::Honest {
            source.copy().await.unwrap();
        }
        tokio::task::block_in_place(|| bob.run_within(PATIENCE, &["get", &source.file], b""))
    });
    Scene { bob, output, transfer: Value::Null, original, _tracker: tracker }
}
