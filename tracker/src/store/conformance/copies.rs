//! Copies, and who claims them.

use shared::wire::tracker::{CopyState, Visibility};

use super::{Fresh, blob, fresh, member, people, publication, put, store_copies, walk};
use crate::store::{Audience, Publication, Whereabouts};

#[tokio::test]
async fn a_copy_lives_as_long_as_a_file_wants_it() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let (a, b) = (put(&*store, &anna, "a", 1, None).await, put(&*store, &ben, "b", 1, None).await);
    assert_eq!(store.keep_copies(&ben, &[a.id], 5).await.unwrap().count, 0, "only one's own");
    for (caller, file) in [(&anna, a.id), (&ben, b.id)] {
        assert_eq!(store.keep_copies(caller, &[file], 5).await.unwrap().count, 1);
    }
    let pending = store.pending_copies(None).await.unwrap();
    let devices: Vec<_> = pending.iter().flat_map(|copy| &copy.devices).copied().collect();
    assert_eq!(devices, [anna.device, ben.device], "each owner's devices for its own claim");
    assert_eq!(store.pending_copies(pending.first()).await.unwrap(), pending[1..]);
    assert!(store.pending_copies(pending.last()).await.unwrap().is_empty());
    let end = store.copy_stored(&pending[0]).await.unwrap();
    assert_eq!(end.files.len(), 2, "Ben might fetch Anna's file anyway");
    assert_eq!(store.pending_copies(None).await.unwrap(), []);
    assert_eq!(store.copy_for(anna.device, blob(1)).await.unwrap(), Some(10));

    let dropped = store.drop_copies(&anna, &[a.id]).await.unwrap();
    assert!(dropped.effects.released.is_empty() && dropped.effects.unclaimed.is_empty());
    assert_eq!(store.stored_among(&[blob(1), blob(2)]).await.unwrap(), [blob(1)]);
    let withdrawn = store.withdraw(&ben, &[b.id], 9).await.unwrap();
    assert_eq!(withdrawn.effects.released, [blob(1)]);
    assert_eq!(store.unwanted_copies().await.unwrap(), [blob(1)]);
    assert_eq!(store.copy_for(anna.device, blob(1)).await.unwrap(), None);

    // Wanted again before the object was deleted: the row stays for the next fetch.
    store.keep_copies(&anna, &[a.id], 6).await.unwrap();
    store.copy_deleted(blob(1)).await.unwrap();
    assert_eq!(store.pending_copies(None).await.unwrap().len(), 1);
    assert_eq!(store.pending_claims(blob(1)).await.unwrap(), [(anna.account, 10)]);
    let dropped = store.drop_copies(&anna, &[a.id]).await.unwrap();
    assert_eq!(dropped.effects.unclaimed, [blob(1)], "nothing that came for it is wanted");
    assert!(store.pending_claims(blob(1)).await.unwrap().is_empty());
    store.copy_deleted(blob(1)).await.unwrap();
    assert!(store.unwanted_copies().await.unwrap().is_empty());
    assert!(store.copy_stored(&pending[0]).await.unwrap().files.is_empty());
}

#[tokio::test]
async fn of_vanished_files_those_with_a_copy_stay() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let stored = put(&*store, &anna, "stored", 1, None).await;
    let pending = put(&*store, &anna, "pending", 2, None).await;
    let plain = put(&*store, &anna, "plain", 3, None).await;
    store.keep_copies(&anna, &[stored.id, pending.id], 5).await.unwrap();
    store_copies(&*store, blob(1)).await;
    let all = [stored.id, pending.id, plain.id];
    assert!(store.vanish(&ben, &all, 9).await.unwrap().kept.is_empty(), "files of others are passed over");
    let mut kept = store.vanish(&anna, &all, 9).await.unwrap().kept;
    kept.sort();
    let mut expected = vec![stored.id, pending.id];
    expected.sort();
    assert_eq!(kept, expected);
    assert_eq!(walk(&*store, &anna).await.into_keys().collect::<Vec<_>>(), expected);
    assert_eq!(store.copy_for(ben.device, blob(1)).await.unwrap(), Some(10));
}

#[tokio::test]
async fn a_new_version_of_a_kept_file_wants_a_new_copy_and_releases_the_old_one() {
    let Fresh { store, folder: _folder } = fresh().await;
    let anna = member(&*store, "anna", 1).await;
    let file = put(&*store, &anna, "a", 1, None).await;
    store.keep_copies(&anna, &[file.id], 5).await.unwrap();
    store_copies(&*store, blob(1)).await;
    let published = store.publish(&anna, vec![publication("a", 2, None)], 7).await.unwrap();
    assert_eq!((published.effects.released, published.effects.copies_wanted), (vec![blob(1)], true));
    assert_eq!(published.files[0].copy, CopyState::Pending);
    assert_eq!(store.pending_copies(None).await.unwrap()[0].blob, blob(2));
}

#[tokio::test]
async fn who_lies_about_a_size_fails_alone() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, eve) = (member(&*store, "anna", 1).await, member(&*store, "eve", 2).await);
    let lie = Publication { size: 999, ..publication("lie", 1, None) };
    let lie = store.publish(&eve, vec![lie], 1).await.unwrap().files.remove(0);
    let honest = put(&*store, &anna, "a", 1, None).await;
    store.keep_copies(&eve, &[lie.id], 5).await.unwrap();
    store.keep_copies(&anna, &[honest.id], 6).await.unwrap();
    let pending = store.pending_copies(None).await.unwrap();
    assert_eq!(pending.iter().map(|copy| copy.size).collect::<Vec<_>>(), [999, 10]);
    let failed = store.copy_failed(&pending[0]).await.unwrap();
    assert_eq!(failed.files, [(lie.id, eve.account)]);
    let stored = store.copy_stored(&pending[1]).await.unwrap();
    assert_eq!(stored.files, [(honest.id, anna.account)]);
    assert_eq!(store.copy_for(anna.device, blob(1)).await.unwrap(), Some(10));
    assert_eq!(store.keep_copies(&eve, &[lie.id], 7).await.unwrap().count, 0, "the right size is known by now");
}

#[tokio::test]
async fn narrowing_tells_the_devices_and_the_copy() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let file = put(&*store, &anna, "a", 1, None).await;
    store.keep_copies(&anna, &[file.id], 5).await.unwrap();
    store_copies(&*store, blob(1)).await;
    assert!(store.copy_for(ben.device, blob(1)).await.unwrap().is_some());
    let published = store.publish(&anna, vec![publication("a", 1, people(&["anna"]))], 7).await.unwrap();
    assert_eq!(published.effects.revoked, [(anna.device, blob(1))]);
    assert_eq!(published.effects.narrowed, [blob(1)]);
    assert!(store.copy_for(ben.device, blob(1)).await.unwrap().is_none());
    let widened = store.publish(&anna, vec![publication("a", 1, Some(Audience::Public))], 8).await.unwrap();
    assert!(widened.effects.revoked.is_empty());
}

#[tokio::test]
async fn who_knows_only_the_hash_of_a_stored_copy_gets_nothing_by_claiming_it() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, eve) = (member(&*store, "anna", 1).await, member(&*store, "eve", 2).await);
    for (content, audience) in [(1, Some(Audience::Ask)), (2, Some(Audience::Hidden)), (3, people(&["anna"]))] {
        let file = put(&*store, &anna, &format!("anna {content}"), content, audience).await;
        store.keep_copies(&anna, &[file.id], 5).await.unwrap();
        assert_eq!(store_copies(&*store, blob(content)).await, [file.id]);
        let claimed = put(&*store, &eve, &format!("eve {content}"), content, None).await;
        let kept = store.keep_copies(&eve, &[claimed.id], 6).await.unwrap();
        assert_eq!((kept.count, kept.stored, kept.effects.copies_wanted), (1, vec![], true));
        assert_eq!(store.file(&eve, claimed.id).await.unwrap().unwrap().copy, CopyState::Pending);
        let located = store.locate(&eve, &[claimed.id]).await.unwrap();
        assert!(
            matches!(located[..], [Whereabouts::Allowed { copy: false, .. }]),
            "no grant names the copy: {located:?}"
        );
        // A hidden file is for whoever has a grant.
        let allowed = store.copy_for(eve.device, blob(content)).await.unwrap();
        assert_eq!(allowed, (file.visibility == Visibility::Hidden).then_some(u64::from(content) * 10));
        let pending = store.pending_copies(None).await.unwrap();
        assert_eq!((pending.len(), pending[0].account, pending[0].stored), (1, eve.account, true));
        assert_eq!(pending[0].devices, [eve.device], "it is to show that it has the content");
        // It has not, and that is no harm to Anna's copy.
        assert_eq!(store.copy_failed(&pending[0]).await.unwrap().files, [(claimed.id, eve.account)]);
        assert_eq!(store.file(&anna, file.id).await.unwrap().unwrap().copy, CopyState::Stored);
        assert_eq!(store.copy_for(anna.device, blob(content)).await.unwrap(), Some(u64::from(content) * 10));
        assert_eq!(store.pending_copies(None).await.unwrap(), []);
    }
}

#[tokio::test]
async fn who_has_what_it_claims_has_a_copy_of_its_own_that_outlives_the_others() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let annas = put(&*store, &anna, "a", 1, people(&["anna"])).await;
    let bens = put(&*store, &ben, "b", 1, people(&["ben"])).await;
    store.keep_copies(&anna, &[annas.id], 5).await.unwrap();
    store_copies(&*store, blob(1)).await;
    store.keep_copies(&ben, &[bens.id], 6).await.unwrap();
    assert_eq!(store_copies(&*store, blob(1)).await, [bens.id]);
    assert!(store.withdraw(&anna, &[annas.id], 7).await.unwrap().effects.released.is_empty());
    assert_eq!(store.copy_for(ben.device, blob(1)).await.unwrap(), Some(10));
    assert_eq!(store.copy_for(anna.device, blob(1)).await.unwrap(), None);
}

#[tokio::test]
async fn who_may_fetch_a_copied_file_need_not_send_it_for_a_copy_of_its_own() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let annas = put(&*store, &anna, "a", 1, people(&["ben"])).await;
    let bens = put(&*store, &ben, "b", 1, None).await;
    store.keep_copies(&anna, &[annas.id], 5).await.unwrap();
    store_copies(&*store, blob(1)).await;
    assert_eq!(store.keep_copies(&ben, &[bens.id], 6).await.unwrap().stored, [bens.id]);
    assert_eq!(store.pending_copies(None).await.unwrap(), []);
}

#[tokio::test]
async fn a_claim_that_counts_because_of_another_is_told_when_that_is_decided_and_never_in_passing() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let carl = member(&*store, "carl", 3).await;
    let annas = put(&*store, &anna, "a", 1, people(&["anna"])).await;
    store.keep_copies(&anna, &[annas.id], 5).await.unwrap();
    store_copies(&*store, blob(1)).await;
    let bens = put(&*store, &ben, "b", 1, None).await;
    assert!(store.keep_copies(&ben, &[bens.id], 6).await.unwrap().stored.is_empty());
    // Now everybody may have it, and Carl asks for a copy of his own.
    store.publish(&anna, vec![publication("a", 1, Some(Audience::Public))], 7).await.unwrap();
    let carls = put(&*store, &carl, "c", 1, None).await;
    assert_eq!(store.keep_copies(&carl, &[carls.id], 8).await.unwrap().stored, [carls.id]);
    let pending = store.pending_copies(None).await.unwrap();
    assert_eq!(pending.iter().map(|copy| copy.account).collect::<Vec<_>>(), [ben.account], "Ben hears it by his own");
    assert_eq!(store_copies(&*store, blob(1)).await, [bens.id]);
}

#[tokio::test]
async fn a_lost_copy_is_claimed_again_by_everyone_who_wants_it() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let files = [put(&*store, &anna, "a", 1, None).await, put(&*store, &ben, "b", 1, None).await];
    for (caller, file) in [&anna, &ben].into_iter().zip(&files) {
        store.keep_copies(caller, &[file.id], 5).await.unwrap();
    }
    store_copies(&*store, blob(1)).await;
    store.copy_lost(blob(1), 9).await.unwrap();
    assert_eq!(store.copy_for(ben.device, blob(1)).await.unwrap(), None);
    let pending = store.pending_copies(None).await.unwrap();
    assert_eq!(
        pending.iter().map(|copy| (copy.account, copy.stored)).collect::<Vec<_>>(),
        [(anna.account, false), (ben.account, false)]
    );
    assert_eq!(store.copy_stored(&pending[1]).await.unwrap().files.len(), 2);
}
