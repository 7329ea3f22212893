//! Passwords of files: nobody gets a grant for a locked content without a proof, by whatever file it asks.

use shared::wire::protected::{Lock, Stretch};

use super::*;

fn lock(n: u8) -> Lock {
    Lock { stretch: Stretch::Argon2id, salt: [n; 16], key: [n; 32] }
}

async fn put_locked(store: &dyn Store, caller: &Caller, path: &str, content: u8, at_ms: i64) -> FileEntry {
    let publication = Publication { lock: Some(lock(content)), ..publication(path, content, None) };
    store.publish(caller, vec![publication], at_ms).await.unwrap().files.remove(0)
}

async fn put_open(store: &dyn Store, caller: &Caller, path: &str, content: u8, at_ms: i64) -> FileEntry {
    store.publish(caller, vec![publication(path, content, None)], at_ms).await.unwrap().files.remove(0)
}

async fn may(store: &dyn Store, caller: &Caller, file: FileId) -> bool {
    match &store.locate(caller, &[file]).await.unwrap()[..] {
        [Whereabouts::Allowed { .. }] => true,
        [Whereabouts::Closed(closed)] if *closed == file => false,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_lock_opens_for_the_device_that_proved_it() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let second = store.enrol_device(ben.account, device(3), 5).await.unwrap();
    let file = put_locked(&*store, &anna, "a", 1, 10).await;
    assert!(file.protected && store.file(&ben, file.id).await.unwrap().unwrap().protected);
    assert!(may(&*store, &anna, file.id).await, "what is encrypted is no secret of its owner");
    assert!(!may(&*store, &ben, file.id).await);
    assert_eq!(store.locks(&ben, &[file.id, FileId([9; 16])]).await.unwrap(), [vec![(lock(1), false)], vec![]]);
    store.open_lock(&ben, &lock(1)).await.unwrap();
    assert!(may(&*store, &ben, file.id).await);
    assert!(!may(&*store, &second, file.id).await, "another device proves it by itself");
    assert_eq!(store.locks(&ben, &[file.id]).await.unwrap(), [vec![(lock(1), true)]]);
    // What changes beside the content keeps the lock; another content has none but its own.
    let noted = Publication { note: Some("for Ben".into()), ..publication("a", 1, None) };
    assert!(store.publish(&anna, vec![noted], 11).await.unwrap().files[0].protected);
    put_locked(&*store, &anna, "a", 2, 12).await;
    assert!(!may(&*store, &ben, file.id).await, "a new password is to be proved anew");
    store.open_lock(&ben, &lock(2)).await.unwrap();
    assert!(!put_open(&*store, &anna, "a", 3, 13).await.protected);
    assert!(may(&*store, &second, file.id).await);
}

#[tokio::test]
async fn naming_the_content_of_others_opens_nothing() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let file = put_locked(&*store, &anna, "a", 1, 10).await;
    // In the open, under a size that is not its, and with a lock of one's own.
    let open = put_open(&*store, &ben, "open", 1, 11).await;
    let lie = Publication { size: 999, ..publication("lie", 1, None) };
    let lie = store.publish(&ben, vec![lie], 11).await.unwrap().files.remove(0);
    let own = Publication { lock: Some(lock(7)), ..publication("own", 1, None) };
    let own = store.publish(&ben, vec![own], 11).await.unwrap().files.remove(0);
    for named in [&open, &lie, &own] {
        assert!(!may(&*store, &ben, named.id).await, "{}", named.path);
    }
    store.keep_copies(&anna, &[file.id], 12).await.unwrap();
    store_copies(&*store, blob(1)).await;
    assert_eq!(store.copy_for(ben.device, blob(1)).await.unwrap(), None);
    store.open_lock(&ben, &lock(1)).await.unwrap();
    assert_eq!(store.copy_for(ben.device, blob(1)).await.unwrap(), Some(10));
    assert!(may(&*store, &ben, open.id).await);
}

#[tokio::test]
async fn a_lock_put_on_what_others_share_closes_nothing_of_theirs() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let carol = member(&*store, "carol", 3).await;
    let open = put_open(&*store, &anna, "open", 1, 10).await;
    let locked = put_locked(&*store, &anna, "locked", 2, 10).await;
    put_locked(&*store, &ben, "mine", 1, 11).await;
    let other = Publication { lock: Some(lock(7)), ..publication("mine too", 2, None) };
    store.publish(&ben, vec![other], 11).await.unwrap();
    assert!(may(&*store, &carol, open.id).await);
    store.open_lock(&carol, &lock(2)).await.unwrap();
    assert!(may(&*store, &carol, locked.id).await);
}
