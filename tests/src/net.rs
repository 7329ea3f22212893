//! A small internet in network namespaces: a tracker between two members, who reach it but, at first, not each other.
//!
//! Needs root and the program `ip`. Where these are missing there is none, and the scenario says so and passes.

use std::{
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
};

/// Three namespaces and the two lines between them. Gone on drop.
#[derive(Debug)]
pub struct Islands {
    prefix: String,
}

impl Islands {
    /// Makes them. `None`, with a line that says why: this machine, or this user, cannot.
    ///
    /// # Panics
    /// When it can, and something still goes wrong.
    #[must_use]
    pub fn new() -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let islands = Self { prefix: format!("smi{}{}", process::id(), MADE.fetch_add(1, Ordering::Relaxed)) };
        if let Err(why) = ip(&["netns", "add", &islands.tracker()]) {
            eprintln!("SKIPPED: no network namespaces here: {why}");
            return None;
        }
        islands.furnish().unwrap_or_else(|why| panic!("the namespaces cannot be furnished: {why}"));
        Some(islands)
    }

    /// The tracker's namespace.
    #[must_use]
    pub fn tracker(&self) -> String {
        format!("{}t", self.prefix)
    }

    /// The namespace of one member (0 or 1).
    #[must_use]
    pub fn member(&self, number: u8) -> String {
        format!("{}m{number}", self.prefix)
    }

    /// Where a tracker in its namespace listens for both.
    pub const LISTEN: &str = "10.77.0.1:7443";

    /// From now on the members reach each other too.
    ///
    /// # Panics
    /// When the kernel does not want to.
    pub fn join(&self) {
        self.forward("1").unwrap_or_else(|why| panic!("the members cannot be joined: {why}"));
    }

    fn furnish(&self) -> Result<(), String> {
        let tracker = self.tracker();
        // Packets between the members are dropped without a word, as most firewalls do it.
        self.forward("0")?;
        ip(&["-n", &tracker, "link", "set", "lo", "up"])?;
        ip(&["-n", &tracker, "address", "add", "10.77.0.1/32", "dev", "lo"])?;
        for number in [0, 1] {
            let member = self.member(number);
            let line = format!("{}v{number}", self.prefix);
            let (near, far) = (format!("10.77.{}.1/24", number + 1), format!("10.77.{}.2/24", number + 1));
            ip(&["netns", "add", &member])?;
            ip(&["-n", &tracker, "link", "add", &line, "type", "veth", "peer", "name", "line", "netns", &member])?;
            ip(&["-n", &tracker, "address", "add", &near, "dev", &line])?;
            ip(&["-n", &tracker, "link", "set", &line, "up"])?;
            ip(&["-n", &member, "link", "set", "lo", "up"])?;
            ip(&["-n", &member, "address", "add", &far, "dev", "line"])?;
            ip(&["-n", &member, "link", "set", "line", "up"])?;
            ip(&["-n", &member, "route", "add", "default", "via", near.trim_end_matches("/24")])?;
        }
        Ok(())
    }

    fn forward(&self, value: &str) -> Result<(), String> {
        let write = format!("echo {value} > /proc/sys/net/ipv4/ip_forward");
        ip(&["netns", "exec", &self.tracker(), "sh", "-c", &write])
    }
}

impl Drop for Islands {
    fn drop(&mut self) {
        for namespace in [self.member(0), self.member(1), self.tracker()] {
            if let Err(why) = ip(&["netns", "delete", &namespace]) {
                eprintln!("a network namespace is left behind: {why}");
            }
        }
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let ended = Command::new("ip").args(arguments).output().map_err(|error| format!("ip: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&ended.stderr).trim()))
}
