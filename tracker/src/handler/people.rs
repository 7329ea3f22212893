//! What members decide about each other, and how they see each other because of it.

use std::collections::{BTreeMap, BTreeSet};

use shared::{
    id::AccountId,
    limits::{BLOCKS_MAX, SEEN_PAGE_MAX},
    name::MemberName,
    wire::{
        people::{DeviceSeen, MemberSeen, PeopleAnswer, PeopleEvent, PeopleRequest},
        tracker::{Answer, Event, MemberEntry, Presence},
    },
};

use super::{Ctx, Error, Moment, account::member_name, inbox, tell_revoked};
use crate::{
    events::Target,
    presence::ConnectionNo,
    roster::Roster,
    store::{Apart, Block, Caller, Moved, Parting, Store, StoreError},
};

/// Answers what a member asks about others.
///
/// # Errors
/// When there is no such member, or the store fails.
pub async fn people(
    ctx: &Ctx,
    caller: &Caller,
    connection: ConnectionNo,
    request: PeopleRequest,
    now: Moment,
) -> Result<Answer, Error> {
    let member = match request {
        PeopleRequest::Attend { here } => {
            ctx.roster.attend(caller.device, caller.account, connection, here, now.ms());
            return Ok(Answer::Done);
        }
        PeopleRequest::Seen { after } => return seen(ctx, caller, after.as_deref()).await,
        PeopleRequest::Block { member } => {
            let member = named(ctx, &member).await?;
            if member == caller.account {
                return Err(Error::Bad("nobody can block themselves".to_owned()));
            }
            let seen = |account| (ctx.roster.devices_of(account) > 0).then(|| now.ms());
            let block = Block { member, own_seen_ms: seen(caller.account), its_seen_ms: seen(member) };
            let parting = ctx.store.block(caller, block).await?;
            tell(ctx, caller, member, parting).await?;
            inbox::take_back(ctx, caller, member, now).await?;
            member
        }
        PeopleRequest::Unblock { member } => {
            let member = named(ctx, &member).await?;
            let parting = ctx.store.unblock(caller, member).await?;
            tell(ctx, caller, member, parting).await?;
            inbox::show_again(ctx, caller, member).await?;
            member
        }
    };
    Ok(Answer::Members { members: one_seen_by(ctx, caller.account, member).await?, next: None })
}

/// One page of members with their devices.
async fn seen(ctx: &Ctx, caller: &Caller, after: Option<&str>) -> Result<Answer, Error> {
    let (mut entries, mut next) = ctx.store.members(after).await?;
    if entries.len() > SEEN_PAGE_MAX {
        entries.truncate(SEEN_PAGE_MAX);
        let last = entries.last().and_then(|last| MemberName::parse(&last.name).ok());
        next = last.map(|name| name.key().as_str().to_owned());
    }
    seen_by(&*ctx.store, &ctx.roster, caller.account, &mut entries).await?;
    let hidden = hidden_from(ctx, caller).await?;
    let accounts: Vec<AccountId> =
        entries.iter().map(|entry| entry.account).filter(|account| !hidden.contains(account)).collect();
    let mut devices: BTreeMap<AccountId, Vec<DeviceSeen>> = BTreeMap::new();
    for (account, device, last_seen_ms) in ctx.store.devices_of(&accounts).await? {
        let session = ctx.roster.session(device).filter(|session| session.account == account);
        let seen = session.map_or(DeviceSeen { device, presence: Presence::Offline, last_seen_ms }, |session| {
            let presence = session.presence();
            let last_seen_ms = if presence == Presence::Away { session.left_ms } else { last_seen_ms };
            DeviceSeen { device, presence, last_seen_ms }
        });
        devices.entry(account).or_default().push(seen);
    }
    let with_devices =
        |entry: MemberEntry| MemberSeen { devices: devices.remove(&entry.account).unwrap_or_default(), entry };
    let members = entries.into_iter().map(with_devices).collect();
    Ok(Answer::People(PeopleAnswer::Seen { members, next }))
}

/// The member of this name as typed.
async fn named(ctx: &Ctx, typed: &str) -> Result<AccountId, Error> {
    let name = member_name("a member's name", typed)?;
    ctx.store.account_named(name.key().as_str()).await?.ok_or(Error::NotFound("member"))
}

/// Tells the devices of the two what they need to know; nobody else sees a difference.
async fn tell(ctx: &Ctx, caller: &Caller, member: AccountId, parting: Parting) -> Result<(), StoreError> {
    let Parting { changed, moved } = parting;
    if changed {
        let event = blocks(&*ctx.store, caller.account).await?;
        ctx.events.send(Target::Account(caller.account), event);
    }
    let Some(Moved { seq, narrowed }) = moved else { return Ok(()) };
    ctx.copies.revoke(narrowed);
    ctx.relays.part(caller.account, member);
    // Their own devices part by themselves; others may hold what one of the two shares, and be asked by the other.
    let held = ctx.roster.held();
    let theirs = ctx.store.files_among(&held.keys().copied().collect::<Vec<_>>(), [caller.account, member]).await?;
    let blobs = theirs.iter().filter_map(|file| held.get(file)).copied().collect();
    tell_revoked(ctx, ctx.roster.holders_among(&blobs));
    for (account, other) in [(caller.account, member), (member, caller.account)] {
        for entry in one_seen_by(ctx, account, other).await? {
            ctx.events.send(Target::Account(account), Event::Member(entry));
        }
        ctx.events.send(Target::Account(account), Event::IndexMoved { seq });
    }
    Ok(())
}

/// A member as another one sees it now.
async fn one_seen_by(ctx: &Ctx, viewer: AccountId, member: AccountId) -> Result<Vec<MemberEntry>, StoreError> {
    let mut members = ctx.store.members_by_id(&[member]).await?;
    seen_by(&*ctx.store, &ctx.roster, viewer, &mut members).await?;
    Ok(members)
}

/// Whom a member has blocked, for its devices.
///
/// # Errors
/// When the store fails.
pub async fn blocks(store: &dyn Store, account: AccountId) -> Result<Event, StoreError> {
    let members = store.blocked(account).await?;
    debug_assert!(members.len() <= BLOCKS_MAX);
    Ok(Event::People(PeopleEvent::Blocks { members }))
}

/// Completes entries of the store as this member sees them: by who is connected, except of those it is apart from.
///
/// # Errors
/// When the store fails.
pub async fn seen_by(
    store: &dyn Store,
    roster: &Roster,
    viewer: AccountId,
    members: &mut [MemberEntry],
) -> Result<(), StoreError> {
    let apart = store.apart_from(&[viewer]).await?;
    let apart: BTreeMap<AccountId, Apart> = apart.into_iter().map(|apart| (apart.hidden, apart)).collect();
    roster.complete(members);
    hide(members, &apart);
    Ok(())
}

/// Shows the hidden ones among these members as if they had left when they were hidden.
fn hide(members: &mut [MemberEntry], apart: &BTreeMap<AccountId, Apart>) {
    for member in members {
        if let Some(apart) = apart.get(&member.account) {
            member.presence = Presence::Offline;
            member.devices = 0;
            member.shares = 0;
            member.last_seen_ms = apart.seen_ms;
        }
    }
}

/// Who is hidden from the caller.
///
/// # Errors
/// When the store fails.
pub async fn hidden_from(ctx: &Ctx, caller: &Caller) -> Result<BTreeSet<AccountId>, StoreError> {
    Ok(ctx.store.apart_from(&[caller.account]).await?.into_iter().map(|apart| apart.hidden).collect())
}

/// Whether two members' devices may meet: not while one of them hides from the other. A device that is not connected
/// meets nobody anyway.
///
/// # Errors
/// When the store fails.
pub async fn may_meet(ctx: &Ctx, caller: &Caller, device: shared::id::DeviceId) -> Result<bool, StoreError> {
    let Some(session) = ctx.roster.session(device) else { return Ok(true) };
    Ok(!ctx.store.are_apart(caller.account, session.account).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_hidden_looks_as_if_it_had_left_with_its_files() {
        let entry = |n| MemberEntry {
            account: AccountId([n; 16]),
            name: format!("member {n}"),
            presence: Presence::Online,
            last_seen_ms: Some(90),
            shares: 7,
            devices: 2,
        };
        let apart = Apart { viewer: AccountId([9; 16]), hidden: AccountId([1; 16]), seen_ms: Some(50) };
        let mut members = [entry(1), entry(2)];
        hide(&mut members, &[(apart.hidden, apart)].into());
        let hidden =
            MemberEntry { presence: Presence::Offline, last_seen_ms: Some(50), shares: 0, devices: 0, ..entry(1) };
        assert_eq!(members, [hidden, entry(2)]);
    }
}
