//! What the screen does to the world around it: calls, paths, programs, keys, the clock, and writing whole frames.

use std::{
    cell::RefCell,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Stdio,
    rc::Rc,
    time::{SystemTime, UNIX_EPOCH},
};

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use shared::limits::PATH_SUGGESTIONS_MAX;
use tokio::sync::mpsc;

use super::Report;
use crate::{
    app::{CallId, Event, dropped::Dropped, keys::Key, notices::Notices, prompt::Survey},
    engine::{api::Command, client::Client},
};

/// Runs one call and reports what it tells.
pub(super) async fn follow(client: Client, call: CallId, command: Command, reports: mpsc::Sender<Report>) {
    let mut updates = client.call(command).await;
    let result = loop {
        match updates.next().await {
            Ok(Some(update)) => {
                let event = Event::Update { call, update: Box::new(update) };
                if reports.send(event).await.is_err() {
                    return;
                }
            }
            Ok(None) => break Ok(()),
            Err(failure) => break Err(failure),
        }
    };
    // The screen is gone where this is not heard.
    let _unheard = reports.send(Event::Ended { call, result }).await;
}

/// Paths that begin as typed; folders end in `/`. Hidden ones only where a dot is typed.
pub(super) fn complete(typed: &str) -> Vec<String> {
    let (folder, start) = typed.rsplit_once('/').map_or(("", typed), |(folder, start)| (folder, start));
    let Ok(entries) = std::fs::read_dir(if folder.is_empty() { Path::new("/") } else { Path::new(folder) }) else {
        return Vec::new();
    };
    let mut paths: Vec<String> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let shown = name.starts_with(start) && (!name.starts_with('.') || start.starts_with('.'));
            let slash = if entry.file_type().ok()?.is_dir() { "/" } else { "" };
            shown.then(|| format!("{folder}/{name}{slash}"))
        })
        .collect();
    paths.sort();
    paths.truncate(PATH_SUGGESTIONS_MAX);
    paths
}

/// What lies at these paths; `None` where one of them leads to nothing that can be offered.
pub(super) fn weigh(paths: &[PathBuf]) -> Option<Vec<Dropped>> {
    let look = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok().filter(|found| found.is_file() || found.is_dir())?;
        let size = if found.is_file() { found.len() } else { 0 };
        Some(Dropped { path: path.clone(), folder: found.is_dir(), size })
    };
    paths.iter().map(look).collect()
}

/// What a folder is like that something of this name shall go to.
pub(super) fn survey(folder: PathBuf, name: &str) -> Survey {
    // A folder that is yet to be made lies where the nearest one above it does.
    let free = folder.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok());
    let free = free.map(|place| place.f_bavail.saturating_mul(place.f_frsize));
    let taken = !name.is_empty() && folder.join(name).symlink_metadata().is_ok();
    Survey { folder, free, taken }
}

/// What makes a terminal ring, and its desktop show a note. Inside tmux a note is handed through to the terminal around
/// it, which tmux may be told not to do: it rings too, and that is tmux's own business.
pub(super) fn notice_bytes(ways: Notices, text: &str, in_tmux: bool) -> Vec<u8> {
    let notes = [
        (ways.osc9, format!("\x1b]9;{text}\x1b\\")),
        // Semicolons stand between its parts.
        (ways.osc777, format!("\x1b]777;notify;swapmeet;{}\x1b\\", text.replace(';', ","))),
        (ways.osc99, format!("\x1b]99;;{text}\x1b\\")),
    ];
    let mut bytes = Vec::new();
    for (_, note) in notes.iter().filter(|(chosen, _)| *chosen) {
        match in_tmux {
            true => bytes.extend(format!("\x1bPtmux;{}\x1b\\", note.replace('\x1b', "\x1b\x1b")).into_bytes()),
            false => bytes.extend_from_slice(note.as_bytes()),
        }
    }
    if ways.bell || (in_tmux && !bytes.is_empty()) {
        bytes.push(BELL);
    }
    bytes
}

const BELL: u8 = 0x07;

pub(super) async fn open(path: &PathBuf) -> Result<(), String> {
    let mut command = tokio::process::Command::new("xdg-open");
    command.arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = match command.status().await {
        Ok(status) => status,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err("xdg-open is not installed; y copies the path".to_owned());
        }
        Err(error) => return Err(error.to_string()),
    };
    if status.success() { Ok(()) } else { Err("no program for it was found; y copies the path".to_owned()) }
}

pub(super) fn key_of(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
    let alt = event.modifiers.contains(KeyModifiers::ALT);
    Some(match event.code {
        KeyCode::Char(_) if alt => Key::Other,
        KeyCode::Enter if alt => Key::AltEnter,
        KeyCode::Char(c) if ctrl => Key::Ctrl(c.to_ascii_lowercase()),
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Tab if event.modifiers.contains(KeyModifiers::SHIFT) => Key::BackTab,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::F(n) => Key::F(n),
        _ => Key::Other,
    })
}

pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Gathers a whole frame, so that the terminal gets it in one write. Clones gather together.
#[derive(Debug, Clone, Default)]
pub(super) struct Frames {
    waiting: Rc<RefCell<Vec<u8>>>,
}

impl Frames {
    /// Ends the frame: writes all of it.
    pub(super) fn send(&self) -> io::Result<()> {
        let mut out = io::stdout();
        let mut waiting = self.waiting.borrow_mut();
        out.write_all(&waiting)?;
        waiting.clear();
        out.flush()
    }
}

impl Write for Frames {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Flushing in the middle of a frame would show half of it; [`Self::send`] ends it.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_rings_or_notes_and_reaches_the_terminal_around_tmux() {
        let ways = |text: &str| Notices::parse(text).unwrap();
        assert_eq!(notice_bytes(ways("bell"), "message from bob", false), b"\x07");
        assert_eq!(notice_bytes(ways("osc9"), "message from bob", false), b"\x1b]9;message from bob\x1b\\");
        assert_eq!(notice_bytes(ways("osc777"), "a; b", false), b"\x1b]777;notify;swapmeet;a, b\x1b\\");
        assert_eq!(notice_bytes(ways("osc99,bell"), "message from bob", false), b"\x1b]99;;message from bob\x1b\\\x07");
        let wrapped = b"\x1bPtmux;\x1b\x1b]9;message from bob\x1b\x1b\\\x1b\\\x07";
        assert_eq!(notice_bytes(ways("osc9"), "message from bob", true), wrapped, "tmux may keep it from the terminal");
    }
}
