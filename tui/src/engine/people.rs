//! Other members: blocking them. What follows from a block on this device is [`super::peers`]' and the tracker's.

use std::sync::{Arc, atomic::Ordering};

use quinn::Connection;
use shared::{
    id::AccountId,
    wire::{
        people::{PeopleAnswer, PeopleEvent, PeopleRequest},
        tracker::{Answer, Request},
    },
};

use super::{
    api::{Failure, PeopleCommand, Update},
    core::Core,
    dispatch::Out,
    failure, session,
};

/// The setting that holds whom the account has blocked: it counts from the start, before the tracker tells it again.
pub(super) const BLOCKS: &str = "blocks";

pub(super) async fn carry_out(core: &Arc<Core>, command: PeopleCommand, out: &Out) -> Result<(), Failure> {
    let (request, blocked) = match command {
        PeopleCommand::Attend => {
            let _attending = core.attention.begin();
            return std::future::pending().await;
        }
        PeopleCommand::Block { member } => (PeopleRequest::Block { member }, true),
        PeopleCommand::Unblock { member } => (PeopleRequest::Unblock { member }, false),
    };
    let Answer::Members { members, .. } = core.session.ask(&Request::People(request)).await? else {
        return Err(failure::bad_answer());
    };
    let entry = members.into_iter().next().ok_or_else(failure::bad_answer)?;
    let mut blocks = core.peers.blocks();
    let changed = if blocked { blocks.insert(entry.account) } else { blocks.remove(&entry.account) };
    if changed {
        note_blocks(core, blocks.into_iter().collect()).await;
    }
    let row = core.member_row(&entry);
    core.member_changed(entry);
    out.send(Update::Member(row)).await
}

/// The members with their devices: one row each.
pub(super) async fn members(core: &Arc<Core>, out: &Out) -> Result<(), Failure> {
    let online = core.session.online().await?;
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let request = Request::People(PeopleRequest::Seen { after });
        let Answer::People(PeopleAnswer::Seen { members, next }) = session::ask(&online.connection, &request).await?
        else {
            return Err(failure::bad_answer());
        };
        all.extend(members);
        after = next;
        if after.is_none() {
            break;
        }
    }
    core.set_members(all.iter().map(|seen| seen.entry.clone()));
    let mut rows: Vec<_> = all.iter().map(|seen| core.member_seen_row(seen)).collect();
    rows.sort_by_cached_key(|row| (row.status as u8, row.name.to_lowercase()));
    for row in rows {
        out.send(Update::Member(row)).await?;
    }
    Ok(())
}

/// Tells the tracker whether somebody is at the keyboard, on this connection and whenever it changes.
pub(super) async fn keep_attended(core: &Arc<Core>, connection: &Connection) -> Result<(), Failure> {
    loop {
        let here = core.attention.is_here();
        if let Err(failure) = session::ask(connection, &Request::People(PeopleRequest::Attend { here })).await {
            // An older tracker takes everyone for present; what else is wrong with the connection shows elsewhere.
            tracing::debug!(%failure, "the tracker was not told who is here");
        }
        core.attention.until(!here).await;
    }
}

/// Acts on what the tracker tells about other members.
pub(super) async fn hear(core: &Arc<Core>, event: PeopleEvent) {
    match event {
        PeopleEvent::Blocks { members } => note_blocks(core, members).await,
    }
}

/// These members are blocked, and no others.
async fn note_blocks(core: &Arc<Core>, members: Vec<AccountId>) {
    if let Err(error) = core.state.set(BLOCKS, &members).await {
        tracing::warn!(%error, "who is blocked could not be noted");
    }
    core.peers.block(members.into_iter().collect());
    core.hub.members_changed.store(true, Ordering::Relaxed);
    // What came from a blocked member looks for other sources, or ends.
    core.transfers.poke();
}
