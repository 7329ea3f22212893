//! One stream: read a request, find who answers it, answer.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use futures_util::FutureExt as _;
use quinn::{RecvStream, SendStream};
use shared::{
    limits::{EVENTS_WRITE_BYTES, PROGRAM_CHARS_MAX, REPLY_BYTES_MAX, REPLY_WRITE, REQUEST_BYTES_MAX, REQUEST_READ},
    net::{
        Outgoing,
        frame::{self, ReceiveError, SendError},
    },
    wire::{
        Code, codec,
        tracker::{Answer, Event, Password, Request, SignedIn},
    },
};
use tracing::Instrument as _;
use zeroize::Zeroizing;

use super::{
    connection::{Session, panic_text},
    relay::relay,
};
use crate::{
    events::Subscription,
    handler::{
        Ctx, Error, Moment, Peer, account, browse, copy, devices, hold, inbox, introduce, invites, locate, members,
        message, now_ms, people, protected, publish,
    },
    refuse,
    store::{Caller, Store, StoreError},
};

/// Serves one stream to its end.
pub(super) async fn stream(session: Arc<Session>, send: SendStream, mut recv: RecvStream) {
    let mut send = Outgoing::new(send);
    let request = match frame::receive_within::<Request>(&mut recv, REQUEST_BYTES_MAX, REQUEST_READ).await {
        Ok(request) => request,
        Err(error) => return turn_away(send, &error).await,
    };
    let number = session.server.next_request();
    let kind = kind(&request);
    async move {
        if request == Request::Fetch {
            return Box::pin(fetch(&session, send, recv)).await;
        }
        if request == Request::Subscribe {
            return subscribe(&session, send, number).await;
        }
        if let Request::Relay { device } = request {
            return Box::pin(relay(&session, send, recv, device, number)).await;
        }
        let begun = Instant::now();
        // Somewhere else: a listener's stream, which stays as long as its member, must not keep room for all this.
        let answer = Box::pin(answer(&session, request, number)).await;
        let outcome = if let Answer::Refused(refusal) = &answer { refusal.code.name() } else { "ok" };
        let sent = reply(&mut send, &answer, number).await;
        tracing::debug!(outcome, sent, elapsed_ms = begun.elapsed().as_millis(), "request");
        if sent {
            send.finish();
        }
    }
    .instrument(tracing::debug_span!("request", number, kind))
    .await;
}

/// Tells the sender of something unreadable so, if there is anyone to tell.
async fn turn_away(mut send: Outgoing, error: &ReceiveError) {
    tracing::debug!(%error, "no request came");
    let Some(refusal) = refuse::unreadable(error) else { return send.reset(Code::BadRequest) };
    if reply(&mut send, &Answer::Refused(refusal), 0).await {
        send.finish();
    }
}

/// Sends an answer; whether it went out.
pub(super) async fn reply(send: &mut Outgoing, answer: &Answer, number: u64) -> bool {
    let sent = within(frame::send(send, answer, REPLY_BYTES_MAX)).await;
    let Err(SendError::Frame(error)) = sent else { return sent.is_ok() };
    tracing::error!(number, %error, "an answer does not fit");
    within(frame::send(send, &Answer::Refused(refuse::fault(number)), REPLY_BYTES_MAX)).await.is_ok()
}

/// Whoever does not read is not waited for.
async fn within(sending: impl Future<Output = Result<(), SendError>>) -> Result<(), SendError> {
    tokio::time::timeout(REPLY_WRITE, sending).await.unwrap_or(Err(SendError::Stopped(Some(Code::Cancelled))))
}

/// The answer to a request, whatever happens: a panic is the tracker's fault and ends this request only.
async fn answer(session: &Arc<Session>, request: Request, number: u64) -> Answer {
    let handled = AssertUnwindSafe(handle(session, request, Moment::now())).catch_unwind().await;
    match handled {
        Ok(Ok(answer)) => answer,
        Ok(Err(Error::Wait { seconds })) => Answer::Wait { seconds },
        Ok(Err(error)) => {
            let refusal = refuse::refuse(&error, number);
            if refusal.code == Code::Unauthenticated && matches!(error, Error::Store(_)) {
                // The device was signed out elsewhere while this connection was open.
                session.end();
            }
            Answer::Refused(refusal)
        }
        Err(panic) => {
            tracing::error!(number, fault = panic_text(&*panic), "a request panicked");
            Answer::Refused(refuse::fault(number))
        }
    }
}

async fn handle(session: &Arc<Session>, request: Request, now: Moment) -> Result<Answer, Error> {
    let ctx: &Ctx = &session.server.ctx;
    let caller = || session.caller().ok_or(Error::NotSignedIn);
    Ok(match request {
        Request::Hello { program } => {
            let program: String = program.chars().take(PROGRAM_CHARS_MAX).collect();
            tracing::debug!(?program, "hello");
            Answer::Welcome(account::hello(ctx, &session.peer(), now))
        }
        Request::Register(request) => {
            sign_in(session, async |peer| account::register(ctx, &peer, request, now).await).await?
        }
        Request::SignInPassword(request) => {
            sign_in(session, async |peer| account::sign_in_password(ctx, &peer, request, now).await).await?
        }
        Request::SignInKey { device, proof } => {
            sign_in(session, async |peer| account::sign_in_key(ctx, &peer, device, &proof, now).await).await?
        }
        Request::Recover(request) => {
            sign_in(session, async |peer| account::recover(ctx, &peer, request, now).await).await?
        }
        Request::SignOut => {
            let caller = caller()?;
            devices::revoke(ctx, &caller, &[caller.device], now).await?;
            session.end();
            Answer::Done
        }
        Request::Devices => Answer::Devices { devices: devices::devices(ctx, &caller()?).await? },
        Request::RevokeDevices { devices } => {
            let caller = caller()?;
            let revoked = devices::revoke(ctx, &caller, &devices, now).await?;
            if revoked.contains(&caller.device) {
                session.end();
            }
            Answer::Count(revoked.len() as u64)
        }
        Request::ChangePassword { old, new } => {
            let passwords = (Zeroizing::new(old.0), Zeroizing::new(new.0));
            account::change_password(ctx, &caller()?, &session.peer(), passwords, now).await?;
            Answer::Done
        }
        Request::ChangeEmail { password, email } => {
            let password = Zeroizing::new(password.0);
            account::change_email(ctx, &caller()?, &session.peer(), password, email, now).await?;
            Answer::Done
        }
        Request::NewRecovery { password } => {
            let password = Zeroizing::new(password.0);
            let code = account::new_recovery(ctx, &caller()?, &session.peer(), password, now).await?;
            Answer::Recovery { code: Password(code) }
        }
        Request::Invite { uses, ends_ms } => invites::invite(ctx, &caller()?, uses, ends_ms, now).await?,
        Request::Invites => invites::invites(ctx, &caller()?, now).await?,
        Request::RevokeInvite { code } => Answer::Count(invites::revoke(ctx, &caller()?, &code).await?),
        Request::Renew => Answer::SignedIn(account::renew(ctx, &caller()?, now).await?),
        Request::Announce { addresses } => {
            let caller = caller()?;
            let addresses = locate::sensible(addresses, session.address())?;
            ctx.roster.announce(caller.device, session.number, addresses);
            Answer::Done
        }
        Request::Publish { entries } => {
            let entries = entries.into_iter().map(|entry| (entry, None)).collect();
            Answer::Published { files: publish::publish(ctx, &caller()?, entries, now).await? }
        }
        Request::Withdraw { files } => Answer::Count(publish::withdraw(ctx, &caller()?, &files, now).await?),
        Request::Rename { files } => Answer::Published { files: publish::rename(ctx, &caller()?, files).await? },
        Request::Vanish { files } => Answer::Kept { files: publish::vanish(ctx, &caller()?, &files, now).await? },
        Request::Changes { since } => Answer::Changes(browse::changes(ctx, &caller()?, since).await?),
        Request::List(list) => browse::list(ctx, &caller()?, list).await?,
        Request::Search { query, offset } => browse::search(ctx, &caller()?, &query, offset).await?,
        Request::Resolve(reference) => browse::resolve(ctx, &caller()?, reference).await?,
        Request::FolderFiles { folder, after } => {
            browse::folder_files(ctx, &caller()?, folder, after.as_deref()).await?
        }
        Request::Inspect { file } => Answer::Detail(browse::inspect(ctx, &caller()?, file).await?),
        Request::Locate { files } => Answer::Located(locate::locate(ctx, &caller()?, &files, now).await?),
        Request::Hold { files } => Answer::Count(hold::hold(ctx, &caller()?, &files).await?),
        Request::Members { after } => members::members(ctx, &caller()?, after.as_deref()).await?,
        Request::KeepCopy { files } => Answer::Count(copy::keep(ctx, &caller()?, &files, now).await?),
        Request::DropCopy { files } => Answer::Count(copy::forget(ctx, &caller()?, &files).await?),
        Request::Status => {
            caller()?;
            Answer::Status(members::status(ctx).await?)
        }
        Request::Ticket => introduce::ticket(ctx, &caller()?, session.number),
        Request::Introduce { device, attempt } => introduce::introduce(ctx, &caller()?, device, attempt, now).await?,
        Request::People(request) => people::people(ctx, &caller()?, session.number, request, now).await?,
        Request::Protected(request) => protected::protected(ctx, &caller()?, &session.peer(), request, now).await?,
        Request::Ways => {
            caller()?;
            Answer::Ways(ctx.ways)
        }
        Request::Inbox(request) => inbox::answer(ctx, &caller()?, request, now).await?,
        Request::Message(request) => Answer::Message(message::message(ctx, caller()?, request, now).await?),
        Request::Subscribe | Request::Fetch | Request::Relay { .. } => {
            return Err(Error::Unsupported("this request takes the whole stream"));
        }
    })
}

/// Runs one of the ways of signing in, and begins the session.
async fn sign_in(
    session: &Session,
    way: impl AsyncFnOnce(Peer) -> Result<(Caller, SignedIn), Error>,
) -> Result<Answer, Error> {
    let _one_at_a_time = session.signing_in.lock().await;
    if session.caller().is_some() {
        return Err(Error::SignedInAlready);
    }
    let (caller, signed_in) = way(session.peer()).await?;
    let device = caller.device;
    session.begin(caller);
    // A device that was signed out from elsewhere meanwhile had no session yet that could be ended.
    let enrolled = session.server.ctx.store.enrolled_among(&[device]).await;
    if !matches!(&enrolled, Ok(devices) if devices.contains(&device)) {
        session.end();
        enrolled?;
        return Err(Error::NotSignedIn);
    }
    Ok(Answer::SignedIn(signed_in))
}

/// Sends events until either side ends.
async fn subscribe(session: &Arc<Session>, mut send: Outgoing, number: u64) {
    let Some(signed_in) = session.signed_in() else {
        let refusal = refuse::refuse(&Error::NotSignedIn, number);
        if reply(&mut send, &Answer::Refused(refusal), number).await {
            send.finish();
        }
        return;
    };
    // Listening begins before the answer: nothing is missed in between.
    let subscription = session.server.ctx.events.subscribe(signed_in.caller.account, signed_in.caller.device);
    if !reply(&mut send, &Answer::Done, number).await {
        return;
    }
    let first = match Box::pin(first_events(&*session.server.ctx.store, &signed_in.caller)).await {
        Ok(first) => first,
        Err(error) => {
            tracing::error!(number, error = &error as &dyn std::error::Error, "a listener could not begin");
            return send.reset(Code::Internal);
        }
    };
    let forwarding = async {
        for event in &first {
            if let Err(error) = within(frame::send(&mut send, event, REPLY_BYTES_MAX)).await {
                return error;
            }
        }
        forward(&mut send, &subscription).await
    };
    match signed_in.over.run_until_cancelled(forwarding).await {
        Some(end) => tracing::debug!(%end, "a listener left"),
        None => send.reset(Code::Unauthenticated),
    }
}

/// What a listener is told before anything else.
async fn first_events(store: &dyn Store, caller: &Caller) -> Result<Vec<Event>, StoreError> {
    let mut first = vec![devices::revoked(store, now_ms()).await?, people::blocks(store, caller.account).await?];
    first.extend(publish::withdrawn(store, caller.device, now_ms()).await?);
    Ok(first)
}

async fn forward(send: &mut Outgoing, subscription: &Subscription) -> SendError {
    let mut stopped = std::pin::pin!(send.stopped());
    loop {
        let event = tokio::select! {
            event = subscription.next() => event,
            stopped = &mut stopped => {
                let code = stopped.ok().flatten().and_then(|number| Code::from_number(number.into_inner()));
                return SendError::Stopped(code);
            }
        };
        if let Err(error) = within(forward_waiting(send, &event, subscription)).await {
            return error;
        }
    }
}

/// Sends an event, and in the same packets what else waits.
async fn forward_waiting(send: &mut Outgoing, first: &Event, subscription: &Subscription) -> Result<(), SendError> {
    let mut frames = codec::encode(first, REPLY_BYTES_MAX)?;
    while frames.len() < EVENTS_WRITE_BYTES
        && let Some(event) = subscription.waiting()
    {
        frames.extend(codec::encode::<Event>(&event, REPLY_BYTES_MAX)?);
    }
    send.write_all(&frames).await.map_err(SendError::from)
}

/// Serves stored copies on this stream.
async fn fetch(session: &Arc<Session>, send: Outgoing, recv: RecvStream) {
    let Some(signed_in) = session.signed_in() else { return send.reset(Code::Unauthenticated) };
    let ctx = &session.server.ctx;
    let serving = ctx.copies.serve(send, recv, signed_in.caller.device, ctx.authority.grant_key().public());
    if signed_in.over.run_until_cancelled(serving).await.is_none() {
        tracing::debug!("a fetch of copies ended with the sign-in");
    }
}

/// The request's name for logs.
const fn kind(request: &Request) -> &'static str {
    match request {
        Request::Hello { .. } => "hello",
        Request::Register(_) => "register",
        Request::SignInPassword(_) => "sign_in_password",
        Request::SignInKey { .. } => "sign_in_key",
        Request::SignOut => "sign_out",
        Request::Renew => "renew",
        Request::Announce { .. } => "announce",
        Request::Subscribe => "subscribe",
        Request::Publish { .. } => "publish",
        Request::Withdraw { .. } => "withdraw",
        Request::Changes { .. } => "changes",
        Request::List(_) => "list",
        Request::Search { .. } => "search",
        Request::Resolve(_) => "resolve",
        Request::FolderFiles { .. } => "folder_files",
        Request::Inspect { .. } => "inspect",
        Request::Locate { .. } => "locate",
        Request::Members { .. } => "members",
        Request::KeepCopy { .. } => "keep_copy",
        Request::DropCopy { .. } => "drop_copy",
        Request::Status => "status",
        Request::Fetch => "fetch",
        Request::Vanish { .. } => "vanish",
        Request::Hold { .. } => "hold",
        Request::Relay { .. } => "relay",
        Request::Ticket => "ticket",
        Request::Introduce { .. } => "introduce",
        Request::Ways => "ways",
        Request::ChangePassword { .. } => "change_password",
        Request::ChangeEmail { .. } => "change_email",
        Request::NewRecovery { .. } => "new_recovery",
        Request::Recover(_) => "recover",
        Request::Devices => "devices",
        Request::RevokeDevices { .. } => "revoke_devices",
        Request::Invite { .. } => "invite",
        Request::Invites => "invites",
        Request::RevokeInvite { .. } => "revoke_invite",
        Request::Inbox(_) => "inbox",
        Request::Message(_) => "message",
        Request::People(_) => "people",
        Request::Protected(_) => "protected",
        Request::Rename { .. } => "rename",
    }
}
