//! Whether somebody is at the keyboard of this screen. Time comes in with the events.

use super::{CallId, Effect, Purpose, State};
use crate::engine::api::{Command, PeopleCommand};

/// Who is there, as the screen knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attention {
    /// The call that tells the engine that somebody is here, while it runs.
    call: Option<CallId>,
    /// When something was pressed, clicked or pasted last.
    touched_ms: i64,
    /// When the engine ended that call last.
    failed_ms: i64,
    /// Whether somebody wants to be shown as away, whatever is pressed.
    pub by_hand: bool,
}

impl State {
    /// Somebody pressed, clicked or pasted something.
    pub(super) const fn touch(&mut self) {
        self.attention.touched_ms = self.now;
    }

    /// Begins or ends the call that says so.
    pub(super) fn settle_attention(&mut self, effects: &mut Vec<Effect>) {
        // The clock may have been set back; nobody was there in the future.
        self.attention.touched_ms = self.attention.touched_ms.min(self.now);
        let idle = self.away_at().is_some_and(|at| at <= self.now);
        let here = !self.attention.by_hand && !idle;
        match self.attention.call {
            None if here && self.attention.touched_ms >= self.attention.failed_ms => {
                let command = Command::People(PeopleCommand::Attend);
                self.attention.call = Some(self.call(command, Purpose::Attend, effects));
            }
            Some(call) if !here => {
                self.attention.call = None;
                self.forget_call(call, effects);
            }
            Some(_) | None => {}
        }
    }

    /// The engine no longer hears that somebody is here; whatever is pressed next says so anew.
    pub(super) const fn attending_ended(&mut self) {
        // The call that keeps the screen up to date tells what is wrong, and begins this one anew.
        self.attention.failed_ms = self.now;
        self.attention.call = None;
    }

    /// The engine is there again.
    pub(super) const fn attend_again(&mut self) {
        self.attention.failed_ms = i64::MIN;
    }

    /// When nobody counts as here any more, unless something is pressed. `None`: never.
    pub(super) fn away_at(&self) -> Option<i64> {
        let after = self.setup.away_after_ms;
        (after > 0).then(|| self.attention.touched_ms.saturating_add(after))
    }

    /// Whether others see whoever sits here as away.
    #[must_use]
    pub const fn is_away(&self) -> bool {
        self.attention.call.is_none()
    }

    /// Turns away by hand, or back.
    pub(super) fn turn_away(&mut self) {
        self.attention.by_hand = !self.attention.by_hand;
        let text = match self.attention.by_hand {
            true => "others see you as away until `:` back or `:` away",
            false => "others see you as online again",
        };
        self.messages.success(self.now, text);
    }
}
