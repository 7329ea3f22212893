//! `kill -9` of the tracker and of both members' engines between and within every two steps of a request and of an
//! offer: nothing is lost, nothing is there twice, nothing is stuck.
//!
//! `CRASH_SEEDS=7,8` replays chosen seeds; a seed decides when within a step somebody dies, and how large the file is.

use std::{
    env, fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::Value;
use tests::{Engine, Member, PATIENCE, Tracker, corpus, member::text};

#[test]
fn a_request_for_a_file_survives_the_death_of_anybody_between_and_within_its_steps() {
    Town::play("asked", |town, strikes, name| {
        let path = town.file(name);
        let shared = town.does(Who::Owner, &["share", &path, "--visibility", "ask"], None);
        let id = text(first(&shared, "file"), "id");
        let asked = town.does(Who::Asker, &["request", &id], strikes.within(1));
        let item = text(first(&asked, "item"), "id");
        town.between(strikes, 1);
        town.sees(Who::Owner, &item, &["waiting"]);
        town.between(strikes, 2);
        town.does(Who::Owner, &["inbox", "accept", &item], strikes.within(3));
        town.between(strikes, 3);
        town.arrives(name);
        town.between(strikes, 4);
        item
    });
}

#[test]
fn a_request_in_words_survives_the_death_of_anybody_between_and_within_its_steps() {
    Town::play("words", |town, strikes, name| {
        let path = town.file(name);
        let words = format!("the one called {name}");
        let asked = town.does(Who::Asker, &["request", "--of", "alice", &words], strikes.within(1));
        let item = text(first(&asked, "item"), "id");
        town.between(strikes, 1);
        town.sees(Who::Owner, &item, &["waiting"]);
        town.between(strikes, 2);
        town.does(Who::Owner, &["inbox", "accept", &item, "--with", &path], strikes.within(3));
        town.between(strikes, 3);
        town.arrives(name);
        town.between(strikes, 4);
        item
    });
}

#[test]
fn an_offer_survives_the_death_of_anybody_between_and_within_its_steps() {
    Town::play("offered", |town, strikes, name| {
        let path = town.file(name);
        let offered = town.does(Who::Owner, &["offer", &path, "bob"], strikes.within(1));
        let item = text(first(&offered, "item"), "id");
        town.between(strikes, 1);
        town.sees(Who::Asker, &item, &["waiting"]);
        town.between(strikes, 2);
        town.does(Who::Asker, &["inbox", "accept", &item], strikes.within(3));
        town.between(strikes, 3);
        town.arrives(name);
        town.between(strikes, 4);
        item
    });
}

/// Steps of each story: it begins, is seen, is answered, is fetched.
const STEPS: u32 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Tracker,
    Owner,
    Asker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Owner,
    Asker,
}

/// When in a story somebody dies.
#[derive(Debug, Clone, Copy)]
struct Strike {
    victim: Victim,
    step: u32,
    /// So long after the step began; `None`: when it is over.
    within: Option<Duration>,
}

impl Strike {
    fn within(self, step: u32) -> Option<(Victim, Duration)> {
        self.within.filter(|_| self.step == step).map(|moment| (self.victim, moment))
    }
}

/// A tracker, Alice who has files, Bob who wants them.
struct Town {
    tracker: Tracker,
    alice: Member,
    bob: Member,
    owner: Option<Engine>,
    asker: Option<Engine>,
    random: StdRng,
}

impl Town {
    /// Plays a story once for everybody who may die at every moment. It returns the item that it was about.
    fn play(kind: &str, story: impl Fn(&mut Self, Strike, &str) -> String) {
        for seed in seeds() {
            println!("replay with CRASH_SEEDS={seed}");
            let mut town = Self::open(seed);
            let mut names = Vec::new();
            for step in 1..=STEPS {
                for victim in [Victim::Tracker, Victim::Owner, Victim::Asker] {
                    // Only what somebody does by a command has a middle.
                    let has_middle = step % 2 == 1;
                    let middle = Duration::from_millis(town.random.random_range(0..150));
                    for within in [None, Some(middle)].into_iter().filter(|within| within.is_none() || has_middle) {
                        let strike = Strike { victim, step, within };
                        let name = format!("{kind} {}.bin", names.len());
                        println!("{name}: {strike:?}");
                        let item = story(&mut town, strike, &name);
                        town.sees(Who::Owner, &item, &["fulfilled"]);
                        town.sees(Who::Asker, &item, &["fulfilled"]);
                        town.arrives(&name);
                        names.push(name);
                    }
                }
            }
            town.assert_tidy(&names);
        }
    }

    fn open(seed: u64) -> Self {
        let tracker = Tracker::start();
        let [alice, bob] = ["alice", "bob"].map(|name| Member::new(&tracker, name));
        let (owner, asker) = (Some(alice.engine()), Some(bob.engine()));
        Self { tracker, alice, bob, owner, asker, random: StdRng::seed_from_u64(seed) }
    }

    /// Writes a file on Alice's desk, small or not.
    fn file(&mut self, name: &str) -> String {
        let size = if self.random.random_bool(0.5) { 20_000 } else { 3_000_000 };
        self.alice.write(name, corpus::bytes(self.random.random(), size)).display().to_string()
    }

    const fn member(&self, who: Who) -> &Member {
        match who {
            Who::Owner => &self.alice,
            Who::Asker => &self.bob,
        }
    }

    /// Ends somebody with SIGKILL.
    fn kill(&mut self, victim: Victim) {
        match victim {
            Victim::Tracker => self.tracker.kill(),
            Victim::Owner => self.owner.take().expect("it runs").kill(),
            Victim::Asker => self.asker.take().expect("it runs").kill(),
        }
    }

    /// Starts it again.
    fn revive(&mut self, victim: Victim) {
        match victim {
            Victim::Tracker => self.tracker.restart(),
            Victim::Owner => self.owner = Some(self.alice.engine_offline()),
            Victim::Asker => self.asker = Some(self.bob.engine_offline()),
        }
    }

    fn between(&mut self, strike: Strike, step: u32) {
        if strike.step == step && strike.within.is_none() {
            self.kill(strike.victim);
            self.revive(strike.victim);
        }
    }

    /// Somebody does something. Whoever was interrupted does it again, as people do who did not see an answer.
    fn does(&mut self, who: Who, arguments: &[&str], within: Option<(Victim, Duration)>) -> Vec<Value> {
        if let Some((victim, moment)) = within {
            let mut running = self.member(who).start(arguments);
            let _whatever_it_says = running.next_line(moment);
            self.kill(victim);
            // A command whose engine dies goes on as an engine itself, or ends.
            let is_own = matches!((who, victim), (Who::Owner, Victim::Owner) | (Who::Asker, Victim::Asker));
            if !is_own {
                self.revive(victim);
            }
            let ended = running.finish();
            if is_own {
                self.revive(victim);
            }
            let code = ended.code.expect("it ends by itself");
            assert!(CUT_OFF.contains(&code), "{arguments:?} ended with {code}\n{}", ended.stderr);
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.member(who).run(arguments);
            match output.code {
                0 => return output.records(),
                // It was done by the command that was interrupted, and more has happened since.
                9 if within.is_some() => return Vec::new(),
                code => assert!(CUT_OFF.contains(&code) && Instant::now() < deadline, "{output}"),
            }
        }
    }

    fn sees(&self, who: Who, item: &str, states: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.member(who).run(&["inbox", "ls", "--all"]);
            // The first question after the tracker was killed may find the old connection dead.
            let items = if output.code == 0 { output.records() } else { Vec::new() };
            let found = items.into_iter().find(|found| found["id"] == item);
            if found.as_ref().is_some_and(|found| states.contains(&text(found, "state").as_str())) {
                return;
            }
            assert!(Instant::now() < deadline, "not {states:?} for {who:?}: {found:?}\n{output}");
        }
    }

    /// Waits until Bob has a file, byte for byte.
    fn arrives(&self, name: &str) {
        let (got, original) = (self.bob.downloads().join(name), self.alice.desk().join(name));
        let deadline = Instant::now() + PATIENCE;
        while !got.exists() {
            assert!(Instant::now() < deadline, "{name} does not come\n{:?}", self.bob.run(&["transfers"]));
            std::thread::yield_now();
        }
        assert!(fs::read(got).unwrap() == fs::read(original).unwrap(), "{name} is another");
    }

    /// Everything came once, nothing waits, nothing is left.
    fn assert_tidy(&self, names: &[String]) {
        for member in [&self.alice, &self.bob] {
            let all = member.run(&["inbox", "ls", "--all"]).ok().records();
            assert_eq!(all.len(), names.len(), "one item each: {all:?}");
            let open = member.run(&["inbox", "ls"]).ok().records();
            assert!(open.is_empty(), "something waits: {open:?}");
        }
        let mut got: Vec<PathBuf> =
            fs::read_dir(self.bob.downloads()).unwrap().map(|entry| entry.unwrap().path()).collect();
        got.retain(|path| path.is_file());
        let mut wanted: Vec<PathBuf> = names.iter().map(|name| self.bob.downloads().join(name)).collect();
        got.sort();
        wanted.sort();
        assert_eq!(got, wanted, "each file is there once, and nothing else");
        let transfers = self.bob.run(&["transfers"]).ok().records();
        let running: Vec<&Value> = transfers.iter().filter(|row| row["state"] != "done").collect();
        assert!(running.is_empty(), "something goes on: {running:?}");
    }
}

/// How a command may end when somebody it needs dies: not at all, with an unexpected end of the engine, for want of the
/// tracker or of time, or because the transfer that it followed went on elsewhere.
const CUT_OFF: [i32; 5] = [0, 1, 5, 6, 7];

fn first<'a>(records: &'a [Value], kind: &str) -> &'a Value {
    records.iter().find(|record| record["type"] == kind).unwrap_or_else(|| panic!("no {kind} in {records:?}"))
}

fn seeds() -> Vec<u64> {
    match env::var("CRASH_SEEDS") {
        Ok(seeds) => seeds.split(',').map(|seed| seed.parse().expect("seeds are numbers")).collect(),
        Err(_) => vec![1],
    }
}
