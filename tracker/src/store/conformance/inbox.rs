//! Requests and offers: who sees them, who may answer, and who may fetch what because of them.

use shared::{
    id::{DeviceId, ItemId, ParcelId},
    inbox::{Act, State, Wanted},
    limits::{BOARD_PER_SPAN_MAX, ITEM_KEPT, LEFT_COPY_BYTES_MAX},
    wire::{
        inbox::{InboxAnswer, ItemEntry, PackEntry, What},
        tracker::CopyState,
    },
};

use super::*;
use crate::store::{Block, Deed, Done, Named, NewItem};

const NOW: i64 = 1_000_000;

fn new(n: u8) -> NewItem {
    NewItem { id: ItemId([n; 16]), text: format!("words {n}"), now_ms: NOW, expires_ms: NOW + 5000 }
}

fn named(name: &str) -> Named {
    Named { key: name.into(), typed: name.into() }
}

fn deed(act: Act) -> Deed {
    Deed { act, always: false, with: None, word: "a word".into() }
}

fn entry(path: &str, content: u8) -> PackEntry {
    PackEntry {
        path: path.into(),
        blob: blob(content),
        size: u64::from(content) * 10,
        modified_ms: 5,
        executable: false,
    }
}

async fn seen(store: &dyn Store, caller: &Caller) -> Vec<ItemEntry> {
    let InboxAnswer::Changes { items, .. } = store.inbox_changes(caller, 0).await.unwrap() else { unreachable!() };
    items
}

async fn state(store: &dyn Store, caller: &Caller, n: u8) -> Option<State> {
    seen(store, caller).await.into_iter().find(|item| item.id == ItemId([n; 16])).map(|item| item.state)
}

async fn may_fetch(store: &dyn Store, caller: &Caller, file: FileId) -> bool {
    matches!(store.locate(caller, &[file]).await.unwrap()[..], [Whereabouts::Allowed { .. }])
}

async fn act(store: &dyn Store, caller: &Caller, n: u8, what: Act) -> Result<Done, StoreError> {
    store.act(caller, ItemId([n; 16]), deed(what), NOW + 1).await
}

/// Anna offers one file to Ben.
async fn offered(store: &dyn Store, anna: &Caller, to: &[(&str, u8)]) -> FileId {
    let entries = vec![(entry("gift", 3), FileId([0x33; 16]))];
    let (files, _) = store.pack(anna, ParcelId([9; 16]), entries, NOW).await.unwrap();
    let to = to.iter().map(|(name, n)| (named(name), new(*n))).collect();
    store.offer(anna, ParcelId([9; 16]), "gift".into(), to).await.unwrap();
    files[0]
}

#[tokio::test]
async fn an_approval_lets_one_member_fetch_one_file_until_the_request_ends() {
    let Fresh { store, folder: _folder } = fresh().await;
    let store = &*store;
    let (anna, ben, eve) =
        (member(store, "anna", 1).await, member(store, "ben", 2).await, member(store, "eve", 3).await);
    let asked = put(store, &anna, "asked", 4, Some(Audience::Ask)).await;
    let other = put(store, &anna, "other", 5, Some(Audience::Ask)).await;
    assert!(!may_fetch(store, &ben, asked.id).await);
    let done = store.want_file(&ben, asked.id, new(1)).await.unwrap();
    assert_eq!(done.items[0].state, State::Waiting);
    // Asking again, with the same id or another one, begins nothing.
    assert_eq!(store.want_file(&ben, asked.id, new(1)).await.unwrap().items[0].id, ItemId([1; 16]));
    assert_eq!(store.want_file(&ben, asked.id, new(2)).await.unwrap().items[0].id, ItemId([1; 16]));
    assert_eq!(state(store, &anna, 1).await, Some(State::Waiting));
    assert_eq!(state(store, &eve, 1).await, None);
    for (caller, what) in [(&eve, Act::Accept), (&eve, Act::Cancel)] {
        assert!(matches!(act(store, caller, 1, what).await, Err(StoreError::UnknownItem)));
    }
    for (caller, what) in [(&ben, Act::Accept), (&ben, Act::Fulfil), (&anna, Act::Cancel), (&anna, Act::Fulfil)] {
        assert!(matches!(act(store, caller, 1, what).await, Err(StoreError::NotNow(_))), "{what:?}");
    }
    act(store, &anna, 1, Act::Accept).await.unwrap();
    assert!(may_fetch(store, &ben, asked.id).await);
    assert!(!may_fetch(store, &ben, other.id).await && !may_fetch(store, &eve, asked.id).await);
    // A yes that is taken back stops what runs.
    let back = act(store, &anna, 1, Act::Decline).await.unwrap();
    assert_eq!(back.effects.revoked, [(anna.device, blob(4))]);
    assert!(!may_fetch(store, &ben, asked.id).await);
    assert_eq!(state(store, &ben, 1).await, Some(State::Declined));
}

#[tokio::test]
async fn a_standing_yes_counts_for_every_ask_file_and_can_be_taken_back() {
    let Fresh { store, folder: _folder } = fresh().await;
    let store = &*store;
    let (anna, ben) = (member(store, "anna", 1).await, member(store, "ben", 2).await);
    let asked = put(store, &anna, "asked", 4, Some(Audience::Ask)).await;
    let secret = put(store, &anna, "secret", 5, people(&["anna"])).await;
    let second = put(store, &anna, "second", 7, Some(Audience::Ask)).await;
    store.want_file(&ben, asked.id, new(1)).await.unwrap();
    store.want_file(&ben, second.id, new(2)).await.unwrap();
    let always = Deed { always: true, ..deed(Act::Accept) };
    store.act(&anna, ItemId([1; 16]), always, NOW + 1).await.unwrap();
    act(store, &ben, 1, Act::Fulfil).await.unwrap();
    act(store, &ben, 2, Act::Fulfil).await.expect("what waited needs no yes of its own");
    let later = put(store, &anna, "later", 6, Some(Audience::Ask)).await;
    assert!(may_fetch(store, &ben, later.id).await && !may_fetch(store, &ben, secret.id).await);
    assert_eq!(store.approved(&anna).await.unwrap(), ["ben"]);
    let effects = store.approve(&anna, named("ben"), false).await.unwrap();
    assert!(effects.revoked.contains(&(anna.device, blob(6))));
    assert!(!may_fetch(store, &ben, later.id).await);
}

#[tokio::test]
async fn an_offer_is_for_its_receivers_while_it_is_open_and_in_no_list() {
    let Fresh { store, folder: _folder } = fresh().await;
    let store = &*store;
    let (anna, ben, eve) =
        (member(store, "anna", 1).await, member(store, "ben", 2).await, member(store, "eve", 3).await);
    let phone = store.enrol_device(anna.account, device(4), 2).await.unwrap();
    let file = offered(store, &anna, &[("ben", 1)]).await;
    assert!(may_fetch(store, &ben, file).await && !may_fetch(store, &eve, file).await);
    assert!(matches!(store.offered_files(&eve, ItemId([1; 16]), None).await, Err(StoreError::UnknownItem)));
    let (files, next) = store.offered_files(&ben, ItemId([1; 16]), None).await.unwrap();
    assert_eq!((files.len(), files[0].id, next), (1, file, None));
    for caller in [&anna, &phone, &ben, &eve] {
        assert!(walk(store, caller).await.is_empty());
        let mine = Place { whose: Whose::Mine, fold: String::new() };
        assert!(store.list(caller, &mine, None).await.unwrap().items.is_empty());
        assert!(store.changes(caller, 0).await.unwrap().changes.is_empty());
        assert_eq!(store.by_prefix(caller, "3333").await.unwrap().1, 0);
        assert!(store.search(caller, &Words::of("gift"), 0).await.unwrap().0.is_empty());
    }
    assert!(store.file(&eve, file).await.unwrap().is_none());
    // What is offered stays as it was seen.
    let more = vec![(entry("more", 4), FileId([0x34; 16]))];
    assert!(matches!(store.pack(&anna, ParcelId([9; 16]), more, NOW).await, Err(StoreError::NotNow(_))));
    assert!(matches!(store.pack(&eve, ParcelId([9; 16]), vec![], NOW).await, Err(StoreError::UnknownItem)));
    let ended = act(store, &anna, 1, Act::Cancel).await.unwrap();
    assert_eq!(ended.effects.revoked, [(anna.device, blob(3))]);
    assert!(!may_fetch(store, &ben, file).await);
    assert!(matches!(act(store, &ben, 1, Act::Accept).await, Err(StoreError::NotNow(_))));
    assert_eq!(store.status().await.unwrap().files, 0);
}

#[tokio::test]
async fn the_files_of_an_offer_stay_until_its_last_receiver_is_through() {
    let Fresh { store, folder: _folder } = fresh().await;
    let store = &*store;
    let (anna, ben, eve) =
        (member(store, "anna", 1).await, member(store, "ben", 2).await, member(store, "eve", 3).await);
    let file = offered(store, &anna, &[("ben", 1), ("eve", 2)]).await;
    store.keep_copies(&anna, &[file], NOW).await.unwrap();
    act(store, &ben, 1, Act::Accept).await.unwrap();
    assert!(act(store, &ben, 1, Act::Fulfil).await.unwrap().effects.released.is_empty());
    assert!(may_fetch(store, &eve, file).await && !may_fetch(store, &ben, file).await);
    assert_eq!(act(store, &eve, 2, Act::Decline).await.unwrap().effects.released, [blob(3)]);
    assert!(!may_fetch(store, &eve, file).await);
}

#[tokio::test]
async fn a_wish_on_the_board_is_seen_by_all_and_answered_by_one_between_two() {
    let Fresh { store, folder: _folder } = fresh().await;
    let store = &*store;
    let (anna, ben, eve) =
        (member(store, "anna", 1).await, member(store, "ben", 2).await, member(store, "eve", 3).await);
    let done = store.want_text(&anna, None, new(1)).await.unwrap();
    assert!(done.told.everyone);
    let file = put(store, &ben, "tapes", 4, people(&["ben"])).await;
    assert!(matches!(act(store, &ben, 1, Act::Accept).await, Err(StoreError::NotNow(_))), "without a file");
    let stolen = Deed { with: Some(file.id), ..deed(Act::Accept) };
    let of_another = store.act(&eve, ItemId([1; 16]), stolen.clone(), NOW + 1).await;
    assert!(matches!(of_another, Err(StoreError::UnknownFile)), "somebody else's file");
    store.act(&ben, ItemId([1; 16]), stolen.clone(), NOW + 1).await.unwrap();
    assert!(may_fetch(store, &anna, file.id).await && !may_fetch(store, &eve, file.id).await);
    let answer_of = |items: Vec<ItemEntry>| match items.into_iter().next().unwrap().what {
        What::Request { file, path, .. } => (file, path),
        other @ (What::Offer { .. } | What::Channel) => panic!("{other:?}"),
    };
    assert_eq!(answer_of(seen(store, &anna).await), (Some(file.id), "tapes".to_owned()));
    assert_eq!(answer_of(seen(store, &eve).await), (None, String::new()));
    let own = put(store, &eve, "mine", 5, None).await;
    let second = Deed { with: Some(own.id), ..deed(Act::Accept) };
    assert!(matches!(store.act(&eve, ItemId([1; 16]), second, NOW + 2).await, Err(StoreError::NotNow(_))));
    act(store, &anna, 1, Act::Fulfil).await.unwrap();
    assert!(!may_fetch(store, &anna, file.id).await, "what was for this request ends with it");
}

#[tokio::test]
async fn a_copy_that_was_left_for_a_request_goes_with_it_unless_the_owner_wants_it() {
    let Fresh { store, folder: _folder } = fresh().await;
    let store = &*store;
    let (anna, ben) = (member(store, "anna", 1).await, member(store, "ben", 2).await);
    let file = put(store, &anna, "open", 4, None).await;
    store.want_file(&ben, file.id, new(1)).await.unwrap();
    assert!(matches!(store.leave_copy(&ben, ItemId([1; 16]), NOW).await, Err(StoreError::UnknownItem)));
    assert!(store.leave_copy(&anna, ItemId([1; 16]), NOW).await.unwrap().effects.copies_wanted);
    assert_eq!(act(store, &ben, 1, Act::Fulfil).await.unwrap().effects.released, [blob(4)]);

    store.want_file(&ben, file.id, new(2)).await.unwrap();
    store.leave_copy(&anna, ItemId([2; 16]), NOW).await.unwrap();
    store.keep_copies(&anna, &[file.id], NOW).await.unwrap();
    assert!(act(store, &ben, 2, Act::Fulfil).await.unwrap().effects.released.is_empty());

    let mut huge = publication("huge", 7, None);
    huge.size = LEFT_COPY_BYTES_MAX + 1;
    let huge = store.publish(&anna, vec![huge], 7).await.unwrap().files.remove(0);
    store.want_file(&ben, huge.id, new(3)).await.unwrap();
    let refused = store.leave_copy(&anna, ItemId([3; 16]), NOW).await;
    assert!(matches!(refused, Err(StoreError::TooMany { .. })), "{refused:?}");
}

#[tokio::test]
async fn what_nobody_answers_ends_by_itself_and_is_forgotten_in_the_end() {
    let Fresh { store, folder: _folder } = fresh().await;
    let store = &*store;
    let (anna, ben) = (member(store, "anna", 1).await, member(store, "ben", 2).await);
    let file = offered(store, &anna, &[("ben", 1)]).await;
    let (done, next) = store.expire_items(NOW + 4999).await.unwrap();
    assert_eq!((done.told.seq, next), (None, Some(NOW + 5000)));
    // Whoever is faster than the clock's next look finds it over too.
    let late = store.act(&ben, ItemId([1; 16]), deed(Act::Accept), NOW + 5000).await.unwrap();
    assert_eq!(late.items[0].state, State::Expired);
    assert!(!may_fetch(store, &ben, file).await);
    store.want_text(&ben, Some(named("anna")), new(2)).await.unwrap();
    let (done, next) = store.expire_items(NOW + 5000).await.unwrap();
    assert!(done.told.accounts.contains(&anna.account) && next.is_none());
    assert_eq!(state(store, &anna, 2).await, Some(State::Expired));
    let kept = i64::try_from(ITEM_KEPT.as_millis()).unwrap();
    store.expire_items(NOW + 5001 + kept).await.unwrap();
    assert!(seen(store, &anna).await.is_empty());
}

#[tokio::test]
async fn nobody_begins_more_than_others_have_to_bear_and_ids_of_others_are_theirs() {
    let Fresh { store, folder: _folder } = fresh().await;
    let store = &*store;
    let (anna, ben) = (member(store, "anna", 1).await, member(store, "ben", 2).await);
    for n in 0..u8::try_from(BOARD_PER_SPAN_MAX).unwrap() {
        store.want_text(&anna, None, new(n + 10)).await.unwrap();
    }
    assert!(matches!(store.want_text(&anna, None, new(200)).await, Err(StoreError::TooFast { .. })));
    // The same words again are no second request.
    let again = NewItem { text: new(10).text, ..new(200) };
    assert_eq!(store.want_text(&anna, None, again).await.unwrap().items[0].id, ItemId([10; 16]));
    store.want_text(&anna, Some(named("ben")), new(201)).await.unwrap();
    store.want_text(&ben, None, new(202)).await.unwrap();
    assert!(matches!(store.want_text(&ben, None, new(201)).await, Err(StoreError::UnknownItem)));
    assert!(matches!(store.want_text(&ben, Some(named("ben")), new(203)).await, Err(StoreError::NotYours(_))));
    assert!(matches!(store.want_text(&ben, Some(named("nobody")), new(203)).await, Err(StoreError::UnknownMember(_))));
}

#[tokio::test]
async fn who_is_blocked_reaches_nobody_and_what_was_offered_to_them_is_taken_back() {
    let Fresh { store, folder: _folder } = fresh().await;
    let store = &*store;
    let (anna, ben) = (member(store, "anna", 1).await, member(store, "ben", 2).await);
    let file = offered(store, &anna, &[("ben", 1)]).await;
    store.want_text(&ben, Some(named("anna")), new(2)).await.unwrap();
    let block = Block { member: ben.account, own_seen_ms: None, its_seen_ms: None };
    store.block(&anna, block).await.unwrap();
    let done = store.cancel_to(&anna, ben.account, NOW + 1).await.unwrap();
    assert!(done.told.accounts.contains(&ben.account));
    assert_eq!(state(store, &ben, 1).await, Some(State::Cancelled));
    assert!(!may_fetch(store, &ben, file).await);
    assert_eq!(state(store, &anna, 2).await, None);
    // To the blocked one its own request looks as it did.
    assert_eq!(state(store, &ben, 2).await, Some(State::Waiting));
    assert!(matches!(act(store, &anna, 2, Act::Accept).await, Err(StoreError::UnknownItem)));
    store.want_text(&ben, Some(named("anna")), new(3)).await.unwrap();
    assert_eq!(state(store, &anna, 3).await, None);
}

#[tokio::test]
async fn what_was_begun_during_a_block_appears_when_it_ends() {
    let Fresh { store, folder: _folder } = fresh().await;
    let store = &*store;
    let (anna, ben) = (member(store, "anna", 1).await, member(store, "ben", 2).await);
    let eve = member(store, "eve", 3).await;
    let block = |member| Block { member, own_seen_ms: None, its_seen_ms: None };
    store.block(&anna, block(ben.account)).await.unwrap();
    store.want_text(&ben, Some(named("anna")), new(1)).await.unwrap();
    store.want_text(&ben, None, new(2)).await.unwrap();
    let InboxAnswer::Changes { items, next, .. } = store.inbox_changes(&anna, 0).await.unwrap() else { unreachable!() };
    assert!(items.is_empty());
    // As long as one of the two hides from the other nothing is shown.
    store.block(&ben, block(anna.account)).await.unwrap();
    store.unblock(&anna, ben.account).await.unwrap();
    assert_eq!(store.show_again(&anna, ben.account).await.unwrap(), Done::default());
    store.unblock(&ben, anna.account).await.unwrap();
    let done = store.show_again(&ben, anna.account).await.unwrap();
    assert!(!done.told.everyone && done.told.accounts.contains(&anna.account), "{done:?}");
    assert!(!done.told.accounts.contains(&eve.account), "it concerns nobody else");
    let since = store.inbox_changes(&anna, next).await.unwrap();
    let InboxAnswer::Changes { items, .. } = since else { unreachable!() };
    assert_eq!(items.iter().map(|item| item.id).collect::<Vec<_>>(), [ItemId([1; 16]), ItemId([2; 16])]);
    act(store, &anna, 1, Act::Decline).await.unwrap();
}

#[tokio::test]
async fn a_request_for_approval_needs_none_any_more_when_its_file_opens_to_the_asker() {
    let Fresh { store, folder: _folder } = fresh().await;
    let store = &*store;
    let (anna, ben, eve) =
        (member(store, "anna", 1).await, member(store, "ben", 2).await, member(store, "eve", 3).await);
    let asked = put(store, &anna, "asked", 4, Some(Audience::Ask)).await;
    store.want_file(&ben, asked.id, new(1)).await.unwrap();
    store.want_file(&eve, asked.id, new(2)).await.unwrap();
    let opened = store.publish(&anna, vec![publication("asked", 4, people(&["ben"]))], 8).await.unwrap();
    assert!(opened.effects.told.accounts.contains(&ben.account) && opened.effects.told.seq.is_some());
    let wanted = |items: Vec<ItemEntry>| match items.into_iter().next().unwrap().what {
        What::Request { wanted, .. } => wanted,
        other @ (What::Offer { .. } | What::Channel) => panic!("{other:?}"),
    };
    assert_eq!(wanted(seen(store, &ben).await), Wanted::Source);
    assert_eq!(wanted(seen(store, &eve).await), Wanted::Approval, "not open to everyone");
    act(store, &ben, 1, Act::Fulfil).await.unwrap();
    assert!(matches!(act(store, &eve, 2, Act::Fulfil).await, Err(StoreError::NotNow(_))));
}

#[tokio::test]
async fn requests_for_a_file_end_with_it_and_say_so() {
    let Fresh { store, folder: _folder } = fresh().await;
    let store = &*store;
    let (anna, ben, eve) =
        (member(store, "anna", 1).await, member(store, "ben", 2).await, member(store, "eve", 3).await);
    let asked = put(store, &anna, "asked", 4, Some(Audience::Ask)).await;
    let open = put(store, &anna, "open", 5, None).await;
    let answer = put(store, &anna, "answer", 6, people(&["anna"])).await;
    let other = put(store, &anna, "other", 7, None).await;
    for (n, file) in [(1, asked.id), (2, open.id), (4, other.id)] {
        store.want_file(&ben, file, new(n)).await.unwrap();
    }
    act(store, &anna, 1, Act::Accept).await.unwrap();
    store.leave_copy(&anna, ItemId([2; 16]), NOW).await.unwrap();
    store.want_text(&eve, Some(named("anna")), new(3)).await.unwrap();
    let with = Deed { with: Some(answer.id), ..deed(Act::Accept) };
    store.act(&anna, ItemId([3; 16]), with, NOW + 1).await.unwrap();
    let files = [asked.id, open.id, answer.id];
    assert_eq!(store.withdraw(&ben, &files, NOW + 2).await.unwrap().effects.told.seq, None, "files of others");
    let gone = store.withdraw(&anna, &files, NOW + 2).await.unwrap();
    assert!([&ben, &eve].iter().all(|member| gone.effects.told.accounts.contains(&member.account)));
    assert!(gone.effects.released.contains(&blob(5)), "the copy that was left for a request goes too");
    for (caller, n, expected) in [
        (&ben, 1, State::Cancelled),
        (&ben, 2, State::Cancelled),
        (&eve, 3, State::Declined),
        (&ben, 4, State::Waiting),
    ] {
        assert_eq!(state(store, caller, n).await, Some(expected), "{n}");
    }
    let item = seen(store, &ben).await.into_iter().find(|item| item.id == ItemId([1; 16])).unwrap();
    assert_eq!((item.word.as_str(), item.changed_ms), ("the file is no longer shared", NOW + 2));
}

/// The device that an item was begun on is told, so that only that one fetches.
#[tokio::test]
async fn an_item_names_the_device_that_it_was_begun_on() {
    let Fresh { store, folder: _folder } = fresh().await;
    let (anna, _ben) = (member(&*store, "anna", 1).await, member(&*store, "ben", 2).await);
    store.want_text(&anna, Some(named("ben")), new(1)).await.unwrap();
    assert_eq!(seen(&*store, &anna).await[0].from_device, DeviceId::of_key(&[1; 32]));
}

#[tokio::test]
async fn what_was_asked_of_a_file_ends_when_its_owner_hides_it() {
    let Fresh { store, folder: _folder } = fresh().await;
    let store = &*store;
    let (anna, ben) = (member(store, "anna", 1).await, member(store, "ben", 2).await);
    for (n, audience) in [(1, Some(Audience::Ask)), (2, Some(Audience::Public))] {
        let path = format!("file {n}");
        let file = put(store, &anna, &path, n, audience).await;
        store.want_file(&ben, file.id, new(n)).await.unwrap();
        let left = store.leave_copy(&anna, ItemId([n; 16]), NOW).await.unwrap().effects.copies_wanted;
        assert_eq!(left, n == 2, "the first one waits for a yes");
        let published =
            store.publish(&anna, vec![publication(&path, n, Some(Audience::Hidden))], NOW + 1).await.unwrap();
        assert_eq!(state(store, &ben, n).await, Some(State::Cancelled));
        let hidden = &published.files[0];
        assert!(hidden.id != file.id && hidden.copy == CopyState::Absent, "nobody is left to fetch the copy");
        assert!(published.effects.told.seq.is_some() && published.effects.released.len() == usize::from(n == 2));
        // What was hidden stays as it is.
        let again = store.publish(&anna, vec![publication(&path, n, Some(Audience::Hidden))], NOW + 2).await.unwrap();
        assert_eq!(again.files[0].id, hidden.id);
    }
}
