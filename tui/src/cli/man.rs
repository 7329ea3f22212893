//! `swapmeet man`: the manual page, of the program or of one command.

use clap::{Args, CommandFactory};

use super::{
    Cli,
    context::Context,
    talk::{Ended, Outcome},
};

#[derive(Debug, Args)]
pub(super) struct Man {
    /// A command; without it the program
    command: Option<String>,
}

impl Man {
    pub(super) fn run(self, context: &mut Context) -> Outcome {
        let mut program = Cli::command();
        program.build();
        let page = match &self.command {
            None => program,
            Some(name) => program
                .find_subcommand(name)
                .cloned()
                .ok_or_else(|| Ended::usage("there is no such command", "see swapmeet --help"))?,
        };
        let mut text = Vec::new();
        clap_mangen::Man::new(page).render(&mut text)?;
        context.out.bytes(&text)?;
        context.out.flush()
    }
}
