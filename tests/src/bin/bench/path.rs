//! (i) How much of a long or lossy path `get` uses, over the path emulator between two network namespaces, next to `scp`
//! and `curl`. That takes root and TUN.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;
use tests::{
    Member, Running, Tracker, corpus,
    lab::{self, Room},
    member::{number, record},
    program::program,
};

use crate::{
    Options,
    ends::{Ends, settle, within_patience},
    nginx::Nginx,
    ssh::Sshd,
    table::{Table, median, percent},
};

/// A path, what goes over it, and what share of it should be used.
#[derive(Debug, Clone, Copy)]
struct Route {
    mbit: u32,
    round_trip_ms: u32,
    loss_percent: f64,
    mib: u64,
    target: &'static str,
}

const ROUTES: [Route; 3] = [
    Route { mbit: 100, round_trip_ms: 50, loss_percent: 0.0, mib: 64, target: "at least 90 %" },
    Route { mbit: 100, round_trip_ms: 50, loss_percent: 1.0, mib: 64, target: "at least 80 %" },
    Route { mbit: 1000, round_trip_ms: 20, loss_percent: 0.1, mib: 512, target: "at least 80 %" },
];

/// What controls our connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Control {
    /// What is there by itself.
    Usual,
    /// Cubic, which has to be asked for.
    Cubic,
}

pub(crate) fn measure(options: &Options, table: &mut Table) -> Result<()> {
    if let Some(why) = missing() {
        table.missing("i: paths with a rate, a length and loss", &why);
        return Ok(());
    }
    for route in ROUTES {
        let name = route.name();
        for control in [Control::Usual, Control::Cubic] {
            let used = ours(&route, control, options.pairs.min(ROUNDS))?;
            let asked = if control == Control::Cubic { ", with Cubic" } else { "" };
            table.row(
                &format!("i: get {} MiB over {name}{asked}, the whole command", route.mib),
                format!("{:.1} Mbit/s", median(&used.shares) * f64::from(route.mbit)),
                "the link".to_owned(),
                percent(&used.shares),
                route.target,
            );
            if !used.records.is_empty() {
                let what = format!("i: the same{asked}, by its record");
                table.row(&what, String::new(), "the link".to_owned(), percent(&used.records), "");
            }
            let lost = format!("{:.1} % of {} packets", used.overflowed * 100.0, used.packets);
            let target = if route.loss_percent == 0.0 { "below 5 %" } else { "" };
            table.row(&format!("i: the same{asked}, loss made by itself"), lost, String::new(), String::new(), target);
        }
        theirs(&route, &name, options.pairs.min(ROUNDS), table)?;
    }
    both(options, table)
}

/// Why there can be no such path here.
fn missing() -> Option<String> {
    if !Path::new("/dev/net/tun").exists() {
        return Some("there is no TUN".to_owned());
    }
    lab::missing()
}

/// Our use of a route.
struct Used {
    /// By the whole command.
    shares: Vec<f64>,
    /// By the records of the transfers that came to their end.
    records: Vec<f64>,
    packets: u64,
    /// The share of packets that found a full queue.
    overflowed: f64,
}

fn ours(route: &Route, control: Control, rounds: usize) -> Result<Used> {
    let lane = Lane::lay(route)?;
    let shop = Shop::open(&lane, route.mib << 20, control)?;
    let (mut shares, mut records) = (vec![], vec![]);
    for round in 0..rounds {
        let fetcher = Fetcher::new(&lane, &shop, round);
        settle();
        let start = Instant::now();
        let get = fetcher.member.start(&["get", &shop.id]);
        let has_ended = get.ended_within(PATIENCE);
        let (bytes, taken) = if has_ended {
            let taken = start.elapsed().as_secs_f64();
            let ended = get.finish();
            ensure!(ended.code == Some(0), "get failed: {}", ended.stderr);
            let transfer = ended.stdout.lines().filter_map(record).find(|record| record["type"] == "transfer");
            let elapsed_ms = number(&transfer.context("a get tells its transfer")?, "elapsed_ms");
            records.push(route.share(route.mib << 20, elapsed_ms as f64 / 1e3));
            (route.mib << 20, taken)
        } else {
            (fetcher.done()?, start.elapsed().as_secs_f64())
        };
        shares.push(route.share(bytes, taken));
        eprintln!("  round {round}: {:.1} MiB in {taken:.2} s", bytes as f64 / f64::from(1 << 20));
    }
    drop(shop);
    let counts = lane.take_up()?;
    let field = |name: &str| counts[0][name].as_u64().context("the emulator counts");
    let packets = field("packets")?;
    Ok(Used { shares, records, packets, overflowed: field("overflowed")? as f64 / packets as f64 })
}

/// `scp` and `curl` with what controls TCP on most machines, and `curl` with what does on this one, if that is else.
fn theirs(route: &Route, name: &str, rounds: usize, table: &mut Table) -> Result<()> {
    let lane = Lane::lay(route)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("film.bin");
    corpus::large_file(&file, 3, route.mib << 20);
    let sshd = Sshd::start(&lane.ends());
    let nginx = Nginx::start(&lane.ends(), folder.path());
    let usual = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default();
    let mut programs = vec![("scp", CUBIC), ("curl", CUBIC)];
    if usual.trim() != CUBIC {
        programs.push(("curl", usual.trim()));
    }
    for (program, control) in programs {
        let what = format!("i: {program} of {} MiB over {name}, TCP with {control}", route.mib);
        lane.control_tcp(control)?;
        let fetch = |round: usize| -> Result<f64> {
            let to = folder.path().join(format!("{program} {control} {round}"));
            let mut command = match program {
                "scp" => sshd.as_ref().map_err(|error| anyhow!("{error:#}"))?.scp(&[], &file, &to),
                _ => nginx.as_ref().map_err(|error| anyhow!("{error:#}"))?.curl(&file, &to)?,
            };
            let (bytes, taken) = within_patience(&mut command, &to, PATIENCE)?;
            if to.exists() {
                fs::remove_file(&to)?;
            }
            eprintln!(
                "  {program}, {control}, round {round}: {:.1} MiB in {taken:.2} s",
                bytes as f64 / f64::from(1 << 20)
            );
            Ok(route.share(bytes, taken))
        };
        match (0..rounds).map(fetch).collect::<Result<Vec<f64>>>() {
            Ok(shares) => {
                let speed = format!("{:.1} Mbit/s", median(&shares) * f64::from(route.mbit));
                table.row(&what, speed, "the link".to_owned(), percent(&shares), "");
            }
            Err(error) => table.missing(&what, &error),
        }
    }
    Ok(())
}

/// `get` beside `curl` from nginx over TCP with Cubic, on one link, for a while.
fn both(options: &Options, table: &mut Table) -> Result<()> {
    let route = Route { mib: 512, ..ROUTES[0] };
    for control in [Control::Usual, Control::Cubic] {
        let lane = Lane::lay(&route)?;
        lane.control_tcp(CUBIC)?;
        let shop = Shop::open(&lane, route.mib << 20, control)?;
        let fetcher = Fetcher::new(&lane, &shop, 0);
        let asked = if control == Control::Cubic { ", with Cubic" } else { "" };
        let what = format!("i: get beside curl over TCP with Cubic, {}{asked}", route.name());
        let nginx = match Nginx::start(&lane.ends(), shop.file.parent().context("the file is in a folder")?) {
            Ok(nginx) => nginx,
            Err(error) => {
                table.missing(&what, &error);
                continue;
            }
        };
        let to = fetcher.member.home().join("out");
        let patience = if options.pairs >= ROUNDS { TOGETHER } else { PATIENCE };
        let curl = Running::start(&mut nginx.curl(&shop.file, &to)?, b"");
        let get = fetcher.member.start(&["get", &shop.id]);
        ensure!(!get.ended_within(patience), "get ended before the time was over");
        let (ours, theirs) = (fetcher.done()?, fs::metadata(&to)?.len());
        drop((get, curl));
        let seconds = patience.as_secs_f64();
        let (ours, theirs) = (route.share(ours, seconds), route.share(theirs, seconds));
        table.row(
            &what,
            format!("{:.0} % of the link in {seconds:.0} s", ours * 100.0),
            format!("curl {:.0} %", theirs * 100.0),
            format!("the smaller part {:.2} of both", ours.min(theirs) / (ours + theirs)),
            "at least 0.35 each",
        );
    }
    Ok(())
}

impl Route {
    fn name(&self) -> String {
        let loss = match self.loss_percent {
            0.0 => "no loss".to_owned(),
            percent => format!("{percent} % loss"),
        };
        format!("{} Mbit/s, {} ms, {loss}", self.mbit, self.round_trip_ms)
    }

    /// The share of its rate that these bytes in these seconds are.
    fn share(&self, bytes: u64, seconds: f64) -> f64 {
        bytes as f64 * 8.0 / seconds / (f64::from(self.mbit) * 1e6)
    }

    /// What it holds in one round trip: so long is its queue.
    fn queue_bytes(&self) -> u32 {
        self.mbit * 1000 / 8 * self.round_trip_ms
    }
}

/// A path that stands, from one namespace to another. Taken up on drop.
struct Lane {
    server: Room,
    client: Room,
    emulator: Running,
}

impl Lane {
    fn lay(route: &Route) -> Result<Self> {
        let room = |word, address| -> Result<Room, String> {
            let room = Room::new(word)?;
            room.ip(&["tuntap", "add", "dev", "tun0", "mode", "tun"])?;
            room.ip(&["addr", "add", address, "dev", "tun0"])?;
            // The emulator's queue is the one that shall fill.
            room.ip(&["link", "set", "tun0", "mtu", "1500", "txqueuelen", "10000", "up"])?;
            Ok(room)
        };
        let rooms = room("server", "10.77.0.1/24").and_then(|server| Ok((server, room("client", "10.77.0.2/24")?)));
        let (server, client) = rooms.map_err(|error| anyhow!("there is no path: {error}"))?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/tun.py");
        let script = script.to_str().context("the path of the repository is UTF-8")?;
        let mut command = lab::within(&server.name, "python3", &[script, "tun0", "0"]);
        command.args(["ip", "netns", "exec", &client.name, "python3", script, "tun0", "1"]);
        command.arg(program("path_emulator")).args(["--rate", &route.mbit.to_string()]);
        command.args(["--delay", &(f64::from(route.round_trip_ms) / 2.0).to_string()]);
        command.args(["--loss", &route.loss_percent.to_string(), "--queue", &route.queue_bytes().to_string()]);
        let mut emulator = Running::start(&mut command, b"");
        emulator.line("the word ready", |line| line == "ready");
        Ok(Self { server, client, emulator })
    }

    /// Gives TCP another congestion control here than the machine has.
    fn control_tcp(&self, control: &str) -> Result<()> {
        for room in [&self.server, &self.client] {
            let set = room.ip(&["route", "replace", "10.77.0.0/24", "dev", "tun0", "congctl", control]);
            set.map_err(|error| anyhow!("TCP takes no {control}: {error}"))?;
        }
        Ok(())
    }

    fn ends(&self) -> Ends {
        let name = |room: &Room| Some(room.name.clone());
        Ends { server: name(&self.server), client: name(&self.client), address: "10.77.0.1".to_owned() }
    }

    /// Ends it and returns what each direction carried.
    fn take_up(self) -> Result<Value> {
        self.server.ip(&["link", "del", "tun0"]).map_err(|error| anyhow!("{error}"))?;
        let ended = self.emulator.finish();
        serde_json::from_str(&ended.stderr).with_context(|| format!("the emulator said {:?}", ended.stderr))
    }
}

/// A tracker and a member who shares a file, at the server's end. The programs go first.
struct Shop {
    _engine: Running,
    file: PathBuf,
    id: String,
    tracker: Tracker,
    _alice: Member,
}

impl Shop {
    fn open(lane: &Lane, bytes: u64, control: Control) -> Result<Self> {
        let tracker = Tracker::start_within(&lane.server.name, "10.77.0.1:7443", &["--public", "10.77.0.1:7443"]);
        let alice = Member::new_in(&tracker, "alice", &lane.server.name);
        let mut command = alice.command(&["--json", "--no-input", "engine", "run"]);
        if control == Control::Cubic {
            command.env("SWAPMEET_CONGESTION", "cubic");
        }
        let mut engine = Running::start(&mut command, b"");
        engine.line("the engine's record", |line| record(line).is_some_and(|record| record["type"] == "engine"));
        alice.run(&["status"]).ok();
        let file = alice.desk().join("film.bin");
        corpus::large_file(&file, 2, bytes);
        let id = alice.share(&[&file], &[]);
        Ok(Self { _engine: engine, file, id, tracker, _alice: alice })
    }
}

/// A member at the client's end, who is connected.
struct Fetcher {
    _engine: tests::Engine,
    member: Member,
}

impl Fetcher {
    fn new(lane: &Lane, shop: &Shop, round: usize) -> Self {
        let member = Member::new_in(&shop.tracker, &format!("receiver {round}"), &lane.client.name);
        Self { _engine: member.engine(), member }
    }

    /// Bytes that have come of the only transfer.
    fn done(&self) -> Result<u64> {
        let transfers = self.member.run(&["transfers", "ls"]).ok();
        transfers.one("transfer")["done"].as_u64().context("a transfer says how much is done")
    }
}

/// What controls TCP on most machines.
const CUBIC: &str = "cubic";

/// What has not come by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(9);

/// How long two share a link.
const TOGETHER: Duration = Duration::from_secs(30);

const ROUNDS: usize = 5;
