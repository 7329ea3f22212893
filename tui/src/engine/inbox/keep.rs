//! The engine's own part: fetches what may be fetched, tells how it ended, answers by rules, leaves copies, and lets go
//! of what is over.

use std::{sync::Arc, time::Duration};

use shared::{
    id::ItemId,
    inbox::{Act, Party},
    limits::INBOX_RETRY,
    wire::inbox::{InboxRequest, ItemEntry, What},
};

use super::{
    ask, commands,
    decide::{self, Me, Seen, Todo},
    locked, parcel,
};
use crate::engine::{
    api::{Accept, Failure, FailureKind, Get, NoticeLevel, RuleRow, Steer, Target, TransferState},
    core::{Core, now_ms},
    failure,
    state::Errand,
    transfers::{self, Transfer},
};

/// Does what is to be done until the engine stops.
pub async fn run(core: Arc<Core>) {
    let mut phase = core.session.watch();
    let mut wait = INBOX_RETRY;
    loop {
        tokio::select! {
            () = core.inbox.wake.notified() => {}
            _ = phase.changed() => {}
            () = tokio::time::sleep(wait) => {}
            () = core.stop.cancelled() => return,
        }
        wait = match core.session.current() {
            Some(_) => look(&core).await,
            None => INBOX_RETRY,
        };
    }
}

/// Looks at everything once. Tells when to look again at the latest.
async fn look(core: &Arc<Core>) -> Duration {
    let rules = match core.state.offer_rules().await {
        Ok(rules) => rules,
        Err(error) => {
            tracing::warn!(%error, "the rules for offers cannot be read");
            Vec::new()
        }
    };
    let Some(account) = core.my_id() else { return INBOX_RETRY };
    let me = Me { account, device: core.device() };
    let mut next = INBOX_RETRY;
    for item in core.inbox.all().into_iter().filter(|item| !core.peers.is_blocked(item.from)) {
        let errand = core.inbox.errand(item.id);
        let transfer = errand.as_ref().and_then(|errand| state_of(core, errand));
        let seen = Seen {
            item: &item,
            errand: errand.as_ref(),
            transfer,
            rule: rules.iter().find(|rule| is_of(rule, &item)).map(|rule| rule.what),
            away_since_ms: away_since(core, &item, me),
        };
        let (todo, due_ms) = decide::decide(&seen, me, now_ms());
        if let Some(due_ms) = due_ms {
            next = next.min(Duration::from_millis(u64::try_from(due_ms - now_ms()).unwrap_or(0)));
        }
        let Some(todo) = todo else { continue };
        if let Err(failure) = carry_out(core, &item, todo).await {
            tell(core, &item, &failure).await;
        }
    }
    if let Err(failure) = parcel::tidy(core).await {
        tracing::info!(%failure, "offers that are over are let go later");
    }
    next
}

fn is_of(rule: &RuleRow, item: &ItemEntry) -> bool {
    shared::name::FoldKey::of(&rule.member) == shared::name::FoldKey::of(&item.from_name)
}

fn state_of(core: &Core, errand: &Errand) -> Option<TransferState> {
    let id = i64::from_str_radix(errand.transfer.as_deref()?, 16).ok()?;
    Some(core.transfers.get(id)?.state())
}

/// Since when the one who began an item to this member is away.
fn away_since(core: &Core, item: &ItemEntry, me: Me) -> Option<i64> {
    if !item.state.is_open() || decide::party(item, me.account) == Party::From {
        return None;
    }
    let mut away = locked(&core.inbox.away);
    if core.is_online(item.from) {
        away.remove(&item.from);
        return None;
    }
    Some(*away.entry(item.from).or_insert_with(now_ms))
}

async fn carry_out(core: &Arc<Core>, item: &ItemEntry, todo: Todo) -> Result<(), Failure> {
    match todo {
        Todo::Fetch(_) => fetch(core, item).await.map(drop),
        Todo::Act(id, act) => {
            let word = match act {
                Act::Decline => commands::NOT_WANTED.to_owned(),
                // What was said with the yes holds.
                Act::Fulfil if parcel::is_offer(item) => item.word.clone(),
                Act::Fulfil | Act::Accept | Act::Cancel => String::new(),
            };
            ask(core, InboxRequest::Act { item: id, act, always: false, with: None, word }).await.map(drop)
        }
        Todo::Accept(id) => {
            let accept = Accept { items: vec![id.to_string()], ..Accept::default() };
            commands::accept_one(core, item.clone(), &accept).await.map(drop)
        }
        Todo::LeaveCopy(id) => ask(core, InboxRequest::LeaveCopy { item: id }).await.map(drop),
        Todo::Stop(id) => stop(core, id).await,
    }
}

/// Queues what an item lets this device fetch, once.
pub(super) async fn fetch(core: &Arc<Core>, item: &ItemEntry) -> Result<Option<Arc<Transfer>>, Failure> {
    let _one_at_a_time = core.inbox.fetching.lock().await;
    let errand = core.inbox.errand(item.id).unwrap_or_default();
    if let Some(known) = errand.transfer.as_deref().and_then(|id| i64::from_str_radix(id, 16).ok()) {
        return Ok(core.transfers.get(known));
    }
    let transfer = match &item.what {
        What::Request { file: Some(file), .. } => {
            let get =
                Get { items: vec![file.to_string()], target: errand.target.clone(), wait: true, ..Get::default() };
            transfers::start(core, &get).await?.into_iter().next()
        }
        What::Offer { name, .. } => Some(parcel::fetch(core, item, name, &errand).await?),
        What::Request { file: None, .. } | What::Channel => None,
    };
    if let Some(transfer) = &transfer {
        let errand = Errand { transfer: Some(transfer.text_id()), ..errand };
        core.inbox.take_on(core, item.id, errand).await?;
    }
    Ok(transfer)
}

async fn stop(core: &Arc<Core>, id: ItemId) -> Result<(), Failure> {
    let Some(transfer) = core.inbox.errand(id).and_then(|errand| errand.transfer) else { return Ok(()) };
    transfers::steer(core, &[transfer], Steer::Cancel).await.map(drop)
}

/// What could not be done is tried again, unless trying again is of no use.
async fn tell(core: &Arc<Core>, item: &ItemEntry, failure: &Failure) {
    if matches!(failure.kind, FailureKind::Unreachable | FailureKind::Timeout | FailureKind::Interrupted) {
        return tracing::debug!(%failure, "an item is looked at again later");
    }
    tracing::info!(item = %item.id, %failure, "what an item asks for cannot be done");
    let tried = core.inbox.errand(item.id).is_some_and(|errand| errand.transfer.is_some());
    if tried {
        return;
    }
    core.hub.notice(NoticeLevel::Warning, &failure.message, &failure.hint);
    // Noted as tried: a person sees why, and decides.
    let errand = core.inbox.errand(item.id).unwrap_or_default();
    let errand = Errand { transfer: Some(String::new()), ..errand };
    if let Err(failure) = core.inbox.take_on(core, item.id, errand).await {
        tracing::warn!(%failure, "a failed item could not be noted");
    }
}

/// A transfer is over well: whoever waited for that is told before the face that followed it leaves, and perhaps the
/// engine with it. Where that fails the next look tells it.
pub async fn fetched(core: &Arc<Core>, transfer: &str) {
    let of_transfer =
        |id: &ItemId| core.inbox.errand(*id).is_some_and(|errand| errand.transfer.as_deref() == Some(transfer));
    for item in core.inbox.all().into_iter().filter(|item| item.state.is_open() && of_transfer(&item.id)) {
        if let Err(failure) = carry_out(core, &item, Todo::Act(item.id, Act::Fulfil)).await {
            tracing::info!(%failure, "the end of an item is told later");
        }
    }
}

/// A `get` found nobody who has the file: the request for it waits at the tracker too, where its owner sees it.
pub async fn ask_for(core: &Core, file: shared::id::FileId, transfer: &str, target: &Target) -> Result<(), Failure> {
    let item = ItemId(rand::random());
    let items = ask(core, InboxRequest::WantFile { item, file, text: String::new(), life_s: None }).await?;
    let item = items.first().ok_or_else(failure::bad_answer)?;
    let errand = Errand { target: target.clone(), only: Vec::new(), transfer: Some(transfer.to_owned()) };
    core.inbox.take_on(core, item.id, errand).await
}
