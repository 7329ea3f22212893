//! Messages between two devices, and the fetch stream that every byte of a file travels on.
//!
//! # The fetch stream
//! After the opening frame the fetcher sends [`FetchFrame`]s: grants first, then wants, as many as it likes; it
//! finishes when it wants nothing more. The source answers **each want in order** with one [`FetchReply`] frame and,
//! after [`FetchReply::Serving`], the wanted ranges in verified streaming form. Before that it may send any number of
//! [`FetchReply::Queued`] while the want stands in line for an upload slot: at most one a second, and one at least
//! every few seconds, so that its fetcher knows it to be waiting and not silent. The form:
//! the BLAKE3 tree over groups of 16 KiB, pre-order, only the nodes that overlap the ranges, without a length prefix
//! (the encoding of the crate `bao-tree` with block size 4). Its length follows from size and ranges, so the next
//! reply begins right behind it. The source finishes after the last want.
//!
//! A blob of at most one group is sent as its bytes alone. An empty blob has no bytes.

use serde::{Deserialize, Serialize};

use super::{Refusal, grant::SignedGrant};
use crate::id::{BlobHash, DeviceId};

/// The first frame of a stream between devices, or of one that the tracker opens to a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Open {
    /// First stream of a connection: the dialer says hello; answered with one [`HelloAnswer`].
    Hello(Hello),
    /// A fetch stream begins.
    Fetch,
}

/// The dialer introduces itself; its identity is its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Name and version of the program, for logs.
    pub program: String,
    /// The device that the dialer means to reach.
    pub expects: DeviceId,
}

/// The acceptor has checked the dialer's certificate and serves it, or says why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HelloAnswer {
    /// Welcome.
    Accepted {
        /// Name and version of the program, for logs.
        program: String,
    },
    /// Not now, or not you.
    Refused(Refusal),
}

/// What the fetcher sends on a fetch stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FetchFrame {
    /// Allows the wants that follow. A stream may carry several; the tracker needs none from itself.
    Grant(SignedGrant),
    /// Asks for ranges of one blob.
    Want(Want),
}

/// Ranges of one blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// The content.
    pub blob: BlobHash,
    /// Its size in bytes, as the index says.
    pub size: u64,
    /// Groups of 16 KiB wanted: half-open, ascending, not touching, inside the blob. Empty means the whole blob.
    pub groups: Vec<(u64, u64)>,
}

/// The source's answer to one want.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FetchReply {
    /// The encoded ranges follow.
    Serving,
    /// Nothing follows for this want; the stream goes on with the next one.
    Refused(Refusal),
    /// The source serves others first; the answer to this want still comes.
    Queued(Queued),
}

/// Where a want stands in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// Its member's place: 1 is the next one to be served.
    pub position: u32,
    /// How long that will take, as far as the source can tell, milliseconds.
    pub wait_ms: Option<u64>,
}
