//! The client of Swapmeet: the headless engine and its faces, a full-screen terminal client and a command line.

pub mod engine;
pub mod profile;
