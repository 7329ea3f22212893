//! Passwords of files: what locks a content, and who has opened it.

use shared::{
    id::FileId,
    limits::LOCK_SALT_BYTES,
    wire::protected::{Lock, Stretch},
};
use sqlx::{Row, SqliteConnection};

use super::{Result, me, rows, sources};
use crate::store::{Caller, StoreError, Whereabouts};

/// Whether the file `f` is closed to an account and a device of it, by their numbers. What locks it is its own lock, and
/// that of whoever shared the same content first: what somebody else locks or leaves open later changes nothing.
macro_rules! closed {
    ($account:literal, $device:literal) => {
        concat!(
            " EXISTS (SELECT 1 FROM files g WHERE ",
            locks_it!(),
            " AND g.owner <> ",
            $account,
            " AND NOT EXISTS (SELECT 1 FROM opened o WHERE o.device = ",
            $device,
            " AND o.lock = g.lock)) "
        )
    };
}
/// Whether the lock of the file `g` is one of the file `f`.
macro_rules! locks_it {
    () => {
        " g.blob = f.blob AND g.lock IS NOT NULL AND (g.no = f.no OR NOT EXISTS (
              SELECT 1 FROM files h WHERE h.blob = f.blob AND h.shared_ms < g.shared_ms)) "
    };
}
pub(super) use {closed, locks_it};

const LOCK_BYTES: usize = 1 + LOCK_SALT_BYTES + 32;

/// A lock as it is stored.
pub(super) fn to_bytes(lock: &Lock) -> Vec<u8> {
    let stretch = match lock.stretch {
        Stretch::Argon2id => 0,
    };
    [&[stretch][..], &lock.salt, &lock.key].concat()
}

/// A stored lock.
pub(super) fn of_bytes(bytes: &[u8]) -> Result<Lock> {
    let corrupt = || StoreError::Corrupt("lock");
    let bytes: &[u8; LOCK_BYTES] = bytes.try_into().map_err(|_| corrupt())?;
    let (stretch, rest) = bytes.split_at(1);
    let (salt, key) = rest.split_at(LOCK_SALT_BYTES);
    match stretch {
        [0] => Ok(Lock {
            stretch: Stretch::Argon2id,
            salt: salt.try_into().map_err(|_| corrupt())?,
            key: key.try_into().map_err(|_| corrupt())?,
        }),
        _ => Err(corrupt()),
    }
}

/// For each file that the caller may fetch but for passwords: what locks it, and whether that is open for the caller.
pub(super) async fn locks(
    connection: &mut SqliteConnection,
    caller: &Caller,
    files: &[FileId],
) -> Result<Vec<Vec<(Lock, bool)>>> {
    let me = me(connection, caller).await?;
    let may: Vec<bool> = sources::locate(connection, caller, files)
        .await?
        .iter()
        .map(|found| matches!(found, Whereabouts::Allowed { .. } | Whereabouts::Closed(_)))
        .collect();
    let found = sqlx::query(concat!(
        "SELECT w.key AS place, g.lock AS lock, g.owner = $1 OR EXISTS (
             SELECT 1 FROM opened o WHERE o.device = $3 AND o.lock = g.lock) AS open
         FROM json_each($2) w CROSS JOIN files f ON f.id = unhex(w.value) CROSS JOIN files g ON ",
        locks_it!(),
        " ORDER BY g.no = f.no DESC, g.no",
    ))
    .bind(me.account)
    .bind(rows::hex_list(files.iter().map(|file| file.as_bytes().as_slice())))
    .bind(me.device)
    .fetch_all(connection)
    .await?;
    let mut locks = vec![Vec::new(); files.len()];
    for row in &found {
        let place = usize::try_from(row.try_get::<i64, _>("place")?).map_err(|_| StoreError::Corrupt("place"))?;
        if let (Some(locks), Some(true)) = (locks.get_mut(place), may.get(place)) {
            locks.push((of_bytes(row.try_get("lock")?)?, row.try_get("open")?));
        }
    }
    Ok(locks)
}

/// The caller's device has proved that it knows the password. What it proved of locks that are gone is forgotten.
pub(super) async fn open(tx: &mut SqliteConnection, caller: &Caller, lock: &Lock) -> Result<()> {
    let me = me(tx, caller).await?;
    sqlx::query(
        "DELETE FROM opened WHERE device = $1 AND lock NOT IN (SELECT g.lock FROM files g WHERE g.lock IS NOT NULL)",
    )
    .bind(me.device)
    .execute(&mut *tx)
    .await?;
    sqlx::query("INSERT INTO opened (device, lock) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(me.device)
        .bind(to_bytes(lock))
        .execute(tx)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_read_back_as_it_was_stored() {
        let lock = Lock { stretch: Stretch::Argon2id, salt: [7; 16], key: [9; 32] };
        assert_eq!(of_bytes(&to_bytes(&lock)).unwrap(), lock);
        assert!(of_bytes(&[0; LOCK_BYTES - 1]).is_err());
        assert!(of_bytes(&[9; LOCK_BYTES]).is_err());
    }
}
