//! Requests and offers as a person meets them.

use super::*;
use crate::{
    app::{
        chat::Room,
        keys::Action,
        layer::Layer,
        prompt::{Survey, Then},
    },
    engine::api::{Accept, InboxCommand, ItemState, PeopleCommand, RuleKind, RuleRow, Target as Place},
};

/// Alice's inbox, with the cursor on bob's offer, whose files are known.
fn at_offer(width: u16, height: u16) -> Play {
    let mut play = Play::busy(width, height);
    play.state.downloads = Some(PathBuf::from("/home/alice/Downloads"));
    play.keys("3");
    play.tick(200);
    for file in sample::offered() {
        play.answer(Update::Offered(file));
    }
    play.end(Ok(()));
    play
}

fn surveyed(play: &mut Play, folder: &str, free: u64, taken: bool) {
    play.event(Event::Surveyed(Survey { folder: PathBuf::from(folder), free: Some(free), taken }));
}

fn asked(play: &Play) -> &InboxCommand {
    match play.last_call().1 {
        Command::Inbox(command) => command,
        other => panic!("{other:?}"),
    }
}

pictures! {
    inbox_at_80x24: 80 x 24, |play| play.keys("3j");
    inbox_at_60x20: 60 x 20, |play| play.keys("3");
    inbox_at_40x12: 40 x 12, |play| play.keys("3j");
    inbox_sent: 80 x 24, |play| play.keys("3]");
    inbox_history: 80 x 24, |play| play.keys("3]]");
    inbox_with_nothing_in_it: 80 x 24, |play| {
        play.tell(Update::Inbox(Vec::new()));
        play.keys("3");
    };
    inbox_offline: 120 x 36, |play| {
        let retry_ms = Some(sample::NOW + 12_000);
        play.tell(Update::Connection(Connection::Offline { cause: "no answer".to_owned(), retry_ms, tries: 4 }));
        play.keys("3");
    };
    approving_a_request: 80 x 24, |play| play.keys("3ja");
    declining_with_a_word: 80 x 24, |play| play.keys("3jxnot before Friday");
    answering_a_request_in_words: 80 x 24, |play| play.keys("3jja");
    declining_and_blocking: 80 x 24, |play| play.keys("3X");
    asking_for_a_file_whose_owner_decides: 80 x 24, |play| {
        let mut files = sample::files();
        files[1].visibility = "ask".to_owned();
        play.index(files);
        play.keys("/'live-server-amd64<enter>d");
    };
    offering_to_members: 80 x 24, |play| play.keys("1]oca");
}

#[test]
fn inbox_at_120x36_with_the_files_of_an_offer() {
    insta::assert_snapshot!(at_offer(120, 36).screen());
}

#[test]
fn accepting_an_offer_shows_warnings_size_room_and_target_first() {
    let mut play = at_offer(80, 24);
    play.keys("a");
    assert!(play.wanted.iter().any(|effect| matches!(effect, Effect::Survey { name, .. } if name == "holiday-photos")));
    surveyed(&mut play, "/home/alice/Downloads", 1_048_576, true);
    insta::assert_snapshot!(play.screen());
}

#[test]
fn accepting_an_offer_at_40x12() {
    let mut play = at_offer(40, 12);
    play.keys("a");
    surveyed(&mut play, "/home/alice/Downloads", 1 << 40, false);
    insta::assert_snapshot!(play.screen());
}

#[test]
fn the_page_of_an_item_accepts_too() {
    let mut play = at_offer(80, 24);
    play.keys("<enter>");
    insta::assert_snapshot!(play.screen());
    play.keys("a");
    assert!(matches!(&play.state.layers[..], [Layer::Take(_)]));
}

#[test]
fn all_of_an_offer_is_accepted_into_the_downloads_and_part_of_it_elsewhere() {
    let mut play = at_offer(80, 24);
    play.keys("ay");
    let all = Accept { items: vec!["01".repeat(16)], detach: true, ..Accept::default() };
    assert_eq!(asked(&play), &InboxCommand::Accept(all.clone()));
    assert!(play.state.layers.is_empty());

    let mut play = at_offer(80, 24);
    play.keys("a<down> t");
    for _ in 0.."~/Downloads".len() {
        play.keys("<backspace>");
    }
    play.keys("~/Pictures<enter>y");
    let only = vec!["holiday-photos/beach.jpg".to_owned(), "holiday-photos/photo\u{202e}gpj.exe".to_owned()];
    let target = Place::Folder(PathBuf::from("/home/alice/Pictures"));
    assert_eq!(asked(&play), &InboxCommand::Accept(Accept { only, target, ..all }));
}

#[test]
fn nothing_is_accepted_before_it_is_known_what_it_is_or_when_nothing_of_it_is_chosen() {
    let mut play = Play::busy(80, 24);
    play.keys("3a");
    let before = play.calls.len();
    play.keys("y");
    assert_eq!(play.calls.len(), before, "what is in it is not known yet");
    let mut play = at_offer(80, 24);
    let before = play.calls.len();
    play.keys("a*y");
    assert_eq!(play.calls.len(), before);
    assert!(play.screen().contains("nothing of it is chosen"), "{}", play.screen());
}

#[test]
fn not_now_tells_nobody_and_enter_never_accepts() {
    for keys in ["a<esc>", "an", "a<enter><esc>", "<enter><enter>", "ja<enter>", "j<enter><esc>", "X<enter>", "x<esc>"]
    {
        let mut play = at_offer(80, 24);
        let before = play.calls.iter().filter(|(_, call)| !matches!(call, Command::Inbox(InboxCommand::Show { .. })));
        let before = before.count();
        play.keys(keys);
        let after = play.calls.iter().filter(|(_, call)| !matches!(call, Command::Inbox(InboxCommand::Show { .. })));
        assert_eq!(after.count(), before, "{keys}");
    }
}

#[test]
fn a_request_is_approved_once_or_always_or_declined_with_a_word() {
    for (keys, always) in [("y", false), ("w", true)] {
        let mut play = Play::busy(80, 24);
        play.keys("3ja");
        play.keys(keys);
        let accept = Accept { items: vec!["04".repeat(16)], always, detach: true, ..Accept::default() };
        assert_eq!(asked(&play), &InboxCommand::Accept(accept));
    }
    for (keys, word) in [("x<enter>", ""), ("xnot now<enter>", "not now"), ("axnot now<enter>", "not now")] {
        let mut play = Play::busy(80, 24);
        play.keys("3j");
        play.keys(keys);
        let (items, word) = (vec!["04".repeat(16)], word.to_owned());
        assert_eq!(asked(&play), &InboxCommand::Decline { items, word });
    }
}

#[test]
fn a_request_in_words_is_answered_with_a_file() {
    let mut play = Play::busy(80, 24);
    play.keys("3jja");
    play.event(Event::Completed { typed: "/home/alice/".to_owned(), paths: vec!["/home/alice/tapes.tar".to_owned()] });
    play.keys("<tab><enter>");
    let with = Some("/home/alice/tapes.tar".to_owned());
    let accept = Accept { items: vec!["07".repeat(16)], with, detach: true, ..Accept::default() };
    assert_eq!(asked(&play), &InboxCommand::Accept(accept));
}

#[test]
fn declining_and_blocking_does_both_after_a_question() {
    let mut play = at_offer(80, 24);
    play.keys("aXy");
    let commands: Vec<&Command> = play.calls.iter().rev().take(2).map(|(_, command)| command).collect();
    assert_eq!(commands[0], &Command::People(PeopleCommand::Block { member: "bob".to_owned() }));
    let (items, word) = (vec!["01".repeat(16)], String::new());
    assert_eq!(commands[1], &Command::Inbox(InboxCommand::Decline { items, word }));
    assert!(play.state.layers.is_empty());
}

#[test]
fn what_was_sent_is_taken_back_after_a_question() {
    let mut play = Play::busy(80, 24);
    play.keys("3]x<enter>");
    assert!(!matches!(play.last_call().1, Command::Inbox(InboxCommand::Cancel { .. })));
    play.keys("xy");
    assert_eq!(asked(&play), &InboxCommand::Cancel { items: vec!["0b".repeat(16)] });
}

#[test]
fn a_wish_of_another_is_no_ones_to_decline_and_says_so() {
    let mut play = Play::busy(80, 24);
    let before = play.calls.len();
    play.keys("3Gx");
    assert_eq!(play.calls.len(), before);
    assert!(play.screen().contains("anybody who has it may answer"), "{}", play.screen());
}

#[test]
fn rules_are_listed_and_removed() {
    let mut play = Play::busy(80, 24);
    play.keys("3r");
    assert_eq!(asked(&play), &InboxCommand::Rules);
    let what = RuleKind::AcceptOffers { up_to: Some(2 << 30) };
    play.answer(Update::Rule(RuleRow { member: "bob".to_owned(), what }));
    play.answer(Update::Rule(RuleRow { member: "carol".to_owned(), what: RuleKind::Approve }));
    play.end(Ok(()));
    insta::assert_snapshot!(play.screen());
    play.keys("by");
    assert_eq!(asked(&play), &InboxCommand::RemoveRule { member: "carol".to_owned() });
}

#[test]
fn what_comes_is_announced_once_and_the_tab_counts_what_waits() {
    let mut play = Play::busy(120, 36);
    play.tell(Update::Inbox(sample::items()[1..].to_vec()));
    assert!(play.screen().contains("3 Inbox (2!)"), "{}", play.screen());
    play.tell(Update::Inbox(sample::items()));
    let screen = play.screen();
    assert!(screen.contains("3 Inbox (3!)") && screen.contains("bob offers you holiday-photos/ (3 files)"), "{screen}");
    play.keys(".");
    assert_eq!(play.state.tab, Tab::Inbox);
}

#[test]
fn what_another_answers_is_said() {
    let mut play = Play::busy(80, 24);
    let mut items = sample::items();
    (items[4].state, items[4].word) = (ItemState::Declined, "I have it".to_owned());
    play.tell(Update::Inbox(items));
    assert!(play.screen().contains("carol declines: \"I have it\", build-812.tar.zst"), "{}", play.screen());
}

#[test]
fn offers_go_to_those_named_or_are_for_a_member() {
    let mut play = Play::busy(80, 24);
    play.keys("1]obob, ca<tab><enter>");
    let InboxCommand::Offer(offer) = asked(&play) else { panic!("{:?}", play.last_call()) };
    assert_eq!(
        (&offer.items[..], &offer.to[..]),
        (&["alice/notes.md".to_owned()][..], &["bob".to_owned(), "carol".to_owned()][..])
    );

    let mut play = Play::busy(80, 24);
    play.keys("4/bob<enter>o");
    assert!(
        matches!(play.state.layers.last(), Some(Layer::Prompt(prompt)) if matches!(&prompt.then, Then::OfferPath { room } if *room == Room::of("bob")))
    );
    play.keys("tapes.tar<enter>");
    let InboxCommand::Offer(offer) = asked(&play) else { panic!("{:?}", play.last_call()) };
    assert_eq!(offer.paths, [PathBuf::from("/home/alice/tapes.tar")]);
    assert_eq!(offer.to, ["bob"]);
}

#[test]
fn a_file_whose_owner_decides_is_asked_for_with_a_note() {
    let mut play = Play::busy(80, 24);
    let mut files = sample::files();
    files[1].visibility = "ask".to_owned();
    play.index(files);
    play.keys("/'live-server-amd64<enter>dplease<enter>");
    let (items, text) = (vec![sample::file_id(2).to_string()], "please".to_owned());
    assert_eq!(asked(&play), &InboxCommand::RequestFiles { items, text, life_s: None });
}

#[test]
fn commands_are_typed_as_on_the_command_line() {
    let mut play = Play::busy(80, 24);
    play.keys(":request --of bob the raw tapes<enter>");
    let (of, text) = (Some("bob".to_owned()), "the raw tapes".to_owned());
    assert_eq!(asked(&play), &InboxCommand::RequestText { of, text, life_s: None });
    play.keys(":block mallory<enter>");
    assert_eq!(play.last_call().1, &Command::People(PeopleCommand::Block { member: "mallory".to_owned() }));
    play.keys(":unblock<enter>mallory<enter>");
    assert_eq!(play.last_call().1, &Command::People(PeopleCommand::Unblock { member: "mallory".to_owned() }));
    let before = play.calls.len();
    play.keys(":offer ~/tapes<enter>");
    assert_eq!(play.calls.len(), before, "nobody is named");
    play.keys(" bob<enter>");
    assert!(matches!(asked(&play), InboxCommand::Offer(_)));
    assert!(play.state.layers.is_empty());
    play.keys(":inbox");
    let (_, targets) = play.terminal();
    assert_eq!(targets.at(5, 2), Some(Target::Choice(0)));
    play.keys("<enter>");
    assert_eq!(
        (play.state.tab, keys::lookup(&play.state.contexts(), Key::Char('a'))),
        (Tab::Inbox, Some(Action::SayYes))
    );
}
