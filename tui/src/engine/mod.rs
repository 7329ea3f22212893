//! The headless client: connections, transfers, shares, local state. The screen and the commands are faces of it.

pub mod api;
pub mod client;
