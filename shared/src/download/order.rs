//! In which order groups are fetched when some sources have only parts: those that the fewest of these have come first.
//!
//! Among equally rare groups, downloads that begin at the same time must not all fetch the same ones, or none of them
//! has anything for the others. So each walks through the areas of the blob in an order of its own, which a seed
//! decides, and through each area from a place of its own in it to its end, then from its front. Where all sources have
//! everything, a download cannot know how many others there are: it goes from where its first area begins to the end of
//! the blob, and then from the front of the blob.

use std::ops::Range;

use super::sets;
use crate::{
    content::GroupSet,
    limits::{GROUP_BYTES, SOURCE_RANGES_MAX, SPREAD_AREA_BYTES_MIN, SPREAD_AREAS_MAX, SPREAD_STEP_BYTES},
};

/// The areas of a blob in the order in which one download walks through them.
#[derive(Debug)]
pub(super) struct Spread {
    /// Each area and where in it the walk begins.
    order: Vec<(Range<u64>, u64)>,
}

impl Spread {
    /// From the front to the end.
    pub(super) fn ascending(groups: u64) -> Self {
        Self { order: Vec::from_iter([(0..groups, 0)]) }
    }

    /// In an order that follows from a seed.
    pub(super) fn seeded(groups: u64, seed: u64) -> Self {
        let areas = groups.div_ceil(SPREAD_AREA_BYTES_MIN / GROUP_BYTES).clamp(1, SPREAD_AREAS_MAX);
        let mut order: Vec<(u64, u64)> = (0..areas).map(|area| (mixed(mixed(seed).wrapping_add(area)), area)).collect();
        order.sort_unstable();
        let order = order.into_iter().map(|(chance, area)| {
            // Areas and groups are so few that no product overflows.
            let area = area * groups / areas..(area + 1) * groups / areas;
            let steps = (area.end - area.start).div_ceil(SPREAD_STEP_BYTES / GROUP_BYTES).max(1);
            let begin = area.start + mixed(chance) % steps * (SPREAD_STEP_BYTES / GROUP_BYTES);
            (area, begin)
        });
        Self { order: order.collect() }
    }

    /// Where the walk begins.
    pub(super) fn start(&self) -> u64 {
        self.order.first().map_or(0, |(_, begin)| *begin)
    }

    /// The areas in their order, each in one or two parts.
    fn parts(&self) -> impl Iterator<Item = Range<u64>> {
        let parts = self.order.iter().flat_map(|(area, begin)| [*begin..area.end, area.start..*begin]);
        parts.filter(|part| !part.is_empty())
    }
}

/// The finalizer of `SplitMix64` (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
const fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// At most `groups` of the `missing` groups that a source has (`None` is everything), in at most `ranges` ranges: first
/// those that the fewest of the `parts` have, among these as the areas come, then the lowest.
///
/// Looks at [`SOURCE_RANGES_MAX`] ranges of each set at most, whatever the size of the blob.
pub(super) fn rarest(
    missing: &GroupSet,
    have: Option<&GroupSet>,
    parts: &[&GroupSet],
    spread: &Spread,
    groups: u64,
    ranges: usize,
) -> GroupSet {
    let mut pieces = pieces_by_owners(missing, have, parts);
    pieces.sort_unstable_by_key(|(owners, piece)| (*owners, piece.start));
    let (mut chosen, mut left) = (GroupSet::new(), groups);
    for equally_rare in pieces.chunk_by(|(one, _), (other, _)| one == other) {
        for area in spread.parts() {
            let first = equally_rare.partition_point(|(_, piece)| piece.end <= area.start);
            for (_, piece) in equally_rare.iter().skip(first).take_while(|(_, piece)| piece.start < area.end) {
                if left == 0 || chosen.ranges().len() >= ranges {
                    return chosen;
                }
                let start = piece.start.max(area.start);
                let end = piece.end.min(area.end).min(start.saturating_add(left));
                chosen.insert(start..end);
                left -= end - start;
            }
        }
    }
    chosen
}

/// What is missing and a source has, cut wherever the number of `parts` changes that have it. Ascending.
fn pieces_by_owners(missing: &GroupSet, have: Option<&GroupSet>, parts: &[&GroupSet]) -> Vec<(i64, Range<u64>)> {
    let candidates: Vec<_> = sets::common(missing, have).take(SOURCE_RANGES_MAX).collect();
    let (Some(first), Some(last)) = (candidates.first(), candidates.last()) else { return Vec::new() };
    let span = first.start..last.end;
    let mut edges: Vec<(u64, i64)> = parts
        .iter()
        .flat_map(|part| part.overlapping(&span).take(SOURCE_RANGES_MAX))
        .flat_map(|range| [(range.start, 1), (range.end, -1)])
        .collect();
    edges.sort_unstable();
    let mut edges = edges.into_iter().peekable();
    let (mut pieces, mut owners) = (Vec::new(), 0);
    for candidate in candidates {
        let mut at = candidate.start;
        while at < candidate.end {
            while let Some((_, step)) = edges.next_if(|(edge, _)| *edge <= at) {
                owners += step;
            }
            let end = edges.peek().map_or(candidate.end, |(edge, _)| candidate.end.min(*edge));
            pieces.push((owners, at..end));
            at = end;
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn numbers(set: &GroupSet) -> Vec<u64> {
        set.ranges().cloned().flatten().collect()
    }

    fn set(numbers: &BTreeSet<u64>) -> GroupSet {
        let mut set = GroupSet::new();
        for number in numbers {
            set.insert(*number..number + 1);
        }
        set
    }

    #[test]
    fn seeds_walk_differently_through_all_areas_and_the_same_seed_the_same() {
        let walk = |seed| Spread::seeded(1 << 42, seed).parts().collect::<Vec<_>>();
        let mut areas = walk(7);
        assert_ne!(areas, walk(8));
        assert_eq!(areas, walk(7));
        areas.sort_by_key(|area| area.start);
        assert!((SPREAD_AREAS_MAX..=2 * SPREAD_AREAS_MAX).contains(&(areas.len() as u64)));
        assert!(areas.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!((areas[0].start, areas.last().unwrap().end), (0, 1 << 42));
        let one = Spread::seeded(1, 7);
        assert_eq!((one.parts().count(), one.parts().next()), (1, Some(0..1)));
    }

    #[test]
    fn a_blob_of_a_petabyte_costs_no_more_than_its_ranges() {
        let groups = 1 << 42;
        let halves = [GroupSet::from_range(0..groups / 2), GroupSet::from_range(groups / 4..groups)];
        let chosen = rarest(
            &GroupSet::from_range(0..groups),
            None,
            &[&halves[0], &halves[1]],
            &Spread::seeded(groups, 3),
            1024,
            256,
        );
        assert_eq!(chosen.count(), 1024);
        assert!(chosen.ranges().all(|range| range.end <= groups / 4 || range.start >= groups / 2), "{chosen:?}");
    }

    proptest! {
        #[test]
        fn the_rarest_come_first_then_the_earliest_area_then_the_lowest(
            missing in proptest::collection::btree_set(0u64..300, 0..200),
            have in proptest::option::of(proptest::collection::btree_set(0u64..300, 0..300)),
            parts in proptest::collection::vec(proptest::collection::btree_set(0u64..300, 0..300), 0..6),
            seed in proptest::option::of(any::<u64>()), count in 0u64..300,
        ) {
            let spread = seed.map_or_else(|| Spread::ascending(300), |seed| Spread::seeded(300, seed));
            let rank = |group: u64| spread.parts().position(|area| area.contains(&group));
            let owners = |group: u64| parts.iter().filter(|part| part.contains(&group)).count();
            let mut expected: Vec<u64> =
                missing.iter().copied().filter(|group| have.as_ref().is_none_or(|have| have.contains(group))).collect();
            expected.sort_by_key(|group| (owners(*group), rank(*group), *group));
            expected.truncate(count as usize);
            expected.sort_unstable();
            let parts: Vec<GroupSet> = parts.iter().map(set).collect();
            let parts: Vec<&GroupSet> = parts.iter().collect();
            let have = have.as_ref().map(set);
            let chosen = rarest(&set(&missing), have.as_ref(), &parts, &spread, count, 300);
            prop_assert_eq!(numbers(&chosen), expected);
            let few = rarest(&set(&missing), have.as_ref(), &parts, &spread, count, 7);
            prop_assert!(few.ranges().len() <= 7 && sets::is_inside(&few, &set(&missing)));
            prop_assert_eq!(few.is_empty(), chosen.is_empty());
        }
    }
}
