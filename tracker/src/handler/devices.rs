//! The devices of an account: listed, and signed out wherever they are.

use std::time::Duration;

use shared::{
    id::DeviceId,
    limits::{CERTIFICATE_LIFE, DEVICES_PER_ACCOUNT_MAX, REVOKED_TOLD_MAX},
    wire::{account::DeviceEntry, tracker::Event},
};

use super::{Ctx, Error, Moment, at_most};
use crate::store::{Caller, StoreError};

/// The caller's enrolled devices, the calling one first.
///
/// # Errors
/// When the store fails.
pub async fn devices(ctx: &Ctx, caller: &Caller) -> Result<Vec<DeviceEntry>, Error> {
    let mut devices = ctx.store.devices(caller).await?;
    for device in &mut devices {
        device.online = ctx.roster.is_online(device.device);
    }
    devices.sort_by_key(|device| device.device != caller.device);
    Ok(devices)
}

/// Signs out devices of the caller's account: their connections to the tracker end, and other members are told to let go
/// of them. The calling device's own connection is left to the caller. Gives those that were enrolled.
///
/// # Errors
/// When there are too many, or the store fails.
pub async fn revoke(ctx: &Ctx, caller: &Caller, devices: &[DeviceId], now: Moment) -> Result<Vec<DeviceId>, Error> {
    at_most("devices", devices.len(), DEVICES_PER_ACCOUNT_MAX)?;
    let revoked = ctx.store.revoke_devices(caller, devices, now.ms()).await?;
    for device in revoked.iter().filter(|device| **device != caller.device) {
        ctx.live.sign_out(*device);
    }
    if !revoked.is_empty() {
        ctx.roster.revoked();
    }
    Ok(revoked)
}

/// The devices whose certificates no longer count though they have not ended.
///
/// # Errors
/// When the store fails.
pub async fn revoked(store: &dyn crate::store::Store, now_ms: i64) -> Result<Event, StoreError> {
    let devices = store.revoked_devices(now_ms - millis(CERTIFICATE_LIFE)).await?;
    debug_assert!(devices.len() <= REVOKED_TOLD_MAX);
    Ok(Event::DevicesRevoked { devices })
}

/// Ends the sessions of connected devices that administration has locked or removed while the tracker runs.
///
/// # Errors
/// When the store fails.
pub async fn enforce(ctx: &Ctx) -> Result<(), StoreError> {
    let connected = ctx.roster.devices();
    for part in connected.chunks(REVOKED_TOLD_MAX) {
        let enrolled = ctx.store.enrolled_among(part).await?;
        let enrolled: std::collections::BTreeSet<_> = enrolled.into_iter().collect();
        for device in part.iter().filter(|device| !enrolled.contains(device)) {
            ctx.live.sign_out(*device);
        }
    }
    ctx.roster.revoked();
    Ok(())
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
