//! Files to try things with: any amount of them, the same for the same seed.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, SystemTime},
};

use rand::{Rng, SeedableRng, rngs::StdRng};

/// Bytes that look random and are the same for the same seed.
#[must_use]
pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream(seed).fill(&mut bytes);
    bytes
}

/// Writes a large file without holding it in memory.
///
/// # Panics
/// When it cannot be written.
pub fn large_file(path: &Path, seed: u64, length: u64) {
    let mut file = BufWriter::new(File::create(path).expect("a file can be made"));
    let mut stream = stream(seed);
    let mut block = vec![0; 1 << 20];
    let mut left = length;
    while left > 0 {
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        stream.fill(&mut block[..n]);
        file.write_all(&block[..n]).expect("a file can be written");
        left -= n as u64;
    }
    file.into_inner().expect("a file can be written").sync_all().expect("a file can be made durable");
}

/// Makes a tree of `count` small files in folders of a hundred, every tenth of them executable, each with a
/// modification time of its own.
///
/// # Panics
/// When it cannot be written.
pub fn small_files(root: &Path, seed: u64, count: usize, bytes_max: usize) {
    let mut random = StdRng::seed_from_u64(seed);
    for index in 0..count {
        let folder = root.join(format!("folder {:03}", index / 100));
        if index % 100 == 0 {
            fs::create_dir_all(&folder).expect("a folder can be made");
        }
        let path = folder.join(format!("file {index:05}.dat"));
        let length = random.random_range(0..=bytes_max);
        fs::write(&path, bytes(random.random(), length)).expect("a file can be written");
        if index % 10 == 0 {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a file's mode can be set");
        }
        let modified =
            SystemTime::UNIX_EPOCH + Duration::from_millis(1_500_000_000_000 + random.random_range(0..1 << 36));
        set_modified(&path, modified);
    }
}

/// Gives a file this modification time.
///
/// # Panics
/// When that fails.
pub fn set_modified(path: &Path, modified: SystemTime) {
    File::options()
        .write(true)
        .open(path)
        .and_then(|file| file.set_modified(modified))
        .expect("a file's time can be set");
}

fn stream(seed: u64) -> blake3::OutputReader {
    let mut hasher = blake3::Hasher::new_derive_key("swapmeet test corpus");
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof()
}
