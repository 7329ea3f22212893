//! What was decided for single paths of a share.

use shared::wire::tracker::Audience;
use sqlx::Row;

use super::{State, StateError};

/// What holds for one path of a share, or for all below it, instead of what holds for the share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// A file's path in the index, or a folder's with `/` at its end.
    pub path: String,
    /// Who shall see it; `None`: as decided above it.
    pub audience: Option<Audience>,
    /// The remark; `None`: as decided above it.
    pub note: Option<String>,
}

impl State {
    /// What was decided for paths of a share.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn edits(&self, share: i64) -> Result<Vec<Edit>, StateError> {
        let rows = sqlx::query("SELECT path, audience, note FROM edit WHERE share = $1 ORDER BY path")
            .bind(share)
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| {
                let audience: Option<String> = row.try_get(1)?;
                Ok(Edit {
                    path: row.try_get(0)?,
                    audience: audience.map(|text| serde_json::from_str(&text)).transpose()?,
                    note: row.try_get(2)?,
                })
            })
            .collect()
    }

    /// These are the decisions for paths of a share, and there are no others.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn set_edits(&self, share: i64, edits: &[Edit]) -> Result<(), StateError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("DELETE FROM edit WHERE share = $1").bind(share).execute(&mut *tx).await?;
        for edit in edits {
            let audience = edit.audience.as_ref().map(serde_json::to_string).transpose()?;
            sqlx::query("INSERT INTO edit (share, path, audience, note) VALUES ($1, $2, $3, $4)")
                .bind(share)
                .bind(&edit.path)
                .bind(audience)
                .bind(&edit.note)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }
}
