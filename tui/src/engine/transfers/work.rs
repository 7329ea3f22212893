//! One attempt at a transfer: what is there already, the small files in batches, the large ones each by itself.

use std::{collections::HashMap, sync::Arc};

use shared::{
    id::BlobHash,
    limits::{REPLANS_MAX, SMALL_FILE_BYTES_MAX},
    transfer::jail::{Jail, JailError},
    wire::{Code, Refusal},
};

use super::{
    Halt, Transfer, batch,
    land::{self, Homes, Landed},
    plan::base_of,
    protected,
    row::Kept,
    single::{self, Fetched},
    staging,
};
use crate::engine::{
    api::{Failure, FailureKind, Target},
    core::Core,
    failure,
    state::{Opened, PlannedFile},
};

/// Runs a transfer to its end or to where it cannot go on.
pub async fn run(core: &Arc<Core>, transfer: &Arc<Transfer>) -> Result<(), Halt> {
    transfer.begin();
    drop(transfer.landing.lock().await);
    let (files, ahead) = match transfer.take_plan() {
        Some(Kept { files, ahead }) => (files, ahead),
        None => (core.state.planned_files(transfer.id).await.map_err(failure::unexpected)?, None),
    };
    let base = base_of(core, &transfer.plan);
    let jail = disk(move || Jail::open(&base).map_err(jail_failure)).await?;
    let files = skip_what_lies_there(core, transfer, &jail, files).await?;
    let in_batch = |file: &PlannedFile| {
        file.size <= SMALL_FILE_BYTES_MAX && !transfer.plan.is_single() && !protected::opens(transfer, file)
    };
    let (small, large): (Vec<_>, Vec<_>) = files.into_iter().partition(in_batch);
    let grown = if small.is_empty() { Vec::new() } else { batch::fetch(core, transfer, &jail, small, ahead).await? };
    for mut file in large.into_iter().chain(grown) {
        let mut replans = 0;
        loop {
            match single::fetch(core, transfer, &jail, &file).await? {
                Fetched::Landed(landed) => break note(core, transfer, vec![landed]).await?,
                Fetched::Offered => break transfer.change(|row| row.files_done = 1),
                Fetched::Replaced(new) => {
                    replans += 1;
                    if replans > REPLANS_MAX {
                        return Err(Halt::Waiting { reason: "the file keeps changing".to_owned(), no_source: false });
                    }
                    replan(core, transfer, &file, &new).await?;
                    file = new;
                }
            }
        }
    }
    Ok(())
}

/// The index has another content for a file of this transfer.
pub async fn replan(core: &Core, transfer: &Transfer, old: &PlannedFile, new: &PlannedFile) -> Result<(), Halt> {
    core.state.replan_file(transfer.id, new).await.map_err(failure::unexpected)?;
    transfer.change(|row| {
        row.size = row.size.saturating_sub(old.size) + new.size;
        if !row.folder {
            row.hash = Some(new.blob);
        }
    });
    Ok(())
}

/// Files have their final names: noted for good.
pub async fn note(core: &Core, transfer: &Transfer, landed: Vec<Landed>) -> Result<(), Halt> {
    if landed.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = landed.iter().map(|file| (file.position, file.name.clone())).collect();
    core.state.mark_landed(transfer.id, &names).await.map_err(failure::unexpected)?;
    let fetched: Vec<_> = landed.iter().filter_map(|file| Some((file.blob, file.local.clone(), file.stamp?))).collect();
    core.state.put_fetched(&fetched).await.map_err(failure::unexpected)?;
    core.note_fetched(landed.iter().map(|file| (file.file, file.blob)));
    transfer.change(|row| {
        row.files_done += landed.len() as u64;
        if !row.folder
            && let Some(file) = landed.first()
        {
            row.path.clone_from(&file.local);
        }
    });
    Ok(())
}

/// Counts what landed in an earlier attempt, and takes what lies at its place anyway.
async fn skip_what_lies_there(
    core: &Arc<Core>,
    transfer: &Arc<Transfer>,
    jail: &Jail,
    files: Vec<PlannedFile>,
) -> Result<Vec<PlannedFile>, Halt> {
    let (landed, missing): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file.landed.is_some());
    let landed_bytes: u64 = landed.iter().map(|file| file.size).sum();
    transfer.change(|row| {
        row.files_done = landed.len() as u64;
        row.done = landed_bytes;
    });
    let opened = protected::opened(core, transfer, &missing).await?;
    let (jail, repairs, core_in, transfer_in) = (jail.clone(), transfer.plan.repair, core.clone(), transfer.clone());
    let (there, missing) = disk(move || {
        let (there, missing) = sort_out(&jail, missing, &opened);
        // A kill may have come right after a repaired file took its place; the damaged one has its name by then.
        if repairs {
            for (file, _) in &there {
                single::discard(&core_in, &transfer_in, &jail, file)?;
            }
        }
        Ok((there, missing))
    })
    .await?;
    if !there.is_empty() {
        let bytes: u64 = there.iter().map(|(file, _)| file.size).sum();
        there.iter().for_each(|(file, _)| core.passwords.forget(&file.blob));
        note(core, transfer, there.into_iter().map(|(_, landed)| landed).collect()).await?;
        transfer.change(|row| {
            row.done += bytes;
            row.bytes_local += bytes;
        });
        transfer.log("already have some of it");
    }
    Ok(missing)
}

type There = Vec<(PlannedFile, Landed)>;

fn sort_out(jail: &Jail, files: Vec<PlannedFile>, opened: &HashMap<BlobHash, Opened>) -> (There, Vec<PlannedFile>) {
    let mut there = Vec::new();
    let mut missing = Vec::new();
    let mut homes = Homes::new(jail);
    for file in files {
        let found = homes.of(&file).ok().filter(|(folder, _)| !folder.is_new()).and_then(|(folder, name)| {
            // Of a protected file what was in it lies there, if it was opened here before.
            let (blob, size) = opened.get(&file.blob).map_or((file.blob, file.size), |in_it| (in_it.plain, in_it.size));
            let lying = PlannedFile { blob, size, ..file.clone() };
            land::lies_there(&folder, name, &lying).ok().filter(|lies| *lies)?;
            Some(Landed::new(&lying, &folder, name.to_owned()))
        });
        match found {
            Some(landed) => there.push((file, landed)),
            None => missing.push(file),
        }
    }
    (there, missing)
}

/// Removes what a cancelled transfer left unfinished; finished files stay.
pub async fn discard(core: &Arc<Core>, transfer: &Arc<Transfer>) {
    let removed = async {
        drop(transfer.landing.lock().await);
        let files = core.state.planned_files(transfer.id).await.map_err(failure::unexpected)?;
        let (core, transfer, base) = (core.clone(), transfer.clone(), base_of(core, &transfer.plan));
        disk(move || {
            let jail = Jail::open(&base).map_err(jail_failure)?;
            staging::discard(&jail, &transfer).map_err(jail_failure)?;
            let single = transfer.plan.is_single();
            let lies_alone =
                |file: &&PlannedFile| single || file.size > SMALL_FILE_BYTES_MAX || protected::opens(&transfer, file);
            for file in files.iter().filter(|file| file.landed.is_none()).filter(lies_alone) {
                single::discard(&core, &transfer, &jail, file)?;
            }
            if transfer.plan.target == Target::Stream {
                match std::fs::remove_dir(&base) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        tracing::info!(%error, "the folder of a stream was left behind");
                    }
                    Ok(()) | Err(_) => {}
                }
            }
            Ok(())
        })
        .await
    };
    if let Err(Halt::Failed(failure)) = removed.await {
        tracing::warn!(%failure, "unfinished parts of a cancelled transfer were left behind");
    }
}

/// Runs work on a thread that may block.
pub async fn disk<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Halt> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Halt::Failed),
        Err(error) => Err(Halt::Failed(failure::unexpected(error))),
    }
}

/// A folder that cannot be written to.
pub fn jail_failure(error: JailError) -> Failure {
    Failure::new(
        FailureKind::Transfer,
        "cannot_write",
        error.to_string(),
        "choose another folder with -o, or mend this one and retry",
    )
}

/// The tracker does not let this file be fetched.
pub fn refused_file(refusal: &Refusal) -> Failure {
    let failure = failure::refused(refusal);
    match refusal.code {
        Code::Protected => Failure { code: protected::PASSWORD_NEEDED.to_owned(), ..failure },
        Code::NotFound => {
            Failure { hint: "it is no longer shared; `swapmeet search` may find another".to_owned(), ..failure }
        }
        _ => failure,
    }
}
