//! Wrong passwords by account and address.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use shared::limits::SIGN_IN_SOURCES_MAX;
use sqlx::{Row, SqliteConnection};

use super::{Result, SqliteStore};
use crate::{
    attempts::Guesses,
    store::{AttemptStore, StoreError},
};

#[async_trait]
impl AttemptStore for SqliteStore {
    async fn note_guesses(&self, guesses: Guesses, memory: Duration) -> Result<()> {
        let mut tx = self.write().await?;
        forget_old(&mut tx, guesses.last_ms, memory).await?;
        sqlx::query(
            "INSERT INTO guesses (name_key, address, count, last_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT (name_key, address)
             DO UPDATE SET count = MAX(count, excluded.count), last_ms = excluded.last_ms",
        )
        .bind(guesses.name_key)
        .bind(guesses.address.to_string())
        .bind(guesses.count)
        .bind(guesses.last_ms)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "DELETE FROM guesses WHERE last_ms <= (SELECT last_ms FROM guesses ORDER BY last_ms DESC LIMIT 1 OFFSET $1)",
        )
        .bind(most())
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    async fn forget_guesses(&self, name_key: &str, address: IpAddr) -> Result<()> {
        let mut tx = self.write().await?;
        sqlx::query("DELETE FROM guesses WHERE name_key = $1 AND address = $2")
            .bind(name_key)
            .bind(address.to_string())
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    async fn recall_guesses(&self, now_ms: i64, memory: Duration) -> Result<Vec<Guesses>> {
        let mut tx = self.write().await?;
        // The clock was turned back: such rows would otherwise outlive their time.
        sqlx::query("UPDATE guesses SET last_ms = $1 WHERE last_ms > $1").bind(now_ms).execute(&mut *tx).await?;
        forget_old(&mut tx, now_ms, memory).await?;
        let rows = sqlx::query("SELECT name_key, address, count, last_ms FROM guesses ORDER BY last_ms DESC LIMIT $1")
            .bind(most())
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter()
            .map(|row| {
                let address: String = row.try_get("address")?;
                Ok(Guesses {
                    name_key: row.try_get("name_key")?,
                    address: address.parse().map_err(|_| StoreError::Corrupt("address"))?,
                    count: row.try_get("count")?,
                    last_ms: row.try_get("last_ms")?,
                })
            })
            .collect()
    }
}

async fn forget_old(tx: &mut SqliteConnection, now_ms: i64, memory: Duration) -> Result<()> {
    let memory_ms = i64::try_from(memory.as_millis()).unwrap_or(i64::MAX);
    sqlx::query("DELETE FROM guesses WHERE last_ms <= $1").bind(now_ms.saturating_sub(memory_ms)).execute(tx).await?;
    Ok(())
}

fn most() -> i64 {
    i64::try_from(SIGN_IN_SOURCES_MAX).unwrap_or(i64::MAX)
}
