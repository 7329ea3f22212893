//! `member ls | role | lock | unlock`, also while the tracker runs: it looks after a moment and acts on it.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use shared::{name::MemberName, show::show_line};

use super::{Failure, invite::rfc3339, print, print_json};
use crate::{
    Config, ServeArgs, StartError,
    handler::now_ms,
    store::{Administered, SqliteStore, Store as _},
};

#[derive(Debug, Args)]
pub(super) struct MemberArgs {
    #[command(flatten)]
    place: ServeArgs,
    #[command(subcommand)]
    command: MemberCommand,
}

#[derive(Debug, Subcommand)]
enum MemberCommand {
    /// Lists every account
    Ls,
    /// Makes a member an administrator, who may invite others, or takes that back
    Role {
        /// Their name
        name: String,
        /// What they shall be
        role: Role,
    },
    /// Signs a member out everywhere and lets nobody sign in to the account
    Lock {
        /// Their name
        name: String,
    },
    /// Lets a member sign in again
    Unlock {
        /// Their name
        name: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    Admin,
    Member,
}

pub(super) fn run(args: &MemberArgs, as_json: bool) -> Result<(), Failure> {
    let config = Config::load(&args.place).map_err(StartError::from)?;
    if !config.database.exists() {
        return Err(super::admin::no_tracker(&config.data));
    }
    super::block_on(async {
        let store = SqliteStore::open(&config.database).await.map_err(StartError::from)?;
        let done = match &args.command {
            MemberCommand::Ls => list(&store, as_json).await,
            MemberCommand::Role { name, role } => {
                administer(&store, name, Administered::Admin(matches!(role, Role::Admin))).await
            }
            MemberCommand::Lock { name } => administer(&store, name, Administered::Locked(true)).await,
            MemberCommand::Unlock { name } => administer(&store, name, Administered::Locked(false)).await,
        };
        store.close().await;
        done
    })
}

async fn administer(store: &SqliteStore, name: &str, change: Administered) -> Result<(), Failure> {
    let nobody = || {
        let message = format!("there is no member {}", show_line(name, 100));
        Failure::new(4, "no_member", message, "`swapmeet-tracker member ls` shows the names")
    };
    let key = MemberName::parse(name).map_err(|_| nobody())?;
    let known = store.administer(key.key().as_str(), change, now_ms()).await.map_err(StartError::from)?;
    if known { Ok(()) } else { Err(nobody()) }
}

async fn list(store: &SqliteStore, as_json: bool) -> Result<(), Failure> {
    for account in store.accounts().await.map_err(StartError::from)? {
        let role = if account.admin { "admin" } else { "member" };
        let last_seen = account.last_seen_ms.and_then(rfc3339);
        if as_json {
            print_json(&json!({
                "v": 1, "type": "account", "name": account.name, "role": role, "locked": account.locked,
                "email": account.email, "devices": account.devices, "files": account.files,
                "created": rfc3339(account.created_ms), "last_seen": last_seen,
            }))?;
        } else {
            let locked = if account.locked { "locked" } else { "" };
            let (devices, files) = (account.devices, account.files);
            let (name, last_seen) = (show_line(&account.name, 100), last_seen.unwrap_or_default());
            print(&format!("{name}\t{role}\t{locked}\t{devices}\t{files}\t{last_seen}"))?;
        }
    }
    Ok(())
}
