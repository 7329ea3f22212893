//! The task of one source of a large file: takes orders to its lane, and tells what happens there.

use std::sync::Arc;

use shared::{
    download::SourceId,
    id::FileId,
    transfer::lane::{Lane, LaneError, LaneEvent, Order},
    wire::{Refusal, grant::SignedGrant},
};
use tokio::sync::mpsc;

use super::{
    Transfer,
    source::{self, Opened, Source},
    way::Better,
};
use crate::engine::core::Core;

/// What a source's task tells.
#[derive(Debug)]
pub enum News {
    Joined { place: usize },
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

/// What a source's task works with.
#[derive(Debug)]
pub struct Task {
    pub core: Arc<Core>,
    pub transfer: Arc<Transfer>,
    pub source: Source,
    pub file: FileId,
    pub grant: SignedGrant,
    pub orders: mpsc::Receiver<Order>,
    pub id: SourceId,
    pub news: mpsc::Sender<(SourceId, News)>,
}

/// The transfer has ended, and so does this task.
struct Over;

impl Task {
    /// Works until the lane or the orders end.
    pub async fn run(mut self) {
        let ending = match source::open(&self.core, &self.transfer, &self.source, self.file).await {
            Err(why) => Ending::Unreachable(why),
            Ok(Opened { lane, place, better }) => {
                let Ok(ending) = self.work(lane, place, better).await else { return };
                ending
            }
        };
        let _transfer_over = self.tell(News::Ended(ending)).await;
    }

    async fn work(&mut self, mut lane: Lane, place: usize, mut better: Better) -> Result<Ending, Over> {
        self.tell(News::Joined { place }).await?;
        if !lane.order(Order::Grant(self.grant.clone())).await {
            return Err(Over);
        }
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => {
                        if !lane.order(order).await {
                            return Ok(ended(lane.outcome().await));
                        }
                    }
                    None => {
                        self.stop(lane).await?;
                        return Ok(Ending::Idle);
                    }
                },
                event = lane.event() => match event {
                    Some(event) => self.tell(News::Event(event)).await?,
                    None => return Ok(ended(lane.outcome().await)),
                },
                () = better.opened() => {
                    self.stop(lane).await?;
                    return Ok(Ending::Moved);
                }
            }
        }
    }

    /// What was verified before it stopped still counts.
    async fn stop(&self, mut lane: Lane) -> Result<(), Over> {
        lane.stop();
        while let Some(event) = lane.event().await {
            self.tell(News::Event(event)).await?;
        }
        Ok(())
    }

    async fn tell(&self, news: News) -> Result<(), Over> {
        self.news.send((self.id, news)).await.map_err(|_| Over)
    }
}

fn ended(outcome: Result<(), LaneError>) -> Ending {
    match outcome {
        Ok(()) => Ending::Idle,
        Err(error) => Ending::Lane(error),
    }
}
