//! Where the program notes what it does: the profile's log file, and stderr with `-v`.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use super::talk::Ended;
use crate::profile::Profile;

/// Begins to log; a second call changes nothing.
pub(super) fn start(profile: &Profile, verbose: u8) -> Result<(), Ended> {
    let path = profile.log();
    let file = open(&path).map_err(|error| Ended::file("open the log", &path, &error))?;
    let to_file =
        tracing_subscriber::fmt::layer().with_ansi(false).with_writer(Arc::new(file)).with_filter(filter(FILE_LEVELS)?);
    let stderr_levels = match verbose {
        0 => None,
        1 => Some(FILE_LEVELS),
        _ => Some("info,tui=debug,shared=debug,certs=debug,tracker=debug"),
    };
    let to_stderr = match stderr_levels {
        Some(levels) => {
            Some(tracing_subscriber::fmt::layer().with_ansi(false).with_writer(io::stderr).with_filter(filter(levels)?))
        }
        None => None,
    };
    // Fails only where logging has begun already.
    let _begun_before = tracing_subscriber::registry().with(to_file).with(to_stderr).try_init();
    Ok(())
}

/// Begins to log to stderr only: for a program that runs for others and has no profile.
#[cfg(feature = "host")]
pub(super) fn start_on_stderr(levels: &str) -> Result<(), Ended> {
    let to_stderr =
        tracing_subscriber::fmt::layer().with_ansi(false).with_writer(io::stderr).with_filter(filter(levels)?);
    // Fails only where logging has begun already.
    let _begun_before = tracing_subscriber::registry().with(to_stderr).try_init();
    Ok(())
}

/// `SWAPMEET_LOG` where it is set, else these levels.
fn filter(levels: &str) -> Result<EnvFilter, Ended> {
    match env::var("SWAPMEET_LOG") {
        Ok(chosen) if !chosen.is_empty() => EnvFilter::try_new(&chosen).map_err(|error| {
            Ended::usage(format!("SWAPMEET_LOG is not understood: {error}"), "write it like info,tui=debug")
        }),
        _ => Ok(EnvFilter::new(levels)),
    }
}

/// Opens the log for appending, private, after putting a full one aside.
fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX) {
        // Another process may have done it at the same moment: then there is nothing to put aside.
        let _already = fs::rename(path, path.with_extension("log.1"));
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

const FILE_LEVELS: &str = "warn,tui=info,shared=info,certs=info,tracker=info";
/// Bytes after which the next start begins a new log; one old one is kept.
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;
