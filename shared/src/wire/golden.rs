//! Golden bytes: every message frozen. A changed line in `snapshots/` is a changed protocol, which old programs no
//! longer understand; a new line is a new variant, which they answer with `unsupported`.
//!
//! A variant without a sample does not compile: [`samples!`] matches each enum in full.

use std::{
    fmt::{Debug, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use data_encoding::HEXLOWER;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Code, ENROL_CONTEXT, EXPORTER_LABEL, PEER_ALPN, PEER_NAME, PROBE_ALPN, Refusal, SIGN_IN_CONTEXT, TRACKER_ALPN,
    TRACKER_NAME, TUNNEL_PATH, TUNNEL_PROTOCOL,
    account::{DeviceEntry, InviteEntry, Recover},
    channel::{ChannelFile, ChannelFrame, OpenChannel},
    codec::{self, FrameError, LENGTH_BYTES},
    grant::{Choice, Grant, SignedGrant},
    inbox::{InboxAnswer, InboxRequest, ItemEntry, PackEntry, Receiver, What},
    message::{
        Delivery, DeviceKeys, Header, MESSAGE_CONTEXT, MESSAGE_KEY_CONTEXT, MessageAnswer, MessageEvent,
        MessageRequest, Seal, Sending,
    },
    peer::{FetchFrame, FetchReply, Having, Hello, HelloAnswer, Open, Queued, RelayedAnswer, Want, Watch},
    people::{DeviceSeen, MemberSeen, PeopleAnswer, PeopleEvent, PeopleRequest},
    protected::{FILE_PASSWORD_CONTEXT, Lock, Locked, ProtectedAnswer, ProtectedEntry, ProtectedRequest, Stretch},
    reach::{Attempt, Introduction, Mapping, ProbeAnswer, ProbeRequest, Rendezvous, Role, Way},
    tracker::{
        Answer, Audience, Change, Changes, CopyState, Event, FileDetail, FileEntry, FolderEntry, Item, List, Located,
        LocatedFile, MemberEntry, NewDevice, Password, PeerSource, Presence, PublishEntry, Reference, Register,
        Registration, Request, SignInPassword, SignedIn, SourceEntry, TrackerStatus, VersionEntry, Visibility, Ways,
        Welcome,
    },
};
use crate::{
    id::{AccountId, BlobHash, DeviceId, FileId, FolderId, ItemId, MessageId, ParcelId},
    inbox::{Act, State, Wanted},
    limits::{
        ADDRESSES_MAX, BLOCKS_MAX, DEVICES_PER_ACCOUNT_MAX, GRANT_BLOBS_MAX, LOCATED_PEERS_MAX, MEMBER_NAME_CHARS_MAX,
        MESSAGE_BODY_BYTES_MAX, MESSAGE_KEYS_MAX, MESSAGE_SEAL_BYTES, MESSAGE_SEALS_MAX, MESSAGES_PAGE_MAX,
        PEER_FRAME_BYTES_MAX, PROBE_FRAME_BYTES_MAX, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, REVOKED_TOLD_MAX,
        SEEN_PAGE_MAX, SOURCES_MAX, WANT_RANGES_MAX,
    },
};

/// A message that is frozen.
trait Golden: Debug + PartialEq + Serialize + DeserializeOwned {
    /// Bytes that a reader allows a frame of it.
    const LIMIT: usize;
    /// The number and name of this variant.
    fn variant(&self) -> (usize, &'static str);
    /// How many variants there are.
    fn variants() -> usize;
    /// At least one message of each variant, in their order.
    fn samples() -> Vec<Self>;
}

macro_rules! samples {
    ($message:ident, $limit:expr, { $($variant:ident => [$($sample:expr),+ $(,)?]),+ $(,)? }) => {
        impl Golden for $message {
            const LIMIT: usize = $limit;

            fn variant(&self) -> (usize, &'static str) {
                let name = match self {
                    $(Self::$variant { .. } => stringify!($variant)),+
                };
                let number = [$(stringify!($variant)),+].iter().position(|other| *other == name);
                (number.unwrap(), name)
            }

            fn variants() -> usize {
                [$(stringify!($variant)),+].len()
            }

            fn samples() -> Vec<Self> {
                vec![$($($sample),+),+]
            }
        }
    };
}

/// Runs one check over every enum of the protocol, with the name of its snapshot.
macro_rules! for_every_message {
    ($check:ident) => {
        $check::<Request>("request");
        $check::<Answer>("answer");
        $check::<Event>("event");
        $check::<Registration>("registration");
        $check::<Visibility>("visibility");
        $check::<Audience>("audience");
        $check::<CopyState>("copy_state");
        $check::<Item>("item");
        $check::<Reference>("reference");
        $check::<Change>("change");
        $check::<SourceEntry>("source_entry");
        $check::<LocatedFile>("located_file");
        $check::<Presence>("presence");
        $check::<Open>("open");
        $check::<HelloAnswer>("hello_answer");
        $check::<Having>("having");
        $check::<RelayedAnswer>("relayed_answer");
        $check::<FetchFrame>("fetch_frame");
        $check::<FetchReply>("fetch_reply");
        $check::<Code>("code");
        $check::<Mapping>("mapping");
        $check::<Role>("role");
        $check::<Attempt>("attempt");
        $check::<Way>("way");
        $check::<ProbeRequest>("probe_request");
        $check::<ProbeAnswer>("probe_answer");
        $check::<InboxRequest>("inbox_request");
        $check::<InboxAnswer>("inbox_answer");
        $check::<ChannelFrame>("channel_frame");
        $check::<MessageRequest>("message_request");
        $check::<MessageAnswer>("message_answer");
        $check::<MessageEvent>("message_event");
        $check::<ProtectedRequest>("protected_request");
        $check::<ProtectedAnswer>("protected_answer");
    };
}

#[test]
fn every_message_keeps_its_bytes() {
    for_every_message!(keeps_its_bytes);
}

fn keeps_its_bytes<T: Golden>(name: &str) {
    let mut table = String::new();
    for sample in T::samples() {
        let frame = frame(&sample);
        let (length, body) = frame.split_at(LENGTH_BYTES);
        let variant = sample.variant().1;
        writeln!(table, "{variant}: {} {}", HEXLOWER.encode(length), HEXLOWER.encode(body)).unwrap();
    }
    freeze(name, &table);
}

#[test]
fn every_variant_has_a_sample_and_the_number_of_its_place() {
    for_every_message!(has_samples_in_order);
}

fn has_samples_in_order<T: Golden>(name: &str) {
    let mut numbers: Vec<usize> = T::samples().iter().map(|sample| sample.variant().0).collect();
    assert!(numbers.is_sorted(), "{name}");
    numbers.dedup();
    assert_eq!(numbers, (0..T::variants()).collect::<Vec<_>>(), "{name}");
    for sample in T::samples() {
        let (number, variant) = sample.variant();
        assert_eq!(usize::from(frame(&sample)[LENGTH_BYTES]), number, "{name}::{variant}");
    }
}

#[test]
fn every_message_reads_back() {
    for_every_message!(reads_back);
}

fn reads_back<T: Golden>(_name: &str) {
    for sample in T::samples() {
        assert_eq!(read::<T>(&frame(&sample), T::LIMIT), Ok(sample));
    }
}

#[test]
fn a_message_cut_short_anywhere_is_no_message() {
    for_every_message!(is_whole_or_nothing);
}

fn is_whole_or_nothing<T: Golden>(name: &str) {
    for sample in T::samples() {
        let frame = frame(&sample);
        for cut in 0..frame.len() {
            assert_eq!(read::<T>(&frame[..cut], T::LIMIT), Err(Unread::Short), "{name} cut at {cut}");
        }
        // The same with a length that fits what is left, as a liar would send it.
        let body = &frame[LENGTH_BYTES..];
        for cut in 0..body.len() {
            assert_eq!(codec::decode::<T>(&body[..cut]), Err(FrameError::Malformed), "{name} cut at {cut}");
        }
    }
}

#[test]
fn a_message_followed_by_anything_is_refused() {
    for_every_message!(refuses_more);
}

fn refuses_more<T: Golden>(name: &str) {
    for sample in T::samples() {
        let body = [&frame(&sample)[LENGTH_BYTES..], &[0]].concat();
        assert_eq!(codec::decode::<T>(&body), Err(FrameError::Trailing { extra: 1 }), "{name}");
    }
}

#[test]
fn a_message_above_the_reader_s_limit_is_refused_by_its_length_alone() {
    for_every_message!(respects_limits);
}

fn respects_limits<T: Golden>(name: &str) {
    for sample in T::samples() {
        let frame = frame(&sample);
        let length = frame.len() - LENGTH_BYTES;
        let too_large = FrameError::TooLarge { length, limit: length - 1 };
        assert_eq!(read::<T>(&frame[..LENGTH_BYTES], length - 1), Err(Unread::Frame(too_large.clone())), "{name}");
        assert_eq!(codec::encode(&sample, length - 1), Err(too_large), "{name}");
        assert_eq!(read::<T>(&frame, length), Ok(sample), "{name}");
    }
}

#[test]
fn a_damaged_message_never_panics_its_reader() {
    for_every_message!(survives_damage);
}

fn survives_damage<T: Golden>(name: &str) {
    for sample in T::samples() {
        let frame = frame(&sample);
        for position in 0..frame.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = frame.clone();
                damaged[position] ^= flip;
                // Most damage is noticed, some only changes a number or a letter; the same message it never is.
                assert_ne!(read::<T>(&damaged, T::LIMIT).as_ref(), Ok(&sample), "{name} at {position}");
            }
        }
    }
}

#[test]
fn an_unknown_variant_is_refused() {
    for_every_message!(refuses_unknown);
}

fn refuses_unknown<T: Golden>(name: &str) {
    let next = u8::try_from(T::variants()).unwrap();
    let body = [&[next][..], &[0; 512]].concat();
    assert_eq!(codec::decode::<T>(&body), Err(FrameError::Malformed), "{name}");
}

#[test]
fn a_grant_keeps_its_bytes_and_what_is_signed() {
    let SignedGrant { body, signature } = signed_grant();
    let key = HEXLOWER.encode(grant_key().public_key().as_ref());
    let (body, signature) = (HEXLOWER.encode(&body), HEXLOWER.encode(&signature));
    freeze("grant", &format!("key: {key}\nbody: {body}\nsignature: {signature}\n"));
}

#[test]
fn the_numbers_and_names_of_codes_stay() {
    let mut table = String::new();
    for code in Code::samples() {
        writeln!(table, "{} {}", code.number(), code.name()).unwrap();
    }
    freeze("code_numbers", &table);
}

#[test]
fn the_constants_of_the_protocol_stay() {
    let mut table = String::new();
    for bytes in [
        TRACKER_ALPN,
        PEER_ALPN,
        EXPORTER_LABEL,
        ENROL_CONTEXT,
        SIGN_IN_CONTEXT,
        PROBE_ALPN,
        MESSAGE_KEY_CONTEXT,
        MESSAGE_CONTEXT,
        FILE_PASSWORD_CONTEXT,
    ] {
        writeln!(table, "{}", bytes.escape_ascii()).unwrap();
    }
    for name in [TRACKER_NAME, PEER_NAME, TUNNEL_PATH, TUNNEL_PROTOCOL] {
        writeln!(table, "{name}").unwrap();
    }
    freeze("constants", &table);
}

#[cfg(feature = "net")]
#[test]
fn certificates_carry_the_names_that_are_dialled() {
    assert_eq!((certs::names::TRACKER_NAME, certs::names::PEER_NAME), (TRACKER_NAME, PEER_NAME));
}

#[test]
fn the_largest_messages_that_limits_allow_fit_their_frames() {
    let all = u8::MAX;
    let (file, blob) = (FileId([all; 16]), BlobHash([all; 32]));
    let choice = Choice { devices: vec![u16::from(all); 2 * SOURCES_MAX], copy: true };
    let grant = Grant {
        device: DeviceId([all; 16]),
        expires_ms: i64::MIN,
        devices: vec![DeviceId([all; 16]); 2 * LOCATED_PEERS_MAX],
        choices: vec![choice; GRANT_BLOBS_MAX],
        blobs: vec![(blob, u16::MAX); GRANT_BLOBS_MAX],
    };
    let signed = grant.sign(|_| [all; 64]);
    let groups = vec![(u64::MAX, u64::MAX); WANT_RANGES_MAX];
    frame(&FetchFrame::Grant(signed.clone()));
    frame(&FetchFrame::Want(Want { blob, size: u64::MAX, groups }));
    frame(&Request::Locate { files: vec![file; GRANT_BLOBS_MAX] });
    frame(&Request::Announce { addresses: vec![v6(); ADDRESSES_MAX] });

    let found = LocatedFile::Found { file, blob, size: u64::MAX, peers: vec![u16::MAX; SOURCES_MAX], copy: true };
    // A peer of its own for each file, each a member with the longest name.
    let peer = PeerSource {
        device: DeviceId([all; 16]),
        account: AccountId([all; 16]),
        member: "\u{10ffff}".repeat(MEMBER_NAME_CHARS_MAX),
        addresses: vec![v6(); ADDRESSES_MAX + 1],
    };
    let located = Located { peers: vec![peer; GRANT_BLOBS_MAX], files: vec![found; GRANT_BLOBS_MAX], grant: signed };
    frame(&Answer::Located(located));
    frame(&Event::DevicesRevoked { devices: vec![DeviceId([all; 16]); REVOKED_TOLD_MAX] });
    let seals = vec![Seal { device: DeviceId([all; 16]), sealed: vec![all; MESSAGE_SEAL_BYTES] }; MESSAGE_SEALS_MAX];
    let (body, signature) = (vec![all; MESSAGE_BODY_BYTES_MAX], vec![all; 64]);
    let sending = Sending { header: message_header(), body: body.clone(), signature, seals, last: true };
    frame(&Request::Message(MessageRequest::Send(sending)));
    let name = "\u{10ffff}".repeat(MEMBER_NAME_CHARS_MAX);
    let delivery = Delivery { body, from_name: name.clone(), to_name: Some(name), at_ms: i64::MIN, ..delivery() };
    frame(&Answer::Message(MessageAnswer::Waiting { messages: vec![delivery; MESSAGES_PAGE_MAX], more: true }));
    let keys =
        DeviceKeys { account: AccountId([all; 16]), signing: [all; 32], sealing: [all; 32], proof: vec![all; 64] };
    let next = Some(DeviceId([all; 16]));
    frame(&Answer::Message(MessageAnswer::Keys { keys: vec![keys; MESSAGE_KEYS_MAX], next }));
    frame(&Event::People(PeopleEvent::Blocks { members: vec![AccountId([all; 16]); BLOCKS_MAX] }));
    let entry = MemberEntry { name: "\u{10ffff}".repeat(MEMBER_NAME_CHARS_MAX), ..member_entry() };
    let seen = MemberSeen { entry, devices: vec![device_seen(); DEVICES_PER_ACCOUNT_MAX] };
    frame(&Answer::People(PeopleAnswer::Seen { members: vec![seen; SEEN_PAGE_MAX], next: None }));
    let candidates = vec![v6(); ADDRESSES_MAX];
    frame(&ProbeAnswer::Met(Rendezvous { role: Role::Await, candidates, start_in_ms: u32::MAX }));
}

/// Why a stream gave no message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Unread {
    /// It ended before its frame did.
    Short,
    /// Its frame is no message.
    Frame(FrameError),
}

/// Reads one frame as the readers in `net` do: the length, its check, the body.
fn read<T: Golden>(stream: &[u8], limit: usize) -> Result<T, Unread> {
    let (prefix, rest) = stream.split_first_chunk::<LENGTH_BYTES>().ok_or(Unread::Short)?;
    let length = codec::body_length(*prefix, limit).map_err(Unread::Frame)?;
    let body = rest.get(..length).ok_or(Unread::Short)?;
    codec::decode(body).map_err(Unread::Frame)
}

fn frame<T: Golden>(message: &T) -> Vec<u8> {
    codec::encode(message, T::LIMIT).unwrap()
}

fn freeze(name: &str, table: &str) {
    let mut settings = insta::Settings::new();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, table));
}

// The samples

samples!(Request, REQUEST_BYTES_MAX, {
    Hello => [Request::Hello { program: "swapmeet 0.1.0".into() }],
    Register => [
        Request::Register(Register {
            name: "member 1".into(),
            password: Password("correct horse".into()),
            email: Some("member@example.org".into()),
            invite: Some("k7f3".into()),
            device: new_device(),
        }),
        Request::Register(Register {
            name: "mémber 2".into(),
            password: Password("correct horse".into()),
            email: None,
            invite: None,
            device: new_device(),
        }),
    ],
    SignInPassword => [Request::SignInPassword(SignInPassword {
        name: "member 1".into(),
        password: Password("correct horse".into()),
        device: new_device(),
    })],
    SignInKey => [Request::SignInKey { device: DeviceId([0xd1; 16]), proof: vec![0x51; 64] }],
    SignOut => [Request::SignOut],
    Renew => [Request::Renew],
    Announce => [Request::Announce { addresses: vec![v4(), v6()] }],
    Subscribe => [Request::Subscribe],
    Publish => [Request::Publish {
        entries: vec![
            PublishEntry {
                path: "rushes/day 1.mov".into(),
                blob: BlobHash([0xb1; 32]),
                size: 5_000_000_000,
                modified_ms: 1_700_000_000_123,
                executable: false,
                audience: None,
                note: None,
            },
            PublishEntry {
                path: "run.sh".into(),
                blob: BlobHash([0xb2; 32]),
                size: 0,
                modified_ms: -1,
                executable: true,
                audience: Some(Audience::People(vec!["mémber 2".into()])),
                note: Some("a remark".into()),
            },
        ],
    }],
    Withdraw => [Request::Withdraw { files: vec![FileId([0xf1; 16]), FileId([0xf2; 16])] }],
    Changes => [Request::Changes { since: 300 }],
    List => [
        Request::List(List {
            member: Some("member 1".into()),
            mine: false,
            path: "rushes".into(),
            after: Some("rushes/a".into()),
        }),
        Request::List(List { member: None, mine: true, path: String::new(), after: None }),
    ],
    Search => [Request::Search { query: "day mov".into(), offset: 200 }],
    Resolve => [Request::Resolve(Reference::Prefix("f1f1".into()))],
    FolderFiles => [
        Request::FolderFiles { folder: FolderId([0xfd; 16]), after: None },
        Request::FolderFiles { folder: FolderId([0xfd; 16]), after: Some("rushes/a".into()) },
    ],
    Inspect => [Request::Inspect { file: FileId([0xf1; 16]) }],
    Locate => [Request::Locate { files: vec![FileId([0xf1; 16])] }],
    Members => [Request::Members { after: None }, Request::Members { after: Some("member 1".into()) }],
    KeepCopy => [Request::KeepCopy { files: vec![FileId([0xf1; 16])] }],
    DropCopy => [Request::DropCopy { files: vec![FileId([0xf1; 16])] }],
    Status => [Request::Status],
    Fetch => [Request::Fetch],
    Vanish => [Request::Vanish { files: vec![FileId([0xf1; 16]), FileId([0xf2; 16])] }],
    Hold => [Request::Hold { files: vec![FileId([0xf1; 16]), FileId([0xf2; 16])] }],
    Relay => [Request::Relay { device: DeviceId([0xd1; 16]) }],
    Ticket => [Request::Ticket],
    Introduce => [Request::Introduce { device: DeviceId([0xd1; 16]), attempt: Attempt::FreshSockets }],
    Ways => [Request::Ways],
    ChangePassword => [Request::ChangePassword { old: Password("old words".into()), new: Password("new words".into()) }],
    ChangeEmail => [
        Request::ChangeEmail { password: Password("old words".into()), email: Some("a@b.example".into()) },
        Request::ChangeEmail { password: Password("old words".into()), email: None },
    ],
    NewRecovery => [Request::NewRecovery { password: Password("old words".into()) }],
    Recover => [Request::Recover(Recover {
        name: "member 1".into(),
        code: Password("abcd-efgh".into()),
        password: Password("new words".into()),
        device: new_device(),
    })],
    Devices => [Request::Devices],
    RevokeDevices => [Request::RevokeDevices { devices: vec![DeviceId([0xd1; 16])] }],
    Invite => [
        Request::Invite { uses: 3, ends_ms: Some(1_700_000_000_123) },
        Request::Invite { uses: 1, ends_ms: None },
    ],
    Invites => [Request::Invites],
    RevokeInvite => [Request::RevokeInvite { code: "abcd".into() }],
    Inbox => [Request::Inbox(InboxRequest::Approvals)],
    Message => [Request::Message(MessageRequest::Waiting { after: 300 })],
    People => [
        Request::People(PeopleRequest::Block { member: "member 1".into() }),
        Request::People(PeopleRequest::Unblock { member: "member 1".into() }),
        Request::People(PeopleRequest::Attend { here: true }),
        Request::People(PeopleRequest::Seen { after: Some("member 1".into()) }),
    ],
    Protected => [Request::Protected(ProtectedRequest::Locks { files: vec![FileId([0xf1; 16])] })],
    Rename => [Request::Rename { files: vec![(FileId([0xf1; 16]), "rushes/b".into())] }],
});

samples!(Answer, REPLY_BYTES_MAX, {
    Refused => [Answer::Refused(refusal())],
    Done => [Answer::Done],
    Welcome => [
        Answer::Welcome(Welcome {
            program: "swapmeet-tracker 0.1.0".into(),
            registration: Registration::Invite,
            time_ms: 1_700_000_000_123,
            observed: v4(),
        }),
        Answer::Welcome(Welcome {
            program: "swapmeet-tracker 0.1.0".into(),
            registration: Registration::Open,
            time_ms: 1_700_000_000_123,
            observed: v6(),
        }),
    ],
    SignedIn => [Answer::SignedIn(SignedIn {
        account: AccountId([0xa1; 16]),
        name: "member 1".into(),
        device: DeviceId([0xd1; 16]),
        certificate: vec![0x30, 0x82],
        authority: vec![0x30, 0x81, 0x01],
        certificate_ends_ms: 1_700_086_400_000,
        grant_key: [0x6b; 32],
    })],
    Published => [Answer::Published { files: vec![file_entry()] }],
    Count => [Answer::Count(3)],
    Changes => [Answer::Changes(Changes {
        changes: vec![Change::Present(file_entry()), Change::Gone(FileId([0xf2; 16]))],
        next: 301,
        more: true,
        restart: false,
    })],
    Listing => [
        Answer::Listing { items: vec![Item::Folder(folder_entry()), Item::File(file_entry())], next: None },
        Answer::Listing { items: vec![], next: Some("rushes/b".into()) },
    ],
    Hits => [Answer::Hits { files: vec![file_entry()], more: true }],
    Detail => [Answer::Detail(FileDetail {
        entry: file_entry(),
        sources: vec![SourceEntry::Copy { have: 7 }],
        versions: vec![VersionEntry {
            version: 2,
            blob: BlobHash([0xb1; 32]),
            size: 5_000_000_000,
            shared_ms: 1_700_000_000_456,
        }],
    })],
    Located => [Answer::Located(Located {
        peers: vec![PeerSource {
            device: DeviceId([0xd1; 16]),
            account: AccountId([0xa1; 16]),
            member: "member 1".into(),
            addresses: vec![v4(), v6()],
        }],
        files: vec![LocatedFile::Refused { file: FileId([0xf2; 16]), refusal: refusal() }],
        grant: signed_grant(),
    })],
    Members => [
        Answer::Members { members: vec![member_entry()], next: None },
        Answer::Members { members: vec![], next: Some("mémber 2".into()) },
    ],
    Status => [Answer::Status(TrackerStatus {
        program: "swapmeet-tracker 0.1.0".into(),
        uptime_s: 1,
        members: 2,
        online: 3,
        files: 4,
        bytes: 5,
        copies: 6,
        copy_bytes: 7,
    })],
    Kept => [Answer::Kept { files: vec![FileId([0xf1; 16])] }],
    Ticket => [
        Answer::Ticket { port: Some(7444), ticket: [0x7c; 16] },
        Answer::Ticket { port: None, ticket: [0x7c; 16] },
    ],
    Introduced => [Answer::Introduced(introduction())],
    Ways => [Answer::Ways(Ways { web: Some(7443) }), Answer::Ways(Ways { web: None })],
    Recovery => [Answer::Recovery { code: Password("abcd-efgh".into()) }],
    Devices => [Answer::Devices {
        devices: vec![DeviceEntry {
            device: DeviceId([0xd1; 16]),
            label: "laptop".into(),
            enrolled_ms: 1_700_000_000_123,
            last_seen_ms: Some(1_700_000_000_456),
            online: true,
        }],
    }],
    Invited => [Answer::Invited { code: Password("abcd-efgh-ijkl".into()), invite: invite_entry() }],
    Invites => [Answer::Invites { invites: vec![invite_entry()] }],
    Wait => [Answer::Wait { seconds: 20 }],
    Inbox => [Answer::Inbox(InboxAnswer::Packed { files: vec![FileId([0xf1; 16])] })],
    Message => [Answer::Message(MessageAnswer::Done)],
    People => [Answer::People(PeopleAnswer::Seen {
        members: vec![MemberSeen { entry: member_entry(), devices: vec![device_seen()] }],
        next: Some("member 1".into()),
    })],
    Protected => [Answer::Protected(ProtectedAnswer::Locks { locks: vec![None] })],
});

samples!(InboxRequest, REQUEST_BYTES_MAX, {
    Changes => [InboxRequest::Changes { since: 300 }],
    WantFile => [InboxRequest::WantFile {
        item: ItemId([0xe1; 16]),
        file: FileId([0xf1; 16]),
        text: "for the talk".into(),
        life_s: Some(3600),
    }],
    WantText => [
        InboxRequest::WantText {
            item: ItemId([0xe1; 16]),
            of: Some("member 1".into()),
            text: "the tapes".into(),
            life_s: None,
        },
        InboxRequest::WantText { item: ItemId([0xe1; 16]), of: None, text: "the tapes".into(), life_s: None },
    ],
    Pack => [InboxRequest::Pack {
        parcel: ParcelId([0xe2; 16]),
        entries: vec![PackEntry {
            path: "folder/name".into(),
            blob: BlobHash([0xb1; 32]),
            size: 300,
            modified_ms: -1,
            executable: true,
        }],
    }],
    Offer => [InboxRequest::Offer {
        parcel: ParcelId([0xe2; 16]),
        name: "folder".into(),
        to: vec![Receiver { item: ItemId([0xe1; 16]), name: "member 1".into() }],
        text: "as promised".into(),
        life_s: Some(3600),
    }],
    Act => [
        InboxRequest::Act {
            item: ItemId([0xe1; 16]),
            act: Act::Accept,
            always: true,
            with: Some(FileId([0xf1; 16])),
            word: String::new(),
        },
        InboxRequest::Act {
            item: ItemId([0xe1; 16]),
            act: Act::Decline,
            always: false,
            with: None,
            word: "not now".into(),
        },
        InboxRequest::Act {
            item: ItemId([0xe1; 16]),
            act: Act::Cancel,
            always: false,
            with: None,
            word: String::new(),
        },
        InboxRequest::Act {
            item: ItemId([0xe1; 16]),
            act: Act::Fulfil,
            always: false,
            with: None,
            word: String::new(),
        },
    ],
    Files => [InboxRequest::Files { item: ItemId([0xe1; 16]), after: Some("folder/name".into()) }],
    LeaveCopy => [InboxRequest::LeaveCopy { item: ItemId([0xe1; 16]) }],
    Approvals => [InboxRequest::Approvals],
    Approve => [InboxRequest::Approve { member: "member 1".into(), always: true }],
    Invite => [InboxRequest::Invite { item: ItemId([0xe1; 16]), to: "member 1".into(), life_s: Some(60) }],
    Host => [InboxRequest::Host { item: ItemId([0xe1; 16]) }],
});

samples!(InboxAnswer, REPLY_BYTES_MAX, {
    Changes => [InboxAnswer::Changes { items: item_entries(), next: 301, more: true }],
    Items => [InboxAnswer::Items { items: vec![] }],
    Packed => [InboxAnswer::Packed { files: vec![FileId([0xf1; 16])] }],
    Files => [InboxAnswer::Files { files: vec![file_entry()], next: Some("folder/name".into()) }],
    Approved => [InboxAnswer::Approved { members: vec!["member 1".into()] }],
    Host => [
        InboxAnswer::Host { peer: None },
        InboxAnswer::Host { peer: Some(PeerSource {
            device: DeviceId([0xd1; 16]),
            account: AccountId([0xa1; 16]),
            member: "member 1".into(),
            addresses: vec![v4(), v6()],
        }) },
    ],
});

samples!(Event, REPLY_BYTES_MAX, {
    IndexMoved => [Event::IndexMoved { seq: 301 }],
    Member => [Event::Member(member_entry())],
    Revoked => [Event::Revoked { blobs: vec![BlobHash([0xb1; 32])] }],
    CopyStored => [Event::CopyStored { file: FileId([0xf1; 16]) }],
    CopyFailed => [Event::CopyFailed { file: FileId([0xf1; 16]), refusal: refusal() }],
    Resync => [Event::Resync],
    SignedOut => [Event::SignedOut { refusal: refusal() }],
    SourcesMoved => [Event::SourcesMoved { blobs: vec![BlobHash([0xb1; 32])] }],
    Introduced => [Event::Introduced(introduction())],
    DevicesRevoked => [Event::DevicesRevoked { devices: vec![DeviceId([0xd1; 16])] }],
    InboxMoved => [Event::InboxMoved { seq: 301 }],
    Message => [Event::Message(MessageEvent::Delivered { messages: vec![MessageId([0x3e; 16])] })],
    People => [Event::People(PeopleEvent::Blocks { members: vec![AccountId([0xa1; 16])] })],
    GrantsWithdrawn => [Event::GrantsWithdrawn { before_ms: 1_700_000_000_123 }],
    ClockSet => [Event::ClockSet { now_ms: 1_700_000_000_123 }],
});

samples!(Registration, REPLY_BYTES_MAX, {
    Open => [Registration::Open],
    Invite => [Registration::Invite],
    Closed => [Registration::Closed],
});

samples!(Visibility, REPLY_BYTES_MAX, {
    Public => [Visibility::Public],
    Ask => [Visibility::Ask],
    People => [Visibility::People(vec![]), Visibility::People(vec![AccountId([0xa1; 16])])],
    Hidden => [Visibility::Hidden],
});

samples!(Audience, REQUEST_BYTES_MAX, {
    Public => [Audience::Public],
    Ask => [Audience::Ask],
    People => [Audience::People(vec!["member 1".into(), "mémber 2".into()])],
    Hidden => [Audience::Hidden],
});

samples!(CopyState, REPLY_BYTES_MAX, {
    Absent => [CopyState::Absent],
    Pending => [CopyState::Pending],
    Stored => [CopyState::Stored],
});

samples!(Item, REPLY_BYTES_MAX, {
    File => [Item::File(file_entry())],
    Folder => [Item::Folder(folder_entry())],
});

samples!(Reference, REQUEST_BYTES_MAX, {
    File => [Reference::File(FileId([0xf1; 16]))],
    Folder => [Reference::Folder(FolderId([0xfd; 16]))],
    Prefix => [Reference::Prefix("f1f1".into())],
    Path => [Reference::Path { member: "member 1".into(), path: "rushes/day 1.mov".into() }],
});

samples!(Change, REPLY_BYTES_MAX, {
    Present => [Change::Present(file_entry())],
    Gone => [Change::Gone(FileId([0xf1; 16]))],
});

samples!(SourceEntry, REPLY_BYTES_MAX, {
    Device => [SourceEntry::Device {
        member: "member 1".into(),
        device: DeviceId([0xd1; 16]),
        online: true,
        have: 5_000_000_000,
    }],
    Copy => [SourceEntry::Copy { have: 5_000_000_000 }],
    Holder => [SourceEntry::Holder { member: "member 1".into(), device: DeviceId([0xd1; 16]) }],
});

samples!(LocatedFile, REPLY_BYTES_MAX, {
    Found => [LocatedFile::Found {
        file: FileId([0xf1; 16]),
        blob: BlobHash([0xb1; 32]),
        size: 5_000_000_000,
        peers: vec![0, 300],
        copy: true,
    }],
    Refused => [LocatedFile::Refused { file: FileId([0xf1; 16]), refusal: refusal() }],
    Spread => [LocatedFile::Spread {
        file: FileId([0xf1; 16]), blob: BlobHash([0xb1; 32]), size: 5_000_000_000, peers: vec![0], holders: vec![1, 300],
        copy: true,
    }],
});

samples!(Presence, REPLY_BYTES_MAX, {
    Online => [Presence::Online],
    Away => [Presence::Away],
    Offline => [Presence::Offline],
});

samples!(Open, PEER_FRAME_BYTES_MAX, {
    Hello => [Open::Hello(Hello { program: "swapmeet 0.1.0".into(), expects: DeviceId([0xd1; 16]) })],
    Fetch => [Open::Fetch],
    Watch => [Open::Watch(Watch { grant: signed_grant(), blob: BlobHash([0xb1; 32]), size: 5_000_000_000 })],
    Relayed => [Open::Relayed { from: DeviceId([0xd1; 16]) }],
    Channel => [Open::Channel(OpenChannel { item: ItemId([0xe1; 16]), commitment: [0xc0; 32] })],
});

samples!(ChannelFrame, PEER_FRAME_BYTES_MAX, {
    Welcome => [ChannelFrame::Welcome { nonce: [0x9a; 16] }],
    Refused => [ChannelFrame::Refused(refusal())],
    Reveal => [ChannelFrame::Reveal { nonce: [0x9b; 16] }],
    Text => [ChannelFrame::Text { number: 300, text: "hello".into() }],
    File => [ChannelFrame::File {
        number: 300,
        file: ChannelFile {
            name: "day 1.mov".into(),
            blob: BlobHash([0xb1; 32]),
            size: 5_000_000_000,
            modified_ms: 1_700_000_000_123,
            executable: true,
        },
    }],
    Got => [ChannelFrame::Got { number: 300 }],
    Fetched => [ChannelFrame::Fetched { number: 300 }],
    Ping => [ChannelFrame::Ping],
    Bye => [ChannelFrame::Bye],
});

samples!(Having, PEER_FRAME_BYTES_MAX, {
    Groups => [Having::Groups { groups: vec![] }, Having::Groups { groups: vec![(0, 1), (300, 70_000)] }],
    Whole => [Having::Whole],
});

samples!(RelayedAnswer, PEER_FRAME_BYTES_MAX, {
    Accepted => [RelayedAnswer::Accepted],
    Refused => [RelayedAnswer::Refused(refusal())],
});

samples!(HelloAnswer, PEER_FRAME_BYTES_MAX, {
    Accepted => [HelloAnswer::Accepted { program: "swapmeet 0.1.0".into() }],
    Refused => [HelloAnswer::Refused(refusal())],
});

samples!(FetchFrame, PEER_FRAME_BYTES_MAX, {
    Grant => [FetchFrame::Grant(signed_grant())],
    Want => [
        FetchFrame::Want(Want { blob: BlobHash([0xb1; 32]), size: 5_000_000_000, groups: vec![(0, 1), (200, 305_176)] }),
        FetchFrame::Want(Want { blob: BlobHash([0xb1; 32]), size: 0, groups: vec![] }),
    ],
    WantTree => [FetchFrame::WantTree {
        want: Want { blob: BlobHash([0xb1; 32]), size: 5_000_000_000, groups: vec![(0, 65_536)] }, height: 4,
    }],
});

samples!(FetchReply, PEER_FRAME_BYTES_MAX, {
    Serving => [FetchReply::Serving],
    Refused => [FetchReply::Refused(refusal())],
    Queued => [
        FetchReply::Queued(Queued { position: 1, wait_ms: None }),
        FetchReply::Queued(Queued { position: 300, wait_ms: Some(180_000) }),
    ],
});

samples!(Code, PEER_FRAME_BYTES_MAX, {
    BadRequest => [Code::BadRequest],
    Unauthenticated => [Code::Unauthenticated],
    Forbidden => [Code::Forbidden],
    NotFound => [Code::NotFound],
    Conflict => [Code::Conflict],
    TooLarge => [Code::TooLarge],
    RateLimited => [Code::RateLimited],
    Unavailable => [Code::Unavailable],
    Unsupported => [Code::Unsupported],
    Internal => [Code::Internal],
    Changed => [Code::Changed],
    Cancelled => [Code::Cancelled],
    Protected => [Code::Protected],
});

samples!(ProtectedRequest, REQUEST_BYTES_MAX, {
    Publish => [ProtectedRequest::Publish {
        entries: vec![ProtectedEntry {
            entry: PublishEntry {
                path: "plans.pdf".into(),
                blob: BlobHash([0xb1; 32]),
                size: 70_000,
                modified_ms: 1_700_000_000_123,
                executable: false,
                audience: Some(Audience::Hidden),
                note: None,
            },
            lock: Lock { stretch: Stretch::Argon2id, salt: [0x5a; 16], key: [0x4e; 32] },
        }],
    }],
    Locks => [ProtectedRequest::Locks { files: vec![FileId([0xf1; 16]), FileId([0xf2; 16])] }],
    Prove => [ProtectedRequest::Prove { file: FileId([0xf1; 16]), salt: [0x5a; 16], proof: vec![0x51; 64] }],
});

samples!(ProtectedAnswer, REPLY_BYTES_MAX, {
    Locks => [ProtectedAnswer::Locks {
        locks: vec![None, Some(Locked { stretch: Stretch::Argon2id, salt: [0x5a; 16], open: true })],
    }],
});

samples!(Mapping, PROBE_FRAME_BYTES_MAX, {
    Unknown => [Mapping::Unknown],
    Open => [Mapping::Open],
    Independent => [Mapping::Independent],
    Symmetric => [Mapping::Symmetric],
});

samples!(Role, PROBE_FRAME_BYTES_MAX, {
    Dial => [Role::Dial],
    Await => [Role::Await],
});

samples!(Attempt, REQUEST_BYTES_MAX, {
    First => [Attempt::First],
    FreshSockets => [Attempt::FreshSockets],
});

samples!(Way, REPLY_BYTES_MAX, {
    Here => [Way::Here(rendezvous())],
    FreshSockets => [Way::FreshSockets { token: [0x70; 16] }],
});

samples!(ProbeRequest, PROBE_FRAME_BYTES_MAX, {
    Observe => [ProbeRequest::Observe { device: DeviceId([0xd1; 16]), ticket: [0x7c; 16] }],
    Meet => [ProbeRequest::Meet { token: [0x70; 16] }],
});

samples!(ProbeAnswer, PROBE_FRAME_BYTES_MAX, {
    Refused => [ProbeAnswer::Refused(refusal())],
    Observed => [ProbeAnswer::Observed { address: v4(), mapping: Mapping::Symmetric }],
    Met => [ProbeAnswer::Met(rendezvous())],
});

samples!(MessageRequest, REQUEST_BYTES_MAX, {
    PublishKey => [MessageRequest::PublishKey { key: [0x5e; 32], proof: vec![0x51; 64] }],
    Keys => [
        MessageRequest::Keys { to: None, after: None },
        MessageRequest::Keys { to: Some(AccountId([0xa2; 16])), after: Some(DeviceId([0xd1; 16])) },
    ],
    Send => [MessageRequest::Send(Sending {
        header: message_header(),
        body: vec![0xb0; 3],
        signature: vec![0x51; 64],
        seals: vec![Seal { device: DeviceId([0xd2; 16]), sealed: vec![0x5e; 80] }],
        last: true,
    })],
    Waiting => [MessageRequest::Waiting { after: 300 }],
    Acknowledge => [MessageRequest::Acknowledge { messages: vec![MessageId([0x3e; 16])] }],
    Delivered => [MessageRequest::Delivered { messages: vec![MessageId([0x3e; 16])] }],
});

samples!(MessageAnswer, REPLY_BYTES_MAX, {
    Done => [MessageAnswer::Done],
    Keys => [MessageAnswer::Keys {
        keys: vec![DeviceKeys {
            account: AccountId([0xa2; 16]), signing: [0x7e; 32], sealing: [0x5e; 32], proof: vec![0x51; 64],
        }],
        next: Some(DeviceId([0xd2; 16])),
    }],
    Sent => [MessageAnswer::Sent { at_ms: 1_700_000_000_123 }],
    DevicesMissing => [MessageAnswer::DevicesMissing { devices: 2 }],
    More => [MessageAnswer::More],
    TooMany => [MessageAnswer::TooMany { wait_ms: 900 }],
    Waiting => [MessageAnswer::Waiting { messages: vec![delivery()], more: true }],
    Delivered => [MessageAnswer::Delivered { messages: vec![MessageId([0x3e; 16])] }],
});

samples!(MessageEvent, REPLY_BYTES_MAX, {
    Arrived => [MessageEvent::Arrived(Box::new(delivery()))],
    Delivered => [MessageEvent::Delivered { messages: vec![MessageId([0x3e; 16])] }],
});

fn message_header() -> Header {
    Header {
        id: MessageId([0x3e; 16]),
        from: AccountId([0xa1; 16]),
        device: DeviceId([0xd1; 16]),
        to: Some(AccountId([0xa2; 16])),
        written_ms: 1_700_000_000_123,
    }
}

fn delivery() -> Delivery {
    Delivery {
        place: 300,
        header: message_header(),
        from_name: "member 1".into(),
        to_name: Some("member 2".into()),
        signing: [0x7e; 32],
        at_ms: 1_700_000_000_456,
        body: vec![0xb0; 3],
        signature: vec![0x51; 64],
        sealed: vec![0x5e; 80],
    }
}

fn rendezvous() -> Rendezvous {
    Rendezvous { role: Role::Await, candidates: vec![v6(), v4()], start_in_ms: 300 }
}

fn introduction() -> Introduction {
    Introduction { device: DeviceId([0xd1; 16]), way: Way::Here(rendezvous()) }
}

/// An item of each kind and state.
fn item_entries() -> Vec<ItemEntry> {
    let request = |wanted| What::Request {
        wanted,
        file: Some(FileId([0xf1; 16])),
        path: "folder/name".into(),
        size: 300,
        blob: Some(BlobHash([0xb1; 32])),
        copy: true,
    };
    let offer = What::Offer { parcel: ParcelId([0xe2; 16]), name: "folder".into(), files: 2, size: 300, blob: None };
    let entry = |what, state| ItemEntry {
        id: ItemId([0xe1; 16]),
        what,
        from: AccountId([0xa1; 16]),
        from_name: "member 1".into(),
        from_device: DeviceId([0xd1; 16]),
        to: Some(AccountId([0xa2; 16])),
        to_name: Some("member 2".into()),
        text: "for the talk".into(),
        word: "later".into(),
        state,
        created_ms: 1_700_000_000_123,
        expires_ms: 1_700_000_000_456,
        changed_ms: 1_700_000_000_234,
    };
    vec![
        entry(request(Wanted::Source), State::Waiting),
        entry(request(Wanted::Approval), State::Accepted),
        entry(request(Wanted::Word), State::Fulfilled),
        ItemEntry { to: None, to_name: None, ..entry(request(Wanted::Board), State::Declined) },
        entry(offer, State::Cancelled),
        entry(What::Channel, State::Expired),
    ]
}

fn invite_entry() -> InviteEntry {
    InviteEntry { hint: "abcd".into(), uses_left: 3, ends_ms: Some(1_700_000_000_123) }
}

fn v4() -> SocketAddr {
    (Ipv4Addr::new(192, 0, 2, 7), 7000).into()
}

fn v6() -> SocketAddr {
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7), 65_535).into()
}

fn refusal() -> Refusal {
    Refusal::new(Code::NotFound, "no such file")
}

fn new_device() -> NewDevice {
    NewDevice { key: [0x7e; 32], proof: vec![0x51; 64], label: "laptop".into() }
}

fn file_entry() -> FileEntry {
    FileEntry {
        id: FileId([0xf1; 16]),
        owner: AccountId([0xa1; 16]),
        owner_name: "member 1".into(),
        path: "rushes/day 1.mov".into(),
        blob: BlobHash([0xb1; 32]),
        size: 5_000_000_000,
        modified_ms: 1_700_000_000_123,
        executable: true,
        visibility: Visibility::People(vec![AccountId([0xa2; 16])]),
        protected: true,
        version: 2,
        note: "take two".into(),
        shared_ms: 1_700_000_000_456,
        copy: CopyState::Pending,
    }
}

fn folder_entry() -> FolderEntry {
    FolderEntry {
        id: FolderId([0xfd; 16]),
        owner: AccountId([0xa1; 16]),
        owner_name: "member 1".into(),
        path: "rushes".into(),
        files: 3,
        bytes: 5_000_000_000,
    }
}

fn device_seen() -> DeviceSeen {
    DeviceSeen { device: DeviceId([0xd1; 16]), presence: Presence::Away, last_seen_ms: Some(1_700_000_000_456) }
}

fn member_entry() -> MemberEntry {
    MemberEntry {
        account: AccountId([0xa1; 16]),
        name: "member 1".into(),
        presence: Presence::Away,
        last_seen_ms: Some(1_700_000_000_123),
        shares: 4,
        devices: 2,
    }
}

fn grant_key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

fn signed_grant() -> SignedGrant {
    let from = |devices: &[u8], copy| (devices.iter().map(|n| DeviceId([*n; 16])).collect(), copy);
    let allowed =
        [(BlobHash([0xb2; 32]), from(&[0xd3, 0xd2], false)), (BlobHash([0xb1; 32]), from(&[0xd3], true))].into();
    let grant = Grant::new(DeviceId([0xd1; 16]), 1_700_000_600_000, &allowed);
    grant.sign(|bytes| grant_key().sign(bytes).as_ref().try_into().unwrap())
}
