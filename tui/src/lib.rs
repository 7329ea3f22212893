//! The client of Swapmeet: the headless engine and its faces, a full-screen terminal client and a command line.

pub mod app;
pub mod cli;
pub mod engine;
pub mod profile;
pub mod screen;
pub mod terminal;
pub mod view;
