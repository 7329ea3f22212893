//! Which connected devices hold contents that they do not share, such as what they are fetching. Pure.
//!
//! Invariant: a device stands in `by_blob` under a blob exactly while that blob stands in its list.

use std::collections::{BTreeMap, BTreeSet};

use shared::id::{AccountId, BlobHash, DeviceId};

/// A content: its hash, and its size as the index names it.
pub type Content = (BlobHash, u64);

/// Contents by device, and devices by content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    by_device: BTreeMap<DeviceId, (AccountId, BTreeSet<Content>)>,
    by_blob: BTreeMap<Content, BTreeSet<DeviceId>>,
}

impl Holdings {
    /// A device holds these contents and nothing else. Gives the devices that hold one of those which it did not hold
    /// before, with these contents.
    pub fn set(
        &mut self,
        device: DeviceId,
        account: AccountId,
        contents: BTreeSet<Content>,
    ) -> BTreeMap<DeviceId, Vec<BlobHash>> {
        let before = self.by_device.get(&device).map(|(_, contents)| contents.clone()).unwrap_or_default();
        for gone in before.difference(&contents) {
            self.unlink(gone, device);
        }
        let mut others: BTreeMap<DeviceId, Vec<BlobHash>> = BTreeMap::new();
        for new in contents.difference(&before) {
            let holders = self.by_blob.entry(*new).or_default();
            for other in holders.iter().filter(|other| **other != device) {
                others.entry(*other).or_default().push(new.0);
            }
            holders.insert(device);
        }
        if contents.is_empty() {
            self.by_device.remove(&device);
        } else {
            self.by_device.insert(device, (account, contents));
        }
        others
    }

    /// A device is gone.
    pub fn forget(&mut self, device: DeviceId) {
        let Some((_, contents)) = self.by_device.remove(&device) else { return };
        for content in contents {
            self.unlink(&content, device);
        }
    }

    /// Who holds a content.
    pub fn of(&self, content: &Content) -> impl Iterator<Item = (DeviceId, AccountId)> {
        let holders = self.by_blob.get(content).into_iter().flatten();
        holders.filter_map(|device| Some((*device, self.by_device.get(device)?.0)))
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

    #[test]
    fn who_holds_the_same_hears_of_it_and_nobody_else_does() {
        let mut holdings = Holdings::default();
        assert!(holdings.set(LAPTOP, ANNA, [content(1), content(2)].into()).is_empty());
        let told = holdings.set(PHONE, BEN, [content(2), content(3)].into());
        assert_eq!(told, [(LAPTOP, vec![BlobHash([2; 32])])].into());
        assert!(holdings.set(PHONE, BEN, [content(2)].into()).is_empty(), "nothing of it is new");
        assert_eq!(holdings.of(&content(2)).collect::<Vec<_>>(), [(LAPTOP, ANNA), (PHONE, BEN)]);
        assert_eq!(holdings.of(&(BlobHash([2; 32]), 77)).count(), 0, "another size is another content");
    }

    #[test]
    fn a_device_that_is_gone_holds_nothing() {
        let mut holdings = Holdings::default();
        holdings.set(LAPTOP, ANNA, [content(1)].into());
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
                    holdings.set(device, ANNA, contents.into_iter().map(content).collect());
                }
                let mut by_blob: BTreeMap<Content, BTreeSet<DeviceId>> = BTreeMap::new();
                for (device, (_, contents)) in &holdings.by_device {
                    prop_assert!(!contents.is_empty());
                    for content in contents {
                        by_blob.entry(*content).or_default().insert(*device);
                    }
                }
                prop_assert_eq!(&by_blob, &holdings.by_blob);
            }
        }
    }
}
