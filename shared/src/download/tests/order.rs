//! Which groups come first: the rarest, and what a reader needs. And whether the copy helps.

use proptest::prelude::*;

use super::*;
use crate::limits::{READ_AHEAD_BYTES, READ_SLICE_WORK, SLICE_START_BYTES, SOURCE_RANGES_MAX};

const C: SourceId = SourceId(3);

fn read(play: &mut Play, at: u64) {
    play.tell(Input::Reader { at: Some(at) });
}

// The rarest

#[test]
fn what_only_one_source_has_comes_before_what_two_have() {
    let mut play = Play::of_mib(64);
    play.partial_peer(B, 0..48 * GROUPS_PER_MIB);
    play.asked(B);
    play.peer(A);
    let of_a = play.asked(A);
    assert_eq!(of_a[0].ranges().next().unwrap().start, 48 * GROUPS_PER_MIB);
    assert!(!sets::overlap(&of_a[0], &GroupSet::from_range(0..48 * GROUPS_PER_MIB)));
}

#[test]
fn with_whole_sources_alone_a_download_goes_upwards_from_a_place_of_its_own_and_around() {
    let download = Download::new(Layout::new(100 * MIB).unwrap(), GroupSet::new()).spread(7);
    let start = download.spread.start();
    let mut play = Play { download, now: some_instant(), actions: Vec::new() };
    play.peer(A);
    assert_eq!(play.asked_groups(A), GroupSet::from_range(start..start + GROUPS_PER_MIB));
    let mut asked = Vec::new();
    while !play.download.is_finished() {
        play.works(A, 4 * MIB, seconds(1));
        asked.extend(play.asked(A).into_iter().map(|groups| groups.ranges().next().unwrap().start));
    }
    let turns = asked.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(turns == 1 && asked.contains(&0), "{asked:?} from {start}");
}

#[test]
fn members_who_see_no_parts_begin_at_more_places_than_they_are() {
    let start = |seed| Download::new(Layout::new(64 * MIB).unwrap(), GroupSet::new()).spread(seed).spread.start();
    let starts: BTreeSet<u64> = (0..200).map(start).collect();
    // Of 1024 places.
    assert!(starts.len() > 150, "{starts:?}");
}

#[test]
fn a_source_that_turns_out_to_be_whole_counts_as_whole() {
    let mut play = Play::of_mib(64);
    play.download = Download::new(Layout::new(64 * MIB).unwrap(), GroupSet::new()).spread(7);
    play.partial_peer(A, 0..0);
    play.tell(Input::Gained { source: A, have: GroupSet::from_range(0..64 * GROUPS_PER_MIB) });
    let start = play.download.spread.start();
    assert_eq!(play.asked(A)[0].ranges().next().unwrap().start, start);
}

#[test]
fn downloads_that_begin_together_fetch_different_groups_of_the_only_source() {
    let first = |seed| {
        let download = Download::new(Layout::new(1024 * MIB).unwrap(), GroupSet::new()).spread(seed);
        let mut play = Play { download, now: some_instant(), actions: Vec::new() };
        play.partial_peer(B, 0..0).peer(A);
        play.asked_groups(A)
    };
    let same: u64 = (1..20).map(|seed| sets::intersection(&first(0), Some(&first(seed))).count()).sum();
    assert!(same <= first(0).count(), "{same} of 19 times {}", first(0).count());
    assert_eq!(first(7), first(7));
}

#[test]
fn a_source_of_countless_ranges_is_remembered_in_part_and_served_from() {
    let mut have = GroupSet::new();
    for range in 0..2 * SOURCE_RANGES_MAX as u64 {
        have.insert(2 * range..2 * range + 1);
    }
    let mut play = Play::of_mib(2048);
    play.tell(Input::Joined { source: A, kind: SourceKind::Peer, have: Some(have) });
    assert_eq!(play.download.sources[&A].have().unwrap().ranges().len(), SOURCE_RANGES_MAX);
    assert!(!play.asked_groups(A).is_empty());
}

// The reader

#[test]
fn what_a_reader_needs_next_comes_first_and_in_short_slices() {
    let mut play = Play::of_mib(1000);
    let at = 500 * GROUPS_PER_MIB;
    read(&mut play, at);
    play.peer(A);
    let asked = play.asked(A);
    assert_eq!(asked[0].ranges().next().unwrap().start, at);
    assert!(asked.iter().all(|slice| slice.count() * GROUP_BYTES < SLICE_START_BYTES));
    play.works(A, 4 * MIB, seconds(10));
    let last = play.asked(A).last().unwrap().clone();
    assert!(last.count() * GROUP_BYTES <= 5 * MIB * READ_SLICE_WORK.as_millis() as u64 / 1000);
}

#[test]
fn a_reader_comes_before_the_rarest() {
    let mut play = Play::of_mib(1000);
    read(&mut play, 0);
    play.partial_peer(B, 0..100 * GROUPS_PER_MIB);
    play.asked(B);
    play.peer(A);
    assert!(play.asked_groups(A).ranges().all(|range| range.end < 100 * GROUPS_PER_MIB));
}

#[test]
fn a_slow_source_does_not_get_what_is_read_next() {
    let mut play = Play::of_mib(1000);
    play.peer(A).peer(B).work(&[(A, 20 * MIB), (B, MIB / 2)], seconds(10));
    let at = 800 * GROUPS_PER_MIB;
    read(&mut play, at);
    play.asked(B);
    let of_slow = play.until_asked(B, &[(A, 20 * MIB), (B, MIB / 2)]);
    let next = play.download.held.missing_in(at..u64::MAX).ranges().next().unwrap().start;
    let first = of_slow.ranges().next().unwrap().start;
    assert!(first >= next + 4 * GROUPS_PER_MIB, "group {first}, the reader is at {next}");
}

#[test]
fn what_is_read_next_is_asked_of_a_faster_source_when_the_first_one_is_late() {
    let mut play = Play::of_mib(1000);
    play.peer(A).works(A, 2 * MIB, seconds(8)).peer(B).work(&[(A, MIB / 4), (B, 20 * MIB)], seconds(4));
    let late = play.download.slices_of(A).next().unwrap().1.left.clone();
    let at = late.ranges().next().unwrap().start;
    play.actions.clear();
    read(&mut play, at);
    let hurried = play.until_asked(B, &[(B, 20 * MIB)]);
    assert!(hurried.contains(at), "{hurried:?} of {late:?}");
    play.work(&[(B, 20 * MIB)], seconds(2));
    assert!(play.download.have().contains(at));
    // Whoever is behind gets other work, and what is left of the old is not lost.
    assert!(play.actions.iter().any(|action| matches!(action, Action::Cancel { source: A, .. })));
    play.work(&[(A, MIB / 4), (B, 40 * MIB)], seconds(60));
    assert!(play.download.is_finished());
}

#[test]
fn when_nobody_reads_any_more_the_lowest_come_first_again() {
    let mut play = Play::of_mib(1000);
    read(&mut play, 500 * GROUPS_PER_MIB);
    play.tell(Input::Reader { at: None }).peer(A);
    assert_eq!(play.asked_groups(A), GroupSet::from_range(0..GROUPS_PER_MIB));
}

#[test]
fn a_reader_beyond_the_end_changes_nothing() {
    let mut play = Play::of_mib(16);
    read(&mut play, u64::MAX);
    play.peer(A).works(A, 4 * MIB, seconds(10));
    assert!(play.download.is_finished());
}

// The copy

#[test]
fn the_copy_works_beside_the_members_when_it_is_told_to_and_is_spared_again() {
    let mut play = Play::of_mib(1000);
    play.peer(A).copy().works(A, MIB, seconds(3));
    assert_eq!(play.asked(COPY), []);
    play.tell(Input::Copies(CopyRule::Beside));
    assert_eq!(play.asked(COPY).len(), 2);
    play.tell(Input::Copies(CopyRule::Spare)).work(&[(A, MIB), (COPY, 10 * MIB)], seconds(10));
    assert_eq!(play.asked(COPY), []);
    assert!(play.actions.iter().all(|action| !matches!(action, Action::Cancel { source: COPY, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn wherever_a_reader_goes_the_next_slice_begins_with_what_he_needs(
        mib in 1u64..200, jumps in proptest::collection::vec(proptest::option::of(0u64..13_000), 1..8),
        speed in 1u64..40,
    ) {
        let mut play = Play::of_mib(mib);
        play.peer(A);
        play.asked(A);
        for at in jumps {
            let mut missing = play.download.missing.clone();
            play.tell(Input::Reader { at }).works(A, speed * MIB, seconds(1));
            for asked in play.asked(A) {
                let ahead = at.map(|at| missing.within(at..at + READ_AHEAD_BYTES / GROUP_BYTES)).unwrap_or_default();
                let first = ahead.ranges().chain(missing.ranges()).next().map(|range| range.start);
                prop_assert_eq!(asked.ranges().next().map(|range| range.start), first);
                prop_assert!(ahead.is_empty() || sets::is_inside(&asked, &ahead));
                missing.subtract(&asked);
            }
        }
        play.until_finished(&[(A, speed * MIB)]);
    }

    #[test]
    fn a_download_from_parts_ends_whatever_its_reader_does(
        mib in 1u64..40, jumps in proptest::collection::vec(proptest::option::of(0u64..3000), 1..8),
        parts in proptest::collection::vec((0u64..2500, 0u64..2500), 1..4), seed in any::<u64>(),
        speeds in proptest::collection::vec(1u64..80, 4..5), copies in any::<bool>(),
    ) {
        let mut play = Play::of_mib(mib);
        play.download = Download::new(Layout::new(mib * MIB).unwrap(), GroupSet::new()).spread(seed);
        play.tell(Input::Copies(if copies { CopyRule::Beside } else { CopyRule::Spare })).copy();
        for ((start, length), id) in parts.into_iter().zip(1..) {
            play.partial_peer(SourceId(id), start..start + length);
        }
        let speeds: Vec<_> = [COPY, A, B, C].into_iter().zip(speeds).map(|(id, speed)| (id, speed * MIB / 4)).collect();
        for at in jumps {
            play.tell(Input::Reader { at }).work(&speeds, seconds(1));
        }
        play.until_finished(&speeds);
        prop_assert_eq!(play.actions.iter().filter(|action| **action == Action::Finished).count(), 1);
    }
}
