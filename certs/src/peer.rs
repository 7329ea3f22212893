//! A device's side of connections between members.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SignatureScheme,
    client::{ResolvesClientCert, WebPkiServerVerifier},
    pki_types::CertificateDer,
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};

use crate::{CertsError, SigningKey, peer_identity, public_key, tls};

/// A device's key, its certificate of the moment and the authority that it trusts. Cloning shares them: a certificate
/// replaced here is used by the next handshake of every configuration made from any clone.
#[derive(Clone)]
pub struct PeerCredentials {
    key: SigningKey,
    current: Arc<Current>,
    roots: Arc<RootCertStore>,
}

impl PeerCredentials {
    /// Credentials of the device with this key.
    ///
    /// # Errors
    /// When the certificate is not a member's or belongs to another key, or the authority's cannot be read.
    pub fn new(
        key: &SigningKey,
        certificate: CertificateDer<'static>,
        authority: CertificateDer<'static>,
    ) -> Result<Self, CertsError> {
        let certified = certify(key, certificate)?;
        Ok(Self {
            key: key.clone(),
            current: Arc::new(Current(RwLock::new(certified))),
            roots: Arc::new(tls::roots(&authority)?),
        })
    }

    /// Shows this certificate from the next handshake on. Open connections go on with the one they began with.
    ///
    /// # Errors
    /// When the certificate is not a member's or belongs to another key; then the present one stays.
    pub fn replace_certificate(&self, certificate: CertificateDer<'static>) -> Result<(), CertsError> {
        let certified = certify(&self.key, certificate)?;
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = certified;
        Ok(())
    }

    /// A configuration to be dialled by members. Whoever shows no certificate of the authority is refused.
    ///
    /// # Errors
    /// When rustls cannot be set up.
    pub fn server_config(&self, alpn: &[u8]) -> Result<ServerConfig, CertsError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots.clone(), tls::provider()).build()?;
        let config = tls::server()?.with_client_cert_verifier(verifier).with_cert_resolver(self.current.clone());
        Ok(tls::finish_server(config, &[alpn]))
    }

    /// A configuration to dial members under the name [`crate::names::PEER_NAME`].
    ///
    /// # Errors
    /// When rustls cannot be set up.
    pub fn client_config(&self, alpn: &[u8]) -> Result<ClientConfig, CertsError> {
        let verifier = WebPkiServerVerifier::builder_with_provider(self.roots.clone(), tls::provider()).build()?;
        let config = tls::client()?.with_webpki_verifier(verifier).with_client_cert_resolver(self.current.clone());
        Ok(tls::finish_client(config, alpn))
    }
}

impl fmt::Debug for PeerCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerCredentials").finish_non_exhaustive()
    }
}

fn certify(key: &SigningKey, certificate: CertificateDer<'static>) -> Result<Arc<CertifiedKey>, CertsError> {
    peer_identity(&certificate)?;
    if public_key(&certificate)? != key.public() {
        return Err(CertsError::OtherKey);
    }
    Ok(Arc::new(CertifiedKey::new(vec![certificate], key.for_tls()?)))
}

/// The certificate of the moment, for both roles.
struct Current(RwLock<Arc<CertifiedKey>>);

impl Current {
    fn certified(&self) -> Arc<CertifiedKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current(…)")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }
}

impl ResolvesClientCert for Current {
    fn resolve(&self, _root_hint_subjects: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
