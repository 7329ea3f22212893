//! Real QUIC with our settings over bad paths, in virtual time.

mod datagrams;
mod handshake;
mod loss;
mod moves;
mod network;
mod share;
mod silence;
mod windows;

use std::time::Duration;

use quinn::{Connection, ConnectionError, ReadError, WriteError};

use super::{
    Change, Path,
    pair::{Pair, Settings, on_paused_clock, with_seeds},
};
use crate::net::endpoint::Congestion;

const MIB: usize = 1024 * 1024;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The byte at a position, without a pattern that a mistake could hide behind.
const fn byte(position: usize) -> u8 {
    (position.wrapping_mul(2_654_435_761) >> 11) as u8
}

/// Sends so many bytes over a new stream and reads them at the other end, where they are compared.
async fn send(from: &Connection, to: &Connection, length: usize) -> Result<(), ConnectionError> {
    let (_, read) = tokio::join!(write(from, length), read(to, length));
    let Err(error) = read else { return Ok(()) };
    let ReadError::ConnectionLost(error) = error else { panic!("the stream broke: {error}") };
    Err(error)
}

/// Its error is the connection's, which the reader meets too.
async fn write(to: &Connection, length: usize) -> Result<(), WriteError> {
    let (mut send, _recv) = to.open_bi().await?;
    let data: Vec<u8> = (0..length).map(byte).collect();
    send.write_all(&data).await?;
    send.finish().expect("nobody else ended it");
    drop(send.stopped().await);
    Ok(())
}

async fn read(from: &Connection, length: usize) -> Result<(), ReadError> {
    let (_send, mut recv) = from.accept_bi().await?;
    let mut position = 0;
    while let Some(chunk) = recv.read_chunk(64 * 1024, true).await? {
        for found in &chunk.bytes {
            assert_eq!(*found, byte(position), "wrong byte at {position}");
            position += 1;
        }
    }
    assert_eq!(position, length, "the stream is short");
    Ok(())
}
