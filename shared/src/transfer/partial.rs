//! A file that is still arriving: its data, its hash tree, and a log of the groups that were verified.
//!
//! The log is only appended to. A record names groups whose data and tree nodes were written before it, so that a
//! killed process finds in it what the page cache holds. Power loss is different: only what was flushed to the disk is
//! sure to be there. Therefore the log also holds the boot it was written in and marks of what was made durable; after
//! a reboot, groups noted since the last mark are verified again from the disk before they count.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    num::NonZero,
    ops::Range,
    os::unix::fs::FileExt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::fs::{Advice, SeekFrom, fadvise, seek};
use tokio::sync::watch;

use crate::{
    content::{GroupSet, Layout, ParentNode, verify_present},
    id::BlobHash,
    limits::{DURABLE_EVERY_BYTES, NOTE_EVERY_BYTES, WRITE_BEHIND_BYTES, WRITES_BEHIND_MAX},
};

const MAGIC: [u8; 8] = *b"SMhave01";
const HEADER_BYTES: usize = 48;
const RECORD_BYTES: usize = 32;
const VERIFIED: u8 = 1;
const DURABLE: u8 = 2;
const BOOT: u8 = 3;

/// Which run of the operating system this is: tells whether the page cache is still the one that was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootId(pub [u8; 16]);

impl BootId {
    /// The id of this boot, or a fresh one where the system tells none (then a restart counts as a reboot).
    #[must_use]
    pub fn current() -> Self {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let hash = if text.trim().is_empty() {
            blake3::hash(&rand::random::<[u8; 16]>())
        } else {
            blake3::hash(text.as_bytes())
        };
        let mut id = [0; 16];
        id.copy_from_slice(&hash.as_bytes()[..16]);
        Self(id)
    }
}

/// The three files of a partial file, opened for reading and writing.
#[derive(Debug)]
pub struct PartialFiles {
    /// The content, beside its final name.
    pub data: File,
    /// The hash tree.
    pub tree: File,
    /// The have-log.
    pub log: File,
}

/// A blob that is arriving. Several fetches may write at once.
#[derive(Debug)]
pub struct Partial {
    layout: Layout,
    blob: BlobHash,
    files: PartialFiles,
    state: Mutex<State>,
    /// Told whenever there is more.
    grown: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    have: GroupSet,
    /// Written and verified, not yet in the log.
    unnoted: GroupSet,
    unnoted_bytes: u64,
    log_end: u64,
    since_durable_bytes: u64,
    /// Consecutive bytes that the disk was not told to write yet.
    waiting: Range<u64>,
    /// What the disk is writing, oldest first.
    leaving: VecDeque<Range<u64>>,
}

impl State {
    /// Adds written bytes to those that wait for the disk. Gives back a run of them that is long enough to go, and one
    /// that went long enough ago to have arrived.
    fn wait_for_disk(&mut self, bytes: Range<u64>) -> [Option<Range<u64>>; 2] {
        let going = if bytes.start == self.waiting.end {
            self.waiting.end = bytes.end;
            if self.waiting.end - self.waiting.start < WRITE_BEHIND_BYTES {
                return [None, None];
            }
            std::mem::replace(&mut self.waiting, bytes.end..bytes.end)
        } else {
            std::mem::replace(&mut self.waiting, bytes)
        };
        if going.is_empty() {
            return [None, None];
        }
        self.leaving.push_back(going.clone());
        let arrived = if self.leaving.len() > WRITES_BEHIND_MAX { self.leaving.pop_front() } else { None };
        [Some(going), arrived]
    }
}

/// What a partial file was found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumed {
    /// Groups that count.
    pub have: u64,
    /// Groups that had to be verified again because the system was restarted.
    pub rechecked: u64,
}

impl Partial {
    /// Opens what there is of `blob`; empty files begin anew, a log of another blob is discarded.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn open(layout: Layout, blob: BlobHash, files: PartialFiles, boot: BootId) -> io::Result<(Self, Resumed)> {
        let log = Log::read(&files.log, layout, blob)?;
        let data_bytes = files.data.metadata()?.len();
        let mut have = if data_bytes == layout.size() || layout.size() == 0 { log.durable } else { GroupSet::new() };
        let mut rechecked = 0;
        if data_bytes != layout.size() {
            files.data.set_len(layout.size())?;
        } else if log.boot == Some(boot) {
            have.extend(&log.noted);
        } else if !log.noted.is_empty() {
            rechecked = log.noted.count();
            have.extend(&recheck(layout, blob, &files, &log.noted));
        }
        let resumed = Resumed { have: have.count(), rechecked };
        let state = State {
            have: have.clone(),
            unnoted: GroupSet::new(),
            unnoted_bytes: 0,
            log_end: 0,
            since_durable_bytes: 0,
            waiting: 0..0,
            leaving: VecDeque::new(),
        };
        let partial = Self { layout, blob, files, state: Mutex::new(state), grown: watch::Sender::default() };
        partial.begin_log(boot, &have)?;
        Ok((partial, resumed))
    }

    /// The blob.
    #[must_use]
    pub const fn blob(&self) -> BlobHash {
        self.blob
    }

    /// Its arithmetic.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The groups that are verified and written.
    #[must_use]
    pub fn have(&self) -> GroupSet {
        self.state().have.clone()
    }

    /// Bytes that are verified and written.
    #[must_use]
    pub fn have_bytes(&self) -> u64 {
        self.layout.bytes_in(&self.state().have)
    }

    /// Bytes from the beginning that are verified and written without a gap: what can be read in order.
    #[must_use]
    pub fn prefix_bytes(&self) -> u64 {
        let state = self.state();
        let first = state.have.ranges().next().filter(|range| range.start == 0);
        first.map_or(0, |range| self.layout.bytes_of(range).end)
    }

    /// Whether every group is there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state().have.count() == self.layout.groups()
    }

    /// Hears whenever there is more.
    #[must_use]
    pub fn growth(&self) -> watch::Receiver<()> {
        self.grown.subscribe()
    }

    /// Writes verified groups with the tree nodes that proved them. Blocks.
    ///
    /// # Errors
    /// When the disk refuses; nothing counts then that was not written.
    pub fn write(&self, groups: Range<u64>, data: &[u8], parents: &[(u64, ParentNode)]) -> io::Result<()> {
        let bytes = self.layout.bytes_of(&groups);
        debug_assert_eq!(data.len() as u64, bytes.end - bytes.start);
        // A hole reads as zeros and takes no room: it stays one.
        if !(is_zero(data) && is_hole(&self.files.data, &bytes)) {
            self.files.data.write_all_at(data, bytes.start)?;
        }
        write_parents(&self.files.tree, parents)?;
        let mut state = self.state();
        state.have.insert(groups.clone());
        state.unnoted.insert(groups);
        state.unnoted_bytes += data.len() as u64;
        state.since_durable_bytes += data.len() as u64;
        if state.unnoted_bytes >= NOTE_EVERY_BYTES {
            self.note(&mut state)?;
        }
        let behind = state.wait_for_disk(bytes);
        drop(state);
        self.grown.send_replace(());
        for bytes in behind.into_iter().flatten() {
            self.push_to_disk(&bytes);
        }
        Ok(())
    }

    /// Writes verified tree nodes ahead of the groups below them. Blocks.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_tree(&self, parents: &[(u64, ParentNode)]) -> io::Result<()> {
        write_parents(&self.files.tree, parents)
    }

    /// Lets the disk begin with these bytes now, or everything would wait for the last flush. Those that it has written
    /// leave the memory: a file larger than it must not push everything else out.
    fn push_to_disk(&self, bytes: &Range<u64>) {
        // The advice means both: what is not on disk yet begins its way there, what is leaves the memory.
        let length = NonZero::new(bytes.end - bytes.start);
        if let Err(error) = fadvise(&self.files.data, bytes.start, length, Advice::DontNeed) {
            tracing::debug!(%error, "this file system takes no advice");
        }
    }

    /// Notes in the log what was not yet noted. Blocks.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn flush(&self) -> io::Result<()> {
        self.note(&mut self.state())
    }

    /// Whether enough arrived since the last time to make it durable.
    #[must_use]
    pub fn wants_durability(&self) -> bool {
        self.state().since_durable_bytes >= DURABLE_EVERY_BYTES
    }

    /// Flushes everything to the disk and marks it. Blocks, possibly for long; writes go on meanwhile.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn make_durable(&self) -> io::Result<()> {
        let have = {
            let mut state = self.state();
            self.note(&mut state)?;
            state.since_durable_bytes = 0;
            state.have.clone()
        };
        self.files.data.sync_data()?;
        self.files.tree.sync_data()?;
        let mut state = self.state();
        for range in have.ranges() {
            self.append(&mut state, DURABLE, range.start, range.end)?;
        }
        self.files.log.sync_data()
    }

    /// The data file, for its metadata and the last flush before it gets its final name.
    #[must_use]
    pub const fn data(&self) -> &File {
        &self.files.data
    }

    /// The tree file.
    #[must_use]
    pub const fn tree(&self) -> &File {
        &self.files.tree
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the log anew: a torn end or records of an earlier boot never mix with new ones.
    fn begin_log(&self, boot: BootId, have: &GroupSet) -> io::Result<()> {
        let mut head = Vec::with_capacity(HEADER_BYTES + RECORD_BYTES);
        head.extend(MAGIC);
        head.extend(self.blob.0);
        head.extend(self.layout.size().to_le_bytes());
        let (mut low, mut high) = ([0; 8], [0; 8]);
        low.copy_from_slice(&boot.0[..8]);
        high.copy_from_slice(&boot.0[8..]);
        head.extend(record(BOOT, u64::from_le_bytes(low), u64::from_le_bytes(high)));
        if !have.is_empty() {
            // What counts now must still count if the power fails after the old records are gone.
            self.files.data.sync_data()?;
            self.files.tree.sync_data()?;
        }
        for range in have.ranges() {
            head.extend(record(DURABLE, range.start, range.end));
        }
        let length = head.len() as u64;
        // Old records behind the new ones would count as records of this boot.
        head.resize(head.len().max(self.files.log.metadata()?.len() as usize), 0);
        self.files.log.write_all_at(&head, 0)?;
        self.files.log.set_len(length)?;
        self.files.log.sync_data()?;
        self.state().log_end = length;
        Ok(())
    }

    fn note(&self, state: &mut State) -> io::Result<()> {
        let unnoted = std::mem::take(&mut state.unnoted);
        state.unnoted_bytes = 0;
        for range in unnoted.ranges() {
            self.append(state, VERIFIED, range.start, range.end)?;
        }
        Ok(())
    }

    fn append(&self, state: &mut State, kind: u8, first: u64, second: u64) -> io::Result<()> {
        self.files.log.write_all_at(&record(kind, first, second), state.log_end)?;
        state.log_end += RECORD_BYTES as u64;
        Ok(())
    }
}

/// Writes tree nodes, neighbours together.
fn is_zero(data: &[u8]) -> bool {
    // Compares the data with itself one byte on, as fast as memory goes.
    data.first() == Some(&0) && data[1..] == data[..data.len() - 1]
}

/// Whether nothing was ever written there. A file system that does not know says no.
fn is_hole(file: &File, bytes: &Range<u64>) -> bool {
    match seek(file, SeekFrom::Data(bytes.start)) {
        Ok(data) => data >= bytes.end,
        // No data from there to the end of the file.
        Err(error) => error == rustix::io::Errno::NXIO,
    }
}

fn write_parents(tree: &File, parents: &[(u64, ParentNode)]) -> io::Result<()> {
    let mut run: Vec<u8> = Vec::with_capacity(parents.len() * 64);
    let mut run_start = 0;
    for (offset, node) in parents {
        if *offset != run_start + run.len() as u64 {
            if !run.is_empty() {
                tree.write_all_at(&run, run_start)?;
            }
            run.clear();
            run_start = *offset;
        }
        run.extend(node);
    }
    if run.is_empty() { Ok(()) } else { tree.write_all_at(&run, run_start) }
}

fn recheck(layout: Layout, blob: BlobHash, files: &PartialFiles, groups: &GroupSet) -> GroupSet {
    verify_present(
        layout,
        blob,
        groups,
        |offset, node| files.tree.read_exact_at(node, offset).is_ok(),
        |range, buffer| files.data.read_exact_at(buffer, range.start).is_ok(),
    )
}

/// 1 byte kind, 7 bytes zero, two numbers, 8 bytes of BLAKE3 over the 24 bytes before.
fn record(kind: u8, first: u64, second: u64) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    bytes[0] = kind;
    bytes[8..16].copy_from_slice(&first.to_le_bytes());
    bytes[16..24].copy_from_slice(&second.to_le_bytes());
    let sum = blake3::hash(&bytes[..24]);
    bytes[24..].copy_from_slice(&sum.as_bytes()[..8]);
    bytes
}

/// What a have-log says.
struct Log {
    boot: Option<BootId>,
    durable: GroupSet,
    /// Noted, whether made durable later or not.
    noted: GroupSet,
}

impl Log {
    fn read(file: &File, layout: Layout, blob: BlobHash) -> io::Result<Self> {
        let mut log = Self { boot: None, durable: GroupSet::new(), noted: GroupSet::new() };
        let length = file.metadata()?.len() as usize;
        if length < HEADER_BYTES {
            return Ok(log);
        }
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0)?;
        let (header, records) = bytes.split_at(HEADER_BYTES);
        let expected = [&MAGIC[..], &blob.0, &layout.size().to_le_bytes()].concat();
        if header != expected {
            return Ok(log);
        }
        for bytes in records.chunks_exact(RECORD_BYTES) {
            let number = |at: usize| {
                let mut number = [0; 8];
                number.copy_from_slice(&bytes[at..at + 8]);
                u64::from_le_bytes(number)
            };
            let (first, second) = (number(8), number(16));
            if record(bytes[0], first, second) != bytes {
                // A torn write: what follows was never promised.
                break;
            }
            let inside = first < second && second <= layout.groups();
            match bytes[0] {
                VERIFIED if inside => log.noted.insert(first..second),
                DURABLE if inside => log.durable.insert(first..second),
                BOOT => {
                    let mut id = [0; 16];
                    id.copy_from_slice(&bytes[8..24]);
                    log.boot = Some(BootId(id));
                }
                _ => break,
            }
        }
        log.noted.subtract(&log.durable);
        Ok(log)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        content::{Step, tree_of},
        limits::GROUP_BYTES,
    };

    const SIZE: usize = 40 * GROUP_BYTES as usize + 123;
    const BOOT_A: BootId = BootId([1; 16]);
    const BOOT_B: BootId = BootId([2; 16]);

    struct Place {
        folder: tempfile::TempDir,
        data: Vec<u8>,
        blob: BlobHash,
        layout: Layout,
    }

    impl Place {
        fn new() -> Self {
            let data: Vec<u8> = (0..SIZE).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
            let blob = tree_of(&data, 0, true).blob();
            let layout = Layout::new(SIZE as u64).unwrap();
            Self { folder: tempfile::tempdir().unwrap(), data, blob, layout }
        }

        fn file(&self, name: &str) -> File {
            let path = self.folder.path().join(name);
            File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap()
        }

        fn open(&self, boot: BootId) -> (Partial, Resumed) {
            let files = PartialFiles { data: self.file("data"), tree: self.file("tree"), log: self.file("log") };
            Partial::open(self.layout, self.blob, files, boot).unwrap()
        }

        fn write(&self, partial: &Partial, groups: Range<u64>) {
            let tree = tree_of(&self.data, 0, true);
            let set = GroupSet::from_range(groups.clone());
            let chunks = self.layout.chunks(&set);
            let parents = self.layout.steps(&chunks).filter_map(|step| match step {
                Step::Parent { offset, .. } => {
                    Some((offset, tree.parents[offset as usize..offset as usize + 64].try_into().unwrap()))
                }
                Step::Group { .. } => None,
            });
            let parents: Vec<_> = parents.collect();
            let bytes = self.layout.bytes_of(&groups);
            partial.write(groups, &self.data[bytes.start as usize..bytes.end as usize], &parents).unwrap();
        }
    }

    #[test]
    fn zeros_take_no_room_where_nothing_was_and_replace_what_was() {
        let mut place = Place::new();
        place.data.fill(0);
        place.blob = tree_of(&place.data, 0, true).blob();
        let (partial, _) = place.open(BOOT_A);
        place.file("data").write_all_at(b"left by a kill", 5 * GROUP_BYTES + 9).unwrap();
        place.write(&partial, 0..20);
        place.write(&partial, 20..41);
        assert!(partial.is_complete());
        assert!(std::fs::read(place.folder.path().join("data")).unwrap() == place.data);
        let room = std::os::unix::fs::MetadataExt::blocks(&place.file("data").metadata().unwrap()) * 512;
        assert!(room < SIZE as u64, "{room} bytes are taken");
    }

    #[test]
    fn noted_groups_survive_a_kill_without_being_hashed_again() {
        let place = Place::new();
        let (partial, resumed) = place.open(BOOT_A);
        assert_eq!(resumed, Resumed { have: 0, rechecked: 0 });
        place.write(&partial, 3..9);
        partial.flush().unwrap();
        drop(partial);
        let (partial, resumed) = place.open(BOOT_A);
        assert_eq!(resumed, Resumed { have: 6, rechecked: 0 });
        assert_eq!(partial.have(), GroupSet::from_range(3..9));
    }

    #[test]
    fn after_a_reboot_only_what_was_durable_counts_unseen() {
        let place = Place::new();
        let (partial, _) = place.open(BOOT_A);
        place.write(&partial, 0..4);
        partial.make_durable().unwrap();
        place.write(&partial, 10..20);
        partial.flush().unwrap();
        drop(partial);
        // The disk lost the second write.
        place.file("data").write_all_at(&[0; 1000], 12 * GROUP_BYTES).unwrap();
        let (partial, resumed) = place.open(BOOT_B);
        assert_eq!(resumed.rechecked, 10);
        assert!(partial.have().contains_all(&(0..4)) && partial.have().contains_all(&(13..20)));
        assert!(!partial.have().contains(12));
    }

    #[test]
    fn long_runs_go_to_the_disk_at_once_and_leave_the_memory_later() {
        let place = Place::new();
        let (partial, _) = place.open(BOOT_A);
        let mut state = partial.state();
        let mut left = Vec::new();
        let step = WRITE_BEHIND_BYTES / 4;
        for start in (0..4 * (WRITES_BEHIND_MAX as u64 + 2)).map(|n| n * step) {
            let [going, arrived] = state.wait_for_disk(start..start + step);
            let end = start + step;
            let ends_a_run = end.is_multiple_of(WRITE_BEHIND_BYTES);
            assert_eq!(going, ends_a_run.then(|| end - WRITE_BEHIND_BYTES..end));
            left.extend(arrived);
        }
        assert_eq!(left, [0..WRITE_BEHIND_BYTES, WRITE_BEHIND_BYTES..2 * WRITE_BEHIND_BYTES]);
        // What does not follow lets go of what came before.
        assert_eq!(state.wait_for_disk(7..9)[0], None);
        assert_eq!(state.wait_for_disk(70..90)[0], Some(7..9));
    }

    #[test]
    fn a_file_of_another_size_begins_anew() {
        let place = Place::new();
        let (partial, _) = place.open(BOOT_A);
        place.write(&partial, 0..41);
        partial.make_durable().unwrap();
        assert!(partial.is_complete());
        drop(partial);
        place.file("data").set_len(17).unwrap();
        assert_eq!(place.open(BOOT_A).1.have, 0);
    }

    #[test]
    fn the_log_of_another_blob_is_discarded() {
        let mut place = Place::new();
        let (partial, _) = place.open(BOOT_A);
        place.write(&partial, 0..41);
        partial.make_durable().unwrap();
        drop(partial);
        place.blob = BlobHash([7; 32]);
        assert_eq!(place.open(BOOT_A).1.have, 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_log_cut_or_damaged_anywhere_never_promises_too_much(
            ranges in proptest::collection::vec((0u64..40, 1u64..8), 1..6), cut in any::<proptest::sample::Index>(),
            flip in any::<bool>(),
        ) {
            let place = Place::new();
            let (partial, _) = place.open(BOOT_A);
            let mut written = GroupSet::new();
            for (start, length) in ranges {
                let range = start..(start + length).min(place.layout.groups());
                place.write(&partial, range.clone());
                partial.flush().unwrap();
                written.insert(range);
            }
            drop(partial);
            let log = place.file("log");
            let length = log.metadata().unwrap().len();
            let at = cut.index(length as usize) as u64;
            if flip {
                let mut byte = [0];
                log.read_exact_at(&mut byte, at).unwrap();
                log.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
            } else {
                log.set_len(at).unwrap();
            }
            let have = place.open(BOOT_A).0.have();
            let mut beyond = have;
            beyond.subtract(&written);
            prop_assert!(beyond.is_empty());
        }
    }
}
