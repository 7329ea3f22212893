//! Where everything of a blob lies: groups in the data, parents in the tree file (pre-order, 64 bytes each).

use std::ops::Range;

use bao_tree::{BaoTree, BlockSize, ChunkNum, ChunkRanges};
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use super::GroupSet;
use crate::{
    id::BlobHash,
    limits::{FILE_BYTES_MAX, GROUP_BYTES},
};

/// Groups of 2⁴ BLAKE3 chunks of 1 KiB.
pub const BLOCK_SIZE: BlockSize = BlockSize::from_chunk_log(4);
const CHUNKS_PER_GROUP: u64 = GROUP_BYTES / 1024;

/// Two child hashes.
pub type ParentNode = [u8; 64];

/// A blob's arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    size: u64,
}

/// A size that no honest peer names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a file of {size} bytes is larger than this program handles")]
pub struct LayoutError {
    size: u64,
}

impl Layout {
    /// The arithmetic of a blob of `size` bytes.
    ///
    /// # Errors
    /// When the size is absurd.
    pub const fn new(size: u64) -> Result<Self, LayoutError> {
        if size > FILE_BYTES_MAX {
            return Err(LayoutError { size });
        }
        Ok(Self { size })
    }

    /// Bytes.
    #[must_use]
    pub const fn size(self) -> u64 {
        self.size
    }

    /// Groups; an empty blob has one empty group, so that it too is verified.
    #[must_use]
    pub const fn groups(self) -> u64 {
        if self.size == 0 { 1 } else { self.size.div_ceil(GROUP_BYTES) }
    }

    /// Bytes of the tree file.
    #[must_use]
    pub const fn tree_bytes(self) -> u64 {
        (self.groups() - 1) * 64
    }

    /// The bytes of a range of groups.
    #[must_use]
    pub fn bytes_of(self, groups: &Range<u64>) -> Range<u64> {
        (groups.start * GROUP_BYTES).min(self.size)..(groups.end * GROUP_BYTES).min(self.size)
    }

    /// Bytes of a set of groups.
    #[must_use]
    pub fn bytes_in(self, groups: &GroupSet) -> u64 {
        groups.ranges().map(|range| self.bytes_of(range)).map(|bytes| bytes.end - bytes.start).sum()
    }

    /// All groups.
    #[must_use]
    pub fn all(self) -> GroupSet {
        GroupSet::from_range(0..self.groups())
    }

    /// The tree in the terms of `bao-tree`.
    #[must_use]
    pub fn bao(self) -> BaoTree {
        BaoTree::new(self.size, BLOCK_SIZE)
    }

    /// A set of groups in the terms of `bao-tree`.
    #[must_use]
    pub fn chunks(self, groups: &GroupSet) -> ChunkRanges {
        let mut chunks = ChunkRanges::empty();
        for range in groups.ranges() {
            // The last group reaches to infinity, so that the tree never splits it.
            let start = ChunkNum(range.start * CHUNKS_PER_GROUP);
            chunks |= if range.end >= self.groups() {
                ChunkRanges::from(start..)
            } else {
                ChunkRanges::from(start..ChunkNum(range.end * CHUNKS_PER_GROUP))
            };
        }
        chunks
    }

    /// Byte offset in the tree file of the parent over `groups`, which must be a subtree of at least two groups.
    /// The parents of a subtree lie behind one another from here.
    #[must_use]
    pub fn subtree_offset(self, groups: &Range<u64>) -> u64 {
        let (mut start, mut count, mut index) = (0, self.groups(), 0);
        while (start, count) != (groups.start, groups.end - groups.start) {
            let left = left_groups(count);
            if groups.start < start + left {
                (count, index) = (left, index + 1);
            } else {
                (start, count, index) = (start + left, count - left, index + left);
            }
        }
        index * 64
    }
}

/// Groups below the left child of a node with `count` groups: the largest power of two below `count`.
const fn left_groups(count: u64) -> u64 {
    count.next_power_of_two() / 2
}

/// Hash of one group. `is_root`: the blob is this one group.
#[must_use]
pub(super) fn hash_group(group: u64, data: &[u8], is_root: bool) -> [u8; 32] {
    if is_root {
        return *blake3::hash(data).as_bytes();
    }
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(group * GROUP_BYTES).update(data);
    hasher.finalize_non_root()
}

/// Hash of a parent.
#[must_use]
pub(super) fn hash_parent(node: &ParentNode, is_root: bool) -> [u8; 32] {
    let (mut left, mut right) = ([0; 32], [0; 32]);
    left.copy_from_slice(&node[..32]);
    right.copy_from_slice(&node[32..]);
    if is_root {
        *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()
    } else {
        merge_subtrees_non_root(&left, &right, Mode::Hash)
    }
}

/// The hash and the parents of a subtree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Hash of the subtree's root node.
    pub root: [u8; 32],
    /// Parents in pre-order, 64 bytes each.
    pub parents: Vec<u8>,
}

/// The tree over `data`, whose first byte is the first byte of group `first`. `is_root`: `data` is a whole blob.
#[must_use]
pub fn tree_of(data: &[u8], first: u64, is_root: bool) -> Tree {
    let mut hashes = data.chunks(GROUP_BYTES as usize).zip(first..);
    let count = (data.len() as u64).div_ceil(GROUP_BYTES).max(1);
    let leaf = |_: u64| match hashes.next() {
        Some((group_data, group)) => hash_group(group, group_data, is_root && count == 1),
        None => hash_group(first, &[], is_root),
    };
    combine(count, is_root, leaf)
}

/// The parents over `count` subtrees whose roots are given in order; each subtree is a full one but the last.
#[must_use]
pub fn tree_above(roots: &[[u8; 32]], is_root: bool) -> Tree {
    combine(roots.len() as u64, is_root, |index| roots[index as usize])
}

fn combine(count: u64, is_root: bool, mut leaf: impl FnMut(u64) -> [u8; 32]) -> Tree {
    let mut parents = vec![0; (count as usize - 1) * 64];
    let root = combine_below(0, count, is_root, &mut parents, &mut leaf);
    Tree { root, parents }
}

fn combine_below(
    start: u64,
    count: u64,
    is_root: bool,
    parents: &mut [u8],
    leaf: &mut impl FnMut(u64) -> [u8; 32],
) -> [u8; 32] {
    if count == 1 {
        return leaf(start);
    }
    let left_count = left_groups(count);
    let (own, below) = parents.split_at_mut(64);
    let (left_parents, right_parents) = below.split_at_mut((left_count as usize - 1) * 64);
    let left = combine_below(start, left_count, false, left_parents, leaf);
    let right = combine_below(start + left_count, count - left_count, false, right_parents, leaf);
    own[..32].copy_from_slice(&left);
    own[32..].copy_from_slice(&right);
    let mut node = [0; 64];
    node.copy_from_slice(own);
    hash_parent(&node, is_root)
}

impl Tree {
    /// The root as the hash of a blob.
    #[must_use]
    pub const fn blob(&self) -> BlobHash {
        BlobHash(self.root)
    }

    /// The parents with their places in the tree file, if this is the tree of a whole blob.
    pub fn nodes(&self) -> impl Iterator<Item = (u64, ParentNode)> {
        self.parents.as_chunks().0.iter().zip(0..).map(|(node, index)| (index * 64, *node))
    }
}

#[cfg(test)]
mod tests {
    use bao_tree::io::outboard::PreOrderMemOutboard;
    use proptest::prelude::*;

    use super::*;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
    }

    #[test]
    fn an_absurd_size_is_refused() {
        assert!(Layout::new(u64::MAX).is_err());
        assert!(Layout::new(50 << 30).is_ok());
    }

    #[test]
    fn the_tree_is_the_one_of_the_reference() {
        for length in [0, 1, 16_383, 16_384, 16_385, 32_768, 32_769, 100_000, 1 << 20, (1 << 20) + 1, 3_333_333] {
            let data = bytes(length);
            let tree = tree_of(&data, 0, true);
            let reference = PreOrderMemOutboard::create(&data, BLOCK_SIZE);
            assert_eq!(tree.root, *reference.root.as_bytes(), "{length}");
            assert_eq!(tree.root, *blake3::hash(&data).as_bytes(), "{length}");
            assert_eq!(tree.parents, reference.data, "{length}");
            assert_eq!(tree.parents.len() as u64, Layout::new(length as u64).unwrap().tree_bytes());
        }
    }

    proptest! {
        #[test]
        fn a_tree_made_of_segments_is_the_tree_of_the_whole(length in 1usize..2_000_000, log in 0u32..5) {
            let data = bytes(length);
            let layout = Layout::new(length as u64).unwrap();
            let segment = 1u64 << log;
            let whole = tree_of(&data, 0, true);
            if layout.groups() > segment {
                let mut parents = vec![0; layout.tree_bytes() as usize];
                let mut roots = Vec::new();
                for start in (0..layout.groups()).step_by(segment as usize) {
                    let groups = start..(start + segment).min(layout.groups());
                    let bytes = layout.bytes_of(&groups);
                    let part = tree_of(&data[bytes.start as usize..bytes.end as usize], start, false);
                    if !part.parents.is_empty() {
                        let at = layout.subtree_offset(&groups) as usize;
                        parents[at..at + part.parents.len()].copy_from_slice(&part.parents);
                    }
                    roots.push(part.root);
                }
                let above = tree_above(&roots, true);
                prop_assert_eq!(above.root, whole.root);
            }
        }
    }
}
