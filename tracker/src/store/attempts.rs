//! What the store remembers of wrong passwords, so that whoever restarts with the tracker does not start with new tries.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;

use super::StoreError;
use crate::attempts::Guesses;

/// Wrong passwords by account and address.
#[async_trait]
pub trait AttemptStore {
    /// Writes down how many there are now; the higher of two counts stays. Those whose last one is longer ago than
    /// `memory` are forgotten, and of too many the oldest.
    async fn note_guesses(&self, guesses: Guesses, memory: Duration) -> Result<(), StoreError>;
    /// The right one was given.
    async fn forget_guesses(&self, name_key: &str, address: IpAddr) -> Result<(), StoreError>;
    /// Those that are not forgotten. What was written in the future of this clock is taken to be from now.
    async fn recall_guesses(&self, now_ms: i64, memory: Duration) -> Result<Vec<Guesses>, StoreError>;
}
