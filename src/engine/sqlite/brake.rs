//! Stops an order that is cancelled or over its limits, from outside the thread on which SQLite works.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rusqlite::{Connection, InterruptHandle};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::tenant::Limits;

/// The longest pause between two tries for a lock: so late is a cancel noticed while waiting for one.
const PAUSE_LIMIT: Duration = Duration::from_millis(25);

/// How often a cancelled order is interrupted until its thread has noticed.
const CANCEL_TICK: Duration = Duration::from_millis(5);

/// The bounds within which statements' limits are looked at; in between, ten times in the limit.
const TIMEOUT_TICK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

/// Why a statement was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// The order was cancelled.
    Cancelled,
    /// The statement ran longer than its limit.
    TimedOut,
}

/// Shared by the thread that works and the task that watches it.
pub(super) struct Brake {
    cancel: CancellationToken,
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    handle: Option<InterruptHandle>,
    /// Since when a statement runs that may be interrupted.
    since: Option<Instant>,
    stopped: Option<Stopped>,
}

impl Brake {
    pub fn new(cancel: CancellationToken, limits: Limits) -> Arc<Self> {
        Arc::new(Self { cancel, limits, state: Mutex::default() })
    }

    /// Makes this connection the one that is stopped, and makes it wait for locks as long as the limit says.
    ///
    /// A handler of our own in place of `sqlite3_busy_timeout`: it knows of cancels, and of waits without a limit.
    /// <https://www.sqlite.org/c3ref/busy_handler.html>
    pub fn fit(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        self.state().handle = Some(connection.get_interrupt_handle());
        let (cancel, limit) = (self.cancel.clone(), self.limits.lock_timeout);
        let mut since = Instant::now();
        connection.busy_handler(Some(move |tries: i32| {
            if tries == 0 {
                since = Instant::now();
            }
            if cancel.is_cancelled() || (!limit.is_zero() && since.elapsed() >= limit) {
                return false;
            }
            sleep(PAUSE_LIMIT.min(Duration::from_millis(1 << tries.clamp(0, 6))));
            true
        }))
    }

    /// Runs something that may be interrupted; BEGIN, COMMIT and ROLLBACK may not, so they stay outside.
    ///
    /// An interrupt ends every statement that runs on the connection, a ROLLBACK too.
    /// <https://www.sqlite.org/c3ref/interrupt.html>
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        {
            let mut state = self.state();
            (state.since, state.stopped) = (Some(Instant::now()), None);
        }
        let done = work();
        self.state().since = None;
        done
    }

    /// Returns why the last statement was interrupted, if it was.
    pub fn stopped(&self) -> Option<Stopped> {
        self.state().stopped
    }

    /// Returns whether the order is cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Waits for the working thread, and stops it when it must be.
    pub async fn watch<T>(&self, mut work: JoinHandle<T>) -> Result<T, JoinError> {
        loop {
            let cancelled = self.cancel.is_cancelled();
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = self.cancel.cancelled(), if !cancelled => {}
                () = tokio::time::sleep(self.tick(cancelled)) => {}
            }
            self.interrupt_if_due();
        }
    }

    fn tick(&self, cancelled: bool) -> Duration {
        let limit = self.limits.statement_timeout;
        match (cancelled, limit.is_zero()) {
            (true, _) => CANCEL_TICK,
            (false, true) => Duration::MAX,
            (false, false) => (limit / 10).clamp(TIMEOUT_TICK.0, TIMEOUT_TICK.1),
        }
    }

    /// Interrupts under the lock, so that none arrives after [`Brake::during`] has returned.
    fn interrupt_if_due(&self) {
        let limit = self.limits.statement_timeout;
        let mut state = self.state();
        let Some(since) = state.since else { return };
        let why = match () {
            () if self.cancel.is_cancelled() => Stopped::Cancelled,
            () if !limit.is_zero() && since.elapsed() >= limit => Stopped::TimedOut,
            () => return,
        };
        if let Some(handle) = &state.handle {
            handle.interrupt();
        }
        state.stopped.get_or_insert(why);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
