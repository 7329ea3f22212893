//! Serving and fetching over any pair of streams, and the files on disk around it. The one way in which bytes move.

mod buffers;
pub mod clock;
pub mod content;
pub mod delta;
pub mod fetch;
pub mod hash;
pub mod jail;
pub mod lane;
pub mod local;
pub mod pace;
pub mod partial;
pub mod serve;
pub mod watch;

#[cfg(test)]
mod tests;
