//! Every bound of Swapmeet with its unit and its reason. A value is written once, here.

use std::time::Duration;

mod asking;
mod channels;
mod events;
mod messages;
mod protected;
mod ways;

pub use asking::*;
pub use channels::*;
pub use events::*;
pub use messages::*;
pub use protected::*;
pub use ways::*;

// Content

/// Bytes of one verified group. Smaller groups cost hashing speed (1 KiB pieces: a fifth), larger ones lose more to a
/// wrong byte.
pub const GROUP_BYTES: u64 = 16 * 1024;
/// Bytes that a source reads from disk in one go: large enough for the disk, small enough to stay in the cache.
pub const READ_BLOCK_BYTES: u64 = 1024 * 1024;
/// Threads that read small files to serve them at a time.
pub const SMALL_READERS_MAX: usize = 2;
/// Buffers of such a block that are kept for the next read: as much as one connection has under way.
pub const READ_BLOCKS_KEPT_MAX: usize = 8;
/// Bytes of one slice of work given to a source. Small against a file, large against a round trip.
pub const SLICE_BYTES: u64 = 16 * 1024 * 1024;
/// Slices that one source works on at a time: the next is asked before the last one ends.
pub const SLICES_IN_FLIGHT_MAX: usize = 2;
/// Files up to this size travel in batches on one stream; larger ones are sliced one by one.
pub const SMALL_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Bytes asked and not yet received on one batch stream.
pub const BATCH_BYTES_IN_FLIGHT_MAX: u64 = 8 * 1024 * 1024;
/// Wants sent and not yet answered on one batch stream.
pub const BATCH_WANTS_IN_FLIGHT_MAX: usize = 512;
/// A file larger than this is refused by hash-tree arithmetic (64 PiB leave every product inside `u64`).
pub const FILE_BYTES_MAX: u64 = 1 << 56;
/// Nodes of a hash tree in one answer about where a new version differs from an old one, in a file of one part.
pub const TREE_NODES_MAX: u64 = 8192;
/// Older versions of a file that a new one is compared with.
pub const VERSIONS_COMPARED_MAX: usize = 3;
/// Levels of a hash tree between two looks: 16 times finer each time.
pub const TREE_STEP: u8 = 4;
/// Ranges in one want: a resumed file with more holes asks in several wants.
pub const WANT_RANGES_MAX: usize = 256;
/// Time without a verified group after which a source counts as stalled.
pub const SOURCE_STALL: Duration = Duration::from_secs(8);
/// Silence of every member after which the tracker's copy gets work too: longer than a lost packet or a busy disk takes,
/// much shorter than giving a member up.
pub const COPY_AFTER: Duration = Duration::from_secs(2);
/// Wrong answers after which a source is dropped for this blob. One is enough: honest sources make none.
pub const SOURCE_FAULTS_MAX: u32 = 1;

// Wire

/// Bytes of one request to the tracker before it is decoded.
pub const REQUEST_BYTES_MAX: usize = 512 * 1024;
/// Bytes of one reply of the tracker before it is decoded.
pub const REPLY_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one frame between members before it is decoded. The largest is a grant for a whole batch.
pub const PEER_FRAME_BYTES_MAX: usize = 128 * 1024;
/// Bytes of one frame at the tracker's second port before it is decoded: eight addresses, or a refusal.
pub const PROBE_FRAME_BYTES_MAX: usize = 4 * 1024;
/// Time for one request to arrive whole.
pub const REQUEST_READ: Duration = Duration::from_secs(20);
/// Time for a dialer to be greeted by the application on the other side.
pub const HELLO: Duration = Duration::from_secs(10);
/// Time a served stream may stand still because its reader takes nothing. A reader at [`RATE_BYTES_MIN`] tells that it
/// took something each time that an eighth of its window is free again: after 96 s.
pub const SERVE_STALL: Duration = Duration::from_secs(120);
/// Blobs that one grant may name: 32 KiB of hashes.
pub const GRANT_BLOBS_MAX: usize = 1000;
/// Life of a grant. Long enough for a large batch to begin, short enough that a leak is worthless.
pub const GRANT_LIFE: Duration = Duration::from_secs(10 * 60);
/// Time after which a download that still runs gets a new grant: halfway, so that a tracker may be away for a while.
pub const GRANT_RENEW: Duration = Duration::from_secs(5 * 60);
/// Wait before another try when a running download did not get a new grant.
pub const GRANT_RENEW_AGAIN: Duration = Duration::from_secs(30);
/// Clock difference tolerated where an expiry is checked.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// Entries in one publish request.
pub const PUBLISH_ENTRIES_MAX: usize = 500;
/// Entries in one page of a reply. With names of ordinary length a page stays far below the reply limit.
pub const PAGE_ENTRIES_MAX: usize = 1000;
/// Bytes that a page's texts may hold, so that very long names still fit a reply.
pub const PAGE_BYTES_MAX: usize = 512 * 1024;
/// Search hits in one page: nobody scrolls further without refining.
pub const SEARCH_HITS_MAX: usize = 200;
/// Sources named for one file.
pub const SOURCES_MAX: usize = 16;
/// Addresses that a device may announce, and that a source is listed with.
pub const ADDRESSES_MAX: usize = 8;
/// Versions kept in the history of a file.
pub const VERSIONS_MAX: usize = 32;

// Names

/// Bytes of one name: what every common file system holds.
pub const NAME_BYTES_MAX: usize = 255;
/// Bytes of one path in the index.
pub const PATH_BYTES_MAX: usize = 4096;
/// Folders within folders.
pub const PATH_DEPTH_MAX: usize = 64;
/// Characters of a member's name.
pub const MEMBER_NAME_CHARS_MIN: usize = 2;
/// Characters of a member's name: what a column of the member list shows whole.
pub const MEMBER_NAME_CHARS_MAX: usize = 32;
/// Characters of a password: fewer are guessed.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Bytes of a password: more would only cost the tracker hashing time.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Bytes of a note on a file.
pub const NOTE_BYTES_MAX: usize = 2000;
/// Bytes of an e-mail address (RFC 5321, section 4.5.3.1.3).
pub const EMAIL_BYTES_MAX: usize = 254;
/// Bytes of a device's label.
pub const DEVICE_LABEL_BYTES_MAX: usize = 64;
/// Bytes of a search query.
pub const QUERY_BYTES_MAX: usize = 256;
/// Members that one file can be shown to by name.
pub const PEOPLE_MAX: usize = 64;

// Tracker

/// Streams that a client may have open at the tracker at a time: the limit is the memory cost of an idle member.
pub const TRACKER_BIDI_STREAMS_MAX: u32 = 16;
/// Unidirectional streams that a client may have open at the tracker.
pub const TRACKER_UNI_STREAMS_MAX: u32 = 4;
/// Connections that a tracker holds: the members of a large group with several devices each.
pub const TRACKER_CONNECTIONS_MAX: usize = 12_000;
/// Handshakes in progress beyond which new addresses must prove themselves by a retry.
pub const TRACKER_HANDSHAKES_FREE: usize = 64;
/// Handshakes in progress beyond which newcomers are turned away.
pub const TRACKER_HANDSHAKES_MAX: usize = 1024;
/// Connections from one address: a household or a lab behind one router.
pub const TRACKER_CONNECTIONS_PER_ADDRESS_MAX: usize = 4096;
/// Time a connection may stay without signing in.
pub const TRACKER_ANONYMOUS: Duration = Duration::from_secs(60);
/// Password hashes computed at a time: each takes 19 MiB and a core.
pub const PASSWORD_HASHES_AT_ONCE_MAX: usize = 2;
/// Password hashes waiting for their turn before sign-ins are told to come back.
pub const PASSWORD_HASHES_WAITING_MAX: usize = 128;
/// Devices of one account.
pub const DEVICES_PER_ACCOUNT_MAX: usize = 64;
/// Files of one account in the index.
pub const FILES_PER_ACCOUNT_MAX: u64 = 1_000_000;
/// Copies that the tracker fetches at a time.
pub const COPIES_AT_ONCE_MAX: usize = 4;
/// Copies waiting to be fetched.
pub const COPIES_WAITING_MAX: usize = 10_000;
/// Time a stopping program gives its connections to end by themselves.
pub const SHUTDOWN: Duration = Duration::from_secs(5);

// Connections

/// Interval of keep-alives from client to tracker (RFC 8085 allows 15 s; NATs forget after 30 s).
pub const TRACKER_KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Silence after which a client counts as gone. Presence promises 45 s, and what the tracker sends into the silence
/// starts it anew once.
pub const TRACKER_IDLE: Duration = Duration::from_secs(22);
/// Interval of keep-alives between members while a connection is used.
pub const PEER_KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Silence after which a member's connection counts as lost.
pub const PEER_IDLE: Duration = Duration::from_secs(20);
/// Round trip assumed before the first answer: a lost datagram of a handshake is sent again after three of them. The
/// usual 333 ms would cost a second; on longer paths two needless datagrams are sent.
pub const ROUND_TRIP_GUESS: Duration = Duration::from_millis(100);
/// Time to reach a member at one address.
pub const PEER_DIAL: Duration = Duration::from_secs(5);
/// Time to reach the tracker at one address.
pub const TRACKER_DIAL: Duration = Duration::from_secs(8);
/// Files that one device says it holds in part without sharing them: those that it fetches, and fetched lately.
pub const HELD_FILES_MAX: usize = 128;
/// Ranges in one message about what a source has by now.
pub const HAVE_RANGES_MAX: usize = 2048;
/// How often a source that is still fetching tells what it has: often enough that the next one is never long behind it.
pub const HAVE_NEWS: Duration = Duration::from_millis(200);
/// Time in which changes of what a device holds gather before the tracker is told.
pub const HOLD_GATHER: Duration = Duration::from_millis(100);
/// Time that a download goes on with nobody but sources that lack what it lacks, before it waits for another.
pub const PARTS_PATIENCE: Duration = Duration::from_secs(15);
/// Shortest time between two looks for sources that somebody's coming caused.
pub const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Streams that one member may have open at another.
pub const PEER_STREAMS_MAX: u32 = 32;
/// Connections that a member accepts from others at a time.
pub const PEER_CONNECTIONS_MAX: usize = 256;
/// Streams that a member serves at a time, over all connections.
pub const SERVED_STREAMS_MAX: usize = 64;
/// Bytes of the receive window of one stream.
pub const STREAM_WINDOW_BYTES: u32 = 6 * 1024 * 1024;
/// Bytes of the receive window of one connection.
pub const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// Bytes sent and not acknowledged on one connection.
pub const SEND_WINDOW_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes of the receive window of one stream at the tracker, where a member sends only small requests.
pub const TRACKER_STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// Largest UDP payload that is sent where a path carries it, as loopback and jumbo frames do: a third of the work of
/// small ones. Ten of them are handed to the kernel together, which takes at most 64 KiB.
pub const DATAGRAM_BYTES_MAX: u16 = 6_500;
/// Time after which larger datagrams are tried again when a path seems to carry them no more. Several losses at once
/// look the same, so it is short.
pub const DATAGRAM_RETRY: Duration = Duration::from_secs(5);
/// Time between two searches for larger datagrams on connections of members, which last as long as there is something
/// to transfer. A path that carried only small ones for a while is found out by it.
pub const DATAGRAM_SEARCH: Duration = Duration::from_secs(60);
/// Bytes asked of the kernel for each socket buffer; its default loses hundreds of packets per GiB.
pub const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// First wait before the tracker is tried again.
pub const RECONNECT_MIN: Duration = Duration::from_secs(1);
/// Longest wait before the tracker is tried again.
pub const RECONNECT_MAX: Duration = Duration::from_secs(60);

// Doctor

/// Time that the doctor gives each way to the tracker.
pub const DOCTOR_LOOK: Duration = Duration::from_secs(5);
/// Time in which the size of datagrams is found out on a healthy path.
pub const DOCTOR_MTU: Duration = Duration::from_secs(3);
/// Time without a change after which that size counts as found, on a short path.
pub const DOCTOR_MTU_STEP: Duration = Duration::from_millis(250);
/// A round trip that people notice in every answer.
pub const RTT_LONG: Duration = Duration::from_millis(400);
/// Bytes of the smallest datagram of QUIC: where no larger one gets through, the path is narrower than Ethernet.
pub const DATAGRAM_SMALL: u16 = 1200;
/// Difference of clocks that is worth a look: beyond it ends of grants get unsharp.
pub const CLOCK_DOUBTFUL: Duration = Duration::from_secs(30);
/// Difference of clocks beyond which certificates are not valid yet, or nearly: they are dated back by 10 minutes.
pub const CLOCK_WRONG: Duration = Duration::from_secs(9 * 60);

/// Life of a device's certificate.
pub const CERTIFICATE_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Age after which a certificate in use is renewed: half its life.
pub const CERTIFICATE_RENEW: Duration = Duration::from_secs(12 * 3600);

// Client

/// Transfers of large files that run at a time; the rest waits in the queue.
pub const TRANSFERS_AT_ONCE_MAX: usize = 3;
/// Faces attached to one engine at a time.
pub const FACES_MAX: usize = 32;
/// Bytes of one line on the local socket.
pub const LOCAL_LINE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Updates waiting for one slow face before it is told to resynchronise.
pub const UPDATES_WAITING_MAX: usize = 1024;
/// Bytes after which a running download's data is made durable in the background.
pub const DURABLE_EVERY_BYTES: u64 = 1024 * 1024 * 1024;
/// Bytes after which the disk is told to begin writing what arrived: a large write for any disk, and little to wait for
/// when the last flush comes.
pub const WRITE_BEHIND_BYTES: u64 = 8 * 1024 * 1024;
/// Such writes that the disk is given time for before their bytes leave the memory.
pub const WRITES_BEHIND_MAX: usize = 16;
/// Bytes after which newly verified groups are noted in the have-log: what a kill may cost.
pub const NOTE_EVERY_BYTES: u64 = 1024 * 1024;
/// Files waiting to be hashed before the scan pauses.
pub const HASH_QUEUE_MAX: usize = 1024;

// Text from other people

/// Graphemes of one name or line that are shown: nobody reads a longer one, and it would push everything else away.
pub const GRAPHEMES_SHOWN_MAX: usize = 256;
/// Characters shown for each grapheme allowed: one grapheme may legally be of any length (joined emoji, Hangul jamo).
pub const CHARS_PER_GRAPHEME_SHOWN_MAX: usize = 8;
/// Combining marks on one letter. No script needs more; piles of them smear over neighbouring lines.
pub const MARKS_PER_BASE_MAX: usize = 4;

// Received files

/// Bytes at the end of a name that count as its extension and survive when a long name is cut.
pub const EXTENSION_BYTES_MAX: usize = 16;
/// Numbers tried for `name (1).ext` before a folder is considered hopeless.
pub const NUMBERED_MAX: u32 = 100_000;
/// Folders whose listing a download keeps at a time: files arrive folder by folder, and each listing is read once.
pub const LISTINGS_KEPT_MAX: usize = 16;

// Tracker's database

/// Connections that read the tracker's database at a time: one a core, and each holds a page cache.
pub const DATABASE_READERS: u32 = 2;
/// Bytes of the page cache of the connection that writes: publishing touches many random places of several indexes.
pub const DATABASE_WRITER_CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// Pages of 4 KiB in the write-ahead log before they move into the database.
pub const DATABASE_LOG_PAGES: u32 = 4000;
/// Rows that a database thread reads ahead: enough to spare most switches between it and who reads them.
pub const DATABASE_ROWS_AHEAD: usize = 1024;
/// Time a statement waits for a lock on the database (another process may be looking at it).
pub const DATABASE_WAIT: Duration = Duration::from_secs(10);
/// Newest search hits that are put in order of quality; the ones behind come by age.
pub const SEARCH_RANKED_MAX: usize = 1000;
/// Words of one search query: each costs a pass.
pub const SEARCH_WORDS_MAX: usize = 16;
/// Words of one or two characters in one search query: they are looked for without an index.
pub const SEARCH_SHORT_WORDS_MAX: usize = 4;
/// Changes of the index after which a tombstone is forgotten; whoever was away longer starts anew.
pub const TOMBSTONE_CHANGES_MAX: i64 = 2_000_000;
/// Rows written by one statement: below SQLite's limit of 32,766 values.
pub const INSERT_ROWS_MAX: usize = 100;

// Screen

/// Messages kept in the log of the screen: more than anyone scrolls back.
pub const MESSAGES_MAX: usize = 200;
/// Suggestions shown while a path is typed.
pub const PATH_SUGGESTIONS_MAX: usize = 50;
/// Files that one key press fetches without a question.
pub const UNASKED_FILES_MAX: u64 = 1_000;
/// Files that are matched and sorted between two frames; more go to a worker.
pub const SORTED_INLINE_MAX: usize = 10_000;
/// Terminal events handled before a frame is drawn, so that a flood cannot stop drawing.
pub const EVENTS_PER_FRAME_MAX: usize = 4096;
/// Reports waiting for the screen: enough to fill a frame, few enough that pages of the index do not pile up.
pub const REPORTS_WAITING_MAX: usize = 32;
/// Bytes of text put on the clipboard through the terminal; many terminals drop longer sequences.
pub const CLIPBOARD_BYTES_MAX: usize = 64 * 1024;
/// Copies looked at in one step by the tracker's queue of copies.
pub const COPY_PAGE_MAX: i64 = 256;

// Tracker's door

/// Wrong passwords for one account from one address before a delay begins: people mistype.
pub const SIGN_IN_FREE_TRIES: u32 = 5;
/// First delay; it doubles with each further wrong password.
pub const SIGN_IN_DELAY_MIN: Duration = Duration::from_secs(10);
/// Longest delay.
pub const SIGN_IN_DELAY_MAX: Duration = Duration::from_secs(15 * 60);
/// Time after which wrong passwords are forgotten.
pub const SIGN_IN_FORGET: Duration = Duration::from_secs(60 * 60);
/// Pairs of account and address whose wrong passwords are remembered.
pub const SIGN_IN_SOURCES_MAX: usize = 10_000;
/// Devices that members are told of as signed out while their certificates last: one message of events.
pub const REVOKED_TOLD_MAX: usize = 2048;
/// Pairs of members who came apart of which a relay may not have heard yet; one that misses some ends to be safe.
pub const PARTINGS_WAITING_MAX: usize = 64;
/// Members in one answer about their devices, of which each may have [`DEVICES_PER_ACCOUNT_MAX`].
pub const SEEN_PAGE_MAX: usize = 100;
/// Time after which it is written down again who is connected: how far off "last seen" may be after a crash.
pub const SEEN_NOTED: Duration = Duration::from_secs(60);
/// Time without a key press after which whoever has the screen open counts as away, unless set otherwise: a coffee
/// break, not a pause for thought.
pub const AWAY_AFTER: Duration = Duration::from_secs(10 * 60);
/// Members whom one member has blocked: all of them are told to its devices in one message.
pub const BLOCKS_MAX: usize = 1_000;
/// Letters and digits of a recovery code: 120 bits.
pub const RECOVERY_CODE_CHARS: usize = 24;
/// Bytes of a recovery or invitation code as typed, with room for hyphens and spaces.
pub const CODE_BYTES_MAX: usize = 128;
/// Invitations that a tracker keeps.
pub const INVITES_MAX: usize = 1000;
/// Time between two looks at what administration did to accounts while the tracker runs.
pub const ADMINISTRATION_LOOK: Duration = Duration::from_secs(2);
/// Bytes of text with a request or an offer, and of the word that answers it: some sentences.
pub const ITEM_TEXT_BYTES_MAX: usize = 2000;
/// How long a request or an offer waits unless told otherwise: somebody on holiday still finds it.
pub const ITEM_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long one waits at least: it can be seen before it ends.
pub const ITEM_LIFE_MIN: Duration = Duration::from_secs(1);
/// How long one waits at most.
pub const ITEM_LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long an ended one is remembered.
pub const ITEM_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
/// Open requests and offers that a member may have begun.
pub const ITEMS_OPEN_MAX: usize = 5000;
/// Requests and offers that a member may begin in [`ITEMS_SPAN`]; an offer to a large group is one for each member.
pub const ITEMS_PER_SPAN_MAX: usize = 3000;
/// Requests to everyone that a member may begin in [`ITEMS_SPAN`]: everyone is told of each.
pub const BOARD_PER_SPAN_MAX: usize = 20;
/// The span for which new requests and offers are counted.
pub const ITEMS_SPAN: Duration = Duration::from_secs(3600);
/// Items of one page.
pub const ITEMS_PAGE_MAX: usize = 200;
/// How often the tracker looks for requests and offers whose time is over, at least.
pub const ITEMS_LOOK: Duration = Duration::from_secs(3600);
/// Files of one offer.
pub const PARCEL_FILES_MAX: u64 = 100_000;
/// How long a parcel may be packed before it is offered: as long as a slow disk hashes it.
pub const PARCEL_DRAFT_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Bytes of copies that a member leaves for requests at once.
pub const LEFT_COPY_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// How often the engine looks at requests and offers that could not be dealt with.
pub const INBOX_RETRY: Duration = Duration::from_secs(30);
/// How long an asker must be away before a copy is left: who is back soon fetches it straight.
pub const LEAVE_COPY_AFTER: Duration = Duration::from_secs(5);
/// Time for a handshake with a client.
pub const TRACKER_HANDSHAKE: Duration = Duration::from_secs(10);
/// Time a reply may take to be read by the client.
pub const REPLY_WRITE: Duration = Duration::from_secs(30);
/// Characters of a program's name that a log keeps.
pub const PROGRAM_CHARS_MAX: usize = 128;
/// Registrations that one invitation code may allow.
pub const INVITE_USES_MAX: u32 = 1000;
/// Bytes of a part in which a blob travels into the blob store: what S3 demands at least is 5 MiB.
pub const BLOB_PART_BYTES: usize = 8 * 1024 * 1024;
/// Wait before a copy that broke off is tried again from the same devices.
pub const COPY_RETRY: Duration = Duration::from_secs(30);
/// Tries of one copy, all its devices being connected, before its owner is told that it failed.
pub const COPY_TRIES_MAX: u32 = 5;
/// Threads on which the tracker waits for disk and computes passwords: more would only queue at the disk.
pub const TRACKER_BLOCKING_THREADS_MAX: usize = 16;
/// Grants that a source remembers for one fetch stream: those of the batches being fetched now.
pub const GRANTS_HELD_MAX: usize = 16;
/// Helpings that a source prepares ahead on one fetch stream: small files of together [`SERVE_HELPING_BYTES_MAX`], or
/// one file.
pub const SERVE_LOOKAHEAD_MAX: usize = 8;
/// Bytes of the small files that a source reads in one go. A single file may be larger.
pub const SERVE_HELPING_BYTES_MAX: u64 = 512 * 1024;
/// Bytes that a source sends before it looks whether its reader takes them: a slow reader is not a dead one.
pub const SERVE_LUMP_BYTES_MAX: u64 = 256 * 1024;
/// Small files that a source reads in one go: enough to spare most switches between threads.
pub const SERVE_HELPING_FILES_MAX: usize = 64;
/// Events of a lane that are told together, and such bundles that wait to be read.
pub const LANE_EVENTS_MAX: usize = 64;
/// Batches of received packets that wait for verification on one fetch stream: about 1.5 MiB.
pub const FETCH_BATCHES_WAITING_MAX: usize = 16;
/// Received pieces in one such batch.
pub const FETCH_PIECES_MAX: usize = 64;
/// Devices named in one answer to a question for sources: with eight addresses each they stay far below a reply's limit.
pub const LOCATED_PEERS_MAX: usize = 256;
/// Interval at which a running tracker replaces its server certificate, which lives for a year.
pub const TRACKER_CERTIFICATE_RENEW: Duration = Duration::from_secs(30 * 24 * 3600);
/// Time that verified groups may wait to be written together: a source of a few KiB/s is slow, not silent.
pub const VERIFIED_WAIT: Duration = Duration::from_secs(1);

// Download machine

/// Bytes of a source's first slices, before its speed is known; they double as it delivers, so that a fast one is not
/// held up. Little to lose on a slow line, and little that is asked before others tell that they have it too.
pub const SLICE_START_BYTES: u64 = 512 * 1024;
/// Bytes of the smallest slice: below, round trips would outweigh what smaller slices gain at the end, and above, a
/// source that hundreds share would need many seconds for one.
pub const SLICE_BYTES_MIN: u64 = 64 * 1024;
/// Time that one slice should take its source: long against a round trip, short against the wait for a slow one.
pub const SLICE_WORK: Duration = Duration::from_millis(1500);
/// Time that a slice should take its source even at the end: shorter ones would leave it waiting for the next order.
pub const SLICE_WORK_MIN: Duration = Duration::from_millis(300);
/// Time that a source still has to work when it is asked for its next slice: longer than any round trip, and so short
/// that what others have brought by then need not be asked for.
pub const SLICE_QUEUED: Duration = Duration::from_millis(750);
/// Time over which a source's speed is measured: shorter trembles, longer notices a change too late.
pub const SPEED_WINDOW: Duration = Duration::from_secs(3);
/// Time whose bytes count as one when a speed is measured: bounds what is remembered.
pub const SPEED_STEP: Duration = Duration::from_millis(125);
/// Time of work before a speed is believed: the first bytes come in bursts.
pub const SPEED_MEASURE_MIN: Duration = Duration::from_millis(250);
/// Bytes that are handed to the reader of a stream in one go: little to hold, and far above what a step costs.
pub const STREAM_STEP_BYTES: u64 = 1024 * 1024;
/// Time since a stream began after which the next start of the engine drops what its reader left unread.
pub const STREAM_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Ranges of wrong bytes that are written out for people.
pub const RANGES_SHOWN_MAX: usize = 100;
/// Interval at which idle sources are compared with slow ones at the end of a download.
pub const RACE_CHECK: Duration = Duration::from_millis(500);
/// Time that a source takes for its first bytes as long as nobody knows: long, so that its help is asked for little.
pub const RESPONSE_GUESS: Duration = Duration::from_secs(1);
/// Work that a source ends sooner than this is left to it: asking another one would gain nothing.
pub const RACE_REST_MIN: Duration = Duration::from_millis(500);
/// Thousandths of a blob that races may cost in bytes that come twice; slices that are silent are raced for at any
/// cost, since little of them comes.
pub const RACE_COST_PERMILLE: u64 = 6;
/// Ranges of a source's groups that are remembered, and that are looked at when the rarest ones are chosen: many times
/// what an honest source has that downloads itself, and little to keep. What a source has beyond is not asked of it.
pub const SOURCE_RANGES_MAX: usize = 16 * 1024;
/// Areas of a blob that downloads of the same blob fetch in different orders: many against the members of a swarm, few
/// against what a disk and a list of ranges bear.
pub const SPREAD_AREAS_MAX: u64 = 1024;
/// Bytes of the smallest such area: one block of reading.
pub const SPREAD_AREA_BYTES_MIN: u64 = READ_BLOCK_BYTES;
/// Bytes between two places in an area at which a download may begin: members are often more than areas, and those who
/// begin at the same place fetch the same of the first source.
pub const SPREAD_STEP_BYTES: u64 = 64 * 1024;
/// Bytes ahead of a reader that are fetched before everything else: seconds of a film, a moment of a fast line.
pub const READ_AHEAD_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes ahead of a reader that are asked of a second source when the first one will be late with them.
pub const READ_URGENT_BYTES: u64 = 1024 * 1024;
/// Time that a slice just ahead of a reader should take its source: what is read next must not wait behind much.
pub const READ_SLICE_WORK: Duration = Duration::from_millis(500);
/// How often faces are told what changed.
pub const TICK: Duration = Duration::from_millis(200);
/// Files of a new transfer that are kept in memory until its first attempt: some 5 MB.
pub const PLAN_KEPT_MAX: usize = 20_000;
/// Small files that are fetched in one go: a few grants' worth, so that a stream seldom runs dry.
pub const BATCH_FILES_MAX: usize = 4 * GRANT_BLOBS_MAX;
/// Small files that wait for their names in one folder.
pub const STAGING_FOLDER_FILES: u64 = 64;
/// Small files that are worth making durable and naming while others still come.
pub const LANDING_FILES_MIN: usize = 4_000;
/// Bytes of them that are.
pub const LANDING_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// Bytes of small files that are made durable and get their names together: what power loss in a batch may cost.
pub const LANDING_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Small files that are made durable and get their names together.
pub const LANDING_FILES_MAX: usize = 20_000;
/// Time without any verified byte after which a `get` that does not wait gives up.
pub const GET_PATIENCE: Duration = Duration::from_secs(45);
/// First wait before sources are looked for again.
pub const LOCATE_AGAIN: Duration = Duration::from_secs(1);
/// Quiet time after which a changed shared file is hashed again: programs write in bursts.
pub const CHANGE_QUIET: Duration = Duration::from_millis(500);
/// Versions that a transfer follows when its file keeps changing, before it waits for it to rest.
pub const REPLANS_MAX: u32 = 5;
/// Lines kept in the log of one transfer.
pub const TRANSFER_LOG_LINES_MAX: usize = 50;
/// Cells of a transfer's map.
pub const MAP_CELLS: usize = 256;
/// Finished transfers that are remembered.
pub const TRANSFERS_REMEMBERED_MAX: usize = 500;
/// Reasons kept for files that a scan passed over.
pub const SCAN_TROUBLES_MAX: usize = 20;
/// Head start of each address of a device before the next one is tried too.
pub const PEER_DIAL_STAGGER: Duration = Duration::from_millis(150);

// Limits and order

/// Bytes per second that a limit may not be below: with a few receivers each of them still gets a group within the time
/// after which a source counts as silent.
pub const RATE_BYTES_MIN: u64 = 8 * 1024;
/// Time whose bytes pass together at a limited rate: short, so that a rate is smooth, and long against a timer.
pub const LIMIT_LUMP: Duration = Duration::from_millis(50);
/// Bytes that pass together at the lowest rates.
pub const LIMIT_LUMP_BYTES_MIN: u64 = 4 * 1024;
/// Bytes that pass together at the highest rates: a block that is read in one go.
pub const LIMIT_LUMP_BYTES_MAX: u64 = READ_BLOCK_BYTES;
/// Time of rest that may be caught up on at a limited rate.
pub const LIMIT_BURST: Duration = Duration::from_millis(250);
/// Longest time for which whoever waits at a limit does not look whether it still holds.
pub const LIMIT_LOOK: Duration = Duration::from_secs(1);
/// Members whose own rates are remembered while they rest.
pub const FLOW_MEMBERS_KEPT_MAX: usize = 256;
/// Rules about rates in one profile: by member and time of day, more than anybody keeps in mind.
pub const LIMIT_RULES_MAX: usize = 256;
/// Members served at a time unless another number is set: enough for every line, few enough that each gets along.
pub const SLOTS_DEFAULT: usize = 8;
/// Slots that can be set: each served stream needs a place among [`SERVED_STREAMS_MAX`].
pub const SLOTS_MAX: usize = SERVED_STREAMS_MAX;
/// Time that a member keeps a slot while others wait for one.
pub const SLOT_TURN: Duration = Duration::from_secs(30);
/// Bytes that a member is served in one turn while others wait.
pub const SLOT_TURN_BYTES: u64 = 256 * 1024 * 1024;
/// Time after which a want that outlasts its turn is cut off while others wait. What was sent of it is not lost.
pub const SLOT_OVERSTAY: Duration = Duration::from_secs(90);
/// Time that a slot is kept for the next want of a member: a round trip and the work of verifying.
pub const SLOT_REST: Duration = Duration::from_secs(1);
/// Shortest time between two words to whoever waits for a slot.
pub const QUEUE_NEWS_MIN: Duration = Duration::from_secs(1);
/// Longest time between them: half of what makes a source a silent one.
pub const QUEUE_NEWS_MAX: Duration = Duration::from_secs(4);

// Congestion control

/// Packets in flight when a connection begins (RFC 9002, section 7.2).
pub const CONGESTION_PACKETS_START: u64 = 10;
/// Packets in flight at least, so that confirmations keep coming.
pub const CONGESTION_PACKETS_MIN: u64 = 4;
/// Departures of which a controller remembers what was delivered before: with 48 for each round trip this covers more
/// than two. It is memory of every busy connection, 64 bytes each.
pub const CONGESTION_SENDS_MAX: usize = 128;
/// Time that such a departure is remembered at least: longer than any round trip.
pub const CONGESTION_SENDS_LIFE: Duration = Duration::from_secs(10);
/// Packets in flight while a path is still unknown: with every second one lost they leave the 1,000 holes that a receiver
/// bears.
pub const CONGESTION_STARTUP_PACKETS_MAX: u64 = 2_000;
/// Lost packets of one round trip that may be missing in a stream: quinn's receiver gives up at 1,024 holes.
pub const CONGESTION_HOLES_MAX: u64 = 512;
/// Time that packets wait in the two hosts, however short the path is.
pub const CONGESTION_HOST_DELAY: Duration = Duration::from_millis(1);
/// Time between two probes of a path: BBR's compromise between noticing changes and disturbing others.
pub const CONGESTION_CRUISE: Duration = Duration::from_secs(2);
/// Time after which the shortest round trip must have been seen again to be believed (as in BBR).
pub const CONGESTION_ROUND_TRIP_LIFE: Duration = Duration::from_secs(10);

// Local socket

/// Calls of one attached face that are under way at a time: a screen has a few, a command one.
pub const LOCAL_CALLS_MAX: usize = 64;
/// Bytes written ahead for the other end of the local socket before nothing more is prepared for it.
pub const LOCAL_AHEAD_BYTES: usize = 256 * 1024;
/// Time an attached face has to read the last words of an ending connection.
pub const LOCAL_FAREWELL: Duration = Duration::from_secs(5);
/// Pause after a face could not be let in, which is for want of file handles.
pub const LOCAL_ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time in which a face finds the running engine or may run one: an ending engine is gone by then.
pub const ENGINE_FOUND: Duration = Duration::from_secs(10);
/// First wait before the engine is looked for again; it doubles.
pub const ENGINE_RETRY_MIN: Duration = Duration::from_millis(10);
/// Longest wait before the engine is looked for again.
pub const ENGINE_RETRY_MAX: Duration = Duration::from_millis(250);
/// Time that a leaving face which runs the engine gives the short calls of others.
pub const FACE_LEAVE: Duration = Duration::from_secs(3);
/// News of sources waiting for the task of one large file.
pub const NEWS_WAITING_MAX: usize = 64;
