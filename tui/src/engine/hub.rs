//! News from the engine's parts to the faces that watch. A slow face loses news and is told everything anew.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use shared::limits::UPDATES_WAITING_MAX;
use tokio::sync::broadcast;

use super::{
    api::{Account, Event, EventKind, Notice, NoticeLevel, Traffic, Update},
    core::now_ms,
};

/// Where news goes.
#[derive(Debug)]
pub struct Hub {
    updates: broadcast::Sender<Update>,
    account: Mutex<Option<Account>>,
    /// The member list changed since it was last told.
    pub members_changed: AtomicBool,
    /// The shares changed since they were last told.
    pub shares_changed: AtomicBool,
    /// Bytes received and sent since the last look.
    pub down: AtomicU64,
    pub up: AtomicU64,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            updates: broadcast::Sender::new(UPDATES_WAITING_MAX),
            account: Mutex::new(None),
            members_changed: AtomicBool::new(false),
            shares_changed: AtomicBool::new(false),
            down: AtomicU64::new(0),
            up: AtomicU64::new(0),
        }
    }
}

impl Hub {
    /// All news from now on.
    pub fn listen(&self) -> broadcast::Receiver<Update> {
        self.updates.subscribe()
    }

    /// Whether anybody would hear.
    pub fn is_heard(&self) -> bool {
        self.updates.receiver_count() > 0
    }

    /// Tells news.
    pub fn tell(&self, update: Update) {
        // No receiver means that no face watches.
        let _nobody = self.updates.send(update);
    }

    /// Tells that something happened.
    pub fn event(&self, what: EventKind) {
        self.tell(Update::Event(Event { at_ms: now_ms(), what }));
    }

    /// Tells a person something.
    pub fn notice(&self, level: NoticeLevel, text: &str, hint: &str) {
        let notice = Notice { level, at_ms: now_ms(), text: text.to_owned(), hint: hint.to_owned() };
        self.tell(Update::Notice(notice));
        self.event(EventKind::Notice { level, text: text.to_owned() });
    }

    /// Tells who is signed in.
    pub fn account(&self, account: Option<Account>) {
        (*self.account.lock().unwrap_or_else(PoisonError::into_inner)).clone_from(&account);
        self.tell(Update::Account(account));
    }

    /// Who is signed in.
    pub fn current_account(&self) -> Option<Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes since the last call, over `seconds`, as speeds.
    pub fn take_traffic(&self, seconds: f64) -> Traffic {
        let rate = |count: &AtomicU64| (count.swap(0, Ordering::Relaxed) as f64 / seconds) as u64;
        Traffic { down: rate(&self.down), up: rate(&self.up) }
    }
}
