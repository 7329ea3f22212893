//! Putting files into the index and taking them out.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use shared::{
    id::{AccountId, BlobHash, DeviceId, FileId, FolderId},
    limits::{FILES_PER_ACCOUNT_MAX, INSERT_ROWS_MAX, VERSIONS_MAX},
    name::FoldKey,
    wire::{
        protected::Lock,
        tracker::{CopyState, FileEntry, Visibility},
    },
};
use sqlx::{QueryBuilder, Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    Me, Result,
    effects::{EVERYONE, Ledger, Weight},
    inbox, locks, me,
    rows::{self, ASK, HIDDEN, PEOPLE, PUBLIC},
};
use crate::store::{Audience, Caller, Effects, Publication, Published, StoreError, Vanished, Withdrawn};

mod folders;
mod rename;
mod revoke;
mod seen_by;
mod write;

use self::{
    folders::Folders,
    revoke::{holders_of, revoked_by},
    seen_by::SeenBy,
    write::*,
};
pub(super) use self::{rename::rename, revoke::revoke};

/// Row numbers, ids and whatever else a row of `files` holds.
#[derive(Debug, Clone)]
struct FileState {
    no: i64,
    id: FileId,
    device: i64,
    realm: i64,
    parent: i64,
    path: String,
    fold: String,
    blob: BlobHash,
    size: u64,
    modified_ms: i64,
    executable: bool,
    seen_by: SeenBy,
    note: String,
    version: u32,
    shared_ms: i64,
    copy: bool,
    copy_state: Option<i64>,
    seq: i64,
    lock: Option<Lock>,
}

impl FileState {
    /// Whether someone who might fetch this content under `self` may not under `after`.
    fn narrows_to(&self, after: &Self) -> bool {
        self.seen_by.narrows_to(&after.seen_by) || (after.lock.is_some() && after.lock != self.lock)
    }
}

/// An existing row with what only the decision needs.
#[derive(Debug)]
struct Existing {
    row: FileState,
    /// Whether the device that shared it is still enrolled into this account.
    origin_known: bool,
}

/// What becomes of one entry.
#[derive(Debug)]
enum Plan {
    New(FileState),
    Changed { before: Box<FileState>, after: FileState },
    Unchanged(FileState),
}

impl Plan {
    /// The file as it will be.
    const fn state(&self) -> &FileState {
        match self {
            Self::New(state) | Self::Changed { after: state, .. } | Self::Unchanged(state) => state,
        }
    }

    /// Whether somebody who had to ask may perhaps fetch from now on.
    fn opens(&self) -> bool {
        match self {
            Self::Changed { before, after } => before.seen_by == SeenBy::Ask && after.seen_by != SeenBy::Ask,
            Self::New(_) | Self::Unchanged(_) => false,
        }
    }
}

pub(super) async fn publish(
    tx: &mut SqliteConnection,
    caller: &Caller,
    entries: Vec<Publication>,
    now_ms: i64,
) -> Result<Published> {
    let me = me(tx, caller).await?;
    let people = find_people(tx, &entries).await?;
    let mut existing = find_existing(tx, me, &entries).await?;
    let hiding = hiding(&entries, &existing);
    let mut effects = Effects::default();
    if !hiding.is_empty() {
        // Nobody finds them any more who asked for them, and copies that were left for these are gone now.
        effects.absorb(inbox::close_for(tx, &hiding, now_ms).await?);
        existing = find_existing(tx, me, &entries).await?;
    }
    let mut ledger = Ledger::open(tx, me.account).await?;
    let paths = entries.iter().map(|entry| (&*entry.path, &*entry.fold));
    let folders = Folders::above_all(tx, caller, me, paths).await?;
    let mut next_no: i64 =
        sqlx::query_scalar("SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'files'), 0) + 1")
            .fetch_one(&mut *tx)
            .await?;

    let mut plans = Vec::with_capacity(entries.len());
    let mut holding = Vec::new();
    for entry in &entries {
        let seen_by = entry.audience.as_ref().map(|audience| seen_by(audience, &people)).transpose()?;
        let chain = folders.above(&entry.fold);
        let mut plan = match existing.remove(&entry.fold) {
            Some(found) => {
                let shares_too = found.row.realm == 0 && found.origin_known && found.row.device != me.device;
                let plan = decide(me, found, entry, seen_by, now_ms)?;
                if shares_too && plan.state().device != me.device {
                    holding.push(plan.state().no);
                }
                plan
            }
            None => {
                let parent = chain.last().copied().unwrap_or(0);
                let plan = Plan::New(new_row(me, next_no, parent, entry, seen_by.unwrap_or(SeenBy::Public), now_ms));
                next_no += 1;
                plan
            }
        };
        account_for(&mut ledger, &mut effects, me, &mut plan, &chain);
        plans.push(plan);
    }
    check_limit(tx, me, ledger.growth()).await?;

    write_new(tx, me, &plans, &entries).await?;
    write_changed(tx, me, &plans, &entries).await?;
    for file in holding {
        sqlx::query("INSERT INTO holders (file, device) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(file)
            .bind(me.device)
            .execute(&mut *tx)
            .await?;
    }
    effects.revoked.extend(revoked_by(tx, &plans).await?);
    effects.seq = ledger.moved_to().or(effects.seq);
    effects.shares_changed |= ledger.shares_changed();
    effects.copies_wanted |= ledger.wants_copies();
    effects.absorb(ledger.write(tx, now_ms).await?);
    let opened: Vec<FileId> = plans.iter().filter(|plan| plan.opens()).map(|plan| plan.state().id).collect();
    if !opened.is_empty() {
        effects.absorb(inbox::now_open(tx, &opened).await?);
    }
    let named = ids_of_people(tx, &plans).await?;
    let files = plans.into_iter().map(|plan| entry_of(caller, &named, plan)).collect();
    Ok(Published { files, effects })
}

/// The files that become hidden, and with that others than they were.
fn hiding(entries: &[Publication], existing: &HashMap<String, Existing>) -> Vec<FileId> {
    let hidden = entries.iter().filter(|entry| entry.audience == Some(Audience::Hidden));
    let found = hidden.filter_map(|entry| existing.get(&entry.fold));
    found.filter(|found| found.row.seen_by != SeenBy::Hidden).map(|found| found.row.id).collect()
}

/// The state that an entry leads to.
fn decide(me: Me, found: Existing, entry: &Publication, seen_by: Option<SeenBy>, now_ms: i64) -> Result<Plan> {
    let before = found.row;
    let content_changed = before.blob != entry.blob || before.size != entry.size;
    if before.realm == 0 && before.device != me.device && found.origin_known && content_changed {
        return Err(StoreError::OtherDevice(entry.path.clone()));
    }
    let mut after = before.clone();
    after.path.clone_from(&entry.path);
    after.lock = if content_changed { entry.lock } else { entry.lock.or(before.lock) };
    after.modified_ms = entry.modified_ms;
    after.executable = entry.executable;
    if let Some(note) = &entry.note {
        after.note.clone_from(note);
    }
    if let Some(seen_by) = seen_by {
        after.seen_by = seen_by;
    }
    if content_changed {
        after.blob = entry.blob;
        after.size = entry.size;
        after.version = before.version.saturating_add(1);
        after.shared_ms = now_ms;
        after.copy_state = None;
    }
    let hidden = after.seen_by == SeenBy::Hidden;
    if !found.origin_known || content_changed || (hidden && before.seen_by != SeenBy::Hidden) {
        after.device = me.device;
    }
    after.realm = if hidden { after.device } else { 0 };
    if hidden && before.seen_by != SeenBy::Hidden {
        // The old id was known to others; the link of a hidden file must not be.
        after.id = entry.fresh_id;
    }
    let same = after.path == before.path
        && !content_changed
        && after.modified_ms == before.modified_ms
        && after.executable == before.executable
        && after.note == before.note
        && after.seen_by == before.seen_by
        && after.lock == before.lock
        && after.device == before.device;
    Ok(if same { Plan::Unchanged(before) } else { Plan::Changed { before: Box::new(before), after } })
}

fn new_row(me: Me, no: i64, parent: i64, entry: &Publication, seen_by: SeenBy, now_ms: i64) -> FileState {
    FileState {
        no,
        id: entry.fresh_id,
        device: me.device,
        realm: if seen_by == SeenBy::Hidden { me.device } else { 0 },
        parent,
        path: entry.path.clone(),
        fold: entry.fold.clone(),
        blob: entry.blob,
        size: entry.size,
        modified_ms: entry.modified_ms,
        executable: entry.executable,
        seen_by,
        note: entry.note.clone().unwrap_or_default(),
        version: 1,
        shared_ms: now_ms,
        copy: false,
        copy_state: None,
        seq: 0,
        lock: entry.lock,
    }
}

/// Enters a plan into the ledger and gives the row its sequence number.
fn account_for(ledger: &mut Ledger, effects: &mut Effects, me: Me, plan: &mut Plan, folders: &[i64]) {
    match plan {
        Plan::New(row) => {
            let viewers = row.seen_by.viewers(me.account, row.device);
            ledger.add(&Weight { viewers: &viewers, folders, size: row.size });
            row.seq = if row.seen_by == SeenBy::Hidden { 0 } else { ledger.next_seq() };
        }
        Plan::Changed { before, after } => {
            let old = before.seen_by.viewers(me.account, before.device);
            let new = after.seen_by.viewers(me.account, after.device);
            if old != new || before.size != after.size {
                ledger.remove(&Weight { viewers: &old, folders, size: before.size });
                ledger.add(&Weight { viewers: &new, folders, size: after.size });
            }
            let lost: Vec<i64> = if after.id == before.id && new.contains(&EVERYONE) {
                Vec::new()
            } else if after.id != before.id {
                old.clone()
            } else {
                old.iter().copied().filter(|viewer| !new.contains(viewer)).collect()
            };
            if lost.iter().any(|viewer| *viewer >= EVERYONE) {
                ledger.bury(before.id, lost);
            }
            after.seq = if after.seen_by == SeenBy::Hidden { 0 } else { ledger.next_seq() };
            if before.copy && (before.blob, before.size) != (after.blob, after.size) {
                ledger.release_copy(before.blob);
                ledger.want_copy(after.blob, after.size);
            } else if before.copy && before.narrows_to(after) {
                effects.narrowed.push(before.blob);
            }
        }
        Plan::Unchanged(_) => {}
    }
}

/// Refuses more files than an account may have.
pub(super) async fn check_limit(tx: &mut SqliteConnection, me: Me, growth: i64) -> Result<()> {
    if growth <= 0 {
        return Ok(());
    }
    let files: i64 =
        sqlx::query_scalar("SELECT files FROM accounts WHERE no = $1").bind(me.account).fetch_one(tx).await?;
    if (files + growth).unsigned_abs() > FILES_PER_ACCOUNT_MAX {
        return Err(StoreError::TooManyFiles(FILES_PER_ACCOUNT_MAX));
    }
    Ok(())
}

/// Who is meant by the names in the entries: key of the name → number.
async fn find_people(tx: &mut SqliteConnection, entries: &[Publication]) -> Result<HashMap<String, i64>> {
    let mut keys: Vec<&str> = entries
        .iter()
        .filter_map(|entry| match &entry.audience {
            Some(Audience::People(people)) => Some(people.iter().map(|(key, _)| key.as_str())),
            Some(Audience::Public | Audience::Ask | Audience::Hidden) | None => None,
        })
        .flatten()
        .collect();
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    sqlx::query("SELECT no, name_key FROM accounts WHERE name_key IN (SELECT value FROM json_each($1))")
        .bind(rows::text_list(keys))
        .fetch_all(tx)
        .await?
        .iter()
        .map(|row| Ok((row.try_get("name_key")?, row.try_get("no")?)))
        .collect()
}

fn seen_by(audience: &Audience, people: &HashMap<String, i64>) -> Result<SeenBy> {
    Ok(match audience {
        Audience::Public => SeenBy::Public,
        Audience::Ask => SeenBy::Ask,
        Audience::Hidden => SeenBy::Hidden,
        Audience::People(names) => {
            let mut numbers = names
                .iter()
                .map(|(key, typed)| people.get(key).copied().ok_or_else(|| StoreError::UnknownMember(typed.clone())))
                .collect::<Result<Vec<_>>>()?;
            numbers.sort_unstable();
            numbers.dedup();
            SeenBy::People(numbers)
        }
    })
}

/// The rows at the entries' paths that this device may change: its own hidden one first, else the listed one.
async fn find_existing(
    tx: &mut SqliteConnection,
    me: Me,
    entries: &[Publication],
) -> Result<HashMap<String, Existing>> {
    let found = sqlx::query(
        "SELECT f.no, f.id, f.device, f.realm, f.parent, f.path, f.fold, f.blob, f.size, f.modified_ms, f.executable,
                f.visibility, f.note, f.version, f.shared_ms, f.copy, f.seq, f.lock, c.state AS copy_state,
                EXISTS (SELECT 1 FROM devices d WHERE d.no = f.device AND d.account = f.owner AND d.active = 1)
                    AS origin_known
         FROM files f LEFT JOIN claims c ON f.copy = 1 AND c.blob = f.blob AND c.account = f.owner AND c.size = f.size
         WHERE f.owner = $1 AND f.realm IN (0, $2) AND f.fold IN (SELECT value FROM json_each($3))
         ORDER BY f.realm",
    )
    .bind(me.account)
    .bind(me.device)
    .bind(rows::text_list(entries.iter().map(|entry| entry.fold.as_str())))
    .fetch_all(&mut *tx)
    .await?;
    let mut people = people_of(tx, &found).await?;
    found
        .iter()
        .map(|row| {
            let existing = Existing { row: stored_row(row, &mut people)?, origin_known: row.try_get("origin_known")? };
            Ok((existing.row.fold.clone(), existing))
        })
        .collect()
}

async fn people_of(tx: &mut SqliteConnection, files: &[SqliteRow]) -> Result<HashMap<i64, Vec<i64>>> {
    let mut named = Vec::new();
    for row in files {
        if row.try_get::<i64, _>("visibility")? == PEOPLE {
            named.push(row.try_get("no")?);
        }
    }
    let mut people: HashMap<i64, Vec<i64>> = HashMap::new();
    if named.is_empty() {
        return Ok(people);
    }
    let found = sqlx::query(
        "SELECT file, account FROM people WHERE file IN (SELECT value FROM json_each($1)) ORDER BY account",
    )
    .bind(rows::number_list(named))
    .fetch_all(tx)
    .await?;
    for row in &found {
        people.entry(row.try_get("file")?).or_default().push(row.try_get("account")?);
    }
    Ok(people)
}

fn stored_row(row: &SqliteRow, people: &mut HashMap<i64, Vec<i64>>) -> Result<FileState> {
    let no = row.try_get("no")?;
    Ok(FileState {
        no,
        id: rows::file_id(row, "id")?,
        device: row.try_get("device")?,
        realm: row.try_get("realm")?,
        parent: row.try_get("parent")?,
        path: row.try_get("path")?,
        fold: row.try_get("fold")?,
        blob: rows::blob_hash(row, "blob")?,
        size: rows::count(row, "size")?,
        modified_ms: row.try_get("modified_ms")?,
        executable: row.try_get("executable")?,
        seen_by: match row.try_get("visibility")? {
            PUBLIC => SeenBy::Public,
            ASK => SeenBy::Ask,
            PEOPLE => SeenBy::People(people.remove(&no).unwrap_or_default()),
            HIDDEN => SeenBy::Hidden,
            _ => return Err(StoreError::Corrupt("visibility")),
        },
        note: row.try_get("note")?,
        version: row.try_get("version")?,
        shared_ms: row.try_get("shared_ms")?,
        copy: row.try_get("copy")?,
        copy_state: row.try_get("copy_state")?,
        seq: row.try_get("seq")?,
        lock: row.try_get::<Option<&[u8]>, _>("lock")?.map(locks::of_bytes).transpose()?,
    })
}

/// Ids of the accounts that the files are shown to by name.
async fn ids_of_people(tx: &mut SqliteConnection, plans: &[Plan]) -> Result<HashMap<i64, AccountId>> {
    let numbers: BTreeSet<i64> = plans
        .iter()
        .filter_map(|plan| match &plan.state().seen_by {
            SeenBy::People(people) => Some(people.iter().copied()),
            SeenBy::Public | SeenBy::Ask | SeenBy::Hidden => None,
        })
        .flatten()
        .collect();
    if numbers.is_empty() {
        return Ok(HashMap::new());
    }
    sqlx::query("SELECT no, id FROM accounts WHERE no IN (SELECT value FROM json_each($1))")
        .bind(rows::number_list(numbers))
        .fetch_all(tx)
        .await?
        .iter()
        .map(|row| Ok((row.try_get("no")?, rows::account_id(row, "id")?)))
        .collect()
}

fn entry_of(caller: &Caller, people: &HashMap<i64, AccountId>, plan: Plan) -> FileEntry {
    let (Plan::New(row) | Plan::Changed { after: row, .. } | Plan::Unchanged(row)) = plan;
    FileEntry {
        id: row.id,
        owner: caller.account,
        owner_name: caller.name.clone(),
        path: row.path,
        blob: row.blob,
        size: row.size,
        modified_ms: row.modified_ms,
        executable: row.executable,
        visibility: match row.seen_by {
            SeenBy::Public => Visibility::Public,
            SeenBy::Ask => Visibility::Ask,
            SeenBy::People(numbers) => {
                Visibility::People(numbers.iter().filter_map(|no| people.get(no).copied()).collect())
            }
            SeenBy::Hidden => Visibility::Hidden,
        },
        protected: row.lock.is_some(),
        version: row.version,
        note: row.note,
        shared_ms: row.shared_ms,
        copy: if row.copy { rows::copy_state(true, row.copy_state) } else { CopyState::Absent },
    }
}

pub(super) async fn withdraw(
    tx: &mut SqliteConnection,
    caller: &Caller,
    files: &[FileId],
    now_ms: i64,
) -> Result<Withdrawn> {
    let me = me(tx, caller).await?;
    let gone: Vec<FileState> = own_files(tx, me, files).await?.into_iter().map(|found| found.row).collect();

    let mut ledger = Ledger::open(tx, me.account).await?;
    let paths = gone.iter().map(|row| (&*row.path, &*row.fold));
    let folders = Folders::above_all(tx, caller, me, paths).await?;
    let mut blobs = HashMap::new();
    for row in &gone {
        let chain = folders.above(&row.fold);
        let viewers = row.seen_by.viewers(me.account, row.device);
        ledger.remove(&Weight { viewers: &viewers, folders: &chain, size: row.size });
        if row.seen_by != SeenBy::Hidden {
            ledger.bury(row.id, viewers);
        }
        if row.copy {
            ledger.release_copy(row.blob);
        }
        blobs.insert(row.no, row.blob);
    }
    let ids: Vec<FileId> = gone.iter().map(|row| row.id).collect();
    let closed = inbox::close_for(tx, &ids, now_ms).await?;
    let numbers: Vec<i64> = gone.iter().map(|row| row.no).collect();
    let holders = holders_of(tx, &numbers).await?;
    delete_files(tx, &numbers).await?;
    let mut effects = Effects {
        seq: ledger.moved_to(),
        shares_changed: ledger.shares_changed(),
        revoked: holders.iter().filter_map(|(device, file)| Some((*device, *blobs.get(file)?))).collect(),
        // Another file may keep the copy; grants given for this one are worth nothing any more.
        narrowed: gone.iter().filter(|row| row.copy).map(|row| row.blob).collect(),
        ..Effects::default()
    };
    effects.absorb(ledger.write(tx, 0).await?);
    effects.absorb(closed);
    Ok(Withdrawn { count: gone.len() as u64, effects })
}

/// The caller's files among these, but for those in parcels.
async fn own_files(tx: &mut SqliteConnection, me: Me, files: &[FileId]) -> Result<Vec<Existing>> {
    let found = sqlx::query(
        "SELECT f.no, f.id, f.device, f.realm, f.parent, f.path, f.fold, f.blob, f.size, f.modified_ms, f.executable,
                f.visibility, f.note, f.version, f.shared_ms, f.copy, f.seq, f.lock, c.state AS copy_state,
                EXISTS (SELECT 1 FROM devices d WHERE d.no = f.device AND d.account = $1 AND d.active = 1) AS origin_known
         FROM files f LEFT JOIN claims c ON f.copy = 1 AND c.blob = f.blob AND c.account = f.owner AND c.size = f.size
         WHERE f.owner = $1 AND f.visibility < 4 AND f.id IN (SELECT unhex(value) FROM json_each($2))",
    )
    .bind(me.account)
    .bind(rows::hex_list(files.iter().map(|file| file.as_bytes().as_slice())))
    .fetch_all(&mut *tx)
    .await?;
    let mut people = people_of(tx, &found).await?;
    let known = |row| Ok(Existing { row: stored_row(row, &mut people)?, origin_known: row.try_get("origin_known")? });
    found.iter().map(known).collect()
}

pub(super) async fn vanish(
    tx: &mut SqliteConnection,
    caller: &Caller,
    files: &[FileId],
    now_ms: i64,
) -> Result<Vanished> {
    let me = me(tx, caller).await?;
    let copied = sqlx::query(
        "SELECT id FROM files WHERE copy = 1 AND owner = $1 AND visibility < 4 AND id IN (SELECT unhex(value) FROM json_each($2))",
    )
    .bind(me.account)
    .bind(rows::hex_list(files.iter().map(|file| file.as_bytes().as_slice())))
    .fetch_all(&mut *tx)
    .await?;
    let kept = copied.iter().map(|row| rows::file_id(row, "id")).collect::<Result<Vec<_>>>()?;
    let staying: BTreeSet<&FileId> = kept.iter().collect();
    let gone: Vec<FileId> = files.iter().filter(|file| !staying.contains(file)).copied().collect();
    let effects = withdraw(tx, caller, &gone, now_ms).await?.effects;
    Ok(Vanished { kept, effects })
}

async fn delete_files(tx: &mut SqliteConnection, files: &[i64]) -> Result<()> {
    let files = rows::number_list(files.iter().copied());
    unindex_text(tx, &files).await?;
    for delete in [
        "DELETE FROM people WHERE file IN (SELECT value FROM json_each($1))",
        "DELETE FROM holders WHERE file IN (SELECT value FROM json_each($1))",
        "DELETE FROM versions WHERE file IN (SELECT value FROM json_each($1))",
        "DELETE FROM files WHERE no IN (SELECT value FROM json_each($1))",
    ] {
        sqlx::query(delete).bind(&files).execute(&mut *tx).await?;
    }
    Ok(())
}
