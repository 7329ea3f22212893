//! Settings: what was written (file, environment, flags) becomes what is meant, checked once. The environment is read
//! only here.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use shared::{
    limits::{RELAY_BYTES_PER_DAY, RELAY_RATE},
    wire::tracker::Registration,
};

use crate::{attempts::Patience, relay::RelaySettings};

/// The port unless told otherwise.
pub const DEFAULT_PORT: u16 = 7443;

/// Flags of `serve`.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct ServeArgs {
    /// Folder that holds everything of this tracker [default: the state folder of this user]
    #[arg(long, value_name = "DIR", global = true)]
    pub data: Option<PathBuf>,
    /// UDP address to listen on; port 0 picks a free one [default: port 7443 of every address]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
    /// Second UDP port, by which members learn how their NATs work, or `off` [default: the next port, or any]
    #[arg(long, value_name = "PORT|off")]
    pub probe: Option<String>,
    /// TCP address of the web port, for members whose network blocks UDP, or `off` [default: as UDP, if it is free]
    #[arg(long, value_name = "ADDR:PORT|off")]
    pub web: Option<String>,
    /// Address that the join link names, as members reach it [default: an address of this machine]
    #[arg(long, value_name = "HOST:PORT")]
    pub public: Option<String>,
    /// Who may make an account: open, invite or closed [default: open]
    #[arg(long, value_name = "WHO")]
    pub registration: Option<String>,
    /// Database [default: sqlite:tracker.db in the data folder]
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// Where stored copies go [default: file:blobs in the data folder]
    #[arg(long, value_name = "URL")]
    pub blobs: Option<String>,
    /// Whether members who cannot reach each other are relayed: on or off [default: on]
    #[arg(long, value_name = "on|off")]
    pub relay: Option<String>,
    /// Bytes that are relayed for one member in a day, such as 500M or 20G, or `unlimited` [default: 20G]
    #[arg(long, value_name = "BYTES")]
    pub relay_bytes_per_day: Option<String>,
    /// Bytes a second of all relays together, such as 4M, or `unlimited` [default: 25M]
    #[arg(long, value_name = "BYTES")]
    pub relay_rate: Option<String>,
    /// Wrong passwords for one account from one address before somebody has to wait [default: 5]
    #[arg(long, value_name = "N")]
    pub sign_in_free_tries: Option<String>,
    /// The first wait, which doubles with each further wrong password, like 10s [default: 10s]
    #[arg(long, value_name = "TIME")]
    pub sign_in_delay: Option<String>,
    /// The longest wait, like 15m [default: 15m]
    #[arg(long, value_name = "TIME")]
    pub sign_in_delay_max: Option<String>,
    /// Time without a connection after which a device must sign in by password again, like 30d, or `never` [default: never]
    #[arg(long, value_name = "TIME|never")]
    pub sign_out_after: Option<String>,
    /// File with settings
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
}

/// Settings as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    data: Option<PathBuf>,
    listen: Option<String>,
    probe: Option<Number>,
    web: Option<String>,
    public: Option<String>,
    registration: Option<String>,
    database: Option<String>,
    blobs: Option<String>,
    relay: Option<String>,
    relay_bytes_per_day: Option<String>,
    relay_rate: Option<String>,
    sign_in_free_tries: Option<Number>,
    sign_in_delay: Option<String>,
    sign_in_delay_max: Option<String>,
    sign_out_after: Option<String>,
}

/// Settings as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Folder that holds everything.
    pub data: PathBuf,
    /// Where to listen.
    pub listen: Listen,
    /// The second port.
    pub probe: Probe,
    /// Where the web port is.
    pub web: Web,
    /// What the join link names; `None`: found out when listening.
    pub public: Option<String>,
    /// Who may make an account.
    pub registration: Registration,
    /// The database file.
    pub database: PathBuf,
    /// The folder of stored copies.
    pub blobs: PathBuf,
    /// What is relayed; `None`: nothing.
    pub relay: Option<RelaySettings>,
    /// What wrong passwords lead to.
    pub patience: Patience,
    /// How long a device may stay away before it must sign in by password again; `None`: for ever.
    pub sign_out_after: Option<Duration>,
}

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// On this port of every address, IPv4 and, where there is one, IPv6.
    Everywhere(u16),
    /// On this address alone.
    At(SocketAddr),
}

/// The second port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// The next port after the first, or any if that is taken.
    Next,
    /// This one.
    At(u16),
    /// None: nobody learns how their NAT works, and there are no meetings from fresh sockets.
    Off,
}

/// A number in a settings file, which may be a word.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Number {
    Number(u16),
    Word(String),
}

impl Number {
    fn text(self) -> String {
        match self {
            Self::Number(port) => port.to_string(),
            Self::Word(word) => word,
        }
    }
}

/// Where the web port is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Web {
    /// On TCP with the addresses and the port number of UDP. Where something else has that port, there is none.
    Beside,
    /// On this address.
    At(SocketAddr),
    /// There is none.
    Off,
}

/// Why the settings make no sense.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("could not read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no settings file.
    #[error("{path}: {message}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with the line.
        message: String,
    },
    /// A value has no meaning.
    #[error("{name} = {value:?}: {reason}")]
    Value {
        /// Which setting.
        name: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        reason: &'static str,
    },
    /// Neither `--data` nor a home.
    #[error("there is no home directory to keep the tracker in; name a folder with --data")]
    NoHome,
    /// A path has no meaning.
    #[error("could not find out where {path} is")]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Config {
    /// The settings: defaults, then the file, then `SWAPMEET_TRACKER_…`, then flags.
    ///
    /// # Errors
    /// When one makes no sense.
    pub fn load(flags: &ServeArgs) -> Result<Self, ConfigError> {
        Self::load_from(flags, |name| std::env::var(name).ok())
    }

    fn load_from(flags: &ServeArgs, env: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let set = |name: &str| env(&format!("SWAPMEET_TRACKER_{name}")).filter(|value| !value.is_empty());
        let file = match flags.config.clone().or_else(|| set("CONFIG").map(PathBuf::from)) {
            Some(path) => read(&path)?,
            None => RawConfig::default(),
        };
        let raw = RawConfig {
            data: flags.data.clone().or_else(|| set("DATA").map(PathBuf::from)).or(file.data),
            listen: flags.listen.clone().or_else(|| set("LISTEN")).or(file.listen),
            probe: flags.probe.clone().or_else(|| set("PROBE")).map(Number::Word).or(file.probe),
            web: flags.web.clone().or_else(|| set("WEB")).or(file.web),
            public: flags.public.clone().or_else(|| set("PUBLIC")).or(file.public),
            registration: flags.registration.clone().or_else(|| set("REGISTRATION")).or(file.registration),
            database: flags.database.clone().or_else(|| set("DATABASE")).or(file.database),
            blobs: flags.blobs.clone().or_else(|| set("BLOBS")).or(file.blobs),
            relay: flags.relay.clone().or_else(|| set("RELAY")).or(file.relay),
            relay_bytes_per_day: flags
                .relay_bytes_per_day
                .clone()
                .or_else(|| set("RELAY_BYTES_PER_DAY"))
                .or(file.relay_bytes_per_day),
            relay_rate: flags.relay_rate.clone().or_else(|| set("RELAY_RATE")).or(file.relay_rate),
            sign_in_free_tries: flags
                .sign_in_free_tries
                .clone()
                .or_else(|| set("SIGN_IN_FREE_TRIES"))
                .map(Number::Word)
                .or(file.sign_in_free_tries),
            sign_in_delay: flags.sign_in_delay.clone().or_else(|| set("SIGN_IN_DELAY")).or(file.sign_in_delay),
            sign_in_delay_max: flags
                .sign_in_delay_max
                .clone()
                .or_else(|| set("SIGN_IN_DELAY_MAX"))
                .or(file.sign_in_delay_max),
            sign_out_after: flags.sign_out_after.clone().or_else(|| set("SIGN_OUT_AFTER")).or(file.sign_out_after),
        };
        raw.check(&env)
    }
}

impl RawConfig {
    fn check(self, env: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
        let data = absolute(&match self.data {
            Some(data) => data,
            None => default_data(env)?,
        })?;
        Ok(Config {
            listen: self.listen.as_deref().map(parse_listen).transpose()?.unwrap_or(Listen::Everywhere(DEFAULT_PORT)),
            probe: self.probe.map(Number::text).map_or(Ok(Probe::Next), |text| parse_probe(&text))?,
            web: self.web.as_deref().map_or(Ok(Web::Beside), parse_web)?,
            public: self.public.map(parse_public).transpose()?,
            registration: self.registration.as_deref().map_or(Ok(Registration::Open), parse_registration)?,
            database: local("database", "sqlite:", self.database, data.join("tracker.db"))?,
            blobs: local("blobs", "file:", self.blobs, data.join("blobs"))?,
            relay: relay(self.relay.as_deref(), self.relay_bytes_per_day.as_deref(), self.relay_rate.as_deref())?,
            patience: patience(
                self.sign_in_free_tries.map(Number::text).as_deref(),
                self.sign_in_delay.as_deref(),
                self.sign_in_delay_max.as_deref(),
            )?,
            sign_out_after: self.sign_out_after.as_deref().map_or(Ok(None), sign_out_after)?,
            data,
        })
    }
}

/// What to log: `SWAPMEET_LOG` (as `RUST_LOG` is written elsewhere), else by the number of `-v`.
#[must_use]
pub fn log_filter(verbose: u8) -> String {
    std::env::var("SWAPMEET_LOG").ok().filter(|filter| !filter.is_empty()).unwrap_or_else(|| {
        match verbose {
            0 => "warn,tracker=info",
            1 => "info,tracker=debug",
            _ => "debug,tracker=trace,shared=trace",
        }
        .to_owned()
    })
}

fn read(path: &Path) -> Result<RawConfig, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
    toml::from_str(&text).map_err(|error| ConfigError::Parse { path: path.into(), message: error.to_string() })
}

fn default_data(env: impl Fn(&str) -> Option<String>) -> Result<PathBuf, ConfigError> {
    let state = env("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env("HOME").filter(|home| !home.is_empty()).map(|home| Path::new(&home).join(".local/state"));
    Ok(state.or_else(home).ok_or(ConfigError::NoHome)?.join("swapmeet-tracker"))
}

fn absolute(path: &Path) -> Result<PathBuf, ConfigError> {
    std::path::absolute(path).map_err(|source| ConfigError::Path { path: path.into(), source })
}

fn bad(name: &'static str, value: &str, reason: &'static str) -> ConfigError {
    ConfigError::Value { name, value: value.to_owned(), reason }
}

fn parse_web(text: &str) -> Result<Web, ConfigError> {
    if text == "off" {
        return Ok(Web::Off);
    }
    let address = text.parse().map_err(|_| bad("web", text, "an address and a port, like 0.0.0.0:7443, or off"))?;
    Ok(Web::At(address))
}

fn parse_listen(text: &str) -> Result<Listen, ConfigError> {
    let address =
        text.parse().map_err(|_| bad("listen", text, "an address and a port, like 0.0.0.0:7443 or [::]:7443"))?;
    Ok(Listen::At(address))
}

fn parse_probe(text: &str) -> Result<Probe, ConfigError> {
    if text == "off" {
        return Ok(Probe::Off);
    }
    text.parse().map(Probe::At).map_err(|_| bad("probe", text, "a port, like 7444, or `off`"))
}

/// `HOST:PORT`, or `HOST` for the port that is listened on; an IPv6 address stands in brackets.
fn parse_public(text: String) -> Result<String, ConfigError> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || (host.starts_with('[') && host.ends_with(']')) => (host, port),
        Some(_) | None => return Err(bad("public", &text, "a host and a port, like tracker.example.org:7443")),
    };
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']' | ':');
    if host.is_empty() || !host.chars().all(plain) || port.parse::<u16>().is_err() {
        return Err(bad("public", &text, "a host and a port, like tracker.example.org:7443"));
    }
    Ok(text)
}

fn parse_registration(text: &str) -> Result<Registration, ConfigError> {
    match text {
        "open" => Ok(Registration::Open),
        "invite" => Ok(Registration::Invite),
        "closed" => Ok(Registration::Closed),
        other => Err(bad("registration", other, "open, invite or closed")),
    }
}

fn local(
    name: &'static str,
    scheme: &'static str,
    url: Option<String>,
    default: PathBuf,
) -> Result<PathBuf, ConfigError> {
    let Some(url) = url else { return Ok(default) };
    match url.strip_prefix(scheme).map(|path| path.strip_prefix("//").unwrap_or(path)) {
        Some(path) if !path.is_empty() => absolute(Path::new(path)),
        Some(_) | None if name == "database" => Err(bad(name, &url, "this version knows sqlite:PATH")),
        Some(_) | None => Err(bad(name, &url, "this version knows file:DIR")),
    }
}

fn patience(free_tries: Option<&str>, delay: Option<&str>, delay_max: Option<&str>) -> Result<Patience, ConfigError> {
    let time = |name, text: Option<&str>, default| match text {
        Some(text) => parse_time(text).map_err(|_| bad(name, text, "a time like 10s, 15m or 1h")),
        None => Ok(default),
    };
    let default = Patience::default();
    let free_tries = match free_tries {
        Some(text) => text.parse().map_err(|_| bad("sign_in_free_tries", text, "a number of tries, like 5"))?,
        None => default.free_tries,
    };
    let delay = time("sign_in_delay", delay, default.delay)?;
    let given_max = delay_max;
    let delay_max = time("sign_in_delay_max", delay_max, default.delay_max)?;
    if delay_max < delay {
        return Err(bad("sign_in_delay_max", given_max.unwrap_or("15m"), "at least as long as the first delay"));
    }
    Ok(Patience { free_tries, delay, delay_max })
}

fn sign_out_after(text: &str) -> Result<Option<Duration>, ConfigError> {
    if text == "never" {
        return Ok(None);
    }
    let time = parse_time(text).ok().filter(|time| !time.is_zero());
    time.map(Some).ok_or_else(|| bad("sign_out_after", text, "a time like 12h or 30d, or never"))
}

/// A time as people type it: 30s, 15m, 12h, 7d.
///
/// # Errors
/// What would be one.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let expected = || "a time like 30s, 15m, 12h or 7d".to_owned();
    let unit = text.chars().last().ok_or_else(expected)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return Err(expected()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| expected())?;
    count.checked_mul(seconds).map(Duration::from_secs).ok_or_else(expected)
}

fn relay(
    wanted: Option<&str>,
    bytes_per_day: Option<&str>,
    rate: Option<&str>,
) -> Result<Option<RelaySettings>, ConfigError> {
    let settings = RelaySettings {
        bytes_per_day: amount("relay_bytes_per_day", bytes_per_day, RELAY_BYTES_PER_DAY)?,
        rate: amount("relay_rate", rate, RELAY_RATE)?,
    };
    match wanted {
        None | Some("on") => Ok(Some(settings)),
        Some("off") => Ok(None),
        Some(other) => Err(bad("relay", other, "on or off")),
    }
}

/// Bytes as people write them, in powers of 1024. `None`: no limit.
fn amount(name: &'static str, text: Option<&str>, default: u64) -> Result<Option<u64>, ConfigError> {
    let Some(text) = text else { return Ok(Some(default)) };
    if text == "unlimited" {
        return Ok(None);
    }
    let (digits, shift) = match text.char_indices().next_back() {
        Some((end, 'K')) => (&text[..end], 10),
        Some((end, 'M')) => (&text[..end], 20),
        Some((end, 'G')) => (&text[..end], 30),
        Some((end, 'T')) => (&text[..end], 40),
        Some(_) | None => (text, 0),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(1 << shift)).filter(|bytes| *bytes > 0);
    bytes.map(Some).ok_or_else(|| bad(name, text, "a number of bytes, as 800K, 25M or 20G, or unlimited"))
}

/// What members can dial when told nothing else: the address itself, or, where it stands for all, one of this machine's.
#[must_use]
pub fn reachable(listening: SocketAddr) -> SocketAddr {
    let ip = listening.ip();
    if !ip.is_unspecified() {
        return listening;
    }
    let own = match ip {
        IpAddr::V4(_) => own_address(Ipv4Addr::UNSPECIFIED.into(), "192.0.2.1:9"),
        IpAddr::V6(_) => own_address(Ipv6Addr::UNSPECIFIED.into(), "[2001:db8::1]:9"),
    };
    SocketAddr::new(own.unwrap_or_else(|| Ipv4Addr::LOCALHOST.into()), listening.port())
}

/// The address that packets to the outside leave from. Nothing is sent.
fn own_address(any: IpAddr, outside: &str) -> Option<IpAddr> {
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(outside).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback())
}

/// Every setting with its default, commented: a settings file to begin with.
pub const COMMENTED_DEFAULTS: &str = r#"# Settings of swapmeet-tracker. Give this file with --config FILE or SWAPMEET_TRACKER_CONFIG.
# Flags and SWAPMEET_TRACKER_... variables (such as SWAPMEET_TRACKER_LISTEN) win over it.

# Folder that holds everything of this tracker. Default: swapmeet-tracker in the state folder of the user.
# data = "/var/lib/swapmeet-tracker"

# UDP address to listen on; port 0 picks a free one. Default: port 7443 of every address.
# listen = "0.0.0.0:7443"

# Second UDP port, by which members learn how their NATs work, or "off". Open it in the firewall as the first one.
# Default: the next port after the first, or any if that is taken.
# probe = 7444

# Address that the join link names, as members reach it. Default: an address of this machine.
# public = "tracker.example.org:7443"

# Who may make an account: "open" (whoever has the link), "invite" (with a code) or "closed".
registration = "open"

# TCP address of the web port, through which members are served whose network blocks UDP, or "off".
# Default: the addresses and the port number of UDP, if they are free.
# web = "0.0.0.0:7443"

# Database. Default: tracker.db in the data folder.
# database = "sqlite:/var/lib/swapmeet-tracker/tracker.db"

# Where stored copies go. Default: the folder blobs in the data folder.
# blobs = "file:/var/lib/swapmeet-tracker/blobs"

# Whether the streams of members who cannot reach each other go through this tracker, which cannot read them: "on", "off".
relay = "on"

# Bytes that are relayed for one member in a day (UTC), and bytes a second of all relays together: as 800K, 25M or 20G,
# or "unlimited".
relay_bytes_per_day = "20G"
relay_rate = "25M"

# Wrong passwords for one account from one address before somebody has to wait; the first wait, which doubles with each
# further wrong password; the longest wait.
sign_in_free_tries = 5
sign_in_delay = "10s"
sign_in_delay_max = "15m"

# Time without a connection after which a device must sign in by password again, as "30d", or "never".
sign_out_after = "never"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(listen: Option<&str>) -> ServeArgs {
        ServeArgs { data: Some("/d".into()), listen: listen.map(str::to_owned), ..ServeArgs::default() }
    }

    fn refused(change: impl FnOnce(&mut ServeArgs)) -> String {
        let mut flags = flags(None);
        change(&mut flags);
        Config::load_from(&flags, |_| None).unwrap_err().to_string()
    }

    #[test]
    fn flags_win_over_environment_and_environment_over_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "listen = \"127.0.0.1:1\"\npublic = \"a:1\"\nregistration = \"closed\"").unwrap();
        let mut flags = flags(Some("127.0.0.1:3"));
        flags.config = Some(file.path().into());
        let env = |name: &str| match name {
            "SWAPMEET_TRACKER_LISTEN" => Some("127.0.0.1:2".to_owned()),
            "SWAPMEET_TRACKER_PUBLIC" => Some("b:2".to_owned()),
            _ => None,
        };
        let config = Config::load_from(&flags, env).unwrap();
        assert_eq!(config.listen, Listen::At("127.0.0.1:3".parse().unwrap()));
        assert_eq!(config.public.as_deref(), Some("b:2"));
        assert_eq!(config.registration, Registration::Closed);
    }

    #[test]
    fn times_are_read_as_people_type_them() {
        assert_eq!(parse_time("7d"), Ok(Duration::from_secs(7 * 24 * 3600)));
        assert_eq!(parse_time("30s"), Ok(Duration::from_secs(30)));
        for text in ["", "d", "7", "7x", "-1d", "99999999999999999d", "7ü"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn patience_with_wrong_passwords_is_set_in_words_and_checked() {
        let with = |tries: &str, delay: &str, most: &str| {
            let mut flags = flags(None);
            flags.sign_in_free_tries = Some(tries.into());
            flags.sign_in_delay = Some(delay.into());
            flags.sign_in_delay_max = Some(most.into());
            Config::load_from(&flags, |_| None).map(|config| config.patience)
        };
        let expected = Patience { free_tries: 2, delay: Duration::from_secs(1), delay_max: Duration::from_secs(60) };
        assert_eq!(with("2", "1s", "1m").unwrap(), expected);
        for (tries, delay, most) in [("many", "1s", "1m"), ("2", "soon", "1m"), ("2", "1s", "never"), ("2", "2m", "1m")]
        {
            assert!(with(tries, delay, most).is_err(), "{tries} {delay} {most}");
        }
    }

    #[test]
    fn nothing_but_a_home_is_needed() {
        let env = |name: &str| (name == "HOME").then(|| "/home/anna".to_owned());
        let config = Config::load_from(&ServeArgs::default(), env).unwrap();
        assert_eq!(config.data, Path::new("/home/anna/.local/state/swapmeet-tracker"));
        assert_eq!(config.database, config.data.join("tracker.db"));
        assert_eq!(config.listen, Listen::Everywhere(DEFAULT_PORT));
    }

    #[test]
    fn the_relay_can_be_limited_unlimited_and_off() {
        let relay = |on: &str, day: &str, rate: &str| {
            let mut flags = flags(None);
            flags.relay = Some(on.into());
            flags.relay_bytes_per_day = Some(day.into());
            flags.relay_rate = Some(rate.into());
            Config::load_from(&flags, |_| None).unwrap().relay
        };
        let limited = RelaySettings { bytes_per_day: Some(3 << 30), rate: Some(800 << 10) };
        assert_eq!(relay("on", "3G", "800K"), Some(limited));
        let unlimited = RelaySettings { bytes_per_day: None, rate: None };
        assert_eq!(relay("on", "unlimited", "unlimited"), Some(unlimited));
        assert_eq!(relay("off", "1", "1T"), None);
    }

    #[test]
    fn the_web_port_is_beside_udp_unless_told_otherwise() {
        let web = |text: Option<&str>| {
            let flags = ServeArgs { web: text.map(str::to_owned), ..flags(None) };
            Config::load_from(&flags, |_| None).unwrap().web
        };
        assert_eq!(web(None), Web::Beside);
        assert_eq!(web(Some("off")), Web::Off);
        assert_eq!(web(Some("127.0.0.1:8443")), Web::At("127.0.0.1:8443".parse().unwrap()));
    }

    #[test]
    fn the_commented_defaults_load_back_as_the_defaults() {
        let raw: RawConfig = toml::from_str(COMMENTED_DEFAULTS).unwrap();
        let env = |name: &str| (name == "HOME").then(|| "/home/anna".to_owned());
        assert_eq!(raw.check(env).unwrap(), Config::load_from(&ServeArgs::default(), env).unwrap());
        let all = COMMENTED_DEFAULTS
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|l| l.contains(" = ")).unwrap_or(line));
        let all: RawConfig = toml::from_str(&all.collect::<Vec<_>>().join("\n")).unwrap();
        assert!(all.data.is_some() && all.listen.is_some() && all.public.is_some() && all.blobs.is_some());
        assert!(all.web.is_some());
        all.check(env).unwrap();
    }

    #[test]
    fn unknown_settings_and_impossible_values_are_refused_with_a_reason() {
        assert!(toml::from_str::<RawConfig>("listten = \"x\"").is_err());
        assert!(refused(|flags| flags.web = Some("on".into())).contains("an address and a port"));
        assert!(refused(|flags| flags.listen = Some("7443".into())).contains("an address and a port"));
        assert!(refused(|flags| flags.probe = Some("no".into())).contains("a port, like 7444"));
        assert!(refused(|flags| flags.registration = Some("maybe".into())).contains("open, invite or closed"));
        assert!(refused(|flags| flags.database = Some("postgres://x".into())).contains("sqlite:PATH"));
        assert!(refused(|flags| flags.blobs = Some("s3://x".into())).contains("file:DIR"));
        assert!(refused(|flags| flags.relay = Some("maybe".into())).contains("on or off"));
        for amount in ["", "0", "x", "5X", "-1M", "20000000T", "M"] {
            assert!(refused(|flags| flags.relay_rate = Some(amount.into())).contains("a number of bytes"), "{amount}");
        }
        for public in ["host", ":1", "a b:1", "::1:7", "host:99999"] {
            assert!(refused(|flags| flags.public = Some(public.into())).contains("a host and a port"), "{public}");
        }
    }

    #[test]
    fn an_address_for_all_becomes_one_that_can_be_dialled() {
        let some = reachable("0.0.0.0:5".parse().unwrap());
        assert!(!some.ip().is_unspecified() && some.port() == 5);
        let one = "127.0.0.1:5".parse().unwrap();
        assert_eq!(reachable(one), one);
    }
}
