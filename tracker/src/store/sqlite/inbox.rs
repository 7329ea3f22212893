//! Requests and offers: how they begin, how they end, and what follows for who may fetch what.

use async_trait::async_trait;
use shared::{
    id::{AccountId, FileId, ItemId, ParcelId},
    inbox::{Matter, Party, State, Wanted},
    limits::{BOARD_PER_SPAN_MAX, ITEMS_OPEN_MAX, ITEMS_PER_SPAN_MAX, ITEMS_SPAN, LEFT_COPY_BYTES_MAX},
    wire::{
        inbox::{InboxAnswer, PackEntry},
        tracker::FileEntry,
    },
};
use sqlx::{Row, SqliteConnection};

use super::{Me, Result, SqliteStore, browse, copies, fact, me, publish, rows, set_fact};
use crate::store::{Caller, Deed, Done, Effects, InboxStore, Named, NewItem, StoreError, Told};

mod channels;
mod follow;
mod items;
mod parcels;

pub(super) use self::follow::{close_for, now_open};
use self::items::{ItemRow, NewRow};

/// `to_account` of what is to everyone.
const EVERYONE: i64 = 0;
/// `approvals.file` and `approvals.item` of a standing yes.
const ALWAYS: i64 = 0;

#[async_trait]
impl InboxStore for SqliteStore {
    async fn inbox_changes(&self, caller: &Caller, since: u64) -> Result<InboxAnswer> {
        let mut tx = self.read().await?;
        let me = me(&mut tx, caller).await?;
        items::changes(&mut tx, me, since).await
    }

    async fn want_file(&self, caller: &Caller, file: FileId, new: NewItem) -> Result<Done> {
        let mut tx = self.write().await?;
        let done = want_file(&mut tx, caller, file, new).await?;
        tx.commit().await?;
        Ok(done)
    }

    async fn want_text(&self, caller: &Caller, of: Option<Named>, new: NewItem) -> Result<Done> {
        let mut tx = self.write().await?;
        let done = want_text(&mut tx, caller, of, new).await?;
        tx.commit().await?;
        Ok(done)
    }

    async fn pack(
        &self,
        caller: &Caller,
        parcel: ParcelId,
        entries: Vec<(PackEntry, FileId)>,
        now_ms: i64,
    ) -> Result<(Vec<FileId>, Effects)> {
        let mut tx = self.write().await?;
        let me = me(&mut tx, caller).await?;
        let packed = parcels::pack(&mut tx, me, parcel, entries, now_ms).await?;
        tx.commit().await?;
        Ok(packed)
    }

    async fn offer(&self, caller: &Caller, parcel: ParcelId, name: String, to: Vec<(Named, NewItem)>) -> Result<Done> {
        let mut tx = self.write().await?;
        let done = offer(&mut tx, caller, parcel, &name, to).await?;
        tx.commit().await?;
        Ok(done)
    }

    async fn act(&self, caller: &Caller, item: ItemId, deed: Deed, now_ms: i64) -> Result<Done> {
        let mut tx = self.write().await?;
        let done = act(&mut tx, caller, item, deed, now_ms).await?;
        tx.commit().await?;
        Ok(done)
    }

    async fn offered_files(
        &self,
        caller: &Caller,
        item: ItemId,
        after: Option<&str>,
    ) -> Result<(Vec<FileEntry>, Option<String>)> {
        let mut tx = self.read().await?;
        let me = me(&mut tx, caller).await?;
        parcels::files(&mut tx, me, item, after).await
    }

    async fn leave_copy(&self, caller: &Caller, item: ItemId, now_ms: i64) -> Result<Done> {
        let mut tx = self.write().await?;
        let done = leave_copy(&mut tx, caller, item, now_ms).await?;
        tx.commit().await?;
        Ok(done)
    }

    async fn approved(&self, caller: &Caller) -> Result<Vec<String>> {
        let mut tx = self.read().await?;
        let me = me(&mut tx, caller).await?;
        let names = sqlx::query_scalar(
            "SELECT a.name FROM approvals v JOIN accounts a ON a.no = v.account
             WHERE v.owner = $1 AND v.file = 0 AND v.item = 0 ORDER BY a.name_key",
        );
        Ok(names.bind(me.account).fetch_all(&mut *tx).await?)
    }

    async fn approve(&self, caller: &Caller, member: Named, always: bool) -> Result<Effects> {
        let mut tx = self.write().await?;
        let me = me(&mut tx, caller).await?;
        let account = member_no(&mut tx, me, &member).await?;
        let effects = if always {
            let standing = Approval { owner: me.account, account, file: ALWAYS, item: ALWAYS };
            standing.give(&mut tx).await?;
            let mut after = Aftermath::default();
            follow::standing_yes(&mut tx, &mut after, me.account, account).await?;
            follow::told_by(&mut tx, after).await?
        } else {
            withdraw_standing(&mut tx, me, account).await?
        };
        tx.commit().await?;
        Ok(effects)
    }

    async fn cancel_to(&self, caller: &Caller, member: AccountId, now_ms: i64) -> Result<Done> {
        let mut tx = self.write().await?;
        let done = follow::cancel_to(&mut tx, caller, member, now_ms).await?;
        tx.commit().await?;
        Ok(done)
    }

    async fn show_again(&self, caller: &Caller, member: AccountId) -> Result<Done> {
        let mut tx = self.write().await?;
        let done = follow::show_again(&mut tx, caller, member).await?;
        tx.commit().await?;
        Ok(done)
    }

    async fn expire_items(&self, now_ms: i64) -> Result<(Done, Option<i64>)> {
        let mut tx = self.write().await?;
        let expired = follow::expire(&mut tx, now_ms).await?;
        tx.commit().await?;
        Ok(expired)
    }
}

/// Collects what follows from changes of items.
#[derive(Debug, Default)]
pub(super) struct Aftermath {
    effects: Effects,
    seq: Option<i64>,
    everyone: bool,
    accounts: Vec<i64>,
}

impl Aftermath {
    /// An item changes: its new number.
    async fn next_seq(&mut self, tx: &mut SqliteConnection, item: &Parties) -> Result<i64> {
        let seq = match self.seq {
            Some(seq) => seq + 1,
            None => fact(tx, "inbox_seq").await? + 1,
        };
        self.seq = Some(seq);
        self.everyone |= item.to == EVERYONE;
        self.accounts.extend([item.from, item.to]);
        Ok(seq)
    }

    pub(super) const fn effects(&mut self) -> &mut Effects {
        &mut self.effects
    }

    /// Writes the newest number and says whom to tell.
    async fn done(self, tx: &mut SqliteConnection, me: Option<Me>, items: &[i64]) -> Result<Done> {
        if let Some(seq) = self.seq {
            set_fact(tx, "inbox_seq", seq).await?;
        }
        let told = Told {
            seq: self.seq.map(i64::unsigned_abs),
            everyone: self.everyone,
            accounts: accounts(tx, &self.accounts).await?,
        };
        let items = match me {
            Some(me) => items::named(tx, me, items).await?,
            None => Vec::new(),
        };
        Ok(Done { items, told, effects: self.effects })
    }
}

/// Whom an item is between, by row numbers.
#[derive(Debug, Clone, Copy)]
struct Parties {
    from: i64,
    to: i64,
}

async fn accounts(tx: &mut SqliteConnection, numbers: &[i64]) -> Result<Vec<AccountId>> {
    sqlx::query("SELECT id FROM accounts WHERE no IN (SELECT value FROM json_each($1))")
        .bind(rows::number_list(numbers.iter().copied()))
        .fetch_all(tx)
        .await?
        .iter()
        .map(|row| rows::account_id(row, "id"))
        .collect()
}

/// The number of a member who is not the caller.
async fn member_no(tx: &mut SqliteConnection, me: Me, member: &Named) -> Result<i64> {
    let no: Option<i64> =
        sqlx::query_scalar("SELECT no FROM accounts WHERE name_key = $1").bind(&member.key).fetch_optional(tx).await?;
    match no {
        None => Err(StoreError::UnknownMember(member.typed.clone())),
        Some(no) if no == me.account => Err(StoreError::NotYours("that is you; name another member")),
        Some(no) => Ok(no),
    }
}

/// A right to fetch that an item or a standing yes gives.
struct Approval {
    owner: i64,
    account: i64,
    file: i64,
    item: i64,
}

impl Approval {
    async fn give(self, tx: &mut SqliteConnection) -> Result<()> {
        sqlx::query(
            "INSERT INTO approvals (owner, account, file, item) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(self.owner)
        .bind(self.account)
        .bind(self.file)
        .bind(self.item)
        .execute(tx)
        .await?;
        Ok(())
    }
}

/// Refuses whoever begins more than others should have to bear.
async fn check_pace(tx: &mut SqliteConnection, me: Me, new: usize, board: bool, now_ms: i64) -> Result<()> {
    let span_ms = i64::try_from(ITEMS_SPAN.as_millis()).unwrap_or(i64::MAX);
    let row = sqlx::query(
        "SELECT (SELECT COUNT(*) FROM items WHERE from_account = $1 AND created_ms > $2) AS begun,
                (SELECT COUNT(*) FROM items WHERE from_account = $1 AND created_ms > $2 AND matter = $3) AS on_board,
                (SELECT MIN(created_ms) FROM items WHERE from_account = $1 AND created_ms > $2) AS first,
                (SELECT COUNT(*) FROM items WHERE from_account = $1 AND state < 2) AS open",
    )
    .bind(me.account)
    .bind(now_ms - span_ms)
    .bind(items::number(Matter::Request(Wanted::Board)))
    .fetch_one(tx)
    .await?;
    let count = |column| Ok::<usize, StoreError>(usize::try_from(rows::count(&row, column)?).unwrap_or(usize::MAX));
    if count("open")? + new > ITEMS_OPEN_MAX {
        return Err(StoreError::TooMany { what: "open requests and offers", most: ITEMS_OPEN_MAX as u64 });
    }
    if count("begun")? + new > ITEMS_PER_SPAN_MAX || (board && count("on_board")? + new > BOARD_PER_SPAN_MAX) {
        let first: Option<i64> = row.try_get("first")?;
        let wait_ms = first.map_or(span_ms, |first| (first + span_ms - now_ms).max(1000));
        let seconds = wait_ms.unsigned_abs().div_ceil(1000);
        return Err(StoreError::TooFast { what: "too many requests and offers in a short time", seconds });
    }
    Ok(())
}

async fn want_file(tx: &mut SqliteConnection, caller: &Caller, file: FileId, new: NewItem) -> Result<Done> {
    let me = me(tx, caller).await?;
    if let Some(known) = items::begun(tx, me, new.id).await? {
        return Aftermath::default().done(tx, Some(me), &[known]).await;
    }
    let found = browse::file_row(tx, me, file).await?.ok_or(StoreError::UnknownFile)?;
    if found.owner_no == me.account {
        return Err(StoreError::NotYours("that file is your own"));
    }
    if !found.is_listed() {
        let why = "a hidden file cannot be asked for; `get --wait` waits for its owner";
        return Err(StoreError::NotNow(why.to_owned()));
    }
    let open: Option<i64> = sqlx::query_scalar(
        "SELECT no FROM items WHERE from_account = $1 AND file = $2 AND state < 2 AND matter < 2 LIMIT 1",
    )
    .bind(me.account)
    .bind(rows::bytes(file.as_bytes()))
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(open) = open {
        return Aftermath::default().done(tx, Some(me), &[open]).await;
    }
    check_pace(tx, me, 1, false, new.now_ms).await?;
    let approved = super::sources::is_open_to(tx, me, found.no).await?;
    let wanted = if approved { Wanted::Source } else { Wanted::Approval };
    let mut after = Aftermath::default();
    let parties = Parties { from: me.account, to: found.owner_no };
    let row = NewRow {
        matter: Matter::Request(wanted),
        file: Some(file),
        parcel: None,
        name: found.entry.path,
        size: found.entry.size,
        blob: Some(found.entry.blob),
    };
    let no = items::begin(tx, &mut after, caller, parties, row, &new).await?;
    after.done(tx, Some(me), &[no]).await
}

async fn want_text(tx: &mut SqliteConnection, caller: &Caller, of: Option<Named>, new: NewItem) -> Result<Done> {
    let me = me(tx, caller).await?;
    if let Some(known) = items::begun(tx, me, new.id).await? {
        return Aftermath::default().done(tx, Some(me), &[known]).await;
    }
    let (wanted, to) = match &of {
        Some(member) => (Wanted::Word, member_no(tx, me, member).await?),
        None => (Wanted::Board, EVERYONE),
    };
    // Whoever lost the answer asks in the same words again, and so does whoever is impatient.
    let open: Option<i64> = sqlx::query_scalar(
        "SELECT no FROM items WHERE from_account = $1 AND to_account = $2 AND matter = $3 AND text = $4 AND state < 2
         AND expires_ms > $5 LIMIT 1",
    )
    .bind(me.account)
    .bind(to)
    .bind(items::number(Matter::Request(wanted)))
    .bind(&new.text)
    .bind(new.now_ms)
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(open) = open {
        return Aftermath::default().done(tx, Some(me), &[open]).await;
    }
    check_pace(tx, me, 1, of.is_none(), new.now_ms).await?;
    let mut after = Aftermath::default();
    let row =
        NewRow { matter: Matter::Request(wanted), file: None, parcel: None, name: String::new(), size: 0, blob: None };
    let no = items::begin(tx, &mut after, caller, Parties { from: me.account, to }, row, &new).await?;
    after.done(tx, Some(me), &[no]).await
}

async fn offer(
    tx: &mut SqliteConnection,
    caller: &Caller,
    parcel: ParcelId,
    name: &str,
    to: Vec<(Named, NewItem)>,
) -> Result<Done> {
    let me = me(tx, caller).await?;
    let parcel = parcels::find(tx, me, parcel).await?.ok_or(StoreError::UnknownItem)?;
    let mut after = Aftermath::default();
    let mut numbers = Vec::new();
    let mut fresh = Vec::new();
    for (member, new) in to {
        match items::begun(tx, me, new.id).await? {
            Some(known) => numbers.push(known),
            None => {
                numbers.push(0);
                fresh.push((numbers.len() - 1, member_no(tx, me, &member).await?, new));
            }
        }
    }
    if let Some((.., first)) = fresh.first() {
        if parcel.files == 0 {
            return Err(StoreError::NotNow("what was packed for this offer is not there any more".to_owned()));
        }
        check_pace(tx, me, fresh.len(), false, first.now_ms).await?;
    }
    for (place, account, new) in fresh {
        let row = NewRow {
            matter: Matter::Offer,
            file: None,
            parcel: Some(parcel.no),
            name: name.to_owned(),
            size: parcel.bytes,
            blob: parcel.only_blob,
        };
        let parties = Parties { from: me.account, to: account };
        numbers[place] = items::begin(tx, &mut after, caller, parties, row, &new).await?;
    }
    after.done(tx, Some(me), &numbers).await
}

async fn act(tx: &mut SqliteConnection, caller: &Caller, item: ItemId, deed: Deed, now_ms: i64) -> Result<Done> {
    let me = me(tx, caller).await?;
    let row = items::find(tx, item).await?.ok_or(StoreError::UnknownItem)?;
    let party = row.party(me).ok_or(StoreError::UnknownItem)?;
    if party == Party::To && items::is_hidden(tx, me, &row).await? {
        return Err(StoreError::UnknownItem);
    }
    let mut after = Aftermath::default();
    if row.state.is_open() && row.expires_ms <= now_ms {
        // The clock was faster than whoever looks at it.
        end(tx, &mut after, &row, State::Expired, "", now_ms).await?;
        return after.done(tx, Some(me), &[row.no]).await;
    }
    let Some(state) = row.matter.after(row.state, party, deed.act) else {
        let what = format!("this is {} and cannot be {} by you", row.state.word(), deed.act.done());
        return Err(StoreError::NotNow(what));
    };
    if row.answered_by.is_some_and(|by| by != me.account) && party == Party::To {
        return Err(StoreError::NotNow("another member has answered that".to_owned()));
    }
    if state != row.state {
        if state == State::Accepted {
            accept(tx, &mut after, me, &row, &deed, now_ms).await?;
        } else {
            end(tx, &mut after, &row, state, &deed.word, now_ms).await?;
        }
    }
    after.done(tx, Some(me), &[row.no]).await
}

async fn accept(
    tx: &mut SqliteConnection,
    after: &mut Aftermath,
    me: Me,
    row: &ItemRow,
    deed: &Deed,
    now_ms: i64,
) -> Result<()> {
    let file = match row.matter {
        Matter::Request(Wanted::Approval) => row.file,
        Matter::Request(Wanted::Word | Wanted::Board) => {
            let missing = || StoreError::NotNow("name the file that answers the request".to_owned());
            Some(deed.with.ok_or_else(missing)?)
        }
        Matter::Request(Wanted::Source) | Matter::Offer | Matter::Channel => None,
    };
    if let Some(file) = file {
        let found = sqlx::query("SELECT no, path, size, blob FROM files WHERE id = $1 AND owner = $2")
            .bind(rows::bytes(file.as_bytes()))
            .bind(me.account)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or(StoreError::UnknownFile)?;
        let no = found.try_get("no")?;
        Approval { owner: me.account, account: row.parties.from, file: no, item: row.no }.give(tx).await?;
        if deed.always && row.matter == Matter::Request(Wanted::Approval) {
            let standing = Approval { owner: me.account, account: row.parties.from, file: ALWAYS, item: ALWAYS };
            standing.give(tx).await?;
        }
        sqlx::query("UPDATE items SET file = $2, name = $3, size = $4, blob = $5 WHERE no = $1")
            .bind(row.no)
            .bind(rows::bytes(file.as_bytes()))
            .bind(found.try_get::<String, _>("path")?)
            .bind(found.try_get::<i64, _>("size")?)
            .bind(found.try_get::<Vec<u8>, _>("blob")?)
            .execute(&mut *tx)
            .await?;
    }
    let by = (row.parties.to == EVERYONE).then_some(me.account);
    let seq = after.next_seq(tx, &row.parties).await?;
    after.accounts.extend(by);
    sqlx::query("UPDATE items SET state = $2, word = $3, answered_by = $4, changed_ms = $5, seq = $6 WHERE no = $1")
        .bind(row.no)
        .bind(items::state_number(State::Accepted))
        .bind(&deed.word)
        .bind(by)
        .bind(now_ms)
        .bind(seq)
        .execute(&mut *tx)
        .await?;
    if deed.always && row.matter == Matter::Request(Wanted::Approval) {
        follow::standing_yes(tx, after, me.account, row.parties.from).await?;
    }
    Ok(())
}

/// An item is over: what it allowed ends with it.
async fn end(
    tx: &mut SqliteConnection,
    after: &mut Aftermath,
    row: &ItemRow,
    state: State,
    word: &str,
    now_ms: i64,
) -> Result<()> {
    let seq = after.next_seq(tx, &row.parties).await?;
    after.accounts.extend(row.answered_by);
    sqlx::query("UPDATE items SET state = $2, word = $3, changed_ms = $4, seq = $5, copied = 0 WHERE no = $1")
        .bind(row.no)
        .bind(items::state_number(state))
        .bind(word)
        .bind(now_ms)
        .bind(seq)
        .execute(&mut *tx)
        .await?;
    if let Some(file) = row.file {
        let gone = sqlx::query("DELETE FROM approvals WHERE item = $1").bind(row.no).execute(&mut *tx).await?;
        if gone.rows_affected() > 0 && state != State::Fulfilled {
            publish::revoke(tx, after.effects(), &[file]).await?;
        }
        if row.copied {
            let effects = copies::drop_left(tx, file).await?;
            after.effects().absorb(effects);
        }
    }
    if let Some(parcel) = row.parcel {
        let is_open: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM items WHERE parcel = $1 AND state < 2)")
            .bind(parcel)
            .fetch_one(&mut *tx)
            .await?;
        if !is_open {
            parcels::unpack(tx, after, parcel).await?;
        } else if state != State::Fulfilled {
            parcels::revoke(tx, after, parcel).await?;
        }
    }
    Ok(())
}

async fn leave_copy(tx: &mut SqliteConnection, caller: &Caller, item: ItemId, now_ms: i64) -> Result<Done> {
    let me = me(tx, caller).await?;
    let row = items::find(tx, item).await?.ok_or(StoreError::UnknownItem)?;
    let file = row.file.ok_or(StoreError::UnknownItem)?;
    let mut after = Aftermath::default();
    let is_wanted =
        row.state == State::Accepted || (row.state == State::Waiting && row.matter == Matter::Request(Wanted::Source));
    let own: Option<i64> = sqlx::query_scalar("SELECT no FROM files WHERE id = $1 AND owner = $2")
        .bind(rows::bytes(file.as_bytes()))
        .bind(me.account)
        .fetch_optional(&mut *tx)
        .await?;
    if own.is_none() {
        return Err(StoreError::UnknownItem);
    }
    let copied: bool = sqlx::query_scalar("SELECT copy FROM files WHERE id = $1")
        .bind(rows::bytes(file.as_bytes()))
        .fetch_one(&mut *tx)
        .await?;
    if !is_wanted || row.copied || copied {
        return after.done(tx, Some(me), &[row.no]).await;
    }
    let left: i64 = sqlx::query_scalar(
        "SELECT COALESCE(SUM(f.size), 0) FROM files f WHERE f.owner = $1 AND f.id IN
             (SELECT file FROM items WHERE copied = 1 AND state < 2 AND file IS NOT NULL)",
    )
    .bind(me.account)
    .fetch_one(&mut *tx)
    .await?;
    if left.unsigned_abs() + row.size > LEFT_COPY_BYTES_MAX {
        return Err(StoreError::TooMany { what: "bytes of copies left for requests", most: LEFT_COPY_BYTES_MAX });
    }
    let kept = copies::keep(tx, caller, &[file], now_ms).await?;
    after.effects().absorb(kept.effects);
    let seq = after.next_seq(tx, &row.parties).await?;
    sqlx::query("UPDATE items SET copied = 1, changed_ms = $2, seq = $3 WHERE no = $1")
        .bind(row.no)
        .bind(now_ms)
        .bind(seq)
        .execute(&mut *tx)
        .await?;
    after.done(tx, Some(me), &[row.no]).await
}

/// A member's requests are no longer approved by themselves: what was given because of that ends.
async fn withdraw_standing(tx: &mut SqliteConnection, me: Me, account: i64) -> Result<Effects> {
    let gone = sqlx::query("DELETE FROM approvals WHERE owner = $1 AND account = $2 AND file = 0 AND item = 0")
        .bind(me.account)
        .bind(account)
        .execute(&mut *tx)
        .await?;
    let mut effects = Effects::default();
    if gone.rows_affected() > 0 {
        let files = sqlx::query("SELECT id FROM files WHERE owner = $1 AND visibility = $2")
            .bind(me.account)
            .bind(rows::ASK)
            .fetch_all(&mut *tx)
            .await?;
        let files = files.iter().map(|row| rows::file_id(row, "id")).collect::<Result<Vec<_>>>()?;
        publish::revoke(tx, &mut effects, &files).await?;
    }
    Ok(effects)
}
