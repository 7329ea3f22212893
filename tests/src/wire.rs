//! A small client of the protocol, for what the real client never does: lying, stalling, flooding, and publishing a
//! hundred thousand files that do not exist. Built on the same wire types, with its own few lines of IO, so that a
//! fault of the programs' IO is not a fault here too.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use certs::{Fingerprint, PeerCredentials, PeerIdentity, SigningKey};
use quinn::{
    ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig, TransportConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use serde_json::Value;
use shared::{
    id::DeviceId,
    limits,
    wire::{
        ENROL_CONTEXT, EXPORTER_LABEL, PEER_ALPN, PEER_NAME, SIGN_IN_CONTEXT, TRACKER_ALPN, TRACKER_NAME, codec, peer,
        tracker::{Answer, Event, NewDevice, Password, PublishEntry, Register, Request, SignedIn},
    },
};

use crate::member::PASSWORD;

/// The parts of a join link.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// Where the tracker listens.
    pub address: SocketAddr,
    /// Its authority.
    pub fingerprint: Fingerprint,
}

impl Link {
    /// Reads `swapmeet://IP:PORT/#FINGERPRINT`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(link: &str) -> Result<Self> {
        let rest = link.strip_prefix("swapmeet://").context("not a join link")?;
        let (place, fingerprint) = rest.split_once('#').context("a join link without a fingerprint")?;
        let host = place.split(['/', '?']).next().unwrap_or_default();
        Ok(Self { address: host.parse()?, fingerprint: fingerprint.parse()? })
    }
}

/// A UDP endpoint on a free port of 127.0.0.1.
///
/// # Errors
/// When there is none.
pub fn endpoint(server: Option<ServerConfig>) -> Result<Endpoint> {
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Ok(match server {
        Some(config) => Endpoint::server(config, here)?,
        None => Endpoint::client(here)?,
    })
}

/// What a TLS client of the tracker uses.
///
/// # Errors
/// When rustls cannot be set up.
pub fn tracker_config(link: &Link) -> Result<ClientConfig> {
    let (tls, _seen) = certs::tracker_client_config(link.fingerprint, TRACKER_ALPN)?;
    client_config(tls)
}

fn client_config(tls: rustls::ClientConfig) -> Result<ClientConfig> {
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(transport());
    Ok(config)
}

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport.keep_alive_interval(Some(Duration::from_secs(5)));
    Arc::new(transport)
}

/// A connection to the tracker that has signed in nowhere.
///
/// # Errors
/// When the tracker cannot be reached.
pub async fn dial_tracker(endpoint: &Endpoint, link: &Link) -> Result<Connection> {
    Ok(endpoint.connect_with(tracker_config(link)?, link.address, TRACKER_NAME)?.await?)
}

/// Sends one request and reads its answer.
///
/// # Errors
/// When the connection or the tracker's frame fails.
pub async fn ask(connection: &Connection, request: &Request) -> Result<Answer> {
    let (mut send, mut recv) = connection.open_bi().await?;
    send.write_all(&codec::encode(request, limits::REQUEST_BYTES_MAX)?).await?;
    send.finish()?;
    read_frame(&mut recv, limits::REPLY_BYTES_MAX).await
}

/// Reads one frame.
///
/// # Errors
/// When the stream ends early or the frame is not the expected message.
pub async fn read_frame<T: serde::de::DeserializeOwned>(recv: &mut RecvStream, limit: usize) -> Result<T> {
    let mut prefix = [0; codec::LENGTH_BYTES];
    recv.read_exact(&mut prefix).await?;
    let mut body = vec![0; codec::body_length(prefix, limit)?];
    recv.read_exact(&mut body).await?;
    Ok(codec::decode(&body)?)
}

/// Sends one frame.
///
/// # Errors
/// When the stream is gone.
pub async fn write_frame<T: serde::Serialize>(send: &mut SendStream, message: &T) -> Result<()> {
    send.write_all(&codec::encode(message, limits::REQUEST_BYTES_MAX)?).await?;
    Ok(())
}

/// A connection to the tracker, after the greeting, and what its session exports for proofs.
async fn greet(endpoint: &Endpoint, link: &Link) -> Result<(Connection, [u8; 32])> {
    let tracker = dial_tracker(endpoint, link).await?;
    let hello = ask(&tracker, &Request::Hello { program: "swapmeet-tests".to_owned() }).await?;
    ensure!(matches!(hello, Answer::Welcome(_)), "no welcome but {hello:?}");
    let mut exported = [0; 32];
    tracker
        .export_keying_material(&mut exported, EXPORTER_LABEL, b"")
        .map_err(|_| anyhow::anyhow!("the session exports nothing"))?;
    Ok((tracker, exported))
}

/// An account with one device, signed in, that says only what it is told to say.
#[derive(Debug)]
pub struct Puppet {
    /// Its UDP endpoint. Answers members when [`Puppet::listen`] was called.
    pub endpoint: Endpoint,
    /// Its connection to the tracker.
    pub tracker: Connection,
    /// What the tracker gave it.
    pub signed_in: SignedIn,
    credentials: PeerCredentials,
    key: SigningKey,
}

impl Puppet {
    /// Registers an account of this name, over an endpoint of its own.
    ///
    /// # Errors
    /// When the tracker cannot be reached or refuses.
    pub async fn register(link: &Link, name: &str) -> Result<Self> {
        Self::register_over(endpoint(None)?, link, name).await
    }

    /// The same over a given endpoint, which many may share.
    ///
    /// # Errors
    /// When the tracker cannot be reached or refuses.
    pub async fn register_over(endpoint: Endpoint, link: &Link, name: &str) -> Result<Self> {
        let (tracker, exported) = greet(&endpoint, link).await?;
        let key = SigningKey::generate()?;
        let proof = key.sign(&[ENROL_CONTEXT, &exported].concat()).to_vec();
        let device = NewDevice { key: key.public(), proof, label: "puppet".to_owned() };
        let register = Register {
            name: name.to_owned(),
            password: Password(PASSWORD.to_owned()),
            email: None,
            invite: None,
            device,
        };
        let signed_in = match ask(&tracker, &Request::Register(register)).await? {
            Answer::SignedIn(signed_in) => signed_in,
            other => bail!("not registered: {other:?}"),
        };
        let credentials =
            PeerCredentials::new(&key, signed_in.certificate.clone().into(), signed_in.authority.clone().into())?;
        Ok(Self { endpoint, tracker, signed_in, credentials, key })
    }

    /// Connects again, as after a restart of the tracker, and signs in by the device's key.
    ///
    /// # Errors
    /// When the tracker cannot be reached or refuses.
    pub async fn reconnect(&mut self, link: &Link) -> Result<()> {
        let (tracker, exported) = greet(&self.endpoint, link).await?;
        let proof = self.key.sign(&[SIGN_IN_CONTEXT, &exported].concat()).to_vec();
        match ask(&tracker, &Request::SignInKey { device: self.signed_in.device, proof }).await? {
            Answer::SignedIn(signed_in) => self.signed_in = signed_in,
            other => bail!("not signed in: {other:?}"),
        }
        self.tracker = tracker;
        Ok(())
    }

    /// From now on members can dial this puppet; the tracker is told where.
    ///
    /// # Errors
    /// When rustls cannot be set up or the tracker refuses the address.
    pub async fn listen(&self) -> Result<()> {
        let tls = self.credentials.server_config(PEER_ALPN)?;
        let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
        config.transport_config(transport());
        self.endpoint.set_server_config(Some(config));
        let addresses = vec![self.endpoint.local_addr()?];
        let answer = ask(&self.tracker, &Request::Announce { addresses }).await?;
        ensure!(matches!(answer, Answer::Done), "not announced: {answer:?}");
        Ok(())
    }

    /// Puts files into the index.
    ///
    /// # Errors
    /// When the tracker refuses.
    pub async fn publish(&self, entries: Vec<PublishEntry>) -> Result<Vec<String>> {
        match ask(&self.tracker, &Request::Publish { entries }).await? {
            Answer::Published { files } => Ok(files.iter().map(|file| file.id.to_string()).collect()),
            other => bail!("not published: {other:?}"),
        }
    }

    /// Waits until the tracker says that a copy is stored or failed. Serves whatever the tracker fetches meanwhile
    /// only if somebody serves this puppet's streams.
    ///
    /// # Errors
    /// When the connection ends first.
    pub async fn events(&self) -> Result<RecvStream> {
        let (mut send, mut recv) = self.tracker.open_bi().await?;
        write_frame(&mut send, &Request::Subscribe).await?;
        send.finish()?;
        let answer: Answer = read_frame(&mut recv, limits::REPLY_BYTES_MAX).await?;
        ensure!(matches!(answer, Answer::Done), "not subscribed: {answer:?}");
        Ok(recv)
    }

    /// Dials a member's device and says hello.
    ///
    /// # Errors
    /// When the member does not answer well.
    pub async fn dial(&self, address: SocketAddr, device: DeviceId) -> Result<Connection> {
        let config = client_config(self.credentials.client_config(PEER_ALPN)?)?;
        let connection = self.endpoint.connect_with(config, address, PEER_NAME)?.await?;
        let (mut send, mut recv) = connection.open_bi().await?;
        let hello = peer::Hello { program: "swapmeet-tests".to_owned(), expects: device };
        write_frame(&mut send, &peer::Open::Hello(hello)).await?;
        send.finish()?;
        let answer: peer::HelloAnswer = read_frame(&mut recv, limits::PEER_FRAME_BYTES_MAX).await?;
        ensure!(matches!(answer, peer::HelloAnswer::Accepted { .. }), "not accepted: {answer:?}");
        Ok(connection)
    }

    /// Signs with the device's key.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message)
    }

    /// What members see in this puppet's certificate.
    #[must_use]
    pub const fn identity(&self) -> PeerIdentity {
        PeerIdentity { account: self.signed_in.account.0, device: self.signed_in.device.0 }
    }
}

/// Reads the next event of a subscription.
///
/// # Errors
/// When the stream ends.
pub async fn next_event(events: &mut RecvStream) -> Result<Event> {
    read_frame(events, limits::REPLY_BYTES_MAX).await
}

/// The device id and UDP address of a member's engine, out of its `engine status` and `whoami` records.
///
/// # Errors
/// When a field is missing.
pub fn device_of(status: &Value) -> Result<(DeviceId, SocketAddr)> {
    let device = status["account"]["device"].as_str().or_else(|| status["device"].as_str()).context("no device")?;
    let port = status["port"].as_u64().and_then(|port| u16::try_from(port).ok()).context("no port")?;
    Ok((device.parse()?, SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
}
