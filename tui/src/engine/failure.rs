//! Refusals and local errors as what a person reads: kind, sentence, next step. The one place where they are worded.

use std::fmt::Display;

use shared::{
    show::show_line,
    wire::{Code, Refusal},
};

use super::api::{Failure, FailureKind};

/// A fault of this program or machine.
pub fn unexpected(error: impl Display) -> Failure {
    Failure::new(
        FailureKind::Unexpected,
        "unexpected",
        error.to_string(),
        "the log beside the profile's state says more",
    )
}

/// What the tracker or a member refused.
#[must_use]
pub fn refused(refusal: &Refusal) -> Failure {
    let (kind, hint) = match refusal.code {
        Code::BadRequest | Code::TooLarge => (FailureKind::Usage, "change the request"),
        Code::Unauthenticated => {
            (FailureKind::SignIn, "check name and password, then `swapmeet login NAME --tracker LINK`")
        }
        Code::Forbidden => (FailureKind::Refused, "ask its owner (`swapmeet request`), or whoever runs the tracker"),
        Code::Protected => (FailureKind::Refused, "ask its owner for the password; `swapmeet get` asks you for it"),
        Code::NotFound => (FailureKind::NotFound, "`swapmeet ls` shows what is there, `swapmeet members` who"),
        Code::Conflict => (FailureKind::Conflict, "see how it stands now; where a name is taken, choose another one"),
        Code::RateLimited => (FailureKind::Refused, "wait a moment and try again"),
        Code::Unavailable => (FailureKind::Unreachable, "try again later"),
        Code::Unsupported => (FailureKind::Unexpected, "update the older of the two programs"),
        Code::Internal => (FailureKind::Unexpected, "the tracker's log says more"),
        Code::Changed => (FailureKind::Transfer, "run the command again to get the new version"),
        Code::Cancelled => (FailureKind::Transfer, "run the command again; it goes on where it stopped"),
    };
    Failure::new(kind, refusal.code.name(), show_line(&refusal.detail, 300), hint)
}

/// Too many wrong passwords or codes.
#[must_use]
pub fn wait(seconds: u64) -> Failure {
    let failure = Failure::new(
        FailureKind::SignIn,
        "wait",
        format!("too many wrong passwords; the next one is looked at in {seconds} s"),
        "wait, then try again; a device that is signed in already stays so",
    );
    Failure { wait_s: Some(seconds), ..failure }
}

/// No account on this device.
#[must_use]
pub fn signed_out() -> Failure {
    Failure::new(
        FailureKind::SignIn,
        "signed_out",
        "this device is not signed in",
        "`swapmeet register NAME --tracker LINK` makes an account, `swapmeet login NAME --tracker LINK` uses one",
    )
}

/// The tracker does not answer.
#[must_use]
pub fn unreachable(cause: &str) -> Failure {
    Failure::new(
        FailureKind::Unreachable,
        "tracker_unreachable",
        format!("the tracker cannot be reached: {cause}"),
        "check that it runs and that UDP gets through; `swapmeet status` shows the connection",
    )
}

/// There is no connection to the tracker, for this cause: it may be reachable, and refuse this account.
#[must_use]
pub fn offline(cause: &Failure) -> Failure {
    let Failure { kind, code, .. } = unreachable("");
    Failure { kind, code, ..cause.clone() }
}

/// The tracker answered something that does not fit the question.
#[must_use]
pub fn bad_answer() -> Failure {
    Failure::new(
        FailureKind::Unexpected,
        "bad_answer",
        "the tracker's answer does not fit the question",
        "update the older of the two programs",
    )
}

/// The connection to the tracker ended like this.
pub fn closed(error: &quinn::ConnectionError) -> Failure {
    if let quinn::ConnectionError::ApplicationClosed(close) = error
        && Code::from_number(close.error_code.into_inner()) == Some(Code::Unauthenticated)
    {
        return Failure { message: "this device was signed out".to_owned(), ..signed_out() };
    }
    unreachable(&error.to_string())
}
