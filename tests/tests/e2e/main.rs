//! Scenarios over the real programs: a tracker, members with their engines, the command line, and the screen in a
//! terminal. Each stands by itself, on free ports and in temporary folders.

#![expect(clippy::unwrap_used, reason = "what cannot be set up has failed")]

mod accounts;
mod blocking;
mod channels;
mod command_line;
mod crashes;
mod editing;
mod engines;
mod fallback;
mod get;
mod hostile_members;
mod hostile_peers;
mod hostile_sources;
mod https;
mod identity;
mod inbox;
mod interrupted;
mod known_hashes;
mod limits;
mod local;
mod messages;
mod names;
mod panes;
mod presence;
mod protected;
mod relayed;
mod repair;
mod rooms;
mod screens;
mod sharing;
mod story;
mod streaming;
mod swarm;
mod wishes;
