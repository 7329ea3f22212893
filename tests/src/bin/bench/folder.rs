//! (j) A folder of files of all sizes, next to a local copy and to rsync.

use std::{fs, path::Path};

use anyhow::Result;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tests::{Member, Tracker, corpus};

use crate::{
    Options,
    ends::{Ends, settle},
    small::{copy_locally, get, wait_until_in_step},
    ssh::Sshd,
    table::{Table, mib, quantile, ratio_of_pairs, seconds},
};

pub(crate) fn measure(options: &Options, table: &mut Table) -> Result<()> {
    let tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    let senders_engine = alice.engine();
    let folder = alice.desk().join("mixed");
    let bytes = make_files(&folder)?;
    let id = alice.share(&[&folder], &[]);
    let after_sharing = senders_engine.process().memory_peak();
    let sshd = Sshd::start(&Ends::here());

    let (mut ours, mut copies, mut rsyncs, mut peaks) = (vec![], vec![], vec![], vec![]);
    for round in 0..options.pairs.min(ROUNDS) {
        let to = tempfile::tempdir()?;
        copies.push(copy_locally(&folder, &to.path().join("out"))?);
        drop(to);
        if let Ok(sshd) = &sshd {
            let to = tempfile::tempdir()?;
            settle();
            rsyncs.push(sshd.timed_rsync(&folder, &to.path().join("out"))?);
        }
        let receiver = Member::new(&tracker, &format!("receiver {round}"));
        let engine = receiver.engine();
        wait_until_in_step(&alice, &receiver, round);
        let (command, record) = get(&receiver, &id, &folder)?;
        eprintln!("  round {round}: get {command:.3} s (record {record:.3} s), cp -r {:.3} s", copies[round]);
        ours.push(command);
        peaks.push(engine.process().memory_peak() as f64);
    }
    let what = format!("j: get of {COUNT} files from 0 bytes to 64 MiB, {} MiB", bytes >> 20);
    let copied = format!("cp -r and sync -f {}", seconds(&copies));
    table.row(&what, seconds(&ours), copied, format!("time {}", ratio_of_pairs(&ours, &copies)), "");
    match sshd {
        Ok(_) => {
            let ratio = format!("time {}", ratio_of_pairs(&ours, &rsyncs));
            table.row(&what, seconds(&ours), format!("rsync over ssh {}", seconds(&rsyncs)), ratio, "");
        }
        Err(error) => table.missing(&format!("{what}, next to rsync over ssh"), &error),
    }
    let sender = senders_engine.process().memory_peak();
    for (side, peak, compared) in [
        ("receiver", quantile(&peaks, 1.0) as u64, String::new()),
        ("sender", sender, format!("{} of that when it had shared the folder", mib(after_sharing))),
    ] {
        table.row(&format!("d: peak memory of the {side} in j"), mib(peak), compared, String::new(), "at most 64 MiB");
    }
    Ok(())
}

/// Makes the files, in folders of a hundred, and returns how many bytes are in them: some large ones, some empty ones,
/// and the rest of any order of magnitude up to 4 MiB as often as of any other.
fn make_files(folder: &Path) -> Result<u64> {
    let mut random = StdRng::seed_from_u64(9);
    let mut bytes = 0;
    for index in 0..COUNT {
        let below = folder.join(format!("{:02}", index / 100));
        fs::create_dir_all(&below)?;
        let length = match index % 250 {
            0 => 64 << 20,
            1..=5 => 0,
            _ => random.random_range(0.0..f64::from(4 << 20).ln()).exp() as u64,
        };
        fs::write(below.join(format!("{index:04}.dat")), corpus::bytes(index, usize::try_from(length)?))?;
        bytes += length;
    }
    Ok(bytes)
}

const COUNT: u64 = 2_000;

const ROUNDS: usize = 5;
