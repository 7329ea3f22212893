//! Frames: a `u32` length in little endian and that many bytes of postcard. Pure: the IO around it lives in `net`.

use serde::{Serialize, de::DeserializeOwned};

/// Bytes of the length before each frame.
pub const LENGTH_BYTES: usize = 4;

/// What is wrong with a frame from the other side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The announced length is above the limit for this message.
    #[error("a frame of {length} bytes is larger than the {limit} allowed")]
    TooLarge {
        /// Bytes announced.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The bytes are not the expected message. An unknown variant of a newer protocol looks like this too.
    #[error("a frame does not decode as the expected message")]
    Malformed,
    /// The message is followed by bytes that do not belong to it.
    #[error("a frame holds {extra} bytes after its message")]
    Trailing {
        /// Bytes left over.
        extra: usize,
    },
    /// A message of ours would exceed its limit: a fault of this program.
    #[error("a message could not be encoded")]
    Encode,
}

/// One message as a frame, length included.
///
/// # Errors
/// When the message is larger than `limit` bytes.
pub fn encode<T: Serialize>(message: &T, limit: usize) -> Result<Vec<u8>, FrameError> {
    let frame = postcard::to_extend(message, vec![0; LENGTH_BYTES]).map_err(|_| FrameError::Encode)?;
    let length = frame.len() - LENGTH_BYTES;
    if length > limit {
        return Err(FrameError::TooLarge { length, limit });
    }
    let mut frame = frame;
    let prefix = u32::try_from(length).map_err(|_| FrameError::Encode)?;
    frame[..LENGTH_BYTES].copy_from_slice(&prefix.to_le_bytes());
    Ok(frame)
}

/// The length of the body that follows this prefix.
///
/// # Errors
/// When it is above `limit`.
pub fn body_length(prefix: [u8; LENGTH_BYTES], limit: usize) -> Result<usize, FrameError> {
    let length = u32::from_le_bytes(prefix) as usize;
    if length > limit {
        return Err(FrameError::TooLarge { length, limit });
    }
    Ok(length)
}

/// The message in a frame's body.
///
/// # Errors
/// When the body is not exactly one such message.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    let (message, rest) = postcard::take_from_bytes(body).map_err(|_| FrameError::Malformed)?;
    if !rest.is_empty() {
        return Err(FrameError::Trailing { extra: rest.len() });
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{Code, Refusal, peer, tracker};

    #[test]
    fn a_frame_reads_back_as_its_message() {
        let message = Refusal::new(Code::NotFound, "no such file");
        let frame = encode(&message, 100).unwrap();
        let (prefix, body) = frame.split_at(LENGTH_BYTES);
        assert_eq!(body_length(prefix.try_into().unwrap(), 100), Ok(body.len()));
        assert_eq!(decode(body), Ok(message));
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_anything_is_read() {
        assert_eq!(
            body_length(u32::MAX.to_le_bytes(), 100),
            Err(FrameError::TooLarge { length: u32::MAX as usize, limit: 100 })
        );
        assert!(encode(&vec![0u8; 200], 100).is_err());
    }

    #[test]
    fn bytes_after_the_message_are_refused() {
        assert_eq!(decode::<u8>(&[1, 2]), Err(FrameError::Trailing { extra: 1 }));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic_a_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _request = decode::<tracker::Request>(&bytes);
            let _answer = decode::<tracker::Answer>(&bytes);
            let _event = decode::<tracker::Event>(&bytes);
            let _open = decode::<peer::Open>(&bytes);
            let _frame = decode::<peer::FetchFrame>(&bytes);
            let _reply = decode::<peer::FetchReply>(&bytes);
        }
    }
}
