//! Invitations to private channels.

use async_trait::async_trait;
use shared::{
    id::{AccountId, DeviceId, ItemId},
    inbox::{Matter, Party, State},
};
use sqlx::SqliteConnection;

use super::{
    Aftermath, Parties, check_pace, end,
    items::{self, NewRow},
    member_no,
};
use crate::store::{
    Caller, ChannelStore, Done, Named, NewItem, StoreError,
    sqlite::{Me, Result, SqliteStore, me, rows},
};

#[async_trait]
impl ChannelStore for SqliteStore {
    async fn invite_to_channel(&self, caller: &Caller, to: Named, new: NewItem) -> Result<Done> {
        let mut tx = self.write().await?;
        let done = invite(&mut tx, caller, &to, &new).await?;
        tx.commit().await?;
        Ok(done)
    }

    async fn channel_host(&self, caller: &Caller, item: ItemId) -> Result<(DeviceId, AccountId)> {
        let mut tx = self.read().await?;
        let me = me(&mut tx, caller).await?;
        let row = items::find(&mut tx, item).await?.ok_or(StoreError::UnknownItem)?;
        if row.matter != Matter::Channel
            || row.party(me) != Some(Party::To)
            || items::is_hidden(&mut tx, me, &row).await?
        {
            return Err(StoreError::UnknownItem);
        }
        if row.state != State::Accepted {
            return Err(StoreError::NotNow(format!("this invitation is {}", row.state.word())));
        }
        let host = sqlx::query(
            "SELECT i.from_device, a.id AS from_id FROM items i JOIN accounts a ON a.no = i.from_account WHERE i.no = $1",
        )
        .bind(row.no)
        .fetch_one(&mut *tx)
        .await?;
        Ok((rows::device_id(&host, "from_device")?, rows::account_id(&host, "from_id")?))
    }
}

async fn invite(tx: &mut SqliteConnection, caller: &Caller, to: &Named, new: &NewItem) -> Result<Done> {
    let me = me(tx, caller).await?;
    if let Some(known) = items::begun(tx, me, new.id).await? {
        return Aftermath::default().done(tx, Some(me), &[known]).await;
    }
    let parties = Parties { from: me.account, to: member_no(tx, me, to).await? };
    check_pace(tx, me, 1, false, new.now_ms).await?;
    let mut after = Aftermath::default();
    for id in unanswered(tx, me, caller, parties).await? {
        if let Some(row) = items::find(tx, id).await? {
            end(tx, &mut after, &row, State::Cancelled, "", new.now_ms).await?;
        }
    }
    let row = NewRow { matter: Matter::Channel, file: None, parcel: None, name: String::new(), size: 0, blob: None };
    let no = items::begin(tx, &mut after, caller, parties, row, new).await?;
    after.done(tx, Some(me), &[no]).await
}

/// Earlier invitations from this device to the same member.
async fn unanswered(tx: &mut SqliteConnection, me: Me, caller: &Caller, parties: Parties) -> Result<Vec<ItemId>> {
    let found = sqlx::query_scalar::<_, Vec<u8>>(
        "SELECT id FROM items
         WHERE from_account = $1 AND state = $2 AND matter = $3 AND to_account = $4 AND from_device = $5",
    )
    .bind(me.account)
    .bind(items::state_number(State::Waiting))
    .bind(items::number(Matter::Channel))
    .bind(parties.to)
    .bind(rows::bytes(caller.device.as_bytes()))
    .fetch_all(tx)
    .await?;
    Ok(found.iter().filter_map(|id| ItemId::from_slice(id)).collect())
}
