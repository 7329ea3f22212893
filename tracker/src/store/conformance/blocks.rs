//! Members who are hidden from each other.

use std::collections::BTreeMap;

use shared::id::FileId;

use super::{Fresh, fresh, member, people, put, store_copies, walk};
use crate::store::{Apart, Audience, Block, Caller, Place, Store, StoreError, Whereabouts, Whose, Words};

fn block(of: &Caller) -> Block {
    Block { member: of.account, own_seen_ms: Some(70), its_seen_ms: None }
}

/// The files that a caller finds in any way, and that ways agree.
async fn visible(store: &dyn Store, caller: &Caller, ids: &[FileId]) -> Vec<FileId> {
    let mut found: Vec<FileId> = walk(store, caller).await.into_keys().collect();
    found.sort_unstable();
    let words = Words::of("file");
    let mut hits: Vec<FileId> =
        store.search(caller, &words, 0).await.unwrap().0.into_iter().map(|file| file.id).collect();
    hits.sort_unstable();
    assert_eq!(found, hits);
    let mut present = BTreeMap::new();
    for change in store.changes(caller, 0).await.unwrap().changes {
        if let shared::wire::tracker::Change::Present(file) = change {
            present.insert(file.id, file);
        }
    }
    assert_eq!(found, present.into_keys().collect::<Vec<_>>());
    for id in ids {
        let there = found.contains(id);
        assert_eq!(store.file(caller, *id).await.unwrap().is_some(), there);
        assert_eq!(store.inspect(caller, *id).await.unwrap().is_some(), there);
        let prefix = &id.to_string()[..20];
        assert_eq!(store.by_prefix(caller, prefix).await.unwrap().1 == 1, there);
        let whereabouts = store.locate(caller, &[*id]).await.unwrap().remove(0);
        assert_eq!(!matches!(whereabouts, Whereabouts::Unknown(_)), there);
    }
    found
}

#[tokio::test]
async fn members_who_are_apart_find_nothing_of_each_other_in_any_way_and_all_of_the_rest() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let carl = member(&*store, "carl", 3).await;
    let of_anna = [
        put(&*store, &anna, "folder/file 1", 1, None).await.id,
        put(&*store, &anna, "folder/file 2", 2, people(&["ben"])).await.id,
        put(&*store, &anna, "file 3", 3, Some(Audience::Ask)).await.id,
    ];
    let hidden = put(&*store, &anna, "file 4", 4, Some(Audience::Hidden)).await.id;
    let of_ben = [put(&*store, &ben, "other/file 5", 5, None).await.id];
    let of_carl = [put(&*store, &carl, "file 1", 1, None).await.id];
    let all = [&of_anna[..], &of_ben, &of_carl].concat();
    assert_eq!(visible(&*store, &ben, &all).await.len(), 5);
    assert!(!store.are_apart(ben.account, anna.account).await.unwrap());

    let parting = store.block(&anna, block(&ben)).await.unwrap();
    assert!(parting.changed && parting.moved.is_some());
    assert_eq!(visible(&*store, &ben, &all).await.len(), 2);
    assert_eq!(visible(&*store, &anna, &all).await.len(), 4);
    assert_eq!(visible(&*store, &carl, &all).await.len(), 4, "nobody else sees a difference");
    // A link to a hidden file is worth nothing either.
    assert!(store.file(&ben, hidden).await.unwrap().is_none());
    assert_eq!(store.locate(&ben, &[hidden]).await.unwrap(), [Whereabouts::Unknown(hidden)]);
    assert!(store.file(&carl, hidden).await.unwrap().is_some());
    assert!(store.by_path(&ben, "anna", "folder").await.unwrap().is_none());
    let empty = store.list(&ben, &Place { whose: Whose::Member("anna".into()), fold: String::new() }, None).await;
    let empty = empty.unwrap();
    assert!(empty.found && empty.items.is_empty(), "a member without files, not an unknown one");
    // Ben has Carl's share of what Anna shares too, and of that Anna is no source.
    let Whereabouts::Allowed { devices, .. } = store.locate(&ben, &of_carl).await.unwrap().remove(0) else {
        panic!("Carl's file is for everyone");
    };
    assert_eq!(devices, [(carl.device, carl.account)]);
    assert!(store.are_apart(ben.account, anna.account).await.unwrap());
    assert!(store.are_apart(anna.account, ben.account).await.unwrap());

    assert!(store.unblock(&anna, ben.account).await.unwrap().moved.is_some());
    assert_eq!(visible(&*store, &ben, &all).await.len(), 5);
    assert_eq!(visible(&*store, &anna, &all).await.len(), 5);
}

#[tokio::test]
async fn a_stored_copy_is_not_for_those_who_are_apart_from_its_owner() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let file = put(&*store, &anna, "file", 1, None).await;
    store.keep_copies(&anna, &[file.id], 1).await.unwrap();
    store_copies(&*store, file.blob).await;
    assert!(store.copy_for(ben.device, file.blob).await.unwrap().is_some());
    let moved = store.block(&ben, block(&anna)).await.unwrap().moved.unwrap();
    assert_eq!(moved.narrowed, [file.blob]);
    assert!(store.copy_for(ben.device, file.blob).await.unwrap().is_none());
    assert!(store.copy_for(anna.device, file.blob).await.unwrap().is_some());
}

#[tokio::test]
async fn the_feed_of_both_begins_anew_once_whenever_they_look_and_of_nobody_else() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let carl = member(&*store, "carl", 3).await;
    put(&*store, &anna, "file", 1, None).await;
    let mut since = [0; 3];
    for (at, caller) in [&anna, &ben, &carl].into_iter().enumerate() {
        since[at] = store.changes(caller, 0).await.unwrap().next;
    }
    for blocked in [true, false] {
        if blocked {
            store.block(&anna, block(&ben)).await.unwrap();
        } else {
            store.unblock(&anna, ben.account).await.unwrap();
        }
        for (at, caller) in [&anna, &ben].into_iter().enumerate() {
            assert!(store.changes(caller, since[at]).await.unwrap().restart);
            let page = store.changes(caller, 0).await.unwrap();
            assert_eq!((page.restart, page.more), (false, false));
            since[at] = page.next;
            let page = store.changes(caller, since[at]).await.unwrap();
            assert!(!page.restart && page.changes.is_empty());
        }
        let page = store.changes(&carl, since[2]).await.unwrap();
        assert!(!page.restart && page.changes.is_empty());
    }
}

#[tokio::test]
async fn two_who_block_each_other_stay_apart_until_both_take_it_back() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    store.note_seen(&[ben.device], 40).await.unwrap();
    store.block(&anna, block(&ben)).await.unwrap();
    assert_eq!(store.block(&anna, block(&ben)).await.unwrap(), crate::store::Parting::default());
    store.note_seen(&[ben.device, anna.device], 90).await.unwrap();
    let parting = store.block(&ben, block(&anna)).await.unwrap();
    assert!(parting.changed && parting.moved.is_none(), "they were apart before");
    // Each saw the other last when they came apart, whatever happened since.
    let apart = |viewer: &Caller, hidden: &Caller, seen_ms| Apart {
        viewer: viewer.account,
        hidden: hidden.account,
        seen_ms: Some(seen_ms),
    };
    let mut found = store.apart_from(&[anna.account, ben.account]).await.unwrap();
    found.sort_unstable();
    assert_eq!(found, [apart(&anna, &ben, 40), apart(&ben, &anna, 70)]);
    assert_eq!(store.blocked(anna.account).await.unwrap(), [ben.account]);
    let parting = store.unblock(&anna, ben.account).await.unwrap();
    assert!(parting.changed && parting.moved.is_none());
    assert!(store.are_apart(anna.account, ben.account).await.unwrap());
    assert!(store.unblock(&ben, anna.account).await.unwrap().moved.is_some());
    assert!(!store.are_apart(anna.account, ben.account).await.unwrap());
    assert!(store.apart_from(&[anna.account]).await.unwrap().is_empty());
}

#[tokio::test]
async fn nobody_blocks_without_end() {
    let Fresh { store, folder: _folder } = fresh().await;
    let anna = member(&*store, "anna", 1).await;
    for n in 0..=shared::limits::BLOCKS_MAX {
        let mut other = super::account("other", 2);
        let name = format!("member {n:04}");
        other.id.0[..8].copy_from_slice(&(n as u64).to_be_bytes());
        other.device.id.0[..8].copy_from_slice(&(n as u64).to_be_bytes());
        (other.name, other.name_key, other.skeleton) = (name.clone(), name.clone(), name);
        let other = store.create_account(other, 1).await.unwrap();
        let blocked = store.block(&anna, block(&other)).await;
        if n < shared::limits::BLOCKS_MAX {
            blocked.unwrap();
        } else {
            assert!(matches!(blocked, Err(StoreError::TooManyBlocks(_))));
        }
    }
}
