//! The engine's end of the local socket: a task for each attached face, which passes its calls to the engine and the
//! answers back. Knows nothing of what the commands mean.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    ops::Bound::{Excluded, Unbounded},
    task::Poll,
};

use bytes::BytesMut;
use serde::Deserialize;
use shared::limits::{
    FACES_MAX, LOCAL_ACCEPT_PAUSE, LOCAL_AHEAD_BYTES, LOCAL_CALLS_MAX, LOCAL_FAREWELL, LOCAL_LINE_BYTES_MAX,
    UPDATES_WAITING_MAX,
};
use tokio::{
    io::AsyncWriteExt,
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::{JoinError, JoinHandle, JoinSet},
    time::timeout,
};
use tracing::Instrument;

use super::{
    line::{self, LineError, Lines},
    lock::Lock,
    place::{self, SocketFile},
};
use crate::{
    engine::{
        api::{
            ChannelCommand, ChatCommand, Command, EngineLine, FaceLine, Failure, FailureKind, InboxCommand,
            PeopleCommand, Update,
        },
        client::{Answer, Call, Client, engine_gone},
    },
    profile::Profile,
};

/// A socket that faces can already connect to; they are greeted once the engine runs.
#[derive(Debug)]
pub(in crate::engine) struct Bound {
    listener: UnixListener,
    file: SocketFile,
}

/// Serves the faces that attach, until it is ended.
#[derive(Debug)]
pub(in crate::engine) struct Server {
    phase: watch::Sender<Phase>,
    brief: BriefCalls,
    file: Option<SocketFile>,
    task: JoinHandle<()>,
}

/// Where the engine behind the socket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// The engine ends and another process shall go on: calls are kept open, unanswered.
    HandingOver,
    /// Another process may run the engine now.
    HandedOver,
    /// The engine was told to stop: calls get their last answers.
    Stopping,
    /// No further answers come.
    Stopped,
}

impl Bound {
    /// Listens at the profile's socket. The lock shows that nobody else does: what lies there is removed.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub(in crate::engine) fn bind(profile: &Profile, _held: &Lock) -> io::Result<Self> {
        let (listener, file) = place::listen(profile)?;
        Ok(Self { listener, file })
    }

    /// Lets the faces in.
    pub(in crate::engine) fn serve(self, engine: Client) -> Server {
        let (phase, phases) = watch::channel(Phase::Serving);
        let brief = BriefCalls::default();
        let door = Door { engine, brief: brief.clone(), visits: JoinSet::new(), phase: phases };
        let task = tokio::spawn(door.keep(self.listener).instrument(tracing::info_span!("local")));
        Server { phase, brief, file: Some(self.file), task }
    }
}

impl Server {
    /// Waits until no attached face has a call under way that is soon answered.
    pub(in crate::engine) async fn brief_calls_ended(&self) {
        self.brief.ended().await;
    }

    /// Lets nobody in any more and leaves the calls under way open, for the engine that follows in another process.
    pub(in crate::engine) fn begin_hand_over(&mut self) {
        self.leave(Phase::HandingOver);
    }

    /// Lets nobody in any more; calls under way get the last answers of an engine that was told to stop.
    pub(in crate::engine) fn begin_stop(&mut self) {
        self.leave(Phase::Stopping);
    }

    /// Closes the connections. The engine has stopped; for a hand-over the lock is free, so that the faces find it so.
    pub(in crate::engine) async fn end(mut self) {
        let last = match *self.phase.borrow() {
            Phase::Serving | Phase::Stopping | Phase::Stopped => Phase::Stopped,
            Phase::HandingOver | Phase::HandedOver => Phase::HandedOver,
        };
        self.leave(last);
        match timeout(LOCAL_FAREWELL, &mut self.task).await {
            Ok(ended) => report(ended),
            // A face that reads nothing is not waited for.
            Err(_) => self.task.abort(),
        }
    }

    fn leave(&mut self, phase: Phase) {
        // The name goes while the lock is held: afterwards it may be another engine's.
        self.file = None;
        self.phase.send_replace(phase);
    }
}

/// Lets faces in and owns their connections.
struct Door {
    engine: Client,
    brief: BriefCalls,
    visits: JoinSet<()>,
    phase: watch::Receiver<Phase>,
}

impl Door {
    async fn keep(mut self, listener: UnixListener) {
        let mut number = 0_u64;
        while *self.phase.borrow_and_update() == Phase::Serving {
            tokio::select! {
                changed = self.phase.changed() => if changed.is_err() { break },
                Some(ended) = self.visits.join_next() => report(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        number += 1;
                        self.admit(stream, number);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a face could not be let in");
                        // Out of file handles, most likely; the connection stays in the queue and would be tried at once.
                        tokio::time::sleep(LOCAL_ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        while let Some(ended) = self.visits.join_next().await {
            report(ended);
        }
    }

    fn admit(&mut self, stream: UnixStream, number: u64) {
        while let Some(ended) = self.visits.try_join_next() {
            report(ended);
        }
        let refused = if !is_ours(&stream) {
            Some(Failure::new(FailureKind::Refused, "not_yours", "the engine belongs to another user", ""))
        } else if self.visits.len() >= FACES_MAX {
            let hint = "close a screen or a command that is attached to it";
            let message = format!("the engine has {FACES_MAX} faces attached already");
            Some(Failure::new(FailureKind::Refused, "too_many_faces", message, hint))
        } else {
            None
        };
        if let Some(failure) = refused {
            return turn_away(stream, failure);
        }
        let (read, write) = stream.into_split();
        let visit = Visit {
            lines: Lines::new(read),
            write,
            out: BytesMut::new(),
            calls: BTreeMap::new(),
            served_last: 0,
            engine: self.engine.clone(),
            brief: self.brief.clone(),
            phase: self.phase.clone(),
        };
        let attended = async move {
            if let Err(error) = visit.attend().await {
                tracing::debug!(%error, "a face was lost");
            }
        };
        self.visits.spawn(attended.instrument(tracing::info_span!("face", number)));
    }
}

/// Whether the other end is of our user, or of root, who could read everything anyway.
fn is_ours(stream: &UnixStream) -> bool {
    match stream.peer_cred() {
        Ok(peer) => peer.uid() == rustix::process::geteuid().as_raw() || peer.uid() == 0,
        Err(error) => {
            tracing::warn!(%error, "a face could not be identified");
            false
        }
    }
}

fn turn_away(stream: UnixStream, failure: Failure) {
    let mut out = BytesMut::new();
    let told = line::append(&EngineLine::Done { call: 0, failure: Some(failure) }, &mut out)
        .map_err(io::Error::other)
        .and_then(|()| stream.into_std())
        // Never waits: the socket is set so, and a new one has room for a line.
        .and_then(|mut stream| stream.write_all(&out));
    if let Err(error) = told {
        tracing::debug!(%error, "a face was turned away without a word");
    }
}

/// One attached face.
struct Visit {
    lines: Lines<OwnedReadHalf>,
    write: OwnedWriteHalf,
    /// Lines on their way to the face.
    out: BytesMut,
    calls: BTreeMap<u64, Underway>,
    /// The call that was answered last: the next answer is looked for behind it, so that none starves.
    served_last: u64,
    engine: Client,
    brief: BriefCalls,
    phase: watch::Receiver<Phase>,
}

struct Underway {
    answers: mpsc::Receiver<Answer>,
    _brief: Option<BriefCall>,
}

impl Visit {
    async fn attend(mut self) -> Result<(), LineError> {
        if *self.phase.borrow() == Phase::Serving {
            self.say(&EngineLine::Hello { version: env!("CARGO_PKG_VERSION").to_owned() });
        }
        loop {
            let phase = *self.phase.borrow_and_update();
            match phase {
                Phase::Serving | Phase::Stopping => (),
                Phase::HandingOver => self.calls.clear(),
                Phase::HandedOver => return Ok(()),
                Phase::Stopped if self.calls.is_empty() => return self.take_leave(engine_gone()).await,
                Phase::Stopped => (),
            }
            // A face that does not read is not heard either, and its calls wait in their own bounded channels.
            let has_room = self.out.len() < LOCAL_AHEAD_BYTES;
            tokio::select! {
                changed = self.phase.changed() => if changed.is_err() { return Ok(()) },
                line = self.lines.next(), if has_room && phase == Phase::Serving => match line {
                    Ok(Some(line)) => self.hear(&line).await,
                    Ok(None) => return Ok(()),
                    Err(LineError::TooLong) => return self.take_leave(line_too_long()).await,
                    Err(error) => return Err(error),
                },
                (call, answer) = next_answer(&mut self.calls, self.served_last), if has_room && !self.calls.is_empty() => {
                    self.answer(call, answer);
                }
                written = self.write.write_buf(&mut self.out), if !self.out.is_empty() => {
                    if written? == 0 {
                        return Err(io::Error::from(io::ErrorKind::WriteZero).into());
                    }
                }
            }
        }
    }

    async fn hear(&mut self, line: &[u8]) {
        match serde_json::from_slice(line) {
            Ok(FaceLine::Call { call, command }) => self.begin(call, command).await,
            Ok(FaceLine::Drop { call }) => drop(self.calls.remove(&call)),
            Err(error) => {
                // The error may quote the line, which may hold a password: only its place is noted.
                tracing::debug!(column = error.column(), "a face sent a line that makes no sense");
                self.finish(number_of(line), Some(not_understood()));
            }
        }
    }

    async fn begin(&mut self, call: u64, command: Command) {
        if call == 0 || self.calls.contains_key(&call) {
            return self.finish(0, Some(bad_number(call)));
        }
        if self.calls.len() >= LOCAL_CALLS_MAX {
            return self.finish(call, Some(too_many_calls()));
        }
        let (updates, answers) = mpsc::channel(UPDATES_WAITING_MAX);
        let brief = is_brief(&command).then(|| self.brief.begin());
        self.calls.insert(call, Underway { answers, _brief: brief });
        self.engine.pass(Call { command, updates }).await;
    }

    fn answer(&mut self, call: u64, answer: Option<Answer>) {
        self.served_last = call;
        let failure = match answer {
            Some(Answer::Update(update)) => return self.update(call, update),
            Some(Answer::Done(Ok(()))) => None,
            Some(Answer::Done(Err(failure))) => Some(failure),
            None => Some(engine_gone()),
        };
        // The end of the engine is no end of the call: the face takes it to the next engine.
        if failure.is_some() && *self.phase.borrow() == Phase::HandingOver {
            return;
        }
        self.calls.remove(&call);
        self.finish(call, failure);
    }

    fn update(&mut self, call: u64, update: Update) {
        let Err(error) = line::append(&EngineLine::Update { call, update }, &mut self.out) else { return };
        tracing::warn!(%error, "an update could not be passed on");
        self.calls.remove(&call);
        let failure = Failure::new(
            FailureKind::Unexpected,
            "not_sendable",
            "the answer cannot be sent to this program",
            "stop the engine with `swapmeet engine stop` and run the command again",
        );
        self.finish(call, Some(failure));
    }

    fn finish(&mut self, call: u64, failure: Option<Failure>) {
        self.say(&EngineLine::Done { call, failure });
    }

    fn say(&mut self, line: &EngineLine) {
        if let Err(error) = line::append(line, &mut self.out) {
            // Hello and Done are short and hold no paths.
            tracing::error!(%error, "a line could not be written");
        }
    }

    /// Says why the connection ends.
    async fn take_leave(mut self, failure: Failure) -> Result<(), LineError> {
        self.finish(0, Some(failure));
        match timeout(LOCAL_FAREWELL, self.write.write_all_buf(&mut self.out)).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    }
}

/// The next answer of any call, taking turns. Safe to cancel.
async fn next_answer(calls: &mut BTreeMap<u64, Underway>, served_last: u64) -> (u64, Option<Answer>) {
    std::future::poll_fn(|cx| {
        for range in [(Excluded(served_last), Unbounded), (Unbounded, std::ops::Bound::Included(served_last))] {
            for (number, call) in calls.range_mut(range) {
                if let Poll::Ready(answer) = call.answers.poll_recv(cx) {
                    return Poll::Ready((*number, answer));
                }
            }
        }
        Poll::Pending
    })
    .await
}

/// The call that a line speaks of, though the rest of it makes no sense (it may come from a newer program); else 0.
fn number_of(line: &[u8]) -> u64 {
    #[derive(Deserialize)]
    struct Numbered {
        call: u64,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum AnyLine {
        Call(Numbered),
        Drop(Numbered),
    }
    match serde_json::from_slice(line) {
        Ok(AnyLine::Call(Numbered { call }) | AnyLine::Drop(Numbered { call })) => call,
        Err(_) => 0,
    }
}

/// Counts the calls that are soon answered.
#[derive(Debug, Clone, Default)]
struct BriefCalls {
    count: watch::Sender<usize>,
}

impl BriefCalls {
    fn begin(&self) -> BriefCall {
        self.count.send_modify(|count| *count += 1);
        BriefCall { count: self.count.clone() }
    }

    async fn ended(&self) {
        let mut count = self.count.subscribe();
        // Fails only without a sender, and this is one.
        let _none = count.wait_for(|count| *count == 0).await;
    }
}

/// One of them; dropped at its end.
#[derive(Debug)]
struct BriefCall {
    count: watch::Sender<usize>,
}

impl Drop for BriefCall {
    fn drop(&mut self) {
        self.count.send_modify(|count| *count -= 1);
    }
}

/// Whether a command is answered soon. The others go on, in the engine that follows, where they stopped.
fn is_brief(command: &Command) -> bool {
    match command {
        Command::Status
        | Command::Probe { .. }
        | Command::Register { .. }
        | Command::Login { .. }
        | Command::Recover { .. }
        | Command::Logout
        | Command::Account(_)
        | Command::Unshare { .. }
        | Command::Uncopy { .. }
        | Command::List { .. }
        | Command::Search { .. }
        | Command::Info { .. }
        | Command::Unlock { .. }
        | Command::Known { .. }
        | Command::Steer { .. }
        | Command::Reading { .. }
        | Command::Limit { .. }
        | Command::Members
        | Command::Wish(_)
        | Command::Reconnect
        | Command::Doctor { .. }
        | Command::Stop => true,
        Command::People(command) => *command != PeopleCommand::Attend,
        Command::Transfers { watch } => !watch,
        Command::Copy { wait, .. } => !wait,
        Command::Inbox(command) => !matches!(command, InboxCommand::Offer(_) | InboxCommand::Accept(_)),
        Command::Chat(command) => {
            !matches!(command, ChatCommand::Follow | ChatCommand::Wait { .. } | ChatCommand::Settle)
        }
        Command::Channel(command) => {
            matches!(command, ChannelCommand::Say { .. } | ChannelCommand::Take { .. } | ChannelCommand::Leave { .. })
        }
        Command::Share(_)
        | Command::Edit(_)
        | Command::Rescan
        | Command::Verify(_)
        | Command::Get(_)
        | Command::Stream { .. }
        | Command::Watch
        | Command::Events => false,
    }
}

fn not_understood() -> Failure {
    let hint = "the engine may be older than this program: `swapmeet engine stop`, then run the command again";
    Failure::new(FailureKind::Usage, "not_understood", "the engine did not understand what it was asked", hint)
}

fn line_too_long() -> Failure {
    let message = format!("a request to the engine holds at most {LOCAL_LINE_BYTES_MAX} bytes");
    Failure::new(FailureKind::Usage, "too_large", message, "ask for fewer things at a time")
}

fn bad_number(call: u64) -> Failure {
    Failure::new(FailureKind::Usage, "bad_call", format!("a new call cannot have the number {call}"), "")
}

fn too_many_calls() -> Failure {
    let message = format!("the engine answers at most {LOCAL_CALLS_MAX} calls of one program at a time");
    Failure::new(FailureKind::Refused, "too_many_calls", message, "wait for the end of others")
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a task of the local socket failed");
    }
}
