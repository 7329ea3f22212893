//! The headless client: connections, transfers, shares, local state. The screen and the commands are faces of it.

mod account;
pub mod api;
pub mod attention;
pub mod client;

pub mod catalog;
pub mod channel;
pub mod chat;
pub mod core;
pub mod dial;
pub mod dispatch;
pub mod doctor;
pub mod endpoints;
pub mod face;
pub mod failure;
pub mod holdings;
pub mod hub;
pub mod inbox;
pub mod library;
pub mod limits;
pub mod link;
mod local;
pub mod network;
mod passwords;
pub mod peers;
mod people;
pub mod reach;
pub mod relay;
pub mod rows;
pub mod scan;
pub mod session;
pub mod state;
pub mod transfers;
pub mod tunnel;
pub mod verify;
pub mod wishes;
