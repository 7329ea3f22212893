//! Names of files and their paths within the index.

use std::{
    fmt,
    path::{Component, Path},
    str::FromStr,
};

use caseless::default_case_fold_str;
use unicode_normalization::UnicodeNormalization;

use super::{NameError, numbered::fit};
use crate::limits::{NAME_BYTES_MAX, PATH_BYTES_MAX, PATH_DEPTH_MAX};

/// One component of a path: storable on Linux, unable to lead anywhere else.
///
/// Hidden characters are accepted, because files have them; [`super::hazard`] tells, and showing marks them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(String);

impl FileName {
    /// Checks one component.
    ///
    /// # Errors
    /// When it is empty, `.`, `..`, longer than [`NAME_BYTES_MAX`], or holds a slash, backslash or control character.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check_component(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The name as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether every platform can store the name as it is.
    #[must_use]
    pub fn portability(&self) -> Portability {
        portability(&self.0)
    }

    /// The name to store the file under on `platform`: itself, or the nearest one that the platform has no other use for.
    #[must_use]
    pub fn local_name(&self, platform: Platform) -> Self {
        Self(local_name(&self.0, platform))
    }

    /// What two names in one folder are compared by.
    #[must_use]
    pub fn fold_key(&self) -> FoldKey {
        FoldKey::of(&self.0)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for FileName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Where a received name is to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// Linux, macOS, BSD: every [`FileName`] is a name.
    Unix,
    /// Windows: device names, streams and silent trimming.
    Windows,
}

impl Platform {
    /// The platform that this program runs on.
    pub const HERE: Self = if cfg!(windows) { Self::Windows } else { Self::Unix };
}

/// Whether a name can be stored everywhere, and if not, what Windows makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Portability {
    /// Every platform stores it as it is.
    Everywhere,
    /// It names a device (`CON`, `nul.txt`).
    DeviceName,
    /// It holds a character that is refused, or that means a stream (`:`).
    Character(char),
    /// It ends in a dot or space, which are dropped silently.
    Ending,
}

/// A relative path of the index: [`FileName`]s joined by `/`, at least one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexPath(String);

impl IndexPath {
    /// Checks a path.
    ///
    /// # Errors
    /// When it is absolute, too long, too deep, or a component is empty or no [`FileName`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > PATH_BYTES_MAX {
            return Err(NameError::TooManyBytes { bytes_max: PATH_BYTES_MAX });
        }
        if text.starts_with('/') {
            return Err(NameError::NotRelative);
        }
        if text.split('/').count() > PATH_DEPTH_MAX {
            return Err(NameError::TooDeep { depth_max: PATH_DEPTH_MAX });
        }
        text.split('/').try_for_each(check_component)?;
        Ok(Self(text.to_owned()))
    }

    /// Checks a local path that is relative to the folder being shared.
    ///
    /// # Errors
    /// As [`IndexPath::parse`]; also when a component is not UTF-8.
    pub fn from_os(path: &Path) -> Result<Self, NameError> {
        let mut text = String::new();
        for component in path.components() {
            let name = match component {
                Component::Normal(name) => name.to_str().ok_or(NameError::NotUtf8)?,
                Component::CurDir | Component::ParentDir => return Err(NameError::Dots),
                Component::RootDir | Component::Prefix(_) => return Err(NameError::NotRelative),
            };
            if !text.is_empty() {
                text.push('/');
            }
            text.push_str(name);
        }
        Self::parse(&text)
    }

    /// The path as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names on the way, outermost folder first.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.0.split('/')
    }

    /// The last component.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// The folder it lies in, unless it lies at the top.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(folder, _)| Self(folder.to_owned()))
    }

    /// The path of `inner` within this folder.
    ///
    /// # Errors
    /// When the result is too long or too deep.
    pub fn join(&self, inner: &Self) -> Result<Self, NameError> {
        Self::parse(&format!("{}/{}", self.0, inner.0))
    }

    /// Whether it lies below `folder`, at any depth. A path does not lie below itself.
    #[must_use]
    pub fn starts_with_folder(&self, folder: &Self) -> bool {
        self.rest_below(folder).is_some()
    }

    /// The rest of the path below `folder`, if it lies there.
    #[must_use]
    pub fn strip_folder(&self, folder: &Self) -> Option<Self> {
        self.rest_below(folder).map(|rest| Self(rest.to_owned()))
    }

    fn rest_below(&self, folder: &Self) -> Option<&str> {
        self.0.strip_prefix(&folder.0)?.strip_prefix('/')
    }

    /// What two entries of one received set are compared by: equal keys collide somewhere.
    #[must_use]
    pub fn fold_key(&self) -> FoldKey {
        FoldKey::of(&self.0)
    }

    /// The path to store the file under on `platform`, component by component.
    #[must_use]
    pub fn local_path(&self, platform: Platform) -> Self {
        let names: Vec<String> = self.components().map(|name| local_name(name, platform)).collect();
        Self(names.join("/"))
    }
}

impl fmt::Display for IndexPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for IndexPath {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl From<FileName> for IndexPath {
    fn from(name: FileName) -> Self {
        Self(name.0)
    }
}

impl AsRef<str> for IndexPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A name or path without what some file systems do not distinguish: composition and case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FoldKey(String);

impl FoldKey {
    /// The key of a name or path; a `/` stays what it is.
    #[must_use]
    pub fn of(text: &str) -> Self {
        if text.is_ascii() {
            return Self(text.to_ascii_lowercase());
        }
        let decomposed: String = text.nfd().collect();
        Self(default_case_fold_str(&decomposed).nfc().collect())
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_component(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooManyBytes { bytes_max: NAME_BYTES_MAX });
    }
    if text == "." || text == ".." {
        return Err(NameError::Dots);
    }
    match text.chars().find(|&c| matches!(c, '/' | '\\') || c.is_control()) {
        Some(refused) => Err(NameError::Character(refused)),
        None => Ok(()),
    }
}

fn portability(name: &str) -> Portability {
    if let Some(refused) = name.chars().find(|&c| is_refused_by_windows(c)) {
        return Portability::Character(refused);
    }
    if is_device(name) {
        return Portability::DeviceName;
    }
    if name.ends_with(['.', ' ']) {
        return Portability::Ending;
    }
    Portability::Everywhere
}

fn local_name(name: &str, platform: Platform) -> String {
    match platform {
        Platform::Unix => name.to_owned(),
        Platform::Windows => windows_name(name),
    }
}

fn windows_name(name: &str) -> String {
    let mut local: String = name.chars().map(|c| if is_refused_by_windows(c) { '_' } else { c }).collect();
    if is_device(&local) {
        local.insert(0, '_');
    }
    // Fitting comes before the ending, since the cut itself may leave a space at the end.
    local = fit(&local, "");
    if local.ends_with(['.', ' ']) {
        local.pop();
        local.push('_');
    }
    local
}

const fn is_refused_by_windows(c: char) -> bool {
    matches!(c, '<' | '>' | '"' | '|' | '?' | '*' | ':')
}

/// Windows looks at what stands before the first dot, without spaces at its end and in any case.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ').to_ascii_uppercase();
    if DEVICES.contains(&stem.as_str()) {
        return true;
    }
    let port = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    port.is_some_and(|number| {
        let mut chars = number.chars();
        matches!((chars.next(), chars.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
    })
}

const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> IndexPath {
        IndexPath::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for text in [
            "",
            "/",
            "/etc/passwd",
            "//server/share",
            "a//b",
            "a/",
            ".",
            "..",
            "./a",
            "../a",
            "a/..",
            "a/../b",
            "a/./b",
            "..\\a",
            "a\\..\\b",
            "C:\\x",
            "\\\\server\\share",
            "a\0b",
            "a\nb",
            "a\u{7f}",
            "a\u{9b}b",
            "a/\u{1b}[2J",
        ] {
            assert!(IndexPath::parse(text).is_err(), "{text:?}");
        }
        assert!(IndexPath::parse(&"a/".repeat(64)).is_err());
        assert!(IndexPath::parse(&vec!["a"; 65].join("/")).is_err());
        assert!(IndexPath::parse(&vec!["a"; 64].join("/")).is_ok());
        assert!(IndexPath::parse(&"a".repeat(256)).is_err());
        assert!(IndexPath::parse(&vec!["a".repeat(200); 21].join("/")).is_err());
    }

    #[test]
    fn ordinary_and_odd_names_are_accepted() {
        for text in [
            "a",
            "...",
            "..a",
            "a..",
            " a ",
            "-rf",
            "~",
            "C:",
            "a:stream",
            "CON",
            "photo\u{202e}gpj.exe",
            "日本語/ü.txt",
        ] {
            assert!(IndexPath::parse(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn the_parts_of_a_path_fit_together() {
        let file = path("music/live/one.flac");
        assert_eq!(file.name(), "one.flac");
        assert_eq!(file.parent(), Some(path("music/live")));
        assert_eq!(path("one.flac").parent(), None);
        assert_eq!(file.components().collect::<Vec<_>>(), ["music", "live", "one.flac"]);
        assert_eq!(path("music").join(&path("live/one.flac")), Ok(file.clone()));
        assert_eq!(file.strip_folder(&path("music")), Some(path("live/one.flac")));
        assert!(file.starts_with_folder(&path("music/live")));
        assert!(!file.starts_with_folder(&path("mus")));
        assert!(!file.starts_with_folder(&file));
    }

    #[test]
    fn local_paths_become_index_paths_or_say_why_not() {
        assert_eq!(IndexPath::from_os(Path::new("a/b c.txt")), Ok(path("a/b c.txt")));
        assert_eq!(IndexPath::from_os(Path::new("/a")), Err(NameError::NotRelative));
        assert_eq!(IndexPath::from_os(Path::new("../a")), Err(NameError::Dots));
        assert_eq!(IndexPath::from_os(Path::new("")), Err(NameError::Empty));
        assert_eq!(IndexPath::from_os(Path::new("a\\b")), Err(NameError::Character('\\')));
    }

    #[cfg(unix)]
    #[test]
    fn a_local_name_that_is_not_utf8_is_refused_as_such() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
        let odd = Path::new(OsStr::from_bytes(b"caf\xe9.txt"));
        assert_eq!(IndexPath::from_os(odd), Err(NameError::NotUtf8));
    }

    #[test]
    fn case_and_composition_do_not_make_two_names() {
        for (one, other) in [("Foo", "foo"), ("caf\u{e9}", "cafe\u{301}"), ("STRASSE", "straße"), ("A/É", "a/e\u{301}")]
        {
            assert_eq!(FoldKey::of(one), FoldKey::of(other), "{one} {other}");
        }
        assert_ne!(FoldKey::of("a/b"), FoldKey::of("ab"));
    }

    #[test]
    fn windows_gets_names_that_it_can_store() {
        for (name, local, portability) in [
            ("a.txt", "a.txt", Portability::Everywhere),
            ("CON", "_CON", Portability::DeviceName),
            ("nul.tar.gz", "_nul.tar.gz", Portability::DeviceName),
            ("Com1 .txt", "_Com1 .txt", Portability::DeviceName),
            ("LPT²", "_LPT²", Portability::DeviceName),
            ("conout$", "_conout$", Portability::DeviceName),
            ("COM10", "COM10", Portability::Everywhere),
            ("console", "console", Portability::Everywhere),
            ("a.", "a_", Portability::Ending),
            ("a ", "a_", Portability::Ending),
            ("a:stream", "a_stream", Portability::Character(':')),
            ("what?", "what_", Portability::Character('?')),
        ] {
            let name = FileName::parse(name).unwrap();
            assert_eq!(name.portability(), portability, "{name}");
            assert_eq!(name.local_name(Platform::Windows).as_str(), local);
            assert_eq!(name.local_name(Platform::Unix), name);
        }
        assert_eq!(path("aux/b?").local_path(Platform::Windows), path("_aux/b_"));
    }

    proptest! {
        #[test]
        fn an_accepted_path_stays_below_its_folder(text in r"(\PC|[./\\:]|\.\.){0,30}") {
            if let Ok(path) = IndexPath::parse(&text) {
                prop_assert_eq!(path.as_str(), &text);
                let root = Path::new("/root/of/it");
                let joined = root.join(path.as_str());
                prop_assert!(joined.starts_with(root));
                prop_assert!(joined.components().all(|part| !matches!(part, Component::ParentDir)));
                prop_assert_eq!(IndexPath::from_os(Path::new(path.as_str())), Ok(path.clone()));
                prop_assert!(path.components().all(|name| FileName::parse(name).is_ok()));
            }
        }

        #[test]
        fn a_folded_key_folds_to_itself(text in "\\PC{0,20}") {
            let key = FoldKey::of(&text);
            prop_assert_eq!(&FoldKey::of(key.as_str()), &key);
        }

        #[test]
        fn a_windows_name_is_portable(text in r#"(CON|nul|[a-z]|[ .:?*<>|"]|é){1,60}(\.[a-z]{0,4})?"#) {
            if let Ok(name) = FileName::parse(&text) {
                let local = name.local_name(Platform::Windows);
                prop_assert_eq!(local.portability(), Portability::Everywhere);
                prop_assert!(FileName::parse(local.as_str()).is_ok());
            }
        }
    }
}
