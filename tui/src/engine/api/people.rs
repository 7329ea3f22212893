//! What faces ask about other members.

use serde::{Deserialize, Serialize};

/// What to do about another member, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeopleCommand {
    /// Hides the two from each other: one [`super::Update::Member`].
    Block { member: String },
    /// Takes that back: one [`super::Update::Member`].
    Unblock { member: String },
}
