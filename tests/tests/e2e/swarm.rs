//! Many sources at once: who fetches serves what it has, sources come and go, and bad ones cost nothing but their part.

use std::path::Path;

use serde_json::Value;
use tests::{
    Member, PATIENCE, Running, corpus,
    member::{number, record, text},
    source::{Blob, Manner, Source},
    tree,
    wire::{Link, Puppet},
};

use crate::{get::Pair, hostile_peers::block_on};

#[test]
fn a_download_that_waits_for_its_source_serves_what_it_has() {
    let mut pair = Pair::start();
    let carol = Member::new(&pair.tracker, "carol");
    let original = pair.alice.desk().join("film.bin");
    corpus::large_file(&original, 31, SIZE);
    let id = pair.alice.share(&[&original], &[]);
    let _engines = (pair.bob.engine(), carol.engine());
    let bobs = pair.bob.start(&["get", &id, "--wait"]);
    has(&pair.bob, SIZE / 8);
    pair.engine.take().unwrap().kill();
    let carols = carol.start(&["get", &id, "--wait"]);
    has(&carol, SIZE / 16);
    pair.engine = Some(pair.alice.engine());
    let (bobs, carols) = (got(bobs), got(carols));
    for transfer in [&bobs, &carols] {
        tree::assert_same(&original, Path::new(&text(transfer, "path")));
        // On a busy machine the way to who just came back may be relayed at first.
        let fetched = number(transfer, "bytes_peer") + number(transfer, "bytes_relay");
        assert!((SIZE..=SIZE + SIZE / 20).contains(&fetched), "{fetched} of {SIZE}: {transfer}");
    }
    assert!(bytes_from(&carols, "bob") >= SIZE / 16, "{carols}");
}

#[test]
fn a_fetched_file_is_served_on_while_it_lies_where_it_landed() {
    let mut pair = Pair::start();
    let carol = Member::new(&pair.tracker, "carol");
    let original = pair.alice.write("film.bin", corpus::bytes(32, 5_000_000));
    let id = pair.alice.share(&[&original], &[]);
    let _bobs_engine = pair.bob.engine();
    let landed = pair.get(&id);
    pair.engine.take().unwrap().stop();
    let transfer = carol.run(&["get", &id]).ok().one("transfer");
    tree::assert_same(&original, Path::new(&text(&transfer, "path")));
    assert_eq!(bytes_from(&transfer, "bob"), 5_000_000, "{transfer}");
    let detail = carol.run(&["info", &id]).ok().one("file");
    let sources = detail["sources"].as_array().unwrap();
    let holder = sources.iter().find(|source| source["holder"] == true);
    assert_eq!(holder.map(|holder| text(holder, "member")).as_deref(), Some("bob"), "{detail}");
    std::fs::remove_file(text(&landed, "path")).unwrap();
    let dave = Member::new(&pair.tracker, "dave");
    std::fs::remove_file(text(&transfer, "path")).unwrap();
    dave.run(&["get", &id]).fails(4);
}

#[test]
fn of_five_sources_one_lies_one_says_nothing_and_one_dies() {
    let mut pair = Pair::start();
    let bytes = corpus::bytes(33, LARGE as usize);
    let original = pair.alice.write("film.bin", &bytes);
    let id = pair.alice.share(&[&original], &["--copy"]);
    let erin = Member::new(&pair.tracker, "erin");
    let erins_engine = erin.engine();
    erin.share(&[&erin.write("the same.bin", &bytes)], &[]);
    let link = Link::parse(&pair.tracker.link).unwrap();
    let blob = Blob::new(bytes);
    let transfer = block_on(async {
        let mut puppets = Vec::new();
        for (name, manner) in [("mallory", Manner::WrongByte(9_000_000)), ("sloth", Manner::Silent)] {
            let puppet = Puppet::register(&link, name).await.unwrap();
            let entry = blob.entry("bait.bin");
            puppets.push(Source::publish(puppet, &blob, entry, manner, Manner::Refuses).await.unwrap());
        }
        tokio::task::block_in_place(|| {
            let get = pair.bob.start(&["get", &id]);
            has(&pair.bob, LARGE / 8);
            erins_engine.kill();
            got(get)
        })
    });
    pair.assert_got(&transfer, &original);
    let fetched = number(&transfer, "bytes_peer") + number(&transfer, "bytes_copy");
    assert!((LARGE..=LARGE + LARGE / 20).contains(&fetched), "{fetched} of {LARGE}: {transfer}");
    assert!(bytes_from(&transfer, "alice") > 0, "{transfer}");
    pair.engine = None;
}

#[test]
fn a_source_that_comes_late_takes_its_part() {
    let mut pair = Pair::start();
    let bytes = corpus::bytes(34, LARGE as usize);
    let original = pair.alice.write("film.bin", &bytes);
    pair.alice.share(&[&original], &[]);
    pair.engine.take().unwrap().stop();
    let link = Link::parse(&pair.tracker.link).unwrap();
    let blob = Blob::new(bytes);
    let transfer = block_on(async {
        let puppet = Puppet::register(&link, "sloth").await.unwrap();
        let source = Source::publish(puppet, &blob, blob.entry("slow.bin"), Manner::Slow, Manner::Refuses).await;
        let source = source.unwrap();
        tokio::task::block_in_place(|| {
            let mut watch = pair.bob.start(&["transfers", "watch"]);
            let get = pair.bob.start(&["get", &source.file, "--wait"]);
            watch.line("a running transfer", |line| record(line).is_some_and(|record| record["state"] == "running"));
            pair.engine = Some(pair.alice.engine());
            got(get)
        })
    });
    assert_eq!(tree::hash(&original), tree::hash(Path::new(&text(&transfer, "path"))));
    assert!(bytes_from(&transfer, "alice") > LARGE / 2, "{transfer}");
}

/// Waits until a member has verified this many bytes of something.
fn has(member: &Member, bytes: u64) {
    let mut watch = member.start(&["transfers", "watch"]);
    watch.line("enough progress", |line| {
        record(line).is_some_and(|record| record["done"].as_u64().is_some_and(|done| done >= bytes))
    });
}

/// Waits for the good end of a get and returns its record.
fn got(mut get: Running) -> Value {
    let line = get.line("the transfer record", |line| record(line).is_some_and(|record| record["type"] == "transfer"));
    assert_eq!(get.finish_within(PATIENCE).code, Some(0));
    record(&line).unwrap()
}

fn bytes_from(transfer: &Value, member: &str) -> u64 {
    let sources = transfer["sources"].as_array().unwrap().iter();
    sources.filter(|source| source["member"] == member).map(|source| number(source, "bytes")).sum()
}

const SIZE: u64 = 400 << 20;
const LARGE: u64 = 24_000_000;
