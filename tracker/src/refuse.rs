//! The one door from inner errors to the wire: what a stranger may learn is decided here.

use shared::{
    net::frame::ReceiveError,
    wire::{Code, Refusal, codec::FrameError},
};

use crate::{handler::Error, passwords::PasswordError, relay::Declined, store::StoreError};

/// What the asker is told. `request` is in the log beside whatever is not told.
#[must_use]
pub fn refuse(error: &Error, request: u64) -> Refusal {
    let code = match error {
        Error::Store(error) => return refuse_store(error, request),
        Error::Password(PasswordError::Busy) => Code::RateLimited,
        Error::Password(PasswordError::Hash(_)) | Error::Certs(_) => return internal(error, request),
        Error::Name { .. } | Error::Bad(_) => Code::BadRequest,
        Error::TooMuch { .. } => Code::TooLarge,
        Error::NotSignedIn | Error::WrongSignIn(_) | Error::WrongPassword | Error::SignedOutByTime { .. } => {
            Code::Unauthenticated
        }
        Error::WrongFilePassword => Code::Protected,
        Error::SignedInAlready => Code::Conflict,
        Error::Locked | Error::RegistrationClosed | Error::InviteNeeded | Error::NotAdmin => Code::Forbidden,
        Error::Wait { .. } | Error::IntroducedTooOften { .. } => Code::RateLimited,
        Error::Hopeless(_) => Code::Unavailable,
        Error::NotFound(_) => Code::NotFound,
        Error::Unsupported(_) => Code::Unsupported,
        Error::Relay(Declined::Off) => Code::Forbidden,
        Error::Relay(Declined::Itself) => Code::BadRequest,
        Error::Relay(Declined::TooOften { .. } | Declined::TooMany | Declined::Spent { .. }) => Code::RateLimited,
        Error::Away | Error::NotTaken(_) => Code::Unavailable,
    };
    Refusal::new(code, error.to_string())
}

fn refuse_store(error: &StoreError, request: u64) -> Refusal {
    let code = match error {
        StoreError::NameTaken
        | StoreError::LooksLike(_)
        | StoreError::OtherDevice(_)
        | StoreError::PasswordMoved
        | StoreError::MessageTaken => Code::Conflict,
        StoreError::BadInvite => Code::Forbidden,
        StoreError::SignedOut => Code::Unauthenticated,
        StoreError::UnknownMember(_) | StoreError::UnknownItem | StoreError::UnknownFile => Code::NotFound,
        StoreError::NotNow(_) => Code::Conflict,
        StoreError::NotYours(_) => Code::BadRequest,
        StoreError::TooManyDevices(_)
        | StoreError::TooManyFiles(_)
        | StoreError::TooManyInvites(_)
        | StoreError::TooManyBlocks(_)
        | StoreError::TooMany { .. } => Code::TooLarge,
        StoreError::TooFast { .. } | StoreError::TooManyCopies(_) | StoreError::TooManyMessages(_) => Code::RateLimited,
        StoreError::NoDevice => Code::Unavailable,
        StoreError::NotWritten | StoreError::Database(_) | StoreError::Migrate(_) | StoreError::Corrupt(_) => {
            return internal(error, request);
        }
    };
    Refusal::new(code, error.to_string())
}

fn internal(error: &(dyn std::error::Error + 'static), request: u64) -> Refusal {
    tracing::error!(request, error, "a request failed");
    fault(request)
}

/// A fault of the tracker, without what it was.
#[must_use]
pub fn fault(request: u64) -> Refusal {
    Refusal::new(Code::Internal, format!("the tracker failed at request {request}; its log says why"))
}

/// A request that did not arrive as one.
#[must_use]
pub fn unreadable(error: &ReceiveError) -> Option<Refusal> {
    let code = match error {
        ReceiveError::Frame(FrameError::TooLarge { .. }) => Code::TooLarge,
        // An unknown variant of a newer protocol looks like nonsense.
        ReceiveError::Frame(FrameError::Malformed | FrameError::Trailing { .. } | FrameError::Encode) => {
            Code::Unsupported
        }
        ReceiveError::Short | ReceiveError::Timeout => Code::BadRequest,
        ReceiveError::Ended | ReceiveError::Reset(_) | ReceiveError::Lost(_) => return None,
    };
    Some(Refusal::new(code, error.to_string()))
}

/// A file that the asker may not know of.
#[must_use]
pub fn no_such_file() -> Refusal {
    Refusal::new(Code::NotFound, "there is no such file")
}

/// A file whose password was not proved.
#[must_use]
pub fn protected() -> Refusal {
    Refusal::new(Code::Protected, "it is protected by a password")
}

/// A file whose owner approves each fetch.
#[must_use]
pub fn must_ask() -> Refusal {
    Refusal::new(Code::Forbidden, "its owner must approve who fetches it")
}
