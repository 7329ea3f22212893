//! `swapmeet verify`: the BLAKE3 hash of a local file, compared with what it should be, and which bytes are not.

use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;
use shared::{
    content::{Layout, verify_present},
    id::BlobHash,
    limits::{GROUP_BYTES, RANGES_SHOWN_MAX},
};

use super::{
    context::Context,
    out::{Cell, Column, Record},
    talk::{Ended, Outcome},
};
use crate::{
    engine::{
        api::{Command, Failure, FailureKind, Update},
        catalog::tree_below,
    },
    profile::Profile,
};

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// A local file
    path: PathBuf,
    /// What it should be: a file of the index, or b3:HASH; what was fetched or is shared here is known
    #[arg(value_name = "ID or b3:HASH")]
    expected: Option<String>,
}

impl Verify {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let expected = match &self.expected {
            Some(text) => Some(Expected::named(context, text).await?),
            None => Expected::known(context, &self.path).await?,
        };
        let (size, hash) = hash_file(&self.path).await?;
        let matches = expected.as_ref().map(|expected| expected.hash == hash);
        let bad = match &expected {
            Some(expected) if expected.hash != hash => {
                expected.damage(context.profile()?, self.path.clone(), size).await?
            }
            Some(_) => Some(Vec::new()),
            None => None,
        };
        let record = VerifyRecord {
            path: self.path.to_string_lossy().into_owned(),
            size,
            hash: hash.to_string(),
            expected: expected.as_ref().map(|expected| expected.hash.to_string()),
            matches,
            expected_size: expected.as_ref().and_then(|expected| expected.size),
            bad,
        };
        context.out.card(&record)?;
        match expected {
            Some(expected) if matches == Some(false) => Err(mismatch(&record, &expected, &self.path).into()),
            Some(_) | None => Ok(()),
        }
    }
}

/// Says what is wrong and how it is mended.
fn mismatch(record: &VerifyRecord, expected: &Expected, path: &Path) -> Failure {
    let mut message = "the file does not have the expected content".to_owned();
    if let Some(should) = expected.size.filter(|should| *should != record.size) {
        message.push_str(&format!(": it has {} bytes and should have {should}", record.size));
    }
    match record.bad.as_deref() {
        None => message.push_str("; which bytes are wrong is not known here"),
        Some(bad) => {
            let groups: u64 = bad.iter().map(|[start, end]| (end - start).div_ceil(GROUP_BYTES)).sum();
            message.push_str(&format!("; wrong are {groups} groups of {} KiB", GROUP_BYTES / 1024));
        }
    }
    let path = super::out::clean(&path.to_string_lossy());
    let hint = match &expected.item {
        Some(item) => format!("`swapmeet get {} --repair {path}` fetches just what is wrong", super::out::clean(item)),
        None => format!("with its ID, `swapmeet get ID --repair {path}` fetches just what is wrong"),
    };
    Failure::new(FailureKind::Transfer, "mismatch", message, hint)
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
    expected_size: Option<u64>,
    /// Ranges of bytes that are wrong, missing or too much, whole groups each; `null` when not known.
    bad: Option<Vec<[u64; 2]>>,
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
            Column::text("BAD"),
        ];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        let bad = self.bad.as_deref().filter(|bad| !bad.is_empty()).map(|bad| {
            let shown = bad.iter().take(RANGES_SHOWN_MAX).map(|[start, end]| format!("{start}-{end}"));
            let mut text = shown.collect::<Vec<_>>().join(", ");
            if bad.len() > RANGES_SHOWN_MAX {
                text.push_str(&format!(", and {} more", bad.len() - RANGES_SHOWN_MAX));
            }
            text
        });
        vec![
            self.path.as_str().into(),
            Cell::Bytes(self.size),
            self.hash.as_str().into(),
            self.expected.clone().into(),
            self.matches.map_or(Cell::Empty, Cell::Flag),
            bad.into(),
        ]
    }
}

/// What a file should be.
#[derive(Debug)]
struct Expected {
    hash: BlobHash,
    size: Option<u64>,
    /// How to ask for it, where that is known.
    item: Option<String>,
}

impl Expected {
    /// The hash that was typed, or that of the file of the index that was named.
    async fn named(context: &mut Context, text: &str) -> Result<Self, Ended> {
        if let Ok(hash) = BlobHash::parse_prefixed(&text.to_ascii_lowercase()) {
            return Ok(Self { hash, size: None, item: None });
        }
        if text.starts_with(BlobHash::PREFIX) {
            return Err(Ended::usage("that is not a BLAKE3 hash", "b3: and 64 hexadecimal digits"));
        }
        for update in context.ask(Command::Info { item: text.to_owned() }).await? {
            match update {
                Update::Detail(detail) => {
                    let (hash, size) = (detail.file.hash, Some(detail.file.size));
                    return Ok(Self { hash, size, item: Some(text.to_owned()) });
                }
                Update::Folder(_) => return Err(Ended::usage("that is a folder", "name one file of it")),
                _ => (),
            }
        }
        Err(Ended::unexpected("no_answer", "the engine did not say anything about it"))
    }

    /// What was fetched to this place by this profile, or is shared from it.
    async fn known(context: &mut Context, path: &Path) -> Result<Option<Self>, Ended> {
        // Whoever never used the program can hash a file all the same.
        if !context.profile()?.state.join("state.db").exists() {
            return Ok(None);
        }
        let path = std::path::absolute(path).map_err(|error| Ended::file("use", path, &error))?;
        let updates = context.ask(Command::Known { path }).await?;
        Ok(updates.into_iter().find_map(|update| match update {
            Update::Known(known) => Some(Self { hash: known.hash, size: Some(known.size), item: known.item }),
            _ => None,
        }))
    }

    /// The bytes of a file that are not as they should be, if the right hash tree is here.
    async fn damage(&self, profile: Profile, path: PathBuf, size: u64) -> Result<Option<Vec<[u64; 2]>>, Ended> {
        let (hash, expected_size) = (self.hash, self.size);
        let work = move || {
            let tree = match File::open(tree_below(&profile.state.join("trees"), &hash)) {
                Ok(tree) => Some(tree),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            find_damage(hash, expected_size, &File::open(path)?, size, tree.as_ref())
        };
        let found = tokio::task::spawn_blocking(work).await;
        let found = found.map_err(|error| Ended::unexpected("verify", error.to_string()))?;
        found.map_err(|error: io::Error| Ended::unexpected("file", format!("could not look for the damage: {error}")))
    }
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

    #[tokio::test]
    async fn a_folder_and_nothing_at_all_are_refused() {
        let place = tempfile::tempdir().unwrap();
        assert!(hash_file(place.path()).await.is_err());
        assert!(hash_file(&place.path().join("absent")).await.is_err());
    }
}
