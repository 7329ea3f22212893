//! Fingerprints: how people and links name an authority.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use ring::digest;

/// The SHA-256 of an authority's certificate (DER). Written as 52 characters of lower-case base32.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// Text that is not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 52 letters and digits (a to z, 2 to 7)")]
pub struct ParseFingerprintError;

impl Fingerprint {
    /// The fingerprint of a certificate.
    #[must_use]
    pub fn of_certificate(der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        Self(bytes)
    }

    /// The fingerprint in 13 groups of four characters, for people to compare: `abcd-efgh-…`. Parses as well.
    #[must_use]
    pub fn grouped(&self) -> String {
        let text = self.to_string();
        let mut grouped = String::with_capacity(TEXT_CHARS + TEXT_CHARS / GROUP_CHARS);
        for (position, character) in text.chars().enumerate() {
            if position > 0 && position % GROUP_CHARS == 0 {
                grouped.push('-');
            }
            grouped.push(character);
        }
        grouped
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    /// Reads upper and lower case, with spaces and dashes anywhere, as people and mail programs leave them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: String = text
            .chars()
            .filter(|c| *c != '-' && !c.is_whitespace())
            .take(TEXT_CHARS + 1)
            .map(|c| c.to_ascii_uppercase())
            .collect();
        let bytes = BASE32_NOPAD.decode(digits.as_bytes()).map_err(|_| ParseFingerprintError)?;
        Ok(Self(bytes.try_into().map_err(|_| ParseFingerprintError)?))
    }
}

const TEXT_CHARS: usize = 52;
const GROUP_CHARS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Fingerprint {
        Fingerprint::of_certificate(b"a certificate")
    }

    #[test]
    fn a_fingerprint_reads_back_what_it_prints() {
        let text = sample().to_string();
        assert_eq!(text.len(), TEXT_CHARS);
        assert_eq!(text, text.to_ascii_lowercase());
        assert_eq!(text.parse(), Ok(sample()));
        assert_eq!(sample().grouped().parse(), Ok(sample()));
    }

    #[test]
    fn case_spaces_and_dashes_do_not_matter() {
        let text = format!("  {}\n", sample().grouped().to_ascii_uppercase().replace('-', " - "));
        assert_eq!(text.parse(), Ok(sample()));
    }

    #[test]
    fn anything_else_is_refused() {
        let text = sample().to_string();
        let longer = format!("{text}a");
        let not_canonical = format!("{}b", "a".repeat(TEXT_CHARS - 1));
        for text in ["", "a", &text[1..], &longer, &text.replace(&text[..1], "1"), &not_canonical, &"é".repeat(52)] {
            assert_eq!(text.parse::<Fingerprint>(), Err(ParseFingerprintError), "{text}");
        }
    }
}
