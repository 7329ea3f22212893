//! Messages: kept sealed until each device has them, once, whatever is sent again.

use shared::{
    id::{AccountId, MessageId},
    limits::{MESSAGE_KEYS_MAX, MESSAGES_KEPT_MAX, MESSAGES_PAGE_MAX},
    wire::message::{Header, Seal, Sending},
};

use super::{Fresh, account, device, fresh, member};
use crate::store::{Administered, Caller, Mail, Mailed, NewAccount, Store, StoreError};

/// Members with one device each, whose keys are published.
async fn members(store: &dyn Store, names: &[&str]) -> Vec<Caller> {
    let mut callers = Vec::new();
    for (n, name) in (1..).zip(names) {
        let caller = member(store, name, n).await;
        publish(store, &caller, n).await;
        callers.push(caller);
    }
    callers
}

async fn publish(store: &dyn Store, caller: &Caller, n: u8) {
    store.publish_message_key(caller, [n; 32], vec![n; 64]).await.unwrap();
}

/// A second device of a member, with a key.
async fn second(store: &dyn Store, caller: &Caller, n: u8) -> Caller {
    let second = store.enrol_device(caller.account, device(n), 2).await.unwrap();
    publish(store, &second, n).await;
    second
}

fn seal(to: &Caller) -> Seal {
    Seal { device: to.device, sealed: to.device.as_bytes().repeat(5) }
}

fn sending(from: &Caller, to: Option<&Caller>, id: u8, devices: &[&Caller]) -> Sending {
    let header = Header {
        id: MessageId([id; 16]),
        from: from.account,
        device: from.device,
        to: to.map(|to| to.account),
        written_ms: 5,
    };
    let seals = devices.iter().map(|device| seal(device)).collect();
    Sending { header, body: vec![id; 300], signature: vec![id; 64], seals, last: true }
}

async fn mail(store: &dyn Store, mail: Mail, now_ms: i64) -> Result<Mailed, StoreError> {
    store.mail(vec![mail], now_ms).await.unwrap().remove(0)
}

async fn send(store: &dyn Store, from: &Caller, sending: Sending, now_ms: i64) -> Result<Mailed, StoreError> {
    mail(store, Mail::Send { caller: from.clone(), sending }, now_ms).await
}

async fn acknowledge(store: &dyn Store, by: &Caller, ids: &[u8]) -> Vec<(AccountId, MessageId)> {
    let messages = ids.iter().map(|id| MessageId([*id; 16])).collect();
    match mail(store, Mail::Acknowledge { caller: by.clone(), messages }, 50).await {
        Ok(Mailed::Delivered(delivered)) => delivered,
        other => panic!("{other:?}"),
    }
}

/// The first bytes of what waits for a device, with what it says of itself.
async fn waiting(store: &dyn Store, caller: &Caller) -> Vec<u8> {
    let (messages, more) = store.waiting_messages(caller, 0).await.unwrap();
    assert!(!more);
    for message in &messages {
        assert_eq!(message.sealed, seal(caller).sealed);
        assert_eq!(message.body, vec![message.header.id.0[0]; 300]);
    }
    messages.iter().map(|message| message.header.id.0[0]).collect()
}

fn at(mailed: &Result<Mailed, StoreError>) -> (i64, bool) {
    match mailed {
        Ok(Mailed::Kept { at_ms, news }) => (*at_ms, news.is_some()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_message_waits_for_each_device_until_that_one_has_it() {
    let Fresh { store, folder: _folder } = fresh().await;
    let [anna, ben, eve] = &members(&*store, &["anna", "ben", "eve"]).await[..] else { panic!() };
    let (phone, laptop) = (second(&*store, ben, 12).await, second(&*store, anna, 11).await);
    let all = [ben, &phone, &laptop];
    let sent = send(&*store, anna, sending(anna, Some(ben), 1, &all), 40).await;
    let Ok(Mailed::Kept { at_ms: 40, news: Some(posted) }) = sent else { panic!("{sent:?}") };
    assert_eq!((posted.delivery.from_name.as_str(), posted.delivery.to_name.as_deref()), ("anna", Some("ben")));
    assert_eq!((posted.seals.len(), posted.delivery.signing), (3, [1; 32]));
    for device in all {
        assert_eq!(waiting(&*store, device).await, [1]);
    }
    assert!(waiting(&*store, anna).await.is_empty() && waiting(&*store, eve).await.is_empty());

    // The sender's own other device is no receiver, and only the first of the receiver's is news.
    assert!(acknowledge(&*store, &laptop, &[1]).await.is_empty());
    assert_eq!(store.delivered_among(anna, &[MessageId([1; 16])]).await.unwrap(), []);
    assert_eq!(acknowledge(&*store, ben, &[1, 9]).await, [(anna.account, MessageId([1; 16]))]);
    assert!(waiting(&*store, ben).await.is_empty());
    assert_eq!(waiting(&*store, &phone).await, [1]);
    assert!(acknowledge(&*store, &phone, &[1]).await.is_empty());
    assert!(acknowledge(&*store, &phone, &[1]).await.is_empty());
    for sender in [anna, &laptop] {
        assert_eq!(store.delivered_among(sender, &[MessageId([1; 16])]).await.unwrap(), [MessageId([1; 16])]);
    }
    assert_eq!(store.delivered_among(eve, &[MessageId([1; 16])]).await.unwrap(), []);
}

#[tokio::test]
async fn a_message_that_is_sent_again_stays_one_even_after_it_was_delivered() {
    let Fresh { store, folder: _folder } = fresh().await;
    let [anna, ben] = &members(&*store, &["anna", "ben"]).await[..] else { panic!() };
    let again = || sending(anna, Some(ben), 1, &[ben]);
    assert_eq!(at(&send(&*store, anna, again(), 40).await), (40, true));
    assert_eq!(at(&send(&*store, anna, again(), 70).await), (40, false));
    assert_eq!(waiting(&*store, ben).await, [1]);
    acknowledge(&*store, ben, &[1]).await;
    assert_eq!(at(&send(&*store, anna, again(), 80).await), (40, false));
    assert!(waiting(&*store, ben).await.is_empty());
    let stolen = send(&*store, ben, sending(ben, Some(anna), 1, &[anna]), 90).await;
    assert!(matches!(stolen, Err(StoreError::MessageTaken)), "{stolen:?}");
}

#[tokio::test]
async fn no_two_messages_have_the_same_time_and_a_clock_that_goes_back_changes_no_order() {
    let Fresh { store, folder: _folder } = fresh().await;
    let [anna, ben] = &members(&*store, &["anna", "ben"]).await[..] else { panic!() };
    let batch = (1..4).map(|id| Mail::Send { caller: anna.clone(), sending: sending(anna, Some(ben), id, &[ben]) });
    let times: Vec<_> = store.mail(batch.collect(), 40).await.unwrap().iter().map(at).collect();
    assert_eq!(times, [(40, true), (41, true), (42, true)]);
    assert_eq!(at(&send(&*store, ben, sending(ben, Some(anna), 4, &[anna]), 7).await), (43, true));
    assert_eq!(waiting(&*store, ben).await, [1, 2, 3]);
}

#[tokio::test]
async fn nothing_is_delivered_before_every_device_is_sealed_to() {
    let Fresh { store, folder: _folder } = fresh().await;
    let [anna, ben] = &members(&*store, &["anna", "ben"]).await[..] else { panic!() };
    let phone = second(&*store, ben, 12).await;
    let missing = send(&*store, anna, sending(anna, Some(ben), 1, &[ben]), 40).await;
    assert!(matches!(missing, Ok(Mailed::DevicesMissing(1))), "{missing:?}");
    assert!(waiting(&*store, ben).await.is_empty());
    assert!(acknowledge(&*store, ben, &[1]).await.is_empty());
    let other = Sending { body: vec![7; 300], ..sending(anna, Some(ben), 1, &[&phone]) };
    assert!(matches!(send(&*store, anna, other, 50).await, Err(StoreError::MessageTaken)));
    assert_eq!(at(&send(&*store, anna, sending(anna, Some(ben), 1, &[&phone]), 60).await), (60, true));
    assert_eq!((waiting(&*store, ben).await, waiting(&*store, &phone).await), (vec![1], vec![1]));

    // One that is signed out is not waited for.
    store.revoke_devices(ben, &[phone.device], 70).await.unwrap();
    assert_eq!(at(&send(&*store, anna, sending(anna, Some(ben), 2, &[ben]), 80).await), (80, true));
}

#[tokio::test]
async fn a_message_to_everyone_comes_in_parts_and_reaches_every_device_but_the_sending_one() {
    let Fresh { store, folder: _folder } = fresh().await;
    let [anna, ben, eve] = &members(&*store, &["anna", "ben", "eve"]).await[..] else { panic!() };
    let phone = second(&*store, anna, 11).await;
    let part = Sending { last: false, ..sending(anna, None, 1, &[ben, &phone, anna]) };
    assert!(matches!(send(&*store, anna, part, 40).await, Ok(Mailed::More)));
    assert!(waiting(&*store, ben).await.is_empty());
    assert_eq!(at(&send(&*store, anna, sending(anna, None, 1, &[eve]), 45).await), (45, true));
    for device in [ben, eve, &phone] {
        assert_eq!(waiting(&*store, device).await, [1]);
        let (messages, _) = store.waiting_messages(device, 0).await.unwrap();
        assert_eq!((messages[0].header.to, messages[0].to_name.as_deref()), (None, None));
    }
    assert!(waiting(&*store, anna).await.is_empty());
    assert!(acknowledge(&*store, ben, &[1]).await.is_empty(), "nobody in particular has it now");
}

#[tokio::test]
async fn a_message_to_one_member_is_kept_for_nobody_else() {
    let Fresh { store, folder: _folder } = fresh().await;
    let [anna, ben, eve] = &members(&*store, &["anna", "ben", "eve"]).await[..] else { panic!() };
    assert_eq!(at(&send(&*store, anna, sending(anna, Some(ben), 1, &[ben, eve]), 40).await), (40, true));
    assert!(waiting(&*store, eve).await.is_empty());
    let unknown = Sending {
        header: Header { to: Some(AccountId([9; 16])), ..sending(anna, None, 2, &[]).header },
        ..sending(anna, None, 2, &[])
    };
    assert!(matches!(send(&*store, anna, unknown, 40).await, Err(StoreError::UnknownMember(_))));
}

#[tokio::test]
async fn a_member_without_a_device_that_could_read_it_is_refused_and_leaves_no_trace() {
    let Fresh { store, folder: _folder } = fresh().await;
    let anna = members(&*store, &["anna"]).await.remove(0);
    let ben = member(&*store, "ben", 2).await;
    let refused = send(&*store, &anna, sending(&anna, Some(&ben), 1, &[]), 40).await;
    assert!(matches!(refused, Err(StoreError::NoDevice)), "{refused:?}");
    publish(&*store, &ben, 2).await;
    assert_eq!(at(&send(&*store, &anna, sending(&anna, Some(&ben), 1, &[&ben]), 60).await), (60, true));
}

#[tokio::test]
async fn what_one_sender_does_wrong_holds_up_nothing_else_in_the_batch() {
    let Fresh { store, folder: _folder } = fresh().await;
    let [anna, ben] = &members(&*store, &["anna", "ben"]).await[..] else { panic!() };
    let gone = Caller { device: device(9).id, ..anna.clone() };
    let mails = vec![
        Mail::Send { caller: gone, sending: sending(anna, Some(ben), 1, &[ben]) },
        Mail::Send { caller: anna.clone(), sending: sending(anna, Some(ben), 2, &[ben]) },
        Mail::Acknowledge { caller: ben.clone(), messages: vec![MessageId([2; 16])] },
    ];
    let results = store.mail(mails, 40).await.unwrap();
    assert!(matches!(results[0], Err(StoreError::SignedOut)));
    assert_eq!(at(&results[1]), (40, true));
    assert!(matches!(&results[2], Ok(Mailed::Delivered(delivered)) if delivered.len() == 1));
}

#[tokio::test]
async fn keys_are_told_of_the_receiver_and_of_the_senders_other_devices() {
    let Fresh { store, folder: _folder } = fresh().await;
    let [anna, ben, eve] = &members(&*store, &["anna", "ben", "eve"]).await[..] else { panic!() };
    let phone = second(&*store, anna, 11).await;
    member(&*store, "nokey", 9).await;
    let told = async |to: Option<AccountId>| {
        let (keys, next) = store.message_keys(anna, to, None).await.unwrap();
        assert_eq!(next, None);
        let mut told: Vec<u8> = keys.iter().map(|keys| keys.sealing[0]).collect();
        told.sort_unstable();
        told
    };
    assert_eq!(told(Some(ben.account)).await, [2, 11]);
    assert_eq!(told(None).await, [2, 3, 11]);
    publish(&*store, &phone, 77).await;
    store.administer("eve", Administered::Locked(true), 60).await.unwrap();
    assert_eq!(told(None).await, [2, 77]);
    assert!(matches!(store.message_keys(eve, None, None).await, Err(StoreError::SignedOut)));
    let unknown = store.message_keys(anna, Some(AccountId([9; 16])), None).await;
    assert!(unknown.is_ok(), "the member without a key");
    assert!(store.message_keys(anna, Some(AccountId([99; 16])), None).await.is_err());
}

#[tokio::test]
async fn keys_of_many_devices_come_in_pages() {
    let Fresh { store, folder: _folder } = fresh().await;
    let anna = members(&*store, &["anna"]).await.remove(0);
    let count = MESSAGE_KEYS_MAX + 3;
    for n in 0..count {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&(n as u64 + 1000).to_le_bytes());
        let name = format!("member{n}");
        let device = crate::store::DeviceKey { id: shared::id::DeviceId::of_key(&key), key, label: String::new() };
        let mut id = [1; 16];
        id[..8].copy_from_slice(&(n as u64).to_le_bytes());
        let new = NewAccount { id: AccountId(id), device, ..account(&name, 1) };
        let caller = store.create_account(new, 1).await.unwrap();
        publish(&*store, &caller, 5).await;
    }
    let (first, next) = store.message_keys(&anna, None, None).await.unwrap();
    assert_eq!(first.len(), MESSAGE_KEYS_MAX);
    let (second, end) = store.message_keys(&anna, None, next).await.unwrap();
    assert_eq!((second.len(), end), (3, None));
    assert!(second.iter().all(|keys| !first.contains(keys)));
}

#[tokio::test]
async fn what_waits_comes_in_pages_and_a_sender_fills_no_more_than_its_share() {
    let Fresh { store, folder: _folder } = fresh().await;
    let [anna, ben] = &members(&*store, &["anna", "ben"]).await[..] else { panic!() };
    let numbered = |n: u64| {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&n.to_le_bytes());
        let header = Header { id: MessageId(id), ..sending(anna, Some(ben), 1, &[]).header };
        Mail::Send { caller: anna.clone(), sending: Sending { header, ..sending(anna, Some(ben), 1, &[ben]) } }
    };
    let sent = store.mail((0..MESSAGES_KEPT_MAX).map(numbered).collect(), 40).await.unwrap();
    assert!(sent.iter().all(|mailed| at(mailed).1));
    assert!(matches!(mail(&*store, numbered(9999), 50).await, Err(StoreError::TooManyMessages(_))));
    assert!(at(&send(&*store, ben, sending(ben, Some(anna), 9, &[anna]), 60).await).1);
    let (page, more) = store.waiting_messages(ben, 0).await.unwrap();
    assert_eq!((page.len(), more), (MESSAGES_PAGE_MAX, true));
    let (next, _) = store.waiting_messages(ben, page.last().unwrap().place).await.unwrap();
    assert!(next[0].place > page.last().unwrap().place);
    // What was taken makes room.
    let messages = page.iter().map(|message| message.header.id).collect();
    mail(&*store, Mail::Acknowledge { caller: ben.clone(), messages }, 70).await.unwrap();
    assert!(at(&mail(&*store, numbered(9999), 80).await).1);
}

#[tokio::test]
async fn a_message_whose_time_is_over_is_forgotten_whether_it_was_delivered_or_not() {
    let Fresh { store, folder: _folder } = fresh().await;
    let [anna, ben] = &members(&*store, &["anna", "ben"]).await[..] else { panic!() };
    for (id, now) in [(1, 40), (2, 90)] {
        send(&*store, anna, sending(anna, Some(ben), id, &[ben]), now).await.unwrap();
    }
    assert_eq!(store.forget_messages(40).await.unwrap(), 0);
    assert_eq!(store.forget_messages(41).await.unwrap(), 1);
    assert_eq!(waiting(&*store, ben).await, [2]);
}
