//! Pinning: a client accepts the tracker whose authority has the fingerprint of the join link, and no other.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{self, WebPkiSupportedAlgorithms},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use crate::{CertsError, Fingerprint, names::TRACKER_NAME, tls};

/// A configuration to connect to the tracker below the authority with this fingerprint, and where to look up which
/// authority the last server presented. Connect under the name [`TRACKER_NAME`]; no client certificate is shown.
///
/// # Errors
/// When rustls cannot be set up.
pub fn tracker_client_config(pin: Fingerprint, alpn: &[u8]) -> Result<(ClientConfig, Arc<SeenAuthority>), CertsError> {
    let seen = Arc::new(SeenAuthority::default());
    let algorithms = tls::provider().signature_verification_algorithms;
    let verifier = PinnedAuthority { pin, seen: seen.clone(), algorithms };
    let config = tls::client()?.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
    Ok((tls::finish_client(config, alpn), seen))
}

/// The authority that the last server presented, which it need not own: good for showing to a person, nothing else.
#[derive(Debug, Default)]
pub struct SeenAuthority(Mutex<Option<Fingerprint>>);

impl SeenAuthority {
    /// The fingerprint presented last, or nothing while no server has presented one.
    #[must_use]
    pub fn get(&self) -> Option<Fingerprint> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, fingerprint: Fingerprint) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(fingerprint);
    }
}

/// The server is below another authority than the pinned one. Found inside the [`rustls::Error`] of the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongAuthority {
    /// What the join link says.
    pub pinned: Fingerprint,
    /// What the server presented.
    pub presented: Fingerprint,
}

impl fmt::Display for WrongAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the tracker's fingerprint is {}, not {}", self.presented, self.pinned)
    }
}

impl std::error::Error for WrongAuthority {}

#[derive(Debug)]
struct PinnedAuthority {
    pin: Fingerprint,
    seen: Arc<SeenAuthority>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned = intermediates.iter().find(|certificate| Fingerprint::of_certificate(certificate) == self.pin);
        let Some(authority) = pinned else {
            // An honest server sends its authority last.
            let presented = Fingerprint::of_certificate(intermediates.last().unwrap_or(end_entity));
            self.seen.set(presented);
            let wrong = WrongAuthority { pinned: self.pin, presented };
            return Err(CertificateError::Other(OtherError(Arc::new(wrong))).into());
        };
        self.seen.set(self.pin);
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let roots = tls::roots(authority)?;
        verify_server_cert_signed_by_trust_anchor(&certificate, &roots, &[], now, self.algorithms.all)?;
        // Not the name dialled: whatever the caller asks for, a member's device is no tracker.
        let name = ServerName::try_from(TRACKER_NAME).map_err(|_| CertificateError::NotValidForName)?;
        verify_server_name(&certificate, &name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
