//! A source of our own making: honest, or wrong in one exact way. It encodes with `bao-tree` directly and knows
//! nothing of the programs' own serving code, so that the honest form also checks them against the specification.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use bao_tree::{
    BlockSize, ChunkNum, ChunkRanges,
    io::{outboard::PreOrderMemOutboard, sync::encode_ranges},
};
use quinn::{Connection, RecvStream, SendStream};
use shared::{
    id::{BlobHash, FileId},
    limits,
    wire::{
        Code, Refusal,
        peer::{FetchFrame, FetchReply, HelloAnswer, Open, Want},
        tracker::{Answer, Event, PublishEntry, Request},
    },
};
use tokio::task::JoinSet;

use crate::wire::{Puppet, ask, next_event, read_frame, write_frame};

/// What a source does when a blob is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Serves what was asked.
    Honest,
    /// Serves what was asked, but this byte of the file (if among it) is another.
    WrongByte(usize),
    /// Serves as many bytes as expected, all of them noise.
    Noise,
    /// Finishes the stream after half of the bytes.
    Half,
    /// Says that it serves, and then nothing.
    Silent,
    /// Serves a byte at a time, a few each second.
    Slow,
    /// Serves one want on each stream, then says that the grant has ended.
    OneWant,
    /// Serves the first want on each stream, and then says nothing.
    FirstWant,
    /// Says no.
    Refuses,
    /// Answers with more bytes than a frame may have.
    Babbles,
    /// Closes the connection when asked.
    HangsUp,
}

/// A blob that a source serves.
#[derive(Debug, Clone)]
pub struct Blob {
    data: Arc<Vec<u8>>,
    tree: Arc<PreOrderMemOutboard>,
}

/// A member that serves one blob. Stops on drop.
#[derive(Debug)]
pub struct Source {
    /// Its account and connections.
    pub puppet: Puppet,
    /// The file in the index.
    pub file: String,
    _tasks: JoinSet<()>,
}

impl Blob {
    /// A blob with these bytes.
    #[must_use]
    pub fn new(data: Vec<u8>) -> Self {
        let tree = PreOrderMemOutboard::create(&data, GROUPS);
        Self { data: Arc::new(data), tree: Arc::new(tree) }
    }

    /// Its name.
    #[must_use]
    pub fn hash(&self) -> BlobHash {
        BlobHash(*self.tree.root.as_bytes())
    }

    /// An entry that publishes it under this path.
    #[must_use]
    pub fn entry(&self, path: &str) -> PublishEntry {
        PublishEntry {
            path: path.to_owned(),
            blob: self.hash(),
            size: self.data.len() as u64,
            modified_ms: 1_600_000_000_123,
            executable: false,
            audience: None,
            note: None,
        }
    }

    fn encode(&self, want: &Want, manner: Manner) -> Result<Vec<u8>> {
        let mut data = self.data.as_ref().clone();
        if let Manner::WrongByte(position) = manner {
            data[position] ^= 0xff;
        }
        if data.len() as u64 <= limits::GROUP_BYTES {
            return Ok(data);
        }
        let mut encoded = Vec::new();
        // The unchecked form: it sends the true tree above whatever the data is.
        encode_ranges(&data[..], self.tree.as_ref(), &chunks(want), &mut encoded)?;
        if manner == Manner::Noise {
            encoded = crate::corpus::bytes(7, encoded.len());
        }
        Ok(encoded)
    }
}

impl Source {
    /// Publishes a blob as `path` and serves it: to members in one manner, to the tracker in another.
    ///
    /// # Errors
    /// When the tracker refuses.
    pub async fn publish(
        puppet: Puppet,
        blob: &Blob,
        entry: PublishEntry,
        to_members: Manner,
        to_tracker: Manner,
    ) -> Result<Self> {
        puppet.listen().await?;
        let file = puppet.publish(vec![entry]).await?.pop().context("one file is published")?;
        let mut tasks = JoinSet::new();
        let endpoint = puppet.endpoint.clone();
        let members = blob.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Some(incoming) = endpoint.accept().await {
                let blob = members.clone();
                connections.spawn(async move {
                    if let Ok(connection) = incoming.await {
                        serve_connection(connection, blob, to_members).await;
                    }
                });
            }
        });
        tasks.spawn(serve_connection(puppet.tracker.clone(), blob.clone(), to_tracker));
        Ok(Self { puppet, file, _tasks: tasks })
    }

    /// Asks the tracker to keep a copy and waits for how that ends.
    ///
    /// # Errors
    /// With the tracker's refusal, when the copy is not stored.
    pub async fn copy(&self) -> Result<()> {
        let mut events = self.puppet.events().await?;
        let file: FileId = self.file.parse()?;
        let answer = ask(&self.puppet.tracker, &Request::KeepCopy { files: vec![file] }).await?;
        if !matches!(answer, Answer::Count(_)) {
            bail!("no copy is kept: {answer:?}");
        }
        loop {
            match next_event(&mut events).await? {
                Event::CopyStored { file: stored } if stored == file => return Ok(()),
                Event::CopyFailed { file: failed, refusal } if failed == file => bail!(refusal),
                _ => {}
            }
        }
    }
}

async fn serve_connection(connection: Connection, blob: Blob, manner: Manner) {
    let mut streams = JoinSet::new();
    while let Ok((send, recv)) = connection.accept_bi().await {
        let (connection, blob) = (connection.clone(), blob.clone());
        streams.spawn(async move {
            // However the other side takes it: a source that lies expects to be cut off.
            let _cut_off = serve_stream(&connection, send, recv, &blob, manner).await;
        });
    }
}

async fn serve_stream(
    connection: &Connection,
    mut send: SendStream,
    mut recv: RecvStream,
    blob: &Blob,
    manner: Manner,
) -> Result<()> {
    match read_frame(&mut recv, limits::PEER_FRAME_BYTES_MAX).await? {
        Open::Hello(_) => {
            write_frame(&mut send, &HelloAnswer::Accepted { program: "swapmeet-tests".to_owned() }).await?;
            send.finish()?;
            return Ok(());
        }
        Open::Fetch => {}
        // It has all of it, which the tracker says already.
        Open::Watch(_) => return Ok(()),
        Open::Relayed { .. } => bail!("nothing is relayed to this source"),
        Open::Channel(_) => bail!("this source invited nobody"),
    }
    let mut wants = 0;
    while let Ok(frame) = read_frame(&mut recv, limits::PEER_FRAME_BYTES_MAX).await {
        let FetchFrame::Want(want) = frame else { continue };
        wants += 1;
        if manner == Manner::OneWant && wants > 1 {
            let refusal = Refusal::new(Code::Unavailable, "the grant has ended");
            write_frame(&mut send, &FetchReply::Refused(refusal)).await?;
            continue;
        }
        let manner = if manner == Manner::FirstWant && wants > 1 { Manner::Silent } else { manner };
        answer(connection, &mut send, &want, blob, manner).await?;
    }
    send.finish()?;
    // The stream must outlive its last byte: dropping it before the reader has all would reset it.
    let _acknowledged = send.stopped().await;
    Ok(())
}

async fn answer(
    connection: &Connection,
    send: &mut SendStream,
    want: &Want,
    blob: &Blob,
    manner: Manner,
) -> Result<()> {
    match manner {
        Manner::Refuses => {
            return write_frame(send, &FetchReply::Refused(Refusal::new(Code::Unavailable, "not today"))).await;
        }
        Manner::Babbles => {
            send.write_all(&u32::MAX.to_le_bytes()).await?;
            send.write_all(&vec![0xee; 1 << 20]).await?;
            return Ok(());
        }
        Manner::HangsUp => {
            connection.close(0u32.into(), b"");
            return Ok(());
        }
        Manner::Honest
        | Manner::OneWant
        | Manner::FirstWant
        | Manner::WrongByte(_)
        | Manner::Noise
        | Manner::Half
        | Manner::Silent
        | Manner::Slow => {}
    }
    let encoded = blob.encode(want, manner)?;
    write_frame(send, &FetchReply::Serving).await?;
    match manner {
        Manner::Half => {
            send.write_all(&encoded[..encoded.len() / 2]).await?;
            send.finish()?;
        }
        Manner::Silent => {
            connection.closed().await;
        }
        Manner::Slow => {
            let mut beat = tokio::time::interval(Duration::from_millis(250));
            for byte in encoded {
                beat.tick().await;
                send.write_all(&[byte]).await?;
            }
        }
        _ => send.write_all(&encoded).await?,
    }
    Ok(())
}

fn chunks(want: &Want) -> ChunkRanges {
    if want.groups.is_empty() {
        return ChunkRanges::all();
    }
    let per_group = limits::GROUP_BYTES / 1024;
    let range = |&(start, end): &(u64, u64)| ChunkRanges::from(ChunkNum(start * per_group)..ChunkNum(end * per_group));
    want.groups.iter().map(range).fold(ChunkRanges::empty(), |all, one| all | one)
}

/// Groups of 16 KiB, as the specification says.
const GROUPS: BlockSize = BlockSize::from_chunk_log(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_named_by_its_hash() {
        for size in [0, 1, 16_384, 16_385, 100_000] {
            let data = crate::corpus::bytes(3, size);
            let hash = blake3::hash(&data);
            assert_eq!(Blob::new(data).hash().as_bytes(), hash.as_bytes(), "{size}");
        }
    }

    #[test]
    fn wanted_groups_are_encoded_and_no_others() {
        let blob = Blob::new(crate::corpus::bytes(4, 64 * 16_384));
        let encoded = |groups| {
            let want = Want { blob: blob.hash(), size: 64 * 16_384, groups };
            blob.encode(&want, Manner::Honest).unwrap().len()
        };
        // One group and the six parents above it.
        assert_eq!(encoded(vec![(5, 6)]), 16_384 + 6 * 64);
        assert_eq!(encoded(vec![]), 64 * 16_384 + 63 * 64);
    }
}
