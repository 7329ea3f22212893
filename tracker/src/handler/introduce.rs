//! Brings devices together that cannot dial each other.

use std::{net::SocketAddr, sync::PoisonError, time::Duration};

use shared::{
    id::DeviceId,
    reach::{canonical, mapping},
    wire::{
        Code, Refusal,
        reach::{Attempt, Introduction, Mapping, ProbeAnswer, ProbeRequest, Rendezvous, Token, Way},
        tracker::{Answer, Event},
    },
};
use tokio::sync::oneshot;

use super::{Ctx, Error, Moment, people};
use crate::{
    events::Target,
    introduce::{self, Arrival, Side},
    presence::ConnectionNo,
    store::Caller,
};

/// What a device needs at the second port.
#[must_use]
pub fn ticket(ctx: &Ctx, caller: &Caller, connection: ConnectionNo) -> Answer {
    let ticket: Token = rand::random();
    ctx.roster.expect_probe(caller.device, connection, ticket);
    Answer::Ticket { port: ctx.probe_port, ticket }
}

/// Introduces the asker to a device.
///
/// # Errors
/// When the device is not there or hidden from the asker, it was asked for too often, or theory denies it.
pub async fn introduce(
    ctx: &Ctx,
    caller: &Caller,
    device: DeviceId,
    attempt: Attempt,
    now: Moment,
) -> Result<Answer, Error> {
    if device == caller.device {
        return Err(Error::Bad("a device meets itself always".to_owned()));
    }
    let one = side(ctx, caller.device).ok_or(Error::NotSignedIn)?;
    let other = side(ctx, device).ok_or(Error::NotFound("device online"))?;
    if !people::may_meet(ctx, caller, device).await? {
        return Err(Error::NotFound("device online"));
    }
    let counted = lock(&ctx.pace).count(caller.device, device, now.instant);
    counted.map_err(|rest| Error::IntroducedTooOften { seconds: rest.as_secs() + 1 })?;
    let (here, there) = introduce::plan(&one, &other)?;
    let (here, there) = match attempt {
        Attempt::First => (Way::Here(here), Way::Here(there)),
        Attempt::FreshSockets => {
            let (token, token_there): (Token, Token) = (rand::random(), rand::random());
            if ctx.probe_port.is_none() || !lock(&ctx.meetings).arrange((token, one), (token_there, other), now.instant)
            {
                return Err(Error::Unsupported("this tracker arranges no meetings from fresh sockets now"));
            }
            (Way::FreshSockets { token }, Way::FreshSockets { token: token_there })
        }
    };
    let told = Introduction { device: caller.device, way: there };
    ctx.events.send(Target::Device(device), Event::Introduced(told));
    Ok(Answer::Introduced(Introduction { device, way: here }))
}

/// What is known of a connected device.
pub(super) fn side(ctx: &Ctx, device: DeviceId) -> Option<Side> {
    let session = ctx.roster.session(device)?;
    let main = canonical(ctx.live.observed(device)?);
    let other = session.seen.other.filter(|other| other.is_ipv4() != main.is_ipv4());
    Some(Side {
        device,
        seen: std::iter::once(main).chain(other).collect(),
        announced: session.announced,
        // Of a network that the device has left it says nothing.
        mapping: session.seen.mapping.filter(|(at, _)| *at == main).map_or(Mapping::Unknown, |(_, mapping)| mapping),
        rtt: ctx.live.rtt(device).unwrap_or_default(),
    })
}

/// Answers at the second port, to a meeting when the other side has come, or not in time.
pub async fn probe(ctx: &Ctx, request: ProbeRequest, address: SocketAddr, rtt: Duration, now: Moment) -> ProbeAnswer {
    let address = canonical(address);
    match request {
        ProbeRequest::Observe { device, ticket } => observe(ctx, device, ticket, address),
        ProbeRequest::Meet { token } => meet(ctx, token, address, rtt, now).await,
    }
}

fn observe(ctx: &Ctx, device: DeviceId, ticket: Token, address: SocketAddr) -> ProbeAnswer {
    let session = ctx.roster.session(device).filter(|session| session.ticket == Some(ticket));
    let (Some(session), Some(main)) = (session, ctx.live.observed(device).map(canonical)) else {
        return ProbeAnswer::Refused(Refusal::new(Code::Unauthenticated, "this ticket is not valid"));
    };
    let mut seen = session.seen;
    let concluded = if main.is_ipv4() == address.is_ipv4() {
        let concluded = mapping(main, address, &session.announced);
        seen.mapping = Some((main, concluded));
        concluded
    } else {
        seen.other = Some(address);
        Mapping::Unknown
    };
    tracing::debug!(%device, ?concluded, "a device was seen at the second port");
    ctx.roster.seen(device, session.connection, seen);
    ProbeAnswer::Observed { address, mapping: concluded }
}

/// Removes its token when it is over, however it ends.
struct Waiting<'a>(&'a Ctx, Token);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.0.meetings).leave(self.1);
    }
}

async fn meet(ctx: &Ctx, token: Token, address: SocketAddr, rtt: Duration, now: Moment) -> ProbeAnswer {
    let refused = |why: &str| ProbeAnswer::Refused(Refusal::new(Code::Unavailable, why));
    let (tell, told) = oneshot::channel();
    let arrival = lock(&ctx.meetings).arrive(token, address, rtt, tell, now.instant);
    match arrival {
        Arrival::Unknown => ProbeAnswer::Refused(Refusal::new(Code::NotFound, "there is no such meeting")),
        Arrival::Waits => {
            let _waiting = Waiting(ctx, token);
            match tokio::time::timeout(shared::limits::MEETING_WAIT, told).await {
                Ok(Ok(rendezvous)) => ProbeAnswer::Met(rendezvous),
                Ok(Err(_)) | Err(_) => refused("the other device did not come"),
            }
        }
        Arrival::Both(last, first, tell_first) => match introduce::plan(&last, &first) {
            Ok((for_last, for_first)) => {
                if tell_first.send(for_first).is_err() {
                    return refused("the other device left");
                }
                ProbeAnswer::Met(for_last)
            }
            Err(hopeless) => refused(&hopeless.to_string()),
        },
    }
}

/// How the first one of a meeting is told.
pub type Teller = oneshot::Sender<Rendezvous>;

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
