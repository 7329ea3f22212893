//! `swapmeet doctor`: examines terminal, network and tracker. The exit code says whether something is bad.

use std::{env, io, io::IsTerminal as _};

use clap::Args;
use serde::Serialize;

use super::{
    context::Context,
    out::{Cell, Column, Record},
    talk::Outcome,
};
use crate::{
    engine::api::{Command, Failure, FailureKind, Finding, Health, Update},
    profile::Profile,
};

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Look at this tracker instead of the account's
    #[arg(long, value_name = "LINK")]
    tracker: Option<String>,
}

impl Doctor {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let mut found = vec![terminal(&Terminal::look()), downloads(&context.prepared_profile()?)];
        for finding in &found {
            context.out.line(&FindingRecord::from(finding))?;
        }
        let mut reply = context.call(Command::Doctor { tracker: self.tracker }).await?;
        while let Some(update) = reply.next().await? {
            if let Update::Finding(finding) = update {
                context.out.line(&FindingRecord::from(&finding))?;
                found.push(finding);
            }
        }
        verdict(&found).map_or(Ok(()), |failure| Err(failure.into()))
    }
}

/// What a script has to know of it.
fn verdict(found: &[Finding]) -> Option<Failure> {
    let bad: Vec<&Finding> = found.iter().filter(|finding| finding.state == Health::Bad).collect();
    let first = bad.first()?;
    let (kind, code, message) = if bad.iter().any(|finding| finding.id == "tracker") {
        (FailureKind::Unreachable, "tracker_unreachable", "the tracker cannot be reached".to_owned())
    } else {
        (FailureKind::Unexpected, "unwell", format!("something is wrong: {}", first.text))
    };
    Some(Failure::new(kind, code, message, "the findings say what to do"))
}

/// What a terminal is like.
#[derive(Debug, Default)]
struct Terminal {
    is_terminal: bool,
    kind: String,
    has_utf8: bool,
    is_remote: bool,
}

impl Terminal {
    fn look() -> Self {
        let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_ascii_lowercase();
        Self {
            is_terminal: io::stdin().is_terminal() && io::stderr().is_terminal(),
            kind: set("TERM").unwrap_or_default(),
            has_utf8: locale.contains("utf-8") || locale.contains("utf8"),
            is_remote: set("SSH_CONNECTION").is_some(),
        }
    }
}

fn terminal(terminal: &Terminal) -> Finding {
    let finding =
        |state, text: String, hint: &str| Finding { id: "terminal".to_owned(), state, text, hint: hint.to_owned() };
    if !terminal.is_terminal {
        return finding(Health::Unknown, "there is no terminal here to look at".to_owned(), "");
    }
    let place = if terminal.is_remote { ", over ssh" } else { "" };
    let kind = shared::show::show_line(&terminal.kind, 40);
    if matches!(terminal.kind.as_str(), "" | "dumb") {
        let text = format!("the terminal cannot draw the screen (TERM={kind}{place})");
        return finding(Health::Warn, text, "use the commands, or another terminal");
    }
    if !terminal.has_utf8 {
        let text = format!("the locale of this terminal (TERM={kind}{place}) is not UTF-8");
        return finding(Health::Warn, text, "set LANG to one like C.UTF-8, or use --ascii");
    }
    finding(Health::Ok, format!("TERM={kind} with UTF-8{place}"), "")
}

/// Where fetched files go.
fn downloads(profile: &Profile) -> Finding {
    // It is made when first needed; until then the folder that it will be in counts.
    let there = profile.downloads.ancestors().find(|path| path.exists());
    let shown = shared::show::show_line(&profile.downloads.to_string_lossy(), 200);
    let is_writable = there.is_some_and(|path| {
        rustix::fs::access(path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok()
    });
    let free = there.and_then(|path| rustix::fs::statvfs(path).ok());
    let free = free.map(|volume| volume.f_bavail.saturating_mul(volume.f_frsize));
    let (state, text, hint) = match free {
        _ if !is_writable => (
            Health::Bad,
            format!("{shown} cannot be written to"),
            "choose another folder with get -o, or mend this one",
        ),
        Some(free) if free < LITTLE_BYTES => {
            let text = format!("{shown} has only {} free", super::out::human_bytes(free));
            (Health::Warn, text, "make room, or fetch into another folder with get -o")
        }
        Some(free) => (Health::Ok, format!("{shown} has {} free", super::out::human_bytes(free)), ""),
        None => (Health::Unknown, format!("how much room {shown} has is not known"), ""),
    };
    Finding { id: "downloads".to_owned(), state, text, hint: hint.to_owned() }
}

/// Less free space than that is soon full.
const LITTLE_BYTES: u64 = 1024 * 1024 * 1024;

#[derive(Debug, Serialize)]
struct FindingRecord {
    id: String,
    state: &'static str,
    text: String,
    hint: Option<String>,
}

impl From<&Finding> for FindingRecord {
    fn from(finding: &Finding) -> Self {
        let state = match finding.state {
            Health::Ok => "ok",
            Health::Unknown => "unknown",
            Health::Warn => "warn",
            Health::Bad => "bad",
        };
        let hint = Some(finding.hint.clone()).filter(|hint| !hint.is_empty());
        Self { id: finding.id.clone(), state, text: finding.text.clone(), hint }
    }
}

impl Record for FindingRecord {
    fn kind(&self) -> &'static str {
        "finding"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] =
            &[Column::text("STATE"), Column::text("ID"), Column::text("TEXT"), Column::text("HINT")];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        vec![self.state.into(), self.id.as_str().into(), self.text.as_str().into(), self.hint.clone().into()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(id: &str, state: Health) -> Finding {
        Finding { id: id.to_owned(), state, text: "t".to_owned(), hint: String::new() }
    }

    #[test]
    fn only_what_is_bad_makes_the_command_fail() {
        assert!(verdict(&[found("udp", Health::Warn), found("nat", Health::Unknown)]).is_none());
        let unreachable = verdict(&[found("clock", Health::Bad), found("tracker", Health::Bad)]).unwrap();
        assert_eq!(unreachable.kind.exit_code(), 7);
        assert_eq!(verdict(&[found("clock", Health::Bad)]).unwrap().kind.exit_code(), 1);
    }

    #[test]
    fn a_terminal_that_cannot_draw_or_has_no_utf8_is_told() {
        let good = || Terminal { is_terminal: true, kind: "xterm".to_owned(), has_utf8: true, is_remote: false };
        assert_eq!(terminal(&good()).state, Health::Ok);
        assert_eq!(terminal(&Terminal { kind: "dumb".to_owned(), ..good() }).state, Health::Warn);
        assert_eq!(terminal(&Terminal { has_utf8: false, ..good() }).state, Health::Warn);
        assert_eq!(terminal(&Terminal::default()).state, Health::Unknown);
    }
}
