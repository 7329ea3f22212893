//! An open channel: lines of both sides, what came of them, and its end.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::Arc,
};

use shared::{
    limits::{
        CHANNEL_FAREWELL, CHANNEL_FILES_MAX, CHANNEL_TEXT_BYTES_MAX, CHANNEL_UNCONFIRMED_MAX, CHANNEL_WAITING_MAX,
    },
    name::FileName,
    net::frame::{ReceiveError, SendError},
    show::show_line,
    wire::{
        channel::{ChannelFile, ChannelFrame},
        tracker::PeerSource,
    },
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    Hold,
    files::{self, News, Ready, Taking},
    meet::Met,
    pipes::{self, Deaf},
};
use crate::engine::{
    api::{
        ChannelFileRow, ChannelFileState, ChannelLineRow, ChannelRow, ChannelState, Failure, FailureKind, LineState,
        Target, Update,
    },
    core::{Core, now_ms},
    dispatch::Out,
};

/// Where the answer to a wish goes.
pub(super) type Asked = oneshot::Sender<Result<ChannelLineRow, Failure>>;

/// What a person wants in an open channel.
#[derive(Debug)]
pub(super) enum Wish {
    Say(String, Asked),
    Offer(PathBuf, Asked),
    Take(u64, Target, Asked),
}

/// How a channel ended.
#[derive(Debug)]
enum End {
    /// This side left.
    Left,
    /// The other side said goodbye.
    TheyLeft,
    /// The other side is gone without a word, or the way to it is.
    Lost(String),
    /// The other side does not keep to the rules.
    Misbehaved(&'static str),
    /// The other member was blocked here.
    Blocked,
}

/// Holds a channel to its end. `row`: as its face saw it last.
pub(super) async fn run(
    core: &Arc<Core>,
    hold: Hold,
    row: ChannelRow,
    met: Met,
    out: &Out,
    leave: &CancellationToken,
) -> Result<(), Failure> {
    let Met { guest, send, recv, words, peer } = met;
    let row = ChannelRow { state: ChannelState::Open, words, path: Some(guest.path), ..row };
    let mut wishes = hold.open();
    let (speaking, frames) = mpsc::channel(CHANNEL_WAITING_MAX);
    let (heard_in, mut heard) = mpsc::channel(CHANNEL_WAITING_MAX);
    let mut mouth = AbortOnDropHandle::new(tokio::spawn(pipes::speak(send, frames)));
    let mut ear = AbortOnDropHandle::new(tokio::spawn(pipes::hear(recv, heard_in)));
    let (news_in, mut news) = mpsc::channel(CHANNEL_WAITING_MAX);
    let mut talk = Talk {
        me: core.hub.current_account().map(|account| account.name).unwrap_or_default(),
        hold: &hold,
        peer,
        row: &row,
        out,
        said: 0,
        heard: 0,
        outbox: VecDeque::new(),
        got: None,
        unconfirmed: BTreeMap::new(),
        mine: BTreeMap::new(),
        theirs: BTreeMap::new(),
        work: JoinSet::new(),
        turns: Arc::new(Semaphore::new(shared::limits::CHANNEL_TAKES_MAX)),
        news: news_in,
    };
    let begun = out.send(Update::Channel(row.clone())).await;
    let end = loop {
        if begun.is_err() {
            break End::Left;
        }
        let has_room = talk.outbox.len() < CHANNEL_WAITING_MAX && talk.unconfirmed.len() < CHANNEL_UNCONFIRMED_MAX;
        let step = tokio::select! {
            biased;
            () = leave.cancelled() => Err(End::Left),
            () = core.peers.until_blocked(guest.account) => Err(End::Blocked),
            // What was said before the end of the stream comes first.
            Some(frame) = heard.recv() => talk.hear(frame).await,
            permit = speaking.reserve(), if talk.has_frames() => match permit {
                Ok(permit) => {
                    if let Some(frame) = talk.next_frame() {
                        permit.send(frame);
                    }
                    Ok(())
                }
                Err(_) => Err(End::Lost("its device takes nothing any more".to_owned())),
            },
            Some(news) = news.recv() => talk.learn(news).await,
            Some(wish) = wishes.recv(), if has_room => {
                talk.carry_out(wish).await;
                Ok(())
            }
            ended = &mut ear => Err(talk.deafened(ended)),
            ended = &mut mouth => Err(silenced(ended)),
        };
        if let Err(end) = step {
            break end;
        }
    };
    // What runs is cut off, and what was offered is taken back, before anything is said about it.
    talk.work.abort_all();
    core.catalog.given.end(hold.id);
    let farewell = Instant::now() + CHANNEL_FAREWELL;
    if matches!(end, End::Left | End::TheyLeft) {
        let rest: Vec<ChannelFrame> = std::iter::from_fn(|| talk.next_frame()).chain([ChannelFrame::Bye]).collect();
        let goodbye = async {
            for frame in rest {
                if speaking.send(frame).await.is_err() {
                    return;
                }
            }
            drop(speaking);
            // Its end: everything was handed to the network. The other side's answer shows that it arrived.
            let _spoken = (&mut mouth).await;
            while !matches!(heard.recv().await, Some(ChannelFrame::Bye) | None) {}
        };
        if timeout_at(farewell, goodbye).await.is_err() {
            tracing::debug!(device = %guest.device, "a goodbye was not taken in time");
        }
    }
    talk.settle().await;
    let (reason, ended) = told(&end, &row.with);
    // Where the face is gone there is nobody to tell.
    let _gone = out.send(Update::Channel(ChannelRow { state: ChannelState::Ended, reason, ..row.clone() })).await;
    ended
}

/// How the end of a channel is told: in words, and as the end of the call.
fn told(end: &End, with: &str) -> (String, Result<(), Failure>) {
    let with = show_line(with, 40);
    let failed = |kind, code, message: String, hint: &str| {
        let failure = Failure::new(kind, code, message.clone(), hint);
        (message, Err(failure))
    };
    match end {
        End::Left => ("left".to_owned(), Ok(())),
        End::TheyLeft => (format!("{with} left"), Ok(())),
        End::Lost(why) => {
            let message = format!("{with} is gone without a goodbye: {}", show_line(why, 200));
            failed(FailureKind::Timeout, "channel_lost", message, "`swapmeet chat channel MEMBER` invites anew")
        }
        End::Misbehaved(why) => {
            let message = format!("{with}'s program does not keep to the rules: {why}");
            failed(FailureKind::Unexpected, "misbehaved", message, "update the older of the two programs")
        }
        End::Blocked => failed(FailureKind::Refused, "blocked", format!("{with} is blocked"), ""),
    }
}

fn silenced(ended: Result<Result<(), SendError>, tokio::task::JoinError>) -> End {
    match ended {
        Ok(Ok(())) => End::Lost("nothing more can be sent".to_owned()),
        Ok(Err(error)) => End::Lost(error.to_string()),
        Err(error) => End::Lost(error.to_string()),
    }
}

/// The state of an open channel.
struct Talk<'a> {
    me: String,
    hold: &'a Hold,
    peer: PeerSource,
    row: &'a ChannelRow,
    out: &'a Out,
    /// Number of the last line of this side, and of the last one heard.
    said: u64,
    heard: u64,
    outbox: VecDeque<ChannelFrame>,
    /// Lines up to this one are to be confirmed.
    got: Option<u64>,
    unconfirmed: BTreeMap<u64, ChannelLineRow>,
    /// Files of this side and of the other, by their lines.
    mine: BTreeMap<u64, ChannelLineRow>,
    theirs: BTreeMap<u64, (ChannelFile, ChannelLineRow)>,
    work: JoinSet<()>,
    turns: Arc<Semaphore>,
    news: mpsc::Sender<News>,
}

impl Talk<'_> {
    fn has_frames(&self) -> bool {
        self.got.is_some() || !self.outbox.is_empty()
    }

    /// What is said next: that lines have come first, so that a full outbox on both sides holds up nothing.
    fn next_frame(&mut self) -> Option<ChannelFrame> {
        if let Some(number) = self.got.take() {
            return Some(ChannelFrame::Got { number });
        }
        self.outbox.pop_front()
    }

    async fn tell(&self, line: &ChannelLineRow) -> Result<(), End> {
        self.out.send(Update::ChannelLine(Box::new(line.clone()))).await.map_err(|_| End::Left)
    }

    fn line(&self, number: u64, mine: bool, text: String, file: Option<ChannelFileRow>) -> ChannelLineRow {
        ChannelLineRow {
            channel: self.row.id.clone(),
            number,
            mine,
            from: if mine { self.me.clone() } else { self.row.with.clone() },
            text,
            file,
            at_ms: now_ms(),
            state: if mine { LineState::Sent } else { LineState::Received },
        }
    }

    async fn hear(&mut self, frame: ChannelFrame) -> Result<(), End> {
        match frame {
            ChannelFrame::Text { number, text } => {
                self.count(number)?;
                if text.len() > CHANNEL_TEXT_BYTES_MAX {
                    return Err(End::Misbehaved("a line is too long"));
                }
                let line = self.line(number, false, text, None);
                self.tell(&line).await?;
                self.got = Some(number);
            }
            ChannelFrame::File { number, file } => {
                self.count(number)?;
                if FileName::parse(&file.name).is_err() {
                    return Err(End::Misbehaved("a file has a name that is none"));
                }
                if self.theirs.len() >= CHANNEL_FILES_MAX {
                    return Err(End::Misbehaved("it offers too many files"));
                }
                let line = self.line(number, false, String::new(), Some(row_of(&file)));
                self.tell(&line).await?;
                self.theirs.insert(number, (file, line));
                self.got = Some(number);
            }
            ChannelFrame::Got { number } => {
                if number > self.said {
                    return Err(End::Misbehaved("it confirms what was not said"));
                }
                let later = self.unconfirmed.split_off(&(number + 1));
                for (number, mut line) in std::mem::replace(&mut self.unconfirmed, later) {
                    line.state = LineState::Delivered;
                    if let Some(mine) = self.mine.get_mut(&number) {
                        mine.state = LineState::Delivered;
                    }
                    self.tell(&line).await?;
                }
            }
            ChannelFrame::Fetched { number } => {
                let Some(line) = self.mine.get_mut(&number) else {
                    return Err(End::Misbehaved("it fetched what was not offered"));
                };
                if let Some(file) = &mut line.file {
                    (file.state, file.done) = (ChannelFileState::Fetched, file.size);
                }
                let line = line.clone();
                self.tell(&line).await?;
            }
            ChannelFrame::Bye => return Err(End::TheyLeft),
            ChannelFrame::Ping => {}
            ChannelFrame::Welcome { .. } | ChannelFrame::Refused(_) | ChannelFrame::Reveal { .. } => {
                return Err(End::Misbehaved("it greets twice"));
            }
        }
        Ok(())
    }

    fn count(&mut self, number: u64) -> Result<(), End> {
        if number != self.heard + 1 {
            return Err(End::Misbehaved("its lines are out of order"));
        }
        self.heard = number;
        Ok(())
    }

    async fn carry_out(&mut self, wish: Wish) {
        match wish {
            Wish::Say(text, asked) => {
                self.said += 1;
                let line = self.line(self.said, true, text.clone(), None);
                self.outbox.push_back(ChannelFrame::Text { number: self.said, text });
                self.say(line, asked).await;
            }
            Wish::Offer(path, asked) => {
                if self.mine.len() + self.work.len() >= CHANNEL_FILES_MAX {
                    let message = format!("{CHANNEL_FILES_MAX} files are offered in this channel already");
                    let failure =
                        Failure::new(FailureKind::Refused, "too_many", message, "offer a folder outside of it");
                    return answer(asked, Err(failure));
                }
                let (news, scratch) = (self.news.clone(), self.hold.core.profile.state.clone());
                self.work.spawn(async move {
                    let read = files::read(path, scratch).await;
                    // A channel that is over wants it no more.
                    let _over = news.send(News::Read(read, asked)).await;
                });
            }
            Wish::Take(number, target, asked) => {
                let taken = self.take(number, target);
                if let Ok(line) = &taken {
                    // A face that left shows at the next line.
                    let _gone = self.tell(line).await;
                }
                answer(asked, taken);
            }
        }
    }

    /// A line of this side is on its way.
    async fn say(&mut self, line: ChannelLineRow, asked: Asked) {
        self.unconfirmed.insert(line.number, line.clone());
        // A face that left shows at the next line.
        let _gone = self.tell(&line).await;
        answer(asked, Ok(line));
    }

    fn take(&mut self, number: u64, target: Target) -> Result<ChannelLineRow, Failure> {
        let Some((file, line)) = self.theirs.get_mut(&number) else {
            let message = format!("no file was offered under the number {number}");
            return Err(Failure::new(FailureKind::NotFound, "no_file", message, "take the number beside its name"));
        };
        let Some(shown) = line.file.as_mut().filter(|file| file.state != ChannelFileState::Fetching) else {
            return Err(Failure::new(FailureKind::Conflict, "fetching", "it is being fetched already", ""));
        };
        *shown = ChannelFileRow { state: ChannelFileState::Fetching, ..row_of(file) };
        let taking = Taking {
            core: self.hold.core.clone(),
            peer: self.peer.clone(),
            number,
            file: file.clone(),
            target,
            news: self.news.clone(),
        };
        let (line, turns) = (line.clone(), self.turns.clone());
        self.work.spawn(async move {
            // Never closed, so there is always a turn.
            let _turn = turns.acquire().await;
            taking.run().await;
        });
        Ok(line)
    }

    async fn learn(&mut self, news: News) -> Result<(), End> {
        match news {
            News::Read(Ok(Ready { file, content }), asked) => {
                self.said += 1;
                let given = &self.hold.core.catalog.given;
                given.give(self.hold.id, self.peer.device, file.blob, &file.name, content);
                let line = self.line(self.said, true, String::new(), Some(row_of(&file)));
                self.mine.insert(self.said, line.clone());
                self.outbox.push_back(ChannelFrame::File { number: self.said, file });
                self.say(line, asked).await;
            }
            News::Read(Err(failure), asked) => answer(asked, Err(failure)),
            News::Grew(number, done) => {
                if let Some(line) = self.changed(number, |file| file.done = done) {
                    self.tell(&line).await?;
                }
            }
            News::Landed(number, Ok(local)) => {
                self.outbox.push_back(ChannelFrame::Fetched { number });
                let landed = |file: &mut ChannelFileRow| {
                    (file.state, file.done, file.local) = (ChannelFileState::Fetched, file.size, Some(local));
                };
                if let Some(line) = self.changed(number, landed) {
                    self.tell(&line).await?;
                }
            }
            News::Landed(number, Err(failure)) => {
                if let Some(line) = self.changed(number, |file| failed(file, failure.message)) {
                    self.tell(&line).await?;
                }
            }
        }
        // What is done needs no waiting for.
        while self.work.try_join_next().is_some() {}
        Ok(())
    }

    fn changed(&mut self, number: u64, change: impl FnOnce(&mut ChannelFileRow)) -> Option<ChannelLineRow> {
        let (_, line) = self.theirs.get_mut(&number)?;
        change(line.file.as_mut()?);
        Some(line.clone())
    }

    fn deafened(&self, ended: Result<Deaf, tokio::task::JoinError>) -> End {
        match ended {
            // What a leaving program still closes in order, without a word.
            Ok(Deaf::Ended(ReceiveError::Ended)) => End::TheyLeft,
            Ok(deaf) => End::Lost(deaf.to_string()),
            Err(error) => End::Lost(error.to_string()),
        }
    }

    /// The channel is over: what was still being fetched failed.
    async fn settle(&mut self) {
        let fetching = |(number, (_, line)): (&u64, &(ChannelFile, ChannelLineRow))| {
            line.file.as_ref().is_some_and(|file| file.state == ChannelFileState::Fetching).then_some(*number)
        };
        let unfinished: Vec<u64> = self.theirs.iter().filter_map(fetching).collect();
        for number in unfinished {
            if let Some(line) = self.changed(number, |file| failed(file, "the channel is over".to_owned())) {
                // Where the face is gone there is nobody to tell.
                let _gone = self.tell(&line).await;
            }
        }
    }
}

fn failed(file: &mut ChannelFileRow, why: String) {
    (file.state, file.reason) = (ChannelFileState::Failed, why);
}

fn answer(asked: Asked, answer: Result<ChannelLineRow, Failure>) {
    // Whoever asked may have left.
    let _gone = asked.send(answer);
}

fn row_of(file: &ChannelFile) -> ChannelFileRow {
    ChannelFileRow {
        name: file.name.clone(),
        size: file.size,
        hash: file.blob,
        state: ChannelFileState::Offered,
        done: 0,
        local: None,
        reason: String::new(),
    }
}
