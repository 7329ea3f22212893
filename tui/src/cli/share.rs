//! `swapmeet share`: publishes files and folders in place.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Component, Path, PathBuf},
};

use clap::{Args, ValueEnum};
use serde::Serialize;
use shared::wire::tracker::Audience;

use super::{
    context::Context,
    out::{Cell, Column, Record},
    progress::ProgressFrom,
    record::EntryRecord,
    secret::{Ask, PasswordFrom},
    talk::{Ended, Outcome},
};
use crate::{
    engine::api::{self, Command, Update},
    profile::Profile,
};

#[derive(Debug, Args)]
pub(super) struct Share {
    /// Files and folders; - reads stdin, and needs --as
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Name in the index instead of the file's own
    #[arg(long = "as", value_name = "NAME")]
    as_name: Option<String>,
    /// Who sees it: everyone, everyone but fetching needs consent, named people, or whoever has the link
    #[arg(long, value_enum, value_name = "LEVEL")]
    visibility: Option<Level>,
    /// Members that may see and fetch it; means --visibility people
    #[arg(long, value_name = "MEMBER,…", value_delimiter = ',')]
    to: Vec<String>,
    /// Encrypt it with a password, which is asked for: everywhere else is only what is encrypted
    #[arg(long)]
    protect: bool,
    #[command(flatten)]
    password: PasswordFrom,
    /// A remark that others see
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Also leave a copy on the tracker, and wait until it is there
    #[arg(long)]
    copy: bool,
    /// Only say what would be shared
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    progress: ProgressFrom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Level {
    Public,
    Ask,
    People,
    Hidden,
}

impl Share {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        if self.as_name.is_some() && self.paths.len() > 1 {
            return Err(Ended::usage("--as names one path, and there are several", "share them one by one"));
        }
        let audience = audience(self.visibility, self.to)?;
        let from_stdin = self.paths.iter().any(|path| path.as_os_str() == "-");
        if from_stdin && self.protect && self.password.is_stdin() {
            return Err(Ended::usage("stdin cannot hold both a password and a file", "set SWAPMEET_PASSWORD_CMD"));
        }
        let protect = match self.protect && !self.dry_run {
            true => Some(self.password.get(&context.globals, Ask::Twice).await?),
            false => None,
        };
        if protect.as_ref().is_some_and(|password| password.0.is_empty()) {
            return Err(Ended::usage("an empty password protects nothing", "choose one"));
        }
        let mut paths = Vec::with_capacity(self.paths.len());
        for path in self.paths {
            paths.push(match path.as_os_str().to_str() {
                Some("-") => spooled_stdin(context.prepared_profile()?, self.as_name.clone(), self.dry_run).await?,
                _ => in_place(&path)?,
            });
        }
        let share = api::Share {
            paths,
            as_name: self.as_name,
            audience,
            note: self.note,
            copy: self.copy,
            dry_run: self.dry_run,
            protect,
        };
        print_shared(context, share, &self.progress).await
    }
}

async fn print_shared(context: &mut Context, share: api::Share, progress: &ProgressFrom) -> Outcome {
    let mut progress = progress.start(&context.globals);
    let dry_run = share.dry_run;
    let mut reply = context.call(Command::Share(share)).await?;
    let mut total = TotalRecord::default();
    let mut table = context.out.table::<EntryRecord>();
    while let Some(update) = reply.next().await? {
        match update {
            Update::Hashing(hashing) => {
                progress.hashing(&hashing);
                total = TotalRecord { files: hashing.files, size: hashing.bytes };
            }
            Update::File(file) => table.push(&EntryRecord::from(file))?,
            Update::Folder(folder) => table.push(&EntryRecord::from(folder))?,
            _ => (),
        }
    }
    drop(progress);
    table.finish()?;
    if dry_run { context.out.card(&total) } else { Ok(()) }
}

/// What a share would come to.
#[derive(Debug, Default, Serialize)]
struct TotalRecord {
    files: u64,
    size: u64,
}

impl Record for TotalRecord {
    fn kind(&self) -> &'static str {
        "dry_run"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[Column::text("FILES"), Column::text("SIZE")];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        vec![Cell::Count(self.files), Cell::Bytes(self.size)]
    }
}

/// Who shall see what is shared, as options say it.
pub(super) fn audience(visibility: Option<Level>, to: Vec<String>) -> Result<Option<Audience>, Ended> {
    match (visibility, to.is_empty()) {
        (None, true) => Ok(None),
        (None | Some(Level::People), false) => Ok(Some(Audience::People(to))),
        (Some(Level::People), true) => Err(Ended::usage("--visibility people needs the people", "name them with --to")),
        (Some(_), false) => Err(Ended::usage("--to goes with --visibility people only", "leave one of the two out")),
        (Some(Level::Public), true) => Ok(Some(Audience::Public)),
        (Some(Level::Ask), true) => Ok(Some(Audience::Ask)),
        (Some(Level::Hidden), true) => Ok(Some(Audience::Hidden)),
    }
}

/// The absolute path of something that exists. Its last component stays what it is: whether a link may be shared is not
/// decided here.
pub(super) fn in_place(path: &Path) -> Result<PathBuf, Ended> {
    let failed = |error: io::Error| Ended::file("share", path, &error);
    fs::symlink_metadata(path).map_err(failed)?;
    let absolute = std::path::absolute(path).map_err(failed)?;
    match (absolute.parent(), absolute.components().next_back()) {
        (Some(parent), Some(Component::Normal(name))) => Ok(parent.canonicalize().map_err(failed)?.join(name)),
        _ => absolute.canonicalize().map_err(failed),
    }
}

/// Keeps what comes in on stdin as a file of the profile, which can then be shared in place like any other.
async fn spooled_stdin(profile: Profile, name: Option<String>, dry_run: bool) -> Result<PathBuf, Ended> {
    let name = name.ok_or_else(|| Ended::usage("what comes from stdin needs a name", "add --as NAME"))?;
    let mut components = Path::new(&name).components();
    let (Some(Component::Normal(only)), None) = (components.next(), components.next()) else {
        return Err(Ended::usage("--as takes one plain name here", "a name without / that is not . or .."));
    };
    let folder = profile.state.join("stdin");
    let target = folder.join(only);
    let spool = move || {
        fs::create_dir_all(&folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&folder)?;
        copy_blocks(&mut io::stdin().lock(), file.as_file_mut())?;
        file.as_file().sync_all()?;
        file.persist(&target).map_err(|error| error.error)?;
        File::open(&folder)?.sync_all()?;
        Ok(target)
    };
    if dry_run {
        return Err(Ended::usage("--dry-run cannot look into stdin", "name a file"));
    }
    let spooled = tokio::task::spawn_blocking(spool).await;
    let spooled = spooled.map_err(|error| Ended::unexpected("stdin", error.to_string()))?;
    spooled
        .map_err(|error: io::Error| Ended::unexpected("stdin", format!("could not keep what came from stdin: {error}")))
}

fn copy_blocks(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match from.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&block[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
}

/// Bytes read from stdin at a time.
const BLOCK_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn naming_people_means_people() {
        let people = vec!["bob".to_owned()];
        assert_eq!(audience(None, people.clone()).unwrap(), Some(Audience::People(people.clone())));
        assert_eq!(audience(Some(Level::People), people.clone()).unwrap(), Some(Audience::People(people.clone())));
        assert!(audience(Some(Level::Public), people).is_err());
        assert!(audience(Some(Level::People), Vec::new()).is_err());
        assert_eq!(audience(None, Vec::new()).unwrap(), None);
    }

    #[test]
    fn a_link_is_not_followed_and_a_folder_may_be_named_in_any_way() {
        let place = tempfile::tempdir().unwrap();
        let real = place.path().canonicalize().unwrap();
        fs::create_dir(real.join("folder")).unwrap();
        fs::write(real.join("file"), b"x").unwrap();
        std::os::unix::fs::symlink(real.join("file"), real.join("link")).unwrap();
        assert_eq!(in_place(&real.join("link")).unwrap(), real.join("link"));
        assert_eq!(in_place(&real.join("folder/")).unwrap(), real.join("folder"));
        assert_eq!(in_place(&real.join("folder/..")).unwrap(), real);
        assert_eq!(in_place(&real.join("folder/../file")).unwrap(), real.join("file"));
        assert!(in_place(&real.join("absent")).is_err());
    }
}
