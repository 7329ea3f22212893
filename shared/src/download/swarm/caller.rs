//! What the caller of each machine does: looks for sources, carries out what the machine wants, tells it what happens,
//! and serves others what it has.

use std::rc::Rc;

use rand::{Rng, seq::IteratorRandom};

use super::{
    super::{Action, Download, Input, Leaving, SliceId, SourceId, SourceKind, sets},
    plan::SECOND_US,
    world::{Cancelling, Connection, Event, Group, Kind, Link, News, Place, World},
};
use crate::{
    content::GroupSet,
    limits::{GROUP_BYTES, SLICE_BYTES, SLICES_IN_FLIGHT_MAX, WANT_RANGES_MAX},
};

/// Groups that a source's bytes are verified and written in at most.
const BLOCK_GROUPS: u64 = 16;
const LOOK_EVERY_US: u64 = 3 * SECOND_US;
const ANNOUNCE_EVERY_US: u64 = SECOND_US;
/// How long a source that stalled or could not be reached is left alone.
const REST_US: u64 = 5 * SECOND_US;

impl World {
    pub(super) fn come(&mut self, place: Place) {
        let is_present = self.nodes[place].plan.present.iter().any(|range| range.contains(&self.now_us));
        if self.nodes[place].is_online || !is_present {
            return;
        }
        self.nodes[place].is_online = true;
        if self.nodes[place].plan.grows {
            self.after(3 * SECOND_US, Event::Grows(place));
        }
        if self.nodes[place].plan.downloads && self.nodes[place].score.finished_us.is_none() {
            let (seed, layout) = (self.rng.random(), self.layout);
            let node = &mut self.nodes[place];
            node.machine = Some(Download::new(layout, node.has.clone()).spread(seed));
            let at = node.reader;
            self.tell(place, Input::Reader { at });
            self.after(0, Event::Looks(place));
        }
        // Whoever has room for one more source is told of it.
        for other in 0..self.nodes.len() {
            if self.nodes[other].machine.is_some() && self.rules.sources_max == usize::MAX {
                self.after(0, Event::Looks(other));
            }
        }
    }

    pub(super) fn go(&mut self, place: Place) {
        let node = &mut self.nodes[place];
        node.is_online = false;
        node.machine = None;
        let sources = std::mem::take(&mut node.sources);
        let unwritten = sources.values().filter_map(|connection| connection.block.as_ref());
        let unwritten = unwritten.map(|(_, groups, _)| self.layout.bytes_of(groups));
        node.score.lost += unwritten.map(|bytes| bytes.end - bytes.start).sum::<u64>();
        let clients = std::mem::take(&mut node.clients);
        node.turn.clear();
        for source in sources.into_keys() {
            self.nodes[source].clients.remove(&place);
        }
        for client in clients {
            let vanishes = self.nodes[place].plan.vanishes;
            match self.nodes[client].sources.get_mut(&place) {
                Some(connection) if vanishes => {
                    connection.is_dead = true;
                    connection.queue.clear();
                }
                Some(connection) => {
                    let link = Link { client, source: place, number: connection.number };
                    self.disconnect(link, Leaving::Lost);
                }
                None => {}
            }
        }
    }

    fn link(&self, client: Place, source: Place) -> Option<Link> {
        let connection = self.nodes[client].sources.get(&source)?;
        Some(Link { client, source, number: connection.number })
    }

    /// A source that does not download gets more of the blob.
    pub(super) fn grow(&mut self, place: Place) {
        let groups = self.layout.groups();
        let node = &mut self.nodes[place];
        let new = node.has.missing_in(0..groups).first(groups.div_ceil(20));
        if !node.is_online || new.is_empty() {
            return;
        }
        self.got(place, &new);
        self.after(3 * SECOND_US, Event::Grows(place));
    }

    /// A node has more now, and will say so.
    fn got(&mut self, place: Place, groups: &GroupSet) {
        let node = &mut self.nodes[place];
        if node.unannounced.is_empty() {
            self.after(ANNOUNCE_EVERY_US, Event::Announces(place));
        }
        let node = &mut self.nodes[place];
        node.has.extend(groups);
        node.unannounced.extend(groups);
    }

    pub(super) fn announce(&mut self, place: Place) {
        let new = Rc::new(std::mem::take(&mut self.nodes[place].unannounced));
        for client in self.nodes[place].clients.clone() {
            if let Some(link) = self.link(client, place) {
                self.after(self.delay_us(link), Event::On(link, News::Gained(new.clone())));
            }
        }
    }

    /// Asks the tracker, so to speak, for sources and dials as many as there is room for.
    pub(super) fn look(&mut self, place: Place) {
        let now_us = self.now_us;
        let node = &mut self.nodes[place];
        let Some(machine) = node.machine.as_ref().filter(|machine| !machine.is_finished()) else { return };
        let room = self.rules.sources_max.saturating_sub(node.sources.len());
        node.resting.retain(|_, until_us| *until_us > now_us);
        let is_content = room == 0 && !machine.is_starved();
        let node = &self.nodes[place];
        let is_new = |other: &Place| {
            let source = &self.nodes[*other];
            *other != place
                && source.is_online
                && !source.has.is_empty()
                && !node.sources.contains_key(other)
                && !node.shunned.contains(other)
                && !node.resting.contains_key(other)
        };
        let new = (0..self.nodes.len()).filter(is_new);
        // A starved node looks beyond its limit.
        let count = if is_content { 0 } else { room.max(1) };
        let mut chosen =
            if count >= self.nodes.len() { new.collect::<Vec<_>>() } else { new.choose_multiple(&mut self.rng, count) };
        chosen.sort_unstable();
        for source in chosen {
            self.dial(place, source);
        }
        self.after(LOOK_EVERY_US, Event::Looks(place));
    }

    fn dial(&mut self, client: Place, source: Place) {
        self.sequence += 1;
        let link = Link { client, source, number: self.sequence };
        self.nodes[client].sources.insert(source, Connection::new(link.number));
        self.after(2 * self.delay_us(link), Event::On(link, News::Opened));
    }

    pub(super) fn opened(&mut self, link: Link) {
        if !self.nodes[link.source].is_online {
            self.nodes[link.client].sources.remove(&link.source);
            self.rest(link);
            return;
        }
        if let Some(connection) = self.connection(link) {
            connection.is_open = true;
        }
        let source = &mut self.nodes[link.source];
        source.clients.insert(link.client);
        let kind = source.plan.kind;
        let is_whole = source.has == self.layout.all();
        let have = (!is_whole).then(|| source.has.clone());
        self.tell(link.client, Input::Joined { source: SourceId(link.source as u64), kind, have });
    }

    pub(super) fn gained(&mut self, link: Link, have: &GroupSet) {
        self.tell(link.client, Input::Gained { source: SourceId(link.source as u64), have: have.clone() });
    }

    pub(super) fn refused(&mut self, link: Link) {
        self.disconnect(link, Leaving::Refused);
    }

    pub(super) fn tick(&mut self, place: Place) {
        self.nodes[place].ticks_at = None;
        let deadline = self.nodes[place].machine.as_ref().and_then(Download::next_deadline);
        match deadline.map(|at| self.us_of(at)) {
            Some(at_us) if at_us <= self.now_us => self.tell(place, Input::Tick),
            Some(_) => self.set_alarm(place),
            None => {}
        }
    }

    fn set_alarm(&mut self, place: Place) {
        let node = &self.nodes[place];
        let Some(deadline) = node.machine.as_ref().and_then(Download::next_deadline) else { return };
        let at_us = self.us_of(deadline);
        if node.ticks_at.is_none_or(|known_us| at_us < known_us) {
            self.nodes[place].ticks_at = Some(at_us);
            self.at(at_us, Event::Ticks(place));
        }
    }

    pub(super) fn tell(&mut self, place: Place, input: Input) {
        let now = self.now();
        let Some(machine) = &mut self.nodes[place].machine else { return };
        machine.handle(now, input);
        self.obey(place);
        self.set_alarm(place);
    }

    fn obey(&mut self, place: Place) {
        while let Some(action) = self.nodes[place].machine.as_mut().and_then(Download::poll_action) {
            self.trace.update(format!("{place} {} {action:?}\n", self.now_us).as_bytes());
            match action {
                Action::Fetch { source, slice, groups } => self.fetch(place, source.0 as Place, slice, groups),
                Action::Cancel { source, slice } => self.cancel(place, source.0 as Place, slice),
                Action::Stalled { source } => {
                    if let Some(link) = self.link(place, source.0 as Place) {
                        self.rest(link);
                        // Not at once: its last report would change what is being carried out.
                        self.after(0, Event::On(link, News::Closes));
                    }
                }
                Action::Finished => self.finish(place),
            }
        }
    }

    fn finish(&mut self, place: Place) {
        let node = &mut self.nodes[place];
        assert!(node.has == self.layout.all(), "it says that it is finished, and is not");
        assert!(node.score.finished_us.replace(self.now_us).is_none(), "finished twice");
        self.waiting.remove(&place);
        for source in std::mem::take(&mut self.nodes[place].sources).into_keys() {
            self.nodes[source].clients.remove(&place);
        }
    }

    fn fetch(&mut self, client: Place, source: Place, slice: SliceId, groups: GroupSet) {
        assert!(!groups.is_empty() && groups.count() * GROUP_BYTES <= SLICE_BYTES);
        assert!(groups.ranges().len() <= WANT_RANGES_MAX);
        assert!(sets::is_inside(&groups, &self.nodes[source].has), "it does not have that");
        let layout = self.layout;
        let node = &mut self.nodes[client];
        assert!(!node.shunned.contains(&source), "a liar is asked again");
        assert!(!sets::overlap(&groups, &node.has), "held groups are asked for");
        let others = node.sources.values().flat_map(|other| other.wanted.values());
        let raced: u64 = others.map(|other| layout.bytes_in(&sets::intersection(&groups, Some(other)))).sum();
        node.score.raced += raced;
        let Some(connection) = node.sources.get_mut(&source).filter(|connection| connection.is_open) else {
            panic!("{source} is asked although it is not here")
        };
        connection.wanted.insert(slice, groups.clone());
        assert!(connection.wanted.len() <= SLICES_IN_FLIGHT_MAX);
        let link = Link { client, source, number: connection.number };
        self.after(self.delay_us(link), Event::On(link, News::Ordered(slice, groups)));
    }

    fn cancel(&mut self, client: Place, source: Place, slice: SliceId) {
        let Some(link) = self.link(client, source) else { panic!("a slice of nobody is cancelled") };
        let known = self.connection(link).and_then(|connection| connection.wanted.remove(&slice));
        assert!(known.is_some(), "a slice is cancelled that nobody works on");
        match self.rules.cancelling {
            Cancelling::Slice | Cancelling::SliceAndLateGroups => {
                self.after(self.delay_us(link), Event::On(link, News::Dropped(slice)));
            }
            Cancelling::Connection => {
                self.after(0, Event::On(link, News::Closes));
            }
        }
    }

    /// A caller that cannot cancel one slice ends all of them, and dials anew, unless the source is to be left alone.
    pub(super) fn close(&mut self, link: Link) {
        self.disconnect(link, Leaving::Lost);
        let node = &self.nodes[link.client];
        let goes_on = node.machine.as_ref().is_some_and(|machine| !machine.is_finished());
        let rests = node.resting.get(&link.source).is_some_and(|until_us| *until_us > self.now_us);
        if goes_on && !rests && !node.sources.contains_key(&link.source) {
            self.dial(link.client, link.source);
        }
    }

    fn rest(&mut self, link: Link) {
        let until_us = self.now_us + REST_US;
        self.nodes[link.client].resting.insert(link.source, until_us);
    }

    fn disconnect(&mut self, link: Link, why: Leaving) {
        // What was verified before the end still counts. Telling so may already have ended the connection.
        self.report(link);
        if self.connection(link).is_none() {
            return;
        }
        self.nodes[link.client].sources.remove(&link.source);
        self.nodes[link.source].clients.remove(&link.client);
        if why != Leaving::Lost {
            self.nodes[link.client].shunned.insert(link.source);
        }
        self.tell(link.client, Input::Left { source: SourceId(link.source as u64), why });
    }

    pub(super) fn received(&mut self, link: Link, group: Group) {
        let bytes = self.bytes(group);
        let is_copy = self.nodes[link.source].plan.kind == SourceKind::Copy;
        let score = &mut self.nodes[link.client].score;
        score.received += bytes;
        if is_copy {
            score.from_copy += bytes;
        }
        if group.kind == Kind::Wrong {
            score.lied += bytes;
            return self.disconnect(link, Leaving::Misbehaved);
        }
        let late_counts = self.rules.cancelling == Cancelling::Slice;
        let Some(connection) = self.connection(link) else { return };
        let follows = connection.block.as_ref().is_some_and(|(of, groups, _)| {
            *of == group.slice && groups.end == group.number && groups.end - groups.start < BLOCK_GROUPS
        });
        if !follows {
            self.report(link);
        }
        // Telling the machine may have ended this very slice or connection.
        let Some(connection) = self.connection(link) else { return };
        if !late_counts && !connection.wanted.contains_key(&group.slice) {
            return;
        }
        match &mut connection.block {
            Some((_, groups, is_last)) => (groups.end, *is_last) = (group.number + 1, group.is_last),
            None => {
                connection.block = Some((group.slice, group.number..group.number + 1, group.is_last));
                let number = connection.block_number;
                self.after(SECOND_US, Event::On(link, News::BlockIsOld(number)));
            }
        }
        if group.is_last {
            self.report(link);
        }
    }

    /// Tells the machine what has arrived of a source since the last time.
    pub(super) fn report(&mut self, link: Link) {
        let Some(connection) = self.connection(link) else { return };
        let Some((slice, groups, is_last)) = connection.block.take() else { return };
        connection.block_number += 1;
        if is_last {
            connection.wanted.remove(&slice);
        }
        let bytes = self.layout.bytes_of(&groups);
        self.got(link.client, &GroupSet::from_range(groups.clone()));
        let source = SourceId(link.source as u64);
        self.tell(link.client, Input::Verified { source, slice, groups, bytes: bytes.end - bytes.start });
        self.read(link.client);
    }

    /// A reader takes what follows, as it comes.
    fn read(&mut self, place: Place) {
        let end = self.layout.groups();
        let node = &mut self.nodes[place];
        let Some(at) = node.reader else { return };
        let next = node.has.missing_in(at..end).ranges().next().map_or(end, |range| range.start);
        if next > at {
            node.reader = Some(next);
            self.tell(place, Input::Reader { at: Some(next) });
        }
    }
}
