//! (m) How long a message takes from its sender to its receiver, with many members connected and some writing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use rand::{Rng, SeedableRng, rngs::StdRng};
use shared::{
    id::{AccountId, MessageId},
    limits::MESSAGE_SEAL_BYTES,
    wire::{
        message::{Header, MessageAnswer, MessageEvent, MessageRequest, Seal, Sending, key_statement},
        people::PeopleRequest,
        tracker::{Answer, Event, MemberEntry, Presence, Request},
    },
};
use tests::{
    Tracker,
    program::cpu_seconds,
    wire::{Link, Puppet, ask, endpoint, next_event},
};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    Options,
    table::{Table, mib, quantile},
};

pub(crate) async fn measure(options: &Options, table: &mut Table) -> Result<()> {
    let mut tracker = Tracker::start();
    let link = Link::parse(&tracker.link)?;
    let endpoint = endpoint(None)?;
    let mut puppets = Vec::with_capacity(options.talkers);
    for index in 0..options.talkers {
        let member = Puppet::register_over(endpoint.clone(), &link, &format!("member {index}")).await?;
        let key = [7; 32];
        let proof = member.sign(&key_statement(&key)).to_vec();
        ensure!(answer(&member, MessageRequest::PublishKey { key, proof }).await? == MessageAnswer::Done, "no key");
        puppets.push(member);
    }
    // Enrolling hashes passwords, which takes memory that no member needs afterwards.
    tracker.restart();
    let base = tracker.process().memory_now();
    let clocks = Arc::new(Clocks::new(&puppets));
    let (arrivals, mut arrived) = mpsc::unbounded_channel();
    let mut members = Vec::with_capacity(options.talkers);
    let mut tasks = JoinSet::new();
    for (index, mut member) in puppets.into_iter().enumerate() {
        member.reconnect(&link).await?;
        let member = Arc::new(member);
        tasks.spawn(receive(member.clone(), member.events().await?, clocks.clone(), arrivals.clone()));
        members.push(member);
        if index % 500 == 499 {
            eprintln!("  {} members, {}", index + 1, mib(tracker.process().memory_now()));
        }
    }
    let idle = tracker.process().memory_now();
    let spent = || (tracker.process().cpu_seconds(), cpu_seconds("self"));
    let spent_before = spent();
    let mut senders = JoinSet::new();
    let mut random = StdRng::seed_from_u64(7);
    let mut clock = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    let begun = Instant::now();
    for index in 0..MESSAGES {
        clock.tick().await;
        let from = members[index % members.len()].clone();
        let to = members[(index + random.random_range(1..members.len())) % members.len()].clone();
        let told = clocks.clone();
        senders.spawn(async move { send(&from, &to, index, &told.sent[index]).await });
        if index % (PER_SECOND / MOVES_PER_SECOND) as usize == 0 {
            let mover = random.random_range(0..members.len());
            let (member, told) = (members[mover].clone(), clocks.clone());
            senders.spawn(async move { told.moves(&member, mover).await });
        }
    }
    while let Some(sender) = senders.join_next().await {
        sender??;
    }
    let (mut messages, mut moves) = (Vec::with_capacity(MESSAGES), Vec::new());
    while messages.len() < MESSAGES {
        match tokio::time::timeout(PATIENCE, arrived.recv()).await {
            Ok(Some(Arrived::Message(latency))) => messages.push(latency),
            Ok(Some(Arrived::Move(latency))) => moves.push(latency),
            Ok(None) | Err(_) => break,
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let rate = MESSAGES as f64 / seconds;
    let (of_tracker, of_members) = (spent().0 - spent_before.0, spent().1 - spent_before.1);
    tasks.shutdown().await;
    table.row(
        &format!("m: messages among {} connected members, {rate:.0} a second", options.talkers),
        format!("p50 {:.1} ms, p99 {:.1} ms", quantile(&messages, 0.5), quantile(&messages, 0.99)),
        format!("{} of {MESSAGES} arrived", messages.len()),
        String::new(),
        "p99 within 100 ms, none lost",
    );
    table.row(
        &format!("m: presence of {MOVES_PER_SECOND} members a second changes meanwhile, told to all"),
        format!("p50 {:.1} ms, p99 {:.1} ms", quantile(&moves, 0.5), quantile(&moves, 0.99)),
        format!("{} were told", moves.len()),
        String::new(),
        "p99 within 1000 ms",
    );
    table.row(
        &format!("m: processor time of these {seconds:.0} s"),
        format!("tracker {of_tracker:.1} s"),
        format!("all members together {of_members:.1} s"),
        String::new(),
        "",
    );
    table.row(
        "m: tracker with them idle, and after it all",
        format!("{}, then {}", mib(idle), mib(tracker.process().memory_now())),
        format!("{} without them", mib(base)),
        format!("{:.0} KiB each", idle.saturating_sub(base) as f64 / 1024.0 / options.talkers as f64),
        "40 KiB each",
    );
    Ok(())
}

/// When what is measured began.
struct Clocks {
    sent: Vec<OnceLock<Instant>>,
    accounts: HashMap<AccountId, usize>,
    /// Of each member: whether somebody is there, and since when.
    moved: Vec<Mutex<(bool, Option<Instant>)>>,
}

/// How long something took, in milliseconds.
enum Arrived {
    Message(f64),
    Move(f64),
}

impl Clocks {
    fn new(members: &[Puppet]) -> Self {
        Self {
            sent: (0..MESSAGES).map(|_| OnceLock::new()).collect(),
            accounts: members.iter().enumerate().map(|(index, member)| (member.signed_in.account, index)).collect(),
            moved: members.iter().map(|_| Mutex::new((true, None))).collect(),
        }
    }

    /// A member gets up, or sits down again.
    async fn moves(&self, member: &Puppet, index: usize) -> Result<()> {
        let here = {
            let mut moved = self.moved[index].lock().unwrap_or_else(PoisonError::into_inner);
            *moved = (!moved.0, Some(Instant::now()));
            moved.0
        };
        match ask(&member.tracker, &Request::People(PeopleRequest::Attend { here })).await? {
            Answer::Done => Ok(()),
            other => bail!("no presence: {other:?}"),
        }
    }

    /// How long it took until somebody heard that this member moved; `None` for news of something else.
    fn since_move(&self, entry: &MemberEntry) -> Option<f64> {
        let moved = *self.moved[*self.accounts.get(&entry.account)?].lock().unwrap_or_else(PoisonError::into_inner);
        let is_that = (entry.presence == Presence::Online) == moved.0;
        moved.1.filter(|_| is_that).map(|at| at.elapsed().as_secs_f64() * 1000.0)
    }
}

async fn answer(member: &Puppet, request: MessageRequest) -> Result<MessageAnswer> {
    match ask(&member.tracker, &Request::Message(request)).await? {
        Answer::Message(answer) => Ok(answer),
        other => bail!("no answer about messages but {other:?}"),
    }
}

async fn send(from: &Puppet, to: &Puppet, index: usize, sent: &OnceLock<Instant>) -> Result<()> {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&(index as u64).to_le_bytes());
    let header = Header {
        id: MessageId(id),
        from: from.signed_in.account,
        device: from.signed_in.device,
        to: Some(to.signed_in.account),
        written_ms: 0,
    };
    // The tracker sees only what is sealed: it does the same work for noise.
    let seals = vec![Seal { device: to.signed_in.device, sealed: vec![7; MESSAGE_SEAL_BYTES] }];
    let sending = Sending { header, body: vec![index as u8; BODY_BYTES], signature: vec![7; 64], seals, last: true };
    sent.get_or_init(Instant::now);
    match answer(from, MessageRequest::Send(sending)).await? {
        MessageAnswer::Sent { .. } => Ok(()),
        other => bail!("not sent: {other:?}"),
    }
}

/// Reads the events of a member, acknowledges each message and tells how long everything took.
async fn receive(
    member: Arc<Puppet>,
    mut events: quinn::RecvStream,
    clocks: Arc<Clocks>,
    arrivals: mpsc::UnboundedSender<Arrived>,
) -> Result<()> {
    loop {
        let delivery = match next_event(&mut events).await? {
            Event::Message(MessageEvent::Arrived(delivery)) => delivery,
            Event::Member(entry) => {
                if let Some(latency) = clocks.since_move(&entry) {
                    arrivals.send(Arrived::Move(latency))?;
                }
                continue;
            }
            _ => continue,
        };
        let id = delivery.header.id;
        let index = u64::from_le_bytes(id.0[..8].try_into()?);
        let begun = usize::try_from(index).ok().and_then(|index| clocks.sent.get(index)).and_then(OnceLock::get);
        let Some(begun) = begun else { bail!("a message that nobody sent") };
        arrivals.send(Arrived::Message(begun.elapsed().as_secs_f64() * 1000.0))?;
        answer(&member, MessageRequest::Acknowledge { messages: vec![id] }).await?;
    }
}

/// For twenty seconds.
const MESSAGES: usize = 4000;
const PER_SECOND: u32 = 200;
/// Each is told to every member: two thousand who come or go once in seven minutes.
const MOVES_PER_SECOND: u32 = 5;
/// A text of two lines, filled up and encrypted.
const BODY_BYTES: usize = 304;
/// Longer than anything takes that arrives at all.
const PATIENCE: Duration = Duration::from_secs(10);
