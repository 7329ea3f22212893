//! Rows for tests: the members, files and transfers of the mock-ups.

use std::path::PathBuf;

use shared::{
    id::{AccountId, BlobHash, DeviceId, FileId},
    wire::tracker::CopyState,
};

use crate::engine::api::{
    Account, Act, Direction, FileRow, ItemKind, ItemRow, ItemState, LogLine, MemberRow, MemberStatus, MessageRow,
    MessageState, OfferedRow, PathKind, Priority, RoomName, RoomRow, ShareRow, ShareState, SourceKind, TransferRow,
    TransferSource, TransferState,
};

/// 3 October 2026, 14:07 UTC.
pub(crate) const NOW: i64 = 1_791_036_420_000;
const DAY: i64 = 86_400_000;

pub(crate) fn file_id(n: u8) -> FileId {
    FileId([n; 16])
}

pub(crate) fn file(n: u8, owner: &str, path: &str, size: u64) -> FileRow {
    FileRow {
        id: file_id(n),
        name: path.rsplit('/').next().unwrap().to_owned(),
        path: path.to_owned(),
        size,
        hash: BlobHash([0x9f; 32]),
        visibility: "public".to_owned(),
        protected: false,
        version: 1,
        owner: owner.to_owned(),
        note: String::new(),
        copy: CopyState::Absent,
        modified_ms: NOW - 9 * DAY,
        shared_ms: NOW - i64::from(n) * DAY,
        mine: owner == "alice",
        have: false,
        available: matches!(owner, "bob" | "carol"),
        link: format!("swapmeet://trk.example.org:7443/f/{}", file_id(n)),
    }
}

pub(crate) fn files() -> Vec<FileRow> {
    let gib = |size: f64| (size * f64::from(1 << 30)) as u64;
    let mut files = vec![
        FileRow {
            note: "official image, checksum on the release page".to_owned(),
            copy: CopyState::Stored,
            ..file(1, "bob", "ubuntu-26.04-desktop-amd64.iso", gib(5.8))
        },
        file(2, "bob", "ubuntu-26.04-live-server-amd64.iso", gib(2.61)),
        file(3, "carol", "ubuntu-26.04-live-server-arm64.iso", gib(2.58)),
        FileRow { have: true, ..file(4, "dan", "ubuntu-24.04.4-desktop-amd64.iso", gib(5.91)) },
        file(5, "eve", "kubuntu-26.04-desktop-amd64.iso", gib(4.4)),
        file(6, "frank", "lubuntu-26.04-desktop-amd64.iso", gib(3.1)),
        file(7, "bob", "old-builds/2025/build-811.tar.zst", gib(0.09)),
        file(8, "bob", "old-builds/build-812.tar.zst", gib(0.086)),
        file(9, "grace", "a-very-long-name-that-nobody-would-type-by-hand-cut-in-its-middle-mini.iso", gib(1.02)),
        file(10, "grace", "日本語のファイル名.flac", 39_950_000),
        file(11, "mallory", "photo\u{202e}gpj.exe", 1_150_000),
        file(12, "alice", "thesis/draft.pdf", 4_400_000),
        file(13, "alice", "notes.md", 12_000),
    ];
    files[2].shared_ms = NOW - 3_600_000;
    files
}

pub(crate) fn member(n: u8, name: &str, status: MemberStatus, shares: u64) -> MemberRow {
    MemberRow {
        id: AccountId([n; 16]),
        name: name.to_owned(),
        status,
        last_seen_ms: (status != MemberStatus::Online).then_some(NOW - i64::from(n) * 720_000),
        shares,
        devices: 1,
        blocked: false,
        me: name == "alice",
        from_them: u64::from(n) * 340_000_000,
        to_them: u64::from(n % 3) * 120_000_000,
        device_list: Vec::new(),
    }
}

pub(crate) fn members() -> Vec<MemberRow> {
    use MemberStatus as S;
    vec![
        member(1, "alice", S::Online, 2),
        member(2, "bob", S::Online, 1_204),
        member(3, "carol", S::Away, 88),
        member(4, "dan", S::Online, 17),
        member(5, "eve", S::Online, 301),
        member(6, "frank", S::Offline, 612),
        member(7, "grace", S::Offline, 2),
        member(8, "mallory\u{202e}", S::Offline, 1),
    ]
}

pub(crate) fn account() -> Account {
    Account {
        id: AccountId([1; 16]),
        name: "alice".to_owned(),
        device: DeviceId([1; 16]),
        tracker: "swapmeet://trk.example.org:7443/#4c91ab".to_owned(),
    }
}

fn item(n: u8, kind: ItemKind, from: &str, to: Option<&str>, name: &str) -> ItemRow {
    let incoming = from != "alice";
    ItemRow {
        id: format!("{n:02x}").repeat(16),
        kind,
        incoming,
        from: from.to_owned(),
        to: to.map(str::to_owned),
        file: None,
        name: name.to_owned(),
        files: 1,
        size: 956_301_312,
        hash: Some(BlobHash([0x9f; 32])),
        text: String::new(),
        word: String::new(),
        state: ItemState::Waiting,
        reason: String::new(),
        acts: if incoming { vec![Act::Accept, Act::Decline] } else { vec![Act::Cancel] },
        created_ms: NOW - i64::from(n) * 120_000,
        expires_ms: NOW + 29 * DAY,
        changed_ms: NOW - i64::from(n) * 120_000,
        transfer: None,
    }
}

/// An offer, a request for a file, one in words and a wish on the board; two of alice's own; two that are over.
pub(crate) fn items() -> Vec<ItemRow> {
    use {ItemKind as K, ItemState as S};
    let words = |item: ItemRow| ItemRow { files: 0, size: 0, hash: None, ..item };
    let over = |item: ItemRow, state| ItemRow { state, acts: Vec::new(), ..item };
    vec![
        ItemRow {
            files: 3,
            size: 3_221_225,
            hash: None,
            text: "from the weekend".to_owned(),
            ..item(1, K::Offer, "bob", Some("alice"), "holiday-photos")
        },
        ItemRow { text: "for the talk".to_owned(), ..item(4, K::Request, "eve", Some("alice"), "lecture-07.mkv") },
        words(ItemRow { text: "the raw tapes".to_owned(), ..item(7, K::Request, "carol", Some("alice"), "") }),
        words(ItemRow {
            text: "any recording of the concert".to_owned(),
            reason: "anybody who has it may answer".to_owned(),
            acts: vec![Act::Accept],
            ..item(9, K::Request, "dan", None, "")
        }),
        ItemRow {
            reason: "waits for an answer".to_owned(),
            ..item(11, K::Offer, "alice", Some("carol"), "build-812.tar.zst")
        },
        words(ItemRow { text: "the score".to_owned(), ..item(13, K::Request, "alice", None, "") }),
        over(
            ItemRow { word: "not before Friday".to_owned(), ..item(20, K::Request, "alice", Some("bob"), "plans.pdf") },
            S::Declined,
        ),
        over(item(30, K::Offer, "mallory\u{202e}", Some("alice"), "photo\u{202e}gpj.exe"), S::Expired),
    ]
}

fn message(n: u8, room: RoomName, from: &str, text: &str, state: MessageState) -> MessageRow {
    let mine = from == "alice";
    MessageRow {
        id: format!("{n:02x}").repeat(16),
        to: if room == RoomName::Everyone { None } else { Some(if mine { "bob" } else { "alice" }.to_owned()) },
        room,
        from: from.to_owned(),
        mine,
        text: text.to_owned(),
        at_ms: NOW - 600_000 + i64::from(n) * 60_000,
        state,
        reason: String::new(),
        unread: false,
        item: None,
        unreadable: false,
    }
}

/// What bob and alice said; the last two of bob's were not read.
pub(crate) fn messages() -> Vec<MessageRow> {
    use MessageState as S;
    let bob = || RoomName::Member("bob".to_owned());
    let unread = |row: MessageRow| MessageRow { unread: true, ..row };
    vec![
        MessageRow { at_ms: NOW - DAY, ..message(0, bob(), "bob", "see you tomorrow", S::Received) },
        message(1, bob(), "bob", "uploaded the new build", S::Received),
        message(2, bob(), "alice", "thanks, pulling it now", S::Delivered),
        message(
            3,
            bob(),
            "alice",
            "and this line is a little longer, so that it takes more than one on screen",
            S::Sent,
        ),
        unread(message(4, bob(), "bob", "can you seed it tonight?\n\x1b[31mred\u{202e}", S::Received)),
        unread(message(5, bob(), "bob", "I am away until ten", S::Received)),
        MessageRow {
            reason: "the tracker was out of reach".to_owned(),
            ..message(6, bob(), "alice", "sure", S::Waiting)
        },
        MessageRow { reason: "no such member".to_owned(), ..message(7, bob(), "alice", "sure?", S::Failed) },
    ]
}

pub(crate) fn rooms() -> Vec<RoomRow> {
    let room =
        |room, unread, last_ms| RoomRow { room, account: None, unread, muted: false, last_ms, draft: String::new() };
    let member = |name: &str| RoomName::Member(name.to_owned());
    vec![
        room(member("bob"), 2, Some(NOW - 180_000)),
        room(RoomName::Everyone, 0, Some(NOW - 3_600_000)),
        RoomRow { draft: "half a thought".to_owned(), ..room(member("carol"), 0, Some(NOW - DAY)) },
        RoomRow { muted: true, ..room(member("mallory\u{202e}"), 3, Some(NOW - 2 * DAY)) },
    ]
}

/// The files of bob's offer.
pub(crate) fn offered() -> Vec<OfferedRow> {
    let file = |path: &str, size| OfferedRow { path: path.to_owned(), size, hash: BlobHash([0x9f; 32]) };
    vec![
        file("holiday-photos/beach.jpg", 1_048_576),
        file("holiday-photos/dunes.jpg", 2_097_152),
        file("holiday-photos/photo\u{202e}gpj.exe", 75_497),
    ]
}

pub(crate) fn shares() -> Vec<ShareRow> {
    let share = |name: &str, folder, files, size, state| ShareRow {
        name: name.to_owned(),
        local: PathBuf::from(format!("/home/alice/Share/{name}")),
        folder,
        files,
        size,
        state,
    };
    vec![
        share("thesis", true, 1, 4_400_000, ShareState::Ready),
        share("notes.md", false, 1, 12_000, ShareState::Hashing),
        share("usb-stick", true, 31, 96_000_000_000, ShareState::Missing),
    ]
}

fn transfer(id: &str, name: &str, size: u64, done: u64, state: TransferState) -> TransferRow {
    TransferRow {
        id: id.to_owned(),
        direction: Direction::Down,
        name: name.to_owned(),
        item: String::new(),
        owner: "bob".to_owned(),
        folder: false,
        files: 1,
        files_done: 0,
        state,
        reason: String::new(),
        size,
        done,
        speed: 0,
        eta_s: None,
        path: PathBuf::from(format!("/home/alice/Downloads/{name}")),
        hash: Some(BlobHash([0x9f; 32])),
        bytes_peer: done,
        bytes_copy: 0,
        bytes_relay: 0,
        bytes_local: 0,
        sources: Vec::new(),
        map: Vec::new(),
        log: Vec::new(),
        created_ms: NOW - 400_000,
        finished_ms: None,
        elapsed_ms: 402_000,
        failure: None,
        damaged: None,
        priority: Priority::Normal,
        place: 0,
    }
}

fn source(member: &str, path: PathKind, speed: u64, bytes: u64, doing: &str) -> TransferSource {
    TransferSource {
        member: Some(member.to_owned()),
        device: None,
        kind: SourceKind::Peer,
        path,
        bytes,
        speed,
        rtt_ms: (speed > 0).then_some(21),
        doing: doing.to_owned(),
        queue: None,
    }
}

pub(crate) fn transfers() -> Vec<TransferRow> {
    use TransferState as S;
    let gib = |size: f64| (size * f64::from(1 << 30)) as u64;
    let mut map = vec![8; 138];
    map[88..112].fill(0);
    map[60] = 5;
    map[112] = 9;
    map[113] = 9;
    vec![
        TransferRow {
            speed: 11_200_000,
            eta_s: Some(161),
            item: file_id(1).to_string(),
            sources: vec![
                source("bob", PathKind::Direct, 7_300_000, gib(1.61), "4 slices"),
                source("carol", PathKind::Lan, 3_900_000, gib(1.22), "2 slices"),
                source("frank", PathKind::Relay, 0, 83_000_000, "waits for an upload slot, 2nd in line"),
                TransferSource {
                    member: None,
                    kind: SourceKind::Copy,
                    ..source("", PathKind::Copy, 0, 0, "stands by: members deliver")
                },
            ],
            map,
            log: vec![
                LogLine { at_ms: NOW - 120_000, text: "carol joined as a source (same network)".to_owned() },
                LogLine { at_ms: NOW - 60_000, text: "dan: a group failed its check, dropped".to_owned() },
            ],
            ..transfer("00000000000000a1", "ubuntu-26.04-desktop-amd64.iso", gib(5.8), gib(3.94), S::Running)
        },
        TransferRow {
            speed: 7_200_000,
            eta_s: Some(252),
            folder: true,
            files: 214,
            files_done: 88,
            hash: None,
            created_ms: NOW - 500_000,
            ..transfer("00000000000000a2", "field-recordings", gib(3.1), gib(1.27), S::Running)
        },
        TransferRow {
            reason: "paused by you".to_owned(),
            created_ms: NOW - 600_000,
            ..transfer("00000000000000a3", "lecture-07.mkv", 956_301_312, 86_000_000, S::Paused)
        },
        TransferRow {
            reason: "nobody who has it is online; starts by itself".to_owned(),
            created_ms: NOW - 700_000,
            ..transfer("00000000000000a4", "日本語のファイル名.flac", 39_950_000, 19_000_000, S::Waiting)
        },
        TransferRow {
            created_ms: NOW - 800_000,
            ..transfer("00000000000000a5", "dataset.parquet", gib(44.0), gib(44.0), S::Finishing)
        },
        transfer("00000000000000b1", "thesis-draft.pdf", 4_400_000, 0, S::Queued),
        TransferRow {
            finished_ms: Some(NOW - 60_000),
            elapsed_ms: 80_000,
            ..transfer("00000000000000c1", "lecture-06.mkv", 956_301_312, 956_301_312, S::Done)
        },
        TransferRow {
            reason: "the tracker refused: the file is not shared with you".to_owned(),
            ..transfer("00000000000000d1", "photo\u{202e}gpj.exe", 1_150_000, 0, S::Failed)
        },
        TransferRow {
            direction: Direction::Up,
            owner: "eve".to_owned(),
            speed: 2_100_000,
            eta_s: Some(30),
            ..transfer("00000000000000e1", "draft.pdf", 4_400_000, 1_200_000, S::Running)
        },
    ]
}
