//! The inbox pane: requests and offers, both ways.

use ratatui::{layout::Rect, style::Style};
use shared::show::{has_hidden, show, show_text};

use super::{
    canvas::{Canvas, Look, wrap},
    table::{self, Cell, Column, Row, left, right},
};
use crate::{
    app::{
        State, format,
        inbox::{self, View, kind, sentence, what, who},
        index::SortBy,
        layout::{Areas, Shape},
    },
    engine::api::{Connection, ItemKind, ItemRow, ItemState, MemberStatus},
};

pub(super) fn draw(canvas: &mut Canvas<'_>, state: &State, areas: &Areas) {
    let look = canvas.look;
    let shown = shown_columns(areas, state.inbox.view);
    table::head(canvas, areas.head, &shown);
    let inbox = &state.inbox;
    if inbox.order.is_empty() {
        let lines = empty(state);
        super::empty(canvas, areas.list, &lines);
    }
    table::body(canvas, areas.list, &shown, inbox.pane.list, inbox.order.len(), |at| {
        inbox.get(at).map_or_else(Row::default, |item| row(look, state, item, &shown))
    });
    if areas.detail.height > 0 {
        detail(canvas, state, areas);
    }
}

fn empty(state: &State) -> Vec<String> {
    let inbox = &state.inbox;
    let lines: &[&str] = match inbox.view {
        _ if inbox.pane.finder.filter.active => &["Nothing matches the filter.", "Esc clears it."],
        _ if state.me().is_none() => &["Nobody is signed in on this device.", ": sign-in opens the form."],
        _ if !inbox.loaded => &["Asking what waits…"],
        View::ForMe => {
            &["Nothing waits for you.", "What others offer you or ask of you comes here, also while you are away."]
        }
        View::Sent => {
            &["Nothing of yours waits.", "o on a file under Mine offers it; `:` request --of NAME asks for something."]
        }
        View::History => &["Nothing is over yet. What is over is remembered for 90 days."],
    };
    lines.iter().map(|line| (*line).to_owned()).collect()
}

fn shown_columns(areas: &Areas, view: View) -> Vec<Column> {
    let plain = |title, width| Column { title, width, right: false, sort: None };
    let who = |width| match view {
        View::ForMe => left("FROM", width, SortBy::Owner),
        View::Sent => left("TO", width, SortBy::Owner),
        View::History => left("WITH", width, SortBy::Owner),
    };
    let what = left("WHAT", 0, SortBy::Name);
    let size = right("SIZE", 9, SortBy::Size);
    let age = right("AGE", 4, SortBy::Added);
    let ends = Column { title: "ENDS IN", width: 7, right: true, sort: None };
    let state = |width| left("STATE", width, SortBy::Status);
    match areas.shape {
        Shape::TooSmall | Shape::Pocket => vec![what, state(9)],
        Shape::Narrow => vec![plain("KIND", 7), who(10), what, state(9)],
        Shape::Strip => vec![plain("KIND", 7), who(12), what, size, age, state(9)],
        Shape::Split => vec![plain("KIND", 7), who(18), what, size, age, ends, state(18)],
    }
}

fn row(look: Look, state: &State, item: &ItemRow, shown: &[Column]) -> Row {
    let hazard = inbox::is_hazard(item);
    let (mark, mark_style) = if hazard { ("!", look.warning()) } else { (" ", Style::new()) };
    let (word, style) = state_word(look, state, item);
    let who = match (item.incoming, state.inbox.view, presence(look, state, item)) {
        (true, View::History, _) => format!("from {}", who(item)),
        (false, View::History, _) => format!("to {}", who(item)),
        (_, _, Some(dot)) => format!("{} {dot}", who(item)),
        (_, _, None) => who(item),
    };
    let what = match (shown.len() < 3, state.inbox.view) {
        (true, _) => sentence(item),
        (false, _) if item.kind == ItemKind::Request && !item.name.is_empty() && item.incoming => {
            format!("wants your {}", what(item))
        }
        (false, _) => what(item),
    };
    let cells = shown.iter().map(|column| match column.title {
        "KIND" => Cell::new(kind(item)),
        "FROM" | "TO" | "WITH" => Cell::new(who.clone()),
        "WHAT" => Cell::name(what.clone(), Vec::new()),
        "SIZE" if item.size == 0 && item.files == 0 => Cell::new("-"),
        "SIZE" => Cell::new(format::bytes(item.size)),
        "AGE" => Cell::new(ago(state.now - item.created_ms)),
        "ENDS IN" if !item.state.is_open() => Cell::new("-"),
        "ENDS IN" => Cell::new(ago(item.expires_ms - state.now)),
        _ => Cell::styled(word.clone(), style),
    });
    Row { mark, mark_style, cells: cells.collect() }
}

/// Whether the other one is there, as a symbol; `None`: everyone, or not known.
fn presence(look: Look, state: &State, item: &ItemRow) -> Option<&'static str> {
    let other = inbox::other(item)?;
    let member = state.members.all.iter().find(|member| member.name == other)?;
    Some(match member.status {
        MemberStatus::Online => look.glyphs.online,
        MemberStatus::Away => look.glyphs.away,
        MemberStatus::Offline => look.glyphs.offline,
    })
}

/// A length of time in its largest unit.
fn ago(ms: i64) -> String {
    let seconds = u64::try_from(ms.max(0) / 1000).unwrap_or(0);
    match seconds {
        0..60 => "now".to_owned(),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn state_word(look: Look, state: &State, item: &ItemRow) -> (String, Style) {
    let transfer = item.transfer.as_ref().and_then(|id| state.transfers.all.get(id));
    match (item.state, transfer) {
        (ItemState::Waiting, _) if inbox::waits(item) => ("new".to_owned(), look.active()),
        (ItemState::Accepted, Some(transfer)) => (format!("{}% here", transfer.percent()), look.active()),
        (ItemState::Fulfilled, _) => (item.state.word().to_owned(), look.good()),
        (ItemState::Declined | ItemState::Expired, _) => (item.state.word().to_owned(), look.warning()),
        (ItemState::Waiting | ItemState::Accepted | ItemState::Cancelled, _) => {
            (item.state.word().to_owned(), Style::new())
        }
    }
}

fn detail(canvas: &mut Canvas<'_>, state: &State, areas: &Areas) {
    let top = Rect { height: 1, ..areas.detail };
    let Some(item) = state.inbox.selected() else {
        canvas.rule(top, "");
        return;
    };
    canvas.rule(top, &what(item));
    let inside = super::inside(areas.detail);
    if areas.shape != Shape::Split {
        for (row, line) in (0..).zip(strip(state, item)) {
            canvas.line(inside, row, &line, Style::new());
        }
        return;
    }
    let middle = areas.detail.x + areas.detail.width / 2;
    super::divide(canvas, areas.detail, areas.rule, middle, if item.kind == ItemKind::Offer { "Files" } else { "" });
    let left = Rect { width: middle - inside.x - 1, ..inside };
    let right = Rect { x: middle + 2, width: areas.detail.right().saturating_sub(middle + 3), ..inside };
    for (row, line) in (0..).zip(facts(state, item, usize::from(left.width))) {
        canvas.line(left, row, &line, Style::new());
    }
    for (row, line) in (0..).zip(file_lines(state, item, usize::from(right.width))) {
        canvas.line(right, row, &line, Style::new());
    }
}

fn strip(state: &State, item: &ItemRow) -> Vec<String> {
    let dot = super::look(state).glyphs.dot;
    let mut first = sentence(item);
    if item.size > 0 {
        first = format!("{first}, {}", format::bytes(item.size));
    }
    if item.state.is_open() {
        first = format!("{first} {dot} ends in {}", ago(item.expires_ms - state.now));
    }
    let mut second = Vec::new();
    if !item.word.is_empty() {
        second.push(format!("the answer: \"{}\"", show(&item.word)));
    }
    if !item.text.is_empty() && !item.name.is_empty() {
        second.push(format!("the note: \"{}\"", show(&item.text)));
    }
    if !item.reason.is_empty() {
        second.push(show(&item.reason));
    }
    let third = match (&item.state, item.kind) {
        (ItemState::Waiting, ItemKind::Offer) if item.incoming => {
            "a shows what is in it and where it goes, before anything is fetched".to_owned()
        }
        (ItemState::Waiting, ItemKind::Request) if inbox::waits(item) && !item.name.is_empty() => {
            "a lets them fetch it, once or always".to_owned()
        }
        (ItemState::Waiting, ItemKind::Request) if item.incoming && item.name.is_empty() => {
            "a answers with a file of this machine".to_owned()
        }
        (ItemState::Waiting, ItemKind::Channel) if item.incoming => {
            "a opens it: straight between two devices, and kept nowhere".to_owned()
        }
        _ => format!("since {}", format::moment_full(item.changed_ms, &state.setup.zone)),
    };
    vec![first, second.join(&format!(" {dot} ")), third]
}

/// Everything known of an item, one fact a line.
fn facts(state: &State, item: &ItemRow, width: usize) -> Vec<String> {
    let zone = &state.setup.zone;
    let mut lines = Vec::new();
    if inbox::is_hazard(item) {
        lines.push("WARNING   a name here holds characters that hide or disguise something".to_owned());
    }
    lines.extend(fact("what", &sentence(item), width));
    if item.files > 0 {
        lines.push(format!("size      {}, {}", format::files(item.files), format::bytes(item.size)));
    }
    let state_word = item.state.word();
    let state_line =
        if item.reason.is_empty() { state_word.to_owned() } else { format!("{state_word}: {}", show(&item.reason)) };
    lines.extend(fact("state", &state_line, width));
    if !item.text.is_empty() {
        lines.extend(fact("note", &format!("\"{}\"", show_text(&item.text)), width));
    }
    if !item.word.is_empty() {
        lines.extend(fact("answer", &format!("\"{}\"", show_text(&item.word)), width));
    }
    lines.push(format!("begun     {}", format::moment_full(item.created_ms, zone)));
    let end = if item.state.is_open() {
        format!("ends      {}", format::moment_full(item.expires_ms, zone))
    } else {
        format!("ended     {}", format::moment_full(item.changed_ms, zone))
    };
    lines.push(end);
    if let Some(hash) = item.hash {
        let hash = format!("b3:{hash}");
        lines.push(format!("hash      {}", format::cut_middle(&hash, width.saturating_sub(10).max(12), "…")));
    }
    lines
}

fn fact(name: &str, text: &str, width: usize) -> Vec<String> {
    let lines = wrap(text, width.saturating_sub(10).max(10));
    let name = |at: usize| if at == 0 { format!("{name:<10}") } else { " ".repeat(10) };
    lines.iter().enumerate().map(|(at, line)| format!("{}{line}", name(at))).collect()
}

/// The files of an offer, one a line.
fn file_lines(state: &State, item: &ItemRow, width: usize) -> Vec<String> {
    if item.kind != ItemKind::Offer || !item.state.is_open() {
        return Vec::new();
    }
    let Some(looked) = state.inbox.looked.as_ref().filter(|looked| looked.id == item.id) else { return Vec::new() };
    if let Some(failure) = &looked.failure {
        let offline = !matches!(state.connection, Connection::Online { .. });
        let why =
            if offline { "what is in it is asked of the tracker, which is out of reach" } else { &failure.message };
        return wrap(&show(why), width.max(10));
    }
    if !looked.is_whole() {
        return vec!["asking what is in it…".to_owned()];
    }
    looked.files.iter().map(|file| file_line(&file.path, file.size, width)).collect()
}

/// A path and a size that fill a line.
pub(super) fn file_line(path: &str, size: u64, width: usize) -> String {
    let size = format::bytes(size);
    let mark = if has_hidden(path) { "! " } else { "" };
    let room = width.saturating_sub(format::width(&size) + 2 + mark.len()).max(8);
    let name = format::cut_middle(&show(path), room, "…");
    let pad = " ".repeat(room.saturating_sub(format::width(&name)) + 2);
    format!("{mark}{name}{pad}{size}")
}

/// The page of details of what is under the cursor.
pub(super) fn page(state: &State, width: usize) -> (String, Vec<String>) {
    let Some(item) = state.item_here() else {
        return (String::new(), vec!["It is no longer here.".to_owned()]);
    };
    let mut lines = facts(state, item, width);
    lines.push(format!("id        {}", show(&item.id)));
    let files = file_lines(state, item, width);
    if !files.is_empty() {
        lines.extend([String::new(), "files".to_owned()]);
        lines.extend(files);
    }
    (what(item), lines)
}
