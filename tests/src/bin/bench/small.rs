//! (c) Ten thousand small files, next to a local copy and to `scp -r`; (l) the same in memory, next to an rsync daemon.

use std::{fs, path::Path, process::Command, time::Instant};

use anyhow::{Result, ensure};
use tempfile::TempDir;
use tests::{
    Member, Running, Tracker, corpus,
    member::{number, text},
    tree,
};

use crate::{
    Options,
    ends::{Ends, free_port, serve, settle, timed},
    ssh::Sshd,
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

    // What they wrote is kept to the end, too.
    let mut written = vec![];
    let scp = Sshd::start(&Ends::here()).and_then(|sshd| {
        let mut scp = |_| {
            let to = tempfile::tempdir()?;
            let taken = sshd.timed_scp(&folder, &to.path().join("out"));
            written.push(to);
            taken
        };
        (0..options.pairs).map(&mut scp).collect::<Result<Vec<f64>>>()
    });
    match scp {
        Ok(scp) => {
            let ratio = ratio_of_pairs(&ours, &scp);
            table.row(&what, seconds(&ours), format!("scp -r {}", seconds(&scp)), format!("time {ratio}"), "far ahead");
        }
        Err(error) => table.missing(&format!("{what}, next to scp -r"), &error),
    }
    Ok(())
}

/// (l) The same files in memory, next to an rsync daemon, which does not encrypt. All that is temporary goes there from
/// here on.
pub(crate) fn measure_in_memory(options: &Options, table: &mut Table) -> Result<()> {
    let memory = Path::new("/dev/shm");
    ensure!(memory.is_dir(), "there is no /dev/shm");
    ensure!(tempfile::env::override_temp_dir(memory).is_ok(), "temporary files lie elsewhere for good");
    let tracker = Tracker::start();
    let alice = Member::new(&tracker, "alice");
    let _engine = alice.engine();
    let folder = alice.desk().join("small");
    make_files(&folder)?;
    let id = alice.share(&[&folder], &[]);
    let daemon = RsyncDaemon::start(&folder);

    let (mut ours, mut theirs) = (vec![], vec![]);
    for round in 0..options.pairs {
        let receiver = Member::new(&tracker, &format!("receiver {round}"));
        let _engine = receiver.engine();
        wait_until_in_step(&alice, &receiver, round);
        ours.push(get(&receiver, &id, &folder)?.0);
        if let Ok(daemon) = &daemon {
            let to = tempfile::tempdir()?;
            theirs.push(daemon.fetch(&to.path().join("out"))?);
        }
    }
    let what = format!("l: get of {COUNT} x {BYTES} bytes, all in memory");
    table.row(&what, seconds(&ours), String::new(), String::new(), "at most 0.4 s");
    match daemon {
        Ok(_) => {
            let ratio = format!("time {}", ratio_of_pairs(&ours, &theirs));
            table.row(&what, seconds(&ours), format!("rsync daemon {}", seconds(&theirs)), ratio, "below 1");
        }
        Err(error) => table.missing(&format!("{what}, next to an rsync daemon"), &error),
    }
    Ok(())
}

/// An rsync daemon on a free port of 127.0.0.1. Ended on drop.
struct RsyncDaemon {
    _server: Running,
    _folder: TempDir,
    port: u16,
}

impl RsyncDaemon {
    fn start(root: &Path) -> Result<Self> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let configuration = folder.path().join("rsyncd.conf");
        let user = if rustix::process::geteuid().is_root() { "uid = root\ngid = root" } else { "" };
        let module = format!("{user}\nuse chroot = no\nlog file = /dev/stderr\n[small]\npath = {}\n", root.display());
        fs::write(&configuration, module)?;
        let mut command = Command::new("rsync");
        command.args(["--daemon", "--no-detach", "--address", "127.0.0.1", "--port", &port.to_string(), "--config"]);
        let (server, _line) = serve(command.arg(configuration), "listening on port")?;
        Ok(Self { _server: server, _folder: folder, port })
    }

    fn fetch(&self, to: &Path) -> Result<f64> {
        let from = format!("rsync://127.0.0.1:{}/small/", self.port);
        timed(Command::new("rsync").args(["-a", "-W", &from]).arg(to), to)
    }
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

pub(crate) fn copy_locally(folder: &Path, out: &Path) -> Result<f64> {
    settle();
    timed(Command::new("cp").arg("-r").arg(folder).arg(out), out)
}

/// An engine that has just begun learns the whole index first, which is no part of a get. The index comes in order: who
/// hears of the newest file knows all.
pub(crate) fn wait_until_in_step(alice: &Member, receiver: &Member, round: usize) {
    let mut events = receiver.start(&["events", "--type", "file_shared"]);
    receiver.run(&["status"]).ok();
    let name = format!("round {round}");
    alice.share(&[&alice.write(&name, &name)], &[]);
    events.line("the newest file", |line| line.contains(&name));
}

pub(crate) fn get(receiver: &Member, id: &str, folder: &Path) -> Result<(f64, f64)> {
    settle();
    let start = Instant::now();
    let output = receiver.run(&["get", id]).ok();
    let command = start.elapsed().as_secs_f64();
    let transfer = output.one("transfer");
    tree::assert_same(folder, text(&transfer, "path").as_ref());
    Ok((command, number(&transfer, "elapsed_ms") as f64 / 1000.0))
}

const COUNT: usize = 10_000;
const BYTES: usize = 4096;
