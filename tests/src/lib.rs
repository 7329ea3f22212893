//! The harness of the scenarios over the real programs: it starts them, talks to them as a person or a script would,
//! and ends them. Every process has an owner here that kills it and waits for it when dropped.
//!
//! Waits are for events (a line, an exit, a changed screen) with a generous deadline, never for time to pass.
//! Nothing leaves this machine: everything listens on 127.0.0.1 and a free port, and lives in a temporary folder.

pub mod corpus;
pub mod gate;
pub mod lab;
pub mod member;
pub mod net;
pub mod program;
pub mod screen;
pub mod source;
pub mod tracker;
pub mod tree;
pub mod wire;

pub use gate::UdpGate;
pub use member::{Engine, Member, Output};
pub use program::{PATIENCE, Running};
pub use screen::Screen;
pub use tracker::Tracker;
