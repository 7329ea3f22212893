//! Cards of what is offered in a conversation, and private channels, as a person meets them.

use shared::id::BlobHash;

use super::*;
use crate::{
    app::{chat::Room, dropped::Dropped, layer::Layer},
    engine::api::{
        Accept, Act, ChannelCommand, ChannelFileRow, ChannelFileState, ChannelLineRow, ChannelRow, ChannelState,
        ChatCommand, Direction, Hashing, InboxCommand, ItemKind, ItemRow, ItemState, LineState, Offer, PathKind,
        TransferPage, TransferRow,
    },
};

/// Alice's conversation with bob, in which he offered photos and she something else.
fn at_bob(width: u16, height: u16) -> Play {
    let mut play = Play::busy(width, height);
    play.tell(Update::Inbox(items()));
    play.keys("5");
    play.tick(100);
    for message in sample::messages().into_iter().take(4) {
        play.answer(Update::Message(Box::new(message)));
    }
    play.end(Ok(()));
    play
}

/// Bob's offer, which waits, two of alice's that are under way and over, and one to somebody else.
fn items() -> Vec<ItemRow> {
    let mut items = sample::items();
    let first = items[0].clone();
    let mine = |n: u8, name: &str, state, to: &str| ItemRow {
        id: format!("{n:02x}").repeat(16),
        incoming: false,
        from: "alice".to_owned(),
        to: Some(to.to_owned()),
        name: name.to_owned(),
        files: 1,
        size: 4_400_000,
        text: String::new(),
        state,
        acts: if state == ItemState::Waiting { vec![Act::Cancel] } else { Vec::new() },
        created_ms: sample::NOW - i64::from(n) * 1_000,
        ..first.clone()
    };
    items.push(mine(41, "draft.pdf", ItemState::Accepted, "bob"));
    items.push(ItemRow { word: "no room".to_owned(), ..mine(42, "photo\u{202e}gpj.exe", ItemState::Declined, "bob") });
    items.push(mine(43, "score.pdf", ItemState::Waiting, "bob"));
    items.push(mine(44, "secret.pdf", ItemState::Waiting, "carol"));
    // As the engine tells them.
    items.sort_by_key(|item| std::cmp::Reverse(item.created_ms));
    items
}

fn change(play: &mut Play, id: &str, change: impl Fn(&mut ItemRow)) {
    let mut items = play.state.inbox.all.clone();
    items.iter_mut().filter(|item| item.id == id).for_each(change);
    play.tell(Update::Inbox(items));
}

fn transfer(play: &mut Play, row: TransferRow) {
    play.tell(Update::Transfers(TransferPage { restart: false, changed: vec![row], removed: Vec::new() }));
}

fn line_with(screen: &str, text: &str) -> String {
    screen.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("no {text:?} in\n{screen}")).to_owned()
}

/// What was pasted is looked at, and is this.
fn weighed(play: &mut Play, found: Option<Vec<Dropped>>) {
    let (room, text) = match play.wanted.last() {
        Some(Effect::Weigh { room, text, .. }) => (room.clone(), text.clone()),
        other => panic!("{other:?}"),
    };
    play.event(Event::Weighed { room, text, found });
}

fn film() -> Dropped {
    Dropped { path: "/media/film.mkv".into(), folder: false, size: 2_254_857_830 }
}

macro_rules! rooms {
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

rooms! {
    cards_at_80x24: 80 x 24, |play| play.keys("l");
    cards_at_120x36: 120 x 36, |play| play.keys("lj");
    cards_at_40x12: 40 x 12, |play| play.keys("<enter>l");
    a_film_dropped: 80 x 24, |play| {
        play.keys("i");
        play.event(Event::Paste("'/media/film.mkv' ".to_owned()));
        weighed(&mut play, Some(vec![film()]));
    };
    channel_invited_at_80x24: 80 x 24, |play| play.keys(":channel carol<enter>");
    channel_at_80x24: 80 x 24, |play| talking(&mut play);
    channel_at_120x36: 120 x 36, |play| talking(&mut play);
    channel_at_40x12: 40 x 12, |play| talking(&mut play);
    channel_over_at_80x24: 80 x 24, |play| {
        let call = talking(&mut play);
        told(&mut play, call, ChannelState::Ended, "carol left");
        play.event(Event::Ended { call, result: Ok(()) });
    };
    channel_left: 80 x 24, |play| {
        talking(&mut play);
        play.keys("x");
    };
    channel_offered_in_the_inbox: 80 x 24, |play| {
        invited(&mut play);
        play.keys("3ga");
    };
}

#[test]
fn enter_on_a_card_opens_the_dialogue_of_the_inbox() {
    let mut play = at_bob(80, 24);
    play.keys("l<enter>");
    assert!(matches!(play.state.layers.last(), Some(Layer::Take(taking)) if taking.item.id == "01".repeat(16)));
    play.tick(1_000);
    assert_eq!(play.last_call().1, &Command::Inbox(InboxCommand::Show { item: "01".repeat(16) }));
    for file in sample::offered() {
        play.answer(Update::Offered(file));
    }
    play.end(Ok(()));
    play.keys("y");
    let item = "01".repeat(16);
    let accepts = |command: &Command| matches!(command, Command::Inbox(InboxCommand::Accept(Accept { items, .. })) if *items == [item.clone()]);
    assert!(play.calls.iter().any(|(_, call)| accepts(call)));
}

#[test]
fn a_card_is_declined_with_a_word_and_an_own_one_taken_back() {
    let mut play = at_bob(80, 24);
    play.keys("lxnot now<enter>");
    let decline = InboxCommand::Decline { items: vec!["01".repeat(16)], word: "not now".to_owned() };
    assert_eq!(play.last_call().1, &Command::Inbox(decline));
    play.keys("lgx");
    play.keys("<esc>");
    let own =
        play.state.cards().into_iter().position(|(id, _)| id == "2b".repeat(16)).expect("alice's offer has a card");
    play.click(Target::Card(own), false);
    play.keys("xy");
    assert_eq!(play.last_call().1, &Command::Inbox(InboxCommand::Cancel { items: vec!["2b".repeat(16)] }));
}

#[test]
fn a_card_moves_with_its_transfer_and_says_how_it_ended() {
    let mut play = at_bob(80, 24);
    let row = TransferRow { size: 1_000, done: 680, speed: 11_200_000, ..sample::transfers().remove(0) };
    change(&mut play, &"01".repeat(16), |item| {
        (item.state, item.transfer) = (ItemState::Accepted, Some("00000000000000a1".to_owned()));
    });
    transfer(&mut play, row);
    let screen = play.screen();
    assert!(line_with(&screen, "68% here").contains("██████····"), "{screen}");
    assert!(line_with(&screen, "68% here").contains("11.2 MB/s"), "{screen}");
    let up = TransferRow {
        owner: "bob".to_owned(),
        direction: Direction::Up,
        path: "draft.pdf".into(),
        done: 2_200_000,
        ..sample::transfers().pop().expect("an upload")
    };
    transfer(&mut play, up);
    let screen = play.screen();
    assert!(line_with(&screen, "50% sent").contains("█████·····"), "{screen}");
    for (state, word) in [
        (ItemState::Fulfilled, "done: verified and here"),
        (ItemState::Declined, "declined by you"),
        (ItemState::Cancelled, "cancelled"),
        (ItemState::Expired, "expired"),
    ] {
        change(&mut play, &"01".repeat(16), |item| item.state = state);
        assert!(play.screen().contains(word), "{}", play.screen());
    }
}

#[test]
fn a_card_stands_with_whom_it_is_about_and_where_its_time_puts_it() {
    let mut play = at_bob(80, 36);
    let screen = play.screen();
    assert!(!screen.contains("secret.pdf"), "{screen}");
    let at = |text: &str| screen.lines().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}"));
    assert!(at("thanks, pulling it now") < at("holiday-photos/"));
    assert!(at("holiday-photos/") < at("draft.pdf"));
    assert!(screen.contains("photo‹U+202E›gpj.exe") && !screen.contains('\u{202e}'), "{screen}");
    // Somebody with whom nothing was said yet, but something offered, has a room too.
    let mut items = items();
    let first = sample::items().remove(0);
    items.push(ItemRow { from: "grace".to_owned(), id: "5a".repeat(16), ..first });
    play.tell(Update::Inbox(items));
    assert!(line_with(&play.screen(), "grace").contains("offer"));
}

#[test]
fn a_dropped_file_is_asked_about_and_then_offered() {
    let mut play = at_bob(80, 24);
    play.event(Event::Paste("file:///media/film.mkv\n".to_owned()));
    weighed(&mut play, Some(vec![film()]));
    play.keys("<enter>");
    let offers = |play: &Play| {
        let is_offer = |(_, call): &&(CallId, Command)| matches!(call, Command::Inbox(InboxCommand::Offer(_)));
        play.calls.iter().filter(is_offer).count()
    };
    assert_eq!(offers(&play), 0, "the safe answer has the focus");
    play.event(Event::Paste("/media/film.mkv".to_owned()));
    weighed(&mut play, Some(vec![film()]));
    play.keys("y");
    let offer = Offer { paths: vec!["/media/film.mkv".into()], to: vec!["bob".to_owned()], ..Offer::default() };
    assert_eq!(play.last_call().1, &Command::Inbox(InboxCommand::Offer(offer)));
    // It has a card while it is read.
    let hashing = Hashing { files_done: 0, files: 1, bytes_done: 40, bytes: 100, current: "film.mkv".to_owned() };
    play.answer(Update::Hashing(hashing));
    let screen = play.screen();
    assert!(line_with(&screen, "being read here").contains("████······"), "{screen}");
    play.end(Ok(()));
    assert!(!play.screen().contains("being read here"));
    assert!(play.screen().contains("film.mkv is offered to bob"));
}

#[test]
fn what_is_not_there_is_text_and_what_is_there_may_be() {
    let mut play = at_bob(80, 24);
    play.keys("i");
    play.event(Event::Paste("/no/such/thing".to_owned()));
    assert!(play.state.layers.is_empty());
    weighed(&mut play, None);
    let draft = |play: &Play| play.state.chat.draft().map(|draft| draft.text().to_owned()).unwrap_or_default();
    assert_eq!(draft(&play), "/no/such/thing");
    play.event(Event::Paste("/media/film.mkv".to_owned()));
    weighed(&mut play, Some(vec![film()]));
    play.keys("t");
    assert_eq!(draft(&play), "/no/such/thing/media/film.mkv");
    let asked = play.wanted.len();
    play.event(Event::Paste("see /media/film.mkv".to_owned()));
    assert_eq!(play.wanted.len(), asked, "words are text at once");
    // Whoever is elsewhere by then offers nothing to somebody else.
    play.keys("<esc>");
    play.event(Event::Paste("/media/film.mkv".to_owned()));
    play.keys("1");
    weighed(&mut play, Some(vec![film()]));
    assert!(play.state.layers.is_empty());
}

#[test]
fn an_offer_can_be_typed_where_it_is_clear_to_whom() {
    let mut play = at_bob(80, 24);
    play.keys(":offer ~/film.mkv<enter>");
    let offer = Offer { paths: vec!["/home/alice/film.mkv".into()], to: vec!["bob".to_owned()], ..Offer::default() };
    assert_eq!(play.last_call().1, &Command::Inbox(InboxCommand::Offer(offer.clone())));
    play.keys("ofilm.mkv<enter>");
    assert_eq!(play.last_call().1, &Command::Inbox(InboxCommand::Offer(offer)));
    play.keys("j:offer ~/film.mkv<enter>");
    assert!(play.state.layers.last().is_some(), "not to everyone");
}

/// Carol invites alice.
fn invited(play: &mut Play) {
    let mut items = items();
    let invitation = ItemRow {
        id: "66".repeat(16),
        kind: ItemKind::Channel,
        from: "carol".to_owned(),
        name: String::new(),
        files: 0,
        size: 0,
        hash: None,
        text: String::new(),
        created_ms: sample::NOW - 1_000,
        ..sample::items().remove(0)
    };
    items.insert(0, invitation);
    play.tell(Update::Inbox(items));
}

/// The engine tells how the channel stands.
fn told(play: &mut Play, call: CallId, state: ChannelState, reason: &str) {
    let row = ChannelRow {
        id: "07".repeat(16),
        with: "carol".to_owned(),
        state,
        words: match state {
            ChannelState::Open => ["amber", "river", "tulip", "seven", "piano", "north"].map(str::to_owned).to_vec(),
            ChannelState::Inviting | ChannelState::Connecting | ChannelState::Ended => Vec::new(),
        },
        path: (state == ChannelState::Open).then_some(PathKind::Direct),
        reason: reason.to_owned(),
        incoming: false,
    };
    play.event(Event::Update { call, update: Box::new(Update::Channel(row)) });
}

fn said_in(play: &mut Play, call: CallId, number: u64, text: &str, state: LineState, file: Option<ChannelFileRow>) {
    let mine = state != LineState::Received;
    let line = ChannelLineRow {
        channel: "07".repeat(16),
        number,
        mine,
        from: if mine { "alice" } else { "carol" }.to_owned(),
        text: text.to_owned(),
        file,
        at_ms: sample::NOW,
        state,
    };
    play.event(Event::Update { call, update: Box::new(Update::ChannelLine(Box::new(line))) });
}

fn file(state: ChannelFileState, done: u64) -> ChannelFileRow {
    ChannelFileRow {
        name: "tapes.tar".to_owned(),
        size: 1_000_000,
        hash: BlobHash([7; 32]),
        state,
        done,
        local: (state == ChannelFileState::Fetched).then(|| "/home/alice/Downloads/tapes.tar".into()),
        reason: String::new(),
    }
}

/// Alice and carol talk in private.
fn talking(play: &mut Play) -> CallId {
    play.keys(":channel carol<enter>");
    let call = held(play);
    told(play, call, ChannelState::Inviting, "");
    told(play, call, ChannelState::Connecting, "");
    told(play, call, ChannelState::Open, "");
    said_in(play, call, 1, "the door code is 7", LineState::Delivered, None);
    said_in(play, call, 1, "thanks\n\u{1b}[31mred\u{202e}", LineState::Received, None);
    said_in(play, call, 2, "", LineState::Received, Some(file(ChannelFileState::Offered, 0)));
    call
}

/// The call that holds the channel.
fn held(play: &Play) -> CallId {
    let holds = |(_, call): &&(CallId, Command)| {
        matches!(call, Command::Channel(ChannelCommand::Open { .. } | ChannelCommand::Join { .. }))
    };
    play.calls.iter().rfind(holds).expect("a channel was begun").0
}

#[test]
fn a_channel_is_begun_and_held_by_its_call() {
    let mut play = at_bob(80, 24);
    play.keys(":channel CAROL<enter>");
    let Command::Channel(ChannelCommand::Open { id, member, life_s }) = play.last_call().1.clone() else {
        panic!("{:?}", play.last_call());
    };
    assert_eq!((id.len(), member.as_str(), life_s), (32, "carol", None));
    let opens = |play: &Play| {
        let is_open = |(_, call): &&(CallId, Command)| matches!(call, Command::Channel(ChannelCommand::Open { .. }));
        play.calls.iter().filter(is_open).count()
    };
    play.keys("4/carol<enter>c");
    assert_eq!((opens(&play), play.state.tab), (1, Tab::Chat), "one is enough");
    play.keys("icome in<enter>");
    assert!(!play.calls.iter().any(|(_, call)| matches!(call, Command::Channel(ChannelCommand::Say { .. }))));
    assert_eq!(
        play.state.chat.draft().map(|draft| draft.text().to_owned()).as_deref(),
        Some("come in"),
        "nobody is there yet"
    );
    let call = held(&play);
    told(&mut play, call, ChannelState::Open, "");
    play.keys("<enter>");
    let say = ChannelCommand::Say { channel: "07".repeat(16), text: "come in".to_owned() };
    assert_eq!(play.last_call().1, &Command::Channel(say));
    play.end(Err(refused()));
    assert_eq!(play.state.chat.draft().map(|draft| draft.text().to_owned()).as_deref(), Some("come in"));
    play.tick(10_000);
    let keeps = |(_, call): &&(CallId, Command)| matches!(call, Command::Chat(ChatCommand::Draft { text, .. }) if text.contains("come"));
    assert!(!play.calls.iter().any(|call| keeps(&call)), "what is typed in private is kept nowhere");
}

#[test]
fn an_invitation_is_accepted_in_the_inbox_or_by_inviting_back() {
    for keys in ["3ga", ":channel carol<enter>"] {
        let mut play = at_bob(80, 24);
        invited(&mut play);
        play.keys(keys);
        play.keys("<enter>");
        assert!(
            !play.calls.iter().any(|(_, call)| matches!(call, Command::Channel(_))),
            "the safe answer has the focus"
        );
        play.keys(keys);
        play.keys("y");
        assert_eq!(play.last_call().1, &Command::Channel(ChannelCommand::Join { item: "66".repeat(16) }));
        assert_eq!(play.state.tab, Tab::Chat);
        assert!(play.screen().contains("carol (private)"), "{}", play.screen());
    }
    let mut play = at_bob(80, 24);
    invited(&mut play);
    play.keys("3gxno time<enter>");
    let decline = InboxCommand::Decline { items: vec!["66".repeat(16)], word: "no time".to_owned() };
    assert_eq!(play.last_call().1, &Command::Inbox(decline));
}

#[test]
fn a_file_of_a_channel_is_taken_and_another_offered() {
    let mut play = at_bob(80, 24);
    let call = talking(&mut play);
    play.keys("l<enter>y");
    let take = |call: &Command| matches!(call, Command::Channel(ChannelCommand::Take { number: 2, .. }));
    assert!(take(play.last_call().1), "{:?}", play.last_call());
    said_in(&mut play, call, 2, "", LineState::Received, Some(file(ChannelFileState::Fetching, 300_000)));
    assert!(line_with(&play.screen(), "30% here").contains("███·······"));
    said_in(&mut play, call, 2, "", LineState::Received, Some(file(ChannelFileState::Fetched, 1_000_000)));
    assert!(play.screen().contains("done: verified and here"));
    play.keys("o");
    assert!(matches!(play.wanted.last(), Some(Effect::Open { path }) if path.ends_with("tapes.tar")));
    play.keys("<esc>");
    play.event(Event::Paste("/media/film.mkv".to_owned()));
    weighed(&mut play, Some(vec![film()]));
    play.keys("y");
    let offer = ChannelCommand::Offer { channel: "07".repeat(16), path: "/media/film.mkv".into() };
    assert_eq!(play.last_call().1, &Command::Channel(offer));
    play.event(Event::Paste("/media".to_owned()));
    weighed(&mut play, Some(vec![Dropped { path: "/media".into(), folder: true, size: 0 }]));
    assert!(play.state.layers.is_empty(), "a channel takes files alone");
}

#[test]
fn a_channel_ends_with_a_clear_line_and_nothing_more_is_said() {
    let mut play = at_bob(80, 24);
    let call = talking(&mut play);
    play.keys("xy");
    assert_eq!(play.last_call().1, &Command::Channel(ChannelCommand::Leave { channel: "07".repeat(16) }));
    play.end(Ok(()));
    told(&mut play, call, ChannelState::Ended, "left");
    play.event(Event::Ended { call, result: Ok(()) });
    assert!(play.screen().contains("The channel has ended: left."), "{}", play.screen());
    play.keys("i");
    assert!(!play.state.chat.writing);
    play.keys("xy");
    assert!(!play.screen().contains("(private)"), "{}", play.screen());

    let mut lost = at_bob(80, 24);
    let call = talking(&mut lost);
    let failure = Failure::new(FailureKind::Timeout, "channel_lost", "carol is gone without a goodbye: no answer", "");
    lost.event(Event::Ended { call, result: Err(failure) });
    assert!(lost.screen().contains("carol is gone without a"), "{}", lost.screen());
    let room = lost.state.chat.talk.as_ref().map(|talk| talk.room.clone());
    assert_eq!(room, Some(Room::Private(call)), "what was said can still be read");
}

#[test]
fn what_is_said_in_private_elsewhere_is_counted_and_announced_without_its_text() {
    let mut play = at_bob(80, 24);
    let call = talking(&mut play);
    play.tick(5_000);
    play.keys("1");
    said_in(&mut play, call, 3, "the secret plan", LineState::Received, None);
    let screen = play.screen();
    assert!(screen.contains("message from carol in private") && !screen.contains("secret"), "{screen}");
    assert!(screen.contains("5 Chat(3)"), "{screen}");
    play.keys("5");
    play.tick(6_000);
    assert!(play.screen().contains(" new "), "{}", play.screen());
    play.tick(8_000);
    assert!(play.screen().contains("[5 Chat(2)]"), "{}", play.screen());
    play.keys("1q");
    assert!(play.screen().contains("1 private channel ends"), "{}", play.screen());
}

#[test]
fn what_the_other_one_takes_in_a_channel_moves_on_the_card_of_its_owner() {
    let mut play = Play::busy(80, 24);
    let call = talking(&mut play);
    said_in(&mut play, call, 5, "", LineState::Sent, Some(file(ChannelFileState::Offered, 0)));
    assert!(play.screen().contains("waiting: carol has not answered"), "{}", play.screen());
    let up = TransferRow {
        id: "ff".to_owned(),
        direction: Direction::Up,
        owner: "carol".to_owned(),
        path: "tapes.tar".into(),
        done: 400_000,
        ..sample::transfers().remove(0)
    };
    play.tell(Update::Transfers(TransferPage { restart: false, changed: vec![up], removed: Vec::new() }));
    let shown = play.screen();
    assert!(shown.contains("40%") && !shown.contains("has not answered"), "{shown}");
    said_in(&mut play, call, 5, "", LineState::Sent, Some(file(ChannelFileState::Fetched, 0)));
    assert!(play.screen().contains("done: carol has it"), "{}", play.screen());
}
