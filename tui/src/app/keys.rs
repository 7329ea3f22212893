//! The one key table. Dispatch, the hint row, `?`, `:` and `swapmeet keys` all read it, so that none of them can lie.
//!
//! A binding belongs to a [`Context`]; at any moment a stack of contexts is in force, and the first one that knows the
//! key decides. Keys that only exist inside a popup (the letters of a menu or a dialog) are printed by that popup.

mod rows;

pub use rows::{KeyRow, rows};

/// A key as the screen understands it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    Char(char),
    Ctrl(char),
    Enter,
    AltEnter,
    Esc,
    Tab,
    BackTab,
    Backspace,
    Delete,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
    F(u8),
    /// A key that no binding names.
    Other,
}

impl Key {
    /// What is printed on screen for this key.
    #[must_use]
    pub fn label(self) -> String {
        match self {
            Self::Char(' ') => "Space".to_owned(),
            Self::Char(c) => c.to_string(),
            Self::Ctrl(c) => format!("C-{c}"),
            Self::Enter => "Enter".to_owned(),
            Self::AltEnter => "Alt-Enter".to_owned(),
            Self::Esc => "Esc".to_owned(),
            Self::Tab => "Tab".to_owned(),
            Self::BackTab => "S-Tab".to_owned(),
            Self::Backspace => "Backspace".to_owned(),
            Self::Delete => "Del".to_owned(),
            Self::Up => "Up".to_owned(),
            Self::Down => "Down".to_owned(),
            Self::Left => "Left".to_owned(),
            Self::Right => "Right".to_owned(),
            Self::Home => "Home".to_owned(),
            Self::End => "End".to_owned(),
            Self::PageUp => "PgUp".to_owned(),
            Self::PageDown => "PgDn".to_owned(),
            Self::F(n) => format!("F{n}"),
            Self::Other => "that key".to_owned(),
        }
    }
}

/// Where a binding is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Context {
    /// Everywhere, also while typing.
    Always,
    /// In every pane.
    Panes,
    Files,
    Public,
    Mine,
    Search,
    Transfers,
    Active,
    Done,
    Failed,
    Inbox,
    /// What waits for this member.
    ForMe,
    /// What this member asked and offered.
    Sent,
    Members,
    Chat,
    Card,
    /// A message that is being written.
    Writing,
    /// A page of details over the whole screen.
    Page,
    /// Any text field.
    Typing,
    /// The filter or query of a list.
    Filter,
    /// Sign-in and registration.
    Form,
    /// Sharing a path.
    Share,
    /// A line that is asked for.
    Prompt,
    /// Accepting an offer.
    Take,
    /// The folder that an offer goes to.
    Folder,
    Dialog,
    Menu,
    /// `?` and `:`.
    Palette,
    Log,
}

impl Context {
    /// Every context, in the order of the help screen.
    pub const ALL: [Self; 29] = [
        Self::Public,
        Self::Mine,
        Self::Search,
        Self::Files,
        Self::Active,
        Self::Done,
        Self::Failed,
        Self::Transfers,
        Self::ForMe,
        Self::Sent,
        Self::Inbox,
        Self::Members,
        Self::Card,
        Self::Chat,
        Self::Panes,
        Self::Page,
        Self::Filter,
        Self::Writing,
        Self::Typing,
        Self::Form,
        Self::Share,
        Self::Prompt,
        Self::Take,
        Self::Folder,
        Self::Dialog,
        Self::Menu,
        Self::Palette,
        Self::Log,
        Self::Always,
    ];

    /// The name printed in help and by `swapmeet keys`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Panes => "panes",
            Self::Files => "files",
            Self::Public => "files: public",
            Self::Mine => "files: mine",
            Self::Search => "files: search",
            Self::Transfers => "transfers",
            Self::Active => "transfers: active",
            Self::Done => "transfers: done",
            Self::Failed => "transfers: failed",
            Self::Inbox => "inbox",
            Self::ForMe => "inbox: for me",
            Self::Sent => "inbox: sent",
            Self::Members => "members",
            Self::Chat => "chat",
            Self::Card => "chat: a card",
            Self::Writing => "writing",
            Self::Page => "details",
            Self::Typing => "typing",
            Self::Filter => "filter",
            Self::Form => "form",
            Self::Share => "sharing",
            Self::Prompt => "one line",
            Self::Take => "accepting an offer",
            Self::Folder => "folder of an offer",
            Self::Dialog => "dialog",
            Self::Menu => "menu",
            Self::Palette => "commands",
            Self::Log => "log",
        }
    }
}

macro_rules! actions {
    ($($variant:ident $name:literal $sentence:literal;)*) => {
        /// Everything that a key, a click or the command line of the screen can ask for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Action {
            $($variant,)*
        }

        impl Action {
            /// Every action, in the order of the help screen.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The action's name, in the form of a command.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What it does, as one sentence.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Self::$variant => $sentence,)*
                }
            }
        }
    };
}

actions! {
    Download "download" "Fetch the marked items, or the one under the cursor";
    Open "open" "Open the folder, or show the details";
    Out "out" "Go up one folder";
    In "in" "Open the folder under the cursor";
    Mark "mark" "Mark the item and go down";
    MarkRange "mark-range" "Begin a range here; again: mark it to here";
    MarkInvert "mark-invert" "Mark what is not marked, and the other way round";
    Filter "filter" "Narrow the list: words, 'exact ^start end$ !not, size:>1g user:bob ext:iso have:no online:yes";
    SortMenu "sort" "Choose the column to sort by";
    SortReverse "sort-reverse" "Turn the sort order round";
    CopyMenu "copy" "Copy the name, path, hash, link or row";
    ShareAdd "share" "Share a file or folder of this machine";
    Unshare "unshare" "Take the item out of the index; the file on disk stays";
    Edit "edit" "Change who sees the item; `swapmeet edit` also names people and changes the remark";
    Rescan "rescan" "Look for changed, new and missing shared files";
    KeepCopy "keep-copy" "Keep a copy of the item on the tracker, or drop it";
    Undo "undo" "Take back the last act, for ten seconds";
    Pause "pause" "Pause the transfer, or let it go on";
    PauseAll "pause-all" "Pause every transfer, or let all go on";
    Cancel "cancel" "Stop the transfer for good and remove its partial file";
    Retry "retry" "Try the transfer again";
    Raise "raise" "Let the transfer matter more: it begins sooner, and others make room for it";
    Lower "lower" "Let the transfer matter less";
    MoveUp "move-up" "Move the transfer one place towards the front of the queue";
    MoveDown "move-down" "Move the transfer one place towards the end of the queue";
    Limit "limit" "Limits: limit up 2M, limit down 0, limit slots 4; --member bob, --at 08:00-18:00,mon-fri, --lan";
    Forget "forget" "Take the transfer off this list; the file stays";
    ForgetAll "forget-all" "Empty this list; the files stay";
    OpenFile "open-file" "Open the finished file with its usual program";
    OpenFolder "open-folder" "Open the folder in which the file lies";
    Verify "verify" "Read the file here again and compare it with what it should be; what is wrong can be repaired";
    SayYes "say-yes" "Accept the offer, or approve or answer the request, after showing what it is";
    SayNo "say-no" "Decline the offer or request, with a word for the other";
    SayNever "say-never" "Decline, and block the member it is from";
    TakeBack "take-back" "Take back what you asked for or offered";
    Rules "rules" "Show what is answered by itself, and remove a rule; inbox rule set bob accept --up-to 2g";
    Take "take" "Fetch the chosen files of the offer";
    TakeTo "take-to" "Choose the folder that the offer goes to";
    Offer "offer" "Offer the file or folder to members, or something to the member; offer PATH MEMBER";
    Request "request" "Ask for something that is not shared: request --of bob the raw tapes; request --anyone";
    Write "write" "Write a message in this room";
    WriteTo "message" "Write a message to the member that the row is about";
    Send "send" "Send the message";
    NewLine "new-line" "Begin a new line of the message";
    Resend "send-again" "Send the newest message again that failed";
    Mute "mute" "Let the room keep quiet, or be heard again";
    Cards "cards" "Go to what was offered in the conversation, to answer or open it";
    Channel "channel" "Invite the member to a private channel, between two devices and kept nowhere; channel MEMBER";
    Leave "leave" "Leave the private channel, or close its room when it is over";
    MemberFiles "member-files" "Show what this member shares";
    Away "away" "Let others see you as away, whatever you press; again, or back: as online";
    Block "block" "Hide this member and yourself from each other, or take that back; block MEMBER; nobody is told";
    Unblock "unblock" "Take back a block: unblock MEMBER";
    ShowFiles "files" "Go to the files";
    ShowTransfers "transfers" "Go to the transfers";
    ShowInbox "inbox" "Go to the requests and offers; inbox accept ID, decline, cancel, rule";
    ShowMembers "members" "Go to the members";
    ShowChat "chat" "Go to the conversations; chat send bob TEXT, chat broadcast TEXT";
    NextTab "next-tab" "Go to the next tab";
    PreviousTab "previous-tab" "Go to the previous tab";
    NextView "next-view" "Go to the next view of this tab";
    PreviousView "previous-view" "Go to the previous view of this tab";
    Down "down" "Go down";
    Up "up" "Go up";
    PageDown "page-down" "Go down one page";
    PageUp "page-up" "Go up one page";
    First "first" "Go to the first item";
    Last "last" "Go to the last item";
    NextNeed "next-need" "Go to the next thing that needs attention";
    MessageLog "messages" "Show all messages";
    Zoom "zoom" "Give the list the whole screen, or take it back";
    Mouse "mouse" "Let go of the mouse, so that the terminal selects text, or take it again";
    Reconnect "reconnect" "Try the tracker again now";
    Doctor "doctor" "Examine network and tracker, and say what to do";
    SignIn "sign-in" "Sign in to a tracker";
    Register "register" "Make an account on a tracker";
    SignOut "sign-out" "Forget the account on this device";
    Recover "recover" "Sign in by the recovery code, where the password is forgotten";
    ChangePassword "password" "Change the account's password";
    NewCode "recovery-code" "Make a new recovery code, which resets a forgotten password";
    ChangeEmail "email" "Change the address by which the tracker's administrator reaches you";
    Devices "devices" "Show where the account is signed in, and sign it out there";
    Invite "invite" "Make an invitation to this tracker, as its administrator";
    Wish "wish" "Look for files that are not there yet: wish add QUERY; --fetch, --up-to 2g";
    Wishes "wishes" "Show the standing searches, and end one";
    Invites "invitations" "Show the invitations to this tracker, and revoke one, as its administrator";
    Commands "commands" "Find and run any command by name";
    Help "help" "Show the keys of this place, and find any other";
    Back "back" "Close what is on top, or clear the filter";
    Quit "quit" "Close what is on top; in a pane, quit";
    QuitNow "quit-now" "Pressed twice: quit at once; transfers resume next time";
    Suspend "suspend" "Go back to the shell; `fg` returns here";
    Redraw "redraw" "Draw the whole screen again";
    Accept "accept" "Use what is typed or chosen";
    NextField "next-field" "Go to the next field";
    PreviousField "previous-field" "Go to the previous field";
    Complete "complete" "Complete the path";
    CursorLeft "cursor-left" "Move the cursor left";
    CursorRight "cursor-right" "Move the cursor right";
    CursorStart "cursor-start" "Move the cursor to the start";
    CursorEnd "cursor-end" "Move the cursor to the end";
    EraseBack "erase-back" "Erase the character before the cursor";
    EraseForward "erase-forward" "Erase the character under the cursor";
    EraseWord "erase-word" "Erase the word before the cursor";
    EraseLine "erase-line" "Erase the line";
}

/// One row of the key table.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// Where it is in force.
    pub context: Context,
    /// Any of them; the first is the one shown in hints.
    pub keys: &'static [Key],
    /// What they do.
    pub action: Action,
    /// A word for the hint row; `None`: not shown there.
    pub hint: Option<&'static str>,
}

const fn shown(context: Context, keys: &'static [Key], action: Action, hint: &'static str) -> Binding {
    Binding { context, keys, action, hint: Some(hint) }
}

const fn quiet(context: Context, keys: &'static [Key], action: Action) -> Binding {
    Binding { context, keys, action, hint: None }
}

use self::{
    Action as A, Context as C,
    Key::{
        AltEnter, BackTab, Backspace, Char, Ctrl, Delete, Down, End, Enter, Esc, F, Home, Left, PageDown, PageUp,
        Right, Tab, Up,
    },
};

/// The key table. Within a context the order is the order of the hints.
pub const TABLE: &[Binding] = &[
    shown(C::Public, &[Char('d')], A::Download, "download"),
    shown(C::Search, &[Char('d')], A::Download, "download"),
    // Among everyone's files it works on one's own.
    quiet(C::Public, &[Char('c')], A::KeepCopy),
    quiet(C::Search, &[Char('c')], A::KeepCopy),
    shown(C::Mine, &[Char('a')], A::ShareAdd, "share"),
    shown(C::Mine, &[Char('x')], A::Unshare, "unshare"),
    shown(C::Mine, &[Char('e')], A::Edit, "edit"),
    shown(C::Mine, &[Char('r')], A::Rescan, "rescan"),
    shown(C::Mine, &[Char('c')], A::KeepCopy, "keep copy"),
    quiet(C::Files, &[Char('V')], A::Verify),
    shown(C::Files, &[Enter], A::Open, "open"),
    quiet(C::Files, &[Char('h'), Left], A::Out),
    quiet(C::Files, &[Char('l'), Right], A::In),
    quiet(C::Files, &[Char('o')], A::Offer),
    quiet(C::Files, &[Char('m')], A::WriteTo),
    shown(C::Files, &[Char('y')], A::CopyMenu, "copy"),
    shown(C::Active, &[Char('p')], A::Pause, "pause"),
    shown(C::Active, &[Char('x')], A::Cancel, "cancel"),
    shown(C::Active, &[Char('r')], A::Retry, "retry"),
    shown(C::Active, &[Char('+')], A::Raise, "raise"),
    shown(C::Active, &[Char('-')], A::Lower, "lower"),
    quiet(C::Active, &[Char('K')], A::MoveUp),
    quiet(C::Active, &[Char('J')], A::MoveDown),
    quiet(C::Active, &[Char('P')], A::PauseAll),
    shown(C::Done, &[Char('o')], A::OpenFile, "open file"),
    shown(C::Done, &[Char('O')], A::OpenFolder, "folder"),
    shown(C::Done, &[Char('V')], A::Verify, "verify"),
    shown(C::Done, &[Char('x')], A::Forget, "forget"),
    shown(C::Done, &[Char('X')], A::ForgetAll, "all"),
    shown(C::Failed, &[Char('r')], A::Retry, "retry"),
    shown(C::Failed, &[Char('x')], A::Forget, "forget"),
    shown(C::Failed, &[Char('X')], A::ForgetAll, "all"),
    shown(C::Transfers, &[Enter], A::Open, "details"),
    shown(C::Transfers, &[Char('y')], A::CopyMenu, "copy"),
    quiet(C::Transfers, &[Char('m')], A::WriteTo),
    shown(C::ForMe, &[Char('a')], A::SayYes, "accept"),
    shown(C::ForMe, &[Char('x')], A::SayNo, "decline"),
    shown(C::ForMe, &[Char('X')], A::SayNever, "and block"),
    shown(C::Sent, &[Char('x')], A::TakeBack, "take back"),
    shown(C::Inbox, &[Enter], A::Open, "details"),
    shown(C::Inbox, &[Char('r')], A::Rules, "rules"),
    shown(C::Inbox, &[Char('m')], A::WriteTo, "write"),
    shown(C::Inbox, &[Char('y')], A::CopyMenu, "copy"),
    shown(C::Members, &[Enter], A::MemberFiles, "their files"),
    shown(C::Members, &[Char('m')], A::WriteTo, "write"),
    shown(C::Members, &[Char('o')], A::Offer, "offer"),
    shown(C::Members, &[Char('c')], A::Channel, "channel"),
    shown(C::Members, &[Char('b')], A::Block, "block"),
    shown(C::Members, &[Char('y')], A::CopyMenu, "copy"),
    shown(C::Chat, &[Char('i')], A::Write, "write"),
    shown(C::Chat, &[Enter], A::Open, "open"),
    shown(C::Chat, &[Char('l'), Right], A::Cards, "cards"),
    shown(C::Chat, &[Char('x')], A::Leave, "leave"),
    shown(C::Chat, &[Char('o')], A::Offer, "offer"),
    shown(C::Chat, &[Char('c')], A::Channel, "channel"),
    shown(C::Chat, &[Char('r')], A::Resend, "send again"),
    shown(C::Chat, &[Char('M')], A::Mute, "mute"),
    shown(C::Chat, &[Char('y')], A::CopyMenu, "copy"),
    shown(C::Card, &[Enter], A::Open, "open"),
    shown(C::Card, &[Char('a')], A::SayYes, "accept"),
    shown(C::Card, &[Char('x')], A::SayNo, "decline"),
    shown(C::Card, &[Char('X')], A::SayNever, "and block"),
    shown(C::Card, &[Char('o')], A::OpenFile, "open file"),
    shown(C::Card, &[Char('O')], A::OpenFolder, "folder"),
    shown(C::Card, &[Esc, Char('h'), Left], A::Back, "to the rooms"),
    shown(C::Panes, &[Char('s')], A::SortMenu, "sort"),
    shown(C::Panes, &[Char('/')], A::Filter, "filter"),
    quiet(C::Panes, &[Char('S')], A::SortReverse),
    quiet(C::Panes, &[Char(' ')], A::Mark),
    quiet(C::Panes, &[Char('v')], A::MarkRange),
    quiet(C::Panes, &[Char('*')], A::MarkInvert),
    quiet(C::Panes, &[Char('u')], A::Undo),
    quiet(C::Panes, &[Char('1')], A::ShowFiles),
    quiet(C::Panes, &[Char('2')], A::ShowTransfers),
    quiet(C::Panes, &[Char('3')], A::ShowInbox),
    quiet(C::Panes, &[Char('4')], A::ShowMembers),
    quiet(C::Panes, &[Char('5')], A::ShowChat),
    quiet(C::Panes, &[Tab], A::NextTab),
    quiet(C::Panes, &[BackTab], A::PreviousTab),
    quiet(C::Panes, &[Char(']')], A::NextView),
    quiet(C::Panes, &[Char('[')], A::PreviousView),
    quiet(C::Panes, &[Char('j'), Down], A::Down),
    quiet(C::Panes, &[Char('k'), Up], A::Up),
    quiet(C::Panes, &[Ctrl('d'), PageDown], A::PageDown),
    quiet(C::Panes, &[Ctrl('u'), PageUp], A::PageUp),
    quiet(C::Panes, &[Char('g'), Home], A::First),
    quiet(C::Panes, &[Char('G'), End], A::Last),
    quiet(C::Panes, &[Char('.')], A::NextNeed),
    quiet(C::Panes, &[Char('!')], A::MessageLog),
    quiet(C::Panes, &[Char('z')], A::Zoom),
    quiet(C::Panes, &[Char('%')], A::Mouse),
    quiet(C::Panes, &[Char('R')], A::Reconnect),
    quiet(C::Panes, &[Char(':')], A::Commands),
    quiet(C::Panes, &[Char('?')], A::Help),
    quiet(C::Panes, &[Esc], A::Back),
    quiet(C::Panes, &[Char('q')], A::Quit),
    shown(C::Page, &[Esc, Char('q'), Char('h'), Left, Enter], A::Back, "back"),
    shown(C::Page, &[Char('j'), Down], A::Down, "down"),
    shown(C::Page, &[Char('k'), Up], A::Up, "up"),
    quiet(C::Page, &[Ctrl('d'), PageDown, Char(' ')], A::PageDown),
    quiet(C::Page, &[Ctrl('u'), PageUp], A::PageUp),
    quiet(C::Page, &[Char('g'), Home], A::First),
    quiet(C::Page, &[Char('G'), End], A::Last),
    quiet(C::Page, &[Char('?')], A::Help),
    quiet(C::Page, &[Char(':')], A::Commands),
    shown(C::Writing, &[Enter], A::Send, "send"),
    shown(C::Writing, &[AltEnter, Ctrl('j')], A::NewLine, "line"),
    shown(C::Writing, &[Tab], A::Complete, "name"),
    shown(C::Writing, &[Esc], A::Back, "back"),
    quiet(C::Writing, &[Up], A::Up),
    quiet(C::Writing, &[Down], A::Down),
    quiet(C::Writing, &[PageUp], A::PageUp),
    quiet(C::Writing, &[PageDown], A::PageDown),
    shown(C::Filter, &[Enter], A::Accept, "keep"),
    shown(C::Filter, &[Esc], A::Back, "clear"),
    quiet(C::Filter, &[Up], A::Up),
    quiet(C::Filter, &[Down], A::Down),
    quiet(C::Filter, &[PageUp], A::PageUp),
    quiet(C::Filter, &[PageDown], A::PageDown),
    quiet(C::Filter, &[Tab], A::NextTab),
    quiet(C::Filter, &[BackTab], A::PreviousTab),
    quiet(C::Typing, &[Left], A::CursorLeft),
    quiet(C::Typing, &[Right], A::CursorRight),
    quiet(C::Typing, &[Home, Ctrl('a')], A::CursorStart),
    quiet(C::Typing, &[End, Ctrl('e')], A::CursorEnd),
    quiet(C::Typing, &[Backspace, Ctrl('h')], A::EraseBack),
    quiet(C::Typing, &[Delete], A::EraseForward),
    quiet(C::Typing, &[Ctrl('w')], A::EraseWord),
    quiet(C::Typing, &[Ctrl('u')], A::EraseLine),
    shown(C::Form, &[Tab, Down], A::NextField, "next"),
    quiet(C::Form, &[BackTab, Up], A::PreviousField),
    shown(C::Form, &[Enter], A::Accept, "press"),
    shown(C::Form, &[Esc], A::Back, "back"),
    shown(C::Share, &[Enter], A::Accept, "share"),
    shown(C::Share, &[Tab], A::Complete, "complete"),
    shown(C::Share, &[Esc], A::Back, "cancel"),
    shown(C::Prompt, &[Enter], A::Accept, "do it"),
    shown(C::Prompt, &[Tab], A::Complete, "complete"),
    shown(C::Prompt, &[Esc], A::Back, "back"),
    shown(C::Take, &[Char('y')], A::Take, "accept"),
    shown(C::Take, &[Esc, Char('n'), Char('q')], A::Back, "not now"),
    shown(C::Take, &[Char('x')], A::SayNo, "decline"),
    shown(C::Take, &[Char('X')], A::SayNever, "and block"),
    shown(C::Take, &[Char(' '), Enter], A::Mark, "choose"),
    shown(C::Take, &[Char('*')], A::MarkInvert, "invert"),
    shown(C::Take, &[Char('t'), Tab], A::TakeTo, "folder"),
    quiet(C::Take, &[Char('j'), Down], A::Down),
    quiet(C::Take, &[Char('k'), Up], A::Up),
    quiet(C::Take, &[Ctrl('d'), PageDown], A::PageDown),
    quiet(C::Take, &[Ctrl('u'), PageUp], A::PageUp),
    quiet(C::Take, &[Char('g'), Home], A::First),
    quiet(C::Take, &[Char('G'), End], A::Last),
    shown(C::Folder, &[Enter], A::Accept, "keep"),
    shown(C::Folder, &[Tab], A::Complete, "complete"),
    shown(C::Folder, &[Esc], A::Back, "back"),
    shown(C::Dialog, &[Tab, Right, Char('l'), Down, Char('j')], A::NextField, "next"),
    quiet(C::Dialog, &[BackTab, Left, Char('h'), Up, Char('k')], A::PreviousField),
    shown(C::Dialog, &[Enter], A::Accept, "press"),
    shown(C::Dialog, &[Esc, Char('q')], A::Back, "back"),
    shown(C::Menu, &[Enter], A::Accept, "choose"),
    shown(C::Menu, &[Down, Tab], A::Down, "down"),
    quiet(C::Menu, &[Up, BackTab], A::Up),
    shown(C::Menu, &[Esc], A::Back, "back"),
    shown(C::Palette, &[Enter], A::Accept, "run"),
    shown(C::Palette, &[Down, Tab], A::Down, "down"),
    quiet(C::Palette, &[Up, BackTab], A::Up),
    quiet(C::Palette, &[PageDown], A::PageDown),
    quiet(C::Palette, &[PageUp], A::PageUp),
    shown(C::Palette, &[Esc], A::Back, "back"),
    shown(C::Log, &[Esc, Char('q'), Char('!')], A::Back, "back"),
    shown(C::Log, &[Char('j'), Down], A::Down, "down"),
    shown(C::Log, &[Char('k'), Up], A::Up, "up"),
    quiet(C::Log, &[Ctrl('d'), PageDown, Char(' ')], A::PageDown),
    quiet(C::Log, &[Ctrl('u'), PageUp], A::PageUp),
    quiet(C::Log, &[Char('g'), Home], A::First),
    quiet(C::Log, &[Char('G'), End], A::Last),
    quiet(C::Always, &[F(1)], A::Help),
    quiet(C::Always, &[Ctrl('c')], A::QuitNow),
    quiet(C::Always, &[Ctrl('z')], A::Suspend),
    quiet(C::Always, &[Ctrl('l')], A::Redraw),
];

/// Actions without a key of their own, offered by `:` and `?` in every pane.
pub const UNBOUND: &[Action] = &[
    A::Limit,
    A::Request,
    A::Wish,
    A::Wishes,
    A::Unblock,
    A::Away,
    A::Doctor,
    A::SignIn,
    A::Register,
    A::SignOut,
    A::Recover,
    A::ChangePassword,
    A::NewCode,
    A::ChangeEmail,
    A::Devices,
    A::Invite,
    A::Invites,
];

/// What `key` does where these contexts are in force, nearest first.
#[must_use]
pub fn lookup(stack: &[Context], key: Key) -> Option<Action> {
    let bound = |context: &Context| TABLE.iter().find(|row| row.context == *context && row.keys.contains(&key));
    stack.iter().find_map(bound).map(|row| row.action)
}

/// The bindings in force, nearest context first.
pub fn in_force(stack: &[Context]) -> impl Iterator<Item = &'static Binding> {
    stack.iter().flat_map(|context| TABLE.iter().filter(move |row| row.context == *context))
}

/// The first key of an action anywhere in the table, nearest context first.
#[must_use]
pub fn key_of(stack: &[Context], action: Action) -> Option<Key> {
    in_force(stack).chain(TABLE).find(|row| row.action == action).and_then(|row| row.keys.first().copied())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn no_key_has_two_meanings_in_one_context() {
        let mut seen = BTreeMap::new();
        for row in TABLE {
            for key in row.keys {
                let before = seen.insert((row.context, *key), row.action);
                assert!(before.is_none(), "{:?} in {:?}", key, row.context);
            }
        }
    }

    #[test]
    fn no_pane_shadows_a_key_of_the_panes_around_it() {
        let inner =
            [C::Public, C::Mine, C::Search, C::Active, C::Done, C::Failed, C::ForMe, C::Sent, C::Members, C::Chat];
        for inner in inner {
            let outer = match inner {
                C::Public | C::Mine | C::Search => Some(C::Files),
                C::ForMe | C::Sent => Some(C::Inbox),
                C::Members | C::Chat => None,
                _ => Some(C::Transfers),
            };
            let stack: Vec<Context> = [inner].into_iter().chain(outer).chain([C::Panes, C::Always]).collect();
            let mut seen = BTreeSet::new();
            for row in in_force(&stack) {
                for key in row.keys {
                    assert!(seen.insert(*key), "{key:?} in {inner:?}");
                }
            }
        }
    }

    #[test]
    fn every_action_is_reachable_and_has_a_name_of_its_own() {
        let mut names = BTreeSet::new();
        for action in Action::ALL {
            assert!(names.insert(action.name()), "{}", action.name());
            assert!(!action.sentence().is_empty());
            let reachable = UNBOUND.contains(action) || TABLE.iter().any(|row| row.action == *action);
            assert!(reachable, "{}", action.name());
        }
    }

    #[test]
    fn d_is_never_a_deletion_and_enter_never_fetches() {
        for row in TABLE {
            if row.keys.contains(&Char('d')) {
                assert_eq!(row.action, A::Download);
            }
            if row.keys.contains(&Enter) {
                assert!(!matches!(
                    row.action,
                    A::Download | A::Unshare | A::Cancel | A::Forget | A::OpenFile | A::Take | A::SayYes | A::SayNo
                ));
            }
        }
    }

    #[test]
    fn the_printed_table_names_every_binding() {
        assert_eq!(rows().len(), TABLE.len() + UNBOUND.len());
    }
}
