//! Who a certificate names.

use data_encoding::HEXLOWER;
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::{
    CertsError,
    names::{ACCOUNT_URI, DEVICE_URI, PEER_NAME},
};

/// A member and one of the member's devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerIdentity {
    /// The member.
    pub account: [u8; 16],
    /// The device.
    pub device: [u8; 16],
}

impl PeerIdentity {
    /// The two URIs that say this in a certificate.
    pub(crate) fn uris(&self) -> [String; 2] {
        [
            format!("{ACCOUNT_URI}{}", HEXLOWER.encode(&self.account)),
            format!("{DEVICE_URI}{}", HEXLOWER.encode(&self.device)),
        ]
    }
}

/// Reads who a member's certificate names. Only for a certificate that TLS has verified against the authority: by
/// itself this proves nothing.
///
/// # Errors
/// When it does not name exactly one member, one device and [`PEER_NAME`].
pub fn peer_identity(certificate: &CertificateDer<'_>) -> Result<PeerIdentity, CertsError> {
    let certificate = EndEntityCert::try_from(certificate)?;
    if !certificate.valid_dns_names().eq([PEER_NAME]) {
        return Err(CertsError::NotAMember("it does not carry exactly the name of a device"));
    }
    let (mut account, mut device) = (None, None);
    for uri in certificate.valid_uri_names() {
        let (slot, id) = if let Some(id) = uri.strip_prefix(ACCOUNT_URI) {
            (&mut account, id)
        } else if let Some(id) = uri.strip_prefix(DEVICE_URI) {
            (&mut device, id)
        } else {
            return Err(CertsError::NotAMember("it carries an unknown name"));
        };
        if slot.replace(parse_id(id)?).is_some() {
            return Err(CertsError::NotAMember("it names more than one member or device"));
        }
    }
    let (Some(account), Some(device)) = (account, device) else {
        return Err(CertsError::NotAMember("it does not name a member and a device"));
    };
    Ok(PeerIdentity { account, device })
}

/// The Ed25519 public key that a certificate certifies.
///
/// # Errors
/// When the certificate cannot be read or certifies a key of another kind.
pub fn public_key(certificate: &CertificateDer<'_>) -> Result<[u8; 32], CertsError> {
    let certificate = EndEntityCert::try_from(certificate)?;
    let info = certificate.subject_public_key_info();
    info.strip_prefix(&ED25519_INFO)
        .and_then(|key| key.try_into().ok())
        .ok_or(CertsError::Certificate(webpki::Error::BadDer))
}

fn parse_id(text: &str) -> Result<[u8; 16], CertsError> {
    let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or(CertsError::NotAMember("it carries an id that cannot be read"))
}

/// What comes before the key in the SubjectPublicKeyInfo of every Ed25519 key (RFC 8410, section 4).
const ED25519_INFO: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
