//! `invite new | ls | revoke`, also while the tracker runs.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use shared::limits::INVITE_USES_MAX;

use super::{Failure, print, print_json};
use crate::{
    Config, ServeArgs, StartError,
    handler::now_ms,
    invite::InviteCode,
    store::{Invite, SqliteStore, Store as _},
};

#[derive(Debug, Args)]
pub(super) struct InviteArgs {
    #[command(flatten)]
    place: ServeArgs,
    #[command(subcommand)]
    command: InviteCommand,
}

#[derive(Debug, Subcommand)]
enum InviteCommand {
    /// Makes a code and prints it; it is not shown again
    New {
        /// Registrations that it allows
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(INVITE_USES_MAX)))]
        uses: u32,
        /// How long it is good for, like 12h or 7d [default: until revoked]
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        expires: Option<Duration>,
    },
    /// Lists the codes that can still be used, by their first characters
    Ls,
    /// Makes a code worthless
    Revoke {
        /// The whole code
        code: String,
    },
}

pub(super) fn run(args: &InviteArgs, as_json: bool) -> Result<(), Failure> {
    let config = Config::load(&args.place).map_err(StartError::from)?;
    if !config.data.is_dir() {
        std::fs::create_dir_all(&config.data)
            .map_err(|source| StartError::Data { path: config.data.clone(), source })?;
    }
    super::block_on(async {
        let store = SqliteStore::open(&config.database).await.map_err(StartError::from)?;
        let done = carry_out(&store, &args.command, as_json).await;
        store.close().await;
        done
    })
}

async fn carry_out(store: &SqliteStore, command: &InviteCommand, as_json: bool) -> Result<(), Failure> {
    match command {
        InviteCommand::New { uses, expires } => {
            let code = InviteCode::from_random(rand::random());
            let now = now_ms();
            let ends_ms = expires.map(|life| now.saturating_add(i64::try_from(life.as_millis()).unwrap_or(i64::MAX)));
            let invite = Invite { hint: code.hint().to_owned(), uses_left: *uses, ends_ms };
            store.create_invite(invite, code.hash(), now).await.map_err(StartError::from)?;
            if as_json {
                return print_json(&json!({
                    "v": 1, "type": "invite", "code": code.grouped(), "uses": uses,
                    "expires": ends_ms.and_then(rfc3339),
                }));
            }
            print(&code.grouped())
        }
        InviteCommand::Ls => {
            for invite in store.list_invites(now_ms()).await.map_err(StartError::from)? {
                let expires = invite.ends_ms.and_then(rfc3339);
                if as_json {
                    print_json(&json!({
                        "v": 1, "type": "invite", "code": format!("{}-…", invite.hint), "uses": invite.uses_left,
                        "expires": expires,
                    }))?;
                } else {
                    let expires = expires.unwrap_or_else(|| "never".to_owned());
                    print(&format!("{}-…\t{}\t{expires}", invite.hint, invite.uses_left))?;
                }
            }
            Ok(())
        }
        InviteCommand::Revoke { code } => {
            let usage = |error: crate::invite::ParseInviteError| {
                Failure::new(2, "bad_code", error.to_string(), "`invite ls` shows how codes begin")
            };
            let hash = InviteCode::parse(code).map_err(usage)?.hash();
            if store.revoke_invite(hash).await.map_err(StartError::from)? {
                return Ok(());
            }
            Err(Failure::new(4, "no_invite", "there is no such invitation", "`invite ls` shows how codes begin"))
        }
    }
}

fn parse_time(text: &str) -> Result<Duration, String> {
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

/// Milliseconds since 1970 as RFC 3339 in UTC; `None` beyond what that can say.
fn rfc3339(ms: i64) -> Option<String> {
    jiff::Timestamp::from_millisecond(ms).ok().map(|time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_type_them() {
        assert_eq!(parse_time("7d"), Ok(Duration::from_secs(7 * 24 * 3600)));
        assert_eq!(parse_time("30s"), Ok(Duration::from_secs(30)));
        for text in ["", "d", "7", "7x", "-1d", "99999999999999999d", "7ü"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
