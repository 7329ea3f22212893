//! Datagrams on a byte stream: capsules (RFC 9297, section 3.2) that carry UDP payloads (RFC 9298, section 5). Pure:
//! bytes go in and come out.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::limits::DATAGRAM_BYTES_MAX;

/// Why a stream carries no datagrams (any more).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CapsuleError {
    /// No datagram of ours is that long.
    #[error("a datagram of {length} bytes")]
    TooLarge {
        /// Bytes announced.
        length: u64,
    },
}

/// Appends one datagram to what is to be sent.
pub fn put(out: &mut BytesMut, payload: &[u8]) {
    put_number(out, DATAGRAM);
    // The context's number is one byte.
    put_number(out, payload.len() as u64 + 1);
    put_number(out, UDP_PAYLOAD);
    out.put_slice(payload);
}

/// Takes datagrams out of received bytes. Holds no more than one incomplete datagram besides what was read at once.
#[derive(Debug, Default)]
pub struct Capsules {
    /// Where received bytes are appended.
    pub received: BytesMut,
    /// Bytes still to come of something that is not for us.
    skip: u64,
}

impl Capsules {
    /// The next whole datagram; `None`: more bytes are needed. What is no UDP payload is passed over, as the RFC demands.
    ///
    /// # Errors
    /// When a datagram is longer than any of ours.
    pub fn take(&mut self) -> Result<Option<Bytes>, CapsuleError> {
        loop {
            let passed = usize::try_from(self.skip).unwrap_or(usize::MAX).min(self.received.len());
            self.received.advance(passed);
            self.skip -= passed as u64;
            if self.skip > 0 {
                return Ok(None);
            }
            let mut head = &self.received[..];
            let (Some(kind), Some(length)) = (number(&mut head), number(&mut head)) else { return Ok(None) };
            let head_bytes = self.received.len() - head.len();
            if kind != DATAGRAM {
                self.received.advance(head_bytes);
                self.skip = length;
                continue;
            }
            if length > u64::from(DATAGRAM_BYTES_MAX) + CONTEXT_BYTES_MAX {
                return Err(CapsuleError::TooLarge { length });
            }
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if head.len() < length {
                return Ok(None);
            }
            self.received.advance(head_bytes);
            let mut payload = self.received.split_to(length).freeze();
            let mut context = &payload[..];
            if number(&mut context) == Some(UDP_PAYLOAD) {
                let context_bytes = payload.len() - context.len();
                payload.advance(context_bytes);
                return Ok(Some(payload));
            }
        }
    }
}

/// A variable-length integer (RFC 9000, section 16); `None`: it is not whole.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let first = *bytes.first()?;
    let length = 1 << (first >> 6);
    let (own, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(own[1..].iter().fold(u64::from(first & 0x3f), |number, byte| number << 8 | u64::from(*byte)))
}

/// Writes a variable-length integer below 2^30.
fn put_number(out: &mut BytesMut, number: u64) {
    match number {
        0..0x40 => out.put_u8(number as u8),
        0x40..0x4000 => out.put_u16(number as u16 | 0x4000),
        _ => out.put_u32(number as u32 | 0x8000_0000),
    }
}

/// Capsule type of a datagram (RFC 9297, section 3.5).
const DATAGRAM: u64 = 0;
/// Context of a datagram that is a UDP payload (RFC 9298, section 5).
const UDP_PAYLOAD: u64 = 0;
/// Bytes of the longest number that names a context.
const CONTEXT_BYTES_MAX: u64 = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(capsules: &mut Capsules) -> Vec<Bytes> {
        std::iter::from_fn(|| capsules.take().expect("these are fine")).collect()
    }

    #[test]
    fn numbers_are_those_of_the_rfc() {
        // The examples of RFC 9000, appendix A.1.
        for (bytes, expected) in [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ] {
            assert_eq!(number(&mut &bytes[..]), Some(expected));
            assert_eq!(number(&mut &bytes[..bytes.len() - 1]), None);
        }
    }

    #[test]
    fn what_is_no_udp_payload_is_passed_over() {
        let mut capsules = Capsules::default();
        // An unknown capsule of 5 bytes, and a datagram of another context.
        capsules.received.put_slice(&[0x17, 5, 1, 2, 3, 4, 5, 0, 3, 2, 9, 9]);
        put(&mut capsules.received, b"for us");
        assert_eq!(all(&mut capsules), [&b"for us"[..]]);
    }

    #[test]
    fn an_endless_unknown_capsule_costs_no_memory() {
        let mut capsules = Capsules::default();
        capsules.received.put_slice(&[0x17, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        for _ in 0..10 {
            capsules.received.put_slice(&[0; 1000]);
            assert_eq!(capsules.take(), Ok(None));
            assert!(capsules.received.is_empty());
        }
    }

    #[test]
    fn a_datagram_longer_than_ours_is_refused_before_it_came() {
        let mut capsules = Capsules::default();
        capsules.received.put_slice(&[0, 0x80, 0x01, 0, 0]);
        assert_eq!(capsules.take(), Err(CapsuleError::TooLarge { length: 0x1_0000 }));
    }

    proptest! {
        #[test]
        fn datagrams_read_back_however_the_stream_is_cut(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20),
            cut in 1_usize..400,
        ) {
            let mut stream = BytesMut::new();
            for payload in &payloads {
                put(&mut stream, payload);
            }
            let mut capsules = Capsules::default();
            let mut read = Vec::new();
            for piece in stream.chunks(cut) {
                capsules.received.put_slice(piece);
                read.extend(all(&mut capsules));
            }
            prop_assert_eq!(read, payloads);
            prop_assert!(capsules.received.is_empty());
        }

        #[test]
        fn random_bytes_never_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut capsules = Capsules::default();
            capsules.received.put_slice(&bytes);
            while let Ok(Some(_)) = capsules.take() {}
        }
    }
}
