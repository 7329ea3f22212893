//! The records of transfers: what is fetched and sent, and how far it is.

use serde::Serialize;

use super::source_word;
use crate::{
    cli::out::{Cell, Column, Moment, Record},
    engine::api::{Direction, TransferRow, TransferSource, TransferState},
};

/// A transfer.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct TransferRecord {
    id: String,
    name: String,
    path: String,
    size: u64,
    hash: Option<String>,
    bytes_peer: u64,
    bytes_copy: u64,
    bytes_relay: u64,
    bytes_local: u64,
    sources: Vec<TransferSourceRecord>,
    elapsed_ms: u64,
    state: &'static str,
    reason: String,
    done: u64,
    speed: u64,
    eta_s: Option<u64>,
    direction: &'static str,
    folder: bool,
    files: u64,
    files_done: u64,
    item: String,
    owner: String,
    created: Moment,
    finished: Option<Moment>,
    /// Where a repaired file's damaged form lies now.
    damaged: Option<String>,
    priority: &'static str,
}

#[derive(Debug, Serialize)]
struct TransferSourceRecord {
    member: Option<String>,
    kind: &'static str,
    path: &'static str,
    bytes: u64,
    device: Option<String>,
    /// Bytes a second over the last seconds.
    speed: u64,
    rtt_ms: Option<u32>,
    /// What it does, or in a sentence why it does nothing.
    doing: String,
    /// Where this device stands in line there, if it does; 1 is next.
    queue_position: Option<u32>,
    queue_wait_s: Option<u64>,
}

impl From<TransferRow> for TransferRecord {
    fn from(mut row: TransferRow) -> Self {
        if row.state == TransferState::Done {
            // Of a finished transfer only those that gave something; of others also those that are tried.
            row.sources.retain(|source| source.bytes > 0);
        }
        Self {
            id: row.id,
            name: row.name,
            path: row.path.to_string_lossy().into_owned(),
            size: row.size,
            hash: row.hash.map(|hash| hash.to_string()),
            bytes_peer: row.bytes_peer,
            bytes_copy: row.bytes_copy,
            bytes_relay: row.bytes_relay,
            bytes_local: row.bytes_local,
            sources: row.sources.into_iter().map(Into::into).collect(),
            elapsed_ms: row.elapsed_ms,
            state: state_word(row.state),
            reason: row.reason,
            done: row.done,
            speed: row.speed,
            eta_s: row.eta_s,
            direction: match row.direction {
                Direction::Down => "down",
                Direction::Up => "up",
            },
            folder: row.folder,
            files: row.files,
            files_done: row.files_done,
            item: row.item,
            owner: row.owner,
            created: Moment(row.created_ms),
            finished: row.finished_ms.map(Moment),
            damaged: row.damaged.map(|path| path.to_string_lossy().into_owned()),
            priority: row.priority.word(),
        }
    }
}

impl From<TransferSource> for TransferSourceRecord {
    fn from(source: TransferSource) -> Self {
        Self {
            member: source.member,
            kind: source_word(source.kind),
            path: source.path.word(),
            bytes: source.bytes,
            device: source.device.map(|device| device.to_string()),
            speed: source.speed,
            rtt_ms: source.rtt_ms,
            doing: source.doing,
            queue_position: source.queue.map(|queue| queue.position),
            queue_wait_s: source.queue.and_then(|queue| queue.wait_s),
        }
    }
}

impl Record for TransferRecord {
    fn kind(&self) -> &'static str {
        "transfer"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column::text("ID"),
            Column::name("NAME"),
            Column::name("PATH").optional(),
            Column::number("SIZE"),
            Column::hidden("HASH"),
            Column::hidden("BYTES_PEER"),
            Column::hidden("BYTES_COPY"),
            Column::hidden("BYTES_RELAY"),
            Column::hidden("BYTES_LOCAL"),
            Column::text("FROM").optional(),
            Column::number("TIME").optional(),
            Column::text("STATE"),
            Column::hidden("REASON"),
            Column::number("DONE"),
        ];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        let mut from: Vec<&str> =
            self.sources.iter().map(|source| source.member.as_deref().unwrap_or("copy")).collect();
        from.dedup();
        vec![
            Cell::Id(self.id.clone()),
            self.name.as_str().into(),
            self.path.as_str().into(),
            Cell::Bytes(self.size),
            self.hash.clone().into(),
            Cell::Bytes(self.bytes_peer),
            Cell::Bytes(self.bytes_copy),
            Cell::Bytes(self.bytes_relay),
            Cell::Bytes(self.bytes_local),
            if from.is_empty() { Cell::Empty } else { from.join(", ").into() },
            Cell::Elapsed(self.elapsed_ms),
            self.state.into(),
            self.reason.as_str().into(),
            Cell::Bytes(self.done),
        ]
    }
}

/// A line of progress, for `--progress json`.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct ProgressRecord<'a> {
    pub(in crate::cli) id: Option<&'a str>,
    pub(in crate::cli) name: &'a str,
    pub(in crate::cli) state: &'static str,
    pub(in crate::cli) done: u64,
    pub(in crate::cli) size: u64,
    pub(in crate::cli) files_done: u64,
    pub(in crate::cli) files: u64,
    pub(in crate::cli) speed: Option<u64>,
    pub(in crate::cli) reason: &'a str,
}

/// The state of a transfer in one word.
pub(in crate::cli) fn state_word(state: TransferState) -> &'static str {
    match state {
        TransferState::Queued => "queued",
        TransferState::Waiting => "waiting",
        TransferState::Running => "running",
        TransferState::Finishing => "finishing",
        TransferState::Paused => "paused",
        TransferState::Done => "done",
        TransferState::Failed => "failed",
        TransferState::Cancelled => "cancelled",
    }
}
