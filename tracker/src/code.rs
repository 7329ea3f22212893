//! Codes that a person can read out: base32 in groups of four. Only their hashes are kept.

use data_encoding::BASE32_NOPAD;
use shared::limits::{CODE_BYTES_MAX, RECOVERY_CODE_CHARS};

/// What a code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Lets somebody register: twelve characters, 60 bits.
    Invitation,
    /// Stands in for a forgotten password: twenty-four characters, 120 bits.
    Recovery,
}

/// A code, made or typed.
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    kind: Kind,
    text: String,
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Code").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Text that is no such code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseCodeError {
    /// See [`Kind::Invitation`].
    #[error("an invitation code is twelve letters and digits (a to z, 2 to 7), like abcd-efgh-ijkl")]
    Invitation,
    /// See [`Kind::Recovery`].
    #[error("a recovery code is twenty-four letters and digits (a to z, 2 to 7) in six groups of four")]
    Recovery,
}

impl Kind {
    /// Characters, hyphens not counted.
    const fn chars(self) -> usize {
        match self {
            Self::Invitation => 12,
            Self::Recovery => RECOVERY_CODE_CHARS,
        }
    }

    const fn context(self) -> &'static str {
        match self {
            Self::Invitation => "swapmeet invitation code 1",
            Self::Recovery => "swapmeet recovery code 1",
        }
    }
}

impl Code {
    /// A code out of random bytes.
    #[must_use]
    pub fn from_random(kind: Kind, random: [u8; 15]) -> Self {
        let mut text = BASE32_NOPAD.encode(&random).to_ascii_lowercase();
        text.truncate(kind.chars());
        Self { kind, text }
    }

    /// Reads a code as people type it: in any case, with or without hyphens and spaces.
    ///
    /// # Errors
    /// When it cannot be such a code.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, ParseCodeError> {
        let text = plain(text);
        let good = text.len() == kind.chars() && text.bytes().all(is_of_code);
        if good {
            return Ok(Self { kind, text });
        }
        Err(match kind {
            Kind::Invitation => ParseCodeError::Invitation,
            Kind::Recovery => ParseCodeError::Recovery,
        })
    }

    /// What the tracker keeps instead of the code.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        blake3::derive_key(self.kind.context(), self.text.as_bytes())
    }

    /// What lists show of the code.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.text[..HINT_CHARS]
    }

    /// The code in groups of four.
    #[must_use]
    pub fn grouped(&self) -> String {
        let mut grouped = String::with_capacity(self.text.len() * 5 / 4);
        for (place, letter) in self.text.chars().enumerate() {
            if place > 0 && place % 4 == 0 {
                grouped.push('-');
            }
            grouped.push(letter);
        }
        grouped
    }
}

/// The beginning of a code as lists show it, if that is what was typed.
#[must_use]
pub fn parse_hint(text: &str) -> Option<String> {
    let text = plain(text.trim_end_matches('…'));
    (text.len() == HINT_CHARS && text.bytes().all(is_of_code)).then_some(text)
}

fn plain(text: &str) -> String {
    let kept = text.chars().filter(|c| !matches!(c, '-' | ' '));
    kept.map(|c| c.to_ascii_lowercase()).take(CODE_BYTES_MAX).collect()
}

const fn is_of_code(letter: u8) -> bool {
    matches!(letter, b'a'..=b'z' | b'2'..=b'7')
}

/// Characters that a list of invitations shows.
const HINT_CHARS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const RANDOM: [u8; 15] = *b"\x01\x23\x45\x67\x89\xab\xcd\xef\x10\x32\x54\x76\x98\xba\xdc";

    #[test]
    fn a_code_reads_back_however_it_is_typed() {
        for (kind, length) in [(Kind::Invitation, 14), (Kind::Recovery, 29)] {
            let code = Code::from_random(kind, RANDOM);
            assert_eq!(code.grouped().len(), length);
            for typed in [code.grouped(), code.grouped().to_uppercase(), code.grouped().replace('-', " ")] {
                assert_eq!(Code::parse(kind, &typed), Ok(code.clone()));
            }
        }
    }

    #[test]
    fn text_that_is_no_code_is_refused() {
        for text in ["", "abcd", "abcd-efgh-ijk1", "abcd-efgh-ijkl-m", "äbcd-efgh-ijk", &"a".repeat(100_000)] {
            assert_eq!(Code::parse(Kind::Invitation, text), Err(ParseCodeError::Invitation), "{}", text.len());
            assert_eq!(Code::parse(Kind::Recovery, text), Err(ParseCodeError::Recovery), "{}", text.len());
        }
    }

    #[test]
    fn a_code_of_one_kind_is_worth_nothing_as_another() {
        let invitation = Code::from_random(Kind::Invitation, RANDOM);
        let recovery = Code { kind: Kind::Recovery, ..invitation.clone() };
        assert_ne!(invitation.hash(), recovery.hash());
    }

    #[test]
    fn a_hint_is_read_as_lists_show_it() {
        let code = Code::from_random(Kind::Invitation, RANDOM);
        for typed in [code.hint().to_owned(), code.hint().to_uppercase(), format!("{}-…", code.hint())] {
            assert_eq!(parse_hint(&typed).as_deref(), Some(code.hint()));
        }
        assert_eq!(parse_hint(&code.grouped()), None);
        assert_eq!(parse_hint("a'b;"), None);
    }
}
