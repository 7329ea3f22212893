//! What alice and bob do while somebody looks on: they share files, and fetch what others share.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use tokio::time::{Interval, MissedTickBehavior};

use super::{
    member::{Member, within_patience},
    samples::{self, Noise},
    stage::Stage,
};
use crate::{
    cli::talk::{Ended, Outcome},
    engine::{
        api::{Command, Failure, FileRow, Get, Share, Update},
        client::Client,
    },
};

/// The life of the demonstration.
#[derive(Debug)]
pub(super) struct Life<'a> {
    alice: &'a Member,
    bob: &'a Member,
    tick: Interval,
    ticks: u64,
    fetched: BTreeSet<String>,
}

/// Fills the index with what is there from the beginning.
pub(super) async fn share_what_there_is(stage: &Stage) -> Outcome {
    share_of_alice(stage.alice()?).await?;
    share_of_bob(stage.bob()?).await
}

/// Gets ready to live.
pub(super) fn begin(stage: &Stage) -> Result<Life<'_>, Ended> {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Ok(Life { alice: stage.alice()?, bob: stage.bob()?, tick, ticks: 0, fetched: BTreeSet::new() })
}

impl Life<'_> {
    /// Goes on until dropped. What fails is only noted: the next thing may work.
    pub(super) async fn go_on(&mut self) -> Infallible {
        loop {
            self.tick.tick().await;
            self.ticks += 1;
            let (sharing, fetching) = if self.ticks % 2 == 1 { (self.bob, self.alice) } else { (self.alice, self.bob) };
            if self.ticks <= SHARED_MAX {
                let shared = share_something_new(sharing, self.ticks).await;
                if let Err(ended) = shared {
                    tracing::info!(?ended, "sharing in the demonstration failed");
                }
            }
            if let Err(failure) = self.fetch_something(fetching).await {
                tracing::info!(code = failure.code, "fetching in the demonstration failed");
            }
        }
    }

    /// Fetches one file that this member does not have: yours first.
    async fn fetch_something(&mut self, member: &Member) -> Result<(), Failure> {
        let client = member.client()?;
        let mut files = listed(client, Some("you".to_owned())).await?;
        files.extend(listed(client, None).await?);
        let wanted = files
            .into_iter()
            .find(|file| !file.mine && !file.have && !self.fetched.contains(&key(member, file)) && file.available);
        let Some(file) = wanted else { return Ok(()) };
        self.fetched.insert(key(member, &file));
        let get = Get { items: vec![file.id.to_string()], ..Get::default() };
        within_patience(client.ask(Command::Get(get))).await?;
        Ok(())
    }
}

fn key(member: &Member, file: &FileRow) -> String {
    format!("{} {}", member.shared.display(), file.id)
}

async fn listed(client: &Client, member: Option<String>) -> Result<Vec<FileRow>, Failure> {
    let list = Command::List { member, mine: false, path: String::new(), filter: None };
    let updates = within_patience(client.ask(list)).await?;
    Ok(updates
        .into_iter()
        .filter_map(|update| if let Update::File(file) = update { Some(file) } else { None })
        .collect())
}

async fn share_of_alice(alice: &Member) -> Outcome {
    let place = &alice.shared;
    samples::write_text(&place.join("welcome.txt"), WELCOME)?;
    samples::write_text(&place.join("会议记录.txt"), "议程\n1. 上次的问题\n2. 下一步\n")?;
    samples::write_numbers(&place.join("numbers to a million.txt"), 1_000_000).await?;
    samples::write_noise(place.join("harbour-film.mkv"), Noise { seed: 200, bytes: 64 * 1024 * 1024 }).await?;
    samples::write_tree(&place.join("field-recordings")).await?;
    let share = |name: &str, note: Option<&str>, copy| {
        let (paths, note) = (vec![place.join(name)], note.map(str::to_owned));
        alice.share(Share { paths, note, copy, ..Share::default() })
    };
    share("welcome.txt", Some("read me first"), false).await?;
    share("会议记录.txt", None, false).await?;
    share("numbers to a million.txt", Some("has a copy on the tracker, so it stays when I leave"), true).await?;
    share("harbour-film.mkv", Some("64 MiB to watch a transfer with"), false).await?;
    share("field-recordings", None, false).await?;
    Ok(())
}

async fn share_of_bob(bob: &Member) -> Outcome {
    let place = &bob.shared;
    samples::write_text(&place.join("todo.txt"), "buy solder\nanswer alice\n")?;
    samples::write_numbers(&place.join("count/small.txt"), 1_000).await?;
    samples::write_numbers(&place.join("count/large.txt"), 300_000).await?;
    samples::write_noise(place.join("build-812.tar.zst"), Noise { seed: 201, bytes: 9_000_000 }).await?;
    samples::write_noise(place.join("thesis draft.pdf"), Noise { seed: 202, bytes: 4_200_000 }).await?;
    for name in ["todo.txt", "count", "build-812.tar.zst", "thesis draft.pdf"] {
        bob.share(Share { paths: vec![place.join(name)], ..Share::default() }).await?;
    }
    Ok(())
}

async fn share_something_new(member: &Member, number: u64) -> Outcome {
    let path = member.shared.join(format!("take-{number:03}.flac"));
    let noise = Noise { seed: u8::try_from(number).unwrap_or(u8::MAX), bytes: 500_000 + 90_000 * number };
    samples::write_noise(path.clone(), noise).await?;
    member.share(Share { paths: vec![path], ..Share::default() }).await?;
    Ok(())
}

const WELCOME: &str = "\
Welcome to Swapmeet.

alice and bob are real members here: two engines in processes of their own, on this machine.
Fetch something, share something of yours, and watch them do the same.
All of this is gone when you leave.
";

/// Time between two things that happen.
const EVERY: Duration = Duration::from_secs(20);
/// Files shared one after the other, so that a forgotten demonstration does not fill the disk.
const SHARED_MAX: u64 = 180;
