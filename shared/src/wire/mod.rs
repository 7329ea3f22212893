//! The wire protocol: this page is its specification, the types below are its letter.
//!
//! # Participants
//! A **tracker** listens on one UDP port, and on a second one for [probes](reach). A **device** (an installation of the
//! client, belonging to a member) holds one connection to the tracker and any number to other devices, all from one UDP
//! socket per address family. Where UDP is blocked, it reaches the tracker through the tracker's web port, and
//! others through the tracker.
//!
//! # Goals and non-goals
//! Goals: everything is bounded before it is decoded; a short file never looks complete; a wrong byte is noticed
//! within one group of 16 KiB and its sender is known; the protocol only grows. Non-goals: anonymity, hiding the
//! size of a transfer, transport of anything but requests, events and blobs.
//!
//! # Connections
//! | ALPN | who dials whom | certificates |
//! |---|---|---|
//! | [`TRACKER_ALPN`] | device → tracker | the tracker's, below the authority pinned by the join link; the device shows none |
//! | [`PEER_ALPN`] | device → device | both show their device certificates from the tracker's authority (mutual TLS) |
//! | [`PROBE_ALPN`] | device → tracker's second port | as for the tracker |
//!
//! TLS 1.3 only; no resumption, no 0-RTT. The server name is a constant ([`TRACKER_NAME`], [`PEER_NAME`]), because a
//! name in the first packet is readable by anyone; a device certificate carries `swapmeet:device:ID` and
//! `swapmeet:account:ID` as URI names, and each end checks that it reached the device it meant.
//! Because a dialer's handshake ends before the acceptor has checked its certificate, the dialer's first stream is
//! always a hello that the other side answers ([`tracker::Request::Hello`], [`peer::Open::Hello`]).
//!
//! # Without UDP
//! The tracker's web port speaks HTTP/1.1 in TLS 1.3 ([`WEB_ALPN`]) with a certificate of the same authority, which the
//! device pins in the same way. `GET` [`TUNNEL_PATH`] with `Upgrade: connect-udp` (RFC 9298) turns the TLS connection
//! into a tunnel: both sides then send the datagrams of the very QUIC connection described here in capsules (RFC 9297),
//! so that sign-in, requests, events, grants and verification are the same. The path names the tracker itself; a tunnel
//! leads nowhere else. Datagrams in it have up to [`crate::limits::DATAGRAM_BYTES_MAX`] bytes from the first one on.
//!
//! # Streams
//! One bidirectional stream is one request. A message is a frame: its length as `u32` little endian, then that many
//! bytes of [postcard](https://postcard.jamesmunns.com/wire-format). The reader refuses a length above the limit of
//! the message it expects ([`crate::limits`]) before it reads on, and refuses bytes left over after decoding.
//! - **Requests** to the tracker: one [`tracker::Request`] frame, then the sender finishes; one [`tracker::Answer`]
//!   frame comes back, then the tracker finishes.
//! - **Events**: after [`tracker::Request::Subscribe`] and its answer the tracker goes on to send
//!   [`tracker::Event`] frames until either side ends. A reader that falls behind gets `Resync` and must ask anew.
//! - **Fetch**: see [`peer`]. The same stream runs between devices (after [`peer::Open::Fetch`]), from device to
//!   tracker for a stored copy ([`tracker::Request::Fetch`]), and from tracker to device when the tracker takes a
//!   copy (the tracker opens the stream with [`peer::Open::Fetch`] on the device's own connection).
//! - **Channel**: two members' devices talk without the tracker; see [`channel`].
//! - **Messages**: requests and events like the others; what is in them is told in [`message`].
//! - **Relay**: after [`tracker::Request::Relay`] and its answer the stream leads to another device, sealed for it by
//!   TLS of its own; see [`peer`].
//!
//! # Ends
//! A finished stream is complete. A sender that gives up **resets** with a [`Code`] number; dropping a stream without
//! finishing resets it too, so that a cancelled transfer never looks like a short file. A reader that loses interest
//! stops the stream with [`Code::Cancelled`]. Connections close with the same numbers; 0 is a normal goodbye.
//!
//! # Identity
//! A device proves its key by signing `context ‖ exported`, where `exported` is 32 bytes exported from the TLS
//! session (RFC 8446, section 7.5) under [`EXPORTER_LABEL`]: a proof is worth nothing on any other connection.
//! Of a signing request only the public key is used; the tracker writes every other field of the certificate.
//! What a source serves is decided by a [`grant::SignedGrant`]; of files with a password see [`protected`].
//!
//! # Evolution
//! Postcard is positional. Enum variants are only appended, fields of a message never change; anything else needs a
//! new ALPN. An unknown variant is answered with [`Code::Unsupported`] and ends that stream only. Golden bytes in
//! the tests freeze every message.

pub mod account;
pub mod channel;
pub mod codec;
pub mod grant;
pub mod inbox;
pub mod message;
pub mod peer;
pub mod people;
pub mod protected;
pub mod reach;
mod refusal;
pub mod tracker;

pub use refusal::{Code, Refusal};

/// Protocol between device and tracker.
pub const TRACKER_ALPN: &[u8] = b"swapmeet-tracker/1";
/// Protocol between two devices.
pub const PEER_ALPN: &[u8] = b"swapmeet-peer/1";
/// Protocol between a device and the tracker's second port.
pub const PROBE_ALPN: &[u8] = b"swapmeet-probe/1";
/// Protocol at the tracker's web port.
pub const WEB_ALPN: &[u8] = b"http/1.1";
/// Where a tunnel to the tracker begins: the template of RFC 9298, section 3, for [`TRACKER_NAME`] and its usual port.
pub const TUNNEL_PATH: &str = "/.well-known/masque/udp/tracker.swapmeet.invalid/7443/";
/// What the web port is asked to upgrade to (RFC 9298, section 3.2).
pub const TUNNEL_PROTOCOL: &str = "connect-udp";
/// Server name of every tracker; never resolved.
pub const TRACKER_NAME: &str = "tracker.swapmeet.invalid";
/// Server name of every device; never resolved.
pub const PEER_NAME: &str = "peer.swapmeet.invalid";
/// Label under which both ends export keying material for a proof.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-swapmeet-device-proof";
/// What a device signs when it enrols its key, before the exported bytes.
pub const ENROL_CONTEXT: &[u8] = b"swapmeet enrol 1\0";
/// What a device signs when it signs in by its key, before the exported bytes.
pub const SIGN_IN_CONTEXT: &[u8] = b"swapmeet sign-in 1\0";

#[cfg(test)]
mod golden;
