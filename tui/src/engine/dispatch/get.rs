//! `get`: from the items a person named to their files, or to why not.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use shared::{
    id::FileId,
    limits::{GET_PATIENCE, TICK},
};

use super::Out;
use crate::engine::{
    api::{Failure, FailureKind, Get, Target, TransferRow, TransferState, Update},
    core::Core,
    failure, inbox,
    transfers::{self, Transfer, protected},
};

/// How one transfer of a `get` has come out, as far as the caller is concerned.
pub(super) enum Outcome {
    Going,
    Over,
    Failed(Failure),
}

pub(super) async fn fetch(core: &Arc<Core>, get: &Get, out: &Out) -> Result<(), Failure> {
    let transfers = transfers::start(core, get).await?;
    if get.detach {
        for transfer in &transfers {
            out.send(Update::Transfer(Box::new(transfer.row()))).await?;
        }
        return Ok(());
    }
    let mut worst = None;
    for transfer in &transfers {
        if let Err(failure) = follow(core, get, transfer, out).await {
            if failure.code == "gone" {
                return Err(failure);
            }
            worst = worst.or(Some(failure));
        }
    }
    worst.map_or(Ok(()), Err)
}

/// Tells how a transfer goes until it is over, or until waiting longer makes no sense.
pub(in crate::engine) async fn follow(
    core: &Arc<Core>,
    get: &Get,
    transfer: &Arc<Transfer>,
    out: &Out,
) -> Result<(), Failure> {
    let mut timer = tokio::time::interval(TICK);
    let mut attempts = transfer.attempts();
    let mut told: Option<TransferRow> = None;
    let mut moved = (Instant::now(), 0);
    let mut asked = false;
    loop {
        let row = transfer.row();
        if row.done > moved.1 {
            moved = (Instant::now(), row.done);
        }
        if told.as_ref() != Some(&row) {
            out.send(Update::Transfer(Box::new(row.clone()))).await?;
            told = Some(row.clone());
        }
        match outcome(transfer, &row, get.wait, moved.0) {
            Outcome::Going => {}
            Outcome::Over => {
                inbox::fetched(core, &row.id).await;
                return Ok(());
            }
            Outcome::Failed(failure) if failure.code == "no_source" => {
                return Err(asked_for(core, get, &row, failure).await);
            }
            Outcome::Failed(failure) => return Err(failure),
        }
        if !asked && get.wait && row.state == TransferState::Waiting && transfer.no_source.load(Ordering::Relaxed) {
            asked = true;
            let _told_elsewhere = request(core, get, &row).await;
        }
        tokio::select! {
            _ = timer.tick() => {}
            _ = attempts.changed() => {}
            () = core.stop.cancelled() => return Err(failure::unreachable("the engine is stopping")),
        }
    }
}

/// Nobody has it now: the request for it waits at the tracker, where its owner sees it.
async fn asked_for(core: &Core, get: &Get, row: &TransferRow, failure: Failure) -> Failure {
    match request(core, get, row).await {
        true => {
            let hint = "a request for it waits (`swapmeet inbox`); it is fetched as soon as a source is there and the engine \
                        runs (`swapmeet engine run`); `get --wait` waits for it";
            Failure { hint: hint.to_owned(), ..failure }
        }
        false => failure,
    }
}

/// Makes a request of a fetch that nobody serves. Whether there is one.
async fn request(core: &Core, get: &Get, row: &TransferRow) -> bool {
    let file = row.item.parse::<FileId>().ok().filter(|_| !row.folder);
    let Some(file) = file.filter(|_| get.target != Target::Stream && !get.repair) else { return false };
    match inbox::ask_for(core, file, &row.id, &get.target).await {
        Ok(()) => true,
        Err(failure) => {
            // Such as for a hidden file: its owner hears of it when it is fetched.
            tracing::info!(%failure, "no request was made");
            false
        }
    }
}

pub(super) fn outcome(transfer: &Transfer, row: &TransferRow, waits: bool, moved: Instant) -> Outcome {
    // The row is final only after the attempt has noted its end.
    let settled = !transfer.attempting.load(Ordering::Relaxed);
    match row.state {
        TransferState::Done if settled => Outcome::Over,
        TransferState::Failed if settled => Outcome::Failed(
            row.failure
                .clone()
                .unwrap_or_else(|| Failure::new(FailureKind::Transfer, "failed", row.reason.clone(), "retry it")),
        ),
        TransferState::Cancelled if settled => Outcome::Failed(Failure::new(
            FailureKind::Transfer,
            "cancelled",
            "the transfer was cancelled",
            "run the command again to begin anew",
        )),
        TransferState::Waiting if !waits => {
            let nobody = transfer.no_source.load(Ordering::Relaxed);
            if (nobody && row.done == 0) || moved.elapsed() > GET_PATIENCE {
                return Outcome::Failed(Failure::new(
                    FailureKind::NotFound,
                    "no_source",
                    row.reason.clone(),
                    "it stays in the queue and starts by itself when a source appears while the engine runs \
                     (`swapmeet engine run`); `get --wait` waits for it",
                ));
            }
            Outcome::Going
        }
        TransferState::Paused if settled && row.reason == protected::LOCKED => {
            Outcome::Failed(protected::password_needed(&row.name))
        }
        // Whoever stands in line is being waited for.
        TransferState::Running if row.sources.iter().any(|source| source.queue.is_some()) => Outcome::Going,
        TransferState::Running if !waits && moved.elapsed() > GET_PATIENCE => Outcome::Failed(Failure::new(
            FailureKind::NotFound,
            "no_source",
            undelivered(row),
            "it stays in the queue; run the command again, or with --wait",
        )),
        TransferState::Queued
        | TransferState::Waiting
        | TransferState::Running
        | TransferState::Finishing
        | TransferState::Paused
        | TransferState::Done
        | TransferState::Failed
        | TransferState::Cancelled => Outcome::Going,
    }
}

/// Why nothing comes, as far as the sources tell.
fn undelivered(row: &TransferRow) -> String {
    let idle = row.sources.iter().filter(|source| !source.doing.is_empty());
    let told =
        idle.map(|source| format!("{}: {}", source.member.as_deref().unwrap_or("the tracker's copy"), source.doing));
    let told: Vec<String> = told.take(SOURCES_TOLD).collect();
    let why = if told.is_empty() { row.reason.clone() } else { told.join("; ") };
    let why = if why.is_empty() { why } else { format!(" ({why})") };
    format!("no source delivers it now{why}")
}

/// Sources that a message tells of.
const SOURCES_TOLD: usize = 3;
