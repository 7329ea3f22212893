//! How fast bytes of a stream may go, and whose turn it is: what serving and fetching ask before they go on. Decides
//! nothing itself; [`Unlimited`] never holds anything up.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use crate::wire::peer::Queued;

/// The limits that hold for one stream, at every moment anew.
#[async_trait]
pub trait Pace: Send + Sync + Debug {
    /// Waits until some of these bytes may go, and says how many: at least one, at most all. Safe to cancel.
    async fn pass(&self, bytes: u64) -> u64;

    /// A turn for one want that is too large to be served in passing. Dropping it gives the turn to the next.
    fn turn(&self) -> Box<dyn Turn>;
}

/// A turn that was asked for.
#[async_trait]
pub trait Turn: Send + Sync + Debug {
    /// Waits for the turn: `None` when it has come, else where it stands in line by now. To be asked until it has come.
    /// Safe to cancel.
    async fn come(&mut self) -> Option<Queued>;

    /// Bytes were sent in it. `false`: it has lasted so long that it is over, whatever is left.
    fn sent(&mut self, bytes: u64) -> bool;
}

/// No limits.
#[derive(Debug, Clone, Copy)]
pub struct Unlimited;

impl Unlimited {
    /// As what streams take.
    #[must_use]
    pub fn pace() -> Arc<dyn Pace> {
        Arc::new(Self)
    }
}

#[async_trait]
impl Pace for Unlimited {
    async fn pass(&self, bytes: u64) -> u64 {
        bytes
    }

    fn turn(&self) -> Box<dyn Turn> {
        Box::new(Self)
    }
}

#[async_trait]
impl Turn for Unlimited {
    async fn come(&mut self) -> Option<Queued> {
        None
    }

    fn sent(&mut self, _bytes: u64) -> bool {
        true
    }
}

/// Bytes of some pieces together.
pub(super) fn length(pieces: &[Bytes]) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}

/// Takes the first `bytes` off some pieces.
pub(super) fn take(pieces: &mut Vec<Bytes>, bytes: u64) -> Vec<Bytes> {
    let mut left = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut whole = 0;
    while let Some(piece) = pieces.get(whole)
        && piece.len() <= left
    {
        left -= piece.len();
        whole += 1;
    }
    let cut = match pieces.get_mut(whole) {
        Some(piece) if left > 0 => Some(piece.split_to(left)),
        Some(_) | None => None,
    };
    pieces.drain(..whole).chain(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_taken_off_to_the_byte_and_in_order() {
        let mut pieces: Vec<Bytes> = ["abc", "", "defg", "h"].map(|text| Bytes::from_static(text.as_bytes())).into();
        assert_eq!(length(&pieces), 8);
        assert_eq!(take(&mut pieces, 2).concat(), b"ab");
        assert_eq!(take(&mut pieces, 1).concat(), b"c");
        assert_eq!(take(&mut pieces, 4).concat(), b"defg");
        assert_eq!(take(&mut pieces, 100).concat(), b"h");
        assert!(pieces.is_empty());
    }
}
