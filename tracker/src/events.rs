//! Events on their way to subscribed devices: bounded queues, and a slow reader is told to resynchronise instead of
//! being waited for.
//!
//! What concerns one member wakes its devices at once. What everyone is told goes round: a few listeners at a time, so
//! that nobody's message waits until thousands have heard who came and went. What gathers for a listener until its turn
//! reaches it together, and so does everything that is older than what it is woken for: the order is kept.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use shared::{
    id::{AccountId, DeviceId},
    limits::{EVENTS_ROUND_STEP, EVENTS_ROUND_STEPS_MAX, EVENTS_STEP_LISTENERS_MIN, EVENTS_WAITING_MAX},
    wire::tracker::Event,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Everyone who listens.
#[derive(Debug, Default)]
pub struct Events {
    listeners: Mutex<Listeners>,
    /// Somebody's turn is to come.
    gathered: Notify,
}

#[derive(Debug, Default)]
struct Listeners {
    next: u64,
    queues: BTreeMap<u64, Arc<Queue>>,
    of_account: BTreeSet<(AccountId, u64)>,
    of_device: BTreeSet<(DeviceId, u64)>,
    /// Whose turn comes, each at most once.
    round: VecDeque<u64>,
}

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Every member, each in turn.
    Everyone,
    /// The devices of one member.
    Account(AccountId),
    /// One device.
    Device(DeviceId),
}

#[derive(Debug)]
struct Queue {
    account: AccountId,
    device: DeviceId,
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

/// What one listener has not read yet.
#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Arc<Event>>,
    /// Newest sequence number of the index: older ones say nothing more.
    index: Option<u64>,
    overflowed: bool,
    /// Whether its turn is to come.
    in_round: bool,
}

impl Events {
    /// Listens from now on, until dropped.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>, account: AccountId, device: DeviceId) -> Subscription {
        let queue = Arc::new(Queue { account, device, waiting: Mutex::default(), arrived: Notify::new() });
        let number = self.lock().add(queue.clone());
        Subscription { events: self.clone(), number, queue }
    }

    /// Puts an event into the queues of its targets.
    pub fn send(&self, target: Target, event: Event) {
        let event = Arc::new(event);
        match target {
            Target::Everyone => self.tell_in_turn(&BTreeSet::new(), &event),
            Target::Account(account) => self.lock().of_account(account).for_each(|queue| queue.tell(event.clone())),
            Target::Device(device) => self.lock().of_device(device).for_each(|queue| queue.tell(event.clone())),
        }
    }

    /// Gives devices, as far as they listen, an event of their own.
    pub fn send_each<T: Clone>(
        &self,
        devices: impl IntoIterator<Item = (DeviceId, T)>,
        mut event_for: impl FnMut(T) -> Event,
    ) {
        let listeners = self.lock();
        for (device, what) in devices {
            for queue in listeners.of_device(device) {
                queue.tell(Arc::new(event_for(what.clone())));
            }
        }
    }

    /// Puts an event into the queues of everyone but these members, each in turn.
    pub fn send_but(&self, but: &BTreeSet<AccountId>, event: Event) {
        self.tell_in_turn(but, &Arc::new(event));
    }

    /// Wakes those whose turn it is, until stopped.
    pub async fn run(&self, stop: CancellationToken) {
        let round = async {
            loop {
                self.gathered.notified().await;
                while self.step() {
                    tokio::time::sleep(EVENTS_ROUND_STEP).await;
                }
            }
        };
        stop.run_until_cancelled(round).await;
    }

    /// Wakes the next few; whether others wait for their turn.
    fn step(&self) -> bool {
        let mut listeners = self.lock();
        let mut left = step_listeners(listeners.queues.len());
        while left > 0
            && let Some(number) = listeners.round.pop_front()
        {
            let Some(queue) = listeners.queues.get(&number) else { continue };
            let mut waiting = lock(&queue.waiting);
            waiting.in_round = false;
            // Whoever was woken for something else meanwhile has heard everything.
            if !waiting.is_empty() {
                queue.arrived.notify_one();
                left -= 1;
            }
        }
        !listeners.round.is_empty()
    }

    fn tell_in_turn(&self, but: &BTreeSet<AccountId>, event: &Arc<Event>) {
        let mut listeners = self.lock();
        let Listeners { queues, round, .. } = &mut *listeners;
        for (number, queue) in queues.iter().filter(|(_, queue)| !but.contains(&queue.account)) {
            let mut waiting = lock(&queue.waiting);
            waiting.push(event.clone());
            if !std::mem::replace(&mut waiting.in_round, true) {
                round.push_back(*number);
            }
        }
        drop(listeners);
        self.gathered.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Listeners> {
        lock(&self.listeners)
    }
}

/// How many of these listeners are woken in one step.
fn step_listeners(listeners: usize) -> usize {
    listeners.div_ceil(EVENTS_ROUND_STEPS_MAX).max(EVENTS_STEP_LISTENERS_MIN)
}

impl Listeners {
    fn add(&mut self, queue: Arc<Queue>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.of_account.insert((queue.account, number));
        self.of_device.insert((queue.device, number));
        self.queues.insert(number, queue);
        number
    }

    /// Its turn, if one is to come, passes by itself.
    fn remove(&mut self, number: u64) {
        if let Some(queue) = self.queues.remove(&number) {
            self.of_account.remove(&(queue.account, number));
            self.of_device.remove(&(queue.device, number));
        }
    }

    fn of_account(&self, account: AccountId) -> impl Iterator<Item = &Arc<Queue>> {
        let numbers = self.of_account.range((account, 0)..=(account, u64::MAX));
        numbers.filter_map(|(_, number)| self.queues.get(number))
    }

    fn of_device(&self, device: DeviceId) -> impl Iterator<Item = &Arc<Queue>> {
        let numbers = self.of_device.range((device, 0)..=(device, u64::MAX));
        numbers.filter_map(|(_, number)| self.queues.get(number))
    }
}

impl Queue {
    /// Wakes its reader at once, also for what waited for its turn.
    fn tell(&self, event: Arc<Event>) {
        lock(&self.waiting).push(event);
        self.arrived.notify_one();
    }
}

impl Waiting {
    fn push(&mut self, event: Arc<Event>) {
        if let Event::IndexMoved { seq } = &*event {
            self.index = self.index.max(Some(*seq));
        } else if self.events.len() < EVENTS_WAITING_MAX {
            self.events.push_back(event);
        } else {
            self.events.clear();
            self.overflowed = true;
        }
    }

    fn pop(&mut self) -> Option<Arc<Event>> {
        if std::mem::take(&mut self.overflowed) {
            return Some(Arc::new(Event::Resync));
        }
        let Some(event) = self.events.pop_front() else {
            // Most listeners have nothing waiting most of the time: they keep no memory for it.
            self.events = VecDeque::new();
            return self.index.take().map(|seq| Arc::new(Event::IndexMoved { seq }));
        };
        Some(event)
    }

    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.index.is_none() && !self.overflowed
    }
}

/// A listener's end.
#[derive(Debug)]
pub struct Subscription {
    events: Arc<Events>,
    number: u64,
    queue: Arc<Queue>,
}

impl Subscription {
    /// The next event. Safe to cancel.
    ///
    /// What everyone is told does not come before its turn: [`Events::run`].
    pub async fn next(&self) -> Arc<Event> {
        loop {
            if let Some(event) = self.waiting() {
                return event;
            }
            self.queue.arrived.notified().await;
        }
    }

    /// The next event that is there.
    #[must_use]
    pub fn waiting(&self) -> Option<Arc<Event>> {
        lock(&self.queue.waiting).pop()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.events.lock().remove(self.number);
    }
}

/// A lock held for a moment only. A panic elsewhere leaves a queue that is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use shared::id::{BlobHash, FileId};

    use super::*;

    const ANNA: AccountId = AccountId([1; 16]);
    const BEN: AccountId = AccountId([2; 16]);
    const LAPTOP: DeviceId = DeviceId([1; 16]);
    const PHONE: DeviceId = DeviceId([2; 16]);

    fn stored(n: u8) -> Event {
        Event::CopyStored { file: FileId([n; 16]) }
    }

    #[tokio::test]
    async fn events_reach_whom_they_are_meant_for() {
        let events = Arc::new(Events::default());
        let (laptop, phone) = (events.subscribe(ANNA, LAPTOP), events.subscribe(BEN, PHONE));
        events.send(Target::Account(ANNA), stored(1));
        events.send(Target::Device(PHONE), Event::Revoked { blobs: vec![BlobHash([1; 32])] });
        events.send(Target::Everyone, Event::Resync);
        assert_eq!((&*laptop.next().await, &*laptop.next().await), (&stored(1), &Event::Resync));
        assert!(matches!(&*phone.next().await, Event::Revoked { .. }));
        assert_eq!(&*phone.next().await, &Event::Resync);
    }

    #[tokio::test]
    async fn whoever_is_left_out_hears_nothing() {
        let events = Arc::new(Events::default());
        let (laptop, phone) = (events.subscribe(ANNA, LAPTOP), events.subscribe(BEN, PHONE));
        events.send_but(&[ANNA].into(), stored(1));
        assert_eq!(&*phone.next().await, &stored(1));
        assert!(lock(&laptop.queue.waiting).pop().is_none());
    }

    #[tokio::test]
    async fn moves_of_the_index_melt_into_the_newest() {
        let events = Arc::new(Events::default());
        let listener = events.subscribe(ANNA, LAPTOP);
        for seq in [3, 9, 7] {
            events.send(Target::Everyone, Event::IndexMoved { seq });
        }
        assert_eq!(&*listener.next().await, &Event::IndexMoved { seq: 9 });
        assert!(lock(&listener.queue.waiting).pop().is_none());
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_to_resynchronise_and_costs_bounded_memory() {
        let events = Arc::new(Events::default());
        let listener = events.subscribe(ANNA, LAPTOP);
        for _ in 0..EVENTS_WAITING_MAX * 3 {
            events.send(Target::Everyone, stored(1));
            assert!(lock(&listener.queue.waiting).events.len() <= EVENTS_WAITING_MAX);
        }
        assert_eq!(&*listener.next().await, &Event::Resync);
    }

    #[test]
    fn a_listener_that_is_gone_is_forgotten() {
        let events = Arc::new(Events::default());
        let listener = events.subscribe(ANNA, LAPTOP);
        events.send(Target::Everyone, stored(1));
        drop(listener);
        assert!(!events.step());
        let listeners = events.lock();
        assert!(listeners.queues.is_empty() && listeners.of_account.is_empty() && listeners.of_device.is_empty());
    }

    /// Who of these is woken by one step.
    fn woken(events: &Events, listeners: &[Subscription]) -> Vec<usize> {
        events.step();
        let woken = |listener: &Subscription| listener.queue.arrived.notified().now_or_never().is_some();
        (0..listeners.len()).filter(|index| woken(&listeners[*index])).collect()
    }

    fn crowd(events: &Arc<Events>, members: usize) -> Vec<Subscription> {
        let id = |number: usize| [number.to_le_bytes(), [0; 8]].concat().try_into().unwrap();
        (0..members).map(|number| events.subscribe(AccountId(id(number)), DeviceId(id(number)))).collect()
    }

    #[test]
    fn a_few_are_told_at_once_and_thousands_in_turn_within_a_bounded_number_of_steps() {
        assert_eq!((step_listeners(2), step_listeners(0)), (EVENTS_STEP_LISTENERS_MIN, EVENTS_STEP_LISTENERS_MIN));
        for listeners in [100_usize, 2_000, 12_000] {
            assert!(listeners.div_ceil(step_listeners(listeners)) <= EVENTS_ROUND_STEPS_MAX);
        }
        let events = Arc::new(Events::default());
        let crowd = crowd(&events, 5_000);
        events.send(Target::Everyone, stored(1));
        let mut told = BTreeSet::new();
        for _ in 0..EVENTS_ROUND_STEPS_MAX {
            let woken = woken(&events, &crowd);
            assert_eq!(woken.len(), step_listeners(crowd.len()));
            told.extend(woken);
        }
        assert_eq!(told.len(), crowd.len());
        assert!(woken(&events, &crowd).is_empty());
    }

    #[test]
    fn what_comes_while_a_listener_waits_for_its_turn_reaches_it_in_the_same_turn() {
        let events = Arc::new(Events::default());
        let crowd = crowd(&events, EVENTS_STEP_LISTENERS_MIN + 1);
        let last = &crowd[EVENTS_STEP_LISTENERS_MIN];
        events.send(Target::Everyone, stored(1));
        assert_eq!(woken(&events, &crowd).len(), EVENTS_STEP_LISTENERS_MIN);
        events.send(Target::Everyone, stored(2));
        assert!(woken(&events, &crowd).contains(&EVENTS_STEP_LISTENERS_MIN));
        assert_eq!((last.waiting().as_deref(), last.waiting().as_deref()), (Some(&stored(1)), Some(&stored(2))));
        assert!(last.waiting().is_none());
    }

    #[test]
    fn what_is_for_one_member_waits_for_no_turn_and_keeps_the_order() {
        let events = Arc::new(Events::default());
        let laptop = events.subscribe(ANNA, LAPTOP);
        events.send(Target::Everyone, stored(1));
        assert!(laptop.queue.arrived.notified().now_or_never().is_none(), "its turn comes");
        events.send_each([(LAPTOP, 2), (PHONE, 3)], stored);
        assert!(laptop.queue.arrived.notified().now_or_never().is_some());
        assert_eq!((laptop.waiting().as_deref(), laptop.waiting().as_deref()), (Some(&stored(1)), Some(&stored(2))));
        assert!(woken(&events, &[laptop]).is_empty(), "it has heard everything");
    }

    #[tokio::test(start_paused = true)]
    async fn everyone_is_told_in_time_however_many_they_are() {
        let events = Arc::new(Events::default());
        let crowd = crowd(&events, 3_000);
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let (events, stop) = (events.clone(), stop.clone());
            async move { events.run(stop).await }
        });
        let begun = tokio::time::Instant::now();
        events.send(Target::Everyone, stored(1));
        for listener in &crowd {
            listener.queue.arrived.notified().await;
        }
        assert!(begun.elapsed() <= EVENTS_ROUND_STEP * u32::try_from(EVENTS_ROUND_STEPS_MAX).unwrap());
        stop.cancel();
        running.await.unwrap();
    }
}
