//! How a request, an offer or an invitation goes from its beginning to its end: the rules that both ends and the tracker
//! keep to. Plain calls, no clock.
//!
//! ```text
//! waiting ──accept──▶ accepted ──fulfil──▶ fulfilled
//!    │                    │
//!    ├──decline──▶ declined ◀──decline── (a yes taken back)
//!    ├──cancel───▶ cancelled ◀──cancel──
//!    └──time─────▶ expired  ◀──time─────
//! ```

use serde::{Deserialize, Serialize};

/// What an inbox item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// "I want this."
    Request,
    /// "This is for you."
    Offer,
    /// "Let us talk between our two devices."
    Channel,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// A file that the asker may fetch but whose sources are away. It needs nobody's yes.
    Source,
    /// A file whose owner must approve.
    Approval,
    /// Something that is not shared, of one member.
    Word,
    /// Something that is not shared, of whoever has it.
    Board,
}

/// Where an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody has answered yet.
    Waiting,
    /// There was a yes; bytes are to follow.
    Accepted,
    /// It is done.
    Fulfilled,
    /// There was a no.
    Declined,
    /// The one who began it took it back.
    Cancelled,
    /// Its time was over.
    Expired,
}

impl State {
    /// Whether something may still come of it.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Accepted)
    }

    /// In one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Accepted => "accepted",
            Self::Fulfilled => "fulfilled",
            Self::Declined => "declined",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// What somebody does about an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Says yes.
    Accept,
    /// Says no, or takes back a yes.
    Decline,
    /// Takes it back.
    Cancel,
    /// Has what it was about.
    Fulfil,
}

impl Act {
    /// What an item is after it, in one word.
    #[must_use]
    pub const fn done(self) -> &'static str {
        match self {
            Self::Accept => "accepted",
            Self::Decline => "declined",
            Self::Cancel => "cancelled",
            Self::Fulfil => "fulfilled",
        }
    }
}

/// Who somebody is to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    /// Who began it.
    From,
    /// To whom it is: the member named, the owner of the file, or any other member where it is to everyone.
    To,
}

/// What an item is, in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Matter {
    /// See [`Kind::Request`].
    Request(Wanted),
    /// See [`Kind::Offer`].
    Offer,
    /// See [`Kind::Channel`].
    Channel,
}

impl Matter {
    /// Its kind.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Request(_) => Kind::Request,
            Self::Offer => Kind::Offer,
            Self::Channel => Kind::Channel,
        }
    }

    /// Where it stands after something was done. `None`: it may not be done by this party, or not now. Doing again what
    /// was done changes nothing, so that whoever lost an answer may ask again.
    #[must_use]
    pub fn after(self, state: State, party: Party, act: Act) -> Option<State> {
        if !self.is_for(party, act) {
            return None;
        }
        let next = match act {
            Act::Accept => State::Accepted,
            Act::Decline => State::Declined,
            Act::Cancel => State::Cancelled,
            Act::Fulfil => State::Fulfilled,
        };
        let may = match act {
            Act::Accept | Act::Decline | Act::Cancel => state.is_open(),
            Act::Fulfil => {
                state == State::Accepted || (state == State::Waiting && self == Self::Request(Wanted::Source))
            }
        };
        (may || state == next).then_some(next)
    }

    /// Whether doing this is this party's business at all.
    const fn is_for(self, party: Party, act: Act) -> bool {
        match (act, party) {
            (Act::Cancel, Party::From) => true,
            // A file that one may fetch needs nobody's yes.
            (Act::Accept, Party::To) => !matches!(self, Self::Request(Wanted::Source)),
            // Nobody says no to a wish on the board for everyone else.
            (Act::Decline, Party::To) => !matches!(self, Self::Request(Wanted::Source | Wanted::Board)),
            // Who gets the bytes says that they are there.
            (Act::Fulfil, Party::From) => matches!(self, Self::Request(_)),
            (Act::Fulfil, Party::To) => matches!(self, Self::Offer | Self::Channel),
            (Act::Cancel, Party::To) | (Act::Accept | Act::Decline, Party::From) => false,
        }
    }

    /// What a person of this party is offered to do: what would change something and is not the engine's own business.
    #[must_use]
    pub fn acts(self, state: State, party: Party) -> Vec<Act> {
        [Act::Accept, Act::Decline, Act::Cancel]
            .into_iter()
            .filter(|act| self.after(state, party, *act).is_some_and(|after| after != state))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MATTERS: [Matter; 6] = [
        Matter::Request(Wanted::Source),
        Matter::Request(Wanted::Approval),
        Matter::Request(Wanted::Word),
        Matter::Request(Wanted::Board),
        Matter::Offer,
        Matter::Channel,
    ];
    const STATES: [State; 6] =
        [State::Waiting, State::Accepted, State::Fulfilled, State::Declined, State::Cancelled, State::Expired];
    const ACTS: [Act; 4] = [Act::Accept, Act::Decline, Act::Cancel, Act::Fulfil];

    #[test]
    fn an_end_is_an_end_whatever_is_done() {
        for (matter, state, act) in every() {
            for party in [Party::From, Party::To] {
                if !state.is_open() {
                    let after = matter.after(state, party, act);
                    assert!(after.is_none_or(|after| after == state), "{matter:?} {state:?} {party:?} {act:?}");
                }
            }
        }
    }

    #[test]
    fn doing_a_thing_twice_is_as_doing_it_once() {
        for (matter, state, act) in every() {
            for party in [Party::From, Party::To] {
                if let Some(after) = matter.after(state, party, act) {
                    assert_eq!(matter.after(after, party, act), Some(after), "{matter:?} {state:?} {party:?} {act:?}");
                }
            }
        }
    }

    #[test]
    fn everything_that_is_open_can_be_ended_by_the_one_who_began_it() {
        for matter in MATTERS {
            for state in [State::Waiting, State::Accepted] {
                assert_eq!(matter.after(state, Party::From, Act::Cancel), Some(State::Cancelled));
                assert!(matter.acts(state, Party::From).contains(&Act::Cancel));
            }
        }
    }

    #[test]
    fn an_offer_is_done_only_after_a_yes_and_by_its_receiver() {
        assert_eq!(Matter::Offer.after(State::Waiting, Party::To, Act::Fulfil), None);
        assert_eq!(Matter::Offer.after(State::Accepted, Party::From, Act::Fulfil), None);
        assert_eq!(Matter::Offer.after(State::Accepted, Party::To, Act::Fulfil), Some(State::Fulfilled));
    }

    #[test]
    fn a_file_that_one_may_fetch_needs_nobodys_yes() {
        let away = Matter::Request(Wanted::Source);
        assert_eq!(away.acts(State::Waiting, Party::To), []);
        assert_eq!(away.after(State::Waiting, Party::From, Act::Fulfil), Some(State::Fulfilled));
    }

    fn every() -> impl Iterator<Item = (Matter, State, Act)> {
        MATTERS.into_iter().flat_map(|matter| {
            STATES.into_iter().flat_map(move |state| ACTS.into_iter().map(move |act| (matter, state, act)))
        })
    }
}
