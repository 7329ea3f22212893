//! Standing searches: every file that appears in this device's replica of the index is compared with them (`matching`,
//! pure), what matches is noted together with the page it came in, and told or fetched when that is possible (`keep`).

mod keep;
mod matching;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use shared::{
    id::{BlobHash, FileId},
    limits::{PAGE_ENTRIES_MAX, WISH_INDEX_WAIT, WISH_MATCHES_MAX, WISHES_MAX},
    show::show_line,
    wire::tracker::FileEntry,
};
use tokio::{sync::Notify, time::timeout};

pub use self::keep::run;
use self::matching::{Query, Text};
use super::{
    api::{Failure, FailureKind, Update, WishCommand, WishRow},
    core::{Core, now_ms},
    dispatch::Out,
    failure,
    state::{Match, MatchState, Tally, WishRecord},
};

/// The standing searches of this device.
#[derive(Debug, Default)]
pub struct Wishes {
    all: Mutex<Vec<Wish>>,
    /// Held while they change, and while a page of the index is compared with them and noted.
    pub gate: tokio::sync::Mutex<()>,
    /// Those that can remember no more matches.
    full: Mutex<BTreeSet<i64>>,
    listeners: Arc<AtomicUsize>,
    /// There may be something to tell or to fetch.
    pub wake: Notify,
}

#[derive(Debug, Clone)]
struct Wish {
    record: WishRecord,
    query: Query,
}

/// Somebody to whom matches can be told, until dropped.
#[derive(Debug)]
pub struct Listener(Arc<AtomicUsize>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wishes {
    /// Somebody follows what happens: matches that nobody was told of are told now.
    pub fn listen(&self) -> Listener {
        self.listeners.fetch_add(1, Ordering::Relaxed);
        self.wake.notify_one();
        Listener(self.listeners.clone())
    }

    fn is_heard(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
    }

    fn all(&self) -> Vec<Wish> {
        locked(&self.all).clone()
    }

    fn get(&self, no: i64) -> Option<WishRecord> {
        locked(&self.all).iter().find(|wish| wish.record.no == no).map(|wish| wish.record.clone())
    }

    /// These can remember no more matches.
    pub fn note_full(&self, full: BTreeSet<i64>) {
        if !full.is_empty() {
            locked(&self.full).extend(full);
        }
        self.wake.notify_one();
    }

    /// Whoever is signed in here is somebody else now, or nobody.
    pub fn forget(&self) {
        locked(&self.all).clear();
        locked(&self.full).clear();
    }
}

/// Reads the standing searches of earlier runs.
pub async fn load(core: &Core) -> Result<(), Failure> {
    let records = core.state.wishes().await.map_err(failure::unexpected)?;
    let read = records.into_iter().filter_map(|record| match Query::parse(&record.query) {
        Ok(query) => Some(Wish { record, query }),
        Err(error) => {
            tracing::error!(%error, "a standing search cannot be read");
            None
        }
    });
    *locked(&core.wishes.all) = read.collect();
    core.wishes.wake.notify_one();
    Ok(())
}

/// What of these files matches standing searches.
pub fn find(core: &Core, present: &[FileEntry]) -> Vec<Match> {
    let (wishes, Some(me)) = (core.wishes.all(), core.my_id()) else { return Vec::new() };
    if wishes.is_empty() {
        return Vec::new();
    }
    let texts = present.iter().filter_map(|entry| Some((entry, Text::of(entry, me)?)));
    let of_file = |(entry, text): (&FileEntry, Text)| {
        let matching = wishes.iter().filter(move |wish| wish.query.matches(&text));
        let (file, blob) = (entry.id, entry.blob);
        let noted = matching.map(move |wish| {
            let state = if wish.record.fetch { MatchState::Wanted } else { MatchState::New };
            Match { wish: wish.record.no, file, blob, state, reason: String::new() }
        });
        noted.collect::<Vec<_>>()
    };
    texts.flat_map(of_file).collect()
}

pub(super) async fn carry_out(core: &Arc<Core>, command: WishCommand, out: &Out) -> Result<(), Failure> {
    match command {
        WishCommand::List => {
            let tallies = core.state.wish_tallies().await.map_err(failure::unexpected)?;
            for wish in core.wishes.all() {
                let tally = tallies.get(&wish.record.no).copied().unwrap_or_default();
                out.send(Update::Wish(row(&wish.record, tally))).await?;
            }
            Ok(())
        }
        WishCommand::Add { query, fetch, up_to } => {
            let wish = add(core, query, fetch, up_to).await?;
            out.send(Update::Wish(wish)).await
        }
        WishCommand::Show { wish } => {
            let wish = named(core, &wish)?;
            let tallies = core.state.wish_tallies().await.map_err(failure::unexpected)?;
            out.send(Update::Wish(row(&wish, tallies.get(&wish.no).copied().unwrap_or_default()))).await?;
            let files = core.state.matched_files(wish.no, PAGE_ENTRIES_MAX).await.map_err(failure::unexpected)?;
            for file in files.iter().filter(|file| !core.peers.is_blocked(file.owner)) {
                out.send(Update::File(core.file_row(file))).await?;
            }
            core.state.matches_told(wish.no).await.map_err(failure::unexpected)
        }
        WishCommand::Remove { wish } => {
            let wish = named(core, &wish)?;
            let _gate = core.wishes.gate.lock().await;
            core.state.remove_wish(wish.no).await.map_err(failure::unexpected)?;
            locked(&core.wishes.all).retain(|other| other.record.no != wish.no);
            out.send(Update::Count(1)).await
        }
    }
}

async fn add(core: &Core, text: String, fetch: bool, up_to: Option<u64>) -> Result<WishRow, Failure> {
    let usage = |code: &str, message: String, hint: &str| Failure::new(FailureKind::Usage, code, message, hint);
    let query = Query::parse(&text).map_err(|error| {
        usage("bad_query", error.to_string(), "name words that the files have, like 'ubuntu ext:iso'")
    })?;
    // What is there already is no news: the index must be the tracker's before it can be told apart.
    core.session.online().await?;
    let mut in_step = core.session.in_step.subscribe();
    if !matches!(timeout(WISH_INDEX_WAIT, in_step.wait_for(|is| *is)).await, Ok(Ok(_))) {
        let message = "this device's index does not agree with the tracker's yet";
        return Err(Failure::new(FailureKind::Timeout, "index_behind", message, "try again in a moment"));
    }
    let _gate = core.wishes.gate.lock().await;
    let all = core.wishes.all();
    if let Some(same) = all.iter().find(|wish| wish.query == query) {
        let message = format!("there is such a standing search already: {}", same.record.id);
        let hint = "`swapmeet wish rm` removes it, if it should be another one";
        return Err(Failure::new(FailureKind::Conflict, "wish_exists", message, hint));
    }
    if all.len() >= WISHES_MAX {
        let message = format!("there are {WISHES_MAX} standing searches, which is the most");
        return Err(Failure::new(
            FailureKind::Refused,
            "too_many_wishes",
            message,
            "remove one with `swapmeet wish rm`",
        ));
    }
    let known = known_matches(core, &query).await?;
    let id = format!("{:016x}", rand::random::<u64>());
    let mut record = WishRecord { no: 0, id, query: text.trim().to_owned(), fetch, up_to, created_ms: now_ms() };
    record.no = core.state.add_wish(&record, &known).await.map_err(failure::unexpected)?;
    let tally = Tally { known: known.len() as u64, ..Tally::default() };
    let row = row(&record, tally);
    locked(&core.wishes.all).push(Wish { record, query });
    Ok(row)
}

/// What matches already.
async fn known_matches(core: &Core, query: &Query) -> Result<Vec<(FileId, BlobHash)>, Failure> {
    let me = core.my_id().ok_or_else(failure::signed_out)?;
    let (mut known, mut after) = (Vec::new(), None);
    loop {
        let page = core.state.index_page(after, PAGE_ENTRIES_MAX as u32).await.map_err(failure::unexpected)?;
        let matching = page.iter().filter(|entry| Text::of(entry, me).is_some_and(|text| query.matches(&text)));
        known.extend(matching.map(|entry| (entry.id, entry.blob)));
        if known.len() >= WISH_MATCHES_MAX {
            let message = format!("{WISH_MATCHES_MAX} files or more match that already");
            return Err(Failure::new(FailureKind::Usage, "too_broad", message, "add words that narrow it"));
        }
        let Some(last) = page.last().filter(|_| page.len() == PAGE_ENTRIES_MAX) else { return Ok(known) };
        after = Some(last.id);
    }
}

/// The standing search that somebody means: by its id or a unique prefix of it.
fn named(core: &Core, text: &str) -> Result<WishRecord, Failure> {
    let shown = show_line(text, 40);
    let hint = "`swapmeet wish ls` shows them";
    if text.len() < PREFIX_CHARS_MIN {
        let message = format!("'{shown}' is too short for the id of a standing search");
        return Err(Failure::new(FailureKind::Usage, "short_id", message, "give at least 4 digits of the id"));
    }
    let all = core.wishes.all();
    let mut matching = all.into_iter().filter(|wish| wish.record.id.starts_with(text));
    match (matching.next(), matching.next()) {
        (Some(wish), None) => Ok(wish.record),
        (Some(_), Some(_)) => {
            let message = format!("several standing searches begin with {shown}");
            Err(Failure::new(FailureKind::Usage, "ambiguous", message, "give more digits of the id"))
        }
        (None, _) => {
            let message = format!("there is no standing search {shown}");
            Err(Failure::new(FailureKind::NotFound, "no_wish", message, hint))
        }
    }
}

fn row(record: &WishRecord, tally: Tally) -> WishRow {
    WishRow {
        id: record.id.clone(),
        query: record.query.clone(),
        fetch: record.fetch,
        up_to: record.up_to,
        created_ms: record.created_ms,
        known: tally.known,
        matches: tally.matched,
        new: tally.new,
        wanted: tally.wanted,
        last_ms: tally.last_ms,
    }
}

/// Digits by which one can be named.
const PREFIX_CHARS_MIN: usize = 4;
