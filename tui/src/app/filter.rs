//! The filter language of the lists: fuzzy words with fzf operators, and fields such as `size:>1g user:bob ext:iso`.

use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{CaseMatching, Normalization, Pattern},
};

/// A parsed filter.
#[derive(Debug, Clone)]
pub struct Filter {
    /// As typed; everything else follows from it.
    text: String,
    /// Whether there is anything to match.
    pub active: bool,
    /// Whether there are words, and so better and worse matches.
    pub ranked: bool,
    /// What could not be understood, for people.
    pub trouble: Option<String>,
    pattern: Pattern,
    tests: Vec<(bool, Test)>,
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// What a filter looks at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What words are matched against.
    pub text: &'a str,
    /// Last component, for `ext:`.
    pub name: &'a str,
    /// Bytes.
    pub size: u64,
    /// Owner's name.
    pub owner: &'a str,
    /// Whether this device has it; `None`: the question makes no sense (a folder).
    pub have: Option<bool>,
    /// Whether its owner or another source is there.
    pub online: bool,
}

/// A condition on a field.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    SizeAtLeast(u64),
    SizeAtMost(u64),
    Owner(String),
    Extension(String),
    Have(bool),
    Online(bool),
}

impl Default for Filter {
    fn default() -> Self {
        Self::parse("")
    }
}

impl Filter {
    /// Reads a filter as typed. What cannot be understood is left out and named in `trouble`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (mut words, mut tests, mut trouble) = (Vec::new(), Vec::new(), None);
        for word in split_words(text) {
            let (negated, bare) = word.strip_prefix('!').map_or((false, word.as_str()), |rest| (true, rest));
            let Some((field, value)) = bare.split_once(':') else {
                words.push(word.replace(' ', "\\ "));
                continue;
            };
            match Test::parse(field, value) {
                Parsed::Test(test) => tests.push((negated, test)),
                Parsed::Unfinished => {}
                Parsed::Trouble(text) => trouble = Some(text),
                Parsed::NotAField => words.push(word.replace(' ', "\\ ")),
            }
        }
        let pattern = Pattern::parse(&words.join(" "), CaseMatching::Smart, Normalization::Smart);
        let ranked = !pattern.atoms.is_empty();
        Self { text: text.to_owned(), active: ranked || !tests.is_empty(), ranked, trouble, pattern, tests }
    }

    /// How well `subject` matches; `None`: not at all.
    pub fn score(&self, subject: &Subject<'_>, matcher: &mut FilterMatcher) -> Option<u32> {
        let passes = |(negated, test): &(bool, Test)| test.holds(subject) != *negated;
        if !self.tests.iter().all(passes) {
            return None;
        }
        self.pattern.score(Utf32Str::new(subject.text, &mut matcher.buffer), &mut matcher.matcher)
    }

    /// The positions (in characters of `text`) that the words match, ascending.
    pub fn matched(&self, text: &str, matcher: &mut FilterMatcher) -> Vec<u32> {
        let mut positions = Vec::new();
        if self.ranked {
            let haystack = Utf32Str::new(text, &mut matcher.buffer);
            let _score = self.pattern.indices(haystack, &mut matcher.matcher, &mut positions);
            positions.sort_unstable();
            positions.dedup();
        }
        positions
    }
}

/// The working memory of matching, to be reused from item to item.
#[derive(Debug)]
pub struct FilterMatcher {
    matcher: Matcher,
    buffer: Vec<char>,
}

impl FilterMatcher {
    /// For paths: a match after a slash counts more.
    #[must_use]
    pub fn new() -> Self {
        Self { matcher: Matcher::new(Config::DEFAULT.match_paths()), buffer: Vec::new() }
    }
}

impl Default for FilterMatcher {
    fn default() -> Self {
        Self::new()
    }
}

enum Parsed {
    Test(Test),
    /// A field whose value is still to be typed.
    Unfinished,
    Trouble(String),
    NotAField,
}

impl Test {
    fn parse(field: &str, value: &str) -> Parsed {
        if !["size", "user", "ext", "have", "online"].contains(&field) {
            return Parsed::NotAField;
        }
        if value.trim_start_matches(['>', '<', '=']).is_empty() {
            return Parsed::Unfinished;
        }
        let yes_or_no = |test: fn(bool) -> Self| match value {
            "yes" | "y" => Parsed::Test(test(true)),
            "no" | "n" => Parsed::Test(test(false)),
            "ye" => Parsed::Unfinished,
            _ => Parsed::Trouble(format!("{field}: is yes or no")),
        };
        match field {
            "size" => {
                let (at_most, number) = match value.strip_prefix('<') {
                    Some(rest) => (true, rest),
                    None => (false, value.trim_start_matches('>')),
                };
                match parse_size(number.trim_start_matches('=')) {
                    Some(bytes) if at_most => Parsed::Test(Self::SizeAtMost(bytes)),
                    Some(bytes) => Parsed::Test(Self::SizeAtLeast(bytes)),
                    None => Parsed::Trouble("size: is a number such as >1g or <500k".to_owned()),
                }
            }
            "user" => Parsed::Test(Self::Owner(value.to_lowercase())),
            "ext" => Parsed::Test(Self::Extension(value.trim_start_matches('.').to_lowercase())),
            "have" => yes_or_no(Self::Have),
            _ => yes_or_no(Self::Online),
        }
    }

    fn holds(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::SizeAtLeast(bytes) => subject.size >= *bytes,
            Self::SizeAtMost(bytes) => subject.size <= *bytes,
            Self::Owner(name) => subject.owner.to_lowercase().contains(name),
            Self::Extension(wanted) => {
                subject.name.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case(wanted))
            }
            Self::Have(wanted) => subject.have == Some(*wanted),
            Self::Online(wanted) => subject.online == *wanted,
        }
    }
}

/// Bytes in `1.5g`, `500k`, `12`; units are powers of 1024.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let text = text.trim_end_matches('b').trim_end_matches('i');
    let (number, shift) = match text.char_indices().last()? {
        (at, 'k') => (&text[..at], 10),
        (at, 'm') => (&text[..at], 20),
        (at, 'g') => (&text[..at], 30),
        (at, 't') => (&text[..at], 40),
        _ => (text, 0),
    };
    let number: f64 = number.parse().ok()?;
    let bytes = number * f64::from(1_u32 << 15) * f64::from(1_u32 << 5) * 2_f64.powi(shift - 20);
    (bytes.is_finite() && bytes >= 0.0).then_some(bytes as u64)
}

/// Words at blanks; double quotes keep blanks together.
fn split_words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISO: Subject<'static> = Subject {
        text: "isos/ubuntu-26.04-desktop.iso",
        name: "ubuntu-26.04-desktop.iso",
        size: 6 << 30,
        owner: "Bob Lee",
        have: Some(false),
        online: true,
    };

    fn passes(filter: &str) -> bool {
        Filter::parse(filter).score(&ISO, &mut FilterMatcher::new()).is_some()
    }

    #[test]
    fn words_match_fuzzily_and_operators_as_in_fzf() {
        for good in ["", "ubu iso", "ubdsk", "'desktop", "^isos", "iso$", "!server", "ubu !server"] {
            assert!(passes(good), "{good}");
        }
        for bad in ["xyz", "'dsktp", "^ubuntu", "desktop$", "!desktop"] {
            assert!(!passes(bad), "{bad}");
        }
    }

    #[test]
    fn fields_narrow_by_size_owner_extension_and_state() {
        for good in [
            "size:>1g",
            "size:<7g",
            "user:bob",
            "user:\"bob lee\"",
            "ext:iso",
            "ext:.ISO",
            "have:no",
            "online:yes",
            "!ext:zip",
        ] {
            assert!(passes(good), "{good}");
        }
        for bad in ["size:<1g", "size:>6.5g", "user:eve", "ext:is", "have:yes", "online:no", "!ext:iso"] {
            assert!(!passes(bad), "{bad}");
        }
    }

    #[test]
    fn a_field_half_typed_changes_nothing_and_a_wrong_one_is_named() {
        assert!(passes("size:"));
        assert!(passes("size:>"));
        assert_eq!(Filter::parse("size:>").trouble, None);
        assert!(Filter::parse("size:>big").trouble.is_some());
        assert!(Filter::parse("have:maybe").trouble.is_some());
    }

    #[test]
    fn a_colon_in_a_name_is_not_a_field() {
        assert!(!Filter::parse("note:x").tests.iter().any(|_| true));
        assert_eq!(Filter::parse("note:x").trouble, None);
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, bytes) in [("1", 1), ("1k", 1 << 10), ("1.5g", 3 << 29), ("2MiB", 2 << 20), ("1tb", 1 << 40)] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        assert_eq!(parse_size("-1"), None);
        assert_eq!(parse_size(""), None);
    }
}
