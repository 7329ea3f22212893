//! Files that are protected by a password: publishing them, and proofs that somebody knows it.

use shared::{
    id::FileId,
    limits::{GRANT_BLOBS_MAX, LOCK_SALT_BYTES},
    wire::{
        protected::{Locked, ProtectedAnswer, ProtectedRequest, proof_message},
        tracker::Answer,
    },
};

use super::{
    Ctx, Error, Moment, Peer,
    account::{attempts, note_wrong},
    at_most, publish,
};
use crate::store::Caller;

/// Carries out what a member asks about protected files.
///
/// # Errors
/// When an entry or a list breaks a rule, the password was not proved, or it is too early for another try.
pub async fn protected(
    ctx: &Ctx,
    caller: &Caller,
    peer: &Peer,
    request: ProtectedRequest,
    now: Moment,
) -> Result<Answer, Error> {
    Ok(match request {
        ProtectedRequest::Publish { entries } => {
            let entries = entries.into_iter().map(|file| (file.entry, Some(file.lock))).collect();
            Answer::Published { files: publish::publish(ctx, caller, entries, now).await? }
        }
        ProtectedRequest::Locks { files } => {
            at_most("files in one request", files.len(), GRANT_BLOBS_MAX)?;
            let locks = ctx.store.locks(caller, &files).await?.into_iter().map(|locks| {
                // What is still closed first, then what is open, which can be proved too.
                let found = locks.iter().find(|(_, open)| !open).or_else(|| locks.first());
                found.map(|(lock, open)| Locked { stretch: lock.stretch, salt: lock.salt, open: *open })
            });
            Answer::Protected(ProtectedAnswer::Locks { locks: locks.collect() })
        }
        ProtectedRequest::Prove { file, salt, proof } => {
            prove(ctx, caller, peer, (file, salt, &proof), now).await?;
            Answer::Done
        }
    })
}

/// Checks a proof. Wrong ones are counted for the account and the address together, apart from wrong sign-ins, and written
/// down before they are told.
async fn prove(
    ctx: &Ctx,
    caller: &Caller,
    peer: &Peer,
    (file, salt, proof): (FileId, [u8; LOCK_SALT_BYTES], &[u8]),
    now: Moment,
) -> Result<(), Error> {
    let counted_as = format!("{}\nfiles", caller.account);
    let address = shared::reach::source(peer.address.ip());
    let before = {
        let mut attempts = attempts(ctx);
        if let Some(wait) = attempts.wait(&counted_as, address, now.instant) {
            return Err(Error::Wait { seconds: wait.as_secs() + 1 });
        }
        attempts.begin(&counted_as, address, now.instant)
    };
    let forgive = || attempts(ctx).forgive(&counted_as, address, now.instant, before);
    let locks = ctx.store.locks(caller, &[file]).await?.into_iter().flatten();
    let Some((lock, _)) = locks.into_iter().find(|(lock, _)| lock.salt == salt) else {
        forgive();
        return Err(Error::NotFound("protected file"));
    };
    if !certs::verify(&lock.key, &proof_message(&peer.exported, file), proof) {
        note_wrong(ctx, counted_as, address, now).await;
        return Err(Error::WrongFilePassword);
    }
    forgive();
    Ok(ctx.store.open_lock(caller, &lock).await?)
}
