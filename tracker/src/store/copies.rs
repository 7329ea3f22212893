//! Copies of files that their owners want the tracker to have, as use cases.
//!
//! A copy is one object for a content, and each member who wants it makes a claim of its own. A claim counts once the
//! tracker got the content from that member's devices, or knows that the member may fetch it from somebody whose claim
//! counts: whoever knows only the hash of a content gets nothing by claiming it.

use async_trait::async_trait;
use shared::id::{AccountId, BlobHash, DeviceId, FileId};

use super::{Caller, Effects, StoreError, Withdrawn};

/// What the tracker remembers of copies.
#[async_trait]
pub trait CopyStore {
    /// Notes that copies of the caller's files are wanted.
    async fn keep_copies(&self, caller: &Caller, files: &[FileId], now_ms: i64) -> Result<Kept, StoreError>;
    /// Notes that copies of the caller's files are no longer wanted.
    async fn drop_copies(&self, caller: &Caller, files: &[FileId]) -> Result<Withdrawn, StoreError>;
    /// Claims that do not count yet, oldest first, behind the given place of the page before.
    async fn pending_copies(&self, after: Option<&PendingCopy>) -> Result<Vec<PendingCopy>, StoreError>;
    /// Who claims this content without that it counts yet, and of which size.
    async fn pending_claims(&self, blob: BlobHash) -> Result<Vec<(AccountId, u64)>, StoreError>;
    /// Copies whose objects are to be deleted.
    async fn unwanted_copies(&self) -> Result<Vec<BlobHash>, StoreError>;
    /// The object of an unwanted copy is gone; the row goes too, unless it is wanted again.
    async fn copy_deleted(&self, blob: BlobHash) -> Result<(), StoreError>;
    /// The object is stored, and its claimant had it. Tells which files have a copy now that had none, and their owners;
    /// none: it is no longer wanted.
    async fn copy_stored(&self, copy: &PendingCopy) -> Result<CopyEnd, StoreError>;
    /// This claim will not be tried again. Tells which files it was for.
    async fn copy_failed(&self, copy: &PendingCopy) -> Result<CopyEnd, StoreError>;
    /// The size of a stored copy, if some file of this content that the copy is for lets the device's member have it.
    async fn copy_for(&self, device: DeviceId, blob: BlobHash) -> Result<Option<u64>, StoreError>;
    /// Which of these copies count as stored.
    async fn stored_among(&self, blobs: &[BlobHash]) -> Result<Vec<BlobHash>, StoreError>;
    /// All copies that should have an object, a page in order behind `after`.
    async fn stored_copies(&self, after: Option<BlobHash>) -> Result<Vec<(BlobHash, u64)>, StoreError>;
    /// The object of a copy turned out to be missing or damaged: it is fetched again when possible.
    async fn copy_lost(&self, blob: BlobHash, now_ms: i64) -> Result<(), StoreError>;
}

/// A member's claim to a copy: the content is to be fetched from its devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingCopy {
    /// The content.
    pub blob: BlobHash,
    /// Bytes.
    pub size: u64,
    /// When it was asked for.
    pub asked_ms: i64,
    /// Who wants it.
    pub account: AccountId,
    /// Whether the object is there, and only the claim is to be proved.
    pub stored: bool,
    /// The member's devices that share the content.
    pub devices: Vec<DeviceId>,
}

/// Which files a copy was for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyEnd {
    /// Files and their owners.
    pub files: Vec<(FileId, AccountId)>,
    /// Newest sequence number, when listed files changed.
    pub seq: Option<u64>,
}

/// What asking for copies did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// How many files were affected.
    pub count: u64,
    /// Files whose copy is stored already.
    pub stored: Vec<FileId>,
    /// What else follows from it.
    pub effects: Effects,
}
