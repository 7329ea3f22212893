//! A set of groups, kept as ranges: its memory follows the number of holes, not the size of the file.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Ranges up to which they are added one by one.
const FEW_RANGES: usize = 8;

/// Groups of one blob. Ranges are half-open, ascending and never touch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSet {
    ranges: Vec<Range<u64>>,
}

impl GroupSet {
    /// No groups.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// All groups of a range.
    #[must_use]
    pub fn from_range(range: Range<u64>) -> Self {
        let mut set = Self::new();
        set.insert(range);
        set
    }

    /// Reads ranges from another machine: half-open, ascending, not touching, below `end`.
    #[must_use]
    pub fn from_wire(ranges: &[(u64, u64)], end: u64) -> Option<Self> {
        let mut set = Self::new();
        let mut last = None;
        for &(from, to) in ranges {
            if from >= to || to > end || last.is_some_and(|last| from <= last) {
                return None;
            }
            last = Some(to);
            set.ranges.push(from..to);
        }
        Some(set)
    }

    /// The ranges as they travel.
    #[must_use]
    pub fn to_wire(&self) -> Vec<(u64, u64)> {
        self.ranges.iter().map(|range| (range.start, range.end)).collect()
    }

    /// Adds a range.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        // All ranges that overlap or touch the new one become one with it.
        let first = self.ranges.partition_point(|known| known.end < range.start);
        let last = self.ranges.partition_point(|known| known.start <= range.end);
        let merged = match self.ranges.get(first..last) {
            Some([]) | None => range,
            Some(touched) => {
                let start = touched.first().map_or(range.start, |known| known.start.min(range.start));
                let end = touched.last().map_or(range.end, |known| known.end.max(range.end));
                start..end
            }
        };
        self.ranges.splice(first..last, [merged]);
    }

    /// Takes a range out.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.ranges.partition_point(|known| known.end <= range.start);
        let last = self.ranges.partition_point(|known| known.start < range.end);
        if first >= last {
            return;
        }
        let head = self.ranges[first].start..range.start;
        let tail = range.end..self.ranges[last - 1].end;
        self.ranges.splice(first..last, [head, tail].into_iter().filter(|rest| !rest.is_empty()));
    }

    /// Adds another set.
    pub fn extend(&mut self, other: &Self) {
        if other.ranges.len() <= FEW_RANGES {
            for range in &other.ranges {
                self.insert(range.clone());
            }
            return;
        }
        // Each insertion moves what lies behind it: many at once are merged in one pass.
        let mut all = [self.ranges.as_slice(), other.ranges.as_slice()].concat();
        // Two ascending runs.
        all.sort_by_key(|range| range.start);
        self.ranges.clear();
        for range in all {
            match self.ranges.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                Some(_) | None => self.ranges.push(range),
            }
        }
    }

    /// Takes another set out.
    pub fn subtract(&mut self, other: &Self) {
        for range in &other.ranges {
            self.remove(range.clone());
        }
    }

    /// The groups of `range` that are not in this set.
    #[must_use]
    pub fn missing_in(&self, range: Range<u64>) -> Self {
        let mut missing = Self::from_range(range);
        missing.subtract(self);
        missing
    }

    /// The part of this set inside `range`.
    #[must_use]
    pub fn within(&self, range: Range<u64>) -> Self {
        let parts = self.overlapping(&range).map(|known| known.start.max(range.start)..known.end.min(range.end));
        Self { ranges: parts.collect() }
    }

    /// The first groups of this set, `count` at most.
    #[must_use]
    pub fn first(&self, count: u64) -> Self {
        let mut left = count;
        let mut ranges = Vec::new();
        for range in &self.ranges {
            if left == 0 {
                break;
            }
            let end = range.end.min(range.start.saturating_add(left));
            left -= end - range.start;
            ranges.push(range.start..end);
        }
        Self { ranges }
    }

    /// Whether a group is in the set.
    #[must_use]
    pub fn contains(&self, group: u64) -> bool {
        self.contains_all(&(group..group + 1))
    }

    /// Whether a whole range is in the set.
    #[must_use]
    pub fn contains_all(&self, range: &Range<u64>) -> bool {
        if range.is_empty() {
            return true;
        }
        let at = self.ranges.partition_point(|known| known.end <= range.start);
        self.ranges.get(at).is_some_and(|known| known.start <= range.start && range.end <= known.end)
    }

    /// Whether some of a range are in it.
    #[must_use]
    pub fn overlaps(&self, range: &Range<u64>) -> bool {
        let at = self.ranges.partition_point(|own| own.end <= range.start);
        range.start < range.end && self.ranges.get(at).is_some_and(|own| own.start < range.end)
    }

    /// Number of groups.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges that have a group in common with `range`, ascending and whole.
    pub fn overlapping(&self, range: &Range<u64>) -> impl ExactSizeIterator<Item = &Range<u64>> + use<'_> {
        let first = self.ranges.partition_point(|known| known.end <= range.start);
        let last = self.ranges.partition_point(|known| known.start < range.end);
        let is_empty = range.is_empty();
        self.ranges.get(first..last).filter(|_| !is_empty).unwrap_or_default().iter()
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = &Range<u64>> {
        self.ranges.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn model(set: &GroupSet) -> BTreeSet<u64> {
        set.ranges().cloned().flatten().collect()
    }

    fn is_canonical(set: &GroupSet) -> bool {
        let ranges: Vec<_> = set.ranges().cloned().collect();
        ranges.iter().all(|range| !range.is_empty()) && ranges.windows(2).all(|pair| pair[0].end < pair[1].start)
    }

    #[test]
    fn ranges_from_the_wire_must_be_ordered_and_inside() {
        assert!(GroupSet::from_wire(&[(0, 2), (3, 4)], 4).is_some());
        for bad in [vec![(2, 2)], vec![(0, 5)], vec![(0, 2), (2, 3)], vec![(3, 4), (0, 1)], vec![(2, 1)]] {
            assert!(GroupSet::from_wire(&bad, 4).is_none(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_set_of_numbers(
            steps in proptest::collection::vec((any::<bool>(), 0u64..60, 0u64..12), 0..60),
            from in 0u64..60, length in 0u64..30,
        ) {
            let mut set = GroupSet::new();
            let mut numbers = BTreeSet::new();
            for (add, start, length) in steps {
                if add {
                    set.insert(start..start + length);
                    numbers.extend(start..start + length);
                } else {
                    set.remove(start..start + length);
                    numbers.retain(|n| !(start..start + length).contains(n));
                }
                prop_assert!(is_canonical(&set), "{set:?}");
                prop_assert_eq!(model(&set), numbers.clone());
            }
            let range = from..from + length;
            prop_assert_eq!(set.contains_all(&range), range.clone().all(|n| numbers.contains(&n)));
            prop_assert_eq!(model(&set.missing_in(range.clone())), range.clone().filter(|n| !numbers.contains(n)).collect());
            prop_assert_eq!(model(&set.within(range.clone())), range.filter(|n| numbers.contains(n)).collect());
            prop_assert_eq!(model(&set.first(length)), numbers.iter().copied().take(length as usize).collect());
            prop_assert_eq!(GroupSet::from_wire(&set.to_wire(), 1000), Some(set));
        }

        #[test]
        fn sets_of_few_and_of_many_ranges_unite_alike(
            one in proptest::collection::btree_set(0u64..200, 0..100), two in proptest::collection::btree_set(0u64..200, 0..100),
            from in 0u64..200, length in 0u64..30,
        ) {
            let set = |numbers: &BTreeSet<u64>| {
                let mut set = GroupSet::new();
                numbers.iter().for_each(|number| set.insert(*number..number + 1));
                set
            };
            let (mut united, range) = (set(&one), from..from + length);
            united.extend(&set(&two));
            prop_assert!(is_canonical(&united), "{united:?}");
            prop_assert_eq!(model(&united), one.union(&two).copied().collect());
            let overlapping: Vec<_> = united.overlapping(&range).collect();
            let expected = united.ranges().filter(|known| known.start.max(range.start) < known.end.min(range.end));
            prop_assert_eq!(overlapping, expected.collect::<Vec<_>>());
        }
    }
}
