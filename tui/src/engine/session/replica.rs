//! The local replica of the index, kept in step with the tracker's.

use std::sync::Arc;

use quinn::Connection;
use shared::wire::tracker::{Answer, Changes, Request};
use tokio::sync::Notify;

use super::ask;
use crate::engine::{api::Failure, core::Core, failure};

/// Pulls the index whenever it has moved.
pub(super) async fn keep_in_step(core: &Arc<Core>, connection: &Connection, moved: &Notify) -> Result<(), Failure> {
    core.session.in_step.send_replace(false);
    loop {
        moved.notified().await;
        replicate(core, connection).await?;
        core.session.in_step.send_replace(true);
        core.wishes.wake.notify_one();
    }
}

/// Pulls what changed in the index into the replica.
async fn replicate(core: &Arc<Core>, connection: &Connection) -> Result<(), Failure> {
    let mut since: u64 = core.state.setting("index_next").await.map_err(failure::unexpected)?.unwrap_or(0);
    let mut restart = false;
    loop {
        let Answer::Changes(page) = ask(connection, &Request::Changes { since }).await? else {
            return Err(failure::bad_answer());
        };
        if page.restart && since != 0 {
            (since, restart) = (0, true);
            core.session.in_step.send_replace(false);
            continue;
        }
        let (next, more) = (page.next, page.more);
        core.apply_changes(page_of(page, restart)).await?;
        restart = false;
        since = next;
        if !more {
            return Ok(());
        }
    }
}

fn page_of(page: Changes, restart: bool) -> Changes {
    Changes { restart, ..page }
}
