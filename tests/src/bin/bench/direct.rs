//! (a) `get` of a large file next to the minimal program, (d) the memory and (g) the processor that it takes.

use std::{ffi::OsStr, path::PathBuf, process::Command, time::Instant};

use anyhow::{Context, Result, ensure};
use tests::{
    Member, Running, Tracker, corpus,
    member::{number, text},
    program::program,
};

use crate::{
    Options,
    ends::settle,
    others,
    table::{Table, median, mib, quantile, ratio_of_pairs, seconds},
};

/// What one `get` took.
pub(crate) struct Got {
    /// Seconds of the whole command.
    pub(crate) command: f64,
    /// Seconds by the transfer's own record.
    record: f64,
    receiver_peak: u64,
    /// Seconds that the receiver computed.
    receiver_cpu: f64,
}

/// What one run of the minimal program took.
struct Fetched {
    seconds: f64,
    sender_cpu: f64,
    receiver_cpu: f64,
}

/// One pair of rounds.
struct Pair {
    ours: Got,
    sender_cpu: f64,
    minimal: Fetched,
    /// Seconds of plain QUIC from memory to memory.
    raw: f64,
}

/// What is looked at of a pair.
type Value = fn(&Pair) -> f64;

pub(crate) fn measure(options: &Options, table: &mut Table) -> Result<()> {
    let size = options.size << 20;
    let tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    let engine = alice.engine();
    let file = alice.desk().join("large.bin");
    corpus::large_file(&file, 1, size);
    let id = alice.share(&[&file], &[]);
    if options.wants('a') || options.wants('g') {
        let (minimal, raw) =
            (Minimal::serve(&[file.as_os_str()])?, Minimal::serve(&["--raw".as_ref(), file.as_os_str()])?);
        let mut pairs = Vec::new();
        for number in 0..options.pairs {
            let got = || {
                let before = engine.process().cpu_seconds();
                let got = get(&tracker, &id, &format!("receiver {number}"))?;
                anyhow::Ok((got, engine.process().cpu_seconds() - before))
            };
            let first = if number % 2 == 0 { Some(got()?) } else { None };
            let (minimal, raw) = (minimal.fetch()?, raw.fetch()?.seconds);
            let (ours, sender_cpu) = first.map_or_else(got, Ok)?;
            let Got { command, record, .. } = ours;
            let theirs = minimal.seconds;
            eprintln!(
                "  pair {number}: get {command:.3} s (record {record:.3} s), minimal {theirs:.3} s, raw {raw:.3} s"
            );
            pairs.push(Pair { ours, sender_cpu, minimal, raw });
        }
        speed_rows(options, &pairs, table);
        let peaks: Vec<f64> = pairs.iter().map(|pair| pair.ours.receiver_peak as f64).collect();
        let largest = quantile(&peaks, 1.0) as u64;
        table.row("d: peak memory of the receiver in a", mib(largest), String::new(), String::new(), "at most 64 MiB");
        let sender = engine.process().memory_peak();
        table.row("d: peak memory of the sender in a", mib(sender), String::new(), String::new(), "at most 64 MiB");
        cpu_rows(size, &pairs, table);
    }
    if options.wants('b') {
        others::compare(options, &tracker, &id, &file, table)?;
    }
    Ok(())
}

fn speed_rows(options: &Options, pairs: &[Pair], table: &mut Table) {
    let of = |value: Value| -> Vec<f64> { pairs.iter().map(value).collect() };
    let (commands, records) = (of(|pair| pair.ours.command), of(|pair| pair.ours.record));
    let (minimal, raw) = (of(|pair| pair.minimal.seconds), of(|pair| pair.raw));
    let speed = |seconds: &[f64]| format!("{:.0} MiB/s", options.size as f64 / median(seconds));
    let name = format!("a: get {} MiB, disk to disk", options.size);
    table.row(
        &format!("{name}, the whole command"),
        format!("{}, {}", seconds(&commands), speed(&commands)),
        format!("minimal program {}, {}", seconds(&minimal), speed(&minimal)),
        format!("speed {}", ratio_of_pairs(&minimal, &commands)),
        "at least 0.90",
    );
    table.row(
        &format!("{name}, by its record"),
        seconds(&records),
        "minimal program".to_owned(),
        format!("speed {}", ratio_of_pairs(&minimal, &records)),
        "",
    );
    table.row(
        &format!("{name}, the whole command"),
        seconds(&commands),
        format!("QUIC from memory to memory {}, {}", seconds(&raw), speed(&raw)),
        format!("speed {}", ratio_of_pairs(&raw, &commands)),
        "at least 0.65, better 0.8",
    );
}

fn cpu_rows(size: u64, pairs: &[Pair], table: &mut Table) {
    let gib = size as f64 / f64::from(1 << 30);
    let of = |value: Value| -> Vec<f64> { pairs.iter().map(|pair| value(pair) / gib).collect() };
    let sides: [(&str, Value, Value); 3] = [
        ("sender", |pair| pair.sender_cpu, |pair| pair.minimal.sender_cpu),
        ("receiver", |pair| pair.ours.receiver_cpu, |pair| pair.minimal.receiver_cpu),
        (
            "both together",
            |pair| pair.sender_cpu + pair.ours.receiver_cpu,
            |pair| pair.minimal.sender_cpu + pair.minimal.receiver_cpu,
        ),
    ];
    for (side, ours, theirs) in sides {
        let (ours, theirs) = (of(ours), of(theirs));
        table.row(
            &format!("g: processor time for each GiB in a, {side}"),
            seconds(&ours),
            format!("minimal program {}", seconds(&theirs)),
            ratio_of_pairs(&ours, &theirs),
            "at most 1.25",
        );
    }
}

/// A new member gets the file. Its engine runs and is connected before the clock starts.
pub(crate) fn get(tracker: &Tracker, id: &str, name: &str) -> Result<Got> {
    let receiver = Member::new(tracker, name);
    let engine = receiver.engine();
    settle();
    let cpu = engine.process().cpu_seconds();
    let start = Instant::now();
    let output = receiver.run(&["get", id]).ok();
    let command = start.elapsed().as_secs_f64();
    let receiver_cpu = engine.process().cpu_seconds() - cpu;
    let transfer = output.one("transfer");
    ensure!(number(&transfer, "bytes_peer") == number(&transfer, "size"), "not all came directly: {transfer}");
    ensure!(PathBuf::from(text(&transfer, "path")).exists(), "the file is not there");
    let record = number(&transfer, "elapsed_ms") as f64 / 1000.0;
    Ok(Got { command, record, receiver_peak: engine.process().memory_peak(), receiver_cpu })
}

/// The minimal program's serving half. Ended on drop.
struct Minimal {
    server: Running,
    address: String,
    fingerprint: String,
    is_raw: bool,
}

impl Minimal {
    fn serve(what: &[&OsStr]) -> Result<Self> {
        let mut server = Running::start(Command::new(program("baseline")).arg("send").args(what), b"");
        let line = server.line("its address", |_| true);
        let (address, fingerprint) = line.split_once(' ').context("no fingerprint")?;
        let is_raw = what.len() > 1;
        Ok(Self { address: address.to_owned(), fingerprint: fingerprint.to_owned(), server, is_raw })
    }

    /// What the fetching half takes, by its own clock: connecting to the last byte on disk.
    fn fetch(&self) -> Result<Fetched> {
        let folder = tempfile::tempdir()?;
        settle();
        let sender_cpu = self.server.cpu_seconds();
        let mut command = Command::new(program("baseline"));
        command.args(["recv", &self.address, &self.fingerprint]);
        if !self.is_raw {
            command.arg(folder.path().join("out"));
        }
        let ended = Running::start(&mut command, b"").finish();
        ensure!(ended.code == Some(0), "the minimal program failed: {}", ended.stderr);
        let mut words = ended.stdout.split(' ');
        let mut number = || words.next().context("a number is missing").and_then(|word| Ok(word.parse::<f64>()?));
        let (seconds, receiver_cpu) = (number()?, number()?);
        Ok(Fetched { seconds, sender_cpu: self.server.cpu_seconds() - sender_cpu, receiver_cpu })
    }
}
