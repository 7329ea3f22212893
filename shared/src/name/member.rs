//! The names of members: what people type to reach each other, so no two may look alike.

use std::{fmt, str::FromStr};

use caseless::default_case_fold_str;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};
use unicode_security::{mixed_script::AugmentedScriptSet, skeleton};

use super::NameError;
use crate::{
    limits::{MARKS_PER_BASE_MAX, MEMBER_NAME_CHARS_MAX, MEMBER_NAME_CHARS_MIN},
    show::is_hidden,
};

/// The name of a member as its owner writes it: NFC, trimmed, words parted by single spaces.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberName(String);

impl MemberName {
    /// Checks a name. Spaces at its ends are dropped, and spaces of other scripts become plain ones.
    ///
    /// # Errors
    /// The first rule that the name breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        // Normalisation is not free, and a name of a megabyte is refused either way.
        if text.chars().nth(CHARS_READ_MAX).is_some() {
            return Err(NameError::TooManyChars { chars_max: MEMBER_NAME_CHARS_MAX });
        }
        let spaced: String = text.chars().map(|c| if is_space(c) { ' ' } else { c }).collect();
        let name: String = spaced.trim_matches(' ').nfc().collect();
        check_length(&name)?;
        check_characters(&name)?;
        check_marks(&name)?;
        check_scripts(&name)?;
        Ok(Self(name))
    }

    /// The name as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What two names are compared by: equal keys are one account.
    #[must_use]
    pub fn key(&self) -> NameKey {
        NameKey(compatibility_fold(&self.0))
    }

    /// What the name looks like (UTS 39): a newcomer is refused whose skeleton is another account's while the key differs.
    ///
    /// Taken before and after folding, because capitals have look-alikes of their own: `paypaI` with a capital i.
    #[must_use]
    pub fn skeleton(&self) -> String {
        let drawn: String = skeleton(&self.0).collect();
        skeleton(&compatibility_fold(&drawn)).collect()
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemberName({:?})", self.0)
    }
}

impl FromStr for MemberName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl AsRef<str> for MemberName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A member's name without what does not distinguish people: NFKC with full case folding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameKey(String);

impl NameKey {
    /// The key as text, for a database column.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for NameKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Folding can undo normalisation and the other way round; twice settles it (Unicode, section 3.13, D146).
fn compatibility_fold(text: &str) -> String {
    let decomposed: String = text.nfd().collect();
    let once: String = default_case_fold_str(&decomposed).nfkc().collect();
    default_case_fold_str(&once).nfkc().collect()
}

fn check_length(name: &str) -> Result<(), NameError> {
    match name.chars().count() {
        0 => Err(NameError::Empty),
        chars if chars < MEMBER_NAME_CHARS_MIN => Err(NameError::TooShort { chars_min: MEMBER_NAME_CHARS_MIN }),
        chars if chars > MEMBER_NAME_CHARS_MAX => Err(NameError::TooManyChars { chars_max: MEMBER_NAME_CHARS_MAX }),
        _ => Ok(()),
    }
}

fn check_characters(name: &str) -> Result<(), NameError> {
    if let Some(refused) = name.chars().find(|&c| !is_allowed(c)) {
        return Err(NameError::Character(refused));
    }
    if let Some(first) = name.chars().next().filter(|&c| matches!(c, '-' | '.') || is_combining_mark(c)) {
        return Err(NameError::Beginning(first));
    }
    if name.contains("  ") {
        return Err(NameError::DoubleSpace);
    }
    if !name.chars().any(char::is_alphanumeric) {
        return Err(NameError::NoLetter);
    }
    Ok(())
}

fn is_allowed(c: char) -> bool {
    let usual = c == ' '
        || matches!(c, '+' | '=' | '~' | '^' | '$')
        || matches!(
            c.general_category_group(),
            GeneralCategoryGroup::Letter
                | GeneralCategoryGroup::Mark
                | GeneralCategoryGroup::Number
                | GeneralCategoryGroup::Punctuation
        );
    // Compatibility forms count as what they stand for, or a full-width slash would pass for a name without one.
    usual && !is_hidden(c) && c.nfkd().all(|part| !MEANT_IN_REFERENCES.contains(&part) && (part != ' ' || c == ' '))
}

fn check_marks(name: &str) -> Result<(), NameError> {
    let mut marks = 0;
    for c in name.chars() {
        marks = if is_combining_mark(c) { marks + 1 } else { 0 };
        if marks > MARKS_PER_BASE_MAX {
            return Err(NameError::MarkPile { marks_max: MARKS_PER_BASE_MAX });
        }
    }
    Ok(())
}

/// UTS 39 "highly restrictive": one script, or Latin beside Chinese, Japanese or Korean.
///
/// Not the library's own restriction level, which also refuses every space and punctuation mark.
fn check_scripts(name: &str) -> Result<(), NameError> {
    if !AugmentedScriptSet::for_str(name).is_empty() {
        return Ok(());
    }
    let besides_latin: String = name.chars().filter(|&c| !is_latin(c)).collect();
    let scripts = AugmentedScriptSet::for_str(&besides_latin);
    if scripts.hanb || scripts.jpan || scripts.kore { Ok(()) } else { Err(NameError::MixedScripts) }
}

fn is_latin(c: char) -> bool {
    let mut scripts = AugmentedScriptSet::for_char('a');
    scripts.intersect_with(AugmentedScriptSet::for_char(c));
    !scripts.is_empty()
}

fn is_space(c: char) -> bool {
    c.general_category() == GeneralCategory::SpaceSeparator
}

/// Characters that mean something where a name is part of a reference, an address or a list (`MEMBER/path`, `--to A,B`).
const MEANT_IN_REFERENCES: [char; 6] = ['/', '\\', ':', '@', '#', ','];

/// Characters read at all: composing shrinks a name at most this far, and trimming is for a stray space.
const CHARS_READ_MAX: usize = MEMBER_NAME_CHARS_MAX * (MARKS_PER_BASE_MAX + 1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> MemberName {
        MemberName::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    #[test]
    fn names_may_hold_spaces_punctuation_and_any_script() {
        for name in [
            "bob",
            "Ana María",
            "Дмитрий Иванович",
            "山田 太郎",
            "Tanaka 花子",
            "김철수",
            "مريم",
            "דוד",
            "อรุณ",
            "प्रिया",
            "O'Neil",
            "J. R. (lab 2)",
            "x_X-x",
            "R&D!",
            "Ŵïllïåm",
        ] {
            assert_eq!(parse(name).as_str(), name);
        }
    }

    #[test]
    fn ends_are_trimmed_and_foreign_spaces_become_plain() {
        assert_eq!(parse("  bob ").as_str(), "bob");
        assert_eq!(parse("山田\u{3000}太郎").as_str(), "山田 太郎");
        assert_eq!(parse("a\u{a0}b").as_str(), "a b");
    }

    #[test]
    fn names_that_deceive_or_cannot_be_referred_to_are_refused() {
        for name in [
            "",
            " ",
            "x",
            "a/b",
            "a\\b",
            "a:b",
            "a@b",
            "#ab",
            "a,b",
            "a／b",
            "a：b",
            "a＠b",
            "a，b",
            "a  b",
            "a\u{3000} b",
            "a\tb",
            "a\nb",
            "a\u{0}b",
            "a\u{1b}b",
            "a\u{9b}b",
            "a\u{202e}b",
            "a\u{200b}b",
            "a\u{200d}b",
            "a\u{ad}b",
            "a\u{feff}b",
            "a\u{e000}b",
            "a\u{378}b",
            "a\u{3164}b",
            "a\u{2028}b",
            "a\u{fe0f}b",
            "-rf",
            "..",
            ".ssh",
            "\u{301}ab",
            "!!",
            "__",
            "a♥b",
            "a\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}b",
            "\u{ffff}ab",
        ] {
            assert!(MemberName::parse(name).is_err(), "{name:?}");
        }
        assert!(MemberName::parse(&"a".repeat(33)).is_err());
        assert!(MemberName::parse(&"a".repeat(1 << 20)).is_err());
        assert!(MemberName::parse(&"é".repeat(32)).is_ok());
    }

    #[test]
    fn mixed_scripts_are_refused_where_they_look_alike() {
        for name in ["pаypal", "bоb", "Αnna", "аdmin", "bob админ"] {
            assert_eq!(MemberName::parse(name), Err(NameError::MixedScripts), "{name}");
        }
        for name in ["ソニー Sony", "中文 abc", "한국 Kim"] {
            assert!(MemberName::parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn spellings_of_one_name_share_a_key() {
        for (one, other) in [
            ("Bob", "bOB"),
            ("Straße", "STRASSE"),
            ("e\u{301}va", "\u{c9}VA"),
            ("ｂｏｂ", "bob"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("ﬁona", "Fiona"),
        ] {
            assert_eq!(parse(one).key(), parse(other).key(), "{one} {other}");
        }
        assert_ne!(parse("bob").key(), parse("bob b").key());
    }

    #[test]
    fn look_alikes_share_a_skeleton_but_no_key() {
        for (one, other) in
            [("paypal", "paypaI"), ("роса", "poca"), ("bob", "b0b"), ("ВЕТА", "BETA"), ("user1", "userl")]
        {
            let (one, other) = (parse(one), parse(other));
            assert_ne!(one.key(), other.key(), "{one} {other}");
            assert_eq!(one.skeleton(), other.skeleton(), "{one} {other}");
        }
        assert_ne!(parse("anna").skeleton(), parse("hanna").skeleton());
    }

    proptest! {
        #[test]
        fn an_accepted_name_parses_to_itself(text in "\\PC{0,40}") {
            if let Ok(name) = MemberName::parse(&text) {
                prop_assert_eq!(MemberName::parse(name.as_str()), Ok(name.clone()));
                let key = name.key();
                prop_assert_eq!(compatibility_fold(key.as_str()), key.as_str());
                prop_assert_eq!(crate::show::show(name.as_str()), name.as_str());
                prop_assert!(!key.as_str().contains(MEANT_IN_REFERENCES));
            }
        }
    }
}
