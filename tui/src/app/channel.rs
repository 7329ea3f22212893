//! A private channel as the screen keeps it: how it stands, and everything that was said in it. It is kept nowhere else.

use shared::{limits::TALK_MESSAGES_MAX, show::show};

use super::CallId;
use crate::engine::api::{ChannelLineRow, ChannelRow, ChannelState, PathKind};

/// A private channel, or an invitation to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// The call that holds it: it ends with that.
    pub call: CallId,
    pub row: ChannelRow,
    /// In the order in which it came.
    pub heard: Vec<Heard>,
    /// Lines of the other one that nobody has looked at.
    pub unread: u64,
}

/// Something in a private channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// What this program says of it.
    Told { at_ms: i64, text: String },
    /// What one of the two said, or offered.
    Line(Box<ChannelLineRow>),
}

impl Channel {
    /// One that this side has just begun: as an invitation, or by accepting that of `with`.
    #[must_use]
    pub fn new(call: CallId, id: &str, with: &str, incoming: bool) -> Self {
        let row = ChannelRow {
            id: id.to_owned(),
            with: with.to_owned(),
            state: if incoming { ChannelState::Connecting } else { ChannelState::Inviting },
            words: Vec::new(),
            path: None,
            reason: String::new(),
            incoming,
        };
        Self { call, row, heard: Vec::new(), unread: 0 }
    }

    /// Whether it is not over.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.row.state != ChannelState::Ended
    }

    /// Whether something can be said.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.row.state == ChannelState::Open
    }

    /// Takes in how it stands, and says what that means.
    pub fn apply(&mut self, row: ChannelRow, now: i64) {
        let before = (!self.heard.is_empty()).then_some(self.row.state);
        // Words and way stay known of one that is over.
        let ended = row.state == ChannelState::Ended && row.words.is_empty();
        self.row = match ended {
            true => ChannelRow { words: self.row.words.clone(), path: self.row.path, ..row },
            false => row,
        };
        if before == Some(self.row.state) {
            return;
        }
        let with = show(&self.row.with);
        match self.row.state {
            ChannelState::Inviting => {
                self.tell(now, format!("{with} is invited. The answer comes here; x takes the invitation back."));
            }
            ChannelState::Connecting => self.tell(now, "Accepted: the two devices look for each other.".to_owned()),
            ChannelState::Open => {
                let how = way(self.row.path);
                self.tell(now, format!("Open, {how}. Nothing of it is kept, here or at the tracker."));
                let compare = format!("Let {with} read the key words above to you: if theirs differ, somebody is in");
                self.tell(now, format!("{compare} between. It ends when one of you leaves it or quits."));
            }
            ChannelState::Ended => {
                let why =
                    if self.row.reason.is_empty() { "no reason is known".to_owned() } else { show(&self.row.reason) };
                self.tell(now, format!("The channel has ended: {why}."));
            }
        }
    }

    /// The call that held it is over, with this reason where it failed.
    pub fn end(&mut self, reason: Option<&str>, now: i64) {
        if self.is_live() {
            let reason = reason.unwrap_or("left").to_owned();
            self.apply(ChannelRow { state: ChannelState::Ended, reason, ..self.row.clone() }, now);
        }
    }

    /// Takes in a line, or what became of one. Says whether it is new.
    pub fn put(&mut self, row: ChannelLineRow) -> bool {
        let same = |heard: &&mut Heard| match heard {
            Heard::Told { .. } => false,
            Heard::Line(line) => (line.mine, line.number) == (row.mine, row.number),
        };
        if let Some(Heard::Line(line)) = self.heard.iter_mut().find(same) {
            **line = row;
            return false;
        }
        self.add(Heard::Line(Box::new(row)));
        true
    }

    /// The line that an entry of the conversation stands for.
    #[must_use]
    pub fn line(&self, id: &str) -> Option<&ChannelLineRow> {
        self.lines().find(|line| line_id(line) == id)
    }

    /// What was said, in the order in which it came.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &ChannelLineRow> {
        self.heard.iter().filter_map(|heard| match heard {
            Heard::Told { .. } => None,
            Heard::Line(line) => Some(&**line),
        })
    }

    fn tell(&mut self, at_ms: i64, text: String) {
        self.add(Heard::Told { at_ms, text });
    }

    fn add(&mut self, heard: Heard) {
        self.heard.push(heard);
        if self.heard.len() > TALK_MESSAGES_MAX {
            self.heard.remove(0);
        }
    }
}

/// A name for a line that no other line of its channel has.
#[must_use]
pub fn line_id(line: &ChannelLineRow) -> String {
    format!("{}{}", if line.mine { '+' } else { '-' }, line.number)
}

/// How the words travel, for people.
#[must_use]
pub const fn way(path: Option<PathKind>) -> &'static str {
    match path {
        Some(PathKind::Relay) => "relayed by the tracker, which cannot read it",
        Some(PathKind::Lan) => "straight between the two devices, on one network",
        Some(PathKind::Direct | PathKind::Punched | PathKind::Copy) | None => "straight between the two devices",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::api::LineState;

    fn line(number: u64, mine: bool, state: LineState) -> ChannelLineRow {
        ChannelLineRow {
            channel: "07".repeat(16),
            number,
            mine,
            from: "dan".to_owned(),
            text: "text".to_owned(),
            file: None,
            at_ms: 0,
            state,
        }
    }

    fn told(channel: &Channel) -> Vec<&str> {
        let told = channel.heard.iter().filter_map(|heard| match heard {
            Heard::Told { text, .. } => Some(text.as_str()),
            Heard::Line(_) => None,
        });
        told.collect()
    }

    #[test]
    fn each_side_counts_its_own_lines_and_a_line_comes_further() {
        let mut channel = Channel::new(CallId(1), "07", "dan", false);
        assert!(channel.put(line(1, true, LineState::Sent)));
        assert!(channel.put(line(1, false, LineState::Received)));
        assert!(!channel.put(line(1, true, LineState::Delivered)));
        let states: Vec<LineState> = channel.lines().map(|line| line.state).collect();
        assert_eq!(states, [LineState::Delivered, LineState::Received]);
    }

    #[test]
    fn every_state_is_told_once_and_the_end_with_its_reason() {
        let mut channel = Channel::new(CallId(1), "07", "dan\u{202e}", false);
        let row = |state| ChannelRow { state, ..channel.row.clone() };
        let (inviting, open) = (row(ChannelState::Inviting), row(ChannelState::Open));
        let open = ChannelRow { words: vec!["one".to_owned()], path: Some(PathKind::Direct), ..open };
        for row in [inviting.clone(), inviting, open] {
            channel.apply(row, 0);
        }
        channel.end(Some("dan left"), 1);
        channel.end(Some("again"), 2);
        let told = told(&channel);
        assert_eq!((told.len(), told.last().copied()), (4, Some("The channel has ended: dan left.")));
        assert!(told[0].starts_with("dan‹U+202E› is invited"), "{told:?}");
        assert_eq!(channel.row.words, ["one"], "they can still be compared");
    }

    #[test]
    fn what_is_remembered_of_it_is_bounded() {
        let mut channel = Channel::new(CallId(1), "07", "dan", false);
        for number in 0..TALK_MESSAGES_MAX as u64 + 5 {
            channel.put(line(number, false, LineState::Received));
        }
        assert_eq!(channel.heard.len(), TALK_MESSAGES_MAX);
    }
}
