//! Serving and fetching between two devices over real QUIC on loopback: honest sources, and every other kind.

mod meeting;
mod paced;
mod paths;
mod sealed;

use quinn::{ReadExactError, ReadToEndError, RecvStream};

use self::meeting::*;
use crate::{
    content::{CheckError, GroupSet, Layout, Step, tree_of},
    id::{BlobHash, DeviceId},
    limits::{
        BATCH_WANTS_IN_FLIGHT_MAX, CLOCK_SKEW, GRANT_LIFE, GROUP_BYTES, PEER_FRAME_BYTES_MAX, SLICE_BYTES,
        SMALL_FILE_BYTES_MAX, WANT_RANGES_MAX,
    },
    net::{
        Outgoing,
        frame::{self, ReceiveError},
        number,
    },
    transfer::{
        fetch::{FetchError, fetch_blob, next_slice},
        lane::{Job, LaneError, LaneEvent, Order, PeerMisbehaved},
        serve::{Gate, ServeError, serve},
    },
    wire::{
        Code, Refusal,
        codec::{self, FrameError},
        grant::Grant,
        peer::{FetchFrame, FetchReply, Want},
    },
};

/// A file of some blocks, whose last group is not full.
const LARGE: usize = 5 * 1024 * 1024 + 3;

// Honest sources

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_arrives_whole() {
    let meeting = Meeting::new().await;
    let (shelf, data) = (Shelf::new(), bytes(50_000));
    let blob = shelf.small(&data);
    let (lane, serving) = meeting.lane(meeting.gate(), &shelf).await;
    let (order, received) = job(1, blob, data.len(), None);
    let (events, outcome) = play(lane, vec![Order::Grant(meeting.grant(&[blob])), order]).await;
    outcome.unwrap();
    assert_eq!(verified_of(&events, 1), (GroupSet::from_range(0..4), 50_000));
    assert_eq!(events.last(), Some(&LaneEvent::Done { job: 1 }));
    assert!(received.data() == data);
    within(serving).await.unwrap().unwrap();
    assert_eq!((shelf.sent_bytes(), shelf.askers()), (50_000, vec![Some(meeting.device)]));
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_arrives_whole_in_a_partial_file() {
    let meeting = Meeting::new().await;
    let (shelf, data) = (Shelf::new(), bytes(LARGE));
    let blob = shelf.file(&data);
    let (lane, serving) = meeting.lane(Gate::Tracker, &shelf).await;
    let arriving = Arriving::of(&data);
    within(fetch_blob(lane, arriving.partial.clone())).await.unwrap();
    assert!(arriving.partial.is_complete());
    assert_eq!(arriving.right_groups().count(), 321);
    within(serving).await.unwrap().unwrap();
    assert_eq!((shelf.sent_bytes(), shelf.askers()), (LARGE as u64, vec![None]));
    // The tree has come along, so that the file can be served on.
    let mut tree = vec![0; arriving.partial.layout().tree_bytes() as usize];
    std::os::unix::fs::FileExt::read_exact_at(arriving.partial.tree(), &mut tree, 0).unwrap();
    assert!(tree == tree_of(&data, 0, true).parents);
    assert_eq!(blob, arriving.partial.blob());
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_with_holes_bring_exactly_what_was_wanted() {
    let meeting = Meeting::new().await;
    let (shelf, data) = (Shelf::new(), bytes(LARGE));
    let blob = shelf.file(&data);
    let mut groups = GroupSet::new();
    for range in [0..1, 3..70, 100..101, 255..258, 319..321] {
        groups.insert(range);
    }
    let (lane, serving) = meeting.lane(Gate::Tracker, &shelf).await;
    let (order, received) = job(1, blob, LARGE, Some(groups.clone()));
    let (events, outcome) = play(lane, vec![order]).await;
    outcome.unwrap();
    let size = Layout::new(LARGE as u64).unwrap().bytes_in(&groups);
    assert_eq!(verified_of(&events, 1), (groups.clone(), size));
    for range in groups.ranges() {
        let (start, end) = ((range.start * GROUP_BYTES) as usize, LARGE.min((range.end * GROUP_BYTES) as usize));
        assert!(received.data()[start..end] == data[start..end]);
    }
    within(serving).await.unwrap().unwrap();
    assert_eq!(shelf.sent_bytes(), size);
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_files_travel_on_one_stream() {
    let meeting = Meeting::new().await;
    let shelf = Shelf::new();
    let files: Vec<_> = (0..300).map(|n| bytes(70_000)[n..n + n * 211].to_vec()).collect();
    let blobs: Vec<_> = files.iter().map(|data| shelf.small(data)).collect();
    let (mut orders, mut places) = (vec![Order::Grant(meeting.grant(&blobs))], Vec::new());
    for ((data, blob), id) in files.iter().zip(&blobs).zip(0..) {
        let (order, received) = job(id, *blob, data.len(), None);
        orders.push(order);
        places.push(received);
    }
    let (lane, serving) = meeting.lane(meeting.gate(), &shelf).await;
    let (events, outcome) = play(lane, orders).await;
    outcome.unwrap();
    assert_eq!(ends(&events), (0..300).map(|id| (id, None)).collect::<Vec<_>>());
    assert!(places.iter().zip(&files).all(|(place, data)| &place.data() == data));
    within(serving).await.unwrap().unwrap();
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_is_verified_too() {
    let meeting = Meeting::new().await;
    let shelf = Shelf::new();
    let blob = shelf.small(b"");
    let (lane, _serving) = meeting.lane(Gate::Tracker, &shelf).await;
    let (order, received) = job(1, blob, 0, None);
    // The bytes are right, the hash is not.
    let (wrong, _) = job(2, BlobHash([3; 32]), 0, None);
    let (events, outcome) = play(lane, vec![order, wrong]).await;
    outcome.unwrap();
    assert_eq!(ends(&events), [(1, None), (2, Some(Code::NotFound))]);
    assert_eq!(verified_of(&events, 1), (GroupSet::from_range(0..1), 0));
    assert_eq!(received.groups(), GroupSet::from_range(0..1));
    let arriving = Arriving::of(b"");
    let (lane, _serving) = meeting.lane(Gate::Tracker, &shelf).await;
    within(fetch_blob(lane, arriving.partial.clone())).await.unwrap();
    assert!(arriving.partial.is_complete());
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_without_orders_ends_well() {
    let meeting = Meeting::new().await;
    let (lane, serving) = meeting.lane(meeting.gate(), &Shelf::new()).await;
    let (events, outcome) = play(lane, vec![]).await;
    outcome.unwrap();
    assert_eq!(events, []);
    within(serving).await.unwrap().unwrap();
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_want_does_not_disturb_the_others() {
    let meeting = Meeting::new().await;
    let (shelf, data) = (Shelf::new(), bytes(LARGE));
    let (first, third) = (shelf.small(b"first"), shelf.file(&data));
    let second = BlobHash([2; 32]);
    shelf.refused(second, Refusal::new(Code::Unavailable, "the drive is away"));
    let (lane, serving) = meeting.lane(Gate::Tracker, &shelf).await;
    let (order_1, received_1) = job(1, first, 5, None);
    let (order_2, received_2) = job(2, second, 70_000, None);
    let (order_3, received_3) = job(3, third, LARGE, None);
    let (order_4, _) = job(4, BlobHash([4; 32]), LARGE, None);
    let (order_5, received_5) = job(5, first, 5, None);
    let (events, outcome) = play(lane, vec![order_1, order_2, order_3, order_4, order_5]).await;
    outcome.unwrap();
    assert_eq!(
        ends(&events),
        [(1, None), (2, Some(Code::Unavailable)), (3, None), (4, Some(Code::NotFound)), (5, None)]
    );
    assert_eq!((received_1.data(), received_5.data()), (b"first".to_vec(), b"first".to_vec()));
    assert!(received_2.groups().is_empty() && received_3.data() == data);
    within(serving).await.unwrap().unwrap();
    meeting.end().await;
}

// Grants

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_grant_everything_is_forbidden() {
    let meeting = Meeting::new().await;
    let shelf = Shelf::new();
    let blob = shelf.small(b"secret");
    let other = Meeting::new().await;
    let of = |device| meeting.granting(device, NOW_MS + 60_000, &[blob]);
    let elsewhere = |source: (std::collections::BTreeSet<DeviceId>, bool)| {
        meeting.sign(&Grant::new(meeting.device, NOW_MS + 60_000, &[(blob, source)].into()))
    };
    let bad_grants = [
        None,
        Some(meeting.grant(&[BlobHash([9; 32])])),
        Some(meeting.sign(&of(DeviceId([1; 16])))),
        Some(other.sign(&of(meeting.device))),
        Some(elsewhere(([DeviceId([1; 16])].into(), false))),
        Some(elsewhere(([].into(), true))),
    ];
    for grant in bad_grants {
        let (lane, serving) = meeting.lane(meeting.gate(), &shelf).await;
        let (order, received) = job(1, blob, 6, None);
        let (again, _) = job(2, blob, 6, None);
        let orders = grant.map(Order::Grant).into_iter().chain([order, again]).collect();
        let (events, outcome) = play(lane, orders).await;
        outcome.unwrap();
        assert_eq!(ends(&events), [(1, Some(Code::Forbidden)), (2, Some(Code::Forbidden))]);
        assert!(received.groups().is_empty());
        within(serving).await.unwrap().unwrap();
    }
    assert_eq!(shelf.sent_bytes(), 0);
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_grant_asks_for_a_new_one_which_helps() {
    let meeting = Meeting::new().await;
    let shelf = Shelf::new();
    let blob = shelf.small(b"long");
    let skew_ms = i64::try_from(CLOCK_SKEW.as_millis()).unwrap();
    let until = |expires_ms| meeting.sign(&meeting.granting(meeting.device, expires_ms, &[blob]));
    let (lane, _serving) = meeting.lane(meeting.gate(), &shelf).await;
    let orders = vec![
        Order::Grant(until(NOW_MS - skew_ms - 1)),
        job(1, blob, 4, None).0,
        Order::Grant(until(NOW_MS - skew_ms)),
        job(2, blob, 4, None).0,
    ];
    let (events, outcome) = play(lane, orders).await;
    outcome.unwrap();
    assert_eq!(ends(&events), [(1, Some(Code::Unavailable)), (2, None)]);
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_from_before_it_was_decided_anew_who_may_fetch_is_worth_nothing_and_a_later_one_counts() {
    let meeting = Meeting::new().await;
    let shelf = Shelf::new();
    let (blob, other) = (shelf.small(b"narrowed"), shelf.small(b"as before"));
    let life_ms = i64::try_from(GRANT_LIFE.as_millis()).unwrap();
    let given_at = |at: i64| meeting.sign(&meeting.granting(meeting.device, at + life_ms, &[blob, other]));
    shelf.decide_anew(blob, NOW_MS - 1_000);
    let (lane, _serving) = meeting.lane(meeting.gate(), &shelf).await;
    let orders = vec![
        Order::Grant(given_at(NOW_MS - 1_001)),
        job(1, blob, 8, None).0,
        job(2, other, 9, None).0,
        Order::Grant(given_at(NOW_MS - 1_000)),
        job(3, blob, 8, None).0,
    ];
    let (events, outcome) = play(lane, orders).await;
    outcome.unwrap();
    assert_eq!(ends(&events), [(1, Some(Code::Unavailable)), (2, None), (3, None)]);
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_are_dated_by_the_trackers_clock() {
    let meeting = Meeting::new().await;
    let shelf = Shelf::new();
    let blob = shelf.small(b"a wrong clock");
    let grant = meeting.granting(meeting.device, NOW_MS - 3_600_000, &[blob]);
    let Gate::Grants { device, source, key, clock } = meeting.gate() else { unreachable!() };
    let gate = Gate::Grants { device, source, key, clock: clock.clone() };
    let (lane, _serving) = meeting.lane(gate.clone(), &shelf).await;
    let grant = meeting.sign(&grant);
    let (events, outcome) = play(lane, vec![Order::Grant(grant.clone()), job(1, blob, 13, None).0]).await;
    outcome.unwrap();
    assert_eq!(ends(&events), [(1, Some(Code::Unavailable))]);
    // The tracker's clock was set back by an hour and more.
    clock.set(NOW_MS - 3_660_000);
    let (lane, _serving) = meeting.lane(gate, &shelf).await;
    let (events, outcome) = play(lane, vec![Order::Grant(grant), job(1, blob, 13, None).0]).await;
    outcome.unwrap();
    assert_eq!(ends(&events), [(1, None)]);
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_comes_later_opens_what_follows() {
    let meeting = Meeting::new().await;
    let shelf = Shelf::new();
    let (one, two) = (shelf.small(b"one"), shelf.small(b"two"));
    let (lane, _serving) = meeting.lane(meeting.gate(), &shelf).await;
    let orders = vec![
        job(1, one, 3, None).0,
        Order::Grant(meeting.grant(&[one])),
        job(2, one, 3, None).0,
        job(3, two, 3, None).0,
        Order::Grant(meeting.grant(&[two])),
        job(4, two, 3, None).0,
        job(5, one, 3, None).0,
    ];
    let (events, outcome) = play(lane, orders).await;
    outcome.unwrap();
    let forbidden = Some(Code::Forbidden);
    assert_eq!(ends(&events), [(1, forbidden), (2, None), (3, forbidden), (4, None), (5, None)]);
    meeting.end().await;
}

// Hostile fetchers

/// Sends one want as it is, and reads the reply.
async fn reply_to(meeting: &Meeting, shelf: &std::sync::Arc<Shelf>, want: Want) -> FetchReply {
    let ((mut send, mut recv), (source_send, source_recv)) = meeting.stream().await;
    let serving = tokio::spawn(serve(source_send, source_recv, Gate::Tracker, shelf.clone()));
    within(frame::send(&mut send, &FetchFrame::Want(want), PEER_FRAME_BYTES_MAX)).await.unwrap();
    let reply = within(frame::receive(&mut recv, PEER_FRAME_BYTES_MAX)).await.unwrap();
    send.finish();
    within(recv.read_to_end(LARGE)).await.unwrap();
    within(serving).await.unwrap().unwrap();
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn wants_that_make_no_sense_are_refused_and_the_stream_goes_on() {
    let meeting = Meeting::new().await;
    let shelf = Shelf::new();
    let blob = shelf.small(&bytes(100_000));
    let want = |size, groups: &[(u64, u64)]| Want { blob, size, groups: groups.to_vec() };
    let many: Vec<_> = (0..=WANT_RANGES_MAX as u64).map(|n| (2 * n, 2 * n + 1)).collect();
    let cases = [
        (want(100_000, &[(0, 8)]), Code::BadRequest),
        (want(100_000, &[(3, 3)]), Code::BadRequest),
        (want(100_000, &[(3, 1)]), Code::BadRequest),
        (want(100_000, &[(2, 3), (0, 1)]), Code::BadRequest),
        (want(100_000, &[(0, 2), (1, 3)]), Code::BadRequest),
        (want(1 << 40, &many), Code::TooLarge),
        (want(u64::MAX, &[]), Code::TooLarge),
        (want(99_999, &[]), Code::NotFound),
        (want(0, &[]), Code::NotFound),
    ];
    for (want, code) in cases {
        let reply = reply_to(&meeting, &shelf, want.clone()).await;
        assert!(matches!(&reply, FetchReply::Refused(refusal) if refusal.code == code), "{want:?}: {reply:?}");
    }
    assert_eq!(reply_to(&meeting, &shelf, want(100_000, &[(0, 7)])).await, FetchReply::Serving);
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetcher_that_sends_garbage_is_reset() {
    let meeting = Meeting::new().await;
    for garbage in [[0xff; 40].to_vec(), [&3u32.to_le_bytes()[..], &[9, 9, 9]].concat(), 0u32.to_le_bytes().to_vec()] {
        let ((mut send, mut recv), (source_send, source_recv)) = meeting.stream().await;
        let serving = tokio::spawn(serve(source_send, source_recv, Gate::Tracker, Shelf::new()));
        within(send.write_all(&garbage)).await.unwrap();
        let ended = within(serving).await.unwrap();
        assert!(matches!(ended, Err(ServeError::Receive(ReceiveError::Frame(_)))), "{ended:?}");
        let end = within(recv.read_to_end(100)).await;
        let bad_request = quinn::ReadError::Reset(number(Code::BadRequest));
        assert_eq!(end, Err(ReadToEndError::Read(bad_request)));
    }
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetcher_that_ends_inside_a_frame_gets_a_reset_and_no_end() {
    let meeting = Meeting::new().await;
    let ((mut send, mut recv), (source_send, source_recv)) = meeting.stream().await;
    let serving = tokio::spawn(serve(source_send, source_recv, Gate::Tracker, Shelf::new()));
    within(send.write_all(&[90, 0])).await.unwrap();
    send.finish();
    assert!(matches!(within(serving).await.unwrap(), Err(ServeError::Receive(ReceiveError::Short))));
    assert!(matches!(within(recv.read_to_end(100)).await, Err(ReadToEndError::Read(quinn::ReadError::Reset(_)))));
    meeting.end().await;
}

// Sources whose content changes

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_that_changes_while_it_is_served_resets_the_stream() {
    let meeting = Meeting::new().await;
    let (shelf, data) = (Shelf::new(), bytes(LARGE));
    shelf.file_changed_at(&data, 3 * 1024 * 1024);
    let (lane, serving) = meeting.lane(Gate::Tracker, &shelf).await;
    let arriving = Arriving::of(&data);
    let end = within(fetch_blob(lane, arriving.partial.clone())).await;
    assert!(matches!(end, Err(FetchError::Lane(LaneError::Reset(Some(Code::Changed))))), "{end:?}");
    assert!(
        matches!(within(serving).await.unwrap(), Err(ServeError::Refused(refusal)) if refusal.code == Code::Changed)
    );
    assert!(arriving.right_groups().count() <= 192, "nothing from the changed block on may count");
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_that_changes_is_refused_and_the_stream_goes_on() {
    let meeting = Meeting::new().await;
    let (shelf, data) = (Shelf::new(), bytes(SMALL_FILE_BYTES_MAX as usize));
    let blob = shelf.file_changed_at(&data, 17);
    let next = shelf.small(b"next");
    let (lane, _serving) = meeting.lane(Gate::Tracker, &shelf).await;
    let (order, received) = job(1, blob, data.len(), None);
    let (events, outcome) = play(lane, vec![order, job(2, next, 4, None).0]).await;
    outcome.unwrap();
    assert_eq!(ends(&events), [(1, Some(Code::Changed)), (2, None)]);
    assert!(received.groups().is_empty());
    meeting.end().await;
}

// Sources that misbehave

/// What a source sends after one want; then it ends the stream.
async fn fetch_from(data: &[u8], sends: Vec<u8>) -> (Result<(), LaneError>, GroupSet) {
    let meeting = Meeting::new().await;
    let behave = |mut send: Outgoing, mut recv: RecvStream| async move {
        within(frame::receive::<FetchFrame>(&mut recv, PEER_FRAME_BYTES_MAX)).await.unwrap();
        // A fetcher that has noticed stops reading.
        if within(send.write_all(&sends)).await.is_ok() {
            send.finish();
        }
        // Until the fetcher is through with it, the connection stays.
        drop(within(recv.read_to_end(100)).await);
    };
    let (lane, source) = meeting.lane_to(behave).await;
    let arriving = Arriving::of(data);
    let end = match within(fetch_blob(lane, arriving.partial.clone())).await {
        Ok(()) => Ok(()),
        Err(FetchError::Lane(error)) => Err(error),
        Err(error @ (FetchError::Refused(_) | FetchError::Stalled)) => panic!("{error:?}"),
    };
    within(source).await.unwrap();
    let right = arriving.right_groups();
    assert_eq!(right.count() == arriving.partial.layout().groups(), end.is_ok());
    meeting.end().await;
    (end, right)
}

/// An honest answer in which one byte of the step that `is_victim` names is wrong, and the groups before it.
fn lie(data: &[u8], is_victim: impl Fn(&Step) -> bool) -> (Vec<u8>, GroupSet) {
    let mut answer = honest_answer(&[], &GroupSet::from_range(0..1));
    let (mut before, mut has_lied) = (GroupSet::new(), false);
    for (step, mut bytes) in encoding(data, &Layout::new(data.len() as u64).unwrap().all()) {
        if !has_lied && is_victim(&step) {
            bytes[0] ^= 0x40;
            has_lied = true;
        }
        if let (Step::Group { group, .. }, false) = (step, has_lied) {
            before.insert(group..group + 1);
        }
        answer.extend(bytes);
    }
    assert!(has_lied);
    (answer, before)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_honest_answer_of_these_tests_is_accepted() {
    let data = bytes(LARGE);
    let (end, right) = fetch_from(&data, honest_answer(&data, &GroupSet::from_range(0..321))).await;
    end.unwrap();
    assert_eq!(right.count(), 321);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_in_a_group_is_noticed_and_what_came_before_is_kept() {
    let data = bytes(LARGE);
    for liar in [0, 1, 100, 255, 320] {
        let (answer, before) = lie(&data, |step| matches!(step, Step::Group { group, .. } if *group == liar));
        let (end, right) = fetch_from(&data, answer).await;
        let Err(LaneError::Misbehaved(PeerMisbehaved::WrongBytes(CheckError::Group { group }))) = end else {
            panic!("{end:?}");
        };
        assert_eq!((group, right), (liar, before));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_in_a_parent_is_noticed_and_what_came_before_is_kept() {
    let data = bytes(LARGE);
    for liar in [0, 64, 64 * 100, 64 * 319] {
        let (answer, before) = lie(&data, |step| matches!(step, Step::Parent { offset, .. } if *offset == liar));
        let (end, right) = fetch_from(&data, answer).await;
        let wrong_parent = PeerMisbehaved::WrongBytes(CheckError::Parent);
        assert!(matches!(&end, Err(LaneError::Misbehaved(misbehaved)) if *misbehaved == wrong_parent), "{end:?}");
        assert_eq!(right, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_too_early_is_no_whole_file() {
    let data = bytes(LARGE);
    let answer = honest_answer(&data, &GroupSet::from_range(0..321));
    for length in [0, 2, 5, 70, 64 * 1024, answer.len() / 2, answer.len() - 1] {
        let (end, right) = fetch_from(&data, answer[..length].to_vec()).await;
        assert!(matches!(end, Err(LaneError::Misbehaved(PeerMisbehaved::ShortStream))), "{length}: {end:?}");
        let ranges: Vec<_> = right.ranges().cloned().collect();
        assert!(ranges.len() <= 1 && ranges.iter().all(|range| range.start == 0), "{ranges:?}");
        let least = (length as u64).saturating_sub(GROUP_BYTES + 1024) / (GROUP_BYTES + 64);
        assert!(right.count() >= least, "{} of {least} groups in {length} bytes", right.count());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_frame_and_garbage_are_misbehaviour() {
    let data = bytes(LARGE);
    let too_large = FrameError::TooLarge { length: PEER_FRAME_BYTES_MAX + 1, limit: PEER_FRAME_BYTES_MAX };
    let serving = codec::encode(&FetchReply::Serving, PEER_FRAME_BYTES_MAX).unwrap();
    let trailing = [&(serving.len() as u32 - 3).to_le_bytes()[..], &serving[4..], &[0; 1]].concat();
    let cases = [
        ((PEER_FRAME_BYTES_MAX as u32 + 1).to_le_bytes().to_vec(), too_large),
        ([&3u32.to_le_bytes()[..], &[9, 9, 9]].concat(), FrameError::Malformed),
        (0u32.to_le_bytes().to_vec(), FrameError::Malformed),
        (trailing, FrameError::Trailing { extra: 1 }),
    ];
    for (sends, error) in cases {
        let (end, right) = fetch_from(&data, sends).await;
        let Err(LaneError::Misbehaved(PeerMisbehaved::BadFrame(found))) = end else { panic!("{end:?}, not {error}") };
        assert_eq!(found, error);
        assert!(right.is_empty());
    }
    let (end, right) = fetch_from(&data, bytes(3_000_000)[7..].to_vec()).await;
    assert!(matches!(end, Err(LaneError::Misbehaved(PeerMisbehaved::BadFrame(_)))) && right.is_empty(), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_was_wanted_is_taken_for_the_next_reply() {
    let meeting = Meeting::new().await;
    let data = bytes(40_000);
    let blob = tree_of(&data, 0, true).blob();
    let sends = [honest_answer(&data, &GroupSet::from_range(0..3)), vec![0xee; 500]].concat();
    let behave = |mut send: Outgoing, recv: RecvStream| async move {
        within(send.write_all(&sends)).await.unwrap();
        drop(within(send.stopped()).await);
        drop(recv);
    };
    let (lane, source) = meeting.lane_to(behave).await;
    let (order, received) = job(1, blob, data.len(), None);
    let (events, outcome) = play(lane, vec![order, job(2, blob, data.len(), None).0]).await;
    assert!(matches!(outcome, Err(LaneError::Misbehaved(PeerMisbehaved::BadFrame(_)))), "{outcome:?}");
    assert_eq!(ends(&events), [(1, None)]);
    assert!(received.data() == data);
    within(source).await.unwrap();
    meeting.end().await;
}

// Sources that stop

/// A source that sends the first megabyte and a half of a large file, and then what the test says.
async fn after_a_part(
    then: impl FnOnce(Outgoing, quinn::Connection) -> Option<Outgoing> + Send + 'static,
) -> (Result<(), LaneError>, GroupSet) {
    let meeting = Meeting::new().await;
    let data = bytes(LARGE);
    let arriving = Arriving::of(&data);
    let part = honest_answer(&data, &GroupSet::from_range(0..321))[..3 << 19].to_vec();
    let (arrived, connection) = (Signal::default(), meeting.source.clone());
    let waits = arrived.clone();
    let behave = |mut send: Outgoing, mut recv: RecvStream| async move {
        within(send.write_all(&part)).await.unwrap();
        within(waits.notified()).await;
        let kept = then(send, connection);
        drop(within(recv.read_to_end(10_000)).await);
        drop(kept);
    };
    let (mut lane, source) = meeting.lane_to(behave).await;
    let sink = Box::new(crate::transfer::fetch::PartialSink(arriving.partial.clone()));
    let (blob, layout) = (arriving.partial.blob(), arriving.partial.layout());
    assert!(lane.order(Order::Job(Job { id: 1, blob, layout, groups: layout.all(), tree: None, sink })).await);
    let event = within(lane.event()).await;
    assert!(matches!(event, Some(LaneEvent::Verified { job: 1, .. })), "{event:?}");
    arrived.notify_one();
    let outcome = within(async {
        while lane.event().await.is_some() {}
        lane.outcome().await
    })
    .await;
    within(source).await.unwrap();
    meeting.end().await;
    (outcome, arriving.right_groups())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_tells_its_code_and_what_came_is_kept() {
    for code in [Code::Changed, Code::Cancelled, Code::Unavailable] {
        let (end, right) = after_a_part(move |send, _| {
            send.reset(code);
            None
        })
        .await;
        assert!(matches!(end, Err(LaneError::Reset(Some(found))) if found == code), "{end:?}");
        assert!(right.count() > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_source_is_a_reset_and_never_an_end() {
    let (end, right) = after_a_part(|send, _| {
        drop(send);
        None
    })
    .await;
    assert!(matches!(end, Err(LaneError::Reset(Some(Code::Cancelled)))), "{end:?}");
    assert!(right.count() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_connection_is_lost_and_what_came_is_kept() {
    let (end, right) = after_a_part(|send, connection| {
        crate::net::close(&connection, Code::Unavailable);
        Some(send)
    })
    .await;
    assert!(matches!(end, Err(LaneError::Lost)), "{end:?}");
    assert!(right.count() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_resets_an_idle_lane_is_noticed() {
    let meeting = Meeting::new().await;
    let shelf = Shelf::new();
    let blob = shelf.small(b"once");
    let (mut lane, serving) = meeting.lane(Gate::Tracker, &shelf).await;
    assert!(lane.order(job(1, blob, 4, None).0).await);
    while !matches!(within(lane.event()).await, Some(LaneEvent::Done { job: 1 })) {}
    serving.abort();
    assert!(within(serving).await.unwrap_err().is_cancelled());
    assert_eq!(within(lane.event()).await, None);
    let end = within(lane.outcome()).await;
    assert!(matches!(end, Err(LaneError::Reset(Some(Code::Cancelled)))), "{end:?}");
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_never_looks_complete() {
    let meeting = Meeting::new().await;
    let ((fetcher_send, mut fetcher_recv), (mut send, mut recv)) = meeting.stream().await;
    within(send.write_all(b"half of it")).await.unwrap();
    let mut half = [0; 10];
    within(fetcher_recv.read_exact(&mut half)).await.unwrap();
    drop(send);
    let cancelled = || quinn::ReadError::Reset(number(Code::Cancelled));
    assert_eq!(within(fetcher_recv.read_exact(&mut half)).await, Err(ReadExactError::ReadError(cancelled())));
    drop(fetcher_send);
    assert_eq!(within(recv.read_to_end(10)).await, Err(ReadToEndError::Read(cancelled())));
    meeting.end().await;
}

// This side

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_lane_ends_at_once_and_its_source_notices() {
    let meeting = Meeting::new().await;
    let data = bytes(LARGE);
    let part = honest_answer(&data, &GroupSet::from_range(0..321))[..2 << 20].to_vec();
    let behave = |mut send: Outgoing, mut recv: RecvStream| async move {
        within(send.write_all(&part)).await.unwrap();
        // Nothing more is sent; whoever waits for it would wait for ever.
        let stopped = within(send.stopped()).await.unwrap();
        (stopped, within(recv.read_to_end(10_000)).await)
    };
    let (mut lane, source) = meeting.lane_to(behave).await;
    let (order, received) = job(1, tree_of(&data, 0, true).blob(), LARGE, None);
    assert!(lane.order(order).await);
    assert!(matches!(within(lane.event()).await, Some(LaneEvent::Verified { .. })));
    lane.stop();
    let end = within(lane.outcome()).await;
    assert!(matches!(end, Err(LaneError::Stopped)), "{end:?}");
    assert!(received.groups().count() > 0);
    let (stopped, wants) = within(source).await.unwrap();
    assert_eq!(stopped, Some(number(Code::Cancelled)));
    assert_eq!(wants, Err(ReadToEndError::Read(quinn::ReadError::Reset(number(Code::Cancelled)))));
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_lane_stops_its_source() {
    let meeting = Meeting::new().await;
    let (shelf, data) = (Shelf::new(), bytes(LARGE));
    let blob = shelf.file(&data);
    let (mut lane, serving) = meeting.lane(Gate::Tracker, &shelf).await;
    assert!(lane.order(job(1, blob, LARGE, None).0).await);
    assert!(within(lane.event()).await.is_some());
    drop(lane);
    assert!(within(serving).await.unwrap().is_err());
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_whose_events_nobody_reads_can_be_stopped() {
    let meeting = Meeting::new().await;
    let shelf = Shelf::new();
    let blob = shelf.small(b"again");
    let (mut lane, serving) = meeting.lane(Gate::Tracker, &shelf).await;
    // Each brings two events: more than the lane keeps, so that it waits for its reader.
    for id in 0..BATCH_WANTS_IN_FLIGHT_MAX as u64 {
        assert!(within(lane.order(job(id, blob, 5, None).0)).await);
    }
    within(async {
        while shelf.sent_bytes() < 5 * BATCH_WANTS_IN_FLIGHT_MAX as u64 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    lane.stop();
    let end = within(lane.outcome()).await;
    assert!(matches!(end, Err(LaneError::Stopped)), "{end:?}");
    assert!(within(serving).await.unwrap().is_err());
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_the_lane_and_is_no_fault_of_the_source() {
    let meeting = Meeting::new().await;
    let (shelf, data) = (Shelf::new(), bytes(LARGE));
    let blob = shelf.file(&data);
    let (lane, serving) = meeting.lane(Gate::Tracker, &shelf).await;
    let layout = Layout::new(LARGE as u64).unwrap();
    let order = Order::Job(Job { id: 1, blob, layout, groups: layout.all(), tree: None, sink: Box::new(FullDisk) });
    let (events, outcome) = play(lane, vec![order]).await;
    assert!(
        matches!(&outcome, Err(LaneError::Disk(error)) if error.kind() == std::io::ErrorKind::StorageFull),
        "{outcome:?}"
    );
    assert_eq!(events, []);
    // The source may have sent everything before it could notice.
    drop(within(serving).await.unwrap());
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_resumes_with_what_the_partial_file_lacks() {
    let meeting = Meeting::new().await;
    let (shelf, data) = (Shelf::new(), bytes(LARGE));
    shelf.file(&data);
    let arriving = Arriving::of(&data);
    // A liar brings the first hundred groups.
    let (answer, _) = lie(&data, |step| matches!(step, Step::Group { group: 100, .. }));
    let behave = |mut send: Outgoing, recv: RecvStream| async move {
        drop(within(send.write_all(&answer)).await);
        drop(within(send.stopped()).await);
        drop(recv);
    };
    let (lane, source) = meeting.lane_to(behave).await;
    let end = within(fetch_blob(lane, arriving.partial.clone())).await;
    assert!(matches!(end, Err(FetchError::Lane(LaneError::Misbehaved(_)))), "{end:?}");
    within(source).await.unwrap();
    assert_eq!(arriving.right_groups(), GroupSet::from_range(0..100));
    // An honest source is asked for the rest alone.
    let (lane, serving) = meeting.lane(Gate::Tracker, &shelf).await;
    within(fetch_blob(lane, arriving.partial.clone())).await.unwrap();
    within(serving).await.unwrap().unwrap();
    assert_eq!(arriving.right_groups().count(), 321);
    assert_eq!(shelf.sent_bytes(), LARGE as u64 - 100 * GROUP_BYTES);
    // And there is nothing left to ask for.
    let (lane, serving) = meeting.lane(Gate::Tracker, &shelf).await;
    within(fetch_blob(lane, arriving.partial.clone())).await.unwrap();
    within(serving).await.unwrap().unwrap();
    assert_eq!(shelf.sent_bytes(), LARGE as u64 - 100 * GROUP_BYTES);
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_is_refused_says_why() {
    let meeting = Meeting::new().await;
    let (lane, _serving) = meeting.lane(meeting.gate(), &Shelf::new()).await;
    let arriving = Arriving::of(&bytes(LARGE));
    let end = within(fetch_blob(lane, arriving.partial.clone())).await;
    assert!(matches!(&end, Err(FetchError::Refused(refusal)) if refusal.code == Code::Forbidden), "{end:?}");
    meeting.end().await;
}

#[test]
fn a_slice_is_bounded_in_bytes_and_ranges() {
    let mut missing = GroupSet::new();
    for group in 0..1000 {
        missing.insert(3 * group..3 * group + 1);
    }
    let slice = next_slice(&missing, SLICE_BYTES);
    assert_eq!((slice.ranges().len(), slice.count()), (WANT_RANGES_MAX, WANT_RANGES_MAX as u64));
    assert_eq!(next_slice(&GroupSet::from_range(5..10_000), SLICE_BYTES).count(), SLICE_BYTES / GROUP_BYTES);
    assert_eq!(next_slice(&missing, 1).count(), 1);
}
