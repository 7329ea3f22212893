//! Which requests may be asked twice: where a connection turns out to be dead, nobody knows whether the tracker had the
//! request already.

use shared::wire::tracker::Request;

/// Whether asking twice is as asking once: requests that only read, and those whose effect is named in full by the one
/// who asks, by ids that it chose, paths, or a state to be in.
pub(super) const fn may_be_asked_twice(request: &Request) -> bool {
    match request {
        Request::Changes { .. }
        | Request::List(_)
        | Request::Search { .. }
        | Request::Resolve(_)
        | Request::FolderFiles { .. }
        | Request::Inspect { .. }
        | Request::Locate { .. }
        | Request::Members { .. }
        | Request::Status
        | Request::Ways
        | Request::Devices
        | Request::Invites
        | Request::Publish { .. }
        | Request::Rename { .. }
        | Request::KeepCopy { .. }
        | Request::DropCopy { .. }
        | Request::Inbox(_)
        | Request::Message(_)
        | Request::People(_) => true,
        // They count, make something new each time, spend a code, show a password, or belong to one connection.
        Request::Hello { .. }
        | Request::Register(_)
        | Request::SignInPassword(_)
        | Request::SignInKey { .. }
        | Request::SignOut
        | Request::Renew
        | Request::Announce { .. }
        | Request::Subscribe
        | Request::Withdraw { .. }
        | Request::Vanish { .. }
        | Request::Hold { .. }
        | Request::Fetch
        | Request::Relay { .. }
        | Request::Ticket
        | Request::Introduce { .. }
        | Request::ChangePassword { .. }
        | Request::ChangeEmail { .. }
        | Request::NewRecovery { .. }
        | Request::Recover(_)
        | Request::RevokeDevices { .. }
        | Request::Invite { .. }
        | Request::RevokeInvite { .. }
        | Request::Protected(_) => false,
    }
}
