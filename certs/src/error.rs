//! What can go wrong with keys and certificates.

use std::{io, path::PathBuf};

/// What is wrong with a key, a certificate or the file that it is in.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// The file or folder cannot be read or written.
    #[error("{} cannot be used: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A secret lies open.
    #[error("{} can be read by other users (mode {mode:03o}): run `chmod 600` on it, and replace the key if somebody may have read it", path.display())]
    ReadableByOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is too large, a folder or a device, or does not hold an Ed25519 key.
    #[error("{} does not hold an Ed25519 key (PKCS#8, PEM)", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// The file is too large, a folder or a device, or does not hold an X25519 key.
    #[error("{} does not hold an X25519 key (64 hexadecimal digits)", path.display())]
    NotASealingKey {
        /// The file.
        path: PathBuf,
    },
    /// The file is too large, a folder or a device, or does not hold a certificate.
    #[error("{} does not hold a certificate (PEM)", path.display())]
    NotACertificate {
        /// The file.
        path: PathBuf,
    },
    /// The authority's certificate is there without its key. A new key would be another authority.
    #[error("{} is missing, but its certificate is there: restore the key from a backup", path.display())]
    KeyMissing {
        /// The missing file.
        path: PathBuf,
    },
    /// A certificate and a key do not belong together.
    #[error("the certificate belongs to another key")]
    OtherKey,
    /// The time is outside what a certificate can say.
    #[error("the time is outside the range of certificates")]
    Time,
    /// A certificate that does not name exactly one member and one device.
    #[error("not a member's certificate: {0}")]
    NotAMember(&'static str),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// A certificate cannot be read.
    #[error("the certificate cannot be read: {0}")]
    Certificate(#[from] webpki::Error),
    /// A certificate cannot be made.
    #[error("the certificate cannot be made: {0}")]
    Issue(#[from] rcgen::Error),
    /// rustls does not take the key, certificate or protocol.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The authority's certificate is no trust anchor.
    #[error("the authority cannot be trusted: {0}")]
    Anchor(#[from] rustls::server::VerifierBuilderError),
}

impl CertsError {
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}
