//! Bounds of messages between members.

use std::time::Duration;

/// Bytes of a message's text: two pages. Longer things are files.
pub const MESSAGE_TEXT_BYTES_MAX: usize = 4096;
/// Texts are filled up to a multiple of this before they are encrypted, so that their length tells little.
pub const MESSAGE_PADDING_BYTES: usize = 256;
/// Bytes of an encrypted message: the longest text, filled up, with what says what it is, its tag and the mark of its key.
pub const MESSAGE_BODY_BYTES_MAX: usize = 5 * 1024;
/// Bytes of a key sealed to one device: an encapsulated key, 32 bytes and a tag.
pub const MESSAGE_SEAL_BYTES: usize = 80;
/// Devices that one request seals a message to; a message to everyone comes in several. Their seals take 100 KB, a
/// fifth of a request.
pub const MESSAGE_SEALS_MAX: usize = 1024;
/// Keys of devices in one page: 170 bytes each, a sixth of a reply.
pub const MESSAGE_KEYS_MAX: usize = 1024;
/// Time after which the tracker forgets a message, delivered or not: a holiday.
pub const MESSAGE_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often the tracker looks for messages whose time is over.
pub const MESSAGE_SWEEP: Duration = Duration::from_secs(3600);
/// Messages of one member that the tracker keeps for others at a time. It bounds the database, not anybody who talks.
pub const MESSAGES_KEPT_MAX: u64 = 2000;
/// Messages that one member sends in a row.
pub const MESSAGE_BURST: u32 = 30;
/// Time after which a member may send one more.
pub const MESSAGE_PAUSE: Duration = Duration::from_secs(1);
/// Messages to everyone that one member sends in a row. Each reaches every device.
pub const BROADCAST_BURST: u32 = 10;
/// Time after which a member may send one more to everyone.
pub const BROADCAST_PAUSE: Duration = Duration::from_secs(3);
/// Messages in one reply: with the longest texts a third of it.
pub const MESSAGES_PAGE_MAX: usize = 64;
/// Messages that one request tells or asks about.
pub const MESSAGES_NAMED_MAX: usize = 512;
/// Messages and acknowledgements that wait for one commit of the tracker: the senders wait with them.
pub const MAIL_WAITING_MAX: usize = 1024;
/// The same that go into one commit: a few milliseconds of work.
pub const MAIL_BATCH_MAX: usize = 128;
/// Messages on their way from the connection to the engine's memory. More are asked for again.
pub const MESSAGES_ARRIVING_MAX: usize = 256;
/// Messages of one room that a device remembers: years of a conversation, some megabytes.
pub const MESSAGES_REMEMBERED_MAX: u32 = 10_000;
/// Messages that wait on one device for the tracker.
pub const MESSAGES_WAITING_MAX: u32 = 1000;
/// Bytes of what was typed and not sent.
pub const MESSAGE_DRAFT_BYTES_MAX: usize = 16 * 1024;
/// Members whose devices an engine remembers for the next message, beside the database.
pub const MESSAGE_TARGETS_MAX: usize = 256;
/// Time between writing and arriving beyond which a message is not believed: twice as long as trackers keep one, so that
/// nothing comes again that a device has forgotten.
pub const MESSAGE_OLD: Duration = Duration::from_secs(60 * 24 * 3600);
/// Messages that a face reads at once.
pub const MESSAGES_READ_MAX: u32 = 2000;
/// Devices that a message is sealed to: those of a group of ten thousand. A tracker that names more is not believed.
pub const MESSAGE_DEVICES_MAX: usize = 20_000;
/// Tries to seal a message to devices that change meanwhile, before it is left for later.
pub const MESSAGE_SEAL_TRIES_MAX: u32 = 4;
/// Pause before a message is tried again after the tracker failed at it.
pub const MESSAGE_RETRY: Duration = Duration::from_secs(10);
/// Messages of one conversation that a screen reads at a time: some pages of it.
pub const TALK_PAGE: u32 = 200;
/// Messages of one conversation that a screen holds: a few megabytes at most.
pub const TALK_MESSAGES_MAX: usize = 1000;
/// Lines that are pasted into a message without a question: more are pasted by mistake at times.
pub const PASTED_LINES_MAX: usize = 3;
