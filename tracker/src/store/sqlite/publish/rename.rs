//! Giving files other paths.

use super::*;
use crate::store::Renaming;

/// Moves files of the caller to other paths. Everything about them stays, and so do their ids.
pub(in crate::store::sqlite) async fn rename(
    tx: &mut SqliteConnection,
    caller: &Caller,
    files: &[Renaming],
) -> Result<Published> {
    let me = me(tx, caller).await?;
    let ids: Vec<FileId> = files.iter().map(|renaming| renaming.file).collect();
    let mut known: HashMap<FileId, Existing> =
        own_files(tx, me, &ids).await?.into_iter().map(|found| (found.row.id, found)).collect();
    let moves: Vec<(Existing, &Renaming)> =
        files.iter().filter_map(|renaming| Some((known.remove(&renaming.file)?, renaming))).collect();
    let mut ledger = Ledger::open(tx, me.account).await?;
    // For nothing but what moves: a folder in which no file ever counted is never taken away.
    let places = moves
        .iter()
        .flat_map(|(found, renaming)| [(&*found.row.path, &*found.row.fold), (&*renaming.path, &*renaming.fold)]);
    let folders = Folders::above_all(tx, caller, me, places).await?;
    let mut plans = Vec::with_capacity(moves.len());
    let mut texts = Vec::with_capacity(moves.len());
    for (Existing { row: before, origin_known }, renaming) in &moves {
        if before.path == renaming.path {
            plans.push(Plan::Unchanged(before.clone()));
            texts.push(renaming.search_text.as_str());
            continue;
        }
        if before.device != me.device && *origin_known {
            return Err(StoreError::OtherDevice(before.path.clone()));
        }
        let viewers = before.seen_by.viewers(me.account, before.device);
        let (from, to) = (folders.above(&before.fold), folders.above(&renaming.fold));
        ledger.remove(&Weight { viewers: &viewers, folders: &from, size: before.size });
        ledger.add(&Weight { viewers: &viewers, folders: &to, size: before.size });
        let mut after = FileState {
            path: renaming.path.clone(),
            fold: renaming.fold.clone(),
            parent: to.last().copied().unwrap_or(0),
            ..before.clone()
        };
        after.seq = if after.seen_by == SeenBy::Hidden { 0 } else { ledger.next_seq() };
        plans.push(Plan::Changed { before: Box::new(before.clone()), after });
        texts.push(renaming.search_text.as_str());
    }
    refuse_taken(tx, me, &plans).await?;
    for (plan, text) in plans.iter().zip(texts) {
        if let Plan::Changed { before, after } = plan {
            write_place(tx, before, after, text).await?;
        }
    }
    let mut effects = Effects { seq: ledger.moved_to(), ..Effects::default() };
    effects.absorb(ledger.write(tx, 0).await?);
    let named = ids_of_people(tx, &plans).await?;
    let files = plans.into_iter().map(|plan| entry_of(caller, &named, plan)).collect();
    Ok(Published { files, effects })
}

/// Nothing of the caller may stand where these go, not even one of them.
async fn refuse_taken(tx: &mut SqliteConnection, me: Me, plans: &[Plan]) -> Result<()> {
    let places = plans.iter().filter_map(|plan| match plan {
        Plan::Changed { after, .. } => Some(after.fold.as_str()),
        Plan::New(_) | Plan::Unchanged(_) => None,
    });
    let taken: Option<String> = sqlx::query_scalar(
        "SELECT f.path FROM files f WHERE f.owner = $1 AND f.visibility < 4 AND f.realm IN (0, $2)
             AND f.fold IN (SELECT value FROM json_each($3)) LIMIT 1",
    )
    .bind(me.account)
    .bind(me.device)
    .bind(rows::text_list(places))
    .fetch_optional(tx)
    .await?;
    match taken {
        Some(path) => Err(StoreError::NotNow(format!("you share something else as {path:?} already"))),
        None => Ok(()),
    }
}

async fn write_place(tx: &mut SqliteConnection, before: &FileState, after: &FileState, text: &str) -> Result<()> {
    sqlx::query("UPDATE files SET path = $2, fold = $3, parent = $4, seq = $5 WHERE no = $1")
        .bind(after.no)
        .bind(&after.path)
        .bind(&after.fold)
        .bind(after.parent)
        .bind(after.seq)
        .execute(&mut *tx)
        .await?;
    unindex_text(tx, &rows::number_list([after.no])).await?;
    if after.seen_by != SeenBy::Hidden {
        let text = if before.note.is_empty() {
            text.to_owned()
        } else {
            format!("{text}{}", FoldKey::of(&before.note).as_str())
        };
        index_text(tx, &[(after.no, &text)]).await?;
    }
    Ok(())
}
