//! Records about standing searches.

use serde::Serialize;

use crate::{
    cli::out::{Cell, Column, Moment, Record},
    engine::api::WishRow,
};

/// A standing search.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct WishRecord {
    id: String,
    query: String,
    fetch: bool,
    up_to: Option<u64>,
    created: Moment,
    known: u64,
    matches: u64,
    new: u64,
    wanted: u64,
    last: Option<Moment>,
}

impl From<WishRow> for WishRecord {
    fn from(row: WishRow) -> Self {
        Self {
            id: row.id,
            query: row.query,
            fetch: row.fetch,
            up_to: row.up_to,
            created: Moment(row.created_ms),
            known: row.known,
            matches: row.matches,
            new: row.new,
            wanted: row.wanted,
            last: row.last_ms.map(Moment),
        }
    }
}

impl Record for WishRecord {
    fn kind(&self) -> &'static str {
        "wish"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column::text("ID"),
            Column::name("QUERY"),
            Column::text("FETCH"),
            Column::number("UP TO"),
            Column::number("MATCHES"),
            Column::number("NEW"),
            Column::number("TO FETCH"),
            Column::text("LAST").optional(),
        ];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::Id(self.id.clone()),
            self.query.as_str().into(),
            Cell::Flag(self.fetch),
            self.up_to.map_or(Cell::Empty, Cell::Bytes),
            Cell::Count(self.matches),
            Cell::Count(self.new),
            Cell::Count(self.wanted),
            self.last.into(),
        ]
    }
}
