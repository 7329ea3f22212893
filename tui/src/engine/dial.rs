//! Reaching a tracker: over UDP, and over HTTPS where UDP brings no answer.

use std::net::SocketAddr;

use quinn::Connection;
use serde::{Deserialize, Serialize};
use shared::{
    limits::{HELLO, TRACKER_DIAL, WEB_AFTER, WEB_AFTER_BLOCKED},
    net::endpoint,
    show::show_line,
    wire::{
        TRACKER_ALPN, TRACKER_NAME,
        tracker::{Answer, Request, Welcome},
    },
};
use tokio::time::timeout;

use super::{
    api::{Failure, FailureKind},
    core::{Core, uptime_ms},
    failure,
    link::TrackerLink,
    session::{PROGRAM, ask},
    tunnel,
};

/// How a tracker is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As it should be.
    Udp,
    /// In a tunnel through its web port, because UDP is blocked.
    Https,
}

/// A connection that was greeted, not yet signed in.
#[derive(Debug)]
pub struct Greeted {
    pub connection: Connection,
    pub welcome: Welcome,
    /// How far the tracker's clock is ahead of this machine's uptime.
    pub ahead_ms: i64,
    pub way: Way,
}

/// What is remembered of the ways to a tracker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KnownWays {
    /// The tracker.
    fingerprint: String,
    /// Its web port, as it said itself.
    web: Option<u16>,
    /// UDP brought no answer the last time.
    udp_blocked: bool,
}

impl KnownWays {
    /// What is remembered of this tracker.
    async fn load(core: &Core, link: &TrackerLink) -> Self {
        let fingerprint = link.fingerprint.to_string();
        let known: Option<Self> = core.state.setting(SETTING).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the ways to the tracker cannot be read");
            None
        });
        known
            .filter(|known| known.fingerprint == fingerprint)
            .unwrap_or_else(|| Self { fingerprint, ..Self::default() })
    }

    async fn store(&self, core: &Core, before: &Self) {
        if self != before
            && let Err(error) = core.state.set(SETTING, self).await
        {
            tracing::warn!(%error, "the ways to the tracker cannot be remembered");
        }
    }
}

const SETTING: &str = "ways";

/// Remembers which way worked, so that the next start takes it sooner.
pub async fn note_way(core: &Core, link: &TrackerLink, way: Way) {
    let before = KnownWays::load(core, link).await;
    KnownWays { udp_blocked: way == Way::Https, ..before.clone() }.store(core, &before).await;
}

/// Asks the tracker for its web port, for times when there is no other way to ask.
pub async fn learn_ways(core: &Core, link: &TrackerLink, connection: &Connection) {
    match ask(connection, &Request::Ways).await {
        Ok(Answer::Ways(ways)) => {
            let before = KnownWays::load(core, link).await;
            KnownWays { web: ways.web, ..before.clone() }.store(core, &before).await;
        }
        // An older tracker does not know the question.
        Ok(_) => tracing::debug!("the tracker does not tell its web port"),
        Err(failure) => tracing::debug!(%failure, "the tracker does not tell its web port"),
    }
}

/// Reaches a tracker and checks that it is the one of the link. UDP has a head start; where it brings no answer, the
/// web port is tried beside it. Which way it was is remembered.
pub async fn dial(core: &Core, link: &TrackerLink) -> Result<Greeted, Failure> {
    let addresses = resolve(&link.address).await?;
    let known = KnownWays::load(core, link).await;
    let greeted = race(core, link, &addresses, &known).await?;
    note_way(core, link, greeted.way).await;
    Ok(greeted)
}

async fn race(
    core: &Core,
    link: &TrackerLink,
    addresses: &[SocketAddr],
    known: &KnownWays,
) -> Result<Greeted, Failure> {
    let head_start = if known.udp_blocked { WEB_AFTER_BLOCKED } else { WEB_AFTER };
    let (mut udp, mut web) = (
        std::pin::pin!(over_udp(core, link, addresses)),
        std::pin::pin!(over_https(core, link, web_addresses(known, link, addresses))),
    );
    let (mut udp_failed, mut web_failed) = (None, None);
    match timeout(head_start, &mut udp).await {
        Ok(Ok(greeted)) => return Ok(greeted),
        Ok(Err(failure)) if failure.kind == FailureKind::SignIn => return Err(failure),
        Ok(Err(failure)) => udp_failed = Some(failure),
        Err(_) => {}
    }
    loop {
        tokio::select! {
            reached = &mut udp, if udp_failed.is_none() => match reached {
                Ok(greeted) => return Ok(greeted),
                Err(failure) if failure.kind == FailureKind::SignIn => return Err(failure),
                Err(failure) => udp_failed = Some(failure),
            },
            reached = &mut web, if web_failed.is_none() => match reached {
                Ok(greeted) => return Ok(greeted),
                Err(cause) => web_failed = Some(cause),
            },
            else => break,
        }
    }
    let failure = udp_failed.unwrap_or_else(|| failure::unreachable("it does not answer"));
    let also = web_failed.map(|cause| format!("; over HTTPS: {cause}")).unwrap_or_default();
    Err(Failure { message: format!("{}{also}", failure.message), ..failure })
}

/// The addresses of the web port: as the tracker said last, else as the link says, else beside UDP.
fn web_addresses(known: &KnownWays, link: &TrackerLink, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let told = known.web.or(link.web);
    addresses.iter().map(|address| SocketAddr::new(address.ip(), told.unwrap_or_else(|| address.port()))).collect()
}

/// The addresses of the web port, as far as known.
pub async fn known_web_addresses(core: &Core, link: &TrackerLink, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    web_addresses(&KnownWays::load(core, link).await, link, addresses)
}

/// Reaches a tracker over UDP.
pub async fn over_udp(core: &Core, link: &TrackerLink, addresses: &[SocketAddr]) -> Result<Greeted, Failure> {
    let (tls, seen) = certs::tracker_client_config(link.fingerprint, TRACKER_ALPN).map_err(failure::unexpected)?;
    let config = endpoint::tracker_client(tls).map_err(failure::unexpected)?;
    let mut cause = "no address of this machine's kind".to_owned();
    for address in addresses {
        let Some(endpoint) = core.endpoints.for_address(*address) else { continue };
        let connecting = match endpoint.connect_with(config.clone(), *address, TRACKER_NAME) {
            Ok(connecting) => connecting,
            Err(error) => {
                cause = error.to_string();
                continue;
            }
        };
        match timeout(TRACKER_DIAL, connecting).await {
            Ok(Ok(connection)) => match greet(connection, Way::Udp).await {
                Ok(greeted) => return Ok(greeted),
                Err(failure) => cause = failure.message,
            },
            Ok(Err(error)) => {
                if let Some(presented) = seen.get()
                    && presented != link.fingerprint
                {
                    return Err(wrong_tracker(link, presented));
                }
                cause = error.to_string();
            }
            Err(_) => cause = format!("{address} does not answer"),
        }
    }
    Err(failure::unreachable(&cause))
}

/// Reaches a tracker through its web port, or says for people why not.
pub async fn over_https(core: &Core, link: &TrackerLink, addresses: Vec<SocketAddr>) -> Result<Greeted, String> {
    let mut cause = "it has no address".to_owned();
    for address in addresses {
        match over_https_at(core, link, address).await {
            Ok(greeted) => return Ok(greeted),
            Err(failed) => cause = failed,
        }
    }
    Err(cause)
}

async fn over_https_at(core: &Core, link: &TrackerLink, address: SocketAddr) -> Result<Greeted, String> {
    let endpoint = tunnel::open(core, link, address).await.map_err(|error| error.to_string())?;
    let (tls, _) = certs::tracker_client_config(link.fingerprint, TRACKER_ALPN).map_err(|error| error.to_string())?;
    let config = endpoint::tunnelled_tracker_client(tls).map_err(|error| error.to_string())?;
    let connecting = endpoint.connect_with(config, address, TRACKER_NAME).map_err(|error| error.to_string())?;
    match timeout(TRACKER_DIAL, connecting).await {
        Ok(Ok(connection)) => greet(connection, Way::Https).await.map_err(|failure| failure.message),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("{address} does not answer in the tunnel")),
    }
}

fn wrong_tracker(link: &TrackerLink, presented: certs::Fingerprint) -> Failure {
    Failure::new(
        FailureKind::SignIn,
        "wrong_fingerprint",
        format!(
            "this is not the tracker of the link: expected {}, but {} shows {presented}",
            link.fingerprint, link.address
        ),
        "do not go on before the tracker's owner confirms a new join link; somebody may be in between",
    )
}

async fn greet(connection: Connection, way: Way) -> Result<Greeted, Failure> {
    let hello = Request::Hello { program: PROGRAM.to_owned() };
    let answer = timeout(HELLO, ask(&connection, &hello)).await;
    match answer {
        Ok(Ok(Answer::Welcome(welcome))) => {
            let ahead_ms = welcome.time_ms.saturating_sub(uptime_ms());
            Ok(Greeted { connection, welcome, ahead_ms, way })
        }
        Ok(Ok(_)) => Err(failure::bad_answer()),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(failure::unreachable("it does not say hello")),
    }
}

/// The addresses behind `HOST:PORT`.
pub async fn resolve(address: &str) -> Result<Vec<SocketAddr>, Failure> {
    let found = tokio::net::lookup_host(address).await;
    match found {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(failure::unreachable(&format!("{}: {error}", show_line(address, 100)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_web_port_is_what_the_tracker_said_else_what_the_link_says_else_beside_udp() {
        let fingerprint = certs::Fingerprint([7; 32]).to_string();
        let plain: TrackerLink = format!("swapmeet://192.0.2.1:7443/#{fingerprint}").parse().unwrap();
        let told: TrackerLink = format!("swapmeet://192.0.2.1:7443/?web=8443#{fingerprint}").parse().unwrap();
        let addresses = ["192.0.2.1:7443".parse().unwrap(), "[2001:db8::1]:7443".parse().unwrap()];
        let ports = |known: &KnownWays, link| {
            let web = web_addresses(known, link, &addresses);
            web.iter().map(SocketAddr::port).collect::<Vec<_>>()
        };
        let mut known = KnownWays::default();
        assert_eq!(ports(&known, &plain), [7443, 7443]);
        assert_eq!(ports(&known, &told), [8443, 8443]);
        known.web = Some(9443);
        assert_eq!(ports(&known, &told), [9443, 9443]);
    }
}
