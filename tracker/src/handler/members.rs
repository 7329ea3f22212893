//! The members and the tracker's numbers.

use shared::wire::tracker::{Answer, TrackerStatus};

use super::{Ctx, Error, PROGRAM, people};
use crate::store::Caller;

/// One page of members as the caller sees them, by name.
///
/// # Errors
/// When the store fails.
pub async fn members(ctx: &Ctx, caller: &Caller, after: Option<&str>) -> Result<Answer, Error> {
    let (mut members, next) = ctx.store.members(after).await?;
    people::seen_by(&*ctx.store, &ctx.roster, caller.account, &mut members).await?;
    Ok(Answer::Members { members, next })
}

/// Numbers for `status`.
///
/// # Errors
/// When the store fails.
pub async fn status(ctx: &Ctx) -> Result<TrackerStatus, Error> {
    let counts = ctx.store.status().await?;
    Ok(TrackerStatus {
        program: PROGRAM.to_owned(),
        uptime_s: ctx.started.elapsed().as_secs(),
        online: ctx.roster.members_online() as u64,
        ..counts
    })
}
