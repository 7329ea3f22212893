//! What came off a lane's stream and was not verified yet.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use tokio::sync::mpsc::{self, error::TryRecvError};

use super::{LaneError, PeerMisbehaved};
use crate::{
    limits::PEER_FRAME_BYTES_MAX,
    wire::{
        codec::{self, LENGTH_BYTES},
        peer::FetchReply,
    },
};

/// Received bytes in order, read as a stream by the verifying thread.
pub(super) struct Pieces {
    receiver: mpsc::Receiver<Vec<Bytes>>,
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
}

/// No more bytes came.
pub(super) struct Starved;

impl Pieces {
    pub(super) const fn new(receiver: mpsc::Receiver<Vec<Bytes>>) -> Self {
        Self { receiver, waiting: VecDeque::new(), waiting_bytes: 0 }
    }

    /// Whether the next read of so many bytes would wait. A part of them may be there.
    pub(super) fn would_wait(&mut self, bytes: usize) -> bool {
        while self.waiting_bytes < bytes {
            match self.receiver.try_recv() {
                Ok(batch) => self.add(batch),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return true,
            }
        }
        false
    }

    pub(super) fn add(&mut self, batch: Vec<Bytes>) {
        self.waiting_bytes += batch.iter().map(Bytes::len).sum::<usize>();
        self.waiting.extend(batch);
    }

    pub(super) fn fill(&mut self, mut buffer: &mut [u8]) -> Result<(), Starved> {
        while !buffer.is_empty() {
            let Some(piece) = self.waiting.front_mut() else {
                let batch = self.receiver.blocking_recv().ok_or(Starved)?;
                self.add(batch);
                continue;
            };
            let count = piece.len().min(buffer.len());
            let (filled, rest) = buffer.split_at_mut(count);
            piece.copy_to_slice(filled);
            self.waiting_bytes -= count;
            buffer = rest;
            if piece.is_empty() {
                self.waiting.pop_front();
            }
        }
        Ok(())
    }

    /// Appends the next bytes to a buffer, which is not cleared before.
    pub(super) fn append(&mut self, buffer: &mut Vec<u8>, mut bytes: usize) -> Result<(), Starved> {
        while bytes > 0 {
            let Some(piece) = self.waiting.front_mut() else {
                let batch = self.receiver.blocking_recv().ok_or(Starved)?;
                self.add(batch);
                continue;
            };
            let count = piece.len().min(bytes);
            buffer.extend_from_slice(&piece[..count]);
            piece.advance(count);
            self.waiting_bytes -= count;
            bytes -= count;
            if piece.is_empty() {
                self.waiting.pop_front();
            }
        }
        Ok(())
    }

    pub(super) fn reply(&mut self) -> Result<FetchReply, LaneError> {
        let mut prefix = [0; LENGTH_BYTES];
        self.fill(&mut prefix)?;
        let length = codec::body_length(prefix, PEER_FRAME_BYTES_MAX).map_err(PeerMisbehaved::from)?;
        let mut body = vec![0; length];
        self.fill(&mut body)?;
        Ok(codec::decode(&body).map_err(PeerMisbehaved::from)?)
    }
}

impl From<Starved> for LaneError {
    fn from(_: Starved) -> Self {
        // Where the network has a better reason, that one is told.
        PeerMisbehaved::ShortStream.into()
    }
}
