//! Invitation codes: twelve characters of base32 that a person can read out. Only their hash is kept.

use data_encoding::BASE32_NOPAD;

/// Characters of a code, hyphens not counted: 60 bits.
const CODE_CHARS: usize = 12;
/// Characters that a list of invitations shows.
const HINT_CHARS: usize = 4;

/// A code, made or typed.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteCode(String);

impl std::fmt::Debug for InviteCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InviteCode(…)")
    }
}

/// Text that is not an invitation code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an invitation code is twelve letters and digits (a to z, 2 to 7), like abcd-efgh-ijkl")]
pub struct ParseInviteError;

impl InviteCode {
    /// A code out of random bytes.
    #[must_use]
    pub fn from_random(random: [u8; 8]) -> Self {
        let mut text = BASE32_NOPAD.encode(&random).to_ascii_lowercase();
        text.truncate(CODE_CHARS);
        Self(text)
    }

    /// Reads a code as people type it: in any case, with or without hyphens and spaces.
    ///
    /// # Errors
    /// When it cannot be a code.
    pub fn parse(text: &str) -> Result<Self, ParseInviteError> {
        let code: String =
            text.chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| c.to_ascii_lowercase()).take(64).collect();
        let good = code.len() == CODE_CHARS && code.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
        if good { Ok(Self(code)) } else { Err(ParseInviteError) }
    }

    /// What the tracker keeps instead of the code.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        blake3::derive_key("swapmeet invitation code 1", self.0.as_bytes())
    }

    /// What lists show of the code.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.0[..HINT_CHARS]
    }

    /// The code in groups of four.
    #[must_use]
    pub fn grouped(&self) -> String {
        format!("{}-{}-{}", &self.0[..4], &self.0[4..8], &self.0[8..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_back_however_it_is_typed() {
        let code = InviteCode::from_random(*b"\x01\x23\x45\x67\x89\xab\xcd\xef");
        assert_eq!(code.grouped().len(), 14);
        for typed in [code.grouped(), code.grouped().to_uppercase(), code.grouped().replace('-', " ")] {
            assert_eq!(InviteCode::parse(&typed), Ok(code.clone()));
        }
    }

    #[test]
    fn text_that_is_no_code_is_refused() {
        for text in ["", "abcd", "abcd-efgh-ijk1", "abcd-efgh-ijkl-m", "äbcd-efgh-ijk", &"a".repeat(100_000)] {
            assert_eq!(InviteCode::parse(text), Err(ParseInviteError), "{}", text.len());
        }
    }
}
