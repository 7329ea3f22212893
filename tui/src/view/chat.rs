//! The chat pane: the rooms, the conversation, and what is being written.

use ratatui::{
    layout::{Position, Rect},
    style::{Modifier, Style},
};
use shared::show::show;

use super::{
    canvas::{Canvas, Look, columns},
    table::{self, Cell, Column, Row},
};
use crate::{
    app::{
        State, Target, card,
        channel::Channel,
        chat::{Room, Talk, View, room_name},
        format, inbox,
        keys::Action,
        layout::{self, Areas, Shape, TALK_INDENT},
        timeline::{self, BAR, Head, Line, Tone},
    },
    engine::api::{ChannelState, Connection, MemberRow, MemberStatus, PathKind, RoomName, RoomRow},
};

pub(super) fn draw(canvas: &mut Canvas<'_>, state: &State, areas: &Areas) {
    let beside = layout::beside(areas, canvas.area().width);
    match (areas.shape, state.chat.open) {
        (Shape::TooSmall, _) => {}
        (Shape::Pocket, false) => rooms(canvas, state, areas),
        (Shape::Pocket, true) => {
            let title = title(state);
            canvas.line(areas.list, 0, &title, canvas.look.strong());
            let rest = Rect { y: areas.list.y + 1, height: areas.list.height.saturating_sub(1), ..areas.list };
            talk(canvas, state, rest);
        }
        (Shape::Narrow | Shape::Strip | Shape::Split, _) => {
            rooms(canvas, state, areas);
            let (style, side) = (canvas.look.rule(), canvas.look.glyphs.side);
            for y in areas.head.y..areas.list.bottom() {
                canvas.text(areas.list.right(), y, side, style, 1);
            }
            if areas.rule.height > 0 {
                canvas.text(areas.list.right(), areas.rule.y, canvas.look.glyphs.tee_up, style, 1);
            }
            let head = Rect { y: areas.head.y, height: areas.head.height, ..beside };
            canvas.line(
                Rect { x: head.x + 1, width: head.width.saturating_sub(1), ..head },
                0,
                &title(state),
                canvas.look.strong(),
            );
            talk(canvas, state, beside);
        }
    }
}

fn rooms(canvas: &mut Canvas<'_>, state: &State, areas: &Areas) {
    let look = canvas.look;
    let plain = |title, width, right| Column { title, width, right, sort: None };
    let shown = [plain("ROOM", 0, false), plain("NEW", 5, true)];
    let head = Rect { width: areas.list.width, ..areas.head };
    table::head(canvas, head, &shown);
    let chat = &state.chat;
    if chat.order.is_empty() {
        let lines: &[&str] = match chat.view {
            _ if chat.pane.finder.filter.active => &["No room matches.", "Esc clears the filter."],
            View::Unread => &["Nothing is unread."],
            View::All if state.me().is_none() => &["Nobody is signed in."],
            View::All => &["No room is known yet."],
        };
        super::empty(canvas, areas.list, &lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
    }
    table::body(canvas, areas.list, &shown, chat.pane.list, chat.order.len(), |at| match chat.get(at) {
        Some(Room::Kept(room)) => chat.row(room).map_or_else(Row::default, |room| row(look, state, room)),
        Some(Room::Private(call)) => chat.channel(*call).map_or_else(Row::default, |channel| private(look, channel)),
        None => Row::default(),
    });
}

fn private(look: Look, channel: &Channel) -> Row {
    let name = show(&channel.row.with);
    let (mark, mark_style) = match (name == channel.row.with, channel.unread) {
        (false, _) => ("!", look.warning()),
        (true, 0) => (" ", Style::new()),
        (true, _) => (look.glyphs.bullet, look.active()),
    };
    let new = match (channel.row.state, channel.unread) {
        (_, some) if some > 0 => Cell::styled(format::count(some), look.active()),
        (ChannelState::Inviting, _) => Cell::new("asked"),
        (ChannelState::Connecting, _) => Cell::new(look.glyphs.cut),
        (ChannelState::Open, _) => Cell::styled("open", look.good()),
        (ChannelState::Ended, _) => Cell::new("over"),
    };
    Row { mark, mark_style, cells: vec![Cell::new(format!("{name} (private)")), new] }
}

fn row(look: Look, state: &State, room: &RoomRow) -> Row {
    let raw = room_name(&room.room);
    let name = show(&raw);
    let (mark, mark_style) = match (name == raw, room.unread) {
        (false, _) => ("!", look.warning()),
        (true, 0) => (" ", Style::new()),
        (true, _) => (look.glyphs.bullet, look.active()),
    };
    let name = match member(state, &room.room) {
        Some(member) => format!("{name} {}", dot(look, member.status)),
        None => name,
    };
    let new = match (room.muted, room.unread) {
        (true, _) => Cell::new("muted"),
        (false, 0) if waits(state, &raw) => Cell::styled("offer", look.active()),
        (false, 0) => Cell::new(""),
        (false, some) => Cell::styled(format::count(some), look.active()),
    };
    Row { mark, mark_style, cells: vec![Cell::new(name), new] }
}

/// Whether something that this member offers waits for an answer.
fn waits(state: &State, member: &str) -> bool {
    state.inbox.all.iter().any(|item| inbox::waits(item) && card::is_between(item, member))
}

fn member<'s>(state: &'s State, room: &RoomName) -> Option<&'s MemberRow> {
    let RoomName::Member(name) = room else { return None };
    state.members.all.iter().find(|member| member.name == *name)
}

const fn dot(look: Look, status: MemberStatus) -> &'static str {
    match status {
        MemberStatus::Online => look.glyphs.online,
        MemberStatus::Away => look.glyphs.away,
        MemberStatus::Offline => look.glyphs.offline,
    }
}

/// Who is talked with, whether they are there, and who can read it.
fn title(state: &State) -> String {
    let Some(talk) = &state.chat.talk else { return String::new() };
    let look = super::look(state);
    let between = look.glyphs.dot;
    let offline = if matches!(state.connection, Connection::Online { .. }) {
        String::new()
    } else {
        " offline: what you write waits".to_owned()
    };
    let room = match &talk.room {
        Room::Private(call) => {
            return state.chat.channel(*call).map(|channel| private_title(channel, between)).unwrap_or_default();
        }
        Room::Kept(room) => room,
    };
    match (room, member(state, room)) {
        (RoomName::Everyone, _) => format!("#all {between} every member{offline}"),
        (RoomName::Member(name), _) if !offline.is_empty() => format!("{} {between}{offline}", show(name)),
        (RoomName::Member(name), Some(member)) => {
            let word = match member.status {
                MemberStatus::Online => "online",
                MemberStatus::Away => "away",
                MemberStatus::Offline => "offline",
            };
            let dot = dot(look, member.status);
            format!("{} {dot} {word} {between} encrypted for their devices", show(name))
        }
        (RoomName::Member(name), None) => show(name),
    }
}

/// How a private channel runs, and who can read it.
fn private_title(channel: &Channel, between: &str) -> String {
    let name = format!("{} (private)", show(&channel.row.with));
    let path = match channel.row.path {
        Some(PathKind::Relay) => "relayed",
        Some(PathKind::Direct | PathKind::Lan | PathKind::Punched | PathKind::Copy) | None => "direct",
    };
    match channel.row.state {
        ChannelState::Inviting => format!("{name} {between} invited, has not answered"),
        ChannelState::Connecting => format!("{name} {between} connecting"),
        ChannelState::Open => format!("{name} {between} {path} {between} encrypted {between} kept nowhere"),
        ChannelState::Ended => format!("{name} {between} over"),
    }
}

fn talk(canvas: &mut Canvas<'_>, state: &State, area: Rect) {
    let Some(talk) = &state.chat.talk else { return };
    let composer = state.composer_height(area);
    let pinned = state.pinned(area);
    let top = u16::try_from(pinned.len()).unwrap_or(u16::MAX).min(area.height.saturating_sub(composer));
    let inside = Rect { x: area.x + 1, width: area.width.saturating_sub(1), height: top, ..area };
    for (row, words) in (0..top).zip(&pinned) {
        canvas.line(inside, row, words, canvas.look.good());
    }
    let above = Rect { y: area.y + top, height: area.height.saturating_sub(composer + top), ..area };
    let lines = state.talk_lines(crate::app::act::text_width(area));
    if lines.is_empty() {
        super::empty(canvas, above, &nothing_said(state, talk));
    }
    let height = usize::from(above.height);
    let end = lines.len().saturating_sub(talk.back).max(height.min(lines.len()));
    let shown = &lines[end.saturating_sub(height)..end];
    let cards = state.cards();
    // A short conversation stands at the bottom, where the next message will.
    let from = above.bottom().saturating_sub(u16::try_from(shown.len()).unwrap_or(above.height));
    for (y, line) in (from..).zip(shown) {
        let place = Rect { y, height: 1, ..above };
        self::line(canvas, state, line, place);
        if let Line::Card { id, .. } = line
            && let Some(number) = cards.iter().position(|(card, _)| card == id)
        {
            canvas.target(place, Target::Card(number));
        }
    }
    if talk.back > 0 {
        let more = format!(" {} more below ", format::plural(talk.back as u64, "line", "lines"));
        let y = above.bottom().saturating_sub(1);
        canvas.text_right(above.x, above.right(), y, &more, canvas.look.strong().add_modifier(Modifier::REVERSED));
    }
    compose(canvas, state, Rect { y: above.bottom(), height: composer, ..area });
}

fn nothing_said(state: &State, talk: &Talk) -> Vec<String> {
    if let Some(failure) = &talk.failure {
        return vec![show(&failure.message), show(&failure.hint)];
    }
    if talk.due.is_some() || talk.call.is_some() {
        return Vec::new();
    }
    let first = match &talk.room {
        Room::Kept(RoomName::Everyone) => "Nothing was said to everyone yet.".to_owned(),
        Room::Kept(RoomName::Member(name)) => format!("Nothing was said between you and {} yet.", show(name)),
        Room::Private(_) => return vec!["Asking…".to_owned()],
    };
    let second = if state.chat.writing { "Enter sends." } else { "i writes; what you write waits for who is away." };
    vec![first, second.to_owned()]
}

fn line(canvas: &mut Canvas<'_>, state: &State, line: &Line, area: Rect) {
    let look = canvas.look;
    let indent = u16::try_from(TALK_INDENT).unwrap_or(0);
    let (x, room) = (area.x + indent, area.width.saturating_sub(indent + 1));
    match line {
        Line::Day(day) => divider(canvas, area, day, look.rule()),
        Line::New => divider(canvas, area, "new", look.active()),
        Line::Told(text) => {
            canvas.text(x.saturating_sub(2), area.y, look.glyphs.dot, look.rule(), 1);
            canvas.text(x, area.y, text, Style::new(), room);
        }
        Line::Text { head, text, unreadable, state: word, tone } => {
            begin(canvas, state, head.as_ref(), area);
            canvas.text(x, area.y, text, if *unreadable { look.warning() } else { Style::new() }, room);
            if !word.is_empty() {
                canvas.text_right(x, area.right().saturating_sub(1), area.y, word, style_of(look, *tone));
            }
        }
        Line::Card { id, head, bar, text, tone } => {
            begin(canvas, state, head.as_ref(), area);
            let bar = bar.map(|percent| super::transfers::bar(look, percent, BAR) + " ").unwrap_or_default();
            let style = if head.is_some() { look.strong() } else { style_of(look, *tone) };
            canvas.spans(x, x + room, area.y, [(bar.as_str(), look.active()), (text.as_str(), style)]);
            if state.at_card() && state.chat.card.as_ref() == Some(id) {
                let place = Rect { x, width: room, ..area };
                canvas.text(x.saturating_sub(2), area.y, ">", look.strong(), 1);
                canvas
                    .buffer
                    .set_style(place.intersection(canvas.area()), Style::new().add_modifier(Modifier::REVERSED));
            }
        }
    }
}

/// When something was said, and by whom.
fn begin(canvas: &mut Canvas<'_>, state: &State, head: Option<&Head>, area: Rect) {
    let Some(head) = head else { return };
    let look = canvas.look;
    let who = if head.mine { "you".to_owned() } else { show(&head.from) };
    let who = format::cut_end(&who, TALK_INDENT - 8, look.glyphs.cut);
    let clock = format::clock(head.at_ms, &state.setup.zone);
    let style = if head.mine { Style::new() } else { look.strong() };
    let end = area.x + u16::try_from(TALK_INDENT).unwrap_or(0);
    let spans = [(clock.as_str(), look.rule()), (" ", Style::new()), (who.as_str(), style)];
    canvas.spans(area.x + 1, end, area.y, spans);
}

const fn style_of(look: Look, tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Good => look.good(),
        Tone::Active => look.active(),
        Tone::Warning => look.warning(),
        Tone::Bad => look.bad(),
    }
}

fn divider(canvas: &mut Canvas<'_>, area: Rect, word: &str, style: Style) {
    let rule = canvas.look.glyphs.rule.repeat(usize::from(area.width.saturating_sub(2)));
    canvas.text(area.x + 1, area.y, &rule, style, area.width.saturating_sub(2));
    let word = format!(" {word} ");
    let x = area.x + area.width.saturating_sub(columns(&word)) / 2;
    canvas.text(x, area.y, &word, style.add_modifier(Modifier::BOLD), area.width);
}

fn compose(canvas: &mut Canvas<'_>, state: &State, area: Rect) {
    if area.height == 0 {
        return;
    }
    let indent = u16::try_from(TALK_INDENT).unwrap_or(0);
    let width = usize::from(area.width).saturating_sub(TALK_INDENT + 2);
    let empty = crate::app::field::Field::new(0);
    let field = state.chat.draft().unwrap_or(&empty);
    let (lines, (row, column)) = timeline::typed_lines(field, width);
    let height = usize::from(area.height);
    let top = (row + 1).saturating_sub(height).min(lines.len().saturating_sub(height));
    let word = if state.chat.writing { "write >" } else { "draft >" };
    let at = area.x + indent.saturating_sub(columns(word) + 1);
    canvas.text(at, area.y, word, canvas.look.key(), columns(word));
    for (y, line) in (area.y..area.bottom()).zip(&lines[top..]) {
        canvas.text(area.x + indent, y, line, Style::new(), area.width.saturating_sub(indent));
    }
    canvas.target(area, Target::Action(Action::Write));
    if state.chat.writing {
        let x = area.x + indent + u16::try_from(column).unwrap_or(0);
        let y = area.y + u16::try_from(row - top).unwrap_or(0);
        canvas.cursor = Some(Position::new(x, y));
    }
}
