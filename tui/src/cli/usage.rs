//! What happens when the command line cannot be parsed, or asks for help or the version.

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{
    out,
    talk::{self, say},
};
use crate::engine::api::{Failure, FailureKind};

/// Prints what clap has to say, in the form that was asked for, and returns the exit code.
pub(super) fn report(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // A reader that closed the pipe has seen enough.
        let _closed = write!(io::stdout(), "{}", error.render());
        return ExitCode::SUCCESS;
    }
    if wants_json(arguments) {
        say(&talk::error_json(&failure(error)));
    } else {
        // Where stderr is closed there is nobody to tell.
        let _closed = error.print();
    }
    ExitCode::from(FailureKind::Usage.exit_code())
}

/// Says what there is to run, where nothing was named and there is no terminal for the screen.
pub(super) fn no_command(program: &clap::Command, json: bool) -> ExitCode {
    if json {
        let message = "a command is needed: there is no terminal for the screen";
        say(&talk::error_json(&Failure::new(FailureKind::Usage, "usage", message, "see swapmeet --help")));
    } else {
        say(program.clone().render_help().to_string().trim_end());
    }
    ExitCode::from(FailureKind::Usage.exit_code())
}

/// Whether `--json` stands among the options. What stands after `--` is data.
fn wants_json(arguments: &[OsString]) -> bool {
    arguments.iter().skip(1).take_while(|argument| *argument != "--").any(|argument| argument == "--json")
}

fn failure(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let first = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect::<Vec<_>>().join(" ");
    let message = out::clean(first.strip_prefix("error: ").unwrap_or(&first));
    let hint = match error.get(ContextKind::SuggestedSubcommand).or_else(|| error.get(ContextKind::SuggestedArg)) {
        Some(ContextValue::String(similar)) => format!("did you mean {similar}?"),
        Some(ContextValue::Strings(similar)) if !similar.is_empty() => {
            format!("did you mean {}?", similar.join(" or "))
        }
        _ => "see swapmeet --help".to_owned(),
    };
    let message = if message.is_empty() { "a command is needed".to_owned() } else { message };
    Failure::new(FailureKind::Usage, "usage", message, hint)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Sample {
        #[arg(long)]
        json: bool,
        count: u8,
    }

    #[test]
    fn json_is_noticed_wherever_an_option_may_stand() {
        let line = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert!(wants_json(&line("swapmeet --json nonsense")));
        assert!(wants_json(&line("swapmeet get --json")));
        assert!(!wants_json(&line("swapmeet get -- --json")));
        assert!(!wants_json(&line("swapmeet get")));
    }

    #[test]
    fn a_usage_error_becomes_one_sentence_and_a_hint() {
        let failure = failure(&Sample::try_parse_from(["swapmeet", "--jsan", "1"]).unwrap_err());
        assert_eq!(failure.kind.exit_code(), 2);
        assert_eq!(failure.message, "unexpected argument '--jsan' found");
        assert_eq!(failure.hint, "did you mean --json?");
    }

    #[test]
    fn a_missing_argument_is_named() {
        let failure = failure(&Sample::try_parse_from(["swapmeet"]).unwrap_err());
        assert!(failure.message.contains("<COUNT>"), "{}", failure.message);
    }
}
