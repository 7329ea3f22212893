//! A table that touches only the rows on screen. Its columns never depend on the data.

use ratatui::{
    layout::{Position, Rect},
    style::{Modifier, Style},
};

use super::canvas::{Canvas, columns};
use crate::app::{Target, format, index::SortBy, list::List};

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    /// Columns on screen; zero: all that is left.
    pub(crate) width: u16,
    pub(crate) right: bool,
    /// What a click on the title sorts by.
    pub(crate) sort: Option<SortBy>,
}

/// A column whose text begins at its left edge.
pub(crate) const fn left(title: &'static str, width: u16, sort: SortBy) -> Column {
    Column { title, width, right: false, sort: Some(sort) }
}

/// A column whose text ends at its right edge.
pub(crate) const fn right(title: &'static str, width: u16, sort: SortBy) -> Column {
    Column { title, width, right: true, sort: Some(sort) }
}

/// A row: a mark and the cells.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// One column: `*`, `✓`, `↓`, `x`, `!` or a blank.
    pub(crate) mark: &'static str,
    pub(crate) mark_style: Style,
    pub(crate) cells: Vec<Cell>,
}

/// A cell.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) style: Style,
    /// Cut in the middle rather than at the end.
    pub(crate) name: bool,
    /// Characters of `text` that a filter matched.
    pub(crate) matched: Vec<u32>,
    /// Stands after the text and is kept whole where there is room for both.
    pub(crate) tail: String,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    pub(crate) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style, ..Self::default() }
    }

    pub(crate) fn name(text: String, matched: Vec<u32>) -> Self {
        Self { text, name: true, matched, ..Self::default() }
    }

    pub(crate) fn with_tail(self, tail: String) -> Self {
        Self { tail, ..self }
    }
}

/// Columns before the first cell: blank, mark, blank.
const LEAD: u16 = 3;
/// Columns of a name below which its tail is left out.
const TAILED_NAME_MIN: u16 = 8;
/// Blank columns between cells.
const GAP: u16 = 2;

/// Where each column begins and how wide it is.
fn places(area: Rect, shown: &[Column]) -> Vec<(u16, u16)> {
    let gaps = GAP * u16::try_from(shown.len().saturating_sub(1)).unwrap_or(0);
    let fixed: u16 = shown.iter().map(|column| column.width).sum();
    let fill = area.width.saturating_sub(LEAD + gaps + fixed + 1);
    let mut x = area.x + LEAD;
    let place = |column: &Column| {
        let width = if column.width == 0 { fill } else { column.width };
        let place = (x, width);
        x += width + GAP;
        place
    };
    shown.iter().map(place).collect()
}

/// Draws the titles.
pub(crate) fn head(canvas: &mut Canvas<'_>, area: Rect, shown: &[Column]) {
    if area.height == 0 {
        return;
    }
    let style = canvas.look.strong();
    for (column, (x, width)) in shown.iter().zip(places(area, shown)) {
        let at = if column.right { x + width.saturating_sub(columns(column.title)) } else { x };
        canvas.text(at, area.y, column.title, style, width);
        if let Some(sort) = column.sort {
            canvas.target(Rect::new(x, area.y, width, 1), Target::Sort(sort));
        }
    }
}

/// Draws the visible ones of `len` rows. The selected one is reversed and has `>`.
pub(crate) fn body(
    canvas: &mut Canvas<'_>,
    area: Rect,
    shown: &[Column],
    list: List,
    len: usize,
    mut row: impl FnMut(usize) -> Row,
) {
    let places = places(area, shown);
    for line in 0..area.height {
        let at = list.top + usize::from(line);
        if at >= len {
            break;
        }
        let y = area.y + line;
        let row = row(at);
        let selected = at == list.cursor;
        let bare = row.mark.trim().is_empty();
        if selected {
            canvas.text(area.x + u16::from(bare), y, ">", canvas.look.strong(), 1);
            canvas.cursor.get_or_insert_with(|| Position::new(area.x + u16::from(bare), y));
        }
        if !bare {
            canvas.text(area.x + 1, y, row.mark, row.mark_style, 1);
        }
        for ((cell, column), (x, width)) in row.cells.iter().zip(shown).zip(&places) {
            self::cell(canvas, cell, column, *x, y, *width);
        }
        if selected {
            let whole = Rect::new(area.x, y, area.width, 1);
            canvas.buffer.set_style(whole.intersection(canvas.area()), Style::new().add_modifier(Modifier::REVERSED));
        }
        canvas.target(Rect::new(area.x, y, area.width, 1), Target::Line(at));
    }
}

fn cell(canvas: &mut Canvas<'_>, cell: &Cell, column: &Column, x: u16, y: u16, width: u16) {
    let cut = canvas.look.glyphs.cut;
    let tail = columns(&cell.tail);
    if tail > 0 && tail + TAILED_NAME_MIN <= width {
        let name = format::cut_middle(&cell.text, usize::from(width - tail), cut);
        let after = canvas.text(x, y, &name, cell.style, width - tail);
        canvas.text(after, y, &cell.tail, cell.style, tail);
        return;
    }
    let text = match cell.name {
        true => format::cut_middle(&cell.text, usize::from(width), cut),
        false => format::cut_end(&cell.text, usize::from(width), cut),
    };
    let at = if column.right { x + width.saturating_sub(columns(&text)) } else { x };
    if cell.matched.is_empty() || text != cell.text {
        canvas.text(at, y, &text, cell.style, width);
        return;
    }
    let mut x = at;
    for (number, c) in (0_u32..).zip(text.chars()) {
        // Marks that join the letter before them were written with it.
        let mut next = text.chars().skip(number as usize + 1);
        let joined = next.next().is_some_and(|after| format::width(after.encode_utf8(&mut [0; 4])) == 0);
        if joined || format::width(c.encode_utf8(&mut [0; 4])) == 0 {
            canvas.text(at, y, &text, cell.style, width);
            return;
        }
        let style = if cell.matched.binary_search(&number).is_ok() { canvas.look.matched() } else { cell.style };
        x = canvas.text(x, y, c.encode_utf8(&mut [0; 4]), style, (at + width).saturating_sub(x));
    }
}

#[cfg(test)]
mod tests {
    use ratatui::buffer::Buffer;

    use super::*;
    use crate::view::canvas::{Look, SYMBOLS};

    #[test]
    fn only_rows_on_screen_are_touched_however_many_there_are() {
        let area = Rect::new(0, 0, 40, 10);
        let mut buffer = Buffer::empty(area);
        let look = Look { glyphs: &SYMBOLS, color: false };
        let mut canvas = Canvas { buffer: &mut buffer, look, targets: Vec::new(), cursor: None };
        let mut touched = Vec::new();
        let list = List { cursor: 500_003, top: 500_000 };
        body(&mut canvas, area, &[left("NAME", 0, SortBy::Name)], list, 1_000_000, |at| {
            touched.push(at);
            Row { cells: vec![Cell::new(at.to_string())], ..Row::default() }
        });
        assert_eq!(touched, (500_000..500_010).collect::<Vec<_>>());
        assert!(buffer[(5, 3)].modifier.contains(Modifier::REVERSED));
        assert_eq!(buffer[(1, 3)].symbol(), ">");
    }
}
