//! Events on their way to subscribed devices: bounded queues, and a slow reader is told to resynchronise instead of
//! being waited for.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use shared::{
    id::{AccountId, DeviceId},
    limits::EVENTS_WAITING_MAX,
    wire::tracker::Event,
};
use tokio::sync::Notify;

/// Everyone who listens.
#[derive(Debug, Default)]
pub struct Events {
    listeners: Mutex<Listeners>,
}

#[derive(Debug, Default)]
struct Listeners {
    next: u64,
    queues: BTreeMap<u64, Arc<Queue>>,
}

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Every member.
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
}

impl Events {
    /// Listens from now on, until dropped.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>, account: AccountId, device: DeviceId) -> Subscription {
        let queue = Arc::new(Queue { account, device, waiting: Mutex::default(), arrived: Notify::new() });
        let mut listeners = self.lock();
        let number = listeners.next;
        listeners.next += 1;
        listeners.queues.insert(number, queue.clone());
        Subscription { events: self.clone(), number, queue }
    }

    /// Puts an event into the queues of its targets.
    pub fn send(&self, target: Target, event: Event) {
        let event = Arc::new(event);
        for queue in self.lock().queues.values() {
            let meant = match target {
                Target::Everyone => true,
                Target::Account(account) => queue.account == account,
                Target::Device(device) => queue.device == device,
            };
            if meant {
                lock(&queue.waiting).push(event.clone());
                queue.arrived.notify_one();
            }
        }
    }

    /// Gives each device an event of its own, if there is one for it.
    pub fn send_each(&self, mut event_for: impl FnMut(DeviceId) -> Option<Event>) {
        for queue in self.lock().queues.values() {
            if let Some(event) = event_for(queue.device) {
                lock(&queue.waiting).push(Arc::new(event));
                queue.arrived.notify_one();
            }
        }
    }

    /// Puts an event into the queues of everyone but these members.
    pub fn send_but(&self, but: &BTreeSet<AccountId>, event: Event) {
        let event = Arc::new(event);
        for queue in self.lock().queues.values().filter(|queue| !but.contains(&queue.account)) {
            lock(&queue.waiting).push(event.clone());
            queue.arrived.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Listeners> {
        lock(&self.listeners)
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
        self.events.pop_front().or_else(|| self.index.take().map(|seq| Arc::new(Event::IndexMoved { seq })))
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
    pub async fn next(&self) -> Arc<Event> {
        loop {
            if let Some(event) = lock(&self.queue.waiting).pop() {
                return event;
            }
            self.queue.arrived.notified().await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.events.lock().queues.remove(&self.number);
    }
}

/// A lock held for a moment only. A panic elsewhere leaves a queue that is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
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
        drop(events.subscribe(ANNA, LAPTOP));
        assert!(events.lock().queues.is_empty());
    }
}
