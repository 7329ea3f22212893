//! Who gets through a real TLS handshake, and who does not.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, SanType};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, ConnectionCommon, Error, HandshakeKind, ProtocolVersion,
    ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tempfile::TempDir;

use crate::{
    Authority, CertsError, Fingerprint, PeerCredentials, PeerIdentity, SigningKey, WrongAuthority,
    authority::leaf,
    key::IssuingKey,
    names::{PEER_NAME, TRACKER_NAME},
    peer_identity, public_key, tls, tracker_client_config,
};

const ALPN: &[u8] = b"test/1";
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

// Pinning the tracker

#[test]
fn a_pinned_client_connects() {
    let tracker = Tracker::new();
    let (client, seen) = tracker_client_config(tracker.authority.fingerprint(), ALPN).unwrap();
    assert_eq!(seen.get(), None);
    let met = meet(client, tracker.server(), TRACKER_NAME);
    met.both_agreed();
    assert_eq!(met.client.alpn_protocol(), Some(ALPN));
    assert_eq!(met.client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(met.server.peer_certificates(), None);
    assert_eq!(seen.get(), Some(tracker.authority.fingerprint()));
}

#[test]
fn a_changed_authority_is_refused_and_both_fingerprints_are_known() {
    let (before, after) = (Tracker::new(), Tracker::new());
    let pinned = before.authority.fingerprint();
    let (client, seen) = tracker_client_config(pinned, ALPN).unwrap();
    let met = meet(client, after.server(), TRACKER_NAME);
    let presented = after.authority.fingerprint();
    assert_eq!(seen.get(), Some(presented));
    let Err(Error::InvalidCertificate(CertificateError::Other(other))) = met.client_result else {
        panic!("{:?}", met.client_result);
    };
    let wrong = other.0.downcast_ref::<WrongAuthority>().unwrap();
    assert_eq!(*wrong, WrongAuthority { pinned, presented });
    assert!(wrong.to_string().contains(&pinned.to_string()) && wrong.to_string().contains(&presented.to_string()));
}

#[test]
fn showing_a_copy_of_the_pinned_certificate_is_not_enough() {
    let (tracker, attacker) = (Tracker::new(), Tracker::new());
    let key = SigningKey::generate().unwrap();
    let leaf = attacker.authority.issue(&tracker_params(), &key.public()).unwrap();
    let chain = vec![leaf, attacker.authority.certificate().clone(), tracker.authority.certificate().clone()];
    let met = meet(tracker.pinned_client(), server_showing(chain, &key), TRACKER_NAME);
    assert!(matches!(met.client_result, Err(Error::InvalidCertificate(_))), "{:?}", met.client_result);
}

#[test]
fn the_authority_has_to_be_shown() {
    let tracker = Tracker::new();
    let key = SigningKey::generate().unwrap();
    let leaf = tracker.authority.issue(&tracker_params(), &key.public()).unwrap();
    let met = meet(tracker.pinned_client(), server_showing(vec![leaf], &key), TRACKER_NAME);
    assert!(met.client_result.is_err());
}

#[test]
fn a_stolen_chain_is_worth_nothing_without_its_key() {
    let tracker = Tracker::new();
    let (owner, thief) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let leaf = tracker.authority.issue(&tracker_params(), &owner.public()).unwrap();
    let chain = vec![leaf, tracker.authority.certificate().clone()];
    meet(tracker.pinned_client(), server_showing(chain.clone(), &owner), TRACKER_NAME).both_agreed();
    let met = meet(tracker.pinned_client(), server_showing(chain, &thief), TRACKER_NAME);
    assert_eq!(met.client_result, Err(Error::InvalidCertificate(CertificateError::BadSignature)));
}

#[test]
fn a_device_cannot_pose_as_the_tracker() {
    let tracker = Tracker::new();
    let device = tracker.device(1);
    let chain = vec![device.certificate.clone(), tracker.authority.certificate().clone()];
    // Not even towards a client that dials it under the name of a device.
    for name in [TRACKER_NAME, PEER_NAME] {
        let met = meet(tracker.pinned_client(), server_showing(chain.clone(), &device.key), name);
        assert!(is_wrong_name(&met.client_result), "{:?}", met.client_result);
    }
}

#[test]
fn a_device_cannot_certify_others() {
    let tracker = Tracker::new();
    let device = tracker.device(1);
    let key = SigningKey::generate().unwrap();
    let issuer = Issuer::from_ca_cert_der(&device.certificate, IssuingKey(device.key.clone())).unwrap();
    let forged = tracker_params().signed_by(&IssuingKey(key.clone()), &issuer).unwrap().der().clone();
    let chain = vec![forged, device.certificate.clone(), tracker.authority.certificate().clone()];
    assert!(meet(tracker.pinned_client(), server_showing(chain, &key), TRACKER_NAME).client_result.is_err());
}

#[test]
fn an_expired_tracker_certificate_is_refused() {
    let tracker = Tracker::new();
    let long_ago = SystemTime::now() - 11 * 366 * DAY;
    let server = tracker.authority.tracker_server_config(&[ALPN], long_ago).unwrap();
    let met = meet(tracker.pinned_client(), server, TRACKER_NAME);
    assert!(is_expired(&met.client_result), "{:?}", met.client_result);
}

#[test]
fn an_unknown_protocol_is_refused() {
    let tracker = Tracker::new();
    let (client, _) = tracker_client_config(tracker.authority.fingerprint(), b"other/1").unwrap();
    assert_eq!(meet(client, tracker.server(), TRACKER_NAME).server_result, Err(Error::NoApplicationProtocol));
}

// Members

#[test]
fn two_members_know_each_other() {
    let tracker = Tracker::new();
    let (alice, bob) = (tracker.device(1), tracker.device(2));
    let met = meet(alice.client(), bob.server(), PEER_NAME);
    met.both_agreed();
    let (at_server, at_client) = (met.shown_to_server().unwrap(), met.shown_to_client().unwrap());
    assert_eq!(peer_identity(at_server).unwrap(), alice.identity);
    assert_eq!(peer_identity(at_client).unwrap(), bob.identity);
    assert_eq!(public_key(at_server).unwrap(), alice.key.public());
    assert_eq!(public_key(at_client).unwrap(), bob.key.public());
}

#[test]
fn whoever_shows_no_certificate_is_refused() {
    let tracker = Tracker::new();
    let mut client = tls::client()
        .unwrap()
        .with_root_certificates(tls::roots(tracker.authority.certificate()).unwrap())
        .with_no_client_auth();
    client.alpn_protocols = vec![ALPN.to_vec()];
    let met = meet(client, tracker.device(1).server(), PEER_NAME);
    assert_eq!(met.server_result, Err(Error::NoCertificatesPresented));
}

#[test]
fn a_member_of_another_authority_is_refused_on_either_side() {
    let (tracker, other) = (Tracker::new(), Tracker::new());
    let (member, stranger) = (tracker.device(1), other.device(2));
    let dialled = meet(member.client(), stranger.server(), PEER_NAME);
    assert!(matches!(dialled.client_result, Err(Error::InvalidCertificate(_))), "{:?}", dialled.client_result);
    // The stranger trusts the member's authority, so that only the member can refuse.
    let pretender = member.client_showing(vec![stranger.certificate.clone()], &stranger.key);
    let dialling = meet(pretender, member.server(), PEER_NAME);
    assert!(matches!(dialling.server_result, Err(Error::InvalidCertificate(_))), "{:?}", dialling.server_result);
}

#[test]
fn the_tracker_cannot_pose_as_a_member() {
    let tracker = Tracker::new();
    let member = tracker.device(1);
    let key = SigningKey::generate().unwrap();
    let leaf = tracker.authority.issue(&tracker_params(), &key.public()).unwrap();
    let dialled = meet(member.client(), server_showing(vec![leaf.clone()], &key), PEER_NAME);
    assert!(is_wrong_name(&dialled.client_result), "{:?}", dialled.client_result);
    let dialling = meet(member.client_showing(vec![leaf.clone()], &key), member.server(), PEER_NAME);
    assert!(matches!(dialling.server_result, Err(Error::InvalidCertificate(_))), "{:?}", dialling.server_result);
    assert!(matches!(peer_identity(&leaf), Err(CertsError::NotAMember(_))));
}

#[test]
fn a_self_signed_certificate_is_refused_on_either_side() {
    let tracker = Tracker::new();
    let member = tracker.device(1);
    let key = SigningKey::generate().unwrap();
    let params = device_params(&names(&[1], &[1]));
    let own = params.self_signed(&IssuingKey(key.clone())).unwrap().der().clone();
    let dialled = meet(member.client(), server_showing(vec![own.clone()], &key), PEER_NAME);
    assert!(matches!(dialled.client_result, Err(Error::InvalidCertificate(_))), "{:?}", dialled.client_result);
    let dialling = meet(member.client_showing(vec![own], &key), member.server(), PEER_NAME);
    assert!(matches!(dialling.server_result, Err(Error::InvalidCertificate(_))), "{:?}", dialling.server_result);
}

#[test]
fn an_expired_certificate_is_refused_on_either_side() {
    let tracker = Tracker::new();
    let (fresh, expired) = (tracker.device(1), tracker.device_since(2, SystemTime::now() - 2 * DAY));
    let dialled = meet(fresh.client(), expired.server(), PEER_NAME);
    assert!(is_expired(&dialled.client_result), "{:?}", dialled.client_result);
    let dialling = meet(expired.client(), fresh.server(), PEER_NAME);
    assert!(is_expired(&dialling.server_result), "{:?}", dialling.server_result);
}

#[test]
fn a_certificate_counts_at_once_for_a_clock_that_is_behind() {
    let tracker = Tracker::new();
    let (now, ahead) = (tracker.device(1), tracker.device_since(2, SystemTime::now() + Duration::from_secs(9 * 60)));
    meet(now.client(), ahead.server(), PEER_NAME).both_agreed();
    let too_far = tracker.device_since(3, SystemTime::now() + HOUR);
    assert!(meet(now.client(), too_far.server(), PEER_NAME).client_result.is_err());
}

#[test]
fn a_renewed_certificate_is_shown_in_the_next_handshake() {
    let tracker = Tracker::new();
    let (alice, bob) = (tracker.device(1), tracker.device(2));
    let (client, server) = (Arc::new(alice.client()), Arc::new(bob.server()));
    let before = meet_shared(&client, &server, PEER_NAME);
    assert_eq!(before.shown_to_server(), Some(&alice.certificate));
    assert_eq!(before.shown_to_client(), Some(&bob.certificate));
    for device in [&alice, &bob] {
        device.credentials.clone().replace_certificate(tracker.certificate(device)).unwrap();
    }
    let after = meet_shared(&client, &server, PEER_NAME);
    after.both_agreed();
    for (shown, device) in [(after.shown_to_server(), &alice), (after.shown_to_client(), &bob)] {
        assert_ne!(shown, Some(&device.certificate));
        assert_eq!(peer_identity(shown.unwrap()).unwrap(), device.identity);
    }
}

#[test]
fn credentials_take_only_a_certificate_of_their_own_key() {
    let tracker = Tracker::new();
    let (alice, bob) = (tracker.device(1), tracker.device(2));
    let authority = tracker.authority.certificate().clone();
    let new = PeerCredentials::new(&alice.key, bob.certificate.clone(), authority.clone());
    assert!(matches!(new, Err(CertsError::OtherKey)));
    let replaced = alice.credentials.replace_certificate(bob.certificate.clone());
    assert!(matches!(replaced, Err(CertsError::OtherKey)));
    assert!(alice.credentials.replace_certificate(authority).is_err());
    assert!(alice.credentials.replace_certificate(b"no certificate".to_vec().into()).is_err());
    let met = meet(alice.client(), bob.server(), PEER_NAME);
    assert_eq!(met.shown_to_server(), Some(&alice.certificate), "the certificate there was stays");
}

#[test]
fn nothing_is_resumed() {
    let tracker = Tracker::new();
    let (alice, bob) = (tracker.device(1), tracker.device(2));
    let pairs = [
        (Arc::new(tracker.pinned_client()), Arc::new(tracker.server()), TRACKER_NAME),
        (Arc::new(alice.client()), Arc::new(bob.server()), PEER_NAME),
    ];
    for (client, server, name) in &pairs {
        assert_eq!((server.send_tls13_tickets, server.max_early_data_size), (0, 0));
        assert!(!client.enable_early_data);
        for _ in 0..3 {
            let met = meet_shared(client, server, name);
            met.both_agreed();
            assert_eq!(met.client.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(met.client.tls13_tickets_received(), 0);
        }
    }
}

#[test]
fn both_ends_export_the_same_bytes_and_every_connection_others() {
    let tracker = Tracker::new();
    let export = || {
        let met = meet(tracker.pinned_client(), tracker.server(), TRACKER_NAME);
        let client = met.client.export_keying_material([0; 32], b"EXPORTER-test", None).unwrap();
        assert_eq!(client, met.server.export_keying_material([0; 32], b"EXPORTER-test", None).unwrap());
        client
    };
    assert_ne!(export(), export());
}

// Identity

#[test]
fn a_certificate_names_exactly_one_member_and_one_device() {
    let tracker = Tracker::new();
    let key = SigningKey::generate().unwrap();
    let identity =
        |names: &[SanType]| peer_identity(&tracker.authority.issue(&device_params(names), &key.public()).unwrap());
    let good = names(&[1], &[2]);
    assert_eq!(identity(&good).unwrap(), PeerIdentity { account: [1; 16], device: [2; 16] });
    for (what, bad) in [
        ("no member", names(&[], &[2])),
        ("no device", names(&[1], &[])),
        ("two members", names(&[1, 3], &[2])),
        ("two devices", names(&[1], &[2, 3])),
        ("the same device twice", names(&[1], &[2, 2])),
        ("a foreign URI", with(&good, uri("https://example.invalid/"))),
        ("an unknown kind of id", with(&good, uri(&format!("swapmeet:admin:{}", "01".repeat(16))))),
        ("a second host name", with(&good, dns("example.invalid"))),
        ("the tracker's name", with(&good, dns(TRACKER_NAME))),
        ("no host name", good[1..].to_vec()),
        ("upper case", with(&names(&[1], &[]), uri(&format!("swapmeet:device:{}", "AA".repeat(16))))),
        ("a short id", with(&names(&[1], &[]), uri(&format!("swapmeet:device:{}", "aa".repeat(15))))),
        ("a long id", with(&names(&[1], &[]), uri(&format!("swapmeet:device:{}", "aa".repeat(17))))),
    ] {
        assert!(matches!(identity(&bad), Err(CertsError::NotAMember(_))), "{what}");
    }
}

#[test]
fn a_public_key_of_another_kind_is_refused() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = device_params(&names(&[1], &[2])).self_signed(&pair).unwrap().der().clone();
    assert!(public_key(&certificate).is_err());
}

#[test]
fn damaged_certificates_never_panic() {
    let device = Tracker::new().device(1);
    for cut in 0..device.certificate.len() {
        let cut = CertificateDer::from(&device.certificate[..cut]);
        assert!(peer_identity(&cut).is_err() && public_key(&cut).is_err());
    }
    for position in 0..device.certificate.len() {
        let mut bytes = device.certificate.to_vec();
        bytes[position] ^= 0x81;
        let damaged = CertificateDer::from(bytes);
        let (_identity, _key) = (peer_identity(&damaged), public_key(&damaged));
    }
}

#[test]
fn a_time_that_no_certificate_can_say_is_an_error() {
    let tracker = Tracker::new();
    let who = PeerIdentity { account: [1; 16], device: [1; 16] };
    for (now, life) in [
        (SystemTime::UNIX_EPOCH, HOUR),
        (SystemTime::now(), Duration::MAX),
        (SystemTime::now(), Duration::from_secs(u64::from(u32::MAX) * 1000)),
    ] {
        let issued = tracker.authority.issue_device(&[7; 32], &who, now, life);
        assert!(matches!(issued, Err(CertsError::Time)), "{now:?} {life:?}");
    }
}

// The authority's folder

#[test]
fn the_authority_s_files_belong_to_its_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("state/authority");
    Authority::open(&dir, SystemTime::now()).unwrap();
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(files(&dir), ["authority.crt", "authority.key", "grant.key", "server.key"]);
    for name in files(&dir) {
        assert_eq!(fs::metadata(dir.join(&name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn the_next_start_finds_the_same_authority() {
    let tracker = Tracker::new();
    let device = tracker.device(1);
    let again = tracker.reopen().unwrap();
    assert_eq!(again.fingerprint(), tracker.authority.fingerprint());
    assert_eq!(again.fingerprint(), Fingerprint::of_certificate(again.certificate()));
    assert_eq!(again.grant_key().public(), tracker.authority.grant_key().public());
    let server = again.tracker_server_config(&[ALPN], SystemTime::now()).unwrap();
    meet(tracker.pinned_client(), server, TRACKER_NAME).both_agreed();
    // A certificate issued after the restart is accepted by a device enrolled before it.
    let later = Tracker { authority: again, dir: tempfile::tempdir().unwrap() }.device(2);
    meet(device.client(), later.server(), PEER_NAME).both_agreed();
}

#[test]
fn a_start_that_ended_early_is_finished_by_the_next() {
    let made: &[&str] = &["authority.key", "authority.crt", "server.key", "grant.key"];
    for steps in 0..made.len() {
        let tracker = Tracker::new();
        for name in &made[steps..] {
            fs::remove_file(tracker.dir.path().join(name)).unwrap();
        }
        fs::write(tracker.dir.path().join(".new-abc"), "half a k").unwrap();
        let again = tracker.reopen().unwrap();
        assert_eq!(again.fingerprint() == tracker.authority.fingerprint(), steps >= 2, "{steps} steps");
        let third = tracker.reopen().unwrap();
        assert_eq!(third.fingerprint(), again.fingerprint());
        let (client, _) = tracker_client_config(again.fingerprint(), ALPN).unwrap();
        let server = third.tracker_server_config(&[ALPN], SystemTime::now()).unwrap();
        meet(client, server, TRACKER_NAME).both_agreed();
    }
}

#[test]
fn a_certificate_without_its_key_is_never_joined_by_a_new_key() {
    let tracker = Tracker::new();
    let key = tracker.dir.path().join("authority.key");
    fs::remove_file(&key).unwrap();
    assert!(matches!(tracker.reopen(), Err(CertsError::KeyMissing { .. })));
    assert!(!key.exists());
}

#[test]
fn a_key_and_a_certificate_that_do_not_belong_together_are_refused() {
    let (tracker, other) = (Tracker::new(), Tracker::new());
    fs::copy(other.dir.path().join("authority.crt"), tracker.dir.path().join("authority.crt")).unwrap();
    assert!(matches!(tracker.reopen(), Err(CertsError::OtherKey)));
}

#[test]
fn a_damaged_authority_is_reported_and_left_alone() {
    for (name, content) in [("authority.crt", "half a certif"), ("authority.key", ""), ("grant.key", "x")] {
        let tracker = Tracker::new();
        let path = tracker.dir.path().join(name);
        fs::write(&path, content).unwrap();
        let error = tracker.reopen().unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn an_authority_that_others_can_read_does_not_start() {
    for name in ["authority.key", "server.key", "grant.key"] {
        let tracker = Tracker::new();
        fs::set_permissions(tracker.dir.path().join(name), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(tracker.reopen(), Err(CertsError::ReadableByOthers { mode: 0o644, .. })), "{name}");
    }
}

#[test]
fn trackers_that_start_at_once_agree() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Authority::open(dir.path(), SystemTime::now()).unwrap().fingerprint();
    let seen: Vec<Fingerprint> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(seen.iter().all(|fingerprint| *fingerprint == seen[0]));
}

#[test]
fn nothing_secret_is_printed() {
    let tracker = Tracker::new();
    let device = tracker.device(1);
    let printed = format!("{:?} {:?} {:?}", tracker.authority, device.key, device.credentials);
    assert!(printed.len() < 200, "{printed}");
}

// What the tests stand on

struct Tracker {
    authority: Authority,
    dir: TempDir,
}

struct Device {
    key: SigningKey,
    identity: PeerIdentity,
    certificate: CertificateDer<'static>,
    authority: CertificateDer<'static>,
    credentials: PeerCredentials,
}

impl Tracker {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path(), SystemTime::now()).unwrap();
        Self { authority, dir }
    }

    fn reopen(&self) -> Result<Authority, CertsError> {
        Authority::open(self.dir.path(), SystemTime::now())
    }

    fn server(&self) -> ServerConfig {
        self.authority.tracker_server_config(&[b"else/1", ALPN], SystemTime::now()).unwrap()
    }

    fn pinned_client(&self) -> ClientConfig {
        tracker_client_config(self.authority.fingerprint(), ALPN).unwrap().0
    }

    fn device(&self, number: u8) -> Device {
        self.device_since(number, SystemTime::now())
    }

    fn device_since(&self, number: u8, since: SystemTime) -> Device {
        let key = SigningKey::generate().unwrap();
        let identity = PeerIdentity { account: [number; 16], device: [number + 100; 16] };
        let certificate = self.authority.issue_device(&key.public(), &identity, since, DAY).unwrap();
        let authority = self.authority.certificate().clone();
        let credentials = PeerCredentials::new(&key, certificate.clone(), authority.clone()).unwrap();
        Device { key, identity, certificate, authority, credentials }
    }

    fn certificate(&self, device: &Device) -> CertificateDer<'static> {
        self.authority.issue_device(&device.key.public(), &device.identity, SystemTime::now(), DAY).unwrap()
    }
}

impl Device {
    fn client(&self) -> ClientConfig {
        self.credentials.client_config(ALPN).unwrap()
    }

    fn server(&self) -> ServerConfig {
        self.credentials.server_config(ALPN).unwrap()
    }

    /// A client that trusts this device's authority and shows whatever it likes.
    fn client_showing(&self, chain: Vec<CertificateDer<'static>>, key: &SigningKey) -> ClientConfig {
        let config = tls::client().unwrap().with_root_certificates(tls::roots(&self.authority).unwrap());
        tls::finish_client(config.with_client_auth_cert(chain, private(key)).unwrap(), ALPN)
    }
}

/// A server that shows whatever it likes, even with a key that does not fit.
fn server_showing(chain: Vec<CertificateDer<'static>>, key: &SigningKey) -> ServerConfig {
    #[derive(Debug)]
    struct Shows(Arc<rustls::sign::CertifiedKey>);
    impl rustls::server::ResolvesServerCert for Shows {
        fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
            Some(self.0.clone())
        }
    }
    let certified = rustls::sign::CertifiedKey::new(chain, key.for_tls().unwrap());
    let config = tls::server().unwrap().with_no_client_auth().with_cert_resolver(Arc::new(Shows(Arc::new(certified))));
    tls::finish_server(config, &[ALPN])
}

fn private(key: &SigningKey) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.pkcs8().to_vec()))
}

fn tracker_params() -> CertificateParams {
    let mut params = leaf("test", SystemTime::now(), HOUR).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.subject_alt_names = vec![dns(TRACKER_NAME)];
    params
}

fn device_params(names: &[SanType]) -> CertificateParams {
    let mut params = leaf("test", SystemTime::now(), HOUR).unwrap();
    params.is_ca = IsCa::ExplicitNoCa;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params.subject_alt_names = names.to_vec();
    params
}

fn names(accounts: &[u8], devices: &[u8]) -> Vec<SanType> {
    let id = |byte: u8| data_encoding::HEXLOWER.encode(&[byte; 16]);
    let accounts = accounts.iter().map(|byte| uri(&format!("swapmeet:account:{}", id(*byte))));
    let devices = devices.iter().map(|byte| uri(&format!("swapmeet:device:{}", id(*byte))));
    [dns(PEER_NAME)].into_iter().chain(accounts).chain(devices).collect()
}

fn with(names: &[SanType], name: SanType) -> Vec<SanType> {
    names.iter().cloned().chain([name]).collect()
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn files(dir: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn is_expired(result: &Result<(), Error>) -> bool {
    matches!(
        result,
        Err(Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }))
    )
}

fn is_wrong_name(result: &Result<(), Error>) -> bool {
    matches!(
        result,
        Err(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        ))
    )
}

/// What came out of a handshake on both sides.
struct Met {
    client: ClientConnection,
    server: ServerConnection,
    client_result: Result<(), Error>,
    server_result: Result<(), Error>,
}

impl Met {
    fn both_agreed(&self) {
        assert_eq!((&self.client_result, &self.server_result), (&Ok(()), &Ok(())));
        assert!(!self.client.is_handshaking() && !self.server.is_handshaking());
    }

    fn shown_to_server(&self) -> Option<&CertificateDer<'static>> {
        self.server.peer_certificates()?.first()
    }

    fn shown_to_client(&self) -> Option<&CertificateDer<'static>> {
        self.client.peer_certificates()?.first()
    }
}

fn meet(client: ClientConfig, server: ServerConfig, name: &'static str) -> Met {
    meet_shared(&Arc::new(client), &Arc::new(server), name)
}

fn meet_shared(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, name: &'static str) -> Met {
    let mut client = ClientConnection::new(client.clone(), name.try_into().unwrap()).unwrap();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    let (mut client_result, mut server_result) = (Ok(()), Ok(()));
    while client.wants_write() || server.wants_write() {
        carry(&mut client, &mut server, &mut server_result);
        carry(&mut server, &mut client, &mut client_result);
    }
    Met { client, server, client_result, server_result }
}

/// Carries all that one side has to say to the other, which keeps its first error.
fn carry<A, B>(from: &mut ConnectionCommon<A>, to: &mut ConnectionCommon<B>, result: &mut Result<(), Error>) {
    while from.wants_write() {
        let mut bytes = Vec::new();
        from.write_tls(&mut bytes).unwrap();
        let mut unread = bytes.as_slice();
        while !unread.is_empty() && result.is_ok() {
            if to.read_tls(&mut unread).unwrap() == 0 {
                break;
            }
            *result = to.process_new_packets().map(|_| ());
        }
    }
}
