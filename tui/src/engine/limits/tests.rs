//! The shell around the pure cores: what waits is woken, and what is given up holds nobody up.

use std::task::Poll;

use futures_util::poll;
use shared::limit::span::Span;

use super::*;

const BOB: Party = Party::Member(AccountId([1; 16]));
const CAROL: Party = Party::Member(AccountId([2; 16]));

fn rules(rate: Option<u64>, slots: Option<usize>) -> Rules {
    let mut rules = Rules { slots, slots_lan: false, ..Rules::default() };
    let subject = Subject { direction: Direction::Up, member: None, at: None };
    rules.set(Rule { subject, rate, lan: false }).unwrap();
    rules
}

fn limits(rate: Option<u64>, slots: Option<usize>) -> Arc<Limits> {
    Arc::new(Limits::new(rules(rate, slots)))
}

/// Below it nothing passes for half a second.
const SLOW: u64 = shared::limits::RATE_BYTES_MIN;
const MUCH: u64 = 1 << 20;

#[tokio::test]
async fn without_limits_everything_passes_at_once() {
    let limits = limits(None, None);
    let pace = limits.pace(Direction::Up, BOB, false);
    assert_eq!(pace.pass(MUCH).await, MUCH);
    assert!(pace.turn().come().await.is_none());
}

#[tokio::test]
async fn only_the_direction_and_the_network_that_are_limited_wait() {
    let limits = limits(Some(SLOW), Some(1));
    assert_eq!(limits.pace(Direction::Down, BOB, false).pass(MUCH).await, MUCH);
    assert_eq!(limits.pace(Direction::Up, BOB, true).pass(MUCH).await, MUCH);
    let pace = limits.pace(Direction::Up, BOB, false);
    assert!(pace.pass(MUCH).await < MUCH, "a part passes at a time");
}

#[tokio::test]
async fn a_limit_that_is_lifted_lets_pass_what_waits() {
    let limits = limits(Some(SLOW), None);
    let pace = limits.pace(Direction::Up, BOB, false);
    let mut waiting = pace.pass(MUCH);
    assert_eq!(poll!(&mut waiting), Poll::Pending);
    limits.put(rules(None, None));
    assert_eq!(waiting.await, MUCH);
}

#[tokio::test]
async fn what_is_given_up_holds_nobody_up() {
    let limits = limits(Some(100_000), None);
    let (bob, carol) = (limits.pace(Direction::Up, BOB, false), limits.pace(Direction::Up, CAROL, false));
    let mut given_up = bob.pass(MUCH);
    assert_eq!(poll!(&mut given_up), Poll::Pending);
    let mut waiting = carol.pass(1000);
    // It stands behind the other by now.
    assert_eq!(poll!(&mut waiting), Poll::Pending);
    drop(given_up);
    assert_eq!(waiting.await, 1000);
}

#[tokio::test]
async fn whoever_waits_for_a_slot_is_told_and_gets_it_when_it_is_free() {
    let limits = limits(None, Some(1));
    let (bob, carol) = (limits.pace(Direction::Up, BOB, false), limits.pace(Direction::Up, CAROL, false));
    let (mut served, mut waits) = (bob.turn(), carol.turn());
    assert!(served.come().await.is_none());
    assert_eq!(waits.come().await.map(|queued| queued.position), Some(1));
    assert_eq!(limits.place_of(CAROL).map(|place| place.position), Some(1));
    assert_eq!((limits.view().served, limits.view().waiting), (1, 1));
    drop(served);
    assert!(waits.come().await.is_none());
    assert!(limits.place_of(CAROL).is_none());
}

#[tokio::test]
async fn slots_that_are_opened_let_in_who_stands_in_line() {
    let limits = limits(None, Some(1));
    let (bob, carol) = (limits.pace(Direction::Up, BOB, false), limits.pace(Direction::Up, CAROL, false));
    let (_served, mut waits) = (bob.turn(), carol.turn());
    assert!(waits.come().await.is_some());
    let mut waiting = waits.come();
    assert!(poll!(&mut waiting).is_pending());
    limits.put(rules(None, None));
    assert!(waiting.await.is_none());
}

#[tokio::test]
async fn the_tracker_and_the_same_network_need_no_slot() {
    let limits = limits(None, Some(1));
    let _held = limits.pace(Direction::Up, BOB, false).turn();
    assert!(limits.pace(Direction::Up, Party::Tracker, false).turn().come().await.is_none());
    assert!(limits.pace(Direction::Up, CAROL, true).turn().come().await.is_none());
}

#[test]
fn faces_see_what_holds_now() {
    let mut rules = rules(Some(2_000_000), Some(3));
    let at = Some(Span::parse("00:00-24:00").unwrap());
    let subject = Subject { direction: Direction::Up, member: None, at };
    rules.set(Rule { subject, rate: Some(500_000), lan: true }).unwrap();
    let limits = Limits::new(rules);
    let view = limits.take_change().unwrap();
    assert_eq!((view.now(Direction::Up), view.now(Direction::Down), view.slots), (Some(500_000), None, Some(3)));
    assert_eq!(limits.take_change(), None);
}
