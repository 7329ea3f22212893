//! What happens to the screen and what it wants done: plain data.

use std::{path::PathBuf, sync::Arc};

use crate::{
    app::{
        CallId, Tab,
        card::Reading,
        chat::Room,
        dropped::Dropped,
        gate::{self},
        index::{Arrange, Arranged, Index, SortBy},
        keys::{Action, Key},
        notices::Notices,
        prompt::Survey,
    },
    engine::api::{Command, DeviceRow, Failure, Finding, Get, InviteRow, RuleRow, Steer, Update, WishRow},
};

/// What a running call is for.
#[derive(Debug, Clone, PartialEq)]
pub enum Purpose {
    Watch,
    Status,
    Probe,
    /// Signing in or registering; `new`: registering.
    Enter {
        new: bool,
    },
    SignOut,
    /// Something about the account; `says` when it worked.
    Account {
        says: String,
    },
    /// Listing the account's devices; those found so far.
    Devices {
        found: Vec<DeviceRow>,
    },
    /// Something about another member; `says` when it worked.
    People {
        says: String,
    },
    /// Looking at the files of an offer.
    Offered,
    /// Listing what is answered by itself; what was found so far.
    Rules {
        found: Vec<RuleRow>,
    },
    /// Asking for the conversations there are.
    Rooms,
    /// Reading a conversation.
    Read,
    /// Sending a message; it comes back to be written again where that fails.
    Say {
        room: Room,
        text: String,
    },
    /// Holding a private channel, from the invitation to its end.
    Channel,
    /// Leaving the private channel that another call holds.
    Leave {
        channel: CallId,
    },
    /// Offering something in a conversation; how far it is read.
    Offering(Box<Reading>),
    /// Telling what was seen of a conversation.
    Seen,
    /// Keeping what is typed.
    Draft,
    /// Saying that somebody is here, for as long as it lasts.
    Attend,
    /// Making an invitation.
    Invite,
    /// Listing invitations; those found so far.
    Invites {
        found: Vec<InviteRow>,
    },
    /// Listing standing searches; those found so far.
    Wishes {
        found: Vec<WishRow>,
    },
    Search,
    Look,
    /// Fetching; its transfers can be taken back for a while.
    Get {
        ids: Vec<String>,
        says: String,
        /// What was asked, to be asked again with a password.
        get: Box<Get>,
    },
    /// Proving a password; what is then to be fetched, and what is said of it.
    Unlock {
        get: Box<Get>,
        says: String,
    },
    /// Steering; `says` when it worked.
    Steer {
        says: String,
        undo: Option<(Vec<String>, Steer)>,
    },
    /// Counting what would be shared.
    Count,
    Share {
        files: u64,
    },
    Unshare {
        name: String,
    },
    Copy,
    Uncopy,
    Rescan,
    /// Reading a file again.
    Verify {
        name: String,
    },
    Reconnect,
    /// Changing a limit.
    Limit,
    /// Examining network and tracker; what was found so far.
    Doctor {
        found: Vec<Finding>,
    },
}

/// How the screen ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    /// Whether the engine shall stop too.
    pub stop_engine: bool,
    /// Transfers that were running or waiting.
    pub unfinished: usize,
}

/// What can be clicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Tab(Tab),
    /// Number of a view in the views row.
    View(usize),
    Sort(SortBy),
    /// Number of an item in the list.
    Line(usize),
    /// A hint.
    Action(Action),
    /// Number of an answer in a dialog or menu, or of a line in the list of commands.
    Choice(usize),
    Part(gate::Part),
    /// Number of a card in the conversation that is shown.
    Card(usize),
}

/// Which list an arrangement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Which {
    Public,
    Mine,
    Search,
}

/// What happens.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It is this late, milliseconds since 1970. Comes before every batch of other events.
    Tick(i64),
    Key(Key),
    Paste(String),
    Resize(u16, u16),
    Focus(bool),
    Click {
        target: Target,
        twice: bool,
    },
    /// Lines down, or up where negative.
    Wheel(isize),
    Update {
        call: CallId,
        update: Box<Update>,
    },
    Ended {
        call: CallId,
        result: Result<(), Failure>,
    },
    Arranged {
        which: Which,
        generation: u64,
        arranged: Arranged,
        took_us: u64,
    },
    /// What was pasted into a conversation: what lies at its paths, where all of them exist.
    Weighed {
        room: Room,
        text: String,
        found: Option<Vec<Dropped>>,
    },
    /// Paths that `typed` may go on with.
    Completed {
        typed: String,
        paths: Vec<String>,
    },
    /// What a folder is like.
    Surveyed(Survey),
    /// Something was copied, and how; or why not.
    Copied {
        what: &'static str,
        way: Result<&'static str, String>,
    },
    /// Opening a file or folder failed.
    NotOpened {
        path: PathBuf,
        why: String,
    },
    /// The terminal or the system asks us to go.
    Terminate,
    /// There is no shell to go back to.
    NotSuspended,
}

/// What the screen wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Call {
        call: CallId,
        command: Command,
    },
    /// The call is no longer of interest.
    Drop {
        call: CallId,
    },
    /// Choose and order; answered by [`Event::Arranged`].
    Arrange {
        which: Which,
        generation: u64,
        index: Arc<Index>,
        wanted: Arrange,
    },
    /// Look whether there is something at every one of these paths; answered by [`Event::Weighed`].
    Weigh {
        room: Room,
        text: String,
        paths: Vec<PathBuf>,
    },
    /// Find paths that begin so; answered by [`Event::Completed`].
    Complete {
        typed: String,
    },
    /// Look at a folder that something of this name shall go to; answered by [`Event::Surveyed`].
    Survey {
        folder: PathBuf,
        name: String,
    },
    Copy {
        what: &'static str,
        text: String,
    },
    Open {
        path: PathBuf,
    },
    /// Tell somebody who does not look.
    Notify {
        ways: Notices,
        /// What the terminal's desktop shows; cleaned.
        text: String,
    },
    Mouse(bool),
    Suspend,
    Redraw,
    Quit(Leaving),
}
