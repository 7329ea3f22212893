//! Protected files: what has to be known before they are fetched, and how they are opened when they are there.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    sync::{Arc, atomic::Ordering},
};

use seal::{OpenError, Password};
use shared::{
    id::BlobHash,
    limits::GRANT_BLOBS_MAX,
    show::show_line,
    transfer::{
        jail::{Folder, finish_metadata},
        partial::Partial,
    },
    wire::tracker::FileEntry,
};

use super::{
    Halt, PART_SUFFIX, Transfer,
    land::{self, Landed},
    local::StopOnDrop,
    part::{self, Sidecar, disk_failure},
    work::{disk, jail_failure},
};
use crate::engine::{
    api::{Failure, FailureKind, Get, Target, TransferState},
    core::Core,
    failure,
    rows::name_of,
    state::{Opened, PlannedFile},
};

/// Why a transfer stands still that lacks nothing but a password.
pub const LOCKED: &str = "complete, waiting for its password: run the same get again";
/// Code of the failure after which a face asks for a password.
pub const PASSWORD_NEEDED: &str = "password_needed";

/// Nobody has given the password of a file.
pub fn password_needed(path: &str) -> Failure {
    Failure::new(
        FailureKind::Refused,
        PASSWORD_NEEDED,
        format!("'{}' is protected by a password", show_line(name_of(path), 100)),
        "`swapmeet get` asks for it; its owner knows it",
    )
}

/// Whether a file is to be opened when it is there.
pub fn opens(transfer: &Transfer, file: &PlannedFile) -> bool {
    file.protected && !transfer.plan.raw && transfer.plan.target != Target::Stream
}

/// Looks whether the password is known of all that is to be opened.
pub fn check(core: &Core, get: &Get, files: &[FileEntry]) -> Result<(), Failure> {
    if get.raw {
        return Ok(());
    }
    let Some(first) = files.iter().find(|file| file.protected) else { return Ok(()) };
    if get.repair {
        return Err(Failure::new(
            FailureKind::Usage,
            "protected",
            format!("'{}' is protected, and what is encrypted cannot mend what is not", show_line(&first.path, 100)),
            "fetch it again, under another name",
        ));
    }
    let unknown = files.iter().find(|file| file.protected && core.passwords.of(&file.blob).is_none());
    unknown.map_or(Ok(()), |file| Err(password_needed(&file.path)))
}

/// What was in those of these files that are to be opened and were before.
pub async fn opened(
    core: &Core,
    transfer: &Transfer,
    files: &[PlannedFile],
) -> Result<HashMap<BlobHash, Opened>, Halt> {
    let blobs: Vec<BlobHash> = files.iter().filter(|file| opens(transfer, file)).map(|file| file.blob).collect();
    let mut opened = HashMap::new();
    for part in blobs.chunks(GRANT_BLOBS_MAX) {
        opened.extend(core.state.opened(part).await.map_err(failure::unexpected)?);
    }
    Ok(opened)
}

/// An encrypted file that has arrived whole.
#[derive(Debug)]
pub struct Arrived {
    pub partial: Arc<Partial>,
    pub folder: Folder,
    pub part_name: String,
    pub sidecar: Sidecar,
}

/// Opens it beside itself and gives what was in it its name. The encrypted form goes then, and not before.
pub async fn open(
    core: &Arc<Core>,
    transfer: &Arc<Transfer>,
    file: &PlannedFile,
    arrived: Arrived,
) -> Result<Landed, Halt> {
    let Some(password) = core.passwords.of(&file.blob) else { return Err(Halt::Locked) };
    transfer.set_state(TransferState::Finishing, "opening it");
    let temporary = format!(".{:.16}.{}.open{PART_SUFFIX}", file.blob.to_string(), transfer.text_id());
    let arrived = Arc::new(arrived);
    // As with other work on the disk: the next attempt waits for it, and it ends at its next block.
    let lock = Arc::new(transfer.landing.clone().lock_owned().await);
    let (stop, locked) = (StopOnDrop::default(), lock.clone());
    let (stopped, opening, file_in, name) = (stop.flag(), arrived.clone(), file.clone(), temporary.clone());
    let opened = disk(move || {
        let _lock = locked;
        decrypt(&opening, &file_in, &name, &password, &mut |_| !stopped.load(Ordering::Relaxed))
    })
    .await;
    drop(stop);
    let opened = opened?;
    // Noted before it has its name: after a kill in between it is known by what it holds.
    core.state.put_opened(file.blob, opened).await.map_err(failure::unexpected)?;
    let file_in = file.clone();
    let landed = disk(move || {
        let _lock = lock;
        let Arrived { folder, part_name, sidecar, .. } = &*arrived;
        let wanted = file_in.path.rsplit('/').next().unwrap_or(&file_in.path);
        let name = land::publish(folder, &temporary, folder, wanted).map_err(jail_failure)?;
        folder.sync().map_err(jail_failure)?;
        part::remove(folder, part_name, sidecar)?;
        Ok(Landed { blob: opened.plain, ..Landed::new(&file_in, folder, name) })
    })
    .await?;
    core.note_opened(file.blob);
    core.passwords.forget(&file.blob);
    transfer.change(|row| {
        if !row.folder {
            // From now on it is about what lies there.
            (row.size, row.done, row.hash) = (opened.size, opened.size, Some(opened.plain));
        }
    });
    Ok(landed)
}

fn decrypt(
    arrived: &Arrived,
    file: &PlannedFile,
    temporary: &str,
    password: &Password,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Opened, Failure> {
    let Arrived { partial, folder, .. } = arrived;
    if folder.exists(temporary).map_err(jail_failure)? {
        // A kill left it.
        folder.remove(temporary).map_err(jail_failure)?;
    }
    let free = folder.free_bytes().map_err(jail_failure)?;
    if free < file.size {
        return Err(Failure::new(
            FailureKind::Transfer,
            "disk_full",
            format!("{} bytes are needed to open it and {free} are free", file.size),
            "make room, then retry; what came is kept",
        ));
    }
    let out = folder.create_new(temporary, 0o666).map_err(jail_failure)?;
    let cipher = Bounded { data: partial.data(), at: 0, end: file.size };
    let opened = seal::open(password, cipher, &out, go_on);
    let finished = opened.map_err(not_opened).and_then(|plain| {
        if let Err(error) = finish_metadata(&out, file.modified_ms, file.executable) {
            tracing::info!(%error, "the file keeps no modification time or mode here");
        }
        out.sync_all().map_err(disk_failure)?;
        Ok(Opened { plain: BlobHash(plain.hash), size: plain.bytes })
    });
    if finished.is_err() {
        folder.remove(temporary).map_err(jail_failure)?;
    }
    finished
}

/// What arrived is what its owner shared, and yet it does not open.
fn not_opened(error: OpenError) -> Failure {
    let hint = "tell its owner; `get --raw` leaves what came for the `age` tool";
    match error {
        OpenError::Io(error) => disk_failure(error),
        OpenError::WrongPassword => Failure::new(
            FailureKind::Transfer,
            "wrong_password",
            "it is encrypted with another password than the one that its owner set for it",
            hint,
        ),
        OpenError::Damaged | OpenError::TooMuchWork => {
            Failure::new(FailureKind::Transfer, "not_opened", error.to_string(), hint)
        }
    }
}

/// The bytes of a file from its beginning to an end, whatever others read of it.
struct Bounded<'a> {
    data: &'a File,
    at: u64,
    end: u64,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.data.read_at(&mut buffer[..most], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
