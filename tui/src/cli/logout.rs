//! `swapmeet logout`: forgets the account on this device.

use super::{context::Context, record::AccountRecord, talk::Outcome};
use crate::engine::api::Command;

pub(super) async fn run(context: &mut Context) -> Outcome {
    context.ask(Command::Logout).await?;
    context.talk.note("signed out");
    context.out.card(&AccountRecord::default())
}
