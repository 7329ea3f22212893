//! The full-screen client: the shell around `app`. Owns the only `select!`, the terminal, and the workers; decides
//! nothing. Runs on a thread and runtime of its own, so that neither side ever waits for the other.

mod effects;
mod outside;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::{Duration, Instant},
};

use crossterm::event::{Event as Input, EventStream, MouseButton, MouseEvent, MouseEventKind};
use futures_util::StreamExt;
use jiff::tz::TimeZone;
use ratatui::{Terminal, backend::CrosstermBackend, layout::Rect};
use shared::limits::{EVENTS_PER_FRAME_MAX, REPORTS_WAITING_MAX};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
    task::{AbortHandle, JoinSet},
};

use self::outside::{Frames, key_of, now_ms};
use crate::{
    app::{self, CallId, Effect, Event, Leaving, Setup, State, keys::Key, notices::Notices},
    engine::client::Client,
    terminal::{PROGRESS_CLEAR, SCREEN_THREAD, SYNC_BEGIN, SYNC_END, TermGuard, watch_for_hangup},
    view::{self, Targets},
};

/// What the screen is told when it opens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScreenOptions {
    /// Plain ASCII instead of box drawing and symbols.
    pub ascii: bool,
    /// Colours besides bold, underline and reverse.
    pub color: bool,
    /// Whether the engine goes on when the screen closes.
    pub engine_is_separate: bool,
    /// A join link for the sign-in form.
    pub tracker_hint: Option<String>,
    /// A name for the sign-in form.
    pub account_hint: Option<String>,
    /// Time without a key press after which nobody counts as here; zero: never.
    pub away_after: Duration,
    /// How somebody is told who does not look.
    pub notices: Notices,
}

/// How the screen ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScreenEnd {
    /// Whether the engine shall stop too, even one that is separate.
    pub stop_engine: bool,
    /// Transfers that were running or waiting.
    pub unfinished: usize,
}

impl ScreenEnd {
    /// The line to print after the terminal is given back: what was stopped and how it goes on.
    #[must_use]
    pub fn farewell(&self) -> Option<String> {
        let transfers = if self.unfinished == 1 { "transfer" } else { "transfers" };
        match (self.unfinished, self.stop_engine) {
            (0, _) => None,
            (some, true) => Some(format!("{some} {transfers} stopped; run swapmeet again and they resume.")),
            (some, false) => {
                Some(format!("{some} {transfers} left to the background engine; `swapmeet transfers` shows them."))
            }
        }
    }
}

/// Why there is no screen (any more).
#[derive(Debug, thiserror::Error)]
pub enum ScreenError {
    /// The terminal could not be taken, read or written.
    #[error("could not use the terminal")]
    Terminal(#[from] io::Error),
    /// The thread of the screen ended by a panic; the terminal was given back.
    #[error("the screen ended by a fault of its own; its message is above")]
    Panicked,
}

/// Runs the screen until it is left. The terminal is given back before this returns.
///
/// # Errors
/// When the terminal cannot be used.
pub async fn run(client: Client, options: ScreenOptions) -> Result<ScreenEnd, ScreenError> {
    let (end, ended) = oneshot::channel();
    let body = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let result = runtime.map_err(ScreenError::from).and_then(|runtime| {
            let result = runtime.block_on(run_here(client, options));
            // A read of a dead terminal or a slow sort must not hold the end up.
            runtime.shutdown_background();
            result
        });
        // Nobody waits any more where the caller was dropped.
        let _unheard = end.send(result);
    };
    let thread = std::thread::Builder::new().name(SCREEN_THREAD.to_owned()).spawn(body)?;
    let result = ended.await.unwrap_or(Err(ScreenError::Panicked));
    // Its last act was to send, or to panic.
    let _joined = thread.join();
    result
}

async fn run_here(client: Client, options: ScreenOptions) -> Result<ScreenEnd, ScreenError> {
    let guard = TermGuard::take()?;
    let frames = Frames::default();
    let terminal = Terminal::new(CrosstermBackend::new(frames.clone()))?;
    let size = crossterm::terminal::size()?;
    let setup = Setup {
        size,
        now: now_ms(),
        zone: TimeZone::system(),
        ascii: options.ascii,
        color: options.color,
        engine_is_separate: options.engine_is_separate,
        home: std::env::home_dir(),
        tracker_hint: options.tracker_hint.unwrap_or_default(),
        account_hint: options.account_hint.unwrap_or_default(),
        away_after_ms: i64::try_from(options.away_after.as_millis()).unwrap_or(i64::MAX),
        notices: options.notices,
        seed: rand::random(),
    };
    let (reports, reported) = mpsc::channel(REPORTS_WAITING_MAX);
    let (gone, hung_up) = mpsc::channel(1);
    watch_for_hangup(gone)?;
    let (state, effects) = app::start(setup);
    let shell = Shell {
        state,
        client,
        guard,
        terminal,
        frames,
        targets: Targets::default(),
        reports,
        calls: BTreeMap::new(),
        tasks: JoinSet::new(),
        drawn_revision: None,
        drawn_at: None,
        drawn_for_input_at: None,
        input_since_draw: false,
        title: String::new(),
        progress: None,
        resize: None,
        last_click: None,
        focused_at: None,
        over_ssh: std::env::var_os("SSH_CONNECTION").is_some(),
        in_tmux: std::env::var_os("TMUX").is_some(),
        panic_key: std::env::var("SWAPMEET_TEST_PANIC").is_ok_and(|value| value == "key"),
        end: None,
        go_on: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
        suspend: false,
        late: Vec::new(),
    };
    shell.run(effects, reported, hung_up).await
}

/// What workers and calls report.
type Report = Event;

struct Shell {
    state: State,
    client: Client,
    guard: TermGuard,
    terminal: Terminal<CrosstermBackend<Frames>>,
    frames: Frames,
    targets: Targets,
    reports: mpsc::Sender<Report>,
    calls: BTreeMap<CallId, AbortHandle>,
    tasks: JoinSet<()>,
    drawn_revision: Option<u64>,
    drawn_at: Option<Instant>,
    drawn_for_input_at: Option<Instant>,
    input_since_draw: bool,
    title: String,
    progress: Option<u8>,
    /// A new size, and when it counts as settled.
    resize: Option<((u16, u16), Instant)>,
    last_click: Option<(u16, u16, Instant)>,
    focused_at: Option<Instant>,
    over_ssh: bool,
    in_tmux: bool,
    panic_key: bool,
    end: Option<Leaving>,
    go_on: Signal,
    /// Whether to go to sleep after the present events.
    suspend: bool,
    /// Effects of a repaint, carried out with the next event's.
    late: Vec<Effect>,
}

struct Signals {
    terminate: Signal,
    hangup: Signal,
    interrupt: Signal,
    stop: Signal,
}

enum Woken {
    Input(Option<io::Result<Input>>),
    Report(Event),
    Terminate,
    Stop,
    GoOn,
    Time,
}

impl Shell {
    async fn run(
        mut self,
        effects: Vec<Effect>,
        mut reported: mpsc::Receiver<Report>,
        mut hung_up: mpsc::Receiver<()>,
    ) -> Result<ScreenEnd, ScreenError> {
        let mut signals = Signals {
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            stop: signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?,
        };
        let mut input = self.read_input();
        self.carry_out(effects).await?;
        self.draw()?;
        while self.end.is_none() {
            let wake = self.sleep_until();
            let woken = tokio::select! {
                biased;
                _ = signals.terminate.recv() => Woken::Terminate,
                _ = signals.hangup.recv() => Woken::Terminate,
                _ = signals.interrupt.recv() => Woken::Terminate,
                _ = hung_up.recv() => Woken::Terminate,
                _ = signals.stop.recv() => Woken::Stop,
                _ = self.go_on.recv() => Woken::GoOn,
                event = input.recv() => Woken::Input(event),
                Some(report) = reported.recv() => Woken::Report(report),
                Some(done) = self.tasks.join_next() => {
                    if let Err(error) = done && error.is_panic() {
                        tracing::error!(%error, "a worker of the screen panicked");
                    }
                    continue;
                }
                () = tokio::time::sleep_until(wake.into()) => Woken::Time,
            };
            self.dispatch(Event::Tick(now_ms())).await?;
            match woken {
                Woken::Input(event) => {
                    self.on_input(event).await?;
                    self.drain(&mut input, &mut reported).await?;
                }
                Woken::Report(report) => {
                    self.dispatch(report).await?;
                    self.drain(&mut input, &mut reported).await?;
                }
                Woken::Terminate => self.dispatch(Event::Terminate).await?,
                Woken::Stop => {
                    self.guard.suspend_self()?;
                    self.sleep_until_woken().await?;
                }
                // Whoever stopped us may have left the screen in any state.
                Woken::GoOn => self.repaint()?,
                Woken::Time => {}
            }
            if std::mem::take(&mut self.suspend) {
                self.suspend().await?;
            }
            self.settle_resize().await?;
            if self.due() {
                self.draw()?;
            }
        }
        // Calls end with the runtime; the guard gives the terminal back.
        let Leaving { stop_engine, unfinished } = self.end.unwrap_or(Leaving { stop_engine: true, unfinished: 0 });
        Ok(ScreenEnd { stop_engine, unfinished })
    }

    /// Reads the terminal in a task of its own. The stream wakes only whoever polled it first, so looking into it
    /// without waiting, as draining does, would lose events: the channel is looked into instead.
    fn read_input(&mut self) -> mpsc::Receiver<io::Result<Input>> {
        let (events, read) = mpsc::channel(EVENTS_PER_FRAME_MAX);
        self.tasks.spawn(async move {
            let mut terminal = EventStream::new();
            while let Some(event) = terminal.next().await {
                if events.send(event).await.is_err() {
                    return;
                }
            }
        });
        read
    }

    /// Handles everything that is waiting before anything is drawn.
    async fn drain(
        &mut self,
        input: &mut mpsc::Receiver<io::Result<Input>>,
        reported: &mut mpsc::Receiver<Report>,
    ) -> Result<(), ScreenError> {
        for _ in 0..EVENTS_PER_FRAME_MAX {
            if self.end.is_some() {
                return Ok(());
            }
            if let Ok(event) = input.try_recv() {
                self.on_input(Some(event)).await?;
            } else if let Ok(report) = reported.try_recv() {
                self.dispatch(report).await?;
            } else {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn dispatch(&mut self, event: Event) -> Result<(), ScreenError> {
        if let Event::Ended { call, .. } = &event {
            self.calls.remove(call);
        }
        let mut effects = std::mem::take(&mut self.late);
        effects.extend(app::update(&mut self.state, event));
        self.carry_out(effects).await
    }

    async fn on_input(&mut self, event: Option<io::Result<Input>>) -> Result<(), ScreenError> {
        let Some(Ok(event)) = event else {
            // The terminal can no longer be read: leave as if told to.
            return self.dispatch(Event::Terminate).await;
        };
        match event {
            Input::Key(key) => {
                let Some(key) = key_of(key) else { return Ok(()) };
                assert!(!(self.panic_key && key == Key::F(12)), "asked for by SWAPMEET_TEST_PANIC");
                self.input_since_draw = true;
                self.dispatch(Event::Key(key)).await
            }
            Input::Paste(text) => {
                self.input_since_draw = true;
                self.dispatch(Event::Paste(text)).await
            }
            Input::Mouse(mouse) => self.on_mouse(mouse).await,
            Input::Resize(width, height) => {
                self.resize = Some(((width, height), Instant::now() + RESIZE_QUIET));
                Ok(())
            }
            Input::FocusGained => {
                self.focused_at = Some(Instant::now());
                self.dispatch(Event::Focus(true)).await
            }
            Input::FocusLost => self.dispatch(Event::Focus(false)).await,
        }
    }

    async fn on_mouse(&mut self, mouse: MouseEvent) -> Result<(), ScreenError> {
        self.input_since_draw = true;
        match mouse.kind {
            MouseEventKind::ScrollDown => self.dispatch(Event::Wheel(WHEEL_LINES)).await,
            MouseEventKind::ScrollUp => self.dispatch(Event::Wheel(-WHEEL_LINES)).await,
            MouseEventKind::Down(MouseButton::Left) => {
                let now = Instant::now();
                // The click that brings the window to the front is not meant for what lies under it.
                if self.focused_at.is_some_and(|at| now - at < CLICK_AFTER_FOCUS) {
                    return Ok(());
                }
                let Some(target) = self.targets.at(mouse.column, mouse.row) else { return Ok(()) };
                let twice = self.last_click.is_some_and(|(column, row, at)| {
                    row == mouse.row && column.abs_diff(mouse.column) <= 1 && now - at < DOUBLE_CLICK
                });
                self.last_click = if twice { None } else { Some((mouse.column, mouse.row, now)) };
                self.dispatch(Event::Click { target, twice }).await
            }
            MouseEventKind::Down(_)
            | MouseEventKind::Up(_)
            | MouseEventKind::Drag(_)
            | MouseEventKind::Moved
            | MouseEventKind::ScrollLeft
            | MouseEventKind::ScrollRight => Ok(()),
        }
    }

    async fn settle_resize(&mut self) -> Result<(), ScreenError> {
        match self.resize {
            Some(((width, height), quiet)) if quiet <= Instant::now() => {
                self.resize = None;
                self.input_since_draw = true;
                self.dispatch(Event::Resize(width, height)).await
            }
            Some(_) | None => Ok(()),
        }
    }

    // Drawing

    fn changed(&self) -> bool {
        self.drawn_revision != Some(self.state.revision)
    }

    /// The earliest time at which what has changed may be drawn.
    fn draw_at(&self) -> Instant {
        let (last, pause) = if self.input_since_draw {
            (self.drawn_for_input_at, if self.over_ssh { FRAME_SSH } else { FRAME_INPUT })
        } else {
            (self.drawn_at, if self.state.focused { FRAME_LIVE } else { FRAME_UNFOCUSED })
        };
        last.map_or_else(Instant::now, |last| last + pause)
    }

    fn due(&self) -> bool {
        self.changed() && self.resize.is_none() && self.end.is_none() && self.draw_at() <= Instant::now()
    }

    fn sleep_until(&self) -> Instant {
        let now = Instant::now();
        let timed = self.state.next_wake().map(|at| {
            let wait = u64::try_from((at - now_ms()).max(1)).unwrap_or(1);
            now + Duration::from_millis(wait.min(60_000))
        });
        let draw = (self.changed() && self.resize.is_none()).then(|| self.draw_at());
        let resize = self.resize.map(|(_, quiet)| quiet);
        [timed, draw, resize].into_iter().flatten().min().unwrap_or(now + Duration::from_secs(60))
    }

    fn draw(&mut self) -> Result<(), ScreenError> {
        let now = Instant::now();
        let title = self.state.title();
        let backend = self.terminal.backend_mut();
        backend.write_all(SYNC_BEGIN)?;
        if title != self.title {
            backend.write_all(format!("\x1b]2;{title}\x1b\\").as_bytes())?;
            self.title = title;
        }
        let progress = self.state.progress();
        if progress != self.progress {
            match progress {
                Some(percent) => backend.write_all(format!("\x1b]9;4;1;{percent}\x1b\\").as_bytes())?,
                None => backend.write_all(PROGRESS_CLEAR)?,
            }
            self.progress = progress;
        }
        let mut targets = Targets::default();
        let state = &self.state;
        self.terminal.draw(|frame| targets = view::draw(state, frame))?;
        self.terminal.backend_mut().write_all(SYNC_END)?;
        self.frames.send()?;
        self.targets = targets;
        self.drawn_revision = Some(self.state.revision);
        self.drawn_at = Some(now);
        if self.input_since_draw {
            self.drawn_for_input_at = Some(now);
            self.input_since_draw = false;
        }
        Ok(())
    }

    /// Draws everything anew, whatever the terminal shows. Not by `Terminal::clear`, which asks the terminal where its
    /// cursor is and would wait for an answer that the input task reads.
    fn repaint(&mut self) -> Result<(), ScreenError> {
        let (width, height) = crossterm::terminal::size()?;
        self.terminal.resize(Rect::new(0, 0, width, height))?;
        self.resize = None;
        let effects = app::update(&mut self.state, Event::Resize(width, height));
        self.late.extend(effects);
        self.title.clear();
        self.draw()
    }

    async fn suspend(&mut self) -> Result<(), ScreenError> {
        if self.guard.suspend_group()? {
            self.sleep_until_woken().await
        } else {
            self.dispatch(Event::NotSuspended).await
        }
    }

    /// The stop takes hold while this waits; should it not, the screen comes back.
    async fn sleep_until_woken(&mut self) -> Result<(), ScreenError> {
        let _woken_or_not = tokio::time::timeout(STOP_TAKES_HOLD, self.go_on.recv()).await;
        self.guard.take_again()?;
        self.repaint()
    }
}

/// Quiet time after a resize before it counts.
const RESIZE_QUIET: Duration = Duration::from_millis(30);
/// Shortest time between frames caused by input: 60 a second.
const FRAME_INPUT: Duration = Duration::from_millis(16);
/// The same over SSH: 15 a second.
const FRAME_SSH: Duration = Duration::from_millis(66);
/// Shortest time between frames caused by moving numbers: 10 a second.
const FRAME_LIVE: Duration = Duration::from_millis(100);
/// The same when nobody looks: 2 a second.
const FRAME_UNFOCUSED: Duration = Duration::from_millis(500);
/// A click this soon after the window got the focus only gave it the focus.
const CLICK_AFTER_FOCUS: Duration = Duration::from_millis(80);
/// Longest time between the clicks of a double click.
const DOUBLE_CLICK: Duration = Duration::from_millis(400);
/// Time in which a stop signal reaches all threads.
const STOP_TAKES_HOLD: Duration = Duration::from_millis(500);
/// Lines that one notch of the wheel scrolls.
const WHEEL_LINES: isize = 3;
