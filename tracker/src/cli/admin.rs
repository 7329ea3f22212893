//! `link` and `status`: looking at a data folder, whether or not a tracker runs in it.

use std::{fs, net::SocketAddr, path::Path, time::SystemTime};

use certs::Authority;
use serde_json::json;

use super::{Failure, print, print_json};
use crate::{
    AUTHORITY, Config, LINK, LOCK, ServeArgs, StartError,
    config::{Listen, Web},
    store::{SqliteStore, Store as _},
};

pub(super) fn link(flags: &ServeArgs, as_json: bool) -> Result<(), Failure> {
    let config = Config::load(flags).map_err(StartError::from)?;
    let link = find_link(&config)?;
    if as_json { print_json(&json!({"v": 1, "type": "link", "link": link})) } else { print(&link) }
}

pub(super) fn status(flags: &ServeArgs, as_json: bool) -> Result<(), Failure> {
    let config = Config::load(flags).map_err(StartError::from)?;
    if !config.database.exists() {
        return Err(no_tracker(&config.data));
    }
    let link = find_link(&config)?;
    let running = is_running(&config.data);
    let counts = super::block_on(async {
        let store = SqliteStore::open(&config.database).await.map_err(StartError::from)?;
        let counts = store.status().await.map_err(StartError::from)?;
        store.close().await;
        Ok(counts)
    })?;
    if as_json {
        return print_json(&json!({
            "v": 1, "type": "status", "running": running, "link": link, "members": counts.members,
            "files": counts.files, "bytes": counts.bytes, "copies": counts.copies, "copy_bytes": counts.copy_bytes,
        }));
    }
    let rows = [
        ("running", if running { "yes" } else { "no" }.to_owned()),
        ("link", link),
        ("members", counts.members.to_string()),
        ("files", counts.files.to_string()),
        ("bytes", counts.bytes.to_string()),
        ("copies", counts.copies.to_string()),
        ("copy bytes", counts.copy_bytes.to_string()),
    ];
    rows.iter().try_for_each(|(name, value)| print(&format!("{name}\t{value}")))
}

/// The link of the tracker that ran last, or the one that it would have.
fn find_link(config: &Config) -> Result<String, Failure> {
    if !config.data.join(AUTHORITY).exists() {
        return Err(no_tracker(&config.data));
    }
    let authority = Authority::open(&config.data.join(AUTHORITY), SystemTime::now()).map_err(StartError::from)?;
    let fingerprint = authority.fingerprint().to_string();
    let last = fs::read_to_string(config.data.join(LINK)).unwrap_or_default();
    if config.public.is_none() && last.ends_with(&format!("#{fingerprint}")) {
        return Ok(last);
    }
    let listen = match config.listen {
        Listen::At(address) => address,
        Listen::Everywhere(port) => SocketAddr::from(([0, 0, 0, 0], port)),
    };
    let web = match config.web {
        Web::At(address) if address.port() != 0 => Some(address.port()),
        Web::At(_) | Web::Beside | Web::Off => None,
    };
    Ok(crate::link(config, listen, web, &fingerprint))
}

pub(super) fn no_tracker(data: &Path) -> Failure {
    Failure::new(
        4,
        "no_tracker",
        format!("there is no tracker in {}", data.display()),
        "start one with `swapmeet-tracker serve`, or name its folder with --data",
    )
}

fn is_running(data: &Path) -> bool {
    fs::File::open(data.join(LOCK)).is_ok_and(|file| file.try_lock().is_err())
}
