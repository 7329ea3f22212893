//! Contents of others that this device serves beside its own shares: what it is fetching, as far as it is there, and what it
//! fetched since the engine started, as long as it lies where it landed.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use shared::{
    id::{BlobHash, FileId},
    limits::{HELD_FILES_MAX, HOLD_GATHER},
    transfer::{jail::Stamp, partial::Partial},
    wire::tracker::Request,
};
use tokio::{sync::Notify, time::sleep};

use super::{
    core::Core,
    session::{self, Online},
    state::PlannedFile,
};

/// What is held, by content.
#[derive(Debug, Default)]
pub struct Holdings {
    held: Mutex<Table>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<BlobHash, Entry>,
    /// Counts what was ever begun.
    begun: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    file: FileId,
    /// The transfer that it arrives in.
    transfer: i64,
    holding: Holding,
    /// Set while nobody fetches it, but somebody will.
    kept: Option<Arc<Partial>>,
}

/// One content that is held.
#[derive(Debug, Clone)]
pub struct Holding {
    /// Its path in the index, for people.
    pub path: Arc<str>,
    pub what: What,
    /// Set for those who opened it before it was revoked.
    pub revoked: Arc<AtomicBool>,
}

/// How it is there.
#[derive(Debug, Clone)]
pub enum What {
    Arriving(Weak<Partial>),
    Landed { local: Arc<std::path::Path>, stamp: Stamp },
}

impl Holdings {
    /// A file is being fetched, until what is given back is dropped or it has landed.
    pub fn begin(self: &Arc<Self>, transfer: i64, file: &PlannedFile, partial: &Arc<Partial>) -> Arriving {
        let mut table = self.table();
        table.begun += 1;
        let number = table.begun;
        let holding = Holding {
            path: file.path.as_str().into(),
            what: What::Arriving(Arc::downgrade(partial)),
            revoked: Arc::default(),
        };
        table.entries.insert(file.blob, Entry { number, file: file.file, transfer, holding, kept: None });
        table.forget_oldest();
        drop(table);
        self.changed.notify_one();
        Arriving { holdings: self.clone(), blob: file.blob, number }
    }

    /// What is held of a content.
    pub fn get(&self, blob: &BlobHash) -> Option<Holding> {
        self.table().entries.get(blob).map(|entry| entry.holding.clone())
    }

    /// It is not where it was.
    pub fn forget(&self, blob: &BlobHash) {
        if self.table().entries.remove(blob).is_some() {
            self.changed.notify_one();
        }
    }

    /// Grants given before are withdrawn; whoever asks anew is served again.
    pub fn revoke(&self, blob: &BlobHash) {
        if let Some(entry) = self.table().entries.get_mut(blob) {
            entry.holding.revoked.store(true, Ordering::Relaxed);
            entry.holding.revoked = Arc::default();
        }
    }

    /// The same for all of them.
    pub fn revoke_all(&self) {
        for entry in self.table().entries.values_mut() {
            entry.holding.revoked.store(true, Ordering::Relaxed);
            entry.holding.revoked = Arc::default();
        }
    }

    /// A transfer is paused or over: what it left half is nobody's.
    pub fn end(&self, transfer: i64) {
        let mut table = self.table();
        let before = table.entries.len();
        table
            .entries
            .retain(|_, entry| entry.transfer != transfer || matches!(entry.holding.what, What::Landed { .. }));
        let changed = table.entries.len() != before;
        drop(table);
        if changed {
            self.changed.notify_one();
        }
    }

    fn files(&self) -> Vec<FileId> {
        self.table().entries.values().map(|entry| entry.file).collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Changes the entry that goes with a download so that it outlives it.
    fn stay(&mut self, arriving: &Arriving, change: impl FnOnce(&mut Entry)) {
        self.begun += 1;
        if let Some(entry) = self.entries.get_mut(&arriving.blob).filter(|entry| entry.number == arriving.number) {
            entry.number = self.begun;
            change(entry);
        }
    }

    fn forget_oldest(&mut self) {
        while self.entries.len() > HELD_FILES_MAX {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.number).map(|(blob, _)| *blob);
            let Some(oldest) = oldest else { return };
            self.entries.remove(&oldest);
        }
    }
}

/// A file that is being fetched and served meanwhile.
#[derive(Debug)]
pub struct Arriving {
    holdings: Arc<Holdings>,
    blob: BlobHash,
    number: u64,
}

impl Arriving {
    /// It has its name now and is served from there.
    pub fn landed(self, local: &std::path::Path, stamp: Option<Stamp>) {
        let Some(stamp) = stamp else { return };
        let mut table = self.holdings.table();
        table.stay(&self, |entry| entry.holding.what = What::Landed { local: local.into(), stamp });
    }

    /// The fetch waits for a source: what is there is served meanwhile.
    pub fn waits(self, partial: Arc<Partial>) {
        let mut table = self.holdings.table();
        table.stay(&self, |entry| entry.kept = Some(partial));
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let mut table = self.holdings.table();
        if table.entries.get(&self.blob).is_some_and(|entry| entry.number == self.number) {
            table.entries.remove(&self.blob);
            drop(table);
            self.holdings.changed.notify_one();
        }
    }
}

/// Keeps the tracker told, for as long as it can be.
pub async fn announce(core: Arc<Core>, online: Arc<Online>) {
    let holdings = &core.catalog.holdings;
    let mut told = Vec::new();
    loop {
        let mut files = holdings.files();
        files.sort_unstable();
        if files != told {
            if let Err(failure) = session::ask(&online.connection, &Request::Hold { files: files.clone() }).await {
                // An older tracker, or one that is going away: then nobody is sent here.
                return tracing::debug!(%failure, "the tracker does not hear what this device holds");
            }
            told = files;
        }
        holdings.changed.notified().await;
        sleep(HOLD_GATHER).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(n: u8) -> PlannedFile {
        PlannedFile {
            position: 0,
            file: FileId([n; 16]),
            path: format!("{n}.bin"),
            blob: BlobHash([n; 32]),
            size: 5_000_000,
            modified_ms: 0,
            executable: false,
            protected: false,
            landed: None,
        }
    }

    fn begin(holdings: &Arc<Holdings>, n: u8) -> Arriving {
        let mut table = holdings.table();
        table.begun += 1;
        let number = table.begun;
        let holding = Holding { path: "x".into(), what: What::Arriving(Weak::new()), revoked: Arc::default() };
        let file = planned(n);
        table.entries.insert(file.blob, Entry { number, file: file.file, transfer: 7, holding, kept: None });
        drop(table);
        Arriving { holdings: holdings.clone(), blob: BlobHash([n; 32]), number }
    }

    #[test]
    fn a_download_that_ends_early_is_held_no_longer() {
        let holdings = Arc::new(Holdings::default());
        let arriving = begin(&holdings, 1);
        assert_eq!(holdings.files(), [FileId([1; 16])]);
        drop(arriving);
        assert!(holdings.files().is_empty());
    }

    #[test]
    fn the_end_of_an_older_download_of_the_same_content_means_nothing() {
        let holdings = Arc::new(Holdings::default());
        let older = begin(&holdings, 1);
        let _newer = begin(&holdings, 1);
        drop(older);
        assert!(holdings.get(&BlobHash([1; 32])).is_some());
    }

    #[test]
    fn what_has_landed_outlives_its_download_and_the_end_of_its_transfer() {
        let holdings = Arc::new(Holdings::default());
        let here = std::path::Path::new("Cargo.toml");
        let stamp = Stamp::of(&std::fs::File::open(here).expect("a file of this crate")).expect("it has a stamp");
        begin(&holdings, 1).landed(here, Some(stamp));
        let _other = begin(&holdings, 2);
        holdings.end(7);
        assert_eq!(holdings.files(), [FileId([1; 16])]);
        holdings.forget(&BlobHash([1; 32]));
        assert!(holdings.files().is_empty());
    }

    #[test]
    fn revoking_cuts_those_who_opened_before_alone() {
        let holdings = Arc::new(Holdings::default());
        let _arriving = begin(&holdings, 1);
        let before = holdings.get(&BlobHash([1; 32])).expect("just begun");
        holdings.revoke(&BlobHash([1; 32]));
        let after = holdings.get(&BlobHash([1; 32])).expect("still arriving");
        assert!(before.revoked.load(Ordering::Relaxed) && !after.revoked.load(Ordering::Relaxed));
    }
}
