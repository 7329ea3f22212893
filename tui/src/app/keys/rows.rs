//! The key table as others read it.

use serde::Serialize;

use super::{Context, TABLE, UNBOUND};

/// A row of the key table for `swapmeet keys --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyRow {
    /// Where it is in force.
    pub context: &'static str,
    /// Labels of the keys; empty: only by name, in `:`.
    pub keys: Vec<String>,
    /// The action's name.
    pub action: &'static str,
    /// What it does.
    pub sentence: &'static str,
}

/// The whole table, for `swapmeet keys`, documentation and the man page.
#[must_use]
pub fn rows() -> Vec<KeyRow> {
    let bound = Context::ALL.into_iter().flat_map(|context| TABLE.iter().filter(move |row| row.context == context));
    let bound = bound.map(|row| KeyRow {
        context: row.context.name(),
        keys: row.keys.iter().map(|key| key.label()).collect(),
        action: row.action.name(),
        sentence: row.action.sentence(),
    });
    let unbound = UNBOUND.iter().map(|action| KeyRow {
        context: Context::Panes.name(),
        keys: Vec::new(),
        action: action.name(),
        sentence: action.sentence(),
    });
    bound.chain(unbound).collect()
}
