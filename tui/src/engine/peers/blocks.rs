//! Members whom this one has blocked: nothing goes between their devices and this one.

use std::collections::BTreeSet;

use quinn::Connection;
use shared::{id::AccountId, net, wire::Code};

use super::Peers;

impl Peers {
    /// These members are blocked, and no others: connections with their devices end.
    pub fn block(&self, members: BTreeSet<AccountId>) {
        self.blocked.send_replace(members);
        for link in self.open().values().flatten() {
            self.part_if_blocked(&link.connection);
        }
    }

    /// Whom this member has blocked.
    pub fn blocks(&self) -> BTreeSet<AccountId> {
        self.blocked.borrow().clone()
    }

    /// Whether a member is blocked.
    pub fn is_blocked(&self, member: AccountId) -> bool {
        self.blocked.borrow().contains(&member)
    }

    /// Waits until a member is blocked.
    pub async fn until_blocked(&self, member: AccountId) {
        // The sender lives as long as `self`.
        let mut blocked = self.blocked.subscribe();
        let _gone = blocked.wait_for(|blocked| blocked.contains(&member)).await;
    }

    /// Ends a connection with a device of a blocked member, in the way of one that leaves. Says whether it did.
    pub(super) fn part_if_blocked(&self, connection: &Connection) -> bool {
        let blocked = net::peer_of(connection).is_some_and(|(who, _)| self.is_blocked(AccountId(who.account)));
        if blocked {
            net::close(connection, Code::Unavailable);
        }
        blocked
    }
}
