//! A line of text being typed, with a cursor that moves by grapheme.

use std::fmt;

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};
use zeroize::Zeroize;

/// One text field. Never holds control characters, line breaks excepted where it has lines, and never more bytes than its limit.
#[derive(Clone, PartialEq, Eq)]
pub struct Field {
    text: String,
    /// Byte position, on a grapheme boundary.
    cursor: usize,
    bytes_max: usize,
    secret: bool,
    /// Whether line breaks stay.
    breaks: bool,
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: &dyn fmt::Debug = if self.secret { &"…" } else { &self.text };
        f.debug_struct("Field").field("text", text).field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        if self.secret {
            self.text.zeroize();
        }
    }
}

impl Field {
    /// An empty field that takes up to `bytes_max` bytes.
    #[must_use]
    pub const fn new(bytes_max: usize) -> Self {
        Self { text: String::new(), cursor: 0, bytes_max, secret: false, breaks: false }
    }

    /// An empty field whose text is shown as bullets and wiped when it goes.
    #[must_use]
    pub const fn secret(bytes_max: usize) -> Self {
        Self { text: String::new(), cursor: 0, bytes_max, secret: true, breaks: false }
    }

    /// An empty field that keeps line breaks.
    #[must_use]
    pub const fn lines(bytes_max: usize) -> Self {
        Self { text: String::new(), cursor: 0, bytes_max, secret: false, breaks: true }
    }

    /// What is typed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What stands before the cursor.
    #[must_use]
    pub fn before_cursor(&self) -> &str {
        &self.text[..self.cursor]
    }

    /// Whether nothing is typed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Replaces the text; the cursor goes to its end.
    pub fn set(&mut self, text: &str) {
        self.clear();
        self.insert(text);
    }

    /// Empties the field.
    pub fn clear(&mut self) {
        if self.secret {
            self.text.zeroize();
        }
        self.text.clear();
        self.cursor = 0;
    }

    /// Types or pastes `text`: control characters are left out (a line break becomes a space), and what does not fit
    /// is cut off. Says whether everything fit.
    pub fn insert(&mut self, text: &str) -> bool {
        for grapheme in text.graphemes(true) {
            let clean: String = match grapheme {
                "\n" | "\r\n" if self.breaks => "\n".to_owned(),
                "\n" | "\r\n" | "\t" => " ".to_owned(),
                other => other.chars().filter(|c| !c.is_control()).collect(),
            };
            if self.text.len() + clean.len() > self.bytes_max {
                return false;
            }
            self.text.insert_str(self.cursor, &clean);
            self.cursor += clean.len();
        }
        // Joining marks may have merged with what follows.
        self.cursor = self.boundary_at_or_before(self.cursor);
        true
    }

    /// One grapheme to the left.
    pub fn left(&mut self) {
        self.cursor = self.previous();
    }

    /// One grapheme to the right.
    pub fn right(&mut self) {
        self.cursor = self.next();
    }

    /// To the start.
    pub const fn start(&mut self) {
        self.cursor = 0;
    }

    /// To the end.
    pub fn end(&mut self) {
        self.cursor = self.text.len();
    }

    /// Erases the grapheme before the cursor.
    pub fn erase_back(&mut self) {
        let from = self.previous();
        self.text.replace_range(from..self.cursor, "");
        self.cursor = self.boundary_at_or_before(from);
    }

    /// Erases the grapheme under the cursor.
    pub fn erase_forward(&mut self) {
        let to = self.next();
        self.text.replace_range(self.cursor..to, "");
        self.cursor = self.boundary_at_or_before(self.cursor);
    }

    /// Erases the word before the cursor, and the blanks after it.
    pub fn erase_word(&mut self) {
        let before = &self.text[..self.cursor];
        let from = before
            .trim_end()
            .rfind(char::is_whitespace)
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        self.text.replace_range(from..self.cursor, "");
        self.cursor = self.boundary_at_or_before(from);
    }

    fn previous(&self) -> usize {
        GraphemeCursor::new(self.cursor, self.text.len(), true).prev_boundary(&self.text, 0).ok().flatten().unwrap_or(0)
    }

    fn next(&self) -> usize {
        GraphemeCursor::new(self.cursor, self.text.len(), true)
            .next_boundary(&self.text, 0)
            .ok()
            .flatten()
            .unwrap_or(self.text.len())
    }

    fn boundary_at_or_before(&self, at: usize) -> usize {
        let mut cursor = GraphemeCursor::new(at, self.text.len(), true);
        if cursor.is_boundary(&self.text, 0) == Ok(true) {
            return at;
        }
        cursor.prev_boundary(&self.text, 0).ok().flatten().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_erases_what_a_person_sees_as_one_character() {
        let mut field = Field::new(100);
        field.insert("ae\u{301}👩‍👩‍👧");
        field.erase_back();
        assert_eq!(field.text(), "ae\u{301}");
        field.erase_back();
        assert_eq!(field.text(), "a");
    }

    #[test]
    fn a_pasted_line_break_never_submits_and_controls_are_left_out() {
        let mut field = Field::new(100);
        field.insert("one\ntwo\x1b[31m");
        assert_eq!(field.text(), "one two[31m");
    }

    #[test]
    fn text_beyond_the_limit_is_cut_and_reported() {
        let mut field = Field::new(4);
        assert!(!field.insert("abcdef"));
        assert_eq!(field.text(), "abcd");
    }

    #[test]
    fn a_word_is_erased_up_to_the_blank_before_it() {
        let mut field = Field::new(100);
        field.insert("size:>1g ubuntu ");
        field.erase_word();
        assert_eq!(field.text(), "size:>1g ");
    }

    #[test]
    fn the_debug_form_of_a_password_hides_it() {
        let mut field = Field::secret(100);
        field.insert("hunter22");
        assert!(!format!("{field:?}").contains("hunter22"));
    }
}
