//! A member who knows the hash of a content that is not for it, and publishes it as its own: neither those who share it,
//! nor those who hold it, nor the tracker's copy give it away.

use shared::{
    id::{BlobHash, FileId},
    wire::{
        Code,
        tracker::{Answer, Located, LocatedFile, PublishEntry, Request},
    },
};
use tests::{
    Member, PATIENCE, corpus,
    member::{number, text},
    source::Blob,
    wire::{Link, Puppet, ask},
};

use crate::{
    get::Pair,
    hostile_members::{device_of, fetch, fetch_from_tracker, granted},
    hostile_peers::block_on,
};

/// Waits until a member's file has a copy on the tracker.
fn copied(member: &Member, id: &str) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while member.run(&["info", id]).ok().records()[0]["copy"] != "stored" {
        assert!(std::time::Instant::now() < deadline, "no copy is stored");
    }
}

/// Publishes a content that this puppet does not have.
async fn claim(puppet: &Puppet, blob: BlobHash, size: u64) -> FileId {
    let entry = PublishEntry { blob, size, ..Blob::new(b"something else".to_vec()).entry("mine.bin") };
    puppet.publish(vec![entry]).await.unwrap()[0].parse().unwrap()
}

async fn locate(puppet: &Puppet, file: FileId) -> Located {
    match ask(&puppet.tracker, &Request::Locate { files: vec![file] }).await.unwrap() {
        Answer::Located(located) => located,
        other => panic!("not located: {other:?}"),
    }
}

#[test]
fn neither_an_owner_nor_the_copy_gives_a_content_to_who_knows_only_its_hash() {
    let pair = Pair::start();
    let link = Link::parse(&pair.tracker.link).unwrap();
    let path = pair.alice.write("for carol.bin", corpus::bytes(171, 50_000));
    let (device, address) = device_of(&pair.alice);
    block_on(async {
        let carol = Puppet::register(&link, "carol").await.unwrap();
        let mallory = Puppet::register(&link, "mallory").await.unwrap();
        let shared = tokio::task::block_in_place(|| {
            let shared = pair.alice.run(&["share", path.to_str().unwrap(), "--to", "carol", "--copy"]).ok().one("file");
            copied(&pair.alice, &text(&shared, "id"));
            shared
        });
        let (file, blob) = (text(&shared, "id").parse().unwrap(), text(&shared, "hash").parse().unwrap());
        let claimed = claim(&mallory, blob, number(&shared, "size")).await;

        let located = locate(&mallory, claimed).await;
        assert!(matches!(&located.files[..], [LocatedFile::Found { peers, copy: false, .. }] if peers.is_empty()));
        let grant = granted(&mallory, claimed).await;
        let to_alice = mallory.dial(address, device).await.unwrap();
        assert_eq!(fetch(&to_alice, &grant, blob).await, Err(Some(Code::Forbidden)));
        assert_eq!(fetch_from_tracker(&mallory.tracker, &grant, blob).await, Err(Some(Code::Forbidden)));

        // Wanting a copy of it makes it no more hers.
        let kept = ask(&mallory.tracker, &Request::KeepCopy { files: vec![claimed] }).await.unwrap();
        assert!(matches!(kept, Answer::Kept { .. } | Answer::Count(_)), "{kept:?}");
        let grant = granted(&mallory, claimed).await;
        assert_eq!(fetch_from_tracker(&mallory.tracker, &grant, blob).await, Err(Some(Code::Forbidden)));
        assert_eq!(fetch(&to_alice, &grant, blob).await, Err(Some(Code::Forbidden)));

        // For whom it is meant both have it.
        let grant = granted(&carol, file).await;
        let to_alice = carol.dial(address, device).await.unwrap();
        assert_eq!(fetch(&to_alice, &grant, blob).await, Ok(()));
        assert_eq!(fetch_from_tracker(&carol.tracker, &grant, blob).await, Ok(()));
    });
}

#[test]
fn who_holds_a_content_gives_it_to_those_alone_who_may_fetch_what_it_fetched() {
    let pair = Pair::start();
    let link = Link::parse(&pair.tracker.link).unwrap();
    let path = pair.alice.desk().join("for some.bin");
    corpus::large_file(&path, 172, 3 << 20);
    let _bobs = pair.bob.engine();
    block_on(async {
        let carol = Puppet::register(&link, "carol").await.unwrap();
        let mallory = Puppet::register(&link, "mallory").await.unwrap();
        let shared = tokio::task::block_in_place(|| {
            let shared = pair.alice.run(&["share", path.to_str().unwrap(), "--to", "bob,carol"]).ok();
            let shared = shared.one("file");
            pair.get(&text(&shared, "id"));
            shared
        });
        let (file, blob) = (text(&shared, "id").parse().unwrap(), text(&shared, "hash").parse().unwrap());
        let (device, address) = tokio::task::block_in_place(|| device_of(&pair.bob));
        // Carol hears of Bob as soon as the tracker does.
        let deadline = std::time::Instant::now() + PATIENCE;
        while !matches!(&locate(&carol, file).await.files[..], [LocatedFile::Spread { .. }]) {
            assert!(std::time::Instant::now() < deadline, "Bob holds nothing");
        }
        let claimed = claim(&mallory, blob, number(&shared, "size")).await;
        let located = locate(&mallory, claimed).await;
        assert!(matches!(&located.files[..], [LocatedFile::Found { peers, .. }] if peers.is_empty()), "{located:?}");
        let grant = granted(&mallory, claimed).await;
        let to_bob = mallory.dial(address, device).await.unwrap();
        assert_eq!(fetch(&to_bob, &grant, blob).await, Err(Some(Code::Forbidden)));
    });
}
