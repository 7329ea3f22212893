//! `swapmeet keys`: the key table of the screen, the very one that the screen works with.

use serde::Serialize;

use super::{
    context::Context,
    out::{Cell, Column, Record},
    talk::Outcome,
};
use crate::app::keys::{KeyRow, rows};

pub(super) fn run(context: &mut Context) -> Outcome {
    let mut table = context.out.table::<KeyRecord>();
    for row in rows() {
        table.push(&KeyRecord { row })?;
    }
    table.finish()
}

#[derive(Debug, Serialize)]
struct KeyRecord {
    #[serde(flatten)]
    row: KeyRow,
}

impl Record for KeyRecord {
    fn kind(&self) -> &'static str {
        "key"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] =
            &[Column::text("WHERE"), Column::text("KEYS"), Column::text("ACTION"), Column::name("DOES")];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        vec![self.row.context.into(), self.row.keys.join(" ").into(), self.row.action.into(), self.row.sentence.into()]
    }
}
