//! Taking content out of another file of this machine instead of fetching it. Blocking work.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt};

use super::partial::Partial;
use crate::{
    content::{GroupSet, ParentNode, verify_present},
    limits::{GROUP_BYTES, READ_BLOCK_BYTES},
};

/// Writes into a partial file what `data` holds of these groups of its blob, as `tree`, a hash tree of that blob, proves group by group.
/// What is wrong or cannot be read is left out. After each block `go_on` is told how many bytes it brought.
///
/// # Errors
/// When the partial file cannot be written.
pub fn fill(
    partial: &Partial,
    groups: &GroupSet,
    data: &File,
    tree: &File,
    mut go_on: impl FnMut(u64) -> bool,
) -> io::Result<()> {
    let mut missing = groups.clone();
    missing.subtract(&partial.have());
    for range in missing.ranges() {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + READ_BLOCK_BYTES / GROUP_BYTES);
            if !go_on(fill_block(partial, data, tree, start..end)?) {
                return Ok(());
            }
            start = end;
        }
    }
    Ok(())
}

/// The same for groups that follow one another; the bytes that it brought.
fn fill_block(partial: &Partial, data: &File, tree: &File, groups: Range<u64>) -> io::Result<u64> {
    let layout = partial.layout();
    let bytes = layout.bytes_of(&groups);
    let mut block = vec![0; (bytes.end - bytes.start) as usize];
    let mut parents: Vec<(u64, ParentNode)> = Vec::new();
    let read_parent = |offset: u64, node: &mut ParentNode| {
        let read = tree.read_exact_at(node, offset).is_ok();
        if read {
            parents.push((offset, *node));
        }
        read
    };
    let read_group = |of: Range<u64>, group: &mut [u8]| {
        let place = (of.start - bytes.start) as usize;
        let read = data.read_exact_at(group, of.start).is_ok();
        if read {
            block[place..place + group.len()].copy_from_slice(group);
        }
        read
    };
    let good = verify_present(layout, partial.blob(), &GroupSet::from_range(groups), read_parent, read_group);
    let mut brought = 0;
    for run in good.ranges() {
        let run_bytes = layout.bytes_of(run);
        let found = &block[(run_bytes.start - bytes.start) as usize..(run_bytes.end - bytes.start) as usize];
        // Nodes that prove nothing here do no harm: what they stand above is fetched with the right ones.
        partial.write(run.clone(), found, &std::mem::take(&mut parents))?;
        brought += run_bytes.end - run_bytes.start;
    }
    Ok(brought)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        content::{Layout, tree_of},
        id::BlobHash,
        transfer::partial::{BootId, PartialFiles},
    };

    const SIZE: usize = 3 * READ_BLOCK_BYTES as usize + 5;

    struct Place {
        folder: tempfile::TempDir,
        data: Vec<u8>,
        blob: BlobHash,
    }

    impl Place {
        fn new() -> Self {
            let data: Vec<u8> = (0..SIZE).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
            let tree = tree_of(&data, 0, true);
            let place = Self { folder: tempfile::tempdir().unwrap(), blob: tree.blob(), data };
            place.file("local").write_all_at(&place.data, 0).unwrap();
            place.file("local tree").write_all_at(&tree.parents, 0).unwrap();
            place
        }

        fn file(&self, name: &str) -> File {
            let path = self.folder.path().join(name);
            File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap()
        }

        fn partial(&self) -> Partial {
            let files = PartialFiles { data: self.file("data"), tree: self.file("tree"), log: self.file("log") };
            Partial::open(Layout::new(SIZE as u64).unwrap(), self.blob, files, BootId([1; 16])).unwrap().0
        }

        fn fill(&self, partial: &Partial) -> u64 {
            let mut brought = 0;
            fill(partial, &partial.layout().all(), &self.file("local"), &self.file("local tree"), |bytes| {
                brought += bytes;
                true
            })
            .unwrap();
            brought
        }
    }

    #[test]
    fn a_file_of_the_same_content_fills_a_partial_file_whole() {
        let place = Place::new();
        let partial = place.partial();
        assert_eq!(place.fill(&partial), SIZE as u64);
        assert!(partial.is_complete());
        assert!(std::fs::read(place.folder.path().join("data")).unwrap() == place.data);
        assert!(std::fs::read(place.folder.path().join("tree")).unwrap() == tree_of(&place.data, 0, true).parents);
        assert_eq!(place.fill(&partial), 0);
    }

    #[test]
    fn groups_that_are_wrong_or_not_there_are_left_out() {
        let place = Place::new();
        place.file("local").write_all_at(b"damaged", 5 * GROUP_BYTES + 9).unwrap();
        place.file("local").set_len(SIZE as u64 - 1).unwrap();
        let partial = place.partial();
        place.fill(&partial);
        let groups = partial.layout().groups();
        let mut expected = GroupSet::from_range(0..groups - 1);
        expected.remove(5..6);
        assert_eq!(partial.have(), expected);
    }

    #[test]
    fn a_damaged_tree_costs_what_lies_below_the_damage() {
        let place = Place::new();
        // The last parent in pre-order stands above the last two groups alone.
        let end = partial_tree_bytes(&place);
        place.file("local tree").write_all_at(&[0; 64], end - 64).unwrap();
        let partial = place.partial();
        place.fill(&partial);
        let missing = partial.have().missing_in(0..partial.layout().groups());
        assert!(!missing.is_empty() && missing.count() <= 2, "missing: {missing:?}");
        place.file("local tree").write_all_at(&tree_of(&place.data, 0, true).parents, 0).unwrap();
        place.fill(&partial);
        assert!(partial.is_complete());
        assert!(std::fs::read(place.folder.path().join("tree")).unwrap() == tree_of(&place.data, 0, true).parents);
    }

    fn partial_tree_bytes(place: &Place) -> u64 {
        tree_of(&place.data, 0, true).parents.len() as u64
    }

    #[test]
    fn filling_ends_when_it_is_told_to() {
        let place = Place::new();
        let partial = place.partial();
        fill(&partial, &partial.layout().all(), &place.file("local"), &place.file("local tree"), |_| false).unwrap();
        assert_eq!(partial.have_bytes(), READ_BLOCK_BYTES);
    }
}
