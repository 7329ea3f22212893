//! Sources of files: found through the tracker, reached, and spoken to over lanes.

use std::{sync::Arc, time::Instant};

use shared::{
    id::{AccountId, DeviceId, FileId},
    limits::{COPY_AFTER, GRANT_BLOBS_MAX, GRANT_RENEW, REQUEST_BYTES_MAX, SERVED_STREAMS_MAX, SMALL_FILE_BYTES_MAX},
    net::{Outgoing, frame},
    transfer::{lane::Lane, pace::Pace},
    wire::{
        grant::SignedGrant,
        tracker::{Answer, FileDetail, FoundFile, Located, LocatedFile, PeerSource, Request},
    },
};
use tokio::time::timeout;

use super::{
    Halt, Transfer,
    row::SENDING,
    way::{self, Better, Way},
};
use crate::engine::{
    api::{Direction, From, PathKind, SourceKind, TransferSource},
    core::Core,
    failure,
    limits::Party,
    peers::path_of,
    state::PlannedFile,
};

/// Someone to fetch from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A device that shares it.
    Peer(PeerSource),
    /// A device that holds some of it, such as one that is fetching it too.
    Holder(PeerSource),
    Copy,
}

/// What the tracker says about some files.
#[derive(Debug)]
pub struct Sources {
    pub grant: SignedGrant,
    pub peers: Vec<PeerSource>,
    pub files: Vec<LocatedFile>,
}

impl Source {
    /// What makes two of them the same.
    pub fn device(&self) -> Option<DeviceId> {
        match self {
            Self::Peer(peer) | Self::Holder(peer) => Some(peer.device),
            Self::Copy => None,
        }
    }

    /// The member behind it.
    pub fn account(&self) -> Option<AccountId> {
        match self {
            Self::Peer(peer) | Self::Holder(peer) => Some(peer.account),
            Self::Copy => None,
        }
    }

    /// For people.
    pub fn name(&self) -> String {
        match self {
            Self::Peer(peer) | Self::Holder(peer) => shared::show::show_line(&peer.member, 40),
            Self::Copy => "the tracker's copy".to_owned(),
        }
    }

    /// Its row before anything came from it.
    pub fn row(&self, path: PathKind, rtt_ms: Option<u32>, doing: &str) -> TransferSource {
        TransferSource {
            member: match self {
                Self::Peer(peer) | Self::Holder(peer) => Some(peer.member.clone()),
                Self::Copy => None,
            },
            device: self.device(),
            kind: match self {
                Self::Peer(_) | Self::Holder(_) => SourceKind::Peer,
                Self::Copy => SourceKind::Copy,
            },
            path,
            bytes: 0,
            speed: 0,
            rtt_ms,
            doing: doing.to_owned(),
            queue: None,
        }
    }
}

/// Asks the tracker who has these files, at most as many as one grant names.
pub async fn locate(core: &Core, files: Vec<FileId>) -> Result<Sources, Halt> {
    let asked = files.len();
    let answer = core.session.ask(&Request::Locate { files }).await?;
    match answer {
        Answer::Located(Located { peers, files, grant }) if files.len() == asked => {
            core.relays.located(&peers);
            Ok(Sources { grant, peers, files })
        }
        _ => Err(Halt::from(failure::bad_answer())),
    }
}

/// Whether a device is by now somewhere else than where the open connection to it leads, as after a restart.
pub fn has_moved(core: &Core, peer: &PeerSource) -> bool {
    core.peers.has_moved(core, peer)
}

/// Asks about any number of files; the answers in their order.
pub async fn locate_all(core: &Core, files: &[FileId]) -> Result<Vec<Sources>, Halt> {
    let mut known = Vec::new();
    for part in files.chunks(GRANT_BLOBS_MAX) {
        known.push(locate(core, part.to_vec()).await?);
    }
    Ok(known)
}

/// What the tracker said about files before their turn came.
#[derive(Debug)]
pub struct Ahead {
    asked: Instant,
    known: Vec<Sources>,
}

impl Ahead {
    /// Asks about files whose turn comes soon. `None`: it did not work; then they are asked about when it comes.
    pub async fn ask(core: &Core, files: &[FileId]) -> Option<Self> {
        let asked = Instant::now();
        if files.is_empty() {
            return None;
        }
        let known = locate_all(core, files).await.ok()?;
        Some(Self { asked, known })
    }

    /// The same for the first files of a transfer that begins at once; the way to who has them is made meanwhile.
    pub async fn prepare(core: &Arc<Core>, files: &[PlannedFile], from: From) -> Option<Self> {
        let small = files.iter().filter(|file| file.size <= SMALL_FILE_BYTES_MAX);
        let first: Vec<FileId> = small.take(GRANT_BLOBS_MAX).map(|file| file.file).collect();
        // Whoever asked for the transfer waits.
        let ahead = timeout(COPY_AFTER, Self::ask(core, &first)).await.ok()??;
        let peer = ahead.known.iter().flat_map(|known| &known.peers).find(|peer| peer.device != core.device());
        if let (Some(peer), true) = (peer.cloned(), from != From::Copy) {
            let core = core.clone();
            tokio::spawn(async move {
                if let Err(error) = core.peers.connect(&core, &peer).await {
                    tracing::debug!(device = %peer.device, %error, "not reached ahead of a transfer");
                }
            });
        }
        Some(ahead)
    }

    /// What it holds, if that is about exactly these files and not near its end.
    pub fn about(self, files: &[PlannedFile]) -> Option<Vec<Sources>> {
        let told = self.known.iter().flat_map(|known| &known.files).map(LocatedFile::file);
        let fits = self.asked.elapsed() < GRANT_RENEW && told.eq(files.iter().map(|file| file.file));
        fits.then_some(self.known)
    }
}

/// A file of a transfer whose content in the index is another by now, as it is there.
pub async fn renewed(core: &Core, file: &PlannedFile) -> Result<PlannedFile, Halt> {
    let answer = core.session.ask(&Request::Inspect { file: file.file }).await?;
    let Answer::Detail(FileDetail { entry, .. }) = answer else { return Err(Halt::from(failure::bad_answer())) };
    Ok(PlannedFile {
        blob: entry.blob,
        size: entry.size,
        modified_ms: entry.modified_ms,
        executable: entry.executable,
        protected: entry.protected,
        ..file.clone()
    })
}

impl Sources {
    /// The sources of one located file that the plan allows: members first, this device itself never. Whether the copy has
    /// failed decides if members are asked where UDP is blocked: there they are relayed, which costs the tracker's line
    /// twice what its copy does.
    pub fn of(&self, core: &Core, found: FoundFile<'_>, from: From, copy_failed: bool) -> Vec<Source> {
        let mut sources = Vec::new();
        let copy = found.copy && from != From::Peer;
        if from != From::Copy && (!copy || copy_failed || core.session.reaches_members()) {
            let devices = |places: &[u16]| -> Vec<PeerSource> {
                let devices = places.iter().filter_map(|place| self.peers.get(usize::from(*place)));
                devices.filter(|peer| peer.device != core.device()).take(SERVED_STREAMS_MAX).cloned().collect()
            };
            sources.extend(devices(found.peers).into_iter().map(Source::Peer));
            sources.extend(devices(found.holders).into_iter().map(Source::Holder));
        }
        if copy {
            sources.push(Source::Copy);
        }
        sources
    }
}

/// A lane to a source.
#[derive(Debug)]
pub struct Opened {
    pub lane: Lane,
    /// Where its bytes are counted.
    pub place: usize,
    /// The way that it shall take instead.
    pub better: Better,
}

/// A lane to a source with how it is reached, or why it is not, for people. `file`: one that it is asked for.
pub async fn open(core: &Arc<Core>, transfer: &Transfer, source: &Source, file: FileId) -> Result<Opened, String> {
    let place = transfer.add_source(source.row(PathKind::Direct, None, "connecting"));
    let opened = async {
        match source {
            Source::Peer(peer) | Source::Holder(peer) => way::to(core, peer, file).await,
            Source::Copy => {
                let online = core.session.online().await.map_err(|failure| failure.message)?;
                let lan = path_of(&online.connection, false) == PathKind::Lan;
                let pace = core.limits.pace(Direction::Down, Party::Tracker, lan);
                let lane = copy_lane(&online.connection, pace).await?;
                let rtt_ms = u32::try_from(online.connection.rtt().as_millis()).ok();
                Ok(Way { lane, path: PathKind::Copy, rtt_ms, better: Better::default(), why: String::new() })
            }
        }
    };
    match opened.await {
        Ok(Way { lane, path, rtt_ms, better, why }) => {
            if path == PathKind::Relay {
                transfer.log(&format!("{}: relayed by the tracker, which cannot read it ({why})", source.name()));
            }
            transfer.add_source(source.row(path, rtt_ms, SENDING));
            Ok(Opened { lane, place, better })
        }
        Err::<_, String>(why) => {
            transfer.source_does(place, &why);
            Err(why)
        }
    }
}

async fn copy_lane(connection: &quinn::Connection, pace: Arc<dyn Pace>) -> Result<Lane, String> {
    let (send, recv) = connection.open_bi().await.map_err(|error| error.to_string())?;
    let mut send = Outgoing::new(send);
    frame::send(&mut send, &Request::Fetch, REQUEST_BYTES_MAX).await.map_err(|error| error.to_string())?;
    Ok(Lane::start_paced(send, recv, pace))
}
