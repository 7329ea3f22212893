//! Sets of groups seen together.

use std::ops::Range;

use crate::content::GroupSet;

/// The first groups that are in both sets: at most `groups` of them in at most `ranges` ranges. No second set is a
/// set of everything.
pub(super) fn first_common(first: &GroupSet, second: Option<&GroupSet>, groups: u64, ranges: usize) -> GroupSet {
    let mut chosen = GroupSet::new();
    let mut left = groups;
    for range in common(first, second).take(ranges) {
        let end = range.end.min(range.start.saturating_add(left));
        left -= end - range.start;
        chosen.insert(range.start..end);
        if left == 0 {
            break;
        }
    }
    chosen
}

/// The groups that are in both sets without the first `groups` of them. No second set is a set of everything.
pub(super) fn beyond_first(first: &GroupSet, second: Option<&GroupSet>, groups: u64) -> GroupSet {
    let mut beyond = intersection(first, second);
    let skipped = beyond.first(groups);
    if let Some(last) = skipped.ranges().last() {
        beyond.remove(0..last.end);
    }
    beyond
}

/// The last groups of a set: at most `groups` of them in at most `ranges` ranges.
pub(super) fn last(set: &GroupSet, groups: u64, ranges: usize) -> GroupSet {
    let mut chosen = GroupSet::new();
    let mut left = groups;
    for range in set.ranges().skip(set.ranges().len().saturating_sub(ranges)).collect::<Vec<_>>().into_iter().rev() {
        if left == 0 {
            break;
        }
        let start = range.start.max(range.end.saturating_sub(left));
        left -= range.end - start;
        chosen.insert(start..range.end);
    }
    chosen
}

/// The last of the groups that are also in the other set and have no group of `set` behind them that is not: at most
/// all of `set`. No second set is a set of everything.
pub(super) fn common_tail(set: &GroupSet, second: Option<&GroupSet>) -> GroupSet {
    let Some(second) = second else { return set.clone() };
    let mut alone = set.clone();
    alone.subtract(second);
    let start = alone.ranges().last().map_or(0, |range| range.end);
    set.within(start..u64::MAX)
}

/// The groups that are in both sets.
pub(super) fn intersection(first: &GroupSet, second: Option<&GroupSet>) -> GroupSet {
    let mut both = GroupSet::new();
    for range in common(first, second) {
        both.insert(range);
    }
    both
}

/// Whether a group is in both sets.
pub(super) fn overlap(first: &GroupSet, second: &GroupSet) -> bool {
    common(first, Some(second)).next().is_some()
}

/// Whether all of `inner` is in `outer`.
pub(super) fn is_inside(inner: &GroupSet, outer: &GroupSet) -> bool {
    inner.ranges().all(|range| outer.contains_all(range))
}

/// In how many of these sets a group is at most.
pub(super) fn deepest_overlap<'a>(sets: impl Iterator<Item = &'a GroupSet>) -> i64 {
    let mut edges: Vec<(u64, i64)> =
        sets.flat_map(GroupSet::ranges).flat_map(|range| [(range.start, 1), (range.end, -1)]).collect();
    edges.sort_unstable();
    let depths = edges.iter().scan(0, |depth, (_, step)| {
        *depth += step;
        Some(*depth)
    });
    depths.max().unwrap_or(0)
}

/// The ranges that are in both sets, ascending.
pub(super) fn common<'a>(
    first: &'a GroupSet,
    second: Option<&'a GroupSet>,
) -> impl Iterator<Item = Range<u64>> + use<'a> {
    let everything = 0..u64::MAX;
    let mut firsts = first.ranges().cloned().peekable();
    let mut seconds = second.into_iter().flat_map(GroupSet::ranges).cloned().peekable();
    let mut unbounded = second.is_none().then_some(everything);
    std::iter::from_fn(move || {
        loop {
            let one = firsts.peek()?.clone();
            let two = match &unbounded {
                Some(everything) => everything.clone(),
                None => seconds.peek()?.clone(),
            };
            if one.end <= two.end {
                firsts.next();
            } else {
                seconds.next();
                unbounded = None;
            }
            let both = one.start.max(two.start)..one.end.min(two.end);
            if !both.is_empty() {
                return Some(both);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(numbers: &BTreeSet<u64>) -> GroupSet {
        let mut set = GroupSet::new();
        for number in numbers {
            set.insert(*number..number + 1);
        }
        set
    }

    fn numbers(set: &GroupSet) -> Vec<u64> {
        set.ranges().cloned().flatten().collect()
    }

    proptest! {
        #[test]
        fn they_behave_like_sets_of_numbers(
            one in proptest::collection::btree_set(0u64..40, 0..30), two in proptest::collection::btree_set(0u64..40, 0..30),
            count in 0u64..40,
        ) {
            let (a, b) = (set(&one), set(&two));
            let both: Vec<u64> = one.intersection(&two).copied().collect();
            prop_assert_eq!(numbers(&intersection(&a, Some(&b))), both.clone());
            prop_assert_eq!(intersection(&a, None), a.clone());
            prop_assert_eq!(overlap(&a, &b), !both.is_empty());
            let tail = one.iter().rev().copied().take_while(|number| two.contains(number));
            let tail: BTreeSet<u64> = tail.collect();
            prop_assert_eq!(common_tail(&a, Some(&b)), set(&tail));
            prop_assert_eq!(common_tail(&a, None), a.clone());
            prop_assert_eq!(is_inside(&a, &b), one.is_subset(&two));
            let first: Vec<u64> = both.iter().copied().take(count as usize).collect();
            prop_assert_eq!(numbers(&first_common(&a, Some(&b), count, 100)), first);
            let behind: Vec<u64> = both.iter().copied().skip(count as usize).collect();
            prop_assert_eq!(numbers(&beyond_first(&a, Some(&b), count)), behind);
            let tail: Vec<u64> = one.iter().copied().skip(one.len().saturating_sub(count as usize)).collect();
            prop_assert_eq!(numbers(&last(&a, count, 100)), tail);
            let deepest = (0..40).map(|n| i64::from(one.contains(&n)) + i64::from(two.contains(&n))).max().unwrap_or(0);
            prop_assert_eq!(deepest_overlap([&a, &b].into_iter()), deepest);
        }

        #[test]
        fn ranges_are_bounded(one in proptest::collection::btree_set(0u64..400, 100..200), ranges in 0usize..20) {
            let a = set(&one);
            prop_assert!(first_common(&a, None, 400, ranges).ranges().len() <= ranges);
            prop_assert!(last(&a, 400, ranges).ranges().len() <= ranges);
        }
    }
}
