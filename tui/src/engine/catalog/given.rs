//! What this device lets another one have without the tracker's word: files that it offers in a private channel, for as
//! long as that lasts.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use shared::{
    id::{BlobHash, DeviceId, ItemId},
    transfer::content::Content,
    wire::{Code, Refusal, peer::Want},
};

/// Blobs given to devices, each in one channel or several.
#[derive(Debug, Default)]
pub struct Given(Mutex<BTreeMap<(DeviceId, BlobHash, ItemId), Arc<Gift>>>);

/// A content that is given until its channel ends.
#[derive(Debug)]
struct Gift {
    name: Arc<str>,
    content: Arc<dyn Content>,
    over: AtomicBool,
}

impl Given {
    /// Lets a device have a content until [`Given::end`].
    pub fn give(&self, channel: ItemId, device: DeviceId, blob: BlobHash, name: &str, content: Arc<dyn Content>) {
        let gift = Gift { name: name.into(), content, over: AtomicBool::new(false) };
        self.all().insert((device, blob, channel), Arc::new(gift));
    }

    /// A channel is over: what was given in it is taken back, in the middle of a transfer too.
    pub fn end(&self, channel: ItemId) {
        self.all().retain(|(.., of), gift| {
            let kept = *of != channel;
            if !kept {
                gift.over.store(true, Ordering::Relaxed);
            }
            kept
        });
    }

    /// Whether a device may have a blob.
    pub fn holds(&self, blob: &BlobHash, device: DeviceId) -> bool {
        self.find(blob, device).is_some()
    }

    /// What a device is given, with its name; `None`: nothing of this content.
    pub fn open(&self, want: &Want, device: DeviceId) -> Option<(Arc<str>, Arc<dyn Content>)> {
        let gift = self.find(&want.blob, device)?;
        (gift.size() == want.size).then(|| (gift.name.clone(), gift as Arc<dyn Content>))
    }

    fn find(&self, blob: &BlobHash, device: DeviceId) -> Option<Arc<Gift>> {
        let (first, last) = ((device, *blob, ItemId([0; 16])), (device, *blob, ItemId([u8::MAX; 16])));
        self.all().range(first..=last).next().map(|(_, gift)| gift.clone())
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<(DeviceId, BlobHash, ItemId), Arc<Gift>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Content for Gift {
    fn size(&self) -> u64 {
        self.content.size()
    }

    async fn data(&self, range: Range<u64>) -> Result<Bytes, Refusal> {
        if self.over.load(Ordering::Relaxed) {
            return Err(Refusal::new(Code::Forbidden, "the private channel is over"));
        }
        self.content.data(range).await
    }

    async fn tree(&self, range: Range<u64>) -> Result<Bytes, Refusal> {
        self.content.tree(range).await
    }
}

#[cfg(test)]
mod tests {
    use shared::{content::tree_of, transfer::content::SmallContent};

    use super::*;

    fn content() -> (BlobHash, Arc<dyn Content>) {
        let blob = tree_of(b"hello", 0, true).blob();
        (blob, Arc::new(SmallContent::verified(Bytes::from_static(b"hello"), blob).unwrap()))
    }

    fn want(blob: BlobHash, size: u64) -> Want {
        Want { blob, size, groups: Vec::new() }
    }

    #[tokio::test]
    async fn a_gift_is_for_one_device_and_lasts_as_long_as_its_channel() {
        let (given, (blob, content)) = (Given::default(), content());
        let (anna, ben) = (DeviceId([1; 16]), DeviceId([2; 16]));
        given.give(ItemId([7; 16]), anna, blob, "a", content.clone());
        assert!(given.holds(&blob, anna) && !given.holds(&blob, ben) && !given.holds(&BlobHash([9; 32]), anna));
        assert!(given.open(&want(blob, 6), anna).is_none(), "another size is another file");
        let (_, open) = given.open(&want(blob, 5), anna).unwrap();
        assert_eq!(open.data(0..5).await.unwrap(), "hello");
        // The same file in another channel goes on there.
        given.give(ItemId([8; 16]), anna, blob, "b", content);
        given.end(ItemId([7; 16]));
        assert_eq!(open.data(0..5).await.unwrap_err().code, Code::Forbidden);
        assert!(given.holds(&blob, anna));
        given.end(ItemId([8; 16]));
        assert!(!given.holds(&blob, anna));
    }
}
