//! What those may tell of who hold contents without sharing them.

use std::collections::BTreeSet;

use shared::id::FileId;

use super::{Fresh, blob, fresh, member, people, put};
use crate::store::{Audience, Block, Caller, Store};

/// Whether the caller may have the content 1, which it asks for as `file`, from who fetched it as `fetched`.
async fn open(store: &dyn Store, caller: &Caller, file: FileId, (holder, fetched): (&Caller, &[FileId])) -> bool {
    let holder = (holder.account, fetched.iter().copied().collect::<BTreeSet<_>>());
    store.open_holders(caller, file, (blob(1), 10), &[holder]).await.unwrap() == [true]
}

#[tokio::test]
async fn a_holder_is_a_source_for_those_who_may_fetch_what_it_fetched() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let carl = member(&*store, "carl", 3).await;
    for audience in [Some(Audience::Public), people(&["ben", "carl"]), Some(Audience::Hidden)] {
        let file = put(&*store, &anna, "a", 1, audience).await.id;
        assert!(open(&*store, &carl, file, (&ben, &[file])).await);
        store.withdraw(&anna, &[file], 3).await.unwrap();
        assert!(!open(&*store, &carl, file, (&ben, &[file])).await, "nobody knows any more what it was");
    }
}

#[tokio::test]
async fn who_publishes_a_hash_that_it_knows_gets_nothing_from_those_who_hold_the_content() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let eve = member(&*store, "eve", 3).await;
    let claimed = put(&*store, &eve, "mine", 1, None).await.id;
    for audience in [people(&["ben"]), Some(Audience::Hidden)] {
        let secret = put(&*store, &anna, "a", 1, audience).await.id;
        assert!(!open(&*store, &eve, claimed, (&ben, &[secret])).await);
        assert!(!open(&*store, &eve, claimed, (&ben, &[claimed, secret])).await);
    }
    // Whoever fetched what she published may have got it from Anna.
    put(&*store, &anna, "a", 1, people(&["ben"])).await;
    assert!(!open(&*store, &eve, claimed, (&ben, &[claimed])).await);
    // Carl has nothing to do with Anna's file.
    let carl = member(&*store, "carl", 4).await;
    assert!(open(&*store, &eve, claimed, (&carl, &[claimed])).await);
    // Ben shares it himself, and not with her.
    put(&*store, &carl, "his own", 1, people(&["carl"])).await;
    assert!(!open(&*store, &eve, claimed, (&carl, &[claimed])).await);
}

#[tokio::test]
async fn who_is_hidden_from_an_owner_gets_nothing_of_it_from_those_who_hold_it() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let eve = member(&*store, "eve", 3).await;
    let annas = put(&*store, &anna, "a", 1, None).await.id;
    let claimed = put(&*store, &eve, "mine", 1, None).await.id;
    assert!(open(&*store, &eve, claimed, (&ben, &[claimed])).await);
    store.block(&anna, Block { member: eve.account, own_seen_ms: None, its_seen_ms: None }).await.unwrap();
    assert!(!open(&*store, &eve, claimed, (&ben, &[annas])).await);
    assert!(!open(&*store, &eve, claimed, (&ben, &[claimed])).await);
    let of_two = store.files_among(&[annas, claimed, FileId([9; 16])], [anna.account, ben.account]).await.unwrap();
    assert_eq!(of_two, [annas]);
}
