//! Fetching one blob over one lane into a partial file: how the tracker takes its copies.

use std::{io, ops::Range, sync::Arc};

use tokio::time::timeout;

use super::{
    lane::{Job, Lane, LaneError, LaneEvent, Order, Sink},
    partial::Partial,
};
use crate::{
    content::{GroupSet, ParentNode},
    limits::{GROUP_BYTES, SLICE_BYTES, SLICES_IN_FLIGHT_MAX, SOURCE_STALL, WANT_RANGES_MAX},
    wire::Refusal,
};

/// Writes verified groups into a partial file.
#[derive(Debug, Clone)]
pub struct PartialSink(pub Arc<Partial>);

impl Sink for PartialSink {
    fn write(&mut self, groups: Range<u64>, data: &[u8], parents: &[(u64, ParentNode)]) -> io::Result<()> {
        self.0.write(groups, data, parents)
    }
}

/// Why a blob did not come whole. What came stays in the partial file.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The source does not serve it.
    #[error("the source refused: {0}")]
    Refused(Refusal),
    /// The lane ended.
    #[error(transparent)]
    Lane(#[from] LaneError),
    /// Nothing came for too long.
    #[error("the source sends nothing")]
    Stalled,
}

/// The first part of what is missing that makes one want: bounded in bytes and in ranges.
#[must_use]
pub fn next_slice(missing: &GroupSet, bytes_max: u64) -> GroupSet {
    let slice = missing.first((bytes_max / GROUP_BYTES).max(1));
    let mut bounded = GroupSet::new();
    for range in slice.ranges().take(WANT_RANGES_MAX) {
        bounded.insert(range.clone());
    }
    bounded
}

/// Fetches what is missing of a blob. The lane is used up.
///
/// # Errors
/// See [`FetchError`].
pub async fn fetch_blob(mut lane: Lane, partial: Arc<Partial>) -> Result<(), FetchError> {
    let layout = partial.layout();
    let mut missing = partial.have().missing_in(0..layout.groups());
    let mut in_flight = 0;
    let mut number = 0;
    loop {
        while in_flight < SLICES_IN_FLIGHT_MAX && !missing.is_empty() {
            let groups = next_slice(&missing, SLICE_BYTES);
            missing.subtract(&groups);
            number += 1;
            let sink = Box::new(PartialSink(partial.clone()));
            let job = Job { id: number, blob: partial.blob(), layout, groups, tree: None, sink };
            if !lane.order(Order::Job(job)).await {
                break;
            }
            in_flight += 1;
        }
        if missing.is_empty() {
            lane.finish();
        }
        match timeout(SOURCE_STALL, lane.event()).await {
            // Whoever stands in line hears so every few seconds.
            Ok(Some(LaneEvent::Verified { .. } | LaneEvent::Queued { .. })) => {}
            Ok(Some(LaneEvent::Done { .. })) => in_flight -= 1,
            Ok(Some(LaneEvent::Refused { refusal, .. })) => return Err(FetchError::Refused(refusal)),
            Ok(None) => {
                lane.outcome().await?;
                return if partial.is_complete() { Ok(()) } else { Err(LaneError::Stopped.into()) };
            }
            Err(_) => return Err(FetchError::Stalled),
        }
    }
}
