//! (f) From starting the screen to its first whole frame, on a raw pseudo-terminal.

use std::{
    fs::File,
    io::{self, Read, Write},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use tests::{Member, Tracker, corpus};

use crate::table::{Table, quantile};

pub(crate) fn measure(table: &mut Table) -> Result<()> {
    let tracker = Tracker::start();
    let member = Member::new(&tracker, "alice");
    let folder = member.desk().join("some");
    corpus::small_files(&folder, 6, 500, 1000);
    member.share(&[&folder], &[]);
    for (kind, engine) in [("with an engine of its own", None), ("attached to an engine", Some(member.engine()))] {
        let taken: Vec<f64> = (0..RUNS).map(|_| first_frame(&member)).collect::<Result<_>>()?;
        table.row(
            &format!("f: first frame of the screen, {kind}"),
            format!("p50 {:.0} ms, slowest {:.0} ms", quantile(&taken, 0.5), quantile(&taken, 1.0)),
            String::new(),
            String::new(),
            "at most 100 ms",
        );
        drop(engine);
    }
    Ok(())
}

/// Milliseconds from starting the program until the end of its first synchronized update.
fn first_frame(member: &Member) -> Result<f64> {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&terminal)?;
    unlockpt(&terminal)?;
    tcsetwinsize(&terminal, Winsize { ws_row: 36, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 })?;
    let name = ptsname(&terminal, Vec::new())?;
    let far_side = rustix::fs::open(&*name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    let side = || -> io::Result<Stdio> { Ok(far_side.try_clone()?.into()) };

    let program = member.command(&[]);
    // A session of its own, so that the pseudo-terminal is the terminal of the program.
    let mut command = Command::new("setsid");
    command.arg("--ctty").arg(program.get_program()).env_clear();
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TERM", "xterm-256color");
    command.stdin(side()?).stdout(side()?).stderr(side()?);
    let start = Instant::now();
    let mut child = command.spawn().context("setsid is not installed")?;
    // The last handles of that side but the program's own: its end is then seen on ours.
    drop((command, far_side));
    let mut screen = File::from(terminal);
    let (mut seen, mut block) = (Vec::new(), [0; 16384]);
    let taken = loop {
        let n = screen.read(&mut block).unwrap_or(0);
        ensure!(n > 0, "the screen ended: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&block[..n]);
        if shows_a_frame(&seen) {
            break start.elapsed().as_secs_f64() * 1000.0;
        }
    };
    screen.write_all(b"q")?;
    // The program may wait until its last bytes are read.
    while screen.read(&mut block).is_ok_and(|n| n > 0) {
        if child.try_wait()?.is_some() {
            break;
        }
    }
    child.wait()?;
    Ok(taken)
}

/// Whether a synchronized update with the name of the first tab in it is over.
fn shows_a_frame(seen: &[u8]) -> bool {
    let position = |wanted: &[u8]| seen.windows(wanted.len()).position(|window| window == wanted);
    position(b"Files").is_some_and(|tab| seen[tab..].windows(FRAME_END.len()).any(|window| window == FRAME_END))
}

const RUNS: usize = 15;

/// The end of a synchronized update: a frame is whole.
const FRAME_END: &[u8] = b"\x1b[?2026l";
