//! Invitations, made and revoked by administrators from their own devices.

use shared::{
    limits::{CODE_BYTES_MAX, INVITE_USES_MAX},
    wire::{
        account::InviteEntry,
        tracker::{Answer, Password},
    },
};

use super::{Ctx, Error, Moment};
use crate::{
    code::{self, Code, Kind},
    store::{Caller, Invite, WhichInvite},
};

/// Makes a code.
///
/// # Errors
/// When the caller is no administrator, or the request makes no sense.
pub async fn invite(ctx: &Ctx, caller: &Caller, uses: u32, ends_ms: Option<i64>, now: Moment) -> Result<Answer, Error> {
    admin(ctx, caller).await?;
    if uses == 0 || uses > INVITE_USES_MAX {
        return Err(Error::Bad(format!("an invitation allows 1 to {INVITE_USES_MAX} registrations")));
    }
    if ends_ms.is_some_and(|ends| ends <= now.ms()) {
        return Err(Error::Bad("the invitation would have ended already".to_owned()));
    }
    let code = Code::from_random(Kind::Invitation, rand::random());
    let invite = Invite { hint: code.hint().to_owned(), uses_left: uses, ends_ms };
    ctx.store.create_invite(invite.clone(), code.hash(), now.ms()).await?;
    Ok(Answer::Invited { code: Password(code.grouped()), invite: entry(invite) })
}

/// The invitations that can still be used.
///
/// # Errors
/// When the caller is no administrator.
pub async fn invites(ctx: &Ctx, caller: &Caller, now: Moment) -> Result<Answer, Error> {
    admin(ctx, caller).await?;
    let invites = ctx.store.list_invites(now.ms()).await?;
    Ok(Answer::Invites { invites: invites.into_iter().map(entry).collect() })
}

/// Makes a code worthless.
///
/// # Errors
/// When the caller is no administrator, there is no such code, or its beginning does not say which.
pub async fn revoke(ctx: &Ctx, caller: &Caller, code: &str) -> Result<u64, Error> {
    admin(ctx, caller).await?;
    match ctx.store.revoke_invite(&which(code)?).await? {
        0 => Err(Error::NotFound("invitation")),
        1 => Ok(1),
        alike => Err(Error::Bad(format!("{alike} invitations begin like that; give the whole code"))),
    }
}

/// Reads a code, or the beginning of one.
///
/// # Errors
/// When it is neither.
pub fn which(typed: &str) -> Result<WhichInvite, Error> {
    if typed.len() > CODE_BYTES_MAX {
        return Err(Error::TooMuch { what: "bytes of a code", most: CODE_BYTES_MAX as u64 });
    }
    if let Some(hint) = code::parse_hint(typed) {
        return Ok(WhichInvite::Hint(hint));
    }
    let code = Code::parse(Kind::Invitation, typed).map_err(|error| Error::Bad(error.to_string()))?;
    Ok(WhichInvite::Hash(code.hash()))
}

async fn admin(ctx: &Ctx, caller: &Caller) -> Result<(), Error> {
    if ctx.store.is_admin(caller).await? { Ok(()) } else { Err(Error::NotAdmin) }
}

fn entry(invite: Invite) -> InviteEntry {
    InviteEntry { hint: invite.hint, uses_left: invite.uses_left, ends_ms: invite.ends_ms }
}
