//! Notices that this machine is on another network, or has slept, and sets everything right that depends on it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use shared::limits::{NETWORK_GATHER, SLEEP_CHECK, SLEEP_MIN};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};

pub mod netlink;

use super::{core::Core, endpoints, reach};

/// Where this machine is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Place {
    /// Addresses of its interfaces.
    addresses: Vec<IpAddr>,
    /// The one that packets to the tracker leave from.
    towards_tracker: Option<IpAddr>,
}

impl Place {
    /// Looks it up.
    async fn now(tracker: Option<SocketAddr>) -> Self {
        let towards_tracker = match tracker {
            Some(tracker) => endpoints::routed(tracker).await.ok(),
            None => None,
        };
        Self { addresses: interfaces(), towards_tracker }
    }

    /// Whether there is any network but the machine itself.
    fn is_connected(&self) -> bool {
        self.towards_tracker.is_some() || self.addresses.iter().any(|ip| !ip.is_loopback())
    }
}

/// The addresses of this machine's interfaces; none when the kernel does not say.
pub fn interfaces() -> Vec<IpAddr> {
    netlink::addresses().unwrap_or_else(|error| {
        tracing::debug!(%error, "the kernel does not tell this machine's addresses");
        Vec::new()
    })
}

/// Compares the clock on the wall with the time that has passed for this program: the latter stands still while the
/// machine sleeps.
#[derive(Debug, Clone, Copy)]
struct Clocks {
    passed: Instant,
    wall: SystemTime,
}

impl Clocks {
    /// Whether the machine has slept since the last look.
    fn slept(&mut self, passed: Instant, wall: SystemTime) -> bool {
        let awake = passed.duration_since(self.passed);
        let by_wall = wall.duration_since(self.wall).unwrap_or(Duration::ZERO);
        *self = Self { passed, wall };
        by_wall > awake + SLEEP_MIN
    }
}

/// Watches until the engine stops.
pub async fn run(core: Arc<Core>) {
    let watch = match netlink::Watch::open() {
        Ok(watch) => Some(watch),
        Err(error) => {
            tracing::info!(%error, "changes of the network are noticed by looking");
            None
        }
    };
    let mut known = Place::now(tracker_of(&core)).await;
    // The address that was last used towards the tracker.
    let mut home: Option<IpAddr> = None;
    let mut phase = core.session.watch();
    let mut clocks = Clocks { passed: Instant::now(), wall: SystemTime::now() };
    let mut timer = interval(SLEEP_CHECK);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // When to look, after changes have gathered.
    let mut look_at: Option<Instant> = None;
    loop {
        tokio::select! {
            () = told(watch.as_ref()) => {
                look_at.get_or_insert_with(|| Instant::now() + NETWORK_GATHER);
            }
            () = until(look_at) => {}
            _ = timer.tick() => {}
            Ok(()) = phase.changed() => {
                // A connection to the tracker is no move, but tells which address matters.
                if known.towards_tracker.is_none() {
                    known.towards_tracker = Place::now(tracker_of(&core)).await.towards_tracker;
                    home = known.towards_tracker.or(home);
                }
            }
            () = core.stop.cancelled() => return,
        }
        let now = Instant::now();
        let slept = clocks.slept(now, SystemTime::now());
        if !slept && watch.is_some() && look_at.is_none_or(|at| now < at) {
            continue;
        }
        look_at = None;
        let place = Place::now(tracker_of(&core)).await;
        let moved = place != known;
        known = place;
        if (moved || slept) && known.is_connected() && !known.addresses.is_empty() {
            let gone = home.filter(|home| !known.addresses.contains(home));
            tracing::info!(slept, gone = gone.is_some(), addresses = known.addresses.len(), "the network changed");
            settle(&core, &known.addresses, gone);
            home = known.towards_tracker.or(home);
        }
    }
}

/// Waits for a change of addresses or routes. Safe to cancel.
async fn told(watch: Option<&netlink::Watch>) {
    let Some(watch) = watch else { return std::future::pending().await };
    if let Err(error) = watch.changed().await {
        tracing::debug!(%error, "the kernel's word was lost");
        // A socket that fails for good is no reason to turn in circles.
        sleep(NETWORK_GATHER).await;
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

fn tracker_of(core: &Core) -> Option<SocketAddr> {
    core.session.newest().map(|online| online.connection.remote_address())
}

/// Makes the best of a new network.
fn settle(core: &Arc<Core>, addresses: &[IpAddr], gone: Option<IpAddr>) {
    core.reach.moved();
    // Connections that we dialled go on from the new address, as soon as the other end has heard from it.
    core.endpoints.refresh(gone);
    core.peers.confirm_dialled(core);
    core.session.moved();
    // Those that others dialled are bound to the address that they came to. Who made them does not know yet.
    for device in core.peers.drop_stranded(addresses) {
        reach::meet_again(core, device);
    }
    core.transfers.poke();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_ran_on_alone_means_that_the_machine_slept() {
        let (begin, wall) = (Instant::now(), SystemTime::now());
        let mut clocks = Clocks { passed: begin, wall };
        let second = Duration::from_secs(1);
        assert!(!clocks.slept(begin + second, wall + second));
        assert!(clocks.slept(begin + second * 2, wall + second * 600));
        assert!(!clocks.slept(begin + second * 3, wall + second * 601));
        // Somebody set the clock back.
        assert!(!clocks.slept(begin + second * 4, wall));
    }
}
