//! What every store must do, whatever is below it. Runs on SQLite in a temporary file.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    slice,
};

use proptest::prelude::*;
use shared::{
    id::{AccountId, BlobHash, DeviceId, FileId},
    limits::{SEARCH_HITS_MAX, VERSIONS_MAX},
    name::{FoldKey, MemberName},
    wire::tracker::{Change, FileEntry, Item, Visibility},
};

use super::{
    Audience, Caller, DeviceKey, NewAccount, Place, Publication, Renaming, SqliteStore, Store, StoreError, Whereabouts,
    Whose, Words,
};

mod accounts;
mod blocks;
mod channels;
mod copies;
mod holders;
mod inbox;
mod locks;
mod messages;

/// A store that disappears with the test.
struct Fresh {
    store: Box<dyn Store>,
    folder: tempfile::TempDir,
}

/// The tracker got every pending claim to this content from its claimant. Returns the files that have a copy now.
async fn store_copies(store: &dyn Store, blob: BlobHash) -> Vec<FileId> {
    let mut files = Vec::new();
    loop {
        let pending = store.pending_copies(None).await.unwrap();
        let Some(copy) = pending.into_iter().find(|copy| copy.blob == blob) else { return files };
        files.extend(store.copy_stored(&copy).await.unwrap().files.into_iter().map(|(file, _)| file));
    }
}

async fn fresh() -> Fresh {
    let folder = tempfile::tempdir().unwrap();
    let store = Box::new(SqliteStore::open(&folder.path().join("tracker.db")).await.unwrap());
    Fresh { store, folder }
}

fn device(n: u8) -> DeviceKey {
    DeviceKey { id: DeviceId::of_key(&[n; 32]), key: [n; 32], label: format!("device {n}") }
}

fn account(name: &str, n: u8) -> NewAccount {
    let name = MemberName::parse(name).unwrap();
    NewAccount {
        id: AccountId([n; 16]),
        name: name.as_str().into(),
        name_key: name.key().as_str().into(),
        skeleton: name.skeleton(),
        email: None,
        password_hash: "hash".into(),
        invite: None,
        device: device(n),
    }
}

async fn member(store: &dyn Store, name: &str, n: u8) -> Caller {
    store.create_account(account(name, n), 1).await.unwrap()
}

fn blob(n: u8) -> BlobHash {
    BlobHash([n; 32])
}

fn publication(path: &str, content: u8, audience: Option<Audience>) -> Publication {
    let fold = FoldKey::of(path).as_str().to_owned();
    Publication {
        fresh_id: FileId(rand::random()),
        path: path.into(),
        search_text: format!("{fold}\nowner\n"),
        fold,
        blob: blob(content),
        size: u64::from(content) * 10,
        modified_ms: 5,
        executable: false,
        audience,
        note: None,
        lock: None,
    }
}

fn renaming(file: FileId, path: &str) -> Renaming {
    let fold = FoldKey::of(path).as_str().to_owned();
    Renaming { file, path: path.into(), search_text: format!("{fold}\nowner\n"), fold }
}

fn people(names: &[&str]) -> Option<Audience> {
    Some(Audience::People(names.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect()))
}

async fn put(store: &dyn Store, caller: &Caller, path: &str, content: u8, audience: Option<Audience>) -> FileEntry {
    let published = store.publish(caller, vec![publication(path, content, audience)], 7).await.unwrap();
    published.files.into_iter().next().unwrap()
}

/// Every file that the caller finds by walking the folders, with what the folders claim checked on the way.
async fn walk(store: &dyn Store, caller: &Caller) -> BTreeMap<FileId, FileEntry> {
    let mut found = BTreeMap::new();
    let mut places = vec![(Place { whose: Whose::Everyones, fold: String::new() }, None)];
    while let Some((place, claimed)) = places.pop() {
        let mut after = None;
        let before = found.len();
        let mut bytes = 0;
        let mut inner = (0, 0);
        loop {
            let page = store.list(caller, &place, after.as_ref()).await.unwrap();
            assert!(page.found, "{place:?}");
            for item in page.items {
                match item {
                    Item::File(file) => {
                        bytes += file.size;
                        found.insert(file.id, file);
                    }
                    Item::Folder(folder) => {
                        assert!(folder.files > 0, "an empty folder is listed: {folder:?}");
                        inner.0 += folder.files;
                        inner.1 += folder.bytes;
                        let key = MemberName::parse(&folder.owner_name).unwrap().key().as_str().to_owned();
                        let fold = FoldKey::of(&folder.path).as_str().to_owned();
                        let claimed = Some((folder.files, folder.bytes));
                        places.push((Place { whose: Whose::Member(key), fold }, claimed));
                    }
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if let Some(claimed) = claimed {
            assert_eq!(claimed, ((found.len() - before) as u64 + inner.0, bytes + inner.1), "{place:?}");
        }
    }
    found
}

/// Follows the feed from `since` on top of what was known.
async fn follow(store: &dyn Store, caller: &Caller, known: &mut BTreeMap<FileId, FileEntry>, since: u64) -> u64 {
    let mut since = since;
    loop {
        let page = store.changes(caller, since).await.unwrap();
        assert!(!page.restart);
        for change in page.changes {
            match change {
                Change::Present(file) => {
                    known.insert(file.id, file);
                }
                Change::Gone(id) => {
                    known.remove(&id);
                }
            }
        }
        since = page.next;
        if !page.more {
            return since;
        }
    }
}

#[tokio::test]
async fn a_name_belongs_to_one_account_and_so_do_its_looks() {
    let Fresh { store, folder: _folder } = fresh().await;
    member(&*store, "paul 1", 1).await;
    let taken = store.create_account(account("PAUL 1", 2), 1).await;
    assert!(matches!(taken, Err(StoreError::NameTaken)));
    let looks = store.create_account(account("paul l", 2), 1).await;
    assert!(matches!(looks, Err(StoreError::LooksLike(other)) if other == "paul 1"));
    assert!(store.find_login("paul 1").await.unwrap().is_some());
    assert!(store.find_login("paul l").await.unwrap().is_none());
}

#[tokio::test]
async fn publishing_again_changes_only_what_is_different() {
    let Fresh { store, folder: _folder } = fresh().await;
    let anna = member(&*store, "anna", 1).await;
    let first = put(&*store, &anna, "a/b", 1, None).await;
    let again = store.publish(&anna, vec![publication("a/b", 1, None)], 9).await.unwrap();
    assert_eq!(again.files, slice::from_ref(&first));
    assert_eq!(again.effects, super::Effects::default());
    let noted = Publication { note: Some("for Ben".into()), ..publication("a/b", 1, None) };
    let noted = store.publish(&anna, vec![noted], 9).await.unwrap().files.remove(0);
    assert_eq!((noted.id, noted.version, noted.note.as_str()), (first.id, 1, "for Ben"));
    let second = put(&*store, &anna, "A/B", 2, None).await;
    assert_eq!((second.id, second.version, second.path.as_str()), (first.id, 2, "A/B"));
    assert_eq!(second.note, "for Ben");
    for content in 0..VERSIONS_MAX + 5 {
        put(&*store, &anna, "a/b", 3 + (content % 2) as u8, None).await;
    }
    let versions = store.inspect(&anna, first.id).await.unwrap().unwrap().versions;
    assert_eq!(versions.len(), VERSIONS_MAX);
    assert!(versions.is_sorted_by(|one, other| one.version > other.version));
}

#[tokio::test]
async fn all_entries_of_a_request_are_published_or_none() {
    let Fresh { store, folder: _folder } = fresh().await;
    let anna = member(&*store, "anna", 1).await;
    let entries = vec![publication("a", 1, None), publication("b", 1, people(&["nobody"]))];
    assert!(matches!(store.publish(&anna, entries, 1).await, Err(StoreError::UnknownMember(name)) if name == "nobody"));
    assert!(walk(&*store, &anna).await.is_empty());
}

#[tokio::test]
async fn a_listing_goes_on_where_the_page_before_ended() {
    let Fresh { store, folder: _folder } = fresh().await;
    let anna = member(&*store, "anna", 1).await;
    let mut expected = BTreeSet::new();
    for part in 0..3 {
        let mut entries = Vec::new();
        for n in 0..500 {
            let path = if n % 2 == 0 { format!("d{part}-{n:03}/x") } else { format!("f{part}-{n:03}") };
            expected.insert(path.clone());
            entries.push(publication(&path, 1, None));
        }
        store.publish(&anna, entries, 1).await.unwrap();
    }
    let found = walk(&*store, &anna).await;
    assert_eq!(found.into_values().map(|file| file.path).collect::<BTreeSet<_>>(), expected);
}

#[tokio::test]
async fn search_finds_every_word_and_gives_pages_without_repeats() {
    let Fresh { store, folder: _folder } = fresh().await;
    let anna = member(&*store, "anna", 1).await;
    for part in 0..3 {
        let entries = (0..500).map(|n| publication(&format!("common/file p{part} {n:03}.txt"), 1, None)).collect();
        store.publish(&anna, entries, 1).await.unwrap();
    }
    put(&*store, &anna, "elsewhere/common", 1, None).await;
    let find = async |query: &str, offset: u32| {
        let words = Words::of(FoldKey::of(query).as_str());
        let (files, more) = store.search(&anna, &words, offset).await.unwrap();
        (files.into_iter().map(|file| file.path).collect::<Vec<_>>(), more)
    };
    assert_eq!(find("FILE P2 123", 0).await, (vec!["common/file p2 123.txt".to_owned()], false));
    assert_eq!(find("p1 49", 0).await.0.len(), 15);
    assert_eq!(find("\" OR NEAR(", 0).await.0, Vec::<String>::new());
    assert_eq!(find("zq", 0).await, (Vec::new(), false));
    assert_eq!(find("common", 0).await.0[0], "elsewhere/common", "a match in the name comes first");
    for query in ["common", "co"] {
        let mut all = Vec::new();
        loop {
            let (page, more) = find(query, all.len() as u32).await;
            assert!(page.len() <= SEARCH_HITS_MAX);
            all.extend(page);
            if !more {
                break;
            }
        }
        assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (1501, 1501), "{query}");
    }
}

#[tokio::test]
async fn a_prefix_names_what_is_listed_and_what_the_device_itself_hides() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let tablet = store.enrol_device(anna.account, device(9), 1).await.unwrap();
    let with_id =
        |path: &str, id: [u8; 16], audience| Publication { fresh_id: FileId(id), ..publication(path, 1, audience) };
    let (mut one, mut two) = ([0xab; 16], [0xab; 16]);
    (one[15], two[15]) = (1, 2);
    let entries =
        vec![with_id("a", one, None), with_id("b", two, None), with_id("c", [0xcd; 16], Some(Audience::Hidden))];
    store.publish(&anna, entries, 1).await.unwrap();
    assert_eq!(store.by_prefix(&anna, "abab").await.unwrap().1, 2);
    assert_eq!(store.by_prefix(&anna, &FileId(one).to_string()).await.unwrap().1, 1);
    assert_eq!(store.by_prefix(&anna, "cdcd").await.unwrap().1, 1);
    for other in [&ben, &tablet] {
        assert_eq!(store.by_prefix(other, "cdcd").await.unwrap().1, 0);
        assert!(store.file(other, FileId([0xcd; 16])).await.unwrap().is_some(), "by its whole id");
    }
    assert_eq!(store.by_prefix(&anna, "zzzz").await.unwrap().1, 0);
}

#[tokio::test]
async fn a_path_names_what_is_listed_and_what_the_device_itself_hides() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let tablet = store.enrol_device(anna.account, device(9), 1).await.unwrap();
    let hidden = put(&*store, &anna, "x/secret", 1, Some(Audience::Hidden)).await;
    let deep = put(&*store, &anna, "x/y/secret", 2, Some(Audience::Hidden)).await;
    assert!(
        matches!(store.by_path(&anna, "anna", "x/secret").await.unwrap(), Some(Item::File(file)) if file == hidden)
    );
    let Some(Item::Folder(folder)) = store.by_path(&anna, "anna", "x").await.unwrap() else { panic!("no folder") };
    assert_eq!(folder.files, 2);
    let (files, next) = store.folder_files(&anna, folder.id, None).await.unwrap().unwrap();
    assert_eq!((files, next), (vec![hidden.clone(), deep], None));
    for other in [&ben, &tablet] {
        for path in ["x", "x/secret", "x/y"] {
            assert!(store.by_path(other, "anna", path).await.unwrap().is_none(), "{path}");
        }
        assert!(store.folder_files(other, folder.id, None).await.unwrap().is_none());
    }
    // Another device of hers lists something there: each names its own.
    let listed = put(&*store, &tablet, "x/secret", 3, None).await;
    assert!(
        matches!(store.by_path(&anna, "anna", "x/secret").await.unwrap(), Some(Item::File(file)) if file == hidden)
    );
    for other in [&ben, &tablet] {
        assert!(
            matches!(store.by_path(other, "anna", "x/secret").await.unwrap(), Some(Item::File(file)) if file == listed)
        );
        assert_eq!(store.folder_files(other, folder.id, None).await.unwrap().unwrap().0.len(), 1);
    }
}

#[tokio::test]
async fn a_source_is_only_who_shares_the_content_with_the_asker() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let eve = member(&*store, "eve", 3).await;
    let public = put(&*store, &anna, "a", 1, None).await;
    put(&*store, &ben, "b", 1, Some(Audience::Hidden)).await;
    let devices = async |caller: &Caller| match &store.locate(caller, &[public.id]).await.unwrap()[..] {
        [Whereabouts::Allowed { devices, .. }] => devices.iter().map(|(device, _)| *device).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(devices(&eve).await, [anna.device], "a hidden file does not betray its owner");
    put(&*store, &ben, "b", 1, people(&["eve"])).await;
    let mut both = [anna.device, ben.device];
    both.sort_unstable();
    assert_eq!(devices(&eve).await, both);
    assert_eq!(devices(&anna).await, [anna.device]);
    // Someone who lies about the size is no source.
    let liar = Publication { size: 999, ..publication("c", 1, None) };
    store.publish(&ben, vec![liar], 1).await.unwrap();
    assert_eq!(devices(&anna).await, [anna.device]);
}

#[tokio::test]
async fn a_renamed_file_is_the_same_file_elsewhere() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let entry = Publication { note: Some("takes of May".into()), ..publication("rushes/a", 1, people(&["ben"])) };
    let file = store.publish(&anna, vec![entry], 1).await.unwrap().files.remove(0);
    let other = put(&*store, &anna, "rushes/b", 2, None).await;
    let renamed = store.rename(&anna, vec![renaming(file.id, "dailies/day 1/a")]).await.unwrap().files;
    let expected = FileEntry { path: "dailies/day 1/a".into(), ..file.clone() };
    assert_eq!(renamed, slice::from_ref(&expected));
    assert_eq!(walk(&*store, &anna).await.into_values().collect::<HashSet<_>>(), [expected, other.clone()].into());
    for (words, hits) in [("dailies", 1), ("takes of may", 1), ("rushes a", 0), ("rushes", 1)] {
        assert_eq!(store.search(&ben, &Words::of(words), 0).await.unwrap().0.len(), hits, "{words}");
    }
    let taken = vec![renaming(file.id, "rushes/b")];
    assert!(matches!(store.rename(&anna, taken).await, Err(StoreError::NotNow(_))));
    let swapped = vec![renaming(file.id, "rushes/b"), renaming(other.id, "dailies/day 1/a")];
    assert!(matches!(store.rename(&anna, swapped).await, Err(StoreError::NotNow(_))));
    assert!(store.rename(&ben, vec![renaming(file.id, "mine")]).await.unwrap().files.is_empty(), "another's file");
    let back = store.rename(&anna, vec![renaming(file.id, "rushes/a")]).await.unwrap();
    assert_eq!(back.files, slice::from_ref(&file));
    assert_eq!(walk(&*store, &ben).await.len(), 2, "empty folders are gone");
    let tablet = store.enrol_device(anna.account, device(9), 1).await.unwrap();
    let elsewhere = store.rename(&tablet, vec![renaming(file.id, "x")]).await;
    assert!(matches!(elsewhere, Err(StoreError::OtherDevice(_))), "its own device knows where it lies");
}

#[tokio::test]
async fn a_renaming_that_moves_nothing_leaves_no_folder_behind() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let (annas, bens) = (put(&*store, &anna, "x/a", 1, None).await, put(&*store, &ben, "b", 1, None).await);
    assert!(store.rename(&anna, vec![renaming(bens.id, "x/y/a")]).await.unwrap().files.is_empty());
    let twice = vec![renaming(annas.id, "x/b"), renaming(annas.id, "x/z/b")];
    assert_eq!(store.rename(&anna, twice).await.unwrap().files[0].path, "x/b");
    store.withdraw(&anna, &[annas.id], 2).await.unwrap();
    for path in ["x/y/c", "x/z/c"] {
        put(&*store, &anna, path, 2, None).await;
    }
    assert_eq!(walk(&*store, &ben).await.len(), 3);
}

#[tokio::test]
async fn a_since_from_nowhere_starts_anew() {
    let Fresh { store, folder: _folder } = fresh().await;
    let anna = member(&*store, "anna", 1).await;
    assert!(store.changes(&anna, 5).await.unwrap().restart);
    assert!(!store.changes(&anna, 0).await.unwrap().restart);
}

#[tokio::test]
async fn what_was_written_is_there_when_opened_again() {
    let Fresh { store, folder } = fresh().await;
    let anna = member(&*store, "anna", 1).await;
    let file = put(&*store, &anna, "a/b", 1, None).await;
    store.close().await;
    let again = SqliteStore::open(&folder.path().join("tracker.db")).await.unwrap();
    assert_eq!(walk(&again, &anna).await.into_values().collect::<Vec<_>>(), [file]);
    let status = again.status().await.unwrap();
    assert_eq!((status.members, status.files, status.bytes), (1, 1, 10));
}

/// One step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Publish { who: usize, path: usize, content: u8, audience: u8 },
    Withdraw { who: usize, nth: usize },
    Vanish { who: usize, nth: usize },
    Rename { who: usize, nth: usize, path: usize },
    Keep { who: usize, nth: usize },
    Drop { who: usize, nth: usize },
    Follow { who: usize },
}

const PATHS: [&str; 7] = ["a", "x/a", "x/y/a", "x/y/b", "X/Y/B", "z/a", "x/z/a"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4usize, 0..PATHS.len(), 1..4u8, 0..6u8)
            .prop_map(|(who, path, content, audience)| Step::Publish { who, path, content, audience }),
        2 => (0..4usize, 0..8usize).prop_map(|(who, nth)| Step::Withdraw { who, nth }),
        1 => (0..4usize, 0..8usize).prop_map(|(who, nth)| Step::Vanish { who, nth }),
        1 => (0..4usize, 0..8usize, 0..PATHS.len()).prop_map(|(who, nth, path)| Step::Rename { who, nth, path }),
        1 => (0..4usize, 0..8usize).prop_map(|(who, nth)| Step::Keep { who, nth }),
        1 => (0..4usize, 0..8usize).prop_map(|(who, nth)| Step::Drop { who, nth }),
        2 => (0..4usize).prop_map(|who| Step::Follow { who }),
    ]
}

fn audience(n: u8) -> Option<Audience> {
    match n {
        0 => Some(Audience::Public),
        1 => Some(Audience::Ask),
        2 => people(&["ben"]),
        3 => people(&["ben", "eve"]),
        4 => Some(Audience::Hidden),
        _ => None,
    }
}

async fn replay(steps: Vec<Step>) {
    let Fresh { store, folder: _folder } = fresh().await;
    let anna = member(&*store, "anna", 1).await;
    let tablet = store.enrol_device(anna.account, device(9), 1).await.unwrap();
    let callers = [anna, member(&*store, "ben", 2).await, member(&*store, "eve", 3).await, tablet];
    let mut known: Vec<(BTreeMap<FileId, FileEntry>, u64)> = vec![(BTreeMap::new(), 0); callers.len()];
    let mut made: Vec<FileEntry> = Vec::new();
    for step in steps {
        match step {
            Step::Publish { who, path, content, audience: n } => {
                let entry = publication(PATHS[path], content, audience(n));
                match store.publish(&callers[who], vec![entry], 1).await {
                    Ok(published) => made.extend(published.files),
                    Err(StoreError::OtherDevice(_)) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            Step::Withdraw { who, nth } => {
                if let Some(file) = made.get(nth) {
                    store.withdraw(&callers[who], &[file.id], 1).await.unwrap();
                }
            }
            Step::Vanish { who, nth } => {
                if let Some(file) = made.get(nth) {
                    store.vanish(&callers[who], &[file.id], 1).await.unwrap();
                }
            }
            Step::Rename { who, nth, path } => {
                if let Some(file) = made.get(nth) {
                    match store.rename(&callers[who], vec![renaming(file.id, PATHS[path])]).await {
                        Ok(_) | Err(StoreError::NotNow(_) | StoreError::OtherDevice(_)) => {}
                        Err(other) => panic!("{other:?}"),
                    }
                }
            }
            Step::Keep { who, nth } => {
                if let Some(file) = made.get(nth) {
                    store.keep_copies(&callers[who], &[file.id], 1).await.unwrap();
                    store_copies(&*store, file.blob).await;
                }
            }
            Step::Drop { who, nth } => {
                if let Some(file) = made.get(nth) {
                    store.drop_copies(&callers[who], &[file.id]).await.unwrap();
                }
            }
            Step::Follow { who } => {
                let (files, since) = &mut known[who];
                *since = follow(&*store, &callers[who], files, *since).await;
            }
        }
    }
    let mut total = BTreeMap::new();
    for (caller, (mut followed, since)) in callers.iter().zip(known) {
        let walked = walk(&*store, caller).await;
        follow(&*store, caller, &mut followed, since).await;
        assert_eq!(followed, walked, "the feed and the folders disagree for {}", caller.name);
        let mut anew = BTreeMap::new();
        follow(&*store, caller, &mut anew, 0).await;
        assert_eq!(anew, walked);
        let found = store.search(caller, &Words::of("owner"), 0).await.unwrap().0;
        assert_eq!(found.into_iter().map(|file| (file.id, file)).collect::<BTreeMap<_, _>>(), walked);
        for file in walked.values() {
            assert!(file.visibility != Visibility::Hidden, "a hidden file is listed");
        }
        total.extend(walked);
    }
    let status = store.status().await.unwrap();
    assert_eq!((status.files, status.bytes), (total.len() as u64, total.values().map(|file| file.size).sum()));
    let (members, _) = store.members(None).await.unwrap();
    for member in members {
        let shared = total.values().filter(|file| {
            file.owner == member.account && matches!(file.visibility, Visibility::Public | Visibility::Ask)
        });
        assert_eq!(member.shares, shared.count() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn feed_folders_search_and_counts_agree_after_any_history(steps in proptest::collection::vec(step(), 1..60)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(replay(steps));
    }
}
