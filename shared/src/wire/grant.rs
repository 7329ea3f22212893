//! Grants: the tracker's signed, short-lived word that a device may fetch blobs. Every source checks it.

use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::codec;
use crate::{
    id::{BlobHash, DeviceId},
    limits::{CLOCK_SKEW, GRANT_BLOBS_MAX, GRANT_LIFE},
};

const CONTEXT: &[u8] = b"swapmeet grant 1\0";

/// What the tracker allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Who may fetch; the source compares it with the certificate of the connection.
    pub device: DeviceId,
    /// When the word ends, in milliseconds since 1970 by the tracker's clock.
    pub expires_ms: i64,
    /// What may be fetched, sorted.
    pub blobs: Vec<BlobHash>,
}

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
    /// Signs this grant with the tracker's grant key.
    #[must_use]
    pub fn sign(mut self, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> SignedGrant {
        self.blobs.sort_unstable();
        let body = postcard::to_stdvec(&self).unwrap_or_default();
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

    /// Whether this grant allows that blob.
    #[must_use]
    pub fn allows(&self, blob: &BlobHash) -> bool {
        self.blobs.binary_search(blob).is_ok()
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
        if grant.blobs.len() > GRANT_BLOBS_MAX || !grant.blobs.is_sorted() {
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

    fn grant() -> Grant {
        Grant { device: DeviceId([1; 16]), expires_ms: 1_000_000, blobs: vec![BlobHash([9; 32]), BlobHash([2; 32])] }
    }

    fn signed(seed: u8) -> (SignedGrant, [u8; 32]) {
        let (pair, public) = key(seed);
        (grant().sign(|bytes| pair.sign(bytes).as_ref().try_into().unwrap()), public)
    }

    #[test]
    fn a_good_grant_allows_its_blobs_and_no_other() {
        let (signed, public) = signed(1);
        let grant = signed.check(&public, DeviceId([1; 16])).unwrap();
        assert!(grant.allows(&BlobHash([9; 32])) && grant.allows(&BlobHash([2; 32])));
        assert!(!grant.allows(&BlobHash([3; 32])));
    }

    #[test]
    fn a_grant_of_another_tracker_is_forged() {
        let (signed, _) = signed(1);
        assert_eq!(signed.check(&key(2).1, DeviceId([1; 16])), Err(GrantError::Forged));
    }

    #[test]
    fn a_changed_grant_is_forged() {
        let (mut signed, public) = signed(1);
        signed.body[20] ^= 1;
        assert_eq!(signed.check(&public, DeviceId([1; 16])), Err(GrantError::Forged));
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
