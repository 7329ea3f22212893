//! A file that is read while it arrives: how far its bytes are verified, how far its readers are, and what becomes of
//! it when they leave.
//!
//! The bytes lie in a partial file in a hidden folder. A reader that was cut off keeps them for the next one; the last
//! reader that has all, or enough, takes them along.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use shared::{id::BlobHash, show::show_line, wire::tracker::Item};
use tokio::sync::watch;

use super::{
    Transfer, Wish,
    plan::{base_of, queue, resolve},
    protected, quit, work,
};
use crate::engine::{
    api::{Failure, FailureKind, From, Get, Target, TransferState},
    core::Core,
    link,
    rows::name_of,
    state::PlannedFile,
};

/// What can be read of a transfer, and who reads it.
#[derive(Debug, Default)]
pub struct Stream {
    offer: watch::Sender<Option<Offer>>,
    readers: watch::Sender<BTreeMap<u64, Reading>>,
}

/// What can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub blob: BlobHash,
    pub size: u64,
    pub path: PathBuf,
    /// Bytes from the beginning that are verified and written.
    pub ready: u64,
}

/// How far a reader is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// Bytes that it has handed on.
    pub at: u64,
    /// It wants no more.
    pub enough: bool,
}

impl Reading {
    /// What holds once this was said. Messages overtake each other, and nobody reads backwards.
    fn heard(self, said: Self) -> Self {
        Self { at: self.at.max(said.at), enough: self.enough || said.enough }
    }
}

impl Stream {
    /// Bytes of a content can be read from here on.
    pub fn begin(&self, offer: Offer) {
        self.offer.send_replace(Some(offer));
    }

    /// So many bytes from the beginning are verified by now.
    pub fn ready(&self, bytes: u64) {
        self.offer.send_if_modified(|offer| match offer {
            Some(offer) if offer.ready < bytes => {
                offer.ready = bytes;
                true
            }
            Some(_) | None => false,
        });
    }

    /// This content is not coming any more.
    pub fn withdraw(&self) {
        self.offer.send_replace(None);
    }

    /// Whether a reader may have bytes of this content already: then no other content may follow.
    pub fn is_read(&self) -> bool {
        self.offer.borrow().as_ref().is_some_and(|offer| offer.ready > 0)
    }

    /// What can be read, as it grows.
    pub fn offers(&self) -> watch::Receiver<Option<Offer>> {
        self.offer.subscribe()
    }

    /// The byte that is needed next by whoever is furthest behind; `None` while nobody reads.
    pub fn needed_next(&self) -> Option<u64> {
        self.readers.borrow().values().map(|reading| reading.at).min()
    }

    fn has_all(&self) -> bool {
        self.offer.borrow().as_ref().is_some_and(|offer| offer.ready == offer.size)
    }
}

/// Somebody who reads a transfer. Where it is dropped, the reader was cut off: the transfer pauses if it was the last.
#[derive(Debug)]
pub struct Reader {
    pub transfer: Arc<Transfer>,
    pub number: u64,
    readings: watch::Receiver<BTreeMap<u64, Reading>>,
    left: bool,
}

impl Reader {
    fn enter(transfer: Arc<Transfer>) -> Self {
        let number = rand::random();
        transfer.stream.readers.send_modify(|readers| {
            readers.insert(number, Reading::default());
        });
        let readings = transfer.stream.readers.subscribe();
        Self { transfer, number, readings, left: false }
    }

    /// How far it is.
    pub fn reading(&self) -> Reading {
        self.readings.borrow().get(&self.number).copied().unwrap_or_default()
    }

    /// Waits until a reader has moved.
    pub async fn moved(&mut self) {
        // The sender lives as long as the transfer.
        let _closed = self.readings.changed().await;
    }

    /// It has all, or enough. What came is dropped with the last reader.
    pub async fn leave(mut self, core: &Arc<Core>) {
        let _entering = core.transfers.streaming.lock().await;
        if !self.go() {
            return;
        }
        if self.transfer.is_active() {
            quit(core, &self.transfer, Wish::Cancel).await;
        } else {
            work::discard(core, &self.transfer).await;
        }
        self.transfer.stream.withdraw();
    }

    /// Takes it off the list; tells whether it was the last.
    fn go(&mut self) -> bool {
        self.left = true;
        let mut is_last = false;
        self.transfer.stream.readers.send_modify(|readers| {
            readers.remove(&self.number);
            is_last = readers.is_empty();
        });
        is_last
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.left && self.go() && self.transfer.is_active() {
            self.transfer.rest();
        }
    }
}

/// Notes how far a reader is.
pub fn note(core: &Core, number: u64, reading: Reading) -> Result<(), Failure> {
    let all = core.transfers.all();
    let noted = all.values().any(|transfer| {
        let mut is_known = false;
        transfer.stream.readers.send_if_modified(|readers| match readers.get_mut(&number) {
            Some(known) => {
                is_known = true;
                let before = *known;
                *known = before.heard(reading);
                *known != before
            }
            None => false,
        });
        is_known
    });
    if noted {
        return Ok(());
    }
    Err(Failure::new(FailureKind::NotFound, "no_reader", "nobody of that number reads a stream here", ""))
}

/// What a reader wants.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// A file of the index.
    pub item: &'a str,
    /// Which sources may serve.
    pub from: From,
    /// Whether to wait for a source.
    pub wait: bool,
    /// Whether it knows what to do with a protected one.
    pub opens: bool,
}

/// Begins to fetch one file for a reader, or goes on where one was cut off.
pub async fn start(core: &Arc<Core>, wanted: Wanted<'_>) -> Result<Reader, Failure> {
    let Wanted { item, from, wait, opens } = wanted;
    let item = resolve(core, link::parse_item(item)?).await?;
    let Item::File(entry) = &item else {
        return Err(no_stream(&item));
    };
    if entry.protected && !opens {
        return Err(protected::password_needed(&entry.path));
    }
    let plan =
        Get { items: vec![entry.id.to_string()], target: Target::Stream, from, wait, raw: true, ..Get::default() };
    let _entering = core.transfers.streaming.lock().await;
    let before = {
        let all = core.transfers.all();
        let same = |other: &Get| (&other.items, &other.target, other.from) == (&plan.items, &plan.target, plan.from);
        let mut before = all.values().filter(|other| same(&other.plan) && other.state() != TransferState::Cancelled);
        before.next().cloned()
    };
    if let Some(before) = before {
        let is_kept = before.is_active() || base_of(core, &before.plan).exists();
        // Whoever was cut off has bytes of one content: only the same one may go on.
        if is_kept && before.row().hash == Some(entry.blob) {
            let reader = Reader::enter(before);
            if reader.transfer.state() != TransferState::Done || !reader.transfer.stream.has_all() {
                reader.transfer.go_on();
                core.transfers.wake.notify_one();
            }
            return Ok(reader);
        }
        if is_kept && before.stream.needed_next().is_none() {
            quit(core, &before, Wish::Cancel).await;
        }
    }
    Ok(Reader::enter(queue(core, plan, &item, std::slice::from_ref(entry)).await?))
}

fn no_stream(item: &Item) -> Failure {
    let path = match item {
        Item::File(file) => &file.path,
        Item::Folder(folder) => &folder.path,
    };
    Failure::new(
        FailureKind::Usage,
        "folder_to_stdout",
        format!("{} is a folder, which is no stream of bytes", show_line(name_of(path), 100)),
        "name one file of it, or a folder with -o",
    )
}

/// The content that is being read cannot be had any more.
pub fn changed(file: &PlannedFile) -> Failure {
    let name = show_line(name_of(&file.path), 100);
    Failure::new(
        FailureKind::Transfer,
        "changed",
        format!("{name} was replaced by a new version while it was read, and nobody has the old one"),
        "run the command again for the new version, from its beginning",
    )
}

#[cfg(test)]
mod tests {
    use super::Reading;

    #[test]
    fn a_message_that_was_overtaken_takes_nothing_back() {
        let all = Reading { at: 100, enough: false };
        let late = Reading { at: 60, enough: false };
        assert_eq!(Reading::default().heard(all).heard(late), all);
        let enough = Reading { at: 100, enough: true };
        assert_eq!(Reading::default().heard(enough).heard(late), enough);
    }
}
