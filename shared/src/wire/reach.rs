//! Messages by which two devices come together.
//!
//! # Finding out how a NAT maps
//! The tracker listens on a second port. A device that got a ticket ([`super::tracker::Request::Ticket`]) dials it
//! with [`super::PROBE_ALPN`] from the same socket as its connection to the tracker, says [`ProbeRequest::Observe`],
//! and is told what the tracker saw. Another address or port than on the connection means a symmetric NAT. A device
//! does the same from its socket of the other address family, so that the tracker knows it by both.
//!
//! # Introduction
//! A device that cannot dial another one asks for an introduction ([`super::tracker::Request::Introduce`]). Both are
//! told the same moment, each by its own distance from the tracker, and their roles: one dials, the other sends small
//! packets that no endpoint takes for anything, so that its NAT lets the dialer in. Only addresses that the tracker
//! sees are named, and local ones only between devices on one network: nobody can be aimed at a stranger.
//!
//! The second attempt comes from fresh sockets. Each side dials the second port from one, says [`ProbeRequest::Meet`]
//! with its token, and gets its [`Rendezvous`] there once both have come.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::id::DeviceId;

/// Bytes that cannot be guessed, good for one thing.
pub type Token = [u8; 16];

/// How a device's NAT gives out ports (RFC 4787, section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mapping {
    /// Not found out.
    Unknown,
    /// There is no NAT: the device is seen at an address of its own.
    Open,
    /// One port for all destinations.
    Independent,
    /// Another port for each destination.
    Symmetric,
}

/// What a device does at the common moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// It dials the candidates.
    Dial,
    /// It opens its NAT towards the candidates, and accepts.
    Await,
}

/// Which try of a pair it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Attempt {
    /// From the sockets that everything goes through.
    First,
    /// From fresh ones: what a NAT remembers of the first attempt does not count for them.
    FreshSockets,
}

/// Where and when two devices meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendezvous {
    /// What to do.
    pub role: Role,
    /// Addresses of the other device, best first; at most [`crate::limits::ADDRESSES_MAX`].
    pub candidates: Vec<SocketAddr>,
    /// When, in milliseconds from the arrival of this message.
    pub start_in_ms: u32,
}

/// A device is introduced to another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// The other device.
    pub device: DeviceId,
    /// How they meet.
    pub way: Way,
}

/// How two devices meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// From the sockets that everything goes through.
    Here(Rendezvous),
    /// From fresh ones, which first show themselves at the tracker's second port.
    FreshSockets {
        /// For [`ProbeRequest::Meet`].
        token: Token,
    },
}

/// The one request of a connection to the tracker's second port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeRequest {
    /// Where does this socket seem to be? Answered with [`ProbeAnswer::Observed`].
    Observe {
        /// Who asks.
        device: DeviceId,
        /// Its ticket.
        ticket: Token,
    },
    /// This fresh socket is one side of a meeting. Answered with [`ProbeAnswer::Met`] when the other side has come.
    Meet {
        /// From the introduction.
        token: Token,
    },
}

/// What the second port answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeAnswer {
    /// The token means nothing, or the other side did not come.
    Refused(Refusal),
    /// To `Observe`.
    Observed {
        /// The address that this connection comes from.
        address: SocketAddr,
        /// What the tracker concludes from both.
        mapping: Mapping,
    },
    /// To `Meet`.
    Met(Rendezvous),
}
