//! (a) `get` of a large file next to the minimal program, (b) next to `scp` and `rsync`, and the memory that it takes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use tests::{
    Member, Running, Tracker, corpus,
    member::{number, text},
    program::program,
};

use crate::{
    Options,
    ssh::Sshd,
    table::{Table, median, mib, quantile, ratio_of_pairs, seconds},
};

/// What one `get` took.
struct Got {
    /// Seconds of the whole command.
    command: f64,
    /// Seconds by the transfer's own record.
    record: f64,
    receiver_peak: u64,
}

pub(crate) fn measure(options: &Options, others: bool, table: &mut Table) -> Result<()> {
    let size = options.size << 20;
    let tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    let engine = alice.engine();
    let file = alice.desk().join("large.bin");
    corpus::large_file(&file, 1, size);
    let id = alice.share(&[&file], &[]);
    let minimal = Minimal::serve(&file)?;

    let (mut commands, mut records, mut theirs, mut peaks) = (vec![], vec![], vec![], vec![]);
    for pair in 0..options.pairs {
        let got = |number: usize| get(&tracker, &id, &format!("receiver {number}"));
        let (got, minimal) = if pair % 2 == 0 {
            let got = got(pair)?;
            (got, minimal.fetch()?)
        } else {
            let minimal = minimal.fetch()?;
            (got(pair)?, minimal)
        };
        eprintln!("  pair {pair}: get {:.3} s (record {:.3} s), minimal {minimal:.3} s", got.command, got.record);
        commands.push(got.command);
        records.push(got.record);
        peaks.push(got.receiver_peak as f64);
        theirs.push(minimal);
    }
    let speed = |seconds: f64| size as f64 / f64::from(1 << 20) / seconds;
    let name = format!("a: get {} MiB, disk to disk", options.size);
    table.row(
        &format!("{name}, the whole command"),
        format!("{}, {:.0} MiB/s", seconds(&commands), speed(median(&commands))),
        format!("minimal program {}, {:.0} MiB/s", seconds(&theirs), speed(median(&theirs))),
        format!("speed {}", ratio_of_pairs(&theirs, &commands)),
        "at least 0.85",
    );
    table.row(
        &format!("{name}, by its record"),
        seconds(&records),
        "minimal program".to_owned(),
        format!("speed {}", ratio_of_pairs(&theirs, &records)),
        "",
    );
    let largest = quantile(&peaks, 1.0) as u64;
    table.row("d: peak memory of the receiver in a", mib(largest), String::new(), String::new(), "at most 64 MiB");
    let sender = engine.process().memory_peak();
    table.row("d: peak memory of the sender in a", mib(sender), String::new(), String::new(), "at most 64 MiB");

    if others {
        compare_with_others(options, &tracker, &id, &file, table)?;
    }
    Ok(())
}

fn compare_with_others(options: &Options, tracker: &Tracker, id: &str, file: &Path, table: &mut Table) -> Result<()> {
    let sshd = match Sshd::start() {
        Ok(sshd) => sshd,
        Err(error) => {
            table.row("b: scp and rsync", format!("not measured: {error:#}"), String::new(), String::new(), "");
            return Ok(());
        }
    };
    for (name, target) in [("scp", "at most 0.65"), ("rsync over ssh", "")] {
        let (mut ours, mut theirs) = (vec![], vec![]);
        for round in 0..options.pairs.min(5) {
            let folder = tempfile::tempdir()?;
            let to = folder.path().join("out");
            settle();
            let taken = if name == "scp" { sshd.scp(file, &to) } else { sshd.rsync(file, &to) };
            match taken {
                Ok(taken) => theirs.push(taken),
                Err(error) => {
                    table.row(
                        &format!("b: {name}"),
                        format!("not measured: {error:#}"),
                        String::new(),
                        String::new(),
                        "",
                    );
                    break;
                }
            }
            drop(folder);
            ours.push(get(tracker, id, &format!("beside {name} {round}"))?.command);
        }
        if !theirs.is_empty() {
            let (what, ratio) = (format!("b: get {} MiB", options.size), ratio_of_pairs(&ours, &theirs));
            table.row(&what, seconds(&ours), format!("{name} {}", seconds(&theirs)), format!("time {ratio}"), target);
        }
    }
    Ok(())
}

/// A new member gets the file. Its engine runs and is connected before the clock starts.
fn get(tracker: &Tracker, id: &str, name: &str) -> Result<Got> {
    let receiver = Member::new(tracker, name);
    let engine = receiver.engine();
    settle();
    let start = Instant::now();
    let output = receiver.run(&["get", id]).ok();
    let command = start.elapsed().as_secs_f64();
    let transfer = output.one("transfer");
    ensure!(number(&transfer, "bytes_peer") == number(&transfer, "size"), "not all came directly: {transfer}");
    ensure!(PathBuf::from(text(&transfer, "path")).exists(), "the file is not there");
    let record = number(&transfer, "elapsed_ms") as f64 / 1000.0;
    Ok(Got { command, record, receiver_peak: engine.process().memory_peak() })
}

/// The minimal program's serving half. Ended on drop.
struct Minimal {
    _server: Running,
    address: String,
    fingerprint: String,
}

impl Minimal {
    fn serve(file: &Path) -> Result<Self> {
        let mut server = Running::start(Command::new(program("baseline")).arg("send").arg(file), b"");
        let line = server.line("its address", |_| true);
        let (address, fingerprint) = line.split_once(' ').context("no fingerprint")?;
        Ok(Self { address: address.to_owned(), fingerprint: fingerprint.to_owned(), _server: server })
    }

    /// Seconds that the fetching half takes, by its own clock: connecting to the last byte on disk.
    fn fetch(&self) -> Result<f64> {
        let folder = tempfile::tempdir()?;
        settle();
        let mut command = Command::new(program("baseline"));
        command.args(["recv", &self.address, &self.fingerprint]).arg(folder.path().join("out"));
        let ended = Running::start(&mut command, b"").finish();
        ensure!(ended.code == Some(0), "the minimal program failed: {}", ended.stderr);
        let taken = ended.stdout.split(' ').next().context("no time")?;
        fs::remove_file(folder.path().join("out"))?;
        Ok(taken.parse()?)
    }
}

/// What was written before shall not be written during the measurement.
fn settle() {
    rustix::fs::sync();
}
