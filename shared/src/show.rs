//! The one door through which text from other people reaches a terminal, log or page.
//!
//! Whatever could move the cursor, reorder a line or hide in it comes out as a visible mark: `‹ESC›` for a control
//! character, `‹U+202E›` for any other. Never changes what is stored, and never decides whether a file is dangerous.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeEmoji, UnicodeGeneralCategory};
use unicode_segmentation::UnicodeSegmentation;

use crate::limits::{CHARS_PER_GRAPHEME_SHOWN_MAX, GRAPHEMES_SHOWN_MAX, MARKS_PER_BASE_MAX};

/// Text written by somebody else. It has no `Display` on purpose: what is shown went through [`Untrusted::show`].
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Untrusted(String);

impl Untrusted {
    /// Takes text as it came.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// One line, cleaned: at most [`GRAPHEMES_SHOWN_MAX`] graphemes, then `…`.
    #[must_use]
    pub fn show(&self) -> String {
        show(&self.0)
    }

    /// One line, cleaned: at most `graphemes_max` graphemes, then `…`.
    #[must_use]
    pub fn show_line(&self, graphemes_max: usize) -> String {
        show_line(&self.0, graphemes_max)
    }

    /// Several lines, cleaned and whole: line breaks and tabs stay.
    #[must_use]
    pub fn show_text(&self) -> String {
        show_text(&self.0)
    }

    /// Whether the text holds anything that showing replaces by a mark.
    #[must_use]
    pub fn has_hidden(&self) -> bool {
        has_hidden(&self.0)
    }
}

impl From<String> for Untrusted {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Untrusted {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Untrusted(‹{}›)", self.show())
    }
}

/// A name or line as it may be shown: at most [`GRAPHEMES_SHOWN_MAX`] graphemes, then `…`.
#[must_use]
pub fn show(text: &str) -> String {
    show_line(text, GRAPHEMES_SHOWN_MAX)
}

/// A name or line as it may be shown: at most `graphemes_max` graphemes, then `…`.
#[must_use]
pub fn show_line(text: &str, graphemes_max: usize) -> String {
    let chars_max = graphemes_max.saturating_mul(CHARS_PER_GRAPHEME_SHOWN_MAX);
    let mut pieces = Pieces::of(text, Breaks::Marked);
    let mut shown = String::new();
    for piece in pieces.by_ref().take(chars_max) {
        piece.write_to(&mut shown);
    }
    let mut cut = pieces.next().is_some();
    if let Some((end, _)) = shown.grapheme_indices(true).nth(graphemes_max) {
        shown.truncate(end);
        cut = true;
    }
    if cut {
        drop_half_a_mark(&mut shown);
        shown.push('…');
    }
    shown
}

/// Text of several lines as it may be shown: `\n` and tabs stay, `\r\n` becomes `\n`. Not cut: the wire bounds it.
#[must_use]
pub fn show_text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for piece in Pieces::of(text, Breaks::Kept) {
        piece.write_to(&mut shown);
    }
    shown
}

/// One character as it may be shown, for messages about that character.
#[must_use]
pub fn show_char(c: char) -> String {
    show(c.encode_utf8(&mut [0; 4]))
}

/// Whether a name or line holds anything that showing it replaces by a mark.
#[must_use]
pub fn has_hidden(text: &str) -> bool {
    Pieces::of(text, Breaks::Marked).any(|piece| match piece {
        Piece::Plain(_) | Piece::LoneMark(_) => false,
        Piece::Hidden(_) | Piece::Pile => true,
    })
}

/// Whether a character is invisible or changes how others are drawn, wherever it stands.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    matches!(
        c.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::PrivateUse
            | GeneralCategory::Surrogate
            | GeneralCategory::Unassigned
    ) || is_blank_letter(c)
        || is_variation_selector(c)
}

/// Letters, marks and symbols that draw nothing: Hangul fillers, the grapheme joiner, Khmer inherent vowels, Braille blank.
const fn is_blank_letter(c: char) -> bool {
    matches!(c, '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}' | '\u{034F}' | '\u{17B4}' | '\u{17B5}' | '\u{2800}')
}

const fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' | '\u{180B}'..='\u{180D}' | '\u{180F}')
}

/// Whether line breaks and tabs may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breaks {
    Kept,
    Marked,
}

/// What becomes of one character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Plain(char),
    /// A combining mark with nothing to stand on: it would climb onto our own mark, or onto a border of the screen.
    LoneMark(char),
    Hidden(char),
    /// The first of the combining marks that are too many on one base; the others are left out.
    Pile,
}

impl Piece {
    fn write_to(self, shown: &mut String) {
        match self {
            Self::Plain(c) => shown.push(c),
            Self::LoneMark(c) => shown.extend(['◌', c]),
            Self::Hidden(c) => write_mark(c, shown),
            Self::Pile => shown.push_str("‹…›"),
        }
    }
}

/// Cuts text into pieces. What a character becomes depends on its neighbours, because joiners and variation selectors
/// are honest inside an emoji and smuggled text elsewhere.
struct Pieces<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    breaks: Breaks,
    /// The last character that was shown as itself, unless a mark came after it.
    previous: Option<char>,
    /// Combining marks since the last base.
    marks: usize,
}

impl<'a> Pieces<'a> {
    fn of(text: &'a str, breaks: Breaks) -> Self {
        Self { chars: text.chars().peekable(), breaks, previous: None, marks: 0 }
    }

    fn plain(&mut self, c: char) -> Piece {
        self.previous = Some(c);
        self.marks = 0;
        Piece::Plain(c)
    }

    fn hidden(&mut self, c: char) -> Piece {
        self.previous = None;
        self.marks = 0;
        Piece::Hidden(c)
    }

    /// A combining mark, or `None` where it is one too many and was already reported.
    fn combining(&mut self, c: char) -> Option<Piece> {
        self.marks += 1;
        if self.marks > MARKS_PER_BASE_MAX {
            return (self.marks == MARKS_PER_BASE_MAX + 1).then_some(Piece::Pile);
        }
        Some(match self.previous.replace(c) {
            Some(_) => Piece::Plain(c),
            None => Piece::LoneMark(c),
        })
    }

    fn joins_emoji(&mut self) -> bool {
        let after = self.chars.peek().copied();
        self.previous.is_some_and(|before| is_emoji(before) || before == '\u{FE0F}') && after.is_some_and(is_emoji)
    }

    fn selects_variant(&self, c: char) -> bool {
        self.previous.is_some_and(|base| match c {
            '\u{FE0E}' | '\u{FE0F}' => base.is_emoji_char(),
            '\u{FE00}'..='\u{FE02}' | '\u{E0100}'..='\u{E01EF}' => is_ideograph(base),
            _ => matches!(base, '\u{1800}'..='\u{18AF}'),
        })
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        loop {
            let c = self.chars.next()?;
            match c {
                '\r' if self.breaks == Breaks::Kept && self.chars.peek() == Some(&'\n') => {}
                '\n' | '\t' if self.breaks == Breaks::Kept => {
                    self.previous = None;
                    self.marks = 0;
                    return Some(Piece::Plain(c));
                }
                '\u{200D}' if self.joins_emoji() => return Some(self.plain(c)),
                // Only one selector may follow a base: a row of them is a known way to smuggle bytes.
                _ if is_variation_selector(c) && self.selects_variant(c) => return Some(self.plain(c)),
                _ if is_hidden(c) => return Some(self.hidden(c)),
                _ if c.general_category_group() == GeneralCategoryGroup::Mark => {
                    if let Some(piece) = self.combining(c) {
                        return Some(piece);
                    }
                }
                _ => return Some(self.plain(c)),
            }
        }
    }
}

/// Emoji proper: digits, `#` and `*` are formally emoji too, but nothing is joined to them.
fn is_emoji(c: char) -> bool {
    !c.is_ascii() && c.is_emoji_char()
}

const fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

fn write_mark(c: char, shown: &mut String) {
    let name = match c {
        '\0'..='\u{1F}' => C0[c as usize].to_owned(),
        '\u{7F}' => "DEL".to_owned(),
        '\u{80}'..='\u{9F}' => C1[c as usize - 0x80].to_owned(),
        _ => format!("U+{:04X}", c as u32),
    };
    shown.push('‹');
    shown.push_str(&name);
    shown.push('›');
}

/// A cut may fall inside a mark of ours or behind a joiner; half a mark reads like text.
fn drop_half_a_mark(shown: &mut String) {
    shown.truncate(shown.trim_end_matches('\u{200D}').len());
    if let Some(open) = shown.rfind('‹')
        && !shown[open..].contains('›')
        && shown[open..].chars().count() < LONGEST_MARK_CHARS
    {
        shown.truncate(open);
    }
}

/// `‹U+10FFFF›`.
const LONGEST_MARK_CHARS: usize = 10;

const C0: [&str; 32] = [
    "NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL", "BS", "TAB", "LF", "VT", "FF", "CR", "SO", "SI", "DLE",
    "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB", "ESC", "FS", "GS", "RS", "US",
];

const C1: [&str; 32] = [
    "PAD", "HOP", "BPH", "NBH", "IND", "NEL", "SSA", "ESA", "HTS", "HTJ", "VTS", "PLD", "PLU", "RI", "SS2", "SS3",
    "DCS", "PU1", "PU2", "STS", "CCH", "MW", "SPA", "EPA", "SOS", "SGC", "SCI", "CSI", "ST", "OSC", "PM", "APC",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_could_deceive_becomes_a_mark() {
        for (text, shown) in [
            ("plain name.txt", "plain name.txt"),
            ("Zoë, 山田, Дмитрий, مريم", "Zoë, 山田, Дмитрий, مريم"),
            ("\u{1b}[31mred", "‹ESC›[31mred"),
            ("\u{9b}31m\u{7f}\0", "‹CSI›31m‹DEL›‹NUL›"),
            ("\u{1b}]8;;http://x\u{7}", "‹ESC›]8;;http://x‹BEL›"),
            ("two\nlines\r\n\tin", "two‹LF›lines‹CR›‹LF›‹TAB›in"),
            ("photo\u{202e}gpj.exe", "photo‹U+202E›gpj.exe"),
            ("in\u{ad}vis\u{200b}ible\u{feff}", "in‹U+00AD›vis‹U+200B›ible‹U+FEFF›"),
            ("tag\u{e0041}", "tag‹U+E0041›"),
            ("sep\u{2028}\u{2029}", "sep‹U+2028›‹U+2029›"),
            ("fill\u{115f}\u{1160}\u{3164}\u{ffa0}", "fill‹U+115F›‹U+1160›‹U+3164›‹U+FFA0›"),
            ("a\u{200d}b", "a‹U+200D›b"),
            ("1\u{200d}2", "1‹U+200D›2"),
            ("a\u{fe0f}", "a‹U+FE0F›"),
            ("private\u{e000}", "private‹U+E000›"),
        ] {
            assert_eq!(show(text), shown, "{text:?}");
            assert_eq!(has_hidden(text), text != shown, "{text:?}");
        }
    }

    #[test]
    fn emoji_and_variants_of_ideographs_stay_whole() {
        for text in ["👩‍👩‍👧", "🏳️‍🌈", "❤️‍🔥", "👍🏽", "1️⃣", "🇵🇹", "葛\u{e0100}"]
        {
            assert_eq!(show(text), text);
            assert!(!has_hidden(text), "{text:?}");
        }
    }

    #[test]
    fn bytes_smuggled_in_variation_selectors_are_seen() {
        assert_eq!(show("😀\u{fe0f}\u{fe0f}\u{fe01}"), "😀\u{fe0f}‹U+FE0F›‹U+FE01›");
        assert!(has_hidden("葛\u{e0100}\u{e0101}"));
    }

    #[test]
    fn piles_of_combining_marks_are_cut_down() {
        let zalgo = format!("a{}b", "\u{301}".repeat(50));
        assert_eq!(show(&zalgo), format!("a{}‹…›b", "\u{301}".repeat(4)));
        assert!(has_hidden(&zalgo));
    }

    #[test]
    fn a_mark_with_nothing_below_it_does_not_climb_onto_its_neighbour() {
        assert_eq!(show("\u{301}x"), "◌\u{301}x");
        assert_eq!(show("\u{1b}\u{301}"), "‹ESC›◌\u{301}");
    }

    #[test]
    fn long_names_end_in_an_ellipsis_and_never_in_half_a_mark() {
        assert_eq!(show(&"é".repeat(256)), "é".repeat(256));
        assert_eq!(show(&"é".repeat(257)), format!("{}…", "é".repeat(256)));
        assert_eq!(show_line("abcdef", 3), "abc…");
        assert_eq!(show_line("ab\u{202e}cdef", 5), "ab…");
        let endless_grapheme = "\u{1100}".repeat(100_000);
        assert!(show(&endless_grapheme).chars().count() <= 256 * 8 + 1);
    }

    #[test]
    fn messages_keep_their_lines() {
        assert_eq!(show_text("a\r\nb\tc\rd\u{1b}"), "a\nb\tc‹CR›d‹ESC›");
    }

    #[test]
    fn debugging_shows_no_raw_text() {
        assert_eq!(format!("{:?}", Untrusted::from("a\u{1b}")), "Untrusted(‹a‹ESC››)");
    }

    fn forbidden(shown: &str, breaks_allowed: bool) -> Option<char> {
        let chars: Vec<char> = shown.chars().collect();
        chars.iter().enumerate().find_map(|(at, &c)| {
            let hidden = matches!(
                c.general_category(),
                GeneralCategory::Control
                    | GeneralCategory::Format
                    | GeneralCategory::LineSeparator
                    | GeneralCategory::ParagraphSeparator
            );
            let line_break = breaks_allowed && matches!(c, '\n' | '\t');
            let joins = c == '\u{200d}'
                && at > 0
                && (is_emoji(chars[at - 1]) || chars[at - 1] == '\u{fe0f}')
                && chars.get(at + 1).is_some_and(|&next| is_emoji(next));
            (hidden && !line_break && !joins).then_some(c)
        })
    }

    fn hostile_text() -> impl Strategy<Value = String> {
        let nasty = prop::sample::select(vec![
            '\u{1b}',
            '\u{9b}',
            '\u{202e}',
            '\u{200d}',
            '\u{fe0f}',
            '\u{301}',
            '\u{3164}',
            '\u{e0041}',
            '😀',
            '👩',
            'a',
            '1',
            '\n',
            '\r',
            '\t',
            '‹',
            '›',
            '…',
            '\u{1f1e6}',
            '\u{2028}',
        ]);
        prop::collection::vec(prop_oneof![3 => nasty, 1 => any::<char>()], 0..600)
            .prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #[test]
        fn nothing_shown_can_steer_a_terminal(text in hostile_text()) {
            prop_assert_eq!(forbidden(&show(&text), false), None);
            prop_assert_eq!(forbidden(&show_line(&text, 7), false), None);
            prop_assert_eq!(forbidden(&show_text(&text), true), None);
        }

        #[test]
        fn a_line_keeps_to_its_length(text in hostile_text(), max in 0usize..40) {
            prop_assert!(show_line(&text, max).graphemes(true).count() <= max + 1);
        }

        #[test]
        fn clean_text_is_left_alone(text in "[a-zA-Zà-öа-яぁ-ん0-9 ._()-]{0,200}") {
            prop_assert_eq!(show(&text), text);
        }
    }
}
