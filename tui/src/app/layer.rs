//! What can lie over the panes: dialogs, menus, the list of commands, the message log, a page of details, sharing.

use std::path::PathBuf;

use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{AtomKind, CaseMatching, Normalization, Pattern},
};
use shared::limits::{PATH_BYTES_MAX, QUERY_BYTES_MAX};

use super::{
    CallId,
    chat::Room,
    field::Field,
    index::SortBy,
    keys::{self, Action, Context},
    list::List,
    prompt::{Prompt, Taking},
    words,
};
use crate::engine::api::{Command, Share};

/// Something over the panes.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    Dialog(Dialog),
    Menu(Menu),
    Palette(Palette),
    Log(List),
    Page(Page),
    Share(Sharing),
    Prompt(Box<Prompt>),
    Take(Box<Taking>),
}

/// A question with its effects and its answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Dialog {
    pub title: String,
    pub lines: Vec<String>,
    /// The safe one first: it has the focus at the start.
    pub choices: Vec<Choice>,
    pub focus: usize,
}

/// A list of things to choose from by a letter.
#[derive(Debug, Clone, PartialEq)]
pub struct Menu {
    pub title: String,
    pub choices: Vec<Choice>,
    pub list: List,
}

/// An answer, its letter and what it does.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    pub key: char,
    pub label: String,
    pub act: Act,
}

/// What an answer does.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Nothing: stay.
    Close,
    Sort(SortBy),
    Copy {
        what: &'static str,
        text: String,
    },
    /// Asks something of the engine.
    Call {
        command: Command,
        purpose: super::Purpose,
    },
    /// Asks several things of the engine.
    Calls(Vec<(Command, super::Purpose)>),
    /// Asks something first.
    Ask(Box<Dialog>),
    /// Goes into the message that is being written.
    Paste(String),
    /// Lets choose again.
    Choose(Box<Menu>),
    /// Asks for a line first.
    Prompt(Box<Prompt>),
    /// Asks for a password to share something with.
    Protect(Box<Share>),
    /// Accepts an invitation to a private channel with that member.
    Join {
        item: String,
        with: String,
    },
    /// Leaves the private channel that this call holds.
    Leave(CallId),
    /// Forgets a private channel that is over.
    CloseRoom(CallId),
    /// Offers these in a conversation.
    Offer {
        room: Room,
        paths: Vec<PathBuf>,
    },
    Quit(super::Leaving),
}

/// Every command, to be found by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Palette {
    /// Opened by `?`: with the keys of this place first.
    pub help: bool,
    pub field: Field,
    pub list: List,
    /// The contexts beneath.
    pub stack: Vec<Context>,
}

/// A page of details over the whole screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Page {
    /// First visible line.
    pub top: usize,
}

/// A path being typed that shall be shared.
#[derive(Debug, Clone, PartialEq)]
pub struct Sharing {
    pub field: Field,
    /// What the path may go on with.
    pub suggestions: Vec<String>,
    /// The running count of what would be shared.
    pub call: Option<CallId>,
    /// What is counted so far.
    pub files: u64,
    pub bytes: u64,
    /// Whether the count is that of a folder.
    pub folder: bool,
    pub share: Option<Share>,
    pub trouble: Option<String>,
}

/// A line of the list of commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub action: Action,
    /// Labels of its keys.
    pub keys: String,
    /// Where the keys are in force.
    pub context: Context,
    /// Whether it can run here.
    pub here: bool,
}

impl Dialog {
    /// A question whose first answer is the safe one.
    #[must_use]
    pub fn new(title: impl Into<String>, lines: Vec<String>, choices: Vec<Choice>) -> Self {
        Self { title: title.into(), lines, choices, focus: 0 }
    }
}

impl Choice {
    /// An answer.
    #[must_use]
    pub fn new(key: char, label: impl Into<String>, act: Act) -> Self {
        Self { key, label: label.into(), act }
    }
}

impl Palette {
    /// A list of commands over these contexts.
    #[must_use]
    pub fn new(help: bool, stack: Vec<Context>) -> Self {
        Self { help, field: Field::new(QUERY_BYTES_MAX), list: List::default(), stack }
    }

    /// The command with words of its own that is typed, and those words.
    #[must_use]
    pub fn typed(&self) -> Option<(Action, &str)> {
        let text = self.field.text();
        words::FIRST.iter().find_map(|(first, action)| Some((*action, text.strip_prefix(first)?.trim())))
    }

    /// The commands that match what is typed, best first. Without a word: those of this place, then all others.
    #[must_use]
    pub fn listed(&self) -> Vec<Listed> {
        let mut all: Vec<Listed> = Vec::with_capacity(keys::TABLE.len());
        let row_of = |row: &keys::Binding, here| Listed {
            action: row.action,
            keys: row.keys.iter().map(|key| key.label()).collect::<Vec<_>>().join(" "),
            context: row.context,
            here,
        };
        for row in keys::in_force(&self.stack) {
            all.push(row_of(row, true));
        }
        let over_panes = self.stack.contains(&Context::Panes);
        for action in keys::UNBOUND {
            all.push(Listed { action: *action, keys: String::new(), context: Context::Panes, here: over_panes });
        }
        let elsewhere = |context: &Context| !self.stack.contains(context);
        for context in Context::ALL.into_iter().filter(elsewhere) {
            for row in keys::TABLE.iter().filter(|row| row.context == context) {
                if !all.iter().any(|listed| listed.action == row.action) {
                    all.push(row_of(row, false));
                }
            }
        }
        if self.field.is_empty() {
            return all;
        }
        if let Some((action, _)) = self.typed() {
            all.retain(|row| row.action == action);
            all.truncate(1);
            return all;
        }
        let text = self.field.text();
        let name_pattern = Pattern::parse(text, CaseMatching::Smart, Normalization::Smart);
        // Letters strewn over a sentence mean nothing: there whole words or parts of words have to match.
        let sentence_pattern = Pattern::new(text, CaseMatching::Ignore, Normalization::Smart, AtomKind::Substring);
        let mut matcher = Matcher::new(Config::DEFAULT);
        let mut buffer = Vec::new();
        let mut score = |row: &Listed| {
            // A key typed as it is written on screen means that key.
            let key = row.keys.split(' ').any(|key| key == text);
            let name = name_pattern.score(Utf32Str::new(row.action.name(), &mut buffer), &mut matcher);
            let whole = format!("{} {} {}", row.action.name(), row.action.sentence(), row.keys);
            let sentence = sentence_pattern.score(Utf32Str::new(&whole, &mut buffer), &mut matcher);
            let exact = row.action.name() == text;
            (key || name.is_some() || sentence.is_some()).then_some((exact, key && row.here, sentence, name, row.here))
        };
        let mut found: Vec<_> = all.into_iter().filter_map(|row| Some((score(&row)?, row))).collect();
        found.sort_by(|(a, _), (b, _)| b.cmp(a));
        found.into_iter().map(|(_, row)| row).collect()
    }
}

impl Sharing {
    /// An empty path, or one that was pasted.
    #[must_use]
    pub fn new(path: &str) -> Self {
        let mut field = Field::new(PATH_BYTES_MAX);
        field.set(path);
        Self {
            field,
            suggestions: Vec::new(),
            call: None,
            files: 0,
            bytes: 0,
            folder: false,
            share: None,
            trouble: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn palette(text: &str) -> Vec<Listed> {
        let stack = vec![Context::Public, Context::Files, Context::Panes, Context::Always];
        let mut palette = Palette::new(true, stack);
        palette.field.set(text);
        palette.listed()
    }

    #[test]
    fn help_lists_every_action_with_those_of_this_place_first() {
        let listed = palette("");
        assert_eq!(listed[0].action, Action::Download);
        for action in Action::ALL {
            assert!(listed.iter().any(|row| row.action == *action), "{}", action.name());
        }
    }

    #[test]
    fn a_command_is_found_by_name_by_sentence_and_by_key() {
        assert_eq!(palette("downl")[0].action, Action::Download);
        assert_eq!(palette("dwnld")[0].action, Action::Download);
        assert_eq!(palette("share")[0].action, Action::ShareAdd);
        assert_eq!(palette("suspend")[0].action, Action::Suspend);
        assert!(palette("tracker again").iter().any(|row| row.action == Action::Reconnect));
        assert_eq!(palette("C-z")[0].action, Action::Suspend);
    }
}
