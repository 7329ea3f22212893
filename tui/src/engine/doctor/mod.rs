//! What is wrong with the way to the tracker, if anything: looks at it from all sides, and says what to do.
//!
//! [`examine`] looks, `findings` decides. The looking uses connections of its own, so that it tells how things are
//! now and not how they were when the session began.

mod findings;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use quinn::Connection;
use shared::{
    limits::{DOCTOR_LOOK, DOCTOR_MTU, DOCTOR_MTU_STEP},
    show::show_line,
};
use tokio::time::{Instant, sleep, timeout};

use self::findings::{Facts, Met};
use super::{
    api::Finding,
    core::{Core, now_ms, uptime_ms},
    dial::{self, Greeted},
    link::TrackerLink,
    network,
    session::SavedAccount,
};

/// Looks at network and tracker. `link`: at this tracker instead of the account's.
pub async fn examine(core: &Arc<Core>, link: Option<TrackerLink>) -> Vec<Finding> {
    let account = core.account().await.ok();
    let own = account.as_ref().and_then(|account| account.tracker.parse::<TrackerLink>().ok());
    let is_own = link.as_ref().is_none_or(|link| own.as_ref().is_some_and(|own| own.fingerprint == link.fingerprint));
    let mut facts = Facts { now_ms: now_ms(), ..Facts::default() };
    facts.account = account.as_ref().filter(|_| is_own).map(name_of);
    if let Some(link) = link.or(own) {
        facts.tracker = Some(show_line(&link.address, 100));
        look(core, &link, &mut facts).await;
    }
    // An engine that has only just begun has signed in meanwhile, if it can.
    if is_own && let Some(online) = core.session.newest() {
        facts.mapping = Some(core.reach.mapping());
        facts.relay = Some(core.relays.known_to_decline(&online).map_err(|error| show_line(&error.to_string(), 200)));
        facts.certificate_ends_ms = Some(online.certificate_ends_ms.load(Ordering::Relaxed));
    }
    findings::of(&facts)
}

fn name_of(account: &SavedAccount) -> String {
    show_line(&account.name, 80)
}

/// Tries every way to the tracker, side by side.
async fn look(core: &Core, link: &TrackerLink, facts: &mut Facts) {
    let addresses = match dial::resolve(&link.address).await {
        Ok(addresses) => addresses,
        Err(failure) => {
            facts.unresolved = Some(failure.message);
            return;
        }
    };
    if let Some(first) = addresses.first() {
        facts.local = core.endpoints.local_addresses(*first, &network::interfaces()).await;
    }
    let web = dial::known_web_addresses(core, link, &addresses).await;
    facts.web_port = web.first().map(SocketAddr::port);
    let over_udp = async {
        let greeted = timeout(DOCTOR_LOOK, dial::over_udp(core, link, &addresses)).await;
        match greeted {
            Ok(Ok(greeted)) => Ok(meet(greeted, true).await),
            Ok(Err(failure)) => Err(failure.message),
            Err(_) => Err(format!("no answer within {} s", DOCTOR_LOOK.as_secs())),
        }
    };
    let over_https = async {
        let greeted = timeout(DOCTOR_LOOK, dial::over_https(core, link, web)).await;
        match greeted {
            Ok(Ok(greeted)) => Ok(meet(greeted, false).await),
            Ok(Err(cause)) => Err(cause),
            Err(_) => Err(format!("no answer within {} s", DOCTOR_LOOK.as_secs())),
        }
    };
    let (udp, https) = tokio::join!(over_udp, over_https);
    (facts.udp, facts.https) = (Some(udp), Some(https));
}

/// What a connection shows. Only over UDP the size of datagrams has to be found out.
async fn meet(greeted: Greeted, over_udp: bool) -> Met {
    let Greeted { connection, welcome, ahead_ms, way: _ } = greeted;
    let clock_ahead_ms = uptime_ms().saturating_add(ahead_ms).saturating_sub(now_ms());
    let datagram = if over_udp { Some(settled_mtu(&connection).await) } else { None };
    let rtt = connection.rtt();
    let met = Met {
        address: connection.remote_address(),
        program: show_line(&welcome.program, 80),
        observed: welcome.observed,
        rtt_ms: u64::try_from(rtt.as_millis()).unwrap_or(u64::MAX),
        datagram,
        // The answer was half a round trip under way.
        clock_ahead_ms: clock_ahead_ms.saturating_add(i64::try_from(rtt.as_millis() / 2).unwrap_or(0)),
    };
    connection.close(0u32.into(), b"bye");
    met
}

/// The size of datagrams when its discovery has come to rest, or ours has come to its end.
async fn settled_mtu(connection: &Connection) -> u16 {
    let until = Instant::now() + DOCTOR_MTU;
    // A round trip finds out one step; a lost probe is noticed after a few.
    let step = DOCTOR_MTU_STEP.max(connection.rtt() * 4).min(Duration::from_secs(1));
    let mut size = connection.stats().path.current_mtu;
    loop {
        sleep(step).await;
        let now = connection.stats().path.current_mtu;
        if now == size || Instant::now() >= until {
            return now;
        }
        size = now;
    }
}
