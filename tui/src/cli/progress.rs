//! Progress on stderr: bars on a terminal, lines or JSON where that is asked for.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    Globals,
    out::{clean, human_bytes, json_line},
    record::{ProgressRecord, state_word},
    talk::say,
};
use crate::engine::api::{Hashing, TransferRow, TransferState};

/// How progress is shown.
#[derive(Debug, Args)]
pub(super) struct ProgressFrom {
    /// Show progress on stderr; auto: bars, only on a terminal
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    progress: How,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum How {
    #[default]
    Auto,
    Plain,
    Json,
    None,
}

/// Shows progress of one command.
pub(super) struct Progress {
    how: Shown,
}

enum Shown {
    Bars { all: MultiProgress, bars: BTreeMap<String, ProgressBar>, ascii: bool },
    Lines { said: BTreeMap<String, Instant>, json: bool },
    Nothing,
}

impl ProgressFrom {
    /// Begins to show progress, as far as the options and stderr allow.
    pub(super) fn start(&self, globals: &Globals) -> Progress {
        let bars = || Shown::Bars {
            all: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(BAR_HZ)),
            bars: BTreeMap::new(),
            ascii: globals.ascii,
        };
        let how = match self.progress {
            How::Auto if !globals.quiet && io::stderr().is_terminal() => bars(),
            How::Auto | How::None => Shown::Nothing,
            How::Plain => Shown::Lines { said: BTreeMap::new(), json: false },
            How::Json => Shown::Lines { said: BTreeMap::new(), json: true },
        };
        Progress { how }
    }
}

impl Progress {
    /// Shows how hashing goes.
    pub(super) fn hashing(&mut self, hashing: &Hashing) {
        let current = clean(&hashing.current);
        self.show(&Step {
            key: "hashing",
            id: None,
            name: &current,
            state: "hashing",
            done: hashing.bytes_done,
            size: hashing.bytes,
            files_done: hashing.files_done,
            files: hashing.files,
            speed: None,
            reason: "",
            over: hashing.bytes_done >= hashing.bytes && hashing.files_done >= hashing.files,
        });
    }

    /// Shows how a transfer goes.
    pub(super) fn transfer(&mut self, row: &TransferRow) {
        let (name, reason) = (clean(&row.name), clean(&row.reason));
        let over = matches!(row.state, TransferState::Done | TransferState::Failed | TransferState::Cancelled);
        self.show(&Step {
            key: &row.id,
            id: Some(&row.id),
            name: &name,
            state: state_word(row.state),
            done: row.done,
            size: row.size,
            files_done: row.files_done,
            files: row.files,
            speed: Some(row.speed),
            reason: &reason,
            over,
        });
    }

    fn show(&mut self, step: &Step<'_>) {
        match &mut self.how {
            Shown::Bars { all, bars, ascii } => show_bar(all, bars, *ascii, step),
            Shown::Lines { said, json } => {
                if is_due(said, step) {
                    say(&if *json { step.json() } else { step.sentence() });
                }
            }
            Shown::Nothing => (),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bars { all, .. } = &self.how {
            // A terminal that is gone shows nothing any more.
            let _gone = all.clear();
        }
    }
}

/// One moment of something that goes on; its texts are cleaned.
struct Step<'a> {
    key: &'a str,
    id: Option<&'a str>,
    name: &'a str,
    state: &'static str,
    done: u64,
    size: u64,
    files_done: u64,
    files: u64,
    speed: Option<u64>,
    reason: &'a str,
    over: bool,
}

impl Step<'_> {
    fn sentence(&self) -> String {
        let percent = if self.size == 0 { 100 } else { u128::from(self.done) * 100 / u128::from(self.size) };
        let mut text = format!("{}: {} {percent}% of {}", self.state, self.name, human_bytes(self.size));
        if self.files > 1 {
            text.push_str(&format!(", {} of {} files", self.files_done, self.files));
        }
        if let Some(speed) = self.speed.filter(|speed| *speed > 0) {
            text.push_str(&format!(", {}/s", human_bytes(speed)));
        }
        if !self.reason.is_empty() {
            text.push_str(&format!(" ({})", self.reason));
        }
        text
    }

    fn json(&self) -> String {
        json_line(
            "progress",
            &ProgressRecord {
                id: self.id,
                name: self.name,
                state: self.state,
                done: self.done,
                size: self.size,
                files_done: self.files_done,
                files: self.files,
                speed: self.speed,
                reason: self.reason,
            },
        )
    }
}

fn show_bar(all: &MultiProgress, bars: &mut BTreeMap<String, ProgressBar>, ascii: bool, step: &Step<'_>) {
    if step.over {
        if let Some(bar) = bars.remove(step.key) {
            bar.finish_and_clear();
            all.remove(&bar);
        }
        return;
    }
    if !bars.contains_key(step.key) && bars.len() >= BARS_MAX {
        return;
    }
    let bar = bars.entry(step.key.to_owned()).or_insert_with(|| all.add(new_bar(ascii)));
    bar.set_length(step.size);
    bar.set_position(step.done);
    let files = if step.files > 1 { format!(" {}/{} files", step.files_done, step.files) } else { String::new() };
    let reason = if step.reason.is_empty() { step.state } else { step.reason };
    bar.set_message(format!("{}{files}  {reason}", step.name));
}

fn new_bar(ascii: bool) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{bar:20} {percent:>3}% {bytes:>11}/{total_bytes:<11} {bytes_per_sec:>13}  {wide_msg}",
    )
    .expect("the template is a constant and right")
    .progress_chars(if ascii { "#-." } else { "█▌·" });
    // The engine says when something changed: nothing ticks by itself.
    ProgressBar::hidden().with_style(style)
}

/// Whether a line is due: the first, the last, and one in between every few seconds.
fn is_due(said: &mut BTreeMap<String, Instant>, step: &Step<'_>) -> bool {
    let now = Instant::now();
    if step.over {
        said.remove(step.key);
        return true;
    }
    let due = said.get(step.key).is_none_or(|last| now.duration_since(*last) >= LINE_EVERY);
    if due {
        said.insert(step.key.to_owned(), now);
    }
    due
}

/// Frames per second of the bars.
const BAR_HZ: u8 = 10;
/// Bars shown at a time: more would scroll.
const BARS_MAX: usize = 8;
/// Time between two lines about the same thing.
const LINE_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn step(over: bool) -> Step<'static> {
        Step {
            key: "k",
            id: Some("k"),
            name: "a.iso",
            state: "running",
            done: 512,
            size: 1024,
            files_done: 1,
            files: 3,
            speed: Some(2048),
            reason: "",
            over,
        }
    }

    #[test]
    fn a_line_says_how_far_and_how_fast() {
        assert_eq!(step(false).sentence(), "running: a.iso 50% of 1.00 KiB, 1 of 3 files, 2.00 KiB/s");
    }

    #[test]
    fn the_first_and_the_last_line_are_never_held_back() {
        let mut said = BTreeMap::new();
        assert!(is_due(&mut said, &step(false)));
        assert!(!is_due(&mut said, &step(false)));
        assert!(is_due(&mut said, &step(true)));
    }

    #[test]
    fn progress_for_programs_is_a_record() {
        assert_eq!(
            step(false).json(),
            r#"{"v":1,"type":"progress","id":"k","name":"a.iso","state":"running","done":512,"size":1024,"files_done":1,"files":3,"speed":2048,"reason":""}"#
        );
    }
}
