//! `swapmeet get`: fetches and verifies files and folders.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use super::{
    context::{Context, Reply},
    engine,
    out::Out,
    progress::{Progress, ProgressFrom},
    record::TransferRecord,
    talk::{Ended, Outcome},
};
use crate::{
    engine::api::{self, Command, From, Target, TransferRow, Update},
    profile::Profile,
};

#[derive(Debug, Args)]
pub(super) struct Get {
    /// Ids, unique prefixes of at least 4 characters, MEMBER/path or links
    #[arg(required = true, value_name = "ID")]
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
            return self.into_stdout(context).await;
        }
        let target = target(self.output.as_deref(), self.items.len())?;
        if self.detach {
            // Makes sure that what we attach to goes on after us.
            engine::lasting(context).await?;
        }
        let mut progress = self.progress.start(&context.globals);
        let mut reply = context.call(Command::Get(self.command(target))).await?;
        let (transfers, ended) = follow(&mut reply, &mut progress).await;
        drop(progress);
        print(&mut context.out, transfers)?;
        ended
    }

    fn command(&self, target: Target) -> api::Get {
        let from = match self.from {
            Sources::Any => From::Any,
            Sources::Peer => From::Peer,
            Sources::Copy => From::Copy,
        };
        api::Get { items: self.items.clone(), target, from, detach: self.detach, wait: self.wait }
    }

    /// Fetches into a private folder, and hands on only bytes of complete, verified files.
    async fn into_stdout(self, context: &mut Context) -> Outcome {
        if self.detach {
            return Err(Ended::usage("stdout ends with this command", "leave out --detach, or name a folder"));
        }
        let spool = Spool::claim(&context.prepared_profile()?, &self.items)?;
        let mut progress = self.progress.start(&context.globals);
        let mut reply = context.call(Command::Get(self.command(Target::Folder(spool.folder.clone())))).await?;
        let (transfers, ended) = follow(&mut reply, &mut progress).await;
        drop(progress);
        ended?;
        if let Some(folder) = transfers.iter().find(|transfer| transfer.folder) {
            let name = super::out::clean(&folder.name);
            spool.remove()?;
            return Err(Ended::usage(
                format!("{name} is a folder, which is no stream of bytes"),
                "name one file of it",
            ));
        }
        for transfer in &transfers {
            send(&transfer.path, &mut context.out).await?;
        }
        context.out.flush()?;
        spool.remove()?;
        print(&mut Out::stderr(&context.globals), transfers)
    }
}

/// Follows a call to its end; returns the last that was heard of each transfer, in their order.
async fn follow(reply: &mut Reply, progress: &mut Progress) -> (Vec<TransferRow>, Outcome) {
    let mut transfers: Vec<TransferRow> = Vec::new();
    loop {
        match reply.next().await {
            Ok(None) => return (transfers, Ok(())),
            Err(ended) => return (transfers, Err(ended)),
            Ok(Some(Update::Transfer(transfer))) => {
                progress.transfer(&transfer);
                match transfers.iter_mut().find(|known| known.id == transfer.id) {
                    Some(known) => *known = *transfer,
                    None => transfers.push(*transfer),
                }
            }
            Ok(Some(_)) => (),
        }
    }
}

fn print(out: &mut Out, transfers: Vec<TransferRow>) -> Outcome {
    let mut table = out.table::<TransferRecord>();
    for transfer in transfers {
        table.push(&TransferRecord::from(transfer))?;
    }
    table.finish()
}

/// Where `-o` says that things go: a folder if it is one, ends like one, or has to take several things.
fn target(output: Option<&Path>, items: usize) -> Result<Target, Ended> {
    let Some(output) = output else { return Ok(Target::Downloads) };
    let absolute = std::path::absolute(output).map_err(|error| Ended::file("use", output, &error))?;
    let named_as_folder = output.as_os_str().as_encoded_bytes().ends_with(b"/");
    let is_folder = named_as_folder || absolute.is_dir();
    if !is_folder && items > 1 && absolute.exists() {
        return Err(Ended::usage("several things do not fit into one file", "name a folder with -o"));
    }
    Ok(if is_folder || items > 1 { Target::Folder(absolute) } else { Target::File(absolute) })
}

/// Copies a complete file to the output.
async fn send(path: &Path, out: &mut Out) -> Outcome {
    let failed = |error: io::Error| Ended::file("read", path, &error);
    let mut file = File::open(path).map_err(failed)?;
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match file.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(count) => out.bytes(&block[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(failed(error)),
        }
        tokio::task::yield_now().await;
    }
}

/// The private folder for what goes to stdout. Named by what is fetched, so that an interrupted fetch finds its partial
/// file again; locked, so that two commands do not take each other's.
struct Spool {
    folder: PathBuf,
    /// Held open: the lock ends with it.
    lock: File,
}

impl Spool {
    fn claim(profile: &Profile, items: &[String]) -> Result<Self, Ended> {
        let mut hasher = blake3::Hasher::new();
        for item in items {
            hasher.update(&(item.len() as u64).to_le_bytes()).update(item.as_bytes());
        }
        let folder = profile.state.join("stdout").join(&hasher.finalize().to_hex()[..16]);
        let failed = |error: io::Error| Ended::file("use", &folder, &error);
        loop {
            fs::create_dir_all(&folder).map_err(failed)?;
            let lock = File::open(&folder).map_err(failed)?;
            if lock.try_lock().is_err() {
                return Err(api::Failure::new(
                    api::FailureKind::Conflict,
                    "busy",
                    "another command is fetching the same thing to its stdout",
                    "wait for it, or fetch into a file",
                )
                .into());
            }
            // The one before us may have removed the folder between our two steps.
            let inode = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
            if fs::metadata(&folder).map(inode).ok() == lock.metadata().map(inode).ok() {
                return Ok(Self { folder, lock });
            }
        }
    }

    fn remove(self) -> Outcome {
        fs::remove_dir_all(&self.folder).map_err(|error| Ended::file("remove", &self.folder, &error))?;
        drop(self.lock);
        Ok(())
    }
}

/// Bytes handed on at a time.
const BLOCK_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
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

    #[test]
    fn two_commands_never_share_a_private_folder_and_it_leaves_nothing_behind() {
        let place = tempfile::tempdir().unwrap();
        let profile = Profile::locate(Some(place.path()), None).unwrap();
        let items = ["a".to_owned()];
        let first = Spool::claim(&profile, &items).unwrap();
        assert!(Spool::claim(&profile, &items).is_err());
        let other = Spool::claim(&profile, &["b".to_owned()]).unwrap();
        assert_ne!(first.folder, other.folder);
        fs::write(first.folder.join("f"), b"x").unwrap();
        let folder = first.folder.clone();
        first.remove().unwrap();
        assert!(!folder.exists());
        Spool::claim(&profile, &items).unwrap().remove().unwrap();
    }
}
