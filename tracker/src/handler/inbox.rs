//! Requests and offers: what is asked is checked here, what may be done is ruled in [`shared::inbox`].

use std::{collections::HashSet, sync::Arc, time::Duration};

use shared::{
    id::{AccountId, FileId, ItemId, ParcelId},
    inbox::Act,
    limits::{
        CHANNEL_INVITE_LIFE, FILE_BYTES_MAX, ITEM_LIFE, ITEM_LIFE_MAX, ITEM_LIFE_MIN, ITEM_TEXT_BYTES_MAX, ITEMS_LOOK,
        PEOPLE_MAX, PUBLISH_ENTRIES_MAX,
    },
    name::{FileName, IndexPath},
    wire::{
        inbox::{InboxAnswer, InboxRequest, PackEntry, Receiver},
        tracker::{Answer, Event},
    },
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Ctx, Error, Moment, account::member_name, apply_effects, at_most, locate, now_ms};
use crate::{
    events::Target,
    store::{Caller, Deed, Done, Named, NewItem, Told},
};

/// Tells whoever waits for the end of items that there are new ones.
#[derive(Debug, Default)]
pub struct Deadlines(Notify);

/// Carries out what a member asks about pending work.
///
/// # Errors
/// When it breaks a limit, is not possible as the item stands, or not this member's business.
pub async fn answer(ctx: &Ctx, caller: &Caller, request: InboxRequest, now: Moment) -> Result<Answer, Error> {
    let store = &ctx.store;
    Ok(match request {
        InboxRequest::Changes { since } => Answer::Inbox(store.inbox_changes(caller, since).await?),
        InboxRequest::WantFile { item, file, text, life_s } => {
            let done = store.want_file(caller, file, new_item(item, text, life_s, now)?).await?;
            begun(ctx, done)
        }
        InboxRequest::WantText { item, of, text, life_s } => {
            if text.trim().is_empty() {
                return Err(Error::Bad("say what is wanted".to_owned()));
            }
            let of = of.map(named).transpose()?;
            let done = store.want_text(caller, of, new_item(item, text, life_s, now)?).await?;
            begun(ctx, done)
        }
        InboxRequest::Pack { parcel, entries } => pack(ctx, caller, parcel, entries, now).await?,
        InboxRequest::Offer { parcel, name, to, text, life_s } => {
            let done = offer(ctx, caller, parcel, name, (to, text, life_s), now).await?;
            begun(ctx, done)
        }
        InboxRequest::Act { item, act, always, with, word } => {
            let word = text_of(word)?;
            let always = always && act == Act::Accept;
            let done = store.act(caller, item, Deed { act, always, with, word }, now.ms()).await?;
            items(ctx, done)
        }
        InboxRequest::Files { item, after } => {
            let (files, next) = store.offered_files(caller, item, after.as_deref()).await?;
            Answer::Inbox(InboxAnswer::Files { files, next })
        }
        InboxRequest::LeaveCopy { item } => items(ctx, store.leave_copy(caller, item, now.ms()).await?),
        InboxRequest::Approvals => Answer::Inbox(InboxAnswer::Approved { members: store.approved(caller).await? }),
        InboxRequest::Approve { member, always } => {
            let effects = store.approve(caller, named(member)?, always).await?;
            apply_effects(ctx, effects);
            Answer::Done
        }
        InboxRequest::Invite { item, to, life_s } => {
            let life =
                life_s.map_or(CHANNEL_INVITE_LIFE, Duration::from_secs).clamp(ITEM_LIFE_MIN, CHANNEL_INVITE_LIFE);
            let new = new_item(item, String::new(), Some(life.as_secs()), now)?;
            begun(ctx, store.invite_to_channel(caller, named(to)?, new).await?)
        }
        InboxRequest::Host { item } => {
            let host = store.channel_host(caller, item).await?;
            Answer::Inbox(InboxAnswer::Host { peer: locate::one(ctx, caller, host).await? })
        }
    })
}

async fn pack(
    ctx: &Ctx,
    caller: &Caller,
    parcel: ParcelId,
    entries: Vec<PackEntry>,
    now: Moment,
) -> Result<Answer, Error> {
    at_most("entries in one request", entries.len(), PUBLISH_ENTRIES_MAX)?;
    let mut paths = HashSet::new();
    for entry in &entries {
        IndexPath::parse(&entry.path).map_err(|error| Error::Name { what: "a path".to_owned(), error })?;
        if entry.size > FILE_BYTES_MAX {
            return Err(Error::TooMuch { what: "bytes of a file", most: FILE_BYTES_MAX });
        }
        if !paths.insert(entry.path.as_str()) {
            return Err(Error::Bad("a path occurs twice in one request".to_owned()));
        }
    }
    let entries = entries.into_iter().map(|entry| (entry, FileId(rand::random()))).collect();
    let (files, effects) = ctx.store.pack(caller, parcel, entries, now.ms()).await?;
    apply_effects(ctx, effects);
    Ok(Answer::Inbox(InboxAnswer::Packed { files }))
}

async fn offer(
    ctx: &Ctx,
    caller: &Caller,
    parcel: ParcelId,
    name: String,
    (to, text, life_s): (Vec<Receiver>, String, Option<u64>),
    now: Moment,
) -> Result<Done, Error> {
    at_most("receivers of one offer", to.len(), PEOPLE_MAX)?;
    FileName::parse(&name).map_err(|error| Error::Name { what: "the name of an offer".to_owned(), error })?;
    let mut keys = HashSet::new();
    let mut receivers = Vec::with_capacity(to.len());
    for Receiver { item, name } in to {
        let member = named(name)?;
        if !keys.insert(member.key.clone()) {
            return Err(Error::Bad("a member is named twice".to_owned()));
        }
        receivers.push((member, new_item(item, text.clone(), life_s, now)?));
    }
    Ok(ctx.store.offer(caller, parcel, name, receivers).await?)
}

fn new_item(id: ItemId, text: String, life_s: Option<u64>, now: Moment) -> Result<NewItem, Error> {
    let life = life_s.map_or(ITEM_LIFE, Duration::from_secs).clamp(ITEM_LIFE_MIN, ITEM_LIFE_MAX);
    let life_ms = i64::try_from(life.as_millis()).unwrap_or(i64::MAX);
    Ok(NewItem { id, text: text_of(text)?, now_ms: now.ms(), expires_ms: now.ms().saturating_add(life_ms) })
}

fn text_of(text: String) -> Result<String, Error> {
    at_most("bytes of a word to another member", text.len(), ITEM_TEXT_BYTES_MAX)?;
    Ok(text)
}

fn named(typed: String) -> Result<Named, Error> {
    let key = member_name("a member's name", &typed)?.key().as_str().to_owned();
    Ok(Named { key, typed })
}

/// What the caller asks of a member or offers to them is over.
///
/// # Errors
/// When the store fails.
pub async fn take_back(ctx: &Ctx, caller: &Caller, member: AccountId, now: Moment) -> Result<(), Error> {
    let done = ctx.store.cancel_to(caller, member, now.ms()).await?;
    tell(ctx, done.told);
    apply_effects(ctx, done.effects);
    Ok(())
}

/// The caller and a member see each other again, and what was begun between them meanwhile.
///
/// # Errors
/// When the store fails.
pub async fn show_again(ctx: &Ctx, caller: &Caller, member: AccountId) -> Result<(), Error> {
    let done = ctx.store.show_again(caller, member).await?;
    tell(ctx, done.told);
    Ok(())
}

/// There may be new items: they end by themselves some day.
fn begun(ctx: &Ctx, done: Done) -> Answer {
    ctx.deadlines.0.notify_one();
    items(ctx, done)
}

fn items(ctx: &Ctx, done: Done) -> Answer {
    let Done { items, told, effects } = done;
    tell(ctx, told);
    apply_effects(ctx, effects);
    Answer::Inbox(InboxAnswer::Items { items })
}

pub(super) fn tell(ctx: &Ctx, told: Told) {
    let Some(seq) = told.seq else { return };
    let event = Event::InboxMoved { seq };
    if told.everyone {
        return ctx.events.send(Target::Everyone, event);
    }
    for account in told.accounts {
        ctx.events.send(Target::Account(account), event.clone());
    }
}

/// Ends items when their time has come, until stopped.
pub async fn end_items(ctx: Arc<Ctx>, stop: CancellationToken) {
    loop {
        let next_ms = match ctx.store.expire_items(now_ms()).await {
            Ok((done, next_ms)) => {
                tell(&ctx, done.told);
                apply_effects(&ctx, done.effects);
                next_ms
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "items whose time is over could not be ended"
                );
                None
            }
        };
        let wait = next_ms.map_or(ITEMS_LOOK, |next| {
            Duration::from_millis(u64::try_from(next.saturating_sub(now_ms())).unwrap_or(0)).min(ITEMS_LOOK)
        });
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = ctx.deadlines.0.notified() => {}
            () = stop.cancelled() => return,
        }
    }
}
