//! Names and paths, checked once where they enter: from a person, from another machine, from a local folder.
//!
//! Owns the rules of what a name may be ([`MemberName`], [`FileName`], [`IndexPath`]), when two of them are the same
//! ([`NameKey`], [`FoldKey`], [`Collisions`]), which ones deserve a warning ([`hazard`]) and what a file is called when
//! its name is taken ([`numbered`]). Never touches a disk: that a path cannot leave its folder is ensured again by
//! directory handles, in the `jail` of `transfer`, and not only by these checks.

mod collisions;
mod hazard;
mod member;
mod numbered;
mod path;

pub use collisions::{Collision, Collisions};
pub use hazard::{Hazard, hazard};
pub use member::{MemberName, NameKey};
pub use numbered::numbered;
pub use path::{FileName, FoldKey, IndexPath, Platform, Portability};

use crate::show::show_char;

/// Why a name or path is refused. Never holds the text itself, so it can be shown and sent as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left, or a path has an empty component.
    #[error("it is empty, or begins, ends or continues with a second slash")]
    Empty,
    /// Fewer characters than a member's name needs.
    #[error("it has fewer than {chars_min} characters")]
    TooShort {
        /// Characters that are needed.
        chars_min: usize,
    },
    /// More characters than a member's name may have.
    #[error("it has more than {chars_max} characters")]
    TooManyChars {
        /// Characters that are allowed.
        chars_max: usize,
    },
    /// More bytes than a name or path may have.
    #[error("it has more than {bytes_max} bytes")]
    TooManyBytes {
        /// Bytes of UTF-8 that are allowed.
        bytes_max: usize,
    },
    /// More folders within folders than allowed.
    #[error("it is nested deeper than {depth_max} folders")]
    TooDeep {
        /// Components that are allowed.
        depth_max: usize,
    },
    /// `.` or `..`.
    #[error("`.` and `..` are not names")]
    Dots,
    /// An absolute path, or a drive or share in front of it.
    #[error("it is not a path relative to its folder")]
    NotRelative,
    /// A local name that is not UTF-8 and so cannot be told to others.
    #[error("its name is not valid UTF-8")]
    NotUtf8,
    /// A character that has no place in this kind of name.
    #[error("the character {} is not allowed in it", show_char(*.0))]
    Character(char),
    /// A character that has no place at the beginning of a member's name.
    #[error("it must not begin with {}", show_char(*.0))]
    Beginning(char),
    /// A member's name without a single letter or digit.
    #[error("it has no letter or digit")]
    NoLetter,
    /// Two spaces in a row in a member's name.
    #[error("it has two spaces in a row")]
    DoubleSpace,
    /// More combining marks on a letter than any script needs.
    #[error("it piles more than {marks_max} marks on one letter")]
    MarkPile {
        /// Combining marks that are allowed on one letter.
        marks_max: usize,
    },
    /// Letters of scripts that are not written together, such as Latin and Cyrillic.
    #[error("it mixes letters of different scripts that can be mistaken for each other")]
    MixedScripts,
}
