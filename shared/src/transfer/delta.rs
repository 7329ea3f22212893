//! What a new version has in common with an old one that is here: asked of a source by trees, taken from the old file.
//! Blocking work, but for the asking.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, sync::Arc};

use tokio::sync::oneshot;

use super::{lane::Sink, local, partial::Partial};
use crate::{
    content::{Comparison, GroupSet, Layout, ParentNode},
    limits::READ_BLOCK_BYTES,
};

/// Subtrees with their hashes, as a source told them and its tree proves them.
pub type Subtrees = Vec<(Range<u64>, [u8; 32])>;

/// Takes one answer about the tree of a new version.
#[derive(Debug)]
pub struct TreeSink {
    partial: Arc<Partial>,
    told: Option<oneshot::Sender<Subtrees>>,
}

impl TreeSink {
    /// Its nodes go to the partial file's tree, the hashes to the receiver.
    #[must_use]
    pub fn new(partial: Arc<Partial>) -> (Self, oneshot::Receiver<Subtrees>) {
        let (told, hears) = oneshot::channel();
        (Self { partial, told: Some(told) }, hears)
    }
}

impl Sink for TreeSink {
    fn write(&mut self, _groups: Range<u64>, _data: &[u8], _parents: &[(u64, ParentNode)]) -> io::Result<()> {
        debug_assert!(false, "only a tree was asked for");
        Ok(())
    }

    fn take_tree(&mut self, parents: &[(u64, ParentNode)], subtrees: Subtrees) -> io::Result<()> {
        self.partial.write_tree(parents)?;
        if let Some(told) = self.told.take() {
            // Nobody waits for it any more when the transfer has ended.
            let _nobody = told.send(subtrees);
        }
        Ok(())
    }
}

/// An old version here beside the new one that arrives.
#[derive(Debug)]
pub struct Delta {
    comparison: Comparison,
    old_data: File,
    old_tree: File,
    partial: Arc<Partial>,
}

impl Delta {
    /// Compares what arrives with an old file and its tree.
    #[must_use]
    pub fn new(old: Layout, old_data: File, old_tree: File, partial: Arc<Partial>) -> Self {
        Self { comparison: Comparison::new(old, partial.layout()), old_data, old_tree, partial }
    }

    /// Which part of the new tree to ask for, and down to which height; `None` when enough is known.
    #[must_use]
    pub fn question(&self) -> Option<(GroupSet, u8)> {
        self.comparison.question()
    }

    /// Takes the answer. What lies below an equal hash is equal, the tree too.
    ///
    /// # Errors
    /// When the partial file's tree cannot be written.
    pub fn answer(&mut self, asked: &GroupSet, subtrees: &Subtrees) -> io::Result<()> {
        let old_tree = &self.old_tree;
        let equal = self.comparison.answer(asked, subtrees, |place| {
            let (mut hash, offset) = ([0; 32], place.parent + if place.right { 32 } else { 0 });
            old_tree.read_exact_at(&mut hash, offset).is_ok().then_some(hash)
        });
        for groups in equal {
            self.copy_tree(&groups)?;
        }
        Ok(())
    }

    /// Takes the equal groups from the old file, checked against the new tree. After each block `go_on` is told how many
    /// bytes it brought.
    ///
    /// # Errors
    /// When the partial file cannot be written.
    pub fn take(&self, go_on: impl FnMut(u64) -> bool) -> io::Result<()> {
        local::fill(&self.partial, self.comparison.same(), &self.old_data, self.partial.tree(), go_on)
    }

    /// The parents of a subtree lie together in each tree.
    fn copy_tree(&self, groups: &Range<u64>) -> io::Result<()> {
        let mut left = (groups.end - groups.start - 1) * 64;
        if left == 0 {
            return Ok(());
        }
        let mut from = self.comparison.old_layout().subtree_offset(groups);
        let mut to = self.comparison.new_layout().subtree_offset(groups);
        let mut block = vec![0; left.min(READ_BLOCK_BYTES) as usize];
        while left > 0 {
            let part = &mut block[..left.min(READ_BLOCK_BYTES) as usize];
            if self.old_tree.read_exact_at(part, from).is_err() {
                // What is not there proves nothing below it; then that is fetched.
                return Ok(());
            }
            self.partial.tree().write_all_at(part, to)?;
            let length = part.len() as u64;
            (from, to, left) = (from + length, to + length, left - length);
        }
        Ok(())
    }
}
