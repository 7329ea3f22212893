//! Search by parts of names, paths, owners and notes.
//!
//! The trigram index gives matches newest first, and reading stops as soon as there are enough: no query sorts
//! everything it matches. The newest [`SEARCH_RANKED_MAX`] are put in order of quality. Words too short for the index
//! narrow what it gives, or are looked for by reading the narrow table of texts.

use std::collections::HashMap;

use shared::{
    limits::{SEARCH_HITS_MAX, SEARCH_RANKED_MAX, SEARCH_SHORT_WORDS_MAX},
    name::FoldKey,
    wire::tracker::FileEntry,
};
use sqlx::{Row, SqliteConnection};

use super::{
    Me, Result, me,
    rows::{self, Budget, file_tables, hidden_from_me, listed, select_files},
};
use crate::store::{Caller, Words};

/// All of up to four short words; an absent one is empty and so found everywhere.
macro_rules! short_words {
    () => {
        " instr(s.text, $5) > 0 AND instr(s.text, $6) > 0 AND instr(s.text, $7) > 0 AND instr(s.text, $8) > 0 AND "
    };
}

/// Matches by the index.
const BY_INDEX: &str = concat!(
    "SELECT f.no AS no, f.fold AS fold FROM search_index i JOIN files f ON f.no = i.rowid
     WHERE i.search_index MATCH $2 AND",
    listed!(),
    "ORDER BY i.rowid DESC LIMIT $3 OFFSET $4"
);

/// Matches by the index that hold short words too.
const BY_INDEX_AND_TEXT: &str = concat!(
    "SELECT f.no AS no, f.fold AS fold FROM search_index i JOIN search s ON s.file = i.rowid
     JOIN files f ON f.no = i.rowid WHERE i.search_index MATCH $2 AND",
    short_words!(),
    listed!(),
    "ORDER BY i.rowid DESC LIMIT $3 OFFSET $4"
);

/// Matches of short words only.
const BY_TEXT: &str = concat!(
    "SELECT f.no AS no, f.fold AS fold FROM search s CROSS JOIN files f ON f.no = s.file WHERE $2 = '' AND",
    short_words!(),
    listed!(),
    "ORDER BY s.file DESC LIMIT $3 OFFSET $4"
);

pub(super) async fn search(
    connection: &mut SqliteConnection,
    caller: &Caller,
    words: &Words,
    offset: u32,
) -> Result<(Vec<FileEntry>, bool)> {
    let me = me(connection, caller).await?;
    let offset = offset as usize;
    if words.is_empty() {
        return Ok((Vec::new(), false));
    }
    let (mut found, skip) = if offset < SEARCH_RANKED_MAX {
        let mut found = matches(connection, me, words, SEARCH_RANKED_MAX + 1, 0).await?;
        let ranked = found.len().min(SEARCH_RANKED_MAX);
        found[..ranked].sort_by_cached_key(|(_, fold)| quality(fold, words));
        (found, offset)
    } else {
        (matches(connection, me, words, SEARCH_HITS_MAX + 1, offset).await?, 0)
    };
    found.drain(..skip.min(found.len()));
    let page = found.len().min(SEARCH_HITS_MAX);
    let files = load(connection, me, &found[..page]).await?;
    let mut budget = Budget::of(SEARCH_HITS_MAX);
    let fitting = files.iter().take_while(|file| budget.take_file(file)).count();
    let more = fitting < found.len();
    Ok((files.into_iter().take(fitting).map(|file| file.entry).collect(), more))
}

/// Matches newest first.
async fn matches(
    connection: &mut SqliteConnection,
    me: Me,
    words: &Words,
    limit: usize,
    offset: usize,
) -> Result<Vec<(i64, String)>> {
    let query = sqlx::query(match (words.long.is_empty(), words.short.is_empty()) {
        (false, true) => BY_INDEX,
        (false, false) => BY_INDEX_AND_TEXT,
        (true, _) => BY_TEXT,
    });
    let mut query = query
        .bind(me.account)
        .bind(phrases(&words.long))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .bind(i64::try_from(offset).unwrap_or(i64::MAX));
    for place in 0..SEARCH_SHORT_WORDS_MAX {
        query = query.bind(words.short.get(place).map_or("", String::as_str).to_owned());
    }
    query.fetch_all(connection).await?.iter().map(|row| Ok((row.try_get("no")?, row.try_get("fold")?))).collect()
}

/// Words as phrases, so that nothing in them is an operator of the index's query language.
fn phrases(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{}\"", word.replace('"', "\"\""))).collect();
    quoted.join(" AND ")
}

/// Smaller is better: all words in the name, then in the path, then anywhere.
fn quality(fold: &str, words: &Words) -> u8 {
    let all_in = |text: &str| words.long.iter().chain(&words.short).all(|word| text.contains(word.as_str()));
    let folded = FoldKey::of(fold);
    let fold = folded.as_str();
    let name = fold.rsplit_once('/').map_or(fold, |(_, name)| name);
    if all_in(name) {
        0
    } else if all_in(fold) {
        1
    } else {
        2
    }
}

async fn load(connection: &mut SqliteConnection, me: Me, page: &[(i64, String)]) -> Result<Vec<rows::FileRow>> {
    let query = sqlx::query(select_files!("WHERE f.no IN (SELECT value FROM json_each($1))"))
        .bind(rows::number_list(page.iter().map(|(no, _)| *no)));
    let mut files = rows::files(connection, me, query).await?;
    let place: HashMap<i64, usize> = page.iter().enumerate().map(|(place, (no, _))| (*no, place)).collect();
    files.sort_by_key(|file| place.get(&file.no).copied());
    Ok(files)
}
