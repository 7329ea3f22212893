//! Which connected devices hold contents that they do not share, such as what they are fetching. Pure.
//!
//! Invariant: a device stands in `by_blob` under a blob exactly while that blob stands in its list.

use std::collections::{BTreeMap, BTreeSet};

use shared::id::{AccountId, BlobHash, DeviceId, FileId};

/// A content: its hash, and its size as the index names it.
pub type Content = (BlobHash, u64);

/// Contents, each with the files as which a device fetched it.
pub type Held = BTreeMap<Content, BTreeSet<FileId>>;

/// A device that holds a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The device.
    pub device: DeviceId,
    /// Its member.
    pub account: AccountId,
    /// As which files it fetched the content. Not empty.
    pub files: BTreeSet<FileId>,
}

/// Contents by device, and devices by content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    by_device: BTreeMap<DeviceId, (AccountId, Held)>,
    by_blob: BTreeMap<Content, BTreeSet<DeviceId>>,
}

impl Holdings {
    /// A device holds these contents and nothing else. Gives the devices that hold one of those which it did not hold
    /// before, with these contents.
    pub fn set(&mut self, device: DeviceId, account: AccountId, held: Held) -> BTreeMap<DeviceId, Vec<BlobHash>> {
        let before = self.by_device.remove(&device).map(|(_, held)| held).unwrap_or_default();
        for gone in before.keys().filter(|content| !held.contains_key(content)) {
            self.unlink(gone, device);
        }
        let mut others: BTreeMap<DeviceId, Vec<BlobHash>> = BTreeMap::new();
        for new in held.keys().filter(|content| !before.contains_key(content)) {
            let holders = self.by_blob.entry(*new).or_default();
            for other in holders.iter().filter(|other| **other != device) {
                others.entry(*other).or_default().push(new.0);
            }
            holders.insert(device);
        }
        if !held.is_empty() {
            self.by_device.insert(device, (account, held));
        }
        others
    }

    /// A device is gone.
    pub fn forget(&mut self, device: DeviceId) {
        let Some((_, held)) = self.by_device.remove(&device) else { return };
        for content in held.keys() {
            self.unlink(content, device);
        }
    }

    /// Who holds a content.
    pub fn of(&self, content: &Content) -> impl Iterator<Item = Holder> {
        let holders = self.by_blob.get(content).into_iter().flatten();
        holders.filter_map(|device| {
            let (account, held) = self.by_device.get(device)?;
            Some(Holder { device: *device, account: *account, files: held.get(content)?.clone() })
        })
    }

    /// Who holds a content of this hash, of whatever size.
    pub fn of_blob(&self, blob: BlobHash) -> impl Iterator<Item = DeviceId> {
        self.by_blob.range((blob, 0)..=(blob, u64::MAX)).flat_map(|(_, devices)| devices).copied()
    }

    /// Every file that a device holds, with its content.
    pub fn files(&self) -> impl Iterator<Item = (FileId, BlobHash)> {
        let held = self.by_device.values().flat_map(|(_, held)| held);
        held.flat_map(|((blob, _), files)| files.iter().map(|file| (*file, *blob)))
    }

    fn unlink(&mut self, content: &Content, device: DeviceId) {
        if let Some(holders) = self.by_blob.get_mut(content) {
            holders.remove(&device);
            if holders.is_empty() {
                self.by_blob.remove(content);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANNA: AccountId = AccountId([1; 16]);
    const BEN: AccountId = AccountId([2; 16]);
    const LAPTOP: DeviceId = DeviceId([1; 16]);
    const PHONE: DeviceId = DeviceId([2; 16]);

    fn content(n: u8) -> Content {
        (BlobHash([n; 32]), u64::from(n))
    }

    /// These contents, each fetched as the file of its number.
    fn held(contents: impl IntoIterator<Item = u8>) -> Held {
        contents.into_iter().map(|n| (content(n), [FileId([n; 16])].into())).collect()
    }

    #[test]
    fn who_holds_the_same_hears_of_it_and_nobody_else_does() {
        let mut holdings = Holdings::default();
        assert!(holdings.set(LAPTOP, ANNA, held([1, 2])).is_empty());
        let told = holdings.set(PHONE, BEN, held([2, 3]));
        assert_eq!(told, [(LAPTOP, vec![BlobHash([2; 32])])].into());
        assert!(holdings.set(PHONE, BEN, held([2])).is_empty(), "nothing of it is new");
        let holder = |device, account| Holder { device, account, files: [FileId([2; 16])].into() };
        assert_eq!(holdings.of(&content(2)).collect::<Vec<_>>(), [holder(LAPTOP, ANNA), holder(PHONE, BEN)]);
        assert_eq!(holdings.of(&(BlobHash([2; 32]), 77)).count(), 0, "another size is another content");
        assert_eq!(holdings.of_blob(BlobHash([2; 32])).collect::<Vec<_>>(), [LAPTOP, PHONE], "of whatever size");
        assert_eq!(holdings.files().count(), 3);
    }

    #[test]
    fn a_device_that_is_gone_holds_nothing() {
        let mut holdings = Holdings::default();
        holdings.set(LAPTOP, ANNA, held([1]));
        holdings.forget(LAPTOP);
        assert_eq!(holdings, Holdings::default());
    }

    proptest! {
        #[test]
        fn both_directions_always_agree(
            steps in proptest::collection::vec((0u8..4, proptest::collection::btree_set(0u8..5, 0..4), any::<bool>()), 0..40)
        ) {
            let mut holdings = Holdings::default();
            for (device, contents, leaves) in steps {
                let device = DeviceId([device; 16]);
                if leaves {
                    holdings.forget(device);
                } else {
                    holdings.set(device, ANNA, held(contents));
                }
                let mut by_blob: BTreeMap<Content, BTreeSet<DeviceId>> = BTreeMap::new();
                for (device, (_, held)) in &holdings.by_device {
                    prop_assert!(!held.is_empty());
                    for content in held.keys() {
                        by_blob.entry(*content).or_default().insert(*device);
                    }
                }
                prop_assert_eq!(&by_blob, &holdings.by_blob);
            }
        }
    }
}
