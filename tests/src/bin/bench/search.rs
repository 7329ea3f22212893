//! (e) How long a search takes among many files, from asking to having the first page.

use std::time::Instant;

use anyhow::{Result, bail};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use shared::{
    id::BlobHash,
    limits::PUBLISH_ENTRIES_MAX,
    wire::tracker::{Answer, PublishEntry, Request},
};
use tests::{
    Tracker,
    wire::{Link, Puppet, ask},
};

use crate::{
    Options,
    table::{Table, quantile},
};

pub(crate) async fn measure(options: &Options, table: &mut Table) -> Result<()> {
    let tracker = Tracker::start();
    let link = Link::parse(&tracker.link)?;
    let puppet = Puppet::register(&link, "archivist").await?;
    let mut random = StdRng::seed_from_u64(5);
    let start = Instant::now();
    let mut published = 0;
    while published < options.files {
        let count = PUBLISH_ENTRIES_MAX.min(options.files - published);
        puppet.publish((0..count).map(|index| entry(&mut random, published + index)).collect()).await?;
        published += count;
    }
    let publishing = start.elapsed().as_secs_f64();
    table.row(
        &format!("e: publishing {} files", options.files),
        format!("{publishing:.1} s, {:.0} files/s", options.files as f64 / publishing),
        String::new(),
        String::new(),
        "",
    );
    for (kind, words) in [("one rare word", Words::Rare), ("one common word", Words::Common), ("two words", Words::Two)]
    {
        let mut taken = Vec::with_capacity(SEARCHES);
        let mut hits = 0;
        for _ in 0..SEARCHES {
            let request = Request::Search { query: words.query(&mut random, options.files), offset: 0 };
            let start = Instant::now();
            match ask(&puppet.tracker, &request).await? {
                Answer::Hits { files, .. } => hits += files.len(),
                other => bail!("no hits but {other:?}"),
            }
            taken.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        table.row(
            &format!("e: search among {} files, {kind}", options.files),
            format!("p50 {:.1} ms, p99 {:.1} ms", quantile(&taken, 0.5), quantile(&taken, 0.99)),
            format!("{} hits a page", hits / SEARCHES),
            String::new(),
            "first page within 20 ms",
        );
    }
    let peak = tracker.process().memory_peak();
    table.row("e: peak memory of the tracker", crate::table::mib(peak), String::new(), String::new(), "");
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Words {
    Rare,
    Common,
    Two,
}

impl Words {
    fn query(self, random: &mut StdRng, files: usize) -> String {
        match self {
            Self::Rare => format!("{:06}", random.random_range(0..files)),
            Self::Common => pick(random, NOUNS).to_owned(),
            Self::Two => format!("{} {}", pick(random, NOUNS), pick(random, ADJECTIVES)),
        }
    }
}

fn entry(random: &mut StdRng, index: usize) -> PublishEntry {
    let folder = format!("{}/{} {}", pick(random, PLACES), pick(random, ADJECTIVES), random.random_range(1..500));
    let name = format!("{} {} {index:06}.{}", pick(random, ADJECTIVES), pick(random, NOUNS), pick(random, ENDINGS));
    PublishEntry {
        path: format!("{folder}/{name}"),
        blob: BlobHash(random.random()),
        size: random.random_range(1..1 << 32),
        modified_ms: 1_700_000_000_000 + index as i64,
        executable: false,
        audience: None,
        note: None,
    }
}

fn pick(random: &mut StdRng, words: &[&'static str]) -> &'static str {
    words.choose(random).copied().unwrap_or_default()
}

const SEARCHES: usize = 300;
const PLACES: &[&str] =
    &["archive", "field recordings", "footage", "datasets", "builds", "papers", "photos", "samples"];
const ADJECTIVES: &[&str] = &[
    "quiet", "raw", "final", "early", "broken", "golden", "northern", "wide", "old", "second", "mixed", "clean",
    "dark", "slow", "open", "hidden", "frozen", "bright", "narrow", "spare",
];
const NOUNS: &[&str] = &[
    "river",
    "lecture",
    "interview",
    "chorus",
    "harbour",
    "engine",
    "survey",
    "portrait",
    "session",
    "bridge",
    "forest",
    "market",
    "signal",
    "station",
    "glacier",
    "kitchen",
    "orchard",
    "piano",
    "lantern",
    "meadow",
];
const ENDINGS: &[&str] = &["flac", "mkv", "pdf", "parquet", "jpg", "tar.zst", "wav", "txt"];
