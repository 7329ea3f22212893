//! Standing searches, and what matched them.

use std::collections::{BTreeMap, BTreeSet};

use shared::{
    id::{BlobHash, FileId},
    limits::WISH_MATCHES_MAX,
    wire::tracker::FileEntry,
};
use sqlx::{QueryBuilder, Row, Sqlite, Transaction};

use super::{ROWS_AT_ONCE, State, StateError, signed, unreadable, unsigned};

/// A standing search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WishRecord {
    /// Number in this database.
    pub no: i64,
    /// 16 hexadecimal digits.
    pub id: String,
    /// As typed.
    pub query: String,
    /// Whether matches are fetched.
    pub fetch: bool,
    /// Bytes that a match may have to be fetched.
    pub up_to: Option<u64>,
    /// When it was made.
    pub created_ms: i64,
}

/// A file that matches a standing search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Number of the search.
    pub wish: i64,
    /// The file.
    pub file: FileId,
    /// Its content.
    pub blob: BlobHash,
    /// What is to be done, or was.
    pub state: MatchState,
    /// Why it stands so, for people; may be empty.
    pub reason: String,
}

/// Where a match stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchState {
    /// It was there before the search.
    Known = 0,
    /// To be fetched.
    Wanted = 1,
    /// To be told.
    New = 2,
    /// Told.
    Told = 3,
    /// Fetched, or being fetched.
    Fetched = 4,
}

/// What a standing search has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Matches from before it.
    pub known: u64,
    /// Matches since.
    pub matched: u64,
    /// Of these those that nobody was told of.
    pub new: u64,
    /// And those that are to be fetched.
    pub wanted: u64,
    /// When the last one appeared.
    pub last_ms: Option<i64>,
}

impl State {
    /// All standing searches, oldest first.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn wishes(&self) -> Result<Vec<WishRecord>, StateError> {
        let rows = sqlx::query("SELECT no, id, query, fetch, up_to, created_ms FROM wish ORDER BY no")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| {
                let up_to: Option<i64> = row.try_get(4)?;
                Ok(WishRecord {
                    no: row.try_get(0)?,
                    id: row.try_get(1)?,
                    query: row.try_get(2)?,
                    fetch: row.try_get(3)?,
                    up_to: up_to.map(unsigned),
                    created_ms: row.try_get(5)?,
                })
            })
            .collect()
    }

    /// Adds a standing search and what matches it already; returns its number.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn add_wish(&self, wish: &WishRecord, known: &[(FileId, BlobHash)]) -> Result<i64, StateError> {
        let mut tx = self.pool.begin().await?;
        let row = sqlx::query(
            "INSERT INTO wish (id, query, fetch, up_to, created_ms) VALUES ($1, $2, $3, $4, $5) RETURNING no",
        )
        .bind(&wish.id)
        .bind(&wish.query)
        .bind(wish.fetch)
        .bind(wish.up_to.map(signed))
        .bind(wish.created_ms)
        .fetch_one(&mut *tx)
        .await?;
        let no: i64 = row.try_get(0)?;
        for part in known.chunks(ROWS_AT_ONCE) {
            let mut insert = QueryBuilder::new("INSERT INTO wish_match (wish, file, blob, state, matched_ms) ");
            insert.push_values(part, |mut row, (file, blob)| {
                row.push_bind(no)
                    .push_bind(file.0.to_vec())
                    .push_bind(blob.0.to_vec())
                    .push_bind(MatchState::Known as i64)
                    .push_bind(wish.created_ms);
            });
            insert.build().execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(no)
    }

    /// Removes a standing search.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn remove_wish(&self, no: i64) -> Result<(), StateError> {
        sqlx::query("DELETE FROM wish WHERE no = $1").bind(no).execute(&self.pool).await?;
        Ok(())
    }

    /// What each standing search that has a match has come to.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn wish_tallies(&self) -> Result<BTreeMap<i64, Tally>, StateError> {
        let rows = sqlx::query(
            "SELECT wish, SUM(state = 0), SUM(state > 0), SUM(state = 2), SUM(state = 1),
             MAX(CASE WHEN state > 0 THEN matched_ms END) FROM wish_match GROUP BY wish",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let tally = Tally {
                    known: unsigned(row.try_get(1)?),
                    matched: unsigned(row.try_get(2)?),
                    new: unsigned(row.try_get(3)?),
                    wanted: unsigned(row.try_get(4)?),
                    last_ms: row.try_get(5)?,
                };
                Ok((row.try_get(0)?, tally))
            })
            .collect()
    }

    /// The oldest matches of all standing searches that stand so.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn matches_in(&self, state: MatchState, most: usize) -> Result<Vec<Match>, StateError> {
        let rows = sqlx::query(
            "SELECT wish, file, blob, reason FROM wish_match WHERE state = $1 AND state IN (1, 2)
             ORDER BY matched_ms LIMIT $2",
        )
        .bind(state as i64)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Match {
                    wish: row.try_get(0)?,
                    file: FileId::from_slice(row.try_get(1)?).ok_or_else(|| unreadable("the id of a file"))?,
                    blob: super::files::blob_of(row.try_get(2)?)?,
                    state,
                    reason: row.try_get(3)?,
                })
            })
            .collect()
    }

    /// The files that matched a standing search since it was made and are still there, newest match first.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn matched_files(&self, wish: i64, most: usize) -> Result<Vec<FileEntry>, StateError> {
        let rows = sqlx::query(
            "SELECT r.row FROM wish_match m JOIN replica r ON r.file = m.file
             WHERE m.wish = $1 AND m.state > 0 ORDER BY m.matched_ms DESC LIMIT $2",
        )
        .bind(wish)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok(postcard::from_bytes(row.try_get::<&[u8], _>(0)?)?)).collect()
    }

    /// A file of the replica.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn index_entry(&self, file: FileId) -> Result<Option<FileEntry>, StateError> {
        let row = sqlx::query("SELECT row FROM replica WHERE file = $1").bind(&file.0[..]);
        let Some(row) = row.fetch_optional(&self.pool).await? else { return Ok(None) };
        Ok(Some(postcard::from_bytes(row.try_get::<&[u8], _>(0)?)?))
    }

    /// A match stands so now.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn set_match(&self, of: &Match, state: MatchState, reason: &str) -> Result<(), StateError> {
        sqlx::query("UPDATE wish_match SET state = $4, reason = $5 WHERE wish = $1 AND file = $2 AND blob = $3")
            .bind(of.wish)
            .bind(&of.file.0[..])
            .bind(&of.blob.0[..])
            .bind(state as i64)
            .bind(reason)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Every new match of a standing search counts as told.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn matches_told(&self, wish: i64) -> Result<(), StateError> {
        sqlx::query("UPDATE wish_match SET state = 3 WHERE wish = $1 AND state = 2")
            .bind(wish)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// A match became this transfer.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn match_fetched(&self, of: &Match, transfer: &str, now_ms: i64) -> Result<(), StateError> {
        sqlx::query(
            "UPDATE wish_match SET state = 4, reason = '', transfer = $4, fetched_ms = $5
             WHERE wish = $1 AND file = $2 AND blob = $3",
        )
        .bind(of.wish)
        .bind(&of.file.0[..])
        .bind(&of.blob.0[..])
        .bind(transfer)
        .bind(now_ms)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// A match is forgotten: its file is gone.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn forget_match(&self, of: &Match) -> Result<(), StateError> {
        sqlx::query("DELETE FROM wish_match WHERE wish = $1 AND file = $2")
            .bind(of.wish)
            .bind(&of.file.0[..])
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The transfers that matches became, newest first, and how many of them began after a time.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn wish_transfers(&self, since_ms: i64, most: usize) -> Result<(Vec<String>, usize), StateError> {
        let rows = sqlx::query(
            "SELECT transfer, fetched_ms FROM wish_match WHERE fetched_ms IS NOT NULL ORDER BY fetched_ms DESC LIMIT $1",
        )
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        let mut recent = 0;
        let mut transfers = Vec::with_capacity(rows.len());
        for row in &rows {
            recent += usize::from(row.try_get::<i64, _>(1)? > since_ms);
            transfers.push(row.try_get(0)?);
        }
        Ok((transfers, recent))
    }

    /// Forgets the matches of a standing search whose files are gone. Tells how many.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn forget_gone_matches(&self, wish: i64) -> Result<u64, StateError> {
        let gone = sqlx::query("DELETE FROM wish_match WHERE wish = $1 AND file NOT IN (SELECT file FROM replica)")
            .bind(wish)
            .execute(&self.pool)
            .await?;
        Ok(gone.rows_affected())
    }
}

/// Notes new matches, of which each names the state to begin with. A content that a search was told of, or that was
/// fetched for it, is no new match under whatever name; a new version is one only where matches are fetched. Gives the
/// searches that hold no more.
pub(super) async fn note_matches(
    tx: &mut Transaction<'static, Sqlite>,
    matches: &[Match],
    now_ms: i64,
) -> Result<BTreeSet<i64>, StateError> {
    let mut room: BTreeMap<i64, i64> = BTreeMap::new();
    let mut full = BTreeSet::new();
    for found in matches {
        let left = match room.get(&found.wish) {
            Some(left) => *left,
            None => {
                let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM wish_match WHERE wish = $1")
                    .bind(found.wish)
                    .fetch_one(&mut **tx)
                    .await?;
                i64::try_from(WISH_MATCHES_MAX).unwrap_or(i64::MAX) - count
            }
        };
        if left <= 0 {
            full.insert(found.wish);
            room.insert(found.wish, 0);
            continue;
        }
        let noted = sqlx::query(
            "INSERT INTO wish_match (wish, file, blob, state, matched_ms) SELECT $1, $2, $3, $4, $5
             WHERE NOT EXISTS (SELECT 1 FROM wish_match
                WHERE wish = $1 AND blob = $3 AND ($4 = 2 OR state IN (0, 1, 4)))
             ON CONFLICT (wish, file) DO UPDATE
             SET blob = excluded.blob, state = excluded.state, matched_ms = excluded.matched_ms, reason = ''
             WHERE excluded.state = 1 AND wish_match.blob <> excluded.blob",
        )
        .bind(found.wish)
        .bind(&found.file.0[..])
        .bind(&found.blob.0[..])
        .bind(found.state as i64)
        .bind(now_ms)
        .execute(&mut **tx)
        .await?;
        room.insert(found.wish, left - i64::from(noted.rows_affected() > 0));
    }
    Ok(full)
}
