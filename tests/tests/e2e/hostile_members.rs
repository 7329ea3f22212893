//! A member who signed in well and means harm: grants that are forged, replayed or bent, other people's ids in every
//! request, floods, and text that is made to deceive. Each is refused with its code, and nobody else notices.

use std::net::SocketAddr;

use quinn::Connection;
use shared::{
    id::{AccountId, BlobHash, DeviceId, FileId, FolderId, ItemId, MessageId, ParcelId},
    inbox::Act,
    limits,
    wire::{
        Code,
        grant::{Grant, SignedGrant},
        inbox::{InboxAnswer, InboxRequest, ItemEntry, PackEntry, Receiver, What},
        message::{Header, MessageAnswer, MessageRequest, Seal, Sending, key_statement},
        peer::{FetchFrame, FetchReply, Open, Want},
        people::PeopleRequest,
        reach::Attempt,
        tracker::{
            Answer, Audience, List, LocatedFile, NewDevice, Password, PublishEntry, Reference, Register, Request,
        },
    },
};
use tests::{
    Member, PATIENCE, corpus,
    member::{PASSWORD, number, text},
    source::Blob,
    wire::{Link, Puppet, ask, read_frame, write_frame},
};

use crate::{get::Pair, hostile_peers::block_on};

#[test]
fn a_grant_opens_nothing_for_another_device_for_another_content_or_with_another_byte() {
    let pair = Pair::start();
    let original = pair.alice.write("for carol.bin", corpus::bytes(71, 50_000));
    let other = pair.alice.write("for bob.bin", corpus::bytes(72, 50_000));
    let link = Link::parse(&pair.tracker.link).unwrap();
    let (device, address) = device_of(&pair.alice);
    block_on(async {
        let carol = Puppet::register(&link, "carol").await.unwrap();
        let mallory = Puppet::register(&link, "mallory").await.unwrap();
        let share = |path: &std::path::Path, to: &str| {
            pair.alice.run(&["share", path.to_str().unwrap(), "--to", to]).ok().one("file")
        };
        let (hers, bobs) = tokio::task::block_in_place(|| (share(&original, "carol"), share(&other, "bob")));
        let file: FileId = text(&hers, "id").parse().unwrap();
        let [blob, foreign] = [&hers, &bobs].map(|record| text(record, "hash").parse::<BlobHash>().unwrap());
        let grant = granted(&carol, file).await;

        // It is good for what it says.
        let to_alice = carol.dial(address, device).await.unwrap();
        assert_eq!(fetch(&to_alice, &grant, blob).await, Ok(()));
        // Not for what it does not say.
        assert_eq!(fetch(&to_alice, &grant, foreign).await, Err(Some(Code::Forbidden)));

        // A wire-tapper, or a member who was told it by another one, has nothing in hand.
        let from_mallory = mallory.dial(address, device).await.unwrap();
        assert_eq!(fetch(&from_mallory, &grant, blob).await, Err(Some(Code::Forbidden)), "replayed");
        let read: Grant = shared::wire::codec::decode(&grant.body).unwrap();
        let wished = Grant { device: mallory.signed_in.device, ..read.clone() };
        let self_signed = wished.sign(|bytes| mallory.sign(bytes));
        assert_eq!(fetch(&from_mallory, &self_signed, blob).await, Err(Some(Code::Forbidden)), "signed by a member");
        let bent = SignedGrant { signature: grant.signature.clone(), ..self_signed };
        assert_eq!(
            fetch(&from_mallory, &bent, blob).await,
            Err(Some(Code::Forbidden)),
            "another body, a good signature"
        );
        let longer = Grant { expires_ms: read.expires_ms + 3_600_000, ..read.clone() };
        let longer = SignedGrant { signature: grant.signature.clone(), ..longer.sign(|_| [0; 64]) };
        assert_eq!(fetch(&to_alice, &longer, blob).await, Err(Some(Code::Forbidden)), "made to last longer");
        for place in [0, grant.body.len() / 2, grant.body.len() - 1] {
            let mut flipped = grant.clone();
            flipped.body[place] ^= 1;
            assert_eq!(fetch(&to_alice, &flipped, blob).await, Err(Some(Code::Forbidden)), "byte {place} is another");
        }
        // The tracker, who has a copy of nothing here, is asked in the same ways.
        for (who, grant) in [(&mallory, &grant), (&mallory, &bent), (&carol, &longer)] {
            assert_ne!(fetch_from_tracker(&who.tracker, grant, blob).await, Ok(()));
        }
        // What the tracker gives to nobody else it gives to nobody else.
        let refused = refusal(ask(&mallory.tracker, &Request::Locate { files: vec![file] }).await.unwrap());
        assert_eq!(refused, Some(Code::NotFound));
        assert_eq!(fetch(&to_alice, &grant, blob).await, Ok(()), "and the one it was given to goes on");
    });
    assert_unharmed(&pair);
}

#[test]
fn other_peoples_ids_are_refused_in_every_request_and_change_nothing() {
    let pair = Pair::start();
    let (alice, bob) = (&pair.alice, &pair.bob);
    let link = Link::parse(&pair.tracker.link).unwrap();
    let open = alice.share(&[&alice.write("open.bin", corpus::bytes(73, 5000))], &[]);
    let private = alice.share(&[&alice.write("private.bin", corpus::bytes(74, 5000))], &["--to", "bob"]);
    let asked = alice.share(&[&alice.write("asked.bin", corpus::bytes(75, 5000))], &["--visibility", "ask"]);
    alice.write("closed/inside.bin", corpus::bytes(76, 5000));
    let folder = alice.share(&[&alice.desk().join("closed")], &["--to", "bob"]);
    let request = text(&bob.run(&["request", &asked]).ok().one("item"), "id");
    let offered = alice.write("offered.bin", corpus::bytes(77, 5000));
    let message = text(&alice.run(&["chat", "send", "bob", "between us"]).ok().one("message"), "id");
    let (device, _address) = device_of(alice);
    let offer = block_on(async {
        let mallory = Puppet::register(&link, "mallory").await.unwrap();
        let carol = Puppet::register(&link, "carol").await.unwrap();
        let tracker = &mallory.tracker;
        let accounts = accounts(tracker).await;
        let (offer, before) = tokio::task::block_in_place(|| {
            let offers = alice.run(&["offer", offered.to_str().unwrap(), "bob", "carol"]).ok().records();
            let to_bob = offers.iter().find(|offer| offer["to"] == "bob").expect("it is offered to bob");
            (text(to_bob, "id"), state(&pair))
        });
        let account = |name: &str| accounts.iter().find(|(known, _)| known == name).unwrap().1;
        let file = |id: &str| id.parse::<FileId>().unwrap();
        let folder: FolderId = folder.parse().unwrap();
        let items = [&request, &offer].map(|id| id.parse::<ItemId>().unwrap());

        // What is not hers to see is not there; what she sees and does not own is not touched.
        let unseen = [Code::NotFound].as_slice();
        for (request, codes) in [
            (Request::Inspect { file: file(&private) }, unseen),
            (Request::Resolve(Reference::File(file(&private))), unseen),
            (Request::Resolve(Reference::Folder(folder)), unseen),
            (Request::Resolve(Reference::Prefix(private[..12].to_owned())), unseen),
            (Request::Resolve(Reference::Path { member: "alice".into(), path: "private.bin".into() }), unseen),
            (Request::FolderFiles { folder, after: None }, unseen),
            (
                Request::List(List { member: Some("alice".into()), mine: false, path: "closed".into(), after: None }),
                unseen,
            ),
            (Request::Locate { files: vec![file(&private)] }, unseen),
            (Request::Locate { files: vec![file(&asked)] }, &[Code::Forbidden]),
            (Request::Withdraw { files: vec![file(&open), file(&private)] }, &[Code::Forbidden, Code::NotFound]),
            (Request::KeepCopy { files: vec![file(&open), file(&private)] }, &[Code::Forbidden, Code::NotFound]),
            (Request::DropCopy { files: vec![file(&open), file(&private)] }, &[Code::Forbidden, Code::NotFound]),
            (Request::Vanish { files: vec![file(&open), file(&private)] }, &[Code::Forbidden, Code::NotFound]),
            (Request::RevokeDevices { devices: vec![device] }, &[Code::NotFound, Code::Forbidden]),
            (Request::Hold { files: vec![file(&private)] }, &[Code::NotFound, Code::Forbidden]),
            (Request::Invite { uses: 1, ends_ms: None }, &[Code::Forbidden]),
            (Request::Invites, &[Code::Forbidden]),
            (Request::RevokeInvite { code: "AAAA".into() }, &[Code::Forbidden]),
        ] {
            refused(tracker, request, codes).await;
        }

        // Nobody acts on, reads or answers what is between two others.
        for item in items {
            for act in [Act::Accept, Act::Decline, Act::Cancel, Act::Fulfil] {
                let act = InboxRequest::Act { item, act, always: true, with: None, word: "it was me".into() };
                refused(tracker, Request::Inbox(act), unseen).await;
            }
            refused(tracker, Request::Inbox(InboxRequest::Files { item, after: None }), unseen).await;
            refused(tracker, Request::Inbox(InboxRequest::LeaveCopy { item }), unseen).await;
            // An id that is taken does not become hers by beginning it anew.
            let taken = InboxRequest::WantText { item, of: Some("bob".into()), text: "mine now".into(), life_s: None };
            refused(tracker, Request::Inbox(taken), &[Code::Conflict, Code::NotFound]).await;
        }
        let private_want =
            InboxRequest::WantFile { item: ItemId([7; 16]), file: file(&private), text: String::new(), life_s: None };
        refused(tracker, Request::Inbox(private_want), unseen).await;
        // Carol was offered the same and passes on what she was told.
        let parcel = inbox(&carol.tracker).await.iter().find_map(|item| match item.what {
            What::Offer { parcel, .. } => Some(parcel),
            What::Request { .. } | What::Channel => None,
        });
        let parcel = parcel.expect("carol has an offer");
        let entry = PackEntry {
            path: "slipped in.bin".into(),
            blob: BlobHash([8; 32]),
            size: 1,
            modified_ms: 0,
            executable: false,
        };
        let pack = InboxRequest::Pack { parcel, entries: vec![entry] };
        refused(tracker, Request::Inbox(pack), &[Code::Conflict, Code::NotFound, Code::Forbidden]).await;
        let to = vec![Receiver { item: ItemId([9; 16]), name: "bob".into() }];
        let again = InboxRequest::Offer { parcel, name: "offered.bin".into(), to, text: String::new(), life_s: None };
        refused(tracker, Request::Inbox(again), &[Code::Conflict, Code::NotFound, Code::Forbidden]).await;

        // Nobody speaks in another's name, or takes away what waits for another.
        let id: MessageId = message.parse().unwrap();
        for forged in [
            Header { id: MessageId([5; 16]), from: account("alice"), device, to: Some(account("bob")), written_ms: 0 },
            Header {
                id: MessageId([5; 16]),
                from: account("alice"),
                device: mallory.signed_in.device,
                to: Some(account("bob")),
                written_ms: 0,
            },
            Header {
                id: MessageId([5; 16]),
                from: mallory.signed_in.account,
                device,
                to: Some(account("bob")),
                written_ms: 0,
            },
        ] {
            let send = MessageRequest::Send(sending(&mallory, forged));
            refused(tracker, Request::Message(send), &[Code::BadRequest]).await;
        }
        let acknowledged = ask(tracker, &Request::Message(MessageRequest::Acknowledge { messages: vec![id] })).await;
        assert!(matches!(acknowledged, Ok(Answer::Message(MessageAnswer::Done))), "{acknowledged:?}");
        let delivered = ask(tracker, &Request::Message(MessageRequest::Delivered { messages: vec![id] })).await;
        assert!(
            matches!(&delivered, Ok(Answer::Message(MessageAnswer::Delivered { messages })) if messages.is_empty()),
            "{delivered:?}"
        );
        let theirs = MessageRequest::PublishKey { key: [3; 32], proof: vec![1; 64] };
        refused(tracker, Request::Message(theirs), &[Code::BadRequest]).await;
        let signed_otherwise =
            MessageRequest::PublishKey { key: [3; 32], proof: mallory.sign(&key_statement(&[4; 32])).to_vec() };
        refused(tracker, Request::Message(signed_otherwise), &[Code::BadRequest]).await;
        assert_eq!(inbox(tracker).await, [], "nothing of it was ever hers to see");
        let mine = Request::List(List { member: None, mine: true, path: String::new(), after: None });
        assert!(matches!(ask(tracker, &mine).await, Ok(Answer::Listing { items, .. }) if items.is_empty()));
        let after = tokio::task::block_in_place(|| state(&pair));
        assert_eq!(after, before, "what was between the others is as it was");
        offer
    });
    assert_eq!(text(&bob.run(&["chat", "read", "alice"]).ok().one("message"), "text"), "between us");
    bob.run(&["inbox", "accept", &offer]).ok();
    assert_unharmed(&pair);
}

#[test]
fn floods_of_every_kind_meet_their_limit_and_nobody_else_notices() {
    let pair = Pair::start();
    let link = Link::parse(&pair.tracker.link).unwrap();
    let asked = pair.alice.share(&[&pair.alice.write("asked.bin", corpus::bytes(78, 500))], &["--visibility", "ask"]);
    block_on(async {
        let mallory = Puppet::register(&link, "mallory").await.unwrap();
        let tracker = &mallory.tracker;
        let bob = accounts(tracker).await.into_iter().find(|(name, _)| name == "bob").unwrap().1;
        let item = |kind: u8, number: usize| {
            let mut id = [kind; 16];
            id[..8].copy_from_slice(&(number as u64).to_le_bytes());
            id
        };
        // The board reaches everyone, so it bears the least.
        let board = |number| InboxRequest::WantText {
            item: ItemId(item(1, number)),
            of: None,
            text: format!("free money {number}"),
            life_s: None,
        };
        assert_eq!(
            flood(tracker, limits::BOARD_PER_SPAN_MAX + 1, |n| Request::Inbox(board(n))).await,
            Code::RateLimited
        );
        let words = |number| InboxRequest::WantText {
            item: ItemId(item(2, number)),
            of: Some("bob".into()),
            text: format!("answer me {number}"),
            life_s: None,
        };
        let code = flood(tracker, limits::ITEMS_PER_SPAN_MAX + 1, |n| Request::Inbox(words(n))).await;
        assert!([Code::RateLimited, Code::TooLarge].contains(&code), "{code:?}");
        // Then nothing else that begins something passes either.
        let file = asked.parse().unwrap();
        let want = InboxRequest::WantFile { item: ItemId(item(3, 0)), file, text: String::new(), life_s: None };
        refused(tracker, Request::Inbox(want), &[Code::RateLimited, Code::TooLarge]).await;

        let mut told_to_wait = false;
        for number in 0..=limits::MESSAGE_BURST as usize {
            let header = Header {
                id: MessageId(item(4, number)),
                from: mallory.signed_in.account,
                device: mallory.signed_in.device,
                to: Some(bob),
                written_ms: 0,
            };
            let request = Request::Message(MessageRequest::Send(sending(&mallory, header)));
            if let Ok(Answer::Message(MessageAnswer::TooMany { wait_ms })) = ask(tracker, &request).await {
                told_to_wait = wait_ms > 0;
            }
        }
        assert!(told_to_wait, "messages have no limit");

        // Introductions aim one member's packets at another: of a pair there are a few.
        let (device, _) = tokio::task::block_in_place(|| device_of(&pair.alice));
        let attempt = Attempt::First;
        let times = limits::INTRODUCTIONS_OF_PAIR_MAX as usize + 1;
        let code = flood(tracker, times, |_| Request::Introduce { device, attempt }).await;
        assert!([Code::RateLimited, Code::Unavailable, Code::Forbidden].contains(&code), "{code:?}");

        // What has no limit of its own is only work for the one who asks: it comes in line.
        for number in 0..300 {
            let request = match number % 4 {
                0 => Request::Search { query: "bin".into(), offset: 0 },
                1 => Request::People(PeopleRequest::Attend { here: number % 8 == 1 }),
                2 => Request::People(PeopleRequest::Block { member: "bob".into() }),
                _ => Request::People(PeopleRequest::Unblock { member: "bob".into() }),
            };
            let answer = ask(tracker, &request).await.unwrap();
            assert_eq!(refusal(answer), None, "{request:?}");
        }
        // Invented members are not told from the others by the wait.
        let many = |number: usize| Request::People(PeopleRequest::Block { member: format!("nobody {number}") });
        assert_eq!(flood(tracker, 2, many).await, Code::NotFound);
        tokio::task::block_in_place(|| assert_unharmed(&pair));
    });
    // Bob can stop it by himself, all of it at once.
    let open = |records: Vec<serde_json::Value>| records.iter().filter(|item| item["from"] == "mallory").count();
    assert!(open(pair.bob.run(&["inbox", "ls"]).ok().records()) > 0);
    pair.bob.run(&["block", "mallory"]).ok();
    assert_eq!(open(pair.bob.run(&["inbox", "ls"]).ok().records()), 0);
    assert_unharmed(&pair);
}

#[test]
fn text_that_is_too_long_or_made_to_deceive_is_refused_or_shown_as_what_it_is() {
    let pair = Pair::start();
    let link = Link::parse(&pair.tracker.link).unwrap();
    let long = "n".repeat(10_000);
    let asked = pair.alice.share(&[&pair.alice.write("asked.bin", corpus::bytes(79, 500))], &["--visibility", "ask"]);
    block_on(async {
        let mallory = Puppet::register(&link, "mallory").await.unwrap();
        let tracker = &mallory.tracker;
        let bad = [Code::BadRequest, Code::TooLarge].as_slice();
        // Names of accounts: too long, with controls, direction marks, invisible letters, or another's look.
        let visitor = tests::wire::dial_tracker(&mallory.endpoint, &link).await.unwrap();
        let hello = Request::Hello { program: long.clone() };
        let welcomed = ask(&visitor, &hello).await;
        assert!(matches!(welcomed, Ok(Answer::Welcome(_) | Answer::Refused(_))), "{welcomed:?}");
        for name in [
            long.as_str(),
            "a",
            "bell\u{7}",
            "esc\u{1b}[31m",
            "two\nlines",
            "\u{202e}ecila",
            "al\u{200b}ice",
            "al\u{ad}ice",
            "\u{2066}alice\u{2069}",
            "\u{430}lice",
            "al\u{131}ce\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
            "ali\u{441}e",
        ] {
            let device = NewDevice { key: [1; 32], proof: vec![0; 64], label: "x".into() };
            let register =
                Register { name: name.into(), password: Password(PASSWORD.into()), email: None, invite: None, device };
            let answer = ask(&visitor, &Request::Register(register)).await.unwrap();
            let code = refusal(answer).unwrap_or_else(|| panic!("{name:?} was registered"));
            assert!(bad.contains(&code) || code == Code::Conflict, "{name:?}: {code:?}");
        }
        // Names of members in requests that name one: unknown, whatever they are.
        for name in [long.as_str(), "\u{202e}ecila", "esc\u{1b}[31m", "\u{430}lice"] {
            let item = ItemId([1; 16]);
            for request in [
                Request::People(PeopleRequest::Block { member: name.into() }),
                Request::Inbox(InboxRequest::Approve { member: name.into(), always: true }),
                Request::Inbox(InboxRequest::WantText { item, of: Some(name.into()), text: "x".into(), life_s: None }),
                Request::List(List { member: Some(name.into()), mine: false, path: String::new(), after: None }),
                Request::Resolve(Reference::Path { member: name.into(), path: "x".into() }),
            ] {
                refused(tracker, request, &[Code::BadRequest, Code::TooLarge, Code::NotFound]).await;
            }
        }
        // Texts beyond their bound.
        let entry = |path: &str| Blob::new(b"bytes".to_vec()).entry(path);
        let item = ItemId([2; 16]);
        let file: FileId = asked.parse().unwrap();
        for request in [
            Request::Publish { entries: vec![entry(&long)] },
            Request::Publish { entries: vec![PublishEntry { note: Some(long.clone()), ..entry("noted") }] },
            Request::Publish {
                entries: vec![PublishEntry { audience: Some(Audience::People(vec![long.clone()])), ..entry("people") }],
            },
            Request::Search { query: long.clone(), offset: 0 },
            Request::Inbox(InboxRequest::WantText { item, of: None, text: long.clone(), life_s: None }),
            Request::Inbox(InboxRequest::WantFile { item, file, text: long.clone(), life_s: None }),
            Request::Inbox(InboxRequest::Offer {
                parcel: ParcelId([3; 16]),
                name: long.clone(),
                to: vec![Receiver { item, name: "bob".into() }],
                text: String::new(),
                life_s: None,
            }),
            Request::Inbox(InboxRequest::Offer {
                parcel: ParcelId([3; 16]),
                name: "../up".into(),
                to: vec![Receiver { item, name: "bob".into() }],
                text: String::new(),
                life_s: None,
            }),
            Request::ChangeEmail { password: Password(PASSWORD.into()), email: Some(long.clone()) },
            Request::ChangePassword { old: Password(PASSWORD.into()), new: Password("p".repeat(100_000)) },
        ] {
            refused(tracker, request, &[Code::BadRequest, Code::TooLarge, Code::NotFound]).await;
        }
        // What may be said may deceive, too: it arrives, and is shown as what it is.
        let trap = "\u{1b}]0;owned\u{7}\u{202e}gpj.exe\u{200b}\u{9b}31m\nsecond line";
        let words = InboxRequest::WantText { item, of: Some("bob".into()), text: trap.into(), life_s: None };
        assert_eq!(refusal(ask(tracker, &Request::Inbox(words)).await.unwrap()), None);
        let note = Request::Publish {
            entries: vec![PublishEntry { note: Some(trap.into()), ..entry("photo\u{202e}gpj.exe") }],
        };
        assert_eq!(refusal(ask(tracker, &note).await.unwrap()), None);
    });
    let waiting = pair.bob.run(&["inbox", "ls"]).ok().records();
    let item = waiting.iter().find(|item| item["from"] == "mallory").expect("the request is there");
    let id = text(item, "id");
    for command in [
        vec!["inbox"],
        vec!["inbox", "show", &id],
        vec!["ls"],
        vec!["ls", "mallory"],
        vec!["search", "photo"],
        vec!["members"],
        vec!["inbox", "decline", &id],
    ] {
        let output = pair.bob.run_plain(&command);
        for (stream, text) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            let dangerous = |c: &char| {
                (c.is_control() && !['\n', '\t'].contains(c)) || ['\u{202e}', '\u{200b}', '\u{9b}'].contains(c)
            };
            assert_eq!(text.chars().find(dangerous), None, "on {stream} of {output}");
        }
    }
    assert_unharmed(&pair);
}

/// The device of a member's engine, and where it is.
pub(crate) fn device_of(member: &Member) -> (DeviceId, SocketAddr) {
    let device = text(&member.run(&["whoami"]).ok().one("account"), "device").parse().unwrap();
    let port = number(&member.run(&["status"]).ok().one("status"), "port");
    (device, SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap())))
}

/// What the tracker and Alice's engine hold of the things between Alice and Bob, without what counts up by itself.
fn state(pair: &Pair) -> Vec<String> {
    let mut state = Vec::new();
    for (member, arguments) in [
        (&pair.alice, &["ls", "--mine"][..]),
        (&pair.bob, &["ls", "alice"]),
        (&pair.alice, &["inbox", "ls", "--all"]),
        (&pair.bob, &["inbox", "ls", "--all"]),
        (&pair.alice, &["inbox", "rule", "ls"]),
    ] {
        state.extend(member.run(arguments).ok().stdout.lines().map(str::to_owned));
    }
    for device in pair.alice.run(&["devices"]).ok().records() {
        state.push(text(&device, "id"));
    }
    state
}

async fn inbox(tracker: &Connection) -> Vec<ItemEntry> {
    match ask(tracker, &Request::Inbox(InboxRequest::Changes { since: 0 })).await {
        Ok(Answer::Inbox(InboxAnswer::Changes { items, .. })) => items,
        other => panic!("no inbox: {other:?}"),
    }
}

async fn accounts(tracker: &Connection) -> Vec<(String, AccountId)> {
    match ask(tracker, &Request::Members { after: None }).await {
        Ok(Answer::Members { members, .. }) => members.into_iter().map(|entry| (entry.name, entry.account)).collect(),
        other => panic!("no members: {other:?}"),
    }
}

/// A message as the wire wants it, whose text nobody will be able to open.
fn sending(puppet: &Puppet, header: Header) -> Sending {
    let body = vec![7; 300];
    let signature = puppet.sign(&header.statement(&body)).to_vec();
    let seals = vec![Seal { device: DeviceId([1; 16]), sealed: vec![0; limits::MESSAGE_SEAL_BYTES] }];
    Sending { header, body, signature, seals, last: true }
}

/// A grant for a file that this puppet may fetch.
pub(crate) async fn granted(puppet: &Puppet, file: FileId) -> SignedGrant {
    match ask(&puppet.tracker, &Request::Locate { files: vec![file] }).await {
        Ok(Answer::Located(located)) => {
            assert!(located.files[0].found().is_ok(), "{located:?}");
            located.grant
        }
        other => panic!("not located: {other:?}"),
    }
}

/// Asks a device for a blob. The error is the code of the refusal, where one was told before the stream ended.
pub(crate) async fn fetch(member: &Connection, grant: &SignedGrant, blob: BlobHash) -> Result<(), Option<Code>> {
    let (mut send, recv) = member.open_bi().await.map_err(|_| None)?;
    let opened = write_frame(&mut send, &Open::Fetch).await;
    assert!(opened.is_ok(), "{opened:?}");
    answered(send, recv, grant, blob).await
}

/// The same of the tracker's copy.
pub(crate) async fn fetch_from_tracker(
    tracker: &Connection,
    grant: &SignedGrant,
    blob: BlobHash,
) -> Result<(), Option<Code>> {
    let (mut send, recv) = tracker.open_bi().await.map_err(|_| None)?;
    let opened = write_frame(&mut send, &Request::Fetch).await;
    assert!(opened.is_ok(), "{opened:?}");
    answered(send, recv, grant, blob).await
}

async fn answered(
    mut send: quinn::SendStream,
    mut recv: quinn::RecvStream,
    grant: &SignedGrant,
    blob: BlobHash,
) -> Result<(), Option<Code>> {
    // Whoever refuses the grant may cut the stream before the want.
    let _cut_off = write_frame(&mut send, &FetchFrame::Grant(grant.clone())).await;
    let _cut_off = write_frame(&mut send, &FetchFrame::Want(Want { blob, size: 50_000, groups: vec![] })).await;
    let _cut_off = send.finish();
    let reply = tokio::time::timeout(PATIENCE, read_frame(&mut recv, limits::PEER_FRAME_BYTES_MAX)).await;
    match reply.expect("an answer or an end comes") {
        Ok(FetchReply::Serving) => Ok(()),
        Ok(FetchReply::Refused(refusal)) => Err(Some(refusal.code)),
        Ok(FetchReply::Queued(_)) => panic!("nothing else is served"),
        // A reset carries the code as its number.
        Err(error) => Err(reset_code(&error)),
    }
}

fn reset_code(error: &anyhow::Error) -> Option<Code> {
    let read = error.downcast_ref::<quinn::ReadExactError>()?;
    match read {
        quinn::ReadExactError::ReadError(quinn::ReadError::Reset(code)) => Code::from_number(code.into_inner()),
        quinn::ReadExactError::ReadError(_) | quinn::ReadExactError::FinishedEarly(_) => None,
    }
}

/// The code with which the tracker refused, all of it or the only file in question.
fn refusal(answer: Answer) -> Option<Code> {
    match answer {
        Answer::Refused(refusal) => Some(refusal.code),
        Answer::Located(located) => match located.files.first() {
            Some(LocatedFile::Refused { refusal, .. }) => Some(refusal.code),
            _ => None,
        },
        // An empty page says as much as "not found".
        Answer::Listing { items, .. } if items.is_empty() => Some(Code::NotFound),
        // Nothing of it was done.
        Answer::Count(0) => Some(Code::NotFound),
        Answer::Kept { files } if files.is_empty() => Some(Code::NotFound),
        _ => None,
    }
}

async fn refused(tracker: &Connection, request: Request, codes: &[Code]) {
    let answer = ask(tracker, &request).await.unwrap_or_else(|error| panic!("{request:?}: {error}"));
    let said = format!("{answer:?}");
    let code = refusal(answer).unwrap_or_else(|| panic!("{request:?} got {said}"));
    assert!(codes.contains(&code), "{request:?} got {said}");
}

/// Sends the same kind of request again and again, and returns the code of the last refusal.
async fn flood(tracker: &Connection, times: usize, request: impl Fn(usize) -> Request) -> Code {
    let mut last = None;
    for number in 0..times {
        let answer =
            ask(tracker, &request(number)).await.unwrap_or_else(|error| panic!("the tracker is gone: {error}"));
        last = refusal(answer).or(last);
    }
    last.unwrap_or_else(|| panic!("{times} of {:?} were let through", request(0)))
}

/// Bob still gets what Alice shares.
fn assert_unharmed(pair: &Pair) {
    assert!(pair.tracker.process().alive() && pair.engine.as_ref().unwrap().process().alive(), "one has died");
    let seed = rand::random();
    let original = pair.alice.write(&format!("still {seed}.bin"), corpus::bytes(seed, 100_000));
    let id = pair.alice.share(&[&original], &[]);
    let transfer = pair.get(&id);
    pair.assert_got(&transfer, &original);
}
