//! `swapmeet sample`: the integers 1 to N, one a line, to try things with.

use std::{
    fs::Permissions,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;
use tempfile::NamedTempFile;

use super::{
    context::Context,
    out::{Cell, Column, Record},
    talk::{Ended, Outcome},
};

#[derive(Debug, Args)]
pub(super) struct Sample {
    /// The last number
    #[arg(value_name = "N")]
    last: u64,
    /// The file to make; never replaces one. Without it: stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Sample {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let Some(path) = self.output else { return to_stdout(self.last, context).await };
        let size = to_file(self.last, &path).await?;
        let path = std::path::absolute(&path).unwrap_or(path).to_string_lossy().into_owned();
        context.out.card(&SampleRecord { path, size, lines: self.last })
    }
}

#[derive(Debug, Serialize)]
struct SampleRecord {
    path: String,
    size: u64,
    lines: u64,
}

impl Record for SampleRecord {
    fn kind(&self) -> &'static str {
        "sample"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[Column::text("PATH"), Column::text("SIZE"), Column::text("LINES")];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        vec![self.path.as_str().into(), Cell::Bytes(self.size), Cell::Count(self.lines)]
    }
}

async fn to_stdout(last: u64, context: &mut Context) -> Outcome {
    let mut lines = Lines::to(last);
    let mut block = Vec::new();
    while lines.next_block(&mut block) {
        context.out.bytes(&block)?;
        tokio::task::yield_now().await;
    }
    context.out.flush()
}

/// Writes the file under a name of its own first: the wanted name is either complete or not there.
pub(super) async fn to_file(last: u64, path: &Path) -> Result<u64, Ended> {
    let failed = |error: std::io::Error| Ended::file("write", path, &error);
    if path.symlink_metadata().is_ok() {
        return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut file: NamedTempFile = tempfile::Builder::new()
        .prefix(".sample-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(failed)?;
    let mut lines = Lines::to(last);
    let mut block = Vec::new();
    let mut size = 0;
    while lines.next_block(&mut block) {
        file.write_all(&block).map_err(failed)?;
        size += block.len() as u64;
        // Here an interruption takes hold; the unfinished file goes with it.
        tokio::task::yield_now().await;
    }
    file.persist_noclobber(path).map_err(|error| failed(error.error))?;
    Ok(size)
}

/// Decimal lines, a block at a time.
struct Lines {
    next: u64,
    last: u64,
}

impl Lines {
    fn to(last: u64) -> Self {
        Self { next: 1, last }
    }

    /// Fills the block with whole lines; `false` when there are none left.
    fn next_block(&mut self, block: &mut Vec<u8>) -> bool {
        block.clear();
        while self.next <= self.last && block.len() < BLOCK_BYTES {
            // Numbers up to 20 digits: writing to a vector takes every byte.
            let _infallible = writeln!(block, "{}", self.next);
            let Some(next) = self.next.checked_add(1) else {
                self.last = 0;
                break;
            };
            self.next = next;
        }
        !block.is_empty()
    }
}

/// Bytes made at a time.
const BLOCK_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_come_in_order_one_a_line() {
        let mut lines = Lines::to(100_000);
        let (mut all, mut block) = (Vec::new(), Vec::new());
        while lines.next_block(&mut block) {
            assert!(block.ends_with(b"\n"));
            all.extend_from_slice(&block);
        }
        let expected: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
        assert!(all == expected.as_bytes());
    }

    #[test]
    fn none_is_an_empty_file_and_the_largest_number_is_no_overflow() {
        assert!(!Lines::to(0).next_block(&mut Vec::new()));
        let mut end = Lines { next: u64::MAX, last: u64::MAX };
        let mut block = Vec::new();
        assert!(end.next_block(&mut block));
        assert_eq!(block, format!("{}\n", u64::MAX).into_bytes());
        assert!(!end.next_block(&mut block));
    }

    #[tokio::test]
    async fn a_file_that_is_there_is_never_replaced() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("f");
        assert_eq!(to_file(10, &path).await.unwrap(), 21);
        let Err(Ended::Failed(failure)) = to_file(5, &path).await else { panic!("it was replaced") };
        assert_eq!(failure.kind.exit_code(), 9);
        assert_eq!(std::fs::read(&path).unwrap().len(), 21);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
