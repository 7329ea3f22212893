//! `swapmeet get`: fetches and verifies files and folders.

mod stream;
mod unlock;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use self::unlock::Unlocking;
use super::{
    context::{Context, Reply},
    engine,
    out::Out,
    progress::{Progress, ProgressFrom},
    record::TransferRecord,
    secret::PasswordFrom,
    talk::{Ended, Outcome},
};
use crate::engine::api::{self, Command, From, ItemRow, Target, TransferRow, Update};

#[derive(Debug, Args)]
pub(super) struct Get {
    /// Ids, unique prefixes of at least 4 characters, MEMBER/path or links
    #[arg(required_unless_present = "repair", value_name = "ID")]
    items: Vec<String>,
    /// Where to put it: a folder, a file, or - for stdout
    #[arg(short, long, value_name = "DIR or FILE or -")]
    output: Option<PathBuf>,
    /// Which sources may serve
    #[arg(long, value_enum, value_name = "SOURCE", default_value_t)]
    from: Sources,
    /// Only queue it; the engine goes on in the background
    #[arg(long, conflicts_with = "wait")]
    detach: bool,
    /// Wait for a source where there is none
    #[arg(long)]
    wait: bool,
    /// Repair this file in its place: only what is wrong in it is fetched, and its damaged form stays beside it. ID may
    /// be left out for a file that was fetched or is shared here
    #[arg(long, value_name = "PATH", conflicts_with_all = ["output", "detach"])]
    repair: Option<PathBuf>,
    /// Leave a protected file encrypted, as NAME.age, which the `age` tool opens
    #[arg(long, conflicts_with = "repair")]
    raw: bool,
    #[command(flatten)]
    password: PasswordFrom,
    #[command(flatten)]
    progress: ProgressFrom,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Sources {
    Peer,
    Copy,
    #[default]
    Any,
}

impl Get {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        if self.output.as_deref() == Some(Path::new("-")) {
            return stream::run(&self, context).await;
        }
        let target = match &self.repair {
            Some(_) if self.items.len() > 1 => {
                return Err(Ended::usage("one file is repaired at a time", "name one ID"));
            }
            Some(path) => Target::File(std::path::absolute(path).map_err(|error| Ended::file("use", path, &error))?),
            None => target(self.output.as_deref(), self.items.len())?,
        };
        if self.detach {
            // Makes sure that what we attach to goes on after us.
            engine::lasting(context).await?;
        }
        let mut progress = self.progress.start(&context.globals);
        let command = Command::Get(self.command(target));
        let mut unlocking = Unlocking::new(&self.password);
        let (transfers, ended) = loop {
            let mut reply = context.call(command.clone()).await?;
            let (transfers, _, ended) = follow(&mut reply, &mut progress).await;
            match ended {
                Err(ended) if unlocking.helps(&ended) => unlocking.unlock(context, &self.items, !self.raw).await?,
                ended => break (transfers, ended),
            }
        };
        drop(progress);
        print(&mut context.out, transfers)?;
        ended
    }

    fn command(&self, target: Target) -> api::Get {
        let from = self.sources();
        api::Get {
            items: self.items.clone(),
            target,
            from,
            detach: self.detach,
            wait: self.wait,
            repair: self.repair.is_some(),
            raw: self.raw,
        }
    }

    const fn sources(&self) -> From {
        match self.from {
            Sources::Any => From::Any,
            Sources::Peer => From::Peer,
            Sources::Copy => From::Copy,
        }
    }
}

/// Follows a call to its end; returns the last that was heard of each transfer, in their order, and the inbox items.
pub(super) async fn follow(reply: &mut Reply, progress: &mut Progress) -> (Vec<TransferRow>, Vec<ItemRow>, Outcome) {
    let mut transfers: Vec<TransferRow> = Vec::new();
    let mut items = Vec::new();
    loop {
        match reply.next().await {
            Ok(None) => return (transfers, items, Ok(())),
            Err(ended) => return (transfers, items, Err(ended)),
            Ok(Some(Update::Transfer(transfer))) => {
                progress.transfer(&transfer);
                match transfers.iter_mut().find(|known| known.id == transfer.id) {
                    Some(known) => *known = *transfer,
                    None => transfers.push(*transfer),
                }
            }
            Ok(Some(Update::Item(item))) => items.push(*item),
            Ok(Some(_)) => (),
        }
    }
}

pub(super) fn print(out: &mut Out, transfers: Vec<TransferRow>) -> Outcome {
    let mut table = out.table::<TransferRecord>();
    for transfer in transfers {
        table.push(&TransferRecord::from(transfer))?;
    }
    table.finish()
}

/// Where `-o` says that things go: a folder if it is one, ends like one, or has to take several things.
pub(super) fn target(output: Option<&Path>, items: usize) -> Result<Target, Ended> {
    let Some(output) = output else { return Ok(Target::Downloads) };
    let absolute = std::path::absolute(output).map_err(|error| Ended::file("use", output, &error))?;
    let named_as_folder = output.as_os_str().as_encoded_bytes().ends_with(b"/");
    let is_folder = named_as_folder || absolute.is_dir();
    if !is_folder && items > 1 && absolute.exists() {
        return Err(Ended::usage("several things do not fit into one file", "name a folder with -o"));
    }
    Ok(if is_folder || items > 1 { Target::Folder(absolute) } else { Target::File(absolute) })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_slash_or_a_folder_that_is_there_takes_things_under_their_own_names() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let new = place.path().join("new");
        assert_eq!(target(None, 1).unwrap(), Target::Downloads);
        assert_eq!(target(Some(&folder), 1).unwrap(), Target::Folder(folder.clone()));
        assert_eq!(target(Some(&new.join("")), 1).unwrap(), Target::Folder(new.join("")));
        assert_eq!(target(Some(&new), 1).unwrap(), Target::File(new.clone()));
        assert_eq!(target(Some(&new), 2).unwrap(), Target::Folder(new.clone()));
        fs::write(&new, b"x").unwrap();
        assert!(target(Some(&new), 2).is_err());
    }
}
