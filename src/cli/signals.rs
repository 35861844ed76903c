//! SIGINT and SIGTERM: the first asks a run to stop, the second, or ten seconds, insists.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::time::timeout;

use crate::error::{Code, Diagnostic, Result};
use crate::lockstep::{Signal, Stop};

/// How long what is in flight may take to finish after the first signal.
const PATIENCE: Duration = Duration::from_secs(10);

/// The signals of this process, from now on.
pub(super) struct Signals {
    interrupt: Stream,
    terminate: Stream,
}

impl Signals {
    /// Begins to listen; from now on neither signal ends the process by itself.
    ///
    /// # Errors
    /// `MT900` when the system refuses.
    pub fn listen() -> Result<Self> {
        let stream = |kind| {
            signal(kind)
                .map_err(|error| Diagnostic::new(Code::BUG, "cannot listen for signals").cause(error.to_string()))
        };
        Ok(Self { interrupt: stream(SignalKind::interrupt())?, terminate: stream(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.interrupt.recv() => Signal::Interrupt,
            Some(()) = self.terminate.recv() => Signal::Terminate,
            else => pending().await,
        }
    }
}

/// What is said and folded when a run is asked to stop.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// For a person.
    pub line: String,
    /// Whether what is in flight is rolled back.
    pub hard: bool,
}

/// Hands signals to a run's stop, for ever.
pub(super) async fn watch(mut next: impl AsyncFnMut() -> Signal, stop: &Stop, tell: impl Fn(Asked)) -> Infallible {
    let first = next().await;
    stop.ask(first);
    let line = format!(
        "{}: changesets in flight are finished, nothing new is started; again, or in {} s, to roll them back",
        name(first),
        PATIENCE.as_secs()
    );
    tell(Asked { line, hard: false });
    let second = timeout(PATIENCE, next()).await;
    stop.insist();
    let why = match second {
        Ok(second) => format!("{} again", name(second)),
        Err(_) => format!("{} s later", PATIENCE.as_secs()),
    };
    tell(Asked { line: format!("{why}: changesets in flight are rolled back where they can be"), hard: true });
    pending().await
}

fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::Interrupt => "SIGINT",
        Signal::Terminate => "SIGTERM",
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use crate::error::ExitStatus;

    use super::*;

    /// Lets these signals arrive, then none; returns what was told within a little more than the patience.
    fn told(signals: &[Signal]) -> (Vec<(String, bool)>, Stop) {
        let stop = Stop::default();
        let said = RefCell::new(Vec::new());
        let mut arriving = signals.iter().copied();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let next = async || match arriving.next() {
                Some(signal) => signal,
                None => pending().await,
            };
            let tell = |asked: Asked| {
                let (head, _) = asked.line.split_once(':').unwrap();
                said.borrow_mut().push((head.to_owned(), asked.hard));
            };
            timeout(Duration::from_millis(200), watch(next, &stop, tell)).await.unwrap_err();
        });
        (said.into_inner(), stop)
    }

    #[test]
    fn the_first_signal_asks_and_names_the_exit_status() {
        for (signal, name, exit) in [
            (Signal::Interrupt, "SIGINT", ExitStatus::Interrupted),
            (Signal::Terminate, "SIGTERM", ExitStatus::Terminated),
        ] {
            let (said, stop) = told(&[signal]);
            assert_eq!(said, [(name.to_owned(), false)]);
            assert!(stop.asked());
            assert_eq!(stop.exit(), exit);
        }
    }

    #[test]
    fn the_second_signal_insists_and_leaves_the_status_to_the_first() {
        let (said, stop) = told(&[Signal::Terminate, Signal::Interrupt]);
        assert_eq!(said, [("SIGTERM".to_owned(), false), ("SIGINT again".to_owned(), true)]);
        assert_eq!(stop.exit(), ExitStatus::Terminated);
    }

    #[test]
    fn without_a_signal_nothing_is_asked() {
        let (said, stop) = told(&[]);
        assert!(said.is_empty() && !stop.asked());
    }
}
