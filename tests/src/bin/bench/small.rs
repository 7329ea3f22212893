//! (c) Ten thousand small files, next to a local copy and to `scp -r`.

use std::{fs, path::Path, process::Command, time::Instant};

use anyhow::Result;
use tests::{
    Member, Tracker, corpus,
    member::{number, text},
    tree,
};

use crate::{
    Options,
    ssh::{Sshd, timed},
    table::{Table, ratio_of_pairs, seconds},
};

pub(crate) fn measure(options: &Options, table: &mut Table) -> Result<()> {
    let tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    let _engine = alice.engine();
    let folder = alice.desk().join("small");
    make_files(&folder)?;
    let id = alice.share(&[&folder], &[]);

    let (mut ours, mut records, mut copies) = (vec![], vec![], vec![]);
    // Nothing is deleted before the end: for minutes after, ext4 searches long for inodes, and everybody is slow.
    let (mut copied, mut receivers) = (vec![], vec![]);
    for round in 0..options.pairs {
        let to = tempfile::tempdir()?;
        copies.push(copy_locally(&folder, &to.path().join("out"))?);
        copied.push(to);
        let receiver = Member::new(&tracker, &format!("receiver {round}"));
        let engine = receiver.engine();
        wait_until_in_step(&alice, &receiver, round);
        let (command, record) = get(&receiver, &id, &folder)?;
        drop(engine);
        receivers.push(receiver);
        eprintln!("  pair {round}: get {command:.3} s (record {record:.3} s), cp -r {:.3} s", copies[round]);
        ours.push(command);
        records.push(record);
    }
    let what = format!("c: get of {COUNT} x {BYTES} bytes");
    let copied = format!("cp -r and sync -f {}", seconds(&copies));
    table.row(
        &format!("{what}, the whole command"),
        seconds(&ours),
        copied,
        format!("time {}", ratio_of_pairs(&ours, &copies)),
        "at most 2.0",
    );
    let ratio = format!("time {}", ratio_of_pairs(&records, &copies));
    table.row(&format!("{what}, by its record"), seconds(&records), "cp -r and sync -f".to_owned(), ratio, "");

    let scp = Sshd::start().and_then(|sshd| {
        let to = tempfile::tempdir()?;
        sshd.scp(&folder, &to.path().join("out"))
    });
    match scp {
        Ok(scp) => {
            let ratio = ratio_of_pairs(&ours[..1], &[scp]);
            table.row(&what, seconds(&ours), format!("scp -r {scp:.2} s"), format!("time {ratio}"), "far ahead");
        }
        Err(error) => table.row(&what, format!("scp -r not measured: {error:#}"), String::new(), String::new(), ""),
    }
    Ok(())
}

fn make_files(folder: &Path) -> Result<()> {
    for index in 0..COUNT {
        let below = folder.join(format!("{:02}", index / 100));
        if index % 100 == 0 {
            fs::create_dir_all(&below)?;
        }
        fs::write(below.join(format!("{index:05}.dat")), corpus::bytes(index as u64, BYTES))?;
    }
    Ok(())
}

fn copy_locally(folder: &Path, out: &Path) -> Result<f64> {
    rustix::fs::sync();
    timed(Command::new("cp").arg("-r").arg(folder).arg(out), out)
}

/// An engine that has just begun learns the whole index first, which is no part of a get. The index comes in order: who
/// hears of the newest file knows all.
fn wait_until_in_step(alice: &Member, receiver: &Member, round: usize) {
    let mut events = receiver.start(&["events", "--type", "file_shared"]);
    receiver.run(&["status"]).ok();
    let name = format!("round {round}");
    alice.share(&[&alice.write(&name, &name)], &[]);
    events.line("the newest file", |line| line.contains(&name));
}

fn get(receiver: &Member, id: &str, folder: &Path) -> Result<(f64, f64)> {
    rustix::fs::sync();
    let start = Instant::now();
    let output = receiver.run(&["get", id]).ok();
    let command = start.elapsed().as_secs_f64();
    let transfer = output.one("transfer");
    tree::assert_same(folder, text(&transfer, "path").as_ref());
    Ok((command, number(&transfer, "elapsed_ms") as f64 / 1000.0))
}

const COUNT: usize = 10_000;
const BYTES: usize = 4096;
