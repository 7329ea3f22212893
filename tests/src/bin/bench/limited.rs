//! (h) One file from four members, each of whom lets a quarter of the rate out.

use std::{fs, path::Path, time::Instant};

use anyhow::{Result, ensure};
use tests::{
    Member, Tracker, corpus,
    member::{number, text},
    tree,
};

use crate::{
    Options,
    ends::settle,
    table::{Table, mib, percent, quantile, seconds},
};

pub(crate) fn measure(options: &Options, table: &mut Table) -> Result<()> {
    let size = (options.size << 20) / 2;
    let tracker = Tracker::start();
    let original = tempfile::NamedTempFile::new()?;
    corpus::large_file(original.path(), 6, size);
    let hash = tree::hash(original.path());
    let mut sources = Vec::new();
    let mut id = String::new();
    for name in SOURCES {
        let member = Member::new(&tracker, name);
        let engine = member.engine();
        // Loopback counts as the same network, where limits hold only when that is asked for.
        member.run(&["limit", "up", &LIMIT.to_string(), "--lan"]).ok();
        let file = member.desk().join("film.bin");
        fs::copy(original.path(), &file)?;
        id = member.share(&[&file], &[]);
        sources.push((member, engine));
    }
    let (mut taken, mut peaks) = (vec![], vec![]);
    let together = LIMIT * SOURCES.len() as u64;
    for round in 0..options.pairs.min(ROUNDS) {
        let receiver = Member::new(&tracker, &format!("receiver {round}"));
        let engine = receiver.engine();
        settle();
        let start = Instant::now();
        let transfer = receiver.run(&["get", &id]).ok().one("transfer");
        let elapsed = start.elapsed().as_secs_f64();
        ensure!(tree::hash(Path::new(&text(&transfer, "path"))) == hash, "the wrong bytes came: {transfer}");
        let helped = transfer["sources"].as_array().map_or(0, Vec::len);
        ensure!(number(&transfer, "bytes_peer") >= size, "not all came from members: {transfer}");
        eprintln!("  round {round}: {elapsed:.3} s from {helped} sources");
        taken.push(elapsed);
        peaks.push(engine.process().memory_peak() as f64);
    }
    let share =
        |bytes: u64| -> Vec<f64> { taken.iter().map(|elapsed| bytes as f64 / elapsed / together as f64).collect() };
    let name = format!("h: get {} MiB from {} sources of 100 Mbit/s each", size >> 20, SOURCES.len());
    table.row(&name, seconds(&taken), "400 Mbit/s".to_owned(), percent(&share(size)), "at least 95 %");
    table.row(
        &format!("{name}, without what passed at once"),
        format!("{} less", mib(together / BURST)),
        "400 Mbit/s".to_owned(),
        percent(&share(size - together / BURST)),
        "",
    );
    let largest = quantile(&peaks, 1.0) as u64;
    table.row("d: peak memory of the receiver in h", mib(largest), String::new(), String::new(), "at most 64 MiB");
    Ok(())
}

const SOURCES: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// Bytes a second: 100 Mbit/s.
const LIMIT: u64 = 12_500_000;

/// The part of a second whose bytes a limit lets pass at once when there was silence before.
const BURST: u64 = 4;

const ROUNDS: usize = 5;
