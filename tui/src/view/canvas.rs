//! What the panes draw with: a buffer, the glyphs and styles in force, and the places that can be clicked.

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::{Color, Modifier, Style},
};

use crate::app::{Target, format};

/// The buffer of one frame and what is gathered while drawing.
#[derive(Debug)]
pub(crate) struct Canvas<'a> {
    pub(crate) buffer: &'a mut Buffer,
    pub(crate) look: Look,
    /// Places that can be clicked; later ones lie above earlier ones.
    pub(crate) targets: Vec<(Rect, Target)>,
    /// Where the terminal's own cursor shall stand.
    pub(crate) cursor: Option<Position>,
}

/// Glyphs and colours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) glyphs: &'static Glyphs,
    pub(crate) color: bool,
}

/// The symbols of our own chrome.
#[derive(Debug)]
pub(crate) struct Glyphs {
    pub(crate) rule: &'static str,
    pub(crate) side: &'static str,
    pub(crate) tee_down: &'static str,
    pub(crate) tee_up: &'static str,
    /// Top left, top right, bottom left, bottom right.
    pub(crate) corners: [&'static str; 4],
    pub(crate) full: &'static str,
    pub(crate) empty: &'static str,
    pub(crate) cut: &'static str,
    pub(crate) have: &'static str,
    pub(crate) down: &'static str,
    pub(crate) up: &'static str,
    pub(crate) online: &'static str,
    pub(crate) away: &'static str,
    pub(crate) offline: &'static str,
    pub(crate) ascending: &'static str,
    pub(crate) descending: &'static str,
    pub(crate) bullet: &'static str,
    pub(crate) dot: &'static str,
    pub(crate) levels: [&'static str; 8],
    /// Pieces: all verified, partly, in flight, missing, missing everywhere.
    pub(crate) pieces: [&'static str; 5],
}

pub(crate) const SYMBOLS: Glyphs = Glyphs {
    rule: "─",
    side: "│",
    tee_down: "┬",
    tee_up: "┴",
    corners: ["┌", "┐", "└", "┘"],
    full: "█",
    empty: "·",
    cut: "…",
    have: "✓",
    down: "↓",
    up: "↑",
    online: "●",
    away: "◐",
    offline: "○",
    ascending: "▲",
    descending: "▼",
    bullet: "•",
    dot: "·",
    levels: ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    pieces: ["█", "▓", "▒", "░", "!"],
};

pub(crate) const ASCII: Glyphs = Glyphs {
    rule: "-",
    side: "|",
    tee_down: "+",
    tee_up: "+",
    corners: ["+", "+", "+", "+"],
    full: "#",
    empty: ".",
    cut: "~",
    have: "v",
    down: "d",
    up: "u",
    online: "@",
    away: "o",
    offline: "-",
    ascending: "^",
    descending: "v",
    bullet: "*",
    dot: "-",
    levels: ["_", "_", ".", "-", "=", "+", "*", "#"],
    pieces: ["#", "+", "~", ".", "!"],
};

impl Look {
    const fn tint(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    /// Lines that only divide.
    pub(crate) const fn rule(self) -> Style {
        self.tint(Color::DarkGray)
    }

    /// Titles and the chosen tab.
    pub(crate) const fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Keys in hints.
    pub(crate) const fn key(self) -> Style {
        self.tint(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    pub(crate) const fn good(self) -> Style {
        self.tint(Color::Green)
    }

    pub(crate) const fn active(self) -> Style {
        self.tint(Color::Cyan)
    }

    pub(crate) const fn warning(self) -> Style {
        self.tint(Color::Yellow)
    }

    pub(crate) const fn bad(self) -> Style {
        self.tint(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// Letters that a filter matched.
    pub(crate) const fn matched(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD.union(Modifier::UNDERLINED))
    }
}

impl Canvas<'_> {
    /// The whole frame.
    pub(crate) const fn area(&self) -> Rect {
        *self.buffer.area()
    }

    /// Writes text, cut at `columns` and at the frame. Returns the column after it.
    pub(crate) fn text(&mut self, x: u16, y: u16, text: &str, style: Style, columns: u16) -> u16 {
        let area = self.area();
        if y >= area.bottom() || x >= area.right() || columns == 0 {
            return x;
        }
        self.buffer.set_stringn(x, y, text, usize::from(columns.min(area.right() - x)), style).0
    }

    /// Writes text that ends before column `end` and begins at `from` or later; longer text loses its end.
    pub(crate) fn text_right(&mut self, from: u16, end: u16, y: u16, text: &str, style: Style) -> u16 {
        let room = end.saturating_sub(from);
        let text = format::cut_end(text, usize::from(room), self.look.glyphs.cut);
        let x = end.saturating_sub(columns(&text));
        self.text(x, y, &text, style, room);
        x
    }

    /// Writes pieces of text one after the other, up to column `end`. Returns the column after them.
    pub(crate) fn spans<'s>(
        &mut self,
        x: u16,
        end: u16,
        y: u16,
        spans: impl IntoIterator<Item = (&'s str, Style)>,
    ) -> u16 {
        let mut at = x;
        for (text, style) in spans {
            at = self.text(at, y, text, style, end.saturating_sub(at));
        }
        at
    }

    /// One line of text in an area, its end cut with a mark.
    pub(crate) fn line(&mut self, area: Rect, row: u16, text: &str, style: Style) {
        if row < area.height {
            let text = format::cut_end(text, usize::from(area.width), self.look.glyphs.cut);
            self.text(area.x, area.y + row, &text, style, area.width);
        }
    }

    /// A dividing line with a title.
    pub(crate) fn rule(&mut self, area: Rect, title: &str) {
        if area.height == 0 {
            return;
        }
        let style = self.look.rule();
        let line = self.look.glyphs.rule.repeat(usize::from(area.width));
        self.text(area.x, area.y, &line, style, area.width);
        if !title.is_empty() && area.width > 6 {
            let room = usize::from(area.width) - 5;
            let title = format!(" {} ", format::cut_middle(title, room, self.look.glyphs.cut));
            self.text(area.x + 1, area.y, &title, self.look.strong(), area.width - 1);
        }
    }

    /// Empties an area.
    pub(crate) fn clear(&mut self, area: Rect) {
        let area = area.intersection(self.area());
        for y in area.top()..area.bottom() {
            // A wide character that reaches into the area from the left would cover its first column.
            if area.left() > 0
                && let Some(cell) = self.buffer.cell_mut((area.left() - 1, y))
                && format::width(cell.symbol()) > 1
            {
                cell.reset();
            }
            for x in area.left()..area.right() {
                if let Some(cell) = self.buffer.cell_mut((x, y)) {
                    cell.reset();
                }
            }
        }
    }

    /// An empty frame with a title in the middle of the screen; returns its inside.
    pub(crate) fn popup(&mut self, title: &str, width: u16, height: u16) -> Rect {
        let screen = self.area();
        let (width, height) = (width.min(screen.width), height.min(screen.height));
        let x = (screen.width - width) / 2;
        let y = (screen.height - height) / 2;
        self.popup_at(Rect::new(x, y, width, height), title)
    }

    /// An empty frame with a title; returns its inside.
    pub(crate) fn popup_at(&mut self, area: Rect, title: &str) -> Rect {
        self.clear(area);
        self.targets.retain(|(place, _)| !place.intersects(area));
        if area.width < 4 || area.height < 3 {
            return area;
        }
        let (glyphs, style) = (self.look.glyphs, self.look.rule());
        let inner_width = usize::from(area.width) - 2;
        let [top_left, top_right, bottom_left, bottom_right] = glyphs.corners;
        let line = glyphs.rule.repeat(inner_width);
        self.text(area.x, area.y, &format!("{top_left}{line}{top_right}"), style, area.width);
        let bottom = area.bottom() - 1;
        self.text(area.x, bottom, &format!("{bottom_left}{line}{bottom_right}"), style, area.width);
        for y in area.y + 1..bottom {
            self.text(area.x, y, glyphs.side, style, 1);
            self.text(area.right() - 1, y, glyphs.side, style, 1);
        }
        let title = format::cut_end(title, inner_width.saturating_sub(2), glyphs.cut);
        self.text(area.x + 1, area.y, &format!(" {title} "), self.look.strong(), area.width - 2);
        Rect::new(area.x + 2, area.y + 1, area.width - 4, area.height - 2)
    }

    /// Makes a place clickable.
    pub(crate) fn target(&mut self, area: Rect, target: Target) {
        if !area.is_empty() {
            self.targets.push((area, target));
        }
    }

    /// Wraps text at blanks and writes it, at most `rows` lines. Returns the rows used.
    pub(crate) fn wrapped(&mut self, area: Rect, row: u16, text: &str, style: Style, rows: u16) -> u16 {
        let lines = wrap(text, usize::from(area.width));
        let shown = lines.len().min(usize::from(rows));
        for (at, line) in (row..).zip(&lines[..shown]) {
            self.line(area, at, line, style);
        }
        u16::try_from(shown).unwrap_or(rows)
    }

    /// Shows what is typed in a field, scrolled so that the cursor is visible, and puts the terminal's cursor there.
    pub(crate) fn field(&mut self, area: Rect, before: &str, whole: &str, style: Style, focused: bool) {
        let room = usize::from(area.width.saturating_sub(1));
        let mut skipped = 0;
        let mut start = 0;
        for (at, grapheme) in unicode_segmentation::UnicodeSegmentation::grapheme_indices(before, true) {
            if format::width(before) - skipped <= room {
                break;
            }
            skipped += format::width(grapheme);
            start = at + grapheme.len();
        }
        self.text(area.x, area.y, &whole[start..], style, area.width);
        if focused {
            let x = area.x + u16::try_from(format::width(before) - skipped).unwrap_or(0);
            self.cursor = Some(Position::new(x, area.y));
        }
    }
}

/// Columns of a text.
pub(crate) fn columns(text: &str) -> u16 {
    u16::try_from(format::width(text)).unwrap_or(u16::MAX)
}

/// Lines of at most `width` columns, broken at blanks; a longer word is cut.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().map_or(0, |line| format::width(line));
        let word = format::cut_end(word, width, "…");
        if line > 0 && line + 1 + format::width(&word) > width {
            lines.push(word);
        } else if let Some(last) = lines.last_mut() {
            if line > 0 {
                last.push(' ');
            }
            last.push_str(&word);
        }
    }
    lines
}
