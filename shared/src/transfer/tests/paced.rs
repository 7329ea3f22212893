//! Streams within limits: what holds them up, and that nothing is lost for it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;

use super::meeting::*;
use crate::{
    content::GroupSet,
    limits::{GROUP_BYTES, READ_BLOCK_BYTES},
    transfer::{
        lane::{Lane, LaneError, LaneEvent},
        pace::{Pace, Turn},
        serve::{Gate, ServeError, serve_paced},
    },
    wire::{Code, peer::Queued},
};

const LARGE: usize = 3 * 1024 * 1024 + 5;

/// Lets through as many bytes as its list says, again and again, and counts them. Its turns tell these places first.
#[derive(Debug, Default)]
struct Played {
    portions: Vec<u64>,
    passes: AtomicU64,
    passed: AtomicU64,
    places: Vec<u32>,
    turns: Arc<AtomicU64>,
    /// Bytes after which a turn is over.
    turn_bytes: Option<u64>,
}

#[async_trait]
impl Pace for Played {
    async fn pass(&self, bytes: u64) -> u64 {
        let pass = self.passes.fetch_add(1, Ordering::Relaxed) as usize;
        let portion = if self.portions.is_empty() { bytes } else { self.portions[pass % self.portions.len()] };
        self.passed.fetch_add(portion.min(bytes), Ordering::Relaxed);
        portion.min(bytes)
    }

    fn turn(&self) -> Box<dyn Turn> {
        self.turns.fetch_add(1, Ordering::Relaxed);
        let mut places = self.places.clone();
        places.reverse();
        Box::new(PlayedTurn { places: Mutex::new(places), left: self.turn_bytes })
    }
}

#[derive(Debug)]
struct PlayedTurn {
    places: Mutex<Vec<u32>>,
    left: Option<u64>,
}

#[async_trait]
impl Turn for PlayedTurn {
    async fn come(&mut self) -> Option<Queued> {
        let position = self.places.lock().unwrap().pop()?;
        Some(Queued { position, wait_ms: Some(u64::from(position) * 1000) })
    }

    fn sent(&mut self, bytes: u64) -> bool {
        self.left = self.left.map(|left| left.saturating_sub(bytes));
        self.left != Some(0)
    }
}

/// A lane between two ends with limits of their own.
async fn paced_lane(
    meeting: &Meeting,
    shelf: &Arc<Shelf>,
    source: &Arc<Played>,
    fetcher: &Arc<Played>,
) -> (Lane, tokio::task::JoinHandle<Result<(), ServeError>>) {
    let ((send, recv), (source_send, source_recv)) = meeting.stream().await;
    let (shelf, source) = (shelf.clone(), source.clone());
    let serving =
        tokio::spawn(async move { serve_paced(source_send, source_recv, Gate::Tracker, shelf, &*source).await });
    (Lane::start_paced(send, recv, fetcher.clone()), serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_in_any_portions_arrives_whole() {
    let meeting = Meeting::new().await;
    let (shelf, large, small) = (Shelf::new(), bytes(LARGE), bytes(40_000));
    let (blob, other) = (shelf.file(&large), shelf.small(&small));
    let source = Arc::new(Played { portions: vec![1, 4_096, 70_001, 16_384], ..Played::default() });
    let fetcher = Arc::new(Played { portions: vec![3, 900, 1_000_000, 20_000], ..Played::default() });
    let (lane, serving) = paced_lane(&meeting, &shelf, &source, &fetcher).await;
    let (first, received) = job(1, blob, LARGE, None);
    let (second, received_too) = job(2, other, small.len(), None);
    let (_, outcome) = play(lane, vec![first, second]).await;
    outcome.unwrap();
    assert!(received.data() == large && received_too.data() == small);
    within(serving).await.unwrap().unwrap();
    let (sent, taken) = (source.passed.load(Ordering::Relaxed), fetcher.passed.load(Ordering::Relaxed));
    assert_eq!(sent, taken, "every byte is counted at both ends");
    assert!(sent > (LARGE + small.len()) as u64);
    assert_eq!(shelf.sent_bytes(), (LARGE + small.len()) as u64, "the tree is not counted as data");
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_turn_hears_where_it_stands() {
    let meeting = Meeting::new().await;
    let (shelf, data) = (Shelf::new(), bytes(LARGE));
    let blob = shelf.file(&data);
    let source = Arc::new(Played { places: vec![3, 2, 1], ..Played::default() });
    let (lane, serving) = paced_lane(&meeting, &shelf, &source, &Arc::default()).await;
    let (order, received) = job(7, blob, LARGE, None);
    let (events, outcome) = play(lane, vec![order]).await;
    outcome.unwrap();
    let places: Vec<LaneEvent> = [3, 2, 1]
        .map(|position| LaneEvent::Queued {
            job: 7,
            queued: Queued { position, wait_ms: Some(u64::from(position) * 1000) },
        })
        .into();
    assert_eq!(&events[..3], &places[..]);
    assert!(received.data() == data);
    within(serving).await.unwrap().unwrap();
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_pass_by_the_line() {
    let meeting = Meeting::new().await;
    let (shelf, data) = (Shelf::new(), bytes(100_000));
    let blob = shelf.small(&data);
    let source = Arc::new(Played { places: vec![9], ..Played::default() });
    let (lane, serving) = paced_lane(&meeting, &shelf, &source, &Arc::default()).await;
    let (order, received) = job(1, blob, data.len(), None);
    let (events, outcome) = play(lane, vec![order]).await;
    outcome.unwrap();
    assert_eq!(ends(&events), [(1, None)]);
    assert!(received.data() == data);
    assert_eq!(source.turns.load(Ordering::Relaxed), 0);
    within(serving).await.unwrap().unwrap();
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_want_that_outlasts_its_turn_is_cut_off_and_what_came_stays() {
    let meeting = Meeting::new().await;
    let (shelf, data) = (Shelf::new(), bytes(LARGE));
    shelf.file(&data);
    let source = Arc::new(Played { turn_bytes: Some(2 * READ_BLOCK_BYTES), ..Played::default() });
    let (lane, serving) = paced_lane(&meeting, &shelf, &source, &Arc::default()).await;
    let arriving = Arriving::of(&data);
    let fetched = within(crate::transfer::fetch::fetch_blob(lane, arriving.partial.clone())).await;
    assert!(fetched.is_err());
    assert!(matches!(within(serving).await.unwrap(), Err(ServeError::Overstayed)));
    arriving.right_groups();
    // The next one brings the rest.
    let (lane, serving) = paced_lane(&meeting, &shelf, &Arc::default(), &Arc::default()).await;
    within(crate::transfer::fetch::fetch_blob(lane, arriving.partial.clone())).await.unwrap();
    assert!(arriving.partial.is_complete());
    within(serving).await.unwrap().unwrap();
    meeting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cuts_off_says_why() {
    let meeting = Meeting::new().await;
    let (shelf, data) = (Shelf::new(), bytes(LARGE));
    let blob = shelf.file(&data);
    let source = Arc::new(Played { turn_bytes: Some(1), ..Played::default() });
    let (lane, _serving) = paced_lane(&meeting, &shelf, &source, &Arc::default()).await;
    let (order, received) = job(1, blob, LARGE, Some(GroupSet::from_range(0..LARGE as u64 / GROUP_BYTES)));
    let (_, outcome) = play(lane, vec![order]).await;
    assert!(matches!(outcome, Err(LaneError::Reset(Some(Code::RateLimited)))), "{outcome:?}");
    assert!(received.groups().count() < LARGE as u64 / GROUP_BYTES);
    meeting.end().await;
}
