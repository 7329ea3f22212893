//! Sign-in and registration.

use ratatui::{
    layout::Rect,
    style::{Modifier, Style},
};
use shared::{show::show, wire::tracker::Registration};

use super::canvas::{Canvas, columns, wrap};
use crate::app::{
    State, Target, format,
    gate::{Gate, Kind, Link, Part, Probe},
    layout::Areas,
};

/// A line of the form.
enum Line {
    /// A field or a button row; the part says which.
    Part(Part),
    /// The three buttons.
    Buttons,
    /// Words.
    Say(String, Style),
    Blank,
}

pub(super) fn draw(canvas: &mut Canvas<'_>, state: &State, gate: &Gate, areas: &Areas) {
    let body_bottom =
        [areas.rule, areas.message, areas.hints].into_iter().filter(|part| part.height > 0).map(|part| part.y).min();
    let body = Rect {
        y: areas.tabs.bottom(),
        height: body_bottom.unwrap_or(0).saturating_sub(areas.tabs.bottom()),
        ..areas.tabs
    };
    let width = body.width.min(70);
    let lines = lines(canvas, gate, state.now, usize::from(width.saturating_sub(4)));
    let height = body.height.min(u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2));
    let place = Rect { x: body.x + (body.width - width) / 2, y: body.y + (body.height - height) / 3, width, height };
    let title = match gate.kind {
        Kind::SignIn => "Sign in",
        Kind::Register => "Register",
        Kind::Recover => "Forgotten password",
        Kind::Password => "Change the password",
        Kind::NewCode => "New recovery code",
        Kind::Email => "Change the e-mail address",
        Kind::Unlock => "Protected: its password",
        Kind::Protect => "Share with a password",
    };
    let inside = canvas.popup_at(place, title);
    let focus = lines.iter().position(|line| match line {
        Line::Part(part) => *part == gate.focus,
        Line::Buttons => gate.focus.is_button() && gate.focus != Part::Reveal,
        Line::Say(..) | Line::Blank => false,
    });
    let top = (focus.unwrap_or(0) + 2).saturating_sub(usize::from(inside.height)).min(lines.len());
    for (row, line) in (0..inside.height).zip(&lines[top..]) {
        let at = Rect { y: inside.y + row, height: 1, ..inside };
        match line {
            Line::Part(part) => field(canvas, state, gate, *part, at),
            Line::Buttons => buttons(canvas, gate, at),
            Line::Say(text, style) => canvas.line(at, 0, text, *style),
            Line::Blank => {}
        }
    }
}

fn lines(canvas: &Canvas<'_>, gate: &Gate, now: i64, width: usize) -> Vec<Line> {
    let look = canvas.look;
    let indent = |text: &str, style| {
        let wrapped = wrap(text, width.saturating_sub(10).max(12));
        wrapped.into_iter().map(move |line| Line::Say(format!("          {line}"), style)).collect::<Vec<_>>()
    };
    let mut lines = Vec::new();
    for part in gate.parts() {
        match part {
            Part::Submit | Part::Other | Part::Forgot | Part::Offline => continue,
            Part::Reveal => {
                lines.push(Line::Part(*part));
                continue;
            }
            _ => lines.push(Line::Part(*part)),
        }
        if *part == Part::Tracker {
            let (text, style) = identity(canvas, gate);
            if text.is_empty() {
                lines.extend(indent("the join link from whoever runs the tracker; pasting works here", Style::new()));
            } else {
                lines.extend(indent(&text, style));
            }
        }
        if *part == Part::Old && gate.kind == Kind::Unlock {
            lines.extend(indent("the one that its owner protects it with; nothing is fetched before", Style::new()));
        }
        if *part == Part::Password && gate.kind == Kind::Protect {
            lines.extend(indent("it is encrypted here; whoever is to open it needs to know this", Style::new()));
        }
        if *part == Part::Code {
            lines.extend(indent("it was shown when the account was made, and is used up by this", Style::new()));
        }
    }
    lines.push(Line::Blank);
    lines.push(Line::Buttons);
    if let Some(until) = gate.waits_until {
        let left = format::seconds(u64::try_from(until - now).unwrap_or(0).div_ceil(1000));
        let text = format!("! too many wrong passwords; the next one is looked at in {left}");
        lines.extend(wrap(&text, width).into_iter().map(|line| Line::Say(line, look.bad())));
    } else if let Some(failure) = &gate.failure {
        let hint = if failure.hint.is_empty() { String::new() } else { format!(": {}", show(&failure.hint)) };
        lines.extend(
            wrap(&format!("! {}{hint}", show(&failure.message)), width)
                .into_iter()
                .map(|line| Line::Say(line, look.bad())),
        );
    } else if gate.call.is_some() {
        lines.push(Line::Say("waiting for the tracker… Esc stops waiting".to_owned(), Style::new()));
    } else if gate.tried && gate.to_fix() > 0 {
        let fields = format::plural(gate.to_fix() as u64, "field", "fields");
        lines.push(Line::Say(format!("{fields} to fix first"), look.warning()));
    } else {
        lines.push(Line::Blank);
    }
    lines
}

/// Who the tracker is, as far as the link and a first look tell.
fn identity(canvas: &Canvas<'_>, gate: &Gate) -> (String, Style) {
    let look = canvas.look;
    let pinned = Link::of(gate.tracker.text()).fingerprint;
    let pin = match pinned {
        Some(fingerprint) => format!("identity {} is part of the link", short(fingerprint)),
        None => "the link names no identity (#…): whoever answers first is believed".to_owned(),
    };
    match &gate.probe {
        Probe::Idle => (String::new(), Style::new()),
        Probe::Due(_) | Probe::Asking(_) => (format!("looking for it… {pin}"), Style::new()),
        Probe::Failed(failure) => {
            let hint = if failure.hint.is_empty() { String::new() } else { format!(": {}", show(&failure.hint)) };
            (format!("! {}{hint}", show(&failure.message)), look.bad())
        }
        Probe::Known(info) => {
            let door = match (info.registration, gate.kind) {
                (Registration::Open | Registration::Invite | Registration::Closed, kind) if kind != Kind::Register => {
                    String::new()
                }
                (Registration::Open, _) => ", anyone with the link may register".to_owned(),
                (Registration::Invite, _) => ", registering takes an invitation".to_owned(),
                (Registration::Closed, _) => ", but nobody can register there now".to_owned(),
            };
            let known = short(&info.fingerprint);
            match pinned {
                Some(_) => (format!("reachable{door}; identity {known}, as in the link"), look.good()),
                None => (
                    format!("reachable{door}; first use! Compare its identity with whoever runs it: {known}"),
                    look.warning(),
                ),
            }
        }
    }
}

/// Both ends of a fingerprint, which is what people compare.
fn short(fingerprint: &str) -> String {
    format::cut_middle(&show(fingerprint), 22, "…")
}

fn field(canvas: &mut Canvas<'_>, state: &State, gate: &Gate, part: Part, area: Rect) {
    let look = canvas.look;
    let focused = gate.focus == part && state.layers.is_empty();
    let label = match part {
        Part::Tracker => "tracker",
        Part::Invite => "invite",
        Part::User => "user",
        Part::Code => "code",
        Part::Email => "e-mail",
        Part::Old => "password",
        Part::Password if matches!(gate.kind, Kind::Recover | Kind::Password) => "new",
        Part::Password => "password",
        Part::Again => "again",
        Part::Reveal | Part::Submit | Part::Other | Part::Forgot | Part::Offline => "",
    };
    canvas.target(area, Target::Part(part));
    let label_style = if focused { look.key() } else { Style::new() };
    canvas.text(area.x, area.y, if focused { ">" } else { " " }, look.strong(), 1);
    canvas.text(area.x + 1, area.y, label, label_style, 9);
    let value = Rect { x: area.x + 10, width: area.width.saturating_sub(10), ..area };
    if part == Part::Reveal {
        let text = if gate.reveal { "[x] show the password" } else { "[ ] show the password" };
        let style = if focused { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        canvas.text(value.x, value.y, text, style, value.width);
        return;
    }
    let remark = remark(gate, part);
    let (remark_text, remark_style) = match &remark {
        Some((text, true)) => (text.as_str(), look.warning()),
        Some((text, false)) => (text.as_str(), look.good()),
        None => ("", Style::new()),
    };
    let from = canvas.text_right(value.x + value.width.min(12), value.right(), value.y, remark_text, remark_style);
    let room = Rect { width: from.saturating_sub(value.x + u16::from(!remark_text.is_empty())), ..value };
    let text = match part {
        Part::Tracker => &gate.tracker,
        Part::Invite => &gate.invite,
        Part::User => &gate.user,
        Part::Code => &gate.code,
        Part::Email => &gate.email,
        Part::Old => &gate.old,
        Part::Password => &gate.password,
        _ => &gate.again,
    };
    if text.is_empty() && !focused && part == Part::Email {
        canvas.line(room, 0, "optional", Style::new());
    }
    let style = Style::new().add_modifier(Modifier::UNDERLINED);
    if matches!(part, Part::Old | Part::Password | Part::Again) && !gate.reveal {
        let bullets = |text: &str| look.glyphs.bullet.repeat(text.chars().count());
        canvas.field(room, &bullets(text.before_cursor()), &bullets(text.text()), style, focused);
    } else {
        canvas.field(room, text.before_cursor(), text.text(), style, focused);
    }
    if focused {
        // An underline shows where text goes, even where nothing is typed.
        canvas.buffer.set_style(room.intersection(canvas.area()), style);
    }
}

/// A few words beside a field; `true`: something is wrong.
fn remark(gate: &Gate, part: Part) -> Option<(String, bool)> {
    if let Some(trouble) = gate.trouble(part) {
        return Some((trouble, true));
    }
    match part {
        Part::Password if gate.is_choosing() && !gate.password.is_empty() => {
            let strength = gate.strength();
            Some((strength.to_owned(), strength.starts_with("weak")))
        }
        Part::Again if !gate.again.is_empty() && gate.again.text() == gate.password.text() => {
            Some(("matches".to_owned(), false))
        }
        _ => None,
    }
}

fn buttons(canvas: &mut Canvas<'_>, gate: &Gate, area: Rect) {
    let (submit, other, close) = match gate.kind {
        Kind::SignIn => ("Sign in", "Register", "Work offline"),
        Kind::Register => ("Create account", "Sign in", "Work offline"),
        Kind::Recover => ("Set password", "Sign in", "Work offline"),
        Kind::Password => ("Change password", "", "Cancel"),
        Kind::NewCode => ("Make a code", "", "Cancel"),
        Kind::Email => ("Change address", "", "Cancel"),
        Kind::Unlock => ("Fetch", "", "Cancel"),
        Kind::Protect => ("Share", "", "Cancel"),
    };
    let tight = area.width < 60;
    let names = [(Part::Submit, submit), (Part::Other, other), (Part::Forgot, "Forgot"), (Part::Offline, close)];
    let mut x = area.x + u16::from(!tight);
    for (part, name) in names.into_iter().filter(|(part, _)| gate.parts().contains(part)) {
        let focused = gate.focus == part;
        let text = match (tight, focused) {
            (true, _) => format!("[{name}]"),
            (false, true) => format!("[>{name}<]"),
            (false, false) => format!("[ {name} ]"),
        };
        let style = if focused { Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD) } else { Style::new() };
        let from = x;
        x = canvas.text(x, area.y, &text, style, area.right().saturating_sub(x));
        canvas.target(Rect::new(from, area.y, columns(&text), 1), Target::Part(part));
        x += if tight { 1 } else { 2 };
    }
}
