//! Files in a channel: read and hashed where they are offered, fetched and verified where they are taken. They move on
//! fetch streams like all others; the offering device gives them to the other one by its own word.

use std::{
    fs::File,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use shared::{
    content::Layout,
    limits::{CHANNEL_PROGRESS, NAME_BYTES_MAX},
    name::FileName,
    show::show_line,
    transfer::{
        content::{Content, FileContent},
        fetch::{FetchError, fetch_blob},
        hash::hash_file,
        jail::{Folder, Jail, Stamp, finish_metadata, open_shared},
        lane::Lane,
        partial::{BootId, Partial, PartialFiles},
    },
    wire::{channel::ChannelFile, peer::Open, tracker::PeerSource},
};
use tokio::{sync::mpsc, time::interval};

use super::talk::Asked;
use crate::engine::{
    api::{Direction, Failure, FailureKind, PathKind, Target},
    core::Core,
    failure,
    limits::Party,
    reach::streams::{self, Opened, Route},
    transfers::{PART_SUFFIX, land, work::jail_failure},
};

/// What happened to a file, as its task tells.
#[derive(Debug)]
pub(super) enum News {
    /// It may be offered, or why not.
    Read(Result<Ready, Failure>, Asked),
    /// So many bytes of the file of this line are here.
    Grew(u64, u64),
    /// The file of this line lies at its place, or why not.
    Landed(u64, Result<PathBuf, Failure>),
}

/// A file that is read and hashed.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) file: ChannelFile,
    pub(super) content: Arc<dyn Content>,
}

/// Ends the hashing of a file that is no longer wanted.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reads a file that is to be offered. Its hash tree lies in a file without a name below `scratch`, and is gone with the
/// channel.
pub(super) async fn read(path: PathBuf, scratch: PathBuf) -> Result<Ready, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let _stops = StopOnDrop(stop.clone());
    let reading = tokio::task::spawn_blocking(move || read_now(&path, &scratch, &stop));
    reading.await.unwrap_or_else(|error| Err(failure::unexpected(error)))
}

fn read_now(path: &Path, scratch: &Path, stop: &AtomicBool) -> Result<Ready, Failure> {
    let shown = show_line(&path.to_string_lossy(), 200);
    let unreadable = |error: &dyn std::fmt::Display| {
        let message = format!("{shown} cannot be offered: {error}");
        Failure::new(FailureKind::NotFound, "unreadable", message, "offer a regular file that can be read")
    };
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| unreadable(&"it has no name in UTF-8"))?;
    FileName::parse(name).map_err(|error| unreadable(&error))?;
    let (data, stamp) = open_shared(path, None).map_err(|error| unreadable(&error))?;
    let layout = Layout::new(stamp.size).map_err(|error| unreadable(&error))?;
    let tree = unnamed(scratch).map_err(failure::unexpected)?;
    let hashed = hash_file(&data, stamp.size, Some(&tree), &AtomicU64::new(0), stop);
    let blob = hashed.map_err(|error| unreadable(&error))?;
    if Stamp::of(&data).map_err(|error| unreadable(&error))? != stamp {
        return Err(unreadable(&"it changed while it was read"));
    }
    let mode = data.metadata().map_err(|error| unreadable(&error))?.permissions().mode();
    let file = ChannelFile {
        name: name.to_owned(),
        blob,
        size: stamp.size,
        modified_ms: stamp.modified_ns.div_euclid(1_000_000),
        executable: mode & 0o111 != 0,
    };
    Ok(Ready { file, content: Arc::new(FileContent::new(layout, data, stamp, tree)) })
}

/// A file that nobody else can open, and that is gone when it is closed.
fn unnamed(folder: &Path) -> io::Result<File> {
    let path = folder.join(format!("channel-{:016x}", rand::random::<u64>()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// A file that is fetched.
#[derive(Debug)]
pub(super) struct Taking {
    pub(super) core: Arc<Core>,
    /// Whose it is.
    pub(super) peer: PeerSource,
    /// Its line.
    pub(super) number: u64,
    pub(super) file: ChannelFile,
    pub(super) target: Target,
    pub(super) news: mpsc::Sender<News>,
}

impl Taking {
    /// Fetches it to its place, and tells how that goes.
    pub(super) async fn run(self) {
        let landed = self.fetch().await;
        if landed.is_ok() {
            self.core.add_exchanged(self.peer.account, self.file.size, 0).await;
        }
        // A channel that is over wants it no more.
        let _over = self.news.send(News::Landed(self.number, landed)).await;
    }

    async fn fetch(&self) -> Result<PathBuf, Failure> {
        let (folder, name) = self.place()?;
        let (file, scratch) = (self.file.clone(), self.core.profile.state.clone());
        let (partial, part) = on_disk(move || Part::begin(&folder, &name, &file, &scratch)).await?;
        let partial = Arc::new(partial);
        if !partial.is_complete() {
            self.fill(&partial).await?;
        }
        let file = self.file.clone();
        on_disk(move || part.publish(&partial, &file)).await
    }

    /// The folder that it goes into, and its name there.
    fn place(&self) -> Result<(PathBuf, String), Failure> {
        match &self.target {
            Target::Downloads => Ok((self.core.profile.downloads.clone(), self.file.name.clone())),
            Target::Folder(folder) => Ok((folder.clone(), self.file.name.clone())),
            Target::File(path) => {
                let name = path.file_name().and_then(|name| name.to_str());
                let (Some(folder), Some(name)) = (path.parent(), name) else {
                    return Err(Failure::new(FailureKind::Usage, "bad_place", "that is no place for a file", ""));
                };
                Ok((folder.to_owned(), name.to_owned()))
            }
            Target::Stream => {
                let message = "a file of a channel cannot be read while it arrives";
                Err(Failure::new(FailureKind::Usage, "no_stream", message, "take it into a folder"))
            }
        }
    }

    async fn fill(&self, partial: &Arc<Partial>) -> Result<(), Failure> {
        let peer = &self.peer;
        let broken = |why: &dyn std::fmt::Display| {
            let message = format!("the file could not be fetched: {why}");
            Failure::new(FailureKind::Transfer, "not_fetched", message, "take it again while the channel is open")
        };
        let Opened { send, recv, route } =
            streams::open(&self.core, peer, &Open::Fetch).await.map_err(|why| broken(&why))?;
        let lan = match &route {
            Route::Direct(connection) => self.core.peers.path_kind(peer.device, connection) == PathKind::Lan,
            Route::Relayed { .. } => false,
        };
        let pace = self.core.limits.pace(Direction::Down, Party::Member(peer.account), lan);
        let mut fetching = std::pin::pin!(fetch_blob(Lane::start_paced(send, recv, pace), partial.clone()));
        let mut look = interval(CHANNEL_PROGRESS);
        let mut told = 0;
        let ended = loop {
            tokio::select! {
                ended = &mut fetching => break ended,
                _ = look.tick() => {
                    let done = partial.have_bytes();
                    if done > told {
                        self.core.hub.down.fetch_add(done - told, Ordering::Relaxed);
                        told = done;
                        // Where much else is told, this is told again soon.
                        let _busy = self.news.try_send(News::Grew(self.number, done));
                    }
                }
            }
        };
        self.core.hub.down.fetch_add(partial.have_bytes() - told, Ordering::Relaxed);
        match ended {
            Ok(()) => Ok(()),
            Err(FetchError::Refused(refusal)) => Err(failure::refused(&refusal)),
            Err(error) => Err(broken(&error)),
        }
    }
}

/// A file that is arriving. Dropped before it is published, it leaves nothing behind.
struct Part {
    folder: Folder,
    part: String,
    name: String,
    published: bool,
}

impl Part {
    fn begin(root: &Path, name: &str, file: &ChannelFile, scratch: &Path) -> Result<(Partial, Self), Failure> {
        FileName::parse(name).map_err(|error| failure::unexpected(format!("{name:?}: {error}")))?;
        let folder = Jail::open(root).map_err(jail_failure)?.root();
        let free = folder.free_bytes().map_err(jail_failure)?;
        if free < file.size {
            let message = format!("{} bytes are needed and {free} are free", file.size);
            return Err(Failure::new(
                FailureKind::Transfer,
                "disk_full",
                message,
                "make room or choose another folder",
            ));
        }
        let layout = Layout::new(file.size).map_err(failure::unexpected)?;
        let part = part_name(name);
        let data = folder.create_new(&part, 0o666).map_err(jail_failure)?;
        let this = Self { folder, part, name: name.to_owned(), published: false };
        let side = || unnamed(scratch).map_err(failure::unexpected);
        let files = PartialFiles { data, tree: side()?, log: side()? };
        let (partial, _) = Partial::open(layout, file.blob, files, BootId::current()).map_err(failure::unexpected)?;
        Ok((partial, this))
    }

    /// Makes it durable and gives it its name.
    fn publish(mut self, partial: &Partial, file: &ChannelFile) -> Result<PathBuf, Failure> {
        if let Err(error) = finish_metadata(partial.data(), file.modified_ms, file.executable) {
            // Some file systems hold neither times nor modes; the content matters more.
            tracing::info!(%error, "the file keeps no modification time or mode here");
        }
        partial.data().sync_all().map_err(failure::unexpected)?;
        let name = land::publish(&self.folder, &self.part, &self.folder, &self.name).map_err(jail_failure)?;
        self.published = true;
        self.folder.sync().map_err(jail_failure)?;
        Ok(self.folder.path().join(name))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = self.folder.remove(&self.part)
        {
            tracing::warn!(%error, "a part of a file of a channel was left behind");
        }
    }
}

/// `name.1a2b3c4d.swapmeet-part`, within what a file system holds; another one each time.
fn part_name(name: &str) -> String {
    let tail = format!(".{:08x}{PART_SUFFIX}", rand::random::<u32>());
    let mut end = name.len().min(NAME_BYTES_MAX - tail.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{tail}", &name[..end])
}

async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(failure::unexpected(error)))
}
