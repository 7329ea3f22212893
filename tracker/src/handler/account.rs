//! Greeting, registering, signing in; password, recovery code and e-mail address.

use std::{
    net::IpAddr,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use certs::PeerIdentity;
use shared::{
    id::{AccountId, DeviceId},
    limits::{
        CERTIFICATE_LIFE, CODE_BYTES_MAX, DEVICE_LABEL_BYTES_MAX, EMAIL_BYTES_MAX, PASSWORD_BYTES_MAX,
        PASSWORD_CHARS_MIN,
    },
    name::MemberName,
    wire::{
        ENROL_CONTEXT, SIGN_IN_CONTEXT,
        account::Recover,
        tracker::{NewDevice, Register, Registration, SignInPassword, SignedIn, Welcome},
    },
};
use zeroize::Zeroizing;

use super::{Ctx, Error, Moment, PROGRAM, Peer};
use crate::{
    attempts::{Attempts, Guesses},
    code::{Code, Kind},
    store::{Caller, DeviceKey, Login, NewAccount, Recovery},
};

/// Answers the greeting.
#[must_use]
pub fn hello(ctx: &Ctx, peer: &Peer, now: Moment) -> Welcome {
    Welcome {
        program: PROGRAM.to_owned(),
        registration: ctx.registration,
        time_ms: now.ms(),
        observed: shared::reach::canonical(peer.address),
    }
}

/// Makes an account with its first device.
///
/// # Errors
/// When a field breaks a rule, the name is taken or looks like another, or registration is not open to the asker.
pub async fn register(ctx: &Ctx, peer: &Peer, request: Register, now: Moment) -> Result<(Caller, SignedIn), Error> {
    let password = Zeroizing::new(request.password.0);
    let invite = check_invitation(ctx.registration, request.invite.as_deref())?;
    let name = member_name("the name", &request.name)?;
    check_new_password(&password)?;
    let email = request.email.filter(|email| !email.is_empty());
    email.as_deref().map(check_email).transpose()?;
    let device = check_device(peer, request.device)?;
    let key = device.key;
    let password_hash = ctx.passwords.hash(password).await?;
    let account = NewAccount {
        id: AccountId(rand::random()),
        name: name.as_str().to_owned(),
        name_key: name.key().as_str().to_owned(),
        skeleton: name.skeleton(),
        email,
        password_hash,
        invite,
        device,
    };
    let caller = ctx.store.create_account(account, now.ms()).await?;
    let signed_in = signed_in(ctx, &caller, &key, now)?;
    Ok((caller, signed_in))
}

/// Enrols a device by the member's password.
///
/// # Errors
/// When name and password do not belong together, or after too many wrong ones.
pub async fn sign_in_password(
    ctx: &Ctx,
    peer: &Peer,
    request: SignInPassword,
    now: Moment,
) -> Result<(Caller, SignedIn), Error> {
    let password = Zeroizing::new(request.password.0);
    at_most_bytes("the password", password.len(), PASSWORD_BYTES_MAX)?;
    let device = check_device(peer, request.device)?;
    let Some(login) = check_password(ctx, peer, &name_key(&request.name), password, now).await? else {
        return Err(Error::WrongSignIn("the name or the password is wrong"));
    };
    let key = device.key;
    let caller = ctx.store.enrol_device(login.account, device, now.ms()).await?;
    ctx.roster.enrolled();
    let signed_in = signed_in(ctx, &caller, &key, now)?;
    Ok((caller, signed_in))
}

/// Gives an account a new password by its recovery code, and enrols a device.
///
/// # Errors
/// When name and code do not belong together, or after too many wrong ones.
pub async fn recover(ctx: &Ctx, peer: &Peer, request: Recover, now: Moment) -> Result<(Caller, SignedIn), Error> {
    let password = Zeroizing::new(request.password.0);
    let code = Zeroizing::new(request.code.0);
    at_most_bytes("the recovery code", code.len(), CODE_BYTES_MAX)?;
    check_new_password(&password)?;
    let device = check_device(peer, request.device)?;
    let name_key = name_key(&request.name);
    let code = Code::parse(Kind::Recovery, &code).map_err(|error| Error::Bad(error.to_string()))?.hash();
    // Codes are guessed at the pace of passwords, and a name that nobody has costs the same.
    let trial = Trial::begin(ctx, peer, &name_key, now)?;
    let password_hash = ctx.passwords.hash(password).await?;
    let key = device.key;
    let recovery = Recovery { name_key, code, password_hash, device };
    let Some(caller) = ctx.store.recover(recovery, now.ms()).await? else {
        trial.failed(ctx, now).await;
        return Err(Error::WrongSignIn("the name or the recovery code is wrong"));
    };
    trial.succeeded(ctx).await;
    ctx.roster.enrolled();
    let signed_in = signed_in(ctx, &caller, &key, now)?;
    Ok((caller, signed_in))
}

/// What makes a name unique. One that cannot exist is looked for like any other, so that it costs and says the same.
fn name_key(name: &str) -> String {
    MemberName::parse(name).map_or_else(|_| String::new(), |name| name.key().as_str().to_owned())
}

/// A try at a password or a code: a failure until it is known to be right.
struct Trial {
    name_key: String,
    address: IpAddr,
}

impl Trial {
    /// # Errors
    /// When it is too early for another one.
    fn begin(ctx: &Ctx, peer: &Peer, name_key: &str, now: Moment) -> Result<Self, Error> {
        let address = shared::reach::source(peer.address.ip());
        let mut attempts = attempts(ctx);
        if let Some(wait) = attempts.wait(name_key, address, now.instant) {
            return Err(Error::Wait { seconds: wait.as_secs() + 1 });
        }
        attempts.begin(name_key, address, now.instant);
        Ok(Self { name_key: name_key.to_owned(), address })
    }

    /// It was wrong: that is written down before it is said, so that no restart of the tracker makes room for more.
    async fn failed(self, ctx: &Ctx, now: Moment) {
        note_wrong(ctx, self.name_key, self.address, now).await;
    }

    async fn succeeded(self, ctx: &Ctx) {
        let was_wrong_before = attempts(ctx).succeeded(&self.name_key, self.address);
        if was_wrong_before && let Err(error) = ctx.store.forget_guesses(&self.name_key, self.address).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "wrong passwords before a right one could not be forgotten");
        }
    }
}

/// Writes down how often somebody guessed wrong by now.
pub(super) async fn note_wrong(ctx: &Ctx, name_key: String, address: IpAddr, now: Moment) {
    let Some(count) = attempts(ctx).count(&name_key, address) else { return };
    let guesses = Guesses { name_key, address, count, last_ms: now.ms() };
    if let Err(error) = ctx.store.note_guesses(guesses, ctx.patience.memory()).await {
        // It counts while this tracker runs.
        let error = &error as &dyn std::error::Error;
        tracing::error!(error, "a wrong password could not be written down");
    }
}

/// The account of a name, if the password is right. Unknown names and locked accounts look like wrong passwords.
async fn check_password(
    ctx: &Ctx,
    peer: &Peer,
    name_key: &str,
    password: Zeroizing<String>,
    now: Moment,
) -> Result<Option<Login>, Error> {
    let trial = Trial::begin(ctx, peer, name_key, now)?;
    let login = ctx.store.find_login(name_key).await?;
    let hash = login.as_ref().map(|login| login.password_hash.clone());
    let right = ctx.passwords.verify(password, hash).await?;
    let login = login.filter(|login| right && !login.locked);
    if login.is_some() {
        trial.succeeded(ctx).await;
    } else {
        trial.failed(ctx, now).await;
    }
    Ok(login)
}

/// Gives the caller's account another password; its devices stay signed in.
///
/// # Errors
/// When the old password is wrong, or the new one breaks a rule.
pub async fn change_password(
    ctx: &Ctx,
    caller: &Caller,
    peer: &Peer,
    (old, new): (Zeroizing<String>, Zeroizing<String>),
    now: Moment,
) -> Result<(), Error> {
    check_new_password(&new)?;
    let login = confirm(ctx, caller, peer, old, now).await?;
    let hash = ctx.passwords.hash(new).await?;
    Ok(ctx.store.set_password(caller, &login.password_hash, hash).await?)
}

/// Gives the caller's account another e-mail address, or none.
///
/// # Errors
/// When the password is wrong, or the address is not plausible.
pub async fn change_email(
    ctx: &Ctx,
    caller: &Caller,
    peer: &Peer,
    password: Zeroizing<String>,
    email: Option<String>,
    now: Moment,
) -> Result<(), Error> {
    let email = email.filter(|email| !email.is_empty());
    email.as_deref().map(check_email).transpose()?;
    confirm(ctx, caller, peer, password, now).await?;
    Ok(ctx.store.set_email(caller, email).await?)
}

/// A new recovery code for the caller's account.
///
/// # Errors
/// When the password is wrong.
pub async fn new_recovery(
    ctx: &Ctx,
    caller: &Caller,
    peer: &Peer,
    password: Zeroizing<String>,
    now: Moment,
) -> Result<String, Error> {
    confirm(ctx, caller, peer, password, now).await?;
    let code = Code::from_random(Kind::Recovery, rand::random());
    ctx.store.set_recovery(caller, code.hash()).await?;
    Ok(code.grouped())
}

/// The login of the caller's own account, who shows the password once more.
async fn confirm(
    ctx: &Ctx,
    caller: &Caller,
    peer: &Peer,
    password: Zeroizing<String>,
    now: Moment,
) -> Result<Login, Error> {
    at_most_bytes("the password", password.len(), PASSWORD_BYTES_MAX)?;
    let login = check_password(ctx, peer, &name_key(&caller.name), password, now).await?;
    login.ok_or(Error::WrongPassword)
}

/// Signs in an enrolled device by its key.
///
/// # Errors
/// When the device is not enrolled or the proof is not by its key.
pub async fn sign_in_key(
    ctx: &Ctx,
    peer: &Peer,
    device: DeviceId,
    proof: &[u8],
    now: Moment,
) -> Result<(Caller, SignedIn), Error> {
    let wrong = Error::WrongSignIn("this device is not enrolled here; sign in with the password");
    let Some(enrolled) = ctx.store.find_device(device).await? else { return Err(wrong) };
    if !certs::verify(&enrolled.key, &[SIGN_IN_CONTEXT, &peer.exported].concat(), proof) {
        return Err(wrong);
    }
    if enrolled.locked {
        return Err(Error::Locked);
    }
    if let Some(limit) = ctx.sign_out_after
        && !ctx.roster.is_online(device)
        && stayed_away(enrolled.seen_ms, now.ms(), limit)
    {
        // Until the password is given, which counts as being seen.
        return Err(Error::SignedOutByTime { after: spelled(limit) });
    }
    let signed_in = signed_in(ctx, &enrolled.caller, &enrolled.key, now)?;
    Ok((enrolled.caller, signed_in))
}

/// Whether a device was not connected for so long.
fn stayed_away(seen_ms: i64, now_ms: i64, limit: Duration) -> bool {
    u128::try_from(now_ms.saturating_sub(seen_ms)).is_ok_and(|away_ms| away_ms >= limit.as_millis())
}

/// A time in the largest unit that says it whole.
fn spelled(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(24 * 3600, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let (count, unit) = units
        .into_iter()
        .find(|(unit, _)| seconds.is_multiple_of(*unit))
        .map_or((seconds, "second"), |(length, unit)| (seconds / length, unit));
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// A fresh certificate for the caller.
///
/// # Errors
/// When the device is no longer enrolled.
pub async fn renew(ctx: &Ctx, caller: &Caller, now: Moment) -> Result<SignedIn, Error> {
    let enrolled = ctx.store.find_device(caller.device).await?.filter(|found| found.caller.account == caller.account);
    let Some(enrolled) = enrolled else { return Err(Error::NotSignedIn) };
    if enrolled.locked {
        return Err(Error::Locked);
    }
    signed_in(ctx, caller, &enrolled.key, now)
}

fn signed_in(ctx: &Ctx, caller: &Caller, key: &[u8; 32], now: Moment) -> Result<SignedIn, Error> {
    let who = PeerIdentity { account: caller.account.0, device: caller.device.0 };
    let certificate = ctx.authority.issue_device(key, &who, now.wall, CERTIFICATE_LIFE)?;
    let life_ms = i64::try_from(CERTIFICATE_LIFE.as_millis()).unwrap_or(0);
    Ok(SignedIn {
        account: caller.account,
        name: caller.name.clone(),
        device: caller.device,
        certificate: certificate.to_vec(),
        authority: ctx.authority.certificate().to_vec(),
        certificate_ends_ms: now.ms() + life_ms,
        grant_key: ctx.authority.grant_key().public(),
    })
}

fn check_invitation(registration: Registration, code: Option<&str>) -> Result<Option<[u8; 32]>, Error> {
    match registration {
        Registration::Open => Ok(None),
        Registration::Closed => Err(Error::RegistrationClosed),
        Registration::Invite => {
            let code = code.filter(|code| !code.is_empty()).ok_or(Error::InviteNeeded)?;
            let code = Code::parse(Kind::Invitation, code).map_err(|_| crate::store::StoreError::BadInvite)?;
            Ok(Some(code.hash()))
        }
    }
}

/// Checks a member's name.
pub(super) fn member_name(what: &str, name: &str) -> Result<MemberName, Error> {
    MemberName::parse(name).map_err(|error| Error::Name { what: what.to_owned(), error })
}

fn check_new_password(password: &str) -> Result<(), Error> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(Error::Bad(format!("the password has fewer than {PASSWORD_CHARS_MIN} characters")));
    }
    at_most_bytes("the password", password.len(), PASSWORD_BYTES_MAX)
}

/// Plausible, not valid: only a message that arrives proves an address.
fn check_email(email: &str) -> Result<(), Error> {
    at_most_bytes("the e-mail address", email.len(), EMAIL_BYTES_MAX)?;
    let plausible = email.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && !domain.is_empty()
            && !domain.contains('@')
            && !domain.starts_with('.')
            && !domain.ends_with('.')
    });
    if !plausible || email.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Error::Bad("the e-mail address does not look like one".to_owned()));
    }
    Ok(())
}

fn check_device(peer: &Peer, device: NewDevice) -> Result<DeviceKey, Error> {
    at_most_bytes("the device's label", device.label.len(), DEVICE_LABEL_BYTES_MAX)?;
    if !certs::verify(&device.key, &[ENROL_CONTEXT, &peer.exported].concat(), &device.proof) {
        return Err(Error::Bad("the proof of the device's key is wrong".to_owned()));
    }
    Ok(DeviceKey { id: DeviceId::of_key(&device.key), key: device.key, label: device.label })
}

fn at_most_bytes(what: &'static str, length: usize, most: usize) -> Result<(), Error> {
    if length > most { Err(Error::Bad(format!("{what} has more than {most} bytes"))) } else { Ok(()) }
}

pub(super) fn attempts(ctx: &Ctx) -> MutexGuard<'_, Attempts> {
    ctx.attempts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plausible_addresses_pass_and_others_do_not() {
        for good in ["a@b", "anna.b+c@example.org", "ünï@exämple.org"] {
            assert!(check_email(good).is_ok(), "{good}");
        }
        for bad in
            ["", "a", "@", "a@", "@b", "a@b@c", "a b@c", "a@.b", "a@b.", "a@b\n", &format!("{}@b", "a".repeat(300))]
        {
            assert!(check_email(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tracker_that_needs_an_invitation_says_so() {
        assert!(matches!(check_invitation(Registration::Invite, None), Err(Error::InviteNeeded)));
        assert!(matches!(
            check_invitation(Registration::Closed, Some("abcd-efgh-ijkl")),
            Err(Error::RegistrationClosed)
        ));
        assert!(matches!(check_invitation(Registration::Open, Some("nonsense")), Ok(None)));
        assert!(check_invitation(Registration::Invite, Some("abcd-efgh-ijkl")).unwrap().is_some());
    }
}
