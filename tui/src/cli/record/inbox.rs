//! Records about requests and offers.

use serde::Serialize;

use crate::{
    cli::out::{Cell, Column, Moment, Record},
    engine::api::{Act, ItemKind, ItemRow, OfferedRow, RuleKind, RuleRow},
};

/// A request, an offer or an invitation to a private channel.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct ItemRecord {
    id: String,
    kind: &'static str,
    direction: &'static str,
    from: String,
    to: Option<String>,
    file: Option<String>,
    text: String,
    state: &'static str,
    created: Moment,
    expires: Moment,
    name: String,
    files: u64,
    size: u64,
    hash: Option<String>,
    word: String,
    reason: String,
    acts: Vec<&'static str>,
    changed: Moment,
    transfer: Option<String>,
}

impl From<ItemRow> for ItemRecord {
    fn from(row: ItemRow) -> Self {
        Self {
            id: row.id,
            kind: match row.kind {
                ItemKind::Request => "request",
                ItemKind::Offer => "offer",
                ItemKind::Channel => "channel",
            },
            direction: if row.incoming { "in" } else { "out" },
            from: row.from,
            to: row.to,
            file: row.file,
            text: row.text,
            state: row.state.word(),
            created: Moment(row.created_ms),
            expires: Moment(row.expires_ms),
            name: row.name,
            files: row.files,
            size: row.size,
            hash: row.hash.map(|hash| hash.to_string()),
            word: row.word,
            reason: row.reason,
            acts: row.acts.into_iter().map(act_word).collect(),
            changed: Moment(row.changed_ms),
            transfer: row.transfer.filter(|transfer| !transfer.is_empty()),
        }
    }
}

const fn act_word(act: Act) -> &'static str {
    match act {
        Act::Accept => "accept",
        Act::Decline => "decline",
        Act::Cancel => "cancel",
        Act::Fulfil => "fulfil",
    }
}

impl Record for ItemRecord {
    fn kind(&self) -> &'static str {
        "item"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column::text("ID"),
            Column::text("KIND"),
            Column::text("WAY"),
            Column::name("FROM"),
            Column::name("TO"),
            Column::name("WHAT"),
            Column::number("SIZE"),
            Column::text("STATE"),
            Column::name("WORD").optional(),
            Column::text("EXPIRES").optional(),
        ];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        let what = if self.name.is_empty() { &self.text } else { &self.name };
        vec![
            Cell::Id(self.id.clone()),
            self.kind.into(),
            self.direction.into(),
            self.from.as_str().into(),
            self.to.as_deref().unwrap_or("everyone").into(),
            what.as_str().into(),
            Cell::Bytes(self.size),
            self.state.into(),
            self.word.as_str().into(),
            Cell::Time(self.expires),
        ]
    }
}

/// A file of an offer.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct OfferedRecord {
    path: String,
    size: u64,
    hash: String,
}

impl From<OfferedRow> for OfferedRecord {
    fn from(row: OfferedRow) -> Self {
        Self { path: row.path, size: row.size, hash: row.hash.to_string() }
    }
}

impl Record for OfferedRecord {
    fn kind(&self) -> &'static str {
        "offered"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[Column::name("PATH"), Column::number("SIZE"), Column::text("HASH")];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        vec![self.path.as_str().into(), Cell::Bytes(self.size), Cell::Id(self.hash.clone())]
    }
}

/// A standing answer.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct RuleRecord {
    member: String,
    rule: &'static str,
    up_to: Option<u64>,
}

impl From<RuleRow> for RuleRecord {
    fn from(row: RuleRow) -> Self {
        let (rule, up_to) = match row.what {
            RuleKind::AcceptOffers { up_to } => ("accept", up_to),
            RuleKind::DeclineOffers => ("decline", None),
            RuleKind::Approve => ("approve", None),
        };
        Self { member: row.member, rule, up_to }
    }
}

impl Record for RuleRecord {
    fn kind(&self) -> &'static str {
        "rule"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[Column::name("MEMBER"), Column::text("RULE"), Column::number("UP TO")];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        vec![self.member.as_str().into(), self.rule.into(), self.up_to.map_or(Cell::Empty, Cell::Bytes)]
    }
}
