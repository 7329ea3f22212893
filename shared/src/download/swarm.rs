//! A swarm around one download in virtual time: sources with rates and delays that leave, come back, stall, lie, have
//! only parts. Everything follows from one seed.
//!
//! `SWARM_SEED=17 cargo test -p shared swarm` replays one seed, `SWARM_SEEDS=5000` runs more of them.

use std::{
    collections::{BTreeMap, VecDeque},
    env,
    ops::Range,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;
use crate::limits::SLICES_IN_FLIGHT_MAX;

const MIB: u64 = 1024 * 1024;
/// Groups that a source's bytes are verified and written in at most.
const BLOCK_GROUPS: u64 = 16;
const SECOND_US: u64 = 1_000_000;
const ALWAYS: Range<u64> = 0..u64::MAX;
/// Longer than any download of these swarms takes by itself.
const PATIENCE_US: u64 = 40 * 24 * 3600 * SECOND_US;

// What is asserted

#[test]
fn a_download_completes_whatever_the_swarm_does() {
    let (mut size, mut received) = (0, 0);
    for seed in seeds(400) {
        let _replay = Replay(seed);
        let outcome = Swarm::wild(seed).run();
        // Beyond this, only what two were asked for at once may come twice.
        let allowed = outcome.size + outcome.size * 3 / 100 + outcome.raced + outcome.lied;
        assert!(outcome.received <= allowed, "{outcome:?}");
        size += outcome.size;
        received += outcome.received - outcome.lied;
    }
    assert!(received <= size + size * 3 / 100, "{received} bytes for {size}");
}

#[test]
fn honest_members_share_the_work_in_nearly_ideal_time_and_waste_little() {
    for seed in seeds(60) {
        let _replay = Replay(seed);
        let swarm = Swarm::honest(seed);
        let ideal_us = swarm.ideal_us();
        let outcome = swarm.run();
        assert!(outcome.received <= outcome.size + outcome.size * 3 / 100, "{outcome:?}");
        // Speeds have to be found out first.
        let allowed_us = ideal_us + ideal_us * 15 / 100 + 2 * SECOND_US;
        assert!(outcome.took_us <= allowed_us, "{outcome:?}, ideal {ideal_us} µs");
    }
}

#[test]
fn the_copy_alone_completes_what_members_began() {
    for seed in seeds(50) {
        let _replay = Replay(seed);
        let outcome = Swarm::abandoned(seed).run();
        assert!(outcome.from_copy > 0, "{outcome:?}");
    }
}

#[test]
fn the_same_seed_plays_the_same() {
    for seed in seeds(20) {
        let _replay = Replay(seed);
        let (one, two) = (Swarm::wild(seed).run(), Swarm::wild(seed).run());
        assert_eq!(one, two);
    }
}

fn seeds(count: u64) -> Range<u64> {
    let number = |name| env::var(name).ok().and_then(|value: String| value.parse::<u64>().ok());
    match number("SWARM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SWARM_SEEDS").unwrap_or(count),
    }
}

/// Tells on a panic how to see it again.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with: SWARM_SEED={} cargo test -p shared download::swarm", self.0);
        }
    }
}

// Plans

/// What one source will do.
#[derive(Debug, Clone)]
struct Plan {
    kind: SourceKind,
    have: Option<GroupSet>,
    bytes_per_second: u64,
    delay_us: u64,
    /// When it is there.
    present: Vec<Range<u64>>,
    /// When it sends nothing although it is there.
    silent: Vec<Range<u64>>,
    /// How many groups it sends before the first wrong one.
    lies_after: Option<u64>,
    refuses: bool,
}

impl Plan {
    fn honest(rng: &mut StdRng, bytes_per_second: Range<f64>) -> Self {
        Self {
            kind: SourceKind::Peer,
            have: None,
            bytes_per_second: rng.random_range(bytes_per_second.start.ln()..bytes_per_second.end.ln()).exp() as u64,
            delay_us: rng.random_range(500..150_000),
            present: Vec::from_iter([ALWAYS]),
            silent: Vec::new(),
            lies_after: None,
            refuses: false,
        }
    }

    fn wild(rng: &mut StdRng, groups: u64) -> Self {
        let mut plan = Self::honest(rng, 20e3..30e6);
        if rng.random_bool(0.2) {
            plan.kind = SourceKind::Copy;
        }
        if rng.random_bool(0.4) {
            plan.have = Some(some_groups(rng, groups));
        }
        if rng.random_bool(0.5) {
            plan.present = moments(rng);
        }
        if rng.random_bool(0.3) {
            plan.silent = moments(rng);
        }
        if rng.random_bool(0.15) {
            plan.lies_after = Some(rng.random_range(0..200));
        }
        plan.refuses = rng.random_bool(0.05);
        plan
    }
}

fn some_groups(rng: &mut StdRng, groups: u64) -> GroupSet {
    let mut some = GroupSet::new();
    for _ in 0..rng.random_range(0..40) {
        let start = rng.random_range(0..groups);
        some.insert(start..(start + rng.random_range(1..=groups.div_ceil(8))).min(groups));
    }
    some
}

fn moments(rng: &mut StdRng) -> Vec<Range<u64>> {
    let mut at = 0;
    let mut ranges = Vec::new();
    for _ in 0..rng.random_range(1..5) {
        let start = at + rng.random_range(0..20 * SECOND_US);
        at = start + rng.random_range(1..40 * SECOND_US);
        ranges.push(start..at);
    }
    ranges
}

// The swarm

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    size: u64,
    /// Bytes that arrived, also for nothing.
    received: u64,
    /// Bytes that two sources were asked for at the same time.
    raced: u64,
    /// Bytes that were wrong.
    lied: u64,
    from_copy: u64,
    took_us: u64,
    /// Everything that was done, and when.
    trace: blake3::Hash,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Comes(SourceId),
    Goes(SourceId),
    Gains(SourceId),
    /// Orders reach the source.
    Ordered(SourceId, Epoch, SliceId, Vec<(u64, u64)>),
    Dropped(SourceId, Epoch, SliceId),
    /// The source's line is free again.
    Sends(SourceId, Epoch),
    Arrives(SourceId, Epoch, SliceId, u64, Group),
    Ends(SourceId, Epoch, SliceId),
    BlockIsOld(SourceId, Epoch, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Right,
    Wrong,
}

/// Which of the connections to a source.
type Epoch = u32;

struct Node {
    plan: Plan,
    epoch: Epoch,
    is_connected: bool,
    is_shunned: bool,
    is_sending: bool,
    sent: u64,
    queue: VecDeque<(SliceId, VecDeque<u64>)>,
    /// Slices that the machine counts on, and their groups.
    wanted: BTreeMap<SliceId, GroupSet>,
    /// Groups that arrived and are not reported yet.
    block: Option<(SliceId, Range<u64>)>,
    block_number: u64,
}

struct Swarm {
    layout: Layout,
    download: Download,
    nodes: BTreeMap<SourceId, Node>,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    now_us: u64,
    is_finished: bool,
    start: Instant,
    received: u64,
    raced: u64,
    lied: u64,
    from_copy: u64,
    trace: blake3::Hasher,
}

impl Swarm {
    fn new(size: u64, have: GroupSet, plans: Vec<Plan>) -> Self {
        let layout = Layout::new(size).unwrap();
        let nodes = plans.into_iter().zip(1..).map(|(plan, id)| {
            let node = Node {
                plan,
                epoch: 0,
                is_connected: false,
                is_shunned: false,
                is_sending: false,
                sent: 0,
                queue: VecDeque::new(),
                wanted: BTreeMap::new(),
                block: None,
                block_number: 0,
            };
            (SourceId(id), node)
        });
        let mut swarm = Self {
            layout,
            download: Download::new(layout, have),
            nodes: nodes.collect(),
            events: BTreeMap::new(),
            sequence: 0,
            now_us: 0,
            is_finished: false,
            start: tests::some_instant(),
            received: 0,
            raced: 0,
            lied: 0,
            from_copy: 0,
            trace: blake3::Hasher::new(),
        };
        for id in swarm.nodes.keys().copied().collect::<Vec<_>>() {
            for present in swarm.nodes[&id].plan.present.clone() {
                swarm.later(present.start, Event::Comes(id));
                swarm.later(present.end, Event::Goes(id));
            }
        }
        swarm
    }

    /// Anything may happen, but one honest and whole source always comes back.
    fn wild(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let size = rng.random_range(0f64..(192e6f64).ln()).exp() as u64;
        let groups = Layout::new(size).unwrap().groups();
        let mut plans: Vec<_> = (0..rng.random_range(0..12)).map(|_| Plan::wild(&mut rng, groups)).collect();
        let mut anchor = Plan::honest(&mut rng, 50e3..30e6);
        let back_us = rng.random_range(0..60 * SECOND_US);
        anchor.present.push(back_us..u64::MAX);
        anchor.present[0] = 0..back_us / rng.random_range(1..1000);
        if rng.random_bool(0.3) {
            anchor.silent = moments(&mut rng);
        }
        plans.push(anchor);
        let have = if rng.random_bool(0.3) { some_groups(&mut rng, groups) } else { GroupSet::new() };
        Self::new(size, have, plans)
    }

    /// Members of very different speed, there from the beginning to the end.
    fn honest(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let size = rng.random_range(128 * MIB..512 * MIB);
        let plans = (0..rng.random_range(1..8)).map(|_| Plan::honest(&mut rng, 0.5e6..30e6)).collect();
        Self::new(size, GroupSet::new(), plans)
    }

    /// All members leave for good; the copy stays.
    fn abandoned(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let size = rng.random_range(20 * MIB..40 * MIB);
        let mut plans: Vec<_> = (0..3).map(|_| Plan::honest(&mut rng, 50e3..500e3)).collect();
        for plan in &mut plans {
            plan.present[0].end = rng.random_range(1..10 * SECOND_US);
        }
        let copy = Plan::honest(&mut rng, 1e6..10e6);
        plans.push(Plan { kind: SourceKind::Copy, ..copy });
        Self::new(size, GroupSet::new(), plans)
    }

    /// Time that these rates need together.
    fn ideal_us(&self) -> u64 {
        let rate: u64 = self.nodes.values().map(|node| node.plan.bytes_per_second).sum();
        self.layout.size() * 1000 / rate * 1000
    }

    fn run(mut self) -> Outcome {
        self.obey();
        while !self.is_finished {
            let deadline = self.download.next_deadline().map(|at| (at - self.start).as_micros() as u64);
            let Some((&key, _)) = self.events.first_key_value() else { panic!("nothing will ever happen") };
            assert!(key.0 < PATIENCE_US, "it does not end: {:?}", self.download);
            match deadline {
                Some(deadline) if deadline <= key.0 => {
                    self.now_us = self.now_us.max(deadline);
                    self.tell(Input::Tick);
                }
                Some(_) | None => {
                    self.now_us = self.now_us.max(key.0);
                    if let Some(event) = self.events.remove(&key) {
                        self.happen(event);
                    }
                }
            }
        }
        assert!(self.download.is_finished() && self.download.have() == &self.layout.all());
        Outcome {
            size: self.layout.size(),
            received: self.received,
            raced: self.raced,
            lied: self.lied,
            from_copy: self.from_copy,
            took_us: self.now_us,
            trace: self.trace.finalize(),
        }
    }

    fn later(&mut self, at_us: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((at_us, self.sequence), event);
    }

    fn after(&mut self, delay_us: u64, event: Event) {
        self.later(self.now_us.saturating_add(delay_us), event);
    }

    fn tell(&mut self, input: Input) {
        let now = self.start + Duration::from_micros(self.now_us);
        self.download.handle(now, input);
        self.obey();
    }

    fn obey(&mut self) {
        for action in std::iter::from_fn(|| self.download.poll_action()).collect::<Vec<_>>() {
            self.trace.update(format!("{} {action:?}\n", self.now_us).as_bytes());
            match action {
                Action::Fetch { source, slice, groups } => self.fetch(source, slice, groups),
                Action::Cancel { source, slice } => {
                    let node = self.nodes.get_mut(&source).unwrap();
                    assert!(node.wanted.remove(&slice).is_some(), "a slice is cancelled that nobody works on");
                    let (epoch, delay_us) = (node.epoch, node.plan.delay_us);
                    self.after(delay_us, Event::Dropped(source, epoch, slice));
                }
                Action::Stalled { source } => {
                    self.nodes.get_mut(&source).unwrap().wanted.clear();
                    self.after(0, Event::Goes(source));
                    self.after(5 * SECOND_US, Event::Comes(source));
                }
                Action::Finished => {
                    assert!(!self.is_finished, "finished twice");
                    self.is_finished = true;
                }
            }
        }
    }

    fn fetch(&mut self, id: SourceId, slice: SliceId, groups: GroupSet) {
        assert!(!groups.is_empty() && groups.count() * GROUP_BYTES <= SLICE_BYTES);
        assert!(groups.ranges().len() <= WANT_RANGES_MAX);
        assert!(
            !groups.ranges().any(|range| !sets::is_inside(&GroupSet::from_range(range.clone()), &self.layout.all()))
        );
        assert!(!sets::overlap(&groups, self.download.have()), "held groups are asked for");
        let others = self.nodes.values().flat_map(|node| node.wanted.values());
        let raced: u64 = others.map(|other| self.layout.bytes_in(&sets::intersection(&groups, Some(other)))).sum();
        self.raced += raced;
        let node = self.nodes.get_mut(&id).unwrap();
        assert!(node.is_connected && !node.is_shunned, "{id:?} is asked although it is not here");
        assert!(node.plan.have.as_ref().is_none_or(|have| sets::is_inside(&groups, have)), "it does not have that");
        node.wanted.insert(slice, groups.clone());
        assert!(node.wanted.len() <= SLICES_IN_FLIGHT_MAX);
        let (epoch, delay_us) = (node.epoch, node.plan.delay_us);
        self.after(delay_us, Event::Ordered(id, epoch, slice, groups.to_wire()));
    }

    fn disconnect(&mut self, id: SourceId, why: Leaving) {
        // What was verified before the end still counts. Telling so may already have ended the connection.
        self.report(id);
        let node = self.nodes.get_mut(&id).unwrap();
        if !node.is_connected {
            return;
        }
        node.is_connected = false;
        node.is_shunned |= why != Leaving::Lost;
        node.epoch += 1;
        node.is_sending = false;
        node.queue.clear();
        node.wanted.clear();
        self.tell(Input::Left { source: id, why });
    }

    /// Tells the machine what has arrived of a source since the last time.
    fn report(&mut self, id: SourceId) {
        let node = self.nodes.get_mut(&id).unwrap();
        let Some((slice, groups)) = node.block.take() else { return };
        node.block_number += 1;
        if node
            .wanted
            .get(&slice)
            .is_some_and(|wanted| wanted.ranges().last().is_some_and(|last| last.end == groups.end))
        {
            node.wanted.remove(&slice);
        }
        let bytes = self.layout.bytes_of(&groups);
        self.tell(Input::Verified { source: id, slice, groups, bytes: bytes.end - bytes.start });
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Comes(id) => self.come(id),
            Event::Goes(id) => self.disconnect(id, Leaving::Lost),
            Event::Gains(id) => self.gain(id),
            Event::Ordered(id, epoch, slice, groups) => {
                let groups = groups.into_iter().flat_map(|(from, to)| from..to).collect();
                let Some(node) = self.alive(id, epoch) else { return };
                if node.plan.refuses {
                    return self.disconnect(id, Leaving::Refused);
                }
                node.queue.push_back((slice, groups));
                if !node.is_sending {
                    node.is_sending = true;
                    self.send(id, epoch);
                }
            }
            Event::Dropped(id, epoch, slice) => {
                if let Some(node) = self.alive(id, epoch) {
                    node.queue.retain(|(queued, _)| *queued != slice);
                }
            }
            Event::Sends(id, epoch) => self.send(id, epoch),
            Event::Arrives(id, epoch, slice, group, kind) => self.arrive(id, epoch, slice, group, kind),
            Event::Ends(id, epoch, slice) => {
                if self.alive(id, epoch).is_some_and(|node| node.wanted.contains_key(&slice)) {
                    self.report(id);
                }
            }
            Event::BlockIsOld(id, epoch, number) => {
                if self.alive(id, epoch).is_some_and(|node| node.block_number == number) {
                    self.report(id);
                }
            }
        }
    }

    fn alive(&mut self, id: SourceId, epoch: Epoch) -> Option<&mut Node> {
        self.nodes.get_mut(&id).filter(|node| node.is_connected && node.epoch == epoch)
    }

    fn come(&mut self, id: SourceId) {
        let now_us = self.now_us;
        let node = self.nodes.get_mut(&id).unwrap();
        let is_present = node.plan.present.iter().any(|range| range.contains(&now_us));
        if node.is_connected || node.is_shunned || !is_present {
            return;
        }
        node.is_connected = true;
        let (kind, have) = (node.plan.kind, node.plan.have.clone());
        if have.is_some() {
            self.after(3 * SECOND_US, Event::Gains(id));
        }
        self.tell(Input::Joined { source: id, kind, have });
    }

    /// A partial source goes on downloading itself.
    fn gain(&mut self, id: SourceId) {
        let end = self.layout.groups();
        let node = self.nodes.get_mut(&id).unwrap();
        let Some(have) = node.plan.have.as_mut().filter(|_| node.is_connected) else { return };
        let new = have.missing_in(0..end).first(end.div_ceil(20));
        have.extend(&new);
        if !new.is_empty() {
            self.after(3 * SECOND_US, Event::Gains(id));
            self.tell(Input::Gained { source: id, have: new });
        }
    }

    fn send(&mut self, id: SourceId, epoch: Epoch) {
        let (now_us, layout) = (self.now_us, self.layout);
        let Some(node) = self.alive(id, epoch) else { return };
        if let Some(silent) = node.plan.silent.iter().find(|range| range.contains(&now_us)) {
            let until = silent.end;
            return self.later(until, Event::Sends(id, epoch));
        }
        let Some((slice, groups)) = node.queue.front_mut() else {
            node.is_sending = false;
            return;
        };
        let slice = *slice;
        let group = groups.pop_front().unwrap();
        let is_last = groups.is_empty();
        if is_last {
            node.queue.pop_front();
        }
        node.sent += 1;
        let kind =
            if node.plan.lies_after.is_some_and(|after| node.sent > after) { Group::Wrong } else { Group::Right };
        let bytes = layout.bytes_of(&(group..group + 1));
        let takes_us = (bytes.end - bytes.start) * SECOND_US / node.plan.bytes_per_second.max(1);
        let arrives_us = takes_us + node.plan.delay_us;
        self.after(arrives_us, Event::Arrives(id, epoch, slice, group, kind));
        if is_last {
            self.after(arrives_us, Event::Ends(id, epoch, slice));
        }
        self.after(takes_us, Event::Sends(id, epoch));
    }

    fn arrive(&mut self, id: SourceId, epoch: Epoch, slice: SliceId, group: u64, kind: Group) {
        let bytes = self.layout.bytes_of(&(group..group + 1));
        let Some(node) = self.alive(id, epoch) else { return };
        let is_copy = node.plan.kind == SourceKind::Copy;
        let is_wanted = node.wanted.contains_key(&slice);
        let follows = node.block.as_ref().is_some_and(|(of, groups)| {
            *of == slice && groups.end == group && groups.end - groups.start < BLOCK_GROUPS
        });
        let bytes = bytes.end - bytes.start;
        self.received += bytes;
        if is_copy {
            self.from_copy += bytes;
        }
        if kind == Group::Wrong {
            self.lied += bytes;
            return self.disconnect(id, Leaving::Misbehaved);
        }
        if !is_wanted {
            return;
        }
        if !follows {
            self.report(id);
        }
        // Telling the machine may have ended this very slice or connection.
        let Some(node) = self.alive(id, epoch).filter(|node| node.wanted.contains_key(&slice)) else { return };
        match &mut node.block {
            Some((_, groups)) => groups.end = group + 1,
            None => {
                node.block = Some((slice, group..group + 1));
                let number = node.block_number;
                self.after(SECOND_US, Event::BlockIsOld(id, epoch, number));
            }
        }
    }
}
