//! The two halves of a stream between whoever serves and whoever fetches: straight on a connection, or sealed and
//! relayed. A sending half never looks complete by accident.

use std::{
    io,
    ops::{Deref, DerefMut},
};

use bytes::Bytes;
use quinn::RecvStream;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use super::{
    frame::{self, ReceiveError, SendError},
    sealed::{SealedReceive, SealedSend},
};
use crate::{
    limits::SERVE_STALL,
    wire::{
        Code,
        codec::{self, LENGTH_BYTES},
    },
};

/// A `SendStream` that is reset when it is dropped before [`Outgoing::finish`]: quinn by itself would finish it, and a
/// cancelled sender would look like a short file.
#[derive(Debug)]
pub struct Outgoing {
    stream: quinn::SendStream,
    finished: bool,
}

impl Outgoing {
    /// Takes charge of a stream.
    #[must_use]
    pub const fn new(stream: quinn::SendStream) -> Self {
        Self { stream, finished: false }
    }

    /// All was sent: the reader may take the stream as complete.
    pub fn finish(mut self) {
        self.finished = true;
        // The only error is that the stream was reset or finished before, which the reader sees by itself.
        drop(self.stream.finish());
    }

    /// Gives up, telling the reader why.
    pub fn reset(mut self, code: Code) {
        self.give_up(code);
    }

    /// The same for one that cannot be given away.
    pub(super) fn give_up(&mut self, code: Code) {
        self.finished = true;
        drop(self.stream.reset(code.number().into()));
    }

    /// What was finished stays so when this is dropped.
    pub(super) const fn leave(&mut self) {
        self.finished = true;
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if !self.finished {
            drop(self.stream.reset(Code::Cancelled.number().into()));
        }
    }
}

impl Deref for Outgoing {
    type Target = quinn::SendStream;

    fn deref(&self) -> &Self::Target {
        &self.stream
    }
}

impl DerefMut for Outgoing {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.stream
    }
}

/// The half that is written to. Dropped before [`Sending::finish`] it is reset.
#[derive(Debug)]
pub enum Sending {
    /// On a connection to the other end.
    Direct(Outgoing),
    /// Under TLS of its own on what somebody else carries.
    Sealed(SealedSend),
}

impl From<Outgoing> for Sending {
    fn from(stream: Outgoing) -> Self {
        Self::Direct(stream)
    }
}

impl Sending {
    /// Writes all of these bytes. Not safe to cancel: give up the stream then.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        match self {
            Self::Direct(stream) => stream.write_all(bytes).await.map_err(SendError::from),
            Self::Sealed(stream) => stream.write_all(bytes).await,
        }
    }

    /// Writes all of these pieces. Not safe to cancel: give up the stream then.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn write_all_chunks(&mut self, pieces: &mut [Bytes]) -> Result<(), SendError> {
        match self {
            Self::Direct(stream) => stream.write_all_chunks(pieces).await.map_err(SendError::from),
            Self::Sealed(stream) => stream.write_all_chunks(pieces).await,
        }
    }

    /// Sends one message of at most `limit` bytes.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send<T: Serialize + Sync>(&mut self, message: &T, limit: usize) -> Result<(), SendError> {
        self.write_all(&codec::encode(message, limit)?).await
    }

    /// Tells the reader that nothing more comes. What was sent still arrives only if this is not dropped before
    /// [`Sending::finish`].
    pub async fn end(&mut self) {
        match self {
            // The only error is that the stream was reset or finished before, which the reader sees by itself.
            Self::Direct(stream) => drop(stream.stream.finish()),
            Self::Sealed(stream) => stream.end().await,
        }
    }

    /// All was sent: the reader may take the stream as complete.
    pub async fn finish(self) {
        match self {
            Self::Direct(stream) => stream.finish(),
            // A sealed goodbye needs room on the stream, which a reader that takes nothing never gives.
            Self::Sealed(stream) => {
                if timeout(SERVE_STALL, stream.finish()).await.is_err() {
                    tracing::debug!("the reader of a relayed stream did not take its end");
                }
            }
        }
    }

    /// Gives up, telling the reader why.
    pub fn reset(self, code: Code) {
        match self {
            Self::Direct(stream) => stream.reset(code),
            Self::Sealed(stream) => stream.reset(code),
        }
    }
}

/// The half that is read from. Dropped before its end it is stopped.
#[derive(Debug)]
pub enum Receiving {
    /// On a connection to the other end.
    Direct(RecvStream),
    /// Under TLS of its own on what somebody else carries.
    Sealed(SealedReceive),
}

impl From<RecvStream> for Receiving {
    fn from(stream: RecvStream) -> Self {
        Self::Direct(stream)
    }
}

impl Receiving {
    /// Takes what has arrived, at least one piece and as many as there is room for; `None` at the clean end. Returns
    /// how many there are.
    ///
    /// # Errors
    /// See [`ReceiveError`]: an end that is not the sender's own word is [`ReceiveError::Lost`].
    pub async fn read_chunks(&mut self, pieces: &mut [Bytes]) -> Result<Option<usize>, ReceiveError> {
        match self {
            Self::Direct(stream) => stream.read_chunks(pieces).await.map_err(ReceiveError::from),
            Self::Sealed(stream) => {
                let (Some(first), Some(piece)) = (pieces.first_mut(), stream.next_piece().await?) else {
                    return Ok(None);
                };
                *first = piece;
                Ok(Some(1))
            }
        }
    }

    /// Reads one message of at most `limit` bytes. Not safe to cancel: give up the stream then.
    ///
    /// # Errors
    /// See [`ReceiveError`].
    pub async fn receive<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T, ReceiveError> {
        let stream = match self {
            Self::Direct(stream) => return frame::receive(stream, limit).await,
            Self::Sealed(stream) => stream,
        };
        let mut prefix = [0; LENGTH_BYTES];
        match stream.fill(&mut prefix).await? {
            LENGTH_BYTES => {}
            0 => return Err(ReceiveError::Ended),
            _ => return Err(ReceiveError::Short),
        }
        let mut body = vec![0; codec::body_length(prefix, limit)?];
        if stream.fill(&mut body).await? < body.len() {
            return Err(ReceiveError::Short);
        }
        Ok(codec::decode(&body)?)
    }

    /// Wants no more, and tells the sender why.
    pub fn stop(&mut self, code: Code) {
        match self {
            // The sender may have ended the stream already; then there is nothing left to stop.
            Self::Direct(stream) => drop(stream.stop(code.number().into())),
            Self::Sealed(stream) => stream.stop(code),
        }
    }
}

/// What ended the writing to whoever carries a sealed stream.
pub(super) fn send_error(error: io::Error) -> SendError {
    if let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<quinn::WriteError>()) {
        return cause.clone().into();
    }
    SendError::Lost(error)
}

/// What ended the reading from whoever carries a sealed stream.
pub(super) fn receive_error(error: io::Error) -> ReceiveError {
    if let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<quinn::ReadError>()) {
        return cause.clone().into();
    }
    ReceiveError::Lost(error)
}
