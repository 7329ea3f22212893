//! How fast bytes may go and whose turn it is: rates, times of day, fair shares, and the line for an upload slot. Never
//! reads a clock or waits: time comes in, decisions and deadlines come out.
//!
//! - [`rate`] is a rate as people write it, [`span`] a time of day and week.
//! - [`Bucket`] lets bytes pass at a rate, with a small burst.
//! - [`Flow`] shares one rate fairly among members, each of whom may have a rate of their own.
//! - [`Slots`] lets only so many members be served at a time and keeps the others in line.

mod bucket;
mod flow;
pub mod rate;
mod slots;
pub mod span;
#[cfg(test)]
mod tests;

pub use bucket::Bucket;
pub use flow::{Flow, Granted, Rates, Ticket};
pub use slots::{Claim, Place, Slots, Standing};
