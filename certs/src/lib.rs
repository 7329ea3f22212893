//! Who is who: the tracker's authority, the devices' keys and certificates, fingerprints and pinning, and the TLS
//! configurations made from them.
//!
//! Owns every certificate and private key of Swapmeet, on disk and in memory. Never opens a socket, never reads the
//! clock (time comes in, except inside rustls, which checks certificates against the system's clock) and knows no
//! message of the protocol.
//!
//! - The tracker opens an [`Authority`]. Its [`Fingerprint`] is part of the join link, so a client's first connection
//!   is already pinned ([`tracker_client_config`]).
//! - A device makes its [`SigningKey`] once. The authority certifies that key and nothing else that the device says
//!   ([`Authority::issue_device`]); a certificate lives for hours and is replaced in place ([`PeerCredentials`]).
//! - What others seal for a device opens with its [`SealingKey`] alone.
//! - Between members both ends show certificates of the same authority; [`peer_identity`] reads who it is.
//!
//! TLS 1.3 only, and nothing is resumed: no tickets, no early data. Otherwise a session could outlive the certificate
//! that it was opened with.

mod authority;
mod error;
mod fingerprint;
mod identity;
mod key;
mod peer;
mod pin;
mod sealing;
mod secret_file;
mod tls;

#[cfg(test)]
mod handshake_tests;

pub mod names;

pub use authority::Authority;
pub use error::CertsError;
pub use fingerprint::{Fingerprint, ParseFingerprintError};
pub use identity::{PeerIdentity, peer_identity, public_key};
pub use key::{SigningKey, verify};
pub use peer::PeerCredentials;
pub use pin::{SeenAuthority, WrongAuthority, tracker_client_config};
pub use rustls::pki_types::CertificateDer;
pub use sealing::{DoesNotOpen, SEAL_OVERHEAD_BYTES, SealingKey, fresh, seal};
