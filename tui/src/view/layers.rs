//! What lies over the panes.

use ratatui::{
    layout::Rect,
    style::{Modifier, Style},
};
use shared::show::show;

use super::canvas::{Canvas, columns, wrap};
use crate::{
    app::{
        State, Tab, Target, format,
        layer::{Choice, Dialog, Layer, Menu, Palette, Sharing},
        layout::{Areas, Shape},
        list::List,
        messages::Message,
    },
    engine::api::NoticeLevel,
};

pub(super) fn draw(canvas: &mut Canvas<'_>, state: &State, layer: &Layer, areas: &Areas) {
    match layer {
        Layer::Dialog(dialog) => self::dialog(canvas, dialog),
        Layer::Menu(menu) => self::menu(canvas, menu),
        Layer::Palette(palette) => self::palette(canvas, palette, areas),
        Layer::Log(list) => log(canvas, state, *list, areas),
        Layer::Page(page) => self::page(canvas, state, page.top, areas),
        Layer::Share(sharing) => share(canvas, sharing),
        Layer::Prompt(prompt) => super::forms::prompt(canvas, prompt),
        Layer::Take(taking) => super::forms::take(canvas, state, taking),
    }
}

fn dialog(canvas: &mut Canvas<'_>, dialog: &Dialog) {
    let room = usize::from(canvas.area().width).saturating_sub(6).min(70);
    // Brackets say where the focus is, so that it does not hang on the reverse alone.
    let button = |choice: &Choice, focused: bool| match focused {
        true => format!("[ {} {} ]", choice.key, choice.label),
        false => format!("  {} {}  ", choice.key, choice.label),
    };
    let buttons: usize = dialog.choices.iter().map(|choice| format::width(&button(choice, true)) + 1).sum();
    let stacked = buttons > room;
    let longest = dialog.lines.iter().map(|line| format::width(line)).max().unwrap_or(0);
    let width = longest.max(if stacked { 0 } else { buttons }).max(format::width(&dialog.title) + 4).max(36).min(room);
    let lines: Vec<String> = dialog.lines.iter().flat_map(|line| wrap_or_blank(line, width)).collect();
    let button_rows = if stacked { dialog.choices.len() } else { 1 };
    let height = u16::try_from(lines.len() + button_rows + 3).unwrap_or(u16::MAX);
    let inside = canvas.popup(&dialog.title, u16::try_from(width + 4).unwrap_or(u16::MAX), height);
    // In a very low window the answers matter more than the explanation.
    let text_rows = inside.height.saturating_sub(u16::try_from(button_rows).unwrap_or(1));
    for (row, line) in (0..text_rows).zip(&lines) {
        canvas.line(inside, row, line, Style::new());
    }
    let (mut x, mut y) =
        (inside.x, inside.bottom().saturating_sub(u16::try_from(button_rows).unwrap_or(1)).max(inside.y));
    for (number, choice) in dialog.choices.iter().enumerate() {
        let focused = number == dialog.focus;
        let text = button(choice, focused);
        let style = if focused { Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD) } else { Style::new() };
        if y < inside.bottom() {
            canvas.text(x, y, &text, style, inside.right().saturating_sub(x));
            canvas.target(Rect::new(x, y, columns(&text), 1), Target::Choice(number));
        }
        if stacked {
            y += 1;
        } else {
            x += columns(&text) + 1;
        }
    }
}

fn wrap_or_blank(line: &str, width: usize) -> Vec<String> {
    if line.is_empty() { vec![String::new()] } else { wrap(line, width) }
}

fn menu(canvas: &mut Canvas<'_>, menu: &Menu) {
    let longest = menu.choices.iter().map(|choice| format::width(&choice.label)).max().unwrap_or(0);
    let width = u16::try_from(longest.max(format::width(&menu.title)) + 10).unwrap_or(u16::MAX);
    let height = u16::try_from(menu.choices.len() + 2).unwrap_or(u16::MAX);
    let inside = canvas.popup(&menu.title, width, height);
    let top = (menu.list.cursor + 1).saturating_sub(usize::from(inside.height));
    for (row, (number, choice)) in (0..inside.height).zip(menu.choices.iter().enumerate().skip(top)) {
        let y = inside.y + row;
        let selected = number == menu.list.cursor;
        let key = choice.key.to_string();
        canvas.text(inside.x, y, if selected { ">" } else { " " }, canvas.look.strong(), 1);
        canvas.text(inside.x + 2, y, &key, canvas.look.key(), 2);
        let room = Rect::new(inside.x + 5, y, inside.width.saturating_sub(5), 1);
        canvas.line(room, 0, &choice.label, Style::new());
        let whole = Rect::new(inside.x, y, inside.width, 1);
        if selected {
            canvas.buffer.set_style(whole.intersection(canvas.area()), Style::new().add_modifier(Modifier::REVERSED));
        }
        canvas.target(whole, Target::Choice(number));
    }
}

fn palette(canvas: &mut Canvas<'_>, palette: &Palette, areas: &Areas) {
    let screen = canvas.area();
    let bottom = if areas.shape == Shape::TooSmall { 0 } else { 1 };
    let place = Rect { height: screen.height.saturating_sub(bottom), ..screen };
    let inside = canvas.popup_at(place, if palette.help { "Keys and commands" } else { "Commands" });
    if inside.height < 2 {
        return;
    }
    let listed = palette.listed();
    let head = Rect { height: 1, ..inside };
    let x = canvas.text(head.x, head.y, if palette.help { "? " } else { ": " }, canvas.look.key(), 2);
    let count = format::plural(listed.len() as u64, "command", "commands");
    let from = canvas.text_right(head.x + head.width / 2, head.right(), head.y, &count, Style::new());
    let room = Rect { x, width: from.saturating_sub(x + 1), ..head };
    if palette.field.is_empty() {
        canvas.line(
            Rect { x: x + 1, width: room.width.saturating_sub(1), ..room },
            0,
            "type a name, a word or a key",
            canvas.look.rule(),
        );
    }
    canvas.field(room, palette.field.before_cursor(), palette.field.text(), Style::new(), true);
    let body = Rect { y: inside.y + 1, height: inside.height - 1, ..inside };
    let wide = body.width >= 76;
    let mut list = palette.list;
    list.settle(listed.len(), usize::from(body.height));
    for (row, (number, line)) in (0..body.height).zip(listed.iter().enumerate().skip(list.top)) {
        let y = body.y + row;
        let selected = number == list.cursor;
        let style = if line.here { Style::new() } else { canvas.look.rule() };
        canvas.text(body.x, y, if selected { ">" } else { " " }, canvas.look.strong(), 1);
        let keys = format::cut_end(&line.keys, 15, canvas.look.glyphs.cut);
        canvas.text(body.x + 2, y, &keys, if line.here { canvas.look.key() } else { style }, 15);
        let text = match (wide, line.here) {
            (true, true) => format!("{:<15} {}", line.action.name(), line.action.sentence()),
            (true, false) => format!("{:<15} {} ({})", line.action.name(), line.action.sentence(), line.context.name()),
            (false, _) => line.action.sentence().to_owned(),
        };
        canvas.line(Rect::new(body.x + 18, y, body.width.saturating_sub(18), 1), 0, &text, style);
        let whole = Rect::new(body.x, y, body.width, 1);
        if selected {
            canvas.buffer.set_style(whole.intersection(canvas.area()), Style::new().add_modifier(Modifier::REVERSED));
        }
        canvas.target(whole, Target::Choice(number));
    }
    if listed.is_empty() {
        canvas.line(body, 0, "No command matches. Esc goes back.", Style::new());
    }
}

fn log(canvas: &mut Canvas<'_>, state: &State, list: List, areas: &Areas) {
    let look = canvas.look;
    let inside = whole(canvas, areas, "Messages");
    let log = state.messages.log();
    if log.is_empty() {
        canvas.line(inside, 0, "Nothing has been said yet.", Style::new());
    }
    let line = |message: &Message| {
        let mark = match message.level {
            NoticeLevel::Success => " ",
            NoticeLevel::Warning => "-",
            NoticeLevel::Error => "!",
        };
        let times = if message.times > 1 { format!(" ×{}", message.times) } else { String::new() };
        let hint = match message.hint.is_empty() {
            true => String::new(),
            false => format!("  {} {}", look.glyphs.dot, show(&message.hint)),
        };
        format!("{} {mark} {}{times}{hint}", format::clock(message.at_ms, &state.setup.zone), show(&message.text))
    };
    let mut list = list;
    // The one under the cursor is shown whole.
    let chosen = log.len().checked_sub(list.cursor + 1).and_then(|at| log.get(at));
    let whole = chosen.map(|message| wrap(&line(message), usize::from(inside.width))).unwrap_or_default();
    let more = whole.len().saturating_sub(1);
    list.settle(log.len(), usize::from(inside.height).saturating_sub(more).max(1));
    let mut row = 0;
    for (number, message) in log.iter().rev().enumerate().skip(list.top) {
        let style = match message.level {
            NoticeLevel::Success => Style::new(),
            NoticeLevel::Warning => look.warning(),
            NoticeLevel::Error => look.bad(),
        };
        let lines = if number == list.cursor { whole.clone() } else { vec![line(message)] };
        for text in lines {
            if row >= inside.height {
                return;
            }
            canvas.line(inside, row, &text, style);
            if number == list.cursor {
                let place = Rect { y: inside.y + row, height: 1, ..inside };
                let chosen = Style::new().add_modifier(Modifier::REVERSED);
                canvas.buffer.set_style(place.intersection(canvas.area()), chosen);
            }
            row += 1;
        }
    }
}

fn page(canvas: &mut Canvas<'_>, state: &State, top: usize, areas: &Areas) {
    let width = usize::from(canvas.area().width.saturating_sub(4));
    let (title, lines) = match state.tab {
        Tab::Files => super::files::page(state, width),
        Tab::Transfers => super::transfers::page(state, width),
        Tab::Inbox | Tab::Chat => super::inbox::page(state, width),
        Tab::Members => (String::new(), Vec::new()),
    };
    let inside = whole(canvas, areas, &title);
    let top = top.min(lines.len().saturating_sub(usize::from(inside.height)));
    for (row, line) in (0..inside.height).zip(&lines[top..]) {
        canvas.line(inside, row, line, Style::new());
    }
    if lines.len() > usize::from(inside.height) {
        let shown = (top + usize::from(inside.height)).min(lines.len());
        let text = format!(" {shown} of {} ", lines.len());
        canvas.text_right(inside.x, inside.right(), inside.bottom(), &text, Style::new());
    }
}

/// A frame over all but the message and hint rows.
fn whole(canvas: &mut Canvas<'_>, areas: &Areas, title: &str) -> Rect {
    let screen = canvas.area();
    let below = areas.hints.height + areas.message.height;
    let place = Rect { height: screen.height.saturating_sub(below), ..screen };
    canvas.popup_at(place, title)
}

fn share(canvas: &mut Canvas<'_>, sharing: &Sharing) {
    let screen = canvas.area();
    let width = screen.width.saturating_sub(4).min(76);
    let rows = u16::try_from(sharing.suggestions.len().min(8)).unwrap_or(8);
    let inside = canvas.popup("Share a file or folder", width, rows + 5);
    let look = canvas.look;
    let field = Rect { height: 1, ..inside };
    canvas.text(field.x, field.y, "path ", Style::new(), 5);
    let room = Rect { x: field.x + 5, width: field.width.saturating_sub(5), ..field };
    canvas.field(room, sharing.field.before_cursor(), sharing.field.text(), Style::new(), true);
    canvas.buffer.set_style(room.intersection(canvas.area()), Style::new().add_modifier(Modifier::UNDERLINED));
    let (text, style) = match (&sharing.trouble, sharing.call) {
        (Some(trouble), _) => (format!("! {}", show(trouble)), look.bad()),
        (None, Some(_)) if sharing.files > 0 => {
            (format!("counting… {}, {}", format::files(sharing.files), format::bytes(sharing.bytes)), Style::new())
        }
        (None, Some(_)) => ("counting…".to_owned(), Style::new()),
        (None, None) => ("Enter counts what would be shared and asks first; Tab completes".to_owned(), Style::new()),
    };
    canvas.line(inside, 1, &text, style);
    for (row, path) in (3..).zip(sharing.suggestions.iter().take(usize::from(rows))) {
        let path = format::cut_middle(&show(path), usize::from(inside.width), look.glyphs.cut);
        canvas.line(inside, row, &path, Style::new());
    }
}
