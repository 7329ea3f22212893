//! The members pane.

use ratatui::{layout::Rect, style::Style};
use shared::show::show;

use super::{
    canvas::{Canvas, Look},
    table::{self, Cell, Column, Row, left, right},
};
use crate::{
    app::{
        State, format,
        index::SortBy,
        layout::{Areas, Shape},
        members::View,
    },
    engine::api::{MemberRow, MemberStatus},
};

pub(super) fn draw(canvas: &mut Canvas<'_>, state: &State, areas: &Areas) {
    let look = canvas.look;
    let shown = shown_columns(areas);
    table::head(canvas, areas.head, &shown);
    let members = &state.members;
    if members.order.is_empty() {
        let lines: &[&str] = match members.view {
            _ if members.pane.finder.filter.active => &["No member matches the filter.", "Esc clears it."],
            View::All if state.me().is_none() => &["Nobody is signed in on this device.", ": sign-in opens the form."],
            View::All => &["Nobody is known yet."],
            View::Online => &["Nobody is online now.", "[ shows all members."],
            View::Blocked => &["You have blocked nobody."],
        };
        super::empty(canvas, areas.list, &lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
    }
    table::body(canvas, areas.list, &shown, members.pane.list, members.order.len(), |at| {
        members.get(at).map_or_else(Row::default, |member| row(look, state, member, &shown))
    });
    if areas.detail.height == 0 {
        return;
    }
    let top = Rect { height: 1, ..areas.detail };
    let Some(member) = members.selected() else {
        canvas.rule(top, "");
        return;
    };
    canvas.rule(top, &show(&member.name));
    let inside = super::inside(areas.detail);
    let dot = look.glyphs.dot;
    let (devices, files) = (u64::from(member.devices), format::files(member.shares));
    let first = format!(
        "{} {dot} shares {files} {dot} {}",
        presence(look, state, member),
        format::plural(devices, "device", "devices")
    );
    let second = match member.me {
        true => "this is you".to_owned(),
        false => format!(
            "{} fetched from them, {} served to them by this device",
            format::bytes(member.from_them),
            format::bytes(member.to_them)
        ),
    };
    canvas.line(inside, 0, &first, Style::new());
    canvas.line(inside, 1, &second, Style::new());
    canvas.line(
        inside,
        2,
        if member.me {
            "Enter shows what you share"
        } else {
            "Enter shows what they share, m writes to them, o offers them something"
        },
        Style::new(),
    );
}

fn shown_columns(areas: &Areas) -> Vec<Column> {
    let user = left("USER", 0, SortBy::Name);
    let status = left("STATUS", 15, SortBy::Status);
    let shares = right("FILES", 7, SortBy::Shares);
    let (from, to) = (right("FROM THEM", 9, SortBy::FromThem), right("TO THEM", 9, SortBy::ToThem));
    match areas.shape {
        Shape::TooSmall | Shape::Pocket => vec![user, status],
        Shape::Narrow => vec![user, status, shares],
        Shape::Strip => vec![user, status, shares, from, to],
        Shape::Split => vec![
            user,
            status,
            shares,
            Column { title: "DEVICES", width: 7, right: true, sort: None },
            from,
            to,
            Column { title: "NOTE", width: 10, right: false, sort: None },
        ],
    }
}

fn row(look: Look, state: &State, member: &MemberRow, shown: &[Column]) -> Row {
    let name = show(&member.name);
    let (mark, mark_style) = if name == member.name { (" ", Style::new()) } else { ("!", look.warning()) };
    let style = match member.status {
        MemberStatus::Online => look.good(),
        MemberStatus::Away => look.warning(),
        MemberStatus::Offline => Style::new(),
    };
    let amount = |bytes: u64| if bytes == 0 { "-".to_owned() } else { format::bytes(bytes) };
    let note = match (member.me, member.blocked) {
        (true, _) => "you",
        (false, true) => "blocked",
        (false, false) => "",
    };
    let cells = shown.iter().map(|column| match column.title {
        "USER" if shown.len() < 7 && member.me => Cell::name(format!("{name} (you)"), Vec::new()),
        "USER" => Cell::name(name.clone(), Vec::new()),
        "STATUS" => Cell::styled(presence(look, state, member), style),
        "FILES" => Cell::new(format::count(member.shares)),
        "DEVICES" => Cell::new(format::count(u64::from(member.devices))),
        "FROM THEM" => Cell::new(amount(member.from_them)),
        "TO THEM" => Cell::new(amount(member.to_them)),
        _ => Cell::new(note),
    });
    Row { mark, mark_style, cells: cells.collect() }
}

/// Whether they are there, as symbol and words.
fn presence(look: Look, state: &State, member: &MemberRow) -> String {
    let glyphs = look.glyphs;
    let since = member.last_seen_ms.map(|at| u64::try_from((state.now - at).max(0) / 1000).unwrap_or(0));
    match (member.status, since, member.last_seen_ms) {
        (MemberStatus::Online, ..) => format!("{} online", glyphs.online),
        (MemberStatus::Away, Some(since), _) if since >= 60 => {
            let ago = match since {
                0..3_600 => format!("{}m", since / 60),
                3_600..86_400 => format!("{}h", since / 3_600),
                _ => format!("{}d", since / 86_400),
            };
            format!("{} away {ago}", glyphs.away)
        }
        (MemberStatus::Away, ..) => format!("{} away", glyphs.away),
        (MemberStatus::Offline, _, Some(at)) => {
            format!("{} seen {}", glyphs.offline, format::moment(at, state.now, &state.setup.zone))
        }
        (MemberStatus::Offline, _, None) => format!("{} offline", glyphs.offline),
    }
}
