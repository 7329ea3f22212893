//! Asking the tracker to keep copies, and to forget them.

use shared::{id::FileId, limits::PUBLISH_ENTRIES_MAX, wire::tracker::Event};

use super::{Ctx, Error, Moment, apply, at_most};
use crate::{events::Target, store::Caller};

/// The tracker shall fetch and keep copies of the caller's files.
///
/// # Errors
/// When too many copies wait.
pub async fn keep(ctx: &Ctx, caller: &Caller, files: &[FileId], now: Moment) -> Result<u64, Error> {
    at_most("files in one request", files.len(), PUBLISH_ENTRIES_MAX)?;
    let kept = ctx.store.keep_copies(caller, files, now.ms()).await?;
    for file in kept.stored {
        ctx.events.send(Target::Device(caller.device), Event::CopyStored { file });
    }
    apply(ctx, caller, kept.effects);
    Ok(kept.count)
}

/// The tracker shall forget the copies of the caller's files.
///
/// # Errors
/// When there are too many files.
pub async fn forget(ctx: &Ctx, caller: &Caller, files: &[FileId]) -> Result<u64, Error> {
    at_most("files in one request", files.len(), PUBLISH_ENTRIES_MAX)?;
    let dropped = ctx.store.drop_copies(caller, files).await?;
    apply(ctx, caller, dropped.effects);
    Ok(dropped.count)
}
