//! Noticing changes in the shared places.

use std::{path::PathBuf, sync::Arc};

use notify::{RecursiveMode, Watcher};
use shared::limits::CHANGE_QUIET;
use tokio::sync::mpsc;

use crate::engine::{api::NoticeLevel, core::Core};

/// Watches the shared places and rescans after changes; a change found while serving counts too.
pub async fn watch(core: Arc<Core>) {
    let (events, mut changed) = mpsc::channel::<()>(1);
    let sent = events.clone();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let interesting = match &event {
            Ok(event) => !event.kind.is_access(),
            Err(_) => true,
        };
        if interesting {
            // One pending wake-up is enough.
            let _full = sent.try_send(());
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!(%error, "changes are noticed only by rescans and while serving");
            core.hub.notice(
                NoticeLevel::Warning,
                "shared folders cannot be watched",
                "use `swapmeet rescan` after changes",
            );
            core.stop.cancelled().await;
            return;
        }
    };
    let mut watched: Vec<PathBuf> = Vec::new();
    loop {
        refresh(&core, &mut watcher, &mut watched);
        tokio::select! {
            () = core.library.rewatch.notified() => continue,
            _ = changed.recv() => {}
            () = core.catalog.changed.notified() => {}
            () = core.stop.cancelled() => return,
        }
        // Programs write in bursts: wait until it has been quiet for a moment.
        while let Ok(Some(())) = tokio::time::timeout(CHANGE_QUIET, changed.recv()).await {}
        core.library.publish_pending(&core).await;
    }
}

fn refresh(core: &Core, watcher: &mut notify::RecommendedWatcher, watched: &mut Vec<PathBuf>) {
    let wanted: Vec<PathBuf> = core.library.rows().into_iter().map(|row| row.local).collect();
    for path in watched.iter().filter(|path| !wanted.contains(path)) {
        if let Err(error) = watcher.unwatch(path) {
            tracing::debug!(%error, "a place was no longer watched");
        }
    }
    for path in wanted.iter().filter(|path| !watched.contains(path)) {
        if let Err(error) = watcher.watch(path, RecursiveMode::Recursive) {
            tracing::warn!(%error, "a shared place cannot be watched; rescans still find changes");
        }
    }
    *watched = wanted;
}
