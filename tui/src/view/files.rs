//! The files pane.

use ratatui::{layout::Rect, style::Style};
use shared::{show::show, wire::tracker::CopyState};

use super::{
    canvas::{Canvas, wrap},
    table::{self, Cell, Column, Row, left, right},
};
use crate::{
    app::{
        State,
        files::View,
        filter::FilterMatcher,
        format,
        index::{self, Folder, Item, SortBy},
        layout::{Areas, Shape},
    },
    engine::api::{Connection, ShareRow, ShareState, SourceKind},
};

pub(super) fn draw(canvas: &mut Canvas<'_>, state: &State, areas: &Areas) {
    if state.files.at_shares() {
        shares(canvas, state, areas);
        return;
    }
    let shown = file_columns(areas);
    table::head(canvas, areas.head, &shown);
    let (browse, index) = state.files.browse();
    if browse.order.is_empty() {
        empty(canvas, state, areas.list);
    }
    let mut matcher = FilterMatcher::new();
    table::body(canvas, areas.list, &shown, browse.pane.list, browse.order.len(), |at| {
        browse
            .item(index, at)
            .map_or_else(Row::default, |item| row(canvas_look(state), state, item, &shown, &mut matcher))
    });
    if areas.detail.height > 0 {
        detail(canvas, state, areas);
    }
}

fn canvas_look(state: &State) -> super::canvas::Look {
    super::look(state)
}

fn file_columns(areas: &Areas) -> Vec<Column> {
    let width = areas.list.width;
    let name = left("NAME", 0, SortBy::Name);
    let (size, sources) = (right("SIZE", 9, SortBy::Size), left("SRC", 6, SortBy::Sources));
    match areas.shape {
        Shape::TooSmall | Shape::Pocket => vec![name, right("SIZE", 8, SortBy::Size)],
        Shape::Narrow if width < 66 => vec![name, size],
        Shape::Narrow => vec![name, size, sources],
        Shape::Strip => {
            vec![name, size, sources, left("OWNER", 10, SortBy::Owner), right("ADDED", 6, SortBy::Added)]
        }
        Shape::Split => vec![
            name,
            size,
            sources,
            left("OWNER", 16, SortBy::Owner),
            Column { title: "SEEN BY", width: 7, right: false, sort: None },
            right("ADDED", 6, SortBy::Added),
        ],
    }
}

fn row(look: super::canvas::Look, state: &State, item: Item<'_>, shown: &[Column], matcher: &mut FilterMatcher) -> Row {
    let (browse, _) = state.files.browse();
    let glyphs = look.glyphs;
    let key = item.key();
    let marked = browse.pane.marks.contains(&key);
    let word = source_word(state, item);
    let (name, size, owner, added, audience) = match item {
        Item::File(row) => (show(row.name()), row.size, &row.owner, row.shared_ms, &*row.audience),
        Item::Folder(folder) => (format!("{}/", show(folder.name())), folder.size, &folder.owner, folder.shared_ms, ""),
    };
    let tail = match item {
        Item::File(_) => String::new(),
        Item::Folder(folder) => format!("  ({})", format::files(folder.files)),
    };
    let (mark, mark_style) = match item {
        _ if marked => ("*", look.strong()),
        Item::File(row) if row.hazard => ("!", look.warning()),
        Item::File(row) if row.have => (glyphs.have, look.good()),
        _ if state.fetching(&key) => (glyphs.down, look.active()),
        Item::File(_) if word == "away" => ("x", look.warning()),
        Item::File(_) | Item::Folder(_) => (" ", Style::new()),
    };
    let matched = browse.pane.finder.filter.matched(&name, matcher);
    let word_style = match word {
        "online" => look.good(),
        "away" => look.warning(),
        _ => Style::new(),
    };
    let cells = shown.iter().map(|column| match column.title {
        "NAME" => Cell::name(name.clone(), matched.clone()).with_tail(tail.clone()),
        "SIZE" => Cell::new(format::bytes(size)),
        "SRC" => Cell::styled(word, word_style),
        "OWNER" => Cell::new(show(owner)),
        "ADDED" => Cell::new(format::moment(added, state.now, &state.setup.zone)),
        _ => Cell::new(show(audience)),
    });
    Row { mark, mark_style, cells: cells.collect() }
}

/// Where it would come from, in a word.
fn source_word(state: &State, item: Item<'_>) -> &'static str {
    let here = |owner: &str| state.members.online.contains(owner);
    match item {
        Item::File(row) if row.mine => "mine",
        Item::File(row) if here(&row.owner) => "online",
        Item::File(row) if row.copy == CopyState::Stored => "copy",
        Item::File(row) if row.available => "others",
        Item::Folder(folder) if folder.mine => "mine",
        Item::Folder(folder) if here(&folder.owner) => "online",
        Item::File(_) | Item::Folder(_) => "away",
    }
}

fn empty(canvas: &mut Canvas<'_>, state: &State, area: Rect) {
    let (browse, _) = state.files.browse();
    let offline = !matches!(state.connection, Connection::Online { .. });
    let filter = show(browse.pane.finder.field.text());
    let lines: Vec<String> = match state.files.view {
        View::Search => {
            let search = &state.files.search;
            match (&search.failure, search.call.is_some() || search.due.is_some(), search.answered.is_empty()) {
                (Some(failure), ..) => vec![show(&failure.message), show(&failure.hint)],
                (None, true, _) => vec!["Asking the tracker…".to_owned()],
                (None, false, true) => vec![
                    "Type to search names, paths, owners and notes at the tracker.".to_owned(),
                    "Public is searched here, without the network: Esc and ] go there.".to_owned(),
                ],
                (None, false, false) => vec![
                    format!("Nothing at the tracker matches {}.", show(&search.answered)),
                    "/ changes the words, Esc clears them.".to_owned(),
                ],
            }
        }
        View::Public | View::Mine if browse.busy() || (!state.files.loaded && !offline) => {
            vec!["Reading the index…".to_owned()]
        }
        View::Public | View::Mine if browse.pane.finder.filter.active => {
            vec![format!("Nothing matches {filter}."), "Esc clears the filter.".to_owned()]
        }
        View::Public | View::Mine if browse.place.is_some() => {
            vec!["There is nothing in here (any more).".to_owned(), "h goes up.".to_owned()]
        }
        View::Public if state.me().is_none() => {
            vec!["Nobody is signed in on this device.".to_owned(), ": sign-in opens the form.".to_owned()]
        }
        View::Public | View::Mine => vec![
            "Nobody shares anything yet.".to_owned(),
            "Be the first: ] goes to Mine, and a shares a file or folder.".to_owned(),
        ],
    };
    super::empty(canvas, area, &lines);
}

fn shares(canvas: &mut Canvas<'_>, state: &State, areas: &Areas) {
    let look = canvas.look;
    let mut shown = vec![left("NAME", 0, SortBy::Name), right("SIZE", 9, SortBy::Size)];
    if areas.shape >= Shape::Narrow {
        shown.insert(1, right("FILES", 7, SortBy::Shares));
        shown.push(Column { title: "STATE", width: 10, right: false, sort: None });
    }
    if areas.shape == Shape::Split {
        shown.push(Column { title: "LIES IN", width: 40, right: false, sort: None });
    }
    table::head(canvas, areas.head, &shown);
    let files = &state.files;
    if files.share_order.is_empty() {
        let lines: &[String] = &if files.share_pane.finder.filter.active {
            vec![
                format!("Nothing matches {}.", show(files.share_pane.finder.field.text())),
                "Esc clears the filter.".to_owned(),
            ]
        } else {
            vec![
                "You share nothing yet, and nothing is shared by itself.".to_owned(),
                "a shares a file or folder; it stays where it is.".to_owned(),
            ]
        };
        super::empty(canvas, areas.list, lines);
    }
    let list = files.share_pane.list;
    table::body(canvas, areas.list, &shown, list, files.share_order.len(), |at| {
        let Some(share) = files.share_order.get(at).and_then(|at| files.shares.get(*at)) else { return Row::default() };
        let (word, style) = share_word(look, share);
        let name = if share.folder { format!("{}/", show(&share.name)) } else { show(&share.name) };
        let (mark, mark_style) = match share.state {
            ShareState::Ready | ShareState::Hashing => (" ", Style::new()),
            ShareState::Missing | ShareState::Trouble(_) => ("!", look.warning()),
        };
        let cells = shown.iter().map(|column| match column.title {
            "NAME" => Cell::name(name.clone(), Vec::new()),
            "FILES" => Cell::new(format::count(share.files)),
            "SIZE" => Cell::new(format::bytes(share.size)),
            "STATE" => Cell::styled(word, style),
            _ => Cell::name(share.local.parent().map(|folder| state.tilde(folder)).unwrap_or_default(), Vec::new()),
        });
        Row { mark, mark_style, cells: cells.collect() }
    });
    if areas.detail.height == 0 {
        return;
    }
    let Some(share) = files.selected_share() else {
        canvas.rule(Rect { height: 1, ..areas.detail }, "");
        return;
    };
    canvas.rule(Rect { height: 1, ..areas.detail }, &show(&share.name));
    let inside = super::inside(areas.detail);
    let dot = look.glyphs.dot;
    let first =
        format!("{} {dot} {} {dot} {}", format::bytes(share.size), format::files(share.files), share_sentence(share));
    canvas.line(inside, 0, &first, Style::new());
    canvas.line(inside, 1, &format!("lies in {}", state.tilde(&share.local)), Style::new());
    canvas.line(inside, 2, "served from there, never copied or moved; x takes it out of the index", Style::new());
}

fn share_word(look: super::canvas::Look, share: &ShareRow) -> (&'static str, Style) {
    match share.state {
        ShareState::Ready => ("shared", look.good()),
        ShareState::Hashing => ("hashing", look.active()),
        ShareState::Missing => ("missing", look.warning()),
        ShareState::Trouble(_) => ("trouble", look.warning()),
    }
}

fn share_sentence(share: &ShareRow) -> String {
    match &share.state {
        ShareState::Ready => "in the index and served".to_owned(),
        ShareState::Hashing => "being hashed; members see each file when its hash is known".to_owned(),
        ShareState::Missing => "not there now: an unplugged drive or a moved folder? r looks again".to_owned(),
        ShareState::Trouble(text) => show(text),
    }
}

fn detail(canvas: &mut Canvas<'_>, state: &State, areas: &Areas) {
    let top = Rect { height: 1, ..areas.detail };
    let Some(item) = state.files.selected() else {
        canvas.rule(top, "");
        return;
    };
    let title = match item {
        Item::File(row) => show(row.name()),
        Item::Folder(folder) => format!("{}/", show(folder.name())),
    };
    canvas.rule(top, &title);
    let inside = super::inside(areas.detail);
    if areas.shape != Shape::Split {
        for (row, line) in (0..).zip(strip(state, item)) {
            canvas.line(inside, row, &line, Style::new());
        }
        return;
    }
    let middle = areas.detail.x + areas.detail.width / 2;
    super::divide(canvas, areas.detail, areas.rule, middle, "Sources");
    let left = Rect { width: middle - inside.x - 1, ..inside };
    let right = Rect { x: middle + 2, width: areas.detail.right().saturating_sub(middle + 3), ..inside };
    let facts = match item {
        Item::File(row) => file_facts(state, row, usize::from(left.width)),
        Item::Folder(folder) => folder_facts(state, folder),
    };
    for (row, line) in (0..).zip(facts) {
        canvas.line(left, row, &line, Style::new());
    }
    for (row, line) in (0..).zip(source_lines(state, item)) {
        canvas.line(right, row, &line, Style::new());
    }
}

fn strip(state: &State, item: Item<'_>) -> Vec<String> {
    let dot = super::look(state).glyphs.dot;
    match item {
        Item::File(row) => {
            let note = row.note.as_ref().map(|note| format!("{} wrote: \"{}\"", show(&row.owner), show(note)));
            let sources = source_summary(state, row);
            let own = match (row.mine, row.have) {
                (true, _) => "it is yours",
                (false, true) => "you have it, complete and verified",
                (false, false) if state.fetching(&item.key()) => "it is being fetched: 2 shows how far it is",
                (false, false) => "you have nothing of it",
            };
            vec![
                format!(
                    "{} {dot} {} {dot} shared by {} {dot} {}",
                    format::bytes(row.size),
                    sources,
                    show(&row.owner),
                    short_hash(row)
                ),
                format!("{own} {dot} {}", audience(row)),
                note.unwrap_or_else(|| format!("in {}", show(&format!("{}/{}", row.owner, row.path)))),
            ]
        }
        Item::Folder(folder) => {
            let here = if state.members.online.contains(&*folder.owner) { "who is online" } else { "who is away" };
            vec![
                format!(
                    "{} {dot} {} {dot} shared by {}, {here}",
                    format::bytes(folder.size),
                    format::files(folder.files),
                    show(&folder.owner)
                ),
                "Enter opens it, d fetches all of it".to_owned(),
                format!("newest file of {}", format::moment_full(folder.shared_ms, &state.setup.zone)),
            ]
        }
    }
}

fn short_hash(row: &index::Row) -> String {
    let hash = row.hash.to_string();
    format!("b3:{}…{}", &hash[..4], &hash[hash.len() - 4..])
}

fn audience(row: &index::Row) -> String {
    let who = match &*row.audience {
        "public" => "every member sees it".to_owned(),
        "ask" => "fetched when the owner agrees".to_owned(),
        "people" => "only some members see it".to_owned(),
        "hidden" => "only its link leads here".to_owned(),
        other => show(other),
    };
    if row.protected { format!("{who}, with a password") } else { who }
}

/// How many sources there are, as far as is known.
fn source_summary(state: &State, row: &index::Row) -> String {
    let looked = state.files.looked.as_ref().filter(|looked| looked.key == Item::File(row).key());
    if let Some(detail) = looked.and_then(|looked| looked.detail.as_ref()) {
        let online = detail.sources.iter().filter(|source| source.online).count() as u64;
        let all = detail.sources.len() as u64;
        return format!("{}, {} there now", format::plural(all, "source", "sources"), format::count(online));
    }
    match source_word(state, Item::File(row)) {
        "mine" => "served from here".to_owned(),
        "online" => "its owner is online".to_owned(),
        "copy" => "the tracker has a copy".to_owned(),
        "others" => "somebody who has it is online".to_owned(),
        _ => "nobody who has it is online".to_owned(),
    }
}

/// Everything known about a file, one fact a line.
pub(super) fn file_facts(state: &State, row: &index::Row, width: usize) -> Vec<String> {
    let zone = &state.setup.zone;
    let copy = match row.copy {
        CopyState::Absent => "none on the tracker",
        CopyState::Pending => "asked for, not yet on the tracker",
        CopyState::Stored => "kept on the tracker, verified",
    };
    let own = match (row.mine, row.have) {
        (true, _) => "it is yours",
        (false, true) => "complete and verified",
        (false, false) => "nothing of it",
    };
    let mut lines = vec![
        format!("size      {} ({} bytes)", format::bytes(row.size), format::count(row.size)),
        format!("path      {}", show(&format!("{}/{}", row.owner, row.path))),
        format!("you have  {own}"),
        format!("seen by   {}", audience(row)),
        format!("copy      {copy}"),
        format!("shared    {} by {}", format::moment_full(row.shared_ms, zone), show(&row.owner)),
        format!("changed   {}, version {}", format::moment_full(row.modified_ms, zone), row.version),
    ];
    if row.hazard {
        lines.insert(0, "WARNING   the name holds characters that hide or disguise something".to_owned());
    }
    if let Some(note) = &row.note {
        let note = wrap(&format!("\"{}\"", show(note)), width.saturating_sub(10).max(10));
        lines.extend(
            note.iter()
                .enumerate()
                .map(|(at, line)| if at == 0 { format!("note      {line}") } else { format!("          {line}") }),
        );
    }
    let hash = format!("b3:{}", row.hash);
    lines.push(format!("hash      {}", format::cut_middle(&hash, width.saturating_sub(10).max(12), "…")));
    lines
}

fn folder_facts(state: &State, folder: &Folder) -> Vec<String> {
    vec![
        format!("holds     {}, {}", format::files(folder.files), format::bytes(folder.size)),
        format!("path      {}", show(&format!("{}/{}", folder.owner, folder.path))),
        format!("owner     {}", show(&folder.owner)),
        format!("newest    {}", format::moment_full(folder.shared_ms, &state.setup.zone)),
        String::new(),
        "Enter opens it, d fetches all of it.".to_owned(),
    ]
}

/// Who has it, one source a line.
pub(super) fn source_lines(state: &State, item: Item<'_>) -> Vec<String> {
    let Item::File(row) = item else {
        return vec!["Each file in it has sources of its own.".to_owned()];
    };
    let looked = state.files.looked.as_ref().filter(|looked| looked.key == item.key());
    let Some(looked) = looked else { return Vec::new() };
    if let Some(failure) = &looked.failure {
        return vec![source_summary(state, row), show(&failure.message)];
    }
    let Some(detail) = &looked.detail else { return vec!["asking who has it…".to_owned()] };
    if detail.sources.is_empty() {
        return vec!["Nobody has it now. d waits for it and starts by itself.".to_owned()];
    }
    let mut lines = vec![format!("{:<18}{:<12}{:>10}", "WHO", "THERE", "HAS")];
    for source in &detail.sources {
        let who = match (&source.member, source.kind) {
            (Some(member), SourceKind::Peer) => show(member),
            (_, SourceKind::Copy) => "tracker's copy".to_owned(),
            (None, SourceKind::Peer) => "a member".to_owned(),
        };
        let who = format::cut_end(&who, 16, "…");
        let pad = " ".repeat(18 - format::width(&who));
        let there = if source.online { "now" } else { "away" };
        let has = if source.holder { "some".to_owned() } else { format::bytes(source.have) };
        lines.push(format!("{who}{pad}{there:<12}{has:>10}"));
    }
    if detail.versions.len() > 1 {
        lines.push(String::new());
        lines.push(format!("{} versions, the newest shown", format::count(detail.versions.len() as u64)));
    }
    lines
}

/// The page of details of what is under the cursor.
pub(super) fn page(state: &State, width: usize) -> (String, Vec<String>) {
    if state.files.at_shares() {
        return state.files.selected_share().map_or_else(
            || (String::new(), Vec::new()),
            |share| {
                let lines = vec![
                    format!("size      {}", format::bytes(share.size)),
                    format!("files     {}", format::count(share.files)),
                    format!("state     {}", share_sentence(share)),
                    format!("lies in   {}", state.tilde(&share.local)),
                ];
                (show(&share.name), lines)
            },
        );
    }
    match state.files.selected() {
        None => (String::new(), vec!["It is no longer in the index.".to_owned()]),
        Some(item @ Item::File(row)) => {
            let mut lines = file_facts(state, row, width);
            lines.extend([String::new(), "sources".to_owned()]);
            lines.extend(source_lines(state, item).into_iter().map(|line| format!("  {line}")));
            lines.extend([String::new(), format!("link      {}", show(&row.link()))]);
            (show(row.name()), lines)
        }
        Some(item @ Item::Folder(folder)) => {
            let mut lines = folder_facts(state, folder);
            lines.extend(source_lines(state, item));
            (show(folder.name()), lines)
        }
    }
}
