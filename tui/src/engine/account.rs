//! The account of this device: registering, signing in and out, password, recovery code, devices, invitations.

use std::sync::Arc;

use shared::{
    id::DeviceId,
    wire::{
        account::{DeviceEntry, InviteEntry, Recover},
        tracker::{Answer, NewDevice, Password, Register, Request, SignInPassword, SignedIn},
    },
};

use super::{
    api::{AccountCommand, DeviceRow, Devices, Failure, FailureKind, InviteRow, NoticeLevel, Secret, Update},
    chat,
    core::{Core, now_ms},
    dispatch::Out,
    failure,
    link::TrackerLink,
    session::{self, SavedAccount},
};

/// A new account, and a recovery code for it.
pub(super) async fn register(core: &Arc<Core>, new: NewAccount, out: &Out) -> Result<(), Failure> {
    let NewAccount { tracker, name, password, email, invite } = new;
    let link: TrackerLink = tracker.parse()?;
    let invite = invite.or_else(|| link.invite.clone());
    let shown = Password(password.0.clone());
    enrol(core, &link, out, |device| {
        Request::Register(Register { name, password: Password(password.0), email, invite, device })
    })
    .await?;
    first_code(core, shown, out).await
}

/// What registering takes.
pub(super) struct NewAccount {
    pub(super) tracker: String,
    pub(super) name: String,
    pub(super) password: Secret,
    pub(super) email: Option<String>,
    pub(super) invite: Option<String>,
}

/// Signs this device in to an account.
pub(super) async fn login(
    core: &Arc<Core>,
    tracker: &str,
    name: String,
    password: Secret,
    out: &Out,
) -> Result<(), Failure> {
    enrol(core, &tracker.parse()?, out, |device| {
        Request::SignInPassword(SignInPassword { name, password: Password(password.0), device })
    })
    .await
}

/// Signs this device in to an account by its recovery code, which is used up, and gives it a new password and code.
pub(super) async fn recover(
    core: &Arc<Core>,
    tracker: &str,
    name: String,
    (code, password): (Secret, Secret),
    out: &Out,
) -> Result<(), Failure> {
    let shown = Password(password.0.clone());
    enrol(core, &tracker.parse()?, out, |device| {
        Request::Recover(Recover { name, code: Password(code.0), password: Password(password.0), device })
    })
    .await?;
    first_code(core, shown, out).await
}

/// Registers or signs in, remembers the account and connects with it.
async fn enrol(
    core: &Arc<Core>,
    link: &TrackerLink,
    out: &Out,
    request: impl FnOnce(NewDevice) -> Request,
) -> Result<(), Failure> {
    let greeted = session::dial(core, link).await?;
    let device = session::new_device(core, &greeted.connection)?;
    let answer = session::ask(&greeted.connection, &request(device)).await;
    let Answer::SignedIn(SignedIn { account, name, device, .. }) = answer? else {
        return Err(failure::bad_answer());
    };
    // Before this device is gone again, perhaps for weeks: others can leave messages for it from now on.
    if let Err(failure) = chat::publish_key(core, &greeted.connection).await {
        tracing::warn!(%failure, "the key for messages could not be told; it will be at the next connection");
    }
    greeted.connection.close(0u32.into(), b"bye");
    let account = SavedAccount { tracker: link.text(), id: account, name, device };
    let before: Option<SavedAccount> = core.state.setting("account").await.map_err(failure::unexpected)?;
    if before.is_some_and(|before| before.id != account.id) {
        forget(core).await?;
    }
    core.state.set("account", &account).await.map_err(failure::unexpected)?;
    core.session.restart();
    core.session.online().await?;
    out.send(Update::Account(Some(core.account_row(&account)))).await
}

/// The recovery code of an account that has none. The account is there by now: without a code it is there too.
async fn first_code(core: &Arc<Core>, password: Password, out: &Out) -> Result<(), Failure> {
    match core.session.ask(&Request::NewRecovery { password }).await {
        Ok(Answer::Recovery { code }) => out.send(Update::Recovery(Secret(code.0))).await,
        Ok(_) => Err(failure::bad_answer()),
        Err(failure) => {
            let text = format!("there is no recovery code yet: {}", failure.message);
            core.hub.notice(NoticeLevel::Warning, &text, "`swapmeet password --recovery` makes one");
            Ok(())
        }
    }
}

/// Forgets the account here and this device on the tracker.
pub(super) async fn logout(core: &Arc<Core>) -> Result<(), Failure> {
    core.account().await?;
    // Where the tracker is away it keeps the device; here the account goes in any case.
    let told = match core.session.online().await {
        Ok(online) => session::ask(&online.connection, &Request::SignOut).await.map(|_| ()),
        Err(failure) => Err(failure),
    };
    forget(core).await?;
    core.session.restart();
    match told {
        Err(failure) if failure.kind == FailureKind::Unreachable => {
            tracing::warn!("signed out here; the tracker still knows this device");
            Ok(())
        }
        // It was signed out from elsewhere before: what was wanted is so.
        Err(failure) if failure.kind == FailureKind::SignIn => Ok(()),
        other => other,
    }
}

/// Forgets what belongs to the account that was signed in here.
async fn forget(core: &Core) -> Result<(), Failure> {
    let _gate = core.wishes.gate.lock().await;
    core.state.forget_account().await.map_err(failure::unexpected)?;
    core.wishes.forget();
    super::inbox::forget(core);
    super::channel::forget(core);
    Ok(())
}

/// What concerns the account that is signed in.
pub(super) async fn carry_out(core: &Arc<Core>, command: AccountCommand, out: &Out) -> Result<(), Failure> {
    let password = |secret: Secret| Password(secret.0);
    match command {
        AccountCommand::Password { old, new } => {
            done(core, &Request::ChangePassword { old: password(old), new: password(new) }).await
        }
        AccountCommand::Email { password: secret, email } => {
            done(core, &Request::ChangeEmail { password: password(secret), email }).await
        }
        AccountCommand::Recovery { password: secret } => {
            let request = Request::NewRecovery { password: password(secret) };
            let Answer::Recovery { code } = core.session.ask(&request).await? else {
                return Err(failure::bad_answer());
            };
            out.send(Update::Recovery(Secret(code.0))).await
        }
        AccountCommand::Devices => {
            for device in devices(core).await? {
                out.send(Update::Device(row(core, device))).await?;
            }
            Ok(())
        }
        AccountCommand::Revoke(which) => {
            let devices = named(core, devices(core).await?, &which)?;
            let Answer::Count(count) = core.session.ask(&Request::RevokeDevices { devices }).await? else {
                return Err(failure::bad_answer());
            };
            out.send(Update::Count(count)).await
        }
        AccountCommand::Invite { uses, life_s } => {
            let ends_ms = life_s.map(|life| now_ms().saturating_add_unsigned(life.saturating_mul(1000)));
            let Answer::Invited { code, invite } = core.session.ask(&Request::Invite { uses, ends_ms }).await? else {
                return Err(failure::bad_answer());
            };
            let link: TrackerLink = core.account().await?.tracker.parse()?;
            let link = TrackerLink { invite: Some(code.0.clone()), ..link }.with_invite();
            let row = InviteRow { code: Some(Secret(code.0)), link: Some(Secret(link)), ..invite_row(invite) };
            out.send(Update::Invite(row)).await
        }
        AccountCommand::Invites => {
            let Answer::Invites { invites } = core.session.ask(&Request::Invites).await? else {
                return Err(failure::bad_answer());
            };
            for invite in invites {
                out.send(Update::Invite(invite_row(invite))).await?;
            }
            Ok(())
        }
        AccountCommand::RevokeInvite { code } => match core.session.ask(&Request::RevokeInvite { code }).await? {
            Answer::Count(_) => Ok(()),
            _ => Err(failure::bad_answer()),
        },
    }
}

async fn done(core: &Core, request: &Request) -> Result<(), Failure> {
    match core.session.ask(request).await? {
        Answer::Done => Ok(()),
        _ => Err(failure::bad_answer()),
    }
}

async fn devices(core: &Core) -> Result<Vec<DeviceEntry>, Failure> {
    match core.session.ask(&Request::Devices).await? {
        Answer::Devices { devices } => Ok(devices),
        _ => Err(failure::bad_answer()),
    }
}

fn row(core: &Core, device: DeviceEntry) -> DeviceRow {
    DeviceRow {
        id: device.device,
        label: device.label,
        here: device.device == core.device(),
        online: device.online,
        enrolled_ms: device.enrolled_ms,
        last_seen_ms: device.last_seen_ms,
    }
}

fn invite_row(invite: InviteEntry) -> InviteRow {
    InviteRow { hint: invite.hint, code: None, link: None, uses_left: invite.uses_left, ends_ms: invite.ends_ms }
}

/// The devices that somebody named.
fn named(core: &Core, devices: Vec<DeviceEntry>, which: &Devices) -> Result<Vec<DeviceId>, Failure> {
    let names = match which {
        Devices::Others => {
            let others = devices.into_iter().map(|device| device.device).filter(|device| *device != core.device());
            return Ok(others.collect());
        }
        Devices::Named(names) => names,
    };
    let one = |name: &String| {
        let by_id = devices.iter().filter(|device| name.len() >= 4 && device.device.to_string().starts_with(name));
        let by_label = devices.iter().filter(|device| device.label == *name);
        let mut found: Vec<DeviceId> = by_id.chain(by_label).map(|device| device.device).collect();
        found.dedup();
        match found[..] {
            [device] => Ok(device),
            [] => Err(no_device(name, "is no device of this account")),
            _ => Err(no_device(name, "is the name of several devices")),
        }
    };
    names.iter().map(one).collect()
}

fn no_device(name: &str, what: &str) -> Failure {
    let name = shared::show::show_line(name, 80);
    let hint = "`swapmeet devices` shows them; name one by its id";
    Failure::new(FailureKind::NotFound, "no_device", format!("'{name}' {what}"), hint)
}
