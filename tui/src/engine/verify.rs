//! Whether a local file has the content that it should have, and which of its bytes do not.

use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use shared::{
    content::{Layout, verify_present},
    id::BlobHash,
    limits::GROUP_BYTES,
};
use tokio_util::sync::CancellationToken;

use super::catalog::tree_below;

/// What a file should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    pub hash: BlobHash,
    /// Bytes, where that is known.
    pub size: Option<u64>,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// Bytes.
    pub size: u64,
    pub hash: BlobHash,
    /// Ranges of bytes that are wrong, missing or too much, whole groups each; `None` when not known.
    pub bad: Option<Vec<[u64; 2]>>,
}

/// Reads a file and compares it with what it should be; where that differs, the hash tree below `trees` tells which
/// bytes are wrong. Stops soon when dropped.
///
/// # Errors
/// When the file is none, or cannot be read to its end.
pub async fn examine(path: PathBuf, expected: Option<Expected>, trees: PathBuf) -> io::Result<Examined> {
    let over = CancellationToken::new();
    let _guard = over.clone().drop_guard();
    let work = move || {
        let (size, hash) = hash_file(&path, &over)?;
        let bad = match expected {
            Some(expected) if expected.hash == hash => Some(Vec::new()),
            Some(expected) => damage(&path, size, expected, &trees)?,
            None => None,
        };
        Ok(Examined { size, hash, bad })
    };
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The bytes of a file that are not as they should be, if the right hash tree is here.
fn damage(path: &Path, size: u64, expected: Expected, trees: &Path) -> io::Result<Option<Vec<[u64; 2]>>> {
    let tree = match File::open(tree_below(trees, &expected.hash)) {
        Ok(tree) => Some(tree),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    find_damage(expected.hash, expected.size, &File::open(path)?, size, tree.as_ref())
}

/// Compares a file group by group. A content of one group needs no tree.
fn find_damage(
    hash: BlobHash,
    expected_size: Option<u64>,
    file: &File,
    size: u64,
    tree: Option<&File>,
) -> io::Result<Option<Vec<[u64; 2]>>> {
    let nodes = match tree {
        Some(tree) => tree.metadata()?.len() / 64,
        None => 0,
    };
    // A bare hash tells no size. Its tree tells the number of groups; how long the last one is only a file of as many
    // groups can show.
    let of_groups = |size: u64| Layout::new(size).ok().filter(|layout| layout.groups() == nodes + 1);
    let layout = match expected_size {
        Some(expected) => of_groups(expected),
        None if tree.is_some() => of_groups(size).or_else(|| of_groups((nodes + 1) * GROUP_BYTES)),
        None => None,
    };
    let Some(layout) = layout else { return Ok(None) };
    let good = verify_present(
        layout,
        hash,
        &layout.all(),
        |offset, node| tree.is_some_and(|tree| tree.read_exact_at(node, offset).is_ok()),
        |range, group| file.read_exact_at(group, range.start).is_ok(),
    );
    let bad = good.missing_in(0..layout.groups());
    let mut bad: Vec<Range<u64>> = bad.ranges().map(|groups| layout.bytes_of(groups)).collect();
    if size > layout.size() {
        bad.push(layout.size()..size);
    }
    Ok(Some(bad.into_iter().map(|range| [range.start, range.end]).collect()))
}

/// Size and hash of a regular file, unless it is over before.
fn hash_file(path: &Path, over: &CancellationToken) -> io::Result<(u64, BlobHash)> {
    let mut file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut hasher = blake3::Hasher::new();
    let mut block = vec![0; BLOCK_BYTES];
    let mut size = 0;
    while !over.is_cancelled() {
        let filled = fill(&mut file, &mut block)?;
        hasher.update_rayon(&block[..filled]);
        size += filled as u64;
        if filled < block.len() {
            return Ok((size, hasher.finalize().into()));
        }
    }
    Err(io::ErrorKind::Interrupted.into())
}

/// Reads until the block is full or the file ends.
fn fill(file: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Bytes hashed at a time: enough work for every core, little enough to stay in the cache.
const BLOCK_BYTES: usize = 2 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_longer_than_a_block_has_the_hash_of_its_bytes() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("f");
        for length in [0, 1, BLOCK_BYTES, BLOCK_BYTES + 12_345] {
            let bytes: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(
                hash_file(&path, &CancellationToken::new()).unwrap(),
                (length as u64, blake3::hash(&bytes).into()),
                "{length}"
            );
        }
    }

    #[test]
    fn damage_is_named_by_the_bytes_of_its_groups() {
        let right: Vec<u8> = (0..10 * GROUP_BYTES + 100).map(|index| (index % 251) as u8).collect();
        let tree = shared::content::tree_of(&right, 0, true);
        let file_of = |bytes: &[u8]| {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(bytes, 0).unwrap();
            file
        };
        let nodes = file_of(&tree.parents);
        let damage_of = |bytes: &[u8], size| {
            let file = file_of(bytes);
            find_damage(tree.blob(), size, &file, bytes.len() as u64, Some(&nodes)).unwrap().unwrap()
        };
        let (group, end) = (GROUP_BYTES, right.len() as u64);
        let mut wrong = right.clone();
        wrong[3 * group as usize + 5] ^= 1;
        wrong[4 * group as usize] ^= 1;
        wrong[end as usize - 1] ^= 1;
        let expected = [[3 * group, 5 * group], [10 * group, end]];
        assert_eq!(damage_of(&wrong, Some(end)), expected);
        assert_eq!(damage_of(&wrong, None), expected);
        assert_eq!(damage_of(&right[..9 * group as usize + 1], Some(end)), [[9 * group, end]]);
        let longer = [&right[..], b"more"].concat();
        assert_eq!(damage_of(&longer, Some(end)), [[end, end + 4]]);
        // Without the tree nothing can be said of more than one group.
        assert_eq!(find_damage(tree.blob(), Some(end), &file_of(&wrong), end, None).unwrap(), None);
        let small = file_of(b"small");
        let other = blake3::hash(b"other").into();
        assert_eq!(find_damage(other, Some(5), &small, 5, None).unwrap(), Some(vec![[0, 5]]));
    }

    #[test]
    fn a_folder_and_nothing_at_all_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let over = CancellationToken::new();
        assert!(hash_file(place.path(), &over).is_err());
        assert!(hash_file(&place.path().join("absent"), &over).is_err());
    }

    #[test]
    fn nothing_is_said_of_a_file_that_was_not_read_to_its_end() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("f");
        std::fs::write(&path, b"short").unwrap();
        let over = CancellationToken::new();
        over.cancel();
        assert!(hash_file(&path, &over).is_err());
    }
}
