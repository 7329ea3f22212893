//! The screen as a person meets it: scripted keys against a scripted engine, at fixed sizes and a fixed time.

use std::{collections::BTreeSet, path::PathBuf};

use jiff::tz::TimeZone;
use proptest::prelude::*;
use ratatui::{Terminal, backend::TestBackend, style::Modifier};
use shared::wire::tracker::{Audience, Registration};

use super::{Targets, draw};
use crate::{
    app::{
        CallId, Effect, Event, Setup, State, Tab, Target, index,
        keys::{self, Context, Key},
        notices::Notices,
        sample, start, update,
    },
    engine::api::{
        Command, Connection, Direction, Edit, Failure, FailureKind, Finding, FolderRow, Health, InboxCommand,
        IndexPage, LimitChange, Limits, Notice, NoticeLevel, QueuePlace, Rank, RateRow, RateWish, Status, Steer,
        TrackerInfo, Traffic, TransferPage, TransferState, Update, WishCommand, WishRow,
    },
};

/// A screen being played.
struct Play {
    state: State,
    /// Calls to the engine, in their order.
    calls: Vec<(CallId, Command)>,
    /// Everything else that was wanted.
    wanted: Vec<Effect>,
}

impl Play {
    /// A screen that knows nothing yet.
    fn fresh(width: u16, height: u16) -> Self {
        let (state, effects) = start(Setup {
            size: (width, height),
            now: sample::NOW,
            zone: TimeZone::UTC,
            ascii: false,
            color: true,
            engine_is_separate: false,
            home: Some(PathBuf::from("/home/alice")),
            tracker_hint: String::new(),
            account_hint: String::new(),
            away_after_ms: 600_000,
            notices: Notices { bell: true, osc9: true, ..Notices::default() },
            seed: 7,
        });
        let mut play = Self { state, calls: Vec::new(), wanted: Vec::new() };
        play.carry_out(effects);
        play
    }

    /// A screen at which alice is signed in and sees the sample.
    fn busy(width: u16, height: u16) -> Self {
        let mut play = Self::fresh(width, height);
        play.tell(Update::Account(Some(sample::account())));
        play.tell(Update::Connection(Connection::Online { rtt_ms: 3, https: false }));
        play.tell(Update::Members(sample::members()));
        play.index(sample::files());
        play.tell(Update::Shares(sample::shares()));
        let changed = sample::transfers();
        play.tell(Update::Transfers(TransferPage { restart: true, changed, removed: Vec::new() }));
        play.tell(Update::Inbox(sample::items()));
        play.tell(Update::Rooms(sample::rooms()));
        play.tell(Update::Traffic(Traffic { down: 18_400_000, up: 2_100_000 }));
        for second in 1..=30 {
            play.tick(second * 1_000);
        }
        play.event(Event::Tick(sample::NOW));
        play
    }

    fn index(&mut self, present: Vec<crate::engine::api::FileRow>) {
        let as_of_ms = Some(sample::NOW - 300_000);
        self.tell(Update::Index(IndexPage { restart: true, present, gone: Vec::new(), more: false, as_of_ms }));
    }

    fn event(&mut self, event: Event) {
        let effects = update(&mut self.state, event);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Call { call, command } => self.calls.push((call, command)),
                Effect::Arrange { which, generation, index, wanted } => {
                    let arranged = index::arrange(&index, &wanted);
                    self.event(Event::Arranged { which, generation, arranged, took_us: 4_000 });
                }
                other => self.wanted.push(other),
            }
        }
    }

    /// The watch tells something.
    fn tell(&mut self, update: Update) {
        self.event(Event::Update { call: CallId(0), update: Box::new(update) });
    }

    /// The last call that was made.
    fn last_call(&self) -> (CallId, &Command) {
        let (call, command) = self.calls.last().expect("a call was made");
        (*call, command)
    }

    fn answer(&mut self, update: Update) {
        let (call, _) = self.last_call();
        self.event(Event::Update { call, update: Box::new(update) });
    }

    fn end(&mut self, result: Result<(), Failure>) {
        let (call, _) = self.last_call();
        self.event(Event::Ended { call, result });
    }

    /// So many milliseconds after the beginning.
    fn tick(&mut self, after: i64) {
        self.event(Event::Tick(sample::NOW + after));
    }

    /// Types keys: letters as they are, others in angle brackets.
    fn keys(&mut self, script: &str) {
        let mut rest = script;
        while let Some(c) = rest.chars().next() {
            let (key, len) = match rest.strip_prefix('<').and_then(|tail| tail.split_once('>')) {
                Some((name, _)) => (named(name), name.len() + 2),
                None => (Key::Char(c), c.len_utf8()),
            };
            self.event(Event::Key(key));
            rest = &rest[len..];
        }
    }

    fn terminal(&self) -> (Terminal<TestBackend>, Targets) {
        let (width, height) = self.state.size;
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let mut targets = Targets::default();
        terminal.draw(|frame| targets = draw(&self.state, frame)).unwrap();
        (terminal, targets)
    }

    fn screen(&self) -> String {
        let (terminal, _) = self.terminal();
        let buffer = terminal.backend().buffer();
        let width = usize::from(buffer.area().width);
        let mut text = String::new();
        for row in buffer.content().chunks(width) {
            let mut skip = 0_usize;
            let mut line = String::new();
            for cell in row {
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                line.push_str(cell.symbol());
                skip = crate::app::format::width(cell.symbol()).saturating_sub(1);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn click(&mut self, target: Target, twice: bool) {
        self.event(Event::Click { target, twice });
    }
}

fn named(name: &str) -> Key {
    match name {
        "enter" => Key::Enter,
        "esc" => Key::Esc,
        "tab" => Key::Tab,
        "up" => Key::Up,
        "down" => Key::Down,
        "left" => Key::Left,
        "pgup" => Key::PageUp,
        "pgdn" => Key::PageDown,
        "A-enter" => Key::AltEnter,
        "C-j" => Key::Ctrl('j'),
        "backspace" => Key::Backspace,
        "space" => Key::Char(' '),
        "C-c" => Key::Ctrl('c'),
        "C-z" => Key::Ctrl('z'),
        "F1" => Key::F(1),
        other => panic!("no key is called {other}"),
    }
}

fn refused() -> Failure {
    Failure::new(FailureKind::SignIn, "wrong_password", "name or password is wrong", "try again in 2 s")
}

macro_rules! pictures {
    ($($name:ident: $width:literal x $height:literal, |$play:ident| $script:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let mut $play = Play::busy($width, $height);
                $script;
                insta::assert_snapshot!($play.screen());
            }
        )*
    };
}

// Below the macro, which they use.
mod chat;
mod inbox;
mod rooms;

pictures! {
    files_at_80x24: 80 x 24, |play| play.keys("jjjjjjjj");
    files_at_120x36_with_details: 120 x 36, |play| {
        play.keys("jjjjjjjj");
        play.tick(200);
    };
    files_at_60x20: 60 x 20, |play| play.keys("j ");
    files_at_40x12: 40 x 12, |play| play.keys("jj");
    files_filtered_at_80x24: 80 x 24, |play| play.keys("/ubu size:>1g");
    files_filtered_without_a_hit: 80 x 24, |play| play.keys("/zzz");
    inside_a_folder: 80 x 24, |play| play.keys("<enter>");
    my_shares: 80 x 24, |play| play.keys("]jj");
    search_before_anything_is_typed: 80 x 24, |play| play.keys("[");
    transfers_at_80x24: 80 x 24, |play| play.keys("2jj");
    transfers_at_120x36: 120 x 36, |play| play.keys("2");
    transfers_at_60x20: 60 x 20, |play| play.keys("2");
    transfers_at_40x12: 40 x 12, |play| play.keys("2");
    failed_transfers: 80 x 24, |play| play.keys("2]]]]");
    the_page_of_a_transfer: 80 x 24, |play| play.keys("2<enter>");
    members_at_80x24: 80 x 24, |play| play.keys("4j");
    members_at_120x36: 120 x 36, |play| play.keys("4j");
    quitting_with_transfers_under_way: 80 x 24, |play| play.keys("q");
    cancelling_at_40x12: 40 x 12, |play| play.keys("2x");
    the_sort_menu: 80 x 24, |play| play.keys("s");
    help_at_80x24: 80 x 24, |play| play.keys("?");
    commands_at_60x20: 60 x 20, |play| play.keys(":share");
    offline_at_120x36: 120 x 36, |play| {
        let retry_ms = Some(sample::NOW + 12_000);
        play.tell(Update::Connection(Connection::Offline { cause: "no answer".to_owned(), retry_ms, tries: 4 }));
    };
    the_message_log: 80 x 24, |play| {
        play.keys("2x");
        play.keys("yw");
        play.keys("!");
    };
    in_ascii: 80 x 24, |play| {
        play.state.setup.ascii = true;
        play.keys("2");
    };
    too_small: 32 x 6, |play| play.keys("j");
}

#[test]
fn the_sign_in_form_with_a_refused_password() {
    let mut play = Play::fresh(80, 24);
    play.tell(Update::Connection(Connection::SignedOut));
    play.tell(Update::Account(None));
    play.event(Event::Paste("swapmeet://trk.example.org:7443/#4c91ab77de0112233445566778899aabbccddeeff".to_owned()));
    play.tick(500);
    let info = TrackerInfo {
        address: "trk.example.org:7443".to_owned(),
        fingerprint: "4c91ab77de0112233445566778899aabbccddeeff".to_owned(),
        program: "swapmeet-tracker".to_owned(),
        registration: Registration::Open,
        members: None,
        online: None,
        files: None,
        bytes: None,
        copies: None,
        copy_bytes: None,
    };
    play.answer(Update::Tracker(info));
    play.keys("<tab>alice<tab>hunter22<enter>");
    assert!(matches!(play.last_call().1, Command::Login { name, .. } if name == "alice"));
    play.end(Err(refused()));
    insta::assert_snapshot!(play.screen());
}

#[test]
fn registration_at_40x12_keeps_the_focus_in_view() {
    let mut play = Play::fresh(40, 12);
    play.tell(Update::Account(None));
    play.keys("h:1<tab><tab><tab><tab><tab><enter>");
    play.keys("al<tab><tab>short<tab>other<tab>");
    insta::assert_snapshot!(play.screen());
}

#[test]
fn a_newcomer_lands_in_the_files_with_a_tip() {
    let mut play = Play::fresh(80, 24);
    play.tell(Update::Account(None));
    play.keys("h:1<tab><tab><tab><tab><tab><enter>");
    play.keys("alice<tab><tab>long enough<tab>long enough<enter>");
    assert!(matches!(play.last_call().1, Command::Register { .. }));
    play.answer(Update::Account(Some(sample::account())));
    let status = Status {
        version: String::new(),
        pid: 1,
        account: None,
        connection: Connection::Connecting,
        port: 0,
        shares: 0,
        active: 0,
        tracker: None,
        downloads: PathBuf::from("/home/alice/Downloads"),
    };
    play.answer(Update::Status(Box::new(status)));
    play.tell(Update::Connection(Connection::Online { rtt_ms: 1, https: false }));
    play.index(Vec::new());
    insta::assert_snapshot!(play.screen());
}

#[test]
fn the_doctor_shows_what_wants_attention_and_names_the_rest() {
    let mut play = Play::busy(80, 24);
    play.keys(":doctor<enter>");
    assert_eq!(play.last_call().1, &Command::Doctor { tracker: None });
    let finding = |id: &str, state, text: &str, hint: &str| {
        let (id, text, hint) = (id.to_owned(), text.to_owned(), hint.to_owned());
        Update::Finding(Finding { id, state, text, hint })
    };
    play.answer(finding("tracker", Health::Ok, "it runs", ""));
    play.answer(finding("udp", Health::Warn, "UDP to the tracker is blocked", "let UDP port 7443 out"));
    play.answer(finding("round_trip", Health::Ok, "12 ms", ""));
    play.answer(finding("nat", Health::Unknown, "not known", ""));
    play.end(Ok(()));
    insta::assert_snapshot!(play.screen());
    play.keys("c");
    assert!(!play.screen().contains("UDP to the tracker"), "{}", play.screen());
}

#[test]
fn a_connection_over_https_is_told_apart() {
    let mut play = Play::busy(120, 36);
    play.tell(Update::Connection(Connection::Online { rtt_ms: 30, https: true }));
    let screen = play.screen();
    assert!(screen.contains("online over HTTPS, UDP is blocked"), "{screen}");
    assert!(screen.contains("files come as copies or relayed"), "{screen}");
    play.tell(Update::Connection(Connection::Online { rtt_ms: 3, https: false }));
    assert!(play.screen().contains("UDP gets through again"), "{}", play.screen());
}

#[test]
fn a_download_names_the_file_by_its_id_and_can_be_taken_back() {
    let mut play = Play::busy(80, 24);
    play.keys("/'live-server-amd64<enter>d");
    let Command::Get(get) = play.last_call().1 else { panic!("{:?}", play.last_call()) };
    assert_eq!(get.items, [sample::file_id(2).to_string()]);
    let row = sample::transfers().remove(5);
    play.answer(Update::Transfer(Box::new(row)));
    play.end(Ok(()));
    assert!(play.screen().contains("u undo"));
    play.keys("u");
    let (_, command) = play.last_call();
    assert!(matches!(command, Command::Steer { how: Steer::Cancel, .. }));
}

#[test]
fn a_folder_is_fetched_by_its_owner_and_path() {
    let mut play = Play::busy(80, 24);
    play.keys("d");
    let Command::Get(get) = play.last_call().1 else { panic!("{:?}", play.last_call()) };
    assert_eq!(get.items, ["bob/old-builds"]);
}

#[test]
fn what_is_had_already_is_not_fetched_again_and_the_reason_is_said() {
    let mut play = Play::busy(80, 24);
    play.keys("/'24.04.4<enter>");
    let before = play.calls.len();
    play.keys("d");
    assert_eq!(play.calls.len(), before);
    assert!(play.screen().contains("you have it already"));
}

#[test]
fn what_has_come_is_had_at_once() {
    let mut play = Play::busy(80, 24);
    play.keys("/'live-server-amd64<enter>");
    assert!(play.screen().contains("you have nothing of it"), "{}", play.screen());
    play.tell(Update::Fetched(vec![sample::file_id(2), sample::file_id(99)]));
    assert!(play.screen().contains("✓ ubuntu-26.04-live-server-amd64.iso"), "{}", play.screen());
    assert!(play.screen().contains("you have it, complete and verified"), "{}", play.screen());
    let before = play.calls.len();
    play.keys("d");
    assert_eq!(play.calls.len(), before);
    play.keys("<esc>/have:yes<enter>");
    assert!(play.screen().contains("live-server-amd64"), "{}", play.screen());
}

#[test]
fn answers_to_forgotten_questions_change_nothing() {
    let mut play = Play::busy(80, 24);
    let before = play.state.clone();
    play.event(Event::Update { call: CallId(999), update: Box::new(Update::Traffic(Traffic { down: 1, up: 1 })) });
    play.event(Event::Ended { call: CallId(999), result: Err(refused()) });
    play.state.revision = before.revision;
    assert_eq!(play.state, before);
}

#[test]
fn a_search_waits_for_a_pause_and_drops_the_question_before_it() {
    let mut play = Play::busy(80, 24);
    play.keys("[ub");
    let asked = |play: &Play| play.calls.iter().filter(|(_, call)| matches!(call, Command::Search { .. })).count();
    assert_eq!(asked(&play), 0);
    play.tick(300);
    assert_eq!(asked(&play), 1);
    let (first, _) = play.last_call();
    play.answer(Update::File(sample::files().remove(0)));
    play.keys("u");
    play.tick(600);
    assert!(play.wanted.contains(&Effect::Drop { call: first }));
    assert_eq!(play.state.files.search.hits.len(), 0);
    play.keys("<esc>");
    assert!(play.screen().contains("Type to search names"), "{}", play.screen());
}

#[test]
fn enter_in_a_dialog_is_safe_and_the_named_key_acts() {
    let mut play = Play::busy(80, 24);
    play.keys("2x");
    let before = play.calls.len();
    play.keys("<enter>");
    assert_eq!((play.calls.len(), play.state.layers.len()), (before, 0));
    play.keys("xy");
    assert!(matches!(play.last_call().1, Command::Steer { how: Steer::Cancel, .. }));
}

#[test]
fn plus_and_minus_change_how_much_a_transfer_matters_and_others_move_it_in_the_queue() {
    for (key, rank) in [("+", Rank::Raise), ("-", Rank::Lower), ("K", Rank::Forward(1)), ("J", Rank::Forward(-1))] {
        let mut play = Play::busy(120, 36);
        play.keys(&format!("2{key}"));
        let Command::Steer { transfers, how } = play.last_call().1 else { panic!("{:?}", play.last_call()) };
        assert_eq!((transfers.len(), *how), (1, Steer::Rank(rank)));
    }
}

#[test]
fn whoever_stands_in_line_at_a_source_reads_where() {
    for (width, height) in [(120, 36), (80, 24), (40, 12)] {
        let mut play = Play::busy(width, height);
        let mut row = sample::transfers().remove(0);
        let queue = QueuePlace { position: 2, wait_s: Some(180) };
        (row.speed, row.eta_s, row.reason) = (0, None, "queued: 2nd at bob".to_owned());
        row.sources.truncate(1);
        row.sources[0].speed = 0;
        row.sources[0].doing = queue.sentence();
        row.sources[0].queue = Some(queue);
        play.tell(Update::Transfers(TransferPage { restart: true, changed: vec![row], removed: Vec::new() }));
        play.keys("2");
        let screen = play.screen();
        let expected = if width == 120 { "queued: 2nd at bob" } else { "2nd in line" };
        assert!(screen.contains(expected), "{screen}");
        assert_eq!(screen.contains("waiting for an upload slot, 2nd in line, ~3 min"), width >= 80, "{screen}");
    }
}

#[test]
fn a_limit_is_typed_like_on_the_command_line() {
    let mut play = Play::busy(120, 36);
    play.keys(":limit up 2M --at 08:00-18:00<enter>");
    let Command::Limit { change: Some(LimitChange::Rate(change)) } = play.last_call().1 else {
        panic!("{:?}", play.last_call())
    };
    assert_eq!((change.direction, change.rate), (Direction::Up, RateWish::Bytes(2_000_000)));
    let row =
        RateRow { direction: Direction::Up, member: None, at: None, rate: Some(2_000_000), lan: false, in_force: true };
    play.tell(Update::Limits(Limits { rates: vec![row], slots: Some(4), served: 1, waiting: 2, slots_lan: false }));
    play.end(Ok(()));
    assert!(
        play.screen().contains("up 2.00 MB/s, down no limit, 1 of 4 upload slots in use, 2 in line"),
        "{}",
        play.screen()
    );
    play.keys("2]]");
    assert!(play.screen().contains("limit: 2.00 MB/s   slots: 1 of 4, 2 in line"), "{}", play.screen());
}

#[test]
fn a_limit_that_makes_no_sense_stays_to_be_mended() {
    let mut play = Play::busy(80, 24);
    let before = play.calls.len();
    play.keys(":limit up fast<enter>");
    assert_eq!(play.calls.len(), before);
    play.keys("<backspace><backspace><backspace><backspace>0<enter>");
    assert!(matches!(play.last_call().1, Command::Limit { change: Some(_) }));
}

#[test]
fn an_empty_list_of_transfers_hints_at_nothing_that_needs_one() {
    let mut play = Play::busy(120, 36);
    play.tell(Update::Transfers(TransferPage { restart: true, changed: Vec::new(), removed: Vec::new() }));
    for views in ["2", "]", "]", "]", "]"] {
        play.keys(views);
        let screen = play.screen();
        let hints = screen.lines().last().unwrap();
        for word in ["pause", "cancel", "raise", "retry", "forget", "open", "details", "copy"] {
            assert!(!hints.contains(word), "{hints}");
        }
        assert!(hints.contains("filter") && hints.contains("keys"), "{hints}");
    }
}

#[test]
fn quitting_asks_only_when_something_is_under_way() {
    let mut play = Play::busy(80, 24);
    play.keys("qs");
    assert!(
        matches!(play.wanted.last(), Some(Effect::Quit(leaving)) if leaving.stop_engine && leaving.unfinished == 6)
    );
    let mut play = Play::fresh(80, 24);
    play.keys("q");
    assert!(matches!(play.wanted.last(), Some(Effect::Quit(leaving)) if leaving.unfinished == 0));
}

#[test]
fn ctrl_c_twice_quits_and_once_does_not() {
    let mut play = Play::busy(80, 24);
    play.keys("<C-c>j<C-c>");
    assert!(!play.wanted.iter().any(|effect| matches!(effect, Effect::Quit(_))));
    play.keys("<C-c>");
    assert!(play.wanted.iter().any(|effect| matches!(effect, Effect::Quit(_))));
}

#[test]
fn the_cursor_follows_its_file_when_the_index_changes() {
    let mut play = Play::busy(80, 24);
    play.keys("jjjj");
    let before = play.state.files.selected().map(|item| item.key());
    let mut files = sample::files();
    files.insert(0, sample::file(99, "bob", "aaa.txt", 1));
    play.index(files);
    play.tick(5_000);
    assert_eq!(play.state.files.selected().map(|item| item.key()), before);
    assert_eq!(play.state.list().cursor, 5);
}

/// A screen that asks whether a folder shall be shared, which was counted.
fn about_to_share() -> Play {
    let mut play = Play::busy(80, 24);
    play.keys("]a");
    play.keys("Music<enter>");
    let Command::Share(share) = play.last_call().1 else { panic!("{:?}", play.last_call()) };
    assert!(share.dry_run);
    assert_eq!(share.paths, [PathBuf::from("/home/alice/Music")]);
    let folder = FolderRow {
        id: String::new(),
        name: "Music".to_owned(),
        path: "Music".to_owned(),
        owner: "alice".to_owned(),
        files: 214,
        size: 3_100_000_000,
        mine: true,
        link: String::new(),
    };
    play.answer(Update::Folder(folder));
    play.end(Ok(()));
    play
}

#[test]
fn sharing_counts_first_and_asks_before_anything_is_shared() {
    let mut play = about_to_share();
    insta::assert_snapshot!(play.screen());
    play.keys("y");
    assert!(matches!(play.last_call().1, Command::Share(share) if !share.dry_run));
}

#[test]
fn what_is_about_to_be_shared_can_be_offered_to_a_few_instead() {
    let mut play = about_to_share();
    play.keys("obob, ca<tab><enter>");
    let Command::Inbox(InboxCommand::Offer(offer)) = play.last_call().1 else { panic!("{:?}", play.last_call()) };
    assert_eq!(offer.paths, [PathBuf::from("/home/alice/Music")]);
    assert_eq!(offer.to, ["bob", "carol"]);
    assert!(!play.calls.iter().any(|(_, call)| matches!(call, Command::Share(share) if !share.dry_run)));
}

#[test]
fn what_is_about_to_be_shared_can_be_shared_with_fewer() {
    let shared = |keys: &str| {
        let mut play = about_to_share();
        play.keys(keys);
        let shares = play.calls.iter().filter_map(|(_, call)| match call {
            Command::Share(share) if !share.dry_run => Some(share.audience.clone()),
            _ => None,
        });
        shares.collect::<Vec<_>>()
    };
    assert_eq!(shared("f<enter>"), []);
    assert_eq!(shared("fa"), [Some(Audience::Ask)]);
    assert_eq!(shared("fh"), [Some(Audience::Hidden)]);
    assert_eq!(shared("fl<enter>"), []);
    let people = Audience::People(vec!["bob".to_owned(), "carol".to_owned()]);
    assert_eq!(shared("flbob, ca<tab><enter>"), [Some(people)]);
}

#[test]
fn a_pasted_path_offers_to_share_it() {
    let mut play = Play::busy(80, 24);
    play.event(Event::Paste("'/home/alice/My\\ Music'\n".to_owned()));
    assert!(play.screen().contains("/home/alice/My Music"));
}

#[test]
fn a_lost_engine_is_asked_again_with_growing_pauses() {
    let mut play = Play::busy(80, 24);
    let watches = |play: &Play| play.calls.iter().filter(|(_, call)| *call == Command::Watch).count();
    play.event(Event::Ended { call: CallId(0), result: Err(crate::engine::client::engine_gone()) });
    assert_eq!(watches(&play), 1);
    play.tick(1_000);
    assert_eq!(watches(&play), 2);
    play.end(Err(crate::engine::client::engine_gone()));
    play.tick(2_000);
    assert_eq!(watches(&play), 2);
    play.tick(3_100);
    assert_eq!(watches(&play), 3);
}

#[test]
fn the_offline_countdown_moves_every_second_and_an_idle_screen_not_at_all() {
    let mut play = Play::fresh(120, 36);
    let retry_ms = Some(sample::NOW + 12_000);
    play.tell(Update::Connection(Connection::Offline { cause: "no answer".to_owned(), retry_ms, tries: 4 }));
    assert!(play.screen().contains("OFFLINE retry in 12s (4th try)"));
    play.tick(1_000);
    assert!(play.screen().contains("OFFLINE retry in 11s"));
    let mut idle = Play::fresh(120, 36);
    idle.tell(Update::Connection(Connection::Online { rtt_ms: 1, https: false }));
    idle.index(sample::files());
    let revision = idle.state.revision;
    idle.tick(30_000);
    assert_eq!(idle.state.revision, revision);
}

#[test]
fn the_selected_row_is_reversed_and_has_a_sign_without_colours() {
    for keys in ["1", "2", "3", "4", "5j", "1]"] {
        let mut play = Play::busy(80, 24);
        play.state.setup.color = false;
        play.keys(keys);
        let (terminal, _) = play.terminal();
        let buffer = terminal.backend().buffer();
        let y = play.state.areas().list.y + u16::try_from(play.state.list().cursor).unwrap();
        assert!(buffer[(10, y)].modifier.contains(Modifier::REVERSED), "{keys}");
        assert_eq!(buffer[(1, y)].symbol(), ">", "{keys}");
        let colours: BTreeSet<_> = buffer.content().iter().map(|cell| format!("{:?}{:?}", cell.fg, cell.bg)).collect();
        assert_eq!(colours.len(), 1, "{keys}");
    }
}

#[test]
fn tabs_rows_and_hints_can_be_clicked() {
    let mut play = Play::busy(80, 24);
    let (_, targets) = play.terminal();
    assert_eq!(targets.at(12, 0), Some(Target::Tab(Tab::Transfers)));
    assert_eq!(targets.at(10, 5), Some(Target::Line(2)));
    assert_eq!(targets.at(2, 23), Some(Target::Action(keys::Action::Download)));
    assert_eq!(targets.at(4, 2), Some(Target::Sort(index::SortBy::Name)));
    play.click(Target::Line(2), false);
    assert_eq!(play.state.list().cursor, 2);
    play.click(Target::Tab(Tab::Members), false);
    assert_eq!(play.state.tab, Tab::Members);
}

#[test]
fn hints_fit_forty_columns_and_come_from_the_table() {
    for script in
        ["1", "1]", "1[", "2", "2]", "3", "3]", "3]]", "3a", "3x", "4", "4o", "5", "5i", "?", "q", "s", "/", "2<enter>"]
    {
        let mut play = Play::busy(40, 16);
        play.state.size = (40, 16);
        play.keys(script);
        let screen = play.screen();
        let last = screen.lines().last().unwrap_or_default();
        assert!(crate::app::format::width(last) <= 40, "{last}");
        assert!(!last.trim().is_empty(), "{script}");
    }
}

#[test]
fn no_key_does_nothing() {
    let all = (' '..='~').map(Key::Char).chain([Key::Esc, Key::F(5), Key::Other, Key::Backspace]);
    for key in all {
        for tab in ["1", "1]", "2", "3", "3]", "4", "5"] {
            let mut play = Play::busy(80, 24);
            play.keys(tab);
            play.state.messages = crate::app::messages::Messages::default();
            let before = (play.screen(), play.wanted.len(), play.calls.len());
            play.event(Event::Key(key));
            let after = (play.screen(), play.wanted.len(), play.calls.len());
            // At the top of a list going up has nowhere to go, and a tab leads to itself.
            let stays = matches!(keys::lookup(&[Context::Panes], key), Some(action) if {
                use keys::Action as A;
                matches!(action, A::Up | A::PageUp | A::First | A::ShowFiles | A::ShowTransfers | A::ShowInbox | A::ShowMembers | A::ShowChat)
            });
            assert!(stays || before != after, "{key:?} in {tab}");
        }
    }
}

#[test]
fn hostile_names_never_reach_the_screen_as_they_are() {
    let mut play = Play::busy(120, 36);
    for keys in ["/photo", "<esc>2", "]]]]", "<enter>", "<esc>3]]G", "<enter>", "y", "<esc><esc>4G", "y", "<esc>5", "G"]
    {
        play.keys(keys);
        let screen = play.screen();
        assert!(!screen.chars().any(|c| c == '\u{202e}' || (c.is_control() && c != '\n')), "{keys}\n{screen}");
    }
}

#[test]
fn a_message_too_long_for_its_line_is_read_whole_in_the_log() {
    let mut play = Play::busy(80, 24);
    play.keys("w");
    let text = "take 3.flac could not be written to /media/a disk with a long name/takes of the third day".to_owned();
    let hint = "free 2.10 GiB on that disk, or choose another folder; r tries it again".to_owned();
    play.tell(Update::Notice(Notice { level: NoticeLevel::Error, at_ms: sample::NOW, text, hint }));
    play.keys("!");
    assert!(play.screen().contains("r tries it again"), "{}", play.screen());
    play.keys("j");
    assert!(!play.screen().contains("r tries it again"), "one line, where the cursor is not");
}

#[test]
fn a_transfer_that_finishes_is_announced_once() {
    let mut play = Play::busy(80, 24);
    let mut row = sample::transfers().remove(0);
    row.state = TransferState::Done;
    for _ in 0..2 {
        play.tell(Update::Transfers(TransferPage { restart: false, changed: vec![row.clone()], removed: Vec::new() }));
    }
    let said = play.state.messages.log().iter().filter(|message| message.text.contains("finished and verified"));
    assert_eq!(said.count(), 1);
}

fn any_key() -> impl Strategy<Value = Key> {
    prop_oneof![
        6 => (b' '..=b'~').prop_map(|byte| Key::Char(char::from(byte))),
        1 => Just(Key::Char('é')),
        1 => Just(Key::Char('本')),
        3 => prop_oneof![
            Just(Key::Enter), Just(Key::Esc), Just(Key::Tab), Just(Key::BackTab), Just(Key::Backspace),
            Just(Key::Delete), Just(Key::Up), Just(Key::Down), Just(Key::Left), Just(Key::Right), Just(Key::Home),
            Just(Key::End), Just(Key::PageUp), Just(Key::PageDown), Just(Key::F(1)), Just(Key::Ctrl('d')),
            Just(Key::Ctrl('u')), Just(Key::Ctrl('w')), Just(Key::AltEnter), Just(Key::Other),
        ],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_size_and_no_keys_make_the_screen_fail(
        signed_in in any::<bool>(),
        steps in proptest::collection::vec((any_key(), 0_u8..12, 1_u16..300, 1_u16..100), 1..60),
    ) {
        let mut play = if signed_in { Play::busy(80, 24) } else { Play::fresh(80, 24) };
        if !signed_in {
            play.tell(Update::Account(None));
        }
        let mut now = 0;
        for (key, what, width, height) in steps {
            match what {
                0 => play.event(Event::Resize(width, height)),
                1 => play.event(Event::Wheel(if width % 2 == 0 { 3 } else { -3 })),
                2 => {
                    now += i64::from(width) * 20;
                    play.tick(now);
                }
                3 => {
                    let (_, targets) = play.terminal();
                    if let Some(target) = targets.at(width % 80, height % 24) {
                        play.click(target, width % 2 == 0);
                    }
                }
                4 => play.event(Event::Paste("/tmp/a\u{202e}b \x1b[31m日本\n\n\n\n".to_owned())),
                _ => play.event(Event::Key(key)),
            }
            // What is due has been done: otherwise the screen would wake for ever.
            play.tick(now);
            prop_assert!(play.state.next_wake().is_none_or(|at| at > play.state.now));
            let (terminal, _) = play.terminal();
            let (width, height) = play.state.size;
            prop_assert_eq!(terminal.backend().buffer().area().as_size(), (width, height).into());
        }
    }
}

#[test]
fn what_is_shared_gets_other_viewers_a_remark_and_another_name() {
    let mut play = Play::busy(80, 24);
    play.keys("]e");
    insta::assert_snapshot!(play.screen());
    let before = play.calls.len();
    play.keys("<enter>");
    assert_eq!(play.calls.len(), before, "whoever only looks changes nothing");
    play.keys("e");
    let edited = |play: &Play| match play.last_call().1 {
        Command::Edit(edit) => edit.clone(),
        other => panic!("{other:?}"),
    };
    let items = vec!["alice/notes.md".to_owned()];
    play.keys("lbob, ca<tab><enter>");
    let people = Some(Audience::People(vec!["bob".to_owned(), "carol".to_owned()]));
    assert_eq!(edited(&play), Edit { items: items.clone(), audience: people, ..Edit::default() });
    play.keys("enfirst draft<enter>");
    let note = Some("first draft".to_owned());
    assert_eq!(edited(&play), Edit { items: items.clone(), note, ..Edit::default() });
    play.keys("er<enter>");
    assert!(play.screen().contains("write the new name"), "{}", play.screen());
    play.keys("final notes.md<enter>");
    assert_eq!(edited(&play), Edit { items, name: Some("final notes.md".to_owned()), ..Edit::default() });
}

#[test]
fn standing_searches_are_made_listed_and_ended() {
    let mut play = Play::busy(80, 24);
    play.keys(":wish add raw tapes --fetch<enter>");
    let add = WishCommand::Add { query: "raw tapes".to_owned(), fetch: true, up_to: None };
    assert_eq!(play.last_call().1, &Command::Wish(add));
    play.end(Ok(()));
    play.keys(":wishes<enter>");
    assert_eq!(play.last_call().1, &Command::Wish(WishCommand::List));
    let row = |id: &str, query: &str, fetch, matches| WishRow {
        id: id.to_owned(),
        query: query.to_owned(),
        fetch,
        up_to: fetch.then_some(2 << 30),
        created_ms: sample::NOW,
        known: 3,
        matches,
        new: 0,
        wanted: 0,
        last_ms: None,
    };
    play.answer(Update::Wish(row("3f2a", "raw tapes", true, 2)));
    play.answer(Update::Wish(row("77aa", "user:bob ext:wav", false, 0)));
    play.end(Ok(()));
    insta::assert_snapshot!(play.screen());
    play.keys("by");
    assert_eq!(play.last_call().1, &Command::Wish(WishCommand::Remove { wish: "77aa".to_owned() }));
}
