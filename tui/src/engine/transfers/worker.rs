//! One source of a large file at work: its task carries orders to a lane, and tells what comes of them.

use std::sync::Arc;

use shared::{
    content::{GroupSet, Layout},
    download::{SourceId, SourceKind},
    limits::SLICES_IN_FLIGHT_MAX,
    net::frame::ReceiveError,
    transfer::{
        lane::{Lane, LaneError, LaneEvent, Order},
        watch::heard,
    },
    wire::{Refusal, grant::SignedGrant, peer::Watch},
};
use tokio::sync::mpsc;

use super::{
    Transfer,
    source::{self, Opened, Source},
};
use crate::engine::{core::Core, peers, state::PlannedFile};

/// What a source's task tells.
#[derive(Debug)]
pub enum News {
    Joined {
        place: usize,
    },
    /// What the source has, in addition to what it said before; `None` is everything.
    Has(Option<GroupSet>),
    Event(LaneEvent),
    Ended(Ending),
}

/// How a source's task ended.
#[derive(Debug)]
pub enum Ending {
    Unreachable(String),
    Refused(Refusal),
    Lane(LaneError),
    Idle,
    /// It was relayed, and is reached directly now.
    Moved,
}

/// A source at work.
#[derive(Debug)]
pub struct Worker {
    pub source: Source,
    pub orders: mpsc::Sender<Order>,
    pub place: Option<usize>,
    /// What it has; `None` is everything.
    pub have: Option<GroupSet>,
}

impl Worker {
    /// A worker for this source, and what its task takes orders from: slices, and a grant in between.
    pub fn new(source: Source) -> (Self, mpsc::Receiver<Order>) {
        let (orders, orders_in) = mpsc::channel(SLICES_IN_FLIGHT_MAX * 2 + 1);
        let (_, have) = source.at_joining();
        (Self { source, orders, place: None, have }, orders_in)
    }
}

impl Source {
    /// What the download machine has to know when it joins: its kind, and what it has as far as is known by then.
    pub fn at_joining(&self) -> (SourceKind, Option<GroupSet>) {
        match self {
            Self::Peer(_) => (SourceKind::Peer, None),
            Self::Holder(_) => (SourceKind::Peer, Some(GroupSet::new())),
            Self::Copy => (SourceKind::Copy, None),
        }
    }
}

/// A source's task.
#[derive(Debug)]
pub struct Work {
    pub core: Arc<Core>,
    pub transfer: Arc<Transfer>,
    pub file: PlannedFile,
    pub layout: Layout,
    pub source: Source,
    pub grant: SignedGrant,
    pub id: SourceId,
    pub news: mpsc::Sender<(SourceId, News)>,
}

impl Work {
    /// Opens a lane and carries out orders until there are no more, or the lane ends.
    pub async fn run(self, orders: mpsc::Receiver<Order>) {
        if let Some(ending) = self.work(orders).await {
            self.tell(News::Ended(ending)).await;
        }
    }

    /// `false`: the transfer has ended.
    async fn tell(&self, news: News) -> bool {
        self.news.send((self.id, news)).await.is_ok()
    }

    /// `None`: nobody listens any more.
    async fn work(&self, mut orders: mpsc::Receiver<Order>) -> Option<Ending> {
        let opened = source::open(&self.core, &self.transfer, &self.source, self.file.file).await;
        let Opened { mut lane, place, mut better } = match opened {
            Ok(opened) => opened,
            Err(why) => return Some(Ending::Unreachable(why)),
        };
        if !self.tell(News::Joined { place }).await || !lane.order(Order::Grant(self.grant.clone())).await {
            return None;
        }
        let watching = self.watch();
        tokio::pin!(watching);
        let mut watches = matches!(self.source, Source::Holder(_));
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => {
                        if !lane.order(order).await {
                            return Some(ended(lane.outcome().await));
                        }
                    }
                    None => {
                        return self.drain(lane, Ending::Idle).await;
                    }
                },
                event = lane.event() => match event {
                    Some(event) => {
                        if !self.tell(News::Event(event)).await {
                            return None;
                        }
                    }
                    None => return Some(ended(lane.outcome().await)),
                },
                () = better.opened() => return self.drain(lane, Ending::Moved).await,
                watched = &mut watching, if watches => match watched {
                    Ok(()) => watches = false,
                    Err(why) => return Some(Ending::Unreachable(why)),
                },
            }
        }
    }

    /// Stops a lane. What was verified before still counts.
    async fn drain(&self, mut lane: Lane, ending: Ending) -> Option<Ending> {
        lane.stop();
        while let Some(event) = lane.event().await {
            if !self.tell(News::Event(event)).await {
                return None;
            }
        }
        Some(ending)
    }

    /// Hears what a source has that is still fetching the file itself, until it has all of it.
    async fn watch(&self) -> Result<(), String> {
        let Source::Holder(peer) = &self.source else { return Ok(()) };
        let connection = self.core.peers.live(&self.core, peer.device).ok_or("the connection is lost")?;
        let watch = Watch { grant: self.grant.clone(), blob: self.file.blob, size: self.file.size };
        let mut recv = peers::watch(&connection, watch).await.map_err(|error| error.to_string())?;
        loop {
            let has = heard(&mut recv, self.layout).await.map_err(|error| match error {
                ReceiveError::Reset(_) => "no longer has this file".to_owned(),
                other => other.to_string(),
            })?;
            let whole = has.is_none();
            if !self.tell(News::Has(has)).await || whole {
                return Ok(());
            }
        }
    }
}

fn ended(outcome: Result<(), LaneError>) -> Ending {
    match outcome {
        Ok(()) => Ending::Idle,
        Err(error) => Ending::Lane(error),
    }
}
