//! The message row and the log behind it.

use std::collections::VecDeque;

use shared::limits::MESSAGES_MAX;

use crate::engine::api::{Failure, FailureKind, Notice, NoticeLevel};

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub level: NoticeLevel,
    pub at_ms: i64,
    pub text: String,
    /// What to do next; may be empty.
    pub hint: String,
    /// How often it was said in a row.
    pub times: u32,
}

/// All messages of this run, newest last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Messages {
    log: VecDeque<Message>,
    /// Warnings and errors that nobody has looked at in the log.
    unseen: usize,
    /// Until when the newest is shown, milliseconds since 1970.
    shown_until: Option<i64>,
}

impl Messages {
    /// Says something that came from elsewhere: a warning or an error counts as new until the log is opened.
    pub fn say(&mut self, now: i64, level: NoticeLevel, text: impl Into<String>, hint: impl Into<String>) {
        let until = match level {
            NoticeLevel::Success => now + SUCCESS_MS,
            NoticeLevel::Warning => now + WARNING_MS,
            NoticeLevel::Error => i64::MAX,
        };
        self.put(now, level, text.into(), hint.into(), until);
        let repeated = self.log.back().is_some_and(|last| last.times > 1);
        self.unseen += usize::from(level != NoticeLevel::Success && !repeated);
    }

    fn put(&mut self, now: i64, level: NoticeLevel, text: String, hint: String, until: i64) {
        self.shown_until = Some(until);
        if let Some(last) = self.log.back_mut()
            && last.text == text
            && last.level == level
        {
            last.times = last.times.saturating_add(1);
            last.at_ms = now;
            return;
        }
        if self.log.len() == MESSAGES_MAX {
            self.log.pop_front();
        }
        self.log.push_back(Message { level, at_ms: now, text, hint, times: 1 });
    }

    /// Says what went well.
    pub fn success(&mut self, now: i64, text: impl Into<String>) {
        self.say(now, NoticeLevel::Success, text, "");
    }

    /// Says at once why a key did nothing: whoever pressed it reads it, so it never counts as new.
    pub fn warn(&mut self, now: i64, text: impl Into<String>) {
        self.put(now, NoticeLevel::Warning, text.into(), String::new(), now + REMARK_MS);
    }

    /// Says why a call failed. An interruption is no news to who interrupted.
    pub fn fail(&mut self, now: i64, doing: &str, failure: &Failure) {
        if failure.kind != FailureKind::Interrupted {
            self.say(now, NoticeLevel::Error, format!("could not {doing}: {}", failure.message), failure.hint.clone());
        }
    }

    /// Passes on what the engine noticed.
    pub fn notice(&mut self, now: i64, notice: Notice) {
        self.say(now, notice.level, notice.text, notice.hint);
    }

    /// The message to show now.
    #[must_use]
    pub fn current(&self, now: i64) -> Option<&Message> {
        self.shown_until.filter(|until| now < *until)?;
        self.log.back()
    }

    /// When the message row changes by itself.
    #[must_use]
    pub fn next_change(&self) -> Option<i64> {
        self.shown_until.filter(|until| *until < i64::MAX)
    }

    /// Takes the shown message away. Says whether there was one.
    pub fn dismiss(&mut self, now: i64) -> bool {
        let shown = self.current(now).is_some();
        self.shown_until = None;
        shown
    }

    /// Forgets the time of a message that has run out.
    pub fn expire(&mut self, now: i64) -> bool {
        let expired = self.shown_until.is_some_and(|until| until <= now);
        if expired {
            self.shown_until = None;
        }
        expired
    }

    /// All of them, newest last.
    #[must_use]
    pub const fn log(&self) -> &VecDeque<Message> {
        &self.log
    }

    /// Warnings and errors since the log was last opened.
    #[must_use]
    pub const fn unseen(&self) -> usize {
        self.unseen
    }

    /// The log is being looked at.
    pub fn seen(&mut self) {
        self.unseen = 0;
        self.shown_until = None;
    }
}

/// A success is read at a glance.
const SUCCESS_MS: i64 = 4_000;
/// An answer to a key press is read where it was pressed.
const REMARK_MS: i64 = 6_000;
/// A warning may need a second look.
const WARNING_MS: i64 = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_fades_and_an_error_stays_until_it_is_dismissed() {
        let mut messages = Messages::default();
        messages.success(0, "done");
        assert!(messages.current(3_999).is_some());
        assert!(messages.current(4_000).is_none());
        messages.say(5_000, NoticeLevel::Error, "no", "");
        assert!(messages.current(i64::MAX - 1).is_some());
        assert!(messages.dismiss(5_001));
        assert!(messages.current(5_001).is_none());
        assert_eq!(messages.unseen(), 1);
    }

    #[test]
    fn the_same_error_again_is_counted_not_repeated() {
        let mut messages = Messages::default();
        for now in 0..12 {
            messages.say(now, NoticeLevel::Error, "disk full", "");
        }
        assert_eq!((messages.log().len(), messages.log()[0].times, messages.unseen()), (1, 12, 1));
    }

    #[test]
    fn an_answer_to_a_key_press_is_not_counted_as_new() {
        let mut messages = Messages::default();
        messages.warn(0, "nothing to fetch");
        assert!(messages.current(1).is_some());
        assert_eq!(messages.unseen(), 0);
    }
}
