//! Frames on quinn's streams: bounded before they are read, decoded whole.

use std::{io, time::Duration};

use quinn::{ReadExactError, RecvStream, SendStream, WriteError};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use crate::wire::{
    Code,
    codec::{self, FrameError, LENGTH_BYTES},
};

/// Why no message came.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The other side finished the stream where a message could begin.
    #[error("the stream ended")]
    Ended,
    /// The other side finished the stream inside a message.
    #[error("the stream ended inside a message")]
    Short,
    /// The other side reset the stream.
    #[error("the other side gave up ({})", .0.map_or("unknown code", Code::name))]
    Reset(Option<Code>),
    /// The message is too large or cannot be decoded.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// It did not arrive in time.
    #[error("the message did not arrive in time")]
    Timeout,
    /// The connection is lost.
    #[error("the connection is lost: {0}")]
    Lost(io::Error),
}

/// Why a message could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The reader stopped the stream.
    #[error("the reader stopped ({})", .0.map_or("unknown code", Code::name))]
    Stopped(Option<Code>),
    /// The message is too large: a fault of this program.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The connection is lost.
    #[error("the connection is lost: {0}")]
    Lost(io::Error),
}

/// Reads one message of at most `limit` bytes. Not safe to cancel: give up the stream then.
///
/// # Errors
/// See [`ReceiveError`].
pub async fn receive<T: DeserializeOwned>(stream: &mut RecvStream, limit: usize) -> Result<T, ReceiveError> {
    let mut prefix = [0; LENGTH_BYTES];
    stream.read_exact(&mut prefix).await.map_err(|error| match error {
        ReadExactError::FinishedEarly(0) => ReceiveError::Ended,
        error @ (ReadExactError::FinishedEarly(_) | ReadExactError::ReadError(_)) => read_error(error),
    })?;
    let mut body = vec![0; codec::body_length(prefix, limit)?];
    stream.read_exact(&mut body).await.map_err(read_error)?;
    Ok(codec::decode(&body)?)
}

/// Reads one message within `deadline`.
///
/// # Errors
/// See [`ReceiveError`].
pub async fn receive_within<T: DeserializeOwned>(
    stream: &mut RecvStream,
    limit: usize,
    deadline: Duration,
) -> Result<T, ReceiveError> {
    timeout(deadline, receive(stream, limit)).await.unwrap_or(Err(ReceiveError::Timeout))
}

/// Sends one message of at most `limit` bytes.
///
/// # Errors
/// See [`SendError`].
pub async fn send<T: Serialize + Sync>(stream: &mut SendStream, message: &T, limit: usize) -> Result<(), SendError> {
    let frame = codec::encode(message, limit)?;
    stream.write_all(&frame).await.map_err(SendError::from)
}

impl From<WriteError> for SendError {
    fn from(error: WriteError) -> Self {
        if let WriteError::Stopped(number) = error {
            return Self::Stopped(Code::from_number(number.into_inner()));
        }
        Self::Lost(error.into())
    }
}

impl From<quinn::ReadError> for ReceiveError {
    fn from(error: quinn::ReadError) -> Self {
        if let quinn::ReadError::Reset(number) = error {
            return Self::Reset(Code::from_number(number.into_inner()));
        }
        Self::Lost(error.into())
    }
}

fn read_error(error: ReadExactError) -> ReceiveError {
    match error {
        ReadExactError::FinishedEarly(_) => ReceiveError::Short,
        ReadExactError::ReadError(error) => error.into(),
    }
}
