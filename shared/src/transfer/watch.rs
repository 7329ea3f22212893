//! How far a source is with a blob that it is still fetching itself: told at once, then whenever it has more.

use std::sync::Arc;

use quinn::RecvStream;
use tokio::time::sleep;

use super::{
    content::{Catalog, Held},
    serve::Gate,
};
use crate::{
    content::{GroupSet, Layout},
    limits::{HAVE_NEWS, HAVE_RANGES_MAX, PEER_FRAME_BYTES_MAX},
    net::{
        Outgoing,
        frame::{self, ReceiveError, SendError},
    },
    wire::{
        Code,
        peer::{Having, Watch},
    },
};

/// Tells the other end what is here of a blob, until all of it is or either end stops. Dropping the future resets the
/// stream.
pub async fn tell(mut send: Outgoing, gate: &Gate, catalog: Arc<dyn Catalog>, watch: Watch) {
    if !gate.allows(&*catalog, &watch.grant, &watch.blob) {
        return send.reset(Code::Forbidden);
    }
    match tell_growth(&mut send, &*catalog, &watch).await {
        Ok(()) => send.finish(),
        Err(Ended::Gone) => send.reset(Code::NotFound),
        Err(Ended::Send(error)) => {
            tracing::debug!(%error, "who watched a blob left");
            send.reset(Code::Cancelled);
        }
    }
}

enum Ended {
    Gone,
    Send(SendError),
}

impl From<SendError> for Ended {
    fn from(error: SendError) -> Self {
        Self::Send(error)
    }
}

async fn tell_growth(send: &mut Outgoing, catalog: &dyn Catalog, watch: &Watch) -> Result<(), Ended> {
    let mut told = GroupSet::new();
    loop {
        let arriving = match catalog.having(&watch.blob).ok_or(Ended::Gone)? {
            Held::Whole => return say(send, &Having::Whole).await,
            Held::Arriving(arriving) => arriving,
        };
        let mut growth = {
            let Some(partial) = arriving.upgrade() else { return Err(Ended::Gone) };
            // What comes after this look is heard of.
            let growth = partial.growth();
            let mut news = partial.have();
            news.subtract(&told);
            told.extend(&news);
            drop(partial);
            for groups in news.to_wire().chunks(HAVE_RANGES_MAX) {
                say(send, &Having::Groups { groups: groups.to_vec() }).await?;
            }
            growth
        };
        tokio::select! {
            // It ends with the download; then it is here whole, or gone.
            _ended = growth.changed() => {}
            stopped = send.stopped() => {
                let code = stopped.ok().flatten().and_then(|number| Code::from_number(number.into_inner()));
                return Err(SendError::Stopped(code).into());
            }
        }
        // Many small steps are one message.
        sleep(HAVE_NEWS).await;
    }
}

async fn say(send: &mut Outgoing, having: &Having) -> Result<(), Ended> {
    Ok(frame::send(send, having, PEER_FRAME_BYTES_MAX).await?)
}

/// The next thing that a source tells of what it has; `None` when it has all. Not safe to cancel.
///
/// # Errors
/// When it does not serve the blob, or no longer, or tells nonsense.
pub async fn heard(recv: &mut RecvStream, layout: Layout) -> Result<Option<GroupSet>, ReceiveError> {
    match frame::receive(recv, PEER_FRAME_BYTES_MAX).await? {
        Having::Whole => Ok(None),
        Having::Groups { groups } => {
            // Groups that are none are nothing that it has.
            Ok(Some(GroupSet::from_wire(&groups, layout.groups()).unwrap_or_default()))
        }
    }
}
