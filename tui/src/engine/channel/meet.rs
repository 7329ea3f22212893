//! From an invitation to two devices that have met: who invites waits for the answer and the guest, who accepts opens the
//! stream; both check who is at the other end and derive the key words.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use shared::{
    id::{AccountId, ItemId},
    inbox::{Act, State},
    limits::{CHANNEL_FAREWELL, CHANNEL_GREETING, CHANNEL_INVITE_LIFE, CHANNEL_MEET, PEER_FRAME_BYTES_MAX},
    net::{Receiving, Sending},
    show::show_line,
    wire::{
        Code, Refusal,
        channel::{ChannelFrame, OpenChannel},
        inbox::{InboxAnswer, InboxRequest, ItemEntry},
        peer::Open,
        tracker::{Answer, PeerSource, Request},
    },
    words::{Meeting, Nonce, commitment},
};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Arrival, Guest, Hold, talk};
use crate::engine::{
    api::{ChannelRow, ChannelState, EventKind, Failure, FailureKind, ItemKind, PathKind, Update},
    core::Core,
    dispatch::Out,
    failure, inbox,
    reach::streams::{self, Opened, Route},
};

/// Two devices that have met.
#[derive(Debug)]
pub(super) struct Met {
    pub(super) guest: Guest,
    pub(super) send: Sending,
    pub(super) recv: Receiving,
    pub(super) words: Vec<String>,
    /// Where the other device is, as far as the tracker said.
    pub(super) peer: PeerSource,
}

/// A channel as its face sees it before the two have met.
pub(super) fn row(id: ItemId, with: &str, incoming: bool) -> ChannelRow {
    ChannelRow {
        id: id.to_string(),
        with: with.to_owned(),
        state: ChannelState::Connecting,
        words: Vec::new(),
        path: None,
        reason: String::new(),
        incoming,
    }
}

/// Invites a member and holds the channel to its end.
pub(super) async fn invite(
    core: &Arc<Core>,
    id: ItemId,
    member: &str,
    life_s: Option<u64>,
    out: &Out,
    leave: &CancellationToken,
) -> Result<(), Failure> {
    // Before the invitation: whoever accepts it at once shall find somebody.
    let hold = core.channels.enter(core, id, leave)?;
    let mut news = core.hub.listen();
    let request = InboxRequest::Invite { item: id, to: member.to_owned(), life_s };
    let items = inbox::ask(core, request).await?;
    let item = items.into_iter().next().ok_or_else(failure::bad_answer)?;
    let (Some(account), Some(with)) = (item.to, item.to_name.clone()) else { return Err(failure::bad_answer()) };
    if !item.state.is_open() {
        return Err(over(&with, item.state, &item.word));
    }
    let row = row(id, &with, false);
    out.send(Update::Channel(ChannelRow { state: ChannelState::Inviting, ..row.clone() })).await?;
    let waiting = Waiting { core, hold: &hold, account, with: &with, leave };
    let came = waiting.wait(&mut news, id, life_s, &row, out).await;
    drop(news);
    match came {
        Ok(Came::Guest(met)) => talk::run(core, hold, row, *met, out, leave).await,
        Ok(Came::Theirs(item)) => {
            take_back(core, id).await;
            drop(hold);
            Box::pin(join(core, &item, out, leave)).await
        }
        Ok(Came::Left) => {
            take_back(core, id).await;
            Ok(())
        }
        Err(failure) => {
            if core.inbox.state(id).is_none_or(State::is_open) {
                take_back(core, id).await;
            }
            Err(failure)
        }
    }
}

/// Who waits for a guest.
struct Waiting<'a> {
    core: &'a Arc<Core>,
    hold: &'a Hold,
    account: AccountId,
    with: &'a str,
    leave: &'a CancellationToken,
}

/// What ended the waiting well.
enum Came {
    Guest(Box<Met>),
    /// The other one has invited at the same time: one of the two invitations is enough.
    Theirs(Box<ItemEntry>),
    /// This side gave up.
    Left,
}

impl Waiting<'_> {
    async fn wait(
        &self,
        news: &mut Receiver<Update>,
        id: ItemId,
        life_s: Option<u64>,
        row: &ChannelRow,
        out: &Out,
    ) -> Result<Came, Failure> {
        let mut arrivals = self.hold.await_guest(self.account);
        // The tracker tells of the end; where it cannot be heard any more, the clock does.
        let life = life_s.map_or(CHANNEL_INVITE_LIFE, Duration::from_secs).min(CHANNEL_INVITE_LIFE);
        let mut deadline = Instant::now() + life + CHANNEL_GREETING;
        let mut known = State::Waiting;
        loop {
            // Both have said that they want to: the same one of the two invitations is taken on both sides.
            if let Some(theirs) = self.core.inbox.invitation_of(self.account).filter(|theirs| theirs.id < id) {
                return Ok(Came::Theirs(Box::new(theirs)));
            }
            match self.core.inbox.state(id) {
                Some(State::Accepted) if known == State::Waiting => {
                    known = State::Accepted;
                    deadline = Instant::now() + CHANNEL_MEET;
                    out.send(Update::Channel(row.clone())).await?;
                }
                Some(state @ (State::Declined | State::Cancelled | State::Expired)) => {
                    return Err(over(self.with, state, &self.core.inbox.word(id)));
                }
                Some(State::Waiting | State::Accepted | State::Fulfilled) | None => {}
            }
            tokio::select! {
                Some(arrival) = arrivals.recv() => {
                    if let Some(met) = greet(self.core, arrival, self.with).await {
                        return Ok(Came::Guest(Box::new(met)));
                    }
                }
                moved = item_moved(news) => moved?,
                () = sleep_until(deadline.into()) => return Err(over(self.with, State::Expired, "")),
                () = self.leave.cancelled() => return Ok(Came::Left),
            }
        }
    }
}

/// Waits until something about an invitation is different.
async fn item_moved(news: &mut Receiver<Update>) -> Result<(), Failure> {
    loop {
        match news.recv().await {
            Ok(Update::Event(event)) => {
                if matches!(&event.what, EventKind::ItemChanged { item } if item.kind == ItemKind::Channel) {
                    return Ok(());
                }
            }
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return Ok(()),
            Err(RecvError::Closed) => return Err(failure::unreachable("the engine is stopping")),
        }
    }
}

/// The host's part of the greeting. `None`: it was not who it should be, or it left.
async fn greet(core: &Arc<Core>, arrival: Arrival, with: &str) -> Option<Met> {
    let Arrival { guest, opening, .. } = &arrival;
    let (guest, opening) = (*guest, opening.clone());
    if core.inbox.state(opening.item) == Some(State::Waiting)
        && let Err(failure) = inbox::in_step(core).await
    {
        tracing::debug!(%failure, "a guest came before the word that it would");
    }
    if core.inbox.state(opening.item) != Some(State::Accepted) {
        arrival.refuse(Refusal::new(Code::Forbidden, "this invitation was not accepted")).await;
        return None;
    }
    let Arrival { mut send, mut recv, .. } = arrival;
    let own: Nonce = rand::random();
    let greeting = async {
        send.send(&ChannelFrame::Welcome { nonce: own }, PEER_FRAME_BYTES_MAX).await.map_err(|e| e.to_string())?;
        recv.receive(PEER_FRAME_BYTES_MAX).await.map_err(|e| e.to_string())
    };
    let revealed = match timeout(CHANNEL_GREETING, greeting).await {
        Ok(Ok(ChannelFrame::Reveal { nonce })) if commitment(&nonce) == opening.commitment => nonce,
        Ok(Err(error)) => {
            tracing::debug!(device = %guest.device, %error, "a guest left in the middle of the greeting");
            return None;
        }
        Ok(Ok(_)) | Err(_) => {
            tracing::warn!(device = %guest.device, "a guest does not show the nonce that it committed to");
            send.reset(Code::BadRequest);
            return None;
        }
    };
    let meeting = Meeting { opener: (guest.device, revealed), host: (core.device(), own) };
    let peer = PeerSource {
        device: guest.device,
        account: guest.account,
        member: with.to_owned(),
        // The connection that it came over is used while it lasts; else the tracker relays.
        addresses: Vec::new(),
    };
    Some(Met { guest, send, recv, words: words_of(meeting), peer })
}

/// Accepts an invitation and holds the channel to its end.
pub(super) async fn join(
    core: &Arc<Core>,
    item: &ItemEntry,
    out: &Out,
    leave: &CancellationToken,
) -> Result<(), Failure> {
    let hold = core.channels.enter(core, item.id, leave)?;
    let with = &item.from_name;
    let items = inbox::ask(core, act(item.id, Act::Accept, "")).await?;
    let accepted = items.into_iter().next().ok_or_else(failure::bad_answer)?;
    if accepted.state != State::Accepted {
        return Err(over(with, accepted.state, &accepted.word));
    }
    let row = row(item.id, with, true);
    let meeting = async {
        out.send(Update::Channel(row.clone())).await?;
        timeout(CHANNEL_MEET, open(core, item))
            .await
            .unwrap_or_else(|_| Err(not_reached(with, "no way was found in time")))
    };
    let met = tokio::select! {
        met = meeting => met,
        () = leave.cancelled() => Err(Failure::new(FailureKind::Interrupted, "left", "left before the two met", "")),
    };
    match met {
        Ok(met) => {
            // From here on nobody else comes by this invitation. Where the tracker does not hear it, it ends by itself.
            let (later, id) = (core.clone(), item.id);
            core.peers.spawn(async move {
                if let Err(failure) = inbox::ask(&later, act(id, Act::Fulfil, "")).await {
                    tracing::debug!(%failure, "the tracker was not told that two have met");
                }
            });
            talk::run(core, hold, row, met, out, leave).await
        }
        Err(failure) => {
            // Who invited shall not wait for somebody who does not come.
            let word = show_line(&failure.message, 200);
            tell(core, act(item.id, Act::Decline, &word)).await;
            Err(failure)
        }
    }
}

/// The guest's part: the way to the host, and the greeting.
async fn open(core: &Arc<Core>, item: &ItemEntry) -> Result<Met, Failure> {
    let with = &item.from_name;
    let asked = core.session.ask(&Request::Inbox(InboxRequest::Host { item: item.id })).await?;
    let Answer::Inbox(InboxAnswer::Host { peer }) = asked else { return Err(failure::bad_answer()) };
    let Some(peer) = peer.filter(|peer| peer.device == item.from_device && peer.account == item.from) else {
        let name = show_line(with, 40);
        let message = format!("{name}'s device is not connected any more");
        let hint = "invite back when it is: `swapmeet chat channel MEMBER`";
        return Err(Failure::new(FailureKind::NotFound, "away", message, hint));
    };
    let own: Nonce = rand::random();
    let first = Open::Channel(OpenChannel { item: item.id, commitment: commitment(&own) });
    let Opened { mut send, mut recv, route } =
        streams::open(core, &peer, &first).await.map_err(|why| not_reached(with, &why))?;
    let path = match &route {
        Route::Direct(connection) => core.peers.path_kind(peer.device, connection),
        // One way is enough for words; files look for a better one by themselves.
        Route::Relayed { .. } => PathKind::Relay,
    };
    let greeting = async {
        let nonce = match recv.receive(PEER_FRAME_BYTES_MAX).await.map_err(|e| not_reached(with, &e.to_string()))? {
            ChannelFrame::Welcome { nonce } => nonce,
            ChannelFrame::Refused(refusal) => {
                let message = format!("{}: {}", show_line(with, 40), show_line(&refusal.detail, 200));
                return Err(Failure::new(FailureKind::Refused, refusal.code.name(), message, "invite back"));
            }
            _ => return Err(not_reached(with, "its device answers something else")),
        };
        let reveal = ChannelFrame::Reveal { nonce: own };
        send.send(&reveal, PEER_FRAME_BYTES_MAX).await.map_err(|e| not_reached(with, &e.to_string()))?;
        Ok(nonce)
    };
    let greeted = timeout(CHANNEL_GREETING, greeting).await;
    let nonce = greeted.map_err(|_| not_reached(with, "its device does not answer"))??;
    let meeting = Meeting { opener: (core.device(), own), host: (peer.device, nonce) };
    let guest = Guest { account: peer.account, device: peer.device, path };
    Ok(Met { guest, send, recv, words: words_of(meeting), peer })
}

fn words_of(meeting: Meeting) -> Vec<String> {
    meeting.words().map(str::to_owned).into()
}

fn act(item: ItemId, act: Act, word: &str) -> InboxRequest {
    InboxRequest::Act { item, act, always: false, with: None, word: word.to_owned() }
}

async fn take_back(core: &Arc<Core>, id: ItemId) {
    tell(core, act(id, Act::Cancel, "")).await;
}

/// Tells the tracker, which may be away: the invitation ends by itself then.
async fn tell(core: &Arc<Core>, request: InboxRequest) {
    match timeout(CHANNEL_FAREWELL, inbox::ask(core, request)).await {
        Ok(Ok(_)) => {}
        Ok(Err(failure)) => tracing::debug!(%failure, "the tracker was not told the end of an invitation"),
        Err(_) => tracing::debug!("the tracker was not told the end of an invitation in time"),
    }
}

fn not_reached(with: &str, why: &str) -> Failure {
    let message = format!("{} could not be reached: {}", show_line(with, 40), show_line(why, 300));
    Failure::new(FailureKind::Transfer, "not_reached", message, "`swapmeet doctor` looks at the network")
}

/// Why there is no channel.
fn over(with: &str, state: State, word: &str) -> Failure {
    let with = show_line(with, 40);
    let word = if word.is_empty() { String::new() } else { format!(": {}", show_line(word, 300)) };
    let (kind, message) = match state {
        State::Declined => (FailureKind::Refused, format!("{with} declined{word}")),
        State::Expired => (FailureKind::Timeout, format!("{with} did not answer in time")),
        State::Cancelled => (FailureKind::Refused, "the invitation was taken back".to_owned()),
        State::Fulfilled | State::Waiting | State::Accepted => {
            (FailureKind::Conflict, "this channel was opened before and is over".to_owned())
        }
    };
    let hint = "`swapmeet chat channel MEMBER` invites anew; a message waits for who is away";
    Failure::new(kind, state.word(), message, hint)
}
