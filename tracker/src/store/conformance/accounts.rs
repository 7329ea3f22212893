//! Accounts, their devices and recovery, invitations, and what administration decides.

use std::{net::IpAddr, time::Duration};

use shared::limits::{DEVICES_PER_ACCOUNT_MAX, SIGN_IN_SOURCES_MAX};

use super::{Fresh, account, device, fresh, member};
use crate::{
    attempts::Guesses,
    store::{Administered, AttemptStore as _, Invite, NewAccount, Recovery, SqliteStore, StoreError, WhichInvite},
};

#[tokio::test]
async fn an_invitation_is_consumed_only_together_with_the_registration() {
    let Fresh { store, folder: _folder } = fresh().await;
    member(&*store, "anna", 1).await;
    let invite = |uses_left, ends_ms| Invite { hint: "abcd".into(), uses_left, ends_ms };
    store.create_invite(invite(1, None), [1; 32], 0).await.unwrap();
    store.create_invite(invite(1, Some(50)), [2; 32], 0).await.unwrap();
    let with = |name: &str, n, code| NewAccount { invite: Some([code; 32]), ..account(name, n) };
    assert!(matches!(store.create_account(with("anna", 2, 1), 60).await, Err(StoreError::NameTaken)));
    assert!(matches!(store.create_account(with("ben", 2, 2), 60).await, Err(StoreError::BadInvite)));
    assert!(matches!(store.create_account(with("ben", 2, 3), 60).await, Err(StoreError::BadInvite)));
    store.create_account(with("ben", 2, 1), 60).await.unwrap();
    assert!(matches!(store.create_account(with("eve", 3, 1), 60).await, Err(StoreError::BadInvite)));
    assert!(store.list_invites(60).await.unwrap().is_empty());
    assert_eq!(store.list_invites(40).await.unwrap(), [invite(1, Some(50))]);
    let second = WhichInvite::Hash([2; 32]);
    assert_eq!(store.revoke_invite(&second).await.unwrap(), 1);
    assert_eq!(store.revoke_invite(&second).await.unwrap(), 0);
}

#[tokio::test]
async fn an_invitation_is_revoked_by_how_it_begins_unless_another_begins_alike() {
    let Fresh { store, folder: _folder } = fresh().await;
    let invite = |hint: &str| Invite { hint: hint.into(), uses_left: 1, ends_ms: None };
    for (hint, hash) in [("abcd", 1), ("efgh", 2), ("efgh", 3)] {
        store.create_invite(invite(hint), [hash; 32], 0).await.unwrap();
    }
    let by = |hint: &str| WhichInvite::Hint(hint.into());
    assert_eq!(store.revoke_invite(&by("efgh")).await.unwrap(), 2);
    assert_eq!(store.list_invites(0).await.unwrap().len(), 3, "which of the two was meant is not guessed");
    assert_eq!(store.revoke_invite(&by("abcd")).await.unwrap(), 1);
    assert_eq!(store.list_invites(0).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_recovery_code_works_once_for_its_own_account_and_not_while_that_is_locked() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    let recover = |name: &str, code| Recovery {
        name_key: name.into(),
        code: [code; 32],
        password_hash: "another hash".into(),
        device: device(7),
    };
    assert!(store.recover(recover("anna", 9), 2).await.unwrap().is_none(), "there is no code yet");
    store.set_recovery(&anna, [8; 32]).await.unwrap();
    store.set_recovery(&anna, [9; 32]).await.unwrap();
    store.set_recovery(&ben, [5; 32]).await.unwrap();
    for (name, code) in [("anna", 8), ("ben", 9), ("nobody", 9), ("", 9)] {
        assert!(store.recover(recover(name, code), 2).await.unwrap().is_none(), "{name} {code}");
    }
    store.administer("anna", Administered::Locked(true), 60).await.unwrap();
    assert!(store.recover(recover("anna", 9), 2).await.unwrap().is_none());
    store.administer("anna", Administered::Locked(false), 60).await.unwrap();
    let caller = store.recover(recover("anna", 9), 2).await.unwrap().unwrap();
    assert_eq!((caller.account, caller.device), (anna.account, device(7).id));
    assert_eq!(store.find_login("anna").await.unwrap().unwrap().password_hash, "another hash");
    assert!(store.recover(recover("anna", 9), 2).await.unwrap().is_none());
    assert!(store.find_device(device(1).id).await.unwrap().is_some(), "the others stay signed in");
}

#[tokio::test]
async fn a_password_is_replaced_only_while_it_is_the_one_that_was_checked() {
    let Fresh { store, folder: _folder } = fresh().await;
    let anna = member(&*store, "anna", 1).await;
    store.set_password(&anna, "hash", "second".into()).await.unwrap();
    assert!(matches!(store.set_password(&anna, "hash", "third".into()).await, Err(StoreError::PasswordMoved)));
    assert_eq!(store.find_login("anna").await.unwrap().unwrap().password_hash, "second");
}

#[tokio::test]
async fn a_member_signs_out_devices_of_its_own_account_alone_and_they_are_told_while_their_certificates_last() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    for n in [3, 4] {
        store.enrol_device(anna.account, device(n), 2).await.unwrap();
    }
    let all = [device(2).id, device(3).id, device(4).id, device(9).id];
    let mut revoked = store.revoke_devices(&anna, &all, 100).await.unwrap();
    revoked.sort_unstable();
    let mut expected = vec![device(3).id, device(4).id];
    expected.sort_unstable();
    assert_eq!(revoked, expected);
    assert!(store.revoke_devices(&anna, &all, 200).await.unwrap().is_empty());
    assert!(store.find_device(device(3).id).await.unwrap().is_none());
    let mut told = store.revoked_devices(100).await.unwrap();
    told.sort_unstable();
    assert_eq!(told, expected);
    assert!(store.revoked_devices(101).await.unwrap().is_empty());
    // Who is enrolled again counts again.
    store.enrol_device(anna.account, device(3), 300).await.unwrap();
    assert_eq!(store.revoked_devices(0).await.unwrap(), [device(4).id]);
    let devices = store.devices(&anna).await.unwrap();
    let ids: Vec<_> = devices.iter().map(|device| device.device).collect();
    assert_eq!(ids, [device(1).id, device(3).id]);
    assert_eq!(store.devices(&ben).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_locked_account_is_signed_out_everywhere_and_told_like_devices_that_are() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    assert!(store.administer("anna", Administered::Locked(true), 60).await.unwrap());
    assert!(!store.administer("nobody", Administered::Locked(true), 60).await.unwrap());
    assert!(matches!(store.devices(&anna).await, Err(StoreError::SignedOut)));
    let both = [device(1).id, device(2).id];
    assert_eq!(store.enrolled_among(&both).await.unwrap(), [device(2).id]);
    // However long ago they were connected.
    assert_eq!(store.revoked_devices(60).await.unwrap(), [device(1).id]);
    assert!(store.revoked_devices(61).await.unwrap().is_empty());
    assert!(!store.is_admin(&ben).await.unwrap());
    store.administer("ben", Administered::Admin(true), 60).await.unwrap();
    assert!(store.is_admin(&ben).await.unwrap());
    let rows = store.accounts().await.unwrap();
    let states: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.admin, row.locked, row.devices)).collect();
    assert_eq!(states, [("anna", false, true, 1), ("ben", true, false, 1)]);
}

#[tokio::test]
async fn a_device_belongs_to_one_account_and_signs_in_until_it_is_forgotten() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    store.enrol_device(ben.account, device(1), 2).await.unwrap();
    assert_eq!(store.find_device(device(1).id).await.unwrap().unwrap().caller.account, ben.account);
    assert!(matches!(store.changes(&anna, 0).await, Err(StoreError::SignedOut)));
    store.revoke_devices(&ben, &[device(1).id], 3).await.unwrap();
    assert!(store.find_device(device(1).id).await.unwrap().is_none());
    for n in 0..DEVICES_PER_ACCOUNT_MAX {
        store.enrol_device(anna.account, device(100 + n as u8), 2).await.unwrap();
    }
    let more = store.enrol_device(anna.account, device(99), 2).await;
    assert!(matches!(more, Err(StoreError::TooManyDevices(_))));
}

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const THERE: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0));
const MEMORY: Duration = Duration::from_millis(1000);

fn guesses(name: &str, address: IpAddr, count: u32, last_ms: i64) -> Guesses {
    Guesses { name_key: name.into(), address, count, last_ms }
}

#[tokio::test]
async fn wrong_passwords_outlive_the_store_until_the_right_one_or_their_time() {
    let Fresh { store, folder } = fresh().await;
    for noted in [("anna", HERE, 1, 100), ("anna", HERE, 3, 120), ("anna", HERE, 2, 110), ("anna", THERE, 1, 130)] {
        let (name, address, count, last_ms) = noted;
        store.note_guesses(guesses(name, address, count, last_ms), MEMORY).await.unwrap();
    }
    store.note_guesses(guesses("nobody", HERE, 7, 90), MEMORY).await.unwrap();
    store.forget_guesses("anna", THERE).await.unwrap();
    store.close().await;
    let again = SqliteStore::open(&folder.path().join("tracker.db")).await.unwrap();
    let mut told = again.recall_guesses(200, MEMORY).await.unwrap();
    told.sort_by(|one, other| one.name_key.cmp(&other.name_key));
    assert_eq!(told, [guesses("anna", HERE, 3, 110), guesses("nobody", HERE, 7, 90)]);
    assert_eq!(again.recall_guesses(1095, MEMORY).await.unwrap(), [guesses("anna", HERE, 3, 110)]);
    // Those of long ago do not count together with new ones.
    again.note_guesses(guesses("anna", HERE, 1, 5000), MEMORY).await.unwrap();
    assert_eq!(again.recall_guesses(5000, MEMORY).await.unwrap(), [guesses("anna", HERE, 1, 5000)]);
    // The clock was turned back: nothing lies in the future.
    assert_eq!(again.recall_guesses(70, MEMORY).await.unwrap(), [guesses("anna", HERE, 1, 70)]);
    assert!(again.recall_guesses(1070, MEMORY).await.unwrap().is_empty());
}

#[tokio::test]
async fn of_too_many_wrong_passwords_the_oldest_are_forgotten() {
    let Fresh { store, folder } = fresh().await;
    // Written at once: a transaction for each takes a disk minutes.
    let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", folder.path().join("tracker.db").display())).await;
    let pool = pool.unwrap();
    sqlx::query(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
         INSERT INTO guesses (name_key, address, count, last_ms) SELECT 'name ' || i, '192.0.2.1', 1, i FROM n",
    )
    .bind(SIGN_IN_SOURCES_MAX as i64)
    .execute(&pool)
    .await
    .unwrap();
    let memory = Duration::from_secs(3600);
    let newest = SIGN_IN_SOURCES_MAX as i64 + 1;
    store.note_guesses(guesses("anna", HERE, 1, newest), memory).await.unwrap();
    let told = store.recall_guesses(newest, memory).await.unwrap();
    assert_eq!(told.len(), SIGN_IN_SOURCES_MAX);
    assert!(told.iter().all(|guesses| guesses.last_ms > 1), "the oldest went");
}
