//! `swapmeet get -o -`: hands verified bytes on in order while the rest arrives.
//!
//! The engine says how far the bytes of a file are verified and where they lie; a thread writes them out, so that a
//! reader that takes nothing holds up neither the engine nor the rest of this program.

use std::{
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    sync::Arc,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use seal::{OpenError, Password};
use shared::limits::STREAM_STEP_BYTES;
use tokio::task::JoinHandle;

use super::{Get, print, unlock::Unlocking};
use crate::{
    cli::{
        context::{Context, Reply},
        out::Out,
        progress::Progress,
        talk::{Ended, Outcome},
    },
    engine::{
        api::{Command, Failure, FailureKind, StreamRow, TransferRow, Update},
        client::Client,
    },
};

/// Streams the items of a `get` to stdout, one after the other, and tells of them on stderr.
pub(super) async fn run(get: &Get, context: &mut Context) -> Outcome {
    if get.detach {
        return Err(Ended::usage("stdout ends with this command", "leave out --detach, or name a folder"));
    }
    if get.items.len() > 1 {
        // What is wrong with the last one is better said before the first one goes out.
        for item in &get.items {
            let told = context.ask(Command::Info { item: item.clone() }).await?;
            if told.iter().any(|update| matches!(update, Update::Folder(_))) {
                return Err(Ended::usage("a folder is no stream of bytes", "name one file of it"));
            }
        }
    }
    let mut progress = get.progress.start(&context.globals);
    let mut transfers = Vec::new();
    let mut unlocking = Unlocking::new(&get.password);
    for item in &get.items {
        // What is protected is opened here, on its way out.
        let mut opens = None;
        let transfer = loop {
            let stdout = match &opens {
                Some(password) => Stdout::opening(password)?,
                None => Stdout::open()?,
            };
            let command = Command::Stream {
                item: item.clone(),
                from: get.sources(),
                wait: get.wait,
                opens: get.raw || opens.is_some(),
            };
            let client = context.client().await?;
            let reply = context.call(command).await?;
            let mut streaming = Streaming::new(client, reply, &stdout);
            let ended = streaming.run(&mut progress).await;
            let untouched = streaming.at == 0;
            drop(streaming);
            let ended = stdout.close(ended).await;
            match ended {
                Err(ended) if untouched && unlocking.helps(&ended) => {
                    unlocking.unlock(context, std::slice::from_ref(item), false).await?;
                    opens = unlocking.password().filter(|_| !get.raw);
                }
                ended => break ended?,
            }
        };
        transfers.push(transfer);
    }
    drop(progress);
    print(&mut Out::stderr(&context.globals), transfers)
}

/// One file on its way to stdout.
struct Streaming<'a> {
    client: Client,
    reply: Reply,
    stdout: &'a Stdout,
    /// What the engine said last of what can be read.
    row: Option<StreamRow>,
    source: Option<Arc<File>>,
    /// Bytes handed on.
    at: u64,
    /// How far the engine was told that they are.
    told: Option<JoinHandle<()>>,
    told_at: u64,
    transfer: Option<TransferRow>,
}

impl<'a> Streaming<'a> {
    const fn new(client: Client, reply: Reply, stdout: &'a Stdout) -> Self {
        Self { client, reply, stdout, row: None, source: None, at: 0, told: None, told_at: 0, transfer: None }
    }

    /// Ends when all of the file was handed on.
    async fn run(&mut self, progress: &mut Progress) -> Result<TransferRow, Ended> {
        let mut reader_left = self.stdout.reader_left();
        let mut writing: Option<JoinHandle<io::Result<u64>>> = None;
        loop {
            self.tell();
            if writing.is_none() {
                if self.has_all() {
                    break;
                }
                writing = self.write_on();
            }
            let is_ready = self.row.as_ref().is_some_and(|row| row.ready == row.size);
            let step = tokio::select! {
                // A reader that takes its time is no silence of the engine.
                update = self.reply.next(), if !is_ready => match update? {
                    Some(update) => self.hear(update, progress),
                    None => return Err(too_short()),
                },
                written = ended(&mut writing), if writing.is_some() => {
                    writing = None;
                    written.map(|bytes| self.at += bytes).map_err(Ended::from)
                }
                () = told(&mut self.told), if self.told.is_some() => {
                    self.told = None;
                    Ok(())
                }
                () = &mut reader_left => Err(Ended::ClosedPipe),
            };
            if let Err(ended) = step {
                if matches!(ended, Ended::ClosedPipe) {
                    self.give_up().await;
                }
                return Err(ended);
            }
        }
        self.finish().await
    }

    fn has_all(&self) -> bool {
        self.row.as_ref().is_some_and(|row| self.at == row.size)
    }

    fn hear(&mut self, update: Update, progress: &mut Progress) -> Outcome {
        match update {
            Update::Transfer(transfer) => {
                progress.transfer(&transfer);
                self.transfer = Some(*transfer);
            }
            Update::Stream(row) => {
                if self.at > 0 && self.row.as_ref().is_some_and(|before| before.hash != row.hash) {
                    return Err(another_version());
                }
                let is_same = self.row.as_ref().is_some_and(|before| {
                    (before.reader, before.hash, &before.path) == (row.reader, row.hash, &row.path)
                });
                if !is_same {
                    let file = File::open(&row.path).map_err(|error| Ended::file("read", &row.path, &error))?;
                    self.source = Some(Arc::new(file));
                    self.told_at = 0;
                }
                self.row = Some(row);
            }
            _ => (),
        }
        Ok(())
    }

    /// Begins to write the next bytes, if there are any.
    fn write_on(&self) -> Option<JoinHandle<io::Result<u64>>> {
        let ready = self.row.as_ref().map_or(0, |row| row.ready);
        let bytes = ready.saturating_sub(self.at).min(STREAM_STEP_BYTES);
        let source = self.source.clone().filter(|_| bytes > 0)?;
        let (out, at) = (self.stdout.into.clone(), self.at);
        Some(tokio::task::spawn_blocking(move || copy(&source, &out, at, bytes)))
    }

    /// Lets the engine know how far the reader is, one message at a time.
    fn tell(&mut self) {
        let Some(row) = &self.row else { return };
        if self.told.is_some() || self.told_at == self.at {
            return;
        }
        self.told_at = self.at;
        let (client, reading) =
            (self.client.clone(), Command::Reading { reader: row.reader, at: self.at, enough: false });
        // What is lost with an engine that ends is told to the next one.
        self.told = Some(tokio::spawn(async move { drop(client.ask(reading).await) }));
    }

    /// Tells the engine that its reader has all and waits until it has put things in order.
    async fn finish(&mut self) -> Result<TransferRow, Ended> {
        if let Some(row) = &self.row {
            self.tell_last(row.reader, false).await;
        }
        while let Some(update) = self.reply.next().await? {
            if let Update::Transfer(transfer) = update {
                self.transfer = Some(*transfer);
            }
        }
        self.transfer.take().ok_or_else(|| Ended::unexpected("no_answer", "the engine did not say how it ended"))
    }

    /// Tells the engine that its reader wants no more, and gives it some time to put things in order.
    async fn give_up(&mut self) {
        let giving_up = async {
            let mut told = None;
            loop {
                if let Some(row) = self.row.as_ref().filter(|row| told != Some(row.reader)) {
                    told = Some(row.reader);
                    self.tell_last(row.reader, true).await;
                }
                match self.reply.next().await {
                    Ok(Some(Update::Stream(row))) => self.row = Some(row),
                    Ok(Some(_)) => (),
                    // However it ended: nobody reads any more.
                    Ok(None) | Err(_) => return,
                }
            }
        };
        if tokio::time::timeout(LEAVE, giving_up).await.is_err() {
            tracing::info!("the engine takes its time to drop a stream");
        }
    }

    async fn tell_last(&self, reader: u64, enough: bool) {
        // An engine that has lost this reader ends the call with a reason of its own.
        drop(self.client.ask(Command::Reading { reader, at: self.at, enough }).await);
    }
}

/// Waits for the thread that writes. Safe to cancel.
async fn ended(writing: &mut Option<JoinHandle<io::Result<u64>>>) -> io::Result<u64> {
    match writing {
        Some(writing) => writing.await.unwrap_or_else(|error| Err(io::Error::other(error))),
        None => Ok(0),
    }
}

async fn told(telling: &mut Option<JoinHandle<()>>) {
    if let Some(telling) = telling {
        // A lost message is made up for by the next.
        drop(telling.await);
    }
}

/// Copies bytes of a file to the output. Blocks as long as nobody takes them.
fn copy(source: &File, out: &File, at: u64, bytes: u64) -> io::Result<u64> {
    let mut block = vec![0; bytes as usize];
    source.read_exact_at(&mut block, at)?;
    let mut rest = &block[..];
    while !rest.is_empty() {
        let count = write_some(out, rest)?;
        rest = &rest[count..];
    }
    Ok(bytes)
}

/// Writes some of these bytes, as soon as they are taken.
fn write_some(mut out: &File, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            // Whoever gave us this output may have made it so.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(out, PollFlags::OUT)], None)?;
            }
            written => return written,
        }
    }
}

/// The output, apart from the one that everything else here prints to: a write that waits for its reader must not hold
/// that one's lock.
struct Stdout {
    file: Arc<File>,
    /// What is written to: itself, or a pipe to whoever opens what is encrypted.
    into: Arc<File>,
    opener: Option<JoinHandle<Result<(), OpenError>>>,
}

impl Stdout {
    fn open() -> Result<Self, Ended> {
        let handle = io::stdout().as_fd().try_clone_to_owned()?;
        let file = Arc::new(File::from(handle));
        Ok(Self { into: file.clone(), file, opener: None })
    }

    /// The output, for what a password opens.
    fn opening(password: &Password) -> Result<Self, Ended> {
        let plain = Self::open()?;
        let (encrypted, into) = io::pipe()?;
        let (password, out) = (password.clone(), plain.file.clone());
        let opener = tokio::task::spawn_blocking(move || {
            seal::open(&password, encrypted, Patient(&out), &mut |_| true).map(drop)
        });
        Ok(Self { into: Arc::new(File::from(OwnedFd::from(into))), opener: Some(opener), ..plain })
    }

    /// All was handed over, or nothing more comes: waits for the rest of what is opened.
    async fn close(self, ended: Result<TransferRow, Ended>) -> Result<TransferRow, Ended> {
        let Self { into, opener, .. } = self;
        drop(into);
        let Some(opener) = opener else { return ended };
        let opened = opener.await.map_err(|error| Ended::unexpected("stdout", error.to_string()))?;
        match (ended, opened) {
            // What stopped before its end cannot be whole.
            (Err(ended @ Ended::Failed(_)), _) | (Err(ended), Ok(())) => Err(ended),
            (Ok(transfer), Ok(())) => Ok(transfer),
            (Ok(_) | Err(Ended::ClosedPipe), Err(OpenError::Io(error))) => Err(error.into()),
            (Ok(_) | Err(Ended::ClosedPipe), Err(error)) => Err(not_opened(&error)),
        }
    }

    /// Resolves when nobody can read the output any more: also while there is nothing to write.
    fn reader_left(&self) -> impl Future<Output = ()> + Unpin + use<> {
        let file = self.file.clone();
        // The thread waits to the end of the program; nothing is lost with it.
        let gone = tokio::task::spawn_blocking(move || {
            loop {
                let mut watched = [PollFd::new(&*file, PollFlags::empty())];
                match poll(&mut watched, None) {
                    Ok(_) => return watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP),
                    Err(Errno::INTR) => (),
                    Err(_) => return false,
                }
            }
        });
        Box::pin(async move {
            if !gone.await.unwrap_or(false) {
                // This output tells nothing: the next write will.
                std::future::pending::<()>().await;
            }
        })
    }
}

/// An output whose reader may take its time, also where whoever gave it made it so that it says so.
struct Patient<'a>(&'a File);

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_some(self.0, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn not_opened(error: &OpenError) -> Ended {
    let hint = "tell its owner; `get --raw` leaves what came for the `age` tool";
    Failure::new(FailureKind::Transfer, "not_opened", error.to_string(), hint).into()
}

fn too_short() -> Ended {
    Ended::unexpected("no_answer", "the engine ended the stream before all of it was there")
}

fn another_version() -> Ended {
    let hint = "run the command again for the new version, from its beginning";
    let message = "the file was replaced by a new version while it was read";
    Failure::new(FailureKind::Transfer, "changed", message, hint).into()
}

/// Time in which an engine puts a stream in order whose reader has left; it does so by itself too.
const LEAVE: Duration = Duration::from_secs(5);
