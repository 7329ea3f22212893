//! The screen's replica of the index: compact rows, the folders they make, and the orders in which they are shown.
//!
//! A row keeps its slot for as long as the replica lives, so an order made a moment ago still points at the right rows;
//! slots are freed only by a restart. [`arrange`] is pure and may run on another thread: the replica is behind an
//! `Arc`, and changes made meanwhile copy only the table of pointers.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use shared::{
    id::{BlobHash, FileId},
    show::show,
    wire::tracker::CopyState,
};

use super::filter::{Filter, FilterMatcher, Subject};
use crate::engine::api::FileRow;

/// A file, as kept for many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: FileId,
    /// Path among the owner's files. Comes from another member: show it cleaned.
    pub path: Box<str>,
    pub owner: Arc<str>,
    pub size: u64,
    pub hash: BlobHash,
    pub version: u32,
    pub modified_ms: i64,
    pub shared_ms: i64,
    pub note: Option<Box<str>>,
    pub audience: Arc<str>,
    pub copy: CopyState,
    pub protected: bool,
    pub mine: bool,
    pub have: bool,
    pub available: bool,
    /// Whether the name holds characters that hide or disguise something.
    pub hazard: bool,
    /// Number of the folder it lies in.
    pub folder: u32,
    /// The link with the id left out, because only the id differs from row to row.
    link: Arc<str>,
    name_at: u32,
}

/// A folder, as far as it can be seen from the files in it. Every member's files lie in a folder with an empty path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    pub owner: Arc<str>,
    pub path: Box<str>,
    /// `None` for a member's own root.
    pub parent: Option<u32>,
    /// At any depth.
    pub files: u64,
    pub size: u64,
    /// When the newest of its files was shared.
    pub shared_ms: i64,
    pub mine: bool,
}

/// A file or a folder in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entry(u32);

/// What an entry stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Item<'a> {
    File(&'a Row),
    Folder(&'a Folder),
}

/// A name for an item that outlives its slot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemKey {
    File(FileId),
    Folder { owner: Arc<str>, path: Arc<str> },
}

/// The replica.
#[derive(Clone, Default, PartialEq)]
pub struct Index {
    rows: Vec<Option<Arc<Row>>>,
    by_id: HashMap<FileId, u32>,
    folders: Vec<Arc<Folder>>,
    by_path: HashMap<(Arc<str>, Box<str>), u32>,
    /// Owners, links without ids and audiences, each kept once.
    words: BTreeSet<Arc<str>>,
    mine: usize,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("files", &self.len())
            .field("folders", &self.folders.len())
            .finish_non_exhaustive()
    }
}

impl Row {
    /// Last component of the path.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.path[self.name_at as usize..]
    }

    /// The row as the engine told it.
    #[must_use]
    pub fn to_wire(&self) -> FileRow {
        FileRow {
            id: self.id,
            name: self.name().to_owned(),
            path: self.path.to_string(),
            size: self.size,
            hash: self.hash,
            visibility: self.audience.to_string(),
            protected: self.protected,
            version: self.version,
            owner: self.owner.to_string(),
            note: self.note.as_deref().unwrap_or_default().to_owned(),
            copy: self.copy,
            modified_ms: self.modified_ms,
            shared_ms: self.shared_ms,
            mine: self.mine,
            have: self.have,
            available: self.available,
            link: self.link(),
        }
    }

    /// The `swapmeet://…` link to this file.
    #[must_use]
    pub fn link(&self) -> String {
        self.link.replace(ID_PLACE, &self.id.to_string())
    }
}

impl Folder {
    /// Last component of the path; empty for a member's root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

impl Entry {
    const FOLDER: u32 = 1 << 31;

    /// The file in this slot.
    #[must_use]
    pub const fn file(slot: u32) -> Self {
        Self(slot & !Self::FOLDER)
    }

    /// The folder of this number.
    #[must_use]
    pub const fn folder(number: u32) -> Self {
        Self(number | Self::FOLDER)
    }

    /// The folder's number, if it is one.
    #[must_use]
    pub const fn as_folder(self) -> Option<u32> {
        if self.0 & Self::FOLDER == 0 { None } else { Some(self.0 & !Self::FOLDER) }
    }
}

impl Item<'_> {
    /// A name that outlives the item's slot.
    #[must_use]
    pub fn key(&self) -> ItemKey {
        match self {
            Self::File(row) => ItemKey::File(row.id),
            Self::Folder(folder) => ItemKey::Folder { owner: folder.owner.clone(), path: (*folder.path).into() },
        }
    }
}

impl Index {
    /// Number of files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is no file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Number of files that are mine.
    #[must_use]
    pub const fn mine(&self) -> usize {
        self.mine
    }

    /// What an entry stands for; `None` where the file has gone since the order was made.
    #[must_use]
    pub fn item(&self, entry: Entry) -> Option<Item<'_>> {
        match entry.as_folder() {
            Some(number) => self.folders.get(number as usize).map(|folder| Item::Folder(folder)),
            None => self.rows.get(entry.0 as usize)?.as_deref().map(Item::File),
        }
    }

    /// The file with this id.
    #[must_use]
    pub fn file(&self, id: &FileId) -> Option<&Row> {
        self.rows[*self.by_id.get(id)? as usize].as_deref()
    }

    /// The number of the folder at `path` of `owner`.
    #[must_use]
    pub fn folder_at(&self, owner: &str, path: &str) -> Option<u32> {
        let owner = self.words.get(owner)?;
        self.by_path.get(&(owner.clone(), path.into())).copied()
    }

    /// The folder of this number.
    #[must_use]
    pub fn folder(&self, number: u32) -> Option<&Folder> {
        self.folders.get(number as usize).map(AsRef::as_ref)
    }

    /// The entry for a key.
    #[must_use]
    pub fn find(&self, key: &ItemKey) -> Option<Entry> {
        match key {
            ItemKey::File(id) => self.by_id.get(id).map(|slot| Entry::file(*slot)),
            ItemKey::Folder { owner, path } => self.folder_at(owner, path).map(Entry::folder),
        }
    }

    /// Adds a file or replaces what was known of it.
    pub fn put(&mut self, row: FileRow) -> Entry {
        if self.by_id.contains_key(&row.id) {
            let slot = self.by_id[&row.id];
            self.uncount(slot);
            let row = self.intern(row);
            self.count(&row);
            self.rows[slot as usize] = Some(Arc::new(row));
            return Entry::file(slot);
        }
        let row = self.intern(row);
        self.count(&row);
        let slot = u32::try_from(self.rows.len()).unwrap_or(u32::MAX) & !Entry::FOLDER;
        self.by_id.insert(row.id, slot);
        self.rows.push(Some(Arc::new(row)));
        Entry::file(slot)
    }

    /// Whether a file is in it.
    #[must_use]
    pub fn holds(&self, id: &FileId) -> bool {
        self.by_id.contains_key(id)
    }

    /// These are on this device from now on.
    pub fn note_fetched(&mut self, files: &[FileId]) {
        for id in files {
            let row = self.by_id.get(id).and_then(|slot| self.rows[*slot as usize].as_mut());
            if let Some(row) = row {
                Arc::make_mut(row).have = true;
            }
        }
    }

    /// Takes a file out.
    pub fn take(&mut self, id: &FileId) {
        if let Some(slot) = self.by_id.remove(id) {
            self.uncount(slot);
            self.rows[slot as usize] = None;
        }
    }

    fn intern(&mut self, row: FileRow) -> Row {
        let owner = self.word(&row.owner);
        let folder_path = row.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let folder = self.make_folder(&owner, folder_path);
        let name_at = row.path.rfind('/').map_or(0, |at| at + 1);
        Row {
            id: row.id,
            hazard: show(&row.path[name_at..]) != row.path[name_at..],
            name_at: u32::try_from(name_at).unwrap_or(0),
            path: row.path.into_boxed_str(),
            owner,
            size: row.size,
            hash: row.hash,
            version: row.version,
            modified_ms: row.modified_ms,
            shared_ms: row.shared_ms,
            note: (!row.note.is_empty()).then(|| row.note.into_boxed_str()),
            audience: self.word(&row.visibility),
            copy: row.copy,
            protected: row.protected,
            mine: row.mine,
            have: row.have || row.mine,
            available: row.available,
            folder,
            link: self.word(&row.link.replace(&row.id.to_string(), ID_PLACE)),
        }
    }

    fn word(&mut self, text: &str) -> Arc<str> {
        if let Some(word) = self.words.get(text) {
            return word.clone();
        }
        let word: Arc<str> = text.into();
        self.words.insert(word.clone());
        word
    }

    fn make_folder(&mut self, owner: &Arc<str>, path: &str) -> u32 {
        if let Some(number) = self.by_path.get(&(owner.clone(), path.into())) {
            return *number;
        }
        let parent = match path {
            "" => None,
            path => Some(self.make_folder(owner, path.rsplit_once('/').map_or("", |(parent, _)| parent))),
        };
        let number = u32::try_from(self.folders.len()).unwrap_or(u32::MAX) & !Entry::FOLDER;
        self.folders.push(Arc::new(Folder {
            owner: owner.clone(),
            path: path.into(),
            parent,
            files: 0,
            size: 0,
            shared_ms: 0,
            mine: false,
        }));
        self.by_path.insert((owner.clone(), path.into()), number);
        number
    }

    fn count(&mut self, row: &Row) {
        self.mine += usize::from(row.mine);
        let mut next = Some(row.folder);
        while let Some(number) = next {
            let folder = Arc::make_mut(&mut self.folders[number as usize]);
            folder.files += 1;
            folder.size = folder.size.saturating_add(row.size);
            folder.shared_ms = folder.shared_ms.max(row.shared_ms);
            folder.mine = row.mine;
            next = folder.parent;
        }
    }

    fn uncount(&mut self, slot: u32) {
        let Some(row) = self.rows[slot as usize].clone() else { return };
        self.mine -= usize::from(row.mine);
        let mut next = Some(row.folder);
        while let Some(number) = next {
            let folder = Arc::make_mut(&mut self.folders[number as usize]);
            folder.files = folder.files.saturating_sub(1);
            folder.size = folder.size.saturating_sub(row.size);
            next = folder.parent;
        }
    }
}

/// A column to sort by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SortBy {
    /// Best match first.
    Match,
    Name,
    Size,
    Sources,
    Owner,
    Added,
    Progress,
    Speed,
    Left,
    Status,
    Shares,
    FromThem,
    ToThem,
}

impl SortBy {
    /// The column's name.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Name => "name",
            Self::Size => "size",
            Self::Sources => "sources",
            Self::Owner => "owner",
            Self::Added => "added",
            Self::Progress => "progress",
            Self::Speed => "speed",
            Self::Left => "time left",
            Self::Status => "status",
            Self::Shares => "files",
            Self::FromThem => "from them",
            Self::ToThem => "to them",
        }
    }
}

/// What an order shall show.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrange {
    /// In this folder; `None`: what the members have at their top.
    pub place: Option<u32>,
    /// Files at any depth instead of the folder's own items.
    pub flat: bool,
    /// Only what matches.
    pub filter: Filter,
    pub sort: SortBy,
    pub reverse: bool,
    /// Names of the members who are there now.
    pub online: Arc<BTreeSet<String>>,
}

/// An order, and how many files it has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arranged {
    pub order: Vec<Entry>,
}

/// Chooses and orders what [`Arrange`] asks for. Without a filter the items of one place; with one everything below it.
#[must_use]
pub fn arrange(index: &Index, wanted: &Arrange) -> Arranged {
    let flat = wanted.flat || wanted.filter.active;
    let mut chosen: Vec<(u32, Entry)> = Vec::new();
    let mut matcher = FilterMatcher::new();
    let mut below = Below { index, place: wanted.place, known: vec![None; index.folders.len()] };
    if !wanted.flat {
        for (number, folder) in (0..).zip(&index.folders) {
            let here = match folder.parent {
                None => false,
                Some(parent) if flat => below.contains(parent),
                Some(parent) => wanted.place.map_or_else(|| is_root(index, parent), |place| parent == place),
            };
            if !here || folder.files == 0 {
                continue;
            }
            let subject = Subject {
                text: folder.name(),
                name: "",
                size: folder.size,
                owner: &folder.owner,
                have: None,
                online: wanted.online.contains(&*folder.owner),
            };
            if let Some(score) = wanted.filter.score(&subject, &mut matcher) {
                chosen.push((score, Entry::folder(number)));
            }
        }
    }
    for (slot, row) in (0..).zip(&index.rows) {
        let Some(row) = row else { continue };
        let here = match flat {
            true => below.contains(row.folder),
            false => wanted.place.map_or_else(|| is_root(index, row.folder), |place| row.folder == place),
        };
        if !here {
            continue;
        }
        let subject = Subject {
            text: &row.path,
            name: row.name(),
            size: row.size,
            owner: &row.owner,
            have: Some(row.have),
            online: row.available || wanted.online.contains(&*row.owner),
        };
        if let Some(score) = wanted.filter.score(&subject, &mut matcher) {
            chosen.push((score, Entry::file(slot)));
        }
    }
    sort(index, wanted, &mut chosen);
    Arranged { order: chosen.into_iter().map(|(_, entry)| entry).collect() }
}

fn is_root(index: &Index, folder: u32) -> bool {
    index.folders[folder as usize].parent.is_none()
}

/// Remembers which folders lie below a place.
struct Below<'a> {
    index: &'a Index,
    place: Option<u32>,
    known: Vec<Option<bool>>,
}

impl Below<'_> {
    fn contains(&mut self, folder: u32) -> bool {
        let Some(place) = self.place else { return true };
        if let Some(known) = self.known[folder as usize] {
            return known;
        }
        // Paths are at most PATH_DEPTH_MAX deep, and so is this recursion.
        let answer =
            folder == place || self.index.folders[folder as usize].parent.is_some_and(|parent| self.contains(parent));
        self.known[folder as usize] = Some(answer);
        answer
    }
}

fn sort(index: &Index, wanted: &Arrange, chosen: &mut [(u32, Entry)]) {
    use std::cmp::{Ordering, Reverse};
    // Folders stay above files whatever the column; names decide between equals.
    let name = |entry: Entry| match index.item(entry) {
        Some(Item::File(row)) => row.name().to_lowercase(),
        Some(Item::Folder(folder)) => folder.name().to_lowercase(),
        None => String::new(),
    };
    let number = |entry: Entry| -> Reverse<i64> {
        let value = match (index.item(entry), wanted.sort) {
            (Some(Item::File(row)), SortBy::Size) => i64::try_from(row.size).unwrap_or(i64::MAX),
            (Some(Item::Folder(folder)), SortBy::Size) => i64::try_from(folder.size).unwrap_or(i64::MAX),
            (Some(Item::File(row)), SortBy::Added) => row.shared_ms,
            (Some(Item::Folder(folder)), SortBy::Added) => folder.shared_ms,
            (Some(Item::File(row)), SortBy::Sources) => {
                i64::from(row.have) * 4
                    + i64::from(row.available || wanted.online.contains(&*row.owner)) * 2
                    + i64::from(row.copy == CopyState::Stored)
            }
            (Some(Item::Folder(folder)), SortBy::Sources) => i64::from(wanted.online.contains(&*folder.owner)) * 2,
            _ => 0,
        };
        Reverse(value)
    };
    let owner = |entry: Entry| match index.item(entry) {
        Some(Item::File(row)) if wanted.sort == SortBy::Owner => row.owner.to_lowercase(),
        Some(Item::Folder(folder)) if wanted.sort == SortBy::Owner => folder.owner.to_lowercase(),
        _ => String::new(),
    };
    let rank = |score: u32| if wanted.sort == SortBy::Match { Reverse(score) } else { Reverse(0) };
    let mut keyed: Vec<_> = chosen
        .iter()
        .map(|&(score, entry)| ((rank(score), number(entry), owner(entry), name(entry)), score, entry))
        .collect();
    keyed.sort_unstable_by(|(a, _, at), (b, _, bt)| {
        let folders_first = if wanted.sort == SortBy::Match {
            Ordering::Equal
        } else {
            bt.as_folder().is_some().cmp(&at.as_folder().is_some())
        };
        let by_column = if wanted.reverse { b.cmp(a) } else { a.cmp(b) };
        folders_first.then(by_column).then(at.cmp(bt))
    });
    for (place, (_, score, entry)) in chosen.iter_mut().zip(keyed) {
        *place = (score, entry);
    }
}

/// Stands for the id in a link kept once for many files.
const ID_PLACE: &str = "\u{0}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::sample;

    fn names(index: &Index, wanted: &Arrange) -> Vec<String> {
        let name = |entry: &Entry| match index.item(*entry).unwrap() {
            Item::File(row) => row.name().to_owned(),
            Item::Folder(folder) => format!("{}/ {}", folder.name(), folder.files),
        };
        arrange(index, wanted).order.iter().map(name).collect()
    }

    fn wanted() -> Arrange {
        Arrange {
            place: None,
            flat: false,
            filter: Filter::default(),
            sort: SortBy::Name,
            reverse: false,
            online: Arc::default(),
        }
    }

    fn index() -> Index {
        let mut index = Index::default();
        for (n, (owner, path)) in
            [("bob", "b.txt"), ("bob", "old/deep/x.iso"), ("eve", "old/y.iso"), ("bob", "old/a.txt")].iter().enumerate()
        {
            index.put(sample::file(n as u8, owner, path, 100 * (n as u64 + 1)));
        }
        index
    }

    #[test]
    fn the_top_shows_what_the_members_have_at_their_top() {
        assert_eq!(names(&index(), &wanted()), ["old/ 2", "old/ 1", "b.txt"]);
    }

    #[test]
    fn a_folder_shows_its_own_items_and_a_filter_everything_below() {
        let index = index();
        let place = index.folder_at("bob", "old");
        assert_eq!(names(&index, &Arrange { place, ..wanted() }), ["deep/ 1", "a.txt"]);
        let filter = Filter::parse("ext:iso");
        assert_eq!(names(&index, &Arrange { place, filter, ..wanted() }), ["x.iso"]);
        let filter = Filter::parse("ext:iso");
        assert_eq!(names(&index, &Arrange { filter, ..wanted() }), ["x.iso", "y.iso"]);
    }

    #[test]
    fn folders_count_what_lies_in_them_and_vanish_when_empty() {
        let mut index = index();
        index.take(&sample::file_id(1));
        assert_eq!(names(&index, &Arrange { place: index.folder_at("bob", "old"), ..wanted() }), ["a.txt"]);
        index.take(&sample::file_id(3));
        assert_eq!(names(&index, &wanted()), ["old/ 1", "b.txt"]);
    }

    #[test]
    fn a_changed_file_is_counted_once() {
        let mut index = index();
        index.put(sample::file(2, "eve", "old/y.iso", 7));
        let folder = index.folder(index.folder_at("eve", "old").unwrap()).unwrap();
        assert_eq!((folder.files, folder.size), (1, 7));
        assert_eq!(index.len(), 4);
    }

    #[test]
    fn sorting_by_size_puts_the_largest_first_and_folders_on_top() {
        let wanted = Arrange { flat: true, sort: SortBy::Size, ..wanted() };
        assert_eq!(names(&index(), &wanted), ["a.txt", "y.iso", "x.iso", "b.txt"]);
        let wanted = Arrange { reverse: true, ..wanted };
        assert_eq!(names(&index(), &wanted), ["b.txt", "x.iso", "y.iso", "a.txt"]);
    }

    #[test]
    fn a_link_is_put_together_again() {
        let index = index();
        let id = sample::file_id(0);
        assert_eq!(index.file(&id).unwrap().link(), format!("swapmeet://trk.example.org:7443/f/{id}"));
    }
}
