//! The statements that write files of the index.

use super::*;

pub(super) async fn write_new(
    tx: &mut SqliteConnection,
    me: Me,
    plans: &[Plan],
    entries: &[Publication],
) -> Result<()> {
    let new: Vec<(&FileState, &Publication)> = plans
        .iter()
        .zip(entries)
        .filter_map(|(plan, entry)| match plan {
            Plan::New(row) => Some((row, entry)),
            Plan::Changed { .. } | Plan::Unchanged(_) => None,
        })
        .collect();
    for chunk in new.chunks(INSERT_ROWS_MAX) {
        QueryBuilder::new(
            "INSERT INTO files (no, id, owner, device, realm, parent, path, fold, blob, size, modified_ms, executable,
             visibility, note, version, shared_ms, copy, seq, lock) ",
        )
        .push_values(chunk, |mut values, (row, _)| {
            values
                .push_bind(row.no)
                .push_bind(rows::bytes(row.id.as_bytes()))
                .push_bind(me.account)
                .push_bind(row.device)
                .push_bind(row.realm)
                .push_bind(row.parent)
                .push_bind(&row.path)
                .push_bind(&row.fold)
                .push_bind(rows::bytes(row.blob.as_bytes()))
                .push_bind(i64::try_from(row.size).unwrap_or(i64::MAX))
                .push_bind(row.modified_ms)
                .push_bind(row.executable)
                .push_bind(row.seen_by.number())
                .push_bind(&row.note)
                .push_bind(row.version)
                .push_bind(row.shared_ms)
                .push_bind(row.copy)
                .push_bind(row.seq)
                .push_bind(row.lock.as_ref().map(locks::to_bytes));
        })
        .build()
        .persistent(chunk.len() == INSERT_ROWS_MAX)
        .execute(&mut *tx)
        .await?;
    }
    let searched: Vec<(i64, &str)> = new
        .iter()
        .filter(|(row, _)| row.seen_by != SeenBy::Hidden)
        .map(|(row, entry)| (row.no, entry.search_text.as_str()))
        .collect();
    index_text(tx, &searched).await?;
    for (row, _) in &new {
        write_people(tx, row).await?;
    }
    Ok(())
}

pub(super) async fn write_changed(
    tx: &mut SqliteConnection,
    me: Me,
    plans: &[Plan],
    entries: &[Publication],
) -> Result<()> {
    for (plan, entry) in plans.iter().zip(entries) {
        let Plan::Changed { before, after } = plan else { continue };
        sqlx::query(
            "UPDATE files SET id = $2, device = $3, realm = $4, path = $5, blob = $6, size = $7, modified_ms = $8,
             executable = $9, visibility = $10, note = $11, version = $12, shared_ms = $13, seq = $14,
             lock = $15 WHERE no = $1",
        )
        .bind(after.no)
        .bind(rows::bytes(after.id.as_bytes()))
        .bind(after.device)
        .bind(after.realm)
        .bind(&after.path)
        .bind(rows::bytes(after.blob.as_bytes()))
        .bind(i64::try_from(after.size).unwrap_or(i64::MAX))
        .bind(after.modified_ms)
        .bind(after.executable)
        .bind(after.seen_by.number())
        .bind(&after.note)
        .bind(after.version)
        .bind(after.shared_ms)
        .bind(after.seq)
        .bind(after.lock.as_ref().map(locks::to_bytes))
        .execute(&mut *tx)
        .await
        .map_err(|error| {
            // A hidden file is to be listed at a path where another device lists one.
            if error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation) {
                return StoreError::OtherDevice(after.path.clone());
            }
            StoreError::Database(error)
        })?;
        if before.version != after.version {
            keep_version(tx, before).await?;
        }
        if before.blob != after.blob || before.device != after.device {
            let device = (before.blob == after.blob).then_some(me.device);
            sqlx::query("DELETE FROM holders WHERE file = $1 AND ($2 IS NULL OR device = $2)")
                .bind(after.no)
                .bind(device)
                .execute(&mut *tx)
                .await?;
        }
        if before.seen_by != after.seen_by {
            sqlx::query("DELETE FROM people WHERE file = $1").bind(after.no).execute(&mut *tx).await?;
            write_people(tx, after).await?;
        }
        let text_changed = before.path != after.path
            || before.note != after.note
            || (before.seen_by == SeenBy::Hidden) != (after.seen_by == SeenBy::Hidden);
        if text_changed {
            unindex_text(tx, &rows::number_list([after.no])).await?;
            if after.seen_by != SeenBy::Hidden {
                let text = searched_text(before, after, entry);
                index_text(tx, &[(after.no, &text)]).await?;
            }
        }
    }
    Ok(())
}

/// The text to search a changed file by. Where the note is kept, the entry's text lacks it.
pub(super) fn searched_text(before: &FileState, after: &FileState, entry: &Publication) -> String {
    if entry.note.is_none() && !before.note.is_empty() {
        format!("{}\n{}", entry.search_text, FoldKey::of(&after.note).as_str())
    } else {
        entry.search_text.clone()
    }
}

pub(super) async fn keep_version(tx: &mut SqliteConnection, before: &FileState) -> Result<()> {
    sqlx::query("INSERT INTO versions (file, version, blob, size, shared_ms) VALUES ($1, $2, $3, $4, $5)")
        .bind(before.no)
        .bind(before.version)
        .bind(rows::bytes(before.blob.as_bytes()))
        .bind(i64::try_from(before.size).unwrap_or(i64::MAX))
        .bind(before.shared_ms)
        .execute(&mut *tx)
        .await?;
    // The current content is one of the versions kept.
    let oldest = i64::from(before.version) + 2 - i64::try_from(VERSIONS_MAX).unwrap_or(i64::MAX);
    sqlx::query("DELETE FROM versions WHERE file = $1 AND version < $2")
        .bind(before.no)
        .bind(oldest)
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn write_people(tx: &mut SqliteConnection, row: &FileState) -> Result<()> {
    let SeenBy::People(people) = &row.seen_by else { return Ok(()) };
    if people.is_empty() {
        return Ok(());
    }
    QueryBuilder::new("INSERT INTO people (file, account) ")
        .push_values(people, |mut values, account| {
            values.push_bind(row.no).push_bind(*account);
        })
        .build()
        .persistent(false)
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn index_text(tx: &mut SqliteConnection, texts: &[(i64, &str)]) -> Result<()> {
    for chunk in texts.chunks(INSERT_ROWS_MAX) {
        for insert in ["INSERT INTO search (file, text) ", "INSERT INTO search_index (rowid, text) "] {
            QueryBuilder::new(insert)
                .push_values(chunk, |mut values, (no, text)| {
                    values.push_bind(*no).push_bind(*text);
                })
                .build()
                .persistent(chunk.len() == INSERT_ROWS_MAX)
                .execute(&mut *tx)
                .await?;
        }
    }
    Ok(())
}

pub(super) async fn unindex_text(tx: &mut SqliteConnection, files: &str) -> Result<()> {
    sqlx::query(
        "DELETE FROM search_index WHERE rowid IN
         (SELECT file FROM search WHERE file IN (SELECT value FROM json_each($1)))",
    )
    .bind(files)
    .execute(&mut *tx)
    .await?;
    sqlx::query("DELETE FROM search WHERE file IN (SELECT value FROM json_each($1))").bind(files).execute(tx).await?;
    Ok(())
}
