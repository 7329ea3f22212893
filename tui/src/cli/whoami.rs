//! `swapmeet whoami`: who is signed in on this device. Needs no tracker.

use super::{context::Context, record::AccountRecord, status, talk::Outcome};

pub(super) async fn run(context: &mut Context) -> Outcome {
    let account = context.status().await?.account.ok_or_else(status::signed_out)?;
    context.out.card(&AccountRecord::from(account))
}
