//! Looking at the index.

use std::collections::{BTreeSet, HashMap};

use data_encoding::BASE64URL_NOPAD;
use shared::{
    id::{AccountId, DeviceId, FileId, FolderId},
    limits::{PATH_BYTES_MAX, QUERY_BYTES_MAX, SEARCH_SHORT_WORDS_MAX, SEARCH_WORDS_MAX, SOURCES_MAX},
    name::{FoldKey, MemberName},
    wire::tracker::{Answer, Changes, FileDetail, FileEntry, Item, List, Reference, SourceEntry},
};

use super::{Ctx, Error, at_most, locate, people};
use crate::store::{Caller, Cursor, Place, Whereabouts, Whose, Words};

/// Digits that a prefix of an id must have.
const PREFIX_DIGITS_MIN: usize = 4;

/// What happened in the index after `since`.
///
/// # Errors
/// When the store fails.
pub async fn changes(ctx: &Ctx, caller: &Caller, since: u64) -> Result<Changes, Error> {
    Ok(ctx.store.changes(caller, since).await?)
}

/// One page of one place.
///
/// # Errors
/// When the place does not exist for the caller.
pub async fn list(ctx: &Ctx, caller: &Caller, request: List) -> Result<Answer, Error> {
    at_most("bytes of a path", request.path.len(), PATH_BYTES_MAX)?;
    let after = request.after.as_deref().map(parse_cursor).transpose()?;
    let path = request.path.trim_matches('/');
    let fold = path.to_owned();
    let whose = match &request.member {
        _ if request.mine => Whose::Mine,
        Some(member) => Whose::Member(key_of(member).ok_or(Error::NotFound("member"))?),
        None => Whose::Everyones,
    };
    let mut page = ctx.store.list(caller, &Place { whose: whose.clone(), fold: fold.clone() }, after.as_ref()).await?;
    if !page.found && whose == Whose::Everyones {
        // `MEMBER/folder` as a person types it.
        let (member, rest) = path.split_once('/').unwrap_or((path, ""));
        if let Some(key) = key_of(member) {
            let place = Place { whose: Whose::Member(key), fold: rest.to_owned() };
            page = ctx.store.list(caller, &place, after.as_ref()).await?;
        }
    }
    if !page.found {
        return Err(Error::NotFound(if fold.is_empty() { "member" } else { "folder" }));
    }
    Ok(Answer::Listing { items: page.items, next: page.next.as_ref().map(cursor_text) })
}

/// One page of matching files.
///
/// # Errors
/// When the query is too long.
pub async fn search(ctx: &Ctx, caller: &Caller, query: &str, offset: u32) -> Result<Answer, Error> {
    at_most("bytes of a query", query.len(), QUERY_BYTES_MAX)?;
    let words = Words::of(FoldKey::of(query).as_str());
    at_most("words of a query", words.long.len() + words.short.len(), SEARCH_WORDS_MAX)?;
    at_most("words of one or two characters in a query", words.short.len(), SEARCH_SHORT_WORDS_MAX)?;
    let (files, more) = ctx.store.search(caller, &words, offset).await?;
    Ok(Answer::Hits { files, more })
}

/// The one thing that a reference means.
///
/// # Errors
/// When there is none, or more than one.
pub async fn resolve(ctx: &Ctx, caller: &Caller, reference: Reference) -> Result<Answer, Error> {
    let item = match reference {
        Reference::File(id) => ctx.store.file(caller, id).await?.map(Item::File),
        Reference::Folder(id) => ctx.store.folder(caller, id).await?,
        Reference::Prefix(prefix) => by_prefix(ctx, caller, &prefix).await?,
        Reference::Path { member, path } => {
            at_most("bytes of a path", path.len(), PATH_BYTES_MAX)?;
            match key_of(&member) {
                Some(key) => ctx.store.by_path(caller, &key, path.trim_matches('/')).await?,
                None => None,
            }
        }
    };
    let item = item.ok_or(Error::NotFound("file or folder"))?;
    Ok(Answer::Listing { items: vec![item], next: None })
}

async fn by_prefix(ctx: &Ctx, caller: &Caller, prefix: &str) -> Result<Option<Item>, Error> {
    let prefix = prefix.to_ascii_lowercase();
    if prefix.len() < PREFIX_DIGITS_MIN || !prefix.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Error::Bad(format!("an id is given by at least {PREFIX_DIGITS_MIN} hexadecimal digits")));
    }
    // A whole id is the only way to a file that another device hides.
    if let Ok(id) = prefix.parse::<FileId>()
        && let Some(file) = ctx.store.file(caller, id).await?
    {
        return Ok(Some(Item::File(file)));
    }
    let (mut items, count) = ctx.store.by_prefix(caller, &prefix).await?;
    if count > 1 {
        return Err(Error::Bad(format!("{count} ids begin with {prefix}; give more digits")));
    }
    Ok(items.pop())
}

/// One page of the files below a folder.
///
/// # Errors
/// When the folder does not exist for the caller.
pub async fn folder_files(ctx: &Ctx, caller: &Caller, folder: FolderId, after: Option<&str>) -> Result<Answer, Error> {
    let page = ctx.store.folder_files(caller, folder, after).await?;
    let (files, next) = page.ok_or(Error::NotFound("folder"))?;
    Ok(Answer::Listing { items: files.into_iter().map(Item::File).collect(), next })
}

/// Everything about one file.
///
/// # Errors
/// When it does not exist for the caller.
pub async fn inspect(ctx: &Ctx, caller: &Caller, file: FileId) -> Result<FileDetail, Error> {
    let mut detail = ctx.store.inspect(caller, file).await?.ok_or(Error::NotFound("file"))?;
    for source in &mut detail.sources {
        if let SourceEntry::Device { device, online, .. } = source {
            *online = ctx.roster.is_online(*device);
        }
    }
    // Whoever may not fetch it learns nothing of who does.
    if matches!(ctx.store.locate(caller, &[file]).await?.as_slice(), [Whereabouts::Allowed { .. }]) {
        detail.sources.extend(holders(ctx, caller, &detail).await?);
    }
    // Who can serve now comes first.
    detail.sources.sort_by_key(|source| match source {
        SourceEntry::Device { online, .. } => !online,
        SourceEntry::Copy { .. } | SourceEntry::Holder { .. } => false,
    });
    detail.sources.truncate(SOURCES_MAX);
    Ok(detail)
}

/// Who has all or part of a file without sharing it, but for whoever asks.
async fn holders(ctx: &Ctx, caller: &Caller, detail: &FileDetail) -> Result<Vec<SourceEntry>, Error> {
    let shares = |device: DeviceId| {
        let is_it = |source: &SourceEntry| matches!(source, SourceEntry::Device { device: of, .. } if *of == device);
        detail.sources.iter().any(is_it)
    };
    let apart = people::hidden_from(ctx, caller).await?;
    let FileEntry { id, blob, size, .. } = &detail.entry;
    let mut holders = locate::holders(ctx, caller, *id, (*blob, *size), &apart).await?;
    holders.retain(|(device, _)| !shares(*device));
    holders.truncate(SOURCES_MAX);
    if holders.is_empty() {
        return Ok(Vec::new());
    }
    let accounts: Vec<AccountId> =
        holders.iter().map(|(_, account)| *account).collect::<BTreeSet<_>>().into_iter().collect();
    let names: HashMap<AccountId, String> = ctx.store.names(&accounts).await?.into_iter().collect();
    let named = |(device, account)| Some(SourceEntry::Holder { member: names.get(&account)?.clone(), device });
    Ok(holders.into_iter().filter_map(named).collect())
}

/// The key of a member's name; none for what cannot be one.
fn key_of(member: &str) -> Option<String> {
    MemberName::parse(member).ok().map(|name| name.key().as_str().to_owned())
}

fn cursor_text(cursor: &Cursor) -> String {
    let text = format!("{} {} {}", u8::from(cursor.in_files), cursor.no, cursor.fold);
    BASE64URL_NOPAD.encode(text.as_bytes())
}

fn parse_cursor(text: &str) -> Result<Cursor, Error> {
    let bad = || Error::Bad("a listing cannot go on there".to_owned());
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| bad())?;
    let text = String::from_utf8(bytes).map_err(|_| bad())?;
    let (kind, rest) = text.split_once(' ').ok_or_else(bad)?;
    let (no, fold) = rest.split_once(' ').ok_or_else(bad)?;
    Ok(Cursor { in_files: kind == "1", fold: fold.to_owned(), no: no.parse().map_err(|_| bad())? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nonsense_is_refused() {
        let cursor = Cursor { in_files: true, fold: "a b/ü".to_owned(), no: 7 };
        assert_eq!(parse_cursor(&cursor_text(&cursor)).unwrap(), cursor);
        for text in ["", "x", "!", &BASE64URL_NOPAD.encode(b"1 x y"), &BASE64URL_NOPAD.encode(b"\xff")] {
            assert!(parse_cursor(text).is_err(), "{text}");
        }
    }
}
