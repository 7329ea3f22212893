//! Faces and engines of one profile, over real sockets and locks. The engine behind is played by the test.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
};

use shared::limits::{FACES_MAX, LOCAL_CALLS_MAX, LOCAL_LINE_BYTES_MAX};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    sync::oneshot,
    task::yield_now,
};

use super::*;
use crate::engine::{
    api::{Command, EngineLine, Get, Secret, Update},
    client::{Answer, Updates, engine_gone},
};

/// An engine that was started: the test answers its calls.
struct Played {
    calls: mpsc::Receiver<Call>,
    stopping: CancellationToken,
}

impl Played {
    async fn next(&mut self) -> Call {
        self.calls.recv().await.expect("a face lives")
    }
}

/// A way to start engines, and the engines that were started.
fn stage() -> (Start, mpsc::Receiver<Played>) {
    let (started, engines) = mpsc::channel(8);
    let start: Start = Arc::new(move |_| {
        let started = started.clone();
        Box::pin(async move {
            let (client, calls) = Client::channel();
            let stopping = CancellationToken::new();
            started.send(Played { calls, stopping: stopping.clone() }).await.expect("the test goes on");
            let token = stopping.clone();
            Ok(Running { client, stopping, stop: Box::new(move || Box::pin(async move { token.cancel() })) })
        })
    });
    (start, engines)
}

fn home() -> (TempDir, Profile) {
    let dir = TempDir::new().unwrap();
    let profile = Profile::locate(Some(dir.path()), None).unwrap();
    (dir, profile)
}

async fn open(profile: &Profile, start: &Start) -> Face {
    Face::open_with(profile, FaceOptions::default(), start.clone()).await.unwrap()
}

async fn tell(call: &Call, count: u64) {
    call.updates.send(Answer::Update(Update::Count(count))).await.unwrap();
}

async fn end(call: Call) {
    call.updates.send(Answer::Done(Ok(()))).await.unwrap();
}

async fn count(updates: &mut Updates) -> u64 {
    match updates.next().await {
        Ok(Some(Update::Count(count))) => count,
        other => panic!("{other:?} is no count"),
    }
}

fn get(item: &str) -> Command {
    Command::Get(Get { items: vec![item.to_owned()], ..Get::default() })
}

/// A face of another make, speaking plain lines.
struct RawFace {
    read: BufReader<tokio::net::unix::OwnedReadHalf>,
    write: tokio::net::unix::OwnedWriteHalf,
}

impl RawFace {
    async fn connect(profile: &Profile) -> Self {
        let (read, write) = UnixStream::connect(profile.socket()).await.unwrap().into_split();
        Self { read: BufReader::new(read), write }
    }

    async fn greeted(profile: &Profile) -> Self {
        let mut face = Self::connect(profile).await;
        assert!(matches!(face.hear().await, EngineLine::Hello { .. }));
        face
    }

    async fn hear(&mut self) -> EngineLine {
        let mut line = String::new();
        self.read.read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Number and code of the end of a call.
    async fn hear_end(&mut self) -> (u64, String) {
        match self.hear().await {
            EngineLine::Done { call, failure } => (call, failure.unwrap().code),
            other => panic!("{other:?} is no end"),
        }
    }

    async fn say(&mut self, line: &str) {
        self.write.write_all(line.as_bytes()).await.unwrap();
        self.write.write_all(b"\n").await.unwrap();
    }
}

#[tokio::test]
async fn the_first_face_runs_the_engine_and_the_second_attaches() {
    let (_dir, profile) = home();
    let (start, mut engines) = stage();
    let first = open(&profile, &start).await;
    let second = open(&profile, &start).await;
    let third = Face::attach(&profile).await.unwrap();
    assert_eq!([first.is_attached(), second.is_attached(), third.is_attached()], [false, true, true]);
    let mut engine = engines.recv().await.unwrap();
    for face in [&first, &second, &third] {
        let mut updates = face.client().call(Command::Status).await;
        let call = engine.next().await;
        assert_eq!(call.command, Command::Status);
        tell(&call, 7).await;
        end(call).await;
        assert_eq!(count(&mut updates).await, 7);
        assert_eq!(updates.next().await, Ok(None));
    }
    assert!(engines.try_recv().is_err(), "one engine is enough");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn faces_that_start_at_once_share_one_engine() {
    let (_dir, profile) = home();
    let (start, mut engines) = stage();
    let opening = (0..8).map(|_| {
        let (profile, start) = (profile.clone(), start.clone());
        tokio::spawn(async move { open(&profile, &start).await })
    });
    let faces = futures_util::future::join_all(opening.collect::<Vec<_>>()).await;
    let hosts = faces.iter().filter(|face| !face.as_ref().unwrap().is_attached()).count();
    assert_eq!(hosts, 1);
    assert!(engines.recv().await.is_some());
    assert!(engines.try_recv().is_err());
}

#[tokio::test]
async fn the_socket_and_the_lock_are_for_their_user_alone() {
    let (_dir, profile) = home();
    let (start, _engines) = stage();
    let _face = open(&profile, &start).await;
    for path in [profile.socket(), profile.lock()] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o600);
    }
}

#[tokio::test]
async fn without_an_engine_there_is_nothing_to_attach_to() {
    let (_dir, profile) = home();
    let failure = Face::attach(&profile).await.unwrap_err();
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::NotFound, "no_engine"));
}

#[tokio::test]
async fn calls_of_one_face_run_side_by_side() {
    let (_dir, profile) = home();
    let (start, mut engines) = stage();
    let _host = open(&profile, &start).await;
    let face = open(&profile, &start).await;
    let mut engine = engines.recv().await.unwrap();
    let mut one = face.client().call(get("one")).await;
    let mut two = face.client().call(get("two")).await;
    let (first, second) = (engine.next().await, engine.next().await);
    assert_eq!((&first.command, &second.command), (&get("one"), &get("two")));
    tell(&second, 20).await;
    assert_eq!(count(&mut two).await, 20);
    tell(&first, 10).await;
    tell(&second, 21).await;
    assert_eq!(count(&mut one).await, 10);
    end(first).await;
    assert_eq!(one.next().await, Ok(None));
    assert_eq!(count(&mut two).await, 21);
    let failure = Failure::new(FailureKind::Transfer, "broken", "it broke", "mend it");
    second.updates.send(Answer::Done(Err(failure.clone()))).await.unwrap();
    assert_eq!(two.next().await, Err(failure));
}

#[tokio::test]
async fn many_updates_reach_a_late_reader_in_order() {
    let (_dir, profile) = home();
    let (start, mut engines) = stage();
    let _host = open(&profile, &start).await;
    let face = open(&profile, &start).await;
    let mut engine = engines.recv().await.unwrap();
    let mut updates = face.client().call(Command::Watch).await;
    let call = engine.next().await;
    // More than all channels and buffers on the way hold: the engine has to wait for the reader.
    let telling = async {
        for number in 0..50_000 {
            tell(&call, number).await;
        }
    };
    let reading = async {
        for number in 0..50_000 {
            assert_eq!(count(&mut updates).await, number);
        }
    };
    tokio::join!(telling, reading);
}

#[tokio::test]
async fn a_dropped_call_is_told_to_the_engine_and_the_others_go_on() {
    let (_dir, profile) = home();
    let (start, mut engines) = stage();
    let _host = open(&profile, &start).await;
    let face = open(&profile, &start).await;
    let mut engine = engines.recv().await.unwrap();
    let dropped = face.client().call(Command::Watch).await;
    let mut kept = face.client().call(Command::Events).await;
    let (first, second) = (engine.next().await, engine.next().await);
    drop(dropped);
    first.updates.closed().await;
    assert!(!second.updates.is_closed());
    tell(&second, 1).await;
    assert_eq!(count(&mut kept).await, 1);
}

#[tokio::test]
async fn a_face_that_leaves_drops_all_of_its_calls() {
    let (_dir, profile) = home();
    let (start, mut engines) = stage();
    let _host = open(&profile, &start).await;
    let face = open(&profile, &start).await;
    let mut engine = engines.recv().await.unwrap();
    let mut updates = face.client().call(Command::Watch).await;
    let call = engine.next().await;
    face.close().await;
    call.updates.closed().await;
    assert_eq!(updates.next().await, Err(engine_gone()));
}

#[tokio::test]
async fn garbage_is_answered_and_the_connection_goes_on() {
    let (_dir, profile) = home();
    let (start, mut engines) = stage();
    let _host = open(&profile, &start).await;
    let mut engine = engines.recv().await.unwrap();
    let mut face = RawFace::greeted(&profile).await;
    for (line, number, code) in [
        ("", 0, "not_understood"),
        ("hello", 0, "not_understood"),
        ("{\"call\":{\"call\":-1}}", 0, "not_understood"),
        ("{\"call\":{\"call\":9,\"command\":{\"from_the_future\":{}}}}", 9, "not_understood"),
        (&"[".repeat(100_000), 0, "not_understood"),
        ("{\"call\":{\"call\":0,\"command\":\"status\"}}", 0, "bad_call"),
    ] {
        face.say(line).await;
        assert_eq!(face.hear_end().await, (number, code.to_owned()), "{line:.40}");
    }
    face.write.write_all(b"\xff\xfe\x00\n").await.unwrap();
    assert_eq!(face.hear_end().await, (0, "not_understood".to_owned()));
    face.say("{\"drop\":{\"call\":77}}").await;
    face.say("{\"call\":{\"call\":3,\"command\":\"status\"}}").await;
    let call = engine.next().await;
    face.say("{\"call\":{\"call\":3,\"command\":\"members\"}}").await;
    assert_eq!(face.hear_end().await, (0, "bad_call".to_owned()));
    end(call).await;
    assert_eq!(face.hear().await, EngineLine::Done { call: 3, failure: None });
}

#[tokio::test]
async fn a_line_of_nine_megabytes_ends_that_connection_alone() {
    let (_dir, profile) = home();
    let (start, mut engines) = stage();
    let _host = open(&profile, &start).await;
    let other = open(&profile, &start).await;
    let mut engine = engines.recv().await.unwrap();
    let RawFace { mut read, mut write } = RawFace::greeted(&profile).await;
    let flood = async {
        // The engine may close before it has read everything.
        let _closed = write.write_all(&vec![b'x'; 9 * 1024 * 1024]).await;
    };
    let answer = async {
        let mut line = String::new();
        read.read_line(&mut line).await.unwrap();
        line
    };
    let ((), line) = tokio::join!(flood, answer);
    assert!(line.contains("\"call\":0") && line.contains("too_large"), "{line}");
    let rest = read.read_to_end(&mut Vec::new()).await;
    assert!(rest.is_err() || rest.is_ok_and(|count| count == 0));
    let mut updates = other.client().call(Command::Status).await;
    end(engine.next().await).await;
    assert_eq!(updates.next().await, Ok(None));
}

#[tokio::test]
async fn a_command_above_the_limit_fails_alone() {
    let (_dir, profile) = home();
    let (start, mut engines) = stage();
    let _host = open(&profile, &start).await;
    let face = open(&profile, &start).await;
    let mut engine = engines.recv().await.unwrap();
    let failure = face.client().ask(get(&"x".repeat(LOCAL_LINE_BYTES_MAX))).await.unwrap_err();
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Usage, "too_large"));
    let mut updates = face.client().call(Command::Status).await;
    end(engine.next().await).await;
    assert_eq!(updates.next().await, Ok(None));
}

#[tokio::test]
async fn an_update_above_the_limit_fails_its_call_alone() {
    let (_dir, profile) = home();
    let (start, mut engines) = stage();
    let _host = open(&profile, &start).await;
    let face = open(&profile, &start).await;
    let mut engine = engines.recv().await.unwrap();
    let mut updates = face.client().call(Command::Status).await;
    let mut other = face.client().call(Command::Members).await;
    let (call, second) = (engine.next().await, engine.next().await);
    let huge = Failure::new(FailureKind::Unexpected, "huge", "x".repeat(LOCAL_LINE_BYTES_MAX), "");
    let notice = Update::Event(crate::engine::api::Event {
        at_ms: 0,
        what: crate::engine::api::EventKind::Notice {
            level: crate::engine::api::NoticeLevel::Error,
            text: huge.message,
        },
    });
    call.updates.send(Answer::Update(notice)).await.unwrap();
    assert_eq!(updates.next().await.unwrap_err().code, "not_sendable");
    end(second).await;
    assert_eq!(other.next().await, Ok(None));
}

#[tokio::test]
async fn one_face_more_than_the_limit_is_turned_away_until_another_leaves() {
    let (_dir, profile) = home();
    let (start, _engines) = stage();
    let _host = open(&profile, &start).await;
    let mut faces = Vec::new();
    for _ in 0..FACES_MAX {
        faces.push(RawFace::greeted(&profile).await);
    }
    let mut refused = RawFace::connect(&profile).await;
    assert_eq!(refused.hear_end().await, (0, "too_many_faces".to_owned()));
    assert_eq!(refused.read.read_line(&mut String::new()).await.unwrap(), 0);
    let failure = Face::attach(&profile).await.unwrap_err();
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Refused, "too_many_faces"));
    faces.pop();
    while Face::attach(&profile).await.is_err() {
        yield_now().await;
    }
}

#[tokio::test]
async fn one_call_more_than_the_limit_is_refused() {
    let (_dir, profile) = home();
    let (start, mut engines) = stage();
    let _host = open(&profile, &start).await;
    let mut engine = engines.recv().await.unwrap();
    let mut face = RawFace::greeted(&profile).await;
    let mut calls = Vec::new();
    for number in 1..=LOCAL_CALLS_MAX {
        face.say(&format!("{{\"call\":{{\"call\":{number},\"command\":\"watch\"}}}}")).await;
        calls.push(engine.next().await);
    }
    face.say("{\"call\":{\"call\":1000,\"command\":\"watch\"}}").await;
    assert_eq!(face.hear_end().await, (1000, "too_many_calls".to_owned()));
    assert!(calls.iter().all(|call| !call.updates.is_closed()));
}

#[tokio::test]
async fn the_end_of_the_engine_fails_the_calls_of_a_face_that_only_attaches() {
    let (_dir, profile) = home();
    let (start, mut engines) = stage();
    let host = open(&profile, &start).await;
    let face = Face::attach(&profile).await.unwrap();
    let mut engine = engines.recv().await.unwrap();
    let mut updates = face.client().call(Command::Watch).await;
    let call = engine.next().await;
    tell(&call, 1).await;
    assert_eq!(count(&mut updates).await, 1);
    host.close().await;
    assert_eq!(updates.next().await, Err(engine_gone()));
    assert_eq!(face.client().ask(Command::Status).await, Err(engine_gone()));
    assert!(engines.try_recv().is_err());
}

#[tokio::test]
async fn a_face_whose_engine_leaves_in_mid_call_goes_on_with_an_engine_of_its_own() {
    let (_dir, profile) = home();
    let (start, mut engines) = stage();
    let host = open(&profile, &start).await;
    let face = open(&profile, &start).await;
    let mut engine = engines.recv().await.unwrap();
    let mut fetched = face.client().call(get("film")).await;
    let forgotten = face.client().call(get("song")).await;
    let mut watched = face.client().call(Command::Watch).await;
    let call = engine.next().await;
    let (song, _watch) = (engine.next().await, engine.next().await);
    tell(&call, 1).await;
    assert_eq!(count(&mut fetched).await, 1);
    drop(forgotten);
    song.updates.closed().await;
    host.close().await;
    // What the ended engine still says of the call must not reach it.
    let _refused = call.updates.try_send(Answer::Done(Err(engine_gone())));

    let mut next = engines.recv().await.unwrap();
    let (again, watch) = (next.next().await, next.next().await);
    assert_eq!((&again.command, &watch.command), (&get("film"), &Command::Watch));
    assert!(!face.is_attached());
    tell(&again, 2).await;
    end(again).await;
    assert_eq!(count(&mut fetched).await, 2);
    assert_eq!(fetched.next().await, Ok(None));
    tell(&watch, 3).await;
    assert_eq!(count(&mut watched).await, 3);

    // And it lets others attach, as the first one did.
    assert!(open(&profile, &start).await.is_attached());
    face.close().await;
    assert!(!profile.socket().exists());
}

#[tokio::test]
async fn several_faces_in_mid_call_share_the_engine_that_follows() {
    let (_dir, profile) = home();
    let (start, mut engines) = stage();
    let host = open(&profile, &start).await;
    let (one, two) = (open(&profile, &start).await, open(&profile, &start).await);
    let mut engine = engines.recv().await.unwrap();
    let mut first = one.client().call(get("one")).await;
    let mut second = two.client().call(get("two")).await;
    let _calls = (engine.next().await, engine.next().await);
    host.close().await;
    let mut next = engines.recv().await.unwrap();
    for _ in 0..2 {
        end(next.next().await).await;
    }
    assert_eq!(first.next().await, Ok(None));
    assert_eq!(second.next().await, Ok(None));
    assert!(one.is_attached() != two.is_attached());
    assert!(engines.try_recv().is_err());
}

#[tokio::test]
async fn a_killed_engine_is_followed_like_one_that_left() {
    let (_dir, profile) = home();
    let (start, mut engines) = stage();
    profile.prepare().unwrap();
    // An engine in a runtime of its own, which ends in the middle of everything.
    let (tell_started, started) = oneshot::channel();
    let (tell_kill, kill) = oneshot::channel::<()>();
    let victim = {
        let (profile, start) = (profile.clone(), start.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let _face = open(&profile, &start).await;
                tell_started.send(()).unwrap();
                let _killed = kill.await;
            });
            runtime.shutdown_background();
        })
    };
    started.await.unwrap();
    let face = open(&profile, &start).await;
    let mut engine = engines.recv().await.unwrap();
    let mut updates = face.client().call(get("film")).await;
    let _call = engine.next().await;
    drop(tell_kill);
    let mut next = engines.recv().await.unwrap();
    end(next.next().await).await;
    assert_eq!(updates.next().await, Ok(None));
    victim.join().unwrap();
}

#[tokio::test]
async fn an_idle_face_looks_for_the_next_engine_when_it_needs_one() {
    let (_dir, profile) = home();
    let (start, mut engines) = stage();
    let host = open(&profile, &start).await;
    let face = open(&profile, &start).await;
    drop(engines.recv().await.unwrap());
    host.close().await;
    assert!(engines.try_recv().is_err());
    let mut updates = face.client().call(Command::Status).await;
    let mut next = engines.recv().await.unwrap();
    end(next.next().await).await;
    assert_eq!(updates.next().await, Ok(None));
}

#[tokio::test]
async fn an_engine_that_was_told_to_stop_is_not_followed() {
    let (_dir, profile) = home();
    let (start, mut engines) = stage();
    let host = open(&profile, &start).await;
    let (asking, watching) = (open(&profile, &start).await, open(&profile, &start).await);
    let idle = open(&profile, &start).await;
    let mut engine = engines.recv().await.unwrap();
    let mut watched = watching.client().call(Command::Watch).await;
    let mut own = host.client().call(Command::Watch).await;
    let calls = (engine.next().await, engine.next().await);
    let mut stop = asking.client().call(Command::Stop).await;
    let call = engine.next().await;
    assert_eq!(call.command, Command::Stop);
    end(call).await;
    engine.stopping.cancel();
    drop((calls, engine));
    assert_eq!(stop.next().await, Ok(None));
    for updates in [&mut watched, &mut own] {
        assert_eq!(updates.next().await, Err(engine_gone()));
    }
    for face in [host, asking, watching, idle] {
        assert_eq!(face.client().ask(Command::Status).await, Err(engine_gone()));
        face.close().await;
    }
    assert!(engines.try_recv().is_err());
    assert!(Lock::try_take(&profile).unwrap().is_some());
}

#[tokio::test]
async fn a_leaving_host_lets_short_calls_end_first() {
    let (_dir, profile) = home();
    let (start, mut engines) = stage();
    let host = open(&profile, &start).await;
    let face = Face::attach(&profile).await.unwrap();
    let mut engine = engines.recv().await.unwrap();
    let password = Secret("correct horse".to_owned());
    let login = Command::Login { tracker: String::new(), name: "ann".to_owned(), password };
    let mut updates = face.client().call(login).await;
    let call = engine.next().await;
    let closing = tokio::spawn(host.close());
    yield_now().await;
    assert!(!engine.stopping.is_cancelled());
    tell(&call, 5).await;
    end(call).await;
    assert_eq!(count(&mut updates).await, 5);
    assert_eq!(updates.next().await, Ok(None));
    closing.await.unwrap();
    assert!(engine.stopping.is_cancelled());
}

#[tokio::test]
async fn a_socket_left_by_a_killed_engine_is_replaced() {
    let (_dir, profile) = home();
    let (start, _engines) = stage();
    profile.prepare().unwrap();
    drop(std::os::unix::net::UnixListener::bind(profile.socket()).unwrap());
    assert_eq!(Face::attach(&profile).await.unwrap_err().code, "no_engine");
    assert!(fs::symlink_metadata(profile.socket()).unwrap().file_type().is_socket(), "it stays without the lock");
    let face = open(&profile, &start).await;
    assert!(!face.is_attached());
    assert!(open(&profile, &start).await.is_attached());
    face.close().await;
    assert!(!profile.socket().exists());
}

#[tokio::test]
async fn a_path_longer_than_a_socket_address_works() {
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("a".repeat(200)).join("b".repeat(200));
    let profile = Profile::locate(Some(&home), None).unwrap();
    let (start, mut engines) = stage();
    let host = open(&profile, &start).await;
    let face = open(&profile, &start).await;
    assert!(face.is_attached());
    assert_eq!(fs::metadata(profile.socket()).unwrap().permissions().mode() & 0o7777, 0o600);
    let mut engine = engines.recv().await.unwrap();
    let mut updates = face.client().call(Command::Status).await;
    end(engine.next().await).await;
    assert_eq!(updates.next().await, Ok(None));
    host.close().await;
    assert!(!profile.socket().exists());
}

#[tokio::test]
async fn a_second_engine_is_refused() {
    let (_dir, profile) = home();
    let (start, mut engines) = stage();
    let host = open(&profile, &start).await;
    let ready = || panic!("it must not get ready");
    let failure = run_engine_with(&profile, ready, std::future::pending(), start.clone()).await.unwrap_err();
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Conflict, "engine_running"));
    assert!(engines.try_recv().is_ok());
    assert!(engines.try_recv().is_err());
    host.close().await;
}

#[tokio::test]
async fn an_engine_in_the_foreground_runs_until_it_is_shut_down() {
    let (_dir, profile) = home();
    let (start, mut engines) = stage();
    let (tell_ready, ready) = oneshot::channel();
    let (shut_down, shutdown) = oneshot::channel::<()>();
    let running = {
        let (profile, start) = (profile.clone(), start.clone());
        tokio::spawn(async move {
            let shutdown = async { drop(shutdown.await) };
            run_engine_with(&profile, || tell_ready.send(()).unwrap(), shutdown, start).await
        })
    };
    ready.await.unwrap();
    let face = Face::attach(&profile).await.unwrap();
    let mut engine = engines.recv().await.unwrap();
    let mut updates = face.client().call(Command::Status).await;
    end(engine.next().await).await;
    assert_eq!(updates.next().await, Ok(None));
    drop(shut_down);
    assert_eq!(running.await.unwrap(), Ok(()));
    assert!(engine.stopping.is_cancelled());
    assert!(!profile.socket().exists());
    assert!(Lock::try_take(&profile).unwrap().is_some());
}

#[tokio::test]
async fn an_engine_that_does_not_start_leaves_nothing_behind() {
    let (_dir, profile) = home();
    let failure = Failure::new(FailureKind::Unexpected, "broken", "it is broken", "");
    let broken: Start = {
        let failure = failure.clone();
        Arc::new(move |_| {
            let failure = failure.clone();
            Box::pin(async move { Err(failure) })
        })
    };
    let refused = Face::open_with(&profile, FaceOptions::default(), broken).await;
    assert_eq!(refused.unwrap_err(), failure);
    assert!(!profile.socket().exists());
    assert!(Lock::try_take(&profile).unwrap().is_some());
}

#[test]
fn profiles_have_engines_of_their_own() {
    let one = Profile::locate(Some(Path::new("/h")), None).unwrap();
    let two = Profile::locate(Some(Path::new("/h")), Some("two")).unwrap();
    assert_ne!((one.lock(), one.socket()), (two.lock(), two.socket()));
}
