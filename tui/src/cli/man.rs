//! `swapmeet man`: the manual page, of the program or of one command.

use clap::{Args, CommandFactory};

use super::{
    Cli,
    context::Context,
    talk::{Ended, Outcome},
};
use crate::app::keys::rows;

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
        if self.command.is_none() {
            text.extend_from_slice(key_section().as_bytes());
        }
        context.out.bytes(&text)?;
        context.out.flush()
    }
}

/// The key table of the screen as a section of the page.
fn key_section() -> String {
    let mut section = ".SH KEYS\n".to_owned();
    let mut place = "";
    for row in rows().into_iter().filter(|row| !row.keys.is_empty()) {
        if row.context != place {
            place = row.context;
            section.push_str(&format!(".SS {}\n", roff(place)));
        }
        let keys: Vec<String> = row.keys.iter().map(|key| roff(key)).collect();
        section.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", keys.join(" "), roff(row.sentence)));
    }
    section
}

/// Text that stands for itself on a page, also at the start of a line.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if escaped.starts_with('.') { format!("\\&{escaped}") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_stands_on_the_page() {
        let section = key_section();
        for row in rows() {
            assert!(row.keys.iter().all(|key| section.contains(&roff(key))), "{row:?}");
        }
        assert!(!section.lines().any(|line| line == "."));
    }
}
