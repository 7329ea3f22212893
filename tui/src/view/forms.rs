//! Small forms over the panes: a line that is asked for, and accepting an offer.

use ratatui::{
    layout::Rect,
    style::{Modifier, Style},
};
use shared::show::{has_hidden, show};

use super::canvas::{Canvas, columns, wrap};
use crate::app::{
    State, format,
    inbox::{self, what, who},
    prompt::{Prompt, Survey, Taking},
};

/// Rows for what a line may go on with.
const SUGGESTIONS_SHOWN: usize = 8;

pub(super) fn prompt(canvas: &mut Canvas<'_>, prompt: &Prompt) {
    let screen = canvas.area();
    let look = canvas.look;
    let width = screen.width.saturating_sub(4).min(76);
    let lines: Vec<String> =
        prompt.lines.iter().flat_map(|line| wrap(line, usize::from(width.saturating_sub(4)).max(1))).collect();
    let suggested = prompt.suggestions.len().min(SUGGESTIONS_SHOWN);
    let above = lines.len();
    let rows = above + suggested + 3 + usize::from(suggested > 0);
    let inside = canvas.popup(&prompt.title, width, u16::try_from(rows + 1).unwrap_or(u16::MAX));
    // In a very low window the field matters more than the words above it.
    let above = above.min(usize::from(inside.height).saturating_sub(2));
    for (row, line) in (0..).zip(&lines[lines.len() - above..]) {
        canvas.line(inside, row, line, Style::new());
    }
    let y = inside.y + u16::try_from(above).unwrap_or(0);
    let label = columns(prompt.label);
    canvas.text(inside.x, y, prompt.label, Style::new(), label);
    let room = Rect::new(inside.x + label, y, inside.width.saturating_sub(label), 1);
    field(canvas, room, prompt.field.before_cursor(), prompt.field.text());
    let below = Rect { y: y + 1, height: inside.bottom().saturating_sub(y + 1), ..inside };
    match &prompt.trouble {
        Some(trouble) => canvas.line(below, 0, &format!("! {}", show(trouble)), look.bad()),
        None => canvas.line(below, 0, prompt.enter(), Style::new()),
    }
    for (row, text) in (2..).zip(prompt.suggestions.iter().take(suggested)) {
        let text = format::cut_middle(&show(text), usize::from(inside.width), look.glyphs.cut);
        canvas.line(below, row, &text, Style::new());
    }
}

fn field(canvas: &mut Canvas<'_>, room: Rect, before: &str, whole: &str) {
    canvas.field(room, before, whole, Style::new(), true);
    canvas.buffer.set_style(room.intersection(canvas.area()), Style::new().add_modifier(Modifier::UNDERLINED));
}

pub(super) fn take(canvas: &mut Canvas<'_>, state: &State, taking: &Taking) {
    let look = canvas.look;
    let screen = canvas.area();
    let files = state.offered(&taking.item.id);
    let shown = files.map_or(1, |files| files.len().clamp(1, state.taking_height()));
    let width = screen.width.saturating_sub(4).min(76);
    let room = usize::from(width.saturating_sub(4)).max(1);
    let mut lines: Vec<(String, Style)> = Vec::new();
    for warning in warnings(state, taking) {
        lines.extend(wrap(&format!("! {warning}"), room).into_iter().map(|line| (line, look.warning())));
    }
    lines.extend(wrap(&sum(state, taking), room).into_iter().map(|line| (line, Style::new())));
    if !taking.item.text.is_empty() {
        let note = format!("{} wrote: \"{}\"", who(&taking.item), show(&taking.item.text));
        lines.extend(wrap(&note, room).into_iter().take(2).map(|line| (line, Style::new())));
    }
    let suggested = if taking.editing { taking.suggestions.len().min(shown) } else { 0 };
    let rows = lines.len() + 2 + if taking.editing { suggested.max(1) } else { shown } + 2;
    let title = format!("Accept {} from {}?", what(&taking.item), who(&taking.item));
    let inside = canvas.popup(&title, width, u16::try_from(rows).unwrap_or(u16::MAX));
    // In a very low window the files and the folder matter more than the words above them, the warnings excepted.
    let above = lines.len().min(usize::from(inside.height).saturating_sub(3));
    for (row, (line, style)) in (0..).zip(&lines[..above]) {
        canvas.line(inside, row, line, *style);
    }
    let y = inside.y + u16::try_from(above).unwrap_or(0);
    canvas.text(inside.x, y, "to ", look.strong(), 3);
    let place = Rect::new(inside.x + 3, y, inside.width.saturating_sub(3), 1);
    if taking.editing {
        field(canvas, place, taking.folder.before_cursor(), taking.folder.text());
    } else {
        let folder = match taking.folder.is_empty() {
            true => "your download folder".to_owned(),
            false => show(taking.folder.text()),
        };
        canvas.line(place, 0, &format!("{folder}   (t: another folder)"), Style::new());
    }
    let rest = Rect { y: y + 1, height: inside.bottom().saturating_sub(y + 1), ..inside };
    if let Some(trouble) = &taking.trouble {
        canvas.line(
            Rect { y: rest.bottom().saturating_sub(1), height: 1, ..rest },
            0,
            &format!("! {trouble}"),
            look.bad(),
        );
    }
    if taking.editing {
        for (row, path) in (0..).zip(taking.suggestions.iter().take(suggested)) {
            let path = format::cut_middle(&show(path), usize::from(rest.width), look.glyphs.cut);
            canvas.line(rest, row, &path, Style::new());
        }
        return;
    }
    self::files(canvas, state, taking, rest);
}

fn files(canvas: &mut Canvas<'_>, state: &State, taking: &Taking, area: Rect) {
    let Some(files) = state.offered(&taking.item.id) else {
        let failure = state.inbox.looked.as_ref().and_then(|looked| looked.failure.as_ref());
        let text = failure.map_or_else(|| "asking what is in it…".to_owned(), |failure| show(&failure.message));
        canvas.line(area, 0, &text, Style::new());
        return;
    };
    let height = usize::from(area.height).saturating_sub(usize::from(taking.trouble.is_some()));
    let height = height.min(state.taking_height());
    let mut list = taking.list;
    list.settle(files.len(), height.max(1));
    for (row, (at, file)) in (0..).zip(files.iter().enumerate().skip(list.top).take(height)) {
        let chosen = !taking.left_out.contains(&at);
        let cursor = at == list.cursor;
        let line = super::inbox::file_line(&file.path, file.size, usize::from(area.width).saturating_sub(6));
        let text = format!("{} [{}] {line}", if cursor { ">" } else { " " }, if chosen { "x" } else { " " });
        canvas.line(area, row, &text, Style::new());
        if cursor {
            let line = Rect { y: area.y + row, height: 1, ..area };
            canvas.buffer.set_style(line.intersection(canvas.area()), Style::new().add_modifier(Modifier::REVERSED));
        }
    }
}

/// What is chosen, and what room there is for it.
fn sum(state: &State, taking: &Taking) -> String {
    let item = &taking.item;
    let (files, bytes) = chosen(state, taking);
    let count = match files == item.files {
        true => format::files(files),
        false => format!("{} of {}", format::count(files), format::files(item.files)),
    };
    let free = taking.survey.as_ref().and_then(|survey| survey.free);
    let free = free.map(|free| format!("  ({} free)", format::bytes(free))).unwrap_or_default();
    format!("{}  {count}, {}{free}", show(&item.name), format::bytes(bytes))
}

fn chosen(state: &State, taking: &Taking) -> (u64, u64) {
    match state.offered(&taking.item.id) {
        Some(files) => {
            let kept = files.iter().enumerate().filter(|(at, _)| !taking.left_out.contains(at));
            kept.fold((0, 0_u64), |(count, bytes), (_, file)| (count + 1, bytes.saturating_add(file.size)))
        }
        None => (taking.item.files, taking.item.size),
    }
}

/// What to think of before saying yes.
fn warnings(state: &State, taking: &Taking) -> Vec<String> {
    let mut warnings = Vec::new();
    let item = &taking.item;
    let hidden = state.offered(&item.id).is_some_and(|files| files.iter().any(|file| has_hidden(&file.path)));
    if hidden || inbox::is_hazard(item) {
        warnings.push("a name here holds characters that hide or disguise something".to_owned());
    }
    if let Some(Survey { free, taken, .. }) = &taking.survey {
        let (_, bytes) = chosen(state, taking);
        if free.is_some_and(|free| free < bytes) {
            warnings.push(format!("there is room for {} only", format::bytes(free.unwrap_or(0))));
        }
        if *taken {
            let name = show(&item.name);
            warnings.push(format!("{name} is there already: nothing is replaced, what clashes gets another name"));
        }
    }
    warnings
}
