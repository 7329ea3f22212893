//! Buffers for blocks that are read from disk, used again: memory that one thread allocates and another one frees
//! piles up in the allocator, and fresh memory has to be zeroed.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::limits::{READ_BLOCK_BYTES, READ_BLOCKS_KEPT_MAX};

/// Buffers of one block each that nobody uses now.
#[derive(Debug)]
pub(super) struct Buffers(Mutex<Vec<Box<[u8]>>>);

/// A buffer in use. It goes back when it is dropped.
#[derive(Debug)]
struct Lent {
    buffers: &'static Buffers,
    block: Box<[u8]>,
    length: usize,
}

impl Buffers {
    /// None yet.
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Fills so many bytes. What is longer than a block gets memory of its own.
    ///
    /// # Errors
    /// Those of `fill`.
    pub(super) fn fill<E>(
        &'static self,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Bytes, E> {
        if length <= SMALL || length > BLOCK {
            let mut bytes = vec![0; length];
            fill(&mut bytes)?;
            return Ok(bytes.into());
        }
        let mut lent = Lent { buffers: self, block: self.take(), length };
        fill(&mut lent.block[..length])?;
        Ok(Bytes::from_owner(lent))
    }

    fn take(&self) -> Box<[u8]> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| vec![0; BLOCK].into_boxed_slice())
    }

    fn put(&self, block: Box<[u8]>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < READ_BLOCKS_KEPT_MAX {
            kept.push(block);
        }
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.block[..self.length]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.buffers.put(std::mem::take(&mut self.block));
    }
}

/// Bytes of a buffer.
const BLOCK: usize = READ_BLOCK_BYTES as usize;
/// Bytes for which a whole buffer would be a waste.
const SMALL: usize = BLOCK / 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(buffers: &'static Buffers, length: usize, with: u8) -> Bytes {
        let done: Result<_, ()> = buffers.fill(length, |bytes| {
            bytes.fill(with);
            Ok(())
        });
        done.unwrap()
    }

    fn kept(buffers: &Buffers) -> usize {
        buffers.0.lock().unwrap().len()
    }

    #[test]
    fn a_buffer_is_used_again_once_the_last_piece_of_it_is_gone() {
        static BUFFERS: Buffers = Buffers::new();
        let bytes = filled(&BUFFERS, BLOCK, 1);
        let piece = bytes.slice(10..20);
        drop(bytes);
        assert_eq!(kept(&BUFFERS), 0);
        drop(piece);
        assert_eq!(kept(&BUFFERS), 1);
        let shorter = filled(&BUFFERS, SMALL + 1, 2);
        assert_eq!((kept(&BUFFERS), shorter.len()), (0, SMALL + 1));
        assert!(shorter.iter().all(|byte| *byte == 2));
    }

    #[test]
    fn no_more_buffers_are_kept_than_the_limit_says() {
        static BUFFERS: Buffers = Buffers::new();
        let many: Vec<Bytes> = (0..READ_BLOCKS_KEPT_MAX + 3).map(|_| filled(&BUFFERS, BLOCK, 3)).collect();
        drop(many);
        assert_eq!(kept(&BUFFERS), READ_BLOCKS_KEPT_MAX);
    }

    #[test]
    fn small_and_very_large_reads_get_memory_of_their_own() {
        static BUFFERS: Buffers = Buffers::new();
        for length in [0, 1, SMALL, BLOCK + 1] {
            assert_eq!(filled(&BUFFERS, length, 4), vec![4; length]);
        }
        assert_eq!(kept(&BUFFERS), 0);
    }

    #[test]
    fn a_read_that_fails_gives_its_buffer_back() {
        static BUFFERS: Buffers = Buffers::new();
        assert_eq!(BUFFERS.fill(BLOCK, |_| Err("no")), Err("no"));
        assert_eq!(kept(&BUFFERS), 1);
    }
}
