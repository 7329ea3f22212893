//! What a change of the index does besides the file rows: counts of folders and accounts, sequence numbers, tombstones,
//! copies. Collected while a transaction decides, written in a few statements at its end.

use std::collections::{BTreeMap, BTreeSet};

use shared::{
    id::{BlobHash, FileId},
    limits::{INSERT_ROWS_MAX, TOMBSTONE_CHANGES_MAX},
};
use sqlx::{QueryBuilder, Row as _, SqliteConnection};

use super::{
    Result, fact,
    rows::{self, CLAIM_PENDING, fetchable_by},
    set_fact,
};
use crate::store::Effects;

/// Viewer of what every member sees.
pub(super) const EVERYONE: i64 = 0;

/// Changes waiting to be written.
#[derive(Debug)]
pub(super) struct Ledger {
    owner: i64,
    seq_before: i64,
    seq: i64,
    counts: BTreeMap<(i64, i64), (i64, i64)>,
    shrank: bool,
    files: i64,
    listed: (i64, i64),
    shares: i64,
    gone: Vec<(i64, i64, FileId)>,
    unreferenced: BTreeSet<BlobHash>,
    wanted: BTreeMap<BlobHash, u64>,
}

/// What a file counts for, before or after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Weight<'a> {
    /// Who sees it: everyone, accounts, or minus a device.
    pub(super) viewers: &'a [i64],
    /// Folders above it.
    pub(super) folders: &'a [i64],
    /// Bytes.
    pub(super) size: u64,
}

impl Ledger {
    pub(super) async fn open(tx: &mut SqliteConnection, owner: i64) -> Result<Self> {
        let seq = fact(tx, "seq").await?;
        Ok(Self {
            owner,
            seq_before: seq,
            seq,
            counts: BTreeMap::new(),
            shrank: false,
            files: 0,
            listed: (0, 0),
            shares: 0,
            gone: Vec::new(),
            unreferenced: BTreeSet::new(),
            wanted: BTreeMap::new(),
        })
    }

    /// The next sequence number.
    pub(super) fn next_seq(&mut self) -> i64 {
        self.seq += 1;
        self.seq
    }

    /// Counts a file in.
    pub(super) fn add(&mut self, weight: &Weight<'_>) {
        self.count(weight, 1);
    }

    /// Counts a file out.
    pub(super) fn remove(&mut self, weight: &Weight<'_>) {
        self.shrank = true;
        self.count(weight, -1);
    }

    fn count(&mut self, weight: &Weight<'_>, sign: i64) {
        let bytes = sign * i64::try_from(weight.size).unwrap_or(i64::MAX);
        for folder in weight.folders {
            for viewer in weight.viewers {
                let (files, sum) = self.counts.entry((*folder, *viewer)).or_default();
                *files += sign;
                *sum += bytes;
            }
        }
        self.files += sign;
        if weight.viewers.iter().any(|viewer| *viewer >= EVERYONE) {
            self.listed.0 += sign;
            self.listed.1 += bytes;
        }
        if weight.viewers.contains(&EVERYONE) {
            self.shares += sign;
        }
    }

    /// Files that this account has more than before.
    pub(super) const fn growth(&self) -> i64 {
        self.files
    }

    /// Whether the number of files that every member sees changed.
    pub(super) const fn shares_changed(&self) -> bool {
        self.shares != 0
    }

    /// Newest sequence number, if there is a new one.
    pub(super) fn moved_to(&self) -> Option<u64> {
        (self.seq > self.seq_before).then(|| self.seq.unsigned_abs())
    }

    /// The file is no longer there for these viewers.
    pub(super) fn bury(&mut self, id: FileId, viewers: impl IntoIterator<Item = i64>) {
        let seq = self.next_seq();
        self.gone.extend(viewers.into_iter().filter(|viewer| *viewer >= EVERYONE).map(|viewer| (seq, viewer, id)));
    }

    /// One file less wants a copy of this content.
    pub(super) fn release_copy(&mut self, blob: BlobHash) {
        self.unreferenced.insert(blob);
    }

    /// One file more wants a copy of this content.
    pub(super) fn want_copy(&mut self, blob: BlobHash, size: u64) {
        self.wanted.insert(blob, size);
    }

    /// Whether copies are to be fetched.
    pub(super) fn wants_copies(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Writes everything, after the file rows were written. Returns what became of copies and claims to them.
    pub(super) async fn write(self, tx: &mut SqliteConnection, now_ms: i64) -> Result<Effects> {
        self.write_counts(tx).await?;
        for chunk in self.gone.chunks(INSERT_ROWS_MAX) {
            QueryBuilder::new("INSERT INTO gone (seq, viewer, id) ")
                .push_values(chunk, |mut row, (seq, viewer, id)| {
                    row.push_bind(*seq).push_bind(*viewer).push_bind(rows::bytes(id.as_bytes()));
                })
                .build()
                .persistent(false)
                .execute(&mut *tx)
                .await?;
        }
        if self.seq > self.seq_before {
            set_fact(tx, "seq", self.seq).await?;
        }
        if !self.gone.is_empty() {
            forget_old_tombstones(tx, self.seq).await?;
        }
        for (blob, size) in &self.wanted {
            want(tx, self.owner, (*blob, *size), now_ms).await?;
        }
        release(tx, self.unreferenced).await
    }

    async fn write_counts(&self, tx: &mut SqliteConnection) -> Result<()> {
        let counts: Vec<_> = self.counts.iter().filter(|(_, change)| **change != (0, 0)).collect();
        for chunk in counts.chunks(INSERT_ROWS_MAX) {
            QueryBuilder::new("INSERT INTO folder_counts (folder, viewer, files, bytes) ")
                .push_values(chunk, |mut row, ((folder, viewer), (files, bytes))| {
                    row.push_bind(*folder).push_bind(*viewer).push_bind(*files).push_bind(*bytes);
                })
                .push(
                    " ON CONFLICT (folder, viewer) DO UPDATE SET files = files + excluded.files,
                      bytes = bytes + excluded.bytes",
                )
                .build()
                .persistent(false)
                .execute(&mut *tx)
                .await?;
        }
        if self.shrank {
            let touched = rows::number_list(self.counts.keys().map(|(folder, _)| *folder).collect::<BTreeSet<_>>());
            sqlx::query("DELETE FROM folder_counts WHERE files = 0 AND folder IN (SELECT value FROM json_each($1))")
                .bind(&touched)
                .execute(&mut *tx)
                .await?;
            sqlx::query(
                "DELETE FROM folders WHERE no IN (SELECT value FROM json_each($1))
                 AND NOT EXISTS (SELECT 1 FROM folder_counts k WHERE k.folder = folders.no)",
            )
            .bind(&touched)
            .execute(&mut *tx)
            .await?;
        }
        if (self.files, self.listed, self.shares) != (0, (0, 0), 0) {
            sqlx::query(
                "UPDATE accounts SET files = files + $2, listed_files = listed_files + $3,
                 listed_bytes = listed_bytes + $4, shares = shares + $5 WHERE no = $1",
            )
            .bind(self.owner)
            .bind(self.files)
            .bind(self.listed.0)
            .bind(self.listed.1)
            .bind(self.shares)
            .execute(&mut *tx)
            .await?;
        }
        Ok(())
    }
}

async fn forget_old_tombstones(tx: &mut SqliteConnection, seq: i64) -> Result<()> {
    let oldest = seq - TOMBSTONE_CHANGES_MAX;
    if oldest <= fact(tx, "horizon").await? {
        return Ok(());
    }
    let forgotten = sqlx::query("DELETE FROM gone WHERE seq <= $1").bind(oldest).execute(&mut *tx).await?;
    if forgotten.rows_affected() > 0 {
        set_fact(tx, "horizon", oldest).await?;
    }
    Ok(())
}

/// Makes sure that there is a row for a wanted copy, and a claim of the one who wants it. Says whether that counts
/// already.
pub(super) async fn want(
    tx: &mut SqliteConnection,
    account: i64,
    (blob, size): (BlobHash, u64),
    now_ms: i64,
) -> Result<bool> {
    let (key, size) = (rows::bytes(blob.as_bytes()), i64::try_from(size).unwrap_or(i64::MAX));
    sqlx::query(
        "INSERT INTO copies (blob, size, state, asked_ms) VALUES ($1, $2, 0, $3)
         ON CONFLICT (blob) DO UPDATE SET size = excluded.size, state = 0, asked_ms = excluded.asked_ms
         WHERE state = 2",
    )
    .bind(&key)
    .bind(size)
    .bind(now_ms)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO claims (blob, account, size, state, asked_ms) VALUES ($1, $2, $3, 0, $4) ON CONFLICT DO NOTHING",
    )
    .bind(&key)
    .bind(account)
    .bind(size)
    .bind(now_ms)
    .execute(&mut *tx)
    .await?;
    // Nobody else: whose claim counts is told so.
    settle(tx, blob, Some(account)).await?;
    let counts = "SELECT EXISTS (SELECT 1 FROM claims WHERE blob = $1 AND account = $2 AND size = $3 AND state = 1)";
    Ok(sqlx::query_scalar(counts).bind(key).bind(account).bind(size).fetch_one(tx).await?)
}

/// Lets claims to a stored copy count, of one member or of everybody, whose members may fetch the content anyway from
/// somebody whose claim counts. Returns whose they are.
pub(super) async fn settle(tx: &mut SqliteConnection, blob: BlobHash, of: Option<i64>) -> Result<Vec<i64>> {
    let mut settled = Vec::new();
    loop {
        let open: Vec<i64> = sqlx::query_scalar(concat!(
            "UPDATE claims SET state = 1 WHERE blob = $1 AND state = 0 AND ($2 IS NULL OR account = $2) AND EXISTS (
                 SELECT 1 FROM files f JOIN claims k ON k.blob = f.blob AND k.account = f.owner AND k.size = f.size
                     AND k.state = 1
                 WHERE f.blob = claims.blob AND f.size = claims.size AND f.copy = 1 AND",
            fetchable_by!("claims.account"),
            ") RETURNING account"
        ))
        .bind(rows::bytes(blob.as_bytes()))
        .bind(of)
        .fetch_all(&mut *tx)
        .await?;
        if open.is_empty() {
            return Ok(settled);
        }
        settled.extend(open);
    }
}

/// Forgets the claims to these that no file makes, marks the copies that no file wants, and returns both.
pub(super) async fn release(tx: &mut SqliteConnection, blobs: impl IntoIterator<Item = BlobHash>) -> Result<Effects> {
    let blobs: Vec<BlobHash> = blobs.into_iter().collect();
    if blobs.is_empty() {
        return Ok(Effects::default());
    }
    let list = rows::hex_list(blobs.iter().map(|blob| blob.as_bytes().as_slice()));
    let ended = sqlx::query(
        "DELETE FROM claims WHERE blob IN (SELECT unhex(value) FROM json_each($1)) AND NOT EXISTS (
             SELECT 1 FROM files f WHERE f.blob = claims.blob AND f.owner = claims.account AND f.size = claims.size
             AND f.copy = 1) RETURNING blob, state",
    )
    .bind(&list)
    .fetch_all(&mut *tx)
    .await?;
    let mut unclaimed = Vec::new();
    for claim in &ended {
        if claim.try_get::<i64, _>("state")? == CLAIM_PENDING {
            unclaimed.push(rows::blob_hash(claim, "blob")?);
        }
    }
    let released = sqlx::query(
        "UPDATE copies SET state = 2 WHERE blob IN (SELECT unhex(value) FROM json_each($1))
         AND NOT EXISTS (SELECT 1 FROM files f WHERE f.blob = copies.blob AND f.copy = 1) RETURNING blob",
    )
    .bind(&list)
    .fetch_all(tx)
    .await?;
    let released = released.iter().map(|row| rows::blob_hash(row, "blob")).collect::<Result<_>>()?;
    Ok(Effects { released, unclaimed, ..Effects::default() })
}
