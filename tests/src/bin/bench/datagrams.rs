//! (k) The largest datagram that a connection uses: on loopback, and on a wire with jumbo frames, which takes root.

use anyhow::{Context, Result, anyhow};
use tests::{Member, Tracker, lab, lab::Room, member::text};

use crate::{Options, table::Table};

pub(crate) fn measure(_options: &Options, table: &mut Table) -> Result<()> {
    let tracker = Tracker::start();
    let found = largest(&Member::new(&tracker, "alice"))?;
    table.row("k: datagrams on loopback", format!("{found} bytes"), String::new(), String::new(), TARGET);
    let what = "k: datagrams on a wire with frames of 9000 bytes";
    if let Some(why) = lab::missing() {
        table.missing(what, &why);
        return Ok(());
    }
    let found = over_jumbo_frames()?;
    table.row(what, format!("{found} bytes"), String::new(), String::new(), TARGET);
    Ok(())
}

fn over_jumbo_frames() -> Result<u64> {
    let wire = || {
        let (server, client) = (Room::new("server")?, Room::new("client")?);
        server.ip(&["link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", &client.name])?;
        for (room, address) in [(&server, "10.79.0.1/24"), (&client, "10.79.0.2/24")] {
            room.ip(&["addr", "add", address, "dev", "eth0"])?;
            room.ip(&["link", "set", "eth0", "mtu", "9000", "up"])?;
        }
        Ok((server, client))
    };
    let (server, client) = wire().map_err(|error: String| anyhow!("there is no wire: {error}"))?;
    let tracker = Tracker::start_within(&server.name, "10.79.0.1:7443", &["--public", "10.79.0.1:7443"]);
    largest(&Member::new_in(&tracker, "alice", &client.name))
}

/// Bytes of the largest datagram between a member and the tracker, as `doctor` found out.
fn largest(member: &Member) -> Result<u64> {
    let output = member.run(&["doctor"]);
    let records = output.records();
    let found = records.iter().find(|record| record["id"] == "datagram");
    let said = text(found.with_context(|| format!("doctor says nothing of datagrams: {output}"))?, "text");
    let size = said.split_whitespace().find_map(|word| word.parse().ok());
    size.with_context(|| format!("no size in {said:?}"))
}

/// Larger than what an ordinary frame holds.
const TARGET: &str = "above 1452 bytes";
