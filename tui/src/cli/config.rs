//! `swapmeet config`: settings and places in effect.

use std::env;

use serde::Serialize;

use super::{
    context::Context,
    out::{Cell, Column, Record, clean},
    talk::Outcome,
};
use crate::engine::reach::mapped;

pub(super) fn run(context: &mut Context) -> Outcome {
    let profile = context.profile()?;
    let shown = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let record = ConfigRecord {
        profile: profile.name.clone(),
        config: shown(&profile.config),
        state: shown(&profile.state),
        downloads: shown(&profile.downloads),
        socket: shown(&profile.socket()),
        log: shown(&profile.log()),
    };
    if context.out.is_json() {
        return context.out.card(&record);
    }
    context.out.bytes(record.commented().as_bytes())?;
    context.out.flush()
}

#[derive(Debug, Serialize)]
struct ConfigRecord {
    profile: String,
    config: String,
    state: String,
    downloads: String,
    socket: String,
    log: String,
}

impl ConfigRecord {
    /// TOML with the reason of each value beside it.
    fn commented(&self) -> String {
        let mut text = String::new();
        for (comment, key, value) in [
            ("The profile; another one: --profile NAME", "profile", &self.profile),
            ("Settings that a person edits", "config", &self.config),
            ("Database, device key, hash trees", "state", &self.state),
            ("Where fetched files go, unless get -o says otherwise", "downloads", &self.downloads),
            ("What the screen and commands attach to while an engine runs", "socket", &self.socket),
            ("What the engine noted", "log", &self.log),
        ] {
            text.push_str(&format!("# {comment}\n{key} = {}\n\n", toml::Value::String(clean(value))));
        }
        for (variable, comment, is_secret) in VARIABLES {
            let value = match env::var(variable) {
                Ok(_) if is_secret => "set".to_owned(),
                Ok(value) => clean(&value),
                Err(_) => "not set".to_owned(),
            };
            text.push_str(&format!("# {variable}: {comment} ({value})\n"));
        }
        text
    }
}

impl Record for ConfigRecord {
    fn kind(&self) -> &'static str {
        "config"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column::text("PROFILE"),
            Column::text("CONFIG"),
            Column::text("STATE"),
            Column::text("DOWNLOADS"),
            Column::text("SOCKET"),
            Column::text("LOG"),
        ];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        [&self.profile, &self.config, &self.state, &self.downloads, &self.socket, &self.log]
            .map(|text| text.as_str().into())
            .to_vec()
    }
}

/// Name, meaning, and whether the value is nobody's business.
const VARIABLES: [(&str, &str, bool); 9] = [
    ("SWAPMEET_HOME", "puts everything under one folder", false),
    ("SWAPMEET_TRACKER", "join link where --tracker is not given", false),
    ("SWAPMEET_PASSWORD_CMD", "command whose first line is the password", true),
    ("SWAPMEET_LOG", "what is logged, like info,tui=debug", false),
    (mapped::WISH, "1 asks the router to let members in (PCP, NAT-PMP)", false),
    (
        "SWAPMEET_AWAY_AFTER",
        "time without a key press after which the screen shows you as away, like 10m; 0 is never",
        false,
    ),
    (
        "SWAPMEET_NOTICES",
        "bell, osc9, osc777, osc99, with commas: how messages and offers are told while nobody looks",
        false,
    ),
    ("SWAPMEET_CONGESTION", "cubic sends as most programs do, not by the model", false),
    ("NO_COLOR", "no colour unless --color always", false),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_valid_toml() {
        let text = "a \"quoted\" \\ path".to_owned();
        let record = ConfigRecord {
            profile: "default".to_owned(),
            config: text.clone(),
            state: text.clone(),
            downloads: text.clone(),
            socket: text.clone(),
            log: text.clone(),
        };
        let table: toml::Table = record.commented().parse().unwrap();
        assert_eq!(table["config"].as_str(), Some(text.as_str()));
    }
}
