//! Draws a [`State`]. Never changes it, and reads nothing else: no clock, no locale, no file.

mod canvas;
mod chat;
mod chrome;
mod files;
mod forms;
mod gate;
mod inbox;
mod layers;
mod members;
mod table;
#[cfg(test)]
mod tests;
mod transfers;

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::{Position, Rect},
    style::Style,
};

use self::canvas::{ASCII, Canvas, Look, SYMBOLS, wrap};
use crate::app::{State, Tab, Target, format, layout::Shape};

/// Places on screen that can be clicked; the last that contains a position is on top.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets(Vec<(Rect, Target)>);

impl Targets {
    /// What is at this column and row.
    #[must_use]
    pub fn at(&self, column: u16, row: u16) -> Option<Target> {
        let hit = |(place, _): &&(Rect, Target)| place.contains(Position::new(column, row));
        self.0.iter().rev().find(hit).map(|(_, target)| *target)
    }
}

/// Draws the whole screen. Returns what can be clicked on it.
pub fn draw(state: &State, frame: &mut Frame<'_>) -> Targets {
    let (targets, cursor) = draw_into(state, frame.buffer_mut());
    if let Some(cursor) = cursor {
        frame.set_cursor_position(cursor);
    }
    targets
}

fn draw_into(state: &State, buffer: &mut Buffer) -> (Targets, Option<Position>) {
    let size = (buffer.area().width, buffer.area().height);
    let areas = state.areas_for(size);
    let mut canvas = Canvas { buffer, look: look(state), targets: Vec::new(), cursor: None };
    if areas.shape == Shape::TooSmall {
        too_small(&mut canvas, state);
    } else {
        // The rows around first: a pane may join its lines to theirs, and a field keeps the cursor.
        chrome::draw(&mut canvas, state, &areas);
        match &state.gate {
            Some(form) => gate::draw(&mut canvas, state, form, &areas),
            None => match state.tab {
                Tab::Files => files::draw(&mut canvas, state, &areas),
                Tab::Transfers => transfers::draw(&mut canvas, state, &areas),
                Tab::Inbox => inbox::draw(&mut canvas, state, &areas),
                Tab::Members => members::draw(&mut canvas, state, &areas),
                Tab::Chat => chat::draw(&mut canvas, state, &areas),
            },
        }
    }
    for layer in &state.layers {
        canvas.cursor = None;
        layers::draw(&mut canvas, state, layer, &areas);
    }
    (Targets(canvas.targets), canvas.cursor)
}

/// Glyphs and colours of a state.
fn look(state: &State) -> Look {
    Look { glyphs: if state.setup.ascii { &ASCII } else { &SYMBOLS }, color: state.setup.color }
}

fn too_small(canvas: &mut Canvas<'_>, state: &State) {
    let area = canvas.area();
    let going = match state.transfers.unfinished() {
        0 => String::new(),
        some => format!("; {} on", format::plural(some as u64, "transfer goes", "transfers go")),
    };
    let text = format!("{}x{} is too small, need 40x8{going}", area.width, area.height);
    for (row, line) in (0..area.height).zip(wrap(&text, usize::from(area.width))) {
        canvas.line(area, row, &line, Style::new());
    }
}

/// The lines of a detail part below its rule.
const fn inside(detail: Rect) -> Rect {
    Rect {
        x: detail.x + 1,
        y: detail.y + 1,
        width: detail.width.saturating_sub(2),
        height: detail.height.saturating_sub(1),
    }
}

/// Divides a detail part into two halves, with a title over the right one.
fn divide(canvas: &mut Canvas<'_>, detail: Rect, rule: Rect, middle: u16, title: &str) {
    let (glyphs, style) = (canvas.look.glyphs, canvas.look.rule());
    canvas.text(middle, detail.y, glyphs.tee_down, style, 1);
    for y in detail.y + 1..detail.bottom() {
        canvas.text(middle, y, glyphs.side, style, 1);
    }
    if rule.height > 0 {
        canvas.text(middle, rule.y, glyphs.tee_up, style, 1);
    }
    let room = detail.right().saturating_sub(middle + 3);
    let title = format!(" {} ", format::cut_end(title, usize::from(room.saturating_sub(2)), glyphs.cut));
    canvas.text(middle + 2, detail.y, &title, canvas.look.strong(), room);
}

/// Words in an empty list: what is so, and what to do about it.
fn empty(canvas: &mut Canvas<'_>, area: Rect, lines: &[String]) {
    let inside = Rect { x: area.x + 3, width: area.width.saturating_sub(4), ..area };
    let mut row = u16::from(area.height > 3);
    for line in lines {
        for line in wrap(line, usize::from(inside.width).max(1)) {
            canvas.line(inside, row, &line, Style::new());
            row += 1;
        }
    }
}
