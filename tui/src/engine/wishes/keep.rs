//! The engine's own part in standing searches: fetches matches a few at a time, and tells of the others when somebody
//! listens.

use std::{collections::BTreeMap, sync::Arc};

use shared::{
    limits::{WISH_DAY, WISH_FETCHES_A_DAY_MAX, WISH_LOOK, WISH_TOLD_MAX},
    show::show_line,
    wire::tracker::FileEntry,
};

use super::{
    locked,
    matching::{self, Means, Ruling},
};
use crate::engine::{
    api::{EventKind, Failure, FailureKind, Get, NoticeLevel, TransferState, WishMatch},
    core::{Core, now_ms},
    failure,
    rows::name_of,
    state::{Match, MatchState, WishRecord},
    transfers,
};

/// Does what is to be done until the engine stops.
pub async fn run(core: Arc<Core>) {
    loop {
        tokio::select! {
            () = core.wishes.wake.notified() => {}
            () = tokio::time::sleep(WISH_LOOK) => {}
            () = core.stop.cancelled() => return,
        }
        if let Err(failure) = look(&core).await {
            tracing::info!(%failure, "matches of standing searches are looked at again later");
        }
    }
}

async fn look(core: &Arc<Core>) -> Result<(), Failure> {
    if locked(&core.wishes.all).is_empty() {
        return Ok(());
    }
    // While it begins anew the replica lacks files that are not gone.
    if core.session.current().is_some() && *core.session.in_step.borrow() {
        make_room(core).await?;
        fetch_due(core).await?;
    }
    if core.wishes.is_heard() { tell_due(core).await } else { Ok(()) }
}

/// Searches that remember as much as they may forget what is gone; where nothing is, a person has to know.
async fn make_room(core: &Core) -> Result<(), Failure> {
    let full = std::mem::take(&mut *locked(&core.wishes.full));
    for no in full {
        let Some(wish) = core.wishes.get(no) else { continue };
        if core.state.forget_gone_matches(no).await.map_err(failure::unexpected)? == 0 {
            let text = format!("the wish '{}' matches too much: new files are passed over", show_line(&wish.query, 60));
            core.hub.notice(NoticeLevel::Warning, &text, "remove it with `swapmeet wish rm`, and narrow it");
        }
    }
    Ok(())
}

async fn fetch_due(core: &Arc<Core>) -> Result<(), Failure> {
    let due = core.state.matches_in(MatchState::Wanted, WISH_TOLD_MAX).await.map_err(failure::unexpected)?;
    if due.is_empty() {
        return Ok(());
    }
    let day_ms = i64::try_from(WISH_DAY.as_millis()).unwrap_or(i64::MAX);
    let begun = core.state.wish_transfers(now_ms().saturating_sub(day_ms), WISH_FETCHES_A_DAY_MAX).await;
    let (begun, mut today) = begun.map_err(failure::unexpected)?;
    let mut running = begun.iter().filter(|transfer| is_running(core, transfer)).count();
    for found in due {
        let Some(wish) = core.wishes.get(found.wish) else { continue };
        let Some(entry) = core.state.index_entry(found.file).await.map_err(failure::unexpected)? else {
            core.state.forget_match(&found).await.map_err(failure::unexpected)?;
            continue;
        };
        if core.peers.is_blocked(entry.owner) {
            continue;
        }
        let free = rustix::fs::statvfs(core.profile.downloads.as_path()).ok();
        let means = Means {
            running,
            today,
            free: free.map(|room| room.f_bavail.saturating_mul(room.f_frsize)),
            up_to: wish.up_to,
            have: core.has_blob(&entry.blob),
        };
        match matching::rule(&entry, &means) {
            Ruling::Later => {}
            Ruling::Nothing => set(core, &found, MatchState::Fetched, "").await?,
            Ruling::Tell(reason) => set(core, &found, MatchState::New, reason).await?,
            Ruling::Fetch => {
                if fetch(core, &wish, &found, &entry).await? {
                    running += 1;
                    today += 1;
                }
            }
        }
    }
    Ok(())
}

/// Whether a transfer that a match became takes a place. One whose source is away does not hold up the others.
fn is_running(core: &Core, transfer: &str) -> bool {
    let known = i64::from_str_radix(transfer, 16).ok().and_then(|id| core.transfers.get(id));
    let state = known.map(|transfer| transfer.state());
    matches!(state, Some(TransferState::Queued | TransferState::Running | TransferState::Finishing))
}

/// Queues a match like a `get`. Whether it takes a place from now on.
async fn fetch(core: &Arc<Core>, wish: &WishRecord, found: &Match, entry: &FileEntry) -> Result<bool, Failure> {
    let get = Get { items: vec![found.file.to_string()], wait: true, ..Get::default() };
    match transfers::start(core, &get).await {
        Ok(begun) => {
            let Some(transfer) = begun.first().map(|transfer| transfer.text_id()) else { return Ok(false) };
            core.state.match_fetched(found, &transfer, now_ms()).await.map_err(failure::unexpected)?;
            tell(core, wish, found, entry, Some(transfer));
            Ok(true)
        }
        Err(failure) => match failure.kind {
            FailureKind::Unreachable | FailureKind::Timeout | FailureKind::Interrupted | FailureKind::SignIn => {
                Err(failure)
            }
            _ => {
                let reason = format!("not fetched: {}", failure.message);
                set(core, found, MatchState::New, &reason).await.map(|()| false)
            }
        },
    }
}

/// Tells of matches that nobody was told of, each once.
async fn tell_due(core: &Arc<Core>) -> Result<(), Failure> {
    let due = core.state.matches_in(MatchState::New, WISH_TOLD_MAX).await.map_err(failure::unexpected)?;
    let more = due.len() == WISH_TOLD_MAX;
    let mut told: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for found in due {
        let Some(wish) = core.wishes.get(found.wish) else { continue };
        let Some(entry) = core.state.index_entry(found.file).await.map_err(failure::unexpected)? else {
            core.state.forget_match(&found).await.map_err(failure::unexpected)?;
            continue;
        };
        // Of somebody who was blocked a moment ago the index still tells.
        if core.peers.is_blocked(entry.owner) {
            continue;
        }
        told.entry(wish.no).or_default().push(tell(core, &wish, &found, &entry, None));
        set(core, &found, MatchState::Told, &found.reason).await?;
    }
    for (no, names) in &told {
        let Some(wish) = core.wishes.get(*no) else { continue };
        let text = match &names[..] {
            [name] => format!("{name} matches the wish '{}'", show_line(&wish.query, 60)),
            _ => format!("{} files match the wish '{}'", names.len(), show_line(&wish.query, 60)),
        };
        core.hub.notice(NoticeLevel::Success, &text, &format!("`swapmeet wish show {}` lists what matched", wish.id));
    }
    if more && !told.is_empty() {
        core.wishes.wake.notify_one();
    }
    Ok(())
}

/// Tells of one match; gives its name as people see it.
fn tell(core: &Core, wish: &WishRecord, found: &Match, entry: &FileEntry, transfer: Option<String>) -> String {
    let told = WishMatch {
        wish: wish.id.clone(),
        query: wish.query.clone(),
        file: core.file_row(entry),
        transfer,
        reason: found.reason.clone(),
    };
    core.hub.event(EventKind::WishMatched { found: Box::new(told) });
    format!("{}/{}", show_line(&entry.owner_name, 40), show_line(name_of(&entry.path), 80))
}

async fn set(core: &Core, found: &Match, state: MatchState, reason: &str) -> Result<(), Failure> {
    core.state.set_match(found, state, reason).await.map_err(failure::unexpected)
}
