//! The limits of this engine: what holds now, and the gates at which bytes and turns wait.
//!
//! Decides by `rules` and by the pure cores of `shared::limit`; this is the shell around them, with clock and locks.

mod pace;
mod rules;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use jiff::Zoned;
use shared::{
    id::AccountId,
    limit::{Flow, Place, Rates, Slots, Ticket, span::WallTime},
    limits::SLOTS_MAX,
    show::show_line,
    transfer::pace::Pace,
};
use tokio::sync::Notify;

use self::rules::{Named, Rule, Rules, Subject};
use super::{
    api::{self, Direction, Failure, FailureKind, LimitChange, RateChange, RateWish, Update},
    core::Core,
    failure,
};

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// A member, whatever the device.
    Member(AccountId),
    /// The tracker: it takes and serves copies. It needs no slot, since it takes only what it was asked to keep.
    Tracker,
}

/// The limits and everything that waits at them.
#[derive(Debug)]
pub struct Limits {
    rules: Mutex<Rules>,
    up: Valve,
    down: Valve,
    slots: Mutex<Slots<Party>>,
    /// The line for slots has moved.
    line_moved: Notify,
    /// What faces were told last.
    told: Mutex<Option<api::Limits>>,
}

/// Where bytes of one direction wait.
#[derive(Debug, Default)]
struct Valve {
    state: Mutex<ValveState>,
    /// Somebody may go on, or should look which rules hold.
    moved: Notify,
}

#[derive(Debug, Default)]
struct ValveState {
    flow: Flow<Party>,
    /// Answers that were not picked up yet.
    answers: HashMap<Ticket, u64>,
}

impl Limits {
    /// Limits by these rules.
    fn new(rules: Rules) -> Self {
        Self {
            slots: Mutex::new(Slots::new(rules.slots)),
            rules: Mutex::new(rules),
            up: Valve::default(),
            down: Valve::default(),
            line_moved: Notify::new(),
            told: Mutex::default(),
        }
    }

    /// What holds for a stream with somebody. `lan`: on the same network.
    pub fn pace(self: &Arc<Self>, direction: Direction, party: Party, lan: bool) -> Arc<dyn Pace> {
        Arc::new(pace::PartyPace { limits: self.clone(), direction, party, lan })
    }

    /// Where somebody stands in line for a slot.
    pub fn place_of(&self, party: Party) -> Option<Place> {
        locked(&self.slots).place(Instant::now(), party)
    }

    /// The limits as faces see them.
    pub fn view(&self) -> api::Limits {
        let (served, waiting) = locked(&self.slots).counts();
        let rules = locked(&self.rules);
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        api::Limits {
            rates: rules.rows(wall_time()),
            slots: rules.slots.map(count),
            slots_lan: rules.slots_lan,
            served: count(served),
            waiting: count(waiting),
        }
    }

    /// The same, if it is not what was last taken: others may have come or gone, or another time of day begun.
    pub fn take_change(&self) -> Option<api::Limits> {
        let view = self.view();
        let mut told = locked(&self.told);
        (told.as_ref() != Some(&view)).then(|| told.insert(view).clone())
    }

    fn rates(&self, direction: Direction, party: Party, lan: bool) -> Rates {
        let rules = locked(&self.rules);
        if rules.has_no_rates() {
            return Rates::default();
        }
        let member = match party {
            Party::Member(account) => Some(account),
            Party::Tracker => None,
        };
        rules.rates(direction, member, lan, wall_time())
    }

    fn needs_slot(&self, party: Party, lan: bool) -> bool {
        let rules = locked(&self.rules);
        party != Party::Tracker && rules.slots.is_some() && (!lan || rules.slots_lan)
    }

    const fn valve(&self, direction: Direction) -> &Valve {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// Changes the slots, and wakes those whose place may have changed.
    fn with_slots<T>(&self, change: impl FnOnce(&mut Slots<Party>, Instant) -> T) -> T {
        let result = change(&mut locked(&self.slots), Instant::now());
        self.line_moved.notify_waiters();
        result
    }

    /// Other rules hold from now on, also for what runs.
    fn put(&self, rules: Rules) {
        self.with_slots(|slots, now| slots.set_most(now, rules.slots));
        *locked(&self.rules) = rules;
        for waiting in [&self.up.moved, &self.down.moved, &self.line_moved] {
            waiting.notify_waiters();
        }
    }
}

/// Reads the limits of earlier runs.
pub async fn load(state: &super::state::State) -> Result<Arc<Limits>, Failure> {
    let rules: Option<Rules> = state.setting(super::state::LIMITS).await.map_err(failure::unexpected)?;
    Ok(Arc::new(Limits::new(rules.unwrap_or_default())))
}

/// Changes a limit; it holds at once, and in later runs.
pub async fn change(core: &Core, change: &LimitChange) -> Result<(), Failure> {
    let named = match change {
        LimitChange::Rate(RateChange { member: Some(name), .. }) => Some(member_named(core, name).await?),
        LimitChange::Rate(_) | LimitChange::Slots { .. } => None,
    };
    let mut rules = locked(&core.limits.rules).clone();
    match change {
        LimitChange::Rate(change) => set_rate(&mut rules, change, named)?,
        LimitChange::Slots { most, lan } => {
            let most = most.map(|most| most as usize).filter(|most| *most > 0);
            if most.is_some_and(|most| most > SLOTS_MAX) {
                let message = format!("no more than {SLOTS_MAX} members are served at a time anyway");
                return Err(Failure::new(FailureKind::Usage, "too_many_slots", message, "0 lets everybody in"));
            }
            (rules.slots, rules.slots_lan) = (most, *lan);
        }
    }
    core.state.set(super::state::LIMITS, &rules).await.map_err(failure::unexpected)?;
    core.limits.put(rules);
    if let Some(limits) = core.limits.take_change() {
        core.hub.tell(Update::Limits(limits));
    }
    Ok(())
}

fn set_rate(rules: &mut Rules, change: &RateChange, member: Option<Named>) -> Result<(), Failure> {
    let RateChange { direction, member: _, at, rate, lan } = change;
    let subject = Subject { direction: *direction, member, at: *at };
    let rate = match rate {
        RateWish::Bytes(bytes) => Some(*bytes),
        RateWish::Unlimited => None,
        RateWish::Default => {
            rules.unset(&subject);
            return Ok(());
        }
    };
    rules.set(Rule { subject, rate, lan: *lan }).map_err(|rules::TooMany| {
        Failure::new(
            FailureKind::Usage,
            "too_many_limits",
            "there are as many limits as can be kept",
            "take one back with the rate `default`; `swapmeet limit` shows them",
        )
    })
}

/// The member of this name or id; whom a rule names may have left, or the tracker may be out of reach.
async fn member_named(core: &Core, name: &str) -> Result<Named, Failure> {
    let known = |core: &Core| {
        let members = core.member_rows();
        let exact = members.iter().find(|row| row.name == name || row.id.to_string() == name);
        let found = exact.or_else(|| members.iter().find(|row| row.name.to_lowercase() == name.to_lowercase()));
        let found = found.map(|row| Named { id: row.id, name: row.name.clone() });
        found.or_else(|| locked(&core.limits.rules).member_named(name))
    };
    if let Some(named) = known(core) {
        return Ok(named);
    }
    let online = core.session.online().await?;
    core.load_members(&online.connection).await?;
    known(core).ok_or_else(|| {
        Failure::new(
            FailureKind::NotFound,
            "no_member",
            format!("no member is called {}", show_line(name, 40)),
            "`swapmeet members` shows them",
        )
    })
}

/// The time by the clock on the wall.
fn wall_time() -> WallTime {
    let now = Zoned::now();
    WallTime {
        day: now.weekday().to_monday_zero_offset().unsigned_abs(),
        minute: u16::from(now.hour().unsigned_abs()) * 60 + u16::from(now.minute().unsigned_abs()),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
