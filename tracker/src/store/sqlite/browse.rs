//! Looking at the index: listings, references, folders.

use data_encoding::HEXLOWER_PERMISSIVE;
use shared::{
    id::{FileId, FolderId},
    limits::PAGE_ENTRIES_MAX,
    wire::tracker::{FileEntry, Item},
};
use sqlx::{Row, SqliteConnection};

use super::{
    Me, Result, me,
    rows::{
        self, Budget, FileRow, FolderRow, approved, file_tables, folder_columns, folder_seen, folder_tables,
        hidden_from_me, listed, select_files,
    },
};
use crate::store::{Caller, Cursor, Page, Place, Whose};

/// Folders behind `($3, $4)` at a place given by the filter, for viewers `$1` and `$2`.
macro_rules! folders_at {
    ($filter:literal) => {
        concat!(
            "SELECT ",
            folder_columns!(),
            "FROM",
            folder_tables!(),
            "WHERE ",
            $filter,
            " AND (d.fold, d.no) > ($3, $4) AND",
            folder_seen!(),
            "ORDER BY d.fold, d.no LIMIT $6"
        )
    };
}

/// Files behind `($3, $4)` at a place given by the filter, listed for `$1` or hidden on the device `-$2`.
macro_rules! files_at {
    ($filter:literal) => {
        select_files!(
            "WHERE ",
            $filter,
            " AND (f.fold, f.no) > ($3, $4) AND (",
            listed!(),
            " OR (f.visibility = 3 AND f.device = -$2)) ",
            "ORDER BY f.fold, f.no LIMIT $6"
        )
    };
}

/// Where rows are looked for; the number is the value of `$5`.
#[derive(Debug, Clone)]
enum Spot {
    /// At the top of every member.
    Tops,
    /// At the top of one member.
    Top(i64),
    /// In one folder.
    Inside(i64),
    /// In the folders of this key of every member.
    Alike(String),
}

pub(super) async fn list(
    connection: &mut SqliteConnection,
    caller: &Caller,
    place: &Place,
    after: Option<&Cursor>,
) -> Result<Page> {
    let me = me(connection, caller).await?;
    let device_viewer = if place.whose == Whose::Mine { -me.device } else { 0 };
    let Some(spot) = find_spot(connection, me, device_viewer, place).await? else { return Ok(Page::default()) };
    let mut budget = Budget::page();
    let mut items = Vec::new();
    let behind = |in_files: bool| match after {
        Some(cursor) if cursor.in_files == in_files => (cursor.fold.clone(), cursor.no),
        Some(_) | None => (String::new(), 0),
    };

    if !after.is_some_and(|cursor| cursor.in_files) {
        let folders = folders_in(connection, me, device_viewer, &spot, behind(false)).await?;
        let mut last = None;
        for folder in folders {
            if !budget.take_folder(&folder) {
                return Ok(Page { found: true, items, next: last });
            }
            last = Some(Cursor { in_files: false, fold: folder.fold.clone(), no: folder.no });
            items.push(folder.into());
        }
    }
    let files = files_in(connection, me, device_viewer, &spot, behind(true)).await?;
    let mut last = Some(Cursor { in_files: true, fold: String::new(), no: 0 });
    for file in files {
        if !budget.take_file(&file) {
            return Ok(Page { found: true, items, next: last });
        }
        last = Some(Cursor { in_files: true, fold: file.fold, no: file.no });
        items.push(Item::File(file.entry));
    }
    Ok(Page { found: true, items, next: None })
}

async fn find_spot(
    connection: &mut SqliteConnection,
    me: Me,
    device_viewer: i64,
    place: &Place,
) -> Result<Option<Spot>> {
    let owner: i64 = match &place.whose {
        Whose::Everyones if place.fold.is_empty() => return Ok(Some(Spot::Tops)),
        Whose::Everyones => {
            let seen: bool = sqlx::query_scalar(concat!(
                "SELECT EXISTS (SELECT 1 FROM folders d WHERE d.fold = $3 AND",
                folder_seen!(),
                ")"
            ))
            .bind(me.account)
            .bind(device_viewer)
            .bind(&place.fold)
            .fetch_one(connection)
            .await?;
            return Ok(seen.then(|| Spot::Alike(place.fold.clone())));
        }
        Whose::Mine => me.account,
        Whose::Member(key) => {
            let no = sqlx::query_scalar("SELECT no FROM accounts WHERE name_key = $1")
                .bind(key)
                .fetch_optional(&mut *connection)
                .await?;
            let Some(no) = no else { return Ok(None) };
            no
        }
    };
    if place.fold.is_empty() {
        return Ok(Some(Spot::Top(owner)));
    }
    let folder: Option<i64> = sqlx::query_scalar(concat!(
        "SELECT d.no FROM folders d WHERE d.owner = $3 AND d.fold = $4 AND",
        folder_seen!()
    ))
    .bind(me.account)
    .bind(device_viewer)
    .bind(owner)
    .bind(&place.fold)
    .fetch_optional(connection)
    .await?;
    Ok(folder.map(Spot::Inside))
}

const PAGE_AND_ONE: i64 = PAGE_ENTRIES_MAX as i64 + 1;

async fn folders_in(
    connection: &mut SqliteConnection,
    me: Me,
    device_viewer: i64,
    spot: &Spot,
    behind: (String, i64),
) -> Result<Vec<FolderRow>> {
    let query = sqlx::query(match spot {
        Spot::Tops => folders_at!("d.parent = 0 AND $5 = 0"),
        Spot::Top(_) => folders_at!("d.parent = 0 AND d.owner = $5"),
        Spot::Inside(_) => folders_at!("d.parent = $5"),
        Spot::Alike(_) => folders_at!("d.parent IN (SELECT no FROM folders WHERE fold = $5)"),
    });
    let query = query.bind(me.account).bind(device_viewer).bind(behind.0).bind(behind.1);
    let query = match spot {
        Spot::Tops => query.bind(0),
        Spot::Top(no) | Spot::Inside(no) => query.bind(*no),
        Spot::Alike(fold) => query.bind(fold.clone()),
    };
    query.bind(PAGE_AND_ONE).fetch_all(connection).await?.iter().map(rows::folder).collect()
}

async fn files_in(
    connection: &mut SqliteConnection,
    me: Me,
    device_viewer: i64,
    spot: &Spot,
    behind: (String, i64),
) -> Result<Vec<FileRow>> {
    let query = sqlx::query(match spot {
        Spot::Tops => files_at!("f.parent = 0 AND $5 = 0"),
        Spot::Top(_) => files_at!("f.parent = 0 AND f.owner = $5"),
        Spot::Inside(_) => files_at!("f.parent = $5"),
        Spot::Alike(_) => files_at!("f.parent IN (SELECT no FROM folders WHERE fold = $5)"),
    });
    let query = query.bind(me.account).bind(device_viewer).bind(behind.0).bind(behind.1);
    let query = match spot {
        Spot::Tops => query.bind(0),
        Spot::Top(no) | Spot::Inside(no) => query.bind(*no),
        Spot::Alike(fold) => query.bind(fold.clone()),
    };
    rows::files(connection, me, query.bind(PAGE_AND_ONE)).await
}

pub(super) async fn file(
    connection: &mut SqliteConnection,
    caller: &Caller,
    file: FileId,
) -> Result<Option<FileEntry>> {
    let me = me(connection, caller).await?;
    Ok(file_row(connection, me, file).await?.map(|row| row.entry))
}

/// The file with this id if it is listed for the caller, hidden, or theirs because of a request or an offer.
pub(super) async fn file_row(connection: &mut SqliteConnection, me: Me, file: FileId) -> Result<Option<FileRow>> {
    let query = sqlx::query(select_files!(
        "WHERE f.id = $2 AND ((f.visibility = 3 AND f.owner NOT IN",
        hidden_from_me!(),
        ") OR",
        listed!(),
        "OR",
        approved!(),
        ")"
    ))
    .bind(me.account)
    .bind(rows::bytes(file.as_bytes()));
    Ok(rows::files(connection, me, query).await?.pop())
}

pub(super) async fn folder(
    connection: &mut SqliteConnection,
    caller: &Caller,
    folder: FolderId,
) -> Result<Option<Item>> {
    let me = me(connection, caller).await?;
    let found = sqlx::query(concat!(
        "SELECT ",
        folder_columns!(),
        "FROM",
        folder_tables!(),
        "WHERE d.id = $3 AND",
        folder_seen!()
    ))
    .bind(me.account)
    .bind(0)
    .bind(rows::bytes(folder.as_bytes()))
    .fetch_optional(connection)
    .await?;
    Ok(found.as_ref().map(rows::folder).transpose()?.map(Item::from))
}

pub(super) async fn by_prefix(
    connection: &mut SqliteConnection,
    caller: &Caller,
    prefix: &str,
) -> Result<(Vec<Item>, u64)> {
    let me = me(connection, caller).await?;
    let Some((first, last)) = id_range(prefix) else { return Ok((Vec::new(), 0)) };
    let query = sqlx::query(select_files!(
        "WHERE f.id BETWEEN $2 AND $3 AND (",
        listed!(),
        "OR (f.visibility = 3 AND f.owner = $1 AND f.device = $4)) LIMIT 100"
    ))
    .bind(me.account)
    .bind(&first)
    .bind(&last)
    .bind(me.device);
    let files = rows::files(connection, me, query).await?;
    let folders = sqlx::query(concat!(
        "SELECT ",
        folder_columns!(),
        "FROM",
        folder_tables!(),
        "WHERE d.id BETWEEN $3 AND $4 AND",
        folder_seen!(),
        "LIMIT 100"
    ))
    .bind(me.account)
    .bind(-me.device)
    .bind(&first)
    .bind(&last)
    .fetch_all(connection)
    .await?;
    let count = files.len() + folders.len();
    let mut items: Vec<Item> = files.into_iter().take(2).map(|file| Item::File(file.entry)).collect();
    for row in folders.iter().take(2_usize.saturating_sub(items.len())) {
        items.push(rows::folder(row)?.into());
    }
    Ok((items, count as u64))
}

/// The first and the last id that begin with these hexadecimal digits.
fn id_range(prefix: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    const DIGITS: usize = 32;
    if prefix.len() > DIGITS || !prefix.is_ascii() {
        return None;
    }
    let padded = |digit: &str| {
        let text = format!("{prefix}{}", digit.repeat(DIGITS - prefix.len()));
        HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()
    };
    Some((padded("0")?, padded("f")?))
}

pub(super) async fn by_path(
    connection: &mut SqliteConnection,
    caller: &Caller,
    name_key: &str,
    fold: &str,
) -> Result<Option<Item>> {
    let me = me(connection, caller).await?;
    let query = sqlx::query(select_files!(
        "WHERE a.name_key = $2 AND f.fold = $3 AND ((f.realm = 0 AND",
        listed!(),
        ") OR (f.visibility = 3 AND f.owner = $1 AND f.device = $4)) ORDER BY f.realm DESC LIMIT 1"
    ))
    .bind(me.account)
    .bind(name_key)
    .bind(fold)
    .bind(me.device);
    if let Some(row) = rows::files(connection, me, query).await?.pop() {
        return Ok(Some(Item::File(row.entry)));
    }
    let folder = sqlx::query(concat!(
        "SELECT ",
        folder_columns!(),
        "FROM",
        folder_tables!(),
        "WHERE a.name_key = $3 AND d.fold = $4 AND",
        folder_seen!()
    ))
    .bind(me.account)
    .bind(-me.device)
    .bind(name_key)
    .bind(fold)
    .fetch_optional(connection)
    .await?;
    Ok(folder.as_ref().map(rows::folder).transpose()?.map(Item::from))
}

pub(super) async fn folder_files(
    connection: &mut SqliteConnection,
    caller: &Caller,
    folder: FolderId,
    after: Option<&str>,
) -> Result<Option<(Vec<FileEntry>, Option<String>)>> {
    let me = me(connection, caller).await?;
    let place = sqlx::query(concat!(
        "SELECT d.owner AS owner, d.fold AS fold FROM folders d WHERE d.id = $3 AND",
        folder_seen!()
    ))
    .bind(me.account)
    .bind(-me.device)
    .bind(rows::bytes(folder.as_bytes()))
    .fetch_optional(&mut *connection)
    .await?;
    let Some(place) = place else { return Ok(None) };
    let fold: String = place.try_get("fold")?;
    // Every path below `a` lies between `a/` and `a0`, because `0` follows `/`.
    let (first, end) = (format!("{fold}/"), format!("{fold}0"));
    let after = after.filter(|after| *after >= first.as_str()).unwrap_or(&first);
    let query = sqlx::query(select_files!(
        "WHERE f.owner = $2 AND f.fold > $3 AND f.fold < $4 AND (",
        listed!(),
        "OR (f.visibility = 3 AND f.owner = $1 AND f.device = $6)) ORDER BY f.fold LIMIT $5"
    ))
    .bind(me.account)
    .bind(place.try_get::<i64, _>("owner")?)
    .bind(after)
    .bind(end)
    .bind(PAGE_AND_ONE)
    .bind(me.device);
    let mut files = rows::files(connection, me, query).await?;
    let mut budget = Budget::page();
    let fitting = files.iter().take_while(|file| budget.take_file(file)).count();
    let next = (fitting < files.len()).then(|| files[fitting - 1].fold.clone());
    files.truncate(fitting);
    Ok(Some((files.into_iter().map(|row| row.entry).collect(), next)))
}
