//! The rows around every pane: tabs, views, place or filter, message, hints.

use ratatui::{layout::Rect, style::Style};
use shared::show::show;

use super::canvas::{Canvas, columns};
use crate::{
    app::{
        State, Tab, Target,
        card::Stage,
        chat::{self, Room},
        files, format,
        gate::Kind,
        inbox,
        index::SortBy,
        keys::{self, Action, Context},
        layer::Layer,
        layout::{Areas, Shape},
        members,
        prompt::Completes,
        transfers,
    },
    engine::api::{Act, Connection, Direction, NoticeLevel, ordinal},
};

/// Draws all of them.
pub(super) fn draw(canvas: &mut Canvas<'_>, state: &State, areas: &Areas) {
    tabs(canvas, state, areas);
    if state.gate.is_none() {
        views(canvas, state, areas.views);
        place(canvas, state, areas.place);
        tip(canvas, state, areas.tip);
    }
    canvas.rule(areas.rule, "");
    message(canvas, state, areas);
    hints(canvas, state, areas);
}

fn tabs(canvas: &mut Canvas<'_>, state: &State, areas: &Areas) {
    let (area, look) = (areas.tabs, canvas.look);
    if area.height == 0 {
        return;
    }
    let status_from = connection(canvas, state, areas);
    let end = status_from.saturating_sub(1);
    let mut x = area.x;
    if area.width >= WIDE || (areas.shape > Shape::Pocket && state.gate.is_some()) {
        x = canvas.text(x, area.y, " swap ", look.strong(), end);
    }
    if state.gate.is_some() {
        return;
    }
    // The longest form in which all of them have room.
    let forms = match (areas.shape, area.width >= WIDE) {
        (Shape::TooSmall | Shape::Pocket, _) => &[TabForm::Chosen][..],
        (Shape::Narrow, _) => &[TabForm::Digits],
        (_, true) => &[TabForm::Whole, TabForm::Short, TabForm::Digits],
        (_, false) => &[TabForm::Short, TabForm::Digits],
    };
    let texts = |form: TabForm| Tab::ALL.map(|tab| tab_text(state, tab, form));
    let room = end.saturating_sub(x);
    let fits = |form: &&TabForm| texts(**form).iter().map(|text| columns(text)).sum::<u16>() <= room;
    let Some(form) = forms.iter().find(fits).or_else(|| forms.last()) else { return };
    for (tab, text) in Tab::ALL.into_iter().zip(texts(*form)) {
        let style = if tab == state.tab { look.strong() } else { Style::new() };
        let from = x;
        x = canvas.text(x, area.y, &text, style, end.saturating_sub(x));
        canvas.target(Rect::new(from, area.y, x - from, 1), Target::Tab(tab));
    }
}

/// How much is written of a tab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TabForm {
    Whole,
    Short,
    /// Numbers alone, but for the chosen one.
    Digits,
    /// The chosen one, and numbers of those in which something waits.
    Chosen,
}

fn tab_text(state: &State, tab: Tab, form: TabForm) -> String {
    let badge = badge(state, tab);
    let number = keys::key_of(&[Context::Panes], tab.action()).map(keys::Key::label).unwrap_or_default();
    let gap = if badge.is_empty() { "" } else { " " };
    let (whole, short) = (tab.title(), tab.short());
    match (form, tab == state.tab) {
        (TabForm::Whole, true) => format!("[{number} {whole}{gap}{badge}]"),
        (TabForm::Whole, false) => format!(" {number} {whole}{gap}{badge} "),
        (TabForm::Short | TabForm::Digits, true) => format!("[{number} {short}{badge}]"),
        (TabForm::Short, false) => format!(" {number} {short}{badge}"),
        (TabForm::Digits, false) => format!(" {number}{badge} "),
        (TabForm::Chosen, true) => format!("{number} {whole}{gap}{badge}"),
        (TabForm::Chosen, false) if matches!(tab, Tab::Inbox | Tab::Chat) && !badge.is_empty() => {
            format!(" {number}{badge} ")
        }
        (TabForm::Chosen, false) => String::new(),
    }
}

/// How much there is in a tab, or waits in it.
fn badge(state: &State, tab: Tab) -> String {
    let (count, mark) = match tab {
        Tab::Files => (0, ""),
        Tab::Transfers => (state.transfers.unfinished(), ""),
        Tab::Inbox => (state.inbox.waiting(), "!"),
        Tab::Members => (state.members.online.len(), ""),
        Tab::Chat => (usize::try_from(state.chat.unread()).unwrap_or(usize::MAX), ""),
    };
    if count == 0 { String::new() } else { format!("({}{mark})", format::count(count as u64)) }
}

/// Draws the connection at the right end of the first row. Returns where it begins.
fn connection(canvas: &mut Canvas<'_>, state: &State, areas: &Areas) -> u16 {
    let (area, look, glyphs) = (areas.tabs, canvas.look, canvas.look.glyphs);
    let wide = area.width >= WIDE;
    let mut parts: Vec<(String, Style)> = Vec::new();
    let retry = |at: i64| format::seconds(u64::try_from((at - state.now + 999) / 1000).unwrap_or(0));
    match &state.connection {
        Connection::SignedOut => parts.push((format!("{} signed out", glyphs.offline), look.warning())),
        Connection::Connecting => parts.push((format!("{} connecting", glyphs.away), look.warning())),
        Connection::Online { https: true, .. } => {
            let over = if wide { " over HTTPS, UDP is blocked" } else { " HTTPS" };
            let over = if areas.shape == Shape::Pocket { "" } else { over };
            parts.push((format!("{} online{over}", glyphs.away), look.warning()));
        }
        Connection::Online { https: false, .. } if state.is_away() => {
            let word = if areas.shape == Shape::Pocket { "" } else { " online, away" };
            parts.push((format!("{}{word}", glyphs.away), look.warning()));
        }
        Connection::Online { https: false, .. } => {
            if areas.shape == Shape::Pocket {
                parts.push((glyphs.online.to_owned(), look.good()));
            } else {
                parts.push((format!("{} online", glyphs.online), look.good()));
            }
        }
        Connection::Offline { retry_ms, tries, .. } => {
            let when = match (retry_ms, wide) {
                (Some(at), true) => format!(" retry in {} ({} try) {} R now", retry(*at), ordinal(*tries), glyphs.dot),
                (Some(at), false) if areas.shape > Shape::Pocket => format!(" {} {} R now", retry(*at), glyphs.dot),
                (Some(at), false) => format!(" {}", retry(*at)),
                (None, _) => format!(" {} R tries again", glyphs.dot),
            };
            parts.push((format!("{} OFFLINE{when}", glyphs.offline), look.bad()));
        }
    }
    if state.live() && areas.shape >= Shape::Pocket {
        let (down, up) = (format::speed_short(state.traffic.down), format::speed_short(state.traffic.up));
        let both = areas.shape > Shape::Pocket;
        let text = match both {
            true => format!("  {}{down} {}{up}", glyphs.down, glyphs.up),
            false => format!(" {}{down}", glyphs.down),
        };
        parts.push((text, Style::new()));
    }
    if wide {
        parts.push((format!("  {}", format::clock(state.now, &state.setup.zone)), Style::new()));
        if let Some(me) = state.me() {
            parts.insert(0, (format!("{} ", format::cut_end(&show(&me.name), 20, glyphs.cut)), Style::new()));
        }
    }
    let total: u16 = parts.iter().map(|(text, _)| columns(text)).sum();
    let from = area.right().saturating_sub(total + 1);
    canvas.spans(from, area.right(), area.y, parts.iter().map(|(text, style)| (text.as_str(), *style)));
    from
}

fn views(canvas: &mut Canvas<'_>, state: &State, area: Rect) {
    if area.height == 0 {
        return;
    }
    let look = canvas.look;
    let counted = |title: &str, count: usize| match count {
        0 => title.to_owned(),
        some => format!("{title} {}", format::count(some as u64)),
    };
    let titles: Vec<(String, bool)> = match state.tab {
        Tab::Files => files::View::ALL
            .iter()
            .map(|view| {
                let count = match view {
                    files::View::Public => state.files.index.len(),
                    files::View::Mine => state.files.index.mine(),
                    files::View::Search => 0,
                };
                (counted(view.title(), count), *view == state.files.view)
            })
            .collect(),
        Tab::Transfers => transfers::View::ALL
            .iter()
            .map(|view| (counted(view.title(), state.transfers.count(*view)), *view == state.transfers.view))
            .collect(),
        Tab::Inbox => inbox::View::ALL
            .iter()
            .map(|view| (counted(view.title(), state.inbox.count(*view)), *view == state.inbox.view))
            .collect(),
        Tab::Members => members::View::ALL
            .iter()
            .map(|view| (counted(view.title(), state.members.count(*view)), *view == state.members.view))
            .collect(),
        Tab::Chat => chat::View::ALL
            .iter()
            .map(|view| (counted(view.title(), state.chat.count(*view)), *view == state.chat.view))
            .collect(),
    };
    let mut x = area.x + 1;
    for (number, (title, chosen)) in titles.iter().enumerate() {
        let text = if *chosen { format!("[{title}]") } else { format!(" {title} ") };
        let from = x;
        x = canvas.text(
            x,
            area.y,
            &text,
            if *chosen { look.strong() } else { Style::new() },
            area.right().saturating_sub(x),
        );
        canvas.target(Rect::new(from, area.y, x - from, 1), Target::View(number));
    }
    let (sort, reverse) = state.sort();
    // A column of numbers begins with the largest.
    let upward = matches!(sort, SortBy::Name | SortBy::Owner | SortBy::Left | SortBy::Status) != reverse;
    let arrow = if upward { look.glyphs.ascending } else { look.glyphs.descending };
    let mut right = if state.tab == Tab::Chat { String::new() } else { format!("sort: {} {arrow}", sort.title()) };
    let marked = state.marked();
    if marked > 0 {
        right = format!("{right}   {} marked", format::count(marked as u64));
    }
    if state.tab == Tab::Transfers && state.transfers.view == transfers::View::Uploads {
        let of_uploads = uploads(state);
        let all = format!("{of_uploads}   {right}");
        right = if columns(&all) + x + 2 <= area.right() { all } else { of_uploads };
    }
    let offline = !matches!(state.connection, Connection::Online { .. });
    if let (Tab::Files, true, Some(as_of)) = (state.tab, offline, state.files.as_of_ms) {
        right = format!("as of {}   {right}", format::moment(as_of, state.now, &state.setup.zone));
    }
    if state.tab == Tab::Inbox && offline {
        right = format!("offline: answers need the tracker   {right}");
    }
    if let (Tab::Files, Some(hashing)) = (state.tab, &state.files.hashing) {
        let percent = (u128::from(hashing.bytes_done) * 100).checked_div(u128::from(hashing.bytes)).unwrap_or(0);
        let (done, all) = (format::count(hashing.files_done), format::count(hashing.files));
        right = format!("hashing {done} of {all} files, {percent}%   {right}");
    }
    if columns(&right) + x + 2 <= area.right() {
        canvas.text_right(x + 2, area.right() - 1, area.y, &right, Style::new());
    }
}

/// Slots and limit of the uploads.
fn uploads(state: &State) -> String {
    let limits = &state.limits;
    let rate = limits.now(Direction::Up).map_or_else(|| "none".to_owned(), format::speed);
    let slots = limits.slots.map(|slots| format!("   slots: {} of {slots}", limits.served)).unwrap_or_default();
    let line = if limits.waiting > 0 { format!(", {} in line", limits.waiting) } else { String::new() };
    format!("limit: {rate}{slots}{line}")
}

fn place(canvas: &mut Canvas<'_>, state: &State, area: Rect) {
    if area.height == 0 {
        return;
    }
    let look = canvas.look;
    let finder = state.finder();
    let searching = state.tab == Tab::Files && state.files.view == files::View::Search;
    let right = match (&finder.filter.trouble, searching) {
        (Some(trouble), _) => trouble.clone(),
        (None, true) => search_count(state),
        (None, false) => filter_count(state),
    };
    let style = if finder.filter.trouble.is_some() { look.warning() } else { Style::new() };
    let right_from = canvas.text_right(area.x + area.width / 2, area.right().saturating_sub(1), area.y, &right, style);
    let mut x = area.x + 1;
    if state.tab == Tab::Files
        && !searching
        && let Some(place) = &state.files.browse().0.place
    {
        let path = if place.path.is_empty() { String::new() } else { format!("{}/", show(&place.path)) };
        let crumb = format!("{}/{path}", show(&place.owner));
        let room = right_from.saturating_sub(x + 2);
        let room = if finder.editing || !finder.field.is_empty() { room / 2 } else { room };
        let crumb = format::cut_middle(&crumb, usize::from(room), look.glyphs.cut);
        x = canvas.text(x, area.y, &crumb, look.strong(), room) + 1;
    }
    if finder.editing || !finder.field.is_empty() || searching {
        x = canvas.text(x, area.y, "/ ", look.key(), 2);
        let room = Rect::new(x, area.y, right_from.saturating_sub(x + 1), 1);
        if searching && finder.field.is_empty() && !finder.editing {
            canvas.line(room, 0, "press / and type what to ask the tracker for", Style::new());
        } else {
            canvas.field(room, finder.field.before_cursor(), finder.field.text(), Style::new(), finder.editing);
        }
    }
}

fn filter_count(state: &State) -> String {
    let shown = state.list_len() as u64;
    match state.tab {
        Tab::Files if !state.files.at_shares() => {
            let (browse, index) = state.files.browse();
            if browse.pane.finder.filter.active {
                let took = match browse.took_us {
                    0..1000 => "in < 1 ms".to_owned(),
                    some => format!("in {} ms", format::count(some / 1000)),
                };
                return format!("{} of {}  {took}", format::count(shown), format::count(index.len() as u64));
            }
            let folder =
                browse.place.as_ref().and_then(|place| index.folder(index.folder_at(&place.owner, &place.path)?));
            folder.map_or_else(String::new, |folder| {
                format!("{}, {}", format::files(folder.files), format::bytes(folder.size))
            })
        }
        Tab::Files => format!("{} of {}", format::count(shown), format::count(state.files.shares.len() as u64)),
        Tab::Transfers => {
            let all = state.transfers.count(state.transfers.view);
            format!("{} of {}", format::count(shown), format::count(all as u64))
        }
        Tab::Inbox => {
            let all = state.inbox.count(state.inbox.view);
            format!("{} of {}", format::count(shown), format::count(all as u64))
        }
        Tab::Members => format!("{} of {}", format::count(shown), format::count(state.members.all.len() as u64)),
        Tab::Chat => format!("{} of {}", format::count(shown), format::count(state.chat.count(chat::View::All) as u64)),
    }
}

fn search_count(state: &State) -> String {
    let search = &state.files.search;
    let found = format::count(search.hits.len() as u64);
    match (search.due.is_some() || search.call.is_some(), search.answered.is_empty()) {
        (true, _) => format!("{found} found, asking{}", if state.setup.ascii { "..." } else { "…" }),
        (false, true) => String::new(),
        (false, false) => format!("{found} found"),
    }
}

fn tip(canvas: &mut Canvas<'_>, state: &State, area: Rect) {
    if area.height == 0 {
        return;
    }
    canvas.rule(Rect { height: 1, ..area }, "Welcome");
    let downloads =
        state.downloads.as_ref().map_or_else(|| "your download folder".to_owned(), |path| state.tilde(path));
    let lines = [
        format!("d fetches what is under the cursor into {downloads}; 2 shows how it goes."),
        "Nothing of yours is shared yet: ] goes to Mine, and a shares a file or folder.".to_owned(),
        "? lists the keys, : finds any command by name, Esc takes this tip away.".to_owned(),
    ];
    let inside = Rect::new(area.x + 1, area.y + 1, area.width.saturating_sub(2), area.height - 1);
    for (row, line) in (0..).zip(&lines) {
        canvas.line(inside, row, line, Style::new());
    }
}

fn message(canvas: &mut Canvas<'_>, state: &State, areas: &Areas) {
    let look = canvas.look;
    let area = if areas.message.height > 0 { areas.message } else { areas.hints };
    if area.height == 0 {
        return;
    }
    let unseen = state.messages.unseen();
    let mut end = area.right().saturating_sub(1);
    if unseen > 0 && areas.shape >= Shape::Narrow {
        let text = format!("log {} new: !", format::count(unseen as u64));
        end = canvas.text_right(area.x, end, area.y, &text, look.warning()).saturating_sub(2);
        canvas.target(Rect::new(end + 2, area.y, columns(&text), 1), Target::Action(Action::MessageLog));
    }
    let Some(message) = state.messages.current(state.now) else { return };
    let (prefix, style) = match message.level {
        NoticeLevel::Success => ("", Style::new()),
        NoticeLevel::Warning => ("", look.warning()),
        NoticeLevel::Error => ("! ", look.bad()),
    };
    let times = if message.times > 1 { format!(" ×{}", message.times) } else { String::new() };
    let hint =
        if message.hint.is_empty() { String::new() } else { format!("  {} {}", look.glyphs.dot, show(&message.hint)) };
    let room = usize::from(end.saturating_sub(area.x + 1));
    let text = format!("{prefix}{}{times}", show(&message.text));
    let text = format::cut_end(&text, room, look.glyphs.cut);
    let x = canvas.text(area.x + 1, area.y, &text, style, end.saturating_sub(area.x + 1));
    if x + columns(&hint) <= end {
        canvas.text(x, area.y, &hint, Style::new(), end.saturating_sub(x));
    }
}

fn hints(canvas: &mut Canvas<'_>, state: &State, areas: &Areas) {
    let (area, look) = (areas.hints, canvas.look);
    if area.height == 0 || (areas.message.height == 0 && state.messages.current(state.now).is_some()) {
        return;
    }
    let stack = state.contexts();
    let panes = stack.contains(&Context::Panes);
    let mut end = area.right().saturating_sub(1);
    let general: &[(Action, &str)] = match (panes, areas.shape) {
        (true, Shape::Split) => &[(Action::Zoom, "zoom"), (Action::Help, "keys"), (Action::Commands, "commands")],
        (true, _) => &[(Action::Help, "keys"), (Action::Commands, "cmds")],
        (false, _) => &[(Action::Help, "help")],
    };
    let in_form = stack.contains(&Context::Typing) || !panes;
    let general: Vec<(String, &str, Action)> = general
        .iter()
        .filter(|_| areas.shape > Shape::Pocket)
        .map(|(action, word)| {
            let key = if in_form { "F1".to_owned() } else { label(&stack, *action) };
            (key, *word, *action)
        })
        .collect();
    for (key, word, action) in general.iter().rev() {
        let text_width = columns(key) + 1 + columns(word);
        let from = end.saturating_sub(text_width);
        canvas.spans(from, end, area.y, [(key.as_str(), look.key()), (" ", Style::new()), (*word, Style::new())]);
        canvas.target(Rect::new(from, area.y, text_width, 1), Target::Action(*action));
        end = from.saturating_sub(2);
    }
    let mut x = area.x + u16::from(areas.shape > Shape::Pocket);
    if areas.shape == Shape::Pocket && panes {
        canvas.spans(x, area.right(), area.y, [("?", look.key()), (" keys", Style::new())]);
        canvas.target(Rect::new(x, area.y, 6, 1), Target::Action(Action::Help));
        return;
    }
    let mut seen = Vec::new();
    for row in keys::in_force(&stack) {
        let (Some(word), Some(key)) = (row.hint, row.keys.first()) else { continue };
        if (panes && lacks_item(state, row.action)) || completes_nothing(state, row.action) {
            continue;
        }
        // Not what is said already, nor a key that means something else here.
        if seen.contains(&row.action) || keys::lookup(&stack, *key) != Some(row.action) {
            continue;
        }
        seen.push(row.action);
        let word = hint_word(state, row.action, word);
        let key = key.label();
        let width = columns(&key) + 1 + columns(word);
        if x + width > end {
            break;
        }
        let from = x;
        x = canvas.spans(x, end, area.y, [(key.as_str(), look.key()), (" ", Style::new()), (word, Style::new())]);
        canvas.target(Rect::new(from, area.y, width, 1), Target::Action(row.action));
        x += 2;
    }
}

/// Whether Tab has nothing to complete in the line that is asked for.
fn completes_nothing(state: &State, action: Action) -> bool {
    let prompt = state.layers.last();
    let nothing = matches!(prompt, Some(Layer::Prompt(prompt)) if prompt.completes == Completes::Nothing);
    action == Action::Complete && nothing
}

/// Whether an action has nothing to work on here.
fn lacks_item(state: &State, action: Action) -> bool {
    let needs_one = matches!(
        action,
        Action::Pause
            | Action::Cancel
            | Action::Retry
            | Action::Raise
            | Action::Lower
            | Action::OpenFile
            | Action::OpenFolder
            | Action::Forget
            | Action::ForgetAll
            | Action::Open
            | Action::CopyMenu
            | Action::SayYes
            | Action::SayNo
            | Action::SayNever
            | Action::TakeBack
            | Action::WriteTo
    );
    if state.tab == Tab::Chat {
        return lacks_in_chat(state, action);
    }
    needs_one && matches!(state.tab, Tab::Transfers | Tab::Inbox) && state.list_len() == 0
}

/// The same in the chat, where what helps most is shown first.
fn lacks_in_chat(state: &State, action: Action) -> bool {
    let private = matches!(state.chat.selected(), Some(Room::Private(_)));
    let card = state.at_card().then(|| state.chosen_card()).flatten();
    match action {
        Action::SortMenu => true,
        Action::Leave => !private || card.is_some(),
        Action::Channel | Action::Write | Action::Offer | Action::Resend | Action::Mute | Action::CopyMenu
            if card.is_some() =>
        {
            true
        }
        Action::Mute | Action::Resend => private,
        Action::Cards => card.is_some() || state.cards().is_empty(),
        Action::SayYes => card.is_none_or(|(_, card)| card.stage != Stage::ForMe),
        Action::SayNo => state.item_here().is_none_or(|item| item.acts.is_empty()),
        Action::SayNever => state.item_here().is_none_or(|item| !item.acts.contains(&Act::Decline)),
        Action::OpenFile | Action::OpenFolder => state.card_path().is_none(),
        _ => false,
    }
}

/// A hint that says more where the state makes it clearer.
fn hint_word(state: &State, action: Action, word: &'static str) -> &'static str {
    match (action, &state.gate, state.layers.last()) {
        (Action::SayNo, ..) if state.at_card() && state.item_here().is_some_and(|item| !item.incoming) => "take back",
        (Action::Leave, ..) if state.chat.shown_channel().is_some_and(|channel| !channel.is_live()) => "close",
        (Action::Back, Some(gate), None) if gate.kind == Kind::SignIn => "work offline",
        (Action::Pause, _, None | Some(Layer::Page(_))) => {
            use crate::engine::api::TransferState as S;
            let paused = state.transfers.selected().is_some_and(|transfer| transfer.row.state == S::Paused);
            if paused { "go on" } else { word }
        }
        _ => word,
    }
}

/// Columns from which the tabs have their whole names.
const WIDE: u16 = 100;

fn label(stack: &[Context], action: Action) -> String {
    keys::key_of(stack, action).map(keys::Key::label).unwrap_or_default()
}
