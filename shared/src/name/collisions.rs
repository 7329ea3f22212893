//! Whether the entries of one received set can lie side by side, seen before the first byte is asked for.

use std::collections::BTreeMap;

use super::{FoldKey, IndexPath};

/// The paths of one set so far. Holds at most as many folders per path as a path is deep.
#[derive(Debug, Clone, Default)]
pub struct Collisions {
    taken: BTreeMap<FoldKey, Entry>,
}

/// Why a path cannot lie beside one that was added before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Collision {
    /// The very same path came twice.
    #[error("the same path comes twice")]
    Same,
    /// The paths, or folders on the way, differ only in case or composition. File systems that do not distinguish
    /// these would mix them up; others keep both.
    #[error("it differs only in upper and lower case or accents from another path")]
    Spelling {
        /// The path, or folder on its way, that was added before.
        other: IndexPath,
    },
    /// One is a file where the other needs a folder.
    #[error("a file stands where another path needs a folder")]
    FileAndFolder {
        /// The file or folder that was added before.
        other: IndexPath,
    },
}

#[derive(Debug, Clone)]
struct Entry {
    path: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
}

impl Collisions {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the path of a file, with all folders on its way. A path that collides is not added.
    ///
    /// # Errors
    /// The gravest collision with a path that was added before.
    pub fn add(&mut self, path: &IndexPath) -> Result<(), Collision> {
        let mut spelling = None;
        for (prefix, kind) in prefixes(path) {
            match self.clash(prefix, kind) {
                None => {}
                Some(clash @ Collision::Spelling { .. }) => spelling = spelling.or(Some(clash)),
                Some(grave @ (Collision::Same | Collision::FileAndFolder { .. })) => return Err(grave),
            }
        }
        if let Some(clash) = spelling {
            return Err(clash);
        }
        for (prefix, kind) in prefixes(path) {
            self.taken.entry(FoldKey::of(prefix)).or_insert_with(|| Entry { path: prefix.to_owned(), kind });
        }
        Ok(())
    }

    fn clash(&self, path: &str, kind: Kind) -> Option<Collision> {
        let other = self.taken.get(&FoldKey::of(path))?;
        match (kind, other.kind) {
            (Kind::File, Kind::Folder) | (Kind::Folder, Kind::File) => {
                Some(Collision::FileAndFolder { other: other.index_path() })
            }
            (Kind::File, Kind::File) if other.path == path => Some(Collision::Same),
            (Kind::Folder, Kind::Folder) if other.path == path => None,
            (Kind::File, Kind::File) | (Kind::Folder, Kind::Folder) => {
                Some(Collision::Spelling { other: other.index_path() })
            }
        }
    }
}

impl Entry {
    fn index_path(&self) -> IndexPath {
        IndexPath::parse(&self.path).expect("a prefix of a checked path is a checked path")
    }
}

/// The folders on the way to a file, outermost first, then the file.
fn prefixes(path: &IndexPath) -> impl Iterator<Item = (&str, Kind)> {
    let text = path.as_str();
    let folders = text.match_indices('/').map(|(at, _)| (&text[..at], Kind::Folder));
    folders.chain([(text, Kind::File)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> IndexPath {
        IndexPath::parse(text).unwrap()
    }

    fn add_all(paths: &[&str]) -> Result<(), Collision> {
        let mut set = Collisions::new();
        paths.iter().try_for_each(|text| set.add(&path(text)))
    }

    #[test]
    fn entries_that_can_lie_side_by_side_are_accepted() {
        assert_eq!(add_all(&["a/b", "a/c", "a/d/b", "b", "ab"]), Ok(()));
    }

    #[test]
    fn the_same_path_twice_is_told_from_a_different_spelling() {
        assert_eq!(add_all(&["a/b", "a/b"]), Err(Collision::Same));
        assert_eq!(add_all(&["a/Foo", "a/foo"]), Err(Collision::Spelling { other: path("a/Foo") }));
        assert_eq!(add_all(&["caf\u{e9}", "cafe\u{301}"]), Err(Collision::Spelling { other: path("caf\u{e9}") }));
        assert_eq!(add_all(&["A/b", "a/c"]), Err(Collision::Spelling { other: path("A") }));
    }

    #[test]
    fn a_file_where_a_folder_is_needed_collides_both_ways_and_in_any_case() {
        let both = |other| Err(Collision::FileAndFolder { other: path(other) });
        assert_eq!(add_all(&["a", "a/b"]), both("a"));
        assert_eq!(add_all(&["a/b", "a"]), both("a"));
        assert_eq!(add_all(&["x/A/b", "x/a"]), both("x/A"));
        assert_eq!(add_all(&["A", "a/b/c"]), both("A"));
    }

    #[test]
    fn a_refused_path_leaves_no_trace() {
        let mut set = Collisions::new();
        set.add(&path("a")).unwrap();
        assert!(set.add(&path("a/b/c")).is_err());
        assert_eq!(set.add(&path("b")), Ok(()));
    }
}
