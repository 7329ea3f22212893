//! Requests and offers, what this device does for them, and the files that it offers.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

use serde::{Deserialize, Serialize};
use shared::{
    id::{ItemId, ParcelId},
    transfer::jail::Stamp,
    wire::inbox::ItemEntry,
};
use sqlx::{QueryBuilder, Row};

use super::{ROWS_AT_ONCE, SharedFile, State, StateError, signed, unreadable, unsigned};
use crate::engine::api::{RuleKind, RuleRow, Target};

/// What this device has taken on because of an item: to fetch its files as soon as it may and can.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    /// Where the files go.
    pub target: Target,
    /// Of an offer only these, by path. Empty: all.
    #[serde(default)]
    pub only: Vec<String>,
    /// The transfer that it became.
    #[serde(default)]
    pub transfer: Option<String>,
}

/// Files that this device offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParcelRecord {
    /// Number in this database.
    pub no: i64,
    /// Its id at the tracker.
    pub id: ParcelId,
    /// Its name.
    pub name: String,
    /// Where it lies.
    pub local: PathBuf,
    /// A folder with files below, or one file.
    pub folder: bool,
    /// Its offers.
    pub items: Vec<ItemId>,
    /// Whether the tracker has them.
    pub sent: bool,
}

impl State {
    /// All items, in no order.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn inbox_items(&self) -> Result<Vec<ItemEntry>, StateError> {
        let rows = sqlx::query("SELECT row FROM inbox_item").fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok(postcard::from_bytes(row.try_get::<&[u8], _>(0)?)?)).collect()
    }

    /// Notes changed items, and how far the tracker's changes are known.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn put_inbox(&self, items: &[ItemEntry], next: u64) -> Result<(), StateError> {
        let mut tx = self.pool.begin().await?;
        for item in items {
            sqlx::query("INSERT INTO inbox_item (id, row) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET row = $2")
                .bind(&item.id.0[..])
                .bind(postcard::to_stdvec(item)?)
                .execute(&mut *tx)
                .await?;
        }
        sqlx::query(
            "INSERT INTO setting (key, value) VALUES ('inbox_next', $1) ON CONFLICT (key) DO UPDATE SET value = $1",
        )
        .bind(next.to_string())
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Forgets items, and what was to be done for them.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn forget_items(&self, items: &[ItemId]) -> Result<(), StateError> {
        let mut tx = self.pool.begin().await?;
        for item in items {
            for delete in ["DELETE FROM inbox_item WHERE id = $1", "DELETE FROM errand WHERE item = $1"] {
                sqlx::query(delete).bind(&item.0[..]).execute(&mut *tx).await?;
            }
        }
        Ok(tx.commit().await?)
    }

    /// What this device has taken on.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn errands(&self) -> Result<Vec<(ItemId, Errand)>, StateError> {
        let rows = sqlx::query("SELECT item, what FROM errand").fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let item = ItemId::from_slice(row.try_get(0)?).ok_or_else(|| unreadable("the id of an item"))?;
                Ok((item, serde_json::from_str(row.try_get(1)?)?))
            })
            .collect()
    }

    /// Takes something on, or notes how far it is.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn put_errand(&self, item: ItemId, errand: &Errand) -> Result<(), StateError> {
        sqlx::query("INSERT INTO errand (item, what) VALUES ($1, $2) ON CONFLICT (item) DO UPDATE SET what = $2")
            .bind(&item.0[..])
            .bind(serde_json::to_string(errand)?)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Adds a parcel with its files; returns its number.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn add_parcel(&self, parcel: &ParcelRecord, files: &[SharedFile]) -> Result<i64, StateError> {
        let mut tx = self.pool.begin().await?;
        let row =
            sqlx::query("INSERT INTO parcel (id, name, local, folder, items) VALUES ($1, $2, $3, $4, $5) RETURNING no")
                .bind(&parcel.id.0[..])
                .bind(&parcel.name)
                .bind(parcel.local.as_os_str().as_bytes())
                .bind(parcel.folder)
                .bind(serde_json::to_string(&parcel.items)?)
                .fetch_one(&mut *tx)
                .await?;
        let no: i64 = row.try_get(0)?;
        for part in files.chunks(ROWS_AT_ONCE) {
            let mut insert = QueryBuilder::new(
                "INSERT INTO parcel_file \
                 (parcel, path, relative, blob, size, modified_ns, inode, device, changed_ns, executable) ",
            );
            insert.push_values(part, |mut row, file| {
                row.push_bind(no)
                    .push_bind(&file.path)
                    .push_bind(&file.relative)
                    .push_bind(file.blob.0.to_vec())
                    .push_bind(signed(file.stamp.size))
                    .push_bind(file.stamp.modified_ns)
                    .push_bind(file.stamp.inode.cast_signed())
                    .push_bind(file.stamp.device.cast_signed())
                    .push_bind(file.stamp.changed_ns)
                    .push_bind(file.executable);
            });
            insert.build().execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(no)
    }

    /// The tracker has the offers of a parcel.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn parcel_sent(&self, no: i64) -> Result<(), StateError> {
        sqlx::query("UPDATE parcel SET sent = 1 WHERE no = $1").bind(no).execute(&self.pool).await?;
        Ok(())
    }

    /// Forgets a parcel.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn remove_parcel(&self, no: i64) -> Result<(), StateError> {
        sqlx::query("DELETE FROM parcel WHERE no = $1").bind(no).execute(&self.pool).await?;
        Ok(())
    }

    /// All parcels.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn parcels(&self) -> Result<Vec<ParcelRecord>, StateError> {
        let rows = sqlx::query("SELECT no, id, name, local, folder, items, sent FROM parcel ORDER BY no")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(ParcelRecord {
                    no: row.try_get(0)?,
                    id: ParcelId::from_slice(row.try_get(1)?).ok_or_else(|| unreadable("a parcel id"))?,
                    name: row.try_get(2)?,
                    local: PathBuf::from(OsStr::from_bytes(row.try_get(3)?)),
                    folder: row.try_get(4)?,
                    items: serde_json::from_str(row.try_get(5)?)?,
                    sent: row.try_get(6)?,
                })
            })
            .collect()
    }

    /// The files of a parcel.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn parcel_files(&self, no: i64) -> Result<Vec<SharedFile>, StateError> {
        let rows = sqlx::query(
            "SELECT path, relative, blob, size, modified_ns, inode, device, changed_ns, executable \
             FROM parcel_file WHERE parcel = $1 ORDER BY path",
        )
        .bind(no)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(SharedFile {
                    path: row.try_get(0)?,
                    relative: row.try_get(1)?,
                    blob: super::files::blob_of(row.try_get(2)?)?,
                    stamp: Stamp {
                        size: unsigned(row.try_get(3)?),
                        modified_ns: row.try_get(4)?,
                        inode: row.try_get::<i64, _>(5)?.cast_unsigned(),
                        device: row.try_get::<i64, _>(6)?.cast_unsigned(),
                        changed_ns: row.try_get(7)?,
                    },
                    executable: row.try_get(8)?,
                    file: None,
                    sealed: None,
                })
            })
            .collect()
    }

    /// The standing answers to offers.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn offer_rules(&self) -> Result<Vec<RuleRow>, StateError> {
        let rows =
            sqlx::query("SELECT member, accept, up_to FROM offer_rule ORDER BY member").fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let up_to: Option<i64> = row.try_get(2)?;
                let what = match row.try_get(1)? {
                    true => RuleKind::AcceptOffers { up_to: up_to.map(unsigned) },
                    false => RuleKind::DeclineOffers,
                };
                Ok(RuleRow { member: row.try_get(0)?, what })
            })
            .collect()
    }

    /// Sets the standing answer to a member's offers, or removes it.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn set_offer_rule(&self, member: &str, rule: Option<RuleKind>) -> Result<u64, StateError> {
        let (accept, up_to) = match rule {
            Some(RuleKind::AcceptOffers { up_to }) => (true, up_to.map(signed)),
            Some(RuleKind::DeclineOffers) => (false, None),
            Some(RuleKind::Approve) | None => {
                let gone =
                    sqlx::query("DELETE FROM offer_rule WHERE member = $1").bind(member).execute(&self.pool).await?;
                return Ok(gone.rows_affected());
            }
        };
        let set = sqlx::query(
            "INSERT INTO offer_rule (member, accept, up_to) VALUES ($1, $2, $3) \
             ON CONFLICT (member) DO UPDATE SET accept = $2, up_to = $3",
        );
        Ok(set.bind(member).bind(accept).bind(up_to).execute(&self.pool).await?.rows_affected())
    }
}
