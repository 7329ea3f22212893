//! The folders above files: found, and made where they are missing.

use super::*;

/// The folders above paths, by key.
#[derive(Debug)]
pub(super) struct Folders {
    known: HashMap<String, i64>,
}

impl Folders {
    /// Finds the folders above these paths (as shown, and as key), and makes the missing ones.
    pub(super) async fn above_all<'a>(
        tx: &mut SqliteConnection,
        caller: &Caller,
        me: Me,
        paths: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self> {
        // In order, so that a folder comes before those within it.
        let mut wanted: BTreeMap<&str, &str> = BTreeMap::new();
        for (path, fold) in paths {
            for ((fold_end, _), (path_end, _)) in fold.match_indices('/').zip(path.match_indices('/')) {
                wanted.entry(&fold[..fold_end]).or_insert(&path[..path_end]);
            }
        }
        let mut folders = Self { known: HashMap::new() };
        if wanted.is_empty() {
            return Ok(folders);
        }
        let found =
            sqlx::query("SELECT no, fold FROM folders WHERE owner = $1 AND fold IN (SELECT value FROM json_each($2))")
                .bind(me.account)
                .bind(rows::text_list(wanted.keys().copied()))
                .fetch_all(&mut *tx)
                .await?;
        for row in &found {
            folders.known.insert(row.try_get("fold")?, row.try_get("no")?);
        }
        wanted.retain(|fold, _| !folders.known.contains_key(*fold));
        folders.make(tx, caller, me, &wanted).await?;
        Ok(folders)
    }

    async fn make(
        &mut self,
        tx: &mut SqliteConnection,
        caller: &Caller,
        me: Me,
        missing: &BTreeMap<&str, &str>,
    ) -> Result<()> {
        let mut next_no: i64 =
            sqlx::query_scalar("SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'folders'), 0) + 1")
                .fetch_one(&mut *tx)
                .await?;
        let mut made = Vec::with_capacity(missing.len());
        for (fold, path) in missing {
            let parent = self.above(fold).last().copied().unwrap_or(0);
            self.known.insert((*fold).to_owned(), next_no);
            made.push((next_no, parent, *path, *fold));
            next_no += 1;
        }
        for chunk in made.chunks(INSERT_ROWS_MAX) {
            QueryBuilder::new("INSERT INTO folders (no, id, owner, parent, path, fold) ")
                .push_values(chunk, |mut values, (no, parent, path, fold)| {
                    values
                        .push_bind(*no)
                        .push_bind(rows::bytes(FolderId::of_path(caller.account, path).as_bytes()))
                        .push_bind(me.account)
                        .push_bind(*parent)
                        .push_bind(*path)
                        .push_bind(*fold);
                })
                .build()
                .persistent(false)
                .execute(&mut *tx)
                .await?;
        }
        Ok(())
    }

    /// Numbers of the folders above a path, from the top down.
    pub(super) fn above(&self, fold: &str) -> Vec<i64> {
        fold.match_indices('/').filter_map(|(end, _)| self.known.get(&fold[..end]).copied()).collect()
    }
}
