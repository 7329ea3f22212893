//! What the tests of this room share.

use std::time::Instant;

/// Some moment to count from: only differences count.
pub(super) fn epoch() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "there is no other way to make an instant")]
    Instant::now()
}
