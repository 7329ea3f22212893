//! A NAT laboratory in network namespaces: a tracker in the middle, members behind routers of every kind.
//!
//! ```text
//!   a  10.0.1.2 ─┐                     pub 203.0.113.1                     ┌─ b 10.0.2.2
//!   a2 10.0.1.3 ─┴─ natA 203.0.113.10 ─── (bridge) ─── natB 203.0.113.20 ──┘
//!      2001:db8:a::/64                2001:db8::/64                2001:db8:b::/64
//! ```
//! It needs root, `ip` and `nft`; nothing of it touches the network of the machine. The names of the namespaces hold
//! the process id, so that several laboratories run side by side, and what a killed run left behind is known and removed.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    member::{Member, PASSWORD},
    program::Running,
    tracker::Tracker,
};

/// How a router treats what passes it (RFC 4787 calls the last column filtering).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nat {
    /// The client is reached at the router's address, whatever the port.
    Open,
    /// One port for all; everyone may send to it.
    FullCone,
    /// One port for all; addresses that were sent to may answer from any port.
    AddressRestricted,
    /// One port for all; only what was sent to may answer.
    PortRestricted,
    /// The same, and a router that itself answers packets which it does not expect: an early one spoils the mapping.
    PortRestrictedNoisy,
    /// Another port for each destination, and only it may answer.
    Symmetric,
    /// No UDP leaves.
    NoUdp,
}

/// Where a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Where the tracker is.
    Public,
    /// Behind the first router.
    A,
    /// Beside it.
    A2,
    /// Behind the second router.
    B,
}

/// A laboratory that stands. Taken down on drop.
#[derive(Debug)]
pub struct Lab {
    name: String,
    delays: Vec<Running>,
}

static LABS: AtomicU32 = AtomicU32::new(0);

/// Why there can be no laboratory here; `None`: there can.
#[must_use]
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root makes network namespaces".to_owned());
    }
    for tool in ["ip", "nft", "python3"] {
        if !Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|_| true)
        {
            return Some(format!("there is no {tool}"));
        }
    }
    let possible = Room::new("try").and_then(|room| {
        let nft = within(&room.name, "nft", &["list", "ruleset"]).output().map_err(|error| error.to_string())?;
        if nft.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&nft.stderr).trim().to_owned()) }
    });
    possible.err()
}

/// One network namespace with nothing but loopback in it. Removed on drop, with whatever runs in it.
#[derive(Debug)]
pub struct Room {
    /// The name that `ip netns` knows it by.
    pub name: String,
}

impl Room {
    /// Makes one.
    ///
    /// # Errors
    /// When the kernel or the tools refuse, in their words.
    pub fn new(word: &str) -> Result<Self, String> {
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let room = Self { name: format!("{PREFIX}{}-{number}-{word}", std::process::id()) };
        attempt(&["netns", "add", &room.name])?;
        room.ip(&["link", "set", "lo", "up"])?;
        Ok(room)
    }

    /// `ip` with these arguments inside of it.
    ///
    /// # Errors
    /// When it refuses, in its words.
    pub fn ip(&self, arguments: &[&str]) -> Result<(), String> {
        attempt(&[&["-n", self.name.as_str()], arguments].concat())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

impl Lab {
    /// Builds one. `late_ms`: how late each frame between a router and the middle arrives, in either direction.
    ///
    /// # Panics
    /// When the kernel or the tools refuse.
    #[must_use]
    pub fn new(a: Nat, b: Nat, late_ms: u32) -> Self {
        remove_leftovers();
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let mut lab = Self { name: format!("{PREFIX}{}-{number}", std::process::id()), delays: Vec::new() };
        for room in ROOMS {
            ip(&["netns", "add", &lab.room(room)]);
            lab.ip(room, &["link", "set", "lo", "up"]);
        }
        lab.ip("pub", &["link", "add", "br0", "type", "bridge"]);
        lab.ip("pub", &["link", "set", "br0", "up"]);
        for address in ["203.0.113.1/24", "2001:db8::1/64"] {
            lab.address("pub", address, "br0");
        }
        for (router, wire, number) in [("natA", "wA", 1), ("natB", "wB", 2)] {
            lab.link("pub", wire, router, "wan");
            lab.connect_to_middle(wire, late_ms, router);
            lab.address(router, &format!("203.0.113.{number}0/24"), "wan");
            lab.address(router, &format!("2001:db8::{number}0/64"), "wan");
            lab.ip(router, &["link", "add", "lan", "type", "bridge"]);
            lab.ip(router, &["link", "set", "lan", "up"]);
            lab.address(router, &format!("10.0.{number}.1/24"), "lan");
            lab.address(router, &format!("2001:db8:{}::1/64", lan_digit(router)), "lan");
            lab.sysctl(router, &["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
        }
        for (client, router, host) in [("a", "natA", 2), ("a2", "natA", 3), ("b", "natB", 2)] {
            let number = if router == "natA" { 1 } else { 2 };
            let port = format!("l-{client}");
            lab.link(router, &port, client, "eth0");
            lab.ip(router, &["link", "set", &port, "master", "lan"]);
            lab.address(client, &format!("10.0.{number}.{host}/24"), "eth0");
            lab.address(client, &format!("2001:db8:{}::{host}/64", lan_digit(router)), "eth0");
            lab.ip(client, &["route", "add", "default", "via", &format!("10.0.{number}.1")]);
            lab.ip(client, &["-6", "route", "add", "default", "via", &format!("2001:db8:{}::1", lan_digit(router))]);
        }
        for (lan, via) in [("2001:db8:a::/64", "2001:db8::10"), ("2001:db8:b::/64", "2001:db8::20")] {
            lab.ip("pub", &["-6", "route", "add", lan, "via", via]);
        }
        lab.ip("natA", &["-6", "route", "add", "2001:db8:b::/64", "via", "2001:db8::20"]);
        lab.ip("natB", &["-6", "route", "add", "2001:db8:a::/64", "via", "2001:db8::10"]);
        lab.rules("natA", a, "203.0.113.10", "10.0.1.2");
        lab.rules("natB", b, "203.0.113.20", "10.0.2.2");
        lab
    }

    /// A tracker in the middle.
    #[must_use]
    pub fn tracker(&self, family: Family) -> Tracker {
        self.tracker_with(family, &[])
    }

    /// A tracker in the middle that is told more.
    #[must_use]
    pub fn tracker_with(&self, family: Family, more: &[&str]) -> Tracker {
        let (listen, public) = match family {
            Family::V4 => ("203.0.113.1:7443", "203.0.113.1:7443"),
            Family::V6 => ("[2001:db8::1]:7443", "[2001:db8::1]:7443"),
        };
        Tracker::start_within(&self.room("pub"), listen, &[&["--public", public], more].concat())
    }

    /// A member whose programs run in this place.
    ///
    /// # Panics
    /// When there can be no account.
    #[must_use]
    pub fn member(&self, place: Place, tracker: &Tracker, name: &str) -> Member {
        let member = self.stranger(place, tracker, name);
        member.register(name, PASSWORD).ok();
        member
    }

    /// A device of someone who has no account yet.
    #[must_use]
    pub fn stranger(&self, place: Place, tracker: &Tracker, name: &str) -> Member {
        let room = match place {
            Place::Public => "pub",
            Place::A => "a",
            Place::A2 => "a2",
            Place::B => "b",
        };
        Member::stranger_within(Some(self.room(room)), tracker, name)
    }

    /// Lets the second router answer to the Port Control Protocol. It tells what it opens.
    #[must_use]
    pub fn obliging_router(&self) -> Running {
        let script = script("pcp.py");
        let script = script.to_str().expect("the path of the repository is UTF-8");
        let arguments = [script, "10.0.2.1", "203.0.113.20"];
        let mut router = Running::start(&mut within(&self.room("natB"), "python3", &arguments), b"");
        router.line("the word ready", |line| line == "ready");
        router
    }

    /// Takes a client's address away and gives it another one, as a change of the network does.
    pub fn move_client(&self, client: &str) {
        let (old, new, router) = match client {
            "a" => ("10.0.1.2/24", "10.0.1.77/24", "10.0.1.1"),
            "b" => ("10.0.2.2/24", "10.0.2.77/24", "10.0.2.1"),
            other => panic!("there is no client {other} to move"),
        };
        self.ip(client, &["addr", "del", old, "dev", "eth0"]);
        self.ip(client, &["addr", "add", new, "dev", "eth0"]);
        self.ip(client, &["route", "replace", "default", "via", router]);
    }

    /// Pulls a client's cable.
    pub fn unplug(&self, client: &str) {
        self.ip(client, &["link", "set", "eth0", "down"]);
    }

    /// Puts it back. Its address stayed; the way out went with the cable.
    pub fn plug(&self, client: &str) {
        let router = match client {
            "a" => "10.0.1.1",
            "b" => "10.0.2.1",
            other => panic!("there is no client {other} to plug in"),
        };
        self.ip(client, &["link", "set", "eth0", "up"]);
        self.ip(client, &["route", "replace", "default", "via", router]);
    }

    fn room(&self, room: &str) -> String {
        format!("{}-{room}", self.name)
    }

    fn ip(&self, room: &str, arguments: &[&str]) {
        let room = self.room(room);
        ip(&[&["-n", room.as_str()], arguments].concat());
    }

    fn address(&self, room: &str, address: &str, device: &str) {
        // Without `nodad` an IPv6 address is tentative for a second or two.
        let nodad: &[&str] = if address.contains("::") { &["nodad"] } else { &[] };
        self.ip(room, &[&["addr", "add", address, "dev", device], nodad].concat());
    }

    fn link(&self, room: &str, name: &str, other: &str, other_name: &str) {
        let (one, two) = (self.room(room), self.room(other));
        ip(&["link", "add", name, "netns", &one, "type", "veth", "peer", "name", other_name, "netns", &two]);
        self.ip(room, &["link", "set", name, "up"]);
        self.ip(other, &["link", "set", other_name, "up"]);
    }

    /// Plugs a router's wire into the bridge, through a delay if there is one.
    fn connect_to_middle(&mut self, wire: &str, late_ms: u32, router: &str) {
        if late_ms == 0 {
            return self.ip("pub", &["link", "set", wire, "master", "br0"]);
        }
        let (here, there) = (format!("x{wire}"), format!("y{wire}"));
        self.ip("pub", &["link", "add", &here, "type", "veth", "peer", "name", &there]);
        self.ip("pub", &["link", "set", &there, "master", "br0"]);
        for end in [&here, &there] {
            self.ip("pub", &["link", "set", end, "up"]);
        }
        let script = script("delay.py");
        let script = script.to_str().expect("the path of the repository is UTF-8");
        for (room, device) in [(router, "wan"), ("pub", there.as_str()), ("pub", "br0")] {
            run(&mut within(&self.room(room), "python3", &[script, "--plain", device]));
        }
        let late = late_ms.to_string();
        let mut delay = Running::start(&mut within(&self.room("pub"), "python3", &[script, wire, &here, &late]), b"");
        delay.line("the word ready", |line| line == "ready");
        self.delays.push(delay);
    }

    fn sysctl(&self, room: &str, settings: &[&str]) {
        run(&mut within(&self.room(room), "sysctl", &[&["-qw"], settings].concat()));
    }

    /// What a router does, for IPv4 by its kind; IPv6 is let in as an answer only, except to an open client.
    fn rules(&self, router: &str, nat: Nat, wan: &str, client: &str) {
        let snat = format!("oifname \"wan\" snat to {wan}");
        let masquerade = "oifname \"wan\" masquerade".to_owned();
        let unexpected = "iifname \"wan\" ct state new drop";
        let (post, pre, forward, input) = match nat {
            Nat::Open => (snat, format!("iifname \"wan\" dnat to {client}"), "", unexpected),
            Nat::FullCone => (snat, format!("iifname \"wan\" meta l4proto udp dnat to {client}"), "", unexpected),
            Nat::AddressRestricted => (
                snat,
                format!("iifname \"wan\" meta l4proto udp ip saddr @peers dnat to {client}"),
                "oifname \"wan\" meta l4proto udp update @peers { ip daddr }",
                unexpected,
            ),
            Nat::PortRestricted => (masquerade, String::new(), "", unexpected),
            Nat::PortRestrictedNoisy => (masquerade, String::new(), "", ""),
            Nat::Symmetric => (format!("{masquerade} fully-random"), String::new(), "", unexpected),
            Nat::NoUdp => (masquerade, String::new(), "meta l4proto udp drop", unexpected),
        };
        let six = if nat == Nat::Open { "" } else { "iifname \"wan\" ct state new drop" };
        let mut rules = String::new();
        write!(
            rules,
            "table ip lab {{
              set peers {{ type ipv4_addr; flags dynamic,timeout; timeout 60s; }}
              chain pre {{ type nat hook prerouting priority dstnat; {pre}; }}
              chain post {{ type nat hook postrouting priority srcnat; {post}; }}
              chain forward {{ type filter hook forward priority filter; {forward}; }}
              chain input {{ type filter hook input priority filter; {input}; }}
            }}
            table ip6 lab {{
              chain forward {{ type filter hook forward priority filter; {six}; }}
            }}\n"
        )
        .expect("writing to memory works");
        let mut nft = within(&self.room(router), "nft", &["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft runs");
        nft.stdin.take().expect("stdin is piped").write_all(rules.as_bytes()).expect("nft reads its rules");
        assert!(nft.wait().expect("nft ends").success(), "nft refused:\n{rules}");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.delays.clear();
        for room in ROOMS {
            remove(&self.room(room));
        }
    }
}

/// The kind of address that the tracker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

const PREFIX: &str = "swapmeet-lab-";
const ROOMS: [&str; 6] = ["pub", "natA", "natB", "a", "a2", "b"];

/// A command that runs in a network namespace.
#[must_use]
pub fn within(room: &str, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", room]).arg(program).args(arguments);
    command
}

fn lan_digit(router: &str) -> char {
    if router == "natA" { 'a' } else { 'b' }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lab").join(name)
}

fn ip(arguments: &[&str]) {
    attempt(arguments).unwrap_or_else(|error| panic!("ip {}: {error}", arguments.join(" ")));
}

fn attempt(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Removes a namespace with whatever runs in it.
fn remove(room: &str) {
    if let Ok(output) = Command::new("ip").args(["netns", "pids", room]).output() {
        for pid in String::from_utf8_lossy(&output.stdout).split_whitespace() {
            let pid = pid.parse().ok().and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                // It may have ended by itself.
                let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
    let _gone = attempt(&["netns", "del", room]);
}

/// Removes the namespaces of runs that are over.
pub fn remove_leftovers() {
    let Ok(rooms) = fs::read_dir("/run/netns") else { return };
    for room in rooms.flatten() {
        let name = room.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            remove(&name);
        }
    }
}
