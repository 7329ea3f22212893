//! Where two contents are equal at the same place, found by their trees alone: equal hashes at a node mean equal bytes
//! below it. Asked from the coarse to the fine, so that what is equal costs little.

use std::ops::Range;

use super::{GroupSet, Layout};
use crate::limits::{TREE_NODES_MAX, TREE_STEP, WANT_RANGES_MAX};

/// What the top of a tree over some groups holds next, in pre-order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeStep {
    /// 64 bytes: two hashes, at this byte offset in the tree file.
    Parent {
        /// Offset in the tree file.
        offset: u64,
        /// It is the top of the tree.
        is_root: bool,
        /// The left child follows.
        left: bool,
        /// The right child follows.
        right: bool,
    },
    /// Nothing is sent: the hash of this subtree stands in its parent.
    Subtree {
        /// The groups below it.
        groups: Range<u64>,
    },
}

/// Where the hash of a subtree stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashPlace {
    /// Offset of its parent in the tree file.
    pub parent: u64,
    /// In its second half.
    pub right: bool,
}

impl Layout {
    /// The parents over `groups` down to subtrees of at most 2^`height` groups that are all among them.
    pub fn tree_steps(self, groups: &GroupSet, height: u8) -> impl Iterator<Item = TreeStep> + use<'_> {
        let most = 1u64.checked_shl(height.into()).unwrap_or(u64::MAX);
        let wants = move |range: Range<u64>| groups.overlaps(&range);
        let mut open = vec![(0, self.groups(), 0)];
        open.retain(|(start, count, _)| wants(*start..*start + *count));
        std::iter::from_fn(move || {
            let (start, count, index) = open.pop()?;
            let range = start..start + count;
            if count == 1 || (count <= most && groups.contains_all(&range)) {
                return Some(TreeStep::Subtree { groups: range });
            }
            let left_count = left_groups(count);
            let (left, right) = (wants(start..start + left_count), wants(start + left_count..start + count));
            if right {
                open.push((start + left_count, count - left_count, index + left_count));
            }
            if left {
                open.push((start, left_count, index + 1));
            }
            Some(TreeStep::Parent { offset: index * 64, is_root: count == self.groups(), left, right })
        })
    }

    /// Where the hash of the subtree over `groups` stands; `None` when that is no subtree, or all.
    #[must_use]
    pub fn hash_place(self, groups: &Range<u64>) -> Option<HashPlace> {
        let (mut start, mut count, mut index) = (0, self.groups(), 0);
        let wanted = (groups.start, groups.end.checked_sub(groups.start)?);
        let mut place = None;
        while (start, count) != wanted {
            if count <= 1 || groups.end > start + count {
                return None;
            }
            let left_count = left_groups(count);
            let right = groups.start >= start + left_count;
            place = Some(HashPlace { parent: index * 64, right });
            (start, count, index) = if right {
                (start + left_count, count - left_count, index + left_count)
            } else {
                (start, left_count, index + 1)
            };
        }
        place
    }
}

const fn left_groups(count: u64) -> u64 {
    count.next_power_of_two() / 2
}

/// Compares a content whose tree is asked for with one whose tree is here.
#[derive(Debug)]
pub struct Comparison {
    old: Layout,
    new: Layout,
    height: u8,
    /// Not asked about at this height.
    open: GroupSet,
    /// Different at this height, perhaps not below.
    below: GroupSet,
    same: GroupSet,
    /// Something was the same at this height.
    found: bool,
}

impl Comparison {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(old: Layout, new: Layout) -> Self {
        let groups = old.groups().min(new.groups());
        let mut height = 0;
        while groups >> height > TREE_NODES_MAX {
            height += 1;
        }
        // A whole content has no hash below another.
        let height = height.max(TREE_STEP).min(u8::try_from(groups.ilog2().saturating_sub(1)).unwrap_or(0));
        let open = GroupSet::from_range(0..groups);
        Self { old, new, height, open, below: GroupSet::new(), same: GroupSet::new(), found: false }
    }

    /// Which part of the new content's tree to ask for next, and down to which height; `None` at the end.
    #[must_use]
    pub fn question(&self) -> Option<(GroupSet, u8)> {
        let mut part = GroupSet::new();
        for range in self.open.first(TREE_NODES_MAX << self.height).ranges().take(WANT_RANGES_MAX) {
            part.insert(range.clone());
        }
        (!part.is_empty()).then_some((part, self.height))
    }

    /// Takes the answer: subtrees of the new content with their hashes. `old_hash` reads one from the old tree. Gives
    /// those that are equal.
    pub fn answer(
        &mut self,
        asked: &GroupSet,
        subtrees: &[(Range<u64>, [u8; 32])],
        mut old_hash: impl FnMut(HashPlace) -> Option<[u8; 32]>,
    ) -> Vec<Range<u64>> {
        self.open.subtract(asked);
        let mut equal = Vec::new();
        for (range, hash) in subtrees {
            let old = self.old.hash_place(range).filter(|_| range.end <= self.old.groups()).and_then(&mut old_hash);
            if old.as_ref() == Some(hash) {
                self.same.insert(range.clone());
                equal.push(range.clone());
            } else if range.end - range.start > 1 {
                self.below.insert(range.clone());
            }
        }
        self.found |= !equal.is_empty();
        if self.open.is_empty() && self.height > 0 && self.found {
            self.open = std::mem::take(&mut self.below);
            self.height = self.height.saturating_sub(TREE_STEP);
            // What is different all over at one height is not looked into further.
            self.found = false;
        }
        equal
    }

    /// The groups that are equal, as far as is known.
    #[must_use]
    pub const fn same(&self) -> &GroupSet {
        &self.same
    }

    /// The new content's arithmetic.
    #[must_use]
    pub const fn new_layout(&self) -> Layout {
        self.new
    }

    /// The old content's arithmetic.
    #[must_use]
    pub const fn old_layout(&self) -> Layout {
        self.old
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        content::{Checker, Tree, tree_of},
        limits::GROUP_BYTES,
    };

    /// A subtree with its hash.
    type Hashed = (Range<u64>, [u8; 32]);

    fn bytes(groups: u64, rest: u64) -> Vec<u8> {
        (0..groups * GROUP_BYTES + rest).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
    }

    fn hash_at(tree: &Tree, place: HashPlace) -> [u8; 32] {
        let start = place.parent as usize + if place.right { 32 } else { 0 };
        tree.parents[start..start + 32].try_into().unwrap()
    }

    /// Answers as an honest source does, checked as a fetcher does. Gives the subtrees and how many parents were sent.
    fn ask(tree: &Tree, layout: Layout, groups: &GroupSet, height: u8) -> (Vec<Hashed>, u64) {
        let mut checker = Checker::new(tree.blob());
        let (mut subtrees, mut parents) = (Vec::new(), 0);
        for step in layout.tree_steps(groups, height) {
            match step {
                TreeStep::Parent { offset, is_root, left, right } => {
                    let node = tree.parents[offset as usize..offset as usize + 64].try_into().unwrap();
                    checker.parent(&node, is_root, left, right).unwrap();
                    parents += 1;
                }
                TreeStep::Subtree { groups } => subtrees.push((groups, checker.subtree().unwrap())),
            }
        }
        (subtrees, parents)
    }

    /// Compares two contents; the equal groups and the parents that it took.
    fn compare(old: &[u8], new: &[u8]) -> (GroupSet, u64) {
        let (old_tree, new_tree) = (tree_of(old, 0, true), tree_of(new, 0, true));
        let layout = |data: &[u8]| Layout::new(data.len() as u64).unwrap();
        let mut comparison = Comparison::new(layout(old), layout(new));
        let mut parents = 0;
        while let Some((groups, height)) = comparison.question() {
            let (subtrees, sent) = ask(&new_tree, layout(new), &groups, height);
            parents += sent;
            comparison.answer(&groups, &subtrees, |place| Some(hash_at(&old_tree, place)));
        }
        (comparison.same().clone(), parents)
    }

    fn equal_groups(old: &[u8], new: &[u8]) -> GroupSet {
        let mut equal = GroupSet::new();
        let groups = |data: &[u8]| -> Vec<Vec<u8>> { data.chunks(GROUP_BYTES as usize).map(<[u8]>::to_vec).collect() };
        for (group, (old, new)) in (0..).zip(groups(old).iter().zip(&groups(new))) {
            if old == new {
                equal.insert(group..group + 1);
            }
        }
        equal
    }

    #[test]
    fn one_changed_byte_is_found_at_the_cost_of_a_path() {
        let old = bytes(1000, 5);
        let mut new = old.clone();
        new[400 * GROUP_BYTES as usize + 7] ^= 1;
        let (same, parents) = compare(&old, &new);
        assert_eq!(same, equal_groups(&old, &new));
        assert!(parents < 1000 / 8, "{parents} parents were asked for");
    }

    #[test]
    fn an_appended_part_leaves_what_was_there_before() {
        let old = bytes(300, 9000);
        let new = bytes(777, 1);
        let (same, _) = compare(&old, &new);
        assert_eq!(same, GroupSet::from_range(0..300), "all but the group that was cut off");
    }

    #[test]
    fn what_is_different_all_over_is_not_looked_into() {
        let old = bytes(4000, 0);
        let new: Vec<u8> = old.iter().map(|byte| byte ^ 0x55).collect();
        let (same, parents) = compare(&old, &new);
        assert!(same.is_empty() && parents <= 4000 / (1 << TREE_STEP) * 2, "{parents} parents were asked for");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn what_is_called_equal_is_equal_and_with_few_changes_nothing_is_missed(
            (old_groups, new_groups) in (2u64..200, 2u64..200), rest in 0u64..GROUP_BYTES,
            changes in proptest::collection::vec(any::<proptest::sample::Index>(), 0..4),
        ) {
            let old = bytes(old_groups, rest);
            let mut new = bytes(new_groups, rest / 2);
            for change in &changes {
                let at = change.index(new.len());
                new[at] ^= 0xff;
            }
            let (same, _) = compare(&old, &new);
            let truth = equal_groups(&old, &new);
            for range in same.ranges() {
                prop_assert!(truth.contains_all(range), "{range:?} of {truth:?}");
            }
            if changes.is_empty() {
                prop_assert_eq!(same, truth);
            }
        }

        #[test]
        fn the_top_of_a_tree_down_to_nothing_is_its_encoding_without_the_groups(
            (total, start, length) in (2u64..300).prop_flat_map(|total| (Just(total), 0..total, 1..=total)),
        ) {
            let layout = Layout::new(total * GROUP_BYTES - 3).unwrap();
            let groups = GroupSet::from_range(start..(start + length).min(total));
            let ours: Vec<u64> = layout.tree_steps(&groups, 0).filter_map(|step| match step {
                TreeStep::Parent { offset, .. } => Some(offset),
                TreeStep::Subtree { .. } => None,
            }).collect();
            let chunks = layout.chunks(&groups);
            let reference: Vec<u64> = layout.steps(&chunks).filter_map(|step| match step {
                super::super::Step::Parent { offset, .. } => Some(offset),
                super::super::Step::Group { .. } => None,
            }).collect();
            prop_assert_eq!(ours, reference);
        }

        #[test]
        fn the_place_of_a_hash_is_where_the_tree_holds_it(total in 2u64..200, height in 0u8..6) {
            let data = bytes(total, 0);
            let (layout, tree) = (Layout::new(data.len() as u64).unwrap(), tree_of(&data, 0, true));
            let (subtrees, _) = ask(&tree, layout, &layout.all(), height);
            for (groups, hash) in subtrees {
                if let Some(place) = layout.hash_place(&groups) {
                    prop_assert_eq!(hash_at(&tree, place), hash);
                } else {
                    prop_assert_eq!(groups, 0..total);
                }
            }
        }
    }
}
