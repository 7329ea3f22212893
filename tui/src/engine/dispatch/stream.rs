//! `get -o -`: tells a face what it can read of one file, until it has read all of it.

use std::{sync::Arc, time::Instant};

use shared::limits::{STREAM_STEP_BYTES, TICK};

use super::{
    Out,
    get::{Outcome, outcome},
};
use crate::engine::{
    api::{Failure, StreamRow, TransferRow, TransferState, Update},
    core::Core,
    failure,
    transfers::stream::{self, Offer, Wanted},
};

/// Fetches one file for a reader and ends when the reader has told that it has all of it, or enough.
pub(super) async fn follow(core: &Arc<Core>, wanted: Wanted<'_>, out: &Out) -> Result<(), Failure> {
    let wait = wanted.wait;
    let mut reader = stream::start(core, wanted).await?;
    let transfer = reader.transfer.clone();
    let mut timer = tokio::time::interval(TICK);
    let mut offers = transfer.stream.offers();
    let mut attempts = transfer.attempts();
    let mut told: Option<TransferRow> = None;
    let mut offered: Option<Offer> = None;
    let mut moved = (Instant::now(), 0);
    let mut is_due = true;
    loop {
        let row = transfer.row();
        if row.done > moved.1 {
            moved = (Instant::now(), row.done);
        }
        let offer = offers.borrow_and_update().clone();
        if let Some(offer) = &offer
            && offered.as_ref() != Some(offer)
            && (is_due || is_news(offered.as_ref(), offer, reader.reading().at))
        {
            out.send(Update::Stream(row_of(reader.number, offer))).await?;
            offered = Some(offer.clone());
        }
        let has_all = offer.is_some_and(|offer| reader.reading().at == offer.size);
        if reader.reading().enough || (has_all && row.state == TransferState::Done) {
            out.send(Update::Transfer(Box::new(row))).await?;
            reader.leave(core).await;
            return Ok(());
        }
        if is_due && told.as_ref() != Some(&row) {
            out.send(Update::Transfer(Box::new(row.clone()))).await?;
            told = Some(row.clone());
        }
        match outcome(&transfer, &row, wait, moved.0) {
            Outcome::Going | Outcome::Over => {}
            Outcome::Failed(failure) if failure.code == "no_source" => {
                let hint = "what came is kept: run the command again when a source is there, or with --wait";
                return Err(Failure { hint: hint.to_owned(), ..failure });
            }
            Outcome::Failed(failure) => return Err(failure),
        }
        is_due = false;
        tokio::select! {
            _ = timer.tick() => is_due = true,
            _ = offers.changed() => {}
            () = reader.moved() => {}
            _ = attempts.changed() => {}
            () = core.stop.cancelled() => return Err(failure::unreachable("the engine is stopping")),
        }
    }
}

/// Whether a reader should be told at once: it has nothing left to read, or there is much more than it knew of. The rest
/// is told now and then.
fn is_news(told: Option<&Offer>, offer: &Offer, at: u64) -> bool {
    match told {
        Some(told) if told.blob == offer.blob && told.path == offer.path => {
            offer.ready == offer.size || told.ready <= at || offer.ready >= told.ready + STREAM_STEP_BYTES
        }
        Some(_) | None => true,
    }
}

fn row_of(reader: u64, offer: &Offer) -> StreamRow {
    let Offer { blob, size, path, ready } = offer.clone();
    StreamRow { reader, hash: blob, size, path, ready }
}
