//! The second port: short connections of devices that want to know how they are seen, or meet from fresh sockets.

use std::{sync::Arc, time::Duration};

use quinn::{Connection, Endpoint, Incoming};
use shared::{
    limits::{PROBE_FRAME_BYTES_MAX, PROBE_LIFE, PROBES_AT_ONCE_MAX},
    net::{self, Outgoing, frame},
    wire::{Code, reach::ProbeRequest},
};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::handler::{Ctx, Moment, introduce};

/// Answers at these endpoints until stopped, and closes them.
pub async fn run(ctx: Arc<Ctx>, endpoints: Vec<Endpoint>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(PROBES_AT_ONCE_MAX));
    let mut acceptors = JoinSet::new();
    for endpoint in &endpoints {
        acceptors.spawn(accept(ctx.clone(), endpoint.clone(), places.clone()));
    }
    stop.cancelled().await;
    acceptors.shutdown().await;
    for endpoint in &endpoints {
        endpoint.close(0u32.into(), b"the tracker stops");
    }
}

async fn accept(ctx: Arc<Ctx>, endpoint: Endpoint, places: Arc<Semaphore>) {
    let mut probes = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        while probes.try_join_next().is_some() {}
        let Ok(place) = places.clone().try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        // Where many come, a forged address shall cost nothing.
        if !incoming.remote_address_validated() && places.available_permits() < PROBES_AT_ONCE_MAX / 2 {
            if let Err(error) = incoming.retry() {
                tracing::debug!(%error, "a retry was not possible");
            }
            continue;
        }
        let ctx = ctx.clone();
        probes.spawn(async move {
            let _place = place;
            if timeout(PROBE_LIFE, serve(&ctx, incoming)).await.is_err() {
                tracing::debug!("a probe took too long");
            }
        });
    }
}

async fn serve(ctx: &Ctx, incoming: Incoming) {
    let connection = match incoming.await {
        Ok(connection) => connection,
        Err(error) => return tracing::debug!(%error, "a probe's handshake failed"),
    };
    let Some(answered) = answer(ctx, &connection).await else {
        return net::close(&connection, Code::BadRequest);
    };
    answered.finish();
    // Who asked closes when it has read.
    let _asker = timeout(Duration::from_secs(1), connection.closed()).await;
    connection.close(0u32.into(), b"");
}

async fn answer(ctx: &Ctx, connection: &Connection) -> Option<Outgoing> {
    let (send, mut recv) = connection.accept_bi().await.ok()?;
    let mut send = Outgoing::new(send);
    let request: ProbeRequest = frame::receive(&mut recv, PROBE_FRAME_BYTES_MAX).await.ok()?;
    let (address, rtt) = (connection.remote_address(), connection.rtt());
    let answer = tokio::select! {
        answer = introduce::probe(ctx, request, address, rtt, Moment::now()) => answer,
        _ = connection.closed() => return None,
    };
    frame::send(&mut send, &answer, PROBE_FRAME_BYTES_MAX).await.ok()?;
    Some(send)
}
