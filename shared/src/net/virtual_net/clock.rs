//! Virtual time where threads take part.
//!
//! Tokio moves a paused clock by itself when a runtime has nothing to do, but never while a blocking task runs, and the
//! thread of a lane is one as long as the lane lives. Here the clock moves by hand: a millisecond whenever the runtime
//! has nothing to do and every thread of its blocking pool is asleep. The kernel knows the latter for sure: whom
//! somebody woke counts as running at once.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Arc, Barrier, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::Builder,
    sync::Notify,
    task::spawn_blocking,
    time::{advance, timeout},
};

/// Threads of the blocking pool: two lanes, and their reads of files.
const THREADS: usize = 4;

/// Longer than any test, so that no thread of the pool ends.
const THREAD_LIFE: Duration = Duration::from_secs(3600);

/// Virtual time after which a test has failed.
const TEST_MAX: Duration = Duration::from_secs(600);

/// What tokio's timers tell apart.
const STEP: Duration = Duration::from_millis(1);

/// Runs a test on a paused clock that goes on when runtime and threads have nothing to do. Needs Linux.
///
/// What happens between the same two milliseconds on several threads has no fixed order, so two runs may differ a
/// little. Without threads, `#[tokio::test(start_paused = true)]` is quicker and exact.
///
/// # Errors
/// When there are no threads to be had, and when the test has not ended after ten minutes of its time.
pub fn in_virtual_time<T>(test: impl Future<Output = T>) -> io::Result<T> {
    let threads = Arc::new(Threads::default());
    let nothing_to_do = Arc::new(Notify::new());
    let (starting, parking) = (threads.clone(), nothing_to_do.clone());
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .max_blocking_threads(THREADS)
        .thread_keep_alive(THREAD_LIFE)
        .on_thread_start(move || starting.join())
        .on_thread_park(move || parking.notify_one())
        .build()?;
    runtime.block_on(async {
        // All threads begin now: one that is just being made could not be seen.
        let barrier = Arc::new(Barrier::new(THREADS));
        let begun: Vec<_> = (0..THREADS)
            .map(|_| {
                spawn_blocking({
                    let barrier = barrier.clone();
                    move || {
                        barrier.wait();
                    }
                })
            })
            .collect();
        for thread in begun {
            thread.await?;
        }
        threads.check()?;
        tokio::select! {
            biased;
            result = timeout(TEST_MAX, test) => Ok(result?),
            error = tick(&threads, &nothing_to_do) => Err(error),
        }
    })
}

/// Moves the clock until it cannot be told whether it should.
async fn tick(threads: &Threads, nothing_to_do: &Notify) -> io::Error {
    loop {
        nothing_to_do.notified().await;
        match threads.all_asleep() {
            Ok(true) => advance(STEP).await,
            // Whoever works may need this processor.
            Ok(false) => std::thread::yield_now(),
            Err(error) => return error,
        }
    }
}

/// What the kernel tells about each thread of the blocking pool.
#[derive(Debug, Default)]
struct Threads(Mutex<Vec<io::Result<File>>>);

impl Threads {
    /// The calling thread is one.
    fn join(&self) {
        self.lock().push(File::open("/proc/thread-self/stat"));
    }

    /// Whether all of them joined.
    fn check(&self) -> io::Result<()> {
        let mut threads = self.lock();
        if let Some(failed) = threads.iter().position(Result::is_err) {
            threads.swap_remove(failed)?;
        }
        if threads.len() == THREADS { Ok(()) } else { Err(io::Error::other("a thread is missing")) }
    }

    fn all_asleep(&self) -> io::Result<bool> {
        for thread in self.lock().iter().flatten() {
            // The state is a letter behind the name, which stands in brackets and is a short one.
            let mut stat = [0; 128];
            let length = thread.read_at(&mut stat, 0)?;
            let stat = &stat[..length];
            let name_end = stat.iter().rposition(|byte| *byte == b')').unwrap_or(0);
            if stat.get(name_end + 2) != Some(&b'S') {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<io::Result<File>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
