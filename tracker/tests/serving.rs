//! The whole tracker over real connections: signing in, sharing, finding, presence, copies, restarts.

#![expect(clippy::unwrap_used, reason = "a test may end where something is not as it should be")]

mod support;

use std::collections::BTreeSet;

use certs::CertificateDer;
use quinn::RecvStream;
use shared::{
    content::Layout,
    id::{BlobHash, FileId},
    limits::{PEER_FRAME_BYTES_MAX, REQUEST_BYTES_MAX},
    net::{Outgoing, frame},
    wire::{
        Code,
        grant::{SignedGrant, Source},
        peer::{FetchFrame, FetchReply, Want},
        tracker::{
            Answer, Audience, Change, Changes, CopyState, Event, FileEntry, Item, List, Located, LocatedFile, Presence,
            Reference, Request, SourceEntry, Visibility,
        },
    },
};
use support::{Client, Tracker, content, entry, hash, soon};
use tempfile::tempdir;

async fn changes(client: &Client, since: u64) -> Changes {
    match client.ask(Request::Changes { since }).await {
        Answer::Changes(changes) => changes,
        other => panic!("{other:?}"),
    }
}

async fn items(client: &Client, list: List) -> Vec<Item> {
    match client.ask(Request::List(list)).await {
        Answer::Listing { items, .. } => items,
        other => panic!("{other:?}"),
    }
}

fn top() -> List {
    List { member: None, mine: false, path: String::new(), after: None }
}

async fn hits(client: &Client, query: &str) -> Vec<String> {
    match client.ask(Request::Search { query: query.into(), offset: 0 }).await {
        Answer::Hits { files, .. } => files.into_iter().map(|file| file.path).collect(),
        other => panic!("{other:?}"),
    }
}

async fn locate(client: &Client, files: Vec<FileId>) -> Located {
    match client.ask(Request::Locate { files }).await {
        Answer::Located(located) => located,
        other => panic!("{other:?}"),
    }
}

async fn inspect(client: &Client, file: FileId) -> shared::wire::tracker::FileDetail {
    match client.ask(Request::Inspect { file }).await {
        Answer::Detail(detail) => detail,
        other => panic!("{other:?}"),
    }
}

async fn count(client: &Client, request: Request) -> u64 {
    match client.ask(request).await {
        Answer::Count(count) => count,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_member_registers_and_the_device_comes_back_by_its_key() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, first) = Client::register(&tracker, "Anna").await;
    assert_eq!((first.name.as_str(), first.device), ("Anna", anna.device()));
    let who = certs::peer_identity(&CertificateDer::from(first.certificate)).unwrap();
    assert_eq!((who.account, who.device), (first.account.0, first.device.0));

    let again = Client::connect_as(&tracker, anna.key.clone()).await;
    let Answer::SignedIn(second) = again.ask(again.key_request()).await else { panic!() };
    assert_eq!((second.account, second.device), (first.account, first.device));
    // The newer connection takes over; the older one is closed.
    soon(anna.connection.closed()).await;
    assert!(matches!(again.ask(Request::Renew).await, Answer::SignedIn(_)));
    tracker.stop().await;
}

#[tokio::test]
async fn a_proof_from_another_connection_or_key_is_worth_nothing() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let thief = Client::connect(&tracker).await;
    assert_eq!(thief.refused(anna.key_request()).await.code, Code::Unauthenticated);
    let Request::SignInKey { proof, .. } = thief.key_request() else { panic!() };
    let forged = Request::SignInKey { device: anna.device(), proof };
    assert_eq!(thief.refused(forged).await.code, Code::Unauthenticated);
    tracker.stop().await;
}

#[tokio::test]
async fn wrong_passwords_and_unknown_names_get_one_answer_and_then_wait() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let stranger = Client::connect(&tracker).await;
    let wrong = stranger.refused(stranger.sign_in_request("anna", "wrong password")).await;
    let unknown = stranger.refused(stranger.sign_in_request("nobody", "wrong password")).await;
    assert_eq!(wrong, unknown);
    assert_eq!(wrong.code, Code::Unauthenticated);
    for _ in 0..4 {
        stranger.refused(stranger.sign_in_request("anna", "wrong password")).await;
    }
    let waits = stranger.ask(stranger.sign_in_request("anna", "correct horse")).await;
    assert!(matches!(waits, Answer::Wait { seconds: 1..=10 }), "{waits:?}");
    // The enrolled device is never delayed by somebody's guesses.
    let again = Client::connect_as(&tracker, anna.key.clone()).await;
    assert!(matches!(again.ask(again.key_request()).await, Answer::SignedIn(_)));
    tracker.stop().await;
}

#[tokio::test]
async fn names_are_unique_by_key_and_by_looks() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (_paul, _) = Client::register(&tracker, "paul 1").await;
    let newcomer = Client::connect(&tracker).await;
    for twin in ["PAUL 1", "pauI 1", "paul l"] {
        assert_eq!(newcomer.refused(newcomer.register_request(twin, None)).await.code, Code::Conflict, "{twin}");
    }
    assert_eq!(newcomer.refused(newcomer.register_request("x", None)).await.code, Code::BadRequest);
    assert!(matches!(newcomer.ask(newcomer.register_request("paula", None)).await, Answer::SignedIn(_)));
    assert_eq!(newcomer.refused(newcomer.register_request("other", None)).await.code, Code::Conflict);
    tracker.stop().await;
}

#[tokio::test]
async fn nothing_but_signing_in_is_open_to_strangers() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let stranger = Client::connect(&tracker).await;
    assert!(matches!(stranger.ask(Request::Hello { program: "test".into() }).await, Answer::Welcome(_)));
    for request in [
        Request::SignOut,
        Request::Renew,
        Request::Announce { addresses: Vec::new() },
        Request::Subscribe,
        Request::Publish { entries: Vec::new() },
        Request::Withdraw { files: Vec::new() },
        Request::Changes { since: 0 },
        Request::List(top()),
        Request::Search { query: "a".into(), offset: 0 },
        Request::Resolve(Reference::Prefix("abcd".into())),
        Request::Locate { files: Vec::new() },
        Request::Members { after: None },
        Request::KeepCopy { files: Vec::new() },
        Request::DropCopy { files: Vec::new() },
        Request::Status,
    ] {
        assert_eq!(stranger.refused(request.clone()).await.code, Code::Unauthenticated, "{request:?}");
    }
    tracker.stop().await;
}

#[tokio::test]
async fn a_shared_file_is_listed_found_and_located() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, signed_in) = Client::register(&tracker, "Anna").await;
    let (ben, ben_in) = Client::register(&tracker, "Ben").await;
    let bytes = content(1, 1000);
    let files =
        anna.publish(vec![entry("Photos/2024/Sünset.JPG", &bytes, None), entry("readme.txt", b"hello", None)]).await;
    assert_eq!((files[0].version, &files[0].visibility, files[0].copy), (1, &Visibility::Public, CopyState::Absent));

    let listed = items(&ben, top()).await;
    let [Item::Folder(photos), Item::File(readme)] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((photos.path.as_str(), photos.files, photos.bytes), ("Photos", 1, 1000));
    assert_eq!(readme.id, files[1].id);
    let inner = items(&ben, List { path: "anna/Photos/2024".into(), ..top() }).await;
    assert!(matches!(&inner[..], [Item::File(file)] if file.id == files[0].id));

    assert_eq!(hits(&ben, "sünset 2024").await, ["Photos/2024/Sünset.JPG"]);
    assert_eq!(hits(&ben, "ANNA re me").await, ["readme.txt"]);
    assert!(hits(&ben, "\"sun\" OR *").await.is_empty());

    let prefix = files[0].id.to_string()[..8].to_owned();
    let references = [
        Reference::File(files[0].id),
        Reference::Prefix(prefix),
        Reference::Path { member: "ANNA".into(), path: "Photos/2024/Sünset.JPG".into() },
    ];
    for reference in references {
        let Answer::Listing { items, .. } = ben.ask(Request::Resolve(reference)).await else { panic!() };
        assert!(matches!(&items[..], [Item::File(file)] if file.id == files[0].id));
    }
    assert_eq!(ben.refused(Request::Resolve(Reference::Prefix("ab".into()))).await.code, Code::BadRequest);

    let located = locate(&ben, vec![files[0].id, FileId([9; 16])]).await;
    assert_eq!(located.peers.len(), 1);
    assert_eq!((located.peers[0].device, located.peers[0].member.as_str()), (anna.device(), "Anna"));
    assert_eq!(located.peers[0].addresses, [anna.endpoint.local_addr().unwrap()]);
    assert!(matches!(&located.files[0], LocatedFile::Found { blob, peers, copy: false, .. }
        if *blob == hash(&bytes) && peers == &[0]));
    assert!(matches!(&located.files[1], LocatedFile::Refused { refusal, .. } if refusal.code == Code::NotFound));
    let now_ms = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let grant = located.grant.check(&signed_in.grant_key, ben_in.device).unwrap();
    let sources = [Source::Device(anna.device()), Source::Device(ben.device()), Source::Copy];
    assert_eq!(sources.map(|source| grant.allows(&hash(&bytes), source)), [true, false, false]);
    assert!(grant.holds_at(now_ms));
    assert_eq!(grant.blobs.len(), 1);
    tracker.stop().await;
}

#[tokio::test]
async fn visibility_holds_on_every_way_to_a_file() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let (ben, _) = Client::register(&tracker, "Ben").await;
    let (eve, _) = Client::register(&tracker, "Eve").await;
    let tablet = Client::connect(&tracker).await;
    assert!(matches!(tablet.ask(tablet.sign_in_request("anna", "correct horse")).await, Answer::SignedIn(_)));
    let secret = Some(Audience::People(vec!["ben".into()]));
    let files = anna
        .publish(vec![
            entry("inner/people.txt", b"people", secret),
            entry("inner/hidden.txt", b"hidden", Some(Audience::Hidden)),
            entry("ask.txt", b"ask", Some(Audience::Ask)),
        ])
        .await;
    let [people, hidden, ask] = [files[0].id, files[1].id, files[2].id];

    let seen = |changes: Changes| -> BTreeSet<FileId> {
        let present = changes.changes.into_iter().filter_map(|change| match change {
            Change::Present(file) => Some(file.id),
            Change::Gone(_) => None,
        });
        present.collect()
    };
    let may_fetch = async |client: &Client| -> Vec<bool> {
        let located = locate(client, vec![people, hidden, ask]).await;
        located.files.iter().map(|file| matches!(file, LocatedFile::Found { .. })).collect()
    };
    assert_eq!(seen(changes(&anna, 0).await), BTreeSet::from([people, ask]));
    assert_eq!(seen(changes(&tablet, 0).await), BTreeSet::from([people, ask]));
    assert_eq!(seen(changes(&ben, 0).await), BTreeSet::from([people, ask]));
    assert_eq!(seen(changes(&eve, 0).await), BTreeSet::from([ask]));
    assert_eq!(may_fetch(&anna).await, [true, true, true]);
    assert_eq!(may_fetch(&ben).await, [true, true, false]);
    assert_eq!(may_fetch(&eve).await, [false, true, false]);
    assert_eq!((hits(&ben, "people").await.len(), hits(&eve, "people").await.len()), (1, 0));
    assert_eq!((hits(&anna, "hidden").await.len(), hits(&tablet, "hidden").await.len()), (0, 0));

    let folder = |listed: Vec<Item>| match listed.first() {
        Some(Item::Folder(folder)) => folder.files,
        _ => 0,
    };
    assert_eq!(folder(items(&ben, top()).await), 1);
    assert_eq!(folder(items(&eve, top()).await), 0);
    let mine = List { mine: true, ..top() };
    assert_eq!(folder(items(&anna, mine.clone()).await), 2);
    assert_eq!(folder(items(&tablet, mine.clone()).await), 1);
    let inner = List { mine: true, path: "inner".into(), ..top() };
    assert_eq!((items(&anna, inner.clone()).await.len(), items(&tablet, inner).await.len()), (2, 1));

    assert_eq!(eve.refused(Request::Inspect { file: people }).await.code, Code::NotFound);
    assert_eq!(
        eve.refused(Request::Resolve(Reference::Prefix(hidden.to_string()[..31].into()))).await.code,
        Code::NotFound
    );
    assert_eq!(inspect(&eve, hidden).await.entry.id, hidden);
    // A second device of the account is not told that the path is taken by something hidden.
    let own = tablet.publish(vec![entry("inner/hidden.txt", b"other", Some(Audience::Hidden))]).await;
    assert_ne!(own[0].id, hidden);

    // To others the list of people is empty.
    assert_eq!(inspect(&ben, people).await.entry.visibility, Visibility::People(Vec::new()));
    assert!(matches!(inspect(&anna, people).await.entry.visibility, Visibility::People(named) if named.len() == 1));
    tracker.stop().await;
}

#[tokio::test]
async fn what_stops_being_visible_goes_from_the_feed_and_running_transfers_are_told() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let (ben, _) = Client::register(&tracker, "Ben").await;
    let mut told = anna.subscribe().await;
    let [file] = &anna.publish(vec![entry("a.txt", b"one", None)]).await[..] else { panic!() };
    let seen = changes(&ben, 0).await;
    assert!(matches!(&seen.changes[..], [Change::Present(present)] if present.id == file.id));

    let [hidden] = &anna.publish(vec![entry("a.txt", b"one", Some(Audience::Hidden))]).await[..] else { panic!() };
    assert_ne!(hidden.id, file.id, "the id that all members knew is not the link of a hidden file");
    assert_eq!(changes(&ben, seen.next).await.changes, [Change::Gone(file.id)]);
    let revoked = told
        .until(|event| match event {
            Event::Revoked { blobs } => Some(blobs.clone()),
            _ => None,
        })
        .await;
    assert_eq!(revoked, [hash(b"one")]);
    assert!(hits(&ben, "a.txt").await.is_empty());

    let next = changes(&ben, seen.next).await.next;
    let [public] = &anna.publish(vec![entry("a.txt", b"two", Some(Audience::Public))]).await[..] else { panic!() };
    assert_eq!((public.id, public.version), (hidden.id, 2));
    assert!(matches!(&changes(&ben, next).await.changes[..], [Change::Present(_)]));
    assert_eq!(count(&anna, Request::Withdraw { files: vec![public.id] }).await, 1);
    assert_eq!(count(&anna, Request::Withdraw { files: vec![public.id] }).await, 0);
    assert!(items(&ben, top()).await.is_empty());
    tracker.stop().await;
}

#[tokio::test]
async fn a_changed_file_becomes_a_version_and_another_device_does_not_overwrite_it() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let tablet = Client::connect(&tracker).await;
    tablet.ask(tablet.sign_in_request("Anna", "correct horse")).await;
    for content in [b"one", b"two", b"two"] {
        anna.publish(vec![entry("a", content, None)]).await;
    }
    let [same] = &tablet.publish(vec![entry("a", b"two", None)]).await[..] else { panic!() };
    assert_eq!(same.version, 2);
    let refusal = tablet.refused(Request::Publish { entries: vec![entry("a", b"mine", None)] }).await;
    assert_eq!(refusal.code, Code::Conflict);
    let detail = inspect(&anna, same.id).await;
    assert_eq!(detail.versions.iter().map(|version| version.blob).collect::<Vec<_>>(), [hash(b"two"), hash(b"one")]);
    let sources = detail.sources.iter().filter(|source| matches!(source, SourceEntry::Device { online: true, .. }));
    assert_eq!(sources.count(), 2, "both devices hold the content");
    tracker.stop().await;
}

#[tokio::test]
async fn presence_follows_closing_and_several_devices() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, anna_in) = Client::register(&tracker, "Anna").await;
    let (ben, _) = Client::register(&tracker, "Ben").await;
    let mut told = ben.subscribe().await;
    let tablet = Client::connect(&tracker).await;
    tablet.ask(tablet.sign_in_request("Anna", "correct horse")).await;
    let devices = |wanted: u32| {
        move |event: &Event| match event {
            Event::Member(member) if member.account == anna_in.account && member.devices == wanted => {
                Some(member.clone())
            }
            _ => None,
        }
    };
    assert_eq!(told.until(devices(2)).await.presence, Presence::Online);
    tablet.connection.close(0u32.into(), b"");
    assert_eq!(told.until(devices(1)).await.presence, Presence::Online);
    anna.connection.close(0u32.into(), b"");
    let gone = told.until(devices(0)).await;
    assert_eq!(gone.presence, Presence::Offline);
    assert!(gone.last_seen_ms.is_some());
    tracker.stop().await;
}

#[tokio::test]
async fn signing_out_ends_the_device_but_not_what_it_shared() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    anna.publish(vec![entry("a", b"one", None)]).await;
    let told = anna.subscribe().await;
    assert_eq!(anna.ask(Request::SignOut).await, Answer::Done);
    told.until_cut().await;
    assert_eq!(anna.refused(Request::Changes { since: 0 }).await.code, Code::Unauthenticated);
    assert_eq!(anna.refused(anna.key_request()).await.code, Code::Unauthenticated);
    assert!(matches!(anna.ask(anna.sign_in_request("anna", "correct horse")).await, Answer::SignedIn(_)));
    assert_eq!(items(&anna, top()).await.len(), 1);
    tracker.stop().await;
}

#[tokio::test]
async fn an_invitation_lets_as_many_in_as_it_says() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start_with(data.path(), |flags| flags.registration = Some("invite".into())).await;
    let code = tracker::code::Code::from_random(tracker::code::Kind::Invitation, [7; 15]);
    {
        use tracker::store::{Invite, SqliteStore, Store as _};
        // As `invite new` does beside a running tracker.
        let store = SqliteStore::open(&data.path().join("tracker.db")).await.unwrap();
        let invite = Invite { hint: "x".into(), uses_left: 1, ends_ms: None };
        store.create_invite(invite, code.hash(), 0).await.unwrap();
        store.close().await;
    }
    let client = Client::connect(&tracker).await;
    assert_eq!(client.refused(client.register_request("Anna", None)).await.code, Code::Forbidden);
    assert_eq!(client.refused(client.register_request("Anna", Some("aaaa-bbbb-cccc"))).await.code, Code::Forbidden);
    assert_eq!(client.refused(client.register_request("x", Some(&code.grouped()))).await.code, Code::BadRequest);
    assert!(matches!(client.ask(client.register_request("Anna", Some(&code.grouped()))).await, Answer::SignedIn(_)));
    let late = Client::connect(&tracker).await;
    assert_eq!(late.refused(late.register_request("Ben", Some(&code.grouped()))).await.code, Code::Forbidden);
    tracker.stop().await;
}

/// Fetches a whole small blob from the tracker.
async fn fetch_copy(client: &Client, grant: SignedGrant, data: &[u8]) -> Result<Vec<u8>, Code> {
    soon(async {
        let (send, mut recv) = client.connection.open_bi().await.unwrap();
        let mut send = Outgoing::new(send);
        frame::send(&mut send, &Request::Fetch, REQUEST_BYTES_MAX).await.unwrap();
        frame::send(&mut send, &FetchFrame::Grant(grant), PEER_FRAME_BYTES_MAX).await.unwrap();
        let want = Want { blob: hash(data), size: data.len() as u64, groups: Vec::new() };
        frame::send(&mut send, &FetchFrame::Want(want), PEER_FRAME_BYTES_MAX).await.unwrap();
        send.finish();
        match frame::receive::<FetchReply>(&mut recv, PEER_FRAME_BYTES_MAX).await.unwrap() {
            FetchReply::Serving => Ok(rest(&mut recv).await),
            FetchReply::Refused(refusal) => Err(refusal.code),
            FetchReply::Queued(_) => panic!("the tracker keeps nobody in line"),
        }
    })
    .await
}

async fn rest(recv: &mut RecvStream) -> Vec<u8> {
    recv.read_to_end(1 << 24).await.unwrap()
}

async fn copy_stored(told: &mut support::Listener) -> FileId {
    told.until(|event| match event {
        Event::CopyStored { file } => Some(*file),
        _ => None,
    })
    .await
}

fn has_object(data: &std::path::Path, blob: BlobHash) -> bool {
    let name = blob.to_string();
    data.join("blobs").join(&name[..2]).join(name).exists()
}

#[tokio::test]
async fn a_copy_is_fetched_from_the_owner_served_to_others_and_gone_when_unshared() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let (ben, _) = Client::register(&tracker, "Ben").await;
    let bytes = content(3, 10_000);
    let large = content(4, 300_000);
    let shelf = anna.serve_to_tracker(vec![bytes.clone(), large.clone()]);
    let mut told = anna.subscribe().await;
    let files = anna.publish(vec![entry("small", &bytes, None), entry("large", &large, None)]).await;
    let ids = vec![files[0].id, files[1].id];
    assert_eq!(count(&anna, Request::KeepCopy { files: ids.clone() }).await, 2);
    let stored = BTreeSet::from([copy_stored(&mut told).await, copy_stored(&mut told).await]);
    assert_eq!(stored, ids.iter().copied().collect());
    assert_eq!(count(&anna, Request::KeepCopy { files: ids[..1].to_vec() }).await, 1);
    assert_eq!(copy_stored(&mut told).await, ids[0], "a copy that is there already is told at once");

    // The owner goes away; the copy is there.
    anna.connection.close(0u32.into(), b"");
    shelf.await.unwrap();
    let located = locate(&ben, ids.clone()).await;
    assert!(located.files.iter().all(|file| matches!(file, LocatedFile::Found { copy: true, .. })));
    assert_eq!(fetch_copy(&ben, located.grant.clone(), &bytes).await.unwrap(), bytes);
    let served = fetch_copy(&ben, located.grant.clone(), &large).await.unwrap();
    let layout = Layout::new(large.len() as u64).unwrap();
    assert_eq!(served.len() as u64, layout.size() + layout.tree_bytes());
    assert_eq!(fetch_copy(&ben, located.grant.clone(), b"else").await, Err(Code::Forbidden));
    let (eve, _) = Client::register(&tracker, "Eve").await;
    assert_eq!(fetch_copy(&eve, located.grant.clone(), &bytes).await, Err(Code::Forbidden), "a stolen grant");

    let anna = Client::connect_as(&tracker, anna.key.clone()).await;
    anna.ask(anna.key_request()).await;
    assert_eq!(count(&anna, Request::Withdraw { files: ids[..1].to_vec() }).await, 1);
    assert_eq!(fetch_copy(&ben, located.grant.clone(), &bytes).await, Err(Code::NotFound));
    assert_eq!(count(&anna, Request::DropCopy { files: ids[1..].to_vec() }).await, 1);
    assert_eq!(inspect(&anna, ids[1]).await.entry.copy, CopyState::Absent);
    tracker.stop().await;
    // What could not be deleted before the stop is deleted at the next start.
    let tracker = Tracker::start(data.path()).await;
    let anna = Client::connect_as(&tracker, anna.key.clone()).await;
    anna.ask(anna.key_request()).await;
    let Answer::Status(status) = anna.ask(Request::Status).await else { panic!() };
    assert_eq!((status.copies, status.members), (0, 3));
    tracker.stop().await;
}

#[tokio::test]
async fn a_copy_wanted_while_its_owner_is_away_survives_a_restart_and_comes_with_the_owner() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    let bytes = content(5, 50_000);
    let [file] = &anna.publish(vec![entry("a", &bytes, None)]).await[..] else { panic!() };
    let tablet = Client::connect(&tracker).await;
    tablet.ask(tablet.sign_in_request("Anna", "correct horse")).await;
    anna.connection.close(0u32.into(), b"");
    assert_eq!(count(&tablet, Request::KeepCopy { files: vec![file.id] }).await, 1);
    assert_eq!(inspect(&tablet, file.id).await.entry.copy, CopyState::Pending);
    tracker.stop().await;

    let tracker = Tracker::start(data.path()).await;
    let anna = Client::connect_as(&tracker, anna.key.clone()).await;
    anna.serve_to_tracker(vec![bytes.clone()]);
    anna.ask(anna.key_request()).await;
    let mut told = anna.subscribe().await;
    if inspect(&anna, file.id).await.entry.copy != CopyState::Stored {
        assert_eq!(copy_stored(&mut told).await, file.id);
    }
    assert!(has_object(data.path(), hash(&bytes)));
    assert_eq!(std::fs::read_dir(data.path().join("incoming")).unwrap().count(), 0);
    tracker.stop().await;
}

#[tokio::test]
async fn an_owner_who_does_not_deliver_is_told_that_the_copy_failed() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, _) = Client::register(&tracker, "Anna").await;
    anna.serve_to_tracker(Vec::new());
    let mut told = anna.subscribe().await;
    let [file] = &anna.publish(vec![entry("a", b"never seen", None)]).await[..] else { panic!() };
    count(&anna, Request::KeepCopy { files: vec![file.id] }).await;
    let (failed, refusal) = told
        .until(|event| match event {
            Event::CopyFailed { file, refusal } => Some((*file, refusal.clone())),
            _ => None,
        })
        .await;
    assert_eq!((failed, refusal.code), (file.id, Code::NotFound));
    assert_eq!(inspect(&anna, file.id).await.entry.copy, CopyState::Absent);
    tracker.stop().await;
}

#[tokio::test]
async fn everything_survives_a_restart() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let (anna, before) = Client::register(&tracker, "Anna").await;
    let files: Vec<FileEntry> = anna.publish(vec![entry("a/b", b"one", None), entry("c", b"two", None)]).await;
    let link = tracker.ready.link.clone();
    let next = changes(&anna, 0).await.next;
    tracker.stop().await;

    let tracker = Tracker::start(data.path()).await;
    assert_eq!(link.rsplit_once('#').unwrap().1, tracker.ready.link.rsplit_once('#').unwrap().1);
    let anna = Client::connect_as(&tracker, anna.key.clone()).await;
    let Answer::SignedIn(after) = anna.ask(anna.key_request()).await else { panic!() };
    assert_eq!((after.account, after.grant_key), (before.account, before.grant_key));
    assert_eq!(changes(&anna, next).await.changes, []);
    assert_eq!(changes(&anna, 0).await.changes, files.into_iter().map(Change::Present).collect::<Vec<_>>());
    let Answer::Members { members, .. } = anna.ask(Request::Members { after: None }).await else { panic!() };
    assert!(members[0].last_seen_ms.is_some(), "the stop wrote down who was there");
    tracker.stop().await;
}

#[tokio::test]
async fn a_second_tracker_does_not_start_in_the_same_folder() {
    let data = tempdir().unwrap();
    let tracker = Tracker::start(data.path()).await;
    let flags = tracker::ServeArgs {
        data: Some(data.path().into()),
        listen: Some("127.0.0.1:0".into()),
        ..tracker::ServeArgs::default()
    };
    let second = tracker::run(tracker::Config::load(&flags).unwrap(), |_| {}, std::future::pending()).await;
    assert!(matches!(second, Err(tracker::StartError::AlreadyRunning(_))));
    tracker.stop().await;
}
