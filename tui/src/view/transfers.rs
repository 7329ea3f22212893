//! The transfers pane.

use std::collections::VecDeque;

use ratatui::{layout::Rect, style::Style};
use shared::show::show;

use super::{
    canvas::{Canvas, Look, wrap},
    table::{self, Cell, Column, Row, left, right},
};
use crate::{
    app::{
        State, format,
        index::SortBy,
        layout::{Areas, Shape},
        transfers::{Transfer, View},
    },
    engine::api::{Direction, IN_FLIGHT, NOBODY_HAS, Priority, TransferRow, TransferSource, TransferState, ordinal},
};

pub(super) fn draw(canvas: &mut Canvas<'_>, state: &State, areas: &Areas) {
    let look = canvas.look;
    let shown = shown_columns(state, areas);
    table::head(canvas, areas.head, &shown);
    let transfers = &state.transfers;
    if transfers.order.is_empty() {
        empty(canvas, state, areas.list);
    }
    let list = transfers.pane.list;
    table::body(canvas, areas.list, &shown, list, transfers.order.len(), |at| {
        transfers.get(at).map_or_else(Row::default, |transfer| row(look, state, transfer, &shown))
    });
    if areas.detail.height > 0 {
        detail(canvas, state, areas);
    }
}

fn shown_columns(state: &State, areas: &Areas) -> Vec<Column> {
    let name = left("NAME", 0, SortBy::Name);
    let size = right("SIZE", 9, SortBy::Size);
    let done = |width| left(if width < 8 { "DONE" } else { "PROGRESS" }, width, SortBy::Progress);
    let speed = right("SPEED", 9, SortBy::Speed);
    let status = |width| Column { title: "STATE", width, right: false, sort: Some(SortBy::Left) };
    let who = left(if state.transfers.view == View::Uploads { "TO" } else { "FROM" }, 12, SortBy::Owner);
    let finished = matches!(state.transfers.view, View::Done | View::Failed);
    match (areas.shape, finished) {
        (Shape::TooSmall | Shape::Pocket, _) => vec![name, right("STATE", 13, SortBy::Left)],
        (Shape::Narrow, _) => vec![name, done(4), status(13)],
        (Shape::Strip, true) => vec![name, size, who, status(13)],
        (Shape::Strip, false) => vec![name, size, done(11), speed, status(11)],
        (Shape::Split, true) => vec![name, size, who, status(40)],
        (Shape::Split, false) => {
            vec![name, size, done(15), speed, right("LEFT", 6, SortBy::Left), who, status(20)]
        }
    }
}

fn row(look: Look, state: &State, transfer: &Transfer, shown: &[Column]) -> Row {
    let row = &transfer.row;
    let marked = state.transfers.pane.marks.contains(&row.id);
    let hazard = !row.folder && show(&row.name) != row.name;
    let (mark, mark_style) = match (marked, hazard, row.state) {
        (true, ..) => ("*", look.strong()),
        (_, true, _) => ("!", look.warning()),
        (.., TransferState::Done) => (look.glyphs.have, look.good()),
        (.., TransferState::Failed) => ("x", look.bad()),
        (..) => (" ", Style::new()),
    };
    let cells = shown.iter().map(|column| match (column.title, column.width) {
        ("NAME", _) => Cell::name(name_of(row), Vec::new()).with_tail(tail_of(row)),
        ("SIZE", _) => Cell::new(format::bytes(row.size)),
        ("DONE", _) => Cell::new(format!("{:>3}%", transfer.percent())),
        ("PROGRESS", width) => {
            let bar = bar(look, transfer.percent(), usize::from(width) - 5);
            Cell::styled(format!("{bar} {:>3}%", transfer.percent()), bar_style(look, row.state))
        }
        ("SPEED", _) => Cell::new(format::speed(row.speed)),
        ("LEFT", _) => Cell::new(row.eta_s.map_or_else(|| "-".to_owned(), format::seconds)),
        ("FROM" | "TO", _) => Cell::new(show(&row.owner)),
        (_, width) => {
            let style = state_style(look, row);
            let brief = brief(transfer);
            match areas_kind(column, width) {
                StateColumn::Pocket => {
                    let percent = transfer.percent();
                    // A place in line says more than how far it has come.
                    let moves = row.state == TransferState::Running && in_line(row).is_none();
                    let text = if moves { format!("{percent}% {brief}") } else { brief };
                    Cell::styled(text, style)
                }
                StateColumn::Brief => Cell::styled(brief, style),
                StateColumn::Full => {
                    let reason = show(&row.reason);
                    Cell::styled(if reason.is_empty() { word(row).to_owned() } else { reason }, style)
                }
            }
        }
    });
    Row { mark, mark_style, cells: cells.collect() }
}

enum StateColumn {
    Pocket,
    Brief,
    Full,
}

const fn areas_kind(column: &Column, width: u16) -> StateColumn {
    match (column.right, width) {
        (true, _) => StateColumn::Pocket,
        (false, 0..14) => StateColumn::Brief,
        (false, _) => StateColumn::Full,
    }
}

fn display_name(row: &TransferRow) -> String {
    name_of(row) + &tail_of(row)
}

fn name_of(row: &TransferRow) -> String {
    if row.folder { format!("{}/", show(&row.name)) } else { show(&row.name) }
}

/// How far a folder is.
fn tail_of(row: &TransferRow) -> String {
    match (row.folder, row.state) {
        (false, _) => String::new(),
        (true, TransferState::Done) => format!(" ({})", format::files(row.files)),
        (true, _) => format!(" ({}/{})", format::count(row.files_done), format::count(row.files)),
    }
}

/// Its state in a word.
const fn word(row: &TransferRow) -> &'static str {
    match (row.state, row.direction) {
        (TransferState::Queued, _) => "queued",
        (TransferState::Waiting, _) => "waiting",
        (TransferState::Running, _) if row.speed == 0 => "stalled",
        (TransferState::Running, Direction::Down) => "downloading",
        (TransferState::Running, Direction::Up) => "uploading",
        (TransferState::Finishing, _) => "finishing",
        (TransferState::Paused, _) => "paused",
        (TransferState::Done, _) => "done",
        (TransferState::Failed, _) => "failed",
        (TransferState::Cancelled, _) => "cancelled",
    }
}

/// The time left, or its state in a word.
fn brief(transfer: &Transfer) -> String {
    if let Some(place) = in_line(&transfer.row) {
        return format!("{} in line", ordinal(place));
    }
    match (transfer.row.state, transfer.row.eta_s) {
        (TransferState::Running, Some(left)) if transfer.row.speed > 0 => format::seconds(left),
        _ => word(&transfer.row).to_owned(),
    }
}

/// The best place in line at a source, when nothing comes meanwhile.
fn in_line(row: &TransferRow) -> Option<u32> {
    let places = row.sources.iter().filter_map(|source| source.queue).map(|queue| queue.position);
    places.min().filter(|_| row.speed == 0)
}

const fn state_style(look: Look, row: &TransferRow) -> Style {
    match row.state {
        TransferState::Failed => look.bad(),
        TransferState::Waiting | TransferState::Paused | TransferState::Cancelled => look.warning(),
        TransferState::Done => look.good(),
        TransferState::Running | TransferState::Finishing | TransferState::Queued => Style::new(),
    }
}

const fn bar_style(look: Look, state: TransferState) -> Style {
    match state {
        TransferState::Running | TransferState::Finishing => look.active(),
        TransferState::Done => look.good(),
        TransferState::Failed => look.bad(),
        TransferState::Queued | TransferState::Waiting | TransferState::Paused | TransferState::Cancelled => {
            Style::new()
        }
    }
}

/// How much of something is there.
pub(super) fn bar(look: Look, percent: u8, width: usize) -> String {
    let full = usize::from(percent) * width / 100;
    look.glyphs.full.repeat(full) + &look.glyphs.empty.repeat(width - full)
}

/// Speeds as a row of bars, the newest at the right.
fn sparkline(look: Look, speeds: &VecDeque<u64>, peak: u64, width: usize) -> String {
    let shown = speeds.len().min(width);
    let level = |speed: &u64| {
        let level = u128::from(*speed) * 7 / u128::from(peak.max(1));
        look.glyphs.levels[usize::try_from(level).unwrap_or(7).min(7)]
    };
    speeds.iter().skip(speeds.len() - shown).map(level).collect()
}

/// The map of pieces drawn in `cells` cells: the worst state of the parts in a cell wins, except that one in flight is
/// always seen, and one that nobody has too.
fn pieces(look: Look, map: &[u8], cells: usize) -> Vec<&'static str> {
    let glyphs = &look.glyphs.pieces;
    let cells = cells.min(map.len());
    let part = |cell: usize| {
        let (from, to) = (cell * map.len() / cells, (cell + 1) * map.len() / cells);
        let part = &map[from..to.max(from + 1).min(map.len())];
        match () {
            () if part.contains(&NOBODY_HAS) => glyphs[4],
            () if part.contains(&IN_FLIGHT) => glyphs[2],
            () if part.iter().all(|state| *state == 8) => glyphs[0],
            () if part.iter().all(|state| *state == 0) => glyphs[3],
            () => glyphs[1],
        }
    };
    (0..cells).map(part).collect()
}

fn empty(canvas: &mut Canvas<'_>, state: &State, area: Rect) {
    let lines: &[&str] = match state.transfers.view {
        _ if state.transfers.pane.finder.filter.active => &["No transfer here matches the filter.", "Esc clears it."],
        View::Active => &["Nothing is under way.", "d on a file in 1 Files starts a download."],
        View::Queued => &["Nothing waits for its turn."],
        View::Uploads => {
            &["Nobody fetches anything from this device now.", "What you share is listed in 1 Files, under Mine."]
        }
        View::Done => &["Nothing has been fetched yet.", "d on a file in 1 Files starts a download."],
        View::Failed => &["Nothing has failed."],
    };
    super::empty(canvas, area, &lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
}

fn detail(canvas: &mut Canvas<'_>, state: &State, areas: &Areas) {
    let top = Rect { height: 1, ..areas.detail };
    let Some(transfer) = state.transfers.selected() else {
        canvas.rule(top, "");
        return;
    };
    canvas.rule(top, &display_name(&transfer.row));
    let inside = super::inside(areas.detail);
    let look = canvas.look;
    if areas.shape != Shape::Split {
        canvas.line(inside, 0, &numbers(look, transfer), Style::new());
        canvas.line(inside, 1, &second_line(look, transfer, usize::from(inside.width)), Style::new());
        canvas.line(inside, 2, &sources_line(look, transfer), Style::new());
        return;
    }
    let middle = areas.detail.x + areas.detail.width / 2;
    let active = transfer.row.sources.iter().filter(|source| source.speed > 0).count();
    let title = match transfer.row.direction {
        Direction::Down => format!("Sources: {active} active of {} known", transfer.row.sources.len()),
        Direction::Up => "Receiver".to_owned(),
    };
    super::divide(canvas, areas.detail, areas.rule, middle, &title);
    let left = Rect { width: middle - inside.x - 1, ..inside };
    let right = Rect { x: middle + 2, width: areas.detail.right().saturating_sub(middle + 3), ..inside };
    own_half(canvas, state, transfer, left);
    for (row, line) in (0..).zip(source_lines(look, transfer, usize::from(right.width))) {
        canvas.line(right, row, &line, Style::new());
    }
}

fn own_half(canvas: &mut Canvas<'_>, state: &State, transfer: &Transfer, area: Rect) {
    let look = canvas.look;
    let width = usize::from(area.width);
    let mut row = 0;
    canvas.line(area, row, &numbers(look, transfer), Style::new());
    row += 1;
    if !transfer.row.reason.is_empty() {
        row += canvas.wrapped(area, row, &show(&transfer.row.reason), state_style(look, &transfer.row), 2);
    }
    row += 1;
    if !transfer.speeds.is_empty() {
        let peak = format!("peak {}", format::speed(transfer.peak));
        let room = width.saturating_sub(format::width(&peak) + 13);
        let line = sparkline(look, &transfer.speeds, transfer.peak, room);
        let end = area.right();
        canvas.spans(
            area.x,
            end,
            area.y + row,
            [("last 60 s  ", Style::new()), (&line, look.active()), ("  ", Style::new()), (&peak, Style::new())],
        );
        row += 2;
    }
    let log_rows = u16::try_from(transfer.row.log.len().min(3)).unwrap_or(0);
    let after = 3 + u16::from(log_rows > 0) + log_rows;
    if !transfer.row.map.is_empty() {
        let rows = area.height.saturating_sub(row + after + 2).min(6);
        let cells = pieces(look, &transfer.row.map, width * usize::from(rows));
        for line in cells.chunks(width.max(1)) {
            canvas.line(area, row, &line.concat(), look.active());
            row += 1;
        }
        if rows > 0 {
            let [have, partly, flight, missing, nobody] = look.glyphs.pieces;
            let legend =
                format!("{have} have  {partly} partly  {flight} in flight  {missing} missing  {nobody} no source");
            canvas.line(area, row, &legend, Style::new());
            row += 2;
        }
    }
    for line in place_lines(state, transfer, width) {
        canvas.line(area, row, &line, Style::new());
        row += 1;
    }
    row += 1;
    for line in transfer.row.log.iter().rev().take(usize::from(log_rows)) {
        let text = format!("log  {} {}", format::clock(line.at_ms, &state.setup.zone), show(&line.text));
        canvas.line(area, row, &text, Style::new());
        row += 1;
    }
}

fn place_lines(state: &State, transfer: &Transfer, width: usize) -> Vec<String> {
    let row = &transfer.row;
    let room = width.saturating_sub(10).max(12);
    let path = format::cut_middle(&state.tilde(&row.path), room, "…");
    let verb = if row.state == TransferState::Done { "lies in " } else { "saving  " };
    let mut lines = Vec::new();
    if row.direction == Direction::Down {
        lines.push(format!("{verb}  {path}"));
        lines.push(format!(
            "from      {}, asked {}",
            show(&row.owner),
            format::moment(row.created_ms, state.now, &state.setup.zone)
        ));
    } else {
        lines.push(format!("to        {}", show(&row.owner)));
    }
    if row.priority != Priority::Normal && row.state != TransferState::Done {
        lines.push(format!("priority  {}", row.priority.word()));
    }
    if let Some(hash) = row.hash {
        lines.push(format!("hash      {}", format::cut_middle(&format!("b3:{hash}"), room, "…")));
    }
    lines
}

fn numbers(look: Look, transfer: &Transfer) -> String {
    let row = &transfer.row;
    let dot = look.glyphs.dot;
    if row.state == TransferState::Done {
        let took = format::seconds(row.elapsed_ms.div_ceil(1000));
        let average = format::speed(transfer.average());
        return format!("{} in {took} {dot} avg {average} {dot} complete and verified", format::bytes(row.size));
    }
    let mut text = format!("{} {dot} {}%", format::bytes_of(row.done, row.size), transfer.percent());
    if row.state == TransferState::Running {
        let (now, average) = (format::speed(row.speed), format::speed(transfer.average()));
        // The unit is said once where it is the same.
        let average = match (now.rsplit_once(' '), average.split_once(' ')) {
            (Some((_, unit)), Some((number, other))) if unit == other => number.to_owned(),
            _ => average,
        };
        text.push_str(&format!(" {dot} {now} {dot} avg {average}"));
    }
    if let (TransferState::Running, Some(left)) = (row.state, row.eta_s) {
        text.push_str(&format!(" {dot} {} left", format::seconds(left)));
    }
    text
}

fn second_line(look: Look, transfer: &Transfer, width: usize) -> String {
    let reason = show(&transfer.row.reason);
    match (reason.is_empty(), transfer.speeds.is_empty()) {
        (false, _) => reason,
        (true, true) => word(&transfer.row).to_owned(),
        (true, false) => {
            let peak = format!("peak {}", format::speed(transfer.peak));
            let room = width.saturating_sub(format::width(&peak) + 13);
            format!("last 60 s  {}  {peak}", sparkline(look, &transfer.speeds, transfer.peak, room))
        }
    }
}

fn sources_line(look: Look, transfer: &Transfer) -> String {
    let sources = transfer.row.sources.iter().map(|source| {
        let doing = if source.speed > 0 { format::speed(source.speed) } else { show(&source.doing) };
        format!("{} {} {doing}", who(source), source.path.word())
    });
    let line = sources.collect::<Vec<_>>().join(&format!(" {} ", look.glyphs.dot));
    match (line.is_empty(), transfer.row.direction) {
        (false, _) => line,
        (true, Direction::Down) => format!("shared by {}", show(&transfer.row.owner)),
        (true, Direction::Up) => format!("to {}", show(&transfer.row.owner)),
    }
}

fn who(source: &TransferSource) -> String {
    source.member.as_ref().map_or_else(|| "tracker's copy".to_owned(), |member| show(member))
}

fn source_lines(look: Look, transfer: &Transfer, width: usize) -> Vec<String> {
    let row = &transfer.row;
    if row.sources.is_empty() {
        let text = match row.state {
            TransferState::Queued => "Its turn has not come yet.",
            TransferState::Done => "It is complete; nothing is fetched any more.",
            TransferState::Finishing => "All there; being made durable on disk.",
            _ => "No source now.",
        };
        return vec![text.to_owned()];
    }
    let narrow = width < 50;
    let columns = |who: &str, link: &str, speed: &str, got: &str, rtt: &str| {
        let who = format::cut_end(who, 14, look.glyphs.cut);
        let pad = " ".repeat(15 - format::width(&who));
        match narrow {
            true => format!("{who}{pad}{link:<8}{speed:>9}"),
            false => format!("{who}{pad}{link:<8}{speed:>9}  {got:>9}  {rtt:>7}"),
        }
    };
    let mut lines = vec![columns("WHO", "LINK", "SPEED", "GOT", "RTT")];
    for source in &row.sources {
        let rtt = source.rtt_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
        lines.push(columns(
            &who(source),
            source.path.word(),
            &format::speed(source.speed),
            &format::bytes(source.bytes),
            &rtt,
        ));
    }
    lines.push(String::new());
    for source in row.sources.iter().filter(|source| source.speed == 0 && !source.doing.is_empty()) {
        lines.extend(wrap(&format!("{}: {}", who(source), show(&source.doing)), width));
    }
    let others = [
        (row.bytes_peer, "from members"),
        (row.bytes_copy, "from the tracker's copy"),
        (row.bytes_relay, "relayed"),
        (row.bytes_local, "found on this machine"),
    ];
    let got: Vec<String> = others
        .iter()
        .filter(|(bytes, _)| *bytes > 0)
        .map(|(bytes, from)| format!("{} {from}", format::bytes(*bytes)))
        .collect();
    if !got.is_empty() {
        lines.push(String::new());
        lines.extend(wrap(&got.join(", "), width));
    }
    lines
}

/// The page of details of the transfer under the cursor.
pub(super) fn page(state: &State, width: usize) -> (String, Vec<String>) {
    let look = super::look(state);
    let Some(transfer) = state.transfers.selected() else {
        return (String::new(), vec!["It is no longer on this list.".to_owned()]);
    };
    let row = &transfer.row;
    let mut lines = vec![numbers(look, transfer)];
    lines.extend(wrap(&show(&row.reason), width).into_iter().filter(|line| !line.is_empty()));
    lines.push(String::new());
    if !transfer.speeds.is_empty() {
        lines.push(format!(
            "last 60 s  {}",
            sparkline(look, &transfer.speeds, transfer.peak, width.saturating_sub(12).min(60))
        ));
        lines.push(format!("peak       {}", format::speed(transfer.peak)));
        lines.push(String::new());
    }
    let cells = pieces(look, &row.map, width * 4);
    lines.extend(cells.chunks(width.max(1)).map(<[&str]>::concat));
    if !cells.is_empty() {
        let [have, partly, flight, missing, nobody] = look.glyphs.pieces;
        lines.push(format!("{have} have  {partly} partly  {flight} in flight  {missing} missing  {nobody} no source"));
        lines.push(String::new());
    }
    lines.extend(place_lines(state, transfer, width));
    lines.push(String::new());
    lines.extend(source_lines(look, transfer, width));
    if let Some(failure) = &row.failure {
        lines.push(String::new());
        lines.extend(wrap(&format!("failed: {}", show(&failure.message)), width));
        lines.extend(wrap(&show(&failure.hint), width).into_iter().filter(|line| !line.is_empty()));
    }
    if !row.log.is_empty() {
        lines.push(String::new());
        let logged = row.log.iter().rev();
        lines.extend(
            logged.map(|line| format!("{}  {}", format::clock(line.at_ms, &state.setup.zone), show(&line.text))),
        );
    }
    (display_name(row), lines)
}
