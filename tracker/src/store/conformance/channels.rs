//! Invitations to private channels: who may accept one, and who learns where its device is.

use shared::{
    id::ItemId,
    inbox::{Act, State},
    wire::inbox::InboxAnswer,
};

use super::*;
use crate::store::{Deed, Done, Named, NewItem};

const NOW: i64 = 1_000_000;

fn named(name: &str) -> Named {
    Named { key: name.into(), typed: name.into() }
}

async fn invite(store: &dyn Store, from: &Caller, to: &str, n: u8) -> Result<Done, StoreError> {
    let new = NewItem { id: ItemId([n; 16]), text: String::new(), now_ms: NOW, expires_ms: NOW + 5000 };
    store.invite_to_channel(from, named(to), new).await
}

async fn act(store: &dyn Store, caller: &Caller, n: u8, act: Act) -> Result<Done, StoreError> {
    let deed = Deed { act, always: false, with: None, word: String::new() };
    store.act(caller, ItemId([n; 16]), deed, NOW + 1).await
}

async fn states(store: &dyn Store, caller: &Caller) -> Vec<(u8, State)> {
    let InboxAnswer::Changes { items, .. } = store.inbox_changes(caller, 0).await.unwrap() else { unreachable!() };
    let mut states: Vec<(u8, State)> = items.iter().map(|item| (item.id.0[0], item.state)).collect();
    states.sort_unstable();
    states
}

#[tokio::test]
async fn the_device_that_invites_is_told_to_who_accepted_and_to_nobody_else() {
    let Fresh { store, folder: _folder } = fresh().await;
    let store = &*store;
    let (anna, ben, eve) =
        (member(store, "anna", 1).await, member(store, "ben", 2).await, member(store, "eve", 3).await);
    let item = ItemId([1; 16]);
    let done = invite(store, &anna, "ben", 1).await.unwrap();
    assert_eq!(done.items[0].from_device, anna.device);
    assert_eq!(done.told.accounts.len(), 2);
    // Inviting again under the same id, after a lost answer, is no second one.
    invite(store, &anna, "ben", 1).await.unwrap();
    assert!(matches!(store.channel_host(&ben, item).await, Err(StoreError::NotNow(_))), "before the yes");
    for stranger in [&eve, &anna] {
        assert!(matches!(store.channel_host(stranger, item).await, Err(StoreError::UnknownItem)));
    }
    assert!(matches!(act(store, &eve, 1, Act::Accept).await, Err(StoreError::UnknownItem)));
    act(store, &ben, 1, Act::Accept).await.unwrap();
    assert_eq!(store.channel_host(&ben, item).await.unwrap(), (anna.device, anna.account));
    assert!(matches!(store.channel_host(&eve, item).await, Err(StoreError::UnknownItem)));
    // The two have met: the invitation is worth nothing any more.
    assert!(act(store, &anna, 1, Act::Fulfil).await.is_err(), "it is the guest who says so");
    act(store, &ben, 1, Act::Fulfil).await.unwrap();
    assert!(matches!(store.channel_host(&ben, item).await, Err(StoreError::NotNow(_))));
    assert!(invite(store, &anna, "anna", 2).await.is_err(), "oneself");
    assert!(matches!(invite(store, &anna, "nobody", 2).await, Err(StoreError::UnknownMember(_))));
}

#[tokio::test]
async fn a_new_invitation_takes_the_place_of_one_that_nobody_answered() {
    let Fresh { store, folder: _folder } = fresh().await;
    let store = &*store;
    let (anna, ben) = (member(store, "anna", 1).await, member(store, "ben", 2).await);
    invite(store, &anna, "ben", 1).await.unwrap();
    act(store, &ben, 1, Act::Accept).await.unwrap();
    invite(store, &anna, "ben", 2).await.unwrap();
    invite(store, &anna, "ben", 3).await.unwrap();
    invite(store, &ben, "anna", 4).await.unwrap();
    let wanted = [(1, State::Accepted), (2, State::Cancelled), (3, State::Waiting), (4, State::Waiting)];
    assert_eq!(states(store, &ben).await, wanted);
    assert_eq!(states(store, &anna).await, wanted);
}
