//! Who has a file now, and the grant to fetch it.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
};

use shared::{
    id::{AccountId, DeviceId, FileId},
    limits::{ADDRESSES_MAX, GRANT_BLOBS_MAX, GRANT_LIFE, LOCATED_PEERS_MAX, SOURCES_MAX},
    reach::canonical,
    wire::{
        grant::Grant,
        tracker::{Located, LocatedFile, PeerSource},
    },
};

use super::{Ctx, Error, Moment, at_most, introduce, people};
use crate::{
    introduce::candidates,
    refuse,
    store::{Caller, Whereabouts},
};

/// Where files can be fetched, with a grant for all that may be.
///
/// # Errors
/// When there are too many files.
pub async fn locate(ctx: &Ctx, caller: &Caller, files: &[FileId], now: Moment) -> Result<Located, Error> {
    at_most("files in one request", files.len(), GRANT_BLOBS_MAX)?;
    let found = ctx.store.locate(caller, files).await?;
    let apart = people::hidden_from(ctx, caller).await?;
    let mut peers = Peers::new(ctx, caller.device);
    let mut blobs = BTreeSet::new();
    let mut located = Vec::with_capacity(found.len());
    for whereabouts in found {
        located.push(match whereabouts {
            Whereabouts::Allowed { file, blob, size, devices, copy } => {
                blobs.insert(blob);
                let mut holders = ctx.roster.holders(&(blob, size));
                holders.retain(|(holder, _)| devices.iter().all(|(device, _)| device != holder));
                holders.retain(|(_, account)| !apart.contains(account));
                let (peers, holders) = (peers.of(&devices), peers.of(&holders));
                if holders.is_empty() {
                    LocatedFile::Found { file, blob, size, peers, copy }
                } else {
                    LocatedFile::Spread { file, blob, size, peers, holders, copy }
                }
            }
            Whereabouts::MustAsk(file) => LocatedFile::Refused { file, refusal: refuse::must_ask() },
            Whereabouts::Closed(file) => LocatedFile::Refused { file, refusal: refuse::protected() },
            Whereabouts::Unknown(file) => LocatedFile::Refused { file, refusal: refuse::no_such_file() },
        });
    }
    let life_ms = i64::try_from(GRANT_LIFE.as_millis()).unwrap_or(0);
    let grant = Grant { device: caller.device, expires_ms: now.ms() + life_ms, blobs: blobs.into_iter().collect() };
    let grant = grant.sign(|bytes| ctx.authority.grant_key().sign(bytes));
    Ok(Located { peers: peers.named().await?, files: located, grant })
}

/// Where a device can be reached that the asker may know of; `None`: it is not connected, or it is the asker's own.
///
/// # Errors
/// When the store fails.
pub async fn one(
    ctx: &Ctx,
    caller: &Caller,
    (device, account): (DeviceId, AccountId),
) -> Result<Option<PeerSource>, Error> {
    let mut peers = Peers::new(ctx, caller.device);
    peers.of(&[(device, account)]);
    Ok(peers.named().await?.pop())
}

/// The online devices of an answer, each once.
struct Peers<'a> {
    ctx: &'a Ctx,
    asker: DeviceId,
    places: HashMap<DeviceId, Option<u16>>,
    found: Vec<(DeviceId, AccountId, Vec<SocketAddr>)>,
}

impl<'a> Peers<'a> {
    fn new(ctx: &'a Ctx, asker: DeviceId) -> Self {
        Self { ctx, asker, places: HashMap::new(), found: Vec::new() }
    }

    /// Places of those that are online and not the asker.
    fn of(&mut self, devices: &[(DeviceId, AccountId)]) -> Vec<u16> {
        let asker = self.asker;
        let others = devices.iter().filter(|(device, _)| *device != asker);
        others.filter_map(|(device, account)| self.place(*device, *account)).take(SOURCES_MAX).collect()
    }

    fn place(&mut self, device: DeviceId, account: AccountId) -> Option<u16> {
        if let Some(place) = self.places.get(&device) {
            return *place;
        }
        let place = (self.found.len() < LOCATED_PEERS_MAX)
            .then(|| addresses(self.ctx, self.asker, device))
            .flatten()
            .and_then(|addresses| {
                let place = u16::try_from(self.found.len()).ok()?;
                self.found.push((device, account, addresses));
                Some(place)
            });
        self.places.insert(device, place);
        place
    }

    async fn named(self) -> Result<Vec<PeerSource>, Error> {
        let accounts: Vec<AccountId> =
            self.found.iter().map(|(_, account, _)| *account).collect::<BTreeSet<_>>().into_iter().collect();
        let names: HashMap<AccountId, String> = if accounts.is_empty() {
            HashMap::new()
        } else {
            self.ctx.store.names(&accounts).await?.into_iter().collect()
        };
        let source = |(device, account, addresses)| PeerSource {
            device,
            account,
            member: names.get(&account).cloned().unwrap_or_default(),
            addresses,
        };
        Ok(self.found.into_iter().map(source).collect())
    }
}

/// Where the asker can dial a connected device: where it is seen, then, on one network, where it says it is. Nowhere, if
/// UDP is blocked for one of the two: then it is relayed to. `None`: it is not connected.
fn addresses(ctx: &Ctx, asker: DeviceId, device: DeviceId) -> Option<Vec<SocketAddr>> {
    ctx.roster.session(device)?;
    let (Some(asker), Some(side)) = (introduce::side(ctx, asker), introduce::side(ctx, device)) else {
        return Some(Vec::new());
    };
    let candidates = candidates(&side, &asker);
    let mut addresses = side.seen;
    for address in candidates {
        if addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Some(addresses)
}

/// Takes down where a device says it can be reached, as far as that makes sense.
///
/// # Errors
/// When there are too many addresses.
pub fn sensible(addresses: Vec<SocketAddr>, observed: SocketAddr) -> Result<Vec<SocketAddr>, Error> {
    at_most("addresses", addresses.len(), ADDRESSES_MAX)?;
    let local = canonical(observed).ip().is_loopback();
    let mut sensible: Vec<SocketAddr> = addresses.into_iter().map(canonical).collect();
    sensible.retain(|address| {
        let ip = address.ip();
        // Nobody else's loopback leads to this device, unless all of this happens on one machine.
        address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && (local || !ip.is_loopback())
    });
    Ok(sensible)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_that_lead_nowhere_are_dropped() {
        let claimed = ["192.0.2.1:7", "[::ffff:192.0.2.2]:7", "0.0.0.0:7", "127.0.0.1:7", "224.0.0.1:7", "192.0.2.3:0"];
        let claimed: Vec<SocketAddr> = claimed.into_iter().map(at).collect();
        assert_eq!(sensible(claimed.clone(), at("203.0.113.1:1")).unwrap(), [at("192.0.2.1:7"), at("192.0.2.2:7")]);
        assert!(sensible(claimed, at("127.0.0.1:1")).unwrap().contains(&at("127.0.0.1:7")));
        assert!(sensible(vec![at("192.0.2.1:7"); ADDRESSES_MAX + 1], at("192.0.2.1:1")).is_err());
    }
}
