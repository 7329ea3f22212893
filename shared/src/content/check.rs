//! Verification of a stream of tree nodes and groups against a blob's hash: the pure heart of every fetch.

use std::ops::Range;

use bao_tree::iter::BaoChunk;

use super::{GroupSet, Layout, ParentNode, layout};
use crate::{id::BlobHash, limits::GROUP_BYTES};

/// What the encoding of some groups holds next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
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
    /// The bytes of one group.
    Group {
        /// Which.
        group: u64,
        /// How many bytes.
        bytes: usize,
        /// It is the whole blob.
        is_root: bool,
    },
}

impl Layout {
    /// The encoding of `groups`, step by step (the order of `bao-tree`).
    pub fn steps<'a>(self, chunks: &'a bao_tree::ChunkRanges) -> impl Iterator<Item = Step> + use<'a> {
        let tree = self.bao();
        tree.ranges_pre_order_chunks_iter_ref(chunks, 0).map(move |chunk| match chunk {
            BaoChunk::Parent { node, is_root, left, right, .. } => {
                let offset = tree.pre_order_offset(node).unwrap_or(0) * 64;
                Step::Parent { offset, is_root, left, right }
            }
            BaoChunk::Leaf { start_chunk, size, is_root, .. } => {
                Step::Group { group: start_chunk.to_bytes() / GROUP_BYTES, bytes: size, is_root }
            }
        })
    }
}

/// The bytes are not those of the blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// A node of the tree is wrong.
    #[error("a node of the hash tree does not match")]
    Parent,
    /// A group is wrong.
    #[error("group {group} does not match its hash")]
    Group {
        /// Which.
        group: u64,
    },
}

/// Checks the nodes and groups of one encoding in the order in which they come.
#[derive(Debug)]
pub struct Checker {
    expected: Vec<[u8; 32]>,
}

impl Checker {
    /// For an encoding of groups of this blob.
    #[must_use]
    pub fn new(blob: BlobHash) -> Self {
        Self { expected: vec![blob.0] }
    }

    /// Checks a parent and expects its children.
    ///
    /// # Errors
    /// When it does not have the hash that its own parent named.
    pub fn parent(&mut self, node: &ParentNode, is_root: bool, left: bool, right: bool) -> Result<(), CheckError> {
        let expected = self.expected.pop().ok_or(CheckError::Parent)?;
        if layout::hash_parent(node, is_root) != expected {
            return Err(CheckError::Parent);
        }
        let (mut left_hash, mut right_hash) = ([0; 32], [0; 32]);
        left_hash.copy_from_slice(&node[..32]);
        right_hash.copy_from_slice(&node[32..]);
        if right {
            self.expected.push(right_hash);
        }
        if left {
            self.expected.push(left_hash);
        }
        Ok(())
    }

    /// The hash that was named for the next child, which does not follow.
    ///
    /// # Errors
    /// When none was.
    pub fn subtree(&mut self) -> Result<[u8; 32], CheckError> {
        self.expected.pop().ok_or(CheckError::Parent)
    }

    /// Checks a group.
    ///
    /// # Errors
    /// When it does not have the hash that its parent named.
    pub fn group(&mut self, group: u64, data: &[u8], is_root: bool) -> Result<(), CheckError> {
        let expected = self.expected.pop().ok_or(CheckError::Group { group })?;
        if layout::hash_group(group, data, is_root) != expected {
            return Err(CheckError::Group { group });
        }
        Ok(())
    }
}

/// Which of `groups` are right in a file that may hold anything. Reads are given as functions so that this stays
/// pure; what cannot be read does not count as right.
pub fn verify_present(
    layout: Layout,
    blob: BlobHash,
    groups: &GroupSet,
    mut read_parent: impl FnMut(u64, &mut ParentNode) -> bool,
    mut read_group: impl FnMut(Range<u64>, &mut [u8]) -> bool,
) -> GroupSet {
    let chunks = layout.chunks(groups);
    let mut good = GroupSet::new();
    let mut expected = vec![Some(blob.0)];
    let mut buffer = vec![0; GROUP_BYTES as usize];
    for step in layout.steps(&chunks) {
        let known = expected.pop().flatten();
        match step {
            Step::Parent { offset, is_root, left, right } => {
                let mut node = [0; 64];
                // Below a wrong parent nothing can be known, but the walk goes on beside it.
                let right_one = known.is_some_and(|known| {
                    read_parent(offset, &mut node) && layout::hash_parent(&node, is_root) == known
                });
                let child = |half: &[u8]| right_one.then(|| half.try_into().unwrap_or([0; 32]));
                if right {
                    expected.push(child(&node[32..]));
                }
                if left {
                    expected.push(child(&node[..32]));
                }
            }
            Step::Group { group, bytes, is_root } => {
                let Some(known) = known else { continue };
                let range = layout.bytes_of(&(group..group + 1));
                let data = &mut buffer[..bytes];
                if read_group(range, data) && layout::hash_group(group, data, is_root) == known {
                    good.insert(group..group + 1);
                }
            }
        }
    }
    good
}

#[cfg(test)]
mod tests {
    use bao_tree::{
        ChunkRanges,
        io::{outboard::PreOrderMemOutboard, sync::encode_ranges_validated},
    };
    use proptest::prelude::*;

    use super::*;
    use crate::content::{BLOCK_SIZE, tree_of};

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
    }

    /// Encodes with our steps, out of data and tree.
    fn encode(data: &[u8], groups: &GroupSet) -> Vec<u8> {
        let layout = Layout::new(data.len() as u64).unwrap();
        let tree = tree_of(data, 0, true);
        let chunks = layout.chunks(groups);
        let mut encoded = Vec::new();
        for step in layout.steps(&chunks) {
            match step {
                Step::Parent { offset, .. } => encoded.extend(&tree.parents[offset as usize..offset as usize + 64]),
                Step::Group { group, bytes, .. } => {
                    let start = layout.bytes_of(&(group..group + 1)).start as usize;
                    encoded.extend(&data[start..start + bytes]);
                }
            }
        }
        encoded
    }

    fn check(blob: BlobHash, size: u64, groups: &GroupSet, mut encoded: &[u8]) -> Result<Vec<u64>, CheckError> {
        let layout = Layout::new(size).unwrap();
        let chunks = layout.chunks(groups);
        let mut checker = Checker::new(blob);
        let mut seen = Vec::new();
        for step in layout.steps(&chunks) {
            match step {
                Step::Parent { is_root, left, right, .. } => {
                    let (node, rest) = encoded.split_at(64);
                    checker.parent(node.try_into().unwrap(), is_root, left, right)?;
                    encoded = rest;
                }
                Step::Group { group, bytes, is_root } => {
                    let (data, rest) = encoded.split_at(bytes);
                    checker.group(group, data, is_root)?;
                    seen.push(group);
                    encoded = rest;
                }
            }
        }
        assert!(encoded.is_empty());
        Ok(seen)
    }

    fn any_groups(total: u64) -> impl Strategy<Value = GroupSet> {
        proptest::collection::vec((0..total, 1..=total), 1..4).prop_map(move |parts| {
            let mut set = GroupSet::new();
            for (start, length) in parts {
                set.insert(start..(start + length).min(total));
            }
            set
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn our_encoding_is_that_of_the_reference_and_checks((length, groups) in (0usize..700_000).prop_flat_map(|length| {
            (Just(length), any_groups(Layout::new(length as u64).unwrap().groups()))
        })) {
            let data = bytes(length);
            let layout = Layout::new(length as u64).unwrap();
            let outboard = PreOrderMemOutboard::create(&data, BLOCK_SIZE);
            let mut reference = Vec::new();
            let chunks: ChunkRanges = layout.chunks(&groups);
            encode_ranges_validated(&data[..], &outboard, &chunks, &mut reference).unwrap();
            let encoded = encode(&data, &groups);
            prop_assert_eq!(&encoded, &reference);
            let seen = check(blake3::hash(&data).into(), length as u64, &groups, &encoded).unwrap();
            prop_assert_eq!(seen, groups.ranges().cloned().flatten().collect::<Vec<_>>());
        }

        #[test]
        fn one_wrong_byte_anywhere_is_noticed(length in 1usize..200_000, at in any::<proptest::sample::Index>()) {
            let data = bytes(length);
            let all = Layout::new(length as u64).unwrap().all();
            let mut encoded = encode(&data, &all);
            let position = at.index(encoded.len());
            encoded[position] ^= 1;
            prop_assert!(check(blake3::hash(&data).into(), length as u64, &all, &encoded).is_err());
        }

        #[test]
        fn local_verification_finds_exactly_the_groups_that_are_whole(
            length in 20_000usize..400_000, wrong in proptest::collection::btree_set(0u64..24, 0..6),
        ) {
            let mut data = bytes(length);
            let layout = Layout::new(length as u64).unwrap();
            let tree = tree_of(&data, 0, true);
            for group in &wrong {
                if let Some(byte) = data.get_mut((group * GROUP_BYTES) as usize) {
                    *byte ^= 1;
                }
            }
            let good = verify_present(layout, tree.blob(), &layout.all(),
                |offset, node| { node.copy_from_slice(&tree.parents[offset as usize..offset as usize + 64]); true },
                |range, buffer| { buffer.copy_from_slice(&data[range.start as usize..range.end as usize]); true });
            for group in 0..layout.groups() {
                prop_assert_eq!(good.contains(group), !wrong.contains(&group));
            }
        }
    }
}
