//! The minimal program that the benchmark measures `swapmeet get` against: with the same QUIC settings it reads a
//! file, sends it over one stream, hashes it with BLAKE3, writes it and makes it durable. It resumes nothing, verifies
//! nothing on the way, and knows one file.
//!
//! `baseline send FILE` prints one line, `ADDRESS FINGERPRINT`, serves the file until it is killed; `baseline recv ADDRESS
//! FINGERPRINT OUT` fetches it and prints `SECONDS CPU_SECONDS HASH`. With `send --raw` as many bytes come from memory,
//! and without `OUT` they are only counted: that is what plain QUIC can do.

use std::{
    fs::File,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Instant, SystemTime},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use certs::{Authority, Fingerprint, SigningKey};
use clap::Parser;
use quinn::{
    ClientConfig, Endpoint, RecvStream, SendStream, ServerConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use shared::{limits::READ_BLOCK_BYTES, net, wire::TRACKER_NAME};
use tokio::sync::mpsc;

#[derive(Debug, Parser)]
enum Baseline {
    /// Serves a file.
    Send {
        /// As many zeros instead of what is in it
        #[arg(long)]
        raw: bool,
        file: PathBuf,
    },
    /// Fetches it.
    Recv { address: SocketAddr, fingerprint: Fingerprint, out: Option<PathBuf> },
}

fn main() -> Result<()> {
    // One thread for the network, as the measured program has; the disk has one of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match Baseline::parse() {
        Baseline::Send { raw, file } => runtime.block_on(send(&file, raw)),
        Baseline::Recv { address, fingerprint, out } => runtime.block_on(recv(address, fingerprint, out)),
    }
}

async fn send(file: &Path, raw: bool) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::open(folder.path(), SystemTime::now())?;
    let tls = authority.tracker_server_config(&[ALPN], SystemTime::now())?;
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(net::endpoint::peer_transport());
    let endpoint = endpoint(Some(config))?;
    println!("{} {}", endpoint.local_addr()?, authority.fingerprint());
    while let Some(incoming) = endpoint.accept().await {
        let connection = incoming.await?;
        let (stream, mut request) = connection.accept_bi().await?;
        request.read_to_end(1).await?;
        if raw {
            send_zeros(file.metadata()?.len(), stream).await?;
        } else {
            send_file(file, stream).await?;
        }
        connection.closed().await;
    }
    Ok(())
}

async fn send_file(file: &Path, mut stream: SendStream) -> Result<()> {
    let mut file = File::open(file)?;
    let (blocks, mut ready) = mpsc::channel::<Bytes>(BLOCKS_WAITING);
    let reader = std::thread::spawn(move || -> Result<()> {
        loop {
            let mut block = vec![0; usize::try_from(READ_BLOCK_BYTES)?];
            let n = file.read(&mut block)?;
            if n == 0 {
                return Ok(());
            }
            block.truncate(n);
            if blocks.blocking_send(block.into()).is_err() {
                return Ok(());
            }
        }
    });
    while let Some(block) = ready.recv().await {
        stream.write_chunk(block).await?;
    }
    stream.finish()?;
    stream.stopped().await?;
    reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?
}

async fn send_zeros(mut left: u64, mut stream: SendStream) -> Result<()> {
    let block = Bytes::from(vec![0; usize::try_from(READ_BLOCK_BYTES)?]);
    while left > 0 {
        let n = left.min(READ_BLOCK_BYTES);
        stream.write_chunk(block.slice(..usize::try_from(n)?)).await?;
        left -= n;
    }
    stream.finish()?;
    stream.stopped().await?;
    Ok(())
}

async fn recv(address: SocketAddr, fingerprint: Fingerprint, out: Option<PathBuf>) -> Result<()> {
    let (tls, _seen) = certs::tracker_client_config(fingerprint, ALPN)?;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(net::endpoint::peer_transport());
    let endpoint = endpoint(None)?;
    let start = Instant::now();
    let connection = endpoint.connect_with(config, address, TRACKER_NAME)?.await?;
    let (mut request, stream) = connection.open_bi().await?;
    request.write_all(b"!").await?;
    request.finish()?;
    let result = match out {
        Some(out) => receive_file(stream, out).await?,
        None => count(stream).await?,
    };
    println!("{:.6} {:.2} {result}", start.elapsed().as_secs_f64(), tests::program::cpu_seconds("self"));
    connection.close(0u32.into(), b"");
    endpoint.wait_idle().await;
    Ok(())
}

async fn count(mut stream: RecvStream) -> Result<String> {
    let mut bytes = 0;
    while let Some(chunk) = stream.read_chunk(usize::try_from(READ_BLOCK_BYTES)?, true).await? {
        bytes += chunk.bytes.len();
    }
    Ok(bytes.to_string())
}

async fn receive_file(mut stream: RecvStream, out: PathBuf) -> Result<String> {
    let (chunks, mut ready) = mpsc::channel::<Bytes>(BLOCKS_WAITING * 16);
    let writer = std::thread::spawn(move || -> Result<blake3::Hash> {
        let mut file = File::create(out)?;
        let mut hasher = blake3::Hasher::new();
        let mut block = Vec::with_capacity(2 * usize::try_from(READ_BLOCK_BYTES)?);
        while let Some(chunk) = ready.blocking_recv() {
            block.extend_from_slice(&chunk);
            if block.len() as u64 >= READ_BLOCK_BYTES {
                hasher.update(&block);
                file.write_all(&block)?;
                block.clear();
            }
        }
        hasher.update(&block);
        file.write_all(&block)?;
        file.sync_all()?;
        Ok(hasher.finalize())
    });
    while let Some(chunk) = stream.read_chunk(usize::try_from(READ_BLOCK_BYTES)?, true).await? {
        chunks.send(chunk.bytes).await.context("the writer stopped")?;
    }
    drop(chunks);
    let hash =
        tokio::task::spawn_blocking(|| writer.join()).await?.map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    Ok(hash.to_hex().to_string())
}

fn endpoint(server: Option<ServerConfig>) -> Result<Endpoint> {
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Ok(net::endpoint::endpoint(net::endpoint::bind(here)?, server, &SigningKey::generate()?)?)
}

const ALPN: &[u8] = b"swapmeet-baseline/1";

/// Blocks read and not yet sent.
const BLOCKS_WAITING: usize = 4;
