//! One long story of three members and their tracker, in the order in which a group lives it. The tracker is killed
//! between its chapters, and so are engines now and then.

use std::{fs, time::Instant};

use serde_json::Value;
use tests::{
    Engine, Member, Output, PATIENCE, Tracker, corpus,
    member::{PASSWORD, number, record, text},
};

#[test]
fn a_group_lives_through_invitations_shares_requests_offers_messages_blocks_lock_outs_and_a_stolen_laptop() {
    let mut group = Group::gather();
    let files = group.shares_with_each_visibility();
    group.next_chapter();
    group.asks_and_is_answered(&files);
    group.next_chapter();
    group.pushes_to_who_is_absent();
    group.next_chapter();
    group.talks_to_all_and_to_one();
    group.next_chapter();
    group.parts_and_makes_up(&files);
    group.next_chapter();
    group.meets_a_guesser();
    group.next_chapter();
    group.loses_a_laptop();
}

struct Group {
    tracker: Tracker,
    alice: Member,
    bob: Member,
    carol: Member,
    alices: Option<Engine>,
    bobs: Option<Engine>,
}

/// Ids of what Alice shares.
struct Files {
    public: String,
    ask: String,
    bobs: String,
    hidden: String,
}

impl Group {
    fn gather() -> Self {
        let tracker = Tracker::start_with(&[
            "--registration",
            "invite",
            "--sign-in-free-tries",
            "3",
            "--sign-in-delay",
            "2s",
            "--sign-in-delay-max",
            "4s",
        ]);
        Member::stranger(&tracker, "mallory").register("mallory", PASSWORD).fails(8);
        let invited = |link: String, name: &str| {
            let mut member = Member::stranger(&tracker, name);
            member.link = link;
            member.register(name, PASSWORD).ok();
            member
        };
        let first = &tracker.administer(&["invite", "new"])[0];
        let alice = invited(tracker.link.replace('#', &format!("?invite={}#", text(first, "code"))), "alice");
        let _role = tracker.administer(&["member", "role", "alice", "admin"]);
        let link = text(&alice.run(&["invite", "new", "--uses", "2"]).ok().one("invite"), "link");
        let [bob, carol] = ["bob", "carol"].map(|name| invited(link.clone(), name));
        let mut late = Member::stranger(&tracker, "mallory");
        late.link = link;
        late.register("mallory", PASSWORD).fails(8);
        let (alices, bobs) = (Some(alice.engine()), Some(bob.engine()));
        Self { tracker, alice, bob, carol, alices, bobs }
    }

    /// The tracker dies and comes back; everybody finds it again.
    fn next_chapter(&mut self) {
        self.tracker.restart();
        for member in [&self.alice, &self.bob, &self.carol] {
            let _status = until(member, &["status"], |output| output.one("status")["connection"] == "online");
        }
        // Whose engine has not noticed yet that the tracker is another one is no source.
        if self.alices.is_some() {
            let sees_alice = |output: &Output| {
                output.records().iter().any(|member| member["name"] == "alice" && member["status"] != "offline")
            };
            let _members = until(&self.carol, &["members"], sees_alice);
        }
    }

    fn shares_with_each_visibility(&self) -> Files {
        let share = |name: &str, options: &[&str]| {
            self.alice.share(&[&self.alice.write(name, corpus::bytes(name.len() as u64, 400_000))], options)
        };
        let files = Files {
            public: share("for all.bin", &[]),
            ask: share("on request.bin", &["--visibility", "ask"]),
            bobs: share("for bob alone.bin", &["--to", "bob"]),
            hidden: share("by its link alone.bin", &["--visibility", "hidden"]),
        };
        let seen = |member: &Member| -> Vec<String> {
            let mut names: Vec<String> =
                member.run(&["ls", "alice"]).ok().records().iter().map(|file| text(file, "name")).collect();
            names.sort();
            names
        };
        assert_eq!(seen(&self.bob), ["for all.bin", "for bob alone.bin", "on request.bin"]);
        assert_eq!(seen(&self.carol), ["for all.bin", "on request.bin"]);
        for (member, id, code) in [
            (&self.bob, &files.public, 0),
            (&self.bob, &files.ask, 8),
            (&self.bob, &files.bobs, 0),
            (&self.bob, &files.hidden, 0),
            (&self.carol, &files.bobs, 4),
            (&self.carol, &files.hidden, 0),
        ] {
            assert_eq!(member.run(&["get", id]).code, code, "{id} for {}", member.name);
        }
        files
    }

    fn asks_and_is_answered(&mut self, files: &Files) {
        // Declined with a word, then approved; the engine that asked is killed in between.
        let ask = |member: &Member| text(&member.run(&["request", &files.ask]).ok().one("item"), "id");
        let first = ask(&self.bob);
        arrives(&self.alice, &first, "waiting");
        self.alice.run(&["inbox", "decline", &first, "--word", "after the premiere"]).ok();
        assert_eq!(text(&arrives(&self.bob, &first, "declined"), "word"), "after the premiere");
        let second = ask(&self.bob);
        assert_ne!(first, second);
        self.bobs.take().unwrap().kill();
        self.tracker.restart();
        arrives(&self.alice, &second, "waiting");
        again(&self.alice, &["inbox", "accept", &second]);
        self.bobs = Some(self.bob.engine());
        landed(&self.bob, &self.alice, "on request.bin");
        arrives(&self.alice, &second, "fulfilled");
        // What nobody answers is over some time.
        let short = text(
            &again(&self.carol, &["request", "--of", "bob", "your old tapes", "--expires", "1s"]).one("item"),
            "id",
        );
        arrives(&self.carol, &short, "expired");
        again(&self.bob, &["ls"]);
        self.bob.run(&["inbox", "accept", &short, "--with", &files.public]).fails(if_known(&self.bob, &short));
    }

    fn pushes_to_who_is_absent(&mut self) {
        // Carol has no engine running; Alice leaves a copy and goes.
        let folder = self.alice.desk().join("rushes");
        corpus::small_files(&folder, 81, 12, 30_000);
        let offered = self.alice.run(&["offer", folder.to_str().unwrap(), "carol", "--copy"]).ok();
        let id = text(&offered.one("item"), "id");
        self.alices.take().unwrap().stop();
        self.tracker.restart();
        let waiting = arrives(&self.carol, &id, "waiting");
        assert_eq!((number(&waiting, "files"), text(&waiting, "name")), (12, "rushes".to_owned()));
        again(&self.carol, &["inbox", "accept", &id]);
        tests::tree::assert_same(&folder, &self.carol.downloads().join("rushes"));
        self.alices = Some(self.alice.engine());
        arrives(&self.alice, &id, "fulfilled");
        assert_eq!(self.bob.run(&["search", "rushes"]).code, 4, "an offer is in no list");
    }

    fn talks_to_all_and_to_one(&self) {
        self.alice.run(&["chat", "broadcast", "the hall is ours on Friday"]).ok();
        self.bob.run(&["chat", "send", "carol", "bring the long cable"]).ok();
        let heard = |member: &Member, room: &str, wanted: &str| {
            let deadline = Instant::now() + PATIENCE;
            while !member.run(&["chat", "read", room]).stdout.contains(wanted) {
                assert!(Instant::now() < deadline, "{} does not hear {wanted:?}", member.name);
            }
        };
        heard(&self.bob, "#all", "Friday");
        heard(&self.carol, "#all", "Friday");
        heard(&self.carol, "bob", "long cable");
        assert!(!self.alice.run(&["chat", "read"]).ok().stdout.contains("long cable"), "that was between two");
    }

    fn parts_and_makes_up(&mut self, files: &Files) {
        self.carol.run(&["block", "bob"]).ok();
        self.next_chapter();
        let waiting = |member: &Member| again(member, &["inbox", "ls"]).records().len();
        let before = waiting(&self.carol);
        // Bob is told nothing and reaches nobody.
        again(&self.bob, &["request", "--of", "carol", "a word with you"]);
        again(&self.bob, &["chat", "send", "carol", "are you there"]);
        assert_eq!(waiting(&self.carol), before);
        assert!(!self.carol.run(&["chat", "read"]).ok().stdout.contains("are you there"));
        // The others go on with both.
        self.bob.run(&["get", &files.public, "-o", "again.bin"]).ok();
        again(&self.carol, &["get", &files.public]);
        self.carol.run(&["unblock", "bob"]).ok();
        self.bob.run(&["chat", "send", "carol", "well then"]).ok();
        let deadline = Instant::now() + PATIENCE;
        while !self.carol.run(&["chat", "read", "bob"]).ok().stdout.contains("well then") {
            assert!(Instant::now() < deadline, "Carol does not hear Bob");
        }
    }

    fn meets_a_guesser(&self) {
        let stranger = Member::stranger(&self.tracker, "x");
        let login = |password: &str| {
            let arguments = ["login", "carol", "--tracker", &stranger.link, "--password-stdin"];
            stranger.run_with_input(&arguments, password.as_bytes())
        };
        for _ in 0..3 {
            login("a wrong guess").fails(3);
        }
        assert_eq!(login(PASSWORD).fails(3)["code"], "wait", "not even the right one is looked at");
        again(&self.carol, &["ls"]);
        // The wait has an end, and the account is nobody's but Carol's.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = login(PASSWORD);
            if output.code == 0 {
                break;
            }
            assert_eq!(output.fails(3)["code"], "wait");
            assert!(Instant::now() < deadline, "the wait has no end");
        }
        stranger.run(&["logout"]).ok();
    }

    fn loses_a_laptop(&self) {
        const SIZE: u64 = 48 << 20;
        let film = self.alice.desk().join("film.bin");
        corpus::large_file(&film, 82, SIZE);
        let id = self.alice.share(&[&film], &[]);
        self.alice.run(&["limit", "up", "2MiB", "--lan"]).ok();
        let laptop = self.bob.second_device(&self.tracker);
        let device = text(&laptop.run(&["whoami"]).ok().one("account"), "device");
        let _engine = laptop.engine();
        let _get = laptop.start(&["get", &id]);
        let mut watch = laptop.start(&["transfers", "watch"]);
        watch.line("progress", |line| record(line).is_some_and(|row| row["bytes_peer"].as_u64() > Some(0)));
        self.bob.run(&["devices", "revoke", &device]).ok();
        // Its own engine says so, whatever the command ends with.
        let deadline = Instant::now() + PATIENCE;
        while laptop.run(&["status"]).one("status")["connection"] != "offline" {
            assert!(Instant::now() < deadline, "the laptop is not cut off");
        }
        let rows = laptop.run(&["transfers", "ls"]).ok().records();
        assert!(rows.iter().all(|row| row["type"] != "transfer" || number(row, "done") < SIZE), "{rows:?}");
        laptop.run(&["ls"]).fails(3);
        // Bob himself goes on, and so does the group.
        self.alice.run(&["limit", "up", "0", "--lan"]).ok();
        again(&self.bob, &["get", &id]);
        landed(&self.bob, &self.alice, "film.bin");
    }
}

/// The exit code of whoever answers an item that is over: it is told so, or never knew of it.
fn if_known(member: &Member, item: &str) -> i32 {
    let all = member.run(&["inbox", "ls", "--all"]).ok().records();
    if all.iter().any(|known| known["id"] == item) { 9 } else { 4 }
}

/// Runs a command again until it ends well: the first one after the tracker was killed may find its connection dead.
fn again(member: &Member, arguments: &[&str]) -> Output {
    until(member, arguments, |_| true)
}

fn until(member: &Member, arguments: &[&str], wanted: impl Fn(&Output) -> bool) -> Output {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = member.run(arguments);
        if output.code == 0 && wanted(&output) {
            return output;
        }
        assert!([0, 5, 7].contains(&output.code) && Instant::now() < deadline, "{output}");
    }
}

/// Waits until a member sees an item in a state.
fn arrives(member: &Member, item: &str, state: &str) -> Value {
    let find =
        |output: &Output| output.records().into_iter().find(|found| found["id"] == item && found["state"] == state);
    let output = until(member, &["inbox", "ls", "--all"], |output| find(output).is_some());
    find(&output).expect("just seen")
}

/// Waits until a member has a file from another one's desk.
fn landed(member: &Member, from: &Member, name: &str) {
    let got = member.downloads().join(name);
    let deadline = Instant::now() + PATIENCE;
    while !got.exists() {
        assert!(Instant::now() < deadline, "{name} does not come");
        std::thread::yield_now();
    }
    assert!(fs::read(got).unwrap() == fs::read(from.desk().join(name)).unwrap(), "{name} is another");
}
