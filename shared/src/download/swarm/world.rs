//! The net between the nodes in virtual time: lines with rates and delays, shared fairly by all who use them.
//!
//! A node's line out serves its clients in turn, one group each; its line in takes groups in the order in which they
//! come. Nobody sends more ahead than the slower of the two lines carries in a round trip and a tenth of a second, as
//! congestion control does.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    rc::Rc,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    super::{Download, SliceId, tests},
    plan::{Plan, SECOND_US},
};
use crate::content::{GroupSet, Layout};

/// Longer than any download of these swarms takes by itself.
const PATIENCE_US: u64 = 40 * 24 * 3600 * SECOND_US;
/// Groups that are on their way at once at least.
const WINDOW_GROUPS_MIN: u64 = 4;
/// How much longer a group takes that has to be sent again.
const RESEND_US: u64 = 200_000;

/// A node by its number, which is also its number as a source.
pub(super) type Place = usize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Right,
    Wrong,
}

/// How the callers of this world carry out [`super::Action::Cancel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cancelling {
    /// The slice alone; what is on the way of it still counts.
    Slice,
    /// The slice alone; what is on the way of it is thrown away.
    SliceAndLateGroups,
    /// All of the source's slices, and it joins again.
    Connection,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Sources that a node has at a time.
    pub(super) sources_max: usize,
    pub(super) cancelling: Cancelling,
}

#[derive(Debug)]
pub(super) enum Event {
    Comes(Place),
    Goes(Place),
    Grows(Place),
    /// A node looks for sources.
    Looks(Place),
    /// A node's machine wants to know the time.
    Ticks(Place),
    /// A node tells its clients what it has now.
    Announces(Place),
    /// A node's line out is free.
    Sends(Place),
    On(Link, News),
}

/// One connection of a node to one of its sources.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) client: Place,
    pub(super) source: Place,
    pub(super) number: u64,
}

#[derive(Debug)]
pub(super) enum News {
    Opened,
    Gained(Rc<GroupSet>),
    /// Orders reach the source.
    Ordered(SliceId, GroupSet),
    Dropped(SliceId),
    /// A group reaches the client's line in.
    Arrives(Group),
    Received(Group),
    BlockIsOld(u64),
    Closes,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    pub(super) slice: SliceId,
    pub(super) number: u64,
    pub(super) kind: Kind,
    /// Whether its slice ends with it.
    pub(super) is_last: bool,
}

/// A node as a client of a source.
pub(super) struct Connection {
    pub(super) number: u64,
    pub(super) is_open: bool,
    /// Whether its source has vanished: nothing reaches it any more.
    pub(super) is_dead: bool,
    /// At the source: what was ordered and not yet sent.
    pub(super) queue: VecDeque<(SliceId, VecDeque<Range<u64>>)>,
    on_the_way: u64,
    last_arrival_us: u64,
    /// Slices that the machine counts on, and their groups.
    pub(super) wanted: BTreeMap<SliceId, GroupSet>,
    /// Groups that arrived and are not reported yet, and whether their slice ends with them.
    pub(super) block: Option<(SliceId, Range<u64>, bool)>,
    pub(super) block_number: u64,
}

impl Connection {
    pub(super) const fn new(number: u64) -> Self {
        Self {
            number,
            is_open: false,
            is_dead: false,
            queue: VecDeque::new(),
            on_the_way: 0,
            last_arrival_us: 0,
            wanted: BTreeMap::new(),
            block: None,
            block_number: 0,
        }
    }
}

/// What a node got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Score {
    /// Bytes that arrived, also for nothing.
    pub(super) received: u64,
    /// Bytes that two sources were asked for at the same time.
    pub(super) raced: u64,
    /// Bytes that were wrong.
    pub(super) lied: u64,
    /// Bytes that were not written yet when it left.
    pub(super) lost: u64,
    pub(super) from_copy: u64,
    pub(super) finished_us: Option<u64>,
}

pub(super) struct Node {
    pub(super) plan: Plan,
    pub(super) is_online: bool,
    pub(super) has: GroupSet,
    pub(super) unannounced: GroupSet,
    sent: u64,
    pub(super) clients: BTreeSet<Place>,
    /// Clients whose orders may wait, in turn.
    pub(super) turn: VecDeque<Place>,
    is_sending: bool,
    line_in_free_us: u64,
    pub(super) machine: Option<Download>,
    pub(super) sources: BTreeMap<Place, Connection>,
    pub(super) shunned: BTreeSet<Place>,
    pub(super) resting: BTreeMap<Place, u64>,
    pub(super) ticks_at: Option<u64>,
    /// What a reader at this node has not read yet; present while one is there.
    pub(super) reader: Option<u64>,
    pub(super) score: Score,
}

pub(super) struct World {
    pub(super) layout: Layout,
    pub(super) rules: Rules,
    pub(super) nodes: Vec<Node>,
    /// Nodes that download, stay, and do not have everything yet.
    pub(super) waiting: BTreeSet<Place>,
    events: BTreeMap<(u64, u64), Event>,
    pub(super) sequence: u64,
    pub(super) now_us: u64,
    start: Instant,
    pub(super) rng: StdRng,
    pub(super) trace: blake3::Hasher,
}

impl World {
    pub(super) fn new(seed: u64, size: u64, rules: Rules, plans: Vec<Plan>) -> Self {
        let layout = Layout::new(size).unwrap();
        let nodes = plans.into_iter().map(|plan| Node {
            is_online: false,
            has: plan.have.clone().unwrap_or_else(|| layout.all()),
            unannounced: GroupSet::new(),
            sent: 0,
            clients: BTreeSet::new(),
            turn: VecDeque::new(),
            is_sending: false,
            line_in_free_us: 0,
            machine: None,
            sources: BTreeMap::new(),
            shunned: BTreeSet::new(),
            resting: BTreeMap::new(),
            ticks_at: None,
            reader: None,
            score: Score::default(),
            plan,
        });
        let mut world = Self {
            layout,
            rules,
            nodes: nodes.collect(),
            waiting: BTreeSet::new(),
            events: BTreeMap::new(),
            sequence: 0,
            now_us: 0,
            start: tests::some_instant(),
            // Not the numbers that the plans were made of.
            rng: StdRng::seed_from_u64(seed ^ 0x5EED),
            trace: blake3::Hasher::new(),
        };
        for place in 0..world.nodes.len() {
            let plan = &world.nodes[place].plan;
            if plan.downloads && plan.present.iter().any(|present| present.end == u64::MAX) {
                world.waiting.insert(place);
            }
            for present in world.nodes[place].plan.present.clone() {
                world.at(present.start, Event::Comes(place));
                world.at(present.end, Event::Goes(place));
            }
        }
        world
    }

    /// Lets time go by until everybody has everything who downloads and stays.
    pub(super) fn run(&mut self) {
        while !self.waiting.is_empty() {
            let Some(((at_us, _), event)) = self.events.pop_first() else { panic!("nothing will ever happen") };
            assert!(at_us < PATIENCE_US, "it does not end: {:?}", self.waiting);
            self.now_us = self.now_us.max(at_us);
            self.happen(event);
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.start + Duration::from_micros(self.now_us)
    }

    pub(super) fn us_of(&self, instant: Instant) -> u64 {
        instant.saturating_duration_since(self.start).as_micros() as u64
    }

    pub(super) fn at(&mut self, at_us: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((at_us, self.sequence), event);
    }

    pub(super) fn after(&mut self, delay_us: u64, event: Event) {
        self.at(self.now_us.saturating_add(delay_us), event);
    }

    /// The time of a packet between two nodes.
    pub(super) fn delay_us(&self, link: Link) -> u64 {
        self.nodes[link.client].plan.delay_us + self.nodes[link.source].plan.delay_us
    }

    pub(super) fn connection(&mut self, link: Link) -> Option<&mut Connection> {
        let connection = self.nodes[link.client].sources.get_mut(&link.source);
        connection.filter(|connection| connection.number == link.number)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Comes(place) => self.come(place),
            Event::Goes(place) => self.go(place),
            Event::Grows(place) => self.grow(place),
            Event::Looks(place) => self.look(place),
            Event::Ticks(place) => self.tick(place),
            Event::Announces(place) => self.announce(place),
            Event::Sends(place) => {
                self.nodes[place].is_sending = false;
                self.send(place);
            }
            Event::On(link, news) => self.on(link, news),
        }
    }

    fn on(&mut self, link: Link, news: News) {
        if self.connection(link).is_none() {
            return;
        }
        match news {
            News::Opened => self.opened(link),
            News::Gained(have) => self.gained(link, &have),
            News::Ordered(slice, groups) => {
                if self.nodes[link.source].plan.refuses {
                    return self.refused(link);
                }
                let groups = groups.ranges().cloned().collect();
                let Some(connection) = self.connection(link).filter(|connection| !connection.is_dead) else { return };
                connection.queue.push_back((slice, groups));
                self.take_turn(link);
            }
            News::Dropped(slice) => {
                let Some(connection) = self.connection(link) else { return };
                connection.queue.retain(|(queued, _)| *queued != slice);
            }
            News::Arrives(group) => {
                let bytes = self.bytes(group);
                let client = &mut self.nodes[link.client];
                let begins_us = client.line_in_free_us.max(self.now_us);
                client.line_in_free_us = begins_us + bytes * SECOND_US / client.plan.down;
                let at_us = client.line_in_free_us;
                self.at(at_us, Event::On(link, News::Received(group)));
            }
            News::Received(group) => {
                let Some(connection) = self.connection(link) else { return };
                connection.on_the_way -= 1;
                self.take_turn(link);
                self.received(link, group);
            }
            News::Closes => self.close(link),
            News::BlockIsOld(number) => {
                if self.connection(link).is_some_and(|connection| connection.block_number == number) {
                    self.report(link);
                }
            }
        }
    }

    pub(super) fn bytes(&self, group: Group) -> u64 {
        let bytes = self.layout.bytes_of(&(group.number..group.number + 1));
        bytes.end - bytes.start
    }

    /// Something may be sent to this client.
    fn take_turn(&mut self, link: Link) {
        let source = &mut self.nodes[link.source];
        if !source.turn.contains(&link.client) {
            source.turn.push_back(link.client);
        }
        self.send(link.source);
    }

    /// Puts the next group on a node's line out.
    fn send(&mut self, place: Place) {
        let now_us = self.now_us;
        let source = &mut self.nodes[place];
        if source.is_sending || !source.is_online {
            return;
        }
        if let Some(silent) = source.plan.silent.iter().find(|range| range.contains(&now_us)) {
            let until_us = silent.end;
            source.is_sending = true;
            return self.at(until_us, Event::Sends(place));
        }
        while let Some(client) = self.nodes[place].turn.pop_front() {
            let Some((link, group)) = self.next_group(client, place) else { continue };
            self.nodes[place].turn.push_back(client);
            return self.put_on_line(link, group);
        }
    }

    /// What a source sends to a client next, unless enough is on the way.
    fn next_group(&mut self, client: Place, place: Place) -> Option<(Link, Group)> {
        let window = self.window(client, place);
        let connection = self.nodes[client].sources.get_mut(&place)?;
        if connection.on_the_way >= window {
            return None;
        }
        let link = Link { client, source: place, number: connection.number };
        let (slice, groups) = connection.queue.front_mut()?;
        let (slice, range) = (*slice, groups.front_mut()?);
        let number = range.start;
        range.start += 1;
        if range.is_empty() {
            groups.pop_front();
        }
        let is_last = groups.is_empty();
        if is_last {
            connection.queue.pop_front();
        }
        connection.on_the_way += 1;
        let source = &mut self.nodes[place];
        source.sent += 1;
        let lies = source.plan.lies_after.is_some_and(|after| source.sent > after);
        let kind = if lies { Kind::Wrong } else { Kind::Right };
        Some((link, Group { slice, number, kind, is_last }))
    }

    fn put_on_line(&mut self, link: Link, group: Group) {
        let (now_us, bytes, delay_us) = (self.now_us, self.bytes(group), self.delay_us(link));
        let source = &mut self.nodes[link.source];
        let loss = source.plan.loss_permille;
        source.is_sending = true;
        let takes_us = bytes * SECOND_US * 1000 / (1000 - loss) / source.plan.up;
        // One that was lost comes later, and with it all behind it.
        let again_us = if loss > 0 && self.rng.random_ratio(loss as u32, 1000) { RESEND_US } else { 0 };
        let Some(connection) = self.connection(link) else { return };
        let arrives_us = connection.last_arrival_us.max(now_us + takes_us + delay_us + again_us);
        connection.last_arrival_us = arrives_us;
        self.after(takes_us, Event::Sends(link.source));
        self.at(arrives_us, Event::On(link, News::Arrives(group)));
    }

    /// Groups that may be on the way.
    fn window(&self, client: Place, place: Place) -> u64 {
        let (to, from) = (&self.nodes[client], &self.nodes[place]);
        let up = from.plan.up / from.turn.len().max(1) as u64;
        let working = to.sources.values().filter(|connection| !connection.wanted.is_empty()).count();
        let down = to.plan.down / working.max(1) as u64;
        let round_trip_us = 2 * (to.plan.delay_us + from.plan.delay_us) + SECOND_US / 10;
        (up.min(down).saturating_mul(round_trip_us) / SECOND_US / crate::limits::GROUP_BYTES).max(WINDOW_GROUPS_MIN)
    }
}
