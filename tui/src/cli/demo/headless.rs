//! The demonstration without a screen: the whole way of a file, every byte checked.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
    time::Instant,
};

use serde::Serialize;

use super::{
    member::within_patience,
    samples::{self, Noise},
    stage::Stage,
};
use crate::{
    cli::{
        out::{Cell, Column, Out, Record, human_bytes},
        talk::{Ended, Outcome},
    },
    engine::{
        api::{Command, Failure, FailureKind, FileRow, Get, Share, Target, TransferRow, Update},
        client::Client,
    },
};

/// Plays the scenario, prints a record for each step and one about the whole.
pub(super) async fn play(stage: &mut Stage, out: &mut Out) -> Outcome {
    let begun = Instant::now();
    let mut steps = Steps { out, count: 0 };
    let played = steps.play(stage).await;
    let count = steps.count;
    let record = DemoRecord { ok: played.is_ok(), steps: count, elapsed_ms: elapsed_ms(begun) };
    out.line(&record)?;
    played
}

struct Steps<'a> {
    out: &'a mut Out,
    count: u32,
}

impl Steps<'_> {
    async fn play(&mut self, stage: &mut Stage) -> Outcome {
        let begun = Instant::now();
        let opened = stage.open_tracker().await;
        self.told("tracker", begun, opened, |()| Told::text("a tracker listens on the loopback address"))?;

        let begun = Instant::now();
        let opened = stage.open_members().await;
        self.told("members", begun, opened, |()| {
            Told::text("alice, bob and you have accounts, each with an own device")
        })?;

        let begun = Instant::now();
        let shared = share_samples(stage).await;
        let Shared { direct, kept } = self.told("share", begun, shared, |shared: &Shared| {
            Told::text(format!(
                "alice shares {} and {}, the second with a copy on the tracker",
                shared.direct.name, shared.kept.name
            ))
        })?;

        let begun = Instant::now();
        let fetched = fetch(stage, &direct, From::Owner).await;
        self.told("get_direct", begun, fetched, |transfer: &TransferRow| {
            Told::transfer("came straight from alice, every byte as she has it", transfer)
        })?;

        let begun = Instant::now();
        let gone = stage.kill_alice().await;
        self.told("owner_gone", begun, gone, |()| Told::text("alice's engine is killed"))?;

        let begun = Instant::now();
        let fetched = fetch(stage, &kept, From::Copy).await;
        self.told("get_copy", begun, fetched, |transfer: &TransferRow| {
            Told::transfer("came from the tracker's copy, every byte as alice has it", transfer)
        })?;
        Ok(())
    }

    /// Prints the record of a step that ended.
    fn told<T>(
        &mut self,
        step: &'static str,
        begun: Instant,
        ended: Result<T, Ended>,
        tell: impl FnOnce(&T) -> Told,
    ) -> Result<T, Ended> {
        let told = match &ended {
            Ok(value) => tell(value),
            Err(Ended::Failed(failure)) => Told::text(failure.message.clone()),
            Err(Ended::ClosedPipe) => Told::default(),
        };
        self.count += 1;
        let record = StepRecord { step, ok: ended.is_ok(), told, elapsed_ms: elapsed_ms(begun) };
        self.out.line(&record)?;
        ended
    }
}

/// What alice shares, and where it lies.
struct Shared {
    direct: FileRow,
    kept: FileRow,
}

const DIRECT: &str = "film.bin";
const KEPT: &str = "numbers.txt";

async fn share_samples(stage: &Stage) -> Result<Shared, Ended> {
    let alice = stage.alice()?;
    let (direct, kept) = (alice.shared.join(DIRECT), alice.shared.join(KEPT));
    samples::write_noise(direct.clone(), Noise { seed: 1, bytes: DIRECT_BYTES }).await?;
    samples::write_numbers(&kept, KEPT_NUMBERS).await?;
    let share = |path, copy| alice.share(Share { paths: vec![path], copy, ..Share::default() });
    Ok(Shared { direct: only(share(direct, false).await?)?, kept: only(share(kept, true).await?)? })
}

fn only(mut files: Vec<FileRow>) -> Result<FileRow, Ended> {
    match (files.pop(), files.is_empty()) {
        (Some(file), true) => Ok(file),
        _ => Err(Ended::unexpected("demo", "sharing one file did not give one file")),
    }
}

/// Where bytes have to come from.
#[derive(Clone, Copy)]
enum From {
    Owner,
    Copy,
}

/// Fetches a file as you, and checks where it came from and each of its bytes.
async fn fetch(stage: &Stage, file: &FileRow, from: From) -> Result<TransferRow, Ended> {
    let target = Target::Folder(stage.folder("fetched"));
    let get = Get { items: vec![file.id.to_string()], target, ..Get::default() };
    let transfer = within_patience(last_transfer(stage.you()?, get)).await?;
    let (bytes, others) = match from {
        From::Owner => (transfer.bytes_peer, transfer.bytes_copy + transfer.bytes_local),
        From::Copy => (transfer.bytes_copy, transfer.bytes_peer + transfer.bytes_local),
    };
    if bytes != file.size || others != 0 {
        let (peer, copy) = (transfer.bytes_peer, transfer.bytes_copy);
        return Err(not_as_promised(format!(
            "{peer} bytes came from members and {copy} from the copy, of {}",
            file.size
        )));
    }
    let original = stage.folder("alice").join("shared").join(&file.name);
    let (original, fetched) = (original, transfer.path.clone());
    let same = tokio::task::spawn_blocking(move || are_equal(&original, &fetched)).await;
    match same.map_err(|error| Ended::unexpected("demo", error.to_string()))? {
        Ok(true) => Ok(transfer),
        Ok(false) => Err(not_as_promised("the fetched file differs from the shared one".to_owned())),
        Err(error) => Err(Ended::file("compare", &transfer.path, &error)),
    }
}

async fn last_transfer(you: &Client, get: Get) -> Result<TransferRow, Failure> {
    let mut updates = you.call(Command::Get(get)).await;
    let mut last = None;
    while let Some(update) = updates.next().await? {
        if let Update::Transfer(transfer) = update {
            last = Some(*transfer);
        }
    }
    last.ok_or_else(|| Failure::new(FailureKind::Transfer, "demo", "nothing was fetched", ""))
}

fn not_as_promised(message: String) -> Ended {
    Failure::new(FailureKind::Transfer, "demo", message, "").into()
}

/// Compares two files byte by byte.
fn are_equal(one: &Path, other: &Path) -> io::Result<bool> {
    let mut one = BufReader::with_capacity(BLOCK_BYTES, File::open(one)?);
    let mut other = BufReader::with_capacity(BLOCK_BYTES, File::open(other)?);
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let count = left.len().min(right.len());
        if left[..count] != right[..count] || (count == 0 && left.len() != right.len()) {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
        one.consume(count);
        other.consume(count);
    }
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// What a step has to tell.
#[derive(Debug, Default, Serialize)]
struct Told {
    text: String,
    name: Option<String>,
    size: Option<u64>,
    bytes_peer: Option<u64>,
    bytes_copy: Option<u64>,
}

impl Told {
    fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    fn transfer(what: &str, transfer: &TransferRow) -> Self {
        Self {
            text: format!("{} ({}) {what}", transfer.name, human_bytes(transfer.size)),
            name: Some(transfer.name.clone()),
            size: Some(transfer.size),
            bytes_peer: Some(transfer.bytes_peer),
            bytes_copy: Some(transfer.bytes_copy),
        }
    }
}

#[derive(Debug, Serialize)]
struct StepRecord {
    step: &'static str,
    ok: bool,
    #[serde(flatten)]
    told: Told,
    elapsed_ms: u64,
}

impl Record for StepRecord {
    fn kind(&self) -> &'static str {
        "step"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] =
            &[Column::text("STEP"), Column::text("OK"), Column::text("TIME"), Column::text("WHAT")];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        vec![
            self.step.into(),
            (if self.ok { "ok" } else { "failed" }).into(),
            Cell::Elapsed(self.elapsed_ms),
            self.told.text.as_str().into(),
        ]
    }
}

#[derive(Debug, Serialize)]
struct DemoRecord {
    ok: bool,
    steps: u32,
    elapsed_ms: u64,
}

impl Record for DemoRecord {
    fn kind(&self) -> &'static str {
        "demo"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] =
            &[Column::text("DEMO"), Column::text("OK"), Column::text("TIME"), Column::text("STEPS")];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        vec![
            "demo".into(),
            (if self.ok { "ok" } else { "failed" }).into(),
            Cell::Elapsed(self.elapsed_ms),
            format!("{} steps", self.steps).into(),
        ]
    }
}

/// Bytes of the file that is fetched from its owner.
const DIRECT_BYTES: u64 = 64 * 1024 * 1024;
/// The file that is fetched from the copy holds the numbers up to this one, about 6.5 MiB.
const KEPT_NUMBERS: u64 = 1_000_000;
/// Bytes compared at a time.
const BLOCK_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_missing_or_additional_byte_is_a_difference() {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = place.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let mut bytes = vec![7; BLOCK_BYTES + 100];
        let original = write("original", &bytes);
        assert!(are_equal(&original, &write("same", &bytes)).unwrap());
        assert!(!are_equal(&original, &write("shorter", &bytes[1..])).unwrap());
        assert!(!are_equal(&write("shorter", &bytes[..BLOCK_BYTES]), &original).unwrap());
        *bytes.last_mut().unwrap() = 8;
        assert!(!are_equal(&original, &write("other", &bytes)).unwrap());
    }
}
