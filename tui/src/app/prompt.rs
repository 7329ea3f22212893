//! Small forms over the panes: a line that is asked for, and the choice of what of an offer is taken.

use std::{collections::BTreeSet, path::PathBuf};

use shared::limits::PATH_BYTES_MAX;

use super::{chat::Room, field::Field, list::List};
use crate::engine::api::{ItemRow, Share};

/// A line that is asked for, and what becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    pub title: String,
    /// What there is to know, above the field.
    pub lines: Vec<String>,
    /// Stands before the field.
    pub label: &'static str,
    pub field: Field,
    pub completes: Completes,
    /// What the line may go on with.
    pub suggestions: Vec<String>,
    /// Why it was not taken.
    pub trouble: Option<String>,
    pub then: Then,
}

/// What Tab completes in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completes {
    Nothing,
    Paths,
    Members,
}

/// What becomes of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// Declines an item with it as a word for the other.
    Decline { item: String, who: String },
    /// Answers a request in words with the file at that path.
    Answer { item: String, who: String },
    /// Asks for these files with it as a note; `name`: what they are, for people.
    Request { items: Vec<String>, name: String },
    /// Offers the file or folder at that path.
    OfferPath { room: Room },
    /// Offers something shared, or something of the disk, to the members named.
    OfferTo { items: Vec<String>, paths: Vec<PathBuf>, name: String },
    /// Shares it with the members named, and with nobody else.
    ShareTo { share: Box<Share>, name: String },
    /// Changes this about what is shared; `name`: what it is, for people.
    Edit { items: Vec<String>, name: String, what: Edited },
}

/// What of a share is changed by a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edited {
    /// The members that see it.
    People,
    /// The remark beside it.
    Note,
    /// Its name.
    Name,
}

impl Prompt {
    /// An empty line of up to `bytes_max` bytes.
    #[must_use]
    pub fn new(title: String, lines: Vec<String>, label: &'static str, bytes_max: usize, then: Then) -> Self {
        let completes = match then {
            Then::Decline { .. } | Then::Request { .. } | Then::Edit { what: Edited::Note | Edited::Name, .. } => {
                Completes::Nothing
            }
            Then::Answer { .. } | Then::OfferPath { .. } => Completes::Paths,
            Then::OfferTo { .. } | Then::ShareTo { .. } | Then::Edit { what: Edited::People, .. } => Completes::Members,
        };
        let field = Field::new(bytes_max);
        Self { title, lines, label, field, completes, suggestions: Vec::new(), trouble: None, then }
    }

    /// What Enter does, in words.
    #[must_use]
    pub const fn enter(&self) -> &'static str {
        match self.then {
            Then::Decline { .. } => "Enter declines; the word may be left out",
            Then::Answer { .. } => "Enter shares this file hidden and answers with it; Tab completes",
            Then::Request { .. } => "Enter asks for it; the note may be left out",
            Then::OfferPath { .. } => "Enter offers it; Tab completes",
            Then::OfferTo { .. } => "Enter offers it; several names go with commas, Tab completes",
            Then::ShareTo { .. } => "Enter shares it with these alone; several names go with commas, Tab completes",
            Then::Edit { what: Edited::People, .. } => {
                "Enter lets these see it, and nobody else; several names go with commas, Tab completes"
            }
            Then::Edit { what: Edited::Note, .. } => "Enter sets the remark; an empty one takes it away",
            Then::Edit { what: Edited::Name, .. } => "Enter renames it; what lies on the disk keeps its name",
        }
    }
}

/// An offer that is about to be accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Taking {
    pub item: ItemRow,
    /// Numbers of the files that are left out.
    pub left_out: BTreeSet<usize>,
    pub list: List,
    /// The folder that it goes to.
    pub folder: Field,
    /// Whether keys go to the folder's field.
    pub editing: bool,
    pub suggestions: Vec<String>,
    /// What that folder is like, when it is known.
    pub survey: Option<Survey>,
    /// Why it was not taken.
    pub trouble: Option<String>,
}

/// What a folder is like that something shall go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    pub folder: PathBuf,
    /// Bytes that fit there; `None`: not known.
    pub free: Option<u64>,
    /// Whether something of that name is there already.
    pub taken: bool,
}

impl Taking {
    /// All of an offer, to a folder.
    #[must_use]
    pub fn new(item: ItemRow, folder: &str) -> Self {
        let mut field = Field::new(PATH_BYTES_MAX);
        field.set(folder);
        Self {
            item,
            left_out: BTreeSet::new(),
            list: List::default(),
            folder: field,
            editing: false,
            suggestions: Vec::new(),
            survey: None,
            trouble: None,
        }
    }
}
