//! The tracker's authority: who its members' certificates come from.

use std::{
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, SanType, SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use time::OffsetDateTime;

use crate::{
    CertsError, Fingerprint, PeerIdentity, SigningKey,
    key::{CertifiedPublic, IssuingKey},
    names::{PEER_NAME, TRACKER_NAME},
    public_key,
    secret_file::{self, Found, Secrecy},
    tls,
};

/// The tracker's certificate authority, the key of its own QUIC port and the key that it signs grants with, in one
/// folder. Whoever can read the folder can be this tracker.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, IssuingKey>,
    server_key: SigningKey,
    grant_key: SigningKey,
}

impl Authority {
    /// Opens the authority in a folder, and makes what is missing: everything on the first start.
    ///
    /// An end at any moment leaves a folder that opens the next time. The key comes first and its certificate second;
    /// a certificate that is there always stays, because members have pinned it.
    ///
    /// # Errors
    /// When a file cannot be used, a key can be read by other users, the certificate is there without its key, or
    /// they do not belong together.
    pub fn open(dir: &Path, now: SystemTime) -> Result<Self, CertsError> {
        secret_file::create_folder(dir)?;
        let (key_path, certificate_path) = (dir.join(AUTHORITY_KEY), dir.join(AUTHORITY_CERTIFICATE));
        let (key, certificate) = match load_certificate(&certificate_path)? {
            Some(certificate) => {
                let key = SigningKey::load(&key_path)?.ok_or(CertsError::KeyMissing { path: key_path })?;
                (key, certificate)
            }
            None => {
                let key = SigningKey::open(&key_path)?;
                let certificate = create_certificate(&certificate_path, &key, now)?;
                (key, certificate)
            }
        };
        if public_key(&certificate)? != key.public() {
            return Err(CertsError::OtherKey);
        }
        tls::roots(&certificate)?;
        Ok(Self {
            issuer: Issuer::from_ca_cert_der(&certificate, IssuingKey(key))?,
            certificate,
            server_key: SigningKey::open(&dir.join(SERVER_KEY))?,
            grant_key: SigningKey::open(&dir.join(GRANT_KEY))?,
        })
    }

    /// What the join link pins.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_certificate(&self.certificate)
    }

    /// The authority's certificate, which members check each other's against.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The key that grants are signed with.
    #[must_use]
    pub fn grant_key(&self) -> &SigningKey {
        &self.grant_key
    }

    /// A certificate for the device with this public key, for both roles between members, valid from ten minutes ago
    /// (clocks differ) until `life` from now. Nothing but the key comes from the requester.
    ///
    /// # Errors
    /// When the time is out of range or the system gives no random numbers.
    pub fn issue_device(
        &self,
        public: &[u8; 32],
        who: &PeerIdentity,
        now: SystemTime,
        life: Duration,
    ) -> Result<CertificateDer<'static>, CertsError> {
        let mut params = leaf("Swapmeet device", now, life)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![SanType::DnsName(PEER_NAME.try_into()?)];
        for uri in who.uris() {
            params.subject_alt_names.push(SanType::URI(uri.try_into()?));
        }
        self.issue(&params, public)
    }

    /// A configuration for the tracker's own port: a server certificate issued now for one year, with the authority
    /// behind it. Clients show no certificate. A tracker that runs longer asks again.
    ///
    /// # Errors
    /// When the time is out of range or rustls cannot be set up.
    pub fn tracker_server_config(&self, alpn: &[&[u8]], now: SystemTime) -> Result<ServerConfig, CertsError> {
        let mut params = leaf("Swapmeet tracker", now, SERVER_LIFE)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![SanType::DnsName(TRACKER_NAME.try_into()?)];
        let certificate = self.issue(&params, &self.server_key.public())?;
        let chain = vec![certificate, self.certificate.clone()];
        let certified = CertifiedKey::new(chain, self.server_key.for_tls()?);
        let config = tls::server()?.with_no_client_auth().with_cert_resolver(Arc::new(Always(Arc::new(certified))));
        Ok(tls::finish_server(config, alpn))
    }

    pub(crate) fn issue(
        &self,
        params: &CertificateParams,
        public: &[u8; 32],
    ) -> Result<CertificateDer<'static>, CertsError> {
        Ok(params.signed_by(&CertifiedPublic(*public), &self.issuer)?.into())
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

/// What all certificates below the authority have in common.
pub(crate) fn leaf(subject: &str, now: SystemTime, life: Duration) -> Result<CertificateParams, CertsError> {
    let mut params = params(subject, now, life)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn params(subject: &str, now: SystemTime, life: Duration) -> Result<CertificateParams, CertsError> {
    let mut params = CertificateParams::default();
    params.not_before = moment(now.checked_sub(BACKDATED))?;
    params.not_after = moment(now.checked_add(life))?;
    params.serial_number = Some(random_serial()?);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    Ok(params)
}

fn moment(time: Option<SystemTime>) -> Result<OffsetDateTime, CertsError> {
    let since_1970 = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).ok_or(CertsError::Time)?;
    let seconds = i64::try_from(since_1970.as_secs()).map_err(|_| CertsError::Time)?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| CertsError::Time)
}

/// Sixteen random bytes, positive and of full length (RFC 5280, section 4.1.2.2).
fn random_serial() -> Result<SerialNumber, CertsError> {
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).map_err(|_| CertsError::Random)?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&serial))
}

fn load_certificate(path: &Path) -> Result<Option<CertificateDer<'static>>, CertsError> {
    let not_a_certificate = || CertsError::NotACertificate { path: path.to_owned() };
    match secret_file::read(path, Secrecy::Public)? {
        Found::Absent => Ok(None),
        Found::Unsuitable => Err(not_a_certificate()),
        Found::Bytes(pem) => CertificateDer::from_pem_slice(&pem).map(Some).map_err(|_| not_a_certificate()),
    }
}

fn create_certificate(path: &Path, key: &SigningKey, now: SystemTime) -> Result<CertificateDer<'static>, CertsError> {
    let mut params = params("Swapmeet authority", now, AUTHORITY_LIFE)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let certificate = params.self_signed(&IssuingKey(key.clone()))?;
    if secret_file::create(path, certificate.pem().as_bytes())? {
        return Ok(certificate.into());
    }
    // Another process was faster: its certificate counts.
    load_certificate(path)?.ok_or_else(|| CertsError::NotACertificate { path: path.to_owned() })
}

/// Shows the same certificate to everyone.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

const AUTHORITY_KEY: &str = "authority.key";
const AUTHORITY_CERTIFICATE: &str = "authority.crt";
const SERVER_KEY: &str = "server.key";
const GRANT_KEY: &str = "grant.key";

/// A new authority means that every member joins again.
const AUTHORITY_LIFE: Duration = Duration::from_secs(20 * YEAR_S);
/// Longer than a tracker runs without a restart. The authority lies beside it, so a short life would protect nothing.
const SERVER_LIFE: Duration = Duration::from_secs(10 * YEAR_S);
/// A certificate is valid at once for a member whose clock is behind.
const BACKDATED: Duration = Duration::from_secs(10 * 60);
const YEAR_S: u64 = 365 * 24 * 3600;
