//! The guard that takes over the terminal and gives it back on every way of leaving: the end of the screen, an error,
//! a panic, a signal, a suspension. Owns every mode that is switched on, and nothing that is drawn.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crossterm::{
    cursor,
    event::{DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange},
    execute,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, getpgrp, getpid, getppid, getsid, kill_current_process_group, kill_process},
};
use tokio::sync::mpsc;

/// Whether the terminal is ours at the moment. One process has one terminal.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Name of the thread whose panics end the screen. A panic elsewhere (a stranger's bad input in a worker) ends that
/// task and is logged; the screen goes on.
pub const SCREEN_THREAD: &str = "screen";

/// Holds the terminal; dropping it gives the terminal back.
#[derive(Debug)]
pub struct TermGuard {
    mouse: bool,
}

impl TermGuard {
    /// Takes the terminal: raw mode, alternate screen, mouse, paste and focus events, and a title of its own.
    ///
    /// # Errors
    /// When standard input or output is not a terminal, or it cannot be switched.
    pub fn take() -> io::Result<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "standard input and output are not a terminal"));
        }
        install_panic_hook();
        let guard = Self { mouse: true };
        enter(true)?;
        Ok(guard)
    }

    /// Lets go of the mouse, or takes it again.
    ///
    /// # Errors
    /// When the terminal cannot be written.
    pub fn set_mouse(&mut self, on: bool) -> io::Result<()> {
        self.mouse = on;
        write_now(if on { MOUSE_ON } else { MOUSE_OFF })
    }

    /// Gives the terminal back and sends this program's process group to sleep, as the terminal itself would. The stop
    /// takes hold a moment later: wait for the signal to go on, then [`Self::take_again`]. Says whether it was done:
    /// without a shell above nobody could wake us.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn suspend_group(&mut self) -> io::Result<bool> {
        if group_is_orphaned() {
            return Ok(false);
        }
        leave();
        kill_current_process_group(Signal::STOP)?;
        Ok(true)
    }

    /// As [`Self::suspend_group`], for a stop that somebody else asked of this process alone.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn suspend_self(&mut self) -> io::Result<()> {
        leave();
        Ok(kill_process(getpid(), Signal::STOP)?)
    }

    /// Takes the terminal after a stop, in the same modes.
    ///
    /// # Errors
    /// When the terminal cannot be switched.
    pub fn take_again(&mut self) -> io::Result<()> {
        enter(self.mouse)
    }
}

impl Drop for TermGuard {
    fn drop(&mut self) {
        leave();
    }
}

fn enter(mouse: bool) -> io::Result<()> {
    // From here on a panic or an error has something to give back.
    TAKEN.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    let mut out = io::stdout();
    out.write_all(TITLE_PUSH)?;
    execute!(out, EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange, cursor::Hide)?;
    if mouse {
        out.write_all(MOUSE_ON)?;
    }
    out.flush()
}

/// Switches everything back. Safe to call at any time, from any thread, more than once.
pub fn leave() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    // Each step is tried whatever became of the others: there is nobody left to tell.
    let _sync = out.write_all(SYNC_END);
    let _mouse = out.write_all(MOUSE_OFF);
    let _progress = out.write_all(PROGRESS_CLEAR);
    let _modes = execute!(out, DisableFocusChange, DisableBracketedPaste, cursor::Show, LeaveAlternateScreen);
    let _title = out.write_all(TITLE_POP);
    let _flush = out.flush();
    let _raw = disable_raw_mode();
}

/// Gives the terminal back before a panic of the screen is printed; panics of workers are logged instead of drawn over.
fn install_panic_hook() {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if INSTALLED.swap(true, Ordering::SeqCst) {
        return;
    }
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let ours = std::thread::current().name() == Some(SCREEN_THREAD);
        if ours || !TAKEN.load(Ordering::SeqCst) {
            leave();
            before(panic);
        } else {
            tracing::error!(%panic, "a task panicked");
        }
    }));
}

fn write_now(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(bytes)?;
    out.flush()
}

/// Whether no process above us in this session could continue our group: then stopping it would be for ever.
fn group_is_orphaned() -> bool {
    let (group, session) = (getpgrp(), getsid(None).ok());
    let mut above = getppid();
    // A program stands under a handful of wrappers, never under hundreds.
    for _ in 0..64 {
        let Some(pid) = above else { return true };
        if getsid(Some(pid)).ok() != session {
            return true;
        }
        match rustix::process::getpgid(Some(pid)) {
            Ok(other) if other != group => return false,
            Ok(_) => above = parent_of(pid),
            Err(_) => return true,
        }
    }
    true
}

fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name in parentheses may hold anything; the fields after its end do not.
    let fields = stat.rsplit_once(')')?.1;
    Pid::from_raw(fields.split_whitespace().nth(1)?.parse().ok()?)
}

/// Watches, on a thread of its own, whether the terminal is still there, because a hung-up terminal makes reads return
/// at once for ever. Reports it once; a screen that has not ended some seconds later is ended.
///
/// # Errors
/// When the thread cannot be started.
pub fn watch_for_hangup(gone: mpsc::Sender<()>) -> io::Result<()> {
    let watch = move || {
        while !gone.is_closed() {
            let stdin = io::stdin();
            let mut polled = [PollFd::new(&stdin, PollFlags::empty())];
            let second = Timespec { tv_sec: 1, tv_nsec: 0 };
            let hung_up = poll(&mut polled, Some(&second)).is_ok()
                && polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
            if hung_up {
                // Full means that it was told already.
                let _told = gone.try_send(());
                std::thread::sleep(HANGUP_GRACE);
                std::process::exit(129);
            }
        }
    };
    std::thread::Builder::new().name("hangup".to_owned()).spawn(watch)?;
    Ok(())
}

/// Time in which the programs' parts stop by themselves after the terminal is gone.
const HANGUP_GRACE: Duration = Duration::from_secs(10);
/// Presses, drags and SGR coordinates; not 1003, which floods with every motion.
const MOUSE_ON: &[u8] = b"\x1b[?1000h\x1b[?1002h\x1b[?1006h";
const MOUSE_OFF: &[u8] = b"\x1b[?1006l\x1b[?1002l\x1b[?1000l";
/// Begins a frame that the terminal shows at once.
pub const SYNC_BEGIN: &[u8] = b"\x1b[?2026h";
/// Ends it.
pub const SYNC_END: &[u8] = b"\x1b[?2026l";
const TITLE_PUSH: &[u8] = b"\x1b[22;0t";
const TITLE_POP: &[u8] = b"\x1b[23;0t";
/// Takes progress off the window's icon.
pub const PROGRESS_CLEAR: &[u8] = b"\x1b]9;4;0\x1b\\";
