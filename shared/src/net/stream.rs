//! A sending half that never looks complete by accident.

use std::ops::{Deref, DerefMut};

use crate::wire::Code;

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
        self.finished = true;
        drop(self.stream.reset(code.number().into()));
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
