//! Conversations as a person meets them.

use super::*;
use crate::{
    app::{chat::Room, field::Field},
    engine::api::{ChatCommand, MessageRow, MessageState, RoomName},
};

fn bob() -> RoomName {
    RoomName::Member("bob".to_owned())
}

/// Alice's chat, with what bob and she said.
fn at_bob(width: u16, height: u16) -> Play {
    let mut play = Play::busy(width, height);
    play.keys("5");
    read(&mut play, sample::messages());
    play
}

/// The room under the cursor is read, with this in it.
fn read(play: &mut Play, messages: Vec<MessageRow>) {
    let now = play.state.now - sample::NOW;
    play.tick(now + 100);
    assert!(matches!(said(play), ChatCommand::Read { .. }), "{:?}", play.last_call());
    for message in messages {
        play.answer(Update::Message(Box::new(message)));
    }
    play.end(Ok(()));
}

fn said(play: &Play) -> &ChatCommand {
    match play.last_call().1 {
        Command::Chat(command) => command,
        other => panic!("{other:?}"),
    }
}

fn comes(n: u8, room: RoomName, text: &str) -> Update {
    let row = MessageRow {
        id: format!("{n:02x}").repeat(16),
        room,
        text: text.to_owned(),
        at_ms: sample::NOW + i64::from(n),
        unread: true,
        ..sample::messages().remove(0)
    };
    Update::Message(Box::new(row))
}

fn notices(play: &Play) -> usize {
    play.wanted.iter().filter(|effect| matches!(effect, Effect::Notify { .. })).count()
}

fn seen(play: &Play) -> usize {
    let is_seen = |(_, call): &&(CallId, Command)| matches!(call, Command::Chat(ChatCommand::Seen { .. }));
    play.calls.iter().filter(is_seen).count()
}

macro_rules! chats {
    ($($name:ident: $width:literal x $height:literal, |$play:ident| $script:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let mut $play = at_bob($width, $height);
                $script;
                insta::assert_snapshot!($play.screen());
            }
        )*
    };
}

chats! {
    chat_at_80x24: 80 x 24, |play| play.tick(200);
    chat_at_120x36: 120 x 36, |play| play.tick(200);
    chat_at_60x20_while_writing: 60 x 20, |play| play.keys("ion it<A-enter>and also @ca<tab>");
    chat_with_a_long_paste: 80 x 24, |play| {
        play.keys("i");
        play.event(Event::Paste("one\ntwo\nthree\nfour\n".to_owned()));
    };
    chat_offline: 80 x 24, |play| {
        let retry_ms = Some(sample::NOW + 12_000);
        play.tell(Update::Connection(Connection::Offline { cause: "no answer".to_owned(), retry_ms, tries: 4 }));
    };
    chat_read_back: 60 x 16, |play| play.keys("<pgup>");
}

#[test]
fn chat_at_40x12_shows_the_rooms_and_then_one() {
    let mut play = at_bob(40, 12);
    insta::assert_snapshot!("chat_at_40x12_rooms", play.screen());
    play.keys("<enter>");
    insta::assert_snapshot!("chat_at_40x12_open", play.screen());
    play.keys("<esc>");
    assert!(play.screen().contains("#all"));
}

#[test]
fn chat_where_nothing_was_said() {
    let mut play = Play::busy(80, 24);
    play.keys("5j");
    read(&mut play, Vec::new());
    insta::assert_snapshot!(play.screen());
}

#[test]
fn enter_sends_and_other_keys_for_a_line_do_not() {
    let mut play = at_bob(80, 24);
    play.keys("ione<A-enter>two<C-j>");
    play.event(Event::Paste("three\r\nfour".to_owned()));
    assert!(!play.calls.iter().any(|(_, call)| matches!(call, Command::Chat(ChatCommand::Send { .. }))));
    play.keys("<enter>");
    let send = ChatCommand::Send { room: bob(), text: "one\ntwo\nthree\nfour".to_owned() };
    assert!(play.calls.iter().any(|(_, call)| *call == Command::Chat(send.clone())));
    assert!(play.state.chat.writing, "the next message may follow");
    assert!(play.state.chat.draft().is_some_and(Field::is_empty));
    let sent = play.calls.len();
    play.keys("<enter>");
    assert_eq!(play.calls.len(), sent, "nothing is not sent");
}

#[test]
fn what_could_not_be_sent_is_there_to_be_written_again() {
    let mut play = at_bob(80, 24);
    play.keys("ihello<enter>");
    let is_send = |(_, call): &&(CallId, Command)| matches!(call, Command::Chat(ChatCommand::Send { .. }));
    let call = play.calls.iter().find(is_send).expect("it is sent").0;
    play.event(Event::Ended { call, result: Err(refused()) });
    assert_eq!(play.state.chat.draft().map(|draft| draft.text().to_owned()).as_deref(), Some("hello"));
}

#[test]
fn a_long_paste_is_asked_about_and_never_sends() {
    let mut play = at_bob(80, 24);
    play.keys("i");
    play.event(Event::Paste("one\ntwo\nthree\nfour\n".to_owned()));
    play.keys("<enter>");
    assert!(play.state.chat.draft().is_some_and(Field::is_empty), "the safe answer has the focus");
    play.event(Event::Paste("one\ntwo\nthree\nfour".to_owned()));
    play.keys("y");
    assert_eq!(play.state.chat.draft().map(|draft| draft.text().to_owned()).as_deref(), Some("one\ntwo\nthree\nfour"));
    assert!(!play.calls.iter().any(|(_, call)| matches!(call, Command::Chat(ChatCommand::Send { .. }))));
}

#[test]
fn what_is_typed_is_kept_and_comes_back() {
    let mut play = at_bob(80, 24);
    play.keys("ion my way<esc>");
    assert_eq!(said(&play), &ChatCommand::Draft { room: bob(), text: "on my way".to_owned() });
    play.keys("jj");
    read(&mut play, Vec::new());
    assert_eq!(play.state.chat.draft().map(|draft| draft.text().to_owned()).as_deref(), Some("half a thought"));
    play.keys("gi!");
    assert_eq!(play.state.chat.draft().map(|draft| draft.text().to_owned()).as_deref(), Some("on my way!"));
    play.tick(3_000);
    let kept = Command::Chat(ChatCommand::Draft { room: bob(), text: "on my way!".to_owned() });
    assert!(play.calls.iter().any(|(_, call)| *call == kept));
}

#[test]
fn what_is_shown_counts_as_read_only_after_a_while_at_its_end_with_somebody_there() {
    let mut play = at_bob(80, 24);
    assert!(play.screen().contains(" new "), "{}", play.screen());
    play.tick(1_000);
    assert_eq!(seen(&play), 0);
    play.tick(1_700);
    assert_eq!(seen(&play), 1);
    assert_eq!(said(&play), &ChatCommand::Seen { room: bob(), up_to: "07".repeat(16) });
    play.tick(10_000);
    assert_eq!(seen(&play), 1, "once");

    let mut away = at_bob(80, 24);
    away.event(Event::Focus(false));
    away.tick(10_000);
    assert_eq!(seen(&away), 0);
    away.event(Event::Focus(true));
    away.tick(11_600);
    assert_eq!(seen(&away), 1);

    for keys in ["?", "<pgup>", "1"] {
        let mut elsewhere = at_bob(60, 12);
        elsewhere.keys(keys);
        elsewhere.tick(10_000);
        assert_eq!(seen(&elsewhere), 0, "{keys}");
    }
}

#[test]
fn what_is_older_is_read_when_somebody_goes_there() {
    let mut play = Play::busy(80, 24);
    play.keys("5");
    let many = (0..200).map(|n| MessageRow {
        id: format!("{n:032x}"),
        at_ms: sample::NOW - 1_000_000 + n,
        text: format!("line {n}"),
        ..sample::messages().remove(1)
    });
    read(&mut play, many.collect());
    for _ in 0..20 {
        play.keys("<pgup>");
    }
    let ChatCommand::Read { before, .. } = said(&play) else { panic!("{:?}", play.last_call()) };
    assert_eq!(before.as_deref(), Some(format!("{:032x}", 0).as_str()));
    let top = play.screen();
    play.answer(Update::Message(Box::new(MessageRow {
        at_ms: sample::NOW - 2_000_000,
        text: "the first".to_owned(),
        ..sample::messages().remove(0)
    })));
    play.end(Ok(()));
    assert_eq!(play.screen().contains("line 1\n"), top.contains("line 1\n"), "what is read stays where it is");
    play.keys("<pgup>");
    assert!(play.screen().contains("the first"), "{}", play.screen());
    play.keys("<esc>");
    assert!(play.screen().contains("line 199"));
}

#[test]
fn a_message_elsewhere_is_announced_without_what_it_says() {
    let mut play = Play::busy(80, 24);
    play.tell(comes(60, bob(), "the secret plan"));
    let screen = play.screen();
    assert!(screen.contains("message from bob") && !screen.contains("secret"), "{screen}");
    assert_eq!(notices(&play), 0, "somebody looks");
    play.keys(".");
    assert_eq!(play.state.tab, Tab::Inbox);
    play.tell(Update::Inbox(Vec::new()));
    play.keys(".");
    assert_eq!(play.state.tab, Tab::Chat);
}

#[test]
fn whoever_does_not_look_is_told_once_in_a_while_for_each_room() {
    let mut play = at_bob(80, 24);
    play.event(Event::Focus(false));
    play.tell(comes(60, bob(), "the secret plan"));
    play.tell(comes(61, bob(), "again"));
    assert_eq!(notices(&play), 1);
    let note = play.wanted.iter().rev().find_map(|effect| match effect {
        Effect::Notify { ways, text } => Some((*ways, text.clone())),
        _ => None,
    });
    assert_eq!(note, Some((play.state.setup.notices, "message from bob".to_owned())));
    play.tell(comes(62, RoomName::Everyone, "to all"));
    assert_eq!(notices(&play), 2, "another room");
    play.tell(comes(63, RoomName::Member("mallory\u{202e}".to_owned()), "psst"));
    assert_eq!(notices(&play), 2, "a muted room");
    play.tick(6_000);
    play.tell(comes(64, bob(), "and again"));
    assert_eq!(notices(&play), 3);
    play.tell(Update::Inbox(Vec::new()));
    play.tell(Update::Inbox(sample::items()));
    assert_eq!(notices(&play), 5, "two requests; bob was heard of just now");
    play.event(Event::Focus(true));
    play.tick(20_000);
    play.tell(comes(65, bob(), "here"));
    assert_eq!(notices(&play), 5);
}

#[test]
fn new_messages_move_nothing_that_is_being_read() {
    let mut play = at_bob(60, 14);
    play.keys("<pgup>");
    let before = play.state.chat.talk.as_ref().map(|talk| talk.back);
    let shown = play.screen();
    let first = shown.lines().nth(3).unwrap_or_default().to_owned();
    play.tell(comes(60, bob(), "more"));
    assert!(play.state.chat.talk.as_ref().map(|talk| talk.back) > before);
    assert_eq!(play.screen().lines().nth(3), Some(first.as_str()));
}

#[test]
fn m_writes_to_whom_a_row_is_about() {
    for (keys, name) in
        [("4/carol<enter>m", "carol"), ("3m", "bob"), ("1/'live-server-arm<enter>m", "carol"), ("2m", "bob")]
    {
        let mut play = Play::busy(80, 24);
        play.keys(keys);
        assert_eq!((play.state.tab, play.state.chat.writing), (Tab::Chat, true), "{keys}");
        let room = play.state.chat.talk.as_ref().map(|talk| talk.room.clone());
        assert_eq!(room, Some(Room::of(name)), "{keys}");
    }
    let mut play = Play::busy(80, 24);
    play.keys("4/grace<enter>mhello<enter>");
    let send = ChatCommand::Send { room: RoomName::Member("grace".to_owned()), text: "hello".to_owned() };
    assert!(play.calls.iter().any(|(_, call)| *call == Command::Chat(send.clone())));
    // The engine has no such room yet: it stays all the same.
    play.tell(Update::Rooms(sample::rooms()));
    assert!(play.screen().contains("grace"), "{}", play.screen());
    let mut play = Play::busy(80, 24);
    play.keys("4/alice<enter>m");
    assert_eq!(play.state.tab, Tab::Members, "nobody writes to herself");
}

#[test]
fn a_failed_message_is_sent_again_and_a_room_is_muted() {
    let mut play = at_bob(80, 24);
    play.keys("r");
    assert_eq!(said(&play), &ChatCommand::Retry { id: "07".repeat(16) });
    play.keys("M");
    assert_eq!(said(&play), &ChatCommand::Mute { room: bob(), muted: true });
    play.keys(":chat send bob see you<enter>");
    assert_eq!(said(&play), &ChatCommand::Send { room: bob(), text: "see you".to_owned() });
    play.keys(":chat broadcast back soon<enter>");
    assert_eq!(said(&play), &ChatCommand::Send { room: RoomName::Everyone, text: "back soon".to_owned() });
}

#[test]
fn a_message_comes_further_before_our_eyes() {
    let mut play = at_bob(80, 24);
    let mut row = sample::messages().remove(6);
    (row.state, row.reason) = (MessageState::Delivered, String::new());
    play.tell(Update::Message(Box::new(row)));
    let screen = play.screen();
    let line = screen.lines().find(|line| line.contains("sure") && !line.contains("sure?")).unwrap();
    assert!(line.contains("delivered"), "{screen}");
}

#[test]
fn hostile_text_of_a_message_is_shown_as_marks() {
    let play = at_bob(80, 24);
    let screen = play.screen();
    assert!(screen.contains("‹ESC›[31mred‹U+202E›"), "{screen}");
    assert!(!screen.chars().any(|c| c == '\u{202e}' || (c.is_control() && c != '\n')), "{screen}");
}

#[test]
fn the_chat_opens_where_something_is_unread_and_knows_nothing_of_who_was_here_before() {
    let mut play = Play::busy(80, 24);
    let mut rooms = sample::rooms();
    play.tell(Update::Rooms(rooms.split_off(1)));
    play.tell(Update::Rooms(sample::rooms()));
    play.keys("5");
    assert_eq!(play.state.chat.selected(), Some(&Room::of("bob")));
    read(&mut play, sample::messages());
    play.keys("ihalf a word<esc>");
    play.tell(Update::Account(None));
    let chat = &play.state.chat;
    assert!(chat.talk.is_none() && chat.rooms.is_empty() && chat.draft().is_none());
}
