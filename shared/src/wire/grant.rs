//! Grants: the tracker's signed, short-lived word that a device may fetch blobs from certain sources. Every source checks
//! it.
//!
//! A grant names sources and not contents alone: whoever knows the hash of a content can publish it as its own, and may
//! then fetch what it published, but not from those who share the same content with others.

use std::collections::{BTreeMap, BTreeSet};

use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::codec;
use crate::{
    id::{BlobHash, DeviceId},
    limits::{CLOCK_SKEW, GRANT_BLOBS_MAX, GRANT_LIFE, SOURCES_MAX},
};

const CONTEXT: &[u8] = b"swapmeet grant 2\0";

/// What the tracker allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Who may fetch; the source compares it with the certificate of the connection.
    pub device: DeviceId,
    /// When the word ends, in milliseconds since 1970 by the tracker's clock.
    pub expires_ms: i64,
    /// Devices that some of the blobs may be fetched from.
    pub devices: Vec<DeviceId>,
    /// Which sources some of the blobs may be fetched from, each choice once.
    pub choices: Vec<Choice>,
    /// What may be fetched, ascending, each with its place in `choices`.
    pub blobs: Vec<(BlobHash, u16)>,
}

/// Sources of blobs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Choice {
    /// Places in [`Grant::devices`].
    pub devices: Vec<u16>,
    /// Whether the tracker's copy is one.
    pub copy: bool,
}

/// Who serves a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A member's device.
    Device(DeviceId),
    /// The tracker, from a stored copy.
    Copy,
}

/// Blobs, and from which devices and whether from the tracker's copy each may be fetched.
pub type Allowed = BTreeMap<BlobHash, (BTreeSet<DeviceId>, bool)>;

/// A grant with the tracker's signature (Ed25519, RFC 8032) over its encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedGrant {
    /// The encoded [`Grant`].
    pub body: Vec<u8>,
    /// 64 bytes.
    pub signature: Vec<u8>,
}

/// Why a grant is worth nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Not signed by this tracker.
    #[error("the grant is not signed by this tracker")]
    Forged,
    /// Signed, but not a grant that this program understands.
    #[error("the grant cannot be read")]
    Malformed,
    /// It names another device.
    #[error("the grant belongs to another device")]
    OtherDevice,
}

impl Grant {
    /// A grant for a device.
    #[must_use]
    pub fn new(device: DeviceId, expires_ms: i64, allowed: &Allowed) -> Self {
        let devices: BTreeSet<DeviceId> = allowed.values().flat_map(|(devices, _)| devices).copied().collect();
        let known = Vec::from_iter(devices);
        let place = |device: &DeviceId| known.binary_search(device).ok().and_then(|place| u16::try_from(place).ok());
        let mut places: BTreeMap<Choice, u16> = BTreeMap::new();
        let mut choices = Vec::new();
        let mut blobs = Vec::with_capacity(allowed.len());
        for (blob, (devices, copy)) in allowed {
            let devices = devices.iter().filter_map(place).take(2 * SOURCES_MAX).collect();
            let choice = Choice { devices, copy: *copy };
            // There are no more choices than blobs, and of these a few thousand.
            let next = u16::try_from(choices.len()).unwrap_or(u16::MAX);
            let place = *places.entry(choice.clone()).or_insert(next);
            if place == next {
                choices.push(choice);
            }
            blobs.push((*blob, place));
        }
        Self { device, expires_ms, devices: known, choices, blobs }
    }

    /// Signs this grant with the tracker's grant key.
    #[must_use]
    pub fn sign(&self, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> SignedGrant {
        let body = postcard::to_stdvec(self).unwrap_or_default();
        let signature = sign(&signed_bytes(&body)).to_vec();
        SignedGrant { body, signature }
    }

    /// Whether its time is not over, give or take the clocks' difference.
    #[must_use]
    pub fn holds_at(&self, now_ms: i64) -> bool {
        let skew_ms = i64::try_from(CLOCK_SKEW.as_millis()).unwrap_or(0);
        now_ms <= self.expires_ms.saturating_add(skew_ms)
    }

    /// When it was given, milliseconds since 1970 by the tracker's clock: every grant has the same life.
    #[must_use]
    pub fn given_ms(&self) -> i64 {
        self.expires_ms.saturating_sub(i64::try_from(GRANT_LIFE.as_millis()).unwrap_or(0))
    }

    /// Whether this grant allows that blob to be fetched from this source.
    #[must_use]
    pub fn allows(&self, blob: &BlobHash, source: Source) -> bool {
        let choice = self.blobs.binary_search_by(|(known, _)| known.cmp(blob)).ok();
        let choice = choice.and_then(|place| self.choices.get(usize::from(self.blobs[place].1)));
        choice.is_some_and(|choice| match source {
            Source::Device(device) => {
                choice.devices.iter().any(|place| self.devices.get(usize::from(*place)) == Some(&device))
            }
            Source::Copy => choice.copy,
        })
    }
}

impl SignedGrant {
    /// Checks signature and device. Its time is checked whenever it is used: see [`Grant::holds_at`].
    ///
    /// # Errors
    /// The first of these that does not hold.
    pub fn check(&self, tracker_key: &[u8; 32], device: DeviceId) -> Result<Grant, GrantError> {
        UnparsedPublicKey::new(&ED25519, tracker_key)
            .verify(&signed_bytes(&self.body), &self.signature)
            .map_err(|_| GrantError::Forged)?;
        let grant: Grant = codec::decode(&self.body).map_err(|_| GrantError::Malformed)?;
        let ascending = grant.blobs.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if grant.blobs.len() > GRANT_BLOBS_MAX || !ascending {
            return Err(GrantError::Malformed);
        }
        if grant.device != device {
            return Err(GrantError::OtherDevice);
        }
        Ok(grant)
    }
}

fn signed_bytes(body: &[u8]) -> Vec<u8> {
    [CONTEXT, body].concat()
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    fn key(seed: u8) -> (Ed25519KeyPair, [u8; 32]) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        (pair, public)
    }

    const ASKER: DeviceId = DeviceId([1; 16]);
    const ANNA: Source = Source::Device(DeviceId([2; 16]));
    const BEN: Source = Source::Device(DeviceId([3; 16]));

    fn grant() -> Grant {
        let of = |devices: &[u8], copy| (devices.iter().map(|n| DeviceId([*n; 16])).collect(), copy);
        let allowed = [
            (BlobHash([9; 32]), of(&[2, 3], false)),
            (BlobHash([2; 32]), of(&[3], true)),
            (BlobHash([4; 32]), of(&[3], true)),
            (BlobHash([5; 32]), of(&[], false)),
        ];
        Grant::new(ASKER, 1_000_000, &allowed.into())
    }

    fn signed(seed: u8) -> (SignedGrant, [u8; 32]) {
        let (pair, public) = key(seed);
        (grant().sign(|bytes| pair.sign(bytes).as_ref().try_into().unwrap()), public)
    }

    #[test]
    fn a_good_grant_allows_its_blobs_from_their_sources_and_no_other() {
        let (signed, public) = signed(1);
        let grant = signed.check(&public, ASKER).unwrap();
        let allowed = |blob| [ANNA, BEN, Source::Copy].map(|source| grant.allows(&BlobHash([blob; 32]), source));
        assert_eq!(allowed(9), [true, true, false]);
        assert_eq!(allowed(2), [false, true, true]);
        assert_eq!(allowed(4), [false, true, true]);
        assert_eq!(allowed(5), [false; 3], "nobody has it");
        assert_eq!(allowed(3), [false; 3], "nobody spoke of it");
        assert_eq!(grant.choices.len(), 3, "the same choice is there once");
    }

    #[test]
    fn a_grant_with_places_that_are_not_there_allows_nothing_by_them() {
        let mut bent = grant();
        bent.devices.truncate(1);
        bent.choices.truncate(1);
        assert!(!bent.allows(&BlobHash([9; 32]), ANNA) && !bent.allows(&BlobHash([9; 32]), BEN));
        assert!(!bent.allows(&BlobHash([5; 32]), Source::Copy));
        let (pair, public) = key(1);
        bent.blobs.reverse();
        let unsorted = bent.sign(|bytes| pair.sign(bytes).as_ref().try_into().unwrap());
        assert_eq!(unsorted.check(&public, ASKER), Err(GrantError::Malformed));
    }

    #[test]
    fn a_grant_of_another_tracker_is_forged() {
        let (signed, _) = signed(1);
        assert_eq!(signed.check(&key(2).1, ASKER), Err(GrantError::Forged));
    }

    #[test]
    fn a_changed_grant_is_forged() {
        let (mut signed, public) = signed(1);
        signed.body[20] ^= 1;
        assert_eq!(signed.check(&public, ASKER), Err(GrantError::Forged));
    }

    #[test]
    fn a_replayed_grant_of_another_device_is_refused() {
        let (signed, public) = signed(1);
        assert_eq!(signed.check(&public, DeviceId([7; 16])), Err(GrantError::OtherDevice));
    }

    #[test]
    fn an_old_grant_holds_no_longer_than_the_clock_skew() {
        let skew = i64::try_from(CLOCK_SKEW.as_millis()).unwrap();
        assert!(grant().holds_at(1_000_000 + skew));
        assert!(!grant().holds_at(1_000_001 + skew));
    }
}
