//! Compares what was sent with what arrived: names, bytes, modification times, executable bits.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// What is different between two files or trees, one sentence each; empty means identical.
///
/// # Panics
/// When one of them cannot be read.
#[must_use]
pub fn differences(left: &Path, right: &Path) -> Vec<String> {
    let (ours, theirs) = (entries(left), entries(right));
    let mut found = Vec::new();
    for path in ours.keys().filter(|path| !theirs.contains_key(*path)) {
        found.push(format!("{} is missing", path.display()));
    }
    for path in theirs.keys().filter(|path| !ours.contains_key(*path)) {
        found.push(format!("{} was not there before", path.display()));
    }
    for (path, ours) in &ours {
        let Some(theirs) = theirs.get(path) else { continue };
        if let Some(difference) = difference(&below(left, path), ours, &below(right, path), theirs) {
            found.push(format!("{}: {difference}", path.display()));
        }
    }
    found
}

/// Asserts that two files or trees are identical.
///
/// # Panics
/// When they are not.
pub fn assert_same(left: &Path, right: &Path) {
    let found = differences(left, right);
    assert!(found.is_empty(), "{} and {} differ:\n{}", left.display(), right.display(), found.join("\n"));
}

/// The BLAKE3 hash of a file, in hexadecimal digits.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn hash(path: &Path) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path).unwrap_or_else(|error| panic!("could not open {}: {error}", path.display()));
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block).expect("a file of a test can be read") {
            0 => return hasher.finalize().to_hex().to_string(),
            n => _ = hasher.update(&block[..n]),
        }
    }
}

/// The regular files at and below a path, relative to it, with their bytes. Links are not followed.
///
/// # Panics
/// When something cannot be read.
#[must_use]
pub fn files(root: &Path) -> Vec<(PathBuf, u64)> {
    entries(root).into_iter().map(|(path, metadata)| (path, metadata.len())).collect()
}

/// `root` itself for the empty path: joining that would add a slash, and a file is no folder.
#[must_use]
pub fn below(root: &Path, relative: &Path) -> PathBuf {
    if relative.as_os_str().is_empty() { root.to_owned() } else { root.join(relative) }
}

fn entries(root: &Path) -> BTreeMap<PathBuf, fs::Metadata> {
    let mut found = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(relative) = open.pop() {
        let path = below(root, &relative);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            // What a running program removes while we look is not there; only the root must be.
            Err(error) if error.kind() == io::ErrorKind::NotFound && path != root => continue,
            Err(error) => panic!("could not look at {}: {error}", path.display()),
        };
        if metadata.is_dir() {
            for entry in fs::read_dir(&path).expect("a folder of a test can be read") {
                open.push(relative.join(entry.expect("a folder of a test can be read").file_name()));
            }
        } else if metadata.is_file() {
            found.insert(relative, metadata);
        }
    }
    found
}

fn difference(left: &Path, ours: &fs::Metadata, right: &Path, theirs: &fs::Metadata) -> Option<String> {
    if ours.len() != theirs.len() {
        return Some(format!("{} bytes became {}", ours.len(), theirs.len()));
    }
    let milliseconds = |metadata: &fs::Metadata| metadata.mtime() * 1000 + metadata.mtime_nsec() / 1_000_000;
    if milliseconds(ours) != milliseconds(theirs) {
        return Some(format!("modified {} ms became {} ms", milliseconds(ours), milliseconds(theirs)));
    }
    let executable = |metadata: &fs::Metadata| metadata.mode() & 0o100 != 0;
    if executable(ours) != executable(theirs) {
        return Some(format!("executable {} became {}", executable(ours), executable(theirs)));
    }
    same_bytes(left, right).then_some(()).map_or_else(|| Some("its bytes differ".to_owned()), |()| None)
}

fn same_bytes(left: &Path, right: &Path) -> bool {
    let (mut left, mut right) = (File::open(left).expect("readable"), File::open(right).expect("readable"));
    let (mut ours, mut theirs) = (vec![0; 1 << 18], vec![0; 1 << 18]);
    loop {
        let n = left.read(&mut ours).expect("readable");
        if n == 0 {
            return true;
        }
        if right.read_exact(&mut theirs[..n]).is_err() || ours[..n] != theirs[..n] {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::corpus;

    fn pair() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (left, right) = (folder.path().join("left"), folder.path().join("right"));
        for root in [&left, &right] {
            corpus::small_files(root, 1, 30, 1000);
        }
        (folder, left, right)
    }

    #[test]
    fn the_same_seed_makes_the_same_tree() {
        let (_folder, left, right) = pair();
        assert_eq!(differences(&left, &right), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        let (_folder, left, right) = pair();
        let file = |index: usize| right.join(format!("folder 000/file {index:05}.dat"));
        fs::remove_file(file(1)).unwrap();
        fs::write(right.join("extra"), "").unwrap();
        corpus::set_modified(&file(2), SystemTime::UNIX_EPOCH);
        let modified = fs::metadata(file(3)).unwrap().modified().unwrap();
        let mut bytes = fs::read(file(3)).unwrap();
        bytes[0] ^= 1;
        fs::write(file(3), bytes).unwrap();
        corpus::set_modified(&file(3), modified);
        let found = differences(&left, &right).join("\n");
        for word in
            ["00001.dat is missing", "extra was not there", "00002.dat: modified", "00003.dat: its bytes differ"]
        {
            assert!(found.contains(word), "{word} is not in\n{found}");
        }
        assert_eq!(found.lines().count(), 4, "{found}");
    }
}
