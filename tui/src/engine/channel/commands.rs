//! What faces ask about private channels.

use std::sync::Arc;

use shared::{
    id::ItemId,
    limits::CHANNEL_TEXT_BYTES_MAX,
    wire::inbox::{ItemEntry, What},
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    meet,
    talk::{Asked, Wish},
};
use crate::engine::{
    api::{ChannelCommand, ChannelLineRow, Failure, FailureKind, Update},
    core::Core,
    dispatch::Out,
    failure, inbox,
};

/// Carries out one command.
pub(in crate::engine) async fn carry_out(core: &Arc<Core>, command: ChannelCommand, out: &Out) -> Result<(), Failure> {
    match command {
        ChannelCommand::Open { id, member, life_s } => {
            let id: ItemId = id.parse().map_err(|_| bad_id())?;
            hold(
                core,
                out,
                |core, out, leave| async move { meet::invite(&core, id, &member, life_s, &out, &leave).await },
            )
            .await
        }
        ChannelCommand::Join { item } => {
            let item = invitation(core, &item).await?;
            hold(core, out, |core, out, leave| async move { meet::join(&core, &item, &out, &leave).await }).await
        }
        ChannelCommand::Say { channel, text } => {
            let text = worth_saying(&text)?;
            wish(core, &channel, |asked| Wish::Say(text, asked), out).await
        }
        ChannelCommand::Offer { channel, path } => wish(core, &channel, |asked| Wish::Offer(path, asked), out).await,
        ChannelCommand::Take { channel, number, target } => {
            wish(core, &channel, |asked| Wish::Take(number, target, asked), out).await
        }
        ChannelCommand::Leave { channel } => core.channels.room(&channel, |room| {
            room.leave.cancel();
            Some(())
        }),
    }
}

/// Runs a channel in a task of its own, which can still say goodbye when the face is gone.
async fn hold<F: Future<Output = Result<(), Failure>> + Send + 'static>(
    core: &Arc<Core>,
    out: &Out,
    run: impl FnOnce(Arc<Core>, Out, CancellationToken) -> F,
) -> Result<(), Failure> {
    let leave = CancellationToken::new();
    let _left = leave.clone().drop_guard();
    let running = run(core.clone(), out.clone(), leave);
    let (ended, end) = oneshot::channel();
    core.peers.spawn(async move {
        // Nobody waits for it where the face is gone.
        let _gone = ended.send(running.await);
    });
    end.await.unwrap_or_else(|_| Err(failure::unexpected("a private channel ended abnormally")))
}

async fn wish(core: &Core, channel: &str, make: impl FnOnce(Asked) -> Wish, out: &Out) -> Result<(), Failure> {
    let wishes = core.channels.room(channel, |room| room.wishes.clone())?;
    let (asked, answer) = oneshot::channel();
    let over = || Failure::new(FailureKind::NotFound, "no_channel", "the private channel is over", "");
    wishes.send(make(asked)).await.map_err(|_| over())?;
    let line: ChannelLineRow = answer.await.map_err(|_| over())??;
    out.send(Update::ChannelLine(Box::new(line))).await
}

/// The invitation that somebody means.
async fn invitation(core: &Core, text: &str) -> Result<ItemEntry, Failure> {
    let item = inbox::find(core, text).await?;
    if item.what != What::Channel || Some(item.from) == core.my_id() {
        let message = "this is no invitation to a private channel";
        return Err(Failure::new(FailureKind::Usage, "no_invitation", message, "`swapmeet inbox` shows what waits"));
    }
    Ok(item)
}

/// What may be said: text of a bounded length, without the space around it.
fn worth_saying(text: &str) -> Result<String, Failure> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Failure::new(FailureKind::Usage, "empty", "there is nothing to say", "write something"));
    }
    if text.len() > CHANNEL_TEXT_BYTES_MAX {
        let message = format!("a line in a channel may have {CHANNEL_TEXT_BYTES_MAX} bytes; this has {}", text.len());
        return Err(Failure::new(FailureKind::Usage, "too_long", message, "offer it as a file"));
    }
    Ok(text.to_owned())
}

fn bad_id() -> Failure {
    Failure::new(FailureKind::Usage, "bad_id", "the id of a channel has 32 hexadecimal digits", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_text_and_not_too_long() {
        assert_eq!(worth_saying(" hello \n").unwrap(), "hello");
        assert_eq!(worth_saying(" \n").unwrap_err().code, "empty");
        assert_eq!(worth_saying(&"x".repeat(CHANNEL_TEXT_BYTES_MAX + 1)).unwrap_err().code, "too_long");
    }
}
