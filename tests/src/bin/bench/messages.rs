//! (m) How long a message takes from its sender to its receiver, with many members connected and some writing.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use rand::{Rng, SeedableRng, rngs::StdRng};
use shared::{
    id::MessageId,
    limits::MESSAGE_SEAL_BYTES,
    wire::{
        message::{Header, MessageAnswer, MessageEvent, MessageRequest, Seal, Sending, key_statement},
        tracker::{Answer, Event, Request},
    },
};
use tests::{
    Tracker,
    wire::{Link, Puppet, ask, endpoint, next_event},
};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    Options,
    table::{Table, mib, quantile},
};

pub(crate) async fn measure(options: &Options, table: &mut Table) -> Result<()> {
    let tracker = Tracker::start();
    let link = Link::parse(&tracker.link)?;
    let endpoint = endpoint(None)?;
    let sent: Arc<Vec<OnceLock<Instant>>> = Arc::new((0..MESSAGES).map(|_| OnceLock::new()).collect());
    let (arrivals, mut arrived) = mpsc::unbounded_channel();
    let mut members = Vec::with_capacity(options.talkers);
    let mut tasks = JoinSet::new();
    for index in 0..options.talkers {
        let member = Arc::new(Puppet::register_over(endpoint.clone(), &link, &format!("member {index}")).await?);
        let key = [7; 32];
        let proof = member.sign(&key_statement(&key)).to_vec();
        ensure!(answer(&member, MessageRequest::PublishKey { key, proof }).await? == MessageAnswer::Done, "no key");
        tasks.spawn(receive(member.clone(), sent.clone(), arrivals.clone()));
        members.push(member);
        if index % 500 == 499 {
            eprintln!("  {} members, {}", index + 1, mib(tracker.process().memory_now()));
        }
    }
    let idle = tracker.process().memory_now();
    let mut senders = JoinSet::new();
    let mut random = StdRng::seed_from_u64(7);
    let mut clock = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    let begun = Instant::now();
    for index in 0..MESSAGES {
        clock.tick().await;
        let from = members[index % members.len()].clone();
        let to = members[(index + random.random_range(1..members.len())) % members.len()].clone();
        let sent = sent.clone();
        senders.spawn(async move { send(&from, &to, index, &sent[index]).await });
    }
    while let Some(sender) = senders.join_next().await {
        sender??;
    }
    let mut taken = Vec::with_capacity(MESSAGES);
    while taken.len() < MESSAGES {
        match tokio::time::timeout(PATIENCE, arrived.recv()).await {
            Ok(Some(latency)) => taken.push(latency),
            Ok(None) | Err(_) => break,
        }
    }
    let rate = MESSAGES as f64 / begun.elapsed().as_secs_f64();
    tasks.shutdown().await;
    table.row(
        &format!("m: messages among {} connected members, {rate:.0} a second", options.talkers),
        format!("p50 {:.1} ms, p99 {:.1} ms", quantile(&taken, 0.5), quantile(&taken, 0.99)),
        format!("{} of {MESSAGES} arrived", taken.len()),
        String::new(),
        "p99 within 100 ms, none lost",
    );
    table.row(
        "m: tracker before and after them",
        format!("{}, then {}", mib(idle), mib(tracker.process().memory_now())),
        format!("peak {}", mib(tracker.process().memory_peak())),
        format!("{:.0} KiB each before", idle as f64 / 1024.0 / options.talkers as f64),
        "",
    );
    Ok(())
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

/// Reads the events of a member, acknowledges each message and tells how long it took, in milliseconds.
async fn receive(
    member: Arc<Puppet>,
    sent: Arc<Vec<OnceLock<Instant>>>,
    arrivals: mpsc::UnboundedSender<f64>,
) -> Result<()> {
    let mut events = member.events().await?;
    loop {
        let Event::Message(MessageEvent::Arrived(delivery)) = next_event(&mut events).await? else { continue };
        let id = delivery.header.id;
        let index = u64::from_le_bytes(id.0[..8].try_into()?);
        let begun = usize::try_from(index).ok().and_then(|index| sent.get(index)).and_then(OnceLock::get);
        let Some(begun) = begun else { bail!("a message that nobody sent") };
        arrivals.send(begun.elapsed().as_secs_f64() * 1000.0)?;
        answer(&member, MessageRequest::Acknowledge { messages: vec![id] }).await?;
    }
}

/// For twenty seconds.
const MESSAGES: usize = 4000;
const PER_SECOND: u32 = 200;
/// A text of two lines, filled up and encrypted.
const BODY_BYTES: usize = 304;
/// Longer than anything takes that arrives at all.
const PATIENCE: Duration = Duration::from_secs(10);
