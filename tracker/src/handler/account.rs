//! Greeting, registering, signing in and out.

use std::sync::{MutexGuard, PoisonError};

use certs::PeerIdentity;
use shared::{
    id::{AccountId, DeviceId},
    limits::{CERTIFICATE_LIFE, DEVICE_LABEL_BYTES_MAX, EMAIL_BYTES_MAX, PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN},
    name::MemberName,
    wire::{
        ENROL_CONTEXT, SIGN_IN_CONTEXT,
        tracker::{NewDevice, Register, Registration, SignInPassword, SignedIn, Welcome},
    },
};
use zeroize::Zeroizing;

use super::{Ctx, Error, Moment, PROGRAM, Peer};
use crate::{
    attempts::Attempts,
    invite::InviteCode,
    store::{Caller, DeviceKey, NewAccount},
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
    // A name that cannot exist is looked for like any other, so that it costs and says the same.
    let name_key =
        MemberName::parse(&request.name).map_or_else(|_| String::new(), |name| name.key().as_str().to_owned());
    let address = shared::reach::canonical(peer.address).ip();
    {
        let mut attempts = attempts(ctx);
        if let Some(wait) = attempts.wait(&name_key, address, now.instant) {
            return Err(Error::Wait { seconds: wait.as_secs() + 1 });
        }
        attempts.begin(&name_key, address, now.instant);
    }
    let login = ctx.store.find_login(&name_key).await?;
    let hash = login.as_ref().map(|login| login.password_hash.clone());
    let right = ctx.passwords.verify(password, hash).await?;
    let Some(login) = login.filter(|_| right) else {
        return Err(Error::WrongSignIn("the name or the password is wrong"));
    };
    attempts(ctx).succeeded(&name_key, address);
    if login.locked {
        return Err(Error::Locked);
    }
    let key = device.key;
    let caller = ctx.store.enrol_device(login.account, device, now.ms()).await?;
    let signed_in = signed_in(ctx, &caller, &key, now)?;
    Ok((caller, signed_in))
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
    let signed_in = signed_in(ctx, &enrolled.caller, &enrolled.key, now)?;
    Ok((enrolled.caller, signed_in))
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

/// Forgets the calling device.
///
/// # Errors
/// When the store fails.
pub async fn sign_out(ctx: &Ctx, caller: &Caller) -> Result<(), Error> {
    Ok(ctx.store.forget_device(caller.device).await?)
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
            let code = InviteCode::parse(code).map_err(|_| crate::store::StoreError::BadInvite)?;
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

fn attempts(ctx: &Ctx) -> MutexGuard<'_, Attempts> {
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
