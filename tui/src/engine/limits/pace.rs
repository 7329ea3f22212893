//! The gates themselves: one for each stream.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use shared::{
    limit::{Claim, Granted, Place, Rates, Standing, Ticket},
    limits::{LIMIT_LOOK, QUEUE_NEWS_MAX, QUEUE_NEWS_MIN},
    transfer::pace::{Pace, Turn, Unlimited},
    wire::peer::Queued,
};
use tokio::time::sleep_until;

use super::{Limits, Party, Valve, locked};
use crate::engine::api::Direction;

/// What holds for one stream.
#[derive(Debug)]
pub(super) struct PartyPace {
    pub(super) limits: Arc<Limits>,
    pub(super) direction: Direction,
    pub(super) party: Party,
    pub(super) lan: bool,
}

#[async_trait]
impl Pace for PartyPace {
    async fn pass(&self, bytes: u64) -> u64 {
        loop {
            let rates = self.rates();
            if rates.is_unlimited() {
                return bytes;
            }
            let asked = Asked::new(self.limits.valve(self.direction), self.party, rates, bytes);
            if let Some(passed) = asked.answer(|| self.rates() == rates).await {
                return passed;
            }
        }
    }

    fn turn(&self) -> Box<dyn Turn> {
        if !self.limits.needs_slot(self.party, self.lan) {
            return Box::new(Unlimited);
        }
        let claim = self.limits.with_slots(|slots, now| slots.claim(now, self.party));
        Box::new(SlotTurn { limits: self.limits.clone(), claim, party: self.party, lan: self.lan, told: None })
    }
}

impl PartyPace {
    fn rates(&self) -> Rates {
        self.limits.rates(self.direction, self.party, self.lan)
    }
}

/// An ask that waits for its answer. Dropped before, it is taken back.
struct Asked<'a> {
    valve: &'a Valve,
    party: Party,
    rates: Rates,
    ticket: Ticket,
    is_answered: bool,
}

impl<'a> Asked<'a> {
    fn new(valve: &'a Valve, party: Party, rates: Rates, bytes: u64) -> Self {
        let ticket = locked(&valve.state).flow.ask(Instant::now(), party, rates, bytes);
        Self { valve, party, rates, ticket, is_answered: false }
    }

    /// Waits for the answer; `None` when other rates hold by now.
    async fn answer(mut self, still_holds: impl Fn() -> bool) -> Option<u64> {
        loop {
            let moved = self.valve.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            let (passed, again) = self.look();
            if passed.is_some() {
                return passed;
            }
            let look_at = Instant::now() + LIMIT_LOOK;
            let wake_at = again.map_or(look_at, |again| again.min(look_at));
            tokio::select! {
                () = moved => {}
                () = sleep_until(wake_at.into()) => {}
            }
            if !still_holds() {
                return None;
            }
        }
    }

    /// Lets pass what may, for everybody, and says what that is for this one.
    fn look(&mut self) -> (Option<u64>, Option<Instant>) {
        let mut state = locked(&self.valve.state);
        let (granted, again) = state.flow.advance(Instant::now());
        let mut others = false;
        for Granted { ticket, bytes } in granted {
            others |= ticket != self.ticket;
            state.answers.insert(ticket, bytes);
        }
        let passed = state.answers.remove(&self.ticket);
        self.is_answered = passed.is_some();
        drop(state);
        if others {
            self.valve.moved.notify_waiters();
        }
        (passed, again)
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let mut state = locked(&self.valve.state);
        match state.answers.remove(&self.ticket) {
            Some(bytes) => state.flow.give_back(self.party, self.rates, bytes),
            None => state.flow.withdraw(self.party, self.ticket),
        }
        drop(state);
        // It may have stood before others.
        self.valve.moved.notify_waiters();
    }
}

/// A turn in an upload slot.
#[derive(Debug)]
struct SlotTurn {
    limits: Arc<Limits>,
    claim: Claim,
    party: Party,
    lan: bool,
    /// What was told last, and when.
    told: Option<(Place, Instant)>,
}

#[async_trait]
impl Turn for SlotTurn {
    async fn come(&mut self) -> Option<Queued> {
        let limits = self.limits.clone();
        loop {
            let moved = limits.line_moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            // The rules may have changed while it stood in line.
            if !limits.needs_slot(self.party, self.lan) {
                return None;
            }
            let (standing, deadline) = self.look();
            let Some(Standing::Waits(place)) = standing else { return None };
            let now = Instant::now();
            let due = self.told.map_or(now, |(before, at)| at + patience(before, place));
            if due <= now {
                self.told = Some((place, now));
                let wait_ms = u64::try_from(place.wait.as_millis()).ok();
                return Some(Queued { position: place.position, wait_ms });
            }
            let wake_at = deadline.map_or(due, |deadline| deadline.min(due));
            tokio::select! {
                () = moved => {}
                () = sleep_until(wake_at.into()) => {}
            }
        }
    }

    fn sent(&mut self, bytes: u64) -> bool {
        locked(&self.limits.slots).served(Instant::now(), self.claim, bytes)
    }
}

impl SlotTurn {
    /// How it stands after what was due, and when something is due again.
    fn look(&self) -> (Option<Standing>, Option<Instant>) {
        let (now, mut slots) = (Instant::now(), locked(&self.limits.slots));
        let moved = slots.settle(now);
        let stands = (slots.standing(now, self.claim), slots.next_deadline());
        drop(slots);
        if moved {
            self.limits.line_moved.notify_waiters();
        }
        stands
    }
}

impl Drop for SlotTurn {
    fn drop(&mut self) {
        let claim = self.claim;
        self.limits.with_slots(|slots, now| slots.release(now, claim));
    }
}

/// Time between two words about a place: sooner when it has changed.
fn patience(before: Place, now: Place) -> Duration {
    if before.position == now.position { QUEUE_NEWS_MAX } else { QUEUE_NEWS_MIN }
}
