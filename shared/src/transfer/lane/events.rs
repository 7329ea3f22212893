//! What a lane's thread tells its reader.

use tokio::sync::mpsc;

use super::{LaneError, LaneEvent};
use crate::limits::LANE_EVENTS_MAX;

/// Events on their way to the lane's reader, told together while the next bytes are there anyway.
pub(super) struct Events {
    sender: mpsc::Sender<Vec<LaneEvent>>,
    waiting: Vec<LaneEvent>,
}

impl Events {
    pub(super) const fn new(sender: mpsc::Sender<Vec<LaneEvent>>) -> Self {
        Self { sender, waiting: Vec::new() }
    }

    pub(super) fn tell(&mut self, event: LaneEvent) -> Result<(), LaneError> {
        // Progress of a large file is told as it is made, and so is what holds it up.
        let at_once = matches!(event, LaneEvent::Verified { .. } | LaneEvent::Queued { .. });
        self.waiting.push(event);
        if at_once || self.waiting.len() >= LANE_EVENTS_MAX { self.flush() } else { Ok(()) }
    }

    pub(super) fn flush(&mut self) -> Result<(), LaneError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.sender.blocking_send(std::mem::take(&mut self.waiting)).map_err(|_| LaneError::Stopped)
    }
}
