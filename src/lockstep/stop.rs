//! How a run is asked to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio_util::sync::CancellationToken;

use crate::error::ExitStatus;

/// A request to stop, shared by those who ask and the run. Clones are one request.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    soft: CancellationToken,
    hard: CancellationToken,
    signal: Arc<AtomicU8>,
}

/// Which signal asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Stop {
    /// Asks that nothing new is started; what is in flight finishes.
    pub fn ask(&self, signal: Signal) {
        let number = match signal {
            Signal::Interrupt => 1,
            Signal::Terminate => 2,
        };
        // The first signal names the exit status.
        let _ = self.signal.compare_exchange(0, number, Ordering::SeqCst, Ordering::SeqCst);
        self.soft.cancel();
    }

    /// Asks that what is in flight is rolled back where it can be.
    pub fn insist(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    /// Returns whether somebody asked.
    pub fn asked(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Waits until somebody asks.
    pub async fn wait(&self) {
        self.soft.cancelled().await;
    }

    /// Returns the token that orders carry.
    pub(crate) fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// Returns the exit status of a run that was stopped.
    pub fn exit(&self) -> ExitStatus {
        match self.signal.load(Ordering::SeqCst) {
            2 => ExitStatus::Terminated,
            _ => ExitStatus::Interrupted,
        }
    }
}
