//! What every end of Swapmeet agrees on: words, limits, names, the wire protocol, the hash tree of content,
//! the download machine, and serving and fetching over any pair of streams.
//!
//! Dependencies point one way: `certs ← shared ← tracker, tui`. Without the feature `net` nothing here knows a
//! socket, a disk, a runtime or a clock; only [`net`], [`transfer`] and the partial-file store do.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod content;
pub mod download;
pub mod id;
pub mod inbox;
pub mod limit;
pub mod limits;
pub mod name;
pub mod reach;
pub mod show;
pub mod wire;
pub mod words;

#[cfg(feature = "net")]
pub mod net;
#[cfg(feature = "net")]
pub mod transfer;
