//! `swapmeet` without a command: the full-screen client.

use std::{env, time::Duration};

use shared::limits::AWAY_AFTER;

use super::{
    Globals,
    context::Context,
    span,
    talk::{Ended, Outcome, use_color},
};
use crate::{
    app::notices::Notices,
    engine::{
        api::Command,
        client::{Client, engine_gone},
    },
    screen::{self, ScreenEnd, ScreenError, ScreenOptions},
};

pub(super) async fn run(context: &mut Context) -> Outcome {
    let interrupt = context.interrupt.clone();
    // What is logged to stderr would land on the screen.
    context.globals.verbose = 0;
    let client = tokio::select! {
        biased;
        client = context.client() => client?,
        () = interrupt.first() => return Err(Ended::interrupted()),
    };
    // The screen leaves by itself when it is told to, and gives the terminal back first.
    interrupt.be_patient();
    let engine_is_separate = context.is_attached();
    let end = show(client.clone(), &context.globals, engine_is_separate).await?;
    if let Some(farewell) = end.farewell() {
        context.talk.note(&farewell);
    }
    if engine_is_separate && end.stop_engine {
        return match client.ask(Command::Stop).await {
            Ok(_) => Ok(()),
            // It may be gone before its answer arrived.
            Err(failure) if failure.code == engine_gone().code => Ok(()),
            Err(failure) => Err(failure.into()),
        };
    }
    Ok(())
}

/// Time without a key press after which nobody counts as here; zero: never.
fn away_after() -> Result<Duration, Ended> {
    match env::var(AWAY_AFTER_VARIABLE) {
        Ok(text) if text == "0" => Ok(Duration::ZERO),
        Ok(text) if !text.is_empty() => {
            span::parse(&text).map_err(|error| Ended::usage(format!("{AWAY_AFTER_VARIABLE}: {error}"), "0 means never"))
        }
        Ok(_) | Err(_) => Ok(AWAY_AFTER),
    }
}

/// The variable that says after what time.
pub(super) const AWAY_AFTER_VARIABLE: &str = "SWAPMEET_AWAY_AFTER";

/// How somebody is told who does not look; not at all unless asked for.
fn notices() -> Result<Notices, Ended> {
    let text = env::var(NOTICES_VARIABLE).unwrap_or_default();
    Notices::parse(&text).map_err(|name| {
        Ended::usage(
            format!("{NOTICES_VARIABLE}: {name:?} is not known"),
            "write bell, osc9, osc777 or osc99, several with commas",
        )
    })
}

/// The variable that says how.
pub(super) const NOTICES_VARIABLE: &str = "SWAPMEET_NOTICES";

/// Shows the screen until it is left. The terminal is given back before this returns.
pub(super) async fn show(client: Client, globals: &Globals, engine_is_separate: bool) -> Result<ScreenEnd, Ended> {
    let options = ScreenOptions {
        ascii: globals.ascii,
        color: use_color(globals.color, true),
        engine_is_separate,
        tracker_hint: env::var("SWAPMEET_TRACKER").ok(),
        account_hint: None,
        away_after: away_after()?,
        notices: notices()?,
    };
    screen::run(client, options).await.map_err(|error| match &error {
        ScreenError::Terminal(cause) => Ended::unexpected("terminal", format!("{error}: {cause}")),
        ScreenError::Panicked => Ended::unexpected("screen", error.to_string()),
    })
}
