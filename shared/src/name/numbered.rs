//! What a file is called when its name is taken.

use unicode_segmentation::UnicodeSegmentation;

use crate::limits::{EXTENSION_BYTES_MAX, NAME_BYTES_MAX};

/// `name (n).ext`: another name for the same file, at most [`NAME_BYTES_MAX`] bytes long.
///
/// Given a valid [`super::FileName`] the result is one too, and differs from it.
#[must_use]
pub fn numbered(name: &str, n: u32) -> String {
    fit(name, &format!(" ({n})"))
}

/// `name` with `insert` before its extension, cut at the end of its stem so that the whole fits a name.
pub(super) fn fit(name: &str, insert: &str) -> String {
    let (stem, extension) = split_extension(name);
    let room = NAME_BYTES_MAX.saturating_sub(insert.len() + extension.len());
    format!("{}{insert}{extension}", cut(stem, room))
}

/// Stem and extension with its dot: `archive` and `.tar.gz`. A leading dot begins a name, not an extension.
fn split_extension(name: &str) -> (&str, &str) {
    let visible = name.trim_start_matches('.');
    let dots = name.len() - visible.len();
    let Some(mut at) = visible.rfind('.').filter(|&at| at > 0) else { return (name, "") };
    if let Some(before) = visible[..at].rfind('.').filter(|&before| before > 0)
        && visible[before..at].eq_ignore_ascii_case(".tar")
    {
        at = before;
    }
    let extension = &visible[at..];
    // `Mr. Smith goes home` has no extension, and neither has `v1.`.
    let plausible = extension.len() > 1 && extension.len() <= EXTENSION_BYTES_MAX && !extension.contains(' ');
    if plausible { name.split_at(dots + at) } else { (name, "") }
}

/// As much of `text` as fits, in whole graphemes where the first one fits at all.
fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let end = text.grapheme_indices(true).map(|(at, _)| at).take_while(|&at| at <= bytes_max).last().unwrap_or(0);
    let end = if end == 0 { text.floor_char_boundary(bytes_max) } else { end };
    &text[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::name::FileName;

    #[test]
    fn the_number_goes_before_the_extension() {
        for (name, second) in [
            ("name.ext", "name (1).ext"),
            ("name", "name (1)"),
            ("archive.tar.gz", "archive (1).tar.gz"),
            ("Archive.TAR.zst", "Archive (1).TAR.zst"),
            (".tar.gz", ".tar (1).gz"),
            (".bashrc", ".bashrc (1)"),
            (".config.json", ".config (1).json"),
            ("...", "... (1)"),
            ("..a.b", "..a (1).b"),
            ("Mr. Smith goes home", "Mr. Smith goes home (1)"),
            ("a.", "a. (1)"),
            ("a (1).txt", "a (1) (1).txt"),
            ("a.extension-that-is-none", "a.extension-that-is-none (1)"),
        ] {
            assert_eq!(numbered(name, 1), second);
        }
    }

    #[test]
    fn a_long_name_is_cut_in_its_stem_between_graphemes() {
        let long = format!("{}.flac", "e\u{301}".repeat(83));
        let second = numbered(&long, 12);
        assert_eq!(second, format!("{} (12).flac", "e\u{301}".repeat(81)));
        let one_endless_grapheme = format!("e{}", "\u{301}".repeat(126));
        assert!(numbered(&one_endless_grapheme, 1).starts_with('e'));
    }

    proptest! {
        #[test]
        fn a_numbered_name_is_a_valid_and_different_name(name in r"\.{0,3}(\PC|\.){1,120}(\.tar)?(\.[a-z0-9]{1,20})?", n in any::<u32>()) {
            if FileName::parse(&name).is_ok() {
                let second = numbered(&name, n);
                prop_assert!(FileName::parse(&second).is_ok());
                prop_assert_ne!(&second, &name);
                prop_assert_ne!(&second, &numbered(&name, n.wrapping_add(1)));
            }
        }
    }
}
