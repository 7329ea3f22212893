//! Asks this network's router to let members in, by the Port Control Protocol (RFC 6887) or, where it knows only that,
//! NAT-PMP (RFC 6886); only where it is wished for. Then the address at which the tracker sees this device can be dialled
//! by everyone.
//!
//! What the router opens is the one port on which members with certificates of the tracker are let in. It is taken back
//! when the engine stops, and closes by itself some time after an engine that was killed.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU16,
    time::Duration,
};

use crab_nat::{InternetProtocol, PortMapping, PortMappingOptions, TimeoutConfig};
use shared::limits::{PORT_MAPPING_AGAIN, PORT_MAPPING_LIFE, PORT_MAPPING_RETRIES, PORT_MAPPING_WAIT};
use tokio::time::{sleep, timeout};

use crate::engine::{core::Core, endpoints};

/// The variable that wishes for it.
pub const WISH: &str = "SWAPMEET_MAP_PORT";

/// Why the router does not let members in.
#[derive(Debug, thiserror::Error)]
enum Unmapped {
    #[error("this machine has no router for IPv4")]
    NoRouter,
    #[error("the tracker does not see this device over IPv4")]
    Unseen,
    #[error("no address leads to the router")]
    NoAddress(#[source] std::io::Error),
    #[error("the router refuses, or knows neither PCP nor NAT-PMP: {0}")]
    Refused(#[from] crab_nat::MappingFailure),
    #[error("the router gives port {given} instead of {wanted}, which nobody knows of")]
    OtherPort { given: u16, wanted: u16 },
}

/// Keeps the router's port open, as long as it is polled.
pub async fn keep(core: &Core) {
    if std::env::var_os(WISH).is_none_or(|wish| wish != "1") {
        return std::future::pending().await;
    }
    loop {
        let rest = match ensure_open(core).await {
            Ok(lasts) => {
                tracing::info!(seconds = lasts.as_secs(), "the router lets members in");
                lasts / 2
            }
            Err(why) => {
                tracing::info!(%why, "the router does not let members in");
                PORT_MAPPING_AGAIN
            }
        };
        sleep(rest.max(PORT_MAPPING_WAIT)).await;
    }
}

/// Takes back what the router opened.
pub async fn close(core: &Core) {
    if let Some(mapping) = core.reach.mapped.lock().await.take() {
        take_back(mapping).await;
    }
}

async fn take_back(mapping: PortMapping) {
    match timeout(PORT_MAPPING_WAIT, mapping.try_drop()).await {
        Ok(Ok(())) => {}
        Ok(Err((error, _))) => tracing::info!(%error, "the router's port stays open for a while"),
        Err(_) => tracing::info!("the router's port stays open for a while: it does not answer"),
    }
}

/// Asks once. Gives how long it lasts.
async fn ensure_open(core: &Core) -> Result<Duration, Unmapped> {
    let router =
        fs::read_to_string(ROUTES).ok().and_then(|routes| default_router(&routes)).ok_or(Unmapped::NoRouter)?;
    let own = NonZeroU16::new(core.endpoints.port()).ok_or(Unmapped::Unseen)?;
    // Others know the address at which the tracker sees this device: that one is to be open.
    let seen = core.reach.seen_over_ipv4().and_then(|seen| NonZeroU16::new(seen.port())).ok_or(Unmapped::Unseen)?;
    let mut mapped = core.reach.mapped.lock().await;
    if let Some(mut mapping) = mapped.take() {
        let is_it = (mapping.gateway(), mapping.internal_port(), mapping.external_port()) == (router.into(), own, seen);
        // The router knows who opened a port by a number that only the mapping itself remembers.
        if is_it && mapping.renew().await.is_ok() {
            let lasts = Duration::from_secs(mapping.lifetime().into());
            *mapped = Some(mapping);
            return Ok(lasts);
        }
        take_back(mapping).await;
    }
    let mapping = open(router, own, seen).await?;
    let given = mapping.external_port();
    if given != seen {
        take_back(mapping).await;
        return Err(Unmapped::OtherPort { given: given.get(), wanted: seen.get() });
    }
    let lasts = Duration::from_secs(mapping.lifetime().into());
    *mapped = Some(mapping);
    Ok(lasts)
}

async fn open(router: Ipv4Addr, own: NonZeroU16, seen: NonZeroU16) -> Result<PortMapping, Unmapped> {
    let from = endpoints::routed(SocketAddr::new(IpAddr::V4(router), crab_nat::GATEWAY_PORT)).await;
    let from = from.map_err(Unmapped::NoAddress)?;
    let options = PortMappingOptions {
        external_port: Some(seen),
        lifetime_seconds: u32::try_from(PORT_MAPPING_LIFE.as_secs()).ok(),
        timeout_config: Some(TimeoutConfig {
            initial_timeout: PORT_MAPPING_WAIT,
            max_retries: PORT_MAPPING_RETRIES,
            max_retry_timeout: None,
        }),
    };
    Ok(PortMapping::new(router.into(), from, InternetProtocol::Udp, own, options).await?)
}

/// Where the kernel tells its IPv4 routes (`proc_net`, Linux).
const ROUTES: &str = "/proc/net/route";

/// The router of the default route with the lowest metric.
fn default_router(routes: &str) -> Option<Ipv4Addr> {
    let route = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let mut hex = || u32::from_str_radix(fields.next()?, 16).ok();
        let (destination, router, flags) = (hex()?, hex()?, hex()?);
        let metric: u32 = fields.nth(2)?.parse().ok()?;
        let mask = u32::from_str_radix(fields.next()?, 16).ok()?;
        let is_default = destination == 0 && mask == 0 && flags & ROUTE_IS_UP_TO_ROUTER == ROUTE_IS_UP_TO_ROUTER;
        // The kernel prints the address as it lies in memory.
        is_default.then_some((metric, Ipv4Addr::from(router.to_ne_bytes())))
    };
    routes.lines().filter_map(route).min().map(|(_, router)| router)
}

/// `RTF_UP | RTF_GATEWAY`.
const ROUTE_IS_UP_TO_ROUTER: u32 = 0x3;

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    fn shown(address: [u8; 4]) -> String {
        format!("{:08X}", u32::from_ne_bytes(address))
    }

    #[test]
    fn the_default_route_of_the_lowest_metric_leads_to_the_router() {
        let (one, other) = (shown([10, 0, 1, 1]), shown([192, 168, 0, 1]));
        let lan = shown([10, 0, 1, 0]);
        let routes = format!(
            "{HEAD}wlan0\t00000000\t{other}\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
             eth0\t00000000\t{one}\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
             eth0\t{lan}\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        );
        assert_eq!(default_router(&routes), Some(Ipv4Addr::new(10, 0, 1, 1)));
    }

    #[test]
    fn without_a_default_route_there_is_no_router() {
        let direct = format!("{HEAD}eth0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n");
        for routes in ["", HEAD, "nonsense\n\u{1}\t\t\n", &direct] {
            assert_eq!(default_router(routes), None, "{routes:?}");
        }
    }
}
