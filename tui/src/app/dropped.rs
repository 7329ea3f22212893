//! Paths that a terminal types when files are dropped on it: quoted, with backslashes, as `file://` addresses, several.
//! Pure: whether they exist is for others to find out.

use std::path::PathBuf;

use shared::limits::PATH_BYTES_MAX;

use super::words::split;

/// Something of this machine that was dropped and is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    pub path: PathBuf,
    pub folder: bool,
    /// Bytes of a file.
    pub size: u64,
}

/// The paths that a paste consists of; `None`: it is text, or more of them than anybody drops.
#[must_use]
pub fn paths(text: &str) -> Option<Vec<PathBuf>> {
    let whole = text.trim();
    if whole.is_empty() || whole.len() > PATH_BYTES_MAX * 2 {
        return None;
    }
    // A terminal that quotes nothing may have typed one path with blanks in it.
    let split = split(whole).filter(|words| words.iter().all(|word| is_path(word)));
    let words = split.or_else(|| (is_path(whole) && !whole.contains('\n')).then(|| vec![whole.to_owned()]))?;
    let paths: Option<Vec<PathBuf>> = words.iter().map(|word| path(word)).collect();
    paths.filter(|paths| !paths.is_empty() && paths.len() <= DROPPED_MOST)
}

fn is_path(word: &str) -> bool {
    word.starts_with('/') || word.starts_with(LOCAL)
}

fn path(word: &str) -> Option<PathBuf> {
    let path = match word.strip_prefix(LOCAL) {
        // What stands before the path is the name of this machine, or nothing.
        Some(rest) => decoded(&rest[rest.find('/')?..])?,
        None => word.to_owned(),
    };
    let bare = path.trim_end_matches('/');
    (!bare.is_empty() && !path.contains('\0')).then(|| PathBuf::from(bare))
}

/// Undoes the percent signs of an address.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
                rest = after;
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}

const LOCAL: &str = "file://";
/// Paths of one paste: whoever has more of them offers their folder.
const DROPPED_MOST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Vec<String>> {
        Some(paths(text)?.into_iter().map(|path| path.to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn terminals_type_paths_in_many_ways() {
        for (text, wanted) in [
            ("/a/film.mkv", vec!["/a/film.mkv"]),
            ("'/a/my film.mkv' ", vec!["/a/my film.mkv"]),
            ("\"/a/my film.mkv\"\n", vec!["/a/my film.mkv"]),
            ("/a/my\\ film.mkv", vec!["/a/my film.mkv"]),
            ("/a/my film.mkv", vec!["/a/my film.mkv"]),
            ("file:///a/my%20film.mkv", vec!["/a/my film.mkv"]),
            ("file://host/a/b", vec!["/a/b"]),
            ("'/a/it'\\''s'", vec!["/a/it's"]),
            ("/a/b /c/d", vec!["/a/b", "/c/d"]),
            ("'/a/b c' /d\nfile:///e", vec!["/a/b c", "/d", "/e"]),
            ("/folder/", vec!["/folder"]),
        ] {
            let wanted: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
            assert_eq!(of(text), Some(wanted), "{text}");
        }
    }

    #[test]
    fn anything_else_is_text() {
        for text in ["", " ", "hello", "see /etc/hosts", "a /b", "http://host/a", "/", "file://", "file:///%zz", "~/x"]
        {
            assert_eq!(of(text), None, "{text}");
        }
        let many = "/a ".repeat(DROPPED_MOST + 1);
        assert_eq!(of(&many), None);
    }
}
