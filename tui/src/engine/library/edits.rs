//! Decisions about single files and folders of a share, and how they add up: plain calls.

use shared::wire::tracker::Audience;

use crate::engine::state::{Edit, ShareRecord};

/// What changes; `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Who shall see it.
    pub audience: Option<Audience>,
    /// The remark.
    pub note: Option<String>,
}

/// What holds for the paths of one share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decisions {
    /// For all of it.
    pub(super) audience: Option<Audience>,
    pub(super) note: Option<String>,
    /// For single paths, and for folders below it.
    pub(super) edits: Vec<Edit>,
}

impl Decisions {
    pub(super) fn of(record: &ShareRecord, edits: Vec<Edit>) -> Self {
        Self { audience: record.audience.clone(), note: record.note.clone(), edits }
    }

    /// Who shall see the file at a path: the nearest decision counts. `None`: nobody has decided, ever.
    pub(super) fn audience(&self, path: &str) -> Option<&Audience> {
        self.nearest(path, |edit| edit.audience.as_ref()).or(self.audience.as_ref())
    }

    /// Its remark.
    pub(super) fn note(&self, path: &str) -> Option<&String> {
        self.nearest(path, |edit| edit.note.as_ref()).or(self.note.as_ref())
    }

    fn nearest<'a, T>(&'a self, path: &str, what: impl Fn(&'a Edit) -> Option<&'a T>) -> Option<&'a T> {
        let applies = |edit: &&Edit| covers(&edit.path, path);
        let decided = self.edits.iter().filter(applies).filter_map(|edit| Some((edit.path.len(), what(edit)?)));
        decided.max_by_key(|(length, _)| *length).map(|(_, what)| what)
    }

    /// Decides for a file, or, with `/` at the end of the path, for all in a folder and all that comes later. What was
    /// decided for parts of that folder before is overruled. `share`: the name of the share.
    pub(super) fn change(&mut self, share: &str, path: &str, change: &Change) {
        for edit in &mut self.edits {
            if edit.path != path && covers(path, &edit.path) {
                edit.audience = edit.audience.take().filter(|_| change.audience.is_none());
                edit.note = edit.note.take().filter(|_| change.note.is_none());
            }
        }
        if path.trim_end_matches('/') == share {
            // All of the share: what is said of it.
            self.edits.retain(|edit| edit.path != path);
            self.audience = change.audience.clone().or_else(|| self.audience.take());
            self.note = change.note.clone().or_else(|| self.note.take());
        } else if let Some(edit) = self.edits.iter_mut().find(|edit| edit.path == path) {
            edit.audience = change.audience.clone().or_else(|| edit.audience.take());
            edit.note = change.note.clone().or_else(|| edit.note.take());
        } else {
            let edit = Edit { path: path.to_owned(), audience: change.audience.clone(), note: change.note.clone() };
            self.edits.push(edit);
        }
        self.edits.retain(|edit| edit.audience.is_some() || edit.note.is_some());
    }
}

/// Whether a decision for `path` is about `other`: the same file, or something below the folder.
pub(super) fn covers(path: &str, other: &str) -> bool {
    path == other || (path.ends_with('/') && other.starts_with(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen_by(audience: Audience) -> Change {
        Change { audience: Some(audience), note: None }
    }

    fn noted(note: &str) -> Change {
        Change { audience: None, note: Some(note.to_owned()) }
    }

    fn fresh() -> Decisions {
        Decisions { audience: Some(Audience::Public), note: None, edits: Vec::new() }
    }

    #[test]
    fn the_nearest_decision_counts_and_each_field_for_itself() {
        let mut decisions = fresh();
        decisions.change("s", "s/a/", &seen_by(Audience::Ask));
        decisions.change("s", "s/a/b", &seen_by(Audience::Hidden));
        decisions.change("s", "s/a/", &noted("about a"));
        let seen = |path: &str| decisions.audience(path).cloned();
        assert_eq!(seen("s/x"), Some(Audience::Public));
        assert_eq!(seen("s/a/later"), Some(Audience::Ask), "also for what comes later");
        assert_eq!(seen("s/a/b"), Some(Audience::Hidden));
        assert_eq!(seen("s/ab"), Some(Audience::Public), "another name that begins alike");
        assert_eq!(decisions.note("s/a/b").map(String::as_str), Some("about a"));
        assert_eq!(decisions.note("s/x"), None);
    }

    #[test]
    fn a_decision_for_a_folder_overrules_those_for_parts_of_it() {
        let mut decisions = fresh();
        decisions.change("s", "s/a/b", &seen_by(Audience::Public));
        decisions.change("s", "s/a/b", &noted("about b"));
        decisions.change("s", "s/", &seen_by(Audience::Hidden));
        assert_eq!(decisions.audience("s/a/b"), Some(&Audience::Hidden));
        assert_eq!(decisions.note("s/a/b").map(String::as_str), Some("about b"));
        assert_eq!(decisions.edits.len(), 1);
        decisions.change("s", "s/", &noted("about all"));
        assert!(decisions.edits.is_empty());
    }

    #[test]
    fn a_share_that_is_one_file_holds_its_own_decisions() {
        let mut decisions = fresh();
        decisions.change("file.txt", "file.txt", &seen_by(Audience::Ask));
        assert_eq!((decisions.audience("file.txt"), decisions.edits.len()), (Some(&Audience::Ask), 0));
    }
}
