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
        let mut stage = Stage::empty(context.globals.verbose)?;
        let ended = tokio::select! {
            biased;
            ended = self.play(&mut stage, context) => ended,
            () = interrupt.first() => Err(Ended::interrupted()),
        };
        let closed = stage.close().await;
        ended.and(closed)
    }

    async fn play(self, stage: &mut Stage, context: &mut Context) -> Outcome {
        if self.headless {
            return headless::play(stage, &mut context.out).await;
        }
        context.talk.note("Starting a tracker and two members in a temporary place …");
        stage.open_tracker().await?;
        stage.open_members().await?;
        let mut life = life::begin(stage).await?;
        let client = stage.you()?.clone();
        tokio::select! {
            ended = screen::show(client, &context.globals) => ended,
            ended = life.go_on() => ended,
        }
    }
}
