//! Where this device is, as told to the tracker; how it is seen from outside, by the tracker's second port; and meetings
//! from fresh sockets there.

use std::net::SocketAddr;

use quinn::{Connection, Endpoint};
use shared::{
    id::DeviceId,
    limits::{NETWORK_ANSWER, PROBE_FRAME_BYTES_MAX, PROBE_WAIT, TRACKER_DIAL},
    net::{Outgoing, endpoint, frame},
    wire::{
        PROBE_ALPN, TRACKER_NAME,
        reach::{Mapping, ProbeAnswer, ProbeRequest, Rendezvous, Token},
        tracker::{Answer, Request},
    },
};
use tokio::time::timeout;

use super::mapped;
use crate::engine::{
    api::Failure,
    core::Core,
    failure,
    link::TrackerLink,
    network,
    session::{self, Online},
};

/// Tells the tracker where this device is.
pub async fn announce(core: &Core, connection: &Connection) -> Result<(), Failure> {
    let addresses = core.endpoints.local_addresses(connection.remote_address(), &network::interfaces()).await;
    session::ask(connection, &Request::Announce { addresses }).await.map(drop)
}

/// Lets the tracker find out how this device's NAT maps, now and whenever the network has changed.
pub async fn keep_announced(core: &Core, online: &Online) -> Result<(), Failure> {
    loop {
        match timeout(PROBE_WAIT * 2, observe(core, online)).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => tracing::debug!(%failure, "the tracker did not look at this device"),
            Err(_) => tracing::debug!("the tracker did not look at this device in time"),
        }
        core.reach.looked_at(true);
        tokio::select! {
            () = core.session.has_moved() => {}
            () = mapped::keep(core) => {}
        }
        core.reach.looked_at(false);
        let told = timeout(NETWORK_ANSWER, announce(core, &online.connection)).await;
        if !matches!(told, Ok(Ok(()))) {
            // The connection did not survive it; a new one shall not wait.
            core.session.poke();
            return Err(failure::unreachable("the network changed"));
        }
    }
}

/// Shows the sockets of both families to the tracker, so that it knows how others may reach this device.
async fn observe(core: &Core, online: &Online) -> Result<(), Failure> {
    let Answer::Ticket { port, ticket } = session::ask(&online.connection, &Request::Ticket).await? else {
        return Err(failure::bad_answer());
    };
    core.reach.note_probe_port(port);
    let Some(port) = port else { return Ok(()) };
    let device = core.device();
    let main = online.connection.remote_address();
    let same_family = show(core, online, SocketAddr::new(main.ip(), port), device, ticket).await;
    match &same_family {
        Ok((address, mapping)) => {
            tracing::info!(?mapping, "how this device's NAT maps is known");
            core.reach.note_seen(*address, Some(*mapping));
        }
        Err(failure) => tracing::info!(%failure, "how this device's NAT maps is not known"),
    }
    // The roles of an introduction follow from this; the other kind of address is only one more way.
    core.reach.looked_at(true);
    let Some(other) = other_family(online, main).await else { return Ok(()) };
    match show(core, online, SocketAddr::new(other.ip(), port), device, ticket).await {
        Ok((address, _)) => core.reach.note_seen(address, None),
        Err(failure) => tracing::debug!(%failure, "the tracker is not reached by the other kind of address"),
    }
    Ok(())
}

/// The tracker's address of the family that its connection is not of.
async fn other_family(online: &Online, main: SocketAddr) -> Option<SocketAddr> {
    let link: TrackerLink = online.account.tracker.parse().ok()?;
    let found = timeout(TRACKER_DIAL, tokio::net::lookup_host(&link.address)).await.ok()?.ok()?;
    found.into_iter().find(|address| address.is_ipv4() != main.is_ipv4())
}

async fn show(
    core: &Core,
    online: &Online,
    at: SocketAddr,
    device: DeviceId,
    ticket: Token,
) -> Result<(SocketAddr, Mapping), Failure> {
    let from = core.endpoints.for_address(at).ok_or_else(|| failure::unreachable("no socket of that family"))?;
    match ask(online, from, at, &ProbeRequest::Observe { device, ticket }).await? {
        ProbeAnswer::Observed { address, mapping } => Ok((address, mapping)),
        ProbeAnswer::Refused(refusal) => Err(failure::refused(&refusal)),
        ProbeAnswer::Met(_) => Err(failure::bad_answer()),
    }
}

/// Comes to a meeting from a fresh socket; told when the other side has come too.
pub async fn meet(online: &Online, from: &Endpoint, port: u16, token: Token) -> Result<Rendezvous, Failure> {
    let at = SocketAddr::new(online.connection.remote_address().ip(), port);
    match ask(online, from, at, &ProbeRequest::Meet { token }).await? {
        ProbeAnswer::Met(rendezvous) => Ok(rendezvous),
        ProbeAnswer::Refused(refusal) => Err(failure::refused(&refusal)),
        ProbeAnswer::Observed { .. } => Err(failure::bad_answer()),
    }
}

async fn ask(online: &Online, from: &Endpoint, at: SocketAddr, request: &ProbeRequest) -> Result<ProbeAnswer, Failure> {
    let link: TrackerLink = online.account.tracker.parse()?;
    let (tls, _) = certs::tracker_client_config(link.fingerprint, PROBE_ALPN).map_err(failure::unexpected)?;
    let config = endpoint::tracker_client(tls).map_err(failure::unexpected)?;
    let lost = |error: &dyn std::fmt::Display| failure::unreachable(&error.to_string());
    let asked = async {
        let connecting = from.connect_with(config, at, TRACKER_NAME).map_err(|error| lost(&error))?;
        let connection = connecting.await.map_err(|error| lost(&error))?;
        let (send, mut recv) = connection.open_bi().await.map_err(|error| lost(&error))?;
        let mut send = Outgoing::new(send);
        frame::send(&mut send, request, PROBE_FRAME_BYTES_MAX).await.map_err(|error| lost(&error))?;
        send.finish();
        let answer = frame::receive(&mut recv, PROBE_FRAME_BYTES_MAX).await.map_err(|error| lost(&error))?;
        connection.close(0u32.into(), b"");
        Ok(answer)
    };
    timeout(PROBE_WAIT, asked).await.unwrap_or_else(|_| Err(failure::unreachable("its second port does not answer")))
}
