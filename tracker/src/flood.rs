//! How many messages a member may send, so that one who floods disturbs nobody else. Pure: time comes in.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use shared::{
    id::AccountId,
    limits::{BROADCAST_BURST, BROADCAST_PAUSE, MESSAGE_BURST, MESSAGE_PAUSE},
};

/// Who has sent how much lately.
#[derive(Debug, Default)]
pub struct Flood {
    /// When each member would have sent what it sent, had it kept the pause between every two. Who is not named, or whose
    /// time has passed, may send a burst.
    paced: BTreeMap<(AccountId, Audience), Instant>,
}

/// To how many a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audience {
    /// The devices of two members.
    Member,
    /// Every device.
    Everyone,
}

impl Audience {
    /// Messages in a row, and the time for one more.
    const fn pace(self) -> (u32, Duration) {
        match self {
            Self::Member => (MESSAGE_BURST, MESSAGE_PAUSE),
            Self::Everyone => (BROADCAST_BURST, BROADCAST_PAUSE),
        }
    }
}

impl Flood {
    /// A member wants to send.
    ///
    /// # Errors
    /// The time to wait before it may.
    pub fn admit(&mut self, member: AccountId, audience: Audience, now: Instant) -> Result<(), Duration> {
        let (burst, pause) = audience.pace();
        let paced = self.paced.get(&(member, audience)).copied().unwrap_or(now).max(now);
        let ahead = paced.duration_since(now);
        let most = pause * (burst - 1);
        if ahead > most {
            return Err(ahead - most);
        }
        if self.paced.len() >= TIDY_AT {
            self.paced.retain(|_, paced| *paced > now);
        }
        self.paced.insert((member, audience), paced + pause);
        Ok(())
    }
}

/// Members from which on those are forgotten who may send a burst again.
const TIDY_AT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: AccountId = AccountId([1; 16]);
    const BEN: AccountId = AccountId([2; 16]);

    fn sent_at_once(flood: &mut Flood, member: AccountId, now: Instant) -> u32 {
        (0..1000).take_while(|_| flood.admit(member, Audience::Member, now).is_ok()).count().try_into().unwrap()
    }

    #[test]
    fn a_burst_passes_and_then_one_message_for_each_pause() {
        let (mut flood, start) = (Flood::default(), Instant::now());
        assert_eq!(sent_at_once(&mut flood, ANNA, start), MESSAGE_BURST);
        let wait = flood.admit(ANNA, Audience::Member, start).unwrap_err();
        assert!(flood.admit(ANNA, Audience::Member, start + wait - Duration::from_nanos(1)).is_err());
        assert_eq!(sent_at_once(&mut flood, ANNA, start + wait), 1);
        assert_eq!(sent_at_once(&mut flood, ANNA, start + MESSAGE_PAUSE * 1000), MESSAGE_BURST, "a rest earns a burst");
    }

    #[test]
    fn nobody_else_notices_a_flood() {
        let (mut flood, start) = (Flood::default(), Instant::now());
        sent_at_once(&mut flood, ANNA, start);
        assert_eq!(flood.admit(BEN, Audience::Member, start), Ok(()));
        assert_eq!(flood.admit(ANNA, Audience::Everyone, start), Ok(()), "each kind of message counts by itself");
    }

    #[test]
    fn whoever_may_send_again_costs_no_memory() {
        let (mut flood, start) = (Flood::default(), Instant::now());
        for n in 0..10_000_u32 {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&n.to_le_bytes());
            let now = start + MESSAGE_PAUSE * n;
            flood.admit(AccountId(id), Audience::Member, now).unwrap();
        }
        assert!(flood.paced.len() <= TIDY_AT);
    }
}
