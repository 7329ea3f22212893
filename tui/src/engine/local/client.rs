//! A face's end of the local socket: carries calls to an engine in another process and brings their answers.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt, io,
    pin::Pin,
    task::Poll,
};

use bytes::BytesMut;
use shared::limits::{HELLO, LOCAL_AHEAD_BYTES};
use tokio::{
    io::AsyncWriteExt,
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    sync::mpsc,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    line::{self, AppendError, LineError, Lines},
    place,
};
use crate::{
    engine::{
        api::{Command, EngineLine, FaceLine, Failure, FailureKind},
        client::{Answer, Call, engine_gone},
    },
    profile::Profile,
};

/// A connection to a running engine that has greeted.
#[derive(Debug)]
pub(in crate::engine) struct Connection {
    lines: Lines<OwnedReadHalf>,
    write: OwnedWriteHalf,
    writable: bool,
    /// Lines on their way to the engine.
    out: BytesMut,
    calls: BTreeMap<u64, Sent>,
    numbered: u64,
    /// What the engine last said of the connection itself.
    last_word: Option<Failure>,
    /// The engine was told to stop from here.
    stop_sent: bool,
}

/// Why there is no connection.
#[derive(Debug)]
pub(in crate::engine) enum Unattached {
    /// Nobody listens, or not any more.
    NoEngine,
    /// There is an engine, but not for us.
    Failed(Failure),
}

/// How a connection ended.
#[derive(Debug)]
pub(in crate::engine) enum End {
    /// The engine is lost; another one may take these calls.
    Lost(Vec<Call>),
    /// The engine said that it is over, or cannot be understood; these calls end so.
    Told(Failure, Vec<Call>),
    /// The face leaves.
    Left,
}

impl Connection {
    /// Connects to the engine of a profile and waits for its greeting.
    ///
    /// # Errors
    /// When no engine runs, or it does not let this face in.
    pub(in crate::engine) async fn open(profile: &Profile) -> Result<Self, Unattached> {
        let stream = place::connect(profile).await.map_err(|error| not_connected(&error))?;
        let (read, write) = stream.into_split();
        let mut lines = Lines::new(read);
        let first = match timeout(HELLO, lines.next()).await {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None) | Err(LineError::Broken(_))) => return Err(Unattached::NoEngine),
            Ok(Err(LineError::TooLong)) => return Err(Unattached::Failed(not_understood())),
            Err(_) => return Err(Unattached::Failed(silent())),
        };
        match serde_json::from_slice(&first) {
            Ok(EngineLine::Hello { version }) => tracing::debug!(version, "attached to the engine"),
            Ok(EngineLine::Done { failure: Some(failure), .. }) => return Err(Unattached::Failed(failure)),
            Ok(EngineLine::Done { .. } | EngineLine::Update { .. }) | Err(_) => {
                return Err(Unattached::Failed(not_understood()));
            }
        }
        Ok(Self {
            lines,
            write,
            writable: true,
            out: BytesMut::new(),
            calls: BTreeMap::new(),
            numbered: 0,
            last_word: None,
            stop_sent: false,
        })
    }

    /// Carries `first`, then whatever comes in `calls`, until the connection ends or the face leaves.
    pub(in crate::engine) async fn carry(
        mut self,
        first: Vec<Call>,
        calls: &mut mpsc::Receiver<Call>,
        leaving: &CancellationToken,
    ) -> End {
        let mut first = VecDeque::from(first);
        let mut delivery: Option<Delivery> = None;
        loop {
            let has_room = self.out.len() < LOCAL_AHEAD_BYTES;
            if has_room && let Some(call) = first.pop_front() {
                self.send(call);
                continue;
            }
            tokio::select! {
                () = leaving.cancelled() => return End::Left,
                call = calls.recv(), if has_room => match call {
                    Some(call) => self.send(call),
                    None => return End::Left,
                },
                // The answers of all calls come in one stream, so the next is read when this one is delivered.
                () = deliver(&mut delivery), if delivery.is_some() => (),
                line = self.lines.next(), if delivery.is_none() => match line {
                    Ok(Some(line)) => match serde_json::from_slice(&line) {
                        Ok(line) => delivery = self.take(line),
                        Err(error) => {
                            tracing::warn!(column = error.column(), "the engine sent a line that makes no sense");
                            return End::Told(not_understood(), self.unfinished(first));
                        }
                    },
                    Ok(None) | Err(LineError::Broken(_)) => return self.lost(first),
                    Err(LineError::TooLong) => return End::Told(not_understood(), self.unfinished(first)),
                },
                number = next_dropped(&mut self.calls), if !self.calls.is_empty() => self.forget(number),
                written = self.write.write_buf(&mut self.out), if self.writable && !self.out.is_empty() => {
                    // What the engine said before it closed can still be read.
                    self.writable = written.is_ok_and(|count| count > 0);
                }
            }
        }
    }

    fn send(&mut self, call: Call) {
        if call.updates.is_closed() {
            return;
        }
        self.numbered += 1;
        let number = self.numbered;
        let line = FaceLine::Call { call: number, command: call.command };
        let appended = line::append(&line, &mut self.out);
        // Taken back out of the line, for the case that it must be sent again.
        let FaceLine::Call { command, .. } = line else { return };
        if let Err(error) = appended {
            return end_call(&call.updates, not_sendable(&error));
        }
        self.stop_sent |= command == Command::Stop;
        self.calls.insert(number, Sent::new(command, call.updates));
    }

    /// Takes a line of the engine in; what a call is to get of it is returned.
    fn take(&mut self, line: EngineLine) -> Option<Delivery> {
        match line {
            EngineLine::Hello { .. } => None,
            EngineLine::Update { call, update } => {
                // An unknown call was dropped, and the engine does not know yet.
                let updates = self.calls.get(&call)?.updates.clone();
                Some(Delivery { updates, answer: Answer::Update(update) })
            }
            EngineLine::Done { call: 0, failure } => {
                let failure = failure.unwrap_or_else(engine_gone);
                tracing::debug!(code = failure.code, "the engine spoke of the connection");
                self.last_word = Some(failure);
                None
            }
            EngineLine::Done { call, failure } => {
                let updates = self.calls.remove(&call)?.updates;
                Some(Delivery { updates, answer: Answer::Done(failure.map_or(Ok(()), Err)) })
            }
        }
    }

    fn forget(&mut self, call: u64) {
        self.calls.remove(&call);
        if let Err(error) = line::append(&FaceLine::Drop { call }, &mut self.out) {
            // Two words and a number always fit.
            tracing::error!(%error, "a line could not be written");
        }
    }

    fn lost(mut self, first: VecDeque<Call>) -> End {
        let last_word = self.last_word.take().or_else(|| self.stop_sent.then(engine_gone));
        let unfinished = self.unfinished(first);
        match last_word {
            Some(failure) => End::Told(failure, unfinished),
            None => End::Lost(unfinished),
        }
    }

    fn unfinished(self, first: VecDeque<Call>) -> Vec<Call> {
        let sent = self.calls.into_values().map(|sent| Call { command: sent.command, updates: sent.updates });
        sent.chain(first).collect()
    }
}

/// A call that the engine has not ended.
struct Sent {
    command: Command,
    updates: mpsc::Sender<Answer>,
    dropped: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Sent {
    fn new(command: Command, updates: mpsc::Sender<Answer>) -> Self {
        let watched = updates.clone();
        Self { command, updates, dropped: Box::pin(async move { watched.closed().await }) }
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent").field("command", &self.command).finish_non_exhaustive()
    }
}

/// An answer that waits for room.
struct Delivery {
    updates: mpsc::Sender<Answer>,
    answer: Answer,
}

/// Delivers, as soon as the call's channel has room or is closed. Safe to cancel.
async fn deliver(delivery: &mut Option<Delivery>) {
    let Some(waiting) = delivery else { return };
    let room = waiting.updates.clone().reserve_owned().await;
    if let (Some(waiting), Ok(room)) = (delivery.take(), room) {
        room.send(waiting.answer);
    }
}

/// The next call that its face has dropped. Safe to cancel.
async fn next_dropped(calls: &mut BTreeMap<u64, Sent>) -> u64 {
    std::future::poll_fn(|cx| {
        for (number, call) in calls.iter_mut() {
            if call.dropped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(*number);
            }
        }
        Poll::Pending
    })
    .await
}

/// Ends a call that no engine answers. Where its channel is full it ends as lost, behind what waits there.
pub(super) fn end_call(updates: &mpsc::Sender<Answer>, failure: Failure) {
    if updates.try_send(Answer::Done(Err(failure))).is_err() {
        tracing::debug!("nobody reads how a call ended");
    }
}

impl End {
    /// Ends calls that no engine will answer.
    pub(in crate::engine) fn end_calls(calls: Vec<Call>, failure: &Failure) {
        for call in calls {
            end_call(&call.updates, failure.clone());
        }
    }
}

fn not_connected(error: &io::Error) -> Unattached {
    match error.kind() {
        // A full queue of an engine that is about to end, or a moment of a very busy one: worth another try.
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::WouldBlock => Unattached::NoEngine,
        _ => Unattached::Failed(Failure::new(
            FailureKind::Unexpected,
            "socket",
            format!("could not reach the engine of this profile: {error}"),
            "check who owns the profile's folder, or choose another with SWAPMEET_HOME=DIR",
        )),
    }
}

fn silent() -> Failure {
    let hint = "see its log; `swapmeet engine stop` or ending its process lets another one start";
    Failure::new(FailureKind::Timeout, "engine_silent", "the engine of this profile does not answer", hint)
}

fn not_understood() -> Failure {
    let hint = "it may be of another version: `swapmeet engine stop`, then run the command again";
    Failure::new(FailureKind::Unexpected, "engine_version", "the engine's answer makes no sense to this program", hint)
}

fn not_sendable(error: &AppendError) -> Failure {
    match error {
        AppendError::TooLong(_) => Failure::new(
            FailureKind::Usage,
            "too_large",
            "that is too much for one request to the engine",
            "ask for fewer things at a time",
        ),
        AppendError::NotJson(_) => Failure::new(
            FailureKind::Usage,
            "not_text",
            "a path that is not UTF-8 cannot be sent to a running engine",
            "rename it, or stop the engine with `swapmeet engine stop` and run the command again",
        ),
    }
}
