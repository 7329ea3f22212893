//! The store on SQLite: one writer, a few readers, write-ahead log.
//!
//! Every write transaction begins `IMMEDIATE`, because a deferred one that turns to writing fails at once where another
//! writes. `synchronous=FULL`: what a member was told is kept has reached the disk.

use std::{path::Path, time::Duration};

use async_trait::async_trait;
use shared::{
    id::{AccountId, DeviceId, FileId, FolderId},
    limits::{DATABASE_LOG_PAGES, DATABASE_READERS, DATABASE_ROWS_AHEAD, DATABASE_WAIT, DATABASE_WRITER_CACHE_BYTES},
    wire::{
        account::DeviceEntry,
        protected::Lock,
        tracker::{Changes, FileDetail, FileEntry, Item, MemberEntry, TrackerStatus},
    },
};
use sqlx::{
    Row, Sqlite, SqliteConnection, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    AccountRow, Administered, Apart, Block, Caller, Cursor, DeviceKey, EnrolledDevice, Invite, Login, NewAccount, Page,
    Parting, Place, Publication, Published, Recovery, Renaming, Store, StoreError, Vanished, Whereabouts, WhichInvite,
    Withdrawn, Words,
};

mod accounts;
mod attempts;
mod blocks;
mod browse;
mod copies;
mod devices;
mod effects;
mod feed;
mod holders;
mod inbox;
mod locks;
mod messages;
mod publish;
mod rows;
mod search;
mod sources;

type Result<T> = std::result::Result<T, StoreError>;

/// The store in one SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
}

/// Row numbers of a signed-in device and its account.
#[derive(Debug, Clone, Copy)]
struct Me {
    account: i64,
    device: i64,
}

impl SqliteStore {
    /// Opens the database, makes it where there is none, and brings it to this version.
    ///
    /// # Errors
    /// When the file cannot be used, or was written by a newer version.
    pub async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(DATABASE_WAIT)
            .statement_cache_capacity(64)
            .row_buffer_size(DATABASE_ROWS_AHEAD)
            .optimize_on_close(true, None);
        // A negative size is in KiB.
        let cache = format!("-{}", DATABASE_WRITER_CACHE_BYTES / 1024);
        let writer =
            options.clone().pragma("cache_size", cache).pragma("wal_autocheckpoint", DATABASE_LOG_PAGES.to_string());
        let writer = pool(1).connect_with(writer).await?;
        sqlx::migrate!("src/store/migrations").run(&writer).await?;
        let readers =
            pool(DATABASE_READERS).connect_with(options.read_only(true).optimize_on_close(false, None)).await?;
        Ok(Self { writer, readers })
    }

    async fn write(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// A snapshot: everything read through it agrees.
    async fn read(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.readers.begin().await?)
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(30))
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// The numbers of a caller who is still enrolled.
async fn me(connection: &mut SqliteConnection, caller: &Caller) -> Result<Me> {
    let row = sqlx::query(
        "SELECT d.no AS device, d.account AS account FROM devices d JOIN accounts a ON a.no = d.account
         WHERE d.id = $1 AND a.id = $2 AND d.active = 1 AND a.locked = 0",
    )
    .bind(rows::bytes(caller.device.as_bytes()))
    .bind(rows::bytes(caller.account.as_bytes()))
    .fetch_optional(connection)
    .await?
    .ok_or(StoreError::SignedOut)?;
    Ok(Me { account: row.try_get("account")?, device: row.try_get("device")? })
}

async fn fact(connection: &mut SqliteConnection, name: &'static str) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT value FROM facts WHERE name = $1").bind(name).fetch_one(connection).await?)
}

async fn set_fact(connection: &mut SqliteConnection, name: &'static str, value: i64) -> Result<()> {
    sqlx::query("UPDATE facts SET value = $2 WHERE name = $1").bind(name).bind(value).execute(connection).await?;
    Ok(())
}

#[async_trait]
impl Store for SqliteStore {
    async fn create_account(&self, account: NewAccount, now_ms: i64) -> Result<Caller> {
        let mut tx = self.write().await?;
        let caller = accounts::create(&mut tx, account, now_ms).await?;
        tx.commit().await?;
        Ok(caller)
    }

    async fn find_login(&self, name_key: &str) -> Result<Option<Login>> {
        accounts::find_login(&mut *self.read().await?, name_key).await
    }

    async fn enrol_device(&self, account: AccountId, device: DeviceKey, now_ms: i64) -> Result<Caller> {
        let mut tx = self.write().await?;
        let caller = devices::enrol(&mut tx, account, device, now_ms).await?;
        tx.commit().await?;
        Ok(caller)
    }

    async fn find_device(&self, device: DeviceId) -> Result<Option<EnrolledDevice>> {
        devices::find_device(&mut *self.read().await?, device).await
    }

    async fn revoke_devices(&self, caller: &Caller, devices: &[DeviceId], now_ms: i64) -> Result<Vec<DeviceId>> {
        let mut tx = self.write().await?;
        let me = me(&mut tx, caller).await?;
        let revoked = devices::revoke(&mut tx, me, devices, now_ms).await?;
        tx.commit().await?;
        Ok(revoked)
    }

    async fn revoked_devices(&self, since_ms: i64) -> Result<Vec<DeviceId>> {
        devices::revoked(&mut *self.read().await?, since_ms).await
    }

    async fn enrolled_among(&self, devices: &[DeviceId]) -> Result<Vec<DeviceId>> {
        devices::enrolled_among(&mut *self.read().await?, devices).await
    }

    async fn devices(&self, caller: &Caller) -> Result<Vec<DeviceEntry>> {
        let mut tx = self.read().await?;
        let me = me(&mut tx, caller).await?;
        devices::of_account(&mut tx, me).await
    }

    async fn devices_of(&self, accounts: &[AccountId]) -> Result<Vec<(AccountId, DeviceId, Option<i64>)>> {
        devices::of_accounts(&mut *self.read().await?, accounts).await
    }

    async fn set_password(&self, caller: &Caller, old_hash: &str, new_hash: String) -> Result<()> {
        let mut tx = self.write().await?;
        let me = me(&mut tx, caller).await?;
        accounts::set_password(&mut tx, me, old_hash, &new_hash).await?;
        Ok(tx.commit().await?)
    }

    async fn set_email(&self, caller: &Caller, email: Option<String>) -> Result<()> {
        let mut tx = self.write().await?;
        let me = me(&mut tx, caller).await?;
        accounts::set_email(&mut tx, me, email).await?;
        Ok(tx.commit().await?)
    }

    async fn set_recovery(&self, caller: &Caller, hash: [u8; 32]) -> Result<()> {
        let mut tx = self.write().await?;
        let me = me(&mut tx, caller).await?;
        accounts::set_recovery(&mut tx, me, hash).await?;
        Ok(tx.commit().await?)
    }

    async fn recover(&self, recovery: Recovery, now_ms: i64) -> Result<Option<Caller>> {
        let mut tx = self.write().await?;
        let caller = accounts::recover(&mut tx, recovery, now_ms).await?;
        tx.commit().await?;
        Ok(caller)
    }

    async fn is_admin(&self, caller: &Caller) -> Result<bool> {
        let mut tx = self.read().await?;
        let me = me(&mut tx, caller).await?;
        accounts::is_admin(&mut tx, me).await
    }

    async fn accounts(&self) -> Result<Vec<AccountRow>> {
        accounts::all(&mut *self.read().await?).await
    }

    async fn administer(&self, name_key: &str, change: Administered, now_ms: i64) -> Result<bool> {
        let mut tx = self.write().await?;
        let known = accounts::administer(&mut tx, name_key, change, now_ms).await?;
        tx.commit().await?;
        Ok(known)
    }

    async fn outside_changes(&self) -> Result<i64> {
        // SQLite counts for each connection what others commit; the writer's own commits do not count.
        Ok(sqlx::query_scalar("PRAGMA data_version").fetch_one(&self.writer).await?)
    }

    async fn note_seen(&self, devices: &[DeviceId], now_ms: i64) -> Result<()> {
        let mut tx = self.write().await?;
        devices::note_seen(&mut tx, devices, now_ms).await?;
        Ok(tx.commit().await?)
    }

    async fn create_invite(&self, invite: Invite, hash: [u8; 32], now_ms: i64) -> Result<()> {
        let mut tx = self.write().await?;
        accounts::create_invite(&mut tx, invite, hash, now_ms).await?;
        Ok(tx.commit().await?)
    }

    async fn list_invites(&self, now_ms: i64) -> Result<Vec<Invite>> {
        accounts::list_invites(&mut *self.read().await?, now_ms).await
    }

    async fn revoke_invite(&self, which: &WhichInvite) -> Result<u64> {
        let mut tx = self.write().await?;
        let gone = accounts::revoke_invite(&mut tx, which).await?;
        tx.commit().await?;
        Ok(gone)
    }

    async fn publish(&self, caller: &Caller, entries: Vec<Publication>, now_ms: i64) -> Result<Published> {
        let mut tx = self.write().await?;
        let published = publish::publish(&mut tx, caller, entries, now_ms).await?;
        tx.commit().await?;
        Ok(published)
    }

    async fn rename(&self, caller: &Caller, files: Vec<Renaming>) -> Result<Published> {
        let mut tx = self.write().await?;
        let renamed = publish::rename(&mut tx, caller, &files).await?;
        tx.commit().await?;
        Ok(renamed)
    }

    async fn note_narrowed(&self, devices: &[DeviceId], now_ms: i64) -> Result<()> {
        let mut tx = self.write().await?;
        devices::note_narrowed(&mut tx, devices, now_ms).await?;
        Ok(tx.commit().await?)
    }

    async fn narrowed(&self, device: DeviceId) -> Result<Option<i64>> {
        devices::narrowed(&mut *self.read().await?, device).await
    }

    async fn withdraw(&self, caller: &Caller, files: &[FileId], now_ms: i64) -> Result<Withdrawn> {
        let mut tx = self.write().await?;
        let withdrawn = publish::withdraw(&mut tx, caller, files, now_ms).await?;
        tx.commit().await?;
        Ok(withdrawn)
    }

    async fn vanish(&self, caller: &Caller, files: &[FileId], now_ms: i64) -> Result<Vanished> {
        let mut tx = self.write().await?;
        let vanished = publish::vanish(&mut tx, caller, files, now_ms).await?;
        tx.commit().await?;
        Ok(vanished)
    }

    async fn changes(&self, caller: &Caller, since: u64) -> Result<Changes> {
        feed::changes(&mut *self.read().await?, caller, since).await
    }

    async fn list(&self, caller: &Caller, place: &Place, after: Option<&Cursor>) -> Result<Page> {
        browse::list(&mut *self.read().await?, caller, place, after).await
    }

    async fn search(&self, caller: &Caller, query: &Words, offset: u32) -> Result<(Vec<FileEntry>, bool)> {
        search::search(&mut *self.read().await?, caller, query, offset).await
    }

    async fn file(&self, caller: &Caller, file: FileId) -> Result<Option<FileEntry>> {
        browse::file(&mut *self.read().await?, caller, file).await
    }

    async fn folder(&self, caller: &Caller, folder: FolderId) -> Result<Option<Item>> {
        browse::folder(&mut *self.read().await?, caller, folder).await
    }

    async fn by_prefix(&self, caller: &Caller, prefix: &str) -> Result<(Vec<Item>, u64)> {
        browse::by_prefix(&mut *self.read().await?, caller, prefix).await
    }

    async fn by_path(&self, caller: &Caller, name_key: &str, fold: &str) -> Result<Option<Item>> {
        browse::by_path(&mut *self.read().await?, caller, name_key, fold).await
    }

    async fn folder_files(
        &self,
        caller: &Caller,
        folder: FolderId,
        after: Option<&str>,
    ) -> Result<Option<(Vec<FileEntry>, Option<String>)>> {
        browse::folder_files(&mut *self.read().await?, caller, folder, after).await
    }

    async fn inspect(&self, caller: &Caller, file: FileId) -> Result<Option<FileDetail>> {
        sources::inspect(&mut *self.read().await?, caller, file).await
    }

    async fn locate(&self, caller: &Caller, files: &[FileId]) -> Result<Vec<Whereabouts>> {
        sources::locate(&mut *self.read().await?, caller, files).await
    }

    async fn locks(&self, caller: &Caller, files: &[FileId]) -> Result<Vec<Vec<(Lock, bool)>>> {
        locks::locks(&mut *self.read().await?, caller, files).await
    }

    async fn open_lock(&self, caller: &Caller, lock: &Lock) -> Result<()> {
        let mut tx = self.write().await?;
        locks::open(&mut tx, caller, lock).await?;
        Ok(tx.commit().await?)
    }

    async fn names(&self, accounts: &[AccountId]) -> Result<Vec<(AccountId, String)>> {
        accounts::names(&mut *self.read().await?, accounts).await
    }

    async fn members(&self, after: Option<&str>) -> Result<(Vec<MemberEntry>, Option<String>)> {
        accounts::members(&mut *self.read().await?, after).await
    }

    async fn members_by_id(&self, accounts: &[AccountId]) -> Result<Vec<MemberEntry>> {
        accounts::members_by_id(&mut *self.read().await?, accounts).await
    }

    async fn status(&self) -> Result<TrackerStatus> {
        accounts::status(&mut *self.read().await?).await
    }

    async fn account_named(&self, name_key: &str) -> Result<Option<AccountId>> {
        blocks::account_named(&mut *self.read().await?, name_key).await
    }

    async fn block(&self, caller: &Caller, block: Block) -> Result<Parting> {
        let mut tx = self.write().await?;
        let me = me(&mut tx, caller).await?;
        let parting = blocks::block(&mut tx, me, block).await?;
        tx.commit().await?;
        Ok(parting)
    }

    async fn unblock(&self, caller: &Caller, member: AccountId) -> Result<Parting> {
        let mut tx = self.write().await?;
        let me = me(&mut tx, caller).await?;
        let parting = blocks::unblock(&mut tx, me, member).await?;
        tx.commit().await?;
        Ok(parting)
    }

    async fn blocked(&self, account: AccountId) -> Result<Vec<AccountId>> {
        blocks::blocked(&mut *self.read().await?, account).await
    }

    async fn apart_from(&self, viewers: &[AccountId]) -> Result<Vec<Apart>> {
        blocks::apart_from(&mut *self.read().await?, viewers).await
    }

    async fn are_apart(&self, one: AccountId, other: AccountId) -> Result<bool> {
        blocks::are_apart(&mut *self.read().await?, one, other).await
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
