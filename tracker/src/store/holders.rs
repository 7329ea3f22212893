//! What members who hold contents without sharing them may tell of, as use cases.

use std::collections::BTreeSet;

use async_trait::async_trait;
use shared::id::{AccountId, FileId};

use super::{Caller, StoreError};
use crate::holdings::Content;

/// What is known of the files as which contents were fetched.
#[async_trait]
pub trait HolderStore {
    /// Of each of these members, who fetched one content as these files, whether the caller, who may fetch it as `file`,
    /// may have it from them: only if the caller may fetch everything that they may have got it as. Otherwise whoever
    /// publishes a hash that it knows would be given the content by those who fetched it from somebody else.
    async fn open_holders(
        &self,
        caller: &Caller,
        file: FileId,
        content: Content,
        holders: &[(AccountId, BTreeSet<FileId>)],
    ) -> Result<Vec<bool>, StoreError>;
    /// Which of these files belong to one of these members.
    async fn files_among(&self, files: &[FileId], owners: [AccountId; 2]) -> Result<Vec<FileId>, StoreError>;
}
