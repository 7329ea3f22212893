//! What a damaged file has in common with what it should be, as far as hash trees tell. Pure.
//!
//! A node of the right tree names the hashes of two halves. A half that has the same hash in the damaged file is right
//! as a whole and needs no further look. Where the right tree is not known, one group is fetched below each half that
//! differs; the nodes that come with it tell about the halves below. So few groups find all that is wrong.

use std::ops::Range;

use super::{GroupSet, Layout, ParentNode, layout};
use crate::id::BlobHash;

/// What a file has in common with a blob.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Likeness {
    /// Parts that are right, in order: each a whole subtree.
    pub same: Vec<Subtree>,
    /// Groups that are wrong.
    pub wrong: GroupSet,
    /// One group below each part that differs and of which no more is known.
    pub unknown: GroupSet,
}

/// A part of a blob below one node of its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subtree {
    /// The groups.
    pub groups: Range<u64>,
    /// The bytes of its parents in the tree file; none for a single group.
    pub parents: Range<u64>,
}

/// Compares a file, whose own tree in the layout of the blob has this `root`, with the blob. The reads give nodes of the
/// right tree and of the file's own tree by their offset; what the first cannot give, or is wrong, is not known.
pub fn compare(
    layout: Layout,
    blob: BlobHash,
    root: BlobHash,
    mut right: impl FnMut(u64, &mut ParentNode) -> bool,
    mut own: impl FnMut(u64, &mut ParentNode) -> bool,
) -> Likeness {
    let mut likeness = Likeness::default();
    // Groups, place of their node in the tree file, right hash, own hash.
    let mut pending = vec![(0..layout.groups(), 0, blob.0, Some(root.0))];
    while let Some((groups, index, expected, found)) = pending.pop() {
        let count = groups.end - groups.start;
        if found == Some(expected) {
            likeness.same.push(Subtree { groups, parents: index * 64..(index + count - 1) * 64 });
            continue;
        }
        if count == 1 {
            likeness.wrong.insert(groups);
            continue;
        }
        let (mut node, mut own_node) = ([0; 64], [0; 64]);
        let is_root = count == layout.groups();
        if !right(index * 64, &mut node) || layout::hash_parent(&node, is_root) != expected {
            likeness.unknown.insert(groups.start..groups.start + 1);
            continue;
        }
        let is_read = found.is_some() && own(index * 64, &mut own_node);
        let left = layout::left_groups(count);
        let middle = groups.start + left;
        let halves = |node: &ParentNode| {
            let (mut left, mut right) = ([0; 32], [0; 32]);
            left.copy_from_slice(&node[..32]);
            right.copy_from_slice(&node[32..]);
            (left, right)
        };
        let (right_of, own_of) = (halves(&node), halves(&own_node));
        pending.push((middle..groups.end, index + left, right_of.1, is_read.then_some(own_of.1)));
        pending.push((groups.start..middle, index + 1, right_of.0, is_read.then_some(own_of.0)));
    }
    likeness
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::{content::tree_of, limits::GROUP_BYTES};

    fn node_of(parents: &[u8], offset: u64, node: &mut ParentNode) -> bool {
        match parents.get(offset as usize..offset as usize + 64) {
            Some(bytes) => {
                node.copy_from_slice(bytes);
                true
            }
            None => false,
        }
    }

    /// A blob of `count` groups, and the same with some groups wrong.
    fn pair(count: u64, wrong: &BTreeSet<u64>) -> (Vec<u8>, Vec<u8>) {
        let length = count * GROUP_BYTES - 5;
        let data: Vec<u8> = (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
        let mut damaged = data.clone();
        for group in wrong {
            damaged[(group * GROUP_BYTES) as usize] ^= 1;
        }
        (data, damaged)
    }

    fn groups_of(likeness: &Likeness) -> BTreeSet<u64> {
        likeness.same.iter().flat_map(|part| part.groups.clone()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn with_the_right_tree_exactly_the_wrong_groups_are_wrong(
            (count, wrong) in (1u64..80).prop_flat_map(|count| (Just(count), proptest::collection::btree_set(0..count, 0..6)))
        ) {
            let (data, damaged) = pair(count, &wrong);
            let layout = Layout::new(data.len() as u64).unwrap();
            let (right, own) = (tree_of(&data, 0, true), tree_of(&damaged, 0, true));
            let likeness = compare(layout, right.blob(), own.blob(),
                |offset, node| node_of(&right.parents, offset, node), |offset, node| node_of(&own.parents, offset, node));
            prop_assert!(likeness.unknown.is_empty());
            prop_assert_eq!(groups_of(&likeness), (0..count).filter(|group| !wrong.contains(group)).collect());
            prop_assert_eq!(likeness.wrong.ranges().cloned().flatten().collect::<BTreeSet<_>>(), wrong);
            for part in &likeness.same {
                let parents = part.parents.start as usize..part.parents.end as usize;
                prop_assert_eq!(&right.parents[parents.clone()], &own.parents[parents]);
            }
        }

        #[test]
        fn without_the_right_tree_a_group_and_its_nodes_for_each_wrong_one_and_level_find_them_all(
            (count, wrong) in (2u64..200).prop_flat_map(|count| (Just(count), proptest::collection::btree_set(0..count, 1..5)))
        ) {
            let (data, damaged) = pair(count, &wrong);
            let layout = Layout::new(data.len() as u64).unwrap();
            let (right, own) = (tree_of(&data, 0, true), tree_of(&damaged, 0, true));
            let mut known = vec![0; right.parents.len()];
            let mut asked = GroupSet::new();
            let found = loop {
                let likeness = compare(layout, right.blob(), own.blob(),
                    |offset, node| node_of(&known, offset, node), |offset, node| node_of(&own.parents, offset, node));
                if likeness.unknown.is_empty() {
                    break likeness;
                }
                // What is asked is always below something that differs, and never the same again.
                prop_assert!(likeness.unknown.ranges().cloned().flatten().all(|group| !asked.contains(group)));
                asked.extend(&likeness.unknown);
                for step in layout.steps(&layout.chunks(&likeness.unknown)) {
                    if let super::super::Step::Parent { offset, .. } = step {
                        let at = offset as usize..offset as usize + 64;
                        known[at.clone()].copy_from_slice(&right.parents[at]);
                    }
                }
            };
            prop_assert_eq!(found.wrong.ranges().cloned().flatten().collect::<BTreeSet<_>>(), wrong.clone());
            let levels = u64::from(count.next_power_of_two().ilog2());
            prop_assert!(asked.count() <= wrong.len() as u64 * (levels + 1), "{} of {count}", asked.count());
        }
    }

    #[test]
    fn a_file_of_another_content_has_nothing_in_common() {
        let layout = Layout::new(3 * GROUP_BYTES).unwrap();
        let (right, own) =
            (tree_of(&[1; 3 * GROUP_BYTES as usize], 0, true), tree_of(&[2; 3 * GROUP_BYTES as usize], 0, true));
        let likeness = compare(
            layout,
            right.blob(),
            own.blob(),
            |offset, node| node_of(&right.parents, offset, node),
            |offset, node| node_of(&own.parents, offset, node),
        );
        assert_eq!((likeness.same, likeness.wrong), (vec![], GroupSet::from_range(0..3)));
    }
}
