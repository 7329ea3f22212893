//! What members who hold contents without sharing them may tell of.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use shared::id::{AccountId, FileId};
use sqlx::{Row, SqliteConnection};

use super::{
    Result, SqliteStore, me,
    rows::{self, approved, fetchable_by, hidden_from_me},
};
use crate::{
    holdings::Content,
    store::{Caller, HolderStore},
};

#[async_trait]
impl HolderStore for SqliteStore {
    async fn open_holders(
        &self,
        caller: &Caller,
        file: FileId,
        content: Content,
        holders: &[(AccountId, BTreeSet<FileId>)],
    ) -> Result<Vec<bool>> {
        let mut tx = self.read().await?;
        let known = Known::of(&mut tx, caller, file, content).await?;
        let accounts: BTreeSet<AccountId> = holders.iter().map(|(account, _)| *account).collect();
        let tainted = known.tainted(&mut tx, &accounts).await?;
        let open = |(account, files): &(AccountId, BTreeSet<FileId>)| {
            !tainted.contains(account) && files.iter().all(|file| known.open.get(file).is_some_and(|(_, open)| *open))
        };
        Ok(holders.iter().map(open).collect())
    }

    async fn files_among(&self, files: &[FileId], owners: [AccountId; 2]) -> Result<Vec<FileId>> {
        sqlx::query(
            "SELECT f.id AS id FROM json_each($1) w CROSS JOIN files f ON f.id = unhex(w.value)
             JOIN accounts a ON a.no = f.owner WHERE a.id IN ($2, $3)",
        )
        .bind(rows::hex_list(files.iter().map(|file| file.as_bytes().as_slice())))
        .bind(rows::bytes(owners[0].as_bytes()))
        .bind(rows::bytes(owners[1].as_bytes()))
        .fetch_all(&mut *self.read().await?)
        .await?
        .iter()
        .map(|row| rows::file_id(row, "id"))
        .collect()
    }
}

/// The files of a content: their numbers, and whether the caller may fetch them.
struct Known {
    open: BTreeMap<FileId, (i64, bool)>,
}

impl Known {
    async fn of(
        connection: &mut SqliteConnection,
        caller: &Caller,
        file: FileId,
        (blob, size): Content,
    ) -> Result<Self> {
        let me = me(connection, caller).await?;
        let found = sqlx::query(concat!(
            "SELECT f.no AS no, f.id AS id, f.id = $4 OR",
            fetchable_by!("$1"),
            "OR (f.visibility > 0 AND",
            approved!(),
            ") AS open FROM files f WHERE f.blob = $2 AND f.size = $3",
        ))
        .bind(me.account)
        .bind(rows::bytes(blob.as_bytes()))
        .bind(i64::try_from(size).unwrap_or(i64::MAX))
        .bind(rows::bytes(file.as_bytes()))
        .fetch_all(connection)
        .await?;
        let open = found.iter().map(|row| Ok((rows::file_id(row, "id")?, (row.try_get("no")?, row.try_get("open")?))));
        Ok(Self { open: open.collect::<Result<_>>()? })
    }

    /// Which of these members share, or may fetch, a file of the content that the caller may not fetch.
    async fn tainted(
        &self,
        connection: &mut SqliteConnection,
        accounts: &BTreeSet<AccountId>,
    ) -> Result<BTreeSet<AccountId>> {
        let closed: Vec<i64> = self.open.values().filter(|(_, open)| !open).map(|(no, _)| *no).collect();
        if closed.is_empty() {
            return Ok(BTreeSet::new());
        }
        sqlx::query(concat!(
            "SELECT DISTINCT h.id AS id FROM json_each($1) w CROSS JOIN accounts h ON h.id = unhex(w.value)
             CROSS JOIN json_each($2) n CROSS JOIN files f ON f.no = n.value
             WHERE f.owner = h.no OR",
            fetchable_by!("h.no"),
            "OR (f.visibility = 4 AND EXISTS (SELECT 1 FROM items i
                 WHERE i.parcel = -f.realm - (1 << 40) AND i.to_account = h.no AND i.state < 2))"
        ))
        .bind(rows::hex_list(accounts.iter().map(|account| account.as_bytes().as_slice())))
        .bind(rows::number_list(closed))
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| rows::account_id(row, "id"))
        .collect()
    }
}
