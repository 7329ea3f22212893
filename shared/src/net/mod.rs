//! Everything that touches quinn: sockets, transport settings, frames on streams, sealed streams. A newer quinn is a
//! change here.

pub mod capsule;
pub mod congestion;
pub mod endpoint;
pub mod frame;
pub mod sealed;
mod stream;
pub mod tunnel;
#[cfg(any(test, feature = "virtual-net"))]
pub mod virtual_net;

pub use stream::{Outgoing, Receiving, Sending};

use rustls::pki_types::CertificateDer;

use crate::{
    id::DeviceId,
    wire::{Code, EXPORTER_LABEL},
};

/// The connection cannot export keying material: its handshake is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection has no keying material yet")]
pub struct ExportError;

/// The bytes that a proof of a device's key on this connection covers.
///
/// # Errors
/// When the handshake is not over.
pub fn exported(connection: &quinn::Connection) -> Result<[u8; 32], ExportError> {
    let mut bytes = [0; 32];
    connection.export_keying_material(&mut bytes, EXPORTER_LABEL, &[]).map_err(|_| ExportError)?;
    Ok(bytes)
}

/// Who is at the other end of a connection between members, by the certificate that TLS has verified.
#[must_use]
pub fn peer_of(connection: &quinn::Connection) -> Option<(certs::PeerIdentity, DeviceId)> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    peer_in(&chain)
}

/// Who a chain of certificates that TLS has verified names.
fn peer_in(chain: &[CertificateDer<'static>]) -> Option<(certs::PeerIdentity, DeviceId)> {
    let certificate = chain.first()?;
    let who = certs::peer_identity(certificate).ok()?;
    let device = DeviceId(who.device);
    // The id names the key, so that a certificate cannot carry somebody else's id.
    (DeviceId::of_key(&certs::public_key(certificate).ok()?) == device).then_some((who, device))
}

/// Closes a connection with one of our codes.
pub fn close(connection: &quinn::Connection, code: Code) {
    connection.close(code.number().into(), code.name().as_bytes());
}

/// A code as the number of a reset or close.
#[must_use]
pub fn number(code: Code) -> quinn::VarInt {
    code.number().into()
}
