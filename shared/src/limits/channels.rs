//! Bounds of private channels.

use std::time::Duration;

/// Time for an answer to the invitation to a private channel: whoever invites sits there and waits.
pub const CHANNEL_INVITE_LIFE: Duration = Duration::from_secs(600);
/// Time from the yes until both are connected; every way between two devices is tried well within it.
pub const CHANNEL_MEET: Duration = Duration::from_secs(45);
/// Time for each step of the greeting.
pub const CHANNEL_GREETING: Duration = Duration::from_secs(10);
/// Private channels of a device, waiting and open, at a time: more than anybody talks in.
pub const CHANNELS_MAX: usize = 16;
/// Bytes of what is said in one go, as for messages.
pub const CHANNEL_TEXT_BYTES_MAX: usize = 4096;
/// Lines that are heard in a row. Beyond, they are read more slowly, which holds up whoever sends them.
pub const CHANNEL_BURST: u32 = 40;
/// Time after which one more line is heard: ten a second.
pub const CHANNEL_PAUSE: Duration = Duration::from_millis(100);
/// Frames on their way between the parts of a channel, each way: 256 KiB at most.
pub const CHANNEL_WAITING_MAX: usize = 64;
/// Lines whose arrival is not confirmed yet. Whoever says more waits.
pub const CHANNEL_UNCONFIRMED_MAX: usize = 256;
/// A side that has nothing to say says so this often.
pub const CHANNEL_PING: Duration = Duration::from_secs(5);
/// A side that says nothing for so long has vanished: three pings, and a second for the way.
pub const CHANNEL_SILENCE: Duration = Duration::from_secs(16);
/// Time for a goodbye to be taken.
pub const CHANNEL_FAREWELL: Duration = Duration::from_secs(2);
/// Files that one side offers in a channel: each is an open file.
pub const CHANNEL_FILES_MAX: usize = 64;
/// Files that one side fetches in a channel at a time. More wait for their turn.
pub const CHANNEL_TAKES_MAX: usize = 2;
/// How often the progress of a file in a channel is told.
pub const CHANNEL_PROGRESS: Duration = Duration::from_millis(250);
