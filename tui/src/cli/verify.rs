//! `swapmeet verify`: the BLAKE3 hash of a local file, compared with what it should be.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;
use shared::id::BlobHash;

use super::{
    context::Context,
    out::{Cell, Column, Record},
    talk::{Ended, Outcome},
};
use crate::engine::api::{Command, Failure, FailureKind, Update};

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// A local file
    path: PathBuf,
    /// What it should be: a file of the index, or b3:HASH
    #[arg(value_name = "ID or b3:HASH")]
    expected: Option<String>,
}

impl Verify {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let expected = match &self.expected {
            Some(text) => Some(expected_hash(context, text).await?),
            None => None,
        };
        let (size, hash) = hash_file(&self.path).await?;
        let matches = expected.map(|expected| expected == hash);
        let record = VerifyRecord {
            path: self.path.to_string_lossy().into_owned(),
            size,
            hash: hash.to_string(),
            expected: expected.map(|expected| expected.to_string()),
            matches,
        };
        context.out.card(&record)?;
        if matches == Some(false) {
            let message = "the file does not have the expected content";
            return Err(
                Failure::new(FailureKind::Transfer, "mismatch", message, "fetch it again under another name").into()
            );
        }
        Ok(())
    }
}

#[derive(Debug, Serialize)]
struct VerifyRecord {
    path: String,
    size: u64,
    hash: String,
    expected: Option<String>,
    /// `null` when there was nothing to compare with.
    #[serde(rename = "match")]
    matches: Option<bool>,
}

impl Record for VerifyRecord {
    fn kind(&self) -> &'static str {
        "verify"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column::text("PATH"),
            Column::text("SIZE"),
            Column::text("HASH"),
            Column::text("EXPECTED"),
            Column::text("MATCH"),
        ];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        vec![
            self.path.as_str().into(),
            Cell::Bytes(self.size),
            self.hash.as_str().into(),
            self.expected.clone().into(),
            self.matches.map_or(Cell::Empty, Cell::Flag),
        ]
    }
}

/// The hash that was typed, or that of the file of the index that was named.
async fn expected_hash(context: &mut Context, text: &str) -> Result<BlobHash, Ended> {
    if let Ok(hash) = BlobHash::parse_prefixed(&text.to_ascii_lowercase()) {
        return Ok(hash);
    }
    if text.starts_with(BlobHash::PREFIX) {
        return Err(Ended::usage("that is not a BLAKE3 hash", "b3: and 64 hexadecimal digits"));
    }
    for update in context.ask(Command::Info { item: text.to_owned() }).await? {
        match update {
            Update::Detail(detail) => return Ok(detail.file.hash),
            Update::Folder(_) => return Err(Ended::usage("that is a folder", "name one file of it")),
            _ => (),
        }
    }
    Err(Ended::unexpected("no_answer", "the engine did not say anything about it"))
}

/// Size and hash of a regular file. Stops within a block when dropped.
async fn hash_file(path: &Path) -> Result<(u64, BlobHash), Ended> {
    let failed = |error: io::Error| Ended::file("read", path, &error);
    let mut file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(Ended::usage("that is a folder", "name one file of it"));
    }
    let mut hasher = blake3::Hasher::new();
    let mut block = vec![0; BLOCK_BYTES];
    let mut size = 0;
    loop {
        let filled = fill(&mut file, &mut block).map_err(failed)?;
        hasher.update_rayon(&block[..filled]);
        size += filled as u64;
        if filled < block.len() {
            return Ok((size, hasher.finalize().into()));
        }
        tokio::task::yield_now().await;
    }
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

    #[tokio::test]
    async fn a_file_longer_than_a_block_has_the_hash_of_its_bytes() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("f");
        for length in [0, 1, BLOCK_BYTES, BLOCK_BYTES + 12_345] {
            let bytes: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(hash_file(&path).await.unwrap(), (length as u64, blake3::hash(&bytes).into()), "{length}");
        }
    }

    #[tokio::test]
    async fn a_folder_and_nothing_at_all_are_refused() {
        let place = tempfile::tempdir().unwrap();
        assert!(hash_file(place.path()).await.is_err());
        assert!(hash_file(&place.path().join("absent")).await.is_err());
    }
}
