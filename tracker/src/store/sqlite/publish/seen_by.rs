//! Who sees a file.

use super::*;

/// Who sees a file, by row numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SeenBy {
    Public,
    Ask,
    People(Vec<i64>),
    Hidden,
}

impl SeenBy {
    pub(super) const fn number(&self) -> i64 {
        match self {
            Self::Public => PUBLIC,
            Self::Ask => ASK,
            Self::People(_) => PEOPLE,
            Self::Hidden => HIDDEN,
        }
    }

    /// Who sees the file listed: everyone, accounts, or minus the device.
    pub(super) fn viewers(&self, owner: i64, device: i64) -> Vec<i64> {
        match self {
            Self::Public | Self::Ask => vec![EVERYONE],
            Self::People(people) => {
                let mut viewers: Vec<i64> = people.iter().copied().chain([owner]).collect();
                viewers.sort_unstable();
                viewers.dedup();
                viewers
            }
            Self::Hidden => vec![-device],
        }
    }

    /// Whether someone who might fetch under `self` may not under `after`.
    pub(super) fn narrows_to(&self, after: &Self) -> bool {
        match (self, after) {
            (_, Self::Public) | (Self::Ask, Self::Ask) | (Self::Hidden, Self::Hidden) => false,
            (Self::People(before), Self::People(after)) => before.iter().any(|one| !after.contains(one)),
            (Self::Public | Self::People(_) | Self::Hidden, Self::Ask)
            | (Self::Public | Self::Ask | Self::Hidden, Self::People(_))
            | (Self::Public | Self::Ask | Self::People(_), Self::Hidden) => true,
        }
    }
}
