//! Time, and what is due after every event.

use std::sync::Arc;

use shared::limits::SEARCH_HITS_MAX;

use crate::{
    app::{Effect, Purpose, State, Tab, Which, files::Looked, gate::Probe, index::Item, layer::Layer, layout::Shape},
    engine::api::{Command, Connection},
};

impl State {
    pub(in crate::app) fn on_tick(&mut self, now: i64, effects: &mut Vec<Effect>) {
        let before = self.now;
        self.now = now;
        let waiting = self.gate.as_ref().is_some_and(|gate| gate.waits_until.is_some());
        let counting = waiting || matches!(self.connection, Connection::Offline { retry_ms: Some(_), .. });
        let mut changed = before.div_euclid(60_000) != now.div_euclid(60_000);
        changed |= counting && before.div_euclid(1000) != now.div_euclid(1000);
        changed |= self.messages.expire(now);
        changed |= self.transfers.sample(now);
        if self.undo.as_ref().is_some_and(|undo| undo.until <= now) {
            self.undo = None;
        }
        if let Some((at, _)) = self.watch_again
            && at <= now
        {
            self.watch(effects);
            changed = true;
        }
        self.revision += u64::from(changed);
    }

    pub(in crate::app) fn watch(&mut self, effects: &mut Vec<Effect>) {
        if let Some((_, tries)) = &mut self.watch_again {
            // Not to be repeated until this call has ended; the number of tries is kept.
            self.watch_again = Some((i64::MAX, *tries));
        }
        self.connection = Connection::Connecting;
        self.attend_again();
        self.call(Command::Watch, Purpose::Watch, effects);
    }

    /// After every event: scrolls lists into view and asks for what is due.
    pub(in crate::app) fn settle(&mut self, effects: &mut Vec<Effect>) {
        self.settle_attention(effects);
        self.transfers.settle(self.now, self.pressed_ms);
        let (len, height) = (self.list_len(), usize::from(self.areas().list.height));
        self.list_mut().settle(len, height);
        self.settle_arrangements(effects);
        self.settle_search(effects);
        self.settle_look(effects);
        self.settle_offered(effects);
        self.settle_chat(effects);
        if let Some(gate) = &mut self.gate
            && gate.waits_until.is_some_and(|at| at <= self.now)
        {
            (gate.waits_until, gate.failure) = (None, None);
        }
        if let Some(gate) = &self.gate
            && let Probe::Due(at) = gate.probe
            && at <= self.now
        {
            let tracker = gate.tracker.text().trim().to_owned();
            let call = self.call(Command::Probe { tracker }, Purpose::Probe, effects);
            if let Some(gate) = &mut self.gate {
                gate.probe = Probe::Asking(call);
            }
        }
        if let Some(hashing) = &self.files.hashing
            && hashing.files_done >= hashing.files
            && !self.calls.values().any(|purpose| matches!(purpose, Purpose::Rescan | Purpose::Share { .. }))
        {
            self.files.hashing = None;
        }
    }

    pub(in crate::app) fn settle_arrangements(&mut self, effects: &mut Vec<Effect>) {
        let online = self.members.online.clone();
        let now = self.now;
        let files = &mut self.files;
        let lists = [
            (Which::Public, &mut files.public, &files.index, false),
            (Which::Mine, &mut files.mine, &files.index, false),
            (Which::Search, &mut files.search.browse, &files.search.hits, true),
        ];
        for (which, browse, index, flat) in lists {
            if which == Which::Mine && browse.place.is_none() {
                // The shares are shown instead; opening one asks anew.
                browse.rest();
                continue;
            }
            if which == Which::Search && browse.settle_ranked(&files.search.ranked) {
                continue;
            }
            if let Some((generation, wanted)) = browse.poll(index, flat, &online, now) {
                effects.push(Effect::Arrange { which, generation, index: index.clone(), wanted });
            }
        }
    }

    pub(in crate::app) fn settle_search(&mut self, effects: &mut Vec<Effect>) {
        if self.files.search.due.is_none_or(|due| due > self.now) {
            return;
        }
        let query = self.files.search.browse.pane.finder.field.text().trim().to_owned();
        if let Some(call) = self.files.search.call.take() {
            self.forget_call(call, effects);
        }
        let search = &mut self.files.search;
        search.due = None;
        search.failure = None;
        search.answered.clone_from(&query);
        search.hits = Arc::default();
        search.ranked.clear();
        search.browse.go(None, None, self.now);
        if query.is_empty() {
            return;
        }
        let limit = u32::try_from(SEARCH_HITS_MAX).unwrap_or(u32::MAX);
        let call = self.call(Command::Search { query, limit }, Purpose::Search, effects);
        self.files.search.call = Some(call);
    }

    pub(in crate::app) fn settle_look(&mut self, effects: &mut Vec<Effect>) {
        let page = matches!(self.layers.last(), Some(Layer::Page(_)));
        let wanted = self.tab == Tab::Files && (page || self.areas().shape >= Shape::Strip);
        let key = match self.files.selected() {
            Some(item @ Item::File(_)) if wanted => Some(item.key()),
            Some(Item::File(_) | Item::Folder(_)) | None => None,
        };
        if self.files.looked.as_ref().map(|looked| &looked.key) != key.as_ref() {
            if let Some(call) = self.files.looked.take().and_then(|looked| looked.call) {
                self.forget_call(call, effects);
            }
            let due = self.now + LOOK_AFTER_MS;
            self.files.looked = key.map(|key| Looked { key, due: Some(due), call: None, detail: None, failure: None });
        }
        let due = |looked: &Looked| looked.due.is_some_and(|due| due <= self.now);
        if let Some(looked) = self.files.looked.as_ref().filter(|looked| due(looked)) {
            let item = self.item_name(&looked.key);
            let call = self.call(Command::Info { item }, Purpose::Look, effects);
            if let Some(looked) = &mut self.files.looked {
                (looked.due, looked.call) = (None, Some(call));
            }
        }
    }
}

/// Time that the cursor rests on a file before its sources are asked for, milliseconds.
const LOOK_AFTER_MS: i64 = 150;
