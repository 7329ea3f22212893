//! Why something was refused: the only error that travels. Codes are append-only.

use serde::{Deserialize, Serialize};

/// A refusal: a code that programs act on, and a detail that people read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// What kind of refusal this is.
    pub code: Code,
    /// A lower-case fragment that reads after "refused: ". Comes from another machine: show it cleaned.
    pub detail: String,
}

/// Kinds of refusals. Positions are wire numbers: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Code {
    /// The request makes no sense; the same request will be refused again.
    BadRequest,
    /// Sign in first, or the sign-in was wrong.
    Unauthenticated,
    /// You may not do this.
    Forbidden,
    /// There is no such thing, or none that you may see.
    NotFound,
    /// The name is taken or the thing is already there.
    Conflict,
    /// More than a limit allows.
    TooLarge,
    /// Too many requests; try again later.
    RateLimited,
    /// Not possible right now; try again later.
    Unavailable,
    /// This end does not know how.
    Unsupported,
    /// A fault of the refusing side.
    Internal,
    /// The content changed since it was shared; ask the tracker again.
    Changed,
    /// The sender stopped on purpose; what arrived is whole only up to the last verified group.
    Cancelled,
    /// The content is protected: its password is to be proved first, or what was shown is not the proof.
    Protected,
}

impl Code {
    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn retry_helps(self) -> bool {
        match self {
            Self::RateLimited | Self::Unavailable | Self::Internal | Self::Changed | Self::Cancelled => true,
            Self::BadRequest
            | Self::Unauthenticated
            | Self::Forbidden
            | Self::NotFound
            | Self::Conflict
            | Self::TooLarge
            | Self::Unsupported
            | Self::Protected => false,
        }
    }

    /// The number used for stream resets and connection closes. Zero means "no error", so codes begin at one.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32 + 1
    }

    /// Reads the number of a stream reset or connection close.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            1 => Self::BadRequest,
            2 => Self::Unauthenticated,
            3 => Self::Forbidden,
            4 => Self::NotFound,
            5 => Self::Conflict,
            6 => Self::TooLarge,
            7 => Self::RateLimited,
            8 => Self::Unavailable,
            9 => Self::Unsupported,
            10 => Self::Internal,
            11 => Self::Changed,
            12 => Self::Cancelled,
            13 => Self::Protected,
            _ => return None,
        })
    }

    /// The code's name for programs (`--json`), in snake case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
            Self::Changed => "changed",
            Self::Cancelled => "cancelled",
            Self::Protected => "protected",
        }
    }
}

impl Refusal {
    /// A refusal with this code and detail.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_reads_back_as_its_code() {
        let codes: Vec<Code> = (1..=13).map(|n| Code::from_number(n).unwrap()).collect();
        for code in codes {
            assert_eq!(Code::from_number(u64::from(code.number())), Some(code));
        }
        assert_eq!(Code::from_number(0), None);
        assert_eq!(Code::from_number(14), None);
    }
}
