//! `Unlock`: proves to the tracker that a person knows a password, before any byte moves.

use std::{collections::BTreeSet, sync::Arc};

use seal::{Password, Prover};
use shared::{
    id::FileId,
    limits::{GRANT_BLOBS_MAX, LOCK_SALT_BYTES, PROOF_ROUNDS_MAX},
    net,
    wire::{
        protected::{Locked, ProtectedAnswer, ProtectedRequest, Stretch, proof_message},
        tracker::{Answer, Request},
    },
};

use crate::engine::{
    api::{Failure, FailureKind, Secret},
    core::Core,
    failure,
    session::{self, Online},
    transfers,
};

type Salt = [u8; LOCK_SALT_BYTES];

/// Proves the password for all protected files that the items name, and remembers it for them where that is wanted.
pub(super) async fn unlock(core: &Arc<Core>, items: &[String], password: Secret, hold: bool) -> Result<(), Failure> {
    let password = Password::new(password.0);
    let mut files = Vec::new();
    for item in items {
        files.extend(transfers::list(core, item).await?.1);
    }
    let online = core.session.online().await?;
    let mut proved = BTreeSet::new();
    for _ in 0..PROOF_ROUNDS_MAX {
        let mut news = false;
        for part in files.chunks(GRANT_BLOBS_MAX) {
            let ids: Vec<FileId> = part.iter().map(|file| file.id).collect();
            for (file, locked) in ids.iter().zip(locks(&online, &ids).await?) {
                // Also what is open already: whoever asks wants to know whether the password is right.
                if let Some(locked) = locked.filter(|locked| !proved.contains(&locked.salt)) {
                    prove(&online, *file, locked, password.clone()).await?;
                    news |= proved.insert(locked.salt);
                }
            }
        }
        if !news {
            break;
        }
    }
    if hold {
        for file in files.iter().filter(|file| file.protected) {
            core.passwords.hold(file.blob, &password);
        }
    }
    Ok(())
}

async fn locks(online: &Online, files: &[FileId]) -> Result<Vec<Option<Locked>>, Failure> {
    let request = Request::Protected(ProtectedRequest::Locks { files: files.to_vec() });
    match session::ask(&online.connection, &request).await? {
        Answer::Protected(ProtectedAnswer::Locks { locks }) if locks.len() == files.len() => Ok(locks),
        _ => Err(failure::bad_answer()),
    }
}

async fn prove(online: &Online, file: FileId, locked: Locked, password: Password) -> Result<(), Failure> {
    let exported = net::exported(&online.connection).map_err(failure::unexpected)?;
    let Locked { stretch: Stretch::Argon2id, salt, .. } = locked;
    let proof = tokio::task::spawn_blocking(move || signed(&password, &salt, &proof_message(&exported, file)));
    let proof = proof.await.map_err(failure::unexpected)?.map_err(failure::unexpected)?;
    let request = Request::Protected(ProtectedRequest::Prove { file, salt, proof });
    match session::ask(&online.connection, &request).await {
        Ok(Answer::Done) => Ok(()),
        Ok(_) => Err(failure::bad_answer()),
        Err(failure) => Err(wrong(failure)),
    }
}

fn signed(password: &Password, salt: &Salt, message: &[u8]) -> std::io::Result<Vec<u8>> {
    Ok(Prover::derive(password, salt)?.prove(message).to_vec())
}

/// What is wrong with a password of a file has nothing to do with who is signed in.
fn wrong(failure: Failure) -> Failure {
    match failure.code.as_str() {
        "protected" => Failure {
            code: "wrong_password".to_owned(),
            hint: "nothing was fetched; ask the file's owner for its password".to_owned(),
            ..failure
        },
        "wait" => Failure {
            kind: FailureKind::Refused,
            hint: "wait, then try again; nothing was fetched".to_owned(),
            ..failure
        },
        _ => failure,
    }
}
