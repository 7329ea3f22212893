//! Telling somebody who does not look at the screen: a bell, or a note of the terminal's desktop. Never what was said.

use std::collections::BTreeMap;

use super::{Effect, State};

/// Which ways are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Notices {
    /// The terminal's bell.
    pub bell: bool,
    /// A note of the desktop, by OSC 9 (iTerm2, WezTerm, Ghostty, Windows Terminal).
    pub osc9: bool,
    /// The same by OSC 777 (rxvt-unicode, foot, VTE).
    pub osc777: bool,
    /// The same by OSC 99 (kitty).
    pub osc99: bool,
}

impl Notices {
    /// Reads names with commas between them: `bell`, `osc9`, `osc777`, `osc99`; nothing, or `none`, for none of them.
    ///
    /// # Errors
    /// The name that is not known.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut notices = Self::default();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match name {
                "bell" => notices.bell = true,
                "osc9" => notices.osc9 = true,
                "osc777" => notices.osc777 = true,
                "osc99" => notices.osc99 = true,
                "none" => {}
                other => return Err(other.to_owned()),
            }
        }
        Ok(notices)
    }
}

/// When whom somebody was told of last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told(BTreeMap<String, i64>);

impl State {
    /// Tells of something that came, unless somebody looks or was told of the same one just now.
    pub(super) fn notify(&mut self, about: &str, text: String, effects: &mut Vec<Effect>) {
        let notices = self.setup.notices;
        if self.focused || notices == Notices::default() {
            return;
        }
        let now = self.now;
        self.told.0.retain(|_, at| (now - PAUSE_MS..=now).contains(at));
        if self.told.0.contains_key(about) {
            return;
        }
        self.told.0.insert(about.to_owned(), now);
        effects.push(Effect::Notify { ways: notices, text });
    }
}

/// Shortest time between two notices about the same one, milliseconds.
const PAUSE_MS: i64 = 4_999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_is_chosen_by_itself() {
        let both = Notices { bell: true, osc9: true, ..Notices::default() };
        assert_eq!(Notices::parse("bell, osc9"), Ok(both));
        assert_eq!(Notices::parse("osc9"), Ok(Notices { bell: false, ..both }));
        assert_eq!(Notices::parse("osc777,osc99"), Ok(Notices { osc777: true, osc99: true, ..Notices::default() }));
        assert_eq!(Notices::parse(""), Ok(Notices::default()));
        assert_eq!(Notices::parse("none"), Ok(Notices::default()));
        assert_eq!(Notices::parse("bell,loud"), Err("loud".to_owned()));
    }
}
