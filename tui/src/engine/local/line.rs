//! JSON lines of bounded length, read and written.

use std::io;

use bytes::{Buf, BytesMut};
use serde::Serialize;
use shared::limits::LOCAL_LINE_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Lines of a stream.
#[derive(Debug)]
pub(super) struct Lines<R> {
    stream: R,
    buffer: BytesMut,
    /// Bytes of the buffer that hold no line end.
    searched: usize,
}

/// Why there is no further line.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// Nobody may fill our memory with one line.
    #[error("a line is longer than {LOCAL_LINE_BYTES_MAX} bytes")]
    TooLong,
    /// The stream failed.
    #[error("the local socket broke")]
    Broken(#[from] io::Error),
}

/// Why something cannot be written as a line.
#[derive(Debug, thiserror::Error)]
pub(super) enum AppendError {
    /// The other side would not read it.
    #[error("a line of {0} bytes is longer than {LOCAL_LINE_BYTES_MAX} bytes")]
    TooLong(usize),
    /// It cannot be written as JSON, such as a path that is not UTF-8.
    #[error("it cannot be written as JSON")]
    NotJson(#[from] serde_json::Error),
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(stream: R) -> Self {
        Self { stream, buffer: BytesMut::new(), searched: 0 }
    }

    /// The next line without its end, or `None` at the end of the stream (an unfinished line counts as none). Safe to
    /// cancel.
    pub(super) async fn next(&mut self) -> Result<Option<BytesMut>, LineError> {
        loop {
            if let Some(length) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let length = self.searched + length;
                if length > LOCAL_LINE_BYTES_MAX {
                    return Err(LineError::TooLong);
                }
                let line = self.buffer.split_to(length);
                self.buffer.advance(1);
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.searched > LOCAL_LINE_BYTES_MAX {
                return Err(LineError::TooLong);
            }
            self.buffer.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Appends a line to what is to be written, or nothing.
pub(super) fn append(line: &impl Serialize, out: &mut BytesMut) -> Result<(), AppendError> {
    let json = serde_json::to_vec(line)?;
    if json.len() > LOCAL_LINE_BYTES_MAX {
        return Err(AppendError::TooLong(json.len()));
    }
    out.extend_from_slice(&json);
    out.extend_from_slice(b"\n");
    Ok(())
}

/// Room made before each read.
const READ_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_arrive_whole_however_they_were_cut() {
        let mut lines = Lines::new(reader_of(&[b"on", b"e\ntwo\n\nthr", b"ee\nunfinished"]));
        for expected in ["one", "two", "", "three"] {
            assert_eq!(lines.next().await.unwrap().unwrap(), expected);
        }
        assert!(lines.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn the_longest_line_is_read_and_one_byte_more_is_refused() {
        let mut longest = vec![b'x'; LOCAL_LINE_BYTES_MAX];
        longest.push(b'\n');
        let line = Lines::new(longest.as_slice()).next().await.unwrap().unwrap();
        assert_eq!(line.len(), LOCAL_LINE_BYTES_MAX);
        longest.insert(0, b'x');
        assert!(matches!(Lines::new(longest.as_slice()).next().await, Err(LineError::TooLong)));
        longest.pop();
        assert!(matches!(Lines::new(longest.as_slice()).next().await, Err(LineError::TooLong)));
    }

    #[test]
    fn what_does_not_fit_a_line_leaves_no_trace() {
        let mut out = BytesMut::new();
        append(&"a\nb", &mut out).unwrap();
        assert!(matches!(append(&"x".repeat(LOCAL_LINE_BYTES_MAX), &mut out), Err(AppendError::TooLong(_))));
        assert_eq!(out, "\"a\\nb\"\n");
    }

    fn reader_of<'a>(pieces: &[&'a [u8]]) -> impl AsyncRead + Unpin + 'a {
        let empty: Box<dyn AsyncRead + Unpin + 'a> = Box::new(tokio::io::empty());
        pieces.iter().rev().fold(empty, |rest, piece| Box::new(AsyncReadExt::chain(*piece, rest)))
    }
}
