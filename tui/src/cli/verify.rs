//! `swapmeet verify`: the BLAKE3 hash of a local file, compared with what it should be, and which bytes are not.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use shared::{
    id::BlobHash,
    limits::{GROUP_BYTES, RANGES_SHOWN_MAX},
};

use super::{
    context::Context,
    out::{Cell, Column, Record},
    talk::{Ended, Outcome},
};
use crate::engine::{
    api::{Command, Failure, FailureKind, Update},
    verify::{self, Examined},
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
        if self.path.is_dir() {
            return Err(Ended::usage("that is a folder", "name one file of it"));
        }
        let should = expected.as_ref().map(|expected| verify::Expected { hash: expected.hash, size: expected.size });
        let trees = context.profile()?.state.join("trees");
        let examined = verify::examine(self.path.clone(), should, trees).await;
        let Examined { size, hash, bad } = examined.map_err(|error| Ended::file("read", &self.path, &error))?;
        let matches = expected.as_ref().map(|expected| expected.hash == hash);
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
}
