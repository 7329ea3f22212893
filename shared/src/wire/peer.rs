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
//!
//! # The relayed stream
//! Where two devices cannot reach each other, the tracker splices a stream of one
//! ([`super::tracker::Request::Relay`]) to a stream that it opens to the other ([`Open::Relayed`]). When both are
//! answered, the asking device is the TLS client and the other one the server of a TLS 1.3 session between them, with
//! [`super::PEER_ALPN`] and the same certificates as on a direct connection. Inside, the client sends [`Open::Fetch`],
//! and the fetch stream runs as above, or [`Open::Channel`]. A half ends well with TLS's `close_notify` and the end of the stream, in that
//! order; any other end means that something is missing. A reset or stop is passed on as it is.

use serde::{Deserialize, Serialize};

use super::{Refusal, channel::OpenChannel, grant::SignedGrant};
use crate::{
    content::{GroupSet, Layout},
    id::{BlobHash, DeviceId},
};

/// The first frame of a stream between devices, or of one that the tracker opens to a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Open {
    /// First stream of a connection: the dialer says hello; answered with one [`HelloAnswer`].
    Hello(Hello),
    /// A fetch stream begins.
    Fetch,
    /// Asks what the other end has of a blob, now and from now on. Answered with [`Having`] messages until it has all
    /// of it; then the stream is finished. Reset when it does not serve the blob, or no longer.
    Watch(Watch),
    /// On a stream that the tracker opens: what follows comes from this device, relayed. Answered with one
    /// [`RelayedAnswer`].
    Relayed {
        /// Who the tracker says is at the other end. The certificate inside must name the same.
        from: DeviceId,
    },
    /// A private channel begins: see [`super::channel`].
    Channel(OpenChannel),
}

/// Which blob is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Allows this device the blob.
    pub grant: SignedGrant,
    /// The content.
    pub blob: BlobHash,
    /// Its size in bytes, as the index says.
    pub size: u64,
}

/// What a source has, in addition to what it said before on this stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Having {
    /// These groups of 16 KiB.
    Groups {
        /// Half-open, ascending, not touching, inside the blob. At most [`crate::limits::HAVE_RANGES_MAX`].
        groups: Vec<(u64, u64)>,
    },
    /// All of it. Nothing follows.
    Whole,
}

/// What a device says to a relayed stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RelayedAnswer {
    /// The TLS handshake may begin.
    Accepted,
    /// Not now.
    Refused(Refusal),
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
    /// Asks for the top of one blob's hash tree, to find out what of it is known from elsewhere. Answered in its turn
    /// with one [`FetchReply`] and, after [`FetchReply::Serving`], the nodes over the groups, pre-order, 64 bytes each,
    /// down to subtrees of at most 2^`height` groups that are all among them.
    WantTree {
        /// Of what.
        want: Want,
        /// Down to where.
        height: u8,
    },
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

impl Want {
    /// The groups wanted of a blob with this arithmetic; `None` when they are no groups of it.
    #[must_use]
    pub fn groups_in(&self, layout: Layout) -> Option<GroupSet> {
        if self.groups.is_empty() { Some(layout.all()) } else { GroupSet::from_wire(&self.groups, layout.groups()) }
    }
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
