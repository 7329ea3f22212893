//! The files that the members of the demonstration share, made on the spot.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::cli::{
    sample,
    talk::{Ended, Outcome},
};

/// A file that is not worth anything but its size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noise {
    pub(super) seed: u8,
    pub(super) bytes: u64,
}

/// Writes pseudo-random bytes: they cannot be compressed, and the same seed makes the same bytes.
pub(super) async fn write_noise(path: PathBuf, noise: Noise) -> Outcome {
    let shown = path.clone();
    let written = tokio::task::spawn_blocking(move || {
        make_parent(&path)?;
        let mut stream = blake3::Hasher::new_derive_key("swapmeet demo noise").update(&[noise.seed]).finalize_xof();
        let mut file = fs::File::create_new(&path)?;
        let mut block = vec![0; BLOCK_BYTES];
        let mut left = noise.bytes;
        while left > 0 {
            let count = left.min(BLOCK_BYTES as u64) as usize;
            stream.fill(&mut block[..count]);
            file.write_all(&block[..count])?;
            left -= count as u64;
        }
        Ok(())
    });
    let written: io::Result<()> = written.await.map_err(|error| Ended::unexpected("demo", error.to_string()))?;
    written.map_err(|error| Ended::file("write", &shown, &error))
}

/// Writes a short text.
pub(super) fn write_text(path: &Path, text: &str) -> Outcome {
    make_parent(path).and_then(|()| fs::write(path, text)).map_err(|error| Ended::file("write", path, &error))
}

/// Writes the integers up to a number.
pub(super) async fn write_numbers(path: &Path, last: u64) -> Outcome {
    make_parent(path).map_err(|error| Ended::file("write", path, &error))?;
    sample::to_file(last, path).await?;
    Ok(())
}

/// A small tree of texts and recordings.
pub(super) async fn write_tree(folder: &Path) -> Outcome {
    write_text(&folder.join("README.txt"), "Recordings of a walk, one folder for each place.\n")?;
    for (number, place) in ["harbour", "market", "old town", "ridge"].into_iter().enumerate() {
        let place = folder.join(place);
        write_text(&place.join("notes.txt"), "Wind from the west, a dog in the second minute.\n")?;
        for take in 1..=3_u8 {
            let seed = 16 * u8::try_from(number).unwrap_or(u8::MAX) + take;
            write_noise(place.join(format!("take-{take}.flac")), Noise { seed, bytes: 300_000 * u64::from(take) })
                .await?;
        }
    }
    Ok(())
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// Bytes made at a time.
const BLOCK_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn noise_has_its_size_and_repeats_for_the_same_seed() {
        let place = tempfile::tempdir().unwrap();
        let bytes = BLOCK_BYTES as u64 + 7;
        for (name, seed) in [("a", 1), ("b", 1), ("c", 2)] {
            write_noise(place.path().join(name), Noise { seed, bytes }).await.unwrap();
        }
        let read = |name| fs::read(place.path().join(name)).unwrap();
        assert_eq!(read("a").len() as u64, bytes);
        assert!(read("a") == read("b") && read("a") != read("c"));
    }
}
