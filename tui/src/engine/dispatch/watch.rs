//! Updates that go on for as long as somebody listens.

use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;

use super::Out;
use crate::engine::{
    api::{EventKind, Failure, TransferPage, Update},
    chat,
    core::Core,
    inbox,
};

/// Everything a screen needs, then everything that changes.
pub(super) async fn everything(core: &Arc<Core>, out: &Out) -> Result<(), Failure> {
    let mut news = core.hub.listen();
    let mut phase = core.session.watch();
    tell_everything(core, out).await?;
    let _told_of_matches = core.wishes.listen();
    loop {
        tokio::select! {
            changed = phase.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let connection = phase.borrow_and_update().connection();
                out.send(Update::Connection(connection)).await?;
            }
            update = news.recv() => match update {
                // Events are for those who asked for them.
                Ok(Update::Event(_)) => {}
                Ok(update) => out.send(update).await?,
                Err(RecvError::Lagged(_)) => tell_everything(core, out).await?,
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

async fn tell_everything(core: &Arc<Core>, out: &Out) -> Result<(), Failure> {
    let connection = core.session.watch().borrow().connection();
    let account = core.account().await.ok().map(|account| core.account_row(&account));
    out.send(Update::Account(account)).await?;
    out.send(Update::Connection(connection)).await?;
    out.send(Update::Shares(core.library.rows())).await?;
    out.send(Update::Members(core.member_rows())).await?;
    out.send(Update::Limits(core.limits.view())).await?;
    out.send(Update::Inbox(inbox::rows(core))).await?;
    out.send(Update::Rooms(chat::room_rows(core).await?)).await?;
    let changed = core.transfers.rows();
    out.send(Update::Transfers(TransferPage { restart: true, changed, removed: Vec::new() })).await?;
    let mut after = None;
    let mut restart = true;
    loop {
        let page = core.index_page(restart, &mut after).await?;
        restart = false;
        let more = page.more;
        out.send(Update::Index(page)).await?;
        if !more {
            return Ok(());
        }
    }
}

/// What happens, from now on.
pub(super) async fn events(core: &Arc<Core>, out: &Out) -> Result<(), Failure> {
    let mut news = core.hub.listen();
    let _told_of_matches = core.wishes.listen();
    let mut phase = core.session.watch();
    loop {
        tokio::select! {
            changed = phase.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let connection = phase.borrow_and_update().connection();
                core.hub.event(EventKind::Connection { connection });
            }
            update = news.recv() => match update {
                Ok(update @ Update::Event(_)) => out.send(update).await?,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}
