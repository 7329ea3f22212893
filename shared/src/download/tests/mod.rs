//! The download machine by plain calls.

mod order;

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use super::*;
use crate::limits::{COPY_AFTER, SLICE_START_BYTES, SLICES_IN_FLIGHT_MAX, SOURCE_STALL};

const MIB: u64 = 1024 * 1024;
const GROUPS_PER_MIB: u64 = MIB / GROUP_BYTES;
const A: SourceId = SourceId(1);
const B: SourceId = SourceId(2);
const COPY: SourceId = SourceId(9);
const STEP: Duration = Duration::from_millis(250);

/// Any moment: only differences count.
pub(super) fn some_instant() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "there is no other way to make an instant")]
    Instant::now()
}

/// A download with a clock, and what it has asked for.
struct Play {
    download: Download,
    now: Instant,
    actions: Vec<Action>,
}

impl Play {
    fn of_mib(mib: u64) -> Self {
        Self::of_bytes(mib * MIB, GroupSet::new())
    }

    fn of_bytes(bytes: u64, have: GroupSet) -> Self {
        let download = Download::new(Layout::new(bytes).unwrap(), have);
        let mut play = Self { download, now: some_instant(), actions: Vec::new() };
        play.drain();
        play
    }

    fn tell(&mut self, input: Input) -> &mut Self {
        self.download.handle(self.now, input);
        self.drain();
        self
    }

    fn drain(&mut self) {
        self.actions.extend(std::iter::from_fn(|| self.download.poll_action()));
    }

    fn peer(&mut self, source: SourceId) -> &mut Self {
        self.tell(Input::Joined { source, kind: SourceKind::Peer, have: None })
    }

    fn partial_peer(&mut self, source: SourceId, have: Range<u64>) -> &mut Self {
        self.tell(Input::Joined { source, kind: SourceKind::Peer, have: Some(GroupSet::from_range(have)) })
    }

    fn copy(&mut self) -> &mut Self {
        self.tell(Input::Joined { source: COPY, kind: SourceKind::Copy, have: None })
    }

    fn leaves(&mut self, source: SourceId, why: Leaving) -> &mut Self {
        self.tell(Input::Left { source, why })
    }

    fn wait(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self.tell(Input::Tick)
    }

    /// The first `groups` groups of what a source's slice still lacks arrive.
    fn brings(&mut self, source: SourceId, slice: SliceId, groups: u64) -> &mut Self {
        let part = self.left(slice).first(groups);
        for range in part.ranges() {
            let bytes = (range.end - range.start) * GROUP_BYTES;
            self.tell(Input::Verified { source, slice, groups: range.clone(), bytes });
        }
        self
    }

    /// A source brings what it is asked for at this speed, for this time.
    fn works(&mut self, source: SourceId, speed: u64, time: Duration) -> &mut Self {
        self.work(&[(source, speed)], time)
    }

    /// Sources bring what they are asked for at these speeds, for this time.
    fn work(&mut self, speeds: &[(SourceId, u64)], time: Duration) -> &mut Self {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            for (source, speed) in speeds {
                let mut groups = speed * STEP.as_millis() as u64 / 1000 / GROUP_BYTES;
                while groups > 0
                    && let Some(slice) = self.slices_of(*source).first().copied()
                {
                    let count = self.left(slice).count().min(groups);
                    self.brings(*source, slice, count);
                    groups -= count;
                }
            }
        }
        self
    }

    /// Works on until a source is asked for something, and tells what.
    fn until_asked(&mut self, source: SourceId, speeds: &[(SourceId, u64)]) -> GroupSet {
        loop {
            self.work(speeds, STEP);
            let asked = self.asked_groups(source);
            if !asked.is_empty() || self.download.is_finished() {
                return asked;
            }
        }
    }

    /// Works on until everything is there.
    fn until_finished(&mut self, speeds: &[(SourceId, u64)]) {
        let begun = self.now;
        while !self.download.is_finished() {
            self.work(speeds, seconds(1));
            assert!(self.now < begun + seconds(3600), "{:?}", self.download);
        }
    }

    fn left(&self, slice: SliceId) -> GroupSet {
        self.download.slices.get(&slice).map(|slice| slice.left.clone()).unwrap_or_default()
    }

    fn slices_of(&self, source: SourceId) -> Vec<SliceId> {
        self.download.slices_of(source).map(|(slice, _)| slice).collect()
    }

    /// What was asked of a source since the last look.
    fn asked(&mut self, from: SourceId) -> Vec<GroupSet> {
        let mut asked = Vec::new();
        self.actions.retain(|action| match action {
            Action::Fetch { source, groups, .. } if *source == from => {
                asked.push(groups.clone());
                false
            }
            Action::Fetch { .. } | Action::Cancel { .. } | Action::Stalled { .. } | Action::Finished => true,
        });
        asked
    }

    fn asked_groups(&mut self, from: SourceId) -> GroupSet {
        let mut all = GroupSet::new();
        for groups in self.asked(from) {
            all.extend(&groups);
        }
        all
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

// Beginning and end

#[test]
fn a_blob_that_is_whole_is_finished_at_once_and_once() {
    let mut play = Play::of_bytes(MIB, GroupSet::from_range(0..GROUPS_PER_MIB));
    play.peer(A).wait(seconds(1));
    assert_eq!(play.actions, [Action::Finished]);
    assert!(play.download.is_finished() && !play.download.is_starved());
    assert_eq!(play.download.next_deadline(), None);
}

#[test]
fn an_empty_blob_is_one_group_to_fetch() {
    let mut play = Play::of_bytes(0, GroupSet::new());
    play.peer(A);
    assert_eq!(play.asked(A), [GroupSet::from_range(0..1)]);
    play.tell(Input::Verified { source: A, slice: SliceId(0), groups: 0..1, bytes: 0 });
    assert_eq!(play.actions, [Action::Finished]);
}

#[test]
fn a_resumed_download_asks_only_for_what_is_missing() {
    let mut play = Play::of_bytes(MIB, GroupSet::from_range(3..60));
    play.peer(A);
    let mut expected = GroupSet::from_range(0..3);
    expected.insert(60..64);
    assert_eq!(play.asked(A), [expected]);
}

#[test]
fn the_last_group_finishes_it() {
    let mut play = Play::of_mib(1);
    play.peer(A);
    let [first, second] = play.slices_of(A)[..] else { panic!("{:?}", play.actions) };
    play.actions.clear();
    play.brings(A, first, 1000).brings(A, second, 1000);
    assert_eq!(play.actions, [Action::Finished]);
    assert_eq!(play.download.have().count(), GROUPS_PER_MIB);
    assert_eq!(play.download.source(A).unwrap().bytes_verified, MIB);
}

// Slices

#[test]
fn work_begins_at_the_front_with_two_small_slices() {
    let mut play = Play::of_mib(100);
    play.peer(A);
    let slice = SLICE_START_BYTES / GROUP_BYTES;
    assert_eq!(play.asked(A), [GroupSet::from_range(0..slice), GroupSet::from_range(slice..2 * slice)]);
    assert_eq!(play.download.in_flight(), GroupSet::from_range(0..2 * slice));
}

#[test]
fn the_next_slice_is_asked_when_one_ends() {
    let mut play = Play::of_mib(100);
    play.peer(A);
    let first = play.slices_of(A)[0];
    play.asked(A);
    play.brings(A, first, SLICE_START_BYTES / GROUP_BYTES - 1);
    assert_eq!(play.asked(A), []);
    play.brings(A, first, 1);
    assert_eq!(play.asked_groups(A).ranges().next().unwrap().start, 2 * SLICE_START_BYTES / GROUP_BYTES);
}

#[test]
fn slices_follow_the_measured_speed() {
    let slice_at = |speed: u64| {
        let mut play = Play::of_mib(1_000_000);
        play.peer(A).works(A, speed, seconds(80));
        play.asked(A).last().unwrap().count() * GROUP_BYTES
    };
    assert_eq!(slice_at(400 * MIB), SLICE_BYTES);
    assert!((5 * MIB..8 * MIB).contains(&slice_at(4 * MIB)));
    assert!((MIB / 8..=MIB / 2).contains(&slice_at(MIB / 8)));
}

#[test]
fn several_members_work_at_once_and_none_on_the_same() {
    let mut play = Play::of_mib(100);
    play.peer(A).peer(B);
    let (of_a, of_b) = (play.asked_groups(A), play.asked_groups(B));
    assert!(!of_a.is_empty() && !of_b.is_empty());
    assert!(!sets::overlap(&of_a, &of_b));
}

#[test]
fn a_want_never_has_too_many_ranges() {
    let mut have = GroupSet::new();
    for group in 0..1000 {
        have.insert(2 * group..2 * group + 1);
    }
    let mut play = Play::of_bytes(2000 * GROUP_BYTES, have);
    play.peer(A);
    for groups in play.asked(A) {
        assert!((1..=WANT_RANGES_MAX).contains(&groups.ranges().len()));
    }
}

#[test]
fn a_partial_source_is_asked_only_for_what_it_has_and_followed_when_it_gains() {
    let mut play = Play::of_mib(100);
    play.partial_peer(A, 10..20);
    assert_eq!(play.asked(A), [GroupSet::from_range(10..20)]);
    play.tell(Input::Gained { source: A, have: GroupSet::from_range(30..40) });
    assert_eq!(play.asked(A), [GroupSet::from_range(30..40)]);
    let slices = play.slices_of(A);
    play.brings(A, slices[0], 10).brings(A, slices[1], 10);
    assert!(play.download.is_starved());
    play.tell(Input::Gained { source: A, have: GroupSet::from_range(0..1_000_000) });
    assert!(!play.download.is_starved());
    assert_eq!(play.asked_groups(A).ranges().next(), Some(&(0..10)));
}

// The tracker's copy

#[test]
fn the_copy_is_spared_while_a_member_serves() {
    let mut play = Play::of_mib(100);
    play.peer(A).copy().works(A, MIB, seconds(10));
    assert_eq!(play.asked(COPY), []);
}

#[test]
fn the_copy_takes_over_when_the_last_member_leaves() {
    let mut play = Play::of_mib(100);
    play.peer(A).copy().works(A, MIB, seconds(3)).leaves(A, Leaving::Lost);
    let next = play.download.have().ranges().next().unwrap().end;
    assert_eq!(play.asked_groups(COPY).ranges().next().unwrap().start, next);
}

#[test]
fn the_copy_takes_over_when_the_member_stalls() {
    let mut play = Play::of_mib(100);
    play.peer(A).copy().wait(SOURCE_STALL);
    assert!(play.actions.contains(&Action::Stalled { source: A }));
    assert_eq!(play.asked_groups(COPY).ranges().next().unwrap().start, 0);
}

#[test]
fn the_copy_serves_what_no_member_has() {
    let mut play = Play::of_mib(1);
    play.partial_peer(A, 0..32).copy();
    assert_eq!(play.asked_groups(A), GroupSet::from_range(0..32));
    assert_eq!(play.asked_groups(COPY), GroupSet::from_range(32..64));
}

#[test]
fn a_member_that_joins_later_takes_over_while_the_copy_ends_what_it_began() {
    let mut play = Play::of_mib(100);
    play.copy();
    assert_eq!(play.asked(COPY).len(), 2);
    play.peer(A);
    assert_eq!(play.asked(A).len(), 2);
    let slices = play.slices_of(COPY);
    play.brings(COPY, slices[0], 1000).brings(COPY, slices[1], 1000);
    assert_eq!(play.asked(COPY), []);
    assert!(play.actions.is_empty(), "{:?}", play.actions);
}

// Sources that leave

#[test]
fn what_a_lost_source_did_not_bring_is_asked_of_others_and_what_it_brought_stays() {
    let mut play = Play::of_mib(1);
    play.peer(A);
    let first = play.slices_of(A)[0];
    play.brings(A, first, 5).leaves(A, Leaving::Lost);
    assert_eq!(play.download.in_flight(), GroupSet::new());
    assert!(play.download.is_starved());
    play.peer(B);
    assert_eq!(play.asked_groups(B), GroupSet::from_range(5..GROUPS_PER_MIB));
}

#[test]
fn a_lost_source_gets_work_when_it_is_back() {
    let mut play = Play::of_mib(7);
    play.peer(A).leaves(A, Leaving::Lost);
    play.asked(A);
    play.peer(A);
    assert!(!play.asked(A).is_empty());
}

#[test]
fn a_liar_and_a_refuser_get_no_work_again() {
    for why in [Leaving::Misbehaved, Leaving::Refused] {
        let mut play = Play::of_mib(7);
        play.peer(A).leaves(A, why);
        play.asked(A);
        play.peer(A);
        assert_eq!(play.asked(A), []);
        assert!(play.download.is_starved() && play.download.source(A).is_none());
        play.peer(B);
        assert!(!play.asked(B).is_empty());
    }
}

#[test]
fn a_source_that_leaves_takes_its_orders_with_it() {
    let download = &mut Download::new(Layout::new(MIB).unwrap(), GroupSet::new());
    let now = some_instant();
    download.handle(now, Input::Joined { source: A, kind: SourceKind::Peer, have: None });
    download.handle(now, Input::Left { source: A, why: Leaving::Lost });
    assert_eq!(download.poll_action(), None);
}

#[test]
fn groups_count_even_when_their_source_has_left() {
    let mut play = Play::of_mib(1);
    play.peer(A).leaves(A, Leaving::Lost);
    play.tell(Input::Verified { source: A, slice: SliceId(0), groups: 0..64, bytes: MIB });
    assert!(play.download.is_finished());
}

#[test]
fn groups_that_arrive_for_another_slice_end_that_one() {
    let mut play = Play::of_bytes(SLICE_START_BYTES, GroupSet::new());
    play.peer(A).leaves(A, Leaving::Lost).peer(B);
    let slice = play.slices_of(B)[0];
    play.actions.clear();
    play.tell(Input::Verified {
        source: A,
        slice: SliceId(0),
        groups: 0..SLICE_START_BYTES / GROUP_BYTES,
        bytes: SLICE_START_BYTES,
    });
    assert_eq!(play.actions, [Action::Cancel { source: B, slice }, Action::Finished]);
}

#[test]
fn groups_beyond_the_end_do_not_count() {
    let mut play = Play::of_mib(1);
    play.peer(A).tell(Input::Verified { source: A, slice: SliceId(7), groups: 64..1000, bytes: 1 });
    assert_eq!(play.download.have(), &GroupSet::new());
    play.tell(Input::Gained { source: A, have: GroupSet::from_range(60..1 << 60) });
}

// Stalls

#[test]
fn a_stalled_source_is_replaced_and_its_groups_stay() {
    let mut play = Play::of_mib(40);
    play.peer(A).peer(B);
    play.asked(B);
    let of_a = play.download.slices_of(A).map(|(_, slice)| slice.left.clone()).next().unwrap();
    let first = play.slices_of(A)[0];
    play.brings(A, first, 3);
    play.works(B, MIB, SOURCE_STALL);
    assert!(play.actions.contains(&Action::Stalled { source: A }), "{:?}", play.download);
    assert!(play.download.have().contains_all(&of_a.first(3).ranges().next().unwrap().clone()));
    assert_eq!(play.slices_of(A), []);
    play.works(B, 10 * MIB, seconds(10));
    assert!(play.download.is_finished());
}

#[test]
fn the_copy_helps_as_long_as_the_only_member_is_silent() {
    let mut play = Play::of_mib(100);
    play.peer(A).copy();
    assert_eq!(play.asked(COPY), []);
    play.wait(COPY_AFTER);
    assert_eq!(play.asked(COPY).len(), 2);
    let slices = play.slices_of(A);
    play.brings(A, slices[0], 1);
    for slice in play.slices_of(COPY) {
        play.brings(COPY, slice, 1000);
    }
    assert_eq!(play.asked(COPY), [], "a member that delivers is enough");
}

#[test]
fn what_a_silent_member_was_asked_for_comes_from_the_copy_before_the_member_is_given_up() {
    let mut play = Play::of_mib(2);
    play.peer(A).copy().wait(COPY_AFTER);
    play.works(COPY, 10 * MIB, seconds(1));
    assert!(play.download.is_finished(), "{:?}", play.download);
    assert!(!play.actions.contains(&Action::Stalled { source: A }));
}

#[test]
fn it_is_quiet_while_nobody_who_is_there_delivers() {
    let mut play = Play::of_mib(100);
    assert!(!play.download.is_quiet(play.now), "nobody is there");
    play.peer(A).peer(B);
    assert!(!play.download.is_quiet(play.now));
    play.wait(COPY_AFTER);
    assert!(play.download.is_quiet(play.now));
    let slice = play.slices_of(B)[0];
    play.brings(B, slice, 1);
    assert!(!play.download.is_quiet(play.now));
}

#[test]
fn the_deadline_is_the_moment_at_which_others_help_a_source_and_then_that_at_which_it_stalls() {
    let mut play = Play::of_mib(20);
    assert_eq!(play.download.next_deadline(), None);
    play.peer(A);
    let began = play.now;
    assert_eq!(play.download.next_deadline(), Some(began + COPY_AFTER));
    let first = play.slices_of(A)[0];
    play.now += seconds(1);
    play.brings(A, first, 1);
    assert_eq!(play.download.next_deadline(), Some(began + seconds(1) + COPY_AFTER));
    assert_eq!(play.download.source(A).unwrap().silent_since, Some(began + seconds(1)));
    play.wait(COPY_AFTER);
    assert_eq!(play.download.next_deadline(), Some(began + seconds(1) + SOURCE_STALL));
    play.wait(SOURCE_STALL - COPY_AFTER);
    assert_eq!(play.actions.last(), Some(&Action::Stalled { source: A }));
    assert_eq!(play.download.next_deadline(), None);
    assert_eq!(play.download.source(A).unwrap().stalled_since, Some(play.now));
}

#[test]
fn a_stalled_source_gets_no_work_until_it_joins_again() {
    let mut play = Play::of_mib(20);
    play.peer(A).wait(SOURCE_STALL);
    play.asked(A);
    play.wait(seconds(60)).peer(A);
    assert_eq!(play.asked(A), []);
    assert!(play.download.is_starved());
    play.leaves(A, Leaving::Lost).peer(A);
    assert!(!play.asked(A).is_empty());
}

#[test]
fn a_source_is_kept_while_it_says_that_it_serves_others_first() {
    let mut play = Play::of_mib(8);
    play.peer(A);
    for _ in 0..20 {
        play.wait(SOURCE_STALL / 2).tell(Input::Queued { source: A });
    }
    assert!(!play.actions.contains(&Action::Stalled { source: A }));
    assert!(play.download.is_quiet(play.now), "others are looked for meanwhile");
    play.works(A, 4 * MIB, seconds(4));
    assert!(play.download.is_finished());
}

#[test]
fn a_source_that_falls_silent_in_line_is_given_up_in_the_end() {
    let mut play = Play::of_mib(8);
    play.peer(A).wait(seconds(3)).tell(Input::Queued { source: A });
    assert_eq!(play.download.next_deadline(), Some(play.now + SOURCE_STALL));
    play.wait(SOURCE_STALL);
    assert!(play.actions.contains(&Action::Stalled { source: A }));
}

#[test]
fn others_and_the_copy_do_the_work_of_a_source_that_serves_others_first() {
    for helper in [B, COPY] {
        let mut play = Play::of_mib(8);
        play.peer(A).tell(Input::Queued { source: A });
        if helper == B {
            play.peer(B)
        } else {
            play.copy()
        };
        while !play.download.is_finished() {
            play.works(helper, 2 * MIB, seconds(2)).tell(Input::Queued { source: A });
        }
        assert!(is_cancelled(&play, A), "{:?}", play.actions);
    }
}

#[test]
fn a_source_without_work_never_stalls() {
    let mut play = Play::of_mib(1);
    play.partial_peer(A, 0..0).wait(seconds(100));
    assert!(play.actions.is_empty());
    assert_eq!(play.download.source(A).unwrap().silent_since, None);
}

// The endgame

/// The last slices of a source that has become slow are left, a fast one is about to help.
fn slow_and_fast() -> Play {
    let mut play = Play::of_mib(16);
    play.peer(A).works(A, 2 * MIB, seconds(4)).peer(B);
    while play.download.missing.count() > 0 {
        play.work(&[(A, MIB / 4), (B, 4 * MIB)], STEP);
    }
    play.actions.clear();
    play
}

fn is_cancelled(play: &Play, of: SourceId) -> bool {
    play.actions.iter().any(|action| matches!(action, Action::Cancel { source, .. } if *source == of))
}

#[test]
fn an_idle_faster_source_takes_the_tail_of_the_slowest() {
    let mut play = slow_and_fast();
    let last = play.left(*play.slices_of(A).last().unwrap());
    let raced = play.until_asked(B, &[(A, MIB / 4), (B, 4 * MIB)]);
    assert!(raced.ranges().last().unwrap().end == last.ranges().last().unwrap().end, "{raced:?} of {last:?}");
    assert!(2 * raced.count() > last.count(), "the faster one takes more");
}

#[test]
fn the_loser_of_a_race_is_cancelled_and_nothing_is_lost() {
    let mut play = slow_and_fast();
    play.work(&[(A, MIB / 4), (B, 4 * MIB)], seconds(10));
    assert!(play.download.is_finished());
    assert!(is_cancelled(&play, A) && !is_cancelled(&play, B), "{:?}", play.actions);
    assert_eq!(play.actions.last(), Some(&Action::Finished));
}

#[test]
fn a_helper_that_turns_out_to_be_slow_is_cancelled_instead() {
    let mut play = Play::of_mib(8);
    play.peer(A).works(A, MIB, seconds(4)).peer(B);
    assert!(!play.asked(B).is_empty());
    play.work(&[(A, MIB), (B, MIB / 16)], seconds(5));
    assert!(play.download.is_finished());
    assert!(is_cancelled(&play, B) && !is_cancelled(&play, A), "{:?}", play.actions);
}

#[test]
fn what_two_race_for_is_never_free_while_one_of_them_stays() {
    for leaver in [A, B] {
        let mut play = slow_and_fast();
        play.until_asked(B, &[(A, MIB / 4), (B, 4 * MIB)]);
        let stayer = if leaver == A { B } else { A };
        play.leaves(leaver, Leaving::Lost).work(&[(stayer, 4 * MIB)], seconds(10));
        assert!(play.download.is_finished());
    }
}

#[test]
fn a_group_is_never_asked_of_three() {
    let mut play = slow_and_fast();
    for id in 20..30 {
        play.peer(SourceId(id)).work(&[(A, MIB / 4)], STEP);
    }
    // The machine asserts it; that many idle ones are here makes that worth something.
    assert!(play.download.sources.len() == 12 && !play.download.is_finished());
}

#[test]
fn a_slower_source_does_not_race_a_faster_one() {
    let mut play = Play::of_mib(64);
    play.peer(A).peer(B).work(&[(A, 4 * MIB), (B, MIB)], seconds(6));
    while play.download.missing.count() > 0 {
        play.work(&[(A, 4 * MIB), (B, MIB)], STEP);
    }
    for slice in play.slices_of(B) {
        play.brings(B, slice, 1000);
    }
    assert!(!play.slices_of(A).is_empty());
    play.asked(B);
    play.tell(Input::Tick);
    assert_eq!(play.asked(B), []);
}

#[test]
fn a_source_shows_its_speed_while_it_works() {
    let mut play = Play::of_mib(100);
    play.peer(A).works(A, 2 * MIB, seconds(6));
    let view = play.download.source(A).unwrap();
    assert!((17 * MIB / 10..=24 * MIB / 10).contains(&view.speed), "{view:?}");
    assert!((1..=SLICES_IN_FLIGHT_MAX).contains(&view.slices) && view.kind == SourceKind::Peer, "{view:?}");
    play.partial_peer(B, 0..1);
    assert_eq!(play.download.source(B).unwrap().speed, 0);
}
