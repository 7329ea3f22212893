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
        grant::{Allowed, Grant},
        tracker::{Located, LocatedFile, PeerSource},
    },
};

use super::{Ctx, Error, Moment, at_most, introduce, people};
use crate::{
    holdings::Content,
    introduce::candidates,
    refuse,
    store::{Caller, StoreError, Whereabouts},
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
    let mut allowed = Allowed::new();
    let mut located = Vec::with_capacity(found.len());
    for whereabouts in found {
        located.push(match whereabouts {
            Whereabouts::Allowed { file, blob, size, devices, copy } => {
                let mut holders = holders(ctx, caller, file, (blob, size), &apart).await?;
                holders.retain(|(holder, _)| devices.iter().all(|(device, _)| device != holder));
                let sources = allowed.entry(blob).or_default();
                let (peers, holders) = (peers.of(&devices, &mut sources.0), peers.of(&holders, &mut sources.0));
                sources.1 |= copy;
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
    let grant = Grant::new(caller.device, now.ms() + life_ms, &allowed);
    let grant = grant.sign(|bytes| ctx.authority.grant_key().sign(bytes));
    Ok(Located { peers: peers.named().await?, files: located, grant })
}

/// Who holds the content of a file that the caller may fetch, without sharing it, and lets the caller have it: whoever is
/// not hidden from it, and got the content as something that the caller may fetch too.
///
/// # Errors
/// When the store fails.
pub async fn holders(
    ctx: &Ctx,
    caller: &Caller,
    file: FileId,
    content: Content,
    apart: &BTreeSet<AccountId>,
) -> Result<Vec<(DeviceId, AccountId)>, StoreError> {
    let mut holders = ctx.roster.holders(&content);
    holders.retain(|holder| holder.device != caller.device && !apart.contains(&holder.account));
    if holders.is_empty() {
        return Ok(Vec::new());
    }
    let fetched_as = holders.iter().map(|holder| (holder.account, holder.files.clone())).collect::<Vec<_>>();
    let open = ctx.store.open_holders(caller, file, content, &fetched_as).await?;
    let open = holders.into_iter().zip(open).filter(|(_, open)| *open);
    Ok(open.map(|(holder, _)| (holder.device, holder.account)).collect())
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
    peers.of(&[(device, account)], &mut BTreeSet::new());
    Ok(peers.named().await?.pop())
}

/// The online devices of an answer, each once.
struct Peers<'a> {
    ctx: &'a Ctx,
    asker: DeviceId,
    places: HashMap<DeviceId, Option<u16>>,
    found: Vec<(DeviceId, AccountId, Vec<SocketAddr>)>,
    /// Sources of all files together.
    allowed: BTreeSet<DeviceId>,
}

impl<'a> Peers<'a> {
    fn new(ctx: &'a Ctx, asker: DeviceId) -> Self {
        Self { ctx, asker, places: HashMap::new(), found: Vec::new(), allowed: BTreeSet::new() }
    }

    /// Places of those that are online and not the asker. They become allowed sources; so do others, as far as there is
    /// room: a source goes on serving while its connection to the tracker is away.
    fn of(&mut self, devices: &[(DeviceId, AccountId)], allowed: &mut BTreeSet<DeviceId>) -> Vec<u16> {
        let asker = self.asker;
        let others = || devices.iter().filter(move |(device, _)| *device != asker);
        let places: Vec<u16> =
            others().filter_map(|(device, account)| self.place(*device, *account)).take(SOURCES_MAX).collect();
        allowed.extend(places.iter().filter_map(|place| Some(self.found.get(usize::from(*place))?.0)));
        for (device, _) in others() {
            if allowed.len() < SOURCES_MAX && self.allowed.len() < LOCATED_PEERS_MAX {
                allowed.insert(*device);
            }
        }
        self.allowed.extend(allowed.iter().copied());
        places
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
