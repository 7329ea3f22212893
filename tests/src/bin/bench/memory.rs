//! (d) The tracker's memory: idle, and with many connected members that say nothing.

use anyhow::Result;
use tests::{
    Tracker,
    wire::{Link, Puppet, endpoint},
};

use crate::{
    Options,
    table::{Table, mib},
};

pub(crate) async fn measure(options: &Options, table: &mut Table) -> Result<()> {
    let tracker = Tracker::start();
    let link = Link::parse(&tracker.link)?;
    let idle = tracker.process().memory_now();
    let endpoint = endpoint(None)?;
    let mut members = Vec::with_capacity(options.members);
    for index in 0..options.members {
        let member = Puppet::register_over(endpoint.clone(), &link, &format!("member {index}")).await?;
        let events = member.events().await?;
        members.push((member, events));
        if index % 100 == 99 {
            eprintln!("  {} members, {}", index + 1, mib(tracker.process().memory_now()));
        }
    }
    let connected = tracker.process().memory_now();
    let each = connected.saturating_sub(idle) as f64 / 1024.0 / options.members as f64;
    table.row("d: tracker, idle", mib(idle), String::new(), String::new(), "at most 40 MiB");
    let allowed = (40 << 20) + options.members as u64 * (40 << 10);
    table.row(
        &format!("d: tracker with {} connected members", options.members),
        format!("{}, peak {}", mib(connected), mib(tracker.process().memory_peak())),
        format!("allowed {}", mib(allowed)),
        format!("{each:.0} KiB more each, enrolling them included"),
        "at most 40 MiB and 40 KiB each",
    );
    Ok(())
}
