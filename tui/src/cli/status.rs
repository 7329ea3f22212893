//! `swapmeet status`: one call of health. Always prints its record; the exit code says what is wrong.

use std::time::Duration;

use serde::Serialize;

use super::{
    context::Context,
    out::{Cell, Column, Moment, Record},
    talk::Outcome,
};
use crate::engine::api::{Command, Connection, Failure, FailureKind, Status, Update};

pub(super) async fn run(context: &mut Context) -> Outcome {
    let patience = context.globals.timeout.unwrap_or(PATIENCE);
    // The time being up is no failure: the record then says that it is still connecting.
    if let Ok(settled) = tokio::time::timeout(patience, connection_settled(context)).await {
        settled?;
    }
    let status = context.status().await?;
    let connection = status.connection.clone();
    let record = StatusRecord::new(status, context.is_attached());
    context.out.card(&record)?;
    match connection {
        Connection::Online { .. } => Ok(()),
        Connection::SignedOut => Err(signed_out().into()),
        Connection::Connecting => Err(unreachable("no answer yet").into()),
        Connection::Offline { cause, retry_ms: None, .. } => Err(refused(cause).into()),
        Connection::Offline { cause, .. } => Err(unreachable(&cause).into()),
    }
}

/// Nobody is signed in.
pub(super) fn signed_out() -> Failure {
    Failure::new(
        FailureKind::SignIn,
        "signed_out",
        "nobody is signed in on this device",
        "swapmeet register NAME --tracker LINK, or swapmeet login NAME --tracker LINK",
    )
}

/// The tracker does not take this device any more, which trying again does not change.
fn refused(cause: String) -> Failure {
    let hint = "swapmeet login NAME --tracker LINK signs it in again, with the password";
    Failure::new(FailureKind::SignIn, "signed_out", cause, hint)
}

fn unreachable(cause: &str) -> Failure {
    Failure::new(
        FailureKind::Unreachable,
        "unreachable",
        format!("the tracker cannot be reached: {cause}"),
        "check the network and that the tracker runs; the engine goes on trying",
    )
}

/// Waits until the first attempt to connect has ended, well or badly.
async fn connection_settled(context: &mut Context) -> Outcome {
    let mut updates = context.client().await?.call(Command::Watch).await;
    while let Some(update) = updates.next().await? {
        match update {
            Update::Connection(Connection::Connecting) => (),
            Update::Connection(_) => return Ok(()),
            _ => (),
        }
    }
    Ok(())
}

#[derive(Debug, Serialize)]
struct StatusRecord {
    connection: &'static str,
    name: Option<String>,
    tracker: Option<String>,
    rtt_ms: Option<u32>,
    cause: Option<String>,
    retry: Option<Moment>,
    tries: Option<u32>,
    shares: u64,
    active: u64,
    members: Option<u64>,
    online: Option<u64>,
    files: Option<u64>,
    bytes: Option<u64>,
    copies: Option<u64>,
    copy_bytes: Option<u64>,
    downloads: String,
    /// `own`: ends with this command; `attached`: goes on.
    engine: &'static str,
    version: String,
    pid: u32,
    port: u16,
    id: Option<String>,
    device: Option<String>,
    /// `udp`, or `https` where UDP is blocked.
    via: Option<&'static str>,
}

impl StatusRecord {
    fn new(status: Status, attached: bool) -> Self {
        let (rtt_ms, cause, retry, tries) = match &status.connection {
            Connection::Online { rtt_ms, .. } => (Some(*rtt_ms), None, None, None),
            Connection::Offline { cause, retry_ms, tries } => {
                (None, Some(cause.clone()), retry_ms.map(Moment), Some(*tries))
            }
            Connection::SignedOut | Connection::Connecting => (None, None, None, None),
        };
        let account = status.account.as_ref();
        let tracker = status.tracker.as_ref();
        Self {
            via: via_word(&status.connection),
            connection: connection_word(&status.connection),
            name: account.map(|account| account.name.clone()),
            tracker: account.map(|account| account.tracker.clone()),
            rtt_ms,
            cause,
            retry,
            tries,
            shares: status.shares,
            active: status.active,
            members: tracker.and_then(|tracker| tracker.members),
            online: tracker.and_then(|tracker| tracker.online),
            files: tracker.and_then(|tracker| tracker.files),
            bytes: tracker.and_then(|tracker| tracker.bytes),
            copies: tracker.and_then(|tracker| tracker.copies),
            copy_bytes: tracker.and_then(|tracker| tracker.copy_bytes),
            downloads: status.downloads.to_string_lossy().into_owned(),
            engine: if attached { "attached" } else { "own" },
            version: status.version,
            pid: status.pid,
            port: status.port,
            id: account.map(|account| account.id.to_string()),
            device: account.map(|account| account.device.to_string()),
        }
    }
}

impl Record for StatusRecord {
    fn kind(&self) -> &'static str {
        "status"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column::text("CONNECTION"),
            Column::text("NAME"),
            Column::text("TRACKER"),
            Column::text("RTT_MS"),
            Column::text("CAUSE"),
            Column::text("RETRY"),
            Column::text("TRIES"),
            Column::text("SHARES"),
            Column::text("ACTIVE"),
            Column::text("MEMBERS"),
            Column::text("ONLINE"),
            Column::text("FILES"),
            Column::text("BYTES"),
            Column::text("COPIES"),
            Column::text("COPY_BYTES"),
            Column::text("DOWNLOADS"),
            Column::text("ENGINE"),
            Column::text("VERSION"),
            Column::text("PID"),
            Column::text("PORT"),
            Column::text("VIA"),
        ];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        let number = |number: Option<u32>| number.map_or(Cell::Empty, |number| Cell::Count(number.into()));
        let bytes = |bytes: Option<u64>| bytes.map_or(Cell::Empty, Cell::Bytes);
        vec![
            self.connection.into(),
            self.name.clone().into(),
            self.tracker.clone().into(),
            number(self.rtt_ms),
            self.cause.clone().into(),
            self.retry.into(),
            number(self.tries),
            Cell::Count(self.shares),
            Cell::Count(self.active),
            self.members.into(),
            self.online.into(),
            self.files.into(),
            bytes(self.bytes),
            self.copies.into(),
            bytes(self.copy_bytes),
            self.downloads.as_str().into(),
            self.engine.into(),
            self.version.as_str().into(),
            Cell::Count(self.pid.into()),
            Cell::Count(self.port.into()),
            self.via.map_or(Cell::Empty, Cell::from),
        ]
    }
}

/// A connection in one word.
pub(super) fn connection_word(connection: &Connection) -> &'static str {
    match connection {
        Connection::SignedOut => "signed_out",
        Connection::Connecting => "connecting",
        Connection::Online { .. } => "online",
        Connection::Offline { .. } => "offline",
    }
}

/// How the tracker is reached, in one word.
pub(super) fn via_word(connection: &Connection) -> Option<&'static str> {
    match connection {
        Connection::Online { https: false, .. } => Some("udp"),
        Connection::Online { https: true, .. } => Some("https"),
        Connection::SignedOut | Connection::Connecting | Connection::Offline { .. } => None,
    }
}

/// Time that the first attempt to connect may take.
const PATIENCE: Duration = Duration::from_secs(5);
