//! What all TLS configurations have in common: ring, TLS 1.3, nothing resumed.

use std::sync::{Arc, LazyLock};

use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier, client::Resumption,
    crypto::CryptoProvider, pki_types::CertificateDer, server::NoServerSessionStorage, version::TLS13,
};

use crate::CertsError;

/// The only cryptography used, named explicitly wherever rustls would look for a default.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    PROVIDER.clone()
}

pub(crate) fn client() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, CertsError> {
    Ok(ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?)
}

pub(crate) fn server() -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, CertsError> {
    Ok(ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?)
}

pub(crate) fn finish_client(mut config: ClientConfig, alpn: &[u8]) -> ClientConfig {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config
}

pub(crate) fn finish_server(mut config: ServerConfig, alpn: &[&[u8]]) -> ServerConfig {
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config
}

/// Trust in one authority and nobody else.
pub(crate) fn roots(authority: &CertificateDer<'_>) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone().into_owned())?;
    Ok(roots)
}
