//! The local socket: how faces in other processes reach the engine of a profile. JSON lines, [`FaceLine`] one way and
//! [`EngineLine`] the other.
//!
//! Rules of a connection:
//! - The engine greets with [`EngineLine::Hello`], or turns the face away with a `Done` of call 0 and closes.
//! - A face numbers its calls from 1. `Done` of call 0 speaks of the connection: where the engine closes right after
//!   it, its failure is the reason and must not be answered by another attempt. A connection that ends without it was
//!   lost, and the calls under way may be sent again to the next engine.
//! - A line that is no [`FaceLine`] is answered by `Done` with a failure, under its call's number where one can be
//!   read. A line above [`LOCAL_LINE_BYTES_MAX`] ends the connection.
//! - All calls share one stream: a face that stops reading one of its calls holds up the others until it reads on or
//!   drops that call.
//!
//! [`FaceLine`]: super::api::FaceLine
//! [`EngineLine`]: super::api::EngineLine
//! [`EngineLine::Hello`]: super::api::EngineLine::Hello
//! [`LOCAL_LINE_BYTES_MAX`]: shared::limits::LOCAL_LINE_BYTES_MAX

mod client;
mod line;
mod lock;
mod place;
mod server;

pub(super) use client::{Connection, End, Unattached};
pub(super) use lock::Lock;
pub(super) use server::{Bound, Server};
