//! Shares that get another name.

use super::{State, StateError};

impl State {
    /// A share is to have this name; `None`: it has its name.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn set_renaming(&self, share: i64, name: Option<&str>) -> Result<(), StateError> {
        let update = sqlx::query("UPDATE share SET renaming = $2 WHERE id = $1").bind(share).bind(name);
        update.execute(&self.pool).await?;
        Ok(())
    }

    /// The shares that are to have another name, with that.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn renamings(&self) -> Result<Vec<(i64, String)>, StateError> {
        let rows = sqlx::query_as("SELECT id, renaming FROM share WHERE renaming IS NOT NULL ORDER BY id");
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// A share has this name from now on, and so has every path of it.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn rename_share(&self, share: i64, before: &str, after: &str) -> Result<(), StateError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("UPDATE share SET name = $2, renaming = NULL WHERE id = $1")
            .bind(share)
            .bind(after)
            .execute(&mut *tx)
            .await?;
        // Characters, as SQLite counts them.
        let rest = i64::try_from(before.chars().count()).unwrap_or(i64::MAX).saturating_add(1);
        for update in [
            "UPDATE shared_file SET path = $2 || substr(path, $3) WHERE share = $1",
            "UPDATE excluded SET path = $2 || substr(path, $3) WHERE share = $1",
            "UPDATE edit SET path = $2 || substr(path, $3) WHERE share = $1",
        ] {
            sqlx::query(update).bind(share).bind(after).bind(rest).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }
}
