//! Relays: what the tracker allows of them, and whose turn it is. The bytes themselves are moved in
//! [`crate::server`], which cannot read them: both ends seal them for each other.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use shared::{id::AccountId, limits::PARTINGS_WAITING_MAX};
use tokio::sync::{broadcast, oneshot};

pub mod fair;
pub mod quota;

pub use quota::{Ask, Declined};

use crate::handler::now_ms;
use fair::{Fair, TurnNo};
use quota::{Quota, RelayNo};

/// What the tracker is set up to relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelaySettings {
    /// Bytes that a member may have relayed in a day; `None`: any number.
    pub bytes_per_day: Option<u64>,
    /// Bytes a second of all relays together; `None`: as fast as they come.
    pub rate: Option<u64>,
}

/// The relays of a tracker.
#[derive(Debug)]
pub struct Relays {
    quota: Option<Mutex<Quota>>,
    turns: Option<Mutex<Turns>>,
    partings: broadcast::Sender<(AccountId, AccountId)>,
}

#[derive(Debug)]
struct Turns {
    fair: Fair,
    waiting: HashMap<TurnNo, oneshot::Sender<()>>,
}

impl Relays {
    /// None runs so far. Without settings none ever will.
    #[must_use]
    pub fn new(settings: Option<RelaySettings>) -> Self {
        let turns = |rate| Mutex::new(Turns { fair: Fair::new(rate, Instant::now()), waiting: HashMap::new() });
        Self {
            quota: settings.map(|settings| Mutex::new(Quota::new(settings.bytes_per_day))),
            turns: settings.and_then(|settings| settings.rate).map(turns),
            partings: broadcast::Sender::new(PARTINGS_WAITING_MAX),
        }
    }

    /// A relay begins, unless there is a reason against it.
    ///
    /// # Errors
    /// See [`Declined`].
    pub fn begin(self: &Arc<Self>, ask: Ask, now: Instant) -> Result<Relay, Declined> {
        let mut quota = self.quota().ok_or(Declined::Off)?;
        let number = quota.begin(ask, now, now_ms())?;
        Ok(Relay { relays: self.clone(), number, account: ask.account, moved: AtomicU64::new(0) })
    }

    /// Two members came apart, or together: relays between them end.
    pub fn part(&self, one: AccountId, other: AccountId) {
        // Nobody listens where nothing is relayed.
        let _nobody = self.partings.send((one, other));
    }

    /// What ends when two members come apart from now on.
    #[must_use]
    pub fn partings(&self) -> Partings {
        Partings(self.partings.subscribe())
    }

    /// Relays that run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.quota().map_or(0, |quota| quota.running())
    }

    fn quota(&self) -> Option<MutexGuard<'_, Quota>> {
        self.quota.as_ref().map(|quota| quota.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn turns(&self) -> Option<MutexGuard<'_, Turns>> {
        self.turns.as_ref().map(|turns| turns.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until these bytes of a member may go on.
    async fn turn(&self, member: AccountId, bytes: u64) {
        let (turn, mut come) = {
            let Some(mut turns) = self.turns() else { return };
            let (told, come) = oneshot::channel();
            let turn = turns.fair.ask(member, bytes);
            turns.waiting.insert(turn, told);
            (turn, come)
        };
        let _forgotten = Waiting { relays: self, turn };
        loop {
            let Some(next) = self.give() else { return };
            tokio::select! {
                biased;
                _ = &mut come => return,
                () = tokio::time::sleep_until(next.into()) => {}
            }
        }
    }

    /// Wakes those whose turn has come. Says when the next one comes; `None`: nobody waits.
    fn give(&self) -> Option<Instant> {
        let mut turns = self.turns()?;
        for turn in turns.fair.take(Instant::now()) {
            // Who has left meanwhile has also taken its sender along.
            if let Some(told) = turns.waiting.remove(&turn) {
                let _left = told.send(());
            }
        }
        turns.fair.next_turn()
    }
}

/// Members who come apart.
#[derive(Debug)]
pub struct Partings(broadcast::Receiver<(AccountId, AccountId)>);

impl Partings {
    /// Waits until these two come apart. May end early: whoever relays between them is told to begin anew.
    pub async fn of(&mut self, one: AccountId, other: AccountId) {
        loop {
            match self.0.recv().await {
                Ok(parted) if parted != (one, other) && parted != (other, one) => {}
                // Some went by unread: these two may be among them.
                Ok(_) | Err(_) => return,
            }
        }
    }
}

/// A step that waits for its turn; forgotten when it does no longer.
struct Waiting<'a> {
    relays: &'a Relays,
    turn: TurnNo,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(mut turns) = self.relays.turns()
            && turns.waiting.remove(&self.turn).is_some()
        {
            turns.fair.forget(self.turn);
        }
    }
}

/// A relay that runs; dropped, it is over.
#[derive(Debug)]
pub struct Relay {
    relays: Arc<Relays>,
    number: RelayNo,
    account: AccountId,
    moved: AtomicU64,
}

impl Relay {
    /// Pays for bytes and waits until they may go on.
    ///
    /// # Errors
    /// When the member has no more bytes today.
    pub async fn pass(&self, bytes: u64) -> Result<(), Declined> {
        if let Some(mut quota) = self.relays.quota() {
            quota.charge(self.account, bytes, now_ms())?;
        }
        self.relays.turn(self.account, bytes).await;
        self.moved.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Bytes that went on so far, both ways.
    #[must_use]
    pub fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(mut quota) = self.relays.quota() {
            quota.end(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared::id::DeviceId;

    use super::*;

    fn ask(n: u8) -> Ask {
        Ask { account: AccountId([n; 16]), asker: DeviceId([n; 16]), source: DeviceId([100; 16]) }
    }

    #[tokio::test]
    async fn a_relay_counts_until_it_is_dropped() {
        let relays = Arc::new(Relays::new(Some(RelaySettings { bytes_per_day: Some(10), rate: None })));
        let relay = relays.begin(ask(1), Instant::now()).unwrap();
        assert_eq!(relays.running(), 1);
        relay.pass(10).await.unwrap();
        assert_eq!(relay.pass(1).await, Err(Declined::Spent { limit: 10 }));
        assert_eq!(relay.moved(), 10);
        drop(relay);
        assert_eq!(relays.running(), 0);
    }

    #[tokio::test]
    async fn without_settings_nothing_is_relayed() {
        let relays = Arc::new(Relays::new(None));
        assert_eq!(relays.begin(ask(1), Instant::now()).unwrap_err(), Declined::Off);
    }

    #[tokio::test]
    async fn a_step_that_is_given_up_does_not_hold_up_the_others() {
        let relays = Arc::new(Relays::new(Some(RelaySettings { bytes_per_day: None, rate: Some(1_000_000) })));
        let first = relays.begin(ask(1), Instant::now()).unwrap();
        let second = relays.begin(ask(2), Instant::now()).unwrap();
        // The bucket is empty for a while after this one.
        first.pass(300_000).await.unwrap();
        let given_up = tokio::time::timeout(Duration::ZERO, first.pass(50_000_000)).await;
        assert!(given_up.is_err());
        second.pass(1).await.unwrap();
        assert_eq!(relays.turns().unwrap().waiting.len(), 0);
    }
}
