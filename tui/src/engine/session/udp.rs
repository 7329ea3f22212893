//! Back from HTTPS to UDP, as soon as that works.

use shared::limits::{NETWORK_LOOK, UDP_AGAIN_MAX, UDP_AGAIN_MIN};
use tokio::time::{Instant, sleep_until};

use super::{Online, SavedAccount};
use crate::engine::{
    api::Failure,
    core::Core,
    dial::{self, Greeted},
    link::TrackerLink,
    network,
};

/// While the tracker is reached over HTTPS: tries UDP with growing pauses, and at once on another network or when
/// somebody asks. Ends when the tracker has answered.
pub(super) async fn back(core: &Core, online: &Online) -> Greeted {
    let remote = online.connection.remote_address();
    let mut here = core.endpoints.local_addresses(remote, &network::interfaces()).await;
    let mut pause = UDP_AGAIN_MIN;
    let mut try_at = Instant::now() + pause;
    loop {
        tokio::select! {
            () = sleep_until(try_at.min(Instant::now() + NETWORK_LOOK)) => {}
            () = core.session.udp_again.notified() => try_at = Instant::now(),
        }
        let now_here = core.endpoints.local_addresses(remote, &network::interfaces()).await;
        if now_here != here {
            tracing::debug!("on another network");
            (here, pause, try_at) = (now_here, UDP_AGAIN_MIN, Instant::now());
        }
        if Instant::now() < try_at {
            continue;
        }
        match now(core, &online.account).await {
            Ok(greeted) => return greeted,
            Err(failure) => tracing::debug!(%failure, "UDP is still blocked"),
        }
        try_at = Instant::now() + pause;
        pause = (pause * 2).min(UDP_AGAIN_MAX);
    }
}

async fn now(core: &Core, account: &SavedAccount) -> Result<Greeted, Failure> {
    let link: TrackerLink = account.tracker.parse()?;
    let addresses = dial::resolve(&link.address).await?;
    dial::over_udp(core, &link, &addresses).await
}
