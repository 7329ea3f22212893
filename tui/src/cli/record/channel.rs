//! Records about private channels.

use serde::Serialize;

use crate::{
    cli::out::{Cell, Column, Moment, Record},
    engine::api::{ChannelFileState, ChannelLineRow, ChannelRow, ChannelState, LineState, PathKind},
};

/// A private channel.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct ChannelRecord {
    /// As of the invitation.
    id: String,
    with: String,
    /// `inviting`, `connecting`, `open` or `ended`.
    state: &'static str,
    /// Empty until the two have met.
    words: Vec<String>,
    path: Option<&'static str>,
    reason: Option<String>,
    incoming: bool,
}

impl From<ChannelRow> for ChannelRecord {
    fn from(row: ChannelRow) -> Self {
        Self {
            id: row.id,
            with: row.with,
            state: match row.state {
                ChannelState::Inviting => "inviting",
                ChannelState::Connecting => "connecting",
                ChannelState::Open => "open",
                ChannelState::Ended => "ended",
            },
            words: row.words,
            path: row.path.map(PathKind::word),
            reason: Some(row.reason).filter(|reason| !reason.is_empty()),
            incoming: row.incoming,
        }
    }
}

impl Record for ChannelRecord {
    fn kind(&self) -> &'static str {
        "channel"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column::text("STATE"),
            Column::text("WITH"),
            Column::text("PATH"),
            Column::text("WORDS"),
            Column::text("REASON"),
            Column::hidden("ID"),
        ];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        vec![
            self.state.into(),
            self.with.as_str().into(),
            self.path.map(str::to_owned).into(),
            self.words.join(" ").into(),
            self.reason.clone().into(),
            Cell::Id(self.id.clone()),
        ]
    }
}

/// Something said in a channel.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct ChannelMessageRecord {
    channel: String,
    /// Each side counts its own lines.
    number: u64,
    from: String,
    mine: bool,
    text: String,
    at: Moment,
    /// `sent`, `delivered` or `received`.
    state: &'static str,
}

impl From<ChannelLineRow> for ChannelMessageRecord {
    fn from(row: ChannelLineRow) -> Self {
        Self {
            channel: row.channel,
            number: row.number,
            from: row.from,
            mine: row.mine,
            text: row.text,
            at: Moment(row.at_ms),
            state: line_word(row.state),
        }
    }
}

impl Record for ChannelMessageRecord {
    fn kind(&self) -> &'static str {
        "channel_message"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column::hidden("AT"),
            Column::text("FROM"),
            Column::text("TEXT"),
            Column::hidden("STATE"),
            Column::hidden("NUMBER"),
            Column::hidden("CHANNEL"),
        ];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::Time(self.at),
            self.from.as_str().into(),
            self.text.as_str().into(),
            self.state.into(),
            Cell::Count(self.number),
            Cell::Id(self.channel.clone()),
        ]
    }
}

/// A file that is offered in a channel.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct ChannelFileRecord {
    channel: String,
    /// What `/take` takes, where it is the other side's.
    number: u64,
    from: String,
    mine: bool,
    name: String,
    size: u64,
    hash: String,
    /// `offered`, `fetching`, `fetched` or `failed`.
    state: &'static str,
    done: u64,
    /// Where it lies on this device.
    path: Option<String>,
    reason: Option<String>,
}

impl ChannelFileRecord {
    /// Of a line that offers one.
    pub(in crate::cli) fn of(row: &ChannelLineRow) -> Option<Self> {
        let file = row.file.as_ref()?;
        Some(Self {
            channel: row.channel.clone(),
            number: row.number,
            from: row.from.clone(),
            mine: row.mine,
            name: file.name.clone(),
            size: file.size,
            hash: file.hash.to_string(),
            state: match file.state {
                ChannelFileState::Offered => "offered",
                ChannelFileState::Fetching => "fetching",
                ChannelFileState::Fetched => "fetched",
                ChannelFileState::Failed => "failed",
            },
            done: file.done,
            path: file.local.as_ref().map(|path| path.to_string_lossy().into_owned()),
            reason: Some(file.reason.clone()).filter(|reason| !reason.is_empty()),
        })
    }
}

impl Record for ChannelFileRecord {
    fn kind(&self) -> &'static str {
        "channel_file"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column::text("FROM"),
            Column::text("NUMBER"),
            Column::text("STATE"),
            Column::name("NAME"),
            Column::number("SIZE"),
            Column::number("DONE"),
            Column::text("PATH"),
            Column::text("REASON"),
            Column::hidden("HASH"),
            Column::hidden("CHANNEL"),
        ];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        vec![
            self.from.as_str().into(),
            format!("/take {}", self.number).into(),
            self.state.into(),
            self.name.as_str().into(),
            Cell::Bytes(self.size),
            Cell::Bytes(self.done),
            self.path.clone().into(),
            self.reason.clone().into(),
            Cell::Id(self.hash.clone()),
            Cell::Id(self.channel.clone()),
        ]
    }
}

const fn line_word(state: LineState) -> &'static str {
    match state {
        LineState::Sent => "sent",
        LineState::Delivered => "delivered",
        LineState::Received => "received",
    }
}
