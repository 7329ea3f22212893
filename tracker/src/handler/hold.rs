//! What devices hold of others' files, so that these find more than the owner.

use shared::{
    id::FileId,
    limits::{HELD_FILES_MAX, SMALL_FILE_BYTES_MAX},
    wire::tracker::Event,
};

use super::{Ctx, Error, at_most};
use crate::{
    events::Target,
    holdings::Held,
    store::{Caller, Whereabouts},
};

/// This device holds the content of these files, whole or in part. Only those count that it may fetch: nobody poses as a
/// source of what is not for them.
///
/// # Errors
/// When there are too many files.
pub async fn hold(ctx: &Ctx, caller: &Caller, files: &[FileId]) -> Result<u64, Error> {
    at_most("held files", files.len(), HELD_FILES_MAX)?;
    let found = if files.is_empty() { Vec::new() } else { ctx.store.locate(caller, files).await? };
    let mut held = Held::new();
    for whereabouts in found {
        // Small files come from one source at a time anyway.
        if let Whereabouts::Allowed { file, blob, size, .. } = whereabouts
            && size > SMALL_FILE_BYTES_MAX
        {
            held.entry((blob, size)).or_default().insert(file);
        }
    }
    let count = held.len() as u64;
    for (device, blobs) in ctx.roster.hold(caller.device, caller.account, held) {
        ctx.events.send(Target::Device(device), Event::SourcesMoved { blobs });
    }
    Ok(count)
}
