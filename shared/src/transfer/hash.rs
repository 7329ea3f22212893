//! Hashing a local file on all cores: its BLAKE3 hash and the tree of its groups, in bounded memory.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use rayon::prelude::*;

use crate::{
    content::{Layout, Tree, tree_above, tree_of},
    id::BlobHash,
    limits::GROUP_BYTES,
};

/// Groups of one piece of work: 2 MiB, a full subtree.
const SEGMENT_GROUPS: u64 = 128;

/// Why a file has no hash.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// It could not be read, or ended early because it shrank.
    #[error("the file could not be read: {0}")]
    Read(#[source] io::Error),
    /// The tree could not be written.
    #[error("the hash tree could not be written: {0}")]
    Write(#[source] io::Error),
    /// It is too large.
    #[error(transparent)]
    Size(#[from] crate::content::LayoutError),
    /// Hashing was stopped.
    #[error("hashing was stopped")]
    Stopped,
}

/// Hashes the first `size` bytes of a file and writes its tree to `tree`, where one is given. `done` counts bytes;
/// `stop` ends the work early. Blocks the calling thread and uses the global thread pool.
///
/// # Errors
/// See [`HashError`].
pub fn hash_file(
    file: &File,
    size: u64,
    tree: Option<&File>,
    done: &AtomicU64,
    stop: &AtomicBool,
) -> Result<BlobHash, HashError> {
    hash_with(&|data: &mut [u8], at| file.read_exact_at(data, at), size, tree, done, stop)
}

/// The same for a file that should have `size` bytes: those that it lacks count as zeros, and so does what cannot be
/// read. So a damaged file has a tree in the layout of the right one.
///
/// # Errors
/// When the tree cannot be written, or `stop` says so.
pub fn hash_padded(
    file: &File,
    size: u64,
    tree: &File,
    done: &AtomicU64,
    stop: &AtomicBool,
) -> Result<BlobHash, HashError> {
    let read = |data: &mut [u8], at: u64| {
        let mut filled = 0;
        while filled < data.len() {
            match file.read_at(&mut data[filled..], at + filled as u64) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
                Ok(count) => filled += count,
            }
        }
        data[filled..].fill(0);
        Ok(())
    };
    hash_with(&read, size, Some(tree), done, stop)
}

fn hash_with(
    read: &(impl Fn(&mut [u8], u64) -> io::Result<()> + Sync),
    size: u64,
    tree: Option<&File>,
    done: &AtomicU64,
    stop: &AtomicBool,
) -> Result<BlobHash, HashError> {
    let layout = Layout::new(size)?;
    if layout.groups() <= SEGMENT_GROUPS {
        let part = segment(read, layout, 0..layout.groups(), true, done, stop)?;
        if let Some(out) = tree {
            out.write_all_at(&part.parents, 0).map_err(HashError::Write)?;
        }
        return Ok(part.blob());
    }
    let segments = layout.groups().div_ceil(SEGMENT_GROUPS);
    let roots: Vec<[u8; 32]> = (0..segments)
        .into_par_iter()
        .map(|index| {
            let start = index * SEGMENT_GROUPS;
            let groups = start..(start + SEGMENT_GROUPS).min(layout.groups());
            let part = segment(read, layout, groups.clone(), false, done, stop)?;
            if let (Some(out), false) = (tree, part.parents.is_empty()) {
                out.write_all_at(&part.parents, layout.subtree_offset(&groups)).map_err(HashError::Write)?;
            }
            Ok(part.root)
        })
        .collect::<Result<_, HashError>>()?;
    if let Some(out) = tree {
        write_above(out, layout, &roots)?;
    }
    Ok(tree_above(&roots, true).blob())
}

fn segment(
    read: &impl Fn(&mut [u8], u64) -> io::Result<()>,
    layout: Layout,
    groups: Range<u64>,
    is_root: bool,
    done: &AtomicU64,
    stop: &AtomicBool,
) -> Result<Tree, HashError> {
    if stop.load(Ordering::Relaxed) {
        return Err(HashError::Stopped);
    }
    let bytes = layout.bytes_of(&groups);
    let mut data = vec![0; (bytes.end - bytes.start) as usize];
    read(&mut data, bytes.start).map_err(HashError::Read)?;
    let tree = tree_of(&data, groups.start, is_root);
    done.fetch_add(data.len() as u64, Ordering::Relaxed);
    Ok(tree)
}

/// Writes the parents above the segments, each at its place between those of the segments.
fn write_above(out: &File, layout: Layout, roots: &[[u8; 32]]) -> Result<(), HashError> {
    let mut pending = vec![(0, roots.len())];
    while let Some((start, end)) = pending.pop() {
        let count = end - start;
        if count == 1 {
            continue;
        }
        let middle = start + count.next_power_of_two() / 2;
        let mut node = [0; 64];
        node[..32].copy_from_slice(&tree_above(&roots[start..middle], false).root);
        node[32..].copy_from_slice(&tree_above(&roots[middle..end], false).root);
        let groups = start as u64 * SEGMENT_GROUPS..(end as u64 * SEGMENT_GROUPS).min(layout.groups());
        out.write_all_at(&node, layout.subtree_offset(&groups)).map_err(HashError::Write)?;
        pending.extend([(start, middle), (middle, end)]);
    }
    Ok(())
}

/// Bytes that hashing works on at a time on one thread.
pub const SEGMENT_BYTES: u64 = SEGMENT_GROUPS * GROUP_BYTES;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn check(length: usize) {
        let data: Vec<u8> = (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&data).unwrap();
        let out = tempfile::tempfile().unwrap();
        let done = AtomicU64::new(0);
        let hash = hash_file(&file, length as u64, Some(&out), &done, &AtomicBool::new(false)).unwrap();
        let expected = tree_of(&data, 0, true);
        assert_eq!(hash, expected.blob());
        let mut parents = vec![0; expected.parents.len()];
        out.read_exact_at(&mut parents, 0).unwrap();
        assert!(parents == expected.parents, "{length}");
        assert_eq!(out.metadata().unwrap().len(), expected.parents.len() as u64);
        assert_eq!(done.into_inner(), length as u64);
    }

    #[test]
    fn a_file_has_the_hash_and_the_tree_of_its_bytes() {
        let segment = SEGMENT_BYTES as usize;
        for length in [0, 1, 20_000, segment, segment + 1, 2 * segment, 3 * segment + 17, 7 * segment - 1] {
            check(length);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn any_length_hashes_right(length in 0usize..20_000_000) {
            check(length);
        }
    }

    #[test]
    fn what_a_file_lacks_counts_as_zeros_where_it_is_compared() {
        let length = SEGMENT_BYTES as usize + 20_000;
        let mut data: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&data[..30_000]).unwrap();
        data[30_000..].fill(0);
        let tree = tempfile::tempfile().unwrap();
        let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        assert_eq!(hash_padded(&file, length as u64, &tree, &done, &stop).unwrap(), tree_of(&data, 0, true).blob());
        file.write_all(&[1; 100]).unwrap();
        let first = hash_padded(&file, 30_000, &tree, &done, &stop).unwrap();
        assert_eq!(first, tree_of(&data[..30_000], 0, true).blob(), "what is too much is not looked at");
    }

    #[test]
    fn a_file_that_shrank_is_an_error() {
        let file = tempfile::tempfile().unwrap();
        let result = hash_file(&file, 10, None, &AtomicU64::new(0), &AtomicBool::new(false));
        assert!(matches!(result, Err(HashError::Read(_))));
    }
}
