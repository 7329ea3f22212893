//! Members who are hidden from each other, because one of them has blocked the other.

use shared::id::AccountId;

/// A member as another one sees it who is apart from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Apart {
    /// Who looks.
    pub viewer: AccountId,
    /// Who is hidden from the viewer.
    pub hidden: AccountId,
    /// When the viewer saw the hidden one last: it stays as it was when the two came apart.
    pub seen_ms: Option<i64>,
}

/// A block to be made, with who is connected at that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Who is blocked.
    pub member: AccountId,
    /// When the blocking member is seen last, if it is connected.
    pub own_seen_ms: Option<i64>,
    /// When the blocked one is, if it is connected.
    pub its_seen_ms: Option<i64>,
}

/// What beginning or ending a block did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parting {
    /// Whether the block was not there before, or was.
    pub changed: bool,
    /// Whether the two see each other differently now, as they do not while the other one's block lasts.
    pub moved: Option<Moved>,
}

/// Two members came apart or together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// Newest sequence number of the index, which looks different to both.
    pub seq: u64,
    /// Contents of the two with a copy: grants that were given before count no longer there.
    pub narrowed: Vec<shared::id::BlobHash>,
}
