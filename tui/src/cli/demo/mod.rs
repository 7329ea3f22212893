//! `swapmeet demo`: a tracker and two lively members in a temporary place, and the screen signed in beside them.
//!
//! Nothing is played: the tracker is the real one, alice and bob are engines in processes of their own, and bytes go
//! over QUIC between them. Everything is gone afterwards, however it ends.

mod headless;
mod life;
mod member;
mod samples;
mod stage;

use std::io::{self, IsTerminal};

use clap::Args;

use self::stage::Stage;
use super::{
    context::Context,
    screen,
    talk::{Ended, Outcome},
};

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Without a screen: shares, direct fetch, owner goes away, fall back to the copy; checks every byte
    #[arg(long)]
    headless: bool,
}

impl Demo {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let has_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        if !(self.headless || has_terminal) {
            return Err(Ended::usage("there is no terminal for the screen", "swapmeet demo --headless needs none"));
        }
        let interrupt = context.interrupt.clone();
        interrupt.be_patient();
        // What is logged to stderr would land on the screen.
        let mut stage = Stage::empty(if self.headless { context.globals.verbose } else { 0 })?;
        let prepared = tokio::select! {
            biased;
            prepared = self.prepare(&mut stage, context) => prepared,
            () = interrupt.first() => Err(Ended::interrupted()),
        };
        let ended = match prepared {
            Ok(()) if !self.headless => look_on(&stage, context).await,
            prepared => prepared,
        };
        let closed = stage.close().await;
        ended.and(closed)
    }

    /// Without a screen this is all there is.
    async fn prepare(&self, stage: &mut Stage, context: &mut Context) -> Outcome {
        if self.headless {
            return headless::play(stage, &mut context.out).await;
        }
        context.talk.note("Starting a tracker and two members in a temporary place …");
        stage.open_tracker().await?;
        stage.open_members().await?;
        life::share_what_there_is(stage).await
    }
}

/// Shows the screen, which leaves by itself when it is told to, while alice and bob go on living.
async fn look_on(stage: &Stage, context: &Context) -> Outcome {
    let mut life = life::begin(stage)?;
    tokio::select! {
        ended = screen::show(stage.you()?.clone(), &context.globals, false) => ended.map(|_| ()),
        never = life.go_on() => match never {},
    }
}
