//! `invite new | ls | revoke`, also while the tracker runs.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use shared::limits::INVITE_USES_MAX;

use super::{Failure, print, print_json};
use crate::{
    Config, ServeArgs, StartError,
    code::{Code, Kind},
    config,
    handler::{self, now_ms},
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
        #[arg(long, value_name = "TIME", value_parser = config::parse_time)]
        expires: Option<Duration>,
    },
    /// Lists the codes that can still be used, by their first characters
    Ls,
    /// Makes a code worthless
    Revoke {
        /// The code, or the beginning of it that `ls` shows
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
            let code = Code::from_random(Kind::Invitation, rand::random());
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
            let hint = "`invite ls` shows how codes begin";
            let which =
                handler::invites::which(code).map_err(|error| Failure::new(2, "bad_code", error.to_string(), hint))?;
            match store.revoke_invite(&which).await.map_err(StartError::from)? {
                0 => Err(Failure::new(4, "no_invite", "there is no such invitation", hint)),
                1 => Ok(()),
                alike => {
                    let message = format!("{alike} invitations begin like that");
                    Err(Failure::new(2, "bad_code", message, "give the whole code"))
                }
            }
        }
    }
}

/// Milliseconds since 1970 as RFC 3339 in UTC; `None` beyond what that can say.
pub(super) fn rfc3339(ms: i64) -> Option<String> {
    jiff::Timestamp::from_millisecond(ms).ok().map(|time| time.to_string())
}
