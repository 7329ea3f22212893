//! One file by itself: its partial file is opened, filled with what this device has, fetched to its end, and given its
//! place.

use std::sync::Arc;

use shared::transfer::jail::Jail;

use super::{
    Halt, Transfer, delta,
    land::{self, Landed},
    large, local,
    part::{self, Sidecar, disk_failure, part_name},
    protected::{self, Arrived},
    repair::{self, Damaged},
    stream::Offer,
    work::{disk, jail_failure},
};
use crate::engine::{
    api::{Failure, Target, TransferState},
    core::Core,
    state::PlannedFile,
};

/// What came of one file.
#[derive(Debug)]
pub enum Fetched {
    Landed(Landed),
    /// It is complete and stays where its readers find it.
    Offered,
    /// The index has another content for it now.
    Replaced(PlannedFile),
}

/// Fetches one file to its place.
pub async fn fetch(
    core: &Arc<Core>,
    transfer: &Arc<Transfer>,
    jail: &Jail,
    file: &PlannedFile,
) -> Result<Fetched, Halt> {
    let (jail_in, file_in) = (jail.clone(), file.clone());
    let sidecar = Sidecar::of(core, transfer, file);
    let sidecar_in = sidecar.clone();
    let (partial, folder, part_name) = disk(move || part::open(&jail_in, &file_in, &sidecar_in)).await?;
    let partial = Arc::new(partial);
    let arriving = core.catalog.holdings.begin(transfer.id, file, &partial);
    let had = partial.have_bytes();
    transfer.change(|row| row.done += had);
    if had > 0 && had < file.size {
        transfer.log(&format!("resumes at {}%", had * 100 / file.size.max(1)));
    }
    let is_stream = transfer.plan.target == Target::Stream;
    if is_stream {
        let path = folder.path().join(&part_name);
        transfer.stream.begin(Offer { blob: file.blob, size: file.size, path, ready: partial.prefix_bytes() });
    }
    let damaged = if transfer.plan.repair {
        let (folder, file, partial) = (folder.clone(), file.clone(), partial.clone());
        disk(move || Damaged::open(&folder, &file, &partial)).await?.map(Arc::new)
    } else {
        None
    };
    let fetching = async {
        if let Some(damaged) = &damaged {
            repair::salvage(core, transfer, file, &partial, damaged, &sidecar).await?;
        }
        local::fill_large(core, transfer, file, &partial).await?;
        if !file.protected {
            delta::fill(core, transfer, file, &partial).await?;
        }
        large::drive(core, transfer, file, &partial).await
    };
    let ended = fetching.await;
    let flushing = partial.clone();
    disk(move || flushing.flush().map_err(disk_failure)).await?;
    match ended {
        Ok(None) if is_stream => {
            transfer.stream.ready(partial.prefix_bytes());
            Ok(Fetched::Offered)
        }
        Ok(None) if protected::opens(transfer, file) => {
            let arrived = Arrived { partial: partial.clone(), folder, part_name, sidecar };
            let opened = protected::open(core, transfer, file, arrived).await;
            if opened.is_err() {
                let have = partial.have_bytes();
                transfer.change(|row| row.done = row.done.saturating_sub(have));
            }
            opened.map(Fetched::Landed)
        }
        Ok(None) => {
            transfer.set_state(TransferState::Finishing, "making it durable");
            let file = file.clone();
            let tree = core.catalog.tree_path(&file.blob);
            if let Some(damaged) = damaged {
                let home = folder.path().to_owned();
                let (landed, aside) =
                    disk(move || repair::finish(&partial, &folder, &part_name, &file, &damaged, &sidecar, &tree))
                        .await?;
                transfer.change(|row| row.damaged = Some(home.join(aside)));
                // Where it is shared from here, it is looked at again.
                core.catalog.changed.notify_one();
                arriving.landed(&landed.local, landed.stamp);
                return Ok(Fetched::Landed(landed));
            }
            let landed = disk(move || part::finish(&partial, &folder, &part_name, &file, &sidecar, &tree)).await?;
            arriving.landed(&landed.local, landed.stamp);
            Ok(Fetched::Landed(landed))
        }
        Ok(Some(replaced)) => {
            let done = partial.have_bytes();
            transfer.stream.withdraw();
            drop(partial);
            disk(move || part::remove(&folder, &part_name, &sidecar)).await?;
            transfer.change(|row| row.done = row.done.saturating_sub(done));
            Ok(Fetched::Replaced(replaced))
        }
        Err(halt) => {
            // The next attempt counts what is there anew.
            let have = partial.have_bytes();
            transfer.change(|row| row.done = row.done.saturating_sub(have));
            if matches!(halt, Halt::Waiting { .. }) {
                arriving.waits(partial);
            }
            Err(halt)
        }
    }
}

/// Removes what a file that is no longer wanted left behind.
pub fn discard(core: &Core, transfer: &Transfer, jail: &Jail, file: &PlannedFile) -> Result<(), Failure> {
    let (folder, name) = land::home_of(jail, file).map_err(jail_failure)?;
    part::remove(&folder, &part_name(name, file), &Sidecar::of(core, transfer, file))
}
